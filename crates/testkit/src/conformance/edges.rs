//! Does it hold at the edges?

use foldin_core::registry::Settings;
use foldin_core::{
    Csr, Features, Feedback, FitContext, FitError, Interactions, ItemId, ScoreError, TrainingData, UserView,
};

use super::{Case, Level, Outcome, SEED, close, ensure, everything, finite, predict_all, refusal, score_all};
use crate::planted::{self, ODD_SCALE};

pub(super) fn says_who_it_is(case: &Case<'_>) -> Outcome {
    let (entry, model) = (case.subject.entry, case.quick()?);
    ensure(model.name() == entry.name, || {
        format!("the model calls itself {}, the entry {}", model.name(), entry.name)
    })?;
    ensure(model.capabilities() == entry.capabilities, || {
        "the capabilities of model and entry differ".to_owned()
    })?;
    ensure(model.n_items() == case.side.interactions.n_items(), || {
        format!("{} items of {}", model.n_items(), case.side.interactions.n_items())
    })?;
    ensure(entry.summary.len() >= 10, || "the summary says too little".to_owned())?;
    ensure(
        entry
            .name
            .chars()
            .all(|sign| sign.is_ascii_lowercase() || sign.is_ascii_digit() || "-+".contains(sign)),
        || format!("`{}` is not in lower case with dashes", entry.name),
    )
}

/// What comes back for a view that must be refused, from every way in.
fn refusals(case: &Case<'_>, view: UserView<'_>) -> Result<Vec<ScoreError>, String> {
    let model = case.quick()?;
    // Beside a good user, so that the whole batch is looked at.
    let users = [case.side.training_data().user(0), view];
    let mut scores = vec![0.0; 2 * model.n_items()];
    let mut out = [0.0; 2];
    let pairs = [(0, ItemId(0)), (1, ItemId(0))];
    let mut errors =
        vec![refusal(model.score(&users, &mut scores))?, refusal(model.predict(&users, &pairs, &mut out))?];
    if case.subject.entry.capabilities.uncertainty {
        errors.push(refusal(model.predict_with_variance(&users, &pairs, &mut [0.0; 2], &mut out))?);
    }
    if let Some(generator) = model.as_generator() {
        errors.push(refusal(generator.generate(&users).map(drop))?);
    }
    Ok(errors)
}

pub(super) fn unknown_item(case: &Case<'_>) -> Outcome {
    let model = case.quick()?;
    let unknown = model.n_items() as u32;
    for error in refusals(case, UserView::new(&[0, unknown], &[1.0, 2.0]))? {
        ensure(matches!(error, ScoreError::UnknownItem { item, .. } if item == unknown), || {
            format!("expected UnknownItem, got: {error}")
        })?;
    }
    let users = [case.side.training_data().user(0)];
    let error = refusal(model.predict(&users, &[(0, ItemId(unknown))], &mut [0.0]))?;
    ensure(matches!(error, ScoreError::UnknownItem { .. }), || format!("expected UnknownItem, got: {error}"))
}

pub(super) fn unusable_history(case: &Case<'_>) -> Outcome {
    for value in [f32::NAN, f32::INFINITY] {
        for error in refusals(case, UserView::new(&[0, 1], &[1.0, value]))? {
            ensure(matches!(error, ScoreError::NotFinite { .. }), || {
                format!("expected NotFinite for {value}, got: {error}")
            })?;
        }
    }
    for error in refusals(case, UserView::new(&[0, 1], &[1.0]))? {
        ensure(matches!(error, ScoreError::Shape { .. }), || format!("expected Shape, got: {error}"))?;
    }
    Ok(())
}

pub(super) fn wrong_lengths(case: &Case<'_>) -> Outcome {
    let model = case.quick()?;
    let users = [case.side.training_data().user(0)];
    let mut short = vec![0.0; model.n_items() - 1];
    for (what, outcome) in [
        ("scores too short", model.score(&users, &mut short)),
        ("predictions too long", model.predict(&users, &[(0, ItemId(0))], &mut [0.0, 0.0])),
        ("a user who is not in the batch", model.predict(&users, &[(1, ItemId(0))], &mut [0.0])),
    ] {
        let error = refusal(outcome).map_err(|reason| format!("{what}: {reason}"))?;
        ensure(matches!(error, ScoreError::Shape { .. }), || {
            format!("{what}: expected Shape, got: {error}")
        })?;
    }
    model.score(&[], &mut []).map_err(|error| format!("an empty batch: {error}"))?;
    model.predict(&[], &[], &mut []).map_err(|error| format!("no pairs: {error}"))
}

pub(super) fn any_history(case: &Case<'_>) -> Outcome {
    let model = case.quick()?;
    // Training users hold one without ratings, one with every rated item; the last item was rated by nobody.
    let mut users = case.users();
    let n_items = model.n_items() as u32;
    let forwards: Vec<u32> = (0..n_items).collect();
    let backwards: Vec<u32> = (0..n_items).rev().collect();
    let best = vec![ODD_SCALE.max; n_items as usize];
    let worst = vec![ODD_SCALE.min; n_items as usize];
    if case.new_users_are_served() {
        users.extend([
            UserView::default(),
            UserView::new(&forwards, &best),
            UserView::new(&backwards, &worst),
            UserView::new(&forwards[n_items as usize - 1..], &best[..1]),
            // A value that the scale does not have is odd, not absurd: an answer is owed.
            UserView::new(&forwards[..1], &[1e6]),
        ]);
    }
    finite("what is said of them", &everything(model, &users)?)
}

pub(super) fn clipping(case: &Case<'_>) -> Outcome {
    let model = case.quick()?;
    // Scores of clicks have no scale to stay on.
    let Some(scale) = case.side.interactions.feedback().scale() else { return Ok(()) };
    let mut users = case.users();
    let items: Vec<u32> = (0..model.n_items() as u32).collect();
    // Ten times the best rating for everything: whoever does not clip leaves the scale here.
    let wild = vec![10.0 * scale.max; items.len()];
    if case.new_users_are_served() {
        users.push(UserView::new(&items, &wild));
    }
    let all = predict_all(model, &users)?;
    match all.iter().find(|&&value| !scale.contains(value)) {
        Some(value) => Err(format!("predicted {value} on {}..{}", scale.min, scale.max)),
        None => Ok(()),
    }
}

pub(super) fn scores_and_predictions(case: &Case<'_>) -> Outcome {
    let (model, users) = (case.quick()?, case.users());
    let feedback = case.side.interactions.feedback();
    let scores = score_all(model, &users)?;
    let clipped: Vec<f32> = scores.iter().map(|&score| feedback.clip(score)).collect();
    // The two may add up in different orders.
    let predicted = predict_all(model, &users)?;
    close("clipped scores against predictions", &clipped, &predicted, case.tolerance(&scores))
}

pub(super) fn more_factors_than_items(case: &Case<'_>) -> Outcome {
    let entry = case.subject.entry;
    let Some(key) = entry.keys().into_iter().map(|key| key.key).find(|key| key == "factors") else {
        return ensure(!entry.capabilities.generator, || {
            "a generator without a setting called `factors`".to_owned()
        });
    };
    let mut settings = case.subject.quick.clone();
    settings.insert(key, (2 * case.side.interactions.n_items() + 1).into());
    match entry.fit(&settings, &case.side.training_data(), &FitContext::new(SEED)) {
        Ok(model) => finite("predictions", &predict_all(model.as_ref(), &case.users())?),
        Err(FitError::Config(_) | FitError::TooLittleData { .. }) => Ok(()),
        Err(error) => Err(format!("the fit failed: {error}")),
    }
}

/// Fits on whatever is given and asks for everything about training users, about nobody in particular and about somebody with
/// one rating. Too little data is a fair answer where there is no rating; anything else that is not a model is not.
fn fit_or_decline(
    case: &Case<'_>,
    what: &str,
    cells: &[(u32, u32, f32)],
    n_users: usize,
    n_items: usize,
) -> Outcome {
    let scale = case.subject.scale();
    let cells: Vec<(u32, u32, f32)> =
        cells.iter().map(|&(user, item, value)| (user, item, scale.round(value))).collect();
    let csr = Csr::from_triples(n_users, n_items, &cells).map_err(|error| error.to_string())?;
    let ratings =
        Interactions::new(csr, None, Feedback::Explicit(scale)).map_err(|error| error.to_string())?;
    let interactions = if case.subject.clicks { ratings.as_implicit() } else { ratings };
    let (user_features, item_features) = (Features::none(n_users), Features::none(n_items));
    let data = TrainingData {
        interactions: &interactions,
        user_features: &user_features,
        item_features: &item_features,
    };
    match case.subject.entry.fit(&case.subject.quick, &data, &FitContext::new(SEED)) {
        Ok(model) => {
            let mut users = data.users();
            if case.new_users_are_served() {
                users.push(UserView::default());
                users.extend((n_items > 0).then_some(UserView::new(&[0], &[-3.0])));
            }
            finite(what, &everything(model.as_ref(), &users)?)
        }
        Err(FitError::TooLittleData { .. }) if cells.is_empty() => Ok(()),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

pub(super) fn tiny_data(case: &Case<'_>) -> Outcome {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(8).build().map_err(|error| error.to_string())?;
    // Eight threads: more than there are users.
    pool.install(|| {
        fit_or_decline(case, "no rating", &[], 2, 2)?;
        fit_or_decline(case, "no user", &[], 0, 3)?;
        fit_or_decline(case, "no item", &[], 3, 0)?;
        fit_or_decline(case, "one user, one item", &[(0, 0, 2.0)], 1, 1)?;
        fit_or_decline(case, "one rating among many", &[(3, 5, 2.0)], 7, 9)?;
        fit_or_decline(case, "two users", &[(0, 0, 2.0), (0, 1, -3.0), (1, 0, 1.0)], 2, 2)?;
        fit_or_decline(case, "one item", &[(0, 0, 2.0), (1, 0, -3.0), (2, 0, 1.0)], 3, 1)
    })
}

/// Nothing varies: a mean, a standard deviation or a singular value of nothing must not divide anything.
pub(super) fn equal_ratings(case: &Case<'_>) -> Outcome {
    if case.subject.clicks {
        // Clicks are always equal: every other check is this one.
        return Ok(());
    }
    let scale = case.subject.scale();
    let equal = scale.round(3.0);
    let cells: Vec<(u32, u32, f32)> =
        case.side.interactions.by_user().triples().map(|(user, item, _)| (user, item, equal)).collect();
    let csr = Csr::from_triples(case.side.interactions.n_users(), case.side.interactions.n_items(), &cells)
        .map_err(|error| error.to_string())?;
    let interactions =
        Interactions::new(csr, None, Feedback::Explicit(scale)).map_err(|error| error.to_string())?;
    let data = TrainingData { interactions: &interactions, ..case.side.training_data() };
    let all = predict_all(case.fit(&data, SEED)?.as_ref(), &data.users())?;
    finite("predictions", &all)?;
    // The last user and the last item have no ratings: what is said of them is a guess. For the others 3 of 20 is what
    // regularisation, a start that fills empty cells, or an optimiser that divides by the size of gradients may take away;
    // a division by nothing goes further.
    let slack = if case.subject.level == Level::Personal { 3.0 } else { 1e-3 };
    let (n_users, n_items) = (interactions.n_users(), interactions.n_items());
    for user in 0..n_users - 1 {
        let row = &all[user * n_items..(user + 1) * n_items - 1];
        if let Some(value) = row.iter().find(|&&value| (value - equal).abs() > slack) {
            return Err(format!("predicted {value} for user {user} where every rating is {equal}"));
        }
    }
    Ok(())
}

pub(super) fn feedback(case: &Case<'_>) -> Outcome {
    let capabilities = case.subject.entry.capabilities;
    ensure(capabilities.explicit || capabilities.implicit, || "it learns from nothing".to_owned())?;
    ensure(!case.subject.clicks || capabilities.implicit, || "it is asked about clicks".to_owned())?;
    let ratings = planted::with_side_information(90, 36, 3, SEED);
    let ratings = case.subject.step.map_or(ratings.clone(), |step| ratings.rounded(step)).interactions;
    let clicks = ratings.as_implicit();
    for (declared, interactions) in [(capabilities.explicit, &ratings), (capabilities.implicit, &clicks)] {
        let data = TrainingData { interactions, ..case.side.training_data() };
        let outcome =
            case.subject.entry.fit(&Settings::clone(&case.subject.quick), &data, &FitContext::new(SEED));
        let feedback = interactions.feedback();
        match (declared, outcome) {
            (true, Ok(_)) | (false, Err(FitError::WrongFeedback { .. })) => {}
            (true, Err(error)) => {
                return Err(format!("{feedback:?} is declared, but the fit failed: {error}"));
            }
            (false, Ok(_)) => return Err(format!("{feedback:?} is not declared, but was accepted")),
            (false, Err(error)) => return Err(format!("{feedback:?}: expected WrongFeedback, got: {error}")),
        }
    }
    Ok(())
}

/// A model that has rounded data here must refuse those that are not, saying why and naming what to do.
pub(super) fn continuous_scale(case: &Case<'_>) -> Outcome {
    if case.subject.clicks {
        return Ok(());
    }
    let data = planted::with_side_information(90, 36, 3, SEED);
    let (entry, quick) = (case.subject.entry, &case.subject.quick);
    match (case.subject.step, entry.fit(quick, &data.training_data(), &FitContext::new(SEED))) {
        (None, Ok(_)) => Ok(()),
        (None, Err(error)) => Err(format!("the fit on a continuous scale failed: {error}")),
        (Some(_), Err(FitError::Scale { model, .. })) => {
            ensure(model == entry.name, || format!("{} is refused in the name of {model}", entry.name))
        }
        (Some(_), Err(error)) => Err(format!("expected Scale, got: {error}")),
        (Some(step), Ok(_)) => {
            Err(format!("it is tested on a scale of steps of {step}, but takes a continuous one"))
        }
    }
}
