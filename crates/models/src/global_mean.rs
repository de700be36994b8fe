//! `global-mean`: every prediction is the mean of the training ratings.
//!
//! The floor under every other model: `r̂ = μ`. Time O(ratings), memory O(1), deterministic without a seed.

use foldin_core::{
    Capabilities, FitContext, FitError, ItemFactors, LoadError, ModelConfig, ModelFamily, ModelParts,
    TrainingData,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linear::{BASELINE, Family, LinearFactors, explicit_ratings};

/// `global-mean` has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalMeanConfig {}

impl ModelConfig for GlobalMeanConfig {}

/// The family of `global-mean`.
#[derive(Clone, Copy, Debug)]
pub struct GlobalMean;

const FAMILY: Family = Family { name: GlobalMean::NAME, capabilities: BASELINE };

impl ModelFamily for GlobalMean {
    const NAME: &'static str = "global-mean";
    const SUMMARY: &'static str = "the mean of all ratings, for everybody and everything";
    type Config = GlobalMeanConfig;
    type Model = LinearFactors;

    fn capabilities() -> Capabilities {
        FAMILY.capabilities
    }

    fn fit(_: &Self::Config, data: &TrainingData<'_>, _: &FitContext<'_>) -> Result<LinearFactors, FitError> {
        let ratings = explicit_ratings(Self::NAME, data)?;
        let items = ItemFactors {
            k: 0,
            m: Vec::new(),
            bias: vec![0.0; ratings.n_items()],
            mean: ratings.mean() as f32,
        };
        Ok(LinearFactors::new(FAMILY, items, ratings.feedback()))
    }

    fn load(parts: ModelParts) -> Result<LinearFactors, LoadError> {
        LinearFactors::load(FAMILY, parts)
    }
}
