//! Figures of merit over test ratings. Every one has the number of test ratings as its denominator, sums in `f64` over fixed
//! chunks (the same bits at any number of threads), and is `None` where there is nothing to measure.

use foldin_core::parallel::chunked_sum;
use statrs::distribution::{ContinuousCDF, Normal};

const CHUNK: usize = 8192;

/// Root of the mean squared error, in units of the rating scale.
///
/// ```
/// assert_eq!(foldin_eval::metrics::rmse(&[3.0, 4.0], &[3.0, 2.0]), Some(2f64.sqrt()));
/// ```
///
/// # Panics
/// If the two slices differ in length.
#[must_use]
pub fn rmse(predicted: &[f32], actual: &[f32]) -> Option<f64> {
    mean_of(predicted, actual, |error| error * error).map(f64::sqrt)
}

/// Mean absolute error, in units of the rating scale.
///
/// # Panics
/// If the two slices differ in length.
#[must_use]
pub fn mae(predicted: &[f32], actual: &[f32]) -> Option<f64> {
    mean_of(predicted, actual, f64::abs)
}

fn mean_of(predicted: &[f32], actual: &[f32], loss: impl Fn(f64) -> f64 + Sync) -> Option<f64> {
    assert_eq!(predicted.len(), actual.len(), "one prediction a rating");
    let sum = chunked_sum(actual.len(), CHUNK, |range| {
        range.map(|at| loss(f64::from(predicted[at]) - f64::from(actual[at]))).sum()
    });
    (!actual.is_empty()).then(|| sum / actual.len() as f64)
}

/// The share of ratings that lie within the central predictive interval of probability `level` (0 to 1, both excluded) of
/// a Gaussian with the given mean and variance; ends included. The intervals are not cut at the ends of the scale.
///
/// ```
/// // The interval of 95 % reaches 1.96 standard deviations to either side.
/// let covered = foldin_eval::metrics::coverage(&[0.0, 0.0], &[1.0, 1.0], &[1.95, 1.97], 0.95);
/// assert_eq!(covered, Some(0.5));
/// ```
///
/// # Panics
/// If the slices differ in length.
#[must_use]
pub fn coverage(mean: &[f32], variance: &[f32], actual: &[f32], level: f64) -> Option<f64> {
    assert!(mean.len() == actual.len() && variance.len() == actual.len(), "one interval a rating");
    let reach = Normal::standard().inverse_cdf(0.5 + level / 2.0);
    let inside = chunked_sum(actual.len(), CHUNK, |range| {
        range
            .filter(|&at| {
                let error = f64::from(actual[at]) - f64::from(mean[at]);
                error.abs() <= reach * f64::from(variance[at]).sqrt()
            })
            .count() as f64
    });
    (!actual.is_empty()).then(|| inside / actual.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // Errors 1, −2, 0, 3: squares 1 + 4 + 0 + 9 = 14, absolutes 6.
        let (predicted, actual) = ([2.0, 1.0, 5.0, 4.0], [1.0, 3.0, 5.0, 1.0]);
        assert_eq!(rmse(&predicted, &actual), Some((14.0f64 / 4.0).sqrt()));
        assert_eq!(mae(&predicted, &actual), Some(1.5));
    }

    #[test]
    fn nothing_to_measure_is_none() {
        assert_eq!((rmse(&[], &[]), mae(&[], &[]), coverage(&[], &[], &[], 0.5)), (None, None, None));
    }

    #[test]
    fn intervals_by_hand() {
        // Reaches of 50, 80 and 95 % in standard deviations: 0.6745, 1.2816, 1.9600; here the deviation is 2.
        let actual = [1.348, 1.350, 2.56, 2.57, -3.91, -3.93];
        let at = |level| (coverage(&[0.0; 6], &[4.0; 6], &actual, level).unwrap() * 6.0).round() as usize;
        assert_eq!([at(0.5), at(0.8), at(0.95)], [1, 3, 5]);
    }

    #[test]
    fn the_same_bits_at_any_number_of_threads() {
        let predicted: Vec<f32> = (0..50_000).map(|at| (at as f32).sin()).collect();
        let actual: Vec<f32> = (0..50_000).map(|at| (at as f32).cos()).collect();
        let at = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| rmse(&predicted, &actual).unwrap().to_bits())
        };
        assert!(at(1) == at(2) && at(2) == at(3));
    }
}
