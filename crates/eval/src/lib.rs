//! How good a model is: splits, metrics, protocols, confidence intervals and reports.

pub mod error;
pub mod split;

pub use error::EvalError;
pub use split::{
    NewUser, NewUserFold, NewUserSplit, RatingFold, RatingSplit, new_user_folds, random_rating_fold,
    rating_folds,
};
