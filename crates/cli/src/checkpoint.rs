//! An interrupted training run, kept beside the model folder it was to become.
//!
//! `OUT.checkpoint/` holds `run.json` (what was being trained, on which data, with which settings) and
//! `state.safetensors` (parameters and optimiser). It goes away when the model is written.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use foldin_core::{CheckpointStore, FitError, Tensor, TrainState};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a run is; a checkpoint is resumed only by the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The model.
    pub(crate) model: String,
    /// All its settings.
    pub(crate) config: Value,
    /// Fingerprint of the data.
    pub(crate) data_fingerprint: String,
    /// The seed.
    pub(crate) seed: u64,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    run: Run,
    epochs: usize,
    /// Bits of each number: JSON has no infinity, which is what a best error is before there is one.
    numbers: BTreeMap<String, u64>,
}

/// The checkpoint of one run on disk.
#[derive(Debug)]
pub(crate) struct FolderCheckpoint {
    folder: PathBuf,
    run: Run,
    every: usize,
    resume: bool,
}

impl FolderCheckpoint {
    /// The checkpoint folder that belongs to a model folder.
    pub(crate) fn folder_for(out: &Path) -> PathBuf {
        let mut name = out.file_name().unwrap_or_default().to_os_string();
        name.push(".checkpoint");
        out.with_file_name(name)
    }

    /// Prepares to keep checkpoints of `run`, one every `every` epochs (0: only when interrupted). With `resume`, goes on from
    /// what is there.
    ///
    /// # Errors
    /// If there is one and neither `resume` nor `restart` says what to do with it, if it belongs to another run, or if there
    /// is none to resume.
    pub(crate) fn open(
        out: &Path,
        run: Run,
        every: usize,
        resume: bool,
        restart: bool,
    ) -> anyhow::Result<Self> {
        let folder = Self::folder_for(out);
        match (folder.exists(), resume) {
            (true, false) if !restart => bail!(
                "{} holds an interrupted run: add --resume to go on with it, or --restart to begin anew",
                folder.display()
            ),
            (true, false) => std::fs::remove_dir_all(&folder)
                .with_context(|| format!("cannot remove {}", folder.display()))?,
            (false, true) => bail!("there is no interrupted run to resume in {}", folder.display()),
            (true, true) => {
                let kept = read_kept(&folder)?;
                if kept.run != run {
                    bail!(
                        "the interrupted run in {} was another one ({}): give the same model, settings, data and seed, or --restart",
                        folder.display(),
                        difference(&kept.run, &run)
                    );
                }
            }
            (false, false) => {}
        }
        Ok(Self { folder, run, every, resume })
    }

    /// Removes the checkpoint once it is not needed.
    pub(crate) fn discard(&self) -> anyhow::Result<()> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)
                .with_context(|| format!("cannot remove {}", self.folder.display()))?;
        }
        Ok(())
    }

    fn read(&self) -> anyhow::Result<TrainState> {
        let kept = read_kept(&self.folder)?;
        let path = self.folder.join("state.safetensors");
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = SafeTensors::deserialize(&bytes).with_context(|| path.display().to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let data = view
                .data()
                .chunks_exact(4)
                .map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                .collect();
            tensors.insert(name, Tensor::new(view.shape().to_vec(), data));
        }
        let numbers = kept.numbers.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect();
        Ok(TrainState { epochs: kept.epochs, tensors, numbers })
    }

    /// Writes to a new folder and then puts it in the place of the old one, so that a crash leaves one or the other.
    fn write(&self, state: &TrainState) -> anyhow::Result<()> {
        let fresh = self.folder.with_extension("checkpoint-new");
        if fresh.exists() {
            std::fs::remove_dir_all(&fresh)?;
        }
        std::fs::create_dir_all(&fresh)?;
        let bytes: Vec<(&String, &Vec<usize>, Vec<u8>)> = state
            .tensors
            .iter()
            .map(|(name, tensor)| {
                (name, &tensor.shape, tensor.data.iter().flat_map(|value| value.to_le_bytes()).collect())
            })
            .collect();
        let mut views = HashMap::new();
        for (name, shape, bytes) in &bytes {
            views.insert((*name).clone(), TensorView::new(Dtype::F32, (*shape).clone(), bytes)?);
        }
        safetensors::serialize_to_file(views, None, &fresh.join("state.safetensors"))?;
        let numbers = state.numbers.iter().map(|(name, number)| (name.clone(), number.to_bits())).collect();
        let kept = Kept { run: self.run.clone(), epochs: state.epochs, numbers };
        std::fs::write(fresh.join("run.json"), serde_json::to_vec_pretty(&kept)?)?;
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        std::fs::rename(&fresh, &self.folder)?;
        Ok(())
    }
}

fn read_kept(folder: &Path) -> anyhow::Result<Kept> {
    let path = folder.join("run.json");
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is damaged; use --restart", path.display()))
}

fn difference(kept: &Run, run: &Run) -> &'static str {
    if kept.model != run.model {
        "another model"
    } else if kept.seed != run.seed {
        "another seed"
    } else if kept.data_fingerprint != run.data_fingerprint {
        "other data"
    } else {
        "other settings"
    }
}

impl CheckpointStore for FolderCheckpoint {
    fn load(&self) -> Result<Option<TrainState>, FitError> {
        if !self.resume {
            return Ok(None);
        }
        self.read().map(Some).map_err(|error| FitError::Checkpoint { reason: format!("{error:#}") })
    }

    fn due(&self, epochs: usize) -> bool {
        self.every > 0 && epochs.is_multiple_of(self.every)
    }

    fn save(&self, state: &TrainState) -> Result<(), FitError> {
        self.write(state).map_err(|error| FitError::Checkpoint {
            reason: format!("{} cannot be written: {error:#}", self.folder.display()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64) -> Run {
        Run { model: "lfg".into(), config: Value::Null, data_fingerprint: "f".into(), seed }
    }

    #[test]
    fn a_state_comes_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("model");
        let state = TrainState {
            epochs: 3,
            tensors: [("w".to_owned(), Tensor::new([2, 1], vec![f32::MIN_POSITIVE, -0.1]))].into(),
            numbers: [("noise".to_owned(), 0.1 + 0.2), ("best".to_owned(), f64::INFINITY)].into(),
        };
        let first = FolderCheckpoint::open(&out, run(1), 0, false, false).unwrap();
        assert_eq!(first.load().unwrap(), None);
        first.save(&state).unwrap();
        first.save(&state).unwrap();

        let error = FolderCheckpoint::open(&out, run(1), 0, false, false).unwrap_err().to_string();
        assert!(error.contains("--resume"), "{error}");
        let error = FolderCheckpoint::open(&out, run(2), 0, true, false).unwrap_err().to_string();
        assert!(error.contains("another seed"), "{error}");
        let second = FolderCheckpoint::open(&out, run(1), 0, true, false).unwrap();
        assert_eq!(second.load().unwrap(), Some(state));
        second.discard().unwrap();
        let error = FolderCheckpoint::open(&out, run(1), 0, true, false).unwrap_err().to_string();
        assert!(error.contains("no interrupted run"), "{error}");
    }
}
