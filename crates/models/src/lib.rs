//! Foldin's models, and the registry that lists them.
//!
//! A model is one file (or folder) here: its settings, its fit and what it takes to load it again. Linear factor models share
//! [`linear::LinearFactors`], which scores, folds new users in and saves itself for all of them.
//!
//! | module | holds |
//! | --- | --- |
//! | [`registry`] | [`registry()`](registry::registry), [`find`](registry::find): every model by name |
//! | [`linear`] | the fitted form of every linear factor model |
//! | [`folder`] | a model on disk |
//! | [`item_design`] | features of items, for models that use them |
//! | [`lfg_bayes`] | `lfg-bayes` |
//! | [`global_mean`] | `global-mean` |

pub mod fold_in;
pub mod folder;
pub mod global_mean;
pub mod holdout;
pub mod item_design;
pub mod lfg_bayes;
pub mod linear;
pub mod registry;
pub mod sgd;

pub use registry::{UnknownModel, find, registry};
