//! Settings of `lfg` and `lfg-plus`.

use foldin_core::{Auto, Interactions, ModelConfig};
use foldin_nn::activation::{Activation, Sharing};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Training ratings from which on the settings for larger data are chosen.
const MANY_RATINGS: usize = 300_000;

/// Items from which on the first layer learns row by row, however few ratings there are.
const MANY_ITEMS: usize = 50_000;

/// Units that a hidden layer may have.
const MOST_UNITS: usize = 16_384;

/// What the generator's last layer passes its sums through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputActivation {
    /// The hyperbolic tangent, as in the paper: factors and bias lie between −1 and 1.
    Tanh,
    /// Nothing.
    Identity,
}

/// Where the items' factors start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ItemInit {
    /// `√S·V'` of the truncated SVD of the training matrix, ratings less their mean, zero where there is no rating.
    SvdCentered,
    /// As `svd_centered`, of the ratings as they are on a scale that starts at 1, zero where there is no rating.
    SvdRaw,
    /// Normal numbers of the same mean square as the factors of `svd_centered`.
    Random,
}

/// How the first layer learns, which has a row of weights for each item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputLearning {
    /// By Adam, as all else: 12 bytes a weight.
    Adam,
    /// By one step size for each row, without momentum, kept in half precision: 2 bytes a weight.
    RowWise,
}

/// Settings of `lfg` and `lfg-plus`. "Automatic" values depend on the number of training ratings, and some on `item_features`,
/// which is what tells `lfg-plus` from `lfg`.
///
/// The paper fixes the structure (linear, LeakyReLU, batch normalisation, …, tanh), the SVD start and the loss. All else here
/// is left open by it; defaults were chosen on a validation slice of training data of MovieLens 100K and 1M.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LfgConfig {
    /// Number of factors k; the paper's is 50.
    #[schemars(range(min = 1, max = 512))]
    #[schemars(extend("search" = "log-integers:16:128"))]
    pub factors: usize,
    /// Widths of the hidden layers, at least one layer, each of 1 to 16384 units. The paper does not say.
    #[schemars(extend("minimum" = 1, "maximum" = MOST_UNITS))]
    #[schemars(extend("search" = "choice:[512,128]:[1024,512]:[256,64]"))]
    pub widths: Vec<usize>,
    /// Share of a user's ratings hidden from the input in each epoch, drawn afresh; the paper's is 0.1. The loss is on all ratings,
    /// hidden ones included, which the paper leaves open.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub mask: f32,
    /// If given, the share hidden is drawn for each user and epoch uniformly between `mask` and this; it must be no less. Not in
    /// the paper. Automatic: the same as `mask`.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub mask_up_to: Auto<f32>,
    /// The input of a user with n visible ratings is multiplied by (100/n) to this power. Not in the paper.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub input_exponent: f32,
    /// Whether the input says which items are rated besides what the ratings are. Not in the paper.
    pub indicator: bool,
    /// Whether side information of users is part of the input, as in the paper.
    pub side_information: bool,
    /// Whether a batch normalisation follows the first activation, as in the paper.
    pub batch_norm: bool,
    /// Activation of the hidden layers; the paper's is `leaky_relu`, which is also the fastest. `foldin models show` names all.
    pub hidden_activation: Activation,
    /// Whether each hidden unit has its own parameters of a trained activation, or a layer one set.
    pub activation_sharing: Sharing,
    /// Slope of `leaky_relu` below zero. The paper does not say. It has no effect on other activations.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub leaky_slope: f32,
    /// What the last layer passes its sums through; the paper's is `tanh`.
    pub output: OutputActivation,
    /// Where the items' factors start; the paper's is the SVD of the training matrix.
    pub item_init: ItemInit,
    /// The items' first factors are multiplied by this. With `tanh` the unscaled ones are far too large. Not in the paper.
    #[schemars(range(min = 0.0, max = 100.0))]
    pub item_init_scale: f32,
    /// Whether the items' factors are trained, as in the paper, or stay as they start. Their biases are always trained.
    pub train_items: bool,
    /// Whether factors and biases of items get a part regressed on features of the items: side information, popularity and
    /// co-occurrence. Not in the paper; this is what makes `lfg-plus`.
    pub item_features: bool,
    /// Number of co-occurrence features among them. Automatic: 30, or 50 from 300,000 training ratings on.
    #[schemars(range(min = 0, max = 512))]
    pub cooccurrence_features: Auto<usize>,
    /// Share of hidden units dropped in training. Not in the paper. Automatic: 0.4 (0.3 with `item_features`), or 0.5 (0.3 with
    /// `item_features`) from 300,000 training ratings on.
    #[schemars(range(min = 0.0, max = 0.95))]
    #[schemars(extend("search" = "uniform:0:0.6"))]
    pub dropout: Auto<f32>,
    /// How the first layer learns, which has a row of weights for each item: by `adam` as all else, or `row_wise`, with one step size a
    /// row and weights in half precision, in a sixth of the memory. Automatic: `row_wise` from 300,000 training ratings or
    /// 50,000 items on, unless weights are averaged, and `adam` otherwise.
    pub input_learning: Auto<InputLearning>,
    /// Step of Adam, and of rows where the first layer learns row by row. The paper names no optimiser. Automatic: 3e-4 (5e-4 with `item_features`), or 5e-4 from 300,000
    /// training ratings on.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[schemars(extend("search" = "log:0.0003:0.01"))]
    pub learning_rate: Auto<f64>,
    /// The learning rate is multiplied by this after each epoch. Automatic: 1, or 0.96 from 300,000 training ratings on.
    #[schemars(range(min = 0.01, max = 1.0))]
    pub learning_rate_decay: Auto<f64>,
    /// Learning rate of the items' biases, in learning rates: they start at zero and have far to go. Automatic: 10 (6 with
    /// `item_features`), or 5 from 300,000 training ratings on.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub bias_learning_rate_multiplier: Auto<f32>,
    /// Coupled L2 decay of the generator's weights. Not in the paper. Automatic: 2e-3, or 3e-4 from 300,000 training ratings on.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[schemars(extend("search" = "log:0.00001:0.01"))]
    pub weight_decay: Auto<f32>,
    /// Coupled L2 decay of the items' factors. Not in the paper. Automatic: 1e-3 (2e-3 with `item_features`), or 1e-4 from
    /// 300,000 training ratings on.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[schemars(extend("search" = "log:0.0001:0.1"))]
    pub item_weight_decay: Auto<f32>,
    /// Users of a batch. The paper does not say. Automatic: 32, or 64 from 300,000 training ratings on.
    #[schemars(range(min = 1, max = 65536))]
    pub batch_size: Auto<usize>,
    /// Passes over the training ratings, at most. The paper does not say. Automatic: 40 (30 with `item_features`), or 40 from
    /// 300,000 training ratings on.
    #[schemars(range(min = 1, max = 10000))]
    #[schemars(extend("search" = "integers:10:80"))]
    pub epochs: Auto<usize>,
    /// Share of each user's training ratings that is held out to choose the best epoch; 0 trains on all for all epochs.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Epochs without a better RMSE on the held-out ratings after which training stops; without held-out ratings it has no effect.
    #[schemars(range(min = 1, max = 10000))]
    pub patience: usize,
    /// Decay, per batch, of the running mean of the weights that is used in the place of the last ones; 0 uses the last ones.
    /// Not in the paper.
    #[schemars(range(min = 0.0, max = 0.99999))]
    pub weight_averaging: f64,
}

impl Default for LfgConfig {
    /// The paper's network.
    fn default() -> Self {
        Self {
            factors: 50,
            widths: vec![512, 128],
            mask: 0.1,
            mask_up_to: Auto::Auto,
            input_exponent: 0.7,
            indicator: true,
            side_information: true,
            batch_norm: true,
            hidden_activation: Activation::LeakyRelu,
            activation_sharing: Sharing::Unit,
            leaky_slope: 0.01,
            output: OutputActivation::Tanh,
            item_init: ItemInit::SvdRaw,
            item_init_scale: 0.15,
            train_items: true,
            item_features: false,
            cooccurrence_features: Auto::Auto,
            dropout: Auto::Auto,
            input_learning: Auto::Auto,
            learning_rate: Auto::Auto,
            learning_rate_decay: Auto::Auto,
            bias_learning_rate_multiplier: Auto::Auto,
            weight_decay: Auto::Auto,
            item_weight_decay: Auto::Auto,
            batch_size: Auto::Auto,
            epochs: Auto::Auto,
            validation_fraction: 0.0,
            patience: 5,
            weight_averaging: 0.0,
        }
    }
}

impl LfgConfig {
    /// The defaults of `lfg-plus`.
    pub(super) fn plus() -> Self {
        Self {
            mask: 0.0,
            mask_up_to: Auto::Value(1.0),
            input_exponent: 0.6,
            item_features: true,
            weight_averaging: 0.995,
            ..Self::default()
        }
    }
}

impl ModelConfig for LfgConfig {
    fn check(&self) -> Result<(), String> {
        if self.widths.is_empty() || self.widths.iter().any(|width| !(1..=MOST_UNITS).contains(width)) {
            return Err(format!(
                "`widths` must name at least one hidden layer, each of 1 to {MOST_UNITS} units"
            ));
        }
        if let Auto::Value(most) = self.mask_up_to
            && most < self.mask
        {
            return Err(format!("`mask_up_to` is {most}, but must be no less than `mask`, {}", self.mask));
        }
        if self.input_learning == Auto::Value(InputLearning::RowWise) && self.weight_averaging > 0.0 {
            return Err("`input_learning` = \"row_wise\" keeps no average of weights, but `weight_averaging` asks for one".to_owned());
        }
        Ok(())
    }
}

/// Settings after looking at the size of the data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Chosen {
    pub(super) cooccurrence_features: usize,
    pub(super) dropout: f32,
    pub(super) input_learning: InputLearning,
    pub(super) learning_rate: f64,
    pub(super) learning_rate_decay: f64,
    pub(super) bias_multiplier: f32,
    pub(super) weight_decay: f32,
    pub(super) item_weight_decay: f32,
    pub(super) batch_size: usize,
    pub(super) epochs: usize,
}

impl Chosen {
    pub(super) fn new(config: &LfgConfig, ratings: &Interactions) -> Self {
        Self::of_size(config, ratings.len(), ratings.n_items())
    }

    fn of_size(config: &LfgConfig, n_ratings: usize, n_items: usize) -> Self {
        let many = n_ratings >= MANY_RATINGS;
        let row_wise = (many || n_items >= MANY_ITEMS) && config.weight_averaging == 0.0;
        let plus = config.item_features;
        Self {
            cooccurrence_features: config.cooccurrence_features.or_else(|| if many { 50 } else { 30 }),
            dropout: config.dropout.or_else(|| match (many, plus) {
                (false, false) => 0.4,
                (true, false) => 0.5,
                (_, true) => 0.3,
            }),
            input_learning: config
                .input_learning
                .or_else(|| if row_wise { InputLearning::RowWise } else { InputLearning::Adam }),
            learning_rate: config.learning_rate.or_else(|| if many || plus { 5e-4 } else { 3e-4 }),
            learning_rate_decay: config.learning_rate_decay.or_else(|| if many { 0.96 } else { 1.0 }),
            bias_multiplier: config.bias_learning_rate_multiplier.or_else(|| match (many, plus) {
                (true, _) => 5.0,
                (false, true) => 6.0,
                (false, false) => 10.0,
            }),
            weight_decay: config.weight_decay.or_else(|| if many { 3e-4 } else { 2e-3 }),
            item_weight_decay: config.item_weight_decay.or_else(|| match (many, plus) {
                (true, _) => 1e-4,
                (false, true) => 2e-3,
                (false, false) => 1e-3,
            }),
            batch_size: config.batch_size.or_else(|| if many { 64 } else { 32 }),
            epochs: config.epochs.or_else(|| if plus && !many { 30 } else { 40 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use foldin_core::config::{ConfigKey, describe};

    use super::*;

    /// A number as the texts write it.
    fn written(x: f64) -> String {
        if x < 0.01 { format!("{x:e}") } else { x.to_string() }
    }

    #[test]
    fn the_texts_name_the_automatic_values() {
        let chosen =
            |config: &LfgConfig| [MANY_RATINGS - 1, MANY_RATINGS].map(|n| Chosen::of_size(config, n, 9));
        let (plain, plus) = (LfgConfig::default(), LfgConfig::plus());
        let keys = describe(&plain);
        let check = |key: &str, value: fn(&Chosen) -> f64| {
            let [few, many] = [0, 1].map(|at| {
                let [plain, plus] = [&plain, &plus].map(|config| written(value(&chosen(config)[at])));
                if plain == plus { plain } else { format!("{plain} ({plus} with `item_features`)") }
            });
            let text = if few == many {
                format!("Automatic: {few}.")
            } else {
                format!("Automatic: {few}, or {many} from 300,000 training ratings on.")
            };
            let ConfigKey { default, meaning, .. } = keys.iter().find(|known| known.key == key).unwrap();
            assert!(
                default == "auto" && meaning.ends_with(&text),
                "{key} says: {meaning}\nbut it is: {text}"
            );
        };
        // Those kept as `f32`, in the digits of one.
        check("cooccurrence_features", |chosen| chosen.cooccurrence_features as f64);
        check("dropout", |chosen| chosen.dropout.to_string().parse().unwrap());
        check("learning_rate", |chosen| chosen.learning_rate);
        check("learning_rate_decay", |chosen| chosen.learning_rate_decay);
        check("bias_learning_rate_multiplier", |chosen| f64::from(chosen.bias_multiplier));
        check("weight_decay", |chosen| chosen.weight_decay.to_string().parse().unwrap());
        check("item_weight_decay", |chosen| chosen.item_weight_decay.to_string().parse().unwrap());
        check("batch_size", |chosen| chosen.batch_size as f64);
        check("epochs", |chosen| chosen.epochs as f64);
        for key in keys.iter().filter(|key| key.default == "auto") {
            assert!(key.meaning.contains("Automatic: "), "{} says: {}", key.key, key.meaning);
        }
    }

    #[test]
    fn the_range_of_widths_is_shown_and_checked() {
        let keys = describe(&LfgConfig::default());
        let widths = keys.iter().find(|key| key.key == "widths").unwrap();
        assert_eq!(widths.range, format!("≥ 1 and ≤ {MOST_UNITS}"));
        let with = |widths: Vec<usize>| LfgConfig { widths, ..LfgConfig::default() }.check();
        assert!(with(vec![1]).is_ok() && with(vec![MOST_UNITS, 3]).is_ok());
        assert!(with(vec![]).is_err() && with(vec![0]).is_err() && with(vec![3, MOST_UNITS + 1]).is_err());
    }
}
