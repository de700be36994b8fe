//! Half an iteration: the posteriors of all users given the items', or of all items given the users'.
//!
//! With `f = [q; 1]` and `x = [u; b_u]`, a rating is `x·f + b_i`: both sides have the form "own vector times the other's
//! factors and 1, plus the other's bias". So each side keeps the moments of `h = [factors; 1; bias]`, and one sum of `E[h h']` over
//! the rated items holds everything the other side needs: precision, right side, and expected squared residuals.

use std::ops::Range;

use foldin_core::Csr;
use foldin_nn::gaussian::{CHUNK, Moments, RowSums, Workspace, packed_len, packed_trace, posterior, set_row};
use foldin_nn::kernels::weighted_row_sums;
use rayon::prelude::*;

/// Chunks of rows whose sums are held at a time: enough that fetching all of the other side's moments once for each group
/// is little beside summing them.
const GROUP: usize = 16;

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
        let mut moments_of = Row::new(order);
        for (row, x) in values.chunks_exact(order).enumerate() {
            let products = (0..order).flat_map(|i| (0..=i).map(move |j| x[i] * x[j]));
            moments_of.moments().iter_mut().zip(products).for_each(|(out, product)| *out = product);
            moments_of.complete(x);
            let chunk = &mut self.moments.data_mut()[row / CHUNK * chunk_stride..][..chunk_stride];
            set_row(chunk, row % CHUNK, &moments_of.own);
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

    /// Posterior covariances, `[n × order (order + 1) / 2]`: of factors, then bias, packed.
    pub(super) fn own_covariances(&self) -> Vec<f32> {
        let (order, k) = (self.order, self.order - 1);
        let (n, len) = (self.moments.n_rows(), packed_len(order));
        let means = self.own_means();
        let mut out = vec![0.0; n * len];
        out.par_chunks_mut(len).zip(means.par_chunks(order)).enumerate().for_each(|(row, (out, mean))| {
            let mut moments = vec![0.0; packed_len(order + 1)];
            self.moments.copy_row(row, &mut moments);
            // In the moments the constant comes before the bias.
            out[..packed_len(k)].copy_from_slice(&moments[..packed_len(k)]);
            out[packed_len(k)..][..k].copy_from_slice(&moments[packed_len(order)..][..k]);
            out[packed_len(k) + k] = moments[packed_len(order) + order];
            let products = (0..order).flat_map(|i| (0..=i).map(move |j| mean[i] * mean[j]));
            out.iter_mut().zip(products).for_each(|(out, product)| *out -= product);
        });
        out
    }

    /// Posterior variances, `[n × order]`: of factors, then bias.
    pub(super) fn own_variances(&self) -> Vec<f32> {
        let covariances = self.own_covariances();
        let rows = covariances.chunks_exact(packed_len(self.order));
        rows.flat_map(|row| (0..self.order).map(|at| row[packed_len(at) + at])).collect()
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
    own: Vec<f32>,
}

impl Row {
    fn new(order: usize) -> Self {
        Self { order, packed: vec![0.0; packed_len(order + 1)], own: vec![0.0; packed_len(order + 1)] }
    }

    /// To be filled with `E[x x']`, packed, before [`Row::complete`].
    fn moments(&mut self) -> &mut [f32] {
        &mut self.packed[..packed_len(self.order)]
    }

    /// Appends the row of `1`, and for the own `h` puts it before the bias.
    fn complete(&mut self, mean: &[f32]) {
        let k = self.order - 1;
        let (head, last) = self.packed.split_at_mut(packed_len(self.order));
        last[..self.order].copy_from_slice(mean);
        last[self.order] = 1.0;
        let (factors, bias_row) = head.split_at(packed_len(k));
        let (own_factors, rest) = self.own.split_at_mut(packed_len(k));
        own_factors.copy_from_slice(factors);
        let (one, bias) = rest.split_at_mut(k + 1);
        one[..k].copy_from_slice(&mean[..k]);
        one[k] = 1.0;
        bias[..k].copy_from_slice(&bias_row[..k]);
        bias[k] = mean[k];
        bias[k + 1] = bias_row[k];
    }
}

/// What a half step says about the whole side.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Summary {
    /// Sum of the expected squared residuals of all ratings.
    pub(super) residual: f64,
    /// `[order]`: sum of posterior variances over the rows with ratings.
    pub(super) variance: Vec<f64>,
    /// Number of rows with ratings.
    pub(super) rated: usize,
}

impl Summary {
    fn nothing(order: usize) -> Self {
        Self { residual: 0.0, variance: vec![0.0; order], rated: 0 }
    }

    fn add(&mut self, other: &Self) {
        self.residual += other.residual;
        self.variance.iter_mut().zip(&other.variance).for_each(|(sum, x)| *sum += x);
        self.rated += other.rated;
    }
}

/// What the other side and the prior say to the rows that are updated.
pub(super) struct Given<'a> {
    pub(super) other: &'a Side,
    /// `[n_own × n_other]`: centred ratings.
    pub(super) lists: &'a Csr,
    /// `[n_own × order]`.
    pub(super) prior_means: &'a [f32],
    /// `[order]`.
    pub(super) precision: &'a [f32],
    /// `1 / σ²`.
    pub(super) weight: f32,
}

impl Given<'_> {
    /// Updates all posteriors of `own`.
    pub(super) fn update(&self, own: &mut Side) -> Summary {
        let (order, stride, chunk_stride) = (own.order, own.stride, own.moments.chunk_stride());
        let mut total = Summary::nothing(order);
        let mut sums = RowSums::default();
        let moments = own.moments.data_mut().chunks_mut(GROUP * chunk_stride);
        let groups = moments.zip(own.means.chunks_mut(GROUP * CHUNK * stride));
        for (group, (moments, means)) in groups.enumerate() {
            let first = group * GROUP * CHUNK;
            let end = (first + GROUP * CHUNK).min(self.lists.n_rows());
            self.other.moments.sum_rows(self.lists, first..end, &mut sums);
            let chunks: Vec<Summary> = moments
                .par_chunks_mut(chunk_stride)
                .zip(means.par_chunks_mut(CHUNK * stride))
                .enumerate()
                .map(|(chunk, (moments, means))| {
                    let start = first + chunk * CHUNK;
                    let rows = start..(start + CHUNK).min(end);
                    self.update_chunk(rows, &sums, chunk * CHUNK, order, moments, means, stride)
                })
                .collect();
            chunks.iter().for_each(|chunk| total.add(chunk));
        }
        total
    }

    /// Posteriors of one chunk of rows, whose sums begin at `at_sums`.
    fn update_chunk(
        &self,
        rows: Range<usize>,
        all_sums: &RowSums,
        at_sums: usize,
        order: usize,
        moments: &mut [f32],
        means: &mut [f32],
        stride: usize,
    ) -> Summary {
        let (lists, precision, weight) = (self.lists, self.precision, self.weight);
        let mut weighted = vec![0.0; rows.len() * stride];
        weighted_row_sums(
            &lists.offsets()[rows.start..=rows.end],
            lists.columns(),
            lists.values(),
            &self.other.means,
            stride,
            &mut weighted,
        );
        let mut out = Summary::nothing(order);
        let mut work = Workspace::new(order);
        let mut moments_of = Row::new(order);
        let (mut right, mut mean) = (vec![0.0; order], vec![0.0; order]);
        let mut sums = vec![0.0; packed_len(order + 1)];
        for (at, row) in rows.enumerate() {
            all_sums.copy_row(at_sums + at, &mut sums);
            let weighted = &weighted[at * stride..(at + 1) * stride];
            let prior = &self.prior_means[row * order..(row + 1) * order];
            let of_bias = &sums[packed_len(order)..][..order];
            for j in 0..order {
                right[j] = precision[j] * prior[j] + weight * (weighted[j] - of_bias[j]);
            }
            posterior(&sums, weight, precision, &right, &mut work, &mut mean);
            work.second_moments(&mean, moments_of.moments());
            moments_of.complete(&mean);
            set_row(moments, at, &moments_of.own);
            write_means(&mut means[at * stride..(at + 1) * stride], &mean);
            let values = lists.row(row).1;
            if values.is_empty() {
                continue;
            }
            let squares: f64 = values.iter().map(|&r| f64::from(r) * f64::from(r)).sum();
            let cross: f64 =
                mean.iter().zip(weighted).map(|(&x, &v)| f64::from(x) * f64::from(v)).sum::<f64>()
                    + f64::from(weighted[order]);
            let quadratic = f64::from(packed_trace(&moments_of.packed, &sums, order + 1));
            out.residual += squares - 2.0 * cross + quadratic;
            for (j, variance) in out.variance.iter_mut().enumerate() {
                *variance += f64::from(work.covariance(j, j));
            }
            out.rated += 1;
        }
        out
    }
}
