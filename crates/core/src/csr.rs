//! Sparse matrices by row: the shape of every history.

use crate::error::DataError;

/// A sparse `[n_rows × n_cols]` matrix of `f32`, stored row after row; columns ascend within a row.
///
/// # Example
/// ```
/// use foldin_core::Csr;
/// let csr = Csr::from_triples(2, 3, &[(1, 2, 4.0), (0, 1, 5.0), (1, 0, 3.0)])?;
/// assert_eq!(csr.row(1), (&[0, 2][..], &[3.0, 4.0][..]));
/// assert_eq!(csr.transpose().row(2), (&[1][..], &[4.0][..]));
/// # Ok::<(), foldin_core::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Csr {
    n_cols: usize,
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl Csr {
    /// A matrix without entries.
    #[must_use]
    pub fn empty(n_rows: usize, n_cols: usize) -> Self {
        Self { n_cols, offsets: vec![0; n_rows + 1], columns: Vec::new(), values: Vec::new() }
    }

    /// Takes the three arrays of a compressed row matrix as they are.
    ///
    /// # Errors
    /// [`DataError::Shape`] if the lengths disagree or offsets descend, [`DataError::ColumnOutOfRange`] for a column
    /// ≥ `n_cols`, [`DataError::Duplicate`] if columns do not strictly ascend within a row.
    pub fn from_parts(
        n_cols: usize,
        offsets: Vec<usize>,
        columns: Vec<u32>,
        values: Vec<f32>,
    ) -> Result<Self, DataError> {
        let shape = |what, expected, got| DataError::Shape { what, expected, got };
        if offsets.first() != Some(&0) {
            return Err(shape("first row offset", 0, offsets.first().copied().unwrap_or(usize::MAX)));
        }
        if offsets.last() != Some(&columns.len()) {
            return Err(shape("last row offset", columns.len(), offsets.last().copied().unwrap_or(0)));
        }
        if columns.len() != values.len() {
            return Err(shape("number of values", columns.len(), values.len()));
        }
        for (row, pair) in offsets.windows(2).enumerate() {
            if pair[1] < pair[0] || pair[1] > columns.len() {
                return Err(shape("row offset", pair[0], pair[1]));
            }
            for at in pair[0]..pair[1] {
                if columns[at] as usize >= n_cols {
                    return Err(DataError::ColumnOutOfRange { row, column: columns[at], n_cols });
                }
                if at > pair[0] && columns[at] <= columns[at - 1] {
                    return Err(DataError::Duplicate { row, column: columns[at] });
                }
            }
        }
        Ok(Self { n_cols, offsets, columns, values })
    }

    /// Sorts `(row, column, value)` triples into rows.
    ///
    /// # Errors
    /// [`DataError::RowOutOfRange`], [`DataError::ColumnOutOfRange`], or [`DataError::Duplicate`] if a cell appears twice.
    pub fn from_triples(
        n_rows: usize,
        n_cols: usize,
        triples: &[(u32, u32, f32)],
    ) -> Result<Self, DataError> {
        let mut offsets = vec![0usize; n_rows + 1];
        for &(row, _, _) in triples {
            let slot = offsets.get_mut(row as usize + 1).ok_or(DataError::RowOutOfRange { row, n_rows })?;
            *slot += 1;
        }
        for row in 0..n_rows {
            offsets[row + 1] += offsets[row];
        }
        let mut next = offsets.clone();
        let mut columns = vec![0u32; triples.len()];
        let mut values = vec![0f32; triples.len()];
        for &(row, column, value) in triples {
            let at = next[row as usize];
            columns[at] = column;
            values[at] = value;
            next[row as usize] += 1;
        }
        let mut order: Vec<(u32, f32)> = Vec::new();
        for row in 0..n_rows {
            let range = offsets[row]..offsets[row + 1];
            if columns[range.clone()].windows(2).all(|pair| pair[0] < pair[1]) {
                continue;
            }
            order.clear();
            order.extend(columns[range.clone()].iter().copied().zip(values[range.clone()].iter().copied()));
            order.sort_by_key(|&(column, _)| column);
            for (at, &(column, value)) in range.zip(&order) {
                columns[at] = column;
                values[at] = value;
            }
        }
        Self::from_parts(n_cols, offsets, columns, values)
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Number of columns.
    #[must_use]
    pub fn n_cols(&self) -> usize {
        self.n_cols
    }

    /// Number of entries.
    #[must_use]
    pub fn n_entries(&self) -> usize {
        self.columns.len()
    }

    /// Columns (ascending) and values of a row.
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn row(&self, row: usize) -> (&[u32], &[f32]) {
        let range = self.range(row);
        (&self.columns[range.clone()], &self.values[range])
    }

    /// Number of entries of a row.
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn row_len(&self, row: usize) -> usize {
        self.offsets[row + 1] - self.offsets[row]
    }

    /// Positions of a row's entries in [`Csr::columns`] and [`Csr::values`].
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        self.offsets[row]..self.offsets[row + 1]
    }

    /// Row offsets, `n_rows + 1` of them.
    #[must_use]
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// All columns, row after row.
    #[must_use]
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// All values, row after row.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All entries as `(row, column, value)`, row after row.
    pub fn triples(&self) -> impl Iterator<Item = (u32, u32, f32)> + '_ {
        (0..self.n_rows()).flat_map(move |row| {
            let (columns, values) = self.row(row);
            columns.iter().zip(values).map(move |(&column, &value)| (row as u32, column, value))
        })
    }

    /// The same matrix by column, in O(entries + columns).
    #[must_use]
    pub fn transpose(&self) -> Self {
        let mut offsets = vec![0usize; self.n_cols + 1];
        for &column in &self.columns {
            offsets[column as usize + 1] += 1;
        }
        for column in 0..self.n_cols {
            offsets[column + 1] += offsets[column];
        }
        let mut next = offsets.clone();
        let mut columns = vec![0u32; self.columns.len()];
        let mut values = vec![0f32; self.columns.len()];
        for (row, column, value) in self.triples() {
            let at = next[column as usize];
            columns[at] = row;
            values[at] = value;
            next[column as usize] += 1;
        }
        Self { n_cols: self.n_rows(), offsets, columns, values }
    }

    /// The same entries with the values that `values` makes of each row's columns and values.
    ///
    /// # Panics
    /// If `values` gives a row another number of entries.
    #[must_use]
    pub fn map_rows(&self, mut values: impl FnMut(&[u32], &[f32]) -> Vec<f32>) -> Self {
        let mut out = Self {
            n_cols: self.n_cols,
            offsets: self.offsets.clone(),
            columns: self.columns.clone(),
            values: Vec::with_capacity(self.n_entries()),
        };
        for row in 0..self.n_rows() {
            let (columns, old) = self.row(row);
            let new = values(columns, old);
            assert_eq!(new.len(), old.len(), "one value an entry");
            out.values.extend(new);
        }
        out
    }

    /// The entries for which `keep` is true, by position; the shape stays.
    ///
    /// # Panics
    /// If `keep` has not one element an entry.
    #[must_use]
    pub fn filter_entries(&self, keep: &[bool]) -> Self {
        assert_eq!(keep.len(), self.n_entries(), "one decision an entry");
        let mut out = Self::empty(0, self.n_cols);
        out.offsets.reserve(self.n_rows());
        for row in 0..self.n_rows() {
            for at in self.range(row) {
                if keep[at] {
                    out.columns.push(self.columns[at]);
                    out.values.push(self.values[at]);
                }
            }
            out.offsets.push(out.columns.len());
        }
        out
    }

    /// The given rows, in the given order, as a new matrix.
    ///
    /// # Panics
    /// If a row is out of range.
    #[must_use]
    pub fn select_rows(&self, rows: &[u32]) -> Self {
        let mut out = Self::empty(0, self.n_cols);
        for &row in rows {
            let (columns, values) = self.row(row as usize);
            out.columns.extend_from_slice(columns);
            out.values.extend_from_slice(values);
            out.offsets.push(out.columns.len());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cells() -> impl Strategy<Value = Vec<(u32, u32, f32)>> {
        proptest::collection::btree_map((0u32..9, 0u32..7), -5.0f32..5.0, 0..40)
            .prop_map(|cells| cells.into_iter().map(|((row, column), value)| (row, column, value)).collect())
    }

    proptest! {
        #[test]
        fn transposing_twice_gives_the_matrix_back(cells in cells()) {
            let csr = Csr::from_triples(9, 7, &cells).unwrap();
            prop_assert_eq!(csr.transpose().transpose(), csr);
        }

        #[test]
        fn the_order_of_triples_does_not_matter(cells in cells()) {
            let reversed: Vec<_> = cells.iter().rev().copied().collect();
            let csr = Csr::from_triples(9, 7, &cells).unwrap();
            prop_assert_eq!(&Csr::from_triples(9, 7, &reversed).unwrap(), &csr);
            prop_assert_eq!(csr.triples().collect::<Vec<_>>(), cells);
        }
    }

    #[test]
    fn bad_cells_are_named() {
        assert_eq!(
            Csr::from_triples(2, 2, &[(2, 0, 1.0)]),
            Err(DataError::RowOutOfRange { row: 2, n_rows: 2 })
        );
        assert_eq!(
            Csr::from_triples(2, 2, &[(1, 5, 1.0)]),
            Err(DataError::ColumnOutOfRange { row: 1, column: 5, n_cols: 2 })
        );
        assert_eq!(
            Csr::from_triples(2, 2, &[(1, 1, 1.0), (1, 1, 2.0)]),
            Err(DataError::Duplicate { row: 1, column: 1 })
        );
    }

    #[test]
    fn mapping_keeps_the_structure() {
        let csr = Csr::from_triples(2, 3, &[(0, 2, 1.0), (1, 0, 2.0)]).unwrap();
        let mapped = csr.map_rows(|columns, values| {
            columns.iter().zip(values).map(|(&column, value)| value + column as f32).collect()
        });
        assert_eq!(mapped.triples().collect::<Vec<_>>(), [(0, 2, 3.0), (1, 0, 2.0)]);
    }

    #[test]
    fn filtering_keeps_the_shape() {
        let csr = Csr::from_triples(3, 2, &[(0, 0, 1.0), (2, 0, 2.0), (2, 1, 3.0)]).unwrap();
        let kept = csr.filter_entries(&[false, true, false]);
        assert_eq!((kept.n_rows(), kept.n_cols(), kept.n_entries()), (3, 2, 1));
        assert_eq!(kept.row(2), (&[0][..], &[2.0][..]));
    }
}
