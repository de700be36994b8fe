//! The store's events as a data set.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use foldin_core::{
    Csr, DataError, Dataset, Dictionary, FeatureSchema, Features, Feedback, Interactions, RawFeatures,
};
use serde_json::Value;

use super::{TRAINED_UNTIL, TrainError, TrainOptions};
use crate::catalogue::features_of;
use crate::engine::{Engine, Live};
use crate::error::EngineError;

/// What the store holds, in numbers.
pub(super) struct Collected {
    pub(super) dataset: Dataset,
    /// For each interaction, whether it is held out: the latest are.
    pub(super) held_out: Vec<bool>,
    /// Whether the version that serves has seen none of these.
    pub(super) unseen: bool,
    /// When the latest event was, in seconds since 1970.
    pub(super) until: i64,
    pub(super) unused: usize,
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
    engine
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
    let matrix = Csr::from_triples(users.len(), items.len(), &triples)?;
    drop(triples);
    let mut times = Vec::with_capacity(matrix.n_entries());
    for user in 0..users.len() {
        times.extend(matrix.row(user).0.iter().map(|&item| cells[&(user as u32, item)].1));
    }
    drop(cells);
    let seconds: Vec<i64> = times.iter().map(|&time| time.div_euclid(1000)).collect();
    let share = (times.len() as f64 * options.held_out).round() as usize;
    let trained_until = serving.loaded().manifest.metrics.get(TRAINED_UNTIL).and_then(Value::as_i64);
    let newer = trained_until.map_or(0, |until| seconds.iter().filter(|&&time| time > until).count());
    let unseen = newer >= options.least_held_out.max(1);
    let held_out = latest(&times, if unseen { share.min(newer) } else { share });
    let until = seconds.iter().copied().max().unwrap_or_default();
    let mut dataset =
        Dataset::new("store", Interactions::new(matrix, Some(seconds), feedback)?, users, items)?;
    describe(engine, live, &mut dataset)?;
    Ok(Collected { dataset, held_out, unseen, until, unused })
}

/// Marks the latest `n` of the times.
fn latest(times: &[i64], n: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..times.len()).collect();
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
