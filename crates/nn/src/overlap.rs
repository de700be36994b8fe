//! How much the rows of a binary sparse matrix have in common, and the rows nearest to each.
//!
//! As [`similarity`](crate::similarity), for matrices whose values say nothing: histories of clicks. With `w_c = n_c^(−a)` the weight of a column of
//! `n_c` entries and `C_xy = Σ_c w_c` over the columns that two rows have in common, their similarity is a ratio of that sum to the
//! sizes of the rows ([`Ratio`]). A row is compared with all others at once in `Σ_c n_c` steps over its columns, rows that share no
//! column cost nothing, and no square matrix of rows is ever there. Sums are `f64` in ascending order of columns; the same bits
//! at any number of threads.
//!
//! ```
//! use foldin_core::Csr;
//! use foldin_nn::overlap::{Overlap, Ratio, Rules};
//! let rows = Csr::from_triples(3, 3, &[(0, 0, 1.0), (0, 1, 1.0), (1, 0, 1.0), (1, 1, 1.0), (2, 1, 1.0)])?;
//! let cosine = Ratio::Product { own: 0.5, other: 0.5 };
//! let rules = Rules { ratio: cosine, column_exponent: 0.0, shrinkage: 0.0, keep: 5 };
//! let near = Overlap::new(&rows, rules).all_pairs(&rows, || false).expect("nobody stops it");
//! assert_eq!(near.of(0), (&[1, 2][..], &[1.0, 0.5f32.sqrt()][..]));
//! # Ok::<(), foldin_core::DataError>(())
//! ```

use foldin_core::Csr;
use foldin_core::parallel::chunked;
use serde::{Deserialize, Serialize};

use crate::similarity::{Neighbours, keep_nearest};

/// What the weight of the common columns `C` is compared to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ratio {
    /// `C / (n_x^own · n_y^other + λ)` with the rows' numbers of entries. Halves are the cosine.
    Product {
        /// Exponent of the size of the row that is compared.
        own: f64,
        /// Exponent of the size of those it is compared to.
        other: f64,
    },
    /// `C / (C + own·(s_x − C) + other·(s_y − C) + λ)` with the rows' sums of weights `s` (Tversky 1977). Ones are Jaccard's index,
    /// halves Dice's.
    Tversky {
        /// How much counts against it what the row that is compared has for itself.
        own: f64,
        /// The same of those it is compared to.
        other: f64,
    },
}

/// Which rows are near.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rules {
    /// What is compared.
    pub ratio: Ratio,
    /// a: a column of `n` entries weighs `n^(−a)`.
    pub column_exponent: f64,
    /// λ of [`Ratio`], at least 0.
    pub shrinkage: f64,
    /// Rows kept, the nearest ones.
    pub keep: usize,
}

/// Rows to which others are compared.
#[derive(Clone, Debug)]
pub struct Overlap {
    rules: Rules,
    /// The rows by column.
    by_column: Csr,
    /// Weight of each column.
    weights: Vec<f64>,
    /// What [`Ratio`] needs of each row that others are compared to: a power of its number of entries, or its sum of weights.
    others: Vec<f64>,
}

/// Room for one comparison with all rows.
#[derive(Clone, Debug)]
pub struct Workspace {
    common: Vec<f64>,
    touched: Vec<u32>,
}

impl Workspace {
    /// Room for comparisons with `rows` rows.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self { common: vec![0.0; rows], touched: Vec::new() }
    }
}

impl Overlap {
    /// Prepares comparisons with `rows`. O(entries).
    #[must_use]
    pub fn new(rows: &Csr, rules: Rules) -> Self {
        let by_column = rows.transpose();
        let weights: Vec<f64> = (0..by_column.n_rows())
            .map(|column| (by_column.row_len(column).max(1) as f64).powf(-rules.column_exponent))
            .collect();
        let others = (0..rows.n_rows())
            .map(|row| match rules.ratio {
                Ratio::Product { other, .. } => (rows.row_len(row) as f64).powf(other),
                Ratio::Tversky { .. } => sum_of(&weights, rows.row(row).0),
            })
            .collect();
        Self { rules, by_column, weights, others }
    }

    /// Number of rows that are compared to.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.others.len()
    }

    /// The rows nearest to a row of `columns` (ascending, unless rounding may depend on their order), without the row `own`: number
    /// and similarity, the most similar first and then the lowest number.
    ///
    /// # Panics
    /// If a column or `work` is not of this matrix.
    #[must_use]
    pub fn nearest(&self, columns: &[u32], own: Option<usize>, work: &mut Workspace) -> Vec<(u32, f32)> {
        assert_eq!(work.common.len(), self.n_rows(), "room for these rows");
        for &column in columns {
            let weight = self.weights[column as usize];
            for &row in self.by_column.row(column as usize).0 {
                let common = &mut work.common[row as usize];
                if *common == 0.0 {
                    work.touched.push(row);
                }
                *common += weight;
            }
        }
        let size = match self.rules.ratio {
            Ratio::Product { own, .. } => (columns.len() as f64).powf(own),
            Ratio::Tversky { .. } => sum_of(&self.weights, columns),
        };
        let mut near: Vec<(u32, f32)> = Vec::with_capacity(work.touched.len());
        for row in work.touched.drain(..) {
            let common = std::mem::take(&mut work.common[row as usize]);
            let similarity = self.similarity(common, size, self.others[row as usize]);
            if similarity > 0.0 && Some(row as usize) != own {
                near.push((row, similarity));
            }
        }
        keep_nearest(&mut near, self.rules.keep);
        near
    }

    fn similarity(&self, common: f64, own_size: f64, other_size: f64) -> f32 {
        let shrinkage = self.rules.shrinkage;
        let whole = match self.rules.ratio {
            Ratio::Product { .. } => own_size * other_size + shrinkage,
            Ratio::Tversky { own, other } => {
                common
                    + own * (own_size - common).max(0.0)
                    + other * (other_size - common).max(0.0)
                    + shrinkage
            }
        };
        (common / whole) as f32
    }

    /// The nearest rows of every row of `rows`, which must be those this was made of. Rows run in parallel. `None` if `stop` said
    /// so, which is asked before each row.
    ///
    /// # Panics
    /// If `rows` have another shape.
    #[must_use]
    pub fn all_pairs(&self, rows: &Csr, stop: impl Fn() -> bool + Sync) -> Option<Neighbours> {
        assert_eq!((rows.n_rows(), rows.n_cols()), (self.n_rows(), self.by_column.n_rows()), "the same rows");
        let chunk = rows.n_rows().div_ceil(64).max(16);
        let parts = chunked(rows.n_rows(), chunk, |range| {
            let mut work = Workspace::new(self.n_rows());
            let mut part = Neighbours::default();
            for row in range {
                if stop() {
                    return None;
                }
                part.push(&self.nearest(rows.row(row).0, Some(row), &mut work));
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

fn sum_of(weights: &[f64], columns: &[u32]) -> f64 {
    columns.iter().map(|&column| weights[column as usize]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// By definition, over sets.
    fn twin(all: &[BTreeSet<u32>], x: &BTreeSet<u32>, y: &BTreeSet<u32>, rules: &Rules) -> f64 {
        let weight = |column: &u32| {
            (all.iter().filter(|row| row.contains(column)).count() as f64).powf(-rules.column_exponent)
        };
        let sum = |row: &BTreeSet<u32>| row.iter().map(weight).sum::<f64>();
        let common: f64 = x.intersection(y).map(weight).sum();
        let whole = match rules.ratio {
            Ratio::Product { own, other } => (x.len() as f64).powf(own) * (y.len() as f64).powf(other),
            Ratio::Tversky { own, other } => {
                common
                    + own * x.difference(y).map(weight).sum::<f64>()
                    + other * y.difference(x).map(weight).sum::<f64>()
            }
        };
        if sum(x) > 0.0 && common > 0.0 { common / (whole + rules.shrinkage) } else { 0.0 }
    }

    proptest! {
        #[test]
        fn equals_its_twin_over_sets(
            rows in proptest::collection::vec(proptest::collection::btree_set(0u32..9, 0..8), 2..14),
            tversky: bool,
            own in 0.0f64..1.5,
            other in 0.0f64..1.5,
            column_exponent in 0.0f64..1.5,
            shrinkage in 0.0f64..3.0,
            keep in 0usize..16,
        ) {
            let ratio = if tversky { Ratio::Tversky { own, other } } else { Ratio::Product { own, other } };
            let rules = Rules { ratio, column_exponent, shrinkage, keep };
            let triples: Vec<(u32, u32, f32)> = rows.iter().enumerate()
                .flat_map(|(row, columns)| columns.iter().map(move |&column| (row as u32, column, 7.0))).collect();
            let matrix = Csr::from_triples(rows.len(), 9, &triples).unwrap();
            let near = Overlap::new(&matrix, rules).all_pairs(&matrix, || false).unwrap();
            for (row, columns) in rows.iter().enumerate() {
                let mut want: Vec<f64> = (0..rows.len()).filter(|&other| other != row)
                    .map(|other| twin(&rows, columns, &rows[other], &rules)).filter(|&similarity| similarity > 0.0).collect();
                want.sort_by(|a, b| b.total_cmp(a));
                want.truncate(keep);
                let (others, similarities) = near.of(row);
                prop_assert_eq!(others.len(), want.len());
                for (at, (&other, &similarity)) in others.iter().zip(similarities).enumerate() {
                    let similarity = f64::from(similarity);
                    prop_assert!((similarity - twin(&rows, columns, &rows[other as usize], &rules)).abs() < 1e-6 * (1.0 + similarity));
                    prop_assert!((similarity - want[at]).abs() < 1e-6 * (1.0 + similarity));
                }
            }
        }
    }

    #[test]
    fn known_ratios() {
        // Rows {0, 1, 2} and {0, 3}: one of four columns in common; a third row holds none of them.
        let rows = Csr::from_triples(
            3,
            5,
            &[(0, 0, 1.0), (0, 1, 1.0), (0, 2, 1.0), (1, 0, 1.0), (1, 3, 1.0), (2, 4, 1.0)],
        )
        .unwrap();
        let with = |ratio| {
            let rules = Rules { ratio, column_exponent: 0.0, shrinkage: 0.0, keep: 9 };
            Overlap::new(&rows, rules).all_pairs(&rows, || false).unwrap()
        };
        let jaccard = with(Ratio::Tversky { own: 1.0, other: 1.0 });
        assert_eq!((jaccard.of(0), jaccard.of(2).0.len()), ((&[1][..], &[0.25][..]), 0));
        assert_eq!(with(Ratio::Tversky { own: 0.5, other: 0.5 }).of(1).1, [0.4]);
        // Towards the larger row and towards the smaller one.
        assert_eq!(with(Ratio::Product { own: 1.0, other: 0.0 }).of(1).1, [0.5]);
        assert_eq!(with(Ratio::Product { own: 0.0, other: 1.0 }).of(1).1, [1.0 / 3.0]);
    }

    #[test]
    fn it_can_be_stopped() {
        let rows = Csr::from_triples(2, 1, &[(0, 0, 1.0), (1, 0, 1.0)]).unwrap();
        let ratio = Ratio::Product { own: 0.5, other: 0.5 };
        let rules = Rules { ratio, column_exponent: 0.0, shrinkage: 0.0, keep: 1 };
        assert!(Overlap::new(&rows, rules).all_pairs(&rows, || true).is_none());
    }
}
