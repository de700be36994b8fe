//! `bias-svd`: factors and biases by gradient descent, `r̂_ui = μ + b_u + b_i + u_u·m_i`.
//!
//! Objective: [`crate::sgd`]. Koren, Bell, Volinsky (2009), "Matrix factorization techniques for recommender systems",
//! equations 4 and 5; the BiasSVD of the LFG paper's tables. We depart twice: the start is not random numbers but the truncated SVD of the filled
//! rating matrix, which knows who rated what; and after the descent each user's factors are solved for exactly given the items'
//! (`refit_users`). Each is worth about .01 RMSE on MovieLens; `start = "random"` with `refit_users = false` is the usual
//! form. Time O(epochs · ratings · k) and one fold-in a user; the same bits at any number of threads.

use foldin_core::{Capabilities, FitContext, FitError, LoadError, ModelFamily, ModelParts, TrainingData};

use crate::factorization::{FactorizationConfig, Form, fit};
use crate::linear::{FACTORS, Family, LinearFactors};

/// The family of `bias-svd`.
#[derive(Clone, Copy, Debug)]
pub struct BiasSvd;

const FAMILY: Family = Family { name: BiasSvd::NAME, capabilities: FACTORS };

const FORM: Form = Form { biases: true, centred: true, regularization: 0.077 };

impl ModelFamily for BiasSvd {
    const NAME: &'static str = "bias-svd";
    const SUMMARY: &'static str = "factors and biases of users and items, by gradient descent";
    type Config = FactorizationConfig;
    type Model = LinearFactors;

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
