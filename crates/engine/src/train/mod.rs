//! A new version of the model from the store's events, judged against the one that serves.
//!
//! The latest tenth of the events is held out. A candidate is fitted on the rest with the settings of the model that serves; then both
//! say what the users of the held-out events would do, from what these had done before: RMSE of ratings that both can predict, nDCG@20
//! of clicks. A candidate that is not worse is fitted once more on all events, and becomes the new version.
//!
//! Neither may have seen what is asked. A version that was trained here says how far the store's events went that it learned from, in the order
//! in which they were written and by their clocks, and only later ones are held out. Where there are too few of those, or where nothing is said (a model that came from elsewhere may have learned from
//! the very events that were imported), the version that serves is stood in for by its own settings, fitted on what the candidate
//! learns from: settings are judged then, and new events with the same settings are promoted.

mod collect;
mod curve;
mod drift;
mod judge;

use std::path::Path;

use foldin_core::registry::Settings;
use foldin_core::{
    CancelFlag, ConfigError, DataError, Dataset, Feedback, FitContext, FitError, ModelEntry, Progress,
    Recommender, ScoreError,
};
use foldin_models::folder::{SaveOptions, SavedContext, save};
use foldin_models::registry::UnknownModel;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use self::curve::{LEARNING_CURVE, LearningPoint, Recorder};
pub use self::drift::Drift;
pub use self::judge::{ByGiven, Coverage, Figure, Judgement};

use self::collect::{Collected, collect};
use self::drift::drift;
use self::judge::judge;
use crate::engine::{Engine, Live};
use crate::error::EngineError;
use crate::versions::{VersionError, Versions};

/// Where a version's figures say how far the events went that it learned from.
const TRAINED_THROUGH: &str = "trained_through";

/// How to train.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainOptions {
    /// The model; the one that serves unless given.
    pub model: Option<String>,
    /// Settings laid over those of the model that serves (over the defaults, for another model).
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub settings: Settings,
    /// Share of the events, the latest, that judges; above 0 and at most 0.5.
    pub held_out: f64,
    /// By how much worse, relative to the model that serves, a candidate may be and still be promoted; 0 or more.
    pub tolerance: f64,
    /// Whether a version that is not worse is put into service.
    pub promote: bool,
    /// Fewest held-out interactions that can judge.
    pub least_held_out: usize,
    /// Threads for fitting. Serving goes on beside it.
    pub threads: usize,
    /// Seed of the fit.
    pub seed: u64,
}

impl Default for TrainOptions {
    fn default() -> Self {
        Self {
            model: None,
            settings: Settings::new(),
            held_out: 0.1,
            tolerance: 0.0,
            promote: true,
            least_held_out: 20,
            threads: 1,
            seed: 1,
        }
    }
}

/// A training run that made no version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// An option out of range.
    #[error("`{field}` is {got}, but {expected}")]
    Option {
        /// The option.
        field: &'static str,
        /// What was given.
        got: f64,
        /// What would fit.
        expected: &'static str,
    },
    /// No such model.
    #[error(transparent)]
    Model(#[from] UnknownModel),
    /// A setting that the model does not have, or not so.
    #[error(transparent)]
    Settings(#[from] ConfigError),
    /// A model that could not serve.
    #[error("{model} learns each user by heart and could not serve: choose a model that takes new users")]
    CannotServe {
        /// The model.
        model: String,
    },
    /// A model of ratings in the place of one of clicks, or the other way round.
    #[error(
        "{model} does not learn from {what}, which the model that serves does: start a server with such a model instead"
    )]
    OtherFeedback {
        /// The model.
        model: String,
        /// What it would have to learn from.
        what: &'static str,
    },
    /// Too few events to learn from or to judge by.
    #[error(
        "{training} events to learn from and {held_out} of those users to judge by are too few: {least} of each are needed"
    )]
    TooFew {
        /// Events to learn from.
        training: usize,
        /// Held-out events that can judge.
        held_out: usize,
        /// The least of each.
        least: usize,
    },
    /// The fit failed or was cancelled.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// A model refused to answer while it was judged.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// Events that no data set can be made of.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The store or the model in service.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The folder of versions.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// No threads to fit on.
    #[error("cannot start threads: {0}")]
    Threads(String),
}

/// How two models did on the same held-out events.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainReport {
    /// The version that was made, if one was.
    pub version: Option<String>,
    /// Whether it was put into service.
    pub promoted: bool,
    /// The version that served.
    pub against: String,
    /// The model.
    pub model: String,
    /// `rmse`, less is better, or `ndcg@20`, more is better.
    pub metric: String,
    /// The candidate's figure.
    pub candidate: f64,
    /// The figure of the version that served.
    pub serving: f64,
    /// More of the candidate: intervals, by how much it was given, calibration.
    #[serde(default)]
    pub candidate_judged: Judgement,
    /// The same of what served.
    #[serde(default)]
    pub serving_judged: Judgement,
    /// Whether that is of the version's settings, fitted on what the candidate learned from, since the version itself has seen the
    /// held-out events, or may have.
    pub stood_in: bool,
    /// Interactions that the candidate learned from.
    pub training: usize,
    /// Held-out interactions that judged.
    pub held_out: usize,
    /// Held-out interactions of items that the version that served does not know: of ratings they judge nothing.
    pub unknown_to_serving: usize,
    /// Users and items of the data.
    pub users: usize,
    /// Items of the data, those without events included.
    pub items: usize,
    /// How far answers move from the version that served to the candidate, fitted without the held-out events.
    pub drift: Drift,
    /// Events that say nothing to the model, or are out of its scale.
    pub unused: usize,
    /// Why it was or was not promoted, in words.
    pub verdict: String,
}

/// Trains on the store's events, judges, and puts a version that is not worse into service.
///
/// # Errors
/// [`TrainError`]; what serves goes on serving.
pub fn train(
    engine: &Engine,
    versions: &Versions,
    options: &TrainOptions,
    progress: &dyn Progress,
    cancel: &CancelFlag,
) -> Result<TrainReport, TrainError> {
    check(options)?;
    let live = engine.live();
    let ctx = FitContext { progress, cancel: cancel.clone(), ..FitContext::new(options.seed) };
    let run = Run::new(&live, options, ctx)?;
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|number| format!("training-{number}"))
        .build()
        .map_err(|error| TrainError::Threads(error.to_string()))?;
    pool.install(|| {
        progress.stage("reading the store");
        let collected = collect(engine, &live, options)?;
        let mut report = run.compare(&collected)?;
        if run.decide(&mut report) {
            progress.stage("fitting on all events");
            let recorder = Recorder::new(progress);
            let ctx = FitContext { progress: &recorder, ..run.ctx.clone() };
            let model = run.fit_with(&ctx, run.entry, &run.settings, &collected.dataset)?;
            // Whoever asked to stop in the last moment is told that nothing stays, so nothing does.
            if cancel.is_cancelled() {
                return Err(FitError::Cancelled { epochs: recorder.points().len() }.into());
            }
            report.promoted = options.promote;
            if options.promote && engine.live().number != live.number {
                report.promoted = false;
                report.verdict = format!(
                    "not promoted: another version than {} was put into service meanwhile; {}",
                    report.against, report.verdict
                );
            }
            let version = run.write(versions, &*model, &collected, &report, &recorder.points())?;
            if report.promoted
                && let Err(error) = versions.put_into_service(engine, &version)
            {
                // Its report says that it was promoted, and it cannot serve.
                let _ = versions.remove(&version);
                return Err(error.into());
            }
            report.version = Some(version);
        }
        Ok(report)
    })
}

/// What a training run goes by.
struct Run<'a> {
    live: &'a Live,
    options: &'a TrainOptions,
    ctx: FitContext<'a>,
    entry: &'static ModelEntry,
    settings: Settings,
    /// Of the model that serves, if it can be trained.
    serving_entry: Option<&'static ModelEntry>,
    serving_settings: Settings,
}

impl<'a> Run<'a> {
    /// Finds the model and its settings, and refuses one that could not take over.
    fn new(live: &'a Live, options: &'a TrainOptions, ctx: FitContext<'a>) -> Result<Self, TrainError> {
        let manifest = &live.serving().loaded().manifest;
        let entry = model(live, options)?;
        let name = entry.name;
        let serving_settings = match &manifest.config {
            Value::Object(config) => config.clone(),
            _ => Settings::new(),
        };
        let mut settings = if name == manifest.model { serving_settings.clone() } else { Settings::new() };
        settings.extend(options.settings.clone());
        let serving_entry = foldin_models::find(&manifest.model).ok();
        Ok(Self { live, options, ctx, entry, settings, serving_entry, serving_settings })
    }

    fn fit(
        &self,
        entry: &ModelEntry,
        settings: &Settings,
        dataset: &Dataset,
    ) -> Result<Box<dyn Recommender>, FitError> {
        self.fit_with(&self.ctx, entry, settings, dataset)
    }

    fn fit_with(
        &self,
        ctx: &FitContext<'_>,
        entry: &ModelEntry,
        settings: &Settings,
        dataset: &Dataset,
    ) -> Result<Box<dyn Recommender>, FitError> {
        let interactions = dataset.interactions.for_model(entry.capabilities);
        let dataset = Dataset { interactions, ..dataset.clone() };
        entry.fit(settings, &dataset.training_data(), ctx)
    }

    /// Fits a candidate without the held-out events, and judges it and what serves by them.
    fn compare(&self, collected: &Collected) -> Result<TrainReport, TrainError> {
        let (whole, serving) = (&collected.dataset, self.live.serving());
        let keep: Vec<bool> = collected.held_out.iter().map(|held_out| !held_out).collect();
        let before = Dataset { interactions: whole.interactions.filter(&keep), ..whole.clone() };
        let test = whole.interactions.filter(&collected.held_out);
        let can_judge = (0..test.n_users())
            .filter(|&user| before.interactions.by_user().row_len(user) > 0)
            .map(|user| test.by_user().row_len(user))
            .sum();
        let training = before.interactions.len();
        let least = self.options.least_held_out.max(1);
        if training < least || can_judge < least {
            return Err(TrainError::TooFew { training, held_out: can_judge, least });
        }
        let progress = self.ctx.progress;
        progress.stage("fitting the candidate");
        let candidate = self.fit(self.entry, &self.settings, &before)?;
        progress.stage("judging");
        let known = serving.n_items();
        let judge =
            |model: &dyn Recommender, n_known: usize| judge(model, &before, &test, n_known.min(known));
        let ours = judge(&*candidate, before.items.len())?;
        let held_out = ours.overall.interactions;
        // Ratings of items that one of the models does not know judge nothing, and an error over no ratings would be none.
        if held_out < least {
            return Err(TrainError::TooFew { training, held_out, least });
        }
        // Nothing could stand in for what was made elsewhere: it is judged as it is, though it may have learned from these events.
        let stood_in = self.serving_entry.filter(|_| !collected.unseen);
        let theirs = match stood_in {
            None => judge(serving.model(), known)?,
            Some(entry) if self.entry.name == entry.name && self.settings == self.serving_settings => {
                ours.clone()
            }
            Some(entry) => {
                progress.stage("fitting the settings of the version that serves");
                let stand_in = self.fit(entry, &self.serving_settings, &before)?;
                judge(&*stand_in, before.items.len())?
            }
        };
        let rates = whole.interactions.feedback().scale().is_some();
        Ok(TrainReport {
            version: None,
            promoted: false,
            against: serving.version().to_owned(),
            model: self.entry.name.to_owned(),
            metric: if rates { "rmse" } else { "ndcg@20" }.to_owned(),
            candidate: ours.overall.value,
            serving: theirs.overall.value,
            candidate_judged: ours,
            serving_judged: theirs,
            stood_in: stood_in.is_some(),
            training,
            held_out,
            unknown_to_serving: test
                .by_user()
                .columns()
                .iter()
                .filter(|&&item| item as usize >= known)
                .count(),
            users: whole.users.len(),
            items: whole.items.len(),
            drift: drift(serving.model(), &*candidate, whole)?,
            unused: collected.unused,
            verdict: String::new(),
        })
    }

    /// Whether the candidate is to be a version; says why.
    fn decide(&self, report: &mut TrainReport) -> bool {
        let TrainReport { candidate: ours, serving: theirs, metric, .. } = &*report;
        let tolerance = self.options.tolerance;
        let not_worse = if metric == "rmse" {
            *ours <= theirs * (1.0 + tolerance)
        } else {
            *ours >= theirs * (1.0 - tolerance)
        };
        let of = if report.stood_in {
            format!("the settings of version {}, which may have seen these events", report.against)
        } else {
            format!("version {}", report.against)
        };
        report.verdict = if not_worse {
            format!(
                "{}: {metric} {ours:.4} on the latest events is not worse than the {theirs:.4} of {of}",
                if self.options.promote { "promoted" } else { "not worse, and not promoted as asked" },
            )
        } else {
            format!(
                "not promoted: {metric} {ours:.4} on the latest events is worse than the {theirs:.4} of {of}"
            )
        };
        not_worse
    }

    /// Writes the new version with its report.
    fn write(
        &self,
        versions: &Versions,
        model: &dyn Recommender,
        collected: &Collected,
        report: &TrainReport,
        learning: &[LearningPoint],
    ) -> Result<String, TrainError> {
        let config = self.entry.resolve(&self.settings).map_err(FitError::from)?;
        let metrics = json!({
            "seed": self.options.seed,
            TRAINED_THROUGH: collected.through,
            LEARNING_CURVE: learning,
            "judged": { report.metric.clone(): report.candidate },
        });
        let context = SavedContext::of(&collected.dataset, config, metrics);
        let written = |folder: &Path| -> Result<(), VersionError> {
            Ok(save(folder, model, &context, SaveOptions::default())?)
        };
        let as_json = serde_json::to_value(report).unwrap_or_default();
        Ok(versions.add(written, Some(&as_json))?)
    }
}

/// The model that is to be trained, if it could take over from the one that serves and has such settings.
///
/// # Errors
/// [`TrainError`] saying why it could not.
pub fn model(live: &Live, options: &TrainOptions) -> Result<&'static ModelEntry, TrainError> {
    let name = options.model.as_deref().unwrap_or(&live.serving().loaded().manifest.model);
    let entry = foldin_models::find(name)?;
    if !entry.capabilities.new_users {
        return Err(TrainError::CannotServe { model: name.to_owned() });
    }
    let (fits, what) = match live.serving().feedback() {
        Feedback::Explicit(_) => (entry.capabilities.explicit, "ratings"),
        Feedback::Implicit => (entry.capabilities.implicit, "clicks"),
    };
    if !fits {
        return Err(TrainError::OtherFeedback { model: name.to_owned(), what });
    }
    entry.resolve(&options.settings)?;
    Ok(entry)
}

/// Checks every number, without training.
///
/// # Errors
/// [`TrainError::Option`] naming the first that cannot be.
pub fn check(options: &TrainOptions) -> Result<(), TrainError> {
    let refuse = |field, got, expected| Err(TrainError::Option { field, got, expected });
    if !(options.held_out > 0.0 && options.held_out <= 0.5) {
        return refuse("held_out", options.held_out, "it is a share above 0 and at most 0.5");
    }
    if !(0.0..1.0).contains(&options.tolerance) {
        return refuse("tolerance", options.tolerance, "it is 0 or more, below 1");
    }
    if options.threads == 0 {
        return refuse("threads", 0.0, "it is 1 or more");
    }
    Ok(())
}
