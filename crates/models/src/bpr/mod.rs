//! `bpr`: factors learned from pairs of items, one clicked and one not.
//!
//! Objective: `Σ −ln σ(s_ui − s_uj) + λ/2 (|u_u|² + |m_i|² + |m_j|²) + λ_b/2 (b_i² + b_j²)` over clicks `(u, i)` and items `j` that `u` did not
//! click, each equally likely, with `s_ui = u_u·m_i + b_i`. Rendle, Freudenthaler, Gantner, Schmidt-Thieme (2009), "BPR: Bayesian
//! personalized ranking from implicit feedback", section 4.3.1, by stochastic gradient descent (figure 4 there). An epoch meets every
//! click once.
//!
//! We depart in where `j` comes from: items are dealt to eight groups anew each epoch, and `j` is drawn from the group of `i`, so that blocks
//! of users and items can be learned in parallel without meeting, with the same bits at any number of threads; over the epochs
//! every `j` is as likely as with draws from all items. Users that are folded in get factors by the same objective over all
//! items ([`crate::click_fold_in`], logistic), in a few regressions.
//!
//! Time O(epochs · clicks · k) and as many random numbers, memory O((users + items) · k + clicks).

mod train;

use foldin_core::{
    Capabilities, FitContext, FitError, LoadError, ModelConfig, ModelFamily, ModelParts, TrainingData,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::holdout::Holdout;
use crate::linear::{Family, LinearFactors};
use crate::ranking::{CLICKS, implicit_interactions};

/// Settings of `bpr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BprConfig {
    /// Number of factors.
    #[schemars(range(min = 1, max = 1024))]
    #[schemars(extend("search" = "log-integers:16:192"))]
    pub factors: usize,
    /// Passes over the clicks, at most.
    #[schemars(range(min = 1, max = 10000))]
    #[schemars(extend("search" = "log-integers:30:300"))]
    pub epochs: usize,
    /// Step of the first epoch.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:0.01:0.2"))]
    pub learning_rate: f32,
    /// Factor on the step from one epoch to the next.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "choice:0.97:0.98:0.99:0.995"))]
    pub learning_rate_decay: f32,
    /// λ: shrinkage of factors with each pair.
    #[schemars(range(max = 10.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:0.001:0.1"))]
    pub regularization: f32,
    /// λ_b: shrinkage of the items' biases with each pair.
    #[schemars(range(min = 0.0, max = 10.0))]
    #[schemars(extend("search" = "log:0.001:0.3"))]
    pub bias_regularization: f32,
    /// Standard deviation of the random factors to start with.
    #[schemars(range(max = 10.0), extend("exclusiveMinimum" = 0.0))]
    pub start_scale: f32,
    /// Share of each user's clicks held out to stop early, by nDCG@20, and not learned from afterwards either; 0 runs all epochs on all clicks.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Epochs without improvement of the held-out part after which to stop.
    #[schemars(range(min = 1))]
    pub patience: usize,
}

impl Default for BprConfig {
    fn default() -> Self {
        Self {
            factors: 64,
            epochs: 150,
            learning_rate: 0.1,
            learning_rate_decay: 0.98,
            regularization: 0.02,
            bias_regularization: 0.006,
            start_scale: 0.1,
            validation_fraction: 0.0,
            patience: 10,
        }
    }
}

impl ModelConfig for BprConfig {}

/// The family of `bpr`.
#[derive(Clone, Copy, Debug)]
pub struct Bpr;

const FAMILY: Family = Family { name: Bpr::NAME, capabilities: Capabilities { generator: true, ..CLICKS } };

impl ModelFamily for Bpr {
    const NAME: &'static str = "bpr";
    const SUMMARY: &'static str = "factors and item biases learned from pairs of items, clicked and not";
    type Config = BprConfig;
    type Model = LinearFactors;

    fn capabilities() -> Capabilities {
        FAMILY.capabilities
    }

    fn fit(
        config: &BprConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<LinearFactors, FitError> {
        let clicks = implicit_interactions(Self::NAME, data)?;
        let holdout = (config.validation_fraction > 0.0)
            .then(|| Holdout::cut(clicks, config.validation_fraction, ctx.seed));
        let (items, fold_in, users) = train::fit(config, clicks, holdout.as_ref(), ctx)?;
        Ok(LinearFactors::new(FAMILY, items, clicks.feedback()).with_users(fold_in, Some(users)))
    }

    fn load(parts: ModelParts) -> Result<LinearFactors, LoadError> {
        LinearFactors::load(FAMILY, parts)
    }
}
