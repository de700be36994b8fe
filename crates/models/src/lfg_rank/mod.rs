//! `lfg-rank`: factors generated from clicks, beside weights of pairs of items; both in closed form.
//!
//! The score of a user is a sum of up to three, each standardised over the items of that user (mean 0, variance 1):
//! `s = (1 − v_n − w_n) z(Σ_members u·m_i) + v_n z(x_u B) + w_n z(x_u S)`, where
//!
//! * `u` are the user's factors, with the items of implicit ALS ([`crate::implicit_als`]; Rendle, Krichene, Zhang, Koren 2022), of several random
//!   starts: their errors differ, and the mean of their scores is better than any. They are the posterior mean given the clicks, one
//!   regression over a Gram matrix of all items, or with few clicks what these foretell (below);
//! * `B` are item-to-item weights of the user-weighted closed form ([`crate::ease`]; Steck 2019);
//! * `S_ji = Σ_v x_vj x_vi n_v^−a / (n_i^b n_j^c)` is a similarity that damps busy users and popular items by exponents of their own.
//!
//! Factors see what items have in common across all users, pairs what goes together and no factor has room for. Which share is best differs
//! by data, so the shares `v` and `w` are chosen: everything is fitted on all but a tenth of each user's clicks, the shares with the best
//! nDCG@20 on that tenth are kept, and everything is fitted again on all clicks.
//!
//! A history of a few items is another matter: the rest of it is unknown, not disliked. So the factors of short histories are foretold by a linear map
//! that is learned for each length, in closed form, from training users who give so many of their clicks (`foretold.rs`): `u` is `(1 − r_n)`
//! times the posterior mean and `r_n` times what is foretold. And weights of pairs need many clicks: `v_n` and `w_n` leave parts of `v` and `w`
//! out. `r_n` and these parts are chosen on the same tenth, users being given `n` of their clicks, at a few `n` of up to 16, where the best choice
//! is surely better than the plain sum (by three standard errors); from there they fade out up to 32 clicks. This is our own; the parts are the papers'.
//!
//! Side information, where the data have it, gives users and items a prior mean other than 0, by ridge regression of the factors on features (`side.rs`). It is
//! what a user without clicks is served by, and where an item without clicks is placed. How much it counts, and whether, is decided on the same tenth.
//!
//! A user, known or new, is served in one pass: `members` regressions, or maps, or with `r_n` between 0 and 1 both, and `n` rows of `B` and of `S`. Of
//! a history items that nobody clicked and nothing placed are left out. Nothing is kept of training users. The
//! score is no inner product of few factors, so the model is no [`Generator`](foldin_core::Generator) to others.
//!
//! Cost: `2 · members` fits of `implicit-als`, the maps (`foretold.rs`), two inverses of `N` items, and lists for up to 1,000 users by each choice; memory 8 N² bytes for pairs of items (none above `max_items`).
//! Deterministic by seed, the same bits at any number of threads.

mod foretold;
mod knots;
mod model;
mod pairs;
mod side;
#[cfg(test)]
mod tests;
mod train;

use foldin_core::{
    Auto, Capabilities, FitContext, FitError, LoadError, ModelConfig, ModelFamily, ModelParts, TrainingData,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ease::EaseConfig;
use crate::implicit_als::ImplicitAlsConfig;
use crate::ranking::CLICKS;

pub use model::LfgRankModel;

/// Settings of `lfg-rank`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LfgRankConfig {
    /// Random starts of which the factors' scores are averaged.
    #[schemars(range(min = 1, max = 64))]
    pub members: usize,
    /// Number of factors of each, as in `implicit-als`.
    #[schemars(range(min = 1, max = 1024), extend("search" = "log-integers:32:256"))]
    pub factors: Auto<usize>,
    /// Times that users and then items are solved for.
    #[schemars(range(min = 1, max = 10000))]
    pub iterations: usize,
    /// α₀: weight of every cell of the matrix, as in `implicit-als`.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0, "search" = "log:0.01:1"))]
    pub unobserved: Auto<f32>,
    /// λ: shrinkage of factors, as in `implicit-als`.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0, "search" = "log:0.001:1"))]
    pub regularization: Auto<f32>,
    /// e: the clicks of a user of n clicks weigh n^−e in what items learn, as in `implicit-als`.
    #[schemars(range(min = 0.0, max = 2.0), extend("search" = "uniform:0:1"))]
    pub activity_exponent: f32,
    /// v: share of the closed-form weights of pairs. Automatic: chosen on clicks held out.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ease_share: Auto<f32>,
    /// w: share of the similarity. Automatic: chosen on clicks held out.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub similarity_share: Auto<f32>,
    /// Whether histories of up to 16 clicks, and less and less up to 32, are served in a way of their own, by factors that they foretell and with
    /// other shares: `auto` chooses it on clicks held out, which takes a fit more if nothing else is chosen, `off` serves all alike.
    pub short_histories: ShortHistories,
    /// Share of each user's clicks on which is chosen what is automatic: shares, ways of short histories, weights of side information.
    #[schemars(range(min = 0.01, max = 0.5))]
    pub choosing_fraction: f64,
    /// λ of the weights of pairs, as in `ease`.
    #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0.0, "search" = "log:20:2000"))]
    pub ease_regularization: Auto<f32>,
    /// e of the weights of pairs: each user weighs n^−e.
    #[schemars(range(min = 0.0, max = 2.0), extend("search" = "uniform:0:1"))]
    pub ease_user_exponent: f32,
    /// a: each user weighs n^−a in the similarity.
    #[schemars(range(min = 0.0, max = 2.0), extend("search" = "uniform:0:1"))]
    pub similarity_user_exponent: f32,
    /// b: an item of n users is damped by n^b where it is scored.
    #[schemars(range(min = 0.0, max = 2.0), extend("search" = "uniform:0:1"))]
    pub similarity_target_exponent: f32,
    /// c: an item of n users is damped by n^c where it is in a history, in the similarity and where factors are foretold.
    #[schemars(range(min = 0.0, max = 2.0), extend("search" = "uniform:0:1"))]
    pub similarity_history_exponent: f32,
    /// Whether side information enters: users' factors are drawn towards what their features foretell, items without clicks get what theirs
    /// foretell. `auto` does so for users where lists of clicks held out get better, for items where factors of items left out are foretold
    /// better than by their mean, and leaves alone what it does not help; `off` never.
    pub side_information: SideInformation,
    /// Items that a catalogue may have at most for pairs to be weighed; above, automatic shares are 0.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_items: usize,
}

impl Default for LfgRankConfig {
    fn default() -> Self {
        let factors = ImplicitAlsConfig::default();
        let ease = EaseConfig::default();
        Self {
            members: 4,
            factors: factors.factors,
            iterations: factors.iterations,
            unobserved: factors.unobserved,
            regularization: factors.regularization,
            activity_exponent: factors.activity_exponent,
            ease_share: Auto::Auto,
            similarity_share: Auto::Auto,
            short_histories: ShortHistories::Auto,
            choosing_fraction: 0.1,
            ease_regularization: ease.regularization,
            ease_user_exponent: ease.user_exponent,
            similarity_user_exponent: 0.5,
            similarity_target_exponent: 0.5,
            similarity_history_exponent: 0.4,
            side_information: SideInformation::Auto,
            max_items: ease.max_items,
        }
    }
}

/// Whether short histories are served in a way of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ShortHistories {
    /// Chosen on clicks held out.
    Auto,
    /// None.
    Off,
}

/// Whether side information enters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SideInformation {
    /// Where it helps on clicks held out.
    Auto,
    /// Never.
    Off,
}

impl ModelConfig for LfgRankConfig {
    fn check(&self) -> Result<(), String> {
        let share = |share: Auto<f32>| share.or_else(|| 0.0);
        if share(self.ease_share) + share(self.similarity_share) > 1.0 {
            return Err("`ease_share` and `similarity_share` are more than 1 together".to_owned());
        }
        Ok(())
    }
}

impl LfgRankConfig {
    fn factors(&self) -> ImplicitAlsConfig {
        ImplicitAlsConfig {
            factors: self.factors,
            iterations: self.iterations,
            unobserved: self.unobserved,
            regularization: self.regularization,
            activity_exponent: self.activity_exponent,
            ..ImplicitAlsConfig::default()
        }
    }

    fn ease(&self) -> EaseConfig {
        EaseConfig {
            regularization: self.ease_regularization,
            user_exponent: self.ease_user_exponent,
            max_items: self.max_items,
            ..EaseConfig::default()
        }
    }
}

/// The family of `lfg-rank`.
#[derive(Clone, Copy, Debug)]
pub struct LfgRank;

impl ModelFamily for LfgRank {
    const NAME: &'static str = "lfg-rank";
    const SUMMARY: &'static str =
        "factors generated from clicks and weights of pairs of items, in the shares that rank best";
    type Config = LfgRankConfig;
    type Model = LfgRankModel;

    fn capabilities() -> Capabilities {
        Capabilities { user_features: true, item_features: true, ..CLICKS }
    }

    fn fit(
        config: &LfgRankConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<LfgRankModel, FitError> {
        train::fit(config, data, ctx)
    }

    fn load(parts: ModelParts) -> Result<LfgRankModel, LoadError> {
        LfgRankModel::load(parts)
    }
}
