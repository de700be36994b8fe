//! Kernels of Gaussian posteriors: many small symmetric systems, and sums of second moments over sparse rows.
//!
//! A half step of variational factorisation needs, for each of many users (or items), the sum of `E[h h']` over the rated
//! items (or raters), and then the inverse of a small precision matrix. [`Moments`] keeps the second moments as packed lower triangles
//! in blocks of a few columns, so that the block of *all* rows fits in the second-level cache while it is summed for
//! one chunk of users after another: what a rating costs is `D²/2` additions at cache speed, and nothing of order `D²` is
//! stored a rating. [`posterior`] inverts by block Gauss–Jordan elimination on the matrix scaled to unit diagonal, with a
//! slow path in `f64` for matrices that `f32` cannot invert.
//!
//! Triangles are packed by rows: element `(i, j)`, `j ≤ i`, is number `i (i + 1) / 2 + j`. Everything here is
//! single-threaded and deterministic; callers run chunks in parallel.

use std::ops::Range;

use foldin_core::Csr;

use crate::kernel;
use crate::kernels::{axpy_in, dot_in};
use crate::linalg::{cholesky, cholesky_solve};
use crate::simd::Simd;

/// Rows of [`Moments`] that are stored together, and summed as one piece of work.
pub const CHUNK: usize = 128;

/// Columns stored together: two lines of the cache.
const BLOCK: usize = 32;

/// Rows eliminated at once.
const PIVOTS: usize = 4;

/// Smallest pivot of a matrix of unit diagonal that `f32` elimination is trusted with.
const SMALLEST_PIVOT: f32 = 1e-5;

/// Number of elements of a packed lower triangle.
#[must_use]
pub const fn packed_len(dims: usize) -> usize {
    dims * (dims + 1) / 2
}

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

    /// Length of a row of sums: the packed length rounded up to whole blocks.
    #[must_use]
    pub fn padded_len(&self) -> usize {
        packed_len(self.dims).div_ceil(BLOCK) * BLOCK
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

    /// For each of the given rows of `lists`, the sum of the matrices of its columns: `out[r] = Σ_c M_c`, packed, each of
    /// [`Moments::padded_len`].
    ///
    /// # Panics
    /// If a column of `lists` is no row of these moments, or `out` is not as long as the sums.
    pub fn sum_rows(&self, lists: &Csr, rows: Range<usize>, out: &mut [f32]) {
        assert!(lists.n_cols() <= self.n_rows, "a column for each row of the moments at most");
        assert_eq!(out.len(), rows.len() * self.padded_len(), "one sum a row");
        let offsets = &lists.offsets()[rows.start..=rows.end];
        let slots: Vec<u32> = lists.columns()[offsets[0]..offsets[rows.len()]]
            .iter()
            .map(|&column| {
                let row = column as usize;
                (row / CHUNK * self.blocks * CHUNK + row % CHUNK) as u32
            })
            .collect();
        sum_slots(&self.data, offsets, &slots, self.padded_len(), out);
    }
}

kernel! {
    /// Sums blocks of columns: `slots` are in units of blocks from the first block of a column range.
    fn sum_slots(simd, data: &[f32], offsets: &[usize], slots: &[u32], width: usize, out: &mut [f32]) {
        for block in 0..width / BLOCK {
            let data = &data[block * CHUNK * BLOCK..];
            for (row, range) in offsets.windows(2).enumerate() {
                let slots = &slots[range[0] - offsets[0]..range[1] - offsets[0]];
                sum_block(simd, data, slots, &mut out[row * width + block * BLOCK..][..BLOCK]);
            }
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

/// Room for one posterior of up to a given order; reused from one to the next.
#[derive(Clone, Debug)]
pub struct Workspace {
    order: usize,
    padded: usize,
    stride: usize,
    /// `[padded × stride]`: the matrix, then its inverse.
    matrix: Vec<f32>,
    /// `[PIVOTS × stride]`: the rows being eliminated.
    pivots: Vec<f32>,
    /// `[stride]`: what rows and columns were scaled by.
    scales: Vec<f32>,
}

impl Workspace {
    /// Room for matrices of order `order`.
    #[must_use]
    pub fn new(order: usize) -> Self {
        let padded = order.next_multiple_of(PIVOTS);
        let stride = padded.next_multiple_of(16);
        Self {
            order,
            padded,
            stride,
            matrix: vec![0.0; padded * stride],
            pivots: vec![0.0; PIVOTS * stride],
            scales: vec![0.0; stride],
        }
    }

    /// Order of the matrices.
    #[must_use]
    pub fn order(&self) -> usize {
        self.order
    }

    /// A row of the covariance that [`posterior`] left.
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn covariance_row(&self, row: usize) -> &[f32] {
        &self.matrix[row * self.stride..row * self.stride + self.order]
    }

    /// Second moments `E[x x'] = cov + mean·mean'`, packed.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn second_moments(&self, mean: &[f32], packed: &mut [f32]) {
        let mut rest = packed;
        for row in 0..self.order {
            let (out, after) = rest.split_at_mut(row + 1);
            let cov = &self.matrix[row * self.stride..][..=row];
            let factor = mean[row];
            for ((out, &cov), &m) in out.iter_mut().zip(cov).zip(mean) {
                *out = cov + factor * m;
            }
            rest = after;
        }
    }
}

/// The posterior of a Gaussian vector: precision `P = diag(prior) + weight · S` with `S` packed (elements beyond
/// the order are ignored), mean `P⁻¹ · right`. The covariance `P⁻¹` is left in `work`, the mean in `mean`.
///
/// O(order³), about 5 µs at order 51 with AVX-512. Where `f32` does not do, falls back to `f64`, and adds to the
/// diagonal if even that finds the matrix not positive definite.
///
/// # Panics
/// If a length does not fit the order of `work`.
pub fn posterior(
    sums: &[f32],
    weight: f32,
    prior: &[f32],
    right: &[f32],
    work: &mut Workspace,
    mean: &mut [f32],
) {
    let n = work.order;
    assert!(sums.len() >= packed_len(n) && prior.len() == n && right.len() == n && mean.len() == n);
    if !invert(sums, weight, prior, work) {
        invert_slowly(sums, weight, prior, work);
    }
    multiply(&work.matrix, work.stride, right, mean);
}

kernel! {
    fn invert(simd, sums: &[f32], weight: f32, prior: &[f32], work: &mut Workspace) -> bool {
        let (n, padded, stride) = (work.order, work.padded, work.stride);
        let (matrix, scales) = (&mut work.matrix[..], &mut work.scales[..]);
        for i in 0..n {
            scales[i] = 1.0 / (prior[i] + weight * sums[packed_len(i) + i]).sqrt();
        }
        // Lower triangle, scaled; then its mirror image. Padding is the identity.
        for i in 0..padded {
            let row = &mut matrix[i * stride..(i + 1) * stride];
            row.fill(0.0);
            if i < n {
                let factor = weight * scales[i];
                for ((out, &sum), &scale) in row.iter_mut().zip(&sums[packed_len(i)..][..i]).zip(&*scales) {
                    *out = factor * scale * sum;
                }
            }
            row[i] = 1.0;
        }
        for i in 0..n {
            for j in 0..i {
                matrix[j * stride + i] = matrix[i * stride + j];
            }
        }
        for first in (0..padded).step_by(PIVOTS) {
            if !eliminate(simd, matrix, stride, padded, first, &mut work.pivots) {
                return false;
            }
        }
        for i in 0..n {
            let factor = scales[i];
            for (x, &scale) in matrix[i * stride..i * stride + n].iter_mut().zip(&*scales) {
                *x *= factor * scale;
            }
        }
        true
    }

    fn multiply(simd, matrix: &[f32], stride: usize, right: &[f32], out: &mut [f32]) {
        // By columns, which are the rows of a symmetric matrix: no sums across lanes.
        out.fill(0.0);
        for (row, &x) in right.iter().enumerate() {
            axpy_in(simd, x, &matrix[row * stride..][..out.len()], out);
        }
    }

    /// `Σ_ij a_ij b_ij` of two packed symmetric matrices of order `dims`.
    ///
    /// # Panics
    /// If either is shorter than [`packed_len`].
    pub fn packed_trace(simd, a: &[f32], b: &[f32], dims: usize) -> f32 {
        let len = packed_len(dims);
        let mut diagonal = 0.0;
        for i in 0..dims {
            diagonal = simd.fma(a[packed_len(i) + i], b[packed_len(i) + i], diagonal);
        }
        2.0 * dot_in(simd, &a[..len], &b[..len]) - diagonal
    }
}

/// One step of block Gauss–Jordan elimination: rows and columns `first..first + PIVOTS` of the inverse take the place of
/// those of the matrix. False if a pivot is too small.
#[inline(always)]
fn eliminate<S: Simd>(
    simd: S,
    matrix: &mut [f32],
    stride: usize,
    padded: usize,
    first: usize,
    pivots: &mut [f32],
) -> bool {
    let mut block = [[0.0; PIVOTS]; PIVOTS];
    for (i, row) in block.iter_mut().enumerate() {
        row.copy_from_slice(&matrix[(first + i) * stride + first..][..PIVOTS]);
    }
    if !invert_block(&mut block) {
        return false;
    }
    // The pivot rows times the inverse of the pivot block.
    pivots.fill(0.0);
    for (out, factors) in pivots.chunks_exact_mut(stride).zip(&block) {
        for (i, &factor) in factors.iter().enumerate() {
            axpy_in(simd, factor, &matrix[(first + i) * stride..(first + i + 1) * stride], out);
        }
        out[first..first + PIVOTS].copy_from_slice(factors);
    }
    subtract_pivots(simd, matrix, stride, 0..first, first, pivots);
    subtract_pivots(simd, matrix, stride, first + PIVOTS..padded, first, pivots);
    matrix[first * stride..(first + PIVOTS) * stride].copy_from_slice(pivots);
    true
}

/// Takes multiples of the pivot rows from each of `rows`, two at a time (there is an even number of them).
#[inline(always)]
#[expect(unsafe_code, reason = "rows of whole registers")]
fn subtract_pivots<S: Simd>(
    simd: S,
    matrix: &mut [f32],
    stride: usize,
    rows: Range<usize>,
    first: usize,
    pivots: &[f32],
) {
    assert!(rows.end * stride <= matrix.len() && pivots.len() == PIVOTS * stride);
    for row in rows.step_by(2) {
        let (one, two) = matrix[row * stride..(row + 2) * stride].split_at_mut(stride);
        let mut factors = [[simd.splat(0.0); PIVOTS]; 2];
        for (factors, row) in factors.iter_mut().zip([&mut *one, &mut *two]) {
            for (factor, x) in factors.iter_mut().zip(&mut row[first..first + PIVOTS]) {
                *factor = simd.splat(-*x);
                *x = 0.0;
            }
        }
        for at in (0..stride).step_by(S::LANES) {
            // SAFETY: `stride` is a multiple of the lanes, and every row has that length.
            unsafe {
                let (one, two) = (one.as_mut_ptr().add(at), two.as_mut_ptr().add(at));
                let (mut x, mut y) = (simd.load(one), simd.load(two));
                for pivot in 0..PIVOTS {
                    let from = simd.load(pivots.as_ptr().add(pivot * stride + at));
                    x = simd.mul_add(factors[0][pivot], from, x);
                    y = simd.mul_add(factors[1][pivot], from, y);
                }
                simd.store(one, x);
                simd.store(two, y);
            }
        }
    }
}

/// Gauss–Jordan inverse of a small positive definite block. False if a pivot is too small (or not a number).
#[inline(always)]
fn invert_block(block: &mut [[f32; PIVOTS]; PIVOTS]) -> bool {
    let mut fine = true;
    for pivot in 0..PIVOTS {
        let value = block[pivot][pivot];
        fine &= value > SMALLEST_PIVOT;
        let inverse = 1.0 / value;
        block[pivot][pivot] = 1.0;
        block[pivot].iter_mut().for_each(|x| *x *= inverse);
        let from = block[pivot];
        for (row, x) in block.iter_mut().enumerate() {
            if row != pivot {
                let factor = x[pivot];
                x[pivot] = 0.0;
                x.iter_mut().zip(&from).for_each(|(x, from)| *x -= factor * from);
            }
        }
    }
    fine
}

/// As `invert`, in `f64` by Cholesky factors, with as much added to the diagonal as it takes.
fn invert_slowly(sums: &[f32], weight: f32, prior: &[f32], work: &mut Workspace) {
    let (n, stride) = (work.order, work.stride);
    let mut jitter = 0.0;
    loop {
        let mut factor = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..=i {
                factor[i * n + j] = f64::from(weight) * f64::from(sums[packed_len(i) + j]);
            }
            factor[i * n + i] = (factor[i * n + i] + f64::from(prior[i])) * (1.0 + jitter);
        }
        if cholesky(&mut factor, n).is_ok() {
            let mut column = vec![0.0; n];
            for i in 0..n {
                column.fill(0.0);
                column[i] = 1.0;
                cholesky_solve(&factor, n, &mut column);
                let row = &mut work.matrix[i * stride..i * stride + n];
                row.iter_mut().zip(&column).for_each(|(out, &x)| *out = x as f32);
            }
            return;
        }
        // Beyond this the input is not finite, which callers check for; the loop must end all the same.
        if jitter > 1e3 {
            work.matrix.fill(f32::NAN);
            return;
        }
        jitter = (jitter * 10.0f64).max(1e-7);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;
    use proptest::prelude::*;

    /// A packed positive definite matrix: the Gram matrix of `rank` random vectors.
    fn gram(order: usize, rank: usize, random: &mut Random) -> Vec<f32> {
        let x: Vec<f64> = (0..rank * order).map(|_| random.normal()).collect();
        let mut out = Vec::new();
        for i in 0..order {
            for j in 0..=i {
                out.push(x.chunks_exact(order).map(|x| x[i] * x[j]).sum::<f64>() as f32);
            }
        }
        out
    }

    /// `P` times what `posterior` says is its inverse, less the identity; and `P · mean − right`: largest elements.
    fn errors(order: usize, rank: usize, prior: f32, seed: u64) -> (f64, f64) {
        let mut random = Random::new(seed);
        let sums = gram(order, rank, &mut random);
        let priors: Vec<f32> = (0..order).map(|_| prior * (0.5 + random.uniform() as f32)).collect();
        let right: Vec<f32> = (0..order).map(|_| random.normal() as f32).collect();
        let (mut work, mut mean) = (Workspace::new(order), vec![0.0; order]);
        posterior(&sums, 1.5, &priors, &right, &mut work, &mut mean);
        let at = |i: usize, j: usize| {
            let (i, j) = (i.max(j), i.min(j));
            let diagonal = if i == j { f64::from(priors[i]) } else { 0.0 };
            1.5 * f64::from(sums[packed_len(i) + j]) + diagonal
        };
        let (mut of_inverse, mut of_mean) = (0f64, 0f64);
        for i in 0..order {
            for j in 0..order {
                let product: f64 = (0..order).map(|l| at(i, l) * f64::from(work.covariance_row(l)[j])).sum();
                of_inverse = of_inverse.max((product - f64::from(u8::from(i == j))).abs());
            }
            let product: f64 = (0..order).map(|l| at(i, l) * f64::from(mean[l])).sum();
            of_mean = of_mean.max((product - f64::from(right[i])).abs());
        }
        (of_inverse, of_mean)
    }

    #[test]
    fn inverses_are_inverses() {
        for (order, rank) in
            [(1, 0), (2, 1), (5, 3), (16, 100), (21, 10), (51, 0), (51, 30), (51, 400), (70, 90)]
        {
            // Condition numbers are up to some thousands, times the rounding of f32.
            let (of_inverse, of_mean) = errors(order, rank, 3.0, 7);
            assert!(of_inverse < 3e-4 && of_mean < 3e-4, "{order} {rank}: {of_inverse} {of_mean}");
        }
    }

    #[test]
    fn what_single_precision_cannot_invert_is_inverted_all_the_same() {
        // Two equal rows but for a prior of 1e-6: the second pivot is lost in f32.
        let (mut work, mut mean) = (Workspace::new(2), [0.0; 2]);
        posterior(&[1.0, 1.0, 1.0], 1.0, &[1e-6, 1e-6], &[1.0, 1.0], &mut work, &mut mean);
        assert!((mean[0] - 0.5).abs() < 1e-3 && (mean[1] - 0.5).abs() < 1e-3, "{mean:?}");
        // Not positive definite at all, by rounding: something finite comes out.
        posterior(&[1.0, 1.0001, 1.0], 1.0, &[0.0, 0.0], &[1.0, 1.0], &mut work, &mut mean);
        assert!(mean.iter().all(|x| x.is_finite()));
    }

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
            let width = moments.padded_len();
            let mut out = vec![f32::NAN; 3 * width];
            moments.sum_rows(&lists, 1..4, &mut out);
            for list in 1..4 {
                for at in 0..packed_len(dims) {
                    // Small whole numbers: exact in any order.
                    let want: f32 = lists.row(list).0.iter().map(|&row| rows[row as usize][at]).sum();
                    prop_assert_eq!(out[(list - 1) * width + at], want);
                }
            }
            let mut copy = vec![0.0; packed_len(dims)];
            moments.copy_row(299, &mut copy);
            prop_assert_eq!(&copy, &rows[299]);
        }
    }

    #[test]
    fn the_trace_counts_both_triangles() {
        // [[1, 2], [2, 3]] and [[4, 5], [5, 6]].
        assert_eq!(packed_trace(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0], 2), 4.0 + 20.0 + 18.0);
    }
}
