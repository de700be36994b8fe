//! A report as one HTML page that needs nothing else: plots are SVG in the page, styles too, no script, no address.

use std::fmt::Write as _;

use serde_json::Value;

use crate::beside::{by_cutoff, figures_beside, verdicts};
use crate::error::EvalError;
use crate::newcomers;
use crate::published::Published;
use crate::report::{EvalReport, ModelReport};
use crate::table::{
    Grid, costs, headline, in_words, longest_list, lower_is_better, metric_names, p_value, shown_names,
};
use crate::tune::Trial;

mod plots;

pub use plots::panels::{Panel, Stroke};

const STYLE: &str = include_str!("style.css");

/// Draws the report as a page.
///
/// # Errors
/// [`EvalError::Plot`] if the drawing library fails.
pub fn render(report: &EvalReport) -> Result<String, EvalError> {
    page(report, &format!("{}: {}", report.data.name, report.protocol), "")
}

/// As [`render`], with the published figures beside those of the report.
///
/// # Errors
/// [`EvalError::Plot`] if the drawing library fails.
pub fn render_beside(report: &EvalReport, published: &Published) -> Result<String, EvalError> {
    let mut first = format!("<p>{}</p>\n", escape(&published.about));
    if let Some(svg) = plots::by_x(report, published)? {
        let keys = [("ours", 0), ("published", 1)]
            .into_iter()
            .filter(|&(_, series)| series == 0 || published.paper.iter().any(|paper| paper.mean.is_some()))
            .map(|(name, series)| (plots::series_variable(series), name.to_owned()));
        let caption = "Mean of the folds; bars: 95 % confidence intervals.";
        let heading =
            format!("{} by {}", plots::metric_name(report), published.x.as_deref().unwrap_or_default());
        section(&mut first, &heading, &plot(&key_list(&keys.collect::<Vec<_>>()), &svg, caption));
    }
    for verdict in verdicts(report, published) {
        let _ = writeln!(first, "<p>{}</p>", escape(&verdict));
    }
    let beside = if published.metrics.is_empty() {
        beside(report, published)
    } else {
        grid(figures_beside(report, published))
            + "<p class=\"quiet\">Of ours ± is a standard deviation over fits, of others what they say.</p>\n"
    };
    if published.has_figures() {
        section(&mut first, "Published and measured", &beside);
    }
    for (figure, by_length) in by_cutoff(report, published) {
        section(&mut first, &format!("{figure} by length of the list"), &grid(by_length));
    }
    page(report, &published.title, &first)
}

/// Draws curves as a picture of its own, a panel each, that needs no page around it.
///
/// # Errors
/// [`EvalError::Plot`] if the drawing library fails.
pub fn render_panels(title: &str, panels: &[Panel]) -> Result<String, EvalError> {
    plots::panels::draw_panels(title, panels)
}

/// Draws a search over settings as a page: the figure trial by trial, and by each setting that was searched. `spaces` are settings with
/// their spaces in words.
///
/// # Errors
/// [`EvalError::Plot`] if the drawing library fails.
pub fn render_search(
    title: &str,
    metric: &str,
    spaces: &[(String, String)],
    trials: &[Trial],
) -> Result<String, EvalError> {
    let metric = in_words(metric);
    let mut body = format!("<h1>{}</h1>\n", escape(title));
    if let Some(svg) = plots::by_trial(&metric, trials)? {
        section(&mut body, "Trial by trial", &plot("", &svg, "The first trial has the default settings."));
    }
    let mut drawn = String::new();
    for (key, space) in spaces {
        if let Some(svg) = plots::by_setting(key, &metric, trials)? {
            drawn += &plot("", &svg, &escape(&format!("{key}: {space}")));
        }
    }
    if !drawn.is_empty() {
        section(&mut body, "By setting", &format!("<div class=\"pair\">\n{drawn}</div>\n"));
    }
    let keys = spaces.iter().map(|(key, _)| key.clone());
    let header: Vec<String> =
        ["trial".to_owned(), metric, "fit".to_owned()].into_iter().chain(keys).collect();
    let rows = trials.iter().map(|trial| {
        let figure = trial.value.map_or_else(
            || trial.problem.clone().unwrap_or_else(|| "failed".to_owned()),
            |value| format!("{value:.4}"),
        );
        let cells = [trial.number.to_string(), figure, crate::table::duration(trial.seconds)];
        let settings = spaces
            .iter()
            .map(|(key, _)| trial.settings.get(key).map_or("default".to_owned(), Value::to_string));
        cells.into_iter().chain(settings).map(|cell| (cell, false)).collect()
    });
    section(&mut body, "Trials", &table(&header, rows));
    Ok(document(&escape(title), &body))
}

/// The page: a title, what comes first, and all that a report holds.
fn page(report: &EvalReport, title: &str, first: &str) -> Result<String, EvalError> {
    let title = escape(title);
    let mut body = format!("<h1>{title}</h1>\n<p class=\"quiet\">{}</p>\n{first}", escape(&headline(report)));
    section(&mut body, "Figures", &(figures(report) + &all_figures(report)));
    if let Some(svg) = plots::intervals(report)? {
        let caption =
            "Large dot: mean of the folds; bar: its 95 % confidence interval; small dots: the folds.";
        section(&mut body, &plots::metric_name(report), &plot("", &svg, caption));
    }
    if let Some(svg) = plots::by_given(report)? {
        let caption = "Every column is tested on the same ratings; a user with fewer to give gives all.";
        section(
            &mut body,
            &format!("{} by ratings given", newcomers::figure_name(report)),
            &plot(&keys_by_given(report), &svg, caption),
        );
    }
    let leads = newcomers::leads(report);
    if let Some(grid) = newcomers::grid(report, &leads) {
        let sentence = newcomers::in_a_sentence(report, &leads).unwrap_or_default();
        let content = format!("<p>{}</p>\n{}", escape(&sentence), plain(grid));
        section(&mut body, &format!("Who leads in {}", newcomers::figure_name(report)), &content);
    }
    if let Some(times) = newcomers::times(report) {
        let note = "<p class=\"quiet\">Median of users served one at a time: generating, scoring all items and ranking them. Who is \
                    fitted again waits for the fit.</p>\n";
        let heading = format!("Time for a list of {} items by ratings given", longest_list(report));
        section(&mut body, &heading, &(plain(times) + note));
    }
    let by_length = plots::by_length(report)?;
    if !by_length.is_empty() {
        let caption =
            "Bands: 95 % confidence interval over users, or a standard deviation over fits to either side.";
        let drawn: String = by_length.iter().map(|svg| plot("", svg, "")).collect();
        let keys = keys(report, |model| !model.metrics.0.is_empty());
        let content =
            format!("{keys}<div class=\"pair\">\n{drawn}</div>\n<p class=\"quiet\">{caption}</p>\n");
        section(&mut body, "By length of the list", &content);
    }
    section(&mut body, &format!("{} in each fold", plots::metric_name(report)), &per_fold(report));
    section(&mut body, "Cost", &cost(report));
    section(&mut body, "Learning curves", &learning(report)?);
    if let Some(svg) = plots::calibration(report)? {
        let caption = "On the dashed line, intervals hold as often as they say; above it they are too wide.";
        let drawn = plot(&keys(report, |model| !model.calibration.is_empty()), &svg, caption);
        section(
            &mut body,
            "Calibration of predictive intervals",
            &format!("<div class=\"narrow\">{drawn}</div>"),
        );
    }
    section(&mut body, "Models", &models(report));
    section(&mut body, "Provenance", &provenance(report));
    Ok(document(&title, &body))
}

/// A whole document around a body.
fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n{body}</main>\n</body>\n</html>\n"
    )
}

/// A heading and what belongs under it; nothing if nothing does.
fn section(body: &mut String, heading: &str, content: &str) {
    if !content.is_empty() {
        let _ = write!(body, "<section>\n<h2>{}</h2>\n{content}</section>\n", escape(heading));
    }
}

fn plot(keys: &str, svg: &str, caption: &str) -> String {
    format!("<figure>\n{keys}{svg}<figcaption>{caption}</figcaption>\n</figure>\n")
}

/// Which colour is which of the models that are drawn.
fn keys(report: &EvalReport, drawn: fn(&ModelReport) -> bool) -> String {
    let items: Vec<_> = report
        .models
        .iter()
        .enumerate()
        .filter(|(_, model)| drawn(model))
        .map(|(number, model)| (plots::series_variable(number), escape(&model.label)))
        .collect();
    key_list(&items)
}

/// As [`keys`], where a model and the same fitted again have one colour.
fn keys_by_given(report: &EvalReport) -> String {
    let items: Vec<_> = report
        .models
        .iter()
        .enumerate()
        .filter(|(_, model)| !model.metrics.0.is_empty())
        .map(|(number, model)| {
            let (series, dashed) = plots::style_by_given(report, number);
            let dashed = if dashed { " (dashed)" } else { "" };
            (plots::series_variable(series), escape(&model.label) + dashed)
        })
        .collect();
    key_list(&items)
}

/// A table without a best.
fn plain(Grid { header, rows }: Grid) -> String {
    table(&header, rows.into_iter().map(|row| row.into_iter().map(|cell| (cell, false)).collect()))
}

fn key_list(items: &[(String, String)]) -> String {
    let items: String =
        items.iter().map(|(colour, name)| format!("<li style=\"--key: {colour}\">{name}</li>")).collect();
    format!("<ul class=\"keys\">{items}</ul>\n")
}

fn figures(report: &EvalReport) -> String {
    let names = shown_names(report);
    let best = |name: &str| best(report, name);
    let mut header = vec!["model".to_owned()];
    header.extend(names.iter().map(|name| in_words(name)));
    let against = report.models.first().map_or("", |model| model.label.as_str());
    let compared = report.models.len() > 1;
    if compared {
        header.extend([format!("{} − {against}", in_words(&report.main_metric)), "p (Holm)".to_owned()]);
    }
    let rows = report.models.iter().map(|model| {
        let mut row = vec![(model.label.clone(), false)];
        row.extend(names.iter().map(|name| match model.metrics.get(name) {
            Some(summary) => {
                let figure = format!("{:.4}", summary.mean);
                (with_interval(figure, summary.interval()), best(name) == Some(summary.mean))
            }
            None if model.cannot.is_some() => ("cannot".to_owned(), false),
            None => ("–".to_owned(), false),
        }));
        if compared {
            let paired = model.paired.as_ref();
            row.push((
                paired.map_or_else(String::new, |paired| {
                    with_interval(format!("{:+.4}", paired.test.mean_difference), paired.test.ci95)
                }),
                false,
            ));
            row.push((paired.map_or_else(String::new, |paired| p_value(&paired.test)), false));
        }
        row
    });
    let ranks = report.main_metric.starts_with("ndcg");
    let note = format!(
        "<p class=\"quiet\">Mean over folds ± half the width of its 95 % confidence interval{}. \
         {} ratings tested in all.</p>\n",
        if ranks {
            " (with one fold over users); higher is better, but for gini; the best of a column is bold"
        } else {
            "; lower is better"
        },
        report.test_ratings.iter().sum::<usize>(),
    );
    let notes: String =
        report.notes.iter().map(|note| format!("<p class=\"quiet\">{}</p>\n", escape(note))).collect();
    table(&header, rows) + &note + &notes
}

/// The best mean of a figure.
fn best(report: &EvalReport, name: &str) -> Option<f64> {
    let means = report.models.iter().filter_map(|model| Some(model.metrics.get(name)?.mean));
    if lower_is_better(name) { means.reduce(f64::min) } else { means.reduce(f64::max) }
}

/// Every figure of every model, where they are too many for the first table: a line a figure, a column a model.
fn all_figures(report: &EvalReport) -> String {
    let names = metric_names(report);
    if names.len() <= shown_names(report).len() {
        return String::new();
    }
    let header: Vec<String> = ["figure".to_owned()]
        .into_iter()
        .chain(report.models.iter().map(|model| model.label.clone()))
        .collect();
    let rows = names.iter().map(|name| {
        let best = best(report, name);
        let cells = report.models.iter().map(|model| match model.metrics.get(name) {
            Some(summary) => (format!("{:.4}", summary.mean), best == Some(summary.mean)),
            None => ("–".to_owned(), false),
        });
        [(in_words(name), false)].into_iter().chain(cells).collect()
    });
    format!("<details>\n<summary>Every figure</summary>\n{}</details>\n", table(&header, rows))
}

/// A grid without marks.
fn grid(grid: Grid) -> String {
    table(&grid.header, grid.rows.into_iter().map(|row| row.into_iter().map(|cell| (cell, false)).collect()))
}

fn beside(report: &EvalReport, published: &Published) -> String {
    let header =
        ["model", "figure", "paper", "ours", "paper, each fold", "ours, each fold"].map(str::to_owned);
    let each = |folds: &[f64]| folds.iter().map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(" ");
    let rows = published.paper.iter().filter_map(|paper| {
        let model = report.model(&paper.label)?;
        let summary = model.metrics.get(&paper.metric);
        let row = [
            paper.label.clone(),
            in_words(&paper.metric),
            paper.mean.map_or_else(|| "–".to_owned(), |mean| format!("{mean:.4}")),
            summary.map_or_else(
                || "–".to_owned(),
                |summary| with_interval(format!("{:.4}", summary.mean), summary.ci95),
            ),
            each(&paper.folds),
            summary.map_or_else(String::new, |summary| each(&summary.folds)),
        ];
        Some(row.map(|cell| (cell, false)).to_vec())
    });
    table(&header, rows)
}

/// A figure with its interval, which [`table`] sets apart.
fn with_interval(figure: String, ci95: Option<f64>) -> String {
    ci95.map_or_else(|| figure.clone(), |ci95| format!("{figure} ± {ci95:.4}"))
}

fn per_fold(report: &EvalReport) -> String {
    if report.folds.len() < 2 {
        return String::new();
    }
    let mut header = vec!["model".to_owned()];
    header.extend(report.folds.iter().map(|fold| format!("fold {fold}")));
    header.push("mean".to_owned());
    let rows = report.models.iter().filter_map(|model| {
        let summary = model.metrics.get(&report.main_metric)?;
        let values = summary.folds.iter().chain([&summary.mean]);
        Some(
            [(model.label.clone(), false)]
                .into_iter()
                .chain(values.map(|value| (format!("{value:.4}"), false)))
                .collect(),
        )
    });
    table(&header, rows)
}

fn cost(report: &EvalReport) -> String {
    let header = ["model", "fit", "one user", "of", "peak memory", "rise during the fit"].map(str::to_owned);
    let rows = report.models.iter().map(|model| {
        let [fit, user, peak, rise] = costs(model);
        let of = model.seconds_per_user_of.clone().unwrap_or_default();
        [model.label.clone(), fit, user, of, peak, rise].map(|cell| (cell, false)).to_vec()
    });
    table(&header, rows)
        + "<p class=\"quiet\">Fit: mean of the folds. One user: median time from a history to the user's factors, or to \
           the scores of all items, one user at a time. Memory: of the whole process, the most of all folds.</p>\n"
}

fn learning(report: &EvalReport) -> Result<String, EvalError> {
    let mut drawn = String::new();
    for (at, model) in report.models.iter().enumerate() {
        let same = |other: &&ModelReport| other.learning_curves == model.learning_curves;
        if report.models[..at].iter().any(|other| same(&other)) {
            continue;
        }
        for svg in plots::learning(model)? {
            let labels: Vec<_> =
                report.models[at..].iter().filter(same).map(|model| escape(&model.label)).collect();
            drawn += &plot("", &svg, &labels.join("; "));
        }
    }
    if drawn.is_empty() {
        return Ok(drawn);
    }
    let mut keys = vec![(plots::series_variable(0), "training (dashed)".to_owned())];
    let points =
        report.models.iter().flat_map(|model| &model.learning_curves).flat_map(|curve| &curve.epochs);
    if points.into_iter().any(|point| point.validation_rmse.or(point.validation_ndcg).is_some()) {
        keys.push((plots::series_variable(1), "validation slice of the training part".to_owned()));
    }
    let keys = key_list(&keys);
    Ok(format!("{keys}<div class=\"pair\">\n{drawn}</div>\n"))
}

fn models(report: &EvalReport) -> String {
    report.models.iter().map(one_model).collect()
}

fn one_model(model: &ModelReport) -> String {
    let config = serde_json::to_string_pretty(&model.config).unwrap_or_default();
    let name = Some(&model.model).filter(|name| **name != model.label);
    let aside: Vec<String> = name.into_iter().chain(&model.new_users).map(|word| escape(word)).collect();
    let notes: String = model
        .cannot
        .iter()
        .chain(&model.notes)
        .map(|note| format!("<p class=\"quiet\">{}</p>\n", escape(note)))
        .collect();
    format!(
        "<details>\n<summary>{} <span class=\"quiet\">{}</span></summary>\n{notes}<pre>{}</pre>\n</details>\n",
        escape(&model.label),
        aside.join(" · "),
        escape(&config),
    )
}

fn provenance(report: &EvalReport) -> String {
    let data = &report.data;
    let scale = data.scale.map(|scale| format!(", scale {} to {}", scale.min, scale.max)).unwrap_or_default();
    let facts = [
        (
            "data",
            format!(
                "{}: {} users, {} items, {} ratings{scale}",
                data.name, data.users, data.items, data.ratings
            ),
        ),
        ("data fingerprint", data.fingerprint.clone()),
        ("protocol", report.protocol.clone()),
        ("folds run", format!("{} (of {})", report.folds.join(", "), report.of_folds)),
        ("seed", report.seed.to_string()),
        ("code version", report.code_version.clone()),
        ("threads", report.threads.to_string()),
        ("machine", format!("{}, {} cores", report.machine.cpu, report.machine.cores)),
    ];
    let rows: String = facts
        .iter()
        .map(|(name, fact)| format!("<tr><td>{name}</td><td>{}</td></tr>\n", escape(fact)))
        .collect();
    format!("<table class=\"facts\">\n{rows}</table>\n")
}

/// A table; cells marked are the best of their column.
fn table(header: &[String], rows: impl Iterator<Item = Vec<(String, bool)>>) -> String {
    // Many columns are kept narrow by intervals that stand below their figures.
    let class = if header.len() > 7 { " class=\"narrow-cells\"" } else { "" };
    let mut out = format!("<div class=\"scroll\"><table{class}>\n<tr>");
    for name in header {
        let _ = write!(out, "<th>{}</th>", escape(name));
    }
    out += "</tr>\n";
    for row in rows {
        out += "<tr>";
        for (cell, best) in row {
            let class = if best { " class=\"best\"" } else { "" };
            let cell = match cell.split_once(" ± ") {
                Some((figure, ci95)) => format!("{} <small>± {}</small>", escape(figure), escape(ci95)),
                None => escape(&cell),
            };
            let _ = write!(out, "<td{class}>{cell}</td>");
        }
        out += "</tr>\n";
    }
    out + "</table></div>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
