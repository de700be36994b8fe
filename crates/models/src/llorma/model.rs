//! The fitted model: serving, saving and loading.

use foldin_core::{
    Feedback, Generator, LoadError, ModelFamily, ModelParts, Recommender, ScoreError, Tensor, UserView,
};
use foldin_nn::kernels::{dot, dot_in};
use foldin_nn::{kernel, ridge::Ridge};

use super::Llorma;
use super::anchors::{to_directions, weight};
use super::config::Fallback;
use super::local::{Local, write_row};
use crate::bias::Bias;
use crate::bias_svd::BiasSvd;
use crate::linear::LinearFactors;
use crate::per_user::{PerUser, recommender};

/// The items' side of all local models, by item: all that is asked of an item stands together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Locals {
    anchors: usize,
    n_items: usize,
    /// Factors and a bias.
    width: usize,
    /// `[n_items × anchors]`: how much an anchor has to say of an item; 0 if it does not cover it.
    pub(super) weights: Vec<f32>,
    /// `[n_items × anchors × width]`; noughts where an anchor does not cover an item.
    pub(super) rows: Vec<f32>,
}

impl Locals {
    pub(super) fn zeros(anchors: usize, n_items: usize, factors: usize) -> Self {
        let width = factors + 1;
        Self {
            anchors,
            n_items,
            width,
            weights: vec![0.0; n_items * anchors],
            rows: vec![0.0; n_items * anchors * width],
        }
    }

    pub(super) fn set_weights(&mut self, anchor: usize, weights: &[f32]) {
        for (row, &weight) in self.weights.chunks_exact_mut(self.anchors).zip(weights) {
            row[anchor] = weight;
        }
    }

    /// `[n_items]`.
    pub(super) fn weights_of(&self, anchor: usize) -> Vec<f32> {
        self.weights.iter().skip(anchor).step_by(self.anchors).copied().collect()
    }

    pub(super) fn set_rows(&mut self, anchor: usize, local: &Local) {
        for (&item, row) in local.items.iter().zip(local.rows.chunks_exact(self.width)) {
            let from = (item as usize * self.anchors + anchor) * self.width;
            self.rows[from..from + self.width].copy_from_slice(row);
        }
    }

    fn row(&self, item: usize, anchor: usize) -> &[f32] {
        let from = (item * self.anchors + anchor) * self.width;
        &self.rows[from..from + self.width]
    }

    pub(super) fn rows_tensor(&self) -> Tensor {
        Tensor::new([self.n_items, self.anchors, self.width], self.rows.clone())
    }

    pub(super) fn weights_tensor(&self) -> Tensor {
        Tensor::new([self.n_items, self.anchors], self.weights.clone())
    }
}

/// How local models are asked and combined.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Combination {
    pub(super) user_bandwidth: f32,
    /// `[width]`: shrinkage of a user's local factors and bias.
    pub(super) lambda: Vec<f32>,
    /// What counts as one in the local models, in units of the ratings.
    pub(super) unit: f32,
    /// Weight of the global model, against all anchors together.
    pub(super) global_weight: f32,
    pub(super) fallback: Fallback,
}

/// A fitted `llorma`.
#[derive(Clone, Debug)]
pub struct LlormaModel {
    global: LinearFactors,
    biases: LinearFactors,
    /// `[anchors × global factors]`: unit directions.
    anchors: Vec<f32>,
    locals: Locals,
    combination: Combination,
    feedback: Feedback,
}

/// What the model makes of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct LlormaUser {
    /// Factors in the global model.
    factors: Vec<f32>,
    /// Mean and the user's bias in the global model.
    global_base: f32,
    /// Mean and the user's damped bias, which the local models start from.
    local_base: f32,
    /// Anchors within reach.
    near: Vec<u32>,
    /// The weight of each.
    weights: Vec<f32>,
    /// `[near × width]`: factors and bias in the model of each.
    rows: Vec<f32>,
}

impl LlormaModel {
    pub(super) fn new(
        global: LinearFactors,
        biases: LinearFactors,
        anchors: Vec<f32>,
        locals: Locals,
        combination: Combination,
        feedback: Feedback,
    ) -> Self {
        Self { global, biases, anchors, locals, combination, feedback }
    }

    /// Anchors that have the user within reach, and with what weight.
    fn near(&self, factors: &[f32]) -> (Vec<u32>, Vec<f32>) {
        let mut direction = factors.to_vec();
        to_directions(&mut direction, factors.len());
        let anchors = self.anchors.chunks_exact(factors.len()).enumerate();
        anchors
            .map(|(anchor, at)| (anchor as u32, weight(at, &direction, self.combination.user_bandwidth)))
            .filter(|&(_, weight)| weight > 0.0)
            .unzip()
    }

    /// Factors and bias in the model of one anchor, by the half round that training ends each round with.
    fn fold_in(
        &self,
        user: &UserView<'_>,
        base: f32,
        anchor: usize,
        ridge: &mut Ridge,
        entries: &mut Vec<(usize, f32, f32)>,
    ) -> Option<Vec<f32>> {
        let Combination { lambda, unit, .. } = &self.combination;
        let item_bias = &self.biases.item_factors().bias;
        entries.clear();
        for (&item, &value) in user.items.iter().zip(user.values) {
            let item = item as usize;
            let weight = self.locals.weights[item * self.locals.anchors + anchor];
            if weight > 0.0 {
                entries.push((item, weight.sqrt(), (value - base - item_bias[item]) / unit));
            }
        }
        let solved = ridge.solve(entries.len(), lambda, &vec![0.0; lambda.len()], |entry, row| {
            let (item, root, left) = entries[entry];
            write_row(row, self.locals.row(item, anchor), root, left);
        });
        solved.ok().filter(|solved| solved.iter().all(|x| x.is_finite())).map(<[f32]>::to_vec)
    }

    pub(super) fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        let global = BiasSvd::load(unnest(&mut parts, "global")?)?;
        let biases = Bias::load(unnest(&mut parts, "biases")?)?;
        let n_items = global.item_factors().bias.len();
        let k = global.item_factors().k;
        let anchors = parts.take("anchor_users", &[None, Some(k)])?;
        let q = anchors.shape[0];
        let rows = parts.take("local_items", &[Some(n_items), Some(q), None])?;
        let lambda = parts.take("local_lambda", &[Some(rows.shape[2])])?.data;
        let weights = parts.take("item_weights", &[Some(n_items), Some(q)])?.data;
        let mismatch = |key: &str| LoadError::Meta { key: key.to_owned() };
        let positive = |key: &str| -> Result<f32, LoadError> {
            parts.get(key).ok().filter(|&x: &f32| x > 0.0 && x.is_finite()).ok_or_else(|| mismatch(key))
        };
        if biases.item_factors().bias.len() != n_items || global.fold_in().is_none() || k == 0 {
            return Err(mismatch("global"));
        }
        if lambda.is_empty() || !lambda.iter().all(|&lambda| lambda > 0.0) {
            return Err(mismatch("local_lambda"));
        }
        let combination = Combination {
            user_bandwidth: positive("user_bandwidth")?,
            unit: positive("unit")?,
            global_weight: parts.get("global_weight")?,
            fallback: parts.get("fallback")?,
            lambda,
        };
        let feedback: Feedback = parts.get("feedback")?;
        let locals = Locals { anchors: q, n_items, width: rows.shape[2], weights, rows: rows.data };
        Ok(Self::new(global, biases, anchors.data, locals, combination, feedback))
    }
}

#[cfg(test)]
impl LlormaUser {
    pub(super) fn weight_at(&self, anchor: u32) -> f32 {
        self.near.iter().position(|&near| near == anchor).map_or(0.0, |at| self.weights[at])
    }

    pub(super) fn row_at(&self, anchor: u32) -> Option<&[f32]> {
        let width = self.rows.len() / self.near.len().max(1);
        self.near.iter().position(|&near| near == anchor).map(|at| &self.rows[at * width..(at + 1) * width])
    }
}

#[cfg(test)]
impl LlormaModel {
    /// The same model with an anchor that covers no item.
    pub(super) fn forget_anchor(&mut self, anchor: usize) {
        self.locals.set_weights(anchor, &vec![0.0; self.locals.n_items]);
    }

    /// What training knew of an anchor: the setting, the items covered, and their rows.
    pub(super) fn as_in_training<'a>(
        &self,
        ratings: &'a foldin_core::Interactions,
        users: &[LlormaUser],
        anchor: usize,
    ) -> (super::local::Setting<'a>, super::local::Covered, Vec<f32>) {
        let items = self.biases.item_factors();
        let covered = super::local::Covered::new(&self.locals.weights_of(anchor));
        let rows = covered.members.iter().flat_map(|&item| self.locals.row(item as usize, anchor).to_vec());
        let rows = rows.collect();
        let setting = super::local::Setting {
            ratings,
            mean: items.mean,
            user_bias: users.iter().map(|user| user.local_base - items.mean).collect(),
            item_bias: items.bias.clone(),
            unit: self.combination.unit,
            lambda: self.combination.lambda.clone(),
            iterations: 1,
            start_scale: 0.1,
        };
        (setting, covered, rows)
    }
}

/// Parts of a model within a model, under its own name.
fn nest(into: &mut ModelParts, name: &str, parts: ModelParts) {
    into.tensors.extend(parts.tensors.into_iter().map(|(key, tensor)| (format!("{name}.{key}"), tensor)));
    into.set(name, parts.meta);
}

fn unnest(from: &mut ModelParts, name: &str) -> Result<ModelParts, LoadError> {
    let meta = from.get(name)?;
    let prefix = format!("{name}.");
    let (own, rest) =
        std::mem::take(&mut from.tensors).into_iter().partition(|(key, _)| key.starts_with(&prefix));
    from.tensors = rest;
    let own: std::collections::BTreeMap<String, Tensor> = own;
    let tensors = own.into_iter().map(|(key, tensor)| (key[prefix.len()..].to_owned(), tensor)).collect();
    Ok(ModelParts { tensors, meta })
}

kernel! {
    /// Sums over the anchors near a user that cover an item: weight times what the local model adds to the biases, and weight.
    fn local_sums(
        simd, near: &[u32], user_weights: &[f32], user_rows: &[f32], item_weights: &[f32], item_rows: &[f32], width: usize,
    ) -> (f64, f64) {
        let (k, mut sum, mut total) = (width - 1, 0.0, 0.0);
        for (at, (&anchor, &user_weight)) in near.iter().zip(user_weights).enumerate() {
            let anchor = anchor as usize;
            let weight = f64::from(user_weight) * f64::from(item_weights[anchor]);
            if weight > 0.0 {
                let user = &user_rows[at * width..(at + 1) * width];
                let item = &item_rows[anchor * width..(anchor + 1) * width];
                let says = dot_in(simd, &user[..k], &item[..k]) + user[k] + item[k];
                sum += weight * f64::from(says);
                total += weight;
            }
        }
        (sum, total)
    }
}

impl PerUser for LlormaModel {
    type Family = Llorma;
    type State = LlormaUser;

    fn catalogue(&self) -> usize {
        self.locals.n_items
    }

    fn feedback(&self) -> &Feedback {
        &self.feedback
    }

    fn state(&self, user: &UserView<'_>) -> Result<LlormaUser, ScoreError> {
        // A training user too: the number in training means nothing here.
        let one = std::slice::from_ref(user);
        let global = self.global.generate(one)?;
        let local_base = self.biases.item_factors().mean + self.biases.generate(one)?.bias[0];
        let (near, weights) = self.near(&global.u);
        let mut rows = Vec::with_capacity(near.len() * self.locals.width);
        let (mut ridge, mut entries) = (Ridge::new(self.locals.width), Vec::new());
        for &anchor in &near {
            let row = self.fold_in(user, local_base, anchor as usize, &mut ridge, &mut entries);
            rows.extend(row.ok_or(ScoreError::NotFinite { what: "the solution of a user's local fold-in" })?);
        }
        let global_base = self.global.item_factors().mean + global.bias[0];
        Ok(LlormaUser { factors: global.u, global_base, local_base, near, weights, rows })
    }

    fn value(&self, user: &LlormaUser, item: usize) -> f32 {
        let (q, width) = (self.locals.anchors, self.locals.width);
        let (sum, total) = local_sums(
            &user.near,
            &user.weights,
            &user.rows,
            &self.locals.weights[item * q..(item + 1) * q],
            &self.locals.rows[item * q * width..(item + 1) * q * width],
            width,
        );
        let Combination { unit, global_weight, fallback, .. } = self.combination;
        let items = self.global.item_factors();
        let global = || user.global_base + items.bias[item] + dot(&user.factors, items.row(item));
        if total > 0.0 {
            let local = f64::from(user.local_base + self.biases.item_factors().bias[item]);
            let sum = f64::from(unit) * sum + local * total;
            let weight = f64::from(global_weight);
            let global = if weight > 0.0 { weight * f64::from(global()) } else { 0.0 };
            return ((sum + global) / (total + weight)) as f32;
        }
        match (fallback, self.feedback.scale()) {
            (Fallback::Middle, Some(scale)) if global_weight == 0.0 => (scale.min + scale.max) / 2.0,
            _ => global(),
        }
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        nest(&mut parts, "global", self.global.to_parts());
        nest(&mut parts, "biases", self.biases.to_parts());
        let k = self.global.item_factors().k;
        let Combination { user_bandwidth, lambda, unit, global_weight, fallback } = &self.combination;
        for (name, tensor) in [
            ("anchor_users", Tensor::new([self.locals.anchors, k], self.anchors.clone())),
            ("local_items", self.locals.rows_tensor()),
            ("item_weights", self.locals.weights_tensor()),
            ("local_lambda", Tensor::new([lambda.len()], lambda.clone())),
        ] {
            parts.tensors.insert(name.to_owned(), tensor);
        }
        parts.set("user_bandwidth", user_bandwidth);
        parts.set("unit", unit);
        parts.set("global_weight", global_weight);
        parts.set("fallback", fallback);
        parts.set("feedback", self.feedback);
        parts
    }
}

recommender!(LlormaModel);
