//! `implicit-als`: factors of clicks by least squares over all cells of the matrix, clicked or not.
//!
//! Objective, with `n` the clicks of a user or item, `U` users and `N` items:
//! `Σ_clicks w_u (1 − u_u·m_i)² + α₀ Σ_all (u_u·m_i)² + λ (Σ_u (n_u + α₀ N)^ν |u_u|² + Σ_i (n_i + α₀ U)^ν |m_i|²)`.
//! Hu, Koren, Volinsky (2008), "Collaborative filtering for implicit feedback datasets", equation 3, in the form of Rendle, Krichene, Zhang,
//! Koren (2022), "Revisiting the performance of iALS on item recommendation benchmarks": clicks weigh 1 above what
//! all cells weigh, and the ridge grows with the frequency. Given the items, the best factors of each user are one ridge regression on
//! the user's few clicks over a Gram matrix of all items ([`crate::click_fold_in`]), and the other way round, so the objective never
//! rises. A new user gets the same half step and is as well served as a training user.
//!
//! We depart in `w_u = a n_u^−e`, which keeps users of thousands of clicks from deciding alone what items are; `e = 0` is the original.
//!
//! From 64 factors on the regressions are not solved but improved by three steps of conjugate gradients from the iteration before
//! ([`foldin_nn::conjugate`]): `16 R k` multiplications an iteration instead of `R k²`, and after some iterations as good.
//!
//! Floor of an iteration of exact solutions: `R k (k + 1) + (U + N) k³ / 6` multiplications for `R` clicks; with MovieLens 1M (0.8 million)
//! 3.8·10⁹ for 64 factors and 17·10⁹ for 128, which take a core of 2.8 GHz with AVX-512 0.04 and 0.19 s at its peak. Measured on it: 0.27 and
//! 0.75 s of CPU time; with conjugate gradients, which wait for memory, 0.16 and 0.25 s. Memory O((U + N) k). Users, and then items, are
//! solved for in parallel, with the same bits at any number of threads.

use foldin_core::random::{Random, child_seed};
use foldin_core::{
    Auto, Capabilities, Csr, Epoch, FitContext, FitError, Interactions, ItemFactors, LoadError, ModelConfig,
    ModelFamily, ModelParts, ScoreError, TrainState, TrainingData, UserId, UserView,
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::click_fold_in::{ClickFoldIn, ClickRule, Given, Pointwise, Room, mean_of_rows};
use crate::holdout::{EarlyStopping, Holdout};
use crate::linear::{Family, LinearFactors, score_items};
use crate::ranking::{CLICKS, implicit_interactions, validation_ndcg};
use crate::resume;

/// Settings of `implicit-als`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImplicitAlsConfig {
    /// Number of factors. Automatic: 32, or 128 from 300,000 training clicks on.
    #[schemars(range(min = 1, max = 1024), extend("search" = "log-integers:16:256"))]
    pub factors: Auto<usize>,
    /// Times that users and then items are solved for, at most.
    #[schemars(range(min = 1, max = 10000))]
    pub iterations: usize,
    /// α₀: weight of every cell of the matrix, clicked or not, where a click weighs 1 more. Automatic: what makes all cells together
    /// weigh 0.75 √n times as much as the clicks, n being the mean number of clicks of a user.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0, "search" = "log:0.01:1"))]
    pub unobserved: Auto<f32>,
    /// λ: shrinkage of factors, times the frequency of the user or item to the power ν. Automatic: 0.46 of the largest singular
    /// value that clicks at random would have, once rows and columns are divided by the roots of their frequencies:
    /// `(√U + √N) / √R / (1 + α₀ U N / R)` for R clicks; times the root of the mean frequencies, `(R (1 + α₀ U N / R))² / (U N)`, to the power 1 − ν.
    #[schemars(range(max = 1000.0), extend("exclusiveMinimum" = 0.0, "search" = "log:0.001:1"))]
    pub regularization: Auto<f32>,
    /// ν: 1 shrinks everybody alike, 0 most where there are few clicks.
    #[schemars(range(min = 0.0, max = 2.0), extend("search" = "uniform:0:1"))]
    pub frequency_exponent: f32,
    /// e: the clicks of a user of n clicks weigh n^−e, times a constant that makes weights 1 on average; 0 weighs all alike.
    #[schemars(range(min = 0.0, max = 2.0), extend("search" = "uniform:0:1"))]
    pub activity_exponent: f32,
    /// Steps of conjugate gradients towards each solution, from the one of the iteration before; 0 solves exactly. Automatic: 0 below 64
    /// factors and 3 from there on, where exact solutions take several times as long and the items come out as good.
    #[schemars(range(max = 100))]
    pub conjugate_steps: Auto<usize>,
    /// Standard deviation of the random factors that items start with, times the root of their number.
    #[schemars(range(max = 10.0), extend("exclusiveMinimum" = 0.0))]
    pub start_scale: f32,
    /// Share of each user's clicks held out to stop early, by nDCG@20, and not learned from afterwards either; 0 runs all iterations on all
    /// clicks.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Iterations without improvement of the held-out part after which to stop.
    #[schemars(range(min = 1))]
    pub patience: usize,
}

impl Default for ImplicitAlsConfig {
    fn default() -> Self {
        Self {
            factors: Auto::Auto,
            iterations: 16,
            unobserved: Auto::Auto,
            regularization: Auto::Auto,
            frequency_exponent: 1.0,
            activity_exponent: 0.15,
            conjugate_steps: Auto::Auto,
            start_scale: 0.1,
            validation_fraction: 0.0,
            patience: 3,
        }
    }
}

impl ModelConfig for ImplicitAlsConfig {}

impl ImplicitAlsConfig {
    /// The number of factors for so many clicks.
    #[must_use]
    pub fn factors_for(&self, clicks: usize) -> usize {
        self.factors.or_else(|| match clicks {
            300_000.. => 128,
            _ => 32,
        })
    }
}

/// The family of `implicit-als`.
#[derive(Clone, Copy, Debug)]
pub struct ImplicitAls;

const FAMILY: Family = Family { name: ImplicitAls::NAME, capabilities: ImplicitAls::CAPABILITIES };

impl ImplicitAls {
    const CAPABILITIES: Capabilities = Capabilities { generator: true, ..CLICKS };
}

impl ModelFamily for ImplicitAls {
    const NAME: &'static str = "implicit-als";
    const SUMMARY: &'static str = "factors of clicks by alternating least squares over all cells";
    type Config = ImplicitAlsConfig;
    type Model = LinearFactors;

    fn capabilities() -> Capabilities {
        FAMILY.capabilities
    }

    fn fit(
        config: &ImplicitAlsConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<LinearFactors, FitError> {
        let clicks = implicit_interactions(Self::NAME, data)?;
        let holdout = (config.validation_fraction > 0.0)
            .then(|| Holdout::cut(clicks, config.validation_fraction, ctx.seed));
        let train = holdout.as_ref().map_or(clicks, |holdout| &holdout.train);
        let problem = Problem::new(Self::NAME, config, train);
        let sides = problem.run(config, holdout.as_ref(), ctx)?;
        let (items, fold_in) = problem.finish(sides, config.iterations)?;
        Ok(LinearFactors::new(FAMILY, items, clicks.feedback()).with_users(fold_in, None))
    }

    fn load(parts: ModelParts) -> Result<LinearFactors, LoadError> {
        LinearFactors::load(FAMILY, parts)
    }
}

/// What is solved.
pub(crate) struct Problem<'a> {
    model: &'static str,
    k: usize,
    weights: Pointwise,
    clicks: &'a Interactions,
    /// Users with clicks. Others, who may be there for a test part alone, change nothing; the catalogue is what it is.
    active: usize,
    start_scale: f32,
    /// Of conjugate gradients; 0 for exact solutions.
    steps: usize,
}

/// Factors of both sides.
#[derive(Clone, Debug)]
pub(crate) struct Sides {
    /// `[U × k]`.
    pub(crate) users: Vec<f32>,
    /// `[N × k]`.
    pub(crate) items: Vec<f32>,
}

impl<'a> Problem<'a> {
    /// `model` is the name for errors.
    pub(crate) fn new(model: &'static str, config: &ImplicitAlsConfig, clicks: &'a Interactions) -> Self {
        let n = clicks.len() as f64;
        let by_user = clicks.by_user();
        let active =
            || (0..clicks.n_users()).map(|user| by_user.row_len(user)).filter(|&clicked| clicked > 0);
        let count = active().count().max(1);
        let (users, items) = (count as f64, clicks.n_items() as f64);
        let unobserved =
            config.unobserved.or_else(|| (0.75 * (n / users).sqrt() * n / (users * items)) as f32);
        // By what all cells together weigh more than clicks alone.
        let more = 1.0 + f64::from(unobserved) * users * items / n;
        let regularization = config.regularization.or_else(|| {
            let noise = (users.sqrt() + items.sqrt()) / n.sqrt() / more;
            let frequency = n * more / (users * items).sqrt();
            (0.46 * noise * frequency.powf(1.0 - f64::from(config.frequency_exponent))) as f32
        });
        let exponent = f64::from(config.activity_exponent);
        let activity: f64 = active().map(|n| (n as f64).powf(exponent)).sum();
        let k = config.factors_for(clicks.len());
        let weights = Pointwise {
            unobserved,
            regularization,
            frequency_exponent: config.frequency_exponent,
            activity_exponent: config.activity_exponent,
            activity: (activity / users) as f32,
        };
        let steps = config.conjugate_steps.or_else(|| if k >= 64 { 3 } else { 0 });
        Self { model, k, weights, clicks, active: count, start_scale: config.start_scale, steps }
    }

    /// Random factors of the items, nought of the users.
    pub(crate) fn start(&self, seed: u64) -> Sides {
        let mut random = Random::new(child_seed(seed, "start"));
        let scale = self.start_scale / (self.k as f32).sqrt();
        let items = (0..self.clicks.n_items() * self.k).map(|_| random.normal() as f32 * scale).collect();
        Sides { users: vec![0.0; self.clicks.n_users() * self.k], items }
    }

    /// Keeps factors in a checkpoint; those of users only if the next iteration begins with them.
    pub(crate) fn keep(&self, state: &mut TrainState, name: &str, sides: &Sides) {
        resume::keep(state, format!("{name}items"), [self.clicks.n_items(), self.k], &sides.items);
        if self.steps > 0 {
            resume::keep(state, format!("{name}users"), [self.clicks.n_users(), self.k], &sides.users);
        }
    }

    /// Takes back what [`Problem::keep`] kept.
    pub(crate) fn taken(&self, state: &mut TrainState, name: &str) -> Result<Sides, FitError> {
        let (n_users, n_items) = (self.clicks.n_users(), self.clicks.n_items());
        let items = resume::take(state, &format!("{name}items"), [n_items, self.k])?;
        let users = if self.steps > 0 {
            resume::take(state, &format!("{name}users"), [n_users, self.k])?
        } else {
            vec![0.0; n_users * self.k]
        };
        Ok(Sides { users, items })
    }

    fn user_weight(&self, user: usize) -> f32 {
        self.weights.weight(self.clicks.by_user().row_len(user))
    }

    /// Solves for all users.
    fn solve_users(&self, sides: &mut Sides, steps: usize, iteration: usize) -> Result<(), FitError> {
        let given = Given::pointwise(&sides.items, self.k, |_| 1.0);
        let weight = |n: usize| self.weights.weight(n);
        let what = "the factors of a user";
        let rows = (self.clicks.by_user(), self.clicks.n_items());
        self.half_step(given, rows, weight, &mut sides.users, steps, iteration, what)?;
        Ok(())
    }

    /// Solves for all users and then for all items; the objective afterwards.
    pub(crate) fn iterate(&self, sides: &mut Sides, iteration: usize) -> Result<f64, FitError> {
        self.solve_users(sides, self.steps, iteration)?;
        let given = Given::pointwise(&sides.users, self.k, |user| self.user_weight(user));
        let (by_user, by_item) = (self.clicks.by_user(), (self.clicks.by_item(), self.active));
        let what = "the factors of an item";
        let explained =
            self.half_step(given, by_item, |_| 1.0, &mut sides.items, self.steps, iteration, what)?;
        let of_user = sides.users.chunks_exact(self.k).enumerate().map(|(user, row)| {
            let n = by_user.row_len(user);
            let square: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            f64::from(self.user_weight(user)) * n as f64
                + f64::from(self.weights.ridge(n, by_user.n_cols())) * square
        });
        Ok(of_user.sum::<f64>() - explained)
    }

    /// Solves for everybody on one side, by its rows of what the other side has, `of` of whom count; by how much this explains the clicks.
    #[expect(
        clippy::too_many_arguments,
        reason = "the two sides, how they are solved for, and words for an error"
    )]
    fn half_step(
        &self,
        given: Given,
        (rows, of): (&Csr, usize),
        weight: impl Fn(usize) -> f32 + Sync,
        out: &mut [f32],
        steps: usize,
        iteration: usize,
        what: &'static str,
    ) -> Result<f64, FitError> {
        let given = if steps > 0 { given.with_square() } else { given };
        let explained: Vec<f64> = out
            .par_chunks_exact_mut(self.k)
            .enumerate()
            .map_init(
                || Room::new(self.k),
                |room, (row, out)| {
                    let columns = rows.row(row).0;
                    if columns.is_empty() {
                        out.fill(0.0);
                        return Some(0.0);
                    }
                    let weight = weight(columns.len());
                    let all = self.weights.unobserved / weight;
                    let ridge = self.weights.ridge(columns.len(), of) / weight;
                    let explained = if steps > 0 {
                        given.improve(room, columns, all, ridge, steps, out)
                    } else {
                        let (x, explained) = given.solve(room, columns, all, ridge).ok()?;
                        out.copy_from_slice(x);
                        explained
                    };
                    out.iter().all(|x| x.is_finite()).then_some(explained * f64::from(weight))
                },
            )
            .collect::<Option<_>>()
            .ok_or(FitError::Diverged { model: self.model, epoch: iteration, what })?;
        Ok(explained.iter().sum())
    }

    /// The model of learned items.
    pub(crate) fn finish(
        &self,
        mut sides: Sides,
        iteration: usize,
    ) -> Result<(ItemFactors, ClickFoldIn), FitError> {
        self.settle(&mut sides, iteration)?;
        Ok(self.model_of(sides))
    }

    /// Solves exactly for the users a last time.
    pub(crate) fn settle(&self, sides: &mut Sides, iteration: usize) -> Result<(), FitError> {
        self.solve_users(sides, 0, iteration)
    }

    /// The model of items and of [settled](Problem::settle) users.
    pub(crate) fn model_of(&self, sides: Sides) -> (ItemFactors, ClickFoldIn) {
        let by_user = self.clicks.by_user();
        let active = (0..self.clicks.n_users()).filter(|&user| by_user.row_len(user) > 0);
        let of_users: Vec<f32> =
            active.flat_map(|user| &sides.users[user * self.k..(user + 1) * self.k]).copied().collect();
        let nobody = mean_of_rows(&of_users, self.k);
        let items =
            ItemFactors { k: self.k, m: sides.items, bias: vec![0.0; self.clicks.n_items()], mean: 0.0 };
        let fold_in = ClickFoldIn::new(ClickRule::Pointwise(self.weights), &items, nobody);
        (items, fold_in)
    }

    /// Number of factors.
    pub(crate) fn k(&self) -> usize {
        self.k
    }

    /// nDCG@20 of the held-out clicks.
    fn ndcg(&self, items: &[f32], holdout: &Holdout) -> Result<Option<f64>, ScoreError> {
        let n = self.clicks.n_items();
        let items = ItemFactors { k: self.k, m: items.to_vec(), bias: vec![0.0; n], mean: 0.0 };
        let fold_in = ClickFoldIn::new(ClickRule::Pointwise(self.weights), &items, vec![0.0; self.k]);
        validation_ndcg(holdout, |users, out| {
            let views = views_of(&holdout.train, users);
            let factors = fold_in.generate(&items, &views)?;
            for (user, out) in out.chunks_exact_mut(n).enumerate() {
                score_items(factors.row(user), 0.0, &items, out);
            }
            Ok(())
        })
    }

    fn run(
        &self,
        config: &ImplicitAlsConfig,
        holdout: Option<&Holdout>,
        ctx: &FitContext<'_>,
    ) -> Result<Sides, FitError> {
        let mut sides = self.start(ctx.seed);
        let mut stopping = EarlyStopping::new(config.patience);
        let mut best: Option<Sides> = None;
        let mut done = 0;
        if let Some(mut saved) = ctx.resume()? {
            done = saved.epochs;
            resume::check(&saved, self.clicks, &mut stopping)?;
            if stopping.best_epoch > 0 {
                best = Some(self.taken(&mut saved, "best_")?);
            }
            sides = self.taken(&mut saved, "")?;
        }
        while done < config.iterations && !stopping.is_over(done) {
            done += 1;
            let objective = self.iterate(&mut sides, done)?;
            let validation_ndcg = match holdout {
                Some(holdout) => self.ndcg(&sides.items, holdout).map_err(|_| FitError::Diverged {
                    model: self.model,
                    epoch: done,
                    what: "the factors of a user",
                })?,
                None => None,
            };
            // The lower, the better it is stopped by.
            if validation_ndcg.is_some_and(|ndcg| stopping.improved(done, -ndcg)) {
                best = Some(sides.clone());
            }
            let epoch = Epoch {
                number: done,
                of: config.iterations,
                train_loss: Some(objective / self.clicks.len() as f64),
                validation_ndcg,
                ..Epoch::default()
            };
            ctx.epoch_done(epoch, || {
                let mut state = resume::state(done, self.clicks, &stopping);
                self.keep(&mut state, "", &sides);
                if let Some(best) = &best {
                    self.keep(&mut state, "best_", best);
                }
                state
            })?;
        }
        Ok(best.unwrap_or(sides))
    }
}

/// Training users as models see them.
pub(crate) fn views_of<'a>(clicks: &'a Interactions, users: &[UserId]) -> Vec<UserView<'a>> {
    let view = |user: &UserId| {
        let (items, values) = clicks.by_user().row(user.index());
        UserView::new(items, values)
    };
    users.iter().map(view).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{RatingScale, Recommender};
    use foldin_testkit::planted::{blocks, low_rank};

    fn clicks() -> Interactions {
        let scale = RatingScale { min: -10.0, max: 10.0, step: None };
        low_rank(80, 40, 3, 0.05, scale, 1).clicks().interactions
    }

    /// The objective as it stands in the header, cell by cell.
    fn objective(problem: &Problem<'_>, Sides { users, items }: &Sides) -> f64 {
        let (k, by_user, by_item) = (problem.k, problem.clicks.by_user(), problem.clicks.by_item());
        let row = |all: &[f32], at: usize| -> Vec<f64> {
            all[at * k..(at + 1) * k].iter().map(|&x| f64::from(x)).collect()
        };
        let alpha = f64::from(problem.weights.unobserved);
        let mut sum = 0.0;
        for user in 0..by_user.n_rows() {
            let u = row(users, user);
            for item in 0..by_item.n_rows() {
                let dot: f64 = u.iter().zip(row(items, item)).map(|(u, m)| u * m).sum();
                sum += alpha * dot * dot;
                if by_user.row(user).0.contains(&(item as u32)) {
                    sum += f64::from(problem.user_weight(user)) * (1.0 - dot).powi(2);
                }
            }
        }
        for (rows, of, factors) in [(by_user, by_item.n_rows(), users), (by_item, problem.active, items)] {
            for at in 0..rows.n_rows() {
                let frequency = rows.row_len(at) as f64 + alpha * of as f64;
                let ridge = f64::from(problem.weights.regularization)
                    * frequency.powf(f64::from(problem.weights.frequency_exponent));
                sum += ridge * row(factors, at).iter().map(|x| x * x).sum::<f64>();
            }
        }
        sum
    }

    #[test]
    fn users_without_clicks_change_nothing() {
        let clicks = clicks();
        let (n_users, n_items) = (clicks.n_users(), clicks.n_items());
        let triples: Vec<(u32, u32, f32)> = clicks.by_user().triples().collect();
        let fit = |n_users: usize| {
            let csr = Csr::from_triples(n_users, n_items, &triples).unwrap();
            let clicks = Interactions::new(csr, None, foldin_core::Feedback::Implicit).unwrap();
            let problem = Problem::new("test", &ImplicitAlsConfig::default(), &clicks);
            let mut sides = problem.start(1);
            for iteration in 0..3 {
                problem.iterate(&mut sides, iteration).unwrap();
            }
            let (items, fold_in) = problem.finish(sides, 3).unwrap();
            (items.m, fold_in.nobody().to_vec())
        };
        assert_eq!(fit(n_users), fit(n_users + 7));
    }

    #[test]
    fn the_objective_is_reported_and_never_rises() {
        let clicks = clicks();
        for (frequency_exponent, activity_exponent, steps) in [(1.0, 0.0, 0), (0.6, 0.4, 0), (1.0, 0.3, 2)] {
            let config = ImplicitAlsConfig {
                factors: Auto::Value(5),
                frequency_exponent,
                activity_exponent,
                conjugate_steps: Auto::Value(steps),
                ..ImplicitAlsConfig::default()
            };
            let problem = Problem::new("test", &config, &clicks);
            let mut sides = problem.start(1);
            let mut last = f64::INFINITY;
            for iteration in 0..8 {
                let mut half = sides.clone();
                problem.solve_users(&mut half, steps, iteration).unwrap();
                let of_users = objective(&problem, &half);
                let reported = problem.iterate(&mut sides, iteration).unwrap();
                let of_items = objective(&problem, &sides);
                // Solutions are rounded to f32.
                assert!(of_users <= last * (1.0 + 1e-6) && of_items <= of_users * (1.0 + 1e-6));
                assert!((reported / of_items - 1.0).abs() < 1e-4, "{reported} and {of_items}");
                last = of_items;
            }
        }
    }

    #[test]
    fn a_training_user_is_served_as_a_new_one() {
        let data = blocks(60, 30, 3, 1).clicks();
        let config = ImplicitAlsConfig { factors: Auto::Value(4), ..ImplicitAlsConfig::default() };
        let model = ImplicitAls::fit(&config, &data.training_data(), &FitContext::new(1)).unwrap();
        let (items, values) = data.interactions.by_user().row(7);
        let mut scores = vec![0.0; 60];
        let views = [data.training_data().user(7), UserView::new(items, values)];
        model.score(&views, &mut scores).unwrap();
        assert_eq!(scores[..30], scores[30..]);
    }

    #[test]
    fn stops_by_what_is_held_out() {
        let data = blocks(90, 30, 3, 1).clicks();
        let config = ImplicitAlsConfig {
            factors: Auto::Value(4),
            iterations: 200,
            validation_fraction: 0.3,
            patience: 2,
            ..ImplicitAlsConfig::default()
        };
        let watcher = foldin_testkit::memory_store::Watcher::watching();
        let ctx = FitContext { progress: &watcher, ..FitContext::new(1) };
        ImplicitAls::fit(&config, &data.training_data(), &ctx).unwrap();
        let ndcg: Vec<f64> = watcher.epochs().iter().filter_map(|epoch| epoch.validation_ndcg).collect();
        assert!(ndcg.len() > 2 && ndcg.len() < 200, "{} iterations", ndcg.len());
        let best = ndcg.iter().copied().fold(0.0, f64::max);
        assert_eq!(ndcg[ndcg.len() - 3], best);
    }
}
