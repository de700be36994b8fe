//! Every store passes the suite.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldin_engine::store::testing::{FailingStore, SimulatedDisk, Subject, conformance};
use foldin_engine::store::{MemoryStore, RedbStore, Store, StoreOptions};
use tempfile::TempDir;

struct Kind<F, R> {
    fresh: F,
    reopen: R,
    folder: TempDir,
}

impl<F, R> Subject for Kind<F, R>
where
    F: Fn(&Path) -> Box<dyn Store> + Sync,
    R: Fn(&Path) -> Option<Box<dyn Store>> + Sync,
{
    fn fresh(&self) -> Box<dyn Store> {
        (self.fresh)(self.folder.path())
    }

    fn reopen(&self, store: Box<dyn Store>) -> Option<Box<dyn Store>> {
        store.close().unwrap();
        drop(store);
        (self.reopen)(self.folder.path())
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn passes<F, R>(fresh: F, reopen: R)
where
    F: Fn(&Path) -> Box<dyn Store> + Sync,
    R: Fn(&Path) -> Option<Box<dyn Store>> + Sync,
{
    let kind = Kind { fresh, reopen, folder: tempfile::tempdir().unwrap() };
    assert_eq!(conformance(&kind), vec![]);
}

#[test]
fn a_file() {
    let number = AtomicUsize::new(0);
    let open = |folder: &Path, number: usize| -> Box<dyn Store> {
        Box::new(RedbStore::open(&folder.join(format!("store-{number}")), StoreOptions::default()).unwrap())
    };
    passes(
        |folder| open(folder, number.fetch_add(1, Ordering::SeqCst)),
        |folder| Some(open(folder, number.load(Ordering::SeqCst) - 1)),
    );
}

/// Pages are read again and again, and come as they were written.
#[test]
fn a_file_with_hardly_any_cache() {
    let options = StoreOptions { cache_bytes: 64 << 10, ..StoreOptions::default() };
    passes(|_| Box::new(SimulatedDisk::new().open(options.clone()).unwrap()), |_| None);
}

#[test]
fn memory() {
    passes(|_| Box::new(MemoryStore::new()), |_| None);
}

#[test]
fn a_failing_store_that_does_not_fail() {
    passes(|_| Box::new(FailingStore::new(MemoryStore::new())), |_| None);
}
