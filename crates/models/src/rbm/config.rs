//! Settings of `u-rbm` and `i-rbm`.

use foldin_core::ModelConfig;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is drawn at random while a chain of contrastive divergence runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Chain {
    /// Hidden states and levels are drawn: Gibbs sampling, as the method is defined.
    Sampled,
    /// Hidden states are drawn; visible units keep their probabilities.
    SampledHidden,
    /// Nothing is drawn: probabilities stand for states.
    MeanField,
}

/// How ratings are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Hidden probabilities given the history, and the levels given these: the paper's own experiments.
    MeanField,
    /// The exact distribution over levels given the history, the paper's equation 7.
    Exact,
}

/// Settings of `u-rbm` and `i-rbm`. What the sources say is named; all else was chosen on a validation slice of training data
/// of MovieLens 1M.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RbmConfig {
    /// Number of hidden units; the paper's is 100, the code of AutoRec's authors has 500.
    #[schemars(range(min = 1, max = 16384))]
    #[schemars(extend("search" = "log-integers:50:500"))]
    pub hidden_units: usize,
    /// Whether hidden units also see which visible units are rated (the paper's conditional form). Only ratings of the training
    /// part or of a given history count as rated, never the pairs to be predicted, which the paper counts too.
    pub conditional: bool,
    /// Steps T of the chain in the first epoch; T grows evenly from this to `last_steps` over the epochs. The paper's starts at 1.
    #[schemars(range(min = 1, max = 1000))]
    pub first_steps: usize,
    /// Steps T of the chain in the last epoch. The paper's figure 3 goes to 9, the code of AutoRec's authors to 3; 3 gained nothing
    /// on the validation slice and takes more than twice the time.
    #[schemars(range(min = 1, max = 1000))]
    #[schemars(extend("search" = "integers:1:9"))]
    pub last_steps: usize,
    /// What is drawn at random in the chain; the paper draws, the code of AutoRec's authors does not.
    pub chain: Chain,
    /// How ratings are predicted.
    pub prediction: Form,
    /// Passes over the ratings, at most; the paper's are 40 to 50.
    #[schemars(range(min = 1, max = 10000))]
    #[schemars(extend("search" = "log-integers:20:150"))]
    pub epochs: usize,
    /// Cases of a batch: users, or items in `i-rbm`. The paper's is 1000.
    #[schemars(range(min = 1, max = 65536))]
    pub batch_size: usize,
    /// Step of weights and biases in the first epoch; see `count_exponent` for what it multiplies.
    #[schemars(range(max = 10.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:0.001:0.05"))]
    pub learning_rate: f32,
    /// Factor on the step from one epoch to the next.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub learning_rate_decay: f32,
    /// The gradient of a visible unit that n cases of a batch have is divided by n to this power: 1 takes the mean, 0 the sum. The
    /// paper has the mean over all cases, so that units with few ratings learn slowly. Not in the paper.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub count_exponent: f32,
    /// Momentum of the first five epochs.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub first_momentum: f32,
    /// Momentum after them; the paper's is 0.9.
    #[schemars(range(min = 0.0, max = 0.99))]
    pub momentum: f32,
    /// Shrinkage of the weights of a visible unit with each batch that has it, in learning rates; biases are not shrunk. The
    /// paper's is 0.001 in a scaling of its own.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[schemars(extend("search" = "log:0.0001:0.05"))]
    pub weight_decay: f32,
    /// Standard deviation of the first weights; the paper's is 0.01.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub start_deviation: f32,
    /// Share of each user's ratings held out to choose the best epoch; 0 trains on all ratings for all epochs.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Epochs without improvement of the held-out part after which to stop; without effect if nothing is held out.
    #[schemars(range(min = 1, max = 10000))]
    pub patience: usize,
}

impl Default for RbmConfig {
    /// The defaults of `u-rbm`.
    fn default() -> Self {
        Self {
            hidden_units: 300,
            conditional: true,
            first_steps: 1,
            last_steps: 1,
            chain: Chain::MeanField,
            prediction: Form::MeanField,
            epochs: 24,
            batch_size: 100,
            learning_rate: 0.004,
            learning_rate_decay: 0.9,
            count_exponent: 0.5,
            first_momentum: 0.5,
            momentum: 0.9,
            weight_decay: 0.15,
            start_deviation: 0.01,
            validation_fraction: 0.0,
            patience: 5,
        }
    }
}

impl RbmConfig {
    /// The defaults of `i-rbm`.
    pub(super) fn items() -> Self {
        Self { epochs: 20, learning_rate: 0.005, ..Self::default() }
    }

    /// Steps of the chain in an epoch, from 0.
    pub(super) fn steps_in(&self, epoch: usize) -> usize {
        let more = self.last_steps.saturating_sub(self.first_steps) + 1;
        (self.first_steps + more * epoch / self.epochs).min(self.last_steps)
    }

    /// Momentum in an epoch, from 0.
    pub(super) fn momentum_in(&self, epoch: usize) -> f32 {
        if epoch < SLOW_EPOCHS { self.first_momentum } else { self.momentum }
    }

    /// Learning rate in an epoch, from 0.
    pub(super) fn learning_rate_in(&self, epoch: usize) -> f32 {
        (f64::from(self.learning_rate) * f64::from(self.learning_rate_decay).powf(epoch as f64)) as f32
    }
}

/// Epochs with the first momentum.
const SLOW_EPOCHS: usize = 5;

impl ModelConfig for RbmConfig {
    fn check(&self) -> Result<(), String> {
        if self.last_steps < self.first_steps {
            return Err(format!(
                "`last_steps` is {}, but must be no less than `first_steps`, {}",
                self.last_steps, self.first_steps
            ));
        }
        Ok(())
    }
}
