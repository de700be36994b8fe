//! Settings of `i-autorec` and `u-autorec`.

use foldin_core::{Auto, ModelConfig};
use foldin_nn::activation::{Activation, Sharing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Units that a hidden layer may have.
const MOST_UNITS: usize = 16_384;

/// Training ratings from which on the settings for larger data are chosen.
const MANY_RATINGS: usize = 300_000;

/// How the network learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Learning {
    /// RProp on the gradient of all ratings, as in the paper: an epoch is one step.
    Rprop,
    /// Adam on batches.
    Adam,
}

/// What is predicted where the network has seen nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unseen {
    /// Damped biases of users and items.
    Bias,
    /// The paper's choice: 3 on a scale of 1 to 5; on others the mean of the training ratings.
    Middle,
}

/// Settings of `i-autorec` and `u-autorec`. The paper fixes the form `f(W·g(V·r + μ) + b)`, the squared error on observed ratings
/// and the L2 penalty on W and V; "automatic" values depend on the model and on the number of training ratings, and were chosen on
/// validation slices of training data of MovieLens 100K and 1M.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoRecConfig {
    /// Widths of the hidden layers, at least one, each of 1 to 16384 units; the paper's are 500, and 500, 250, 500 in its deep form.
    #[schemars(extend("minimum" = 1, "maximum" = MOST_UNITS))]
    #[schemars(extend("search" = "choice:[200]:[500]:[800]"))]
    pub hidden: Vec<usize>,
    /// Activation g of the hidden layers; the paper's is `sigmoid`. `foldin models show` names all.
    pub hidden_activation: Activation,
    /// Activation f of the output; the paper's is `identity`. One that is bounded is stretched over the rating scale. Parameters of a
    /// trained one are shared by all outputs.
    pub output_activation: Activation,
    /// Whether each hidden unit has its own parameters of a trained activation, or a layer one set.
    pub activation_sharing: Sharing,
    /// Whether hidden units are cut to 0 or 1 at one half, the gradient passed through as if they were not. The authors' program
    /// does this; their paper does not say so. For `sigmoid` only.
    pub binary_hidden: bool,
    /// Weight λ of `½λ(‖W‖² + ‖V‖²)` beside `½Σe²`, on ratings moved to a scale of 1 to 5. The authors' program has 200 in these units for MovieLens 1M.
    /// Automatic: 50, or 100 from 300,000 training ratings on.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    #[schemars(extend("search" = "log:10:300"))]
    pub regularization: Auto<f32>,
    /// Whether ratings are read less the mean of all, so that a missing one, 0, says nothing, or as they are, as in the paper.
    pub centred: bool,
    /// Share of a vector's ratings that are not read in an epoch, the others scaled up; all are to be written. Not in the paper; it
    /// prepares for users with few ratings.
    #[schemars(range(min = 0.0, max = 0.95))]
    pub input_dropout: f32,
    /// The same weight for the weights between hidden layers, of which there are far fewer for each rating.
    #[schemars(range(min = 0.0, max = 100_000.0))]
    #[schemars(extend("search" = "log:1:50"))]
    pub dense_regularization: f32,
    /// Share of hidden units dropped in training, which the error reported of the training ratings feels. Not in the paper.
    #[schemars(range(min = 0.0, max = 0.95))]
    #[schemars(extend("search" = "uniform:0:0.6"))]
    pub dropout: f32,
    /// How the network learns; the paper's is `rprop`, which on MovieLens 1M wants about 150 epochs, a regularization of 150
    /// and no dropout.
    pub optimiser: Learning,
    /// Step of Adam; RProp finds its own.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[schemars(extend("search" = "log:0.0003:0.005"))]
    pub learning_rate: f64,
    /// Adam's step is multiplied by this after each epoch.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub learning_rate_decay: f64,
    /// Users (`u-autorec`) or items (`i-autorec`) of a batch of Adam. Automatic: 128, or 512 from 300,000 training ratings on.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub batch_size: Auto<usize>,
    /// Passes over the training ratings, at most. Automatic: 20 (45 in
    /// `u-autorec`), or 35 from 300,000 training ratings on.
    #[schemars(range(min = 1, max = 100_000))]
    #[schemars(extend("search" = "integers:10:80"))]
    pub epochs: Auto<usize>,
    /// Passes of greedy layer-wise pre-training before, for each pair of layers from the outside in: the outermost learns as the whole
    /// does, the others by RProp without dropout or penalty, and with ten times as many. 0 for none. There must then be an odd number
    /// of layers, and their widths the same read backwards, such as 500, 250, 500.
    #[schemars(range(min = 0, max = 100_000))]
    pub pretrain_epochs: usize,
    /// What is predicted for a user or item without training ratings or history.
    pub unseen: Unseen,
    /// Share of each user's training ratings that is held out to choose the best epoch; 0 trains on all for all epochs.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Epochs without a better RMSE on the held-out ratings after which training stops; without held-out ratings it has no effect.
    #[schemars(range(min = 1, max = 100_000))]
    pub patience: usize,
}

impl Default for AutoRecConfig {
    fn default() -> Self {
        Self {
            hidden: vec![500],
            hidden_activation: Activation::Sigmoid,
            output_activation: Activation::Identity,
            activation_sharing: Sharing::Unit,
            binary_hidden: false,
            regularization: Auto::Auto,
            centred: false,
            input_dropout: 0.0,
            dense_regularization: 10.0,
            dropout: 0.3,
            optimiser: Learning::Adam,
            learning_rate: 1e-3,
            learning_rate_decay: 1.0,
            batch_size: Auto::Auto,
            epochs: Auto::Auto,
            pretrain_epochs: 0,
            unseen: Unseen::Bias,
            validation_fraction: 0.0,
            patience: 10,
        }
    }
}

impl ModelConfig for AutoRecConfig {
    fn check(&self) -> Result<(), String> {
        if self.hidden.is_empty() || self.hidden.iter().any(|width| !(1..=MOST_UNITS).contains(width)) {
            return Err(format!("`hidden` must name at least one layer, each of 1 to {MOST_UNITS} units"));
        }
        let mirrored = self.hidden.len() % 2 == 1 && self.hidden.iter().eq(self.hidden.iter().rev());
        if self.pretrain_epochs > 0 && !mirrored {
            return Err(format!(
                "`pretrain_epochs` needs an odd number of layers with widths that are the same read backwards, such as [500, 250, 500], but `hidden` is {:?}",
                self.hidden
            ));
        }
        if self.binary_hidden && self.hidden_activation != Activation::Sigmoid {
            return Err(
                "`binary_hidden` cuts at one half, which needs `hidden_activation` = \"sigmoid\"".to_owned()
            );
        }
        Ok(())
    }
}

/// Settings after looking at the size of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chosen {
    pub(super) regularization: f32,
    pub(super) batch_size: usize,
    pub(super) epochs: usize,
}

impl Chosen {
    /// `users`: whether users are cases.
    pub(super) fn new(config: &AutoRecConfig, users: bool, n_ratings: usize) -> Self {
        let many = n_ratings >= MANY_RATINGS;
        Self {
            regularization: config.regularization.or_else(|| if many { 100.0 } else { 50.0 }),
            batch_size: config.batch_size.or_else(|| if many { 512 } else { 128 }),
            epochs: config.epochs.or_else(|| match (many, users) {
                (true, _) => 35,
                (false, true) => 45,
                (false, false) => 20,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use foldin_core::config::describe;

    use super::*;

    #[test]
    fn the_texts_name_the_automatic_values() {
        let config = AutoRecConfig::default();
        let keys = describe(&config);
        let says = |key: &str, text: &str| {
            let known = keys.iter().find(|known| known.key == key).unwrap();
            assert!(
                known.default == "auto" && known.meaning.contains(text),
                "{key}: {}, not {text}",
                known.meaning
            );
        };
        let of = |users, n_ratings| Chosen::new(&config, users, n_ratings);
        let (few, many) = (of(false, MANY_RATINGS - 1), of(false, MANY_RATINGS));
        let (few_users, many_users) = (of(true, MANY_RATINGS - 1), of(true, MANY_RATINGS));
        let on = "from 300,000 training ratings on.";
        says(
            "regularization",
            &format!("Automatic: {}, or {} {on}", few.regularization, many.regularization),
        );
        says("batch_size", &format!("Automatic: {}, or {} {on}", few.batch_size, many.batch_size));
        let epochs = (few.epochs, few_users.epochs, many.epochs);
        says(
            "epochs",
            &format!("Automatic: {} ({} in `u-autorec`), or {} {on}", epochs.0, epochs.1, epochs.2),
        );
        assert_eq!(many, many_users);
        assert_eq!(Chosen { epochs: few.epochs, ..few_users }, few);
    }
}
