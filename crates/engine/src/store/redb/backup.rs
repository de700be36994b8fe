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

/// Writes a file beside its place, makes sure it is on disk, and renames it there.
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
    let written = write_new(&beside, fill);
    let placed = written.and_then(|()| {
        fs::rename(&beside, path).map_err(system)?;
        sync_folder(path).map_err(system)
    });
    if placed.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    // What went wrong with the new file is told with its path, and does not spoil the store.
    placed.map_err(|trouble| {
        if trouble.spoils_the_handle() { Trouble::Known(trouble.into_error(path)) } else { trouble }
    })
}

fn write_new(
    path: &Path,
    fill: impl FnOnce(&WriteTransaction) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let database = Database::builder().set_cache_size(CACHE_BYTES).create(path)?;
    let transaction = database.begin_write()?;
    fill(&transaction)?;
    transaction.commit()?;
    database.close()?;
    Ok(())
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

/// Copies every table.
pub(super) fn copy(from: &ReadTransaction, to: &WriteTransaction) -> Result<(), Trouble> {
    copy_table(from, to, META)?;
    copy_table(from, to, USERS)?;
    copy_table(from, to, USER_KEYS)?;
    copy_table(from, to, EVENTS)?;
    copy_table(from, to, ITEMS)?;
    copy_table(from, to, SETTINGS)
}

fn copy_table<K: Key + 'static, V: Value + 'static>(
    from: &ReadTransaction,
    to: &WriteTransaction,
    table: TableDefinition<'_, K, V>,
) -> Result<(), Trouble> {
    let (from, mut to) = (from.open_table(table)?, to.open_table(table)?);
    for entry in from.iter()? {
        let (key, value) = entry?;
        to.insert(key.value(), value.value())?;
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
