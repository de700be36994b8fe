//! Ridge regression of factors on features: what priors take their means from.
//!
//! `min_B Σ_rows |y − B'f|² + ridge |B|²`, without penalty on a constant. The strength is given, or chosen by how well the rows of a fifth are
//! foretold by the other four ([`cross_validated`]).

use foldin_core::FitError;
use foldin_nn::linalg::{cholesky, cholesky_solve};

use crate::item_design::Design;

/// Parts that rows are dealt to where the strength is chosen: row `r` is in part `r % PARTS`.
const PARTS: usize = 5;

/// Strengths to choose from, in units of one row.
const RIDGES: [f64; 8] = [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0];

/// The share of the squared error about the mean that features must take away to be of use; less may be chance.
const LEAST: f64 = 0.005;

/// The matrix of a regression on features, for errors.
pub(crate) const FEATURES: &str = "the Gram matrix of the features";

/// A ridge regression, its matrix factored once.
pub(crate) struct Regression {
    width: usize,
    factor: Vec<f64>,
}

impl Regression {
    /// `gram` is `[width × width]`; the column `constant`, if there is one, is not penalised. `model` is the name for errors, and `what` that of
    /// the matrix.
    ///
    /// # Errors
    /// [`FitError::Diverged`] for a matrix that is not positive definite, such as one of numbers too large.
    pub(crate) fn new(
        model: &'static str,
        what: &'static str,
        mut gram: Vec<f64>,
        ridge: f64,
        constant: Option<usize>,
    ) -> Result<Self, FitError> {
        let width = gram.len().isqrt();
        for column in 0..width {
            gram[column * width + column] += if Some(column) == constant { 1e-9 } else { ridge };
        }
        cholesky(&mut gram, width).map_err(|_| FitError::Diverged { model, epoch: 0, what })?;
        Ok(Self { width, factor: gram })
    }

    /// Coefficients `[width × k]` from `F'·y` of the same shape.
    pub(crate) fn solve(&self, right: &[f64], k: usize) -> Vec<f32> {
        let mut out = vec![0.0; right.len()];
        let mut column = vec![0.0; self.width];
        for j in 0..k {
            column.iter_mut().enumerate().for_each(|(row, x)| *x = right[row * k + j]);
            cholesky_solve(&self.factor, self.width, &mut column);
            column.iter().enumerate().for_each(|(row, &x)| out[row * k + j] = x as f32);
        }
        out
    }
}

/// Coefficients `[width × k]` of the regression of `[n × k]` targets on the features of the rows that are `counted`, with the strength that foretells
/// other rows best; the column `constant` is not penalised. `None` if features foretell no better than the mean.
///
/// # Errors
/// As [`Regression::new`].
pub(crate) fn cross_validated(
    model: &'static str,
    design: &Design,
    targets: &[f32],
    k: usize,
    constant: usize,
    counted: impl Fn(usize) -> bool + Sync,
) -> Result<Option<Vec<f32>>, FitError> {
    let grams: Vec<Vec<f64>> =
        (0..PARTS).map(|part| design.gram(|row| row % PARTS == part && counted(row))).collect();
    let rights: Vec<Vec<f64>> = (0..PARTS)
        .map(|part| design.transposed_product(targets, k, |row| row % PARTS == part && counted(row)))
        .collect();
    let sum = |parts: &[Vec<f64>], but: usize| -> Vec<f64> {
        let mut out = vec![0.0; parts[0].len()];
        for (part, values) in parts.iter().enumerate() {
            if part != but {
                out.iter_mut().zip(values).for_each(|(out, x)| *out += x);
            }
        }
        out
    };
    let width = design.width();
    let mut errors = [0.0f64; RIDGES.len()];
    let mut about_mean = 0.0f64;
    let mut foretold = vec![0f32; k];
    for part in 0..PARTS {
        let (gram, right) = (sum(&grams, part), sum(&rights, part));
        let n = gram[constant * width + constant];
        if n == 0.0 {
            return Ok(None);
        }
        let mean: Vec<f32> =
            right[constant * k..(constant + 1) * k].iter().map(|sum| (sum / n) as f32).collect();
        let rows = || (part..design.n_rows()).step_by(PARTS).filter(|&row| counted(row));
        let error = |row: usize, foretold: &[f32]| -> f64 {
            let pairs = targets[row * k..(row + 1) * k].iter().zip(foretold);
            pairs.map(|(&y, &x)| (f64::from(y) - f64::from(x)).powi(2)).sum()
        };
        about_mean += rows().map(|row| error(row, &mean)).sum::<f64>();
        for (sum, &ridge) in errors.iter_mut().zip(&RIDGES) {
            let weights =
                Regression::new(model, FEATURES, gram.clone(), ridge, Some(constant))?.solve(&right, k);
            for row in rows() {
                foretold.fill(0.0);
                design.add_product(row, &weights, &mut foretold);
                *sum += error(row, &foretold);
            }
        }
    }
    let best = (0..RIDGES.len()).fold(0, |best, at| if errors[at] < errors[best] { at } else { best });
    if errors[best].is_nan() || errors[best] > (1.0 - LEAST) * about_mean {
        return Ok(None);
    }
    let regression = Regression::new(model, FEATURES, sum(&grams, PARTS), RIDGES[best], Some(constant))?;
    Ok(Some(regression.solve(&sum(&rights, PARTS), k)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::Csr;
    use foldin_core::random::Random;

    /// Rows of two groups of which one is at (1, 2) and the other at (−3, 0), with noise; or of noise alone.
    fn rows(n: usize, of_groups: f32) -> (Design, Vec<f32>) {
        let mut random = Random::new(1);
        let cells: Vec<(u32, u32, f32)> = (0..n).map(|row| (row as u32, (row / 3 % 2) as u32, 1.0)).collect();
        let design = Design::new(Csr::from_triples(n, 2, &cells).unwrap(), vec![1.0; n], 1);
        let at = |row: usize| if (row / 3).is_multiple_of(2) { [1.0, 2.0] } else { [-3.0, 0.0] };
        let targets =
            (0..n).flat_map(|row| at(row).map(|y| of_groups * y)).map(|y| y + 0.1 * random.normal() as f32);
        (design, targets.collect())
    }

    #[test]
    fn features_that_tell_are_used() {
        let (design, targets) = rows(300, 1.0);
        let weights = cross_validated("test", &design, &targets, 2, 2, |row| row != 7).unwrap().unwrap();
        let mut foretold = [0.0; 2];
        design.add_product(7, &weights, &mut foretold);
        // Row 7 is of the first group; the ridge of one row and the noise of some hundred rows remain.
        assert!((foretold[0] - 1.0).abs() < 0.1 && (foretold[1] - 2.0).abs() < 0.1, "{foretold:?}");
    }

    #[test]
    fn features_that_do_not_tell_are_not() {
        let (design, targets) = rows(300, 0.0);
        assert_eq!(cross_validated("test", &design, &targets, 2, 2, |_| true).unwrap(), None);
        assert_eq!(cross_validated("test", &design, &targets, 2, 2, |_| false).unwrap(), None);
    }
}
