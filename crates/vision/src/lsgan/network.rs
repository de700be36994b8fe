//! The generator G and the discriminator D.
//!
//! G: noise and class → linear to 4 × 4 maps → normalised → doublings, each normalised → transposed convolution of stride 1 to RGB →
//! tanh → smoothed, once trained and if asked. Doublings that are grown each enlarge the picture before tanh and add to it. D: convolutions of window 5 and stride 2, the class as constant maps beside the input of the
//! first four, all but the first normalised → linear; where doublings are grown, a convolution of the larger picture goes beside the picture
//! of half its size. Leaky ReLU of 0.2 everywhere between. Layers and sizes are those of the authors' code.

use burn::tensor::{Device, Tensor};

use super::config::{LsganConfig, Smoothing, Upsampling};
use crate::layers::Geometry;
use crate::layers::blocks::{
    Builder, Convolution, Initial, Linear, Mode, Norm, Step, Weights, doubled, halved, leaky_relu,
};

/// Standard deviation of initial weights.
const DEVIATION: f64 = 0.02;
/// Height and width of the generator's first maps, and of the discriminator's last.
const SMALLEST: usize = 4;
/// The discriminator sees the class at this many layers.
const CONDITIONED: usize = 4;
/// Window of the discriminator's convolutions.
const WINDOW: usize = 5;

/// The layers of a generator; its numbers are [`Weights`].
#[derive(Clone, Debug)]
pub(super) struct Generator {
    inputs: usize,
    first: usize,
    linear: Linear,
    first_norm: Norm,
    layers: Vec<(Convolution, Norm)>,
    last: Convolution,
    /// Doublings that add detail to the picture of half the size, and how each makes colours of its maps.
    grown: Vec<(Convolution, Norm, Convolution)>,
    /// What is taken out of pictures that are not for training.
    pub(super) smoothing: Smoothing,
}

impl Generator {
    pub(super) fn new(config: &LsganConfig, n_classes: usize, seed: u64, device: &Device) -> (Self, Weights) {
        let mut builder = Builder::new(seed, DEVIATION, device);
        let (inputs, first) = (config.noise + n_classes, config.generator_channels);
        let outputs = SMALLEST * SMALLEST * first;
        let linear = builder.linear("linear", inputs, outputs, Initial::Normal);
        let first_norm = builder.norm("linear", first);
        let (mut side, mut channels) = (SMALLEST, first);
        let mut layers = Vec::new();
        let add = |builder: &mut Builder<'_>, layers: &mut Vec<_>, step, geometry: Geometry, out| {
            let name = format!("up{}", layers.len() + 1);
            let convolution = builder.convolution(&name, step, geometry, Initial::Normal);
            layers.push((convolution, builder.norm(&name, out)));
        };
        let doubling = |side: usize, channels, width| {
            let wide = [2 * side; 2];
            match config.upsampling {
                Upsampling::Deconvolution => (Step::Spread, Geometry::same(3, 2, wide, width, channels)),
                Upsampling::EvenDeconvolution => (Step::Spread, Geometry::same(4, 2, wide, width, channels)),
                Upsampling::Resize => (Step::Resize, Geometry::same(3, 1, wide, channels, width)),
            }
        };
        for (at, width) in config.widths().into_iter().enumerate() {
            let (step, geometry) = doubling(side, channels, width);
            add(&mut builder, &mut layers, step, geometry, width);
            (side, channels) = (2 * side, width);
            if config.refine && at < 2 {
                let geometry = Geometry::same(3, 1, [side; 2], channels, channels);
                add(&mut builder, &mut layers, Step::Spread, geometry, channels);
            }
        }
        let colours = |side| Geometry::same(3, 1, [side; 2], 3, channels);
        let last = builder.convolution("rgb", Step::Spread, colours(side), Initial::Normal);
        let grown = (1..=config.grown).map(|at| {
            let name = format!("grown{at}");
            let (step, geometry) = doubling(side, channels, channels);
            side *= 2;
            let convolution = builder.convolution(&name, step, geometry, Initial::Normal);
            let norm = builder.norm(&name, channels);
            let rgb = builder.convolution(&format!("{name}-rgb"), Step::Spread, colours(side), Initial::Zero);
            (convolution, norm, rgb)
        });
        let grown = grown.collect();
        let smoothing = config.smoothing;
        let network = Self { inputs, first, linear, first_norm, layers, last, grown, smoothing };
        (network, builder.finish())
    }

    /// Pictures `[batch, px, px, 3]` from −1 to 1 of noise and classes `[batch, noise + classes]`.
    pub(super) fn forward(&self, weights: &Weights, inputs: Tensor<2>, mut mode: Mode<'_>) -> Tensor<4> {
        let batch = inputs.dims()[0];
        debug_assert_eq!(inputs.dims()[1], self.inputs, "noise and classes");
        let parameters = &weights.parameters;
        let x = self.linear.forward(parameters, inputs);
        let x = x.reshape([batch, SMALLEST, SMALLEST, self.first]);
        let mut x = self.first_norm.forward(weights, x, &mut mode);
        for (convolution, norm) in &self.layers {
            x = norm.forward(weights, convolution.forward(parameters, x), &mut mode);
        }
        let mut pictures = self.last.forward(parameters, x.clone());
        for (convolution, norm, rgb) in &self.grown {
            x = norm.forward(weights, convolution.forward(parameters, x), &mut mode);
            pictures = enlarged(pictures) + rgb.forward(parameters, x.clone());
        }
        let pictures = pictures.tanh();
        if matches!(mode, Mode::Inference) { smoothed(pictures, self.smoothing) } else { pictures }
    }
}

/// Pictures `[batch, height, width, channels]` from −1 to 1 without what alternates from one pixel to the next. With A = 1 − S, S the means of
/// ¼, ½, ¼ along a dimension, `(1 − A Aᵀ) x` along both at once, or `(1 − A²) (1 − A²)ᵀ x` along each.
fn smoothed(pictures: Tensor<4>, smoothing: Smoothing) -> Tensor<4> {
    let found = match smoothing {
        Smoothing::None => return pictures,
        Smoothing::Diagonal => pictures.clone() - alternating(alternating(pictures, 1), 2),
        Smoothing::Axes => [1, 2]
            .into_iter()
            .fold(pictures, |x, dimension| x.clone() - alternating(alternating(x, dimension), dimension)),
    };
    // Beside an edge it may swing over.
    found.clamp(-1.0, 1.0)
}

/// Pictures twice as large, between pixels in straight lines.
fn enlarged(pictures: Tensor<4>) -> Tensor<4> {
    [1, 2].into_iter().fold(doubled(pictures), |x, dimension| x.clone() - alternating(x, dimension))
}

/// What alternates along a dimension: x less the means of ¼, ½, ¼, the edge repeated.
fn alternating(x: Tensor<4>, dimension: usize) -> Tensor<4> {
    let n = x.dims()[dimension];
    let part = |from, length| x.clone().narrow(dimension, from, length);
    let before = Tensor::cat(vec![part(0, 1), part(0, n - 1)], dimension);
    let after = Tensor::cat(vec![part(1, n - 1), part(n - 1, 1)], dimension);
    x * 0.5 - (before + after) * 0.25
}

/// The layers of a discriminator.
#[derive(Clone, Debug)]
pub(super) struct Discriminator {
    n_classes: usize,
    /// Looks at pictures that are larger than `layers` take, the smallest of them first.
    grown: Vec<Convolution>,
    layers: Vec<(Convolution, Option<Norm>)>,
    hidden: Option<(Linear, Norm)>,
    last: Linear,
}

impl Discriminator {
    pub(super) fn new(config: &LsganConfig, n_classes: usize, seed: u64, device: &Device) -> (Self, Weights) {
        let mut builder = Builder::new(seed, DEVIATION, device);
        let (mut side, mut channels) = (config.px >> config.grown, 3);
        let mut layers = Vec::new();
        let seen_larger = if config.grown > 0 { config.discriminator_channels } else { 0 };
        for at in 0..config.doublings() {
            let out = config.discriminator_channels << at.min(3);
            let inputs = channels
                + if at < CONDITIONED { n_classes } else { 0 }
                + if at == 0 { seen_larger } else { 0 };
            let name = format!("down{}", at + 1);
            let geometry = Geometry::same(WINDOW, 2, [side; 2], inputs, out);
            let convolution = builder.convolution(&name, Step::Convolve, geometry, Initial::Truncated);
            layers.push((convolution, (at > 0).then(|| builder.norm(&name, out))));
            (side, channels) = (side / 2, out);
        }
        let mut inputs = side * side * channels;
        let hidden = (config.discriminator_units > 0).then(|| {
            let units = config.discriminator_units;
            let hidden =
                (builder.linear("hidden", inputs, units, Initial::Normal), builder.norm("hidden", units));
            inputs = units;
            hidden
        });
        let last = builder.linear("last", inputs, 1, Initial::Normal);
        let grown = (1..=config.grown).map(|at| {
            let side = config.px >> (config.grown - at);
            let inputs = 3 + n_classes + if at < config.grown { seen_larger } else { 0 };
            let geometry = Geometry::same(WINDOW, 2, [side; 2], inputs, config.discriminator_channels);
            builder.convolution(&format!("grown{at}"), Step::Convolve, geometry, Initial::Truncated)
        });
        let grown = grown.collect();
        (Self { n_classes, grown, layers, hidden, last }, builder.finish())
    }

    /// How real pictures look as pictures of their classes, and as those of other classes if given, all in one batch: moments of a batch in
    /// which every class is wrong would take out of it just what tells that it is.
    pub(super) fn seen_as(
        &self,
        weights: &Weights,
        pictures: Tensor<4>,
        classes: Tensor<2>,
        others: Option<Tensor<2>>,
        mode: Mode<'_>,
    ) -> (Tensor<1>, Option<Tensor<1>>) {
        let Some(others) = others else { return (self.forward(weights, pictures, classes, mode), None) };
        let batch = classes.dims()[0];
        let pictures = Tensor::cat(vec![pictures.clone(), pictures], 0);
        let seen = self.forward(weights, pictures, Tensor::cat(vec![classes, others], 0), mode);
        (seen.clone().slice([..batch]), Some(seen.slice([batch..])))
    }

    /// How real pictures `[batch, px, px, 3]` look as pictures of their classes `[batch, classes]`: 1 for real, 0 for generated.
    pub(super) fn forward(
        &self,
        weights: &Weights,
        pictures: Tensor<4>,
        classes: Tensor<2>,
        mut mode: Mode<'_>,
    ) -> Tensor<1> {
        let batch = pictures.dims()[0];
        let parameters = &weights.parameters;
        let with_class = |x: Tensor<4>| {
            let [_, height, width, _] = x.dims();
            let maps = classes.clone().reshape([batch, 1, 1, self.n_classes]);
            Tensor::cat(vec![x, maps.expand([batch, height, width, self.n_classes])], 3)
        };
        // What was seen of the picture in its larger sizes goes last, so that weights of the smaller network are the first ones.
        let mut larger: Option<Tensor<4>> = None;
        let beside = |x: Tensor<4>, larger: Option<Tensor<4>>| match larger {
            Some(larger) => Tensor::cat(vec![x, larger], 3),
            None => x,
        };
        let mut x = pictures;
        for convolution in self.grown.iter().rev() {
            let seen = beside(with_class(x.clone()), larger.take());
            larger = Some(leaky_relu(convolution.forward(parameters, seen)));
            x = halved(x);
        }
        for (at, (convolution, norm)) in self.layers.iter().enumerate() {
            if at < CONDITIONED {
                x = with_class(x);
            }
            x = convolution.forward(parameters, beside(x, larger.take()));
            x = match norm {
                Some(norm) => norm.forward(weights, x, &mut mode),
                None => leaky_relu(x),
            };
        }
        let [_, height, width, channels] = x.dims();
        let mut x = x.reshape([batch, height * width * channels]);
        if let Some((linear, norm)) = &self.hidden {
            let sums = linear.forward(parameters, x);
            let width = sums.dims()[1];
            x = norm.forward(weights, sums.reshape([batch, 1, 1, width]), &mut mode).reshape([batch, width]);
        }
        self.last.forward(parameters, x).reshape([batch])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend;
    use crate::layers::blocks::{BatchMoments, update_moments};
    use foldin_core::random::Random;

    /// Layers that are grown add nothing at first, and the discriminator's first weights are those of the smaller one.
    #[test]
    fn a_grown_network_begins_with_the_smaller_one() {
        let device = Device::flex();
        let small = LsganConfig {
            px: 16,
            generator_channels: 8,
            discriminator_channels: 4,
            noise: 3,
            smoothing: Smoothing::None,
            ..LsganConfig::default()
        };
        let (generator, weights) = Generator::new(&small, 2, 1, &device);
        let inputs = backend::normal([3, 5], 1.0, &mut Random::new(3), &device);
        let picture = generator.forward(&weights, inputs.clone(), Mode::Inference);
        let (seer, seeing) = Discriminator::new(&small, 2, 1, &device);
        let classes = Tensor::<2>::ones([3, 2], &device);
        let mut expected = enlarged(picture.atanh());
        for grown in [1, 2] {
            let config = LsganConfig { px: 16 << grown, grown, ..small.clone() };
            let (generator, mut own) = Generator::new(&config, 2, 7, &device);
            own.parameters.take_over(&weights.parameters).unwrap();
            own.moments.take_over(&weights.moments).unwrap();
            let found = generator.forward(&own, inputs.clone(), Mode::Inference);
            assert_eq!(found.dims(), [3, config.px, config.px, 3]);
            let difference = backend::values((found.clone().atanh() - expected.clone()).abs().max());
            assert!(difference[0] < 1e-5, "{difference:?}");
            expected = enlarged(expected);

            let (larger, mut own) = Discriminator::new(&config, 2, 7, &device);
            own.parameters.take_over(&seeing.parameters).unwrap();
            // What the new layers see counts for nothing where their own weights and biases are 0.
            for at in 0..own.parameters.len() {
                let value = own.parameters.get_flat(at);
                if own.parameters.name(at).starts_with("grown") {
                    own.parameters.set(at, value.zeros_like());
                }
            }
            let seen = larger.forward(&own, found.clone(), classes.clone(), Mode::Inference);
            let shrunk = (0..grown).fold(found, |x, _| halved(x));
            let before = seer.forward(&seeing, shrunk, classes.clone(), Mode::Inference);
            let difference = backend::values((seen - before).abs().max());
            assert!(difference[0] < 1e-5, "{difference:?}");
        }
    }

    #[test]
    fn an_enlarged_slope_is_a_slope() {
        let slope = backend::tensor(vec![0.0, 4.0, 8.0], [1, 1, 3, 1], &Device::flex());
        let found = backend::values(enlarged(slope));
        assert_eq!(found, [[0.0, 1.0, 3.0, 5.0, 7.0, 8.0]; 2].concat());
    }

    fn counts(config: &LsganConfig) -> (usize, usize) {
        let device = Device::flex();
        let (_, generator) = Generator::new(config, 6, 1, &device);
        let (_, discriminator) = Discriminator::new(config, 6, 1, &device);
        (generator.parameters.count(), discriminator.parameters.count())
    }

    /// Counted in the authors' code, and of the smaller forms by the same layers.
    #[test]
    fn parameters_are_as_many_as_published() {
        let published = Upsampling::Deconvolution;
        let preset = |name: &str| LsganConfig { upsampling: published, ..LsganConfig::preset(name).unwrap() };
        assert_eq!(counts(&preset("authors")), (3_811_075, 4_460_545));
        assert_eq!(counts(&preset("small-64")), (608_387, 1_155_073));
        assert_eq!(counts(&preset("tiny-64")), (207_427, 308_737));
        assert_eq!(counts(&preset("small-32")), (460_547, 294_657));
        // Noise of 100 in place of 256, and 8,192 → 1,024 → 1 with its normalisation in place of 8,192 → 1.
        let (generator, discriminator) = counts(&preset("study"));
        assert_eq!(generator, 3_811_075 - 156 * 4096);
        assert_eq!(discriminator, 4_460_545 - 8_193 + 8_192 * 1024 + 1024 + 2 * 1024 + 1025);
    }

    /// What becomes of a picture of 9 × 10 pixels.
    fn smooth(smoothing: Smoothing, f: impl Fn(usize, usize) -> f32) -> (Vec<f32>, Vec<f32>) {
        let given: Vec<f32> = (0..90).map(|at| f(at / 10, at % 10)).collect();
        let pictures = backend::tensor(given.clone(), [1, 9, 10, 1], &Device::flex());
        (given, backend::values(smoothed(pictures, smoothing)))
    }

    fn far([given, found]: [&[f32]; 2]) -> f32 {
        given.iter().zip(found).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max)
    }

    #[test]
    fn smoothing_takes_what_alternates() {
        let sign = |odd: usize| if odd.is_multiple_of(2) { 0.5 } else { -0.5 };
        let all = [Smoothing::None, Smoothing::Diagonal, Smoothing::Axes];
        for smoothing in all {
            let (given, found) = smooth(smoothing, |_, _| 0.3);
            assert!(far([&given, &found]) < 1e-6, "{smoothing:?}");
            // A slope, away from the edges that are repeated.
            let (given, found) = smooth(smoothing, |y, x| (y + x) as f32 / 18.0);
            let row = |values: &[f32]| values[42..48].to_vec();
            assert!(far([&row(&given), &row(&found)]) < 1e-6, "{smoothing:?}");
        }
        let inside: Vec<usize> =
            (0..90).filter(|at| (2..7).contains(&(at / 10)) && (2..8).contains(&(at % 10))).collect();
        let left = |smoothing, f: &dyn Fn(usize, usize) -> f32| {
            let (_, found) = smooth(smoothing, f);
            inside.iter().map(|&at| found[at].abs()).fold(0.0, f32::max)
        };
        let (checkers, stripes) = (|y, x| sign(y + x), |_, x| sign(x));
        assert_eq!(all.map(|smoothing| left(smoothing, &checkers)), [0.5, 0.0, 0.0]);
        assert_eq!(all.map(|smoothing| left(smoothing, &stripes)), [0.5, 0.5, 0.0]);
    }

    #[test]
    fn smoothed_points_are_known_and_stay_in_range() {
        let point = |y, x| if (y, x) == (4, 5) { 1.0 } else { 0.0 };
        // 1 less the products of −¼, ½, −¼.
        let (_, found) = smooth(Smoothing::Diagonal, point);
        assert_eq!(found[34..37], [-0.0625, 0.125, -0.0625]);
        assert_eq!(found[44..47], [0.125, 0.75, 0.125]);
        // −1/16, ¼, ⅝, ¼, −1/16 along each.
        let (_, found) = smooth(Smoothing::Axes, point);
        assert_eq!(found[43..48], [-0.0625, 0.25, 0.625, 0.25, -0.0625].map(|x| 0.625 * x));
        let (_, found) = smooth(Smoothing::Axes, |_, x| if x < 5 { 1.0 } else { -1.0 });
        assert!(found.iter().all(|x| x.abs() <= 1.0));
        assert!(found[44] < 1.0 && found[44] > 0.5);
    }

    #[test]
    fn shapes_and_ranges() {
        let device = Device::flex();
        for upsampling in [Upsampling::Deconvolution, Upsampling::EvenDeconvolution, Upsampling::Resize] {
            let config = LsganConfig {
                px: 16,
                generator_channels: 8,
                discriminator_channels: 4,
                discriminator_units: 5,
                noise: 3,
                upsampling,
                smoothing: Smoothing::None,
                ..LsganConfig::default()
            };
            let (generator, generator_weights) = Generator::new(&config, 2, 1, &device);
            let (discriminator, discriminator_weights) = Discriminator::new(&config, 2, 2, &device);
            let inputs = backend::normal([5, 5], 1.0, &mut Random::new(3), &device);
            let classes = Tensor::<2>::ones([5, 2], &device);
            let mut moments = BatchMoments::new();
            let pictures =
                generator.forward(&generator_weights, inputs.clone(), Mode::Training(&mut moments));
            assert_eq!(pictures.dims(), [5, 16, 16, 3]);
            assert_eq!(2 * moments.len(), generator_weights.moments.len());
            assert!(backend::values(pictures.clone()).iter().all(|x| x.abs() <= 1.0));
            let seen = discriminator.forward(&discriminator_weights, pictures, classes, Mode::Inference);
            assert_eq!(seen.dims(), [5]);
            // With the moments of the batch, inference gives what training gave.
            let mut calibrated = generator_weights.clone();
            update_moments(&mut calibrated.moments, &moments, 0.0);
            let again = generator.forward(&calibrated, inputs.clone(), Mode::Inference);
            let trained =
                generator.forward(&generator_weights, inputs, Mode::Training(&mut BatchMoments::new()));
            let difference = backend::values((again - trained).abs().max());
            assert!(difference[0] < 1e-4, "{difference:?}");
        }
    }
}
