//! The run of training: epochs of batches, validation, checkpoints.

use std::borrow::Cow;

use foldin_core::random::{Random, numbered_seed};
use foldin_core::{Csr, Epoch, FitContext, FitError, Interactions, TrainState, TrainingData};
use rayon::prelude::*;

use super::config::RbmConfig;
use super::levels::{Cases, Levels};
use super::machine::{Machine, Shape};
use super::predict::Predictor;
use super::step::{Batch, Ends, Pace, Run, run_chains, update};
use crate::holdout::{EarlyStopping, Holdout};
use crate::linear::explicit_ratings;
use crate::resume;

/// What a case is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// A user; items are the visible units.
    Users,
    /// An item; users are the visible units.
    Items,
}

impl Side {
    fn rows(self, ratings: &Interactions) -> &Csr {
        match self {
            Self::Users => ratings.by_user(),
            Self::Items => ratings.by_item(),
        }
    }
}

/// What is left of a fit.
#[derive(Debug)]
pub(super) struct Trained {
    pub(super) predictor: Predictor,
    /// `[cases × hidden]`: hidden probabilities of the training cases, given all their ratings.
    pub(super) hidden: Vec<f32>,
}

/// Fits a machine to the users or to the items.
pub(super) fn fit(
    model: &'static str,
    side: Side,
    config: &RbmConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<Trained, FitError> {
    let all = explicit_ratings(model, data)?;
    let scale = all.feedback().scale().ok_or(FitError::WrongFeedback {
        model,
        expected: "explicit",
        got: "implicit",
    })?;
    let levels = Levels::of(model, all, scale)?;
    let (train, mut validation) = if config.validation_fraction > 0.0 {
        let Holdout { train, validation } = Holdout::cut(all, config.validation_fraction, ctx.seed);
        (Cow::Owned(train), validation)
    } else {
        (Cow::Borrowed(all), Vec::new())
    };
    if side == Side::Items {
        validation.iter_mut().for_each(|(user, item, _)| std::mem::swap(user, item));
        validation.sort_unstable_by_key(|&(case, unit, _)| (case, unit));
    }
    let cases = Cases::new(side.rows(&train), &levels);
    let trainer = Trainer::new(model, config, &cases, &levels, &train, ctx.seed);
    let machine = trainer.run(&validation, ctx)?;
    let predictor = Predictor::new(machine, levels.clone(), config.prediction);
    // What was held out to stop in time is known all the same.
    let known = Cases::new(side.rows(all), &levels);
    let hidden: Vec<Vec<f32>> = match side {
        Side::Users => Vec::new(),
        Side::Items => (0..known.len())
            .into_par_iter()
            .map(|case| {
                let (units, levels) = known.of(case);
                predictor.hidden(units, levels)
            })
            .collect(),
    };
    Ok(Trained { predictor, hidden: hidden.concat() })
}

/// A machine in training.
struct Trainer<'a> {
    model: &'static str,
    config: &'a RbmConfig,
    cases: &'a Cases<'a>,
    levels: &'a Levels,
    ratings: &'a Interactions,
    seed: u64,
    machine: Machine,
    velocity: Machine,
    best: Option<Machine>,
    stopping: EarlyStopping,
    epochs: usize,
}

impl<'a> Trainer<'a> {
    fn new(
        model: &'static str,
        config: &'a RbmConfig,
        cases: &'a Cases<'a>,
        levels: &'a Levels,
        ratings: &'a Interactions,
        seed: u64,
    ) -> Self {
        let shape = Shape {
            units: cases.n_units(),
            levels: levels.len(),
            hidden: config.hidden_units,
            conditional: config.conditional,
        };
        Self {
            model,
            config,
            cases,
            levels,
            ratings,
            seed,
            machine: Machine::new(shape, cases, config.start_deviation, seed),
            velocity: Machine::zeros(shape),
            best: None,
            stopping: EarlyStopping::new(config.patience),
            epochs: 0,
        }
    }

    /// Trains; `validation` are held-out ratings `(case, unit, value)`, by case. Returns the best machine, or the last.
    fn run(mut self, validation: &[(u32, u32, f32)], ctx: &FitContext<'_>) -> Result<Machine, FitError> {
        if let Some(state) = ctx.resume()? {
            self.restore(state)?;
        }
        while self.epochs < self.config.epochs && !self.stopping.is_over(self.epochs) {
            let train_rmse = self.epoch()?;
            let validation_rmse = (!validation.is_empty()).then(|| self.rmse(validation));
            if validation_rmse.is_some_and(|rmse| self.stopping.improved(self.epochs, rmse)) {
                self.best = Some(self.machine.clone());
            }
            let epoch = Epoch {
                number: self.epochs,
                of: self.config.epochs,
                train_rmse,
                validation_rmse,
                ..Epoch::default()
            };
            ctx.epoch_done(epoch, || self.state())?;
        }
        Ok(self.best.unwrap_or(self.machine))
    }

    /// One epoch. The RMSE of the training ratings is that of the first step of the chains: of ratings made again from hidden
    /// units that have seen them.
    fn epoch(&mut self) -> Result<Option<f64>, FitError> {
        let (config, epoch) = (self.config, self.epochs);
        let seed = numbered_seed(self.seed, "epoch", epoch as u64);
        let mut order: Vec<u32> =
            (0..self.cases.len() as u32).filter(|&case| !self.cases.of(case as usize).0.is_empty()).collect();
        Random::new(numbered_seed(seed, "order", 0)).shuffle(&mut order);
        let run = Run { chain: config.chain, steps: config.steps_in(epoch), seed };
        let pace = Pace {
            learning_rate: config.learning_rate_in(epoch),
            momentum: config.momentum_in(epoch),
            weight_decay: config.weight_decay,
            count_exponent: config.count_exponent,
        };
        let mut counts = vec![0; self.cases.n_units()];
        let mut ends = Ends::default();
        let (mut squares, mut n) = (0.0, 0);
        for numbers in order.chunks(config.batch_size) {
            let batch = Batch::new(self.cases, numbers, &mut counts);
            run_chains(&self.machine, self.cases, self.levels, &batch, run, &mut ends);
            update(&mut self.machine, &mut self.velocity, &batch, &ends, pace);
            squares += ends.squares;
            n += batch.n_ratings();
        }
        self.epochs += 1;
        // Every hidden probability went into these sums.
        if self.machine.hidden_bias.iter().any(|bias| !bias.is_finite()) || !squares.is_finite() {
            return Err(FitError::Diverged { model: self.model, epoch: self.epochs, what: "the weights" });
        }
        Ok(ends.has_squares.then(|| (squares / n as f64).sqrt()))
    }

    /// RMSE of held-out ratings.
    fn rmse(&self, validation: &[(u32, u32, f32)]) -> f64 {
        let predictor = Predictor::new(self.machine.clone(), self.levels.clone(), self.config.prediction);
        let of_cases: Vec<&[(u32, u32, f32)]> = validation.chunk_by(|one, next| one.0 == next.0).collect();
        let squares: Vec<f64> = of_cases
            .into_par_iter()
            .map(|ratings| {
                let (units, levels) = self.cases.of(ratings[0].0 as usize);
                let hidden = predictor.hidden(units, levels);
                ratings
                    .iter()
                    .map(|&(_, unit, value)| {
                        f64::from(predictor.rating(&hidden, unit as usize) - value).powi(2)
                    })
                    .sum()
            })
            .collect();
        (squares.iter().sum::<f64>() / validation.len() as f64).sqrt()
    }

    fn state(&self) -> TrainState {
        let mut state = resume::state(self.epochs, self.ratings, &self.stopping);
        let mut keep = |name: &str, machine: &Machine| {
            for (part, values) in machine.parts() {
                resume::keep(&mut state, format!("{name}.{part}"), [values.len()], values);
            }
        };
        keep("machine", &self.machine);
        keep("velocity", &self.velocity);
        if let Some(best) = &self.best {
            keep("best", best);
        }
        state
    }

    fn restore(&mut self, mut state: TrainState) -> Result<(), FitError> {
        resume::check(&state, self.ratings, &mut self.stopping)?;
        let mut into = |name: &str, machine: &mut Machine| {
            machine.parts_mut().into_iter().try_for_each(|(part, values)| {
                *values = resume::take(&mut state, &format!("{name}.{part}"), [values.len()])?;
                Ok::<(), FitError>(())
            })
        };
        into("machine", &mut self.machine)?;
        into("velocity", &mut self.velocity)?;
        if self.stopping.best_epoch > 0 {
            let mut best = Machine::zeros(self.machine.shape);
            into("best", &mut best)?;
            self.best = Some(best);
        }
        self.epochs = state.epochs;
        Ok(())
    }
}
