//! `u-rbm` and `i-rbm`: restricted Boltzmann machines.

mod config;
mod levels;
mod machine;
mod model;
mod predict;
mod step;
mod train;

#[cfg(test)]
mod tests;

use foldin_core::{Capabilities, FitContext, FitError, LoadError, ModelFamily, ModelParts, TrainingData};

pub use config::{Chain, Form, RbmConfig};
pub use model::{ItemRbmModel, UserRbmModel};

use crate::linear::BASELINE;
use train::Side;

/// The family of `u-rbm`.
#[derive(Clone, Copy, Debug)]
pub struct UserRbm;

/// The family of `i-rbm`.
#[derive(Clone, Copy, Debug)]
pub struct ItemRbm;

impl ModelFamily for UserRbm {
    const NAME: &'static str = "u-rbm";
    const SUMMARY: &'static str =
        "restricted Boltzmann machine: hidden units from a user's ratings, levels from these";
    type Config = RbmConfig;
    type Model = UserRbmModel;

    fn capabilities() -> Capabilities {
        BASELINE
    }

    fn fit(
        config: &RbmConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<UserRbmModel, FitError> {
        let trained = train::fit(Self::NAME, Side::Users, config, data, ctx)?;
        Ok(UserRbmModel::new(trained, data.interactions.feedback()))
    }

    fn load(parts: ModelParts) -> Result<UserRbmModel, LoadError> {
        UserRbmModel::load(parts)
    }
}

impl ModelFamily for ItemRbm {
    const NAME: &'static str = "i-rbm";
    const SUMMARY: &'static str =
        "restricted Boltzmann machine of items: hidden units from an item's ratings";
    type Config = RbmConfig;
    type Model = ItemRbmModel;

    fn capabilities() -> Capabilities {
        Capabilities { new_users: false, ..BASELINE }
    }

    fn default_config() -> RbmConfig {
        RbmConfig::items()
    }

    fn fit(
        config: &RbmConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<ItemRbmModel, FitError> {
        let trained = train::fit(Self::NAME, Side::Items, config, data, ctx)?;
        Ok(ItemRbmModel::new(trained, data.interactions.feedback()))
    }

    fn load(parts: ModelParts) -> Result<ItemRbmModel, LoadError> {
        ItemRbmModel::load(parts)
    }
}
