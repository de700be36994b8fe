//! `bias`: damped biases of users and items, `r̂_ui = μ + b_u + b_i`.
//!
//! Minimises `Σ (r_ui − μ − b_u − b_i)² + damping_u Σ b_u² + damping_i Σ b_i²` by turns, users and then items, which comes closer each round (Koren 2008,
//! equation 2). A new user's bias is the same formula over their history, so a training user and the same history folded in
//! agree at the optimum. Time O(rounds · ratings), memory O(users + items), deterministic without a seed.

use foldin_core::{
    Capabilities, FitContext, FitError, Interactions, ItemFactors, LoadError, ModelConfig, ModelFamily,
    ModelParts, Tensor, TrainingData,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fold_in::FoldIn;
use crate::item_mean::damped_means;
use crate::linear::{BASELINE, Family, LinearFactors, UserFactors, explicit_ratings};

/// Settings of `bias`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BiasConfig {
    /// Ridge on each user's bias.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:1:50"))]
    pub user_damping: f32,
    /// Ridge on each item's bias.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:1:50"))]
    pub item_damping: f32,
    /// Times that users and then items are fitted.
    #[schemars(range(min = 1, max = 1000))]
    pub rounds: usize,
}

impl Default for BiasConfig {
    fn default() -> Self {
        Self { user_damping: 4.0, item_damping: 3.0, rounds: 10 }
    }
}

impl ModelConfig for BiasConfig {}

/// The family of `bias`.
#[derive(Clone, Copy, Debug)]
pub struct Bias;

const FAMILY: Family = Family { name: Bias::NAME, capabilities: BASELINE };

impl ModelFamily for Bias {
    const NAME: &'static str = "bias";
    const SUMMARY: &'static str = "damped biases of users and items";
    type Config = BiasConfig;
    type Model = LinearFactors;

    fn capabilities() -> Capabilities {
        FAMILY.capabilities
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        _: &FitContext<'_>,
    ) -> Result<LinearFactors, FitError> {
        let ratings = explicit_ratings(Self::NAME, data)?;
        let (Baseline { mean, items, .. }, users) = Baseline::fit(config, ratings);
        let items = ItemFactors { k: 0, m: Vec::new(), bias: items, mean };
        let fold_in = FoldIn::new(vec![config.user_damping], vec![0.0]);
        let users = UserFactors { u: Vec::new(), bias: users };
        Ok(LinearFactors::new(FAMILY, items, ratings.feedback()).with_users(fold_in, Some(users)))
    }

    fn load(parts: ModelParts) -> Result<LinearFactors, LoadError> {
        LinearFactors::load(FAMILY, parts)
    }
}

/// Fitted biases, for models that explain what these leave over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Baseline {
    /// μ.
    pub(crate) mean: f32,
    /// `b_i` of each item.
    pub(crate) items: Vec<f32>,
    /// Ridge on a user's bias.
    user_damping: f32,
}

impl Baseline {
    /// The biases of items, and those of the training users.
    pub(crate) fn fit(config: &BiasConfig, ratings: &Interactions) -> (Self, Vec<f32>) {
        let mean = ratings.mean();
        let mut users = vec![0.0f32; ratings.n_users()];
        let mut items = vec![0.0f32; ratings.n_items()];
        for _ in 0..config.rounds {
            items = damped_means(ratings.by_item(), config.item_damping, |user, value| {
                f64::from(value) - mean - f64::from(users[user as usize])
            });
            users = damped_means(ratings.by_user(), config.user_damping, |item, value| {
                f64::from(value) - mean - f64::from(items[item as usize])
            });
        }
        (Self { mean: mean as f32, items, user_damping: config.user_damping }, users)
    }

    /// The same prediction for everybody and everything.
    pub(crate) fn level(mean: f32, n_items: usize) -> Self {
        // A ridge that no history outweighs.
        Self { mean, items: vec![0.0; n_items], user_damping: f32::MAX }
    }

    /// `μ + b_u` of a user with this history.
    pub(crate) fn of_user(&self, items: &[u32], values: &[f32]) -> f32 {
        let rest = items.iter().zip(values).map(|(&item, &value)| {
            f64::from(value) - f64::from(self.mean) - f64::from(self.items[item as usize])
        });
        let weight = items.len() as f64 + f64::from(self.user_damping);
        self.mean + (rest.sum::<f64>() / weight) as f32
    }

    pub(crate) fn to_parts(&self, parts: &mut ModelParts) {
        parts.tensors.insert("item_bias".to_owned(), Tensor::new([self.items.len()], self.items.clone()));
        parts.set("mean", self.mean);
        parts.set("user_damping", self.user_damping);
    }

    pub(crate) fn from_parts(parts: &mut ModelParts) -> Result<Self, LoadError> {
        let items = parts.take("item_bias", &[None])?.data;
        let (mean, user_damping): (f32, f32) = (parts.get("mean")?, parts.get("user_damping")?);
        if user_damping > 0.0 && mean.is_finite() {
            Ok(Self { mean, items, user_damping })
        } else {
            Err(LoadError::Meta { key: "user_damping".to_owned() })
        }
    }
}
