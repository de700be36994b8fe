//! `svd++`: factors and biases, where what a user rated says something whatever the ratings:
//! `r̂_ui = μ + b_u + b_i + m_i·(p_u + |N(u)|^(−½) Σ_{j ∈ N(u)} y_j)`, `N(u)` being the items that `u` rated.
//!
//! Objective: `Σ_u [Σ_{i ∈ N(u)} ((r_ui − r̂_ui)² + λ (|p_u|² + |m_i|²) + λ_b (b_u² + b_i²)) + λ_y Σ_{j ∈ N(u)} |y_j|²]`, halved (Koren 2008,
//! "Factorization meets the neighborhood", equation 15, and the update rules below it).
//!
//! A user's factors are `p_u` and the sum of `y`, so this is a linear factor model ([`crate::linear`]). A new user's sum of `y` comes
//! from the history, and `p_u` and `b_u` are one ridge regression on what is left ([`crate::fold_in`], its prior moved by the sum):
//! closed form, no descent. The training users are folded in the same way; nothing is kept of them.
//!
//! We depart in five points. `y` is changed once a user with the sum over the user's ratings, not once a rating (the usual way to
//! make it affordable), so `λ_y` counts once a user. Users are taken in batches that start from the same parameters (`train.rs`).
//! The start is the truncated SVD of the filled matrix (`start = "random"` is the paper's). Users are solved for exactly at
//! the end. And of a history of few items the sum of `y` is believed in part. Time O(epochs · ratings · k), memory O((users + items) · k); the same bits at any number of threads.

mod train;

use foldin_core::{
    Auto, Capabilities, FitContext, FitError, ItemFactors, LoadError, ModelConfig, ModelFamily, ModelParts,
    TrainingData,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::factorization::{Start, Unit};
use crate::fold_in::{Implied, Ridge};
use crate::linear::{FACTORS, Family, LinearFactors, explicit_ratings};

/// λ for 100,000 ratings.
const REGULARIZATION: f32 = 0.095;

/// Settings of `svd++`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SvdPlusPlusConfig {
    /// Number of factors.
    #[schemars(range(min = 1, max = 1024))]
    #[schemars(extend("search" = "log-integers:8:128"))]
    pub factors: usize,
    /// Where the descent begins; `y` begins at 0.
    pub start: Start,
    /// What the start is multiplied by: √S·U and √S·V of an SVD, or the standard deviation of random factors.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub start_scale: f32,
    /// Passes over the ratings, at most.
    #[schemars(range(min = 0, max = 10000))]
    #[schemars(extend("search" = "integers:15:80"))]
    pub epochs: usize,
    /// Step of the first epoch.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:0.002:0.1"))]
    pub learning_rate: f32,
    /// Factor on the step from one epoch to the next.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub learning_rate_decay: f32,
    /// λ: shrinkage of the factors of user and item with each rating. The more ratings there are, the less is needed: `auto` is 0.095
    /// for 100,000 ratings times `(100000 / n)^0.2`, with n between 10,000 and 100 million.
    #[schemars(range(min = 0.0, max = 10.0))]
    #[schemars(extend("search" = "log:0.01:0.3"))]
    pub regularization: Auto<f32>,
    /// λ_b: shrinkage of biases with each rating.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub bias_regularization: f32,
    /// λ_y: shrinkage of an item's `y` with each user who rated it.
    #[schemars(range(min = 0.0, max = 100.0))]
    #[schemars(extend("search" = "log:0.001:0.3"))]
    pub implied_regularization: f32,
    /// Users of a batch: they start from the same parameters, and their changes are added up. The more, the more threads help; with
    /// hundreds, popular items take too long steps.
    #[schemars(range(min = 1, max = 1024))]
    pub batch_size: usize,
    /// Ridge on the factors `p` of a user who is folded in, for a factor of average variance among the training users; the ridge
    /// on each factor is inversely proportional to its variance.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub fold_in_ridge: f32,
    /// Ridge on the bias of a user who is folded in.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub fold_in_bias_ridge: f32,
    /// Rated items from which on half of what the sum of their `y` says is believed of a user who is folded in, instead of its mean
    /// among the training users; 0 believes all of it.
    #[schemars(range(min = 0.0, max = 1000.0))]
    #[schemars(extend("search" = "log:1:100"))]
    pub implied_damping: f32,
    /// Share of each user's ratings held out to stop early; 0 runs all epochs on all ratings.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Epochs without improvement of the held-out part after which to stop.
    #[schemars(range(min = 1))]
    pub patience: usize,
}

/// Chosen on parts of the training ratings of MovieLens 100K and 1M.
impl Default for SvdPlusPlusConfig {
    fn default() -> Self {
        Self {
            factors: 50,
            start: Start::FilledSvd,
            start_scale: 0.4,
            epochs: 30,
            learning_rate: 0.007,
            learning_rate_decay: 0.96,
            regularization: Auto::Auto,
            bias_regularization: 0.03,
            implied_regularization: 0.7,
            batch_size: 32,
            fold_in_ridge: 12.0,
            fold_in_bias_ridge: 5.0,
            implied_damping: 10.0,
            validation_fraction: 0.0,
            patience: 5,
        }
    }
}

impl ModelConfig for SvdPlusPlusConfig {}

/// The family of `svd++`.
#[derive(Clone, Copy, Debug)]
pub struct SvdPlusPlus;

const FAMILY: Family = Family { name: SvdPlusPlus::NAME, capabilities: FACTORS };

impl ModelFamily for SvdPlusPlus {
    const NAME: &'static str = "svd++";
    const SUMMARY: &'static str =
        "factors and biases, with factors of what was rated at all, by gradient descent";
    type Config = SvdPlusPlusConfig;
    type Model = LinearFactors;

    fn capabilities() -> Capabilities {
        FAMILY.capabilities
    }

    fn fit(
        config: &SvdPlusPlusConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<LinearFactors, FitError> {
        let ratings = explicit_ratings(Self::NAME, data)?;
        let unit = Unit::of(ratings, true);
        let mut learned = train::learn(config, unit, ratings, ctx)?;
        // Items' factors and biases go back into the data's own unit; users' factors and y are pure numbers. A ridge of λ in the
        // unit of learning is then λ·unit².
        for x in
            learned.users.bias.iter_mut().chain(&mut learned.items.bias).chain(&mut learned.items.factors)
        {
            *x *= unit.length;
        }
        let ridge = Ridge {
            factors: unit.length * unit.length * config.fold_in_ridge,
            bias: config.fold_in_bias_ridge,
        };
        let k = config.factors;
        let implied = Implied::new(learned.implied, ratings.by_user(), k, config.implied_damping);
        let mut fold_in = ridge.fold_in(&learned.users, k);
        // The mean user is made of the mean of p and the mean of what their items say.
        fold_in.prior.iter_mut().zip(&implied.mean).for_each(|(x, mean)| *x += mean);
        fold_in.implied = Some(implied);
        let items = ItemFactors { k, m: learned.items.factors, bias: learned.items.bias, mean: unit.origin };
        Ok(LinearFactors::new(FAMILY, items, ratings.feedback()).with_users(fold_in, None))
    }

    fn load(parts: ModelParts) -> Result<LinearFactors, LoadError> {
        LinearFactors::load(FAMILY, parts)
    }
}
