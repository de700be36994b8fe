//! Are users, items and settings kept, and gone when they should be?

use std::collections::BTreeSet;

use super::conformance::{Outcome, Subject, Wrong, equal, event, features, holds, items_of, recounted};
use super::contents::Contents;
use crate::store::{Event, ItemRecord, JsonMap, StoreError, User};

pub(super) fn users(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    equal("unknown", &store.user("u")?, &None)?;
    store.put_user("u", &features(31))?;
    equal("put", &store.user("u")?, &Some(User { key: "u".into(), features: features(31), events: 0 }))?;
    store.append(&[event("u", "a", 1), event("v", "a", 1)])?;
    store.put_user("u", &features(32))?;
    equal("replaced", &store.user("u")?, &Some(User { key: "u".into(), features: features(32), events: 1 }))?;
    let plain = User { key: "v".into(), features: JsonMap::new(), events: 1 };
    equal("by an event", &store.user("v")?, &Some(plain))?;
    equal("counted", &store.counts()?.users, &2)?;
    holds("an empty key", matches!(store.put_user("", &JsonMap::new()), Err(StoreError::Invalid(_))))
}

pub(super) fn forget(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    let neighbours = [event("a", "x", 1), event("somebody-secret", "x", 1), event("z", "x", 1)];
    store.append(&neighbours)?;
    store.append(&[event("somebody-secret", "y", 2), Event::new("somebody-secret", "x", "view", 3)])?;
    store.put_user("somebody-secret", &features(31))?;
    let forgotten = store.forget("somebody-secret")?;
    equal("erased", &(forgotten.events, forgotten.known), &(3, true))?;
    equal("again", &store.forget("somebody-secret")?.known, &false)?;
    equal("history", &store.history("somebody-secret", 9)?, &vec![])?;
    equal("user", &store.user("somebody-secret")?, &None)?;
    let contents = Contents::of(&*store)?;
    equal("left", &contents.events, &vec![neighbours[0].clone(), neighbours[2].clone()])?;
    recounted(&*store)?;
    let path = subject.folder().join("after-forgetting");
    store.backup(&path)?;
    let bytes = std::fs::read(&path).map_err(|error| Wrong(error.to_string()))?;
    let secret = b"somebody-secret";
    holds("a backup without the key", !bytes.windows(secret.len()).any(|window| window == secret))?;
    // Whoever comes back is new: seen last.
    store.append(&[event("somebody-secret", "w", 4)])?;
    equal("back", &items_of(&store.history("somebody-secret", 9)?), &vec!["w"])?;
    let last = Contents::of(&*store)?.events.pop().map(|event| event.item.to_string());
    equal("last in a scan", &last.as_deref(), &Some("w"))
}

pub(super) fn paging(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    let keys: BTreeSet<String> = (0..250).map(|number| format!("{}é{number}", number % 7)).collect();
    for key in &keys {
        store.append(&[event(key, "i", 0)])?;
        store.put_items(&[ItemRecord { key: key.as_str().into(), ..ItemRecord::default() }])?;
    }
    let contents = Contents::of(&*store)?;
    let sorted: Vec<&str> = keys.iter().map(String::as_str).collect();
    equal("users", &contents.users.iter().map(|user| &*user.key).collect(), &sorted)?;
    equal("items", &contents.items.iter().map(|item| &*item.key).collect(), &sorted)?;
    equal("after a key that is not there", &store.users(Some("3"), 1)?.len(), &1)?;
    equal("after the last", &store.users(Some("7"), 9)?, &vec![])?;
    equal("a page of none", &store.items(None, 0)?, &vec![])?;
    equal("after the empty key", &store.items(Some(""), 1)?.len(), &1)
}

pub(super) fn items(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    let full = ItemRecord {
        key: "heat".into(),
        title: Some("Heat (1995)".into()),
        attributes: features(1995),
        hidden: true,
        categories: vec!["Crime".into(), "Thriller".into()],
        time: Some(-1),
    };
    let plain = ItemRecord { key: "alien".into(), ..ItemRecord::default() };
    store.put_items(&[full.clone(), plain.clone(), full.clone()])?;
    equal("full", &store.item("heat")?, &Some(full.clone()))?;
    equal("plain", &store.item("alien")?, &Some(plain.clone()))?;
    equal("counted once", &store.counts()?.items, &2)?;
    let bare = ItemRecord { key: "heat".into(), ..ItemRecord::default() };
    store.put_items(std::slice::from_ref(&bare))?;
    equal("replaced as a whole", &store.item("heat")?, &Some(bare))?;
    let bad = ItemRecord { categories: vec![String::new()], ..plain.clone() };
    let batch = [ItemRecord { key: "new".into(), ..ItemRecord::default() }, bad];
    holds("invalid", matches!(store.put_items(&batch), Err(StoreError::Invalid(_))))?;
    equal("nothing of the batch", &store.item("new")?, &None)?;
    equal("deleted", &store.delete_item("heat")?, &true)?;
    equal("again", &store.delete_item("heat")?, &false)?;
    equal("gone", &store.item("heat")?, &None)?;
    store.append(&[event("u", "nowhere", 0)])?;
    equal("events make no records", &store.item("nowhere")?, &None)?;
    recounted(&*store)
}

pub(super) fn settings(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    equal("unknown", &store.get_setting("name")?, &None)?;
    store.put_setting("name", Some(b"\0\x01\xff"))?;
    store.put_setting("empty", Some(b""))?;
    equal("put", &store.get_setting("name")?, &Some(b"\0\x01\xff".to_vec()))?;
    equal("empty", &store.get_setting("empty")?, &Some(Vec::new()))?;
    store.put_setting("name", None)?;
    store.put_setting("never was", None)?;
    equal("deleted", &store.get_setting("name")?, &None)?;
    holds("a name", matches!(store.put_setting("", Some(b"x")), Err(StoreError::Invalid(_))))
}
