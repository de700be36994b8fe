//! A store folder, and what goes into it.
//!
//! ```text
//! STORE/events.redb    events, users and items
//! STORE/models/        versions of the model
//! STORE/keys.json      hashes of API keys
//! STORE/backups/       backups that a server was asked for
//! ```

use std::path::{Path, PathBuf};

use anyhow::Context;
use foldin_core::{Dataset, FeatureValue, RawFeatures};
use foldin_engine::Versions;
use foldin_engine::catalogue::categories_of;
use foldin_engine::store::{Event, ItemRecord, JsonMap, RedbStore, Store, StoreOptions};
use foldin_server::keys::Keys;
use serde_json::Value;

/// Threads that write what is known of users.
const WRITERS: usize = 64;

/// Item records written at a time.
const ITEMS_AT_ONCE: usize = 1000;

/// A folder with all that a service keeps.
#[derive(Clone, Debug)]
pub(crate) struct StoreFolder(PathBuf);

impl StoreFolder {
    /// The folder, made if it is not there.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("{}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// Its store of events. One process has it at a time.
    pub(crate) fn events(&self) -> anyhow::Result<RedbStore> {
        Ok(RedbStore::open(&self.0.join("events.redb"), StoreOptions::default())?)
    }

    /// Its versions of the model.
    pub(crate) fn versions(&self) -> anyhow::Result<Versions> {
        Ok(Versions::open(&self.0.join("models"))?)
    }

    /// Its keys.
    pub(crate) fn keys(&self) -> anyhow::Result<Keys> {
        Ok(Keys::open(&self.0.join("keys.json"))?)
    }
}

/// The setting that names the data set whose import has begun and not ended.
const IMPORTING: &str = "importing";

/// The data set whose import was interrupted, if one was.
pub(crate) fn interrupted(store: &dyn Store) -> anyhow::Result<Option<String>> {
    Ok(store.get_setting(IMPORTING)?.map(|name| String::from_utf8_lossy(&name).into_owned()))
}

/// Notes that an import begins, so that the next start knows if it did not end.
pub(crate) fn begin_import(store: &dyn Store, name: &str) -> anyhow::Result<()> {
    Ok(store.put_setting(IMPORTING, Some(name.as_bytes()))?)
}

/// Notes that it ended.
pub(crate) fn end_import(store: &dyn Store) -> anyhow::Result<()> {
    Ok(store.put_setting(IMPORTING, None)?)
}

/// What was written of a data set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    pub(crate) events: u64,
    pub(crate) users: usize,
    pub(crate) items: usize,
}

/// Writes the histories of a data set, what is known of its users, and its items. Ratings become events of kind `rating`, anything
/// else events of the given kind; without times they are of the time `now`.
pub(crate) fn import(
    store: &dyn Store,
    dataset: &Dataset,
    kind: &str,
    now: i64,
    mut each: impl FnMut(u64),
) -> anyhow::Result<Loaded> {
    let of_items = dataset.item_features.schema();
    let records: Vec<ItemRecord> = dataset
        .items
        .keys()
        .enumerate()
        .map(|(item, key)| {
            let features = of_items.decode(dataset.item_features.row(item));
            ItemRecord {
                key: key.into(),
                title: (dataset.titles[item] != key).then(|| dataset.titles[item].clone()),
                categories: categories_of(&features),
                attributes: json_of(&features),
                ..ItemRecord::default()
            }
        })
        .collect();
    for some in records.chunks(ITEMS_AT_ONCE) {
        store.put_items(some)?;
    }
    let of_users = dataset.user_features.schema();
    let mut users = 0;
    if dataset.user_features.width() > 0 {
        let known: Vec<(&str, JsonMap)> = dataset
            .users
            .keys()
            .enumerate()
            .map(|(user, key)| (key, json_of(&of_users.decode(dataset.user_features.row(user)))))
            .filter(|(_, features)| !features.is_empty())
            .collect();
        users = known.len();
        // Writers at the same time share one sync of the disk.
        std::thread::scope(|scope| {
            let share = known.len().div_ceil(WRITERS).max(1);
            let write = |some: &[(&str, JsonMap)]| {
                some.iter().try_for_each(|(key, features)| store.put_user(key, features))
            };
            let writers: Vec<_> = known.chunks(share).map(|some| scope.spawn(move || write(some))).collect();
            writers.into_iter().try_for_each(|writer| match writer.join() {
                Ok(written) => written.map_err(anyhow::Error::from),
                Err(_) => Err(anyhow::anyhow!("a thread that wrote users ended early")),
            })
        })?;
    }
    let by_user = dataset.interactions.by_user();
    let times = dataset.interactions.times();
    let mut written = 0;
    let mut events = (0..dataset.users.len()).flat_map(|user| {
        let (items, values) = by_user.row(user);
        let places = by_user.range(user);
        let key: std::sync::Arc<str> = dataset.users.key(user as u32).unwrap_or_default().into();
        let kind: std::sync::Arc<str> = kind.into();
        items
            .iter()
            .zip(values)
            .zip(places)
            .map(move |((&item, &value), place)| Event {
                user: key.clone(),
                item: dataset.items.key(item).unwrap_or_default().into(),
                kind: kind.clone(),
                value: Some(value),
                time: times.map_or(now, |times| times[place].saturating_mul(1000)),
            })
            .collect::<Vec<_>>()
    });
    let mut counted = std::iter::from_fn(|| {
        written += 1;
        if written % 10_000 == 0 {
            each(written);
        }
        events.next()
    });
    let imported = store.import(&mut counted)?;
    Ok(Loaded { events: imported.events, users, items: records.len() })
}

fn json_of(features: &RawFeatures) -> JsonMap {
    let value = |value: &FeatureValue| match value {
        FeatureValue::Number(number) if number.fract() == 0.0 && number.abs() < 1e15 => {
            Value::from(*number as i64)
        }
        FeatureValue::Number(number) => Value::from(*number),
        FeatureValue::Text(text) => Value::from(text.as_str()),
        FeatureValue::List(list) => Value::from(list.clone()),
    };
    features.iter().map(|(name, feature)| (name.clone(), value(feature))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_engine::store::MemoryStore;

    #[test]
    fn an_interrupted_import_is_known_by_its_name() -> anyhow::Result<()> {
        let store = MemoryStore::new();
        assert_eq!(interrupted(&store)?, None);
        begin_import(&store, "ml-1m")?;
        assert_eq!(interrupted(&store)?.as_deref(), Some("ml-1m"));
        end_import(&store)?;
        assert_eq!(interrupted(&store)?, None);
        Ok(())
    }
}
