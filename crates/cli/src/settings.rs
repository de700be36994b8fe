//! Model settings from `--config FILE.toml` and `--set key=value`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use foldin_core::registry::Settings;
use serde_json::Value;

use crate::common::usage;

/// Where settings come from; the flags that `train`, `evaluate` and others share.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct SettingsArgs {
    /// TOML file with settings of the model; `foldin models show MODEL` lists them
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, over those of --config; may be given often
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

impl SettingsArgs {
    /// Reads the file, then lays the single settings over it.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        let mut settings = match &self.config {
            Some(path) => from_file(path)?,
            None => Settings::new(),
        };
        for pair in &self.set {
            let (key, value) = parse_pair(pair)?;
            settings.insert(key, value);
        }
        Ok(settings)
    }
}

fn from_file(path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: toml::Table =
        toml::from_str(&text).with_context(|| format!("{} is not TOML", path.display()))?;
    to_settings(table).with_context(|| path.display().to_string())
}

/// TOML settings as JSON values.
pub(crate) fn to_settings(table: toml::Table) -> anyhow::Result<Settings> {
    match serde_json::to_value(table)? {
        Value::Object(map) => Ok(map),
        _ => Ok(Settings::new()),
    }
}

/// Splits `key=value`; the value is read as TOML (`0.1`, `true`, `[512, 128]`) and as a bare word otherwise.
fn parse_pair(pair: &str) -> anyhow::Result<(String, Value)> {
    let (key, text) = pair
        .split_once('=')
        .filter(|(key, _)| !key.trim().is_empty())
        .ok_or_else(|| usage(format!("`--set {pair}` is not KEY=VALUE, such as --set epochs=20")))?;
    let (key, text) = (key.trim().to_owned(), text.trim());
    let value = toml::from_str::<toml::Table>(&format!("value = {text}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .and_then(|value| serde_json::to_value(value).ok())
        .unwrap_or_else(|| Value::String(text.to_owned()));
    Ok((key, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_look() {
        for (pair, key, value) in [
            ("epochs=20", "epochs", Value::from(20)),
            ("learning_rate = 0.5", "learning_rate", Value::from(0.5)),
            ("batch_norm=false", "batch_norm", Value::from(false)),
            ("widths=[512, 128]", "widths", Value::from(vec![512, 128])),
            ("item_init=svd_raw", "item_init", Value::from("svd_raw")),
            ("factors=auto", "factors", Value::from("auto")),
        ] {
            assert_eq!(parse_pair(pair).unwrap(), (key.to_owned(), value), "{pair}");
        }
        assert!(parse_pair("epochs").is_err());
        assert!(parse_pair("=3").is_err());
    }
}
