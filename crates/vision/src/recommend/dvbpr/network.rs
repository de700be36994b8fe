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
use crate::images::set::CHANNELS;
pub use crate::layers::blocks::Weights;
use crate::layers::blocks::{
    BatchMoments, Builder, Convolution, Initial, Linear, MOMENTS_DECAY, Mode as Normalising, Norm, Step,
    update_moments,
};
use crate::layers::{Geometry, max_pool};
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

/// Units of the small form's linear layer.
pub const SMALL_UNITS: usize = 256;

/// A convolution with what follows it: a normalisation and a ReLU, or the ReLU alone.
#[derive(Clone, Copy, Debug)]
struct Layer {
    convolution: Convolution,
    norm: Option<Norm>,
    pooled: bool,
}

/// A linear layer, whose inputs are kept with this probability in training.
#[derive(Clone, Copy, Debug)]
struct Dense {
    linear: Linear,
    keep: f32,
}

/// The layers; their numbers are in [`Weights`].
#[derive(Clone, Debug)]
pub struct Network {
    form: Form,
    px: usize,
    k: usize,
    layers: Vec<Layer>,
    dense: Vec<Dense>,
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
        let mut builder = Builder::new(child_seed(seed, "dvbpr network"), 0.0, device);
        let (mut side, mut channels) = (px, CHANNELS);
        // Size of the window, stride, channels, whether it is pooled.
        let convolutions: &[_] = match form {
            Form::Small => &[(5, 2, 32, true), (3, 1, 64, true), (3, 1, 128, true)],
            Form::CnnF => &[
                (11, 4, 64, true),
                (5, 1, 256, true),
                (3, 1, 256, false),
                (3, 1, 256, false),
                (3, 1, 256, true),
            ],
        };
        let mut layers = Vec::new();
        for (at, &(size, stride, out, pooled)) in convolutions.iter().enumerate() {
            let name = format!("conv{}", at + 1);
            let geometry = Geometry::same(size, stride, [side; 2], channels, out);
            let (step, initial) = (Step::Convolve, Initial::Glorot);
            layers.push(match form {
                Form::Small => Layer {
                    convolution: builder.unbiased(&name, step, geometry, initial),
                    norm: Some(builder.norm(&name, out).with_slope(0.0)),
                    pooled,
                },
                Form::CnnF => Layer {
                    convolution: builder.convolution(&name, step, geometry, initial),
                    norm: None,
                    pooled,
                },
            });
            side = geometry.narrow[0] / if pooled { 2 } else { 1 };
            channels = out;
        }
        let flat = side * side * channels;
        let linears: &[_] = match form {
            Form::Small => &[("fc1", flat, SMALL_UNITS, 0.75), ("fc2", SMALL_UNITS, k, 0.5)],
            Form::CnnF => &[("fc6", flat, 4096, 1.0), ("fc7", 4096, 4096, 0.5), ("fc8", 4096, k, 0.5)],
        };
        let dense = linears
            .iter()
            .map(|&(name, inputs, outputs, keep)| Dense {
                linear: builder.linear(name, inputs, outputs, Initial::Glorot),
                keep,
            })
            .collect();
        (Self { form, px, k, layers, dense }, builder.finish())
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
        let mut seen = BatchMoments::new();
        for layer in &self.layers {
            x = layer.convolution.forward(&weights.parameters, x);
            x = match (layer.norm, &mode) {
                (None, _) => activation::relu(x),
                (Some(norm), Mode::Training { .. }) => {
                    norm.forward(weights, x, &mut Normalising::Training(&mut seen))
                }
                (Some(norm), Mode::Inference) => norm.forward(weights, x, &mut Normalising::Inference),
            };
            if layer.pooled {
                x = max_pool(x);
            }
        }
        if let Mode::Training { moments, .. } = mode {
            update_moments(moments, &seen, MOMENTS_DECAY);
        }
        let [batch, height, width, channels] = x.dims();
        let mut x = x.reshape([batch, height * width * channels]);
        for layer in &self.dense[..self.dense.len() - 1] {
            x = activation::relu(layer.forward(weights, x, mode));
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
        self.dense[self.dense.len() - 1].forward(weights, x, mode)
    }

    /// Takes over all layers but the last from another network of the same form, as after pretraining.
    pub fn adopt(&self, weights: &mut Weights, from: &Weights) {
        let last = self.dense[self.dense.len() - 1].linear.weights();
        for at in 0..last {
            weights.parameters.set(at, from.parameters.get_flat(at));
        }
        weights.moments = from.moments.clone();
    }
}

impl Dense {
    fn forward(&self, weights: &Weights, x: Tensor<2>, mode: &mut Mode<'_>) -> Tensor<2> {
        let x = match mode {
            Mode::Training { random, .. } if self.keep < 1.0 => {
                let mask = backend::dropout_mask(x.dims(), self.keep, random, &x.device());
                x * mask
            }
            _ => x,
        };
        self.linear.forward(&weights.parameters, x)
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
        network.dense.iter_mut().for_each(|layer| layer.keep = 1.0);
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
