//! Settings, checked before anything is read: types and ranges as their schema says, then what cannot stand together.

use foldin_core::config::{ModelConfig, overlay, to_map};

use crate::error::VisionError;

/// The same settings, if they can be used.
///
/// # Errors
/// [`VisionError::Config`], which names the setting and its range.
pub(crate) fn checked<C: ModelConfig>(model: &str, config: &C) -> Result<C, VisionError> {
    Ok(overlay(model, config, &to_map(config))?)
}
