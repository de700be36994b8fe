//! What every model of the registry must satisfy.
//!
//! [`conformance()`] runs every check on one entry and panics with all that failed. The checks look at a model through the
//! public traits alone: nothing here knows any model.
//!
//! | module | asks |
//! | --- | --- |
//! | `learning` | does it learn what was planted, for old and new users, on other scales, from side information? |
//! | `ranking` | the same of models of clicks |
//! | `edges` | does it hold at the edges: nobody, nothing, everything, unknown, absurd? |
//! | `invariance` | same seed, batch, threads, order: same answer? |
//! | `persistence` | do settings and a saved model come back as they were, and without the people in them? |
//! | `running` | can a fit be watched, cancelled and resumed? |

mod edges;
mod invariance;
mod learning;
mod persistence;
mod ranking;
mod running;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use foldin_core::registry::Settings;
use foldin_core::{
    FitContext, FitError, ItemId, ModelEntry, RatingScale, Recommender, ScoreError, TrainingData, UserView,
};

use crate::planted::{self, ODD_SCALE, Planted};

/// What a model should make of planted data. Models of clicks are asked for the ranking that this implies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It knows the mean: better than the middle of the scale.
    Mean,
    /// It knows items (and perhaps how generous a user is): better than the mean of all ratings.
    Items,
    /// It knows what a user likes: clearly better than the mean of each item.
    Personal,
}

/// A model under test.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Its entry.
    pub entry: &'a ModelEntry,
    /// Settings that fit 90 users and 36 items in well under a second; accuracy does not matter.
    pub quick: Settings,
    /// Settings under which it learns the planted blocks; a few seconds are fine.
    pub learning: Settings,
    /// What it should then have learned.
    pub level: Level,
    /// For a model that refuses a continuous scale: the step of −10…10 to which all ratings are rounded before it sees them.
    pub step: Option<f32>,
    /// Whether it is asked about clicks instead of ratings. A model that learns from both is asked twice.
    pub clicks: bool,
}

impl Subject<'_> {
    /// Data as this model takes them.
    #[must_use]
    pub fn data(&self, planted: Planted) -> Planted {
        let planted = self.step.map_or(planted.clone(), |step| planted.rounded(step));
        if self.clicks { planted.clicks() } else { planted }
    }

    /// The scale of these data.
    fn scale(&self) -> RatingScale {
        RatingScale { step: self.step, ..ODD_SCALE }
    }
}

/// A check that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Name of the check.
    pub check: &'static str,
    /// What was seen.
    pub reason: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.check, self.reason)
    }
}

/// Why a check failed.
type Outcome = Result<(), String>;

/// A check.
type Check = fn(&Case<'_>) -> Outcome;

/// Every check, by name.
const CHECKS: &[(&str, Check)] = &[
    ("learns_what_was_planted", learning::learns_what_was_planted),
    ("serves_new_users", learning::serves_new_users),
    ("more_history_helps", learning::more_history_helps),
    ("a_shifted_scale_is_learned_as_well", learning::a_shifted_scale),
    ("a_stretched_scale_is_learned_as_well", learning::a_stretched_scale),
    ("user_features_are_used_as_declared", learning::user_features),
    ("item_features_are_used_as_declared", learning::item_features),
    ("uncertainty_is_offered_as_declared", learning::uncertainty),
    ("factors_explain_the_scores", learning::factors),
    ("says_who_it_is", edges::says_who_it_is),
    ("an_unknown_item_is_refused", edges::unknown_item),
    ("an_unusable_history_is_refused", edges::unusable_history),
    ("wrong_lengths_are_refused", edges::wrong_lengths),
    ("any_history_gives_finite_predictions", edges::any_history),
    ("predictions_stay_on_the_scale", edges::clipping),
    ("scores_and_predictions_agree", edges::scores_and_predictions),
    ("more_factors_than_items", edges::more_factors_than_items),
    ("tiny_data", edges::tiny_data),
    ("equal_ratings", edges::equal_ratings),
    ("feedback_is_taken_as_declared", edges::feedback),
    ("a_continuous_scale_is_taken_or_refused", edges::continuous_scale),
    ("the_seed_decides", invariance::the_seed_decides),
    ("threads_do_not_matter", invariance::threads),
    ("batches_do_not_matter", invariance::batches),
    ("order_of_history_does_not_matter", invariance::history_order),
    ("settings_are_documented", persistence::settings_are_documented),
    ("bad_settings_are_refused", persistence::bad_settings),
    ("settings_come_back", persistence::settings_come_back),
    ("a_saved_model_comes_back", persistence::saved_model),
    ("a_broken_model_is_refused", persistence::broken_model),
    ("nothing_is_kept_per_training_user", persistence::nothing_per_user),
    ("epochs_are_reported", running::epochs_are_reported),
    ("a_cancelled_fit_is_no_model", running::cancelled),
    ("an_interrupted_fit_is_resumed", running::resumed),
    ("a_foreign_checkpoint_is_refused", running::foreign_checkpoint),
    ("a_checkpoint_of_other_ratings_is_refused", running::checkpoint_of_other_ratings),
];

/// Names of all checks, in the order in which they run.
#[must_use]
pub fn check_names() -> Vec<&'static str> {
    CHECKS.iter().map(|(name, _)| *name).collect()
}

/// Runs every check.
///
/// # Panics
/// If any fails, with the names and reasons of all that do.
pub fn conformance(subject: &Subject<'_>) {
    let failures = failures(subject, &check_names());
    assert!(
        failures.is_empty(),
        "{} fails {} of {} checks:\n{}",
        subject.entry.name,
        failures.len(),
        CHECKS.len(),
        failures.iter().map(|failure| format!("  {failure}\n")).collect::<String>()
    );
}

/// Runs the named checks and returns those that fail. A panic inside a check is a failure of it.
#[must_use]
pub fn failures(subject: &Subject<'_>, names: &[&str]) -> Vec<Failure> {
    let case = Case::new(subject);
    CHECKS
        .iter()
        .filter(|(name, _)| names.contains(name))
        .filter_map(|&(check, run)| {
            let outcome = catch_unwind(AssertUnwindSafe(|| run(&case))).unwrap_or_else(|panic| {
                let words = panic
                    .downcast_ref::<String>()
                    .cloned()
                    .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
                Err(format!("panicked: {}", words.unwrap_or_default()))
            });
            outcome.err().map(|reason| Failure { check, reason })
        })
        .collect()
}

/// A subject with the data and the fitted models that several checks share.
struct Case<'a> {
    subject: &'a Subject<'a>,
    /// Blocks without side information.
    plain: Planted,
    /// Blocks with side information.
    side: Planted,
    quick: OnceLock<Result<Box<dyn Recommender>, FitError>>,
    learned: OnceLock<Result<Box<dyn Recommender>, FitError>>,
}

const SEED: u64 = 20_260_101;

impl<'a> Case<'a> {
    fn new(subject: &'a Subject<'a>) -> Self {
        Self {
            subject,
            plain: subject.data(planted::blocks(150, 40, 3, SEED)),
            side: subject.data(planted::with_side_information(90, 36, 3, SEED)),
            quick: OnceLock::new(),
            learned: OnceLock::new(),
        }
    }

    /// A quick fit on the data with side information, made once.
    fn quick(&self) -> Result<&dyn Recommender, String> {
        self.quick
            .get_or_init(|| {
                self.subject.entry.fit(
                    &self.subject.quick,
                    &self.side.training_data(),
                    &FitContext::new(SEED),
                )
            })
            .as_ref()
            .map(AsRef::as_ref)
            .map_err(|error| format!("the fit failed: {error}"))
    }

    /// A careful fit on the data without side information, made once.
    fn learned(&self) -> Result<&dyn Recommender, String> {
        self.learned
            .get_or_init(|| {
                self.subject.entry.fit(
                    &self.subject.learning,
                    &self.plain.training_data(),
                    &FitContext::new(SEED),
                )
            })
            .as_ref()
            .map(AsRef::as_ref)
            .map_err(|error| format!("the fit failed: {error}"))
    }

    /// A quick fit on any data.
    fn fit(&self, data: &TrainingData<'_>, seed: u64) -> Result<Box<dyn Recommender>, String> {
        self.subject
            .entry
            .fit(&self.subject.quick, data, &FitContext::new(seed))
            .map_err(|error| format!("the fit failed: {error}"))
    }

    /// What may differ by rounding of sums over some hundred products, and by nothing else: a hundred-thousandth of the width of
    /// the scale; of `values`, where there is no scale.
    fn tolerance(&self, values: &[f32]) -> f32 {
        let width = match self.side.interactions.feedback().scale() {
            Some(scale) => scale.max - scale.min,
            None => 2.0 * values.iter().fold(1f32, |most, value| most.max(value.abs())),
        };
        1e-5 * width
    }

    fn new_users_are_served(&self) -> bool {
        self.subject.entry.capabilities.new_users
    }

    /// Users of the data with side information as the model may see them: training users, and new ones where those are served.
    fn users(&self) -> Vec<UserView<'_>> {
        let mut users = self.side.training_data().users();
        if self.new_users_are_served() {
            users.extend(self.side.new_users.iter().map(|user| user.view(usize::MAX)));
        }
        users
    }
}

/// Every user with every item.
fn all_pairs(n_users: usize, n_items: usize) -> Vec<(u32, ItemId)> {
    (0..n_users as u32).flat_map(|user| (0..n_items as u32).map(move |item| (user, ItemId(item)))).collect()
}

/// Predictions of every item for every user.
fn predict_all(model: &dyn Recommender, users: &[UserView<'_>]) -> Result<Vec<f32>, String> {
    let pairs = all_pairs(users.len(), model.n_items());
    let mut out = vec![f32::NAN; pairs.len()];
    model.predict(users, &pairs, &mut out).map_err(|error| format!("predicting failed: {error}"))?;
    Ok(out)
}

/// Scores of every item for every user.
fn score_all(model: &dyn Recommender, users: &[UserView<'_>]) -> Result<Vec<f32>, String> {
    let mut out = vec![f32::NAN; users.len() * model.n_items()];
    model.score(users, &mut out).map_err(|error| format!("scoring failed: {error}"))?;
    Ok(out)
}

/// Everything a model says about users, in one row: predictions, scores, variances where offered. To compare bits.
fn everything(model: &dyn Recommender, users: &[UserView<'_>]) -> Result<Vec<f32>, String> {
    let mut out = predict_all(model, users)?;
    out.extend(score_all(model, users)?);
    if model.capabilities().uncertainty {
        let (mean, variance) = variances(model, users)?;
        out.extend(mean);
        out.extend(variance);
    }
    if let Some(generator) = model.as_generator() {
        let factors = generator.generate(users).map_err(|error| format!("generating failed: {error}"))?;
        out.extend(factors.u);
        out.extend(factors.bias);
        out.extend(factors.covariance.unwrap_or_default());
    }
    Ok(out)
}

fn variances(model: &dyn Recommender, users: &[UserView<'_>]) -> Result<(Vec<f32>, Vec<f32>), String> {
    let pairs = all_pairs(users.len(), model.n_items());
    let (mut mean, mut variance) = (vec![f32::NAN; pairs.len()], vec![f32::NAN; pairs.len()]);
    model
        .predict_with_variance(users, &pairs, &mut mean, &mut variance)
        .map_err(|error| format!("the variance failed: {error}"))?;
    if let Some(generator) = model.as_generator() {
        let items: Vec<ItemId> = (0..model.n_items() as u32).map(ItemId).collect();
        let factors = generator.generate_with_covariance(users).map_err(|error| error.to_string())?;
        let (mut values, mut again) = (vec![f32::NAN; items.len()], vec![f32::NAN; items.len()]);
        for user in 0..users.len() {
            generator
                .values_with_variance(&factors, user, &items, &mut values, &mut again)
                .map_err(|error| format!("the variance of generated factors failed: {error}"))?;
            let own = user * items.len()..(user + 1) * items.len();
            same_bits("values of generated factors", &values, &mean[own.clone()])?;
            same_bits("variances of generated factors", &again, &variance[own])?;
        }
    }
    Ok((mean, variance))
}

/// Whether two rows have the same bits; if not, where they part.
fn same_bits(what: &str, one: &[f32], other: &[f32]) -> Outcome {
    if one.len() != other.len() {
        return Err(format!("{what}: {} values against {}", one.len(), other.len()));
    }
    let different = one.iter().zip(other).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
    let Some(at) = one.iter().zip(other).position(|(a, b)| a.to_bits() != b.to_bits()) else { return Ok(()) };
    Err(format!(
        "{what}: {different} of {} values differ, the first at {at}: {} against {}",
        one.len(),
        one[at],
        other[at]
    ))
}

/// Whether two rows agree to `tolerance`; if not, where they part most.
fn close(what: &str, one: &[f32], other: &[f32], tolerance: f32) -> Outcome {
    if one.len() != other.len() {
        return Err(format!("{what}: {} values against {}", one.len(), other.len()));
    }
    let gap = |at: usize| (one[at] - other[at]).abs();
    match (0..one.len()).max_by(|&a, &b| gap(a).total_cmp(&gap(b))) {
        Some(at) if gap(at) > tolerance || gap(at).is_nan() => {
            Err(format!("{what}: at {at}, {} against {}; more than {tolerance} apart", one[at], other[at]))
        }
        _ => Ok(()),
    }
}

fn ensure(holds: bool, reason: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(reason()) }
}

fn finite(what: &str, values: &[f32]) -> Outcome {
    match values.iter().position(|value| !value.is_finite()) {
        Some(at) => Err(format!("{what}: value {at} is {}", values[at])),
        None => Ok(()),
    }
}

/// Root of the mean square of errors.
fn rmse(pairs: impl IntoIterator<Item = (f32, f32)>) -> f64 {
    let (mut sum, mut n) = (0.0, 0usize);
    for (predicted, truth) in pairs {
        sum += f64::from(predicted - truth).powi(2);
        n += 1;
    }
    (sum / n.max(1) as f64).sqrt()
}

/// The error that came instead of success.
fn refusal(outcome: Result<(), ScoreError>) -> Result<ScoreError, String> {
    outcome.err().ok_or_else(|| "it was accepted".to_owned())
}
