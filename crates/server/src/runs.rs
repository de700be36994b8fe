//! Long work in the background: one run of a kind at a time, its progress watched by anybody, its end kept.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldin_core::CancelFlag;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::error::ApiError;

/// Most watchers of a run at the same time.
const WATCHERS: usize = 64;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Under way.
    Running,
    /// Ended with what was wanted.
    Done,
    /// Ended by an error.
    Failed,
    /// Ended because somebody asked.
    Cancelled,
}

/// What is told of a run of some kind.
pub trait Run: Clone + Send + Sync + 'static {
    /// What a run is called.
    const NAME: &'static str;
    /// Ended runs that are remembered.
    const REMEMBERED: usize;

    /// Its number.
    fn id(&self) -> u64;

    /// Where it is.
    fn state(&self) -> JobState;

    /// Notes that it ended by a panic.
    fn broke_off(&mut self);
}

#[derive(Debug)]
struct Entry<R> {
    run: watch::Sender<R>,
    cancel: CancelFlag,
}

/// All runs of a kind since the server started.
#[derive(Debug)]
pub struct Runs<R> {
    entries: Mutex<VecDeque<Arc<Entry<R>>>>,
}

impl<R> Default for Runs<R> {
    fn default() -> Self {
        Self { entries: Mutex::default() }
    }
}

impl<R: Run> Runs<R> {
    fn entries(&self) -> MutexGuard<'_, VecDeque<Arc<Entry<R>>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All runs, the latest first.
    #[must_use]
    pub fn list(&self) -> Vec<R> {
        self.entries().iter().rev().map(|entry| entry.run.borrow().clone()).collect()
    }

    /// Whether one is under way.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.entries().iter().any(|entry| entry.run.borrow().state() == JobState::Running)
    }

    /// A run as it is now.
    ///
    /// # Errors
    /// `not_found`.
    pub fn get(&self, id: &str) -> Result<R, ApiError> {
        Ok(self.entry(id)?.run.borrow().clone())
    }

    /// Watches a run.
    ///
    /// # Errors
    /// `not_found`, or `overloaded` if too many watch it.
    pub fn watch(&self, id: &str) -> Result<watch::Receiver<R>, ApiError> {
        let entry = self.entry(id)?;
        if entry.run.receiver_count() >= WATCHERS {
            let message = format!("{WATCHERS} watch {} {id} already; try again when one has left", R::NAME);
            return Err(ApiError::new("overloaded", message));
        }
        Ok(entry.run.subscribe())
    }

    fn entry(&self, id: &str) -> Result<Arc<Entry<R>>, ApiError> {
        let number = id.parse::<u64>().ok();
        let found = self.entries().iter().find(|entry| Some(entry.run.borrow().id()) == number).cloned();
        found.ok_or_else(|| ApiError::new("not_found", format!("there is no {} `{id}`", R::NAME)))
    }

    /// Asks a run to stop. It ends after its epoch or step.
    ///
    /// # Errors
    /// `not_found`, or `conflict` if it has ended.
    pub fn cancel(&self, id: &str) -> Result<R, ApiError> {
        let entry = self.entry(id)?;
        let run = entry.run.borrow().clone();
        if run.state() != JobState::Running {
            return Err(ApiError::new("conflict", format!("{} {id} has ended", R::NAME)));
        }
        entry.cancel.cancel();
        Ok(run)
    }

    /// Asks every run to stop.
    pub fn cancel_all(&self) {
        self.entries().iter().for_each(|entry| entry.cancel.cancel());
    }

    /// Begins a run on a thread of its own: `first` makes it of its number, `work` tells how it goes and how it ended.
    ///
    /// # Errors
    /// `conflict` if one is under way.
    pub fn start(
        &self,
        first: impl FnOnce(u64) -> R,
        work: impl FnOnce(&watch::Sender<R>, &CancelFlag) + Send + 'static,
    ) -> Result<R, ApiError> {
        let mut entries = self.entries();
        if let Some(running) = entries.iter().find(|entry| entry.run.borrow().state() == JobState::Running) {
            let id = running.run.borrow().id();
            let message = format!("{} {id} is under way; wait, or cancel it", R::NAME);
            return Err(ApiError::new("conflict", message));
        }
        let run = first(entries.back().map_or(0, |entry| entry.run.borrow().id()) + 1);
        let entry = Arc::new(Entry { run: watch::Sender::new(run.clone()), cancel: CancelFlag::default() });
        let of_thread = entry.clone();
        let all = move || {
            let Entry { run, cancel } = &*of_thread;
            let result = catch_unwind(AssertUnwindSafe(|| work(run, cancel)));
            // One that said nothing would be taken to run for ever, and no other could begin.
            if result.is_err() || run.borrow().state() == JobState::Running {
                run.send_modify(R::broke_off);
            }
        };
        std::thread::Builder::new()
            .name(R::NAME.split(' ').next().unwrap_or_default().to_owned())
            .spawn(all)
            .map_err(|error| ApiError::internal(&error.to_string()))?;
        while entries.len() >= R::REMEMBERED {
            entries.pop_front();
        }
        entries.push_back(entry);
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[derive(Clone, Debug, PartialEq)]
    struct Count {
        id: u64,
        state: JobState,
    }

    impl Run for Count {
        const NAME: &'static str = "count";
        const REMEMBERED: usize = 3;

        fn id(&self) -> u64 {
            self.id
        }

        fn state(&self) -> JobState {
            self.state
        }

        fn broke_off(&mut self) {
            self.state = JobState::Failed;
        }
    }

    fn first(id: u64) -> Count {
        Count { id, state: JobState::Running }
    }

    /// Waits until a run has ended.
    fn ended(runs: &Runs<Count>, id: u64) -> JobState {
        for _ in 0..5000 {
            let state = runs.get(&id.to_string()).unwrap().state;
            if state != JobState::Running {
                return state;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("run {id} does not end")
    }

    #[test]
    fn one_at_a_time_and_the_last_few_remembered() {
        let runs = Runs::default();
        let (go, wait) = mpsc::channel::<()>();
        let run = runs
            .start(first, move |run, _| {
                wait.recv().unwrap();
                run.send_modify(|run| run.state = JobState::Done);
            })
            .unwrap();
        assert_eq!(run.id, 1);
        assert_eq!(runs.start(first, |_, _| {}).unwrap_err().code, "conflict");
        go.send(()).unwrap();
        assert_eq!(ended(&runs, 1), JobState::Done);
        for id in 2..=5 {
            runs.start(first, |run, _| run.send_modify(|run| run.state = JobState::Done)).unwrap();
            assert_eq!(ended(&runs, id), JobState::Done);
        }
        assert_eq!(runs.list().iter().map(|run| run.id).collect::<Vec<_>>(), [5, 4, 3]);
        for id in ["1", "6", "x", "-1"] {
            assert_eq!(runs.get(id).unwrap_err().code, "not_found");
        }
        assert_eq!(runs.cancel("5").unwrap_err().code, "conflict");
    }

    #[test]
    fn a_panic_ends_a_run_and_a_cancelled_one_hears_of_it() {
        let runs = Runs::default();
        runs.start(first, |_, _| panic!("on purpose")).unwrap();
        assert_eq!(ended(&runs, 1), JobState::Failed);
        let work = |run: &watch::Sender<Count>, cancel: &CancelFlag| {
            while !cancel.is_cancelled() {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            run.send_modify(|run| run.state = JobState::Cancelled);
        };
        runs.start(first, work).unwrap();
        runs.cancel("2").unwrap();
        assert_eq!(ended(&runs, 2), JobState::Cancelled);
    }

    #[test]
    fn watchers_are_counted_and_their_places_come_back() {
        let runs = Runs::default();
        let (go, wait) = mpsc::channel::<()>();
        runs.start(first, move |_, _| wait.recv().unwrap_or_default()).unwrap();
        let mut watchers: Vec<_> = (0..WATCHERS).map(|_| runs.watch("1").unwrap()).collect();
        assert_eq!(runs.watch("1").unwrap_err().code, "overloaded");
        watchers.pop();
        assert!(runs.watch("1").is_ok());
        go.send(()).unwrap();
    }
}
