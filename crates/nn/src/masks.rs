//! Random sets of the positions of a row, one bit a position, and dense rows seen through them.
//!
//! A bit is set with a probability that is a multiple of 2⁻¹⁶. Sixteen random words make 64 such bits ([`draw`]), so that a set of
//! nine tenths of some thousand positions costs a microsecond, and none needs to be kept: it is drawn again from its seed.
//!
//! ```
//! use foldin_nn::masks::{draw, keep, set, words};
//! let mut bits = vec![0; words(100)];
//! draw(7, 0.0, &mut bits);
//! set(&mut bits, &[2, 70]);
//! let mut x = vec![1.0; 100];
//! keep(&bits, &mut x);
//! assert_eq!(x.iter().sum::<f32>(), 2.0);
//! assert_eq!((x[2], x[70]), (1.0, 1.0));
//! ```

use crate::kernel;

/// Positions of a word.
const WORD: usize = 64;

/// Positions that are tested at once.
const HALF: usize = 32;

/// One bit in each position.
const BITS: [u32; HALF] = {
    let mut bits = [0; HALF];
    let mut at = 0;
    while at < HALF {
        bits[at] = 1 << at;
        at += 1;
    }
    bits
};

/// Words of a set of `n` positions.
#[must_use]
pub fn words(n: usize) -> usize {
    n.div_ceil(WORD)
}

/// Word number `at` of the stream of a seed: SplitMix64, whose words can be computed in any order.
#[inline(always)]
fn word(seed: u64, at: u64) -> u64 {
    let mut x = seed.wrapping_add((at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

kernel! {
    /// Sets each bit with probability `share`, rounded to a multiple of 2⁻¹⁶, independently; the bits follow from `seed`.
    pub fn draw(simd, seed: u64, share: f64, bits: &mut [u64]) {
        let _ = simd;
        let threshold = (share.clamp(0.0, 1.0) * 65_536.0).round() as u32;
        if threshold == 0 || threshold == 65_536 {
            bits.fill(if threshold == 0 { 0 } else { u64::MAX });
            return;
        }
        // From the last binary place of the share to the first: each draw halves what came before, and a one adds a half. Places
        // of trailing zeros change nothing.
        for (at, bits) in bits.iter_mut().enumerate() {
            let mut set = 0;
            for place in threshold.trailing_zeros()..16 {
                let random = word(seed, at as u64 * 16 + u64::from(place));
                set = if threshold >> place & 1 == 1 { set | random } else { set & random };
            }
            *bits = set;
        }
    }

    /// Zero wherever the bit is not set.
    ///
    /// # Panics
    /// If there are fewer bits than numbers.
    pub fn keep(simd, bits: &[u64], x: &mut [f32]) {
        let _ = simd;
        let (halves, rest) = x.as_chunks_mut::<HALF>();
        for (at, x) in halves.iter_mut().enumerate() {
            let bits = half(bits, at);
            for lane in 0..HALF {
                x[lane] = if bits & BITS[lane] == 0 { 0.0 } else { x[lane] };
            }
        }
        let at = halves.len();
        for (lane, x) in rest.iter_mut().enumerate() {
            *x = if half(bits, at) & BITS[lane] == 0 { 0.0 } else { *x };
        }
    }

    /// `x = z + bias`, and `kept` the same where the bit is set and zero elsewhere.
    ///
    /// # Panics
    /// If the lengths disagree or there are fewer bits than numbers.
    pub fn add_and_keep(simd, bits: &[u64], bias: &[f32], x: &mut [f32], kept: &mut [f32]) {
        let _ = simd;
        assert!(bias.len() == x.len() && kept.len() == x.len());
        let (halves, rest) = x.as_chunks_mut::<HALF>();
        let ((kepts, kept_rest), (biases, bias_rest)) = (kept.as_chunks_mut::<HALF>(), bias.as_chunks::<HALF>());
        for (at, (x, (kept, bias))) in halves.iter_mut().zip(kepts.iter_mut().zip(biases)).enumerate() {
            let bits = half(bits, at);
            for lane in 0..HALF {
                x[lane] += bias[lane];
                kept[lane] = if bits & BITS[lane] == 0 { 0.0 } else { x[lane] };
            }
        }
        let at = halves.len();
        for (lane, (x, (kept, bias))) in rest.iter_mut().zip(kept_rest.iter_mut().zip(bias_rest)).enumerate() {
            *x += bias;
            *kept = if half(bits, at) & BITS[lane] == 0 { 0.0 } else { *x };
        }
    }

    /// `g = (g where its bit is set) + (factor · x where its own bit is set)`; the sum of x² over the latter.
    ///
    /// # Panics
    /// If the lengths disagree or there are fewer bits than numbers.
    pub fn join(simd, bits: &[u64], g: &mut [f32], own: &[u64], factor: f32, x: &[f32]) -> f64 {
        let _ = simd;
        assert!(g.len() == x.len());
        let (halves, rest) = g.as_chunks_mut::<HALF>();
        let (xs, x_rest) = x.as_chunks::<HALF>();
        let mut squares = 0.0f64;
        let mut sums = [0.0f32; HALF];
        for (at, (g, x)) in halves.iter_mut().zip(xs).enumerate() {
            let (bits, own) = (half(bits, at), half(own, at));
            for lane in 0..HALF {
                let kept = if bits & BITS[lane] == 0 { 0.0 } else { g[lane] };
                let x = if own & BITS[lane] == 0 { 0.0 } else { x[lane] };
                sums[lane] += x * x;
                g[lane] = kept + factor * x;
            }
        }
        squares += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        let at = halves.len();
        for (lane, (g, &x)) in rest.iter_mut().zip(x_rest).enumerate() {
            let kept = if half(bits, at) & BITS[lane] == 0 { 0.0 } else { *g };
            let x = if half(own, at) & BITS[lane] == 0 { 0.0 } else { x };
            squares += f64::from(x * x);
            *g = kept + factor * x;
        }
        squares
    }
}

/// Half a word.
#[inline(always)]
fn half(bits: &[u64], at: usize) -> u32 {
    (bits[at / 2] >> (at % 2 * HALF)) as u32
}

/// Sets the bits of some positions.
///
/// # Panics
/// If a position is out of range.
pub fn set(bits: &mut [u64], positions: &[u32]) {
    for &position in positions {
        bits[position as usize / WORD] |= 1 << (position as usize % WORD);
    }
}

/// Clears the bits of some positions.
///
/// # Panics
/// If a position is out of range.
pub fn clear(bits: &mut [u64], positions: &[u32]) {
    for &position in positions {
        bits[position as usize / WORD] &= !(1 << (position as usize % WORD));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_share_of_set_bits_is_right_and_streams_differ() {
        let mut bits = vec![0; words(640_000)];
        for share in [0.0, 0.1, 0.2, 0.4, 0.5, 0.7, 0.9, 0.999, 1.0] {
            draw(3, share, &mut bits);
            let n: u32 = bits.iter().map(|bits| bits.count_ones()).sum();
            // Four standard errors of at most 0.0006.
            assert!((f64::from(n) / 640_000.0 - share).abs() < 0.0026, "{share}: {n}");
        }
        let mut other = bits.clone();
        draw(1, 0.7, &mut bits);
        draw(2, 0.7, &mut other);
        let both: u32 = bits.iter().zip(&other).map(|(one, other)| (one & other).count_ones()).sum();
        assert!((f64::from(both) / 640_000.0 - 0.49).abs() < 0.003, "{both}");
    }

    proptest! {
        #[test]
        fn rows_seen_through_bits_equal_their_naive_twins(n in 0usize..200, seed: u64) {
            let (mut e, mut zr) = (vec![0; words(n)], vec![0; words(n)]);
            draw(seed, 0.6, &mut e);
            draw(seed ^ 1, 0.3, &mut zr);
            if n > 5 {
                set(&mut e, &[3]);
                clear(&mut zr, &[4]);
            }
            let is = |bits: &[u64], at: usize| bits[at / 64] >> (at % 64) & 1 == 1;
            prop_assert!(n <= 5 || is(&e, 3) && !is(&zr, 4));
            let x: Vec<f32> = (0..n).map(|at| (at % 7) as f32 - 3.0).collect();
            let bias: Vec<f32> = (0..n).map(|at| (at % 5) as f32).collect();
            let mut kept = x.clone();
            keep(&e, &mut kept);
            let (mut sum, mut of_sum) = (x.clone(), vec![9.0; n]);
            add_and_keep(&e, &bias, &mut sum, &mut of_sum);
            let mut g = bias.clone();
            let squares = join(&e, &mut g, &zr, 0.5, &x);
            let mut exact = 0.0;
            for at in 0..n {
                let through = |x: f32| if is(&e, at) { x } else { 0.0 };
                prop_assert_eq!(kept[at], through(x[at]));
                prop_assert_eq!((sum[at], of_sum[at]), (x[at] + bias[at], through(x[at] + bias[at])));
                let own = if is(&zr, at) { x[at] } else { 0.0 };
                prop_assert_eq!(g[at], through(bias[at]) + 0.5 * own);
                exact += f64::from(own * own);
            }
            prop_assert_eq!(squares, exact);
        }
    }
}
