//! The run of training: epochs of segments of batches, validation, checkpoints.

use std::borrow::Cow;

use foldin_core::{
    Epoch, FitContext, FitError, Interactions, ItemFactors, ItemId, Recommender, TrainState, TrainingData,
};
use foldin_nn::adam::{Adam, Steps};
use foldin_nn::aligned::Aligned;
use foldin_nn::matmul::{Matrix, matmul};

use super::batch::Batches;
use super::config::{Chosen, LfgConfig};
use super::frozen::Frozen;
use super::model::LfgModel;
use super::network::{Network, Shape};
use super::step::{Rules, Trainer};
use crate::holdout::{EarlyStopping, Holdout};
use crate::item_design::{Design, ItemDesign};
use crate::linear::explicit_ratings;
use crate::resume;

/// A run of training: everything that stays the same from epoch to epoch.
struct Run<'a> {
    name: &'static str,
    config: &'a LfgConfig,
    /// What is learned from.
    data: TrainingData<'a>,
    shape: Shape,
    /// `[n_items × n_features]`, or empty.
    features: Vec<f32>,
    mean: f32,
    unit: f32,
    validation: Vec<(u32, u32, f32)>,
    notes: Vec<String>,
}

pub(super) fn fit(
    name: &'static str,
    config: &LfgConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<LfgModel, FitError> {
    let all = explicit_ratings(name, data)?;
    let (train, validation) = if config.validation_fraction > 0.0 {
        let Holdout { train, validation } = Holdout::cut(all, config.validation_fraction, ctx.seed);
        (Cow::Owned(train), validation)
    } else {
        (Cow::Borrowed(all), Vec::new())
    };
    let chosen = Chosen::new(config, &train);
    let data = TrainingData { interactions: &train, ..*data };
    let run = Run::new(name, config, &chosen, data, validation, ctx);
    run.train(&chosen, ctx)
}

impl<'a> Run<'a> {
    fn new(
        name: &'static str,
        config: &'a LfgConfig,
        chosen: &Chosen,
        data: TrainingData<'a>,
        validation: Vec<(u32, u32, f32)>,
        ctx: &FitContext<'_>,
    ) -> Self {
        let mut notes = Vec::new();
        let n_side = if config.side_information { data.user_features.width() } else { 0 };
        notes.push(if n_side > 0 {
            format!("{n_side} columns of side information of users are part of the input")
        } else {
            "no side information of users is part of the input".to_owned()
        });
        let (n_features, features) = if config.item_features {
            ctx.progress.stage("co-occurrence of items");
            let design = ItemDesign {
                constant: false,
                side_information: true,
                cooccurrence: chosen.cooccurrence_features,
            }
            .build(&data, ctx.seed);
            let side = design.sparse_width();
            // Popularity comes first; where there are few items, not all that was asked for exists.
            let others = design.used_columns(1);
            notes.push(format!(
                "features of items: {side} columns of side information, popularity, {others} of co-occurrence"
            ));
            (design.width(), dense(&design))
        } else {
            (0, Vec::new())
        };
        let shape = Shape {
            n_items: data.interactions.n_items(),
            n_side,
            n_features,
            k: config.factors,
            widths: config.widths.clone(),
        };
        Self {
            name,
            config,
            shape,
            features,
            mean: data.interactions.mean() as f32,
            unit: unit_of(data.interactions),
            data,
            validation,
            notes,
        }
    }

    fn train(&self, chosen: &Chosen, ctx: &FitContext<'_>) -> Result<LfgModel, FitError> {
        let batches = Batches::new(self.data, self.config, chosen.batch_size, self.mean, self.unit, ctx.seed);
        let per_epoch = batches.per_epoch();
        let adam = Adam { average: self.config.weight_averaging, ..Adam::default() };
        let rates = (0..chosen.epochs * per_epoch).map(|step| {
            let epoch = (step / per_epoch).min(i32::MAX as usize) as i32;
            chosen.learning_rate * chosen.learning_rate_decay.powi(epoch)
        });
        let rules = Rules::new(&self.shape, self.config, chosen, Steps::new(adam, rates), ctx.seed);
        ctx.progress.stage("truncated SVD");
        let ratings = self.data.interactions;
        let learning = chosen.input_learning;
        let network = Network::new(
            &self.shape,
            self.config,
            learning,
            &rules.activations,
            ratings,
            self.mean,
            self.unit,
            ctx.seed,
        );
        let mut trainer = Trainer::new(self.shape.clone(), rules, network, &self.features);
        let mut stopping = EarlyStopping::new(self.config.patience);
        let mut best: Option<Network> = None;
        let mut done = 0;
        if let Some(mut state) = ctx.resume()? {
            done = self.restore(&mut trainer, &mut best, &mut stopping, &mut state)?;
        }
        while done < chosen.epochs && (self.validation.is_empty() || !stopping.is_over(done)) {
            let squares = run_epoch(&batches, &mut trainer, done, per_epoch);
            done += 1;
            let train_rmse = (squares / ratings.len() as f64).sqrt() * f64::from(self.unit);
            if !train_rmse.is_finite() {
                return Err(FitError::Diverged {
                    model: self.name,
                    epoch: done,
                    what: "the error on the training ratings",
                });
            }
            let validation_rmse = self.validate(&trainer, done * per_epoch, done)?;
            if validation_rmse.is_some_and(|rmse| stopping.improved(done, rmse)) {
                best = Some(trainer.network.without_moments());
            }
            let epoch = Epoch {
                number: done,
                of: chosen.epochs,
                train_rmse: Some(train_rmse),
                validation_rmse,
                ..Epoch::default()
            };
            ctx.epoch_done(epoch, || self.state(&trainer, best.as_ref(), &stopping, done))?;
        }
        let epochs = if best.is_some() { stopping.best_epoch } else { done };
        let correction = trainer.rules.steps.average_correction(epochs * per_epoch);
        // The moments go before the model comes: together they would be the most memory that a fit takes.
        let mut network = trainer.network;
        network.forget_moments();
        let mut network = best.unwrap_or(network);
        let halves = std::mem::take(&mut network.inputs).into_halves(&self.shape, correction);
        Ok(self.model(&network, halves, correction))
    }

    /// The fitted model of a network, its first layer in `halves`; `correction` is that of averaged weights.
    fn model(&self, network: &Network, halves: (Aligned<u16>, Aligned<u16>), correction: f32) -> LfgModel {
        let (k, padded, n_items) = (self.shape.k, self.shape.padded(), self.shape.n_items);
        let generator =
            Frozen::new(network, halves, &self.shape, self.config, self.mean, self.unit, correction);
        let mut rows = network.items.averaged(correction);
        if self.shape.n_features > 0 {
            let weights = network.features.averaged(correction);
            let own = Matrix::new(&self.features, n_items, self.shape.n_features);
            matmul(own, Matrix::new(&weights, self.shape.n_features, padded), true, rows.to_mut());
        }
        let mut items = ItemFactors {
            k,
            m: Vec::with_capacity(n_items * k),
            bias: Vec::with_capacity(n_items),
            mean: self.mean,
        };
        for row in rows.chunks_exact(padded) {
            items.m.extend(row[..k].iter().map(|factor| factor * self.unit));
            items.bias.push(row[k + 1] * self.unit);
        }
        let feedback = self.data.interactions.feedback();
        LfgModel::new(self.name, generator, items, self.unit, feedback, self.notes.clone())
    }

    fn validate(&self, trainer: &Trainer<'_>, steps: usize, epoch: usize) -> Result<Option<f64>, FitError> {
        if self.validation.is_empty() {
            return Ok(None);
        }
        let correction = trainer.rules.steps.average_correction(steps);
        let halves = trainer.network.inputs.halves(&self.shape, correction);
        let model = self.model(&trainer.network, halves, correction);
        let users = self.data.users();
        let pairs: Vec<(u32, ItemId)> =
            self.validation.iter().map(|&(user, item, _)| (user, ItemId(item))).collect();
        let mut predicted = vec![0.0; pairs.len()];
        model.predict(&users, &pairs, &mut predicted).map_err(|_| FitError::Diverged {
            model: self.name,
            epoch,
            what: "a generated factor",
        })?;
        let errors = predicted.iter().zip(&self.validation);
        let squares: f64 = errors
            .map(|(&predicted, &(_, _, value))| (f64::from(predicted) - f64::from(value)).powi(2))
            .sum();
        Ok(Some((squares / pairs.len() as f64).sqrt()))
    }

    fn state(
        &self,
        trainer: &Trainer<'_>,
        best: Option<&Network>,
        stopping: &EarlyStopping,
        epochs: usize,
    ) -> TrainState {
        let mut state = resume::state(epochs, self.data.interactions, stopping);
        if let Some(best) = best {
            best.save(&mut state);
            let tensors = std::mem::take(&mut state.tensors);
            state.tensors =
                tensors.into_iter().map(|(name, tensor)| (format!("best.{name}"), tensor)).collect();
        }
        trainer.network.save(&mut state);
        state.numbers.insert("steps".to_owned(), trainer.rules.steps.len() as f64);
        state
    }

    /// Puts a checkpoint in the place of the start and returns the epochs done.
    fn restore(
        &self,
        trainer: &mut Trainer<'_>,
        best: &mut Option<Network>,
        stopping: &mut EarlyStopping,
        state: &mut TrainState,
    ) -> Result<usize, FitError> {
        if state.numbers.get("steps") != Some(&(trainer.rules.steps.len() as f64)) {
            return Err(FitError::Checkpoint {
                reason: "it was made with another number of epochs, batch size or data set".to_owned(),
            });
        }
        resume::check(state, self.data.interactions, stopping)?;
        trainer.network.restore(state)?;
        if stopping.best_epoch > 0 {
            let tensors = std::mem::take(&mut state.tensors).into_iter();
            state.tensors = tensors
                .filter_map(|(name, tensor)| name.strip_prefix("best.").map(|name| (name.to_owned(), tensor)))
                .collect();
            let mut network = trainer.network.without_moments();
            network.restore(state)?;
            *best = Some(network);
        }
        Ok(state.epochs)
    }
}

/// One epoch, the `epoch`-th from 0; the sum of squared errors, in units.
fn run_epoch(batches: &Batches<'_>, trainer: &mut Trainer<'_>, epoch: usize, per_epoch: usize) -> f64 {
    let mut at = epoch * per_epoch;
    let mut squares = 0.0;
    for users in batches.epoch(epoch) {
        let segment = batches.prepare(&users, epoch);
        trainer.begin(&segment, at);
        for batch in &segment.batches {
            squares += trainer.step(batch, at);
            at += 1;
        }
    }
    squares
}

/// The unit in which the network sees ratings: a quarter of the scale's length, 1 for ratings of 1 to 5.
fn unit_of(ratings: &Interactions) -> f32 {
    ratings
        .feedback()
        .scale()
        .map(|scale| (scale.max - scale.min) / 4.0)
        .filter(|&unit| unit > 0.0)
        .unwrap_or(1.0)
}

/// Features of all items as a dense matrix.
fn dense(design: &Design) -> Vec<f32> {
    let width = design.width();
    let mut out = vec![0.0; design.n_rows() * width];
    for (item, row) in out.chunks_exact_mut(width).enumerate() {
        for (column, value) in design.entries(item) {
            row[column] = value;
        }
    }
    out
}
