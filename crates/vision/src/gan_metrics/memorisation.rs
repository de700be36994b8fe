//! Does a generator copy its training pictures?

use foldin_core::parallel::chunked;
use serde::{Deserialize, Serialize};

use super::{Rows, squared_distance};

/// Distances to the nearest training picture, of generated pictures and of real ones never trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memorisation {
    /// Mean over generated pictures.
    pub generated: f64,
    /// Mean over held-out real pictures.
    pub held_out: f64,
    /// The first over the second: near 1 is healthy, far below 1 is copying, far above 1 is unlike anything real.
    pub ratio: f64,
}

/// For each picture the nearest of `others` and its mean absolute difference per byte; ties to the first. Pictures are `size` bytes
/// each. Empty if there are no others.
///
/// # Panics
/// If `size` is 0 or does not divide the lengths.
#[must_use]
pub fn nearest_by_pixel(pictures: &[u8], others: &[u8], size: usize) -> Vec<(usize, f64)> {
    assert!(
        size > 0 && pictures.len().is_multiple_of(size) && others.len().is_multiple_of(size),
        "whole pictures"
    );
    if others.is_empty() {
        return Vec::new();
    }
    chunked(pictures.len() / size, 8, |range| {
        range
            .filter_map(|at| {
                let picture = &pictures[at * size..(at + 1) * size];
                others
                    .chunks_exact(size)
                    .map(|other| absolute_difference(picture, other))
                    .enumerate()
                    .min_by_key(|&(other, distance)| (distance, other))
                    .map(|(other, distance)| (other, distance as f64 / size as f64))
            })
            .collect::<Vec<_>>()
    })
    .concat()
}

/// Sum of absolute differences, in stretches that a 32-bit sum holds.
fn absolute_difference(a: &[u8], b: &[u8]) -> u64 {
    a.chunks(1 << 16)
        .zip(b.chunks(1 << 16))
        .map(|(x, y)| u64::from(x.iter().zip(y).map(|(p, q)| u32::from(p.abs_diff(*q))).sum::<u32>()))
        .sum()
}

/// For each vector the nearest of `others` and its Euclidean distance; ties to the first. Empty if there are no others.
///
/// # Panics
/// If the widths differ.
#[must_use]
pub fn nearest_by_feature(rows: Rows<'_>, others: Rows<'_>) -> Vec<(usize, f64)> {
    assert_eq!(rows.width(), others.width(), "features of one network");
    chunked(rows.len(), 16, |range| {
        range
            .filter_map(|at| {
                (0..others.len())
                    .map(|other| (other, squared_distance(rows.row(at), others.row(other))))
                    .min_by(|x, y| x.1.total_cmp(&y.1))
                    .map(|(other, distance)| (other, f64::from(distance).sqrt()))
            })
            .collect::<Vec<_>>()
    })
    .concat()
}

impl Memorisation {
    /// Of the nearest training picture to each generated and to each held-out one, with its distance. `None` where there are none, or all held-out
    /// pictures are copies of training ones.
    #[must_use]
    pub fn of(generated: &[(usize, f64)], held_out: &[(usize, f64)]) -> Option<Self> {
        let mean = |found: &[(usize, f64)]| {
            (!found.is_empty())
                .then(|| found.iter().map(|(_, distance)| distance).sum::<f64>() / found.len() as f64)
        };
        let (generated, held_out) = (mean(generated)?, mean(held_out)?);
        (held_out > 0.0).then(|| Self { generated, held_out, ratio: generated / held_out })
    }
}

/// By distance of feature vectors. `None` as [`Memorisation::of`].
///
/// # Panics
/// As [`nearest_by_feature`].
#[must_use]
pub fn feature_memorisation(
    generated: Rows<'_>,
    held_out: Rows<'_>,
    training: Rows<'_>,
) -> Option<Memorisation> {
    Memorisation::of(&nearest_by_feature(generated, training), &nearest_by_feature(held_out, training))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_by_hand() {
        // Pictures of two bytes.
        let training = [0, 0, 100, 100, 200, 0];
        let generated = [0, 10, 190, 0];
        let held_out = [50, 30, 100, 120];
        // Differences 10 and 10 over two bytes; held out 80 and 20 over two.
        let near = |pictures: &[u8]| nearest_by_pixel(pictures, &training, 2);
        let found = Memorisation::of(&near(&generated), &near(&held_out)).unwrap();
        assert!((found.generated - 5.0).abs() < 1e-12 && (found.held_out - 25.0).abs() < 1e-12, "{found:?}");
        assert!((found.ratio - 0.2).abs() < 1e-12);
        assert_eq!(near(&generated), vec![(0, 5.0), (2, 5.0)]);
        let same = Memorisation::of(&near(&generated), &near(&training));
        assert!(same.is_none(), "all held-out pictures are copies");
        assert!(Memorisation::of(&near(&[]), &near(&held_out)).is_none());
    }

    #[test]
    fn features_by_euclid() {
        let (training, generated, held_out) = ([0.0, 0.0, 10.0, 0.0], [3.0, 4.0], [10.0, 10.0]);
        let rows = |values| Rows::new(values, 2);
        let found = feature_memorisation(rows(&generated), rows(&held_out), rows(&training)).unwrap();
        assert!((found.generated - 5.0).abs() < 1e-9 && (found.held_out - 10.0).abs() < 1e-9);
    }
}
