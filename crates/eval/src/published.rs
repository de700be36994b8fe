//! Figures that others published, to stand beside those of a report.

use serde::Serialize;

/// A published table that a report rebuilds.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
}

/// The published figure of one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
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
}
