//! Second moments of many vectors, and their sums over the rows of a sparse matrix.
//!
//! A half step of variational factorisation needs, for each of many users (or items), the sum of `E[h h']` over the rated
//! items (or raters). The packed triangles are kept in blocks of a few columns, so that one block of *all* rows fits in the
//! second-level cache while it is summed: what a rating costs is `D²/2` additions at cache speed, and nothing of order `D²` is
//! stored a rating.

use std::ops::Range;

use foldin_core::Csr;
use rayon::prelude::*;

use super::packed_len;
use crate::kernel;
use crate::simd::Simd;

/// Rows of [`Moments`] that are stored together, and best filled as one piece of work.
pub const CHUNK: usize = 128;

/// Columns stored together: two lines of the cache.
const BLOCK: usize = 32;

/// Packed symmetric `[dims × dims]` matrices, one a row, stored by blocks of columns.
///
/// Memory is `4 · dims · (dims + 1) / 2` bytes a row and up to 128 bytes of padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    n_rows: usize,
    dims: usize,
    blocks: usize,
    data: Vec<f32>,
}

impl Moments {
    /// All zero.
    #[must_use]
    pub fn zeros(n_rows: usize, dims: usize) -> Self {
        let (blocks, stride) = Self::layout(dims);
        Self { n_rows, dims, blocks, data: vec![0.0; n_rows.div_ceil(CHUNK) * stride] }
    }

    /// Takes back what [`Moments::data`] gave; `None` if the length does not fit.
    #[must_use]
    pub fn from_data(n_rows: usize, dims: usize, data: Vec<f32>) -> Option<Self> {
        let (blocks, stride) = Self::layout(dims);
        (data.len() == n_rows.div_ceil(CHUNK) * stride).then_some(Self { n_rows, dims, blocks, data })
    }

    /// Number of blocks, and elements of a chunk. The number is odd, so that one block's pieces of all chunks spread over
    /// the sets of a cache whose ways are a power of two.
    fn layout(dims: usize) -> (usize, usize) {
        let blocks = packed_len(dims).div_ceil(BLOCK) | 1;
        (blocks, blocks * CHUNK * BLOCK)
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Order of the matrices.
    #[must_use]
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// All elements, as they are stored.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Elements of the storage of one chunk of [`CHUNK`] rows; [`Moments::data_mut`] can be cut into pieces of this length
    /// and the pieces filled in parallel by [`set_row`].
    #[must_use]
    pub fn chunk_stride(&self) -> usize {
        self.blocks * CHUNK * BLOCK
    }

    /// All elements, to be cut by [`Moments::chunk_stride`].
    pub fn data_mut(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The packed matrix of a row.
    ///
    /// # Panics
    /// If `row` is out of range or `out` is not [`packed_len`] long.
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_rows && out.len() == packed_len(self.dims), "a row of {}", self.n_rows);
        let chunk = &self.data[row / CHUNK * self.chunk_stride()..][..self.chunk_stride()];
        for (block, out) in out.chunks_mut(BLOCK).enumerate() {
            let from = (block * CHUNK + row % CHUNK) * BLOCK;
            out.copy_from_slice(&chunk[from..from + out.len()]);
        }
    }

    /// For each of the given rows of `lists`, the sum of the matrices of its columns, `Σ_c M_c`. Blocks are summed in
    /// parallel on the current pool, so that each thread reads a block that stays in its cache; the order of
    /// additions does not depend on the number of threads.
    ///
    /// # Panics
    /// If `lists` has more columns than these moments have rows.
    pub fn sum_rows(&self, lists: &Csr, rows: Range<usize>, out: &mut RowSums) {
        assert!(lists.n_cols() <= self.n_rows, "a column for each row of the moments at most");
        let offsets = &lists.offsets()[rows.start..=rows.end];
        let slots: Vec<u32> = lists.columns()[offsets[0]..offsets[rows.len()]]
            .iter()
            .map(|&column| {
                let row = column as usize;
                (row / CHUNK * self.blocks * CHUNK + row % CHUNK) as u32
            })
            .collect();
        out.n_rows = rows.len();
        out.len = packed_len(self.dims);
        let size = rows.len() * BLOCK;
        out.data.resize(out.len.div_ceil(BLOCK) * size, 0.0);
        if size > 0 {
            out.data.par_chunks_mut(size).enumerate().for_each(|(block, out)| {
                sum_slots(&self.data[block * CHUNK * BLOCK..], offsets, &slots, out);
            });
        }
    }
}

/// Sums of packed matrices, one a row; the buffer is used again by the next [`Moments::sum_rows`].
#[derive(Clone, Debug, Default)]
pub struct RowSums {
    n_rows: usize,
    len: usize,
    /// `[blocks × n_rows × BLOCK]`.
    data: Vec<f32>,
}

impl RowSums {
    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// The packed matrix of a row.
    ///
    /// # Panics
    /// If `row` is out of range or `out` is not [`packed_len`] long.
    pub fn copy_row(&self, row: usize, out: &mut [f32]) {
        assert!(row < self.n_rows && out.len() == self.len, "a row of {}", self.n_rows);
        let blocks = self.data.chunks_exact(self.n_rows * BLOCK);
        for (block, out) in blocks.zip(out.chunks_mut(BLOCK)) {
            out.copy_from_slice(&block[row * BLOCK..][..out.len()]);
        }
    }
}

kernel! {
    /// Sums one block of columns for each row; `slots` are in units of blocks from the start of `data`.
    fn sum_slots(simd, data: &[f32], offsets: &[usize], slots: &[u32], out: &mut [f32]) {
        for (out, range) in out.chunks_exact_mut(BLOCK).zip(offsets.windows(2)) {
            sum_block(simd, data, &slots[range[0] - offsets[0]..range[1] - offsets[0]], out);
        }
    }
}

/// `out = Σ_s data[s · BLOCK ..][.. BLOCK]`. Four rows at a time hide the latency of the additions.
#[inline(always)]
#[expect(unsafe_code, reason = "gathered rows of fixed length")]
fn sum_block<S: Simd>(simd: S, data: &[f32], slots: &[u32], out: &mut [f32]) {
    const MOST: usize = BLOCK / 4;
    let registers = BLOCK / S::LANES;
    let zero = simd.splat(0.0);
    let mut sums = [[zero; MOST]; 4];
    let fours = slots.chunks_exact(4);
    let rest = fours.remainder();
    for four in fours {
        for (sums, &slot) in sums.iter_mut().zip(four) {
            let from = slot as usize * BLOCK;
            debug_assert!(from + BLOCK <= data.len());
            for (register, sum) in sums.iter_mut().take(registers).enumerate() {
                // SAFETY: `slots` come from rows of the table, each of which has a whole block here.
                *sum = simd.add(*sum, unsafe { simd.load(data.as_ptr().add(from + register * S::LANES)) });
            }
        }
    }
    for &slot in rest {
        let from = slot as usize * BLOCK;
        debug_assert!(from + BLOCK <= data.len());
        for (register, sum) in sums[0].iter_mut().take(registers).enumerate() {
            // SAFETY: as above.
            *sum = simd.add(*sum, unsafe { simd.load(data.as_ptr().add(from + register * S::LANES)) });
        }
    }
    for register in 0..registers {
        let pairs =
            [simd.add(sums[0][register], sums[1][register]), simd.add(sums[2][register], sums[3][register])];
        // SAFETY: `out` is one block.
        unsafe { simd.store(out.as_mut_ptr().add(register * S::LANES), simd.add(pairs[0], pairs[1])) };
    }
}

/// Writes a packed matrix as row `row` of one chunk (a piece of [`Moments::data_mut`]).
///
/// # Panics
/// If the chunk is too short.
pub fn set_row(chunk: &mut [f32], row: usize, packed: &[f32]) {
    for (block, from) in packed.chunks(BLOCK).enumerate() {
        let at = (block * CHUNK + row) * BLOCK;
        chunk[at..at + from.len()].copy_from_slice(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_those_of_the_rows(
            dims in 1usize..12,
            lists in proptest::collection::btree_set((0u32..5, 0u32..300), 0..80),
        ) {
            let mut random = Random::new(3);
            let mut moments = Moments::zeros(300, dims);
            let rows: Vec<Vec<f32>> = (0..300)
                .map(|_| (0..packed_len(dims)).map(|_| random.below(64) as f32).collect())
                .collect();
            let stride = moments.chunk_stride();
            for (row, packed) in rows.iter().enumerate() {
                set_row(&mut moments.data_mut()[row / CHUNK * stride..][..stride], row % CHUNK, packed);
            }
            let triples: Vec<_> = lists.iter().map(|&(row, column)| (row, column, 1.0)).collect();
            let lists = Csr::from_triples(5, 300, &triples).unwrap();
            let mut sums = RowSums::default();
            // A second use of the buffer must not see the first.
            moments.sum_rows(&lists, 0..5, &mut sums);
            moments.sum_rows(&lists, 1..4, &mut sums);
            prop_assert_eq!(sums.n_rows(), 3);
            let mut out = vec![f32::NAN; packed_len(dims)];
            for list in 1..4 {
                sums.copy_row(list - 1, &mut out);
                for (at, &out) in out.iter().enumerate() {
                    // Small whole numbers: exact in any order.
                    let want: f32 = lists.row(list).0.iter().map(|&row| rows[row as usize][at]).sum();
                    prop_assert_eq!(out, want);
                }
            }
            let mut copy = vec![0.0; packed_len(dims)];
            moments.copy_row(299, &mut copy);
            prop_assert_eq!(&copy, &rows[299]);
        }
    }
}
