//! From histories to posteriors of users: the hot path.
//!
//! For `n` ratings and `K = k + 1`: `P = Λ + (1/σ²) Σ_i E[f f']`, where `E[f f']` is the product of the item's mean factors with
//! themselves, summed in registers from gathered rows, plus their covariance, summed as eight-bit numbers. One more gathered column,
//! what the rating leaves over the mean and the item's bias, gives the right side along the way. Then one sweep of `P`.
//!
//! Cost: `n K² / 2` multiplications, `n (K² / 2 + 4 k + 4 w)` bytes (`w` features of the history), and `K³ / 2` multiplications. A
//! user served alone and one in a batch get the same bits.

use std::fmt::{self, Debug, Formatter};
use std::sync::Mutex;

use foldin_core::{ScoreError, UserView};
use foldin_nn::gaussian::{RowProducts, Workspace, packed_len, posterior};
use foldin_nn::kernels::axpy;

use super::model::LfgBayesModel;

/// Users that a task serves.
pub(super) const USERS_AT_ONCE: usize = 32;

/// Room for serving users one after the other.
#[derive(Debug)]
pub(super) struct Scratch {
    products: RowProducts,
    summed: Vec<i32>,
    sums: Vec<f32>,
    features: Vec<f32>,
    other_mean: Vec<f32>,
    precision: Vec<f32>,
    right: Vec<f32>,
    mean: Vec<f32>,
    work: Workspace,
}

impl Scratch {
    fn new(model: &LfgBayesModel) -> Self {
        let order = model.order();
        Self {
            products: RowProducts::new(order + 1),
            summed: vec![0; model.covariances.width()],
            sums: vec![0.0; packed_len(order)],
            features: vec![1.0; 1 + model.history.len()],
            other_mean: vec![0.0; order],
            precision: vec![0.0; order],
            right: vec![0.0; order],
            mean: vec![0.0; order],
            work: Workspace::new(order),
        }
    }
}

/// Scratch that is used again by later calls; a clone starts empty.
#[derive(Default)]
pub(super) struct Pool(Mutex<Vec<Scratch>>);

impl Clone for Pool {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Debug for Pool {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Pool")
    }
}

impl Pool {
    /// Runs `work` with scratch of its own. A panic elsewhere while the list was locked leaves it usable: it only holds buffers.
    fn with<T>(&self, model: &LfgBayesModel, work: impl FnOnce(&mut Scratch) -> T) -> T {
        let held = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let mut scratch = held.unwrap_or_else(|| Scratch::new(model));
        let out = work(&mut scratch);
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(scratch);
        out
    }
}

/// A user's posterior, as it is handed to the caller of [`LfgBayesModel::posteriors`].
pub(super) struct UserPosterior<'a> {
    /// `[k + 1]`: factors, then bias.
    pub(super) mean: &'a [f32],
    /// Holds the covariance.
    pub(super) work: &'a Workspace,
}

impl LfgBayesModel {
    /// Checks what is not checked by [`UserView::check`]: side information as wide as the model's.
    pub(super) fn check_users(&self, users: &[UserView<'_>]) -> Result<(), ScoreError> {
        let width = self.inputs.user_side_width;
        for user in users {
            user.check(self.items.bias.len())?;
            let beyond = user.features.columns.last().is_some_and(|&column| column as usize >= width);
            // A model without side information may be given some; it does not look.
            if beyond && width > 0 {
                let got = user.features.columns.last().map_or(0, |&column| column as usize + 1);
                return Err(ScoreError::Shape { what: "columns of user features", expected: width, got });
            }
            if user.features.values.iter().any(|x| !x.is_finite()) {
                return Err(ScoreError::NotFinite { what: "a feature of the user" });
            }
        }
        Ok(())
    }

    /// Posteriors of checked users, each handed to `take` with its position.
    pub(super) fn posteriors(
        &self,
        users: &[UserView<'_>],
        mut take: impl FnMut(usize, UserPosterior<'_>),
    ) -> Result<(), ScoreError> {
        self.pool.with(self, |scratch| {
            let mut finite = true;
            for (at, user) in users.iter().enumerate() {
                self.posterior_of(user, scratch);
                finite &= scratch.mean.iter().all(|x| x.is_finite());
                take(at, UserPosterior { mean: &scratch.mean, work: &scratch.work });
            }
            if finite { Ok(()) } else { Err(ScoreError::NotFinite { what: "a generated factor" }) }
        })
    }

    fn posterior_of(&self, user: &UserView<'_>, scratch: &mut Scratch) {
        let Scratch { products, summed, sums, features, other_mean, precision, right, mean, work, .. } =
            scratch;
        let order = self.order();
        let k = order - 1;
        let weight = 1.0 / self.noise;

        // Prior mean and precision, between those of the two nearest counts.
        self.history.write(user.items, &mut features[1..]);
        let (below, above, step) = self.priors.around(user.items.len());
        self.prior_mean(&below.weights, user, features, mean);
        precision.copy_from_slice(&below.precision);
        if step > 0.0 {
            self.prior_mean(&above.weights, user, features, other_mean);
            for j in 0..order {
                mean[j] += step * (other_mean[j] - mean[j]);
                let (low, high) = (1.0 / precision[j], 1.0 / above.precision[j]);
                precision[j] = 1.0 / (low + step * (high - low));
            }
        }

        products.clear();
        products.gather(user.items, &self.items.m, k);
        let rows = products.last(user.items.len());
        for (row, (&item, &value)) in rows.zip(user.items.iter().zip(user.values)) {
            row[k] = 1.0;
            row[order] = value - self.items.mean - self.items.bias[item as usize];
        }
        products.multiply();
        for i in 0..order {
            sums[packed_len(i)..packed_len(i) + i + 1].copy_from_slice(products.row(i));
        }
        self.covariances.sum(user.items, summed);
        // The constant has no covariance; what would be its row is that of the factors with the bias.
        self.covariances.add_scaled(summed, 0, &mut sums[..packed_len(k)]);
        right.copy_from_slice(&products.row(order)[..order]);
        self.covariances.subtract_scaled(summed, packed_len(k), &mut right[..k]);
        for j in 0..order {
            right[j] = precision[j] * mean[j] + weight * right[j];
        }
        posterior(sums, weight, precision, right, work, mean);
    }

    /// `mean = B'φ` for a user.
    fn prior_mean(&self, weights: &[f32], user: &UserView<'_>, features: &[f32], mean: &mut [f32]) {
        let order = mean.len();
        let width = self.inputs.user_side_width;
        mean.fill(0.0);
        if width > 0 {
            for (&column, &value) in user.features.columns.iter().zip(user.features.values) {
                axpy(value, &weights[column as usize * order..][..order], mean);
            }
        }
        for (&feature, row) in features.iter().zip(weights[width * order..].chunks_exact(order)) {
            axpy(feature, row, mean);
        }
    }
}
