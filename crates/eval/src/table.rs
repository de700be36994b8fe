//! A report as tables for the terminal.

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use crate::beside::{by_cutoff, figures_beside, verdicts};
use crate::newcomers;
use crate::published::Published;
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
    if let Some(times) = newcomers::times(report) {
        out += &format!("\nTime from what one new user gave to a list of {} items\n", longest_list(report));
        out += &block(times);
    }
    let leads = newcomers::leads(report);
    if let Some(grid) = newcomers::grid(report, &leads) {
        out += &format!("\n{} by what new users gave\n", newcomers::figure_name(report));
        out += &block(grid);
    }
    if let Some(sentence) = newcomers::in_a_sentence(report, &leads) {
        out += &format!("{sentence}\n");
    }
    if report.models.iter().any(|model| !model.calibration.is_empty()) {
        out += "\nShare of test ratings within predictive intervals\n";
        out += &block(calibration(report));
    }
    for note in &report.notes {
        out += &format!("{note}\n");
    }
    for model in &report.models {
        for note in model.cannot.iter().chain(&model.notes) {
            out += &format!("{}: {note}\n", model.label);
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// Draws what a recipe asks for beside its lines: figures in columns with those that others published, figures by length of the list, and
/// whether claims hold. Empty if it asks for none of these; else without a newline at the end.
#[must_use]
pub fn render_beside(report: &EvalReport, published: &Published) -> String {
    let mut out = String::new();
    if !published.metrics.is_empty() {
        out += &block(figures_beside(report, published));
    }
    for (figure, grid) in by_cutoff(report, published) {
        out += &format!("\n{figure} by length of the list\n");
        out += &block(grid);
    }
    for verdict in verdicts(report, published) {
        out += &format!("\n{verdict}\n");
    }
    out.trim().to_owned()
}

/// One line on data, protocol, folds and seed.
#[must_use]
pub fn headline(report: &EvalReport) -> String {
    let of = if !given_splits(report) && report.folds.len() == report.of_folds {
        format!("{} folds", report.of_folds)
    } else if given_splits(report) {
        format!("splits {}", report.folds.join(", "))
    } else {
        format!("folds {} of {}", report.folds.join(", "), report.of_folds)
    };
    let partial = if report.partial { " · PARTIAL: stopped early" } else { "" };
    format!("{} · protocol {} · {of} · seed {}{partial}", report.data.name, report.protocol, report.seed)
}

/// Whether the folds are splits that the caller brought, and have names instead of numbers.
fn given_splits(report: &EvalReport) -> bool {
    report.folds.iter().any(|fold| fold.parse::<usize>().is_err())
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

/// Places of the longest lists that were measured.
pub(crate) fn longest_list(report: &EvalReport) -> usize {
    let places = |name: &str| name.split_once('@')?.1.split('/').next()?.parse().ok();
    metric_names(report).into_iter().filter_map(places).max().unwrap_or(0)
}

/// Of these, the ones that fit a table: all of errors; of lists those at the main cutoff, or with new users the main figure by what
/// they give.
pub(crate) fn shown_names(report: &EvalReport) -> Vec<&str> {
    let main = report.main_metric.as_str();
    let names = metric_names(report);
    match (main.split_once('/'), main.split_once('@')) {
        _ if !main.starts_with("ndcg") => names,
        (Some((figure, _)), _) => names
            .into_iter()
            .filter(|name| name.split_once('/').is_some_and(|(of, _)| of == figure))
            .collect(),
        (None, Some((_, places))) => names
            .into_iter()
            .filter(|name| name.split_once('@').is_some_and(|(_, of)| of == places))
            .collect(),
        (None, None) => names,
    }
}

/// Whether less of a figure is better.
pub(crate) fn lower_is_better(name: &str) -> bool {
    ["rmse", "mae", "gini"].iter().any(|figure| name.starts_with(figure))
}

/// A figure's name as it is read.
pub(crate) fn in_words(name: &str) -> String {
    let figure = name.find('@').map_or(name, |at| &name[..at]);
    let word = match figure {
        "rmse" | "mae" | "map" | "mrr" | "f1" => figure.to_uppercase(),
        "ndcg" => "nDCG".to_owned(),
        other => other.to_owned(),
    };
    word + &name[figure.len()..]
}

/// A figure with its interval, and with the deviation over fits, if there were several.
pub(crate) fn figure(summary: &Summary) -> String {
    let mut out = format!("{:.4}", summary.mean);
    if let Some(interval) = summary.interval() {
        out += &format!(" ± {interval:.4}");
    }
    if let Some(deviation) = summary.sd_fits {
        out += &format!(" (sd {deviation:.4})");
    }
    out
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
    let names = shown_names(report);
    let against = report.models.first().map_or("", |model| model.label.as_str());
    let mut header = vec!["model".to_owned()];
    header.extend(names.iter().map(|name| in_words(name)));
    // Six figures with their intervals would not fit a terminal; those of the main one stand beside its folds, where there are some.
    let main = if report.folds.len() == 1 { report.main_metric.as_str() } else { "" };
    let figure = |name: &str, summary: &Summary| {
        if names.len() > 3 && name != main { format!("{:.4}", summary.mean) } else { figure(summary) }
    };
    if report.models.len() > 1 {
        let of = if report.main_metric.contains('@') { in_words(&report.main_metric) } else { String::new() };
        header.extend([format!("{of} − {against}").trim_start().to_owned(), "p (Holm)".to_owned()]);
    }
    header.extend(["fit", "one user", "peak", "rise"].map(str::to_owned));
    let rows = report.models.iter().map(|model| {
        let mut row = vec![model.label.clone()];
        row.extend(names.iter().map(|name| {
            model.metrics.get(name).map_or("cannot".to_owned(), |summary| figure(name, summary))
        }));
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
