//! The run of training, the same for users and items as cases.

use std::borrow::Cow;

use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{
    Csr, Epoch, FitContext, FitError, Interactions, ScoreError, TrainState, TrainingData, UserId,
};
use foldin_nn::adam::{Adam, Steps};
use foldin_nn::flush::flushed;
use foldin_nn::matmul::{Matrix, Packed, matmul_packed};
use foldin_nn::optimiser::Optimiser;

use super::config::CfganConfig;
use super::discriminator::Discriminator;
use super::generator::Generator;
use super::samples::Samples;
use super::step::{Batch, Judge, Scratch, discriminator_step, generator_step};
use crate::holdout::{EarlyStopping, Holdout};
use crate::perceptron::{restore, save};
use crate::ranking::{implicit_interactions, validation_ndcg};
use crate::resume;

/// Which vectors of purchases are cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cases {
    Items,
    Users,
}

/// What a fit leaves: the generator, what it was fitted on, and the cases.
pub(super) struct Fitted<'a> {
    pub(super) generator: Generator,
    pub(super) clicks: Cow<'a, Interactions>,
    /// `[cases × places]`, ones.
    pub(super) cases: Csr,
}

pub(super) fn fit<'a>(
    model: &'static str,
    kind: Cases,
    config: &CfganConfig,
    data: &TrainingData<'a>,
    ctx: &FitContext<'_>,
) -> Result<Fitted<'a>, FitError> {
    let all = implicit_interactions(model, data)?;
    let holdout =
        (config.validation_fraction > 0.0).then(|| Holdout::cut(all, config.validation_fraction, ctx.seed));
    let clicks = holdout.as_ref().map_or(all, |holdout| &holdout.train);
    let cases = match kind {
        Cases::Items => clicks.by_item(),
        Cases::Users => clicks.by_user(),
    };
    let cases = cases.map_rows(|_, values| vec![1.0; values.len()]);
    let run = Run { model, kind, config, clicks, holdout: holdout.as_ref(), cases: &cases };
    let generator = flushed(|| run.train(ctx))?;
    let clicks = holdout.map_or(Cow::Borrowed(all), |holdout| Cow::Owned(holdout.train));
    Ok(Fitted { generator, clicks, cases })
}

struct Run<'a> {
    model: &'static str,
    kind: Cases,
    config: &'a CfganConfig,
    clicks: &'a Interactions,
    holdout: Option<&'a Holdout>,
    cases: &'a Csr,
}

/// Both networks with their optimisers.
struct Players {
    generator: Generator,
    discriminator: Discriminator,
    /// Of the generator, then of the discriminator.
    optimisers: [Optimiser; 2],
    scratch: Scratch,
}

impl Run<'_> {
    fn train(&self, ctx: &FitContext<'_>) -> Result<Generator, FitError> {
        let (config, epochs) = (self.config, self.config.epochs);
        // A row without a purchase says nothing of which places belong together.
        let rows: Vec<u32> =
            (0..self.cases.n_rows() as u32).filter(|&case| self.cases.row_len(case as usize) > 0).collect();
        let mut players = self.players(rows.len(), ctx.seed);
        let mut stopping = EarlyStopping::new(config.patience);
        let mut best: Option<Generator> = None;
        let mut done = 0;
        if let Some(mut state) = ctx.resume()? {
            resume::check(&state, self.clicks, &mut stopping)?;
            done = players.restore(&mut best, &stopping, &mut state)?;
        }
        while done < epochs && !stopping.is_over(done) {
            let loss = self.epoch(&mut players, &rows, done, ctx.seed);
            done += 1;
            if !loss.is_finite() {
                let what = "the loss on the training interactions";
                return Err(FitError::Diverged { model: self.model, epoch: done, what });
            }
            let ndcg = self.validate(&players.generator)?;
            // The best epoch is that of the lowest figure.
            if ndcg.is_some_and(|ndcg| stopping.improved(done, -ndcg)) {
                best = Some(players.generator.clone());
            }
            let epoch = Epoch {
                number: done,
                of: epochs,
                train_loss: Some(loss),
                validation_ndcg: ndcg,
                ..Epoch::default()
            };
            ctx.epoch_done(epoch, || self.state(&mut players, best.as_mut(), done, &stopping))?;
        }
        let generator = best.unwrap_or(players.generator);
        let finite = |weights: &[f32]| weights.iter().all(|weight| weight.is_finite());
        if finite(&generator.encoder.w) && finite(&generator.decoder.w) {
            Ok(generator)
        } else {
            Err(FitError::Diverged { model: self.model, epoch: done, what: "a weight" })
        }
    }

    fn players(&self, n_rows: usize, seed: u64) -> Players {
        let (config, places) = (self.config, self.cases.n_cols());
        let optimiser = |rate: f64, passes: usize, batch: usize| {
            let steps = config.epochs * passes * n_rows.div_ceil(batch);
            Optimiser::Adam(Steps::new(Adam::default(), std::iter::repeat_n(rate, steps)))
        };
        let optimisers = [
            optimiser(config.learning_rate, config.passes, config.batch_size),
            optimiser(
                config.discriminator_learning_rate,
                config.discriminator_passes,
                config.discriminator_batch_size,
            ),
        ];
        let generator = Generator::new(places, config, &optimisers[0], child_seed(seed, "generator"));
        let discriminator =
            Discriminator::new(places, config, &optimisers[1], child_seed(seed, "discriminator"));
        let batch = config.batch_size.max(config.discriminator_batch_size).min(n_rows);
        let scratch = Scratch::new(&generator, &discriminator, batch);
        Players { generator, discriminator, optimisers, scratch }
    }

    /// All passes of an epoch; the generator's mean loss.
    fn epoch(&self, players: &mut Players, rows: &[u32], epoch: usize, seed: u64) -> f64 {
        let config = self.config;
        let Players { generator, discriminator, optimisers, scratch } = players;
        let samples = Samples::new(config, seed, epoch);
        let order_of = |purpose: &str, pass: usize, passes: usize| {
            let mut order = rows.to_vec();
            let number = epoch * passes + pass;
            Random::new(numbered_seed(seed, purpose, number as u64)).shuffle(&mut order);
            (order, number)
        };
        let decoder = generator.packed_decoder();
        for pass in 0..config.discriminator_passes {
            let (order, number) = order_of("discriminator's batches", pass, config.discriminator_passes);
            let per_pass = rows.len().div_ceil(config.discriminator_batch_size);
            for (at, numbers) in order.chunks(config.discriminator_batch_size).enumerate() {
                let batch = Batch { cases: self.cases, numbers, samples };
                let rule = (&optimisers[1], number * per_pass + at, config.discriminator_regularization);
                discriminator_step(generator, &decoder, discriminator, &batch, scratch, rule);
            }
        }
        let judge = Judge::new(discriminator, self.cases);
        let mut loss = 0.0;
        for pass in 0..config.passes {
            let (order, number) = order_of("generator's batches", pass, config.passes);
            let per_pass = rows.len().div_ceil(config.batch_size);
            for (at, numbers) in order.chunks(config.batch_size).enumerate() {
                let batch = Batch { cases: self.cases, numbers, samples };
                let rule = (&optimisers[0], number * per_pass + at, config.regularization);
                let of_batch = generator_step(generator, &judge, config.zero_weight, &batch, scratch, rule);
                loss += of_batch * numbers.len() as f64;
            }
        }
        loss / (rows.len() * config.passes).max(1) as f64
    }

    /// nDCG@20 on the held-out interactions.
    fn validate(&self, generator: &Generator) -> Result<Option<f64>, FitError> {
        let Some(holdout) = self.holdout else { return Ok(None) };
        let width = generator.layers.last_width();
        let n_items = self.clicks.n_items();
        // Of items, hidden units come first and users' rows are what they are multiplied by; of users it is the other way round.
        let items = (self.kind == Cases::Items).then(|| {
            let hidden = generator.encode(self.cases);
            Packed::new(Matrix::new(hidden.last(), n_items, width).transposed())
        });
        let decoder = items.is_none().then(|| generator.packed_decoder());
        let score = |users: &[UserId], out: &mut [f32]| -> Result<(), ScoreError> {
            let numbers: Vec<u32> = users.iter().map(|user| user.0).collect();
            let mut z = vec![0.0; out.len()];
            if let Some(items) = &items {
                let rows: Vec<f32> = numbers
                    .iter()
                    .flat_map(|&user| &generator.decoder.w[user as usize * width..][..width])
                    .copied()
                    .collect();
                matmul_packed(Matrix::new(&rows, numbers.len(), width), items, false, &mut z);
                for (z, &user) in z.chunks_exact_mut(n_items).zip(&numbers) {
                    z.iter_mut().for_each(|z| *z += generator.decoder_bias.w[user as usize]);
                }
            } else if let Some(decoder) = &decoder {
                let hidden = generator.encode(&self.cases.select_rows(&numbers));
                matmul_packed(Matrix::new(hidden.last(), numbers.len(), width), decoder, false, &mut z);
                for z in z.chunks_exact_mut(n_items) {
                    z.iter_mut().zip(&*generator.decoder_bias.w).for_each(|(z, bias)| *z += bias);
                }
            }
            generator.output.forward(&[], 1, &z, out);
            Ok(())
        };
        validation_ndcg(holdout, score).map_err(|_| FitError::Diverged {
            model: self.model,
            epoch: 0,
            what: "a score",
        })
    }

    fn state(
        &self,
        players: &mut Players,
        best: Option<&mut Generator>,
        done: usize,
        stopping: &EarlyStopping,
    ) -> TrainState {
        let mut state = resume::state(done, self.clicks, stopping);
        save(players.generator.parameters(), "generator.", &mut state);
        save(players.discriminator.parameters(), "discriminator.", &mut state);
        if let Some(best) = best {
            save(best.parameters(), "best.", &mut state);
        }
        state
    }
}

impl Players {
    /// Puts a checkpoint in the place of the start and returns the epochs done.
    fn restore(
        &mut self,
        best: &mut Option<Generator>,
        stopping: &EarlyStopping,
        state: &mut TrainState,
    ) -> Result<usize, FitError> {
        restore(self.generator.parameters(), "generator.", state)?;
        restore(self.discriminator.parameters(), "discriminator.", state)?;
        if stopping.best_epoch > 0 {
            let mut found = self.generator.clone();
            restore(found.parameters(), "best.", state)?;
            *best = Some(found);
        }
        Ok(state.epochs)
    }
}
