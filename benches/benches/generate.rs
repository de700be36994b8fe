//! From a history of 100 ratings to a user's factors, for every model that generates: one user at a time, and in batches of 256.
//!
//! Floor of one user, single thread: FLOPs at 150 GFLOP/s (AVX-512, two units, 2.8 GHz, less what a real loop loses) or bytes at
//! L2's 180 GB/s, whichever is more; see `README.md` for the counts.

use std::hint::black_box;

use foldin_benches::{Bench, Shape, histories, on_threads, ratings, time_each};
use foldin_core::registry::Settings;
use foldin_core::{Features, FitContext, TrainingData, UserView};
use serde_json::json;

const HISTORY: usize = 100;
const BATCH: usize = 256;

fn main() {
    let mut bench = Bench::new("generate");
    let shape = if bench.is_measuring() { Shape::ML_1M } else { Shape { n_items: 400, ..Shape::SMALL } };
    let ratings = ratings(shape, 1);
    let (users, items) = (Features::none(shape.n_users), Features::none(shape.n_items));
    let data = TrainingData { interactions: &ratings, user_features: &users, item_features: &items };
    let histories = histories(1024, HISTORY.min(shape.n_items / 2), shape.n_items, 2);
    let views: Vec<UserView<'_>> =
        histories.iter().map(|(items, values)| UserView::new(items, values)).collect();

    // Accuracy does not matter here, so fits are as short as they can be.
    let n = HISTORY as f64;
    let network = |h1: f64, h2: f64, k: f64| {
        // Weights of the first layer are in half precision.
        let (sparse, dense) = (n * 2.0 * h1, h1 * h2 + h2 * (k + 1.0));
        (2.0 * (sparse + dense) / 1.5e11).max((2.0 * sparse + 4.0 * dense) / 1.8e11)
    };
    let posterior = |k: f64| {
        let size = k + 1.0;
        let flops = n * size * (size + 1.0) + size.powi(3) / 3.0 + 4.0 * n * size;
        // Covariances are bytes.
        (flops / 1.5e11).max(n * (size * (size + 1.0) / 2.0 + 4.0 * size) / 1.8e11)
    };
    for (name, label, settings, floor, goal) in [
        (
            "lfg",
            "lfg, 512-128, k = 50",
            json!({"epochs": 1, "item_init": "random"}),
            network(512.0, 128.0, 50.0),
            Some(25.0),
        ),
        (
            "lfg-bayes",
            "lfg-bayes, k = 30",
            json!({"iterations": 1, "factors": 30}),
            posterior(30.0),
            Some(15.0),
        ),
        (
            "lfg-bayes",
            "lfg-bayes, k = 50",
            json!({"iterations": 1, "factors": 50}),
            posterior(50.0),
            Some(30.0),
        ),
        (
            "bias-svd",
            "bias-svd with ridge fold-in, k = 50",
            json!({"epochs": 1, "start": "random"}),
            posterior(50.0),
            None,
        ),
    ] {
        if !bench.wants(label) {
            continue;
        }
        let entry = foldin_models::find(name).expect("the registry has it");
        let settings: Settings = settings.as_object().cloned().unwrap_or_default();
        let model = entry.fit(&settings, &data, &FitContext::new(1)).expect("generated data can be learned");
        let generator = model.as_generator().expect("it generates");
        let mut turn = 0;
        let mut one = || {
            turn += 1;
            let at = turn % views.len();
            black_box(generator.generate(&views[at..=at]))
        };
        let single = on_threads(1, || time_each(bench.rounds(10_000), &mut one));
        let line = bench.line(format!("{label}: one user, p50"));
        line.microseconds(single.p50).floor(floor * 1e6);
        if let Some(goal) = goal {
            line.goal(goal);
        }
        for threads in [1, 2] {
            let mut many = || {
                turn += 1;
                let at = turn % (views.len() / BATCH) * BATCH;
                black_box(generator.generate(&views[at..at + BATCH]))
            };
            let batch = on_threads(threads, || time_each(bench.rounds(100), &mut many));
            let gain = single.p50 / (batch.p50 / BATCH as f64);
            let line = bench.line(format!(
                "{label}: users a second in batches of {BATCH} on {threads} threads, over one at a time"
            ));
            line.measured(gain, "×");
            if goal.is_some() && threads == 2 {
                line.goal_at_least(1.5);
            }
        }
    }
    bench.finish();
}
