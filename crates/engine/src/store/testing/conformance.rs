//! What every store must satisfy, asked through the trait alone.

use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::json;

use super::contents::Contents;
use super::{concurrent, events, records, whole};
use crate::store::{Event, ItemRecord, JsonMap, Store, StoreError};

/// A kind of store under test.
pub trait Subject: Sync {
    /// A new, empty store.
    fn fresh(&self) -> Box<dyn Store>;

    /// Closes a store and opens what it left, if this kind leaves anything.
    fn reopen(&self, store: Box<dyn Store>) -> Option<Box<dyn Store>>;

    /// A folder to write files to.
    fn folder(&self) -> &Path;
}

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the check.
    pub check: &'static str,
    /// What was seen.
    pub reason: String,
}

/// Why a check failed.
#[derive(Debug)]
pub(super) struct Wrong(pub(super) String);

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self(format!("unexpected error: {error}"))
    }
}

/// What a check returns.
pub(super) type Outcome = Result<(), Wrong>;

type Check = fn(&dyn Subject) -> Outcome;

/// Every check, by name.
const CHECKS: &[(&str, Check)] = &[
    ("sequences_grow_by_one", events::sequences),
    ("a_repeat_replaces", events::repeats),
    ("a_repeat_within_a_batch_replaces", events::repeats_in_batch),
    ("history_is_in_order_of_time_then_writing", events::order),
    ("an_invalid_event_keeps_out_the_batch", events::invalid_batch),
    ("any_value_and_time_comes_back", events::extremes),
    ("any_key_comes_back", events::unicode),
    ("one_event_can_be_deleted", events::delete_event),
    ("a_record_is_history_and_features", events::record),
    ("a_long_history", events::long_history),
    ("a_user_has_features", records::users),
    ("forgotten_is_gone", records::forget),
    ("users_and_items_come_in_pages", records::paging),
    ("items_come_back", records::items),
    ("settings_come_back", records::settings),
    ("counts_equal_a_recount", whole::recount),
    ("a_scan_is_complete_and_in_order", whole::scan_order),
    ("a_scan_can_begin_after_an_event", whole::scan_after),
    ("a_scan_may_call_the_store", whole::scan_calls),
    ("an_import_equals_appending", events::import),
    ("reopening_changes_nothing", whole::reopen),
    ("a_backup_opens_and_equals", whole::backup),
    ("a_closed_store_says_so", whole::closed),
    ("reads_see_own_writes_in_16_threads", concurrent::own_writes),
    ("forgetting_and_writing_at_once", concurrent::forget_and_append),
    ("a_scan_sees_one_moment", concurrent::one_moment),
];

/// Asks every check of a kind of store. Returns those that did not hold.
pub fn conformance(subject: &dyn Subject) -> Vec<Failure> {
    checks().filter_map(|name| check(name, subject)).collect()
}

/// The names of all checks.
pub fn checks() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|(name, _)| *name)
}

/// Asks the check of this name. Returns what was wrong, also if there is no such check.
pub fn check(name: &str, subject: &dyn Subject) -> Option<Failure> {
    let Some((name, check)) = CHECKS.iter().find(|(check, _)| *check == name) else {
        return Some(Failure { check: "checks", reason: format!("there is no check {name}") });
    };
    let reason = match catch_unwind(AssertUnwindSafe(|| check(subject))) {
        Ok(Ok(())) => return None,
        Ok(Err(Wrong(reason))) => reason,
        Err(_) => "it panicked".to_owned(),
    };
    Some(Failure { check: name, reason })
}

pub(super) fn equal<T: PartialEq + Debug>(what: &str, got: &T, expected: &T) -> Outcome {
    if got == expected { Ok(()) } else { Err(Wrong(format!("{what}: got {got:?}, expected {expected:?}"))) }
}

pub(super) fn holds(what: &str, it_does: bool) -> Outcome {
    if it_does { Ok(()) } else { Err(Wrong(what.to_owned())) }
}

pub(super) fn event(user: &str, item: &str, time: i64) -> Event {
    Event::new(user, item, "rating", time)
}

pub(super) fn items_of(history: &[Event]) -> Vec<&str> {
    history.iter().map(|event| &*event.item).collect()
}

pub(super) fn features(age: u64) -> JsonMap {
    JsonMap::from_iter([("age".to_owned(), json!(age)), ("likes".to_owned(), json!(["a", {"b": null}]))])
}

/// Users, events of several kinds, repeats, deletions, items: something of everything.
pub(super) fn fill(store: &dyn Store) -> Outcome {
    let kinds = ["rating", "view", "click"];
    for number in 0u32..300 {
        let (user, item) = (format!("user-{}", number * 7 % 23), format!("item-{}", number * 11 % 37));
        let event = Event::new(&user, &item, kinds[(number % 3) as usize], i64::from(number * 13 % 101));
        store.append(&[event.with_value(number as f32 / 4.0)])?;
    }
    store.put_user("user-3", &features(31))?;
    store.put_user("nobody-yet", &features(7))?;
    store.delete_event("user-7", "item-11", "view")?;
    store.forget("user-5")?;
    store.append(&[event("user-5", "item-1", 9)])?;
    let record = |number: u32| ItemRecord {
        key: format!("item-{number}").into(),
        title: (number > 2).then(|| format!("Item № {number}")),
        attributes: features(u64::from(number)),
        hidden: number.is_multiple_of(4),
        categories: (0..number % 3).map(|category| format!("category {category}")).collect(),
        time: Some(i64::from(number)),
    };
    store.put_items(&(0..20).map(record).collect::<Vec<_>>())?;
    store.delete_item("item-13")?;
    Ok(store.put_setting("a setting", Some(b"\0\xff"))?)
}

pub(super) fn recounted(store: &dyn Store) -> Outcome {
    Contents::of(store)?.miscounted().map_or(Ok(()), |wrong| Err(Wrong(wrong)))
}
