//! `mult-vae` and `lfg-softmax`: networks that read a history and divide the next interactions among all items.
//!
//! A history is read as `x/‖x‖` of its ones `x`, part of it dropped while training. The last layer `u` gives every item a score
//! `u·m_i + b_i`, and with `π = softmax(scores)` a batch of `B` users has the loss
//! `1/B Σ_u (−Σ_{i ∈ u} ln π_i + β_t·KL_u) + ½λ‖W‖²`, λ on weights and not on biases: every interaction is one draw from π.
//!
//! * `mult-vae`: between two dense layers stands a Gaussian `q(z | x) = N(μ(x), diag σ²(x))`, sampled while training and its mean
//!   when serving; `KL = ½ Σ (μ² + σ² − ln σ² − 1)`, whose weight β_t grows evenly up to β in the first epochs. Liang, Krishnan,
//!   Hoffman, Jebara (WWW 2018), "Variational autoencoders for collaborative filtering", equations 2 to 5, 600-200-600 with tanh.
//! * `lfg-softmax`: the generator of factors ([`crate::lfg`]) with this loss instead of squared errors of ratings: layers over
//!   the history make `u`, a table holds the items' factors and biases. It is a [`Generator`](foldin_core::Generator). Where it departs
//!   from the paper's network: clicks alone are read, so there are no ratings beside the indicator; no side information, no normalisation
//!   by batch, and factors without a bound.
//!
//! Cost of an epoch: `6·users·items·k` operations for `k` units of the last layer, and what is sparse or small beside it. Held are
//! scores of one batch. Memory: `3` numbers a weight. Same bits at any number of threads.

mod config;
mod model;
mod network;
mod train;

#[cfg(test)]
mod tests;

pub use config::{LfgSoftmaxConfig, MultVaeConfig};
pub use model::{LfgSoftmax, MultVae};
