//! A report as a page of Markdown, to be kept beside the code whose figures it holds.

use std::fmt::Write as _;

use crate::beside::{by_cutoff, figures_beside, verdicts};
use crate::newcomers;
use crate::published::Published;
use crate::report::{EvalReport, ModelReport};
use crate::table::{Grid, figures, headline, in_words, longest_list, per_fold};

/// Renders the report, with published figures beside it if there are any. `command` is what made it, as a reader would type it.
#[must_use]
pub fn render(report: &EvalReport, published: Option<&Published>, command: &str) -> String {
    let title = published.map_or_else(
        || format!("{}: {}", report.data.name, report.protocol),
        |published| published.title.clone(),
    );
    let mut out = format!("# {title}\n\n");
    if let Some(published) = published {
        let _ = write!(out, "{}\n\n", published.about);
    }
    let _ = write!(out, "Made by `{command}`, and changed by no hand.\n\n{}\n\n", headline(report));
    if let Some(published) = published {
        for verdict in verdicts(report, published) {
            let _ = write!(out, "{verdict}\n\n");
        }
        if published.has_figures() {
            out += &section("Published and measured", &figures_beside(report, published));
        }
        for (figure, grid) in by_cutoff(report, published) {
            out += &section(&format!("{figure} by length of the list"), &grid);
        }
    }
    out += &section("Figures", &figures(report));
    if report.folds.len() > 1 {
        out += &section(&format!("{} in each fold", in_words(&report.main_metric)), &per_fold(report));
    }
    let leads = newcomers::leads(report);
    if let Some(grid) = newcomers::grid(report, &leads) {
        out += &section(&format!("{} by what new users gave", newcomers::figure_name(report)), &grid);
    }
    if let Some(sentence) = newcomers::in_a_sentence(report, &leads) {
        let _ = write!(out, "{sentence}\n\n");
    }
    if let Some(times) = newcomers::times(report) {
        let places = longest_list(report);
        out += &section(&format!("Time from what one new user gave to a list of {places} items"), &times);
    }
    for note in &report.notes {
        let _ = writeln!(out, "- {note}");
    }
    for model in &report.models {
        for note in model.cannot.iter().chain(&model.notes) {
            let _ = writeln!(out, "- {}: {note}", model.label);
        }
    }
    let machine = &report.machine;
    let _ = write!(
        out,
        "\n{} Fit: mean of the folds; one user: median time for one user at a time; peak and rise: memory of the process, and by how much a \
         fit raised it.\n\nFoldin {}, {} threads of {}; data {} with fingerprint `{}`.\n",
        how_figures_are_made(report),
        report.code_version,
        report.threads,
        machine.cpu,
        report.data.name,
        report.data.fingerprint
    );
    out
}

/// What ± and p stand for. Figures of lists are means over users, and so are their tests.
fn how_figures_are_made(report: &EvalReport) -> &'static str {
    let users = |model: &ModelReport| model.metrics.iter().any(|(_, summary)| summary.ci95_users.is_some());
    match (report.models.iter().any(users), report.folds.len() > 1) {
        (true, true) => {
            "Mean over folds ± half the width of its 95 % confidence interval, or, where ± is said to be of fits, their standard deviation; \
             differences are from the first model, paired by user."
        }
        (true, false) => {
            "Means over users ± half the width of their 95 % confidence interval, and in brackets, of several fits, the standard deviation over these (where ± is \
             said to be of fits, it is that); differences are from the first model, paired by user."
        }
        (false, _) => {
            "Mean over folds ± half the width of its 95 % confidence interval; differences are paired by fold against the first model."
        }
    }
}

fn section(heading: &str, grid: &Grid) -> String {
    format!("## {heading}\n\n{}\n", table(grid))
}

fn table(grid: &Grid) -> String {
    table_of(&grid.header, &grid.rows)
}

/// A table of Markdown: the first column to the left, the others to the right.
#[must_use]
pub fn table_of(header: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| {
        let cells = cells.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule: Vec<String> =
        (0..header.len()).map(|at| if at == 0 { "---".to_owned() } else { "---:".to_owned() }).collect();
    let mut out = line(header) + &line(&rule);
    rows.iter().for_each(|row| out += &line(row));
    out
}
