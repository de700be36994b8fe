//! One step of each network on a batch of cases.
//!
//! A batch of `B` cases over `n` places costs `2·B·n·(h + 2d)` operations for the discriminator and `2·B·n·(3h + 2d)` for the generator,
//! with `h` the generator's last and `d` the discriminator's first width; all that touches purchase vectors is sparse and small beside
//! it. The samples cover most places, so whole rows are multiplied and then masked. Of rows `[B × n]` only a batch is ever held.

use foldin_core::Csr;
use foldin_nn::blocks::{Blocks, sums};
use foldin_nn::masks::{add_and_keep, join, keep};
use foldin_nn::matmul::{Matrix, Packed, matmul, matmul_packed};
use foldin_nn::optimiser::Optimiser;
use rayon::prelude::*;

use super::discriminator::{Discriminator, Upper};
use super::generator::Generator;
use super::samples::{Samples, bits_of};
use crate::perceptron::{column_sums, step};

/// Buffers that batches share, so that none is made and cleared again for each.
#[derive(Debug)]
pub(super) struct Scratch {
    /// `[batch × places]`: outputs of the generator.
    outputs: Vec<f32>,
    /// The same, masked; then gradients.
    masked: Vec<f32>,
    /// Of the generator's encoder, the discriminator's condition and vector.
    tables: [Blocks; 3],
    /// `[places × first width]`: what the discriminator's vector adds to its table.
    vector: Vec<f32>,
    /// `[places × last width]`: of the decoder.
    decoder: Vec<f32>,
    /// The decoder laid out both ways, and the discriminator's vector.
    packed: [Packed; 3],
}

impl Scratch {
    pub(super) fn new(generator: &Generator, discriminator: &Discriminator, batch: usize) -> Self {
        let places = generator.places;
        let (first, last) = (generator.layers.first_width(), generator.layers.last_width());
        let width = discriminator.layers.first_width();
        Self {
            outputs: vec![0.0; batch * places],
            masked: vec![0.0; batch * places],
            tables: [first, width, width].map(|width| Blocks::zeros(places, width)),
            vector: vec![0.0; places * width],
            decoder: vec![0.0; places * last],
            packed: Default::default(),
        }
    }
}

#[cfg(test)]
impl Scratch {
    /// Gradients of the encoder, the condition and the vector.
    pub(super) fn tables(&self) -> &[Blocks; 3] {
        &self.tables
    }
}

/// Cases of a batch.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    /// All cases.
    pub(super) cases: &'a Csr,
    /// Those of the batch.
    pub(super) numbers: &'a [u32],
    pub(super) samples: Samples,
}

impl Batch<'_> {
    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn rows(&self) -> Csr {
        self.cases.select_rows(self.numbers)
    }
}

/// Gradients of the discriminator: of both tables in [`Scratch`], and of the rest here.
pub(super) fn discriminator_gradients(
    generator: &Generator,
    decoder: &Packed,
    discriminator: &Discriminator,
    batch: &Batch<'_>,
    scratch: &mut Scratch,
) -> (f64, Upper) {
    let (n, places, width) = (batch.len(), generator.places, discriminator.layers.first_width());
    let rows = batch.rows();
    let outputs = &mut scratch.outputs[..n * places];
    let hidden = generator.encode(&rows);
    let last = Matrix::new(hidden.last(), n, generator.layers.last_width());
    matmul_packed(last, decoder, false, outputs);
    let bias = &generator.decoder_bias.w;
    outputs.par_chunks_mut(places).zip(batch.numbers).for_each_init(
        || (bits_of(batch.cases), vec![0.0; places]),
        |(bits, z), (out, &case)| {
            batch.samples.seen(batch.cases, case, bits);
            z.copy_from_slice(out);
            z.iter_mut().zip(&**bias).for_each(|(z, bias)| *z += bias);
            generator.output.forward(&[], 1, z, out);
            keep(bits, out);
        },
    );
    // Real rows first, then generated ones.
    let condition = discriminator.of_condition(&rows);
    let mut sums_of = discriminator.of_purchases(&rows);
    sums_of.extend_from_slice(&condition);
    sums_of[..n * width].iter_mut().zip(&condition).for_each(|(sum, x)| *sum += x);
    let generated = Matrix::new(outputs, n, places);
    scratch.packed[2].fill(discriminator.vector());
    matmul_packed(generated, &scratch.packed[2], true, &mut sums_of[n * width..]);
    let (passed, mut logits) = discriminator.judge(sums_of);
    let (mut loss, each) = (0.0, 1.0 / n as f32);
    for (at, logit) in logits.iter_mut().enumerate() {
        let real = at < n;
        loss += cross_entropy(*logit, real) / n as f64;
        *logit = each * (logistic(*logit) - if real { 1.0 } else { 0.0 });
    }
    let mut upper = Vec::new();
    let mut of_sums = discriminator.blame(&passed, &logits, Some(&mut upper));
    let (of_real, of_generated) = of_sums.split_at_mut(n * width);
    let of_vector = &mut scratch.vector;
    matmul(generated.transposed(), Matrix::new(of_generated, n, width), false, of_vector);
    let by_place = rows.transpose();
    sums(&by_place, by_place.values(), Blocks::from_rows(n, width, of_real).view(), &mut scratch.tables[2]);
    scratch.tables[2].add_rows(of_vector);
    of_real.iter_mut().zip(&*of_generated).for_each(|(real, generated)| *real += generated);
    sums(&by_place, by_place.values(), Blocks::from_rows(n, width, of_real).view(), &mut scratch.tables[1]);
    (loss, upper)
}

/// A step of the discriminator; the loss before it.
pub(super) fn discriminator_step(
    generator: &Generator,
    decoder: &Packed,
    discriminator: &mut Discriminator,
    batch: &Batch<'_>,
    scratch: &mut Scratch,
    optimiser: (&Optimiser, usize, f32),
) -> f64 {
    let (loss, upper) = discriminator_gradients(generator, decoder, discriminator, batch, scratch);
    let mut gradients: Vec<&[f32]> = vec![scratch.tables[1].data(), scratch.tables[2].data()];
    gradients.extend(upper.iter().map(Vec::as_slice));
    let (rule, at, decay) = optimiser;
    step(discriminator.parameters(), &gradients, rule, at, decay);
    discriminator.layers.constrain();
    loss
}

/// The discriminator while it does not learn: its vector's weights laid out both ways, and its first sums of all conditions.
#[derive(Debug)]
pub(super) struct Judge<'a> {
    discriminator: &'a Discriminator,
    forward: Packed,
    backward: Packed,
    conditions: Vec<f32>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(discriminator: &'a Discriminator, cases: &Csr) -> Self {
        Self {
            discriminator,
            forward: Packed::new(discriminator.vector()),
            backward: Packed::new(discriminator.vector().transposed()),
            conditions: discriminator.of_condition(cases),
        }
    }
}

/// Gradients of the generator: of the encoder in [`Scratch`], of the others here, in the order of [`Generator::parameters`] without
/// the encoder; and the loss.
pub(super) fn generator_gradients(
    generator: &Generator,
    judge: &Judge<'_>,
    zero_weight: f32,
    batch: &Batch<'_>,
    scratch: &mut Scratch,
) -> (f64, Vec<Vec<f32>>) {
    let (n, places, width) = (batch.len(), generator.places, generator.layers.last_width());
    let rows = batch.rows();
    let passed = generator.encode(&rows);
    let last = Matrix::new(passed.last(), n, width);
    let (outputs, masked) = (&mut scratch.outputs[..n * places], &mut scratch.masked[..n * places]);
    scratch.packed[0].fill(generator.decoder().transposed());
    matmul_packed(last, &scratch.packed[0], false, outputs);
    let bias = &generator.decoder_bias.w;
    let plain = generator.output == foldin_nn::activation::Activation::Identity;
    let each_row = || bits_of(batch.cases);
    outputs.par_chunks_mut(places).zip(masked.par_chunks_mut(places)).zip(batch.numbers).for_each_init(
        each_row,
        |bits, ((z, masked), &case)| {
            batch.samples.seen(batch.cases, case, bits);
            add_and_keep(bits, bias, z, masked);
            if !plain {
                generator.output.forward(&[], 1, z, masked);
                keep(bits, masked);
            }
        },
    );
    // What the discriminator makes of them.
    let first = judge.discriminator.layers.first_width();
    let mut of_condition = Vec::with_capacity(n * first);
    for &case in batch.numbers {
        of_condition.extend_from_slice(&judge.conditions[case as usize * first..][..first]);
    }
    matmul_packed(Matrix::new(masked, n, places), &judge.forward, true, &mut of_condition);
    let (judged, mut logits) = judge.discriminator.judge(of_condition);
    let (mut loss, each) = (0.0, 1.0 / n as f32);
    for logit in &mut logits {
        loss += cross_entropy(*logit, true) / n as f64;
        *logit = each * (logistic(*logit) - 1.0);
    }
    let blame = judge.discriminator.blame(&judged, &logits, None);
    // Back to the outputs, where the places drawn to zero join.
    matmul_packed(Matrix::new(&blame, n, first), &judge.backward, false, masked);
    let factor = 2.0 * zero_weight * each;
    let squares: Vec<f64> = (masked.par_chunks_mut(places).zip(outputs.par_chunks_mut(places)))
        .zip(batch.numbers)
        .map_init(
            || (each_row(), each_row(), vec![0.0; if plain { 0 } else { places }]),
            |(seen, zeroed, x), ((gradient, z), &case)| {
                batch.samples.seen(batch.cases, case, seen);
                batch.samples.zeroed(batch.cases, case, zeroed);
                if plain {
                    return join(seen, gradient, zeroed, factor, z);
                }
                generator.output.forward(&[], 1, z, x);
                let squares = join(seen, gradient, zeroed, factor, x);
                generator.output.backward(&[], 1, z, gradient, &mut []);
                squares
            },
        )
        .collect();
    loss += f64::from(zero_weight) * squares.iter().sum::<f64>() / n as f64;
    let gradient = Matrix::new(masked, n, places);
    let mut of_decoder = std::mem::take(&mut scratch.decoder);
    matmul(gradient.transposed(), last, false, &mut of_decoder);
    let mut gradients = vec![of_decoder, column_sums(masked, places)];
    let mut of_last = vec![0.0; n * width];
    scratch.packed[1].fill(generator.decoder());
    matmul_packed(gradient, &scratch.packed[1], false, &mut of_last);
    let of_first = generator.layers.backward(&passed, of_last, Some(&mut gradients));
    let by_place = rows.transpose();
    let of_first = Blocks::from_rows(n, generator.layers.first_width(), &of_first);
    sums(&by_place, by_place.values(), of_first.view(), &mut scratch.tables[0]);
    (loss, gradients)
}

/// A step of the generator; the loss before it.
pub(super) fn generator_step(
    generator: &mut Generator,
    judge: &Judge<'_>,
    zero_weight: f32,
    batch: &Batch<'_>,
    scratch: &mut Scratch,
    optimiser: (&Optimiser, usize, f32),
) -> f64 {
    let (loss, mut rest) = generator_gradients(generator, judge, zero_weight, batch, scratch);
    let mut gradients: Vec<&[f32]> = vec![scratch.tables[0].data()];
    gradients.extend(rest.iter().map(Vec::as_slice));
    let (rule, at, decay) = optimiser;
    step(generator.parameters(), &gradients, rule, at, decay);
    generator.layers.constrain();
    // The largest of them serves the next batch again.
    scratch.decoder = std::mem::take(&mut rest[0]);
    loss
}

fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// `−ln s(x)` for a target of one, `−ln(1 − s(x))` for a target of zero.
fn cross_entropy(logit: f32, one: bool) -> f64 {
    let x = f64::from(if one { -logit } else { logit });
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}
