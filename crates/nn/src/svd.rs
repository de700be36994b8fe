//! Truncated singular value decomposition of a sparse matrix.
//!
//! Randomised block subspace iteration (Halko, Martinsson, Tropp 2011, algorithms 4.4 and 5.1): a random block of `k` columns
//! and some more is multiplied by `A` and `A'` in turn, made orthonormal each time, and the decomposition is read off the
//! small matrix that remains. Storage is `f32`; Gram matrices and their factors are `f64`.
//!
//! Time O(iterations · (entries · l + (n + m) · l²)) for block width `l ≈ 1.5 k`, memory O((n + m) · l + entries). The products
//! run in parallel with disjoint outputs and the Gram matrices over fixed chunks, so the result has the same bits at any number
//! of threads.

use foldin_core::Csr;
use foldin_core::parallel::chunked;
use foldin_core::random::{Random, child_seed};
use rayon::prelude::*;

use crate::linalg::{cholesky, symmetric_eigen};

/// Rounds of multiplication by `A'` and `A`. The error of a singular vector shrinks by the square of the ratio of singular
/// values (outside the block to its own) each round.
const ROUNDS: usize = 12;

/// Rows of a Gram matrix summed as one chunk.
const GRAM_CHUNK: usize = 512;

/// Largest singular values and their vectors: `A ≈ u · diag(s) · v'`.
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    /// Number of singular values kept.
    pub k: usize,
    /// `[n × k]`, row-major: left singular vectors in its columns.
    pub u: Vec<f32>,
    /// `[k]`, descending.
    pub s: Vec<f32>,
    /// `[m × k]`, row-major: right singular vectors in its columns. The component of largest size in each is positive.
    pub v: Vec<f32>,
}

/// The `k` largest singular values of the `[n × m]` matrix whose observed entries are `matrix − shift` and whose other
/// entries are 0, with their vectors. `shift` is the mean for a mean-centred matrix, 0 for the matrix as it is.
///
/// Where the rank is below `k`, the remaining singular values and their vectors are zero.
///
/// ```
/// use foldin_core::Csr;
/// let matrix = Csr::from_triples(2, 3, &[(0, 0, 3.0), (1, 2, -2.0)])?;
/// let svd = foldin_nn::svd::truncated_svd(&matrix, 0.0, 1, 1);
/// assert!((svd.s[0] - 3.0).abs() < 1e-6 && (svd.v[0] - 1.0).abs() < 1e-6);
/// # Ok::<(), foldin_core::DataError>(())
/// ```
#[must_use]
pub fn truncated_svd(matrix: &Csr, shift: f32, k: usize, seed: u64) -> Svd {
    let (n, m) = (matrix.n_rows(), matrix.n_cols());
    // Whole registers: the tail of a row costs as much as the rest of it.
    let block = (k + (k / 2).clamp(10, 32)).next_multiple_of(16).min(n).min(m);
    if block == 0 || k == 0 {
        return Svd { k, u: vec![0.0; n * k], s: vec![0.0; k], v: vec![0.0; m * k] };
    }
    let transposed = matrix.transpose();
    let mut random = Random::new(child_seed(seed, "svd"));
    let mut v: Vec<f32> = (0..m * block).map(|_| random.normal() as f32).collect();
    let mut u = vec![0.0; n * block];
    for _ in 0..ROUNDS {
        multiply(matrix, shift, &v, block, &mut u);
        orthonormalise(&mut u, block);
        multiply(&transposed, shift, &u, block, &mut v);
        orthonormalise(&mut v, block);
    }
    multiply(matrix, shift, &v, block, &mut u);
    orthonormalise(&mut u, block);
    // With orthonormal u, A ≈ u·b' for b = A'·u, and the eigenvectors w of b'b turn that into singular vectors.
    multiply(&transposed, shift, &u, block, &mut v);
    let eigen = symmetric_eigen(&gram(&v, block), block);
    let largest = eigen.values.first().map_or(0.0, |value| value.max(0.0).sqrt());
    let kept: Vec<(f64, &[f64])> = eigen
        .values
        .iter()
        .zip(eigen.vectors.chunks_exact(block))
        .take(k)
        .map(|(value, vector)| (value.max(0.0).sqrt(), vector))
        // Below this a singular value is rounding of the larger ones.
        .map(|(s, vector)| (if s > 1e-6 * largest { s } else { 0.0 }, vector))
        .collect();
    let mut left = vec![0.0; k * block];
    let mut right = vec![0.0; k * block];
    for (column, (s, vector)) in kept.iter().enumerate().filter(|(_, (s, _))| *s > 0.0) {
        for (at, &w) in vector.iter().enumerate() {
            left[at * k + column] = w;
            right[at * k + column] = w / s;
        }
    }
    let (mut u, mut v) = (transform(&u, block, &left, k), transform(&v, block, &right, k));
    fix_signs(&mut u, &mut v, k);
    let mut s: Vec<f32> = kept.iter().map(|&(s, _)| s as f32).collect();
    s.resize(k, 0.0);
    Svd { k, u, s, v }
}

/// `out = (a − shift) · x` for `x` of `[m × width]`.
fn multiply(a: &Csr, shift: f32, x: &[f32], width: usize, out: &mut [f32]) {
    out.par_chunks_mut(width).with_min_len(16).enumerate().for_each(|(row, out)| {
        out.fill(0.0);
        let (columns, values) = a.row(row);
        for (&column, &value) in columns.iter().zip(values) {
            let (weight, from) = (value - shift, column as usize * width);
            for (out, x) in out.iter_mut().zip(&x[from..from + width]) {
                *out += weight * x;
            }
        }
    });
}

/// `x'·x` of `x` of `[n × width]`; only the upper triangle is filled.
fn gram(x: &[f32], width: usize) -> Vec<f64> {
    let partial = chunked(x.len() / width, GRAM_CHUNK, |rows| {
        let mut sum = vec![0.0; width * width];
        let mut wide = vec![0.0; width];
        for row in rows {
            for (wide, &x) in wide.iter_mut().zip(&x[row * width..(row + 1) * width]) {
                *wide = f64::from(x);
            }
            for i in 0..width {
                let weight = wide[i];
                for (sum, x) in sum[i * width + i..(i + 1) * width].iter_mut().zip(&wide[i..]) {
                    *sum += weight * x;
                }
            }
        }
        sum
    });
    let mut total = vec![0.0; width * width];
    for sum in partial {
        total.iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
    }
    total
}

/// `x · w` for `x` of `[n × width]` and `w` of `[width × k]`.
fn transform(x: &[f32], width: usize, w: &[f64], k: usize) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / width * k];
    out.par_chunks_mut(k).zip(x.par_chunks(width)).with_min_len(16).for_each_init(
        || vec![0.0f64; k],
        |sum, (out, x)| {
            sum.fill(0.0);
            for (&x, w) in x.iter().zip(w.chunks_exact(k)) {
                sum.iter_mut().zip(w).for_each(|(sum, w)| *sum += f64::from(x) * w);
            }
            out.iter_mut().zip(&*sum).for_each(|(out, &sum)| *out = sum as f32);
        },
    );
    out
}

/// Makes the columns of `x` orthonormal without changing what they span. Directions lost in rounding become zero.
fn orthonormalise(x: &mut [f32], width: usize) {
    let gram = gram(x, width);
    let inverse = inverse_cholesky(&gram, width).unwrap_or_else(|| inverse_root(&gram, width));
    x.copy_from_slice(&transform(x, width, &inverse, width));
}

/// `L'⁻¹` of a well-conditioned Gram matrix: `x·L'⁻¹` has orthonormal columns.
fn inverse_cholesky(gram: &[f64], n: usize) -> Option<Vec<f64>> {
    let mut l = vec![0.0; n * n];
    for row in 0..n {
        for column in 0..=row {
            l[row * n + column] = gram[column * n + row];
        }
    }
    cholesky(&mut l, n).ok()?;
    let diagonal = || (0..n).map(|at| l[at * n + at]);
    let (least, most) =
        diagonal().fold((f64::INFINITY, 0.0f64), |(least, most), x| (least.min(x), most.max(x)));
    // The ratio bounds the condition of x from below; beyond this, f32 columns would come out far from orthogonal.
    if least < 1e-4 * most {
        return None;
    }
    // Columns of L⁻¹ by forward substitution; stored transposed.
    let mut inverse = vec![0.0; n * n];
    for column in 0..n {
        inverse[column * n + column] = 1.0 / l[column * n + column];
        for row in column + 1..n {
            let sum: f64 = (column..row).map(|at| l[row * n + at] * inverse[column * n + at]).sum();
            inverse[column * n + row] = -sum / l[row * n + row];
        }
    }
    Some(inverse)
}

/// `W·Λ^-½` of any Gram matrix, with zero for directions that are rounding.
fn inverse_root(gram: &[f64], n: usize) -> Vec<f64> {
    let eigen = symmetric_eigen(gram, n);
    let least = eigen.values.first().map_or(0.0, |&value| value * 1e-12);
    let mut out = vec![0.0; n * n];
    for (column, (&value, vector)) in eigen.values.iter().zip(eigen.vectors.chunks_exact(n)).enumerate() {
        if value > least && value > 0.0 {
            let scale = value.sqrt().recip();
            for (row, &w) in vector.iter().enumerate() {
                out[row * n + column] = w * scale;
            }
        }
    }
    out
}

/// Singular vectors come with either sign: makes the largest component of each right one positive (the first among equals).
fn fix_signs(u: &mut [f32], v: &mut [f32], k: usize) {
    for column in 0..k {
        let largest = v
            .iter()
            .skip(column)
            .step_by(k)
            .copied()
            .fold(0.0f32, |best, x| if x.abs() > best.abs() { x } else { best });
        if largest < 0.0 {
            u.iter_mut().skip(column).step_by(k).for_each(|x| *x = -*x);
            v.iter_mut().skip(column).step_by(k).for_each(|x| *x = -*x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sparse(n: usize, m: usize, density: f64, seed: u64) -> Csr {
        let mut random = Random::new(seed);
        let mut triples = Vec::new();
        for row in 0..n as u32 {
            for column in 0..m as u32 {
                if random.chance(density) {
                    triples.push((row, column, 1.0 + random.below(5) as f32));
                }
            }
        }
        Csr::from_triples(n, m, &triples).unwrap()
    }

    fn dense(csr: &Csr, shift: f32) -> Vec<f64> {
        let mut out = vec![0.0; csr.n_rows() * csr.n_cols()];
        for (row, column, value) in csr.triples() {
            out[row as usize * csr.n_cols() + column as usize] = f64::from(value - shift);
        }
        out
    }

    /// The judge: eigenvalues of the dense A'A.
    fn singular_values(a: &[f64], m: usize) -> Vec<f64> {
        let mut gram = vec![0.0; m * m];
        for row in a.chunks_exact(m) {
            for i in 0..m {
                for j in 0..m {
                    gram[i * m + j] += row[i] * row[j];
                }
            }
        }
        symmetric_eigen(&gram, m).values.into_iter().map(|value| value.max(0.0).sqrt()).collect()
    }

    #[test]
    fn equals_a_dense_decomposition() {
        for (n, m, k, shift) in [(30, 20, 20, 0.0), (60, 25, 6, 3.1), (20, 40, 5, 0.0), (7, 1, 1, 0.0)] {
            let csr = sparse(n, m, 0.3, 1);
            let a = dense(&csr, shift);
            let svd = truncated_svd(&csr, shift, k, 1);
            let want = singular_values(&a, m);
            for (got, want) in svd.s.iter().zip(&want) {
                // f32 storage: seven digits of the largest.
                assert!(
                    (f64::from(*got) - want).abs() < 2e-6 * svd.s.iter().map(|&s| f64::from(s)).sum::<f64>()
                );
            }
            // A·v = s·u, and both sides are orthonormal.
            for column in 0..k {
                for row in 0..n {
                    let av: f64 = (0..m).map(|j| a[row * m + j] * f64::from(svd.v[j * k + column])).sum();
                    let su = f64::from(svd.s[column] * svd.u[row * k + column]);
                    assert!((av - su).abs() < 2e-4, "{n}×{m}, column {column}: {av} and {su}");
                }
                for other in 0..=column {
                    let dot: f64 = (0..m)
                        .map(|j| f64::from(svd.v[j * k + column]) * f64::from(svd.v[j * k + other]))
                        .sum();
                    assert!((dot - f64::from(u8::from(other == column))).abs() < 1e-4, "{n}×{m}: {dot}");
                }
            }
        }
    }

    #[test]
    fn the_largest_component_is_positive() {
        let svd = truncated_svd(&sparse(40, 30, 0.3, 2), 3.0, 8, 1);
        for column in 0..8 {
            let values = || svd.v.iter().skip(column).step_by(8).copied();
            let most = values().fold(f32::MIN, f32::max);
            assert!(values().all(|x| x.abs() <= most));
        }
    }

    #[test]
    fn what_the_matrix_does_not_have_is_zero() {
        // Rank 1, asked for 3.
        let csr = Csr::from_triples(3, 4, &[(0, 0, 1.0), (0, 1, 2.0), (2, 0, 2.0), (2, 1, 4.0)]).unwrap();
        let svd = truncated_svd(&csr, 0.0, 3, 1);
        assert!((svd.s[0] - 5.0).abs() < 1e-5);
        assert_eq!(&svd.s[1..], [0.0, 0.0]);
        assert!(svd.u.iter().chain(&svd.v).all(|x| x.is_finite()));
        assert_eq!((svd.u[1], svd.v[1]), (0.0, 0.0));
        // Nothing at all, and more factors than rows or columns.
        for svd in [truncated_svd(&Csr::empty(3, 2), 1.0, 2, 1), truncated_svd(&Csr::empty(0, 2), 0.0, 2, 1)]
        {
            assert_eq!(svd.s, [0.0, 0.0]);
            assert_eq!(svd.v, [0.0; 4]);
        }
        assert!(truncated_svd(&csr, 0.0, 0, 1).u.is_empty());
    }

    #[test]
    fn the_same_bits_at_any_number_of_threads() {
        let csr = sparse(1100, 300, 0.05, 4);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| truncated_svd(&csr, 2.5, 10, 1))
        };
        let one = with(1);
        assert_eq!(one, with(2));
        assert_eq!(one, with(3));
    }
}
