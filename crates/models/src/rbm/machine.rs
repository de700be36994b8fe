//! The parameters, and what follows from them: hidden units given visible ones, and the other way round.

use foldin_core::random::{Random, child_seed};
use foldin_nn::kernel;
use foldin_nn::kernels::{axpy_in, dot_in};
use foldin_nn::simd::Simd;

use super::levels::Cases;

/// Imagined ratings, spread over levels as all ratings are, that each visible unit gets before its base rates are counted: a
/// unit whose ratings are few starts near everybody's.
const IMAGINED_RATINGS: f64 = 5.0;

/// Sizes of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Number of visible units.
    pub(super) units: usize,
    /// Levels of a visible unit.
    pub(super) levels: usize,
    /// Number of hidden units.
    pub(super) hidden: usize,
    /// Whether there is a row `D` for "was rated" after the rows of the levels.
    pub(super) conditional: bool,
}

impl Shape {
    /// Rows of weights of a visible unit.
    pub(super) fn rows(&self) -> usize {
        self.levels + usize::from(self.conditional)
    }

    /// Weights of a visible unit.
    pub(super) fn block(&self) -> usize {
        self.rows() * self.hidden
    }
}

/// A restricted Boltzmann machine with softmax visible units.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Machine {
    pub(super) shape: Shape,
    /// `[units × rows × hidden]`: `W` level by level, then `D` where the machine is conditional. All that a rating needs lies
    /// together.
    pub(super) weights: Vec<f32>,
    /// `[units × levels]`.
    pub(super) visible_bias: Vec<f32>,
    /// `[hidden]`.
    pub(super) hidden_bias: Vec<f32>,
}

impl Machine {
    /// Small random weights, and visible biases from the log base rates of the levels.
    pub(super) fn new(shape: Shape, cases: &Cases<'_>, deviation: f32, seed: u64) -> Self {
        let mut random = Random::new(child_seed(seed, "weights"));
        let weights = (0..shape.units * shape.block())
            .map(|at| {
                // `D` starts from nothing: `W` breaks the symmetry.
                let level = at % shape.block() / shape.hidden;
                if level < shape.levels { random.normal() as f32 * deviation } else { 0.0 }
            })
            .collect();
        let mut counts = vec![0.0; shape.units * shape.levels];
        for case in 0..cases.len() {
            let (units, levels) = cases.of(case);
            for (&unit, &level) in units.iter().zip(levels) {
                counts[unit as usize * shape.levels + level as usize] += 1.0;
            }
        }
        Self {
            shape,
            weights,
            visible_bias: log_base_rates(&counts, shape.levels),
            hidden_bias: vec![0.0; shape.hidden],
        }
    }

    /// All parameters 0: where velocities start.
    pub(super) fn zeros(shape: Shape) -> Self {
        Self {
            shape,
            weights: vec![0.0; shape.units * shape.block()],
            visible_bias: vec![0.0; shape.units * shape.levels],
            hidden_bias: vec![0.0; shape.hidden],
        }
    }

    /// All parameters by name.
    pub(super) fn parts(&self) -> [(&'static str, &[f32]); 3] {
        [("weights", &self.weights), ("visible_bias", &self.visible_bias), ("hidden_bias", &self.hidden_bias)]
    }

    /// As [`Machine::parts`], to be overwritten.
    pub(super) fn parts_mut(&mut self) -> [(&'static str, &mut Vec<f32>); 3] {
        [
            ("weights", &mut self.weights),
            ("visible_bias", &mut self.visible_bias),
            ("hidden_bias", &mut self.hidden_bias),
        ]
    }

    /// The rows of a visible unit.
    pub(super) fn block(&self, unit: usize) -> &[f32] {
        &self.weights[unit * self.shape.block()..(unit + 1) * self.shape.block()]
    }

    /// The biases of a visible unit's levels.
    pub(super) fn biases(&self, unit: usize) -> &[f32] {
        &self.visible_bias[unit * self.shape.levels..(unit + 1) * self.shape.levels]
    }
}

/// Logarithms of the shares of levels, unit by unit.
fn log_base_rates(counts: &[f64], levels: usize) -> Vec<f32> {
    let mut of_all = vec![0.0; levels];
    for row in counts.chunks_exact(levels) {
        of_all.iter_mut().zip(row).for_each(|(sum, count)| *sum += count);
    }
    // No level is impossible, though nobody gave it.
    let total: f64 = of_all.iter().sum::<f64>() + levels as f64;
    of_all.iter_mut().for_each(|sum| *sum = (*sum + 1.0) / total);
    counts
        .chunks_exact(levels)
        .flat_map(|row| {
            let n: f64 = row.iter().sum::<f64>() + IMAGINED_RATINGS;
            row.iter()
                .zip(&of_all)
                .map(move |(count, base)| ((count + IMAGINED_RATINGS * base) / n).ln() as f32)
        })
        .collect()
}

kernel! {
    /// Probabilities of the hidden units given the levels of rated units: `σ(c + Σ_i (W_i^v + D_i))`.
    pub(super) fn hidden_given(simd, machine: &Machine, units: &[u32], levels: &[u8], hidden: &mut [f32]) {
        let width = machine.shape.hidden;
        hidden.copy_from_slice(&machine.hidden_bias);
        for (&unit, &level) in units.iter().zip(levels) {
            let block = machine.block(unit as usize);
            let from = level as usize * width;
            axpy_in(simd, 1.0, &block[from..from + width], hidden);
            if machine.shape.conditional {
                axpy_in(simd, 1.0, &block[machine.shape.levels * width..], hidden);
            }
        }
        activate(hidden);
    }

    /// One step of the chain: the distribution of each rated unit over levels given hidden states, `probabilities`
    /// `[units × levels]`, drawn from `random` to one level if there is a stream; and then `next`, the probabilities of the
    /// hidden units given those. Each block of weights is read once for both.
    pub(super) fn step_of_chain(
        simd, machine: &Machine, units: &[u32], hidden: &[f32], random: Option<&mut Random>,
        probabilities: &mut [f32], next: &mut [f32],
    ) {
        let width = machine.shape.hidden;
        let mut random = random;
        next.copy_from_slice(&machine.hidden_bias);
        for (&unit, probabilities) in units.iter().zip(probabilities.chunks_exact_mut(machine.shape.levels)) {
            let block = machine.block(unit as usize);
            visible_in(simd, machine.biases(unit as usize), block, hidden, probabilities);
            if let Some(random) = random.as_deref_mut() {
                draw_level(probabilities, random);
            }
            for (&probability, row) in probabilities.iter().zip(block.chunks_exact(width)) {
                if probability != 0.0 {
                    axpy_in(simd, probability, row, next);
                }
            }
            if machine.shape.conditional {
                axpy_in(simd, 1.0, &block[machine.shape.levels * width..], next);
            }
        }
        activate(next);
    }

    /// The distribution of one unit over levels given hidden states: `softmax_k(b_k + h·W_k)`.
    pub(super) fn visible_given(simd, bias: &[f32], block: &[f32], hidden: &[f32], probabilities: &mut [f32]) {
        visible_in(simd, bias, block, hidden, probabilities);
    }
}

/// [`visible_given`] within a kernel.
#[inline(always)]
fn visible_in<S: Simd>(simd: S, bias: &[f32], block: &[f32], hidden: &[f32], probabilities: &mut [f32]) {
    for ((out, &bias), row) in probabilities.iter_mut().zip(bias).zip(block.chunks_exact(hidden.len())) {
        *out = bias + dot_in(simd, row, hidden);
    }
    softmax(probabilities);
}

/// `exp(x)` divided by the sum of all, in place.
#[inline(always)]
pub(super) fn softmax(x: &mut [f32]) {
    let most = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for x in x.iter_mut() {
        *x = (*x - most).exp();
        sum += *x;
    }
    let inverse = 1.0 / sum;
    x.iter_mut().for_each(|x| *x *= inverse);
}

/// The logistic function of each, in place.
#[inline(always)]
fn activate(x: &mut [f32]) {
    x.iter_mut().for_each(|x| *x = 1.0 / (1.0 + (-*x).exp()));
}

/// One level drawn with these probabilities: 1 there and 0 elsewhere.
#[inline(always)]
fn draw_level(probabilities: &mut [f32], random: &mut Random) {
    let mut left = random.uniform() as f32;
    let last = probabilities.len() - 1;
    // Rounding may leave a little of the draw after the last level, which then is the one.
    let drawn = probabilities[..last].iter().position(|&probability| {
        left -= probability;
        left < 0.0
    });
    probabilities.fill(0.0);
    probabilities[drawn.unwrap_or(last)] = 1.0;
}

/// Hidden states drawn with the given probabilities.
pub(super) fn draw_hidden(probabilities: &[f32], random: &mut Random, states: &mut [f32]) {
    for (state, &probability) in states.iter_mut().zip(probabilities) {
        *state = if random.uniform() < f64::from(probability) { 1.0 } else { 0.0 };
    }
}
