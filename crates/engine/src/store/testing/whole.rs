//! Is the whole of it counted, scanned, copied and closed?

use std::ops::ControlFlow;

use super::conformance::{Outcome, Subject, equal, event, fill, holds, recounted};
use super::contents::Contents;
use crate::store::{Event, JsonMap, RedbStore, Sequence, Store, StoreError, StoreOptions};

pub(super) fn recount(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    recounted(&*store)?;
    fill(&*store)?;
    recounted(&*store)
}

pub(super) fn scan_order(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    fill(&*store)?;
    let events = Contents::of(&*store)?.events;
    let mut users: Vec<&str> = events.iter().map(|event| &*event.user).collect();
    users.dedup();
    // The first events of the 23 users are of 0, 7, 14, …; 5 was forgotten and came back last.
    let mut expected: Vec<String> = (0..23)
        .map(|number| number * 7 % 23)
        .filter(|number| *number != 5)
        .map(|number| format!("user-{number}"))
        .collect();
    expected.push("user-5".into());
    equal("users", &users, &expected.iter().map(String::as_str).collect())?;
    let mut joined = Vec::new();
    for user in users {
        joined.extend(store.history(user, usize::MAX)?);
    }
    equal("histories", &events, &joined)?;
    let mut seen = 0;
    store.scan(None, &mut |_| {
        seen += 1;
        if seen == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    equal("until a break", &seen, &10)
}

pub(super) fn scan_after(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    store.append(&[event("u", "a", 1), event("u", "b", 2), event("v", "a", 3)])?;
    let scan = |after| -> Result<(Sequence, Vec<String>), StoreError> {
        let mut items = Vec::new();
        let last = store.scan(after, &mut |event| {
            items.push(format!("{}/{}", event.user, event.item));
            ControlFlow::Continue(())
        })?;
        Ok((last, items))
    };
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    equal("all", &scan(None)?, &(Sequence(3), texts(&["u/a", "u/b", "v/a"])))?;
    equal("from the start", &scan(Some(Sequence(0)))?, &(Sequence(3), texts(&["u/a", "u/b", "v/a"])))?;
    equal("later ones", &scan(Some(Sequence(1)))?, &(Sequence(3), texts(&["u/b", "v/a"])))?;
    equal("none yet", &scan(Some(Sequence(3)))?, &(Sequence(3), texts(&[])))?;
    equal("far ahead", &scan(Some(Sequence(99)))?, &(Sequence(3), texts(&[])))?;
    // A repeat is as new as its last write.
    store.append(&[event("u", "a", 4)])?;
    equal("a repeat", &scan(Some(Sequence(3)))?, &(Sequence(4), texts(&["u/a"])))
}

pub(super) fn scan_calls(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    store.append(&[event("u", "a", 1), event("v", "b", 2), event("w", "c", 3)])?;
    let (mut seen, mut wrong) = (0, Ok(()));
    let ask = |found: Event, seen: usize| -> Outcome {
        equal("history", &store.history(&found.user, 9)?, &vec![found])?;
        store.append(&[event("later", &format!("{seen}"), 4)])?;
        Ok(())
    };
    store.scan(None, &mut |found| {
        seen += 1;
        wrong = ask(found, seen);
        if wrong.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    wrong?;
    equal("seen", &seen, &3)?;
    equal("written meanwhile", &store.history("later", 9)?.len(), &3)
}

pub(super) fn reopen(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    fill(&*store)?;
    let before = Contents::of(&*store)?;
    let Some(store) = subject.reopen(store) else { return Ok(()) };
    equal("contents", &Contents::of(&*store)?, &before)?;
    equal("setting", &store.get_setting("a setting")?, &Some(b"\0\xff".to_vec()))?;
    let next = store.append(&[event("new", "i", 0)])?;
    equal("next number", &next, &Sequence(before.counts.last.0 + 1))
}

pub(super) fn backup(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    fill(&*store)?;
    let path = subject.folder().join("backup");
    store.backup(&path)?;
    store.append(&[event("after", "the backup", 0)])?;
    // A second one takes the place of the first.
    store.backup(&path)?;
    let copy = RedbStore::open(&path, StoreOptions::default())?;
    equal("contents", &Contents::of(&copy)?, &Contents::of(&*store)?)?;
    equal("setting", &copy.get_setting("a setting")?, &store.get_setting("a setting")?)?;
    equal("next number", &copy.append(&[event("new", "i", 0)])?, &store.append(&[event("new", "i", 0)])?)?;
    let nowhere = subject.folder().join("missing").join("backup");
    holds("a folder that is not there", matches!(store.backup(&nowhere), Err(StoreError::Io { .. })))?;
    recounted(&*store)
}

pub(super) fn closed(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    store.append(&[event("u", "i", 0)])?;
    store.close()?;
    store.close()?;
    let answers = [
        store.append(&[event("u", "i", 0)]).err(),
        store.import(&mut std::iter::once(event("u", "i", 0))).err(),
        store.delete_event("u", "i", "rating").err(),
        store.history("u", 1).err(),
        store.scan(None, &mut |_| ControlFlow::Continue(())).err(),
        store.user("u").err(),
        store.put_user("u", &JsonMap::new()).err(),
        store.forget("u").err(),
        store.users(None, 1).err(),
        store.put_items(&[]).err(),
        store.item("i").err(),
        store.items(None, 1).err(),
        store.delete_item("i").err(),
        store.counts().err(),
        store.get_setting("s").err(),
        store.put_setting("s", None).err(),
        store.backup(&subject.folder().join("closed")).err(),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        equal(&format!("call {number}"), &answer, &Some(StoreError::Closed))?;
    }
    Ok(())
}
