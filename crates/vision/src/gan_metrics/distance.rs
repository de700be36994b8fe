//! Distances between two sets of feature vectors.

use foldin_core::random::Random;
use foldin_nn::linalg::symmetric_eigen;

use super::Rows;

/// Mean `[d]` and unbiased covariance `[d × d]`.
fn moments(rows: Rows<'_>) -> (Vec<f64>, Vec<f64>) {
    let (n, d) = (rows.len(), rows.width());
    let mut mean = vec![0.0; d];
    for at in 0..n {
        for (sum, &x) in mean.iter_mut().zip(rows.row(at)) {
            *sum += f64::from(x);
        }
    }
    for sum in &mut mean {
        *sum /= n as f64;
    }
    let mut covariance = vec![0.0; d * d];
    let mut centred = vec![0.0; d];
    for at in 0..n {
        for ((out, &x), &m) in centred.iter_mut().zip(rows.row(at)).zip(&mean) {
            *out = f64::from(x) - m;
        }
        for i in 0..d {
            let x = centred[i];
            for (sum, &y) in covariance[i * d..(i + 1) * d].iter_mut().zip(&centred) {
                *sum += x * y;
            }
        }
    }
    for sum in &mut covariance {
        *sum /= (n - 1) as f64;
    }
    (mean, covariance)
}

/// `a · b` of square matrices.
fn product(a: &[f64], b: &[f64], d: usize) -> Vec<f64> {
    let mut out = vec![0.0; d * d];
    for i in 0..d {
        for k in 0..d {
            let x = a[i * d + k];
            for (sum, &y) in out[i * d..(i + 1) * d].iter_mut().zip(&b[k * d..(k + 1) * d]) {
                *sum += x * y;
            }
        }
    }
    out
}

/// The Fréchet distance of the Gaussians fitted to two sets,
/// `‖m₁ − m₂‖² + Tr(S₁ + S₂ − 2 (S₁ S₂)^½)` (Heusel and others, 2017, with our own features in place of Inception's). `None` if a set
/// has fewer than two vectors.
///
/// The root is taken of the symmetric `S₁^½ S₂ S₁^½`, which has the same eigenvalues: no complex rounding has to be cut off. The
/// estimate is biased upwards in small samples, so compare sets of equal size.
///
/// # Panics
/// If the widths differ.
///
/// # Examples
/// ```
/// use foldin_vision::gan_metrics::{Rows, frechet_distance};
///
/// let here = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
/// let there = here.map(|x| x + 3.0);
/// let distance = frechet_distance(Rows::new(&here, 2), Rows::new(&there, 2)).expect("two vectors at least");
/// // The same cloud three further along both axes: only the means differ.
/// assert!((distance - 18.0).abs() < 1e-6);
/// ```
#[must_use]
pub fn frechet_distance(first: Rows<'_>, second: Rows<'_>) -> Option<f64> {
    assert_eq!(first.width(), second.width(), "features of one network");
    if first.len() < 2 || second.len() < 2 {
        return None;
    }
    let d = first.width();
    let (first_mean, first_covariance) = moments(first);
    let (second_mean, second_covariance) = moments(second);
    let eigen = symmetric_eigen(&first_covariance, d);
    // S₁^½ = Σ √λ v vᵀ.
    let mut root = vec![0.0; d * d];
    for (vector, &value) in eigen.vectors.chunks_exact(d).zip(&eigen.values) {
        let scale = value.max(0.0).sqrt();
        for i in 0..d {
            for j in 0..d {
                root[i * d + j] += scale * vector[i] * vector[j];
            }
        }
    }
    let inner = product(&product(&root, &second_covariance, d), &root, d);
    let cross: f64 = symmetric_eigen(&inner, d).values.iter().map(|value| value.max(0.0).sqrt()).sum();
    let means: f64 = first_mean.iter().zip(&second_mean).map(|(x, y)| (x - y) * (x - y)).sum();
    let traces: f64 = (0..d).map(|i| first_covariance[i * d + i] + second_covariance[i * d + i]).sum();
    Some((means + traces - 2.0 * cross).max(0.0))
}

/// A kernel distance with its uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct KernelDistance {
    /// Mean of the blocks.
    pub mean: f64,
    /// Standard error of that mean, of the draw of the blocks; none where a set is no larger than a block, or there is one block.
    pub standard_error: Option<f64>,
}

/// Squared maximum mean discrepancy under `k(x, y) = (x·y / d + 1)³`, unbiased: pairs of a vector with itself are left out, so
/// that it averages 0, not above, for two samples of one distribution (Bińkowski and others, 2018). `None` if a set has fewer
/// than two vectors.
///
/// # Panics
/// If the widths differ.
#[must_use]
pub fn kernel_distance_whole(first: Rows<'_>, second: Rows<'_>) -> Option<f64> {
    let all = |rows: Rows<'_>| (0..rows.len()).collect::<Vec<_>>();
    block_distance(first, second, &all(first), &all(second))
}

fn block_distance(first: Rows<'_>, second: Rows<'_>, left: &[usize], right: &[usize]) -> Option<f64> {
    assert_eq!(first.width(), second.width(), "features of one network");
    if left.len() < 2 || right.len() < 2 {
        return None;
    }
    let kernel = |x: &[f32], y: &[f32]| {
        let dot: f64 = x.iter().zip(y).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        (dot / x.len() as f64 + 1.0).powi(3)
    };
    // Twice the sum over unordered pairs, over the number of ordered ones.
    let within = |rows: Rows<'_>, chosen: &[usize]| {
        let mut sum = 0.0;
        for (at, &i) in chosen.iter().enumerate() {
            for &j in &chosen[..at] {
                sum += kernel(rows.row(i), rows.row(j));
            }
        }
        2.0 * sum / (chosen.len() * (chosen.len() - 1)) as f64
    };
    let mut across = 0.0;
    for &i in left {
        for &j in right {
            across += kernel(first.row(i), second.row(j));
        }
    }
    across /= (left.len() * right.len()) as f64;
    Some(within(first, left) + within(second, right) - 2.0 * across)
}

/// [`kernel_distance_whole`] as a mean over `blocks` random blocks of `size` vectors of each set (fewer where a set is smaller),
/// which gives it a standard error and keeps the cost linear. The error is of the draw alone: blocks of a set that is not many times as
/// large have much in common. `None` if a set has fewer than two vectors or `blocks` is 0.
///
/// # Panics
/// If the widths differ.
#[must_use]
pub fn kernel_distance(
    first: Rows<'_>,
    second: Rows<'_>,
    size: usize,
    blocks: usize,
    seed: u64,
) -> Option<KernelDistance> {
    let mut random = Random::new(seed);
    let mut draw = |n: usize| {
        let mut order: Vec<usize> = (0..n).collect();
        random.shuffle(&mut order);
        order.truncate(size);
        order
    };
    let values = (0..blocks)
        .map(|_| {
            let (left, right) = (draw(first.len()), draw(second.len()));
            block_distance(first, second, &left, &right)
        })
        .collect::<Option<Vec<f64>>>()?;
    let n = values.len() as f64;
    if values.is_empty() {
        return None;
    }
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n - 1.0).max(1.0);
    let varies = blocks > 1 && first.len().min(second.len()) > size;
    Some(KernelDistance { mean, standard_error: varies.then(|| (variance / n).sqrt()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frechet_of_one_dimension_is_of_means_and_deviations() {
        // Mean 2, deviation 2·√(4/3)… of four numbers against the same stretched by 3 and moved by 5.
        let first: Vec<f32> = vec![0.0, 1.0, 3.0, 4.0];
        let second: Vec<f32> = first.iter().map(|x| 3.0 * x + 5.0).collect();
        let variance = (4.0 + 1.0 + 1.0 + 4.0) / 3.0f64;
        let expected = (2.0 - 11.0f64).powi(2) + (variance.sqrt() - 3.0 * variance.sqrt()).powi(2);
        let distance = frechet_distance(Rows::new(&first, 1), Rows::new(&second, 1)).unwrap();
        assert!((distance - expected).abs() < 1e-9, "{distance} {expected}");
    }

    /// For 2 × 2 matrices `Tr √M = √(Tr M + 2 √det M)`: exact for covariances that do not commute.
    #[test]
    fn frechet_of_known_covariances_that_do_not_commute() {
        // Four points ±a, ±b have mean 0 and covariance 2/3 (a aᵀ + b bᵀ).
        let cross = |a: [f32; 2], b: [f32; 2]| vec![a[0], a[1], -a[0], -a[1], b[0], b[1], -b[0], -b[1]];
        let covariance = |a: [f64; 2], b: [f64; 2]| {
            let entry = |i: usize, j: usize| 2.0 / 3.0 * (a[i] * a[j] + b[i] * b[j]);
            [entry(0, 0), entry(0, 1), entry(1, 0), entry(1, 1)]
        };
        let (a, b, c, d) = ([3.0, 1.0], [0.0, 2.0], [1.0, -2.0], [4.0, 0.5]);
        let (s, t) = (covariance([3.0, 1.0], [0.0, 2.0]), covariance([1.0, -2.0], [4.0, 0.5]));
        let det = |m: [f64; 4]| m[0] * m[3] - m[1] * m[2];
        let trace_of_product = s[0] * t[0] + s[1] * t[2] + s[2] * t[1] + s[3] * t[3];
        let root = (trace_of_product + 2.0 * (det(s) * det(t)).sqrt()).sqrt();
        let expected = s[0] + s[3] + t[0] + t[3] - 2.0 * root;
        assert!((s[0] * t[1] + s[1] * t[3] - (t[0] * s[1] + t[1] * s[3])).abs() > 1.0, "they commute");
        let (first, second) = (cross(a, b), cross(c, d));
        let distance = frechet_distance(Rows::new(&first, 2), Rows::new(&second, 2)).unwrap();
        assert!((distance - expected).abs() < 1e-9, "{distance} {expected}");
        let itself = frechet_distance(Rows::new(&first, 2), Rows::new(&first, 2)).unwrap();
        assert!(itself < 1e-9, "{itself}");
        assert!(frechet_distance(Rows::new(&first[..2], 2), Rows::new(&second, 2)).is_none());
    }

    /// Over all blocks of three of five vectors each, an unbiased estimate averages what all five give.
    #[test]
    fn kernel_distance_is_unbiased_and_as_by_hand() {
        let first: Vec<f32> = vec![0.0, 1.0, 0.5, -1.0, 2.0, 0.0, 1.0, 1.0, -0.5, 0.25];
        let second: Vec<f32> = vec![1.0, 0.0, -1.0, -1.0, 0.0, 3.0, 0.5, 0.5, 2.0, -2.0];
        let (first, second) = (Rows::new(&first, 2), Rows::new(&second, 2));
        let whole = kernel_distance_whole(first, second).unwrap();
        let mut blocks = Vec::new();
        for i in 0..5 {
            for j in 0..i {
                for k in 0..j {
                    blocks.push([i, j, k]);
                }
            }
        }
        let mut sum = 0.0;
        for left in &blocks {
            for right in &blocks {
                sum += block_distance(first, second, left, right).unwrap();
            }
        }
        let mean = sum / (blocks.len() * blocks.len()) as f64;
        assert!((mean - whole).abs() < 1e-9, "{mean} {whole}");
        // By hand, of two vectors a side: k(0,1)=1, k(2,3)=(6+1)³, the four crossings 1, 1, 27, 64.
        let by_hand = kernel_distance_whole(Rows::new(&[0.0, 1.0], 1), Rows::new(&[2.0, 3.0], 1)).unwrap();
        assert!((by_hand - (1.0 + 343.0 - 2.0 * (1.0 + 1.0 + 27.0 + 64.0) / 4.0)).abs() < 1e-9);
    }

    #[test]
    fn kernel_distance_of_one_distribution_is_zero_within_its_error() {
        let mut random = Random::new(5);
        let mut sample = |n: usize, shift: f64| -> Vec<f32> {
            (0..n * 4).map(|_| (random.normal() + shift) as f32).collect()
        };
        let (a, b, c) = (sample(400, 0.0), sample(400, 0.0), sample(400, 0.3));
        let same = kernel_distance(Rows::new(&a, 4), Rows::new(&b, 4), 100, 50, 1).unwrap();
        let other = kernel_distance(Rows::new(&a, 4), Rows::new(&c, 4), 100, 50, 1).unwrap();
        assert!(same.mean.abs() < 0.05, "{same:?}");
        assert!(other.mean > 5.0 * same.mean.abs() && other.mean > 0.1, "{other:?}");
    }
}
