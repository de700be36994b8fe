//! `i-autorec` and `u-autorec`: an autoencoder of ratings, `h(r) = f(W·g(V·r + μ) + b)`.
//!
//! A vector `r` of ratings (an item's, by all users, or a user's, of all items), missing ones 0, is read by a hidden layer and
//! written again; what it writes at a place without rating is the prediction. Objective:
//! `½ Σ_r Σ_{j rated in r} (r_j − h(r)_j)² + ½λ(‖W‖² + ‖V‖²) + ½λ_d Σ_l ‖D_l‖²`, biases free. Sedhain, Menon, Sanner, Xie (2015),
//! "AutoRec: autoencoders meet collaborative filtering", equations 1 and 2; their λ is twice ours, as their first term has no half.
//! Deep forms put dense layers `D_l` between V and W, and may start from pairs of layers trained alone (`pretrain_epochs`).
//!
//! * `u-autorec`: cases are users. A new user is one forward pass over their ratings.
//! * `i-autorec`: cases are items, and W and V hold a row for each training user. It is the more accurate, but knows nobody else:
//!   a new user has no row. What a model folder keeps of it is the items' hidden units.
//!
//! Departures: by default Adam on batches with dropout of hidden units, which is more accurate than the paper's RProp on all ratings
//! at once (`optimiser = "rprop"`, `dropout = 0`), and in `u-autorec` ratings read less their mean. Ratings are moved to a scale of
//! 1 to 5 first (the paper's own), so that any scale works and settings keep their meaning; a bounded f is stretched over that scale;
//! places and cases without training ratings get damped biases instead of 3 (`unseen`); activations may be trained; early stopping
//! is an option.
//!
//! Cost of an epoch: `10 · ratings · k` operations, as each rating is read once in each of five sparse products, and `6` for each
//! case and weight of a dense layer; and each step of the optimiser passes over all weights, `2·k` a place: once an epoch by RProp,
//! once a batch by Adam. Memory: `8·k` numbers a place and `3·k` a case, `6·k` a place more with early stopping and while a checkpoint
//! is written. Same bits at any number of threads.

mod backward;
mod config;
mod forward;
mod items;
mod network;
mod pretrain;
mod train;
mod unseen;
mod users;

#[cfg(test)]
mod tests;

pub use config::{AutoRecConfig, Learning, Unseen};
pub use items::{IAutoRec, IAutoRecModel};
pub use users::{UAutoRec, UAutoRecModel};
