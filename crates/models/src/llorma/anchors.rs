//! Directions, distances, the kernel, and anchors.

use foldin_core::Interactions;
use foldin_core::random::{Random, child_seed};
use foldin_nn::kernels::dot;
use rayon::prelude::*;

/// Training users whose mean direction is that of an anchor: enough that it is nobody's own.
const NEIGHBOURS: usize = 20;

/// Directions weighed by one task.
const CHUNK: usize = 256;

/// Rows of unit length; a row of noughts has no direction and stays.
pub(super) fn to_directions(rows: &mut [f32], k: usize) {
    for row in rows.chunks_exact_mut(k) {
        let length = dot(row, row).sqrt();
        if length > 0.0 && length.is_finite() {
            row.iter_mut().for_each(|x| *x /= length);
        } else {
            row.fill(0.0);
        }
    }
}

/// Distance of two directions in right angles: 0 for the same, 1 for unrelated ones, 2 for opposites.
pub(super) fn distance(one: &[f32], other: &[f32]) -> f32 {
    dot(one, other).clamp(-1.0, 1.0).acos() * std::f32::consts::FRAC_2_PI
}

/// The Epanechnikov kernel, 1 at distance 0: its usual factor of 3/4 cancels in every mean.
pub(super) fn kernel(distance: f32, bandwidth: f32) -> f32 {
    let relative = distance / bandwidth;
    (1.0 - relative * relative).max(0.0)
}

/// Weight of a direction for an anchor; without a direction there is none.
pub(super) fn weight(anchor: &[f32], direction: &[f32], bandwidth: f32) -> f32 {
    // Nought is exact: it was put there.
    if direction.iter().all(|&x| x == 0.0) || anchor.iter().all(|&x| x == 0.0) {
        return 0.0;
    }
    kernel(distance(anchor, direction), bandwidth)
}

/// Weights of all rows of `directions` for an anchor.
pub(super) fn weights(anchor: &[f32], directions: &[f32], bandwidth: f32) -> Vec<f32> {
    let rows = directions.par_chunks_exact(anchor.len()).with_min_len(CHUNK);
    rows.map(|direction| weight(anchor, direction, bandwidth)).collect()
}

/// Where the local models stand.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Anchors {
    /// `[anchors × k]`: unit directions of the users' side, none of them a user's own.
    pub(super) users: Vec<f32>,
    /// `[anchors × k]`: unit directions of the items' side.
    pub(super) items: Vec<f32>,
}

impl Anchors {
    /// Draws `n` of the ratings, each as likely as any other, and from each an anchor: the item's direction, and the mean of
    /// the directions of the users nearest to the one who rated.
    pub(super) fn draw(
        n: usize,
        ratings: &Interactions,
        users: &[f32],
        items: &[f32],
        k: usize,
        seed: u64,
    ) -> Self {
        let by_user = ratings.by_user();
        let mut random = Random::new(child_seed(seed, "llorma anchors"));
        let drawn: Vec<(usize, usize)> = (0..n)
            .map(|_| {
                let at = random.below(by_user.n_entries());
                let user = by_user.offsets().partition_point(|&offset| offset <= at) - 1;
                (user, by_user.columns()[at] as usize)
            })
            .collect();
        let row = |rows: &[f32], at: usize| rows[at * k..(at + 1) * k].to_vec();
        Self {
            users: drawn.par_iter().flat_map_iter(|&(user, _)| centre(&row(users, user), users)).collect(),
            items: drawn.iter().flat_map(|&(_, item)| row(items, item)).collect(),
        }
    }
}

/// The mean direction of the rows nearest to one, ties to the lowest number.
pub(super) fn centre(of: &[f32], directions: &[f32]) -> Vec<f32> {
    let k = of.len();
    let mut near: Vec<(f32, usize)> =
        directions.chunks_exact(k).enumerate().map(|(row, other)| (distance(of, other), row)).collect();
    let order =
        |one: &(f32, usize), other: &(f32, usize)| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1));
    if near.len() > NEIGHBOURS {
        near.select_nth_unstable_by(NEIGHBOURS, order);
        near.truncate(NEIGHBOURS);
    }
    near.sort_unstable_by(order);
    let mut sum = vec![0.0f64; k];
    for &(_, row) in &near {
        let direction = &directions[row * k..(row + 1) * k];
        sum.iter_mut().zip(direction).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    let mut mean: Vec<f32> = sum.iter().map(|&sum| sum as f32).collect();
    to_directions(&mut mean, k);
    mean
}
