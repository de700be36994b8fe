//! `llorma`: local low-rank matrix approximation. Lee, Kim, Lebanon, Singer (ICML 2013), "Local low-rank matrix approximation":
//! a rating matrix is taken to be of low rank near each of its points only, so that many small factorisations around anchors,
//! each on the ratings near its anchor, add up to the whole.
//!
//! A global factorisation ([`bias_svd`](crate::bias_svd)) gives every user and item a direction, and two directions a distance
//! `d = (2/π) arccos(cos)` in `[0, 2]`. With the Epanechnikov kernel `K_h(d) = max(0, 1 − (d/h)²)` the model of anchor `t = (a_t, c_t)`
//! minimises, over all ratings, with `s_ui = r_ui − μ − b_u − b_i` what damped biases ([`bias`](crate::bias)) leave, in quarters of the scale,
//! `Σ K(a_t,u) K(c_t,i) (s_ui − p_u·q_i − β_u − β_i)² + Σ_u K(a_t,u) (λ |p_u|² + λ_b β_u²) + Σ_i K(c_t,i) (λ |q_i|² + λ_b β_i²)`
//! (the paper's parallel form, with shrinkage), by solving for all users and all items in turn: each solve is a ridge regression in which
//! the own weight cancels. A prediction is the weighted mean of those anchors that cover the pair, as in the paper, and of the global model:
//! `r̂_ui = (w₀ ĝ_ui + Σ_t K(a_t,u) K(c_t,i) r̂ᵗ_ui) / (w₀ + Σ_t K(a_t,u) K(c_t,i))`.
//!
//! Departures, each chosen on a slice of the training part of MovieLens:
//! * least squares in turn instead of gradient descent: no step to choose, and a minimum after a few rounds;
//! * the local models learn what biases leave, and have biases of their own;
//! * the global model is a part of every mean, with weight `w₀`, and alone where no anchor reaches. The authors' toolkit has
//!   `w₀ = 0` and the middle of the scale there: `global_weight = 0`, `fallback = "middle"`;
//! * directions come from factors beside biases, which point everywhere; those of a factorisation of raw ratings share a large part, so that
//!   all distances are small, and the authors' bandwidth of 0.8 goes further there;
//! * nothing is chosen on the test part; the toolkit keeps the best of all numbers of anchors by the test RMSE.
//!
//! Anyone, known or new, is served alike: biases and global factors are folded in from the history, which gives the distance to
//! every anchor, and for each anchor within reach one ridge regression on the rated items near it gives `p_u` and `β_u`. That is also the
//! user's half of a round in training, so nothing learned of training users is needed or kept. An anchor is a point in the space of
//! directions and nobody's row: it is drawn as a random rating, and its users' side is then the mean direction of the 20 training users
//! (or all, where there are fewer) nearest to the one who rated.
//!
//! Cost: a rating covered by an anchor costs `k²` multiplications a round (`k` local factors, some 0.4 s an anchor and core for a million
//! ratings and 14 factors); memory `4 (k + 2)` bytes an anchor and item, and while an anchor is trained `4 (k + 2)` bytes for each user and
//! item that it covers. Anchors are trained in parallel, a few at a time, and so are the rows of each; every anchor draws its start from a stream of
//! its own: the same bits at any number of threads.

mod anchors;
mod config;
mod local;
mod model;
#[cfg(test)]
mod tests;
mod train;

use foldin_core::{Capabilities, FitContext, FitError, LoadError, ModelFamily, ModelParts, TrainingData};

use crate::linear::BASELINE;

pub use config::{Fallback, LlormaConfig};
pub use model::LlormaModel;

/// The family of `llorma`.
#[derive(Clone, Copy, Debug)]
pub struct Llorma;

impl ModelFamily for Llorma {
    const NAME: &'static str = "llorma";
    const SUMMARY: &'static str = "local low-rank models around anchors, combined by their distance";
    type Config = LlormaConfig;
    type Model = LlormaModel;

    fn capabilities() -> Capabilities {
        BASELINE
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<LlormaModel, FitError> {
        train::fit(config, data, ctx)
    }

    fn load(parts: ModelParts) -> Result<LlormaModel, LoadError> {
        LlormaModel::load(parts)
    }
}
