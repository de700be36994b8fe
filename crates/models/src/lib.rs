//! Foldin's models, and the registry that lists them.
//!
//! A model is one file (or folder) here: its settings, its fit and what it takes to load it again. Linear factor models share
//! [`linear::LinearFactors`], which scores, folds new users in and saves itself for all of them.
//!
//! | module | holds |
//! | --- | --- |
//! | [`mod@registry`] | [`find`]: every model by name |
//! | [`global_mean`], [`item_mean`], [`bias`] | models without factors |
//! | [`popularity`] | the same for clicks |
//! | [`ranking`], [`item_weights`] | what models of clicks and purchases share, and those that weigh pairs of items |
//! | [`ease`], [`slim`] | item-to-item weights in closed form, and sparse ones by elastic net |
//! | [`mod@rp3beta`] | `rp3beta`: random walks of three steps |
//! | [`pure_svd`] | `pure-svd`: histories projected onto singular vectors |
//! | [`bpr`] | `bpr`: factors of clicks from pairs of items |
//! | [`implicit_als`] | `implicit-als`: factors of clicks by least squares over all cells |
//! | [`lfg_rank`] | `lfg-rank`: factors and pairs together |
//! | [`knn`] | `item-knn`, `user-knn`: neighbours by similarity |
//! | [`svd`], [`funk_svd`], [`bias_svd`] | factors by gradient descent; [`factorization`] holds what they share |
//! | [`svd_plus_plus`] | `svd++`: factors of what was rated at all |
//! | [`als`] | factors by alternating least squares |
//! | [`linear`], [`fold_in`] | the fitted form of every linear factor model, and how it takes a new user |
//! | [`click_fold_in`] | the same for clicks |
//! | [`per_user`], [`checks`] | scoring of models that are not linear, one user at a time; what every call is asked |
//! | [`sgd`], [`holdout`] | gradient descent in parallel blocks, and stopping it early |
//! | [`folder`] | a model on disk |
//! | [`mod@item_vectors`] | vectors of items made elsewhere, such as of pictures, to be served |
//! | [`item_design`] | features of items, for models that use them |
//! | [`autorec`] | `i-autorec`, `u-autorec` |
//! | [`mod@cfgan`] | `u-cfgan`, `i-cfgan`, `cfgan-aaf`: purchases from a generator that deceives a discriminator |
//! | [`mod@softmax`] | `mult-vae`, `lfg-softmax`: multinomial over all items |
//! | [`user_network`] | what networks over histories of clicks serve with |
//! | [`llorma`] | `llorma`: local low-rank models around anchors |
//! | [`lfg`] | `lfg`, `lfg-plus` |
//! | [`lfg_bayes`] | `lfg-bayes` |
//! | [`mod@rbm`] | `u-rbm`, `i-rbm` |
//!
//! # Example: fit a model, and generate the factors of somebody it never saw
//! ```
//! use foldin_core::registry::Settings;
//! use foldin_core::{
//!     Csr, Features, Feedback, FitContext, Interactions, ItemId, RatingScale, TrainingData, UserView,
//! };
//!
//! let ratings = [(0, 0, 5.0), (0, 1, 4.0), (1, 0, 4.0), (1, 2, 1.0), (2, 1, 5.0), (2, 2, 2.0)];
//! let scale = RatingScale { min: 1.0, max: 5.0, step: Some(1.0) };
//! let interactions = Interactions::new(Csr::from_triples(3, 3, &ratings)?, None, Feedback::Explicit(scale))?;
//! let (users, items) = (Features::none(3), Features::none(3));
//! let data = TrainingData { interactions: &interactions, user_features: &users, item_features: &items };
//!
//! let settings = Settings::from_iter([("factors".to_owned(), 2.into())]);
//! let model = foldin_models::find("lfg-bayes")?.fit(&settings, &data, &FitContext::new(1))?;
//!
//! // Somebody new rated two items: one pass over these, and no training.
//! let visitor = [UserView::new(&[0, 2], &[5.0, 1.0])];
//! let generator = model.as_generator().expect("capabilities say so");
//! assert_eq!(generator.generate(&visitor)?.row(0).len(), 2);
//!
//! let mut predicted = [0.0];
//! model.predict(&visitor, &[(0, ItemId(1))], &mut predicted)?;
//! assert!(scale.contains(predicted[0]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::float_cmp, reason = "tests compare what must be the same bits"))]

pub mod als;
pub mod autorec;
pub mod bias;
pub mod bias_svd;
pub mod bpr;
pub mod cfgan;
pub mod checks;
pub mod click_fold_in;
pub mod ease;
pub mod factorization;
pub mod fold_in;
pub mod folder;
pub mod funk_svd;
pub mod global_mean;
pub mod holdout;
pub mod implicit_als;
pub mod item_design;
pub mod item_mean;
pub mod item_vectors;
pub mod item_weights;
pub mod knn;
mod learner;
pub mod lfg;
pub mod lfg_bayes;
pub mod lfg_rank;
pub mod linear;
mod lists;
pub mod llorma;
pub mod per_user;
mod perceptron;
pub mod popularity;
pub mod pure_svd;
pub mod ranking;
pub mod rbm;
pub mod registry;
mod regression;
mod resume;
pub mod rp3beta;
pub mod sgd;
pub mod slim;
pub mod softmax;
pub mod svd;
pub mod svd_plus_plus;
pub mod user_network;

pub use registry::{UnknownModel, find, registry};
