//! A new version of the model from the store's events, judged against the one that serves.
//!
//! The latest tenth of the events is held out. A candidate is fitted on the rest with the settings of the model that serves; then both
//! say what the users of the held-out events would do, from what these had done before: RMSE of ratings that both can predict, nDCG@20
//! of clicks. A candidate that is not worse is fitted once more on all events, and becomes the new version.
//!
//! Neither may have seen what is asked. A version that was trained here says how far the events went that it learned from, and only later
//! ones are held out. Where there are too few of those, or where nothing is said (a model that came from elsewhere may have learned from
//! the very events that were imported), the version that serves is stood in for by its own settings, fitted on what the candidate
//! learns from: settings are judged then, and new events with the same settings are promoted.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use foldin_core::ranking::Ranked;
use foldin_core::registry::Settings;
use foldin_core::{
    CancelFlag, Csr, DataError, Dataset, Dictionary, Features, Feedback, FitContext, FitError, Interactions,
    ItemId, ModelEntry, Progress, RawFeatures, Recommender, ScoreError, UserView, top_k,
};
use foldin_models::folder::{SaveOptions, SavedContext, save};
use foldin_models::registry::UnknownModel;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::catalogue::features_of;
use crate::engine::{Engine, Live};
use crate::error::EngineError;
use crate::versions::{VersionError, Versions};

/// Users scored at a time while judging.
const AT_ONCE: usize = 64;

/// Users by whom the drift is measured, at most.
const DRIFT_USERS: usize = 500;

/// Length of the lists that judge models of clicks.
const LIST: usize = 20;

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
    /// How far answers move from the version that served to the new one.
    pub drift: Drift,
    /// Events that say nothing to the model, or are out of its scale.
    pub unused: usize,
    /// Why it was or was not promoted, in words.
    pub verdict: String,
}

/// How far answers of a sample of users move between two versions. Factors themselves can be turned without any answer changing, so
/// that answers are compared.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// Users of the sample.
    pub users: usize,
    /// Root mean square of the change of scores, over the standard deviation of the scores that served: 0 is none.
    pub scores: f64,
    /// Share of the ten best items that stays the same, 0 to 1.
    pub top_10: f64,
}

/// What the store holds, in numbers.
struct Collected {
    dataset: Dataset,
    /// For each interaction, whether it is held out: the latest are.
    held_out: Vec<bool>,
    /// Whether the version that serves has seen none of these.
    unseen: bool,
    /// When the latest event was, in seconds since 1970.
    until: i64,
    unused: usize,
}

/// Where a version's figures say how far the events went that it learned from.
const TRAINED_UNTIL: &str = "trained_until";

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
    let manifest = &live.serving().loaded().manifest;
    let name = options.model.as_deref().unwrap_or(&manifest.model);
    let entry = foldin_models::find(name)?;
    let serving_entry = foldin_models::find(&manifest.model)?;
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
    let serving_settings = match &manifest.config {
        Value::Object(config) => config.clone(),
        _ => Settings::new(),
    };
    let mut settings = if name == manifest.model { serving_settings.clone() } else { Settings::new() };
    settings.extend(options.settings.clone());
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .thread_name(|number| format!("training-{number}"))
        .build()
        .map_err(|error| TrainError::Threads(error.to_string()))?;

    pool.install(|| {
        progress.stage("reading the store");
        let collected = collect(engine, &live, options)?;
        let whole = &collected.dataset;
        let keep: Vec<bool> = collected.held_out.iter().map(|held_out| !held_out).collect();
        let before = Dataset { interactions: whole.interactions.filter(&keep), ..whole.clone() };
        let test = whole.interactions.filter(&collected.held_out);
        let judged = (0..test.n_users())
            .filter(|&user| before.interactions.by_user().row_len(user) > 0)
            .map(|user| test.by_user().row_len(user))
            .sum();
        let training = before.interactions.len();
        let least = options.least_held_out.max(1);
        if training < least || judged < least {
            return Err(TrainError::TooFew { training, held_out: judged, least });
        }

        let ctx = FitContext { progress, cancel: cancel.clone(), ..FitContext::new(options.seed) };
        let fit = |entry: &ModelEntry, settings: &Settings, dataset: &Dataset| {
            let interactions = dataset.interactions.for_model(entry.capabilities);
            let dataset = Dataset { interactions, ..dataset.clone() };
            entry.fit(settings, &dataset.training_data(), &ctx)
        };
        progress.stage("fitting the candidate");
        let candidate = fit(entry, &settings, &before)?;
        progress.stage("judging");
        let known = live.serving().n_items();
        let judge =
            |model: &dyn Recommender, n_known: usize| judge(model, &before, &test, n_known.min(known));
        let (ours, held_out) = judge(&*candidate, before.items.len())?;
        // Ratings of items that one of the models does not know judge nothing, and an error over no ratings would be none.
        if held_out < least {
            return Err(TrainError::TooFew { training, held_out, least });
        }
        let theirs = if collected.unseen {
            judge(live.serving().model(), known)?.0
        } else if entry.name == serving_entry.name && settings == serving_settings {
            ours
        } else {
            progress.stage("fitting the settings of the version that serves");
            judge(&*fit(serving_entry, &serving_settings, &before)?, before.items.len())?.0
        };
        let rates = whole.interactions.feedback().scale().is_some();
        let allowed = theirs * if rates { 1.0 + options.tolerance } else { 1.0 - options.tolerance };
        let not_worse = if rates { ours <= allowed } else { ours >= allowed };
        let drift = drift(live.serving().model(), &*candidate, whole)?;
        let unknown = test.by_user().columns().iter().filter(|&&item| item as usize >= known).count();
        let mut report = TrainReport {
            version: None,
            promoted: false,
            against: live.serving().version().to_owned(),
            model: name.to_owned(),
            metric: if rates { "rmse" } else { "ndcg@20" }.to_owned(),
            candidate: ours,
            serving: theirs,
            stood_in: !collected.unseen,
            training,
            held_out,
            unknown_to_serving: unknown,
            users: whole.users.len(),
            items: whole.items.len(),
            drift,
            unused: collected.unused,
            verdict: String::new(),
        };
        let of = if report.stood_in {
            format!("the settings of version {}, which may have seen these events", report.against)
        } else {
            format!("version {}", report.against)
        };
        if !not_worse {
            report.verdict = format!(
                "not promoted: {} {ours:.4} on the latest events is worse than the {theirs:.4} of {of}",
                report.metric
            );
            return Ok(report);
        }
        progress.stage("fitting on all events");
        let model = fit(entry, &settings, whole)?;
        report.promoted = options.promote;
        report.verdict = format!(
            "{}: {} {ours:.4} on the latest events is not worse than the {theirs:.4} of {of}",
            if options.promote { "promoted" } else { "not worse, and not promoted as asked" },
            report.metric
        );
        let config = entry.resolve(&settings).map_err(FitError::from)?;
        let metrics = json!({
            "seed": options.seed, TRAINED_UNTIL: collected.until, "judged": { report.metric.clone(): ours },
        });
        let written = |folder: &Path| -> Result<(), VersionError> {
            Ok(save(folder, &*model, &SavedContext::of(whole, config, metrics), SaveOptions::default())?)
        };
        let as_json = serde_json::to_value(&report).unwrap_or_default();
        let version = versions.add(written, Some(&as_json))?;
        if options.promote {
            let serving = versions.load(&version)?;
            versions.promote(&version)?;
            engine.swap(serving)?;
        }
        report.version = Some(version);
        Ok(report)
    })
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

/// Reads the store into a data set. Items keep the numbers of the model that serves; new ones follow.
fn collect(engine: &Engine, live: &Live, options: &TrainOptions) -> Result<Collected, TrainError> {
    let serving = live.serving();
    let kinds = &engine.options().kinds;
    let feedback = serving.feedback();
    let mut users = Dictionary::default();
    let mut items = serving.loaded().items.clone();
    // Of a user and item one interaction: the last rating, or the strongest weight and the last time of it.
    let mut cells: HashMap<(u32, u32), (f32, i64)> = HashMap::new();
    let mut unused = 0;
    let usable = |value: Option<f32>, kind: &str| -> Option<f32> {
        let rule = kinds.rule(kind).ok()?;
        match (feedback, rule.weight) {
            (Feedback::Explicit(scale), None) => value.filter(|&value| scale.contains(value)),
            (Feedback::Explicit(_), Some(_)) => None,
            (Feedback::Implicit, weight) => Some(weight.unwrap_or(1.0)),
        }
    };
    engine
        .store()
        .scan(None, &mut |event| {
            let Some(value) = usable(event.value, &event.kind) else {
                unused += 1;
                return ControlFlow::Continue(());
            };
            let key = (users.intern(&event.user), items.intern(&event.item));
            let cell = cells.entry(key).or_insert((value, event.time));
            if feedback == Feedback::Implicit {
                *cell = (cell.0.max(value), cell.1.max(event.time));
            } else if event.time >= cell.1 {
                *cell = (value, event.time);
            }
            ControlFlow::Continue(())
        })
        .map_err(EngineError::from)?;

    let mut triples: Vec<(u32, u32, f32)> = Vec::with_capacity(cells.len());
    triples.extend(cells.iter().map(|(&(user, item), &(value, _))| (user, item, value)));
    let matrix = Csr::from_triples(users.len(), items.len(), &triples)?;
    drop(triples);
    let mut times = Vec::with_capacity(matrix.n_entries());
    for user in 0..users.len() {
        times.extend(matrix.row(user).0.iter().map(|&item| cells[&(user as u32, item)].1));
    }
    drop(cells);
    let seconds: Vec<i64> = times.iter().map(|&time| time.div_euclid(1000)).collect();
    let share = (times.len() as f64 * options.held_out).round() as usize;
    let trained_until = serving.loaded().manifest.metrics.get(TRAINED_UNTIL).and_then(Value::as_i64);
    let newer = trained_until.map_or(0, |until| seconds.iter().filter(|&&time| time > until).count());
    let unseen = newer >= options.least_held_out.max(1);
    let held_out = latest(&times, if unseen { share.min(newer) } else { share });
    let until = seconds.iter().copied().max().unwrap_or_default();
    let mut dataset =
        Dataset::new("store", Interactions::new(matrix, Some(seconds), feedback)?, users, items)?;
    describe(engine, live, &mut dataset)?;
    Ok(Collected { dataset, held_out, unseen, until, unused })
}

/// Marks the latest `n` of the times.
fn latest(times: &[i64], n: usize) -> Vec<bool> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(times[at]), at));
    let mut out = vec![false; times.len()];
    order.into_iter().take(n).for_each(|at| out[at] = true);
    out
}

/// Titles and side information: what the model's folder knows, with what the store knows laid over it.
fn describe(engine: &Engine, live: &Live, dataset: &mut Dataset) -> Result<(), TrainError> {
    let loaded = live.serving().loaded();
    let catalogue = live.catalogue();
    let mut of_items: Vec<RawFeatures> = Vec::with_capacity(dataset.items.len());
    for (number, key) in dataset.items.keys().enumerate() {
        let details = match loaded.items.get(key) {
            Some(item) => Some(catalogue.details(item)),
            None => catalogue.other(key),
        };
        dataset.titles[number] = details.map_or_else(|| key.to_owned(), |details| details.title.clone());
        of_items.push(details.map(|details| details.attributes.clone()).unwrap_or_default());
    }
    drop(catalogue);
    dataset.item_features = encode(&loaded.item_schema, of_items.iter())?;
    if loaded.user_schema.width() > 0 {
        let mut of_users: Vec<RawFeatures> = Vec::with_capacity(dataset.users.len());
        for key in dataset.users.keys() {
            let user = engine.store().user(key).map_err(EngineError::from)?;
            of_users.push(user.map(|user| features_of(&user.features)).unwrap_or_default());
        }
        dataset.user_features = encode(&loaded.user_schema, of_users.iter())?;
    }
    Ok(())
}

fn encode<'a>(
    schema: &foldin_core::FeatureSchema,
    rows: impl ExactSizeIterator<Item = &'a RawFeatures>,
) -> Result<Features, DataError> {
    let n = rows.len();
    let mut cells = Vec::new();
    for (row, raw) in rows.enumerate() {
        let encoded = schema.encode(raw);
        cells.extend(
            encoded.columns.iter().zip(&encoded.values).map(|(&column, &value)| (row as u32, column, value)),
        );
    }
    Features::new(Arc::new(schema.clone()), Csr::from_triples(n, schema.width(), &cells)?)
}

/// RMSE of the held-out ratings of items below `known`, or nDCG@20 of held-out clicks, from what the same users did before; and how
/// many interactions judged.
fn judge(
    model: &dyn Recommender,
    before: &Dataset,
    test: &Interactions,
    known: usize,
) -> Result<(f64, usize), ScoreError> {
    let rates = test.feedback().scale().is_some();
    let n_items = model.n_items();
    let people: Vec<usize> = (0..test.n_users())
        .filter(|&user| test.by_user().row_len(user) > 0 && before.interactions.by_user().row_len(user) > 0)
        .collect();
    let (mut sum, mut count, mut judged) = (0.0, 0usize, 0);
    for some in people.chunks(AT_ONCE) {
        let given: Vec<Given> = some.iter().map(|&user| Given::of(before, user, n_items)).collect();
        let views: Vec<UserView<'_>> = given.iter().map(Given::view).collect();
        if rates {
            let (mut pairs, mut wanted) = (Vec::new(), Vec::new());
            for (at, &user) in some.iter().enumerate() {
                let (items, values) = test.by_user().row(user);
                for (&item, &value) in items.iter().zip(values).filter(|(item, _)| (**item as usize) < known)
                {
                    pairs.push((at as u32, ItemId(item)));
                    wanted.push(value);
                }
            }
            let mut predicted = vec![0.0; pairs.len()];
            model.predict(&views, &pairs, &mut predicted)?;
            sum += predicted
                .iter()
                .zip(&wanted)
                .map(|(&got, &wanted)| (f64::from(got) - f64::from(wanted)).powi(2))
                .sum::<f64>();
            count += pairs.len();
            judged += pairs.len();
        } else {
            let mut scores = vec![0.0; views.len() * n_items];
            model.score(&views, &mut scores)?;
            for ((scores, given), &user) in scores.chunks_exact(n_items.max(1)).zip(&given).zip(some) {
                let list: Vec<u32> =
                    top_k(scores, LIST, &given.items).iter().map(|scored| scored.item.0).collect();
                let wanted = test.by_user().row(user).0;
                sum += Ranked::new(&list, wanted).ndcg(LIST);
                judged += wanted.len();
            }
            count += some.len();
        }
    }
    let mean = sum / count.max(1) as f64;
    Ok((if rates { mean.sqrt() } else { mean }, judged))
}

/// What somebody had done before, as far as a model knows the items.
struct Given {
    items: Vec<u32>,
    values: Vec<f32>,
    feature_columns: Vec<u32>,
    feature_values: Vec<f32>,
}

impl Given {
    fn of(dataset: &Dataset, user: usize, n_items: usize) -> Self {
        let (items, values) = dataset.interactions.by_user().row(user);
        let known = items.iter().zip(values).filter(|(item, _)| (**item as usize) < n_items);
        let (items, values) = known.map(|(&item, &value)| (item, value)).unzip();
        let features = dataset.user_features.row(user);
        Self {
            items,
            values,
            feature_columns: features.columns.to_vec(),
            feature_values: features.values.to_vec(),
        }
    }

    fn view(&self) -> UserView<'_> {
        UserView {
            items: &self.items,
            values: &self.values,
            features: foldin_core::FeatureRow {
                columns: &self.feature_columns,
                values: &self.feature_values,
            },
            trained_as: None,
        }
    }
}

fn drift(old: &dyn Recommender, new: &dyn Recommender, dataset: &Dataset) -> Result<Drift, ScoreError> {
    let both = old.n_items().min(new.n_items());
    let n_users = dataset.users.len();
    // Evenly over the users, who come in the order in which they were first seen.
    let step = n_users.div_ceil(DRIFT_USERS).max(1);
    let sample: Vec<usize> = (0..n_users).step_by(step).collect();
    let (mut moved, mut spread, mut same, mut places) = (0.0f64, 0.0f64, 0usize, 0usize);
    for some in sample.chunks(AT_ONCE) {
        let scores_of = |model: &dyn Recommender| -> Result<Vec<f32>, ScoreError> {
            let given: Vec<Given> = some.iter().map(|&user| Given::of(dataset, user, both)).collect();
            let views: Vec<UserView<'_>> = given.iter().map(Given::view).collect();
            let mut scores = vec![0.0; views.len() * model.n_items()];
            model.score(&views, &mut scores)?;
            Ok(scores)
        };
        let (before, after) = (scores_of(old)?, scores_of(new)?);
        let rows = before.chunks_exact(old.n_items().max(1)).zip(after.chunks_exact(new.n_items().max(1)));
        for ((before, after), &user) in rows.zip(some) {
            let (before, after) = (&before[..both], &after[..both]);
            let mean = before.iter().map(|&x| f64::from(x)).sum::<f64>() / both.max(1) as f64;
            for (&before, &after) in before.iter().zip(after) {
                moved += (f64::from(after) - f64::from(before)).powi(2);
                spread += (f64::from(before) - mean).powi(2);
            }
            let seen = dataset.interactions.by_user().row(user).0;
            let best = |scores: &[f32]| -> BTreeSet<u32> {
                top_k(scores, 10, seen).iter().map(|scored| scored.item.0).collect()
            };
            let (old_best, new_best) = (best(before), best(after));
            same += old_best.intersection(&new_best).count();
            places += old_best.len();
        }
    }
    Ok(Drift {
        users: sample.len(),
        scores: if spread > 0.0 { (moved / spread).sqrt() } else { 0.0 },
        top_10: if places > 0 { same as f64 / places as f64 } else { 1.0 },
    })
}
