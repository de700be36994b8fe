//! The fitted model: predictions, their variances, and what a model folder keeps.

use foldin_core::{
    Capabilities, Factors, Feedback, Generator, ItemFactors, ItemId, LoadError, ModelFamily, ModelParts,
    Recommender, ScoreError, Tensor, UserView,
};
use foldin_nn::gaussian::{QuantisedRows, packed_len};
use foldin_nn::kernels::{dot, quadratic_form};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::checks::{check_len, check_pairs};
use crate::linear::score_items;

use super::LfgBayes;
use super::by_count::CountPriors;
use super::history::HistoryFeatures;
use super::prior::Prior;
use super::serve::{Pool, USERS_AT_ONCE};

/// Pairs predicted by a task.
const PAIRS_AT_ONCE: usize = 256;

/// What a model was fitted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Inputs {
    /// Fields of side information of users.
    pub(super) user_side: Vec<String>,
    /// Fields of side information of items.
    pub(super) item_side: Vec<String>,
    /// Number of co-occurrence features of items that are not zero everywhere.
    pub(super) cooccurrence: usize,
    /// Columns of side information of users.
    pub(super) user_side_width: usize,
}

/// All that a model is made of, in the unit of the ratings.
pub(super) struct Parameters {
    /// `k + 1`.
    pub(super) order: usize,
    pub(super) mean: f32,
    pub(super) feedback: Feedback,
    /// Variance of the noise.
    pub(super) noise: f32,
    /// `[n × order]`: posterior means of the items' factors and biases.
    pub(super) means: Vec<f32>,
    /// `[n × order (order + 1) / 2]`: their posterior covariances, packed.
    pub(super) covariances: Vec<f32>,
    /// What the covariances are multiples of, if they are rounded already.
    pub(super) scales: Option<Vec<f32>>,
    pub(super) priors: CountPriors,
    pub(super) history: HistoryFeatures,
    pub(super) inputs: Inputs,
}

/// A fitted `lfg-bayes`.
#[derive(Clone, Debug)]
pub struct LfgBayesModel {
    pub(super) items: ItemFactors,
    feedback: Feedback,
    pub(super) noise: f32,
    pub(super) covariances: QuantisedRows,
    pub(super) priors: CountPriors,
    pub(super) history: HistoryFeatures,
    pub(super) inputs: Inputs,
    pub(super) pool: Pool,
}

impl LfgBayesModel {
    pub(super) fn new(parameters: Parameters) -> Self {
        let Parameters { order, mean, feedback, noise, means, covariances, scales, priors, history, inputs } =
            parameters;
        let (k, n) = (order - 1, means.len() / order);
        let mut items = ItemFactors { k, m: Vec::with_capacity(n * k), bias: Vec::with_capacity(n), mean };
        for row in means.chunks_exact(order) {
            items.m.extend_from_slice(&row[..k]);
            items.bias.push(row[k]);
        }
        let covariances = match scales {
            Some(scales) => QuantisedRows::with_scales(&covariances, scales),
            None => QuantisedRows::new(&covariances, packed_len(order)),
        };
        Self { items, feedback, noise, covariances, priors, history, inputs, pool: Pool::default() }
    }

    pub(super) fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        let means = parts.take("item_means", &[None, None])?;
        let (n, order) = (means.shape[0], means.shape[1]);
        let len = packed_len(order);
        let vectors = parts.take("history_vectors", &[Some(n), None])?;
        let history = HistoryFeatures { width: vectors.shape[1], vectors: vectors.data };
        let inputs: Inputs = parts.get("inputs")?;
        let counts: Vec<usize> = parts.get("user_prior_counts")?;
        let rows = inputs.user_side_width + 1 + history.len();
        let weights = parts.take("user_prior_weights", &[Some(counts.len()), Some(rows), Some(order)])?.data;
        let precision = parts.take("user_prior_precision", &[Some(counts.len()), Some(order)])?.data;
        if order == 0 || counts.first() != Some(&0) || !counts.windows(2).all(|pair| pair[0] < pair[1]) {
            return Err(LoadError::Meta { key: "user_prior_counts".to_owned() });
        }
        let priors = weights.chunks_exact(rows * order).zip(precision.chunks_exact(order));
        let priors = priors
            .map(|(weights, precision)| Prior { weights: weights.to_vec(), precision: precision.to_vec() });
        Ok(Self::new(Parameters {
            order,
            mean: parts.get("mean")?,
            feedback: parts.get("feedback")?,
            noise: parts.get("noise")?,
            means: means.data,
            covariances: parts.take("item_covariances", &[Some(n), Some(len)])?.data,
            scales: Some(parts.take("item_covariance_scales", &[Some(len)])?.data),
            priors: CountPriors { counts, priors: priors.collect() },
            history,
            inputs,
        }))
    }

    /// `k + 1`: factors and bias.
    pub(super) fn order(&self) -> usize {
        self.items.k + 1
    }

    /// Factors of each user, with covariances if wanted.
    fn factors(&self, users: &[UserView<'_>], with_covariance: bool) -> Result<Factors, ScoreError> {
        self.check_users(users)?;
        let (n, order, k) = (users.len(), self.order(), self.items.k);
        let square = if with_covariance { order * order } else { 0 };
        let mut out = Factors { k, u: vec![0.0; n * k], bias: vec![0.0; n], covariance: None };
        let mut covariance = vec![0.0; n * square];
        let some = |users: &[UserView<'_>], u: &mut [f32], bias: &mut [f32], covariance: &mut [f32]| {
            self.posteriors(users, |at, posterior| {
                u[at * k..(at + 1) * k].copy_from_slice(&posterior.mean[..k]);
                bias[at] = posterior.mean[k];
                let covariance = &mut covariance[at * square..(at + 1) * square];
                if with_covariance {
                    posterior.work.square_covariance(covariance);
                }
            })
        };
        if n <= USERS_AT_ONCE {
            some(users, &mut out.u, &mut out.bias, &mut covariance)?;
        } else {
            let chunks = users
                .par_chunks(USERS_AT_ONCE)
                .zip(out.u.par_chunks_mut(USERS_AT_ONCE * k))
                .zip(out.bias.par_chunks_mut(USERS_AT_ONCE));
            if with_covariance {
                chunks
                    .zip(covariance.par_chunks_mut(USERS_AT_ONCE * square))
                    .try_for_each(|(((users, u), bias), covariance)| some(users, u, bias, covariance))?;
            } else {
                chunks.try_for_each(|((users, u), bias)| some(users, u, bias, &mut []))?;
            }
        }
        out.covariance = with_covariance.then_some(covariance);
        Ok(out)
    }

    fn value(&self, factors: &Factors, user: usize, item: usize) -> f32 {
        let base = self.items.mean + factors.bias[user];
        base + self.items.bias[item] + dot(factors.row(user), self.items.row(item))
    }

    /// Values and variances of the ratings of items by the user at a position of `factors`. With the user's covariance `X`, an item's
    /// `Y` of `[q; b_i]`, `f = [q; 1]` and `g = [u; 1]` a variance is `σ² + f'Xf + g'Yg + tr(X_uu Y_qq)`: of the item, `Y` meets
    /// `gg' + X_uu` element by element, which is made once.
    fn rate(
        &self,
        factors: &Factors,
        covariance: &[f32],
        user: usize,
        items: impl Iterator<Item = usize>,
        values: &mut [f32],
        variances: &mut [f32],
    ) {
        let (order, k) = (self.order(), self.items.k);
        let x = &covariance[user * order * order..][..order * order];
        let stride = order.next_multiple_of(32);
        let with_one = |row: &[f32], out: &mut [f32]| {
            out[..k].copy_from_slice(row);
            out[k] = 1.0;
        };
        let (mut g, mut f) = (vec![0.0; order], vec![0.0; stride]);
        with_one(factors.row(user), &mut g);
        let mut of_item = vec![0.0; packed_len(order)];
        let mut padded = vec![0.0; order * stride];
        for (i, (line, row)) in x.chunks_exact(order).zip(padded.chunks_exact_mut(stride)).enumerate() {
            row[..order].copy_from_slice(line);
            // Both triangles at once; the constant has no covariance.
            let out = &mut of_item[packed_len(i)..][..=i];
            let own = if i < k { 2.0 } else { 0.0 };
            for ((out, &other), &x) in out.iter_mut().zip(&g).zip(line) {
                *out = 2.0 * g[i] * other + own * x;
            }
            out[i] *= 0.5;
        }
        of_item.iter_mut().zip(self.covariances.scales()).for_each(|(weight, scale)| *weight *= scale);
        for ((item, value), variance) in items.zip(values).zip(variances) {
            with_one(self.items.row(item), &mut f);
            let of_user = quadratic_form(&padded, &f);
            *value = self.value(factors, user, item);
            // Rounding of the covariances cannot take away more than the noise.
            *variance = (self.noise + of_user + self.covariances.dot(item, &of_item)).max(self.noise);
        }
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
        check_len("scores", users.len() * n_items, out.len())?;
        let factors = self.factors(users, false)?;
        out.par_chunks_mut(n_items.max(1)).enumerate().for_each(|(user, out)| {
            score_items(factors.row(user), self.items.mean + factors.bias[user], &self.items, out);
        });
        Ok(())
    }

    fn predict(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        check_len("predictions", pairs.len(), out.len())?;
        check_pairs(users.len(), self.n_items(), pairs)?;
        let factors = self.factors(users, false)?;
        out.par_iter_mut().with_min_len(4096).zip(pairs).for_each(|(out, &(user, item))| {
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
        check_len("predictions", pairs.len(), mean.len())?;
        check_len("variances", pairs.len(), variance.len())?;
        check_pairs(users.len(), self.n_items(), pairs)?;
        let factors = self.factors(users, true)?;
        let covariance = factors.covariance.as_deref().unwrap_or_default();
        let outputs = mean.par_chunks_mut(PAIRS_AT_ONCE).zip(variance.par_chunks_mut(PAIRS_AT_ONCE));
        outputs.zip(pairs.par_chunks(PAIRS_AT_ONCE)).for_each(|((mut mean, mut variance), pairs)| {
            for of_one in pairs.chunk_by(|a, b| a.0 == b.0) {
                let (values, variances);
                (values, mean) = mean.split_at_mut(of_one.len());
                (variances, variance) = variance.split_at_mut(of_one.len());
                let items = of_one.iter().map(|&(_, item)| item.index());
                self.rate(&factors, covariance, of_one[0].0 as usize, items, values, variances);
            }
        });
        Ok(())
    }

    fn as_generator(&self) -> Option<&dyn Generator> {
        Some(self)
    }

    fn notes(&self) -> Vec<String> {
        let Inputs { user_side, item_side, cooccurrence, .. } = &self.inputs;
        let list = |fields: &[String]| if fields.is_empty() { "none".to_owned() } else { fields.join(", ") };
        vec![
            format!("side information of users used: {}; of items: {}", list(user_side), list(item_side)),
            format!(
                "{cooccurrence} co-occurrence features of items and {} features of what a user rated, from the training ratings",
                self.history.used()
            ),
        ]
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let (n, k, order) = (self.n_items(), self.items.k, self.order());
        let mut put = |name: &str, shape: &[usize], data: Vec<f32>| {
            parts.tensors.insert(name.to_owned(), Tensor::new(shape, data));
        };
        let means = self.items.m.chunks_exact(k).zip(&self.items.bias);
        let means = means.flat_map(|(row, &bias)| row.iter().copied().chain([bias])).collect();
        put("item_means", &[n, order], means);
        put("item_covariances", &[n, packed_len(order)], self.covariances.values());
        put("item_covariance_scales", &[packed_len(order)], self.covariances.scales().to_vec());
        put("history_vectors", &[n, self.history.width], self.history.vectors.clone());
        let CountPriors { counts, priors } = &self.priors;
        let rows = self.inputs.user_side_width + 1 + self.history.len();
        let weights = priors.iter().flat_map(|prior| prior.weights.iter().copied()).collect();
        put("user_prior_weights", &[counts.len(), rows, order], weights);
        let precision = priors.iter().flat_map(|prior| prior.precision.iter().copied()).collect();
        put("user_prior_precision", &[counts.len(), order], precision);
        parts.set("user_prior_counts", counts);
        parts.set("mean", self.items.mean);
        parts.set("feedback", self.feedback);
        parts.set("noise", self.noise);
        parts.set("inputs", &self.inputs);
        parts
    }
}

impl Generator for LfgBayesModel {
    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        self.factors(users, false)
    }

    fn generate_with_covariance(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        self.factors(users, true)
    }

    fn values_with_variance(
        &self,
        factors: &Factors,
        user: usize,
        items: &[ItemId],
        values: &mut [f32],
        variances: &mut [f32],
    ) -> Result<(), ScoreError> {
        check_len("predictions", items.len(), values.len())?;
        check_len("variances", items.len(), variances.len())?;
        let covariance = factors.covariance.as_deref().unwrap_or_default();
        let n_users = factors.bias.len();
        check_len("covariances", n_users * self.order() * self.order(), covariance.len())?;
        check_len("factors", n_users * self.items.k, factors.u.len())?;
        if items.is_empty() {
            return Ok(());
        }
        items.iter().try_for_each(|&item| check_pairs(n_users, self.n_items(), &[(user as u32, item)]))?;
        self.rate(factors, covariance, user, items.iter().map(|item| item.index()), values, variances);
        Ok(())
    }

    fn items(&self) -> &ItemFactors {
        &self.items
    }
}
