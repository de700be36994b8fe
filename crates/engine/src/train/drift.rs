//! How far answers move from one version to the next.

use std::collections::BTreeSet;

use foldin_core::{Dataset, Recommender, ScoreError, UserView, top_k};
use serde::{Deserialize, Serialize};

use super::judge::{AT_ONCE, Given};

/// Users by whom the drift is measured, at most.
const DRIFT_USERS: usize = 500;

/// How far answers of a sample of users move between two versions. Factors themselves can be turned without any answer changing, so
/// that answers are compared.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Users of the sample.
    pub users: usize,
    /// Root mean square of the change of scores, over the standard deviation of the scores that served: 0 is none.
    pub scores: f64,
    /// Share of the ten best items that stays the same, 0 to 1.
    pub top_10: f64,
}

/// Compares the answers of two versions to the users of a data set.
pub(super) fn drift(
    old: &dyn Recommender,
    new: &dyn Recommender,
    dataset: &Dataset,
) -> Result<Drift, ScoreError> {
    let both = old.n_items().min(new.n_items());
    let n_users = dataset.users.len();
    // Evenly over the users, who come in the order in which they were first seen.
    let step = n_users.div_ceil(DRIFT_USERS).max(1);
    let sample: Vec<usize> = (0..n_users).step_by(step).collect();
    let (mut moved, mut spread, mut same, mut places) = (0.0f64, 0.0f64, 0usize, 0usize);
    for some in sample.chunks(AT_ONCE) {
        let scores_of = |model: &dyn Recommender| -> Result<Vec<f32>, ScoreError> {
            let given: Vec<Given> = some.iter().map(|&user| Given::of(dataset, user, both)).collect();
            let views: Vec<UserView<'_>> = given.iter().map(Given::view).collect();
            let mut scores = vec![0.0; views.len() * model.n_items()];
            model.score(&views, &mut scores)?;
            Ok(scores)
        };
        let (before, after) = (scores_of(old)?, scores_of(new)?);
        let rows = before.chunks_exact(old.n_items().max(1)).zip(after.chunks_exact(new.n_items().max(1)));
        for ((before, after), &user) in rows.zip(some) {
            let (before, after) = (&before[..both], &after[..both]);
            let mean = before.iter().map(|&x| f64::from(x)).sum::<f64>() / both.max(1) as f64;
            for (&before, &after) in before.iter().zip(after) {
                moved += (f64::from(after) - f64::from(before)).powi(2);
                spread += (f64::from(before) - mean).powi(2);
            }
            let seen = dataset.interactions.by_user().row(user).0;
            let best = |scores: &[f32]| -> BTreeSet<u32> {
                top_k(scores, 10, seen).iter().map(|scored| scored.item.0).collect()
            };
            let (old_best, new_best) = (best(before), best(after));
            same += old_best.intersection(&new_best).count();
            places += old_best.len();
        }
    }
    Ok(Drift {
        users: sample.len(),
        scores: if spread > 0.0 { (moved / spread).sqrt() } else { 0.0 },
        top_10: if places > 0 { same as f64 / places as f64 } else { 1.0 },
    })
}
