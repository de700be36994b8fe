//! The fitted models: a machine that knows how to read a history, and one that knows its training users alone.

use foldin_core::{Feedback, LoadError, ModelFamily, ModelParts, ScoreError, Tensor, UserView};

use super::levels::Levels;
use super::machine::{Machine, Shape};
use super::predict::Predictor;
use super::train::Trained;
use super::{ItemRbm, UserRbm};
use crate::checks::training_number;
use crate::per_user::{PerUser, recommender};

/// A fitted `u-rbm`.
#[derive(Clone, Debug)]
pub struct UserRbmModel {
    predictor: Predictor,
    feedback: Feedback,
}

impl UserRbmModel {
    pub(super) fn new(trained: Trained, feedback: Feedback) -> Self {
        Self { predictor: trained.predictor, feedback }
    }

    pub(super) fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        let feedback: Feedback = parts.get("feedback")?;
        let levels = feedback
            .scale()
            .and_then(|scale| Levels::new(scale).ok())
            .ok_or_else(|| LoadError::Meta { key: "feedback".to_owned() })?;
        let conditional = parts.get("conditional")?;
        let visible_bias = parts.take("visible_bias", &[None, Some(levels.len())])?;
        let hidden_bias = parts.take("hidden_bias", &[None])?;
        let shape = Shape {
            units: visible_bias.shape[0],
            levels: levels.len(),
            hidden: hidden_bias.shape[0],
            conditional,
        };
        if shape.hidden == 0 {
            return Err(LoadError::TensorShape {
                name: "hidden_bias".to_owned(),
                expected: vec![1],
                got: vec![0],
            });
        }
        let weights = parts.take("weights", &[Some(shape.units), Some(shape.rows()), Some(shape.hidden)])?;
        let machine = Machine {
            shape,
            weights: weights.data,
            visible_bias: visible_bias.data,
            hidden_bias: hidden_bias.data,
        };
        Ok(Self { predictor: Predictor::new(machine, levels, parts.get("prediction")?), feedback })
    }
}

impl PerUser for UserRbmModel {
    type Family = UserRbm;
    /// Probabilities of the hidden units.
    type State = Vec<f32>;

    fn catalogue(&self) -> usize {
        self.predictor.machine.shape.units
    }

    fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    fn state(&self, user: &UserView<'_>) -> Result<Vec<f32>, ScoreError> {
        // A rating that the scale does not have counts as the nearest one that it has.
        let levels: Vec<u8> = user.values.iter().map(|&value| self.predictor.levels.level(value)).collect();
        Ok(self.predictor.hidden(user.items, &levels))
    }

    fn value(&self, hidden: &Vec<f32>, item: usize) -> f32 {
        self.predictor.rating(hidden, item)
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let Machine { shape, weights, visible_bias, hidden_bias } = &self.predictor.machine;
        for (name, sizes, values) in [
            ("weights", vec![shape.units, shape.rows(), shape.hidden], weights),
            ("visible_bias", vec![shape.units, shape.levels], visible_bias),
            ("hidden_bias", vec![shape.hidden], hidden_bias),
        ] {
            parts.tensors.insert(name.to_owned(), Tensor::new(sizes, values.clone()));
        }
        parts.set("feedback", self.feedback);
        parts.set("conditional", shape.conditional);
        parts.set("prediction", self.predictor.form);
        parts
    }
}

recommender!(UserRbmModel);

/// A fitted `i-rbm`. Its weights belong to the training users, so that they stay in memory and are never saved: a model that was
/// loaded knows nobody.
#[derive(Clone, Debug)]
pub struct ItemRbmModel {
    /// `[n_items × hidden_units]`: probabilities of each item's hidden units.
    hidden: Tensor,
    feedback: Feedback,
    users: Option<Predictor>,
}

impl ItemRbmModel {
    pub(super) fn new(trained: Trained, feedback: Feedback) -> Self {
        let width = trained.predictor.machine.shape.hidden;
        let hidden = Tensor::new([trained.hidden.len() / width, width], trained.hidden);
        Self { hidden, feedback, users: Some(trained.predictor) }
    }

    pub(super) fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        let hidden = parts.take("item_hidden", &[None, None])?;
        Ok(Self { hidden, feedback: parts.get("feedback")?, users: None })
    }

    /// Probabilities of an item's hidden units.
    ///
    /// # Panics
    /// If there is no such item.
    #[must_use]
    pub fn hidden(&self, item: usize) -> &[f32] {
        let width = self.hidden.shape[1];
        &self.hidden.data[item * width..(item + 1) * width]
    }
}

impl PerUser for ItemRbmModel {
    type Family = ItemRbm;
    /// The predictor, and the user's number in training.
    type State = usize;

    fn catalogue(&self) -> usize {
        self.hidden.shape[0]
    }

    fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    fn state(&self, user: &UserView<'_>) -> Result<usize, ScoreError> {
        let known = self.users.as_ref().map_or(0, |predictor| predictor.machine.shape.units);
        training_number(ItemRbm::NAME, user, known)
    }

    fn value(&self, &user: &usize, item: usize) -> f32 {
        // Without users no state is made, so that nothing is asked here.
        self.users.as_ref().map_or(0.0, |predictor| predictor.rating(self.hidden(item), user))
    }

    fn notes(&self) -> Vec<String> {
        vec!["knows its training users alone, and them only until it is saved".to_owned()]
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        parts.tensors.insert("item_hidden".to_owned(), self.hidden.clone());
        parts.set("feedback", self.feedback);
        parts
    }
}

recommender!(ItemRbmModel);
