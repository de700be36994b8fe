//! Multi-scale structural similarity: are the pictures of a class all alike?
//!
//! Wang, Simoncelli and Bovik, 2003: five scales with their published exponents, Gaussian windows of 11 and deviation 1.5, the scales
//! halved by means of 2 × 2. A window larger than a scale's picture shrinks to it, and its deviation with it, so that pictures of
//! 32 and 64 pixels have five scales as well. Contrast and structure count at every scale, luminance at the coarsest alone.

use foldin_core::parallel::chunked;
use foldin_core::random::Random;

const EXPONENTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;
/// `(0.01 · 255)²` and `(0.03 · 255)²`.
const LUMINANCE: f64 = 6.5025;
const CONTRAST: f64 = 58.5225;

/// A plane of numbers.
struct Plane {
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Plane {
    fn halved(&self) -> Self {
        let (height, width) = ((self.height / 2).max(1), (self.width / 2).max(1));
        let mut values = Vec::with_capacity(height * width);
        for y in 0..height {
            for x in 0..width {
                let (bottom, right) = ((2 * y + 1).min(self.height - 1), (2 * x + 1).min(self.width - 1));
                let at = |y: usize, x: usize| self.values[y * self.width + x];
                values.push(
                    (at(2 * y, 2 * x) + at(2 * y, right) + at(bottom, 2 * x) + at(bottom, right)) / 4.0,
                );
            }
        }
        Self { height, width, values }
    }
}

fn window(size: usize) -> Vec<f64> {
    let deviation = DEVIATION * size as f64 / WINDOW as f64;
    let centre = (size as f64 - 1.0) / 2.0;
    let weights: Vec<f64> =
        (0..size).map(|at| (-(at as f64 - centre).powi(2) / (2.0 * deviation * deviation)).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

/// Means over all windows that fit, first along rows, then along columns.
fn filtered(values: &[f64], height: usize, width: usize, window: &[f64]) -> Vec<f64> {
    let size = window.len();
    let (out_height, out_width) = (height - size + 1, width - size + 1);
    let mut rows = vec![0.0; height * out_width];
    for y in 0..height {
        for x in 0..out_width {
            rows[y * out_width + x] =
                window.iter().zip(&values[y * width + x..]).map(|(weight, value)| weight * value).sum();
        }
    }
    let mut out = vec![0.0; out_height * out_width];
    for y in 0..out_height {
        for (at, weight) in window.iter().enumerate() {
            for x in 0..out_width {
                out[y * out_width + x] += weight * rows[(y + at) * out_width + x];
            }
        }
    }
    out
}

/// Mean over windows of luminance × contrast, and of contrast alone.
fn one_scale(a: &Plane, b: &Plane) -> (f64, f64) {
    let window = window(WINDOW.min(a.height).min(a.width));
    let mean = |values: &[f64]| filtered(values, a.height, a.width, &window);
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(p, q)| p * q).collect::<Vec<_>>();
    let (mean_a, mean_b) = (mean(&a.values), mean(&b.values));
    let square_a = mean(&product(&a.values, &a.values));
    let square_b = mean(&product(&b.values, &b.values));
    let cross = mean(&product(&a.values, &b.values));
    let (mut both, mut contrast) = (0.0, 0.0);
    for at in 0..mean_a.len() {
        let (x, y) = (mean_a[at], mean_b[at]);
        let variances = square_a[at] - x * x + square_b[at] - y * y;
        let structure = (2.0 * (cross[at] - x * y) + CONTRAST) / (variances + CONTRAST);
        contrast += structure;
        both += structure * (2.0 * x * y + LUMINANCE) / (x * x + y * y + LUMINANCE);
    }
    (both / mean_a.len() as f64, contrast / mean_a.len() as f64)
}

/// Multi-scale structural similarity of two pictures of `channels` interleaved bytes a pixel: 1 for equal ones, near 0 for unrelated
/// ones. The mean over channels.
///
/// # Panics
/// If a side is 0 or the pictures have not `height × width × channels` bytes.
///
/// # Examples
/// ```
/// use foldin_vision::gan_metrics::ms_ssim;
///
/// let stripes: Vec<u8> = (0..64 * 64).map(|at| if at / 8 % 2 == 0 { 30 } else { 220 }).collect();
/// let plain = vec![125; 64 * 64];
/// assert!((ms_ssim(&stripes, &stripes, 64, 64, 1) - 1.0).abs() < 1e-9);
/// assert!(ms_ssim(&stripes, &plain, 64, 64, 1) < 0.1);
/// ```
#[must_use]
pub fn ms_ssim(a: &[u8], b: &[u8], height: usize, width: usize, channels: usize) -> f64 {
    assert!(height > 0 && width > 0 && channels > 0, "a picture has a size");
    assert!(
        a.len() == height * width * channels && b.len() == a.len(),
        "pictures of {height} × {width} × {channels}"
    );
    let plane = |bytes: &[u8], channel: usize| Plane {
        height,
        width,
        values: bytes.iter().skip(channel).step_by(channels).map(|&byte| f64::from(byte)).collect(),
    };
    let of_channel = |channel: usize| {
        let (mut a, mut b) = (plane(a, channel), plane(b, channel));
        let mut similarity = 1.0;
        for (scale, exponent) in EXPONENTS.iter().enumerate() {
            let (both, contrast) = one_scale(&a, &b);
            // A negative mean has no such power: unlike pictures have similarity 0.
            let coarsest = scale + 1 == EXPONENTS.len();
            similarity *= if coarsest { both } else { contrast }.max(0.0).powf(*exponent);
            (a, b) = (a.halved(), b.halved());
        }
        similarity
    };
    (0..channels).map(of_channel).sum::<f64>() / channels as f64
}

/// Mean of `1 − `[`ms_ssim`] over `pairs` random pairs of different pictures: 0 where all are alike. `None` for fewer than two.
///
/// # Panics
/// As [`ms_ssim`].
#[must_use]
pub fn class_diversity(
    pictures: &[u8],
    height: usize,
    width: usize,
    channels: usize,
    pairs: usize,
    seed: u64,
) -> Option<f64> {
    let size = height * width * channels;
    let n = pictures.len() / size.max(1);
    if n < 2 || pairs == 0 {
        return None;
    }
    let mut random = Random::new(seed);
    let drawn: Vec<(usize, usize)> = (0..pairs)
        .map(|_| {
            let first = random.below(n);
            let second = random.below(n - 1);
            (first, second + usize::from(second >= first))
        })
        .collect();
    let picture = |at: usize| &pictures[at * size..(at + 1) * size];
    let sum: f64 = chunked(pairs, 8, |range| {
        range
            .map(|at| 1.0 - ms_ssim(picture(drawn[at].0), picture(drawn[at].1), height, width, channels))
            .sum::<f64>()
    })
    .into_iter()
    .sum();
    Some(sum / pairs as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_are_alike_and_flat_ones_differ_by_luminance_alone() {
        let picture: Vec<u8> = (0..64 * 64 * 3).map(|at| (at * 37 % 251) as u8).collect();
        assert!((ms_ssim(&picture, &picture, 64, 64, 3) - 1.0).abs() < 1e-12);
        // No contrast anywhere: one luminance term, at the coarsest scale.
        let (dark, light) = (vec![50u8; 32 * 32], vec![150u8; 32 * 32]);
        let luminance = (2.0 * 50.0 * 150.0 + LUMINANCE) / (2500.0 + 22500.0 + LUMINANCE);
        let expected = luminance.powf(0.1333);
        assert!((ms_ssim(&dark, &light, 32, 32, 1) - expected).abs() < 1e-12);
    }

    #[test]
    fn a_negative_is_not_alike_and_noise_lowers() {
        let ramp: Vec<u8> = (0..32 * 32).map(|at| ((at % 32) * 8) as u8).collect();
        let negative: Vec<u8> = ramp.iter().map(|x| 255 - x).collect();
        assert!(ms_ssim(&ramp, &negative, 32, 32, 1) < 1e-9);
        let mut random = Random::new(1);
        let noisy = |by: f64, random: &mut Random| -> Vec<u8> {
            ramp.iter().map(|&x| (f64::from(x) + by * random.normal()).clamp(0.0, 255.0) as u8).collect()
        };
        let (little, much) = (noisy(10.0, &mut random), noisy(60.0, &mut random));
        let (little, much) = (ms_ssim(&ramp, &little, 32, 32, 1), ms_ssim(&ramp, &much, 32, 32, 1));
        assert!(1.0 > little && little > much && much > 0.0, "{little} {much}");
    }

    #[test]
    fn diversity_is_zero_of_copies() {
        let one: Vec<u8> = (0..16 * 16).map(|at| (at % 256) as u8).collect();
        let copies = one.repeat(3);
        assert!(class_diversity(&copies, 16, 16, 1, 10, 1).unwrap() < 1e-12);
        assert!(class_diversity(&one, 16, 16, 1, 10, 1).is_none());
    }
}
