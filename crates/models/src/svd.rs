//! `svd`: the truncated SVD of the filled rating matrix, `√S` given to each side, tuned by gradient descent on the observed cells:
//! `r̂_ui = u_u·m_i`, without biases.
//!
//! Objective: [`crate::sgd`] without biases. The SVD of the LFG paper (§2.1): `A = U S V'`, user factors `U√S`, item factors `√S V'`, truncated to `k`, then
//! gradient descent. Cells that are not rated are filled with nought, one step below the lowest rating. The paper does not say how
//! it fills, at which rate it descends or when it stops. We depart twice: the start is scaled down (`start_scale`), as
//! full `√S` begins so close to a matrix of noughts that the descent ends higher; and after the descent each user's factors are
//! solved for exactly given the items' (`refit_users`). Time O(12 · ratings · k) for the SVD and O(epochs · ratings · k) for the descent;
//! the same bits at any number of threads. Factors of both sides: [`LinearFactors::user_factors`], [`LinearFactors::item_factors`].

use foldin_core::{Capabilities, FitContext, FitError, LoadError, ModelFamily, ModelParts, TrainingData};

use crate::factorization::{FactorizationConfig, Form, fit};
use crate::linear::{FACTORS, Family, LinearFactors};

/// The family of `svd`.
#[derive(Clone, Copy, Debug)]
pub struct Svd;

const FAMILY: Family = Family { name: Svd::NAME, capabilities: FACTORS };

const FORM: Form = Form { biases: false, centred: false, regularization: 0.115 };

impl ModelFamily for Svd {
    const NAME: &'static str = "svd";
    const SUMMARY: &'static str = "truncated SVD of the filled rating matrix, tuned by gradient descent";
    type Config = FactorizationConfig;
    type Model = LinearFactors;

    fn default_config() -> FactorizationConfig {
        FactorizationConfig { learning_rate: 0.015, fold_in_ridge: 8.0, ..FactorizationConfig::default() }
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
