//! Keeps a database at hand: after an error of the disk it opens the file again, to read alone if it cannot be written to.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};

use super::StoreOptions;
use super::medium::Medium;
use super::open;
use super::read::Reading;
use super::trouble::Trouble;
use crate::store::StoreError;

/// How often a read is tried after an error of its own, each time on the file opened again.
const READ_TRIES: usize = 3;
/// How often a read is begun anew because the file was opened again under its eyes. A disk on which so many writes fail during one
/// read has other troubles.
const READ_RESTARTS: usize = 1000;

/// How often a write is begun, after errors of others.
const WRITE_TRIES: usize = 2;

/// The database at hand, and what it takes to open it again.
#[derive(Debug)]
pub(super) struct Keeper {
    medium: Box<dyn Medium>,
    options: StoreOptions,
    slot: RwLock<Slot>,
    /// Held while the file is opened again: one database at a time may write to it.
    reopening: Mutex<()>,
}

/// The guard of the lock around it is never held for longer than it takes to begin a transaction, or to open the file again.
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

impl Keeper {
    pub(super) fn new(medium: Box<dyn Medium>, options: StoreOptions) -> Result<Self, StoreError> {
        let database = open::open(&*medium, &options)?;
        let slot = RwLock::new(Slot { generation: 0, state: State::Open(database) });
        Ok(Self { medium, options, slot, reopening: Mutex::new(()) })
    }

    pub(super) fn path(&self) -> &Path {
        self.medium.path()
    }

    pub(super) fn free_bytes(&self) -> Option<u64> {
        self.medium.free_bytes()
    }

    /// Reads within one transaction; anew on a file opened again if the handle was spoilt, as by another's failed write.
    pub(super) fn read<T>(
        &self,
        mut work: impl FnMut(&Reading) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let (mut tries, mut restarts) = (0, 0);
        loop {
            let (generation, transaction) = self.begin_read()?;
            let trouble = match transaction.and_then(|transaction| work(&Reading(transaction))) {
                Ok(read) => return Ok(read),
                Err(trouble) => trouble,
            };
            let again = if trouble.is_anothers() {
                restarts += 1;
                restarts < READ_RESTARTS
            } else {
                tries += 1;
                trouble.spoils_the_handle() && tries < READ_TRIES
            };
            if !again {
                return Err(trouble.into_error(self.path()));
            }
            self.reopen(generation);
        }
    }

    /// The moment of now, and the generation of the database it is from.
    fn begin_read(&self) -> Result<(u64, Result<ReadTransaction, Trouble>), StoreError> {
        let slot = self.slot();
        match &slot.state {
            State::Open(database) | State::ReadOnly(database, _) => {
                Ok((slot.generation, database.begin_read().map_err(Trouble::from)))
            }
            State::Failed(error) => Ok((slot.generation, Err(Trouble::Unopened(error.clone())))),
            State::Closed => Err(StoreError::Closed),
        }
    }

    /// A transaction to write in, if the disk can be written to, and the generation of the database it is of. One thread at a time asks.
    pub(super) fn begin_write(&self) -> Result<(u64, WriteTransaction), StoreError> {
        let mut tries = 0;
        loop {
            self.restore()?;
            let (generation, transaction) = {
                let slot = self.slot();
                match &slot.state {
                    State::Open(database) => (slot.generation, database.begin_write()),
                    State::ReadOnly(_, error) | State::Failed(error) => return Err(error.clone()),
                    State::Closed => return Err(StoreError::Closed),
                }
            };
            let trouble = match transaction {
                Ok(transaction) => return Ok((generation, transaction)),
                Err(error) => Trouble::from(error),
            };
            // What is left of a reader's error.
            self.reopen(generation);
            tries += 1;
            if tries == WRITE_TRIES {
                return Err(trouble.into_error(self.path()));
            }
        }
    }

    /// Opens the file again after an error on a database of this generation, unless somebody did. Readers wait meanwhile.
    pub(super) fn reopen(&self, generation: u64) {
        let _alone = self.reopening();
        let mut slot = self.slot_to_change();
        if slot.generation != generation || matches!(slot.state, State::Closed) {
            return;
        }
        // The old one goes first: it may not write any more once the new one does.
        slot.state = State::Closed;
        slot.state = match open::open(&*self.medium, &self.options) {
            Ok(database) => State::Open(database),
            Err(error) => match open::open_to_read(&*self.medium, &self.options) {
                Ok(database) => State::ReadOnly(database, error),
                Err(_) => State::Failed(error),
            },
        };
        slot.generation += 1;
    }

    /// Gives a store that was reduced to reading another chance to write. Readers go on meanwhile: what the attempt writes to the file does not
    /// touch pages that the last whole transaction uses.
    fn restore(&self) -> Result<(), StoreError> {
        let (generation, failed) = {
            let slot = self.slot();
            match &slot.state {
                State::Open(_) | State::Closed => return Ok(()),
                State::ReadOnly(..) => (slot.generation, false),
                State::Failed(_) => (slot.generation, true),
            }
        };
        if failed {
            self.reopen(generation);
            return Ok(());
        }
        let _alone = self.reopening();
        if self.slot().generation != generation {
            return Ok(());
        }
        let database = open::open(&*self.medium, &self.options)?;
        let mut slot = self.slot_to_change();
        slot.state = State::Open(database);
        slot.generation += 1;
        Ok(())
    }

    /// Closes the database and lets others have the file. Nobody writes any more.
    pub(super) fn close(&self) -> Result<(), StoreError> {
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

    // What is guarded is changed in steps that leave it sound, so that a poisoned lock says nothing.

    fn slot(&self) -> RwLockReadGuard<'_, Slot> {
        self.slot.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot_to_change(&self) -> RwLockWriteGuard<'_, Slot> {
        self.slot.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn reopening(&self) -> MutexGuard<'_, ()> {
        self.reopening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
