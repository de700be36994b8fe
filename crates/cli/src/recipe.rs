//! Recipes: one TOML file for each table that `foldin reproduce` rebuilds, with the published figures beside it.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use foldin_core::registry::Settings;
use foldin_eval::report::Named;
use foldin_eval::{Claim, OtherFigures, Published, PublishedFigure};
use serde::Deserialize;

use crate::models::find;
use crate::settings::to_settings;

/// Recipes are part of the binary, so that a reproduction needs no checkout.
const EMBEDDED: [(&str, &str); 16] = [
    ("lfg-table1", include_str!("../../../recipes/lfg-table1.toml")),
    ("lfg-table2", include_str!("../../../recipes/lfg-table2.toml")),
    ("lfg-table3", include_str!("../../../recipes/lfg-table3.toml")),
    ("lfg-table4", include_str!("../../../recipes/lfg-table4.toml")),
    ("lfg-ablation", include_str!("../../../recipes/lfg-ablation.toml")),
    ("autorec-table-a", include_str!("../../../recipes/autorec-table-a.toml")),
    ("autorec-table-b", include_str!("../../../recipes/autorec-table-b.toml")),
    ("autorec-table-c", include_str!("../../../recipes/autorec-table-c.toml")),
    ("autorec-figure-5", include_str!("../../../recipes/autorec-figure-5.toml")),
    ("autorec-deep", include_str!("../../../recipes/autorec-deep.toml")),
    ("cfgan-ml100k", include_str!("../../../recipes/cfgan-ml100k.toml")),
    ("cfgan-ml1m", include_str!("../../../recipes/cfgan-ml1m.toml")),
    ("cfgan-ciao", include_str!("../../../recipes/cfgan-ciao.toml")),
    ("cfgan-aaf", include_str!("../../../recipes/cfgan-aaf.toml")),
    ("cfgan-activations", include_str!("../../../recipes/cfgan-activations.toml")),
    ("fold-in-topn", include_str!("../../../recipes/fold-in-topn.toml")),
];

/// A table to rebuild.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recipe {
    /// Name on the command line.
    #[serde(skip)]
    pub(crate) name: String,
    /// What the table is.
    pub(crate) title: String,
    /// Data set by name.
    pub(crate) data: String,
    /// Data sets that the paper has too and that are run where they are found.
    #[serde(default)]
    pub(crate) also: Vec<String>,
    /// Protocol by name.
    pub(crate) protocol: String,
    /// Number of folds; without meaning for data that are a split.
    #[serde(default = "one")]
    pub(crate) folds: usize,
    /// Lengths of the lists to measure, where items are ranked.
    #[serde(default)]
    pub(crate) cutoffs: Vec<usize>,
    /// Seed of splits and models.
    pub(crate) seed: u64,
    /// What was read into what the paper leaves open.
    pub(crate) about: String,
    /// What the models differ in, if that is a number to be plotted against.
    #[serde(default)]
    pub(crate) x: Option<String>,
    /// Figures that are columns of a table whose rows are models; without any, a line is a model and one figure.
    #[serde(default)]
    pub(crate) metrics: Vec<String>,
    /// Figures to show by length of the list, such as `precision`.
    #[serde(default)]
    pub(crate) by_cutoff: Vec<String>,
    /// What the paper claims of models against the first one.
    #[serde(default)]
    pub(crate) claim: Vec<Claimed>,
    /// Changes to the settings of models by name for `--quick`.
    #[serde(default)]
    quick: BTreeMap<String, toml::Table>,
    /// The models, in order.
    pub(crate) column: Vec<Column>,
}

/// A claim of the paper.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claimed {
    /// Label of the model.
    model: String,
    /// The figure by length of the list, such as `precision`.
    figure: String,
    /// By how many hundredths it is said to be above that of the first model.
    points: f64,
}

/// A figure of others.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum OtherFigure {
    Mean(f64),
    /// Mean and standard deviation.
    Spread([f64; 2]),
}

/// One model of a recipe.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Column {
    /// How it is called in the table.
    pub(crate) label: String,
    /// Name in the registry.
    pub(crate) model: String,
    /// The figure to show, such as `rmse` or `rmse@all`.
    pub(crate) metric: String,
    /// What new users give.
    #[serde(default)]
    pub(crate) history: HistoryRule,
    /// Refit in full with the new users' given ratings.
    #[serde(default)]
    pub(crate) retrain: Option<Retrain>,
    /// Fits in each fold, each with another seed.
    #[serde(default = "one")]
    pub(crate) fits: usize,
    /// Changes to the model's settings.
    #[serde(default)]
    settings: toml::Table,
    /// The paper's figure for each of its folds.
    #[serde(default)]
    pub(crate) paper: Vec<f64>,
    /// The paper's mean by data set, where it prints no folds.
    #[serde(default)]
    paper_mean: BTreeMap<String, f64>,
    /// The paper's figures for the columns of [`Recipe::metrics`], on [`Recipe::data`].
    #[serde(default)]
    published: BTreeMap<String, OtherFigure>,
    /// Figures that others reached with the paper's program or with the same model.
    #[serde(default)]
    replicated: BTreeMap<String, OtherFigure>,
    /// The number by which this line differs, see [`Recipe::x`].
    #[serde(default)]
    pub(crate) x: Option<f64>,
}

fn one() -> usize {
    1
}

/// What a new user gives to a model of a recipe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HistoryRule {
    /// The ratings that the protocol says.
    #[default]
    Given,
    /// Nothing.
    None,
}

/// With how many ratings of the new users a model is fitted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Retrain {
    /// All that they give.
    All,
    /// As many as each column of the protocol says: a fit a column.
    Each,
}

impl Column {
    /// Changes to the model's settings.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        to_settings(self.settings.clone())
    }

    /// What others found, for the columns of the recipe.
    fn others(&self) -> Vec<OtherFigures> {
        [("published", &self.published), ("replicated", &self.replicated)]
            .into_iter()
            .filter(|(_, figures)| !figures.is_empty())
            .map(|(by, figures)| {
                let of = |(name, figure): (&String, &OtherFigure)| match *figure {
                    OtherFigure::Mean(mean) => (name.clone(), (mean, None)),
                    OtherFigure::Spread([mean, deviation]) => (name.clone(), (mean, Some(deviation))),
                };
                OtherFigures { by: by.to_owned(), figures: Named(figures.iter().map(of).collect()) }
            })
            .collect()
    }

    /// Mean of the paper's figures for a data set, if it has any.
    pub(crate) fn paper_mean(&self, data: &str) -> Option<f64> {
        let of_folds =
            || (!self.paper.is_empty()).then(|| self.paper.iter().sum::<f64>() / self.paper.len() as f64);
        self.paper_mean.get(data).copied().or_else(of_folds)
    }
}

impl Recipe {
    /// Changes to the settings of a column's model.
    pub(crate) fn settings_of(&self, column: &Column, quick: bool) -> anyhow::Result<Settings> {
        let mut settings = column.settings()?;
        if let Some(changes) = self.quick.get(&column.model).filter(|_| quick) {
            settings.extend(to_settings(changes.clone())?);
        }
        Ok(settings)
    }

    /// The published side of the table, for one of the data sets.
    pub(crate) fn published(&self, data: &str) -> Published {
        let own = data == self.data;
        let paper = self.column.iter().map(|column| PublishedFigure {
            label: column.label.clone(),
            metric: column.metric.clone(),
            mean: column.paper_mean(data),
            folds: column.paper.clone(),
            x: column.x,
            others: if own { column.others() } else { Vec::new() },
        });
        let claims = self.claim.iter().filter(|_| own).map(|Claimed { model, figure, points }| Claim {
            model: model.clone(),
            figure: figure.clone(),
            points: *points,
        });
        Published {
            name: self.name.clone(),
            title: self.title.clone(),
            about: self.about.trim().to_owned(),
            paper: paper.collect(),
            x: self.x.clone(),
            metrics: self.metrics.clone(),
            by_cutoff: self.by_cutoff.clone(),
            claims: claims.collect(),
        }
    }
}

/// All recipes.
pub(crate) fn all() -> anyhow::Result<Vec<Recipe>> {
    EMBEDDED.iter().map(|(name, text)| parse(name, text)).collect()
}

/// Reads a file of somebody's own.
pub(crate) fn read(file: &Path) -> anyhow::Result<Recipe> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let name = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or("recipe");
    let recipe = parse(name, &text).map_err(|error| error.context(file.display().to_string()))?;
    // Before anything is fitted.
    for column in &recipe.column {
        find(&column.model)?.resolve(&recipe.settings_of(column, false)?)?;
    }
    Ok(recipe)
}

/// Reads a recipe.
pub(crate) fn parse(name: &str, text: &str) -> anyhow::Result<Recipe> {
    let recipe: Recipe = toml::from_str(text).with_context(|| format!("the recipe {name}"))?;
    Ok(Recipe { name: name.to_owned(), ..recipe })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_names_models_and_settings_that_exist() {
        for recipe in all().unwrap() {
            for column in &recipe.column {
                let entry = foldin_models::registry::find(&column.model).unwrap();
                entry
                    .resolve(&column.settings().unwrap())
                    .unwrap_or_else(|error| panic!("{}: {error}", recipe.name));
                assert!(column.paper.is_empty() || column.paper.len() == recipe.folds, "{}", recipe.name);
                let known = |data: &String| *data == recipe.data || recipe.also.contains(data);
                assert!(column.paper_mean.keys().all(known), "{}: {}", recipe.name, column.label);
                assert_eq!(column.x.is_some(), recipe.x.is_some(), "{}: {}", recipe.name, column.label);
                entry.resolve(&recipe.settings_of(column, true).unwrap()).unwrap();
                for other in column.others() {
                    assert!(
                        other
                            .figures
                            .iter()
                            .all(|(name, _)| recipe.metrics.iter().any(|known| known == name))
                    );
                }
            }
            let labelled = |label: &String| recipe.column.iter().skip(1).any(|column| column.label == *label);
            assert!(recipe.claim.iter().all(|claim| labelled(&claim.model)), "{}", recipe.name);
            let used = |model: &String| recipe.column.iter().any(|column| column.model == *model);
            assert!(recipe.quick.keys().all(used), "{}", recipe.name);
        }
    }

    #[test]
    fn no_two_lines_of_a_recipe_ask_for_the_same() {
        for recipe in all().unwrap() {
            let mut asked = Vec::new();
            for column in &recipe.column {
                let entry = foldin_models::registry::find(&column.model).unwrap();
                let config = entry.resolve(&column.settings().unwrap()).unwrap();
                let request = (
                    &column.model,
                    &column.metric,
                    column.history == HistoryRule::None,
                    column.retrain,
                    config,
                );
                assert!(!asked.contains(&request), "{}: {} changes nothing", recipe.name, column.label);
                asked.push(request);
            }
        }
    }

    /// The averages printed in the paper's tables, against the folds typed in.
    #[test]
    fn the_papers_averages_are_those_of_its_folds() {
        let printed = [
            ("lfg-table1", [0.9404, 0.9136, 0.9130]),
            ("lfg-table2", [0.8672, 0.8607, 0.8566]),
            ("lfg-table3", [1.1274, 1.0305, 0.9255]),
            ("lfg-table4", [1.1151, 0.9835, 0.8837]),
        ];
        let recipes = all().unwrap();
        for (name, averages) in printed {
            let recipe = recipes.iter().find(|recipe| recipe.name == name).unwrap();
            let ours: Vec<f64> =
                recipe.column.iter().filter_map(|column| column.paper_mean(&recipe.data)).collect();
            assert_eq!(ours.len(), averages.len());
            for (mean, average) in ours.iter().zip(averages) {
                // Half a unit of the last printed digit.
                assert!((mean - average).abs() <= 0.000_05, "{name}: {mean} {average}");
            }
        }
    }
}
