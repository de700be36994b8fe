//! The generator after training: normalisation folded into the next layer, the sparse layer in half precision, everything laid
//! out for one pass. A user alone and the same user in a batch get the same bits.

use std::borrow::Cow;

use foldin_core::{LoadError, ModelParts, Tensor, UserView};
use foldin_nn::aligned::Aligned;
use foldin_nn::half_rows::{add_weighted_rows, sum_valued_rows};
use foldin_nn::matmul::{Matrix, Packed, matmul_packed};
use foldin_nn::simd::{f32_to_half, half_to_f32};
use foldin_nn::sparse_layer::{BLOCK, NORM_EPSILON, TABLE_BLOCK};
use rayon::prelude::*;

use super::batch::input_scale;
use super::config::{LfgConfig, OutputActivation};
use super::network::{Network, Shape};

/// Users that a task generates at a time: no fewer, since a task has its cost, and no more than stay in the cache.
const USERS_AT_ONCE: std::ops::RangeInclusive<usize> = 32..=256;

/// Columns of the first layer that are summed for all users of a task, before the next ones: of some thousands of items they
/// stay in the second-level cache, and many users rated the same items.
const COLUMNS_AT_ONCE: usize = 64;

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
    /// `[n_items × 2 · padded]`, half precision: weights of the values, then of the indicators.
    items: Aligned<u16>,
    /// `[n_side × padded]`, half precision.
    side: Aligned<u16>,
    /// `[padded]`.
    bias: Vec<f32>,
    layers: Vec<Dense>,
    slope: f32,
    input_exponent: f32,
    output: OutputActivation,
    mean: f32,
    unit: f32,
}

impl Frozen {
    /// Takes the weights of a network, averaged if they are averaged: `correction` makes up for the start of the averages.
    pub(super) fn new(
        network: &Network,
        shape: &Shape,
        config: &LfgConfig,
        mean: f32,
        unit: f32,
        correction: f32,
    ) -> Self {
        let width = shape.widths[0];
        let padded = width.next_multiple_of(BLOCK);
        let table = network.inputs.averaged(correction);
        let (n_items, n_inputs) = (shape.n_items, shape.n_inputs());
        let mut items = Aligned::zeros(n_items * 2 * padded);
        let mut side = Aligned::zeros(shape.n_side * padded);
        for (at, row) in table.chunks_exact(TABLE_BLOCK).enumerate() {
            let (first, row_number) = (at / n_inputs * BLOCK, at % n_inputs);
            let out = match row_number.checked_sub(n_items) {
                None => &mut items[row_number * 2 * padded..(row_number + 1) * 2 * padded],
                Some(column) => &mut side[column * padded..(column + 1) * padded],
            };
            let halves = |from: &[f32], out: &mut [u16]| {
                out.iter_mut().zip(from).for_each(|(out, &w)| *out = f32_to_half(w));
            };
            halves(&row[..BLOCK], &mut out[first..first + BLOCK]);
            if row_number < n_items {
                halves(&row[BLOCK..], &mut out[padded + first..padded + first + BLOCK]);
            }
        }
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
            n_items,
            n_side: shape.n_side,
            width,
            items,
            side,
            bias: dense[layout.bias.clone()].to_vec(),
            layers: layers.collect(),
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
        let padded = self.bias.len();
        let mut x = vec![0.0; users.len() * padded];
        let histories: Vec<History> =
            users.iter().map(|user| History::new(user, |value| (value - self.mean) / self.unit)).collect();
        let columns = if users.len() == 1 { padded } else { COLUMNS_AT_ONCE };
        for first in (0..padded).step_by(columns) {
            for (history, x) in histories.iter().zip(x.chunks_exact_mut(padded)) {
                let x = &mut x[first..(first + columns).min(padded)];
                sum_valued_rows(&history.items, &history.values, &self.items, padded, first, x);
            }
        }
        for (user, x) in users.iter().zip(x.chunks_exact_mut(padded)) {
            self.finish_first_layer(user, x);
        }
        let (mut stride, mut inputs) = (padded, self.width);
        for (number, layer) in self.layers.iter().enumerate() {
            let outputs = layer.bias.len();
            let mut next = vec![0.0; users.len() * outputs];
            if let [_] = users {
                layer.packed.row_times(&x[..inputs], &mut next);
            } else {
                let rows = Matrix::new(&x, users.len(), stride).first_columns(inputs);
                matmul_packed(rows, &layer.packed, false, &mut next);
            }
            let last = number + 1 == self.layers.len();
            for next in next.chunks_exact_mut(outputs) {
                for (next, &bias) in next.iter_mut().zip(&layer.bias) {
                    let sum = *next + bias;
                    *next = match (last, self.output) {
                        (true, OutputActivation::Tanh) => sum.tanh(),
                        (true, OutputActivation::Identity) => sum,
                        (false, _) => self.leaky(sum),
                    };
                }
            }
            (x, stride, inputs) = (next, outputs, outputs);
        }
        out.copy_from_slice(&x);
    }

    fn leaky(&self, x: f32) -> f32 {
        if x > 0.0 { x } else { self.slope * x }
    }

    fn finish_first_layer(&self, user: &UserView<'_>, z: &mut [f32]) {
        let scale = input_scale(user.items.len(), self.input_exponent);
        for (z, &bias) in z.iter_mut().zip(&self.bias) {
            *z = scale * *z + bias;
        }
        if self.n_side > 0 {
            add_weighted_rows(user.features.columns, user.features.values, &self.side, z);
        }
        z.iter_mut().for_each(|z| *z = self.leaky(*z));
    }

    /// Puts everything into a model folder's parts.
    pub(super) fn save(&self, parts: &mut ModelParts) {
        let padded = self.bias.len();
        let rows = |table: &[u16]| -> Vec<f32> {
            table
                .chunks_exact(padded)
                .flat_map(|row| row[..self.width].iter().map(|&half| half_to_f32(half)))
                .collect()
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
        parts.set("layers", self.layers.len());
        parts.set("leaky_slope", self.slope);
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
            let mut out = Aligned::zeros(data.len() / width.max(1) * padded);
            for (out, row) in out.chunks_exact_mut(padded).zip(data.chunks_exact(width)) {
                out.iter_mut().zip(row).for_each(|(out, &w)| *out = f32_to_half(w));
            }
            out
        };
        let n_layers: usize = parts.get("layers")?;
        if width == 0 || n_layers == 0 {
            return Err(LoadError::Meta { key: "layers".to_owned() });
        }
        let mut layers = Vec::new();
        let mut inputs = width;
        for number in 0..n_layers {
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
            slope: parts.get("leaky_slope")?,
            input_exponent: parts.get("input_exponent")?,
            output: parts.get("output")?,
            mean: parts.get("mean")?,
            unit: parts.get("unit")?,
        })
    }
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
