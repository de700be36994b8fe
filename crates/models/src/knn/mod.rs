//! What `item-knn` and `user-knn` share: settings, what similarities are taken of, and the weighted mean.
//!
//! Both estimate `r̂_ui = b_ui + Σ_{n ∈ S} s_n e_n / (δ + Σ_{n ∈ S} s_n)` with `b_ui = μ + b_u + b_i` ([`crate::bias`]), where `S` are the
//! at most `k` most similar neighbours that say something about the pair, `s_n > 0` is how similar each is and `e_n` what the
//! biases leave over of the rating it contributes (Koren 2010, "Factor in the neighbors", equation 3; the damping δ is ours: a
//! neighbour that says "as the biases have it").
//!
//! Of clicks they make a ranking instead, `s_ui = Σ_{n ∈ S} s_n` over the nearest neighbours that took what is asked about ([`clicks`]), and
//! are then governed by the settings that begin with `click_` and by no other.

pub mod clicks;
pub mod item;
pub mod user;

use foldin_core::{FitError, Interactions, ModelConfig};
use foldin_nn::overlap::{self, Ratio};
use foldin_nn::similarity::{Measure, Rules};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::bias::{Baseline, BiasConfig};
use crate::lists;

/// What makes two items, or two users, alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SimilarityOf {
    /// Cosine of the ratings as they are, what is not rated as 0. Depends on where the scale has its 0.
    Cosine,
    /// Pearson's correlation of the ratings that both have in common.
    Pearson,
    /// Cosine of the ratings less the mean of the user who gave them, over those in common (Sarwar et al. 2001).
    AdjustedCosine,
    /// Cosine of what the biases of user and item leave over of the ratings, over those in common (Koren 2010).
    PearsonBaseline,
}

/// Settings of `item-knn` and `user-knn`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KnnConfig {
    /// Neighbours that a prediction is made of, at most: the most similar of those kept that bear on it.
    #[schemars(range(min = 1, max = 100_000))]
    pub neighbours: usize,
    /// Neighbours kept of each item, or looked at for each user, the most similar ones; those beyond are as if they were not alike.
    /// No less than `neighbours`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub kept: usize,
    /// What makes two items, or two users, alike.
    pub similarity: SimilarityOf,
    /// λ: a similarity of `n` common ratings is multiplied by `n / (n + λ)`, as few may agree by chance (Koren 2008, equation 4).
    #[schemars(range(min = 0.0, max = 1e6))]
    pub shrinkage: f32,
    /// Common ratings that two items, or two users, must have to be neighbours at all.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub min_overlap: usize,
    /// Similarities are raised to this power before they weigh; above 1 the nearest count for more.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub exponent: f32,
    /// δ: weight of an imagined neighbour that says what the biases say. With few or faint neighbours a prediction stays near these.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub damping: f32,
    /// Ridge on each user's bias.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub user_damping: f32,
    /// Ridge on each item's bias.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub item_damping: f32,
    /// Of clicks: what a similarity compares the common users (or items) of two items (or users) to. `product` is the product of powers
    /// of how many each has: a cosine if both exponents are 0.5, an asymmetric one if they add up to 1. `tversky` is what both have in
    /// common and what each has for itself, times the two numbers: Jaccard's index if both are 1, Dice's if both are 0.5.
    #[schemars(extend("search" = "choice:product:tversky"))]
    pub click_similarity: ClickSimilarity,
    /// Of clicks: neighbours kept of each item, or heard for each user, the most similar ones.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[schemars(extend("search" = "log-integers:30:3000"))]
    pub click_neighbours: usize,
    /// Of clicks: a common user (or item) of `n` clicks weighs `n^(−a)`; 0 counts all alike, 0.5 is the two-exponent similarity's.
    #[schemars(range(min = 0.0, max = 4.0))]
    #[schemars(extend("search" = "uniform:0:1"))]
    pub click_common_exponent: f32,
    /// Of clicks: what the size of the item that is scored, or of the history of the user who asks, counts for.
    #[schemars(range(min = 0.0, max = 4.0))]
    #[schemars(extend("search" = "uniform:0.2:1"))]
    pub click_own_exponent: f32,
    /// Of clicks: what the size of the neighbour counts for.
    #[schemars(range(min = 0.0, max = 4.0))]
    #[schemars(extend("search" = "uniform:0:1"))]
    pub click_other_exponent: f32,
    /// Of clicks: added to what is divided by, as few may agree by chance.
    #[schemars(range(min = 0.0, max = 1e6))]
    #[schemars(extend("search" = "log:0.01:30"))]
    pub click_shrinkage: f32,
    /// Of clicks: similarities are raised to this power before they are added up; above 1 the nearest count for more.
    #[schemars(range(min = 0.1, max = 10.0))]
    #[schemars(extend("search" = "uniform:0.5:2"))]
    pub click_power: f32,
}

/// What a similarity of clicks compares to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClickSimilarity {
    /// `C / (n_x^b · n_y^c + λ)`.
    Product,
    /// `C / (C + b·(s_x − C) + c·(s_y − C) + λ)`.
    Tversky,
}

/// The defaults of `item-knn`, chosen on parts of the training ratings, and clicks, of MovieLens 100K and 1M.
impl Default for KnnConfig {
    fn default() -> Self {
        let BiasConfig { user_damping, item_damping, .. } = BiasConfig::default();
        Self {
            neighbours: 40,
            kept: 400,
            similarity: SimilarityOf::PearsonBaseline,
            shrinkage: 200.0,
            min_overlap: 2,
            exponent: 2.0,
            damping: 0.01,
            user_damping,
            item_damping,
            click_similarity: ClickSimilarity::Product,
            click_neighbours: 300,
            click_common_exponent: 0.5,
            click_own_exponent: 0.6,
            click_other_exponent: 0.6,
            click_shrinkage: 0.0,
            click_power: 1.0,
        }
    }
}

impl ModelConfig for KnnConfig {
    fn check(&self) -> Result<(), String> {
        if self.kept < self.neighbours {
            return Err(format!(
                "`kept` is {}, but must be no less than `neighbours`, {}",
                self.kept, self.neighbours
            ));
        }
        Ok(())
    }
}

impl KnnConfig {
    fn baseline(&self, ratings: &Interactions) -> Baseline {
        let config = BiasConfig {
            user_damping: self.user_damping,
            item_damping: self.item_damping,
            ..BiasConfig::default()
        };
        Baseline::fit(&config, ratings).0
    }

    fn rules(&self) -> Rules {
        Rules {
            measure: self.similarity.measure(),
            shrinkage: self.shrinkage,
            min_overlap: self.min_overlap,
            keep: self.kept,
        }
    }

    fn click_rules(&self) -> overlap::Rules {
        let (own, other) = (f64::from(self.click_own_exponent), f64::from(self.click_other_exponent));
        let ratio = match self.click_similarity {
            ClickSimilarity::Product => Ratio::Product { own, other },
            ClickSimilarity::Tversky => Ratio::Tversky { own, other },
        };
        overlap::Rules {
            ratio,
            column_exponent: f64::from(self.click_common_exponent),
            shrinkage: f64::from(self.click_shrinkage),
            keep: self.click_neighbours,
        }
    }

    fn weighing(&self) -> Weighing {
        Weighing { neighbours: self.neighbours, exponent: self.exponent, damping: self.damping }
    }
}

impl SimilarityOf {
    fn measure(self) -> Measure {
        match self {
            Self::Cosine => Measure::Cosine,
            Self::Pearson => Measure::Correlation,
            Self::AdjustedCosine | Self::PearsonBaseline => Measure::CommonCosine,
        }
    }

    /// What one user's ratings are to the similarity.
    fn values(self, baseline: &Baseline, items: &[u32], values: &[f32]) -> Vec<f32> {
        match self {
            Self::Cosine | Self::Pearson => values.to_vec(),
            Self::AdjustedCosine => {
                let sum: f64 = values.iter().map(|&value| f64::from(value)).sum();
                let mean = sum / values.len().max(1) as f64;
                values.iter().map(|&value| (f64::from(value) - mean) as f32).collect()
            }
            Self::PearsonBaseline => left_over(baseline, items, values),
        }
    }
}

/// What the biases leave over of one user's ratings.
fn left_over(baseline: &Baseline, items: &[u32], values: &[f32]) -> Vec<f32> {
    let base = baseline.of_user(items, values);
    items.iter().zip(values).map(|(&item, &value)| value - base - baseline.items[item as usize]).collect()
}

/// How neighbours are weighed into one number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Weighing {
    neighbours: usize,
    exponent: f32,
    damping: f32,
}

impl Weighing {
    fn weight(&self, similarity: f32) -> f32 {
        similarity.powf(self.exponent)
    }
}

/// The sum of what neighbours say, the nearest first.
#[derive(Clone, Copy, Debug, Default)]
struct Voices {
    heard: usize,
    sum: f64,
    weight: f64,
}

impl Voices {
    /// Hears one more, unless there were enough; false if so.
    fn hear(&mut self, weighing: &Weighing, weight: f32, says: f32) -> bool {
        if self.heard == weighing.neighbours {
            return false;
        }
        self.heard += 1;
        self.sum += f64::from(weight) * f64::from(says);
        self.weight += f64::from(weight);
        true
    }

    fn mean(&self, weighing: &Weighing) -> f32 {
        let weight = self.weight + f64::from(weighing.damping);
        if weight > 0.0 { (self.sum / weight) as f32 } else { 0.0 }
    }
}

/// Refuses a catalogue whose numbers could not be written down again: tensors hold `f32`, which are whole up to [`lists::MOST`].
pub(crate) fn check_size(model: &'static str, ratings: &Interactions) -> Result<(), FitError> {
    let n = ratings.n_items();
    if n > lists::MOST {
        return Err(FitError::TooMuchData { model, most: "16,777,216 items", have: n.to_string() });
    }
    Ok(())
}
