//! Activation functions, with parameters that are trained where they have any.
//!
//! Each is a function `f(x; p)` of one number, with its slope `∂f/∂x` and the gradient `∂f/∂p` of its parameters. Parameters are
//! kept once a unit or once a layer ([`Sharing`]), laid out `[n_parameters × n_units]` or `[n_parameters × 1]`, and after each
//! step of the optimiser are put back into the range that [`Parameter`] names. Those of [`Parameter::follows`] are running moments of
//! what comes in. The loss gives them no gradient; in its place [`Activation::backward`] says how far they are off, and an update of
//! [`Trained::of_activation`](crate::optimiser::Trained::of_activation) moves them a fixed share of the way. Between two steps, and in a
//! model that serves, they are constants: an output never depends on the other rows of a batch.
//! [`Activation::formula`] states each function and [`Activation::source`] where it comes from; `s` is the logistic function
//! throughout.
//!
//! ```
//! use foldin_nn::activation::{Activation, Sharing};
//! let mpelu = Activation::Mpelu;
//! // Two units, each with its own a and b: [a₀, a₁, b₀, b₁].
//! let parameters = mpelu.initial(Sharing::Unit, 2);
//! assert_eq!(parameters, [1.0, 1.0, 1.0, 1.0]);
//! let mut out = [0.0; 2];
//! mpelu.forward(&parameters, 2, &[2.0, -1.0], &mut out);
//! assert_eq!(out[0], 2.0);
//! assert!((out[1] - ((-1.0f32).exp() - 1.0)).abs() < 1e-6);
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::kernel;

mod functions;

pub(crate) use functions::exp;
use functions::{
    Abu, Apl, Arelu, Dice, Elu, Function, Gated, Identity, LeakyRelu, Mpelu, Pelu, Prelu, Relu, Selu,
    Sigmoid, Slope, Swish, Tanh,
};

/// The most parameters that an activation has.
pub const MOST_PARAMETERS: usize = 5;

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(0, x)`.
    Relu,
    /// `x` above 0, `0.01·x` below.
    LeakyRelu,
    /// `x` above 0, `eˣ − 1` below.
    Elu,
    /// `1.0507·x` above 0, `1.0507·1.6733·(eˣ − 1)` below: keeps mean 0 and variance 1 from layer to layer.
    Selu,
    /// The logistic function `1/(1 + e⁻ˣ)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `x` above 0, `a·x` below; a trained.
    Prelu,
    /// `(a/b)·x` above 0, `a·(e^{x/b} − 1)` below; a and b trained, the slope at 0 has no step.
    Pelu,
    /// `x` above 0, `a·(e^{bx} − 1)` below; a and b trained: from ReLU to ELU and between.
    Mpelu,
    /// `x` above 0, `s(wx + v)·(eˣ − 1)` below; w and v trained: a blend of ReLU and ELU that depends on x.
    Gated,
    /// `Σ_j a_j·f_j(x)` over tanh, ELU, ReLU, `x·s(x)` and x; the five weights trained.
    Abu,
    /// `tanh(a·x)`; a trained.
    Slope,
    /// `(1 + s(b))·x` above 0, `a·x` below; a and b trained.
    Arelu,
    /// `x·s(b·x)`; b trained.
    Swish,
    /// `max(0, x) + Σ_{j=1,2} a_j·max(0, b_j − x)`; all four trained.
    Apl,
    /// `p·x + (1 − p)·a·x` with `p = s((x − m)/√v)`; a trained, m and v running mean and variance of x.
    Dice,
}

/// How many units have one set of parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Each unit its own.
    #[default]
    Unit,
    /// All units of a layer the same.
    Layer,
}

impl std::fmt::Display for Sharing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unit => "unit",
            Self::Layer => "layer",
        })
    }
}

/// A parameter of an activation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// Its letter in the formula.
    pub name: &'static str,
    /// Where it starts.
    pub initial: f32,
    /// The least it may be.
    pub min: f32,
    /// The most it may be.
    pub max: f32,
    /// Whether it follows the moments of what comes in instead of a gradient.
    pub follows: bool,
}

/// Runs `$body` with `$function` standing for the type of the function.
macro_rules! with_function {
    ($activation:expr, $function:ident => $body:expr) => {
        match $activation {
            Activation::Identity => {
                type $function = Identity;
                $body
            }
            Activation::Relu => {
                type $function = Relu;
                $body
            }
            Activation::LeakyRelu => {
                type $function = LeakyRelu;
                $body
            }
            Activation::Elu => {
                type $function = Elu;
                $body
            }
            Activation::Selu => {
                type $function = Selu;
                $body
            }
            Activation::Sigmoid => {
                type $function = Sigmoid;
                $body
            }
            Activation::Tanh => {
                type $function = Tanh;
                $body
            }
            Activation::Prelu => {
                type $function = Prelu;
                $body
            }
            Activation::Pelu => {
                type $function = Pelu;
                $body
            }
            Activation::Mpelu => {
                type $function = Mpelu;
                $body
            }
            Activation::Gated => {
                type $function = Gated;
                $body
            }
            Activation::Abu => {
                type $function = Abu;
                $body
            }
            Activation::Slope => {
                type $function = Slope;
                $body
            }
            Activation::Arelu => {
                type $function = Arelu;
                $body
            }
            Activation::Swish => {
                type $function = Swish;
                $body
            }
            Activation::Apl => {
                type $function = Apl;
                $body
            }
            Activation::Dice => {
                type $function = Dice;
                $body
            }
        }
    };
}

impl Activation {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Identity,
        Self::Relu,
        Self::LeakyRelu,
        Self::Elu,
        Self::Selu,
        Self::Sigmoid,
        Self::Tanh,
        Self::Prelu,
        Self::Pelu,
        Self::Mpelu,
        Self::Gated,
        Self::Abu,
        Self::Slope,
        Self::Arelu,
        Self::Swish,
        Self::Apl,
        Self::Dice,
    ];

    /// Its name in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        with_function!(self, F => F::NAME)
    }

    /// The function in words of mathematics.
    #[must_use]
    pub fn formula(self) -> &'static str {
        with_function!(self, F => F::FORMULA)
    }

    /// Who described it.
    #[must_use]
    pub fn source(self) -> &'static str {
        with_function!(self, F => F::SOURCE)
    }

    /// Its parameters; none for a fixed function.
    #[must_use]
    pub fn parameters(self) -> &'static [Parameter] {
        with_function!(self, F => F::PARAMETERS)
    }

    /// How its parameters may be shared; in no way, of a fixed function.
    #[must_use]
    pub fn sharings(self) -> &'static [Sharing] {
        if self.parameters().is_empty() { &[] } else { &[Sharing::Unit, Sharing::Layer] }
    }

    /// How many of its parameters, always the last, are running moments.
    #[must_use]
    pub fn moments(self) -> usize {
        with_function!(self, F => F::MOMENTS)
    }

    /// The values between which it stays, if it does so for all `x`.
    #[must_use]
    pub fn bounds(self) -> Option<(f32, f32)> {
        match self {
            Self::Sigmoid => Some((0.0, 1.0)),
            Self::Tanh | Self::Slope => Some((-1.0, 1.0)),
            _ => None,
        }
    }

    /// The parameters of a layer of `units` units as they start.
    #[must_use]
    pub fn initial(self, sharing: Sharing, units: usize) -> Vec<f32> {
        let n = sharing.sets(units);
        self.parameters().iter().flat_map(|parameter| std::iter::repeat_n(parameter.initial, n)).collect()
    }

    /// Puts parameters back into their ranges.
    pub fn constrain(self, parameters: &mut [f32]) {
        let known = self.parameters();
        let sets = parameters.len() / known.len().max(1);
        for (values, known) in parameters.chunks_exact_mut(sets.max(1)).zip(known) {
            for value in values {
                *value = value.clamp(known.min, known.max);
            }
        }
    }

    /// `out = f(z)` for rows of `units` units, `[n × units]` each.
    ///
    /// # Panics
    /// If `parameters` has neither one set nor one a unit, or `out` is shorter than `z`.
    pub fn forward(self, parameters: &[f32], units: usize, z: &[f32], out: &mut [f32]) {
        assert!(out.len() >= z.len(), "room for every output");
        forward(self, parameters, units, self.sharing_of(parameters, units), z, out);
    }

    /// Backward: multiplies `gradient` `[n × units]`, that of the outputs, by the slopes at `z`, and adds to `of_parameters` (laid
    /// out as `parameters`) their gradients; of running moments the sum of how far they are above what each `z` says, whatever the
    /// gradient, which [`Activation::average_moments`] turns into the mean.
    ///
    /// # Panics
    /// If the lengths disagree.
    pub fn backward(
        self,
        parameters: &[f32],
        units: usize,
        z: &[f32],
        gradient: &mut [f32],
        of_parameters: &mut [f32],
    ) {
        assert_eq!(z.len(), gradient.len(), "a gradient an output");
        assert_eq!(parameters.len(), of_parameters.len(), "a gradient a parameter");
        backward(self, parameters, units, self.sharing_of(parameters, units), z, gradient, of_parameters);
    }

    /// Ends a backward pass over `n` numbers of a layer: what [`Activation::backward`] summed for running moments becomes its mean.
    pub fn average_moments(self, n: usize, of_parameters: &mut [f32]) {
        let (parameters, moments) = (self.parameters().len(), self.moments());
        if moments == 0 {
            return;
        }
        let sets = of_parameters.len() / parameters;
        let each = sets as f32 / n.max(1) as f32;
        of_parameters[(parameters - moments) * sets..].iter_mut().for_each(|sum| *sum *= each);
    }

    fn sharing_of(self, parameters: &[f32], units: usize) -> Sharing {
        let n = self.parameters().len();
        if n == 0 || parameters.len() == n * units {
            return Sharing::Unit;
        }
        assert_eq!(parameters.len(), n, "parameters of `{}`", self.name());
        Sharing::Layer
    }
}

impl Sharing {
    /// Sets of parameters of a layer of `units` units.
    #[must_use]
    pub fn sets(self, units: usize) -> usize {
        match self {
            Self::Unit => units,
            Self::Layer => 1,
        }
    }
}

kernel! {
    fn forward(simd, activation: Activation, parameters: &[f32], units: usize, sharing: Sharing, z: &[f32], out: &mut [f32]) {
        let _ = simd;
        with_function!(activation, F => forward_as::<F>(parameters, units, sharing, z, out));
    }

    fn backward(
        simd, activation: Activation, parameters: &[f32], units: usize, sharing: Sharing, z: &[f32], gradient: &mut [f32],
        of_parameters: &mut [f32],
    ) {
        let _ = simd;
        with_function!(activation, F => backward_as::<F>(parameters, units, sharing, z, gradient, of_parameters));
    }
}

/// The parameters of one unit.
#[inline(always)]
fn set_of(parameters: &[f32], n: usize, sets: usize, unit: usize) -> [f32; MOST_PARAMETERS] {
    let mut set = [0.0; MOST_PARAMETERS];
    let unit = if sets == 1 { 0 } else { unit };
    for (at, value) in set[..n].iter_mut().enumerate() {
        *value = parameters[at * sets + unit];
    }
    set
}

#[inline(always)]
fn forward_as<F: Function>(parameters: &[f32], units: usize, sharing: Sharing, z: &[f32], out: &mut [f32]) {
    let n = F::PARAMETERS.len();
    if n == 0 || sharing == Sharing::Layer {
        let set = set_of(parameters, n, 1, 0);
        for (out, &z) in out.iter_mut().zip(z) {
            *out = F::value(&set, z);
        }
        return;
    }
    for (out, z) in out.chunks_exact_mut(units).zip(z.chunks_exact(units)) {
        for unit in 0..units {
            out[unit] = F::value(&set_of(parameters, n, units, unit), z[unit]);
        }
    }
}

#[inline(always)]
fn backward_as<F: Function>(
    parameters: &[f32],
    units: usize,
    sharing: Sharing,
    z: &[f32],
    gradient: &mut [f32],
    of_parameters: &mut [f32],
) {
    let n = F::PARAMETERS.len();
    if n == 0 {
        for (gradient, &z) in gradient.iter_mut().zip(z) {
            *gradient *= F::slope(&[0.0; MOST_PARAMETERS], z);
        }
        return;
    }
    let sets = sharing.sets(units);
    // Parameters get `f64` sums: a layer may share one among millions of numbers.
    let mut sums = vec![0.0f64; n * sets];
    for (gradient, z) in gradient.chunks_exact_mut(units).zip(z.chunks_exact(units)) {
        for unit in 0..units {
            let set = set_of(parameters, n, sets, unit);
            let own = F::gradient(&set, z[unit]);
            let first = if sets == 1 { 0 } else { unit };
            for at in 0..n - F::MOMENTS {
                sums[at * sets + first] += f64::from(gradient[unit] * own[at]);
            }
            for at in n - F::MOMENTS..n {
                sums[at * sets + first] += f64::from(own[at]);
            }
            gradient[unit] *= F::slope(&set, z[unit]);
        }
    }
    for (out, sum) in of_parameters.iter_mut().zip(sums) {
        *out += sum as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Off the points where a function has a corner.
    const POINTS: [f32; 10] = [-9.0, -2.3, -1.1, -0.4, -0.01, 0.013, 0.35, 1.2, 2.7, 8.0];

    fn value(activation: Activation, parameters: &[f32], x: f32) -> f64 {
        let mut out = [0.0];
        activation.forward(parameters, 1, &[x], &mut out);
        f64::from(out[0])
    }

    /// Parameters a little off their start, so that none is a special case.
    fn shaken(activation: Activation) -> Vec<f32> {
        let start = activation.initial(Sharing::Unit, 1);
        start.iter().enumerate().map(|(at, value)| value * 0.9 + 0.03 * (at as f32 + 1.0)).collect()
    }

    #[test]
    fn gradients_equal_finite_differences() {
        const STEP: f32 = 4e-3;
        for activation in Activation::ALL {
            let parameters = shaken(activation);
            for x in POINTS {
                let (mut slope, mut own) = ([1.0], vec![0.0; parameters.len()]);
                activation.backward(&parameters, 1, &[x], &mut slope, &mut own);
                let numeric = (value(activation, &parameters, x + STEP)
                    - value(activation, &parameters, x - STEP))
                    / f64::from((x + STEP) - (x - STEP));
                let name = activation.name();
                assert!(
                    (f64::from(slope[0]) - numeric).abs() < 2e-3 * (1.0 + numeric.abs()),
                    "{name} at {x}: {} {numeric}",
                    slope[0]
                );
                for at in (0..parameters.len()).filter(|&at| !activation.parameters()[at].follows) {
                    let moved = |by: f32| {
                        let mut moved = parameters.clone();
                        moved[at] += by;
                        value(activation, &moved, x)
                    };
                    let numeric = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
                    let letter = activation.parameters()[at].name;
                    assert!(
                        (f64::from(own[at]) - numeric).abs() < 3e-3 * (1.0 + numeric.abs()),
                        "{name}, {letter} at {x}: {} {numeric}",
                        own[at]
                    );
                }
            }
        }
    }

    #[test]
    fn known_values() {
        let at = |activation: Activation, x: f32| value(activation, &activation.initial(Sharing::Unit, 1), x);
        let close =
            |got: f64, want: f64| assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{got} {want}");
        close(at(Activation::Sigmoid, 0.0), 0.5);
        close(at(Activation::Sigmoid, 2.0), 0.880_797_077_977_882);
        close(at(Activation::Tanh, -0.5), -0.462_117_157_260_01);
        close(at(Activation::Elu, -1.0), -0.632_120_558_828_558);
        close(at(Activation::Selu, 1.0), 1.050_700_987);
        close(at(Activation::Prelu, -2.0), -0.5);
        close(at(Activation::Pelu, -1.0), at(Activation::Elu, -1.0));
        close(at(Activation::Mpelu, -1.0), at(Activation::Elu, -1.0));
        close(at(Activation::Gated, -1.0), 0.5 * at(Activation::Elu, -1.0));
        close(at(Activation::Slope, 0.7), at(Activation::Tanh, 0.7));
        close(at(Activation::Swish, 2.0), 2.0 * at(Activation::Sigmoid, 2.0));
        close(at(Activation::Arelu, -2.0), -1.8);
        close(at(Activation::Arelu, 1.0), 1.0 + at(Activation::Sigmoid, 2.0));
    }

    #[test]
    fn dice_follows_the_moments_and_learns_the_slope_alone() {
        let dice = Activation::Dice;
        // Unit 0 has mean 2 and variance 1, unit 1 mean −3 and variance 4.
        let z = [1.0, -5.0, 3.0, -1.0];
        let off = |parameters: &[f32]| {
            let (mut gradient, mut own) = ([0.0; 4], vec![0.0; parameters.len()]);
            dice.backward(parameters, 2, &z, &mut gradient, &mut own);
            dice.average_moments(z.len(), &mut own);
            own
        };
        let parameters = dice.initial(Sharing::Unit, 2);
        assert_eq!(parameters, [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);
        // Without a gradient the slope has none; squares are 1 and 9, 25 and 1.
        assert_eq!(off(&parameters), [0.0, 0.0, -2.0, 3.0, -4.0, -12.0]);
        let there = [0.0, 0.0, 2.0, -3.0, 1.0, 4.0];
        assert_eq!(off(&there), [0.0; 6]);
        // A layer's moments are those of all its units: mean −0.5, and squares of 2.25, 20.25, 12.25 and 0.25 about it.
        assert_eq!(off(&[0.0, -0.5, 1.0]), [0.0, 0.0, 1.0 - 8.75]);
        // Half of what stands at the mean comes through.
        let mut out = [0.0; 2];
        dice.forward(&there, 2, &[2.0, -3.0], &mut out);
        assert!((out[0] - 1.0).abs() < 1e-4 && (out[1] + 1.5).abs() < 1e-4, "{out:?}");
        let mut relu = [];
        Activation::Relu.average_moments(4, &mut relu);
    }

    #[test]
    fn moments_are_the_last_parameters() {
        for activation in Activation::ALL {
            let parameters = activation.parameters();
            let (trained, moments) = parameters.split_at(parameters.len() - activation.moments());
            assert!(trained.iter().all(|parameter| !parameter.follows), "{activation:?}");
            assert!(moments.iter().all(|parameter| parameter.follows), "{activation:?}");
            assert_eq!(activation.sharings().is_empty(), parameters.is_empty());
        }
    }

    #[test]
    fn far_out_nothing_overflows() {
        for activation in Activation::ALL {
            let parameters = shaken(activation);
            for x in [-1e6f32, -200.0, 200.0, 1e6] {
                let (mut slope, mut own) = ([1.0], vec![0.0; parameters.len()]);
                activation.backward(&parameters, 1, &[x], &mut slope, &mut own);
                let all = own.iter().chain(&slope).map(|&x| f64::from(x)).chain([value(
                    activation,
                    &parameters,
                    x,
                )]);
                assert!(all.into_iter().all(f64::is_finite), "{} at {x}", activation.name());
            }
        }
    }

    #[test]
    fn units_have_their_own_parameters_and_layers_one_set() {
        let prelu = Activation::Prelu;
        let mut out = [0.0; 4];
        prelu.forward(&[0.1, 0.5], 2, &[-1.0, -1.0, 2.0, -2.0], &mut out);
        assert_eq!(out, [-0.1, -0.5, 2.0, -1.0]);
        prelu.forward(&[0.5], 2, &[-1.0, -1.0, 2.0, -2.0], &mut out);
        assert_eq!(out, [-0.5, -0.5, 2.0, -1.0]);
        let (mut gradient, mut own) = ([1.0; 4], [0.0]);
        prelu.backward(&[0.5], 2, &[-1.0, -1.0, 2.0, -2.0], &mut gradient, &mut own);
        assert_eq!((gradient, own), ([0.5, 0.5, 1.0, 0.5], [-4.0]));
        let mut parameters = vec![-3.0, 9.0, 0.0, 2.0];
        Activation::Mpelu.constrain(&mut parameters);
        assert_eq!(parameters, [0.0, 4.0, 1e-3, 2.0]);
    }

    #[test]
    fn names_are_those_of_settings() {
        for activation in Activation::ALL {
            assert_eq!(serde_json::to_value(activation).unwrap(), activation.name());
            assert!(!activation.formula().is_empty() && !activation.source().is_empty());
        }
    }
}
