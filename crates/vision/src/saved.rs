//! Networks on disk: a folder with a description and its weights.
//!
//! | file | holds |
//! | --- | --- |
//! | `manifest.json` | what it is, format version, settings and what else the network keeps beside its numbers, checksum of the weights |
//! | `weights.safetensors` | its arrays, `f32` |
//!
//! A folder is written beside its place and renamed into it: a crash leaves the old folder or the new one. Where it fell between the
//! two renames, the old one is read where it lies, and put back by who writes next. Loading checks kind, format and checksum before any network exists.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{fs, io};

use foldin_core::{LoadError, Tensor};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use crate::error::VisionError;

/// Version of the format written. Folders of this and every earlier version load.
pub const FORMAT: u32 = 1;

const MANIFEST: &str = "manifest.json";
const WEIGHTS: &str = "weights.safetensors";
/// What a folder is called while it is written, and while the new one takes its place.
const WRITING: &str = "writing";
const REPLACED: &str = "replaced";

/// `manifest.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    model: String,
    code_version: String,
    description: Value,
    weights_xxh3: String,
}

/// An array as it is written: bytes exist for one at a time, as a network of 70 million numbers with the state of its training takes 1 GiB.
struct Written<'a>(&'a Tensor);

impl View for Written<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.data.iter().flat_map(|x| x.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.0.data.as_slice())
    }
}

/// Arrays by name.
pub type Tensors = BTreeMap<String, Tensor>;

fn bad(path: &Path, reason: impl ToString) -> LoadError {
    LoadError::Format { path: path.to_owned(), reason: reason.to_string() }
}

/// Writes a folder for a network called `model`. A folder of a network that is there already is replaced; anything else is not.
///
/// # Errors
/// [`VisionError::Io`], or [`VisionError::Format`] if something else is in the way.
pub fn write(folder: &Path, model: &str, description: &Value, tensors: &Tensors) -> Result<(), VisionError> {
    if is_there(folder)? && !folder.join(MANIFEST).is_file() {
        return Err(VisionError::Format {
            path: folder.to_owned(),
            problem: "is there already and is not a saved network, so it is not replaced".to_owned(),
        });
    }
    let beside = sibling(folder, WRITING);
    let replaced = sibling(folder, REPLACED);
    for leftover in [&beside, &replaced] {
        if leftover.exists() {
            fs::remove_dir_all(leftover).map_err(VisionError::io(leftover))?;
        }
    }
    fs::create_dir_all(&beside).map_err(VisionError::io(&beside))?;
    let weights = beside.join(WEIGHTS);
    let arrays = tensors.iter().map(|(name, tensor)| (name, Written(tensor)));
    safetensors::serialize_to_file(arrays, None, &weights).map_err(|error| match error {
        SafeTensorError::IoError(error) => VisionError::io(&weights)(error),
        error => VisionError::Format { path: weights.clone(), problem: error.to_string() },
    })?;
    let manifest = Manifest {
        format: FORMAT,
        model: model.to_owned(),
        code_version: env!("CARGO_PKG_VERSION").to_owned(),
        description: description.clone(),
        weights_xxh3: checksum(&weights).map_err(VisionError::io(&weights))?,
    };
    let path = beside.join(MANIFEST);
    fs::write(&path, format!("{:#}\n", serde_json::json!(manifest))).map_err(VisionError::io(&path))?;
    for written in [&weights, &path] {
        // What is renamed is to be there after a power cut too.
        fs::File::open(written).and_then(|file| file.sync_all()).map_err(VisionError::io(written))?;
    }
    if folder.exists() {
        fs::rename(folder, &replaced).map_err(VisionError::io(folder))?;
    }
    fs::rename(&beside, folder).map_err(VisionError::io(folder))?;
    if replaced.exists() {
        // Without its description it is not taken for a folder, however much of it a crash leaves.
        fs::remove_file(replaced.join(MANIFEST)).map_err(VisionError::io(&replaced))?;
        fs::remove_dir_all(&replaced).map_err(VisionError::io(&replaced))?;
    }
    Ok(())
}

/// Where a folder lies: beside its place if a crash left it between the two renames of [`write`].
fn found(folder: &Path) -> PathBuf {
    let replaced = sibling(folder, REPLACED);
    if !folder.exists() && replaced.join(MANIFEST).is_file() { replaced } else { folder.to_owned() }
}

/// Whether [`read`] finds a folder.
pub(crate) fn is_readable(folder: &Path) -> bool {
    found(folder).exists()
}

/// Whether there is a folder here, for who writes it: what a crash left between the two renames of [`write`] is put back first.
///
/// # Errors
/// [`VisionError::Io`] if it cannot be.
pub(crate) fn is_there(folder: &Path) -> Result<bool, VisionError> {
    let found = found(folder);
    if found != folder {
        fs::rename(&found, folder).map_err(VisionError::io(found))?;
    }
    Ok(folder.exists())
}

/// Deletes a folder and all that writing it may have left.
///
/// # Errors
/// [`VisionError::Io`].
pub(crate) fn remove(folder: &Path) -> Result<(), VisionError> {
    for folder in [sibling(folder, REPLACED), sibling(folder, WRITING), folder.to_owned()] {
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(VisionError::io(&folder))?;
        }
    }
    Ok(())
}

fn sibling(folder: &Path, what: &str) -> PathBuf {
    let name =
        folder.file_name().map_or_else(|| "network".to_owned(), |name| name.to_string_lossy().into_owned());
    folder.with_file_name(format!(".{name}.{what}"))
}

/// Of a file, read piece by piece.
fn checksum(path: &Path) -> io::Result<String> {
    let mut hash = Xxh3::new();
    let mut file = fs::File::open(path)?;
    let mut piece = vec![0; 1 << 20];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(format!("{:032x}", hash.digest128())),
            n => hash.update(&piece[..n]),
        }
    }
}

/// Reads a folder of a network called `model`: its description and arrays.
///
/// # Errors
/// [`LoadError`] that names the file and what is wrong with it.
pub fn read(folder: &Path, model: &str) -> Result<(Value, Tensors), VisionError> {
    let folder = &found(folder);
    let path = folder.join(MANIFEST);
    let text = fs::read_to_string(&path).map_err(|source| LoadError::Io { path: path.clone(), source })?;
    let manifest: Manifest = serde_json::from_str(&text).map_err(|error| bad(&path, error))?;
    if manifest.format > FORMAT {
        let reason = format!(
            "has format {}, and this version reads up to {FORMAT}: a newer foldin wrote it",
            manifest.format
        );
        return Err(bad(&path, reason).into());
    }
    if manifest.model != model {
        return Err(bad(&path, format!("is of a `{}`, not of a `{model}`", manifest.model)).into());
    }
    let path = folder.join(WEIGHTS);
    let unreadable = |source| LoadError::Io { path: path.clone(), source };
    if checksum(&path).map_err(unreadable)? != manifest.weights_xxh3 {
        return Err(bad(&path, "does not match the checksum in the manifest").into());
    }
    let bytes = fs::read(&path).map_err(unreadable)?;
    let file = safetensors::SafeTensors::deserialize(&bytes).map_err(|error| bad(&path, error))?;
    let mut tensors = Tensors::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(bad(&path, format!("`{name}` is {:?}, not F32", view.dtype())).into());
        }
        let data = view.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        tensors.insert(name, Tensor::new(view.shape().to_vec(), data));
    }
    Ok((manifest.description, tensors))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn tensors() -> Tensors {
        Tensors::from([("a".to_owned(), Tensor::new([2, 1], vec![1.0, -2.5]))])
    }

    #[test]
    fn what_is_written_is_read() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("net");
        for round in 0..2 {
            write(&folder, "toy", &json!({"round": round}), &tensors()).unwrap();
            let (description, read) = read(&folder, "toy").unwrap();
            assert_eq!((description, read), (json!({"round": round}), tensors()));
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn what_a_crash_left_between_two_renames_comes_back() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("net");
        for next in [false, true] {
            write(&folder, "toy", &json!("old"), &tensors()).unwrap();
            fs::rename(&folder, sibling(&folder, REPLACED)).unwrap();
            // Who reads changes nothing.
            assert!(is_readable(&folder) && !folder.exists());
            if next {
                // The next writer does not take it for a leftover.
                write(&folder, "toy", &json!("new"), &tensors()).unwrap();
            }
            let expected = if next { "new" } else { "old" };
            assert_eq!(read(&folder, "toy").unwrap().0, json!(expected));
            assert!(is_there(&folder).unwrap() && folder.exists());
        }
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        fs::create_dir(sibling(&folder, WRITING)).unwrap();
        remove(&folder).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("net");
        let message = |folder: &Path, model| read(folder, model).unwrap_err().to_string();
        assert!(message(&folder, "toy").contains("manifest.json"));
        write(&folder, "toy", &json!(null), &tensors()).unwrap();
        assert!(message(&folder, "game").contains("is of a `toy`"));
        let weights = folder.join(WEIGHTS);
        let mut bytes = fs::read(&weights).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&weights, bytes).unwrap();
        assert!(message(&folder, "toy").contains("checksum"));
        let manifest = folder.join(MANIFEST);
        let text = fs::read_to_string(&manifest).unwrap().replace("\"format\": 1", "\"format\": 99");
        fs::write(&manifest, text).unwrap();
        assert!(message(&folder, "toy").contains("format 99"));
        let other = place.path().join("photos");
        fs::create_dir(&other).unwrap();
        assert!(write(&other, "toy", &json!(null), &tensors()).is_err(), "somebody's folder is not replaced");
    }
}
