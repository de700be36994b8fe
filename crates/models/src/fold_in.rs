//! Folding a new user into a linear factor model by ridge regression on their ratings.
//!
//! With `q_i = [m_i | 1]` for an item (the 1 only where the model has biases) and a prior mean `x₀`, the mean of the training users'
//! factors, a user with ratings `r_i` gets
//! `x = argmin Σ_i (r_i − μ − b_i − q_i·x)² + Σ_c λ_c (x_c − x₀_c)²`. Without ratings that is `x₀`. O(n·k² / 2 + k³ / 6) a user ([`foldin_nn::ridge`]); deterministic.

use foldin_core::{Factors, ItemFactors, LoadError, ModelParts, ScoreError, Tensor, UserView};
use foldin_nn::ridge;
use rayon::prelude::*;

use crate::sgd::Side;

/// How strongly folded-in factors are shrunk towards those of the training users.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ridge {
    /// On a factor whose variance among the training users is that of the factors' average; positive.
    pub factors: f32,
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
        let lambda = variance.iter().map(|&variance| {
            let relative = if average > 0.0 { (variance / average).max(0.01) } else { 1.0 };
            (f64::from(self.factors) / relative) as f32
        });
        let bias = (prior.len() > k).then_some(self.bias);
        FoldIn { lambda: lambda.chain(bias).collect(), prior }
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
    pub lambda: Vec<f32>,
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
            || ridge::Ridge::new(self.prior.len()),
            |ridge, ((row, bias), user)| self.one(items, user, ridge, row, bias),
        )?;
        Ok(out)
    }

    fn one(
        &self,
        items: &ItemFactors,
        user: &UserView<'_>,
        ridge: &mut ridge::Ridge,
        row: &mut [f32],
        bias: &mut f32,
    ) -> Result<(), ScoreError> {
        user.check(items.bias.len())?;
        let (k, columns) = (items.k, self.prior.len());
        let solved = ridge
            .solve(user.items.len(), &self.lambda, &self.prior, |t, out| {
                let item = user.items[t] as usize;
                out[..k].copy_from_slice(items.row(item));
                out[k..columns].fill(1.0);
                out[columns] = user.values[t] - items.mean - items.bias[item];
            })
            .ok()
            .filter(|solved| solved.iter().all(|x| x.is_finite()))
            .ok_or(ScoreError::NotFinite { what: "the solution of a user's fold-in" })?;
        row.iter_mut().chain([bias]).zip(solved).for_each(|(out, &x)| *out = x);
        Ok(())
    }

    /// Adds what a model folder keeps.
    pub fn to_parts(&self, parts: &mut ModelParts) {
        for (name, data) in [("fold_in_lambda", &self.lambda), ("fold_in_prior", &self.prior)] {
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
        let lambda = parts.take("fold_in_lambda", &[Some(prior.len())])?.data;
        if !lambda.iter().all(|&lambda| lambda > 0.0) {
            return Err(LoadError::Meta { key: "fold_in_lambda".to_owned() });
        }
        Ok(Self { lambda, prior })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    fn items(n: usize, k: usize) -> ItemFactors {
        let mut random = Random::new(1);
        let mut draw = |n: usize| (0..n).map(|_| random.normal() as f32 * 0.3).collect::<Vec<f32>>();
        ItemFactors { k, m: draw(n * k), bias: draw(n), mean: 3.5 }
    }

    /// At the minimum no direction leads down: the objective's slope, by finite differences in `f64`, is nought.
    #[test]
    fn is_the_minimum_of_its_objective() {
        let (n, k) = (40, 12);
        let items = items(n, k);
        let mut random = Random::new(2);
        let history: Vec<u32> = (0..n as u32).filter(|_| random.chance(0.6)).collect();
        let values: Vec<f32> = history.iter().map(|_| 1.0 + random.below(5) as f32).collect();
        let fold_in = FoldIn {
            lambda: (0..=k).map(|at| 0.5 + at as f32 * 0.1).collect(),
            prior: (0..=k).map(|_| random.normal() as f32 * 0.2).collect(),
        };
        let factors = fold_in.generate(&items, &[UserView::new(&history, &values)]).unwrap();
        let x: Vec<f64> = factors.u.iter().chain(&factors.bias).map(|&x| f64::from(x)).collect();
        let objective = |x: &[f64]| {
            let errors = history.iter().zip(&values).map(|(&item, &value)| {
                let row = items.row(item as usize);
                let dot: f64 = row.iter().zip(x).map(|(&m, x)| f64::from(m) * x).sum();
                f64::from(value - items.mean - items.bias[item as usize]) - dot - x[k]
            });
            let shrinkage = x.iter().zip(fold_in.lambda.iter().zip(&fold_in.prior));
            errors.map(|error| error * error).sum::<f64>()
                + shrinkage.map(|(x, (&l, &p))| f64::from(l) * (x - f64::from(p)).powi(2)).sum::<f64>()
        };
        for at in 0..=k {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[at] += 1e-4;
            down[at] -= 1e-4;
            let slope = (objective(&up) - objective(&down)) / 2e-4;
            // The curvature is below some hundred and x is right to 1e-6.
            assert!(slope.abs() < 1e-3, "column {at}: {slope}");
        }
    }

    #[test]
    fn nobody_known_is_the_prior_and_biases_alone_are_damped_means() {
        let fold_in = FoldIn { lambda: vec![2.0, 2.0], prior: vec![0.25, -0.5] };
        let factors = fold_in.generate(&items(3, 1), &[UserView::default()]).unwrap();
        assert_eq!((factors.u, factors.bias), (vec![0.25], vec![-0.5]));
        let items = ItemFactors { k: 0, m: vec![], bias: vec![0.5, 0.0], mean: 3.0 };
        let fold_in = FoldIn { lambda: vec![1.0], prior: vec![0.0] };
        let users = [UserView::new(&[0, 1], &[4.5, 3.5]), UserView::default()];
        let factors = fold_in.generate(&items, &users).unwrap();
        // (1 + 0.5) / (2 + 1).
        assert!((factors.bias[0] - 0.5).abs() < 1e-6);
        assert_eq!(factors.bias[1].to_bits(), 0);
    }

    #[test]
    fn factors_shrink_by_their_spread() {
        // Variances 1 and 4 about means 1 and 0; their average is 2.5.
        let users = Side { factors: vec![0.0, -2.0, 2.0, 2.0], bias: vec![0.5, 1.5] };
        let fold_in = Ridge { factors: 2.0, bias: 3.0 }.fold_in(&users, 2);
        assert_eq!(fold_in.lambda, [5.0, 1.25, 3.0]);
        assert_eq!(fold_in.prior, [1.0, 0.0, 1.0]);
    }
}
