//! The evaluation itself: every model in every fold, then what the folds say together.

use std::collections::{HashMap, HashSet};

use foldin_core::{Dataset, ScoreError};
use serde_json::Value;

use crate::error::EvalError;
use crate::fold::{Cutter, Fold};
use crate::kept::Kept;
use crate::machine::Machine;
use crate::options::{EvalObserver, EvalOptions, Job, ModelRequest, NewUserMode, Protocol};
use crate::report::{
    Calibration, DataSummary, EvalReport, FORMAT, LearningCurve, ModelReport, Named, Paired,
};
use crate::run::{Fitted, Outcome, Runner, fit_seed};
use crate::statistics::{PairedTest, Summary, holm, paired};

/// Fits and tests every model in every fold that was asked for, on the current Rayon pool.
///
/// The split is a function of data, protocol and seed; every model gets the same folds, and in a fold the same seed. Metrics
/// do not depend on the number of threads. Models never see a test rating: they are fitted on the fold's training part,
/// and called with histories from which the targets are missing.
///
/// # Errors
/// [`EvalError`]: settings, folds and splits are checked before anything is fitted; afterwards a model that fails to fit, or
/// predicts what is no number, ends the evaluation. A model that cannot serve new users is reported as such and ends
/// nothing. Asked to stop, it ends with [`EvalError::Partial`], which holds the folds that every model finished, or with
/// [`EvalError::Cancelled`] if there is none.
pub fn evaluate(
    data: &Dataset,
    requests: &[ModelRequest],
    options: &EvalOptions,
    observer: &dyn EvalObserver,
) -> Result<EvalReport, EvalError> {
    let configs = check_requests(requests)?;
    let cutter = Cutter::new(data, options)?;
    let chosen = cutter.chosen()?;
    let mut outcomes: Vec<Vec<Outcome>> = requests.iter().map(|_| Vec::new()).collect();
    let (mut test_ratings, mut test_users) = (Vec::new(), Vec::new());
    let mut partial = false;
    let mut notes = Vec::new();
    let kept = Kept::new(options);
    for (turn, &at) in chosen.iter().enumerate() {
        let fold = cutter.fold(at)?;
        let of_fold = match run_fold(
            data,
            requests,
            &configs,
            options,
            observer,
            &kept,
            &fold,
            at,
            (turn, chosen.len()),
        ) {
            // What is finished is worth keeping; a fold that not every model finished compares nothing.
            Err(EvalError::Cancelled) if turn > 0 => {
                partial = true;
                break;
            }
            of_fold => of_fold?,
        };
        notes.extend(fold.notes.iter().cloned());
        test_ratings.push(fold.test.values.len());
        test_users.push(fold.test.users.len());
        for (which, outcome) in of_fold {
            outcomes[which].push(outcome);
        }
    }
    notes.extend(kept.note());
    let chosen = &chosen[..test_ratings.len()];
    let folds: Vec<String> = chosen.iter().map(|&fold| cutter.name(fold)).collect();
    let by_user: Vec<ByUser> = outcomes.iter().map(|outcomes| figures_of_users(outcomes)).collect();
    let mut models: Vec<ModelReport> = requests
        .iter()
        .zip(configs)
        .zip(outcomes)
        .map(|((request, config), outcomes)| {
            model_report(request, config, outcomes, &folds, options.protocol)
        })
        .collect();
    compare(&mut models, &by_user, &options.main_metric());
    let report = EvalReport {
        format: FORMAT,
        data: DataSummary::of(data),
        protocol: options.protocol.name().to_owned(),
        main_metric: options.main_metric(),
        seed: options.seed,
        of_folds: cutter.folds(),
        folds,
        partial,
        test_ratings,
        test_users,
        notes,
        code_version: options.code_version.clone(),
        threads: rayon::current_num_threads(),
        machine: Machine::this(),
        models,
    };
    if partial { Err(EvalError::Partial { report: Box::new(report) }) } else { Ok(report) }
}

/// Every model in one fold (number `at`, from 0), which is the one of that `turn` among so many. What each found stands
/// with the number of its request.
fn run_fold(
    data: &Dataset,
    requests: &[ModelRequest],
    configs: &[Value],
    options: &EvalOptions,
    observer: &dyn EvalObserver,
    kept: &Kept<'_>,
    fold: &Fold<'_>,
    at: usize,
    (turn, folds): (usize, usize),
) -> Result<Vec<(usize, Outcome)>, EvalError> {
    let clicks = options.protocol.ranks().then(|| fold.as_clicks(options.liked_from));
    let mut outcomes = Vec::with_capacity(requests.len());
    let mut shared: Vec<Option<Fitted>> = requests.iter().map(|_| None).collect();
    for (which, request) in requests.iter().enumerate() {
        let job = Job {
            number: turn * requests.len() + which + 1,
            of: folds * requests.len(),
            label: request.label.clone(),
            fold: fold.name.clone(),
        };
        let runner = Runner { data, options, observer, job: &job, request };
        // Where items are ranked, a model that can learn from clicks does.
        let fold = clicks.as_ref().filter(|_| request.entry.capabilities.implicit).unwrap_or(fold);
        let seed = |fit: usize| fit_seed(options.seed, at, fit);
        let retrained = options.protocol.tests_new_users() && retrains(request);
        let hopeless =
            options.protocol.tests_new_users() && !retrained && !request.entry.capabilities.new_users;
        let outcome = if hopeless {
            // Nothing need be fitted to say so.
            Outcome::cannot(ScoreError::NewUser { model: request.entry.name })
        } else if retrained || request.fits > 1 {
            let fits = (0..request.fits).map(|fit| {
                kept.or_find(&runner, fold, &configs[which], fit, || match retrained {
                    true => runner.retrain(fold, seed(fit)),
                    false => runner.test(fold, &runner.fit(&fold.training_data(), seed(fit))?),
                })
            });
            Outcome::mean_of(fits.collect::<Result<_, _>>()?)
        } else {
            // One fit serves every later request of the same model and settings: it would have the same bits.
            let same = |other: &usize| same_fit(requests, configs, which, *other, options.protocol);
            let first = (0..which).find(same).unwrap_or(which);
            let outcome = kept.or_find(&runner, fold, &configs[which], 0, || {
                let fitted = match shared[first].take() {
                    Some(fitted) => fitted,
                    None => runner.fit(&fold.training_data(), seed(0))?,
                };
                let outcome = runner.test(fold, &fitted)?;
                shared[first] = Some(fitted);
                Ok(outcome)
            })?;
            if !(which + 1..requests.len()).any(|other| same(&other)) {
                shared[first] = None;
            }
            outcome
        };
        let metrics: Vec<_> =
            outcome.metrics.iter().map(|figure| (figure.name.clone(), figure.value)).collect();
        observer.job_done(&job, &metrics);
        outcomes.push((which, outcome));
    }
    Ok(outcomes)
}

/// Checks labels and settings; gives the full configuration of each.
fn check_requests(requests: &[ModelRequest]) -> Result<Vec<Value>, EvalError> {
    if requests.is_empty() {
        return Err(EvalError::NoModels);
    }
    let mut labels = HashSet::new();
    requests
        .iter()
        .map(|request| {
            let label = request.label.clone();
            if !labels.insert(label.clone()) {
                return Err(EvalError::DuplicateLabel { label });
            }
            request
                .entry
                .resolve(&request.settings)
                .map_err(|source| EvalError::Config { label, source: Box::new(source) })
        })
        .collect()
}

fn retrains(request: &ModelRequest) -> bool {
    matches!(request.new_users, NewUserMode::RetrainAll | NewUserMode::RetrainEach)
}

fn same_fit(
    requests: &[ModelRequest],
    configs: &[Value],
    one: usize,
    other: usize,
    protocol: Protocol,
) -> bool {
    requests[one].entry.name == requests[other].entry.name
        && configs[one] == configs[other]
        && !(protocol.tests_new_users() && retrains(&requests[other]))
        && requests[other].fits == 1
}

/// For each figure by name, those of all tested users, fold after fold; only of figures that are means over users.
type ByUser = HashMap<String, Vec<f64>>;

fn figures_of_users(outcomes: &[Outcome]) -> ByUser {
    let mut out = ByUser::new();
    for figure in outcomes.iter().flat_map(|outcome| &outcome.metrics) {
        if !figure.by_user.is_empty() {
            out.entry(figure.name.clone()).or_default().extend(&figure.by_user);
        }
    }
    out
}

fn model_report(
    request: &ModelRequest,
    config: Value,
    outcomes: Vec<Outcome>,
    folds: &[String],
    protocol: Protocol,
) -> ModelReport {
    let cannot = outcomes.iter().find_map(|outcome| outcome.cannot.clone());
    let complete = if cannot.is_none() { outcomes.as_slice() } else { &[] };
    let first = complete.first();
    let metrics = first.map_or_else(Vec::new, |first| {
        let over_folds = |place: usize| {
            let of_folds = || complete.iter().map(|outcome| &outcome.metrics[place]);
            let summary = Summary::of(&of_folds().map(|figure| figure.value).collect::<Vec<_>>())?;
            let users: Vec<f64> = of_folds().flat_map(|figure| figure.by_user.iter().copied()).collect();
            let fits: Vec<Vec<f64>> = of_folds().map(|figure| figure.fits.clone()).collect();
            Some(summary.over_users(&users).over_fits(&fits))
        };
        let names = first.metrics.iter().enumerate();
        names.filter_map(|(place, figure)| Some((figure.name.clone(), over_folds(place)?))).collect()
    });
    let calibration = first.map_or_else(Vec::new, |first| {
        let over_folds = |place: usize| {
            Summary::of(&complete.iter().map(|outcome| outcome.covered[place].2).collect::<Vec<_>>())
        };
        let rows = first.covered.iter().enumerate();
        rows.filter_map(|(place, (given, level, _))| {
            Some(Calibration { given: given.clone(), level: *level, coverage: over_folds(place)? })
        })
        .collect()
    });
    let mut notes: Vec<String> = outcomes.first().map(|outcome| outcome.notes.clone()).unwrap_or_default();
    let epochs: Vec<String> =
        outcomes.iter().flat_map(|outcome| &outcome.best_epochs).map(usize::to_string).collect();
    if !epochs.is_empty() {
        notes.push(format!("best epochs by what each fit held out: {}", epochs.join(", ")));
    }
    let new_users = protocol.tests_new_users().then_some(request.new_users);
    notes.extend(new_users.and_then(note_on).map(str::to_owned));
    let peaks: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.peak).collect();
    let peaks = if peaks.len() == outcomes.len() { peaks } else { Vec::new() };
    let timed: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.seconds_per_user.as_ref()).collect();
    ModelReport {
        model: request.entry.name.to_owned(),
        label: request.label.clone(),
        config,
        new_users: new_users.map(|mode| mode.name().to_owned()),
        metrics: Named(metrics),
        cannot,
        paired: None,
        fit_seconds: complete.iter().map(|outcome| outcome.seconds).collect(),
        seconds_per_user: timed.iter().map(|(seconds, _)| *seconds).collect(),
        seconds_per_user_of: timed.first().map(|(_, what)| what.clone()),
        seconds_per_list: list_seconds(complete),
        peak_memory_bytes: peaks.iter().map(|peak| peak.absolute).collect(),
        peak_memory_increase_bytes: peaks.iter().map(|peak| peak.increase).collect(),
        calibration,
        learning_curves: folds
            .iter()
            .zip(outcomes)
            .map(|(fold, outcome)| LearningCurve { fold: fold.clone(), epochs: outcome.curve })
            .collect(),
        notes,
    }
}

/// Seconds for a list by what was given, fold by fold.
fn list_seconds(outcomes: &[Outcome]) -> Named<Vec<f64>> {
    let Some(first) = outcomes.first() else { return Named::default() };
    let over_folds =
        |place: usize| outcomes.iter().map(|outcome| outcome.seconds_per_list[place].1).collect::<Vec<_>>();
    let given = first.seconds_per_list.iter().enumerate();
    Named(given.map(|(place, (given, _))| (given.clone(), over_folds(place))).collect())
}

fn note_on(mode: NewUserMode) -> Option<&'static str> {
    match mode {
        NewUserMode::History => None,
        NewUserMode::NoHistory => {
            Some("Given no ratings of the new users, only their side information: every column is the same.")
        }
        NewUserMode::RetrainAll => {
            Some("Fitted again in full with all given ratings of the new users among the training ratings.")
        }
        NewUserMode::RetrainEach => Some(
            "Fitted again in full for each number of given ratings, with these among the training ratings.",
        ),
    }
}

/// Compares every model with the first, figure by figure, over users where they have figures of their own and over folds otherwise;
/// Holm's correction runs over the models of one figure.
fn compare(models: &mut [ModelReport], by_user: &[ByUser], main: &str) {
    let Some((first, others)) = models.split_first_mut() else { return };
    for (model, of_users) in others.iter_mut().zip(&by_user[1..]) {
        let by_metric: Vec<_> = first
            .metrics
            .iter()
            .filter_map(|(name, reference)| {
                let own = model.metrics.get(name)?;
                let folds = paired(&own.folds, &reference.folds)?;
                let p_fits = paired(&own.fits, &reference.fits).and_then(|test| test.p);
                let users = of_users.get(name).zip(by_user[0].get(name));
                let users = users.and_then(|(this, first)| paired(this, first));
                // What differs in each fold is kept; how surely it differs is said by the users.
                let test = users.map(|users| PairedTest { folds: folds.folds.clone(), ..users });
                Some((name.to_owned(), PairedTest { p_fits, ..test.unwrap_or(folds) }))
            })
            .collect();
        let Some((_, test)) = by_metric.iter().find(|(name, _)| name == main).cloned() else { continue };
        model.paired = Some(Paired {
            against: first.label.clone(),
            metric: main.to_owned(),
            test,
            by_metric: Named(by_metric),
        });
    }
    for (name, _) in first.metrics.iter() {
        let mut tests: Vec<_> = others
            .iter_mut()
            .filter_map(|model| model.paired.as_mut())
            .filter_map(|paired| paired.by_metric.0.iter_mut().find(|(known, _)| known == name))
            .filter_map(|(_, test)| test.p.map(|p| (p, test)))
            .collect();
        let corrected = holm(&tests.iter().map(|(p, _)| *p).collect::<Vec<_>>());
        for ((_, test), corrected) in tests.iter_mut().zip(corrected) {
            test.p_holm = Some(corrected);
        }
    }
    for paired in others.iter_mut().filter_map(|model| model.paired.as_mut()) {
        paired.test.p_holm = paired.by_metric.get(main).and_then(|test| test.p_holm);
    }
}
