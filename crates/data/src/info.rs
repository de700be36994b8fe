//! What is in a data set, in figures.

use std::fmt;

use foldin_core::{Csr, Dataset, FeatureSchema, Feedback, FieldKind};
use serde::Serialize;

use crate::report::ReadReport;
use crate::text::format_time;

/// More distinct values than this are shown in as many equal ranges.
const BARS: usize = 10;
/// Width of the longest bar of the histogram, in characters.
const BAR_WIDTH: usize = 40;

/// One bar of the histogram of ratings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Lowest rating counted here.
    pub from: f32,
    /// Highest rating counted here; equal to `from` for a single value.
    pub to: f32,
    /// How many there are.
    pub count: u64,
}

/// Least, median and most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Spread {
    /// The smallest count.
    pub least: usize,
    /// The middle one (the lower of two).
    pub median: usize,
    /// The largest count.
    pub most: usize,
}

/// A data set in figures. Prints as a table; serialises to JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatasetInfo {
    /// Name of the data set.
    pub name: String,
    /// The file of interactions.
    pub file: String,
    /// The format it is in.
    pub format: String,
    /// Number of users, those without interactions included.
    pub users: usize,
    /// Users with at least one interaction.
    pub users_active: usize,
    /// Number of items, those without interactions included.
    pub items: usize,
    /// Items with at least one interaction.
    pub items_rated: usize,
    /// Number of interactions.
    pub ratings: usize,
    /// Interactions per cell of the matrix, 0 to 1.
    pub density: f64,
    /// What the values mean.
    pub feedback: Feedback,
    /// Whether the scale was read off the ratings, which may not reach its ends.
    pub scale_found: bool,
    /// Mean value.
    pub mean: f64,
    /// How often each rating was given, lowest first; empty for implicit data.
    pub histogram: Vec<Bar>,
    /// Interactions per active user.
    pub per_user: Spread,
    /// Interactions per rated item.
    pub per_item: Spread,
    /// How side information of users is encoded.
    pub user_features: FeatureSchema,
    /// How side information of items is encoded.
    pub item_features: FeatureSchema,
    /// Lines that repeated a pair of user and item, and were merged.
    pub duplicates: u64,
    /// The rule by which they were merged: `last` or `mean`.
    pub duplicates_rule: String,
    /// Lines that could not be used, and were left out.
    pub skipped: u64,
    /// First and last time, in Unix seconds; `None` without times.
    pub times: Option<(i64, i64)>,
    /// Fingerprint of the interactions.
    pub fingerprint: String,
    /// Remarks of the reader.
    pub notes: Vec<String>,
}

impl DatasetInfo {
    /// Counts everything.
    #[must_use]
    pub fn new(dataset: &Dataset, report: &ReadReport) -> Self {
        let interactions = &dataset.interactions;
        let (users, items, ratings) = (interactions.n_users(), interactions.n_items(), interactions.len());
        let (users_active, per_user) = spread(interactions.by_user());
        let (items_rated, per_item) = spread(interactions.by_item());
        let cells = users as f64 * items as f64;
        Self {
            name: dataset.name.clone(),
            file: report.file.clone(),
            format: report.format.to_owned(),
            users,
            users_active,
            items,
            items_rated,
            ratings,
            density: if cells > 0.0 { ratings as f64 / cells } else { 0.0 },
            feedback: interactions.feedback(),
            scale_found: report.scale_found,
            mean: interactions.mean(),
            histogram: match interactions.feedback() {
                Feedback::Explicit(_) => histogram(interactions.by_user().values()),
                Feedback::Implicit => Vec::new(),
            },
            per_user,
            per_item,
            user_features: (**dataset.user_features.schema()).clone(),
            item_features: (**dataset.item_features.schema()).clone(),
            duplicates: report.duplicates,
            duplicates_rule: report.duplicates_rule.name().to_owned(),
            skipped: report.skipped,
            times: interactions.times().and_then(|times| Some((*times.iter().min()?, *times.iter().max()?))),
            fingerprint: interactions.fingerprint(),
            notes: report.notes.clone(),
        }
    }
}

/// How many rows have entries, and how many each of these has.
fn spread(matrix: &Csr) -> (usize, Spread) {
    let mut counts: Vec<usize> =
        (0..matrix.n_rows()).map(|row| matrix.row_len(row)).filter(|&count| count > 0).collect();
    counts.sort_unstable();
    let at = |place: usize| counts.get(place).copied().unwrap_or(0);
    let last = counts.len().saturating_sub(1);
    (counts.len(), Spread { least: at(0), median: at(last / 2), most: at(last) })
}

fn histogram(values: &[f32]) -> Vec<Bar> {
    let mut bars: Vec<Bar> = Vec::new();
    for &value in values {
        match bars.binary_search_by(|bar| bar.from.total_cmp(&value)) {
            Ok(at) => bars[at].count += 1,
            Err(at) if bars.len() <= 2 * BARS => bars.insert(at, Bar { from: value, to: value, count: 1 }),
            Err(_) => return ranges(values),
        }
    }
    bars
}

/// Equal ranges over values that are too many to name.
fn ranges(values: &[f32]) -> Vec<Bar> {
    let (min, max) = values
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(min, max), &value| (min.min(value), max.max(value)));
    let width = (max - min) / BARS as f32;
    let edge = |at: usize| if at == BARS { max } else { min + width * at as f32 };
    let mut bars: Vec<Bar> = (0..BARS).map(|at| Bar { from: edge(at), to: edge(at + 1), count: 0 }).collect();
    for &value in values {
        bars[(((value - min) / width) as usize).min(BARS - 1)].count += 1;
    }
    bars
}

impl fmt::Display for DatasetInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, text: String| writeln!(f, "{name:<14}{text}");
        line("data set", format!("{} ({}: {})", self.name, self.format, self.file))?;
        line("users", counted(self.users, self.users_active, "with ratings"))?;
        line("items", counted(self.items, self.items_rated, "rated"))?;
        line("ratings", thousands(self.ratings as u64))?;
        line("density", format!("{:.4} %", 100.0 * self.density))?;
        match self.feedback {
            Feedback::Explicit(scale) => {
                let found = if self.scale_found { " (read off the ratings; --scale sets it)" } else { "" };
                let step = match scale.step {
                    Some(step) => format!(", in steps of {step}"),
                    // The ratings there are need not show every step.
                    None if self.scale_found => String::new(),
                    None => ", continuous".to_owned(),
                };
                line("scale", format!("{} to {}{step}; mean {:.5}{found}", scale.min, scale.max, self.mean))?;
            }
            Feedback::Implicit => line("scale", "none: implicit feedback".to_owned())?,
        }
        for (name, Spread { least, median, most }) in
            [("per user", self.per_user), ("per item", self.per_item)]
        {
            line(name, format!("{least} to {most}, median {median}"))?;
        }
        match self.times {
            Some((first, last)) => {
                line("time", format!("{} to {} UTC", format_time(first), format_time(last)))?;
            }
            None => line("time", "none".to_owned())?,
        }
        match self.duplicates {
            0 => line("duplicates", "none".to_owned())?,
            n => {
                let lines = if n == 1 {
                    "1 line repeats".to_owned()
                } else {
                    format!("{} lines repeat", thousands(n))
                };
                let rule =
                    if self.duplicates_rule == "mean" { "mean of each pair" } else { "last of each pair" };
                line(
                    "duplicates",
                    format!("{lines} a pair; counted is the {rule} (--duplicates last, mean or error)"),
                )?;
            }
        }
        if self.skipped > 0 {
            line("bad lines", format!("{}, left out", thousands(self.skipped)))?;
        }
        line("fingerprint", self.fingerprint.clone())?;
        for (name, schema) in [("user side", &self.user_features), ("item side", &self.item_features)] {
            if schema.fields().is_empty() {
                line(name, "none".to_owned())?;
            }
            for (at, text) in fields_in_words(schema).into_iter().enumerate() {
                line(if at == 0 { name } else { "" }, text)?;
            }
        }
        for note in &self.notes {
            line("note", note.clone())?;
        }
        self.fmt_histogram(f)
    }
}

impl DatasetInfo {
    fn fmt_histogram(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let most = self.histogram.iter().map(|bar| bar.count).max().unwrap_or(0).max(1);
        let labels: Vec<String> = self
            .histogram
            .iter()
            .map(|bar| {
                if bar.to > bar.from {
                    format!("{:.2}..{:.2}", bar.from, bar.to)
                } else {
                    bar.from.to_string()
                }
            })
            .collect();
        let width = labels.iter().map(String::len).max().unwrap_or(0);
        for (at, (bar, label)) in self.histogram.iter().zip(&labels).enumerate() {
            let name = if at == 0 { "histogram" } else { "" };
            let length = (bar.count as f64 / most as f64 * BAR_WIDTH as f64).round() as usize;
            let share = 100.0 * bar.count as f64 / self.ratings.max(1) as f64;
            writeln!(
                f,
                "{name:<14}{label:>width$}  {:>12}  {share:5.1} %  {}",
                thousands(bar.count),
                "█".repeat(length)
            )?;
        }
        Ok(())
    }
}

fn counted(all: usize, active: usize, what: &str) -> String {
    if all == active {
        thousands(all as u64)
    } else {
        format!("{} ({} {what})", thousands(all as u64), thousands(active as u64))
    }
}

/// A count with its digits in groups of three.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Each field of a schema in one line.
fn fields_in_words(schema: &FeatureSchema) -> Vec<String> {
    let few = |values: &[String]| {
        const SHOWN: usize = 6;
        let first = values.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
        let more = if values.len() > SHOWN { ", …" } else { "" };
        format!("{} values: {first}{more}", values.len())
    };
    schema
        .fields()
        .iter()
        .map(|field| match &field.kind {
            FieldKind::Numeric { center, scale, edges } if edges.is_empty() => {
                format!("{}: number, (x − {center}) / {scale}", field.name)
            }
            FieldKind::Numeric { center, scale, edges } => {
                let edges = edges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                format!("{}: number, (x − {center}) / {scale}, and groups from {edges}", field.name)
            }
            FieldKind::Category { values } => format!("{}: one of {}", field.name, few(values)),
            FieldKind::MultiCategory { values } => format!("{}: any of {}", field.name, few(values)),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (25_000_095, "25,000,095")] {
            assert_eq!(thousands(number), text);
        }
    }

    #[test]
    fn histograms_name_values_or_ranges() {
        let bars = histogram(&[3.0, 1.0, 3.0]);
        assert_eq!(bars, [Bar { from: 1.0, to: 1.0, count: 1 }, Bar { from: 3.0, to: 3.0, count: 2 }]);
        let many: Vec<f32> = (0..=1000u16).map(|value| f32::from(value) / 10.0).collect();
        let bars = histogram(&many);
        assert_eq!((bars.len(), bars[0].from, bars[9].to), (10, 0.0, 100.0));
        assert_eq!(bars.iter().map(|bar| bar.count).sum::<u64>(), 1001);
    }
}
