//! Settings of `dvbpr`.

use foldin_core::ModelConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::recommend::dvbpr::network::Form;

/// Where the items that a user did not buy come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Negatives {
    /// One for each draw, uniform over what the user did not buy: as published, at the price of twice as many pictures.
    #[default]
    Uniform,
    /// The items of the other draws of the batch, all of them that the user did not buy, their terms averaged: half the pictures, and
    /// items as often as they are bought.
    InBatch,
}

/// How θ starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ThetaStart {
    /// Uniform in [0, 0.01), as released. With a network that starts at random, what makes it learn at all.
    #[default]
    Positive,
    /// Normal with deviation 0.1: for a network that was pretrained.
    Normal,
}

/// Settings of `dvbpr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DvbprConfig {
    /// Which network.
    pub form: Form,
    /// Width and height of pictures, in pixels: 224 for the published network, 32 or 64 for the small one.
    #[schemars(range(min = 16, max = 512))]
    pub px: usize,
    /// K: length of θ and Φ. The paper has 50, the authors' code 100.
    #[schemars(range(min = 1, max = 4096))]
    pub factors: usize,
    /// Epochs at most, each of as many draws as there are positives; that with the best validation AUC is kept.
    #[schemars(range(min = 1, max = 10000))]
    pub epochs: usize,
    /// Epochs without a better validation AUC after which training ends.
    #[schemars(range(min = 1))]
    pub patience: usize,
    /// Draws of a step; losses are summed over them, not averaged.
    #[schemars(range(min = 2, max = 4096))]
    pub batch: usize,
    /// Step of Adam on the network.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub learning_rate: f64,
    /// Step of Adam on θ.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub theta_learning_rate: f64,
    /// λ₁: ½ λ₁ ‖W‖² of all kernels, but no bias, once a step.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// λ₂: ½ λ₂ ‖θ_u‖² for each draw.
    #[schemars(range(min = 0.0))]
    pub regularization: f64,
    /// How θ starts.
    pub theta_start: ThetaStart,
    /// Where the items that were not bought come from.
    pub negatives: Negatives,
    /// Whether pictures are mirrored and moved by up to an eighth at random. Source: no; from scratch it lowers the validation AUC of H&M's
    /// sample within twenty epochs, and raises that of a planted set of a tenth of the purchases.
    pub augment: bool,
}

impl Default for DvbprConfig {
    fn default() -> Self {
        Self::small()
    }
}

impl DvbprConfig {
    /// The released code: CNN-F at 224 pixels, K = 100, everything as there.
    #[must_use]
    pub fn published() -> Self {
        Self {
            form: Form::CnnF,
            px: 224,
            factors: 100,
            epochs: 20,
            patience: 20,
            batch: 128,
            learning_rate: 1e-4,
            theta_learning_rate: 1e-4,
            weight_decay: 1e-3,
            regularization: 1.0,
            theta_start: ThetaStart::Positive,
            negatives: Negatives::Uniform,
            augment: false,
        }
    }

    /// The study's: as published with K = 50 and 14 epochs.
    #[must_use]
    pub fn study() -> Self {
        Self { factors: 50, epochs: 14, ..Self::published() }
    }

    /// A network small enough for a CPU, from scratch.
    #[must_use]
    pub fn small() -> Self {
        Self {
            form: Form::Small,
            px: 32,
            factors: 32,
            epochs: 20,
            patience: 4,
            learning_rate: 1e-3,
            theta_learning_rate: 1e-3,
            negatives: Negatives::InBatch,
            ..Self::published()
        }
    }

    /// The same for a network that was pretrained on what kind items are of.
    #[must_use]
    pub fn pretrained() -> Self {
        Self {
            learning_rate: 5e-4,
            theta_learning_rate: 3e-3,
            regularization: 0.1,
            theta_start: ThetaStart::Normal,
            augment: true,
            ..Self::small()
        }
    }
}

impl ModelConfig for DvbprConfig {
    fn check(&self) -> Result<(), String> {
        let smallest = match self.form {
            Form::Small => 16,
            Form::CnnF => 64,
        };
        if self.px < smallest {
            return Err(format!("`px` is {}; this network needs {smallest} at least", self.px));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recommend::dvbpr::NAME;
    use crate::settings::checked;

    #[test]
    fn presets_are_usable_and_nonsense_is_not() {
        for config in
            [DvbprConfig::published(), DvbprConfig::study(), DvbprConfig::small(), DvbprConfig::pretrained()]
        {
            checked(NAME, &config).unwrap();
        }
        let small = DvbprConfig::small;
        for bad in [
            DvbprConfig { px: 8, ..small() },
            DvbprConfig { px: 32, ..DvbprConfig::study() },
            DvbprConfig { patience: 0, ..small() },
            DvbprConfig { batch: 1, ..small() },
            DvbprConfig { learning_rate: f64::INFINITY, ..small() },
            DvbprConfig { regularization: -1.0, ..small() },
            DvbprConfig { weight_decay: f64::NAN, ..small() },
        ] {
            assert!(checked(NAME, &bad).is_err(), "{bad:?}");
        }
    }
}
