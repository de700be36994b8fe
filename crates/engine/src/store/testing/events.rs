//! Are events kept as they came, and in order?

use super::conformance::{Outcome, Subject, Wrong, equal, event, features, holds, items_of, recounted};
use super::contents::Contents;
use crate::store::check::MAX_KEY_BYTES;
use crate::store::{Event, Invalid, ItemRecord, Sequence, StoreError};

pub(super) fn sequences(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    equal("of an empty batch in an empty store", &store.append(&[])?, &Sequence(0))?;
    equal("first", &store.append(&[event("u", "a", 1)])?, &Sequence(1))?;
    equal(
        "three more",
        &store.append(&[event("u", "b", 1), event("v", "a", 1), event("u", "a", 2)])?,
        &Sequence(4),
    )?;
    store.forget("u")?;
    equal("an empty batch", &store.append(&[])?, &Sequence(4))?;
    equal("after forgetting", &store.append(&[event("u", "a", 1)])?, &Sequence(5))?;
    equal("counted", &store.counts()?.last, &Sequence(5))
}

pub(super) fn repeats(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    store.append(&[event("u", "a", 5).with_value(1.0), event("u", "b", 6)])?;
    store.append(&[Event::new("u", "a", "view", 1)])?;
    // The last write counts, though its time is earlier, and though it says no value.
    store.append(&[event("u", "a", 2)])?;
    let expected = [Event::new("u", "a", "view", 1), event("u", "a", 2), event("u", "b", 6)];
    equal("history", &store.history("u", 9)?, &expected.to_vec())?;
    let counts = store.counts()?;
    equal("events", &counts.events, &3)?;
    equal("ratings", &counts.by_kind.get("rating").copied(), &Some(2))
}

pub(super) fn repeats_in_batch(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    let batch = [event("u", "b", 3), event("u", "a", 2).with_value(1.0), event("u", "a", 1).with_value(2.0)];
    store.append(&batch)?;
    equal("history", &store.history("u", 9)?, &vec![batch[2].clone(), batch[0].clone()])?;
    equal("events", &store.counts()?.events, &2)
}

pub(super) fn order(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    let batch: Vec<Event> = [("e", 30), ("c", 10), ("d", 30), ("b", 10), ("a", -5)]
        .map(|(item, time)| event("u", item, time))
        .into();
    store.append(&batch[..3])?;
    store.append(&batch[3..])?;
    equal("all", &items_of(&store.history("u", usize::MAX)?), &vec!["a", "c", "b", "e", "d"])?;
    equal("latest", &items_of(&store.history("u", 2)?), &vec!["e", "d"])?;
    equal("none", &store.history("u", 0)?, &vec![])?;
    equal("of nobody", &store.history("nobody", 9)?, &vec![])?;
    equal("of no key", &store.history("", 9)?, &vec![])
}

pub(super) fn invalid_batch(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    let bad = [
        ("user", event("", "i", 0)),
        ("item", event("u", "a\tb", 0)),
        ("kind", Event::new("u", "i", &"k".repeat(MAX_KEY_BYTES + 1), 0)),
        ("value", event("u", "i", 0).with_value(f32::INFINITY)),
    ];
    for (field, bad) in bad {
        match store.append(&[event("good", "i", 0), bad.clone()]) {
            Err(StoreError::Invalid(Invalid { field: found, index: Some(1), .. })) => {
                equal("field", &found, &field)?;
            }
            other => return Err(Wrong(format!("a bad {field} gives {other:?}"))),
        }
        let many = (0..3).map(|number| event("good", &format!("{number}"), 0)).chain([bad]);
        match store.import(&mut many.into_iter()) {
            Err(StoreError::Invalid(Invalid { index: Some(3), .. })) => {}
            other => return Err(Wrong(format!("importing a bad {field} gives {other:?}"))),
        }
    }
    equal("kept", &Contents::of(&*store)?.events, &vec![])
}

pub(super) fn extremes(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    let values = [-0.0, f32::MIN_POSITIVE / 2.0, f32::MAX, f32::MIN, 0.1];
    let times = [i64::MIN, -1, 0, 1, i64::MAX];
    let events: Vec<Event> = values
        .iter()
        .zip(times)
        .map(|(value, time)| event("u", &format!("{value}"), time).with_value(*value))
        .collect();
    store.append(&events)?;
    let history = store.history("u", 9)?;
    equal("history", &history, &events)?;
    let sign = history[0].value.is_some_and(f32::is_sign_negative);
    holds("minus zero keeps its sign", sign)
}

pub(super) fn unicode(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    let longest = "é".repeat(MAX_KEY_BYTES / 2);
    let keys = ["日本語", "🎬", "a/b?c=d&e", " ", "\u{a0}", "'\"\\", "Ω≈ç√", "a", "aa", "a\u{301}", &longest];
    for (number, user) in (0..).zip(keys) {
        for item in keys {
            store.append(&[Event::new(user, item, user, number)])?;
        }
        store.put_items(&[ItemRecord {
            key: user.into(),
            title: Some(user.into()),
            ..ItemRecord::default()
        }])?;
    }
    for user in keys {
        let history = store.history(user, usize::MAX)?;
        equal("items", &items_of(&history), &keys.to_vec())?;
        holds("user and kind", history.iter().all(|event| *event.user == *user && *event.kind == *user))?;
        equal("title", &store.item(user)?.and_then(|item| item.title), &Some(user.to_owned()))?;
    }
    recounted(&*store)
}

pub(super) fn delete_event(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    store.append(&[event("u", "a", 1), event("u", "b", 2), Event::new("u", "a", "view", 3)])?;
    equal("it was there", &store.delete_event("u", "a", "rating")?, &true)?;
    equal("it is no more", &store.delete_event("u", "a", "rating")?, &false)?;
    for (user, item, kind) in [("v", "a", "view"), ("u", "c", "view"), ("u", "a", "click"), ("", "", "")] {
        equal("never was", &store.delete_event(user, item, kind)?, &false)?;
    }
    equal("left", &items_of(&store.history("u", 9)?), &vec!["b", "a"])?;
    store.delete_event("u", "b", "rating")?;
    store.delete_event("u", "a", "view")?;
    equal("known without events", &store.user("u")?.map(|user| user.events), &Some(0))?;
    holds("kinds without events are not named", store.counts()?.by_kind.is_empty())?;
    recounted(&*store)
}

/// A record is what the history and the user say, also after each of what changes it.
pub(super) fn record(subject: &dyn Subject) -> Outcome {
    let store = subject.fresh();
    let agrees = |limit| -> Outcome {
        let (record, history) = (store.record("u", limit)?, store.history("u", limit)?);
        let events: Vec<Event> = record
            .events()
            .map(|event| Event { value: event.value, ..Event::new("u", event.item, event.kind, event.time) })
            .collect();
        equal("events", &events, &history)?;
        let features = store.user("u")?.map(|user| user.features).unwrap_or_default();
        equal("features", &record.features, &features)
    };
    agrees(9)?;
    store.append(&[Event::new("u", "a", "view", 3), Event::new("u", "b", "rating", 1).with_value(2.0)])?;
    agrees(9)?;
    agrees(1)?;
    store.append(&[Event::new("u", "b", "rating", 4).with_value(5.0), Event::new("v", "a", "view", 9)])?;
    agrees(9)?;
    store.put_user("u", &features(31))?;
    agrees(9)?;
    store.delete_event("u", "a", "view")?;
    agrees(9)?;
    store.import(&mut [Event::new("u", "c", "click", 2)].into_iter())?;
    agrees(9)?;
    store.forget("u")?;
    agrees(9)?;
    equal("of nobody", &store.record("u", 9)?.events().len(), &0)
}

pub(super) fn long_history(subject: &dyn Subject) -> Outcome {
    const EVENTS: i64 = 100_000;
    let store = subject.fresh();
    store.append(&[event("before", "x", 0)])?;
    store
        .import(&mut (0..EVENTS).map(|number| event("u", &format!("{}", number * 7919 % EVENTS), number)))?;
    store.append(&[event("between", "x", 0)])?;
    equal("all", &store.history("u", usize::MAX)?.len(), &(EVENTS as usize))?;
    let latest: Vec<String> =
        (EVENTS - 3..EVENTS).map(|number| format!("{}", number * 7919 % EVENTS)).collect();
    equal("latest", &items_of(&store.history("u", 3)?), &latest.iter().map(String::as_str).collect())?;
    equal("counted", &store.user("u")?.map(|user| user.events), &Some(EVENTS as u64))?;
    equal("forgotten", &store.forget("u")?.events, &(EVENTS as u64))?;
    equal("left", &store.counts()?.events, &2)?;
    recounted(&*store)
}

pub(super) fn import(subject: &dyn Subject) -> Outcome {
    let events: Vec<Event> = (0..70_000)
        .map(|number| {
            event(&format!("u{}", number % 991), &format!("i{}", number * number % 1009), number % 777)
        })
        .collect();
    let (imported, appended) = (subject.fresh(), subject.fresh());
    let report = imported.import(&mut events.iter().cloned())?;
    equal("events", &report.events, &70_000)?;
    let mut last = Sequence(0);
    for batch in events.chunks(7000) {
        last = appended.append(batch)?;
    }
    equal("last", &report.last, &last)?;
    let contents = Contents::of(&*imported)?;
    holds("the same", contents == Contents::of(&*appended)?)?;
    equal("miscounted", &contents.miscounted(), &None)?;
    let nothing = imported.import(&mut std::iter::empty())?;
    equal("nothing", &(nothing.events, nothing.last), &(0, last))
}
