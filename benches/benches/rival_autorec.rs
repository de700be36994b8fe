//! Training `i-autorec` against the same network in PyTorch: CPU time an epoch and memory, same data, same run.
//!
//! PyTorch runs `rivals/autorec_torch.py` in two forms, dense and with a sparse input, on two threads; the better one counts. It needs
//! `pip install -r benches/rivals/requirements.txt`; `$FOLDIN_PYTHON` names the interpreter. Without it the bench measures ours
//! alone and says so. 500 sigmoid units, full batches, RProp. An epoch's time is the difference of a longer and a shorter
//! fit, so that start-up counts for nobody.
//!
//! Floor of ours: five products of `2 · ratings · 500` operations at 192 GFLOP/s (benches/README.md).
#![expect(clippy::print_stderr, reason = "a bench says what it leaves out")]

use foldin_benches::{Bench, MemoryWatch, Shape, cpu_time, on_threads, ratings, run_rival};
use foldin_core::registry::Settings;
use foldin_core::{Features, FitContext, Interactions, TrainingData};
use serde_json::json;

fn main() {
    let mut bench = Bench::new("rival_autorec");
    let (shape, hidden, epochs) =
        if bench.is_measuring() { (Shape::ML_1M, 500, [1, 4]) } else { (Shape::SMALL, 16, [1, 2]) };
    let ratings = ratings(shape, 1);
    // Ours are short, and a short time is measured badly: more of them.
    let (ours, memory) = ours(&ratings, hidden, [2, 5 * epochs[1]]);
    let floor = 10.0 * ratings.len() as f64 * hidden as f64 / 192e9;
    bench.line("ours, CPU an epoch").seconds(ours).floor(floor);
    if let Some(memory) = memory {
        bench.line("ours, memory of the fit").bytes(memory);
    }
    if bench.is_measuring() {
        let mut best = f64::INFINITY;
        for form in ["dense", "sparse"] {
            let epochs = epochs.map(|epochs| epochs.to_string());
            let arguments =
                ["--form", form, "--hidden", &hidden.to_string(), "--epochs", &epochs[0], &epochs[1]];
            match run_rival("autorec_torch.py", &ratings, &arguments.map(str::to_owned)) {
                Ok(rival) => {
                    bench.line(format!("PyTorch {form}, CPU an epoch")).seconds(rival.seconds);
                    bench.line(format!("PyTorch {form}, memory of the fit")).bytes(rival.bytes as u64);
                    best = best.min(rival.seconds);
                }
                Err(reason) => eprintln!("PyTorch {form} not measured: {reason}"),
            }
        }
        if best.is_finite() {
            bench.line("PyTorch's best over ours, CPU").measured(best / ours, "×").goal_at_least(3.0);
        }
    }
    bench.finish();
}

/// CPU seconds of one epoch on two threads, and the rise of memory during the longer fit.
fn ours(ratings: &Interactions, hidden: usize, epochs: [usize; 2]) -> (f64, Option<u64>) {
    let (users, items) = (Features::none(ratings.n_users()), Features::none(ratings.n_items()));
    let data = TrainingData { interactions: ratings, user_features: &users, item_features: &items };
    let entry = foldin_models::find("i-autorec").expect("the registry has it");
    let fit = |epochs: usize| {
        let settings: Settings =
            json!({ "epochs": epochs, "hidden": [hidden], "optimiser": "rprop", "dropout": 0.0 })
                .as_object()
                .cloned()
                .unwrap_or_default();
        on_threads(2, || {
            let watch = MemoryWatch::start();
            let (model, took) = cpu_time(|| entry.fit(&settings, &data, &FitContext::new(1)));
            model.expect("generated data can be learned");
            (took.cpu, watch.and_then(|watch| watch.peak()).map(|peak| peak.increase))
        })
    };
    let (long, memory) = fit(epochs[1]);
    let (short, _) = fit(epochs[0]);
    ((long - short) / (epochs[1] - epochs[0]) as f64, memory)
}
