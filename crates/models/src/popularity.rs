//! `popularity`: an item's score is the number of users who took it.
//!
//! The floor under every model that ranks, and what is left to say to somebody of whom nothing is known: `s_ui = |{v : v took i}|`.
//! Time O(interactions), memory O(items), deterministic without a seed.

use foldin_core::{
    Capabilities, FitContext, FitError, ItemFactors, LoadError, ModelConfig, ModelFamily, ModelParts,
    TrainingData,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linear::{Family, LinearFactors};
use crate::ranking::{CLICKS, implicit_interactions};

/// `popularity` has no settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PopularityConfig {}

impl ModelConfig for PopularityConfig {}

/// The family of `popularity`.
#[derive(Clone, Copy, Debug)]
pub struct Popularity;

const FAMILY: Family = Family { name: Popularity::NAME, capabilities: CLICKS };

impl ModelFamily for Popularity {
    const NAME: &'static str = "popularity";
    const SUMMARY: &'static str = "how many users took the item, for everybody";
    type Config = PopularityConfig;
    type Model = LinearFactors;

    fn capabilities() -> Capabilities {
        FAMILY.capabilities
    }

    fn fit(_: &Self::Config, data: &TrainingData<'_>, _: &FitContext<'_>) -> Result<LinearFactors, FitError> {
        let clicks = implicit_interactions(Self::NAME, data)?;
        let by_item = clicks.by_item();
        let bias = (0..clicks.n_items()).map(|item| by_item.row_len(item) as f32).collect();
        let items = ItemFactors { k: 0, m: Vec::new(), bias, mean: 0.0 };
        Ok(LinearFactors::new(FAMILY, items, clicks.feedback()))
    }

    fn load(parts: ModelParts) -> Result<LinearFactors, LoadError> {
        LinearFactors::load(FAMILY, parts)
    }
}
