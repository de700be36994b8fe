//! The network's parameters while it is trained: where each lies, how it starts, how it is kept in a checkpoint.

use std::ops::Range;

use foldin_core::random::{Random, child_seed};
use foldin_core::{FitError, Interactions, TrainState};
use foldin_nn::half_table::HalfTable;
use foldin_nn::optimiser::Optimiser;
use foldin_nn::sparse_layer::{BLOCK, TABLE_BLOCK};
use foldin_nn::svd::truncated_svd;
use foldin_nn::table::Table;

use super::activations::Activations;
use super::config::{InputLearning, ItemInit, LfgConfig};
use super::inputs::{Inputs, restore_table, save_table};
use crate::resume;

/// Columns of the dense parameters' table: each tensor starts at a multiple.
pub(super) const DENSE_BLOCK: usize = 64;

/// Sizes of everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) n_items: usize,
    /// Columns of side information of users.
    pub(super) n_side: usize,
    /// Columns of the items' features.
    pub(super) n_features: usize,
    /// Number of factors k.
    pub(super) k: usize,
    /// Widths of the hidden layers.
    pub(super) widths: Vec<usize>,
}

/// Where a dense layer's parameters lie among the dense parameters.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// `[inputs × outputs]`, row-major.
    pub(super) weights: Range<usize>,
    /// `[outputs]`.
    pub(super) bias: Range<usize>,
}

/// Where the dense parameters lie.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// `[n_blocks · BLOCK]` each: of the sparse layer.
    pub(super) bias: Range<usize>,
    pub(super) gamma: Range<usize>,
    pub(super) beta: Range<usize>,
    /// The dense layers; the last gives `k + 1` numbers.
    pub(super) layers: Vec<Linear>,
    pub(super) len: usize,
}

impl Shape {
    /// Rows of the sparse layer's table: one an item, then one a column of side information.
    pub(super) fn n_inputs(&self) -> usize {
        self.n_items + self.n_side
    }

    /// Blocks of the sparse layer.
    pub(super) fn n_blocks(&self) -> usize {
        self.widths[0].div_ceil(BLOCK)
    }

    /// Columns of padded factors: `k` factors, the column that meets the user's bias, the item's bias.
    pub(super) fn padded(&self) -> usize {
        (self.k + 2).next_multiple_of(16)
    }

    pub(super) fn layout(&self) -> Layout {
        let mut len = 0;
        let mut place = |n: usize| {
            let start = len;
            len += n.next_multiple_of(DENSE_BLOCK);
            start..start + n
        };
        let first = self.n_blocks() * BLOCK;
        let (bias, gamma, beta) = (place(first), place(first), place(first));
        let outputs = self.widths[1..].iter().copied().chain([self.k + 1]);
        let layers = self
            .widths
            .iter()
            .zip(outputs)
            .map(|(&inputs, outputs)| Linear {
                inputs,
                outputs,
                weights: place(inputs * outputs),
                bias: place(outputs),
            })
            .collect();
        Layout { bias, gamma, beta, layers, len }
    }
}

/// All that training changes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Network {
    /// `[n_blocks][n_inputs][2·BLOCK]`: the sparse layer.
    pub(super) inputs: Inputs,
    /// One block of [`DENSE_BLOCK`] columns: everything of [`Layout`].
    pub(super) dense: Table,
    /// `[n_items × padded]`: factors, 1, bias, zeros.
    pub(super) items: Table,
    /// `[n_features × padded]`: what a feature adds to an item's row.
    pub(super) features: Table,
    /// Running mean and variance of the normalised units.
    pub(super) running_mean: Vec<f32>,
    pub(super) running_variance: Vec<f32>,
    pub(super) activations: Activations,
}

impl Network {
    /// The start of training: uniform within `±1/√inputs` as is usual for linear layers, the items from the SVD of the
    /// training matrix, their biases and the features' weights from 0. `learning` is how the first layer learns, `of_activations` how
    /// parameters of activations do.
    pub(super) fn new(
        shape: &Shape,
        config: &LfgConfig,
        learning: InputLearning,
        of_activations: &Optimiser,
        ratings: &Interactions,
        mean: f32,
        unit: f32,
        seed: u64,
    ) -> Self {
        let averages = config.weight_averaging > 0.0;
        let n_inputs = shape.n_inputs();
        let mut random = Random::new(child_seed(seed, "weights"));
        let mut uniform = |bound: f64| ((2.0 * random.uniform() - 1.0) * bound) as f32;
        let bound = 1.0 / ((2 * shape.n_items + shape.n_side).max(1) as f64).sqrt();
        let mut at = 0;
        let first_row = |row: &mut [f32]| {
            let (block, row_number) = (at / n_inputs, at % n_inputs);
            let units = (shape.widths[0] - block * BLOCK).min(BLOCK);
            row[..units].iter_mut().for_each(|w| *w = uniform(bound));
            if config.indicator && row_number < shape.n_items {
                row[BLOCK..BLOCK + units].iter_mut().for_each(|w| *w = uniform(bound));
            }
            at += 1;
        };
        let inputs = first_inputs(learning, n_inputs, shape.n_blocks(), averages, first_row);
        let layout = shape.layout();
        let mut dense = vec![0.0; layout.len];
        dense[layout.bias.clone()][..shape.widths[0]].iter_mut().for_each(|w| *w = uniform(bound));
        dense[layout.gamma.clone()][..shape.widths[0]].fill(1.0);
        for layer in &layout.layers {
            let bound = 1.0 / (layer.inputs as f64).sqrt();
            dense[layer.weights.clone()].iter_mut().for_each(|w| *w = uniform(bound));
            dense[layer.bias.clone()].iter_mut().for_each(|w| *w = uniform(bound));
        }
        let first = shape.n_blocks() * BLOCK;
        let padded = shape.padded();
        Self {
            inputs,
            dense: Table::new(layout.len / DENSE_BLOCK, DENSE_BLOCK, dense, averages),
            items: Table::new(
                shape.n_items,
                padded,
                first_items(shape, config, ratings, mean, unit, seed),
                averages,
            ),
            features: Table::new(shape.n_features, padded, vec![0.0; shape.n_features * padded], averages),
            running_mean: vec![0.0; first],
            running_variance: vec![1.0; first],
            activations: Activations::new(config, of_activations),
        }
    }

    /// A copy to make a model of: without what the optimiser remembers of the tables, two thirds of it all.
    pub(super) fn without_moments(&self) -> Self {
        Self {
            inputs: self.inputs.without_moments(),
            dense: self.dense.without_moments(),
            items: self.items.without_moments(),
            features: self.features.without_moments(),
            running_mean: self.running_mean.clone(),
            running_variance: self.running_variance.clone(),
            activations: self.activations.clone(),
        }
    }

    /// Frees what the optimiser remembers.
    pub(super) fn forget_moments(&mut self) {
        self.inputs.forget_moments();
        for table in [&mut self.dense, &mut self.items, &mut self.features] {
            table.forget_moments();
        }
    }

    /// Everything under its name, for a checkpoint.
    pub(super) fn save(&self, state: &mut TrainState) {
        self.inputs.save(state);
        for (name, table) in [("dense", &self.dense), ("items", &self.items), ("features", &self.features)] {
            save_table(name, table, state);
        }
        for (name, data) in [("mean", &self.running_mean), ("variance", &self.running_variance)] {
            resume::keep(state, format!("norm.{name}"), [data.len()], data);
        }
        self.activations.save(state);
    }

    /// Puts a checkpoint in the place of the start.
    ///
    /// # Errors
    /// [`FitError::Checkpoint`] if it is of another shape.
    pub(super) fn restore(&mut self, state: &mut TrainState) -> Result<(), FitError> {
        self.inputs.restore(state)?;
        for (name, table) in
            [("dense", &mut self.dense), ("items", &mut self.items), ("features", &mut self.features)]
        {
            restore_table(name, table, state)?;
        }
        for (name, out) in [("mean", &mut self.running_mean), ("variance", &mut self.running_variance)] {
            *out = resume::take(state, &format!("norm.{name}"), [out.len()])?;
        }
        self.activations.restore(state)
    }
}

/// The sparse layer's table, whose rows are filled by `first` in the order in which they lie.
fn first_inputs(
    learning: InputLearning,
    n_inputs: usize,
    n_blocks: usize,
    averages: bool,
    mut first: impl FnMut(&mut [f32]),
) -> Inputs {
    match learning {
        InputLearning::Adam => {
            let mut inputs = vec![0.0; n_blocks * n_inputs * TABLE_BLOCK];
            inputs.chunks_exact_mut(TABLE_BLOCK).for_each(first);
            Inputs::Adam(Table::new(n_inputs, TABLE_BLOCK, inputs, averages))
        }
        InputLearning::RowWise => Inputs::RowWise(HalfTable::new(n_inputs, n_blocks, |row| first(row))),
    }
}

/// The items' rows at the start, in units of the rating scale.
fn first_items(
    shape: &Shape,
    config: &LfgConfig,
    ratings: &Interactions,
    mean: f32,
    unit: f32,
    seed: u64,
) -> Vec<f32> {
    let (k, padded) = (shape.k, shape.padded());
    let shift = match (config.item_init, ratings.feedback().scale()) {
        // The lowest rating becomes one unit, whatever the scale.
        (ItemInit::SvdRaw, Some(scale)) => scale.min - unit,
        _ => mean,
    };
    let svd = truncated_svd(ratings.by_user(), shift, k, seed);
    // A matrix in other units has singular values in other units: √S scales with the root.
    let roots: Vec<f32> = svd.s.iter().map(|s| config.item_init_scale * (s.max(0.0) / unit).sqrt()).collect();
    let mut random = Random::new(child_seed(seed, "items"));
    let mean_square =
        roots.iter().map(|root| f64::from(root * root)).sum::<f64>() / (shape.n_items.max(1) * k) as f64;
    let deviation = mean_square.sqrt();
    let mut out = vec![0.0; shape.n_items * padded];
    for (row, v) in out.chunks_exact_mut(padded).zip(svd.v.chunks_exact(k)) {
        for (factor, (out, &v)) in row[..k].iter_mut().zip(v).enumerate() {
            *out = match config.item_init {
                ItemInit::Random => (random.normal() * deviation) as f32,
                ItemInit::SvdCentered | ItemInit::SvdRaw => roots[factor] * v,
            };
        }
        row[k] = 1.0;
    }
    out
}
