//! What a study found.

use serde::Serialize;

use super::html::Picture;
use crate::evaluate::{AucReport, Figure, Slices, UserAuc, paired};

/// One model over all splits.
#[derive(Clone, Debug, Serialize)]
pub struct StudyModel {
    /// What it is called.
    pub name: String,
    /// What was found on each split.
    pub splits: Vec<AucReport>,
    /// AUC on the validation items after each epoch, by split; empty where nothing is trained.
    pub epochs: Vec<Vec<f64>>,
    /// Seconds of fitting, by split.
    pub seconds: Vec<f64>,
    /// Figures of every user, by split.
    #[serde(skip)]
    pub users: Vec<Vec<UserAuc>>,
}

/// How much better one model is than another.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// The model.
    pub model: String,
    /// The model it is compared with.
    pub than: String,
    /// On each split, over users.
    pub splits: Vec<Figure>,
}

/// A study.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Study {
    /// What it is of.
    pub title: String,
    /// What has to be known to read it.
    pub about: Vec<String>,
    /// Data set, its size and what was left out.
    pub data: Vec<String>,
    /// Seeds of the splits.
    pub seeds: Vec<u64>,
    /// The models.
    pub models: Vec<StudyModel>,
    /// Pairs of them.
    pub differences: Vec<Difference>,
    /// Further findings, in words.
    pub findings: Vec<String>,
    /// Pictures of what it is about.
    #[serde(skip)]
    pub pictures: Vec<Picture>,
}

/// A column of the table.
pub type Column = (&'static str, fn(&AucReport) -> Option<Figure>);

/// The figures that are shown of a model.
pub const COLUMNS: [Column; 7] = [
    ("all", |report| report.all),
    ("cold (< 5)", |report| report.cold),
    ("new (0)", |report| report.new),
    ("no variant", |report| report.no_variant),
    ("within category", |report| report.within),
    ("ties lost", |report| report.strict),
    ("100 sampled", |report| report.sampled),
];

impl StudyModel {
    /// A model that nothing is known of yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            splits: Vec::new(),
            epochs: Vec::new(),
            seconds: Vec::new(),
            users: Vec::new(),
        }
    }

    /// Mean over splits, with the mean of their intervals: splits share users, so more of them do not make it narrower.
    #[must_use]
    pub fn mean(&self, of: fn(&AucReport) -> Option<Figure>) -> Option<(f64, Option<f64>)> {
        let figures: Vec<Figure> = self.splits.iter().filter_map(of).collect();
        let n = figures.len() as f64;
        let mean = figures.iter().map(|figure| figure.mean).sum::<f64>() / n;
        let interval: Option<f64> = figures.iter().map(|figure| figure.ci95).sum();
        (!figures.is_empty()).then_some((mean, interval.map(|sum| sum / n)))
    }
}

impl Study {
    /// Adds what was found on a split.
    pub fn add(&mut self, name: &str, users: Vec<UserAuc>, slices: &Slices, epochs: Vec<f64>, seconds: f64) {
        let at = self.models.iter().position(|model| model.name == name).unwrap_or_else(|| {
            self.models.push(StudyModel::new(name));
            self.models.len() - 1
        });
        let model = &mut self.models[at];
        model.splits.push(AucReport::of(&users, slices));
        model.epochs.push(epochs);
        model.seconds.push(seconds);
        model.users.push(users);
    }

    /// A model by name.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<&StudyModel> {
        self.models.iter().find(|model| model.name == name)
    }

    /// Compares two models user by user, where both were fitted.
    pub fn compare(&mut self, model: &str, than: &str) {
        let (Some(this), Some(other)) = (self.model(model), self.model(than)) else { return };
        let splits =
            this.users.iter().zip(&other.users).filter_map(|(this, other)| paired(this, other)).collect();
        self.differences.push(Difference { model: model.to_owned(), than: than.to_owned(), splits });
    }

    /// The table in plain text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut rows =
            vec![std::iter::once("AUC".to_owned()).chain(COLUMNS.map(|(name, _)| name.to_owned())).collect()];
        for model in &self.models {
            let mut row: Vec<String> = vec![model.name.clone()];
            row.extend(COLUMNS.map(|(_, of)| in_words(model.mean(of))));
            rows.push(row);
        }
        let width = |column: usize| {
            rows.iter().map(|row: &Vec<String>| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..=COLUMNS.len()).map(width).collect();
        let mut out = format!("{}\n", self.title);
        self.about.iter().chain(&self.data).for_each(|line| out += &format!("{line}\n"));
        out.push('\n');
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, &width))| {
                if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            out += cells.collect::<Vec<_>>().join("  ").trim_end();
            out.push('\n');
        }
        if !self.differences.is_empty() {
            out += "\npaired differences of AUC (all), by split\n";
        }
        for Difference { model, than, splits } in &self.differences {
            let splits: Vec<String> = splits.iter().map(|figure| signed(*figure)).collect();
            out += &format!("{model} − {than}: {}\n", splits.join(", "));
        }
        self.findings.iter().for_each(|finding| out += &format!("\n{finding}\n"));
        out
    }
}

/// `.694 ± .018`, or a dash.
#[must_use]
pub fn in_words(figure: Option<(f64, Option<f64>)>) -> String {
    match figure {
        Some((mean, Some(ci95))) => format!("{mean:.3} ± {ci95:.3}"),
        Some((mean, None)) => format!("{mean:.3}"),
        None => "–".to_owned(),
    }
}

/// `+.015 ± .020`.
#[must_use]
pub fn signed(figure: Figure) -> String {
    match figure.ci95 {
        Some(ci95) => format!("{:+.3} ± {ci95:.3}", figure.mean),
        None => format!("{:+.3}", figure.mean),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_study_by_hand() {
        let users = |values: [f64; 2]| values.map(|full| UserAuc { full, ..UserAuc::default() }).to_vec();
        let slices = Slices { cold: vec![true, false], new: vec![false; 2], no_variant: vec![true; 2] };
        let mut study = Study { title: "test".into(), ..Study::default() };
        study.add("a", users([0.5, 0.7]), &slices, vec![], 1.0);
        study.add("b", users([0.8, 0.9]), &slices, vec![], 1.0);
        study.add("a", users([0.7, 0.9]), &slices, vec![], 1.0);
        study.add("b", users([0.8, 0.9]), &slices, vec![], 1.0);
        let model = study.model("a").unwrap();
        assert!((model.mean(|report| report.all).unwrap().0 - 0.7).abs() < 1e-12);
        assert!((model.mean(|report| report.cold).unwrap().0 - 0.6).abs() < 1e-12);
        assert!(model.mean(|report| report.new).is_none());
        study.compare("b", "a");
        study.compare("b", "nobody");
        assert_eq!(study.differences.len(), 1);
        assert!((study.differences[0].splits[0].mean - 0.25).abs() < 1e-12);
        let text = study.text();
        assert!(text.contains("0.700 ±") && text.contains("b − a: +0.250 ±"), "{text}");
    }
}
