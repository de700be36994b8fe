//! Same seed, batch, threads, order: same answer?

use foldin_core::{Recommender, UserView};

use super::{Case, Outcome, SEED, close, everything, predict_all, same_bits, score_all};

pub(super) fn the_seed_decides(case: &Case<'_>) -> Outcome {
    let users = case.users();
    let again = case.fit(&case.side.training_data(), SEED)?;
    same_bits("the same fit twice", &everything(case.quick()?, &users)?, &everything(again.as_ref(), &users)?)
}

pub(super) fn threads(case: &Case<'_>) -> Outcome {
    let users = case.users();
    let on = |threads: usize| -> Result<(Box<dyn Recommender>, Vec<f32>), String> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| error.to_string())?;
        pool.install(|| {
            let model = case.fit(&case.side.training_data(), SEED)?;
            let said = everything(model.as_ref(), &users)?;
            Ok((model, said))
        })
    };
    let (model, one) = on(1)?;
    for threads in [2, 3] {
        let (other, said) = on(threads)?;
        // First the same model on this pool, so that a difference is blamed on fitting or on predicting.
        same_bits(
            &format!("fitted on 1 and {threads} threads"),
            &everything(model.as_ref(), &users)?,
            &everything(other.as_ref(), &users)?,
        )?;
        same_bits(&format!("predicted on 1 and {threads} threads"), &one, &said)?;
    }
    Ok(())
}

pub(super) fn batches(case: &Case<'_>) -> Outcome {
    let (model, users) = (case.quick()?, case.users());
    let n_items = model.n_items();
    let (predicted, scored) = (predict_all(model, &users)?, score_all(model, &users)?);
    // A prime stride visits every user once in an order of no pattern.
    let order: Vec<usize> = (0..users.len()).map(|at| (at * 7919) % users.len()).collect();
    let shuffled: Vec<UserView<'_>> = order.iter().map(|&user| users[user]).collect();
    let (predicted_shuffled, scored_shuffled) =
        (predict_all(model, &shuffled)?, score_all(model, &shuffled)?);
    let row = |all: &[f32], user: usize| all[user * n_items..(user + 1) * n_items].to_vec();
    for (at, &user) in order.iter().enumerate() {
        same_bits(
            "users in another order, predictions",
            &row(&predicted, user),
            &row(&predicted_shuffled, at),
        )?;
        same_bits("users in another order, scores", &row(&scored, user), &row(&scored_shuffled, at))?;
    }
    for user in 0..users.len() {
        let alone = &users[user..=user];
        same_bits(
            "a batch against one user, predictions",
            &row(&predicted, user),
            &predict_all(model, alone)?,
        )?;
        same_bits("a batch against one user, scores", &row(&scored, user), &score_all(model, alone)?)?;
    }
    if let Some(generator) = model.as_generator() {
        let all = generator.generate(&users).map_err(|error| error.to_string())?;
        for user in 0..users.len() {
            let one = generator.generate(&users[user..=user]).map_err(|error| error.to_string())?;
            same_bits("a batch against one user, factors", all.row(user), one.row(0))?;
            same_bits("a batch against one user, bias", &all.bias[user..=user], &one.bias)?;
        }
    }
    Ok(())
}

pub(super) fn history_order(case: &Case<'_>) -> Outcome {
    if !case.new_users_are_served() {
        return Ok(());
    }
    let model = case.quick()?;
    let forward: Vec<UserView<'_>> = case.side.new_users.iter().map(|user| user.view(usize::MAX)).collect();
    let reversed: Vec<(Vec<u32>, Vec<f32>)> = forward
        .iter()
        .map(|user| (user.items.iter().rev().copied().collect(), user.values.iter().rev().copied().collect()))
        .collect();
    let backward: Vec<UserView<'_>> = forward
        .iter()
        .zip(&reversed)
        .map(|(user, (items, values))| UserView { items, values, ..*user })
        .collect();
    // Sums of some dozen terms in another order.
    let (forward, backward) = (predict_all(model, &forward)?, predict_all(model, &backward)?);
    close("histories forwards and backwards", &forward, &backward, case.tolerance(&forward))
}
