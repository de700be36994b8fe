//! Settings of `lfg-bayes`.

use foldin_core::{Auto, ModelConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Training ratings from which on more factors and features pay.
const MANY_RATINGS: usize = 300_000;

/// Settings of `lfg-bayes`. Noise and priors are learned; what is left to set is sizes and what the priors may look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LfgBayesConfig {
    /// Number of factors k. Automatic: 20, or 50 from 300,000 training ratings on.
    #[schemars(range(min = 1, max = 256))]
    #[schemars(extend("search" = "log-integers:8:96"))]
    pub factors: Auto<usize>,
    /// Rounds of updating all users and then all items.
    #[schemars(range(min = 1, max = 1000))]
    #[schemars(extend("search" = "integers:10:60"))]
    pub iterations: usize,
    /// Standard deviation of the items' first random factors, in standard deviations of the ratings.
    #[schemars(range(min = 0.001, max = 1.0))]
    pub initial_noise: f64,
    /// Ridge penalty of the regressions that give the priors their means (the constant is free), in units of one user or item.
    #[schemars(range(min = 0.001, max = 1_000_000.0))]
    pub ridge: f64,
    /// Whether the prior of users looks at side information of users.
    pub user_side: bool,
    /// Whether the prior of items looks at side information of items.
    pub item_side: bool,
    /// Number of co-occurrence features in the prior of items. Automatic: 30, or 50 from 300,000 training ratings on.
    #[schemars(range(min = 0, max = 512))]
    #[schemars(extend("search" = "integers:0:60"))]
    pub cooccurrence_features: Auto<usize>,
    /// Number of features in the prior of users that say what they rated, whatever the ratings; 0 leaves them out.
    #[schemars(range(min = 0, max = 512))]
    #[schemars(extend("search" = "integers:0:40"))]
    pub user_implicit_features: usize,
    /// Random parts of each training user's history that the priors of users with few ratings are fitted on, for each of 0, 1,
    /// 2, 4, 8, … ratings; 0 gives every user the prior of whole histories.
    #[schemars(range(min = 0, max = 64))]
    pub subsampled_histories: usize,
}

impl Default for LfgBayesConfig {
    fn default() -> Self {
        Self {
            factors: Auto::Auto,
            iterations: 30,
            initial_noise: 0.1,
            ridge: 50.0,
            user_side: true,
            item_side: true,
            cooccurrence_features: Auto::Auto,
            user_implicit_features: 20,
            subsampled_histories: 4,
        }
    }
}

impl ModelConfig for LfgBayesConfig {}

/// Sizes after looking at the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) factors: usize,
    pub(super) cooccurrence: usize,
}

impl LfgBayesConfig {
    pub(super) fn sizes(&self, n_ratings: usize) -> Sizes {
        let many = n_ratings >= MANY_RATINGS;
        Sizes {
            factors: self.factors.or_else(|| if many { 50 } else { 20 }),
            cooccurrence: self.cooccurrence_features.or_else(|| if many { 50 } else { 30 }),
        }
    }
}
