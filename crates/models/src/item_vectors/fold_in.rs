//! Somebody new among vectors of items that others made: the θ that pairs of bought and other items give, by Newton's method.
//!
//! ```text
//! min over θ of   Σ_{i bought} mean_{j in N} −ln σ(θ·(φ_i − φ_j)) + λ/2 ‖θ‖²
//! ```
//!
//! with N a sample of items that does not depend on the user. The problem is convex; Newton's method solves it to 1e-6 in a few steps
//! of O(|bought| · |N| · k + (|bought| + |N|) · k² + k³). Nothing is random, and nothing of the user is kept.

use foldin_core::ConfigError;
use foldin_core::random::{Random, child_seed};
use foldin_nn::linalg::{cholesky, cholesky_solve};

/// Items that stand for all that were not bought.
const NEGATIVES: usize = 256;

/// Steps of Newton's method at most; a handful is usual.
const STEPS: usize = 50;

/// Checks the λ of a fold-in.
///
/// # Errors
/// [`ConfigError::OutOfRange`] if it is not a number from 0.
pub fn check_lambda(lambda: f64) -> Result<(), ConfigError> {
    if lambda.is_finite() && lambda >= 0.0 {
        return Ok(());
    }
    Err(ConfigError::OutOfRange {
        model: "fold-in".to_owned(),
        key: "lambda".to_owned(),
        value: lambda.to_string(),
        range: "≥ 0".to_owned(),
    })
}

/// θ of somebody who bought these items, of `items` `[n_items × k]`; see the head of this file. Zeros for somebody who bought nothing.
///
/// # Panics
/// If an item does not exist.
#[must_use]
pub fn fold_in(items: &[f32], k: usize, bought: &[u32], lambda: f64) -> Vec<f32> {
    let mut theta = vec![0.0f64; k];
    if bought.is_empty() {
        return vec![0.0; k];
    }
    // The same for everybody, so that two users who bought the same get the same.
    let mut random = Random::new(child_seed(0, "fold-in negatives"));
    let wide = |item: usize| items[item * k..][..k].iter().map(|x| f64::from(*x));
    let negatives: Vec<f64> = (0..NEGATIVES).flat_map(|_| wide(random.below(items.len() / k))).collect();
    let bought: Vec<f64> = bought.iter().flat_map(|&item| wide(item as usize)).collect();
    for _ in 0..STEPS {
        let (mut gradient, mut hessian) = derivatives(&theta, &bought, &negatives);
        for row in 0..k {
            gradient[row] += lambda * theta[row];
            hessian[row * k + row] += lambda.max(1e-6);
        }
        if cholesky(&mut hessian, k).is_err() {
            break;
        }
        cholesky_solve(&hessian, k, &mut gradient);
        // A step of Newton's may overshoot far from the solution; a bounded one descends.
        let length = gradient.iter().map(|x| x * x).sum::<f64>().sqrt();
        let scale = if length > 10.0 { 10.0 / length } else { 1.0 };
        theta.iter_mut().zip(&gradient).for_each(|(theta, step)| *theta -= scale * step);
        if length < 1e-6 {
            break;
        }
    }
    theta.into_iter().map(|x| x as f32).collect()
}

/// First and second derivatives (the lower triangle) of `Σ_i mean_j −ln σ(θ·(φ_i − φ_j))`.
///
/// A term's second derivative is `c_ij (φ_i − φ_j)(φ_i − φ_j)ᵀ`; multiplied out, its sums over i and over j alone are taken once, and
/// what is left of a pair costs O(k), not O(k²).
fn derivatives(theta: &[f64], bought: &[f64], negatives: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let k = theta.len();
    let n = negatives.len() / k;
    let product = |x: &[f64]| -> f64 { x.iter().zip(theta).map(|(x, theta)| x * theta).sum() };
    let theirs: Vec<f64> = negatives.chunks_exact(k).map(product).collect();
    let (mut gradient, mut hessian) = (vec![0.0; k], vec![0.0; k * k]);
    let mut of_others = vec![(0.0, 0.0); n];
    let mut mixed = vec![0.0; k];
    for phi in bought.chunks_exact(k) {
        let own = product(phi);
        let (mut slope, mut curvature) = (0.0, 0.0);
        mixed.fill(0.0);
        for ((other, theirs), of_other) in negatives.chunks_exact(k).zip(&theirs).zip(&mut of_others) {
            let wrong = 1.0 / (1.0 + (own - theirs).exp());
            let (w, c) = (wrong / n as f64, wrong * (1.0 - wrong) / n as f64);
            slope += w;
            curvature += c;
            of_other.0 += w;
            of_other.1 += c;
            mixed.iter_mut().zip(other).for_each(|(sum, x)| *sum += c * x);
        }
        for row in 0..k {
            gradient[row] -= slope * phi[row];
            for column in 0..=row {
                hessian[row * k + column] +=
                    curvature * phi[row] * phi[column] - phi[row] * mixed[column] - mixed[row] * phi[column];
            }
        }
    }
    for (other, (slope, curvature)) in negatives.chunks_exact(k).zip(of_others) {
        for row in 0..k {
            gradient[row] += slope * other[row];
            for column in 0..=row {
                hessian[row * k + column] += curvature * other[row] * other[column];
            }
        }
    }
    (gradient, hessian)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against sums over all pairs.
    #[test]
    fn derivatives_are_those_of_every_pair() {
        let mut random = Random::new(8);
        let mut normal = |count: usize| -> Vec<f64> { (0..count).map(|_| random.normal()).collect() };
        let (k, theta, bought, negatives) = (3, normal(3), normal(4 * 3), normal(5 * 3));
        let (gradient, hessian) = derivatives(&theta, &bought, &negatives);
        let (mut by_hand, mut twice) = ([0.0; 3], [0.0; 9]);
        for i in bought.chunks(k) {
            for j in negatives.chunks(k) {
                let d: Vec<f64> = i.iter().zip(j).map(|(a, b)| a - b).collect();
                let x: f64 = d.iter().zip(&theta).map(|(d, theta)| d * theta).sum();
                let wrong = 1.0 / (1.0 + x.exp());
                for row in 0..k {
                    by_hand[row] -= wrong * d[row] / 5.0;
                    for column in 0..=row {
                        twice[row * k + column] += wrong * (1.0 - wrong) * d[row] * d[column] / 5.0;
                    }
                }
            }
        }
        let apart = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - y).abs()).fold(0.0, f64::max);
        assert!(apart(&gradient, &by_hand) < 1e-12 && apart(&hessian, &twice) < 1e-12);
    }

    /// At the solution the gradient of the objective, written out anew, is zero.
    #[test]
    fn a_fold_in_solves_its_objective() {
        let mut random = Random::new(3);
        let items: Vec<f32> = (0..40 * 3).map(|_| random.normal() as f32).collect();
        let item = |item: u32| &items[item as usize * 3..][..3];
        let (bought, lambda) = ([3, 17, 20], 0.5);
        let theta = fold_in(&items, 3, &bought, lambda);
        let mut random = Random::new(child_seed(0, "fold-in negatives"));
        let negatives: Vec<u32> = (0..NEGATIVES).map(|_| random.below(40) as u32).collect();
        let mut gradient: Vec<f64> = theta.iter().map(|x| lambda * f64::from(*x)).collect();
        for &i in &bought {
            for &j in &negatives {
                let d: Vec<f64> = item(i).iter().zip(item(j)).map(|(a, b)| f64::from(a - b)).collect();
                let x: f64 = d.iter().zip(&theta).map(|(d, t)| d * f64::from(*t)).sum();
                for (g, d) in gradient.iter_mut().zip(&d) {
                    *g -= d / (1.0 + x.exp()) / NEGATIVES as f64;
                }
            }
        }
        // θ is rounded to `f32`.
        assert!(gradient.iter().all(|g| g.abs() < 1e-5), "{gradient:?}");
        assert_eq!(fold_in(&items, 3, &[], lambda), [0.0; 3]);
        for bad in [f64::NAN, f64::INFINITY, -0.1] {
            assert!(matches!(check_lambda(bad), Err(ConfigError::OutOfRange { .. })), "{bad}");
        }
    }
}
