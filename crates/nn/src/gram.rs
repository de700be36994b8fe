//! Which columns of a sparse matrix go together: its Gram matrix, dense.

use foldin_core::Csr;
use rayon::prelude::*;

use crate::inverse::mirror;

/// `X'·diag(w)·X` of the matrix `X` that has a 1 wherever `rows` has an entry, `[n_cols × n_cols]`, in all its elements. `columns` is the
/// transpose of `rows`, `weights` has one number a row.
///
/// Columns run in parallel; each is summed in `f64` in ascending order of rows, so the result has the same bits at any number
/// of threads. Time `Σ_u n_u² / 2` over the rows' numbers of entries, memory for the result and one column a thread.
///
/// ```
/// let rows = foldin_core::Csr::from_triples(2, 3, &[(0, 0, 1.0), (0, 2, 1.0), (1, 2, 1.0)])?;
/// let gram = foldin_nn::gram::weighted_gram(&rows, &rows.transpose(), &[1.0, 0.5]);
/// assert_eq!(gram, [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.5]);
/// # Ok::<(), foldin_core::DataError>(())
/// ```
///
/// # Panics
/// If the shapes disagree.
#[must_use]
pub fn weighted_gram(rows: &Csr, columns: &Csr, weights: &[f64]) -> Vec<f32> {
    let n = rows.n_cols();
    assert_eq!((columns.n_rows(), columns.n_cols()), (n, rows.n_rows()), "a matrix and its transpose");
    assert_eq!(weights.len(), rows.n_rows(), "one weight a row");
    let mut out = vec![0.0; n * n];
    out.par_chunks_mut(n.max(1)).enumerate().for_each_init(
        || vec![0.0f64; n],
        |sums, (column, out)| {
            let sums = &mut sums[..=column];
            sums.fill(0.0);
            for &row in columns.row(column).0 {
                let weight = weights[row as usize];
                // Entries ascend: the first one behind the diagonal ends the row.
                for &other in rows.row(row as usize).0 {
                    let Some(sum) = sums.get_mut(other as usize) else { break };
                    *sum += weight;
                }
            }
            for (out, &sum) in out.iter_mut().zip(&*sums) {
                *out = sum as f32;
            }
        },
    );
    mirror(&mut out, n);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    #[test]
    fn equals_its_dense_twin_at_any_number_of_threads() {
        let mut random = Random::new(1);
        let cells: Vec<(u32, u32, f32)> = (0..60)
            .flat_map(|row| (0..45).map(move |column| (row, column, 3.0)))
            .filter(|_| random.chance(0.2))
            .collect();
        let rows = Csr::from_triples(60, 45, &cells).unwrap();
        let weights: Vec<f64> = (0..60).map(|row| 1.0 / f64::from(row + 1)).collect();
        let mut want = vec![0.0f64; 45 * 45];
        for (row, weight) in weights.iter().enumerate() {
            for &i in rows.row(row).0 {
                for &j in rows.row(row).0 {
                    want[i as usize * 45 + j as usize] += weight;
                }
            }
        }
        let want: Vec<f32> = want.iter().map(|&x| x as f32).collect();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| weighted_gram(&rows, &rows.transpose(), &weights)), want);
        }
    }

    #[test]
    fn nothing_has_an_empty_gram_matrix() {
        assert!(weighted_gram(&Csr::empty(3, 0), &Csr::empty(0, 3), &[1.0; 3]).is_empty());
        assert_eq!(weighted_gram(&Csr::empty(0, 2), &Csr::empty(2, 0), &[]), [0.0; 4]);
    }
}
