//! Recipes of pictures, for `foldin reproduce`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use foldin_core::FitError;
use foldin_core::config::{ModelConfig, overlay};
use foldin_vision::backend;
use foldin_vision::data::purchases;
use foldin_vision::error::VisionError;
use foldin_vision::planted::PlantedOptions;
use foldin_vision::recommend::dvbpr::DvbprConfig;
use foldin_vision::study::treatments::planted_treatments;
use foldin_vision::study::{
    BaselinesOptions, Study, TreatmentsOptions, Watcher, baselines, html, treatments,
};
use serde::Deserialize;
use serde_json::Map;

use super::{cache, find, generative};
use crate::common::{Global, check_writable, print, write_file};
use crate::progress::{FitBar, cancel_on_ctrl_c};

/// Names and texts; part of the binary.
const EMBEDDED: [(&str, &str); 2] = [
    ("dvbpr-baselines", include_str!("../../../../../recipes/dvbpr-baselines.toml")),
    ("dvbpr-table3", include_str!("../../../../../recipes/dvbpr-table3.toml")),
];

/// Changes to settings, by what they are of.
type Changes = BTreeMap<String, toml::Table>;

/// Which study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Baselines,
    Treatments,
}

/// A recipe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    study: Kind,
    title: String,
    data: String,
    #[serde(default)]
    also: Vec<String>,
    seeds: Vec<u64>,
    about: String,
    /// Whether the planted set is run as well.
    #[serde(default)]
    planted: bool,
    #[serde(default)]
    settings: Changes,
    quick: Quick,
}

/// What `--quick` changes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Quick {
    seeds: Vec<u64>,
    #[serde(default)]
    settings: Changes,
}

fn all() -> anyhow::Result<Vec<(&'static str, Recipe)>> {
    EMBEDDED
        .iter()
        .map(|(name, text)| Ok((*name, toml::from_str(text).with_context(|| format!("the recipe {name}"))?)))
        .collect()
}

/// A line for each recipe: its name and what it is.
pub(crate) fn list() -> anyhow::Result<Vec<(String, String)>> {
    let line = |(name, recipe): (&str, Recipe)| {
        let data = [vec![recipe.data], recipe.also].concat().join(", ");
        (name.to_owned(), format!("{} ({data}, {} splits)", recipe.title, recipe.seeds.len()))
    };
    Ok(all()?.into_iter().map(line).chain(generative::recipes()).collect())
}

/// Runs a recipe and writes `NAME.html` and `NAME.json`; false if it is none of pictures.
pub(crate) fn reproduce(name: &str, quick: bool, out: &Path, global: &Global) -> anyhow::Result<bool> {
    let Some((_, recipe)) = all()?.into_iter().find(|(known, _)| *known == name) else {
        return generative::reproduce(name, quick, out, global);
    };
    let page = out.join(format!("{name}.html"));
    check_writable(&page)?;
    // Beside the page, until it is written.
    let kept = page.with_extension(if quick { "quick.checkpoint" } else { "checkpoint" });
    let studies = match run(&recipe, quick, &kept, global) {
        Err(error) => match error.downcast_ref::<VisionError>() {
            Some(VisionError::Fit(FitError::Cancelled { .. })) => {
                bail!("stopped; what is done is kept in {}: the same command goes on", kept.display())
            }
            _ => return Err(error),
        },
        Ok(studies) => studies,
    };
    print(format!("{}\n{}\n", recipe.title, recipe.about.trim()))?;
    for study in &studies {
        print(study.text())?;
    }
    let all: Vec<&Study> = studies.iter().collect();
    write_file(&page, &html::page(&recipe.title, &all, &[], &[]))?;
    write_file(&page.with_extension("json"), &(serde_json::to_string_pretty(&studies)? + "\n"))?;
    if kept.exists() {
        std::fs::remove_dir_all(&kept)?;
    }
    global.remark(format!("written: {}, and .json beside it", page.display()));
    Ok(true)
}

fn run(recipe: &Recipe, quick: bool, kept: &Path, global: &Global) -> anyhow::Result<Vec<Study>> {
    let device = backend::device("cpu")?;
    let cache = cache()?;
    let cancel = cancel_on_ctrl_c()?;
    let bar = FitBar::new("", global.shows_progress());
    let watcher = Watcher { progress: &bar, cancel: &cancel };
    let start = Instant::now();
    let clock = || start.elapsed();
    let seeds = if quick { recipe.quick.seeds.clone() } else { recipe.seeds.clone() };
    let settings = |of: &str| {
        let quick = recipe.quick.settings.get(of).filter(|_| quick);
        [recipe.settings.get(of), quick].into_iter().flatten().cloned().collect::<Vec<_>>()
    };
    let studies = match recipe.study {
        Kind::Baselines => {
            let full = BaselinesOptions::full(cache, device);
            let options = BaselinesOptions {
                seeds,
                checkpoints: Some(kept.to_owned()),
                bpr: overlaid("bpr", &full.bpr, &settings("bpr"))?,
                vbpr: overlaid("vbpr", &full.vbpr, &settings("vbpr"))?,
                scratch: overlaid("scratch", &full.scratch, &settings("scratch"))?,
                pretrained: overlaid("pretrained", &full.pretrained, &settings("pretrained"))?,
                pretrain: overlaid("pretrain", &full.pretrain, &settings("pretrain"))?,
                ..full
            };
            let read = purchases::open(&find(&recipe.data, global)?)?;
            vec![baselines(&read, &options, &clock, watcher)?]
        }
        Kind::Treatments => {
            let options = TreatmentsOptions {
                seeds,
                dvbpr: overlaid("dvbpr", &DvbprConfig::small(), &settings("dvbpr"))?,
                cache,
                checkpoints: Some(kept.to_owned()),
                device,
            };
            let mut studies = Vec::new();
            if recipe.planted {
                studies.push(planted_treatments(&PlantedOptions::default(), &options, &clock, watcher)?);
            }
            for name in std::iter::once(&recipe.data).chain(&recipe.also) {
                match find(name, global) {
                    Ok(folder) => {
                        studies.push(treatments(&purchases::open(&folder)?, &options, &clock, watcher)?);
                    }
                    Err(error) if studies.is_empty() => return Err(error),
                    Err(error) => print(format!("{name}: not run: {error}"))?,
                }
            }
            studies
        }
    };
    bar.finish();
    Ok(studies)
}

/// Settings with tables of changes laid over them, in order, and checked.
fn overlaid<C: ModelConfig>(of: &str, default: &C, changes: &[toml::Table]) -> anyhow::Result<C> {
    let mut all = Map::new();
    for (key, value) in changes.iter().flatten() {
        all.insert(key.clone(), serde_json::to_value(value)?);
    }
    Ok(overlay(of, default, &all)?)
}

#[cfg(test)]
mod tests {
    use foldin_vision::recommend::dvbpr::PretrainConfig;
    use foldin_vision::recommend::pairwise::PairwiseConfig;

    use super::*;
    use crate::common::usage;

    #[test]
    fn every_recipe_is_readable_and_its_settings_exist() {
        for (name, recipe) in all().unwrap() {
            for settings in [&recipe.settings, &recipe.quick.settings] {
                for (of, changes) in settings {
                    let changes = std::slice::from_ref(changes);
                    let checked = match of.as_str() {
                        "bpr" | "vbpr" => overlaid(of, &PairwiseConfig::vbpr(), changes).map(|_| ()),
                        "scratch" | "pretrained" | "dvbpr" => {
                            overlaid(of, &DvbprConfig::small(), changes).map(|_| ())
                        }
                        "pretrain" => overlaid(of, &PretrainConfig::default(), changes).map(|_| ()),
                        other => Err(usage(other)),
                    };
                    assert!(checked.is_ok(), "{name}: {of}");
                }
            }
        }
        assert!(list().unwrap().len() > EMBEDDED.len());
        let bad = toml::Table::from_iter([("patience".to_owned(), toml::Value::Integer(0))]);
        assert!(overlaid("dvbpr", &DvbprConfig::small(), &[bad]).is_err());
    }
}
