//! Copying a store, row by row, into a new file: nothing that was deleted comes along.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, Key, ReadTransaction, ReadableTable, TableDefinition, Value, WriteTransaction};

use super::apply::Writing;
use super::layout::{EVENTS, ITEMS, Ledger, META, Row, SETTINGS, USER_KEYS, USERS};
use super::medium::sync_folder;
use super::trouble::Trouble;
use crate::store::check::invalid;
use crate::store::{InvalidReason, ItemRecord, JsonMap, StoreError};

/// Memory for the copy: rows come in order, so few pages are written to at a time.
const CACHE_BYTES: usize = 8 << 20;

/// Writes a file beside its place, makes sure it is on disk, and renames it there. What goes wrong with the new file is told with its path; what
/// goes wrong with the store that fills it is passed on.
pub(super) fn write_file(
    path: &Path,
    fill: impl FnOnce(&WriteTransaction) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let beside = beside(path);
    let system = |error: io::Error| Trouble::Known(StoreError::system(path, &error));
    // Left by a backup that was killed.
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(system(error)),
        _ => {}
    }
    let written = write_new(&beside, path, fill);
    let placed = written.and_then(|()| {
        fs::rename(&beside, path).map_err(system)?;
        sync_folder(path).map_err(system)
    });
    if placed.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    placed
}

fn write_new(
    beside: &Path,
    path: &Path,
    fill: impl FnOnce(&WriteTransaction) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let database = Database::builder()
        .set_cache_size(CACHE_BYTES)
        .create(beside)
        .map_err(|error| of_the_copy(path, error))?;
    let transaction = database.begin_write().map_err(|error| of_the_copy(path, error))?;
    fill(&transaction)?;
    transaction.commit().map_err(|error| of_the_copy(path, error))?;
    database.close().map_err(|error| of_the_copy(path, error))
}

/// The store itself is not spoilt by what happens to its copy.
fn of_the_copy(path: &Path, error: impl Into<redb::Error>) -> Trouble {
    Trouble::Known(Trouble::Redb(error.into()).into_error(path))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Refuses to replace the store by its own backup.
pub(super) fn refuse_own_file(own: &Path, path: &Path) -> Result<(), StoreError> {
    let same = match (own.canonicalize(), path.canonicalize()) {
        (Ok(own), Ok(path)) => own == path,
        _ => own == path,
    };
    if same { Err(invalid("path", None, InvalidReason::OwnFile)) } else { Ok(()) }
}

/// Copies every table to the transaction of a file that will be `path`.
pub(super) fn copy(from: &ReadTransaction, to: &WriteTransaction, path: &Path) -> Result<(), Trouble> {
    copy_table(from, to, path, META)?;
    copy_table(from, to, path, USERS)?;
    copy_table(from, to, path, USER_KEYS)?;
    copy_table(from, to, path, EVENTS)?;
    copy_table(from, to, path, ITEMS)?;
    copy_table(from, to, path, SETTINGS)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    path: &Path,
    table: TableDefinition<'_, K, V>,
) -> Result<(), Trouble> {
    let from = from.open_table(table)?;
    let mut to = to.open_table(table).map_err(|error| of_the_copy(path, error))?;
    for entry in from.iter()? {
        let (key, value) = entry?;
        to.insert(key.value(), value.value()).map_err(|error| of_the_copy(path, error))?;
    }
    Ok(())
}

/// Everything a store keeps, from one that is not a file.
pub(in crate::store) trait Snapshot {
    fn ledger(&self) -> &Ledger;
    /// Number, key, features.
    fn users(&self) -> impl Iterator<Item = (u32, &str, &JsonMap)>;
    /// User, kind, item, row.
    fn events(&self) -> impl Iterator<Item = (u32, u8, &str, Row)>;
    fn items(&self) -> impl Iterator<Item = &ItemRecord>;
    fn settings(&self) -> impl Iterator<Item = (&str, &[u8])>;
}

/// Writes a snapshot to a file that opens as a store.
pub(in crate::store) fn write_snapshot(path: &Path, snapshot: &impl Snapshot) -> Result<(), StoreError> {
    let fill = |transaction: &WriteTransaction| {
        let mut writing = Writing::open(transaction)?;
        writing.write_format()?;
        writing.write_snapshot(snapshot)?;
        writing.finish()
    };
    write_file(path, fill).map_err(|trouble| trouble.into_error(path))
}
