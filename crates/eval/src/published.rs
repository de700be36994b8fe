//! Figures that others published, to stand beside those of a report.

use serde::Serialize;

use crate::report::Named;

/// A published table that a report rebuilds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Published {
    /// Short name, as on the command line.
    pub name: String,
    /// What the table shows.
    pub title: String,
    /// What was read into what the publication leaves open.
    pub about: String,
    /// One for each model of the report, by label.
    pub paper: Vec<PublishedFigure>,
    /// What the models differ in, if that is a number to be plotted against: [`PublishedFigure::x`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Figures that are columns of a table whose rows are models, ours and those of [`PublishedFigure::others`]; none for a table with a
    /// line a model and one figure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metrics: Vec<String>,
    /// Figures to show by length of the list, such as `precision`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_cutoff: Vec<String>,
    /// What the publication claims.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
}

/// A published claim: by how much one model is better than the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Claim {
    /// Label of the model.
    pub model: String,
    /// The figure by length of the list, such as `precision`.
    pub figure: String,
    /// By how many hundredths it is said to be higher than the first model's.
    pub points: f64,
}

/// Figures of others for one model, in the columns of [`Published::metrics`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OtherFigures {
    /// Whose they are, such as `published`.
    pub by: String,
    /// Mean, and standard deviation if it is known; by name.
    pub figures: Named<(f64, Option<f64>)>,
}

impl Published {
    /// Whether anything was published to stand beside ours, or is plotted against a number.
    #[must_use]
    pub fn has_figures(&self) -> bool {
        self.x.is_some()
            || !self.metrics.is_empty()
            || self.paper.iter().any(|paper| paper.mean.is_some() || !paper.folds.is_empty())
    }
}

/// The published figure of one model.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PublishedFigure {
    /// Label of the model in the report.
    pub label: String,
    /// The figure, by the report's name for it.
    pub metric: String,
    /// Mean over the folds, if anything was published.
    pub mean: Option<f64>,
    /// The figure of each published fold.
    pub folds: Vec<f64>,
    /// The number by which the model differs from the others, see [`Published::x`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<f64>,
    /// Figures of others for the columns of [`Published::metrics`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherFigures>,
}
