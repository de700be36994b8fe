//! A store that fails when it is told to.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::store::{
    Counts, Event, Forgotten, Imported, ItemRecord, JsonMap, Sequence, Store, StoreError, User, UserRecord,
};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no room: [`StoreError::Full`].
    Full,
    /// The system reports an error: [`StoreError::Io`].
    Io,
    /// Too many calls wait: [`StoreError::Busy`].
    Busy,
    /// It works, after this long.
    Slow(Duration),
}

impl Fault {
    fn happen(self) -> Result<(), StoreError> {
        let path = PathBuf::from("failing-store");
        match self {
            Self::Full => Err(StoreError::system(&path, &io::ErrorKind::StorageFull.into())),
            Self::Io => Err(StoreError::system(&path, &io::Error::other("told to fail"))),
            Self::Busy => Err(StoreError::Busy { waiting: 1 }),
            Self::Slow(time) => {
                std::thread::sleep(time);
                Ok(())
            }
        }
    }
}

/// Any store, with faults before what it does: a write that fails has not happened.
#[derive(Debug)]
pub struct FailingStore<S> {
    inner: S,
    switch: Switch,
}

/// Turns the faults of a store on and off, from wherever the store itself is.
#[derive(Clone, Debug, Default)]
pub struct Switch(Arc<Mutex<Faults>>);

#[derive(Debug, Default)]
struct Faults {
    writes: Option<Fault>,
    reads: Option<Fault>,
    /// Writes to go before this one fails.
    later: Option<(usize, Fault)>,
}

impl Switch {
    /// Every write has this fault from now on, or none.
    pub fn writes(&self, fault: impl Into<Option<Fault>>) {
        self.faults().writes = fault.into();
    }

    /// Every read has this fault from now on, or none.
    pub fn reads(&self, fault: impl Into<Option<Fault>>) {
        self.faults().reads = fault.into();
    }

    /// The `nth` write from now, counted from 1, has this fault, and no other.
    pub fn nth_write(&self, nth: usize, fault: Fault) {
        self.faults().later = Some((nth.max(1), fault));
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store> FailingStore<S> {
    /// A store that does not fail yet.
    pub fn new(inner: S) -> Self {
        Self { inner, switch: Switch::default() }
    }

    /// What makes it fail.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    /// The store without faults.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn write(&self) -> Result<&S, StoreError> {
        let mut faults = self.switch.faults();
        let due = match &mut faults.later {
            Some((1, fault)) => Some(*fault),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if due.is_some() {
            faults.later = None;
        }
        let fault = due.or(faults.writes);
        drop(faults);
        fault.map_or(Ok(()), Fault::happen)?;
        Ok(&self.inner)
    }

    fn read(&self) -> Result<&S, StoreError> {
        let fault = self.switch.faults().reads;
        fault.map_or(Ok(()), Fault::happen)?;
        Ok(&self.inner)
    }
}

impl<S: Store> Store for FailingStore<S> {
    fn append(&self, events: &[Event]) -> Result<Sequence, StoreError> {
        self.write()?.append(events)
    }

    fn import(&self, events: &mut dyn Iterator<Item = Event>) -> Result<Imported, StoreError> {
        self.write()?.import(events)
    }

    fn delete_event(&self, user: &str, item: &str, kind: &str) -> Result<bool, StoreError> {
        self.write()?.delete_event(user, item, kind)
    }

    fn history(&self, user: &str, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read()?.history(user, limit)
    }

    fn record(&self, user: &str, limit: usize) -> Result<Arc<UserRecord>, StoreError> {
        self.read()?.record(user, limit)
    }

    fn scan(
        &self,
        after: Option<Sequence>,
        each: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Sequence, StoreError> {
        self.read()?.scan(after, each)
    }

    fn user(&self, key: &str) -> Result<Option<User>, StoreError> {
        self.read()?.user(key)
    }

    fn put_user(&self, key: &str, features: &JsonMap) -> Result<(), StoreError> {
        self.write()?.put_user(key, features)
    }

    fn forget(&self, key: &str) -> Result<Forgotten, StoreError> {
        self.write()?.forget(key)
    }

    fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.read()?.users(after, limit)
    }

    fn put_items(&self, items: &[ItemRecord]) -> Result<(), StoreError> {
        self.write()?.put_items(items)
    }

    fn item(&self, key: &str) -> Result<Option<ItemRecord>, StoreError> {
        self.read()?.item(key)
    }

    fn items(&self, after: Option<&str>, limit: usize) -> Result<Vec<ItemRecord>, StoreError> {
        self.read()?.items(after, limit)
    }

    fn delete_item(&self, key: &str) -> Result<bool, StoreError> {
        self.write()?.delete_item(key)
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        self.read()?.counts()
    }

    fn get_setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read()?.get_setting(name)
    }

    fn put_setting(&self, name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        self.write()?.put_setting(name, value)
    }

    fn backup(&self, path: &Path) -> Result<(), StoreError> {
        self.read()?.backup(path)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn faults_come_when_told_and_go() {
        let store = FailingStore::new(MemoryStore::new());
        let event = [Event::new("u", "i", "view", 0)];
        store.switch().nth_write(2, Fault::Full);
        assert!(store.append(&event).is_ok());
        assert!(matches!(store.append(&event), Err(StoreError::Full { .. })));
        assert!(store.append(&event).is_ok());
        store.switch().writes(Fault::Io);
        assert!(matches!(store.forget("u"), Err(StoreError::Io { .. })));
        assert_eq!(store.history("u", 9).unwrap().len(), 1, "reading goes on");
        store.switch().writes(None);
        store.switch().reads(Fault::Busy);
        assert!(matches!(store.counts(), Err(StoreError::Busy { .. })));
        store.switch().reads(Fault::Slow(Duration::from_millis(1)));
        assert_eq!(store.counts().unwrap().events, 1);
    }
}
