//! Training of `dvbpr`.

use std::collections::BTreeMap;

use burn::tensor::{Device, Int, Tensor, TensorData, activation};
use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{CheckpointStore, Csr, FitContext, FitError, TrainState};
use rayon::prelude::*;

use super::{Dvbpr, DvbprConfig, Fitted, Mode, NAME, Negatives, Network, Pretrained, ThetaStart, Weights};
use super::{channels_last, mean_over_pictures};
use crate::backend;
use crate::data::{LeaveOneOut, VisualDataset};
use crate::error::VisionError;
use crate::evaluate::validation_auc;
use crate::images::ImageSet;
use crate::parameters::{Adam, Parameters};
use crate::recommend::linear::LinearModel;
use crate::settings::checked;
use crate::watch::{Watch, Watched};

/// One draw: a user, the picture of something they bought, and that of something they did not.
#[derive(Clone, Copy, Debug)]
struct Draw {
    user: u32,
    item: u32,
    picture: u32,
    other: u32,
}

/// Everything that changes from step to step.
struct State {
    weights: Weights,
    theta: Parameters,
    network_adam: Adam,
    theta_adam: Adam,
    best: Weights,
    best_theta: Parameters,
    /// Batches of the epoch that are done, and their loss.
    batches: usize,
    loss: f64,
}

impl State {
    /// All of it as it is kept on disk. Arrays move there and nothing is left here, for a network may be as large as memory allows;
    /// [`restore`](Self::restore) brings it back.
    fn put_away(&mut self, epochs: &[Watched]) -> TrainState {
        let (mut tensors, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        for (name, weights) in [("network/", &mut self.weights), ("best/", &mut self.best)] {
            weights.parameters.put_away(name, &mut tensors);
            weights.moments.put_away(name, &mut tensors);
        }
        self.theta.put_away("", &mut tensors);
        self.best_theta.put_away("best/", &mut tensors);
        self.network_adam.put_away("network-adam/", &mut tensors, &mut numbers);
        self.theta_adam.put_away("theta-adam/", &mut tensors, &mut numbers);
        numbers.insert("batches".to_owned(), self.batches as f64);
        numbers.insert("batches-loss".to_owned(), self.loss);
        for (at, epoch) in epochs.iter().enumerate() {
            numbers.insert(format!("loss/{at}"), epoch.loss);
            numbers.extend(epoch.auc.map(|auc| (format!("auc/{at}"), auc)));
        }
        TrainState { epochs: epochs.len(), tensors, numbers }
    }

    /// Gives all of it to a store, and takes it back.
    fn keep(
        &mut self,
        store: &dyn CheckpointStore,
        epochs: &[Watched],
        device: &Device,
    ) -> Result<(), FitError> {
        let kept = self.put_away(epochs);
        store.save(&kept)?;
        self.restore(kept, device)
            .map(drop)
            .map_err(|error| FitError::Checkpoint { reason: error.to_string() })
    }

    fn restore(&mut self, mut state: TrainState, device: &Device) -> Result<Vec<Watched>, VisionError> {
        let (tensors, numbers) = (&mut state.tensors, &state.numbers);
        for (name, weights) in [("network/", &mut self.weights), ("best/", &mut self.best)] {
            weights.parameters.restore(name, tensors, device)?;
            weights.moments.restore(name, tensors, device)?;
        }
        self.theta.restore("", tensors, device)?;
        self.best_theta.restore("best/", tensors, device)?;
        self.network_adam.restore("network-adam/", tensors, numbers, device)?;
        self.theta_adam.restore("theta-adam/", tensors, numbers, device)?;
        self.batches = numbers.get("batches").map_or(0, |batches| *batches as usize);
        self.loss = numbers.get("batches-loss").copied().unwrap_or(0.0);
        let number = |name: &str, at: usize| numbers.get(&format!("{name}/{at}")).copied();
        let epochs = (0..state.epochs)
            .map(|at| Watched { loss: number("loss", at).unwrap_or(0.0), auc: number("auc", at) });
        Ok(epochs.collect())
    }
}

pub(super) fn fit(
    config: &DvbprConfig,
    data: &VisualDataset,
    split: &LeaveOneOut,
    start: Option<&Pretrained>,
    device: &Device,
    ctx: &FitContext<'_>,
) -> Result<Fitted, VisionError> {
    let config = &checked(NAME, config)?;
    if data.images.px() != config.px {
        return Err(VisionError::shape("pixels of pictures", config.px, data.images.px()));
    }
    let (network, mut weights) = Network::new(config.form, config.px, config.factors, ctx.seed, device);
    if let Some(start) = start {
        if (start.network.form(), start.network.px()) != (config.form, config.px) {
            let of = |network: &Network| format!("{:?} at {} pixels", network.form(), network.px());
            return Err(VisionError::shape("pretrained network", of(&network), of(&start.network)));
        }
        network.adopt(&mut weights, &start.weights);
    }
    let theta = first_theta(config, data.purchases.n_users(), ctx.seed, device);
    let mut state = State {
        network_adam: Adam::new(&weights.parameters, config.learning_rate, 0.9, 0.999, config.weight_decay),
        theta_adam: Adam::new(&theta, config.theta_learning_rate, 0.9, 0.999, 0.0),
        best: weights.clone(),
        best_theta: theta.clone(),
        weights,
        theta,
        batches: 0,
        loss: 0.0,
    };
    let mut watch = Watch::new(NAME, config.epochs, config.patience);
    if let Some(kept) = ctx.resume()? {
        watch = watch.resumed(state.restore(kept, device)?);
    }
    let positives = data.positives(&split.train);
    while watch.epochs().len() < config.epochs && !watch.is_over() {
        let loss =
            one_epoch(config, data, split, &positives, &network, &mut state, ctx, watch.epochs(), device)?;
        let model = assemble(config, data, &network, &state.weights, &state.theta, device)?;
        if watch.note(ctx, loss, Some(validation_auc(&model, split)?))? {
            state.best = state.weights.clone();
            state.best_theta = state.theta.clone();
        }
        let done = watch.epochs().len();
        let cancelled = ctx.cancel.is_cancelled();
        if let Some(checkpoints) = ctx.checkpoints
            && (cancelled || checkpoints.due(done))
        {
            state.keep(checkpoints, watch.epochs(), device)?;
        }
        if cancelled {
            return Err(FitError::Cancelled { epochs: done }.into());
        }
    }
    let model = assemble(config, data, &network, &state.best, &state.best_theta, device)?;
    let dvbpr = Dvbpr { config: config.clone(), network, weights: state.best, device: device.clone() };
    let best_epoch = watch.best().map_or(0, |(epoch, _)| epoch);
    Ok(Fitted { dvbpr, model, epochs: watch.epochs().to_vec(), best_epoch })
}

fn first_theta(config: &DvbprConfig, n_users: usize, seed: u64, device: &Device) -> Parameters {
    let mut random = Random::new(child_seed(seed, "dvbpr theta"));
    let values = (0..n_users * config.factors)
        .map(|_| match config.theta_start {
            ThetaStart::Positive => (random.uniform() / 100.0) as f32,
            ThetaStart::Normal => (0.1 * random.normal()) as f32,
        })
        .collect();
    let mut theta = Parameters::default();
    theta.add("theta", &[n_users, config.factors], values, false, device);
    theta
}

/// Vectors of users and items from the numbers as they are.
fn assemble(
    config: &DvbprConfig,
    data: &VisualDataset,
    network: &Network,
    weights: &Weights,
    theta: &Parameters,
    device: &Device,
) -> Result<LinearModel, VisionError> {
    let k = config.factors;
    let apply = |pictures| network.phi(weights, pictures, &mut Mode::Inference);
    let phi = super::of_all(&data.images, k, device, apply)?;
    let items = mean_over_pictures(&phi, k, &data.pictures);
    LinearModel::new(NAME, k, backend::values(theta.get_flat(0)), items)
}

fn one_epoch(
    config: &DvbprConfig,
    data: &VisualDataset,
    split: &LeaveOneOut,
    positives: &[Vec<(u32, u32)>],
    network: &Network,
    state: &mut State,
    ctx: &FitContext<'_>,
    epochs: &[Watched],
    device: &Device,
) -> Result<f64, VisionError> {
    let epoch = epochs.len();
    let train = split.train.by_user();
    let total: usize = positives.iter().map(Vec::len).sum();
    let mut draws = Random::new(numbered_seed(ctx.seed, "dvbpr draws", epoch as u64));
    // A last batch of a few draws would make moments of a few pictures: as many whole batches as come nearest.
    let batches = ((total + config.batch / 2) / config.batch).max(1);
    for batch in 0..batches {
        let batch_draws: Vec<Draw> =
            (0..config.batch).map(|_| draw(train, positives, &data.pictures, &mut draws)).collect();
        // What was stopped in the middle of an epoch goes on there.
        if batch < state.batches {
            continue;
        }
        // An epoch of large pictures takes many minutes.
        ctx.step_done(epoch, |store| state.keep(store, epochs, device))?;
        let mut pictures: Vec<u32> = batch_draws.iter().map(|draw| draw.picture).collect();
        if config.negatives == Negatives::Uniform {
            pictures.extend(batch_draws.iter().map(|draw| draw.other));
        }
        let number = (epoch * batches + batch) as u64;
        let seed = numbered_seed(ctx.seed, "dvbpr views", number);
        let x = views(&data.images, &pictures, config.augment.then_some(seed), device)?;
        let mut noise = Random::new(numbered_seed(ctx.seed, "dvbpr dropout", number));
        let loss = step(config, network, state, train, &batch_draws, x, &mut noise, device);
        if !loss.is_finite() {
            return Err(VisionError::Diverged { model: NAME, epoch: epoch + 1 });
        }
        state.loss += loss;
        state.batches += 1;
    }
    state.batches = 0;
    Ok(std::mem::take(&mut state.loss) / (batches * config.batch) as f64)
}

/// A user, one of their positives, and a picture of something they did not buy.
fn draw(train: &Csr, positives: &[Vec<(u32, u32)>], pictures: &[Vec<u32>], random: &mut Random) -> Draw {
    let triple = crate::recommend::pairwise::draw(train, random);
    let own = &positives[triple.user as usize];
    // Positives are pictures: an item with several is met as often as it has them.
    let (item, picture) = own[random.below(own.len())];
    let others = &pictures[triple.other as usize];
    Draw { user: triple.user, item, picture, other: others[random.below(others.len())] }
}

/// One step; the sum of the draws' losses, without weight decay.
fn step(
    config: &DvbprConfig,
    network: &Network,
    state: &mut State,
    train: &Csr,
    draws: &[Draw],
    pictures: Tensor<4>,
    noise: &mut Random,
    device: &Device,
) -> f64 {
    let tracked = state.weights.tracked();
    let theta_tracked = state.theta.tracked();
    let mut mode = Mode::Training { random: noise, moments: &mut state.weights.moments };
    let phi = network.phi(&tracked, pictures.autodiff(), &mut mode);
    let n = draws.len();
    let users: Vec<i64> = draws.iter().map(|draw| i64::from(draw.user)).collect();
    let users = Tensor::<1, Int>::from_data(TensorData::new(users, [n]), device).autodiff();
    let theta = theta_tracked.get::<2>(0).select(0, users);
    let ranking = match config.negatives {
        Negatives::Uniform => {
            let difference = phi.clone().narrow(0, 0, n) - phi.narrow(0, n, n);
            let x = (theta.clone() * difference).sum_dim(1);
            // −ln σ(x) = softplus(−x).
            activation::softplus(-x, 1.0).sum()
        }
        Negatives::InBatch => {
            let all = theta.clone().matmul(phi.clone().transpose());
            let own = (theta.clone() * phi).sum_dim(1);
            let weights = backend::tensor(in_batch_weights(train, draws), [n, n], device).autodiff();
            (activation::softplus(all - own, 1.0) * weights).sum()
        }
    };
    let loss = ranking + theta.square().sum() * (0.5 * config.regularization);
    let mut gradients = loss.backward();
    let by_network = tracked.parameters.gradients(&mut gradients);
    let by_theta = theta_tracked.gradients(&mut gradients);
    // Nothing else is to hold the arrays that a step changes.
    drop((tracked, theta_tracked, gradients));
    state.network_adam.step(&mut state.weights.parameters, by_network);
    state.theta_adam.step(&mut state.theta, by_theta);
    f64::from(backend::values(loss.inner())[0])
}

/// `[n × n]`: how much column j counts as a negative of row i. Nothing if i's user bought it, else one over how many count.
fn in_batch_weights(train: &Csr, draws: &[Draw]) -> Vec<f32> {
    let n = draws.len();
    let mut out = vec![0.0; n * n];
    out.par_chunks_mut(n.max(1)).zip(draws).for_each(|(row, draw)| {
        let bought = train.row(draw.user as usize).0;
        for (weight, other) in row.iter_mut().zip(draws) {
            *weight = if bought.binary_search(&other.item).is_err() { 1.0 } else { 0.0 };
        }
        let count: f32 = row.iter().sum();
        if count > 0.0 {
            row.iter_mut().for_each(|weight| *weight /= count);
        }
    });
    out
}

/// Pictures of a batch; mirrored at random and moved by up to an eighth, the edge repeated, if a seed is given.
pub(super) fn views(
    images: &ImageSet,
    pictures: &[u32],
    seed: Option<u64>,
    device: &Device,
) -> Result<Tensor<4>, VisionError> {
    let px = images.px();
    let mut bytes = images.bytes(pictures)?;
    if let Some(seed) = seed {
        bytes.par_chunks_mut(images.stride()).enumerate().for_each(|(at, picture)| {
            let mut random = Random::new(numbered_seed(seed, "view", at as u64));
            move_picture(picture, px, &mut random);
        });
    }
    Ok(backend::tensor(channels_last(&bytes, px), [pictures.len(), px, px, 3], device))
}

fn move_picture(picture: &mut [u8], px: usize, random: &mut Random) {
    let most = px / 8;
    let mirrored = random.chance(0.5);
    let [down, right] = [(); 2].map(|()| random.below(2 * most + 1) as isize - most as isize);
    let last = px as isize - 1;
    let source = picture.to_vec();
    for (plane, from) in picture.chunks_exact_mut(px * px).zip(source.chunks_exact(px * px)) {
        for (y, line) in plane.chunks_exact_mut(px).enumerate() {
            let row = &from[(y as isize + down).clamp(0, last) as usize * px..][..px];
            for (x, value) in line.iter_mut().enumerate() {
                let x = if mirrored { last - x as isize } else { x as isize };
                *value = row[(x + right).clamp(0, last) as usize];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_that_a_user_bought_are_no_negatives_of_theirs() {
        let train = Csr::from_triples(2, 4, &[(0, 0, 1.0), (0, 1, 1.0), (1, 2, 1.0)]).unwrap();
        let draw = |user, item| Draw { user, item, picture: 0, other: 0 };
        let weights = in_batch_weights(&train, &[draw(0, 0), draw(0, 1), draw(1, 2)]);
        assert_eq!(weights, [0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.5, 0.5, 0.0]);
    }

    #[test]
    fn a_moved_picture_has_the_pixels_it_had() {
        let mut picture: Vec<u8> = (0..3 * 64).map(|at| at as u8).collect();
        let before = picture.clone();
        move_picture(&mut picture, 8, &mut Random::new(1));
        for (plane, from) in picture.chunks_exact(64).zip(before.chunks_exact(64)) {
            assert!(plane.iter().all(|value| from.contains(value)));
        }
        // Over many draws the picture lies everywhere it may, and as it was.
        let mut random = Random::new(2);
        let seen: std::collections::BTreeSet<Vec<u8>> = (0..400)
            .map(|_| {
                let mut picture = before.clone();
                move_picture(&mut picture, 8, &mut random);
                picture
            })
            .collect();
        assert_eq!(seen.len(), 2 * 3 * 3);
        assert!(seen.contains(&before));
    }
}
