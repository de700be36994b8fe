//! The posterior of a Gaussian vector from its precision matrix.

use std::ops::Range;

use super::packed_len;
use crate::kernel;
use crate::kernels::dot_in;
use crate::linalg::{cholesky, cholesky_solve};
use crate::simd::Simd;

/// Pivots swept at once.
const PIVOTS: usize = 4;

/// Smallest pivot of a matrix of unit diagonal that sweeping in `f32` is trusted with.
const SMALLEST_PIVOT: f32 = 1e-5;

/// Room for one posterior of a given order; reused from one to the next.
#[derive(Clone, Debug)]
pub struct Workspace {
    order: usize,
    /// The order rounded up to whole pivot blocks; padding is the identity.
    padded: usize,
    /// Length of a row: whole registers of any level.
    stride: usize,
    /// `[(padded + 1) × stride]`, lower triangle: the scaled matrix and, as one more row, the right side; after the sweeps
    /// the negative of its inverse, and the solution.
    matrix: Vec<f32>,
    /// `[PIVOTS × stride]`: the columns of the pivot block, as rows.
    columns: Vec<f32>,
    /// `[PIVOTS × stride]`: the same times the inverse of the pivot block.
    factors: Vec<f32>,
    /// `[stride]`: what rows and columns were scaled by.
    scales: Vec<f32>,
}

impl Workspace {
    /// Room for matrices of order `order`.
    #[must_use]
    pub fn new(order: usize) -> Self {
        let padded = order.next_multiple_of(PIVOTS);
        let stride = (padded + 1).next_multiple_of(16);
        Self {
            order,
            padded,
            stride,
            matrix: vec![0.0; (padded + 1) * stride],
            columns: vec![0.0; PIVOTS * stride],
            factors: vec![0.0; PIVOTS * stride],
            scales: vec![0.0; stride],
        }
    }

    /// Order of the matrices.
    #[must_use]
    pub fn order(&self) -> usize {
        self.order
    }

    /// An element of the covariance that [`posterior`] left.
    ///
    /// # Panics
    /// If an index is out of range.
    #[must_use]
    pub fn covariance(&self, row: usize, column: usize) -> f32 {
        let (row, column) = (row.max(column), row.min(column));
        -self.matrix[row * self.stride + column] * self.scales[row] * self.scales[column]
    }

    /// The covariance, `[order × order]`.
    ///
    /// # Panics
    /// If `square` has another length.
    pub fn square_covariance(&self, square: &mut [f32]) {
        let n = self.order;
        assert_eq!(square.len(), n * n, "a square of order {n}");
        for i in 0..n {
            let (row, factor) = (&self.matrix[i * self.stride..][..=i], -self.scales[i]);
            let out = &mut square[i * n..][..=i];
            for ((out, &x), &scale) in out.iter_mut().zip(row).zip(&self.scales) {
                *out = factor * scale * x;
            }
            for j in 0..i {
                square[j * n + i] = square[i * n + j];
            }
        }
    }

    /// The covariance, packed.
    ///
    /// # Panics
    /// If `packed` is shorter than [`packed_len`] of the order.
    pub fn covariances(&self, packed: &mut [f32]) {
        unscale(
            &self.matrix,
            self.stride,
            &self.scales,
            &self.scales[..0],
            &mut packed[..packed_len(self.order)],
        );
    }

    /// Second moments `E[x x'] = covariance + mean·mean'`, packed.
    ///
    /// # Panics
    /// If `mean` is shorter than the order, or `packed` than [`packed_len`] of it.
    pub fn second_moments(&self, mean: &[f32], packed: &mut [f32]) {
        let mean = &mean[..self.order];
        unscale(&self.matrix, self.stride, &self.scales, mean, &mut packed[..packed_len(self.order)]);
    }
}

/// The posterior of a Gaussian vector: precision `P = diag(prior) + weight · S` with `S` packed (elements beyond
/// the order are ignored), mean `P⁻¹ · right`. The covariance `P⁻¹` is left in `work`, the mean in `mean`.
///
/// The matrix is scaled to unit diagonal and swept by blocks of pivots, the right side carried along as one more row.
/// O(order³ / 2) multiplications. Where `f32` does not do, falls back to `f64`, and adds to the diagonal if even that finds the
/// matrix not positive definite.
///
/// # Panics
/// If a length does not fit the order of `work`.
pub fn posterior(
    sums: &[f32],
    weight: f32,
    prior: &[f32],
    right: &[f32],
    work: &mut Workspace,
    mean: &mut [f32],
) {
    let n = work.order;
    assert!(sums.len() >= packed_len(n) && prior.len() == n && right.len() == n && mean.len() == n);
    if sweep_all(sums, weight, prior, right, work) {
        let solution = &work.matrix[work.padded * work.stride..];
        for ((mean, x), scale) in mean.iter_mut().zip(solution).zip(&work.scales) {
            *mean = x * scale;
        }
    } else {
        solve_slowly(sums, weight, prior, right, work, mean);
    }
}

kernel! {
    fn sweep_all(simd, sums: &[f32], weight: f32, prior: &[f32], right: &[f32], work: &mut Workspace) -> bool {
        let (n, padded, stride) = (work.order, work.padded, work.stride);
        let (matrix, scales) = (&mut work.matrix[..(padded + 1) * stride], &mut work.scales[..stride]);
        for (i, (scale, prior)) in scales.iter_mut().zip(prior).enumerate() {
            *scale = 1.0 / (prior + weight * sums[packed_len(i) + i]).sqrt();
        }
        let mut rest = sums;
        for (i, row) in matrix.chunks_exact_mut(stride).enumerate().take(n) {
            let (sums, after) = rest.split_at(i + 1);
            let factor = weight * scales[i];
            for ((out, &sum), &scale) in row[..i].iter_mut().zip(sums).zip(&scales[..i]) {
                *out = factor * scale * sum;
            }
            row[i] = 1.0;
            row[i + 1..].fill(0.0);
            rest = after;
        }
        for i in n..padded {
            let row = &mut matrix[i * stride..(i + 1) * stride];
            row.fill(0.0);
            row[i] = 1.0;
        }
        let last = &mut matrix[padded * stride..];
        last.fill(0.0);
        for ((out, x), scale) in last.iter_mut().zip(right).zip(&*scales) {
            *out = x * scale;
        }
        for first in (0..padded).step_by(PIVOTS) {
            if !sweep(simd, matrix, stride, first, &mut work.columns, &mut work.factors) {
                return false;
            }
        }
        true
    }

    /// `out = −matrix_ij · scale_i · scale_j (+ mean_i · mean_j unless `mean` is empty)`, packed.
    fn unscale(simd, matrix: &[f32], stride: usize, scales: &[f32], mean: &[f32], out: &mut [f32]) {
        let mut rest = out;
        let mut i = 0;
        while !rest.is_empty() {
            let (out, after) = rest.split_at_mut(i + 1);
            let (row, factor) = (&matrix[i * stride..][..=i], -scales[i]);
            if mean.is_empty() {
                for ((out, &x), &scale) in out.iter_mut().zip(row).zip(&scales[..=i]) {
                    *out = factor * scale * x;
                }
            } else {
                let m = mean[i];
                for (((out, &x), &scale), &other) in out.iter_mut().zip(row).zip(&scales[..=i]).zip(&mean[..=i]) {
                    *out = simd.fma(m, other, factor * scale * x);
                }
            }
            rest = after;
            i += 1;
        }
    }

    /// `Σ_ij a_ij b_ij` of two packed symmetric matrices of order `dims`.
    ///
    /// # Panics
    /// If either is shorter than [`packed_len`].
    pub fn packed_trace(simd, a: &[f32], b: &[f32], dims: usize) -> f32 {
        let len = packed_len(dims);
        let mut diagonal = 0.0;
        for i in 0..dims {
            diagonal = simd.fma(a[packed_len(i) + i], b[packed_len(i) + i], diagonal);
        }
        2.0 * dot_in(simd, &a[..len], &b[..len]) - diagonal
    }
}

/// Sweeps a symmetric matrix `M` (lower triangle) on the pivots `b = first .. first + PIVOTS`: with `D = M_bb⁻¹`, `M_ij` becomes
/// `M_ij − M_ib D M_bj`, `M_ib` becomes `M_ib D`, and `M_bb` becomes `−D`. False if a pivot is too small.
#[inline(always)]
fn sweep<S: Simd>(
    simd: S,
    matrix: &mut [f32],
    stride: usize,
    first: usize,
    columns: &mut [f32],
    factors: &mut [f32],
) -> bool {
    let after = first + PIVOTS;
    let mut block = [[0.0; PIVOTS]; PIVOTS];
    for (i, (out, line)) in block.iter_mut().zip(matrix.chunks_exact(stride).skip(first)).enumerate() {
        out[..=i].copy_from_slice(&line[first..=first + i]);
    }
    let Some(inverse) = invert_block(&block) else { return false };
    // The pivot columns as rows: to the left of the block they are rows, below it they must be turned. In the block they
    // are zero, so that nothing below changes it.
    for (pivot, column) in columns.chunks_exact_mut(stride).enumerate() {
        column[..first].copy_from_slice(&matrix[(first + pivot) * stride..][..first]);
        column[first..after].fill(0.0);
    }
    turn::<true>(matrix, stride, first, columns);
    multiply_block(simd, columns, stride, &inverse, factors);
    subtract_triangle(simd, matrix, stride, factors, columns);
    turn::<false>(matrix, stride, first, factors);
    for (pivot, factors) in factors.chunks_exact(stride).enumerate() {
        let line = &mut matrix[(first + pivot) * stride..][..stride];
        line[..first].copy_from_slice(&factors[..first]);
        for (x, d) in line[first..=first + pivot].iter_mut().zip(&inverse[pivot]) {
            *x = -d;
        }
    }
    true
}

/// Moves the columns of a pivot block, in the rows below it, to rows (`OUT`) or back.
#[inline(always)]
#[expect(unsafe_code, reason = "a strided loop without bounds checks")]
fn turn<const OUT: bool>(matrix: &mut [f32], stride: usize, first: usize, columns: &mut [f32]) {
    let rows = matrix.len() / stride;
    assert!(first + PIVOTS <= stride && rows <= stride && columns.len() == PIVOTS * stride);
    for row in first + PIVOTS..rows {
        for pivot in 0..PIVOTS {
            // SAFETY: `row < rows`, `first + pivot < stride` and `row < stride`.
            let (x, y) = unsafe {
                (
                    matrix.get_unchecked_mut(row * stride + first + pivot),
                    columns.get_unchecked_mut(pivot * stride + row),
                )
            };
            if OUT {
                *y = *x;
            } else {
                *x = *y;
            }
        }
    }
}

/// `M_ij −= Σ_b factors_bi · columns_bj` for `j ≤ i`, in tiles of a few registers of columns that stay where they are while the
/// rows below pass by.
#[inline(always)]
fn subtract_triangle<S: Simd>(simd: S, matrix: &mut [f32], stride: usize, factors: &[f32], columns: &[f32]) {
    let rows = matrix.len() / stride;
    assert!(stride.is_multiple_of(S::LANES) && rows <= stride);
    assert!(factors.len() == PIVOTS * stride && columns.len() == PIVOTS * stride);
    // Four times as many registers hold the columns; AVX-512 has 32, the others 16.
    let widest = if S::LANES == 16 { 4 } else { 2 };
    for start in (0..rows).step_by(widest * S::LANES) {
        let end = |width: usize| (start + width * S::LANES).min(rows);
        let m = &mut *matrix;
        subtract_tile::<S, 1>(simd, m, stride, start..end(1), start, factors, columns);
        if widest == 2 {
            subtract_tile::<S, 2>(simd, m, stride, end(1)..rows, start, factors, columns);
        } else {
            subtract_tile::<S, 2>(simd, m, stride, end(1)..end(2), start, factors, columns);
            subtract_tile::<S, 3>(simd, m, stride, end(2)..end(3), start, factors, columns);
            subtract_tile::<S, 4>(simd, m, stride, end(3)..rows, start, factors, columns);
        }
    }
}

/// The part of [`subtract_triangle`] in some rows and the `WIDTH` registers of columns from `start` on.
#[inline(always)]
#[expect(unsafe_code, reason = "rows of whole registers")]
fn subtract_tile<S: Simd, const WIDTH: usize>(
    simd: S,
    matrix: &mut [f32],
    stride: usize,
    rows: Range<usize>,
    start: usize,
    factors: &[f32],
    columns: &[f32],
) {
    if rows.is_empty() {
        return;
    }
    debug_assert!(start + WIDTH * S::LANES <= stride && rows.end * stride <= matrix.len());
    // SAFETY of all loads and stores: a tile of a row that is not empty reaches no further than the row's own
    // diagonal, rounded up to whole registers, and so lies within the stride.
    let held: [[S::V; WIDTH]; PIVOTS] = std::array::from_fn(|pivot| {
        std::array::from_fn(|at| unsafe {
            simd.load(columns.as_ptr().add(pivot * stride + start + at * S::LANES))
        })
    });
    for row in rows {
        let line = unsafe { matrix.as_mut_ptr().add(row * stride + start) };
        let own: [S::V; PIVOTS] =
            std::array::from_fn(|pivot| simd.splat(-unsafe { *factors.get_unchecked(pivot * stride + row) }));
        for at in 0..WIDTH {
            let mut x = unsafe { simd.load(line.add(at * S::LANES)) };
            for pivot in 0..PIVOTS {
                x = simd.mul_add(own[pivot], held[pivot][at], x);
            }
            unsafe { simd.store(line.add(at * S::LANES), x) };
        }
    }
}

/// `factors = block · columns`.
#[inline(always)]
#[expect(unsafe_code, reason = "rows of whole registers")]
fn multiply_block<S: Simd>(
    simd: S,
    columns: &[f32],
    stride: usize,
    block: &[[f32; PIVOTS]; PIVOTS],
    factors: &mut [f32],
) {
    assert!(
        columns.len() == PIVOTS * stride
            && factors.len() == PIVOTS * stride
            && stride.is_multiple_of(S::LANES)
    );
    for at in (0..stride).step_by(S::LANES) {
        // SAFETY: every row has `stride` numbers, whole registers.
        let from: [S::V; PIVOTS] =
            std::array::from_fn(|pivot| unsafe { simd.load(columns.as_ptr().add(pivot * stride + at)) });
        for (pivot, row) in block.iter().enumerate() {
            let mut sum = simd.mul(simd.splat(row[0]), from[0]);
            for other in 1..PIVOTS {
                sum = simd.mul_add(simd.splat(row[other]), from[other], sum);
            }
            // SAFETY: as above.
            unsafe { simd.store(factors.as_mut_ptr().add(pivot * stride + at), sum) };
        }
    }
}

/// Inverse of a small positive definite block (lower triangle), by its four quarters. `None` if a pivot is too small (or
/// not a number).
#[inline(always)]
fn invert_block(block: &[[f32; PIVOTS]; PIVOTS]) -> Option<[[f32; PIVOTS]; PIVOTS]> {
    // [[A, B'], [B, C]], each 2 × 2.
    let (a, c) = ([block[0][0], block[1][0], block[1][1]], [block[2][2], block[3][2], block[3][3]]);
    let b = [[block[2][0], block[2][1]], [block[3][0], block[3][1]]];
    let of_a = invert_pair(a)?;
    // F = B·A⁻¹ and S = C − F·B'.
    let f = b.map(|[x, y]| [x * of_a[0] + y * of_a[1], x * of_a[1] + y * of_a[2]]);
    let dot = |x: [f32; 2], y: [f32; 2]| x[0] * y[0] + x[1] * y[1];
    let s = invert_pair([c[0] - dot(f[0], b[0]), c[1] - dot(f[1], b[0]), c[2] - dot(f[1], b[1])])?;
    // G = S⁻¹·F; the inverse is [[A⁻¹ + F'·G, −G'], [−G, S⁻¹]].
    let g: [[f32; 2]; 2] = [
        [s[0] * f[0][0] + s[1] * f[1][0], s[0] * f[0][1] + s[1] * f[1][1]],
        [s[1] * f[0][0] + s[2] * f[1][0], s[1] * f[0][1] + s[2] * f[1][1]],
    ];
    let top = |i: usize, j: usize| f[0][i] * g[0][j] + f[1][i] * g[1][j];
    let cross = of_a[1] + top(0, 1);
    Some([
        [of_a[0] + top(0, 0), cross, -g[0][0], -g[1][0]],
        [cross, of_a[2] + top(1, 1), -g[0][1], -g[1][1]],
        [-g[0][0], -g[0][1], s[0], s[1]],
        [-g[1][0], -g[1][1], s[1], s[2]],
    ])
}

/// Inverse of `[[x0, x1], [x1, x2]]`.
#[inline(always)]
fn invert_pair(x: [f32; 3]) -> Option<[f32; 3]> {
    let determinant = x[0] * x[2] - x[1] * x[1];
    let fine = x[0] > SMALLEST_PIVOT && determinant > SMALLEST_PIVOT * x[0];
    let factor = 1.0 / determinant;
    fine.then_some([x[2] * factor, -x[1] * factor, x[0] * factor])
}

/// As [`sweep_all`], in `f64` by Cholesky factors, with as much added to the diagonal as it takes.
fn solve_slowly(
    sums: &[f32],
    weight: f32,
    prior: &[f32],
    right: &[f32],
    work: &mut Workspace,
    mean: &mut [f32],
) {
    let (n, stride) = (work.order, work.stride);
    work.scales.fill(1.0);
    let mut jitter = 0.0;
    loop {
        let mut factor = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                factor[i * n + j] = f64::from(weight) * f64::from(sums[packed_len(i) + j]);
            }
            factor[i * n + i] = (factor[i * n + i] + f64::from(prior[i])) * (1.0 + jitter);
        }
        if cholesky(&mut factor, n).is_ok() {
            let mut column = vec![0.0; n];
            for i in 0..n {
                column.fill(0.0);
                column[i] = 1.0;
                cholesky_solve(&factor, n, &mut column);
                let row = &mut work.matrix[i * stride..i * stride + n];
                row.iter_mut().zip(&column).for_each(|(out, &x)| *out = -x as f32);
            }
            column.iter_mut().zip(right).for_each(|(x, &right)| *x = f64::from(right));
            cholesky_solve(&factor, n, &mut column);
            mean.iter_mut().zip(&column).for_each(|(mean, &x)| *mean = x as f32);
            return;
        }
        // Beyond this the input is not finite, which callers check for; the loop must end all the same.
        if jitter > 1e3 {
            work.matrix.fill(f32::NAN);
            mean.fill(f32::NAN);
            return;
        }
        jitter = (jitter * 10.0f64).max(1e-7);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    /// A packed positive definite matrix: the Gram matrix of `rank` random vectors.
    fn gram(order: usize, rank: usize, random: &mut Random) -> Vec<f32> {
        let x: Vec<f64> = (0..rank * order).map(|_| random.normal()).collect();
        let mut out = Vec::new();
        for i in 0..order {
            for j in 0..=i {
                out.push(x.chunks_exact(order).map(|x| x[i] * x[j]).sum::<f64>() as f32);
            }
        }
        out
    }

    /// `P` times what `posterior` says is its inverse, less the identity; and `P · mean − right`: largest elements.
    fn errors(order: usize, rank: usize, prior: f32, seed: u64) -> (f64, f64) {
        let mut random = Random::new(seed);
        let sums = gram(order, rank, &mut random);
        let priors: Vec<f32> = (0..order).map(|_| prior * (0.5 + random.uniform() as f32)).collect();
        let right: Vec<f32> = (0..order).map(|_| random.normal() as f32).collect();
        let (mut work, mut mean) = (Workspace::new(order), vec![0.0; order]);
        posterior(&sums, 1.5, &priors, &right, &mut work, &mut mean);
        let at = |i: usize, j: usize| {
            let (i, j) = (i.max(j), i.min(j));
            let diagonal = if i == j { f64::from(priors[i]) } else { 0.0 };
            1.5 * f64::from(sums[packed_len(i) + j]) + diagonal
        };
        let (mut of_inverse, mut of_mean) = (0f64, 0f64);
        let mut square = vec![0.0; order * order];
        work.square_covariance(&mut square);
        for i in 0..order {
            for j in 0..order {
                let product: f64 = (0..order).map(|l| at(i, l) * f64::from(work.covariance(l, j))).sum();
                of_inverse = of_inverse.max((product - f64::from(u8::from(i == j))).abs());
                let (square, single) = (square[i * order + j], work.covariance(i, j));
                assert!((square - single).abs() <= 1e-6 * single.abs(), "{square} against {single}");
            }
            let product: f64 = (0..order).map(|l| at(i, l) * f64::from(mean[l])).sum();
            of_mean = of_mean.max((product - f64::from(right[i])).abs());
        }
        (of_inverse, of_mean)
    }

    #[test]
    fn inverses_are_inverses() {
        for (order, rank) in
            [(1, 0), (2, 1), (5, 3), (16, 100), (21, 10), (51, 0), (51, 30), (51, 400), (70, 90)]
        {
            // Condition numbers are up to some thousands, times the rounding of f32.
            let (of_inverse, of_mean) = errors(order, rank, 3.0, 7);
            assert!(of_inverse < 3e-4 && of_mean < 3e-4, "{order} {rank}: {of_inverse} {of_mean}");
        }
    }

    #[test]
    fn what_single_precision_cannot_invert_is_inverted_all_the_same() {
        // Two equal rows but for a prior of 1e-6: the second pivot is lost in f32.
        let (mut work, mut mean) = (Workspace::new(2), [0.0; 2]);
        posterior(&[1.0, 1.0, 1.0], 1.0, &[1e-6, 1e-6], &[1.0, 1.0], &mut work, &mut mean);
        assert!((mean[0] - 0.5).abs() < 1e-3 && (mean[1] - 0.5).abs() < 1e-3, "{mean:?}");
        // Not positive definite at all, by rounding: something finite comes out.
        posterior(&[1.0, 1.0001, 1.0], 1.0, &[0.0, 0.0], &[1.0, 1.0], &mut work, &mut mean);
        assert!(mean.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn the_trace_counts_both_triangles() {
        // [[1, 2], [2, 3]] and [[4, 5], [5, 6]].
        assert_eq!(packed_trace(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], 2), 4.0 + 20.0 + 18.0);
    }
}
