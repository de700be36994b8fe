//! A file and its twin in memory answer the same, whatever is asked in whatever order.

use foldin_engine::store::testing::{Contents, SimulatedDisk};
use foldin_engine::store::{
    Event, ItemRecord, JsonMap, MemoryStore, Sequence, Store, StoreError, StoreOptions,
};
use proptest::prelude::*;
use std::ops::ControlFlow;

#[derive(Clone, Debug)]
enum Operation {
    Append(Vec<Event>),
    Import(Vec<Event>),
    DeleteEvent(String, String, String),
    PutUser(String, u8),
    Forget(String),
    PutItems(Vec<String>, u8),
    DeleteItem(String),
    PutSetting(String, Option<Vec<u8>>),
    Reopen,
}

/// Few keys, so that they meet; some that sort oddly, and some that are refused.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => prop::sample::select(vec!["a", "aa", "b", "é", "日本", "\u{ff}", "z/z"]).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["", "line\nbreak"]).prop_map(str::to_owned),
    ]
}

fn event() -> impl Strategy<Value = Event> {
    let value = prop::option::weighted(0.7, prop_oneof![20 => -5.0f32..5.0, 1 => Just(f32::NAN)]);
    (key(), key(), prop::sample::select(vec!["view", "rating", "buy"]), value, -3i64..3)
        .prop_map(|(user, item, kind, value, time)| Event { value, ..Event::new(&user, &item, kind, time) })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => prop::collection::vec(event(), 0..6).prop_map(Operation::Append),
        1 => prop::collection::vec(event(), 0..40).prop_map(Operation::Import),
        3 => (key(), key(), prop::sample::select(vec!["view", "rating", "never"]))
            .prop_map(|(user, item, kind)| Operation::DeleteEvent(user, item, kind.to_owned())),
        2 => (key(), any::<u8>()).prop_map(|(key, age)| Operation::PutUser(key, age)),
        2 => key().prop_map(Operation::Forget),
        2 => (prop::collection::vec(key(), 0..4), any::<u8>()).prop_map(|(keys, age)| Operation::PutItems(keys, age)),
        1 => key().prop_map(Operation::DeleteItem),
        2 => (key(), prop::option::of(prop::collection::vec(any::<u8>(), 0..4)))
            .prop_map(|(name, value)| Operation::PutSetting(name, value)),
        1 => Just(Operation::Reopen),
    ]
}

fn features(age: u8) -> JsonMap {
    JsonMap::from_iter([("age".to_owned(), age.into())])
}

/// Does it, and says in words what came of it.
fn apply(store: &dyn Store, operation: &Operation) -> String {
    fn said<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
        format!("{result:?}")
    }
    match operation {
        Operation::Append(events) => said(store.append(events)),
        Operation::Import(events) => said(store.import(&mut events.iter().cloned())),
        Operation::DeleteEvent(user, item, kind) => said(store.delete_event(user, item, kind)),
        Operation::PutUser(key, age) => said(store.put_user(key, &features(*age))),
        Operation::Forget(key) => said(store.forget(key)),
        Operation::PutItems(keys, age) => {
            let record = |key: &String| ItemRecord {
                key: key.as_str().into(),
                attributes: features(*age),
                ..ItemRecord::default()
            };
            said(store.put_items(&keys.iter().map(record).collect::<Vec<_>>()))
        }
        Operation::DeleteItem(key) => said(store.delete_item(key)),
        Operation::PutSetting(name, value) => said(store.put_setting(name, value.as_deref())),
        Operation::Reopen => String::new(),
    }
}

fn scan_after(store: &dyn Store, after: u64) -> Vec<Event> {
    let mut out = Vec::new();
    let scanned = store.scan(Some(Sequence(after)), &mut |event| {
        out.push(event);
        ControlFlow::Continue(())
    });
    scanned.unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_file_and_memory(operations in prop::collection::vec(operation(), 1..60), limit in 0usize..9, after in 0u64..50) {
        let (disk, memory) = (SimulatedDisk::new(), MemoryStore::new());
        let mut file = disk.open(StoreOptions::default()).unwrap();
        for operation in &operations {
            if matches!(operation, Operation::Reopen) {
                file.close().unwrap();
                file = disk.open(StoreOptions::default()).unwrap();
            }
            prop_assert_eq!(apply(&file, operation), apply(&memory, operation), "{:?}", operation);
        }
        let contents = Contents::of(&file).unwrap();
        prop_assert_eq!(&contents, &Contents::of(&memory).unwrap());
        prop_assert_eq!(contents.miscounted(), None);
        for user in &contents.users {
            prop_assert_eq!(file.history(&user.key, limit).unwrap(), memory.history(&user.key, limit).unwrap());
        }
        prop_assert_eq!(scan_after(&file, after), scan_after(&memory, after));
        for name in ["a", "b", "é"] {
            prop_assert_eq!(file.get_setting(name).unwrap(), memory.get_setting(name).unwrap());
        }
    }
}
