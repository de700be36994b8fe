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
    last: Mutex<Last>,
    /// When this part of the training began, and the seconds of those before; where seconds are told in the end.
    timed: Option<(Instant, f64)>,
}

/// When a state was last kept, and how long that took.
#[derive(Clone, Copy, Debug)]
struct Last {
    at: Instant,
    took: Duration,
}

/// Writing states takes no more than one part of so many of a training.
const SHARE: u32 = 20;

#[derive(Debug, Serialize, Deserialize)]
struct Description {
    run: Value,
    epochs: usize,
    /// Bits of each: JSON has no infinity.
    numbers: BTreeMap<String, u64>,
}

impl Checkpoints {
    /// Keeps a state in `folder` once in `every`, in the middle of an epoch too, and when cancelled; less often where writing takes long. `run`
    /// is all that must be the same for a state to be taken up again: model, settings, data and seed.
    #[must_use]
    pub fn new(folder: impl Into<PathBuf>, run: Value, every: Duration) -> Self {
        Self {
            folder: folder.into(),
            run,
            every,
            last: Mutex::new(Last { at: Instant::now(), took: Duration::ZERO }),
            timed: None,
        }
    }

    /// The same, with the seconds that training took kept beside the state.
    fn timed(self) -> Self {
        let kept =
            saved::is_readable(&self.folder).then(|| std::fs::read_to_string(self.seconds_file()).ok());
        let before = kept.flatten().and_then(|text| text.trim().parse().ok()).unwrap_or(0.0);
        Self { timed: Some((Instant::now(), before)), ..self }
    }

    /// Seconds of all parts of the training until now, as far as a part that was killed kept a state.
    fn seconds(&self) -> f64 {
        self.timed.map_or(0.0, |(start, before)| before + start.elapsed().as_secs_f64())
    }

    fn seconds_file(&self) -> PathBuf {
        self.folder.with_extension("seconds")
    }

    /// The same, without the state of a training that diverged: it would diverge again, and be in the way of one with other settings.
    ///
    /// # Errors
    /// That of the training.
    pub fn without_what_diverged<T>(&self, trained: Result<T, VisionError>) -> Result<T, VisionError> {
        trained.inspect_err(|error| {
            if matches!(error, VisionError::Diverged { .. }) {
                // What is left is told by the next training.
                let _ = self.remove();
            }
        })
    }

    /// Deletes the state, once what was trained is saved.
    ///
    /// # Errors
    /// [`VisionError::Io`].
    pub fn remove(&self) -> Result<(), VisionError> {
        saved::remove(&self.folder)?;
        let seconds = self.seconds_file();
        if self.timed.is_some() && seconds.exists() {
            std::fs::remove_file(&seconds).map_err(VisionError::io(seconds))?;
        }
        Ok(())
    }
}

fn unusable(problem: impl ToString) -> FitError {
    FitError::Checkpoint { reason: problem.to_string() }
}

impl CheckpointStore for Checkpoints {
    fn load(&self) -> Result<Option<TrainState>, FitError> {
        if !saved::is_there(&self.folder).map_err(unusable)? {
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
        self.last.lock().is_ok_and(|last| last.at.elapsed() >= self.every.max(SHARE * last.took))
    }

    fn due_within_epoch(&self) -> bool {
        self.due(0)
    }

    fn save(&self, state: &TrainState) -> Result<(), FitError> {
        let start = Instant::now();
        let numbers = state.numbers.iter().map(|(name, number)| (name.clone(), number.to_bits())).collect();
        let description = Description { run: self.run.clone(), epochs: state.epochs, numbers };
        saved::write(&self.folder, MODEL, &serde_json::json!(description), &state.tensors)
            .map_err(unusable)?;
        if self.timed.is_some() {
            std::fs::write(self.seconds_file(), self.seconds().to_string()).map_err(unusable)?;
        }
        if let Ok(mut last) = self.last.lock() {
            *last = Last { at: Instant::now(), took: start.elapsed() };
        }
        Ok(())
    }
}

/// Time between two checkpoints.
const EVERY: Duration = Duration::from_secs(60);

/// What stands beside a finished network.
#[derive(Serialize, Deserialize)]
struct Done {
    run: Value,
    seconds: f64,
}

fn finished(folder: &Path, name: &str) -> Result<Option<Done>, VisionError> {
    let note = std::fs::read_to_string(note_of(folder, name));
    let done = note.ok().and_then(|text| serde_json::from_str(&text).ok());
    Ok(if saved::is_there(&folder.join(name))? { done } else { None })
}

fn note_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.json"))
}

fn checkpoint_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.checkpoint"))
}

/// Whether `folder/name` holds a finished network of another run, or of one that nothing is known of, which [`trained`] would replace.
///
/// # Errors
/// [`VisionError::Io`].
pub(crate) fn holds_another(folder: &Path, name: &str, run: &Value) -> Result<bool, VisionError> {
    Ok(match finished(folder, name)? {
        Some(done) => done.run != *run,
        // Between a network and its note a training may have been killed.
        None => folder.join(name).exists() && !saved::is_readable(&checkpoint_of(folder, name)),
    })
}

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
    let place = folder.join(name);
    let note = note_of(folder, name);
    if let Some(done) = finished(folder, name)?.filter(|done| done.run == run) {
        return Ok((load(&place)?, done.seconds));
    }
    let store = Checkpoints::new(checkpoint_of(folder, name), run.clone(), EVERY).timed();
    let model = store.without_what_diverged(fit(&store))?;
    let seconds = store.seconds();
    // The note of another network says nothing of this one.
    if note.exists() {
        std::fs::remove_file(&note).map_err(VisionError::io(&note))?;
    }
    save(&model, &place)?;
    let text = format!("{:#}\n", json!(Done { run, seconds }));
    std::fs::write(&note, text).map_err(VisionError::io(note))?;
    store.remove()?;
    Ok((model, seconds))
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

    #[test]
    fn seconds_of_all_parts_are_counted() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("run.checkpoint");
        let part = || Checkpoints::new(&folder, json!({"seed": 1}), Duration::ZERO).timed();
        let state = TrainState { epochs: 1, tensors: BTreeMap::new(), numbers: BTreeMap::new() };
        part().save(&state).unwrap();
        std::fs::write(place.path().join("run.seconds"), "1000").unwrap();
        let second = part();
        assert!(second.seconds() >= 1000.0);
        second.save(&state).unwrap();
        assert!(part().seconds() >= second.timed.unwrap().1);
        second.remove().unwrap();
        assert!(!place.path().join("run.seconds").exists());
        assert!(part().seconds() < 1000.0, "seconds of a training that is over do not count for the next");
    }
}
