//! Gradients against finite differences of a twin in `f64`, and the frozen generator against the same twin.
//!
//! After one step from zero moments, Adam's mean of gradients is `(1 − β₁)·g`: that is how the gradients of the fused step are
//! seen, although none is ever stored.

use std::ops::Range;

use foldin_core::random::Random;
use foldin_core::{
    Auto, Csr, FeatureSchema, Features, Feedback, Field, FieldKind, Interactions, RatingScale, TrainingData,
    UserView,
};
use foldin_nn::activation::Sharing;
use foldin_nn::adam::Adam;
use foldin_nn::optimiser::Trained;
use foldin_nn::sparse_layer::NORM_EPSILON;
use foldin_nn::table::Table;

use super::super::batch::Batches;
use super::super::frozen::Frozen;
use super::*;

const MEAN: f32 = 3.2;

/// Ratings and side information; the last user has rated nothing, and of several items the last is rated by nobody.
fn data(n_users: u32, n_items: u32, seed: u64) -> (Interactions, Features) {
    let mut random = Random::new(seed);
    let mut cells = Vec::new();
    for user in 0..n_users - 1 {
        for item in 0..(n_items - 1).max(1) {
            if n_items == 1 || random.chance(0.6) {
                cells.push((user, item, 1.0 + random.below(5) as f32));
            }
        }
    }
    let (n_users, n_items) = (n_users as usize, n_items as usize);
    let scale = Feedback::Explicit(RatingScale { min: 1.0, max: 5.0, step: Some(1.0) });
    let ratings = Interactions::new(Csr::from_triples(n_users, n_items, &cells).unwrap(), None, scale);
    let values = ["a", "b", "c"].map(str::to_owned).to_vec();
    let schema = FeatureSchema::new(vec![Field { name: "job".into(), kind: FieldKind::Category { values } }]);
    let jobs: Vec<(u32, u32, f32)> = (0..n_users as u32).map(|user| (user, user % 3, 1.0)).collect();
    let features = Features::new(schema.into(), Csr::from_triples(n_users, 3, &jobs).unwrap()).unwrap();
    (ratings.unwrap(), features)
}

/// The data of every test but that of random shapes.
fn nine_users() -> (Interactions, Features) {
    data(9, 7, 8)
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
    let chosen = Chosen::new(config, ratings);
    let items = Features::none(ratings.n_items());
    let data = TrainingData { interactions: ratings, user_features: users, item_features: &items };
    let batches = Batches::new(data, config, chosen.batch_size, MEAN, 1.0, 5);
    let segment = batches.prepare(&batches.epoch(0)[0], 0);
    let rules = Rules::new(&shape, config, &chosen, Steps::new(Adam::default(), [1e-3]), 5);
    let (learning, of_activations) = (chosen.input_learning, &rules.activations);
    let mut network = Network::new(&shape, config, learning, of_activations, ratings, MEAN, 1.0, 5);
    let mut random = Random::new(6);
    for table in [&mut network.items, &mut network.features] {
        for row in table.w.chunks_exact_mut(shape.padded()) {
            row[..shape.k].iter_mut().for_each(|w| *w += 0.3 * random.normal() as f32);
            row[shape.k + 1] = 0.3 * random.normal() as f32;
        }
    }
    // A scale of 1 and a shift of 0 would hide a factor or a term that is missing.
    let layout = shape.layout();
    for place in [layout.gamma, layout.beta].into_iter().flat_map(|range| range.take(shape.widths[0])) {
        network.dense.w[place] += 0.3 * random.normal() as f32;
    }
    // So would parameters of an activation that are all the same.
    for own in &mut network.activations.parameters {
        own.w.iter_mut().for_each(|w| *w += 0.2 * random.uniform() as f32);
    }
    (Trainer::new(shape, rules, network, features), segment)
}

/// The four tables in `f64`, and the parameters of activations one layer after the other.
type Weights = [Vec<f64>; 5];

fn weights(network: &Network) -> Weights {
    all_of(network, |table| &table.w, |own| &own.w).map(|w| w.into_iter().map(f64::from).collect())
}

/// Something of the four tables and of the parameters of activations.
fn all_of(network: &Network, table: fn(&Table) -> &[f32], own: fn(&Trained) -> &[f32]) -> [Vec<f32>; 5] {
    let [inputs, dense, items, features] =
        [network.inputs.table(), &network.dense, &network.items, &network.features]
            .map(|of| table(of).to_vec());
    let activations = network.activations.parameters.iter().flat_map(|of| own(of).to_vec()).collect();
    [inputs, dense, items, features, activations]
}

struct Twin<'a> {
    shape: &'a Shape,
    rules: &'a Rules,
    activation: (Activation, Sharing),
    features: &'a [f32],
    /// Running mean and variance; those of the batch if absent.
    running: Option<(&'a [f32], &'a [f32])>,
    drops: bool,
}

impl Twin<'_> {
    /// The output of a unit of a hidden layer; `parameters` are those of all layers.
    fn active(&self, layer: usize, unit: usize, x: f64, parameters: &[f64]) -> f64 {
        let (activation, sharing) = self.activation;
        let (n, sets) = (activation.parameters().len(), sharing.sets(self.shape.widths[layer]));
        let first: usize = self.shape.widths[..layer].iter().map(|&width| n * sharing.sets(width)).sum();
        let own = |at: usize| parameters[first + at * sets + unit.min(sets - 1)];
        match activation {
            _ if x > 0.0 => x,
            Activation::LeakyRelu => f64::from(self.rules.slope) * x,
            Activation::Elu => x.exp_m1(),
            Activation::Prelu => own(0) * x,
            Activation::Mpelu => own(0) * (own(1) * x).exp_m1(),
            _ => unreachable!("the tests ask for no other"),
        }
    }

    fn kept(&self, layer: usize, position: usize) -> f64 {
        if self.drops { f64::from(self.rules.dropout(layer, 0).factor(position as u32)) } else { 1.0 }
    }

    /// Factors and bias of each user of a batch.
    fn generate(&self, batch: &Batch, [inputs, dense, .., own]: &Weights) -> Vec<Vec<f64>> {
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
            h.iter_mut().for_each(|h| *h = self.active(0, unit, *h, own));
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
                        (false, _) => {
                            let kept = self.kept(number + 1, user * layer.outputs + output);
                            self.active(number + 1, output, sum, own) * kept
                        }
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
        let [.., items, features, _] = weights;
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

/// Parameters whose gradients are compared among themselves: a layer with small ones is held to them, not to those of another.
struct Layer {
    name: String,
    table: usize,
    places: Vec<usize>,
    decay: f32,
}

fn layers(shape: &Shape, config: &LfgConfig, chosen: &Chosen) -> Vec<Layer> {
    let mut layers = Vec::new();
    let mut put = |name: &str, table: usize, places: Vec<usize>, decay: f32| {
        layers.push(Layer { name: name.to_owned(), table, places, decay });
    };
    let inputs = |rows: Range<usize>, second: usize| -> Vec<usize> {
        (0..shape.widths[0])
            .flat_map(|unit| rows.clone().map(move |row| (unit, row)))
            .map(|(unit, row)| {
                (unit / BLOCK * shape.n_inputs() + row) * TABLE_BLOCK + second * BLOCK + unit % BLOCK
            })
            .collect()
    };
    let (n_items, decay) = (shape.n_items, chosen.weight_decay);
    put("weights of ratings", 0, inputs(0..n_items, 0), decay);
    if config.indicator {
        put("weights of indicators", 0, inputs(0..n_items, 1), decay);
    }
    put("weights of side information", 0, inputs(n_items..shape.n_inputs(), 0), decay);
    let layout = shape.layout();
    let used = |range: &Range<usize>| (range.start..range.start + shape.widths[0]).collect();
    put("biases of the sparse layer", 1, used(&layout.bias), decay);
    put("scales of the normalisation", 1, used(&layout.gamma), decay);
    put("shifts of the normalisation", 1, used(&layout.beta), decay);
    for (number, layer) in layout.layers.iter().enumerate() {
        put(&format!("weights of dense layer {number}"), 1, layer.weights.clone().collect(), decay);
        put(&format!("biases of dense layer {number}"), 1, layer.bias.clone().collect(), decay);
    }
    let columns = |rows: usize, columns: Range<usize>| -> Vec<usize> {
        (0..rows).flat_map(|row| columns.clone().map(move |column| row * shape.padded() + column)).collect()
    };
    for (table, rows, of) in [(2, n_items, "items"), (3, shape.n_features, "features of items")] {
        put(&format!("factors of {of}"), table, columns(rows, 0..shape.k), chosen.item_weight_decay);
        put(&format!("biases of {of}"), table, columns(rows, shape.k + 1..shape.k + 2), 0.0);
    }
    let mut first = 0;
    for (number, &width) in shape.widths.iter().enumerate() {
        let n = config.hidden_activation.parameters().len() * config.activation_sharing.sets(width);
        put(&format!("parameters of activation {number}"), 4, (first..first + n).collect(), 0.0);
        first += n;
    }
    layers.retain(|layer| !layer.places.is_empty());
    layers
}

/// At most this many gradients of a layer are looked at.
const SAMPLE: usize = 120;

/// Sums of some hundred terms in `f32`, relative to the largest gradient of the layer.
const TOLERANCE: f64 = 2e-5;

/// What differences of a loss of some units leave of sixteen digits, for steps of 1e-6.
const NOISE: f64 = 2e-9;

/// Compares every layer's gradients with the twin's and returns the largest gradient of each.
fn check_gradients(
    name: &str,
    config: &LfgConfig,
    (ratings, users): &(Interactions, Features),
    n_features: usize,
) -> Vec<(String, f64)> {
    let features: Vec<f32> =
        (0..ratings.n_items() * n_features).map(|at| (at % 5) as f32 / 4.0 - 0.4).collect();
    let (mut trainer, segment) = trainer(config, ratings, users, &features);
    let batch = &segment.batches[0];
    let rated = (0..ratings.n_users()).filter(|&user| ratings.by_user().row_len(user) > 0).count();
    assert_eq!((segment.batches.len(), batch.n), (1, rated), "one batch, without the user who rated nothing");
    let before = weights(&trainer.network);
    trainer.begin(&segment, 0);
    let squares = trainer.step(batch, 0);
    let (shape, rules) = (&trainer.shape, &trainer.rules);
    let activation = (config.hidden_activation, config.activation_sharing);
    let twin = Twin { shape, rules, activation, features: &features, running: None, drops: true };
    let loss = twin.loss(batch, &before);
    assert!((squares / batch.targets.len() as f64 / loss - 1.0).abs() < 1e-5, "{name}: loss {loss}");
    let after = all_of(&trainer.network, |table| &table.w, |own| &own.w);
    let moments = all_of(&trainer.network, |table| &table.m, |own| &own.first);
    let mut elsewhere: Vec<Vec<bool>> = after.iter().map(|w| vec![true; w.len()]).collect();
    let mut random = Random::new(1);
    let mut with = before.clone();
    let mut largest_of = Vec::new();
    for Layer { name: layer, table, mut places, decay } in
        layers(shape, config, &Chosen::new(config, ratings))
    {
        places.iter().for_each(|&at| elsewhere[table][at] = false);
        let got = |at: usize| f64::from(moments[table][at]) / 0.1;
        // All of a small layer, a sample of a large one, half of it where the gradient is not zero.
        if places.len() > SAMPLE {
            let touched: Vec<usize> = places.iter().copied().filter(|&at| got(at) != 0.0).collect();
            let mut sample: Vec<usize> =
                (0..SAMPLE / 2).map(|_| places[random.below(places.len())]).collect();
            if !touched.is_empty() {
                sample.extend((0..SAMPLE / 2).map(|_| touched[random.below(touched.len())]));
            }
            places = sample;
        }
        let expected: Vec<f64> = places
            .iter()
            .map(|&at| {
                let (old, small) = (with[table][at], 1e-6);
                with[table][at] = old + small;
                let above = twin.loss(batch, &with);
                with[table][at] = old - small;
                let below = twin.loss(batch, &with);
                with[table][at] = old;
                (above - below) / (2.0 * small) + f64::from(decay) * old
            })
            .collect();
        let largest = expected.iter().fold(0.0f64, |most, g| most.max(g.abs()));
        for (&at, expected) in places.iter().zip(&expected) {
            let got = got(at);
            assert!(
                (got - expected).abs() < TOLERANCE * largest + NOISE,
                "{name}, {layer}, at {at}: {got} instead of {expected} (largest {largest})"
            );
        }
        largest_of.push((layer, largest));
    }
    // What belongs to no layer is padding and has no gradient, but for the constant that meets the users' biases: it has
    // one, and does not move.
    for (table, elsewhere) in elsewhere.iter().enumerate() {
        for at in (0..elsewhere.len()).filter(|&at| elsewhere[at]) {
            let constant = (2..4).contains(&table) && at % shape.padded() == shape.k;
            assert!(constant || moments[table][at] == 0.0, "{name}: table {table} at {at}");
            assert!(f64::from(after[table][at]) == before[table][at], "{name}: table {table} at {at}");
        }
    }
    largest_of
}

#[test]
fn gradients_are_those_of_the_twin() {
    let check = |name: &str, change: fn(&mut LfgConfig), n_features: usize| {
        let config = config(change);
        for (layer, largest) in check_gradients(name, &config, &nine_users(), n_features) {
            let idle = layer.ends_with("of the normalisation") && !config.batch_norm;
            assert!(if idle { largest == 0.0 } else { largest > 1e-4 }, "{name}: {layer}: {largest}");
        }
    };
    check("the paper's", |_| (), 0);
    check("with features of items", |_| (), 4);
    check("one layer", |config| config.widths = vec![5], 0);
    check("three layers", |config| config.widths = vec![130, 20, 6], 0);
    check("without normalisation", |config| config.batch_norm = false, 0);
    check("identity", |config| config.output = OutputActivation::Identity, 0);
    check("elu", |config| config.hidden_activation = Activation::Elu, 0);
    check("mpelu a unit", |config| config.hidden_activation = Activation::Mpelu, 4);
    check(
        "mpelu a layer, with decay, which is not its own",
        |config| {
            (config.hidden_activation, config.activation_sharing) = (Activation::Mpelu, Sharing::Layer);
            config.widths = vec![130, 20, 6];
            config.weight_decay = Auto::Value(0.03);
        },
        0,
    );
    check("without indicator", |config| config.indicator = false, 0);
    check("without side information", |config| config.side_information = false, 0);
    check("without dropout", |config| config.dropout = Auto::Value(0.0), 0);
    check(
        "with decay",
        |config| (config.weight_decay, config.item_weight_decay) = (Auto::Value(0.03), Auto::Value(0.2)),
        4,
    );
}

#[test]
fn gradients_of_random_shapes_are_those_of_the_twin() {
    let mut random = Random::new(3);
    for case in 0..24 {
        // One factor, one item and one unit come up often. Of fewer than four users a normalisation leaves little but the
        // rounding of what it took away.
        let data = data(5 + random.below(5) as u32, [1, 2, 7, 12][random.below(4)], random.bits());
        let widths: Vec<usize> = (0..1 + random.below(3))
            .map(|_| [1, 1 + random.below(12), 1 + random.below(140)][random.below(3)])
            .collect();
        let config = config(|config| {
            config.factors = [1, 1 + random.below(20)][random.below(2)];
            config.widths = widths;
            config.dropout = Auto::Value([0.0, 0.3][random.below(2)]);
            config.batch_norm = random.chance(0.7);
            config.indicator = random.chance(0.7);
            config.side_information = random.chance(0.7);
            config.leaky_slope = random.uniform() as f32;
            let activations = [Activation::LeakyRelu, Activation::Elu, Activation::Prelu, Activation::Mpelu];
            config.hidden_activation = activations[random.below(4)];
            // Behind a normalisation the slopes of units that hardly differ among users cancel but for rounding.
            let smooth = matches!(config.hidden_activation, Activation::Elu | Activation::Mpelu);
            config.batch_norm &= !smooth;
            config.activation_sharing = [Sharing::Unit, Sharing::Layer][random.below(2)];
            config.weight_decay = Auto::Value([0.0, 0.05][random.below(2)]);
            config.item_weight_decay = Auto::Value([0.0, 0.05][random.below(2)]);
        });
        let n_features = random.below(4);
        check_gradients(&format!("case {case}: {config:?}"), &config, &data, n_features);
    }
}

#[test]
fn frozen_items_keep_their_factors_and_learn_their_biases() {
    let config = config(|config| config.train_items = false);
    let (ratings, users) = nine_users();
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
    for (batch_norm, hidden_activation) in
        [(true, Activation::LeakyRelu), (false, Activation::LeakyRelu), (true, Activation::Mpelu)]
    {
        let config = config(|config| {
            config.mask = 0.0;
            config.batch_norm = batch_norm;
            config.hidden_activation = hidden_activation;
        });
        let (ratings, users) = nine_users();
        let (mut trainer, segment) = trainer(&config, &ratings, &users, &[]);
        trainer.step(&segment.batches[0], 0);
        let network = &trainer.network;
        let halves = network.inputs.halves(&trainer.shape, 1.0);
        let frozen = Frozen::new(network, halves, &trainer.shape, &config, MEAN, 1.0, 1.0);
        let order: Vec<u32> = (0..8).collect();
        let running = Some((&network.running_mean[..], &network.running_variance[..]));
        let (shape, rules) = (&trainer.shape, &trainer.rules);
        let activation = (hidden_activation, config.activation_sharing);
        let twin = Twin { shape, rules, activation, features: &[], running, drops: false };
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
