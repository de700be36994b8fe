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
mod keeper;
mod layout;
pub(in crate::store) mod medium;
mod open;
pub(in crate::store) mod overlay;
mod queue;
mod read;
mod recent;
mod trouble;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

pub(super) use self::backup::{Snapshot, write_snapshot};
pub(super) use self::layout::{Ledger, Row};

use ::redb::WriteTransaction;

use self::apply::{Change, Outcome, Writing};
use self::keeper::Keeper;
use self::medium::{FileMedium, Medium};
use self::queue::{Queue, WhenFull};
use self::read::Reading;
use self::recent::Recent;
use self::trouble::{Trouble, panic_message};
use super::check;
use super::{
    Counts, Event, Forgotten, Imported, Invalid, ItemRecord, JsonMap, Sequence, Store, StoreError, User,
    UserRecord,
};

/// Events of a batch of an import: other writers wait for about a tenth of a second at most.
const IMPORT_BATCH: usize = 1 << 15;

/// How a store uses memory and disk.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Bytes of pages kept in memory. 32 MiB by default; the system's page cache keeps the rest of a file that is in use.
    pub cache_bytes: usize,
    /// Bytes of users' records kept in memory as answers need them, beside the pages. 32 MiB by default.
    pub record_bytes: usize,
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
            record_bytes: 32 << 20,
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
    keeper: Keeper,
    queue: Queue,
    recent: Recent,
    reserve_bytes: u64,
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
        Ok(Self {
            queue: Queue::new(options.waiting_calls, options.waiting_bytes),
            recent: Recent::new(options.record_bytes),
            reserve_bytes: options.reserve_bytes,
            keeper: Keeper::new(medium, options)?,
        })
    }

    fn path(&self) -> &Path {
        self.keeper.path()
    }

    /// Writes a batch of changes in one transaction. The leader of the queue calls this, so there is one at a time. It may not panic: the
    /// others of the batch wait for their answers.
    fn commit(&self, changes: &[Change]) -> Vec<Result<Outcome, StoreError>> {
        let begun = catch_unwind(AssertUnwindSafe(|| {
            self.leave_reserve(changes).and_then(|()| self.keeper.begin_write())
        }));
        let error = match begun {
            Ok(Ok((generation, transaction))) => match self.commit_in(transaction, changes) {
                Ok(outcomes) => {
                    self.recent.changed(changes);
                    return outcomes;
                }
                Err(error) => {
                    // Whatever went wrong, the transaction is lost as a whole and the database writes no more until it is opened again.
                    self.keeper.reopen(generation);
                    self.recent.clear();
                    error
                }
            },
            Ok(Err(error)) => error,
            Err(payload) => StoreError::corrupt(self.path(), panic_message(&*payload)),
        };
        vec![Err(error); changes.len()]
    }

    fn commit_in(
        &self,
        transaction: WriteTransaction,
        changes: &[Change],
    ) -> Result<Vec<Result<Outcome, StoreError>>, StoreError> {
        let written = catch_unwind(AssertUnwindSafe(|| {
            let mut writing = Writing::open(&transaction)?;
            let outcomes = changes.iter().map(|change| writing.apply(change)).collect::<Result<_, _>>()?;
            writing.finish()?;
            transaction.commit()?;
            Ok::<_, Trouble>(outcomes)
        }));
        match written {
            Ok(outcomes) => outcomes.map_err(|trouble| trouble.into_error(self.path())),
            Err(payload) => Err(StoreError::corrupt(self.path(), panic_message(&*payload))),
        }
    }

    /// A change may write about as many bytes as it has twice over: pages are copied before they are changed.
    fn leave_reserve(&self, changes: &[Change]) -> Result<(), StoreError> {
        if self.reserve_bytes == 0 {
            return Ok(());
        }
        let Some(free) = self.keeper.free_bytes() else { return Ok(()) };
        let bytes: usize = changes.iter().map(Change::bytes).sum();
        let needed = self.reserve_bytes.saturating_add(2 * bytes as u64);
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

    fn interrupted(&self) -> StoreError {
        StoreError::Io {
            path: self.path().to_path_buf(),
            kind: std::io::ErrorKind::Interrupted,
            reason: "the file had to be opened again in the middle of a scan: scan again".to_owned(),
        }
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
        self.keeper.read(|reading| reading.history(user, limit))
    }

    fn record(&self, user: &str, limit: usize) -> Result<Arc<UserRecord>, StoreError> {
        self.recent.get(user, limit, || self.keeper.read(|reading| reading.record(user, limit)))
    }

    fn scan(
        &self,
        after: Option<Sequence>,
        each: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Sequence, StoreError> {
        // Once something was handed over, a second try would hand it over again.
        let mut begun = false;
        self.keeper.read(|reading| {
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
        self.keeper.read(|reading| reading.user(key))
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
        self.keeper.read(|reading| reading.users(after, limit))
    }

    fn put_items(&self, items: &[ItemRecord]) -> Result<(), StoreError> {
        let bytes = check::items(items)?;
        let rows = items.iter().map(|record| record.key.clone()).zip(bytes).collect();
        self.write_existed(Change::PutItems(rows)).map(drop)
    }

    fn item(&self, key: &str) -> Result<Option<ItemRecord>, StoreError> {
        self.keeper.read(|reading| reading.item(key))
    }

    fn items(&self, after: Option<&str>, limit: usize) -> Result<Vec<ItemRecord>, StoreError> {
        self.keeper.read(|reading| reading.items(after, limit))
    }

    fn delete_item(&self, key: &str) -> Result<bool, StoreError> {
        self.write_existed(Change::DeleteItem { key: key.into() })
    }

    fn counts(&self) -> Result<Counts, StoreError> {
        self.keeper.read(Reading::counts)
    }

    fn get_setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.keeper.read(|reading| reading.setting(name))
    }

    fn put_setting(&self, name: &str, value: Option<&[u8]>) -> Result<(), StoreError> {
        check::setting(name, value.unwrap_or_default())?;
        self.write_existed(Change::PutSetting { name: name.into(), value: value.map(<[u8]>::to_vec) })
            .map(drop)
    }

    fn backup(&self, path: &Path) -> Result<(), StoreError> {
        backup::refuse_own_file(self.path(), path)?;
        self.keeper.read(|reading| backup::write_file(path, |to| backup::copy(&reading.0, to, path)))
    }

    fn close(&self) -> Result<(), StoreError> {
        self.queue.close();
        self.recent.clear();
        self.keeper.close()
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
