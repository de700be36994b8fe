//! One binary for every CPU: kernels are compiled for several instruction sets and the best one is chosen at run time.
//!
//! A kernel is written once with [`kernel!`](crate::kernel), as a function over a token of type [`Simd`]. The macro compiles
//! its body for each [`Level`] and makes a plain function that picks the level once a call. Inside the body,
//! explicit vectors come from the token ([`Simd::load`], [`Simd::mul_add`], …), and plain loops are vectorised by
//! the compiler for the level's instruction set. Helpers called from a body must be `#[inline(always)]` and take the
//! token on, or they are compiled for the baseline CPU.
//!
//! `FOLDIN_SIMD=scalar|avx2|avx512` lowers the level (never above what the CPU has). Levels add in different orders and
//! fuse differently, so results agree to rounding only: about 1e-6 relative for one kernel.
//!
//! ```
//! foldin_nn::kernel! {
//!     /// Adds the squares of `x`.
//!     fn squares(simd, x: &[f32]) -> f32 {
//!         let mut sum = 0.0;
//!         for &x in x {
//!             sum = simd.fma(x, x, sum);
//!         }
//!         sum
//!     }
//! }
//! assert_eq!(squares(&[3.0, 4.0]), 25.0);
//! ```

use std::fmt::Debug;
use std::sync::OnceLock;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every CPU of the target has; multiplications and additions are rounded separately.
    Scalar,
    /// AVX2 with FMA and F16C: eight lanes.
    Avx2,
    /// AVX-512 (F, BW, DQ, VL): sixteen lanes.
    Avx512,
}

impl Level {
    /// Numbers in a register.
    #[must_use]
    pub const fn lanes(self) -> usize {
        match self {
            Self::Scalar => 4,
            Self::Avx2 => 8,
            Self::Avx512 => 16,
        }
    }
}

/// The level in use: the best of the CPU, or less if `FOLDIN_SIMD` says so. Decided once.
#[must_use]
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let best = best_of_this_cpu();
        match std::env::var("FOLDIN_SIMD").as_deref() {
            Ok("scalar") => Level::Scalar,
            Ok("avx2") => best.min(Level::Avx2),
            _ => best,
        }
    })
}

#[cfg(target_arch = "x86_64")]
fn best_of_this_cpu() -> Level {
    let avx2 = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c");
    let avx512 = avx2
        && is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    match (avx512, avx2) {
        (true, _) => Level::Avx512,
        (false, true) => Level::Avx2,
        (false, false) => Level::Scalar,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best_of_this_cpu() -> Level {
    Level::Scalar
}

/// The operations of one level on vectors of `f32`. A value of an implementing type is proof that the CPU has the level.
#[expect(unsafe_code, reason = "loads and stores through pointers are the point of a kernel")]
pub trait Simd: Copy + Debug + Send + Sync + 'static {
    /// A register of [`Simd::LANES`] numbers.
    type V: Copy + Debug;
    /// Numbers in a register.
    const LANES: usize;
    /// Side of the squares that [`Simd::transpose`] takes.
    const SQUARE: usize;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::V;
    /// Reads `LANES` numbers from `at`, which need not be aligned.
    ///
    /// # Safety
    /// `at` must be valid for reading `LANES` numbers.
    unsafe fn load(self, at: *const f32) -> Self::V;
    /// Writes `LANES` numbers to `at`, which need not be aligned.
    ///
    /// # Safety
    /// `at` must be valid for writing `LANES` numbers.
    unsafe fn store(self, at: *mut f32, x: Self::V);
    /// Reads `LANES` half-precision (IEEE binary16) numbers from `at`.
    ///
    /// # Safety
    /// `at` must be valid for reading `LANES` numbers.
    unsafe fn load_half(self, at: *const u16) -> Self::V;
    /// Writes `LANES` numbers to `at` in half precision, to nearest, ties to even; beyond its range as the greatest of it.
    ///
    /// # Safety
    /// `at` must be valid for writing `LANES` numbers.
    unsafe fn store_half(self, at: *mut u16, x: Self::V);
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once except at [`Level::Scalar`].
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The greater of each pair.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// `1/√a` within 2⁻²² relative, for `a` ≥ 1e-37.
    fn reciprocal_sqrt(self, a: Self::V) -> Self::V;
    /// `1/a` within 2⁻²² relative, for `1e-37 ≤ |a| ≤ 1e37`.
    fn reciprocal(self, a: Self::V) -> Self::V;
    /// Each number whose size is at least `bound`, 0 for the others.
    fn zero_below(self, a: Self::V, bound: f32) -> Self::V;
    /// The first of each pair where `condition` is above 0, else the second.
    fn select_positive(self, condition: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Whether any number of `a` is greater than its partner in `b`; NaN never is.
    fn any_greater(self, a: Self::V, b: Self::V) -> bool;
    /// The sum of all lanes.
    fn sum(self, a: Self::V) -> f32;
    /// The sum of all lanes of each of four vectors, in fewer operations than four times [`Simd::sum`].
    fn sum_of_each(self, vectors: [Self::V; 4]) -> [f32; 4];
    /// Writes the transpose of a square of [`Simd::SQUARE`] numbers a side: line `i` of what is read begins at `from + i · stride`,
    /// line `i` of what is written at `to + i · to_stride`.
    ///
    /// # Safety
    /// Each line must be valid for reading or writing [`Simd::SQUARE`] numbers, and nothing that is read may be written.
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize);
    /// Asks for the line of the cache that holds `at`, wherever it points.
    fn prefetch<T>(self, at: *const T);
    /// `a · b + c` of single numbers, fused where [`Simd::mul_add`] is.
    fn fma(self, a: f32, b: f32, c: f32) -> f32;
    /// `a · b + c` of single `f64`s, fused where [`Simd::mul_add`] is.
    fn fma64(self, a: f64, b: f64, c: f64) -> f64;
}

/// Proof of [`Level::Scalar`], which needs none.
#[derive(Clone, Copy, Debug)]
pub struct Scalar;

#[expect(unsafe_code, reason = "loads and stores through pointers are the point of a kernel")]
impl Simd for Scalar {
    // Four numbers: one SSE2 or NEON register, which the compiler makes of it.
    type V = [f32; 4];
    const LANES: usize = 4;
    const SQUARE: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; 4]
    }
    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> Self::V {
        // SAFETY: the caller vouches for four numbers.
        unsafe { at.cast::<Self::V>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(self, at: *mut f32, x: Self::V) {
        // SAFETY: the caller vouches for four numbers.
        unsafe { at.cast::<Self::V>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn load_half(self, at: *const u16) -> Self::V {
        // SAFETY: the caller vouches for four numbers.
        unsafe { at.cast::<[u16; 4]>().read_unaligned() }.map(half_to_f32)
    }
    #[inline(always)]
    unsafe fn store_half(self, at: *mut u16, x: Self::V) {
        let half = x.map(|x| f32_to_half(x.clamp(-MAX_HALF, MAX_HALF)));
        // SAFETY: the caller vouches for four numbers.
        unsafe { at.cast::<[u16; 4]>().write_unaligned(half) }
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] + b[lane])
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] - b[lane])
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] * b[lane])
    }
    #[inline(always)]
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|lane| a[lane] * b[lane] + c[lane])
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }
    #[inline(always)]
    fn reciprocal_sqrt(self, a: Self::V) -> Self::V {
        a.map(|a| 1.0 / a.sqrt())
    }
    #[inline(always)]
    fn reciprocal(self, a: Self::V) -> Self::V {
        a.map(|a| 1.0 / a)
    }
    #[inline(always)]
    fn zero_below(self, a: Self::V, bound: f32) -> Self::V {
        a.map(|a| if a.abs() >= bound { a } else { 0.0 })
    }
    #[inline(always)]
    fn select_positive(self, condition: Self::V, a: Self::V, b: Self::V) -> Self::V {
        std::array::from_fn(|lane| if condition[lane] > 0.0 { a[lane] } else { b[lane] })
    }
    #[inline(always)]
    fn any_greater(self, a: Self::V, b: Self::V) -> bool {
        (a[0] > b[0]) | (a[1] > b[1]) | (a[2] > b[2]) | (a[3] > b[3])
    }
    #[inline(always)]
    fn sum(self, a: Self::V) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    fn sum_of_each(self, vectors: [Self::V; 4]) -> [f32; 4] {
        vectors.map(|vector| self.sum(vector))
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: the caller vouches for four lines of four numbers on both sides.
        unsafe {
            let lines: [Self::V; 4] = std::array::from_fn(|line| self.load(from.add(line * stride)));
            for lane in 0..4 {
                self.store(to.add(lane * to_stride), lines.map(|line| line[lane]));
            }
        }
    }
    #[inline(always)]
    fn prefetch<T>(self, _: *const T) {}
    #[inline(always)]
    fn fma(self, a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
    #[inline(always)]
    fn fma64(self, a: f64, b: f64, c: f64) -> f64 {
        a * b + c
    }
}

/// The greatest number of IEEE binary16.
const MAX_HALF: f32 = 65504.0;

/// IEEE binary16 to binary32, exactly.
#[inline(always)]
#[must_use]
pub fn half_to_f32(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let magnitude = u32::from(half & 0x7fff);
    if magnitude >= 0x7c00 {
        return f32::from_bits(sign | 0x7f80_0000 | ((magnitude & 0x3ff) << 13));
    }
    // Shifted into place the exponent is 112 too low; the multiplication mends that, for subnormal numbers too.
    f32::from_bits(f32::to_bits(f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000)) | sign)
}

/// Binary32 to IEEE binary16, to nearest, ties to even; beyond the range to infinity.
#[must_use]
pub fn f32_to_half(x: f32) -> u16 {
    let sign = (x.to_bits() >> 16) as u16 & 0x8000;
    let magnitude = f32::from_bits(x.to_bits() & 0x7fff_ffff);
    if x.is_nan() {
        return sign | 0x7e00;
    }
    if magnitude >= 65520.0 {
        return sign | 0x7c00;
    }
    if magnitude < 6.103_515_6e-5 {
        // Subnormal in binary16: adding 0.5 leaves the ten bits at the end of the fraction, rounded by the addition.
        return sign | ((magnitude + 0.5).to_bits() - 0.5f32.to_bits()) as u16;
    }
    let bits = magnitude.to_bits();
    let rounded = bits + 0x0fff + ((bits >> 13) & 1);
    sign | ((rounded - 0x3800_0000) >> 13) as u16
}

#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86;

/// The token of a level. Used by [`kernel!`](crate::kernel).
#[derive(Clone, Copy, Debug)]
pub enum Token {
    /// Nothing is proved.
    Scalar(Scalar),
    /// The CPU has AVX2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// The CPU has AVX-512.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

/// The token of the level in use.
#[inline]
#[must_use]
pub fn token() -> Token {
    token_of(level())
}

/// The token of a level, or of the best one that the CPU has if that is lower. For tests that compare levels.
#[must_use]
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "tokens are made after detection"))]
pub fn token_of(wanted: Level) -> Token {
    match wanted.min(best_level()) {
        // SAFETY: the level is no higher than what was detected.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Token::Avx512(unsafe { Avx512::new() }),
        // SAFETY: the level is no higher than what was detected.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Token::Avx2(unsafe { Avx2::new() }),
        _ => Token::Scalar(Scalar),
    }
}

fn best_level() -> Level {
    static BEST: OnceLock<Level> = OnceLock::new();
    *BEST.get_or_init(best_of_this_cpu)
}

/// Defines functions that are compiled for every [`Level`](crate::simd::Level) and pick one at each call.
///
/// The first parameter is the token's name, without a type. Lifetimes and one generic parameter list of `const`s are not
/// supported; a kernel is a plain function. See [`simd`](crate::simd) for an example.
#[macro_export]
macro_rules! kernel {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident($simd:ident $(, $arg:ident : $ty:ty)* $(,)?) $(-> $ret:ty)? $body:block)+) => {$(
        $(#[$meta])*
        $vis fn $name($($arg: $ty),*) $(-> $ret)? {
            #[inline(always)]
            fn body<S: $crate::simd::Simd>($simd: S $(, $arg: $ty)*) $(-> $ret)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
                fn avx512(simd: $crate::simd::Avx512 $(, $arg: $ty)*) $(-> $ret)? {
                    body(simd $(, $arg)*)
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2(simd: $crate::simd::Avx2 $(, $arg: $ty)*) $(-> $ret)? {
                    body(simd $(, $arg)*)
                }
                #[expect(unsafe_code, reason = "the token proves that the CPU has the instruction set")]
                match $crate::simd::token() {
                    // SAFETY: the token proves it.
                    $crate::simd::Token::Avx512(simd) => unsafe { avx512(simd $(, $arg)*) },
                    // SAFETY: the token proves it.
                    $crate::simd::Token::Avx2(simd) => unsafe { avx2(simd $(, $arg)*) },
                    $crate::simd::Token::Scalar(simd) => body(simd $(, $arg)*),
                }
            }
            #[cfg(not(target_arch = "x86_64"))]
            {
                let $crate::simd::Token::Scalar(simd) = $crate::simd::token();
                body(simd $(, $arg)*)
            }
        }
    )+};
}

#[cfg(test)]
#[expect(unsafe_code, reason = "kernels under test read through pointers")]
mod tests {
    use super::*;

    fn check<S: Simd>(simd: S) {
        let x: Vec<f32> = (0..S::LANES).map(|lane| 0.3 + lane as f32).collect();
        let mut out = vec![0.0; S::LANES];
        // SAFETY: both hold `LANES` numbers.
        let v = unsafe { simd.load(x.as_ptr()) };
        let (expected, lanes): (f32, f32) = (x.iter().sum(), S::LANES as f32);
        assert!((simd.sum(v) - expected).abs() < 1e-5 * expected);
        for (got, want) in [
            (simd.reciprocal(v), x.iter().map(|x| 1.0 / x).collect::<Vec<_>>()),
            (simd.reciprocal_sqrt(v), x.iter().map(|x| 1.0 / x.sqrt()).collect()),
            (simd.mul_add(v, simd.splat(2.0), simd.splat(1.0)), x.iter().map(|x| x * 2.0 + 1.0).collect()),
            (simd.max(v, simd.splat(3.0)), x.iter().map(|x| x.max(3.0)).collect()),
            (
                simd.add(simd.zero_below(v, 2.0), simd.splat(1.0)),
                x.iter().map(|&x| if x >= 2.0 { x + 1.0 } else { 1.0 }).collect(),
            ),
            (
                simd.select_positive(simd.sub(v, simd.splat(1.0)), simd.splat(4.0), v),
                x.iter().map(|&x| if x > 1.0 { 4.0 } else { x }).collect(),
            ),
        ] {
            // SAFETY: `out` holds `LANES` numbers.
            unsafe { simd.store(out.as_mut_ptr(), got) };
            for (got, want) in out.iter().zip(&want) {
                assert!((got / want - 1.0).abs() < 2.4e-7 * 2.0, "{got} {want}");
            }
        }
        let each = simd.sum_of_each([v, simd.splat(1.0), simd.add(v, v), simd.splat(-0.5)]);
        for (got, want) in each.into_iter().zip([expected, lanes, 2.0 * expected, -0.5 * lanes]) {
            assert!((got / want - 1.0).abs() < 1e-5, "{got} {want}");
        }
        let (side, stride, to_stride) = (S::SQUARE, S::SQUARE + 3, S::SQUARE + 1);
        let square: Vec<f32> = (0..side * stride).map(|at| at as f32).collect();
        let mut transposed = vec![-1.0; side * to_stride];
        // SAFETY: both hold as many lines as they are long, at their strides.
        unsafe { simd.transpose(square.as_ptr(), stride, transposed.as_mut_ptr(), to_stride) };
        for (line, transposed) in transposed.chunks_exact(to_stride).enumerate() {
            for (lane, &x) in transposed.iter().enumerate() {
                assert_eq!(x, if lane < side { square[lane * stride + line] } else { -1.0 }, "{line} {lane}");
            }
        }
        let half: Vec<u16> = x.iter().map(|&x| f32_to_half(x)).collect();
        let mut stored = vec![0u16; S::LANES];
        // SAFETY: `stored` holds `LANES` numbers.
        unsafe { simd.store_half(stored.as_mut_ptr(), v) };
        assert_eq!(stored, half);
        for (x, want) in [(1e9, 65504.0), (-1e9, -65504.0), (3e-8, half_to_f32(f32_to_half(3e-8)))] {
            // SAFETY: as above.
            unsafe { simd.store_half(stored.as_mut_ptr(), simd.splat(x)) };
            assert!(stored.iter().all(|&half| half_to_f32(half) == want), "{x}");
        }
        // SAFETY: both hold `LANES` numbers.
        unsafe { simd.store(out.as_mut_ptr(), simd.load_half(half.as_ptr())) };
        for (got, want) in out.iter().zip(&x) {
            assert!((got / want - 1.0).abs() < 1.0 / 2048.0, "{got} {want}");
        }
    }

    #[test]
    fn every_level_computes_the_same() {
        for wanted in [Level::Scalar, Level::Avx2, Level::Avx512] {
            match token_of(wanted) {
                Token::Scalar(simd) => check(simd),
                #[cfg(target_arch = "x86_64")]
                Token::Avx2(simd) => check(simd),
                #[cfg(target_arch = "x86_64")]
                Token::Avx512(simd) => check(simd),
            }
        }
    }

    #[test]
    fn half_precision_round_trips() {
        for half in 0..=u16::MAX {
            let x = half_to_f32(half);
            if x.is_nan() {
                assert!(half_to_f32(f32_to_half(x)).is_nan());
            } else {
                assert_eq!(f32_to_half(x), half, "{half:04x} is {x}");
            }
        }
        // Ties to even, both ways, and the border to infinity.
        assert_eq!(f32_to_half(1.0 + 1.0 / 2048.0), f32_to_half(1.0));
        assert_eq!(f32_to_half(1.0 + 3.0 / 2048.0), f32_to_half(1.0) + 2);
        assert_eq!(f32_to_half(65519.9), 0x7bff);
        assert_eq!(f32_to_half(65520.0), 0x7c00);
    }
}
