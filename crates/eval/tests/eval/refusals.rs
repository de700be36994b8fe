use foldin_core::registry::Settings;
use foldin_core::{CancelFlag, Dataset, Feedback, Interactions, ItemId, ModelEntry, UserId};
use foldin_eval::{EvalError, EvalOptions, GivenSplit, ModelRequest, Protocol, evaluate};

use crate::toys::{ItemMean, dataset, generated};

fn refused(data: &Dataset, requests: &[ModelRequest], options: &EvalOptions) -> EvalError {
    evaluate(data, requests, options, &()).unwrap_err()
}

fn one() -> [ModelRequest; 1] {
    [ModelRequest::new(ModelEntry::of::<ItemMean>())]
}

fn with(key: &str, value: impl Into<serde_json::Value>) -> [ModelRequest; 1] {
    let settings: Settings = [(key.to_owned(), value.into())].into_iter().collect();
    one().map(|request| request.with(settings.clone()))
}

#[test]
fn folds_that_are_not_there() {
    let data = generated(10);
    let folds =
        |protocol, folds, only_folds| EvalOptions { protocol, folds, only_folds, ..EvalOptions::default() };
    for protocol in [Protocol::Ratings, Protocol::NewUsers] {
        assert_eq!(refused(&data, &one(), &folds(protocol, 1, vec![])), EvalError::TooFewFolds { folds: 1 });
        for fold in [0, 6] {
            assert_eq!(
                refused(&data, &one(), &folds(protocol, 5, vec![1, fold])),
                EvalError::UnknownFold { fold, folds: 5 }
            );
        }
    }
    assert_eq!(
        refused(&data, &one(), &folds(Protocol::NewUsers, 11, vec![])),
        EvalError::TooFew { what: "users with ratings", folds: 11, have: 10 }
    );
    assert_eq!(
        refused(&data, &one(), &folds(Protocol::RatingsRandom, 0, vec![])),
        EvalError::TooFewFolds { folds: 0 }
    );
}

#[test]
fn users_with_too_few_ratings() {
    let data = dataset(4, 2, &[(0, 0, 1.0), (1, 1, 2.0), (2, 0, 3.0), (3, 1, 4.0)]);
    let options = EvalOptions { protocol: Protocol::NewUsers, folds: 2, ..EvalOptions::default() };
    assert_eq!(refused(&data, &one(), &options), EvalError::NothingGiven { fold: "1".into() });
    // One rating a user, all of which begin at a random fold: some fold gets none.
    let data = dataset(2, 1, &[(0, 0, 1.0), (1, 0, 2.0)]);
    let empty = (0..20).any(|seed| {
        let options = EvalOptions { folds: 2, seed, ..EvalOptions::default() };
        matches!(evaluate(&data, &one(), &options, &()), Err(EvalError::EmptyFold { .. }))
    });
    assert!(empty);
}

#[test]
fn requests_that_cannot_be_run() {
    let data = generated(10);
    let options = EvalOptions::default();
    assert_eq!(refused(&data, &[], &options), EvalError::NoModels);
    let twice = [one(), one()].concat();
    assert_eq!(refused(&data, &twice, &options), EvalError::DuplicateLabel { label: "toy-item-mean".into() });
    let error = refused(&data, &with("shifd", 1), &options);
    assert!(matches!(&error, EvalError::Config { label, .. } if label == "toy-item-mean"), "{error}");
    assert!(error.to_string().contains("did you mean `shift`"), "{error}");
    assert!(matches!(refused(&data, &with("shift", 11), &options), EvalError::Config { .. }));
}

#[test]
fn predictions_that_are_no_numbers_are_traced() {
    let data = dataset(2, 2, &[(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0), (1, 1, 4.0)]);
    let options = EvalOptions { folds: 2, ..EvalOptions::default() };
    let error = refused(&data, &with("broken", true), &options);
    let EvalError::NotFinite { label, fold, what, user, .. } = &error else { panic!("{error}") };
    assert_eq!(
        (label.as_str(), fold.as_str(), *what, user.as_str()),
        ("toy-item-mean", "1", "prediction", "u0")
    );
}

#[test]
fn clicks_are_not_ratings() {
    let mut data = generated(10);
    let by_user = data.interactions.by_user().clone();
    data.interactions = Interactions::new(by_user, None, Feedback::Implicit).unwrap();
    assert_eq!(
        refused(&data, &one(), &EvalOptions::default()),
        EvalError::NotRatings { protocol: "ratings" }
    );
}

#[test]
fn given_splits_must_fit_the_data() {
    let data = dataset(2, 2, &[(0, 0, 1.0), (0, 1, 2.0), (1, 0, 3.0)]);
    let train = dataset(2, 2, &[(0, 0, 1.0), (1, 0, 3.0)]).interactions;
    let run = |train: &Interactions, test: Vec<(UserId, ItemId, f32)>| {
        let given = vec![GivenSplit { name: "mine".into(), train: train.clone(), test }];
        let options = EvalOptions { protocol: Protocol::Given, given, ..EvalOptions::default() };
        evaluate(&data, &one(), &options, &())
    };
    let cell = |user, item, value| (UserId(user), ItemId(item), value);
    assert!(run(&train, vec![cell(0, 1, 2.0)]).is_ok());
    for (test, expected) in [
        (vec![cell(0, 0, 1.0)], "rating of item `i0` by user `u0` in both"),
        (vec![cell(2, 0, 1.0)], "row 2 is out of range"),
        (vec![cell(0, 2, 1.0)], "column 2 of row 0 is out of range"),
        (vec![cell(0, 1, f32::NAN)], "not a finite number"),
        (vec![cell(0, 1, 1.0), cell(0, 1, 2.0)], "column 1 twice"),
        (vec![], "no test ratings"),
    ] {
        let error = run(&train, test).unwrap_err().to_string();
        assert!(error.contains("mine") && error.contains(expected), "{error}");
    }
    let other = dataset(3, 2, &[(0, 0, 1.0)]).interactions;
    assert!(matches!(run(&other, vec![cell(0, 1, 2.0)]), Err(EvalError::Split { .. })));
    let options = EvalOptions { protocol: Protocol::Given, ..EvalOptions::default() };
    assert_eq!(refused(&data, &one(), &options), EvalError::NoSplit);
}

#[test]
fn a_request_to_stop_is_heard() {
    let cancel = CancelFlag::default();
    cancel.cancel();
    let options = EvalOptions { cancel, ..EvalOptions::default() };
    assert_eq!(refused(&generated(10), &one(), &options), EvalError::Cancelled);
}

#[test]
fn a_fit_is_stopped_between_epochs() {
    struct Impatient(CancelFlag);
    impl foldin_eval::EvalObserver for Impatient {
        fn epoch(&self, _: &foldin_eval::Job, epoch: foldin_core::Epoch) {
            assert_eq!(epoch.number, 1, "no epoch follows the one that was stopped");
            self.0.cancel();
        }
        fn fit_done(&self, _: &foldin_eval::Job, _: f64) {
            panic!("half a model is no model");
        }
    }
    let options = EvalOptions::default();
    let observer = Impatient(options.cancel.clone());
    assert_eq!(evaluate(&generated(10), &one(), &options, &observer), Err(EvalError::Cancelled));
}

#[test]
fn finished_folds_survive_a_stop() {
    struct AfterTwo(CancelFlag);
    impl foldin_eval::EvalObserver for AfterTwo {
        fn job_done(&self, job: &foldin_eval::Job, _: &[(String, f64)]) {
            if job.number == 2 {
                self.0.cancel();
            }
        }
    }
    let data = generated(10);
    let whole = evaluate(&data, &one(), &EvalOptions::default(), &()).unwrap();
    let options = EvalOptions::default();
    let observer = AfterTwo(options.cancel.clone());
    let Err(EvalError::Partial { report }) = evaluate(&data, &one(), &options, &observer) else {
        panic!("two folds are finished")
    };
    assert!(report.partial && !whole.partial);
    assert_eq!((report.folds.len(), report.of_folds), (2, 5));
    let rmse = |report: &foldin_eval::EvalReport| report.models[0].metrics.get("rmse").unwrap().folds.clone();
    assert_eq!(rmse(&report), rmse(&whole)[..2]);
    assert!(report.to_json().contains("\"partial\": true") && !whole.to_json().contains("partial"));
}
