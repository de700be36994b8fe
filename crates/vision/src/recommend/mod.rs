//! Recommenders that look at pictures, and those they are compared with.
//!
//! | file | models |
//! | --- | --- |
//! | [`baselines`] | `random`, `popularity` |
//! | [`mod@pairwise`] | `bpr`, `vbpr`: factors by pairs of items, of items themselves or of their features |
//! | [`vis_rank`] | `vis-rank`: what looks like the purchases |
//! | [`dvbpr`] | `dvbpr`: a network trained end to end |
//! | [`folder`] | what is served: one of them, or `visual-sum`, several together; on disk |
//! | [`training`] | from purchases to what is served |
//! | [`linear`] | what all linear ones are once they are fitted, and how they take a new user |
//!
//! A fitted model is a [`Scorer`]. Those of users seen in training use what was learned of them; [`linear::LinearModel::fold_in`] makes the
//! same of anybody's purchases without training.

pub mod baselines;
pub mod dvbpr;
pub mod folder;
pub mod linear;
pub mod pairwise;
pub mod training;
pub mod vis_rank;

use crate::error::VisionError;

/// A fitted model, asked for scores.
pub trait Scorer: Send + Sync {
    /// What it is called in reports.
    fn name(&self) -> &str;

    /// The score of every item for a training user; `out` has one place for each item.
    ///
    /// # Errors
    /// [`VisionError::Shape`] for a user or a length that does not exist.
    fn scores(&self, user: u32, out: &mut [f32]) -> Result<(), VisionError>;
}

/// Checks what every [`Scorer::scores`] is asked.
pub(crate) fn check(user: u32, n_users: usize, out: &[f32], n_items: usize) -> Result<(), VisionError> {
    if user as usize >= n_users {
        return Err(VisionError::shape("user number", format!("below {n_users}"), user));
    }
    if out.len() != n_items {
        return Err(VisionError::shape("scores", n_items, out.len()));
    }
    Ok(())
}
