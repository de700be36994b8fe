//! `lsgan`: a generator of new items by category, trained against a discriminator with least squares.
//!
//! Minimised in turns, over real pictures x of class c and noise z (Mao and others, 2017; Kang and others, 2017, equations 5 and 6 of
//! the study):
//! `D: w (E (D(x, c) − 1)² + E D(G(z, c), c)²)`, `G: E (D(G(z, c), c) − 1)²`, with `w` = ½ in the authors' code and 1 in the paper.
//!
//! Layers, sizes and initial weights are those of the authors' released code; [`LsganConfig::preset`] has it, the study's run, and
//! smaller forms. What is ours and may be switched off: terms of both losses that keep classes apart (below), classes drawn equally often, the average over steps of the generator's weights,
//! ways of doubling that leave no checkerboard of their own, doublings grown on a smaller network, and smoothing of the finished
//! generator's pictures. Where we depart without a switch: the discriminator's running moments follow its own two batches of a step, not the generator's third; and the moments by which
//! the finished generator normalises are taken over 32 batches of its final weights, where the authors keep the last ten steps' or so.
//!
//! With `mismatch` m and `contrast` k, over classes c' other than c,
//! `D: w (E (D(x, c) − 1)² + (E D(G(z, c), c)² + ½ m (E D(x, c')² + E D(G(z, c), c')²)) / (1 + m))`,
//! `G: E (D(G(z, c), c) − 1)² + k E D(G(z, c), c')²`: pictures become more typical of their class than real ones are.
//!
//! A step of 64 pictures of 64 × 64 pixels multiplies 170 · 10⁹ times in the authors' form, 20 · 10⁹ at half width.

mod config;
mod network;
mod train;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use foldin_core::config::ModelConfig;
use foldin_core::random::Random;
use foldin_core::{ConfigError, FitContext, LoadError};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

pub use config::{LsganConfig, Noise, PRESETS, Preset, Smoothing, Upsampling};
use network::{Discriminator, Generator};
pub use train::Observer;

use crate::backend;
use crate::error::VisionError;
use crate::images::{ImageSet, Labels, set::CHANNELS, to_byte};
use crate::layers::blocks::{Mode, Weights};
use crate::saved;

/// Name of the model.
pub const MODEL: &str = "lsgan";

/// Pictures made at once.
const AT_ONCE: usize = 64;

/// A trained generator, with its discriminator.
///
/// # Examples
/// ```
/// use foldin_core::FitContext;
/// use foldin_vision::backend::device;
/// use foldin_vision::lsgan::{Lsgan, LsganConfig};
/// use foldin_vision::planted::{PlantedOptions, planted};
///
/// let options = PlantedOptions { users: 10, items: 48, purchases: 5, ..PlantedOptions::default() };
/// let set = planted(&options, 1)?;
/// // One epoch of a small network: enough to show how, not to see a shape.
/// let config = LsganConfig {
///     px: 16,
///     noise: 4,
///     generator_channels: 8,
///     discriminator_channels: 8,
///     batch: 16,
///     epochs: 1,
///     ..LsganConfig::default()
/// };
/// let shapes = set.data.labels("shape").expect("a planted label");
/// let context = FitContext::new(1);
/// let generator = Lsgan::fit(&config, &set.data.images, shapes, &context, &device("cpu")?, &mut ())?;
///
/// let discs = generator.generate(generator.class("disc")?, 5, 42)?;
/// assert_eq!(discs.len(), 5 * 3 * 16 * 16);
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lsgan {
    config: LsganConfig,
    classes: Vec<String>,
    generator: Generator,
    discriminator: Discriminator,
    generator_weights: Weights,
    discriminator_weights: Weights,
    device: Device,
}

/// What a saved model keeps beside its numbers.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    config: LsganConfig,
    classes: Vec<String>,
}

impl Lsgan {
    /// Trains on the pictures that have a label, with the labels' classes as categories.
    ///
    /// The same seed, pictures and settings give the same bits at any number of threads on a CPU, resumed or not.
    ///
    /// # Errors
    /// [`VisionError::Config`] for unusable settings, [`VisionError::Shape`] for pictures of another size,
    /// [`VisionError::Diverged`], [`VisionError::Fit`] where cancelled or with too few pictures, and what the observer says.
    pub fn fit(
        config: &LsganConfig,
        pictures: &ImageSet,
        labels: &Labels,
        ctx: &FitContext<'_>,
        device: &Device,
        observer: &mut dyn Observer,
    ) -> Result<Self, VisionError> {
        check(config)?;
        train::fit(config, None, pictures, labels, ctx, device, observer)
    }

    /// Trains on from these networks: on other pictures or with other settings of training, or, by doublings that are
    /// [`grown`](LsganConfig::grown) on them, at more pixels. The new layers add nothing to the enlarged picture at first.
    ///
    /// # Errors
    /// As [`fit`](Self::fit); [`VisionError::Config`] if the settings do not go with these networks, [`VisionError::Shape`] if categories differ.
    pub fn fit_on(
        &self,
        config: &LsganConfig,
        pictures: &ImageSet,
        labels: &Labels,
        ctx: &FitContext<'_>,
        device: &Device,
        observer: &mut dyn Observer,
    ) -> Result<Self, VisionError> {
        self.check_growth(config)?;
        if labels.classes() != self.classes {
            let (expected, got) = (self.classes.join(", "), labels.classes().join(", "));
            return Err(VisionError::shape("categories of the generator to begin with", expected, got));
        }
        train::fit(config, Some(self), pictures, labels, ctx, device, observer)
    }

    /// Whether training can go on from these networks with such settings.
    ///
    /// # Errors
    /// [`VisionError::Config`], which says what differs.
    pub fn check_growth(&self, config: &LsganConfig) -> Result<(), VisionError> {
        check(config)?;
        config.grows_from(&self.config).map_err(|problem| {
            let reason = format!("the generator to begin with does not go with these settings: {problem}");
            ConfigError::Conflict { model: MODEL.to_owned(), reason }.into()
        })
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &LsganConfig {
        &self.config
    }

    /// The same generator with something else taken out of its pictures: nothing has to be trained anew.
    #[must_use]
    pub fn with_smoothing(mut self, smoothing: Smoothing) -> Self {
        self.config.smoothing = smoothing;
        self.generator.smoothing = smoothing;
        self
    }

    /// Names of the categories, by number.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The number of a category.
    ///
    /// # Errors
    /// [`VisionError::Unknown`], which lists the categories.
    pub fn class(&self, name: &str) -> Result<usize, VisionError> {
        let found = self.classes.iter().position(|class| class.eq_ignore_ascii_case(name));
        found.ok_or_else(|| VisionError::Unknown {
            what: "category",
            name: name.to_owned(),
            known: self.classes.join(", "),
        })
    }

    /// Where it computes.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Number of trained numbers of generator and discriminator.
    #[must_use]
    pub fn parameters(&self) -> [usize; 2] {
        [self.generator_weights.parameters.count(), self.discriminator_weights.parameters.count()]
    }

    /// `n` draws of noise, one after the other.
    #[must_use]
    pub fn noise(&self, n: usize, random: &mut Random) -> Vec<f32> {
        (0..n).flat_map(|_| train::noise(&self.config, random)).collect()
    }

    fn one_hot(&self, class: usize, n: usize, device: &Device) -> Tensor<2> {
        let mut row = vec![0.0; self.classes.len()];
        if let Some(at) = row.get_mut(class) {
            *at = 1.0;
        }
        backend::tensor(row.repeat(n), [n, self.classes.len()], device)
    }

    /// Pictures `[n, 3, px, px]` from −1 to 1 of noise `[n, noise]` and a category. Gradients by the noise are those of the noise given.
    ///
    /// # Panics
    /// If the noise has another length than the settings say.
    #[must_use]
    pub fn pictures(&self, noise: Tensor<2>, class: usize) -> Tensor<4> {
        let n = noise.dims()[0];
        let classes = self.one_hot(class, n, &self.device);
        let (classes, weights) = if noise.is_autodiff() {
            (classes.autodiff(), self.generator_weights.constant())
        } else {
            (classes, self.generator_weights.clone())
        };
        let inputs = Tensor::cat(vec![noise, classes], 1);
        self.generator.forward(&weights, inputs, Mode::Inference).permute([0, 3, 1, 2])
    }

    /// D(x, c) of pictures `[n, 3, px, px]` taken as pictures of a category: 1 is real to it, 0 generated. Gradients by the pictures are
    /// those of the pictures given.
    #[must_use]
    pub fn realism(&self, pictures: Tensor<4>, class: usize) -> Tensor<1> {
        let n = pictures.dims()[0];
        let classes = self.one_hot(class, n, &self.device);
        let (classes, weights) = if pictures.is_autodiff() {
            (classes.autodiff(), self.discriminator_weights.constant())
        } else {
            (classes, self.discriminator_weights.clone())
        };
        self.discriminator.forward(&weights, pictures.permute([0, 2, 3, 1]), classes, Mode::Inference)
    }

    /// Makes `n` pictures of a category, as bytes `[n × 3 × px × px]`. The same seed makes the same pictures.
    ///
    /// # Errors
    /// [`VisionError::Unknown`] if there is no such category.
    pub fn generate(&self, class: usize, n: usize, seed: u64) -> Result<Vec<u8>, VisionError> {
        if class >= self.classes.len() {
            return Err(VisionError::Unknown {
                what: "category",
                name: class.to_string(),
                known: self.classes.join(", "),
            });
        }
        let mut random = Random::new(seed);
        let noise = self.noise(n, &mut random);
        let mut out = Vec::with_capacity(n * CHANNELS * self.config.px * self.config.px);
        for noise in noise.chunks(AT_ONCE * self.config.noise) {
            let rows = noise.len() / self.config.noise;
            let noise = backend::tensor(noise.to_vec(), [rows, self.config.noise], &self.device);
            out.extend(backend::values(self.pictures(noise, class)).into_iter().map(to_byte));
        }
        Ok(out)
    }

    /// Writes the model as a folder.
    ///
    /// # Errors
    /// As [`saved::write`].
    pub fn save(&self, folder: &Path) -> Result<(), VisionError> {
        let description = Description { config: self.config.clone(), classes: self.classes.clone() };
        saved::write(folder, MODEL, &serde_json::json!(description), &self.tensors())
    }

    /// All numbers by name.
    fn tensors(&self) -> saved::Tensors {
        let mut tensors = saved::Tensors::new();
        for (prefix, weights) in
            [("generator/", &self.generator_weights), ("discriminator/", &self.discriminator_weights)]
        {
            weights.parameters.store(prefix, &mut tensors);
            weights.moments.store(prefix, &mut tensors);
        }
        tensors
    }

    /// What these networks are, in few letters: others have another.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Xxh3::new();
        for (name, tensor) in self.tensors() {
            hash.update(name.as_bytes());
            tensor.data.iter().for_each(|x| hash.update(&x.to_le_bytes()));
        }
        format!("{:032x}", hash.digest128())
    }

    /// Loads a model from its folder, or from the one that `train-lsgan` wrote it to: see [`folder_of`].
    ///
    /// # Errors
    /// [`VisionError::Load`] that names what is wrong.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, VisionError> {
        let folder = &folder_of(folder);
        if !folder.join("manifest.json").exists() && folder.join(format!("{MODEL}.checkpoint")).is_dir() {
            return Err(VisionError::Format {
                path: folder.clone(),
                problem: "the training of this generator was interrupted; the command that began it goes on"
                    .to_owned(),
            });
        }
        let (description, mut tensors) = saved::read(folder, MODEL)?;
        let Description { config, classes } = serde_json::from_value(description)
            .map_err(|error| LoadError::Meta { key: format!("config ({error})") })?;
        check(&config)?;
        if classes.is_empty() {
            return Err(LoadError::Meta { key: "classes".to_owned() }.into());
        }
        let (generator, mut generator_weights) = Generator::new(&config, classes.len(), 0, device);
        let (discriminator, mut discriminator_weights) =
            Discriminator::new(&config, classes.len(), 0, device);
        for (prefix, weights) in
            [("generator/", &mut generator_weights), ("discriminator/", &mut discriminator_weights)]
        {
            weights.parameters.restore(prefix, &mut tensors, device)?;
            weights.moments.restore(prefix, &mut tensors, device)?;
        }
        let device = device.clone();
        Ok(Self {
            config,
            classes,
            generator,
            discriminator,
            generator_weights,
            discriminator_weights,
            device,
        })
    }
}

/// The folder of the generator itself, where the one given may be that of a training, with the generator in its folder `lsgan` and the
/// classifier beside that.
#[must_use]
pub fn folder_of(given: &Path) -> PathBuf {
    let within = given.join(MODEL);
    if saved::is_readable(&within) { within } else { given.to_owned() }
}

fn check(config: &LsganConfig) -> Result<(), VisionError> {
    foldin_core::config::overlay(MODEL, config, &foldin_core::config::to_map(config))?;
    debug_assert!(config.check().is_ok(), "checked with the ranges");
    Ok(())
}
