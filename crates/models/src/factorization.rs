//! What `svd`, `funk-svd` and `bias-svd` have in common: settings, a start, the descent, and the users' side afterwards. `svd++` begins
//! in the same way.
//!
//! Ratings are learned in units of a quarter of their scale, so that learning rates and shrinkage mean the same whether ratings
//! run from 1 to 5, in half stars or from −10 to 10; what is learned is put back into the data's own units at the end.

use foldin_core::random::{Random, child_seed};
use foldin_core::{
    Auto, Csr, FitContext, FitError, Interactions, ItemFactors, ModelConfig, TrainingData, UserView,
};
use foldin_nn::svd::truncated_svd;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fold_in::{Ridge, mean_row};
use crate::linear::{Family, LinearFactors, UserFactors, explicit_ratings};
use crate::sgd::{Descent, Learned, Side, descend_from};

/// Where the descent begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// Truncated SVD of the rating matrix with 0 for what is not rated (one step of the unit below the lowest rating): who rated
    /// what is in it too.
    FilledSvd,
    /// Truncated SVD of the ratings less their mean, with 0 for what is not rated.
    CentredSvd,
    /// Normal random numbers.
    Random,
}

/// Settings of `svd`, `funk-svd` and `bias-svd`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FactorizationConfig {
    /// Number of factors.
    #[schemars(range(min = 1, max = 1024))]
    #[schemars(extend("search" = "log-integers:8:128"))]
    pub factors: usize,
    /// Where the descent begins.
    pub start: Start,
    /// What the start is multiplied by: √S·U and √S·V of an SVD, or the standard deviation of random factors.
    #[schemars(range(min = 0.0, max = 10.0))]
    pub start_scale: f32,
    /// Passes over the ratings, at most.
    #[schemars(range(min = 0, max = 10000))]
    pub epochs: usize,
    /// Step of the first epoch.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    #[schemars(extend("search" = "log:0.002:0.1"))]
    pub learning_rate: f32,
    /// Factor on the step from one epoch to the next.
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub learning_rate_decay: f32,
    /// Shrinkage of factors with each rating. The more ratings there are, the less is needed: `auto` is the model's value for
    /// 100,000 ratings times `(100000 / n)^0.2`, with n between 10,000 and 100 million.
    #[schemars(range(min = 0.0, max = 10.0))]
    #[schemars(extend("search" = "log:0.01:0.3"))]
    pub regularization: Auto<f32>,
    /// Shrinkage of biases with each rating; without effect on a model without biases.
    #[schemars(range(min = 0.0, max = 10.0))]
    #[schemars(extend("search" = "log:0.001:0.1"))]
    pub bias_regularization: f32,
    /// Ridge on the factors of a user who is folded in, for a factor of average variance among the training users; the
    /// ridge on each factor is inversely proportional to its variance.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub fold_in_ridge: f32,
    /// Ridge on the bias of a user who is folded in; without effect on a model without biases.
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub fold_in_bias_ridge: f32,
    /// Whether, after the descent, the factors of the training users are solved for exactly, as a new user's are.
    pub refit_users: bool,
    /// Share of each user's ratings held out to stop early; 0 runs all epochs on all ratings.
    #[schemars(range(min = 0.0, max = 0.5))]
    pub validation_fraction: f64,
    /// Epochs without improvement of the held-out part after which to stop.
    #[schemars(range(min = 1))]
    pub patience: usize,
}

impl Default for FactorizationConfig {
    fn default() -> Self {
        Self {
            factors: 50,
            start: Start::FilledSvd,
            start_scale: 0.3,
            epochs: 40,
            learning_rate: 0.007,
            learning_rate_decay: 0.96,
            regularization: Auto::Auto,
            bias_regularization: 0.03,
            fold_in_ridge: 6.0,
            fold_in_bias_ridge: 5.0,
            refit_users: true,
            validation_fraction: 0.0,
            patience: 5,
        }
    }
}

impl ModelConfig for FactorizationConfig {}

/// How one of the models differs from the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Form {
    /// Whether users and items have biases.
    pub(crate) biases: bool,
    /// Whether the mean is a part of every prediction, so that factors explain only what differs from it.
    pub(crate) centred: bool,
    /// Shrinkage of factors for 100,000 ratings.
    pub(crate) regularization: f32,
}

/// A shrinkage for `n` ratings, given that for 100,000: the more there are, the less is needed. Chosen on parts of the training
/// ratings of MovieLens 100K and 1M.
pub(crate) fn regularization_for(of_100_000: f32, n: usize) -> f32 {
    of_100_000 * (100_000.0 / n.clamp(10_000, 100_000_000) as f32).powf(0.2)
}

/// A unit of ratings that makes scales alike, and the point that counts as nought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unit {
    pub(crate) length: f32,
    pub(crate) origin: f32,
}

impl Unit {
    pub(crate) fn of(ratings: &Interactions, centred: bool) -> Self {
        let scale = ratings.feedback().scale();
        let length = scale.map_or(1.0, |scale| (scale.max - scale.min) / 4.0);
        let length = if length > 0.0 && length.is_finite() { length } else { 1.0 };
        let filled = scale.map_or(0.0, |scale| scale.min - length);
        Self { length, origin: if centred { ratings.mean() as f32 } else { filled } }
    }
}

/// Fits one of the models.
pub(crate) fn fit(
    family: Family,
    form: Form,
    config: &FactorizationConfig,
    data: &TrainingData<'_>,
    ctx: &FitContext<'_>,
) -> Result<LinearFactors, FitError> {
    let ratings = explicit_ratings(family.name, data)?;
    let unit = Unit::of(ratings, form.centred);
    let descent = Descent {
        model: family.name,
        biases: form.biases,
        epochs: config.epochs,
        learning_rate: config.learning_rate,
        learning_rate_decay: config.learning_rate_decay,
        regularization: config
            .regularization
            .or_else(|| regularization_for(form.regularization, ratings.len())),
        bias_regularization: config.bias_regularization,
        origin: unit.origin,
        unit: unit.length,
        validation_fraction: config.validation_fraction,
        patience: config.patience,
    };
    let mut learned = descend_from(|train| begin(config, form, train, ctx), &descent, ratings, ctx)?;
    fill_unrated(&mut learned.users, ratings.by_user());
    fill_unrated(&mut learned.items, ratings.by_item());
    for bias in learned.users.bias.iter_mut().chain(&mut learned.items.bias).chain(&mut learned.items.factors)
    {
        *bias *= unit.length;
    }
    // A ridge of λ in the unit of learning is λ·unit² once items' factors are in the data's own.
    let square = unit.length * unit.length;
    let ridge = Ridge { factors: square * config.fold_in_ridge, bias: config.fold_in_bias_ridge };
    let fold_in = ridge.fold_in(&learned.users, learned.k);
    let zero_if_none = |bias: Vec<f32>, n: usize| if bias.is_empty() { vec![0.0; n] } else { bias };
    let items = ItemFactors {
        k: learned.k,
        m: learned.items.factors,
        bias: zero_if_none(learned.items.bias, ratings.n_items()),
        mean: unit.origin,
    };
    let users = if config.refit_users {
        // As new users: what was learned of them is not looked at.
        let views: Vec<UserView<'_>> =
            ratings_of(ratings).map(|(items, values)| UserView::new(items, values)).collect();
        let solved = fold_in.generate(&items, &views).map_err(|_| FitError::Diverged {
            model: family.name,
            epoch: descent.epochs,
            what: "the factors of a user",
        })?;
        UserFactors { u: solved.u, bias: solved.bias }
    } else {
        let bias = zero_if_none(learned.users.bias, ratings.n_users());
        UserFactors { u: learned.users.factors, bias }
    };
    Ok(LinearFactors::new(family, items, ratings.feedback()).with_users(fold_in, Some(users)))
}

fn ratings_of(ratings: &Interactions) -> impl Iterator<Item = (&[u32], &[f32])> {
    let by_user = ratings.by_user();
    (0..by_user.n_rows()).map(|user| by_user.row(user))
}

/// The descent's start.
fn begin(config: &FactorizationConfig, form: Form, train: &Interactions, ctx: &FitContext<'_>) -> Learned {
    let (users, items) = first_factors(config.start, config.start_scale, config.factors, train, ctx);
    let side = |factors, n: usize| Side { factors, bias: vec![0.0; if form.biases { n } else { 0 }] };
    Learned { k: config.factors, users: side(users, train.n_users()), items: side(items, train.n_items()) }
}

/// Factors of users and items to begin with, in the unit of learning.
pub(crate) fn first_factors(
    start: Start,
    scale: f32,
    k: usize,
    train: &Interactions,
    ctx: &FitContext<'_>,
) -> (Vec<f32>, Vec<f32>) {
    match start {
        Start::Random => {
            ctx.progress.stage("random start");
            let mut random = Random::new(child_seed(ctx.seed, "start"));
            let mut draw = |n: usize| (0..n).map(|_| random.normal() as f32 * scale).collect();
            (draw(train.n_users() * k), draw(train.n_items() * k))
        }
        Start::FilledSvd | Start::CentredSvd => {
            ctx.progress.stage("truncated SVD");
            let unit = Unit::of(train, start == Start::CentredSvd);
            let svd = truncated_svd(train.by_user(), unit.origin, k, ctx.seed);
            let roots: Vec<f32> = svd.s.iter().map(|s| (s / unit.length).sqrt() * scale).collect();
            let scaled = |vectors: &[f32]| {
                vectors
                    .chunks_exact(k)
                    .flat_map(|row| row.iter().zip(&roots).map(|(x, root)| x * root))
                    .collect()
            };
            (scaled(&svd.u), scaled(&svd.v))
        }
    }
}

/// Gives those without any rating, of whom nothing was learned, the mean of those with.
pub(crate) fn fill_unrated(side: &mut Side, ratings: &Csr) {
    let n = ratings.n_rows();
    let k = side.factors.len() / n.max(1);
    let mean = mean_row(side, k, |row| ratings.row_len(row) > 0);
    for row in (0..n).filter(|&row| ratings.row_len(row) == 0) {
        let values = side.factors[row * k..(row + 1) * k].iter_mut().chain(side.bias.get_mut(row));
        mean.iter().zip(values).for_each(|(&mean, x)| *x = mean);
    }
}
