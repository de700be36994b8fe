//! All users of a store at once: who is like somebody, and where everybody stands.

use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError};

use foldin_core::UserView;
use foldin_nn::kernels::dot;
use foldin_nn::linalg::symmetric_eigen;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Live, Near, Who};
use crate::error::EngineError;
use crate::history::{Action, History};
use crate::store::{Event, Sequence};

/// Users whose factors are compared, and how many are generated at a time.
const NEIGHBOURS: (usize, usize) = (50_000, 256);

/// Generated factors of the store's users, kept until enough has changed.
#[derive(Debug)]
pub(crate) struct Crowd {
    /// Number of the model that generated it: a name may be used again.
    live: u64,
    as_of: Sequence,
    keys: Vec<Arc<str>>,
    /// `[users × k]`, each of length 1.
    u: Vec<f32>,
    k: usize,
}

/// A place on a map.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Place {
    /// Key of the item or user.
    pub key: String,
    /// Title of an item; the key of a user.
    pub title: String,
    /// Along the direction in which items differ most.
    pub x: f32,
    /// Along the direction in which they differ most beside it.
    pub y: f32,
}

/// Items and users in two dimensions: directions of factors, projected on the first two principal components of the items'.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FactorMap {
    /// The most popular items.
    pub items: Vec<Place>,
    /// Users, evenly over those the store has.
    pub users: Vec<Place>,
    /// Share of the variance of the items' directions that the two components hold, 0 to 1.
    pub explained: f32,
}

impl Engine {
    /// The users of the store most like somebody, by the cosine of generated factors. Of a large store, the first
    /// users that it saw are compared. Factors are kept, and made anew when a hundredth of the events is new or a user was forgotten.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a model that does not generate factors.
    pub fn similar_users(&self, who: &Who<'_>, n: usize) -> Result<Vec<Near>, EngineError> {
        let live = self.live();
        let prepared = self.prepare(&live, who)?;
        let Some((generator, _)) = live.serving().generator() else {
            return Err(EngineError::Unsupported {
                model: live.serving().model().name().to_owned(),
                what: "similar users, since it generates no factors",
            });
        };
        let own = generator.generate(&[prepared.history().view()])?;
        let own = unit(own.row(0));
        let crowd = self.crowd(&live)?;
        let mut near: Vec<(f32, &Arc<str>)> = crowd
            .u
            .chunks_exact(crowd.k.max(1))
            .zip(&crowd.keys)
            .filter(|(_, key)| who.user != Some(&***key))
            .map(|(u, key)| (dot(u, &own), key))
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        let near = near.into_iter().take(n);
        Ok(near
            .map(|(similarity, key)| Near { key: key.to_string(), title: key.to_string(), similarity })
            .collect())
    }

    /// Where the `n_items` most popular items and `n_users` users of the store stand, in two dimensions. Users near an item's direction like it.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a model that does not generate factors.
    pub fn factor_map(&self, n_items: usize, n_users: usize) -> Result<FactorMap, EngineError> {
        let live = self.live();
        let serving = live.serving();
        let Some((generator, _)) = serving.generator() else {
            return Err(EngineError::Unsupported {
                model: serving.model().name().to_owned(),
                what: "a map of factors, since it generates none",
            });
        };
        let (items, k) = (generator.items(), generator.items().k);
        if k < 2 {
            return Ok(FactorMap::default());
        }
        let chosen = &serving.popular()[..n_items.min(serving.n_items())];
        let directions: Vec<Vec<f32>> = chosen.iter().map(|&item| unit(items.row(item as usize))).collect();
        let n = directions.len().max(1) as f64;
        let mean: Vec<f64> =
            (0..k).map(|at| directions.iter().map(|row| f64::from(row[at])).sum::<f64>() / n).collect();
        let mut spread = vec![0.0; k * k];
        for row in &directions {
            for i in 0..k {
                for j in i..k {
                    spread[i * k + j] += (f64::from(row[i]) - mean[i]) * (f64::from(row[j]) - mean[j]);
                }
            }
        }
        let eigen = symmetric_eigen(&spread, k);
        let total: f64 = eigen.values.iter().sum();
        let along = |row: &[f32], component: usize| -> f32 {
            let axis = &eigen.vectors[component * k..(component + 1) * k];
            row.iter()
                .zip(&mean)
                .zip(axis)
                .map(|((&x, mean), axis)| (f64::from(x) - mean) * axis)
                .sum::<f64>() as f32
        };
        let place = |key: &str, title: &str, row: &[f32]| Place {
            key: key.to_owned(),
            title: title.to_owned(),
            x: along(row, 0),
            y: along(row, 1),
        };
        let crowd = self.crowd(&live)?;
        let step = crowd.keys.len().div_ceil(n_users.max(1)).max(1);
        let users = crowd.keys.iter().zip(crowd.u.chunks_exact(k)).step_by(step).take(n_users);
        let catalogue = live.catalogue();
        let item =
            |(&item, row): (&u32, &Vec<f32>)| place(serving.key(item), &catalogue.details(item).title, row);
        Ok(FactorMap {
            items: chosen.iter().zip(&directions).map(item).collect(),
            users: users.map(|(key, row)| place(key, key, row)).collect(),
            explained: if total > 0.0 { ((eigen.values[0] + eigen.values[1]) / total) as f32 } else { 0.0 },
        })
    }

    fn crowd(&self, live: &Live) -> Result<Arc<Crowd>, EngineError> {
        let mut kept = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        let counts = self.store().counts()?;
        if let Some(crowd) = &*kept
            && crowd.live == live.number
            && (counts.last.0 - crowd.as_of.0) * 100 <= counts.events
        {
            return Ok(crowd.clone());
        }
        let crowd = Arc::new(self.gather(live)?);
        *kept = Some(crowd.clone());
        Ok(crowd)
    }

    fn gather(&self, live: &Live) -> Result<Crowd, EngineError> {
        let Some((generator, packed)) = live.serving().generator() else {
            return Ok(Crowd {
                live: live.number,
                as_of: Sequence(0),
                keys: Vec::new(),
                u: Vec::new(),
                k: 0,
            });
        };
        let (mut keys, mut histories) = (Vec::<Arc<str>>::new(), Vec::<History>::new());
        let mut events: Vec<Event> = Vec::new();
        let mut failed = None;
        let mut finish = |events: &mut Vec<Event>| {
            let Some(first) = events.first() else { return };
            let key = first.user.clone();
            let known = events.iter().filter(|event| self.options().kinds.rule(&event.kind).is_ok());
            let actions =
                known.map(|event| Action { item: &event.item, kind: &event.kind, value: event.value });
            match History::stored(live.serving(), &self.options().kinds, actions, []) {
                Ok(history) if !history.items.is_empty() => {
                    keys.push(key);
                    histories.push(history);
                }
                Ok(_) => {}
                Err(error) => failed = Some(error),
            }
            events.clear();
        };
        let mut users = 0;
        let as_of = self.store().scan(None, &mut |event| {
            if events.last().is_some_and(|last| last.user != event.user) {
                finish(&mut events);
                users += 1;
                if users == NEIGHBOURS.0 {
                    return ControlFlow::Break(());
                }
            }
            events.push(event);
            ControlFlow::Continue(())
        })?;
        finish(&mut events);
        if let Some(error) = failed {
            return Err(error);
        }
        let mut u = Vec::with_capacity(histories.len() * packed.k());
        for some in histories.chunks(NEIGHBOURS.1) {
            let views: Vec<UserView<'_>> = some.iter().map(History::view).collect();
            let factors = generator.generate(&views)?;
            for user in 0..views.len() {
                u.extend(unit(factors.row(user)));
            }
        }
        Ok(Crowd { live: live.number, as_of, keys, u, k: packed.k() })
    }
}

/// A vector of length 1 in the same direction; zeros stay.
fn unit(u: &[f32]) -> Vec<f32> {
    let length = dot(u, u).sqrt();
    let factor = if length > 0.0 { 1.0 / length } else { 0.0 };
    u.iter().map(|x| x * factor).collect()
}
