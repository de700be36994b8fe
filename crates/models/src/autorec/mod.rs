//! `i-autorec` and `u-autorec`: an autoencoder of ratings, `h(r) = f(W·g(V·r + μ) + b)`.
//!
//! A vector `r` of ratings (an item's, by all users, or a user's, of all items), missing ones 0, is read by a hidden layer and
//! written again; what it writes at a place without rating is the prediction. Objective:
//! `½ Σ_r Σ_{j rated in r} (r_j − h(r)_j)² + ½λ(‖W‖² + ‖V‖²)`, biases free. Sedhain, Menon, Sanner, Xie (2015), "AutoRec:
//! autoencoders meet collaborative filtering", equations 1 and 2; their λ is twice ours divided by our two halves, that is, twice
//! it. Deep forms put dense layers between V and W.
//!
//! * `u-autorec`: cases are users. A new user is one forward pass over their ratings.
//! * `i-autorec`: cases are items, and W and V hold a row for each training user. It is the more accurate, but knows nobody else:
//!   a new user has no row. What a model folder keeps of it is the items' hidden units.
//!
//! Departures: ratings are moved to a scale of 1 to 5 first (the paper's own), so that any scale works and settings keep their
//! meaning; a bounded f is stretched over that scale; places and cases without training ratings get damped biases instead of 3
//! (`unseen`); activations may be trained; Adam, dropout and early stopping are options.
//!
//! Cost of an epoch: `10 · ratings · k` operations, as each rating is read once in each of five sparse products; time does not depend
//! on users × items. Memory: `8·k` numbers for each user or item that is a place, `3·k` for each case. Same bits at any number of
//! threads.

mod config;
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
