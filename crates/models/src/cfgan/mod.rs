//! `u-cfgan`, `i-cfgan` and `cfgan-aaf`: a generator of purchase vectors, and a discriminator that it must deceive.
//!
//! `x̂ = G(c)` for the purchase vector `c` of a user or an item; D judges `[c ; v]`, with `v` the vector `c` itself or `x̂∘e`, where the
//! mask `e` is 1 at purchases and at a sample `PM` of the other places. With `D = s(d)`, over a batch of `B` rows:
//!
//! `L_D = 1/B Σ −ln D(c, c) + 1/B Σ −ln(1 − D(c, x̂∘e)) + ½λ_D‖θ_D‖²`,
//! `L_G = 1/B Σ −ln D(c, x̂∘e) + α/B Σ_{j ∈ ZR} x̂_j² + ½λ_G‖θ_G‖²`,
//!
//! with a second sample `ZR` of places without a purchase. An epoch draws both samples, then takes some passes over all rows for D
//! and some for G, each with its Adam. Chae, Kang, Kim, Lee (CIKM 2018), "CFGAN: a generic collaborative filtering framework
//! based on generative adversarial networks"; details from the authors' program.
//!
//! * `u-cfgan`: rows are users. A new user is one forward pass over the history; one without history gets the popularity of items.
//! * `i-cfgan`: rows are items, and the generator has a row of weights for each training user: it knows nobody else.
//! * `cfgan-aaf`: `u-cfgan` with four hidden layers of 400, a tanh output and trained activations (MPELU: `x`, or
//!   `a·(e^{bx} − 1)` below zero, one a and b for each unit) in both networks. Its control has `hidden_activation` = `relu`.
//!
//! Departures: a place is in a sample with the given probability, independently, where the authors draw an exact count (they also start
//! both samples from the clock, which makes them equal where the shares are); rows without a purchase are not visited; training can stop by
//! nDCG on a validation slice. Subnormal numbers are zero while training.
//!
//! A deep discriminator with decay (the authors' settings for Ciao: four layers, `λ_D` 1e-3) shrinks for some hundred passes, tells nothing
//! apart, and then begins to learn. Until then gradients of its first layer's sums are about 1e-5, and those of real and generated rows
//! all but cancel: they need more digits than half precision has without a scale.
//!
//! Cost: `2·rows·places·(h + 2d)` operations for a pass of D and `2·rows·places·(3h + 2d)` for one of G, with `h` G's last and `d` D's first
//! width: samples cover most places, so rows of a batch are multiplied whole, and inputs are read sparsely. Held is a batch of rows, and
//! `3·(h₁ + h)` numbers a place of G, `6·d` of D. Same bits at any number of threads.

mod config;
mod discriminator;
mod generator;
mod items;
mod samples;
mod step;
mod train;
mod users;

#[cfg(test)]
mod tests;

pub use config::{CfganConfig, Scheme};
pub use items::{ICfgan, ICfganModel};
pub use users::{CfganAaf, UCfgan};
