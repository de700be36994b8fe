//! Opening a file: is it ours, is it whole, can it be written to?

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::{Database, ReadableDatabase, StorageBackend, TableHandle};

use super::StoreOptions;
use super::apply::Writing;
use super::layout::{
    APPLICATION, EVENTS, FORMAT, FORMAT_KEY, FormatRow, ITEMS, META, SETTINGS, USER_KEYS, USERS,
};
use super::medium::Medium;
use super::overlay::Overlay;
use super::trouble::{Trouble, panic_message};
use crate::store::StoreError;

/// Opens the bytes of a medium, makes a store of an empty one, and repairs one that was not closed.
pub(super) fn open(medium: &dyn Medium, options: &StoreOptions) -> Result<Database, StoreError> {
    let handle = medium.handle().map_err(|error| StoreError::system(medium.path(), &error))?;
    guarded(medium.path(), || open_on(handle, medium.path(), options))
}

/// The same for a disk that cannot be written to: repairs are made in memory, and nothing may be written.
pub(super) fn open_to_read(medium: &dyn Medium, options: &StoreOptions) -> Result<Database, StoreError> {
    let overlay = medium.handle().and_then(Overlay::new);
    let overlay = overlay.map_err(|error| StoreError::system(medium.path(), &error))?;
    guarded(medium.path(), || open_on(overlay, medium.path(), options))
}

/// The tree is checked before it is trusted, so that damage is told and not met. Should a damaged file bring redb to panic all the same,
/// that is told as well.
fn guarded(path: &Path, open: impl FnOnce() -> Result<Database, Trouble>) -> Result<Database, StoreError> {
    match catch_unwind(AssertUnwindSafe(open)) {
        Ok(result) => result.map_err(|trouble| trouble.into_error(path)),
        Err(payload) => Err(StoreError::corrupt(path, panic_message(&*payload))),
    }
}

fn open_on(backend: impl StorageBackend, path: &Path, options: &StoreOptions) -> Result<Database, Trouble> {
    let mut builder = Database::builder();
    builder.set_cache_size(options.cache_bytes).set_check_integrity_on_open(options.verify);
    let database = builder.create_with_backend(backend)?;
    if is_new(&database, path)? {
        let transaction = database.begin_write()?;
        let mut writing = Writing::open(&transaction)?;
        writing.write_format()?;
        writing.finish()?;
        transaction.commit()?;
    }
    Ok(database)
}

/// Whether nothing is in it yet. What is another's, or of a later format, is refused.
fn is_new(database: &Database, path: &Path) -> Result<bool, Trouble> {
    let transaction = database.begin_read()?;
    let tables: Vec<String> = transaction.list_tables()?.map(|table| table.name().to_owned()).collect();
    if tables.is_empty() {
        return Ok(true);
    }
    let foreign = |reason: &str| {
        Trouble::Known(StoreError::Foreign { path: path.to_path_buf(), reason: reason.to_owned() })
    };
    let meta = transaction.open_table(META).map_err(|_| foreign("it is a database of something else"))?;
    let row = meta.get(FORMAT_KEY)?.ok_or_else(|| foreign("it does not say its format"))?;
    let row: FormatRow =
        serde_json::from_slice(row.value()).map_err(|_| foreign("it does not say its format"))?;
    if row.application != APPLICATION {
        return Err(foreign(&format!("it says it is a {}", row.application)));
    }
    if row.format > FORMAT {
        let newer = StoreError::Newer { path: path.to_path_buf(), found: row.format, supported: FORMAT };
        return Err(Trouble::Known(newer));
    }
    // Each of them exists from the first transaction on.
    transaction.open_table(USERS)?;
    transaction.open_table(USER_KEYS)?;
    transaction.open_table(EVENTS)?;
    transaction.open_table(ITEMS)?;
    transaction.open_table(SETTINGS)?;
    Ok(false)
}
