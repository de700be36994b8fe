//! A small factor model that satisfies the suite, and can be told to break one promise.
//!
//! `r̂ = μ + w·φ_u + b_i + x_u·[q_i, 1]`, fitted by alternating ridge regression in `f64` on one thread; a user's `x` is a ridge
//! fold-in for everybody.

use std::sync::atomic::{AtomicU32, Ordering};

use foldin_core::random::{Random, child_seed};
use foldin_core::{
    Capabilities, Epoch, Factors, Feedback, FitContext, FitError, Generator, Interactions, ItemFactors,
    ItemId, LoadError, ModelConfig, ModelFamily, ModelParts, Recommender, ScaleProblem, ScoreError, Tensor,
    TrainState, TrainingData, UserView,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ridge::{inverse, times};

/// Which promise to break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    #[default]
    None,
    LearnsNothing,
    ForgetsNewUsers,
    LovesLittleHistory,
    AssumesOneToFive,
    AssumesUnitSpread,
    IgnoresUserFeatures,
    UsesItemFeatures,
    GrowsUnsure,
    HidesABias,
    LiesAboutItsName,
    AcceptsUnknownItems,
    AcceptsNan,
    ToleratesLengths,
    NanForEmptyHistory,
    NoClipping,
    ScoresDifferently,
    PanicsOnManyFactors,
    PanicsOnTinyData,
    DividesBySpread,
    AcceptsImplicit,
    RefusesContinuousScales,
    Unrepeatable,
    CountsThreads,
    LooksAtTheBatch,
    FirstItemCounts,
    LosesPrecision,
    LoadsAnything,
    KeepsUsers,
    SilentEpochs,
    IgnoresCancel,
    ForgetsProgress,
    ResumesAnything,
    ResumesWithOtherRatings,
}

/// Settings of the toy.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ToyConfig {
    /// Number of factors.
    #[schemars(range(min = 1, max = 200))]
    pub(crate) factors: usize,
    /// Number of alternations.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) epochs: usize,
    /// Weight of the squared length, in squared units of the ratings' spread.
    #[schemars(range(min = 0.0))]
    pub(crate) regularization: f32,
    /// Which promise to break.
    pub(crate) fault: Fault,
}

impl Default for ToyConfig {
    fn default() -> Self {
        Self { factors: 3, epochs: 8, regularization: 1.0, fault: Fault::None }
    }
}

impl ModelConfig for ToyConfig {}

/// The family.
pub(crate) struct Toy;

#[derive(Debug)]
pub(crate) struct ToyModel {
    fault: Fault,
    items: ItemFactors,
    spread: f32,
    regularization: f32,
    /// Effect of each column of user features.
    feature_weights: Vec<f32>,
    feedback: Feedback,
    /// Only kept by a faulty toy.
    per_user: Vec<f32>,
    noise: f32,
    loaded: bool,
}

const K_EXTRA: usize = 1;

/// A ridge regression over designs `[q, 1]`: coefficients and the inverse of the normal matrix.
fn solve(k: usize, rows: impl Iterator<Item = (Vec<f64>, f64)>, ridge: f64) -> (Vec<f64>, Vec<f64>) {
    let n = k + K_EXTRA;
    let (mut matrix, mut right) = (vec![0.0; n * n], vec![0.0; n]);
    for at in 0..n {
        matrix[at * n + at] = ridge;
    }
    for (design, target) in rows {
        for a in 0..n {
            right[a] += design[a] * target;
            for b in 0..n {
                matrix[a * n + b] += design[a] * design[b];
            }
        }
    }
    let inverse = inverse(&matrix, n);
    (times(&inverse, &right), inverse)
}

impl ModelFamily for Toy {
    const NAME: &'static str = "toy";
    const SUMMARY: &'static str = "a toy for the tests of the tests";
    type Config = ToyConfig;
    type Model = ToyModel;

    fn capabilities() -> Capabilities {
        Capabilities {
            new_users: true,
            generator: true,
            uncertainty: true,
            user_features: true,
            item_features: false,
            explicit: true,
            implicit: false,
            keeps_histories: false,
        }
    }

    fn fit(config: &ToyConfig, data: &TrainingData<'_>, ctx: &FitContext<'_>) -> Result<ToyModel, FitError> {
        let (fault, ratings) = (config.fault, data.interactions);
        if ratings.feedback().scale().is_none() && fault != Fault::AcceptsImplicit {
            return Err(FitError::WrongFeedback { model: "toy", expected: "explicit", got: "implicit" });
        }
        if fault == Fault::RefusesContinuousScales
            && let Some(scale) = ratings.feedback().scale().filter(|scale| scale.step.is_none())
        {
            let problem = ScaleProblem::Continuous { scale };
            return Err(FitError::Scale { model: "toy", most_levels: 100, problem });
        }
        if fault == Fault::PanicsOnTinyData {
            assert!(ratings.n_users() >= rayon::current_num_threads(), "a chunk of no users");
        }
        if fault == Fault::PanicsOnManyFactors {
            assert!(config.factors <= ratings.n_items(), "rank too high");
        }
        if ratings.is_empty() {
            return Err(FitError::TooLittleData { model: "toy", need: "a rating", have: "none".into() });
        }
        let mut toy = Training::new(config, data, ctx)?;
        while toy.epochs < config.epochs {
            toy.alternate();
            if fault == Fault::SilentEpochs {
                continue;
            }
            let epoch = Epoch { number: toy.epochs, of: config.epochs, ..Epoch::default() };
            match ctx.epoch_done(epoch, || toy.state()) {
                Err(FitError::Cancelled { .. }) if fault == Fault::IgnoresCancel => {}
                other => other?,
            }
        }
        Ok(toy.finish(data))
    }

    fn load(mut parts: ModelParts) -> Result<ToyModel, LoadError> {
        let fault: Fault = parts.get("fault")?;
        if fault == Fault::LoadsAnything {
            parts.tensors.entry("feature_weights".into()).or_insert_with(|| Tensor::new([0], Vec::new()));
        }
        let bias = parts.take("bias", &[None])?.data;
        let m = parts.take("m", &[Some(bias.len()), None])?;
        let feature_weights = parts.take("feature_weights", &[None])?.data;
        let per_user =
            if fault == Fault::KeepsUsers { parts.take("per_user", &[None])?.data } else { Vec::new() };
        Ok(ToyModel {
            fault,
            items: ItemFactors { k: m.shape[1], m: m.data, bias, mean: parts.get("mean")? },
            spread: parts.get("spread")?,
            regularization: parts.get("regularization")?,
            feature_weights,
            feedback: parts.get("feedback")?,
            per_user,
            noise: 0.0,
            loaded: true,
        })
    }
}

struct Training<'a> {
    config: &'a ToyConfig,
    ratings: &'a Interactions,
    mean: f64,
    spread: f64,
    /// `[n_items × (k + 1)]`: factors, then bias.
    items: Vec<f64>,
    epochs: usize,
    noise: f32,
}

impl<'a> Training<'a> {
    fn new(config: &'a ToyConfig, data: &TrainingData<'a>, ctx: &FitContext<'_>) -> Result<Self, FitError> {
        let ratings = data.interactions;
        let mut mean = ratings.mean();
        if config.fault == Fault::AssumesOneToFive {
            mean = 3.0;
        }
        let squares: f64 =
            ratings.by_user().values().iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
        let mut spread = (squares / ratings.len() as f64).sqrt();
        if config.fault == Fault::AssumesUnitSpread {
            spread = 5.0;
        } else if spread < 1e-6 && config.fault != Fault::DividesBySpread {
            spread = 1.0;
        }
        let mut noise = 0.0;
        if config.fault == Fault::Unrepeatable {
            static CALLS: AtomicU32 = AtomicU32::new(1);
            noise = 0.001 * CALLS.fetch_add(1, Ordering::Relaxed) as f32;
        }
        if config.fault == Fault::CountsThreads {
            noise = 0.001 * rayon::current_num_threads() as f32;
        }
        let mut random = Random::new(child_seed(ctx.seed, "toy"));
        let items: Vec<f64> =
            (0..ratings.n_items() * (config.factors + K_EXTRA))
                .map(|at| {
                    if at % (config.factors + K_EXTRA) < config.factors { 0.5 * random.normal() } else { 0.0 }
                })
                .collect();
        let mut out = Self { config, ratings, mean, spread, items, epochs: 0, noise };
        if let Some(state) = ctx.resume()? {
            out.resume(&state)?;
        }
        if ctx.cancel.is_cancelled() && config.fault != Fault::IgnoresCancel {
            return Err(FitError::Cancelled { epochs: 0 });
        }
        Ok(out)
    }

    fn resume(&mut self, state: &TrainState) -> Result<(), FitError> {
        let Some(halves) = state.tensors.get("items") else {
            if self.config.fault == Fault::ResumesAnything {
                return Ok(());
            }
            return Err(FitError::Checkpoint { reason: "no tensor `items`".into() });
        };
        let own = state.numbers.get("data") == Some(&self.fingerprint());
        if !own && self.config.fault != Fault::ResumesWithOtherRatings {
            return Err(FitError::Checkpoint { reason: "it belongs to other ratings".into() });
        }
        // Each f64 was written as two f32, so that nothing is lost.
        self.items =
            halves.data.chunks_exact(2).map(|pair| f64::from(pair[0]) + f64::from(pair[1])).collect();
        if self.config.fault != Fault::ForgetsProgress {
            self.epochs = state.epochs;
        }
        Ok(())
    }

    fn state(&mut self) -> TrainState {
        // Rounded to what two f32 can hold, in memory too: the resumed run must see the same numbers.
        let halves: Vec<f32> = self
            .items
            .iter_mut()
            .flat_map(|value| {
                let head = *value as f32;
                let tail = (*value - f64::from(head)) as f32;
                *value = f64::from(head) + f64::from(tail);
                [head, tail]
            })
            .collect();
        let tensors = [("items".to_owned(), Tensor::new([halves.len()], halves))].into();
        let numbers = [("data".to_owned(), self.fingerprint())].into();
        TrainState { epochs: self.epochs, tensors, numbers }
    }

    /// Of the ratings, as far as a number holds it.
    fn fingerprint(&self) -> f64 {
        u64::from_str_radix(&self.ratings.fingerprint(), 16).map_or(0.0, |bits| (bits >> 12) as f64)
    }

    fn alternate(&mut self) {
        let k = self.config.factors;
        let (n, ridge) = (k + K_EXTRA, f64::from(self.config.regularization));
        let standard = |value: f32| (f64::from(value) - self.mean) / self.spread;
        let (by_user, by_item) = (self.ratings.by_user(), self.ratings.by_item());
        let users: Vec<Vec<f64>> = (0..self.ratings.n_users())
            .map(|user| {
                let (items, values) = by_user.row(user);
                let rows = items.iter().zip(values).map(|(&item, &value)| {
                    let row = &self.items[item as usize * n..][..n];
                    ([&row[..k], &[1.0]].concat(), standard(value) - row[k])
                });
                solve(k, rows, ridge).0
            })
            .collect();
        let mut items = Vec::with_capacity(self.items.len());
        for item in 0..self.ratings.n_items() {
            let (raters, values) = by_item.row(item);
            let rows = raters.iter().zip(values).map(|(&user, &value)| {
                let row = &users[user as usize];
                ([&row[..k], &[1.0]].concat(), standard(value) - row[k])
            });
            items.extend(solve(k, rows, ridge).0);
        }
        self.items = items;
        self.epochs += 1;
        self.state();
    }

    fn finish(self, data: &TrainingData<'_>) -> ToyModel {
        let Self { config, ratings, mean, spread, items, noise, .. } = self;
        let k = config.factors;
        let mut factors = ItemFactors { k, mean: mean as f32, ..ItemFactors::default() };
        for row in items.chunks_exact(k + K_EXTRA) {
            factors.m.extend(row[..k].iter().map(|&value| (value * spread) as f32));
            factors.bias.push((row[k] * spread) as f32);
        }
        if config.fault == Fault::LearnsNothing {
            factors.m.fill(0.0);
        }
        // The mean of what a column's users give, shrunk by five ratings.
        let width = data.user_features.width();
        let (mut sums, mut counts) = (vec![0.0; width], vec![5.0; width]);
        for (user, _, value) in ratings.by_user().triples() {
            let row = data.user_features.row(user as usize);
            for (&column, &weight) in row.columns.iter().zip(row.values) {
                sums[column as usize] += (f64::from(value) - mean) * f64::from(weight);
                counts[column as usize] += f64::from(weight.abs());
            }
        }
        if config.fault == Fault::UsesItemFeatures && data.item_features.width() > 0 {
            factors.mean += 0.1;
        }
        ToyModel {
            fault: config.fault,
            items: factors,
            spread: spread as f32,
            regularization: config.regularization,
            feature_weights: sums.iter().zip(&counts).map(|(sum, count)| (sum / count) as f32).collect(),
            feedback: ratings.feedback(),
            per_user: vec![0.0; if config.fault == Fault::KeepsUsers { ratings.n_users() } else { 0 }],
            noise,
            loaded: false,
        }
    }
}

impl ToyModel {
    fn check(&self, user: &UserView<'_>) -> Result<(), ScoreError> {
        match user.check(self.n_items()) {
            Err(ScoreError::UnknownItem { .. }) if self.fault == Fault::AcceptsUnknownItems => Ok(()),
            Err(ScoreError::NotFinite { .. }) if self.fault == Fault::AcceptsNan => Ok(()),
            other => other,
        }
    }

    /// What side information says of a user, before any rating.
    fn prior(&self, user: &UserView<'_>) -> f32 {
        if self.fault == Fault::IgnoresUserFeatures {
            return 0.0;
        }
        user.features
            .columns
            .iter()
            .zip(user.features.values)
            .map(|(&column, &value)| {
                self.feature_weights.get(column as usize).copied().unwrap_or_default() * value
            })
            .sum()
    }

    /// Factors, bias and covariance of one user.
    fn one(&self, user: &UserView<'_>, batch: usize) -> Result<(Vec<f32>, f32, Vec<f32>), ScoreError> {
        self.check(user)?;
        let (k, prior) = (self.items.k, self.prior(user));
        let n = k + K_EXTRA;
        let spread = f64::from(self.spread);
        let strangers = self.fault == Fault::ForgetsNewUsers
            || (self.fault == Fault::LovesLittleHistory && user.items.len() > 6);
        let known = user.items.iter().zip(user.values).filter(|(item, value)| {
            (**item as usize) < self.n_items()
                && value.is_finite()
                && !(strangers && user.trained_as.is_none())
        });
        let rows = known.map(|(&item, &value)| {
            let design = self.items.row(item as usize).iter().map(|&m| f64::from(m) / spread);
            let target = value - self.items.mean - self.items.bias[item as usize] - prior;
            (design.chain([1.0]).collect(), f64::from(target) / spread)
        });
        let (x, inverse) = solve(k, rows, f64::from(self.regularization).max(1e-3));
        let mut bias = (x[k] * spread) as f32 + prior + self.noise;
        match self.fault {
            Fault::NanForEmptyHistory if user.items.is_empty() => bias /= user.items.len() as f32 * 0.0,
            Fault::LooksAtTheBatch => bias += 1e-3 * batch as f32,
            Fault::FirstItemCounts => bias += 0.01 * user.items.first().copied().unwrap_or_default() as f32,
            Fault::LovesLittleHistory if user.items.len() > 6 => bias += 3.0,
            _ => {}
        }
        let mut covariance: Vec<f32> = inverse.iter().map(|&value| value as f32).collect();
        if self.fault == Fault::GrowsUnsure {
            covariance.iter_mut().for_each(|value| *value *= 1.0 + 10.0 * user.items.len() as f32);
        }
        debug_assert_eq!(covariance.len(), n * n);
        Ok((x[..k].iter().map(|&value| value as f32).collect(), bias, covariance))
    }

    fn value(&self, factors: &Factors, user: usize, item: usize) -> f32 {
        let dot: f32 = factors.row(user).iter().zip(self.items.row(item)).map(|(u, m)| u * m).sum();
        let hidden = if self.fault == Fault::HidesABias { 0.25 } else { 0.0 };
        dot + factors.bias[user] + self.items.bias[item] + self.items.mean + hidden
    }
}

impl ToyModel {
    fn value_with_variance(&self, factors: &Factors, user: usize, item: ItemId) -> (f32, f32) {
        let n = self.items.k + K_EXTRA;
        let covariance = &factors.covariance.as_deref().unwrap_or_default()[user * n * n..][..n * n];
        let design: Vec<f32> = self.items.row(item.index()).iter().copied().chain([self.spread]).collect();
        let quadratic: f32 =
            (0..n * n).map(|cell| design[cell / n] * covariance[cell] * design[cell % n]).sum();
        (self.value(factors, user, item.index()), 0.1 * self.spread * self.spread + quadratic)
    }
}

impl Recommender for ToyModel {
    fn name(&self) -> &'static str {
        if self.fault == Fault::LiesAboutItsName { "truth" } else { "toy" }
    }

    fn n_items(&self) -> usize {
        self.items.bias.len()
    }

    fn capabilities(&self) -> Capabilities {
        Toy::capabilities()
    }

    fn score(&self, users: &[UserView<'_>], out: &mut [f32]) -> Result<(), ScoreError> {
        let expected = users.len() * self.n_items();
        if out.len() != expected && self.fault != Fault::ToleratesLengths {
            return Err(ScoreError::Shape { what: "scores", expected, got: out.len() });
        }
        let factors = Generator::generate(self, users)?;
        let off = if self.fault == Fault::ScoresDifferently { 0.1 } else { 0.0 };
        for (at, out) in out.iter_mut().enumerate() {
            *out = self.value(&factors, at / self.n_items(), at % self.n_items()) + off;
        }
        Ok(())
    }

    fn predict(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        out: &mut [f32],
    ) -> Result<(), ScoreError> {
        self.predict_with_variance(users, pairs, out, &mut vec![0.0; pairs.len()])?;
        if self.fault != Fault::NoClipping {
            out.iter_mut().for_each(|value| *value = self.feedback.clip(*value));
        }
        Ok(())
    }

    fn predict_with_variance(
        &self,
        users: &[UserView<'_>],
        pairs: &[(u32, ItemId)],
        mean: &mut [f32],
        variance: &mut [f32],
    ) -> Result<(), ScoreError> {
        let shape = |what, expected, got| Err(ScoreError::Shape { what, expected, got });
        if mean.len() != pairs.len() || variance.len() != pairs.len() {
            return shape("predictions", pairs.len(), mean.len());
        }
        if let Some(&(user, _)) = pairs.iter().find(|(user, _)| *user as usize >= users.len()) {
            return shape("position of a user", users.len(), user as usize);
        }
        if let Some(&(_, item)) = pairs.iter().find(|(_, item)| item.index() >= self.n_items()) {
            return Err(ScoreError::UnknownItem { item: item.0, n_items: self.n_items() });
        }
        let factors = Generator::generate(self, users)?;
        for (at, &(user, item)) in pairs.iter().enumerate() {
            (mean[at], variance[at]) = self.value_with_variance(&factors, user as usize, item);
        }
        Ok(())
    }

    fn as_generator(&self) -> Option<&dyn Generator> {
        Some(self)
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        let (n, k) = (self.n_items(), self.items.k);
        let mut m = self.items.m.clone();
        if self.fault == Fault::LosesPrecision && !self.loaded {
            m.iter_mut().for_each(|value| *value = (*value * 1000.0).round() / 1000.0);
        }
        parts.tensors.insert("bias".into(), Tensor::new([n], self.items.bias.clone()));
        parts.tensors.insert("m".into(), Tensor::new([n, k], m));
        let weights = self.feature_weights.clone();
        parts.tensors.insert("feature_weights".into(), Tensor::new([weights.len()], weights));
        if self.fault == Fault::KeepsUsers {
            parts
                .tensors
                .insert("per_user".into(), Tensor::new([self.per_user.len()], self.per_user.clone()));
        }
        parts.set("fault", self.fault);
        parts.set("mean", self.items.mean);
        parts.set("spread", self.spread);
        parts.set("regularization", self.regularization);
        parts.set("feedback", self.feedback);
        parts
    }
}

impl Generator for ToyModel {
    fn values_with_variance(
        &self,
        factors: &Factors,
        user: usize,
        items: &[ItemId],
        values: &mut [f32],
        variances: &mut [f32],
    ) -> Result<(), ScoreError> {
        for ((&item, value), variance) in items.iter().zip(values).zip(variances) {
            (*value, *variance) = self.value_with_variance(factors, user, item);
        }
        Ok(())
    }

    fn generate(&self, users: &[UserView<'_>]) -> Result<Factors, ScoreError> {
        let mut out = Factors { k: self.items.k, ..Factors::default() };
        let mut covariances = Vec::new();
        for user in users {
            let (u, bias, covariance) = self.one(user, users.len())?;
            out.u.extend(u);
            out.bias.push(bias);
            covariances.extend(covariance);
        }
        out.covariance = Some(covariances);
        Ok(out)
    }

    fn items(&self) -> &ItemFactors {
        &self.items
    }
}
