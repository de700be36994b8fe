//! Scoring for models that answer one user at a time: something is made of the user once, and each item asked of it.
//!
//! Linear factor models have [`crate::linear`]; this is for those that are not linear in the user: neighbours, autoencoders,
//! Boltzmann machines, mixtures of local models. A model implements [`PerUser`], and `recommender!` makes a
//! [`Recommender`](foldin_core::Recommender) of it: calls are checked, users shared out to threads, and predictions clipped.

use foldin_core::{Feedback, ItemId, ModelFamily, ModelParts, ScoreError, UserView};
use rayon::prelude::*;

use crate::checks::{check_len, check_pairs};

/// A model that answers one user at a time.
pub trait PerUser: Sync {
    /// The family that fits it, whose name and capabilities it has.
    type Family: ModelFamily;
    /// What the model makes of a user before it looks at any item: hidden units, weighed neighbours, factors.
    type State: Send;

    /// Number of items of the catalogue.
    fn catalogue(&self) -> usize;

    /// What the ratings are.
    fn feedback(&self) -> &Feedback;

    /// Makes the state of a user, whose history was checked.
    ///
    /// # Errors
    /// [`ScoreError`], such as for a user whom the model cannot know.
    fn state(&self, user: &UserView<'_>) -> Result<Self::State, ScoreError>;

    /// The unclipped score of one item.
    fn value(&self, state: &Self::State, item: usize) -> f32;

    /// The unclipped scores of all items, the same bits as [`PerUser::value`] gives.
    fn values(&self, state: &Self::State, out: &mut [f32]) {
        for (item, out) in out.iter_mut().enumerate() {
            *out = self.value(state, item);
        }
    }

    /// [`Recommender::score`](foldin_core::Recommender::score). A model that has more to gain from several users at once than threads says
    /// so here, with the same bits.
    ///
    /// # Errors
    /// [`ScoreError`].
    fn scores(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError>
    where
        Self: Sized,
    {
        score(self, users, out)
    }

    /// [`Recommender::notes`](foldin_core::Recommender::notes).
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// [`Recommender::to_parts`](foldin_core::Recommender::to_parts).
    fn to_parts(&self) -> ModelParts;
}

/// Makes a [`Recommender`](foldin_core::Recommender) of a [`PerUser`].
macro_rules! recommender {
    ($model:ty) => {
        impl foldin_core::Recommender for $model {
            fn name(&self) -> &'static str {
                <<$model as $crate::per_user::PerUser>::Family as foldin_core::ModelFamily>::NAME
            }

            fn n_items(&self) -> usize {
                $crate::per_user::PerUser::catalogue(self)
            }

            fn capabilities(&self) -> foldin_core::Capabilities {
                <<$model as $crate::per_user::PerUser>::Family as foldin_core::ModelFamily>::capabilities()
            }

            fn score(
                &self,
                users: &[foldin_core::UserView<'_>],
                out: &mut [f32],
            ) -> Result<(), foldin_core::ScoreError> {
                $crate::per_user::PerUser::scores(self, users, out)
            }

            fn predict(
                &self,
                users: &[foldin_core::UserView<'_>],
                pairs: &[(u32, foldin_core::ItemId)],
                out: &mut [f32],
            ) -> Result<(), foldin_core::ScoreError> {
                $crate::per_user::predict(self, users, pairs, out)
            }

            fn notes(&self) -> Vec<String> {
                $crate::per_user::PerUser::notes(self)
            }

            fn to_parts(&self) -> foldin_core::ModelParts {
                $crate::per_user::PerUser::to_parts(self)
            }
        }
    };
}
pub(crate) use recommender;

fn state<M: PerUser>(model: &M, user: &UserView<'_>) -> Result<M::State, ScoreError> {
    user.check(model.catalogue())?;
    model.state(user)
}

/// [`Recommender::score`](foldin_core::Recommender::score).
///
/// # Errors
/// [`ScoreError`].
pub fn score<M: PerUser>(model: &M, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
    let n_items = model.catalogue();
    check_len("scores", users.len() * n_items, out.len())?;
    out.par_chunks_mut(n_items.max(1)).zip(users).try_for_each(|(out, user)| {
        model.values(&state(model, user)?, out);
        finite(out)
    })
}

/// [`Recommender::predict`](foldin_core::Recommender::predict). Each run of pairs of one user makes the user's state once.
///
/// # Errors
/// [`ScoreError`].
pub fn predict<M: PerUser>(
    model: &M,
    users: &[UserView<'_>],
    pairs: &[(u32, ItemId)],
    out: &mut [f32],
) -> Result<(), ScoreError> {
    check_len("predictions", pairs.len(), out.len())?;
    check_pairs(users.len(), model.catalogue(), pairs)?;
    let mut runs = Vec::new();
    let mut rest = out;
    for pairs in pairs.chunk_by(|one, next| one.0 == next.0) {
        let (out, after) = rest.split_at_mut(pairs.len());
        runs.push((pairs, out));
        rest = after;
    }
    runs.into_par_iter().try_for_each(|(pairs, out)| {
        let state = state(model, &users[pairs[0].0 as usize])?;
        for (out, &(_, item)) in out.iter_mut().zip(pairs) {
            *out = model.feedback().clip(model.value(&state, item.index()));
        }
        finite(out)
    })
}

/// Wants nothing but finite numbers.
///
/// # Errors
/// [`ScoreError::NotFinite`].
pub fn finite(values: &[f32]) -> Result<(), ScoreError> {
    if values.iter().all(|value| value.is_finite()) {
        Ok(())
    } else {
        Err(ScoreError::NotFinite { what: "a prediction" })
    }
}
