//! Damaged files: opened soundly or refused, never a panic and never half of what was there.

use foldin_core::random::Random;
use foldin_engine::store::testing::{Contents, SimulatedDisk};
use foldin_engine::store::{Event, ItemRecord, JsonMap, Store, StoreError, StoreOptions};

/// A store's bytes, closed or as a crash would leave it, and what may be found in it.
///
/// If it was not closed, damage to the last transaction looks like a power failure in the middle of it, and the one before counts. Closing
/// writes once more, so that the last change is no longer in the last transaction alone.
fn store_bytes(closed: bool) -> (Vec<u8>, Vec<Contents>) {
    let disk = SimulatedDisk::new();
    let store = disk.open(StoreOptions::default()).unwrap();
    for number in 0..40i64 {
        let event = |part: i64| {
            Event::new(&format!("user-{}", number * 7 % 11), &format!("item-{part}"), "view", number)
        };
        store.append(&(number * 30..number * 30 + 50).map(event).collect::<Vec<_>>()).unwrap();
        store
            .put_items(&[ItemRecord { key: format!("item-{number}").into(), ..ItemRecord::default() }])
            .unwrap();
    }
    store.put_user("user-3", &JsonMap::from_iter([("age".to_owned(), 31.into())])).unwrap();
    let before = Contents::of(&store).unwrap();
    store.forget("user-4").unwrap();
    let last = Contents::of(&store).unwrap();
    if closed {
        store.close().unwrap();
        return (disk.bytes(), vec![last]);
    }
    (disk.bytes(), vec![before, last])
}

/// What is found is all there was, or an error says that it is damaged.
fn sound_or_refused(bytes: Vec<u8>, expected: &[Contents], how: &str) -> bool {
    let disk = SimulatedDisk::holding(bytes);
    let store = match disk.open(StoreOptions::default()) {
        Ok(store) => store,
        Err(StoreError::Corrupt { reason, .. }) => {
            assert!(!reason.is_empty());
            return false;
        }
        Err(StoreError::Foreign { .. } | StoreError::Newer { .. } | StoreError::Io { .. }) => return false,
        Err(other) => panic!("{how}: {other}"),
    };
    assert!(expected.contains(&Contents::of(&store).unwrap()), "{how}: other contents");
    store.append(&[Event::new("after", "the damage", "view", 0)]).unwrap();
    store.forget("user-1").unwrap();
    assert_eq!(Contents::of(&store).unwrap().miscounted(), None, "{how}");
    true
}

#[test]
fn flipped_bits() {
    for closed in [true, false] {
        let (bytes, contents) = store_bytes(closed);
        let mut random = Random::new(9);
        let mut sound = 0;
        for round in 0..400 {
            let mut damaged = bytes.clone();
            // The header every other time: there is little of it.
            let range = if round % 2 == 0 { 512 } else { bytes.len() };
            for _ in 0..1 + random.below(4) {
                damaged[random.below(range)] ^= 1 << random.below(8);
            }
            sound += usize::from(sound_or_refused(damaged, &contents, &format!("round {round}")));
        }
        assert!(sound > 10, "damage to free space does no harm: {sound}");
    }
}

#[test]
fn overwritten_sectors() {
    let (bytes, contents) = store_bytes(true);
    let mut random = Random::new(10);
    for round in 0..300 {
        let mut damaged = bytes.clone();
        let sector = 512 * random.below(bytes.len() / 512);
        let byte = [0, 0xff, round as u8][random.below(3)];
        damaged[sector..sector + 512].fill(byte);
        sound_or_refused(damaged, &contents, &format!("round {round}"));
    }
}

#[test]
fn cut_off_anywhere() {
    for closed in [true, false] {
        let (bytes, contents) = store_bytes(closed);
        let mut random = Random::new(11);
        // An empty file is a new store, so it is not among them.
        let lengths = (1..400).chain((0..200).map(|_| 1 + random.below(bytes.len() - 1))).collect::<Vec<_>>();
        for length in lengths {
            sound_or_refused(bytes[..length].to_vec(), &contents, &format!("{length} bytes"));
        }
    }
}
