//! Loading a model folder: nothing is believed before it is checked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use foldin_core::{Dictionary, LoadError, ModelParts, RawFeatures, Tensor};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use serde::de::DeserializeOwned;

use super::{
    FEATURES, FORMAT, FeaturesFile, ITEMS, ItemLine, LoadedModel, MANIFEST, Manifest, WEIGHTS, sha256,
};
use crate::registry::find_saved;

/// Loads a model folder.
///
/// # Errors
/// [`LoadError`] naming the file and what is wrong with it.
pub fn load(dir: &Path) -> Result<LoadedModel, LoadError> {
    let manifest = read_manifest(dir)?;
    let format = |file: &str, reason: String| LoadError::Format { path: dir.join(file), reason };

    let mut files = BTreeMap::new();
    for name in [WEIGHTS, ITEMS, FEATURES] {
        let bytes = read(&dir.join(name))?;
        let expected =
            manifest.files.get(name).ok_or_else(|| format(MANIFEST, format!("no checksum of {name}")))?;
        if sha256(&bytes) != *expected {
            return Err(format(
                name,
                "its checksum is not the one in manifest.json: the file was changed or damaged".into(),
            ));
        }
        files.insert(name, bytes);
    }

    let Catalogue { items, titles, counts, features: of_items } = catalogue(&dir.join(ITEMS), &files[ITEMS])?;
    if items.checksum() != manifest.dictionary_checksum {
        return Err(format(ITEMS, "the keys are not those the model was fitted with".into()));
    }
    let features: FeaturesFile = parse(&dir.join(FEATURES), &files[FEATURES])?;
    let tensors = tensors(&dir.join(WEIGHTS), &files[WEIGHTS])?;
    let entry = find_saved(&manifest.model).map_err(|error| format(MANIFEST, error.to_string()))?;
    let model = entry.load(ModelParts { tensors, meta: manifest.description.clone() })?;
    if model.n_items() != items.len() {
        let reason = format!("{} items are listed, but the model has {}", items.len(), model.n_items());
        return Err(format(ITEMS, reason));
    }
    Ok(LoadedModel {
        model,
        items,
        titles,
        counts,
        features: of_items,
        user_schema: features.users,
        item_schema: features.items,
        manifest,
    })
}

/// Reads `manifest.json` of a model folder and nothing else. The version is read first, so that a folder of a later version is called
/// that and not a broken one.
///
/// # Errors
/// [`LoadError`] naming the file.
pub fn read_manifest(dir: &Path) -> Result<Manifest, LoadError> {
    let path = &dir.join(MANIFEST);
    let bytes = read(path)?;
    let value: serde_json::Value = parse(path, &bytes)?;
    let refuse = |reason: String| LoadError::Format { path: path.to_owned(), reason };
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(version) if version > u64::from(FORMAT) => {
            return Err(refuse(format!(
                "format {version} is newer than this version of Foldin reads ({FORMAT}): update Foldin"
            )));
        }
        Some(0) | None => return Err(refuse("no format version: this is not a model's manifest".into())),
        Some(_) => {}
    }
    serde_json::from_value(value).map_err(|error| refuse(error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    fs::read(path).map_err(|source| LoadError::Io { path: path.to_owned(), source })
}

fn parse<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T, LoadError> {
    serde_json::from_slice(bytes)
        .map_err(|error| LoadError::Format { path: path.to_owned(), reason: error.to_string() })
}

/// `items.jsonl`.
struct Catalogue {
    items: Dictionary,
    titles: Vec<String>,
    counts: Vec<u32>,
    features: Vec<RawFeatures>,
}

fn catalogue(path: &Path, bytes: &[u8]) -> Result<Catalogue, LoadError> {
    let (mut keys, mut titles, mut counts, mut features) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (at, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let item: ItemLine = serde_json::from_slice(line).map_err(|error| LoadError::Format {
            path: path.to_owned(),
            reason: format!("line {}: {error}", at + 1),
        })?;
        keys.push(item.key);
        titles.push(item.title);
        counts.push(item.count);
        features.push(item.features);
    }
    let items = Dictionary::from_keys(keys).map_err(|key| LoadError::Format {
        path: path.to_owned(),
        reason: format!("the key `{key}` appears twice"),
    })?;
    Ok(Catalogue { items, titles, counts, features })
}

fn tensors(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, LoadError> {
    let refuse = |reason: String| LoadError::Format { path: PathBuf::from(path), reason };
    let file = SafeTensors::deserialize(bytes).map_err(|error| refuse(error.to_string()))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(refuse(format!("tensor `{name}` is {:?}, not F32", view.dtype())));
        }
        let data: Vec<f32> = view
            .data()
            .chunks_exact(4)
            .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
            .collect();
        if let Some(at) = data.iter().position(|value| !value.is_finite()) {
            return Err(refuse(format!("element {at} of tensor `{name}` is not a finite number")));
        }
        tensors.insert(name, Tensor::new(view.shape().to_vec(), data));
    }
    Ok(tensors)
}
