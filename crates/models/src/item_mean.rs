//! `item-mean`: the mean rating of each item, damped: `r̂_ui = μ + b_i`, `b_i = Σ_u (r_ui − μ) / (n_i + damping)`.
//!
//! The damping is a ridge on `b_i`, or `damping` imagined ratings of `μ` (Koren 2008, equation 2 and below). An item without
//! ratings is predicted as `μ`. Time O(ratings), memory O(items), deterministic without a seed.

use foldin_core::{
    Capabilities, Csr, FitContext, FitError, ItemFactors, LoadError, ModelConfig, ModelFamily, ModelParts,
    TrainingData,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::linear::{BASELINE, Family, LinearFactors, explicit_ratings};

/// Settings of `item-mean`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemMeanConfig {
    /// Imagined ratings of the global mean that each item gets.
    #[schemars(range(min = 0.0))]
    #[schemars(extend("search" = "log:0.3:30"))]
    pub damping: f32,
}

impl Default for ItemMeanConfig {
    fn default() -> Self {
        Self { damping: 2.0 }
    }
}

impl ModelConfig for ItemMeanConfig {}

/// The family of `item-mean`.
#[derive(Clone, Copy, Debug)]
pub struct ItemMean;

const FAMILY: Family = Family { name: ItemMean::NAME, capabilities: BASELINE };

impl ModelFamily for ItemMean {
    const NAME: &'static str = "item-mean";
    const SUMMARY: &'static str = "the damped mean rating of each item";
    type Config = ItemMeanConfig;
    type Model = LinearFactors;

    fn capabilities() -> Capabilities {
        FAMILY.capabilities
    }

    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        _: &FitContext<'_>,
    ) -> Result<LinearFactors, FitError> {
        let ratings = explicit_ratings(Self::NAME, data)?;
        let mean = ratings.mean();
        let bias = damped_means(ratings.by_item(), config.damping, |_, value| f64::from(value) - mean);
        let items = ItemFactors { k: 0, m: Vec::new(), bias, mean: mean as f32 };
        Ok(LinearFactors::new(FAMILY, items, ratings.feedback()))
    }

    fn load(parts: ModelParts) -> Result<LinearFactors, LoadError> {
        LinearFactors::load(FAMILY, parts)
    }
}

/// For each row, the sum of what its entries leave over, divided by their number and the damping.
pub(crate) fn damped_means(rows: &Csr, damping: f32, left_over: impl Fn(u32, f32) -> f64) -> Vec<f32> {
    (0..rows.n_rows())
        .map(|row| {
            let (columns, values) = rows.row(row);
            let sum: f64 = columns.iter().zip(values).map(|(&column, &value)| left_over(column, value)).sum();
            let weight = columns.len() as f64 + f64::from(damping);
            if columns.is_empty() { 0.0 } else { (sum / weight) as f32 }
        })
        .collect()
}
