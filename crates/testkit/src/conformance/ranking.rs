//! Does it rank what was planted? The questions of `learning` to models of clicks.

use std::cmp::Ordering;

use foldin_core::{Recommender, UserView};

use super::{Case, Level, Outcome, ensure, finite, score_all};
use crate::planted::Planted;

/// Knowing everybody's group and nothing else gives about 0.88: some items of the own group were never offered. Popularity alone gives
/// little more than 0.5.
const PERSONAL: f64 = 0.75;

pub(super) fn learns_what_was_planted(case: &Case<'_>) -> Outcome {
    let users = case.plain.training_data().users();
    let held_out = |user: usize| -> Vec<u32> {
        let of_user = case.plain.held_out.iter().filter(|held| held.0 as usize == user);
        of_user.map(|held| held.1).collect()
    };
    let targets: Vec<Vec<u32>> = (0..users.len()).map(held_out).collect();
    let auc = mean_auc(case.learned()?, &users, &targets)?;
    let (bar, than) = match case.subject.level {
        Level::Mean => (0.45, "chance, nearly"),
        Level::Items => (0.52, "chance"),
        Level::Personal => (PERSONAL, "popularity"),
    };
    ensure(auc >= bar, || format!("AUC {auc:.3} of held-out items; must be ≥ {bar} to beat {than}"))
}

pub(super) fn serves_new_users(case: &Case<'_>) -> Outcome {
    let auc = new_user_auc(case.learned()?, &case.plain, usize::MAX)?;
    // A little below the bar for training users, as for ratings.
    let bar = PERSONAL - 0.03;
    ensure(auc >= bar, || format!("AUC {auc:.3} for new users; must be ≥ {bar} to beat popularity"))
}

pub(super) fn more_history_helps(case: &Case<'_>) -> Outcome {
    let model = case.learned()?;
    let (none, all) = (new_user_auc(model, &case.plain, 0)?, new_user_auc(model, &case.plain, usize::MAX)?);
    ensure(all > none, || format!("AUC {none:.3} without history, {all:.3} with all of it"))
}

fn new_user_auc(model: &dyn Recommender, planted: &Planted, given: usize) -> Result<f64, String> {
    let users: Vec<UserView<'_>> = planted.new_users.iter().map(|user| user.view(given)).collect();
    let targets: Vec<Vec<u32>> =
        planted.new_users.iter().map(|user| user.targets.iter().map(|&(item, _)| item).collect()).collect();
    mean_auc(model, &users, &targets)
}

/// How often a target scores above an item that is neither target nor in the history, ties half; over users who have both.
fn mean_auc(model: &dyn Recommender, users: &[UserView<'_>], targets: &[Vec<u32>]) -> Result<f64, String> {
    let n_items = model.n_items();
    let scores = score_all(model, users)?;
    finite("scores", &scores)?;
    let (mut sum, mut n) = (0.0, 0usize);
    for ((user, targets), scores) in users.iter().zip(targets).zip(scores.chunks_exact(n_items)) {
        let others: Vec<usize> = (0..n_items)
            .filter(|&item| !user.items.contains(&(item as u32)) && !targets.contains(&(item as u32)))
            .collect();
        if targets.is_empty() || others.is_empty() {
            continue;
        }
        let mut won = 0.0;
        for &target in targets {
            for &other in &others {
                won += match scores[target as usize].total_cmp(&scores[other]) {
                    Ordering::Greater => 1.0,
                    Ordering::Equal => 0.5,
                    Ordering::Less => 0.0,
                };
            }
        }
        sum += won / (targets.len() * others.len()) as f64;
        n += 1;
    }
    if n == 0 { Err("nobody has a target".to_owned()) } else { Ok(sum / n as f64) }
}
