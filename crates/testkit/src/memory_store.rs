//! Checkpoints in memory, and progress sinks that cancel.

use std::sync::Mutex;

use foldin_core::{CancelFlag, CheckpointStore, Epoch, FitError, Progress, TrainState};

/// Keeps the last state in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<Option<TrainState>>,
    every: usize,
}

impl MemoryStore {
    /// A store that wants a checkpoint every so many epochs; 0 for none but the one on cancellation.
    #[must_use]
    pub fn every(epochs: usize) -> Self {
        Self { state: Mutex::default(), every: epochs }
    }

    /// A store that holds a state to resume from.
    #[must_use]
    pub fn holding(state: TrainState) -> Self {
        Self { state: Mutex::new(Some(state)), every: 0 }
    }

    /// The state held, if any.
    #[must_use]
    pub fn state(&self) -> Option<TrainState> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl CheckpointStore for MemoryStore {
    fn load(&self) -> Result<Option<TrainState>, FitError> {
        Ok(self.state())
    }

    fn due(&self, epochs: usize) -> bool {
        self.every > 0 && epochs.is_multiple_of(self.every)
    }

    fn save(&self, state: &TrainState) -> Result<(), FitError> {
        *self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(state.clone());
        Ok(())
    }
}

/// Cancels when a given epoch is reported, and remembers every epoch.
#[derive(Debug, Default)]
pub struct Watcher {
    epochs: Mutex<Vec<Epoch>>,
    cancel: CancelFlag,
    cancel_after: usize,
}

impl Watcher {
    /// Watches, and never cancels.
    #[must_use]
    pub fn watching() -> Self {
        Self::default()
    }

    /// Raises [`Watcher::flag`] when this epoch (from 1) is reported.
    #[must_use]
    pub fn cancelling_after(epoch: usize) -> Self {
        Self { cancel_after: epoch, ..Self::default() }
    }

    /// The flag it raises.
    #[must_use]
    pub fn flag(&self) -> CancelFlag {
        self.cancel.clone()
    }

    /// What was reported so far.
    #[must_use]
    pub fn epochs(&self) -> Vec<Epoch> {
        self.epochs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Progress for Watcher {
    fn epoch(&self, epoch: Epoch) {
        self.epochs.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(epoch);
        if self.cancel_after == epoch.number {
            self.cancel.cancel();
        }
    }
}
