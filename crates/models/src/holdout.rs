//! A validation slice cut from the training part, and stopping when it no longer improves.

use foldin_core::Interactions;
use foldin_core::random::{Random, numbered_seed};

/// Ratings to learn from, and some of the same users' ratings to watch while learning.
#[derive(Clone, Debug)]
pub struct Holdout {
    /// What is learned from; users and items numbered as before.
    pub train: Interactions,
    /// What is watched: `(user, item, value)`, by user and then by item.
    pub validation: Vec<(u32, u32, f32)>,
}

impl Holdout {
    /// Holds out `fraction` of each user's ratings, rounded at random so that the whole slice has that size on average, but never
    /// a user's only rating. Each user's draw comes from the user's own child seed.
    #[must_use]
    pub fn cut(ratings: &Interactions, fraction: f64, seed: u64) -> Self {
        let by_user = ratings.by_user();
        let mut keep = vec![true; ratings.len()];
        let mut order: Vec<usize> = Vec::new();
        for user in 0..ratings.n_users() {
            order.clear();
            order.extend(by_user.range(user));
            if order.len() < 2 {
                continue;
            }
            let mut random = Random::new(numbered_seed(seed, "holdout", user as u64));
            let held = (order.len() as f64 * fraction + random.uniform()).floor() as usize;
            random.shuffle(&mut order);
            for &at in &order[..held.min(order.len() - 1)] {
                keep[at] = false;
            }
        }
        let validation =
            by_user.triples().zip(&keep).filter(|(_, keep)| !**keep).map(|(triple, _)| triple).collect();
        Self { train: ratings.filter(&keep), validation }
    }
}

/// Remembers the best epoch and tells when to stop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    /// Epochs without improvement after which to stop.
    pub patience: usize,
    /// The lowest validation RMSE so far; infinite before the first epoch.
    pub best: f64,
    /// The epoch (from 1) that had it; 0 before the first.
    pub best_epoch: usize,
}

impl EarlyStopping {
    /// Before the first epoch.
    #[must_use]
    pub fn new(patience: usize) -> Self {
        Self { patience, best: f64::INFINITY, best_epoch: 0 }
    }

    /// Notes the RMSE of an epoch; true if it is the best so far.
    pub fn improved(&mut self, epoch: usize, rmse: f64) -> bool {
        if rmse < self.best {
            (self.best, self.best_epoch) = (rmse, epoch);
            return true;
        }
        false
    }

    /// Whether `epoch` is so long after the best one that it is time to stop; never if nothing was noted.
    #[must_use]
    pub fn is_over(&self, epoch: usize) -> bool {
        self.best_epoch > 0 && epoch >= self.best_epoch + self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Csr, Feedback, RatingScale};

    #[test]
    fn the_two_parts_make_the_whole_and_no_user_is_emptied() {
        let triples: Vec<(u32, u32, f32)> =
            (0..50).flat_map(|user| (0..=user % 9).map(move |item| (user, item, 3.0))).collect();
        let scale = RatingScale { min: 1.0, max: 5.0, step: None };
        let csr = Csr::from_triples(50, 9, &triples).unwrap();
        let ratings = Interactions::new(csr, None, Feedback::Explicit(scale)).unwrap();
        let Holdout { train, validation } = Holdout::cut(&ratings, 0.3, 1);
        let mut all: Vec<_> = train.by_user().triples().chain(validation.iter().copied()).collect();
        all.sort_by_key(|&(user, item, _)| (user, item));
        assert_eq!(all, triples);
        assert!((0..50).all(|user| train.by_user().row_len(user) > 0));
        let share = validation.len() as f64 / ratings.len() as f64;
        assert!((share - 0.3).abs() < 0.06, "{share}");
        assert!(Holdout::cut(&ratings, 0.0, 1).validation.is_empty());
    }

    #[test]
    fn stops_after_patience() {
        let mut stopping = EarlyStopping::new(2);
        assert!(stopping.improved(1, 1.0) && stopping.improved(2, 0.9));
        assert!(!stopping.improved(3, 0.9) && !stopping.is_over(3));
        assert!(!stopping.improved(4, 0.95) && stopping.is_over(4));
        assert_eq!(stopping.best_epoch, 2);
    }
}
