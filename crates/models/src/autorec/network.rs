//! The network: parameters, and forward and backward through them for a batch of cases.
//!
//! A *case* is one vector of ratings (an item's column or a user's row), a *place* one of its elements. Ratings are on a scale of
//! 1 to 5 here. The first and the last layer are sparse ([`foldin_nn::blocks`]): of a case only rated places are read, and only
//! at rated places is there an output.

use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{Csr, FitError, Tensor, TrainState};
use foldin_nn::activation::{Activation, Sharing};
use foldin_nn::aligned::Aligned;
use foldin_nn::blocks::{BLOCK, Blocks, View, dots, sums};
use foldin_nn::dense_layer::column_sums;
use foldin_nn::dropout::Dropout;
use foldin_nn::matmul::{Matrix, matmul};
use foldin_nn::optimiser::{Optimiser, Trained};
use rayon::prelude::*;

use super::config::AutoRecConfig;

/// Rows that one task activates.
const ROWS_AT_ONCE: usize = 64;

/// Entries that one task turns into residuals.
const ENTRIES_AT_ONCE: usize = 16_384;

/// A dense layer between hidden layers: `[from × to]` weights row-major, and biases.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Dense {
    pub(super) weights: Trained,
    pub(super) bias: Trained,
}

/// All parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Network {
    /// Number of places.
    pub(super) places: usize,
    /// Widths of the hidden layers.
    pub(super) widths: Vec<usize>,
    /// V: blocks of `[places × widths[0]]`.
    pub(super) encoder: Trained,
    /// μ: `[widths[0]]`.
    pub(super) encoder_bias: Trained,
    /// Between hidden layers.
    pub(super) dense: Vec<Dense>,
    /// W: blocks of `[places × last width]`.
    pub(super) decoder: Trained,
    /// b: `[places]`.
    pub(super) decoder_bias: Trained,
    /// Parameters of the activation of each hidden layer.
    pub(super) hidden: Vec<Trained>,
    /// Parameters of the activation of the output.
    pub(super) output: Trained,
    /// What is taken off a rating before it is read.
    pub(super) centre: f32,
    /// How a bounded output is stretched over the scale: it is `stretch.0 · f + stretch.1`.
    pub(super) stretch: (f32, f32),
    activation: Activation,
    output_activation: Activation,
    binary: bool,
}

/// Cases with their ratings, both ways.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    /// `[cases × places]`.
    pub(super) by_case: Csr,
    /// `[places × cases]`.
    pub(super) by_place: Csr,
    /// For each entry of `by_place`, its position in `by_case`.
    from: Vec<u32>,
}

impl Batch {
    pub(super) fn new(by_case: Csr) -> Self {
        let by_place = by_case.transpose();
        let mut next = by_place.offsets().to_vec();
        let mut from = vec![0u32; by_case.n_entries()];
        for (at, &place) in by_case.columns().iter().enumerate() {
            let next = &mut next[place as usize];
            from[*next] = at as u32;
            *next += 1;
        }
        Self { by_case, by_place, from }
    }

    /// Numbers that stand beside the entries of `by_case`, in the order of `by_place`.
    fn turned(&self, values: &[f32]) -> Vec<f32> {
        self.from.par_iter().with_min_len(ENTRIES_AT_ONCE).map(|&at| values[at as usize]).collect()
    }
}

/// Which penalty a parameter has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Penalised {
    No,
    /// W and V.
    Places,
    /// Weights between hidden layers.
    Dense,
}

/// Weights of the penalties.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Penalty {
    pub(super) places: f32,
    pub(super) dense: f32,
}

/// What a step drops.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drops {
    /// Of the ratings that are read; all are still to be written.
    pub(super) input: Option<Dropout>,
    /// Of the hidden units: the share, and a seed from which each layer has its own.
    pub(super) hidden: Option<(f32, u64)>,
}

impl Drops {
    /// What is dropped of a hidden layer.
    fn of_layer(self, layer: usize) -> Option<Dropout> {
        self.hidden.map(|(rate, seed)| Dropout::new(rate, numbered_seed(seed, "layer", layer as u64)))
    }
}

/// What a forward pass leaves for the backward one: of each hidden layer, the sums `z` and the outputs `h`.
struct Passed {
    /// Of the first layer, in blocks.
    first: (Blocks, Blocks),
    /// Of the others, row-major.
    rest: Vec<(Vec<f32>, Vec<f32>)>,
    /// Outputs of the last layer in blocks, if it is not the first.
    last: Option<Blocks>,
}

impl Passed {
    fn last(&self) -> View<'_> {
        self.last.as_ref().unwrap_or(&self.first.1).view()
    }
}

/// A block of the first hidden layer.
struct FirstBlock {
    /// Its first unit.
    first: usize,
    /// The biases of its units.
    bias: Vec<f32>,
    /// The parameters of their activation.
    parameters: Vec<f32>,
}

impl FirstBlock {
    /// Numbers of a block `[cases × BLOCK]` that stand together as rows of its units: all of them if it has no padding, else a
    /// row at a time.
    fn at_once(&self, all: usize) -> usize {
        if self.bias.len() == BLOCK { all } else { BLOCK }
    }

    /// How many of [`FirstBlock::at_once`] numbers belong to units.
    fn used(&self, n: usize) -> usize {
        if self.bias.len() == BLOCK { n } else { self.bias.len() }
    }
}

/// Gradients in the order of [`Network::parameters`].
type Gradients = Vec<Aligned<f32>>;

impl Network {
    /// Small random weights, as the authors' program has them: `0.01·N(0,1)`, and `0.001·N(0,1)` for biases. Unlike there, all
    /// outputs start at `mean`, that of the ratings, so that no epoch is spent on finding it.
    pub(super) fn new(
        places: usize,
        config: &AutoRecConfig,
        optimiser: &Optimiser,
        mean: f32,
        seed: u64,
    ) -> Self {
        let mut random = Random::new(child_seed(seed, "network"));
        let mut draw = |n: usize, width: usize, deviation: f64| -> Vec<f32> {
            (0..n * width).map(|_| (random.normal() * deviation) as f32).collect()
        };
        let widths = config.hidden.clone();
        let (first, last) = (widths[0], widths[widths.len() - 1]);
        let mut table = |width: usize| {
            let rows = draw(places, width, 0.01);
            Trained::new(Blocks::from_rows(places, width, &rows).data(), optimiser)
        };
        let (encoder, decoder) = (table(first), table(last));
        let dense = widths
            .windows(2)
            .map(|pair| Dense {
                // Between dense layers, weights keep the size of what passes through.
                weights: Trained::new(
                    &draw(pair[0], pair[1], (2.0 / (pair[0] + pair[1]) as f64).sqrt()),
                    optimiser,
                ),
                bias: Trained::new(&vec![0.0; pair[1]], optimiser),
            })
            .collect();
        let hidden = widths
            .iter()
            .map(|&width| {
                Trained::of_activation(config.hidden_activation, config.activation_sharing, width, optimiser)
            })
            .collect();
        let output = config.output_activation;
        let stretch = output.bounds().map_or((1.0, 0.0), |(low, high)| {
            let factor = 4.0 / (high - low);
            (factor, 1.0 - factor * low)
        });
        let start = sum_for(output, (mean - stretch.1) / stretch.0);
        let decoder_bias: Vec<f32> = draw(places, 1, 0.001).iter().map(|noise| start + noise).collect();
        Self {
            places,
            encoder,
            encoder_bias: Trained::new(&draw(first, 1, 0.001), optimiser),
            dense,
            decoder,
            decoder_bias: Trained::new(&decoder_bias, optimiser),
            hidden,
            output: Trained::of_activation(output, Sharing::Layer, 1, optimiser),
            centre: if config.centred { mean } else { 0.0 },
            stretch,
            activation: config.hidden_activation,
            output_activation: output,
            binary: config.binary_hidden,
            widths,
        }
    }

    /// All parameters with their names, and how they are penalised.
    pub(super) fn parameters(&mut self) -> Vec<(String, Penalised, &mut Trained)> {
        use Penalised::{Dense as Inner, No, Places};
        let mut out = vec![
            ("encoder".to_owned(), Places, &mut self.encoder),
            ("encoder_bias".to_owned(), No, &mut self.encoder_bias),
            ("decoder".to_owned(), Places, &mut self.decoder),
            ("decoder_bias".to_owned(), No, &mut self.decoder_bias),
            ("output".to_owned(), No, &mut self.output),
        ];
        for (at, Dense { weights, bias }) in self.dense.iter_mut().enumerate() {
            out.push((format!("dense_{at}"), Inner, weights));
            out.push((format!("dense_{at}_bias"), No, bias));
        }
        for (at, hidden) in self.hidden.iter_mut().enumerate() {
            out.push((format!("hidden_{at}"), No, hidden));
        }
        out
    }

    /// Everything under its name, for a checkpoint.
    pub(super) fn save(&self, prefix: &str, state: &mut TrainState) {
        for (name, _, Trained { w, first, second, .. }) in self.clone().parameters() {
            for (part, data) in [("w", &*w), ("first", &*first), ("second", &*second)] {
                let tensor = Tensor::new([data.len()], data.to_vec());
                state.tensors.insert(format!("{prefix}{name}.{part}"), tensor);
            }
        }
    }

    /// Puts a checkpoint in the place of the start.
    ///
    /// # Errors
    /// [`FitError::Checkpoint`] if it is of another shape.
    pub(super) fn restore(&mut self, prefix: &str, state: &mut TrainState) -> Result<(), FitError> {
        for (name, _, Trained { w, first, second, .. }) in self.parameters() {
            for (part, out) in [("w", w), ("first", first), ("second", second)] {
                let name = format!("{prefix}{name}.{part}");
                match state.tensors.remove(&name) {
                    Some(tensor) if tensor.data.len() == out.len() => out.copy_from_slice(&tensor.data),
                    _ => {
                        return Err(FitError::Checkpoint {
                            reason: format!("its `{name}` does not fit these settings and data"),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    fn encoder(&self) -> View<'_> {
        View::new(self.places, self.widths[0], &self.encoder.w)
    }

    fn decoder(&self) -> View<'_> {
        View::new(self.places, self.last_width(), &self.decoder.w)
    }

    pub(super) fn last_width(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    /// Outputs of the last hidden layer, `[cases × last width]`, without dropout.
    pub(super) fn hidden_of(&self, by_case: &Csr) -> Blocks {
        let Passed { first, last, .. } = self.pass(by_case, &self.inputs(by_case, None), Drops::default());
        last.unwrap_or(first.1)
    }

    /// Outputs at the places of `pattern`, for cases whose last hidden layer is given.
    pub(super) fn outputs(&self, pattern: &Csr, hidden: View<'_>) -> Vec<f32> {
        let mut z = vec![0.0; pattern.n_entries()];
        dots(pattern, hidden, self.decoder(), &mut z);
        let bias = &self.decoder_bias.w;
        z.par_chunks_mut(ENTRIES_AT_ONCE).zip(pattern.columns().par_chunks(ENTRIES_AT_ONCE)).for_each(
            |(z, places)| {
                z.iter_mut().zip(places).for_each(|(z, &place)| *z += bias[place as usize]);
                let sums = z.to_vec();
                self.output_activation.forward(&self.output.w, 1, &sums, z);
                z.iter_mut().for_each(|y| *y = *y * self.stretch.0 + self.stretch.1);
            },
        );
        z
    }

    /// The ratings of cases as they are read.
    fn inputs(&self, by_case: &Csr, dropout: Option<Dropout>) -> Vec<f32> {
        let values = by_case.values().par_iter().with_min_len(ENTRIES_AT_ONCE).enumerate();
        values
            .map(|(at, value)| {
                (value - self.centre) * dropout.map_or(1.0, |dropout| dropout.factor(at as u32))
            })
            .collect()
    }

    fn pass(&self, by_case: &Csr, values: &[f32], drops: Drops) -> Passed {
        let dropout = drops.of_layer(0);
        let cases = by_case.n_rows();
        let mut z = Blocks::zeros(cases, self.widths[0]);
        sums(by_case, values, self.encoder(), &mut z);
        let mut h = Blocks::zeros(cases, self.widths[0]);
        let chunk = (cases * BLOCK).max(1);
        let tasks = self.first_layer().into_par_iter().zip(z.data_mut().par_chunks_mut(chunk));
        tasks.zip(h.data_mut().par_chunks_mut(chunk)).for_each(|((part, z), h)| {
            let columns = part.bias.len();
            for z in z.chunks_exact_mut(BLOCK) {
                z.iter_mut().zip(&part.bias).for_each(|(z, bias)| *z += bias);
            }
            for (z, h) in z.chunks(part.at_once(chunk)).zip(h.chunks_mut(part.at_once(chunk))) {
                let n = part.used(z.len());
                self.activation.forward(&part.parameters, columns, &z[..n], &mut h[..n]);
            }
            for (row, h) in h.chunks_exact_mut(BLOCK).enumerate() {
                self.finish(&mut h[..columns], dropout, row * self.widths[0] + part.first);
            }
        });
        let mut rest: Vec<(Vec<f32>, Vec<f32>)> = Vec::new();
        for (at, Dense { weights, bias }) in self.dense.iter().enumerate() {
            let dropout = drops.of_layer(at + 1);
            let (from, to) = (self.widths[at], self.widths[at + 1]);
            let input = match rest.last() {
                Some((_, h)) => Matrix::new(h, cases, from),
                None => Matrix::blocked(h.data(), cases, from, BLOCK),
            };
            let mut z = vec![0.0; cases * to];
            matmul(input, Matrix::new(&weights.w, from, to), false, &mut z);
            let mut out = vec![0.0; cases * to];
            let chunk = (ROWS_AT_ONCE * to).max(1);
            z.par_chunks_mut(chunk).zip(out.par_chunks_mut(chunk)).enumerate().for_each(
                |(task, (z, out))| {
                    z.chunks_exact_mut(to)
                        .for_each(|z| z.iter_mut().zip(&*bias.w).for_each(|(z, bias)| *z += bias));
                    self.activation.forward(&self.hidden[at + 1].w, to, z, out);
                    self.finish(out, dropout, task * chunk);
                },
            );
            rest.push((z, out));
        }
        let last = rest.last().map(|(_, h)| Blocks::from_rows(cases, self.last_width(), h));
        Passed { first: (z, h), rest, last }
    }

    /// The blocks of the first hidden layer.
    fn first_layer(&self) -> Vec<FirstBlock> {
        let width = self.widths[0];
        (0..width)
            .step_by(BLOCK)
            .map(|first| {
                let range = first..(first + BLOCK).min(width);
                let all = &self.hidden[0].w;
                let parameters = if self.shares_first() {
                    all.to_vec()
                } else {
                    all.chunks_exact(width).flat_map(|values| values[range.clone()].iter().copied()).collect()
                };
                FirstBlock { first, bias: self.encoder_bias.w[range].to_vec(), parameters }
            })
            .collect()
    }

    /// Whether all units of the first hidden layer have one set of parameters of their activation.
    fn shares_first(&self) -> bool {
        self.hidden[0].w.len() == self.activation.parameters().len()
    }

    /// Cuts and drops hidden units after their activation.
    fn finish(&self, h: &mut [f32], dropout: Option<Dropout>, first: usize) {
        if self.binary {
            h.iter_mut().for_each(|h| *h = if *h > 0.5 { 1.0 } else { 0.0 });
        }
        drop_units(h, dropout, first);
    }

    /// The sum of squared errors of a batch, and the gradient of half of it, in the order of [`Network::parameters`].
    pub(super) fn gradients(&self, batch: &Batch, drops: Drops) -> (f64, Gradients) {
        let Batch { by_case, by_place, .. } = batch;
        let inputs = self.inputs(by_case, drops.input);
        let passed = self.pass(by_case, &inputs, drops);
        let (squares, errors, of_output) = self.errors(by_case, passed.last());
        let turned = batch.turned(&errors);
        let decoder_bias: Vec<f32> = by_place
            .offsets()
            .windows(2)
            .map(|range| turned[range[0]..range[1]].iter().map(|&error| f64::from(error)).sum::<f64>() as f32)
            .collect();
        let mut decoder = Blocks::zeros(self.places, self.last_width());
        sums(by_place, &turned, passed.last(), &mut decoder);
        let mut back = Blocks::zeros(by_case.n_rows(), self.last_width());
        sums(by_case, &errors, self.decoder(), &mut back);

        let mut hidden: Vec<Vec<f32>> = self.hidden.iter().map(|own| vec![0.0; own.w.len()]).collect();
        let (dense, mut back) = self.dense_backward(&passed, back, drops, &mut hidden);
        let encoder_bias = self.first_backward(&passed.first.0, &mut back, drops.of_layer(0), &mut hidden[0]);
        for (own, width) in hidden.iter_mut().zip(&self.widths) {
            self.activation.average_moments(by_case.n_rows() * width, own);
        }
        let mut encoder = Blocks::zeros(self.places, self.widths[0]);
        sums(by_place, &batch.turned(&inputs), back.view(), &mut encoder);

        let [encoder_bias, decoder_bias, of_output] =
            [encoder_bias, decoder_bias, of_output].map(|own| Aligned::from(&*own));
        let mut out = vec![encoder.into_data(), encoder_bias, decoder.into_data(), decoder_bias, of_output];
        out.extend(dense.iter().chain(&hidden).map(|own| Aligned::from(&**own)));
        (squares, out)
    }

    /// Sum of squared errors, the gradient of half of it by the sums of each output, and by the output's parameters.
    fn errors(&self, by_case: &Csr, hidden: View<'_>) -> (f64, Vec<f32>, Vec<f32>) {
        let mut z = vec![0.0; by_case.n_entries()];
        dots(by_case, hidden, self.decoder(), &mut z);
        let bias = &self.decoder_bias.w;
        let (scale, shift) = self.stretch;
        let places = by_case.columns().par_chunks(ENTRIES_AT_ONCE);
        let values = by_case.values().par_chunks(ENTRIES_AT_ONCE);
        let chunks = z.par_chunks_mut(ENTRIES_AT_ONCE).zip(places.zip(values));
        let parts: Vec<(f64, Vec<f32>)> = chunks
            .map(|(z, (places, values))| {
                z.iter_mut().zip(places).for_each(|(z, &place)| *z += bias[place as usize]);
                let mut error = vec![0.0; z.len()];
                self.output_activation.forward(&self.output.w, 1, z, &mut error);
                let mut squares = 0.0f64;
                for (error, &value) in error.iter_mut().zip(values) {
                    let difference = *error * scale + shift - value;
                    squares += f64::from(difference) * f64::from(difference);
                    *error = difference * scale;
                }
                let mut own = vec![0.0; self.output.w.len()];
                self.output_activation.backward(&self.output.w, 1, z, &mut error, &mut own);
                z.copy_from_slice(&error);
                (squares, own)
            })
            .collect();
        let mut own = vec![0.0; self.output.w.len()];
        for (_, part) in &parts {
            own.iter_mut().zip(part).for_each(|(own, part)| *own += part);
        }
        self.output_activation.average_moments(z.len(), &mut own);
        (parts.iter().map(|part| part.0).sum(), z, own)
    }

    /// Backward through the dense layers: their gradients, and that of the outputs of the first hidden layer.
    fn dense_backward(
        &self,
        passed: &Passed,
        back: Blocks,
        drops: Drops,
        hidden: &mut [Vec<f32>],
    ) -> (Vec<Vec<f32>>, Blocks) {
        if self.dense.is_empty() {
            return (Vec::new(), back);
        }
        let cases = back.n_rows();
        let mut back = back.view().to_rows();
        let mut gradients = vec![Vec::new(); 2 * self.dense.len()];
        for (at, Dense { weights, .. }) in self.dense.iter().enumerate().rev() {
            let dropout = drops.of_layer(at + 1);
            let (from, to) = (self.widths[at], self.widths[at + 1]);
            let (z, _) = &passed.rest[at];
            let chunk = (ROWS_AT_ONCE * to).max(1);
            let own: Vec<Vec<f32>> = back
                .par_chunks_mut(chunk)
                .zip(z.par_chunks(chunk))
                .enumerate()
                .map(|(task, (back, z))| {
                    drop_units(back, dropout, task * chunk);
                    let mut own = vec![0.0; hidden[at + 1].len()];
                    self.activation.backward(&self.hidden[at + 1].w, to, z, back, &mut own);
                    own
                })
                .collect();
            for part in own {
                hidden[at + 1].iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            }
            let input = match at.checked_sub(1) {
                Some(before) => Matrix::new(&passed.rest[before].1, cases, from),
                None => Matrix::blocked(passed.first.1.data(), cases, from, BLOCK),
            };
            let mut of_weights = vec![0.0; from * to];
            matmul(input.transposed(), Matrix::new(&back, cases, to), false, &mut of_weights);
            let mut of_bias = vec![0.0; to];
            column_sums(&back, &mut of_bias);
            (gradients[2 * at], gradients[2 * at + 1]) = (of_weights, of_bias);
            let mut before = vec![0.0; cases * from];
            let transposed = Matrix::new(&weights.w, from, to).transposed();
            matmul(Matrix::new(&back, cases, to), transposed, false, &mut before);
            back = before;
        }
        let back = Blocks::from_rows(cases, self.widths[0], &back);
        (gradients, back)
    }

    /// Backward through the first hidden layer, in place: the gradient of its biases, and of its activation into `own`.
    fn first_backward(
        &self,
        z: &Blocks,
        back: &mut Blocks,
        dropout: Option<Dropout>,
        own: &mut [f32],
    ) -> Vec<f32> {
        let (cases, width) = (z.n_rows(), self.widths[0]);
        let chunk = (cases * BLOCK).max(1);
        let tasks = self.first_layer().into_par_iter().zip(back.data_mut().par_chunks_mut(chunk));
        let parts: Vec<(usize, Vec<f32>, Vec<f32>)> = tasks
            .zip(z.data().par_chunks(chunk))
            .map(|((part, back), z)| {
                let columns = part.bias.len();
                for (row, back) in back.chunks_exact_mut(BLOCK).enumerate() {
                    drop_units(&mut back[..columns], dropout, row * width + part.first);
                }
                let mut own = vec![0.0; part.parameters.len()];
                for (z, back) in z.chunks(part.at_once(chunk)).zip(back.chunks_mut(part.at_once(chunk))) {
                    let n = part.used(z.len());
                    self.activation.backward(&part.parameters, columns, &z[..n], &mut back[..n], &mut own);
                }
                let mut bias = vec![0.0; BLOCK];
                column_sums(back, &mut bias);
                bias.truncate(columns);
                (part.first, bias, own)
            })
            .collect();
        for (first, bias, part) in &parts {
            if self.shares_first() {
                own.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
            } else {
                for (parameter, part) in part.chunks_exact(bias.len()).enumerate() {
                    own[parameter * width + first..][..bias.len()].copy_from_slice(part);
                }
            }
        }
        parts.into_iter().flat_map(|(_, bias, _)| bias).collect()
    }

    /// One step of the optimiser with these gradients.
    pub(super) fn update(
        &mut self,
        optimiser: &Optimiser,
        at: usize,
        penalty: Penalty,
        gradients: &Gradients,
    ) {
        for ((_, penalised, weights), gradient) in self.parameters().into_iter().zip(gradients) {
            let decay = match penalised {
                Penalised::No => 0.0,
                Penalised::Places => penalty.places,
                Penalised::Dense => penalty.dense,
            };
            weights.update(optimiser, at, decay, gradient);
        }
        let (hidden, output) = (self.activation, self.output_activation);
        self.hidden.iter_mut().for_each(|own| hidden.constrain(&mut own.w));
        output.constrain(&mut self.output.w);
    }
}

/// The sum that an activation, as it starts, turns into `y`: by halving an interval, as all rise with their sums where it matters.
fn sum_for(activation: Activation, y: f32) -> f32 {
    let parameters = activation.initial(Sharing::Layer, 1);
    let (mut low, mut high) = (-20.0f32, 20.0f32);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        let mut value = [0.0];
        activation.forward(&parameters, 1, &[middle], &mut value);
        if value[0] < y { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

fn drop_units(h: &mut [f32], dropout: Option<Dropout>, first: usize) {
    if let Some(dropout) = dropout {
        for (at, h) in h.iter_mut().enumerate() {
            *h *= dropout.factor((first + at) as u32);
        }
    }
}
