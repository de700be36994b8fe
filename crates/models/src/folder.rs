//! A fitted model as a folder.
//!
//! | file | holds |
//! | --- | --- |
//! | `manifest.json` | format version, model, all settings, the data it was fitted on, figures, the model's own description, checksums |
//! | `weights.safetensors` | tensors, `f32` |
//! | `items.jsonl` | the catalogue: key, title, number of training ratings and side information of each item, a line an item, in internal order |
//! | `features.json` | how side information of users and items is encoded |
//!
//! A folder is written beside its place and then renamed into it, so that a crash leaves the old folder or the new one. Loading
//! checks the format, every file's SHA-256, the dictionary's checksum and all shapes before a model exists.
//!
//! ```
//! use foldin_core::registry::Settings;
//! use foldin_core::{Csr, Dataset, Dictionary, Feedback, FitContext, Interactions, RatingScale, UserView};
//! use foldin_models::folder::{SaveOptions, SavedContext, load, save};
//!
//! let scale = Feedback::Explicit(RatingScale { min: 1.0, max: 5.0, step: Some(1.0) });
//! let ratings = Csr::from_triples(2, 2, &[(0, 0, 5.0), (0, 1, 3.0), (1, 1, 2.0)])?;
//! let keys = |keys: [&str; 2]| Dictionary::from_keys(keys.map(str::to_owned).to_vec());
//! let (users, items) = (keys(["ann", "bob"])?, keys(["tea", "coffee"])?);
//! let data = Dataset::new("drinks", Interactions::new(ratings, None, scale)?, users, items)?;
//! let entry = foldin_models::find("bias")?;
//! let model = entry.fit(&Settings::new(), &data.training_data(), &FitContext::new(1))?;
//!
//! let place = tempfile::tempdir()?;
//! let context = SavedContext::of(&data, serde_json::json!({}), serde_json::json!({}));
//! save(&place.path().join("model"), &*model, &context, SaveOptions::default())?;
//! let loaded = load(&place.path().join("model"))?;
//! assert_eq!(loaded.items.keys().collect::<Vec<_>>(), ["tea", "coffee"]);
//!
//! let visitor = [UserView::new(&[1], &[5.0])];
//! let (mut before, mut after) = ([0.0; 2], [0.0; 2]);
//! model.score(&visitor, &mut before)?;
//! loaded.model.score(&visitor, &mut after)?;
//! assert_eq!(before, after);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod load;
mod save;

use std::collections::BTreeMap;
use std::path::PathBuf;

use foldin_core::{Dataset, Dictionary, FeatureSchema, Features, Feedback, RawFeatures, Recommender};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use load::{load, read_manifest};
pub use save::save;

/// Version of the format written. Folders of this and every earlier version load.
pub const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";
const WEIGHTS: &str = "weights.safetensors";
const ITEMS: &str = "items.jsonl";
const FEATURES: &str = "features.json";

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Name in the registry.
    pub model: String,
    /// Version of the code that wrote it.
    pub code_version: String,
    /// Every setting, defaults included.
    pub config: Value,
    /// What it was fitted on.
    pub data: DataDescription,
    /// Figures of the fit, such as `fit_seconds`.
    pub metrics: Value,
    /// What the model keeps beside its tensors.
    pub description: Map<String, Value>,
    /// [`Dictionary::checksum`] of the catalogue.
    pub dictionary_checksum: String,
    /// SHA-256 of each other file, in hexadecimal.
    pub files: BTreeMap<String, String>,
}

/// What a model was fitted on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataDescription {
    /// Name of the data set.
    pub name: String,
    /// Fingerprint of its interactions.
    pub fingerprint: String,
    /// Number of users.
    pub users: usize,
    /// Number of items.
    pub items: usize,
    /// Number of interactions.
    pub interactions: usize,
    /// What the values mean.
    pub feedback: Feedback,
}

/// Everything about a model that the model itself does not know.
#[derive(Clone, Debug)]
pub struct SavedContext<'a> {
    /// Every setting, defaults included.
    pub config: Value,
    /// Figures of the fit.
    pub metrics: Value,
    /// What it was fitted on.
    pub data: DataDescription,
    /// Keys of items, by internal number.
    pub items: &'a Dictionary,
    /// A title for each item.
    pub titles: &'a [String],
    /// Number of training interactions of each item.
    pub counts: Vec<u32>,
    /// Side information of items; of width 0 if there is none.
    pub item_features: &'a Features,
    /// How side information of users is encoded.
    pub user_schema: &'a FeatureSchema,
}

impl<'a> SavedContext<'a> {
    /// The context of a model fitted on all of a data set.
    #[must_use]
    pub fn of(dataset: &'a Dataset, config: Value, metrics: Value) -> Self {
        let interactions = &dataset.interactions;
        let by_item = interactions.by_item();
        Self {
            config,
            metrics,
            data: DataDescription {
                name: dataset.name.clone(),
                fingerprint: interactions.fingerprint(),
                users: interactions.n_users(),
                items: interactions.n_items(),
                interactions: interactions.len(),
                feedback: interactions.feedback(),
            },
            items: &dataset.items,
            titles: &dataset.titles,
            counts: (0..interactions.n_items()).map(|item| by_item.row_len(item) as u32).collect(),
            item_features: &dataset.item_features,
            user_schema: dataset.user_features.schema(),
        }
    }
}

/// How to write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SaveOptions {
    /// Replace a model folder that is there already. Any other folder is never replaced.
    pub overwrite: bool,
}

/// A model folder, loaded.
#[derive(Debug)]
pub struct LoadedModel {
    /// The model.
    pub model: Box<dyn Recommender>,
    /// Keys of items, by internal number.
    pub items: Dictionary,
    /// A title for each item.
    pub titles: Vec<String>,
    /// Number of training interactions of each item.
    pub counts: Vec<u32>,
    /// Side information of each item; empty in folders written before it was kept.
    pub features: Vec<RawFeatures>,
    /// How side information of users is encoded.
    pub user_schema: FeatureSchema,
    /// How side information of items is encoded.
    pub item_schema: FeatureSchema,
    /// Where it comes from.
    pub manifest: Manifest,
}

impl LoadedModel {
    /// What the values of interactions mean to this model.
    #[must_use]
    pub fn feedback(&self) -> Feedback {
        self.manifest.data.feedback
    }
}

/// A model folder that was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// There is something already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// There is something already, and it is no model folder.
    #[error("{} is not a model folder, so it is not replaced", path.display())]
    NotAModel {
        /// The folder.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The catalogue has not one entry for each item of the model.
    #[error("the catalogue has {got} {what}, but the model has {expected} items")]
    Catalogue {
        /// What was counted.
        what: &'static str,
        /// Items of the model.
        expected: usize,
        /// Entries of the catalogue.
        got: usize,
    },
    /// A tensor or value that the format cannot hold.
    #[error("{file} cannot hold this model: {reason}")]
    Encode {
        /// The file.
        file: &'static str,
        /// Why.
        reason: String,
    },
}

/// A line of `items.jsonl`.
#[derive(Debug, Serialize, Deserialize)]
struct ItemLine {
    key: String,
    title: String,
    count: u32,
    #[serde(default, skip_serializing_if = "RawFeatures::is_empty")]
    features: RawFeatures,
}

/// `features.json`.
#[derive(Debug, Default, Serialize, Deserialize)]
struct FeaturesFile {
    users: FeatureSchema,
    items: FeatureSchema,
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
