//! Writing a model folder.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use foldin_core::{ModelParts, Recommender};
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;

use super::{
    FEATURES, FORMAT, FeaturesFile, ITEMS, ItemLine, MANIFEST, Manifest, SaveError, SaveOptions,
    SavedContext, WEIGHTS, sha256,
};

/// Writes a model to `dir`. The folder appears whole or not at all, and an existing one stays until the new one is on disk.
///
/// # Errors
/// [`SaveError`] naming the file; nothing is lost then.
pub fn save(
    dir: &Path,
    model: &dyn Recommender,
    context: &SavedContext<'_>,
    options: SaveOptions,
) -> Result<(), SaveError> {
    if dir.exists() {
        if !options.overwrite {
            return Err(SaveError::Exists { path: dir.to_owned() });
        }
        let is_empty = fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_none());
        if !dir.join(MANIFEST).is_file() && !is_empty {
            return Err(SaveError::NotAModel { path: dir.to_owned() });
        }
    }
    check_catalogue(model.n_items(), context)?;
    let parts = model.to_parts();
    let mut files = BTreeMap::new();
    for (name, bytes) in
        [(WEIGHTS, weights(&parts)?), (ITEMS, items(context)?), (FEATURES, features(context)?)]
    {
        files.insert(name.to_owned(), bytes);
    }
    let manifest = Manifest {
        format: FORMAT,
        model: model.name().to_owned(),
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        config: context.config.clone(),
        data: context.data.clone(),
        metrics: context.metrics.clone(),
        description: parts.meta,
        dictionary_checksum: context.items.checksum(),
        files: files.iter().map(|(name, bytes)| (name.clone(), sha256(bytes))).collect(),
    };
    files.insert(MANIFEST.to_owned(), json(MANIFEST, &manifest)?);

    let fresh = sibling(dir, "new");
    let written = write_all(&fresh, &files).and_then(|()| put_in_place(&fresh, dir));
    if written.is_err() {
        // The error already says what is wrong; a half-written sibling would only be in the way of the next attempt.
        let _ = fs::remove_dir_all(&fresh);
    }
    written
}

fn check_catalogue(expected: usize, context: &SavedContext<'_>) -> Result<(), SaveError> {
    for (what, got) in [
        ("keys", context.items.len()),
        ("titles", context.titles.len()),
        ("counts", context.counts.len()),
        ("rows of side information", context.item_features.n_rows()),
    ] {
        if got != expected {
            return Err(SaveError::Catalogue { what, expected, got });
        }
    }
    Ok(())
}

fn weights(parts: &ModelParts) -> Result<Vec<u8>, SaveError> {
    let encode =
        |error: safetensors::SafeTensorError| SaveError::Encode { file: WEIGHTS, reason: error.to_string() };
    let bytes: Vec<Vec<u8>> = parts
        .tensors
        .values()
        .map(|tensor| tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let mut views = HashMap::new();
    for ((name, tensor), bytes) in parts.tensors.iter().zip(&bytes) {
        views.insert(name.clone(), TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(encode)?);
    }
    safetensors::serialize(views, None).map_err(encode)
}

fn items(context: &SavedContext<'_>) -> Result<Vec<u8>, SaveError> {
    let mut out = Vec::new();
    let schema = context.item_features.schema();
    for (at, key) in context.items.keys().enumerate() {
        let line = ItemLine {
            key: key.to_owned(),
            title: context.titles[at].clone(),
            count: context.counts[at],
            features: schema.decode(context.item_features.row(at)),
        };
        serde_json::to_writer(&mut out, &line)
            .map_err(|error| SaveError::Encode { file: ITEMS, reason: error.to_string() })?;
        out.push(b'\n');
    }
    Ok(out)
}

fn features(context: &SavedContext<'_>) -> Result<Vec<u8>, SaveError> {
    json(
        FEATURES,
        &FeaturesFile {
            users: context.user_schema.clone(),
            items: (**context.item_features.schema()).clone(),
        },
    )
}

fn json(file: &'static str, value: &impl Serialize) -> Result<Vec<u8>, SaveError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| SaveError::Encode { file, reason: error.to_string() })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A name beside `dir` that is hidden and says what it is.
fn sibling(dir: &Path, what: &str) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(dir.file_name().unwrap_or_default());
    name.push(format!(".{what}-{}", std::process::id()));
    dir.with_file_name(name)
}

fn write_all(folder: &Path, files: &BTreeMap<String, Vec<u8>>) -> Result<(), SaveError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| SaveError::Io { path, source }
    };
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(at(folder))?;
    }
    fs::create_dir_all(folder).map_err(at(folder))?;
    for (name, bytes) in files {
        let path = folder.join(name);
        let mut file = File::create(&path).map_err(at(&path))?;
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&path))?;
    }
    Ok(())
}

fn put_in_place(fresh: &Path, dir: &Path) -> Result<(), SaveError> {
    let failed = |source| SaveError::Io { path: dir.to_owned(), source };
    if !dir.exists() {
        return fs::rename(fresh, dir).map_err(failed);
    }
    let old = sibling(dir, "old");
    fs::rename(dir, &old).map_err(failed)?;
    if let Err(source) = fs::rename(fresh, dir) {
        // The old model goes back to where it was.
        let _ = fs::rename(&old, dir);
        return Err(failed(source));
    }
    fs::remove_dir_all(&old).map_err(|source| SaveError::Io { path: old, source })
}
