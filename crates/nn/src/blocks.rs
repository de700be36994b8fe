//! Products of sparse matrices with tall dense ones, a block of columns at a time.
//!
//! A dense matrix `[n × width]` is kept here as blocks of [`BLOCK`] columns, each `[n × BLOCK]` row-major ([`Blocks`]). A table that
//! rows are gathered from is read in half precision (IEEE binary16, to nearest, times a power of two that brings the largest number of a
//! block near the end of its range, so that small gradients keep their digits), rounded a block at a time as its turn comes: a block of a table of some thousand rows then stays in the cache next to the core, and
//! gathering its rows in the order of a sparse matrix costs arithmetic and not memory. Sums are of `f32`. Two products are all
//! that an autoencoder over ratings needs:
//!
//! * [`sums`]: `out = A·T` for sparse `A`: `2·entries·width` operations, each entry reading one row of `T`;
//! * [`dots`]: `e_rc = X_r·T_c` at the entries of a sparse pattern and nowhere else, as many operations.
//!
//! Tasks own rows, so results have the same bits at any number of threads.
//!
//! ```
//! use foldin_core::Csr;
//! use foldin_nn::blocks::{Blocks, dots, sums};
//! let a = Csr::from_triples(2, 3, &[(0, 0, 1.0), (0, 2, 2.0), (1, 1, 3.0)])?;
//! let table = Blocks::from_rows(3, 1, &[1.0, 10.0, 100.0]);
//! let mut out = Blocks::zeros(2, 1);
//! sums(&a, a.values(), table.view(), &mut out);
//! assert_eq!((out.get(0, 0), out.get(1, 0)), (201.0, 30.0));
//! let mut e = vec![0.0; 3];
//! dots(&a, out.view(), table.view(), &mut e);
//! assert_eq!(e, [201.0, 20_100.0, 300.0]);
//! # Ok::<(), foldin_core::DataError>(())
//! ```

use foldin_core::Csr;
use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::kernel;
use crate::simd::Simd;

/// Columns of a block.
pub const BLOCK: usize = 64;

/// Registers of a part of a block: with AVX-512 four are a whole block.
const REGISTERS: usize = 4;

/// Entries of a sparse matrix that one task works on, about.
const ENTRIES_AT_ONCE: usize = 16_384;

/// A dense matrix in blocks of columns, the last padded with zeros.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Blocks {
    n: usize,
    width: usize,
    data: Aligned<f32>,
}

impl Blocks {
    /// A matrix of zeros.
    #[must_use]
    pub fn zeros(n: usize, width: usize) -> Self {
        Self { n, width, data: Aligned::zeros(n * width.next_multiple_of(BLOCK)) }
    }

    /// A matrix given row-major.
    ///
    /// # Panics
    /// If `rows` is not `[n × width]`.
    #[must_use]
    pub fn from_rows(n: usize, width: usize, rows: &[f32]) -> Self {
        assert_eq!(rows.len(), n * width, "{n} × {width}");
        let mut out = Self::zeros(n, width);
        for (row, values) in rows.chunks_exact(width.max(1)).enumerate() {
            for (block, values) in values.chunks(BLOCK).enumerate() {
                let at = (block * n + row) * BLOCK;
                out.data[at..at + values.len()].copy_from_slice(values);
            }
        }
        out
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n
    }

    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Adds a matrix given row-major.
    ///
    /// # Panics
    /// If `rows` is not `[n × width]`.
    pub fn add_rows(&mut self, rows: &[f32]) {
        let (n, width) = (self.n, self.width);
        assert_eq!(rows.len(), n * width, "{n} × {width}");
        self.data.par_chunks_mut((n * BLOCK).max(1)).enumerate().for_each(|(block, out)| {
            let columns = block * BLOCK..((block + 1) * BLOCK).min(width);
            for (row, out) in out.chunks_exact_mut(BLOCK).enumerate() {
                let row = &rows[row * width..][columns.clone()];
                out.iter_mut().zip(row).for_each(|(out, x)| *out += x);
            }
        });
    }

    /// One element.
    ///
    /// # Panics
    /// If it is out of range.
    #[must_use]
    pub fn get(&self, row: usize, column: usize) -> f32 {
        assert!(row < self.n && column < self.width, "{row}, {column}");
        self.data[(column / BLOCK * self.n + row) * BLOCK + column % BLOCK]
    }

    /// All blocks with their padding, `[n_blocks × n × BLOCK]`.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// As [`Blocks::data`], to be changed. Padding must stay zero.
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// All blocks with their padding, taken out.
    #[must_use]
    pub fn into_data(self) -> Aligned<f32> {
        self.data
    }

    /// The matrix, to be read.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View { n: self.n, width: self.width, data: &self.data }
    }
}

/// A matrix in blocks that is kept elsewhere, such as among an optimiser's weights.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    n: usize,
    width: usize,
    data: &'a [f32],
}

impl<'a> View<'a> {
    /// A `[n × width]` matrix laid out as [`Blocks::data`].
    ///
    /// # Panics
    /// If `data` has another length.
    #[must_use]
    pub fn new(n: usize, width: usize, data: &'a [f32]) -> Self {
        assert_eq!(data.len(), n * width.next_multiple_of(BLOCK), "{n} × {width}");
        Self { n, width, data }
    }

    /// The matrix row-major, without padding.
    #[must_use]
    pub fn to_rows(self) -> Vec<f32> {
        let mut out = vec![0.0; self.n * self.width];
        for (row, out) in out.chunks_exact_mut(self.width.max(1)).enumerate() {
            for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                let at = (block * self.n + row) * BLOCK;
                out.copy_from_slice(&self.data[at..at + out.len()]);
            }
        }
        out
    }

    /// The `block`-th block `[n × BLOCK]`.
    fn block(self, block: usize) -> &'a [f32] {
        &self.data[block * self.n * BLOCK..(block + 1) * self.n * BLOCK]
    }
}

/// Numbers that one task rounds.
const ROUNDED_AT_ONCE: usize = 16_384;

/// A block in half precision, and what its numbers were divided by.
fn round(block: &[f32], out: &mut [u16]) -> f32 {
    let parts = block.par_chunks(ROUNDED_AT_ONCE).map(largest);
    let unit = unit_of(parts.reduce(|| 0.0, f32::max));
    let tasks = block.par_chunks(ROUNDED_AT_ONCE).zip(out.par_chunks_mut(ROUNDED_AT_ONCE));
    tasks.for_each(|(block, out)| round_part(block, unit.recip(), out));
    unit
}

/// The power of two that brings a number to between 2¹³ and 2¹⁴; 1 for none, and within what `f32` can be multiplied by and back.
fn unit_of(largest: f32) -> f32 {
    let exponent = (largest.to_bits() >> 23) as i32 - 127;
    if largest > 0.0 && largest.is_finite() { 2f32.powi((exponent - 13).clamp(-100, 100)) } else { 1.0 }
}

/// Ranges of rows of about [`ENTRIES_AT_ONCE`] entries.
fn ranges(pattern: &Csr) -> Vec<std::ops::Range<usize>> {
    let (offsets, mut first, mut out) = (pattern.offsets(), 0, Vec::new());
    for row in 1..=pattern.n_rows() {
        if offsets[row] - offsets[first] >= ENTRIES_AT_ONCE || row == pattern.n_rows() {
            out.push(first..row);
            first = row;
        }
    }
    out
}

/// `out[r] = Σ values[e] · table[c]` over the entries `e = (r, c)` of `pattern`; the values stand beside the entries and need not
/// be those of the matrix.
///
/// # Panics
/// If the shapes disagree.
pub fn sums(pattern: &Csr, values: &[f32], table: View<'_>, out: &mut Blocks) {
    assert_eq!(values.len(), pattern.n_entries(), "a value an entry");
    assert!(out.n == pattern.n_rows() && out.width == table.width, "shape of the product");
    assert_eq!(table.n, pattern.n_cols(), "a row a column");
    if out.data.is_empty() {
        return;
    }
    let ranges = ranges(pattern);
    // One block after the other: what all threads gather from then fits the cache that they share.
    let mut halves = Aligned::zeros(table.n * BLOCK);
    for (block, mut rest) in out.data.chunks_exact_mut(pattern.n_rows() * BLOCK).enumerate() {
        let mut tasks = Vec::with_capacity(ranges.len());
        for range in &ranges {
            let (own, after) = rest.split_at_mut(range.len() * BLOCK);
            tasks.push((range, own));
            rest = after;
        }
        let unit = round(table.block(block), &mut halves);
        tasks.into_par_iter().with_max_len(1).for_each(|(range, out)| {
            let offsets = &pattern.offsets()[range.start..=range.end];
            sum_rows(offsets, pattern.columns(), values, &halves, unit, out);
        });
    }
}

/// `out[e] = rows[r]·table[c]` for the entries `e = (r, c)` of `pattern`. Only the table is rounded.
///
/// # Panics
/// If the shapes disagree.
pub fn dots(pattern: &Csr, rows: View<'_>, table: View<'_>, out: &mut [f32]) {
    assert_eq!(out.len(), pattern.n_entries(), "a number an entry");
    assert!(rows.n == pattern.n_rows() && rows.width == table.width, "shape of the factors");
    assert_eq!(table.n, pattern.n_cols(), "a row a column");
    out.fill(0.0);
    let ranges = ranges(pattern);
    let mut halves = Aligned::zeros(table.n * BLOCK);
    for block in 0..rows.width.div_ceil(BLOCK) {
        let (mut tasks, mut rest) = (Vec::with_capacity(ranges.len()), &mut *out);
        for range in &ranges {
            let entries = pattern.offsets()[range.end] - pattern.offsets()[range.start];
            let (own, after) = rest.split_at_mut(entries);
            tasks.push((range, own));
            rest = after;
        }
        let unit = round(table.block(block), &mut halves);
        tasks.into_par_iter().with_max_len(1).for_each(|(range, out)| {
            let offsets = &pattern.offsets()[range.start..=range.end];
            let rows = &rows.block(block)[range.start * BLOCK..range.end * BLOCK];
            add_dots(offsets, pattern.columns(), rows, &halves, unit, out);
        });
    }
}

kernel! {
    /// The largest size of a number.
    fn largest(_simd, numbers: &[f32]) -> f32 {
        // Sixteen at once, which a compiler turns into registers.
        let mut most = [0f32; 16];
        for numbers in numbers.chunks(16) {
            for (most, number) in most.iter_mut().zip(numbers) {
                let size = number.abs();
                *most = if size > *most { size } else { *most };
            }
        }
        most.into_iter().fold(0.0, f32::max)
    }

    /// Rounds numbers to half precision, times `factor`.
    fn round_part(simd, from: &[f32], factor: f32, out: &mut [u16]) {
        round_numbers(simd, from, factor, out);
    }

    /// The sums of some rows of one block; `offsets` are theirs.
    fn sum_rows(
        simd, offsets: &[usize], columns: &[u32], values: &[f32], table: &[u16], unit: f32, out: &mut [f32],
    ) {
        for (range, out) in offsets.windows(2).zip(out.chunks_exact_mut(BLOCK)) {
            sum_row(simd, &columns[range[0]..range[1]], &values[range[0]..range[1]], table, unit, out);
        }
    }

    /// Adds the inner products of one block for some rows; `offsets` are theirs, `rows` begins with the first of them and `out`
    /// with its first entry.
    fn add_dots(
        simd, offsets: &[usize], columns: &[u32], rows: &[f32], table: &[u16], unit: f32, out: &mut [f32],
    ) {
        let first = offsets[0];
        for (range, row) in offsets.windows(2).zip(rows.chunks_exact(BLOCK)) {
            add_dots_of_row(simd, &columns[range[0]..range[1]], row, table, unit, &mut out[range[0] - first..range[1] - first]);
        }
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "pointer loads after one check of the lengths")]
fn round_numbers<S: Simd>(simd: S, from: &[f32], factor: f32, out: &mut [u16]) {
    let factor = simd.splat(factor);
    assert!(from.len() == out.len() && from.len().is_multiple_of(BLOCK));
    for at in (0..from.len()).step_by(S::LANES) {
        // SAFETY: both hold a multiple of BLOCK numbers, which is a multiple of LANES.
        let numbers = simd.mul(factor, unsafe { simd.load(from.as_ptr().add(at)) });
        // SAFETY: as above.
        unsafe { simd.store_half(out.as_mut_ptr().add(at), numbers) };
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of training")]
fn sum_row<S: Simd>(simd: S, columns: &[u32], values: &[f32], table: &[u16], unit: f32, out: &mut [f32]) {
    let unit = simd.splat(unit);
    assert!(out.len() == BLOCK && columns.len() == values.len());
    let mut part = 0;
    while part < BLOCK {
        let mut sum = [simd.splat(0.0); REGISTERS];
        for (&column, &value) in columns.iter().zip(values) {
            let value = simd.splat(value);
            let row = table[column as usize * BLOCK..][..BLOCK].as_ptr();
            for i in 0..REGISTERS {
                // SAFETY: `part + REGISTERS · LANES` is at most BLOCK, which `row` holds.
                let weights = unsafe { simd.load_half(row.add(part + i * S::LANES)) };
                sum[i] = simd.mul_add(value, weights, sum[i]);
            }
        }
        for (i, sum) in sum.into_iter().enumerate() {
            // SAFETY: `out` holds BLOCK numbers.
            unsafe { simd.store(out.as_mut_ptr().add(part + i * S::LANES), simd.mul(unit, sum)) };
        }
        part += REGISTERS * S::LANES;
    }
}

#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of training")]
fn add_dots_of_row<S: Simd>(
    simd: S,
    columns: &[u32],
    row: &[f32],
    table: &[u16],
    unit: f32,
    out: &mut [f32],
) {
    let unit = simd.splat(unit);
    assert!(row.len() == BLOCK && columns.len() == out.len());
    let mut part = 0;
    while part < BLOCK {
        let mut own = [simd.splat(0.0); REGISTERS];
        for (i, own) in own.iter_mut().enumerate() {
            // SAFETY: `part + REGISTERS · LANES` is at most BLOCK, which `row` holds.
            *own = simd.mul(unit, unsafe { simd.load(row.as_ptr().add(part + i * S::LANES)) });
        }
        let (mut fours, mut outs) = (columns.chunks_exact(4), out.chunks_exact_mut(4));
        for (four, out) in fours.by_ref().zip(outs.by_ref()) {
            let products = [
                lanes_of_dot(simd, own, four[0], table, part),
                lanes_of_dot(simd, own, four[1], table, part),
                lanes_of_dot(simd, own, four[2], table, part),
                lanes_of_dot(simd, own, four[3], table, part),
            ];
            for (out, dot) in out.iter_mut().zip(simd.sum_of_each(products)) {
                *out += dot;
            }
        }
        for (&column, out) in fours.remainder().iter().zip(outs.into_remainder()) {
            *out += simd.sum(lanes_of_dot(simd, own, column, table, part));
        }
        part += REGISTERS * S::LANES;
    }
}

/// The products of part of a row with the `column`-th of `table`, summed over registers.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of training")]
fn lanes_of_dot<S: Simd>(simd: S, own: [S::V; REGISTERS], column: u32, table: &[u16], part: usize) -> S::V {
    let other = table[column as usize * BLOCK..][..BLOCK].as_ptr();
    // SAFETY: `part + REGISTERS · LANES` is at most BLOCK, which `other` holds.
    unsafe {
        let mut sum = simd.mul(own[0], simd.load_half(other.add(part)));
        for (i, &own) in own.iter().enumerate().skip(1) {
            sum = simd.mul_add(own, simd.load_half(other.add(part + i * S::LANES)), sum);
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{f32_to_half, half_to_f32};
    use proptest::prelude::*;

    fn matrix() -> impl Strategy<Value = (Csr, usize)> {
        (1usize..7, 1usize..9, prop_oneof![Just(1usize), Just(63), Just(64), Just(65), Just(150)])
            .prop_flat_map(|(rows, columns, width)| {
                let cells = proptest::collection::btree_map(
                    (0..rows as u32, 0..columns as u32),
                    -2.0f32..2.0,
                    0..=rows * columns,
                );
                let csr = cells.prop_map(move |cells| {
                    let triples: Vec<_> =
                        cells.into_iter().map(|((row, column), x)| (row, column, x)).collect();
                    Csr::from_triples(rows, columns, &triples).unwrap()
                });
                (csr, Just(width))
            })
    }

    fn rows(n: usize, width: usize, salt: usize) -> Vec<f32> {
        (0..n * width).map(|at| ((at * 7 + salt) % 23) as f32 / 11.0 - 1.0).collect()
    }

    /// A number of a table as it is read.
    fn rounded(x: f32) -> f64 {
        f64::from(half_to_f32(f32_to_half(x)))
    }

    proptest! {
        #[test]
        fn products_equal_their_naive_twins((csr, width) in matrix()) {
            let (left, right) = (rows(csr.n_rows(), width, 1), rows(csr.n_cols(), width, 5));
            let (blocks, table) = (Blocks::from_rows(csr.n_rows(), width, &left), Blocks::from_rows(csr.n_cols(), width, &right));
            prop_assert_eq!(&table.view().to_rows(), &right);
            let mut twice = table.clone();
            twice.add_rows(&right);
            prop_assert_eq!(twice.view().to_rows(), right.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
            let mut out = Blocks::zeros(csr.n_rows(), width);
            sums(&csr, csr.values(), table.view(), &mut out);
            let mut e = vec![0.0; csr.n_entries()];
            dots(&csr, blocks.view(), table.view(), &mut e);
            let mut exact = vec![0.0f64; csr.n_rows() * width];
            for (at, (row, column, value)) in csr.triples().enumerate() {
                let (own, other) = (&left[row as usize * width..][..width], &right[column as usize * width..][..width]);
                let dot: f64 = own.iter().zip(other).map(|(&x, &y)| f64::from(x) * rounded(y)).sum();
                prop_assert!((f64::from(e[at]) - dot).abs() < 1e-4);
                for (sum, &x) in exact[row as usize * width..][..width].iter_mut().zip(other) {
                    *sum += f64::from(value) * rounded(x);
                }
            }
            for (got, want) in out.view().to_rows().iter().zip(&exact) {
                prop_assert!((f64::from(*got) - want).abs() < 1e-4);
            }
            // What is padding stays zero.
            let padding: f32 = out.data().iter().map(|x| x.abs()).sum::<f32>() - out.view().to_rows().iter().map(|x| x.abs()).sum::<f32>();
            prop_assert!(padding.abs() < 1e-2);
        }
    }

    #[test]
    fn the_same_bits_at_any_number_of_threads() {
        let triples: Vec<_> = (0..300u32)
            .flat_map(|row| (0..200u32).map(move |column| (row, column, 0.1 + row as f32)))
            .collect();
        let csr = Csr::from_triples(300, 200, &triples).unwrap();
        let table = Blocks::from_rows(200, 130, &rows(200, 130, 3));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut out = Blocks::zeros(300, 130);
                sums(&csr, csr.values(), table.view(), &mut out);
                let mut e = vec![0.0; csr.n_entries()];
                dots(&csr, out.view(), table.view(), &mut e);
                (out, e)
            })
        };
        assert!(run(1) == run(3));
    }

    /// Gradients of a mean over many are far below what half precision can hold.
    #[test]
    fn tiny_and_huge_tables_keep_their_digits() {
        let pattern = Csr::from_triples(1, 3, &[(0, 0, 1.0), (0, 1, 1.0), (0, 2, 1.0)]).unwrap();
        for scale in [1e-30f32, 1e-9, 1.0, 1e9, 1e30] {
            let table = Blocks::from_rows(3, 1, &[scale, -3.0 * scale, 0.5 * scale]);
            let mut out = Blocks::zeros(1, 1);
            sums(&pattern, pattern.values(), table.view(), &mut out);
            assert!((out.get(0, 0) / scale + 1.5).abs() < 3e-3, "{scale}: {}", out.get(0, 0));
            let one = Blocks::from_rows(1, 1, &[1.0]);
            let mut e = vec![0.0; 3];
            dots(&pattern, one.view(), table.view(), &mut e);
            assert!((e[1] / scale + 3.0).abs() < 3e-3, "{scale}: {e:?}");
        }
        let mut out = Blocks::zeros(1, 1);
        sums(&pattern, pattern.values(), Blocks::zeros(3, 1).view(), &mut out);
        assert_eq!(out.get(0, 0).to_bits(), 0);
    }
}
