//! A report as tables for the terminal.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use crate::report::{EvalReport, ModelReport};
use crate::statistics::{PairedTest, Summary, mean};

/// Draws the report: figures with their intervals, the comparison with the first model and the costs; then the figures of
/// each fold; then the coverage of predictive intervals, where there are any. Without a newline at the end.
#[must_use]
pub fn render(report: &EvalReport) -> String {
    let mut out = headline(report) + "\n";
    out += &block(figures(report));
    if report.folds.len() > 1 {
        out += &format!("\n{} in each fold\n", in_words(&report.main_metric));
        out += &block(per_fold(report));
    }
    if report.models.iter().any(|model| !model.calibration.is_empty()) {
        out += "\nShare of test ratings within predictive intervals\n";
        out += &block(calibration(report));
    }
    for model in &report.models {
        for note in model.cannot.iter().chain(&model.notes) {
            out += &format!("{}: {note}\n", model.label);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// One line on data, protocol, folds and seed.
#[must_use]
pub fn headline(report: &EvalReport) -> String {
    let of = if report.folds.len() == report.of_folds && report.protocol != "given" {
        format!("{} folds", report.of_folds)
    } else if report.protocol == "given" {
        format!("splits {}", report.folds.join(", "))
    } else {
        format!("folds {} of {}", report.folds.join(", "), report.of_folds)
    };
    let partial = if report.partial { " · PARTIAL: stopped early" } else { "" };
    format!("{} · protocol {} · {of} · seed {}{partial}", report.data.name, report.protocol, report.seed)
}

/// The names of the figures that any model has, in order.
pub(crate) fn metric_names(report: &EvalReport) -> Vec<&str> {
    let mut names = Vec::new();
    let longest = report.models.iter().max_by_key(|model| model.metrics.0.len());
    for (name, _) in longest.into_iter().flat_map(|model| model.metrics.iter()) {
        names.push(name);
    }
    names
}

/// A figure's name as it is read.
pub(crate) fn in_words(name: &str) -> String {
    name.replace("rmse", "RMSE").replace("mae", "MAE")
}

/// A figure with its interval.
pub(crate) fn figure(summary: &Summary) -> String {
    match summary.ci95 {
        Some(ci95) => format!("{:.4} ± {ci95:.4}", summary.mean),
        None => format!("{:.4}", summary.mean),
    }
}

/// A p-value, as precise as one can be read; Holm's if there is one.
#[must_use]
pub fn p_value(test: &PairedTest) -> String {
    match test.p_holm.or(test.p) {
        Some(p) if p < 0.0001 => "< .0001".to_owned(),
        Some(p) => format!("{p:.4}"),
        None => String::new(),
    }
}

/// Seconds in the unit that suits them.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 100.0 => format!("{s:.0} s"),
        s if s >= 0.1 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s => format!("{:.1} µs", s * 1e6),
    }
}

/// The most memory of all folds, in MiB.
pub(crate) fn memory(bytes: &[u64]) -> String {
    bytes.iter().max().map_or_else(String::new, |&bytes| {
        let mebibytes = bytes as f64 / f64::from(1 << 20);
        if mebibytes < 10.0 { format!("{mebibytes:.1} MiB") } else { format!("{mebibytes:.0} MiB") }
    })
}

/// The cost columns of a model: fit, one user, memory at the peak and its rise during the fit.
pub(crate) fn costs(model: &ModelReport) -> [String; 4] {
    let mean_of = |values: &[f64]| mean(values).map_or_else(String::new, duration);
    [
        mean_of(&model.fit_seconds),
        mean_of(&model.seconds_per_user),
        memory(&model.peak_memory_bytes),
        memory(&model.peak_memory_increase_bytes),
    ]
}

/// What a table holds, however it is drawn.
pub(crate) struct Grid {
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
}

pub(crate) fn figures(report: &EvalReport) -> Grid {
    let names = metric_names(report);
    let against = report.models.first().map_or("", |model| model.label.as_str());
    let mut header = vec!["model".to_owned()];
    header.extend(names.iter().map(|name| in_words(name)));
    // Six figures with their intervals would not fit a terminal; those of the main one stand beside its folds.
    let figure =
        |summary: &Summary| if names.len() > 3 { format!("{:.4}", summary.mean) } else { figure(summary) };
    if report.models.len() > 1 {
        let column = report.main_metric.find('@').map_or("", |at| &report.main_metric[at..]);
        header.extend([format!("{column} − {against}").trim_start().to_owned(), "p (Holm)".to_owned()]);
    }
    header.extend(["fit", "one user", "peak", "rise"].map(str::to_owned));
    let rows = report.models.iter().map(|model| {
        let mut row = vec![model.label.clone()];
        row.extend(names.iter().map(|name| model.metrics.get(name).map_or("cannot".to_owned(), figure)));
        if model.cannot.is_none() {
            let blank = |name: &&str| model.metrics.get(name).is_none();
            for (place, _) in names.iter().enumerate().filter(|(_, name)| blank(name)) {
                row[place + 1] = "–".to_owned();
            }
        }
        if report.models.len() > 1 {
            let paired = model.paired.as_ref();
            row.push(
                paired.map_or_else(String::new, |paired| format!("{:+.4}", paired.test.mean_difference)),
            );
            row.push(paired.map_or_else(String::new, |paired| p_value(&paired.test)));
        }
        row.extend(costs(model));
        row
    });
    Grid { header, rows: rows.collect() }
}

pub(crate) fn per_fold(report: &EvalReport) -> Grid {
    let mut header = vec!["model".to_owned()];
    header.extend(report.folds.iter().cloned());
    header.push("mean ± 95 %".to_owned());
    let rows = report.models.iter().filter_map(|model| {
        let summary = model.metrics.get(&report.main_metric)?;
        let mut row = vec![model.label.clone()];
        row.extend(summary.folds.iter().map(|value| format!("{value:.4}")));
        row.push(figure(summary));
        Some(row)
    });
    Grid { header, rows: rows.collect() }
}

fn calibration(report: &EvalReport) -> Grid {
    let new_users = report.models.iter().flat_map(|model| &model.calibration).any(|row| row.given.is_some());
    let mut header = vec!["model".to_owned()];
    header.extend(new_users.then(|| "given".to_owned()));
    let mut levels: Vec<f64> =
        report.models.iter().flat_map(|model| &model.calibration).map(|row| row.level).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    header.extend(levels.iter().map(|level| format!("{:.0} %", level * 100.0)));
    let mut rows: Vec<Vec<String>> = Vec::new();
    for model in &report.models {
        for row in &model.calibration {
            let mut start = vec![model.label.clone()];
            start.extend(row.given.clone());
            let share = format!("{:.1} %", row.coverage.mean * 100.0);
            match rows.last_mut() {
                Some(last) if last.starts_with(&start) => last.push(share),
                _ => {
                    start.push(share);
                    rows.push(start);
                }
            }
        }
    }
    Grid { header, rows }
}

fn block(Grid { header, rows }: Grid) -> String {
    let mut table = Table::new();
    let line = LineStyle::none().fill('─').junction('─');
    table.load_style(TableStyle::new().header_separator(line));
    // The same text wherever it goes: not cut to a terminal's width, no escape sequences.
    table.set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
    table.set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt() + "\n"
}
