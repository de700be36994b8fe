//! One batch: forward, loss on the observed ratings, backward, and a step of the optimiser for all that was touched.

use foldin_core::random::numbered_seed;
use foldin_nn::activation::Activation;
use foldin_nn::adam::{Columns, Steps};
use foldin_nn::dense_layer;
use foldin_nn::dropout::Dropout;
use foldin_nn::half_table::RowSteps;
use foldin_nn::matmul::{Matrix, matmul};
use foldin_nn::observed::{item_gradients, user_residuals};
use foldin_nn::optimiser::Optimiser;
use foldin_nn::sparse_layer::{
    BLOCK, BatchStatistics, BlockParameters, TABLE_BLOCK, Units, activate, activate_backward,
};
use rayon::prelude::*;

use super::batch::{Batch, Segment};
use super::config::{Chosen, LfgConfig, OutputActivation};
use super::inputs::InputRules;
use super::network::{DENSE_BLOCK, Layout, Network, Shape};

/// How far running statistics move towards those of a batch, as is usual.
const MOMENTUM: f32 = 0.1;

/// Decay of the mean of squared gradients where the first layer learns row by row.
const ROW_FORGET: f32 = 0.99;

/// Items whose gradients one task computes.
const ITEMS_AT_ONCE: usize = 64;

/// The biases of a block whose sums have theirs already.
const NO_BIAS: Units = [0.0; BLOCK];

/// How each table learns, and the settings that a step needs.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) steps: Steps,
    inputs: InputRules,
    dense: Columns,
    items: Columns,
    features: Columns,
    /// How the parameters of activations learn: by the same steps.
    pub(super) activations: Optimiser,
    /// Slope of the LeakyReLU; 1 where another activation has been applied before.
    slope: f32,
    dropout: f32,
    batch_norm: bool,
    output: OutputActivation,
    averaging: f64,
    seed: u64,
}

impl Rules {
    pub(super) fn new(shape: &Shape, config: &LfgConfig, chosen: &Chosen, steps: Steps, seed: u64) -> Self {
        let (k, padded) = (shape.k, shape.padded());
        let columns = |factor: f32, bias: f32, decay: f32| {
            let mut rate = vec![0.0; padded];
            rate[..k].fill(factor);
            rate[k + 1] = bias;
            let mut decays = vec![0.0; padded];
            decays[..k].fill(decay * factor);
            Columns::new(rate, decays)
        };
        let factor = if config.train_items { 1.0 } else { 0.0 };
        Self {
            inputs: InputRules {
                columns: Columns::uniform(TABLE_BLOCK, chosen.weight_decay),
                rows: RowSteps {
                    forget: ROW_FORGET,
                    decay: chosen.weight_decay,
                    units: shape.widths[0],
                    seed: numbered_seed(seed, "rounding", 0) as u32,
                },
                row_rates: steps.learning_rates().map(|rate| rate as f32).collect(),
            },
            activations: Optimiser::Adam(steps.clone()),
            steps,
            dense: Columns::uniform(DENSE_BLOCK, chosen.weight_decay),
            items: columns(factor, chosen.bias_multiplier, chosen.item_weight_decay),
            features: columns(1.0, 1.0, chosen.item_weight_decay),
            slope: match config.hidden_activation {
                Activation::LeakyRelu => config.leaky_slope,
                _ => 1.0,
            },
            dropout: chosen.dropout,
            batch_norm: config.batch_norm,
            output: config.output,
            averaging: config.weight_averaging,
            seed,
        }
    }

    fn dropout(&self, layer: usize, at: usize) -> Dropout {
        Dropout::new(self.dropout, numbered_seed(self.seed, &format!("dropout {layer}"), at as u64))
    }
}

/// The network with all that a batch needs room for.
#[derive(Debug)]
pub(super) struct Trainer<'a> {
    shape: Shape,
    layout: Layout,
    pub(super) rules: Rules,
    pub(super) network: Network,
    /// `[n_items × n_features]`, or empty.
    features: &'a [f32],
    /// Gradient of the dense parameters.
    gradient: Vec<f32>,
    /// Gradient of the activation's parameters, for each hidden layer; empty where LeakyReLU is fused into the kernels.
    of_activations: Vec<Vec<f32>>,
    room: Room,
}

/// Intermediate results of a batch, kept from one to the next to spare the allocator.
#[derive(Debug, Default)]
struct Room {
    h: Vec<f32>,
    x: Vec<f32>,
    dz: Vec<f32>,
    /// Sums of each hidden layer, row-major; none where LeakyReLU is fused into the kernels.
    sums: Vec<Vec<f32>>,
    hidden: Vec<Vec<f32>>,
    users: Vec<f32>,
    d_users: Vec<f32>,
    items: Vec<f32>,
    d_items: Vec<f32>,
    item_features: Vec<f32>,
    residuals: Vec<f32>,
}

fn resized(vector: &mut Vec<f32>, n: usize) -> &mut [f32] {
    vector.resize(n, 0.0);
    &mut vector[..n]
}

impl<'a> Trainer<'a> {
    pub(super) fn new(shape: Shape, rules: Rules, network: Network, features: &'a [f32]) -> Self {
        let layout = shape.layout();
        let gradient = vec![0.0; layout.len];
        let of_activations = vec![Vec::new(); shape.widths.len()];
        Self { shape, layout, rules, network, features, gradient, of_activations, room: Room::default() }
    }

    /// Takes all rows that a segment does not need at once up to where it first needs them. `at` is the number of steps done.
    pub(super) fn begin(&mut self, segment: &Segment, at: usize) {
        let rules = &self.rules;
        let skips = rules.steps.skips_after(at);
        self.network.inputs.skip(&rules.steps, &rules.inputs, at, &skips, &segment.inputs_wait);
        self.network.items.skip(&rules.steps, &rules.items, at, &skips, &segment.items_wait);
    }

    /// One step, the `at`-th from 0. Returns the sum of squared errors of the batch's ratings before the step, in units.
    pub(super) fn step(&mut self, batch: &Batch, at: usize) -> f64 {
        let statistics = self.forward_sparse(batch, at);
        self.forward_dense(batch.n, at);
        self.gather_items(batch);
        let squares = self.residuals(batch);
        self.update_items(batch, at);
        self.backward_dense(batch.n, at);
        self.backward_sparse(batch, &statistics, at);
        squares
    }

    fn block_parameters(&self, block: usize, at: usize) -> BlockParameters<'_> {
        let dense = &self.network.dense.w;
        let of = |range: &std::ops::Range<usize>| &dense[range.start + block * BLOCK..][..BLOCK];
        BlockParameters {
            bias: if self.network.activations.fused() { of(&self.layout.bias) } else { &NO_BIAS },
            norm: self.rules.batch_norm.then(|| (of(&self.layout.gamma), of(&self.layout.beta))),
            slope: self.rules.slope,
            dropout: self.rules.dropout(0, at),
            width: self.shape.n_blocks() * BLOCK,
            first: block * BLOCK,
        }
    }

    fn forward_sparse(&mut self, batch: &Batch, at: usize) -> Vec<Option<BatchStatistics>> {
        let mut room = std::mem::take(&mut self.room);
        let len = self.shape.n_blocks() * batch.n * BLOCK;
        let (h, x) = (resized(&mut room.h, len), resized(&mut room.x, len));
        let chunk = batch.n * BLOCK;
        let (inputs, n_inputs) = (&self.network.inputs, self.shape.n_inputs());
        let sum = |block: usize, h: &mut [f32]| inputs.sum(&batch.inputs, n_inputs, block, h);
        let fused = self.network.activations.fused();
        if !fused {
            h.par_chunks_mut(chunk).enumerate().for_each(|(block, h)| sum(block, h));
            let bias = &self.network.dense.w[self.layout.bias.clone()][..self.shape.widths[0]];
            room.sums.clear();
            room.sums.push(self.network.activations.forward_first(bias, h));
        }
        let statistics = h
            .par_chunks_mut(chunk)
            .zip(x.par_chunks_mut(chunk))
            .enumerate()
            .map(|(block, (h, x))| {
                if fused {
                    sum(block, h);
                }
                activate(&self.block_parameters(block, at), h, x)
            })
            .collect::<Vec<_>>();
        self.room = room;
        // With averaged weights the statistics are averaged as the weights are.
        let momentum = if self.rules.averaging > 0.0 {
            (1.0 - self.rules.averaging).max(1.0 / (at + 1) as f64) as f32
        } else {
            MOMENTUM
        };
        let unbiased = batch.n as f32 / (batch.n.max(2) - 1) as f32;
        for (block, statistics) in statistics.iter().enumerate() {
            let Some(statistics) = statistics else { continue };
            for unit in 0..BLOCK {
                let (mean, variance) = (
                    &mut self.network.running_mean[block * BLOCK + unit],
                    &mut self.network.running_variance[block * BLOCK + unit],
                );
                *mean += momentum * (statistics.mean[unit] - *mean);
                *variance += momentum * (statistics.variance[unit] * unbiased - *variance);
            }
        }
        statistics
    }

    fn forward_dense(&mut self, n: usize, at: usize) {
        let dense = &self.network.dense.w;
        let activations = &self.network.activations;
        let Room { x, sums, hidden, users, .. } = &mut self.room;
        hidden.resize_with(self.layout.layers.len(), Vec::new);
        let last = self.layout.layers.len() - 1;
        for (number, layer) in self.layout.layers.iter().enumerate() {
            let (before, here) = hidden.split_at_mut(number);
            let input = match before.last() {
                Some(before) => Matrix::new(before, n, layer.inputs),
                None => Matrix::blocked(x, n, layer.inputs, BLOCK),
            };
            let out = resized(&mut here[0], n * layer.outputs);
            let weights = Matrix::new(&dense[layer.weights.clone()], layer.inputs, layer.outputs);
            matmul(input, weights, false, out);
            let bias = &dense[layer.bias.clone()];
            if number < last {
                let dropout = self.rules.dropout(number + 1, at);
                if activations.fused() {
                    dense_layer::activate(out, bias, self.rules.slope, dropout);
                } else {
                    sums.push(activations.forward(number + 1, bias, out));
                    dense_layer::activate(out, &vec![0.0; layer.outputs], self.rules.slope, dropout);
                }
            }
        }
        // The generated factors, padded: factors, bias, and the 1 that meets the items' biases.
        let (k, padded) = (self.shape.k, self.shape.padded());
        let bias = &dense[self.layout.layers[last].bias.clone()];
        let output = self.rules.output;
        let sums = &mut hidden[last];
        resized(users, n * padded)
            .par_chunks_mut(padded)
            .zip(sums.par_chunks(k + 1))
            .with_min_len(8)
            .for_each(|(user, sums)| {
                for ((user, &sum), &bias) in user.iter_mut().zip(sums).zip(bias) {
                    *user = match output {
                        OutputActivation::Tanh => (sum + bias).tanh(),
                        OutputActivation::Identity => sum + bias,
                    };
                }
                user[k + 1] = 1.0;
                user[k + 2..].fill(0.0);
            });
    }

    /// The batch's items, features included, one after the other.
    fn gather_items(&mut self, batch: &Batch) {
        let padded = self.shape.padded();
        let rows = &batch.raters.rows;
        let table = &self.network.items.w;
        let items = resized(&mut self.room.items, rows.len() * padded);
        items.par_chunks_mut(padded).zip(rows).with_min_len(ITEMS_AT_ONCE).for_each(|(out, &row)| {
            out.copy_from_slice(&table[row as usize * padded..(row as usize + 1) * padded]);
        });
        let width = self.shape.n_features;
        if width > 0 {
            let own = resized(&mut self.room.item_features, rows.len() * width);
            own.par_chunks_mut(width).zip(rows).with_min_len(ITEMS_AT_ONCE).for_each(|(out, &row)| {
                out.copy_from_slice(&self.features[row as usize * width..(row as usize + 1) * width]);
            });
            let weights = Matrix::new(&self.network.features.w, width, padded);
            matmul(Matrix::new(own, rows.len(), width), weights, true, items);
        }
    }

    /// Errors at the observed ratings, and the gradients of the generated factors.
    fn residuals(&mut self, batch: &Batch) -> f64 {
        let padded = self.shape.padded();
        let Room { users, d_users, items, residuals, .. } = &mut self.room;
        let d_users = resized(d_users, batch.n * padded);
        let mut rest = resized(residuals, batch.targets.len());
        let scale = 2.0 / batch.targets.len() as f32;
        let mut work = Vec::with_capacity(batch.n);
        for (user, gradient) in d_users.chunks_exact_mut(padded).enumerate() {
            let (first, last) = (batch.offsets[user], batch.offsets[user + 1]);
            let (own, others) = rest.split_at_mut(last - first);
            rest = others;
            work.push((
                &users[user * padded..(user + 1) * padded],
                &batch.targets[first..last],
                own,
                gradient,
            ));
        }
        let squares: Vec<f64> = work
            .into_par_iter()
            .with_min_len(4)
            .map(|(user, targets, residuals, gradient)| {
                user_residuals(user, items, targets, scale, residuals, gradient)
            })
            .collect();
        squares.into_iter().sum()
    }

    fn update_items(&mut self, batch: &Batch, at: usize) {
        let padded = self.shape.padded();
        let Room { users, d_items, item_features, residuals, .. } = &mut self.room;
        let lists = &batch.raters;
        let gradients = resized(d_items, lists.rows.len() * padded);
        gradients.par_chunks_mut(ITEMS_AT_ONCE * padded).enumerate().for_each(|(chunk, gradients)| {
            let first = chunk * ITEMS_AT_ONCE;
            let positions = first..(first + ITEMS_AT_ONCE).min(lists.rows.len());
            item_gradients(lists, positions, users, padded, residuals, gradients);
        });
        let rules = &self.rules;
        let width = self.shape.n_features;
        if width > 0 {
            let own = Matrix::new(item_features, lists.rows.len(), width);
            let mut gradient = vec![0.0; width * padded];
            let by_item = Matrix::new(gradients, lists.rows.len(), padded);
            matmul(own.transposed(), by_item, false, &mut gradient);
            self.network.features.update_all(&rules.steps, &rules.features, at, &gradient);
        }
        let skips = rules.steps.skips_after(at + 1);
        self.network.items.update(&rules.steps, &rules.items, at, &skips, lists, gradients);
    }

    /// From the gradients of the generated factors down to that of the sparse layer's output, which is left in the place of the
    /// factors' gradients; then a step for the dense layers.
    fn backward_dense(&mut self, n: usize, at: usize) {
        let (k, padded) = (self.shape.k, self.shape.padded());
        let dense = &self.network.dense.w;
        let activations = &self.network.activations;
        let Room { x, sums, hidden, users, d_users, .. } = &mut self.room;
        let mut gradient = vec![0.0; n * (k + 1)];
        for ((out, d_user), user) in
            gradient.chunks_exact_mut(k + 1).zip(d_users.chunks_exact(padded)).zip(users.chunks_exact(padded))
        {
            for ((out, &d), &u) in out.iter_mut().zip(d_user).zip(user) {
                *out = match self.rules.output {
                    OutputActivation::Tanh => d * (1.0 - u * u),
                    OutputActivation::Identity => d,
                };
            }
        }
        for (number, layer) in self.layout.layers.iter().enumerate().rev() {
            let above = Matrix::new(&gradient, n, layer.outputs);
            let input = match number.checked_sub(1) {
                Some(before) => Matrix::new(&hidden[before], n, layer.inputs),
                None => Matrix::blocked(x, n, layer.inputs, BLOCK),
            };
            matmul(input.transposed(), above, false, &mut self.gradient[layer.weights.clone()]);
            dense_layer::column_sums(&gradient, &mut self.gradient[layer.bias.clone()]);
            let mut below = vec![0.0; n * layer.inputs];
            let weights = Matrix::new(&dense[layer.weights.clone()], layer.inputs, layer.outputs);
            matmul(above, weights.transposed(), false, &mut below);
            if let Some(before) = number.checked_sub(1) {
                let dropout = self.rules.dropout(number, at);
                let active = &hidden[before];
                dense_layer::activate_backward(&mut below, active, layer.inputs, self.rules.slope, dropout);
                if !activations.fused() {
                    self.of_activations[number] = activations.backward(number, &sums[number], &mut below);
                }
            }
            gradient = below;
        }
        *d_users = gradient;
    }

    fn backward_sparse(&mut self, batch: &Batch, statistics: &[Option<BatchStatistics>], at: usize) {
        let mut room = std::mem::take(&mut self.room);
        let chunk = batch.n * BLOCK;
        let dz = resized(&mut room.dz, self.shape.n_blocks() * chunk);
        let (h, dx, stride) = (&room.h, &room.d_users, self.shape.widths[0]);
        let sums: Vec<[Units; 3]> = dz
            .par_chunks_mut(chunk)
            .zip(h.par_chunks(chunk))
            .enumerate()
            .map(|(block, (dz, h))| {
                let mut sums = [[0.0; BLOCK]; 3];
                let parameters = self.block_parameters(block, at);
                activate_backward(&parameters, statistics[block].as_ref(), h, dx, stride, dz, &mut sums);
                sums
            })
            .collect();
        for (block, sums) in sums.iter().enumerate() {
            for (range, sums) in
                [&self.layout.bias, &self.layout.gamma, &self.layout.beta].into_iter().zip(sums)
            {
                self.gradient[range.start + block * BLOCK..][..BLOCK].copy_from_slice(sums);
            }
        }
        if !self.network.activations.fused() {
            let of_bias = &mut self.gradient[self.layout.bias.clone()][..stride];
            self.of_activations[0] = self.network.activations.backward_first(&room.sums[0], dz, of_bias);
        }
        let rules = &self.rules;
        let skips = rules.steps.skips_after(at + 1);
        let n_inputs = self.shape.n_inputs();
        let (steps, lists) = (&rules.steps, &batch.inputs);
        self.network.inputs.update(lists, n_inputs, dz, chunk, steps, &rules.inputs, at, &skips);
        self.network.dense.update_all(&rules.steps, &rules.dense, at, &self.gradient);
        self.network.activations.update(&rules.activations, at, &self.of_activations);
        self.room = room;
    }
}

#[cfg(test)]
mod tests;
