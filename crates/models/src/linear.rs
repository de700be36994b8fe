//! The fitted form of every linear factor model: `r̂_ui = μ + b_u + b_i + u_u·m_i`.
//!
//! What differs between these models is how the items' side is learned. The rest is the same for all and lives here: how a
//! user gets factors (learned ones for a training user while the model is in memory, a [fold-in](crate::fold_in) for
//! everybody else), how pairs and whole catalogues are scored, and what a model folder keeps. A model without factors
//! (`k = 0`) is only biases.

use foldin_core::{
    Capabilities, Factors, Feedback, FitError, Generator, Interactions, ItemFactors, ItemId, LoadError,
    ModelParts, Recommender, ScoreError, Tensor, TrainingData, UserView,
};
use foldin_nn::kernel;
use foldin_nn::kernels::{dot, dot_in};
use rayon::prelude::*;

use crate::checks::{check_len, check_pairs};
use crate::click_fold_in::ClickFoldIn;
use crate::fold_in::FoldIn;

/// What the models of one family share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Name in the registry.
    pub name: &'static str,
    /// What they offer.
    pub capabilities: Capabilities,
}

/// Capabilities of a model of biases alone.
pub const BASELINE: Capabilities = Capabilities {
    new_users: true,
    generator: false,
    uncertainty: false,
    user_features: false,
    item_features: false,
    explicit: true,
    implicit: false,
    keeps_histories: false,
};

/// Capabilities of a linear factor model.
pub const FACTORS: Capabilities = Capabilities { generator: true, ..BASELINE };

/// Factors learned for the training users. They stay in memory and are never saved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserFactors {
    /// `[n_users × k]`, row-major.
    pub u: Vec<f32>,
    /// `[n_users]`.
    pub bias: Vec<f32>,
}

/// The ratings of the training data, for models that learn from explicit ones.
///
/// # Errors
/// [`FitError::WrongFeedback`] for implicit data, [`FitError::TooLittleData`] without any rating.
pub fn explicit_ratings<'a>(
    model: &'static str,
    data: &TrainingData<'a>,
) -> Result<&'a Interactions, FitError> {
    let ratings = data.interactions;
    if ratings.feedback().scale().is_none() {
        return Err(FitError::WrongFeedback { model, expected: "explicit", got: "implicit" });
    }
    if ratings.is_empty() {
        return Err(FitError::TooLittleData { model, need: "at least one rating", have: "none".to_owned() });
    }
    Ok(ratings)
}

/// How a user gets factors from a history.
#[derive(Clone, Debug)]
pub enum NewUsers {
    /// From ratings.
    Ratings(FoldIn),
    /// From clicks.
    Clicks(ClickFoldIn),
}

impl From<FoldIn> for NewUsers {
    fn from(fold_in: FoldIn) -> Self {
        Self::Ratings(fold_in)
    }
}

impl From<ClickFoldIn> for NewUsers {
    fn from(fold_in: ClickFoldIn) -> Self {
        Self::Clicks(fold_in)
    }
}

impl NewUsers {
    fn generate(&self, items: &ItemFactors, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        match self {
            Self::Ratings(fold_in) => fold_in.generate(items, users),
            Self::Clicks(fold_in) => fold_in.generate(items, users),
        }
    }

    fn to_parts(&self, parts: &mut ModelParts) {
        match self {
            Self::Ratings(fold_in) => fold_in.to_parts(parts),
            Self::Clicks(fold_in) => fold_in.to_parts(parts),
        }
    }

    fn from_parts(parts: &mut ModelParts, items: &ItemFactors) -> Result<Self, LoadError> {
        Ok(match ClickFoldIn::from_parts(parts, items)? {
            Some(of_clicks) => Self::Clicks(of_clicks),
            None => Self::Ratings(FoldIn::from_parts(parts, items.k, items.bias.len())?),
        })
    }
}

/// A fitted linear factor model.
#[derive(Clone, Debug)]
pub struct LinearFactors {
    family: Family,
    items: ItemFactors,
    feedback: Feedback,
    /// How a user gets factors; without it, everybody has none and no bias.
    fold_in: Option<NewUsers>,
    users: Option<UserFactors>,
    notes: Vec<String>,
}

impl LinearFactors {
    /// A model in which every user is the same: no factors, no bias.
    #[must_use]
    pub fn new(family: Family, items: ItemFactors, feedback: Feedback) -> Self {
        Self { family, items, feedback, fold_in: None, users: None, notes: Vec::new() }
    }

    /// Folds users in by `fold_in`, but for the training users, whose factors are `users`.
    #[must_use]
    pub fn with_users(self, fold_in: impl Into<NewUsers>, users: Option<UserFactors>) -> Self {
        Self { fold_in: Some(fold_in.into()), users, ..self }
    }

    /// Forgets the factors of the training users, who are then folded in like everybody else.
    #[must_use]
    pub fn without_users(self) -> Self {
        Self { users: None, ..self }
    }

    /// Adds a remark for [`Recommender::notes`].
    #[must_use]
    pub fn with_note(mut self, note: String) -> Self {
        self.notes.push(note);
        self
    }

    /// Factors learned for the training users, `[n_users × k]` and their biases; only in the model as it was fitted, not in
    /// one that was loaded.
    #[must_use]
    pub fn user_factors(&self) -> Option<&UserFactors> {
        self.users.as_ref()
    }

    /// Factors and biases of the items.
    #[must_use]
    pub fn item_factors(&self) -> &ItemFactors {
        &self.items
    }

    /// How new users are folded in, if users differ at all.
    #[must_use]
    pub fn fold_in(&self) -> Option<&NewUsers> {
        self.fold_in.as_ref()
    }

    /// Rebuilds a model from what [`Recommender::to_parts`] gave.
    ///
    /// # Errors
    /// [`LoadError`] for missing or misshapen parts.
    pub fn load(family: Family, mut parts: ModelParts) -> Result<Self, LoadError> {
        let bias = parts.take("item_bias", &[None])?.data;
        let m = parts.take("item_factors", &[Some(bias.len()), None])?;
        let items = ItemFactors { k: m.shape[1], m: m.data, bias, mean: parts.get("mean")? };
        let fold_in =
            if parts.get("folds_in")? { Some(NewUsers::from_parts(&mut parts, &items)?) } else { None };
        let notes = parts.get("notes")?;
        Ok(Self { family, items, feedback: parts.get("feedback")?, fold_in, users: None, notes })
    }

    /// Factors of each user: learned ones where there are any, folded in otherwise.
    fn factors(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        let k = self.items.k;
        users.iter().try_for_each(|user| user.check(self.items.bias.len()))?;
        let mut out =
            Factors { k, u: vec![0.0; users.len() * k], bias: vec![0.0; users.len()], covariance: None };
        let mut new = Vec::new();
        for (at, user) in users.iter().enumerate() {
            let known = user.trained_as.map(foldin_core::UserId::index);
            match (&self.users, known) {
                (Some(learned), Some(user)) if user < learned.bias.len() => {
                    out.u[at * k..(at + 1) * k].copy_from_slice(&learned.u[user * k..(user + 1) * k]);
                    out.bias[at] = learned.bias[user];
                }
                _ => new.push(at),
            }
        }
        let Some(fold_in) = self.fold_in.as_ref().filter(|_| !new.is_empty()) else { return Ok(out) };
        if new.len() == users.len() {
            return fold_in.generate(&self.items, users);
        }
        let views: Vec<UserView<'_>> = new.iter().map(|&at| users[at]).collect();
        let folded = fold_in.generate(&self.items, &views)?;
        for (from, &at) in new.iter().enumerate() {
            out.u[at * k..(at + 1) * k].copy_from_slice(folded.row(from));
            out.bias[at] = folded.bias[from];
        }
        Ok(out)
    }
}

kernel! {
    /// `out[i] = base + bias[i] + u·m_i` for every item.
    pub(crate) fn score_items(simd, u: &[f32], base: f32, items: &ItemFactors, out: &mut [f32]) {
        for (item, (out, &bias)) in out.iter_mut().zip(&items.bias).enumerate() {
            *out = base + bias + dot_in(simd, u, items.row(item));
        }
    }
}

impl Recommender for LinearFactors {
    fn name(&self) -> &'static str {
        self.family.name
    }

    fn n_items(&self) -> usize {
        self.items.bias.len()
    }

    fn capabilities(&self) -> Capabilities {
        self.family.capabilities
    }

    fn score(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
        let n_items = self.n_items();
        check_len("scores", users.len() * n_items, out.len())?;
        let factors = self.factors(users)?;
        out.par_chunks_mut(n_items.max(1)).enumerate().for_each(|(user, out)| {
            score_items(factors.row(user), self.items.mean + factors.bias[user], &self.items, out);
        });
        Ok(())
    }

    fn predict(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        check_len("predictions", pairs.len(), out.len())?;
        check_pairs(users.len(), self.n_items(), pairs)?;
        let factors = self.factors(users)?;
        out.par_iter_mut().with_min_len(4096).zip(pairs).for_each(|(out, &(user, item))| {
            let (user, item) = (user as usize, item.index());
            let base = self.items.mean + factors.bias[user];
            let score = base + self.items.bias[item] + dot(factors.row(user), self.items.row(item));
            *out = self.feedback.clip(score);
        });
        Ok(())
    }

    fn as_generator(&self) -> Option<&dyn Generator> {
        self.family.capabilities.generator.then_some(self)
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let (n, k) = (self.n_items(), self.items.k);
        parts.tensors.insert("item_bias".to_owned(), Tensor::new([n], self.items.bias.clone()));
        parts.tensors.insert("item_factors".to_owned(), Tensor::new([n, k], self.items.m.clone()));
        if let Some(fold_in) = &self.fold_in {
            fold_in.to_parts(&mut parts);
        }
        parts.set("folds_in", self.fold_in.is_some());
        parts.set("mean", self.items.mean);
        parts.set("feedback", self.feedback);
        parts.set("notes", &self.notes);
        parts
    }
}

impl Generator for LinearFactors {
    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        self.factors(users)
    }

    fn items(&self) -> &ItemFactors {
        &self.items
    }
}
