//! The power fails at any moment: what was acknowledged is there, and nothing is there by half.

use std::sync::Mutex;

use foldin_core::random::Random;
use foldin_engine::store::testing::{Contents, SimulatedDisk};
use foldin_engine::store::{Event, Store, StoreOptions};

/// Writes for a while; before every operation of the disk a copy of it may lose power. Each copy is opened and compared with what had been acknowledged.
#[test]
fn what_was_acknowledged_survives() {
    let mut random = Random::new(7);
    let disk = SimulatedDisk::new();
    let store = disk.open(StoreOptions::default()).unwrap();
    let acknowledged = Mutex::new(0);
    let mut found_unacknowledged = 0;
    for number in 1..=150i64 {
        // Three events that belong together, some of them repeats.
        let batch: Vec<Event> = (0..3)
            .map(|user| Event::new(&format!("user-{user}"), &format!("{}", number % 40), "rating", number))
            .collect();
        store.append(&batch).unwrap();
        *acknowledged.lock().unwrap() = number;
        if number % 10 == 0 {
            store.forget("user-forgotten").unwrap();
        } else {
            store.append(&[Event::new("user-forgotten", "x", "view", number)]).unwrap();
        }
        for _ in 0..2 {
            let after = disk.power_loss(&mut random);
            let found = after.open(StoreOptions::default()).unwrap();
            let contents = Contents::of(&found).unwrap();
            assert_eq!(contents.miscounted(), None);
            let last = |user: &str| found.history(user, 1).unwrap().last().map_or(0, |event| event.time);
            assert_eq!(last("user-0"), last("user-1"));
            assert_eq!(last("user-0"), last("user-2"));
            assert!(last("user-0") >= number, "{} of {number}", last("user-0"));
            let known = found.user("user-forgotten").unwrap().is_some();
            assert_eq!(known, number % 10 != 0, "number {number}");
            found_unacknowledged += usize::from(last("user-0") > number);
            // And it can be written to.
            found.append(&batch).unwrap();
        }
    }
    assert_eq!(found_unacknowledged, 0);
}

/// As above, but in the middle of a write: the sync fails, and the power with it. The batch is there as a whole or not at all.
#[test]
fn a_write_cut_off_is_whole_or_nothing() {
    let mut random = Random::new(8);
    let (mut with, mut without) = (0, 0);
    for round in 0..150u64 {
        let disk = SimulatedDisk::new();
        let store = disk.open(StoreOptions::default()).unwrap();
        let before = random.below(40) as i64;
        for number in 0..before {
            store.append(&[Event::new("u", &format!("{number}"), "view", number)]).unwrap();
        }
        // So far into the write the disk stops, and the power fails before anybody mends it.
        disk.fail_writes(round % 10, u64::MAX, std::io::ErrorKind::Other);
        let batch: Vec<Event> = (0..100)
            .map(|number| Event::new(&format!("{}", number % 7), &format!("{number}"), "cut", 0))
            .collect();
        let written = store.append(&batch).is_ok();
        let found = disk.power_loss(&mut random).open(StoreOptions::default()).unwrap();
        let contents = Contents::of(&found).unwrap();
        assert_eq!(contents.miscounted(), None);
        assert_eq!(contents.counts.by_kind.get("view").copied().unwrap_or_default(), before as u64);
        match contents.counts.by_kind.get("cut").copied().unwrap_or_default() {
            0 => without += 1,
            100 => with += 1,
            some => panic!("{some} of 100 events"),
        }
        assert!(!written || contents.counts.by_kind.contains_key("cut"));
    }
    assert!(without > 0 && with + without == 150, "{with} with, {without} without");
}
