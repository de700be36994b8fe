//! The plots of the HTML report, as SVG that takes its colours from the page, so that it follows light and dark.

pub(super) mod panels;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::beside::lengths;
use crate::error::EvalError;
use crate::newcomers;
use crate::published::Published;
use crate::report::{CurvePoint, EvalReport, ModelReport};
use crate::table::in_words;
use crate::tune::Trial;

/// Drawn larger than shown: coordinates are whole numbers, and lines would look like stairs.
const ZOOM: u32 = 4;
const FONT: u32 = 13 * ZOOM;
/// Series colours in the page's style sheet.
const SERIES: usize = 8;

/// Colours that stand for the page's variables until the drawing is done.
const INK: RGBColor = RGBColor(1, 0, 0);
const QUIET: RGBColor = RGBColor(1, 0, 1);
const GRID: RGBColor = RGBColor(1, 0, 2);

fn series(number: usize) -> RGBColor {
    RGBColor(2, 0, (number % SERIES) as u8)
}

/// The page's variable of a series.
pub(super) fn series_variable(number: usize) -> String {
    format!("var(--s{})", number % SERIES)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Draws into a string and hands the colours over to the page.
fn draw(title: &str, size: (u32, u32), paint: impl FnOnce(&Area<'_>) -> Drawn) -> Result<String, EvalError> {
    let mut svg = String::new();
    let failed = |reason: String| EvalError::Plot { title: title.to_owned(), reason };
    {
        let area = SVGBackend::with_string(&mut svg, (size.0 * ZOOM, size.1 * ZOOM)).into_drawing_area();
        paint(&area).map_err(|error| failed(error.to_string()))?;
        area.present().map_err(|error| failed(error.to_string()))?;
    }
    let (width, height) = (size.0 * ZOOM, size.1 * ZOOM);
    svg = svg.replacen(&format!("width=\"{width}\" height=\"{height}\" "), "role=\"img\" ", 1);
    let hex = |colour: RGBColor| format!("\"#{:02X}{:02X}{:02X}\"", colour.0, colour.1, colour.2);
    for (colour, variable) in [(INK, "--ink"), (QUIET, "--quiet"), (GRID, "--grid")] {
        svg = svg.replace(&hex(colour), &format!("\"var({variable})\""));
    }
    for number in 0..SERIES {
        svg = svg.replace(&hex(series(number)), &format!("\"{}\"", series_variable(number)));
    }
    Ok(svg)
}

fn text(colour: RGBColor, h: HPos, v: VPos) -> TextStyle<'static> {
    let font = ("sans-serif", FONT).into_font();
    TextStyle { font, color: colour.to_backend_color(), pos: Pos::new(h, v) }
}

fn line(colour: RGBColor, width: u32) -> ShapeStyle {
    ShapeStyle::from(colour).stroke_width(width * ZOOM / 2)
}

/// A range with some air on both sides.
fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    (low <= high).then(|| {
        let air = ((high - low) * 0.06).max(high.abs().max(1.0) * 1e-4);
        (low - air, high + air)
    })
}

/// An axis with a mark at each whole number.
struct Steps {
    axis: plotters::coord::types::RangedCoordf64,
    marks: Vec<f64>,
}

impl Steps {
    fn new(low: f64, high: f64, marks: Vec<f64>) -> Self {
        Self { axis: (low..high).into(), marks }
    }
}

impl Ranged for Steps {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.axis.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.marks.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        self.axis.range()
    }
}

impl plotters::coord::ranged1d::ValueFormatter<f64> for Steps {
    fn format(value: &f64) -> String {
        value.to_string()
    }
}

/// Axes with names and grid, and the series on top.
struct Plot<'a> {
    names: (&'a str, &'a str),
    x: Steps,
    x_label: &'a dyn Fn(&f64) -> String,
    y: (f64, f64),
    y_label: &'a dyn Fn(&f64) -> String,
}

/// A series: its points, colour, width, and whether it is dashed or dotted with its points.
struct Line {
    points: Vec<(f64, f64)>,
    colour: RGBColor,
    width: u32,
    dashed: bool,
    marked: bool,
}

/// What lies between two lines, from left to right along the lower one and back along the upper one.
struct Band {
    points: Vec<(f64, f64)>,
    colour: RGBColor,
}

impl Plot<'_> {
    fn paint(self, area: &Area<'_>, lines: Vec<Line>) -> Drawn {
        self.paint_over(area, Vec::new(), lines)
    }

    fn paint_over(self, area: &Area<'_>, bands: Vec<Band>, lines: Vec<Line>) -> Drawn {
        let mut chart = ChartBuilder::on(area)
            .margin(10 * ZOOM)
            .x_label_area_size(42 * ZOOM)
            .y_label_area_size(66 * ZOOM)
            .build_cartesian_2d(self.x, self.y.0..self.y.1)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(line(GRID, 2))
            .axis_style(line(GRID, 2))
            .label_style(text(QUIET, HPos::Center, VPos::Center))
            .axis_desc_style(text(INK, HPos::Center, VPos::Center))
            .x_desc(self.names.0)
            .y_desc(self.names.1)
            .x_label_formatter(self.x_label)
            .y_label_formatter(self.y_label)
            .y_labels(7)
            .draw()?;
        for Band { points, colour } in bands {
            chart.draw_series([Polygon::new(points, colour.mix(0.18))])?;
        }
        for Line { points, colour, width, dashed, marked } in lines {
            if marked {
                chart.draw_series(points.iter().map(|&at| Circle::new(at, 4 * ZOOM, colour.filled())))?;
            }
            if dashed {
                let step = 5 * ZOOM;
                chart.draw_series(DashedLineSeries::new(points, step, step, line(colour, width)))?;
            } else {
                chart.draw_series(LineSeries::new(points, line(colour, width)))?;
            }
        }
        Ok(())
    }
}

/// The main figure of each model with its interval, and a dot a fold.
pub(super) fn intervals(report: &EvalReport) -> Result<Option<String>, EvalError> {
    const ROW: u32 = 34;
    const LEFT: u32 = 190;
    let rows: Vec<_> = report
        .models
        .iter()
        .enumerate()
        .filter_map(|(number, model)| Some((number, model, model.metrics.get(&report.main_metric)?)))
        .collect();
    let ends = rows.iter().flat_map(|(_, _, summary)| {
        let ci95 = summary.interval().unwrap_or(0.0);
        summary.folds.iter().copied().chain([summary.mean - ci95, summary.mean + ci95])
    });
    let Some((low, high)) = range(ends) else { return Ok(None) };
    let title = format!("{} of each model", metric_name(report));
    let size = (880, ROW * rows.len() as u32 + 58);
    draw(&title, size, |area| {
        let n = rows.len() as f64;
        let mut chart = ChartBuilder::on(area)
            .margin_top(8 * ZOOM)
            .margin_right(70 * ZOOM)
            .x_label_area_size(44 * ZOOM)
            .margin_left(LEFT * ZOOM)
            .build_cartesian_2d(low..high, n..0.0)?;
        chart
            .configure_mesh()
            .disable_y_axis()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(line(GRID, 2))
            .axis_style(line(GRID, 2))
            .label_style(text(QUIET, HPos::Center, VPos::Center))
            .axis_desc_style(text(INK, HPos::Center, VPos::Center))
            .x_desc(metric_name(report))
            .x_label_formatter(&|value| format!("{value:.3}"))
            .x_labels(8)
            .draw()?;
        for (row, (number, model, summary)) in rows.iter().enumerate() {
            let (y, colour) = (row as f64 + 0.5, series(*number));
            let at = |x: f64| chart.backend_coord(&(x, y));
            let (mean, pale) = (at(summary.mean), colour.mix(0.45));
            let end = area.dim_in_pixel().0 as i32;
            if let Some(ci95) = summary.interval() {
                let (from, to) = (at(summary.mean - ci95), at(summary.mean + ci95));
                area.draw(&PathElement::new([from, to], line(colour, 4)))?;
                for (x, y) in [from, to] {
                    let half = 6 * ZOOM as i32;
                    area.draw(&PathElement::new([(x, y - half), (x, y + half)], line(colour, 4)))?;
                }
            }
            for &fold in &summary.folds {
                area.draw(&Circle::new(at(fold), 3 * ZOOM, pale.filled()))?;
            }
            area.draw(&Circle::new(mean, 5 * ZOOM, colour.filled()))?;
            let label = shortened(&model.label, 26);
            let left = ((LEFT - 12) * ZOOM) as i32;
            area.draw(&Text::new(label, (left, mean.1), text(INK, HPos::Right, VPos::Center)))?;
            let figure = format!("{:.4}", summary.mean);
            let right = end - 60 * ZOOM as i32;
            area.draw(&Text::new(figure, (right, mean.1), text(colour, HPos::Left, VPos::Center)))?;
        }
        Ok(())
    })
    .map(Some)
}

/// What the names of the main figure by ratings given begin with; nothing in protocols without new users.
fn given_prefix(report: &EvalReport) -> Option<&str> {
    report.main_metric.strip_suffix("all")
}

/// The series whose colour a model has among those by ratings given, and whether it is dashed: fitted again, it looks like itself.
pub(super) fn style_by_given(report: &EvalReport, number: usize) -> (usize, bool) {
    let model = &report.models[number];
    if !newcomers::is_retrained(model) {
        return (number, false);
    }
    let same = |other: &ModelReport| {
        !newcomers::is_retrained(other) && other.model == model.model && other.config == model.config
    };
    (report.models.iter().position(same).unwrap_or(number), true)
}

/// The main figure of each model by the number of ratings that new users give.
pub(super) fn by_given(report: &EvalReport) -> Result<Option<String>, EvalError> {
    let Some(prefix) = given_prefix(report) else { return Ok(None) };
    let columns: Vec<String> = crate::table::metric_names(report)
        .into_iter()
        .filter_map(|name| Some(name.strip_prefix(prefix)?.to_owned()))
        .collect();
    let mut lines: Vec<Line> = Vec::new();
    for (number, model) in report.models.iter().enumerate() {
        let points: Vec<(f64, f64)> = columns
            .iter()
            .enumerate()
            .filter_map(|(place, column)| {
                Some((place as f64, model.metrics.get(&format!("{prefix}{column}"))?.mean))
            })
            .collect();
        let (colour, dashed) = style_by_given(report, number);
        let width = if dashed { 2 } else { 4 };
        lines.push(Line { points, colour: series(colour), width, dashed, marked: true });
    }
    let Some(y) = range(lines.iter().flat_map(|line| line.points.iter().map(|point| point.1))) else {
        return Ok(None);
    };
    if columns.is_empty() {
        return Ok(None);
    }
    let last = (columns.len() - 1) as f64;
    let figure = newcomers::figure_name(report);
    draw(&format!("{figure} by ratings given"), (880, 420), |area| {
        Plot {
            names: ("ratings given by the new user", &format!("{figure} (mean of folds)")),
            x: Steps::new(-0.3, last + 0.3, (0..columns.len()).map(|place| place as f64).collect()),
            x_label: &|place| columns.get(*place as usize).cloned().unwrap_or_default(),
            y,
            y_label: &|value| format!("{value:.3}"),
        }
        .paint(area, lines)
    })
    .map(Some)
}

/// Precision, recall, F1 and nDCG by length of the list, a plot each; none with less than three lengths.
pub(super) fn by_length(report: &EvalReport) -> Result<Vec<String>, EvalError> {
    let mut out = Vec::new();
    for figure in ["precision", "recall", "f1", "ndcg"] {
        let lengths = lengths(report, figure);
        let Some(&last) = lengths.last().filter(|_| lengths.len() >= 3) else { return Ok(Vec::new()) };
        let (mut bands, mut lines) = (Vec::new(), Vec::new());
        for (number, model) in report.models.iter().enumerate() {
            let of = |side: f64| -> Vec<(f64, f64)> {
                let point = |&k: &usize| {
                    let summary = model.metrics.get(&format!("{figure}@{k}"))?;
                    let spread = summary.sd_fits.or(summary.interval()).unwrap_or(0.0);
                    Some((k as f64, summary.mean + side * spread))
                };
                lengths.iter().filter_map(point).collect()
            };
            let colour = series(number);
            bands.push(Band {
                points: of(-1.0).into_iter().chain(of(1.0).into_iter().rev()).collect(),
                colour,
            });
            lines.push(Line { points: of(0.0), colour, width: 4, dashed: false, marked: true });
        }
        let ends = bands.iter().flat_map(|band: &Band| band.points.iter().map(|point| point.1));
        let Some(y) = range(ends) else { return Ok(Vec::new()) };
        let name = in_words(figure);
        out.push(draw(&format!("{name} by length of the list"), (440, 300), |area| {
            Plot {
                names: ("length of the list", &name),
                x: Steps::new(0.0, last as f64 * 1.04, lengths.iter().map(|&k| k as f64).collect()),
                x_label: &|k| format!("{k:.0}"),
                y,
                y_label: &|value| format!("{value:.3}"),
            }
            .paint_over(area, bands, lines)
        })?);
    }
    Ok(out)
}

/// The main figure by what the models differ in, and the published one; `None` if it is no number.
pub(super) fn by_x(report: &EvalReport, published: &Published) -> Result<Option<String>, EvalError> {
    let Some(name) = &published.x else { return Ok(None) };
    let (mut ours, mut paper, mut bars) = (Vec::new(), Vec::new(), Vec::new());
    for figure in &published.paper {
        let Some(x) = figure.x else { continue };
        paper.extend(figure.mean.map(|mean| (x, mean)));
        let Some(summary) = report.model(&figure.label).and_then(|model| model.metrics.get(&figure.metric))
        else {
            continue;
        };
        ours.push((x, summary.mean));
        bars.extend(summary.ci95.map(|ci95| vec![(x, summary.mean - ci95), (x, summary.mean + ci95)]));
    }
    let values = ours.iter().chain(&paper).chain(bars.iter().flatten());
    let Some(y) = range(values.map(|point| point.1)) else { return Ok(None) };
    let marks: Vec<f64> = ours.iter().map(|point| point.0).collect();
    let (low, high) = range(marks.iter().copied()).unwrap_or((0.0, 1.0));
    let whole =
        |points, number, dashed| Line { points, colour: series(number), width: 4, dashed, marked: true };
    let mut lines = vec![whole(ours, 0, false), whole(paper, 1, true)];
    lines.extend(bars.into_iter().map(|points| Line { marked: false, width: 2, ..whole(points, 0, false) }));
    draw(&format!("{} by {name}", metric_name(report)), (880, 420), |area| {
        Plot {
            names: (name, &metric_name(report)),
            x: Steps::new(low, high, marks),
            x_label: &|x| format!("{x}"),
            y,
            y_label: &|value| format!("{value:.3}"),
        }
        .paint(area, lines)
    })
    .map(Some)
}

/// The figure of each trial of a search.
pub(super) fn by_trial(metric: &str, trials: &[Trial]) -> Result<Option<String>, EvalError> {
    let points: Vec<(f64, f64)> =
        trials.iter().filter_map(|trial| Some((trial.number as f64, trial.value?))).collect();
    scatter(("trial", metric), points, (880, 360), None)
}

/// The figure of each trial by the place of a setting in its space, which is named at both ends and in the middle.
pub(super) fn by_setting(key: &str, metric: &str, trials: &[Trial]) -> Result<Option<String>, EvalError> {
    let placed = || trials.iter().filter_map(|trial| Some((*trial.places.get(key)?, trial)));
    let points = placed().filter_map(|(place, trial)| Some((place, trial.value?))).collect();
    // The value of the trial that is nearest to a mark names it.
    let name = |mark: f64| {
        let near = placed().min_by(|a, b| (a.0 - mark).abs().total_cmp(&(b.0 - mark).abs()));
        near.and_then(|(_, trial)| trial.settings.get(key)).map(ToString::to_string).unwrap_or_default()
    };
    scatter((key, metric), points, (440, 300), Some(&name))
}

/// Points without a line. Outliers that would flatten all others are left out.
fn scatter(
    names: (&str, &str),
    points: Vec<(f64, f64)>,
    size: (u32, u32),
    mark_name: Option<&dyn Fn(f64) -> String>,
) -> Result<Option<String>, EvalError> {
    let mut values: Vec<f64> = points.iter().map(|point| point.1).collect();
    values.sort_by(f64::total_cmp);
    let (Some(&quarter), Some(&three)) = (values.get(values.len() / 4), values.get(values.len() * 3 / 4))
    else {
        return Ok(None);
    };
    let reach = 6.0 * (three - quarter).max(1e-6);
    let near = |value: f64| value >= quarter - reach && value <= three + reach;
    let points: Vec<(f64, f64)> = points.into_iter().filter(|&(_, value)| near(value)).collect();
    let Some(y) = range(points.iter().map(|point| point.1)) else { return Ok(None) };
    let Some((low, high)) = range(points.iter().map(|point| point.0)) else { return Ok(None) };
    let marks: Vec<f64> = (0..=4).map(|at| low + (high - low) * f64::from(at) / 4.0).collect();
    let label = |x: &f64| mark_name.map_or_else(|| format!("{x:.0}"), |name| shortened(&name(*x), 9));
    draw(&format!("{} by {}", names.1, names.0), size, |area| {
        let dots = points.iter().map(|&point| Line {
            points: vec![point],
            colour: series(0),
            width: 2,
            dashed: false,
            marked: true,
        });
        Plot {
            names,
            x: Steps::new(low, high, marks),
            x_label: &label,
            y,
            y_label: &|value| format!("{value:.3}"),
        }
        .paint(area, dots.collect())
    })
    .map(Some)
}

/// Learning curves of one model, a plot for each unit they are in: a thin line a fold, training dashed, validation solid.
pub(super) fn learning(model: &ModelReport) -> Result<Vec<String>, EvalError> {
    let none: Curve = |_| None;
    let units: [(&str, Curve, Curve); 3] = [
        ("RMSE", |point| point.train_rmse, |point| point.validation_rmse),
        ("training loss", |point| point.train_loss, none),
        ("nDCG@20", none, |point| point.validation_ndcg),
    ];
    let drawn =
        units.into_iter().map(|(unit, train, validation)| learning_in(model, unit, train, validation));
    drawn.filter_map(Result::transpose).collect()
}

/// A figure of an epoch.
type Curve = fn(&CurvePoint) -> Option<f64>;

fn learning_in(
    model: &ModelReport,
    unit: &str,
    train: Curve,
    validation: Curve,
) -> Result<Option<String>, EvalError> {
    let of = |pick: Curve| -> Vec<Vec<(f64, f64)>> {
        let curves = model.learning_curves.iter().map(|curve| {
            curve.epochs.iter().filter_map(|point| Some((point.epoch as f64, pick(point)?))).collect()
        });
        curves.filter(|points: &Vec<_>| points.len() > 1).collect()
    };
    let (train, validation) = (of(train), of(validation));
    // The first steps may be so far off that nothing could be seen of the rest.
    let mut values: Vec<f64> = train.iter().chain(&validation).flatten().map(|&(_, value)| value).collect();
    values.sort_by(f64::total_cmp);
    let visible = &values[..values.len() - values.len() / 20];
    let Some(y) = range(visible.iter().copied()) else { return Ok(None) };
    let lines: Vec<Line> = [(train, 0, true), (validation, 1, false)]
        .into_iter()
        .flat_map(|(curves, number, dashed)| {
            curves.into_iter().map(move |points| Line {
                points: points.into_iter().filter(|&(_, value)| value <= y.1).collect(),
                colour: series(number),
                width: 2,
                dashed,
                marked: false,
            })
        })
        .collect();
    let last =
        model.learning_curves.iter().filter_map(|curve| curve.epochs.last()).map(|point| point.epoch).max();
    let last = last.unwrap_or(1).max(2);
    let step = [1, 2, 5, 10, 20, 50, 100, 200, 500].into_iter().find(|step| last / step <= 8).unwrap_or(last);
    let marks = (1..=last).filter(|epoch| epoch % step == 0).map(|epoch| epoch as f64).collect();
    draw(&format!("Learning curves of {}", model.label), (440, 300), |area| {
        Plot {
            names: ("epoch", unit),
            x: Steps::new(1.0, last as f64, marks),
            x_label: &|epoch| format!("{epoch:.0}"),
            y,
            y_label: &|value| format!("{value:.3}"),
        }
        .paint(area, lines)
    })
    .map(Some)
}

/// Coverage of predictive intervals against their nominal probability; with new users, all ratings given.
pub(super) fn calibration(report: &EvalReport) -> Result<Option<String>, EvalError> {
    let mut lines = vec![Line {
        points: vec![(0.0, 0.0), (1.0, 1.0)],
        colour: QUIET,
        width: 2,
        dashed: true,
        marked: false,
    }];
    for (number, model) in report.models.iter().enumerate() {
        let rows =
            model.calibration.iter().filter(|row| row.given.as_deref().is_none_or(|given| given == "all"));
        let points: Vec<_> = rows.map(|row| (row.level, row.coverage.mean)).collect();
        if !points.is_empty() {
            lines.push(Line { points, colour: series(number), width: 4, dashed: false, marked: true });
        }
    }
    if lines.len() == 1 {
        return Ok(None);
    }
    draw("Calibration", (440, 360), |area| {
        Plot {
            names: ("nominal probability of the interval", "share of test ratings within"),
            x: Steps::new(0.0, 1.0, vec![0.0, 0.25, 0.5, 0.8, 0.95]),
            x_label: &|share| format!("{:.0} %", share * 100.0),
            y: (0.0, 1.0),
            y_label: &|share| format!("{:.0} %", share * 100.0),
        }
        .paint(area, lines)
    })
    .map(Some)
}

/// The main figure in words.
pub(super) fn metric_name(report: &EvalReport) -> String {
    match report.main_metric.as_str() {
        "rmse" => "RMSE".to_owned(),
        name => match name.strip_suffix("all") {
            Some(name) => format!("{}, all ratings given", in_words(name.trim_end_matches(['@', '/']))),
            None => in_words(name),
        },
    }
}

fn shortened(label: &str, most: usize) -> String {
    if label.chars().count() <= most {
        return label.to_owned();
    }
    label.chars().take(most - 1).chain(['…']).collect()
}
