//! Training in the background: one run at a time, its progress watched by anybody, its end kept.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use foldin_core::{CancelFlag, Epoch, FitError, Progress};
use foldin_engine::train::LearningPoint;
use foldin_engine::{Engine, TrainError, TrainOptions, TrainReport, Versions, train};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::state::now;

/// Ended runs that are remembered.
const REMEMBERED: usize = 50;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Under way.
    Running,
    /// Ended; `report` says how.
    Done,
    /// Ended by an error.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

/// A training run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// Its number, from 1 since the server started.
    pub id: u64,
    /// Where it is.
    pub state: JobState,
    /// What it is doing.
    pub stage: String,
    /// Epochs of the stage so far.
    pub epochs: Vec<LearningPoint>,
    /// When it began, in milliseconds since 1970.
    pub started: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// How the new version compares, when it is done.
    pub report: Option<TrainReport>,
    /// Why it failed.
    pub error: Option<String>,
}

#[derive(Debug)]
struct Entry {
    job: watch::Sender<Job>,
    cancel: CancelFlag,
}

/// All runs since the server started.
#[derive(Debug, Default)]
pub struct Jobs {
    entries: Mutex<VecDeque<Arc<Entry>>>,
}

impl Jobs {
    /// All runs, the latest first.
    #[must_use]
    pub fn list(&self) -> Vec<Job> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().rev().map(|entry| entry.job.borrow().clone()).collect()
    }

    /// The run that is under way.
    #[must_use]
    pub fn running(&self) -> Option<Job> {
        self.list().into_iter().find(|job| job.state == JobState::Running)
    }

    /// Watches a run.
    pub fn watch(&self, id: u64) -> Option<watch::Receiver<Job>> {
        self.entry(id).map(|entry| entry.job.subscribe())
    }

    fn entry(&self, id: u64) -> Option<Arc<Entry>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().find(|entry| entry.job.borrow().id == id).cloned()
    }

    /// Asks a run to stop. It ends after its epoch.
    ///
    /// # Errors
    /// `not_found`, or `conflict` if it has ended.
    pub fn cancel(&self, id: u64) -> Result<Job, ApiError> {
        let entry = self
            .entry(id)
            .ok_or_else(|| ApiError::new("not_found", format!("there is no training run {id}")))?;
        let job = entry.job.borrow().clone();
        if job.state != JobState::Running {
            return Err(ApiError::new("conflict", format!("training run {id} has ended")));
        }
        entry.cancel.cancel();
        Ok(job)
    }

    /// Asks every run to stop.
    pub fn cancel_all(&self) {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.iter().for_each(|entry| entry.cancel.cancel());
    }

    /// Begins a run on a thread of its own; `ended` is called when it has, however it ended.
    ///
    /// # Errors
    /// `conflict` if one is under way.
    pub fn start(
        self: &Arc<Self>,
        engine: Arc<Engine>,
        versions: Versions,
        options: TrainOptions,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Job, ApiError> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = entries.iter().find(|entry| entry.job.borrow().state == JobState::Running) {
            let id = running.job.borrow().id;
            return Err(ApiError::new(
                "conflict",
                format!("training run {id} is under way; wait, or cancel it"),
            ));
        }
        let job = Job {
            id: entries.back().map_or(0, |entry| entry.job.borrow().id) + 1,
            state: JobState::Running,
            stage: "starting".to_owned(),
            epochs: Vec::new(),
            started: now(),
            ended: None,
            report: None,
            error: None,
        };
        let entry = Arc::new(Entry { job: watch::Sender::new(job.clone()), cancel: CancelFlag::default() });
        while entries.len() >= REMEMBERED {
            entries.pop_front();
        }
        entries.push_back(entry.clone());
        drop(entries);
        let run = move || {
            let told = Told(&entry.job);
            let result =
                catch_unwind(AssertUnwindSafe(|| train(&engine, &versions, &options, &told, &entry.cancel)));
            ended();
            entry.job.send_modify(|job| {
                job.ended = Some(now());
                match result {
                    Err(_) => {
                        tracing::error!(job = job.id, "training broke off");
                        job.state = JobState::Failed;
                        job.error = Some(
                            "training broke off, which it should never do; what served goes on serving"
                                .to_owned(),
                        );
                    }
                    Ok(Ok(report)) => {
                        tracing::info!(job = job.id, verdict = %report.verdict, "training ended");
                        job.state = JobState::Done;
                        job.report = Some(report);
                    }
                    Ok(Err(TrainError::Fit(FitError::Cancelled { .. }))) => job.state = JobState::Cancelled,
                    Ok(Err(error)) => {
                        tracing::warn!(job = job.id, %error, "training failed");
                        job.state = JobState::Failed;
                        job.error = Some(error.to_string());
                    }
                }
            });
        };
        let spawned = std::thread::Builder::new().name("training".to_owned()).spawn(run);
        if let Err(error) = spawned {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.retain(|entry| entry.job.borrow().id != job.id);
            return Err(ApiError::internal(&error.to_string()));
        }
        Ok(job)
    }
}

struct Told<'a>(&'a watch::Sender<Job>);

impl Progress for Told<'_> {
    fn stage(&self, name: &str) {
        self.0.send_modify(|job| {
            name.clone_into(&mut job.stage);
            job.epochs.clear();
        });
    }

    fn epoch(&self, epoch: Epoch) {
        self.0.send_modify(|job| job.epochs.push(epoch.into()));
    }
}
