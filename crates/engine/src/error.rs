//! What can go wrong while answering.

use foldin_core::{LoadError, RatingScale, ScoreError};

use crate::store::StoreError;

/// A request that was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A model that learned each user by heart.
    #[error(
        "{model} cannot serve users from their history, because it learned each training user by heart: train a model whose row in \
         `foldin models` says `yes` under new users"
    )]
    CannotServe {
        /// The model.
        model: String,
    },
    /// A model folder that cannot be used.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The model refused.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An item that the model does not know, where one is needed.
    #[error("the model does not know the item `{item}`")]
    UnknownItem {
        /// Its key.
        item: String,
    },
    /// A rating outside the model's scale.
    #[error("the rating {value} of `{item}` is outside the model's scale, {} to {}", scale.min, scale.max)]
    OutOfScale {
        /// The item.
        item: String,
        /// The rating.
        value: f32,
        /// What fits.
        scale: RatingScale,
    },
    /// A kind of event that the configuration does not name.
    #[error("`{kind}` is no kind of event here: the configuration names {known}")]
    UnknownKind {
        /// The kind.
        kind: String,
        /// Kinds there are.
        known: String,
    },
    /// A rating without a number.
    #[error("an event of kind `{kind}` needs a value, and that of `{item}` has none")]
    ValueMissing {
        /// The kind.
        kind: String,
        /// The item.
        item: String,
    },
    /// The same item twice in one history.
    #[error("`{item}` is in the history twice: keep one")]
    Repeated {
        /// The item.
        item: String,
    },
    /// A number out of range in a request.
    #[error("`{field}` is {got}, but {expected}")]
    OutOfRange {
        /// The field.
        field: &'static str,
        /// What was given.
        got: String,
        /// What would fit.
        expected: &'static str,
    },
    /// Something this model does not offer.
    #[error("{model} does not offer {what}")]
    Unsupported {
        /// The model.
        model: String,
        /// What was asked for.
        what: &'static str,
    },
}
