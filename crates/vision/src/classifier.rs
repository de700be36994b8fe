//! A small classifier of pictures, trained here: for measures of a generator, and as a network whose last hidden layer are features.
//!
//! Convolutions of stride 2 (windows of 5, then 3; 32, 64, 128, … channels) down to 4 × 4, a hidden layer, a linear one; batch
//! normalisation and leaky ReLU after all but the last. Minimises the cross-entropy of pictures drawn from all classes equally often,
//! moved by up to a sixteenth of their side and mirrored half of the time.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use foldin_core::config::ModelConfig;
use foldin_core::fit::{Epoch, TrainState};
use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{FitContext, FitError, LoadError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend;
use crate::error::VisionError;
use crate::images::set::CHANNELS;
use crate::images::{ImageSet, Labels};
use crate::layers::Geometry;
use crate::layers::blocks::{
    BatchMoments, Builder, Convolution, Initial, Linear, Mode, Norm, Step, Weights, pooled, update_moments,
};
use crate::parameters::Adam;
use crate::recommend::dvbpr::channels_last;
use crate::saved;

/// Name of the model.
pub const MODEL: &str = "picture-classifier";

/// Height and width of the last maps.
const SMALLEST: usize = 4;
/// Most channels of a layer.
const MOST_CHANNELS: usize = 128;
/// Standard deviation of initial weights, before normalisation makes it unimportant.
const DEVIATION: f64 = 0.05;
/// Pictures looked at together.
const AT_ONCE: usize = 128;
/// Batches from which the final moments are taken.
const FINAL_BATCHES: usize = 32;

/// Settings of the classifier.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Channels of the first layer, doubled by each further one up to 128.
    #[schemars(range(min = 4, max = 128))]
    pub channels: usize,
    /// Units of the hidden layer: the length of the features.
    #[schemars(range(min = 2, max = 1024))]
    pub units: usize,
    /// Pictures of a step.
    #[schemars(range(min = 2, max = 4096))]
    pub batch: usize,
    /// Epochs; one draws as many pictures as there are.
    #[schemars(range(min = 1, max = 10_000))]
    pub epochs: usize,
    /// Adam's step, which falls to a tenth over the epochs.
    #[schemars(range(min = 1e-6, max = 0.1))]
    pub learning_rate: f64,
    /// λ of ½ λ ‖W‖².
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Whether pictures are moved and mirrored.
    pub augment: bool,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self {
            channels: 32,
            units: 64,
            batch: 64,
            epochs: 10,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            augment: true,
        }
    }
}

impl ModelConfig for ClassifierConfig {}

/// Layers, without their numbers.
#[derive(Clone, Debug)]
struct Network {
    layers: Vec<(Convolution, Norm)>,
    hidden: (Linear, Norm),
    last: Linear,
}

impl Network {
    fn new(
        config: &ClassifierConfig,
        px: usize,
        n_classes: usize,
        seed: u64,
        device: &Device,
    ) -> (Self, Weights) {
        let mut builder = Builder::new(seed, DEVIATION, device);
        let (mut side, mut inputs, mut out) = (px, CHANNELS, config.channels);
        let mut layers = Vec::new();
        while side > SMALLEST {
            let name = format!("down{}", layers.len() + 1);
            let window = if layers.is_empty() { 5 } else { 3 };
            let geometry = Geometry::same(window, 2, [side; 2], inputs, out);
            let convolution = builder.convolution(&name, Step::Convolve, geometry, Initial::Normal);
            layers.push((convolution, builder.norm(&name, out)));
            (side, inputs, out) = (side / 2, out, (2 * out).min(MOST_CHANNELS));
        }
        let hidden = (
            builder.linear("hidden", side * side * inputs, config.units, Initial::Normal),
            builder.norm("hidden", config.units),
        );
        let last = builder.linear("last", config.units, n_classes, Initial::Normal);
        (Self { layers, hidden, last }, builder.finish())
    }

    /// The hidden layer of pictures `[n, px, px, 3]`.
    fn features(&self, weights: &Weights, pictures: Tensor<4>, mode: &mut Mode<'_>) -> Tensor<2> {
        let mut x = pictures;
        for (convolution, norm) in &self.layers {
            x = norm.forward(weights, convolution.forward(&weights.parameters, x), mode);
        }
        let [batch, height, width, channels] = x.dims();
        let x = self.hidden.0.forward(&weights.parameters, x.reshape([batch, height * width * channels]));
        let units = x.dims()[1];
        self.hidden.1.forward(weights, x.reshape([batch, 1, 1, units]), mode).reshape([batch, units])
    }
}

/// A trained classifier.
#[derive(Clone, Debug)]
pub struct Classifier {
    config: ClassifierConfig,
    px: usize,
    classes: Vec<String>,
    network: Network,
    weights: Weights,
    device: Device,
}

#[derive(Debug, Serialize, Deserialize)]
struct Description {
    config: ClassifierConfig,
    px: usize,
    classes: Vec<String>,
}

/// How often a classifier is right.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Share of all pictures.
    pub overall: f64,
    /// Mean of the classes' shares, of those that have pictures.
    pub mean_of_classes: f64,
    /// Share of each class's pictures; none for a class without pictures.
    pub by_class: Vec<Option<f64>>,
}

impl Accuracy {
    /// Of predicted and true classes.
    #[must_use]
    pub fn of(predicted: &[usize], truth: &[usize], n_classes: usize) -> Self {
        let (mut right, mut all) = (vec![0usize; n_classes], vec![0usize; n_classes]);
        for (&predicted, &truth) in predicted.iter().zip(truth) {
            all[truth] += 1;
            right[truth] += usize::from(predicted == truth);
        }
        let by_class: Vec<Option<f64>> =
            right.iter().zip(&all).map(|(&r, &n)| (n > 0).then(|| r as f64 / n as f64)).collect();
        let shares: Vec<f64> = by_class.iter().flatten().copied().collect();
        Self {
            overall: right.iter().sum::<usize>() as f64 / all.iter().sum::<usize>().max(1) as f64,
            mean_of_classes: shares.iter().sum::<f64>() / shares.len().max(1) as f64,
            by_class,
        }
    }
}

/// Moves a picture `[3 × px × px]` by whole pixels, the edge repeated, and mirrors it if asked.
fn moved(picture: &[u8], px: usize, down: isize, right: isize, mirrored: bool, out: &mut Vec<u8>) {
    let most = px as isize - 1;
    for plane in picture.chunks_exact(px * px) {
        for y in 0..px as isize {
            let row = (y - down).clamp(0, most) as usize * px;
            for x in 0..px as isize {
                let x = if mirrored { most - x } else { x };
                out.push(plane[row + (x - right).clamp(0, most) as usize]);
            }
        }
    }
}

impl Classifier {
    /// Trains on the pictures that have a label.
    ///
    /// # Errors
    /// [`VisionError::Config`], [`VisionError::Shape`] for pictures whose side is no power of two of at least 8,
    /// [`VisionError::Fit`] where cancelled or with fewer than two classes, [`VisionError::Diverged`].
    ///
    /// # Examples
    /// ```
    /// use foldin_core::FitContext;
    /// use foldin_vision::backend::device;
    /// use foldin_vision::classifier::{Classifier, ClassifierConfig};
    /// use foldin_vision::planted::{PlantedOptions, planted};
    ///
    /// let options = PlantedOptions { users: 10, items: 240, purchases: 5, ..PlantedOptions::default() };
    /// let set = planted(&options, 1)?;
    /// let (pictures, colours) = (&set.data.images, set.data.labels("colour").expect("a planted label"));
    /// let config = ClassifierConfig { epochs: 3, ..ClassifierConfig::default() };
    /// let classifier = Classifier::fit(&config, pictures, colours, &FitContext::new(1), &device("cpu")?)?;
    /// assert!(classifier.accuracy(pictures, colours)?.overall > 0.5, "of six colours");
    /// # Ok::<(), foldin_vision::VisionError>(())
    /// ```
    pub fn fit(
        config: &ClassifierConfig,
        pictures: &ImageSet,
        labels: &Labels,
        ctx: &FitContext<'_>,
        device: &Device,
    ) -> Result<Self, VisionError> {
        let map = foldin_core::config::to_map(config);
        let config = &foldin_core::config::overlay(MODEL, config, &map)?;
        let px = pictures.px();
        check_px(px)?;
        let n_classes = labels.classes().len();
        let members: Vec<(usize, Vec<u32>)> = (0..n_classes)
            .map(|class| (class, labels.members(class as u32)))
            .filter(|(_, members)| !members.is_empty())
            .collect();
        let count: usize = members.iter().map(|(_, members)| members.len()).sum();
        if members.len() < 2 {
            let have = format!("{} categories with pictures", members.len());
            return Err(FitError::TooLittleData { model: MODEL, need: "two categories", have }.into());
        }
        let (network, weights) =
            Network::new(config, px, n_classes, child_seed(ctx.seed, "picture-classifier"), device);
        let mut adam = Adam::new(&weights.parameters, config.learning_rate, 0.9, 0.999, config.weight_decay);
        let mut model = Self {
            config: config.clone(),
            px,
            classes: labels.classes().to_vec(),
            network,
            weights,
            device: device.clone(),
        };
        let mut done = 0;
        if let Some(mut state) = ctx.resume()? {
            model.weights.parameters.restore("", &mut state.tensors, device)?;
            adam.restore("adam/", &mut state.tensors, &state.numbers, device)?;
            done = state.epochs;
        }
        let steps = count.div_ceil(config.batch);
        let draw = |number: u64| -> Result<(Tensor<4>, Vec<usize>), VisionError> {
            let mut random = Random::new(numbered_seed(ctx.seed, "picture-classifier-step", number));
            let (mut chosen, mut classes) = (Vec::new(), Vec::new());
            for _ in 0..config.batch {
                let (class, members) = &members[random.below(members.len())];
                chosen.push(members[random.below(members.len())]);
                classes.push(*class);
            }
            let mut bytes = pictures.bytes(&chosen)?;
            if config.augment {
                let most = (px / 16) as isize;
                let mut out = Vec::with_capacity(bytes.len());
                for picture in bytes.chunks_exact(CHANNELS * px * px) {
                    let mut by = || random.below(2 * most as usize + 1) as isize - most;
                    let (down, right) = (by(), by());
                    moved(picture, px, down, right, random.chance(0.5), &mut out);
                }
                bytes = out;
            }
            Ok((
                backend::tensor(channels_last(&bytes, px), [config.batch, px, px, CHANNELS], device),
                classes,
            ))
        };
        for epoch in done + 1..=config.epochs {
            let mut sum = 0.0;
            let progress = (epoch - 1) as f64 / config.epochs as f64;
            adam.learning_rate = config.learning_rate * (1.0 - 0.9 * progress);
            for at in 0..steps {
                let (pictures, classes) = draw(((epoch - 1) * steps + at) as u64)?;
                let weights = model.weights.tracked();
                let mut moments = BatchMoments::new();
                let mut mode = Mode::Training(&mut moments);
                let features = model.network.features(&weights, pictures.autodiff(), &mut mode);
                let sums = model.network.last.forward(&weights.parameters, features);
                let loss = cross_entropy(sums, &classes, device);
                let value = f64::from(backend::values(loss.clone().inner())[0]);
                if !value.is_finite() {
                    return Err(VisionError::Diverged { model: MODEL, epoch });
                }
                sum += value;
                let mut gradients = loss.backward();
                let gradients = weights.parameters.gradients(&mut gradients);
                drop(weights);
                adam.step(&mut model.weights.parameters, gradients);
            }
            let report = Epoch {
                number: epoch,
                of: config.epochs,
                train_loss: Some(sum / steps as f64),
                ..Epoch::default()
            };
            ctx.epoch_done(report, || {
                let (mut tensors, mut numbers) = (BTreeMap::new(), BTreeMap::new());
                model.weights.parameters.store("", &mut tensors);
                adam.store("adam/", &mut tensors, &mut numbers);
                TrainState { epochs: epoch, tensors, numbers }
            })?;
        }
        // Moments of the final weights, over fresh draws.
        let batches = (0..FINAL_BATCHES as u64)
            .map(|at| {
                let (pictures, _) = draw(u64::MAX - at)?;
                let mut moments = BatchMoments::new();
                model.network.features(&model.weights, pictures, &mut Mode::Training(&mut moments));
                Ok(moments)
            })
            .collect::<Result<Vec<_>, VisionError>>()?;
        update_moments(&mut model.weights.moments, &pooled(batches.into_iter()), 0.0);
        Ok(model)
    }

    /// Width and height of the pictures it takes.
    #[must_use]
    pub fn px(&self) -> usize {
        self.px
    }

    /// Names of the classes, by number.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Length of the features.
    #[must_use]
    pub fn width(&self) -> usize {
        self.config.units
    }

    /// Features `[n, units]` of pictures `[n, 3, px, px]` from −1 to 1, differentiable by these.
    #[must_use]
    pub fn features(&self, pictures: Tensor<4>) -> Tensor<2> {
        let weights = if pictures.is_autodiff() { self.weights.constant() } else { self.weights.clone() };
        self.network.features(&weights, pictures.permute([0, 2, 3, 1]), &mut Mode::Inference)
    }

    /// Logarithms of the classes' probabilities, `[n, classes]`, of pictures `[n, 3, px, px]` from −1 to 1, differentiable by these.
    #[must_use]
    pub fn log_probabilities(&self, pictures: Tensor<4>) -> Tensor<2> {
        let weights = if pictures.is_autodiff() { self.weights.constant() } else { self.weights.clone() };
        let hidden = self.features(pictures);
        log_softmax(self.network.last.forward(&weights.parameters, hidden), 1)
    }

    /// Features, and sums before the softmax, of pictures given as bytes `[n × 3 × px × px]`.
    fn look(&self, bytes: &[u8]) -> (Vec<f32>, Vec<f32>) {
        let size = CHANNELS * self.px * self.px;
        let (mut features, mut sums) = (Vec::new(), Vec::new());
        for bytes in bytes.chunks(AT_ONCE * size) {
            let n = bytes.len() / size;
            let values = channels_last(&bytes[..n * size], self.px);
            let pictures = backend::tensor(values, [n, self.px, self.px, CHANNELS], &self.device);
            let hidden = self.network.features(&self.weights, pictures, &mut Mode::Inference);
            sums.extend(backend::values(self.network.last.forward(&self.weights.parameters, hidden.clone())));
            features.extend(backend::values(hidden));
        }
        (features, sums)
    }

    /// Features of pictures given as bytes `[n × 3 × px × px]`, one row after the other.
    #[must_use]
    pub fn features_of(&self, bytes: &[u8]) -> Vec<f32> {
        self.look(bytes).0
    }

    /// Features of all pictures of a set, one row after the other.
    ///
    /// # Errors
    /// As [`ImageSet::bytes`].
    pub fn features_in(&self, pictures: &ImageSet) -> Result<Vec<f32>, VisionError> {
        let all: Vec<u32> = (0..pictures.len() as u32).collect();
        let mut out = Vec::with_capacity(all.len() * self.width());
        for some in all.chunks(AT_ONCE) {
            out.extend(self.features_of(&pictures.bytes(some)?));
        }
        Ok(out)
    }

    /// The likeliest class of each picture, given as bytes.
    #[must_use]
    pub fn classify(&self, bytes: &[u8]) -> Vec<usize> {
        let best = |sums: &[f32]| {
            (0..sums.len()).max_by(|&x, &y| sums[x].total_cmp(&sums[y]).then(y.cmp(&x))).unwrap_or(0)
        };
        self.look(bytes).1.chunks_exact(self.classes.len()).map(best).collect()
    }

    /// How often it is right on pictures that have a label.
    ///
    /// # Errors
    /// As [`ImageSet::bytes`].
    pub fn accuracy(&self, pictures: &ImageSet, labels: &Labels) -> Result<Accuracy, VisionError> {
        let chosen: Vec<u32> =
            (0..pictures.len() as u32).filter(|&at| labels.of()[at as usize].is_some()).collect();
        let truth: Vec<usize> = labels.of().iter().flatten().map(|&class| class as usize).collect();
        let mut predicted = Vec::with_capacity(chosen.len());
        for chosen in chosen.chunks(AT_ONCE) {
            predicted.extend(self.classify(&pictures.bytes(chosen)?));
        }
        Ok(Accuracy::of(&predicted, &truth, labels.classes().len()))
    }

    /// Writes it as a folder.
    ///
    /// # Errors
    /// As [`saved::write`].
    pub fn save(&self, folder: &Path) -> Result<(), VisionError> {
        let mut tensors = saved::Tensors::new();
        self.weights.parameters.store("", &mut tensors);
        self.weights.moments.store("", &mut tensors);
        let description =
            Description { config: self.config.clone(), px: self.px, classes: self.classes.clone() };
        saved::write(folder, MODEL, &serde_json::json!(description), &tensors)
    }

    /// Loads one from its folder.
    ///
    /// # Errors
    /// [`VisionError::Load`] that names what is wrong.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, VisionError> {
        let (description, mut tensors) = saved::read(folder, MODEL)?;
        let Description { config, px, classes } = serde_json::from_value(description)
            .map_err(|error| LoadError::Meta { key: format!("config ({error})") })?;
        check_px(px)?;
        let (network, mut weights) = Network::new(&config, px, classes.len(), 0, device);
        weights.parameters.restore("", &mut tensors, device)?;
        weights.moments.restore("", &mut tensors, device)?;
        Ok(Self { config, px, classes, network, weights, device: device.clone() })
    }
}

fn check_px(px: usize) -> Result<(), VisionError> {
    if px.is_power_of_two() && px >= 2 * SMALLEST {
        return Ok(());
    }
    Err(VisionError::shape("pixels of the pictures' sides", "a power of two from 8", px))
}

/// Mean of `−ln` of the softmax at the true class.
fn cross_entropy(sums: Tensor<2>, classes: &[usize], device: &Device) -> Tensor<1> {
    let n = classes.len();
    let index: Vec<i64> = classes.iter().map(|&class| class as i64).collect();
    let index = Tensor::<2, Int>::from_data(TensorData::new(index, [n, 1]), &device.clone().autodiff());
    log_softmax(sums, 1).gather(1, index).mean().neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accuracy_as_by_hand() {
        let found = Accuracy::of(&[0, 0, 1, 1], &[0, 0, 0, 1], 3);
        assert!((found.overall - 0.75).abs() < 1e-12);
        assert!((found.mean_of_classes - (2.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
        assert_eq!(found.by_class[2], None);
    }

    #[test]
    fn pictures_move_and_mirror_with_their_edges_repeated() {
        let picture: Vec<u8> = [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]].concat();
        let mut out = Vec::new();
        moved(&picture, 2, 1, 0, false, &mut out);
        assert_eq!(out[..4], [1, 2, 1, 2]);
        out.clear();
        moved(&picture, 2, 0, 0, true, &mut out);
        assert_eq!(out[..4], [2, 1, 4, 3]);
    }

    #[test]
    fn it_learns_colours_and_comes_back_from_disk() {
        // Red or green, with noise.
        let mut random = Random::new(1);
        let n = 64;
        let mut bytes = Vec::new();
        for at in 0..n {
            for channel in 0..CHANNELS {
                let base = if channel == at % 2 { 180 } else { 60 };
                bytes.extend((0..256).map(|_| (base + random.below(60)) as u8));
            }
        }
        let names: Vec<String> = (0..n).map(|at| at.to_string()).collect();
        let of: Vec<Option<&str>> =
            (0..n).map(|at| Some(if at % 2 == 0 { "red" } else { "green" })).collect();
        let labels = Labels::from_names("colour", &of);
        let pictures = ImageSet::in_memory(16, names, bytes.clone()).unwrap();
        let config = ClassifierConfig { channels: 4, units: 8, batch: 16, epochs: 4, ..Default::default() };
        let device = Device::flex();
        let model = Classifier::fit(&config, &pictures, &labels, &FitContext::new(3), &device).unwrap();
        let found = model.accuracy(&pictures, &labels).unwrap();
        assert!(found.mean_of_classes > 0.95, "{found:?}");
        let place = tempfile::tempdir().unwrap();
        model.save(&place.path().join("net")).unwrap();
        let loaded = Classifier::load(&place.path().join("net"), &device).unwrap();
        assert_eq!(loaded.features_of(&bytes), model.features_of(&bytes));
        let one = Labels::from_names("colour", &vec![Some("red"); n]);
        assert!(Classifier::fit(&config, &pictures, &one, &FitContext::new(3), &device).is_err());
    }
}
