//! Stochastic gradient descent for factor models: `r̂_ui = μ + b_u + b_i + u_u·m_i`, with or without the biases.
//!
//! Objective: `Σ (r_ui − r̂_ui)² + λ (|u_u|² + |m_i|²) + λ_b (b_u² + b_i²)` over the ratings, halved; each rating shrinks its own user and item
//! (Koren, Bell, Volinsky 2009, "Matrix factorization techniques for recommender systems", equation 2 and 5).
//!
//! A user's row is `[u | b_u | 1]` and an item's `[m | 1 | b_i]`, padded with zeros, so that one inner product is the whole prediction
//! and learning rates by column hold the ones fast. Time O(epochs · ratings · k); memory 12 bytes a rating and one row of
//! `k + 2`, rounded up to 16, for each user and item. Blocks of ratings run in parallel ([`grid`]); the same bits at any
//! number of threads.

mod grid;

use foldin_core::parallel::chunked_sum;
use foldin_core::random::{Random, numbered_seed};
use foldin_core::{Epoch, FitContext, FitError, Interactions, TrainState};
use rayon::prelude::*;

use crate::holdout::{EarlyStopping, Holdout};
use crate::resume;
use foldin_nn::descent::{Entry, Rates, descend};
use foldin_nn::kernels::dot;
use grid::{GROUPS, Grid};

/// How to descend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Descent {
    /// Name of the model, for errors.
    pub model: &'static str,
    /// Whether users and items have biases.
    pub biases: bool,
    /// Passes over the ratings, at most.
    pub epochs: usize,
    /// Step of the first epoch.
    pub learning_rate: f32,
    /// Factor on the step from one epoch to the next.
    pub learning_rate_decay: f32,
    /// Shrinkage λ of factors.
    pub regularization: f32,
    /// Shrinkage λ_b of biases.
    pub bias_regularization: f32,
    /// The rating that counts as nought; with biases or without, it is a part of every prediction.
    pub origin: f32,
    /// What counts as one: learning happens on `(rating − origin) / unit`.
    pub unit: f32,
    /// Share of each user's ratings that is held out to stop early; 0 to run all epochs on all ratings.
    pub validation_fraction: f64,
    /// Epochs without improvement of the held-out part after which to stop.
    pub patience: usize,
}

/// What is learned of users, or of items.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Side {
    /// `[n × k]`.
    pub factors: Vec<f32>,
    /// `[n]`; empty without biases.
    pub bias: Vec<f32>,
}

/// What is learned: the start and the end of a descent.
#[derive(Clone, Debug, PartialEq)]
pub struct Learned {
    /// Number of factors.
    pub k: usize,
    /// Of users.
    pub users: Side,
    /// Of items.
    pub items: Side,
}

/// Descends from what `start` gives for the ratings that are learned from, which are all but those held out. What is held out
/// depends on `ctx.seed` alone.
///
/// # Errors
/// [`FitError::Diverged`], [`FitError::Cancelled`], [`FitError::Checkpoint`].
pub fn descend_from(
    start: impl FnOnce(&Interactions) -> Learned,
    descent: &Descent,
    ratings: &Interactions,
    ctx: &FitContext<'_>,
) -> Result<Learned, FitError> {
    let holdout = (descent.validation_fraction > 0.0)
        .then(|| Holdout::cut(ratings, descent.validation_fraction, ctx.seed));
    let train = holdout.as_ref().map_or(ratings, |holdout| &holdout.train);
    let validation = holdout.as_ref().map_or(&[][..], |holdout| &holdout.validation);
    let grid = Grid::new(train.by_user(), descent.origin, descent.unit);
    let mut state = State::new(&start(train), &grid, descent);
    if let Some(saved) = ctx.resume()? {
        state.resume(saved, ratings)?;
    }
    while state.epoch < descent.epochs && !state.stopping.is_over(state.epoch) {
        let squares = state.run_epoch(&grid, descent, ctx.seed);
        if !squares.is_finite() {
            let (model, epoch) = (descent.model, state.epoch);
            return Err(FitError::Diverged { model, epoch, what: "the training error" });
        }
        let validation_rmse = (!validation.is_empty()).then(|| state.rmse(&grid, validation, descent));
        if let Some(rmse) = validation_rmse {
            state.note(rmse);
        }
        let report = Epoch {
            number: state.epoch,
            of: descent.epochs,
            train_rmse: Some((squares / train.len().max(1) as f64).sqrt() * f64::from(descent.unit)),
            validation_rmse,
            ..Epoch::default()
        };
        ctx.epoch_done(report, || state.save(ratings))?;
    }
    Ok(state.finish(&grid))
}

/// Rows in the order of the grid, and how far the descent is.
struct State {
    k: usize,
    width: usize,
    biases: bool,
    epoch: usize,
    rows: Rows,
    stopping: EarlyStopping,
    /// Rows of the best epoch, when some ratings are held out.
    best: Option<Rows>,
    /// One buffer a group for the ratings of a block.
    buffers: Vec<Vec<Entry>>,
}

#[derive(Clone)]
struct Rows {
    users: Vec<f32>,
    items: Vec<f32>,
}

impl State {
    fn new(start: &Learned, grid: &Grid, descent: &Descent) -> Self {
        let k = start.k;
        let width = (k + 2).next_multiple_of(16);
        let lay = |side: &Side, bias_at: usize, one_at: usize, position: &[u32]| {
            let mut rows = vec![0.0; position.len() * width];
            for (from, &to) in position.iter().enumerate() {
                let row = &mut rows[to as usize * width..(to as usize + 1) * width];
                row[..k].copy_from_slice(&side.factors[from * k..(from + 1) * k]);
                if descent.biases {
                    row[bias_at] = side.bias[from];
                    row[one_at] = 1.0;
                }
            }
            rows
        };
        Self {
            k,
            width,
            biases: descent.biases,
            epoch: 0,
            rows: Rows {
                users: lay(&start.users, k, k + 1, &grid.users.position),
                items: lay(&start.items, k + 1, k, &grid.items.position),
            },
            stopping: EarlyStopping::new(descent.patience),
            best: None,
            buffers: vec![Vec::new(); GROUPS],
        }
    }

    /// One pass over all ratings; the sum of the squared errors met on the way.
    fn run_epoch(&mut self, grid: &Grid, descent: &Descent, seed: u64) -> f64 {
        let rate = descent.learning_rate * descent.learning_rate_decay.powi(self.epoch as i32);
        let rates = |bias_at: usize| {
            let mut rates = Rates { rate: vec![0.0; self.width], keep: vec![1.0; self.width] };
            rates.rate[..self.k].fill(rate);
            rates.keep[..self.k].fill(1.0 - rate * descent.regularization);
            if self.biases {
                rates.rate[bias_at] = rate;
                rates.keep[bias_at] = 1.0 - rate * descent.bias_regularization;
            }
            rates
        };
        let (user_rates, item_rates) = (rates(self.k), rates(self.k + 1));
        let mut diagonals: Vec<usize> = (0..GROUPS).collect();
        Random::new(numbered_seed(seed, "sgd diagonals", self.epoch as u64)).shuffle(&mut diagonals);
        let (width, epoch) = (self.width, self.epoch);
        let mut squares = 0.0;
        for diagonal in diagonals {
            let users = cut(&mut self.rows.users, &grid.users.starts, width);
            let mut items = cut(&mut self.rows.items, &grid.items.starts, width);
            items.rotate_left(diagonal);
            let errors: Vec<f64> = users
                .into_par_iter()
                .zip(items)
                .zip(&mut self.buffers)
                .enumerate()
                .with_max_len(1)
                .map(|(group, ((users, items), entries))| {
                    let block = group * GROUPS + (group + diagonal) % GROUPS;
                    grid.shuffled(block, seed, epoch, entries);
                    descend(entries, users, items, width, &user_rates, &item_rates)
                })
                .collect();
            squares += errors.iter().sum::<f64>();
        }
        self.epoch += 1;
        squares
    }

    /// RMSE of pairs in the data's own unit.
    fn rmse(&self, grid: &Grid, pairs: &[(u32, u32, f32)], descent: &Descent) -> f64 {
        let range = |position: u32| position as usize * self.width..(position as usize + 1) * self.width;
        let squares = chunked_sum(pairs.len(), 4096, |chunk| {
            pairs[chunk]
                .iter()
                .map(|&(user, item, value)| {
                    let user = range(grid.users.position[user as usize]);
                    let item = range(grid.items.position[item as usize]);
                    let score = dot(&self.rows.users[user], &self.rows.items[item]);
                    f64::from(value - (descent.origin + descent.unit * score)).powi(2)
                })
                .sum()
        });
        (squares / pairs.len() as f64).sqrt()
    }

    /// Notes the held-out RMSE of the epoch just done, and its rows if they are the best so far.
    fn note(&mut self, rmse: f64) {
        if self.stopping.improved(self.epoch, rmse) {
            self.best = Some(self.rows.clone());
        }
    }

    fn save(&self, ratings: &Interactions) -> TrainState {
        let mut state = resume::state(self.epoch, ratings, &self.stopping);
        for (name, rows) in [("", Some(&self.rows)), ("best_", self.best.as_ref())] {
            let Some(rows) = rows else { continue };
            for (side, data) in [("users", &rows.users), ("items", &rows.items)] {
                let shape = [data.len() / self.width, self.width];
                resume::keep(&mut state, format!("{name}{side}"), shape, data);
            }
        }
        state
    }

    fn resume(&mut self, mut saved: TrainState, ratings: &Interactions) -> Result<(), FitError> {
        resume::check(&saved, ratings, &mut self.stopping)?;
        let mut take =
            |name: &str, like: &[f32]| resume::take(&mut saved, name, [like.len() / self.width, self.width]);
        let rows = Rows { users: take("users", &self.rows.users)?, items: take("items", &self.rows.items)? };
        if self.stopping.best_epoch > 0 {
            let users = take("best_users", &self.rows.users)?;
            self.best = Some(Rows { users, items: take("best_items", &self.rows.items)? });
        }
        self.rows = rows;
        self.epoch = saved.epochs;
        Ok(())
    }

    fn finish(self, grid: &Grid) -> Learned {
        let rows = self.best.unwrap_or(self.rows);
        let side = |rows: &[f32], position: &[u32], bias_at: usize| Side {
            factors: position
                .iter()
                .flat_map(|&at| &rows[at as usize * self.width..][..self.k])
                .copied()
                .collect(),
            bias: if self.biases {
                position.iter().map(|&at| rows[at as usize * self.width + bias_at]).collect()
            } else {
                Vec::new()
            },
        };
        Learned {
            k: self.k,
            users: side(&rows.users, &grid.users.position, self.k),
            items: side(&rows.items, &grid.items.position, self.k + 1),
        }
    }
}

/// Rows cut at group bounds, to be written by different threads.
fn cut<'a>(mut rows: &'a mut [f32], starts: &[usize], width: usize) -> Vec<&'a mut [f32]> {
    starts
        .windows(2)
        .map(|bounds| {
            let (group, rest) = std::mem::take(&mut rows).split_at_mut((bounds[1] - bounds[0]) * width);
            rows = rest;
            group
        })
        .collect()
}
