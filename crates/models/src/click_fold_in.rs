//! Folding a user into a linear factor model of clicks: one ridge regression on the items of the history.
//!
//! Three objectives, by how the items were learned ([`ClickRule`]); `H` is the history, of `n` items, and `N` the number of all items.
//!
//! * **Pointwise**, of implicit ALS: `Σ_{i∈H} w (1 − x·m_i)² + α₀ Σ_j (x·m_j)² + λ (n + α₀ N)^ν |x|²` with `w = a n^−e`.
//! * **Pairwise**, of folders that older versions wrote of BPR: every clicked item should beat the average other one by 2, by least squares,
//!   `Σ_{i∈H} mean_j (2 − (s_i − s_j))² + 4 n λ |x|²`. With scores `s̃` about their mean that is `Σ_{i∈H} (2 − s̃_i)² + n/N Σ_j s̃_j² + …`.
//! * **Logistic**, of BPR: `Σ_{i∈H} mean_j −ln σ(s_i − s_j) + ½ n λ |x|²` with `s_i = b_i + x·m_i` over all items `j`, whose scores are taken
//!   for draws of a normal distribution: with scores `s̃` about their mean over the items, and `v` their variance,
//!   `Σ_{i∈H} E_{z∼N(0,1)} −ln σ(s̃_i − √v z) + ½ n λ |x|²`. Its slope is `−p_i` by `s̃_i` and, as a normal's mean of a second derivative is twice the
//!   slope by the variance, `½ Σ h_i` by `v`, with `p` the mean of `σ(√v z − s̃_i)` and `h` that of `σ(1 − σ)`. So Newton's step, but for how
//!   `p` and `h` change with `v`, is the regression `Σ_{i∈H} h_i (s̃_i + p_i/h_i − s̃_i')² + Σ h_i/N Σ_j s̃_j'² + n λ |x'|²`. So are the parabolas above
//!   `−ln σ` (Jaakkola and Jordan 2000) by which the first two steps go: `h = ¼` towards scores of 2, then `h = tanh(ξ/2)/2ξ`
//!   towards `1/2h` with `ξ² = s̃_i² + v`.
//!
//! The sums over all items are one [`Gram`](foldin_nn::ridge::Gram) for everybody, so a user costs O(n·k² / 2 + k³ / 6), as with ratings, six times at most for the last;
//! deterministic. Of somebody without history a regression says nothing, and gets the mean of the training users instead.

mod given;

use foldin_core::{Factors, ItemFactors, LoadError, ModelParts, ScoreError, Tensor, UserView};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

pub(crate) use given::{Given, Room};

/// What is minimised for a user.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClickRule {
    /// Clicked items towards 1, all of them towards 0.
    Pointwise(Pointwise),
    /// Clicked items above all others, by least squares: what folders of before [`ClickRule::Logistic`] say.
    Pairwise {
        /// λ; positive.
        regularization: f32,
    },
    /// Clicked items above all others.
    Logistic {
        /// λ; positive.
        regularization: f32,
    },
}

/// Weights of implicit ALS.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pointwise {
    /// α₀: weight of every cell of the matrix, clicked or not; positive.
    pub unobserved: f32,
    /// λ; positive.
    pub regularization: f32,
    /// ν.
    pub frequency_exponent: f32,
    /// e.
    pub activity_exponent: f32,
    /// a: the mean of `n^e` among the training users, which makes their weights 1 on average, about.
    pub activity: f32,
}

impl Pointwise {
    /// λ (n + α₀ N)^ν of somebody (or something) with `n` clicks out of `of`.
    pub(crate) fn ridge(&self, n: usize, of: usize) -> f32 {
        let frequency = n as f64 + f64::from(self.unobserved) * of as f64;
        (f64::from(self.regularization) * frequency.powf(f64::from(self.frequency_exponent))) as f32
    }

    /// w of a user of `n` clicks.
    pub(crate) fn weight(&self, n: usize) -> f32 {
        self.activity * (n.max(1) as f32).powf(-self.activity_exponent)
    }
}

/// How far the scores of all items lie from their mean.
#[derive(Clone, Debug)]
struct Spread {
    n_items: f64,
    /// `[k × k]`: the sum over items of the products of their factors, about their mean.
    square: Vec<f32>,
    /// `[k]`: the same with the items' biases, about theirs.
    cross: Vec<f32>,
    /// Sum of the squared biases.
    biases: f64,
}

impl Spread {
    fn of(given: &Given) -> Self {
        Self {
            n_items: given.targets.len().max(1) as f64,
            square: given.gram.square(),
            // Targets are 2 less biases.
            cross: (0..given.k).map(|at| -given.gram.at(at, given.k)).collect(),
            biases: given.targets.iter().map(|target| f64::from(target - 2.0).powi(2)).sum(),
        }
    }

    /// Variance of the items' scores for a user of these factors.
    fn variance(&self, x: &[f32]) -> f64 {
        let mut sum = self.biases;
        for ((row, cross), &own) in self.square.chunks_exact(x.len()).zip(&self.cross).zip(x) {
            let product: f32 = row.iter().zip(x).map(|(g, x)| g * x).sum();
            sum += f64::from(own) * f64::from(product + 2.0 * cross);
        }
        (sum / self.n_items).max(0.0)
    }
}

/// Regressions of a logistic fold-in at most, and the change of the largest factor, of its size, that ends them sooner.
const STEPS: usize = 6;
const SETTLED: f32 = 1e-3;

/// Places and weights of a mean over N(0, 1): Gauss and Hermite's, of nine points.
const NORMAL: [(f64, f64); 9] = [
    (-4.512745863399783, 2.2345844007746607e-5),
    (-3.20542900285647, 0.002_789_141_321_231_769),
    (-2.07684797867783, 0.049_916_406_765_217_82),
    (-1.0232556637891326, 0.244_097_502_894_939_53),
    (0.0, 0.406_349_206_349_206_35),
    (1.0232556637891326, 0.244_097_502_894_939_53),
    (2.07684797867783, 0.049_916_406_765_217_82),
    (3.20542900285647, 0.002_789_141_321_231_769),
    (4.512745863399783, 2.2345844007746607e-5),
];

/// Means of `σ(√v z − s)` and of `σ(1 − σ)` of that over N(0, 1).
fn means_of_sigmoid(s: f64, v: f64) -> (f64, f64) {
    let deviation = v.sqrt();
    NORMAL.iter().fold((0.0, 0.0), |(first, second), &(z, weight)| {
        let sigmoid = 1.0 / (1.0 + (s - deviation * z).exp());
        (first + weight * sigmoid, second + weight * sigmoid * (1.0 - sigmoid))
    })
}

/// Curvature of the parabola above `−ln σ` that touches it where its argument is `±ξ`, by `ξ²`.
fn curvature_above(squared: f64) -> f64 {
    let xi = squared.sqrt();
    if xi < 1e-4 { 0.25 } else { (xi / 2.0).tanh() / (2.0 * xi) }
}

/// What a fold-in of clicks needs beside the items' factors.
#[derive(Clone, Debug)]
pub struct ClickFoldIn {
    rule: ClickRule,
    /// For the logistic rule.
    spread: Option<Spread>,
    /// Factors of somebody without history.
    nobody: Vec<f32>,
    given: Given,
}

const NO_SOLUTION: ScoreError = ScoreError::NotFinite { what: "the solution of a user's fold-in" };

/// Name of the rule in a model folder.
const RULE: &str = "click_fold_in";

impl ClickFoldIn {
    /// Folds into these items by a rule; somebody without history gets the factors of `nobody`.
    #[must_use]
    pub fn new(rule: ClickRule, items: &ItemFactors, nobody: Vec<f32>) -> Self {
        let given = match rule {
            ClickRule::Pointwise(_) => Given::pointwise(&items.m, items.k, |_| 1.0),
            ClickRule::Pairwise { .. } | ClickRule::Logistic { .. } => Given::pairwise(items),
        };
        let spread = matches!(rule, ClickRule::Logistic { .. }).then(|| Spread::of(&given));
        Self { rule, spread, nobody, given }
    }

    /// Generates the factors of each user. Users run in parallel.
    ///
    /// # Errors
    /// [`ScoreError`] for a history that the items cannot be scored with, or numbers too large to solve for.
    pub fn generate(&self, items: &ItemFactors, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        let k = items.k;
        let mut u = vec![0.0; users.len() * k];
        u.par_chunks_exact_mut(k).zip(users).try_for_each_init(
            || Room::new(k),
            |room, (out, user)| self.one(items.bias.len(), user, room, out),
        )?;
        Ok(Factors { k, u, bias: vec![0.0; users.len()], covariance: None })
    }

    /// Factors of one user of whom `expected` factors are known beforehand: their posterior mean where cells that were not clicked are
    /// drawn towards what the expected factors score, instead of towards 0, and the factors towards the expected ones:
    /// `x = e + argmin_y Σ_{i∈H} w (1 − e·m_i − y·m_i)² + α₀ Σ_j (y·m_j)² + ridge |y|²` for expected factors `e`. Without history they are `e`.
    ///
    /// # Errors
    /// As [`ClickFoldIn::generate`].
    pub(crate) fn generate_about(
        &self,
        items: &ItemFactors,
        user: &UserView<'_>,
        expected: &[f32],
    ) -> Result<Vec<f32>, ScoreError> {
        let n_items = items.bias.len();
        user.check(n_items)?;
        let mut out = expected.to_vec();
        if !user.items.is_empty() {
            let (all, lambda) = self.strength(user.items.len(), n_items);
            let mut room = Room::new(items.k);
            let solved = self.given.solve_for(&mut room, user.items, all, lambda, |from, row| {
                self.given.targets[from] - row.iter().zip(expected).map(|(m, e)| m * e).sum::<f32>()
            });
            let (y, _) = solved.ok().ok_or(NO_SOLUTION)?;
            out.iter_mut().zip(y).for_each(|(out, y)| *out += y);
        }
        if out.iter().all(|x| x.is_finite()) { Ok(out) } else { Err(NO_SOLUTION) }
    }

    /// What all cells weigh beside a click of a user of `n` clicks, and the ridge.
    fn strength(&self, n: usize, n_items: usize) -> (f32, f32) {
        match self.rule {
            ClickRule::Pointwise(weights) => {
                let weight = weights.weight(n);
                (weights.unobserved / weight, weights.ridge(n, n_items) / weight)
            }
            ClickRule::Pairwise { regularization } | ClickRule::Logistic { regularization } => {
                (n as f32 / n_items as f32, 4.0 * n as f32 * regularization)
            }
        }
    }

    /// Factors of somebody without history.
    pub(crate) fn nobody(&self) -> &[f32] {
        &self.nobody
    }

    fn one(
        &self,
        n_items: usize,
        user: &UserView<'_>,
        room: &mut Room,
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        user.check(n_items)?;
        let n = user.items.len();
        if n == 0 {
            out.copy_from_slice(&self.nobody);
            return Ok(());
        }
        if let (ClickRule::Logistic { regularization }, Some(spread)) = (self.rule, &self.spread) {
            return self.above_others(spread, user.items, n as f32 * regularization, room, out);
        }
        let (all, lambda) = self.strength(n, n_items);
        let solved = self.given.solve(room, user.items, all, lambda).ok();
        let (x, _) = solved.filter(|(x, _)| x.iter().all(|x| x.is_finite())).ok_or(NO_SOLUTION)?;
        out.copy_from_slice(x);
        Ok(())
    }

    /// The logistic fold-in of a history; regressions as the header has them.
    fn above_others(
        &self,
        spread: &Spread,
        history: &[u32],
        lambda: f32,
        room: &mut Room,
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        let k = out.len();
        let Given { rows, targets, .. } = &self.given;
        // Of each item the weight of its square, the score it is drawn towards, and its weight in the sum over all items.
        let mut pulls = vec![(0.25, 2.0, 0.25); history.len()];
        for step in 0..STEPS {
            let all = pulls.iter().map(|pull| pull.2).sum::<f64>() / spread.n_items;
            let solved = self.given.solve_weighted(room, history, all as f32, lambda, |t| {
                let (weight, towards, _): (f64, f64, f64) = pulls[t];
                (weight.sqrt() as f32, towards as f32)
            });
            let x = solved.ok().filter(|x| x.iter().all(|x| x.is_finite())).ok_or(NO_SOLUTION)?;
            let size = x.iter().fold(0f32, |most, x| most.max(x.abs()));
            let change = x.iter().zip(&*out).fold(0f32, |most, (x, old)| most.max((x - old).abs()));
            out.copy_from_slice(x);
            if step > 1 && change <= SETTLED * size {
                break;
            }
            let variance = spread.variance(out);
            for (pull, &item) in pulls.iter_mut().zip(history) {
                let from = item as usize;
                let row = &rows[from * k..(from + 1) * k];
                let dot: f32 = row.iter().zip(&*out).map(|(m, x)| m * x).sum();
                let score = f64::from(2.0 - targets[from] + dot);
                let above = curvature_above(score * score + variance);
                *pull = if step == 0 {
                    (above, 0.5 / above, above)
                } else {
                    let (slope, curvature) = means_of_sigmoid(score, variance);
                    // Far below the others the curve is all but straight, and a step by its curvature would go astray.
                    let weight = curvature.max(above / 4.0);
                    (weight, score + slope / weight, curvature)
                };
            }
        }
        Ok(())
    }

    /// Adds what a model folder keeps.
    pub fn to_parts(&self, parts: &mut ModelParts) {
        parts.set(RULE, self.rule);
        let tensor = Tensor::new([self.nobody.len()], self.nobody.clone());
        parts.tensors.insert("fold_in_nobody".to_owned(), tensor);
    }

    /// Takes back what [`ClickFoldIn::to_parts`] added, for a model of these items; `None` if nothing was.
    ///
    /// # Errors
    /// [`LoadError`] for missing or misshapen parts, or a rule that is none.
    pub fn from_parts(parts: &mut ModelParts, items: &ItemFactors) -> Result<Option<Self>, LoadError> {
        if !parts.meta.contains_key(RULE) {
            return Ok(None);
        }
        let rule: ClickRule = parts.get(RULE)?;
        let positive = |x: f32| x > 0.0 && x.is_finite();
        let usable = match rule {
            ClickRule::Pointwise(Pointwise { unobserved, regularization, activity, .. }) => {
                positive(unobserved) && positive(regularization) && positive(activity)
            }
            ClickRule::Pairwise { regularization } | ClickRule::Logistic { regularization } => {
                positive(regularization)
            }
        };
        if !usable || items.k == 0 {
            return Err(LoadError::Meta { key: RULE.to_owned() });
        }
        let nobody = parts.take("fold_in_nobody", &[Some(items.k)])?.data;
        Ok(Some(Self::new(rule, items, nobody)))
    }
}

/// The mean of the rows of `[n × k]`, in `f64`.
pub(crate) fn mean_of_rows(rows: &[f32], k: usize) -> Vec<f32> {
    let n = (rows.len() / k).max(1) as f64;
    let mut sum = vec![0.0f64; k];
    for row in rows.chunks_exact(k) {
        sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sum.into_iter().map(|sum| (sum / n) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::random::Random;

    fn items(n: usize, k: usize) -> ItemFactors {
        let mut random = Random::new(1);
        let mut draw = |n: usize| (0..n).map(|_| random.normal() as f32 * 0.3).collect::<Vec<f32>>();
        ItemFactors { k, m: draw(n * k), bias: draw(n), mean: 0.0 }
    }

    /// The objective as it stands in the header, in `f64`.
    fn objective(rule: ClickRule, items: &ItemFactors, history: &[u32], x: &[f64]) -> f64 {
        let n_items = items.bias.len();
        let dot =
            |item: usize| -> f64 { items.row(item).iter().zip(x).map(|(&m, x)| f64::from(m) * x).sum() };
        let norm: f64 = x.iter().map(|x| x * x).sum();
        let n = history.len();
        match rule {
            ClickRule::Pointwise(weights) => {
                let clicked: f64 = history.iter().map(|&item| (1.0 - dot(item as usize)).powi(2)).sum();
                let all: f64 = (0..n_items).map(|item| dot(item).powi(2)).sum();
                let frequency = n as f64 + f64::from(weights.unobserved) * n_items as f64;
                let ridge =
                    f64::from(weights.regularization) * frequency.powf(f64::from(weights.frequency_exponent));
                let weight =
                    f64::from(weights.activity) * (n as f64).powf(-f64::from(weights.activity_exponent));
                weight * clicked + f64::from(weights.unobserved) * all + ridge * norm
            }
            ClickRule::Pairwise { regularization } => {
                let score = |item: usize| f64::from(items.bias[item]) + dot(item);
                let pairs: f64 = history
                    .iter()
                    .flat_map(|&i| (0..n_items).map(move |j| (i as usize, j)))
                    .map(|(i, j)| (2.0 - score(i) + score(j)).powi(2))
                    .sum();
                pairs / n_items as f64 + 4.0 * n as f64 * f64::from(regularization) * norm
            }
            ClickRule::Logistic { regularization } => {
                let score = |item: usize| f64::from(items.bias[item]) + dot(item);
                let scores: Vec<f64> = (0..n_items).map(score).collect();
                let mean = scores.iter().sum::<f64>() / n_items as f64;
                let variance = scores.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / n_items as f64;
                // A fine sum in the place of the integral.
                let points = (-800..=800).map(|at| f64::from(at) / 100.0);
                let expected = |score: f64| -> f64 {
                    let of = |z: f64| (1.0 + (variance.sqrt() * z - score).exp()).ln() * (-z * z / 2.0).exp();
                    points.clone().map(of).sum::<f64>() / 100.0 / (2.0 * std::f64::consts::PI).sqrt()
                };
                let clicked: f64 = history.iter().map(|&item| expected(scores[item as usize] - mean)).sum();
                clicked + 0.5 * n as f64 * f64::from(regularization) * norm
            }
        }
    }

    #[test]
    fn is_the_minimum_of_its_objective() {
        let (n, k) = (40, 12);
        let items = items(n, k);
        let mut random = Random::new(2);
        let history: Vec<u32> = (0..n as u32).filter(|_| random.chance(0.4)).collect();
        let values = vec![1.0; history.len()];
        let pointwise = Pointwise {
            unobserved: 0.3,
            regularization: 0.02,
            frequency_exponent: 0.8,
            activity_exponent: 0.25,
            activity: 2.5,
        };
        let regularization = 0.01;
        for rule in [
            ClickRule::Pointwise(pointwise),
            ClickRule::Pairwise { regularization },
            ClickRule::Logistic { regularization },
        ] {
            let fold_in = ClickFoldIn::new(rule, &items, vec![0.0; k]);
            let factors = fold_in.generate(&items, &[UserView::new(&history, &values)]).unwrap();
            let x: Vec<f64> = factors.u.iter().map(|&x| f64::from(x)).collect();
            for at in 0..k {
                let (mut up, mut down) = (x.clone(), x.clone());
                up[at] += 1e-4;
                down[at] -= 1e-4;
                let slope = (objective(rule, &items, &history, &up)
                    - objective(rule, &items, &history, &down))
                    / 2e-4;
                // The curvature is below some hundred and x is right to 1e-6; of the logistic rule, whose steps end sooner, to 1e-3 and below ten.
                let right = if matches!(rule, ClickRule::Logistic { .. }) { 1e-2 } else { 1e-3 };
                assert!(slope.abs() < right, "{rule:?}, column {at}: {slope}");
            }
        }
    }

    #[test]
    fn expected_scores_take_the_place_of_nought() {
        let (n, k) = (30, 5);
        let items = items(n, k);
        let weights = Pointwise {
            unobserved: 0.3,
            regularization: 0.02,
            frequency_exponent: 0.8,
            activity_exponent: 0.25,
            activity: 2.5,
        };
        let fold_in = ClickFoldIn::new(ClickRule::Pointwise(weights), &items, vec![0.0; k]);
        let (history, values) = ([3, 7, 20], [1.0; 3]);
        let user = UserView::new(&history, &values);
        let expected = [0.3, -0.2, 0.5, 0.1, -0.4];
        let x = fold_in.generate_about(&items, &user, &expected).unwrap();
        let dot = |x: &[f64], item: usize| -> f64 {
            items.row(item).iter().zip(x).map(|(&m, x)| f64::from(m) * x).sum()
        };
        let e = expected.map(f64::from);
        let objective = |x: &[f64]| -> f64 {
            let clicked: f64 = history.iter().map(|&item| (1.0 - dot(x, item as usize)).powi(2)).sum();
            let all: f64 = (0..n).map(|item| (dot(x, item) - dot(&e, item)).powi(2)).sum();
            let away: f64 = x.iter().zip(&e).map(|(x, e)| (x - e).powi(2)).sum();
            f64::from(weights.weight(3)) * clicked
                + f64::from(weights.unobserved) * all
                + f64::from(weights.ridge(3, n)) * away
        };
        let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
        for at in 0..k {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[at] += 1e-4;
            down[at] -= 1e-4;
            // The curvature is below some hundred and x is right to 1e-6.
            assert!(((objective(&up) - objective(&down)) / 2e-4).abs() < 1e-3);
        }
        assert_eq!(fold_in.generate_about(&items, &UserView::default(), &expected).unwrap(), expected);
        // Nothing expected is the plain fold-in.
        let plain = fold_in.generate(&items, &[user]).unwrap().u;
        assert_eq!(fold_in.generate_about(&items, &user, &[0.0; 5]).unwrap(), plain);
    }

    #[test]
    fn somebody_without_history_is_the_mean() {
        let items = items(5, 2);
        let fold_in = ClickFoldIn::new(ClickRule::Pairwise { regularization: 0.1 }, &items, vec![0.25, -1.0]);
        assert_eq!(fold_in.generate(&items, &[UserView::default()]).unwrap().u, [0.25, -1.0]);
        assert_eq!(mean_of_rows(&[1.0, 2.0, 3.0, 6.0], 2), [2.0, 4.0]);
    }
}
