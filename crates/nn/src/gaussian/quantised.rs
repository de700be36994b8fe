//! Rows of eight-bit numbers, summed exactly.
//!
//! Serving a user sums one large row (the packed covariance of an item's factors) for each rated item, and what that costs
//! is reading memory. Each column is scaled by its largest value to −127 … 127, a quarter of `f32`'s memory. Sums of
//! whole numbers are exact in any order.

use crate::aligned::Aligned;
use crate::kernel;

/// Columns are padded to whole lines of the cache.
const LINE: usize = 64;

/// Rows whose sum fits in sixteen bits.
const ROWS_IN_16_BITS: usize = 256;

/// A matrix `[n × len]` of which column `j` holds multiples of `scales[j]`, from −127 to 127.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantisedRows {
    len: usize,
    width: usize,
    scales: Vec<f32>,
    data: Aligned<i8>,
}

impl QuantisedRows {
    /// Rounds each number to the nearest multiple of its column's scale, the largest absolute value over 127.
    ///
    /// # Panics
    /// If `values` are not whole rows of `len`.
    #[must_use]
    pub fn new(values: &[f32], len: usize) -> Self {
        let mut scales = vec![0f32; len];
        for row in values.chunks_exact(len.max(1)) {
            scales.iter_mut().zip(row).for_each(|(scale, x)| *scale = scale.max(x.abs()));
        }
        scales.iter_mut().for_each(|scale| *scale /= 127.0);
        Self::with_scales(values, scales)
    }

    /// As [`QuantisedRows::new`] with given scales; gives back the same numbers when given what [`QuantisedRows::values`] and
    /// [`QuantisedRows::scales`] said.
    ///
    /// # Panics
    /// If `values` are not whole rows of as many numbers as there are scales.
    #[must_use]
    pub fn with_scales(values: &[f32], scales: Vec<f32>) -> Self {
        let len = scales.len();
        let width = len.next_multiple_of(LINE);
        assert!(len > 0 && values.len().is_multiple_of(len), "whole rows of {len}");
        let mut data = Aligned::zeros(values.len() / len * width);
        for (row, out) in values.chunks_exact(len).zip(data.chunks_exact_mut(width)) {
            for ((out, &x), &scale) in out.iter_mut().zip(row).zip(&scales) {
                *out = if scale > 0.0 { (x / scale).round().clamp(-127.0, 127.0) as i8 } else { 0 };
            }
        }
        Self { len, width, scales, data }
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.data.len() / self.width
    }

    /// `[len]`: the unit of each column.
    #[must_use]
    pub fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// `[n × len]`: all numbers in their units.
    #[must_use]
    pub fn values(&self) -> Vec<f32> {
        (0..self.n_rows()).flat_map(|row| self.row(row)).collect()
    }

    /// The numbers of one row.
    ///
    /// # Panics
    /// If `row` is out of range.
    pub fn row(&self, row: usize) -> impl Iterator<Item = f32> + '_ {
        let row = &self.data[row * self.width..][..self.len];
        row.iter().zip(&self.scales).map(|(&x, &scale)| f32::from(x) * scale)
    }

    /// Scalar product of a row with `weights`, of which each was multiplied by its column's scale.
    ///
    /// # Panics
    /// If `row` is out of range or there are not as many weights as columns.
    #[must_use]
    pub fn dot(&self, row: usize, weights: &[f32]) -> f32 {
        assert_eq!(weights.len(), self.len, "one weight a column");
        weigh(&self.data[row * self.width..][..self.len], weights)
    }

    /// Length of the sums of one list: `len` rounded up.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// `out += sums · scales` for the columns from `first` on, given the sums of one list.
    ///
    /// # Panics
    /// If there are not so many columns.
    pub fn add_scaled(&self, sums: &[i32], first: usize, out: &mut [f32]) {
        let columns = first..first + out.len();
        add_scaled(&sums[columns.clone()], &self.scales[columns], 1.0, out);
    }

    /// As [`QuantisedRows::add_scaled`], but subtracts.
    ///
    /// # Panics
    /// If there are not so many columns.
    pub fn subtract_scaled(&self, sums: &[i32], first: usize, out: &mut [f32]) {
        let columns = first..first + out.len();
        add_scaled(&sums[columns.clone()], &self.scales[columns], -1.0, out);
    }

    /// The sum of the given rows in units of the scales, in `out`, `[width]`.
    ///
    /// # Panics
    /// If a row is out of range or `out` has another length.
    pub fn sum(&self, rows: &[u32], out: &mut [i32]) {
        assert_eq!(out.len(), self.width, "one sum a column");
        out.fill(0);
        let mut partial = vec![0i16; self.width];
        for rows in rows.chunks(ROWS_IN_16_BITS) {
            sum_rows(&self.data, self.width, rows, &mut partial);
            for (out, &partial) in out.iter_mut().zip(&partial) {
                *out += i32::from(partial);
            }
        }
    }
}

kernel! {
    fn add_scaled(simd, sums: &[i32], scales: &[f32], sign: f32, out: &mut [f32]) {
        for ((out, &sum), &scale) in out.iter_mut().zip(sums).zip(scales) {
            *out = simd.fma(sign * scale, sum as f32, *out);
        }
    }

    fn weigh(simd, row: &[i8], weights: &[f32]) -> f32 {
        let mut sums = [0f32; 32];
        let (rows, all) = (row.chunks_exact(32), weights.chunks_exact(32));
        let rest = rows.remainder().iter().zip(all.remainder());
        let mut sum: f32 = 0.0;
        for (&x, &weight) in rest {
            sum = simd.fma(f32::from(x), weight, sum);
        }
        for (row, weights) in rows.zip(all) {
            for at in 0..32 {
                sums[at] = simd.fma(f32::from(row[at]), weights[at], sums[at]);
            }
        }
        sum + sums.iter().sum::<f32>()
    }

    fn sum_rows(simd, data: &[i8], width: usize, rows: &[u32], out: &mut [i16]) {
        let len = out.len();
        out.fill(0);
        let row = |at: u32| &data[at as usize * width..][..len];
        let fours = rows.chunks_exact(4);
        for &at in fours.remainder() {
            for (out, &x) in out.iter_mut().zip(row(at)) {
                *out += i16::from(x);
            }
        }
        let mut ahead = rows.chunks_exact(4).skip(1);
        for four in fours {
            for &at in ahead.next().unwrap_or_default() {
                for line in row(at).chunks(LINE) {
                    simd.prefetch(line.as_ptr());
                }
            }
            let (a, b, c, d) = (row(four[0]), row(four[1]), row(four[2]), row(four[3]));
            for at in 0..len {
                let (low, high) = (i16::from(a[at]) + i16::from(b[at]), i16::from(c[at]) + i16::from(d[at]));
                out[at] += low + high;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    #[test]
    fn sums_are_exact() {
        let (n, len) = (40, 300);
        let mut random = Random::new(5);
        let values: Vec<f32> =
            (0..n * len).map(|at| if at % len == 7 { 0.0 } else { random.normal() as f32 }).collect();
        let rows = QuantisedRows::new(&values, len);
        for count in [0, 1, 3, 4, 33, 700] {
            let list: Vec<u32> = (0..count).map(|_| random.below(n) as u32).collect();
            let mut sums = vec![7; rows.width()];
            rows.sum(&list, &mut sums);
            for column in 0..len {
                let want: f64 = list.iter().map(|&row| f64::from(values[row as usize * len + column])).sum();
                let got = f64::from(sums[column]) * f64::from(rows.scales()[column]);
                // Half a unit a row.
                assert!((got - want).abs() <= 0.501 * f64::from(rows.scales()[column]) * list.len() as f64);
            }
        }
    }

    #[test]
    fn a_weighted_sum_is_that_of_the_numbers() {
        let mut random = Random::new(7);
        for len in [1, 31, 32, 33, 496] {
            let values: Vec<f32> = (0..3 * len).map(|_| random.normal() as f32).collect();
            let rows = QuantisedRows::new(&values, len);
            let weights: Vec<f32> = (0..len).map(|_| random.normal() as f32).collect();
            let scaled: Vec<f32> = weights.iter().zip(rows.scales()).map(|(w, scale)| w * scale).collect();
            for row in 0..3 {
                let naive: f64 = rows.row(row).zip(&weights).map(|(x, &w)| f64::from(x) * f64::from(w)).sum();
                assert!((f64::from(rows.dot(row, &scaled)) - naive).abs() < 1e-4, "{len}");
            }
        }
    }

    #[test]
    fn values_and_scales_give_the_same_rows_back() {
        let mut random = Random::new(6);
        let values: Vec<f32> = (0..50 * 21).map(|_| random.normal() as f32).collect();
        let rows = QuantisedRows::new(&values, 21);
        assert_eq!(QuantisedRows::with_scales(&rows.values(), rows.scales().to_vec()), rows);
    }
}
