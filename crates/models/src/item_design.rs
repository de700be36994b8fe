//! Features of items (and of users): the matrix `F` that priors are regressed on and that `lfg-plus` adds to its factors.
//!
//! A row is side information as the schema encodes it (sparse), followed by a few dense columns: a constant, the popularity
//! `ln(n_i + 1) / 3`, and co-occurrence features. The latter say which items are rated by the same people, whatever the ratings:
//! the right singular vectors of the 0/1 training matrix with entries `1 / (√(n_u + 1) √(n_i + 1))`, times `√n_items`, so
//! that a feature has mean square 1. Only the training part is ever looked at.
//!
//! Time O(ratings · features) for the decomposition, memory O((users + items) · features); the same bits at any number of
//! threads.

use foldin_core::parallel::chunked;
use foldin_core::random::child_seed;
use foldin_core::{Csr, Interactions, TrainingData};
use foldin_nn::svd::{Svd, truncated_svd};

/// Rows summed as one chunk.
const CHUNK: usize = 256;

/// Which features of items to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ItemDesign {
    /// A column of ones.
    pub constant: bool,
    /// Side information, where the data have any.
    pub side_information: bool,
    /// Number of co-occurrence features; those beyond the rank of the training matrix are zero.
    pub cooccurrence: usize,
}

impl ItemDesign {
    /// Makes the features of all items: side information, then the constant if wanted, popularity, and co-occurrence features.
    #[must_use]
    pub fn build(&self, data: &TrainingData<'_>, seed: u64) -> Design {
        let ratings = data.interactions;
        let n = ratings.n_items();
        let sparse = if self.side_information { data.item_features.rows().clone() } else { Csr::empty(n, 0) };
        let svd = cooccurrence(ratings, self.cooccurrence, seed);
        let scale = (n as f32).sqrt();
        let before = usize::from(self.constant) + 1;
        let width = before + self.cooccurrence;
        let mut dense = vec![0.0; n * width];
        for (item, row) in dense.chunks_exact_mut(width).enumerate() {
            row[0] = 1.0;
            row[before - 1] = popularity(ratings.by_item().row_len(item));
            let vector = &svd.v[item * self.cooccurrence..(item + 1) * self.cooccurrence];
            row[before..].iter_mut().zip(vector).for_each(|(out, v)| *out = v * scale);
        }
        Design::new(sparse, dense, width)
    }
}

/// `ln(n + 1) / 3`: of the order of one for common counts.
#[must_use]
pub fn popularity(count: usize) -> f32 {
    (count as f32).ln_1p() / 3.0
}

/// Truncated SVD of the 0/1 matrix of who rated what, with entries `1 / (√(n_u + 1) √(n_i + 1))`.
#[must_use]
pub fn cooccurrence(ratings: &Interactions, k: usize, seed: u64) -> Svd {
    let (by_user, by_item) = (ratings.by_user(), ratings.by_item());
    let damped = |count: usize| 1.0 / ((count + 1) as f32).sqrt();
    let item_weights: Vec<f32> = (0..ratings.n_items()).map(|item| damped(by_item.row_len(item))).collect();
    let weights = (0..ratings.n_users()).flat_map(|user| {
        let weight = damped(by_user.row_len(user));
        by_user.row(user).0.iter().map(move |&item| (item, weight))
    });
    let values = weights.map(|(item, weight)| weight * item_weights[item as usize]).collect();
    let matrix =
        Csr::from_parts(by_user.n_cols(), by_user.offsets().to_vec(), by_user.columns().to_vec(), values)
            .expect("a copy of a valid matrix with other values");
    truncated_svd(&matrix, 0.0, k, child_seed(seed, "co-occurrence"))
}

/// A matrix of features, `[n × width]`: sparse columns first, then dense ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Design {
    sparse: Csr,
    dense: Vec<f32>,
    dense_width: usize,
}

impl Design {
    /// Puts sparse `[n × s]` and dense `[n × dense_width]` columns side by side.
    ///
    /// # Panics
    /// If the dense part has not `n` rows.
    #[must_use]
    pub fn new(sparse: Csr, dense: Vec<f32>, dense_width: usize) -> Self {
        assert_eq!(dense.len(), sparse.n_rows() * dense_width, "as many dense rows as sparse ones");
        Self { sparse, dense, dense_width }
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.sparse.n_rows()
    }

    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.sparse.n_cols() + self.dense_width
    }

    /// Number of sparse columns, which come first.
    #[must_use]
    pub fn sparse_width(&self) -> usize {
        self.sparse.n_cols()
    }

    /// How many of the dense columns from number `first` on are not zero everywhere.
    #[must_use]
    pub fn used_columns(&self, first: usize) -> usize {
        used_columns(&self.dense, self.dense_width, first)
    }

    /// The columns of a row that are not zero, with their values.
    ///
    /// # Panics
    /// If `row` is out of range.
    pub fn entries(&self, row: usize) -> impl Iterator<Item = (usize, f32)> + '_ {
        let (columns, values) = self.sparse.row(row);
        let dense = &self.dense[row * self.dense_width..(row + 1) * self.dense_width];
        let sparse = columns.iter().zip(values).map(|(&column, &value)| (column as usize, value));
        sparse.chain((self.sparse.n_cols()..).zip(dense.iter().copied()))
    }

    /// `out += row · weights` for `weights` of `[width × k]`, `k` being the length of `out`.
    ///
    /// # Panics
    /// If `row` is out of range or `weights` too short.
    pub fn add_product(&self, row: usize, weights: &[f32], out: &mut [f32]) {
        let k = out.len();
        for (column, value) in self.entries(row) {
            let from = &weights[column * k..(column + 1) * k];
            out.iter_mut().zip(from).for_each(|(out, weight)| *out += value * weight);
        }
    }

    /// `F'·y` in `f64` for `y` of `[n × k]`, over the rows for which `keep` is true: `[width × k]`. Parallel, over fixed chunks.
    #[must_use]
    pub fn transposed_product(&self, y: &[f32], k: usize, keep: impl Fn(usize) -> bool + Sync) -> Vec<f64> {
        self.reduce(self.width() * k, |row, sum| {
            if keep(row) {
                let y = &y[row * k..(row + 1) * k];
                for (column, value) in self.entries(row) {
                    let (value, sum) = (f64::from(value), &mut sum[column * k..(column + 1) * k]);
                    sum.iter_mut().zip(y).for_each(|(sum, &y)| *sum += value * f64::from(y));
                }
            }
        })
    }

    /// `F'·F` in `f64` over the rows for which `keep` is true: `[width × width]`. Parallel, over fixed chunks.
    #[must_use]
    pub fn gram(&self, keep: impl Fn(usize) -> bool + Sync) -> Vec<f64> {
        let width = self.width();
        self.reduce(width * width, |row, sum| {
            if keep(row) {
                for (i, x) in self.entries(row) {
                    for (j, y) in self.entries(row) {
                        sum[i * width + j] += f64::from(x) * f64::from(y);
                    }
                }
            }
        })
    }

    fn reduce(&self, len: usize, add: impl Fn(usize, &mut [f64]) + Sync) -> Vec<f64> {
        let partial = chunked(self.n_rows(), CHUNK, |rows| {
            let mut sum = vec![0.0; len];
            rows.for_each(|row| add(row, &mut sum));
            sum
        });
        let mut total = vec![0.0; len];
        for sum in partial {
            total.iter_mut().zip(sum).for_each(|(total, sum)| *total += sum);
        }
        total
    }
}

/// How many columns of a `[n × width]` matrix, from number `first` on, are not zero everywhere: of few items there are few features.
pub(crate) fn used_columns(values: &[f32], width: usize, first: usize) -> usize {
    let used = |column| values.iter().skip(column).step_by(width).any(|&value| value != 0.0);
    (first..width).filter(|&column| used(column)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Features, Feedback, RatingScale};

    fn ratings() -> Interactions {
        let scale = RatingScale { min: 1.0, max: 5.0, step: Some(1.0) };
        let cells = [(0, 0, 5.0), (0, 1, 4.0), (1, 0, 1.0), (1, 1, 2.0), (2, 2, 3.0), (3, 2, 3.0)];
        Interactions::new(Csr::from_triples(4, 4, &cells).unwrap(), None, Feedback::Explicit(scale)).unwrap()
    }

    #[test]
    fn items_of_the_same_people_have_the_same_features() {
        let ratings = ratings();
        let (users, items) = (Features::none(4), Features::none(4));
        let data = TrainingData { interactions: &ratings, user_features: &users, item_features: &items };
        let design = ItemDesign { constant: true, side_information: true, cooccurrence: 2 }.build(&data, 1);
        let rows: Vec<Vec<f32>> =
            (0..4).map(|item| design.entries(item).map(|(_, value)| value).collect()).collect();
        assert_eq!(design.width(), 4);
        assert_eq!(rows[0][..2], [1.0, 3f32.ln() / 3.0]);
        assert!((0..4).all(|at| (rows[0][at] - rows[1][at]).abs() < 1e-6), "{rows:?}");
        assert!((rows[0][2] - rows[2][2]).abs() > 0.5 || (rows[0][3] - rows[2][3]).abs() > 0.5);
        // Nobody rated the last item.
        assert_eq!(rows[3], [1.0, 0.0, 0.0, 0.0]);
        // Two groups of people have no more than two vectors between them.
        let design = ItemDesign { constant: true, side_information: true, cooccurrence: 4 }.build(&data, 1);
        assert_eq!((design.used_columns(0), design.used_columns(2)), (4, 2));
    }

    #[test]
    fn products_are_those_of_the_dense_matrix() {
        let sparse = Csr::from_triples(3, 2, &[(0, 1, 2.0), (2, 0, -1.0)]).unwrap();
        let design = Design::new(sparse, vec![1.0, 2.0, 3.0], 1);
        let full = [[0.0, 2.0, 1.0], [0.0, 0.0, 2.0], [-1.0, 0.0, 3.0]];
        let gram = design.gram(|row| row != 1);
        for i in 0..3 {
            for j in 0..3 {
                assert_eq!(gram[i * 3 + j], full[0][i] * full[0][j] + full[2][i] * full[2][j]);
            }
        }
        assert_eq!(design.transposed_product(&[1.0, 10.0, 100.0], 1, |_| true), [-100.0, 2.0, 321.0]);
        let mut out = [0.5];
        design.add_product(2, &[4.0, 5.0, 6.0], &mut out);
        assert_eq!(out, [0.5 - 4.0 + 18.0]);
    }
}
