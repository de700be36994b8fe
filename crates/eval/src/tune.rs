//! A search over a model's settings, by a validation part of the training data alone.
//!
//! [`training_part`] takes the test part of a protocol away; what is left is cut once more by the same protocol, into ten parts, one of
//! which every trial is judged by. The first trial is the model's own default, some more are drawn at random, and from then on settings
//! come from tree-structured Parzen estimators (Bergstra et al. 2011, "Algorithms for hyper-parameter optimization"), one a setting.
//! What is tried is a function of seed, spaces and what was found so far, so that a search that was stopped goes on as if it had not.

use std::collections::BTreeMap;

use foldin_core::random::{Random, numbered_seed};
use foldin_core::registry::Settings;
use foldin_core::search::Space;
use foldin_core::{Dataset, Dictionary};
use rand_pcg::Pcg64;
use serde::{Deserialize, Serialize};
use tpe::TpeOptimizerBuilder;

use crate::error::EvalError;
use crate::evaluate::evaluate;
use crate::fold::Cutter;
use crate::options::{EvalObserver, EvalOptions, ModelRequest};
use crate::table::lower_is_better;

/// Parts that the training part is cut into; one is for validation.
const PARTS: usize = 10;
/// Trials that are drawn at random before the estimators have something to go by; the default comes before them.
const RANDOM_TRIALS: usize = 8;
/// Share of the trials that count as good.
const GOOD: f64 = 0.2;

/// One attempt, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which one, from 1; the first has the model's defaults.
    pub number: usize,
    /// What was changed from the defaults.
    pub settings: Settings,
    /// Where in each space that was, from 0 to 1; empty for the defaults.
    pub places: BTreeMap<String, f64>,
    /// The figure; `None` if the model could not be fitted.
    pub value: Option<f64>,
    /// Why there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Seconds of the fit.
    pub seconds: f64,
}

/// Whether more of a figure is better.
#[must_use]
pub fn greater_is_better(metric: &str) -> bool {
    !lower_is_better(metric)
}

/// Which settings to try next.
#[derive(Debug)]
pub struct Search {
    spaces: Vec<(String, Space)>,
    seed: u64,
    /// Whether a greater figure is better.
    greater: bool,
    trials: Vec<Trial>,
}

impl Search {
    /// A search over these settings. `metric` is the name of the figure, which says what is better.
    #[must_use]
    pub fn new(spaces: Vec<(String, Space)>, metric: &str, seed: u64) -> Self {
        Self { spaces, seed, greater: greater_is_better(metric), trials: Vec::new() }
    }

    /// All trials so far.
    #[must_use]
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// The best trial so far.
    #[must_use]
    pub fn best(&self) -> Option<&Trial> {
        self.trials
            .iter()
            .filter(|trial| trial.value.is_some())
            .min_by(|a, b| self.cost(a).total_cmp(&self.cost(b)))
    }

    /// Less is better; a failed trial is the worst there is.
    fn cost(&self, trial: &Trial) -> f64 {
        trial.value.map_or(f64::INFINITY, |value| if self.greater { -value } else { value })
    }

    /// The next trial, without its outcome.
    #[must_use]
    pub fn next(&self) -> Trial {
        let number = self.trials.len() + 1;
        let mut trial = Trial {
            number,
            settings: Settings::new(),
            places: BTreeMap::new(),
            value: None,
            problem: None,
            seconds: 0.0,
        };
        if number == 1 {
            return trial;
        }
        for (at, (key, space)) in self.spaces.iter().enumerate() {
            let seed = numbered_seed(numbered_seed(self.seed, "trial", number as u64), "setting", at as u64);
            let place = if number <= RANDOM_TRIALS + 1 {
                Random::new(seed).uniform()
            } else {
                self.promising(key, space, seed)
            };
            trial.settings.insert(key.clone(), space.at(place));
            trial.places.insert(key.clone(), place);
        }
        trial
    }

    /// A place that good trials were rather at than others.
    fn promising(&self, key: &str, space: &Space, seed: u64) -> f64 {
        let choices = space.choices();
        // The range of a space without order is its number of choices.
        let width = choices.unwrap_or(1) as f64;
        let estimator = if choices.is_some() { tpe::histogram_estimator() } else { tpe::parzen_estimator() };
        let found = || -> Option<f64> {
            let range = tpe::range(0.0, width).ok()?;
            let mut optimiser = TpeOptimizerBuilder::new().gamma(GOOD).build(estimator, range).ok()?;
            for trial in &self.trials {
                let Some(place) = trial.places.get(key) else { continue };
                let place = choices.map_or(*place, |_| space.choice(*place) as f64);
                optimiser.tell(place.min(width.next_down()), self.cost(trial)).ok()?;
            }
            optimiser.ask(&mut Pcg64::new(u128::from(seed), 0x9e37_79b9_7f4a_7c15)).ok()
        };
        // Every place told lies in range, so that this cannot fail; a random place would be no harm.
        match (found(), choices) {
            (Some(choice), Some(_)) => (choice.floor() + 0.5) / width,
            (Some(place), None) => place,
            (None, _) => Random::new(seed).uniform(),
        }
    }

    /// Takes in a trial with its outcome.
    pub fn tell(&mut self, trial: Trial) {
        self.trials.push(trial);
    }
}

/// What may be learned from under a protocol: the training part of a fold, numbered from 0, as a data set of its own.
///
/// # Errors
/// [`EvalError`], as for an evaluation.
pub fn training_part(data: &Dataset, options: &EvalOptions, fold: usize) -> Result<Dataset, EvalError> {
    let cutter = Cutter::new(data, options)?;
    if fold >= cutter.folds() {
        return Err(EvalError::UnknownFold { fold: fold + 1, folds: cutter.folds() });
    }
    let fold = cutter.fold(fold)?;
    let training = fold.training_data();
    let users = fold.train_users();
    let keys = match users {
        None => data.users.clone(),
        Some(users) => {
            let keys = users.iter().map(|&user| data.users.key(user).unwrap_or_default());
            // Some keys of a dictionary are as distinct as all of them.
            Dictionary::from_keys(keys).unwrap_or_default()
        }
    };
    Ok(Dataset {
        interactions: training.interactions.clone(),
        users: keys,
        user_features: training.user_features.clone(),
        ..data.clone()
    })
}

/// The options by which trials are judged on a training part: one fold of ten of the same protocol, or the same share of another draw.
#[must_use]
pub fn validation_options(options: &EvalOptions) -> EvalOptions {
    EvalOptions {
        protocol: options.protocol.without_given(),
        folds: PARTS,
        only_folds: vec![1],
        test_share: 1.0 / PARTS as f64,
        given: Vec::new(),
        // The split of the validation part must not be that of the test part.
        seed: numbered_seed(options.seed, "validation", 1),
        ..options.clone()
    }
}

/// Makes a trial: fits the model with its settings and judges it by the validation part. `options` are [`validation_options`].
///
/// # Errors
/// [`EvalError::Cancelled`], and what is wrong with the data; a model that cannot be fitted with these settings is a trial without a
/// value.
pub fn attempt(
    training: &Dataset,
    request: &ModelRequest,
    options: &EvalOptions,
    observer: &dyn EvalObserver,
    mut trial: Trial,
) -> Result<Trial, EvalError> {
    let mut settings = request.settings.clone();
    settings.extend(trial.settings.clone());
    let request = request.clone().with(settings);
    match evaluate(training, &[request], options, observer) {
        Ok(report) => {
            let model = &report.models[0];
            trial.seconds = model.fit_seconds.iter().sum();
            trial.value = model.metrics.get(&report.main_metric).map(|summary| summary.mean);
            trial.problem = model.cannot.clone();
            Ok(trial)
        }
        Err(error @ (EvalError::Config { .. } | EvalError::Fit { .. } | EvalError::NotFinite { .. })) => {
            Ok(Trial { problem: Some(error.to_string()), ..trial })
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search() -> Search {
        let spaces = [("x", "uniform:-4:4"), ("kind", "choice:bad:good:worse")];
        let spaces = spaces.map(|(key, space)| (key.to_owned(), space.parse().unwrap()));
        Search::new(spaces.to_vec(), "ndcg@20", 7)
    }

    /// Greatest at x = 1 with `good`.
    fn outcome(trial: &Trial) -> Option<f64> {
        let x = trial.settings.get("x").map_or(-3.0, |x| x.as_f64().unwrap());
        let kind = trial.settings.get("kind").and_then(|kind| kind.as_str()).unwrap_or("bad");
        (kind != "worse").then(|| if kind == "good" { 1.0 } else { 0.0 } - (x - 1.0).powi(2))
    }

    fn run(search: &mut Search, trials: usize) {
        while search.trials().len() < trials {
            let trial = search.next();
            let value = outcome(&trial);
            search.tell(Trial { value, ..trial });
        }
    }

    #[test]
    fn finds_the_greatest() {
        let mut search = search();
        run(&mut search, 60);
        assert!(search.trials()[0].settings.is_empty(), "the first has the defaults");
        let best = search.best().unwrap();
        assert!(best.value.unwrap() > 0.7, "{best:?}");
        assert_eq!(best.settings["kind"], "good");
        // And looks where it is good: most later trials are.
        let late = search.trials()[40..].iter().filter(|trial| trial.settings["kind"] == "good").count();
        assert!(late > 12, "{late} of 20");
    }

    #[test]
    fn goes_on_as_if_it_had_not_been_stopped() {
        let (mut whole, mut first, mut second) = (search(), search(), search());
        run(&mut whole, 30);
        run(&mut first, 17);
        for trial in first.trials() {
            // Through text, as trials are kept.
            second.tell(serde_json::from_str(&serde_json::to_string(trial).unwrap()).unwrap());
        }
        run(&mut second, 30);
        assert_eq!(whole.trials(), second.trials());
    }

    #[test]
    fn less_is_better_of_errors() {
        let mut search = Search::new(Vec::new(), "rmse@all", 1);
        for (number, value) in [(1, Some(0.9)), (2, Some(0.8)), (3, None)] {
            let trial = search.next();
            assert_eq!(trial.number, number);
            search.tell(Trial { value, ..trial });
        }
        assert_eq!(search.best().unwrap().number, 2);
    }
}
