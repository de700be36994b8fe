//! Whole fits at the size of MovieLens 1M: seconds on two threads, what the second thread brings, and memory.
//!
//! `$FOLDIN_DATA_DIR` with `ml-1m` gives the real data; otherwise generated data of the same shape are used, and the table says so.
//! Floors: see `README.md`; the fits of `lfg` and `lfg-bayes` are bound by the optimiser's bytes and by the sums of second moments.

use foldin_benches::{Bench, MemoryWatch, Shape, cpu_time, on_threads, ratings};
use foldin_core::registry::Settings;
use foldin_core::{Dataset, Dictionary, FitContext};
use foldin_data::OpenOptions;
use serde_json::json;

fn main() {
    let mut bench = Bench::new("fit");
    let measuring = bench.is_measuring();
    let real = measuring.then(|| foldin_data::open("ml-1m", &OpenOptions::default()).ok()).flatten();
    let dataset = real.unwrap_or_else(|| generated(if measuring { Shape::ML_1M } else { Shape::SMALL }));
    let data = dataset.training_data();
    for (name, label, settings, goal_seconds, goal_mib) in [
        (
            "lfg-bayes",
            "lfg-bayes, k = 50, 30 iterations",
            json!({"factors": if measuring { 50 } else { 4 }}),
            15.0,
            Some(300.0),
        ),
        ("lfg", "lfg, 512-128, 40 epochs", json!({"epochs": if measuring { 40 } else { 1 }}), 60.0, None),
        (
            "bias-svd",
            "bias-svd, k = 50, 90 epochs",
            json!({"factors": if measuring { 50 } else { 4 }, "epochs": if measuring { 90 } else { 2 }}),
            30.0,
            None,
        ),
    ] {
        let entry = foldin_models::find(name).expect("the registry has it");
        let settings: Settings = settings.as_object().cloned().unwrap_or_default();
        let fit = |threads: usize| {
            on_threads(threads, || {
                let watch = MemoryWatch::start();
                let (model, took) = cpu_time(|| entry.fit(&settings, &data, &FitContext::new(1)));
                model.expect("these data can be learned");
                (took, watch.and_then(|watch| watch.peak()))
            })
        };
        let (two, peak) = fit(2);
        let (one, _) = fit(1);
        bench
            .line(format!("{label}, {}: wall, 2 threads", dataset.name))
            .seconds(two.wall)
            .goal(goal_seconds);
        bench.line(format!("{label}: CPU, 2 threads")).seconds(two.cpu);
        bench
            .line(format!("{label}: 2 threads over 1"))
            .measured(one.wall / two.wall, "×")
            .goal_at_least(1.7);
        if let Some(peak) = peak {
            let line = bench.line(format!("{label}: peak memory of the process"));
            line.bytes(peak.absolute);
            if let Some(goal) = goal_mib {
                line.goal(goal);
            }
        }
    }
    bench.finish();
}

fn generated(shape: Shape) -> Dataset {
    let keys =
        |n: usize| Dictionary::from_keys((0..n).map(|at| at.to_string()).collect()).expect("numbers differ");
    Dataset::new("generated", ratings(shape, 1), keys(shape.n_users), keys(shape.n_items))
        .expect("shapes agree")
}
