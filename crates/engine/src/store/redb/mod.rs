//! A store in one file, on the embedded database `redb`.
//!
//! **What is on disk when?** A call that writes returns after the sync of the transaction it was part of. A crash at any moment leaves the state
//! after one of the transactions: pages are written beside the old ones, and a header with checksums says which are valid. Opening
//! a file that was not closed repairs it.
//!
//! **What of a damaged file?** Opening verifies the checksum of every page in use ([`StoreOptions::verify`]), which reads the whole file once. Damage
//! there is [`StoreError::Corrupt`], and damage to free space does no harm. What is not covered: bytes changed behind the back of
//! an open store, and changes by someone who mends the checksums, which are not cryptographic.
//!
//! **What when the disk is full, or fails?** Writing is refused with [`StoreError::Full`] before the last [`StoreOptions::reserve_bytes`] are
//! touched. Should the disk fail all the same, the transaction is lost as a whole, and the file is opened again; if it cannot be written to
//! then, repairs are made in memory, reading goes on, and every write tries anew.

mod apply;
mod backup;
mod layout;
pub(in crate::store) mod medium;
mod open;
pub(in crate::store) mod overlay;
mod queue;
mod read;
mod trouble;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockWriteGuard};

use ::redb::{Database, ReadTransaction, ReadableDatabase};

pub(super) use self::backup::{Snapshot, write_snapshot};
pub(super) use self::layout::{Ledger, Row};

use self::apply::{Change, Outcome, Writing};
use self::medium::{FileMedium, Medium};
use self::queue::{Queue, WhenFull};
use self::read::Reading;
use self::trouble::{Trouble, panic_message};
use super::check;
use super::{
    Counts, Event, Forgotten, Imported, Invalid, ItemRecord, JsonMap, Sequence, Store, StoreError, User,
};

/// Events of a batch of an import: other writers wait for about a tenth of a second at most.
const IMPORT_BATCH: usize = 1 << 15;
/// How often a read is tried on a file opened again after an error.
const READ_TRIES: usize = 3;

/// How a store uses memory and disk.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bytes of pages kept in memory. 32 MiB by default; the system's page cache keeps the rest of a file that is in use.
    pub cache_bytes: usize,
    /// Calls that may wait to be written; more are refused with [`StoreError::Busy`]. 4096 by default.
    pub waiting_calls: usize,
    /// Bytes that the waiting calls may hold. 64 MiB by default. A single call may be larger.
    pub waiting_bytes: usize,
    /// Writing is refused with [`StoreError::Full`] when less than this would be left on the disk. 16 MiB by default; 0 asks nobody.
    pub reserve_bytes: u64,
    /// Whether opening verifies every page in use. True by default; false trusts a file that was closed, and opens at once however large it is.
    pub verify: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            waiting_calls: 4096,
            waiting_bytes: 64 << 20,
            reserve_bytes: 16 << 20,
            verify: true,
        }
    }
}

/// A store in one file. See the [module](self) for what it promises beyond the trait.
///
/// ```
/// use foldin_engine::store::{Event, RedbStore, Store, StoreOptions};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("store");
/// let store = RedbStore::open(&path, StoreOptions::default())?;
/// let last = store.append(&[Event::new("ada", "heat", "rating", 1_000).with_value(4.5)])?;
/// store.close()?;
///
/// let store = RedbStore::open(&path, StoreOptions::default())?;
/// assert_eq!(store.counts()?.last, last);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RedbStore {
    medium: Box<dyn Medium>,
    options: StoreOptions,
    queue: Queue,
    slot: RwLock<Slot>,
    /// Held while the file is opened again: one database at a time may write to it.
    reopening: Mutex<()>,
}

/// The database at hand. The guard of the lock around it is never held for longer than it takes to begin a transaction, or to open the file again.
#[derive(Debug)]
struct Slot {
    /// Grows when the file is opened again.
    generation: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Open(Database),
    /// The disk cannot be written to, for this reason.
    ReadOnly(Database, StoreError),
    /// The file could not be opened again, for this reason.
    Failed(StoreError),
    Closed,
}

impl RedbStore {
    /// Opens the store in a file, and makes one if there is none. Repairs a store that was not closed.
    ///
    /// # Errors
    /// [`StoreError::Locked`] if another process has it, [`StoreError::Foreign`] and [`StoreError::Newer`] for files that this version
    /// leaves alone, [`StoreError::Corrupt`] for a damaged one, [`StoreError::Io`].
    pub fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        Self::on(Box::new(FileMedium::open(path)?), options)
    }

    /// The same on any medium.
    pub(in crate::store) fn on(medium: Box<dyn Medium>, options: StoreOptions) -> Result<Self, StoreError> {
        let database = open::open(&*medium, &options)?;
        Ok(Self {
            queue: Queue::new(options.waiting_calls, options.waiting_bytes),
            slot: RwLock::new(Slot { generation: 0, state: State::Open(database) }),
            reopening: Mutex::new(()),
            medium,
            options,
        })
    }

    fn path(&self) -> &Path {
        self.medium.path()
    }

    /// The moment of now, and the generation of the database it is from.
    fn begin_read(&self) -> Result<(u64, Result<ReadTransaction, Trouble>), StoreError> {
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        match &slot.state {
            State::Open(database) | State::ReadOnly(database, _) => {
                Ok((slot.generation, database.begin_read().map_err(Trouble::from)))
            }
            State::Failed(error) => Ok((slot.generation, Err(Trouble::Known(error.clone())))),
            State::Closed => Err(StoreError::Closed),
        }
    }

    /// Reads within one transaction; once more on a file opened again if the handle was spoilt, as by another's failed write.
    fn read<T>(&self, mut work: impl FnMut(&Reading) -> Result<T, Trouble>) -> Result<T, StoreError> {
        let mut tries = 0;
        loop {
            let (generation, transaction) = self.begin_read()?;
            let failed = self.is_failed();
            let trouble = match transaction.and_then(|transaction| work(&Reading(transaction))) {
                Ok(read) => return Ok(read),
                Err(trouble) => trouble,
            };
            let again = trouble.spoils_the_handle() || failed;
            let error = trouble.into_error(self.path());
            tries += 1;
            if !again || tries == READ_TRIES {
                return Err(error);
            }
            self.reopen(generation);
        }
    }

    fn is_failed(&self) -> bool {
        matches!(self.slot.read().unwrap_or_else(PoisonError::into_inner).state, State::Failed(_))
    }

    fn slot_to_change(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn reopening(&self) -> MutexGuard<'_, ()> {
        self.reopening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file again after an error on a database of this generation, unless somebody did. Readers wait meanwhile.
    fn reopen(&self, generation: u64) {
        let _alone = self.reopening();
        let mut slot = self.slot_to_change();
        if slot.generation != generation || matches!(slot.state, State::Closed) {
            return;
        }
        // The old one goes first: it may not write any more once the new one does.
        slot.state = State::Failed(StoreError::Closed);
        slot.state = match open::open(&*self.medium, &self.options) {
            Ok(database) => State::Open(database),
            Err(error) => match open::open_to_read(&*self.medium, &self.options) {
                Ok(database) => State::ReadOnly(database, error),
                Err(_) => State::Failed(error),
            },
        };
        slot.generation += 1;
    }

    /// Gives a store that was reduced to reading another chance to write. Readers go on meanwhile: what the attempt writes to the file does not touch
    /// pages that the last whole transaction uses.
    fn restore(&self) -> Result<(), StoreError> {
        let (reason, generation) = {
            let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
            match &slot.state {
                State::Open(_) => return Ok(()),
                State::Closed => return Err(StoreError::Closed),
                State::ReadOnly(_, error) => (Some(error.clone()), slot.generation),
                State::Failed(_) => (None, slot.generation),
            }
        };
        if reason.is_none() {
            self.reopen(generation);
        } else {
            let _alone = self.reopening();
            let database = open::open(&*self.medium, &self.options)?;
            let mut slot = self.slot_to_change();
            if matches!(slot.state, State::ReadOnly(..)) && slot.generation == generation {
                slot.state = State::Open(database);
                slot.generation += 1;
            }
        }
        let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
        match &slot.state {
            State::Open(_) => Ok(()),
            State::ReadOnly(_, error) | State::Failed(error) => Err(error.clone()),
            State::Closed => Err(StoreError::Closed),
        }
    }

    /// Writes a batch of changes in one transaction. The leader of the queue calls this, so there is one at a time.
    fn commit(&self, changes: &[Change]) -> Vec<Result<Outcome, StoreError>> {
        let all = |error: StoreError| vec![Err(error); changes.len()];
        if let Err(error) = self.leave_reserve(changes).and_then(|()| self.restore()) {
            return all(error);
        }
        let (generation, transaction) = {
            let slot = self.slot.read().unwrap_or_else(PoisonError::into_inner);
            match &slot.state {
                State::Open(database) => (slot.generation, database.begin_write()),
                State::ReadOnly(_, error) | State::Failed(error) => return all(error.clone()),
                State::Closed => return all(StoreError::Closed),
            }
        };
        let written = catch_unwind(AssertUnwindSafe(|| {
            let transaction = transaction?;
            let mut writing = Writing::open(&transaction)?;
            let outcomes = changes.iter().map(|change| writing.apply(change)).collect::<Result<_, _>>()?;
            writing.finish()?;
            transaction.commit()?;
            Ok::<_, Trouble>(outcomes)
        }));
        let error = match written {
            Ok(Ok(outcomes)) => return outcomes,
            Ok(Err(trouble)) => trouble.into_error(self.path()),
            Err(payload) => StoreError::corrupt(self.path(), panic_message(&*payload)),
        };
        // Whatever went wrong, the transaction is lost as a whole and the database writes no more until it is opened again.
        self.reopen(generation);
        all(error)
    }

    /// A change may write about as many bytes as it has twice over: pages are copied before they are changed.
    fn leave_reserve(&self, changes: &[Change]) -> Result<(), StoreError> {
        if self.options.reserve_bytes == 0 {
            return Ok(());
        }
        let Some(free) = self.medium.free_bytes() else { return Ok(()) };
        let bytes: usize = changes.iter().map(Change::bytes).sum();
        let needed = self.options.reserve_bytes.saturating_add(2 * bytes as u64);
        if free >= needed {
            return Ok(());
        }
        let reason = format!("{free} bytes are free, and {needed} must be to write this and leave a reserve");
        Err(StoreError::Full { path: self.path().to_path_buf(), reason })
    }

    fn write(&self, change: Change, when_full: WhenFull) -> Result<Outcome, StoreError> {
        self.queue.submit(change, when_full, |changes| self.commit(changes))
    }

    fn write_existed(&self, change: Change) -> Result<bool, StoreError> {
        match self.write(change, WhenFull::Refuse)? {
            Outcome::Existed(existed) => Ok(existed),
            outcome => Err(self.unexpected(&outcome)),
        }
    }

    fn write_events(&self, events: Vec<Event>, when_full: WhenFull) -> Result<Sequence, StoreError> {
        match self.write(Change::Append(events), when_full)? {
            Outcome::Written(sequence) => Ok(sequence),
            outcome => Err(self.unexpected(&outcome)),
        }
    }

    /// A change always has the outcome of its kind.
    fn unexpected(&self, outcome: &Outcome) -> StoreError {
        StoreError::corrupt(self.path(), format!("unexpected outcome {outcome:?}"))
    }
}

impl Store for RedbStore {
    fn append(&self, events: &[Event]) -> Result<Sequence, StoreError> {
        check::events(events)?;
        self.write_events(events.to_vec(), WhenFull::Refuse)
    }

    fn import(&self, events: &mut dyn Iterator<Item = Event>) -> Result<Imported, StoreError> {
        let mut imported = Imported { events: 0, last: self.counts()?.last };
        loop {
            let batch: Vec<Event> = events.take(IMPORT_BATCH).collect();
            if batch.is_empty() {
                return Ok(imported);
            }
            let size = batch.len() as u64;
            let written = check::events(&batch).and_then(|()| self.write_events(batch, WhenFull::Wait));
            imported.last = written.map_err(|error| counted_from(error, imported.events))?;
            imported.events += size;
        }
    }

    fn delete_event(&self, user: &str, item: &str, kind: &str) -> Result<bool, StoreError> {
        self.write_existed(Change::DeleteEvent { user: user.into(), item: item.into(), kind: kind.into() })
    }

    fn history(&self, user: &str, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read(|reading| reading.history(user, limit))
    }

    fn scan(
        &self,
        after: Option<Sequence>,
        each: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Sequence, StoreError> {
        // Once something was handed over, a second try would hand it over again.
        let mut begun = false;
        self.read(|reading| {
            if begun {
                return Err(Trouble::Known(self.interrupted()));
            }
            reading.scan(after, &mut |event| {
                begun = true;
                each(event)
            })
        })
    }

    fn user(&self, key: &str) -> Result<Option<User>, StoreError> {
        self.read(|reading| reading.user(key))
    }

    fn put_user(&self, key: &str, features: &JsonMap) -> Result<(), StoreError> {
        check::key("user", None, key)?;
        let features = check::features(features)?;
        self.write_existed(Change::PutUser { key: key.into(), features }).map(drop)
    }

    fn forget(&self, key: &str) -> Result<Forgotten, StoreError> {
        match self.write(Change::Forget { key: key.into() }, WhenFull::Refuse)? {
            Outcome::Forgotten(forgotten) => Ok(forgotten),
            outcome => Err(self.unexpected(&outcome)),
        }
    }

    fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>, StoreError> {
        self.read(|reading| reading.users(after, limit))
    }

    fn put_items(&self, items: &[ItemRecord]) -> Result<(), StoreError> {
        let bytes = check::items(items)?;
        let rows = items.iter().map(|record| record.key.clone()).zip(bytes).collect();
        self.write_existed(Change::PutItems(rows)).map(drop)
    }

    fn item(&self, key: &str) -> Result<Option<ItemRecord>, StoreError> {
        self.read(|reading| reading.item(key))
    }

    fn items(&self, after: Option<&str>, limit: usize) -> Result<Vec<ItemRecord>, StoreError> {
        self.read(|reading| reading.items(after, limit))
    }

    fn delete_item(&self, key: &str) -> Result<bool, StoreError> {
        self.write_existed(Change::DeleteItem { key: key.into() })
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        self.read(Reading::counts)
    }

    fn get_setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|reading| reading.setting(name))
    }

    fn put_setting(&self, name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        check::setting(name, value.unwrap_or_default())?;
        self.write_existed(Change::PutSetting { name: name.into(), value: value.map(<[u8]>::to_vec) })
            .map(drop)
    }

    fn backup(&self, path: &Path) -> Result<(), StoreError> {
        backup::refuse_own_file(self.path(), path)?;
        self.read(|reading| backup::write_file(path, |to| backup::copy(&reading.0, to)))
    }

    fn close(&self) -> Result<(), StoreError> {
        self.queue.close();
        let _alone = self.reopening();
        let state = std::mem::replace(&mut self.slot_to_change().state, State::Closed);
        let closed = match state {
            State::Open(database) => {
                database.close().map_err(|error| Trouble::from(error).into_error(self.path()))
            }
            State::Closed => return Ok(()),
            State::ReadOnly(..) | State::Failed(_) => Ok(()),
        };
        let released = self.medium.release().map_err(|error| StoreError::system(self.path(), &error));
        closed.and(released)
    }
}

impl RedbStore {
    fn interrupted(&self) -> StoreError {
        StoreError::Io {
            path: self.path().to_path_buf(),
            kind: std::io::ErrorKind::Interrupted,
            reason: "the file had to be opened again in the middle of a scan: scan again".to_owned(),
        }
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // There is nobody to tell; whoever wants to know closes it.
        let _ = self.close();
    }
}

/// The number of an event within an import, from that within its batch.
fn counted_from(error: StoreError, before: u64) -> StoreError {
    match error {
        StoreError::Invalid(invalid) => {
            let index = invalid.index.map(|index| index + before as usize);
            StoreError::Invalid(Invalid { index, ..invalid })
        }
        error => error,
    }
}
