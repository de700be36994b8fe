//! The families, and what they serve with.

use foldin_core::{
    Capabilities, Factors, FitContext, FitError, Generator, ItemFactors, ItemId, LoadError, ModelFamily,
    ModelParts, Recommender, ScoreError, TrainingData, UserView,
};
use foldin_nn::activation::Activation;

use super::config::{LfgSoftmaxConfig, MultVaeConfig, Plan};
use super::network::Network;
use super::train::fit;
use crate::per_user::{PerUser, predict, recommender, score};
use crate::ranking::CLICKS;
use crate::user_network::{Input, UserNetwork};

/// The family of `mult-vae`.
#[derive(Clone, Copy, Debug)]
pub struct MultVae;

/// The family of `lfg-softmax`.
#[derive(Clone, Copy, Debug)]
pub struct LfgSoftmax;

impl ModelFamily for MultVae {
    const NAME: &'static str = "mult-vae";
    const SUMMARY: &'static str = "variational autoencoder of histories, multinomial over all items";
    type Config = MultVaeConfig;
    type Model = UserNetwork<Self>;

    fn capabilities() -> Capabilities {
        CLICKS
    }

    fn fit(
        config: &MultVaeConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<Self::Model, FitError> {
        let network = fit(Self::NAME, &Plan::from(config), data, ctx)?;
        Ok(serving(&network, data))
    }

    fn load(parts: ModelParts) -> Result<Self::Model, LoadError> {
        UserNetwork::load(parts)
    }
}

impl ModelFamily for LfgSoftmax {
    const NAME: &'static str = "lfg-softmax";
    const SUMMARY: &'static str = "factors generated from the history, multinomial over all items";
    type Config = LfgSoftmaxConfig;
    type Model = UserNetwork<Self>;

    fn capabilities() -> Capabilities {
        Capabilities { generator: true, ..CLICKS }
    }

    fn fit(
        config: &LfgSoftmaxConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<Self::Model, FitError> {
        let network = fit(Self::NAME, &Plan::from(config), data, ctx)?;
        Ok(serving(&network, data))
    }

    fn load(parts: ModelParts) -> Result<Self::Model, LoadError> {
        UserNetwork::load(parts)
    }
}

/// Somebody without a history gets the items' biases alone, which is how popular they are.
fn serving<F>(network: &Network, data: &TrainingData<'_>) -> UserNetwork<F> {
    let (items, bias) = (network.items.w.to_vec(), network.item_bias.w.to_vec());
    let output = (items, bias.clone(), Activation::Identity);
    UserNetwork::new(network.serving(), output, bias, data.interactions.feedback()).reading(Input::Unit)
}

recommender!(UserNetwork<MultVae>);

impl Recommender for UserNetwork<LfgSoftmax> {
    fn name(&self) -> &'static str {
        LfgSoftmax::NAME
    }

    fn n_items(&self) -> usize {
        self.catalogue()
    }

    fn capabilities(&self) -> Capabilities {
        LfgSoftmax::capabilities()
    }

    fn score(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
        score(self, users, out)
    }

    fn predict(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        predict(self, users, pairs, out)
    }

    fn as_generator(&self) -> Option<&dyn Generator> {
        Some(self)
    }

    fn notes(&self) -> Vec<String> {
        PerUser::notes(self)
    }

    fn to_parts(&self) -> ModelParts {
        PerUser::to_parts(self)
    }
}

impl Generator for UserNetwork<LfgSoftmax> {
    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        self.factors(users)
    }

    fn items(&self) -> &ItemFactors {
        self.item_factors()
    }
}
