//! Foldin's models, and the registry that lists them.
//!
//! A model is one file (or folder) here: its settings, its fit and what it takes to load it again. Linear factor models share
//! [`linear::LinearFactors`], which scores, folds new users in and saves itself for all of them.
//!
//! | module | holds |
//! | --- | --- |
//! | [`mod@registry`] | [`find`]: every model by name |
//! | [`global_mean`], [`item_mean`], [`bias`] | models without factors |
//! | [`svd`], [`funk_svd`], [`bias_svd`] | factors by gradient descent; [`factorization`] holds what they share |
//! | [`linear`], [`fold_in`] | the fitted form of every linear factor model, and how it takes a new user |
//! | [`sgd`], [`holdout`] | gradient descent in parallel blocks, and stopping it early |
//! | [`folder`] | a model on disk |
//! | [`item_design`] | features of items, for models that use them |
//! | [`lfg`] | `lfg`, `lfg-plus` |
//! | [`lfg_bayes`] | `lfg-bayes` |

#![cfg_attr(test, allow(clippy::float_cmp, reason = "tests compare what must be the same bits"))]

pub mod bias;
pub mod bias_svd;
pub mod factorization;
pub mod fold_in;
pub mod folder;
pub mod funk_svd;
pub mod global_mean;
pub mod holdout;
pub mod item_design;
pub mod item_mean;
pub mod lfg;
pub mod lfg_bayes;
pub mod linear;
pub mod registry;
pub mod sgd;
pub mod svd;

pub use registry::{UnknownModel, find, registry};
