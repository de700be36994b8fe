//! The inverse of a large positive definite matrix, in place.
//!
//! A block of rows and columns `K` is swept out of a symmetric matrix by `A_KK ← −A_KK⁻¹`, `A_KR ← A_KK⁻¹·A_KR`,
//! `A_RR ← A_RR − A_RK·A_KK⁻¹·A_KR` (`R` the rest); after all blocks the matrix is `−A⁻¹` (Goodnight 1979, "A tutorial on the SWEEP operator", in
//! blocks). Each step leaves it symmetric, so that the lower triangle is enough: n³ operations in all, as many as for a
//! Cholesky factor and the inverse made of it, in one kind of step, which is a product of dense matrices.
//!
//! Blocks are inverted in `f64`, the rest is `f32`: elements of the inverse have an error of about the condition number times
//! 1e-7 relative to the largest. A pivot that cancellation has eaten is refused. The same bits at any number of threads.

use crate::kernel;
use crate::linalg::NotPositiveDefinite;
use crate::matmul::{Matrix, Packed, add_symmetric_product, matmul_packed};

/// Rows and columns swept out at once.
const BLOCK: usize = 128;

/// A pivot below this share of its diagonal element is rounding.
const LOST: f64 = 1e-6;

/// Replaces the symmetric positive definite `[n × n]` matrix `a`, of which the lower triangle is read, by its inverse, all of it.
/// `stop` is asked before each block; if it says so, the outcome is `Ok(false)` and `a` unspecified.
///
/// ```
/// let mut a = [4.0, 0.0, 2.0, 2.0];
/// assert_eq!(foldin_nn::inverse::invert_positive_definite(&mut a, 2, || false), Ok(true));
/// assert_eq!(a, [0.5, -0.5, -0.5, 1.0]);
/// ```
///
/// # Errors
/// [`NotPositiveDefinite`] if a pivot is not positive, not a number, or nothing but rounding; `a` is then unspecified.
///
/// # Panics
/// If `a` has not `n²` elements.
pub fn invert_positive_definite(
    a: &mut [f32],
    n: usize,
    stop: impl Fn() -> bool,
) -> Result<bool, NotPositiveDefinite> {
    assert_eq!(a.len(), n * n, "a square matrix");
    let diagonal: Vec<f32> = (0..n).map(|at| a[at * n + at]).collect();
    for first in (0..n).step_by(BLOCK) {
        if stop() {
            return Ok(false);
        }
        let size = BLOCK.min(n - first);
        let pivots = pivot_rows(a, n, first, size);
        let mut block = vec![0.0f64; size * size];
        for (row, out) in block.chunks_exact_mut(size).enumerate() {
            for (out, &x) in out.iter_mut().zip(&pivots[row * n + first..]) {
                *out = f64::from(x);
            }
        }
        let pivot = sweep(&mut block, size, &diagonal[first..first + size]);
        if pivot < size {
            return Err(NotPositiveDefinite { pivot: first + pivot });
        }
        // A_KK⁻¹ · A_K: what the rows become.
        let inverse: Vec<f32> = block.iter().map(|&x| -x as f32).collect();
        let mut rows = vec![0.0; size * n];
        matmul_packed(
            Matrix::new(&inverse, size, size),
            &Packed::new(Matrix::new(&pivots, size, n)),
            false,
            &mut rows,
        );
        let negative: Vec<f32> = pivots.iter().map(|&x| -x).collect();
        add_symmetric_product(
            Matrix::new(&negative, size, n).transposed(),
            &Packed::new(Matrix::new(&rows, size, n)),
            a,
        );
        for row in 0..size {
            let from = (first + row) * n;
            a[from..from + first].copy_from_slice(&rows[row * n..row * n + first]);
            for column in 0..=row {
                a[from + first + column] = -inverse[row * size + column];
            }
        }
        for below in first + size..n {
            for row in 0..size {
                a[below * n + first + row] = rows[row * n + below];
            }
        }
    }
    for row in a.chunks_exact_mut(n.max(1)).enumerate().map(|(at, row)| &mut row[..=at]) {
        row.iter_mut().for_each(|x| *x = -*x);
    }
    mirror(a, n);
    Ok(true)
}

/// Rows `first..first + size` of the symmetric matrix whose lower triangle `a` holds.
fn pivot_rows(a: &[f32], n: usize, first: usize, size: usize) -> Vec<f32> {
    let mut out = vec![0.0; size * n];
    for (row, out) in out.chunks_exact_mut(n).enumerate() {
        let from = (first + row) * n;
        out[..=first + row].copy_from_slice(&a[from..=from + first + row]);
    }
    for other in first + 1..n {
        for row in 0..size.min(other - first) {
            out[row * n + other] = a[other * n + first + row];
        }
    }
    out
}

/// Rows of a square that is mirrored at once: source and target both stay in the cache.
const TILE: usize = 32;

/// Copies the lower triangle to the upper one.
pub(crate) fn mirror(a: &mut [f32], n: usize) {
    for from_row in (0..n).step_by(TILE) {
        for from_column in (0..=from_row).step_by(TILE) {
            for row in from_row..(from_row + TILE).min(n) {
                for column in from_column..(from_column + TILE).min(row) {
                    a[column * n + row] = a[row * n + column];
                }
            }
        }
    }
}

kernel! {
    /// Sweeps a whole symmetric matrix, both triangles of it, to its negative inverse. Returns the first pivot that cannot be used,
    /// `n` if all could.
    fn sweep(simd, a: &mut [f64], n: usize, diagonal: &[f32]) -> usize {
        let _ = simd;
        let mut line = vec![0.0f64; n];
        for pivot in 0..n {
            let d = a[pivot * n + pivot];
            // A NaN fails this comparison too.
            if !(d > LOST * f64::from(diagonal[pivot]) && d > 0.0 && d.is_finite()) {
                return pivot;
            }
            line.copy_from_slice(&a[pivot * n..(pivot + 1) * n]);
            let inverse = 1.0 / d;
            for row in 0..n {
                if row == pivot {
                    continue;
                }
                let out = &mut a[row * n..(row + 1) * n];
                let factor = out[pivot] * inverse;
                for (out, &x) in out.iter_mut().zip(&line) {
                    *out -= factor * x;
                }
                out[pivot] = factor;
            }
            for (out, &x) in a[pivot * n..(pivot + 1) * n].iter_mut().zip(&line) {
                *out = x * inverse;
            }
            a[pivot * n + pivot] = -inverse;
        }
        n
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{cholesky, cholesky_solve};
    use foldin_core::random::Random;

    /// A Gram matrix of `n + 20` random rows, with a ridge.
    fn positive_definite(n: usize, ridge: f64, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed);
        let rows = n + 20;
        let x: Vec<f64> = (0..rows * n).map(|_| random.normal()).collect();
        let mut out = vec![0.0; n * n];
        for row in x.chunks_exact(n.max(1)) {
            for i in 0..n {
                for j in 0..n {
                    out[i * n + j] += row[i] * row[j];
                }
            }
        }
        (0..n).for_each(|at| out[at * n + at] += ridge);
        out
    }

    #[test]
    fn equals_the_inverse_in_double_precision() {
        for n in [0, 1, 2, 31, 127, 128, 129, 300, 391] {
            let wide = positive_definite(n, 20.0, n as u64);
            let mut a: Vec<f32> = wide.iter().map(|&x| x as f32).collect();
            // What is above the diagonal is not read.
            (0..n).for_each(|row| a[row * n + row + 1..(row + 1) * n].fill(f32::NAN));
            assert_eq!(invert_positive_definite(&mut a, n, || false), Ok(true));
            let mut l = wide;
            cholesky(&mut l, n).unwrap();
            for column in 0..n {
                let mut want = vec![0.0; n];
                want[column] = 1.0;
                cholesky_solve(&l, n, &mut want);
                for row in 0..n {
                    // The largest elements are near 1/20, the condition number near 100.
                    let gap = (f64::from(a[row * n + column]) - want[row]).abs();
                    assert!(gap < 5e-7, "n = {n}, {row}, {column}: {gap}");
                    assert_eq!(a[row * n + column], a[column * n + row]);
                }
            }
        }
    }

    #[test]
    fn what_is_not_positive_definite_is_refused() {
        let refused = |a: &mut [f32], n| invert_positive_definite(a, n, || false);
        assert_eq!(refused(&mut [1.0, 0.0, 2.0, 1.0], 2), Err(NotPositiveDefinite { pivot: 1 }));
        assert_eq!(refused(&mut [f32::NAN], 1), Err(NotPositiveDefinite { pivot: 0 }));
        // Rank 1: what is left of the second pivot is rounding.
        assert_eq!(refused(&mut [1.0, 0.0, 1.0, 1.0], 2), Err(NotPositiveDefinite { pivot: 1 }));
        // In a later block.
        let n = 200;
        let mut a = vec![0.0; n * n];
        (0..n).for_each(|at| a[at * n + at] = if at == 150 { -1.0 } else { 1.0 });
        assert_eq!(refused(&mut a, n), Err(NotPositiveDefinite { pivot: 150 }));
    }

    #[test]
    fn it_can_be_stopped_between_blocks() {
        let mut a = vec![0.0; 200 * 200];
        (0..200).for_each(|at| a[at * 200 + at] = 1.0);
        let asked = std::cell::Cell::new(0);
        let stop = || {
            asked.set(asked.get() + 1);
            asked.get() > 1
        };
        assert_eq!(invert_positive_definite(&mut a, 200, stop), Ok(false));
        assert_eq!(asked.get(), 2);
    }

    #[test]
    fn the_same_bits_at_any_number_of_threads() {
        let a: Vec<f32> = positive_definite(300, 5.0, 1).iter().map(|&x| x as f32).collect();
        let on = |threads| {
            let mut a = a.clone();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| invert_positive_definite(&mut a, 300, || false)).unwrap();
            a
        };
        assert_eq!(on(1), on(3));
    }
}
