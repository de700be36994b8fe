//! `slim`: sparse item-to-item weights by elastic net.
//!
//! For each item `i` on its own, `w = argmin ½ Σ_u ω_u (x_ui − x_u·w)² + ½ l2 |w|² + l1 Σ_j w_j` with `w ≥ 0` and `w_i = 0`, over the binary
//! histories `x_u`; a user is scored by `x_u W`, so that somebody new is served like anybody else (Ning, Karypis 2011, "SLIM: sparse linear
//! methods for top-n recommender systems", equation 2). Of each item no more than `neighbours` weights are kept. Solved by coordinate descent on the Gram matrix ([`foldin_nn::elastic_net`]).
//!
//! We depart in weighing users by `ω_u`, as in [`ease`](crate::ease); `user_exponent = 0` is the paper.
//!
//! Cost: `Σ_u n_u² / 2` for the Gram matrix of `n` items and 4n² bytes to hold it; n additions for each change of a weight, of which
//! an item takes some thousand. Items are solved in parallel with the same bits at any number of threads; an epoch is a share of
//! them. Deterministic without a seed.

use foldin_core::parallel::chunked;
use foldin_core::{
    Auto, Capabilities, Csr, Epoch, FitContext, FitError, Interactions, LoadError, ModelConfig, ModelFamily,
    ModelParts, TrainState, TrainingData,
};
use foldin_nn::elastic_net::{ElasticNet, Workspace, explain};
use foldin_nn::gram::weighted_gram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ease::user_weights;
use crate::item_weights::{ItemWeights, SparseWeights};
use crate::knn::check_size;
use crate::lists::{self, Lists};
use crate::per_user::recommender;
use crate::ranking::{CLICKS, implicit_interactions, mean_users_of_an_item};
use crate::resume;

/// Settings of `slim`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SlimConfig {
    /// l1: what two items must have in common, in users, beyond what other weights explain, before one gets a weight for the other.
    /// `auto` is 0.1 times the square root of the mean number of users of an item, over items that anybody took.
    #[schemars(range(min = 0.0, max = 1e9), extend("search" = "log:0.1:10"))]
    pub l1: Auto<f32>,
    /// l2: shrinkage of the weights, in users who took both items of a pair. `auto` is 30 times that square root.
    #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0.0, "search" = "log:10:1000"))]
    pub l2: Auto<f32>,
    /// Each user weighs `n^(−e)` for `n` items taken; 0 is the paper.
    #[schemars(range(min = 0.0, max = 2.0), extend("search" = "uniform:0:1"))]
    pub user_exponent: f32,
    /// Weights kept of each item, the largest ones.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub neighbours: usize,
    /// Times that all weights of an item are gone through, at most.
    #[schemars(range(min = 1, max = 100_000))]
    pub passes: usize,
    /// An item is done when no weight changes by more than this share of the largest.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub tolerance: f32,
    /// Items that a catalogue may have at most, since the Gram matrix has an element for each pair: 30,000 take 3.6 GB.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_items: usize,
}

/// Chosen on parts of the training clicks of MovieLens 100K, 1M and Ciao.
impl Default for SlimConfig {
    fn default() -> Self {
        Self {
            l1: Auto::Auto,
            l2: Auto::Auto,
            user_exponent: 0.5,
            neighbours: 1000,
            passes: 100,
            tolerance: 1e-3,
            max_items: 30_000,
        }
    }
}

impl ModelConfig for SlimConfig {}

/// The family of `slim`.
#[derive(Clone, Copy, Debug)]
pub struct Slim;

/// A fitted `slim`.
pub type SlimModel = SparseWeights<Slim>;

/// Parts in which the items are solved for, each an epoch to watch and to stop after.
const PARTS: usize = 20;

impl ModelFamily for Slim {
    const NAME: &'static str = "slim";
    const SUMMARY: &'static str = "sparse weights of pairs of items by elastic net";
    type Config = SlimConfig;
    type Model = SlimModel;

    fn capabilities() -> Capabilities {
        CLICKS
    }

    fn fit(
        config: &SlimConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<SlimModel, FitError> {
        let clicks = implicit_interactions(Self::NAME, data)?;
        check_size(Self::NAME, clicks)?;
        let n = clicks.n_items();
        if n > config.max_items {
            let most = "as many items as `max_items` says";
            return Err(FitError::TooMuchData { model: Self::NAME, most, have: format!("{n} items") });
        }
        let net = config.net(clicks);
        let part = n.div_ceil(PARTS);
        let parts = n.div_ceil(part);
        let mut solved = match ctx.resume()? {
            Some(saved) => resumed(saved, clicks, part)?,
            None => Lists { offsets: vec![0], numbers: Vec::new(), values: Vec::new() },
        };
        ctx.progress.stage("item pairs");
        let gram =
            weighted_gram(clicks.by_user(), clicks.by_item(), &user_weights(clicks, config.user_exponent));
        for number in (solved.offsets.len() - 1).div_ceil(part)..parts {
            let first = number * part;
            let columns = chunked(part.min(n - first), 4, |range| {
                let mut work = Workspace::new(n);
                let weights = range.map(|at| explain(&gram, first + at, &net, &mut work));
                weights.map(|weights| largest(weights, config.neighbours)).collect::<Vec<_>>()
            });
            for column in columns.into_iter().flatten() {
                solved.numbers.extend(column.iter().map(|&(item, _)| item));
                solved.values.extend(column.iter().map(|&(_, weight)| weight));
                solved.offsets.push(solved.numbers.len());
            }
            let epoch = Epoch { number: number + 1, of: parts, ..Epoch::default() };
            ctx.epoch_done(epoch, || state(number + 1, clicks, &solved))?;
        }
        let by_target = Csr::from_parts(n, solved.offsets, solved.numbers, solved.values)?;
        Ok(SparseWeights::new(ItemWeights::new(by_target.transpose()), Vec::new()))
    }

    fn load(parts: ModelParts) -> Result<SlimModel, LoadError> {
        SparseWeights::load(parts)
    }
}

recommender!(SlimModel);

impl SlimConfig {
    fn net(&self, clicks: &Interactions) -> ElasticNet {
        let scale = mean_users_of_an_item(clicks).sqrt();
        ElasticNet {
            l1: self.l1.or_else(|| 0.1 * scale),
            l2: self.l2.or_else(|| 30.0 * scale),
            passes: self.passes,
            tolerance: self.tolerance,
        }
    }
}

/// The `keep` largest weights, of equal ones those of the first items; by number of item again.
fn largest(mut weights: Vec<(u32, f32)>, keep: usize) -> Vec<(u32, f32)> {
    if weights.len() > keep {
        weights.sort_by(|one, other| other.1.total_cmp(&one.1));
        weights.truncate(keep);
        weights.sort_unstable_by_key(|&(item, _)| item);
    }
    weights
}

/// Between two parts: the weights of the items that are done.
fn state(epochs: usize, clicks: &Interactions, solved: &Lists) -> TrainState {
    let mut parts = ModelParts::default();
    lists::to_parts("weight", &solved.offsets, &solved.numbers, &solved.values, &mut parts);
    TrainState { tensors: parts.tensors, ..resume::state_of(epochs, clicks) }
}

fn resumed(saved: TrainState, clicks: &Interactions, part: usize) -> Result<Lists, FitError> {
    resume::check_ratings(&saved, clicks)?;
    let n = clicks.n_items();
    let done = saved.epochs.saturating_mul(part).min(n);
    let mut parts = ModelParts { tensors: saved.tensors, ..ModelParts::default() };
    let lists = lists::from_parts("weight", Some(done), &mut parts)
        .map_err(|_| resume::unfit("it lacks the weights of the items that are done"))?;
    if lists.numbers.iter().any(|&item| item as usize >= n) {
        return Err(resume::unfit("it belongs to another number of items"));
    }
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_weights_are_kept_in_order_of_items() {
        let weights = vec![(1, 0.5), (4, 0.1), (6, 0.7), (9, 0.5)];
        assert_eq!(largest(weights.clone(), 2), [(1, 0.5), (6, 0.7)]);
        assert_eq!(largest(weights.clone(), 4), weights);
    }
}
