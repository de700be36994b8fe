//! Ratings predicted from hidden probabilities, in the two forms that [`Form`] names.

use foldin_nn::kernel;

use super::config::Form;
use super::levels::{Levels, MOST_LEVELS};
use super::machine::{Machine, hidden_given, softmax, visible_given};

/// A machine ready to predict.
#[derive(Clone, Debug)]
pub(super) struct Predictor {
    pub(super) machine: Machine,
    pub(super) levels: Levels,
    pub(super) form: Form,
    /// `exp(W + D) − 1`, `[units × levels × hidden]`, for [`Form::Exact`]; else empty.
    factors: Vec<f32>,
}

impl Predictor {
    pub(super) fn new(machine: Machine, levels: Levels, form: Form) -> Self {
        let factors = match form {
            Form::MeanField => Vec::new(),
            Form::Exact => factors(&machine),
        };
        Self { machine, levels, form, factors }
    }

    /// Probabilities of the hidden units given the levels of rated units.
    pub(super) fn hidden(&self, units: &[u32], levels: &[u8]) -> Vec<f32> {
        let mut hidden = vec![0.0; self.machine.shape.hidden];
        hidden_given(&self.machine, units, levels, &mut hidden);
        hidden
    }

    /// The mean rating of a visible unit given hidden probabilities.
    pub(super) fn rating(&self, hidden: &[f32], unit: usize) -> f32 {
        let mut room = [0.0; MOST_LEVELS];
        let probabilities = &mut room[..self.levels.len()];
        let bias = self.machine.biases(unit);
        match self.form {
            Form::MeanField => visible_given(bias, self.machine.block(unit), hidden, probabilities),
            Form::Exact => {
                let size = bias.len() * hidden.len();
                exact_given(bias, &self.factors[unit * size..(unit + 1) * size], hidden, probabilities);
            }
        }
        self.levels.mean(probabilities)
    }
}

fn factors(machine: &Machine) -> Vec<f32> {
    let (width, levels) = (machine.shape.hidden, machine.shape.levels);
    let mut out = Vec::with_capacity(machine.shape.units * levels * width);
    for unit in 0..machine.shape.units {
        let (of_levels, of_rated) = machine.block(unit).split_at(levels * width);
        for row in of_levels.chunks_exact(width) {
            // A unit whose level is asked for is rated by supposition, so that `D` goes with `W`.
            out.extend(row.iter().enumerate().map(|(at, w)| (w + of_rated.get(at).unwrap_or(&0.0)).exp_m1()));
        }
    }
    out
}

/// Factors multiplied before a logarithm is taken: few enough for a product to stay within `f64`.
const FACTORS_AT_ONCE: usize = 64;

/// Products that run beside each other.
const LANES: usize = 8;

kernel! {
    /// The exact distribution of one unit over levels: `log p_k = b_k + Σ_j log(1 + p_j·(exp(W_jk + D_j) − 1)) + const`, with
    /// the hidden probabilities `p` given the history. That is `Π_j (1 + exp(x_j + W_jk + D_j))` for `p_j = σ(x_j)`, less what
    /// is the same for all levels.
    fn exact_given(simd, bias: &[f32], factors: &[f32], hidden: &[f32], probabilities: &mut [f32]) {
        let _ = simd;
        for ((out, &bias), row) in probabilities.iter_mut().zip(bias).zip(factors.chunks_exact(hidden.len())) {
            let mut sum = f64::from(bias);
            for (hidden, row) in hidden.chunks(FACTORS_AT_ONCE).zip(row.chunks(FACTORS_AT_ONCE)) {
                let mut products = [1.0f32; LANES];
                let (whole, rest) = hidden.as_chunks::<LANES>();
                let (rows, others) = row.as_chunks::<LANES>();
                for (hidden, row) in whole.iter().zip(rows) {
                    for lane in 0..LANES {
                        products[lane] *= 1.0 + hidden[lane] * row[lane];
                    }
                }
                for (product, (hidden, row)) in products.iter_mut().zip(rest.iter().zip(others)) {
                    *product *= 1.0 + hidden * row;
                }
                sum += products.iter().map(|&product| f64::from(product)).product::<f64>().ln();
            }
            *out = sum as f32;
        }
        softmax(probabilities);
    }
}
