//! `ease`: item-to-item weights in closed form.
//!
//! `B = argmin Σ_u w_u |x_u − x_u B|² + λ|B|² + p/(1 − p) Σ_ij G_ii B_ij²` with `diag B = 0`, over the binary histories `x_u` and their Gram matrix
//! `G = Σ_u w_u x_u' x_u`. With `P = (G + p/(1 − p)·diag G + λI)⁻¹` that is `B = I − P·diag(1/diag P)` (Steck 2019, "Embarrassingly shallow
//! autoencoders for sparse data", equation 8; the term in `p` is dropout of the input in expectation, Steck 2020, "Autoencoders that
//! don't overfit towards the identity", equation 6, here with the diagonal held at 0). A user is scored by `x_u B`, so that somebody
//! new is served like anybody else.
//!
//! We depart in weighing users: `w_u = n_u^(−e)` times the mean of `n^e`, so that somebody who takes everything does not say what goes
//! together as loudly as their `n_u²` pairs would have it. `e = 0` is the paper.
//!
//! Cost: `Σ_u n_u² / 2` additions for `G`, n³ operations for the inverse of `n` items, which is made in the place of `G`
//! ([`foldin_nn::inverse`]), and 4n² bytes for `B`. A user costs `n_u · n` additions, which wait for `B` to come from memory. MovieLens 1M
//! (3,700 items, 5·10¹⁰ operations for the inverse, 1.2·10⁸ for `G`) takes less than 3 s on 2 cores of an Ice Lake server that others
//! share. Deterministic without a seed.

use foldin_core::{
    Auto, Capabilities, ConfigError, FitContext, FitError, Interactions, LoadError, ModelConfig, ModelFamily,
    ModelParts, TrainingData,
};
use foldin_nn::gram::weighted_gram;
use foldin_nn::inverse::invert_positive_definite;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::item_weights::DenseWeights;
use crate::per_user::recommender;
use crate::ranking::{CLICKS, implicit_interactions, mean_users_of_an_item};

/// Settings of `ease`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EaseConfig {
    /// λ: shrinkage of the weights, in users who took both items of a pair. The more often items are taken, the more is needed:
    /// `auto` is 40 times the square root of the mean number of users of an item, over items that anybody took.
    #[schemars(range(max = 1e9), extend("exclusiveMinimum" = 0.0, "search" = "log:20:2000"))]
    pub regularization: Auto<f32>,
    /// e: each user weighs `n^(−e)` for `n` items taken; 0 is the paper, 1 gives everybody's items together one voice.
    #[schemars(range(min = 0.0, max = 2.0), extend("search" = "uniform:0:1"))]
    pub user_exponent: f32,
    /// p: share of the items of a history that weights must do without; it shrinks those of popular items. 0 is the paper of 2019.
    #[schemars(range(min = 0.0, max = 0.95), extend("search" = "uniform:0:0.7"))]
    pub dropout: f32,
    /// Items that a catalogue may have at most, since there is a weight for each pair: 30,000 take 3.6 GB, and twice that while
    /// the model is saved.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_items: usize,
}

/// Chosen on parts of the training clicks of MovieLens 100K, 1M and Ciao, where they do better than the papers' 0 for both `user_exponent`
/// and `dropout`.
impl Default for EaseConfig {
    fn default() -> Self {
        Self { regularization: Auto::Auto, user_exponent: 0.5, dropout: 0.3, max_items: 30_000 }
    }
}

impl ModelConfig for EaseConfig {}

/// The family of `ease`.
#[derive(Clone, Copy, Debug)]
pub struct Ease;

/// A fitted `ease`.
pub type EaseModel = DenseWeights<Ease>;

impl ModelFamily for Ease {
    const NAME: &'static str = "ease";
    const SUMMARY: &'static str = "weights of all pairs of items in closed form";
    type Config = EaseConfig;
    type Model = EaseModel;

    fn capabilities() -> Capabilities {
        CLICKS
    }

    fn fit(
        config: &EaseConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<EaseModel, FitError> {
        let clicks = implicit_interactions(Self::NAME, data)?;
        let weights = item_weights(Self::NAME, clicks, config, ctx)?;
        Ok(DenseWeights::new(clicks.n_items(), weights, Vec::new()))
    }

    fn load(parts: ModelParts) -> Result<EaseModel, LoadError> {
        DenseWeights::load(parts)
    }
}

recommender!(EaseModel);

/// `n_u^(−e)` of each user times the mean of `n^e`, over users who took anything; 0 for the others.
#[must_use]
pub fn user_weights(clicks: &Interactions, exponent: f32) -> Vec<f64> {
    let counts = (0..clicks.n_users()).map(|user| clicks.by_user().row_len(user) as f64);
    let powers: Vec<f64> = counts.map(|n| if n > 0.0 { n.powf(f64::from(exponent)) } else { 0.0 }).collect();
    let users = powers.iter().filter(|&&power| power > 0.0).count();
    let mean = powers.iter().sum::<f64>() / users.max(1) as f64;
    powers.iter().map(|&power| if power > 0.0 { mean / power } else { 0.0 }).collect()
}

impl EaseConfig {
    /// λ for these data.
    #[must_use]
    pub fn regularization_for(&self, clicks: &Interactions) -> f32 {
        self.regularization.or_else(|| 40.0 * mean_users_of_an_item(clicks).sqrt())
    }
}

/// The weights `B`, `[n_items × n_items]`: row `j` is what an item `j` of a history adds to the score of each item.
pub(crate) fn item_weights(
    model: &'static str,
    clicks: &Interactions,
    config: &EaseConfig,
    ctx: &FitContext<'_>,
) -> Result<Vec<f32>, FitError> {
    let n = clicks.n_items();
    if n > config.max_items {
        let have = format!("{n} items");
        return Err(FitError::TooMuchData { model, most: "as many items as `max_items` says", have });
    }
    ctx.progress.stage("item pairs");
    let weights = user_weights(clicks, config.user_exponent);
    let mut matrix = weighted_gram(clicks.by_user(), clicks.by_item(), &weights);
    let ridge = config.regularization_for(clicks);
    let dropped = config.dropout / (1.0 - config.dropout);
    for item in 0..n {
        let diagonal = &mut matrix[item * n + item];
        *diagonal += dropped * *diagonal + ridge;
    }
    ctx.progress.stage("inverse");
    let done = invert_positive_definite(&mut matrix, n, || ctx.cancel.is_cancelled()).map_err(|_| {
        let reason =
            format!("`regularization` is {ridge}, which is too little for these data at single precision");
        ConfigError::Conflict { model: model.to_owned(), reason }
    })?;
    if !done {
        return Err(FitError::Cancelled { epochs: 0 });
    }
    let scale: Vec<f32> = (0..n).map(|item| -1.0 / matrix[item * n + item]).collect();
    matrix.par_chunks_mut(n.max(1)).enumerate().for_each(|(item, row)| {
        row.iter_mut().zip(&scale).for_each(|(weight, scale)| *weight *= scale);
        row[item] = 0.0;
    });
    Ok(matrix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Csr, Features, Feedback};

    fn clicks(n_users: usize, n_items: usize, pairs: &[(u32, u32)]) -> Interactions {
        let triples: Vec<(u32, u32, f32)> = pairs.iter().map(|&(user, item)| (user, item, 1.0)).collect();
        let csr = Csr::from_triples(n_users, n_items, &triples).unwrap();
        Interactions::new(csr, None, Feedback::Implicit).unwrap()
    }

    /// No small change of a weight that keeps the diagonal at 0 lowers the objective.
    #[test]
    fn the_weights_minimise_the_objective() {
        let pairs: Vec<(u32, u32)> = (0..40u32)
            .flat_map(|user| (0..7u32).map(move |item| (user, item)))
            .filter(|&(user, item)| (user * 7 + item * item * 3 + user * item) % 4 == 0)
            .collect();
        let clicks = clicks(40, 7, &pairs);
        let config = EaseConfig {
            regularization: Auto::Value(3.0),
            user_exponent: 0.5,
            dropout: 0.25,
            ..EaseConfig::default()
        };
        let weights = item_weights("ease", &clicks, &config, &FitContext::new(1)).unwrap();
        let users = user_weights(&clicks, 0.5);
        let objective = |weights: &[f64]| -> f64 {
            let mut sum = 0.0;
            let mut counts = [0.0; 7];
            for (user, weight) in users.iter().enumerate() {
                let items = clicks.by_user().row(user).0;
                items.iter().for_each(|&item| counts[item as usize] += weight);
                for item in 0..7 {
                    let score: f64 = items.iter().map(|&other| weights[other as usize * 7 + item]).sum();
                    sum += weight * (f64::from(u8::from(items.contains(&(item as u32)))) - score).powi(2);
                }
            }
            let ridge = |at: usize| 3.0 + 0.25 / 0.75 * counts[at / 7];
            sum + weights.iter().enumerate().map(|(at, weight)| ridge(at) * weight * weight).sum::<f64>()
        };
        let weights: Vec<f64> = weights.iter().map(|&weight| f64::from(weight)).collect();
        let best = objective(&weights);
        for at in 0..49 {
            if at % 8 == 0 {
                assert_eq!(weights[at], 0.0);
                continue;
            }
            for step in [-1e-3, 1e-3] {
                let mut changed = weights.clone();
                changed[at] += step;
                assert!(objective(&changed) > best, "weight {at}, {step}");
            }
        }
    }

    #[test]
    fn users_weigh_by_how_much_they_take() {
        let clicks = clicks(3, 4, &[(0, 0), (2, 0), (2, 1), (2, 2), (2, 3)]);
        // The mean of √1 and √4 is 1.5; the user who took nothing has no weight.
        assert_eq!(user_weights(&clicks, 0.5), [1.5, 0.0, 0.75]);
        assert_eq!(user_weights(&clicks, 0.0), [1.0, 0.0, 1.0]);
    }

    #[test]
    fn what_cannot_be_solved_is_refused_in_words() {
        let clicks = clicks(2, 3, &[(0, 0), (0, 1), (1, 0), (1, 1)]);
        let (users, items) = (Features::none(2), Features::none(3));
        let data = TrainingData { interactions: &clicks, user_features: &users, item_features: &items };
        let with = |config: EaseConfig| Ease::fit(&config, &data, &FitContext::new(1)).map(drop);
        let few = EaseConfig { max_items: 2, ..EaseConfig::default() };
        assert_eq!(
            with(few).unwrap_err().to_string(),
            "ease can hold as many items as `max_items` says, but the training data have 3 items"
        );
        let tiny = EaseConfig { regularization: Auto::Value(1e-9), dropout: 0.0, ..EaseConfig::default() };
        assert!(with(tiny).unwrap_err().to_string().contains("too little for these data"));
        assert!(with(EaseConfig::default()).is_ok());
    }
}
