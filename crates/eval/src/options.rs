//! What to evaluate, how, and who listens meanwhile.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use foldin_core::registry::Settings;
use foldin_core::{CancelFlag, Epoch, Interactions, ItemId, ModelEntry, UserId};

use crate::error::EvalError;
use crate::kept::Keep;

/// What is tested, on which part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Each user's ratings are dealt to the folds; a fold is the test set once.
    Ratings,
    /// A random share of all ratings is the test set; each fold is another draw.
    RatingsRandom,
    /// Users are dealt to the folds; a fold's users are new, and given some of their ratings.
    NewUsers,
    /// The caller brings the splits.
    Given,
    /// As [`Protocol::Ratings`], or on splits that the caller brings; what is tested is a ranking of all items that the user has not had.
    TopN,
    /// As [`Protocol::NewUsers`], with rankings in the place of predictions.
    TopNNewUsers,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Ratings, Self::RatingsRandom, Self::NewUsers, Self::Given, Self::TopN, Self::TopNNewUsers];

    /// The name on the command line and in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ratings => "ratings",
            Self::RatingsRandom => "ratings-random",
            Self::NewUsers => "new-users",
            Self::Given => "given",
            Self::TopN => "top-n",
            Self::TopNNewUsers => "top-n-new-users",
        }
    }

    /// The protocol that cuts as this one tests, where the caller brings no splits.
    #[must_use]
    pub fn without_given(self) -> Self {
        if self == Self::Given { Self::Ratings } else { self }
    }

    /// Whether items are ranked, instead of ratings predicted.
    #[must_use]
    pub fn ranks(self) -> bool {
        matches!(self, Self::TopN | Self::TopNNewUsers)
    }

    /// Whether the tested users are not in the training part.
    #[must_use]
    pub fn tests_new_users(self) -> bool {
        matches!(self, Self::NewUsers | Self::TopNNewUsers)
    }

    /// How many of their ratings new users give, column by column; none where users are known.
    #[must_use]
    pub fn columns(self) -> &'static [GivenRatings] {
        match self {
            Self::NewUsers => &GivenRatings::COLUMNS,
            Self::TopNNewUsers => &GivenRatings::RANKED_COLUMNS,
            Self::Ratings | Self::RatingsRandom | Self::Given | Self::TopN => &[],
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = EvalError;

    fn from_str(name: &str) -> Result<Self, EvalError> {
        Self::ALL
            .into_iter()
            .find(|protocol| protocol.name() == name)
            .ok_or_else(|| EvalError::UnknownProtocol { name: name.to_owned() })
    }
}

/// How many of their ratings new users give. The targets are the same whatever is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenRatings {
    /// The first so many; all, of a user who has fewer.
    First(usize),
    /// All but the targets.
    All,
}

impl GivenRatings {
    /// The columns of protocol `new-users`.
    pub const COLUMNS: [Self; 6] =
        [Self::First(0), Self::First(1), Self::First(5), Self::First(10), Self::First(20), Self::All];

    /// The columns of protocol `top-n-new-users`.
    pub const RANKED_COLUMNS: [Self; 7] = [
        Self::First(0),
        Self::First(1),
        Self::First(3),
        Self::First(5),
        Self::First(10),
        Self::First(20),
        Self::All,
    ];

    /// How many are given by a user who could give `most`.
    #[must_use]
    pub fn of(self, most: usize) -> usize {
        match self {
            Self::First(n) => n.min(most),
            Self::All => most,
        }
    }
}

impl fmt::Display for GivenRatings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First(n) => n.fmt(f),
            Self::All => f.write_str("all"),
        }
    }
}

/// What a model learns of new users before it predicts; where the tested users are new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NewUserMode {
    /// The given ratings are the history that the fitted model is called with. This is serving.
    #[default]
    History,
    /// Nothing but side information: the model is called with an empty history in every column.
    NoHistory,
    /// The model is fitted again with all given ratings among its training ratings; `rmse@all` only.
    RetrainAll,
    /// The model is fitted again for each number of given ratings: six fits a fold.
    RetrainEach,
}

impl NewUserMode {
    /// The word in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::NoHistory => "no-history",
            Self::RetrainAll => "retrain-all",
            Self::RetrainEach => "retrain-each",
        }
    }
}

/// One line of a comparison: a model with its settings.
#[derive(Clone, Debug)]
pub struct ModelRequest {
    /// The family.
    pub entry: ModelEntry,
    /// Its name in the report; each only once.
    pub label: String,
    /// Changes to its default settings.
    pub settings: Settings,
    /// How it meets new users.
    pub new_users: NewUserMode,
    /// How many times it is fitted in each fold, each time with another seed; figures are the means. For models with chance in them.
    pub fits: usize,
}

impl ModelRequest {
    /// A family with its default settings, under its own name.
    #[must_use]
    pub fn new(entry: ModelEntry) -> Self {
        Self {
            entry,
            label: entry.name.to_owned(),
            settings: Settings::new(),
            new_users: NewUserMode::default(),
            fits: 1,
        }
    }

    /// The same under another name.
    #[must_use]
    pub fn labelled(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The same with these changes to the default settings.
    #[must_use]
    pub fn with(self, settings: Settings) -> Self {
        Self { settings, ..self }
    }

    /// The same, fitted so many times in each fold (at least once).
    #[must_use]
    pub fn fitted(self, times: usize) -> Self {
        Self { fits: times.max(1), ..self }
    }

    /// The same with another way to meet new users.
    #[must_use]
    pub fn meeting(self, new_users: NewUserMode) -> Self {
        Self { new_users, ..self }
    }
}

/// A split brought by the caller: one fold of protocol [`Protocol::Given`].
#[derive(Clone, Debug)]
pub struct GivenSplit {
    /// Its name in the report, such as `u1`.
    pub name: String,
    /// Training ratings; users and items numbered as in the data set.
    pub train: Interactions,
    /// Test ratings, numbered likewise.
    pub test: Vec<(UserId, ItemId, f32)>,
}

/// Tells seconds since a moment of its own choosing. The only clock of this crate, so that tests can bring their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> f64 + Send + Sync>);

impl Clock {
    /// A clock of one's own.
    #[must_use]
    pub fn new(seconds: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(seconds))
    }

    /// The machine's monotonic clock.
    #[must_use]
    pub fn monotonic() -> Self {
        let start = Instant::now();
        Self::new(move || start.elapsed().as_secs_f64())
    }

    /// Seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// How to evaluate.
#[derive(Clone, Debug)]
pub struct EvalOptions {
    /// What is tested.
    pub protocol: Protocol,
    /// Number of folds, at least 2; of draws in `ratings-random`, at least 1; without meaning where the splits are given.
    pub folds: usize,
    /// The folds to run, counted from 1; all if empty.
    pub only_folds: Vec<usize>,
    /// Seed of the split, and of each fit.
    pub seed: u64,
    /// Share of all ratings that is tested in `ratings-random`; between 0 and 1.
    pub test_share: f64,
    /// The splits of [`Protocol::Given`]; of [`Protocol::TopN`] too, if there are any.
    pub given: Vec<GivenSplit>,
    /// Lengths of the ranked lists that are measured, where items are ranked.
    pub cutoffs: Vec<usize>,
    /// Where items are ranked by data with ratings: the lowest rating that says that an item was liked. Lower ones are no targets, and
    /// models of clicks do not see them; they are not listed again either. Without it, every rating counts.
    pub liked_from: Option<f32>,
    /// Asks to stop.
    pub cancel: CancelFlag,
    /// What time it is.
    pub clock: Clock,
    /// The version of the code that the report states.
    pub code_version: String,
    /// Where what fits found is kept, and looked for before they are done again.
    pub kept: Option<Arc<dyn Keep>>,
}

impl Default for EvalOptions {
    fn default() -> Self {
        Self {
            protocol: Protocol::Ratings,
            folds: 5,
            only_folds: Vec::new(),
            seed: 1,
            test_share: 0.1,
            given: Vec::new(),
            cutoffs: vec![5, 10, 20],
            liked_from: None,
            cancel: CancelFlag::default(),
            clock: Clock::monotonic(),
            code_version: env!("CARGO_PKG_VERSION").to_owned(),
            kept: None,
        }
    }
}

impl EvalOptions {
    /// The figure that models are compared by: RMSE, or nDCG at 20 places (at the most there are, if 20 is not among the cutoffs);
    /// of new users who give all that they can.
    #[must_use]
    pub fn main_metric(&self) -> String {
        let places = self.cutoffs.iter().copied().find(|&k| k == 20);
        let places = places.or_else(|| self.cutoffs.iter().copied().max()).unwrap_or(0);
        match self.protocol {
            Protocol::Ratings | Protocol::RatingsRandom | Protocol::Given => "rmse".to_owned(),
            Protocol::NewUsers => "rmse@all".to_owned(),
            Protocol::TopN => format!("ndcg@{places}"),
            Protocol::TopNNewUsers => format!("ndcg@{places}/all"),
        }
    }
}

/// One model in one fold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Which one, from 1.
    pub number: usize,
    /// How many there are.
    pub of: usize,
    /// The model's label.
    pub label: String,
    /// The fold: a number from 1, or the name of a given split.
    pub fold: String,
}

/// Told how far an evaluation is. Calls come from one thread at a time.
pub trait EvalObserver: Sync {
    /// A model is about to be fitted; in protocol `new-users` with retraining, several times a job.
    fn fit_started(&self, job: &Job) {
        let _ = job;
    }
    /// A preparatory step of the fit begins.
    fn stage(&self, job: &Job, name: &str) {
        let _ = (job, name);
    }
    /// An epoch of the fit is done.
    fn epoch(&self, job: &Job, epoch: Epoch) {
        let _ = (job, epoch);
    }
    /// The fit is done; the seconds it took.
    fn fit_done(&self, job: &Job, seconds: f64) {
        let _ = (job, seconds);
    }
    /// The job is done; its figures by name, none if the model could not predict.
    fn job_done(&self, job: &Job, metrics: &[(String, f64)]) {
        let _ = (job, metrics);
    }
}

/// Nobody listens.
impl EvalObserver for () {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for protocol in Protocol::ALL {
            assert_eq!(protocol.name().parse(), Ok(protocol));
        }
        assert_eq!("rating".parse::<Protocol>(), Err(EvalError::UnknownProtocol { name: "rating".into() }));
    }

    #[test]
    fn nobody_gives_more_than_they_have() {
        assert_eq!(GivenRatings::First(5).of(3), 3);
        assert_eq!(GivenRatings::First(5).of(30), 5);
        assert_eq!(GivenRatings::All.of(30), 30);
        assert_eq!(GivenRatings::COLUMNS.map(|given| given.to_string()), ["0", "1", "5", "10", "20", "all"]);
    }
}
