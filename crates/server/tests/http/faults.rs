//! A disk that is full or broken, and more work than there are places for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use foldin_engine::store::testing::{FailingStore, Fault, Switch};
use foldin_engine::store::{MemoryStore, RedbStore, Store, StoreOptions};
use foldin_server::ServerConfig;
use serde_json::json;

use super::running::{code, get, post, send, start_over};

/// A failing store, and what makes it fail.
fn failing() -> (Box<dyn Store>, Switch) {
    let store = FailingStore::new(MemoryStore::new());
    let switch = store.switch().clone();
    (Box::new(store), switch)
}

#[test]
fn a_full_disk_is_said_and_reading_goes_on() {
    let (store, faults) = failing();
    let (server, _) = start_over(store, ServerConfig::default(), None);
    let event = |item: &str| json!({"user": "ada", "item": item, "value": 5});
    assert_eq!(post(&server, "/v1/events", &event("item 1")).0, 201);

    faults.writes(Fault::Full);
    let (status, refused) = post(&server, "/v1/events", &event("item 2"));
    assert_eq!((status, code(&refused)), (507, "storage_full"), "{refused}");
    let lines = event("item 3").to_string();
    let (status, _, refused) =
        send(&server, "POST", "/v1/events", Some(("application/x-ndjson", lines.as_bytes())), "");
    assert_eq!((status, code(&refused)), (507, "storage_full"), "{refused}");
    let item = Some(("application/json", br#"{"title": "One"}"# as &[u8]));
    let (status, _, refused) = send(&server, "PUT", "/v1/items/one", item, "");
    assert_eq!((status, code(&refused)), (507, "storage_full"), "{refused}");
    let (status, list) = get(&server, "/v1/users/ada/recommendations");
    assert_eq!((status, list["used"].as_u64()), (200, Some(1)), "what was acknowledged is there: {list}");

    faults.writes(None);
    assert_eq!(post(&server, "/v1/events", &event("item 2")).0, 201);
    assert_eq!(get(&server, "/v1/users/ada/recommendations").1["used"].as_u64(), Some(2));
}

#[test]
fn a_broken_disk_is_a_fault_of_the_server_that_says_no_paths() {
    let (store, faults) = failing();
    let (server, _) = start_over(store, ServerConfig::default(), None);
    faults.writes(Fault::Io);
    let (status, refused) =
        post(&server, "/v1/events", &json!({"user": "ada", "item": "item 1", "value": 5}));
    assert_eq!((status, code(&refused)), (500, "storage"));
    assert!(!refused.to_string().contains("failing-store"), "{refused}");
    faults.writes(Fault::Busy);
    let (status, head, refused) = send(
        &server,
        "POST",
        "/v1/events",
        Some(("application/json", br#"{"user": "ada", "item": "item 1", "value": 5}"#)),
        "",
    );
    assert_eq!((status, code(&refused)), (503, "overloaded"));
    assert!(head.contains("retry-after"), "{head}");
    faults.reads(Fault::Io);
    assert_eq!(get(&server, "/health/ready").0, 500);
    assert_eq!(get(&server, "/health/live").0, 200);
    faults.reads(None);
    assert_eq!(get(&server, "/health/ready").0, 200);
}

/// A request that nobody waits for any more is still being worked on, so its place is not given to another.
#[test]
fn a_place_is_taken_until_its_work_is_done() {
    let (store, faults) = failing();
    let mut config = ServerConfig::default();
    config.limits.concurrency = 2;
    config.limits.request_seconds = 1;
    let (server, _) = start_over(store, config, None);
    faults.writes(Fault::Slow(Duration::from_secs(4)));
    let (late, full) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let event = json!({"user": "ada", "item": "item 1", "value": 5});
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (status, refused) = post(&server, "/v1/events", &event);
                assert_eq!((status, code(&refused)), (503, "timeout"));
                late.fetch_add(1, Ordering::Relaxed);
                // Both were given up, and both still wait for the disk.
                let (status, refused) = post(&server, "/v1/events", &event);
                assert_eq!((status, code(&refused)), (503, "overloaded"));
                full.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!((late.into_inner(), full.into_inner()), (2, 2));
    assert_eq!(get(&server, "/health/live").0, 200, "whoever watches gets through");
}

#[test]
fn a_backup_is_made_while_it_serves() {
    let place = tempfile::tempdir().unwrap();
    let store = RedbStore::open(&place.path().join("events.redb"), StoreOptions::default()).unwrap();
    let backups = place.path().join("backups");
    let config = ServerConfig { backups: Some(backups.clone()), ..ServerConfig::default() };
    let (server, _) = start_over(Box::new(store), config, None);
    for item in ["item 1", "item 2"] {
        assert_eq!(post(&server, "/v1/events", &json!({"user": "ada", "item": item, "value": 5})).0, 201);
    }
    let (status, made) = post(&server, "/v1/backup", &json!({}));
    assert_eq!((status, made["store"]["events"].as_u64()), (201, Some(2)), "{made}");
    let file = backups.join(made["file"].as_str().unwrap());
    assert_eq!(std::fs::metadata(&file).unwrap().len(), made["bytes"].as_u64().unwrap());
    let kept = RedbStore::open(&file, StoreOptions::default()).unwrap();
    assert_eq!(kept.history("ada", 10).unwrap().len(), 2);

    let (server, _) = start_over(Box::new(MemoryStore::new()), ServerConfig::default(), None);
    let (status, refused) = post(&server, "/v1/backup", &json!({}));
    assert_eq!((status, code(&refused)), (422, "unsupported"));
}
