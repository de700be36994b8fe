//! Sums of table rows kept in half precision, for generating a user's factors: half the memory to read is half the time.

use crate::kernel;
use crate::simd::Simd;

kernel! {
    /// `out[c] = Σ_i values[i] · A[rows[i]][c] + B[rows[i]][c]`, row after row in the given order. The table has
    /// `2 · out.len()` columns, those of `A` and then those of `B`; `out` must be a multiple of 64.
    ///
    /// # Panics
    /// If a row lies outside the table, or `out` is of another size.
    pub fn sum_valued_rows(simd, rows: &[u32], values: &[f32], table: &[u16], out: &mut [f32]) {
        let width = out.len();
        assert!(width.is_multiple_of(64));
        out.fill(0.0);
        for (&row, &value) in rows.iter().zip(values) {
            let from = row as usize * 2 * width;
            add_row(simd, value, &table[from..from + 2 * width], out);
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

#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of generating a user")]
fn add_row<S: Simd>(simd: S, value: f32, weights: &[u16], out: &mut [f32]) {
    let width = out.len();
    assert!(weights.len() == 2 * width && width.is_multiple_of(S::LANES));
    let value = simd.splat(value);
    let mut at = 0;
    while at < width {
        // SAFETY: `at + LANES <= width`, a multiple of LANES; `weights` holds twice that.
        unsafe {
            let sum = simd.load(out.as_ptr().add(at));
            let sum = simd.mul_add(value, simd.load_half(weights.as_ptr().add(at)), sum);
            let sum = simd.add(sum, simd.load_half(weights.as_ptr().add(width + at)));
            simd.store(out.as_mut_ptr().add(at), sum);
        }
        at += S::LANES;
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
            sum_valued_rows(&rows, &values, &table, &mut out);
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
