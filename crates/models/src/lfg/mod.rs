//! `lfg`: the Latent Factor Generator of Liu and Mi, and `lfg-plus`, the same network with features of items.
//!
//! `r̂_ui = μ + s·(u_u·m_i + b_u + b_i)` with `(u_u, b_u) = G(I_u)`: a network generates a user's factors and bias from what the
//! user rated and what is known of them, `I = [E, mask(H)]` (the paper's §3). Linear → LeakyReLU → BatchNorm → linear →
//! LeakyReLU → … → linear → tanh, and any other [activation](foldin_nn::activation::Activation), trained ones too, in the place of
//! LeakyReLU (`hidden_activation`). The items' factors `M` start from the truncated SVD of the training matrix (`√S·V'`, times
//! `item_init_scale` to suit tanh), their biases from 0; both are trained with the network. Loss: mean squared error over the
//! observed training ratings, masked ones included.
//!
//! Where this departs from the paper, or the paper leaves things open: ratings enter as `(r − μ)/s` with `s` a quarter of the
//! rating scale's length (1 for ratings of 1 to 5, so nothing assumes those), multiplied by `(100/n)^e` for `n` visible ratings;
//! a second input per item says whether it is visible; dropout; Adam with coupled L2 decay, the items' biases with a learning rate
//! of their own. `lfg-plus` adds `F·W` to factors and biases of items, `F` being side information, popularity and co-occurrence
//! of items (the features that `lfg-bayes` uses too), hides a random share of each user's ratings, and averages the weights.
//! On larger data the sparse layer learns by one step size a row, in half precision (`input_learning`), which is as accurate there
//! (RMSE 0.8478 with it and 0.8479 with Adam, five folds of MovieLens 1M) and takes half the time and a sixth of the memory.
//!
//! Cost of an epoch: the sparse layer `8·|H|·w₁` FLOP, dense layers `6·n_users·Σ wᵢwᵢ₊₁`, output `6·|H|·k`; but what takes
//! the time is the optimiser's traffic on the rows of the sparse layer that a batch touches, 24 bytes a weight each time with Adam and 4
//! row by row. LeakyReLU is fused into the kernels; another activation takes some passes over the hidden units of a batch more.
//! Memory: 12 bytes a weight with Adam (16 with averaging) and 2 row by row, the sparse layer having `2·n_items·w₁` of them.
//! A fitted model keeps the sparse layer in half precision: 2 bytes a weight.
//!
//! All randomness follows from the seed and the number of the epoch, batch or user, tasks write disjoint parts, and sums have a
//! fixed order: the same bits at any number of threads, and from a resumed checkpoint. Bits may differ between instruction sets.

mod activations;
mod batch;
mod config;
mod frozen;
mod inputs;
mod model;
mod network;
mod step;
mod train;

use foldin_core::{Capabilities, FitContext, FitError, LoadError, ModelFamily, ModelParts, TrainingData};

pub use config::{ItemInit, LfgConfig, OutputActivation};
pub use model::LfgModel;

/// The family of `lfg`.
#[derive(Clone, Copy, Debug)]
pub struct Lfg;

/// The family of `lfg-plus`.
#[derive(Clone, Copy, Debug)]
pub struct LfgPlus;

const CAPABILITIES: Capabilities = Capabilities {
    new_users: true,
    generator: true,
    uncertainty: false,
    user_features: true,
    item_features: false,
    explicit: true,
    implicit: false,
    keeps_histories: false,
};

impl ModelFamily for Lfg {
    const NAME: &'static str = "lfg";
    const SUMMARY: &'static str = "the paper's network: generates a user's factors from their ratings";
    type Config = LfgConfig;
    type Model = LfgModel;

    fn capabilities() -> Capabilities {
        CAPABILITIES
    }

    fn fit(config: &LfgConfig, data: &TrainingData<'_>, ctx: &FitContext<'_>) -> Result<LfgModel, FitError> {
        train::fit(Self::NAME, config, data, ctx)
    }

    fn load(parts: ModelParts) -> Result<LfgModel, LoadError> {
        LfgModel::load(Self::NAME, parts)
    }
}

impl ModelFamily for LfgPlus {
    const NAME: &'static str = "lfg-plus";
    const SUMMARY: &'static str =
        "lfg with features of items, a random share of ratings hidden, averaged weights";
    type Config = LfgConfig;
    type Model = LfgModel;

    fn capabilities() -> Capabilities {
        Capabilities { item_features: true, ..CAPABILITIES }
    }

    fn default_config() -> LfgConfig {
        LfgConfig::plus()
    }

    fn fit(config: &LfgConfig, data: &TrainingData<'_>, ctx: &FitContext<'_>) -> Result<LfgModel, FitError> {
        train::fit(Self::NAME, config, data, ctx)
    }

    fn load(parts: ModelParts) -> Result<LfgModel, LoadError> {
        LfgModel::load(Self::NAME, parts)
    }
}
