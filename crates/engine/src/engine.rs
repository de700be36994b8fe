//! Store and model together: what is written now is in the next answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use arc_swap::ArcSwap;
use foldin_core::{ItemId, RawFeatures};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::ask::{Question, ask_next_prepared};
use crate::catalogue::{Catalogue, Details, Filter, features_of};
use crate::crowd::Crowd;
use crate::error::EngineError;
use crate::explain::{Influence, influences};
use crate::history::{Action, History, Kinds};
use crate::prepared::{Prepared, PreparedUsers};
use crate::recommend::{Answer, Wish, recommend_prepared};
use crate::serving::Serving;
use crate::similar::similar;
use crate::store::{Event, Forgotten, ItemRecord, Sequence, Store, UserRecord};

/// Item records read from the store at a time.
const PAGE: usize = 1000;

/// How an engine answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineOptions {
    /// What kinds of events mean.
    pub kinds: Kinds,
    /// A user's latest events that are looked at, at most.
    pub history_limit: usize,
    /// Items of a model from which on its lists are found among the most promising clusters of items alone; 0 looks at all items always. Lists with
    /// filters or boosts look at all items in any case, and so do the places after the first hundred.
    pub approximate_from: usize,
    /// Share of the items that is looked at then, above 0 and at most 1: the more, the more of the best are found.
    pub approximate_share: f32,
    /// Bytes of histories and generated factors kept of users who were asked for lately; 0 works everything out for each answer.
    pub prepared_bytes: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            kinds: Kinds::default(),
            history_limit: 10_000,
            approximate_from: 2_000_000,
            approximate_share: 0.1,
            prepared_bytes: 32 << 20,
        }
    }
}

/// A model in service with the catalogue that goes with its numbers.
#[derive(Debug)]
pub struct Live {
    /// Told apart from every other of this process.
    pub(crate) number: u64,
    serving: Serving,
    catalogue: RwLock<Arc<Catalogue>>,
}

impl Live {
    /// The model.
    #[must_use]
    pub fn serving(&self) -> &Serving {
        &self.serving
    }

    /// The catalogue as it is now. Whoever holds it keeps it as it is, whatever changes meanwhile.
    #[must_use]
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the catalogue: in its place, or a copy of it while somebody answers from it, for nobody is to wait while a large one is copied. The caller
    /// sees to it that there is one change at a time.
    fn change_catalogue(&self, change: impl FnOnce(&mut Catalogue)) {
        let write = || self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(alone) = Arc::get_mut(&mut write()) {
            return change(alone);
        }
        let mut copy = Catalogue::clone(&self.catalogue());
        change(&mut copy);
        *write() = Arc::new(copy);
    }
}

/// Somebody to answer for.
#[derive(Clone, Debug, Default)]
pub struct Who<'a> {
    /// A user of the store.
    pub user: Option<&'a str>,
    /// What was done, in the order of time: all there is of somebody who is not in the store, and on top of what is there for a user
    /// who is (what if?).
    pub actions: Vec<Action<'a>>,
    /// What is known of somebody; on top of what the store knows.
    pub features: RawFeatures,
}

/// A rating that is expected.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Key of the item.
    pub item: String,
    /// The rating, within the scale; a score that only orders items, from models of clicks.
    pub predicted: f32,
    /// Standard deviation of the rating that would be given, from models that state one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub deviation: Option<f32>,
}

/// An item near another, or a user near another.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Near {
    /// Key.
    pub key: String,
    /// Title of an item; the key of a user.
    pub title: String,
    /// How alike, the greater the more.
    pub similarity: f32,
}

/// A store of events and a model that answers from it. Shared by any number of threads.
#[derive(Debug)]
pub struct Engine {
    store: Box<dyn Store>,
    options: EngineOptions,
    live: ArcSwap<Live>,
    prepared: PreparedUsers,
    pub(crate) crowd: Mutex<Option<Arc<Crowd>>>,
    /// One writer of item records at a time, so that store and catalogue agree.
    items: Mutex<()>,
}

impl Engine {
    /// Puts a model before a store.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store's items cannot be read.
    pub fn new(store: Box<dyn Store>, serving: Serving, options: EngineOptions) -> Result<Self, EngineError> {
        let live = live(&*store, serving)?;
        Ok(Self {
            store,
            prepared: PreparedUsers::new(options.prepared_bytes),
            options,
            live: ArcSwap::from_pointee(live),
            crowd: Mutex::new(None),
            items: Mutex::new(()),
        })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// How this engine answers.
    #[must_use]
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The model in service. Whoever holds it keeps the same version, whatever is put into service meanwhile.
    #[must_use]
    pub fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }

    /// Puts another model into service. Requests that have begun end with the one they began with.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store's items cannot be read; the model in service stays.
    pub fn swap(&self, serving: Serving) -> Result<(), EngineError> {
        let _one_writer = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        self.live.store(Arc::new(live(&*self.store, serving)?));
        self.prepared.clear();
        *self.crowd.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    /// Writes events. Each answer that begins after this returns sees them.
    ///
    /// # Errors
    /// [`EngineError`] for a kind that the configuration does not name, a rating without a value or outside the model's scale, and what
    /// the store refuses; nothing is written then.
    pub fn append(&self, events: &[Event]) -> Result<Sequence, EngineError> {
        self.check(events)?;
        Ok(self.store.append(events)?)
    }

    /// Checks events as [`Engine::append`] does, without writing them.
    ///
    /// # Errors
    /// As [`Engine::append`].
    pub fn check(&self, events: &[Event]) -> Result<(), EngineError> {
        let live = self.live();
        let scale = live.serving.feedback().scale();
        for event in events {
            if self.options.kinds.rule(&event.kind)?.weight.is_some() {
                continue;
            }
            let item = || event.item.to_string();
            match (event.value, scale) {
                (None, Some(_)) => {
                    return Err(EngineError::ValueMissing { kind: event.kind.to_string(), item: item() });
                }
                (Some(value), Some(scale)) if !scale.contains(value) => {
                    return Err(EngineError::OutOfScale { item: item(), value, scale });
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Erases everything of a user.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn forget(&self, user: &str) -> Result<Forgotten, EngineError> {
        let forgotten = self.store.forget(user)?;
        self.prepared.forget(user);
        *self.crowd.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(forgotten)
    }

    /// Writes item records; the next answer sees them.
    ///
    /// # Errors
    /// [`EngineError::Store`]; nothing is written then.
    pub fn put_items(&self, records: &[ItemRecord]) -> Result<(), EngineError> {
        let _one_writer = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        self.store.put_items(records)?;
        let live = self.live();
        live.change_catalogue(|catalogue| {
            records.iter().for_each(|record| catalogue.put(&live.serving, record));
        });
        Ok(())
    }

    /// Deletes an item's record. An item that the model knows is as the model's folder has it again.
    ///
    /// # Errors
    /// [`EngineError::Store`].
    pub fn delete_item(&self, key: &str) -> Result<bool, EngineError> {
        let _one_writer = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let was_there = self.store.delete_item(key)?;
        let live = self.live();
        live.change_catalogue(|catalogue| catalogue.remove(&live.serving, key));
        Ok(was_there)
    }

    /// Details of an item, known to the model or not.
    #[must_use]
    pub fn item(&self, key: &str) -> Option<Details> {
        let live = self.live();
        let catalogue = live.catalogue();
        match live.serving.loaded().items.get(key) {
            Some(item) => Some(catalogue.details(item).clone()),
            None => catalogue.other(key).cloned(),
        }
    }

    /// The history of somebody in the numbers of the model, with room for what is generated from it. Of a user of the store, as long as nothing new
    /// is known of them, the same as last time.
    ///
    /// # Errors
    /// [`EngineError::Store`]; and for what came with the request as [`History::strict`].
    pub fn prepare(&self, live: &Live, who: &Who<'_>) -> Result<Arc<Prepared>, EngineError> {
        let (serving, kinds) = (&live.serving, &self.options.kinds);
        if !who.actions.is_empty() || who.user.is_none() {
            let history = History::strict(serving, kinds, who.actions.iter().copied())?;
            if who.user.is_none() {
                return Ok(Arc::new(history.with_features(serving, &who.features).into()));
            }
        }
        let user = who.user.unwrap_or_default();
        let read = || Ok(self.store.record(user, self.options.history_limit)?);
        let history = |record: &UserRecord| -> Result<History, EngineError> {
            let stored = record.events().map(|event| Action {
                item: event.item,
                kind: event.kind,
                value: event.value,
            });
            let history = History::stored(serving, kinds, stored, who.actions.iter().copied())?;
            if !serving.model().capabilities().user_features {
                return Ok(history);
            }
            let mut features = features_of(&record.features);
            features.extend(who.features.clone());
            Ok(history.with_features(serving, &features))
        };
        let in_service = self.live.load().number == live.number;
        if who.actions.is_empty() && who.features.is_empty() && in_service && self.options.prepared_bytes > 0
        {
            return self.prepared.get(user, (serving, live.number), read, history);
        }
        Ok(Arc::new(history(&*read()?)?.into()))
    }

    /// Makes another model ready to answer beside the one in service, with the store's items as they are now.
    ///
    /// # Errors
    /// [`EngineError::Store`] if the store's items cannot be read.
    pub fn beside(&self, serving: Serving) -> Result<Live, EngineError> {
        live(&*self.store, serving)
    }

    /// The best items for somebody.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn recommend(&self, who: &Who<'_>, wish: &Wish) -> Result<Answer, EngineError> {
        self.recommend_by(&self.live(), who, wish)
    }

    /// As [`Engine::recommend`], by another model than the one in service.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn recommend_by(&self, live: &Live, who: &Who<'_>, wish: &Wish) -> Result<Answer, EngineError> {
        let prepared = self.prepare(live, who)?;
        recommend_prepared(&live.serving, &live.catalogue(), &prepared, wish, self.options.approximate_share)
    }

    /// Whether a model has so many items that lists are to be found by a part of them, which it is not ready for yet: [`Serving::cluster`] makes it
    /// ready. To be asked whenever a model was put into service.
    #[must_use]
    pub fn is_to_be_clustered(&self, live: &Live) -> bool {
        let (serving, from) = (&live.serving, self.options.approximate_from);
        from > 0
            && serving.n_items() >= from
            && serving.generator().is_some()
            && serving.clustered().is_none()
    }

    /// The best items for each of many, in parallel on the current Rayon pool, all from the same version.
    ///
    /// # Errors
    /// [`EngineError`] of the first in order that fails.
    pub fn recommend_batch(&self, batch: &[(Who<'_>, Wish)]) -> Result<Vec<Answer>, EngineError> {
        let live = self.live();
        let one = |(who, wish): &(Who<'_>, Wish)| self.recommend_by(&live, who, wish);
        batch.par_iter().map(one).collect::<Vec<_>>().into_iter().collect()
    }

    /// What somebody would give to the given items.
    ///
    /// # Errors
    /// [`EngineError::UnknownItem`] and others.
    pub fn predict(&self, who: &Who<'_>, items: &[String]) -> Result<Vec<Prediction>, EngineError> {
        let live = self.live();
        let serving = &live.serving;
        let prepared = self.prepare(&live, who)?;
        let history = prepared.history();
        let pairs = items
            .iter()
            .map(|key| Ok((0, ItemId(serving.item(key)?))))
            .collect::<Result<Vec<_>, EngineError>>()?;
        let (mut predicted, mut variance) = (vec![0.0; pairs.len()], vec![0.0; pairs.len()]);
        let uncertain = serving.model().capabilities().uncertainty;
        if uncertain {
            let view = [history.view()];
            serving.model().predict_with_variance(&view, &pairs, &mut predicted, &mut variance)?;
            predicted.iter_mut().for_each(|value| *value = serving.feedback().clip(*value));
        } else {
            serving.model().predict(&[history.view()], &pairs, &mut predicted)?;
        }
        Ok(items
            .iter()
            .zip(predicted.iter().zip(variance))
            .map(|(item, (&predicted, variance))| Prediction {
                item: item.clone(),
                predicted,
                deviation: uncertain.then(|| variance.max(0.0).sqrt()),
            })
            .collect())
    }

    /// What moved the score of an item for somebody, strongest first.
    ///
    /// # Errors
    /// [`EngineError::UnknownItem`] and others.
    pub fn explain(&self, who: &Who<'_>, item: &str, most: usize) -> Result<Vec<Influence>, EngineError> {
        let live = self.live();
        let prepared = self.prepare(&live, who)?;
        let item = ItemId(live.serving.item(item)?);
        Ok(influences(&live.serving, &live.catalogue(), prepared.history(), &[item], most)?.remove(0))
    }

    /// The items most worth asking somebody for.
    ///
    /// # Errors
    /// [`EngineError`].
    pub fn ask_next(&self, who: &Who<'_>, n: usize) -> Result<Vec<Question>, EngineError> {
        let live = self.live();
        let prepared = self.prepare(&live, who)?;
        ask_next_prepared(&live.serving, &live.catalogue(), &prepared, n)
    }

    /// The items most like an item, without hidden ones and those that do not meet the filter.
    ///
    /// # Errors
    /// [`EngineError::UnknownItem`] and others.
    pub fn similar_items(&self, item: &str, n: usize, filter: &Filter) -> Result<Vec<Near>, EngineError> {
        let live = self.live();
        let number = ItemId(live.serving.item(item)?);
        let catalogue = live.catalogue();
        let excluded = catalogue.excluded(&[], filter, None);
        let near = similar(&live.serving, number, n, &excluded)?;
        Ok(near
            .into_iter()
            .map(|scored| Near {
                key: live.serving.key(scored.item.0).to_owned(),
                title: catalogue.details(scored.item.0).title.clone(),
                similarity: scored.score,
            })
            .collect())
    }
}

fn live(store: &dyn Store, serving: Serving) -> Result<Live, EngineError> {
    let mut catalogue = Catalogue::new(&serving);
    let mut after: Option<Arc<str>> = None;
    loop {
        let page = store.items(after.as_deref(), PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        for record in &page {
            catalogue.put(&serving, record);
        }
    }
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    Ok(Live {
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        serving,
        catalogue: RwLock::new(Arc::new(catalogue)),
    })
}
