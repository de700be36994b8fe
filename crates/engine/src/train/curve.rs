//! The learning curve of a fit, as it is kept with the model.

use std::sync::{Mutex, MutexGuard, PoisonError};

use foldin_core::{Epoch, Progress};
use serde::{Deserialize, Serialize};

/// Where a version's figures have their learning curve: a list of [`LearningPoint`]s.
pub const LEARNING_CURVE: &str = "learning_curve";

/// An epoch of a fit, as it is shown and kept.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearningPoint {
    /// From 1.
    pub number: usize,
    /// How many there were to be, at most.
    pub of: usize,
    /// RMSE on training ratings, where the model has it.
    pub train_rmse: Option<f64>,
    /// RMSE on a validation slice.
    pub validation_rmse: Option<f64>,
    /// Mean training loss in the model's own unit.
    pub train_loss: Option<f64>,
    /// nDCG@20 on a validation slice.
    pub validation_ndcg: Option<f64>,
}

impl From<Epoch> for LearningPoint {
    fn from(epoch: Epoch) -> Self {
        Self {
            number: epoch.number,
            of: epoch.of,
            train_rmse: epoch.train_rmse,
            validation_rmse: epoch.validation_rmse,
            train_loss: epoch.train_loss,
            validation_ndcg: epoch.validation_ndcg,
        }
    }
}

/// Passes on how a fit goes, and keeps the epochs of its last stage that has some: those that made the model.
#[derive(Debug)]
pub struct Recorder<'a, P: ?Sized> {
    told: &'a P,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    points: Vec<LearningPoint>,
    /// Whether another stage has begun since.
    over: bool,
}

impl<'a, P: Progress + ?Sized> Recorder<'a, P> {
    /// A recorder in front of whoever is told.
    #[must_use]
    pub fn new(told: &'a P) -> Self {
        Self { told, kept: Mutex::default() }
    }

    /// The epochs so far.
    #[must_use]
    pub fn points(&self) -> Vec<LearningPoint> {
        self.kept().points.clone()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Progress + ?Sized> Progress for Recorder<'_, P> {
    fn stage(&self, name: &str) {
        self.kept().over = true;
        self.told.stage(name);
    }

    fn epoch(&self, epoch: Epoch) {
        let mut kept = self.kept();
        if std::mem::take(&mut kept.over) {
            kept.points.clear();
        }
        kept.points.push(epoch.into());
        drop(kept);
        self.told.epoch(epoch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_stage_with_epochs_is_kept() {
        let recorder = Recorder::new(&());
        recorder.stage("before");
        recorder.epoch(Epoch { number: 1, of: 1, ..Epoch::default() });
        recorder.stage("learning");
        for number in 1..=2 {
            recorder.epoch(Epoch { number, of: 2, train_rmse: Some(0.5), ..Epoch::default() });
        }
        recorder.stage("after");
        let numbers: Vec<usize> = recorder.points().iter().map(|point| point.number).collect();
        assert_eq!(numbers, [1, 2]);
        assert_eq!(recorder.points()[1].train_rmse, Some(0.5));
    }
}
