//! What a few clicks foretell of the factors that a user has once all clicks are known.
//!
//! A posterior about 0 takes what was not clicked for disliked. Of somebody who gave three items that is wrong: the rest is unknown. So
//! factors of short histories are foretold instead, as training users show it when they give `n` of their own clicks:
//!
//! `û = c_n + W_n' f` with `f = 1/|H| Σ_{i∈H} g_i` and `g_i = m_i / n_i^c`,
//! where `W_n`, `c_n` minimise `Σ_v mean_H |u_v − û(H)|² + ridge |W_n|²` over all histories `H` of `n` of the clicks of `v`, or of all if there are
//! fewer,
//!
//! `u_v` being the user's factors by all clicks `A_v`, `L` of them, and `n_i` the number of users of an item. Nobody needs to draw histories: for
//! `n < L` the mean of `f` is the mean `ḡ_v` of all, and that of `f f'` is `a Σ_{i∈A_v} g_i g_i' + b ḡ_v ḡ_v'` with `a = (L − n) / (n L (L − 1))` and
//! `b = (n − 1) L / (n (L − 1))`. The first is, over all users, one Gram matrix of items, each weighing the sum of the `a` of its users. The same
//! idea, for weights of pairs of items, makes a linear autoencoder see through dropped inputs (Steck 2020, "Autoencoders that don't overfit
//! towards the identity").
//!
//! Time O(clicks · k) once, O(clicks + (U + N) k² + k³) for each `n` that is learned, and O((|H| + k) k) for a user, who needs no regression.

use foldin_core::{FitError, Interactions, ModelFamily};
use foldin_nn::matmul::{Matrix, matmul};
use foldin_nn::ridge::Gram;
use rayon::prelude::*;

use super::LfgRank;
use super::knots::{KNOTS, SHORT};
use crate::click_fold_in::mean_of_rows;
use crate::regression::Regression;

/// The ridge, as a part of the mean variance of the columns of `f`. On MovieLens 100K anything up to a fiftieth ranks the same; a tenth is worse.
const RIDGE: f64 = 0.01;

/// Lengths that are learned: of the [`KNOTS`] all behind 0 up to the first that is not [short](super::knots::SHORT).
pub(super) const LEARNED: usize = {
    let mut at = 0;
    while KNOTS[at] <= SHORT {
        at += 1;
    }
    at
};

/// What histories foretell of the factors of one member.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Foretold {
    /// `[N]`: what items weigh in a history.
    pub(super) damping: Vec<f32>,
    /// `[(k + 1) × k]` for each length learned: `W_n`, and `c_n` behind it.
    pub(super) maps: Vec<Vec<f32>>,
}

/// `n_i^−c` of all items. One without clicks, which side information may have placed among the others, is damped as these are on average.
pub(super) fn damping(clicks: &Interactions, exponent: f32) -> Vec<f32> {
    let by_item = clicks.by_item();
    let counts = || (0..clicks.n_items()).map(|item| by_item.row_len(item));
    let power = |n: usize| (n as f64).powf(-f64::from(exponent));
    let (sum, n) =
        counts().filter(|&n| n > 0).fold((0.0, 0usize), |(sum, count), n| (sum + power(n), count + 1));
    let mean = if n > 0 { sum / n as f64 } else { 1.0 };
    counts().map(|n| if n > 0 { power(n) } else { mean } as f32).collect()
}

impl Foretold {
    /// Learns from users `[U × k]` who have all their clicks, and items `[N × k]`.
    ///
    /// # Errors
    /// [`FitError::Diverged`] for factors that are too large.
    pub(super) fn learn(
        clicks: &Interactions,
        users: &[f32],
        items: &[f32],
        k: usize,
        damping: Vec<f32>,
    ) -> Result<Self, FitError> {
        let (by_user, by_item) = (clicks.by_user(), clicks.by_item());
        let known: Vec<usize> = (0..clicks.n_users()).filter(|&user| by_user.row_len(user) > 0).collect();
        let mut means = vec![0.0; known.len() * k];
        means.par_chunks_exact_mut(k).zip(&known).for_each(|(out, &user)| {
            mean_of(by_user.row(user).0, &damping, items, out);
        });
        let mut targets: Vec<f32> =
            known.iter().flat_map(|&user| &users[user * k..(user + 1) * k]).copied().collect();
        let (centre, mean) = (about_mean(&mut means, k), about_mean(&mut targets, k));
        let mut cross = vec![0.0; k * k];
        let rows = Matrix::new(&means, known.len(), k);
        matmul(rows.transposed(), Matrix::new(&targets, known.len(), k), false, &mut cross);
        let cross: Vec<f64> = cross.into_iter().map(f64::from).collect();
        let maps = KNOTS[1..=LEARNED].iter().map(|&n| {
            let weights: Vec<(f64, f64)> =
                (0..clicks.n_users()).map(|user| weights(n, by_user.row_len(user))).collect();
            let of_users = Gram::new(k, known.len(), |at, row| {
                let root = weights[known[at]].1.sqrt() as f32;
                row.iter_mut().zip(&means[at * k..(at + 1) * k]).for_each(|(out, x)| *out = root * x);
                row[k] = 0.0;
            });
            let of_items = Gram::new(k, clicks.n_items(), |item, row| {
                let sum: f64 = by_item.row(item).0.iter().map(|&user| weights[user as usize].0).sum();
                let root = sum.sqrt() as f32;
                let factors = items[item * k..(item + 1) * k].iter().zip(&centre);
                let pairs = row.iter_mut().zip(factors);
                pairs.for_each(|(out, (m, centre))| *out = root * (damping[item] * m - centre));
                row[k] = 0.0;
            });
            let pairs = of_users.square().into_iter().zip(of_items.square());
            let gram: Vec<f64> = pairs.map(|(users, items)| f64::from(users) + f64::from(items)).collect();
            let trace: f64 = gram.iter().step_by(k + 1).sum();
            // Without any variance, as with one item, there is nothing to foretell by.
            let ridge = (RIDGE * trace / k as f64).max(1e-30);
            let what = "the Gram matrix of the histories";
            let mut map = Regression::new(LfgRank::NAME, what, gram, ridge, None)?.solve(&cross, k);
            let mut constant: Vec<f64> = mean.iter().copied().map(f64::from).collect();
            for (row, &centre) in map.chunks_exact(k).zip(&centre) {
                let pairs = constant.iter_mut().zip(row);
                pairs.for_each(|(out, &weight)| *out -= f64::from(centre) * f64::from(weight));
            }
            map.extend(constant.into_iter().map(|x| x as f32));
            Ok(map)
        });
        let maps = maps.collect::<Result<Vec<_>, FitError>>()?;
        Ok(Self { damping, maps })
    }

    /// Factors of somebody with this history, which is not empty, of items `[N × k]`; between the lengths that are learned, what these say is
    /// interpolated in the logarithm.
    pub(super) fn factors(&self, history: &[u32], items: &[f32], k: usize) -> Vec<f32> {
        let mut mean = vec![0.0; k];
        mean_of(history, &self.damping, items, &mut mean);
        let place = (history.len().max(1) as f32).log2().min((LEARNED - 1) as f32);
        let (at, part) = (place as usize, place.fract());
        let mut out = vec![0.0; k];
        for (map, share) in [(at, 1.0 - part), (at + 1, part)] {
            if share > 0.0 {
                let (weights, constant) = self.maps[map].split_at(k * k);
                out.iter_mut().zip(constant).for_each(|(out, x)| *out += share * x);
                for (row, &x) in weights.chunks_exact(k).zip(&mean) {
                    out.iter_mut().zip(row).for_each(|(out, weight)| *out += share * x * weight);
                }
            }
        }
        out
    }
}

/// `a` and `b` of somebody with `all` clicks who gives `n` of them.
fn weights(n: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 0.0);
    }
    if n >= all {
        return (0.0, 1.0);
    }
    let (n, all) = (n as f64, all as f64);
    ((all - n) / (n * all * (all - 1.0)), (n - 1.0) * all / (n * (all - 1.0)))
}

/// The mean of the damped factors of a history.
fn mean_of(history: &[u32], damping: &[f32], items: &[f32], out: &mut [f32]) {
    let k = out.len();
    out.fill(0.0);
    for &item in history {
        let item = item as usize;
        let factors = &items[item * k..(item + 1) * k];
        out.iter_mut().zip(factors).for_each(|(out, m)| *out += damping[item] * m);
    }
    let n = history.len().max(1) as f32;
    out.iter_mut().for_each(|x| *x /= n);
}

/// Takes the mean row from all rows; the mean.
fn about_mean(rows: &mut [f32], k: usize) -> Vec<f32> {
    let mean = mean_of_rows(rows, k);
    for row in rows.chunks_exact_mut(k) {
        row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean);
    }
    mean
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;
    use foldin_core::{Csr, Feedback};

    /// All subsets of `n` of `history`.
    fn subsets(history: &[u32], n: usize) -> Vec<Vec<u32>> {
        match (n, history.split_first()) {
            (0, _) => vec![Vec::new()],
            (_, None) => Vec::new(),
            (_, Some((&first, rest))) => {
                let mut with = subsets(rest, n - 1);
                with.iter_mut().for_each(|subset| subset.insert(0, first));
                with.extend(subsets(rest, n));
                with
            }
        }
    }

    /// The slope of the objective over every history that could be drawn, written out, is nought.
    #[test]
    fn maps_solve_the_regression_over_all_histories() {
        let k = 3;
        let rows: [&[u32]; 6] = [&[0, 1, 2, 5], &[1, 3], &[4], &[], &[0, 2, 3, 4, 6], &[1, 5, 6]];
        let triples: Vec<(u32, u32, f32)> = (0u32..)
            .zip(rows)
            .flat_map(|(user, row)| row.iter().map(move |&item| (user, item, 1.0)))
            .collect();
        let csr = Csr::from_triples(rows.len(), 8, &triples).unwrap();
        let clicks = Interactions::new(csr, None, Feedback::Implicit).unwrap();
        let mut random = Random::new(5);
        let mut draw = |n: usize| -> Vec<f32> { (0..n).map(|_| random.normal() as f32).collect() };
        let (items, users) = (draw(8 * k), draw(rows.len() * k));
        let damping = damping(&clicks, 0.4);
        assert_eq!(damping[0], 2f32.powf(-0.4));
        let others = damping[..7].iter().sum::<f32>() / 7.0;
        assert!((damping[7] - others).abs() < 1e-6, "nobody has the last");
        let foretold = Foretold::learn(&clicks, &users, &items, k, damping).unwrap();
        for (at, &n) in KNOTS[1..=LEARNED].iter().enumerate() {
            // Inputs of every history with its weight, its user's factors beside it.
            let mut histories = Vec::new();
            for (user, row) in rows.iter().enumerate().filter(|(_, row)| !row.is_empty()) {
                let all = subsets(row, n.min(row.len()));
                for history in &all {
                    let mut f = vec![0.0; k];
                    mean_of(history, &foretold.damping, &items, &mut f);
                    histories.push((1.0 / all.len() as f64, f, &users[user * k..(user + 1) * k]));
                }
            }
            let total: f64 = histories.iter().map(|(weight, ..)| weight).sum();
            let column = |column: usize, of: fn(f64, f64) -> f64, centre: f64| -> f64 {
                let values = histories.iter().map(|(weight, f, _)| weight * of(f64::from(f[column]), centre));
                values.sum::<f64>()
            };
            let variance: f64 = (0..k)
                .map(|at| {
                    let centre = column(at, |x, _| x, 0.0) / total;
                    column(at, |x, centre| (x - centre).powi(2), centre)
                })
                .sum();
            let (map, constant) = foretold.maps[at].split_at(k * k);
            for j in 0..k {
                let mut slope = vec![0.0; k + 1];
                for (weight, f, u) in &histories {
                    let foretold: f64 = (0..k).map(|i| f64::from(f[i]) * f64::from(map[i * k + j])).sum();
                    let error = weight * (foretold + f64::from(constant[j]) - f64::from(u[j]));
                    (0..k).for_each(|i| slope[i] += error * f64::from(f[i]));
                    slope[k] += error;
                }
                for (i, slope) in slope.iter().enumerate() {
                    let ridge = map.get(i * k + j).filter(|_| i < k).map_or(0.0, |&w| f64::from(w));
                    let slope = slope + RIDGE * variance / k as f64 * ridge;
                    assert!(slope.abs() < 1e-5, "{n} given, {i} to {j}: {slope}");
                }
            }
        }
    }

    #[test]
    fn lengths_between_are_interpolated() {
        let k = 1;
        let maps = (0..LEARNED).map(|at| vec![0.0, at as f32]).collect();
        let foretold = Foretold { damping: vec![1.0; 200], maps };
        let items = vec![1.0; 200];
        let of = |n: u32| foretold.factors(&(0..n).collect::<Vec<u32>>(), &items, k)[0];
        assert_eq!((of(1), of(2), of(4), of(32), of(200)), (0.0, 1.0, 2.0, 5.0, 5.0));
        assert!((of(3) - 3f32.log2()).abs() < 1e-6);
    }
}
