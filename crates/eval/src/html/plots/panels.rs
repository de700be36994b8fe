//! A sheet of small plots on common axes, as a picture that stands alone.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, VPos};

use super::{GRID, INK, QUIET, ZOOM, draw, line, series, text};
use crate::error::EvalError;

/// Panels side by side.
const ACROSS: usize = 4;
/// Size of a panel.
const PANEL: (u32, u32) = (200, 170);
/// What stands for the page's colours where there is no page: they must do on a white ground.
const COLOURS: [(&str, &str); 5] = [
    ("var(--ink)", "#1d2430"),
    ("var(--quiet)", "#626b78"),
    ("var(--grid)", "#e3e6ea"),
    ("var(--s0)", "#1f5fbf"),
    ("var(--s1)", "#d1495b"),
];

/// One plot of a sheet.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Its heading.
    pub title: String,
    /// Its curves, the last on top.
    pub curves: Vec<(Stroke, Vec<(f64, f64)>)>,
}

/// How a curve is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// Grey: how it was before.
    Before,
    /// Thin: one of several.
    One,
    /// Thick: all together.
    All,
}

pub(in crate::html) fn draw_panels(title: &str, panels: &[Panel]) -> Result<String, EvalError> {
    let down = panels.len().div_ceil(ACROSS).max(1);
    let size = (PANEL.0 * ACROSS as u32, PANEL.1 * down as u32);
    let mut svg = draw(title, size, |area| {
        area.fill(&WHITE)?;
        for (area, panel) in area.split_evenly((down, ACROSS)).iter().zip(panels) {
            paint(area, panel)?;
        }
        Ok(())
    })?;
    for (variable, colour) in COLOURS {
        svg = svg.replace(variable, colour);
    }
    // What every element says again is said once, which makes a third of the file.
    svg = svg.replace(" opacity=\"1\"", "").replace(" fill=\"none\"", "");
    let font = svg
        .split_once(" font-family=")
        .and_then(|(_, rest)| rest.split_once(" fill="))
        .map(|(font, _)| format!(" font-family={font}"));
    let font = font.unwrap_or_default();
    if !font.is_empty() {
        svg = svg.replace(&font, "");
    }
    Ok(svg.replacen("<svg ", &format!("<svg fill=\"none\"{font} "), 1))
}

fn paint(area: &super::Area<'_>, panel: &Panel) -> super::Drawn {
    let points = || panel.curves.iter().flat_map(|(_, points)| points);
    let x = super::range(points().map(|point| point.0)).unwrap_or((0.0, 1.0));
    let y = super::range(points().map(|point| point.1)).unwrap_or((0.0, 1.0));
    let area = area.titled(&panel.title, text(INK, HPos::Left, VPos::Top))?;
    let mut chart = ChartBuilder::on(&area)
        .margin(6 * ZOOM)
        .x_label_area_size(20 * ZOOM)
        .y_label_area_size(28 * ZOOM)
        .build_cartesian_2d(x.0..x.1, y.0..y.1)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(line(GRID, 2))
        .axis_style(TRANSPARENT)
        .label_style(text(QUIET, HPos::Center, VPos::Center))
        .x_labels(5)
        .y_labels(5)
        .draw()?;
    for (stroke, points) in &panel.curves {
        let points = points.iter().copied();
        match stroke {
            Stroke::Before => {
                chart.draw_series(LineSeries::new(points, line(QUIET, 3)))?;
            }
            Stroke::One => {
                chart.draw_series(LineSeries::new(points, line(series(0), 2)))?;
            }
            Stroke::All => {
                chart.draw_series(LineSeries::new(points, line(series(1), 4)))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_stands_alone() {
        let curve = |factor: f64| (0..5).map(|x| (f64::from(x), factor * f64::from(x))).collect();
        let panel = |title: &str| Panel {
            title: title.to_owned(),
            curves: vec![(Stroke::Before, curve(1.0)), (Stroke::One, curve(2.0)), (Stroke::All, curve(3.0))],
        };
        let svg = draw_panels("curves", &[panel("one"), panel("two")]).unwrap();
        assert!(svg.contains("one") && svg.contains("two") && !svg.contains("var("), "{svg}");
    }
}
