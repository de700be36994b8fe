//! `u-cfgan` and `cfgan-aaf`: users are cases.

use foldin_core::{Capabilities, FitContext, FitError, LoadError, ModelFamily, ModelParts, TrainingData};
use foldin_nn::activation::Activation;

use super::config::CfganConfig;
use super::train::{Cases, Fitted, fit};
use crate::per_user::recommender;
use crate::ranking::CLICKS;
use crate::user_network::{UserNetwork, popularity};

/// The family of `u-cfgan`.
#[derive(Clone, Copy, Debug)]
pub struct UCfgan;

/// The family of `cfgan-aaf`.
#[derive(Clone, Copy, Debug)]
pub struct CfganAaf;

impl ModelFamily for UCfgan {
    const NAME: &'static str = "u-cfgan";
    const SUMMARY: &'static str = "generator of a user's purchases against a discriminator";
    type Config = CfganConfig;
    type Model = UserNetwork<Self>;

    fn capabilities() -> Capabilities {
        CLICKS
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<Self::Model, FitError> {
        of_users(Self::NAME, config, data, ctx)
    }

    fn load(parts: ModelParts) -> Result<Self::Model, LoadError> {
        UserNetwork::load(parts)
    }
}

impl ModelFamily for CfganAaf {
    const NAME: &'static str = "cfgan-aaf";
    const SUMMARY: &'static str = "u-cfgan, four layers deep, with trained activations";
    type Config = CfganConfig;
    type Model = UserNetwork<Self>;

    fn capabilities() -> Capabilities {
        CLICKS
    }

    fn default_config() -> CfganConfig {
        CfganConfig {
            hidden: vec![400; 4],
            hidden_activation: Activation::Mpelu,
            output_activation: Activation::Tanh,
            ..CfganConfig::default()
        }
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<Self::Model, FitError> {
        of_users(Self::NAME, config, data, ctx)
    }

    fn load(parts: ModelParts) -> Result<Self::Model, LoadError> {
        UserNetwork::load(parts)
    }
}

fn of_users<F>(
    model: &'static str,
    config: &CfganConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<UserNetwork<F>, FitError> {
    let Fitted { generator, clicks, .. } = fit(model, Cases::Users, config, data, ctx)?;
    let mut layers = generator.layers.serving();
    layers[0].weights = generator.encoder().to_rows();
    let output = (generator.decoder.w.to_vec(), generator.decoder_bias.w.to_vec(), generator.output);
    Ok(UserNetwork::new(layers, output, popularity(&clicks), clicks.feedback()))
}

recommender!(UserNetwork<UCfgan>);
recommender!(UserNetwork<CfganAaf>);
