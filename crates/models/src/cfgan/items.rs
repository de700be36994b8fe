//! `i-cfgan`: items are cases, training users are places.

use foldin_core::{
    Capabilities, Feedback, FitContext, FitError, LoadError, ModelFamily, ModelParts, ScoreError, Tensor,
    TrainingData, UserView,
};
use foldin_nn::activation::Activation;
use foldin_nn::kernels::dot;

use super::config::CfganConfig;
use super::train::{Cases, Fitted, fit};
use crate::checks::training_number;
use crate::per_user::{PerUser, recommender};
use crate::ranking::CLICKS;

/// The family of `i-cfgan`.
#[derive(Clone, Copy, Debug)]
pub struct ICfgan;

impl ModelFamily for ICfgan {
    const NAME: &'static str = "i-cfgan";
    const SUMMARY: &'static str =
        "generator of an item's buyers against a discriminator; knows only training users";
    type Config = CfganConfig;
    type Model = ICfganModel;

    fn capabilities() -> Capabilities {
        Capabilities { new_users: false, ..CLICKS }
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<ICfganModel, FitError> {
        let Fitted { generator, clicks, cases } = fit(Self::NAME, Cases::Items, config, data, ctx)?;
        Ok(ICfganModel {
            width: generator.layers.last_width(),
            hidden: generator.encode(&cases).last().to_vec(),
            n_items: cases.n_rows(),
            users: generator.decoder.w.to_vec(),
            user_bias: generator.decoder_bias.w.to_vec(),
            output: generator.output,
            feedback: clicks.feedback(),
        })
    }

    fn load(mut parts: ModelParts) -> Result<ICfganModel, LoadError> {
        let hidden = parts.take("item_hidden", &[None, None])?;
        let output: Activation = parts.get("output_activation")?;
        if !output.parameters().is_empty() {
            return Err(LoadError::Meta { key: "output_activation".to_owned() });
        }
        Ok(ICfganModel {
            n_items: hidden.shape[0],
            width: hidden.shape[1],
            hidden: hidden.data,
            users: Vec::new(),
            user_bias: Vec::new(),
            output,
            feedback: parts.get("feedback")?,
        })
    }
}

/// A fitted `i-cfgan`. As it was fitted, it scores its training users; loaded from a folder it knows nobody.
#[derive(Clone, Debug)]
pub struct ICfganModel {
    n_items: usize,
    width: usize,
    /// `[n_items × width]`: the items' last hidden layer.
    hidden: Vec<f32>,
    /// `[n_users × width]`: what was learned for the training users. It stays in memory and is never saved.
    users: Vec<f32>,
    user_bias: Vec<f32>,
    output: Activation,
    feedback: Feedback,
}

impl PerUser for ICfganModel {
    type Family = ICfgan;
    /// The user's number.
    type State = usize;

    fn catalogue(&self) -> usize {
        self.n_items
    }

    fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    fn state(&self, user: &UserView<'_>) -> Result<usize, ScoreError> {
        training_number(ICfgan::NAME, user, self.user_bias.len())
    }

    fn value(&self, &user: &usize, item: usize) -> f32 {
        let row = &self.users[user * self.width..][..self.width];
        let z = self.user_bias[user] + dot(row, &self.hidden[item * self.width..][..self.width]);
        let mut out = [0.0];
        self.output.forward(&[], 1, &[z], &mut out);
        out[0]
    }

    fn notes(&self) -> Vec<String> {
        vec![
            "it learned a row for each training user, which is not saved: a saved model keeps the items' hidden units and can serve nobody"
                .to_owned(),
        ]
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let hidden = Tensor::new([self.n_items, self.width], self.hidden.clone());
        parts.tensors.insert("item_hidden".to_owned(), hidden);
        parts.set("output_activation", self.output);
        parts.set("feedback", self.feedback);
        parts
    }
}

recommender!(ICfganModel);
