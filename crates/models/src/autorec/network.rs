//! The network: its parameters, how they start, and a step of the optimiser. Through them go [`super::forward`] and
//! [`super::backward`].
//!
//! A *case* is one vector of ratings (an item's column or a user's row), a *place* one of its elements. Ratings are on a scale of
//! 1 to 5 here. The first and the last layer are sparse ([`foldin_nn::blocks`]): of a case only rated places are read, and only
//! at rated places is there an output.

use foldin_core::random::{Random, child_seed};
use foldin_core::{FitError, TrainState};
use foldin_nn::activation::{Activation, Sharing};
use foldin_nn::aligned::Aligned;
use foldin_nn::blocks::{Blocks, View};
use foldin_nn::optimiser::{Optimiser, Trained};

use super::config::AutoRecConfig;
use crate::resume::{keep_trained, take_trained};

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
    pub(super) activation: Activation,
    pub(super) output_activation: Activation,
    /// Whether hidden units are cut to 0 or 1.
    pub(super) binary: bool,
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

/// Gradients in the order of [`Network::parameters`].
pub(super) type Gradients = Vec<Aligned<f32>>;

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
        for (name, _, trained) in self.clone().parameters() {
            keep_trained(state, &format!("{prefix}{name}"), trained);
        }
    }

    /// Puts a checkpoint in the place of the start.
    ///
    /// # Errors
    /// [`FitError::Checkpoint`] if it is of another shape.
    pub(super) fn restore(&mut self, prefix: &str, state: &mut TrainState) -> Result<(), FitError> {
        self.parameters()
            .into_iter()
            .try_for_each(|(name, _, trained)| take_trained(state, &format!("{prefix}{name}"), trained))
    }

    pub(super) fn encoder(&self) -> View<'_> {
        View::new(self.places, self.widths[0], &self.encoder.w)
    }

    pub(super) fn decoder(&self) -> View<'_> {
        View::new(self.places, self.last_width(), &self.decoder.w)
    }

    pub(super) fn last_width(&self) -> usize {
        self.widths[self.widths.len() - 1]
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
