//! Interrupted trainings on disk, so that they go on where they stopped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use foldin_core::fit::{CheckpointStore, TrainState};
use foldin_core::{FitError, LoadError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::VisionError;
use crate::saved;

/// What is saved, as [`saved::read`] knows it.
const MODEL: &str = "checkpoint";

/// A folder that keeps the state of one training.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
    run: Value,
    every: Duration,
    last: Mutex<Instant>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Description {
    run: Value,
    epochs: usize,
    /// Bits of each: JSON has no infinity.
    numbers: BTreeMap<String, u64>,
}

impl Checkpoints {
    /// Keeps a state in `folder` at most once in `every`, and when cancelled. `run` is all that must be the same for a state to be taken
    /// up again: model, settings, data and seed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, run: Value, every: Duration) -> Self {
        Self { folder: folder.into(), run, every, last: Mutex::new(Instant::now()) }
    }

    /// Deletes the state, once what was trained is saved.
    ///
    /// # Errors
    /// [`VisionError::Io`].
    pub fn remove(&self) -> Result<(), VisionError> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder).map_err(VisionError::io(&self.folder))?;
        }
        Ok(())
    }
}

fn unusable(problem: impl ToString) -> FitError {
    FitError::Checkpoint { reason: problem.to_string() }
}

impl CheckpointStore for Checkpoints {
    fn load(&self) -> Result<Option<TrainState>, FitError> {
        if !self.folder.exists() {
            return Ok(None);
        }
        let (description, tensors) = saved::read(&self.folder, MODEL).map_err(unusable)?;
        let description: Description = serde_json::from_value(description)
            .map_err(|error| unusable(LoadError::Meta { key: error.to_string() }))?;
        if description.run != self.run {
            return Err(unusable(format!(
                "{} is of another training (settings, data or seed differ); delete it to start anew",
                self.folder.display()
            )));
        }
        let numbers =
            description.numbers.into_iter().map(|(name, bits)| (name, f64::from_bits(bits))).collect();
        Ok(Some(TrainState { epochs: description.epochs, tensors, numbers }))
    }

    fn due(&self, _epochs: usize) -> bool {
        self.last.lock().is_ok_and(|last| last.elapsed() >= self.every)
    }

    fn save(&self, state: &TrainState) -> Result<(), FitError> {
        let numbers = state.numbers.iter().map(|(name, number)| (name.clone(), number.to_bits())).collect();
        let description = Description { run: self.run.clone(), epochs: state.epochs, numbers };
        saved::write(&self.folder, MODEL, &serde_json::json!(description), &state.tensors)
            .map_err(unusable)?;
        if let Ok(mut last) = self.last.lock() {
            *last = Instant::now();
        }
        Ok(())
    }
}

/// Time between two checkpoints.
const EVERY: Duration = Duration::from_secs(60);

/// The network that `folder/name` holds if it is of the same run, or a newly trained one, which is then saved; and the seconds its
/// training took, over all parts of an interrupted one.
///
/// # Errors
/// Those of `fit`, `load` and `save`; [`VisionError::Io`]. A training that was cancelled is taken up by the next call.
pub fn trained<M>(
    folder: &Path,
    name: &str,
    run: Value,
    load: impl Fn(&Path) -> Result<M, VisionError>,
    fit: impl FnOnce(&Checkpoints) -> Result<M, VisionError>,
    save: impl FnOnce(&M, &Path) -> Result<(), VisionError>,
) -> Result<(M, f64), VisionError> {
    #[derive(Serialize, Deserialize)]
    struct Done {
        run: Value,
        seconds: f64,
    }
    let place = folder.join(name);
    let note = folder.join(format!("{name}.json"));
    let done: Option<Done> =
        std::fs::read_to_string(&note).ok().and_then(|text| serde_json::from_str(&text).ok());
    if let Some(done) = done.as_ref().filter(|done| done.run == run && place.exists()) {
        return Ok((load(&place)?, done.seconds));
    }
    let checkpoint = folder.join(format!("{name}.checkpoint"));
    let store = Checkpoints::new(&checkpoint, run.clone(), EVERY);
    let clock = Instant::now();
    let before = spent(&checkpoint);
    let fitted = fit(&store);
    let seconds = before + clock.elapsed().as_secs_f64();
    let model = match fitted {
        Ok(model) => model,
        Err(error) => {
            if checkpoint.exists() {
                let path = spent_file(&checkpoint);
                std::fs::write(&path, seconds.to_string()).map_err(VisionError::io(path))?;
            }
            return Err(error);
        }
    };
    save(&model, &place)?;
    let text = format!("{:#}\n", json!(Done { run, seconds }));
    std::fs::write(&note, text).map_err(VisionError::io(note))?;
    store.remove()?;
    let path = spent_file(&checkpoint);
    if path.exists() {
        std::fs::remove_file(&path).map_err(VisionError::io(path))?;
    }
    Ok((model, seconds))
}

fn spent_file(checkpoint: &Path) -> PathBuf {
    checkpoint.with_extension("seconds")
}

/// Seconds that earlier parts of a training took, as far as they were stopped in an orderly way.
fn spent(checkpoint: &Path) -> f64 {
    let kept = checkpoint.exists().then(|| std::fs::read_to_string(spent_file(checkpoint)).ok());
    kept.flatten().and_then(|text| text.trim().parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::Tensor;
    use serde_json::json;

    #[test]
    fn a_state_comes_back_for_the_same_run_alone() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("run");
        let store = Checkpoints::new(&folder, json!({"seed": 1}), Duration::ZERO);
        assert_eq!(store.load().unwrap(), None);
        let state = TrainState {
            epochs: 3,
            tensors: BTreeMap::from([("w".to_owned(), Tensor::new([2], vec![0.1, -0.2]))]),
            numbers: BTreeMap::from([("third".to_owned(), 1.0 / 3.0), ("best".to_owned(), f64::INFINITY)]),
        };
        assert!(store.due(1));
        store.save(&state).unwrap();
        assert_eq!(store.load().unwrap(), Some(state));
        let other = Checkpoints::new(&folder, json!({"seed": 2}), Duration::from_secs(60));
        assert!(!other.due(1));
        assert!(other.load().unwrap_err().to_string().contains("another training"));
        store.remove().unwrap();
        assert_eq!(other.load().unwrap(), None);
    }
}
