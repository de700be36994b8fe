//! One batch of contrastive divergence: a chain for each case, then the update of each visible unit that the batch touches.
//!
//! Chains only read the weights and write what is their case's own; the update goes unit by unit, so that each row of weights
//! is written by one task once, with a gradient summed over the cases in their order.

use foldin_core::random::{Random, numbered_seed};
use foldin_nn::kernel;
use foldin_nn::kernels::axpy_in;
use foldin_nn::observed::Rater;
use foldin_nn::plan::RowLists;
use rayon::prelude::*;

use super::config::Chain;
use super::levels::{Cases, Levels};
use super::machine::{Machine, draw_hidden, hidden_given, step_of_chain};

/// Visible units that one task updates.
const UNITS_AT_ONCE: usize = 16;

/// Some cases, and their ratings grouped by visible unit.
#[derive(Debug)]
pub(super) struct Batch {
    /// Numbers of the cases.
    pub(super) cases: Vec<u32>,
    /// `cases.len() + 1` positions in the ratings of the batch.
    offsets: Vec<usize>,
    /// Level of each rating, case by case.
    levels: Vec<u8>,
    /// For each visible unit the ratings of it.
    raters: RowLists<Rater>,
}

impl Batch {
    /// Gathers cases. `counts` is scratch of one zero for each visible unit.
    pub(super) fn new(cases: &Cases<'_>, numbers: &[u32], counts: &mut [u32]) -> Self {
        let mut offsets = vec![0];
        let mut levels = Vec::new();
        for &case in numbers {
            levels.extend_from_slice(cases.of(case as usize).1);
            offsets.push(levels.len());
        }
        let raters = RowLists::group(counts, |add| {
            for (position, &case) in numbers.iter().enumerate() {
                for (at, &unit) in cases.of(case as usize).0.iter().enumerate() {
                    add(unit, Rater { user: position as u32, rating: (offsets[position] + at) as u32 });
                }
            }
        });
        Self { cases: numbers.to_vec(), offsets, levels, raters }
    }

    /// The visible units that its cases have, ascending.
    pub(super) fn touched(&self) -> &[u32] {
        &self.raters.rows
    }

    /// Number of ratings.
    pub(super) fn n_ratings(&self) -> usize {
        self.levels.len()
    }
}

/// Where the chains of a batch begin and end.
#[derive(Debug, Default)]
pub(super) struct Ends {
    /// `[cases × hidden]`: hidden probabilities given the data.
    pub(super) first: Vec<f32>,
    /// `[cases × hidden]`: hidden probabilities at the end of the chain.
    pub(super) last: Vec<f32>,
    /// `[ratings × levels]`: what the visible units are at the end of the chain.
    pub(super) visible: Vec<f32>,
    /// Sum of squared differences of the ratings and their means in the first step of the chain.
    pub(super) squares: f64,
    /// Whether there is such a sum: not if levels are drawn, which leaves no means.
    pub(super) has_squares: bool,
}

/// How chains run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) chain: Chain,
    /// Steps of a chain, at least 1.
    pub(super) steps: usize,
    /// Seed of the epoch: each case has a stream of its own.
    pub(super) seed: u64,
}

/// What one chain writes.
struct Own<'a> {
    position: usize,
    first: &'a mut [f32],
    last: &'a mut [f32],
    visible: &'a mut [f32],
}

/// Runs the chains of a batch.
pub(super) fn run_chains(
    machine: &Machine,
    cases: &Cases<'_>,
    levels: &Levels,
    batch: &Batch,
    run: Run,
    ends: &mut Ends,
) {
    let (n, width) = (batch.cases.len(), machine.shape.hidden);
    ends.first.resize(n * width, 0.0);
    ends.last.resize(n * width, 0.0);
    ends.visible.resize(batch.n_ratings() * machine.shape.levels, 0.0);
    let mut rest = ends.visible.as_mut_slice();
    let mut work = Vec::with_capacity(n);
    let hidden = ends.first.chunks_exact_mut(width).zip(ends.last.chunks_exact_mut(width));
    for (position, (first, last)) in hidden.enumerate() {
        let size = (batch.offsets[position + 1] - batch.offsets[position]) * machine.shape.levels;
        let (visible, others) = std::mem::take(&mut rest).split_at_mut(size);
        rest = others;
        work.push(Own { position, first, last, visible });
    }
    let squares: Vec<f64> =
        work.into_par_iter().map(|own| run_chain(machine, cases, levels, batch, run, own)).collect();
    ends.squares = squares.into_iter().sum();
    ends.has_squares = run.chain != Chain::Sampled;
}

/// Runs one chain and returns its share of [`Ends::squares`].
fn run_chain(
    machine: &Machine,
    cases: &Cases<'_>,
    levels: &Levels,
    batch: &Batch,
    run: Run,
    own: Own<'_>,
) -> f64 {
    let case = batch.cases[own.position];
    let (units, given) = cases.of(case as usize);
    hidden_given(machine, units, given, own.first);
    let mut random = Random::new(numbered_seed(run.seed, "chain", u64::from(case)));
    let mut states = own.first.to_vec();
    let mut squares = 0.0;
    for step in 0..run.steps {
        if run.chain != Chain::MeanField {
            let probabilities = if step == 0 { &*own.first } else { &*own.last };
            draw_hidden(probabilities, &mut random, &mut states);
        } else if step > 0 {
            states.copy_from_slice(own.last);
        }
        let draws = (run.chain == Chain::Sampled).then_some(&mut random);
        step_of_chain(machine, units, &states, draws, own.visible, own.last);
        if step == 0 && run.chain != Chain::Sampled {
            for (visible, &level) in own.visible.chunks_exact(levels.len()).zip(given) {
                let error = levels.mean(visible) - levels.values[level as usize];
                squares += f64::from(error).powi(2);
            }
        }
    }
    squares
}

/// What moves the parameters.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) learning_rate: f32,
    pub(super) momentum: f32,
    pub(super) weight_decay: f32,
    pub(super) count_exponent: f32,
}

/// Updates a machine by the ends of a batch's chains; `velocity` is where each parameter was heading.
pub(super) fn update(machine: &mut Machine, velocity: &mut Machine, batch: &Batch, ends: &Ends, pace: Pace) {
    let shape = machine.shape;
    let (block, levels) = (shape.block(), shape.levels);
    machine
        .weights
        .par_chunks_mut(UNITS_AT_ONCE * block)
        .zip(velocity.weights.par_chunks_mut(UNITS_AT_ONCE * block))
        .zip(machine.visible_bias.par_chunks_mut(UNITS_AT_ONCE * levels))
        .zip(velocity.visible_bias.par_chunks_mut(UNITS_AT_ONCE * levels))
        .enumerate()
        .for_each(|(chunk, (((weights, velocity), bias), bias_velocity))| {
            let first = chunk * UNITS_AT_ONCE;
            let mut gradient = vec![0.0; block];
            let mut bias_gradient = vec![0.0; levels];
            for position in batch.raters.within(first as u32..(first + UNITS_AT_ONCE) as u32) {
                unit_gradient(batch, ends, position, &mut gradient, &mut bias_gradient);
                let unit = batch.touched()[position] as usize - first;
                let scale = (batch.raters.of(position).len() as f32).powf(-pace.count_exponent);
                let (from, to) = (unit * block, (unit + 1) * block);
                descend(&mut weights[from..to], &mut velocity[from..to], &gradient, scale, pace);
                let (from, to) = (unit * levels, (unit + 1) * levels);
                let free = Pace { weight_decay: 0.0, ..pace };
                descend(&mut bias[from..to], &mut bias_velocity[from..to], &bias_gradient, scale, free);
            }
        });
    let mut gradient = vec![0.0; shape.hidden];
    hidden_bias_gradient(ends, &mut gradient);
    let scale = (batch.cases.len() as f32).powf(-pace.count_exponent);
    let free = Pace { weight_decay: 0.0, ..pace };
    descend(&mut machine.hidden_bias, &mut velocity.hidden_bias, &gradient, scale, free);
}

kernel! {
    /// The statistics `<v h>_data − <v h>_T` of the visible unit at a position of the batch's lists, summed over its ratings:
    /// `gradient` `[rows × hidden]` and `bias_gradient` `[levels]`.
    pub(super) fn unit_gradient(
        simd, batch: &Batch, ends: &Ends, position: usize, gradient: &mut [f32], bias_gradient: &mut [f32],
    ) {
        let levels = bias_gradient.len();
        let width = ends.first.len() / batch.cases.len();
        gradient.fill(0.0);
        bias_gradient.fill(0.0);
        for rater in batch.raters.of(position) {
            let hidden = rater.user as usize * width..(rater.user as usize + 1) * width;
            let (first, last) = (&ends.first[hidden.clone()], &ends.last[hidden]);
            let rating = rater.rating as usize;
            let level = batch.levels[rating] as usize;
            axpy_in(simd, 1.0, first, &mut gradient[level * width..(level + 1) * width]);
            bias_gradient[level] += 1.0;
            let visible = &ends.visible[rating * levels..(rating + 1) * levels];
            let (of_levels, of_rated) = gradient.split_at_mut(levels * width);
            for ((&probability, row), bias) in
                visible.iter().zip(of_levels.chunks_exact_mut(width)).zip(bias_gradient.iter_mut())
            {
                if probability != 0.0 {
                    axpy_in(simd, -probability, last, row);
                    *bias -= probability;
                }
            }
            // The row `D` of the conditional form: "was rated" is 1 at both ends.
            if !of_rated.is_empty() {
                axpy_in(simd, 1.0, first, of_rated);
                axpy_in(simd, -1.0, last, of_rated);
            }
        }
    }

    /// `<h>_data − <h>_T`, summed over the cases.
    pub(super) fn hidden_bias_gradient(simd, ends: &Ends, gradient: &mut [f32]) {
        let width = gradient.len();
        gradient.fill(0.0);
        for (first, last) in ends.first.chunks_exact(width).zip(ends.last.chunks_exact(width)) {
            axpy_in(simd, 1.0, first, gradient);
            axpy_in(simd, -1.0, last, gradient);
        }
    }

    /// `velocity = momentum · velocity + rate · (scale · gradient − decay · x)`, and `x += velocity`.
    fn descend(simd, x: &mut [f32], velocity: &mut [f32], gradient: &[f32], scale: f32, pace: Pace) {
        let _ = simd;
        let (rate, decay) = (pace.learning_rate * scale, pace.learning_rate * pace.weight_decay);
        for ((x, velocity), &gradient) in x.iter_mut().zip(velocity).zip(gradient) {
            *velocity = pace.momentum * *velocity + rate * gradient - decay * *x;
            *x += *velocity;
        }
    }
}
