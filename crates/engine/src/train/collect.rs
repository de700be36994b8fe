//! The store's events as a data set.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::ControlFlow;
use std::sync::Arc;

use foldin_core::{
    Csr, DataError, Dataset, Dictionary, FeatureSchema, Features, Feedback, Interactions, RawFeatures,
};
use serde::{Deserialize, Serialize};

use super::{TRAINED_THROUGH, TrainError, TrainOptions};
use crate::catalogue::features_of;
use crate::engine::{Engine, Live};
use crate::error::EngineError;
use crate::serving::Serving;
use crate::store::{Sequence, Store, StoreError};

/// What the store holds, in numbers.
pub(super) struct Collected {
    pub(super) dataset: Dataset,
    /// For each interaction, whether it is held out: the latest are.
    pub(super) held_out: Vec<bool>,
    /// Whether the version that serves has seen none of these.
    pub(super) unseen: bool,
    pub(super) through: TrainedThrough,
    pub(super) unused: usize,
}

/// How far the events went that a model learned from: by the order of writing, and by their own clocks. What is written later is new only if it is
/// of a later time too, for a client may send again what it sent before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TrainedThrough {
    /// Which store: numbers of another mean nothing.
    store: String,
    /// Number of the last event.
    event: u64,
    /// The time after which events are new, in milliseconds since 1970: that of nearly the latest. The last ones are left out of account, for one that lies in the future would
    /// make all that follow look old.
    time: i64,
}

/// Share of the events whose times are not looked at: the latest, by what clients say.
const OUTLIERS: f64 = 0.001;

/// The setting that tells stores apart.
const IDENTITY: &str = "identity";

/// What tells this store from others; made at the first call.
fn identity(store: &dyn Store) -> Result<String, StoreError> {
    if let Some(known) = store.get_setting(IDENTITY)? {
        return Ok(String::from_utf8_lossy(&known).into_owned());
    }
    // Nothing that is answered depends on it, so it need not be the same twice.
    let made = format!("{:016x}", RandomState::new().build_hasher().finish());
    store.put_setting(IDENTITY, Some(made.as_bytes()))?;
    Ok(made)
}

/// Reads the store into a data set. Items keep the numbers of the model that serves; new ones follow.
pub(super) fn collect(engine: &Engine, live: &Live, options: &TrainOptions) -> Result<Collected, TrainError> {
    let serving = live.serving();
    let kinds = &engine.options().kinds;
    let feedback = serving.feedback();
    let mut users = Dictionary::default();
    let mut items = serving.loaded().items.clone();
    // Of a user and item one interaction: the last rating, or the strongest weight and the last time of it.
    let mut cells: HashMap<(u32, u32), (f32, i64)> = HashMap::new();
    let mut unused = 0;
    let usable = |value: Option<f32>, kind: &str| -> Option<f32> {
        let rule = kinds.rule(kind).ok()?;
        match (feedback, rule.weight) {
            (Feedback::Explicit(scale), None) => value.filter(|&value| scale.contains(value)),
            (Feedback::Explicit(_), Some(_)) => None,
            (Feedback::Implicit, weight) => Some(weight.unwrap_or(1.0)),
        }
    };
    let last = engine
        .store()
        .scan(None, &mut |event| {
            let Some(value) = usable(event.value, &event.kind) else {
                unused += 1;
                return ControlFlow::Continue(());
            };
            let key = (users.intern(&event.user), items.intern(&event.item));
            let cell = cells.entry(key).or_insert((value, event.time));
            if feedback == Feedback::Implicit {
                *cell = (cell.0.max(value), cell.1.max(event.time));
            } else if event.time >= cell.1 {
                *cell = (value, event.time);
            }
            ControlFlow::Continue(())
        })
        .map_err(EngineError::from)?;

    let mut triples: Vec<(u32, u32, f32)> = Vec::with_capacity(cells.len());
    triples.extend(cells.iter().map(|(&(user, item), &(value, _))| (user, item, value)));
    let through = TrainedThrough {
        store: identity(engine.store()).map_err(EngineError::from)?,
        event: last.0,
        time: nearly_latest(cells.values().map(|cell| cell.1).collect()),
    };
    let matrix = Csr::from_triples(users.len(), items.len(), &triples)?;
    drop(triples);
    let mut times = Vec::with_capacity(matrix.n_entries());
    for user in 0..users.len() {
        times.extend(matrix.row(user).0.iter().map(|&item| cells[&(user as u32, item)].1));
    }
    drop(cells);
    let newer = newer(engine.store(), serving, &through, (&users, &items), &usable)?;
    let is_newer: Vec<bool> = (0..users.len())
        .flat_map(|user| matrix.row(user).0.iter().map(move |&item| (user as u32, item)))
        .map(|cell| newer.contains(&cell))
        .collect();
    let n_newer = is_newer.iter().filter(|newer| **newer).count();
    let share = (times.len() as f64 * options.held_out).round() as usize;
    let unseen = n_newer >= options.least_held_out.max(1);
    let held_out = if unseen { latest(&times, share, &is_newer) } else { latest(&times, share, &[]) };
    let seconds: Vec<i64> = times.iter().map(|&time| time.div_euclid(1000)).collect();
    let mut dataset =
        Dataset::new("store", Interactions::new(matrix, Some(seconds), feedback)?, users, items)?;
    describe(engine, live, &mut dataset)?;
    Ok(Collected { dataset, held_out, unseen, through, unused })
}

/// The time that all but a few of the latest reach; 0 of none.
fn nearly_latest(mut times: Vec<i64>) -> i64 {
    times.sort_unstable();
    let outliers = (times.len() as f64 * OUTLIERS).ceil() as usize;
    times.get(times.len().saturating_sub(outliers + 1)).copied().unwrap_or(0)
}

/// Cells with a usable event that was written after those that the model in service learned from; none if it does not say.
fn newer(
    store: &dyn Store,
    serving: &Serving,
    now: &TrainedThrough,
    (users, items): (&Dictionary, &Dictionary),
    usable: &dyn Fn(Option<f32>, &str) -> Option<f32>,
) -> Result<HashSet<(u32, u32)>, EngineError> {
    let said = serving.loaded().manifest.metrics.get(TRAINED_THROUGH);
    let said = said.and_then(|said| TrainedThrough::deserialize(said).ok());
    let mut cells = HashSet::new();
    if let Some(through) = said.filter(|through| through.store == now.store) {
        store.scan(Some(Sequence(through.event)), &mut |event| {
            if event.time > through.time && usable(event.value, &event.kind).is_some() {
                // What came after the first reading is not in the data.
                cells.extend(users.get(&event.user).zip(items.get(&event.item)));
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(cells)
}

/// Marks the latest `n` of the times, of those alone that `among` marks, if it is not empty.
fn latest(times: &[i64], n: usize, among: &[bool]) -> Vec<bool> {
    let mut order: Vec<usize> =
        (0..times.len()).filter(|&at| among.get(at).copied().unwrap_or(true)).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(times[at]), at));
    let mut out = vec![false; times.len()];
    order.into_iter().take(n).for_each(|at| out[at] = true);
    out
}

/// Titles and side information: what the model's folder knows, with what the store knows laid over it.
fn describe(engine: &Engine, live: &Live, dataset: &mut Dataset) -> Result<(), TrainError> {
    let loaded = live.serving().loaded();
    let catalogue = live.catalogue();
    let mut of_items: Vec<RawFeatures> = Vec::with_capacity(dataset.items.len());
    for (number, key) in dataset.items.keys().enumerate() {
        let details = match loaded.items.get(key) {
            Some(item) => Some(catalogue.details(item)),
            None => catalogue.other(key),
        };
        dataset.titles[number] = details.map_or_else(|| key.to_owned(), |details| details.title.clone());
        of_items.push(details.map(|details| details.attributes.clone()).unwrap_or_default());
    }
    drop(catalogue);
    dataset.item_features = encode(&loaded.item_schema, of_items.iter())?;
    if loaded.user_schema.width() > 0 {
        let mut of_users: Vec<RawFeatures> = Vec::with_capacity(dataset.users.len());
        for key in dataset.users.keys() {
            let user = engine.store().user(key).map_err(EngineError::from)?;
            of_users.push(user.map(|user| features_of(&user.features)).unwrap_or_default());
        }
        dataset.user_features = encode(&loaded.user_schema, of_users.iter())?;
    }
    Ok(())
}

fn encode<'a>(
    schema: &FeatureSchema,
    rows: impl ExactSizeIterator<Item = &'a RawFeatures>,
) -> Result<Features, DataError> {
    let n = rows.len();
    let mut cells = Vec::new();
    for (row, raw) in rows.enumerate() {
        let encoded = schema.encode(raw);
        cells.extend(
            encoded.columns.iter().zip(&encoded.values).map(|(&column, &value)| (row as u32, column, value)),
        );
    }
    Features::new(Arc::new(schema.clone()), Csr::from_triples(n, schema.width(), &cells)?)
}
