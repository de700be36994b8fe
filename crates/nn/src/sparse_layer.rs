//! The sparse first layer, a block of columns at a time: weighted rows of a table, bias, LeakyReLU, batch normalisation,
//! dropout, and all of it backwards with the optimiser's step fused in.
//!
//! A row of the table holds two weights for each unit of the block: `[a-weights | b-weights]`, so that an input that has both a
//! value and an indicator finds its weights side by side. A task owns a block of [`BLOCK`] units: the block of all users of a
//! batch stays in the cache nearest to the core, and each touched row is read once forward (`4·2·BLOCK` bytes) and once backward
//! with its moments (`6·4·2·BLOCK` bytes read and written). No gradient of the table is ever stored.
//!
//! Forward: `z = Σ_i (a_i·A_i + b_i·B_i) + c`, `h = LeakyReLU(z)`, `x = dropout(γ·(h − mean)/√(variance + ε) + β)`.
//!
//! ```
//! use foldin_nn::plan::RowLists;
//! use foldin_nn::sparse_layer::{BLOCK, Entry, TABLE_BLOCK, sum_rows};
//! // Two users; the first has row 1 of three, the second rows 0 and 1.
//! let entries = [(1, Entry { user: 0, a: 2.0, b: 1.0 }), (0, Entry { user: 1, a: 1.0, b: 0.0 }),
//!     (1, Entry { user: 1, a: -1.0, b: 1.0 })];
//! let lists = RowLists::group(&mut [0; 3], |add| entries.iter().for_each(|&(row, entry)| add(row, entry)));
//! let table: Vec<f32> = (0..3 * TABLE_BLOCK).map(|at| (at / TABLE_BLOCK) as f32 + 1.0).collect();
//! let mut z = vec![0.0; 2 * BLOCK];
//! sum_rows(&lists, &table, &mut z);
//! assert_eq!((z[0], z[BLOCK]), (6.0, 1.0));
//! ```

use crate::adam::{Columns, Moving, Skips, Steps, update_row};
use crate::dropout::Dropout;
use crate::kernel;
use crate::plan::RowLists;
use crate::simd::Simd;

/// Units of a block.
pub const BLOCK: usize = 64;

/// Columns of a block of the table: two weights a unit.
pub const TABLE_BLOCK: usize = 2 * BLOCK;

/// Added to variances, as is usual.
pub const NORM_EPSILON: f32 = 1e-5;

/// A user of the batch who has a row, with the two inputs that weigh it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Entry {
    /// Position in the batch.
    pub user: u32,
    /// Input of the a-weights.
    pub a: f32,
    /// Input of the b-weights.
    pub b: f32,
}

/// One number for each unit of a block.
pub type Units = [f32; BLOCK];

/// What the layer learned about a block's normalisation in a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchStatistics {
    /// Mean of each unit over the batch.
    pub mean: Units,
    /// Biased variance of each unit over the batch.
    pub variance: Units,
}

/// The parameters of a block besides the table.
#[derive(Clone, Copy, Debug)]
pub struct BlockParameters<'a> {
    /// `[BLOCK]`: added to the sums.
    pub bias: &'a [f32],
    /// `[BLOCK]` each, scale γ and shift β of the normalisation, if there is one.
    pub norm: Option<(&'a [f32], &'a [f32])>,
    /// Slope of the LeakyReLU below zero.
    pub slope: f32,
    /// Dropout of the output; positions are `user · width + unit`.
    pub dropout: Dropout,
    /// Units of all blocks together, and the first of this one: for positions of dropout.
    pub width: usize,
    /// First unit of this block.
    pub first: usize,
}

impl BlockParameters<'_> {
    fn position(&self, user: usize) -> u32 {
        (user * self.width + self.first) as u32
    }

    fn norm_of(&self, statistics: Option<&BatchStatistics>) -> Option<Normal> {
        let ((gamma, beta), statistics) = self.norm.zip(statistics)?;
        Some(Normal {
            gamma: units(gamma),
            beta: units(beta),
            mean: statistics.mean,
            inverse: statistics.variance.map(|variance| 1.0 / (variance + NORM_EPSILON).sqrt()),
        })
    }
}

struct Normal {
    gamma: Units,
    beta: Units,
    mean: Units,
    inverse: Units,
}

fn units(from: &[f32]) -> Units {
    let mut out = [0.0; BLOCK];
    out.copy_from_slice(from);
    out
}

/// Rows of a block as arrays of known length.
#[inline(always)]
fn rows(block: &[f32]) -> &[Units] {
    block.as_chunks::<BLOCK>().0
}

#[inline(always)]
fn rows_mut(block: &mut [f32]) -> &mut [Units] {
    block.as_chunks_mut::<BLOCK>().0
}

kernel! {
    /// `z[u] = Σ_i (a_i·A_i + b_i·B_i)` for the users `u` of a batch; `table` is the block `[n_rows × 2·BLOCK]`, `z` is
    /// `[n × BLOCK]`.
    ///
    /// # Panics
    /// If a row or a user is out of range.
    pub fn sum_rows(simd, lists: &RowLists<Entry>, table: &[f32], z: &mut [f32]) {
        z.fill(0.0);
        for (position, &row) in lists.rows.iter().enumerate() {
            let at = row as usize * TABLE_BLOCK;
            let weights = &table[at..at + TABLE_BLOCK];
            sum_row(simd, weights, lists.of(position), z);
        }
    }

    /// The rest of the forward pass of a block: `z` becomes `h` in place, `x` gets the layer's output; both `[n × BLOCK]`.
    /// Returns the statistics of the batch if there is a normalisation.
    pub fn activate(simd, parameters: &BlockParameters<'_>, z: &mut [f32], x: &mut [f32]) -> Option<BatchStatistics> {
        let _ = simd;
        let bias = units(parameters.bias);
        let slope = parameters.slope;
        let n = rows(z).len();
        let mut mean = [0.0f32; BLOCK];
        for z in rows_mut(z) {
            for unit in 0..BLOCK {
                let sum = z[unit] + bias[unit];
                z[unit] = if sum > 0.0 { sum } else { slope * sum };
                mean[unit] += z[unit];
            }
        }
        let statistics = parameters.norm.map(|_| {
            let mut variance = [0.0f32; BLOCK];
            let inverse = 1.0 / n.max(1) as f32;
            mean.iter_mut().for_each(|mean| *mean *= inverse);
            for h in rows(z) {
                for unit in 0..BLOCK {
                    let centred = h[unit] - mean[unit];
                    variance[unit] += centred * centred;
                }
            }
            variance.iter_mut().for_each(|variance| *variance *= inverse);
            BatchStatistics { mean, variance }
        });
        let (mut scale, mut shift) = ([1.0f32; BLOCK], [0.0f32; BLOCK]);
        if let Some(normal) = parameters.norm_of(statistics.as_ref()) {
            for unit in 0..BLOCK {
                scale[unit] = normal.gamma[unit] * normal.inverse[unit];
                shift[unit] = normal.beta[unit] - normal.mean[unit] * scale[unit];
            }
        }
        for (user, (h, x)) in rows(z).iter().zip(rows_mut(x)).enumerate() {
            let position = parameters.position(user);
            for unit in 0..BLOCK {
                let kept = parameters.dropout.factor(position.wrapping_add(unit as u32));
                x[unit] = (h[unit] * scale[unit] + shift[unit]) * kept;
            }
        }
        statistics
    }

    /// Backward through dropout, normalisation and LeakyReLU: from the gradient `dx` of the output to `dz`, `[n × BLOCK]`.
    /// `dx` is row-major `[n × stride]`, its columns from `parameters.first` on belong to the block; columns from `stride` on
    /// count as zero. `gradients` gets the sums for bias, and for γ and β where there is a normalisation.
    ///
    /// # Panics
    /// If the lengths disagree.
    pub fn activate_backward(
        simd, parameters: &BlockParameters<'_>, statistics: Option<&BatchStatistics>, h: &[f32], dx: &[f32],
        stride: usize, dz: &mut [f32], gradients: &mut [Units; 3],
    ) {
        let _ = simd;
        let first = parameters.first.min(stride);
        let width = (stride - first).min(BLOCK);
        let n = rows(h).len();
        let mut sums = [[0.0f32; BLOCK]; 3];
        let normal = parameters.norm_of(statistics);
        for (user, dz) in rows_mut(dz).iter_mut().enumerate() {
            let mut dy = [0.0f32; BLOCK];
            dy[..width].copy_from_slice(&dx[user * stride + first..user * stride + first + width]);
            let position = parameters.position(user);
            for unit in 0..BLOCK {
                dz[unit] = dy[unit] * parameters.dropout.factor(position.wrapping_add(unit as u32));
            }
        }
        if let Some(normal) = &normal {
            for (h, dy) in rows(h).iter().zip(rows(dz)) {
                for unit in 0..BLOCK {
                    let standard = (h[unit] - normal.mean[unit]) * normal.inverse[unit];
                    sums[1][unit] += dy[unit] * standard;
                    sums[2][unit] += dy[unit];
                }
            }
            let each = 1.0 / n.max(1) as f32;
            for (h, dz) in rows(h).iter().zip(rows_mut(dz)) {
                for unit in 0..BLOCK {
                    let standard = (h[unit] - normal.mean[unit]) * normal.inverse[unit];
                    let centred = dz[unit] - each * (sums[2][unit] + standard * sums[1][unit]);
                    dz[unit] = normal.gamma[unit] * normal.inverse[unit] * centred;
                }
            }
        }
        for (h, dz) in rows(h).iter().zip(rows_mut(dz)) {
            for unit in 0..BLOCK {
                dz[unit] *= if h[unit] > 0.0 { 1.0 } else { parameters.slope };
                sums[0][unit] += dz[unit];
            }
        }
        *gradients = sums;
    }

    /// The gradient of every touched row of a block, `dA_i = Σ_u a_i·dz[u]` and `dB_i = Σ_u b_i·dz[u]`, each used at once for a
    /// step of the optimiser and the steps that the row skips afterwards. `at` is the number of steps done before; `skips` is
    /// that after this step.
    ///
    /// # Panics
    /// If a row or a user is out of range, or `columns` has not `2·BLOCK` columns.
    pub fn update_rows(
        simd, lists: &RowLists<Entry>, dz: &[f32], steps: &Steps, columns: &Columns, at: usize, skips: &Skips,
        table: &mut Moving<'_>,
    ) {
        let mut gradient = [0.0f32; TABLE_BLOCK];
        for (position, &row) in lists.rows.iter().enumerate() {
            row_gradient(simd, lists.of(position), dz, &mut gradient);
            let from = row as usize * TABLE_BLOCK;
            let mut row = table.slice(from..from + TABLE_BLOCK);
            let skipped = lists.skipped[position] as usize;
            update_row(simd, steps, columns, at, Some(skips), skipped, Some(&gradient), &mut row);
        }
    }
}

/// A weight as a table keeps it.
pub(crate) trait Weight: Copy {
    /// A register of weights.
    ///
    /// # Safety
    /// `at` must point to `LANES` weights.
    #[expect(unsafe_code, reason = "as the loads of `Simd`")]
    unsafe fn load<S: Simd>(simd: S, at: *const Self) -> S::V;
}

#[expect(unsafe_code, reason = "as the loads of `Simd`")]
impl Weight for f32 {
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, at: *const Self) -> S::V {
        // SAFETY: the caller vouches.
        unsafe { simd.load(at) }
    }
}

/// In half precision.
#[expect(unsafe_code, reason = "as the loads of `Simd`")]
impl Weight for u16 {
    #[inline(always)]
    unsafe fn load<S: Simd>(simd: S, at: *const Self) -> S::V {
        // SAFETY: the caller vouches.
        unsafe { simd.load_half(at) }
    }
}

/// Adds a row's weights to all users who have it.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of training")]
pub(crate) fn sum_row<S: Simd, W: Weight>(simd: S, weights: &[W], entries: &[Entry], z: &mut [f32]) {
    let zero = simd.splat(0.0);
    let mut part = 0;
    while part < BLOCK {
        let (mut a, mut b) = ([zero; 4], [zero; 4]);
        for i in 0..4 {
            let at = part + i * S::LANES;
            // SAFETY: `part + 4 LANES` is at most BLOCK, and `weights` holds twice that.
            unsafe {
                a[i] = W::load(simd, weights[..TABLE_BLOCK].as_ptr().add(at));
                b[i] = W::load(simd, weights[..TABLE_BLOCK].as_ptr().add(BLOCK + at));
            }
        }
        for entry in entries {
            let from = entry.user as usize * BLOCK;
            let z = z[from..from + BLOCK].as_mut_ptr();
            let (by_a, by_b) = (simd.splat(entry.a), simd.splat(entry.b));
            for i in 0..4 {
                // SAFETY: as above; `z` points to BLOCK numbers.
                unsafe {
                    let z = z.add(part + i * S::LANES);
                    let sum = simd.mul_add(by_a, a[i], simd.load(z));
                    simd.store(z, simd.mul_add(by_b, b[i], sum));
                }
            }
        }
        part += 4 * S::LANES;
    }
}

/// Both gradients of a row.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of training")]
pub(crate) fn row_gradient<S: Simd>(
    simd: S,
    entries: &[Entry],
    dz: &[f32],
    gradient: &mut [f32; TABLE_BLOCK],
) {
    let zero = simd.splat(0.0);
    let mut part = 0;
    while part < BLOCK {
        let (mut a, mut b) = ([zero; 4], [zero; 4]);
        for entry in entries {
            let from = entry.user as usize * BLOCK;
            let dz = dz[from..from + BLOCK].as_ptr();
            let (by_a, by_b) = (simd.splat(entry.a), simd.splat(entry.b));
            for i in 0..4 {
                // SAFETY: `part + 4 LANES` is at most BLOCK, and `dz` points to BLOCK numbers.
                let dz = unsafe { simd.load(dz.add(part + i * S::LANES)) };
                a[i] = simd.mul_add(by_a, dz, a[i]);
                b[i] = simd.mul_add(by_b, dz, b[i]);
            }
        }
        for i in 0..4 {
            let at = part + i * S::LANES;
            // SAFETY: `gradient` holds two blocks.
            unsafe {
                simd.store(gradient.as_mut_ptr().add(at), a[i]);
                simd.store(gradient.as_mut_ptr().add(BLOCK + at), b[i]);
            }
        }
        part += 4 * S::LANES;
    }
}
