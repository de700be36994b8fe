//! What can be said from a few folds: a mean with its confidence interval, a paired test, and a correction for asking
//! often.
//!
//! Training parts of folds overlap, so the folds are not independent draws; the intervals describe how the figure moves from
//! fold to fold, as is usual in the literature, and are somewhat too narrow as statements about other data.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A figure over folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Mean over the folds, each with the same weight.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval of the mean (Student's t with one less degree of freedom than there
    /// are folds); `None` with a single fold.
    pub ci95: Option<f64>,
    /// Where the figure is a mean over users: half the width of its 95 % confidence interval over all tested users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ci95_users: Option<f64>,
    /// Where the model was fitted several times in each fold: the standard deviation of the figure over fits, mean over the folds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sd_fits: Option<f64>,
    /// The figure in each fold, in the order of the report's `folds`; the mean over fits, if there were several.
    pub folds: Vec<f64>,
    /// The figure of each fit, the mean over the folds; empty with a single fit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fits: Vec<f64>,
}

impl Summary {
    /// Summarises one figure a fold; `None` without any.
    #[must_use]
    pub fn of(folds: &[f64]) -> Option<Self> {
        let mean = mean(folds)?;
        Some(Self {
            mean,
            ci95: half_width(folds),
            ci95_users: None,
            sd_fits: None,
            folds: folds.to_vec(),
            fits: Vec::new(),
        })
    }

    /// Adds what users say, whose figures these are; nothing with fewer than two.
    #[must_use]
    pub fn over_users(self, users: &[f64]) -> Self {
        Self { ci95_users: half_width(users), ..self }
    }

    /// Adds what repeated fits say: the figure of each fit, fold by fold; nothing with fewer than two fits.
    #[must_use]
    pub fn over_fits(self, folds: &[Vec<f64>]) -> Self {
        let deviations: Option<Vec<f64>> = folds
            .iter()
            .map(|fits| standard_error(fits).map(|error| error * (fits.len() as f64).sqrt()))
            .collect();
        let n = folds.iter().map(Vec::len).min().unwrap_or(0);
        let of_fit = |fit: usize| mean(&folds.iter().map(|fits| fits[fit]).collect::<Vec<_>>());
        let fits = if n > 1 { (0..n).filter_map(of_fit).collect() } else { Vec::new() };
        Self { sd_fits: deviations.and_then(|deviations| mean(&deviations)), fits, ..self }
    }

    /// The interval to show: over folds, or with one fold over users.
    #[must_use]
    pub fn interval(&self) -> Option<f64> {
        self.ci95.or(self.ci95_users)
    }
}

/// How a figure of one model differs from that of another in the same folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairedTest {
    /// Mean of `this − other` over the folds: negative where this model has the smaller error, positive where it has the better lists.
    pub mean_difference: f64,
    /// Half the width of its 95 % confidence interval, over users where the figure is a mean over users; otherwise over folds, and `None` with
    /// a single one.
    pub ci95: Option<f64>,
    /// Two-sided p-value of the paired t-test, over the same; `None` as above.
    pub p: Option<f64>,
    /// `p` after Holm's correction over all models compared in this report; see [`holm`].
    pub p_holm: Option<f64>,
    /// Where both models were fitted several times: two-sided p-value of the paired t-test over fits, which have the same seeds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub p_fits: Option<f64>,
    /// The difference in each fold.
    pub folds: Vec<f64>,
}

/// Compares two models fold by fold; `p_holm` is left open. `None` without folds, or if the numbers of folds differ.
///
/// Differences that are the same in every fold have p = 1 if they are 0, and p = 0 otherwise.
#[must_use]
pub fn paired(this: &[f64], other: &[f64]) -> Option<PairedTest> {
    if this.len() != other.len() {
        return None;
    }
    let folds: Vec<f64> = this.iter().zip(other).map(|(this, other)| this - other).collect();
    let mean_difference = mean(&folds)?;
    let p = standard_error(&folds).map(|error| {
        if error > 0.0 {
            let t = (mean_difference / error).abs();
            student(folds.len()).map_or(1.0, |student| 2.0 * student.sf(t))
        } else if mean_difference.abs() > 0.0 {
            0.0
        } else {
            1.0
        }
    });
    Some(PairedTest { mean_difference, ci95: half_width(&folds), p, p_holm: None, p_fits: None, folds })
}

/// Holm's step-down correction: with `m` tests, the smallest p-value is multiplied by `m`, the next by `m − 1`, and so on;
/// never falling, never above 1. Keeps the chance of any false alarm among them at the nominal level.
///
/// ```
/// let corrected = foldin_eval::statistics::holm(&[0.01, 0.04, 0.03]);
/// assert_eq!(corrected, [0.03, 0.06, 0.06]);
/// ```
#[must_use]
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut corrected = vec![0.0; p_values.len()];
    let mut highest: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        highest = highest.max(p_values[at] * (p_values.len() - rank) as f64).min(1.0);
        corrected[at] = highest;
    }
    corrected
}

/// The value in the middle, of an even number the mean of the two in the middle; `None` without values.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

/// Mean; `None` without values.
#[must_use]
pub fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn standard_error(values: &[f64]) -> Option<f64> {
    let mean = mean(values)?;
    let n = values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() > 1).then(|| (squares / (n - 1.0) / n).sqrt())
}

fn half_width(values: &[f64]) -> Option<f64> {
    Some(student(values.len())?.inverse_cdf(0.975) * standard_error(values)?)
}

fn student(n: usize) -> Option<StudentsT> {
    StudentsT::new(0.0, 1.0, n.checked_sub(1)? as f64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: f64, expected: f64) {
        // Tables give six digits.
        assert!((got - expected).abs() < 1e-6 * expected.abs().max(1.0), "{got} is not {expected}");
    }

    #[test]
    fn five_folds_by_hand() {
        // Deviations −2 … 2: variance 2.5, standard error √0.5; t(4) at 97.5 % is 2.776445.
        let summary = Summary::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        near(summary.mean, 3.0);
        near(summary.ci95.unwrap(), 2.776_445_1 * 0.5f64.sqrt());
    }

    #[test]
    fn one_fold_has_no_interval() {
        assert_eq!(Summary::of(&[0.9]).unwrap().ci95, None);
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(paired(&[0.9], &[1.0]).unwrap().p, None);
    }

    #[test]
    fn paired_by_hand() {
        // Differences 1, 2, 3: mean 2, standard error 1/√3, t = 2√3 = 3.4641 with 2 degrees of freedom.
        // There, p = 1 − t/√(2 + t²) = 1 − 3.4641/√14.
        let test = paired(&[2.0, 4.0, 6.0], &[1.0, 2.0, 3.0]).unwrap();
        near(test.mean_difference, 2.0);
        near(test.p.unwrap(), 1.0 - 12f64.sqrt() / 14f64.sqrt());
        near(test.ci95.unwrap(), 4.302_652_7 / 3f64.sqrt());
    }

    #[test]
    fn fits_are_means_over_folds() {
        let summary = Summary::of(&[2.0, 5.0]).unwrap().over_fits(&[vec![1.0, 3.0], vec![4.0, 6.0]]);
        assert_eq!(summary.fits, [2.5, 4.5]);
        near(summary.sd_fits.unwrap(), 2f64.sqrt());
        assert!(Summary::of(&[2.0]).unwrap().over_fits(&[vec![2.0]]).fits.is_empty());
    }

    #[test]
    fn differences_without_spread() {
        assert_eq!(paired(&[1.0, 2.0], &[1.0, 2.0]).unwrap().p, Some(1.0));
        assert_eq!(paired(&[1.0, 2.0], &[0.5, 1.5]).unwrap().p, Some(0.0));
        assert_eq!(paired(&[1.0], &[]), None);
    }

    #[test]
    fn holm_never_falls_and_stays_below_one() {
        assert_eq!(holm(&[0.5, 0.9, 0.001]), [1.0, 1.0, 0.003]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(&[]), None);
    }
}
