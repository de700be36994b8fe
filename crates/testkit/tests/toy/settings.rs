//! The toy behind settings that are wrong in themselves.

use std::marker::PhantomData;

use foldin_core::{
    Capabilities, FitContext, FitError, LoadError, ModelConfig, ModelFamily, ModelParts, TrainingData,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

use super::model::{Toy, ToyConfig, ToyModel};

/// The toy with settings `C`, none of which it reads.
pub(crate) struct With<C>(PhantomData<C>);

impl<C: ModelConfig> ModelFamily for With<C> {
    const NAME: &'static str = Toy::NAME;
    const SUMMARY: &'static str = Toy::SUMMARY;
    type Config = C;
    type Model = ToyModel;

    fn capabilities() -> Capabilities {
        Toy::capabilities()
    }

    fn fit(_: &C, data: &TrainingData<'_>, ctx: &FitContext<'_>) -> Result<ToyModel, FitError> {
        Toy::fit(&ToyConfig::default(), data, ctx)
    }

    fn load(parts: ModelParts) -> Result<ToyModel, LoadError> {
        Toy::load(parts)
    }
}

/// A setting without a word of explanation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Undocumented {
    knob: u32,
}

/// A setting that takes anything.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Careless {
    /// How far the knob is turned, in whatever form.
    knob: serde_json::Value,
}

/// A setting that is not written as it was read.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Forgetful {
    /// How far the knob is turned, in steps.
    #[serde(serialize_with = "one_more")]
    knob: u32,
}

fn one_more<S: Serializer>(knob: &u32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(knob + 1)
}

impl ModelConfig for Undocumented {}
impl ModelConfig for Careless {}
impl ModelConfig for Forgetful {}
