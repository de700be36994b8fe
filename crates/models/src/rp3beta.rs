//! `rp3beta`: random walks of three steps that are held back from popular items.
//!
//! A walk goes from the user to an item of theirs, to somebody else who took it, and to an item of theirs. With the transition
//! probabilities raised to α, item `j` of a history adds `W_ji = n_j^(−α) · Σ_v n_v^(−α) / n_i^β` to item `i`, the sum over the users `v` who took
//! both (Cooper, Lee, Radinsky, Siantis 2014, for α; Paudel, Christoffel, Newell, Bernstein 2016, "Updatable, accurate, diverse,
//! and scalable recommendations for interactive applications", section 3.4, for β). Of each `j` the `neighbours` largest weights are
//! kept, and `W_jj = 0`, as is usual. The first step is the same factor for all items of a user, so the history enters as it is and
//! somebody new is served like anybody else. We depart in nothing but that factor, which no ranking depends on.
//!
//! Cost: `Σ_u n_u²` steps ([`foldin_nn::overlap`]), memory `neighbours` an item; a user costs `n_u · neighbours`. Deterministic without
//! a seed.

use foldin_core::{
    Capabilities, FitContext, FitError, LoadError, ModelConfig, ModelFamily, ModelParts, TrainingData,
};
use foldin_nn::overlap::{Overlap, Ratio, Rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::item_weights::{ItemWeights, SparseWeights};
use crate::knn::check_size;
use crate::per_user::recommender;
use crate::ranking::{CLICKS, implicit_interactions};

/// Settings of `rp3beta`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rp3BetaConfig {
    /// α: the probability of each step is raised to this power; 1 is a plain walk.
    #[schemars(range(min = 0.0, max = 4.0), extend("search" = "uniform:0.4:1.4"))]
    pub alpha: f32,
    /// β: an item taken by `n` users is held back by `n^β`; 0 leaves the walk as it is.
    #[schemars(range(min = 0.0, max = 4.0), extend("search" = "uniform:0.1:0.9"))]
    pub beta: f32,
    /// Items kept to which an item of a history can lead.
    #[schemars(range(min = 1, max = 1_000_000), extend("search" = "log-integers:50:1000"))]
    pub neighbours: usize,
}

/// Chosen on parts of the training clicks of MovieLens 100K and 1M. Sparse data want less of β: 0.3 with 300 neighbours on Ciao.
impl Default for Rp3BetaConfig {
    fn default() -> Self {
        Self { alpha: 0.8, beta: 0.6, neighbours: 100 }
    }
}

impl ModelConfig for Rp3BetaConfig {}

/// The family of `rp3beta`.
#[derive(Clone, Copy, Debug)]
pub struct Rp3Beta;

/// A fitted `rp3beta`.
pub type Rp3BetaModel = SparseWeights<Rp3Beta>;

impl ModelFamily for Rp3Beta {
    const NAME: &'static str = "rp3beta";
    const SUMMARY: &'static str = "random walks of three steps, held back from popular items";
    type Config = Rp3BetaConfig;
    type Model = Rp3BetaModel;

    fn capabilities() -> Capabilities {
        CLICKS
    }

    fn fit(
        config: &Rp3BetaConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<Rp3BetaModel, FitError> {
        let clicks = implicit_interactions(Self::NAME, data)?;
        check_size(Self::NAME, clicks)?;
        ctx.progress.stage("walks");
        let (alpha, beta) = (f64::from(config.alpha), f64::from(config.beta));
        let rules = Rules {
            ratio: Ratio::Product { own: alpha, other: beta },
            column_exponent: alpha,
            shrinkage: 0.0,
            keep: config.neighbours,
        };
        let items = clicks.by_item();
        let near = Overlap::new(items, rules).all_pairs(items, || ctx.cancel.is_cancelled());
        let near = near.ok_or(FitError::Cancelled { epochs: 0 })?;
        Ok(SparseWeights::new(ItemWeights::of_history(&near), Vec::new()))
    }

    fn load(parts: ModelParts) -> Result<Rp3BetaModel, LoadError> {
        SparseWeights::load(parts)
    }
}

recommender!(Rp3BetaModel);

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Csr, Features, Feedback, Interactions, Recommender, UserView};

    /// The walk as it is defined: two stochastic matrices, their elements raised to α, multiplied.
    #[test]
    fn equals_the_walk_by_its_definition() {
        let taken = [[1, 1, 0, 1], [0, 1, 1, 0], [1, 1, 1, 0], [0, 0, 1, 1], [0, 1, 0, 0]];
        let (alpha, beta) = (0.7f64, 0.4f64);
        let cells: Vec<(u32, u32, f32)> = (0..5u32)
            .flat_map(|user| (0..4u32).map(move |item| (user, item, 1.0)))
            .filter(|&(user, item, _)| taken[user as usize][item as usize] == 1)
            .collect();
        let csr = Csr::from_triples(5, 4, &cells).unwrap();
        let clicks = Interactions::new(csr, None, Feedback::Implicit).unwrap();
        let (users, items) = (Features::none(5), Features::none(4));
        let data = TrainingData { interactions: &clicks, user_features: &users, item_features: &items };
        let config = Rp3BetaConfig { alpha: 0.7, beta: 0.4, neighbours: 9 };
        let model = Rp3Beta::fit(&config, &data, &FitContext::new(1)).unwrap();

        let of_user = |user: usize| f64::from(taken[user].iter().sum::<i32>());
        let of_item = |item: usize| f64::from(taken.iter().map(|row| row[item]).sum::<i32>());
        let user_to_item =
            |user: usize, item: usize| (f64::from(taken[user][item]) / of_user(user)).powf(alpha);
        let item_to_user =
            |item: usize, user: usize| (f64::from(taken[user][item]) / of_item(item)).powf(alpha);
        // Somebody who took items 0 and 3.
        let mut scores = [0.0; 4];
        model.score(&[UserView::new(&[3, 0], &[1.0, 1.0])], &mut scores).unwrap();
        for (item, &score) in scores.iter().enumerate() {
            let walk = |from: usize| {
                let steps = (0..5).map(|user| item_to_user(from, user) * user_to_item(user, item));
                if from == item { 0.0 } else { steps.sum::<f64>() / of_item(item).powf(beta) }
            };
            assert!((f64::from(score) - walk(0) - walk(3)).abs() < 1e-6, "item {item}: {score}");
        }
    }
}
