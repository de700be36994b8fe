//! Sums of table rows kept in half precision, for generating a user's factors: half the memory to read is half the time.

use crate::kernel;
use crate::simd::Simd;

/// Registers of columns that are summed while the rows pass by.
const REGISTERS: usize = 4;

/// Rows ahead that are asked for.
const AHEAD: usize = 6;

kernel! {
    /// `out[c] = Σ_i values[i] · A[rows[i]][first + c] + Σ_i B[rows[i]][first + c]`, rows in the given order. The table has
    /// `2 · width` columns, those of `A` and then those of `B`; `out`, `first` and `width` must be multiples of 64. A part of the
    /// columns has the same bits as the whole.
    ///
    /// # Panics
    /// If a row lies outside the table, columns outside its width, or a size is no multiple of 64.
    pub fn sum_valued_rows(
        simd, rows: &[u32], values: &[f32], table: &[u16], width: usize, first: usize, out: &mut [f32],
    ) {
        assert!(width.is_multiple_of(64) && first.is_multiple_of(64) && out.len().is_multiple_of(64));
        assert!(first + out.len() <= width && rows.len() == values.len());
        let n_rows = table.len() / (2 * width).max(1);
        for &row in rows {
            assert!((row as usize) < n_rows, "row {row} of {n_rows}");
        }
        for (at, out) in out.chunks_exact_mut(REGISTERS * S::LANES).enumerate() {
            sum_columns(simd, rows, values, table, width, first + at * REGISTERS * S::LANES, out);
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

/// The columns from `first` on, [`REGISTERS`] registers of them; rows and columns were checked.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of generating a user")]
fn sum_columns<S: Simd>(
    simd: S,
    rows: &[u32],
    values: &[f32],
    table: &[u16],
    width: usize,
    first: usize,
    out: &mut [f32],
) {
    debug_assert!(out.len() == REGISTERS * S::LANES && first + out.len() <= width);
    // Two sums for each column, so that an addition need not wait for the one before it.
    let mut of_values = [simd.splat(0.0); REGISTERS];
    let mut of_rows = [simd.splat(0.0); REGISTERS];
    for (at, (&row, &value)) in rows.iter().zip(values).enumerate() {
        let from = table.as_ptr().wrapping_add(row as usize * 2 * width + first);
        if let Some(&next) = rows.get(at + AHEAD) {
            let next = table.as_ptr().wrapping_add(next as usize * 2 * width + first);
            // A line of the cache holds 32 numbers.
            for line in 0..(REGISTERS * S::LANES).div_ceil(32) {
                simd.prefetch(next.wrapping_add(32 * line));
                simd.prefetch(next.wrapping_add(width + 32 * line));
            }
        }
        let value = simd.splat(value);
        for register in 0..REGISTERS {
            // SAFETY: `row` lies in the table, and `first + out.len() <= width`, half of a row.
            unsafe {
                let at = from.add(register * S::LANES);
                of_values[register] = simd.mul_add(value, simd.load_half(at), of_values[register]);
                of_rows[register] = simd.add(of_rows[register], simd.load_half(at.add(width)));
            }
        }
    }
    for (register, out) in out.chunks_exact_mut(S::LANES).enumerate() {
        // SAFETY: `out` holds a register.
        unsafe { simd.store(out.as_mut_ptr(), simd.add(of_values[register], of_rows[register])) };
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
        for rows in [vec![], vec![3], vec![0, 4, 2, 1]] {
            let values: Vec<f32> = rows.iter().map(|&row: &u32| row as f32 - 1.3).collect();
            let mut out = vec![7.0; width];
            sum_valued_rows(&rows, &values, &table, width, 0, &mut out);
            let mut part = vec![7.0; 64];
            sum_valued_rows(&rows, &values, &table, width, 64, &mut part);
            assert_eq!(part, out[64..]);
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
