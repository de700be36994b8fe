//! Gradients against finite differences of a twin in `f64`, and the frozen generator against the same twin.
//!
//! After one step from zero moments, Adam's mean of gradients is `(1 − β₁)·g`: that is how the gradients of the fused step are
//! seen, although none is ever stored.

use foldin_core::random::Random;
use foldin_core::{
    Auto, Csr, FeatureSchema, Features, Feedback, Field, FieldKind, Interactions, RatingScale, TrainingData,
    UserView,
};
use foldin_nn::adam::Adam;
use foldin_nn::sparse_layer::NORM_EPSILON;

use super::super::batch::Batches;
use super::super::frozen::Frozen;
use super::*;

const MEAN: f32 = 3.2;

/// Ratings and side information of nine users and seven items; a user and an item have none.
fn data() -> (Interactions, Features) {
    let mut random = Random::new(8);
    let mut cells = Vec::new();
    for user in 0..8 {
        for item in 0..6 {
            if random.chance(0.6) {
                cells.push((user, item, 1.0 + random.below(5) as f32));
            }
        }
    }
    let scale = RatingScale { min: 1.0, max: 5.0, step: Some(1.0) };
    let ratings =
        Interactions::new(Csr::from_triples(9, 7, &cells).unwrap(), None, Feedback::Explicit(scale));
    let values = ["a", "b", "c"].map(str::to_owned).to_vec();
    let schema = FeatureSchema::new(vec![Field { name: "job".into(), kind: FieldKind::Category { values } }]);
    let jobs: Vec<(u32, u32, f32)> = (0..9).map(|user| (user, user % 3, 1.0)).collect();
    let features = Features::new(schema.into(), Csr::from_triples(9, 3, &jobs).unwrap()).unwrap();
    (ratings.unwrap(), features)
}

fn config(change: impl FnOnce(&mut LfgConfig)) -> LfgConfig {
    let mut config = LfgConfig {
        factors: 3,
        widths: vec![70, 9],
        mask: 0.2,
        dropout: Auto::Value(0.5),
        weight_decay: Auto::Value(0.0),
        item_weight_decay: Auto::Value(0.0),
        batch_size: Auto::Value(16),
        epochs: Auto::Value(1),
        item_init_scale: 1.0,
        ..LfgConfig::default()
    };
    change(&mut config);
    config
}

/// A trainer with all of its random start, features of items where there are to be some, and the one batch there is.
fn trainer<'a>(
    config: &LfgConfig,
    ratings: &Interactions,
    users: &Features,
    features: &'a [f32],
) -> (Trainer<'a>, Segment) {
    let shape = Shape {
        n_items: ratings.n_items(),
        n_side: if config.side_information { users.width() } else { 0 },
        n_features: features.len() / ratings.n_items(),
        k: config.factors,
        widths: config.widths.clone(),
    };
    let chosen = Chosen::new(config, ratings.len());
    let items = Features::none(ratings.n_items());
    let data = TrainingData { interactions: ratings, user_features: users, item_features: &items };
    let batches = Batches::new(data, config, chosen.batch_size, MEAN, 1.0, 5);
    let segment = batches.prepare(&batches.epoch(0)[0], 0);
    let mut network = Network::new(&shape, config, ratings, MEAN, 1.0, 5);
    let mut random = Random::new(6);
    for table in [&mut network.items, &mut network.features] {
        for row in table.w.chunks_exact_mut(shape.padded()) {
            row[..shape.k].iter_mut().for_each(|w| *w += 0.3 * random.normal() as f32);
            row[shape.k + 1] = 0.3 * random.normal() as f32;
        }
    }
    let steps = Steps::new(Adam::default(), [1e-3]);
    let rules = Rules::new(&shape, config, &chosen, steps, 5);
    (Trainer::new(shape, rules, network, features), segment)
}

/// The four tables in `f64`.
type Weights = [Vec<f64>; 4];

fn weights(network: &Network) -> Weights {
    [&network.inputs, &network.dense, &network.items, &network.features]
        .map(|table| table.w.iter().map(|&w| f64::from(w)).collect())
}

struct Twin<'a> {
    shape: &'a Shape,
    rules: &'a Rules,
    features: &'a [f32],
    /// Running mean and variance; those of the batch if absent.
    running: Option<(&'a [f32], &'a [f32])>,
    drops: bool,
}

impl Twin<'_> {
    fn leaky(&self, x: f64) -> f64 {
        if x > 0.0 { x } else { f64::from(self.rules.slope) * x }
    }

    fn kept(&self, layer: usize, position: usize) -> f64 {
        if self.drops { f64::from(self.rules.dropout(layer, 0).factor(position as u32)) } else { 1.0 }
    }

    /// Factors and bias of each user of a batch.
    fn generate(&self, batch: &Batch, [inputs, dense, ..]: &Weights) -> Vec<Vec<f64>> {
        let layout = self.shape.layout();
        let padded = self.shape.n_blocks() * BLOCK;
        let width = self.shape.widths[0];
        let mut x = vec![vec![0.0; width]; batch.n];
        for unit in 0..width {
            let at =
                |row: u32| (unit / BLOCK * self.shape.n_inputs() + row as usize) * TABLE_BLOCK + unit % BLOCK;
            let mut h = vec![dense[layout.bias.start + unit]; batch.n];
            for (position, &row) in batch.inputs.rows.iter().enumerate() {
                for entry in batch.inputs.of(position) {
                    h[entry.user as usize] +=
                        f64::from(entry.a) * inputs[at(row)] + f64::from(entry.b) * inputs[at(row) + BLOCK];
                }
            }
            h.iter_mut().for_each(|h| *h = self.leaky(*h));
            if self.rules.batch_norm {
                let n = batch.n as f64;
                let mean = h.iter().sum::<f64>() / n;
                let variance = h.iter().map(|h| (h - mean).powi(2)).sum::<f64>() / n;
                let (mean, variance) = match self.running {
                    Some((mean, variance)) => (f64::from(mean[unit]), f64::from(variance[unit])),
                    None => (mean, variance),
                };
                let (gamma, beta) = (dense[layout.gamma.start + unit], dense[layout.beta.start + unit]);
                let deviation = (variance + f64::from(NORM_EPSILON)).sqrt();
                h.iter_mut().for_each(|h| *h = gamma * (*h - mean) / deviation + beta);
            }
            for (user, h) in h.iter().enumerate() {
                x[user][unit] = h * self.kept(0, user * padded + unit);
            }
        }
        for (number, layer) in layout.layers.iter().enumerate() {
            let last = number + 1 == layout.layers.len();
            for (user, x) in x.iter_mut().enumerate() {
                let out = (0..layer.outputs).map(|output| {
                    let products = x.iter().enumerate();
                    let sum: f64 = products
                        .map(|(input, x)| x * dense[layer.weights.start + input * layer.outputs + output])
                        .sum::<f64>()
                        + dense[layer.bias.start + output];
                    match (last, self.rules.output) {
                        (true, OutputActivation::Tanh) => sum.tanh(),
                        (true, OutputActivation::Identity) => sum,
                        (false, _) => self.leaky(sum) * self.kept(number + 1, user * layer.outputs + output),
                    }
                });
                *x = out.collect();
            }
        }
        x
    }

    /// Mean squared error of a batch.
    fn loss(&self, batch: &Batch, weights: &Weights) -> f64 {
        let users = self.generate(batch, weights);
        let (k, padded, width) = (self.shape.k, self.shape.padded(), self.shape.n_features);
        let [.., items, features] = weights;
        let column = |item: usize, column: usize| {
            let own = &self.features[item * width..(item + 1) * width];
            let regressed =
                own.iter().enumerate().map(|(at, &f)| f64::from(f) * features[at * padded + column]);
            items[item * padded + column] + regressed.sum::<f64>()
        };
        let mut squares = 0.0;
        for user in 0..batch.n {
            for target in &batch.targets[batch.offsets[user]..batch.offsets[user + 1]] {
                let item = batch.raters.rows[target.item as usize] as usize;
                let dot: f64 = (0..k).map(|factor| users[user][factor] * column(item, factor)).sum();
                squares += (dot + users[user][k] + column(item, k + 1) - f64::from(target.value)).powi(2);
            }
        }
        squares / batch.targets.len() as f64
    }
}

fn check_gradients(name: &str, change: impl FnOnce(&mut LfgConfig), n_features: usize) {
    let config = config(change);
    let (ratings, users) = data();
    let features: Vec<f32> = (0..7 * n_features).map(|at| (at % 5) as f32 / 4.0 - 0.4).collect();
    let (mut trainer, segment) = trainer(&config, &ratings, &users, &features);
    let batch = &segment.batches[0];
    assert_eq!((segment.batches.len(), batch.n), (1, 8), "one batch, without the user who rated nothing");
    let before = weights(&trainer.network);
    trainer.begin(&segment, 0);
    let squares = trainer.step(batch, 0);
    let (shape, rules) = (&trainer.shape, &trainer.rules);
    let twin = Twin { shape, rules, features: &features, running: None, drops: true };
    let loss = twin.loss(batch, &before);
    assert!((squares / batch.targets.len() as f64 / loss - 1.0).abs() < 1e-5, "{name}: loss {loss}");
    let network = &trainer.network;
    let tables = [&network.inputs, &network.dense, &network.items, &network.features];
    let mut random = Random::new(1);
    for (which, table) in tables.into_iter().enumerate().filter(|(_, table)| !table.w.is_empty()) {
        let gradient: Vec<f64> = table.m.iter().map(|&m| f64::from(m) / 0.1).collect();
        let largest = gradient.iter().fold(0.0f64, |most, g| most.max(g.abs()));
        assert!(largest > 1e-4, "{name}: table {which} has gradients");
        let mut with = before.clone();
        // All of a small table, a sample of a large one, half of it where the gradient is not zero.
        let touched: Vec<usize> = (0..gradient.len()).filter(|&at| gradient[at] != 0.0).collect();
        let n = gradient.len();
        let sample: Vec<usize> = if n <= 400 {
            (0..n).collect()
        } else {
            (0..400)
                .map(
                    |turn| if turn % 2 == 0 { random.below(n) } else { touched[random.below(touched.len())] },
                )
                .collect()
        };
        for at in sample {
            // The column that meets the users' bias is a constant, not a parameter; what lies beyond the item's bias is padding.
            if which >= 2 && (at % shape.padded() == shape.k || at % shape.padded() > shape.k + 1) {
                continue;
            }
            let (old, small) = (with[which][at], 1e-6);
            with[which][at] = old + small;
            let above = twin.loss(batch, &with);
            with[which][at] = old - small;
            let below = twin.loss(batch, &with);
            with[which][at] = old;
            let expected = (above - below) / (2.0 * small);
            // Sums of some hundred terms in `f32`.
            assert!(
                (gradient[at] - expected).abs() < 2e-5 * largest.max(0.1),
                "{name}: table {which} at {at}: {} instead of {expected} (largest {largest})",
                gradient[at]
            );
        }
    }
}

#[test]
fn gradients_are_those_of_the_twin() {
    check_gradients("the paper's", |_| (), 0);
    check_gradients("with features of items", |_| (), 4);
    check_gradients("one layer", |config| config.widths = vec![5], 0);
    check_gradients("three layers", |config| config.widths = vec![130, 20, 6], 0);
    check_gradients("without normalisation", |config| config.batch_norm = false, 0);
    check_gradients("identity", |config| config.output = OutputActivation::Identity, 0);
    check_gradients("without indicator", |config| config.indicator = false, 0);
    check_gradients("without side information", |config| config.side_information = false, 0);
    check_gradients("without dropout", |config| config.dropout = Auto::Value(0.0), 0);
}

#[test]
fn frozen_items_keep_their_factors_and_learn_their_biases() {
    let config = config(|config| config.train_items = false);
    let (ratings, users) = data();
    let (mut trainer, segment) = trainer(&config, &ratings, &users, &[]);
    let before = trainer.network.items.w.clone();
    trainer.step(&segment.batches[0], 0);
    let padded = trainer.shape.padded();
    for (at, (old, new)) in before.iter().zip(&trainer.network.items.w).enumerate() {
        if at % padded == config.factors + 1 && at / padded < 6 {
            assert!(old != new, "the bias of item {}", at / padded);
        } else {
            assert_eq!(old.to_bits(), new.to_bits());
        }
    }
}

#[test]
fn the_frozen_generator_is_the_trained_one() {
    for batch_norm in [true, false] {
        let config = config(|config| {
            config.mask = 0.0;
            config.batch_norm = batch_norm;
        });
        let (ratings, users) = data();
        let (mut trainer, segment) = trainer(&config, &ratings, &users, &[]);
        trainer.step(&segment.batches[0], 0);
        let network = &trainer.network;
        let frozen = Frozen::new(network, &trainer.shape, &config, MEAN, 1.0, 1.0);
        let order: Vec<u32> = (0..8).collect();
        let running = Some((&network.running_mean[..], &network.running_variance[..]));
        let (shape, rules) = (&trainer.shape, &trainer.rules);
        let twin = Twin { shape, rules, features: &[], running, drops: false };
        let items = Features::none(7);
        let data = TrainingData { interactions: &ratings, user_features: &users, item_features: &items };
        let batches = Batches::new(data, &config, 16, MEAN, 1.0, 5);
        let expected =
            twin.generate(&batches.prepare(std::slice::from_ref(&order), 0).batches[0], &weights(network));
        let views: Vec<UserView<'_>> = order.iter().map(|&user| data.user(user as usize)).collect();
        let together = frozen.generate(&views);
        for (user, view) in views.iter().enumerate() {
            let row = &together[user * 4..(user + 1) * 4];
            assert_eq!(row, frozen.generate(&[*view]), "alone and in a batch");
            for (&got, &expected) in row.iter().zip(&expected[user]) {
                // Weights of the first layer have eleven bits.
                assert!((f64::from(got) - expected).abs() < 2e-3, "{got} instead of {expected}");
            }
        }
    }
}
