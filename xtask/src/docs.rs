//! `docs/config.md` and the table of `docs/activations.md`: every setting of every model, and every activation, as the binary itself
//! describes them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::metadata::Metadata;

const PATH: &str = "docs/config.md";

const HEAD: &str = "\
# Settings of every model

Written by `cargo xtask docs` from what `foldin models show MODEL --json` says; do not edit. Give a setting with
`--set key=value`, or many in a TOML file with `--config`; `foldin models show MODEL --toml` prints one to start from.
";

const ACTIVATIONS: &str = "docs/activations.md";

/// The page up to its table. The picture takes training, so it is drawn by hand with the commands stated.
const ACTIVATIONS_HEAD: &str = "\
# Activations

Written by `cargo xtask docs` from what `foldin models activations --json` says; do not edit. Every network with a setting
`hidden_activation` or `activation` takes each of them, `lfg` and `lfg-plus` among them, where `leaky_relu` has the slope `leaky_slope`.
`s` is the logistic function 1/(1 + e⁻ˣ). Trained parameters start as stated and
are put back into their range after each step; they belong to each unit of a layer or to all of a layer (`activation_sharing`), those of an
output always to all. Parameters marked *follows* are running moments of what comes in: in training each step moves them a tenth of
the way to those of its batch, in serving they stay.

![Curves of all activations](activations.svg)

Grey: as they start. Where there are parameters, thin lines are four units of the hidden layer of a `u-autorec` trained on MovieLens 100K, and
the thick line is the mean of all its units. Drawn by

```sh
for a in prelu pelu mpelu gated abu slope arelu swish apl dice; do
  foldin train --data ml-100k --model u-autorec --set hidden_activation=$a --set 'hidden=[100]' --out curves/$a
done
foldin models activations --svg docs/activations.svg $(for d in curves/*; do echo --learned $d; done)
```

| activation | formula | trained: start, range | shared by | source |
| --- | --- | --- | --- | --- |
";

#[derive(Debug, Deserialize)]
struct Activation {
    name: String,
    formula: String,
    parameters: Vec<Parameter>,
    sharing: Vec<String>,
    source: String,
}

#[derive(Debug, Deserialize)]
struct Parameter {
    name: String,
    initial: f32,
    min: f32,
    max: f32,
    follows: bool,
}

#[derive(Debug, Deserialize)]
struct Listed {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Model {
    name: String,
    summary: String,
    settings: Vec<Setting>,
}

#[derive(Debug, Deserialize)]
struct Setting {
    key: String,
    kind: String,
    default: Value,
    range: String,
    meaning: String,
}

/// Writes the files, or with `check` fails if one is not what would be written.
pub(crate) fn run(check: bool) -> Result<String, String> {
    let foldin = build()?;
    let listed: Vec<Listed> = ask(&foldin, &["models", "--json"])?;
    let models: Vec<Model> = listed
        .iter()
        .map(|model| ask(&foldin, &["models", "show", &model.name, "--json"]))
        .collect::<Result<_, _>>()?;
    let activations: Vec<Activation> = ask(&foldin, &["models", "activations", "--json"])?;
    let pages = [(PATH, page(&models)), (ACTIVATIONS, activations_page(&activations))];
    for (path, text) in &pages {
        if check && !std::fs::read_to_string(path).is_ok_and(|held| held == *text) {
            return Err(format!("docs: {path} is out of date; run `cargo xtask docs`"));
        }
        if !check {
            std::fs::write(path, text).map_err(|error| format!("{path}: {error}"))?;
        }
    }
    let done = if check { "up to date" } else { "written" };
    Ok(format!(
        "docs: {PATH} and {ACTIVATIONS} {done}, {} models, {} activations",
        models.len(),
        activations.len()
    ))
}

/// Builds the binary as the tests do (the same features, so that nothing is built twice) and returns its path.
pub(crate) fn build() -> Result<PathBuf, String> {
    let status = Command::new(crate::metadata::cargo())
        .args(["build", "--quiet", "--locked", "--workspace", "--bins", "--tests"])
        .status()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    if !status.success() {
        return Err("the binary does not build".to_owned());
    }
    let name = format!("foldin{}", std::env::consts::EXE_SUFFIX);
    Ok(Metadata::members()?.target_directory.join("debug").join(name))
}

fn ask<T: serde::de::DeserializeOwned>(foldin: &Path, arguments: &[&str]) -> Result<T, String> {
    let what = arguments.join(" ");
    let output = Command::new(foldin)
        .args(arguments)
        .output()
        .map_err(|error| format!("{} did not start: {error}", foldin.display()))?;
    if !output.status.success() {
        return Err(format!("`foldin {what}` failed:\n{}", String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`foldin {what}` is not readable: {error}"))
}

fn activations_page(activations: &[Activation]) -> String {
    let mut out = ACTIVATIONS_HEAD.to_owned();
    for Activation { name, formula, parameters, sharing, source } in activations {
        let of = |Parameter { name, initial, min, max, follows }: &Parameter| {
            format!("{name} = {initial}, {min} to {max}{}", if *follows { ", follows" } else { "" })
        };
        let or_none = |text: String| if text.is_empty() { "–".to_owned() } else { text };
        let parameters = or_none(parameters.iter().map(of).collect::<Vec<_>>().join("; "));
        let _ = writeln!(
            out,
            "| `{name}` | {formula} | {parameters} | {} | {source} |",
            or_none(sharing.join(" or "))
        );
    }
    out
}

fn page(models: &[Model]) -> String {
    let mut out = HEAD.to_owned();
    for Model { name, summary, settings } in models {
        let _ = write!(out, "\n## `{name}`\n\n{summary}\n");
        if settings.is_empty() {
            out.push_str("\nNo settings.\n");
            continue;
        }
        out.push_str("\n| setting | default | type and range | meaning |\n| --- | --- | --- | --- |\n");
        for Setting { key, kind, default, range, meaning } in settings {
            let range = if range.is_empty() { String::new() } else { format!(", {range}") };
            // A bar would end the cell.
            let cell = |text: String| text.replace('|', "\\|");
            let (kind, meaning) = (cell(format!("{kind}{range}")), cell(meaning.clone()));
            let _ = writeln!(out, "| `{key}` | `{default}` | {kind} | {meaning} |");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_do_not_end_a_cell() {
        let settings = vec![Setting {
            key: "start".into(),
            kind: "svd | random".into(),
            default: "svd".into(),
            range: String::new(),
            meaning: "Where to begin.".into(),
        }];
        let text = page(&[
            Model { name: "some".into(), summary: "A model.".into(), settings },
            Model { name: "none".into(), summary: "Another.".into(), settings: Vec::new() },
        ]);
        assert!(text.contains("| `start` | `\"svd\"` | svd \\| random | Where to begin. |\n"), "{text}");
        assert!(text.ends_with("Another.\n\nNo settings.\n"));
    }
}
