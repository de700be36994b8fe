//! Ridge regression of one small target on many columns: how a linear factor model folds a new user in.
//!
//! Minimises `Σ_t (y_t − a_t·x)² + Σ_c λ_c (x_c − x₀_c)²` by its normal equations `(A'A + Λ) x = A'y + Λ x₀`. Each row is kept as `[a_t | y_t]`, so
//! that one sum of outer products gives both sides, and eliminating the rows of the matrix carries the right side along.
//! `f32` with a fall-back to `f64` where the matrix is nearly singular. O(n·c² / 2 + c³ / 6) multiplications for `n` rows of `c` columns: for
//! 100 rows of 51, about 10 µs with AVX-512.
//!
//! ```
//! let rows = [[1.0, 0.0, 3.0], [0.0, 2.0, 4.0]];
//! let mut ridge = foldin_nn::ridge::Ridge::new(2);
//! let x = ridge.solve(2, &[1.0, 1.0], &[0.0, 0.0], |t, row| row.copy_from_slice(&rows[t]))?;
//! assert!((x[0] - 1.5).abs() < 1e-6 && (x[1] - 1.6).abs() < 1e-6);
//! # Ok::<(), foldin_nn::linalg::NotPositiveDefinite>(())
//! ```

use crate::kernel;
use crate::kernels::{axpy_in, dot_in};
use crate::linalg::{NotPositiveDefinite, cholesky, cholesky_solve};
use crate::simd::Simd;

/// Rows whose outer products are summed at once: at 64 columns they fill half of a first-level cache.
const CHUNK: usize = 64;

/// Smallest pivot, relative to the element it was, that `f32` is trusted with.
const SMALLEST_PIVOT: f32 = 1e-5;

/// Room for the regressions of one thread, one after the other.
#[derive(Clone, Debug)]
pub struct Ridge {
    columns: usize,
    width: usize,
    /// `[CHUNK × width]`: rows `[a | y | 0 …]`.
    rows: Vec<f32>,
    /// `[width × width]`: upper triangle of the sum of outer products.
    matrix: Vec<f32>,
    solution: Vec<f32>,
}

impl Ridge {
    /// Room for regressions on `columns` columns.
    #[must_use]
    pub fn new(columns: usize) -> Self {
        let width = (columns + 1).next_multiple_of(16);
        Self {
            columns,
            width,
            rows: vec![0.0; CHUNK * width],
            matrix: vec![0.0; width * width],
            solution: vec![0.0; columns],
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
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<&[f32], NotPositiveDefinite> {
        assert_eq!((lambda.len(), prior.len()), (self.columns, self.columns), "one λ and one prior a column");
        self.matrix.fill(0.0);
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
        if !eliminate(&mut self.matrix, self.width, self.columns, &mut self.solution) {
            self.solve_slowly(n, lambda, prior, fill)?;
        }
        Ok(&self.solution)
    }

    fn solve_slowly(
        &mut self,
        n: usize,
        lambda: &[f32],
        prior: &[f32],
        mut fill: impl FnMut(usize, &mut [f32]),
    ) -> Result<(), NotPositiveDefinite> {
        let c = self.columns;
        let (mut matrix, mut right) = (vec![0.0f64; c * c], vec![0.0f64; c]);
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
        cholesky_solve(&matrix, c, &mut right);
        self.solution.iter_mut().zip(&right).for_each(|(out, &x)| *out = x as f32);
        Ok(())
    }
}

/// Rows of a tile of the matrix that is held in registers.
const TILE: usize = 4;

kernel! {
    /// Adds the outer products of rows with themselves to the upper triangle of `matrix`, down to row `last - 1`, in whole tiles:
    /// parts of the lower triangle are written too and never read.
    fn add_outer_products(simd, rows: &[f32], width: usize, last: usize, matrix: &mut [f32]) {
        for top in (0..last).step_by(TILE) {
            // From the register that holds the diagonal on; two registers at a time.
            let mut left = top / S::LANES * S::LANES;
            while left < width {
                if left + 2 * S::LANES <= width {
                    add_tile::<S, 2>(simd, rows, width, top, left, matrix);
                    left += 2 * S::LANES;
                } else {
                    add_tile::<S, 1>(simd, rows, width, top, left, matrix);
                    left += S::LANES;
                }
            }
        }
    }

    /// Cholesky elimination of the rows of the upper triangle, column `n` being the right side, and back substitution into
    /// `solution`. False if a pivot is too small for `f32`; both are then unspecified.
    fn eliminate(simd, matrix: &mut [f32], width: usize, n: usize, solution: &mut [f32]) -> bool {
        // Until it is solved for, `solution` holds what each diagonal element was.
        for (at, was) in solution.iter_mut().enumerate() {
            *was = matrix[at * width + at];
        }
        for pivot in 0..n {
            let (head, tail) = matrix.split_at_mut((pivot + 1) * width);
            let row = &mut head[pivot * width..];
            let (left, was) = (row[pivot], solution[pivot]);
            // A NaN fails this comparison too.
            if !(left > SMALLEST_PIVOT * was && left.is_finite()) {
                return false;
            }
            let scale = 1.0 / left.sqrt();
            for x in &mut row[pivot / S::LANES * S::LANES..] {
                *x *= scale;
            }
            for (below, other) in tail.chunks_exact_mut(width).take(n - pivot - 1).enumerate() {
                let column = pivot + 1 + below;
                let from = column / S::LANES * S::LANES;
                axpy_in(simd, -row[column], &row[from..], &mut other[from..]);
            }
        }
        for pivot in (0..n).rev() {
            let row = &matrix[pivot * width..(pivot + 1) * width];
            let known = dot_in(simd, &row[pivot + 1..n], &solution[pivot + 1..n]);
            solution[pivot] = (row[n] - known) / row[pivot];
        }
        true
    }
}

/// Adds to `TILE` rows of the matrix from `top` on, `C` registers from column `left` on.
#[inline(always)]
#[expect(unsafe_code, reason = "register tiles after one check of the bounds")]
fn add_tile<S: Simd, const C: usize>(
    simd: S,
    rows: &[f32],
    width: usize,
    top: usize,
    left: usize,
    matrix: &mut [f32],
) {
    assert!(left + C * S::LANES <= width && top + TILE <= width && matrix.len() >= width * width);
    let mut sums = [[simd.splat(0.0); C]; TILE];
    for row in rows.chunks_exact(width) {
        // SAFETY: `left + C · LANES` and `top + TILE` are at most `width`, the length of the row.
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
            // SAFETY: row `top + t` and columns up to `left + C · LANES` lie within the matrix, as asserted.
            unsafe {
                let at = matrix.as_mut_ptr().add((top + t) * width + left + c * S::LANES);
                simd.store(at, simd.add(simd.load(at), sum));
            }
        }
    }
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
