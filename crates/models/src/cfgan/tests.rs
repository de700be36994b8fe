//! Gradients against finite differences of the losses as they are defined, in `f64` and on dense vectors.

use std::collections::BTreeMap;

use foldin_core::Csr;
use foldin_core::random::Random;
use foldin_nn::activation::{Activation, Sharing};
use foldin_nn::adam::{Adam, Steps};
use foldin_nn::blocks::BLOCK;
use foldin_nn::optimiser::Optimiser;

use super::config::{CfganConfig, Scheme};
use super::discriminator::Discriminator;
use super::generator::Generator;
use super::samples::{Samples, bits_of};
use super::step::{Batch, Judge, Scratch, discriminator_gradients, generator_gradients};
use crate::perceptron::Named;

const PLACES: usize = 70;
const CASES: usize = 6;

fn cases() -> Csr {
    let mut random = Random::new(3);
    let mut triples = Vec::new();
    for case in 0..CASES as u32 {
        for place in 0..PLACES as u32 {
            if random.chance(0.2) {
                triples.push((case, place, 1.0));
            }
        }
    }
    Csr::from_triples(CASES, PLACES, &triples).unwrap()
}

/// Parameters by name.
type Parameters = BTreeMap<String, Vec<f64>>;

fn copy(parameters: Vec<Named<'_>>) -> Parameters {
    parameters
        .into_iter()
        .map(|(name, _, trained)| (name, trained.w.iter().map(|&w| f64::from(w)).collect()))
        .collect()
}

/// Moves all parameters away from where they start, those of padding excepted.
fn shake(parameters: Vec<Named<'_>>, seed: u64) {
    let mut random = Random::new(seed);
    for (_, _, trained) in parameters {
        // Numbers of half precision, as tables are read.
        let moved = |w: f32, by: f64| ((w + 0.2 * by as f32) * 512.0).round() / 512.0;
        trained.w.iter_mut().filter(|w| **w != 0.0).for_each(|w| *w = moved(*w, random.normal()));
    }
}

/// The losses of a batch, written down from their definition.
struct Twin {
    config: CfganConfig,
    purchases: Vec<Vec<f64>>,
    seen: Vec<Vec<bool>>,
    zeroed: Vec<Vec<bool>>,
}

impl Twin {
    fn activate(&self, z: &[f64], parameters: &[f64]) -> Vec<f64> {
        let n = if self.config.activation_sharing == Sharing::Layer { 1 } else { z.len() };
        let at = |which: usize, unit: usize| parameters[which * n + unit % n];
        let of = |(unit, &z): (usize, &f64)| match self.config.hidden_activation {
            Activation::Sigmoid => 1.0 / (1.0 + (-z).exp()),
            Activation::Mpelu if z > 0.0 => z,
            Activation::Mpelu => at(0, unit) * ((at(1, unit) * z).exp() - 1.0),
            other => panic!("{other:?} has no twin"),
        };
        z.iter().enumerate().map(of).collect()
    }

    fn table(table: &[f64], x: &[f64], width: usize) -> Vec<f64> {
        let at = |place: usize, unit: usize| table[(unit / BLOCK * PLACES + place) * BLOCK + unit % BLOCK];
        (0..width).map(|unit| (0..PLACES).map(|place| x[place] * at(place, unit)).sum()).collect()
    }

    fn layers(&self, p: &Parameters, mut z: Vec<f64>, widths: &[usize]) -> Vec<f64> {
        let mut x = Vec::new();
        for (at, &width) in widths.iter().enumerate() {
            if at > 0 {
                let weights = &p[&format!("weights_{at}")];
                let of = |unit: usize| {
                    x.iter().enumerate().map(|(from, x)| x * weights[from * width + unit]).sum()
                };
                z = (0..width).map(of).collect();
            }
            z.iter_mut().zip(&p[&format!("bias_{at}")]).for_each(|(z, bias)| *z += bias);
            x = self.activate(&z, &p[&format!("activation_{at}")]);
        }
        x
    }

    fn generate(&self, g: &Parameters, c: &[f64]) -> Vec<f64> {
        let widths = &self.config.hidden;
        let x = self.layers(g, Self::table(&g["encoder"], c, widths[0]), widths);
        let row = |place: usize| &g["decoder"][place * x.len()..][..x.len()];
        let sum = |place: usize| {
            g["decoder_bias"][place] + row(place).iter().zip(&x).map(|(w, x)| w * x).sum::<f64>()
        };
        (0..PLACES)
            .map(|place| {
                if self.config.output_activation == Activation::Tanh { sum(place).tanh() } else { sum(place) }
            })
            .collect()
    }

    fn judge(&self, d: &Parameters, c: &[f64], v: &[f64]) -> f64 {
        let widths = &self.config.discriminator_hidden;
        let mut z = Self::table(&d["condition"], c, widths[0]);
        z.iter_mut().zip(Self::table(&d["vector"], v, widths[0])).for_each(|(z, x)| *z += x);
        let x = self.layers(d, z, widths);
        d["output_bias"][0] + d["output"].iter().zip(&x).map(|(w, x)| w * x).sum::<f64>()
    }

    /// Of the discriminator and of the generator.
    fn losses(&self, g: &Parameters, d: &Parameters) -> (f64, f64) {
        let (mut of_d, mut of_g) = (0.0, 0.0);
        let one = |logit: f64| (1.0 + (-logit).exp()).ln();
        for (at, c) in self.purchases.iter().enumerate() {
            let x = self.generate(g, c);
            let masked: Vec<f64> = (0..PLACES).map(|j| if self.seen[at][j] { x[j] } else { 0.0 }).collect();
            let (real, fake) = (self.judge(d, c, c), self.judge(d, c, &masked));
            of_d += one(real) + one(-fake);
            let zeros: f64 = (0..PLACES).filter(|&j| self.zeroed[at][j]).map(|j| x[j] * x[j]).sum();
            of_g += one(fake) + f64::from(self.config.zero_weight) * zeros;
        }
        (of_d / self.purchases.len() as f64, of_g / self.purchases.len() as f64)
    }
}

/// Compares some elements of each gradient with central differences of `loss`.
fn compare(
    who: &str,
    gradients: &[(String, &[f32])],
    parameters: &Parameters,
    loss: impl Fn(&Parameters) -> f64,
) {
    const STEP: f64 = 1e-5;
    for (name, gradient) in gradients {
        let values = &parameters[name];
        assert_eq!(values.len(), gradient.len(), "{who} {name}");
        // Padding has no gradient.
        let used: Vec<usize> = (0..values.len()).filter(|&at| values[at] != 0.0).collect();
        for &at in used.iter().step_by(used.len().div_ceil(25).max(1)) {
            let moved = |by: f64| {
                let mut moved = parameters.clone();
                moved.get_mut(name).unwrap()[at] += by;
                loss(&moved)
            };
            let numeric = (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let got = f64::from(gradient[at]);
            assert!(
                // Tables of gradients are read in half precision, of eleven digits.
                (got - numeric).abs() < 5e-5 + 2e-3 * numeric.abs(),
                "{who} {name}[{at}]: {got} {numeric}"
            );
        }
    }
}

fn check(config: CfganConfig) {
    let cases = cases();
    let optimiser = Optimiser::Adam(Steps::new(Adam::default(), [0.0]));
    let mut generator = Generator::new(PLACES, &config, &optimiser, 1);
    let mut discriminator = Discriminator::new(PLACES, &config, &optimiser, 2);
    shake(generator.parameters(), 3);
    shake(discriminator.parameters(), 4);
    generator.layers.constrain();
    discriminator.layers.constrain();
    let samples = Samples::new(&config, 7, 2);
    let numbers = [4, 0, 3, 5];
    let bits = |draw: &dyn Fn(u32, &mut [u64])| -> Vec<Vec<bool>> {
        let of = |&case: &u32| {
            let mut bits = bits_of(&cases);
            draw(case, &mut bits);
            (0..PLACES).map(|place| bits[place / 64] >> (place % 64) & 1 == 1).collect()
        };
        numbers.iter().map(of).collect()
    };
    let twin = Twin {
        purchases: (numbers.iter())
            .map(|&case| {
                let mut row = vec![0.0; PLACES];
                cases.row(case as usize).0.iter().for_each(|&place| row[place as usize] = 1.0);
                row
            })
            .collect(),
        seen: bits(&|case, bits| samples.seen(&cases, case, bits)),
        zeroed: bits(&|case, bits| samples.zeroed(&cases, case, bits)),
        config: config.clone(),
    };
    let mut scratch = Scratch::new(&generator, &discriminator, numbers.len());
    let batch = Batch { cases: &cases, numbers: &numbers, samples };
    let (g, d) = (copy(generator.parameters()), copy(discriminator.parameters()));
    let (of_d, of_g) = twin.losses(&g, &d);

    let packed = generator.packed_decoder();
    let (loss, upper) = discriminator_gradients(&generator, &packed, &discriminator, &batch, &mut scratch);
    assert!((loss - of_d).abs() < 1e-5 * (1.0 + of_d), "{loss} {of_d}");
    let names = discriminator.parameters().into_iter().map(|(name, ..)| name);
    let [_, condition, vector] = scratch.tables();
    let arrays = [condition.data(), vector.data()].into_iter().chain(upper.iter().map(Vec::as_slice));
    let gradients: Vec<_> = names.zip(arrays).collect();
    assert_eq!(gradients.len(), d.len());
    compare("discriminator", &gradients, &d, |d| twin.losses(&g, d).0);

    let judge = Judge::new(&discriminator, &cases);
    let (loss, rest) = generator_gradients(&generator, &judge, config.zero_weight, &batch, &mut scratch);
    assert!((loss - of_g).abs() < 1e-5 * (1.0 + of_g), "{loss} {of_g}");
    let names = generator.parameters().into_iter().map(|(name, ..)| name);
    let arrays = [scratch.tables()[0].data()].into_iter().chain(rest.iter().map(Vec::as_slice));
    let gradients: Vec<_> = names.zip(arrays).collect();
    assert_eq!(gradients.len(), g.len());
    compare("generator", &gradients, &g, |g| twin.losses(g, &d).1);
}

#[test]
fn gradients_equal_finite_differences() {
    let small = CfganConfig {
        hidden: vec![7],
        discriminator_hidden: vec![5],
        zero_weight: 0.3,
        ..CfganConfig::default()
    };
    for scheme in [Scheme::Zr, Scheme::Pm, Scheme::Zp] {
        check(CfganConfig { scheme, ..small.clone() });
    }
    check(CfganConfig {
        hidden: vec![6, 35, 5],
        discriminator_hidden: vec![34, 5],
        hidden_activation: Activation::Mpelu,
        output_activation: Activation::Tanh,
        ..small.clone()
    });
    check(CfganConfig {
        hidden: vec![4, 6],
        hidden_activation: Activation::Mpelu,
        activation_sharing: Sharing::Layer,
        ..small
    });
}

#[test]
fn schemes_sample_what_they_say() {
    let cases = cases();
    for (scheme, seen_more, zeroed_any) in
        [(Scheme::Zr, false, true), (Scheme::Pm, true, false), (Scheme::Zp, true, true)]
    {
        let config = CfganConfig { scheme, ..CfganConfig::default() };
        let (mut bits, mut other) = (bits_of(&cases), bits_of(&cases));
        let ones = |bits: &[u64]| {
            (0..PLACES as u32)
                .filter(|place| bits[*place as usize / 64] >> (place % 64) & 1 == 1)
                .collect::<Vec<_>>()
        };
        let samples = Samples::new(&config, 1, 0);
        samples.seen(&cases, 2, &mut bits);
        assert_eq!(ones(&bits) != cases.row(2).0, seen_more, "{scheme:?}");
        assert!(cases.row(2).0.iter().all(|place| ones(&bits).contains(place)));
        samples.zeroed(&cases, 2, &mut other);
        assert_eq!(!ones(&other).is_empty(), zeroed_any, "{scheme:?}");
        assert!(cases.row(2).0.iter().all(|place| !ones(&other).contains(place)));
        // Another epoch, another sample; the same epoch, the same.
        let before = bits.clone();
        samples.seen(&cases, 2, &mut bits);
        assert_eq!(bits, before);
        Samples::new(&config, 1, 1).seen(&cases, 2, &mut bits);
        assert_eq!(bits != before, seen_more);
    }
}

#[test]
fn a_gradient_that_hardly_passes_deep_layers_keeps_its_digits() {
    // Four layers whose weights decay leave the first next to no gradient. It is proportional to the last layer's weights where
    // these are too small to move a logit.
    let config = CfganConfig { discriminator_hidden: vec![34, 5, 5, 5], ..CfganConfig::default() };
    let cases = cases();
    let numbers = [4, 0, 3, 5];
    let batch = Batch { cases: &cases, numbers: &numbers, samples: Samples::new(&config, 7, 2) };
    let optimiser = Optimiser::Adam(Steps::new(Adam::default(), [0.0]));
    let generator = Generator::new(PLACES, &config, &optimiser, 1);
    let start = Discriminator::new(PLACES, &config, &optimiser, 2);
    let tables = |small: f32| {
        let mut discriminator = start.clone();
        discriminator.output.w.iter_mut().for_each(|w| *w *= small);
        let mut scratch = Scratch::new(&generator, &discriminator, numbers.len());
        let decoder = generator.packed_decoder();
        discriminator_gradients(&generator, &decoder, &discriminator, &batch, &mut scratch);
        let [_, condition, vector] = scratch.tables();
        [condition, vector].map(|table| table.data().iter().map(|x| x / small).collect::<Vec<_>>())
    };
    let (small, tiny) = (tables(2f32.powi(-20)), tables(2f32.powi(-40)));
    for (small, tiny) in small.iter().zip(&tiny) {
        let most = small.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
        assert!(most > 0.0);
        for (small, tiny) in small.iter().zip(tiny) {
            assert!((small - tiny).abs() < 5e-3 * most, "{small} {tiny}");
        }
    }
}
