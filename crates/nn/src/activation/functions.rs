//! The functions themselves: value, slope and gradient of the parameters at one number. Written without branches, so that loops
//! over them become vector instructions.

use super::{MOST_PARAMETERS, Parameter};

/// Parameters of one unit; those that a function does not have are zero.
pub(super) type Set = [f32; MOST_PARAMETERS];

/// An activation function.
pub(super) trait Function {
    const NAME: &'static str;
    const FORMULA: &'static str;
    const SOURCE: &'static str;
    const PARAMETERS: &'static [Parameter] = &[];
    /// How many of them, the last, are running moments.
    const MOMENTS: usize = 0;

    /// `f(x; p)`.
    fn value(p: &Set, x: f32) -> f32;
    /// `∂f/∂x`.
    fn slope(p: &Set, x: f32) -> f32;
    /// `∂f/∂p`; of a moment, how far it is above what `x` says.
    #[inline(always)]
    fn gradient(_: &Set, _: f32) -> Set {
        [0.0; MOST_PARAMETERS]
    }
}

/// Where the argument of an exponential is cut off: e³⁰ is 1e13, beyond which every function here has long been flat.
const FLAT: f32 = 30.0;

/// `eˣ` within 2 units in the last place, for `|x|` up to [`FLAT`], beyond which it stays as it is there.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding this rounds to whole numbers and leaves them in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-FLAT, FLAT);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    // ln 2 in two parts, so that the rest is exact.
    let rest = (x - whole * 0.693_359_4) + whole * 2.121_944_4e-4;
    let mut y = 1.987_569_1e-4;
    y = y * rest + 1.398_199_9e-3;
    y = y * rest + 8.333_452e-3;
    y = y * rest + 4.166_579_6e-2;
    y = y * rest + 1.666_666_5e-1;
    y = y * rest + 0.5;
    y = y * rest * rest + rest + 1.0;
    y * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// The logistic function.
#[inline(always)]
fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[inline(always)]
fn elu(x: f32) -> f32 {
    if x > 0.0 { x } else { exp(x) - 1.0 }
}

/// `positive` above zero, else `negative`; both are computed, which is what a vector does anyway.
#[inline(always)]
fn either(x: f32, positive: f32, negative: f32) -> f32 {
    if x > 0.0 { positive } else { negative }
}

const fn free(name: &'static str, initial: f32) -> Parameter {
    Parameter { name, initial, min: -100.0, max: 100.0, follows: false }
}

pub(super) struct Identity;
impl Function for Identity {
    const NAME: &'static str = "identity";
    const FORMULA: &'static str = "x";
    const SOURCE: &'static str = "–";
    #[inline(always)]
    fn value(_: &Set, x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn slope(_: &Set, _: f32) -> f32 {
        1.0
    }
}

pub(super) struct Relu;
impl Function for Relu {
    const NAME: &'static str = "relu";
    const FORMULA: &'static str = "max(0, x)";
    const SOURCE: &'static str = "Nair and Hinton 2010";
    #[inline(always)]
    fn value(_: &Set, x: f32) -> f32 {
        either(x, x, 0.0)
    }
    #[inline(always)]
    fn slope(_: &Set, x: f32) -> f32 {
        either(x, 1.0, 0.0)
    }
}

pub(super) struct LeakyRelu;
impl Function for LeakyRelu {
    const NAME: &'static str = "leaky_relu";
    const FORMULA: &'static str = "x if x > 0, else 0.01·x";
    const SOURCE: &'static str = "Maas, Hannun, Ng 2013";
    #[inline(always)]
    fn value(_: &Set, x: f32) -> f32 {
        either(x, x, 0.01 * x)
    }
    #[inline(always)]
    fn slope(_: &Set, x: f32) -> f32 {
        either(x, 1.0, 0.01)
    }
}

pub(super) struct Elu;
impl Function for Elu {
    const NAME: &'static str = "elu";
    const FORMULA: &'static str = "x if x > 0, else eˣ − 1";
    const SOURCE: &'static str = "Clevert, Unterthiner, Hochreiter 2016";
    #[inline(always)]
    fn value(_: &Set, x: f32) -> f32 {
        elu(x)
    }
    #[inline(always)]
    fn slope(_: &Set, x: f32) -> f32 {
        either(x, 1.0, exp(x))
    }
}

/// λ and λα of SELU: the fixed point of mean 0 and variance 1.
const SELU: (f32, f32) = (1.050_701, 1.758_099_3);

pub(super) struct Selu;
impl Function for Selu {
    const NAME: &'static str = "selu";
    const FORMULA: &'static str = "1.0507·x if x > 0, else 1.0507·1.6733·(eˣ − 1)";
    const SOURCE: &'static str = "Klambauer et al. 2017";
    #[inline(always)]
    fn value(_: &Set, x: f32) -> f32 {
        either(x, SELU.0 * x, SELU.1 * (exp(x) - 1.0))
    }
    #[inline(always)]
    fn slope(_: &Set, x: f32) -> f32 {
        either(x, SELU.0, SELU.1 * exp(x))
    }
}

pub(super) struct Sigmoid;
impl Function for Sigmoid {
    const NAME: &'static str = "sigmoid";
    const FORMULA: &'static str = "s(x) = 1/(1 + e⁻ˣ)";
    const SOURCE: &'static str = "–";
    #[inline(always)]
    fn value(_: &Set, x: f32) -> f32 {
        logistic(x)
    }
    #[inline(always)]
    fn slope(_: &Set, x: f32) -> f32 {
        let s = logistic(x);
        s * (1.0 - s)
    }
}

pub(super) struct Tanh;
impl Function for Tanh {
    const NAME: &'static str = "tanh";
    const FORMULA: &'static str = "(eˣ − e⁻ˣ)/(eˣ + e⁻ˣ)";
    const SOURCE: &'static str = "–";
    #[inline(always)]
    fn value(_: &Set, x: f32) -> f32 {
        tanh(x)
    }
    #[inline(always)]
    fn slope(_: &Set, x: f32) -> f32 {
        let t = tanh(x);
        1.0 - t * t
    }
}

pub(super) struct Prelu;
impl Function for Prelu {
    const NAME: &'static str = "prelu";
    const FORMULA: &'static str = "x if x > 0, else a·x";
    const SOURCE: &'static str = "He et al. 2015";
    const PARAMETERS: &'static [Parameter] = &[free("a", 0.25)];
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        either(x, x, p[0] * x)
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        either(x, 1.0, p[0])
    }
    #[inline(always)]
    fn gradient(_: &Set, x: f32) -> Set {
        [either(x, 0.0, x), 0.0, 0.0, 0.0, 0.0]
    }
}

pub(super) struct Pelu;
impl Function for Pelu {
    const NAME: &'static str = "pelu";
    const FORMULA: &'static str = "(a/b)·x if x > 0, else a·(e^{x/b} − 1)";
    const SOURCE: &'static str = "Trottier, Giguère, Chaib-draa 2017";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter { name: "a", initial: 1.0, min: 0.1, max: 100.0, follows: false },
        Parameter { name: "b", initial: 1.0, min: 0.1, max: 100.0, follows: false },
    ];
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        either(x, p[0] / p[1] * x, p[0] * (exp(x / p[1]) - 1.0))
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        p[0] / p[1] * either(x, 1.0, exp(x / p[1]))
    }
    #[inline(always)]
    fn gradient(p: &Set, x: f32) -> Set {
        let e = exp(x / p[1]);
        let of_a = either(x, x / p[1], e - 1.0);
        let of_b = -p[0] * x / (p[1] * p[1]) * either(x, 1.0, e);
        [of_a, of_b, 0.0, 0.0, 0.0]
    }
}

pub(super) struct Mpelu;
impl Function for Mpelu {
    const NAME: &'static str = "mpelu";
    const FORMULA: &'static str = "x if x > 0, else a·(e^{bx} − 1)";
    const SOURCE: &'static str = "Li et al. 2018";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter { name: "a", initial: 1.0, min: 0.0, max: 4.0, follows: false },
        Parameter { name: "b", initial: 1.0, min: 1e-3, max: 100.0, follows: false },
    ];
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        either(x, x, p[0] * (exp(p[1] * x) - 1.0))
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        either(x, 1.0, p[0] * p[1] * exp(p[1] * x))
    }
    #[inline(always)]
    fn gradient(p: &Set, x: f32) -> Set {
        let e = exp(p[1] * x);
        [either(x, 0.0, e - 1.0), either(x, 0.0, p[0] * x * e), 0.0, 0.0, 0.0]
    }
}

pub(super) struct Gated;
impl Function for Gated {
    const NAME: &'static str = "gated";
    const FORMULA: &'static str = "x if x > 0, else s(wx + v)·(eˣ − 1)";
    const SOURCE: &'static str = "after Qian et al. 2018, with a bias v";
    const PARAMETERS: &'static [Parameter] = &[free("w", 0.0), free("v", 0.0)];
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        either(x, x, logistic(p[0] * x + p[1]) * (exp(x) - 1.0))
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        let (g, e) = (logistic(p[0] * x + p[1]), exp(x));
        either(x, 1.0, g * e + p[0] * g * (1.0 - g) * (e - 1.0))
    }
    #[inline(always)]
    fn gradient(p: &Set, x: f32) -> Set {
        let g = logistic(p[0] * x + p[1]);
        let of_v = either(x, 0.0, g * (1.0 - g) * (exp(x) - 1.0));
        [of_v * x, of_v, 0.0, 0.0, 0.0]
    }
}

pub(super) struct Abu;
impl Function for Abu {
    const NAME: &'static str = "abu";
    const FORMULA: &'static str = "a₁·tanh(x) + a₂·ELU(x) + a₃·ReLU(x) + a₄·x·s(x) + a₅·x";
    const SOURCE: &'static str = "Sütfeld et al. 2020";
    const PARAMETERS: &'static [Parameter] =
        &[free("a₁", 0.2), free("a₂", 0.2), free("a₃", 0.2), free("a₄", 0.2), free("a₅", 0.2)];
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        let f = Self::gradient(p, x);
        p[0] * f[0] + p[1] * f[1] + p[2] * f[2] + p[3] * f[3] + p[4] * f[4]
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        let (t, s) = (tanh(x), logistic(x));
        let swish = s + x * s * (1.0 - s);
        p[0] * (1.0 - t * t)
            + p[1] * either(x, 1.0, exp(x))
            + p[2] * either(x, 1.0, 0.0)
            + p[3] * swish
            + p[4]
    }
    #[inline(always)]
    fn gradient(_: &Set, x: f32) -> Set {
        [tanh(x), elu(x), either(x, x, 0.0), x * logistic(x), x]
    }
}

pub(super) struct Slope;
impl Function for Slope {
    const NAME: &'static str = "slope";
    const FORMULA: &'static str = "tanh(a·x)";
    const SOURCE: &'static str = "Jagtap, Kawaguchi, Karniadakis 2020";
    const PARAMETERS: &'static [Parameter] = &[free("a", 1.0)];
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        tanh(p[0] * x)
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        let t = tanh(p[0] * x);
        p[0] * (1.0 - t * t)
    }
    #[inline(always)]
    fn gradient(p: &Set, x: f32) -> Set {
        let t = tanh(p[0] * x);
        [x * (1.0 - t * t), 0.0, 0.0, 0.0, 0.0]
    }
}

pub(super) struct Arelu;
impl Function for Arelu {
    const NAME: &'static str = "arelu";
    const FORMULA: &'static str = "(1 + s(b))·x if x > 0, else a·x";
    const SOURCE: &'static str = "Chen, Li, Xu 2020";
    const PARAMETERS: &'static [Parameter] =
        &[Parameter { name: "a", initial: 0.9, min: 0.01, max: 0.99, follows: false }, free("b", 2.0)];
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        x * Self::slope(p, x)
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        either(x, 1.0 + logistic(p[1]), p[0])
    }
    #[inline(always)]
    fn gradient(p: &Set, x: f32) -> Set {
        let s = logistic(p[1]);
        [either(x, 0.0, x), either(x, x * s * (1.0 - s), 0.0), 0.0, 0.0, 0.0]
    }
}

pub(super) struct Swish;
impl Function for Swish {
    const NAME: &'static str = "swish";
    const FORMULA: &'static str = "x·s(b·x)";
    const SOURCE: &'static str = "Ramachandran, Zoph, Le 2017";
    const PARAMETERS: &'static [Parameter] = &[free("b", 1.0)];
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        x * logistic(p[0] * x)
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        let s = logistic(p[0] * x);
        s + p[0] * x * s * (1.0 - s)
    }
    #[inline(always)]
    fn gradient(p: &Set, x: f32) -> Set {
        let s = logistic(p[0] * x);
        [x * x * s * (1.0 - s), 0.0, 0.0, 0.0, 0.0]
    }
}

pub(super) struct Apl;
impl Function for Apl {
    const NAME: &'static str = "apl";
    const FORMULA: &'static str = "max(0, x) + a₁·max(0, b₁ − x) + a₂·max(0, b₂ − x)";
    const SOURCE: &'static str = "Agostinelli et al. 2015";
    const PARAMETERS: &'static [Parameter] =
        &[free("a₁", 0.2), free("a₂", 0.2), free("b₁", 0.5), free("b₂", -0.5)];
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        let hinges = p[0] * (p[2] - x).max(0.0) + p[1] * (p[3] - x).max(0.0);
        either(x, x, 0.0) + hinges
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        either(x, 1.0, 0.0) - either(p[2] - x, p[0], 0.0) - either(p[3] - x, p[1], 0.0)
    }
    #[inline(always)]
    fn gradient(p: &Set, x: f32) -> Set {
        let (one, two) = (either(p[2] - x, 1.0, 0.0), either(p[3] - x, 1.0, 0.0));
        [one * (p[2] - x), two * (p[3] - x), p[0] * one, p[1] * two, 0.0]
    }
}

pub(super) struct Dice;
impl Function for Dice {
    const NAME: &'static str = "dice";
    const FORMULA: &'static str = "p·x + (1 − p)·a·x, p = s((x − m)/√v)";
    const SOURCE: &'static str = "Zhou et al. 2018, with running mean m and variance v";
    const PARAMETERS: &'static [Parameter] = &[
        free("a", 0.0),
        Parameter { name: "m", initial: 0.0, min: -1e6, max: 1e6, follows: true },
        Parameter { name: "v", initial: 1.0, min: 1e-6, max: 1e12, follows: true },
    ];
    const MOMENTS: usize = 2;
    #[inline(always)]
    fn value(p: &Set, x: f32) -> f32 {
        let s = logistic((x - p[1]) / p[2].sqrt());
        x * (s + (1.0 - s) * p[0])
    }
    #[inline(always)]
    fn slope(p: &Set, x: f32) -> f32 {
        let deviation = p[2].sqrt();
        let s = logistic((x - p[1]) / deviation);
        s + (1.0 - s) * p[0] + x * (1.0 - p[0]) * s * (1.0 - s) / deviation
    }
    #[inline(always)]
    fn gradient(p: &Set, x: f32) -> Set {
        let off = x - p[1];
        let s = logistic(off / p[2].sqrt());
        [(1.0 - s) * x, -off, p[2] - off * off, 0.0, 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_the_last_places() {
        let mut worst = 0.0f64;
        for at in -30_000..=30_000 {
            let x = at as f32 / 1000.0;
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / exact - 1.0).abs());
        }
        assert!(worst < 2.5e-7, "{worst:e}");
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(1e9), exp(FLAT));
    }
}
