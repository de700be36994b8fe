//! What a linear model is once it is fitted: a vector for each user and each item, `x_ui = θ_u·φ_i`.
//!
//! # A new user
//! [`LinearModel::fold_in`] finds the θ that the training objective gives somebody with these purchases while the items' vectors stay as
//! they are, as [`foldin_models::item_vectors`] does when the items are served.

use foldin_core::ItemFactors;
use foldin_models::item_vectors::{check_lambda, fold_in};
use foldin_nn::retrieval::PackedItems;

use crate::error::VisionError;
use crate::recommend::{Scorer, check};

/// A fitted linear model.
#[derive(Clone, Debug)]
pub struct LinearModel {
    name: String,
    k: usize,
    users: Vec<f32>,
    items: ItemFactors,
    packed: PackedItems,
}

impl LinearModel {
    /// From vectors of users `[n_users × k]` and items `[n_items × k]`.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if a length is no multiple of `k`.
    pub fn new(name: &str, k: usize, users: Vec<f32>, items: Vec<f32>) -> Result<Self, VisionError> {
        if k == 0 || !users.len().is_multiple_of(k) || !items.len().is_multiple_of(k) {
            return Err(VisionError::shape("numbers of vectors", format!("a multiple of {k}"), items.len()));
        }
        let n_items = items.len() / k;
        let items = ItemFactors { k, m: items, bias: vec![0.0; n_items], mean: 0.0 };
        let packed = PackedItems::new(&items);
        Ok(Self { name: name.to_owned(), k, users, items, packed })
    }

    /// Under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Length of a vector.
    #[must_use]
    pub fn k(&self) -> usize {
        self.k
    }

    /// Number of items.
    #[must_use]
    pub fn n_items(&self) -> usize {
        self.items.m.len() / self.k
    }

    /// Number of training users.
    #[must_use]
    pub fn n_users(&self) -> usize {
        self.users.len() / self.k
    }

    /// A training user's vector.
    ///
    /// # Panics
    /// If there is no such user.
    #[must_use]
    pub fn user(&self, user: u32) -> &[f32] {
        &self.users[user as usize * self.k..][..self.k]
    }

    /// An item's vector.
    ///
    /// # Panics
    /// If there is no such item.
    #[must_use]
    pub fn item(&self, item: u32) -> &[f32] {
        &self.items.m[item as usize * self.k..][..self.k]
    }

    /// All items' vectors, `[n_items × k]`.
    #[must_use]
    pub fn items(&self) -> &[f32] {
        &self.items.m
    }

    /// All training users' vectors, `[n_users × k]`.
    #[must_use]
    pub fn users(&self) -> &[f32] {
        &self.users
    }

    /// The scores of all items for a vector, wherever it is from.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if lengths disagree.
    pub fn scores_of(&self, theta: &[f32], out: &mut [f32]) -> Result<(), VisionError> {
        check(0, 1, out, self.n_items())?;
        if theta.len() != self.k {
            return Err(VisionError::shape("numbers of a user", self.k, theta.len()));
        }
        self.packed.score(theta, 0.0, out);
        Ok(())
    }

    /// θ of somebody who bought these items, see the head of this file; zeros for somebody who bought nothing.
    ///
    /// # Errors
    /// [`VisionError::Shape`] for an item that does not exist; as [`check_lambda`].
    pub fn fold_in(&self, bought: &[u32], lambda: f64) -> Result<Vec<f32>, VisionError> {
        check_lambda(lambda)?;
        if let Some(bad) = bought.iter().find(|&&item| item as usize >= self.n_items()) {
            return Err(VisionError::shape("item number", format!("below {}", self.n_items()), bad));
        }
        Ok(fold_in(&self.items.m, self.k, bought, lambda))
    }

    /// The same items with users folded in anew from their purchases: what is served, as nothing per user is kept.
    ///
    /// # Errors
    /// As [`fold_in`](Self::fold_in).
    pub fn folded_in(&self, purchases: &foldin_core::Interactions, lambda: f64) -> Result<Self, VisionError> {
        use rayon::prelude::*;
        let matrix = purchases.by_user();
        let users: Vec<Vec<f32>> = (0..matrix.n_rows())
            .into_par_iter()
            .map(|user| self.fold_in(matrix.row(user).0, lambda))
            .collect::<Result<_, _>>()?;
        Ok(Self { users: users.concat(), ..self.clone() })
    }
}

impl Scorer for LinearModel {
    fn name(&self) -> &str {
        &self.name
    }

    fn scores(&self, user: u32, out: &mut [f32]) -> Result<(), VisionError> {
        check(user, self.n_users(), out, self.n_items())?;
        self.scores_of(self.user(user), out)
    }
}

#[cfg(test)]
mod tests {
    use foldin_core::random::Random;

    use super::*;

    fn model() -> LinearModel {
        let mut random = Random::new(3);
        let items = (0..40 * 3).map(|_| random.normal() as f32).collect();
        LinearModel::new("test", 3, vec![1.0, 0.0, 0.0], items).unwrap()
    }

    #[test]
    fn scores_are_products() {
        let model = model();
        let mut out = vec![0.0; 40];
        model.scores(0, &mut out).unwrap();
        for (item, score) in out.iter().enumerate() {
            assert!((score - model.item(item as u32)[0]).abs() < 1e-6);
        }
        assert!(model.scores(1, &mut out).is_err());
        assert!(model.scores(0, &mut out[1..]).is_err());
        assert!(model.fold_in(&[40], 0.5).is_err() && model.fold_in(&[1], -0.1).is_err());
    }
}
