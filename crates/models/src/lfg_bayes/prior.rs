//! Priors with regressed means: `x ~ N(B'φ, Λ⁻¹)`, `Λ` diagonal.

use foldin_core::parallel::chunked;
use rayon::prelude::*;

use crate::item_design::Design;

/// Smallest and largest precision that is learned, in units of the ratings' own precision.
const PRECISIONS: (f64, f64) = (1e-3, 1e7);

/// The learned prior of one side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prior {
    /// `[width × order]`: regression coefficients.
    pub(super) weights: Vec<f32>,
    /// `[order]`: precision around the regressed mean.
    pub(super) precision: Vec<f32>,
}

impl Prior {
    /// Mean 0 and the same precision everywhere.
    pub(super) fn flat(width: usize, order: usize, precision: f32) -> Self {
        Self { weights: vec![0.0; width * order], precision: vec![precision; order] }
    }

    /// The prior means of all rows of a design, `[n × order]`.
    pub(super) fn means(&self, design: &Design) -> Vec<f32> {
        let order = self.precision.len();
        let mut out = vec![0.0; design.n_rows() * order];
        out.par_chunks_mut(order)
            .with_min_len(64)
            .enumerate()
            .for_each(|(row, out)| design.add_product(row, &self.weights, out));
        out
    }

    /// Learns the precision: `1 / mean((posterior mean − prior mean)² + posterior variance)` over `count` rows, those that
    /// are `rated`; `variance` is the sum of the posterior variances.
    pub(super) fn learn_precision(
        &mut self,
        means: &[f32],
        prior_means: &[f32],
        variance: &[f64],
        count: f64,
        rated: impl Fn(usize) -> bool + Sync,
    ) {
        let order = self.precision.len();
        let partial = chunked(means.len() / order, 256, |rows| {
            let mut sum = vec![0f64; order];
            for row in rows.filter(|&row| rated(row)) {
                let range = row * order..(row + 1) * order;
                for ((sum, &x), &m) in sum.iter_mut().zip(&means[range.clone()]).zip(&prior_means[range]) {
                    *sum += (f64::from(x) - f64::from(m)).powi(2);
                }
            }
            sum
        });
        for (at, precision) in self.precision.iter_mut().enumerate() {
            let squares: f64 = partial.iter().map(|sum| sum[at]).sum();
            *precision = (count / (squares + variance[at])).clamp(PRECISIONS.0, PRECISIONS.1) as f32;
        }
    }
}
