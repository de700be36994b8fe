//! Gradients against finite differences.

use foldin_core::Csr;
use foldin_core::random::Random;
use foldin_nn::activation::{Activation, Sharing};
use foldin_nn::dropout::Dropout;
use foldin_nn::optimiser::Optimiser;
use foldin_nn::rprop::Rprop;

use super::config::AutoRecConfig;
use super::network::{Batch, Drops, Network};

fn batch() -> Batch {
    let mut random = Random::new(3);
    let mut triples = Vec::new();
    for case in 0..6u32 {
        for place in 0..9u32 {
            if random.chance(0.5) {
                triples.push((case, place, 1.0 + 4.0 * random.uniform() as f32));
            }
        }
    }
    Batch::new(Csr::from_triples(6, 9, &triples).unwrap())
}

/// Compares the gradient of every parameter (of some of each array) with central differences of half the squared error.
fn check(config: &AutoRecConfig, drops: Drops) {
    const STEP: f32 = 1e-2;
    let optimiser = Optimiser::Rprop(Rprop::default());
    let batch = batch();
    let mut network = Network::new(9, config, &optimiser, 3.0, 5);
    // Away from zero, where nothing would be seen; padding stays zero.
    let mut random = Random::new(8);
    for (name, _, weights) in network.parameters() {
        if !name.starts_with("hidden") && name != "output" {
            weights.w.iter_mut().filter(|w| **w != 0.0).for_each(|w| *w = 0.25 * random.normal() as f32);
        }
    }
    let (_, gradients) = network.gradients(&batch, drops);
    let loss = |network: &Network| 0.5 * network.gradients(&batch, drops).0;
    let mut checked = 0;
    for (at, gradient) in gradients.iter().enumerate() {
        let (name, _, weights) = network.parameters().swap_remove(at);
        let used: Vec<usize> =
            (0..weights.w.len()).filter(|&at| weights.w[at] != 0.0 || name.starts_with("hidden")).collect();
        for &element in used.iter().step_by(used.len().div_ceil(12).max(1)) {
            let moved = |by: f32| {
                let mut moved = network.clone();
                moved.parameters().swap_remove(at).2.w[element] += by;
                loss(&moved)
            };
            let numeric = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            let (got, size) = (f64::from(gradient[element]), 1.0 + numeric.abs());
            assert!((got - numeric).abs() < 0.01 * size, "{name}[{element}] of {config:?}: {got} {numeric}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn gradients_equal_finite_differences() {
    let smooth = [
        (Activation::Sigmoid, Activation::Identity, Sharing::Unit, vec![5]),
        (Activation::Sigmoid, Activation::Sigmoid, Sharing::Unit, vec![70]),
        (Activation::Tanh, Activation::Swish, Sharing::Unit, vec![5, 3, 5]),
        (Activation::Swish, Activation::Tanh, Sharing::Unit, vec![70, 3]),
        (Activation::Mpelu, Activation::Identity, Sharing::Layer, vec![66, 4]),
        (Activation::Elu, Activation::Slope, Sharing::Unit, vec![5]),
    ];
    for (hidden_activation, output_activation, activation_sharing, hidden) in smooth {
        let config = AutoRecConfig {
            hidden_activation,
            output_activation,
            activation_sharing,
            hidden,
            ..AutoRecConfig::default()
        };
        check(&config, Drops::default());
        check(&config, Drops { input: Some(Dropout::new(0.3, 7)), hidden: Some(Dropout::new(0.4, 11)) });
    }
}

#[test]
fn a_scale_is_read_and_written_back() {
    let scale = foldin_core::RatingScale { min: -10.0, max: 10.0, step: None };
    let scaling = super::train::Scaling::of(scale);
    assert_eq!((scaling.read(-10.0), scaling.read(10.0), scaling.write(3.0)), (1.0, 5.0, 0.0));
}
