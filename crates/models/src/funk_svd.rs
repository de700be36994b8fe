//! `funk-svd`: factors by gradient descent on the ratings less their mean, `r̂_ui = μ + u_u·m_i`.
//!
//! Objective: [`crate::sgd`] without biases. Simon Funk (2006), "Netflix update: try this at home". We depart in learning all factors at
//! once, not one after the other, and in not clipping while learning. The start is random, as his was constant. Time O(epochs ·
//! ratings · k); the same bits at any number of threads.

use foldin_core::{Capabilities, FitContext, FitError, LoadError, ModelFamily, ModelParts, TrainingData};

use crate::factorization::{FactorizationConfig, Form, Start, fit};
use crate::linear::{FACTORS, Family, LinearFactors};

/// The family of `funk-svd`.
#[derive(Clone, Copy, Debug)]
pub struct FunkSvd;

const FAMILY: Family = Family { name: FunkSvd::NAME, capabilities: FACTORS };

const FORM: Form = Form { biases: false, centred: true, regularization: 0.096 };

impl ModelFamily for FunkSvd {
    const NAME: &'static str = "funk-svd";
    const SUMMARY: &'static str = "factors without biases, by gradient descent";
    type Config = FactorizationConfig;
    type Model = LinearFactors;

    fn default_config() -> FactorizationConfig {
        FactorizationConfig {
            start: Start::Random,
            start_scale: 0.03,
            epochs: 80,
            learning_rate: 0.01,
            learning_rate_decay: 0.98,
            fold_in_ridge: 4.0,
            ..FactorizationConfig::default()
        }
    }

    fn capabilities() -> Capabilities {
        FAMILY.capabilities
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<LinearFactors, FitError> {
        fit(FAMILY, FORM, config, data, ctx)
    }

    fn load(parts: ModelParts) -> Result<LinearFactors, LoadError> {
        LinearFactors::load(FAMILY, parts)
    }
}
