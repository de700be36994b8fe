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
}
