//! Watching a fit by its validation AUC: reports, the best epoch, stopping early.

use foldin_core::{Epoch, FitContext, FitError};

use crate::error::VisionError;

/// One epoch as it went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Watched {
    /// Mean loss of a draw.
    pub loss: f64,
    /// AUC on the validation items, where it was taken.
    pub auc: Option<f64>,
}

/// Keeps which epoch was best.
#[derive(Clone, Debug)]
pub struct Watch {
    model: &'static str,
    of: usize,
    patience: usize,
    epochs: Vec<Watched>,
    best: Option<(usize, f64)>,
}

impl Watch {
    /// Of a fit of `of` epochs at most, that ends after `patience` without a better one.
    #[must_use]
    pub fn new(model: &'static str, of: usize, patience: usize) -> Self {
        Self { model, of, patience, epochs: Vec::new(), best: None }
    }

    /// Of a fit that is taken up again.
    #[must_use]
    pub fn resumed(mut self, epochs: Vec<Watched>) -> Self {
        self.best = None;
        for (at, watched) in epochs.iter().enumerate() {
            self.consider(at + 1, watched.auc);
        }
        self.epochs = epochs;
        self
    }

    fn consider(&mut self, number: usize, auc: Option<f64>) -> bool {
        let better = match (auc, self.best) {
            (Some(auc), Some((_, best))) => auc > best,
            _ => true,
        };
        if better {
            self.best = Some((number, auc.unwrap_or(f64::NEG_INFINITY)));
        }
        better
    }

    /// An epoch is done: reports it, and says whether it is the best so far (the latest, where there is no validation).
    ///
    /// # Errors
    /// [`VisionError::Diverged`] if the loss is not finite.
    pub fn note(&mut self, ctx: &FitContext<'_>, loss: f64, auc: Option<f64>) -> Result<bool, VisionError> {
        let number = self.epochs.len() + 1;
        if !loss.is_finite() {
            return Err(VisionError::Diverged { model: self.model, epoch: number });
        }
        self.epochs.push(Watched { loss, auc });
        ctx.progress.epoch(Epoch { number, of: self.of, train_loss: Some(loss), ..Epoch::default() });
        if let Some(auc) = auc {
            ctx.progress.stage(&format!("{}: epoch {number} has validation AUC {auc:.4}", self.model));
        }
        Ok(self.consider(number, auc))
    }

    /// As [`note`](Self::note), for fits without checkpoints: also ends one that somebody cancelled.
    ///
    /// # Errors
    /// As [`note`](Self::note), and [`FitError::Cancelled`].
    pub fn epoch(&mut self, ctx: &FitContext<'_>, loss: f64, auc: Option<f64>) -> Result<bool, VisionError> {
        let best = self.note(ctx, loss, auc)?;
        if ctx.cancel.is_cancelled() {
            return Err(FitError::Cancelled { epochs: self.epochs.len() }.into());
        }
        Ok(best)
    }

    /// Whether nothing better came for too long.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.best.is_some_and(|(number, _)| self.epochs.len() - number >= self.patience)
    }

    /// All epochs so far.
    #[must_use]
    pub fn epochs(&self) -> &[Watched] {
        &self.epochs
    }

    /// The best epoch, from 1, and its AUC.
    #[must_use]
    pub fn best(&self) -> Option<(usize, f64)> {
        self.best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_epoch_is_kept_and_patience_ends() {
        let ctx = FitContext::new(1);
        let mut watch = Watch::new("test", 9, 2);
        let better: Vec<bool> =
            [0.5, 0.7, 0.6, 0.7].iter().map(|&auc| watch.epoch(&ctx, 1.0, Some(auc)).unwrap()).collect();
        assert_eq!(better, [true, true, false, false]);
        assert!(watch.is_over());
        assert_eq!(watch.best(), Some((2, 0.7)));
        let again = Watch::new("test", 9, 2).resumed(watch.epochs().to_vec());
        assert_eq!(again.best(), watch.best());
        assert!(watch.epoch(&ctx, f64::NAN, None).unwrap_err().to_string().contains("epoch 5"));
        ctx.cancel.cancel();
        assert!(watch.epoch(&ctx, 1.0, None).is_err());
    }
}
