//! `dvbpr`: what somebody likes, and what a network sees in pictures, learned together.
//!
//! Estimates `x_ui = θ_u·Φ(X_i)`, with Φ a convolutional network over the item's picture; no bias and nothing of the item but what is seen.
//! Kang, Fang, Wang, McAuley, "Visually-aware fashion recommendation and design with generative image models", ICDM 2017; the objective is
//! that of the authors' code, minimised for each batch of draws (u, i, j) with i bought by u and j not:
//!
//! ```text
//! Σ_batch [ −ln σ(θ_u·(Φ(X_i) − Φ(X_j))) + λ₂/2 ‖θ_u‖² ]  +  λ₁/2 Σ_layers ‖W‖²
//! ```
//!
//! a sum, not a mean: λ₁ is meant beside it. u is uniform over users, i over u's positives, j over all that u did not buy. Both passes of the
//! siamese network draw their own dropout.
//!
//! # Several pictures
//! An item with m pictures makes m positives of a purchase, as in the study. At the end Φ of an item is the mean over its pictures: the
//! study, whose items are pictures, has no such mean.
//!
//! # Where we depart
//! [`DvbprConfig::published`] is the released code but for the order of random numbers. [`DvbprConfig::small`] is a smaller network at 32 pixels,
//! normalised by batch, whose negatives are the other items of the batch; pictures are mirrored and moved on request. Training stops early,
//! and the epoch with the best validation AUC is kept; the authors train a fixed number.
//!
//! # Cost
//! An epoch runs the network forward and backward once (in-batch negatives) or twice for each positive: 0.8 GMAC forward a picture for
//! CNN-F at 224, 0.01 for the small one at 32. Memory: the activations of a batch, and the weights four times (Adam, best epoch). Scoring
//! is a product of matrices once Φ of all items is known.
//!
//! The same seed gives the same bits at any number of threads; a checkpoint after each epoch resumes to them.

pub mod config;
pub mod network;
pub mod pretrain;
mod train;

use std::path::Path;

use burn::tensor::{Device, Tensor};
use foldin_core::FitContext;
use serde::{Deserialize, Serialize};

pub use config::{DvbprConfig, Negatives, ThetaStart};
pub use network::{Form, Mode, Network, Weights};
pub use pretrain::{PretrainConfig, Pretrained, pretrain};

use crate::backend;
use crate::data::{LeaveOneOut, VisualDataset};
use crate::error::VisionError;
use crate::images::{ImageSet, to_unit};
use crate::recommend::linear::LinearModel;
use crate::saved;
use crate::settings::checked;
use crate::watch::Watched;

/// What it is called.
pub const NAME: &str = "dvbpr";

/// Pictures that go through a network at once when nothing is trained.
const AT_ONCE: usize = 256;

/// A fitted network, which sees in any picture what users of the training part would like.
#[derive(Clone, Debug)]
pub struct Dvbpr {
    /// Settings it was fitted with.
    pub config: DvbprConfig,
    /// Layers.
    pub network: Network,
    /// Their numbers.
    pub weights: Weights,
    /// Where it runs.
    pub device: Device,
}

/// What a fit gives.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// The network.
    pub dvbpr: Dvbpr,
    /// θ of the training users, and Φ of all items.
    pub model: LinearModel,
    /// How the epochs went.
    pub epochs: Vec<Watched>,
    /// Which was kept, from 1.
    pub best_epoch: usize,
}

/// Fits `dvbpr`; from `start`, if a network was pretrained.
///
/// # Errors
/// [`VisionError::Config`], [`VisionError::Shape`] if pictures or a pretrained network are of another size, [`VisionError::Diverged`],
/// and a cancelled fit.
///
/// # Examples
/// ```
/// use foldin_core::FitContext;
/// use foldin_vision::backend::device;
/// use foldin_vision::data::LeaveOneOut;
/// use foldin_vision::planted::{PlantedOptions, planted};
/// use foldin_vision::recommend::dvbpr::{self, DvbprConfig};
///
/// let set = planted(&PlantedOptions { users: 30, items: 120, purchases: 6, ..PlantedOptions::default() }, 1)?;
/// let split = LeaveOneOut::new(&set.data, 1)?;
/// let config = DvbprConfig { px: 16, factors: 8, epochs: 1, batch: 32, ..DvbprConfig::small() };
/// let context = FitContext::new(1);
/// let fitted = dvbpr::fit(&config, &set.data, &split, None, &device("cpu")?, &context)?;
///
/// // Somebody new, by what they bought; every item has a score, bought before or not.
/// let theta = fitted.model.fold_in(&[3, 9, 15], 1.0)?;
/// let mut scores = vec![0.0; 120];
/// fitted.model.scores_of(&theta, &mut scores)?;
/// assert!(scores.iter().all(|score| score.is_finite()));
/// # Ok::<(), foldin_vision::VisionError>(())
/// ```
pub fn fit(
    config: &DvbprConfig,
    data: &VisualDataset,
    split: &LeaveOneOut,
    start: Option<&Pretrained>,
    device: &Device,
    ctx: &FitContext<'_>,
) -> Result<Fitted, VisionError> {
    train::fit(config, data, split, start, device, ctx)
}

/// Bytes of pictures, channel after channel, as numbers from −1 to 1 with the channels of each pixel together.
pub(crate) fn channels_last(bytes: &[u8], px: usize) -> Vec<f32> {
    let plane = px * px;
    let mut out = vec![0.0; bytes.len()];
    for (from, to) in bytes.chunks_exact(3 * plane).zip(out.chunks_exact_mut(3 * plane)) {
        for (at, pixel) in to.chunks_exact_mut(3).enumerate() {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = to_unit(from[channel * plane + at]);
            }
        }
    }
    out
}

/// Some pictures of a set as a network takes them, `[n × px × px × 3]`.
pub(crate) fn batch_of(
    images: &ImageSet,
    pictures: &[u32],
    device: &Device,
) -> Result<Tensor<4>, VisionError> {
    let px = images.px();
    let values = channels_last(&images.bytes(pictures)?, px);
    Ok(backend::tensor(values, [pictures.len(), px, px, 3], device))
}

/// Applies a network to all pictures, some at a time; `length` numbers each.
pub(crate) fn of_all(
    images: &ImageSet,
    length: usize,
    device: &Device,
    apply: impl Fn(Tensor<4>) -> Tensor<2>,
) -> Result<Vec<f32>, VisionError> {
    let all: Vec<u32> = (0..images.len() as u32).collect();
    let mut out = Vec::with_capacity(all.len() * length);
    for pictures in all.chunks(AT_ONCE) {
        out.extend(backend::values(apply(batch_of(images, pictures, device)?)));
    }
    Ok(out)
}

/// The mean over an item's pictures, `[n_items × length]`; zeros for an item without any.
///
/// # Panics
/// If a picture is out of range.
#[must_use]
pub fn mean_over_pictures(of_pictures: &[f32], length: usize, pictures: &[Vec<u32>]) -> Vec<f32> {
    let mut out = vec![0.0; pictures.len() * length];
    for (item, out) in pictures.iter().zip(out.chunks_exact_mut(length.max(1))) {
        let share = 1.0 / item.len().max(1) as f32;
        for &picture in item {
            let own = &of_pictures[picture as usize * length..][..length];
            out.iter_mut().zip(own).for_each(|(sum, x)| *sum += share * x);
        }
    }
    out
}

#[derive(Serialize, Deserialize)]
struct Description {
    config: DvbprConfig,
    px: usize,
}

impl Dvbpr {
    /// Φ of pictures `[batch × px × px × 3]` from −1 to 1, with gradients if they have: `[batch × K]`.
    #[must_use]
    pub fn phi(&self, pictures: Tensor<4>) -> Tensor<2> {
        let weights = if pictures.is_autodiff() { self.weights.constant() } else { self.weights.clone() };
        self.network.phi(&weights, pictures, &mut Mode::Inference)
    }

    /// Φ of all pictures of a set, `[n × K]`.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if the pictures are of another size; those of reading them.
    pub fn phi_of(&self, images: &ImageSet) -> Result<Vec<f32>, VisionError> {
        if images.px() != self.network.px() {
            return Err(VisionError::shape("pixels of pictures", self.network.px(), images.px()));
        }
        of_all(images, self.network.k(), &self.device, |pictures| self.phi(pictures))
    }

    /// Writes the network's folder.
    ///
    /// # Errors
    /// As [`saved::write`].
    pub fn save(&self, folder: &Path) -> Result<(), VisionError> {
        let mut tensors = saved::Tensors::new();
        self.weights.parameters.store("", &mut tensors);
        self.weights.moments.store("", &mut tensors);
        let description = Description { config: self.config.clone(), px: self.network.px() };
        let description = serde_json::to_value(description)
            .map_err(|error| VisionError::Format { path: folder.to_owned(), problem: error.to_string() })?;
        saved::write(folder, NAME, &description, &tensors)
    }

    /// Reads what [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// [`VisionError::Load`], which names what is missing or does not fit.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, VisionError> {
        let (description, mut tensors) = saved::read(folder, NAME)?;
        let bad = |problem: String| VisionError::Format { path: folder.to_owned(), problem };
        let Description { config, px } =
            serde_json::from_value(description).map_err(|error| bad(error.to_string()))?;
        let config = checked(NAME, &config)?;
        if px != config.px {
            return Err(bad(format!("its settings say {} pixels, the network {px}", config.px)));
        }
        let (network, mut weights) = Network::new(config.form, px, config.factors, 0, device);
        weights.parameters.restore("", &mut tensors, device)?;
        weights.moments.restore("", &mut tensors, device)?;
        Ok(Self { config, network, weights, device: device.clone() })
    }
}
