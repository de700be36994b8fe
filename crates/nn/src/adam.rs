//! Adam (Kingma and Ba 2015) with coupled L2 decay, on dense arrays and on the rows of sparse tables.
//!
//! One step `τ` with gradient `g` (the decay `λ·w` already added), as everywhere:
//! `m ← β₁m + (1−β₁)g`, `v ← β₂v + (1−β₂)g²`, `w ← w − rate_τ · m / (√v · root_τ + ε)`, where
//! `rate_τ = lr_τ/(1−β₁^τ)` and `root_τ = 1/√(1−β₂^τ)`.
//!
//! **A sparse table keeps this meaning for rows without gradient.** Such a row still moves: by its momentum and by its decay.
//! But as its next `j` steps depend on nothing but `(w, m, v)`, they are taken at once, in registers, right after the row's last
//! update, when it is in the cache anyway. The caller says how many steps pass before the row is needed again
//! ([`crate::plan`] knows). With decay, when weights are averaged, and at the very start, the steps are replayed one by one;
//! otherwise they have the closed form `w ← w − A·m/(√v + ē)`, `m ← β₁ʲm`, `v ← β₂ʲv`, with
//! `A = Σ_s c_s/d_s`, `ē = ε·Σ_s (c_s/d_s²)/A`, `c_s = rate_{τ+s}β₁ˢ`, `d_s = root_{τ+s}β₂^{s/2}`. That is exact for ε = 0 and to
//! second order in the change of `d` otherwise; terms beyond [`FAR`] steps are below the rounding of `f32` and left out.
//!
//! ```
//! use foldin_nn::adam::{Adam, Columns, Moving, Steps, step};
//! // From 0 towards the minimum of (w − 1)² + (w + 2)².
//! let (mut w, mut m, mut v) = ([0.0, 0.0], [0.0; 2], [0.0; 2]);
//! let (steps, columns) = (Steps::new(Adam::default(), vec![0.05; 300]), Columns::uniform(2, 0.0));
//! for at in 0..steps.len() {
//!     let gradient = [2.0 * (w[0] - 1.0), 2.0 * (w[1] + 2.0)];
//!     let mut weights = Moving { w: &mut w, m: &mut m, v: &mut v, average: &mut [] };
//!     step(&steps, &columns, at, &gradient, &mut weights);
//! }
//! assert!((w[0] - 1.0f32).abs() < 0.01 && (w[1] + 2.0f32).abs() < 0.01);
//! ```

use crate::kernel;
use crate::simd::Simd;

/// Steps after which a momentum has died: 0.9³²⁰ is 2e-15.
pub const FAR: usize = 320;

/// Steps at the start of a run during which skipped steps are replayed: `root_τ` still changes quickly there, by a factor of
/// three in ten steps at first, which the closed form would feel wherever a gradient is as small as ε.
const WARM: usize = 256;

/// Second moments are kept above this, so that no square root sees a subnormal number; its root is far below every ε.
const TINY: f32 = 1e-36;

/// Momenta smaller than this are set to zero when a row skips steps: they would become subnormal, which is slow.
const DEAD: f32 = 1e-30;

/// Constants of the optimiser.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decay of the running mean of weights; 0 for none.
    pub average: f64,
}

impl Default for Adam {
    /// β₁ = 0.9, β₂ = 0.999, ε = 1e-8, no averaging.
    fn default() -> Self {
        Self { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, average: 0.0 }
    }
}

/// The learning rate of every step of a training run, and what follows from it.
#[derive(Clone, Debug)]
pub struct Steps {
    adam: Adam,
    learning_rates: Vec<f64>,
    rate: Vec<f32>,
    root: Vec<f32>,
}

impl Steps {
    /// The steps of a run; `learning_rates` holds one element a step.
    #[must_use]
    pub fn new(adam: Adam, learning_rates: impl IntoIterator<Item = f64>) -> Self {
        let (mut power1, mut power2) = (1.0, 1.0);
        let learning_rates: Vec<f64> = learning_rates.into_iter().collect();
        let (rate, root) = learning_rates
            .iter()
            .map(|learning_rate| {
                power1 *= adam.beta1;
                power2 *= adam.beta2;
                ((learning_rate / (1.0 - power1)) as f32, (1.0 / (1.0 - power2).sqrt()) as f32)
            })
            .unzip();
        Self { adam, learning_rates, rate, root }
    }

    /// Number of steps.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rate.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rate.is_empty()
    }

    /// The learning rate of every step.
    pub fn learning_rates(&self) -> impl Iterator<Item = f64> + '_ {
        self.learning_rates.iter().copied()
    }

    /// Whether weights are averaged.
    #[must_use]
    pub fn averages(&self) -> bool {
        self.adam.average > 0.0
    }

    /// Moves running means of weights that no step moves, as a step moves those of its own.
    pub(crate) fn follow(&self, w: &[f32], average: &mut [f32]) {
        let keep = self.adam.average as f32;
        for (average, w) in average.iter_mut().zip(w) {
            *average = keep * *average + (1.0 - keep) * w;
        }
    }

    /// What a running mean of weights must be multiplied by after `done` steps, as it started from zero.
    #[must_use]
    pub fn average_correction(&self, done: usize) -> f32 {
        (1.0 / (1.0 - self.adam.average.powi(done.min(i32::MAX as usize) as i32))) as f32
    }

    /// What rows that skip steps after step `done` (counted from 0: the number of steps done) need to know.
    #[must_use]
    pub fn skips_after(&self, done: usize) -> Skips {
        let far = FAR.min(self.len() - done.min(self.len()));
        let mut skips = Skips { gain: vec![0.0], offset: vec![0.0] };
        let (mut sum, mut weighted) = (0.0, 0.0);
        let (mut power1, mut power2) = (1.0, 1.0);
        for at in done..done + far {
            power1 *= self.adam.beta1;
            power2 *= self.adam.beta2.sqrt();
            let d = f64::from(self.root[at]) * power2;
            let term = f64::from(self.rate[at]) * power1 / d;
            sum += term;
            weighted += term / d;
            skips.gain.push(sum as f32);
            skips.offset.push(if sum > 0.0 { (self.adam.epsilon * weighted / sum) as f32 } else { 0.0 });
        }
        skips
    }
}

/// Closed forms of up to [`FAR`] steps without gradient or decay, by number of steps.
#[derive(Clone, Debug)]
pub struct Skips {
    gain: Vec<f32>,
    offset: Vec<f32>,
}

/// How the columns of a table learn.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// `[width]`: factor of the learning rate.
    rate: Vec<f32>,
    /// `[width]`: coupled L2 decay.
    decay: Vec<f32>,
    decays: bool,
}

impl Columns {
    /// One factor of the learning rate and one decay for each column.
    ///
    /// # Panics
    /// If the two differ in length.
    #[must_use]
    pub fn new(rate: Vec<f32>, decay: Vec<f32>) -> Self {
        assert_eq!(rate.len(), decay.len(), "one decay a column");
        let decays = decay.iter().any(|&decay| decay > 0.0);
        Self { rate, decay, decays }
    }

    /// The same decay for all of `width` columns, with the learning rate as it is.
    #[must_use]
    pub fn uniform(width: usize, decay: f32) -> Self {
        Self::new(vec![1.0; width], vec![decay; width])
    }

    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.rate.len()
    }
}

/// Weights with their moments, of one length; `average` is empty unless weights are averaged.
#[derive(Debug)]
pub struct Moving<'a> {
    /// Weights.
    pub w: &'a mut [f32],
    /// Means of gradients.
    pub m: &'a mut [f32],
    /// Means of squared gradients.
    pub v: &'a mut [f32],
    /// Running mean of the weights, from 0.
    pub average: &'a mut [f32],
}

impl Moving<'_> {
    /// The elements of `range`.
    #[inline(always)]
    pub fn slice(&mut self, range: std::ops::Range<usize>) -> Moving<'_> {
        Moving {
            w: &mut self.w[range.clone()],
            m: &mut self.m[range.clone()],
            v: &mut self.v[range.clone()],
            average: if self.average.is_empty() { &mut [] } else { &mut self.average[range] },
        }
    }
}

kernel! {
    /// One step on `weights` with the gradient `g` of the loss (decay not yet added). `at` is the number of steps done before.
    ///
    /// The columns of `weights` repeat those of `columns`.
    ///
    /// # Panics
    /// If the lengths disagree or `at` is not below the number of steps.
    pub fn step(simd, steps: &Steps, columns: &Columns, at: usize, g: &[f32], weights: &mut Moving<'_>) {
        let width = columns.width();
        for (row, g) in g.chunks_exact(width).enumerate() {
            let mut row = weights.slice(row * width..(row + 1) * width);
            update_row(simd, steps, columns, at, None, 0, Some(g), &mut row);
        }
    }

    /// Takes every row `skipped[row]` steps forward without gradient, from `done` steps done.
    ///
    /// # Panics
    /// If the lengths disagree or the steps reach beyond the last.
    pub fn skip_rows(
        simd, steps: &Steps, columns: &Columns, done: usize, skips: &Skips, skipped: &[u32], weights: &mut Moving<'_>,
    ) {
        let width = columns.width();
        for (row, &skipped) in skipped.iter().enumerate() {
            if skipped > 0 {
                let mut row = weights.slice(row * width..(row + 1) * width);
                update_row(simd, steps, columns, done, Some(skips), skipped as usize, None, &mut row);
            }
        }
    }
}

/// One step with gradient `g` (if there is one) at step `at`, then `skipped` steps without. `skips` must be that of the step
/// after which the skipping starts; it may be absent if nothing is skipped.
#[inline(always)]
#[expect(unsafe_code, reason = "pointer loads after one check of the lengths")]
pub(crate) fn update_row<S: Simd>(
    simd: S,
    steps: &Steps,
    columns: &Columns,
    at: usize,
    skips: Option<&Skips>,
    skipped: usize,
    g: Option<&[f32]>,
    row: &mut Moving<'_>,
) {
    let width = columns.width();
    let averages = steps.averages();
    assert!(row.w.len() == width && row.m.len() == width && row.v.len() == width);
    assert!(g.is_none_or(|g| g.len() == width) && (!averages || row.average.len() == width));
    let with_gradient = usize::from(g.is_some());
    assert!(at + with_gradient + skipped <= steps.len());
    let constants = Constants::new(simd, &steps.adam);
    let mut column = 0;
    while column < width {
        // Groups of four registers, so that four chains of square roots and divisions overlap; then single numbers.
        if column + 4 * S::LANES <= width {
            // SAFETY: all slices hold `width` numbers, and the steps were checked above.
            unsafe {
                let g = g.map(|g| g.as_ptr().add(column));
                let row = Pointers::of(row, averages, column);
                group::<S, 4>(simd, &constants, steps, columns, column, at, skips, skipped, g, row);
            }
            column += 4 * S::LANES;
        } else if column + S::LANES <= width {
            // SAFETY: as above.
            unsafe {
                let g = g.map(|g| g.as_ptr().add(column));
                let row = Pointers::of(row, averages, column);
                group::<S, 1>(simd, &constants, steps, columns, column, at, skips, skipped, g, row);
            }
            column += S::LANES;
        } else {
            let end = width - column;
            let mut padded = [[0.0f32; 64]; 7];
            let [rate, decay, gradient, w, m, v, average] = &mut padded;
            rate[..end].copy_from_slice(&columns.rate[column..]);
            decay[..end].copy_from_slice(&columns.decay[column..]);
            w[..end].copy_from_slice(&row.w[column..]);
            m[..end].copy_from_slice(&row.m[column..]);
            v[..end].copy_from_slice(&row.v[column..]);
            if averages {
                average[..end].copy_from_slice(&row.average[column..]);
            }
            if let Some(g) = g {
                gradient[..end].copy_from_slice(&g[column..]);
            }
            let last = Columns { rate: rate.to_vec(), decay: decay.to_vec(), decays: columns.decays };
            let pointers = Pointers {
                w: w.as_mut_ptr(),
                m: m.as_mut_ptr(),
                v: v.as_mut_ptr(),
                average: if averages { Some(average.as_mut_ptr()) } else { None },
            };
            // SAFETY: the padded arrays hold a register each.
            unsafe {
                let g = g.map(|_| gradient.as_ptr());
                group::<S, 1>(simd, &constants, steps, &last, 0, at, skips, skipped, g, pointers);
            }
            row.w[column..].copy_from_slice(&w[..end]);
            row.m[column..].copy_from_slice(&m[..end]);
            row.v[column..].copy_from_slice(&v[..end]);
            if averages {
                row.average[column..].copy_from_slice(&average[..end]);
            }
            column = width;
        }
    }
}

/// Broadcast constants of the optimiser.
struct Constants<S: Simd> {
    beta1: S::V,
    rest1: S::V,
    beta2: S::V,
    rest2: S::V,
    epsilon: S::V,
    tiny: S::V,
    keep: S::V,
    join: S::V,
}

impl<S: Simd> Constants<S> {
    #[inline(always)]
    fn new(simd: S, adam: &Adam) -> Self {
        Self {
            beta1: simd.splat(adam.beta1 as f32),
            rest1: simd.splat((1.0 - adam.beta1) as f32),
            beta2: simd.splat(adam.beta2 as f32),
            rest2: simd.splat((1.0 - adam.beta2) as f32),
            epsilon: simd.splat(adam.epsilon as f32),
            tiny: simd.splat(TINY),
            keep: simd.splat(adam.average as f32),
            join: simd.splat((1.0 - adam.average) as f32),
        }
    }
}

/// Where a group of columns lies.
#[derive(Clone, Copy)]
struct Pointers {
    w: *mut f32,
    m: *mut f32,
    v: *mut f32,
    average: Option<*mut f32>,
}

#[expect(unsafe_code, reason = "pointers into checked slices")]
impl Pointers {
    /// # Safety
    /// `column` must lie within the slices of `row`.
    #[inline(always)]
    unsafe fn of(row: &mut Moving<'_>, averages: bool, column: usize) -> Self {
        // SAFETY: the caller vouches.
        unsafe {
            Self {
                w: row.w.as_mut_ptr().add(column),
                m: row.m.as_mut_ptr().add(column),
                v: row.v.as_mut_ptr().add(column),
                average: averages.then(|| row.average.as_mut_ptr().add(column)),
            }
        }
    }
}

/// `N` registers of columns, from `column` on.
///
/// # Safety
/// All pointers must be valid for `N · LANES` numbers, `columns` must hold as many from `column` on, and `steps` must have the
/// steps that are taken.
#[inline(always)]
#[expect(unsafe_code, reason = "the inner loop of training")]
unsafe fn group<S: Simd, const N: usize>(
    simd: S,
    constants: &Constants<S>,
    steps: &Steps,
    columns: &Columns,
    column: usize,
    at: usize,
    skips: Option<&Skips>,
    skipped: usize,
    g: Option<*const f32>,
    row: Pointers,
) {
    // SAFETY of all loads and stores: the caller vouches for the pointers.
    unsafe {
        let rate: *const f32 = columns.rate.as_ptr().add(column);
        let decay: *const f32 = columns.decay.as_ptr().add(column);
        let zero = simd.splat(0.0);
        let (mut w, mut m, mut v, mut average) = ([zero; N], [zero; N], [zero; N], [zero; N]);
        for i in 0..N {
            w[i] = simd.load(row.w.add(i * S::LANES));
            m[i] = simd.load(row.m.add(i * S::LANES));
            v[i] = simd.load(row.v.add(i * S::LANES));
        }
        if let Some(from) = row.average {
            for i in 0..N {
                average[i] = simd.load(from.add(i * S::LANES));
            }
        }
        let averages = row.average.is_some();
        let mut next = at;
        if let Some(g) = g {
            for i in 0..N {
                let g =
                    simd.mul_add(simd.load(decay.add(i * S::LANES)), w[i], simd.load(g.add(i * S::LANES)));
                let rate = simd.load(rate.add(i * S::LANES));
                one_step(simd, constants, steps, next, rate, g, &mut w[i], &mut m[i], &mut v[i]);
                if averages {
                    average[i] = simd.mul_add(constants.keep, average[i], simd.mul(constants.join, w[i]));
                }
            }
            next += 1;
        }
        if skipped > 0 {
            let replayed = match (columns.decays, averages) {
                (true, _) => skipped,
                (false, averages) if averages || at < WARM => skipped.min(FAR),
                (false, _) => 0,
            };
            for next in next..next + replayed {
                for i in 0..N {
                    let g = simd.mul(simd.load(decay.add(i * S::LANES)), w[i]);
                    let rate = simd.load(rate.add(i * S::LANES));
                    one_step(simd, constants, steps, next, rate, g, &mut w[i], &mut m[i], &mut v[i]);
                    if averages {
                        average[i] = simd.mul_add(constants.keep, average[i], simd.mul(constants.join, w[i]));
                    }
                }
            }
            if replayed < skipped {
                let rest = (skipped - replayed).min(i32::MAX as usize) as i32;
                let gain = match skips {
                    Some(skips) if replayed == 0 => {
                        let near = skipped.min(skips.gain.len() - 1);
                        Some((simd.splat(skips.gain[near]), simd.splat(skips.offset[near])))
                    }
                    _ => None,
                };
                let power1 = simd.splat(steps.adam.beta1.powi(rest) as f32);
                let power2 = simd.splat(steps.adam.beta2.powi(rest) as f32);
                let kept = steps.adam.average.powi(rest) as f32;
                for i in 0..N {
                    if let Some((gain, offset)) = gain {
                        let v = simd.max(v[i], constants.tiny);
                        let root = simd.mul_add(v, simd.reciprocal_sqrt(v), offset);
                        let rate = simd.mul(gain, simd.load(rate.add(i * S::LANES)));
                        let move_by = simd.mul(simd.mul(rate, m[i]), simd.reciprocal(root));
                        w[i] = simd.sub(w[i], move_by);
                    }
                    m[i] = simd.zero_below(simd.mul(m[i], power1), DEAD);
                    v[i] = simd.max(simd.mul(v[i], power2), constants.tiny);
                    if averages {
                        let joined = simd.mul(simd.splat(1.0 - kept), w[i]);
                        average[i] = simd.mul_add(simd.splat(kept), average[i], joined);
                    }
                }
            }
        }
        for i in 0..N {
            simd.store(row.w.add(i * S::LANES), w[i]);
            simd.store(row.m.add(i * S::LANES), m[i]);
            simd.store(row.v.add(i * S::LANES), v[i]);
        }
        if let Some(to) = row.average {
            for i in 0..N {
                simd.store(to.add(i * S::LANES), average[i]);
            }
        }
    }
}

#[inline(always)]
fn one_step<S: Simd>(
    simd: S,
    constants: &Constants<S>,
    steps: &Steps,
    at: usize,
    rate: S::V,
    g: S::V,
    w: &mut S::V,
    m: &mut S::V,
    v: &mut S::V,
) {
    *m = simd.mul_add(constants.beta1, *m, simd.mul(constants.rest1, g));
    *v = simd.mul_add(constants.beta2, *v, simd.mul(simd.mul(constants.rest2, g), g));
    *v = simd.max(*v, constants.tiny);
    let root = simd.mul(*v, simd.reciprocal_sqrt(*v));
    let below = simd.mul_add(root, simd.splat(steps.root[at]), constants.epsilon);
    let rate = simd.mul(rate, simd.splat(steps.rate[at]));
    *w = simd.sub(*w, simd.mul(simd.mul(rate, *m), simd.reciprocal(below)));
}

#[cfg(test)]
mod tests;
