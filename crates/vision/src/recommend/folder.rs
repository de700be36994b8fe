//! A recommender on disk, for people it never saw: vectors of items and their keys, and the network that made them if there is one.
//!
//! ```text
//! model/manifest.json, weights.safetensors   vectors of items, keys, λ of the fold-in ([`crate::saved`])
//! model/network/                             the network of `dvbpr`
//! ```
//!
//! Nothing of a user is in it: a user is folded in from what they bought ([`LinearModel::fold_in`]).

use std::path::Path;

use burn::tensor::Device;
use foldin_core::{Dictionary, ItemId, Tensor, top_k};
use serde::{Deserialize, Serialize};

use crate::error::VisionError;
use crate::recommend::dvbpr::Dvbpr;
use crate::recommend::linear::LinearModel;
use crate::saved;

const KIND: &str = "visual-recommender";
const NETWORK: &str = "network";
const ITEMS: &str = "items";

/// A recommender that is used.
#[derive(Clone, Debug)]
pub struct Recommender {
    /// What it is called, such as `dvbpr`.
    pub name: String,
    /// Keys of items.
    pub items: Dictionary,
    /// Vectors of items; of no users.
    pub model: LinearModel,
    /// λ of the fold-in.
    pub lambda: f64,
    /// The network, which scores pictures that are not in the catalogue.
    pub network: Option<Dvbpr>,
}

#[derive(Serialize, Deserialize)]
struct Description {
    name: String,
    k: usize,
    lambda: f64,
    keys: Vec<String>,
    dictionary: String,
    network: bool,
}

impl Recommender {
    /// Of a fitted model; its users are left behind.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if there is not one key an item.
    pub fn new(
        name: &str,
        items: Dictionary,
        model: &LinearModel,
        lambda: f64,
        network: Option<Dvbpr>,
    ) -> Result<Self, VisionError> {
        if items.len() != model.n_items() {
            return Err(VisionError::shape("keys of items", model.n_items(), items.len()));
        }
        let model = LinearModel::new(name, model.k(), Vec::new(), model.items().to_vec())?;
        Ok(Self { name: name.to_owned(), items, model, lambda, network })
    }

    /// The `n` best items for somebody who bought these, without them: numbers and scores.
    ///
    /// # Errors
    /// [`VisionError::Shape`] for an item that does not exist.
    pub fn recommend(&self, bought: &[u32], n: usize) -> Result<Vec<(ItemId, f32)>, VisionError> {
        let theta = self.model.fold_in(bought, self.lambda)?;
        let mut scores = vec![0.0; self.model.n_items()];
        self.model.scores_of(&theta, &mut scores)?;
        let mut seen = bought.to_vec();
        seen.sort_unstable();
        seen.dedup();
        let best = top_k(&scores, n, &seen);
        Ok(best.into_iter().map(|scored| (scored.item, scored.score)).collect())
    }

    /// Writes the folder.
    ///
    /// # Errors
    /// As [`saved::write`].
    pub fn save(&self, folder: &Path) -> Result<(), VisionError> {
        let description = Description {
            name: self.name.clone(),
            k: self.model.k(),
            lambda: self.lambda,
            keys: self.items.keys().map(str::to_owned).collect(),
            dictionary: self.items.checksum(),
            network: self.network.is_some(),
        };
        let description = serde_json::to_value(description)
            .map_err(|error| VisionError::Format { path: folder.to_owned(), problem: error.to_string() })?;
        let shape = [self.model.n_items(), self.model.k()];
        let tensors = [(ITEMS.to_owned(), Tensor::new(shape, self.model.items().to_vec()))].into();
        saved::write(folder, KIND, &description, &tensors)?;
        self.network.as_ref().map_or(Ok(()), |network| network.save(&folder.join(NETWORK)))
    }

    /// Reads the folder.
    ///
    /// # Errors
    /// [`VisionError::Load`] or [`VisionError::Format`], which name the file and what is wrong with it.
    pub fn load(folder: &Path, device: &Device) -> Result<Self, VisionError> {
        let (description, mut tensors) = saved::read(folder, KIND)?;
        let bad = |problem: String| VisionError::Format { path: folder.to_owned(), problem };
        let description: Description =
            serde_json::from_value(description).map_err(|error| bad(error.to_string()))?;
        let Description { name, k, lambda, keys, dictionary, network } = description;
        let items =
            Dictionary::from_keys(keys).map_err(|key| bad(format!("the item {key} is there twice")))?;
        if items.checksum() != dictionary {
            return Err(bad("the keys of items are not those it was saved with".to_owned()));
        }
        let vectors = tensors.remove(ITEMS).filter(|tensor| tensor.shape == [items.len(), k]);
        let vectors = vectors.ok_or_else(|| bad(format!("no {} vectors of {k} numbers", items.len())))?;
        if vectors.data.iter().any(|x| !x.is_finite()) || !lambda.is_finite() {
            return Err(bad("a number that is not finite".to_owned()));
        }
        let network = if network { Some(Dvbpr::load(&folder.join(NETWORK), device)?) } else { None };
        let model = LinearModel::new(&name, k, Vec::new(), vectors.data)?;
        Ok(Self { name, items, model, lambda, network })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_recommends_the_same() {
        let vectors = vec![1.0, 0.0, 0.9, 0.1, -1.0, 0.2, 0.0, 1.0];
        let model = LinearModel::new("vbpr", 2, Vec::new(), vectors).unwrap();
        let keys = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
        let items = Dictionary::from_keys(keys).unwrap();
        let recommender = Recommender::new("vbpr", items, &model, 0.1, None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model");
        recommender.save(&path).unwrap();
        let loaded = Recommender::load(&path, &Device::flex()).unwrap();
        let best = loaded.recommend(&[0], 2).unwrap();
        assert_eq!(best, recommender.recommend(&[0], 2).unwrap());
        // What points the way of the purchase comes first, and the purchase does not come.
        assert_eq!(best[0].0, ItemId(1));
        assert_eq!(loaded.recommend(&[0], 9).unwrap().len(), 3);
        assert!(loaded.recommend(&[7], 1).is_err());
        let manifest = path.join("manifest.json");
        let text = std::fs::read_to_string(&manifest).unwrap();
        std::fs::write(&manifest, text.replace("\"b\"", "\"x\"")).unwrap();
        assert!(Recommender::load(&path, &Device::flex()).is_err());
        assert!(Recommender::load(folder.path(), &Device::flex()).is_err());
    }
}
