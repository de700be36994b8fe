//! RProp: each weight has its own step size, which grows while its gradient keeps its sign and shrinks when the sign turns.
//!
//! The variant without backtracking (iRprop⁻, Igel and Hüsken 2003; RProp is Riedmiller and Braun 1993): after a turn the
//! step shrinks and the weight stays for once. Only signs of gradients matter, so it belongs to full batches. The step may grow
//! faster in the first iterations, which crosses the orders of magnitude between the first step and a good one quickly.
//!
//! ```
//! use foldin_nn::rprop::{Rprop, Stepping, step};
//! // The minimum of (w − 1)² + 100·(w + 2)²: no scale bothers it.
//! let (mut w, mut previous, mut size) = ([0.0, 0.0], [0.0; 2], [0.01; 2]);
//! for iteration in 0..60 {
//!     let gradient = [2.0 * (w[0] - 1.0), 200.0 * (w[1] + 2.0)];
//!     let mut weights = Stepping { w: &mut w, previous: &mut previous, size: &mut size };
//!     step(&Rprop::default(), iteration, 0.0, &gradient, &mut weights);
//! }
//! assert!((w[0] - 1.0f32).abs() < 1e-3 && (w[1] + 2.0f32).abs() < 1e-3);
//! ```

use crate::kernel;

/// Constants of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rprop {
    /// The first step of every weight.
    pub first: f32,
    /// Growth of a step in the first [`Rprop::early`] iterations.
    pub early_growth: f32,
    /// Iterations with `early_growth`.
    pub early: usize,
    /// Growth of a step afterwards.
    pub growth: f32,
    /// What a step is multiplied by when the gradient turns.
    pub shrink: f32,
    /// The least step.
    pub min: f32,
    /// The greatest step.
    pub max: f32,
}

impl Default for Rprop {
    /// Growth 5 for five iterations, then 1.2; shrink 0.5; steps from 1e-6 to 0.1, at first 1e-4.
    fn default() -> Self {
        Self { first: 1e-4, early_growth: 5.0, early: 5, growth: 1.2, shrink: 0.5, min: 1e-6, max: 0.1 }
    }
}

impl Rprop {
    /// The same without faster growth at the start, which takes every weight far from where it is before any gradient can turn.
    #[must_use]
    pub fn from_near(self) -> Self {
        Self { early: 0, ..self }
    }
}

/// Weights with what is remembered of each; of one length.
#[derive(Debug)]
pub struct Stepping<'a> {
    /// Weights.
    pub w: &'a mut [f32],
    /// The gradient before; 0 at the start and after a turn.
    pub previous: &'a mut [f32],
    /// Step sizes; [`Rprop::first`] at the start.
    pub size: &'a mut [f32],
}

kernel! {
    /// One step with the gradient `g` of the loss, to which the decay `decay · w` is added. `iteration` counts from 0.
    ///
    /// # Panics
    /// If the lengths disagree.
    pub fn step(simd, rule: &Rprop, iteration: usize, decay: f32, g: &[f32], weights: &mut Stepping<'_>) {
        let _ = simd;
        let n = weights.w.len();
        assert!(g.len() == n && weights.previous.len() == n && weights.size.len() == n, "lengths");
        let growth = if iteration < rule.early { rule.early_growth } else { rule.growth };
        let (w, previous, size) = (&mut weights.w[..n], &mut weights.previous[..n], &mut weights.size[..n]);
        for at in 0..n {
            let gradient = g[at] + decay * w[at];
            let agreement = gradient * previous[at];
            let grown = (size[at] * growth).min(rule.max);
            let shrunk = (size[at] * rule.shrink).max(rule.min);
            let turned = agreement < 0.0;
            let next = if agreement > 0.0 { grown } else { size[at] };
            size[at] = if turned { shrunk } else { next };
            let gradient = if turned { 0.0 } else { gradient };
            let signed = if gradient > 0.0 { size[at] } else { -size[at] };
            w[at] -= if gradient == 0.0 { 0.0 } else { signed };
            previous[at] = gradient;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_turn_and_shrink_as_written() {
        let rule =
            Rprop { first: 0.1, early_growth: 3.0, early: 2, growth: 1.5, shrink: 0.5, min: 0.06, max: 0.4 };
        let (mut w, mut previous, mut size) = ([0.0f32], [0.0f32], [0.1f32]);
        let mut go = |iteration, gradient: f32| {
            let mut weights = Stepping { w: &mut w, previous: &mut previous, size: &mut size };
            step(&rule, iteration, 0.0, &[gradient], &mut weights);
            (w[0], size[0])
        };
        let close = |got: (f32, f32), want: (f32, f32)| {
            assert!((got.0 - want.0).abs() < 1e-6 && (got.1 - want.1).abs() < 1e-6, "{got:?} {want:?}");
        };
        // Nothing before: the first step, against the gradient.
        close(go(0, 2.0), (-0.1, 0.1));
        // The sign stays: early growth.
        close(go(1, 0.5), (-0.4, 0.3));
        // Later growth, up to the greatest step.
        close(go(2, 0.5), (-0.8, 0.4));
        // A turn: the step shrinks and nothing moves; then it goes on without growing.
        close(go(3, -1.0), (-0.8, 0.2));
        close(go(4, -1.0), (-0.6, 0.2));
        close(go(5, 1.0), (-0.6, 0.1));
        close(go(6, 1.0), (-0.7, 0.1));
        close(go(7, -1.0), (-0.7, 0.06));
        // No gradient, no step.
        close(go(8, 0.0), (-0.7, 0.06));
    }

    #[test]
    fn decay_pulls_towards_zero() {
        let (mut w, mut previous, mut size) = ([3.0f32], [0.0f32], [1e-3f32]);
        for iteration in 0..200 {
            let mut weights = Stepping { w: &mut w, previous: &mut previous, size: &mut size };
            step(&Rprop::default(), iteration, 1.0, &[-1.0], &mut weights);
        }
        assert!((w[0] - 1.0).abs() < 1e-3, "{}", w[0]);
    }
}
