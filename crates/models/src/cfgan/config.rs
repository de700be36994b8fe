//! Settings of `u-cfgan`, `i-cfgan` and `cfgan-aaf`.

use foldin_core::ModelConfig;
use foldin_nn::activation::{Activation, Sharing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Units that a hidden layer may have.
const MOST_UNITS: usize = 16_384;

/// What keeps the generator from writing ones everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Zero reconstruction: sampled places without a purchase are drawn to 0.
    Zr,
    /// Partial masking: the discriminator sees sampled places without a purchase too.
    Pm,
    /// Both, each with its own sample.
    Zp,
}

impl Scheme {
    pub(super) fn reconstructs(self) -> bool {
        self != Self::Pm
    }

    pub(super) fn unmasks(self) -> bool {
        self != Self::Zr
    }
}

/// Settings of `u-cfgan`, `i-cfgan` and `cfgan-aaf`. Defaults are those of the authors' program for MovieLens 100K (item-based, ZP);
/// for MovieLens 1M it has 300 and 250 units, discriminator_regularization 5e-5, discriminator_learning_rate 5e-5, batches of 256 and
/// 512, one pass of each network, shares of 0.9 and 1,475 to 1,550 epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CfganConfig {
    /// How cells without a purchase are used: `zr`, `pm` or `zp`.
    #[schemars(extend("search" = "choice:zr:pm:zp"))]
    pub scheme: Scheme,
    /// Widths of the generator's hidden layers, at least one, each of 1 to 16384 units.
    #[schemars(extend("minimum" = 1, "maximum" = MOST_UNITS, "search" = "choice:[100]:[200]:[400]:[200,200]:[400,400,400,400]"))]
    pub hidden: Vec<usize>,
    /// Widths of the discriminator's hidden layers, at least one, each of 1 to 16384 units.
    #[schemars(extend("minimum" = 1, "maximum" = MOST_UNITS, "search" = "choice:[50]:[125]:[250]:[50,50]:[400,400,400,400]"))]
    pub discriminator_hidden: Vec<usize>,
    /// Activation of the hidden layers of both networks; the authors' is `sigmoid`. `foldin models show` names all.
    pub hidden_activation: Activation,
    /// Activation of the generator's output, one without trained parameters; the authors' is `identity`.
    pub output_activation: Activation,
    /// Whether each hidden unit has its own parameters of a trained activation, or a layer one set.
    pub activation_sharing: Sharing,
    /// Weight α of the mean over a batch of the squared outputs at the places drawn to zero.
    #[schemars(range(min = 0.0, max = 1_000.0), extend("search" = "log:0.01:1"))]
    pub zero_weight: f32,
    /// Share of a row's places without a purchase that are drawn to zero, drawn anew every epoch.
    #[schemars(range(min = 0.0, max = 1.0), extend("search" = "uniform:0.1:0.9"))]
    pub zero_share: f64,
    /// Share of a row's places without a purchase that the discriminator sees, drawn anew every epoch.
    #[schemars(range(min = 0.0, max = 1.0), extend("search" = "uniform:0.1:0.9"))]
    pub unmasked_share: f64,
    /// Weight λ of `½λ‖p‖²` over weights and biases of the generator, beside the mean loss of a batch.
    #[schemars(range(min = 0.0, max = 1_000.0), extend("search" = "log:0.0001:0.1"))]
    pub regularization: f32,
    /// The same for the discriminator.
    #[schemars(range(min = 0.0, max = 1_000.0))]
    pub discriminator_regularization: f32,
    /// Step of the generator's Adam.
    #[schemars(range(min = 0.0, max = 1.0), extend("search" = "log:0.0001:0.005"))]
    pub learning_rate: f64,
    /// Step of the discriminator's Adam.
    #[schemars(range(min = 0.0, max = 1.0), extend("search" = "log:0.0001:0.005"))]
    pub discriminator_learning_rate: f64,
    /// Rows (users or items) of a batch of the generator; each takes two numbers a place of memory.
    #[schemars(range(min = 1, max = 1_000_000), extend("search" = "choice:32:64:128:256"))]
    pub batch_size: usize,
    /// Rows of a batch of the discriminator.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub discriminator_batch_size: usize,
    /// Passes of the generator over all rows in an epoch.
    #[schemars(range(min = 1, max = 1_000), extend("search" = "integers:1:4"))]
    pub passes: usize,
    /// Passes of the discriminator over all rows in an epoch, before those of the generator.
    #[schemars(range(min = 1, max = 1_000), extend("search" = "integers:1:4"))]
    pub discriminator_passes: usize,
    /// Epochs, at most. The authors count passes of the generator: their 1,000 are 250 epochs of 4 passes.
    #[schemars(range(min = 1, max = 100_000), extend("search" = "log-integers:25:400"))]
    pub epochs: usize,
    /// Share of each user's interactions that is held out to choose the best epoch by nDCG@20, and not learned from afterwards either; 0
    /// trains on all for all epochs, as the authors do.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Epochs without a better nDCG@20 on the held-out interactions after which training stops; without held-out ones it has no effect.
    #[schemars(range(min = 1, max = 100_000))]
    pub patience: usize,
}

impl Default for CfganConfig {
    fn default() -> Self {
        Self {
            scheme: Scheme::Zp,
            hidden: vec![400],
            discriminator_hidden: vec![125],
            hidden_activation: Activation::Sigmoid,
            output_activation: Activation::Identity,
            activation_sharing: Sharing::Unit,
            zero_weight: 0.03,
            zero_share: 0.7,
            unmasked_share: 0.7,
            regularization: 1e-3,
            discriminator_regularization: 0.0,
            learning_rate: 1e-4,
            discriminator_learning_rate: 1e-4,
            batch_size: 32,
            discriminator_batch_size: 64,
            passes: 4,
            discriminator_passes: 2,
            epochs: 250,
            validation_fraction: 0.0,
            patience: 30,
        }
    }
}

impl ModelConfig for CfganConfig {
    fn check(&self) -> Result<(), String> {
        for (key, widths) in [("hidden", &self.hidden), ("discriminator_hidden", &self.discriminator_hidden)]
        {
            if widths.is_empty() || widths.iter().any(|width| !(1..=MOST_UNITS).contains(width)) {
                return Err(format!("`{key}` must name at least one layer, each of 1 to {MOST_UNITS} units"));
            }
        }
        if self.output_activation.parameters().is_empty() {
            return Ok(());
        }
        Err(format!(
            "`output_activation` must have no trained parameters, but `{}` has",
            self.output_activation.name()
        ))
    }
}
