//! Ridge regression of one small target on many columns: how a linear factor model folds a new user in.
//!
//! Minimises `Σ_t (y_t − a_t·x)² + Σ_c λ_c (x_c − x₀_c)²` by its normal equations `(A'A + Λ) x = A'y + Λ x₀`. Each row is kept as `[a_t | y_t]`, so
//! that one sum of outer products gives both sides, and eliminating the rows of the matrix carries the right side along.
//! `f32` with a fall-back to `f64` where the matrix is nearly singular. O(n·c² / 2 + c³ / 6) multiplications for `n` rows of `c` columns: for
//! 100 rows of 51, about 10 µs with AVX-512. Both sums run in register tiles: the elimination of a few rows is the sum of outer
//! products of all rows above them.
//!
//! Models of clicks want `Σ_t` over the rows of a few items and, with a small weight, over those of all of them. The latter is
//! the same for everybody: a [`Gram`], to which [`Ridge::solve_over`] adds.
//!
//! ```
//! let rows = [[1.0, 0.0, 3.0], [0.0, 2.0, 4.0]];
//! let mut ridge = foldin_nn::ridge::Ridge::new(2);
//! let x = ridge.solve(2, &[1.0, 1.0], &[0.0, 0.0], |t, row| row.copy_from_slice(&rows[t]))?;
//! assert!((x[0] - 1.5).abs() < 1e-6 && (x[1] - 1.6).abs() < 1e-6);
//! # Ok::<(), foldin_nn::linalg::NotPositiveDefinite>(())
//! ```

use foldin_core::parallel::chunked;

use crate::aligned::Aligned;
use crate::kernel;
use crate::kernels::{axpy_in, dot_in};
use crate::linalg::{NotPositiveDefinite, cholesky, cholesky_solve};
use crate::simd::Simd;

/// Rows whose outer products are summed at once: at 64 columns they fill half of a first-level cache.
const CHUNK: usize = 64;

/// Rows of a [`Gram`] that are one piece of work.
const GRAM_CHUNK: usize = 512;

/// Smallest pivot, relative to the element it was, that `f32` is trusted with.
const SMALLEST_PIVOT: f32 = 1e-5;

/// Room for the regressions of one thread, one after the other.
#[derive(Clone, Debug)]
pub struct Ridge {
    columns: usize,
    width: usize,
    /// `[CHUNK × width]`: rows `[a | y | 0 …]`.
    rows: Aligned<f32>,
    /// `[width × width]`: upper triangle of the sum of outer products.
    matrix: Aligned<f32>,
    solution: Vec<f32>,
    explained: f64,
}

/// `Σ_t row_t row_t'` of many rows `[a_t | y_t]`, to be added to regressions ([`Ridge::solve_over`]).
#[derive(Clone, Debug, PartialEq)]
pub struct Gram {
    columns: usize,
    width: usize,
    /// `[width × width]`: upper triangle.
    matrix: Vec<f32>,
}

impl Gram {
    /// Of `n` rows of `columns` columns and a target, `columns + 1` numbers, which `fill(t, row)` writes. Rows are summed in parallel on
    /// the current pool, with the same bits at any number of threads. O(n · columns² / 2).
    #[must_use]
    pub fn new(columns: usize, n: usize, fill: impl Fn(usize, &mut [f32]) + Sync) -> Self {
        let width = width_of(columns);
        let parts = chunked(n, GRAM_CHUNK, |range| {
            let (mut rows, mut sum) = (vec![0.0; CHUNK * width], vec![0.0; width * width]);
            for first in range.clone().step_by(CHUNK) {
                let count = CHUNK.min(range.end - first);
                for (at, row) in rows.chunks_exact_mut(width).take(count).enumerate() {
                    fill(first + at, &mut row[..=columns]);
                }
                add_outer_products(&rows[..count * width], width, columns, &mut sum);
            }
            sum
        });
        let mut matrix = vec![0.0f64; width * width];
        for part in parts {
            matrix.iter_mut().zip(part).for_each(|(sum, x)| *sum += f64::from(x));
        }
        Self { columns, width, matrix: matrix.into_iter().map(|x| x as f32).collect() }
    }

    /// The sum for the columns alone, `[columns × columns]`, all of it.
    #[must_use]
    pub fn square(&self) -> Vec<f32> {
        let c = self.columns;
        (0..c * c).map(|at| self.at(at / c, at % c)).collect()
    }

    /// An element of the sum; `column` may be the target's, which is the last.
    ///
    /// # Panics
    /// If `row` is no column or `column` is beyond the target.
    #[must_use]
    pub fn at(&self, row: usize, column: usize) -> f32 {
        assert!(row < self.columns && column <= self.columns, "({row}, {column}) of {}", self.columns);
        self.matrix[row.min(column) * self.width + row.max(column)]
    }
}

fn width_of(columns: usize) -> usize {
    (columns + 1).next_multiple_of(16)
}

impl Ridge {
    /// Room for regressions on `columns` columns.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        let width = width_of(columns);
        Self {
            columns,
            width,
            rows: Aligned::zeros(CHUNK * width),
            matrix: Aligned::zeros(width * width),
            solution: vec![0.0; columns],
            explained: 0.0,
        }
    }

    /// Solves for `n` rows, shrinking towards `prior` by `lambda`. `fill(t, row)` writes row `t`: the columns, then the target, `columns + 1` numbers in all; it may be
    /// asked for a row twice. The solution has `columns` numbers.
    ///
    /// # Errors
    /// [`NotPositiveDefinite`] if the matrix is singular even to `f64` or not finite; not possible with finite rows of
    /// ordinary size and every λ positive.
    ///
    /// # Panics
    /// If there is not one λ and one prior a column.
    pub fn solve(
        &mut self,
        n: usize,
        lambda: &[f32],
        prior: &[f32],
        fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<&[f32], NotPositiveDefinite> {
        self.matrix.fill(0.0);
        self.solve_from(None, n, lambda, prior, fill)
    }

    /// As [`Ridge::solve`], with `factor` times the rows of `gram` added to the `n` rows.
    ///
    /// # Errors
    /// As [`Ridge::solve`].
    ///
    /// # Panics
    /// As [`Ridge::solve`], or if `gram` has another number of columns.
    pub fn solve_over(
        &mut self,
        gram: &Gram,
        factor: f32,
        n: usize,
        lambda: &[f32],
        prior: &[f32],
        fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<&[f32], NotPositiveDefinite> {
        assert_eq!(gram.columns, self.columns, "as many columns as the Gram matrix");
        scale(factor, &gram.matrix, &mut self.matrix);
        self.solve_from(Some((gram, factor)), n, lambda, prior, fill)
    }

    fn solve_from(
        &mut self,
        gram: Option<(&Gram, f32)>,
        n: usize,
        lambda: &[f32],
        prior: &[f32],
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<&[f32], NotPositiveDefinite> {
        assert_eq!((lambda.len(), prior.len()), (self.columns, self.columns), "one λ and one prior a column");
        for first in (0..n).step_by(CHUNK) {
            let rows = CHUNK.min(n - first);
            for (at, row) in self.rows.chunks_exact_mut(self.width).take(rows).enumerate() {
                fill(first + at, &mut row[..=self.columns]);
            }
            add_outer_products(&self.rows[..rows * self.width], self.width, self.columns, &mut self.matrix);
        }
        for (at, (&lambda, &prior)) in lambda.iter().zip(prior).enumerate() {
            let row = &mut self.matrix[at * self.width..(at + 1) * self.width];
            row[at] += lambda;
            row[self.columns] += lambda * prior;
        }
        if eliminate(&mut self.matrix, self.width, self.columns, &mut self.solution) {
            let column = self.matrix.chunks_exact(self.width).take(self.columns);
            self.explained = column.map(|row| f64::from(row[self.columns]).powi(2)).sum();
        } else {
            self.solve_slowly(gram, n, lambda, prior, fill)?;
        }
        Ok(&self.solution)
    }

    /// The last solution.
    #[must_use]
    pub fn solution(&self) -> &[f32] {
        &self.solution
    }

    /// `b·x` of the last system `A x = b` solved: by how much its solution `x` brings `x'A x − 2 b·x` below nought. With a
    /// prior of noughts, what is left of the targets' squares is the minimum of the objective.
    #[must_use]
    pub fn explained(&self) -> f64 {
        self.explained
    }

    fn solve_slowly(
        &mut self,
        gram: Option<(&Gram, f32)>,
        n: usize,
        lambda: &[f32],
        prior: &[f32],
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<(), NotPositiveDefinite> {
        let c = self.columns;
        let (mut matrix, mut right) = (vec![0.0f64; c * c], vec![0.0f64; c]);
        if let Some((gram, factor)) = gram {
            for i in 0..c {
                right[i] = f64::from(factor) * f64::from(gram.at(i, c));
                for j in 0..=i {
                    matrix[i * c + j] = f64::from(factor) * f64::from(gram.at(i, j));
                }
            }
        }
        for t in 0..n {
            fill(t, &mut self.rows[..=c]);
            let target = f64::from(self.rows[c]);
            for i in 0..c {
                let weight = f64::from(self.rows[i]);
                right[i] += weight * target;
                for j in 0..=i {
                    matrix[i * c + j] += weight * f64::from(self.rows[j]);
                }
            }
        }
        for (at, (&lambda, &prior)) in lambda.iter().zip(prior).enumerate() {
            matrix[at * c + at] += f64::from(lambda);
            right[at] += f64::from(lambda) * f64::from(prior);
        }
        cholesky(&mut matrix, c)?;
        let before = right.clone();
        cholesky_solve(&matrix, c, &mut right);
        self.explained = before.iter().zip(&right).map(|(b, x)| b * x).sum();
        self.solution.iter_mut().zip(&right).for_each(|(out, &x)| *out = x as f32);
        Ok(())
    }
}

kernel! {
    /// Adds the outer products of rows with themselves to the upper triangle of `matrix`, down to row `last - 1`, in whole tiles:
    /// parts of the lower triangle are written too and never read.
    fn add_outer_products(simd, rows: &[f32], width: usize, last: usize, matrix: &mut [f32]) {
        // Sixteen sums where there are registers for them: what is loaded is used more often.
        match S::LANES {
            16 => add_all::<S, 8>(simd, rows, width, last, matrix),
            _ => add_all::<S, 4>(simd, rows, width, last, matrix),
        }
    }

    /// `out = factor · x`.
    fn scale(_simd, factor: f32, x: &[f32], out: &mut [f32]) {
        for (out, &x) in out.iter_mut().zip(x) {
            *out = factor * x;
        }
    }

    /// Cholesky elimination of the rows of the upper triangle, column `n` being the right side, and back substitution into
    /// `solution`. False if a pivot is too small for `f32`; both are then unspecified.
    fn eliminate(simd, matrix: &mut [f32], width: usize, n: usize, solution: &mut [f32]) -> bool {
        match S::LANES {
            16 => eliminate_blocks::<S, 8>(simd, matrix, width, n, solution),
            _ => eliminate_blocks::<S, 4>(simd, matrix, width, n, solution),
        }
    }
}

#[inline(always)]
fn add_all<S: Simd, const R: usize>(simd: S, rows: &[f32], width: usize, last: usize, matrix: &mut [f32]) {
    for (block, out) in matrix.chunks_exact_mut(R * width).enumerate().take(last.div_ceil(R)) {
        add_block::<S, R, false>(simd, rows, width, block * R, out);
    }
}

/// Adds to (or subtracts from) `R` rows of a matrix, from row `top` on, the outer products of `rows`, from the register that holds
/// the diagonal on.
#[inline(always)]
fn add_block<S: Simd, const R: usize, const SUBTRACT: bool>(
    simd: S,
    rows: &[f32],
    width: usize,
    top: usize,
    out: &mut [f32],
) {
    let mut left = top / S::LANES * S::LANES;
    while left < width {
        if left + 2 * S::LANES <= width {
            add_tile::<S, R, 2, SUBTRACT>(simd, rows, width, top, left, out);
            left += 2 * S::LANES;
        } else {
            add_tile::<S, R, 1, SUBTRACT>(simd, rows, width, top, left, out);
            left += S::LANES;
        }
    }
}

/// [`add_block`] of `C` registers from column `left` on.
#[inline(always)]
#[expect(unsafe_code, reason = "register tiles after one check of the bounds")]
fn add_tile<S: Simd, const R: usize, const C: usize, const SUBTRACT: bool>(
    simd: S,
    rows: &[f32],
    width: usize,
    top: usize,
    left: usize,
    out: &mut [f32],
) {
    assert!(left + C * S::LANES <= width && top + R <= width && out.len() == R * width);
    let mut sums = [[simd.splat(0.0); C]; R];
    for row in rows.chunks_exact(width) {
        // SAFETY: `left + C · LANES` and `top + R` are at most `width`, the length of the row.
        unsafe {
            let at = row.as_ptr();
            let right: [S::V; C] = std::array::from_fn(|c| simd.load(at.add(left + c * S::LANES)));
            for (t, sums) in sums.iter_mut().enumerate() {
                let weight = simd.splat(*at.add(top + t));
                for (sum, &right) in sums.iter_mut().zip(&right) {
                    *sum = simd.mul_add(weight, right, *sum);
                }
            }
        }
    }
    for (t, sums) in sums.iter().enumerate() {
        for (c, &sum) in sums.iter().enumerate() {
            // SAFETY: `out` holds R rows, and columns up to `left + C · LANES` lie within them, as asserted.
            unsafe {
                let at = out.as_mut_ptr().add(t * width + left + c * S::LANES);
                let before = simd.load(at);
                simd.store(at, if SUBTRACT { simd.sub(before, sum) } else { simd.add(before, sum) });
            }
        }
    }
}

/// Elimination by blocks of `R` rows: first with all rows above the block at once, then within the block.
#[inline(always)]
fn eliminate_blocks<S: Simd, const R: usize>(
    simd: S,
    matrix: &mut [f32],
    width: usize,
    n: usize,
    solution: &mut [f32],
) -> bool {
    // Until it is solved for, `solution` holds what each diagonal element was.
    for (at, was) in solution.iter_mut().enumerate() {
        *was = matrix[at * width + at];
    }
    for top in (0..n).step_by(R) {
        let (above, rest) = matrix.split_at_mut(top * width);
        let block = &mut rest[..R * width];
        add_block::<S, R, true>(simd, above, width, top, block);
        for pivot in top..n.min(top + R) {
            let (head, tail) = block.split_at_mut((pivot - top + 1) * width);
            let row = &mut head[(pivot - top) * width..];
            let (left, was) = (row[pivot], solution[pivot]);
            // A NaN fails this comparison too.
            if !(left > SMALLEST_PIVOT * was && left.is_finite()) {
                return false;
            }
            let scale = 1.0 / left.sqrt();
            let from = pivot / S::LANES * S::LANES;
            for x in &mut row[from..] {
                *x *= scale;
            }
            for (below, other) in tail.chunks_exact_mut(width).enumerate() {
                axpy_in(simd, -row[pivot + 1 + below], &row[from..], &mut other[from..]);
            }
        }
    }
    for pivot in (0..n).rev() {
        let row = &matrix[pivot * width..(pivot + 1) * width];
        let known = dot_in(simd, &row[pivot + 1..n], &solution[pivot + 1..n]);
        solution[pivot] = (row[n] - known) / row[pivot];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    fn twin(rows: &[Vec<f32>], columns: usize, lambda: &[f32], prior: &[f32]) -> Vec<f64> {
        let mut matrix = vec![0.0f64; columns * columns];
        let mut right = vec![0.0f64; columns];
        for row in rows {
            for i in 0..columns {
                right[i] += f64::from(row[i]) * f64::from(row[columns]);
                for j in 0..columns {
                    matrix[i * columns + j] += f64::from(row[i]) * f64::from(row[j]);
                }
            }
        }
        for at in 0..columns {
            matrix[at * columns + at] += f64::from(lambda[at]);
            right[at] += f64::from(lambda[at]) * f64::from(prior[at]);
        }
        cholesky(&mut matrix, columns).unwrap();
        cholesky_solve(&matrix, columns, &mut right);
        right
    }

    #[test]
    fn equals_its_twin_in_double_precision() {
        let mut random = Random::new(1);
        for columns in [1, 2, 15, 16, 31, 50, 51, 100] {
            let mut ridge = Ridge::new(columns);
            for n in [0, 1, 5, 64, 65, 300] {
                let rows: Vec<Vec<f32>> =
                    (0..n).map(|_| (0..=columns).map(|_| random.normal() as f32 * 0.5).collect()).collect();
                let lambda: Vec<f32> = (0..columns).map(|_| 1.0 + random.uniform() as f32).collect();
                let prior: Vec<f32> = (0..columns).map(|_| random.normal() as f32).collect();
                let got = ridge.solve(n, &lambda, &prior, |t, row| row.copy_from_slice(&rows[t])).unwrap();
                for (got, want) in got.iter().zip(twin(&rows, columns, &lambda, &prior)) {
                    // The condition is below some hundred: six digits less two.
                    assert!((f64::from(*got) - want).abs() < 1e-4, "{n} × {columns}: {got} and {want}");
                }
            }
        }
    }

    #[test]
    fn what_all_rows_add_may_be_summed_before() {
        let mut random = Random::new(2);
        for columns in [1, 7, 33, 128] {
            let n = 1200;
            let all: Vec<Vec<f32>> =
                (0..n).map(|_| (0..=columns).map(|_| random.normal() as f32 * 0.5).collect()).collect();
            let gram = Gram::new(columns, n, |t, row| row.copy_from_slice(&all[t]));
            let (lambda, prior) = (vec![2.0; columns], vec![0.0; columns]);
            // A tenth of all rows and ten of them in full are 1200 rows scaled by √0.1, and ten more.
            let mut rows: Vec<Vec<f32>> =
                all.iter().map(|row| row.iter().map(|x| x * 0.1f32.sqrt()).collect()).collect();
            rows.extend_from_slice(&all[..10]);
            let mut ridge = Ridge::new(columns);
            let fill = |t: usize, row: &mut [f32]| row.copy_from_slice(&all[t]);
            let got = ridge.solve_over(&gram, 0.1, 10, &lambda, &prior, fill).unwrap().to_vec();
            let want = twin(&rows, columns, &lambda, &prior);
            for (got, want) in got.iter().zip(&want) {
                assert!((f64::from(*got) - want).abs() < 1e-5, "{columns}: {got} and {want}");
            }
            let right = |at: usize| -> f64 {
                rows.iter().map(|row| f64::from(row[at]) * f64::from(row[columns])).sum()
            };
            let explained: f64 = want.iter().enumerate().map(|(at, x)| x * right(at)).sum();
            assert!((ridge.explained() / explained - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn a_known_answer() {
        // One column with 1 and 3, targets 2 and 4, λ = 4: (1 + 9 + 4) x = 2 + 12.
        let rows = [[1.0, 2.0], [3.0, 4.0]];
        let mut ridge = Ridge::new(1);
        let x = ridge.solve(2, &[4.0], &[0.0], |t, row| row.copy_from_slice(&rows[t])).unwrap();
        assert!((x[0] - 1.0).abs() < 1e-6);
        // Nothing given: the prior.
        assert_eq!(ridge.solve(0, &[4.0], &[0.5], |_, _| unreachable!()).unwrap().to_vec(), [0.5]);
    }

    #[test]
    fn nearly_singular_systems_are_solved_in_double_precision() {
        // Two columns that are the same, and hardly any λ: the solution splits the weight evenly.
        let mut ridge = Ridge::new(2);
        let x =
            ridge.solve(50, &[1e-4; 2], &[0.0; 2], |_, row| row.copy_from_slice(&[3.0, 3.0, 6.0])).unwrap();
        assert!(x.iter().all(|x| (x - 1.0).abs() < 1e-4), "{x:?}");
        assert!(ridge.solve(1, &[1.0; 2], &[0.0; 2], |_, row| row.fill(f32::NAN)).is_err());
        assert!(ridge.solve(1, &[0.0; 2], &[0.0; 2], |_, row| row.fill(1.0)).is_err());
    }
}
