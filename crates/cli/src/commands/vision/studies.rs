//! Recipes of pictures, for `foldin reproduce`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use foldin_core::FitError;
use foldin_core::config::{ModelConfig, overlay};
use foldin_vision::backend;
use foldin_vision::data::purchases;
use foldin_vision::error::VisionError;
use foldin_vision::experiments::Size;
use foldin_vision::planted::PlantedOptions;
use foldin_vision::recommend::dvbpr::DvbprConfig;
use foldin_vision::study::treatments::planted_treatments;
use foldin_vision::study::{
    BaselinesOptions, CATEGORIES, Study, TreatmentsOptions, Watcher, baselines, html, treatments,
};
use serde::Deserialize;
use serde_json::Map;

use super::{PictureData, cache, find, pages};
use crate::common::{Global, check_writable, command_line, print, usage, write_file};
use crate::progress::{FitBar, cancel_on_ctrl_c};
use crate::settings::parse_pair;

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
    #[serde(default)]
    quick: Variant,
    #[serde(default)]
    published: Variant,
}

/// What another size changes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Variant {
    /// Splits, where they are others.
    seeds: Option<Vec<u64>>,
    /// Whether the planted set is run, where that differs.
    planted: Option<bool>,
    #[serde(default)]
    settings: Changes,
}

impl Recipe {
    /// What is changed at a size, if anything is.
    fn variant(&self, size: Size) -> Option<&Variant> {
        match size {
            Size::Quick => Some(&self.quick),
            Size::Small => None,
            Size::Published => Some(&self.published),
        }
    }
}

/// What was asked of a recipe.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordered<'a> {
    /// How large it is run.
    pub(crate) size: Size,
    /// Name of the device that networks run on.
    pub(crate) device: &'a str,
    /// Remarks that stand in the report.
    pub(crate) notes: &'a [String],
    /// Folder of results.
    pub(crate) out: &'a Path,
}

impl Ordered<'_> {
    /// The page of a recipe: one size does not take the place of another.
    pub(super) fn page(&self, name: &str) -> PathBuf {
        self.out.join(format!("{name}{}.html", self.size.suffix()))
    }
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
    Ok(all()?.into_iter().map(line).chain(pages::recipes()).collect())
}

/// Runs a recipe and writes `NAME.html` and `NAME.json`; false if it is none of pictures.
pub(crate) fn reproduce(name: &str, ordered: &Ordered<'_>, global: &Global) -> anyhow::Result<bool> {
    let Some((_, recipe)) = all()?.into_iter().find(|(known, _)| *known == name) else {
        return pages::reproduce(name, ordered, global);
    };
    let page = ordered.page(name);
    check_writable(&page)?;
    // Beside the page, until it is written.
    let kept = page.with_extension("checkpoint");
    let studies = run(&recipe, ordered.size, ordered.device, &kept, &|_| (), global);
    finish(&recipe.title, &recipe.about, studies, ordered.notes, &page, &kept, global)?;
    Ok(true)
}

/// Prints what studies found and writes it as pages and JSON; says how to go on if they were stopped.
fn finish(
    title: &str,
    about: &str,
    studies: anyhow::Result<Vec<Study>>,
    notes: &[String],
    page: &Path,
    kept: &Path,
    global: &Global,
) -> anyhow::Result<()> {
    let mut studies = match studies {
        Err(error) => match error.downcast_ref::<VisionError>() {
            Some(VisionError::Fit(FitError::Cancelled { .. })) => {
                bail!("stopped; what is done is kept in {}: the same command goes on", kept.display())
            }
            _ => return Err(error),
        },
        Ok(studies) => studies,
    };
    for study in &mut studies {
        study.findings.extend(notes.iter().cloned());
    }
    print(format!("{title}\n{}\n", about.trim()))?;
    for study in &studies {
        print(study.text())?;
    }
    let all: Vec<&Study> = studies.iter().collect();
    write_file(page, &html::page(title, &all, &[], &[]))?;
    write_file(&page.with_extension("json"), &(serde_json::to_string_pretty(&studies)? + "\n"))?;
    let texts: Vec<String> =
        studies.iter().map(|study| format!("```text\n{}\n```\n", study.text().trim())).collect();
    write_file(&page.with_extension("md"), &markdown(title, about, &texts.join("\n")))?;
    if kept.exists() {
        std::fs::remove_dir_all(kept)?;
    }
    global.remark(format!("written: {}, and .json and .md beside it", page.display()));
    let models = page.with_extension("");
    if models.exists() {
        global.remark(format!("models to recommend with, of the last split: in {}", models.display()));
    }
    Ok(())
}

const EXAMPLES: &str = "\
Examples:
  foldin vision evaluate --data shop
  foldin vision evaluate --data shop --seeds 0,1,2 --set scratch.epochs=3 --out results
  foldin vision evaluate --data shop --treatment all-vendor --min-user 3 --category kind
  foldin vision evaluate --data shop --features features.csv";

/// Every recommender on somebody's own purchases.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct EvaluateArgs {
    #[command(flatten)]
    data: PictureData,
    /// Features of items in the place of hand-made ones: a CSV of item and numbers, or records as Amazon's image features
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// The label of items that AUC within category is taken by [default: product type or category, if there is one]
    #[arg(long, value_name = "LABEL")]
    category: Option<String>,
    /// Seeds of the splits; each keeps one purchase of every user to choose by and one to test on
    #[arg(long, value_delimiter = ',', default_value = "1", value_name = "N,…")]
    seeds: Vec<u64>,
    /// A setting of bpr, vbpr, scratch (dvbpr from scratch), pretrained (dvbpr from a network trained on labels of items) or pretrain, as
    /// MODEL.KEY=VALUE; may be given often
    #[arg(long, value_name = "MODEL.KEY=VALUE")]
    set: Vec<String>,
    /// A remark to stand in the report. May be given often
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// Where networks run: cpu, or wgpu or cuda in a build that has them
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    /// Folder for vision-NAME.html, .json and .md
    #[arg(long, default_value = "runs", value_name = "DIR")]
    out: PathBuf,
}

/// AUC of random, popularity, bpr, vis-rank, vbpr, dvbpr and their sum on the same splits, as `dvbpr-baselines` takes it.
pub(crate) fn evaluate(args: &EvaluateArgs, global: &Global) -> anyhow::Result<()> {
    let mut changes = Changes::new();
    for text in &args.set {
        let (key, value) = parse_pair(text)?;
        let (model, key) =
            key.split_once('.').filter(|(model, _)| MODELS.contains(model)).ok_or_else(|| {
                usage(format!("`--set {text}` does not begin with one of {}, and a point", MODELS.join(", ")))
            })?;
        let value = toml::Value::try_from(value)?;
        changes.entry(model.to_owned()).or_default().insert(key.to_owned(), value);
    }
    let read = args.data.purchases(global)?;
    if let Some(label) = &args.category {
        read.label(label)?;
    }
    let page = args.out.join(format!("vision-{}.html", read.name));
    check_writable(&page)?;
    let kept = page.with_extension("checkpoint");
    let recipe = Recipe {
        study: Kind::Baselines,
        title: format!("Recommendation by pictures: {}", read.name),
        data: args.data.data.clone(),
        also: Vec::new(),
        seeds: args.seeds.clone(),
        about: "One purchase of each user to choose by and one to test on, at random. AUC over all items that a user did not buy.".to_owned(),
        planted: false,
        settings: changes,
        quick: Variant::default(),
        published: Variant::default(),
    };
    let own = |options: &mut BaselinesOptions| {
        options.prepare = args.data.options(options.scratch.px);
        options.features.clone_from(&args.features);
        if let Some(label) = &args.category {
            options.categories = vec![label.clone()];
        }
    };
    let studies = run(&recipe, Size::Small, &args.device, &kept, &own, global);
    finish(&recipe.title, &recipe.about, studies, &args.note, &page, &kept, global)
}

/// What settings of [`BaselinesOptions`] are of.
const MODELS: [&str; 5] = ["bpr", "vbpr", "scratch", "pretrained", "pretrain"];

/// A page of Markdown around what was printed.
pub(super) fn markdown(title: &str, about: &str, text: &str) -> String {
    let machine = foldin_eval::machine::Machine::this();
    format!(
        "# {title}\n\n{}\n\nMade by `{}`, and changed by no hand.\n\n{text}\nFoldin {}, {} threads of {}.\n",
        about.trim(),
        command_line(),
        env!("CARGO_PKG_VERSION"),
        rayon::current_num_threads(),
        machine.cpu
    )
}

/// Runs the studies of a recipe; `own` is what somebody changes of the options of baselines besides settings.
fn run(
    recipe: &Recipe,
    size: Size,
    device: &str,
    kept: &Path,
    own: &dyn Fn(&mut BaselinesOptions),
    global: &Global,
) -> anyhow::Result<Vec<Study>> {
    let device = backend::device(device)?;
    let cache = cache()?;
    let cancel = cancel_on_ctrl_c()?;
    let bar = FitBar::new("", global.shows_progress());
    let watcher = Watcher { progress: &bar, cancel: &cancel };
    let start = Instant::now();
    let clock = || start.elapsed();
    let variant = recipe.variant(size);
    let seeds = variant.and_then(|variant| variant.seeds.clone()).unwrap_or_else(|| recipe.seeds.clone());
    let settings = |of: &str| {
        let changed = variant.and_then(|variant| variant.settings.get(of));
        [recipe.settings.get(of), changed].into_iter().flatten().cloned().collect::<Vec<_>>()
    };
    let studies = match recipe.study {
        Kind::Baselines => {
            let full = BaselinesOptions::full(cache, device);
            let mut options = BaselinesOptions {
                seeds,
                checkpoints: Some(kept.to_owned()),
                models: Some(kept.with_extension("")),
                bpr: overlaid("bpr", &full.bpr, &settings("bpr"))?,
                vbpr: overlaid("vbpr", &full.vbpr, &settings("vbpr"))?,
                scratch: overlaid("scratch", &full.scratch, &settings("scratch"))?,
                pretrained: overlaid("pretrained", &full.pretrained, &settings("pretrained"))?,
                pretrain: overlaid("pretrain", &full.pretrain, &settings("pretrain"))?,
                ..full
            };
            own(&mut options);
            let read = purchases::open(&find(&recipe.data, global)?)?;
            vec![baselines(&read, &options, &clock, watcher)?]
        }
        Kind::Treatments => {
            let options = TreatmentsOptions {
                seeds,
                dvbpr: overlaid("dvbpr", &DvbprConfig::small(), &settings("dvbpr"))?,
                categories: CATEGORIES.map(str::to_owned).to_vec(),
                cache,
                checkpoints: Some(kept.to_owned()),
                device,
            };
            let mut studies = Vec::new();
            if variant.and_then(|variant| variant.planted).unwrap_or(recipe.planted) {
                let dvbpr = overlaid("planted", &options.dvbpr, &settings("planted"))?;
                let planted = TreatmentsOptions { dvbpr, ..options.clone() };
                studies.push(planted_treatments(&PlantedOptions::default(), &planted, &clock, watcher)?);
            }
            for name in std::iter::once(&recipe.data).chain(&recipe.also) {
                let run = || -> anyhow::Result<Study> {
                    Ok(treatments(&purchases::open(&find(name, global)?)?, &options, &clock, watcher)?)
                };
                match run() {
                    Ok(study) => studies.push(study),
                    Err(error) if studies.is_empty() || cancel.is_cancelled() => return Err(error),
                    Err(error) => {
                        let missing = format!("{name}: not run: {error}");
                        print(&missing)?;
                        // What is missing stands on the page as well.
                        studies.iter_mut().take(1).for_each(|study| study.findings.push(missing.clone()));
                    }
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

    #[test]
    fn every_recipe_is_readable_and_its_settings_exist() {
        for (name, recipe) in all().unwrap() {
            for settings in [&recipe.settings, &recipe.quick.settings, &recipe.published.settings] {
                for (of, changes) in settings {
                    let changes = std::slice::from_ref(changes);
                    let checked = match of.as_str() {
                        "bpr" | "vbpr" => overlaid(of, &PairwiseConfig::vbpr(), changes).map(|_| ()),
                        "scratch" | "pretrained" | "dvbpr" | "planted" => {
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
