//! Batch normalisation and the leaky ReLU after it, as one pass over the numbers each way.
//!
//! `y = f(γ (x − m) / √(v + ε) + β)` by channel, with the mean `m` and population variance `v` over all pixels of the batch and
//! `f(a) = max(a, s a)`. Rows are pixels, columns channels. Sums run over fixed chunks of rows merged in order, in `f64`.

use foldin_core::parallel::chunked;
use rayon::prelude::*;

/// Rows of a task.
const ROWS: usize = 512;

/// Mean and population variance of each of `channels` columns.
///
/// # Panics
/// If `channels` is 0 or does not divide the length, or there is no row.
#[must_use]
pub fn moments(x: &[f32], channels: usize) -> (Vec<f32>, Vec<f32>) {
    let rows = check(x.len(), channels);
    let sums = column_sums(
        rows,
        |row, sums| {
            for (sum, x) in sums.iter_mut().zip(&x[row * channels..(row + 1) * channels]) {
                *sum += x;
            }
        },
        channels,
        1,
    );
    let mean: Vec<f32> = sums.iter().map(|sum| (sum / rows as f64) as f32).collect();
    // Of differences from the mean, so that nothing cancels.
    let squares = column_sums(
        rows,
        |row, sums| {
            for ((sum, x), mean) in sums.iter_mut().zip(&x[row * channels..(row + 1) * channels]).zip(&mean) {
                let difference = x - mean;
                *sum += difference * difference;
            }
        },
        channels,
        1,
    );
    (mean, squares.iter().map(|sum| (sum / rows as f64) as f32).collect())
}

fn check(len: usize, channels: usize) -> usize {
    assert!(channels > 0 && len > 0 && len.is_multiple_of(channels), "{len} numbers of {channels} channels");
    len / channels
}

/// Sums of `parts × channels` columns: `add(row, sums)` adds a row to sums of a short stretch of rows, which are added in `f64`.
fn column_sums(
    rows: usize,
    add: impl Fn(usize, &mut [f32]) + Sync,
    channels: usize,
    parts: usize,
) -> Vec<f64> {
    /// Rows summed in `f32`.
    const SHORT: usize = 64;
    let chunks = chunked(rows, ROWS, |range| {
        let mut total = vec![0.0f64; parts * channels];
        let mut short = vec![0.0f32; parts * channels];
        for first in range.clone().step_by(SHORT) {
            short.fill(0.0);
            for row in first..(first + SHORT).min(range.end) {
                add(row, &mut short);
            }
            for (total, short) in total.iter_mut().zip(&short) {
                *total += f64::from(*short);
            }
        }
        total
    });
    let mut out = vec![0.0; parts * channels];
    for chunk in chunks {
        for (out, x) in out.iter_mut().zip(chunk) {
            *out += x;
        }
    }
    out
}

/// What a channel's numbers are multiplied by, and what is added.
fn scale_and_shift(
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
) -> (Vec<f32>, Vec<f32>) {
    let scale: Vec<f32> = gamma.iter().zip(variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let shift = beta.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    (scale, shift)
}

/// Normalises by given moments and applies the leaky ReLU of `slope`.
///
/// # Panics
/// If the lengths disagree.
#[must_use]
pub fn normalise(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
    slope: f32,
) -> Vec<f32> {
    let channels = gamma.len();
    check(x.len(), channels);
    let (scale, shift) = scale_and_shift(gamma, beta, mean, variance, epsilon);
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(ROWS * channels).zip(x.par_chunks(ROWS * channels)).for_each(|(out, x)| {
        for (out, x) in out.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            for (((out, x), scale), shift) in out.iter_mut().zip(x).zip(&scale).zip(&shift) {
                let a = x * scale + shift;
                *out = a.max(slope * a);
            }
        }
    });
    out
}

/// Gradients of [`normalise`] with the moments of `x` itself: by `x`, `γ` and `β`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NormalisationGradient {
    /// By the input.
    pub x: Vec<f32>,
    /// By the scale.
    pub gamma: Vec<f32>,
    /// By the shift.
    pub beta: Vec<f32>,
}

/// What is the same for all rows, a number for each channel.
///
/// The loops over channels are without branches, and all slices are cut to one length before them: several channels are then done at once.
#[derive(Clone, Copy, Debug)]
struct ByChannel<'a> {
    scale: &'a [f32],
    shift: &'a [f32],
    mean: &'a [f32],
    /// `1 / √(v + ε)`.
    inverse: &'a [f32],
    slope: f32,
}

impl ByChannel<'_> {
    /// The same, told to be of `channels`.
    fn of(self, channels: usize) -> Self {
        let [scale, shift, mean, inverse] =
            [self.scale, self.shift, self.mean, self.inverse].map(|numbers| &numbers[..channels]);
        Self { scale, shift, mean, inverse, ..self }
    }

    /// What the gradient after the leaky ReLU is multiplied by before it.
    fn passed(self, x: f32, c: usize) -> f32 {
        if x * self.scale[c] + self.shift[c] > 0.0 { 1.0 } else { self.slope }
    }

    /// Adds what a row says of the gradients by `β` and `γ`.
    fn add(self, x: &[f32], gradient: &[f32], betas: &mut [f32], gammas: &mut [f32]) {
        let channels = x.len();
        let by = self.of(channels);
        let (gradient, betas, gammas) =
            (&gradient[..channels], &mut betas[..channels], &mut gammas[..channels]);
        for c in 0..channels {
            let d = by.passed(x[c], c) * gradient[c];
            betas[c] += d;
            gammas[c] += d * ((x[c] - by.mean[c]) * by.inverse[c]);
        }
    }

    /// The gradient by a row, given the means over rows of those by `β` and `γ`.
    fn gradient(self, x: &[f32], gradient: &[f32], mean_beta: &[f32], mean_gamma: &[f32], out: &mut [f32]) {
        let channels = x.len();
        let by = self.of(channels);
        let (gradient, out) = (&gradient[..channels], &mut out[..channels]);
        let (mean_beta, mean_gamma) = (&mean_beta[..channels], &mean_gamma[..channels]);
        for c in 0..channels {
            let normal = (x[c] - by.mean[c]) * by.inverse[c];
            let d = by.passed(x[c], c) * gradient[c];
            out[c] = by.scale[c] * (d - mean_beta[c] - normal * mean_gamma[c]);
        }
    }
}

/// The gradient by what `normalise` was given, where `gradient` is that by what it gave and the moments are those of `x`.
///
/// # Panics
/// If the lengths disagree.
#[must_use]
pub fn normalise_backward(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    mean: &[f32],
    variance: &[f32],
    epsilon: f32,
    slope: f32,
    gradient: &[f32],
) -> NormalisationGradient {
    let channels = gamma.len();
    let rows = check(x.len(), channels);
    assert_eq!(gradient.len(), x.len(), "one gradient a number");
    let (scale, shift) = scale_and_shift(gamma, beta, mean, variance, epsilon);
    let inverse: Vec<f32> = variance.iter().map(|v| 1.0 / (v + epsilon).sqrt()).collect();
    let by_channel = ByChannel { scale: &scale, shift: &shift, mean, inverse: &inverse, slope };
    let sums = column_sums(
        rows,
        |row, sums| {
            let row = row * channels..(row + 1) * channels;
            let (betas, gammas) = sums.split_at_mut(channels);
            by_channel.add(&x[row.clone()], &gradient[row], betas, gammas);
        },
        channels,
        2,
    );
    let (betas, gammas) = sums.split_at(channels);
    let mean_beta: Vec<f32> = betas.iter().map(|sum| (sum / rows as f64) as f32).collect();
    let mean_gamma: Vec<f32> = gammas.iter().map(|sum| (sum / rows as f64) as f32).collect();
    let mut out = vec![0.0; x.len()];
    out.par_chunks_mut(ROWS * channels)
        .zip(x.par_chunks(ROWS * channels))
        .zip(gradient.par_chunks(ROWS * channels))
        .for_each(|((out, x), gradient)| {
            let rows = out.chunks_exact_mut(channels).zip(x.chunks_exact(channels));
            for ((out, x), gradient) in rows.zip(gradient.chunks_exact(channels)) {
                by_channel.gradient(x, gradient, &mean_beta, &mean_gamma, out);
            }
        });
    NormalisationGradient {
        x: out,
        gamma: gammas.iter().map(|&sum| sum as f32).collect(),
        beta: betas.iter().map(|&sum| sum as f32).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    const EPSILON: f32 = 1e-5;
    const SLOPE: f32 = 0.2;

    fn numbers(n: usize, random: &mut Random) -> Vec<f32> {
        (0..n).map(|_| random.normal() as f32).collect()
    }

    #[test]
    fn moments_are_those_of_the_columns() {
        let (mean, variance) = moments(&[1.0, 10.0, 3.0, 30.0], 2);
        assert_eq!((mean, variance), (vec![2.0, 20.0], vec![1.0, 100.0]));
        // Far from zero nothing cancels.
        let far: Vec<f32> = (0..4096).map(|at| 1000.0 + (at % 2) as f32).collect();
        let (_, variance) = moments(&far, 1);
        assert!((variance[0] - 0.25).abs() < 1e-4, "{variance:?}");
    }

    /// In `f64`, by definition.
    fn loss(x: &[f64], gamma: &[f64], beta: &[f64], weights: &[f64]) -> f64 {
        let channels = gamma.len();
        let rows = x.len() / channels;
        let mut sum = 0.0;
        for c in 0..channels {
            let column = || (0..rows).map(|row| x[row * channels + c]);
            let mean = column().sum::<f64>() / rows as f64;
            let variance = column().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64;
            for (row, x) in column().enumerate() {
                let a = gamma[c] * (x - mean) / (variance + f64::from(EPSILON)).sqrt() + beta[c];
                sum += weights[row * channels + c] * a.max(f64::from(SLOPE) * a);
            }
        }
        sum
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        let mut random = Random::new(4);
        let (rows, channels) = (7, 3);
        let x = numbers(rows * channels, &mut random);
        let (gamma, beta) = (numbers(channels, &mut random), numbers(channels, &mut random));
        let weights = numbers(rows * channels, &mut random);
        let (mean, variance) = moments(&x, channels);
        let gradient = normalise_backward(&x, &gamma, &beta, &mean, &variance, EPSILON, SLOPE, &weights);
        let wide = |x: &[f32]| x.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
        let (x, gamma, beta, weights) = (wide(&x), wide(&gamma), wide(&beta), wide(&weights));
        let difference = |part: usize, at: usize| {
            let moved = |by: f64| {
                let mut parts = [x.clone(), gamma.clone(), beta.clone()];
                parts[part][at] += by;
                loss(&parts[0], &parts[1], &parts[2], &weights)
            };
            (moved(1e-6) - moved(-1e-6)) / 2e-6
        };
        for (part, analytic) in [&gradient.x, &gradient.gamma, &gradient.beta].into_iter().enumerate() {
            for (at, &analytic) in analytic.iter().enumerate() {
                let numeric = difference(part, at);
                assert!((f64::from(analytic) - numeric).abs() < 1e-4, "{part} {at}: {analytic} {numeric}");
            }
        }
    }

    #[test]
    fn the_same_bits_at_any_number_of_threads() {
        let mut random = Random::new(5);
        let (rows, channels) = (3000, 5);
        let (x, gradient) = (numbers(rows * channels, &mut random), numbers(rows * channels, &mut random));
        let (gamma, beta) = (numbers(channels, &mut random), numbers(channels, &mut random));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (mean, variance) = moments(&x, channels);
                let out = normalise(&x, &gamma, &beta, &mean, &variance, EPSILON, SLOPE);
                (out, normalise_backward(&x, &gamma, &beta, &mean, &variance, EPSILON, SLOPE, &gradient))
            })
        };
        assert!(run(1) == run(3));
    }
}
