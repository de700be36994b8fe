//! Files that are not a store, or not for us.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use foldin_engine::store::testing::Contents;
use foldin_engine::store::{
    Event, ItemRecord, JsonMap, MemoryStore, RedbStore, Sequence, Store, StoreError, StoreOptions,
};
use redb::{Database, TableDefinition};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

fn open(path: &Path) -> Result<RedbStore, StoreError> {
    RedbStore::open(path, StoreOptions::default())
}

/// Opening fails, says why, and changes nothing.
fn refused(path: &Path, expected: &str) {
    let before = fs::read(path).unwrap();
    let error = open(path).unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains(expected) && shown.contains(&path.display().to_string()), "{shown}");
    assert!(fs::read(path).unwrap() == before, "the file was changed");
}

#[test]
fn another_kind_of_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    for text in ["x", "Dear diary, today I opened a file", "redb, as it were"] {
        fs::write(&path, text).unwrap();
        refused(&path, "not a store of Foldin");
    }
}

#[test]
fn the_database_of_something_else_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (name, key, row) in [
        ("other-tables", "x", None),
        ("no-format", "x", Some("{}")),
        ("other-program", "format", Some(r#"{"application": "a shop", "format": 1}"#)),
        ("no-json", "format", Some("1")),
    ] {
        let path = folder.path().join(name);
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        match row {
            Some(row) => drop(transaction.open_table(META).unwrap().insert(key, row.as_bytes()).unwrap()),
            None => drop(transaction.open_table(TableDefinition::<u32, u32>::new("numbers")).unwrap()),
        }
        transaction.commit().unwrap();
        database.close().unwrap();
        let error = open(&path).unwrap_err();
        assert!(matches!(error, StoreError::Foreign { .. }), "{name}: {error}");
    }
}

#[test]
fn a_later_format_is_refused_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    open(&path).unwrap().close().unwrap();
    let database = Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let row = br#"{"application": "foldin store", "format": 7}"#;
    transaction.open_table(META).unwrap().insert("format", row.as_slice()).unwrap();
    transaction.commit().unwrap();
    database.close().unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 7, supported: 1, .. }), "{error}");
}

#[test]
fn one_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path).unwrap();
    let error = open(&path).unwrap_err();
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    assert!(Database::open(&path).is_err(), "nor for another program that uses redb");
    store.append(&[Event::new("u", "i", "view", 0)]).unwrap();
    store.close().unwrap();
    // The first is closed though it is still there.
    let again = open(&path).unwrap();
    assert_eq!(again.counts().unwrap().events, 1);
    assert_eq!(store.counts(), Err(StoreError::Closed));
    drop(again);
    open(&path).unwrap();
}

#[test]
fn a_folder_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let error = open(&folder.path().join("missing").join("store")).unwrap_err();
    assert!(matches!(error, StoreError::Io { kind: std::io::ErrorKind::NotFound, .. }), "{error}");
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
}

#[test]
fn a_store_is_not_replaced_by_its_own_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path).unwrap();
    store.append(&[Event::new("u", "i", "view", 0)]).unwrap();
    for own in [path.clone(), folder.path().join(".").join("store")] {
        assert!(matches!(store.backup(&own), Err(StoreError::Invalid(_))));
    }
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store"], "nothing is left beside it");
    assert_eq!(store.counts().unwrap().events, 1);
}

#[test]
fn a_memory_store_can_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let memory = MemoryStore::new();
    memory.append(&[Event::new("u", "i", "view", 0)]).unwrap();
    memory.backup(&folder.path().join("kept")).unwrap();
    assert_eq!(open(&folder.path().join("kept")).unwrap().history("u", 9), memory.history("u", 9));
}

/// Files of every format are read for ever. `FOLDIN_WRITE_GOLDEN=1` writes the one of this format if it is missing.
#[test]
fn files_of_earlier_formats_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("store");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-1.gz");
    let contents = fixture.with_extension("json");
    if !fixture.exists() {
        assert!(std::env::var_os("FOLDIN_WRITE_GOLDEN").is_some(), "{} is missing", fixture.display());
        let store = MemoryStore::new();
        let events = (0..60u16).map(|number| {
            let event = Event::new(
                &format!("üser-{}", number % 7),
                &format!("item-{}", number % 11),
                "rating",
                i64::from(number),
            );
            if number % 3 == 0 { event } else { event.with_value(f32::from(number) / 4.0) }
        });
        store.append(&events.collect::<Vec<_>>()).unwrap();
        store.append(&[Event::new("üser-1", "item-1", "view", -1)]).unwrap();
        store.put_user("üser-2", &JsonMap::from_iter([("age".to_owned(), 31.into())])).unwrap();
        let item =
            ItemRecord { key: "item-1".into(), title: Some("Heat (1995)".into()), ..ItemRecord::default() };
        store.put_items(&[item]).unwrap();
        store.put_setting("name", Some(b"value")).unwrap();
        store.backup(&copy).unwrap();
        // A small store is mostly free space.
        let mut packed = GzEncoder::new(fs::File::create(&fixture).unwrap(), Compression::best());
        packed.write_all(&fs::read(&copy).unwrap()).unwrap();
        packed.finish().unwrap();
        fs::write(&contents, text(&store)).unwrap();
    }
    let mut bytes = Vec::new();
    GzDecoder::new(fs::File::open(&fixture).unwrap()).read_to_end(&mut bytes).unwrap();
    fs::write(&copy, bytes).unwrap();
    let store = open(&copy).unwrap();
    assert_eq!(text(&store), fs::read_to_string(&contents).unwrap());
    assert_eq!(store.get_setting("name").unwrap(), Some(b"value".to_vec()));
    assert_eq!(store.append(&[Event::new("u", "i", "view", 0)]).unwrap(), Sequence(62));
}

fn text(store: &dyn Store) -> String {
    let Contents { events, users, items, counts } = Contents::of(store).unwrap();
    let lines = serde_json::json!({ "events": events, "users": users, "items": items, "counts": counts });
    serde_json::to_string_pretty(&lines).unwrap() + "\n"
}

/// On a real disk that is full. It needs a folder on a disk of a few megabytes, such as
/// `mount -t tmpfs -o size=8m tmpfs FOLDER`, which only root can make.
#[test]
#[ignore = "needs a small disk, named by FOLDIN_TEST_SMALL_DISK"]
fn a_real_disk_that_is_full() {
    let Ok(folder) = std::env::var("FOLDIN_TEST_SMALL_DISK") else { return };
    for reserve_bytes in [0, 1 << 20] {
        let path = Path::new(&folder).join("store");
        let store =
            RedbStore::open(&path, StoreOptions { reserve_bytes, ..StoreOptions::default() }).unwrap();
        let mut written = 0;
        let error = loop {
            let batch: Vec<Event> = (0..500)
                .map(|number| Event::new(&format!("user-{written}"), &format!("{number}"), "view", 0))
                .collect();
            match store.append(&batch) {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert!(written > 10, "{written} batches");
        for _ in 0..3 {
            let again = store.append(&[Event::new("u", "i", "view", 0)]);
            assert!(matches!(again, Err(StoreError::Full { .. }) | Ok(_)), "{again:?}");
            let contents = Contents::of(&store).unwrap();
            assert_eq!(contents.miscounted(), None);
            assert!(contents.events.len() >= 500 * written);
        }
        // Room comes from elsewhere.
        let more =
            std::process::Command::new("mount").args(["-o", "remount,size=64m", &folder]).status().unwrap();
        assert!(more.success());
        store.append(&[Event::new("there is", "room", "view", 0)]).unwrap();
        let contents = Contents::of(&store).unwrap();
        store.close().unwrap();
        assert_eq!(Contents::of(&open(&path).unwrap()).unwrap(), contents);
        drop(store);
        fs::remove_file(&path).unwrap();
        let less =
            std::process::Command::new("mount").args(["-o", "remount,size=8m", &folder]).status().unwrap();
        assert!(less.success());
    }
}
