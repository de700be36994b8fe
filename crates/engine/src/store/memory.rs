//! The twin in memory: the same answers as [`RedbStore`](super::RedbStore), nothing on disk.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use super::redb::{Ledger, Row, Snapshot, write_snapshot};
use super::types::Gathered;
use super::{
    Counts, Event, Forgotten, Imported, ItemRecord, JsonMap, Sequence, Store, StoreError, User, UserRecord,
    check,
};

/// A store in memory, for tests and trials: gone when it is dropped.
///
/// Readers take the state as it is and keep it for as long as they look; a writer that finds one looking changes a copy. So a scan sees one
/// moment here as well.
#[derive(Debug, Default)]
pub struct MemoryStore {
    /// None once closed.
    state: RwLock<Option<Arc<State>>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    ledger: Ledger,
    users: BTreeMap<Arc<str>, Known>,
    /// Keys by number: the order in which users were first seen.
    user_keys: BTreeMap<u32, Arc<str>>,
    items: BTreeMap<Arc<str>, ItemRecord>,
    settings: BTreeMap<Box<str>, Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    number: u32,
    features: JsonMap,
    events: BTreeMap<(u8, Arc<str>), Row>,
}

impl State {
    fn user(&mut self, key: &str) -> &mut Known {
        if !self.users.contains_key(key) {
            let (number, key) = (self.ledger.new_user(), Arc::<str>::from(key));
            self.user_keys.insert(number, key.clone());
            self.users.insert(key, Known { number, ..Known::default() });
        }
        self.users.entry(key.into()).or_default()
    }

    fn append(&mut self, events: &[Event]) -> Sequence {
        for event in events {
            let kind = self.ledger.kind_or_new(&event.kind);
            self.ledger.sequence += 1;
            let row = Row { value: event.value, time: event.time, sequence: self.ledger.sequence };
            let known = self.user(&event.user);
            if known.events.insert((kind, event.item.clone()), row).is_none() {
                self.ledger.added(kind);
            }
        }
        Sequence(self.ledger.sequence)
    }

    /// The latest `limit` events of a user that were written after `after`, with the features.
    fn record(&self, known: &Known, after: u64, limit: usize) -> UserRecord {
        let mut gathered = Gathered::default();
        for ((kind, item), row) in known.events.iter().filter(|(_, row)| row.sequence > after) {
            gathered.push(item, *kind, row.value, row.time, row.sequence);
        }
        gathered.take(known.features.clone(), &self.ledger.kind_names(), limit)
    }
}

fn as_user((key, known): (&Arc<str>, &Known)) -> User {
    User { key: key.clone(), features: known.features.clone(), events: known.events.len() as u64 }
}

fn page<'a, T>(
    map: &'a BTreeMap<Arc<str>, T>,
    after: Option<&str>,
    limit: usize,
) -> impl Iterator<Item = (&'a Arc<str>, &'a T)> {
    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
    map.range::<str, _>((from, Bound::Unbounded)).take(limit)
}

impl MemoryStore {
    /// A store with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self { state: RwLock::new(Some(Arc::default())) }
    }

    fn now(&self) -> Result<Arc<State>, StoreError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.clone().ok_or(StoreError::Closed)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        change(Arc::make_mut(state.as_mut().ok_or(StoreError::Closed)?))
    }
}

impl Store for MemoryStore {
    fn append(&self, events: &[Event]) -> Result<Sequence, StoreError> {
        check::events(events)?;
        self.change(|state| {
            state.ledger.has_room(events)?;
            Ok(state.append(events))
        })
    }

    fn import(&self, events: &mut dyn Iterator<Item = Event>) -> Result<Imported, StoreError> {
        let events: Vec<Event> = events.collect();
        let last = self.append(&events)?;
        Ok(Imported { events: events.len() as u64, last })
    }

    fn delete_event(&self, user: &str, item: &str, kind: &str) -> Result<bool, StoreError> {
        self.change(|state| {
            let Some(kind) = state.ledger.kind(kind) else { return Ok(false) };
            let Some(known) = state.users.get_mut(user) else { return Ok(false) };
            let existed = known.events.remove(&(kind, item.into())).is_some();
            state.ledger.removed(kind, u64::from(existed));
            Ok(existed)
        })
    }

    fn history(&self, user: &str, limit: usize) -> Result<Vec<Event>, StoreError> {
        let state = self.now()?;
        let Some((key, known)) = state.users.get_key_value(user) else { return Ok(Vec::new()) };
        Ok(state.record(known, 0, limit).owned(key).collect())
    }

    fn record(&self, user: &str, limit: usize) -> Result<Arc<UserRecord>, StoreError> {
        let state = self.now()?;
        let record = state.users.get(user).map(|known| state.record(known, 0, limit));
        Ok(Arc::new(record.unwrap_or_default()))
    }

    fn scan(
        &self,
        after: Option<Sequence>,
        each: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Sequence, StoreError> {
        let state = self.now()?;
        let after = after.map_or(0, |after| after.0);
        for key in state.user_keys.values() {
            let known = state.users.get(key);
            let record = known.map(|known| state.record(known, after, usize::MAX)).unwrap_or_default();
            if record.owned(key).try_for_each(&mut *each).is_break() {
                break;
            }
        }
        Ok(Sequence(state.ledger.sequence))
    }

    fn user(&self, key: &str) -> Result<Option<User>, StoreError> {
        Ok(self.now()?.users.get_key_value(key).map(as_user))
    }

    fn put_user(&self, key: &str, features: &JsonMap) -> Result<(), StoreError> {
        check::key("user", None, key)?;
        check::features(features)?;
        self.change(|state| {
            state.ledger.has_room_for_users(1)?;
            state.user(key).features = features.clone();
            Ok(())
        })
    }

    fn forget(&self, key: &str) -> Result<Forgotten, StoreError> {
        self.change(|state| {
            let Some(known) = state.users.remove(key) else { return Ok(Forgotten::default()) };
            state.user_keys.remove(&known.number);
            state.ledger.users -= 1;
            for (kind, _) in known.events.keys() {
                state.ledger.removed(*kind, 1);
            }
            Ok(Forgotten { events: known.events.len() as u64, known: true })
        })
    }

    fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>, StoreError> {
        Ok(page(&self.now()?.users, after, limit).map(as_user).collect())
    }

    fn put_items(&self, items: &[ItemRecord]) -> Result<(), StoreError> {
        check::items(items)?;
        self.change(|state| {
            for item in items {
                let new = state.items.insert(item.key.clone(), item.clone()).is_none();
                state.ledger.items += u64::from(new);
            }
            Ok(())
        })
    }

    fn item(&self, key: &str) -> Result<Option<ItemRecord>, StoreError> {
        Ok(self.now()?.items.get(key).cloned())
    }

    fn items(&self, after: Option<&str>, limit: usize) -> Result<Vec<ItemRecord>, StoreError> {
        Ok(page(&self.now()?.items, after, limit).map(|(_, item)| item.clone()).collect())
    }

    fn delete_item(&self, key: &str) -> Result<bool, StoreError> {
        self.change(|state| {
            let existed = state.items.remove(key).is_some();
            state.ledger.items -= u64::from(existed);
            Ok(existed)
        })
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        Ok(self.now()?.ledger.counts())
    }

    fn get_setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.now()?.settings.get(name).cloned())
    }

    fn put_setting(&self, name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        check::setting(name, value.unwrap_or_default())?;
        self.change(|state| {
            match value {
                Some(value) => state.settings.insert(name.into(), value.to_vec()),
                None => state.settings.remove(name),
            };
            Ok(())
        })
    }

    fn backup(&self, path: &Path) -> Result<(), StoreError> {
        write_snapshot(path, &*self.now()?)
    }

    fn close(&self) -> Result<(), StoreError> {
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }
}

impl Snapshot for State {
    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn users(&self) -> impl Iterator<Item = (u32, &str, &JsonMap)> {
        self.users.iter().map(|(key, known)| (known.number, &**key, &known.features))
    }

    fn events(&self) -> impl Iterator<Item = (u32, u8, &str, Row)> {
        self.users.values().flat_map(|known| {
            known.events.iter().map(|((kind, item), row)| (known.number, *kind, &**item, *row))
        })
    }

    fn items(&self) -> impl Iterator<Item = &ItemRecord> {
        self.items.values()
    }

    fn settings(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.settings.iter().map(|(name, value)| (&**name, value.as_slice()))
    }
}
