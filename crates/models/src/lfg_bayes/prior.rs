//! Priors with regressed means: `x ~ N(B'φ, Λ⁻¹)`, `Λ` diagonal.

use foldin_core::FitError;
use foldin_core::parallel::chunked;
use foldin_nn::linalg::{cholesky, cholesky_solve};
use rayon::prelude::*;

use super::LfgBayes;
use crate::item_design::Design;

/// Smallest and largest precision that is learned, in units of the ratings' own precision.
const PRECISIONS: (f64, f64) = (1e-3, 1e7);

/// A ridge regression of posterior means on features, its matrix factored once.
pub(super) struct Regression {
    width: usize,
    factor: Vec<f64>,
}

impl Regression {
    /// `gram` is `[width × width]`; the column `constant` is not penalised.
    pub(super) fn new(mut gram: Vec<f64>, ridge: f64, constant: usize) -> Result<Self, FitError> {
        let width = gram.len().isqrt();
        for column in 0..width {
            gram[column * width + column] += if column == constant { 1e-9 } else { ridge };
        }
        cholesky(&mut gram, width).map_err(|_| FitError::Diverged {
            model: <LfgBayes as foldin_core::ModelFamily>::NAME,
            epoch: 0,
            what: "the Gram matrix of the features",
        })?;
        Ok(Self { width, factor: gram })
    }

    /// Coefficients `[width × k]` from `F'·y` of the same shape.
    pub(super) fn solve(&self, right: &[f64], k: usize) -> Vec<f32> {
        let mut out = vec![0.0; right.len()];
        let mut column = vec![0.0; self.width];
        for j in 0..k {
            column.iter_mut().enumerate().for_each(|(row, x)| *x = right[row * k + j]);
            cholesky_solve(&self.factor, self.width, &mut column);
            column.iter().enumerate().for_each(|(row, &x)| out[row * k + j] = x as f32);
        }
        out
    }
}

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
