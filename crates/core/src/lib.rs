//! Types that every Foldin crate shares.
//!
//! | module | holds |
//! | --- | --- |
//! | [`ids`] | [`UserId`], [`ItemId`]: dense internal numbers |
//! | [`dictionary`] | [`Dictionary`]: external keys to internal numbers and back |
//! | [`csr`] | [`Csr`]: sparse rows of `f32` |
//! | [`interactions`] | [`Interactions`], [`Feedback`]: who rated what, on which scale |
//! | [`features`] | [`FeatureSchema`], [`Features`]: side information, encoded the same way in training and serving |
//! | [`dataset`] | [`Dataset`]: all of the above under one name |
//! | [`user`] | [`UserView`]: what a model sees of a user |
//! | [`model`] | [`Recommender`], [`Generator`], [`Factors`] |
//! | [`fit`] | [`ModelFamily`], [`FitContext`], [`TrainingData`], progress and checkpoints |
//! | [`config`] | [`ModelConfig`], [`ConfigKey`], [`Auto`] |
//! | [`registry`] | [`ModelEntry`]: a model family behind plain functions |
//! | [`topk`] | the `n` best of many scores, ties to the lowest id |
//! | [`random`] | named, portable random numbers and child seeds |
//! | [`parallel`] | work cut into fixed chunks, so that results do not depend on the number of threads |
//!
//! The rule behind the traits: **a user is a history, not a parameter.** A model is a function from what a user did,
//! and what is known of them, to scores for every item.

pub mod config;
pub mod csr;
pub mod dataset;
pub mod dictionary;
pub mod error;
pub mod features;
pub mod fit;
pub mod ids;
pub mod interactions;
pub mod model;
pub mod parallel;
pub mod random;
pub mod ranking;
pub mod registry;
pub mod search;
pub mod topk;
pub mod user;

pub use config::{Auto, ConfigKey, ModelConfig};
pub use csr::Csr;
pub use dataset::Dataset;
pub use dictionary::Dictionary;
pub use error::{ConfigError, DataError, FitError, LoadError, ScaleProblem, ScoreError};
pub use features::{FeatureRow, FeatureSchema, FeatureValue, Features, Field, FieldKind, RawFeatures};
pub use fit::{
    CancelFlag, CheckpointStore, Epoch, FitContext, ModelFamily, Progress, TrainState, TrainingData,
};
pub use ids::{ItemId, UserId};
pub use interactions::{Feedback, Interactions, RatingScale};
pub use model::{Capabilities, Factors, Generator, ItemFactors, ModelParts, Recommender, Tensor};
pub use registry::ModelEntry;
pub use topk::{Scored, TopK, all_alike, top_k};
pub use user::UserView;
