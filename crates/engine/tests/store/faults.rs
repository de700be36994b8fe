//! Disks that are full or fail: a clear error, reading goes on, and writing works again when it can.

use std::io::ErrorKind;
use std::thread;
use std::time::Duration;

use foldin_engine::store::testing::{Contents, SimulatedDisk};
use foldin_engine::store::{Event, RedbStore, Store, StoreError, StoreOptions};

fn options() -> StoreOptions {
    // Hardly any cache, so that reading has to ask the disk.
    StoreOptions { cache_bytes: 64 << 10, ..StoreOptions::default() }
}

fn batch(number: usize) -> Vec<Event> {
    (0..3)
        .map(|part| Event::new(&format!("user-{part}"), &format!("item-{number}"), "view", number as i64))
        .collect()
}

fn filled(disk: &SimulatedDisk) -> RedbStore {
    let store = disk.open(options()).unwrap();
    let events = (0..20_000)
        .map(|number| Event::new(&format!("u{}", number % 100), &format!("{number}"), "view", number));
    store.import(&mut events.into_iter()).unwrap();
    store
}

/// Every batch that a store holds is there as a whole. Returns their numbers.
fn whole_batches(store: &dyn Store) -> Vec<i64> {
    let numbers = |part: usize| -> Vec<i64> {
        store.history(&format!("user-{part}"), usize::MAX).unwrap().iter().map(|event| event.time).collect()
    };
    assert_eq!(numbers(0), numbers(1));
    assert_eq!(numbers(0), numbers(2));
    numbers(0)
}

#[test]
fn a_write_that_fails_anywhere_is_whole_or_nothing() {
    let disk = SimulatedDisk::new();
    filled(&disk).close().unwrap();
    let bytes = disk.bytes();
    for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
        // So many operations of the disk into the write: pages, header, sync.
        for after in 0..24 {
            let disk = SimulatedDisk::holding(bytes.clone());
            let store = disk.open(options()).unwrap();
            let before = Contents::of(&store).unwrap();
            disk.fail_writes(after, 1, kind);
            let written = store.append(&batch(1));
            disk.mend();
            match &written {
                Ok(_) => {}
                Err(StoreError::Full { .. }) => assert_eq!(kind, ErrorKind::StorageFull),
                Err(StoreError::Io { kind: told, .. }) => assert_eq!(*told, kind),
                Err(other) => panic!("after {after}: {other}"),
            }
            let found = whole_batches(&store);
            assert!(written.is_err() || found == [1], "after {after}");
            if found.is_empty() {
                assert_eq!(Contents::of(&store).unwrap(), before);
            }
            store.append(&batch(2)).unwrap();
            assert_eq!(whole_batches(&store).last(), Some(&2));
            store.close().unwrap();
            let store = disk.open(options()).unwrap();
            assert_eq!(Contents::of(&store).unwrap().miscounted(), None);
            assert_eq!(whole_batches(&store).last(), Some(&2));
        }
    }
}

#[test]
fn reading_goes_on_while_nothing_can_be_written() {
    for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::Other] {
        let disk = SimulatedDisk::new();
        let store = filled(&disk);
        let before = Contents::of(&store).unwrap();
        disk.fail_writes(2, u64::MAX, kind);
        for _ in 0..3 {
            let error = store.append(&batch(1)).unwrap_err();
            match kind {
                ErrorKind::Other => assert!(matches!(error, StoreError::Io { .. }), "{error}"),
                _ => assert!(matches!(error, StoreError::Full { .. }), "{error}"),
            }
            assert_eq!(Contents::of(&store).unwrap(), before, "everything can be read");
        }
        assert!(store.forget("u1").is_err());
        let folder = tempfile::tempdir().unwrap();
        store.backup(&folder.path().join("rescued")).unwrap();
        let rescued = RedbStore::open(&folder.path().join("rescued"), options()).unwrap();
        assert_eq!(Contents::of(&rescued).unwrap(), before);
        disk.mend();
        store.append(&batch(2)).unwrap();
        assert_eq!(whole_batches(&store), [2]);
        store.close().unwrap();
        let store = disk.open(options()).unwrap();
        assert_eq!(whole_batches(&store), [2]);
        assert_eq!(Contents::of(&store).unwrap().miscounted(), None);
    }
}

#[test]
fn a_store_that_could_only_be_read_closes_and_opens_again() {
    let disk = SimulatedDisk::new();
    let store = filled(&disk);
    let before = Contents::of(&store).unwrap();
    disk.fail_writes(2, u64::MAX, ErrorKind::StorageFull);
    assert!(store.append(&batch(1)).is_err());
    store.close().unwrap();
    disk.mend();
    assert_eq!(Contents::of(&disk.open(options()).unwrap()).unwrap(), before);
}

#[test]
fn a_reserve_is_left_on_the_disk() {
    let disk = SimulatedDisk::new();
    let store = filled(&disk);
    let operations = disk.operations();
    disk.report_free_bytes(Some(1 << 20));
    let error = store.append(&batch(1)).unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error}");
    assert_eq!(disk.operations(), operations, "the disk was not touched");
    assert_eq!(store.counts().unwrap().events, 20_000);
    disk.report_free_bytes(Some(1 << 30));
    store.append(&batch(1)).unwrap();
    assert_eq!(whole_batches(&store), [1]);
}

#[test]
fn a_disk_that_cannot_be_read_either_is_told_and_comes_back() {
    let disk = SimulatedDisk::new();
    let store = filled(&disk);
    let before = Contents::of(&store).unwrap();
    disk.fail_everything();
    assert!(matches!(Contents::of(&store), Err(StoreError::Io { .. })));
    assert!(matches!(store.append(&batch(1)), Err(StoreError::Io { .. })));
    assert!(matches!(store.counts(), Err(StoreError::Io { .. })));
    let folder = tempfile::tempdir().unwrap();
    let error = store.backup(&folder.path().join("backup")).unwrap_err();
    assert!(error.to_string().starts_with("simulated-disk"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left of the attempt");
    disk.mend();
    assert_eq!(Contents::of(&store).unwrap(), before);
    store.append(&batch(1)).unwrap();
    assert_eq!(whole_batches(&store), [1]);
}

/// Readers never see an error of writers, though the file is opened again under their eyes.
#[test]
fn readers_do_not_notice_failing_writers() {
    let disk = SimulatedDisk::new();
    let store = filled(&disk);
    let expected: Vec<usize> =
        (0..100).map(|user| store.history(&format!("u{user}"), 999).unwrap().len()).collect();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let (store, expected) = (&store, &expected);
                scope.spawn(move || {
                    for round in 0..300 {
                        let user = (round * 7 + reader) % 100;
                        assert_eq!(store.history(&format!("u{user}"), 999).unwrap().len(), expected[user]);
                    }
                })
            })
            .collect();
        let mut number = 0;
        while readers.iter().any(|reader| !reader.is_finished()) {
            number += 1;
            disk.fail_writes(number % 12, 1, ErrorKind::StorageFull);
            let _ = store.append(&batch(number as usize));
        }
    });
    disk.mend();
    store.append(&batch(999_999)).unwrap();
    assert_eq!(whole_batches(&store).last(), Some(&999_999));
    assert_eq!(Contents::of(&store).unwrap().miscounted(), None);
}

#[test]
fn waiting_is_bounded() {
    let disk = SimulatedDisk::new();
    let few = StoreOptions { waiting_calls: 2, ..options() };
    let store = disk.open(few).unwrap();
    // More threads than may wait: some are refused, and what is told of each call is true.
    let written: usize = thread::scope(|scope| {
        let writers: Vec<_> = (0..16)
            .map(|writer| {
                let store = &store;
                scope.spawn(move || {
                    let write = |number: usize| match store.append(&[Event::new(
                        "u",
                        &format!("{writer}-{number}"),
                        "view",
                        0,
                    )]) {
                        Ok(_) => 1,
                        Err(StoreError::Busy { waiting }) => {
                            assert_eq!(waiting, 2);
                            0
                        }
                        Err(other) => panic!("{other}"),
                    };
                    (0..100).map(write).sum::<usize>()
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).sum()
    });
    assert_eq!(store.history("u", usize::MAX).unwrap().len(), written);
}

#[test]
fn writers_share_a_sync() {
    let disk = SimulatedDisk::new();
    let store = disk.open(StoreOptions::default()).unwrap();
    let before = disk.syncs();
    store.append(&batch(0)).unwrap();
    assert_eq!(disk.syncs() - before, 1, "one alone");
    disk.sync_takes(Duration::from_millis(2));
    let before = disk.syncs();
    thread::scope(|scope| {
        for writer in 0..16 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..20 {
                    let event = Event::new(&format!("{writer}"), &format!("{number}"), "view", 0);
                    store.append(&[event]).unwrap();
                }
            });
        }
    });
    let syncs = disk.syncs() - before;
    // While one syncs, all others come to wait, so about two rounds of 16 share two.
    assert!(syncs <= 320 / 4, "{syncs} syncs for 320 writes");
    assert_eq!(store.counts().unwrap().events, 320 + 3);
}
