//! Neighbours by clicks: what `item-knn` and `user-knn` are where nothing is rated.
//!
//! `item-knn` scores `s_ui = Σ_{j in the history} s_ij^q` over the `j` that are among the nearest neighbours of `i`; `user-knn` scores
//! `s_ui = Σ_{v ∈ S} s_uv^q` over the users `v` who took `i`, `S` the nearest neighbours of `u` (Deshpande, Karypis 2004, "Item-based top-n
//! recommendation algorithms"; sums rather than means, as in Aiolli 2013, "Efficient top-n recommendation for very large scale
//! binary rated datasets", whose asymmetric cosine is one of the similarities). With the weight `n^(−a)` of what is in
//! common, `Σ_v n_v^(−a) / (n_i^b n_j^c)` over common users `v` is the two-exponent similarity; see [`foldin_nn::overlap`] for all of them.
//!
//! Cost: `Σ_u n_u²` steps and the kept neighbours for `item-knn`, of which a user costs `Σ_j` (items that have `j` as a neighbour);
//! nothing to fit for `user-knn`, which keeps the histories, and of which a user costs `Σ_i n_i` over the history. Deterministic without
//! a seed.

use foldin_core::{
    Csr, Feedback, FitContext, FitError, LoadError, ModelFamily, ModelParts, Tensor, TrainingData, UserId,
    UserView,
};
use foldin_nn::overlap::{Overlap, Rules, Workspace};
use foldin_nn::similarity::Neighbours;

use super::item::ItemKnn;
use super::user::UserKnn;
use super::{KnnConfig, check_size};
use crate::item_weights::{ItemWeights, ascending};
use crate::lists;
use crate::ranking::implicit_interactions;

fn raised(near: &Neighbours, power: f32) -> Neighbours {
    let weights = near.similarities().iter().map(|similarity| similarity.powf(power)).collect();
    Neighbours::new(near.offsets().to_vec(), near.rows().to_vec(), weights).unwrap_or_default()
}

/// An `item-knn` of clicks.
#[derive(Clone, Debug)]
pub struct ItemClicks {
    weights: ItemWeights,
}

impl ItemClicks {
    pub(super) fn fit(
        config: &KnnConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<Self, FitError> {
        let clicks = implicit_interactions(ItemKnn::NAME, data)?;
        check_size(ItemKnn::NAME, clicks)?;
        ctx.progress.stage("similarities");
        let items = clicks.by_item();
        let near = Overlap::new(items, config.click_rules()).all_pairs(items, || ctx.cancel.is_cancelled());
        let near = near.ok_or(FitError::Cancelled { epochs: 0 })?;
        Ok(Self { weights: ItemWeights::of_targets(&raised(&near, config.click_power)) })
    }

    pub(super) fn n_items(&self) -> usize {
        self.weights.n_items()
    }

    pub(super) fn scores(&self, user: &UserView<'_>) -> Vec<f32> {
        self.weights.scores(user)
    }

    pub(super) fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        self.weights.to_parts(&mut parts);
        parts.set("feedback", Feedback::Implicit);
        parts
    }

    pub(super) fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        Ok(Self { weights: ItemWeights::from_parts(&mut parts)? })
    }
}

/// A `user-knn` of clicks.
#[derive(Clone, Debug)]
pub struct UserClicks {
    /// The training users' items.
    histories: Csr,
    overlap: Overlap,
    rules: Rules,
    power: f32,
    /// Whether this is the model as it was fitted, in which training users have numbers.
    fitted: bool,
}

impl UserClicks {
    fn new(histories: Csr, rules: Rules, power: f32, fitted: bool) -> Self {
        let overlap = Overlap::new(&histories, rules);
        Self { histories, overlap, rules, power, fitted }
    }

    pub(super) fn fit(config: &KnnConfig, data: &TrainingData<'_>) -> Result<Self, FitError> {
        let clicks = implicit_interactions(UserKnn::NAME, data)?;
        check_size(UserKnn::NAME, clicks)?;
        Ok(Self::new(clicks.by_user().clone(), config.click_rules(), config.click_power, true))
    }

    pub(super) fn n_items(&self) -> usize {
        self.histories.n_cols()
    }

    pub(super) fn scores(&self, user: &UserView<'_>) -> Vec<f32> {
        let own = user.trained_as.map(UserId::index).filter(|_| self.fitted);
        let mut work = Workspace::new(self.overlap.n_rows());
        let mut sums = vec![0.0f64; self.n_items()];
        for (other, similarity) in self.overlap.nearest(&ascending(user), own, &mut work) {
            let weight = f64::from(similarity.powf(self.power));
            for &item in self.histories.row(other as usize).0 {
                sums[item as usize] += weight;
            }
        }
        sums.into_iter().map(|sum| sum as f32).collect()
    }

    pub(super) fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let kept = &self.histories;
        let lengths: Vec<f32> = kept.offsets().windows(2).map(|pair| (pair[1] - pair[0]) as f32).collect();
        let numbers: Vec<f32> = kept.columns().iter().map(|&number| number as f32).collect();
        let mut counts = vec![0.0f32; self.n_items()];
        kept.columns().iter().for_each(|&item| counts[item as usize] += 1.0);
        for (name, data) in
            [("history_lengths", lengths), ("history_numbers", numbers), ("item_counts", counts)]
        {
            parts.tensors.insert(name.to_owned(), Tensor::new([data.len()], data));
        }
        parts.set("rules", self.rules);
        parts.set("power", self.power);
        parts.set("feedback", Feedback::Implicit);
        parts
    }

    pub(super) fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        let n_items = parts.take("item_counts", &[None])?.data.len();
        let numbers = parts.tensors.get("history_numbers").map_or(0, |numbers| numbers.data.len());
        // Lists have values; histories of clicks need none, so all are 1.
        parts.tensors.insert("history_values".to_owned(), Tensor::new([numbers], vec![1.0; numbers]));
        let lists = lists::from_parts("history", None, &mut parts)?;
        let histories = Csr::from_parts(n_items, lists.offsets, lists.numbers, lists.values)
            .map_err(|_| LoadError::Meta { key: "history_numbers".to_owned() })?;
        let (rules, power): (Rules, f32) = (parts.get("rules")?, parts.get("power")?);
        Ok(Self::new(histories, rules, power, false))
    }
}
