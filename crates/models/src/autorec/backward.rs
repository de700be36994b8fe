//! Backward through the network for a batch of cases: the error at rated places, and the gradient by every parameter.

use foldin_core::Csr;
use foldin_nn::aligned::Aligned;
use foldin_nn::blocks::{BLOCK, Blocks, View, dots, sums};
use foldin_nn::dense_layer::column_sums;
use foldin_nn::dropout::Dropout;
use foldin_nn::matmul::{Matrix, matmul};
use rayon::prelude::*;

use super::forward::{Drops, ENTRIES_AT_ONCE, Passed, ROWS_AT_ONCE, drop_units};
use super::network::{Dense, Gradients, Network};

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

impl Network {
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
}
