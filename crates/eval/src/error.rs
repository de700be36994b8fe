//! What can go wrong in an evaluation, as data.

use foldin_core::{ConfigError, DataError, FitError, RatingScale, ScoreError};

use crate::report::EvalReport;

/// An evaluation that could not be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A protocol nobody knows.
    #[error(
        "there is no protocol `{name}`; there are `ratings`, `ratings-random`, `new-users`, `top-n` and `top-n-new-users`"
    )]
    UnknownProtocol {
        /// The name given.
        name: String,
    },
    /// Fewer than two folds.
    #[error("{folds} folds cannot be made: a part to train on and a part to test on need at least 2")]
    TooFewFolds {
        /// The number asked for.
        folds: usize,
    },
    /// A fold beyond those there are.
    #[error("there is no fold {fold}: folds are numbered from 1 to {folds}")]
    UnknownFold {
        /// The fold asked for.
        fold: usize,
        /// How many there are.
        folds: usize,
    },
    /// More folds than there is to deal.
    #[error("{folds} folds cannot be dealt from {have} {what}")]
    TooFew {
        /// What is dealt: `ratings`, or `users with ratings`.
        what: &'static str,
        /// The number of folds asked for.
        folds: usize,
        /// How many there are.
        have: usize,
    },
    /// A share that leaves nothing on one side.
    #[error("a test share of {share} leaves nothing to train on or nothing to test on ({ratings} ratings)")]
    TestShare {
        /// The share asked for.
        share: f64,
        /// How many ratings there are.
        ratings: usize,
    },
    /// A fold without a single test rating.
    #[error("fold {fold} has no test ratings{}", left_out_in_words(*left_out))]
    EmptyFold {
        /// The fold.
        fold: String,
        /// Those that there were before some were left out, where items are ranked.
        left_out: usize,
    },
    /// New users who cannot give any rating.
    #[error("no new user of fold {fold} can give a rating: each has fewer than 2")]
    NothingGiven {
        /// The fold.
        fold: String,
    },
    /// Nothing to compare.
    #[error("no model was named")]
    NoModels,
    /// Two models under one name.
    #[error("two models are called `{label}`: each needs a name of its own")]
    DuplicateLabel {
        /// The name.
        label: String,
    },
    /// Clicks and purchases instead of ratings.
    #[error(
        "protocol `{protocol}` needs ratings, but the data are clicks or purchases without a scale; `top-n` and `top-n-new-users` rank items by them"
    )]
    NotRatings {
        /// The protocol.
        protocol: &'static str,
    },
    /// Lists of no length.
    #[error("lists need at least one place: give cutoffs from 1 up, such as 5, 10, 20")]
    NoPlaces,
    /// A rating that cannot be given, as the least that says that an item was liked.
    #[error("ratings from {least} up cannot be told apart: {}", in_words(*scale))]
    LikedFrom {
        /// The rating.
        least: f32,
        /// The scale of the data, if they have one.
        scale: Option<RatingScale>,
    },
    /// Given splits asked for, but none brought.
    #[error("no split was given")]
    NoSplit,
    /// A given split of other users or items.
    #[error("split `{split}`: {source}")]
    Split {
        /// Its name.
        split: String,
        /// What disagrees with the data set.
        source: DataError,
    },
    /// A given split whose test part is, in part, in its training part too.
    #[error("split `{split}` has the rating of item `{item}` by user `{user}` in both of its parts")]
    Overlap {
        /// Its name.
        split: String,
        /// Key of the user.
        user: String,
        /// Key of the item.
        item: String,
    },
    /// Parts of the data set that disagree.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Unusable settings of a model; found before anything is fitted.
    #[error("{label}: {source}")]
    Config {
        /// The model's label.
        label: String,
        /// What is wrong.
        source: Box<ConfigError>,
    },
    /// A fit that failed.
    #[error("{label}, fold {fold}: {source}")]
    Fit {
        /// The model's label.
        label: String,
        /// The fold.
        fold: String,
        /// Why.
        source: Box<FitError>,
    },
    /// A model that failed to predict.
    #[error("{label}, fold {fold}: {source}")]
    Score {
        /// The model's label.
        label: String,
        /// The fold.
        fold: String,
        /// Why.
        source: ScoreError,
    },
    /// A prediction that is no number.
    #[error("{label}, fold {fold}: the {what} for user `{user}` and item `{item}` is not a finite number")]
    NotFinite {
        /// The model's label.
        label: String,
        /// The fold.
        fold: String,
        /// `prediction` or `predictive variance`.
        what: &'static str,
        /// Key of the user.
        user: String,
        /// Key of the item.
        item: String,
    },
    /// The caller asked to stop before a single fold was finished.
    #[error("cancelled before a fold was finished")]
    Cancelled,
    /// The caller asked to stop after some folds.
    #[error("cancelled after {} of the folds asked for", report.folds.len())]
    Partial {
        /// The folds that every model finished; [`EvalReport::partial`] is set.
        report: Box<EvalReport>,
    },
    /// A report that could not be drawn.
    #[error("the plot \"{title}\" could not be drawn: {reason}")]
    Plot {
        /// Its title.
        title: String,
        /// What the drawing library said.
        reason: String,
    },
}

fn in_words(scale: Option<RatingScale>) -> String {
    scale.map_or_else(
        || "the data are clicks or purchases without a scale".to_owned(),
        |scale| format!("the scale is {} to {}", scale.min, scale.max),
    )
}

fn left_out_in_words(left_out: usize) -> String {
    match left_out {
        0 => String::new(),
        n => format!(
            ": all {n} were left out, being of items that nobody has in the training part, or not liked"
        ),
    }
}
