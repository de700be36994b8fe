//! `svd`, `funk-svd`, `bias-svd`, `svd++` and `als` beyond what every model is asked: early stopping, checkpoints, units and known answers.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use foldin_core::{
    Csr, Features, Feedback, FitContext, FitError, Interactions, ItemId, ModelFamily, RatingScale,
    Recommender, TrainingData, UserView,
};
use foldin_models::bias_svd::BiasSvd;
use foldin_models::factorization::FactorizationConfig;
use foldin_models::find;
use foldin_models::linear::LinearFactors;
use foldin_models::svd::Svd;
use foldin_testkit::Planted;
use foldin_testkit::memory_store::{MemoryStore, Watcher};
use foldin_testkit::planted::low_rank;

fn planted(seed: u64) -> Planted {
    low_rank(80, 40, 3, 0.05, RatingScale { min: 0.5, max: 5.0, step: None }, seed)
}

/// Models that stop early, with settings under which they do.
const STOPPING: [(&str, &str); 3] = [
    (
        "bias-svd",
        r#"{"factors": 6, "epochs": 500, "learning_rate": 0.05, "learning_rate_decay": 1.0, "validation_fraction": 0.2, "patience": 4}"#,
    ),
    (
        "svd++",
        r#"{"factors": 6, "epochs": 500, "learning_rate": 0.05, "learning_rate_decay": 1.0, "regularization": 0.02,
            "implied_regularization": 0.02, "validation_fraction": 0.2, "patience": 4}"#,
    ),
    (
        "als",
        r#"{"factors": 6, "iterations": 500, "regularization": 0.01, "ridge": 0.01, "validation_fraction": 0.2, "patience": 4}"#,
    ),
];

fn predictions(model: &LinearFactors, users: &[UserView<'_>]) -> Vec<f32> {
    let n = model.n_items() as u32;
    let pairs: Vec<(u32, ItemId)> =
        (0..users.len() as u32).flat_map(|user| (0..n).map(move |item| (user, ItemId(item)))).collect();
    let mut out = vec![0.0; pairs.len()];
    model.predict(users, &pairs, &mut out).unwrap();
    out
}

#[test]
fn stops_early_and_resumes_to_the_same_bits() {
    let data = planted(1);
    let data = data.training_data();
    for (name, settings) in STOPPING {
        let settings = serde_json::from_str(settings).unwrap();
        let fit = |context: &FitContext<'_>| find(name).unwrap().fit(&settings, &data, context);
        let watcher = Watcher::watching();
        let whole = fit(&FitContext { progress: &watcher, ..FitContext::new(1) }).unwrap();
        let epochs = watcher.epochs();
        let rmse: Vec<f64> = epochs.iter().map(|epoch| epoch.validation_rmse.unwrap()).collect();
        assert!(epochs.len() < 500, "{name} stopped after {}", epochs.len());
        let best = (0..rmse.len()).min_by(|&a, &b| rmse[a].total_cmp(&rmse[b])).unwrap();
        assert_eq!(best + 1 + 4, epochs.len(), "{name}: four epochs after the best one: {rmse:?}");

        // Before the best epoch and after it.
        for cancel_after in [2, epochs.len() - 1] {
            let (store, watcher) = (MemoryStore::every(0), Watcher::cancelling_after(cancel_after));
            let context = FitContext {
                progress: &watcher,
                cancel: watcher.flag(),
                checkpoints: Some(&store),
                ..FitContext::new(1)
            };
            assert_eq!(fit(&context).unwrap_err(), FitError::Cancelled { epochs: cancel_after });
            let store = MemoryStore::holding(store.state().unwrap());
            let resumed = fit(&FitContext { checkpoints: Some(&store), ..FitContext::new(1) }).unwrap();
            assert_eq!(resumed.to_parts(), whole.to_parts(), "{name}, cancelled after {cancel_after}");
        }
    }
}

#[test]
fn a_checkpoint_of_something_else_is_refused() {
    let (data, other) = (planted(1), planted(2));
    let store = MemoryStore::every(1);
    let context = FitContext { checkpoints: Some(&store), ..FitContext::new(1) };
    let config = FactorizationConfig { factors: 4, epochs: 2, ..FactorizationConfig::default() };
    BiasSvd::fit(&config, &data.training_data(), &context).unwrap();
    let resume = |config: &FactorizationConfig, data: &Planted| {
        let store = MemoryStore::holding(store.state().unwrap());
        let context = FitContext { checkpoints: Some(&store), ..FitContext::new(1) };
        BiasSvd::fit(config, &data.training_data(), &context).map(|_| ())
    };
    assert_eq!(resume(&config, &data), Ok(()));
    assert!(matches!(resume(&config, &other), Err(FitError::Checkpoint { .. })));
    let wider = FactorizationConfig { factors: 20, ..config };
    assert!(matches!(resume(&wider, &data), Err(FitError::Checkpoint { .. })));
}

/// The same ratings on another scale give the same model in other units.
#[test]
fn units_do_not_matter() {
    let (stretch, shift) = (20.0, -30.0);
    let data = planted(3);
    let stretched = data.rescaled(stretch, shift);
    let config = FactorizationConfig { factors: 4, ..FactorizationConfig::default() };
    let fit = |data: &Planted, svd: bool| {
        let (training, context) = (data.training_data(), FitContext::new(1));
        let model = if svd {
            Svd::fit(&config, &training, &context).unwrap()
        } else {
            BiasSvd::fit(&config, &training, &context).unwrap()
        };
        let mut views = training.users();
        views.extend(data.new_users.iter().map(|user| user.view(5)));
        predictions(&model, &views)
    };
    for svd in [true, false] {
        for (one, other) in fit(&data, svd).iter().zip(fit(&stretched, svd)) {
            // Rounding differs from the first step on and forty epochs carry it along.
            assert!((one * stretch + shift - other).abs() < 2e-3 * stretch, "{one} and {other}");
        }
    }
}

/// With every cell rated, as many factors as items and no descent, the SVD is the matrix.
#[test]
fn the_svd_of_a_whole_matrix_rebuilds_it() {
    let rating = |user: u32, item: u32| ((user * 7 + item * item * 3 + user * item) % 11) as f32;
    let triples: Vec<(u32, u32, f32)> =
        (0..9).flat_map(|user| (0..5).map(move |item| (user, item, rating(user, item)))).collect();
    let scale = RatingScale { min: 0.0, max: 10.0, step: Some(1.0) };
    let csr = Csr::from_triples(9, 5, &triples).unwrap();
    let ratings = Interactions::new(csr, None, Feedback::Explicit(scale)).unwrap();
    let (users, items) = (Features::none(9), Features::none(5));
    let data = TrainingData { interactions: &ratings, user_features: &users, item_features: &items };
    let config = FactorizationConfig {
        factors: 5,
        start_scale: 1.0,
        epochs: 0,
        refit_users: false,
        ..FactorizationConfig::default()
    };
    let model = Svd::fit(&config, &data, &FitContext::new(1)).unwrap();
    for (got, (_, _, want)) in predictions(&model, &data.users()).iter().zip(&triples) {
        assert!((got - want).abs() < 1e-3, "{got} and {want}");
    }
}

#[test]
fn learned_users_stay_in_memory_and_refitted_ones_are_folded_in() {
    let data = planted(4);
    let data = data.training_data();
    let known = data.users();
    let new: Vec<UserView<'_>> = known.iter().map(|user| UserView { trained_as: None, ..*user }).collect();
    let config = FactorizationConfig { factors: 4, ..FactorizationConfig::default() };
    let refitted = BiasSvd::fit(&config, &data, &FitContext::new(1)).unwrap();
    assert_eq!(predictions(&refitted, &known), predictions(&refitted, &new));
    let config = FactorizationConfig { refit_users: false, ..config };
    let learned = BiasSvd::fit(&config, &data, &FitContext::new(1)).unwrap();
    assert_ne!(predictions(&learned, &known), predictions(&learned, &new));
    assert_eq!(learned.user_factors().unwrap().u.len(), known.len() * 4);
    let loaded = BiasSvd::load(learned.to_parts()).unwrap();
    assert!(loaded.user_factors().is_none());
    assert_eq!(predictions(&loaded, &known), predictions(&learned, &new));
}
