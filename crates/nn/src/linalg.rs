//! Small dense linear algebra: Cholesky factors and symmetric eigenvalues, for matrices of a few hundred rows at most.
//!
//! All matrices are square and row-major. Single-threaded and free of random numbers, so deterministic.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Div, Mul, Sub, SubAssign};

/// `f32` or `f64`.
pub trait Real:
    Copy
    + Debug
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + SubAssign
{
    /// Nought.
    const ZERO: Self;
    /// The square root.
    #[must_use]
    fn sqrt(self) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    fn sqrt(self) -> Self {
        self.sqrt()
    }
}

/// A matrix that should be positive definite is not, as far as its precision tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the matrix is not positive definite (pivot {pivot})")]
pub struct NotPositiveDefinite {
    /// The first pivot that is not positive, from 0.
    pub pivot: usize,
}

/// Replaces the lower triangle of the symmetric `[n × n]` matrix `a` by its Cholesky factor `L` with `L·L' = a`. The upper
/// triangle is neither read nor written. O(n³/3).
///
/// # Errors
/// [`NotPositiveDefinite`] if a pivot is not positive or not a number; `a` is then unspecified.
///
/// # Panics
/// If `a` has not `n²` elements.
pub fn cholesky<T: Real>(a: &mut [T], n: usize) -> Result<(), NotPositiveDefinite> {
    assert_eq!(a.len(), n * n, "a square matrix");
    for row in 0..n {
        let (above, rest) = a.split_at_mut(row * n);
        let current = &mut rest[..=row];
        for column in 0..row {
            let other = &above[column * n..column * n + column + 1];
            let mut value = current[column];
            for at in 0..column {
                value -= current[at] * other[at];
            }
            current[column] = value / other[column];
        }
        let mut pivot = current[row];
        for at in 0..row {
            pivot -= current[at] * current[at];
        }
        // A NaN pivot fails this comparison too.
        if pivot > T::ZERO {
            current[row] = pivot.sqrt();
        } else {
            return Err(NotPositiveDefinite { pivot: row });
        }
    }
    Ok(())
}

/// Solves `L·L'·x = b` in place, given what [`cholesky`] left. O(n²).
///
/// # Panics
/// If `l` has not `n²` elements or `b` not `n`.
pub fn cholesky_solve<T: Real>(l: &[T], n: usize, b: &mut [T]) {
    assert_eq!((l.len(), b.len()), (n * n, n), "a square matrix and one right side");
    for row in 0..n {
        let mut value = b[row];
        for at in 0..row {
            value -= l[row * n + at] * b[at];
        }
        b[row] = value / l[row * n + row];
    }
    for row in (0..n).rev() {
        let value = b[row] / l[row * n + row];
        b[row] = value;
        for at in 0..row {
            b[at] -= l[row * n + at] * value;
        }
    }
}

/// Eigenvalues and eigenvectors of a symmetric matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// `[n]`, descending.
    pub values: Vec<f64>,
    /// `[n × n]`: row `j` is the unit eigenvector of `values[j]`.
    pub vectors: Vec<f64>,
}

/// Eigen-decomposition of the symmetric `[n × n]` matrix `a` (its upper triangle is read) by cyclic Jacobi rotations, to about
/// machine precision. O(n³) a sweep, of which some ten are needed; meant for `n` up to a few hundred.
///
/// # Panics
/// If `a` has not `n²` elements.
#[must_use]
pub fn symmetric_eigen(a: &[f64], n: usize) -> Eigen {
    assert_eq!(a.len(), n * n, "a square matrix");
    let mut a = a.to_vec();
    for row in 0..n {
        for column in 0..row {
            a[row * n + column] = a[column * n + row];
        }
    }
    let mut vectors = vec![0.0; n * n];
    for at in 0..n {
        vectors[at * n + at] = 1.0;
    }
    let scale: f64 = a.iter().map(|x| x * x).sum();
    for _sweep in 0..60 {
        let off: f64 =
            (0..n).flat_map(|p| (p + 1..n).map(move |q| (p, q))).map(|(p, q)| a[p * n + q].powi(2)).sum();
        if off <= scale * 1e-32 {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                rotate(&mut a, &mut vectors, n, p, q);
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&x, &y| a[y * n + y].total_cmp(&a[x * n + x]).then(x.cmp(&y)));
    Eigen {
        values: order.iter().map(|&at| a[at * n + at]).collect(),
        vectors: order.iter().flat_map(|&at| vectors[at * n..(at + 1) * n].iter().copied()).collect(),
    }
}

/// One Jacobi rotation: makes `a[p, q]` zero and applies the rotation to the rows of `vectors`.
fn rotate(a: &mut [f64], vectors: &mut [f64], n: usize, p: usize, q: usize) {
    let (app, aqq, apq) = (a[p * n + p], a[q * n + q], a[p * n + q]);
    if apq == 0.0 {
        return;
    }
    let theta = (aqq - app) / (2.0 * apq);
    // The smaller root of t² + 2θt − 1, in the form that does not cancel.
    let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
    let c = 1.0 / (t * t + 1.0).sqrt();
    let s = t * c;
    rotate_rows(a, n, p, q, c, s);
    // The matrix stays symmetric: its columns p and q are what its rows became, but for the 2 × 2 block.
    for at in 0..n {
        a[at * n + p] = a[p * n + at];
        a[at * n + q] = a[q * n + at];
    }
    a[p * n + p] = app - t * apq;
    a[q * n + q] = aqq + t * apq;
    a[p * n + q] = 0.0;
    a[q * n + p] = 0.0;
    rotate_rows(vectors, n, p, q, c, s);
}

fn rotate_rows(a: &mut [f64], n: usize, p: usize, q: usize, c: f64, s: f64) {
    let (head, tail) = a.split_at_mut(q * n);
    for (x, y) in head[p * n..(p + 1) * n].iter_mut().zip(&mut tail[..n]) {
        (*x, *y) = (c * *x - s * *y, s * *x + c * *y);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    fn random_matrix(n: usize, m: usize, seed: u64) -> Vec<f64> {
        let mut random = Random::new(seed);
        (0..n * m).map(|_| random.normal()).collect()
    }

    fn gram(x: &[f64], n: usize, m: usize) -> Vec<f64> {
        let mut out = vec![0.0; m * m];
        for row in 0..n {
            for i in 0..m {
                for j in 0..m {
                    out[i * m + j] += x[row * m + i] * x[row * m + j];
                }
            }
        }
        out
    }

    #[test]
    fn cholesky_of_a_known_matrix() {
        let mut a = [4.0, 0.0, 0.0, 12.0, 37.0, 0.0, -16.0, -43.0, 98.0];
        cholesky(&mut a, 3).unwrap();
        assert_eq!(a.to_vec(), [2.0, 0.0, 0.0, 6.0, 1.0, 0.0, -8.0, 5.0, 3.0]);
        // L·L'·[1, 2, 3] by hand.
        let mut b = [-20.0, -43.0, 192.0];
        cholesky_solve(&a, 3, &mut b);
        assert_eq!(b.to_vec(), [1.0, 2.0, 3.0]);
    }

    #[test]
    fn solutions_satisfy_the_equations() {
        for n in [1, 2, 7, 40] {
            let mut a = gram(&random_matrix(n + 3, n, 1), n + 3, n);
            let want = random_matrix(n, 1, 2);
            let mut b: Vec<f64> = (0..n).map(|i| (0..n).map(|j| a[i * n + j] * want[j]).sum()).collect();
            let mut a32: Vec<f32> = a.iter().map(|&x| x as f32).collect();
            let mut b32: Vec<f32> = b.iter().map(|&x| x as f32).collect();
            cholesky(&mut a, n).unwrap();
            cholesky_solve(&a, n, &mut b);
            // The smallest eigenvalue of such a matrix is some hundredth of the largest or less: eight digits are left.
            assert!(b.iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-8), "n = {n}");
            cholesky(&mut a32, n).unwrap();
            cholesky_solve(&a32, n, &mut b32);
            assert!(b32.iter().zip(&want).all(|(&x, y)| (f64::from(x) - y).abs() < 0.05), "n = {n}");
        }
    }

    #[test]
    fn a_matrix_that_is_not_positive_definite_is_refused() {
        assert_eq!(cholesky(&mut [1.0, 2.0, 2.0, 1.0], 2), Err(NotPositiveDefinite { pivot: 1 }));
        assert_eq!(cholesky(&mut [f32::NAN], 1), Err(NotPositiveDefinite { pivot: 0 }));
        assert_eq!(cholesky::<f64>(&mut [], 0), Ok(()));
    }

    #[test]
    fn eigenvectors_are_orthonormal_and_rebuild_the_matrix() {
        for n in [1, 2, 5, 33] {
            let x = random_matrix(n, n, 3);
            let a: Vec<f64> = (0..n * n).map(|at| x[at] + x[(at % n) * n + at / n]).collect();
            let Eigen { values, vectors } = symmetric_eigen(&a, n);
            assert!(values.windows(2).all(|pair| pair[0] >= pair[1]));
            for i in 0..n {
                for j in 0..n {
                    let dot: f64 = (0..n).map(|at| vectors[i * n + at] * vectors[j * n + at]).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-12, "n = {n}");
                    let rebuilt: f64 =
                        (0..n).map(|at| values[at] * vectors[at * n + i] * vectors[at * n + j]).sum();
                    assert!((rebuilt - a[i * n + j]).abs() < 1e-11, "n = {n}");
                }
            }
        }
    }

    #[test]
    fn equal_and_zero_eigenvalues_are_no_trouble() {
        let eigen = symmetric_eigen(&[2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0], 3);
        assert_eq!(eigen.values, [2.0, 2.0, 0.0]);
        assert_eq!(symmetric_eigen(&[0.0; 4], 2).values, [0.0, 0.0]);
    }
}
