//! Forward through the network for a batch of cases: sums and outputs of hidden layers, and outputs at rated places.

use foldin_core::Csr;
use foldin_core::random::numbered_seed;
use foldin_nn::blocks::{BLOCK, Blocks, View, dots, sums};
use foldin_nn::dropout::Dropout;
use foldin_nn::matmul::{Matrix, matmul};
use rayon::prelude::*;

use super::network::{Dense, Network};

/// Rows that one task activates.
pub(super) const ROWS_AT_ONCE: usize = 64;

/// Entries that one task turns into residuals.
pub(super) const ENTRIES_AT_ONCE: usize = 16_384;

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
    pub(super) fn of_layer(self, layer: usize) -> Option<Dropout> {
        self.hidden.map(|(rate, seed)| Dropout::new(rate, numbered_seed(seed, "layer", layer as u64)))
    }
}

/// What a forward pass leaves for the backward one: of each hidden layer, the sums `z` and the outputs `h`.
pub(super) struct Passed {
    /// Of the first layer, in blocks.
    pub(super) first: (Blocks, Blocks),
    /// Of the others, row-major.
    pub(super) rest: Vec<(Vec<f32>, Vec<f32>)>,
    /// Outputs of the last layer in blocks, if it is not the first.
    last: Option<Blocks>,
}

impl Passed {
    pub(super) fn last(&self) -> View<'_> {
        self.last.as_ref().unwrap_or(&self.first.1).view()
    }
}

/// A block of the first hidden layer.
pub(super) struct FirstBlock {
    /// Its first unit.
    pub(super) first: usize,
    /// The biases of its units.
    pub(super) bias: Vec<f32>,
    /// The parameters of their activation.
    pub(super) parameters: Vec<f32>,
}

impl FirstBlock {
    /// Numbers of a block `[cases × BLOCK]` that stand together as rows of its units: all of them if it has no padding, else a
    /// row at a time.
    pub(super) fn at_once(&self, all: usize) -> usize {
        if self.bias.len() == BLOCK { all } else { BLOCK }
    }

    /// How many of [`FirstBlock::at_once`] numbers belong to units.
    pub(super) fn used(&self, n: usize) -> usize {
        if self.bias.len() == BLOCK { n } else { self.bias.len() }
    }
}

impl Network {
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
    pub(super) fn inputs(&self, by_case: &Csr, dropout: Option<Dropout>) -> Vec<f32> {
        let values = by_case.values().par_iter().with_min_len(ENTRIES_AT_ONCE).enumerate();
        values
            .map(|(at, value)| {
                (value - self.centre) * dropout.map_or(1.0, |dropout| dropout.factor(at as u32))
            })
            .collect()
    }

    pub(super) fn pass(&self, by_case: &Csr, values: &[f32], drops: Drops) -> Passed {
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
    pub(super) fn first_layer(&self) -> Vec<FirstBlock> {
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
    pub(super) fn shares_first(&self) -> bool {
        self.hidden[0].w.len() == self.activation.parameters().len()
    }

    /// Cuts and drops hidden units after their activation.
    fn finish(&self, h: &mut [f32], dropout: Option<Dropout>, first: usize) {
        if self.binary {
            h.iter_mut().for_each(|h| *h = if *h > 0.5 { 1.0 } else { 0.0 });
        }
        drop_units(h, dropout, first);
    }
}

/// Drops hidden units, of which the first of `h` has the number `first`.
pub(super) fn drop_units(h: &mut [f32], dropout: Option<Dropout>, first: usize) {
    if let Some(dropout) = dropout {
        for (at, h) in h.iter_mut().enumerate() {
            *h *= dropout.factor((first + at) as u32);
        }
    }
}
