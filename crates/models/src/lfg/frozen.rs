//! The generator after training: normalisation folded into the next layer, the sparse layer in half precision, everything laid
//! out for one pass. A user alone and the same user in a batch get the same bits.

use std::borrow::Cow;

use foldin_core::{LoadError, ModelParts, Tensor, UserView};
use foldin_nn::activation::Activation;
use foldin_nn::aligned::Aligned;
use foldin_nn::blocks::{Blocks, View};
use foldin_nn::half_rows::{add_weighted_rows, sum_valued_lists, sum_valued_rows};
use foldin_nn::matmul::{Matrix, Packed, matmul_packed};
use foldin_nn::plan::RowLists;
use foldin_nn::simd::{f32_to_half, half_to_f32};
use foldin_nn::sparse_layer::{BLOCK, NORM_EPSILON, TABLE_BLOCK};
use rayon::prelude::*;

use super::batch::input_scale;
use super::config::{LfgConfig, OutputActivation};
use super::network::{Network, Shape};

/// Users that a task generates at a time: no fewer, since a task has its cost, and no more than stay in the cache.
const USERS_AT_ONCE: std::ops::RangeInclusive<usize> = 32..=256;

/// What a model folder calls the activation; without it, it is `leaky_relu`, of the slope [`SLOPE`].
const ACTIVATION: &str = "hidden_activation";

/// What a model folder calls the slope of `leaky_relu`. Folders of other activations are without it: an older version, which knows no
/// other, then refuses them.
const SLOPE: &str = "leaky_slope";

/// A dense layer.
#[derive(Clone, Debug)]
struct Dense {
    /// `[inputs × outputs]`, row-major, as saved.
    weights: Vec<f32>,
    packed: Packed,
    bias: Vec<f32>,
}

impl Dense {
    fn new(weights: Vec<f32>, bias: Vec<f32>) -> Self {
        let packed = Packed::new(Matrix::new(&weights, weights.len() / bias.len(), bias.len()));
        Self { weights, packed, bias }
    }
}

/// The generator of a fitted model.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    n_items: usize,
    n_side: usize,
    /// Units of the sparse layer.
    width: usize,
    /// Blocks of columns, each `[n_items × 2 × BLOCK]`, half precision: weights of the values, then of the indicators.
    items: Aligned<u16>,
    /// Blocks of columns, each `[n_side × BLOCK]`, half precision.
    side: Aligned<u16>,
    /// `[padded]`.
    bias: Vec<f32>,
    layers: Vec<Dense>,
    /// Of the hidden layers, each of which leads to one of `layers`.
    activation: Activation,
    /// Parameters of the activation, for each hidden layer.
    parameters: Vec<Vec<f32>>,
    /// Slope of the LeakyReLU; no other activation reads it.
    slope: f32,
    input_exponent: f32,
    output: OutputActivation,
    mean: f32,
    unit: f32,
}

impl Frozen {
    /// Takes the weights of a network, averaged if they are averaged: `correction` makes up for the start of the averages. Those of its
    /// first layer come as [`super::inputs::Inputs::halves`] gives them.
    pub(super) fn new(
        network: &Network,
        (items, side): (Aligned<u16>, Aligned<u16>),
        shape: &Shape,
        config: &LfgConfig,
        mean: f32,
        unit: f32,
        correction: f32,
    ) -> Self {
        let width = shape.widths[0];
        let dense = network.dense.averaged(correction);
        let layout = shape.layout();
        let layers = layout.layers.iter().enumerate().map(|(number, layer)| {
            let mut weights = dense[layer.weights.clone()].to_vec();
            let mut bias = dense[layer.bias.clone()].to_vec();
            if number == 0 && config.batch_norm {
                let mut shifted: Vec<f64> = bias.iter().map(|&bias| f64::from(bias)).collect();
                for (unit, weights) in weights.chunks_exact_mut(layer.outputs).enumerate() {
                    let deviation = (network.running_variance[unit] + NORM_EPSILON).sqrt();
                    let scale = dense[layout.gamma.start + unit] / deviation;
                    let shift = dense[layout.beta.start + unit] - network.running_mean[unit] * scale;
                    for (weight, bias) in weights.iter_mut().zip(&mut shifted) {
                        *bias += f64::from(shift) * f64::from(*weight);
                        *weight *= scale;
                    }
                }
                bias = shifted.into_iter().map(|bias| bias as f32).collect();
            }
            Dense::new(weights, bias)
        });
        Self {
            n_items: shape.n_items,
            n_side: shape.n_side,
            width,
            items,
            side,
            bias: dense[layout.bias.clone()].to_vec(),
            layers: layers.collect(),
            activation: config.hidden_activation,
            parameters: network.activations.averaged(correction),
            slope: config.leaky_slope,
            input_exponent: config.input_exponent,
            output: config.output,
            mean,
            unit,
        }
    }

    /// Number of factors.
    pub(super) fn k(&self) -> usize {
        self.layers.last().map_or(0, |layer| layer.bias.len() - 1)
    }

    /// Number of items it knows.
    pub(super) fn n_items(&self) -> usize {
        self.n_items
    }

    /// Columns of side information that it was trained with.
    pub(super) fn n_side(&self) -> usize {
        self.n_side
    }

    /// Factors and then the bias of each user, `[users.len() × (k + 1)]`. Histories were checked by the caller.
    pub(super) fn generate(&self, users: &[UserView<'_>]) -> Vec<f32> {
        let width = self.k() + 1;
        if users.is_empty() {
            return Vec::new();
        }
        let mut out = vec![0.0; users.len() * width];
        let share = users.len().div_ceil(rayon::current_num_threads());
        let at_once = share.clamp(*USERS_AT_ONCE.start(), *USERS_AT_ONCE.end());
        if users.len() <= at_once {
            self.generate_some(users, &mut out);
        } else {
            out.par_chunks_mut(at_once * width)
                .zip(users.par_chunks(at_once))
                .for_each(|(out, users)| self.generate_some(users, out));
        }
        out
    }

    fn generate_some(&self, users: &[UserView<'_>], out: &mut [f32]) {
        let histories: Vec<History> =
            users.iter().map(|user| History::new(user, |value| (value - self.mean) / self.unit)).collect();
        let first = self.first_layer(users, &histories);
        let (mut x, mut inputs) = (Vec::new(), self.width);
        for (number, layer) in self.layers.iter().enumerate() {
            let outputs = layer.bias.len();
            let mut next = vec![0.0; users.len() * outputs];
            let x_or_first = if number == 0 { &*first } else { &x };
            if let [_] = users {
                layer.packed.row_times(&x_or_first[..inputs], &mut next);
            } else {
                let rows = match number {
                    0 => Matrix::blocked(x_or_first, users.len(), inputs, BLOCK),
                    _ => Matrix::new(x_or_first, users.len(), inputs),
                };
                matmul_packed(rows, &layer.packed, false, &mut next);
            }
            for next in next.chunks_exact_mut(outputs) {
                next.iter_mut().zip(&layer.bias).for_each(|(next, &bias)| *next += bias);
            }
            if number + 1 < self.layers.len() {
                self.activate(number + 1, outputs, &mut next);
            } else if self.output == OutputActivation::Tanh {
                Activation::Tanh.forward(&[], outputs, &next, out);
                return;
            }
            (x, inputs) = (next, outputs);
        }
        out.copy_from_slice(&x);
    }

    /// Passes sums of a hidden layer of `units` units, row-major, through its activation.
    fn activate(&self, layer: usize, units: usize, z: &mut [f32]) {
        if self.is_leaky() {
            z.iter_mut().for_each(|z| *z = self.leaky(*z));
        } else {
            let sums = z.to_vec();
            self.activation.forward(&self.parameters[layer], units, &sums, z);
        }
    }

    fn is_leaky(&self) -> bool {
        self.activation == Activation::LeakyRelu
    }

    fn leaky(&self, x: f32) -> f32 {
        if x > 0.0 { x } else { self.slope * x }
    }

    /// Outputs of the first layer, in blocks of columns `[users.len() × BLOCK]`: of one user, a plain row.
    fn first_layer(&self, users: &[UserView<'_>], histories: &[History<'_>]) -> Aligned<f32> {
        let padded = self.bias.len();
        let mut z = Aligned::zeros(users.len() * padded);
        if let [History { items, values }] = histories {
            sum_valued_rows(items, values, &self.items, padded, 0, &mut z);
        } else {
            // One block of columns for all users before the next one: of some thousands of items it stays in the second-level
            // cache. Users who rated the same items share their weights, too, if there are enough of them for that.
            let lists = (users.len() >= *USERS_AT_ONCE.start()).then(|| {
                RowLists::group(&mut vec![0; self.n_items], |add| {
                    for (user, history) in (0u32..).zip(histories) {
                        history
                            .items
                            .iter()
                            .zip(&history.values)
                            .for_each(|(&item, &value)| add(item, (user, value)));
                    }
                })
            });
            for (block, z) in z.chunks_exact_mut(users.len() * BLOCK).enumerate() {
                if let Some(lists) = &lists {
                    let size = self.n_items * TABLE_BLOCK;
                    sum_valued_lists(lists, &self.items[block * size..(block + 1) * size], z);
                } else {
                    for (History { items, values }, z) in histories.iter().zip(z.chunks_exact_mut(BLOCK)) {
                        sum_valued_rows(items, values, &self.items, padded, block * BLOCK, z);
                    }
                }
            }
        }
        for (block, z) in z.chunks_exact_mut(users.len() * BLOCK).enumerate() {
            let bias = &self.bias[block * BLOCK..(block + 1) * BLOCK];
            let side = &self.side[block * self.n_side * BLOCK..(block + 1) * self.n_side * BLOCK];
            for (user, z) in users.iter().zip(z.chunks_exact_mut(BLOCK)) {
                let scale = input_scale(user.items.len(), self.input_exponent);
                z.iter_mut().zip(bias).for_each(|(z, &bias)| *z = scale * *z + bias);
                if self.n_side > 0 {
                    add_weighted_rows(user.features.columns, user.features.values, side, z);
                }
                if self.is_leaky() {
                    z.iter_mut().for_each(|z| *z = self.leaky(*z));
                }
            }
        }
        if self.is_leaky() {
            return z;
        }
        let mut rows = View::new(users.len(), self.width, &z).to_rows();
        self.activate(0, self.width, &mut rows);
        Blocks::from_rows(users.len(), self.width, &rows).into_data()
    }

    /// Puts everything into a model folder's parts.
    pub(super) fn save(&self, parts: &mut ModelParts) {
        let padded = self.bias.len();
        let rows = |table: &[u16]| -> Vec<f32> {
            let n = table.len() / padded.max(1);
            let mut out = vec![0.0; n * self.width];
            for (row, out) in out.chunks_exact_mut(self.width).enumerate() {
                for (block, out) in out.chunks_mut(BLOCK).enumerate() {
                    let from = &table[start_of(n, row, block)..];
                    out.iter_mut().zip(from).for_each(|(out, &half)| *out = half_to_f32(half));
                }
            }
            out
        };
        let mut put = |name: String, shape: Vec<usize>, data: Vec<f32>| {
            parts.tensors.insert(name, Tensor::new(shape, data));
        };
        put("input_items".to_owned(), vec![self.n_items, 2, self.width], rows(&self.items));
        put("input_side".to_owned(), vec![self.n_side, self.width], rows(&self.side));
        put("input_bias".to_owned(), vec![self.width], self.bias[..self.width].to_vec());
        for (number, layer) in self.layers.iter().enumerate() {
            let outputs = layer.bias.len();
            let shape = vec![layer.weights.len() / outputs, outputs];
            put(format!("layer{number}_weights"), shape, layer.weights.clone());
            put(format!("layer{number}_bias"), vec![outputs], layer.bias.clone());
        }
        for (layer, own) in self.parameters.iter().enumerate().filter(|(_, own)| !own.is_empty()) {
            put(name_of_parameters(layer), vec![own.len()], own.clone());
        }
        parts.set("layers", self.layers.len());
        if self.is_leaky() {
            parts.set(SLOPE, self.slope);
        } else {
            parts.set(ACTIVATION, self.activation);
        }
        parts.set("input_exponent", self.input_exponent);
        parts.set("output", self.output);
        parts.set("mean", self.mean);
        parts.set("unit", self.unit);
    }

    /// The reverse of [`Frozen::save`].
    pub(super) fn load(parts: &mut ModelParts) -> Result<Self, LoadError> {
        let bias = parts.take("input_bias", &[None])?.data;
        let width = bias.len();
        let items = parts.take("input_items", &[None, Some(2), Some(width)])?;
        let side = parts.take("input_side", &[None, Some(width)])?;
        let padded = width.next_multiple_of(BLOCK);
        let halves = |data: &[f32]| -> Aligned<u16> {
            let n = data.len() / width.max(1);
            let mut out = Aligned::zeros(n * padded);
            for (row, from) in data.chunks_exact(width.max(1)).enumerate() {
                for (block, from) in from.chunks(BLOCK).enumerate() {
                    let out = &mut out[start_of(n, row, block)..];
                    out.iter_mut().zip(from).for_each(|(out, &w)| *out = f32_to_half(w));
                }
            }
            out
        };
        let n_layers: usize = parts.get("layers")?;
        if width == 0 || n_layers == 0 {
            return Err(LoadError::Meta { key: "layers".to_owned() });
        }
        let known = parts.meta.contains_key(ACTIVATION);
        let activation = if known { parts.get(ACTIVATION)? } else { Activation::LeakyRelu };
        let slope = if activation == Activation::LeakyRelu { parts.get(SLOPE)? } else { 1.0 };
        let (mut layers, mut parameters) = (Vec::new(), Vec::new());
        let mut inputs = width;
        for number in 0..n_layers {
            parameters.push(load_parameters(activation, number, inputs, parts)?);
            let bias = parts.take(&format!("layer{number}_bias"), &[None])?.data;
            let shape = [Some(inputs), Some(bias.len())];
            let weights = parts.take(&format!("layer{number}_weights"), &shape)?.data;
            inputs = bias.len();
            if inputs == 0 {
                return Err(LoadError::Meta { key: "layers".to_owned() });
            }
            layers.push(Dense::new(weights, bias));
        }
        let mut padded_bias = bias;
        padded_bias.resize(padded, 0.0);
        Ok(Self {
            n_items: items.shape[0],
            n_side: side.shape[0],
            width,
            items: halves(&items.data),
            side: halves(&side.data),
            bias: padded_bias,
            layers,
            activation,
            parameters,
            slope,
            input_exponent: parts.get("input_exponent")?,
            output: parts.get("output")?,
            mean: parts.get("mean")?,
            unit: parts.get("unit")?,
        })
    }
}

/// What a model folder calls the parameters of the activation of a hidden layer.
fn name_of_parameters(layer: usize) -> String {
    format!("hidden_{layer}_activation")
}

/// The parameters of the activation of a hidden layer of `units` units.
fn load_parameters(
    activation: Activation,
    layer: usize,
    units: usize,
    parts: &mut ModelParts,
) -> Result<Vec<f32>, LoadError> {
    let n = activation.parameters().len();
    if n == 0 {
        return Ok(Vec::new());
    }
    let parameters = parts.take(&name_of_parameters(layer), &[None])?.data;
    if parameters.len() == n || parameters.len() == n * units {
        Ok(parameters)
    } else {
        Err(LoadError::Meta { key: ACTIVATION.to_owned() })
    }
}

/// Where a block of a row begins in a table of `n` rows in blocks of columns.
fn start_of(n: usize, row: usize, block: usize) -> usize {
    (block * n + row) * BLOCK
}

/// A history in ascending order of items, whatever order it came in: sums then have the same bits.
#[derive(Debug)]
struct History<'a> {
    items: Cow<'a, [u32]>,
    values: Vec<f32>,
}

impl<'a> History<'a> {
    fn new(user: &UserView<'a>, input: impl Fn(f32) -> f32) -> Self {
        if user.items.is_sorted() {
            let values = user.values.iter().map(|&value| input(value)).collect();
            return Self { items: Cow::Borrowed(user.items), values };
        }
        let mut pairs: Vec<(u32, f32)> =
            user.items.iter().copied().zip(user.values.iter().map(|&value| input(value))).collect();
        pairs.sort_unstable_by_key(|&(item, _)| item);
        let (items, values): (Vec<u32>, Vec<f32>) = pairs.into_iter().unzip();
        Self { items: Cow::Owned(items), values }
    }
}
