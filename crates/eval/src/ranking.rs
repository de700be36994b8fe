//! Ranked lists of all items a user has not had, and what they are worth.
//!
//! | figure | mean over tested users of | |
//! | --- | --- | --- |
//! | `ndcg@k`, `precision@k`, `recall@k`, `f1@k`, `mrr@k`, `map@k`, `hit@k` | the figure of [`Ranked`] with that meaning | higher is better |
//! | `novelty@k` | the mean over the user's list of `log₂(users with anything in training / users who had the item)`, in bits; an item nobody had counts as had by one | |
//!
//! and of all lists together: `coverage@k`, the share of the catalogue that is in any list; `gini@k`, how unequally places in lists
//! fall to the items of the catalogue: 0 if all have the same, near 1 if one has all.

use std::ops::Range;

use foldin_core::parallel::chunked;
use foldin_core::ranking::Ranked;
use foldin_core::{Feedback, Interactions, Recommender, ScoreError, UserView, all_alike, top_k};

/// Scores held at once by a thread, unless a single user has more.
const SCORES: usize = 1 << 20;
/// Users scored at once, at most.
const BATCH: usize = 256;

/// The figures of one list, by name without the `@k`.
type Figure = (&'static str, fn(&Ranked, usize) -> f64);

/// The figures of one list, in order of presentation; the first is what models are compared by.
const FIGURES: [Figure; 7] = [
    ("ndcg", Ranked::ndcg),
    ("precision", Ranked::precision),
    ("recall", Ranked::recall),
    ("f1", Ranked::f1),
    ("mrr", Ranked::reciprocal_rank),
    ("map", Ranked::average_precision),
    ("hit", Ranked::hit_rate),
];

/// A figure over all tested users.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// Such as `ndcg@20`.
    pub(crate) name: String,
    pub(crate) value: f64,
    /// The figure of each user, of which `value` is the mean; empty for a figure of all lists together.
    pub(crate) by_user: Vec<f64>,
}

/// Why lists could not be made.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RankError {
    Score(ScoreError),
    /// The score of an item, for the user at a position, is no number.
    NotFinite {
        user: usize,
        item: u32,
    },
}

/// Users to rank for: as the model sees them, the items that must not be listed (ascending), and those that are relevant.
#[derive(Clone, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) views: Vec<UserView<'a>>,
    pub(crate) seen: Vec<&'a [u32]>,
    pub(crate) relevant: Vec<Vec<u32>>,
}

/// The list of each user, best first, `places` long or as long as there are items left. Users of whom the model has nothing to go by, or to whom
/// a model of clicks scores all items alike, get what is popular in `train`, as they are served.
pub(crate) fn lists(
    model: &dyn Recommender,
    task: &Task<'_>,
    places: usize,
    train: &Interactions,
) -> Result<Vec<Vec<u32>>, RankError> {
    let n_items = model.n_items();
    let capabilities = model.capabilities();
    let of_clicks = train.feedback() == Feedback::Implicit;
    let popular: Vec<f32> = (0..n_items).map(|item| train.by_item().row_len(item) as f32).collect();
    let batch = (SCORES / n_items.max(1)).clamp(1, BATCH);
    let rank = |range: Range<usize>| {
        let mut scores = vec![0f32; range.len() * n_items];
        model.score(&task.views[range.clone()], &mut scores).map_err(RankError::Score)?;
        let of_user = |user: usize, scores: &[f32]| {
            if let Some(item) = scores.iter().position(|score| !score.is_finite()) {
                return Err(RankError::NotFinite { user, item: item as u32 });
            }
            // Of clicks on items that nobody else clicked no item follows.
            let blank = task.views[user].is_blank_to(capabilities) || (of_clicks && all_alike(scores));
            let best = top_k(if blank { &popular } else { scores }, places, task.seen[user]);
            Ok(best.into_iter().map(|scored| scored.item.0).collect())
        };
        // A catalogue without items has no rows to go through.
        range
            .clone()
            .map(|user| of_user(user, &scores[(user - range.start) * n_items..][..n_items]))
            .collect()
    };
    let parts: Result<Vec<Vec<Vec<u32>>>, RankError> =
        chunked(task.views.len(), batch, rank).into_iter().collect();
    Ok(parts?.into_iter().flatten().collect())
}

/// Measures a model at each cutoff. `train` says who had what, for novelty.
pub(crate) fn measure(
    model: &dyn Recommender,
    task: &Task<'_>,
    train: &Interactions,
    cutoffs: &[usize],
) -> Result<Vec<Measured>, RankError> {
    let places = cutoffs.iter().copied().max().unwrap_or(0);
    let lists = lists(model, task, places, train)?;
    let n_users = (0..train.n_users()).filter(|&user| train.by_user().row_len(user) > 0).count();
    let ranked: Vec<Ranked> =
        lists.iter().zip(&task.relevant).map(|(list, relevant)| Ranked::new(list, relevant)).collect();
    let mut out = Vec::new();
    for &k in cutoffs {
        for (name, figure) in FIGURES {
            let by_user = ranked.iter().map(|ranked| figure(ranked, k)).collect();
            out.extend(Measured::mean(format!("{name}@{k}"), by_user));
        }
        let by_user = lists.iter().map(|list| novelty(list, k, train, n_users)).collect();
        out.extend(Measured::mean(format!("novelty@{k}"), by_user));
        let exposure = exposure(&lists, k, model.n_items());
        let covered = exposure.iter().filter(|&&places| places > 0).count();
        for (name, value) in
            [("coverage", covered as f64 / exposure.len().max(1) as f64), ("gini", gini(&exposure))]
        {
            out.push(Measured { name: format!("{name}@{k}"), value, by_user: Vec::new() });
        }
    }
    Ok(out)
}

impl Measured {
    fn mean(name: String, by_user: Vec<f64>) -> Option<Self> {
        let value = crate::statistics::mean(&by_user)?;
        Some(Self { name, value, by_user })
    }
}

/// Of `n_users` users who have anything in `train`.
fn novelty(list: &[u32], k: usize, train: &Interactions, n_users: usize) -> f64 {
    let bits = |item: &u32| {
        let had = train.by_item().row_len(*item as usize).max(1);
        (n_users.max(1) as f64 / had as f64).log2()
    };
    let list = &list[..k.min(list.len())];
    list.iter().map(bits).sum::<f64>() / list.len().max(1) as f64
}

/// In how many lists each item is.
fn exposure(lists: &[Vec<u32>], k: usize, n_items: usize) -> Vec<u32> {
    let mut out = vec![0; n_items];
    lists.iter().flat_map(|list| list.iter().take(k)).for_each(|&item| out[item as usize] += 1);
    out
}

/// `Σ_i (2i − n − 1) x_(i) / (n Σ x)` of the values in ascending order, `i` from 1; 0 if all are 0.
fn gini(values: &[u32]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let n = sorted.len() as f64;
    let sum: f64 = sorted.iter().map(|&value| f64::from(value)).sum();
    let weighed: f64 = sorted
        .iter()
        .enumerate()
        .map(|(at, &value)| (2.0 * (at + 1) as f64 - n - 1.0) * f64::from(value))
        .sum();
    if sum > 0.0 { weighed / (n * sum) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Csr, Feedback};

    #[test]
    fn gini_by_hand() {
        assert!(gini(&[3, 3, 3]).abs() < 1e-15);
        // 0, 0, 6: (2·3 − 3 − 1) · 6 / (3 · 6) = 2/3, the most that three items allow.
        assert!((gini(&[0, 6, 0]) - 2.0 / 3.0).abs() < 1e-15);
        // 1, 2, 3: (−2·1 + 0·2 + 2·3) / 18.
        assert!((gini(&[2, 1, 3]) - 4.0 / 18.0).abs() < 1e-15);
        assert!(gini(&[]).abs() < 1e-15 && gini(&[0, 0]).abs() < 1e-15);
    }

    #[test]
    fn novelty_by_hand() {
        // Of 4 users, item 0 was had by 4, item 1 by 1, item 2 by nobody: 0, 2 and 2 bits.
        let triples: Vec<(u32, u32, f32)> = (0..4).map(|user| (user, 0, 1.0)).chain([(2, 1, 1.0)]).collect();
        let csr = Csr::from_triples(4, 3, &triples).unwrap();
        let train = Interactions::new(csr, None, Feedback::Implicit).unwrap();
        assert!((novelty(&[0, 1, 2], 3, &train, 4) - 4.0 / 3.0).abs() < 1e-15);
        assert!((novelty(&[0, 1, 2], 2, &train, 4) - 1.0).abs() < 1e-15);
        assert!(novelty(&[], 2, &train, 4).abs() < 1e-15);
    }

    #[test]
    fn exposure_counts_the_first_places() {
        assert_eq!(exposure(&[vec![2, 0, 1], vec![2, 1]], 2, 4), [1, 1, 2, 0]);
    }
}
