//! The network: parameters, and forward and backward through them for a batch of users.

use foldin_core::Csr;
use foldin_core::random::Random;
use foldin_nn::blocks::{Blocks, View, sums};
use foldin_nn::dropout::Dropout;
use foldin_nn::matmul::{Matrix, Packed, matmul, matmul_packed};
use foldin_nn::optimiser::{Optimiser, Trained};
use foldin_nn::softmax::multinomial;
use rayon::prelude::*;

use super::config::Plan;
use crate::perceptron::{Layer, Layers, Named, Passed, column_sums};

/// Parameters.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Network {
    pub(super) n_items: usize,
    /// Blocks of `[items × first width]`.
    pub(super) encoder: Trained,
    pub(super) before: Layers,
    /// Behind the Gaussian, if there is one.
    pub(super) after: Option<Layers>,
    /// `[items × last width]`, row-major.
    pub(super) items: Trained,
    pub(super) item_bias: Trained,
}

/// What is random in a step, and the weight of the divergence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noise {
    pub(super) dropout: Option<Dropout>,
    /// Seed of the Gaussian's samples; without one they are means.
    pub(super) sample: Option<u64>,
    pub(super) beta: f32,
}

/// Buffers that batches share.
#[derive(Debug)]
pub(super) struct Scratch {
    /// `[batch × items]`.
    scores: Vec<f32>,
    pub(super) encoder: Blocks,
    packed: [Packed; 2],
}

impl Scratch {
    pub(super) fn new(network: &Network, batch: usize) -> Self {
        Self {
            scores: vec![0.0; batch * network.n_items],
            encoder: Blocks::zeros(network.n_items, network.before.first_width()),
            packed: Default::default(),
        }
    }
}

/// Histories as they are read: ones over the root of their number, those that are not dropped scaled up.
pub(super) fn inputs(histories: &Csr, dropout: Option<Dropout>) -> Csr {
    let mut position = 0u32;
    histories.map_rows(|_, values| {
        let size = 1.0 / (values.len().max(1) as f32).sqrt();
        let of = |_: &f32| {
            position = position.wrapping_add(1);
            size * dropout.map_or(1.0, |dropout| dropout.factor(position))
        };
        values.iter().map(of).collect()
    })
}

impl Network {
    pub(super) fn new(n_items: usize, plan: &Plan, optimiser: &Optimiser, seed: u64) -> Self {
        let mut random = Random::new(seed);
        // Uniform of the variance 2/(from + to), biases nearly zero.
        let mut draw = |from: usize, to: usize| -> Vec<f32> {
            let (n, bound) =
                if from == 0 { (to, 1e-3) } else { (from * to, (6.0 / (from + to) as f64).sqrt()) };
            (0..n).map(|_| ((2.0 * random.uniform() - 1.0) * bound) as f32).collect()
        };
        let first = plan.before[0].0;
        let encoder = Blocks::from_rows(n_items, first, &draw(n_items, first));
        let before = Layers::new(&plan.before, plan.sharing, optimiser, &mut draw);
        let after =
            (!plan.after.is_empty()).then(|| Layers::new(&plan.after, plan.sharing, optimiser, &mut draw));
        let last = after.as_ref().unwrap_or(&before).last_width();
        Self {
            n_items,
            encoder: Trained::new(encoder.data(), optimiser),
            items: Trained::new(&draw(n_items, last), optimiser),
            item_bias: Trained::new(&draw(0, n_items), optimiser),
            before,
            after,
        }
    }

    pub(super) fn k(&self) -> usize {
        self.after.as_ref().unwrap_or(&self.before).last_width()
    }

    pub(super) fn encoder(&self) -> View<'_> {
        View::new(self.n_items, self.before.first_width(), &self.encoder.w)
    }

    fn pass(&self, inputs: &Csr) -> Passed {
        let mut z = Blocks::zeros(inputs.n_rows(), self.before.first_width());
        sums(inputs, inputs.values(), self.encoder(), &mut z);
        self.before.forward(z.view().to_rows())
    }

    /// The last layer for histories, without noise, `[users × k]`.
    pub(super) fn factors(&self, histories: &Csr) -> Vec<f32> {
        let passed = self.pass(&inputs(histories, None));
        match &self.after {
            None => passed.last().to_vec(),
            Some(after) => {
                let k = after.first_width();
                let means = passed.last().chunks_exact(2 * k).flat_map(|row| &row[..k]).copied().collect();
                after.forward(means).last().to_vec()
            }
        }
    }

    /// The loss of a batch and the gradients in the order of [`Network::parameters`], that of the encoder in `scratch`.
    pub(super) fn gradients(
        &self,
        histories: &Csr,
        noise: Noise,
        scratch: &mut Scratch,
    ) -> (f64, Vec<Vec<f32>>) {
        let (n, n_items, k) = (histories.n_rows(), self.n_items, self.k());
        let each = 1.0 / n as f32;
        let inputs = inputs(histories, noise.dropout);
        let passed = self.pass(&inputs);
        let gaussian = self.after.as_ref().map(|after| {
            let sample = Sample::draw(passed.last(), after.first_width(), noise.sample);
            (after, after.forward(sample.z.clone()), sample)
        });
        let last = gaussian.as_ref().map_or(passed.last(), |(_, passed, _)| passed.last());
        let scores = &mut scratch.scores[..n * n_items];
        let rows = Matrix::new(last, n, k);
        let table = Matrix::new(&self.items.w, n_items, k);
        scratch.packed[0].fill(table.transposed());
        matmul_packed(rows, &scratch.packed[0], false, scores);
        let losses: Vec<f64> = scores
            .par_chunks_mut(n_items)
            .enumerate()
            .map(|(user, scores)| {
                scores.iter_mut().zip(&*self.item_bias.w).for_each(|(score, bias)| *score += bias);
                multinomial(scores, histories.row(user).0, each)
            })
            .collect();
        let mut loss = losses.iter().sum::<f64>() / n as f64;
        let gradient = Matrix::new(scores, n, n_items);
        let mut of_items = vec![0.0; n_items * k];
        matmul(gradient.transposed(), rows, false, &mut of_items);
        let mut gradients = vec![of_items, column_sums(scores, n_items)];
        let mut of_last = vec![0.0; n * k];
        scratch.packed[1].fill(table);
        matmul_packed(gradient, &scratch.packed[1], false, &mut of_last);
        let mut behind = Vec::new();
        if let Some((after, passed, sample)) = &gaussian {
            let of_sample = after.backward(passed, of_last, Some(&mut behind));
            let (divergence, of_moments) = sample.backward(&of_sample, noise.beta * each);
            loss += f64::from(noise.beta) * divergence / n as f64;
            of_last = of_moments;
            // The sample's own bias would only move the mean's.
            behind[0].clear();
        }
        let of_first = self.before.backward(&passed, of_last, Some(&mut gradients));
        gradients.append(&mut behind);
        let by_item = inputs.transpose();
        let of_first = Blocks::from_rows(n, self.before.first_width(), &of_first);
        sums(&by_item, by_item.values(), of_first.view(), &mut scratch.encoder);
        (loss, gradients)
    }

    /// All parameters in the order of gradients, the encoder first.
    pub(super) fn parameters(&mut self) -> Vec<Named<'_>> {
        let mut out = vec![
            ("encoder".to_owned(), true, &mut self.encoder),
            ("items".to_owned(), true, &mut self.items),
            ("item_bias".to_owned(), false, &mut self.item_bias),
        ];
        // Biases do not decay here.
        for (name, decays, trained) in self.before.parameters() {
            out.push((format!("before.{name}"), decays && !name.starts_with("bias"), trained));
        }
        for (name, decays, trained) in self.after.iter_mut().flat_map(Layers::parameters) {
            out.push((format!("after.{name}"), decays && !name.starts_with("bias"), trained));
        }
        out
    }

    /// Puts the parameters of activations back into their ranges, after a step.
    pub(super) fn constrain(&mut self) {
        self.before.constrain();
        self.after.iter_mut().for_each(Layers::constrain);
    }

    /// The layers that lead to the factors, of the Gaussian its mean.
    pub(super) fn serving(&self) -> Vec<Layer> {
        let mut layers = self.before.serving();
        layers[0].weights = self.encoder().to_rows();
        if let (Some(after), Some(moments)) = (&self.after, layers.last_mut()) {
            let k = after.first_width();
            moments.weights =
                moments.weights.chunks_exact(2 * k).flat_map(|row| &row[..k]).copied().collect();
            moments.bias.truncate(k);
            let mut behind = after.serving().into_iter();
            if let Some(sample) = behind.next() {
                moments.bias.iter_mut().zip(sample.bias).for_each(|(bias, own)| *bias += own);
            }
            layers.extend(behind);
        }
        layers
    }
}

/// A sample of the Gaussian for each user of a batch.
struct Sample<'a> {
    /// `[users × 2k]`: means and logarithms of variances.
    moments: &'a [f32],
    k: usize,
    /// `[users × k]`: standard normal numbers.
    noise: Vec<f32>,
    z: Vec<f32>,
}

impl<'a> Sample<'a> {
    fn draw(moments: &'a [f32], k: usize, seed: Option<u64>) -> Self {
        let n = moments.len() / 2;
        let noise: Vec<f32> = seed.map_or_else(
            || vec![0.0; n],
            |seed| {
                let mut random = Random::new(seed);
                (0..n).map(|_| random.normal() as f32).collect()
            },
        );
        let z = moments
            .chunks_exact(2 * k)
            .zip(noise.chunks_exact(k))
            .flat_map(|(moments, noise)| {
                (0..k).map(|at| moments[at] + noise[at] * (0.5 * moments[k + at]).exp())
            })
            .collect();
        Self { moments, k, noise, z }
    }

    /// The sum of divergences from the prior, and the gradient of the moments: through the sample, and `beta` times that of the
    /// divergence.
    fn backward(&self, of_sample: &[f32], beta: f32) -> (f64, Vec<f32>) {
        let k = self.k;
        let (mut divergence, mut out) = (0.0, Vec::with_capacity(self.moments.len()));
        for ((moments, noise), of) in
            self.moments.chunks_exact(2 * k).zip(self.noise.chunks_exact(k)).zip(of_sample.chunks_exact(k))
        {
            let (means, logs) = moments.split_at(k);
            out.extend((0..k).map(|at| of[at] + beta * means[at]));
            for at in 0..k {
                let variance = logs[at].exp();
                divergence += 0.5 * f64::from(means[at] * means[at] + variance - logs[at] - 1.0);
                out.push(0.5 * (of[at] * noise[at] * (0.5 * logs[at]).exp() + beta * (variance - 1.0)));
            }
        }
        (divergence, out)
    }
}
