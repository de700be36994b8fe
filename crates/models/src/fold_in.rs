//! Folding a new user into a linear factor model by ridge regression on their ratings.
//!
//! With `q_i = [m_i | 1]` for an item (the 1 only where the model has biases) and a prior mean `x₀`, the mean of the training users'
//! factors, a user with ratings `r_i` gets
//! `x = argmin Σ_i (r_i − μ − b_i − q_i·x)² + Σ_c λ_c (x_c − x₀_c)²`. Without ratings that is `x₀`. O(n·k² / 2 + k³ / 6) a user ([`foldin_nn::ridge`]); deterministic.
//!
//! A model may add to `λ_c` with each rating ([`FoldIn::per_rating`]), and to `x₀` by which items are rated ([`FoldIn::implied`]).

use std::borrow::Cow;

use foldin_core::{Csr, Factors, ItemFactors, LoadError, ModelParts, ScoreError, Tensor, UserView};
use foldin_nn::kernels::weighted_row_sums;
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
        FoldIn::new(lambda.chain(bias).collect(), prior)
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
    /// Shrinkage of each factor, and then of the bias if the model has one; all positive, or not negative where
    /// [`FoldIn::per_rating`] adds to it.
    pub lambda: Vec<f32>,
    /// `x₀`: factors, and then the bias if the model has one, of a user of whom nothing is known.
    pub prior: Vec<f32>,
    /// What each rating adds to the shrinkage, which makes `λ_c + n·λ'_c` of it for `n` ratings; empty if nothing.
    pub per_rating: Vec<f32>,
    /// What it says which items were rated, if that moves `x₀`.
    pub implied: Option<Implied>,
}

/// What having rated items says of a user, whatever the ratings: `x₀` becomes `x₀ + n / (n + damping) · (n^(−½) Σ_j y_j − mean)` over the `n`
/// rated items.
#[derive(Clone, Debug, PartialEq)]
pub struct Implied {
    /// `y`, `[n_items × k]`.
    pub y: Vec<f32>,
    /// The mean of `n^(−½) Σ_j y_j` among the training users, which is a part of `x₀` already.
    pub mean: Vec<f32>,
    /// Rated items at which half of it is believed; 0 believes all of it from the first item on.
    pub damping: f32,
}

impl Implied {
    /// With the mean of the training users who rated anything.
    #[must_use]
    pub fn new(y: Vec<f32>, histories: &Csr, k: usize, damping: f32) -> Self {
        let mut sum = vec![0.0f64; k];
        let mut row = vec![0.0; k];
        let mut users = 0usize;
        for user in (0..histories.n_rows()).filter(|&user| histories.row_len(user) > 0) {
            row.fill(0.0);
            add_implied(&y, histories.row(user).0, 1.0, &mut row);
            sum.iter_mut().zip(&row).for_each(|(sum, &x)| *sum += f64::from(x));
            users += 1;
        }
        let mean = sum.iter().map(|sum| (sum / users.max(1) as f64) as f32).collect();
        Self { y, mean, damping }
    }
}

/// Adds `weight · n^(−½) Σ_j y_j` over the `n` items rated.
fn add_implied(y: &[f32], rated: &[u32], weight: f32, out: &mut [f32]) {
    let weights = vec![weight / (rated.len() as f32).sqrt(); rated.len()];
    weighted_row_sums(&[0, rated.len()], rated, &weights, y, out.len(), out);
}

/// Flag of a model folder that each rating adds to the shrinkage.
const HAS_PER_RATING: &str = "fold_in_has_per_rating";
/// Kept by models in which rated items say something.
const IMPLIED_DAMPING: &str = "fold_in_implied_damping";

impl FoldIn {
    /// Shrinks by `lambda` towards `prior`, whatever and however much is rated.
    #[must_use]
    pub fn new(lambda: Vec<f32>, prior: Vec<f32>) -> Self {
        Self { lambda, prior, per_rating: Vec::new(), implied: None }
    }

    /// The shrinkage for a number of ratings; with none as with one, so that there always is some.
    fn lambda(&self, ratings: usize) -> Cow<'_, [f32]> {
        if self.per_rating.is_empty() {
            return Cow::Borrowed(&self.lambda);
        }
        let n = ratings.max(1) as f32;
        self.lambda.iter().zip(&self.per_rating).map(|(lambda, each)| lambda + n * each).collect()
    }

    /// `x₀` of a user who rated these items, in a model of `k` factors.
    fn prior(&self, rated: &[u32], k: usize) -> Cow<'_, [f32]> {
        let Some(implied) = self.implied.as_ref().filter(|_| !rated.is_empty()) else {
            return Cow::Borrowed(&self.prior);
        };
        let n = rated.len() as f32;
        let believed = n / (n + implied.damping);
        let mut out = self.prior.clone();
        out.iter_mut().zip(&implied.mean).for_each(|(x, mean)| *x -= believed * mean);
        add_implied(&implied.y, rated, believed, &mut out[..k]);
        Cow::Owned(out)
    }

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
            .solve(user.items.len(), &self.lambda(user.items.len()), &self.prior(user.items, k), |t, out| {
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
        if !self.per_rating.is_empty() {
            parts.set(HAS_PER_RATING, true);
            let tensor = Tensor::new([self.per_rating.len()], self.per_rating.clone());
            parts.tensors.insert("fold_in_per_rating".to_owned(), tensor);
        }
        if let Some(Implied { y, mean, damping }) = &self.implied {
            parts.set(IMPLIED_DAMPING, damping);
            let k = mean.len();
            parts
                .tensors
                .insert("fold_in_implied".to_owned(), Tensor::new([y.len() / k.max(1), k], y.clone()));
            parts.tensors.insert("fold_in_implied_mean".to_owned(), Tensor::new([k], mean.clone()));
        }
    }

    /// Takes back what [`FoldIn::to_parts`] added, for a model of `k` factors of `n_items` items.
    ///
    /// # Errors
    /// [`LoadError`] for missing or misshapen tensors, or a shrinkage that is not positive.
    pub fn from_parts(parts: &mut ModelParts, k: usize, n_items: usize) -> Result<Self, LoadError> {
        let prior = parts.take("fold_in_prior", &[None])?.data;
        if prior.len() != k && prior.len() != k + 1 {
            return Err(LoadError::TensorShape {
                name: "fold_in_prior".to_owned(),
                expected: vec![k + 1],
                got: vec![prior.len()],
            });
        }
        let lambda = parts.take("fold_in_lambda", &[Some(prior.len())])?.data;
        let per_rating = if parts.meta.contains_key(HAS_PER_RATING) {
            parts.take("fold_in_per_rating", &[Some(prior.len())])?.data
        } else {
            Vec::new()
        };
        let implied = if parts.meta.contains_key(IMPLIED_DAMPING) {
            let y = parts.take("fold_in_implied", &[Some(n_items), Some(k)])?.data;
            let mean = parts.take("fold_in_implied_mean", &[Some(k)])?.data;
            let damping: f32 = parts.get(IMPLIED_DAMPING)?;
            if !(damping >= 0.0 && damping.is_finite()) {
                return Err(LoadError::Meta { key: IMPLIED_DAMPING.to_owned() });
            }
            Some(Implied { y, mean, damping })
        } else {
            None
        };
        let fold_in = Self { lambda, prior, per_rating, implied };
        let usable = |lambda: &f32| *lambda > 0.0;
        if !(fold_in.lambda(1).iter().all(usable) && fold_in.lambda.iter().all(|&lambda| lambda >= 0.0)) {
            return Err(LoadError::Meta { key: "fold_in_lambda".to_owned() });
        }
        Ok(fold_in)
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
        let plain = FoldIn::new(
            (0..=k).map(|at| 0.5 + at as f32 * 0.1).collect(),
            (0..=k).map(|_| random.normal() as f32 * 0.2).collect(),
        );
        slopes_are_nought(&items, &history, &values, &plain);
        let per_rating = (0..=k).map(|at| 0.02 + at as f32 * 0.01).collect();
        slopes_are_nought(&items, &history, &values, &FoldIn { per_rating, ..plain.clone() });
        let y = (0..n * k).map(|_| random.normal() as f32 * 0.2).collect();
        let mean = (0..k).map(|_| random.normal() as f32 * 0.1).collect();
        let implied = Some(Implied { y, mean, damping: 7.0 });
        slopes_are_nought(&items, &history, &values, &FoldIn { implied, ..plain });
    }

    fn slopes_are_nought(items: &ItemFactors, history: &[u32], values: &[f32], fold_in: &FoldIn) {
        let k = items.k;
        let factors = fold_in.generate(items, &[UserView::new(history, values)]).unwrap();
        let n = history.len() as f64;
        let each = |at: usize| fold_in.per_rating.get(at).map_or(0.0, |&each| f64::from(each) * n);
        let lambda: Vec<f64> = (0..=k).map(|at| f64::from(fold_in.lambda[at]) + each(at)).collect();
        let said = |at: usize| -> f64 {
            let Some(implied) = fold_in.implied.as_ref().filter(|_| at < k) else { return 0.0 };
            let sum: f64 = history.iter().map(|&item| f64::from(implied.y[item as usize * k + at])).sum();
            n / (n + f64::from(implied.damping)) * (sum / n.sqrt() - f64::from(implied.mean[at]))
        };
        let prior: Vec<f64> = (0..=k).map(|at| f64::from(fold_in.prior[at]) + said(at)).collect();
        let x: Vec<f64> = factors.u.iter().chain(&factors.bias).map(|&x| f64::from(x)).collect();
        let objective = |x: &[f64]| {
            let errors = history.iter().zip(values).map(|(&item, &value)| {
                let row = items.row(item as usize);
                let dot: f64 = row.iter().zip(x).map(|(&m, x)| f64::from(m) * x).sum();
                f64::from(value - items.mean - items.bias[item as usize]) - dot - x[k]
            });
            let shrinkage = x.iter().zip(lambda.iter().zip(&prior));
            errors.map(|error| error * error).sum::<f64>()
                + shrinkage.map(|(x, (l, p))| l * (x - p).powi(2)).sum::<f64>()
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
        let fold_in = FoldIn::new(vec![2.0, 2.0], vec![0.25, -0.5]);
        let factors = fold_in.generate(&items(3, 1), &[UserView::default()]).unwrap();
        assert_eq!((factors.u, factors.bias), (vec![0.25], vec![-0.5]));
        let items = ItemFactors { k: 0, m: vec![], bias: vec![0.5, 0.0], mean: 3.0 };
        let fold_in = FoldIn::new(vec![1.0], vec![0.0]);
        let users = [UserView::new(&[0, 1], &[4.5, 3.5]), UserView::default()];
        let factors = fold_in.generate(&items, &users).unwrap();
        // (1 + 0.5) / (2 + 1).
        assert!((factors.bias[0] - 0.5).abs() < 1e-6);
        assert_eq!(factors.bias[1].to_bits(), 0);
    }

    #[test]
    fn what_was_rated_moves_the_prior() {
        // Users rated items 0 and 1, and 1; the third nothing. √½ (1 + 3) and 3, halved.
        let histories = Csr::from_triples(3, 2, &[(0, 0, 1.0), (0, 1, 1.0), (1, 1, 1.0)]).unwrap();
        let implied = Implied::new(vec![1.0, 3.0], &histories, 1, 1.0);
        let mean = (4.0 * 0.5f32.sqrt() + 3.0) / 2.0;
        assert!((implied.mean[0] - mean).abs() < 1e-6);
        let fold_in = FoldIn { implied: Some(implied), ..FoldIn::new(vec![1e9, 1e9], vec![0.5, 0.25]) };
        let items = ItemFactors { k: 1, m: vec![1.0, 1.0], bias: vec![0.0; 2], mean: 0.0 };
        let users = [UserView::default(), UserView::new(&[0], &[2.0])];
        let factors = fold_in.generate(&items, &users).unwrap();
        assert_eq!((factors.u[0], factors.bias[0]), (0.5, 0.25));
        // Held fast at the prior: one item is believed by half.
        assert!((factors.u[1] - (0.5 + (1.0 - mean) / 2.0)).abs() < 1e-5);
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
