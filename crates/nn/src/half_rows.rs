//! Sums of table rows kept in half precision, for generating a user's factors: half the memory to read is half the time.

use crate::kernel;
use crate::plan::RowLists;
use crate::simd::Simd;

/// Registers of columns that are summed while the rows pass by.
const REGISTERS: usize = 4;

/// Rows ahead that are asked for.
const AHEAD: usize = 6;

/// Columns of a block of a table.
pub const BLOCK: usize = 64;

kernel! {
    /// `out[c] = Σ_i values[i] · A[rows[i]][first + c] + Σ_i B[rows[i]][first + c]`, rows in the given order, for `A` and `B` of
    /// `width` columns. The table holds one block of columns after the other, each a row of [`BLOCK`] numbers of `A` and then as
    /// many of `B` for every row: what is gathered from for one block after the other lies together, and fits the cache where
    /// the table does not. `out`, `first` and `width` must be multiples of [`BLOCK`]. A part of the columns has the same bits as
    /// the whole.
    ///
    /// # Panics
    /// If a row lies outside the table, columns outside its width, or a size is no multiple of [`BLOCK`].
    pub fn sum_valued_rows(
        simd, rows: &[u32], values: &[f32], table: &[u16], width: usize, first: usize, out: &mut [f32],
    ) {
        assert!(width.is_multiple_of(BLOCK) && first.is_multiple_of(BLOCK) && out.len().is_multiple_of(BLOCK));
        assert!(first + out.len() <= width && rows.len() == values.len());
        let n_rows = table.len() / (2 * width).max(1);
        for &row in rows {
            assert!((row as usize) < n_rows, "row {row} of {n_rows}");
        }
        for (at, out) in out.chunks_exact_mut(BLOCK).enumerate() {
            let block = first / BLOCK + at;
            let block = &table[block * n_rows * 2 * BLOCK..(block + 1) * n_rows * 2 * BLOCK];
            for (at, out) in out.chunks_exact_mut(REGISTERS * S::LANES).enumerate() {
                sum_columns(simd, rows, values, block, at * REGISTERS * S::LANES, out);
            }
        }
    }

    /// One block of [`sum_valued_rows`] for many users at once: the table's `block` of columns, and `out` of a row of [`BLOCK`]
    /// sums a user. Entries are users with values. A row is read once for all who have it; the same bits as one user alone whose
    /// rows ascend.
    ///
    /// # Panics
    /// If a row lies outside the block, or a user outside `out`.
    pub fn sum_valued_lists(simd, lists: &RowLists<(u32, f32)>, block: &[u16], out: &mut [f32]) {
        out.fill(0.0);
        for (position, &row) in lists.rows.iter().enumerate() {
            let weights = &block[row as usize * 2 * BLOCK..][..2 * BLOCK];
            if let Some(&next) = lists.rows.get(position + 1) {
                let next = block.as_ptr().wrapping_add(next as usize * 2 * BLOCK);
                for line in 0..2 * BLOCK / 32 {
                    simd.prefetch(next.wrapping_add(32 * line));
                }
            }
            add_to_users(simd, lists.of(position), weights, out);
        }
    }

    /// `out[c] += Σ_i values[i] · A[rows[i]][c]` for a table of `out.len()` columns, a multiple of 64.
    ///
    /// # Panics
    /// If a row lies outside the table, or `out` is of another size.
    pub fn add_weighted_rows(simd, rows: &[u32], values: &[f32], table: &[u16], out: &mut [f32]) {
        let width = out.len();
        assert!(width.is_multiple_of(64));
        for (&row, &value) in rows.iter().zip(values) {
            let from = row as usize * width;
            add_single(simd, value, &table[from..from + width], out);
        }
    }
}

/// The columns of a block from `first` on, [`REGISTERS`] registers of them; rows and columns were checked.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of generating a user")]
fn sum_columns<S: Simd>(simd: S, rows: &[u32], values: &[f32], block: &[u16], first: usize, out: &mut [f32]) {
    debug_assert!(out.len() == REGISTERS * S::LANES && first + out.len() <= BLOCK);
    let mut sums = [simd.splat(0.0); REGISTERS];
    for (at, (&row, &value)) in rows.iter().zip(values).enumerate() {
        let from = block.as_ptr().wrapping_add(row as usize * 2 * BLOCK + first);
        if let Some(&next) = rows.get(at + AHEAD) {
            let next = block.as_ptr().wrapping_add(next as usize * 2 * BLOCK + first);
            // A line of the cache holds 32 numbers.
            for line in 0..(REGISTERS * S::LANES).div_ceil(32) {
                simd.prefetch(next.wrapping_add(32 * line));
                simd.prefetch(next.wrapping_add(BLOCK + 32 * line));
            }
        }
        let value = simd.splat(value);
        for register in 0..REGISTERS {
            // SAFETY: `row` lies in the block, and `first + out.len() <= BLOCK`, half of a row.
            unsafe {
                let at = from.add(register * S::LANES);
                let both = simd.mul_add(value, simd.load_half(at), simd.load_half(at.add(BLOCK)));
                sums[register] = simd.add(sums[register], both);
            }
        }
    }
    for (sum, out) in sums.into_iter().zip(out.chunks_exact_mut(S::LANES)) {
        // SAFETY: `out` holds a register.
        unsafe { simd.store(out.as_mut_ptr(), sum) };
    }
}

/// Adds a row to the sums of all users who have it.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of generating many users")]
fn add_to_users<S: Simd>(simd: S, users: &[(u32, f32)], weights: &[u16], out: &mut [f32]) {
    assert!(weights.len() == 2 * BLOCK);
    for part in (0..BLOCK).step_by(REGISTERS * S::LANES) {
        let (mut a, mut b) = ([simd.splat(0.0); REGISTERS], [simd.splat(0.0); REGISTERS]);
        for register in 0..REGISTERS {
            // SAFETY: `part + REGISTERS · LANES` is at most BLOCK, half of `weights`.
            unsafe {
                let at = weights.as_ptr().add(part + register * S::LANES);
                (a[register], b[register]) = (simd.load_half(at), simd.load_half(at.add(BLOCK)));
            }
        }
        for &(user, value) in users {
            let value = simd.splat(value);
            let sums = out[user as usize * BLOCK..][..BLOCK].as_mut_ptr();
            for register in 0..REGISTERS {
                // SAFETY: as above, for `sums` of BLOCK numbers.
                unsafe {
                    let at = sums.add(part + register * S::LANES);
                    let both = simd.mul_add(value, a[register], b[register]);
                    simd.store(at, simd.add(simd.load(at), both));
                }
            }
        }
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of generating a user")]
fn add_single<S: Simd>(simd: S, value: f32, weights: &[u16], out: &mut [f32]) {
    let width = out.len();
    assert!(weights.len() == width && width.is_multiple_of(S::LANES));
    let value = simd.splat(value);
    let mut at = 0;
    while at < width {
        // SAFETY: `at + LANES <= width`, a multiple of LANES, which both hold.
        unsafe {
            let sum = simd.load(out.as_ptr().add(at));
            let sum = simd.mul_add(value, simd.load_half(weights.as_ptr().add(at)), sum);
            simd.store(out.as_mut_ptr().add(at), sum);
        }
        at += S::LANES;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{f32_to_half, half_to_f32};

    #[test]
    fn sums_equal_their_naive_twin() {
        let width = 128;
        let table: Vec<u16> =
            (0..5 * 2 * width).map(|at| f32_to_half((at % 37) as f32 / 37.0 - 0.5)).collect();
        let at = |row: usize, column: usize| half_to_f32(table[row * 2 * width + column]);
        // The same numbers, a block after the other.
        let blocks: Vec<u16> = (0..width / BLOCK)
            .flat_map(|block| {
                (0..5).flat_map(move |row| [0, width].map(|of| row * 2 * width + of + block * BLOCK))
            })
            .flat_map(|from| table[from..from + BLOCK].to_vec())
            .collect();
        for rows in [vec![], vec![3], vec![0, 4, 2, 1]] {
            let values: Vec<f32> = rows.iter().map(|&row: &u32| row as f32 - 1.3).collect();
            let mut out = vec![7.0; width];
            sum_valued_rows(&rows, &values, &blocks, width, 0, &mut out);
            let mut part = vec![7.0; 64];
            sum_valued_rows(&rows, &values, &blocks, width, 64, &mut part);
            assert_eq!(part, out[64..]);
            let mut sorted = rows.clone();
            sorted.sort_unstable();
            let pairs: Vec<(u32, f32)> = sorted.iter().map(|&row| (row, row as f32 - 1.3)).collect();
            let (ascending, of_them): (Vec<u32>, Vec<f32>) = pairs.iter().copied().unzip();
            sum_valued_rows(&ascending, &of_them, &blocks, width, 64, &mut part);
            // A user without rows, and one with these.
            let lists = RowLists::group(&mut [0; 5], |add| {
                pairs.iter().for_each(|&(row, value)| add(row, (1, value)));
            });
            let mut many = vec![7.0; 2 * BLOCK];
            sum_valued_lists(&lists, &blocks[5 * 2 * BLOCK..], &mut many);
            assert_eq!(many[..BLOCK], [0.0; BLOCK]);
            assert_eq!(many[BLOCK..], part);
            let mut single = vec![1.0; 2 * width];
            add_weighted_rows(&rows, &values, &table, &mut single);
            for column in 0..2 * width {
                let terms = rows.iter().zip(&values);
                let naive: f32 = terms.clone().map(|(&row, &value)| value * at(row as usize, column)).sum();
                assert!((single[column] - 1.0 - naive).abs() < 1e-5);
                if column < width {
                    let indicators: f32 = terms.map(|(&row, _)| at(row as usize, width + column)).sum();
                    assert!((out[column] - naive - indicators).abs() < 1e-5);
                }
            }
        }
    }
}
