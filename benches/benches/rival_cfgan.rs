//! Training `i-cfgan` against the same networks in PyTorch: CPU and wall time an epoch and memory, same data, same run.
//!
//! PyTorch runs `rivals/cfgan_torch.py`, dense, on two threads. It needs `pip install -r benches/rivals/requirements.txt`; `$FOLDIN_PYTHON`
//! names the interpreter. Without it the bench measures ours alone and says so. The authors' settings for MovieLens 1M: 300 and 250
//! sigmoid units, batches of 256 and 512, samples of nine tenths, one pass of each network. An epoch's time is the difference of a
//! longer and a shorter fit, so that start-up counts for nobody.
//!
//! Floor of ours: `2·users·items·(4·300 + 4·250)` operations at 192 GFLOP/s (benches/README.md).
#![expect(clippy::print_stderr, reason = "a bench says what it leaves out")]

use foldin_benches::{Bench, CpuTime, MemoryWatch, Shape, cpu_time, on_threads, ratings, run_rival};
use foldin_core::registry::Settings;
use foldin_core::{Features, FitContext, Interactions, TrainingData};
use serde_json::json;

fn main() {
    let mut bench = Bench::new("rival_cfgan");
    let (shape, widths, epochs) = if bench.is_measuring() {
        (Shape::ML_1M, [300, 250], [1, 3])
    } else {
        (Shape::SMALL, [16, 8], [1, 2])
    };
    let clicks = ratings(shape, 1).as_implicit();
    let (ours, memory) = ours(&clicks, widths, [epochs[0], 3 * epochs[1]]);
    let cells = clicks.n_users() as f64 * clicks.n_items() as f64;
    let floor = 8.0 * cells * (widths[0] + widths[1]) as f64 / 192e9;
    bench.line("ours, CPU an epoch").seconds(ours.cpu).floor(floor);
    bench.line("ours, wall an epoch").seconds(ours.wall);
    if let Some(memory) = memory {
        bench.line("ours, memory of the fit").bytes(memory);
    }
    if bench.is_measuring() {
        let arguments = ["--hidden", "300", "--judge", "250", "--epochs", "1", "3"];
        match run_rival("cfgan_torch.py", &clicks, &arguments.map(str::to_owned)) {
            Ok(rival) => {
                bench.line("PyTorch, CPU an epoch").seconds(rival.seconds);
                if let Some(wall) = rival.wall {
                    bench.line("PyTorch, wall an epoch").seconds(wall);
                }
                bench.line("PyTorch, memory of the fit").bytes(rival.bytes as u64);
                bench
                    .line("PyTorch over ours, CPU")
                    .measured(rival.seconds / ours.cpu, "×")
                    .goal_at_least(5.0);
            }
            Err(reason) => eprintln!("PyTorch not measured: {reason}"),
        }
    }
    bench.finish();
}

/// What one epoch takes on two threads, and the rise of memory during the longer fit.
fn ours(clicks: &Interactions, widths: [usize; 2], epochs: [usize; 2]) -> (CpuTime, Option<u64>) {
    let (users, items) = (Features::none(clicks.n_users()), Features::none(clicks.n_items()));
    let data = TrainingData { interactions: clicks, user_features: &users, item_features: &items };
    let entry = foldin_models::find("i-cfgan").expect("the registry has it");
    let fit = |epochs: usize| {
        let settings: Settings = json!({
            "epochs": epochs, "hidden": [widths[0]], "discriminator_hidden": [widths[1]], "batch_size": 256,
            "discriminator_batch_size": 512, "passes": 1, "discriminator_passes": 1, "zero_share": 0.9,
            "unmasked_share": 0.9, "discriminator_regularization": 5e-5, "discriminator_learning_rate": 5e-5
        })
        .as_object()
        .cloned()
        .unwrap_or_default();
        on_threads(2, || {
            let watch = MemoryWatch::start();
            let (model, took) = cpu_time(|| entry.fit(&settings, &data, &FitContext::new(1)));
            model.expect("generated data can be learned");
            (took, watch.and_then(|watch| watch.peak()).map(|peak| peak.increase))
        })
    };
    let (long, memory) = fit(epochs[1]);
    let (short, _) = fit(epochs[0]);
    let an_epoch = |long: f64, short: f64| (long - short) / (epochs[1] - epochs[0]) as f64;
    (CpuTime { wall: an_epoch(long.wall, short.wall), cpu: an_epoch(long.cpu, short.cpu) }, memory)
}
