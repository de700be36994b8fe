//! The fitted form of every linear factor model: `r̂_ui = μ + b_u + b_i + u_u·q_i`.
//!
//! What differs between these models is how the items' side is learned. The rest is the same for all and lives here: how a
//! user gets factors (learned ones for a training user while the model is in memory, a ridge fold-in for everybody else), how
//! pairs and whole catalogues are scored, and what a model folder keeps. A model without factors (`k = 0`) is only biases.

use foldin_core::{
    Capabilities, Factors, Feedback, FitError, Generator, Interactions, ItemFactors, ItemId, LoadError,
    ModelParts, Recommender, ScoreError, Tensor, TrainingData, UserView,
};
use rayon::prelude::*;

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
};

/// Capabilities of a linear factor model.
pub const FACTORS: Capabilities = Capabilities { generator: true, ..BASELINE };

/// How a user without learned factors gets some.
#[derive(Clone, Debug, PartialEq)]
pub enum UserRule {
    /// Everybody is the same: no factors, no bias.
    Same,
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

/// A fitted linear factor model.
#[derive(Clone, Debug)]
pub struct LinearFactors {
    family: Family,
    items: ItemFactors,
    feedback: Feedback,
    rule: UserRule,
}

impl LinearFactors {
    /// Wraps learned parts.
    #[must_use]
    pub fn new(family: Family, items: ItemFactors, feedback: Feedback, rule: UserRule) -> Self {
        Self { family, items, feedback, rule }
    }

    /// Rebuilds a model from what [`Recommender::to_parts`] gave.
    ///
    /// # Errors
    /// [`LoadError`] for missing or misshapen parts.
    pub fn load(family: Family, mut parts: ModelParts) -> Result<Self, LoadError> {
        let bias = parts.take("item_bias", &[None])?.data;
        let m = parts.take("item_factors", &[Some(bias.len()), None])?;
        let items = ItemFactors { k: m.shape[1], m: m.data, bias, mean: parts.get("mean")? };
        Ok(Self::new(family, items, parts.get("feedback")?, UserRule::Same))
    }

    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        users.iter().try_for_each(|user| user.check(self.items.bias.len()))?;
        let k = self.items.k;
        match self.rule {
            UserRule::Same => Ok(Factors {
                k,
                u: vec![0.0; users.len() * k],
                bias: vec![0.0; users.len()],
                covariance: None,
            }),
        }
    }

    fn value(&self, factors: &Factors, user: usize, item: usize) -> f32 {
        let dot: f32 = factors.row(user).iter().zip(self.items.row(item)).map(|(u, m)| u * m).sum();
        self.items.mean + factors.bias[user] + self.items.bias[item] + dot
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
        if out.len() != users.len() * n_items {
            return Err(ScoreError::Shape {
                what: "scores",
                expected: users.len() * n_items,
                got: out.len(),
            });
        }
        let factors = self.generate(users)?;
        out.par_chunks_mut(n_items.max(1)).enumerate().for_each(|(user, row)| {
            row.iter_mut().enumerate().for_each(|(item, score)| *score = self.value(&factors, user, item));
        });
        Ok(())
    }

    fn predict(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        if out.len() != pairs.len() {
            return Err(ScoreError::Shape { what: "predictions", expected: pairs.len(), got: out.len() });
        }
        let n_items = self.n_items();
        for &(user, item) in pairs {
            if user as usize >= users.len() {
                return Err(ScoreError::Shape {
                    what: "position of a user",
                    expected: users.len(),
                    got: user as usize,
                });
            }
            if item.index() >= n_items {
                return Err(ScoreError::UnknownItem { item: item.0, n_items });
            }
        }
        let factors = self.generate(users)?;
        out.par_iter_mut().with_min_len(1024).zip(pairs).for_each(|(out, &(user, item))| {
            *out = self.feedback.clip(self.value(&factors, user as usize, item.index()));
        });
        Ok(())
    }

    fn as_generator(&self) -> Option<&dyn Generator> {
        self.family.capabilities.generator.then_some(self)
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let (n, k) = (self.n_items(), self.items.k);
        parts.tensors.insert("item_bias".to_owned(), Tensor::new([n], self.items.bias.clone()));
        parts.tensors.insert("item_factors".to_owned(), Tensor::new([n, k], self.items.m.clone()));
        parts.set("mean", self.items.mean);
        parts.set("feedback", self.feedback);
        parts
    }
}

impl Generator for LinearFactors {
    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        self.generate(users)
    }

    fn items(&self) -> &ItemFactors {
        &self.items
    }
}
