//! What can go wrong in an evaluation, as data.

/// An evaluation that could not be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Fewer than two folds.
    #[error("{folds} folds cannot be made: a part to train on and a part to test on need at least 2")]
    TooFewFolds {
        /// The number asked for.
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
}
