//! Parts of networks: layers with their numbers by name, and the moments that normalisations run with.

use burn::tensor::{Device, Tensor};
use foldin_core::random::Random;

use super::{Geometry, convolve, normalise, spread};
use crate::parameters::Parameters;

/// Slope of the leaky ReLU below 0.
pub(crate) const SLOPE: f32 = 0.2;
/// ε of the normalisation.
const EPSILON: f32 = 1e-5;

/// What running moments keep of what they were at each step, as LSGAN's authors have it.
pub(crate) const MOMENTS_DECAY: f64 = 0.9;

/// A convolution, or a transposed one, with its bias if it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Convolution {
    weights: usize,
    bias: Option<usize>,
    geometry: Geometry,
    step: Step,
}

/// What a layer does with its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// From narrow to wide.
    Spread,
    /// From wide to narrow.
    Convolve,
    /// Each pixel four times, then from wide to narrow.
    Resize,
}

/// Scale and shift of a normalisation, which of the running moments are its own, and the slope of the leaky ReLU after it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    slope: f32,
    gamma: usize,
    beta: usize,
    mean: usize,
    variance: usize,
}

/// Means and variances of a batch, one pair for each normalisation, in order.
pub(crate) type BatchMoments = Vec<(Tensor<1>, Tensor<1>)>;

/// Which moments normalise.
#[derive(Debug)]
pub(crate) enum Mode<'a> {
    /// Those of the batch, which are kept here.
    Training(&'a mut BatchMoments),
    /// Running ones.
    Inference,
}

/// What weights are at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initial {
    /// Normal.
    Normal,
    /// Normal, within two standard deviations.
    Truncated,
    /// Zero: a layer that adds nothing yet.
    Zero,
    /// Uniform within ±√(6 / (inputs + outputs)) (Glorot and Bengio, 2010).
    Glorot,
}

/// Draws initial weights and names arrays.
pub(crate) struct Builder<'a> {
    pub(crate) parameters: Parameters,
    pub(crate) moments: Parameters,
    random: Random,
    deviation: f64,
    device: &'a Device,
}

impl Builder<'_> {
    pub(crate) fn new(seed: u64, deviation: f64, device: &Device) -> Builder<'_> {
        let (parameters, moments) = (Parameters::default(), Parameters::default());
        Builder { parameters, moments, random: Random::new(seed), deviation, device }
    }

    pub(crate) fn weights(&mut self, name: &str, shape: &[usize], initial: Initial) -> usize {
        let count = shape.iter().product::<usize>();
        // Inputs and outputs of each tap of a window.
        let both = shape[shape.len() - 2..].iter().sum::<usize>();
        let taps = shape[..shape.len() - 2].iter().product::<usize>();
        let width = (6.0 / (taps * both) as f64).sqrt();
        let (random, deviation) = (&mut self.random, self.deviation);
        let normal = |random: &mut Random, most: f64| {
            let mut x = random.normal();
            while x.abs() > most {
                x = random.normal();
            }
            (deviation * x) as f32
        };
        let values = (0..count)
            .map(|_| match initial {
                Initial::Normal => normal(random, f64::INFINITY),
                Initial::Truncated => normal(random, 2.0),
                Initial::Zero => 0.0,
                Initial::Glorot => (width * (2.0 * random.uniform() - 1.0)) as f32,
            })
            .collect();
        self.parameters.add(&format!("{name}/weights"), shape, values, true, self.device)
    }

    pub(crate) fn bias(&mut self, name: &str, length: usize) -> usize {
        self.parameters.add(&format!("{name}/bias"), &[length], vec![0.0; length], false, self.device)
    }

    pub(crate) fn norm(&mut self, name: &str, channels: usize) -> Norm {
        let (one, zero) = (vec![1.0; channels], vec![0.0; channels]);
        Norm {
            slope: SLOPE,
            gamma: self.parameters.add(
                &format!("{name}/gamma"),
                &[channels],
                one.clone(),
                false,
                self.device,
            ),
            beta: self.parameters.add(&format!("{name}/beta"), &[channels], zero.clone(), false, self.device),
            mean: self.moments.add(&format!("{name}/mean"), &[channels], zero, false, self.device),
            variance: self.moments.add(&format!("{name}/variance"), &[channels], one, false, self.device),
        }
    }

    pub(crate) fn linear(&mut self, name: &str, inputs: usize, outputs: usize, initial: Initial) -> Linear {
        let weights = self.weights(name, &[inputs, outputs], initial);
        Linear { weights, bias: self.bias(name, outputs), outputs }
    }

    pub(crate) fn convolution(
        &mut self,
        name: &str,
        step: Step,
        geometry: Geometry,
        initial: Initial,
    ) -> Convolution {
        let out = if step == Step::Spread { geometry.wide_channels } else { geometry.narrow_channels };
        let unbiased = self.unbiased(name, step, geometry, initial);
        Convolution { bias: Some(self.bias(name, out)), ..unbiased }
    }

    /// A convolution without a bias, as one that is normalised has no use for it.
    pub(crate) fn unbiased(
        &mut self,
        name: &str,
        step: Step,
        geometry: Geometry,
        initial: Initial,
    ) -> Convolution {
        let g = geometry;
        let shape = [g.size, g.size, g.wide_channels, g.narrow_channels];
        Convolution { weights: self.weights(name, &shape, initial), bias: None, geometry, step }
    }

    pub(crate) fn finish(self) -> Weights {
        Weights { parameters: self.parameters, moments: self.moments }
    }
}

/// Arrays of a network: what is trained, and the running moments of its normalisations.
#[derive(Clone, Debug)]
pub struct Weights {
    /// Trained.
    pub parameters: Parameters,
    /// Means and variances that inference normalises by, in pairs.
    pub moments: Parameters,
}

impl Weights {
    /// The same numbers, of which gradients are wanted.
    pub(crate) fn tracked(&self) -> Self {
        Self { parameters: self.parameters.tracked(), moments: self.moments.clone() }
    }

    /// The same numbers as constants beside what gradients are wanted of.
    pub(crate) fn constant(&self) -> Self {
        Self { parameters: self.parameters.constant(), moments: self.moments.constant() }
    }
}

/// A linear layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    weights: usize,
    bias: usize,
    outputs: usize,
}

impl Linear {
    /// The number of its weights among the arrays; that of its bias comes next.
    pub(crate) fn weights(&self) -> usize {
        self.weights
    }

    pub(crate) fn forward(&self, parameters: &Parameters, x: Tensor<2>) -> Tensor<2> {
        let bias = parameters.get::<1>(self.bias).reshape([1, self.outputs]);
        x.matmul(parameters.get(self.weights)) + bias
    }
}

impl Convolution {
    pub(crate) fn forward(&self, parameters: &Parameters, x: Tensor<4>) -> Tensor<4> {
        let weights = parameters.get(self.weights);
        let out = match self.step {
            Step::Spread => spread(x, weights, self.geometry),
            Step::Convolve => convolve(x, weights, self.geometry),
            Step::Resize => convolve(doubled(x), weights, self.geometry),
        };
        let channels = out.dims()[3];
        match self.bias {
            Some(bias) => out + parameters.get::<1>(bias).reshape([1, 1, 1, channels]),
            None => out,
        }
    }
}

/// Each pixel four times.
pub(crate) fn doubled(x: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    x.reshape([batch, height, 1, width, 1, channels])
        .expand([batch, height, 2, width, 2, channels])
        .reshape([batch, 2 * height, 2 * width, channels])
}

/// The mean of each 2 × 2 pixels.
pub(crate) fn halved(x: Tensor<4>) -> Tensor<4> {
    let [batch, height, width, channels] = x.dims();
    x.reshape([batch, height / 2, 2, width / 2, 2, channels]).mean_dim(4).mean_dim(2).reshape([
        batch,
        height / 2,
        width / 2,
        channels,
    ])
}

impl Norm {
    /// The same before another leaky ReLU; a slope of 0 is the ReLU.
    pub(crate) fn with_slope(self, slope: f32) -> Self {
        Self { slope, ..self }
    }

    pub(crate) fn forward(&self, weights: &Weights, x: Tensor<4>, mode: &mut Mode<'_>) -> Tensor<4> {
        let (gamma, beta) = (weights.parameters.get::<1>(self.gamma), weights.parameters.get::<1>(self.beta));
        match mode {
            Mode::Training(moments) => {
                let normalised = normalise(x, gamma, beta, EPSILON, self.slope);
                moments.push((normalised.mean.inner(), normalised.variance.inner()));
                normalised.output
            }
            Mode::Inference => {
                let mean = weights.moments.get::<1>(self.mean);
                let variance = weights.moments.get::<1>(self.variance);
                let scale = gamma / (variance + EPSILON).sqrt();
                let shift = beta - mean * scale.clone();
                let channels = scale.dims()[0];
                let shape = [1, 1, 1, channels];
                let x = x * scale.reshape(shape) + shift.reshape(shape);
                burn::tensor::activation::leaky_relu(x, f64::from(self.slope))
            }
        }
    }
}

pub(crate) fn leaky_relu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    burn::tensor::activation::leaky_relu(x, f64::from(SLOPE))
}

/// Moves running moments towards those of a batch: they keep `decay` of what they were.
pub(crate) fn update_moments(moments: &mut Parameters, batch: &BatchMoments, decay: f64) {
    for (at, (mean, variance)) in batch.iter().enumerate() {
        for (at, new) in [(2 * at, mean), (2 * at + 1, variance)] {
            let blended = moments.get::<1>(at) * decay + new.clone() * (1.0 - decay);
            moments.set(at, blended);
        }
    }
}

/// Means and variances of many batches taken as one: variances of batches alone would leave out how their means differ.
pub(crate) fn pooled(batches: impl Iterator<Item = BatchMoments>) -> BatchMoments {
    let mut count = 0.0;
    let mut sums: Option<BatchMoments> = None;
    for moments in batches {
        count += 1.0;
        let squares = moments.into_iter().map(|(mean, variance)| {
            let square = variance + mean.clone().square();
            (mean, square)
        });
        sums = Some(match sums {
            None => squares.collect(),
            Some(sums) => sums.into_iter().zip(squares).map(|(x, y)| (x.0 + y.0, x.1 + y.1)).collect(),
        });
    }
    let pool = |(mean, square): (Tensor<1>, Tensor<1>)| {
        let mean = mean / count;
        let variance = (square / count - mean.clone().square()).clamp_min(0.0);
        (mean, variance)
    };
    sums.unwrap_or_default().into_iter().map(pool).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;

    #[test]
    fn pooled_moments_are_those_of_all_numbers() {
        let device = Device::flex();
        let moments = |mean: f32, variance: f32| {
            vec![(Tensor::from_floats([mean], &device), Tensor::from_floats([variance], &device))]
        };
        // 1, 3 and 5, 9: mean 4.5, squares 1 + 9 + 25 + 81 over 4 less 20.25.
        let found = pooled([moments(2.0, 1.0), moments(7.0, 4.0)].into_iter());
        assert_eq!(backend::values(found[0].0.clone()), [4.5]);
        assert_eq!(backend::values(found[0].1.clone()), [29.0 - 20.25]);
    }

    #[test]
    fn a_doubled_picture_has_each_pixel_four_times() {
        let x = backend::tensor(vec![1.0, 2.0, 3.0, 4.0], [1, 2, 2, 1], &Device::flex());
        let expected = [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 3.0, 3.0, 4.0, 4.0];
        let large = doubled(x.clone());
        assert_eq!(backend::values(large.clone()), expected);
        assert_eq!(backend::values(halved(large)), backend::values(x.clone()));
        assert_eq!(backend::values(halved(x)), [2.5]);
    }
}
