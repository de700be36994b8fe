//! The output where it is observed: residuals of the ratings of a batch, and the gradients of users and items.
//!
//! Factors of users and items are rows of equal, padded width `k₊`, biases included as columns: a user is `[u, b_u, 1, 0…]` and an
//! item `[m, 1, b_i, 0…]`, so that a prediction is one inner product.

use crate::kernel;
use crate::kernels::{axpy_in, dot_in};
use crate::plan::RowLists;

/// A rating of a user of the batch: the position of its item among the items of the batch, and the rating less the mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Target {
    /// Position of the item in [`RowLists::rows`].
    pub item: u32,
    /// Rating less the mean of all.
    pub value: f32,
}

/// A rating of an item of the batch: the user's position, and the position of its residual.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rater {
    /// Position of the user in the batch.
    pub user: u32,
    /// Position of the rating in the batch, user after user.
    pub rating: u32,
}

kernel! {
    /// For one user: `residuals[j] = (user·item_j − value_j) · scale` and `gradient = Σ_j residuals[j] · item_j`. Returns the sum
    /// of squares of the residuals before scaling.
    ///
    /// # Panics
    /// If an item is out of range or the lengths disagree.
    pub fn user_residuals(
        simd, user: &[f32], items: &[f32], targets: &[Target], scale: f32, residuals: &mut [f32], gradient: &mut [f32],
    ) -> f64 {
        let width = user.len();
        gradient.fill(0.0);
        let mut squares = 0.0f64;
        for (target, residual) in targets.iter().zip(residuals) {
            let from = target.item as usize * width;
            let item = &items[from..from + width];
            let error = dot_in(simd, user, item) - target.value;
            squares += f64::from(error) * f64::from(error);
            *residual = error * scale;
            axpy_in(simd, *residual, item, gradient);
        }
        squares
    }

    /// The gradients of the items at `positions` of `lists`: `gradients[i] = Σ residual · user`, `[positions.len() × width]`.
    ///
    /// # Panics
    /// If a user or a rating is out of range.
    pub fn item_gradients(
        simd, lists: &RowLists<Rater>, positions: std::ops::Range<usize>, users: &[f32], width: usize,
        residuals: &[f32], gradients: &mut [f32],
    ) {
        for (gradient, position) in gradients.chunks_exact_mut(width).zip(positions) {
            gradient.fill(0.0);
            for rater in lists.of(position) {
                let from = rater.user as usize * width;
                axpy_in(simd, residuals[rater.rating as usize], &users[from..from + width], gradient);
            }
        }
    }
}
