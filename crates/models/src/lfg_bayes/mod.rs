//! `lfg-bayes`: the generator as a closed-form posterior under learned priors.
//!
//! `r_ui = μ + b_u + b_i + u_u·q_i + e`, `e ~ N(0, σ²)`; with `x_u = [u_u; b_u]` and `y_i = [q_i; b_i]`, priors
//! `x_u ~ N(B_u'φ_u, Λ_u⁻¹)` and `y_i ~ N(B_i'ψ_i, Λ_i⁻¹)`.

mod by_count;
mod config;
mod history;
mod model;
mod prior;
mod serve;
mod step;
mod train;

use foldin_core::{Capabilities, FitContext, FitError, LoadError, ModelFamily, ModelParts, TrainingData};

pub use config::LfgBayesConfig;
pub use model::LfgBayesModel;

/// The family of `lfg-bayes`.
#[derive(Clone, Copy, Debug)]
pub struct LfgBayes;

impl ModelFamily for LfgBayes {
    const NAME: &'static str = "lfg-bayes";
    const SUMMARY: &'static str =
        "closed-form posterior of a user's factors under learned priors, with its uncertainty";
    type Config = LfgBayesConfig;
    type Model = LfgBayesModel;

    fn capabilities() -> Capabilities {
        Capabilities {
            new_users: true,
            generator: true,
            uncertainty: true,
            user_features: true,
            item_features: true,
            explicit: true,
            implicit: false,
        }
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<LfgBayesModel, FitError> {
        train::fit(config, data, ctx)
    }

    fn load(parts: ModelParts) -> Result<LfgBayesModel, LoadError> {
        LfgBayesModel::load(parts)
    }
}
