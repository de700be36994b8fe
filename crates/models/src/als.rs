//! `als`: factors by alternating least squares with weighted-λ regularisation.
//!
//! Objective: `Σ (r_ui − μ − b_u − b_i − u_u·m_i)² + Σ_u (c + λ n_u) |u_u|² + Σ_i (c + λ n_i) |m_i|²`, and the same with `c_b` and `λ_b` for the biases,
//! over the ratings; `n` counts those of a user or item. Zhou, Wilkinson, Schreiber, Pan (2008), "Large-scale parallel collaborative
//! filtering for the Netflix Prize", equations 2 and 3, which is this with neither mean nor biases (`centred = false`, `biases = false`)
//! and `c = 0`. Given the items, the best factors of each user are one ridge regression ([`crate::fold_in`]), and the other way
//! round, so the objective never rises. A new user gets the same half step and is as well served as a training user.
//!
//! We depart in the mean and the biases, in the constant `c`, which holds users with few ratings, and in reading ratings in
//! quarters of their scale. Time O(iterations · (ratings · k² + (users + items) · k³)), memory O((users + items) · k); users, and then items,
//! are solved for in parallel, with the same bits at any number of threads.

use foldin_core::parallel::chunked_sum;
use foldin_core::random::{Random, child_seed};
use foldin_core::{
    Auto, Capabilities, Csr, Epoch, Factors, FitContext, FitError, Interactions, ItemFactors, LoadError,
    ModelConfig, ModelFamily, ModelParts, TrainState, TrainingData, UserView,
};
use foldin_nn::kernels::dot;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::factorization::{Unit, regularization_for};
use crate::fold_in::FoldIn;
use crate::holdout::{EarlyStopping, Holdout};
use crate::linear::{FACTORS, Family, LinearFactors, explicit_ratings};
use crate::resume;

/// λ for 100,000 ratings.
const REGULARIZATION: f32 = 0.12;

/// Settings of `als`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlsConfig {
    /// Number of factors.
    #[schemars(range(min = 1, max = 1024))]
    #[schemars(extend("search" = "log-integers:4:128"))]
    pub factors: usize,
    /// Times that users and then items are solved for, at most.
    #[schemars(range(min = 1, max = 10000))]
    #[schemars(extend("search" = "integers:5:30"))]
    pub iterations: usize,
    /// λ: shrinkage of factors with each rating of a user or item, as in the paper. The more ratings there are, the less is needed:
    /// `auto` is 0.12 for 100,000 ratings times `(100000 / n)^0.2`, with n between 10,000 and 100 million.
    #[schemars(range(max = 100.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:0.02:0.5"))]
    pub regularization: Auto<f32>,
    /// c: shrinkage of factors whatever the number of ratings; 0 in the paper. It is what keeps a user of few ratings in bounds.
    #[schemars(range(min = 0.0, max = 1000.0))]
    #[schemars(extend("search" = "log:0.1:20"))]
    pub ridge: f32,
    /// λ_b: shrinkage of biases with each rating; without effect on a model without biases.
    #[schemars(range(max = 100.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:0.001:0.1"))]
    pub bias_regularization: f32,
    /// c_b: shrinkage of biases whatever the number of ratings; without effect on a model without biases.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub bias_ridge: f32,
    /// Whether users and items have biases; the paper's have none.
    pub biases: bool,
    /// Whether factors explain what differs from the mean rating. Otherwise, as in the paper, they explain all of it, counted from
    /// one step of the unit below the lowest rating.
    pub centred: bool,
    /// Standard deviation of the random factors that items start with. Without mean and biases an item's first factor starts as
    /// its mean rating, as in the paper.
    #[schemars(range(max = 10.0), extend("exclusiveMinimum" = 0.0))]
    pub start_scale: f32,
    /// Share of each user's ratings held out to stop early; 0 runs all iterations on all ratings.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Iterations without improvement of the held-out part after which to stop.
    #[schemars(range(min = 1))]
    pub patience: usize,
}

impl Default for AlsConfig {
    fn default() -> Self {
        Self {
            factors: 32,
            iterations: 20,
            regularization: Auto::Auto,
            ridge: 2.0,
            bias_regularization: 0.01,
            bias_ridge: 4.0,
            biases: true,
            centred: true,
            start_scale: 0.1,
            validation_fraction: 0.0,
            patience: 3,
        }
    }
}

impl ModelConfig for AlsConfig {}

/// The family of `als`.
#[derive(Clone, Copy, Debug)]
pub struct Als;

const FAMILY: Family = Family { name: Als::NAME, capabilities: FACTORS };

impl ModelFamily for Als {
    const NAME: &'static str = "als";
    const SUMMARY: &'static str =
        "factors and biases by alternating least squares with weighted-λ regularisation";
    type Config = AlsConfig;
    type Model = LinearFactors;

    fn capabilities() -> Capabilities {
        FAMILY.capabilities
    }

    fn fit(
        config: &AlsConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<LinearFactors, FitError> {
        let ratings = explicit_ratings(Self::NAME, data)?;
        let holdout = (config.validation_fraction > 0.0)
            .then(|| Holdout::cut(ratings, config.validation_fraction, ctx.seed));
        let train = holdout.as_ref().map_or(ratings, |holdout| &holdout.train);
        let validation = holdout.as_ref().map_or(&[][..], |holdout| &holdout.validation);
        let problem = Problem::new(config, train);
        let items = problem.run(config, validation, ctx)?;
        Ok(LinearFactors::new(FAMILY, items, ratings.feedback()).with_users(problem.of_users, None))
    }

    fn load(parts: ModelParts) -> Result<LinearFactors, LoadError> {
        LinearFactors::load(FAMILY, parts)
    }
}

/// What is solved, and how each half of it is.
struct Problem<'a> {
    ratings: &'a Interactions,
    unit: Unit,
    /// Solves for users given items.
    of_users: FoldIn,
    /// Solves for items given users.
    of_items: FoldIn,
}

impl<'a> Problem<'a> {
    fn new(config: &AlsConfig, ratings: &'a Interactions) -> Self {
        let unit = Unit::of(ratings, config.centred);
        let regularization =
            config.regularization.or_else(|| regularization_for(REGULARIZATION, ratings.len()));
        // Items' factors and all biases are in the data's own unit and users' factors are pure numbers. So a λ in the unit of
        // learning is λ·unit² where the errors of a user's regression count in the data's own, and where those of an item's
        // do, the unit is in what is shrunk.
        let side = |square: f32| {
            let with = |factors: f32, bias: f32| -> Vec<f32> {
                let factors = std::iter::repeat_n(factors * square, config.factors);
                factors.chain(config.biases.then_some(bias)).collect()
            };
            let prior = vec![0.0; config.factors + usize::from(config.biases)];
            FoldIn {
                per_rating: with(regularization, config.bias_regularization),
                ..FoldIn::new(with(config.ridge, config.bias_ridge), prior)
            }
        };
        Self { ratings, unit, of_users: side(unit.length * unit.length), of_items: side(1.0) }
    }

    fn start(&self, config: &AlsConfig, seed: u64) -> ItemFactors {
        let (n, k) = (self.ratings.n_items(), config.factors);
        let mut random = Random::new(child_seed(seed, "start"));
        let scale = config.start_scale * self.unit.length;
        let mut m: Vec<f32> = (0..n * k).map(|_| random.normal() as f32 * scale).collect();
        if !config.biases && !config.centred {
            for (item, row) in m.chunks_exact_mut(k).enumerate() {
                let (_, values) = self.ratings.by_item().row(item);
                let sum: f64 = values.iter().map(|&value| f64::from(value - self.unit.origin)).sum();
                row[0] = (sum / values.len().max(1) as f64) as f32;
            }
        }
        ItemFactors { k, m, bias: vec![0.0; n], mean: self.unit.origin }
    }

    /// Solves for all users.
    fn users(&self, items: &ItemFactors, iteration: usize) -> Result<Factors, FitError> {
        half_step(&self.of_users, items, self.ratings.by_user(), iteration, "the factors of a user")
    }

    /// Solves for all items.
    fn items(&self, users: Factors, iteration: usize) -> Result<ItemFactors, FitError> {
        let mean = self.unit.origin;
        let users = ItemFactors { k: users.k, m: users.u, bias: users.bias, mean };
        let solved =
            half_step(&self.of_items, &users, self.ratings.by_item(), iteration, "the factors of an item")?;
        Ok(ItemFactors { k: solved.k, m: solved.u, bias: solved.bias, mean })
    }

    fn run(
        &self,
        config: &AlsConfig,
        validation: &[(u32, u32, f32)],
        ctx: &FitContext<'_>,
    ) -> Result<ItemFactors, FitError> {
        let mut items = self.start(config, ctx.seed);
        let mut stopping = EarlyStopping::new(config.patience);
        let mut best = None;
        let mut done = 0;
        if let Some(mut saved) = ctx.resume()? {
            done = saved.epochs;
            resume::check(&saved, self.ratings, &mut stopping)?;
            if stopping.best_epoch > 0 {
                best = Some(saved_items(&mut saved, "best_", &items)?);
            }
            items = saved_items(&mut saved, "", &items)?;
        }
        let mut users = self.users(&items, done)?;
        while done < config.iterations && !stopping.is_over(done) {
            done += 1;
            items = self.items(users, done)?;
            users = self.users(&items, done)?;
            let rmse = |squares: f64, n: usize| (squares / n.max(1) as f64).sqrt();
            let train_rmse = Some(rmse(squares(&users, &items, self.ratings.by_user()), self.ratings.len()));
            let validation_rmse = (!validation.is_empty()).then(|| {
                let squares = validation.iter().map(|&(user, item, value)| {
                    error(&users, &items, user as usize, item as usize, value).powi(2)
                });
                rmse(squares.sum(), validation.len())
            });
            if validation_rmse.is_some_and(|rmse| stopping.improved(done, rmse)) {
                best = Some(items.clone());
            }
            let epoch = Epoch {
                number: done,
                of: config.iterations,
                train_rmse,
                validation_rmse,
                ..Epoch::default()
            };
            ctx.epoch_done(epoch, || save(done, self.ratings, &items, best.as_ref(), &stopping))?;
        }
        Ok(best.unwrap_or(items))
    }
}

/// Solves for everybody on one side, given the other.
fn half_step(
    fold_in: &FoldIn,
    given: &ItemFactors,
    rows: &Csr,
    epoch: usize,
    what: &'static str,
) -> Result<Factors, FitError> {
    let views: Vec<UserView<'_>> = (0..rows.n_rows())
        .map(|row| {
            let (columns, values) = rows.row(row);
            UserView::new(columns, values)
        })
        .collect();
    fold_in.generate(given, &views).map_err(|_| FitError::Diverged { model: Als::NAME, epoch, what })
}

fn error(users: &Factors, items: &ItemFactors, user: usize, item: usize, value: f32) -> f64 {
    let base = items.mean + users.bias[user] + items.bias[item];
    f64::from(value - base - dot(users.row(user), items.row(item)))
}

/// The sum of the squared errors of all ratings.
fn squares(users: &Factors, items: &ItemFactors, ratings: &Csr) -> f64 {
    chunked_sum(ratings.n_rows(), 64, |range| {
        range
            .flat_map(|user| {
                let (rated, values) = ratings.row(user);
                rated.iter().zip(values).map(move |(&item, &value)| (user, item as usize, value))
            })
            .map(|(user, item, value)| error(users, items, user, item, value).powi(2))
            .sum()
    })
}

fn save(
    epochs: usize,
    ratings: &Interactions,
    items: &ItemFactors,
    best: Option<&ItemFactors>,
    stopping: &EarlyStopping,
) -> TrainState {
    let mut state = resume::state(epochs, ratings, stopping);
    for (name, items) in [("", Some(items)), ("best_", best)] {
        let Some(items) = items else { continue };
        let n = items.bias.len();
        resume::keep(&mut state, format!("{name}items"), [n, items.k], &items.m);
        resume::keep(&mut state, format!("{name}bias"), [n, 1], &items.bias);
    }
    state
}

/// The items of a checkpoint, `like` others; those of the best iteration if `name` is `best_`.
fn saved_items(state: &mut TrainState, name: &str, like: &ItemFactors) -> Result<ItemFactors, FitError> {
    let (n, k) = (like.bias.len(), like.k);
    let m = resume::take(state, &format!("{name}items"), [n, k])?;
    Ok(ItemFactors { k, m, bias: resume::take(state, &format!("{name}bias"), [n, 1])?, mean: like.mean })
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::RatingScale;
    use foldin_testkit::planted::low_rank;

    /// The objective, in the data's own unit.
    fn objective(problem: &Problem<'_>, users: &Factors, items: &ItemFactors) -> f64 {
        let k = items.k;
        let norm = |fold_in: &FoldIn, rows: &Csr, factors: &[f32], bias: &[f32]| -> f64 {
            (0..rows.n_rows())
                .map(|row| {
                    let n = rows.row_len(row) as f64;
                    let values = factors[row * k..(row + 1) * k].iter().chain(&bias[row..=row]);
                    let lambdas = fold_in.lambda.iter().zip(&fold_in.per_rating);
                    let terms = values.zip(lambdas).map(|(&x, (&constant, &each))| {
                        (f64::from(constant) + n * f64::from(each)) * f64::from(x).powi(2)
                    });
                    terms.sum::<f64>()
                })
                .sum()
        };
        let ratings = problem.ratings;
        squares(users, items, ratings.by_user())
            + norm(&problem.of_users, ratings.by_user(), &users.u, &users.bias)
            + norm(&problem.of_items, ratings.by_item(), &items.m, &items.bias)
    }

    #[test]
    fn no_half_step_raises_the_objective() {
        let data = low_rank(80, 40, 3, 0.05, RatingScale { min: -10.0, max: 10.0, step: None }, 1);
        for (biases, centred) in [(true, true), (false, true), (false, false)] {
            let config = AlsConfig { factors: 5, biases, centred, ..AlsConfig::default() };
            let problem = Problem::new(&config, &data.interactions);
            let mut items = problem.start(&config, 1);
            let mut users = problem.users(&items, 0).unwrap();
            let mut last = objective(&problem, &users, &items);
            for step in 0..10 {
                items = problem.items(users.clone(), step).unwrap();
                let after_items = objective(&problem, &users, &items);
                users = problem.users(&items, step).unwrap();
                let after_users = objective(&problem, &users, &items);
                // Solutions are rounded to f32.
                let slack = 1.0 + 1e-6;
                assert!(after_items <= last * slack, "{after_items} after {last}");
                assert!(after_users <= after_items * slack, "{after_users} after {after_items}");
                last = after_users;
            }
        }
    }

    /// Without noise and with hardly any shrinkage, what was planted is found.
    #[test]
    fn planted_factors_are_found() {
        let data = low_rank(150, 60, 2, 0.0, RatingScale { min: -10.0, max: 10.0, step: None }, 2);
        let config = AlsConfig {
            factors: 2,
            iterations: 60,
            regularization: Auto::Value(1e-4),
            ridge: 1e-3,
            bias_regularization: 1e-4,
            bias_ridge: 1e-3,
            ..AlsConfig::default()
        };
        let model = Als::fit(&config, &data.training_data(), &FitContext::new(1)).unwrap();
        let users = data.training_data().users();
        let pairs: Vec<_> =
            data.held_out.iter().map(|&(user, item, _)| (user, foldin_core::ItemId(item))).collect();
        let mut out = vec![0.0; pairs.len()];
        foldin_core::Recommender::predict(&model, &users, &pairs, &mut out).unwrap();
        let squares: f64 = out.iter().zip(&data.held_out).map(|(p, t)| f64::from(p - t.2).powi(2)).sum();
        let rmse = (squares / out.len() as f64).sqrt();
        // A few ratings are clipped to the scale, which no factors explain.
        assert!(rmse < 0.3, "{rmse}");
    }
}
