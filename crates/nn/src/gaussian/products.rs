//! Gram matrices of rows gathered from a table.

use crate::kernel;
use crate::simd::Simd;

/// Rows of the result that are held in registers at a time.
const ROWS: usize = 4;

/// Gathered rows and their Gram matrix; the buffers are used again.
///
/// Row `j` of the result is in registers while the gathered rows pass by, so that a gathered row costs `width² / 2`
/// multiplications and nothing is stored in between.
#[derive(Clone, Debug)]
pub struct RowProducts {
    width: usize,
    stride: usize,
    n: usize,
    /// `[n × stride]`.
    rows: Vec<f32>,
    /// `[width rounded up × stride]`.
    gram: Vec<f32>,
}

impl RowProducts {
    /// For rows of `width` numbers.
    #[must_use]
    pub fn new(width: usize) -> Self {
        let stride = width.next_multiple_of(16);
        Self { width, stride, n: 0, rows: Vec::new(), gram: vec![0.0; width.next_multiple_of(ROWS) * stride] }
    }

    /// Forgets all rows.
    pub fn clear(&mut self) {
        self.n = 0;
    }

    /// Appends rows that begin with the given rows of a table `[… × columns]`, one after the other; [`RowProducts::last`] fills what is beyond.
    ///
    /// # Panics
    /// If a row is beyond the table, or `columns` is more than the width.
    pub fn gather(&mut self, rows: &[u32], table: &[f32], columns: usize) {
        assert!(columns <= self.width, "{columns} columns of {}", self.width);
        let from = self.n * self.stride;
        self.n += rows.len();
        if self.rows.len() < self.n * self.stride {
            self.rows.resize(self.n * self.stride, 0.0);
        }
        gather(rows, table, columns, self.stride, &mut self.rows[from..self.n * self.stride]);
    }

    /// The last `n` rows.
    ///
    /// # Panics
    /// If there are not so many.
    pub fn last(&mut self, n: usize) -> impl Iterator<Item = &mut [f32]> {
        let from = (self.n - n) * self.stride;
        let width = self.width;
        self.rows[from..self.n * self.stride].chunks_exact_mut(self.stride).map(move |row| &mut row[..width])
    }

    /// Computes `Σ x x'` over the rows.
    pub fn multiply(&mut self) {
        gram(&self.rows[..self.n * self.stride], self.stride, &mut self.gram);
    }

    /// The row `row` of the Gram matrix up to and with the diagonal; complete after [`RowProducts::multiply`].
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn row(&self, row: usize) -> &[f32] {
        &self.gram[row * self.stride..][..=row]
    }
}

/// Rows of a table that are asked for before they are copied.
const AHEAD: usize = 8;

kernel! {
    fn gather(simd, rows: &[u32], table: &[f32], columns: usize, stride: usize, out: &mut [f32]) {
        let row = |at: u32| &table[at as usize * columns..][..columns];
        let ask = |at: u32| row(at).chunks(16).for_each(|line| simd.prefetch(line.as_ptr()));
        rows.iter().take(AHEAD).for_each(|&at| ask(at));
        for (n, (&at, out)) in rows.iter().zip(out.chunks_exact_mut(stride)).enumerate() {
            if let Some(&later) = rows.get(n + AHEAD) {
                ask(later);
            }
            for (out, &x) in out[..columns].iter_mut().zip(row(at)) {
                *out = x;
            }
        }
    }

    fn gram(simd, rows: &[f32], stride: usize, out: &mut [f32]) {
        for first in (0..out.len() / stride).step_by(ROWS) {
            let widest = if S::LANES == 16 { 4 } else { 2 };
            let registers = (first + ROWS).div_ceil(S::LANES);
            let out = &mut out[first * stride..(first + ROWS) * stride];
            let mut at = 0;
            while at < registers {
                let width = (registers - at).min(widest);
                match width {
                    1 => gram_tile::<S, 1>(simd, rows, stride, first, at * S::LANES, out),
                    2 => gram_tile::<S, 2>(simd, rows, stride, first, at * S::LANES, out),
                    3 => gram_tile::<S, 3>(simd, rows, stride, first, at * S::LANES, out),
                    _ => gram_tile::<S, 4>(simd, rows, stride, first, at * S::LANES, out),
                }
                at += width;
            }
        }
    }
}

/// Rows `first ..` of the Gram matrix in the `WIDTH` registers of columns from `start` on.
#[inline(always)]
#[expect(unsafe_code, reason = "rows of whole registers")]
fn gram_tile<S: Simd, const WIDTH: usize>(
    simd: S,
    rows: &[f32],
    stride: usize,
    first: usize,
    start: usize,
    out: &mut [f32],
) {
    assert!(start + WIDTH * S::LANES <= stride && first + ROWS <= stride && out.len() == ROWS * stride);
    let mut sums = [[simd.splat(0.0); WIDTH]; ROWS];
    for row in rows.chunks_exact(stride) {
        // SAFETY: the row has `stride` numbers, and both ranges lie within.
        unsafe {
            let line: [S::V; WIDTH] =
                std::array::from_fn(|at| simd.load(row.as_ptr().add(start + at * S::LANES)));
            for (i, sums) in sums.iter_mut().enumerate() {
                let factor = simd.splat(*row.get_unchecked(first + i));
                for (sum, &line) in sums.iter_mut().zip(&line) {
                    *sum = simd.mul_add(factor, line, *sum);
                }
            }
        }
    }
    for (i, sums) in sums.iter().enumerate() {
        for (at, &sum) in sums.iter().enumerate() {
            // SAFETY: as above; `out` has `ROWS` rows.
            unsafe { simd.store(out.as_mut_ptr().add(i * stride + start + at * S::LANES), sum) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    #[test]
    fn products_are_those_of_the_rows() {
        let mut random = Random::new(9);
        for (width, n) in [(1, 0), (3, 1), (16, 5), (22, 40), (52, 100), (70, 3)] {
            let mut products = RowProducts::new(width);
            let mut rows = Vec::new();
            // What an earlier, longer use left must not show.
            for count in [n + 3, n] {
                rows = (0..count).map(|_| (0..width).map(|_| random.normal() as f32).collect()).collect();
                // All but the last column come from a table, whose rows are taken from its end on.
                let table: Vec<f32> =
                    rows.iter().rev().flat_map(|row: &Vec<f32>| &row[..width - 1]).copied().collect();
                let list: Vec<u32> = (0..count as u32).rev().collect();
                products.clear();
                let (some, others) = list.split_at(count / 3);
                products.gather(some, &table, width - 1);
                products.gather(others, &table, width - 1);
                products.last(count).zip(&rows).for_each(|(to, row)| to[width - 1] = row[width - 1]);
                products.multiply();
            }
            for i in 0..width {
                for (j, &got) in products.row(i).iter().enumerate() {
                    let want: f64 = rows.iter().map(|row| f64::from(row[i]) * f64::from(row[j])).sum();
                    // A hundred terms of order one, each rounded to 6e-8.
                    assert!((f64::from(got) - want).abs() < 1e-4, "{width} {n}: {i} {j}");
                }
            }
        }
    }
}
