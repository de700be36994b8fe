//! The person's best real items: what a design has to beat.

use serde::{Deserialize, Serialize};

use super::preference::{Features, Taste, resized};
use crate::backend;
use crate::error::VisionError;
use crate::images::{ImageSet, Labels};
use burn::tensor::Device;

/// Pictures looked at together.
const AT_ONCE: usize = 128;

/// Real items by category, at the generator's size.
#[derive(Clone, Debug)]
pub struct Catalogue {
    pictures: ImageSet,
    labels: Labels,
    device: Device,
}

/// A real item, and how much the person likes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retrieved {
    /// Its name.
    pub item: String,
    /// θᵀΦ.
    pub preference: f64,
    /// Its number in the catalogue.
    #[serde(skip)]
    pub picture: u32,
}

/// Share of scored items that score less.
#[must_use]
pub(super) fn share_below(scores: &[(u32, f64)], score: f64) -> f64 {
    scores.iter().filter(|(_, other)| *other < score).count() as f64 / scores.len().max(1) as f64
}

impl Catalogue {
    /// Of pictures and their categories.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if there is not one label a picture.
    pub fn new(pictures: ImageSet, labels: Labels, device: &Device) -> Result<Self, VisionError> {
        if labels.of().len() != pictures.len() {
            return Err(VisionError::shape("labels of the catalogue", pictures.len(), labels.of().len()));
        }
        Ok(Self { pictures, labels, device: device.clone() })
    }

    /// Its pictures.
    #[must_use]
    pub fn pictures(&self) -> &ImageSet {
        &self.pictures
    }

    /// Names of its categories.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        self.labels.classes()
    }

    /// Its items of a category.
    ///
    /// # Errors
    /// [`VisionError::Unknown`] if it has no such category; [`VisionError::NothingLeft`] if it has no item of it.
    pub fn members(&self, category: &str) -> Result<Vec<u32>, VisionError> {
        let members = self.labels.members(self.labels.class(category)?);
        if members.is_empty() {
            return Err(VisionError::NothingLeft {
                path: "the catalogue".to_owned(),
                problem: format!("no item of the category `{category}`"),
            });
        }
        Ok(members)
    }

    /// θᵀΦ of all items of a category.
    ///
    /// # Errors
    /// As [`members`](Self::members) and [`ImageSet::read`].
    pub fn scores(
        &self,
        features: &dyn Features,
        taste: &Taste,
        category: &str,
    ) -> Result<Vec<(u32, f64)>, VisionError> {
        let members = self.members(category)?;
        let mut out = Vec::with_capacity(members.len());
        for chosen in members.chunks(AT_ONCE) {
            let pictures = resized(self.pictures.batch(chosen, &self.device)?, features.px());
            let scores = backend::values(taste.preference(features.features(pictures)));
            out.extend(chosen.iter().copied().zip(scores.into_iter().map(f64::from)));
        }
        Ok(out)
    }

    /// The best `n` of scored items, best first; ties to the lower number.
    #[must_use]
    pub fn best(&self, scores: &[(u32, f64)], n: usize) -> Vec<Retrieved> {
        let mut order = scores.to_vec();
        order.sort_by(|x, y| y.1.total_cmp(&x.1).then(x.0.cmp(&y.0)));
        order
            .into_iter()
            .take(n)
            .map(|(picture, preference)| Retrieved {
                item: self.pictures.names()[picture as usize].clone(),
                preference,
                picture,
            })
            .collect()
    }
}
