//! What users did, users, items and settings.
//!
//! [`Store`] is the seam: [`RedbStore`] keeps a file, [`MemoryStore`] is its twin for tests and trials, and a server of another
//! kind can be put behind the same trait. The `testing` feature has the conformance suite that each of them passes, a store that fails on purpose,
//! and a disk that loses power. They live here and not in the test kit because the suite needs the trait, and the test kit may depend on
//! `core` alone to stay quick to build.
//!
//! **What is an event's identity?** The user, the item and the kind. The same three again *replace* the earlier event, whatever its
//! time says: the value, time and sequence number are those of the last write. So what a client wrote last is what the next answer sees, sending an
//! event twice does no harm, and a store grows with what users know and not with how often they come back. No log of the replaced
//! values is kept; who wants to count repeats puts the count into the value.
//!
//! **What is promised of a write?** When a call returns without an error, everything of it is on disk and seen by every later read,
//! in any thread. A call is written as a whole or not at all.
//!
//! ```
//! use foldin_engine::store::{Event, MemoryStore, Store};
//!
//! let store = MemoryStore::new();
//! store.append(&[Event::new("ada", "heat", "rating", 1_000).with_value(4.5), Event::new("ada", "alien", "view", 500)])?;
//! store.append(&[Event::new("ada", "heat", "rating", 2_000).with_value(3.0)])?;
//! let history = store.history("ada", usize::MAX)?;
//! let seen: Vec<_> = history.iter().map(|event| (&*event.item, event.value)).collect();
//! assert_eq!(seen, [("alien", None), ("heat", Some(3.0))]);
//! assert_eq!(store.forget("ada")?.events, 2);
//! # Ok::<(), foldin_engine::store::StoreError>(())
//! ```

pub mod check;
mod error;
mod memory;
mod redb;
#[cfg(feature = "testing")]
pub mod testing;
mod types;

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

pub use self::redb::{RedbStore, StoreOptions};
pub use error::{Invalid, InvalidReason, StoreError};
pub use memory::MemoryStore;
pub use types::{
    Counts, Event, EventRef, Forgotten, Imported, ItemRecord, JsonMap, Sequence, User, UserRecord,
};

/// Keeps what users did. See the [module](self) for what is promised.
///
/// Every method may fail with [`StoreError`]; the `# Errors` sections name only what is peculiar to the method. All of them can be
/// called from any number of threads. Reading never waits for writing.
pub trait Store: Send + Sync + Debug {
    /// Writes events: all of them, in order, or none. Returns the number of the last one (of the last event before, for an empty batch).
    ///
    /// Many threads that write at the same time share one sync of the disk.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] by [`check::events`]; [`StoreError::Busy`] when too many calls wait.
    fn append(&self, events: &[Event]) -> Result<Sequence, StoreError>;

    /// Writes many events, as quickly as the disk allows, in batches of which each is written as a whole. It waits where
    /// [`append`](Self::append) would be busy, and other writers come between its batches. When it returns, everything is on disk.
    ///
    /// # Errors
    /// Those of [`append`](Self::append); batches before the one that failed are kept. The number of an event in an error counts from the first of all.
    fn import(&self, events: &mut dyn Iterator<Item = Event>) -> Result<Imported, StoreError>;

    /// Deletes one event. Returns whether there was one.
    fn delete_event(&self, user: &str, item: &str, kind: &str) -> Result<bool, StoreError>;

    /// The latest `limit` events of a user, in order of time, then of writing. Empty for a user who is not known.
    ///
    /// Costs a pass over all events of the user, whatever the limit.
    fn history(&self, user: &str, limit: usize) -> Result<Vec<Event>, StoreError>;

    /// Features and latest `limit` events of a user as of one moment; empty for a user who is not known. This is what every answer begins with, so
    /// it is quicker than [`history`](Self::history) and [`user`](Self::user).
    fn record(&self, user: &str, limit: usize) -> Result<Arc<UserRecord>, StoreError>;

    /// Hands over every event written after `after` (all, if none is given), as of one moment, until `each` breaks. Returns the number of the
    /// last event of that moment, for the next scan to begin after.
    ///
    /// Users come in the order in which the store first saw them, and each user's events together, in the order of
    /// [`history`](Self::history). Writers are not held up and nothing they write meanwhile is seen; `each` may call the store. A store on disk
    /// reads all events whatever `after` says, and cannot reuse the space of what is deleted meanwhile until the scan ends.
    fn scan(
        &self,
        after: Option<Sequence>,
        each: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Sequence, StoreError>;

    /// What is known of a user; none if nothing is.
    fn user(&self, key: &str) -> Result<Option<User>, StoreError>;

    /// Sets the features of a user, known before or not, in place of those they had.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] by [`check::key`] and [`check::features`].
    fn put_user(&self, key: &str, features: &JsonMap) -> Result<(), StoreError>;

    /// Erases everything of a user: features, events, the key itself. Every event that was acknowledged before this call is gone when it returns, from
    /// every later read, scan and backup; one that is written at the same time is either gone or counts as written afterwards.
    ///
    /// In a file, freed pages keep their old bytes until they are used again. A [`backup`](Self::backup) holds none of them, so a
    /// backup put in the place of the file ends that too.
    fn forget(&self, key: &str) -> Result<Forgotten, StoreError>;

    /// Up to `limit` users in order of their keys' bytes, those after `after`.
    fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>, StoreError>;

    /// Writes item records, each in place of the one of the same key: all of them or none.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] by [`check::items`].
    fn put_items(&self, items: &[ItemRecord]) -> Result<(), StoreError>;

    /// The record of an item; none if there is none, even if events name the item.
    fn item(&self, key: &str) -> Result<Option<ItemRecord>, StoreError>;

    /// Up to `limit` item records in order of their keys' bytes, those after `after`.
    fn items(&self, after: Option<&str>, limit: usize) -> Result<Vec<ItemRecord>, StoreError>;

    /// Deletes the record of an item, not the events that name it. Returns whether there was one.
    fn delete_item(&self, key: &str) -> Result<bool, StoreError>;

    /// How much is kept. Takes the same short time however much that is.
    fn counts(&self) -> Result<Counts, StoreError>;

    /// A small named value for the layers above; none if it was never put.
    fn get_setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a small named value, or deletes it.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] by [`check::setting`].
    fn put_setting(&self, name: &str, value: Option<&[u8]>) -> Result<(), StoreError>;

    /// Writes everything, as of one moment, to a file that [`RedbStore::open`] opens. It is written beside its place and renamed into it, so a file of
    /// that name is replaced by a whole one or stays. Writers are not held up.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the path is the store's own file.
    fn backup(&self, path: &Path) -> Result<(), StoreError>;

    /// Waits for the writes under way and closes the files. Every later call fails with [`StoreError::Closed`], and so may scans under
    /// way. Dropping a store does the same, but cannot say whether it went well. Closing twice is fine.
    fn close(&self) -> Result<(), StoreError>;
}
