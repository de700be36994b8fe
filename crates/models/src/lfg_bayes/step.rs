//! Half an iteration: the posteriors of all users given the items', or of all items given the users'.
//!
//! With `f = [q; 1]` and `x = [u; b_u]`, a rating is `x·f + b_i`: both sides have the form "own vector times the other's
//! factors and 1, plus the other's bias". So each side keeps the moments of `h = [factors; 1; bias]`, and one sum of `E[h h']` over
//! the rated items holds everything the other side needs: precision, right side, and expected squared residuals.

use foldin_core::Csr;
use foldin_core::parallel::chunked;
use foldin_nn::gaussian::{CHUNK, Moments, Workspace, packed_len, packed_trace, posterior, set_row};
use foldin_nn::kernels::weighted_row_sums;
use rayon::prelude::*;

/// Posteriors of one side, as the other side needs them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Side {
    /// `k + 1`: factors and bias.
    pub(super) order: usize,
    /// `E[h h']`.
    pub(super) moments: Moments,
    /// `[n × stride]`: `E[h]`, padded with zeros.
    pub(super) means: Vec<f32>,
    /// Length of a row of `means`.
    pub(super) stride: usize,
}

impl Side {
    pub(super) fn zeros(n: usize, order: usize) -> Self {
        let stride = (order + 1).next_multiple_of(16);
        Self { order, moments: Moments::zeros(n, order + 1), means: vec![0.0; n * stride], stride }
    }

    /// Sets certain values (no variance), `[n × order]`: factors, then bias.
    pub(super) fn set_certain(&mut self, values: &[f32]) {
        let (order, stride) = (self.order, self.stride);
        let chunk_stride = self.moments.chunk_stride();
        let mut own = vec![0.0; packed_len(order)];
        let mut row_of = Row::new(order);
        for (row, x) in values.chunks_exact(order).enumerate() {
            let mut at = 0;
            for i in 0..order {
                for j in 0..=i {
                    own[at] = x[i] * x[j];
                    at += 1;
                }
            }
            row_of.fill(&own, x);
            let chunk = &mut self.moments.data_mut()[row / CHUNK * chunk_stride..][..chunk_stride];
            set_row(chunk, row % CHUNK, &row_of.other_order(x));
            write_means(&mut self.means[row * stride..(row + 1) * stride], x);
        }
    }

    /// Posterior means, `[n × order]`: factors, then bias.
    pub(super) fn own_means(&self) -> Vec<f32> {
        let k = self.order - 1;
        let mut out = Vec::with_capacity(self.means.len() / self.stride * self.order);
        for row in self.means.chunks_exact(self.stride) {
            out.extend_from_slice(&row[..k]);
            out.push(row[k + 1]);
        }
        out
    }
}

fn write_means(row: &mut [f32], x: &[f32]) {
    let k = x.len() - 1;
    row[..k].copy_from_slice(&x[..k]);
    row[k] = 1.0;
    row[k + 1] = x[k];
}

/// Second moments of one row in both orders: `[x; 1]`, which meets the other side's `h`, and the own `h`.
struct Row {
    order: usize,
    packed: Vec<f32>,
}

impl Row {
    fn new(order: usize) -> Self {
        Self { order, packed: vec![0.0; packed_len(order + 1)] }
    }

    /// Takes `E[x x']`, packed, and appends the row of `1`.
    fn fill(&mut self, own: &[f32], mean: &[f32]) {
        let (head, last) = self.packed.split_at_mut(packed_len(self.order));
        head.copy_from_slice(own);
        last[..self.order].copy_from_slice(mean);
        last[self.order] = 1.0;
    }

    /// The same with `1` before the bias.
    fn other_order(&self, mean: &[f32]) -> Vec<f32> {
        let k = self.order - 1;
        let mut out = self.packed.clone();
        let bias_row = &self.packed[packed_len(k)..][..=k];
        let (one, bias) = out[packed_len(k)..].split_at_mut(k + 1);
        one[..k].copy_from_slice(&mean[..k]);
        one[k] = 1.0;
        bias[..k].copy_from_slice(&bias_row[..k]);
        bias[k] = mean[k];
        bias[k + 1] = bias_row[k];
        out
    }
}

/// What a half step says about the whole side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// Sum of the expected squared residuals of all ratings.
    pub(super) residual: f64,
    /// `[order]`: sum of posterior variances over the rows with ratings.
    pub(super) variance: Vec<f64>,
}

/// Updates all posteriors of `own`: `lists` are its ratings (`[n_own × n_other]`), centred; `weight` is `1 / σ²`;
/// `prior_means` is `[n_own × order]`.
pub(super) fn half_step(
    own: &mut Side,
    other: &Side,
    lists: &Csr,
    prior_means: &[f32],
    precision: &[f32],
    weight: f32,
) -> Summary {
    let order = own.order;
    let (n, stride, chunk_stride) = (lists.n_rows(), own.stride, own.moments.chunk_stride());
    let chunks: Vec<Summary> = own
        .moments
        .data_mut()
        .par_chunks_mut(chunk_stride)
        .zip(own.means.par_chunks_mut(CHUNK * stride))
        .enumerate()
        .map(|(chunk, (moments, means))| {
            let rows = chunk * CHUNK..((chunk + 1) * CHUNK).min(n);
            let task = Task { other, lists, prior_means, precision, weight, order };
            task.run(rows, moments, means, stride)
        })
        .collect();
    let mut total = Summary { residual: 0.0, variance: vec![0.0; order] };
    for chunk in chunks {
        total.residual += chunk.residual;
        total.variance.iter_mut().zip(chunk.variance).for_each(|(total, x)| *total += x);
    }
    total
}

/// One chunk of a half step.
struct Task<'a> {
    other: &'a Side,
    lists: &'a Csr,
    prior_means: &'a [f32],
    precision: &'a [f32],
    weight: f32,
    order: usize,
}

impl Task<'_> {
    fn run(
        &self,
        rows: std::ops::Range<usize>,
        moments: &mut [f32],
        means: &mut [f32],
        stride: usize,
    ) -> Summary {
        let (order, other, lists) = (self.order, self.other, self.lists);
        let width = other.moments.padded_len();
        let mut sums = vec![0.0; rows.len() * width];
        other.moments.sum_rows(lists, rows.clone(), &mut sums);
        let mut weighted = vec![0.0; rows.len() * stride];
        let offsets = &lists.offsets()[rows.start..=rows.end];
        weighted_row_sums(offsets, lists.columns(), lists.values(), &other.means, stride, &mut weighted);
        let mut out = Summary { residual: 0.0, variance: vec![0.0; order] };
        let mut work = Workspace::new(order);
        let mut row_of = Row::new(order);
        let (mut right, mut mean) = (vec![0.0; order], vec![0.0; order]);
        let mut own = vec![0.0; packed_len(order)];
        for (at, row) in rows.enumerate() {
            let sums = &sums[at * width..(at + 1) * width];
            let weighted = &weighted[at * stride..(at + 1) * stride];
            let prior = &self.prior_means[row * order..(row + 1) * order];
            let of_bias = &sums[packed_len(order)..][..order];
            for j in 0..order {
                right[j] = self.precision[j] * prior[j] + self.weight * (weighted[j] - of_bias[j]);
            }
            posterior(sums, self.weight, self.precision, &right, &mut work, &mut mean);
            work.second_moments(&mean, &mut own);
            row_of.fill(&own, &mean);
            set_row(moments, at, &row_of.other_order(&mean));
            write_means(&mut means[at * stride..(at + 1) * stride], &mean);
            let values = lists.row(row).1;
            if values.is_empty() {
                continue;
            }
            let squares: f64 = values.iter().map(|&r| f64::from(r) * f64::from(r)).sum();
            let cross: f64 =
                mean.iter().zip(weighted).map(|(&x, &v)| f64::from(x) * f64::from(v)).sum::<f64>()
                    + f64::from(weighted[order]);
            out.residual += squares - 2.0 * cross + f64::from(packed_trace(&row_of.packed, sums, order + 1));
            for (j, variance) in out.variance.iter_mut().enumerate() {
                *variance += f64::from(work.covariance_row(j)[j]);
            }
        }
        out
    }
}

/// Mean of `x²` over chunks, used to scale ratings.
pub(super) fn mean_square(values: &[f32], centre: f64) -> f64 {
    let sums = chunked(values.len(), 1 << 16, |range| {
        values[range].iter().map(|&x| (f64::from(x) - centre).powi(2)).sum::<f64>()
    });
    sums.into_iter().sum::<f64>() / values.len().max(1) as f64
}
