//! Training `lfg` against the same network in PyTorch: CPU time an epoch and memory, same data, same run.
//!
//! PyTorch runs `rivals/lfg_torch.py` in two forms, dense (fused Adam) and sparse (an embedding bag with `SparseAdam`), on two
//! threads; the better one counts. It needs `pip install -r benches/rivals/requirements.txt`; `$FOLDIN_PYTHON` names the interpreter.
//! Without it the bench measures ours alone and says so. An epoch's time is the difference of a longer and a shorter fit, so that
//! start-up counts for nobody. Widths 1024-512, batches of 128 users, coupled weight decay in ours and in the dense form
//! (`SparseAdam` has none).
//!
//! Ours learns its first layer as it does by default on data of these sizes: row by row, in half precision. Floor: a batch
//! reads the weights of every touched row twice, 2 bytes each, and writes them once.
#![expect(clippy::print_stderr, reason = "a bench says what it leaves out")]

use foldin_benches::{Bench, MemoryWatch, Rival, Shape, cpu_time, on_threads, ratings, run_rival};
use foldin_core::registry::Settings;
use foldin_core::{Features, FitContext, Interactions, TrainingData};
use serde_json::json;

const BATCH: usize = 128;

fn main() {
    let mut bench = Bench::new("rival_lfg");
    let cases = if bench.is_measuring() {
        vec![
            ("MovieLens 1M's size", Shape::ML_1M, [1, 3], 2.2),
            ("100,000 items, 150 ratings a user", Shape { n_users: 1_280, ..Shape::WIDE }, [1, 2], 10.0),
        ]
    } else {
        vec![("small", Shape { n_users: 256, ..Shape::SMALL }, [1, 2], 2.2)]
    };
    for (label, shape, epochs, goal) in cases {
        let ratings = ratings(shape, 1);
        let widths = if bench.is_measuring() { [1024, 512] } else { [16, 8] };
        // Ours are short, and a short time is measured badly: more of them.
        let (ours, memory) = ours(&ratings, widths, [epochs[0], 3 * epochs[1]]);
        bench.line(format!("{label}: ours, CPU an epoch")).seconds(ours);
        if let Some(memory) = memory {
            bench.line(format!("{label}: ours, memory of the fit")).bytes(memory);
        }
        if !bench.is_measuring() {
            continue;
        }
        let mut best = f64::INFINITY;
        let mut least = f64::INFINITY;
        for form in ["dense", "sparse"] {
            let widths = widths.map(|width| width.to_string());
            let epochs = epochs.map(|epochs| epochs.to_string());
            let arguments = [
                "--form",
                form,
                "--widths",
                &widths[0],
                &widths[1],
                "--batch",
                &BATCH.to_string(),
                "--epochs",
                &epochs[0],
                &epochs[1],
            ];
            match run_rival("lfg_torch.py", &ratings, &arguments.map(str::to_owned)) {
                Ok(Rival { seconds, bytes, .. }) => {
                    bench.line(format!("{label}: PyTorch {form}, CPU an epoch")).seconds(seconds);
                    bench.line(format!("{label}: PyTorch {form}, memory of the fit")).bytes(bytes as u64);
                    if seconds < best {
                        (best, least) = (seconds, bytes);
                    }
                }
                Err(reason) => eprintln!("PyTorch {form} not measured: {reason}"),
            }
        }
        if best.is_finite() {
            bench
                .line(format!("{label}: PyTorch's best over ours, CPU"))
                .measured(best / ours, "×")
                .goal_at_least(goal);
            if let Some(memory) = memory {
                bench
                    .line(format!("{label}: ours over PyTorch's best, memory"))
                    .measured(memory as f64 / least, "×")
                    .goal(0.25);
            }
        }
    }
    bench.finish();
}

/// CPU seconds of one epoch on two threads, and the rise of memory during the longer fit.
fn ours(ratings: &Interactions, widths: [usize; 2], epochs: [usize; 2]) -> (f64, Option<u64>) {
    let (users, items) = (Features::none(ratings.n_users()), Features::none(ratings.n_items()));
    let data = TrainingData { interactions: ratings, user_features: &users, item_features: &items };
    let entry = foldin_models::find("lfg").expect("the registry has it");
    let fit = |epochs: usize| {
        let settings: Settings = json!({
            "epochs": epochs, "widths": widths, "batch_size": BATCH, "item_init": "random",
            "weight_decay": 3e-4, "item_weight_decay": 1e-4, "learning_rate_decay": 1.0
        })
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
