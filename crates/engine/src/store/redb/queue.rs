//! Group commit: many calls that write at the same time share one transaction and one sync.
//!
//! There is no thread of its own. The first caller to come leads: it writes what is waiting, its own call first, and tells the others.
//! Calls that come meanwhile wait; when the leader is done it hands over to the first of them. So a lone writer pays no switch of threads, and
//! with many the batches grow by themselves to what arrives during one sync. Waiting is bounded in calls and in bytes.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::apply::{Change, Outcome};
use crate::store::StoreError;

/// Most bytes of changes in one transaction, so that nobody waits long behind a batch. A single larger call is a transaction of its own.
const BATCH_BYTES: usize = 16 << 20;

type Answer = Result<Outcome, StoreError>;

#[derive(Debug)]
enum Signal {
    /// Somebody wrote it.
    Done(Answer),
    /// You write: your call is the first of those that wait.
    Lead,
}

#[derive(Debug)]
struct Waiting {
    change: Change,
    bytes: usize,
    signal: SyncSender<Signal>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Calls and bytes taken and not yet written.
    calls: usize,
    bytes: usize,
    /// Somebody writes, or was told to.
    led: bool,
    closed: bool,
}

/// What to do when too many calls wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenFull {
    Refuse,
    Wait,
}

/// Calls that wait to be written.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Something was written: there is room, or nobody leads any more.
    changed: Condvar,
    most_calls: usize,
    most_bytes: usize,
}

impl Queue {
    pub(super) fn new(most_calls: usize, most_bytes: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            most_calls: most_calls.max(1),
            most_bytes: most_bytes.max(1),
        }
    }

    /// Has a change written by `write`, which this call may have to do for others too. `write` gives one answer for each change and does not panic.
    pub(super) fn submit(
        &self,
        change: Change,
        when_full: WhenFull,
        write: impl FnOnce(&[Change]) -> Vec<Answer>,
    ) -> Answer {
        let (leads, signal) = self.enter(change, when_full)?;
        if !leads {
            match signal.recv() {
                Ok(Signal::Done(answer)) => return answer,
                Ok(Signal::Lead) => {}
                Err(_) => return Err(StoreError::Closed),
            }
        }
        self.lead(write);
        match signal.recv() {
            Ok(Signal::Done(answer)) => answer,
            Ok(Signal::Lead) | Err(_) => Err(StoreError::Closed),
        }
    }

    /// Takes no more calls, and returns when the last of those that wait is written.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        while state.led {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn enter(&self, change: Change, when_full: WhenFull) -> Result<(bool, Receiver<Signal>), StoreError> {
        let bytes = change.bytes();
        let mut state = self.lock();
        loop {
            if state.closed {
                return Err(StoreError::Closed);
            }
            // One call alone is taken however large it is: it could never be written otherwise.
            let fits =
                state.calls == 0 || (state.calls < self.most_calls && state.bytes + bytes <= self.most_bytes);
            if fits {
                break;
            }
            if when_full == WhenFull::Refuse {
                return Err(StoreError::Busy { waiting: state.calls });
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        // Room for both signals: nobody waits to give one.
        let (signal, receiver) = sync_channel(2);
        state.calls += 1;
        state.bytes += bytes;
        state.waiting.push_back(Waiting { change, bytes, signal });
        let leads = !state.led;
        state.led = true;
        Ok((leads, receiver))
    }

    fn lead(&self, write: impl FnOnce(&[Change]) -> Vec<Answer>) {
        let (mut changes, mut others, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut state = self.lock();
        while let Some(first) = state.waiting.front() {
            if !changes.is_empty() && bytes + first.bytes > BATCH_BYTES {
                break;
            }
            if let Some(taken) = state.waiting.pop_front() {
                bytes += taken.bytes;
                changes.push(taken.change);
                others.push(taken.signal);
            }
        }
        drop(state);

        let answers = write(&changes);
        debug_assert_eq!(answers.len(), others.len(), "one answer for each change");
        let calls = changes.len();
        drop(changes);

        let mut state = self.lock();
        state.calls -= calls;
        state.bytes -= bytes;
        match state.waiting.front() {
            // The receiver lives: its caller waits for this.
            Some(next) => drop(next.signal.try_send(Signal::Lead)),
            None => state.led = false,
        }
        drop(state);
        self.changed.notify_all();
        for (signal, answer) in others.iter().zip(answers) {
            drop(signal.try_send(Signal::Done(answer)));
        }
    }

    /// A state is changed in steps that cannot panic, so a poisoned one is sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
