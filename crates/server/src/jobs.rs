//! Training in the background.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use foldin_core::{Epoch, FitError, Progress};
use foldin_engine::train::LearningPoint;
use foldin_engine::{Engine, TrainError, TrainOptions, TrainReport, Versions, train};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::runs::{JobState, Run, Runs};
use crate::state::now;

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

impl Run for Job {
    const NAME: &'static str = "training run";
    const REMEMBERED: usize = 50;

    fn id(&self) -> u64 {
        self.id
    }

    fn state(&self) -> JobState {
        self.state
    }

    fn broke_off(&mut self) {
        tracing::error!(job = self.id, "training broke off");
        self.ended = Some(now());
        self.state = JobState::Failed;
        self.error =
            Some("training broke off, which it should never do; what served goes on serving".to_owned());
    }
}

/// All training runs since the server started.
pub type Jobs = Runs<Job>;

impl Jobs {
    /// Begins a training run on a thread of its own; `ended` is called when it has, however it ended.
    ///
    /// # Errors
    /// `conflict` if one is under way.
    pub fn train(
        &self,
        engine: Arc<Engine>,
        versions: Versions,
        options: TrainOptions,
        ended: impl FnOnce() + Send + 'static,
    ) -> Result<Job, ApiError> {
        let job = |id| Job {
            id,
            state: JobState::Running,
            stage: "starting".to_owned(),
            epochs: Vec::new(),
            started: now(),
            ended: None,
            report: None,
            error: None,
        };
        self.start(job, move |job, cancel| {
            let result =
                catch_unwind(AssertUnwindSafe(|| train(&engine, &versions, &options, &Told(job), cancel)));
            // Before anybody hears that it ended: what they ask for next is to be there.
            ended();
            let result = match result {
                Ok(result) => result,
                Err(payload) => resume_unwind(payload),
            };
            job.send_modify(|job| {
                job.ended = Some(now());
                match result {
                    Ok(report) => {
                        tracing::info!(job = job.id, verdict = %report.verdict, "training ended");
                        job.state = JobState::Done;
                        job.report = Some(report);
                    }
                    Err(TrainError::Fit(FitError::Cancelled { .. })) => job.state = JobState::Cancelled,
                    Err(error) => {
                        tracing::warn!(job = job.id, %error, "training failed");
                        job.state = JobState::Failed;
                        job.error = Some(error.to_string());
                    }
                }
            });
        })
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
