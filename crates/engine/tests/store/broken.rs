//! A check is only worth something if it can fail: a sound store, broken in one way for each.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use foldin_engine::store::testing::{Subject, check};
use foldin_engine::store::{
    Counts, Event, Forgotten, Imported, ItemRecord, JsonMap, MemoryStore, Sequence, Store, StoreError, User,
    UserRecord,
};
use tempfile::TempDir;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    SequencesStandStill,
    TheFirstCounts,
    BatchesBackwards,
    OrderOfItems,
    HalfOfAnInvalidBatch,
    MinusZeroIsZero,
    KeysAreTrimmed,
    DeletingIsForgotten,
    RecordsInFull,
    ShortHistories,
    FeaturesStay,
    ForgottenUsersStay,
    PagesOverlap,
    TitlesGetLost,
    SettingsStay,
    CountsAreOff,
    ScansDoNotBreak,
    ScansBeginAtTheStart,
    ScansLock,
    ImportsStop,
    ReopenedEmpty,
    BackupsAreEmpty,
    NeverCloses,
    WritesAreLate,
    ForgetsAllButOne,
    BatchesInPieces,
}

/// Each with the check that should notice it.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::SequencesStandStill, "sequences_grow_by_one"),
    (Fault::TheFirstCounts, "a_repeat_replaces"),
    (Fault::BatchesBackwards, "a_repeat_within_a_batch_replaces"),
    (Fault::OrderOfItems, "history_is_in_order_of_time_then_writing"),
    (Fault::HalfOfAnInvalidBatch, "an_invalid_event_keeps_out_the_batch"),
    (Fault::MinusZeroIsZero, "any_value_and_time_comes_back"),
    (Fault::KeysAreTrimmed, "any_key_comes_back"),
    (Fault::DeletingIsForgotten, "one_event_can_be_deleted"),
    (Fault::RecordsInFull, "a_record_is_history_and_features"),
    (Fault::ShortHistories, "a_long_history"),
    (Fault::FeaturesStay, "a_user_has_features"),
    (Fault::ForgottenUsersStay, "forgotten_is_gone"),
    (Fault::PagesOverlap, "users_and_items_come_in_pages"),
    (Fault::TitlesGetLost, "items_come_back"),
    (Fault::SettingsStay, "settings_come_back"),
    (Fault::CountsAreOff, "counts_equal_a_recount"),
    (Fault::ScansDoNotBreak, "a_scan_is_complete_and_in_order"),
    (Fault::ScansBeginAtTheStart, "a_scan_can_begin_after_an_event"),
    (Fault::ScansLock, "a_scan_may_call_the_store"),
    (Fault::ImportsStop, "an_import_equals_appending"),
    (Fault::ReopenedEmpty, "reopening_changes_nothing"),
    (Fault::BackupsAreEmpty, "a_backup_opens_and_equals"),
    (Fault::NeverCloses, "a_closed_store_says_so"),
    (Fault::WritesAreLate, "reads_see_own_writes_in_16_threads"),
    (Fault::ForgetsAllButOne, "forgetting_and_writing_at_once"),
    (Fault::BatchesInPieces, "a_scan_sees_one_moment"),
];

#[derive(Debug)]
struct Broken {
    fault: Fault,
    sound: MemoryStore,
    /// Events not written yet.
    late: Mutex<Vec<Event>>,
    scanning: Mutex<()>,
}

impl Broken {
    fn new(fault: Fault) -> Self {
        Self { fault, sound: MemoryStore::new(), late: Mutex::default(), scanning: Mutex::default() }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

impl Store for Broken {
    fn append(&self, events: &[Event]) -> Result<Sequence, StoreError> {
        let mut events = events.to_vec();
        // A store that waits for a scan of its own would never return.
        if self.is(Fault::ScansLock) && self.scanning.try_lock().is_err() {
            return Err(StoreError::Busy { waiting: 1 });
        }
        match self.fault {
            Fault::SequencesStandStill => {
                return self.sound.append(&events).map(|last| last.min(Sequence(1)));
            }
            Fault::TheFirstCounts => {
                for event in &events {
                    let history = self.sound.history(&event.user, usize::MAX)?;
                    if !history.iter().any(|old| old.item == event.item && old.kind == event.kind) {
                        self.sound.append(std::slice::from_ref(event))?;
                    }
                }
                return Ok(self.sound.counts()?.last);
            }
            Fault::BatchesBackwards => events.reverse(),
            Fault::HalfOfAnInvalidBatch | Fault::BatchesInPieces => {
                for (number, event) in events.iter().enumerate() {
                    if self.is(Fault::BatchesInPieces) && number > 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                    let written = self.sound.append(std::slice::from_ref(event));
                    written.map_err(|error| match error {
                        StoreError::Invalid(mut invalid) => {
                            invalid.index = Some(number);
                            invalid.into()
                        }
                        other => other,
                    })?;
                }
                return Ok(self.sound.counts()?.last);
            }
            Fault::MinusZeroIsZero => {
                events.iter_mut().for_each(|event| event.value = event.value.map(|value| value + 0.0));
            }
            Fault::KeysAreTrimmed => {
                events.iter_mut().for_each(|event| event.item = event.item.trim().into());
            }
            Fault::WritesAreLate => {
                let mut late = self.late.lock().unwrap();
                let last = self.sound.append(&late)?;
                *late = events;
                return Ok(Sequence(last.0 + late.len() as u64));
            }
            _ => {}
        }
        self.sound.append(&events)
    }

    fn import(&self, events: &mut dyn Iterator<Item = Event>) -> Result<Imported, StoreError> {
        if self.is(Fault::ImportsStop) {
            return self.sound.import(&mut events.take(32_768));
        }
        if self.is(Fault::HalfOfAnInvalidBatch) {
            let events: Vec<Event> = events.collect();
            let last = self.append(&events)?;
            return Ok(Imported { events: events.len() as u64, last });
        }
        self.sound.import(events)
    }

    fn delete_event(&self, user: &str, item: &str, kind: &str) -> Result<bool, StoreError> {
        if self.is(Fault::DeletingIsForgotten) {
            let history = self.sound.history(user, usize::MAX)?;
            return Ok(history.iter().any(|event| *event.item == *item && *event.kind == *kind));
        }
        self.sound.delete_event(user, item, kind)
    }

    fn record(&self, user: &str, limit: usize) -> Result<Arc<UserRecord>, StoreError> {
        self.sound.record(user, if self.is(Fault::RecordsInFull) { usize::MAX } else { limit })
    }

    fn history(&self, user: &str, limit: usize) -> Result<Vec<Event>, StoreError> {
        let mut history = self.sound.history(user, limit)?;
        match self.fault {
            Fault::ShortHistories => history.truncate(65_536),
            Fault::OrderOfItems => history.sort_by(|one, other| one.item.cmp(&other.item)),
            _ => {}
        }
        Ok(history)
    }

    fn scan(
        &self,
        after: Option<Sequence>,
        each: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Sequence, StoreError> {
        let _scanning = self.scanning.lock().unwrap();
        let after = if self.is(Fault::ScansBeginAtTheStart) { None } else { after };
        self.sound.scan(after, &mut |event| {
            let flow = each(event);
            if self.is(Fault::ScansDoNotBreak) { ControlFlow::Continue(()) } else { flow }
        })
    }

    fn user(&self, key: &str) -> Result<Option<User>, StoreError> {
        self.sound.user(key)
    }

    fn put_user(&self, key: &str, features: &JsonMap) -> Result<(), StoreError> {
        if self.is(Fault::FeaturesStay) && self.sound.user(key)?.is_some() {
            return Ok(());
        }
        self.sound.put_user(key, features)
    }

    fn forget(&self, key: &str) -> Result<Forgotten, StoreError> {
        match self.fault {
            Fault::ForgottenUsersStay => {
                let forgotten = self.sound.forget(key)?;
                self.sound.put_user(key, &JsonMap::new())?;
                Ok(forgotten)
            }
            Fault::ForgetsAllButOne => {
                let history = self.sound.history(key, usize::MAX)?;
                let forgotten = self.sound.forget(key)?;
                self.sound.append(&history[..history.len().min(1)])?;
                Ok(forgotten)
            }
            _ => self.sound.forget(key),
        }
    }

    fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.sound.users(after, limit)
    }

    fn put_items(&self, items: &[ItemRecord]) -> Result<(), StoreError> {
        let mut items = items.to_vec();
        if self.is(Fault::TitlesGetLost) {
            items.iter_mut().for_each(|item| item.title = None);
        }
        self.sound.put_items(&items)
    }

    fn item(&self, key: &str) -> Result<Option<ItemRecord>, StoreError> {
        self.sound.item(key)
    }

    fn items(&self, after: Option<&str>, limit: usize) -> Result<Vec<ItemRecord>, StoreError> {
        let mut page = self.sound.items(after, limit)?;
        if let (true, Some(last)) = (self.is(Fault::PagesOverlap) && !page.is_empty(), after) {
            page.splice(0..0, self.sound.item(last)?);
        }
        Ok(page)
    }

    fn delete_item(&self, key: &str) -> Result<bool, StoreError> {
        self.sound.delete_item(key)
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        let mut counts = self.sound.counts()?;
        counts.events += u64::from(self.is(Fault::CountsAreOff) && counts.events > 0);
        Ok(counts)
    }

    fn get_setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.sound.get_setting(name)
    }

    fn put_setting(&self, name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        if self.is(Fault::SettingsStay) && value.is_none() {
            Ok(())
        } else {
            self.sound.put_setting(name, value)
        }
    }

    fn backup(&self, path: &Path) -> Result<(), StoreError> {
        if self.is(Fault::BackupsAreEmpty) {
            MemoryStore::new().backup(path)
        } else {
            self.sound.backup(path)
        }
    }

    fn close(&self) -> Result<(), StoreError> {
        if self.is(Fault::NeverCloses) { Ok(()) } else { self.sound.close() }
    }
}

struct Kind {
    fault: Fault,
    folder: TempDir,
}

impl Subject for Kind {
    fn fresh(&self) -> Box<dyn Store> {
        Box::new(Broken::new(self.fault))
    }

    fn reopen(&self, _store: Box<dyn Store>) -> Option<Box<dyn Store>> {
        (self.fault == Fault::ReopenedEmpty).then(|| self.fresh())
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

#[test]
fn every_fault_is_noticed_by_its_check() {
    let unnoticed: Vec<_> = FAULTS
        .iter()
        .filter(|(fault, name)| {
            let kind = Kind { fault: *fault, folder: tempfile::tempdir().unwrap() };
            check(name, &kind).is_none()
        })
        .collect();
    assert!(unnoticed.is_empty(), "{unnoticed:?}");
}

#[test]
fn every_check_can_fail() {
    let names: Vec<_> = FAULTS.iter().map(|(_, name)| *name).collect();
    assert_eq!(names, foldin_engine::store::testing::checks().collect::<Vec<_>>());
}
