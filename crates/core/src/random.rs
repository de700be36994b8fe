//! Random numbers by name: the same on every platform and in every release.
//!
//! The stream is PCG64 (XSL-RR 128/64). What is drawn from it (integers, floats, normals, shuffles) is defined here and
//! nowhere else, so an upgrade of a dependency cannot move a split.

use rand_core::Rng as _;
use rand_pcg::Pcg64;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A seed for one purpose, derived from a parent seed and a name. Different names give unrelated streams.
///
/// ```
/// use foldin_core::random::child_seed;
/// assert_ne!(child_seed(1, "split"), child_seed(1, "init"));
/// assert_ne!(child_seed(1, "split"), child_seed(2, "split"));
/// ```
#[must_use]
pub fn child_seed(seed: u64, purpose: &str) -> u64 {
    xxh3_64_with_seed(purpose.as_bytes(), seed)
}

/// A seed for one numbered thing (an epoch, a user) among many of a purpose.
#[must_use]
pub fn numbered_seed(seed: u64, purpose: &str, number: u64) -> u64 {
    xxh3_64_with_seed(&number.to_le_bytes(), child_seed(seed, purpose))
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    stream: Pcg64,
    spare_normal: Option<f64>,
}

impl Random {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // An odd constant picks one of PCG's independent streams; the golden ratio's bits are as good as any.
        Self { stream: Pcg64::new(u128::from(seed), 0x9e37_79b9_7f4a_7c15), spare_normal: None }
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.stream.next_u64()
    }

    /// A whole number below `n`, each equally likely; 0 if `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        if n == 0 {
            return 0;
        }
        // Lemire's multiplication; the few values that would be drawn too often are drawn again.
        let n = n as u64;
        let threshold = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.bits()) * u128::from(n);
            if product as u64 >= threshold {
                return (product >> 64) as usize;
            }
        }
    }

    /// A number in `[0, 1)`, of 53 random bits.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Whether an event of probability `p` happens.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// A standard normal number (polar method).
    pub fn normal(&mut self) -> f64 {
        if let Some(spare) = self.spare_normal.take() {
            return spare;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square > 0.0 && square < 1.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.spare_normal = Some(y * factor);
                return x * factor;
            }
        }
    }

    /// Puts a slice in random order, each order equally likely.
    pub fn shuffle<T>(&mut self, slice: &mut [T]) {
        for last in (1..slice.len()).rev() {
            slice.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These values must never change: splits and initial weights of published results depend on them.
    #[test]
    fn golden_values() {
        let mut random = Random::new(1);
        assert_eq!([random.bits(), random.bits()], GOLDEN_BITS);
        let mut order: Vec<u32> = (0..8).collect();
        Random::new(7).shuffle(&mut order);
        assert_eq!(order, GOLDEN_ORDER);
        assert_eq!(child_seed(1, "split"), GOLDEN_CHILD);
    }

    const GOLDEN_BITS: [u64; 2] = [9_385_759_314_121_602_784, 16_971_604_960_202_856_822];
    const GOLDEN_ORDER: [u32; 8] = [1, 0, 4, 5, 7, 3, 2, 6];
    const GOLDEN_CHILD: u64 = 16_794_880_983_353_005_705;

    #[test]
    fn draws_have_the_right_moments() {
        let mut random = Random::new(3);
        let n = 200_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        let mut counts = [0usize; 5];
        for _ in 0..n {
            let x = random.normal();
            sum += x;
            squares += x * x;
            counts[random.below(5)] += 1;
        }
        // Standard errors are 0.0022 and 0.0032; four of them.
        assert!((sum / f64::from(n)).abs() < 0.009);
        assert!((squares / f64::from(n) - 1.0).abs() < 0.013);
        assert!(counts.iter().all(|&count| (count as f64 - 40_000.0).abs() < 4.0 * 179.0), "{counts:?}");
    }

    #[test]
    fn below_nothing_is_zero() {
        assert_eq!(Random::new(1).below(0), 0);
        assert_eq!(Random::new(1).below(1), 0);
    }
}
