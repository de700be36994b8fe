//! How alike the rows of a sparse matrix are, and the rows nearest to each.
//!
//! A row is compared with all others at once: for each of its columns, the column's entries are gone through, and the sums of every
//! row met are added to. So time is `Σ_c n_c` over the row's columns `c` (`Σ_c n_c²` for all pairs of rows), and rows that share no
//! column cost nothing. Memory is one set of sums a row for each thread, and the nearest rows that are kept; no square matrix of
//! rows is ever there. Sums are `f64` in ascending order of columns; the same bits at any number of threads and on any
//! instruction set.
//!
//! ```
//! use foldin_core::Csr;
//! use foldin_nn::similarity::{Measure, Rules, Similarity};
//! let rows = Csr::from_triples(3, 2, &[(0, 0, 1.0), (0, 1, 2.0), (1, 0, 2.0), (1, 1, 4.0), (2, 1, 1.0)])?;
//! let rules = Rules { measure: Measure::Cosine, shrinkage: 2.0, min_overlap: 2, keep: 5 };
//! let near = Similarity::new(&rows, rules).all_pairs(&rows, || false).expect("nobody stops it");
//! // Rows 0 and 1 point the same way in 2 columns: 2 / (2 + 2) of a cosine of 1. Row 2 shares one column with each.
//! assert_eq!(near.of(0), (&[1][..], &[0.5][..]));
//! assert_eq!(near.of(2).0.len(), 0);
//! # Ok::<(), foldin_core::DataError>(())
//! ```

use std::cmp::Ordering;

use foldin_core::parallel::chunked;
use foldin_core::{Csr, DataError};

/// What makes two rows alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// `x·y / (|x|·|y|)` with what is not there as 0.
    Cosine,
    /// `x·y / (|x|·|y|)` over the columns that both rows have.
    CommonCosine,
    /// Pearson's correlation over the columns that both rows have, about their means over these.
    Correlation,
}

/// Which rows are near, and how similarities are damped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// What makes two rows alike.
    pub measure: Measure,
    /// λ: a similarity over `n` common columns is multiplied by `n / (n + λ)`; at least 0.
    pub shrinkage: f32,
    /// Common columns that two rows must have, or their similarity is 0; 0 is taken as 1.
    pub min_overlap: usize,
    /// Rows kept of those with a positive similarity, the nearest ones.
    pub keep: usize,
}

/// Rows to which others are compared.
#[derive(Clone, Debug)]
pub struct Similarity {
    rules: Rules,
    /// The rows by column.
    by_column: Csr,
    /// `Σ x²` of each row.
    squares: Vec<f64>,
}

/// Sums over the columns that two rows have in common.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    n: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

/// Room for one comparison with all rows.
#[derive(Clone, Debug)]
pub struct Workspace {
    sums: Vec<Sums>,
    touched: Vec<u32>,
}

impl Workspace {
    /// Room for comparisons with `rows` rows.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self { sums: vec![Sums::default(); rows], touched: Vec::new() }
    }
}

/// Below this share of `Σ x²` a variance is rounding.
const NO_VARIANCE: f64 = 1e-10;

impl Similarity {
    /// Prepares comparisons with `rows`. O(entries).
    #[must_use]
    pub fn new(rows: &Csr, rules: Rules) -> Self {
        let squares = (0..rows.n_rows()).map(|row| square(rows.row(row).1)).collect();
        Self { rules, by_column: rows.transpose(), squares }
    }

    /// Number of rows that are compared to.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.squares.len()
    }

    /// The rows nearest to a row of `columns` (ascending, unless rounding may depend on their order) and `values`, without the row
    /// `own`: number and similarity, the most similar first and then the lowest number.
    ///
    /// # Panics
    /// If a column or `work` is not of this matrix.
    #[must_use]
    pub fn nearest(
        &self,
        columns: &[u32],
        values: &[f32],
        own: Option<usize>,
        work: &mut Workspace,
    ) -> Vec<(u32, f32)> {
        assert_eq!(work.sums.len(), self.n_rows(), "room for these rows");
        for (&column, &x) in columns.iter().zip(values) {
            let x = f64::from(x);
            let (rows, values) = self.by_column.row(column as usize);
            for (&row, &y) in rows.iter().zip(values) {
                let (sums, y) = (&mut work.sums[row as usize], f64::from(y));
                if sums.n == 0.0 {
                    work.touched.push(row);
                }
                sums.n += 1.0;
                sums.x += x;
                sums.y += y;
                sums.xx += x * x;
                sums.yy += y * y;
                sums.xy += x * y;
            }
        }
        let own_square = square(values);
        let mut near: Vec<(u32, f32)> = Vec::with_capacity(work.touched.len());
        for row in work.touched.drain(..) {
            let sums = std::mem::take(&mut work.sums[row as usize]);
            if Some(row as usize) != own {
                let similarity = self.similarity(&sums, own_square, self.squares[row as usize]);
                if similarity > 0.0 {
                    near.push((row, similarity));
                }
            }
        }
        keep_nearest(&mut near, self.rules.keep);
        near
    }

    fn similarity(&self, sums: &Sums, x_square: f64, y_square: f64) -> f32 {
        let n = sums.n;
        if n < self.rules.min_overlap as f64 {
            return 0.0;
        }
        let (product, x_square, y_square) = match self.rules.measure {
            Measure::Cosine => (sums.xy, x_square, y_square),
            Measure::CommonCosine => (sums.xy, sums.xx, sums.yy),
            Measure::Correlation => {
                let about_mean = |square: f64, sum: f64| {
                    let left = square - sum * sum / n;
                    if left > NO_VARIANCE * square { left } else { 0.0 }
                };
                (sums.xy - sums.x * sums.y / n, about_mean(sums.xx, sums.x), about_mean(sums.yy, sums.y))
            }
        };
        let length = x_square.sqrt() * y_square.sqrt();
        if length > 0.0 {
            (product / length * (n / (n + f64::from(self.rules.shrinkage)))) as f32
        } else {
            0.0
        }
    }

    /// The nearest rows of every row of `rows`, which must be those this was made of. Rows run in parallel. `None` if `stop` said
    /// so, which is asked before each row.
    ///
    /// # Panics
    /// If `rows` have another shape.
    #[must_use]
    pub fn all_pairs(&self, rows: &Csr, stop: impl Fn() -> bool + Sync) -> Option<Neighbours> {
        assert_eq!((rows.n_rows(), rows.n_cols()), (self.n_rows(), self.by_column.n_rows()), "the same rows");
        // Few enough chunks that clearing room for their sums costs nothing beside filling it.
        let chunk = rows.n_rows().div_ceil(64).max(16);
        let parts = chunked(rows.n_rows(), chunk, |range| {
            let mut work = Workspace::new(self.n_rows());
            let mut part = Neighbours::default();
            for row in range {
                if stop() {
                    return None;
                }
                let (columns, values) = rows.row(row);
                part.push(&self.nearest(columns, values, Some(row), &mut work));
            }
            Some(part)
        });
        let mut out = Neighbours::default();
        for part in parts {
            out.append(&part?);
        }
        Some(out)
    }
}

fn square(values: &[f32]) -> f64 {
    values.iter().map(|&x| f64::from(x) * f64::from(x)).sum()
}

/// Sorts by similarity, and leaves no more than `keep`.
pub(crate) fn keep_nearest(near: &mut Vec<(u32, f32)>, keep: usize) {
    let order = |a: &(u32, f32), b: &(u32, f32)| -> Ordering { b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)) };
    if keep == 0 {
        near.clear();
    } else if keep < near.len() {
        near.select_nth_unstable_by(keep - 1, order);
        near.truncate(keep);
    }
    near.sort_unstable_by(order);
}

/// The nearest rows of each row, the most similar first.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    offsets: Vec<usize>,
    rows: Vec<u32>,
    similarities: Vec<f32>,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self { offsets: vec![0], rows: Vec::new(), similarities: Vec::new() }
    }
}

impl Neighbours {
    /// Takes the arrays as they are: where each row's neighbours begin, and the end; their numbers; and how similar they are.
    ///
    /// # Errors
    /// [`DataError`] if the lengths disagree, offsets descend, a neighbour is not one of the rows, or a similarity is not finite.
    pub fn new(offsets: Vec<usize>, rows: Vec<u32>, similarities: Vec<f32>) -> Result<Self, DataError> {
        let shape = |what, expected, got| Err(DataError::Shape { what, expected, got });
        let Some(n_rows) = offsets.len().checked_sub(1) else { return shape("number of offsets", 1, 0) };
        if offsets[0] != 0 || offsets[n_rows] != rows.len() {
            return shape("number of neighbours", offsets[n_rows], rows.len());
        }
        if rows.len() != similarities.len() {
            return shape("number of similarities", rows.len(), similarities.len());
        }
        for (row, pair) in offsets.windows(2).enumerate() {
            if pair[1] < pair[0] || pair[1] > rows.len() {
                return shape("row offset", pair[0], pair[1]);
            }
            for at in pair[0]..pair[1] {
                if rows[at] as usize >= n_rows {
                    return Err(DataError::ColumnOutOfRange { row, column: rows[at], n_cols: n_rows });
                }
                if !similarities[at].is_finite() {
                    return Err(DataError::NotFinite { row, column: rows[at] });
                }
            }
        }
        Ok(Self { offsets, rows, similarities })
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The neighbours of a row and how similar they are, the most similar first.
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn of(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[row]..self.offsets[row + 1];
        (&self.rows[range.clone()], &self.similarities[range])
    }

    /// Where each row's neighbours begin, and the end.
    #[must_use]
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The neighbours of all rows, one after the other.
    #[must_use]
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// How similar each of [`Neighbours::rows`] is.
    #[must_use]
    pub fn similarities(&self) -> &[f32] {
        &self.similarities
    }

    pub(crate) fn push(&mut self, near: &[(u32, f32)]) {
        self.rows.extend(near.iter().map(|&(row, _)| row));
        self.similarities.extend(near.iter().map(|&(_, similarity)| similarity));
        self.offsets.push(self.rows.len());
    }

    pub(crate) fn append(&mut self, other: &Self) {
        let before = self.rows.len();
        self.offsets.extend(other.offsets[1..].iter().map(|offset| before + offset));
        self.rows.extend_from_slice(&other.rows);
        self.similarities.extend_from_slice(&other.similarities);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By definition, over dense rows in which `None` is not there.
    fn twin(x: &[Option<f32>], y: &[Option<f32>], rules: &Rules) -> f64 {
        let common: Vec<(f64, f64)> =
            x.iter().zip(y).filter_map(|(x, y)| Some((f64::from((*x)?), f64::from((*y)?)))).collect();
        let n = common.len() as f64;
        if common.len() < rules.min_overlap.max(1) {
            return 0.0;
        }
        let norm =
            |row: &[Option<f32>]| row.iter().flatten().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
        let raw = match rules.measure {
            Measure::Cosine => common.iter().map(|(x, y)| x * y).sum::<f64>() / (norm(x) * norm(y)),
            Measure::CommonCosine | Measure::Correlation => {
                let centred = rules.measure == Measure::Correlation;
                let mean_of = |sum: f64| if centred { sum / n } else { 0.0 };
                let mean_x = mean_of(common.iter().map(|(x, _)| x).sum());
                let mean_y = mean_of(common.iter().map(|(_, y)| y).sum());
                let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
                    common.iter().map(|&(x, y)| f(x - mean_x, y - mean_y)).sum()
                };
                sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
            }
        };
        if raw.is_finite() { raw * n / (n + f64::from(rules.shrinkage)) } else { 0.0 }
    }

    fn cells() -> impl Strategy<Value = Vec<Vec<Option<f32>>>> {
        // Ratings in half steps: constant rows and ties are common.
        let cell = proptest::option::weighted(0.5, (-4i32..=10).prop_map(|step| step as f32 * 0.5));
        proptest::collection::vec(proptest::collection::vec(cell, 9), 2..14)
    }

    proptest! {
        #[test]
        fn equals_its_dense_twin(
            dense in cells(),
            measure in prop_oneof![Just(Measure::Cosine), Just(Measure::CommonCosine), Just(Measure::Correlation)],
            shrinkage in 0.0f32..5.0,
            min_overlap in 0usize..4,
            keep in 0usize..16,
        ) {
            let rules = Rules { measure, shrinkage, min_overlap, keep };
            let triples: Vec<(u32, u32, f32)> = dense.iter().enumerate().flat_map(|(row, cells)| {
                cells.iter().enumerate().filter_map(move |(column, cell)| Some((row as u32, column as u32, (*cell)?)))
            }).collect();
            let rows = Csr::from_triples(dense.len(), 9, &triples).unwrap();
            let near = Similarity::new(&rows, rules).all_pairs(&rows, || false).unwrap();
            for (row, cells) in dense.iter().enumerate() {
                let mut want: Vec<f64> = (0..dense.len()).filter(|&other| other != row)
                    .map(|other| twin(cells, &dense[other], &rules)).filter(|&similarity| similarity > 1e-9).collect();
                want.sort_by(|a, b| b.total_cmp(a));
                want.truncate(keep);
                let (rows, similarities) = near.of(row);
                prop_assert_eq!(rows.len(), want.len());
                for (at, (&other, &similarity)) in rows.iter().zip(similarities).enumerate() {
                    // Rounded to f32 once.
                    prop_assert!((f64::from(similarity) - twin(cells, &dense[other as usize], &rules)).abs() < 1e-6);
                    prop_assert!((f64::from(similarity) - want[at]).abs() < 1e-6);
                }
                let sorted = (1..rows.len())
                    .all(|at| (similarities[at], rows[at - 1]) < (similarities[at - 1], rows[at]));
                prop_assert!(sorted, "{:?} {:?}", rows, similarities);
            }
            prop_assert_eq!(
                Neighbours::new(near.offsets().to_vec(), near.rows().to_vec(), near.similarities().to_vec()),
                Ok(near)
            );
        }
    }

    /// Three rows over four columns, by hand.
    #[test]
    fn known_similarities() {
        let rows = Csr::from_triples(
            3,
            4,
            &[(0, 0, 1.0), (0, 1, 2.0), (0, 2, 3.0), (1, 0, 2.0), (1, 1, 3.0), (1, 3, 6.0), (2, 2, 1.0)],
        )
        .unwrap();
        let with = |measure, shrinkage| {
            let rules = Rules { measure, shrinkage, min_overlap: 1, keep: 9 };
            Similarity::new(&rows, rules).all_pairs(&rows, || false).unwrap().of(0).1.to_vec()
        };
        // (1·2 + 2·3) / (√14 · √49), and 3·1 / (√14 · 1).
        assert_eq!(with(Measure::Cosine, 0.0), [(3.0 / 14f64.sqrt()) as f32, (8.0 / 686f64.sqrt()) as f32]);
        // (2 + 6) / (√5 · √13) with 2 of 3; 1 with 1 of 2.
        let shrunk = with(Measure::CommonCosine, 1.0);
        assert!((f64::from(shrunk[0]) - 8.0 / 65f64.sqrt() * 2.0 / 3.0).abs() < 1e-7);
        assert_eq!(shrunk[1], 0.5);
        // 1, 2 against 2, 3; a single column has no correlation.
        assert_eq!(with(Measure::Correlation, 0.0), [1.0]);
    }

    #[test]
    fn constant_rows_correlate_with_nothing() {
        // 0.1 is not a binary fraction: sums of its squares round.
        let triples: Vec<_> =
            (0..2).flat_map(|row| (0..7).map(move |column| (row, column, 0.1 + row as f32))).collect();
        let rows = Csr::from_triples(2, 7, &triples).unwrap();
        let rules = Rules { measure: Measure::Correlation, shrinkage: 0.0, min_overlap: 1, keep: 1 };
        assert!(Similarity::new(&rows, rules).all_pairs(&rows, || false).unwrap().rows().is_empty());
    }

    #[test]
    fn the_same_bits_at_any_number_of_threads() {
        let mut random = foldin_core::random::Random::new(1);
        let triples: Vec<_> = (0..300)
            .flat_map(|row| (0..40).map(move |column| (row, column)))
            .filter(|_| random.chance(0.2))
            .map(|(row, column)| (row, column, (row * column % 7) as f32 - 2.5))
            .collect();
        let rows = Csr::from_triples(300, 40, &triples).unwrap();
        let rules = Rules { measure: Measure::CommonCosine, shrinkage: 2.0, min_overlap: 2, keep: 10 };
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Similarity::new(&rows, rules).all_pairs(&rows, || false).unwrap())
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn arrays_that_do_not_fit_are_refused() {
        assert!(Neighbours::new(vec![], vec![], vec![]).is_err());
        assert!(Neighbours::new(vec![0, 1], vec![0], vec![]).is_err());
        assert!(Neighbours::new(vec![0, 1], vec![1], vec![0.5]).is_err());
        assert!(Neighbours::new(vec![0, 1], vec![0], vec![f32::NAN]).is_err());
        assert!(Neighbours::new(vec![0, 2, 1], vec![0], vec![0.5]).is_err());
        assert!(Neighbours::new(vec![0, 1, 1], vec![1], vec![0.5]).is_ok());
    }
}
