//! Generated ratings with the shape of real ones: few items are popular, few users rate much.

use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{Csr, Feedback, Interactions, RatingScale};

/// How large, and on which scale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Number of users.
    pub n_users: usize,
    /// Number of items.
    pub n_items: usize,
    /// Ratings of a user on average; a quarter of it at least, which leaves few users with many.
    pub per_user: usize,
}

impl Shape {
    /// As MovieLens 100K: about 100,000 ratings.
    pub const ML_100K: Self = Self { n_users: 943, n_items: 1682, per_user: 106 };
    /// As MovieLens 1M: about a million ratings.
    pub const ML_1M: Self = Self { n_users: 6040, n_items: 3706, per_user: 166 };
    /// A wide catalogue: 100,000 items, 150 ratings a user.
    pub const WIDE: Self = Self { n_users: 4000, n_items: 100_000, per_user: 150 };
    /// Small enough to run in a blink, for smoke runs.
    pub const SMALL: Self = Self { n_users: 60, n_items: 80, per_user: 12 };
}

/// Ratings 1 to 5 of a shape: biases of users and items with noise. The same seed gives the same ratings.
///
/// # Panics
/// If the shape has fewer items than ratings a user.
#[must_use]
pub fn ratings(shape: Shape, seed: u64) -> Interactions {
    assert!(shape.per_user * 2 <= shape.n_items, "a user rates at most half of the items");
    let mut random = Random::new(child_seed(seed, "generated items"));
    let bias: Vec<f64> = (0..shape.n_items).map(|_| 0.5 * random.normal()).collect();
    let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
    for user in 0..shape.n_users {
        let mut random = Random::new(numbered_seed(seed, "generated user", user as u64));
        let generous = 0.4 * random.normal();
        // As in MovieLens 1M, whose mean is 166, median 96 and least 20: log-normal, of that ratio.
        let (mean, median) = (shape.per_user as f64, 0.56 * shape.per_user as f64);
        let spread = (2.0 * (mean / median).ln()).sqrt();
        let count = (median * (spread * random.normal()).exp()).max(0.12 * mean);
        for item in choose(shape.n_items, (count as usize).clamp(1, shape.n_items / 2), &mut random) {
            let value = 3.5 + generous + bias[item as usize] + 0.8 * random.normal();
            columns.push(item);
            values.push(value.round().clamp(1.0, 5.0) as f32);
        }
        offsets.push(columns.len());
    }
    let csr = Csr::from_parts(shape.n_items, offsets, columns, values).expect("items ascend");
    let scale = RatingScale { min: 1.0, max: 5.0, step: Some(1.0) };
    Interactions::new(csr, None, Feedback::Explicit(scale)).expect("values lie on the scale")
}

/// `n` histories of exactly `length` ratings, items ascending.
///
/// # Panics
/// If `length` exceeds half of the items.
#[must_use]
pub fn histories(n: usize, length: usize, n_items: usize, seed: u64) -> Vec<(Vec<u32>, Vec<f32>)> {
    assert!(length * 2 <= n_items, "a history holds at most half of the items");
    (0..n)
        .map(|at| {
            let mut random = Random::new(numbered_seed(seed, "generated history", at as u64));
            let items = choose(n_items, length, &mut random);
            let values = items.iter().map(|_| 1.0 + random.below(5) as f32).collect();
            (items, values)
        })
        .collect()
}

/// Distinct items, the low numbers much more often than the high ones; ascending.
fn choose(n_items: usize, count: usize, random: &mut Random) -> Vec<u32> {
    let mut chosen = std::collections::BTreeSet::new();
    while chosen.len() < count {
        // The square of a uniform number: half of all draws fall on the first quarter of the items.
        let draw = random.uniform();
        chosen.insert((draw * draw * n_items as f64) as u32);
    }
    chosen.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_kept() {
        let all = ratings(Shape::ML_100K, 1);
        assert_eq!((all.n_users(), all.n_items()), (943, 1682));
        let mean = all.len() as f64 / 943.0;
        assert!((90.0..120.0).contains(&mean), "{mean} ratings a user");
        assert_eq!(all.fingerprint(), ratings(Shape::ML_100K, 1).fingerprint());
    }

    #[test]
    fn histories_have_their_length() {
        for (items, values) in histories(3, 40, 100, 1) {
            assert_eq!((items.len(), values.len()), (40, 40));
            assert!(items.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }
}
