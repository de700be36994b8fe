//! `random` and `popularity`: what a model must beat.
//!
//! `random` scores each pair of user and item by chance. `popularity` scores an item by how often it was bought in the training part:
//! `x_ui = |{v : (v, i) in train}|`. Both cost O(items) for each user. On catalogues where most items were bought once or not at all,
//! popularity ranks the held-out items below chance.

use foldin_core::random::{Random, child_seed, numbered_seed};

use crate::data::LeaveOneOut;
use crate::error::VisionError;
use crate::recommend::{Scorer, check};

/// Scores by chance, the same for the same seed, user and item.
#[derive(Clone, Debug)]
pub struct RandomScores {
    seed: u64,
    n_users: usize,
    n_items: usize,
}

impl RandomScores {
    /// For the users and items of a split.
    #[must_use]
    pub fn new(split: &LeaveOneOut, seed: u64) -> Self {
        let (n_users, n_items) = (split.train.n_users(), split.train.n_items());
        Self { seed: child_seed(seed, "random scores"), n_users, n_items }
    }
}

impl Scorer for RandomScores {
    fn name(&self) -> &'static str {
        "random"
    }

    fn scores(&self, user: u32, out: &mut [f32]) -> Result<(), VisionError> {
        check(user, self.n_users, out, self.n_items)?;
        let mut random = Random::new(numbered_seed(self.seed, "user", u64::from(user)));
        out.iter_mut().for_each(|score| *score = random.uniform() as f32);
        Ok(())
    }
}

/// How often each item was bought.
#[derive(Clone, Debug)]
pub struct Popularity {
    n_users: usize,
    counts: Vec<f32>,
}

impl Popularity {
    /// Counts the training part.
    #[must_use]
    pub fn new(split: &LeaveOneOut) -> Self {
        let counts = split.item_counts().into_iter().map(|count| count as f32).collect();
        Self { n_users: split.train.n_users(), counts }
    }
}

impl Scorer for Popularity {
    fn name(&self) -> &'static str {
        "popularity"
    }

    fn scores(&self, user: u32, out: &mut [f32]) -> Result<(), VisionError> {
        check(user, self.n_users, out, self.counts.len())?;
        out.copy_from_slice(&self.counts);
        Ok(())
    }
}
