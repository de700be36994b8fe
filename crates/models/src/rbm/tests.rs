//! A tiny machine against the enumeration of all its states, in `f64`.

use foldin_core::{
    Csr, Features, Feedback, FitContext, FitError, Interactions, RatingScale, ScaleProblem, TrainingData,
};

use super::config::{Chain, Form, RbmConfig};
use super::levels::{Cases, Levels};
use super::machine::{Machine, Shape, hidden_given};
use super::predict::Predictor;
use super::step::{Batch, Ends, Run, hidden_bias_gradient, run_chains, unit_gradient};
use super::train::{Side, fit};

const SHAPE: Shape = Shape { units: 4, levels: 3, hidden: 3, conditional: true };

const SCALE: RatingScale = RatingScale { min: -1.0, max: 1.0, step: Some(1.0) };

/// Two cases: ratings of units 0, 1, 3 and of units 1, 2.
const RATINGS: [(u32, u32, f32); 5] = [(0, 0, -1.0), (0, 1, 1.0), (0, 3, 0.0), (1, 1, 0.0), (1, 2, 1.0)];

fn csr() -> Csr {
    Csr::from_triples(2, SHAPE.units, &RATINGS).unwrap()
}

fn levels() -> Levels {
    Levels::new(SCALE).unwrap()
}

/// Parameters far enough from nothing for the terms to differ.
fn machine(cases: &Cases<'_>) -> Machine {
    let mut machine = Machine::new(SHAPE, cases, 0.7, 3);
    for (at, bias) in machine.hidden_bias.iter_mut().enumerate() {
        *bias = 0.4 - 0.3 * at as f32;
    }
    for unit in 0..SHAPE.units {
        let from = unit * SHAPE.block() + SHAPE.levels * SHAPE.hidden;
        for (at, d) in machine.weights[from..from + SHAPE.hidden].iter_mut().enumerate() {
            *d = 0.2 * (unit as f32 - at as f32);
        }
    }
    machine
}

/// All parameters as one vector: weights, visible biases, hidden biases.
fn parameters(machine: &Machine) -> Vec<f64> {
    machine.parts().iter().flat_map(|(_, values)| values.iter().map(|&x| f64::from(x))).collect()
}

fn weight(unit: u32, row: usize, hidden: usize) -> usize {
    (unit as usize * SHAPE.rows() + row) * SHAPE.hidden + hidden
}

fn visible_bias(unit: u32, level: usize) -> usize {
    SHAPE.units * SHAPE.block() + unit as usize * SHAPE.levels + level
}

fn hidden_bias(hidden: usize) -> usize {
    SHAPE.units * (SHAPE.block() + SHAPE.levels) + hidden
}

/// `−E(v, h)` of levels of some units and the hidden states in the bits of `h`, straight from the definition.
fn minus_energy(parameters: &[f64], units: &[u32], levels: &[usize], h: usize) -> f64 {
    let mut sum = 0.0;
    for (&unit, &level) in units.iter().zip(levels) {
        sum += parameters[visible_bias(unit, level)];
    }
    for hidden in (0..SHAPE.hidden).filter(|hidden| h >> hidden & 1 == 1) {
        sum += parameters[hidden_bias(hidden)];
        for (&unit, &level) in units.iter().zip(levels) {
            sum += parameters[weight(unit, level, hidden)] + parameters[weight(unit, SHAPE.levels, hidden)];
        }
    }
    sum
}

/// `Σ_h exp(−E(v, h))`.
fn weight_of(parameters: &[f64], units: &[u32], levels: &[usize]) -> f64 {
    (0..1 << SHAPE.hidden).map(|h| minus_energy(parameters, units, levels, h).exp()).sum()
}

/// Every way in which `n` units can take levels.
fn configurations(n: usize) -> Vec<Vec<usize>> {
    (0..SHAPE.levels.pow(n as u32))
        .map(|number| (0..n).map(|at| number / SHAPE.levels.pow(at as u32) % SHAPE.levels).collect())
        .collect()
}

fn log_likelihood(parameters: &[f64], cases: &Cases<'_>) -> f64 {
    (0..cases.len())
        .map(|case| {
            let (units, given) = cases.of(case);
            let given: Vec<usize> = given.iter().map(|&level| level as usize).collect();
            let all: f64 =
                configurations(units.len()).iter().map(|levels| weight_of(parameters, units, levels)).sum();
            (weight_of(parameters, units, &given) / all).ln()
        })
        .sum()
}

fn finite_differences(parameters: &[f64], cases: &Cases<'_>) -> Vec<f64> {
    let step = 1e-5;
    (0..parameters.len())
        .map(|at| {
            let moved = |by: f64| {
                let mut moved = parameters.to_vec();
                moved[at] += by;
                log_likelihood(&moved, cases)
            };
            (moved(step) - moved(-step)) / (2.0 * step)
        })
        .collect()
}

/// The gradient that an update would use, laid out as [`parameters`], times `share`.
fn add_gradient(batch: &Batch, ends: &Ends, share: f64, out: &mut [f64]) {
    let mut gradient = vec![0.0; SHAPE.block()];
    let mut biases = vec![0.0; SHAPE.levels];
    for (position, &unit) in batch.touched().iter().enumerate() {
        unit_gradient(batch, ends, position, &mut gradient, &mut biases);
        for (at, &x) in gradient.iter().enumerate() {
            out[weight(unit, 0, 0) + at] += share * f64::from(x);
        }
        for (level, &x) in biases.iter().enumerate() {
            out[visible_bias(unit, level)] += share * f64::from(x);
        }
    }
    let mut hidden = vec![0.0; SHAPE.hidden];
    hidden_bias_gradient(ends, &mut hidden);
    for (at, &x) in hidden.iter().enumerate() {
        out[hidden_bias(at)] += share * f64::from(x);
    }
}

fn farthest(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// With the chain's end replaced by the machine's own distribution, enumerated, the update is the gradient of the likelihood.
#[test]
fn the_update_with_an_exact_end_is_the_gradient_of_the_likelihood() {
    let (csr, levels) = (csr(), levels());
    let cases = Cases::new(&csr, &levels);
    let machine = machine(&cases);
    let parameters = parameters(&machine);
    let mut got = vec![0.0; parameters.len()];
    for case in 0..cases.len() {
        let (units, given) = cases.of(case);
        let batch = Batch::new(&cases, &[case as u32], &mut [0; SHAPE.units]);
        let mut first = vec![0.0; SHAPE.hidden];
        hidden_given(&machine, units, given, &mut first);
        let all = configurations(units.len());
        let total: f64 = all.iter().map(|levels| weight_of(&parameters, units, levels)).sum();
        for configuration in &all {
            let drawn: Vec<u8> = configuration.iter().map(|&level| level as u8).collect();
            let mut last = vec![0.0; SHAPE.hidden];
            hidden_given(&machine, units, &drawn, &mut last);
            let mut visible = vec![0.0; units.len() * SHAPE.levels];
            for (at, &level) in configuration.iter().enumerate() {
                visible[at * SHAPE.levels + level] = 1.0;
            }
            let ends = Ends { first: first.clone(), last, visible, ..Ends::default() };
            add_gradient(&batch, &ends, weight_of(&parameters, units, configuration) / total, &mut got);
        }
    }
    let expected = finite_differences(&parameters, &cases);
    // The update adds in `f32`; the differences are good to 1e-9.
    assert!(farthest(&got, &expected) < 2e-6, "{got:?}\n{expected:?}");
    assert!(expected.iter().filter(|x| x.abs() > 0.05).count() > 20, "a gradient to speak of: {expected:?}");
}

/// The mean update of many chains of both cases.
fn mean_of_chains(machine: &Machine, cases: &Cases<'_>, steps: usize, chains: u64) -> Vec<f64> {
    let batch = Batch::new(cases, &[0, 1], &mut [0; SHAPE.units]);
    let mut mean = vec![0.0; parameters(machine).len()];
    let mut ends = Ends::default();
    for seed in 0..chains {
        let run = Run { chain: Chain::Sampled, steps, seed };
        run_chains(machine, cases, &levels(), &batch, run, &mut ends);
        add_gradient(&batch, &ends, 1.0 / chains as f64, &mut mean);
    }
    mean
}

#[test]
fn long_chains_approach_the_gradient_of_the_likelihood() {
    let (csr, levels) = (csr(), levels());
    let cases = Cases::new(&csr, &levels);
    let machine = machine(&cases);
    let expected = finite_differences(&parameters(&machine), &cases);
    let chains = 10_000;
    let one = farthest(&mean_of_chains(&machine, &cases, 1, chains), &expected);
    let many = farthest(&mean_of_chains(&machine, &cases, 30, chains), &expected);
    // A difference of states has a standard deviation of at most 0.7, its mean over these chains one of 0.007: four of them.
    assert!(many < 0.028, "{many} after 30 steps");
    assert!(one > 0.04, "{one} after one step, which is biased");
}

/// With mean-field chains nothing is drawn, so that seeds do not matter; drawn chains have a stream of their own for each case.
#[test]
fn chains_draw_what_they_say() {
    let (csr, levels) = (csr(), levels());
    let cases = Cases::new(&csr, &levels);
    let machine = machine(&cases);
    let ends = |chain: Chain, seed: u64, numbers: &[u32]| {
        let batch = Batch::new(&cases, numbers, &mut [0; SHAPE.units]);
        let mut ends = Ends::default();
        run_chains(&machine, &cases, &levels, &batch, Run { chain, steps: 2, seed }, &mut ends);
        ends
    };
    assert_eq!(ends(Chain::MeanField, 1, &[0, 1]).last, ends(Chain::MeanField, 2, &[0, 1]).last);
    for chain in [Chain::Sampled, Chain::SampledHidden] {
        assert!((1..9).any(|seed| ends(chain, seed, &[0, 1]).last != ends(chain, 0, &[0, 1]).last));
        // The same chain, whoever else is in the batch.
        let (both, alone) = (ends(chain, 1, &[0, 1]), ends(chain, 1, &[1]));
        assert_eq!(both.last[SHAPE.hidden..], alone.last);
    }
    let whole = |x: f32| x == 0.0 || x == 1.0;
    assert!(ends(Chain::Sampled, 1, &[0, 1]).visible.iter().all(|&x| whole(x)));
    assert!(!ends(Chain::SampledHidden, 1, &[0, 1]).visible.iter().any(|&x| whole(x)));
}

#[test]
fn predictions_equal_the_enumeration() {
    let (csr, levels) = (csr(), levels());
    let cases = Cases::new(&csr, &levels);
    let machine = machine(&cases);
    let parameters = parameters(&machine);
    let (mean_field, exact) = (
        Predictor::new(machine.clone(), levels.clone(), Form::MeanField),
        Predictor::new(machine, levels, Form::Exact),
    );
    for case in 0..cases.len() {
        let (units, given) = cases.of(case);
        let hidden = exact.hidden(units, given);
        let given: Vec<usize> = given.iter().map(|&level| level as usize).collect();
        // P(h_j = 1 | V) by enumeration of all hidden states.
        let total = weight_of(&parameters, units, &given);
        let on: Vec<f64> = (0..SHAPE.hidden)
            .map(|hidden| {
                let states = (0..1 << SHAPE.hidden).filter(|h| h >> hidden & 1 == 1);
                states.map(|h| minus_energy(&parameters, units, &given, h).exp()).sum::<f64>() / total
            })
            .collect();
        for (&got, expected) in hidden.iter().zip(&on) {
            assert!((f64::from(got) - expected).abs() < 1e-6, "{got} {expected}");
        }
        for unit in (0..SHAPE.units as u32).filter(|unit| !units.contains(unit)) {
            let with: Vec<u32> = units.iter().copied().chain([unit]).collect();
            let mean = |weight_of_level: &dyn Fn(usize) -> f64| {
                let weights: Vec<f64> = (0..SHAPE.levels).map(weight_of_level).collect();
                let ratings = weights.iter().enumerate().map(|(at, w)| w * f64::from(SCALE.at_level(at)));
                ratings.sum::<f64>() / weights.iter().sum::<f64>()
            };
            let enumerated = mean(&|level| {
                let levels: Vec<usize> = given.iter().copied().chain([level]).collect();
                weight_of(&parameters, &with, &levels)
            });
            let got = exact.rating(&hidden, unit as usize);
            assert!((f64::from(got) - enumerated).abs() < 1e-6, "{got} {enumerated}");
            let naive = mean(&|level| {
                let inner = (0..SHAPE.hidden).map(|at| on[at] * parameters[weight(unit, level, at)]);
                (parameters[visible_bias(unit, level)] + inner.sum::<f64>()).exp()
            });
            let got = mean_field.rating(&hidden, unit as usize);
            assert!((f64::from(got) - naive).abs() < 1e-6, "{got} {naive}");
            assert!((naive - enumerated).abs() > 1e-3, "the two forms are two");
        }
    }
}

/// More hidden units than the exact form multiplies at once, and a number that fills no register.
#[test]
fn the_exact_form_holds_for_many_hidden_units() {
    let (csr, levels) = (csr(), levels());
    let cases = Cases::new(&csr, &levels);
    let shape = Shape { hidden: 203, ..SHAPE };
    let machine = Machine::new(shape, &cases, 0.5, 5);
    let exact = Predictor::new(machine.clone(), levels, Form::Exact);
    let (units, given) = cases.of(1);
    let got = f64::from(exact.rating(&exact.hidden(units, given), 0));
    let input = |at: usize| -> f64 {
        let rows = units.iter().zip(given).map(|(&unit, &level)| {
            f64::from(machine.block(unit as usize)[level as usize * shape.hidden + at])
        });
        rows.sum()
    };
    let weights: Vec<f64> = (0..shape.levels)
        .map(|level| {
            let row = &machine.block(0)[level * shape.hidden..];
            let logs = (0..shape.hidden).map(|at| (input(at) + f64::from(row[at])).exp().ln_1p());
            (f64::from(machine.biases(0)[level]) + logs.sum::<f64>() - 140.0).exp()
        })
        .collect();
    let expected = (weights[2] - weights[0]) / weights.iter().sum::<f64>();
    // 203 factors of `f32`.
    assert!((got - expected).abs() < 2e-5, "{got} {expected}");
}

fn interactions(scale: RatingScale, cells: &[(u32, u32, f32)]) -> Interactions {
    let csr = Csr::from_triples(2, SHAPE.units, cells).unwrap();
    Interactions::new(csr, None, Feedback::Explicit(scale)).unwrap()
}

fn fitted(side: Side, config: &RbmConfig, ratings: &Interactions) -> Result<Vec<f32>, FitError> {
    let (users, items) = (Features::none(2), Features::none(SHAPE.units));
    let data = TrainingData { interactions: ratings, user_features: &users, item_features: &items };
    let trained = fit("rbm", side, config, &data, &FitContext::new(1))?;
    let parts = trained.predictor.machine.parts().map(|(_, values)| values.to_vec());
    Ok([parts.concat(), trained.hidden].concat())
}

#[test]
fn scales_without_levels_are_refused_with_the_reason() {
    let wide = RatingScale { min: -1.0, max: 999.0, step: Some(1.0) };
    for (scale, rating, problem) in [
        (RatingScale { step: None, ..SCALE }, 0.0, "has no step"),
        (RatingScale { step: Some(0.75), ..SCALE }, -1.0, "not a whole number of steps"),
        (wide, 0.0, "has 1001 levels"),
        (SCALE, 0.5, "the rating 0.5 of user number 1 for item number 2 is between two"),
    ] {
        let ratings = interactions(scale, &[(0, 0, -1.0), (1, 2, rating)]);
        for side in [Side::Users, Side::Items] {
            let error = fitted(side, &RbmConfig::default(), &ratings).unwrap_err();
            assert!(matches!(error, FitError::Scale { .. }), "{error}");
            let text = error.to_string();
            assert!(text.contains(problem) && text.contains("bias-svd"), "{text}");
        }
    }
    let refused = Levels::new(wide).unwrap_err();
    assert_eq!(refused, ScaleProblem::TooManyLevels { scale: wide, levels: 1001 });
}

#[test]
fn threads_do_not_matter_to_any_chain() {
    let cells: Vec<(u32, u32, f32)> = (0..2)
        .flat_map(|user| (0..4).map(move |item| (user, item, [-1.0, 0.0, 1.0][(user + item) as usize % 3])))
        .collect();
    let ratings = interactions(SCALE, &cells);
    for chain in [Chain::Sampled, Chain::SampledHidden, Chain::MeanField] {
        for side in [Side::Users, Side::Items] {
            let config = RbmConfig {
                hidden_units: 21,
                epochs: 5,
                batch_size: 3,
                chain,
                conditional: true,
                validation_fraction: 0.3,
                ..RbmConfig::default()
            };
            let on = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| fitted(side, &config, &ratings).unwrap())
            };
            assert_eq!(on(1), on(4), "{chain:?} {side:?}");
        }
    }
}

#[test]
fn steps_rise_evenly() {
    let config = RbmConfig { epochs: 9, first_steps: 1, last_steps: 3, ..RbmConfig::default() };
    let steps: Vec<usize> = (0..9).map(|epoch| config.steps_in(epoch)).collect();
    assert_eq!(steps, [1, 1, 1, 2, 2, 2, 3, 3, 3]);
}
