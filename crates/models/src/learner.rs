//! The run of training of networks over clicks: epochs, the best of them by validation nDCG, checkpoints.

use foldin_core::{Epoch, FitContext, FitError, Interactions, TrainState};

use crate::holdout::EarlyStopping;
use crate::perceptron::{Named, restore, save};
use crate::resume;

/// Something that learns by epochs.
pub(crate) trait Learner {
    /// What is kept of the best epoch.
    type Network: Clone;

    /// Learns for an epoch, numbered from 0; the mean loss.
    fn epoch(&mut self, number: usize) -> f64;

    /// nDCG@20 on held-out interactions, if there are any.
    ///
    /// # Errors
    /// [`FitError::Diverged`].
    fn validate(&self) -> Result<Option<f64>, FitError>;

    /// The network as it is.
    fn network(&mut self) -> &mut Self::Network;

    /// Parameters of a network.
    fn parameters(network: &mut Self::Network) -> Vec<Named<'_>>;

    /// What else learns, such as an adversary.
    fn others(&mut self) -> Vec<Named<'_>> {
        Vec::new()
    }
}

/// The length of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) epochs: usize,
    pub(crate) patience: usize,
}

/// Learns for all epochs, or until nDCG on held-out interactions has not improved for `patience` of them; gives the network of the
/// best epoch, without held-out interactions that of the last.
///
/// # Errors
/// [`FitError`].
pub(crate) fn train<L: Learner>(
    model: &'static str,
    learner: &mut L,
    clicks: &Interactions,
    length: Length,
    ctx: &FitContext<'_>,
) -> Result<L::Network, FitError> {
    let mut stopping = EarlyStopping::new(length.patience);
    let mut best: Option<L::Network> = None;
    let mut done = 0;
    if let Some(mut state) = ctx.resume()? {
        resume::check(&state, clicks, &mut stopping)?;
        restore(L::parameters(learner.network()), "", &mut state)?;
        restore(learner.others(), "other.", &mut state)?;
        if stopping.best_epoch > 0 {
            let mut found = learner.network().clone();
            restore(L::parameters(&mut found), "best.", &mut state)?;
            best = Some(found);
        }
        done = state.epochs;
    }
    while done < length.epochs && !stopping.is_over(done) {
        let loss = learner.epoch(done);
        done += 1;
        if !loss.is_finite() {
            let what = "the loss on the training interactions";
            return Err(FitError::Diverged { model, epoch: done, what });
        }
        let validation_ndcg = learner.validate()?;
        // The best epoch is that of the lowest figure.
        if validation_ndcg.is_some_and(|ndcg| stopping.improved(done, -ndcg)) {
            best = Some(learner.network().clone());
        }
        let epoch = Epoch {
            number: done,
            of: length.epochs,
            train_loss: Some(loss),
            validation_ndcg,
            ..Epoch::default()
        };
        ctx.epoch_done(epoch, || {
            let mut state: TrainState = resume::state(done, clicks, &stopping);
            save(L::parameters(learner.network()), "", &mut state);
            save(learner.others(), "other.", &mut state);
            if let Some(best) = &mut best {
                save(L::parameters(best), "best.", &mut state);
            }
            state
        })?;
    }
    let mut network = best.unwrap_or_else(|| learner.network().clone());
    let finite =
        L::parameters(&mut network).iter().all(|(_, _, trained)| trained.w.iter().all(|w| w.is_finite()));
    if finite { Ok(network) } else { Err(FitError::Diverged { model, epoch: done, what: "a weight" }) }
}
