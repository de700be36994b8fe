//! Can a fit be watched, cancelled and resumed?

use foldin_core::registry::Settings;
use foldin_core::{CancelFlag, FitContext, FitError, Recommender, TrainState};

use super::{Case, Outcome, SEED, ensure, everything, same_bits};
use crate::memory_store::{MemoryStore, Watcher};
use crate::planted;

/// A quick fit that is watched, and perhaps kept.
fn watched(
    case: &Case<'_>,
    watcher: &Watcher,
    store: Option<&MemoryStore>,
) -> Result<Box<dyn Recommender>, FitError> {
    let ctx = FitContext {
        seed: SEED,
        progress: watcher,
        cancel: watcher.flag(),
        checkpoints: store.map(|store| store as _),
    };
    case.subject.entry.fit(&Settings::clone(&case.subject.quick), &case.side.training_data(), &ctx)
}

/// Number of epochs that a quick fit reports; 0 for a model that is computed in one go.
fn n_epochs(case: &Case<'_>) -> Result<usize, String> {
    let watcher = Watcher::watching();
    watched(case, &watcher, None).map_err(|error| format!("the fit failed: {error}"))?;
    Ok(watcher.epochs().len())
}

pub(super) fn epochs_are_reported(case: &Case<'_>) -> Outcome {
    let watcher = Watcher::watching();
    let model = watched(case, &watcher, None).map_err(|error| format!("the fit failed: {error}"))?;
    let users = case.users();
    same_bits(
        "watched and unwatched",
        &everything(case.quick()?, &users)?,
        &everything(model.as_ref(), &users)?,
    )?;
    let epochs = watcher.epochs();
    for (at, epoch) in epochs.iter().enumerate() {
        ensure(epoch.number == at + 1 && epoch.of >= epoch.number, || {
            format!("report {} is epoch {} of {}", at + 1, epoch.number, epoch.of)
        })?;
        ensure(epoch.of == epochs[0].of, || "the number of epochs changes on the way".to_owned())?;
        for value in [epoch.train_rmse, epoch.validation_rmse].into_iter().flatten() {
            ensure(value.is_finite() && value >= 0.0, || format!("epoch {} reports {value}", epoch.number))?;
        }
    }
    // A setting of this name promises a fit in epochs.
    let promised = case.subject.entry.keys().iter().any(|key| key.key == "epochs" || key.key == "iterations");
    ensure(!promised || !epochs.is_empty(), || "it has epochs, but reports none".to_owned())
}

pub(super) fn cancelled(case: &Case<'_>) -> Outcome {
    if n_epochs(case)? == 0 {
        return Ok(());
    }
    let watcher = Watcher::cancelling_after(1);
    match watched(case, &watcher, None) {
        Err(FitError::Cancelled { epochs: 1 }) => {}
        Err(error) => return Err(format!("cancelled in epoch 1, it says: {error}")),
        Ok(_) => return Err("cancelled in epoch 1, it gave a model".to_owned()),
    }
    ensure(watcher.epochs().len() == 1, || format!("it went on for {} epochs", watcher.epochs().len()))?;
    let cancel = CancelFlag::default();
    cancel.cancel();
    let ctx = FitContext { cancel, ..FitContext::new(SEED) };
    match case.subject.entry.fit(&case.subject.quick, &case.side.training_data(), &ctx) {
        Err(FitError::Cancelled { .. }) => Ok(()),
        Err(error) => Err(format!("cancelled beforehand, it says: {error}")),
        Ok(_) => Err("cancelled beforehand, it gave a model".to_owned()),
    }
}

pub(super) fn resumed(case: &Case<'_>) -> Outcome {
    let epochs = n_epochs(case)?;
    if epochs < 2 {
        return Ok(());
    }
    let users = case.users();
    let whole = everything(case.quick()?, &users)?;
    for stop in [1, epochs / 2, epochs - 1] {
        let store = MemoryStore::every(0);
        match watched(case, &Watcher::cancelling_after(stop), Some(&store)) {
            Err(FitError::Cancelled { .. }) => {}
            Err(error) => return Err(format!("cancelled in epoch {stop}, it says: {error}")),
            Ok(_) => return Err(format!("cancelled in epoch {stop}, it gave a model")),
        }
        let state = store.state().ok_or_else(|| format!("nothing was kept in epoch {stop}"))?;
        ensure(state.epochs == stop, || format!("kept in epoch {stop}, the state says {}", state.epochs))?;
        let rest = Watcher::watching();
        let model = watched(case, &rest, Some(&MemoryStore::holding(state)))
            .map_err(|error| format!("going on after epoch {stop}: {error}"))?;
        ensure(rest.epochs().first().is_some_and(|epoch| epoch.number == stop + 1), || {
            format!("it did not go on with epoch {}", stop + 1)
        })?;
        same_bits(&format!("interrupted after epoch {stop}"), &whole, &everything(model.as_ref(), &users)?)?;
    }
    // Keeping a state every epoch must not disturb anything.
    let model = watched(case, &Watcher::watching(), Some(&MemoryStore::every(1)))
        .map_err(|error| format!("with checkpoints: {error}"))?;
    same_bits("with and without checkpoints", &whole, &everything(model.as_ref(), &users)?)
}

pub(super) fn foreign_checkpoint(case: &Case<'_>) -> Outcome {
    if n_epochs(case)? < 2 {
        return Ok(());
    }
    let empty = TrainState { epochs: 1, ..TrainState::default() };
    match watched(case, &Watcher::watching(), Some(&MemoryStore::holding(empty))) {
        Err(FitError::Checkpoint { .. }) => Ok(()),
        Err(error) => Err(format!("expected Checkpoint, got: {error}")),
        Ok(_) => Err("a checkpoint of nothing was accepted".to_owned()),
    }
}

/// A checkpoint of as many users and items, but of other ratings: only what it says of its data can give it away.
pub(super) fn checkpoint_of_other_ratings(case: &Case<'_>) -> Outcome {
    if n_epochs(case)? < 2 {
        return Ok(());
    }
    let store = MemoryStore::every(0);
    if watched(case, &Watcher::cancelling_after(1), Some(&store)).is_ok() {
        return Err("cancelled in epoch 1, it gave a model".to_owned());
    }
    let kept = store.state().ok_or("nothing was kept in epoch 1")?;
    let other = case.subject.data(planted::with_side_information(
        case.side.interactions.n_users(),
        case.side.interactions.n_items(),
        3,
        SEED + 1,
    ));
    let store = MemoryStore::holding(kept);
    let ctx = FitContext { checkpoints: Some(&store), ..FitContext::new(SEED) };
    match case.subject.entry.fit(&case.subject.quick, &other.training_data(), &ctx) {
        Err(FitError::Checkpoint { .. }) => Ok(()),
        Err(error) => Err(format!("expected Checkpoint, got: {error}")),
        Ok(_) => Err("a checkpoint of other ratings was accepted".to_owned()),
    }
}
