//! What models of clicks and purchases share: their training data, and how well they rank a validation slice.

use foldin_core::parallel::chunked;
use foldin_core::ranking::Ranked;
use foldin_core::{Capabilities, FitError, Interactions, ScoreError, TrainingData, UserId, top_k};

use crate::holdout::Holdout;
use crate::linear::BASELINE;

/// Capabilities of a model that learns from clicks and purchases alone and serves new users from their history.
pub const CLICKS: Capabilities = Capabilities { explicit: false, implicit: true, ..BASELINE };

/// Length of the lists that models stop by.
pub const PLACES: usize = 20;

/// Users ranked at once.
const BATCH: usize = 64;

/// The interactions of the training data, for models that learn from implicit ones. Ratings are looked at as such with
/// [`Interactions::as_implicit`], which is the caller's decision.
///
/// # Errors
/// [`FitError::WrongFeedback`] for explicit ratings, [`FitError::TooLittleData`] without any interaction.
pub fn implicit_interactions<'a>(
    model: &'static str,
    data: &TrainingData<'a>,
) -> Result<&'a Interactions, FitError> {
    let interactions = data.interactions;
    if interactions.feedback().scale().is_some() {
        return Err(FitError::WrongFeedback { model, expected: "implicit", got: "explicit" });
    }
    if interactions.is_empty() {
        let have = "none".to_owned();
        return Err(FitError::TooLittleData { model, need: "at least one interaction", have });
    }
    Ok(interactions)
}

/// Mean number of users of an item, over the items that anybody took: what shrinkage of weights between items goes by.
#[must_use]
pub fn mean_users_of_an_item(clicks: &Interactions) -> f32 {
    let by_item = clicks.by_item();
    let taken = (0..clicks.n_items()).filter(|&item| by_item.row_len(item) > 0).count();
    clicks.len() as f32 / taken.max(1) as f32
}

/// Brings scores to mean 0 and variance 1; to 0 where all are the same.
pub fn standardise(scores: &mut [f32]) {
    let n = scores.len().max(1) as f64;
    let mean = scores.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
    let variance = scores.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    // Below this, differences are what rounding left.
    let factor = if variance > 1e-12 * mean * mean { 1.0 / variance.sqrt() } else { 0.0 };
    let factor = if factor.is_finite() { factor } else { 0.0 };
    scores.iter_mut().for_each(|x| *x = ((f64::from(*x) - mean) * factor) as f32);
}

/// Mean nDCG@[`PLACES`] over the users who have validation interactions: all items are ranked but those that the user has in
/// the training part. `score` writes the scores of all items for a batch of training users, `[users × n_items]`. `None`
/// without validation interactions. O(users · items) time on the current Rayon pool, memory for 64 users a thread; the same
/// bits at any number of threads.
///
/// # Errors
/// Those of `score`.
pub fn validation_ndcg(
    holdout: &Holdout,
    score: impl Fn(&[UserId], &mut [f32]) -> Result<(), ScoreError> + Sync,
) -> Result<Option<f64>, ScoreError> {
    let n_items = holdout.train.n_items();
    let watched: Vec<(UserId, Vec<u32>)> = holdout
        .validation
        .chunk_by(|one, next| one.0 == next.0)
        .map(|of_user| (UserId(of_user[0].0), of_user.iter().map(|&(_, item, _)| item).collect()))
        .collect();
    let sums = chunked(watched.len(), BATCH, |range| {
        let watched = &watched[range];
        let users: Vec<UserId> = watched.iter().map(|(user, _)| *user).collect();
        let mut scores = vec![0.0; users.len() * n_items];
        score(&users, &mut scores)?;
        let ndcg = watched.iter().zip(scores.chunks_exact(n_items)).map(|((user, relevant), scores)| {
            let seen = holdout.train.by_user().row(user.index()).0;
            let list: Vec<u32> =
                top_k(scores, PLACES, seen).into_iter().map(|scored| scored.item.0).collect();
            Ranked::new(&list, relevant).ndcg(PLACES)
        });
        Ok(ndcg.sum::<f64>())
    });
    let sum: f64 = sums.into_iter().collect::<Result<Vec<f64>, _>>()?.into_iter().sum();
    Ok((!watched.is_empty()).then(|| sum / watched.len() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Csr, Feedback};

    fn clicks(n_users: usize, n_items: usize, pairs: &[(u32, u32)]) -> Interactions {
        let triples: Vec<(u32, u32, f32)> = pairs.iter().map(|&(user, item)| (user, item, 1.0)).collect();
        let csr = Csr::from_triples(n_users, n_items, &triples).unwrap();
        Interactions::new(csr, None, Feedback::Implicit).unwrap()
    }

    #[test]
    fn scores_are_standardised() {
        let mut scores = [1.0, 3.0];
        standardise(&mut scores);
        assert_eq!(scores, [-1.0, 1.0]);
        let mut equal = [7.5; 3];
        standardise(&mut equal);
        assert_eq!(equal, [0.0; 3]);
    }

    #[test]
    fn items_of_the_training_part_are_not_ranked() {
        let holdout = Holdout {
            train: clicks(3, 4, &[(0, 0), (2, 3)]),
            validation: vec![(0, 1, 1.0), (2, 0, 1.0), (2, 2, 1.0)],
        };
        // Everybody is shown 0, 1, 2, 3. User 0 had item 0: the hit is first. User 2 had 3: hits at places 1 and 3.
        let ndcg = validation_ndcg(&holdout, |users, out| {
            assert_eq!(users, [UserId(0), UserId(2)]);
            out.chunks_exact_mut(4).for_each(|out| out.copy_from_slice(&[4.0, 3.0, 2.0, 1.0]));
            Ok(())
        });
        let second = (1.0 + 0.5) / (1.0 + 1.0 / 3f64.log2());
        assert!((ndcg.unwrap().unwrap() - (1.0 + second) / 2.0).abs() < 1e-15);
    }

    #[test]
    fn nothing_held_out_is_none() {
        let holdout = Holdout { train: clicks(2, 2, &[(0, 0)]), validation: Vec::new() };
        assert_eq!(validation_ndcg(&holdout, |_, _| Ok(())), Ok(None));
    }
}
