//! The run of training, the same for both models.

use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{FitContext, FitError, Interactions, TrainingData, UserId};
use foldin_nn::adam::{Adam, Steps};
use foldin_nn::dropout::Dropout;
use foldin_nn::flush::flushed;
use foldin_nn::matmul::{Matrix, Packed, matmul_packed};
use foldin_nn::optimiser::Optimiser;

use super::config::Plan;
use super::network::{Network, Noise, Scratch};
use crate::holdout::Holdout;
use crate::learner::{Learner, Length, train};
use crate::perceptron::{Named, step};
use crate::ranking::{implicit_interactions, validation_ndcg};

/// Fits a network, and says how many users took each item.
pub(super) fn fit(
    model: &'static str,
    plan: &Plan,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<Network, FitError> {
    let all = implicit_interactions(model, data)?;
    let holdout =
        (plan.validation_fraction > 0.0).then(|| Holdout::cut(all, plan.validation_fraction, ctx.seed));
    let clicks = holdout.as_ref().map_or(all, |holdout| &holdout.train);
    let length = Length { epochs: plan.epochs, patience: plan.patience };
    flushed(|| {
        train(model, &mut Run::new(model, plan, clicks, holdout.as_ref(), ctx.seed), clicks, length, ctx)
    })
}

struct Run<'a> {
    model: &'static str,
    plan: &'a Plan,
    clicks: &'a Interactions,
    holdout: Option<&'a Holdout>,
    /// Users with a history.
    users: Vec<u32>,
    seed: u64,
    optimiser: Optimiser,
    network: Network,
    scratch: Scratch,
}

impl<'a> Run<'a> {
    fn new(
        model: &'static str,
        plan: &'a Plan,
        clicks: &'a Interactions,
        holdout: Option<&'a Holdout>,
        seed: u64,
    ) -> Self {
        let users: Vec<u32> = (0..clicks.n_users() as u32)
            .filter(|&user| clicks.by_user().row_len(user as usize) > 0)
            .collect();
        let steps = plan.epochs * users.len().div_ceil(plan.batch_size);
        let rates = std::iter::repeat_n(plan.learning_rate, steps);
        let optimiser = Optimiser::Adam(Steps::new(Adam::default(), rates));
        let network = Network::new(clicks.n_items(), plan, &optimiser, child_seed(seed, "network"));
        let scratch = Scratch::new(&network, plan.batch_size.min(users.len()));
        Self { model, plan, clicks, holdout, users, seed, optimiser, network, scratch }
    }
}

impl Learner for Run<'_> {
    type Network = Network;

    fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    fn parameters(network: &mut Network) -> Vec<Named<'_>> {
        network.parameters()
    }

    fn epoch(&mut self, epoch: usize) -> f64 {
        let plan = self.plan;
        let mut order = self.users.clone();
        Random::new(numbered_seed(self.seed, "batches", epoch as u64)).shuffle(&mut order);
        let per_epoch = order.len().div_ceil(plan.batch_size);
        let mut loss = 0.0;
        for (at, users) in order.chunks(plan.batch_size).enumerate() {
            let number = epoch * per_epoch + at;
            let of = |purpose: &str| numbered_seed(self.seed, purpose, number as u64);
            let grown = (number as f64 / (plan.annealing_epochs * per_epoch).max(1) as f64).min(1.0);
            let noise = Noise {
                dropout: (plan.dropout > 0.0).then(|| Dropout::new(plan.dropout, of("dropout"))),
                sample: Some(of("sample")),
                beta: if plan.annealing_epochs == 0 { plan.beta } else { plan.beta * grown as f32 },
            };
            let histories = self.clicks.by_user().select_rows(users);
            let (of_batch, rest) = self.network.gradients(&histories, noise, &mut self.scratch);
            let mut gradients: Vec<&[f32]> = vec![self.scratch.encoder.data()];
            gradients.extend(rest.iter().map(Vec::as_slice));
            step(self.network.parameters(), &gradients, &self.optimiser, number, plan.weight_decay);
            self.network.constrain();
            loss += of_batch * users.len() as f64;
        }
        loss / order.len().max(1) as f64
    }

    fn validate(&self) -> Result<Option<f64>, FitError> {
        let Some(holdout) = self.holdout else { return Ok(None) };
        let (n_items, k) = (self.network.n_items, self.network.k());
        let items = Packed::new(Matrix::new(&self.network.items.w, n_items, k).transposed());
        let score = |users: &[UserId], out: &mut [f32]| {
            let numbers: Vec<u32> = users.iter().map(|user| user.0).collect();
            let factors = self.network.factors(&self.clicks.by_user().select_rows(&numbers));
            matmul_packed(Matrix::new(&factors, numbers.len(), k), &items, false, out);
            for scores in out.chunks_exact_mut(n_items) {
                scores.iter_mut().zip(&*self.network.item_bias.w).for_each(|(score, bias)| *score += bias);
            }
            Ok(())
        };
        validation_ndcg(holdout, score).map_err(|_| FitError::Diverged {
            model: self.model,
            epoch: 0,
            what: "a score",
        })
    }
}
