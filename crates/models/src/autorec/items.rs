//! `i-autorec`: items are cases, training users are places.

use foldin_core::{
    Capabilities, Feedback, FitContext, FitError, LoadError, ModelFamily, ModelParts, ScoreError, Tensor,
    TrainingData, UserView,
};
use foldin_nn::activation::Activation;
use foldin_nn::blocks::View;
use foldin_nn::kernels::dot;

use super::config::AutoRecConfig;
use super::train::{Cases, Fitted, Scaling, fit};
use super::unseen::Fallback;
use crate::checks::training_number;
use crate::linear::BASELINE;
use crate::per_user::{PerUser, recommender};

/// The family of `i-autorec`.
#[derive(Clone, Copy, Debug)]
pub struct IAutoRec;

impl ModelFamily for IAutoRec {
    const NAME: &'static str = "i-autorec";
    const SUMMARY: &'static str = "autoencoder of an item's ratings; knows only training users";
    type Config = AutoRecConfig;
    type Model = IAutoRecModel;

    fn capabilities() -> Capabilities {
        Capabilities { new_users: false, ..BASELINE }
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<IAutoRecModel, FitError> {
        let Fitted { network, ratings, scaling, by_case } = fit(Self::NAME, Cases::Items, config, data, ctx)?;
        let hidden = network.hidden_of(&by_case).view().to_rows();
        let width = network.last_width();
        let by_user = ratings.by_user();
        let users = TrainingUsers {
            rows: View::new(network.places, width, &network.decoder.w).to_rows(),
            bias: network.decoder_bias.w.to_vec(),
            known: (0..by_user.n_rows()).map(|user| by_user.row_len(user) > 0).collect(),
        };
        Ok(IAutoRecModel {
            width,
            hidden,
            users,
            output_activation: config.output_activation,
            parameters: network.output.w.to_vec(),
            stretch: network.stretch,
            scaling,
            fallback: Fallback::new(config.unseen, &ratings),
            feedback: ratings.feedback(),
        })
    }

    fn load(mut parts: ModelParts) -> Result<IAutoRecModel, LoadError> {
        let fallback = Fallback::load(&mut parts)?;
        let hidden = parts.take("item_hidden", &[Some(fallback.len()), None])?;
        Ok(IAutoRecModel {
            width: hidden.shape[1],
            hidden: hidden.data,
            users: TrainingUsers::default(),
            output_activation: parts.get("output_activation")?,
            parameters: parts.get("output_parameters")?,
            stretch: parts.get("stretch")?,
            scaling: Scaling { unit: parts.get("unit")?, zero: parts.get("zero")? },
            fallback,
            feedback: parts.get("feedback")?,
        })
    }
}

/// What was learned for the training users. It stays in memory and is never saved.
#[derive(Clone, Debug, Default)]
struct TrainingUsers {
    /// W: `[n_users × width]`.
    rows: Vec<f32>,
    /// b.
    bias: Vec<f32>,
    /// Whether a user had ratings to learn from.
    known: Vec<bool>,
}

/// A fitted `i-autorec`. As it was fitted, it scores its training users; loaded from a folder it knows nobody.
#[derive(Clone, Debug)]
pub struct IAutoRecModel {
    width: usize,
    /// `[n_items × width]`: the items' last hidden layer.
    hidden: Vec<f32>,
    users: TrainingUsers,
    output_activation: Activation,
    parameters: Vec<f32>,
    stretch: (f32, f32),
    scaling: Scaling,
    fallback: Fallback,
    feedback: Feedback,
}

impl IAutoRecModel {
    /// `[n_items × width]`: hidden units of the items, the width, and nothing of any user.
    #[must_use]
    pub fn item_hidden(&self) -> (&[f32], usize) {
        (&self.hidden, self.width)
    }
}

impl PerUser for IAutoRecModel {
    type Family = IAutoRec;
    /// The user's number if the network learned them, and what else to add to an item's own prediction.
    type State = (Option<usize>, f32);

    fn catalogue(&self) -> usize {
        self.fallback.len()
    }

    fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    fn state(&self, user: &UserView<'_>) -> Result<Self::State, ScoreError> {
        let number = training_number(IAutoRec::NAME, user, self.users.bias.len())?;
        Ok((self.users.known[number].then_some(number), self.fallback.of_user(user)))
    }

    fn value(&self, &(user, bias): &Self::State, item: usize) -> f32 {
        match user {
            Some(user) if self.fallback.knows(item) => {
                let row = &self.users.rows[user * self.width..][..self.width];
                let z = self.users.bias[user] + dot(row, &self.hidden[item * self.width..][..self.width]);
                let mut y = [0.0];
                self.output_activation.forward(&self.parameters, 1, &[z], &mut y);
                self.scaling.write(y[0] * self.stretch.0 + self.stretch.1)
            }
            _ => self.fallback.of_item(item) + bias,
        }
    }

    fn notes(&self) -> Vec<String> {
        vec![
            "it learned a row for each training user, which is not saved: a saved model keeps the items' hidden units and can serve nobody"
                .to_owned(),
        ]
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let hidden = Tensor::new([self.fallback.len(), self.width], self.hidden.clone());
        parts.tensors.insert("item_hidden".to_owned(), hidden);
        self.fallback.to_parts(&mut parts);
        parts.set("output_activation", self.output_activation);
        parts.set("output_parameters", &self.parameters);
        parts.set("stretch", self.stretch);
        parts.set("unit", self.scaling.unit);
        parts.set("zero", self.scaling.zero);
        parts.set("feedback", self.feedback);
        parts
    }
}

recommender!(IAutoRecModel);
