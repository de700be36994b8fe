//! Priors of users by the number of ratings they have given.
//!
//! What a user rated says less about them the less it is: a prior mean regressed on whole histories is overconfident about a
//! user with five ratings (and even about one with none, since side information is weighed as if the history were there too).
//! So once the model is fitted, the regression is repeated for users who have given about 0, 1, 2, 4, 8, … ratings, on random parts
//! of the training users' histories against the posterior means from the whole, each with the precision that is left. A user to be
//! served gets the prior between the two nearest counts; beyond the last, that of whole histories.
//!
//! None of this enters the fit: there a prior from parts would feed on itself, since the posterior means it predicts
//! follow the prior of the whole.

use foldin_core::parallel::chunked;
use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{Csr, FitError, ModelFamily};

use super::LfgBayes;
use super::history::HistoryFeatures;
use super::prior::Prior;
use super::step::Side;
use crate::item_design::Design;
use crate::regression::{FEATURES, Regression};

/// Counts stop where fewer than this share of the users have as many ratings.
const LEAST_USERS: f64 = 0.5;

/// Priors at a few counts of ratings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CountPriors {
    /// Ascending; the last is where whole histories begin.
    pub(super) counts: Vec<usize>,
    pub(super) priors: Vec<Prior>,
}

impl CountPriors {
    /// One prior for any count.
    pub(super) fn single(whole: Prior) -> Self {
        Self { counts: vec![0], priors: vec![whole] }
    }

    /// Learns a prior for each count from the final posteriors `users`; `side` is the users' side information and `parts` the number of
    /// random parts of each longer history.
    pub(super) fn learn(
        histories: &Csr,
        side: &Csr,
        features: &HistoryFeatures,
        users: &Side,
        whole: Prior,
        ridge: f64,
        parts: usize,
        seed: u64,
    ) -> Result<Self, FitError> {
        if parts == 0 || features.width == 0 {
            return Ok(Self::single(whole));
        }
        let (means, variances) = (users.own_means(), users.own_variances());
        let mut out = Self { counts: Vec::new(), priors: Vec::new() };
        let mut count = 0;
        loop {
            let sample = Sample::draw(histories, features, count, parts, seed);
            if (sample.n_users as f64) < LEAST_USERS * histories.n_rows() as f64 || sample.users.is_empty() {
                break;
            }
            out.priors.push(sample.regress(side, &means, &variances, users.order, ridge)?);
            out.counts.push(count);
            count = (2 * count).max(1);
        }
        out.counts.push(count);
        out.priors.push(whole);
        Ok(out)
    }

    /// Multiplies everything that has the unit of the ratings.
    pub(super) fn scale(&mut self, unit: f32) {
        for Prior { weights, precision } in &mut self.priors {
            weights.iter_mut().for_each(|x| *x *= unit);
            precision.iter_mut().for_each(|x| *x /= unit * unit);
        }
    }

    /// The priors between which a user with `n` ratings lies, and how far towards the second (from 0 to 1).
    pub(super) fn around(&self, n: usize) -> (&Prior, &Prior, f32) {
        let above = self.counts.partition_point(|&count| count <= n).max(1);
        let below = &self.priors[above - 1];
        match (self.priors.get(above), self.counts[above - 1]) {
            (None, _) | (_, 0) => (below, below, 0.0),
            // Counts double, so that this is how far `ln n` is from one to the next.
            (Some(next), count) => (below, next, (n as f32 / count as f32).log2()),
        }
    }
}

/// Histories of about one length, with the users they are of.
struct Sample {
    /// Users who have as many ratings.
    n_users: usize,
    users: Vec<u32>,
    /// Square roots of the weights: each user counts as one.
    scales: Vec<f32>,
    /// `[rows × (1 + features)]`: a constant and the features of the history.
    dense: Vec<f32>,
}

impl Sample {
    fn draw(histories: &Csr, features: &HistoryFeatures, count: usize, parts: usize, seed: u64) -> Self {
        let seed = numbered_seed(child_seed(seed, "parts of histories"), "count", count as u64);
        // Half way to the neighbouring counts, by ratio.
        let (low, high) = (count as f64 / f64::sqrt(2.0), count as f64 * f64::sqrt(2.0));
        let chunks = chunked(histories.n_rows(), 256, |rows| {
            let mut out = Self { n_users: 0, users: Vec::new(), scales: Vec::new(), dense: Vec::new() };
            let mut items = Vec::new();
            let mut row = vec![1.0; 1 + features.len()];
            for user in rows {
                items.clear();
                items.extend_from_slice(histories.row(user).0);
                if items.is_empty() || (items.len() as f64) < low {
                    continue;
                }
                out.n_users += 1;
                let whole = (items.len() as f64) < high;
                let copies = if whole || count == 0 { 1 } else { parts };
                let mut random = Random::new(numbered_seed(seed, "user", user as u64));
                for _ in 0..copies {
                    let mut take = if whole { items.len() } else { 0 };
                    if !whole && count > 0 {
                        let length = low * (high / low).powf(random.uniform());
                        take = (length.round() as usize).clamp(1, items.len());
                        for at in 0..take {
                            let other = at + random.below(items.len() - at);
                            items.swap(at, other);
                        }
                    }
                    features.write(&items[..take], &mut row[1..]);
                    let scale = 1.0 / (copies as f32).sqrt();
                    out.dense.extend(row.iter().map(|x| x * scale));
                    out.users.push(user as u32);
                    out.scales.push(scale);
                }
            }
            out
        });
        let mut out = Self { n_users: 0, users: Vec::new(), scales: Vec::new(), dense: Vec::new() };
        for chunk in chunks {
            out.n_users += chunk.n_users;
            out.users.extend(chunk.users);
            out.scales.extend(chunk.scales);
            out.dense.extend(chunk.dense);
        }
        out
    }

    fn regress(
        self,
        side: &Csr,
        means: &[f32],
        variances: &[f32],
        order: usize,
        ridge: f64,
    ) -> Result<Prior, FitError> {
        let Self { users, scales, dense, .. } = self;
        let rows = side.select_rows(&users);
        let values = (0..users.len()).flat_map(|row| {
            let scale = scales[row];
            rows.row(row).1.iter().map(move |x| x * scale)
        });
        let sparse = Csr::from_parts(
            rows.n_cols(),
            rows.offsets().to_vec(),
            rows.columns().to_vec(),
            values.collect(),
        )
        .expect("a copy of a valid matrix with other values");
        let width = dense.len() / users.len();
        let design = Design::new(sparse, dense, width);
        let scaled = |table: &[f32], power: i32| -> Vec<f32> {
            let rows = users.iter().zip(&scales);
            rows.flat_map(|(&user, scale)| {
                let scale = scale.powi(power);
                table[user as usize * order..(user as usize + 1) * order].iter().map(move |x| x * scale)
            })
            .collect()
        };
        let targets = scaled(means, 1);
        let regression = Regression::new(
            LfgBayes::NAME,
            FEATURES,
            design.gram(|_| true),
            ridge,
            Some(design.sparse_width()),
        )?;
        let right = design.transposed_product(&targets, order, |_| true);
        let mut prior = Prior { weights: regression.solve(&right, order), precision: vec![0.0; order] };
        let mut variance = vec![0f64; order];
        for row in scaled(variances, 2).chunks_exact(order) {
            variance.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let count: f64 = scales.iter().map(|&scale| f64::from(scale).powi(2)).sum();
        let predicted = prior.means(&design);
        prior.learn_precision(&targets, &predicted, &variance, count, |_| true);
        Ok(prior)
    }
}
