//! Settings of a design.

use foldin_core::config::ModelConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What keeps noise near what the generator was trained on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    /// Nothing, as in the authors' code.
    None,
    /// `z = tanh(z')`: within −1…1, for a generator trained on U(−1, 1).
    Tanh,
    /// Noise longer than the square root of its length is shortened to it after each step: where draws of N(0, 1) lie.
    #[default]
    Norm,
}

/// Which of the finished starts are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// Those of the highest objective.
    #[default]
    Best,
    /// Drawn without return with probability proportional to `exp(objective)`.
    Drawn,
}

/// Settings of `design`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DesignConfig {
    /// Random starts that are moved side by side. Source: 16 (authors' code).
    #[schemars(range(min = 1, max = 4096))]
    pub starts: usize,
    /// Steps of each. Source: 10 (authors' code); ours: 40.
    #[schemars(range(min = 1, max = 10_000))]
    pub steps: usize,
    /// Adam's step. Source: 0.05 (authors' code).
    #[schemars(range(min = 1e-4, max = 10.0))]
    pub learning_rate: f64,
    /// η: what a picture that the discriminator doubts costs. Source: 1 (authors' code).
    #[schemars(range(min = 0.0, max = 1e4))]
    pub realism: f64,
    /// Factor of the logarithm of the probability that a classifier gives the category, where there is a classifier: a person who likes what
    /// another category looks like would draw designs into it. Source: 0 (authors' code); ours: 1.
    #[schemars(range(min = 0.0, max = 1e4))]
    pub category: f64,
    /// Views over which preference is averaged: the picture as it is, and others that are moved by up to a sixteenth of its side, every second
    /// one mirrored, new ones at each step. What only one network sees in single pixels is thus not climbed. Source: 1 (authors' code).
    #[schemars(range(min = 1, max = 64))]
    pub views: usize,
    /// Standard deviation of the starting noise. Source: 0.5 (authors' code); ours: 1, as in training.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub start_deviation: f64,
    /// What keeps noise near that of training. Source: none (authors' code), tanh (paper).
    pub bound: Bound,
    /// Designs that are kept.
    #[schemars(range(min = 1, max = 4096))]
    pub keep: usize,
    /// Which are kept.
    pub choice: Choice,
    /// Steps towards an item's picture before preference counts, when tailoring.
    #[schemars(range(min = 1, max = 10_000))]
    pub inversion_steps: usize,
}

impl Default for DesignConfig {
    fn default() -> Self {
        Self {
            starts: 16,
            steps: 40,
            learning_rate: 0.05,
            realism: 1.0,
            category: 1.0,
            views: 4,
            start_deviation: 1.0,
            bound: Bound::Norm,
            keep: 4,
            choice: Choice::Best,
            inversion_steps: 100,
        }
    }
}

impl ModelConfig for DesignConfig {
    fn check(&self) -> Result<(), String> {
        if self.keep > self.starts {
            return Err(format!("`keep` is {}, more than the {} `starts`", self.keep, self.starts));
        }
        Ok(())
    }
}
