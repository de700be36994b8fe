//! The fitted form of every model of clicks whose score is linear in the history: `s_ui = Σ_{j in the history} W_ji`.
//!
//! What differs between these models is where `W` comes from; how users are scored and what a folder keeps is the same and lives
//! here, for a [dense](DenseWeights) and a [sparse](SparseWeights) matrix. Values of a history say nothing, and neither does its
//! order. Nothing is kept of users, so a new user is served as well as a training user.

use std::fmt::Debug;
use std::marker::PhantomData;

use foldin_core::{Csr, Feedback, LoadError, ModelFamily, ModelParts, ScoreError, Tensor, UserView};
use foldin_nn::kernels::row_sums;
use foldin_nn::similarity::Neighbours;

use crate::lists;
use crate::per_user::PerUser;

/// The items of a history in ascending order, in which sums are taken.
pub(crate) fn ascending(user: &UserView<'_>) -> Vec<u32> {
    let mut items = user.items.to_vec();
    items.sort_unstable();
    items
}

/// A model of the family `F` that has a weight for every pair of items.
#[derive(Clone, Debug)]
pub struct DenseWeights<F> {
    n_items: usize,
    /// `[n_items × n_items]`: row `j` is what an item `j` of the history adds to each item.
    weights: Vec<f32>,
    notes: Vec<String>,
    family: PhantomData<F>,
}

impl<F> DenseWeights<F> {
    /// Takes `[n_items × n_items]` weights, a row for each item of a history.
    ///
    /// # Panics
    /// If they are not as many.
    #[must_use]
    pub fn new(n_items: usize, weights: Vec<f32>, notes: Vec<String>) -> Self {
        assert_eq!(weights.len(), n_items * n_items, "a weight for each pair of items");
        Self { n_items, weights, notes, family: PhantomData }
    }

    /// Rebuilds a model from its parts.
    ///
    /// # Errors
    /// [`LoadError`] for missing, misshapen or unusable parts.
    pub fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        let Tensor { shape, data } = parts.take("weights", &[None, None])?;
        if shape[0] != shape[1] || !data.iter().all(|x| x.is_finite()) {
            let expected = vec![shape[0]; 2];
            return Err(LoadError::TensorShape { name: "weights".to_owned(), expected, got: shape });
        }
        Ok(Self::new(shape[0], data, parts.get("notes")?))
    }
}

impl<F: ModelFamily + Sync> PerUser for DenseWeights<F> {
    type Family = F;
    type State = Vec<u32>;

    fn catalogue(&self) -> usize {
        self.n_items
    }

    fn feedback(&self) -> &Feedback {
        &Feedback::Implicit
    }

    fn state(&self, user: &UserView<'_>) -> Result<Vec<u32>, ScoreError> {
        Ok(ascending(user))
    }

    fn value(&self, history: &Vec<u32>, item: usize) -> f32 {
        history.iter().fold(0.0, |sum, &other| sum + self.weights[other as usize * self.n_items + item])
    }

    fn values(&self, history: &Vec<u32>, out: &mut [f32]) {
        row_sums(history, &self.weights, out);
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let tensor = Tensor::new([self.n_items, self.n_items], self.weights.clone());
        parts.tensors.insert("weights".to_owned(), tensor);
        parts.set("notes", &self.notes);
        parts
    }
}

/// Sparse weights: row `j` is what an item `j` of the history adds to others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ItemWeights(Csr);

impl ItemWeights {
    /// Takes a square matrix as it is, a row for each item of a history.
    pub(crate) fn new(weights: Csr) -> Self {
        Self(weights)
    }

    /// Of the neighbours of each item of a history: what these get from it.
    pub(crate) fn of_history(near: &Neighbours) -> Self {
        let n = near.n_rows();
        let triples: Vec<(u32, u32, f32)> = (0..n)
            .flat_map(|row| {
                let (items, weights) = near.of(row);
                items.iter().zip(weights).map(move |(&item, &weight)| (row as u32, item, weight))
            })
            .collect();
        Self(Csr::from_triples(n, n, &triples).expect("each neighbour once, and within the catalogue"))
    }

    /// Of the neighbours of each item that is scored: what it gets from these.
    pub(crate) fn of_targets(near: &Neighbours) -> Self {
        Self(Self::of_history(near).0.transpose())
    }

    pub(crate) fn n_items(&self) -> usize {
        self.0.n_cols()
    }

    /// The scores of all items.
    pub(crate) fn scores(&self, user: &UserView<'_>) -> Vec<f32> {
        let mut out = vec![0.0; self.n_items()];
        for item in ascending(user) {
            let (items, weights) = self.0.row(item as usize);
            for (&item, &weight) in items.iter().zip(weights) {
                out[item as usize] += weight;
            }
        }
        out
    }

    pub(crate) fn to_parts(&self, parts: &mut ModelParts) {
        lists::to_parts("weight", self.0.offsets(), self.0.columns(), self.0.values(), parts);
    }

    pub(crate) fn from_parts(parts: &mut ModelParts) -> Result<Self, LoadError> {
        let unusable = || LoadError::Meta { key: "weight_numbers".to_owned() };
        let lists = lists::from_parts("weight", None, parts)?;
        if !lists.values.iter().all(|weight| weight.is_finite()) {
            return Err(unusable());
        }
        let n = lists.offsets.len() - 1;
        Csr::from_parts(n, lists.offsets, lists.numbers, lists.values).map(Self).map_err(|_| unusable())
    }
}

/// A model of the family `F` that has weights for some pairs of items.
#[derive(Clone, Debug)]
pub struct SparseWeights<F> {
    weights: ItemWeights,
    notes: Vec<String>,
    family: PhantomData<F>,
}

impl<F> SparseWeights<F> {
    pub(crate) fn new(weights: ItemWeights, notes: Vec<String>) -> Self {
        Self { weights, notes, family: PhantomData }
    }

    /// Rebuilds a model from its parts.
    ///
    /// # Errors
    /// [`LoadError`] for missing, misshapen or unusable parts.
    pub fn load(mut parts: ModelParts) -> Result<Self, LoadError> {
        Ok(Self::new(ItemWeights::from_parts(&mut parts)?, parts.get("notes")?))
    }

    /// Number of pairs of items that have a weight.
    #[must_use]
    pub fn n_weights(&self) -> usize {
        self.weights.0.n_entries()
    }
}

impl<F: ModelFamily + Sync> PerUser for SparseWeights<F> {
    type Family = F;
    /// The scores of all items.
    type State = Vec<f32>;

    fn catalogue(&self) -> usize {
        self.weights.n_items()
    }

    fn feedback(&self) -> &Feedback {
        &Feedback::Implicit
    }

    fn state(&self, user: &UserView<'_>) -> Result<Vec<f32>, ScoreError> {
        Ok(self.weights.scores(user))
    }

    fn value(&self, scores: &Vec<f32>, item: usize) -> f32 {
        scores[item]
    }

    fn values(&self, scores: &Vec<f32>, out: &mut [f32]) {
        out.copy_from_slice(scores);
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        self.weights.to_parts(&mut parts);
        parts.set("notes", &self.notes);
        parts
    }
}
