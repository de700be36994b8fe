//! Folding a new user into a linear factor model by ridge regression on their ratings.
//!
//! With `q_i = [m_i | 1]` for an item (the 1 only where the model has biases) and a prior mean `x₀`, the mean of the training users'
//! factors, a user with ratings `r_i` gets
//! `x = argmin Σ_i (r_i − μ − b_i − q_i·x)² + Σ_c λ_c(n) (x_c − x₀_c)²`, with `λ_c(n) = base_c + per_rating_c · n` for `n` ratings.
//! Without ratings that is `x₀`. O(n·k² / 2 + k³ / 6) a user ([`foldin_nn::ridge`]); deterministic.

use foldin_core::{Factors, ItemFactors, LoadError, ModelParts, ScoreError, Tensor, UserView};
use foldin_nn::ridge;
use rayon::prelude::*;

use crate::sgd::Side;

/// How strongly folded-in factors are shrunk towards those of the training users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ridge {
    /// On a factor whose variance among the training users is that of the factors' average; positive.
    pub factors: f32,
    /// What each rating adds to the ridge on every factor.
    pub per_rating: f32,
    /// On the bias; positive.
    pub bias: f32,
}

impl Ridge {
    /// The fold-in for learned users: shrinks towards their mean, each factor in inverse proportion to its variance among
    /// them, as a Gaussian prior of that variance would.
    #[must_use]
    pub fn fold_in(&self, users: &Side, k: usize) -> FoldIn {
        let prior = mean_row(users, k, |_| true);
        let n = users.factors.len() / k.max(1);
        let mut variance = vec![0.0f64; k];
        for row in users.factors.chunks_exact(k.max(1)) {
            for ((variance, &x), &mean) in variance.iter_mut().zip(row).zip(&prior) {
                *variance += f64::from(x - mean).powi(2) / n as f64;
            }
        }
        let average = variance.iter().sum::<f64>() / k.max(1) as f64;
        // A factor that all users share would be held fast; a hundredth of the average lets it move.
        let base = variance.iter().map(|&variance| {
            let relative = if average > 0.0 { (variance / average).max(0.01) } else { 1.0 };
            (f64::from(self.factors) / relative) as f32
        });
        let bias = (prior.len() > k).then_some(self.bias);
        let per_rating = (0..prior.len()).map(|at| if at < k { self.per_rating } else { 0.0 });
        FoldIn { base: base.chain(bias).collect(), per_rating: per_rating.collect(), prior }
    }
}

/// The mean factors, and then the mean bias if there are any, of the rows that count.
pub(crate) fn mean_row(side: &Side, k: usize, counts: impl Fn(usize) -> bool) -> Vec<f32> {
    let n = side.factors.len() / k.max(1);
    let mut sum = vec![0.0f64; k + usize::from(!side.bias.is_empty())];
    let mut rows = 0usize;
    for row in (0..n).filter(|&row| counts(row)) {
        let values = side.factors[row * k..(row + 1) * k].iter().chain(side.bias.get(row));
        sum.iter_mut().zip(values).for_each(|(sum, &x)| *sum += f64::from(x));
        rows += 1;
    }
    sum.iter().map(|sum| (sum / rows.max(1) as f64) as f32).collect()
}

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
            || (ridge::Ridge::new(self.prior.len()), vec![0.0; self.prior.len()]),
            |(ridge, lambda), ((row, bias), user)| self.one(items, user, ridge, lambda, row, bias),
        )?;
        Ok(out)
    }

    fn one(
        &self,
        items: &ItemFactors,
        user: &UserView<'_>,
        ridge: &mut ridge::Ridge,
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

    /// Takes back what [`FoldIn::to_parts`] added, for a model of `k` factors.
    ///
    /// # Errors
    /// [`LoadError`] for missing or misshapen tensors, or a shrinkage that is not positive.
    pub fn from_parts(parts: &mut ModelParts, k: usize) -> Result<Self, LoadError> {
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
        Ok(Self { base, per_rating, prior })
    }
}
