//! A model family behind plain functions, so that it can stand in a list.

use serde_json::{Map, Value};

use crate::config::{ConfigKey, describe, overlay, to_map};
use crate::error::{ConfigError, FitError, LoadError};
use crate::fit::{FitContext, ModelFamily, TrainingData};
use crate::model::{Capabilities, ModelParts, Recommender};

/// Changes to a model's default settings, by key.
pub type Settings = Map<String, Value>;

type FitFunction =
    fn(&Settings, &TrainingData<'_>, &FitContext<'_>) -> Result<Box<dyn Recommender>, FitError>;

/// One entry of the registry.
#[derive(Clone, Copy, Debug)]
pub struct ModelEntry {
    /// Name on the command line and in model folders.
    pub name: &'static str,
    /// One line on what it is.
    pub summary: &'static str,
    /// What its models offer.
    pub capabilities: Capabilities,
    keys: fn() -> Vec<ConfigKey>,
    resolve: fn(&Settings) -> Result<Value, ConfigError>,
    fit: FitFunction,
    load: fn(ModelParts) -> Result<Box<dyn Recommender>, LoadError>,
}

impl ModelEntry {
    /// The entry of a family.
    #[must_use]
    pub fn of<F: ModelFamily>() -> Self {
        Self {
            name: F::NAME,
            summary: F::SUMMARY,
            capabilities: F::capabilities(),
            keys: || describe(&F::default_config()),
            resolve: |settings| {
                let config = overlay(F::NAME, &F::default_config(), settings)?;
                Ok(Value::Object(to_map(&config)))
            },
            fit: |settings, data, ctx| {
                let config = overlay(F::NAME, &F::default_config(), settings)?;
                Ok(Box::new(F::fit(&config, data, ctx)?))
            },
            load: |parts| Ok(Box::new(F::load(parts)?)),
        }
    }

    /// Every setting with its default, range and meaning.
    #[must_use]
    pub fn keys(&self) -> Vec<ConfigKey> {
        (self.keys)()
    }

    /// The whole configuration that these changes lead to.
    ///
    /// # Errors
    /// [`ConfigError`] for an unknown key or an unusable value.
    pub fn resolve(&self, settings: &Settings) -> Result<Value, ConfigError> {
        (self.resolve)(settings)
    }

    /// Fits a model with these changes to its defaults.
    ///
    /// # Errors
    /// [`FitError`].
    pub fn fit(
        &self,
        settings: &Settings,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<Box<dyn Recommender>, FitError> {
        (self.fit)(settings, data, ctx)
    }

    /// Rebuilds a saved model.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(&self, parts: ModelParts) -> Result<Box<dyn Recommender>, LoadError> {
        (self.load)(parts)
    }
}
