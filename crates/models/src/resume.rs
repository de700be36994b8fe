//! Taking a fit up again where a checkpoint left it.

use foldin_core::{FitError, Interactions, Tensor, TrainState};

use crate::holdout::EarlyStopping;

fn unfit(reason: &str) -> FitError {
    FitError::Checkpoint { reason: reason.to_owned() }
}

/// A state that names the ratings it belongs to and how early stopping stands.
pub(crate) fn state(epochs: usize, ratings: &Interactions, stopping: &EarlyStopping) -> TrainState {
    let mut state = TrainState { epochs, ..TrainState::default() };
    state.numbers.insert("data".to_owned(), fingerprint(ratings));
    state.numbers.insert("best_rmse".to_owned(), stopping.best);
    state.numbers.insert("best_epoch".to_owned(), stopping.best_epoch as f64);
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
    let number =
        |name: &str| state.numbers.get(name).copied().ok_or_else(|| unfit(&format!("it lacks `{name}`")));
    if number("data")?.to_bits() != fingerprint(ratings).to_bits() {
        return Err(unfit("it belongs to other ratings"));
    }
    stopping.best = number("best_rmse")?;
    stopping.best_epoch = number("best_epoch")? as usize;
    Ok(())
}

/// Keeps a tensor.
pub(crate) fn keep(state: &mut TrainState, name: String, shape: [usize; 2], data: &[f32]) {
    state.tensors.insert(name, Tensor::new(shape, data.to_vec()));
}

/// Takes a tensor back.
///
/// # Errors
/// [`FitError::Checkpoint`] if it is missing or has another shape.
pub(crate) fn take(state: &mut TrainState, name: &str, shape: [usize; 2]) -> Result<Vec<f32>, FitError> {
    let tensor = state.tensors.remove(name).ok_or_else(|| unfit("it lacks a tensor"))?;
    if tensor.shape == shape {
        Ok(tensor.data)
    } else {
        Err(unfit("it belongs to another number of factors, users or items"))
    }
}

/// The data's fingerprint as a number, to refuse a checkpoint of other data; 52 of its bits fit.
pub(crate) fn fingerprint(ratings: &Interactions) -> f64 {
    u64::from_str_radix(&ratings.fingerprint(), 16).map_or(0.0, |bits| (bits >> 12) as f64)
}
