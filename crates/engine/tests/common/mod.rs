//! A model of planted data, through the folder it would be served from.

// Each test file uses what it needs, and helpers of tests fail as tests do.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::path::Path;

use foldin_core::registry::Settings;
use foldin_core::{Dataset, FitContext};
use foldin_engine::Serving;
use foldin_engine::store::{Event, ItemRecord};
use foldin_models::folder::{SaveOptions, SavedContext, save};
use foldin_testkit::planted;

pub fn data() -> Dataset {
    planted::with_side_information(60, 40, 4, 1).dataset()
}

/// Fits a model with default settings and writes its folder.
pub fn write_model(model: &str, data: &Dataset, folder: &Path) {
    let entry = foldin_models::find(model).unwrap();
    let interactions = data.interactions.for_model(entry.capabilities);
    let data = Dataset { interactions, ..data.clone() };
    let fitted = entry.fit(&Settings::new(), &data.training_data(), &FitContext::new(1)).unwrap();
    let config = entry.resolve(&Settings::new()).unwrap();
    let context = SavedContext::of(&data, config, serde_json::json!({}));
    save(folder, &*fitted, &context, SaveOptions::default()).unwrap();
}

pub fn serving(model: &str, data: &Dataset) -> Serving {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    write_model(model, data, &folder);
    Serving::open(&folder, "v1").unwrap()
}

/// Everything of a data set as events, a second apart.
pub fn events(data: &Dataset, kind: &str) -> Vec<Event> {
    let mut out = Vec::new();
    for user in 0..data.users.len() {
        let (items, values) = data.interactions.by_user().row(user);
        for (&item, &value) in items.iter().zip(values) {
            let (user, item) = (data.users.key(user as u32).unwrap(), data.items.key(item).unwrap());
            out.push(Event::new(user, item, kind, 0).with_value(value));
        }
    }
    // Mixed over the users, so that the latest events are of many.
    out.sort_by_key(|event| (event.item.len(), event.item.clone(), event.user.clone()));
    let n = out.len() as i64;
    for (at, event) in out.iter_mut().enumerate() {
        event.time = 1000 * ((at as i64 * 7919) % n);
    }
    out
}

pub fn record(key: &str) -> ItemRecord {
    ItemRecord { key: key.into(), ..ItemRecord::default() }
}
