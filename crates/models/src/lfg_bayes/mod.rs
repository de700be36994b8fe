//! `lfg-bayes`: the generator as a closed-form posterior under learned priors. Ours; the interface is that of the LFG paper (a
//! user's factors from history and side information in one pass), the network's place is taken by Bayes' rule.
//!
//! Model: `r_ui = μ + b_u + b_i + u_u·q_i + e`, `e ~ N(0, σ²)`; with `x_u = [u_u; b_u]`, `y_i = [q_i; b_i]` and `f_i = [q_i; 1]`,
//! priors `x_u ~ N(B_u'φ_u, Λ_u⁻¹)`, `y_i ~ N(B_i'ψ_i, Λ_i⁻¹)`, `Λ` diagonal. Features `φ_u`: constant, side information, what the user
//! rated whatever the ratings (`history`); `ψ_i`: constant, side information, popularity, co-occurrence
//! ([`item_design`](crate::item_design)). All of it is there only where the data have it.
//!
//! Fit (mean field, `q(x_u) = N(x̄, X)`, `q(y_i) = N(ȳ, Y)`), each iteration:
//! 1. users: `P = Λ_u + (1/σ²) Σ_i E[f_i f_i']`, `X = P⁻¹`, `x̄ = X (Λ_u B_u'φ_u + (1/σ²) Σ_i (f̄_i (r − μ) − E[f_i b_i]))`, where the
//!    expectations add the blocks of `Y`; items: the same with roles exchanged;
//! 2. `B` by ridge regression of the posterior means on the features; from the third iteration on
//!    `Λ = 1 / mean((posterior mean − prior mean)² + posterior variance)` for each dimension;
//! 3. `σ²` = mean expected squared residual. The train RMSE reported is that at the posterior means, which is less
//!    (above 250,000 ratings that of every n-th user, so that it costs next to nothing).
//!
//! A user to be served, known or new, is one user step: no iteration, and nothing is kept of training users. The variance
//! of a rating is `σ² + f'Xf + x'Yx + tr(X Y)`, bias terms included. Priors depend on how many ratings were given
//! (`by_count`): a prior that looks at whole histories would mislead about users with few ratings.
//!
//! Cost of an iteration: `R K²` additions and `(U + N) K³` multiplications for `R` ratings, `U` users, `N` items, `K = k + 1`; memory
//! `2 (U + N) K²` bytes for the second moments, and 12 MiB of sums. Ratings are standardised first, so that
//! nothing depends on their scale. Same seed, same data: same bits at any number of threads (sums over fixed chunks, merged
//! in order).

mod by_count;
mod config;
mod history;
mod model;
mod prior;
mod serve;
mod step;
#[cfg(test)]
mod tests;
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
            keeps_histories: false,
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
