//! What must hold while many threads read, write and forget.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::conformance::{Outcome, Subject, Wrong, equal, holds};
use super::contents::Contents;
use crate::store::Event;

const THREADS: usize = 16;

/// Runs one piece of work on each of many threads, and returns the first thing that was wrong.
fn on_threads(threads: usize, work: impl Fn(usize) -> Outcome + Sync) -> Outcome {
    thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        handles
            .into_iter()
            .try_for_each(|handle| handle.join().unwrap_or_else(|_| Err(Wrong("a thread panicked".into()))))
    })
}

pub(super) fn own_writes(subject: &dyn Subject) -> Outcome {
    const ROUNDS: usize = 25;
    let store = subject.fresh();
    on_threads(THREADS, |thread| {
        let own = format!("user-{thread}");
        let mut last = None;
        for round in 0..ROUNDS {
            // Half of the writes go to a user of the thread's own, half to one of everybody's.
            let item = format!("{thread}-{round}");
            let batch =
                [Event::new(&own, &item, "view", round as i64), Event::new("everybody", &item, "click", 0)];
            let sequence = store.append(&batch)?;
            holds("numbers grow", last.is_none_or(|last| sequence > last))?;
            last = Some(sequence);
            equal("own history", &store.history(&own, usize::MAX)?.len(), &(round + 1))?;
            let shared = store.history("everybody", usize::MAX)?;
            holds("own event among everybody's", shared.iter().any(|event| *event.item == *item))?;
            holds("counted", store.counts()?.last >= sequence)?;
        }
        Ok(())
    })?;
    let contents = Contents::of(&*store)?;
    equal("events", &contents.events.len(), &(2 * THREADS * ROUNDS))?;
    equal("number of the last", &contents.counts.last.0, &((2 * THREADS * ROUNDS) as u64))?;
    equal("miscounted", &contents.miscounted(), &None)
}

/// One thread writes numbered events of a user, one forgets the user time and again: what was acknowledged before a call to forget is gone
/// after it, and what is left at the end are the last ones.
pub(super) fn forget_and_append(subject: &dyn Subject) -> Outcome {
    const EVENTS: u32 = 400;
    /// Events after which the writer waits until the other has forgotten them, lest it be done before the other looks.
    const TURN: u32 = 40;
    let store = subject.fresh();
    let (acknowledged, forgotten, done) = (AtomicU32::new(0), AtomicU32::new(0), AtomicBool::new(false));
    let number = |event: &Event| event.item.parse::<u32>().map_err(|error| Wrong(error.to_string()));
    let write = || -> Outcome {
        for number in 0..EVENTS {
            store.append(&[Event::new("u", &number.to_string(), "view", 0)])?;
            acknowledged.store(number + 1, Ordering::SeqCst);
            if number % TURN == TURN - 1 {
                // The first may have begun before the last event was written; the second saw it.
                let enough = forgotten.load(Ordering::SeqCst) + 2;
                while forgotten.load(Ordering::SeqCst) < enough && !done.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
            }
        }
        Ok(())
    };
    let forget = || -> Outcome {
        while !done.load(Ordering::SeqCst) {
            let before = acknowledged.load(Ordering::SeqCst);
            store.forget("u")?;
            forgotten.fetch_add(1, Ordering::SeqCst);
            for event in store.history("u", usize::MAX)? {
                holds("acknowledged events are gone", number(&event)? >= before)?;
            }
        }
        Ok(())
    };
    on_threads(2, |thread| {
        let outcome = if thread == 0 { write() } else { forget() };
        done.store(true, Ordering::SeqCst);
        outcome
    })?;
    let mut left = store.history("u", usize::MAX)?.iter().map(number).collect::<Result<Vec<u32>, _>>()?;
    left.sort_unstable();
    let expected: Vec<u32> = (EVENTS - left.len() as u32..EVENTS).collect();
    equal("the last ones are left", &left, &expected)?;
    equal("miscounted", &Contents::of(&*store)?.miscounted(), &None)
}

/// Every batch gives one item to two users: a scan that saw half of one would see it with one of them alone.
pub(super) fn one_moment(subject: &dyn Subject) -> Outcome {
    const BATCHES: u32 = 200;
    let store = subject.fresh();
    let done = AtomicBool::new(false);
    on_threads(3, |thread| {
        if thread == 0 {
            for number in 0..BATCHES {
                let item = number.to_string();
                store
                    .append(&[Event::new("left", &item, "view", 0), Event::new("right", &item, "view", 0)])?;
            }
            done.store(true, Ordering::SeqCst);
            return Ok(());
        }
        let mut finished = false;
        while !finished {
            finished = done.load(Ordering::SeqCst);
            let mut seen: HashMap<_, u32> = HashMap::new();
            let last = store.scan(None, &mut |event| {
                *seen.entry(event.item).or_default() += 1;
                ControlFlow::Continue(())
            })?;
            holds("batches are seen whole", seen.values().all(|times| *times == 2))?;
            equal("events up to the number", &(2 * seen.len() as u64), &last.0)?;
        }
        Ok(())
    })
}
