//! The fit: users and items in turn, then what the priors and the noise learn from them.

use foldin_core::parallel::chunked_sum;
use foldin_core::random::{Random, child_seed};
use foldin_core::{
    Csr, Epoch, Features, FitContext, FitError, Interactions, ModelFamily, TrainState, TrainingData,
};
use foldin_nn::gaussian::{Moments, packed_len};
use foldin_nn::kernel;
use foldin_nn::kernels::dot_in;

use super::LfgBayes;
use super::by_count::CountPriors;
use super::config::{LfgBayesConfig, Sizes};
use super::history::HistoryFeatures;
use super::model::{Inputs, LfgBayesModel, Parameters};
use super::prior::Prior;
use super::step::{Given, Side, Summary};
use crate::item_design::{Design, ItemDesign};
use crate::linear::explicit_ratings;
use crate::regression::{FEATURES, Regression};
use crate::resume;

/// Share of the ratings' variance that is taken for noise before the first iteration.
const INITIAL_NOISE_SHARE: f64 = 0.64;

/// Least share of the ratings' variance that is noise: without any, the weight of a rating would be infinite.
const LEAST_NOISE_SHARE: f64 = 1e-6;

/// Precision of every prior, in units of the ratings' own, until it is learned.
const INITIAL_PRECISION: f32 = 1.0;

/// Whole iterations before precisions are learned: the first posteriors are mostly the random start.
const ITERATIONS_BEFORE_PRECISIONS: usize = 2;

/// Ratings in units of their standard deviation, so that no setting depends on the scale.
struct Standardised {
    deviation: f64,
    by_user: Csr,
    by_item: Csr,
}

impl Standardised {
    fn of(ratings: &Interactions) -> Self {
        let mean = ratings.mean();
        let values = ratings.by_user().values();
        let squares = chunked_sum(values.len(), 1 << 16, |range| {
            values[range].iter().map(|&x| (f64::from(x) - mean).powi(2)).sum()
        });
        // Without any variance everything is the mean; any unit will do.
        let deviation = if squares > 0.0 { (squares / values.len() as f64).sqrt() } else { 1.0 };
        let scaled = |csr: &Csr| {
            let values = csr.values().iter().map(|&r| ((f64::from(r) - mean) / deviation) as f32).collect();
            Csr::from_parts(csr.n_cols(), csr.offsets().to_vec(), csr.columns().to_vec(), values)
                .expect("a copy of a valid matrix with other values")
        };
        Self { deviation, by_user: scaled(ratings.by_user()), by_item: scaled(ratings.by_item()) }
    }
}

/// One side: posteriors, prior, and how the prior is learned.
struct Learner {
    name: &'static str,
    design: Design,
    regression: Regression,
    prior: Prior,
    prior_means: Vec<f32>,
    side: Side,
}

impl Learner {
    fn new(
        name: &'static str,
        design: Design,
        ratings: &Csr,
        ridge: f64,
        order: usize,
    ) -> Result<Self, FitError> {
        let prior = Prior::flat(design.width(), order, INITIAL_PRECISION);
        // The first dense column is the constant.
        let gram = design.gram(|row| ratings.row_len(row) > 0);
        let regression = Regression::new(LfgBayes::NAME, FEATURES, gram, ridge, Some(design.sparse_width()))?;
        let prior_means = prior.means(&design);
        let side = Side::zeros(design.n_rows(), order);
        Ok(Self { name, design, regression, prior, prior_means, side })
    }

    /// Half an iteration: posteriors given the other side, then the prior given the posteriors.
    fn update(&mut self, other: &Side, ratings: &Csr, noise: f64, with_precision: bool) -> Summary {
        let given = Given {
            other,
            lists: ratings,
            prior_means: &self.prior_means,
            precision: &self.prior.precision,
            weight: (1.0 / noise) as f32,
        };
        let summary = given.update(&mut self.side);
        let rated = |row: usize| ratings.row_len(row) > 0;
        let means = self.side.own_means();
        let order = self.side.order;
        self.prior.weights =
            self.regression.solve(&self.design.transposed_product(&means, order, rated), order);
        self.prior_means = self.prior.means(&self.design);
        if with_precision {
            let count = summary.rated as f64;
            self.prior.learn_precision(&means, &self.prior_means, &summary.variance, count, rated);
        }
        summary
    }

    fn put_prior(&self, state: &mut TrainState) {
        let Prior { weights, precision } = &self.prior;
        let mut put = |what, shape: &[usize], data: &[f32]| {
            resume::keep(state, format!("{}_{what}", self.name), shape, data);
        };
        put("prior_weights", &[self.design.width(), precision.len()], weights);
        put("prior_precision", &[precision.len()], precision);
    }

    fn take_prior(&mut self, state: &mut TrainState) -> Result<(), FitError> {
        let shape = [self.design.width(), self.side.order];
        self.prior.weights = resume::take(state, &format!("{}_prior_weights", self.name), shape)?;
        self.prior.precision = resume::take(state, &format!("{}_prior_precision", self.name), &shape[1..])?;
        self.prior_means = self.prior.means(&self.design);
        Ok(())
    }
}

/// All that changes from one iteration to the next.
struct Trainer {
    ratings: Standardised,
    users: Learner,
    items: Learner,
    /// Variance of the noise, in units of the ratings' variance.
    noise: f64,
}

impl Trainer {
    /// Random factors of the items, everything else nought.
    fn start(&mut self, deviation: f64, seed: u64) {
        let mut random = Random::new(child_seed(seed, "initial factors"));
        let order = self.items.side.order;
        let mut first = vec![0.0; self.items.design.n_rows() * order];
        for row in first.chunks_exact_mut(order) {
            row[..order - 1].iter_mut().for_each(|x| *x = (random.normal() * deviation) as f32);
        }
        self.items.side.set_certain(&first);
        self.noise = INITIAL_NOISE_SHARE;
    }

    fn update_users(&mut self, with_precision: bool) {
        self.users.update(&self.items.side, &self.ratings.by_user, self.noise, with_precision);
    }

    fn iterate(&mut self, with_precision: bool) {
        self.update_users(with_precision);
        let summary = self.items.update(&self.users.side, &self.ratings.by_item, self.noise, with_precision);
        self.noise = (summary.residual / self.ratings.by_item.n_entries() as f64).max(LEAST_NOISE_SHARE);
    }

    /// RMSE on the training ratings at the posterior means, in the unit of the ratings; of every n-th user where there are many.
    /// The noise is more than that: it expects the errors of all factors that the posteriors hold possible.
    fn train_rmse(&self) -> f64 {
        let ratings = &self.ratings.by_user;
        let every = ratings.n_entries().div_ceil(ERRORS_WATCHED);
        mean_squared_error(&self.users.side, &self.items.side, ratings, every).sqrt() * self.ratings.deviation
    }

    /// The posteriors of the users are the first thing that the next iteration makes anew, so they are not kept.
    fn state(&self, epochs: usize, ratings: &Interactions) -> TrainState {
        let mut state = resume::state_of(epochs, ratings);
        self.users.put_prior(&mut state);
        self.items.put_prior(&mut state);
        state.numbers.insert("noise".to_owned(), self.noise);
        let Side { moments, means, stride, .. } = &self.items.side;
        resume::keep(&mut state, "item_means".to_owned(), [moments.n_rows(), *stride], means);
        resume::keep(&mut state, "item_moments".to_owned(), [moments.data().len()], moments.data());
        state
    }

    fn resume(&mut self, mut state: TrainState, ratings: &Interactions) -> Result<usize, FitError> {
        resume::check_ratings(&state, ratings)?;
        self.users.take_prior(&mut state)?;
        self.items.take_prior(&mut state)?;
        self.noise = resume::number(&state, "noise")?;
        let side = &mut self.items.side;
        let n = side.moments.n_rows();
        side.means = resume::take(&mut state, "item_means", [n, side.stride])?;
        let len = side.moments.data().len();
        let moments = resume::take(&mut state, "item_moments", [len])?;
        side.moments = Moments::from_data(n, side.order + 1, moments)
            .ok_or_else(|| resume::unfit("its `item_moments` has another size"))?;
        Ok(state.epochs)
    }
}

pub(super) fn fit(
    config: &LfgBayesConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<LfgBayesModel, FitError> {
    let ratings = explicit_ratings(LfgBayes::NAME, data)?;
    let Sizes { factors, cooccurrence } = config.sizes(ratings.len());
    let order = factors + 1;
    let seed = child_seed(ctx.seed, LfgBayes::NAME);

    ctx.progress.stage("features of users and items");
    let item_design =
        ItemDesign { constant: true, side_information: config.item_side, cooccurrence }.build(data, seed);
    // After the constant and popularity; where there are few items, not all that was asked for exists.
    let cooccurrence = item_design.used_columns(2);
    let history = HistoryFeatures::learn(ratings, config.user_implicit_features, seed);
    let user_side = side_rows(data.user_features, config.user_side);
    let user_design = history.design(ratings.by_user(), user_side.clone());
    let scaled = Standardised::of(ratings);
    let mut trainer = Trainer {
        users: Learner::new("user", user_design, &scaled.by_user, config.ridge, order)?,
        items: Learner::new("item", item_design, &scaled.by_item, config.ridge, order)?,
        ratings: scaled,
        noise: 0.0,
    };
    let done = match ctx.resume()? {
        Some(state) => trainer.resume(state, ratings)?,
        None => {
            trainer.start(config.initial_noise, seed);
            0
        }
    };
    for iteration in done..config.iterations {
        trainer.iterate(iteration >= ITERATIONS_BEFORE_PRECISIONS);
        let number = iteration + 1;
        if !trainer.noise.is_finite() {
            let what = "the variance of the noise";
            return Err(FitError::Diverged { model: LfgBayes::NAME, epoch: number, what });
        }
        let train_rmse = Some(trainer.train_rmse());
        let epoch = Epoch { number, of: config.iterations, train_rmse, ..Epoch::default() };
        ctx.epoch_done(epoch, || trainer.state(number, ratings))?;
    }

    ctx.progress.stage("priors by number of ratings");
    trainer.update_users(true);
    let Trainer { users, items, noise, ratings: Standardised { deviation, .. } } = trainer;
    let mut priors = CountPriors::learn(
        ratings.by_user(),
        &user_side,
        &history,
        &users.side,
        users.prior,
        config.ridge,
        config.subsampled_histories,
        seed,
    )?;
    let unit = deviation as f32;
    priors.scale(unit);
    let (mut means, mut covariances) = (items.side.own_means(), items.side.own_covariances());
    scale_biases(&mut means, &mut covariances, order, unit);
    let inputs = Inputs {
        user_side: used_fields(data.user_features, config.user_side),
        item_side: used_fields(data.item_features, config.item_side),
        cooccurrence,
        user_side_width: user_side.n_cols(),
    };
    Ok(LfgBayesModel::new(Parameters {
        order,
        mean: ratings.mean() as f32,
        feedback: ratings.feedback(),
        noise: noise as f32 * unit * unit,
        means,
        covariances,
        scales: None,
        priors,
        history,
        inputs,
    }))
}

/// Training ratings that the train RMSE is taken of, about. All of MovieLens 1M's would cost 2.5 % of an iteration, and say the
/// same in the first three digits.
const ERRORS_WATCHED: usize = 250_000;

/// Rows whose errors are summed as one chunk.
const ERROR_CHUNK: usize = 64;

/// Mean of the squared errors at the posterior means of both sides, over the ratings of every `every`-th row that has any.
pub(super) fn mean_squared_error(own: &Side, other: &Side, ratings: &Csr, every: usize) -> f64 {
    let (k, stride) = (own.order - 1, own.stride);
    let rated = (0..ratings.n_rows()).filter(|&row| ratings.row_len(row) > 0);
    let watched: Vec<usize> = rated.step_by(every.max(1)).collect();
    let n: usize = watched.iter().map(|&row| ratings.row_len(row)).sum();
    let squares = chunked_sum(watched.len(), ERROR_CHUNK, |rows| {
        let mut row_of_own = vec![0.0; stride];
        watched[rows]
            .iter()
            .map(|&row| {
                row_of_own.copy_from_slice(&own.means[row * stride..(row + 1) * stride]);
                // The own constant meets the other's bias, and the own bias the other's constant.
                row_of_own.swap(k, k + 1);
                let (columns, values) = ratings.row(row);
                squared_error_of_row(&row_of_own, columns, values, &other.means)
            })
            .sum()
    });
    squares / n.max(1) as f64
}

kernel! {
    /// `Σ (own·others[column] − value)²`.
    fn squared_error_of_row(simd, own: &[f32], columns: &[u32], values: &[f32], others: &[f32]) -> f64 {
        let stride = own.len();
        let mut squares = 0.0;
        for (&column, &value) in columns.iter().zip(values) {
            let from = column as usize * stride;
            let error = f64::from(dot_in(simd, own, &others[from..from + stride]) - value);
            squares += error * error;
        }
        squares
    }
}

/// Puts the items into the unit of the ratings: of their factors and biases only the biases carry one, since the users'
/// factors take it up.
fn scale_biases(means: &mut [f32], covariances: &mut [f32], order: usize, unit: f32) {
    means.chunks_exact_mut(order).for_each(|row| row[order - 1] *= unit);
    for row in covariances.chunks_exact_mut(packed_len(order)) {
        row[packed_len(order - 1)..].iter_mut().for_each(|x| *x *= unit);
        row[packed_len(order) - 1] *= unit;
    }
}

fn side_rows(features: &Features, used: bool) -> Csr {
    if used { features.rows().clone() } else { Csr::empty(features.n_rows(), 0) }
}

/// Names of the fields of side information that were used.
fn used_fields(features: &Features, used: bool) -> Vec<String> {
    let fields = features.schema().fields();
    if used { fields.iter().map(|field| field.name.clone()).collect() } else { Vec::new() }
}
