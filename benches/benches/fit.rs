//! Whole fits at the size of MovieLens 1M: seconds on two threads, what the second thread brings, and memory.
//!
//! `$FOLDIN_DATA_DIR` with `ml-1m` gives the real data; otherwise generated data of the same shape are used, and the table says so.
//! Floors: see `README.md`; the fits of `lfg` and `lfg-bayes` are bound by the optimiser's bytes and by the sums of second moments.

use foldin_benches::{Bench, MemoryWatch, Shape, cpu_time, on_threads, ratings};
use foldin_core::registry::Settings;
use foldin_core::{Dataset, Dictionary, FitContext};
use foldin_data::OpenOptions;
use serde_json::{Value, json};

fn main() {
    let mut bench = Bench::new("fit");
    let measuring = bench.is_measuring();
    let real = measuring.then(|| foldin_data::open("ml-1m", &OpenOptions::default()).ok()).flatten();
    let dataset = real.unwrap_or_else(|| generated(if measuring { Shape::ML_1M } else { Shape::SMALL }));
    let data = dataset.training_data();
    let pick = |real: Value, small: Value| if measuring { real } else { small };
    let epochs = |real: Value| pick(real, json!({"epochs": 1}));
    // Name, what is fitted, its settings, and goals: seconds on two threads, peak memory in MiB.
    let cases = [
        (
            "lfg-bayes",
            "k = 50, 30 iterations",
            pick(json!({"factors": 50}), json!({"factors": 4})),
            15.0,
            Some(300.0),
        ),
        ("lfg", "512-128, 40 epochs", epochs(json!({"epochs": 40})), 60.0, None),
        (
            "bias-svd",
            "k = 50, 90 epochs",
            pick(json!({"factors": 50, "epochs": 90}), json!({"factors": 4, "epochs": 2})),
            30.0,
            None,
        ),
        ("i-autorec", "500, Adam, 35 epochs", epochs(json!({"epochs": 35})), 300.0, None),
        (
            "i-autorec",
            "500, RProp, 150 epochs",
            epochs(json!({"epochs": 150, "optimiser": "rprop", "dropout": 0.0})),
            300.0,
            None,
        ),
        (
            "i-autorec",
            "500-250-500, RProp, pre-trained, 60 + 600 + 100 epochs",
            pick(
                json!({"epochs": 100, "optimiser": "rprop", "dropout": 0.0, "dense_regularization": 20.0, "hidden": [500, 250, 500], "pretrain_epochs": 60}),
                json!({"epochs": 1, "optimiser": "rprop", "hidden": [8, 4, 8], "pretrain_epochs": 1}),
            ),
            300.0,
            None,
        ),
        ("u-autorec", "500, Adam, 35 epochs", epochs(json!({"epochs": 35})), 300.0, None),
        ("u-rbm", "by default", epochs(json!({})), 300.0, None),
        ("i-rbm", "by default", epochs(json!({})), 300.0, None),
        ("llorma", "50 anchors", pick(json!({"anchors": 50}), json!({"anchors": 3})), 900.0, None),
        ("svd++", "by default", epochs(json!({})), 300.0, None),
        ("als", "by default", pick(json!({}), json!({"iterations": 1})), 300.0, None),
        ("item-knn", "by default", json!({}), 20.0, Some(477.0)),
    ];
    for (name, what, settings, goal_seconds, goal_mib) in cases {
        let label = format!("{name}, {what}");
        if !bench.wants(&label) {
            continue;
        }
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
    let keys = |n: usize| Dictionary::from_keys((0..n).map(|at| at.to_string())).expect("numbers differ");
    Dataset::new("generated", ratings(shape, 1), keys(shape.n_users), keys(shape.n_items))
        .expect("shapes agree")
}
