//! `docs/config.md`: every setting of every model, as the binary itself describes them.

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

/// Writes the file, or with `check` fails if it is not what would be written.
pub(crate) fn run(check: bool) -> Result<String, String> {
    let foldin = build()?;
    let listed: Vec<Listed> = ask(&foldin, &["models", "--json"])?;
    let models: Vec<Model> = listed
        .iter()
        .map(|model| ask(&foldin, &["models", "show", &model.name, "--json"]))
        .collect::<Result<_, _>>()?;
    let text = page(&models);
    if check {
        let same = std::fs::read_to_string(PATH).is_ok_and(|held| held == text);
        return if same {
            Ok(format!("docs: {PATH} is up to date"))
        } else {
            Err(format!("docs: {PATH} is out of date; run `cargo xtask docs`"))
        };
    }
    std::fs::write(PATH, text).map_err(|error| format!("{PATH}: {error}"))?;
    Ok(format!("docs: wrote {PATH}, {} models", models.len()))
}

/// Builds the binary as the tests do (the same features, so that nothing is built twice) and returns its path.
fn build() -> Result<PathBuf, String> {
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
