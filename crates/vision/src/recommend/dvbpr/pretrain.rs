//! Learning to see before learning what is liked: a network that tells what kind an item is of.
//!
//! Minimises the sum of cross-entropies of several labels (article type, colour, …), one linear head for each on the layer before the last;
//! a picture without a label says nothing of it. AdamW with a step that rises and falls once. No purchase is looked at, so a
//! network that was pretrained on the very catalogue it is to rank knows nothing of who bought what; it has seen labels of held-out items.
//!
//! `dvbpr` starts from all layers but its last ([`super::Network::adopt`]), and the layer before the last is a feature of items for
//! `vbpr` ([`Pretrained::describe`]).

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{Epoch, FitContext, ModelConfig, TrainState};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::network::{Form, Mode, Network, Weights};
use super::train::views;
use crate::backend;
use crate::error::VisionError;
use crate::images::{ImageSet, Labels};
use crate::parameters::{Adam, Parameters};
use crate::saved;
use crate::settings::checked;

const NAME: &str = "pretraining";
/// Names of the two optimisers' state in a checkpoint.
const ADAMS: [&str; 2] = ["network-adam/", "heads-adam/"];

/// Settings of pretraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PretrainConfig {
    /// Which network.
    pub form: Form,
    /// Passes over the labelled pictures.
    #[schemars(range(min = 1, max = 10000))]
    pub epochs: usize,
    /// Pictures of a step.
    #[schemars(range(min = 2, max = 4096))]
    pub batch: usize,
    /// The largest step of Adam.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub learning_rate: f64,
    /// Shrinkage of kernels in a step, as a share of the step.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub weight_decay: f64,
    /// Whether pictures are mirrored and moved at random.
    pub augment: bool,
    /// Classes with fewer pictures are no classes.
    #[schemars(range(min = 1))]
    pub least: usize,
}

impl Default for PretrainConfig {
    fn default() -> Self {
        Self {
            form: Form::Small,
            epochs: 16,
            batch: 64,
            learning_rate: 3e-3,
            weight_decay: 1e-2,
            augment: true,
            least: 10,
        }
    }
}

impl ModelConfig for PretrainConfig {}

/// A pretrained network.
#[derive(Clone, Debug)]
pub struct Pretrained {
    /// Layers; the last is of no use.
    pub network: Network,
    /// Their numbers.
    pub weights: Weights,
    /// Accuracy of each label on the held-out pictures, with the share of the most frequent class beside it.
    pub accuracy: Vec<(String, f64, f64)>,
}

/// Pretrains on the pictures that have any of these labels; one in seven is held out to measure accuracy.
///
/// # Errors
/// [`VisionError::Config`], [`VisionError::TooFewLabels`], [`VisionError::Diverged`], and a cancelled fit.
pub fn pretrain(
    config: &PretrainConfig,
    images: &ImageSet,
    labels: &[Labels],
    device: &Device,
    ctx: &FitContext<'_>,
) -> Result<Pretrained, VisionError> {
    let config = &checked(NAME, config)?;
    let labels: Vec<Labels> = labels.iter().map(|labels| labels.frequent(config.least)).collect();
    let labels: Vec<&Labels> = labels.iter().filter(|labels| labels.classes().len() > 1).collect();
    let mut pictures: Vec<u32> = (0..images.len() as u32)
        .filter(|&picture| labels.iter().any(|labels| labels.of()[picture as usize].is_some()))
        .collect();
    let (data, labelled, least) = (NAME.to_owned(), pictures.len(), config.batch.max(14));
    if labelled < least {
        return Err(VisionError::TooFewLabels { data, labelled, least });
    }
    Random::new(child_seed(ctx.seed, "pretraining part")).shuffle(&mut pictures);
    let (held_out, train) = pictures.split_at(pictures.len() / 7);
    let (network, mut weights) = Network::new(config.form, images.px(), 1, ctx.seed, device);
    let units = network.units();
    let mut heads = Parameters::default();
    let mut random = Random::new(child_seed(ctx.seed, "pretraining heads"));
    for labels in &labels {
        let classes = labels.classes().len();
        let deviation = 1.0 / (units as f64).sqrt();
        let values = (0..units * classes).map(|_| (deviation * random.normal()) as f32).collect();
        heads.add(labels.name(), &[units, classes], values, true, device);
    }
    let mut adams = [
        Adam::new(&weights.parameters, config.learning_rate, 0.9, 0.999, 0.0),
        Adam::new(&heads, config.learning_rate, 0.9, 0.999, 0.0),
    ];
    let batches = (train.len() / config.batch).max(1);
    let steps = (batches * config.epochs) as f64;
    let mut order = train.to_vec();
    let mut done = 0;
    if let Some(mut state) = ctx.resume()? {
        weights.parameters.restore("", &mut state.tensors, device)?;
        weights.moments.restore("", &mut state.tensors, device)?;
        heads.restore("heads/", &mut state.tensors, device)?;
        for (name, adam) in ADAMS.iter().zip(&mut adams) {
            adam.restore(name, &mut state.tensors, &state.numbers, device)?;
        }
        done = state.epochs;
    }
    for epoch in 0..config.epochs {
        // Every epoch shuffles what the one before left.
        Random::new(numbered_seed(ctx.seed, "pretraining order", epoch as u64)).shuffle(&mut order);
        if epoch < done {
            continue;
        }
        let mut noise = Random::new(numbered_seed(ctx.seed, "pretraining dropout", epoch as u64));
        let mut loss = 0.0;
        for (batch, pictures) in order.chunks(config.batch).take(batches).enumerate() {
            let number = epoch * batches + batch;
            let rate = config.learning_rate * one_cycle((number as f64 + 0.5) / steps);
            adams.iter_mut().for_each(|adam| adam.learning_rate = rate);
            let seed = numbered_seed(ctx.seed, "pretraining views", number as u64);
            let x = views(images, pictures, config.augment.then_some(seed), device)?;
            let tracked = weights.tracked();
            let heads_tracked = heads.tracked();
            let mut mode = Mode::Training { random: &mut noise, moments: &mut weights.moments };
            let described = network.describe(&tracked, x.autodiff(), &mut mode);
            let mut total: Option<Tensor<1>> = None;
            for (at, labels) in labels.iter().enumerate() {
                let logits = described.clone().matmul(heads_tracked.get::<2>(at));
                if let Some(loss) = cross_entropy(logits, labels, pictures, device) {
                    total = Some(total.map_or(loss.clone(), |total| total + loss));
                }
            }
            let Some(total) = total else { continue };
            let mut gradients = total.backward();
            let by_network = tracked.parameters.gradients(&mut gradients);
            let by_heads = heads_tracked.gradients(&mut gradients);
            drop((tracked, heads_tracked, gradients));
            // AdamW: kernels shrink by themselves, not through the moments.
            weights.parameters.shrink(1.0 - rate * config.weight_decay);
            adams[0].step(&mut weights.parameters, by_network);
            adams[1].step(&mut heads, by_heads);
            loss += f64::from(backend::values(total.inner())[0]);
        }
        let loss = loss / batches as f64;
        if !loss.is_finite() {
            return Err(VisionError::Diverged { model: NAME, epoch: epoch + 1 });
        }
        let report =
            Epoch { number: epoch + 1, of: config.epochs, train_loss: Some(loss), ..Epoch::default() };
        ctx.epoch_done(report, || {
            let (mut tensors, mut numbers) = (BTreeMap::new(), BTreeMap::new());
            weights.parameters.store("", &mut tensors);
            weights.moments.store("", &mut tensors);
            heads.store("heads/", &mut tensors);
            for (name, adam) in ADAMS.iter().zip(&adams) {
                adam.store(name, &mut tensors, &mut numbers);
            }
            TrainState { epochs: epoch + 1, tensors, numbers }
        })?;
    }
    let accuracy = accuracy(&network, &weights, &heads, images, &labels, held_out, device)?;
    Ok(Pretrained { network, weights, accuracy })
}

/// Rises to 1 over the first three tenths, then falls to 0, both as cosines.
fn one_cycle(share: f64) -> f64 {
    let cosine = |x: f64| 0.5 - 0.5 * (std::f64::consts::PI * x).cos();
    if share < 0.3 { 0.04 + 0.96 * cosine(share / 0.3) } else { cosine((1.0 - share) / 0.7) }
}

/// Mean of −ln p of the class over the pictures that have one.
fn cross_entropy(logits: Tensor<2>, labels: &Labels, pictures: &[u32], device: &Device) -> Option<Tensor<1>> {
    let of: Vec<Option<u32>> = pictures.iter().map(|&picture| labels.of()[picture as usize]).collect();
    let known = of.iter().flatten().count();
    if known == 0 {
        return None;
    }
    let classes = labels.classes().len();
    let mut target = vec![0.0; of.len() * classes];
    for (row, class) in target.chunks_exact_mut(classes).zip(&of) {
        if let Some(class) = class {
            row[*class as usize] = 1.0 / known as f32;
        }
    }
    let target = backend::tensor(target, [of.len(), classes], device).autodiff();
    Some(-(activation::log_softmax(logits, 1) * target).sum())
}

fn accuracy(
    network: &Network,
    weights: &Weights,
    heads: &Parameters,
    images: &ImageSet,
    labels: &[&Labels],
    held_out: &[u32],
    device: &Device,
) -> Result<Vec<(String, f64, f64)>, VisionError> {
    let mut right = vec![0usize; labels.len()];
    for pictures in held_out.chunks(super::AT_ONCE) {
        let x = views(images, pictures, None, device)?;
        let described = network.describe(weights, x, &mut Mode::Inference);
        for (at, labels) in labels.iter().enumerate() {
            let best: Tensor<2, Int> = described.clone().matmul(heads.get::<2>(at)).argmax(1);
            let best: TensorData = best.into_data();
            for (class, &picture) in best.iter::<i64>().zip(pictures) {
                right[at] += usize::from(labels.of()[picture as usize].map(i64::from) == Some(class));
            }
        }
    }
    let of = |(labels, right): (&&Labels, usize)| {
        let known: Vec<u32> = held_out.iter().filter_map(|&picture| labels.of()[picture as usize]).collect();
        let mut counts = vec![0usize; labels.classes().len()];
        known.iter().for_each(|&class| counts[class as usize] += 1);
        let n = known.len().max(1) as f64;
        let most = counts.iter().max().copied().unwrap_or(0);
        (labels.name().to_owned(), right as f64 / n, most as f64 / n)
    };
    Ok(labels.iter().zip(right).map(of).collect())
}

#[derive(Serialize, Deserialize)]
struct Description {
    form: Form,
    px: usize,
    accuracy: Vec<(String, f64, f64)>,
}

impl Pretrained {
    /// Writes the network's folder.
    ///
    /// # Errors
    /// As [`saved::write`].
    pub fn save(&self, folder: &Path) -> Result<(), VisionError> {
        let mut tensors = saved::Tensors::new();
        self.weights.parameters.store("", &mut tensors);
        self.weights.moments.store("", &mut tensors);
        let accuracy = self.accuracy.clone();
        let description = Description { form: self.network.form(), px: self.network.px(), accuracy };
        saved::write(folder, NAME, &serde_json::json!(description), &tensors)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`VisionError::Load`] or [`VisionError::Format`], which name what is missing or does not fit.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, VisionError> {
        let (description, mut tensors) = saved::read(folder, NAME)?;
        let bad = |problem: String| VisionError::Format { path: folder.to_owned(), problem };
        let Description { form, px, accuracy } =
            serde_json::from_value(description).map_err(|error| bad(error.to_string()))?;
        if !(16..=512).contains(&px) {
            return Err(bad(format!("{px} pixels are not the size of such a network")));
        }
        let (network, mut weights) = Network::new(form, px, 1, 0, device);
        weights.parameters.restore("", &mut tensors, device)?;
        weights.moments.restore("", &mut tensors, device)?;
        Ok(Self { network, weights, accuracy })
    }

    /// What the layer before the last makes of all pictures, `[n × units]`.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if pictures are of another size.
    pub fn describe(&self, images: &ImageSet, device: &Device) -> Result<Vec<f32>, VisionError> {
        if images.px() != self.network.px() {
            return Err(VisionError::shape("pixels of pictures", self.network.px(), images.px()));
        }
        super::of_all(images, self.network.units(), device, |pictures| {
            self.network.describe(&self.weights, pictures, &mut Mode::Inference)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use foldin_core::CheckpointStore;

    use super::*;
    use crate::checkpoints::Checkpoints;

    #[test]
    fn a_cycle_rises_and_falls() {
        assert!(one_cycle(0.0) < 0.05 && one_cycle(1.0) < 1e-9);
        assert!((one_cycle(0.3) - 1.0).abs() < 1e-9);
    }

    /// Dark pictures against bright ones: nothing is easier to see.
    #[test]
    fn what_is_plain_to_see_is_learned() {
        let (px, n) = (16, 140);
        let mut random = Random::new(1);
        let mut pixels = Vec::new();
        let mut kinds = Vec::new();
        for picture in 0..n {
            let bright = picture % 2 == 1;
            let base = if bright { 170.0 } else { 80.0 };
            pixels.extend((0..3 * px * px).map(|_| (base + 20.0 * random.normal()) as u8));
            kinds.push(Some(if bright { "bright" } else { "dark" }));
        }
        let names = (0..n).map(|at| at.to_string()).collect();
        let images = ImageSet::in_memory(px, names, pixels).unwrap();
        let labels = Labels::from_names("light", &kinds);
        let config = PretrainConfig { epochs: 4, batch: 20, ..PretrainConfig::default() };
        let device = Device::flex();
        let fit = || {
            pretrain(&config, &images, std::slice::from_ref(&labels), &device, &FitContext::new(1)).unwrap()
        };
        let found = fit();
        assert_eq!(found.accuracy.len(), 1);
        assert!(found.accuracy[0].1 > 0.9, "{:?}", found.accuracy);
        let seen = found.describe(&images, &device).unwrap();
        assert_eq!(seen, fit().describe(&images, &device).unwrap());
        // Saved and read, and interrupted half way, it is the same.
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pretrained");
        found.save(&path).unwrap();
        let loaded = Pretrained::load(&path, &device).unwrap();
        assert_eq!(loaded.describe(&images, &device).unwrap(), seen);
        assert_eq!(loaded.accuracy, found.accuracy);
        let kept = Checkpoints::new(place.path().join("half"), serde_json::json!(1), Duration::ZERO);
        let ctx = FitContext { checkpoints: Some(&kept), ..FitContext::new(1) };
        ctx.cancel.cancel();
        pretrain(&config, &images, std::slice::from_ref(&labels), &device, &ctx).unwrap_err();
        assert_eq!(kept.load().unwrap().unwrap().epochs, 1);
        let ctx = FitContext { checkpoints: Some(&kept), ..FitContext::new(1) };
        let resumed = pretrain(&config, &images, std::slice::from_ref(&labels), &device, &ctx).unwrap();
        assert_eq!(resumed.describe(&images, &device).unwrap(), seen);
    }
}
