//! `u-rbm` and `i-rbm`: the restricted Boltzmann machine for ratings of Salakhutdinov, Mnih and Hinton (ICML 2007), one machine a
//! user over the items, or one an item over the users; all machines of a model share their weights.
//!
//! A case (a user, or an item) has one softmax unit for each rating, with `K` levels, and `F` binary hidden units:
//!
//! ```text
//! p(V, h) ∝ exp(Σ_i b_i^v + Σ_j c_j h_j + Σ_i Σ_j h_j (W_ij^v + D_ij)),   i over the rated units, v the level of i
//! p(v_i = k | h) = softmax_k(b_i^k + Σ_j h_j W_ij^k),   p(h_j = 1 | V) = σ(c_j + Σ_i (W_ij^v + D_ij))   (equations 1 and 2)
//! ```
//!
//! Objective: `Σ_cases log p(V)`, climbed by contrastive divergence, `ΔW_ij^k ∝ <v_i^k h_j>_data − <v_i^k h_j>_T` (equation 6): a chain of
//! `T` steps starts at the data and makes the rated units again, and them only; `T` grows evenly from `first_steps` to
//! `last_steps`. Momentum, a learning rate that falls by a factor each epoch, weight decay, visible biases from log base rates.
//! A rating is the mean of `p(v_q | h)` with `h` the hidden probabilities given the history (one mean-field pass), or the mean of the
//! exact `p(v_q = k | V) ∝ exp(b_q^k) Π_j (1 + exp(x_j + W_qj^k + D_qj))` with `x_j` the input of `h_j` (equation 7).
//!
//! `D` is the paper's conditional form. There, pairs of the test part count as rated; here they never do: training ratings
//! and a given history count, and nothing else (in equation 7 the unit asked for is rated by supposition, whichever it is). Then
//! `W + D` could be had with `W` alone, and `D` changes only how fast is learned and how much is shrunk. Other departures: a gradient is
//! divided by a power of the number of cases of the batch that have the unit (`count_exponent`), where the paper has the mean over all
//! cases; velocity and decay of a unit's weights rest while no case has it; by default nothing is drawn in the chain, as in the
//! code of AutoRec's authors. The factored form and Gaussian hidden units are not here.
//!
//! Any scale with evenly spaced levels will do, up to 128 of them; any other is refused. `u-rbm` makes hidden units from a
//! history, so that it serves new users. In `i-rbm` the weights belong to the training users: it serves these alone, while it is in memory;
//! its folder holds the items' hidden units, and a loaded `i-rbm` refuses everybody.
//!
//! Cost of an epoch: `(2T + 2) K F` multiplications a rating, the ratings of a case alone; `4 U (K + 1) F` bytes of weights for `U`
//! visible units, as many of velocity, and `8 F` bytes a case of a batch. Weights lie by visible unit, level and hidden unit, so that a rating
//! reads one run of memory. A user is served with `2 F` operations a rating and `2 K F` an item. All draws come from a stream for
//! each epoch and case, and each row of weights is updated by one task in the order of cases: the same bits at any number of
//! threads.

mod config;
mod levels;
mod machine;
mod model;
mod predict;
mod step;
mod train;

#[cfg(test)]
mod tests;

use foldin_core::{Capabilities, FitContext, FitError, LoadError, ModelFamily, ModelParts, TrainingData};

pub use config::{Chain, Form, RbmConfig};
pub use model::{ItemRbmModel, UserRbmModel};

use crate::linear::BASELINE;
use train::Side;

/// The family of `u-rbm`.
#[derive(Clone, Copy, Debug)]
pub struct UserRbm;

/// The family of `i-rbm`.
#[derive(Clone, Copy, Debug)]
pub struct ItemRbm;

impl ModelFamily for UserRbm {
    const NAME: &'static str = "u-rbm";
    const SUMMARY: &'static str =
        "restricted Boltzmann machine: hidden units from a user's ratings, levels from these";
    type Config = RbmConfig;
    type Model = UserRbmModel;

    fn capabilities() -> Capabilities {
        BASELINE
    }

    fn fit(
        config: &RbmConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<UserRbmModel, FitError> {
        let trained = train::fit(Self::NAME, Side::Users, config, data, ctx)?;
        Ok(UserRbmModel::new(trained, data.interactions.feedback()))
    }

    fn load(parts: ModelParts) -> Result<UserRbmModel, LoadError> {
        UserRbmModel::load(parts)
    }
}

impl ModelFamily for ItemRbm {
    const NAME: &'static str = "i-rbm";
    const SUMMARY: &'static str =
        "restricted Boltzmann machine of items: hidden units from an item's ratings";
    type Config = RbmConfig;
    type Model = ItemRbmModel;

    fn capabilities() -> Capabilities {
        Capabilities { new_users: false, ..BASELINE }
    }

    fn default_config() -> RbmConfig {
        RbmConfig::items()
    }

    fn fit(
        config: &RbmConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<ItemRbmModel, FitError> {
        let trained = train::fit(Self::NAME, Side::Items, config, data, ctx)?;
        Ok(ItemRbmModel::new(trained, data.interactions.feedback()))
    }

    fn load(parts: ModelParts) -> Result<ItemRbmModel, LoadError> {
        ItemRbmModel::load(parts)
    }
}
