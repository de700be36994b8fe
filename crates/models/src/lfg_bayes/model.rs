//! The fitted model: users' posteriors from their histories, predictions with variances.

use foldin_core::{
    Capabilities, Factors, Feedback, Generator, ItemFactors, ItemId, LoadError, ModelFamily, ModelParts,
    Recommender, ScoreError, Tensor, UserView,
};
use foldin_nn::gaussian::{Workspace, packed_len, posterior};
use foldin_nn::kernels::{axpy, dot};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::LfgBayes;
use super::history::HistoryFeatures;
use super::prior::Prior;
use super::step::Side;

/// Posteriors of the items in the units of the ratings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Posterior {
    pub(super) n: usize,
    /// `k + 1`: factors and bias.
    pub(super) order: usize,
    /// `[n × order]`.
    pub(super) means: Vec<f32>,
    /// `[n × order (order + 1) / 2]`: covariances, packed.
    pub(super) covariances: Vec<f32>,
}

impl Posterior {
    /// The users' side takes the unit of the ratings, so of an item only the bias is scaled.
    pub(super) fn of(items: &Side, deviation: f32) -> Self {
        let order = items.order;
        let k = order - 1;
        let n = items.moments.n_rows();
        let mut means = items.own_means();
        let len = packed_len(order);
        let mut covariances = vec![0.0; n * len];
        covariances.par_chunks_mut(len).zip(means.par_chunks(order)).enumerate().for_each(
            |(item, (out, mean))| {
                let mut moments = vec![0.0; packed_len(order + 1)];
                items.moments.copy_row(item, &mut moments);
                out[..packed_len(k)].copy_from_slice(&moments[..packed_len(k)]);
                // In the moments the bias comes after the constant.
                out[packed_len(k)..packed_len(k) + k].copy_from_slice(&moments[packed_len(order)..][..k]);
                out[packed_len(k) + k] = moments[packed_len(order) + order];
                let mut at = 0;
                for i in 0..order {
                    for j in 0..=i {
                        out[at] -= mean[i] * mean[j];
                        at += 1;
                    }
                }
                out[packed_len(k)..].iter_mut().for_each(|x| *x *= deviation);
                out[packed_len(k) + k] *= deviation;
            },
        );
        means.chunks_exact_mut(order).for_each(|row| row[k] *= deviation);
        Self { n, order, means, covariances }
    }
}

/// What a model was fitted with, for its notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Used {
    pub(super) user_side: bool,
    pub(super) item_side: bool,
    pub(super) cooccurrence: usize,
}

/// A fitted `lfg-bayes`.
#[derive(Clone, Debug)]
pub struct LfgBayesModel {
    items: ItemFactors,
    feedback: Feedback,
    noise: f32,
    prior: Prior,
    side_width: usize,
    history: HistoryFeatures,
    used: Used,
    posterior: Posterior,
    /// `[n × width]`: `E[f f']` packed, then `E[f b]`.
    table: Vec<f32>,
}

impl LfgBayesModel {
    pub(super) fn new(
        posterior: Posterior,
        mean: f32,
        feedback: Feedback,
        noise: f32,
        prior: Prior,
        side_width: usize,
        history: HistoryFeatures,
        used: Used,
    ) -> Self {
        let (n, order) = (posterior.n, posterior.order);
        let k = order - 1;
        let mut items = ItemFactors { k, m: Vec::with_capacity(n * k), bias: Vec::with_capacity(n), mean };
        for row in posterior.means.chunks_exact(order) {
            items.m.extend_from_slice(&row[..k]);
            items.bias.push(row[k]);
        }
        let (len, width) = (packed_len(order), packed_len(order) + order);
        let mut table = vec![0.0; n * width];
        for (item, row) in table.chunks_exact_mut(width).enumerate() {
            let (q, b) = (items.row(item), items.bias[item]);
            let cov = &posterior.covariances[item * len..(item + 1) * len];
            let mut at = 0;
            for i in 0..k {
                for j in 0..=i {
                    row[at] = q[i] * q[j] + cov[at];
                    at += 1;
                }
            }
            row[at..at + k].copy_from_slice(q);
            row[at + k] = 1.0;
            at += k + 1;
            for j in 0..k {
                row[at + j] = q[j] * b + cov[packed_len(k) + j];
            }
            row[at + k] = b;
        }
        Self { items, feedback, noise, prior, side_width, history, used, posterior, table }
    }

    pub(super) fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        let means = parts.take("item_means", &[None, None])?;
        let (n, order) = (means.shape[0], means.shape[1]);
        let covariances = parts.take("item_covariances", &[Some(n), Some(packed_len(order))])?.data;
        let vectors = parts.take("history_vectors", &[Some(n), None])?;
        let history = HistoryFeatures { width: vectors.shape[1], vectors: vectors.data };
        let side_width: usize = parts.get("user_side_width")?;
        let width = side_width + 1 + history.len();
        let prior = Prior {
            weights: parts.take("user_prior_weights", &[Some(width), Some(order)])?.data,
            precision: parts.take("user_prior_precision", &[Some(order)])?.data,
        };
        let posterior = Posterior { n, order, means: means.data, covariances };
        Ok(Self::new(
            posterior,
            parts.get("mean")?,
            parts.get("feedback")?,
            parts.get("noise")?,
            prior,
            side_width,
            history,
            parts.get("used")?,
        ))
    }

    /// Posterior of one user: mean in `mean`, covariance in `work`.
    fn user(&self, user: &UserView<'_>, work: &mut Workspace, mean: &mut [f32]) -> Result<(), ScoreError> {
        user.check(self.n_items())?;
        let order = self.posterior.order;
        let weight = 1.0 / self.noise;
        mean.fill(0.0);
        for (&column, &value) in user.features.columns.iter().zip(user.features.values) {
            if column as usize >= self.side_width {
                if self.side_width == 0 {
                    continue;
                }
                return Err(ScoreError::Shape {
                    what: "columns of user features",
                    expected: self.side_width,
                    got: column as usize + 1,
                });
            }
            axpy(value, &self.prior.weights[column as usize * order..][..order], mean);
        }
        let mut features = vec![0.0; 1 + self.history.len()];
        features[0] = 1.0;
        self.history.write(user.items, &mut features[1..]);
        for (at, &x) in features.iter().enumerate() {
            axpy(x, &self.prior.weights[(self.side_width + at) * order..][..order], mean);
        }
        let width = packed_len(order) + order;
        let mut sums = vec![0.0; width];
        let mut right = vec![0.0; order];
        for (&item, &value) in user.items.iter().zip(user.values) {
            let row = &self.table[item as usize * width..(item as usize + 1) * width];
            axpy(1.0, row, &mut sums);
            axpy(value - self.items.mean, &row[packed_len(order - 1)..packed_len(order)], &mut right);
        }
        for j in 0..order {
            right[j] = self.prior.precision[j] * mean[j] + weight * (right[j] - sums[packed_len(order) + j]);
        }
        posterior(&sums, weight, &self.prior.precision, &right, work, mean);
        if mean.iter().any(|x| !x.is_finite()) {
            return Err(ScoreError::NotFinite { what: "a generated factor" });
        }
        Ok(())
    }

    fn factors(&self, users: &[UserView<'_>], covariance: bool) -> Result<Factors, ScoreError> {
        let (n, order) = (users.len(), self.posterior.order);
        let k = order - 1;
        let rows: Result<Vec<(Vec<f32>, Vec<f32>)>, ScoreError> = users
            .par_iter()
            .map(|user| {
                let (mut work, mut mean) = (Workspace::new(order), vec![0.0; order]);
                self.user(user, &mut work, &mut mean)?;
                let mut cov = Vec::new();
                if covariance {
                    (0..order).for_each(|row| cov.extend_from_slice(work.covariance_row(row)));
                }
                Ok((mean, cov))
            })
            .collect();
        let mut out = Factors {
            k,
            u: Vec::with_capacity(n * k),
            bias: Vec::with_capacity(n),
            covariance: covariance.then(Vec::new),
        };
        for (mean, cov) in rows? {
            out.u.extend_from_slice(&mean[..k]);
            out.bias.push(mean[k]);
            if let Some(all) = &mut out.covariance {
                all.extend(cov);
            }
        }
        Ok(out)
    }

    fn value(&self, factors: &Factors, user: usize, item: usize) -> f32 {
        self.items.mean
            + factors.bias[user]
            + self.items.bias[item]
            + dot(factors.row(user), self.items.row(item))
    }

    fn check_pairs(&self, users: usize, pairs: &[(u32, ItemId)]) -> Result<(), ScoreError> {
        let n_items = self.n_items();
        for &(user, item) in pairs {
            if user as usize >= users {
                return Err(ScoreError::Shape {
                    what: "position of a user",
                    expected: users,
                    got: user as usize,
                });
            }
            if item.index() >= n_items {
                return Err(ScoreError::UnknownItem { item: item.0, n_items });
            }
        }
        Ok(())
    }

    /// Variance of the rating of one item: noise, the user's uncertainty, the item's, and both together.
    fn variance(&self, mean: &[f32], bias: f32, covariance: &[f32], item: usize) -> f32 {
        let order = self.posterior.order;
        let k = order - 1;
        let own = &self.posterior.covariances[item * packed_len(order)..][..packed_len(order)];
        let q = self.items.row(item);
        let _ = bias;
        let f = |i: usize| if i < k { q[i] } else { 1.0 };
        // The item's own vector is [q; b], met by [u; 1].
        let g = |i: usize| if i < k { mean[i] } else { 1.0 };
        let mut sum = self.noise;
        let mut at = 0;
        for i in 0..order {
            for j in 0..=i {
                let twice = if i == j { 1.0 } else { 2.0 };
                let cov = covariance[i * order + j];
                sum += twice * (f(i) * cov * f(j) + g(i) * own[at] * g(j));
                if i < k {
                    sum += twice * cov * own[at];
                }
                at += 1;
            }
        }
        sum
    }
}

impl Recommender for LfgBayesModel {
    fn name(&self) -> &'static str {
        LfgBayes::NAME
    }

    fn n_items(&self) -> usize {
        self.items.bias.len()
    }

    fn capabilities(&self) -> Capabilities {
        LfgBayes::capabilities()
    }

    fn score(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
        let n_items = self.n_items();
        if out.len() != users.len() * n_items {
            return Err(ScoreError::Shape {
                what: "scores",
                expected: users.len() * n_items,
                got: out.len(),
            });
        }
        let factors = self.factors(users, false)?;
        out.par_chunks_mut(n_items.max(1)).enumerate().for_each(|(user, row)| {
            row.iter_mut().enumerate().for_each(|(item, score)| *score = self.value(&factors, user, item));
        });
        Ok(())
    }

    fn predict(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        if out.len() != pairs.len() {
            return Err(ScoreError::Shape { what: "predictions", expected: pairs.len(), got: out.len() });
        }
        self.check_pairs(users.len(), pairs)?;
        let factors = self.factors(users, false)?;
        out.par_iter_mut().with_min_len(1024).zip(pairs).for_each(|(out, &(user, item))| {
            *out = self.feedback.clip(self.value(&factors, user as usize, item.index()));
        });
        Ok(())
    }

    fn predict_with_variance(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        mean: &mut [f32],
        variance: &mut [f32],
    ) -> Result<(), ScoreError> {
        for len in [mean.len(), variance.len()] {
            if len != pairs.len() {
                return Err(ScoreError::Shape { what: "predictions", expected: pairs.len(), got: len });
            }
        }
        self.check_pairs(users.len(), pairs)?;
        let factors = self.factors(users, true)?;
        let square = self.posterior.order * self.posterior.order;
        let covariance = factors.covariance.as_deref().unwrap_or_default();
        mean.par_iter_mut().zip(variance).with_min_len(64).zip(pairs).for_each(
            |((mean, variance), &(user, item))| {
                let user = user as usize;
                *mean = self.value(&factors, user, item.index());
                let cov = &covariance[user * square..(user + 1) * square];
                *variance = self.variance(factors.row(user), factors.bias[user], cov, item.index());
            },
        );
        Ok(())
    }

    fn as_generator(&self) -> Option<&dyn Generator> {
        Some(self)
    }

    fn notes(&self) -> Vec<String> {
        let Used { user_side, item_side, cooccurrence } = self.used;
        let used = |yes: bool| if yes { "used" } else { "none" };
        vec![
            format!("side information of users: {}; of items: {}", used(user_side), used(item_side)),
            format!(
                "{cooccurrence} co-occurrence features of items, {} features of a user's history",
                self.history.len()
            ),
        ]
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let Posterior { n, order, means, covariances } = &self.posterior;
        let (n, order) = (*n, *order);
        let mut put = |name: &str, shape: &[usize], data: &[f32]| {
            parts.tensors.insert(name.to_owned(), Tensor::new(shape, data.to_vec()));
        };
        put("item_means", &[n, order], means);
        put("item_covariances", &[n, packed_len(order)], covariances);
        put("history_vectors", &[n, self.history.width], &self.history.vectors);
        put("user_prior_weights", &[self.prior.weights.len() / order, order], &self.prior.weights);
        put("user_prior_precision", &[order], &self.prior.precision);
        parts.set("mean", self.items.mean);
        parts.set("feedback", self.feedback);
        parts.set("noise", self.noise);
        parts.set("user_side_width", self.side_width);
        parts.set("used", self.used);
        parts
    }
}

impl Generator for LfgBayesModel {
    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        self.factors(users, false)
    }

    fn items(&self) -> &ItemFactors {
        &self.items
    }
}
