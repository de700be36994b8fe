//! Batches turned item by item, and when each row is needed next.
//!
//! Training visits a batch row by row: the weights of a rated item are loaded once and used for every user of the batch who
//! rated it. [`RowLists`] is that transposed form of a batch. [`plan_skips`] looks ahead over the batches of a segment and tells
//! for each touched row how many steps pass until it is touched again, so that [`crate::adam`] can take those steps at once.

/// A batch of sparse user rows by table row: for each distinct row of a table, in ascending order, the users that have it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowLists<E> {
    /// Distinct rows, ascending.
    pub rows: Vec<u32>,
    /// `rows.len() + 1` positions in `entries`.
    pub starts: Vec<u32>,
    /// Entries of each row, in the order of users.
    pub entries: Vec<E>,
    /// For each of `rows`, the steps that pass without it after this batch's step. Filled by [`plan_skips`].
    pub skipped: Vec<u32>,
}

impl<E: Copy + Default> RowLists<E> {
    /// Groups entries by row. `counts` is scratch of one zero for each row of the table, and is left as zeros.
    ///
    /// `visit` is called twice and must hand the same `(row, entry)` pairs to its argument both times.
    ///
    /// # Panics
    /// If a row lies beyond `counts`.
    pub fn group(counts: &mut [u32], visit: impl Fn(&mut dyn FnMut(u32, E))) -> Self {
        let mut n_entries = 0u32;
        visit(&mut |row, _| {
            counts[row as usize] += 1;
            n_entries += 1;
        });
        let (mut rows, mut starts) = (Vec::new(), vec![0u32]);
        let mut total = 0;
        for (row, count) in counts.iter_mut().enumerate() {
            if *count > 0 {
                rows.push(row as u32);
                // From here on the count is the place of the row's next entry.
                let first = total;
                total += *count;
                *count = first;
                starts.push(total);
            }
        }
        let mut entries = vec![E::default(); n_entries as usize];
        visit(&mut |row, entry| {
            let place = &mut counts[row as usize];
            entries[*place as usize] = entry;
            *place += 1;
        });
        for &row in &rows {
            counts[row as usize] = 0;
        }
        let skipped = vec![0; rows.len()];
        Self { rows, starts, entries, skipped }
    }

    /// Entries of the row at a position of `rows`.
    #[must_use]
    pub fn of(&self, position: usize) -> &[E] {
        &self.entries[self.starts[position] as usize..self.starts[position + 1] as usize]
    }

    /// Positions in `rows` of the table rows `range`.
    #[must_use]
    pub fn within(&self, range: std::ops::Range<u32>) -> std::ops::Range<usize> {
        self.rows.partition_point(|&row| row < range.start)..self.rows.partition_point(|&row| row < range.end)
    }
}

/// Fills [`RowLists::skipped`] for the batches of a segment, one step each, and returns for each of `n_rows` rows the steps that
/// pass before it is first touched. After the last step all rows have taken every step of the segment.
pub fn plan_skips<'a, E: 'a>(
    n_rows: usize,
    batches: impl DoubleEndedIterator<Item = &'a mut RowLists<E>> + ExactSizeIterator,
) -> Vec<u32> {
    let mut next = vec![batches.len() as u32; n_rows];
    for (at, batch) in batches.enumerate().rev() {
        for (&row, skipped) in batch.rows.iter().zip(&mut batch.skipped) {
            *skipped = next[row as usize] - at as u32 - 1;
            next[row as usize] = at as u32;
        }
    }
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_entry_is_found_under_its_row(
            pairs in proptest::collection::vec((0u32..9, 1u32..1000), 0..50),
        ) {
            let mut counts = vec![0; 9];
            let lists = RowLists::group(&mut counts, |add| pairs.iter().for_each(|&(row, entry)| add(row, entry)));
            prop_assert!(counts.iter().all(|&count| count == 0));
            prop_assert!(lists.rows.windows(2).all(|pair| pair[0] < pair[1]));
            let mut found = Vec::new();
            for (position, &row) in lists.rows.iter().enumerate() {
                prop_assert!(!lists.of(position).is_empty());
                found.extend(lists.of(position).iter().map(|&entry| (row, entry)));
            }
            let mut expected = pairs;
            // A stable sort: within a row the order of arrival stays.
            expected.sort_by_key(|&(row, _)| row);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(lists.within(3..6).len(), lists.rows.iter().filter(|&&row| (3..6).contains(&row)).count());
        }

        #[test]
        fn every_row_takes_every_step(
            batches in proptest::collection::vec(proptest::collection::btree_set(0u32..6, 0..6), 1..8),
        ) {
            let mut lists: Vec<RowLists<u32>> = batches
                .iter()
                .map(|rows| RowLists::group(&mut [0; 6], |add| rows.iter().for_each(|&row| add(row, 1))))
                .collect();
            let mut done = plan_skips(6, lists.iter_mut());
            for (at, batch) in lists.iter().enumerate() {
                for (&row, &skipped) in batch.rows.iter().zip(&batch.skipped) {
                    prop_assert_eq!(done[row as usize], at as u32);
                    done[row as usize] += 1 + skipped;
                }
            }
            prop_assert!(done.iter().all(|&done| done as usize == batches.len()));
        }
    }
}
