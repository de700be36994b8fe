//! Φ: what a network makes of a picture.
//!
//! | form | layers |
//! | --- | --- |
//! | [`Form::Small`] | conv 5×5/2 → 32, conv 3×3 → 64, conv 3×3 → 128, each normalised, ReLU and 2 × 2 pooled; FC 256, ReLU; FC K |
//! | [`Form::CnnF`] | conv 11×11/4 → 64, conv 5×5 → 256, three conv 3×3 → 256, ReLU after each, pooled after the first, second and last; FC 4096, FC 4096, each ReLU; FC K |
//!
//! Dropout before the last two linear layers of each: .25 and .5 in the small one, .5 and .5 of their outputs (before the next layer) in
//! CNN-F, as released. All padding is TensorFlow's `SAME`. Pictures are `[batch, px, px, 3]`.

use burn::tensor::{Device, Tensor, activation};
use foldin_core::random::{Random, child_seed};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend;
use crate::layers::{Geometry, convolve, max_pool, normalise};
use crate::parameters::Parameters;

/// Which network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// Three convolutions, for pictures of 32 or 64 pixels on a CPU.
    #[default]
    Small,
    /// The published one, for 224 pixels.
    CnnF,
}

/// ε of the normalisation.
const EPSILON: f32 = 1e-5;

/// What running moments keep of themselves in a step.
const MOMENTS_DECAY: f64 = 0.9;

/// Units of the small form's linear layer.
pub const SMALL_UNITS: usize = 256;

/// A convolution with what follows it.
#[derive(Clone, Copy, Debug)]
struct Convolution {
    weights: usize,
    /// A bias, or scale and shift of a normalisation with the number of its running moments.
    after: After,
    pooled: bool,
    geometry: Geometry,
}

#[derive(Clone, Copy, Debug)]
enum After {
    Bias(usize),
    Norm { gamma: usize, beta: usize, moments: usize },
}

/// A linear layer, whose inputs are kept with this probability in training.
#[derive(Clone, Copy, Debug)]
struct Linear {
    weights: usize,
    bias: usize,
    keep: f32,
}

/// The layers; their numbers are in [`Weights`].
#[derive(Clone, Debug)]
pub struct Network {
    form: Form,
    px: usize,
    k: usize,
    convolutions: Vec<Convolution>,
    linears: Vec<Linear>,
}

/// Numbers of a network.
#[derive(Clone, Debug)]
pub struct Weights {
    /// What is trained.
    pub parameters: Parameters,
    /// Running means and variances of normalisations, in pairs.
    pub moments: Parameters,
}

/// How a network is run.
#[derive(Debug)]
pub enum Mode<'a> {
    /// With dropout, normalised by the batch, whose moments are kept in the running ones.
    Training {
        /// Where dropout is drawn from.
        random: &'a mut Random,
        /// The running moments.
        moments: &'a mut Parameters,
    },
    /// As it will be used.
    Inference,
}

impl Network {
    /// A network for pictures of `px` and its first weights: uniform (Glorot), biases 0.
    #[must_use]
    pub fn new(form: Form, px: usize, k: usize, seed: u64, device: &Device) -> (Self, Weights) {
        let mut builder = Builder {
            parameters: Parameters::default(),
            moments: Parameters::default(),
            random: Random::new(child_seed(seed, "dvbpr network")),
            device,
            side: px,
            channels: 3,
        };
        let (convolutions, linears) = match form {
            Form::Small => {
                let convolutions = [(5, 2, 32), (3, 1, 64), (3, 1, 128)]
                    .iter()
                    .enumerate()
                    .map(|(at, &(size, stride, channels))| {
                        builder.convolution(at + 1, size, stride, channels, true, true)
                    })
                    .collect();
                let flat = builder.flat();
                let linears = vec![
                    builder.linear("fc1", flat, SMALL_UNITS, 0.75),
                    builder.linear("fc2", SMALL_UNITS, k, 0.5),
                ];
                (convolutions, linears)
            }
            Form::CnnF => {
                let layers = [
                    (11, 4, 64, true),
                    (5, 1, 256, true),
                    (3, 1, 256, false),
                    (3, 1, 256, false),
                    (3, 1, 256, true),
                ];
                let convolutions = layers
                    .iter()
                    .enumerate()
                    .map(|(at, &(size, stride, channels, pooled))| {
                        builder.convolution(at + 1, size, stride, channels, pooled, false)
                    })
                    .collect();
                let flat = builder.flat();
                let linears = vec![
                    builder.linear("fc6", flat, 4096, 1.0),
                    builder.linear("fc7", 4096, 4096, 0.5),
                    builder.linear("fc8", 4096, k, 0.5),
                ];
                (convolutions, linears)
            }
        };
        let weights = Weights { parameters: builder.parameters, moments: builder.moments };
        (Self { form, px, k, convolutions, linears }, weights)
    }

    /// Which network it is.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// Width and height of its pictures.
    #[must_use]
    pub fn px(&self) -> usize {
        self.px
    }

    /// Length of Φ.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Units of the layer before the last.
    #[must_use]
    pub fn units(&self) -> usize {
        match self.form {
            Form::Small => SMALL_UNITS,
            Form::CnnF => 4096,
        }
    }

    /// The layer before the last, `[batch × units]`.
    ///
    /// # Panics
    /// If the pictures are not `[batch, px, px, 3]`.
    #[must_use]
    pub fn describe(&self, weights: &Weights, pictures: Tensor<4>, mode: &mut Mode<'_>) -> Tensor<2> {
        let mut x = pictures;
        for layer in &self.convolutions {
            let parameters = &weights.parameters;
            let channels = layer.geometry.narrow_channels;
            x = convolve(x, parameters.get(layer.weights), layer.geometry);
            x = match layer.after {
                After::Bias(bias) => {
                    activation::relu(x + parameters.get::<1>(bias).reshape([1, 1, 1, channels]))
                }
                After::Norm { gamma, beta, moments: at } => {
                    let (gamma, beta) = (parameters.get::<1>(gamma), parameters.get::<1>(beta));
                    match mode {
                        Mode::Training { moments, .. } => {
                            let normalised = normalise(x, gamma, beta, EPSILON, 0.0);
                            for (at, new) in [(at, normalised.mean), (at + 1, normalised.variance)] {
                                let kept = moments.get::<1>(at) * MOMENTS_DECAY;
                                moments.set(at, kept + new.inner() * (1.0 - MOMENTS_DECAY));
                            }
                            normalised.output
                        }
                        Mode::Inference => {
                            let scale = gamma / (weights.moments.get::<1>(at + 1) + EPSILON).sqrt();
                            let shift = beta - weights.moments.get::<1>(at) * scale.clone();
                            let wide = [1, 1, 1, channels];
                            activation::relu(x * scale.reshape(wide) + shift.reshape(wide))
                        }
                    }
                }
            };
            if layer.pooled {
                x = max_pool(x);
            }
        }
        let [batch, height, width, channels] = x.dims();
        let mut x = x.reshape([batch, height * width * channels]);
        for layer in &self.linears[..self.linears.len() - 1] {
            x = activation::relu(self.linear(layer, weights, x, mode));
        }
        x
    }

    /// Φ of pictures, `[batch × K]`.
    ///
    /// # Panics
    /// If the pictures are not `[batch, px, px, 3]`.
    #[must_use]
    pub fn phi(&self, weights: &Weights, pictures: Tensor<4>, mode: &mut Mode<'_>) -> Tensor<2> {
        let x = self.describe(weights, pictures, mode);
        self.linear(&self.linears[self.linears.len() - 1], weights, x, mode)
    }

    fn linear(&self, layer: &Linear, weights: &Weights, x: Tensor<2>, mode: &mut Mode<'_>) -> Tensor<2> {
        let x = match mode {
            Mode::Training { random, .. } if layer.keep < 1.0 => {
                let mask = backend::dropout_mask(x.dims(), layer.keep, random, &x.device());
                x * mask
            }
            _ => x,
        };
        let bias = weights.parameters.get::<1>(layer.bias);
        let outputs = bias.dims()[0];
        x.matmul(weights.parameters.get(layer.weights)) + bias.reshape([1, outputs])
    }

    /// Takes over all layers but the last from another network of the same form, as after pretraining.
    pub fn adopt(&self, weights: &mut Weights, from: &Weights) {
        let last = self.linears[self.linears.len() - 1].weights;
        for at in 0..last {
            weights.parameters.set(at, from.parameters.get_flat(at));
        }
        weights.moments = from.moments.clone();
    }
}

/// Draws first weights and keeps track of the shape.
struct Builder<'a> {
    parameters: Parameters,
    moments: Parameters,
    random: Random,
    device: &'a Device,
    side: usize,
    channels: usize,
}

impl Builder<'_> {
    /// Uniform within ±√(6 / (inputs + outputs)).
    fn weights(&mut self, name: &str, shape: &[usize], inputs: usize, outputs: usize) -> usize {
        let width = (6.0 / (inputs + outputs) as f64).sqrt();
        let count = shape.iter().product();
        let values = (0..count).map(|_| (width * (2.0 * self.random.uniform() - 1.0)) as f32).collect();
        self.parameters.add(&format!("{name}/weights"), shape, values, true, self.device)
    }

    fn constant(&mut self, name: &str, length: usize, value: f32) -> usize {
        self.parameters.add(name, &[length], vec![value; length], false, self.device)
    }

    fn convolution(
        &mut self,
        number: usize,
        size: usize,
        stride: usize,
        channels: usize,
        pooled: bool,
        normed: bool,
    ) -> Convolution {
        let name = format!("conv{number}");
        let geometry = Geometry::same(size, stride, [self.side; 2], self.channels, channels);
        let (inputs, outputs) = (size * size * self.channels, size * size * channels);
        let weights = self.weights(&name, &[size, size, self.channels, channels], inputs, outputs);
        let after = if normed {
            let moments = self.moments.len();
            for (what, value) in [("mean", 0.0), ("variance", 1.0)] {
                self.moments.add(
                    &format!("{name}/{what}"),
                    &[channels],
                    vec![value; channels],
                    false,
                    self.device,
                );
            }
            After::Norm {
                gamma: self.constant(&format!("{name}/gamma"), channels, 1.0),
                beta: self.constant(&format!("{name}/beta"), channels, 0.0),
                moments,
            }
        } else {
            After::Bias(self.constant(&format!("{name}/bias"), channels, 0.0))
        };
        self.side = geometry.narrow[0] / if pooled { 2 } else { 1 };
        self.channels = channels;
        Convolution { weights, after, pooled, geometry }
    }

    fn flat(&self) -> usize {
        self.side * self.side * self.channels
    }

    fn linear(&mut self, name: &str, inputs: usize, outputs: usize, keep: f32) -> Linear {
        let weights = self.weights(name, &[inputs, outputs], inputs, outputs);
        Linear { weights, bias: self.constant(&format!("{name}/bias"), outputs, 0.0), keep }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The released code's: K = 100, and the paper's 50.
    #[test]
    fn parameters_are_as_many_as_published() {
        let count = |k| Network::new(Form::CnnF, 224, k, 1, &Device::flex()).1.parameters.count();
        assert_eq!(count(100), 70_778_724);
        assert_eq!(count(50), 70_573_874);
    }

    /// Without dropout, and with running moments that have settled on one batch, both modes give the same.
    #[test]
    fn training_and_inference_agree_once_moments_have_settled() {
        let device = Device::flex();
        let (mut network, mut weights) = Network::new(Form::Small, 16, 8, 1, &device);
        network.linears.iter_mut().for_each(|layer| layer.keep = 1.0);
        let mut random = Random::new(2);
        let pictures = backend::uniform([6, 16, 16, 3], (-1.0, 1.0), &mut random, &device);
        let train = |weights: &mut Weights, random: &mut Random| {
            let mut moments = weights.moments.clone();
            let mut mode = Mode::Training { random, moments: &mut moments };
            let phi = network.phi(weights, pictures.clone(), &mut mode);
            weights.moments = moments;
            backend::values(phi)
        };
        let infer =
            |weights: &Weights| backend::values(network.phi(weights, pictures.clone(), &mut Mode::Inference));
        let apart = |one: &[f32], other: &[f32]| {
            one.iter().zip(other).map(|(x, y)| (x - y).abs()).fold(0.0f32, f32::max)
        };
        let first = train(&mut weights, &mut random);
        assert!(apart(&first, &infer(&weights)) > 0.05, "one step is not enough to settle");
        for _ in 0..150 {
            train(&mut weights, &mut random);
        }
        let (trained, inferred) = (train(&mut weights, &mut random), infer(&weights));
        assert_eq!(trained.len(), 6 * 8);
        // .9^150 of the first moments is left, and sums are rounded in another order.
        assert!(apart(&trained, &inferred) < 1e-4, "{}", apart(&trained, &inferred));
        // Dropout differs from run to run, and is off in inference.
        network_with_dropout_differs(&mut weights, &pictures, &device);
    }

    fn network_with_dropout_differs(weights: &mut Weights, pictures: &Tensor<4>, device: &Device) {
        let (network, _) = Network::new(Form::Small, 16, 8, 1, device);
        let mut moments = weights.moments.clone();
        let mut draw = |seed| {
            let mut random = Random::new(seed);
            let mut mode = Mode::Training { random: &mut random, moments: &mut moments };
            backend::values(network.phi(weights, pictures.clone(), &mut mode))
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn the_last_layer_is_its_own_after_pretraining() {
        let device = Device::flex();
        let (network, mut weights) = Network::new(Form::Small, 16, 8, 1, &device);
        let (_, other) = Network::new(Form::Small, 16, 8, 2, &device);
        let last = backend::values(weights.parameters.get::<2>(weights.parameters.len() - 2));
        network.adopt(&mut weights, &other);
        assert_eq!(
            backend::values(weights.parameters.get::<4>(0)),
            backend::values(other.parameters.get::<4>(0))
        );
        assert_eq!(backend::values(weights.parameters.get::<2>(weights.parameters.len() - 2)), last);
    }
}
