//! The layers of a network behind its first sums: bias, activation, and dense layers with the same, forward and backward.
//!
//! The sums of the first layer come from outside, as every network here reads its input sparsely: `x₁ = f₁(z₁ + b₁)`,
//! `x_l = f_l(x_{l−1}·W_l + b_l)`. Activations may be trained, and follow the moments of their sums. Work is cut by rows of a batch, sums over rows are merged in
//! fixed order: the same bits at any number of threads.

use foldin_core::{FitError, TrainState};
use foldin_nn::activation::{Activation, Sharing};
use foldin_nn::matmul::{Matrix, matmul};
use foldin_nn::optimiser::{Optimiser, Trained};
use rayon::prelude::*;

use crate::resume::{keep_trained, take_trained};

/// Rows that one task activates.
const ROWS_AT_ONCE: usize = 32;

/// Columns that one task sums.
const COLUMNS_AT_ONCE: usize = 256;

/// A layer without the weights that lead to it.
#[derive(Clone, Debug, PartialEq)]
struct Units {
    activation: Activation,
    bias: Trained,
    /// Of the activation, if it has any.
    parameters: Trained,
}

/// The layers, the first without weights.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layers {
    widths: Vec<usize>,
    units: Vec<Units>,
    /// `[from × to]`, row-major, one fewer than layers.
    weights: Vec<Trained>,
}

/// What the forward pass leaves for the backward one.
#[derive(Debug)]
pub(crate) struct Passed {
    /// Of each layer the sums with bias, `[rows × width]`.
    z: Vec<Vec<f32>>,
    /// Of each layer the outputs.
    x: Vec<Vec<f32>>,
}

impl Passed {
    /// Outputs of the last layer.
    pub(crate) fn last(&self) -> &[f32] {
        self.x.last().map_or(&[], Vec::as_slice)
    }
}

/// A parameter with its name, and whether weight decay applies to it: activations have none.
pub(crate) type Named<'a> = (String, bool, &'a mut Trained);

impl Layers {
    /// Layers of these widths and activations; `draw` gives the weights between two widths, or `(0, width)` the biases of a layer.
    pub(crate) fn new(
        layers: &[(usize, Activation)],
        sharing: Sharing,
        optimiser: &Optimiser,
        mut draw: impl FnMut(usize, usize) -> Vec<f32>,
    ) -> Self {
        let mut from = None;
        let (mut units, mut weights) = (Vec::new(), Vec::new());
        for &(width, activation) in layers {
            if let Some(from) = from.replace(width) {
                weights.push(Trained::new(&draw(from, width), optimiser));
            }
            units.push(Units {
                activation,
                bias: Trained::new(&draw(0, width), optimiser),
                parameters: Trained::of_activation(activation, sharing, width, optimiser),
            });
        }
        Self { widths: layers.iter().map(|layer| layer.0).collect(), units, weights }
    }

    pub(crate) fn first_width(&self) -> usize {
        self.widths[0]
    }

    pub(crate) fn last_width(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    /// Forward from the first sums, without bias, `[rows × first width]`.
    pub(crate) fn forward(&self, first: Vec<f32>) -> Passed {
        let rows = first.len() / self.first_width();
        let mut passed = Passed { z: Vec::new(), x: Vec::new() };
        let mut sums = first;
        for (at, (units, &width)) in self.units.iter().zip(&self.widths).enumerate() {
            if at > 0 {
                sums = vec![0.0; rows * width];
                let from = self.widths[at - 1];
                let x = Matrix::new(&passed.x[at - 1], rows, from);
                matmul(x, Matrix::new(&self.weights[at - 1].w, from, width), false, &mut sums);
            }
            let mut x = vec![0.0; rows * width];
            activate(units.activation, &units.parameters.w, &units.bias.w, &mut sums, &mut x);
            passed.z.push(std::mem::take(&mut sums));
            passed.x.push(x);
        }
        passed
    }

    /// Backward from the gradient of the last outputs to that of the first sums. `gradients`, if wanted, get those of all parameters
    /// in the order of [`Layers::parameters`].
    pub(crate) fn backward(
        &self,
        passed: &Passed,
        last: Vec<f32>,
        mut gradients: Option<&mut Vec<Vec<f32>>>,
    ) -> Vec<f32> {
        let rows = last.len() / self.last_width();
        let mut gradient = last;
        let mut found = Vec::new();
        for at in (0..self.units.len()).rev() {
            let (units, width) = (&self.units[at], self.widths[at]);
            let of_parameters = through_activation(
                units.activation,
                &units.parameters.w,
                width,
                &passed.z[at],
                &mut gradient,
            );
            if gradients.is_some() {
                found.push(of_parameters);
                found.push(column_sums(&gradient, units.bias.w.len()));
            }
            if at > 0 {
                let from = self.widths[at - 1];
                let dz = Matrix::new(&gradient, rows, width);
                if gradients.is_some() {
                    let mut of_weights = vec![0.0; from * width];
                    matmul(
                        Matrix::new(&passed.x[at - 1], rows, from).transposed(),
                        dz,
                        false,
                        &mut of_weights,
                    );
                    found.push(of_weights);
                }
                let mut before = vec![0.0; rows * from];
                let weights = Matrix::new(&self.weights[at - 1].w, from, width);
                matmul(dz, weights.transposed(), false, &mut before);
                gradient = before;
            }
        }
        if let Some(gradients) = &mut gradients {
            gradients.extend(found.into_iter().rev());
        }
        gradient
    }

    /// All parameters: of each layer the weights that lead to it (not of the first), the bias, the parameters of the activation.
    pub(crate) fn parameters(&mut self) -> Vec<Named<'_>> {
        let mut weights = self.weights.iter_mut();
        let mut out = Vec::new();
        for (at, units) in self.units.iter_mut().enumerate() {
            if at > 0 {
                out.extend(weights.next().map(|weights| (format!("weights_{at}"), true, weights)));
            }
            out.push((format!("bias_{at}"), true, &mut units.bias));
            out.push((format!("activation_{at}"), false, &mut units.parameters));
        }
        out
    }

    /// Puts the parameters of activations back into their ranges, after a step.
    pub(crate) fn constrain(&mut self) {
        for units in &mut self.units {
            units.activation.constrain(&mut units.parameters.w);
        }
    }

    /// The layers as they serve: weights (none for the first, whose are elsewhere), bias, activation and its parameters.
    pub(crate) fn serving(&self) -> Vec<Layer> {
        (self.units.iter().enumerate())
            .map(|(at, units)| Layer {
                weights: if at > 0 { self.weights[at - 1].w.to_vec() } else { Vec::new() },
                bias: units.bias.w.to_vec(),
                activation: units.activation,
                parameters: units.parameters.w.to_vec(),
            })
            .collect()
    }
}

/// A layer as it serves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Layer {
    /// `[from × to]`, row-major.
    pub(crate) weights: Vec<f32>,
    pub(crate) bias: Vec<f32>,
    pub(crate) activation: Activation,
    pub(crate) parameters: Vec<f32>,
}

/// Adds the bias to the sums `z` `[n × width]` of a layer, and gives `x = f(z)`.
pub(crate) fn activate(
    activation: Activation,
    parameters: &[f32],
    bias: &[f32],
    z: &mut [f32],
    x: &mut [f32],
) {
    let width = bias.len();
    z.par_chunks_mut(ROWS_AT_ONCE * width).zip(x.par_chunks_mut(ROWS_AT_ONCE * width)).for_each(|(z, x)| {
        for z in z.chunks_exact_mut(width) {
            z.iter_mut().zip(bias).for_each(|(z, bias)| *z += bias);
        }
        activation.forward(parameters, width, z, x);
    });
}

/// Turns the gradient of a layer's outputs into that of its sums `z`, bias included, and gives that of the activation's parameters.
pub(crate) fn through_activation(
    activation: Activation,
    parameters: &[f32],
    width: usize,
    z: &[f32],
    gradient: &mut [f32],
) -> Vec<f32> {
    let parts: Vec<Vec<f32>> = gradient
        .par_chunks_mut(ROWS_AT_ONCE * width)
        .zip(z.par_chunks(ROWS_AT_ONCE * width))
        .map(|(gradient, z)| {
            let mut own = vec![0.0; parameters.len()];
            activation.backward(parameters, width, z, gradient, &mut own);
            own
        })
        .collect();
    let mut sum = vec![0.0; parameters.len()];
    for part in parts {
        sum.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
    activation.average_moments(z.len(), &mut sum);
    sum
}

/// Sums of the columns of `x` `[n × width]`, each from the first row to the last.
pub(crate) fn column_sums(x: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0f32; width];
    sums.par_chunks_mut(COLUMNS_AT_ONCE).enumerate().for_each(|(at, sums)| {
        let columns = at * COLUMNS_AT_ONCE..at * COLUMNS_AT_ONCE + sums.len();
        for row in x.chunks_exact(width) {
            sums.iter_mut().zip(&row[columns.clone()]).for_each(|(sum, x)| *sum += x);
        }
    });
    sums
}

/// One step of all parameters, with L2 decay on those that have it.
pub(crate) fn step(
    parameters: Vec<Named<'_>>,
    gradients: &[&[f32]],
    optimiser: &Optimiser,
    at: usize,
    decay: f32,
) {
    for ((_, decays, trained), gradient) in parameters.into_iter().zip(gradients) {
        if !gradient.is_empty() {
            trained.update(optimiser, at, if decays { decay } else { 0.0 }, gradient);
        }
    }
}

/// Everything under its name, for a checkpoint.
pub(crate) fn save(parameters: Vec<Named<'_>>, prefix: &str, state: &mut TrainState) {
    for (name, _, trained) in parameters {
        keep_trained(state, &format!("{prefix}{name}"), trained);
    }
}

/// Puts a checkpoint in the place of the start.
///
/// # Errors
/// [`FitError::Checkpoint`] if it is of another shape.
pub(crate) fn restore(
    parameters: Vec<Named<'_>>,
    prefix: &str,
    state: &mut TrainState,
) -> Result<(), FitError> {
    parameters
        .into_iter()
        .try_for_each(|(name, _, trained)| take_trained(state, &format!("{prefix}{name}"), trained))
}

#[cfg(test)]
mod tests {
    use foldin_core::random::Random;
    use foldin_nn::adam::{Adam, Steps};

    use super::*;

    const WIDTHS: [usize; 2] = [3, 2];
    const ROWS: usize = 70;

    fn layers(optimiser: &Optimiser, activation: Activation, sharing: Sharing) -> Layers {
        let mut random = Random::new(5);
        Layers::new(&WIDTHS.map(|width| (width, activation)), sharing, optimiser, |from, to| {
            (0..from.max(1) * to).map(|_| random.normal() as f32).collect()
        })
    }

    /// Mean and variance of each column of `x`, or of all numbers if they are shared.
    fn moments(x: &[f32], width: usize, sharing: Sharing) -> Vec<f64> {
        let sets = sharing.sets(width);
        let of = |set: usize| x.iter().skip(set).step_by(sets).map(|&x| f64::from(x)).collect::<Vec<_>>();
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let means: Vec<f64> = (0..sets).map(|set| mean(&of(set))).collect();
        let squares = |set: usize| of(set).iter().map(|x| (x - means[set]).powi(2)).collect::<Vec<_>>();
        let variances: Vec<f64> = (0..sets).map(|set| mean(&squares(set))).collect();
        [means, variances].concat()
    }

    /// In training the moments of Dice follow those of the sums, and are constants within a step; in serving they stay.
    #[test]
    fn dice_follows_in_training_and_stays_in_serving() {
        // Nothing else learns, so that the sums' moments stand still.
        let optimiser = Optimiser::Adam(Steps::new(Adam::default(), vec![0.0; 300]));
        let mut random = Random::new(7);
        let first: Vec<f32> = (0..ROWS * WIDTHS[0]).map(|_| 3.0 + 2.0 * random.normal() as f32).collect();
        for sharing in [Sharing::Unit, Sharing::Layer] {
            let mut layers = layers(&optimiser, Activation::Dice, sharing);
            let start = layers.clone();
            for at in 0..300 {
                let passed = layers.forward(first.clone());
                let mut gradients = Vec::new();
                layers.backward(&passed, vec![0.1; ROWS * WIDTHS[1]], Some(&mut gradients));
                let gradients: Vec<&[f32]> = gradients.iter().map(Vec::as_slice).collect();
                step(layers.parameters(), &gradients, &optimiser, at, 0.0);
                layers.constrain();
            }
            assert_ne!(layers, start);
            let trained = layers.clone();
            let passed = layers.forward(first.clone());
            for ((served, z), width) in layers.serving().iter().zip(&passed.z).zip(WIDTHS) {
                let sets = sharing.sets(width);
                for (got, want) in served.parameters[sets..].iter().zip(moments(z, width, sharing)) {
                    assert!((f64::from(*got) - want).abs() < 1e-3 * (1.0 + want.abs()), "{got} {want}");
                }
            }
            // A forward pass moves nothing, and a row alone gives what it gives among others.
            assert_eq!(layers, trained);
            let alone = layers.forward(first[..WIDTHS[0]].to_vec());
            assert_eq!(alone.last(), &passed.last()[..WIDTHS[1]]);
            // So it is with a gradient that nobody wants the parameters' part of: an adversary that does not learn.
            layers.backward(&passed, vec![0.1; ROWS * WIDTHS[1]], None);
            assert_eq!(layers, trained);
        }
    }

    #[test]
    fn a_checkpoint_keeps_moments() {
        let optimiser = Optimiser::Adam(Steps::new(Adam::default(), vec![0.01; 20]));
        let mut random = Random::new(2);
        let batches: Vec<Vec<f32>> =
            (0..20).map(|_| (0..ROWS * WIDTHS[0]).map(|_| random.normal() as f32).collect()).collect();
        let run = |layers: &mut Layers, steps: std::ops::Range<usize>| {
            for at in steps {
                let passed = layers.forward(batches[at].clone());
                let mut gradients = Vec::new();
                layers.backward(&passed, passed.last().to_vec(), Some(&mut gradients));
                let gradients: Vec<&[f32]> = gradients.iter().map(Vec::as_slice).collect();
                step(layers.parameters(), &gradients, &optimiser, at, 1e-3);
                layers.constrain();
            }
        };
        let mut whole = layers(&optimiser, Activation::Dice, Sharing::Unit);
        let mut resumed = whole.clone();
        let mut state = TrainState::default();
        run(&mut whole, 0..8);
        save(whole.parameters(), "", &mut state);
        run(&mut whole, 8..20);
        restore(resumed.parameters(), "", &mut state).unwrap();
        run(&mut resumed, 8..20);
        assert_eq!(resumed, whole);
    }
}
