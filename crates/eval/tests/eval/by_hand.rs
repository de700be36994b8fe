use foldin_core::registry::Settings;
use foldin_eval::{
    EvalOptions, GivenSplit, NewUserMode, Protocol, evaluate, new_user_folds, random_rating_fold,
    rating_folds,
};

use crate::toys::{ByHeart, History, ItemMean, Sure, ToyConfig, dataset, generated, request};

fn options(protocol: Protocol, folds: usize) -> EvalOptions {
    EvalOptions { protocol, folds, seed: 3, ..EvalOptions::default() }
}

fn settings(key: &str, value: impl Into<serde_json::Value>) -> Settings {
    [(key.to_owned(), value.into())].into_iter().collect()
}

/// RMSE written as one would by hand.
fn rmse(pairs: &[(f64, f64)]) -> f64 {
    (pairs.iter().map(|(got, actual)| (got - actual).powi(2)).sum::<f64>() / pairs.len() as f64).sqrt()
}

fn near(got: f64, expected: f64) {
    // Models store f32.
    assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
}

#[test]
fn a_given_split_by_hand() {
    // Item means of the training part: i0 (2 + 4) / 2 = 3, i1 5; nobody rated i2, so the mean of all, 11 / 3.
    let data = dataset(2, 3, &[(0, 0, 2.0), (1, 0, 4.0), (0, 1, 5.0), (1, 1, 1.0), (1, 2, 3.0)]);
    let train = dataset(2, 3, &[(0, 0, 2.0), (1, 0, 4.0), (0, 1, 5.0)]).interactions;
    let test = vec![
        (foldin_core::UserId(1), foldin_core::ItemId(2), 3.0),
        (foldin_core::UserId(1), foldin_core::ItemId(1), 1.0),
    ];
    let given = vec![GivenSplit { name: "u1".into(), train, test }];
    let options = EvalOptions { protocol: Protocol::Given, given, ..EvalOptions::default() };
    let requests = [request::<ItemMean>(), request::<Sure>()];
    let report = evaluate(&data, &requests, &options, &()).unwrap();
    let model = &report.models[0];
    near(model.metrics.get("rmse").unwrap().mean, ((16.0 + 4.0 / 9.0) / 2.0f64).sqrt());
    near(model.metrics.get("mae").unwrap().mean, (4.0 + 2.0 / 3.0) / 2.0);
    assert_eq!(model.metrics.get("rmse").unwrap().ci95, None, "one fold has no interval");
    assert_eq!(
        (report.folds, report.test_ratings, report.test_users),
        (vec!["u1".to_owned()], vec![2], vec![1])
    );
    // Errors 0.667 and 4 with a deviation of 1: the 50 % interval reaches 0.674, the others do not reach 4.
    let covered: Vec<f64> = report.models[1].calibration.iter().map(|row| row.coverage.mean).collect();
    assert_eq!(covered, [0.5, 0.5, 0.5]);
    assert!(model.calibration.is_empty(), "no variance, no intervals");
}

#[test]
fn ratings_agree_with_the_split() {
    let data = generated(30);
    let report = evaluate(&data, &[request::<ByHeart>()], &options(Protocol::Ratings, 5), &()).unwrap();
    let folds = &report.models[0].metrics.get("rmse").unwrap().folds;
    assert_eq!(folds.len(), 5);
    for (fold, &got) in rating_folds(&data, 5, 3).iter().zip(folds) {
        let pairs: Vec<(f64, f64)> = fold
            .test
            .iter()
            .map(|(user, _, value)| {
                let own = fold.train.by_user().row(user.index()).1;
                (own.iter().map(|&value| f64::from(value)).sum::<f64>() / own.len() as f64, f64::from(*value))
            })
            .collect();
        near(got, rmse(&pairs));
    }
    assert_eq!(report.test_ratings, [60; 5]);
}

#[test]
fn only_some_folds_are_the_same_folds() {
    let data = generated(30);
    for protocol in [Protocol::Ratings, Protocol::RatingsRandom, Protocol::NewUsers] {
        let all = evaluate(&data, &[request::<ItemMean>()], &options(protocol, 4), &()).unwrap();
        let some = EvalOptions { only_folds: vec![4, 2, 2], ..options(protocol, 4) };
        let some = evaluate(&data, &[request::<ItemMean>()], &some, &()).unwrap();
        assert_eq!(some.folds, ["2", "4"]);
        for (name, summary) in some.models[0].metrics.iter() {
            let all = &all.models[0].metrics.get(name).unwrap().folds;
            assert_eq!(summary.folds, [all[1], all[3]]);
        }
    }
}

#[test]
fn random_draws_agree_with_the_split() {
    let data = generated(30);
    let report = evaluate(&data, &[request::<History>()], &options(Protocol::RatingsRandom, 2), &()).unwrap();
    for (repeat, &got) in report.models[0].metrics.get("rmse").unwrap().folds.iter().enumerate() {
        let fold = random_rating_fold(&data.interactions, 0.1, 3, repeat).unwrap();
        let pairs: Vec<(f64, f64)> = fold
            .test
            .iter()
            .map(|(user, _, value)| {
                let own = fold.train.by_user().row(user.index()).1;
                (own.iter().map(|&value| f64::from(value)).sum::<f64>() / own.len() as f64, f64::from(*value))
            })
            .collect();
        near(got, rmse(&pairs));
    }
}

#[test]
fn new_users_give_what_the_column_says() {
    let data = generated(30);
    let requests = [
        request::<History>(),
        request::<History>().labelled("silent").meeting(NewUserMode::NoHistory),
        request::<ByHeart>(),
        request::<ByHeart>().labelled("again").meeting(NewUserMode::RetrainAll),
        request::<ByHeart>().labelled("each").meeting(NewUserMode::RetrainEach),
    ];
    let report = evaluate(&data, &requests, &options(Protocol::NewUsers, 3), &()).unwrap();
    let folds = new_user_folds(&data, 3, 3);
    let expected = |column: usize| -> Vec<f64> {
        folds
            .iter()
            .map(|fold| {
                let mut pairs = Vec::new();
                for new in &fold.new_users {
                    let given = &new.given[..column.min(new.given.len())];
                    let mean = if given.is_empty() {
                        fold.train.mean()
                    } else {
                        given.iter().map(|&(_, value)| f64::from(value)).sum::<f64>() / given.len() as f64
                    };
                    pairs.extend(new.targets.iter().map(|&(_, value)| (mean, f64::from(value))));
                }
                rmse(&pairs)
            })
            .collect()
    };
    let columns =
        [("rmse@0", 0), ("rmse@1", 1), ("rmse@5", 5), ("rmse@10", 10), ("rmse@20", 20), ("rmse@all", 8)];
    let names: Vec<&str> = report.models[0].metrics.iter().map(|(name, _)| name).collect();
    assert_eq!(names, columns.map(|(name, _)| name));
    for (name, n) in columns {
        for (&got, expected) in report.models[0].metrics.get(name).unwrap().folds.iter().zip(expected(n)) {
            near(got, expected);
        }
        assert_eq!(
            report.models[1].metrics.get(name).unwrap().folds,
            report.models[0].metrics.get("rmse@0").unwrap().folds,
            "without history every column is the first"
        );
    }
    // Learned by heart, the mean of what was given is the same prediction as from the history.
    let again = &report.models[3].metrics;
    assert_eq!(again.0.len(), 1);
    for model in [3, 4] {
        let retrained = &report.models[model].metrics.get("rmse@all").unwrap().folds;
        for (&got, expected) in retrained.iter().zip(expected(8)) {
            near(got, expected);
        }
    }
    let each = &report.models[4].metrics.get("rmse@5").unwrap().folds;
    for (&got, expected) in each.iter().zip(expected(5)) {
        near(got, expected);
    }
    let cannot = &report.models[2];
    assert!(cannot.metrics.0.is_empty() && cannot.paired.is_none());
    assert!(cannot.cannot.as_deref().unwrap().contains("cannot serve a user"));
    assert_eq!(report.models[0].seconds_per_user_of.as_deref(), Some("factors"));
    assert_eq!(report.models[0].seconds_per_user.len(), 3);
    assert!(cannot.seconds_per_user.is_empty() && report.models[3].seconds_per_user.is_empty());
}

#[test]
fn comparison_is_paired_by_fold() {
    let data = generated(30);
    let requests = [
        request::<ItemMean>(),
        request::<ItemMean>().labelled("shifted").with(settings("shift", 0.5)),
        request::<History>(),
    ];
    let report = evaluate(&data, &requests, &options(Protocol::Ratings, 5), &()).unwrap();
    assert!(report.models[0].paired.is_none());
    let paired = report.models[1].paired.as_ref().unwrap();
    assert_eq!((paired.against.as_str(), paired.metric.as_str()), ("toy-item-mean", "rmse"));
    for at in 0..5 {
        let fold = |model: usize| report.models[model].metrics.get("rmse").unwrap().folds[at];
        near(paired.test.folds[at], fold(1) - fold(0));
    }
    assert_eq!(paired.by_metric.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["rmse", "mae"]);
    let other = report.models[2].paired.as_ref().unwrap();
    let smaller = paired.test.p.unwrap().min(other.test.p.unwrap());
    let corrected = paired.test.p_holm.unwrap().min(other.test.p_holm.unwrap());
    near(corrected, (2.0 * smaller).min(1.0));
    assert_eq!(paired.by_metric.get("rmse").unwrap().p_holm, paired.test.p_holm);
}

#[test]
fn figures_do_not_depend_on_threads() {
    let data = generated(600);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let requests = [request::<History>(), request::<Sure>()];
        pool.install(|| evaluate(&data, &requests, &options(Protocol::NewUsers, 2), &()).unwrap())
    };
    let (one, three) = (run(1), run(3));
    for (one, three) in one.models.iter().zip(&three.models) {
        assert_eq!(one.metrics, three.metrics);
        assert_eq!(one.calibration, three.calibration);
    }
    assert_eq!(three.threads, 3);
}

#[test]
fn the_same_model_twice_is_fitted_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    #[derive(Default)]
    struct Counter(AtomicUsize, AtomicUsize, AtomicUsize);
    impl foldin_eval::EvalObserver for Counter {
        fn fit_started(&self, _: &foldin_eval::Job) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn epoch(&self, _: &foldin_eval::Job, _: foldin_core::Epoch) {
            self.1.fetch_add(1, Ordering::Relaxed);
        }
        fn job_done(&self, job: &foldin_eval::Job, _: &[(String, f64)]) {
            assert_eq!(job.number, self.2.fetch_add(1, Ordering::Relaxed) + 1);
            assert_eq!(job.of, 8);
        }
    }
    let counter = Counter::default();
    let default = serde_json::to_value(ToyConfig::default()).unwrap()["shift"].clone();
    let requests = [
        request::<History>(),
        request::<History>().labelled("silent").meeting(NewUserMode::NoHistory),
        request::<ItemMean>(),
        request::<History>().labelled("spelt out").with(settings("shift", default)),
    ];
    evaluate(&generated(30), &requests, &options(Protocol::NewUsers, 2), &counter).unwrap();
    assert_eq!(counter.0.into_inner(), 4, "two models in two folds");
    assert_eq!(counter.1.into_inner(), 8, "of two epochs each");
    assert_eq!(counter.2.into_inner(), 8, "four requests in two folds");
}
