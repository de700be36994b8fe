//! A model as it serves.

use std::path::Path;
use std::sync::OnceLock;

use foldin_core::{Feedback, Generator, Recommender};
use foldin_models::folder::{LoadedModel, load};
use foldin_nn::retrieval::PackedItems;
use foldin_nn::retrieval::clustered::ClusteredItems;

use crate::ask::Worth;
use crate::error::EngineError;
use crate::similar::Neighbourhood;

/// Seed of the clusters of items.
const CLUSTER_SEED: u64 = 1;

/// A loaded model with everything that requests share: items laid out for scanning, the order by popularity, tables made when first
/// needed. Never changed, so that any number of threads can use it; another version is another `Serving`.
#[derive(Debug)]
pub struct Serving {
    version: String,
    loaded: LoadedModel,
    packed: Option<PackedItems>,
    /// Made in the background, if at all.
    clustered: OnceLock<ClusteredItems>,
    /// Items by number of training interactions, most first.
    popular: Vec<u32>,
    pub(crate) neighbourhood: OnceLock<Neighbourhood>,
    /// Scores to compare with where there are no factors.
    pub(crate) usual: OnceLock<Vec<f32>>,
    pub(crate) worth: OnceLock<Worth>,
}

impl Serving {
    /// Takes a loaded model into service under the name of its version.
    ///
    /// # Errors
    /// [`EngineError::CannotServe`] for a model that knows its training users alone.
    pub fn new(loaded: LoadedModel, version: impl Into<String>) -> Result<Self, EngineError> {
        if !loaded.model.capabilities().new_users {
            return Err(EngineError::CannotServe { model: loaded.model.name().to_owned() });
        }
        let packed = loaded.model.as_generator().map(|generator| PackedItems::new(generator.items()));
        let mut popular: Vec<u32> = (0..loaded.items.len() as u32).collect();
        popular.sort_by_key(|&item| std::cmp::Reverse(loaded.counts[item as usize]));
        Ok(Self {
            version: version.into(),
            loaded,
            packed,
            clustered: OnceLock::new(),
            popular,
            neighbourhood: OnceLock::new(),
            usual: OnceLock::new(),
            worth: OnceLock::new(),
        })
    }

    /// Loads a model folder and takes it into service.
    ///
    /// # Errors
    /// [`EngineError::Load`] naming the file, or as [`Serving::new`].
    pub fn open(folder: &Path, version: impl Into<String>) -> Result<Self, EngineError> {
        Self::new(load(folder)?, version)
    }

    /// The name of the version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The folder as it was loaded.
    #[must_use]
    pub fn loaded(&self) -> &LoadedModel {
        &self.loaded
    }

    /// The model.
    #[must_use]
    pub fn model(&self) -> &dyn Recommender {
        &*self.loaded.model
    }

    /// The model as a generator of factors with its items laid out for scanning, if it is one.
    #[must_use]
    pub fn generator(&self) -> Option<(&dyn Generator, &PackedItems)> {
        self.loaded.model.as_generator().zip(self.packed.as_ref())
    }

    /// Clusters the items, so that lists may be found by looking at a part of them. Takes seconds for a million items, on the current Rayon pool;
    /// answers meanwhile are exact. Does nothing the second time, or for a model that generates no factors.
    pub fn cluster(&self) {
        if let Some((generator, _)) = self.generator() {
            self.clustered.get_or_init(|| ClusteredItems::new(generator.items(), CLUSTER_SEED));
        }
    }

    /// The items by clusters, once they are made.
    #[must_use]
    pub fn clustered(&self) -> Option<&ClusteredItems> {
        self.clustered.get()
    }

    /// Number of items of the model.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.loaded.items.len()
    }

    /// What values mean to the model.
    #[must_use]
    pub fn feedback(&self) -> Feedback {
        self.loaded.feedback()
    }

    /// Items by number of training interactions, most first; ties to the lowest number.
    #[must_use]
    pub fn popular(&self) -> &[u32] {
        &self.popular
    }

    /// The number of an item.
    ///
    /// # Errors
    /// [`EngineError::UnknownItem`].
    pub fn item(&self, key: &str) -> Result<u32, EngineError> {
        self.loaded.items.get(key).ok_or_else(|| EngineError::UnknownItem { item: key.to_owned() })
    }

    /// Key of an item of the model.
    ///
    /// # Panics
    /// If `item` is out of range.
    #[must_use]
    pub fn key(&self, item: u32) -> &str {
        self.loaded.items.key(item).expect("an item of the model")
    }
}
