//! The registry, as the command line asks it.

use std::path::Path;

use anyhow::bail;
use foldin_core::ModelEntry;
use foldin_models::folder::LoadedModel;

use crate::common::usage;

/// The model of a name; an unknown name is a usage error that suggests the nearest.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static ModelEntry> {
    foldin_models::registry::find(name).map_err(|error| usage(error.to_string()))
}

/// Loads a model folder that can serve a user from a history.
pub(crate) fn load_serving(folder: &Path) -> anyhow::Result<LoadedModel> {
    let loaded = load(folder)?;
    if !loaded.model.capabilities().new_users {
        bail!(
            "{} learned each user by heart and cannot serve from a history; train a model whose row in `foldin models` says `yes` under new users",
            loaded.model.name()
        );
    }
    Ok(loaded)
}

/// Loads a model folder.
pub(crate) fn load(folder: &Path) -> anyhow::Result<LoadedModel> {
    if !folder.join("manifest.json").exists() {
        bail!(
            "{} is not a model folder: it has no manifest.json; `foldin train … --out {}` makes one",
            folder.display(),
            folder.display()
        );
    }
    Ok(foldin_models::folder::load(folder)?)
}
