//! `bpr` and `vbpr`: what somebody bought before what they did not, by factors of items and of what is seen of them.
//!
//! Estimates `x_ui = θ_u·(E f_i) + γ_u·γ_i + β_i`: taste θ_u in a space that a matrix E maps the item's visual features f_i to, and what
//! pictures do not tell, as factors γ and a bias. `vbpr` is all of it (He and McAuley, "VBPR: Visual Bayesian personalized ranking from implicit
//! feedback", AAAI 2016, equation 4; without its visual bias β'), `bpr` the part in γ alone.
//!
//! Objective, minimised over draws (u, i, j) with i bought by u and j not:
//!
//! ```text
//! Σ −ln σ(x_ui − x_uj) + λ/2 (‖θ_u‖² + ‖γ_u‖² + ‖γ_i‖² + ‖γ_j‖²) + λ_b/2 (β_i² + β_j²)   and once a batch   + λ_E/2 ‖E‖²
//! ```
//!
//! u is uniform over users, i over u's purchases, j over what u did not buy, as in the authors' code.
//!
//! Where we depart: Adam on sums over batches in place of a descent by single draws; by default no bias and no γ in `vbpr`, which learn
//! popularity (a setting each brings them back). `bpr` of `foldin-models` draws clicks evenly, always has a bias and is fitted by another
//! descent: what it is for is lists for all users, what this one is for is to be the same model as `vbpr` without pictures.
//!
//! Cost: O(draws · (features · factors)) time an epoch and memory of the parameters three times. One thread does the draws of a batch in
//! order, so the same seed gives the same bits; validation runs on all threads.

use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{Csr, FitContext, ModelConfig};
use foldin_nn::adam::{Adam, Steps};
use foldin_nn::kernels::{axpy, dot};
use foldin_nn::optimiser::{Optimiser, Trained};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::LeaveOneOut;
use crate::error::VisionError;
use crate::evaluate::validation_auc;
use crate::recommend::linear::LinearModel;
use crate::settings::checked;
use crate::watch::Watch;

/// Settings of `vbpr`, and of `bpr`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PairwiseConfig {
    /// Length of θ_u: what is learned of features. 0 leaves pictures out.
    #[schemars(range(max = 1024))]
    pub visual_factors: usize,
    /// Length of γ: what is learned of items themselves, 0 for nothing. On catalogues where most items were bought once it only hurts.
    #[schemars(range(max = 1024))]
    pub factors: usize,
    /// Whether items have a bias β_i. It learns popularity.
    pub bias: bool,
    /// Epochs at most, each of as many draws as there are purchases; that with the best validation AUC is kept.
    #[schemars(range(min = 1, max = 10000))]
    pub epochs: usize,
    /// Epochs without a better validation AUC after which training ends.
    #[schemars(range(min = 1))]
    pub patience: usize,
    /// Step of Adam.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub learning_rate: f64,
    /// Draws whose gradients are summed for a step.
    #[schemars(range(min = 1, max = 65536))]
    pub batch: usize,
    /// λ: shrinkage of θ and γ with each draw.
    #[schemars(range(min = 0.0))]
    pub regularization: f32,
    /// λ_b: shrinkage of biases with each draw.
    #[schemars(range(min = 0.0))]
    pub bias_regularization: f32,
    /// λ_E: shrinkage of E with each step.
    #[schemars(range(min = 0.0))]
    pub feature_regularization: f32,
    /// Standard deviation of the random θ and γ to start with; that of E is one over the root of the number of features.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub start_scale: f32,
}

impl PairwiseConfig {
    /// `vbpr` as it is best on catalogues of mostly new items: pictures alone, 16 factors.
    #[must_use]
    pub fn vbpr() -> Self {
        Self {
            visual_factors: 16,
            factors: 0,
            bias: false,
            epochs: 30,
            patience: 6,
            learning_rate: 5e-3,
            batch: 256,
            regularization: 0.1,
            bias_regularization: 0.1,
            feature_regularization: 0.1,
            start_scale: 0.05,
        }
    }

    /// `bpr`: 16 factors of items, no pictures, no bias.
    #[must_use]
    pub fn bpr() -> Self {
        Self { visual_factors: 0, factors: 16, ..Self::vbpr() }
    }
}

impl Default for PairwiseConfig {
    fn default() -> Self {
        Self::vbpr()
    }
}

impl ModelConfig for PairwiseConfig {
    fn check(&self) -> Result<(), String> {
        if self.visual_factors + self.factors == 0 {
            return Err("`visual_factors` and `factors` cannot both be 0".to_owned());
        }
        Ok(())
    }
}

/// Features of items, `[n_items × width]`.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    /// Numbers of an item.
    pub width: usize,
    /// All of them, row-major.
    pub values: &'a [f32],
}

impl Features<'_> {
    /// No features at all.
    #[must_use]
    pub fn none() -> Features<'static> {
        Features { width: 0, values: &[] }
    }

    fn of(&self, item: u32) -> &[f32] {
        &self.values[item as usize * self.width..][..self.width]
    }
}

/// One draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Triple {
    /// A user.
    pub user: u32,
    /// What they bought.
    pub bought: u32,
    /// What they did not.
    pub other: u32,
}

/// Draws a triple as the authors do: a user, one of their purchases, and an item that is none.
///
/// Users who bought everything there is are drawn again, up to a limit.
pub(crate) fn draw(train: &Csr, random: &mut Random) -> Triple {
    let mut user = random.below(train.n_rows());
    for _ in 0..100 {
        let items = train.row(user).0;
        if !items.is_empty() && items.len() < train.n_cols() {
            break;
        }
        user = random.below(train.n_rows());
    }
    let items = train.row(user).0;
    let bought = items.get(random.below(items.len())).copied().unwrap_or(0);
    let mut other = random.below(train.n_cols()) as u32;
    for _ in 0..10_000 {
        if items.binary_search(&other).is_err() {
            break;
        }
        other = random.below(train.n_cols()) as u32;
    }
    Triple { user: user as u32, bought, other }
}

/// Parameters, each row-major.
#[derive(Clone, Debug, Default, PartialEq)]
struct Values {
    theta: Vec<f32>,
    e: Vec<f32>,
    gamma_u: Vec<f32>,
    gamma_i: Vec<f32>,
    bias: Vec<f32>,
}

impl Values {
    fn zeros_like(&self) -> Self {
        let zeros = |x: &Vec<f32>| vec![0.0; x.len()];
        Self {
            theta: zeros(&self.theta),
            e: zeros(&self.e),
            gamma_u: zeros(&self.gamma_u),
            gamma_i: zeros(&self.gamma_i),
            bias: zeros(&self.bias),
        }
    }

    fn all(&self) -> [&Vec<f32>; 5] {
        [&self.theta, &self.e, &self.gamma_u, &self.gamma_i, &self.bias]
    }

    fn all_mut(&mut self) -> [&mut Vec<f32>; 5] {
        [&mut self.theta, &mut self.e, &mut self.gamma_u, &mut self.gamma_i, &mut self.bias]
    }
}

/// Adds the gradient of one draw's terms and gives its loss, without λ_E.
fn add_gradient(
    config: &PairwiseConfig,
    features: &Features<'_>,
    values: &Values,
    triple: Triple,
    gradient: &mut Values,
    work: &mut [Vec<f32>; 2],
) -> f64 {
    let Triple { user, bought, other } = triple;
    let (k, l, width) = (config.visual_factors, config.factors, features.width);
    let (user, i, j) = (user as usize, bought as usize, other as usize);
    let [difference, visual] = work;
    let mut x = 0.0f32;
    if k > 0 {
        let pairs = features.of(bought).iter().zip(features.of(other));
        difference.iter_mut().zip(pairs).for_each(|(d, (a, b))| *d = a - b);
        for (v, row) in visual.iter_mut().zip(values.e.chunks_exact(width)) {
            *v = dot(row, difference);
        }
        x += values.theta[user * k..][..k].iter().zip(visual.iter()).map(|(t, v)| t * v).sum::<f32>();
    }
    for at in 0..l {
        let (gi, gj) = (values.gamma_i[i * l + at], values.gamma_i[j * l + at]);
        x += values.gamma_u[user * l + at] * (gi - gj);
    }
    if config.bias {
        x += values.bias[i] - values.bias[j];
    }
    let wrong = 1.0 / (1.0 + x.exp());
    let lambda = config.regularization;
    let mut squares = 0.0f32;
    for at in 0..k {
        let theta = values.theta[user * k + at];
        gradient.theta[user * k + at] += lambda * theta - wrong * visual[at];
        squares += theta * theta;
        axpy(-wrong * theta, difference, &mut gradient.e[at * width..][..width]);
    }
    for at in 0..l {
        let (gu, gi, gj) =
            (values.gamma_u[user * l + at], values.gamma_i[i * l + at], values.gamma_i[j * l + at]);
        gradient.gamma_u[user * l + at] += lambda * gu - wrong * (gi - gj);
        gradient.gamma_i[i * l + at] += lambda * gi - wrong * gu;
        gradient.gamma_i[j * l + at] += lambda * gj + wrong * gu;
        squares += gu * gu + gi * gi + gj * gj;
    }
    let mut loss = f64::from(softplus(-x)) + 0.5 * f64::from(lambda * squares);
    if config.bias {
        let (bi, bj) = (values.bias[i], values.bias[j]);
        gradient.bias[i] += config.bias_regularization * bi - wrong;
        gradient.bias[j] += config.bias_regularization * bj + wrong;
        loss += 0.5 * f64::from(config.bias_regularization * (bi * bi + bj * bj));
    }
    loss
}

/// ln(1 + eˣ) without overflow.
pub(crate) fn softplus(x: f32) -> f32 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Fits `vbpr` or `bpr`, whichever the settings say, and calls it `name`.
///
/// # Errors
/// [`VisionError::Config`], [`VisionError::Shape`] if there is not one row of features an item, [`VisionError::Diverged`], and a
/// cancelled fit.
pub fn fit(
    name: &'static str,
    config: &PairwiseConfig,
    features: Features<'_>,
    split: &LeaveOneOut,
    ctx: &FitContext<'_>,
) -> Result<LinearModel, VisionError> {
    let config = &checked(name, config)?;
    let train = split.train.by_user();
    let (n_users, n_items) = (train.n_rows(), train.n_cols());
    let (k, l, width) = (config.visual_factors, config.factors, features.width);
    if k > 0 && (width == 0 || features.values.len() != n_items * width) {
        return Err(VisionError::shape("numbers of features", n_items * width.max(1), features.values.len()));
    }
    let mut random = Random::new(child_seed(ctx.seed, "pairwise start"));
    let mut normal = |count: usize, deviation: f32| -> Vec<f32> {
        (0..count).map(|_| deviation * random.normal() as f32).collect()
    };
    let start = config.start_scale;
    let values = Values {
        theta: normal(n_users * k, start),
        e: normal(k * width, 1.0 / (width.max(1) as f32).sqrt()),
        gamma_u: normal(n_users * l, start),
        gamma_i: normal(n_items * l, start),
        bias: vec![0.0; if config.bias { n_items } else { 0 }],
    };
    let draws = train.n_entries();
    let batches = draws.div_ceil(config.batch);
    let steps = Steps::new(Adam::default(), vec![config.learning_rate; batches * config.epochs]);
    let optimiser = Optimiser::Adam(steps);
    let mut trained = values.all().map(|values| Trained::new(values, &optimiser));
    let mut gradient = values.zeros_like();
    let mut values = values;
    let mut work = [vec![0.0; width], vec![0.0; k]];
    let mut watch = Watch::new(name, config.epochs, config.patience);
    let mut best = None;
    for epoch in 0..config.epochs {
        let mut random = Random::new(numbered_seed(ctx.seed, "pairwise draws", epoch as u64));
        let mut loss = 0.0;
        for batch in 0..batches {
            gradient.all_mut().into_iter().for_each(|gradient| gradient.fill(0.0));
            for _ in 0..config.batch.min(draws - batch * config.batch) {
                let triple = draw(train, &mut random);
                loss += add_gradient(config, &features, &values, triple, &mut gradient, &mut work);
            }
            let decays = [0.0, config.feature_regularization, 0.0, 0.0, 0.0];
            let parts = trained.iter_mut().zip(gradient.all()).zip(values.all_mut());
            for (((trained, gradient), values), decay) in parts.zip(decays) {
                if !values.is_empty() {
                    trained.update(&optimiser, epoch * batches + batch, decay, gradient);
                    values.copy_from_slice(&trained.w);
                }
            }
        }
        let model = assemble(name, config, &features, &values, n_users, n_items)?;
        let auc = validation_auc(&model, split)?;
        if watch.epoch(ctx, loss / draws as f64, Some(auc))? {
            best = Some(model);
        }
        if watch.is_over() {
            break;
        }
    }
    best.ok_or(VisionError::Diverged { model: name, epoch: 1 })
}

/// Vectors of users `(θ, γ, 1)` and items `(E f, γ, β)`.
fn assemble(
    name: &str,
    config: &PairwiseConfig,
    features: &Features<'_>,
    values: &Values,
    n_users: usize,
    n_items: usize,
) -> Result<LinearModel, VisionError> {
    let (k, l) = (config.visual_factors, config.factors);
    let length = k + l + usize::from(config.bias);
    let mut users = Vec::with_capacity(n_users * length);
    for user in 0..n_users {
        users.extend_from_slice(&values.theta[user * k..][..k]);
        users.extend_from_slice(&values.gamma_u[user * l..][..l]);
        users.extend(config.bias.then_some(1.0));
    }
    let mut items = Vec::with_capacity(n_items * length);
    for item in 0..n_items {
        for row in values.e.chunks_exact(features.width.max(1)) {
            items.push(dot(row, features.of(item as u32)));
        }
        items.extend_from_slice(&values.gamma_i[item * l..][..l]);
        items.extend(config.bias.then(|| values.bias[item]));
    }
    LinearModel::new(name, length, users, items)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every derivative against a difference of losses.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let config = PairwiseConfig {
            visual_factors: 3,
            factors: 2,
            bias: true,
            regularization: 0.3,
            bias_regularization: 0.2,
            ..PairwiseConfig::vbpr()
        };
        let mut random = Random::new(1);
        let mut normal = |count: usize| -> Vec<f32> { (0..count).map(|_| random.normal() as f32).collect() };
        let (n_users, n_items, width) = (2, 4, 5);
        let table = normal(n_items * width);
        let features = Features { width, values: &table };
        let values = Values {
            theta: normal(n_users * 3),
            e: normal(3 * width),
            gamma_u: normal(n_users * 2),
            gamma_i: normal(n_items * 2),
            bias: normal(n_items),
        };
        let triples = [Triple { user: 0, bought: 1, other: 3 }, Triple { user: 1, bought: 0, other: 2 }];
        let loss_and_gradient = |values: &Values| {
            let mut gradient = values.zeros_like();
            let mut work = [vec![0.0; width], vec![0.0; 3]];
            let loss: f64 = triples
                .iter()
                .map(|&triple| add_gradient(&config, &features, values, triple, &mut gradient, &mut work))
                .sum();
            (loss, gradient)
        };
        let (_, gradient) = loss_and_gradient(&values);
        for part in 0..5 {
            for at in 0..values.all()[part].len() {
                let step = 1e-2f32;
                let moved = |by: f32| {
                    let mut moved = values.clone();
                    moved.all_mut()[part][at] += by;
                    loss_and_gradient(&moved).0
                };
                let expected = (moved(step) - moved(-step)) / f64::from(2.0 * step);
                let got = f64::from(gradient.all()[part][at]);
                // Differences of `f32` losses over a step of 1e-2: third derivatives and rounding both stay below this.
                assert!((got - expected).abs() < 2e-3, "part {part} at {at}: {got} {expected}");
            }
        }
    }

    #[test]
    fn a_draw_is_never_a_purchase() {
        let train = Csr::from_triples(2, 3, &[(0, 0, 1.0), (0, 2, 1.0), (1, 1, 1.0)]).unwrap();
        let mut random = Random::new(4);
        for _ in 0..200 {
            let Triple { user, bought, other } = draw(&train, &mut random);
            let items = train.row(user as usize).0;
            assert!(items.contains(&bought) && !items.contains(&other));
        }
        // Somebody who bought everything is never drawn, and nobody loops for ever.
        let all = Csr::from_triples(1, 1, &[(0, 0, 1.0)]).unwrap();
        draw(&all, &mut random);
    }

    #[test]
    fn settings_are_checked() {
        let vbpr = PairwiseConfig::vbpr;
        for bad in [
            PairwiseConfig { visual_factors: 0, ..vbpr() },
            PairwiseConfig { learning_rate: f64::NAN, ..vbpr() },
            PairwiseConfig { batch: 0, ..vbpr() },
            PairwiseConfig { patience: 0, ..vbpr() },
            PairwiseConfig { regularization: -0.1, ..vbpr() },
        ] {
            assert!(checked("vbpr", &bad).is_err(), "{bad:?}");
        }
        assert_eq!(checked("bpr", &PairwiseConfig::bpr()).unwrap(), PairwiseConfig::bpr());
        assert!((softplus(100.0) - 100.0).abs() < 1e-6 && softplus(-100.0) < 1e-20);
    }
}
