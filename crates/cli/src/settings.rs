//! Model settings from `--config FILE.toml` and `--set key=value`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use foldin_core::config::ConfigKey;
use foldin_core::registry::Settings;
use foldin_core::{ConfigError, ModelEntry};
use serde_json::Value;

use crate::common::{Global, usage};

/// Where settings come from; the flags that `train`, `evaluate` and others share.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct SettingsArgs {
    /// TOML file with settings of the model; `foldin models show MODEL` lists them. A table with the name of a model is for that one alone
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, over those of --config; may be given often. MODEL.KEY=VALUE is for one of several models
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// A model that settings are for, by the name it goes by in this run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    /// Its label; the model's own name unless another was given.
    pub(crate) label: &'a str,
    /// The model.
    pub(crate) entry: &'static ModelEntry,
}

/// One setting as it was given.
struct Setting {
    /// The model it is for; all that have it if `None`.
    model: Option<String>,
    key: String,
    value: Value,
}

impl SettingsArgs {
    /// The settings of each model: of the file, then the single ones. A key without a model is for every model that has it,
    /// and goes before those with one.
    pub(crate) fn of_each(&self, targets: &[Target<'_>], global: &Global) -> anyhow::Result<Vec<Settings>> {
        let mut out = vec![Settings::new(); targets.len()];
        if let Some(path) = &self.config {
            let is_target = |name: &str| targets.iter().any(|target| target.is_called(name));
            let mut settings = Vec::new();
            for (key, value) in from_file(path)? {
                match value {
                    Value::Object(table) if is_target(&key) => {
                        settings.extend(table.into_iter().map(|(inner, value)| Setting {
                            model: Some(key.clone()),
                            key: inner,
                            value,
                        }));
                    }
                    value => settings.push(Setting { model: None, key, value }),
                }
            }
            lay_over(&mut out, targets, settings, global)?;
        }
        let single = self.set.iter().map(|pair| parse_setting(pair)).collect::<anyhow::Result<_>>()?;
        lay_over(&mut out, targets, single, global)?;
        for (target, settings) in targets.iter().zip(&out) {
            resolve(target.entry, settings)?;
        }
        Ok(out)
    }
}

impl Target<'_> {
    fn is_called(&self, name: &str) -> bool {
        self.label == name || self.entry.name == name
    }

    fn has(&self, key: &str) -> bool {
        self.entry.keys().iter().any(|known| known.key == key)
    }
}

fn lay_over(
    out: &mut [Settings],
    targets: &[Target<'_>],
    settings: Vec<Setting>,
    global: &Global,
) -> anyhow::Result<()> {
    let (plain, named): (Vec<_>, Vec<_>) = settings.into_iter().partition(|setting| setting.model.is_none());
    for Setting { model, key, value } in plain.into_iter().chain(named) {
        let meant: Vec<usize> = match &model {
            None => (0..targets.len()).filter(|&at| targets[at].has(&key)).collect(),
            // A label goes before the name of a model that several labels may share.
            Some(name) => {
                let labelled: Vec<usize> =
                    (0..targets.len()).filter(|&at| targets[at].label == name).collect();
                let of_model = || (0..targets.len()).filter(|&at| targets[at].entry.name == name).collect();
                if labelled.is_empty() { of_model() } else { labelled }
            }
        };
        if meant.is_empty() {
            return Err(nobodys(model.as_deref(), &key, &value, targets));
        }
        if meant.len() < targets.len() && model.is_none() {
            let names: Vec<&str> = meant.iter().map(|&at| targets[at].label).collect();
            global.remark(format!("note: `{key}` is a setting of {} alone", names.join(", ")));
        }
        for at in meant {
            out[at].insert(key.clone(), value.clone());
        }
    }
    Ok(())
}

/// Why a setting is for none of the models.
fn nobodys(model: Option<&str>, key: &str, value: &Value, targets: &[Target<'_>]) -> anyhow::Error {
    if let Some(model) = model {
        let labels: Vec<&str> = targets.iter().map(|target| target.label).collect();
        return usage(format!(
            "`{model}.{key}` is for a model called {model}, but those here are called {}",
            labels.join(", ")
        ));
    }
    let alone: Settings = [(key.to_owned(), value.clone())].into_iter().collect();
    let refusals: Vec<ConfigError> =
        targets.iter().filter_map(|target| target.entry.resolve(&alone).err()).collect();
    let suggests = |error: &&ConfigError| matches!(error, ConfigError::UnknownKey { nearest: Some(_), .. });
    match refusals.iter().find(suggests).or(refusals.first()) {
        Some(error) => usage(error.to_string()),
        None => usage(format!("no model here has a setting `{key}`")),
    }
}

/// The whole configuration of a model with these changes; what is wrong with them is an error of usage.
pub(crate) fn resolve(entry: &ModelEntry, settings: &Settings) -> anyhow::Result<Value> {
    entry.resolve(settings).map_err(|error| match &error {
        ConfigError::WrongType { model, key, value, .. } => {
            let known = entry.keys().into_iter().find(|known| known.key == *key);
            let must = known.map_or_else(String::new, |known| {
                format!(": it must be {} (the default is {})", kind_in_words(&known), known.default)
            });
            usage(format!("{model}: `{key}` cannot be {value}{must}; `foldin models show {model}` says more"))
        }
        _ => usage(error.to_string()),
    })
}

/// What a setting takes, such as `an integer ≥ 1`.
fn kind_in_words(known: &ConfigKey) -> String {
    let kind = match &*known.kind {
        "number" => "a number",
        "integer" => "an integer",
        "boolean" => "true or false",
        "list" => "a list",
        "text" => "a text",
        other => other,
    };
    if known.range.is_empty() { kind.to_owned() } else { format!("{kind} {}", known.range) }
}

fn from_file(path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: toml::Table =
        toml::from_str(&text).map_err(|error| usage(format!("{} is not TOML: {error}", path.display())))?;
    to_settings(table).with_context(|| path.display().to_string())
}

/// TOML settings as JSON values.
pub(crate) fn to_settings(table: toml::Table) -> anyhow::Result<Settings> {
    match serde_json::to_value(table)? {
        Value::Object(map) => Ok(map),
        _ => Ok(Settings::new()),
    }
}

/// Reads `KEY=VALUE` or `MODEL.KEY=VALUE`.
fn parse_setting(pair: &str) -> anyhow::Result<Setting> {
    let (name, value) = parse_pair(pair)?;
    Ok(match name.split_once('.') {
        Some((model, key)) => {
            Setting { model: Some(model.trim().to_owned()), key: key.trim().to_owned(), value }
        }
        None => Setting { model: None, key: name, value },
    })
}

/// Splits `key=value`; the value is read as TOML (`0.1`, `true`, `[512, 128]`) and as a bare word otherwise.
pub(crate) fn parse_pair(pair: &str) -> anyhow::Result<(String, Value)> {
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

    fn given(set: &[&str], models: &[(&'static str, &str)]) -> Result<Vec<Settings>, String> {
        let args = SettingsArgs { config: None, set: set.iter().map(|text| (*text).to_owned()).collect() };
        let targets: Vec<Target<'_>> = models
            .iter()
            .map(|(label, model)| Target { label, entry: foldin_models::registry::find(model).unwrap() })
            .collect();
        args.of_each(&targets, &Global::quiet()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_goes_to_the_models_that_have_it() {
        let models = [("bias", "bias"), ("wide", "bias-svd"), ("narrow", "bias-svd")];
        let settings = given(&["factors=8", "narrow.factors=4", "bias-svd.epochs=3"], &models).unwrap();
        assert!(settings[0].is_empty());
        assert_eq!((&settings[1]["factors"], &settings[1]["epochs"]), (&Value::from(8), &Value::from(3)));
        assert_eq!(settings[2]["factors"], 4);
        let error = given(&["factor=8"], &models).unwrap_err();
        assert!(error.contains("did you mean `factors`"), "{error}");
        let error = given(&["lfg.epochs=8"], &models).unwrap_err();
        assert!(error.contains("called bias, wide, narrow"), "{error}");
        let error = given(&["bias.factors=8"], &models).unwrap_err();
        assert!(error.contains("bias has no setting `factors`"), "{error}");
        let error = given(&["epochs=soon"], &models).unwrap_err();
        assert!(error.contains("integer") && !error.contains("usize"), "{error}");
    }
}
