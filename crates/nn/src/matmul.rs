//! Dense products of matrices, for the layers behind the sparse one.
//!
//! `C = A·B` with `A` and `B` given by strides, so that a transpose costs nothing extra. Both are packed into panels that the
//! inner kernel reads from end to end, a stretch of the inner dimension at a time, so that what it reads again stays in the cache
//! next to the core. An element of `C` is one sum in order of the inner dimension, and tasks own rows of `C`, so the result has
//! the same bits at any number of threads.

mod kernels;
mod layout;

use rayon::prelude::*;

use kernels::{add_to_rows, multiply_rows};
pub(crate) use kernels::{panel_sums, store_panels};
pub use layout::{Matrix, Packed};

/// Rows of `C` that a task owns at most: the more, the less often the right-hand matrix is read.
const ROWS_AT_ONCE: usize = 64;

/// `C = A·B`, or `C += A·B` if `add`; `c` is `[a.rows × b.columns]`, row-major.
///
/// # Panics
/// If the shapes disagree.
pub fn matmul(a: Matrix<'_>, b: Matrix<'_>, add: bool, c: &mut [f32]) {
    matmul_packed(a, &Packed::new(b), add, c);
}

/// As [`matmul`], of a matrix that is packed already.
///
/// # Panics
/// If the shapes disagree.
pub fn matmul_packed(a: Matrix<'_>, b: &Packed, add: bool, c: &mut [f32]) {
    assert_eq!(a.columns, b.rows, "inner dimension");
    assert_eq!(c.len(), a.rows * b.columns, "size of the product");
    if c.is_empty() {
        return;
    }
    if a.columns == 0 {
        if !add {
            c.fill(0.0);
        }
        return;
    }
    // A task for each thread where there is work for all.
    let rows = ROWS_AT_ONCE.min(a.rows.div_ceil(rayon::current_num_threads().max(2)).next_multiple_of(8));
    if a.rows <= rows {
        multiply_rows(a, 0, &b.data, b.columns, add, c);
        return;
    }
    c.par_chunks_mut(rows * b.columns).enumerate().for_each(|(at, c)| {
        multiply_rows(a, at * rows, &b.data, b.columns, add, c);
    });
}

/// Rows of a square product that a task owns: enough that a strip of the right side is read often from the nearest cache.
const SQUARE_ROWS: usize = 128;

/// `C += A·B` of a square product `[n × n]` that is symmetric: elements on and below the diagonal are computed, those above it
/// come out unspecified. Half the work of [`matmul_packed`].
///
/// # Panics
/// If the shapes disagree.
pub fn add_symmetric_product(a: Matrix<'_>, b: &Packed, c: &mut [f32]) {
    let n = a.rows;
    assert_eq!((a.columns, b.columns), (b.rows, n), "a square product");
    assert_eq!(c.len(), n * n, "size of the product");
    if n == 0 || a.columns == 0 {
        return;
    }
    // The last rows are the longest: they go first, so that no thread is left with them at the end.
    c.par_chunks_mut(SQUARE_ROWS * n).enumerate().rev().with_max_len(1).for_each(|(at, c)| {
        let first = at * SQUARE_ROWS;
        let width = (first + SQUARE_ROWS).min(n);
        add_to_rows(a, first, b.panels(0..width.div_ceil(b.panel)), width, n, c);
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|at| ((at * 7 + seed * 13) % 23) as f32 / 8.0 - 1.25).collect()
    }

    proptest! {
        #[test]
        fn products_equal_their_naive_twin(
            m in 0usize..70, k in prop_oneof![0usize..40, 250usize..600], n in 0usize..70, left: bool, right: bool, add: bool,
        ) {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let at = |i: usize, j: usize| if left { a[j * m + i] } else { a[i * k + j] };
            let bt = |i: usize, j: usize| if right { b[j * k + i] } else { b[i * n + j] };
            let a = if left { Matrix::new(&a, k, m).transposed() } else { Matrix::new(&a, m, k) };
            let b = if right { Matrix::new(&b, n, k).transposed() } else { Matrix::new(&b, k, n) };
            let mut c = numbers(m * n, 3);
            let before = c.clone();
            matmul(a, b, add, &mut c);
            if let (false, false, Some(first)) = (left, add, c.get(..n)) {
                let mut row = vec![0.0; n];
                Packed::new(b).row_times(&numbers(m * k, 1)[..k], &mut row);
                prop_assert_eq!(&row[..], first);
            }
            for i in 0..m {
                for j in 0..n {
                    // Eighths: every product and sum here is exact in `f32`.
                    let sum: f32 = (0..k).map(|l| at(i, l) * bt(l, j)).sum();
                    let expected = if add { before[i * n + j] + sum } else { sum };
                    prop_assert!((c[i * n + j] - expected).abs() < 1e-6, "{} {} {}", i, j, expected);
                }
            }
        }

        #[test]
        fn symmetric_products_equal_plain_ones(n in 0usize..300, depth in prop_oneof![0usize..9, Just(300usize)]) {
            let left = numbers(n * depth, 1);
            let a = Matrix::new(&left, n, depth);
            let mut expected = numbers(n * n, 3);
            let mut got = expected.clone();
            matmul(a, a.transposed(), true, &mut expected);
            add_symmetric_product(a, &Packed::new(a.transposed()), &mut got);
            for row in 0..n {
                prop_assert_eq!(&got[row * n..row * n + row + 1], &expected[row * n..row * n + row + 1]);
            }
        }

        #[test]
        fn blocked_matrices_multiply_as_plain_ones(n in 1usize..20, width in 1usize..140) {
            let plain = numbers(n * width, 4);
            let blocks = width.div_ceil(64);
            let mut blocked = vec![0.0; blocks * n * 64];
            for row in 0..n {
                for column in 0..width {
                    blocked[column / 64 * n * 64 + row * 64 + column % 64] = plain[row * width + column];
                }
            }
            let (from_plain, from_blocked) = (Matrix::new(&plain, n, width), Matrix::blocked(&blocked, n, width, 64));
            let weights = numbers(width * 9, 5);
            let right = Matrix::new(&weights, width, 9);
            let (mut expected, mut got) = (vec![0.0; n * 9], vec![0.0; n * 9]);
            matmul(from_plain, right, false, &mut expected);
            matmul(from_blocked, right, false, &mut got);
            prop_assert_eq!(&expected, &got);
            let gradient = numbers(n * 9, 6);
            let gradient = Matrix::new(&gradient, n, 9);
            let (mut expected, mut got) = (vec![0.0; width * 9], vec![0.0; width * 9]);
            matmul(from_plain.transposed(), gradient, false, &mut expected);
            matmul(from_blocked.transposed(), gradient, false, &mut got);
            prop_assert_eq!(expected, got);
        }
    }
}
