//! New users who are shown lists: how long a list takes by what they gave, and who leads. Read off a report, for all that render it.

use crate::report::{EvalReport, ModelReport};
use crate::statistics::{PairedTest, mean};
use crate::table::{Grid, duration, in_words, metric_names, p_value};

/// What new users give in the columns of a report, with the name of the main figure in each; none where no lists are made for them.
pub(crate) fn columns(report: &EvalReport) -> Vec<(&str, &str)> {
    let Some(prefix) = report.main_metric.strip_suffix("all").filter(|prefix| prefix.ends_with('/')) else {
        return Vec::new();
    };
    metric_names(report).into_iter().filter_map(|name| Some((name.strip_prefix(prefix)?, name))).collect()
}

/// Whether a model was fitted again with what the new users gave.
pub(crate) fn is_retrained(model: &ModelReport) -> bool {
    model.new_users.as_deref().is_some_and(|mode| mode.starts_with("retrain"))
}

/// Time for one list by what was given, and what fitting took; `None` if nothing was timed.
pub(crate) fn times(report: &EvalReport) -> Option<Grid> {
    let columns = columns(report);
    let timed = |model: &&ModelReport| !model.seconds_per_list.is_empty();
    report.models.iter().find(timed)?;
    let mut header = vec!["model".to_owned()];
    header.extend(columns.iter().map(|(given, _)| format!("{given} given")));
    header.push("fit".to_owned());
    let rows = report.models.iter().map(|model| {
        let mut row = vec![model.label.clone()];
        row.extend(columns.iter().map(|(given, _)| {
            let seconds = model.seconds_per_list.get(given).and_then(|seconds| mean(seconds));
            seconds.map_or_else(|| "–".to_owned(), duration)
        }));
        row.push(mean(&model.fit_seconds).map_or_else(String::new, duration));
        row
    });
    Some(Grid { header, rows: rows.collect() })
}

/// The first model beside the best of the others that serve new users as it does, for one number of given ratings. Others are other models,
/// or, where there are none, the same with other settings.
pub(crate) struct Lead<'a> {
    pub(crate) given: &'a str,
    own: f64,
    other: &'a ModelReport,
    best: f64,
    /// Of the other less the first.
    test: Option<&'a PairedTest>,
    /// The first model, fitted again.
    retrained: Option<f64>,
}

impl Lead<'_> {
    pub(crate) fn leads(&self) -> bool {
        self.own >= self.best
    }
}

/// One for each number of given ratings; none without lists for new users or without another model.
pub(crate) fn leads(report: &EvalReport) -> Vec<Lead<'_>> {
    let serves = |model: &&ModelReport| model.new_users.as_deref() == Some("history");
    let Some((first, others)) = report.models.split_first().filter(|(first, _)| serves(first)) else {
        return Vec::new();
    };
    let again = others
        .iter()
        .find(|other| is_retrained(other) && other.model == first.model && other.config == first.config);
    let other_models = others.iter().filter(serves).any(|other| other.model != first.model);
    let rival = |other: &&ModelReport| serves(other) && (!other_models || other.model != first.model);
    let of = |model: &ModelReport, name: &str| model.metrics.get(name).map(|summary| summary.mean);
    columns(report)
        .into_iter()
        .filter_map(|(given, name)| {
            let own = of(first, name)?;
            let rivals = others.iter().filter(rival).filter_map(|other| Some((of(other, name)?, other)));
            let (best, other) = rivals.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
            let test = other.paired.as_ref().and_then(|paired| paired.by_metric.get(name));
            Some(Lead { given, own, other, best, test, retrained: again.and_then(|again| of(again, name)) })
        })
        .collect()
}

/// Who leads, in a sentence.
pub(crate) fn in_a_sentence(report: &EvalReport, leads: &[Lead<'_>]) -> Option<String> {
    let first = report.models.first()?;
    let figure = figure_name(report);
    let (ahead, behind): (Vec<&Lead<'_>>, Vec<&Lead<'_>>) = leads.iter().partition(|lead| lead.leads());
    if leads.is_empty() {
        return None;
    }
    let given = |leads: &[&Lead<'_>]| leads.iter().map(|lead| lead.given).collect::<Vec<_>>().join(", ");
    if behind.is_empty() {
        return Some(format!(
            "{} is ahead of every other model that is not fitted again in {figure}, whatever is given.",
            first.label
        ));
    }
    let mut out = if ahead.is_empty() {
        format!("{} leads nowhere in {figure}", first.label)
    } else {
        let given = given(&ahead);
        format!(
            "{} is ahead of every other model that is not fitted again in {figure} with {given} given",
            first.label
        )
    };
    let where_behind = behind.iter().map(|lead| {
        let p = lead.test.map_or_else(String::new, |test| format!(" (p {})", p_value(test)));
        format!(
            "with {} given, where {} has {:.4} more{p}",
            lead.given,
            lead.other.label,
            lead.best - lead.own
        )
    });
    out += &format!("; it does not lead {}.", where_behind.collect::<Vec<_>>().join(", "));
    Some(out)
}

/// Who leads, as a table.
pub(crate) fn grid(report: &EvalReport, leads: &[Lead<'_>]) -> Option<Grid> {
    let first = report.models.first().filter(|_| !leads.is_empty())?;
    let retrained = leads.iter().any(|lead| lead.retrained.is_some());
    let mut header: Vec<String> =
        ["given", &first.label, "best other", "its figure", "difference", "p (Holm)"]
            .map(str::to_owned)
            .to_vec();
    header.extend(retrained.then(|| format!("{}, fitted again", first.label)));
    let rows = leads.iter().map(|lead| {
        let digits = |value: f64| format!("{value:.4}");
        let mut row = vec![
            lead.given.to_owned(),
            digits(lead.own),
            lead.other.label.clone(),
            digits(lead.best),
            format!("{:+.4}", lead.own - lead.best),
            lead.test.map_or_else(String::new, p_value),
        ];
        row.extend(retrained.then(|| lead.retrained.map_or_else(|| "–".to_owned(), digits)));
        row
    });
    Some(Grid { header, rows: rows.collect() })
}

/// The main figure without what is given.
pub(crate) fn figure_name(report: &EvalReport) -> String {
    in_words(report.main_metric.trim_end_matches("all").trim_end_matches(['@', '/']))
}
