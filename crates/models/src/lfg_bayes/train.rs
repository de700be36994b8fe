//! The fit: users and items in turn, then what the priors and the noise learn from them.

use foldin_core::random::{Random, child_seed};
use foldin_core::{
    Csr, Epoch, FitContext, FitError, Interactions, ModelFamily, Tensor, TrainState, TrainingData,
};
use foldin_nn::gaussian::Moments;

use super::LfgBayes;
use super::config::LfgBayesConfig;
use super::history::{HistoryFeatures, UserDesign};
use super::model::{LfgBayesModel, Posterior, Used};
use super::prior::{Prior, Regression};
use super::step::{Side, Summary, half_step, mean_square};
use crate::item_design::{Design, ItemDesign};
use crate::linear::explicit_ratings;

/// Share of the ratings' variance that is taken for noise before the first iteration.
const INITIAL_NOISE_SHARE: f64 = 0.64;

/// Precision of every prior, in units of the ratings' own, until it is learned.
const INITIAL_PRECISION: f32 = 1.0;

/// Whole iterations before precisions are learned: the first posteriors are mostly the random start.
const ITERATIONS_BEFORE_PRECISIONS: usize = 2;

/// Ratings in units of their standard deviation, so that no setting depends on the scale.
struct Standardised {
    mean: f64,
    deviation: f64,
    by_user: Csr,
    by_item: Csr,
}

impl Standardised {
    fn of(ratings: &Interactions) -> Self {
        let mean = ratings.mean();
        let variance = mean_square(ratings.by_user().values(), mean);
        // Without any variance everything is the mean; any unit will do.
        let deviation = if variance > 0.0 { variance.sqrt() } else { 1.0 };
        let scaled = |csr: &Csr| {
            let values = csr.values().iter().map(|&r| ((f64::from(r) - mean) / deviation) as f32).collect();
            Csr::from_parts(csr.n_cols(), csr.offsets().to_vec(), csr.columns().to_vec(), values)
                .expect("a copy of a valid matrix with other values")
        };
        Self { mean, deviation, by_user: scaled(ratings.by_user()), by_item: scaled(ratings.by_item()) }
    }
}

/// One side's prior, its regression and the current prior means.
struct Learner<'a> {
    design: &'a Design,
    summed: &'a Design,
    regression: Regression,
    prior: Prior,
    means: Vec<f32>,
}

impl<'a> Learner<'a> {
    fn new(
        design: &'a Design,
        summed: &'a Design,
        gram: Vec<f64>,
        ridge: f64,
        order: usize,
    ) -> Result<Self, FitError> {
        let prior = Prior::flat(design.width(), order, INITIAL_PRECISION);
        let means = prior.means(design);
        // The first dense column is the constant.
        let regression = Regression::new(gram, ridge, design.sparse_width())?;
        Ok(Self { design, summed, regression, prior, means })
    }

    /// Regresses the posterior means on the features, then learns the precision around that.
    fn learn(&mut self, side: &Side, summary: &Summary, lists: &Csr, with_precision: bool) {
        let order = side.order;
        let rated = |row: usize| lists.row_len(row) > 0;
        let means = side.own_means();
        let right = self.summed.transposed_product(&means, order, rated);
        self.prior.weights = self.regression.solve(&right, order);
        self.means = self.prior.means(self.design);
        if with_precision {
            self.prior.learn_precision(&means, &self.means, &summary.variance, rated);
        }
    }

    fn put(&self, name: &str, state: &mut TrainState) {
        let Prior { weights, precision } = &self.prior;
        let tensor = Tensor::new([self.design.width(), precision.len()], weights.clone());
        state.tensors.insert(format!("{name}_weights"), tensor);
        state.tensors.insert(format!("{name}_precision"), Tensor::new([precision.len()], precision.clone()));
    }

    fn take(&mut self, name: &str, state: &mut TrainState) -> Result<(), FitError> {
        let shape = [self.design.width(), self.prior.precision.len()];
        self.prior.weights = take(state, &format!("{name}_weights"), &shape)?;
        self.prior.precision = take(state, &format!("{name}_precision"), &shape[1..])?;
        self.means = self.prior.means(self.design);
        Ok(())
    }
}

fn unusable(reason: impl Into<String>) -> FitError {
    FitError::Checkpoint { reason: reason.into() }
}

fn take(state: &mut TrainState, name: &str, shape: &[usize]) -> Result<Vec<f32>, FitError> {
    let tensor = state.tensors.remove(name).ok_or_else(|| unusable(format!("it lacks `{name}`")))?;
    if tensor.shape != shape {
        return Err(unusable(format!("`{name}` has shape {:?}, not {shape:?}", tensor.shape)));
    }
    Ok(tensor.data)
}

pub(super) fn fit(
    config: &LfgBayesConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<LfgBayesModel, FitError> {
    let ratings = explicit_ratings(LfgBayes::NAME, data)?;
    let sizes = config.sizes(ratings.len());
    let order = sizes.factors + 1;
    let seed = child_seed(ctx.seed, LfgBayes::NAME);

    ctx.progress.stage("features of users and items");
    let item_design =
        ItemDesign { constant: true, side_information: config.item_side, cooccurrence: sizes.cooccurrence }
            .build(data, seed);
    let history = HistoryFeatures::learn(ratings, config.user_implicit_features, seed);
    let UserDesign { whole, summed, gram } =
        UserDesign::build(data, config.user_side, &history, config.subsampled_histories, seed);

    let scaled = Standardised::of(ratings);
    let rated = |item: usize| scaled.by_item.row_len(item) > 0;
    let mut for_users = Learner::new(&whole, &summed, gram, config.ridge, order)?;
    let mut for_items =
        Learner::new(&item_design, &item_design, item_design.gram(rated), config.ridge, order)?;
    let mut users = Side::zeros(ratings.n_users(), order);
    let mut items = Side::zeros(ratings.n_items(), order);
    let mut noise = INITIAL_NOISE_SHARE;
    let mut done = 0;

    if let Some(mut state) = ctx.resume()? {
        done = state.epochs;
        for_users.take("user", &mut state)?;
        for_items.take("item", &mut state)?;
        noise = *state.numbers.get("noise").ok_or_else(|| unusable("it lacks `noise`"))?;
        items.means = take(&mut state, "item_means", &[ratings.n_items(), items.stride])?;
        let moments = state.tensors.remove("item_moments").map(|tensor| tensor.data).unwrap_or_default();
        items.moments = Moments::from_data(ratings.n_items(), order + 1, moments)
            .ok_or_else(|| unusable("`item_moments` has another size"))?;
    } else {
        let mut random = Random::new(child_seed(seed, "initial factors"));
        let mut first = vec![0.0; ratings.n_items() * order];
        for row in first.chunks_exact_mut(order) {
            row[..order - 1].iter_mut().for_each(|x| *x = (random.normal() * config.initial_noise) as f32);
        }
        items.set_certain(&first);
    }

    for iteration in done..config.iterations {
        let weight = (1.0 / noise) as f32;
        let with_precision = iteration >= ITERATIONS_BEFORE_PRECISIONS;
        let summary = half_step(
            &mut users,
            &items,
            &scaled.by_user,
            &for_users.means,
            &for_users.prior.precision,
            weight,
        );
        for_users.learn(&users, &summary, &scaled.by_user, with_precision);
        let summary = half_step(
            &mut items,
            &users,
            &scaled.by_item,
            &for_items.means,
            &for_items.prior.precision,
            weight,
        );
        for_items.learn(&items, &summary, &scaled.by_item, with_precision);
        noise = summary.residual / ratings.len() as f64;
        if !noise.is_finite() {
            return Err(FitError::Diverged {
                model: LfgBayes::NAME,
                epoch: iteration + 1,
                what: "the variance of the noise",
            });
        }
        // Without any noise the weight of a rating would be infinite.
        noise = noise.max(1e-6);
        let epoch = Epoch {
            number: iteration + 1,
            of: config.iterations,
            train_rmse: Some(noise.sqrt() * scaled.deviation),
            validation_rmse: None,
        };
        ctx.epoch_done(epoch, || {
            let mut state = TrainState { epochs: iteration + 1, ..TrainState::default() };
            for_users.put("user", &mut state);
            for_items.put("item", &mut state);
            state.numbers.insert("noise".to_owned(), noise);
            let shape = [ratings.n_items(), items.stride];
            state.tensors.insert("item_means".to_owned(), Tensor::new(shape, items.means.clone()));
            let moments = items.moments.data().to_vec();
            state.tensors.insert("item_moments".to_owned(), Tensor::new([moments.len()], moments));
            state
        })?;
    }

    let used = Used {
        user_side: whole.sparse_width() > 0,
        item_side: item_design.sparse_width() > 0,
        cooccurrence: sizes.cooccurrence,
    };
    let posterior = Posterior::of(&items, scaled.deviation as f32);
    let deviation = scaled.deviation as f32;
    let Prior { mut weights, mut precision } = for_users.prior;
    weights.iter_mut().for_each(|x| *x *= deviation);
    precision.iter_mut().for_each(|x| *x /= deviation * deviation);
    Ok(LfgBayesModel::new(
        posterior,
        scaled.mean as f32,
        ratings.feedback(),
        (noise * scaled.deviation * scaled.deviation) as f32,
        Prior { weights, precision },
        whole.sparse_width(),
        history,
        used,
    ))
}
