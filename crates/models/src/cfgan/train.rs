//! The run of training, the same for users and items as cases.

use std::borrow::Cow;

use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{Csr, FitContext, FitError, Interactions, ScoreError, TrainingData, UserId};
use foldin_nn::adam::{Adam, Steps};
use foldin_nn::flush::flushed;
use foldin_nn::matmul::{Matrix, Packed, matmul_packed};
use foldin_nn::optimiser::Optimiser;

use super::config::CfganConfig;
use super::discriminator::Discriminator;
use super::generator::Generator;
use super::samples::Samples;
use super::step::{Batch, Judge, Scratch, discriminator_step, generator_step};
use crate::holdout::Holdout;
use crate::learner::{Learner, Length, train};
use crate::perceptron::Named;
use crate::ranking::{implicit_interactions, validation_ndcg};

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
    let length = Length { epochs: config.epochs, patience: config.patience };
    let generator = flushed(|| {
        let mut run = Run::new(model, kind, config, (clicks, holdout.as_ref(), &cases), ctx.seed);
        train(model, &mut run, clicks, length, ctx)
    })?;
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
    /// Cases with a purchase: a row without says nothing of which places belong together.
    rows: Vec<u32>,
    seed: u64,
    generator: Generator,
    discriminator: Discriminator,
    /// Of the generator, then of the discriminator.
    optimisers: [Optimiser; 2],
    scratch: Scratch,
}

impl<'a> Run<'a> {
    fn new(
        model: &'static str,
        kind: Cases,
        config: &'a CfganConfig,
        (clicks, holdout, cases): (&'a Interactions, Option<&'a Holdout>, &'a Csr),
        seed: u64,
    ) -> Self {
        let rows: Vec<u32> =
            (0..cases.n_rows() as u32).filter(|&case| cases.row_len(case as usize) > 0).collect();
        let optimiser = |rate: f64, passes: usize, batch: usize| {
            let steps = config.epochs * passes * rows.len().div_ceil(batch);
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
        let places = cases.n_cols();
        let generator = Generator::new(places, config, &optimisers[0], child_seed(seed, "generator"));
        let discriminator =
            Discriminator::new(places, config, &optimisers[1], child_seed(seed, "discriminator"));
        let batch = config.batch_size.max(config.discriminator_batch_size).min(rows.len());
        let scratch = Scratch::new(&generator, &discriminator, batch);
        Self {
            model,
            kind,
            config,
            clicks,
            holdout,
            cases,
            rows,
            seed,
            generator,
            discriminator,
            optimisers,
            scratch,
        }
    }
}

impl Learner for Run<'_> {
    type Network = Generator;

    fn network(&mut self) -> &mut Generator {
        &mut self.generator
    }

    fn parameters(network: &mut Generator) -> Vec<Named<'_>> {
        network.parameters()
    }

    fn others(&mut self) -> Vec<Named<'_>> {
        self.discriminator.parameters()
    }

    /// All passes of an epoch; the generator's mean loss.
    fn epoch(&mut self, epoch: usize) -> f64 {
        let Self { config, cases, rows, seed, generator, discriminator, optimisers, scratch, .. } = self;
        let seed = *seed;
        let samples = Samples::new(config, seed, epoch);
        let order_of = |purpose: &str, pass: usize, passes: usize| {
            let mut order = rows.clone();
            let number = epoch * passes + pass;
            Random::new(numbered_seed(seed, purpose, number as u64)).shuffle(&mut order);
            (order, number)
        };
        let decoder = generator.packed_decoder();
        for pass in 0..config.discriminator_passes {
            let (order, number) = order_of("discriminator's batches", pass, config.discriminator_passes);
            let per_pass = rows.len().div_ceil(config.discriminator_batch_size);
            for (at, numbers) in order.chunks(config.discriminator_batch_size).enumerate() {
                let batch = Batch { cases, numbers, samples };
                let rule = (&optimisers[1], number * per_pass + at, config.discriminator_regularization);
                discriminator_step(generator, &decoder, discriminator, &batch, scratch, rule);
            }
        }
        let judge = Judge::new(discriminator, cases);
        let mut loss = 0.0;
        for pass in 0..config.passes {
            let (order, number) = order_of("generator's batches", pass, config.passes);
            let per_pass = rows.len().div_ceil(config.batch_size);
            for (at, numbers) in order.chunks(config.batch_size).enumerate() {
                let batch = Batch { cases, numbers, samples };
                let rule = (&optimisers[0], number * per_pass + at, config.regularization);
                let of_batch = generator_step(generator, &judge, config.zero_weight, &batch, scratch, rule);
                loss += of_batch * numbers.len() as f64;
            }
        }
        loss / (rows.len() * config.passes).max(1) as f64
    }

    /// nDCG@20 on the held-out interactions.
    fn validate(&self) -> Result<Option<f64>, FitError> {
        let Some(holdout) = self.holdout else { return Ok(None) };
        let generator = &self.generator;
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
}
