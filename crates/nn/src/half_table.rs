//! The table of the sparse layer for very many rows: weights in half precision, and one step size for each row and input instead of
//! two moments for each weight. A weight takes 2 bytes of memory in the place of 12, and a step moves 4 bytes for it, not 24.
//!
//! A row is touched by a step only if a user of the batch has it. With gradient `g` of one of its inputs (`λ·w` included), a vector of
//! `B` weights of a block, a step is
//! `v ← β·v + (1−β)·‖g‖²/B`, `w ← round(w − rate·g/(√v + ε))`,
//! where the first `v` is the first `‖g‖²/B`: RMSProp with a second moment for each row, as Adagrad has it for embeddings of
//! recommenders (Gupta, Bell and Thomas 2014; Naumov et al. 2019), without momentum. `round` goes to one of the two nearest numbers of
//! half precision by chance, so that the mean is right and steps smaller than their distance are not lost (Gupta et al. 2015). The bits
//! of chance are a function of seed, step and place: no order of work changes them.
//!
//! ```
//! use foldin_nn::half_table::{HalfTable, RowSteps, sum_half_rows, update_half_rows};
//! use foldin_nn::plan::RowLists;
//! use foldin_nn::sparse_layer::{BLOCK, Entry, TABLE_BLOCK};
//! let (mut table, steps) = (HalfTable::new(3, 1, |_| {}), RowSteps { forget: 0.9, decay: 0.0, units: BLOCK, seed: 1 });
//! let lists = RowLists::group(&mut [0; 3], |add| add(1, Entry { user: 0, a: 1.0, b: 0.0 }));
//! let mut z = [0.0; BLOCK];
//! for at in 0..200 {
//!     let (_, weights, scales) = table.blocks().remove(0);
//!     sum_half_rows(&lists, weights, &mut z);
//!     let gradient = z.map(|z| z - 0.25);
//!     update_half_rows(&lists, &gradient, &steps, at, 0.003, 0, weights, scales);
//! }
//! assert!(z.iter().all(|z| (z - 0.25).abs() < 0.02));
//! ```

use crate::aligned::Aligned;
use crate::kernel;
use crate::plan::RowLists;
use crate::simd::{Simd, f32_to_half};
use crate::sparse_layer::{BLOCK, Entry, TABLE_BLOCK, row_gradient, sum_row};

/// Added to the root of a row's second moment.
const EPSILON: f32 = 1e-10;

/// How the rows learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowSteps {
    /// β, decay of the running mean of squared gradients of a row, by touches.
    pub forget: f32,
    /// λ, coupled L2 decay; felt when a row is touched.
    pub decay: f32,
    /// Units of all blocks together; what pads the last block does not count in a mean.
    pub units: usize,
    /// Of the chances of rounding.
    pub seed: u32,
}

/// `[n_blocks × n_rows × TABLE_BLOCK]` weights in half precision, with a second moment for each row, block and input.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HalfTable {
    n_rows: usize,
    w: Aligned<u16>,
    v: Vec<f32>,
}

impl HalfTable {
    /// A table whose rows are filled by `first`, one block after the other, from zeros.
    pub fn new(n_rows: usize, n_blocks: usize, mut first: impl FnMut(&mut [f32; TABLE_BLOCK])) -> Self {
        let mut w = Aligned::zeros(n_blocks * n_rows * TABLE_BLOCK);
        for row in w.chunks_exact_mut(TABLE_BLOCK) {
            let mut own = [0.0; TABLE_BLOCK];
            first(&mut own);
            row.iter_mut().zip(own).for_each(|(w, own)| *w = f32_to_half(own));
        }
        Self { n_rows, w, v: vec![0.0; n_blocks * n_rows * 2] }
    }

    /// The same weights without what steps have to know.
    #[must_use]
    pub fn without_moments(&self) -> Self {
        Self { n_rows: self.n_rows, w: self.w.clone(), v: Vec::new() }
    }

    /// Frees what steps have to know.
    pub fn forget_moments(&mut self) {
        self.v = Vec::new();
    }

    /// Weights of a block, `[n_rows × TABLE_BLOCK]`.
    #[must_use]
    pub fn block(&self, block: usize) -> &[u16] {
        let n = self.n_rows * TABLE_BLOCK;
        &self.w[block * n..(block + 1) * n]
    }

    /// Number, weights and second moments `[n_rows × 2]` of every block.
    pub fn blocks(&mut self) -> Vec<(usize, &mut [u16], &mut [f32])> {
        let n = self.n_rows.max(1);
        let weights = self.w.chunks_exact_mut(n * TABLE_BLOCK);
        let blocks = weights.zip(self.v.chunks_exact_mut(n * 2)).enumerate();
        blocks.map(|(block, (w, v))| (block, w, v)).collect()
    }

    /// All weights, all second moments.
    #[must_use]
    pub fn parts(&self) -> (&[u16], &[f32]) {
        (&self.w, &self.v)
    }

    /// The same, to be replaced.
    pub fn parts_mut(&mut self) -> (&mut [u16], &mut Vec<f32>) {
        (&mut self.w, &mut self.v)
    }

    /// The weights, `[n_blocks × n_rows × TABLE_BLOCK]`.
    #[must_use]
    pub fn into_weights(self) -> Aligned<u16> {
        self.w
    }
}

kernel! {
    /// [`crate::sparse_layer::sum_rows`] of a block in half precision.
    ///
    /// # Panics
    /// If a row or a user is out of range.
    pub fn sum_half_rows(simd, lists: &RowLists<Entry>, table: &[u16], z: &mut [f32]) {
        z.fill(0.0);
        for (position, &row) in lists.rows.iter().enumerate() {
            let at = row as usize * TABLE_BLOCK;
            if let Some(&next) = lists.rows.get(position + 1) {
                prefetch_row(simd, table, next);
            }
            sum_row(simd, &table[at..at + TABLE_BLOCK], lists.of(position), z);
        }
    }

    /// A step for every touched row of block number `block`, at `rate`, with `dz` as [`crate::sparse_layer::update_rows`] has it. `at` is
    /// the number of steps done before; it and the block turn the chances of rounding. `table` holds `[n_rows × TABLE_BLOCK]` weights,
    /// `moments` `[n_rows × 2]` second moments.
    ///
    /// # Panics
    /// If a row or a user is out of range.
    pub fn update_half_rows(
        simd, lists: &RowLists<Entry>, dz: &[f32], steps: &RowSteps, at: usize, rate: f32, block: usize,
        table: &mut [u16], moments: &mut [f32],
    ) {
        let turn = steps.seed ^ mixed((at as u32).wrapping_mul(0x85eb_ca6b) ^ (block as u32).rotate_left(20));
        let each = 1.0 / steps.units.saturating_sub(block * BLOCK).clamp(1, BLOCK) as f32;
        let mut gradient = [0.0f32; TABLE_BLOCK];
        for (position, &row) in lists.rows.iter().enumerate() {
            if let Some(&next) = lists.rows.get(position + 1) {
                prefetch_row(simd, table, next);
            }
            row_gradient(simd, lists.of(position), dz, &mut gradient);
            let from = row as usize * TABLE_BLOCK;
            let weights = &mut table[from..from + TABLE_BLOCK];
            let moments = &mut moments[2 * row as usize..2 * row as usize + 2];
            let inputs = weights.as_chunks_mut::<BLOCK>().0.iter_mut().zip(gradient.as_chunks::<BLOCK>().0).zip(moments);
            for (input, ((weights, gradient), moment)) in inputs.enumerate() {
                let first = mixed(turn ^ (2 * row + input as u32));
                step_input(simd, steps, (rate, each), first, gradient, weights, moment);
            }
        }
    }
}

/// Asks for a row before it is needed.
#[inline(always)]
fn prefetch_row<S: Simd>(simd: S, table: &[u16], row: u32) {
    let from = table.as_ptr().wrapping_add(row as usize * TABLE_BLOCK);
    // A line of the cache holds 32 numbers.
    for line in 0..TABLE_BLOCK / 32 {
        simd.prefetch(from.wrapping_add(32 * line));
    }
}

/// A step for the weights of one input of a row, at `rate`; `each` is one over their number, and `chance` starts their random bits.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of training")]
fn step_input<S: Simd>(
    simd: S,
    steps: &RowSteps,
    (rate, each): (f32, f32),
    chance: u32,
    gradient: &[f32; BLOCK],
    weights: &mut [u16; BLOCK],
    moment: &mut f32,
) {
    let (mut w, mut g) = ([0.0f32; BLOCK], [0.0f32; BLOCK]);
    for at in (0..BLOCK).step_by(S::LANES) {
        // SAFETY: BLOCK is a multiple of LANES.
        unsafe { simd.store(w.as_mut_ptr().add(at), simd.load_half(weights.as_ptr().add(at))) };
    }
    let mut sums = [0.0f32; 16];
    for at in 0..BLOCK {
        g[at] = gradient[at] + steps.decay * w[at];
        sums[at % 16] += g[at] * g[at];
    }
    let square = sums.iter().sum::<f32>() * each;
    if square == 0.0 {
        return;
    }
    *moment = if *moment > 0.0 { steps.forget * *moment + (1.0 - steps.forget) * square } else { square };
    let by = rate / (moment.sqrt() + EPSILON);
    for at in 0..BLOCK {
        let next = w[at] - by * g[at];
        let bits = mixed(chance.wrapping_add((at as u32).wrapping_mul(0x9e37_79b9)));
        // Uniform within ±½, times the distance of neighbouring numbers of half precision: rounding to nearest does the rest.
        let off = (bits >> 8) as f32 * (1.0 / 16_777_216.0) - 0.5;
        let power = f32::from_bits(next.to_bits() & 0x7f80_0000);
        w[at] = next + off * (power * (1.0 / 1024.0)).max(LEAST);
    }
    for at in (0..BLOCK).step_by(S::LANES) {
        // SAFETY: as above.
        unsafe { simd.store_half(weights.as_mut_ptr().add(at), simd.load(w.as_ptr().add(at))) };
    }
}

/// The distance of the smallest numbers of half precision, 2⁻²⁴.
const LEAST: f32 = 1.0 / 16_777_216.0;

/// The finaliser of [`crate::dropout`].
#[inline(always)]
fn mixed(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}
