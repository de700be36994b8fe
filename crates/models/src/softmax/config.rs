//! Settings of `mult-vae` and `lfg-softmax`.

use foldin_core::ModelConfig;
use foldin_nn::activation::{Activation, Sharing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Units that a hidden layer may have.
const MOST_UNITS: usize = 16_384;

/// Settings of `mult-vae`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultVaeConfig {
    /// Units of the layer before the Gaussian and of the one after it; the paper's are 600.
    #[schemars(range(min = 1, max = MOST_UNITS))]
    #[schemars(extend("search" = "choice:200:400:600"))]
    pub hidden: usize,
    /// Dimensions of the Gaussian; the paper's are 200.
    #[schemars(range(min = 1, max = MOST_UNITS))]
    #[schemars(extend("search" = "choice:50:100:200"))]
    pub latent: usize,
    /// Activation of the hidden layers; the paper's is `tanh`.
    pub activation: Activation,
    /// Whether each hidden unit has its own parameters of a trained activation, or a layer one set.
    pub activation_sharing: Sharing,
    /// Share of a history that is not read in an epoch.
    #[schemars(range(min = 0.0, max = 0.95))]
    #[schemars(extend("search" = "uniform:0.3:0.85"))]
    pub dropout: f32,
    /// Weight β of the divergence from the prior at the end of its growth; the paper finds 0.2 good.
    #[schemars(range(min = 0.0, max = 100.0))]
    #[schemars(extend("search" = "log:0.02:1"))]
    pub beta: f32,
    /// Epochs in which that weight grows evenly from 0.
    #[schemars(range(min = 0, max = 100_000))]
    pub annealing_epochs: usize,
    /// Weight λ of `½λ‖W‖²` beside the mean loss of a batch.
    #[schemars(range(min = 0.0, max = 1_000.0))]
    #[schemars(extend("search" = "log:0.0001:0.1"))]
    pub weight_decay: f32,
    /// Step of Adam.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[schemars(extend("search" = "log:0.0003:0.003"))]
    pub learning_rate: f64,
    /// Users of a batch.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[schemars(extend("search" = "choice:50:100:250"))]
    pub batch_size: usize,
    /// Passes over all users, at most.
    #[schemars(range(min = 1, max = 100_000))]
    #[schemars(extend("search" = "integers:20:150"))]
    pub epochs: usize,
    /// Share of each user's interactions that is held out to choose the best epoch by nDCG@20, and not learned from
    /// afterwards either; 0 trains on all for all epochs.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Epochs without a better nDCG@20 on the held-out interactions after which training stops; without held-out ones it has no effect.
    #[schemars(range(min = 1, max = 100_000))]
    pub patience: usize,
}

impl Default for MultVaeConfig {
    fn default() -> Self {
        Self {
            hidden: 400,
            latent: 100,
            activation: Activation::Tanh,
            activation_sharing: Sharing::Unit,
            dropout: 0.78,
            beta: 0.33,
            annealing_epochs: 50,
            weight_decay: 4e-4,
            learning_rate: 2.4e-3,
            batch_size: 250,
            epochs: 100,
            validation_fraction: 0.0,
            patience: 10,
        }
    }
}

impl ModelConfig for MultVaeConfig {}

/// Settings of `lfg-softmax`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LfgSoftmaxConfig {
    /// Number of factors.
    #[schemars(range(min = 1, max = MOST_UNITS))]
    #[schemars(extend("search" = "choice:50:100:200"))]
    pub factors: usize,
    /// Widths of the hidden layers between history and factors, at least one, each of 1 to 16384 units.
    #[schemars(extend("minimum" = 1, "maximum" = MOST_UNITS))]
    #[schemars(extend("search" = "choice:[200]:[400]:[600]"))]
    pub widths: Vec<usize>,
    /// Activation of the hidden layers; the factors have none.
    pub activation: Activation,
    /// Whether each hidden unit has its own parameters of a trained activation, or a layer one set.
    pub activation_sharing: Sharing,
    /// Share of a history that is not read in an epoch.
    #[schemars(range(min = 0.0, max = 0.95))]
    #[schemars(extend("search" = "uniform:0.3:0.85"))]
    pub dropout: f32,
    /// Weight λ of `½λ‖W‖²` beside the mean loss of a batch.
    #[schemars(range(min = 0.0, max = 1_000.0))]
    #[schemars(extend("search" = "log:0.0001:0.1"))]
    pub weight_decay: f32,
    /// Step of Adam.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[schemars(extend("search" = "log:0.0002:0.003"))]
    pub learning_rate: f64,
    /// Users of a batch.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[schemars(extend("search" = "choice:50:100:250"))]
    pub batch_size: usize,
    /// Passes over all users, at most.
    #[schemars(range(min = 1, max = 100_000))]
    #[schemars(extend("search" = "integers:10:120"))]
    pub epochs: usize,
    /// Share of each user's interactions that is held out to choose the best epoch by nDCG@20, and not learned from
    /// afterwards either; 0 trains on all for all epochs.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Epochs without a better nDCG@20 on the held-out interactions after which training stops; without held-out ones it has no effect.
    #[schemars(range(min = 1, max = 100_000))]
    pub patience: usize,
}

impl Default for LfgSoftmaxConfig {
    fn default() -> Self {
        Self {
            factors: 50,
            widths: vec![200],
            activation: Activation::Tanh,
            activation_sharing: Sharing::Unit,
            dropout: 0.78,
            weight_decay: 1e-3,
            learning_rate: 1.3e-3,
            batch_size: 100,
            epochs: 75,
            validation_fraction: 0.0,
            patience: 10,
        }
    }
}

impl ModelConfig for LfgSoftmaxConfig {
    fn check(&self) -> Result<(), String> {
        if self.widths.is_empty() || self.widths.iter().any(|width| !(1..=MOST_UNITS).contains(width)) {
            return Err(format!("`widths` must name at least one layer, each of 1 to {MOST_UNITS} units"));
        }
        Ok(())
    }
}

/// What the trainer needs to know, the same for both.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    /// Layers from the history on; before the Gaussian, if there is one, whose means and logarithms of variances are the last.
    pub(super) before: Vec<(usize, Activation)>,
    /// Layers behind the Gaussian, the first its sample itself; none without.
    pub(super) after: Vec<(usize, Activation)>,
    pub(super) sharing: Sharing,
    pub(super) dropout: f32,
    pub(super) beta: f32,
    pub(super) annealing_epochs: usize,
    pub(super) weight_decay: f32,
    pub(super) learning_rate: f64,
    pub(super) batch_size: usize,
    pub(super) epochs: usize,
    pub(super) validation_fraction: f64,
    pub(super) patience: usize,
}

impl From<&MultVaeConfig> for Plan {
    fn from(config: &MultVaeConfig) -> Self {
        Self {
            before: vec![(config.hidden, config.activation), (2 * config.latent, Activation::Identity)],
            after: vec![(config.latent, Activation::Identity), (config.hidden, config.activation)],
            sharing: config.activation_sharing,
            dropout: config.dropout,
            beta: config.beta,
            annealing_epochs: config.annealing_epochs,
            weight_decay: config.weight_decay,
            learning_rate: config.learning_rate,
            batch_size: config.batch_size,
            epochs: config.epochs,
            validation_fraction: config.validation_fraction,
            patience: config.patience,
        }
    }
}

impl From<&LfgSoftmaxConfig> for Plan {
    fn from(config: &LfgSoftmaxConfig) -> Self {
        let hidden = config.widths.iter().map(|&width| (width, config.activation));
        Self {
            before: hidden.chain([(config.factors, Activation::Identity)]).collect(),
            after: Vec::new(),
            sharing: config.activation_sharing,
            dropout: config.dropout,
            beta: 0.0,
            annealing_epochs: 0,
            weight_decay: config.weight_decay,
            learning_rate: config.learning_rate,
            batch_size: config.batch_size,
            epochs: config.epochs,
            validation_fraction: config.validation_fraction,
            patience: config.patience,
        }
    }
}
