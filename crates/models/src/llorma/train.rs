//! The fit: a global model, anchors, and the local models a few at a time.

use std::collections::BTreeMap;

use foldin_core::random::{child_seed, numbered_seed};
use foldin_core::{
    Epoch, FitContext, FitError, Generator, Interactions, ModelFamily, TrainState, TrainingData, UserView,
};
use rayon::prelude::*;

use super::Llorma;
use super::anchors::{Anchors, to_directions, weights};
use super::config::LlormaConfig;
use super::local::{Covered, Local, Setting, Trainer};
use super::model::{Combination, LlormaModel, Locals};
use crate::bias::{Bias, BiasConfig};
use crate::bias_svd::BiasSvd;
use crate::factorization::{FactorizationConfig, Unit};
use crate::linear::{LinearFactors, explicit_ratings};
use crate::resume;

/// Anchors that are trained together: a report, and perhaps a checkpoint, after each such round.
const ROUND: usize = 4;

pub(super) fn fit(
    config: &LlormaConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<LlormaModel, FitError> {
    let ratings = explicit_ratings(Llorma::NAME, data)?;
    let (global, biases) = global_models(config, data, ctx)?;
    let views: Vec<UserView<'_>> = (0..ratings.n_users())
        .map(|user| ratings.by_user().row(user))
        .map(|(items, values)| UserView::new(items, values))
        .collect();
    // As new users are, so that a training user is as far from every anchor as the same history folded in.
    let folded = |model: &LinearFactors| {
        model.generate(&views).map_err(|_| diverged(0, "the global factors of a user"))
    };
    let k = config.global_factors;
    let (mut users, mut items) = (folded(&global)?.u, global.item_factors().m.clone());
    to_directions(&mut users, k);
    to_directions(&mut items, k);
    let anchors = Anchors::draw(config.anchors, ratings, &users, &items, k, ctx.seed);
    let mut locals = Locals::zeros(config.anchors, ratings.n_items(), config.factors);
    for (anchor, direction) in anchors.items.chunks_exact(k).enumerate() {
        locals.set_weights(anchor, &weights(direction, &items, config.item_bandwidth));
    }

    let mut lambda = vec![config.regularization; config.factors];
    lambda.push(config.bias_regularization);
    let setting = Setting {
        ratings,
        mean: biases.item_factors().mean,
        user_bias: folded(&biases)?.bias,
        item_bias: biases.item_factors().bias.clone(),
        unit: Unit::of(ratings, true).length,
        lambda,
        iterations: config.iterations,
        start_scale: config.start_scale,
    };
    let of = config.anchors.div_ceil(ROUND);
    let mut done = match ctx.resume()? {
        Some(state) => restore(&mut locals, state, ratings)?,
        None => 0,
    };
    while done < of {
        let round: Vec<usize> = (done * ROUND..((done + 1) * ROUND).min(config.anchors)).collect();
        done += 1;
        let train = |&anchor: &usize| {
            let near = weights(&anchors.users[anchor * k..(anchor + 1) * k], &users, config.user_bandwidth);
            let (users, items) = (Covered::new(&near), Covered::new(&locals.weights_of(anchor)));
            let seed = numbered_seed(ctx.seed, "llorma anchor", anchor as u64);
            Trainer::start(&setting, users, items, seed).run()
        };
        let trained = round.par_iter().with_max_len(1).map(train).collect::<Result<Vec<Local>, _>>();
        let trained = trained.map_err(|_| diverged(done, "the factors of a local model"))?;
        let (mut squares, mut weights) = (0.0, 0.0);
        for (&anchor, local) in round.iter().zip(&trained) {
            locals.set_rows(anchor, local);
            squares += local.squares;
            weights += local.weights;
        }
        if !f64::is_finite(squares) {
            return Err(diverged(done, "the training error"));
        }
        // Anchors may cover nothing; there is then no error either.
        let train_rmse = (weights > 0.0).then(|| (squares / weights).sqrt() * f64::from(setting.unit));
        let epoch = Epoch { number: done, of, train_rmse, ..Epoch::default() };
        ctx.epoch_done(epoch, || state(&locals, done, ratings))?;
    }
    let combination = Combination {
        user_bandwidth: config.user_bandwidth,
        lambda: setting.lambda,
        unit: setting.unit,
        global_weight: config.global_weight * config.anchors as f32,
        fallback: config.fallback,
    };
    Ok(LlormaModel::new(global, biases, anchors.users, locals, combination, ratings.feedback()))
}

fn diverged(epoch: usize, what: &'static str) -> FitError {
    FitError::Diverged { model: Llorma::NAME, epoch, what }
}

/// The factorisation that measures distances, and damped biases; both without factors of training users. They take seconds, so a
/// resumed fit makes them anew, with the same bits.
fn global_models(
    config: &LlormaConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<(LinearFactors, LinearFactors), FitError> {
    ctx.progress.stage("global factors");
    let quiet = FitContext {
        seed: child_seed(ctx.seed, "llorma global"),
        cancel: ctx.cancel.clone(),
        ..FitContext::new(ctx.seed)
    };
    let settings = FactorizationConfig { factors: config.global_factors, ..BiasSvd::default_config() };
    let global = BiasSvd::fit(&settings, data, &quiet).map_err(|error| match error {
        // Epochs are those of the whole fit, and none of these is done.
        FitError::Cancelled { .. } => FitError::Cancelled { epochs: 0 },
        other => other,
    })?;
    let biases = Bias::fit(&BiasConfig::default(), data, &quiet)?;
    Ok((global.without_users(), biases.without_users()))
}

/// All local models, those not yet trained as noughts.
fn state(locals: &Locals, epochs: usize, ratings: &Interactions) -> TrainState {
    let tensors = BTreeMap::from([
        ("local_items".to_owned(), locals.rows_tensor()),
        ("item_weights".to_owned(), locals.weights_tensor()),
    ]);
    TrainState { tensors, ..resume::state_of(epochs, ratings) }
}

/// Takes back what [`state`] kept; the number of rounds done.
fn restore(locals: &mut Locals, mut state: TrainState, ratings: &Interactions) -> Result<usize, FitError> {
    resume::check_ratings(&state, ratings)?;
    locals.rows = resume::take(&mut state, "local_items", locals.rows_tensor().shape)?;
    locals.weights = resume::take(&mut state, "item_weights", locals.weights_tensor().shape)?;
    Ok(state.epochs)
}
