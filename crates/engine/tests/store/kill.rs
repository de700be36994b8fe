//! Killed in the middle of writing, twenty times: every acknowledged event is there.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use foldin_core::random::Random;
use foldin_engine::store::testing::Contents;
use foldin_engine::store::{Event, RedbStore, Store, StoreOptions};

/// Where the child finds the store. It does nothing without.
const PATH: &str = "FOLDIN_TEST_STORE_TO_KILL";
const KILLS: usize = 20;
const THREADS: usize = 8;
/// Users of one batch.
const TOGETHER: usize = 3;

/// Started by the test below and killed by it. Eight threads write batches and tell of each when it is acknowledged.
#[test]
#[ignore = "the child of another test"]
fn child() {
    let Ok(path) = env::var(PATH) else { return };
    let store = RedbStore::open(Path::new(&path), StoreOptions::default()).unwrap();
    let first = store.counts().unwrap().last.0;
    let out = Mutex::new(std::io::stdout());
    thread::scope(|scope| {
        for writer in 0..THREADS {
            let (store, out) = (&store, &out);
            scope.spawn(move || {
                for number in 0.. {
                    // An item of its own for each batch, so that every batch can be told apart.
                    let item = format!("{first}-{writer}-{number}");
                    let event = |part: usize| Event::new(&format!("user-{part}"), &item, "view", number);
                    let sequence = store.append(&(0..TOGETHER).map(event).collect::<Vec<_>>()).unwrap();
                    // Comes and goes meanwhile.
                    if number % 5 == 0 {
                        store
                            .append(&[Event::new(&format!("guest-{writer}"), &item, "click", number)])
                            .unwrap();
                        store.forget(&format!("guest-{writer}")).unwrap();
                    }
                    let mut out = out.lock().unwrap();
                    // Nobody listens any more: the parent is gone.
                    if writeln!(out, "\nwritten {} {item}", sequence.0).and_then(|()| out.flush()).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

#[test]
fn acknowledged_events_survive_twenty_kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut random = Random::new(12);
    // Item of each acknowledged batch, by its number.
    let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
    for kill in 0..KILLS {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["kill::child", "--exact", "--ignored", "--nocapture", "--test-threads=1"])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Sometimes at once, in the middle of opening and repairing.
        let patience = if kill % 7 == 3 { 0 } else { 1 + random.below(150) };
        let mut told = 0;
        let mut killed = patience == 0;
        if killed {
            child.kill().unwrap();
        }
        while let Some(Ok(line)) = lines.next() {
            // The last line may have been cut off in the middle: its item then has no third part, or too short a one.
            let mut words = line.split(' ');
            let (Some("written"), Some(sequence), Some(item)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            acknowledged.insert(sequence.parse().unwrap(), item.to_owned());
            told += 1;
            if told == patience {
                child.kill().unwrap();
                killed = true;
            }
        }
        assert!(killed, "the child ended by itself after {told} lines");
        child.wait().unwrap();

        let store = RedbStore::open(&path, StoreOptions::default()).unwrap();
        let contents = Contents::of(&store).unwrap();
        assert_eq!(contents.miscounted(), None, "kill {kill}");
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        for event in contents.events.iter().filter(|event| event.user.starts_with("user-")) {
            *seen.entry(&event.item).or_default() += 1;
        }
        let half = seen.iter().find(|(_, times)| **times != TOGETHER);
        assert_eq!(half, None, "kill {kill}: half a batch");
        for (sequence, item) in &acknowledged {
            assert!(
                seen.contains_key(item.as_str()),
                "kill {kill}: {sequence} {item} was acknowledged and is not there"
            );
            assert!(*sequence <= contents.counts.last.0);
        }
        store.close().unwrap();
    }
    assert!(acknowledged.len() > 500, "only {} writes", acknowledged.len());
}
