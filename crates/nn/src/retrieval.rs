//! The best items for generated factors: a scan of all items, exact.
//!
//! Items lie in panels, factor after factor, so that a register holds one factor of many items: the user's factor is broadcast,
//! and no sum ever runs across a register. Floor: `4·k` bytes an item from memory, or `2·k` FLOP.
//!
//! What limits a scan of a large catalogue is reading it. So there is a coarse copy of a byte a number: with the factors rounded to
//! multiples of `s_j`, a score is off by `Σ_j |u_j| s_j / 2` at most, and only items that could still enter the list are looked at again
//! as they are. The list is the same; floor: `k` bytes an item.
//!
//! Where even that is too much, [`clustered`] looks at a part of the catalogue, and may miss an item.

pub mod clustered;

use std::ops::Range;

use foldin_core::{ItemFactors, Scored, TopK};

use crate::aligned::Aligned;
use crate::kernel;
use crate::matmul::{Matrix, Packed, panel_sums, store_panels};
use crate::simd::Simd;

/// Panels scored at a time: eight sums keep the multipliers busy.
const PANELS: usize = 4;

/// Items that are scored before the first of them is looked at; the more, the fewer of them ever enter the list.
const FIRST_ITEMS: usize = 4096;

/// Items from which on the coarse copy pays: below, everything stays close to the processor.
const COARSE_FROM: usize = 16_384;

/// Items of a block of the coarse copy: whole panels on any processor.
const BLOCK: usize = 64;

/// The factors and biases of all items, laid out for scanning.
#[derive(Clone, Debug)]
pub struct PackedItems {
    /// `[(k + 1) × n_items]`: factors, then the bias.
    packed: Packed,
    mean: f32,
    coarse: Option<Coarse>,
}

/// The same, rounded to a byte each.
#[derive(Clone, Debug)]
struct Coarse {
    /// Blocks of [`BLOCK`] items, each `[(k + 1) × BLOCK]`, in multiples of the scales.
    blocks: Aligned<i8>,
    /// `[k + 1]`.
    scales: Vec<f32>,
}

impl Coarse {
    /// Rounds the rows of all items, `[n × width]`.
    fn new(rows: &[f32], width: usize) -> Self {
        let mut scales = vec![0f32; width];
        for row in rows.chunks_exact(width) {
            scales.iter_mut().zip(row).for_each(|(scale, x)| *scale = scale.max(x.abs()));
        }
        scales.iter_mut().for_each(|scale| *scale /= 127.0);
        let mut blocks = Aligned::zeros((rows.len() / width).div_ceil(BLOCK) * width * BLOCK);
        for (items, block) in rows.chunks(width * BLOCK).zip(blocks.chunks_exact_mut(width * BLOCK)) {
            for (at, row) in items.chunks_exact(width).enumerate() {
                for (j, (&x, &scale)) in row.iter().zip(&scales).enumerate() {
                    // Rounded to the nearest, so that it is off by half a scale at most.
                    block[j * BLOCK + at] = if scale > 0.0 { (x / scale).round() as i8 } else { 0 };
                }
            }
        }
        Self { blocks, scales }
    }

    /// What meets the bytes, and by how much a score can be off with them, the rounding of sums of either kind included.
    fn prepare(&self, x: &[f32], shift: f32) -> (Vec<f32>, f32) {
        let scaled: Vec<f32> = x.iter().zip(&self.scales).map(|(x, scale)| x * scale).collect();
        let reach: f32 = scaled.iter().map(|x| x.abs()).sum();
        let of_sums = 4.0 * (x.len() + 8) as f32 * f32::EPSILON;
        let slack = reach * (0.5 + 127.0 * of_sums) + shift.abs() * of_sums;
        (scaled, slack)
    }
}

impl PackedItems {
    /// Lays out the factors of a model.
    #[must_use]
    pub fn new(items: &ItemFactors) -> Self {
        let (n, k) = (items.bias.len(), items.k);
        let mut rows = vec![0.0; n * (k + 1)];
        for (item, row) in rows.chunks_exact_mut(k + 1).enumerate() {
            row[..k].copy_from_slice(items.row(item));
            row[k] = items.bias[item];
        }
        let coarse = (n >= COARSE_FROM).then(|| Coarse::new(&rows, k + 1));
        Self { packed: Packed::new(Matrix::new(&rows, n, k + 1).transposed()), mean: items.mean, coarse }
    }

    /// Number of items.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.packed.columns()
    }

    /// Number of factors.
    #[must_use]
    pub fn k(&self) -> usize {
        self.packed.rows() - 1
    }

    /// Scores all items for a user of factors `u` and bias `bias`: `out` gets `u·m_i + bias + b_i + μ`.
    ///
    /// # Panics
    /// If `u` has not `k` elements or `out` not one an item.
    pub fn score(&self, u: &[f32], bias: f32, out: &mut [f32]) {
        self.packed.row_times(&extended(u), out);
        let shift = bias + self.mean;
        out.iter_mut().for_each(|score| *score += shift);
    }

    /// The best `n` items without `excluded` (which must ascend), best first, ties to the lowest item. Runs on the calling
    /// thread.
    ///
    /// # Panics
    /// If `u` has not `k` elements.
    #[must_use]
    pub fn top_k(&self, u: &[f32], bias: f32, n: usize, excluded: &[u32]) -> Vec<Scored> {
        assert_eq!(u.len(), self.k(), "number of factors");
        let x = extended(u);
        let n_items = self.n_items();
        let panel = self.packed.panel();
        let n_panels = n_items.div_ceil(panel);
        let mut best = TopK::new(n.min(n_items), excluded);
        let mut scores = [0.0f32; FIRST_ITEMS];
        let shift = bias + self.mean;
        let score = |panels: Range<usize>, threshold: f32, scores: &mut [f32]| {
            score_panels(&x, self.packed.panels(panels), shift, threshold, scores)
        };
        let begin = (FIRST_ITEMS / panel).min(n_panels);
        for first in (0..begin).step_by(PANELS) {
            let panels = first..(first + PANELS).min(begin);
            score(panels.clone(), f32::INFINITY, &mut scores[panels.start * panel..panels.end * panel]);
        }
        best.push(0, &mut scores[..n_items.min(begin * panel)]);
        let mut rest = |panels: Range<usize>, best: &mut TopK<'_>| {
            let first = panels.start * panel;
            let n_here = (panels.len() * panel).min(n_items - first);
            let threshold = best.threshold();
            let any = score(panels.clone(), threshold, &mut scores[..panels.len() * panel]);
            // Until the list is full, whatever there is enters.
            if any || threshold == f32::NEG_INFINITY {
                best.push(first as u32, &mut scores[..n_here]);
            }
        };
        let Some(coarse) = &self.coarse else {
            for first in (begin..n_panels).step_by(PANELS) {
                rest(first..(first + PANELS).min(n_panels), &mut best);
            }
            return best.finish();
        };
        let (scaled, slack) = coarse.prepare(&x, shift);
        let (in_a_block, mut sums) = (BLOCK / panel, [0f32; BLOCK]);
        for (at, block) in
            coarse.blocks.chunks_exact(scaled.len() * BLOCK).enumerate().skip(begin / in_a_block)
        {
            let panels = at * in_a_block..((at + 1) * in_a_block).min(n_panels);
            if coarse_scores(&scaled, block, best.threshold() - shift - slack, &mut sums) {
                rest(panels, &mut best);
            }
        }
        best.finish()
    }
}

kernel! {
    /// Scores up to [`PANELS`] panels: `x · panel + shift`. Says whether any score exceeds `threshold`.
    fn score_panels(simd, x: &[f32], panels: &[f32], shift: f32, threshold: f32, scores: &mut [f32]) -> bool {
        let size = x.len() * 2 * S::LANES;
        if panels.len() == PANELS * size {
            return score_some::<S, PANELS>(simd, x, panels, shift, threshold, scores);
        }
        let mut any = false;
        for (panel, scores) in panels.chunks_exact(size).zip(scores.chunks_exact_mut(2 * S::LANES)) {
            any |= score_some::<S, 1>(simd, x, panel, shift, threshold, scores);
        }
        any
    }
}

kernel! {
    /// Coarse scores of a block's items; whether any of them exceeds `threshold`.
    fn coarse_scores(simd, x: &[f32], block: &[i8], threshold: f32, sums: &mut [f32; BLOCK]) -> bool {
        sums.fill(0.0);
        for (&x, row) in x.iter().zip(block.chunks_exact(BLOCK)) {
            for at in 0..BLOCK {
                sums[at] = simd.fma(x, f32::from(row[at]), sums[at]);
            }
        }
        let mut any = false;
        for sum in sums {
            any |= *sum > threshold;
        }
        any
    }
}

#[inline(always)]
fn score_some<S: Simd, const P: usize>(
    simd: S,
    x: &[f32],
    panels: &[f32],
    shift: f32,
    threshold: f32,
    scores: &mut [f32],
) -> bool {
    let (shift, threshold) = (simd.splat(shift), simd.splat(threshold));
    let mut any = false;
    // Loops, not closures: those would not be compiled for the instruction set.
    let mut sums = panel_sums::<S, P>(simd, x, panels);
    for sums in &mut sums {
        for sum in sums {
            *sum = simd.add(*sum, shift);
            any |= simd.any_greater(*sum, threshold);
        }
    }
    store_panels(simd, &sums, scores);
    any
}

/// A user's factors with the 1 that meets the items' biases.
fn extended(u: &[f32]) -> Vec<f32> {
    let mut x = Vec::with_capacity(u.len() + 1);
    x.extend_from_slice(u);
    x.push(1.0);
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::top_k;
    use proptest::prelude::*;

    #[test]
    #[should_panic(expected = "number of factors")]
    fn factors_of_another_model_are_refused() {
        let items = ItemFactors { k: 3, m: vec![1.0; 600], bias: vec![0.0; 200], mean: 0.0 };
        let _ = PackedItems::new(&items).top_k(&[1.0, 2.0], 0.0, 5, &[]);
    }

    #[test]
    fn the_coarse_copy_changes_nothing_of_a_large_catalogue() {
        let (n_items, k) = (60_000, 33);
        let mut random = foldin_core::random::Random::new(3);
        let mut normal = |scale: f32| scale * random.normal() as f32;
        // Factors of unlike sizes, and one outlier that makes its column coarse.
        let mut m: Vec<f32> = (0..n_items * k).map(|at| normal(0.02 * (1 + at % k) as f32)).collect();
        m[k * 777 + 4] = 30.0;
        let items = ItemFactors { k, m, bias: (0..n_items).map(|_| normal(0.3)).collect(), mean: 3.5 };
        let packed = PackedItems::new(&items);
        assert!(packed.coarse.is_some());
        let fine = PackedItems { coarse: None, ..packed.clone() };
        for user in 0..20 {
            let u: Vec<f32> = (0..k).map(|_| normal(if user == 0 { 0.0 } else { 0.5 })).collect();
            for n in [1, 10, 300] {
                let seen: Vec<u32> = (0..50).map(|at| at * 97 + user).collect();
                assert_eq!(packed.top_k(&u, 0.2, n, &seen), fine.top_k(&u, 0.2, n, &seen));
            }
        }
    }

    proptest! {
        #[test]
        fn equals_scoring_and_sorting(
            k in 0usize..9, n_items in prop_oneof![0usize..300, 4000usize..5000, COARSE_FROM - 2..COARSE_FROM + 130], n in 0usize..20,
            excluded in proptest::collection::btree_set(0u32..300, 0..20), seed in 0usize..50,
        ) {
            // Eighths, so that every sum is exact and ties are frequent.
            let number = |at: usize| ((at * 31 + seed * 17) % 15) as f32 / 8.0 - 0.75;
            let items = ItemFactors {
                k,
                m: (0..n_items * k).map(number).collect(),
                bias: (0..n_items).map(|at| number(at * 5 + 3)).collect(),
                mean: 3.5,
            };
            let u: Vec<f32> = (0..k).map(|at| number(at * 11 + 2)).collect();
            let excluded: Vec<u32> = excluded.into_iter().collect();
            let naive: Vec<f32> = (0..n_items)
                .map(|item| {
                    let dot: f32 = u.iter().zip(items.row(item)).map(|(u, m)| u * m).sum();
                    dot + 0.25 + items.bias[item] + items.mean
                })
                .collect();
            let packed = PackedItems::new(&items);
            let mut scores = vec![0.0; n_items];
            packed.score(&u, 0.25, &mut scores);
            prop_assert_eq!(&scores, &naive);
            prop_assert_eq!(packed.top_k(&u, 0.25, n, &excluded), top_k(&naive, n, &excluded));
        }
    }
}
