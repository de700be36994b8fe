//! The generator: from a purchase vector to a vector of as many numbers.

use foldin_core::Csr;
use foldin_core::random::Random;
use foldin_nn::activation::Activation;
use foldin_nn::blocks::{Blocks, View, sums};
use foldin_nn::matmul::{Matrix, Packed};
use foldin_nn::optimiser::{Optimiser, Trained};

use super::config::CfganConfig;
use crate::perceptron::{Layers, Named, Passed};

/// Parameters of the generator. *Cases* are the rows that are learned from (users or items), *places* the elements of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Generator {
    pub(super) places: usize,
    /// Blocks of `[places × first width]`.
    pub(super) encoder: Trained,
    pub(super) layers: Layers,
    /// `[places × last width]`, row-major.
    pub(super) decoder: Trained,
    pub(super) decoder_bias: Trained,
    pub(super) output: Activation,
}

/// Weights between layers of these widths, and biases, as the authors draw them.
pub(super) fn initial(random: &mut Random, from: usize, to: usize) -> Vec<f32> {
    // Biases count as weights from nowhere.
    let (n, bound) = if from == 0 { (to, 0.01) } else { (from * to, (6.0 / (from + to) as f64).sqrt()) };
    (0..n).map(|_| ((2.0 * random.uniform() - 1.0) * bound) as f32).collect()
}

impl Generator {
    pub(super) fn new(places: usize, config: &CfganConfig, optimiser: &Optimiser, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let hidden: Vec<_> = config.hidden.iter().map(|&width| (width, config.hidden_activation)).collect();
        let (first, last) = (config.hidden[0], config.hidden[config.hidden.len() - 1]);
        let encoder = initial(&mut random, places, first);
        let encoder = Trained::new(Blocks::from_rows(places, first, &encoder).data(), optimiser);
        let layers = Layers::new(&hidden, config.activation_sharing, optimiser, |from, to| {
            initial(&mut random, from, to)
        });
        Self {
            places,
            encoder,
            layers,
            decoder: Trained::new(&initial(&mut random, places, last), optimiser),
            decoder_bias: Trained::new(&initial(&mut random, 0, places), optimiser),
            output: config.output_activation,
        }
    }

    pub(super) fn encoder(&self) -> View<'_> {
        View::new(self.places, self.layers.first_width(), &self.encoder.w)
    }

    /// Forward to the last hidden layer for the rows of `cases`.
    pub(super) fn encode(&self, cases: &Csr) -> Passed {
        let mut z = Blocks::zeros(cases.n_rows(), self.layers.first_width());
        sums(cases, cases.values(), self.encoder(), &mut z);
        self.layers.forward(z.view().to_rows())
    }

    /// The decoder's rows.
    pub(super) fn decoder(&self) -> Matrix<'_> {
        Matrix::new(&self.decoder.w, self.places, self.layers.last_width())
    }

    /// The decoder as what hidden units are multiplied by.
    pub(super) fn packed_decoder(&self) -> Packed {
        Packed::new(self.decoder().transposed())
    }

    /// All parameters in the order of gradients.
    pub(super) fn parameters(&mut self) -> Vec<Named<'_>> {
        let mut out = vec![
            ("encoder".to_owned(), true, &mut self.encoder),
            ("decoder".to_owned(), true, &mut self.decoder),
            ("decoder_bias".to_owned(), true, &mut self.decoder_bias),
        ];
        out.extend(self.layers.parameters());
        out
    }
}
