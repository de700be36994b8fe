//! Recipes: one TOML file for each table that `foldin reproduce` rebuilds, with the published figures beside it.

use std::collections::BTreeMap;

use anyhow::Context;
use foldin_core::registry::Settings;
use serde::Deserialize;

use crate::settings::to_settings;

/// Recipes are part of the binary, so that a reproduction needs no checkout.
const EMBEDDED: [(&str, &str); 13] = [
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
    /// The models, in order.
    pub(crate) column: Vec<Column>,
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
    pub(crate) retrain: bool,
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

impl Column {
    /// Changes to the model's settings.
    pub(crate) fn settings(&self) -> anyhow::Result<Settings> {
        to_settings(self.settings.clone())
    }

    /// Mean of the paper's figures for a data set, if it has any.
    pub(crate) fn paper_mean(&self, data: &str) -> Option<f64> {
        let of_folds =
            || (!self.paper.is_empty()).then(|| self.paper.iter().sum::<f64>() / self.paper.len() as f64);
        self.paper_mean.get(data).copied().or_else(of_folds)
    }
}

/// All recipes.
pub(crate) fn all() -> anyhow::Result<Vec<Recipe>> {
    EMBEDDED.iter().map(|(name, text)| parse(name, text)).collect()
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
            }
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
