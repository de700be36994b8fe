//! How much of the catalogue reaches people: lists of many users together.

use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, Who};
use crate::error::EngineError;
use crate::recommend::Wish;

/// An item and in how many lists it is.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// Key.
    pub item: String,
    /// Title.
    pub title: String,
    /// Number of lists that it is in.
    pub lists: usize,
}

/// What the lists of some users show of the catalogue.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// Users whose lists were made: those of the store whose keys come first.
    pub users: usize,
    /// Length of each list.
    pub n: usize,
    /// Items that could be shown: those of the model that are not hidden.
    pub items: usize,
    /// Items that are in one list at least.
    pub shown: usize,
    /// Share of the items that are in one list at least, 0 to 1.
    pub coverage: f64,
    /// Share of the items that somebody has in the history, 0 to 1: what people find by themselves.
    pub history_coverage: f64,
    /// Items in most lists, most first.
    pub most: Vec<Shown>,
}

/// Items named.
const MOST: usize = 20;

/// Most scores that are computed for one look, and fewest users that are looked at whatever the number of items.
const WORK: (usize, usize) = (20_000_000, 20);

impl Engine {
    /// Makes the list of `n` items of up to `users` users of the store, fewer for a very large catalogue, in parallel on the current Rayon pool, and looks at all of them together.
    /// Costs as much as as many answers.
    ///
    /// # Errors
    /// [`EngineError`] as an answer, and [`EngineError::Store`].
    pub fn reach(&self, users: usize, n: usize) -> Result<Reach, EngineError> {
        let live = self.live();
        let (serving, catalogue) = (live.serving(), live.catalogue());
        let users = users.min((WORK.0 / serving.n_items().max(1)).max(WORK.1));
        let keys: Vec<Arc<str>> = self.store().users(None, users)?.into_iter().map(|user| user.key).collect();
        let wish = Wish { n, ..Wish::default() };
        let lists: Vec<(Vec<u32>, Vec<u32>)> = keys
            .par_iter()
            .map(|user| {
                let who = Who { user: Some(user), ..Who::default() };
                let answer = self.recommend_by(&live, &who, &wish)?;
                let listed = answer.items.iter().map(|item| serving.item(&item.item));
                let history = self.prepare(&live, &who)?.history().items.clone();
                Ok((listed.collect::<Result<_, EngineError>>()?, history))
            })
            .collect::<Result<_, EngineError>>()?;
        let (mut times, mut in_history) = (vec![0usize; serving.n_items()], vec![false; serving.n_items()]);
        for (listed, history) in &lists {
            listed.iter().for_each(|&item| times[item as usize] += 1);
            history.iter().for_each(|&item| in_history[item as usize] = true);
        }
        let can_be_shown = |item: &u32| !catalogue.details(*item).hidden;
        let mut items: Vec<u32> = (0..serving.n_items() as u32).filter(can_be_shown).collect();
        items.sort_by_key(|&item| std::cmp::Reverse(times[item as usize]));
        let share = |count: usize| if items.is_empty() { 0.0 } else { count as f64 / items.len() as f64 };
        let shown = items.iter().filter(|&&item| times[item as usize] > 0).count();
        let known = items.iter().filter(|&&item| in_history[item as usize]).count();
        let most = items[..shown.min(MOST)].iter().map(|&item| Shown {
            item: serving.key(item).to_owned(),
            title: catalogue.details(item).title.clone(),
            lists: times[item as usize],
        });
        Ok(Reach {
            users: keys.len(),
            n,
            items: items.len(),
            shown,
            coverage: share(shown),
            history_coverage: share(known),
            most: most.collect(),
        })
    }
}
