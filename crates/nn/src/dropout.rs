//! Dropout whose bits are a function of seed and position, so that the backward pass makes them again instead of keeping them,
//! and no order of work can change them.

/// Inverted dropout: each number is kept with a probability and then divided by it, or set to zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dropout {
    seed: u32,
    threshold: u32,
    scale: f32,
}

impl Dropout {
    /// Drops with probability `rate` in `[0, 1)`; the bits follow from `seed`.
    #[must_use]
    pub fn new(rate: f32, seed: u64) -> Self {
        let keep = 1.0 - f64::from(rate);
        // A threshold of the whole range stands for "keep all": `factor` then never compares.
        let threshold = (keep * 4_294_967_296.0).min(4_294_967_295.0) as u32;
        Self { seed: (seed ^ (seed >> 32)) as u32, threshold, scale: (1.0 / keep) as f32 }
    }

    /// What the number at `position` is multiplied by.
    #[inline(always)]
    #[must_use]
    pub fn factor(&self, position: u32) -> f32 {
        // The finaliser `lowbias32` of Chris Wellons' search for integer hash functions, over a Weyl sequence.
        let mut x = position.wrapping_mul(0x9e37_79b9) ^ self.seed;
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d);
        x ^= x >> 15;
        x = x.wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        if x <= self.threshold { self.scale } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_kept_is_right_and_the_mean_stays() {
        for rate in [0.0, 0.3, 0.5, 0.9] {
            let dropout = Dropout::new(rate, 77);
            let n = 200_000;
            let sum: f64 = (0..n).map(|at| f64::from(dropout.factor(at))).sum();
            // The standard error at rate 0.9 is 0.0067.
            assert!((sum / f64::from(n) - 1.0).abs() < 0.027, "{rate}: {sum}");
        }
        assert!((0..10_000).all(|at| (Dropout::new(0.0, 1).factor(at) - 1.0).abs() < 1e-6));
    }

    #[test]
    fn seeds_and_neighbours_are_independent() {
        let (one, two) = (Dropout::new(0.5, 1), Dropout::new(0.5, 2));
        let n = 100_000u32;
        let agree = (0..n).filter(|&at| one.factor(at).to_bits() == two.factor(at).to_bits()).count();
        let repeat = (0..n).filter(|&at| one.factor(at).to_bits() == one.factor(at + 1).to_bits()).count();
        // Half of them, with a standard error of 158.
        assert!(agree.abs_diff(50_000) < 640 && repeat.abs_diff(50_000) < 640, "{agree} {repeat}");
    }
}
