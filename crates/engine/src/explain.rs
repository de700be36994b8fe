//! Which part of a history moved a score, and how far: the score with it less the score without it.
//!
//! Exact for every model, as each interaction is left out once and the rest is served anew. Cost: one generation for each interaction
//! of the history; only the scores asked for are computed where the model generates factors.

use foldin_core::{ItemId, UserView};
use foldin_nn::kernels::dot;
use serde::{Deserialize, Serialize};

use crate::catalogue::Catalogue;
use crate::error::EngineError;
use crate::history::History;
use crate::serving::Serving;

/// Histories served at a time: a long one would otherwise need the square of its length in memory.
const AT_ONCE: usize = 64;

/// How far one interaction moved a score.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Influence {
    /// Key of the item of the history.
    pub item: String,
    /// Its title.
    pub title: String,
    /// The value it was given.
    pub value: f32,
    /// The score with it less the score without it.
    pub effect: f32,
}

/// For each of `items` the `most` strongest influences of the history on its score, strongest first.
///
/// # Errors
/// [`EngineError::Score`] where the model refuses.
pub fn influences(
    serving: &Serving,
    catalogue: &Catalogue,
    history: &History,
    items: &[ItemId],
    most: usize,
) -> Result<Vec<Vec<Influence>>, EngineError> {
    let whole = scores_of(serving, &[history.view()], items)?;
    let n = history.items.len();
    let mut moved: Vec<Vec<(usize, f32)>> = vec![Vec::with_capacity(n); items.len()];
    for first in (0..n).step_by(AT_ONCE) {
        let left_out: Vec<usize> = (first..(first + AT_ONCE).min(n)).collect();
        let without: Vec<(Vec<u32>, Vec<f32>)> = left_out
            .iter()
            .map(|&out| {
                let kept = (0..n).filter(|&at| at != out);
                kept.map(|at| (history.items[at], history.values[at])).unzip()
            })
            .collect();
        let views: Vec<UserView<'_>> =
            without.iter().map(|(items, values)| UserView { items, values, ..history.view() }).collect();
        let scores = scores_of(serving, &views, items)?;
        for (row, &out) in scores.chunks_exact(items.len().max(1)).zip(&left_out) {
            for ((list, &with), &without) in moved.iter_mut().zip(&whole).zip(row) {
                list.push((out, with - without));
            }
        }
    }
    let influence = |(at, effect): (usize, f32)| {
        let item = history.items[at];
        Influence {
            item: serving.key(item).to_owned(),
            title: catalogue.details(item).title.clone(),
            value: history.values[at],
            effect,
        }
    };
    Ok(moved
        .into_iter()
        .map(|mut list| {
            list.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
            list.into_iter().take(most).map(influence).collect()
        })
        .collect())
}

/// Unclipped scores of the given items, `[users × items]`.
///
/// # Errors
/// [`EngineError::Score`] where the model refuses.
pub fn scores_of(
    serving: &Serving,
    users: &[UserView<'_>],
    items: &[ItemId],
) -> Result<Vec<f32>, EngineError> {
    let mut out = Vec::with_capacity(users.len() * items.len());
    if let Some((generator, _)) = serving.generator() {
        let factors = generator.generate(users)?;
        let all = generator.items();
        for user in 0..users.len() {
            let base = all.mean + factors.bias[user];
            out.extend(
                items.iter().map(|item| {
                    base + all.bias[item.index()] + dot(factors.row(user), all.row(item.index()))
                }),
            );
        }
        return Ok(out);
    }
    let n_items = serving.n_items();
    // One row at a time: all scores of many users over a large catalogue would not be small.
    let mut row = vec![0.0; n_items];
    for user in users {
        serving.model().score(&[*user], &mut row)?;
        out.extend(items.iter().map(|item| row[item.index()]));
    }
    Ok(out)
}
