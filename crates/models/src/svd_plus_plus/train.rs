//! The descent of `svd++`, in batches of users.
//!
//! All users of a batch begin with the parameters as they are. Each goes through their own ratings one by one, on copies of the
//! rows of the items rated; afterwards what each changed is added to the tables in the order of the users. Passes run in
//! parallel, and so does the adding, by ranges of items. What a user changes depends on the batch alone, and additions have one
//! order, so threads do not matter. With batches of one this is plain stochastic gradient descent.
//!
//! Rows are laid out as in [`crate::sgd`]: `[p | b_u | 1]`, `[m | 1 | b_i]` and `[y | 0 | 0]`, padded with zeros, so that
//! `(p + z)·m` is the whole prediction.

use foldin_core::parallel::chunked_sum;
use foldin_core::random::{Random, numbered_seed};
use foldin_core::{Csr, Epoch, FitContext, FitError, Interactions, ModelFamily, TrainState};
use foldin_nn::descent::{Rates, apply_pass, descend_user};
use foldin_nn::kernels::{dot, weighted_row_sums};
use rayon::prelude::*;

use super::{REGULARIZATION, SvdPlusPlus, SvdPlusPlusConfig};
use crate::factorization::{Unit, fill_unrated, first_factors, regularization_for};
use crate::holdout::{EarlyStopping, Holdout};
use crate::resume;
use crate::sgd::Side;

/// What is learned, in the unit of learning.
pub(super) struct Learned {
    pub(super) users: Side,
    pub(super) items: Side,
    /// `y`, `[n_items × k]`.
    pub(super) implied: Vec<f32>,
}

pub(super) fn learn(
    config: &SvdPlusPlusConfig,
    unit: Unit,
    ratings: &Interactions,
    ctx: &FitContext<'_>,
) -> Result<Learned, FitError> {
    let holdout = (config.validation_fraction > 0.0)
        .then(|| Holdout::cut(ratings, config.validation_fraction, ctx.seed));
    let train = holdout.as_ref().map_or(ratings, |holdout| &holdout.train);
    let validation = holdout.as_ref().map_or(&[][..], |holdout| &holdout.validation);
    let mut descent = Descent::new(config, unit, train, ctx);
    if let Some(saved) = ctx.resume()? {
        descent.resume(saved, ratings)?;
    }
    while descent.epoch < config.epochs && !descent.stopping.is_over(descent.epoch) {
        let squares = descent.run_epoch(ctx.seed);
        let number = descent.epoch;
        if !squares.is_finite() {
            return Err(FitError::Diverged {
                model: SvdPlusPlus::NAME,
                epoch: number,
                what: "the training error",
            });
        }
        let validation_rmse = (!validation.is_empty()).then(|| descent.rmse(validation));
        if validation_rmse.is_some_and(|rmse| descent.stopping.improved(number, rmse)) {
            descent.best = Some(descent.tables.clone());
        }
        let train_rmse = Some((squares / train.len().max(1) as f64).sqrt() * f64::from(unit.length));
        let epoch = Epoch { number, of: config.epochs, train_rmse, validation_rmse, ..Epoch::default() };
        ctx.epoch_done(epoch, || descent.save(ratings))?;
    }
    Ok(descent.finish(ratings))
}

/// Rows of all users and items.
#[derive(Clone, Debug)]
struct Tables {
    /// `[p | b_u | 1]`.
    users: Vec<f32>,
    /// `[m | 1 | b_i]`.
    items: Vec<f32>,
    /// `[y | 0 | 0]`.
    implied: Vec<f32>,
}

/// Parameters, and how far the descent is.
struct Descent<'a> {
    config: &'a SvdPlusPlusConfig,
    unit: Unit,
    /// λ.
    regularization: f32,
    train: &'a Csr,
    width: usize,
    tables: Tables,
    epoch: usize,
    stopping: EarlyStopping,
    /// Those of the best epoch, when some ratings are held out.
    best: Option<Tables>,
    passes: Vec<Pass>,
}

/// One user's pass over their ratings.
#[derive(Clone, Debug, Default)]
struct Pass {
    user: usize,
    /// Position in the history and value, in the order of the pass.
    ratings: Vec<(u32, f32)>,
    /// `n^(−½)`, once a rating.
    weights: Vec<f32>,
    p: Vec<f32>,
    z: Vec<f32>,
    /// `Σ e m`, and then what it moves each `y` by.
    pull: Vec<f32>,
    /// Rows of the items rated, and then what is to be added to them.
    rows: Vec<f32>,
    squares: f64,
}

/// Rates of one epoch.
struct Step {
    users: Rates,
    items: Rates,
    implied_rate: f32,
    implied_keep: f32,
}

/// Ranges of items that are written in parallel.
const RANGES: usize = 32;

impl<'a> Descent<'a> {
    fn new(config: &'a SvdPlusPlusConfig, unit: Unit, train: &'a Interactions, ctx: &FitContext<'_>) -> Self {
        let k = config.factors;
        let width = (k + 2).next_multiple_of(16);
        let (users, items) = first_factors(config.start, config.start_scale, k, train, ctx);
        let lay = |factors: &[f32], one_at: usize| {
            let mut rows = vec![0.0; factors.len() / k * width];
            for (row, factors) in rows.chunks_exact_mut(width).zip(factors.chunks_exact(k)) {
                row[..k].copy_from_slice(factors);
                row[one_at] = 1.0;
            }
            rows
        };
        let tables = Tables {
            users: lay(&users, k + 1),
            items: lay(&items, k),
            implied: vec![0.0; train.n_items() * width],
        };
        Self {
            config,
            unit,
            regularization: config.regularization.or_else(|| regularization_for(REGULARIZATION, train.len())),
            train: train.by_user(),
            width,
            tables,
            epoch: 0,
            stopping: EarlyStopping::new(config.patience),
            best: None,
            passes: vec![Pass::default(); config.batch_size],
        }
    }

    fn step_of_epoch(&self) -> Step {
        let (config, k) = (self.config, self.config.factors);
        let rate = config.learning_rate * config.learning_rate_decay.powi(self.epoch as i32);
        let rates = |bias_at: usize| {
            let mut rates = Rates { rate: vec![0.0; self.width], keep: vec![1.0; self.width] };
            rates.rate[..k].fill(rate);
            rates.keep[..k].fill(1.0 - rate * self.regularization);
            rates.rate[bias_at] = rate;
            rates.keep[bias_at] = 1.0 - rate * config.bias_regularization;
            rates
        };
        Step {
            users: rates(k),
            items: rates(k + 1),
            implied_rate: rate,
            implied_keep: 1.0 - rate * config.implied_regularization,
        }
    }

    /// One pass over all ratings; the sum of the squared errors met on the way.
    fn run_epoch(&mut self, seed: u64) -> f64 {
        let step = self.step_of_epoch();
        let mut order: Vec<usize> =
            (0..self.train.n_rows()).filter(|&user| self.train.row_len(user) > 0).collect();
        Random::new(numbered_seed(seed, "svd++ users", self.epoch as u64)).shuffle(&mut order);
        let mut squares = 0.0;
        for batch in order.chunks(self.config.batch_size) {
            squares += self.run_batch(batch, &step, seed);
        }
        self.epoch += 1;
        squares
    }

    fn run_batch(&mut self, batch: &[usize], step: &Step, seed: u64) -> f64 {
        let mut passes = std::mem::take(&mut self.passes);
        passes[..batch.len()].par_iter_mut().zip(batch).with_max_len(1).for_each(|(pass, &user)| {
            let number = self.epoch as u64 * self.train.n_rows() as u64 + user as u64;
            let random = Random::new(numbered_seed(seed, "svd++ ratings", number));
            self.run_pass(pass, user, step, random);
        });
        let (done, width, train) = (&passes[..batch.len()], self.width, self.train);
        for pass in done {
            self.tables.users[pass.user * width..(pass.user + 1) * width].copy_from_slice(&pass.p);
        }
        let per_range = train.n_cols().div_ceil(RANGES).max(1);
        let ranges = self
            .tables
            .items
            .par_chunks_mut(per_range * width)
            .zip(self.tables.implied.par_chunks_mut(per_range * width));
        ranges.enumerate().for_each(|(range, (items, implied))| {
            let first = (range * per_range) as u32;
            for pass in done {
                let (rated, _) = train.row(pass.user);
                let from = rated.partition_point(|&item| item < first);
                let to = rated.partition_point(|&item| (item as usize) < (range + 1) * per_range);
                let changes = &pass.rows[from * width..to * width];
                apply_pass(&rated[from..to], first, changes, step.implied_keep, &pass.pull, items, implied);
            }
        });
        let squares = done.iter().map(|pass| pass.squares).sum();
        self.passes = passes;
        squares
    }

    /// Goes through one user's ratings, on copies.
    fn run_pass(&self, pass: &mut Pass, user: usize, step: &Step, mut random: Random) {
        let (width, k) = (self.width, self.config.factors);
        let (rated, values) = self.train.row(user);
        let row = |item: u32| item as usize * width..(item as usize + 1) * width;
        let weight = 1.0 / (rated.len() as f32).sqrt();
        pass.user = user;
        pass.ratings.clear();
        pass.ratings.extend(
            values.iter().zip(0..).map(|(&value, at)| (at, (value - self.unit.origin) / self.unit.length)),
        );
        random.shuffle(&mut pass.ratings);
        pass.weights.clear();
        pass.weights.resize(rated.len(), weight);
        pass.rows.clear();
        rated.iter().for_each(|&item| pass.rows.extend_from_slice(&self.tables.items[row(item)]));
        pass.p.clear();
        pass.p.extend_from_slice(&self.tables.users[row(user as u32)]);
        for sums in [&mut pass.z, &mut pass.pull] {
            sums.clear();
            sums.resize(width, 0.0);
        }
        let offsets = [0, rated.len()];
        weighted_row_sums(&offsets, rated, &pass.weights, &self.tables.implied, width, &mut pass.z);
        pass.squares = descend_user(
            &pass.ratings,
            &mut pass.p,
            &pass.z,
            &mut pass.pull,
            &mut pass.rows,
            &step.users,
            &step.items,
        );
        pass.pull[k..].fill(0.0);
        pass.pull.iter_mut().for_each(|x| *x *= step.implied_rate * weight);
        for (rows, &item) in pass.rows.chunks_exact_mut(width).zip(rated) {
            rows.iter_mut().zip(&self.tables.items[row(item)]).for_each(|(new, old)| *new -= old);
        }
    }

    /// RMSE of pairs, which stand by user, in the data's own unit.
    fn rmse(&self, pairs: &[(u32, u32, f32)]) -> f64 {
        let width = self.width;
        let row = |at: u32| at as usize * width..(at as usize + 1) * width;
        let squares = chunked_sum(pairs.len(), 4096, |chunk| {
            let mut squares = 0.0;
            for pairs in pairs[chunk].chunk_by(|one, next| one.0 == next.0) {
                let user = pairs[0].0;
                let (rated, _) = self.train.row(user as usize);
                let weights = vec![1.0 / (rated.len().max(1) as f32).sqrt(); rated.len()];
                let mut sum = self.tables.users[row(user)].to_vec();
                let offsets = [0, rated.len()];
                weighted_row_sums(&offsets, rated, &weights, &self.tables.implied, width, &mut sum);
                for &(_, item, value) in pairs {
                    let score = dot(&sum, &self.tables.items[row(item)]);
                    squares += f64::from(value - (self.unit.origin + self.unit.length * score)).powi(2);
                }
            }
            squares
        });
        (squares / pairs.len() as f64).sqrt()
    }

    fn save(&self, ratings: &Interactions) -> TrainState {
        let mut state = resume::state(self.epoch, ratings, &self.stopping);
        for (name, tables) in [("", Some(&self.tables)), ("best_", self.best.as_ref())] {
            let Some(tables) = tables else { continue };
            for (part, rows) in
                [("users", &tables.users), ("items", &tables.items), ("implied", &tables.implied)]
            {
                let shape = [rows.len() / self.width, self.width];
                resume::keep(&mut state, format!("{name}{part}"), shape, rows);
            }
        }
        state
    }

    fn resume(&mut self, mut saved: TrainState, ratings: &Interactions) -> Result<(), FitError> {
        resume::check(&saved, ratings, &mut self.stopping)?;
        let (like, width) = (&self.tables, self.width);
        let mut take = |name: &str| -> Result<Tables, FitError> {
            let mut part = |part: &str, like: &[f32]| {
                resume::take(&mut saved, &format!("{name}{part}"), [like.len() / width, width])
            };
            Ok(Tables {
                users: part("users", &like.users)?,
                items: part("items", &like.items)?,
                implied: part("implied", &like.implied)?,
            })
        };
        let best = if self.stopping.best_epoch > 0 { Some(take("best_")?) } else { None };
        self.tables = take("")?;
        (self.best, self.epoch) = (best, saved.epochs);
        Ok(())
    }

    fn finish(self, ratings: &Interactions) -> Learned {
        let (k, width) = (self.config.factors, self.width);
        let tables = self.best.unwrap_or(self.tables);
        let factors = |rows: &[f32]| -> Vec<f32> {
            rows.chunks_exact(width).flat_map(|row| &row[..k]).copied().collect()
        };
        let side = |rows: &[f32], bias_at: usize, rated: &Csr| {
            let bias = rows.chunks_exact(width).map(|row| row[bias_at]).collect();
            let mut side = Side { factors: factors(rows), bias };
            fill_unrated(&mut side, rated);
            side
        };
        Learned {
            users: side(&tables.users, k, ratings.by_user()),
            items: side(&tables.items, k + 1, ratings.by_item()),
            implied: factors(&tables.implied),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use foldin_core::{Feedback, RatingScale};

    /// Halved, of user 0 alone, in `f64`.
    fn objective(descent: &Descent<'_>, tables: &Tables) -> f64 {
        let (config, k, width) = (descent.config, descent.config.factors, descent.width);
        let (rated, values) = descent.train.row(0);
        let row = |table: &[f32], at: u32| -> Vec<f64> {
            table[at as usize * width..][..width].iter().map(|&x| f64::from(x)).collect()
        };
        let norm = |row: &[f64]| row[..k].iter().map(|x| x * x).sum::<f64>();
        let p = row(&tables.users, 0);
        let mut user = p.clone();
        let mut out = 0.0;
        for &item in rated {
            let y = row(&tables.implied, item);
            user.iter_mut().zip(&y).for_each(|(u, y)| *u += y / (rated.len() as f64).sqrt());
            out += f64::from(config.implied_regularization) * norm(&y);
        }
        for (&item, &value) in rated.iter().zip(values) {
            let m = row(&tables.items, item);
            let score: f64 = user.iter().zip(&m).map(|(u, m)| u * m).sum();
            let value = f64::from((value - descent.unit.origin) / descent.unit.length);
            out += (value - score).powi(2);
            out += f64::from(descent.regularization) * (norm(&p) + norm(&m));
            out += f64::from(config.bias_regularization) * (p[k].powi(2) + m[k + 1].powi(2));
        }
        out / 2.0
    }

    /// A short step of one user goes down the gradient of everything that it moves.
    #[test]
    fn a_step_goes_down_the_gradient() {
        let triples = [(0, 0, 4.0), (0, 2, 1.0), (0, 3, 9.0), (1, 1, 5.0)];
        let scale = RatingScale { min: 0.0, max: 10.0, step: None };
        let csr = Csr::from_triples(2, 5, &triples).unwrap();
        let ratings = Interactions::new(csr, None, Feedback::Explicit(scale)).unwrap();
        let config = SvdPlusPlusConfig {
            factors: 3,
            start: crate::factorization::Start::Random,
            start_scale: 0.5,
            learning_rate: 1e-4,
            regularization: foldin_core::Auto::Value(0.3),
            bias_regularization: 0.2,
            implied_regularization: 0.4,
            ..SvdPlusPlusConfig::default()
        };
        let ctx = FitContext::new(1);
        let mut descent = Descent::new(&config, Unit::of(&ratings, true), &ratings, &ctx);
        // Everything that is learned away from 0, which biases and y start at.
        let mut random = Random::new(5);
        let (width, k) = (descent.width, config.factors);
        for item in 0..5 {
            descent.tables.items[item * width + k + 1] = random.normal() as f32 * 0.3;
            for at in 0..k {
                descent.tables.implied[item * width + at] = random.normal() as f32 * 0.3;
            }
        }
        descent.tables.users[k] = 0.2;
        let before = descent.tables.clone();
        let step = descent.step_of_epoch();
        descent.run_batch(&[0], &step, 1);
        let get = |tables: &Tables, table: usize, at: usize| {
            [&tables.users, &tables.items, &tables.implied][table][at]
        };
        let moved = |table: usize, at: usize, by: f32| {
            let mut tables = before.clone();
            [&mut tables.users, &mut tables.items, &mut tables.implied][table][at] += by;
            objective(&descent, &tables)
        };
        let mut largest = 0.0f64;
        for (table, rows) in [2, 5, 5].into_iter().enumerate() {
            for at in 0..rows * width {
                let (new, old) = (get(&descent.tables, table, at), get(&before, table, at));
                let learned = match table {
                    0 => at % width <= k,
                    1 => at % width < k || at % width == k + 1,
                    _ => at % width < k,
                };
                let slope =
                    if learned { (moved(table, at, 0.01) - moved(table, at, -0.01)) / 0.02 } else { 0.0 };
                let step = f64::from(old - new) / f64::from(config.learning_rate);
                // Steps of 1e-4 on numbers of size 1 are rounded at 1e-3, and the later ratings see what the earlier ones changed.
                assert!((step - slope).abs() < 5e-3, "table {table}, {at}: {step} and {slope}");
                largest = largest.max(slope.abs());
            }
        }
        assert!(largest > 0.5, "the test moves something: {largest}");
    }

    /// The changes of a batch are those of its users, added up.
    #[test]
    fn batches_add_up() {
        let mut random = Random::new(3);
        let triples: Vec<_> = (0..20u32)
            .flat_map(|user| (0..12u32).map(move |item| (user, item)))
            .filter(|_| random.chance(0.5))
            .map(|(user, item)| (user, item, ((user * item) % 5) as f32))
            .collect();
        let scale = RatingScale { min: 0.0, max: 4.0, step: None };
        let csr = Csr::from_triples(20, 12, &triples).unwrap();
        let ratings = Interactions::new(csr, None, Feedback::Explicit(scale)).unwrap();
        // Without shrinkage of y, which multiplies and does not add.
        let config =
            SvdPlusPlusConfig { factors: 4, implied_regularization: 0.0, ..SvdPlusPlusConfig::default() };
        let ctx = FitContext::new(1);
        let start = || Descent::new(&config, Unit::of(&ratings, true), &ratings, &ctx);
        let before = start().tables;
        let step = start().step_of_epoch();
        let users = [3, 11, 7];
        let mut together = start();
        together.run_batch(&users, &step, 1);
        let mut sum = before.clone();
        for user in users {
            let mut alone = start();
            alone.run_batch(&[user], &step, 1);
            for (sum, (new, old)) in [
                (&mut sum.users, (&alone.tables.users, &before.users)),
                (&mut sum.items, (&alone.tables.items, &before.items)),
                (&mut sum.implied, (&alone.tables.implied, &before.implied)),
            ] {
                sum.iter_mut().zip(new.iter().zip(old)).for_each(|(sum, (new, old))| *sum += new - old);
            }
        }
        for (got, want) in [
            (&together.tables.users, &sum.users),
            (&together.tables.items, &sum.items),
            (&together.tables.implied, &sum.implied),
        ] {
            assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-6));
        }
    }
}
