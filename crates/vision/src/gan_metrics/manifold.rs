//! Quality and variety apart, by balls around feature vectors.

use foldin_core::parallel::chunked;
use serde::{Deserialize, Serialize};

use super::{Rows, squared_distance};

/// Shares of two sets of vectors that lie in one another's neighbourhood.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifold {
    /// Share of generated vectors within the ball of some real one (Kynkäänniemi and others, 2019): quality.
    pub precision: f64,
    /// Share of real vectors within the ball of some generated one: variety.
    pub recall: f64,
    /// Balls of real vectors that a generated one lies in, over `k` (Naeem and others, 2020): quality, without one outlier's huge
    /// ball deciding; 1 for a perfect generator, and it may be above.
    pub density: f64,
    /// Share of real vectors with a generated one in their ball: variety.
    pub coverage: f64,
}

/// Squared distance of each vector to its `k`-th nearest other one.
fn radii(rows: Rows<'_>, k: usize) -> Vec<f32> {
    chunked(rows.len(), 16, |range| {
        range
            .map(|i| {
                let mut distances: Vec<f32> = (0..rows.len())
                    .filter(|&j| j != i)
                    .map(|j| squared_distance(rows.row(i), rows.row(j)))
                    .collect();
                let (_, nearest, _) = distances.select_nth_unstable_by(k - 1, f32::total_cmp);
                *nearest
            })
            .collect::<Vec<f32>>()
    })
    .concat()
}

/// Precision and recall with balls to the `k_precision`-th neighbour (3 is usual), density and coverage to the `k_density`-th (5).
/// `None` if a set has not more vectors than neighbours asked for, or no neighbour is.
///
/// Both sets should be equally large. O(n² d).
///
/// # Panics
/// If the widths differ.
///
/// # Examples
/// ```
/// use foldin_vision::gan_metrics::{Rows, manifold};
///
/// let real: Vec<f32> = (0..20).map(|x| x as f32).collect();
/// // As good as real ones, but of one half of what there is.
/// let generated: Vec<f32> = (0..20).map(|x| 0.25 + x as f32 / 2.0).collect();
/// let found = manifold(Rows::new(&real, 1), Rows::new(&generated, 1), 3, 5).expect("enough vectors");
/// assert_eq!(found.precision, 1.0);
/// assert!(found.recall < 0.7 && found.coverage < 0.9, "{found:?}");
/// ```
#[must_use]
pub fn manifold(
    real: Rows<'_>,
    generated: Rows<'_>,
    k_precision: usize,
    k_density: usize,
) -> Option<Manifold> {
    assert_eq!(real.width(), generated.width(), "features of one network");
    let least = k_precision.max(k_density);
    if k_precision.min(k_density) == 0 || real.len() <= least || generated.len() <= least {
        return None;
    }
    let real_radii = radii(real, k_precision);
    let generated_radii = radii(generated, k_precision);
    let density_radii = radii(real, k_density);
    // Per real vector: is it in a generated ball, how many generated ones are in its density ball; per generated one: is it in a real ball.
    let per_real = chunked(real.len(), 16, |range| {
        range
            .map(|i| {
                let mut recalled = false;
                let mut inside = 0usize;
                let mut hit = Vec::new();
                for j in 0..generated.len() {
                    let distance = squared_distance(real.row(i), generated.row(j));
                    recalled |= distance <= generated_radii[j];
                    inside += usize::from(distance <= density_radii[i]);
                    if distance <= real_radii[i] {
                        hit.push(j);
                    }
                }
                (recalled, inside, hit)
            })
            .collect::<Vec<_>>()
    })
    .concat();
    let mut precise = vec![false; generated.len()];
    for &at in per_real.iter().flat_map(|(_, _, hit)| hit) {
        precise[at] = true;
    }
    let share = |count: usize, of: usize| count as f64 / of as f64;
    Some(Manifold {
        precision: share(precise.iter().filter(|hit| **hit).count(), generated.len()),
        recall: share(per_real.iter().filter(|(recalled, _, _)| *recalled).count(), real.len()),
        density: share(per_real.iter().map(|(_, inside, _)| inside).sum(), k_density * generated.len()),
        coverage: share(per_real.iter().filter(|(_, inside, _)| *inside > 0).count(), real.len()),
    })
}

/// Accuracy of "my side is that of my nearest other vector", for the real and for the generated vectors; one half each for a perfect
/// generator, near 1 for one that is easily told apart, below one half where it copies. `None` if a set is empty.
///
/// # Panics
/// If the widths differ.
#[must_use]
pub fn nearest_neighbour_test(real: Rows<'_>, generated: Rows<'_>) -> Option<(f64, f64)> {
    assert_eq!(real.width(), generated.width(), "features of one network");
    if real.is_empty() || generated.is_empty() {
        return None;
    }
    let accuracy = |own: Rows<'_>, other: Rows<'_>| {
        let right: usize = chunked(own.len(), 16, |range| {
            range
                .filter(|&i| {
                    let nearest = |rows: Rows<'_>, skip: Option<usize>| {
                        (0..rows.len())
                            .filter(|&j| Some(j) != skip)
                            .map(|j| squared_distance(own.row(i), rows.row(j)))
                            .fold(f32::INFINITY, f32::min)
                    };
                    nearest(own, Some(i)) < nearest(other, None)
                })
                .count()
        })
        .into_iter()
        .sum();
        right as f64 / own.len() as f64
    };
    Some((accuracy(real, generated), accuracy(generated, real)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    /// On a line, with one neighbour: real 0, 1, 4 have radii 1, 1, 3; generated 0.5, 6, 20 have 5.5, 5.5, 14.
    #[test]
    fn as_by_hand() {
        let (real, generated) = ([0.0, 1.0, 4.0], [0.5, 6.0, 20.0]);
        let found = manifold(Rows::new(&real, 1), Rows::new(&generated, 1), 1, 1).unwrap();
        // 0.5 lies in the balls of 0 and 1, 6 in that of 4, 20 in none.
        assert!((found.precision - 2.0 / 3.0).abs() < 1e-12);
        // 0.5's ball reaches all three.
        assert!((found.recall - 1.0).abs() < 1e-12);
        // Memberships: 0.5 in those of 0 and 1 (4 is 3.5 away), 6 in that of 4: three over 1 · 3.
        assert!((found.density - 1.0).abs() < 1e-12);
        assert!((found.coverage - 1.0).abs() < 1e-12);
        assert!(manifold(Rows::new(&real, 1), Rows::new(&generated, 1), 3, 1).is_none());
        assert!(manifold(Rows::new(&real, 1), Rows::new(&generated, 1), 0, 1).is_none());
    }

    /// The check of the reference implementation, smaller: two samples of N(0, I) have density and coverage near 1 in high
    /// dimension, and precision equal to recall.
    #[test]
    fn two_samples_of_one_gaussian() {
        let mut random = Random::new(2);
        let mut sample = || (0..600 * 200).map(|_| random.normal() as f32).collect::<Vec<_>>();
        let (real, generated) = (sample(), sample());
        let found = manifold(Rows::new(&real, 200), Rows::new(&generated, 200), 5, 5).unwrap();
        assert!((found.precision - found.recall).abs() < 0.1, "{found:?}");
        assert!((found.density - 1.0).abs() < 0.15, "{found:?}");
        assert!((found.coverage - 0.97).abs() < 0.03, "{found:?}");
    }

    #[test]
    fn a_generator_of_one_picture_has_quality_without_variety() {
        let mut random = Random::new(3);
        let real: Vec<f32> = (0..200 * 8).map(|_| random.normal() as f32).collect();
        let generated: Vec<f32> = (0..200 * 8).map(|_| random.normal() as f32 * 0.05).collect();
        let found = manifold(Rows::new(&real, 8), Rows::new(&generated, 8), 3, 5).unwrap();
        assert!(found.precision > 0.99 && found.density > 1.0, "{found:?}");
        assert!(found.recall < 0.05 && found.coverage < 0.5, "{found:?}");
    }

    #[test]
    fn neighbours_tell_sides_apart_where_they_can() {
        let (real, far) = ([0.0, 1.0, 2.0], [100.0, 101.0, 102.0]);
        assert_eq!(nearest_neighbour_test(Rows::new(&real, 1), Rows::new(&far, 1)), Some((1.0, 1.0)));
        // Copies: the nearest is always of the other side (a tie counts as such).
        assert_eq!(nearest_neighbour_test(Rows::new(&real, 1), Rows::new(&real, 1)), Some((0.0, 0.0)));
    }
}
