//! Does it learn what was planted?

use foldin_core::{FitContext, ItemId, Recommender, ScoreError, UserView};

use super::ranking;
use super::{
    Case, Level, Outcome, SEED, close, ensure, finite, predict_all, refusal, rmse, score_all, variances,
};
use crate::planted::Planted;

/// A personal model must leave at most this share of the error of item means. Biases of users and items together leave about
/// 0.95, the noise that was planted 0.3.
const PERSONAL: f64 = 0.75;

pub(super) fn learns_what_was_planted(case: &Case<'_>) -> Outcome {
    if case.subject.clicks {
        return ranking::learns_what_was_planted(case);
    }
    let (error, bars) = (held_out_rmse(case.learned()?, &case.plain)?, Bars::of(&case.plain));
    let (bar, than) = match case.subject.level {
        Level::Mean => (0.99 * bars.middle, "the middle of the scale"),
        Level::Items => (0.97 * bars.mean, "the mean of all ratings"),
        Level::Personal => (PERSONAL * bars.items, "the mean of each item"),
    };
    ensure(error <= bar, || format!("RMSE {error:.3} on held-out ratings; must be ≤ {bar:.3} to beat {than}"))
}

pub(super) fn serves_new_users(case: &Case<'_>) -> Outcome {
    let model = case.learned()?;
    if !case.new_users_are_served() {
        let view = case.plain.new_users[0].view(usize::MAX);
        let mut out = [0.0];
        let error = refusal(model.predict(&[view], &[(0, ItemId(0))], &mut out))?;
        return ensure(matches!(error, ScoreError::NewUser { .. }), || {
            format!("expected NewUser, got: {error}")
        });
    }
    if case.subject.level < Level::Personal {
        return Ok(());
    }
    if case.subject.clicks {
        return ranking::serves_new_users(case);
    }
    let (error, bars) = (new_user_rmse(model, &case.plain, usize::MAX)?, Bars::of(&case.plain));
    // Fold-in is a little worse than training on the same ratings; 0.85 still needs the user's own taste.
    let bar = 0.85 * bars.items_for_new_users;
    ensure(error <= bar, || format!("RMSE {error:.3} for new users; must be ≤ {bar:.3} to beat item means"))
}

pub(super) fn more_history_helps(case: &Case<'_>) -> Outcome {
    if !case.new_users_are_served() || case.subject.level < Level::Personal {
        return Ok(());
    }
    if case.subject.clicks {
        return ranking::more_history_helps(case);
    }
    let model = case.learned()?;
    let (none, all) = (new_user_rmse(model, &case.plain, 0)?, new_user_rmse(model, &case.plain, usize::MAX)?);
    ensure(all < none, || format!("RMSE {none:.3} without history, {all:.3} with all of it"))
}

/// A model written for 1–5 gives itself away here.
pub(super) fn a_shifted_scale(case: &Case<'_>) -> Outcome {
    moved_scale(case, 1.0, 100.0)
}

pub(super) fn a_stretched_scale(case: &Case<'_>) -> Outcome {
    moved_scale(case, 5.0, 0.0)?;
    moved_scale(case, 0.05, 0.5)
}

fn moved_scale(case: &Case<'_>, stretch: f32, shift: f32) -> Outcome {
    if case.subject.clicks {
        return Ok(());
    }
    let moved = case.plain.rescaled(stretch, shift);
    let model = case
        .subject
        .entry
        .fit(&case.subject.learning, &moved.training_data(), &FitContext::new(SEED))
        .map_err(|error| format!("the fit failed on a scale of {:?}: {error}", moved.scale()))?;
    let here = held_out_rmse(case.learned()?, &case.plain)?;
    let there = held_out_rmse(model.as_ref(), &moved)? / f64::from(stretch);
    // Regularisation need not be scale-free to the last digit; a tenth more error is where it stops being a detail.
    ensure(there <= 1.1 * here, || {
        let scale = moved.scale();
        format!("RMSE {there:.3} (in the old unit) on {}..{}, but {here:.3} on -10..10", scale.min, scale.max)
    })
}

pub(super) fn user_features(case: &Case<'_>) -> Outcome {
    let model = case.quick()?;
    let with: Vec<UserView<'_>> = case.side.new_users.iter().map(|user| user.view(0)).collect();
    let without = vec![UserView::default(); with.len()];
    if !case.new_users_are_served() {
        return Ok(());
    }
    let same = predict_all(model, &with)? == predict_all(model, &without)?;
    let declared = case.subject.entry.capabilities.user_features;
    ensure(same != declared, || {
        format!(
            "declared {declared}, but side information of a user {} the predictions",
            if same { "does not change" } else { "changes" }
        )
    })
}

pub(super) fn item_features(case: &Case<'_>) -> Outcome {
    let mut bare = case.side.clone();
    bare.item_features = foldin_core::Features::none(bare.interactions.n_items());
    let with = predict_all(case.quick()?, &case.users())?;
    let without = predict_all(case.fit(&bare.training_data(), SEED)?.as_ref(), &case.users())?;
    let declared = case.subject.entry.capabilities.item_features;
    ensure((with == without) != declared, || {
        format!(
            "declared {declared}, but side information of items {} the predictions",
            if with == without { "does not change" } else { "changes" }
        )
    })
}

pub(super) fn uncertainty(case: &Case<'_>) -> Outcome {
    let model = case.learned()?;
    if !case.subject.entry.capabilities.uncertainty {
        let users = case.plain.training_data().users();
        let (mut mean, mut variance) = ([0.0], [0.0]);
        let error =
            refusal(model.predict_with_variance(&users[..1], &[(0, ItemId(0))], &mut mean, &mut variance))?;
        return ensure(matches!(error, ScoreError::Unsupported { .. }), || {
            format!("expected Unsupported, got: {error}")
        });
    }
    let views =
        |given: usize| -> Vec<_> { case.plain.new_users.iter().map(|user| user.view(given)).collect() };
    let (_, little) = variances(model, &views(0))?;
    let (mean, much) = variances(model, &views(usize::MAX))?;
    for (what, values) in [("means", &mean), ("variances", &little), ("variances", &much)] {
        finite(what, values)?;
    }
    ensure(little.iter().chain(&much).all(|&variance| variance > 0.0), || {
        "a variance is not positive".to_owned()
    })?;
    let total = |values: &[f32]| values.iter().map(|&value| f64::from(value)).sum::<f64>();
    ensure(total(&much) < total(&little), || "variance does not fall as the history grows".to_owned())?;
    let feedback = case.plain.interactions.feedback();
    let clipped: Vec<f32> = mean.iter().map(|&mean| feedback.clip(mean)).collect();
    let predicted = predict_all(model, &views(usize::MAX))?;
    close("mean beside the variance", &clipped, &predicted, case.tolerance(&mean))
}

/// `u·m + b_u + b_i + μ` is what the scores are, up to rounding.
pub(super) fn factors(case: &Case<'_>) -> Outcome {
    let model = case.quick()?;
    let Some(generator) = model.as_generator() else {
        return ensure(!case.subject.entry.capabilities.generator, || {
            "declared a generator, but it is none".to_owned()
        });
    };
    ensure(case.subject.entry.capabilities.generator, || "a generator that does not say so".to_owned())?;
    let users = case.users();
    let (items, factors) =
        (generator.items(), generator.generate(&users).map_err(|error| error.to_string())?);
    let (k, n_items) = (items.k, model.n_items());
    ensure(factors.k == k, || format!("users have {} factors, items {k}", factors.k))?;
    for (what, got, expected) in [
        ("item factors", items.m.len(), n_items * k),
        ("item biases", items.bias.len(), n_items),
        ("user factors", factors.u.len(), users.len() * k),
        ("user biases", factors.bias.len(), users.len()),
    ] {
        ensure(got == expected, || format!("{got} {what}, expected {expected}"))?;
    }
    if let Some(covariance) = &factors.covariance {
        let expected = users.len() * (k + 1) * (k + 1);
        ensure(covariance.len() == expected, || {
            format!("covariance has {} elements, expected {expected}", covariance.len())
        })?;
        finite("covariance", covariance)?;
    }
    let explained: Vec<f32> = (0..users.len())
        .flat_map(|user| (0..n_items).map(move |item| (user, item)))
        .map(|(user, item)| {
            let dot: f32 = factors.row(user).iter().zip(items.row(item)).map(|(u, m)| u * m).sum();
            dot + factors.bias[user] + items.bias[item] + items.mean
        })
        .collect();
    let scores = score_all(model, &users)?;
    close("u·m + b_u + b_i + μ against the scores", &explained, &scores, case.tolerance(&scores))
}

fn held_out_rmse(model: &dyn Recommender, planted: &Planted) -> Result<f64, String> {
    let users = planted.training_data().users();
    let pairs: Vec<(u32, ItemId)> =
        planted.held_out.iter().map(|&(user, item, _)| (user, ItemId(item))).collect();
    let mut out = vec![f32::NAN; pairs.len()];
    model.predict(&users, &pairs, &mut out).map_err(|error| format!("predicting failed: {error}"))?;
    finite("predictions", &out)?;
    Ok(rmse(out.into_iter().zip(planted.held_out.iter().map(|&(_, _, value)| value))))
}

fn new_user_rmse(model: &dyn Recommender, planted: &Planted, given: usize) -> Result<f64, String> {
    let users: Vec<UserView<'_>> = planted.new_users.iter().map(|user| user.view(given)).collect();
    let targets: Vec<(u32, u32, f32)> = planted
        .new_users
        .iter()
        .enumerate()
        .flat_map(|(at, user)| user.targets.iter().map(move |&(item, value)| (at as u32, item, value)))
        .collect();
    let pairs: Vec<(u32, ItemId)> = targets.iter().map(|&(user, item, _)| (user, ItemId(item))).collect();
    let mut out = vec![f32::NAN; pairs.len()];
    model.predict(&users, &pairs, &mut out).map_err(|error| format!("predicting failed: {error}"))?;
    finite("predictions", &out)?;
    Ok(rmse(out.into_iter().zip(targets.iter().map(|&(_, _, value)| value))))
}

/// Errors of answers that need no model.
struct Bars {
    middle: f64,
    mean: f64,
    items: f64,
    items_for_new_users: f64,
}

impl Bars {
    fn of(planted: &Planted) -> Self {
        let scale = planted.scale();
        let mean = planted.interactions.mean() as f32;
        let item_means: Vec<f32> = (0..planted.interactions.n_items())
            .map(|item| {
                let (_, values) = planted.interactions.by_item().row(item);
                if values.is_empty() { mean } else { values.iter().sum::<f32>() / values.len() as f32 }
            })
            .collect();
        let held_out = || planted.held_out.iter();
        Self {
            middle: rmse(held_out().map(|&(_, _, value)| ((scale.min + scale.max) / 2.0, value))),
            mean: rmse(held_out().map(|&(_, _, value)| (mean, value))),
            items: rmse(held_out().map(|&(_, item, value)| (item_means[item as usize], value))),
            items_for_new_users: rmse(
                planted
                    .new_users
                    .iter()
                    .flat_map(|user| &user.targets)
                    .map(|&(item, value)| (item_means[item as usize], value)),
            ),
        }
    }
}
