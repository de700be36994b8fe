//! Greedy pre-training of deep networks, from the outside in.
//!
//! For widths a, b, a the outer pair of layers is first trained alone, ratings to a units to ratings; then the inner pair learns
//! to give back the a hidden units of every case from b units. All four layers together are the start of the whole network.
//!
//! The outer pair learns as the whole will: by the same optimiser, with its dropout and penalties. Inner pairs learn by RProp on all cases, without
//! dropout or penalty: there is nothing unknown in what they give back, and what they lose the whole starts without. For that they take
//! [`INNER`] times as many epochs, each far cheaper than one over the ratings. Between hidden units, activations stay as they start, and units are
//! not cut to 0 or 1.

use foldin_core::{Csr, FitContext, FitError};
use foldin_nn::activation::{Activation, Sharing};
use foldin_nn::dense_layer::column_sums;
use foldin_nn::matmul::{Matrix, matmul};
use foldin_nn::optimiser::Optimiser;
use foldin_nn::rprop::Rprop;
use rayon::prelude::*;

use super::config::AutoRecConfig;
use super::network::{Dense, Network};

/// Epochs of an inner pair for each of the outer one.
const INNER: usize = 10;

/// Rows that one task activates.
const ROWS_AT_ONCE: usize = 64;

/// Starts `network` from layers trained in pairs, of which `shallow` is the outer one.
pub(super) fn pretrain(
    network: &mut Network,
    shallow: &Network,
    config: &AutoRecConfig,
    by_case: &Csr,
    ctx: &FitContext<'_>,
) -> Result<(), FitError> {
    let optimiser = Optimiser::Rprop(Rprop::default());
    network.encoder.w.copy_from_slice(&shallow.encoder.w);
    network.encoder_bias.w.copy_from_slice(&shallow.encoder_bias.w);
    network.decoder.w.copy_from_slice(&shallow.decoder.w);
    network.decoder_bias.w.copy_from_slice(&shallow.decoder_bias.w);
    network.output.w.copy_from_slice(&shallow.output.w);
    // The last hidden layer is as wide as the first, and stands in its place before the output.
    let last = network.hidden.len() - 1;
    for at in [0, last] {
        network.hidden[at].w.copy_from_slice(&shallow.hidden[0].w);
    }

    let mut inputs = shallow.hidden_of(by_case).view().to_rows();
    let n = by_case.n_rows();
    let layers = network.dense.len();
    for pair in 0..layers / 2 {
        let (outside, inside) = (config.hidden[pair], config.hidden[pair + 1]);
        let (down, up) = network.dense.split_at_mut(layers - 1 - pair);
        let (down, up) = (&mut down[pair], &mut up[0]);
        for weights in
            [&mut *down, &mut *up].into_iter().flat_map(|layer| [&mut layer.weights, &mut layer.bias])
        {
            *weights = weights.restarted(&optimiser);
        }
        let mut inner = Pair { down, up, outside, inside, activation: config.hidden_activation };
        let epochs = INNER * config.pretrain_epochs;
        for at in 0..epochs {
            report(ctx, "hidden units", at, epochs)?;
            inner.step(&inputs, n, &optimiser, at);
        }
        inputs = inner.layer(&inputs, n, Half::Down).1;
    }
    // What the optimiser remembers of the pairs means nothing to the whole.
    for (_, _, weights) in network.parameters() {
        *weights = weights.restarted(&super::train::optimiser(config, 1, 1));
    }
    Ok(())
}

/// Tells of an epoch of pre-training; a request to stop ends it. Nothing of it is kept for resuming: it is soon done again. It is a
/// stage and not an epoch of the fit, whose curve it is not part of.
pub(super) fn report(ctx: &FitContext<'_>, what: &str, at: usize, of: usize) -> Result<(), FitError> {
    ctx.progress.stage(&format!("pre-training, {what}, epoch {} of {of}", at + 1));
    if ctx.cancel.is_cancelled() { Err(FitError::Cancelled { epochs: 0 }) } else { Ok(()) }
}

/// Two dense layers that give back what they read.
struct Pair<'a> {
    down: &'a mut Dense,
    up: &'a mut Dense,
    outside: usize,
    inside: usize,
    activation: Activation,
}

#[derive(Clone, Copy)]
enum Half {
    Down,
    Up,
}

impl Pair<'_> {
    /// Sums and outputs of a layer for `n` rows.
    fn layer(&self, x: &[f32], n: usize, half: Half) -> (Vec<f32>, Vec<f32>) {
        let (Dense { weights, bias }, from, to) = match half {
            Half::Down => (&*self.down, self.outside, self.inside),
            Half::Up => (&*self.up, self.inside, self.outside),
        };
        let mut z = vec![0.0; n * to];
        matmul(Matrix::new(x, n, from), Matrix::new(&weights.w, from, to), false, &mut z);
        let mut out = vec![0.0; n * to];
        let parameters = self.activation.initial(Sharing::Layer, to);
        let chunk = (ROWS_AT_ONCE * to).max(1);
        z.par_chunks_mut(chunk).zip(out.par_chunks_mut(chunk)).for_each(|(z, out)| {
            z.chunks_exact_mut(to).for_each(|z| z.iter_mut().zip(&*bias.w).for_each(|(z, bias)| *z += bias));
            self.activation.forward(&parameters, to, z, out);
        });
        (z, out)
    }

    /// One step on all rows.
    fn step(&mut self, x: &[f32], n: usize, optimiser: &Optimiser, at: usize) {
        let (outside, inside) = (self.outside, self.inside);
        let (z_down, hidden) = self.layer(x, n, Half::Down);
        let (z_up, mut error) = self.layer(&hidden, n, Half::Up);
        error.iter_mut().zip(x).for_each(|(error, x)| *error -= x);
        self.slopes(&z_up, outside, &mut error);
        let mut up = vec![0.0; inside * outside];
        matmul(Matrix::new(&hidden, n, inside).transposed(), Matrix::new(&error, n, outside), false, &mut up);
        let mut back = vec![0.0; n * inside];
        let transposed = Matrix::new(&self.up.weights.w, inside, outside).transposed();
        matmul(Matrix::new(&error, n, outside), transposed, false, &mut back);
        self.slopes(&z_down, inside, &mut back);
        let mut down = vec![0.0; outside * inside];
        matmul(Matrix::new(x, n, outside).transposed(), Matrix::new(&back, n, inside), false, &mut down);
        for (layer, weights, of_sums) in [(&mut *self.up, up, error), (&mut *self.down, down, back)] {
            let mut bias = vec![0.0; layer.bias.w.len()];
            column_sums(&of_sums, &mut bias);
            layer.weights.update(optimiser, at, 0.0, &weights);
            layer.bias.update(optimiser, at, 0.0, &bias);
        }
    }

    fn slopes(&self, z: &[f32], width: usize, gradient: &mut [f32]) {
        let parameters = self.activation.initial(Sharing::Layer, width);
        let chunk = (ROWS_AT_ONCE * width).max(1);
        gradient.par_chunks_mut(chunk).zip(z.par_chunks(chunk)).for_each(|(gradient, z)| {
            let mut own = vec![0.0; parameters.len()];
            self.activation.backward(&parameters, width, z, gradient, &mut own);
        });
    }
}
