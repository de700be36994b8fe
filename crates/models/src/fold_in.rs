//! Folding a new user into a linear factor model by ridge regression on their ratings.
//!
//! With `q_i = [m_i | 1]` for an item (the 1 only where the model has biases) and a prior mean `x₀`, the mean of the training users'
//! factors, a user with ratings `r_i` gets
//! `x = argmin Σ_i (r_i − μ − b_i − q_i·x)² + Σ_c λ_c(n) (x_c − x₀_c)²`, with `λ_c(n) = base_c + per_rating_c · n` for `n` ratings.
//! Without ratings that is `x₀`. O(n·k² / 2 + k³ / 6) a user ([`foldin_nn::ridge`]); deterministic.

use foldin_core::{Factors, ItemFactors, LoadError, ModelParts, ScoreError, Tensor, UserView};
use foldin_nn::ridge::Ridge;
use rayon::prelude::*;

/// What a fold-in needs beside the items' factors.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldIn {
    /// Shrinkage of each factor, and then of the bias if the model has one; all positive.
    pub base: Vec<f32>,
    /// What each rating adds to it.
    pub per_rating: Vec<f32>,
    /// `x₀`: factors, and then the bias if the model has one, of a user of whom nothing is known.
    pub prior: Vec<f32>,
}

impl FoldIn {
    /// Generates the factors of each user. Users run in parallel.
    ///
    /// # Errors
    /// [`ScoreError`] for a history that the items cannot be scored with, or numbers too large to solve for.
    pub fn generate(&self, items: &ItemFactors, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        let k = items.k;
        let mut out =
            Factors { k, u: vec![0.0; users.len() * k], bias: vec![0.0; users.len()], covariance: None };
        // k may be 0: chunks are then taken of a vector of the users' own length.
        let rows: Vec<&mut [f32]> = if k == 0 {
            users.iter().map(|_| &mut [][..]).collect()
        } else {
            out.u.chunks_exact_mut(k).collect()
        };
        rows.into_par_iter().zip(&mut out.bias).zip(users).try_for_each_init(
            || (Ridge::new(self.prior.len()), vec![0.0; self.prior.len()]),
            |(ridge, lambda), ((row, bias), user)| self.one(items, user, ridge, lambda, row, bias),
        )?;
        Ok(out)
    }

    fn one(
        &self,
        items: &ItemFactors,
        user: &UserView<'_>,
        ridge: &mut Ridge,
        lambda: &mut [f32],
        row: &mut [f32],
        bias: &mut f32,
    ) -> Result<(), ScoreError> {
        user.check(items.bias.len())?;
        let (k, columns) = (items.k, self.prior.len());
        let n = user.items.len() as f32;
        for (lambda, (base, per_rating)) in lambda.iter_mut().zip(self.base.iter().zip(&self.per_rating)) {
            *lambda = base + per_rating * n;
        }
        let change = ridge
            .solve(user.items.len(), lambda, |t, out| {
                let item = user.items[t] as usize;
                let factors = items.row(item);
                out[..k].copy_from_slice(factors);
                out[k..columns].fill(1.0);
                let expected: f32 = out[..columns].iter().zip(&self.prior).map(|(q, x)| q * x).sum();
                out[columns] = user.values[t] - items.mean - items.bias[item] - expected;
            })
            .ok()
            .filter(|change| change.iter().all(|x| x.is_finite()))
            .ok_or(ScoreError::NotFinite { what: "the solution of a user's fold-in" })?;
        for ((out, change), prior) in row.iter_mut().chain([bias]).zip(change).zip(&self.prior) {
            *out = prior + change;
        }
        Ok(())
    }

    /// Adds what a model folder keeps.
    pub fn to_parts(&self, parts: &mut ModelParts) {
        for (name, data) in [
            ("fold_in_base", &self.base),
            ("fold_in_per_rating", &self.per_rating),
            ("fold_in_prior", &self.prior),
        ] {
            parts.tensors.insert(name.to_owned(), Tensor::new([data.len()], data.clone()));
        }
    }

    /// Takes back what [`FoldIn::to_parts`] added, for a model of `k` factors; `None` if it added nothing.
    ///
    /// # Errors
    /// [`LoadError`] for missing or misshapen tensors, or a shrinkage that is not positive.
    pub fn from_parts(parts: &mut ModelParts, k: usize) -> Result<Option<Self>, LoadError> {
        if !parts.tensors.contains_key("fold_in_prior") {
            return Ok(None);
        }
        let prior = parts.take("fold_in_prior", &[None])?.data;
        if prior.len() != k && prior.len() != k + 1 {
            return Err(LoadError::TensorShape {
                name: "fold_in_prior".to_owned(),
                expected: vec![k + 1],
                got: vec![prior.len()],
            });
        }
        let base = parts.take("fold_in_base", &[Some(prior.len())])?.data;
        let per_rating = parts.take("fold_in_per_rating", &[Some(prior.len())])?.data;
        if !base.iter().all(|&x| x > 0.0) || !per_rating.iter().all(|&x| x >= 0.0) {
            return Err(LoadError::Meta { key: "fold_in_base".to_owned() });
        }
        Ok(Some(Self { base, per_rating, prior }))
    }
}
