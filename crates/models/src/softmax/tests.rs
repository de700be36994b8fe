//! Gradients against finite differences of the loss as it is defined, in `f64` and on dense vectors.

use std::collections::BTreeMap;

use foldin_core::Csr;
use foldin_core::random::Random;
use foldin_nn::activation::Activation;
use foldin_nn::adam::{Adam, Steps};
use foldin_nn::blocks::BLOCK;
use foldin_nn::dropout::Dropout;
use foldin_nn::optimiser::Optimiser;

use super::config::{LfgSoftmaxConfig, MultVaeConfig, Plan};
use super::network::{Network, Noise, Scratch, inputs};

const ITEMS: usize = 41;
const USERS: usize = 5;

type Parameters = BTreeMap<String, Vec<f64>>;

fn histories() -> Csr {
    let mut random = Random::new(9);
    let mut triples = Vec::new();
    for user in 0..USERS as u32 {
        for item in 0..ITEMS as u32 {
            if random.chance(0.3) {
                triples.push((user, item, 1.0));
            }
        }
    }
    Csr::from_triples(USERS, ITEMS, &triples).unwrap()
}

fn layers(p: &Parameters, prefix: &str, mut z: Vec<f64>, plan: &[(usize, Activation)]) -> Vec<f64> {
    let mut x = Vec::new();
    for (at, &(width, activation)) in plan.iter().enumerate() {
        if at > 0 {
            let weights = &p[&format!("{prefix}.weights_{at}")];
            let of =
                |unit: usize| x.iter().enumerate().map(|(from, x)| x * weights[from * width + unit]).sum();
            z = (0..width).map(of).collect();
        }
        z.iter_mut().zip(&p[&format!("{prefix}.bias_{at}")]).for_each(|(z, bias)| *z += bias);
        x = z.iter().map(|z| if activation == Activation::Tanh { z.tanh() } else { *z }).collect();
    }
    x
}

/// The loss, written down from its definition.
fn loss(p: &Parameters, plan: &Plan, histories: &Csr, noise: Noise) -> f64 {
    let inputs = inputs(histories, noise.dropout);
    let first = plan.before[0].0;
    let table = |item: usize, unit: usize| p["encoder"][(unit / BLOCK * ITEMS + item) * BLOCK + unit % BLOCK];
    let mut random = noise.sample.map(Random::new);
    let mut sum = 0.0;
    for user in 0..USERS {
        let (items, values) = inputs.row(user);
        let entries = || items.iter().zip(values);
        let z = (0..first)
            .map(|unit| entries().map(|(&item, &x)| f64::from(x) * table(item as usize, unit)).sum())
            .collect();
        let mut last = layers(p, "before", z, &plan.before);
        if let Some(&(k, _)) = plan.after.first() {
            let (means, logs) = last.split_at(k);
            let z = (0..k)
                .map(|at| {
                    let noise = random.as_mut().map_or(0.0, |random| f64::from(random.normal() as f32));
                    means[at] + noise * (0.5 * logs[at]).exp()
                })
                .collect();
            let divergence: f64 = (0..k).map(|at| means[at].powi(2) + logs[at].exp() - logs[at] - 1.0).sum();
            sum += f64::from(noise.beta) * 0.5 * divergence;
            last = layers(p, "after", z, &plan.after);
        }
        let score = |item: usize| {
            let row = &p["items"][item * last.len()..][..last.len()];
            p["item_bias"][item] + row.iter().zip(&last).map(|(m, u)| m * u).sum::<f64>()
        };
        let total: f64 = (0..ITEMS).map(|item| score(item).exp()).sum();
        sum += entries().map(|(&item, _)| total.ln() - score(item as usize)).sum::<f64>();
    }
    sum / USERS as f64
}

fn check(plan: &Plan) {
    const STEP: f64 = 1e-5;
    let optimiser = Optimiser::Adam(Steps::new(Adam::default(), [0.0]));
    let mut network = Network::new(ITEMS, plan, &optimiser, 4);
    let mut random = Random::new(6);
    for (_, _, trained) in network.parameters() {
        trained.w.iter_mut().filter(|w| **w != 0.0).for_each(|w| {
            // Numbers of half precision, as tables are read.
            *w = ((*w + 0.3 * random.normal() as f32) * 512.0).round() / 512.0;
        });
    }
    let histories = histories();
    let noise = Noise { dropout: Some(Dropout::new(0.4, 3)), sample: Some(8), beta: 0.7 };
    let mut scratch = Scratch::new(&network, USERS);
    let (got, rest) = network.gradients(&histories, noise, &mut scratch);
    let parameters: Parameters = (network.parameters().into_iter())
        .map(|(name, _, trained)| (name, trained.w.iter().map(|&w| f64::from(w)).collect()))
        .collect();
    let exact = loss(&parameters, plan, &histories, noise);
    assert!((got - exact).abs() < 1e-5 * (1.0 + exact), "{got} {exact}");
    let names = network.parameters().into_iter().map(|(name, ..)| name);
    let arrays: Vec<&[f32]> =
        [scratch.encoder.data()].into_iter().chain(rest.iter().map(Vec::as_slice)).collect();
    assert_eq!(arrays.len(), parameters.len());
    for (name, gradient) in names.zip(arrays) {
        let values = &parameters[&name];
        if name == "after.bias_0" {
            assert!(gradient.is_empty(), "the sample has no bias to learn");
            continue;
        }
        let used: Vec<usize> = (0..values.len()).filter(|&at| values[at] != 0.0).collect();
        for &at in used.iter().step_by(used.len().div_ceil(20).max(1)) {
            let moved = |by: f64| {
                let mut moved = parameters.clone();
                moved.get_mut(&name).unwrap()[at] += by;
                loss(&moved, plan, &histories, noise)
            };
            let numeric = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let got = f64::from(gradient[at]);
            // Tables of gradients are read in half precision, of eleven digits.
            assert!((got - numeric).abs() < 5e-5 + 2e-3 * numeric.abs(), "{name}[{at}]: {got} {numeric}");
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    check(&Plan::from(&MultVaeConfig { hidden: 34, latent: 5, ..MultVaeConfig::default() }));
    check(&Plan::from(&LfgSoftmaxConfig { factors: 6, widths: vec![7, 5], ..LfgSoftmaxConfig::default() }));
}
