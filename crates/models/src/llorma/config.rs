//! Settings of `llorma`.

use foldin_core::ModelConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is predicted where no anchor reaches and the global model has no weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// What the global model says.
    Global,
    /// The middle of the rating scale, as the authors' toolkit does.
    Middle,
}

/// Settings of `llorma`. Defaults were chosen on slices of training parts of MovieLens 1M, and looked at on 100K.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlormaConfig {
    /// Number of anchors, each with a model of its own. The authors use 50; more help a little and cost in proportion.
    #[schemars(range(min = 1, max = 10000))]
    pub anchors: usize,
    /// Number of factors of each local model. Alone, each would do best with fewer; their mean evens out what one has too many.
    #[schemars(range(min = 1, max = 256))]
    #[schemars(extend("search" = "integers:5:25"))]
    pub factors: usize,
    /// Distance from the anchor, in right angles (0 to 2), from which on a user has no weight; above 2 nobody is without.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "uniform:0.5:1.2"))]
    pub user_bandwidth: f32,
    /// Distance from the anchor, in right angles (0 to 2), from which on an item has no weight; above 2 none is without.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "uniform:0.5:1.2"))]
    pub item_bandwidth: f32,
    /// Ridge λ on the local factors of a user or item, for ratings in quarters of their scale; a rating at the anchor weighs 1.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:0.1:10"))]
    pub regularization: f32,
    /// Ridge on the local bias of a user or item, which comes on top of a bias that is the same for all anchors.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub bias_regularization: f32,
    /// Times that all users and then all items of a local model are solved for.
    #[schemars(range(min = 1, max = 1000))]
    pub iterations: usize,
    /// Standard deviation of the items' first random factors, in quarters of the scale.
    #[schemars(range(max = 10.0), extend("exclusiveMinimum" = 0.0))]
    pub start_scale: f32,
    /// Number of factors of the global model, a `bias-svd` with its own defaults, which measures distances.
    #[schemars(range(min = 1, max = 1024))]
    pub global_factors: usize,
    /// Weight of the global model in every prediction, for each anchor there is; an anchor right at the user and the item weighs 1. 0 is the authors' way.
    #[schemars(range(min = 0.0, max = 1000.0))]
    #[schemars(extend("search" = "log:0.01:3"))]
    pub global_weight: f32,
    /// What is predicted where no anchor reaches, if `global_weight` is 0; without effect otherwise.
    pub fallback: Fallback,
}

impl Default for LlormaConfig {
    fn default() -> Self {
        Self {
            anchors: 50,
            factors: 14,
            user_bandwidth: 1.15,
            item_bandwidth: 1.15,
            regularization: 3.0,
            bias_regularization: 4.0,
            iterations: 8,
            start_scale: 0.1,
            global_factors: 50,
            global_weight: 0.12,
            fallback: Fallback::Global,
        }
    }
}

impl ModelConfig for LlormaConfig {}
