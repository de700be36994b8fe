//! The registry, as the command line asks it.

use foldin_core::ModelEntry;

use crate::common::usage;

/// The model of a name; an unknown name is a usage error that suggests the nearest.
pub(crate) fn find(name: &str) -> anyhow::Result<&'static ModelEntry> {
    foldin_models::registry::find(name).map_err(|error| usage(error.to_string()))
}
