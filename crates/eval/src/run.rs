//! One model in one fold: fit it, predict, measure.

use std::sync::{Mutex, PoisonError};

use foldin_core::parallel::chunked;
use foldin_core::random::numbered_seed;
use foldin_core::{
    Dataset, Epoch, FitContext, FitError, ItemId, Progress, Recommender, ScoreError, TrainingData, UserId,
    UserView, top_k,
};
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::fold::{Fold, TestSet};
use crate::machine::{MemoryWatch, Peak};
use crate::metrics::{coverage, mae, rmse};
use crate::options::{EvalObserver, EvalOptions, GivenRatings, Job, ModelRequest, NewUserMode};
use crate::ranking::{RankError, Task, measure};
use crate::report::CurvePoint;
use crate::statistics::median;

/// Nominal probabilities of the intervals whose coverage is reported.
const LEVELS: [f64; 3] = [0.5, 0.8, 0.95];
/// Users predicted at once.
const BATCH: usize = 256;
/// Users timed one at a time, and the seconds after which no further one is begun, for each thing that is timed.
const TIMED: usize = 200;
const TIMED_SECONDS: f64 = 1.0;

/// A figure, and where it is a mean over users what it is the mean of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// In order of the tested users; empty where users have no figure of their own.
    pub(crate) by_user: Vec<f64>,
    /// The figure of each fit, if there were several.
    pub(crate) fits: Vec<f64>,
}

impl Figure {
    fn new(name: String, value: f64) -> Self {
        Self { name, value, ..Self::default() }
    }
}

/// A fitted model and what fitting it took.
#[derive(Debug)]
pub(crate) struct Fitted {
    model: Box<dyn Recommender>,
    seconds: f64,
    peak: Option<Peak>,
    curve: Vec<CurvePoint>,
}

/// What a job found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) metrics: Vec<Figure>,
    /// Ratings given, nominal probability, share of test ratings covered.
    pub(crate) covered: Vec<(Option<String>, f64, f64)>,
    pub(crate) cannot: Option<String>,
    pub(crate) seconds: f64,
    pub(crate) peak: Option<Peak>,
    pub(crate) curve: Vec<CurvePoint>,
    /// The best epoch of each fit by what it held out, of fits that hold something out.
    pub(crate) best_epochs: Vec<usize>,
    pub(crate) seconds_per_user: Option<(f64, String)>,
    /// What new users give, and the seconds from that to the list of one of them.
    pub(crate) seconds_per_list: Vec<(String, f64)>,
    pub(crate) notes: Vec<String>,
}

/// What every step of a job needs.
#[derive(Clone, Copy)]
pub(crate) struct Runner<'a> {
    pub(crate) data: &'a Dataset,
    pub(crate) options: &'a EvalOptions,
    pub(crate) observer: &'a dyn EvalObserver,
    pub(crate) job: &'a Job,
    pub(crate) request: &'a ModelRequest,
}

/// The seed of a fit (the first is 0) in a fold (from 0): the same for every model, so that two requests of one model agree.
pub(crate) fn fit_seed(seed: u64, fold: usize, fit: usize) -> u64 {
    let of_fold = numbered_seed(seed, "fit", fold as u64 + 1);
    if fit == 0 { of_fold } else { numbered_seed(of_fold, "fit again", fit as u64) }
}

/// Keeps the learning curve and passes everything on.
struct Listener<'a> {
    observer: &'a dyn EvalObserver,
    job: &'a Job,
    curve: Mutex<Vec<CurvePoint>>,
}

impl Progress for Listener<'_> {
    fn stage(&self, name: &str) {
        self.observer.stage(self.job, name);
    }

    fn epoch(&self, epoch: Epoch) {
        self.curve.lock().unwrap_or_else(PoisonError::into_inner).push(epoch.into());
        self.observer.epoch(self.job, epoch);
    }
}

impl Runner<'_> {
    /// Fits the model of the request.
    pub(crate) fn fit(&self, training: &TrainingData<'_>, seed: u64) -> Result<Fitted, EvalError> {
        if self.options.cancel.is_cancelled() {
            return Err(EvalError::Cancelled);
        }
        // Every model of the fold shares this; it must not count as work of the first one that asks.
        let _ = training.interactions.by_item();
        self.observer.fit_started(self.job);
        let listener = Listener { observer: self.observer, job: self.job, curve: Mutex::default() };
        let ctx =
            FitContext { seed, progress: &listener, cancel: self.options.cancel.clone(), checkpoints: None };
        let watch = MemoryWatch::start();
        let start = self.options.clock.seconds();
        let fitted = self.request.entry.fit(&self.request.settings, training, &ctx);
        let seconds = self.options.clock.seconds() - start;
        let model = fitted.map_err(|source| match source {
            FitError::Cancelled { .. } => EvalError::Cancelled,
            source => EvalError::Fit {
                label: self.request.label.clone(),
                fold: self.job.fold.clone(),
                source: Box::new(source),
            },
        })?;
        let peak = watch.and_then(|watch| watch.peak());
        self.observer.fit_done(self.job, seconds);
        let curve = listener.curve.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Fitted { model, seconds, peak, curve })
    }

    /// Tests a model that was fitted on the fold's training part.
    pub(crate) fn test(&self, fold: &Fold<'_>, fitted: &Fitted) -> Result<Outcome, EvalError> {
        let mut outcome = Outcome::of(fitted);
        let columns = self.options.protocol.columns();
        let new_users = self.options.protocol.tests_new_users();
        let silent = new_users && self.request.new_users == NewUserMode::NoHistory;
        if new_users {
            for &given in columns {
                // Nothing given is the same in every column.
                let views = fold.views(if silent { GivenRatings::First(0) } else { given });
                self.measure(fold, &views, fitted, Some(given), &mut outcome)?;
                if self.options.protocol.ranks() && !silent {
                    let seconds = self.time_lists(fold, &views, fitted.model.as_ref())?;
                    outcome.seconds_per_list.extend(seconds.map(|seconds| (given.to_string(), seconds)));
                }
            }
        } else {
            self.measure(fold, &fold.views(GivenRatings::All), fitted, None, &mut outcome)?;
        }
        if !silent {
            outcome.seconds_per_user = self.time_users(fold, fitted.model.as_ref())?;
        }
        Ok(outcome)
    }

    /// Fits and tests with the new users' ratings among the training ratings.
    pub(crate) fn retrain(&self, fold: &Fold<'_>, seed: u64) -> Result<Outcome, EvalError> {
        let columns: &[GivenRatings] = match self.request.new_users {
            NewUserMode::RetrainEach => self.options.protocol.columns(),
            NewUserMode::RetrainAll | NewUserMode::History | NewUserMode::NoHistory => &[GivenRatings::All],
        };
        let mut outcome = Outcome::default();
        for &given in columns {
            let (train, user_features) = fold.retraining(given);
            let training = TrainingData {
                interactions: &train,
                user_features: &user_features,
                item_features: &self.data.item_features,
            };
            let fitted = self.fit(&training, seed)?;
            let earlier = std::mem::take(&mut outcome);
            // Times and curves are those of the last column, which is that of all ratings.
            outcome = Outcome { metrics: earlier.metrics, covered: earlier.covered, ..Outcome::of(&fitted) };
            self.measure(fold, &fold.retrained_views(given), &fitted, Some(given), &mut outcome)?;
        }
        Ok(outcome)
    }

    fn measure(
        &self,
        fold: &Fold<'_>,
        views: &[UserView<'_>],
        fitted: &Fitted,
        given: Option<GivenRatings>,
        outcome: &mut Outcome,
    ) -> Result<(), EvalError> {
        if self.options.cancel.is_cancelled() {
            return Err(EvalError::Cancelled);
        }
        if outcome.cannot.is_some() {
            return Ok(());
        }
        let (model, test) = (fitted.model.as_ref(), fold.test.as_ref());
        if self.options.protocol.ranks() {
            return self.rank(fold, views, model, given, outcome);
        }
        let predicted = match predict(model, views, test) {
            Ok(predicted) => predicted,
            Err(error @ ScoreError::NewUser { .. }) => {
                outcome.cannot = Some(error.to_string());
                return Ok(());
            }
            Err(source) => return Err(self.score_error(source)),
        };
        self.check_finite(test, &predicted, "prediction")?;
        let given = given.map(|given| given.to_string());
        let name = |metric: &str| match &given {
            Some(given) => format!("{metric}@{given}"),
            None => metric.to_owned(),
        };
        let rmse = rmse(&predicted, &test.values);
        outcome.metrics.extend(rmse.map(|value| Figure::new(name("rmse"), value)));
        if given.is_none() {
            let mae = mae(&predicted, &test.values);
            outcome.metrics.extend(mae.map(|value| Figure::new(name("mae"), value)));
        }
        if model.capabilities().uncertainty {
            let (mean, variance) =
                predict_with_variance(model, views, test).map_err(|source| self.score_error(source))?;
            self.check_finite(test, &mean, "prediction")?;
            self.check_finite(test, &variance, "predictive variance")?;
            outcome.covered.extend(LEVELS.iter().filter_map(|&level| {
                coverage(&mean, &variance, &test.values, level).map(|share| (given.clone(), level, share))
            }));
        }
        Ok(())
    }

    /// Ranks for the tested users and measures the lists.
    fn rank(
        &self,
        fold: &Fold<'_>,
        views: &[UserView<'_>],
        model: &dyn Recommender,
        given: Option<GivenRatings>,
        outcome: &mut Outcome,
    ) -> Result<(), EvalError> {
        let test = &fold.test;
        let items = |user: usize| &test.items[test.offsets[user]..test.offsets[user + 1]];
        let task = Task {
            views: views.to_vec(),
            seen: fold.seen.iter().map(Vec::as_slice).collect(),
            relevant: (0..views.len()).map(|user| items(user).iter().map(|item| item.0).collect()).collect(),
        };
        let training = fold.training_data();
        let measured = match measure(model, &task, training.interactions, &self.options.cutoffs) {
            Ok(measured) => measured,
            Err(RankError::Score(error @ ScoreError::NewUser { .. })) => {
                outcome.cannot = Some(error.to_string());
                return Ok(());
            }
            Err(RankError::Score(source)) => return Err(self.score_error(source)),
            Err(RankError::NotFinite { user, item }) => {
                return Err(self.not_finite("score", test.users[user], ItemId(item)));
            }
        };
        outcome.metrics.extend(measured.into_iter().map(|measured| Figure {
            name: given.map_or_else(|| measured.name.clone(), |given| format!("{}/{given}", measured.name)),
            value: measured.value,
            by_user: measured.by_user,
            fits: Vec::new(),
        }));
        Ok(())
    }

    fn score_error(&self, source: ScoreError) -> EvalError {
        EvalError::Score { label: self.request.label.clone(), fold: self.job.fold.clone(), source }
    }

    fn check_finite(&self, test: &TestSet, values: &[f32], what: &'static str) -> Result<(), EvalError> {
        let Some(at) = values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        Err(self.not_finite(what, test.user_of(at), test.items[at]))
    }

    fn not_finite(&self, what: &'static str, user: UserId, item: ItemId) -> EvalError {
        EvalError::NotFinite {
            label: self.request.label.clone(),
            fold: self.job.fold.clone(),
            what,
            user: self.data.users.key(user.0).unwrap_or_default().to_owned(),
            item: self.data.items.key(item.0).unwrap_or_default().to_owned(),
        }
    }

    /// Median seconds to generate one user, and what was timed; `None` for a model that serves no new users.
    fn time_users(
        &self,
        fold: &Fold<'_>,
        model: &dyn Recommender,
    ) -> Result<Option<(f64, String)>, EvalError> {
        let views = fold.views(GivenRatings::All);
        let mut scores = vec![0f32; model.n_items()];
        let generator = model.as_generator();
        let what = if generator.is_some() { "factors" } else { "scores" };
        let seconds = self.time(&views, model, |_, view| match generator {
            Some(generator) => generator.generate(view).map(|factors| drop(std::hint::black_box(factors))),
            None => model.score(view, std::hint::black_box(&mut scores)),
        })?;
        Ok(seconds.map(|seconds| (seconds, what.to_owned())))
    }

    /// Median seconds from what one user gives to the longest list that is measured; `None` for a model that serves no new users.
    fn time_lists(
        &self,
        fold: &Fold<'_>,
        views: &[UserView<'_>],
        model: &dyn Recommender,
    ) -> Result<Option<f64>, EvalError> {
        let places = self.options.cutoffs.iter().copied().max().unwrap_or(0);
        let mut scores = vec![0f32; model.n_items()];
        self.time(views, model, |user, view| {
            model.score(view, &mut scores)?;
            drop(std::hint::black_box(top_k(&scores, places, &fold.seen[user])));
            Ok(())
        })
    }

    /// Median seconds that `serve` takes, one user at a time, of users spread evenly; `None` for a model that serves no new users.
    fn time(
        &self,
        views: &[UserView<'_>],
        model: &dyn Recommender,
        mut serve: impl FnMut(usize, &[UserView<'_>]) -> Result<(), ScoreError>,
    ) -> Result<Option<f64>, EvalError> {
        if !model.capabilities().new_users {
            return Ok(None);
        }
        let clock = &self.options.clock;
        let mut seconds = Vec::with_capacity(TIMED);
        let begin = clock.seconds();
        for (user, view) in views.iter().enumerate().step_by(views.len().div_ceil(TIMED).max(1)) {
            // As a visitor would come: the model may not look the user up.
            let view = [UserView { trained_as: None, ..*view }];
            let start = clock.seconds();
            let result = serve(user, &view);
            let end = clock.seconds();
            result.map_err(|source| self.score_error(source))?;
            seconds.push(end - start);
            if end - begin > TIMED_SECONDS {
                break;
            }
        }
        Ok(median(&seconds))
    }
}

impl Outcome {
    fn of(fitted: &Fitted) -> Self {
        Self {
            seconds: fitted.seconds,
            peak: fitted.peak,
            curve: fitted.curve.clone(),
            best_epochs: best_epoch(&fitted.curve).into_iter().collect(),
            notes: fitted.model.notes(),
            ..Self::default()
        }
    }

    /// Of a model that cannot do what is asked.
    pub(crate) fn cannot(error: ScoreError) -> Self {
        Self { cannot: Some(error.to_string()), ..Self::default() }
    }

    /// The mean of several fits of one model in one fold; what fitting took and how it went is that of the first.
    pub(crate) fn mean_of(mut fits: Vec<Self>) -> Self {
        let n = fits.len() as f64;
        if fits.len() < 2 {
            return fits.pop().unwrap_or_default();
        }
        let others = fits.split_off(1);
        let mut out = fits.pop().unwrap_or_default();
        out.best_epochs.extend(others.iter().flat_map(|other| &other.best_epochs));
        out.seconds = (out.seconds + others.iter().map(|other| other.seconds).sum::<f64>()) / n;
        for (at, figure) in out.metrics.iter_mut().enumerate() {
            let others = || others.iter().map(|other| &other.metrics[at]);
            figure.fits = [figure.value].into_iter().chain(others().map(|other| other.value)).collect();
            figure.value = figure.fits.iter().sum::<f64>() / n;
            for (user, value) in figure.by_user.iter_mut().enumerate() {
                *value = (*value + others().map(|other| other.by_user[user]).sum::<f64>()) / n;
            }
        }
        for (at, covered) in out.covered.iter_mut().enumerate() {
            covered.2 = (covered.2 + others.iter().map(|other| other.covered[at].2).sum::<f64>()) / n;
        }
        out
    }
}

/// The epoch, from 1, with the best figure of what was held out: the first of several.
fn best_epoch(curve: &[CurvePoint]) -> Option<usize> {
    let cost = |point: &CurvePoint| point.validation_ndcg.map(|ndcg| -ndcg).or(point.validation_rmse);
    let costs = curve.iter().filter_map(|point| Some((point.epoch, cost(point)?)));
    costs.min_by(|one, other| one.1.total_cmp(&other.1)).map(|(epoch, _)| epoch)
}

fn predict(model: &dyn Recommender, views: &[UserView<'_>], test: &TestSet) -> Result<Vec<f32>, ScoreError> {
    in_batches(views, test, |users, pairs| {
        let mut out = vec![0f32; pairs.len()];
        model.predict(users, pairs, &mut out)?;
        Ok(out)
    })
    .map(|batches| batches.concat())
}

fn predict_with_variance(
    model: &dyn Recommender,
    views: &[UserView<'_>],
    test: &TestSet,
) -> Result<(Vec<f32>, Vec<f32>), ScoreError> {
    let batches = in_batches(views, test, |users, pairs| {
        let (mut mean, mut variance) = (vec![0f32; pairs.len()], vec![0f32; pairs.len()]);
        model.predict_with_variance(users, pairs, &mut mean, &mut variance)?;
        Ok((mean, variance))
    })?;
    let (means, variances): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
    Ok((means.concat(), variances.concat()))
}

fn in_batches<T: Send>(
    views: &[UserView<'_>],
    test: &TestSet,
    run: impl Fn(&[UserView<'_>], &[(u32, ItemId)]) -> Result<T, ScoreError> + Sync,
) -> Result<Vec<T>, ScoreError> {
    chunked(views.len(), BATCH, |users| {
        let pairs: Vec<_> = users
            .clone()
            .zip(0u32..)
            .flat_map(|(user, place)| {
                test.items[test.offsets[user]..test.offsets[user + 1]].iter().map(move |&item| (place, item))
            })
            .collect();
        run(&views[users], &pairs)
    })
    .into_iter()
    .collect()
}
