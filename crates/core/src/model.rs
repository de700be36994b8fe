//! What a fitted model can do.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::{Deserialize, Serialize};

use crate::error::{LoadError, ScoreError};
use crate::ids::ItemId;
use crate::user::UserView;

/// What a model offers, as shown by `foldin models`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Serves a user who was not in training, from a history, without retraining.
    pub new_users: bool,
    /// Generates factors: its score is `u·m + b_u + b_i + μ` (see [`Generator`]).
    pub generator: bool,
    /// States a predictive variance.
    pub uncertainty: bool,
    /// Uses side information of users.
    pub user_features: bool,
    /// Uses side information of items.
    pub item_features: bool,
    /// Learns from ratings.
    pub explicit: bool,
    /// Learns from clicks and purchases.
    pub implicit: bool,
    /// A saved model holds the histories of training users (without their keys), as neighbourhoods of users must: handing it
    /// out hands these out.
    #[serde(default)]
    pub keeps_histories: bool,
}

/// A fitted model: a function from users to scores.
///
/// All calls take a batch and run on the current Rayon pool; results do not depend on how users are batched or on the
/// number of threads.
pub trait Recommender: Send + Sync + Debug {
    /// Name in the registry.
    fn name(&self) -> &'static str;

    /// Number of items of the catalogue.
    fn n_items(&self) -> usize;

    /// What the model offers.
    fn capabilities(&self) -> Capabilities;

    /// Scores every item for every user, unclipped, into `out`, `[users.len() × n_items]` row-major.
    ///
    /// # Errors
    /// [`ScoreError`] for an unknown item, a wrong length, a value that is not finite, or a new user where those
    /// cannot be served. `out` is then unspecified.
    fn score(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError>;

    /// Predicts single values: `pairs` hold a position in `users` and an item; `out` gets one value a pair, clipped to
    /// the rating scale where there is one. Pairs of one user should stand together.
    ///
    /// # Errors
    /// As [`Recommender::score`].
    fn predict(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        out: &mut [f32],
    ) -> Result<(), ScoreError>;

    /// Predicts values (unclipped) and the variance of the rating that would be given.
    ///
    /// # Errors
    /// [`ScoreError::Unsupported`] unless [`Capabilities::uncertainty`]; otherwise as [`Recommender::score`].
    fn predict_with_variance(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        mean: &mut [f32],
        variance: &mut [f32],
    ) -> Result<(), ScoreError> {
        let _ = (users, pairs, mean, variance);
        Err(ScoreError::Unsupported { model: self.name(), what: "a predictive variance" })
    }

    /// The model as a generator of factors, if it is one.
    fn as_generator(&self) -> Option<&dyn Generator> {
        None
    }

    /// Remarks on how the model was fitted that a user should see, such as which side information was used.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Everything a model folder keeps. No vector learned for a training user is in it, and no history of one unless
    /// [`Capabilities::keeps_histories`].
    fn to_parts(&self) -> ModelParts;
}

/// A model whose score is `u·m_i + b_u + b_i + μ`.
pub trait Generator: Recommender {
    /// Generates the factors of each user from history and side information, in one pass.
    ///
    /// # Errors
    /// As [`Recommender::score`].
    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError>;

    /// As [`Generator::generate`], with [`Factors::covariance`] from models that have one. Separate, because writing the
    /// covariance costs more than what most callers want.
    ///
    /// # Errors
    /// As [`Recommender::score`].
    fn generate_with_covariance(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        self.generate(users)
    }

    /// Values (unclipped) and variances of the ratings that one user of a batch would give, from factors that
    /// [`Generator::generate_with_covariance`] made: what [`Recommender::predict_with_variance`] says, without generating again.
    /// `values` and `variances` get one number an item.
    ///
    /// # Errors
    /// [`ScoreError::Unsupported`] unless [`Capabilities::uncertainty`], [`ScoreError::Shape`] for another number of outputs or factors without a
    /// covariance, and as [`Recommender::score`].
    fn values_with_variance(
        &self,
        factors: &Factors,
        user: usize,
        items: &[ItemId],
        values: &mut [f32],
        variances: &mut [f32],
    ) -> Result<(), ScoreError> {
        let _ = (factors, user, items, values, variances);
        Err(ScoreError::Unsupported { model: self.name(), what: "a predictive variance" })
    }

    /// The factors of all items.
    fn items(&self) -> &ItemFactors;
}

/// Generated factors of a batch of users.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Factors {
    /// Number of factors.
    pub k: usize,
    /// `[n × k]`, row-major.
    pub u: Vec<f32>,
    /// `[n]`: each user's bias.
    pub bias: Vec<f32>,
    /// `[n × (k+1) × (k+1)]`: posterior covariance of factors and then bias, from models that have one.
    pub covariance: Option<Vec<f32>>,
}

impl Factors {
    /// Factors of the user at a position of the batch.
    ///
    /// # Panics
    /// If `user` is out of range.
    #[must_use]
    pub fn row(&self, user: usize) -> &[f32] {
        &self.u[user * self.k..(user + 1) * self.k]
    }
}

/// Factors of all items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemFactors {
    /// Number of factors.
    pub k: usize,
    /// `[n_items × k]`, row-major.
    pub m: Vec<f32>,
    /// `[n_items]`: each item's bias.
    pub bias: Vec<f32>,
    /// The mean of all training values.
    pub mean: f32,
}

impl ItemFactors {
    /// Factors of an item.
    ///
    /// # Panics
    /// If `item` is out of range.
    #[must_use]
    pub fn row(&self, item: usize) -> &[f32] {
        &self.m[item * self.k..(item + 1) * self.k]
    }
}

/// A dense array of `f32`, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Lengths of the axes.
    pub shape: Vec<usize>,
    /// The elements.
    pub data: Vec<f32>,
}

impl Tensor {
    /// Wraps elements of the given shape.
    ///
    /// # Panics
    /// If the shape does not hold as many elements.
    #[must_use]
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Self {
        let shape = shape.into();
        assert_eq!(shape.iter().product::<usize>(), data.len(), "shape {shape:?}");
        Self { shape, data }
    }
}

/// What a model folder keeps of a model: named tensors, and a description in JSON (scale, mean, widths, notes).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelParts {
    /// Tensors by name.
    pub tensors: BTreeMap<String, Tensor>,
    /// Everything else.
    pub meta: serde_json::Map<String, serde_json::Value>,
}

impl ModelParts {
    /// Takes a tensor out, checking its shape; `None` in `shape` accepts any length of that axis.
    ///
    /// # Errors
    /// [`LoadError::MissingTensor`] or [`LoadError::TensorShape`].
    pub fn take(&mut self, name: &str, shape: &[Option<usize>]) -> Result<Tensor, LoadError> {
        let tensor =
            self.tensors.remove(name).ok_or_else(|| LoadError::MissingTensor { name: name.to_owned() })?;
        let fits = tensor.shape.len() == shape.len()
            && tensor.shape.iter().zip(shape).all(|(&got, want)| want.is_none_or(|want| want == got));
        if !fits {
            return Err(LoadError::TensorShape {
                name: name.to_owned(),
                expected: shape.iter().map(|axis| axis.unwrap_or(0)).collect(),
                got: tensor.shape,
            });
        }
        Ok(tensor)
    }

    /// Reads a value of the description.
    ///
    /// # Errors
    /// [`LoadError::Meta`] if it is missing or of another type.
    pub fn get<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T, LoadError> {
        self.meta
            .get(key)
            .and_then(|value| serde_json::from_value(value.clone()).ok())
            .ok_or_else(|| LoadError::Meta { key: key.to_owned() })
    }

    /// Writes a value into the description.
    ///
    /// # Panics
    /// If the value cannot be JSON (a map with keys that are not strings).
    pub fn set(&mut self, key: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).expect("descriptions are plain data");
        self.meta.insert(key.to_owned(), value);
    }
}
