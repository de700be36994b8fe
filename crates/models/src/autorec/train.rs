//! The run of training, the same for users and items as cases.

use std::borrow::Cow;

use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{Csr, Epoch, FitContext, FitError, Interactions, RatingScale, TrainState, TrainingData};
use foldin_nn::adam::{Adam, Steps};
use foldin_nn::dropout::Dropout;
use foldin_nn::optimiser::{Optimiser, Trained};
use foldin_nn::rprop::Rprop;

use super::backward::Batch;
use super::config::{AutoRecConfig, Chosen, Learning};
use super::forward::Drops;
use super::network::{Network, Penalty};
use super::pretrain::{pretrain, report};
use crate::holdout::{EarlyStopping, Holdout};
use crate::linear::explicit_ratings;
use crate::resume;

/// Ratings on a scale of 1 to 5, whatever their own: what the network reads and writes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scaling {
    /// Length of a step of 1 in the ratings' own scale.
    pub(super) unit: f32,
    /// What 0 is there.
    pub(super) zero: f32,
}

impl Scaling {
    pub(super) fn of(scale: RatingScale) -> Self {
        let unit = (scale.max - scale.min) / 4.0;
        let unit = if unit > 0.0 { unit } else { 1.0 };
        Self { unit, zero: scale.min - unit }
    }

    pub(super) fn read(self, rating: f32) -> f32 {
        (rating - self.zero) / self.unit
    }

    pub(super) fn write(self, value: f32) -> f32 {
        value * self.unit + self.zero
    }
}

/// Which vectors of ratings are cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cases {
    Items,
    Users,
}

impl Cases {
    /// Cases in rows.
    pub(super) fn of(self, ratings: &Interactions) -> &Csr {
        match self {
            Self::Items => ratings.by_item(),
            Self::Users => ratings.by_user(),
        }
    }
}

/// What a fit leaves: the network, what it was fitted on, and the cases' ratings as it reads them.
pub(super) struct Fitted<'a> {
    pub(super) network: Network,
    pub(super) ratings: Cow<'a, Interactions>,
    pub(super) scaling: Scaling,
    /// `[cases × places]`, on a scale of 1 to 5.
    pub(super) by_case: Csr,
}

pub(super) fn fit<'a>(
    model: &'static str,
    cases: Cases,
    config: &AutoRecConfig,
    data: &TrainingData<'a>,
    ctx: &FitContext<'_>,
) -> Result<Fitted<'a>, FitError> {
    let all = explicit_ratings(model, data)?;
    let (ratings, validation) = if config.validation_fraction > 0.0 {
        let Holdout { train, validation } = Holdout::cut(all, config.validation_fraction, ctx.seed);
        (Cow::Owned(train), validation)
    } else {
        (Cow::Borrowed(all), Vec::new())
    };
    let scale = all.feedback().scale().unwrap_or(RatingScale { min: 1.0, max: 5.0, step: None });
    let scaling = Scaling::of(scale);
    let chosen = Chosen::new(config, cases == Cases::Users, ratings.len());
    let by_case = scaled(cases.of(&ratings), scaling)?;
    let validation = Validation::new(cases, &ratings, &validation)?;
    let run = Run { model, config, chosen, scaling, ratings: &ratings, validation, by_case };
    let network = run.train(ctx)?;
    let by_case = run.by_case;
    Ok(Fitted { network, ratings, scaling, by_case })
}

/// The same cells with ratings on a scale of 1 to 5.
fn scaled(csr: &Csr, scaling: Scaling) -> Result<Csr, FitError> {
    let values = csr.values().iter().map(|&rating| scaling.read(rating)).collect();
    Ok(Csr::from_parts(csr.n_cols(), csr.offsets().to_vec(), csr.columns().to_vec(), values)?)
}

/// Ratings that are watched.
struct Validation {
    /// Their cells, with the ratings in their own scale.
    cells: Csr,
}

impl Validation {
    fn new(cases: Cases, ratings: &Interactions, held: &[(u32, u32, f32)]) -> Result<Self, FitError> {
        let triples: Vec<_> = held
            .iter()
            .map(|&(user, item, value)| match cases {
                Cases::Items => (item, user, value),
                Cases::Users => (user, item, value),
            })
            .collect();
        let shape = cases.of(ratings);
        Ok(Self { cells: Csr::from_triples(shape.n_rows(), shape.n_cols(), &triples)? })
    }
}

struct Run<'a> {
    model: &'static str,
    config: &'a AutoRecConfig,
    chosen: Chosen,
    scaling: Scaling,
    ratings: &'a Interactions,
    validation: Validation,
    by_case: Csr,
}

impl Run<'_> {
    fn train(&self, ctx: &FitContext<'_>) -> Result<Network, FitError> {
        let (config, epochs) = (self.config, self.chosen.epochs);
        let full = self.all_cases();
        let optimiser = match optimiser(config, epochs, self.per_epoch()) {
            // Pre-trained weights are near enough: the long first steps would lose them.
            Optimiser::Rprop(rule) if config.pretrain_epochs > 0 => Optimiser::Rprop(rule.from_near()),
            optimiser => optimiser,
        };
        let mut network =
            Network::new(self.by_case.n_cols(), config, &optimiser, mean_of(&self.by_case), ctx.seed);
        let mut stopping = EarlyStopping::new(config.patience);
        let mut best: Option<Network> = None;
        let mut done = 0;
        if let Some(mut state) = ctx.resume()? {
            resume::check(&state, self.ratings, &mut stopping)?;
            done = restore(&mut network, &mut best, &stopping, &mut state)?;
        } else if config.pretrain_epochs > 0 {
            let outer = self.outer_pair(ctx)?;
            pretrain(&mut network, &outer, config, &self.by_case, ctx)?;
        }
        while done < epochs && (self.validation.cells.n_entries() == 0 || !stopping.is_over(done)) {
            let squares = self.epoch(&mut network, &full, &optimiser, done, ctx.seed);
            done += 1;
            let train_rmse =
                (squares / self.by_case.n_entries() as f64).sqrt() * f64::from(self.scaling.unit);
            if !train_rmse.is_finite() {
                let what = "the error on the training ratings";
                return Err(FitError::Diverged { model: self.model, epoch: done, what });
            }
            let validation_rmse = self.validate(&network);
            if validation_rmse.is_some_and(|rmse| stopping.improved(done, rmse)) {
                best = Some(network.clone());
            }
            let epoch = Epoch {
                number: done,
                of: epochs,
                train_rmse: Some(train_rmse),
                validation_rmse,
                ..Epoch::default()
            };
            ctx.epoch_done(epoch, || {
                let mut state = resume::state(done, self.ratings, &stopping);
                network.save("", &mut state);
                if let Some(best) = &best {
                    best.save("best.", &mut state);
                }
                state
            })?;
        }
        let network = best.unwrap_or(network);
        // The error of an epoch is that before its last step.
        let finite = |weights: &Trained| weights.w.iter().all(|weight| weight.is_finite());
        if [&network.encoder_bias, &network.decoder_bias, &network.decoder].into_iter().all(finite) {
            Ok(network)
        } else {
            Err(FitError::Diverged { model: self.model, epoch: done, what: "a weight" })
        }
    }

    /// The outer layers alone, trained as the whole will be.
    fn outer_pair(&self, ctx: &FitContext<'_>) -> Result<Network, FitError> {
        let config = AutoRecConfig { hidden: vec![self.config.hidden[0]], ..self.config.clone() };
        let validation = Validation { cells: self.validation.cells.select_rows(&[]) };
        let by_case = self.by_case.clone();
        let run = Run { config: &config, validation, by_case, ..*self };
        let epochs = config.pretrain_epochs;
        let (full, optimiser) = (run.all_cases(), optimiser(&config, epochs, run.per_epoch()));
        let seed = child_seed(ctx.seed, "pretrain");
        let mut network =
            Network::new(run.by_case.n_cols(), &config, &optimiser, mean_of(&run.by_case), seed);
        for at in 0..epochs {
            report(ctx, "ratings", at, epochs)?;
            run.epoch(&mut network, &full, &optimiser, at, seed);
        }
        Ok(network)
    }

    /// All cases as one batch, for an optimiser that wants them at once.
    fn all_cases(&self) -> Option<Batch> {
        (self.config.optimiser == Learning::Rprop).then(|| Batch::new(self.by_case.clone()))
    }

    /// Steps of an epoch.
    fn per_epoch(&self) -> usize {
        match self.config.optimiser {
            Learning::Rprop => 1,
            Learning::Adam => self.by_case.n_rows().div_ceil(self.chosen.batch_size).max(1),
        }
    }

    /// One epoch; the sum of squared errors before each of its steps.
    fn epoch(
        &self,
        network: &mut Network,
        full: &Option<Batch>,
        optimiser: &Optimiser,
        at: usize,
        seed: u64,
    ) -> f64 {
        match full {
            Some(batch) => self.step(network, batch, optimiser, at, seed, 1.0),
            None => self.epoch_of_batches(network, optimiser, at, seed),
        }
    }

    /// One step; the sum of squared errors before it. `share` is that of the cases in the batch.
    fn step(
        &self,
        network: &mut Network,
        batch: &Batch,
        optimiser: &Optimiser,
        at: usize,
        seed: u64,
        share: f32,
    ) -> f64 {
        let (input, hidden) = (self.config.input_dropout, self.config.dropout);
        let of = |purpose: &str| numbered_seed(seed, purpose, at as u64);
        let drops = Drops {
            input: (input > 0.0).then(|| Dropout::new(input, of("input dropout"))),
            hidden: (hidden > 0.0).then(|| (hidden, of("dropout"))),
        };
        let (squares, gradients) = network.gradients(batch, drops);
        network.update(optimiser, at, self.penalty(share), &gradients);
        squares
    }

    /// The penalties of a step on a share of the cases.
    fn penalty(&self, share: f32) -> Penalty {
        Penalty {
            places: self.chosen.regularization * share,
            dense: self.config.dense_regularization * share,
        }
    }

    fn epoch_of_batches(&self, network: &mut Network, optimiser: &Optimiser, epoch: usize, seed: u64) -> f64 {
        let (n_cases, per_epoch) = (self.by_case.n_rows(), self.per_epoch());
        let mut order: Vec<u32> = (0..n_cases as u32).collect();
        Random::new(numbered_seed(child_seed(seed, "batches"), "epoch", epoch as u64)).shuffle(&mut order);
        let mut squares = 0.0;
        for (at, cases) in order.chunks(self.chosen.batch_size).enumerate() {
            let batch = Batch::new(self.by_case.select_rows(cases));
            let share = cases.len() as f32 / n_cases as f32;
            squares += self.step(network, &batch, optimiser, epoch * per_epoch + at, seed, share);
        }
        squares
    }

    fn validate(&self, network: &Network) -> Option<f64> {
        let cells = &self.validation.cells;
        if cells.n_entries() == 0 {
            return None;
        }
        let predicted = network.outputs(cells, network.hidden_of(&self.by_case).view());
        let errors = predicted.iter().zip(cells.values()).map(|(&predicted, &value)| {
            // Kept within the scale, as predictions are.
            f64::from(self.scaling.write(predicted.clamp(1.0, 5.0)) - value)
        });
        Some((errors.map(|error| error * error).sum::<f64>() / cells.n_entries() as f64).sqrt())
    }
}

/// The mean of all ratings.
pub(super) fn mean_of(by_case: &Csr) -> f32 {
    let sum: f64 = by_case.values().iter().map(|&value| f64::from(value)).sum();
    (sum / by_case.n_entries().max(1) as f64) as f32
}

/// The optimiser of a run.
pub(super) fn optimiser(config: &AutoRecConfig, epochs: usize, per_epoch: usize) -> Optimiser {
    match config.optimiser {
        Learning::Rprop => Optimiser::Rprop(Rprop::default()),
        Learning::Adam => {
            let rates = (0..epochs * per_epoch).map(|at| {
                config.learning_rate
                    * config.learning_rate_decay.powi((at / per_epoch).min(i32::MAX as usize) as i32)
            });
            Optimiser::Adam(Steps::new(Adam::default(), rates))
        }
    }
}

/// Puts a checkpoint in the place of the start and returns the epochs done.
fn restore(
    network: &mut Network,
    best: &mut Option<Network>,
    stopping: &EarlyStopping,
    state: &mut TrainState,
) -> Result<usize, FitError> {
    network.restore("", state)?;
    if stopping.best_epoch > 0 {
        let mut found = network.clone();
        found.restore("best.", state)?;
        *best = Some(found);
    }
    Ok(state.epochs)
}
