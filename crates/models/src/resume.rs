//! Taking a fit up again where a checkpoint left it.

use foldin_core::{FitError, Interactions, Tensor, TrainState};
use foldin_nn::optimiser::Trained;

use crate::holdout::EarlyStopping;

/// The refusal of a checkpoint.
pub(crate) fn unfit(reason: impl Into<String>) -> FitError {
    FitError::Checkpoint { reason: reason.into() }
}

/// A state that names the ratings it belongs to and how early stopping stands.
pub(crate) fn state(epochs: usize, ratings: &Interactions, stopping: &EarlyStopping) -> TrainState {
    let mut state = state_of(epochs, ratings);
    state.numbers.insert("best_rmse".to_owned(), stopping.best);
    state.numbers.insert("best_epoch".to_owned(), stopping.best_epoch as f64);
    state
}

/// A state that names the ratings it belongs to, of a fit that does not stop early.
pub(crate) fn state_of(epochs: usize, ratings: &Interactions) -> TrainState {
    let mut state = TrainState { epochs, ..TrainState::default() };
    state.numbers.insert("data".to_owned(), fingerprint(ratings));
    state
}

/// Reads what [`state`] wrote.
///
/// # Errors
/// [`FitError::Checkpoint`] for the state of another fit.
pub(crate) fn check(
    state: &TrainState,
    ratings: &Interactions,
    stopping: &mut EarlyStopping,
) -> Result<(), FitError> {
    check_ratings(state, ratings)?;
    stopping.best = number(state, "best_rmse")?;
    stopping.best_epoch = number(state, "best_epoch")? as usize;
    Ok(())
}

/// Whether a state belongs to these ratings.
///
/// # Errors
/// [`FitError::Checkpoint`] if it does not.
pub(crate) fn check_ratings(state: &TrainState, ratings: &Interactions) -> Result<(), FitError> {
    if number(state, "data")?.to_bits() == fingerprint(ratings).to_bits() {
        Ok(())
    } else {
        Err(unfit("it belongs to other ratings"))
    }
}

/// A number of a state.
///
/// # Errors
/// [`FitError::Checkpoint`] if it is missing.
pub(crate) fn number(state: &TrainState, name: &str) -> Result<f64, FitError> {
    state.numbers.get(name).copied().ok_or_else(|| unfit(format!("it lacks `{name}`")))
}

/// Keeps a tensor.
pub(crate) fn keep(state: &mut TrainState, name: String, shape: impl Into<Vec<usize>>, data: &[f32]) {
    state.tensors.insert(name, Tensor::new(shape, data.to_vec()));
}

/// Takes a tensor back.
///
/// # Errors
/// [`FitError::Checkpoint`] if it is missing or has another shape.
pub(crate) fn take(
    state: &mut TrainState,
    name: &str,
    shape: impl AsRef<[usize]>,
) -> Result<Vec<f32>, FitError> {
    let tensor = state.tensors.remove(name).ok_or_else(|| unfit(format!("it lacks `{name}`")))?;
    let shape = shape.as_ref();
    if tensor.shape == shape {
        Ok(tensor.data)
    } else {
        Err(unfit(format!(
            "its `{name}` has shape {:?}, and these settings and data want {shape:?}",
            tensor.shape
        )))
    }
}

/// Keeps weights with what the optimiser remembers of them.
pub(crate) fn keep_trained(state: &mut TrainState, name: &str, trained: &Trained) {
    let Trained { w, first, second, average, .. } = trained;
    for (part, data) in [("w", w), ("first", first), ("second", second)] {
        keep(state, format!("{name}.{part}"), [data.len()], data);
    }
    if !average.is_empty() {
        keep(state, format!("{name}.average"), [average.len()], average);
    }
}

/// Takes back what [`keep_trained`] kept.
///
/// # Errors
/// [`FitError::Checkpoint`] if something is missing or has another shape.
pub(crate) fn take_trained(state: &mut TrainState, name: &str, into: &mut Trained) -> Result<(), FitError> {
    let Trained { w, first, second, average, .. } = into;
    let mut parts = vec![("w", w), ("first", first), ("second", second)];
    if !average.is_empty() {
        parts.push(("average", average));
    }
    for (part, out) in parts {
        let kept = take(state, &format!("{name}.{part}"), [out.len()])?;
        out.copy_from_slice(&kept);
    }
    Ok(())
}

/// The data's fingerprint as a number, to refuse a checkpoint of other data; 52 of its bits fit.
fn fingerprint(ratings: &Interactions) -> f64 {
    u64::from_str_radix(&ratings.fingerprint(), 16).map_or(0.0, |bits| (bits >> 12) as f64)
}
