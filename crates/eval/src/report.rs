//! The result of an evaluation. Its JSON form is described in `docs/report-schema.md` and held by a golden test.

use foldin_core::{Dataset, Epoch, RatingScale};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

use crate::machine::Machine;
use crate::statistics::{PairedTest, Summary};

/// Version of the JSON form. New keys may come without a new version; a key that goes or changes its meaning brings one.
pub const FORMAT: u32 = 1;

/// Figures by name, in order of presentation; a map in JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// The value of a name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// The whole result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvalReport {
    /// [`FORMAT`].
    pub format: u32,
    /// What was evaluated on.
    pub data: DataSummary,
    /// Name of the protocol.
    pub protocol: String,
    /// The figure that models are compared by, a key of each model's `metrics`.
    pub main_metric: String,
    /// Seed of split and fits.
    pub seed: u64,
    /// Number of folds that the data were dealt to.
    pub of_folds: usize,
    /// The folds that were run, in order: numbers from 1, or names of given splits. Every list called `folds` below has
    /// one element for each.
    pub folds: Vec<String>,
    /// True if the evaluation was stopped and folds that were asked for are missing; left out of the JSON otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Number of test ratings in each fold.
    pub test_ratings: Vec<usize>,
    /// Number of users tested in each fold.
    pub test_users: Vec<usize>,
    /// Remarks on what was tested; left out of the JSON if there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Version of the code.
    pub code_version: String,
    /// Threads of the pool that fitted and predicted.
    pub threads: usize,
    /// What it ran on.
    pub machine: Machine,
    /// One for each model, in the order asked for.
    pub models: Vec<ModelReport>,
}

impl EvalReport {
    /// The report as indented JSON with a newline at the end.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and lists always serialise; figures are checked to be finite before they come here.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The model of a label.
    #[must_use]
    pub fn model(&self, label: &str) -> Option<&ModelReport> {
        self.models.iter().find(|model| model.label == label)
    }
}

/// The data set of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataSummary {
    /// Its name.
    pub name: String,
    /// Fingerprint of its interactions.
    pub fingerprint: String,
    /// Number of users.
    pub users: usize,
    /// Number of items.
    pub items: usize,
    /// Number of ratings.
    pub ratings: usize,
    /// The scale of the ratings.
    pub scale: Option<RatingScale>,
}

impl DataSummary {
    /// Describes a data set.
    #[must_use]
    pub fn of(data: &Dataset) -> Self {
        Self {
            name: data.name.clone(),
            fingerprint: data.interactions.fingerprint(),
            users: data.interactions.n_users(),
            items: data.interactions.n_items(),
            ratings: data.interactions.len(),
            scale: data.interactions.feedback().scale(),
        }
    }
}

/// The result of one model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelReport {
    /// Name in the registry.
    pub model: String,
    /// Name in this report.
    pub label: String,
    /// Every setting, defaults included.
    pub config: Value,
    /// How new users were met (protocol `new-users`): `history`, `no-history`, `retrain-all` or `retrain-each`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_users: Option<String>,
    /// Figures by name; empty if the model could not predict for these users.
    pub metrics: Named<Summary>,
    /// Why there are no metrics, if there are none.
    pub cannot: Option<String>,
    /// Comparison with the first model; `None` for the first.
    pub paired: Option<Paired>,
    /// Seconds of the fit, each fold; with retraining, of the fit behind `rmse@all`.
    pub fit_seconds: Vec<f64>,
    /// Median seconds from the history of one user to their factors (or, for a model without factors, to the scores of
    /// all items), one user at a time, each fold; empty if the model serves no new users.
    pub seconds_per_user: Vec<f64>,
    /// What `seconds_per_user` timed: `factors` or `scores`.
    pub seconds_per_user_of: Option<String>,
    /// In `top-n-new-users`, by what was given: median seconds from that to a list of one user as long as the longest measured, one user
    /// at a time, each fold; left out of the JSON if there are none.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub seconds_per_list: Named<Vec<f64>>,
    /// The most that the process held resident during the fit, each fold; empty where unknown.
    pub peak_memory_bytes: Vec<u64>,
    /// That, less what was resident before the fit, each fold; empty where unknown.
    pub peak_memory_increase_bytes: Vec<u64>,
    /// Coverage of predictive intervals; empty for a model without predictive variance.
    pub calibration: Vec<Calibration>,
    /// One for each fold, in order; with retraining, of the fit behind `rmse@all`.
    pub learning_curves: Vec<LearningCurve>,
    /// Remarks of the model and of the protocol.
    pub notes: Vec<String>,
}

/// A comparison with another model in the same folds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Paired {
    /// Label of the other model.
    pub against: String,
    /// The figure compared: the report's `main_metric`.
    pub metric: String,
    /// The comparison of that figure; its fields stand beside `against`.
    #[serde(flatten)]
    pub test: PairedTest,
    /// The same for every figure that both models have.
    pub by_metric: Named<PairedTest>,
}

/// How often test ratings fell into intervals of one nominal probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Ratings given by the new users: a number or `all`; `None` outside `new-users`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<String>,
    /// Nominal probability of the central interval.
    pub level: f64,
    /// The share of test ratings within it.
    pub coverage: Summary,
}

/// How a fit went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LearningCurve {
    /// The fold.
    pub fold: String,
    /// Its epochs; none for a model that is not fitted step by step.
    pub epochs: Vec<CurvePoint>,
}

/// One epoch of a learning curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Which one, from 1.
    pub epoch: usize,
    /// RMSE on training ratings, where known.
    pub train_rmse: Option<f64>,
    /// RMSE on the validation slice of the training part, where there is one.
    pub validation_rmse: Option<f64>,
    /// Training loss in the model's own unit, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_loss: Option<f64>,
    /// nDCG@20 on the validation slice of the training part, of models that rank.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_ndcg: Option<f64>,
}

impl From<Epoch> for CurvePoint {
    fn from(epoch: Epoch) -> Self {
        // JSON has no NaN: a loss that left the numbers is unknown.
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        Self {
            epoch: epoch.number,
            train_rmse: finite(epoch.train_rmse),
            validation_rmse: finite(epoch.validation_rmse),
            train_loss: finite(epoch.train_loss),
            validation_ndcg: finite(epoch.validation_ndcg),
        }
    }
}
