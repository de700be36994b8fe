//! Training `lfg` against the same network in PyTorch: CPU time an epoch and memory, same data, same run.
//!
//! PyTorch runs `rivals/lfg_torch.py` in two forms, dense (fused Adam) and sparse (an embedding bag with `SparseAdam`), on two
//! threads; the better one counts. It needs `pip install -r benches/rivals/requirements.txt`; `$FOLDIN_PYTHON` names the interpreter.
//! Without it the bench measures ours alone and says so. An epoch's time is the difference of a longer and a shorter fit, so that
//! start-up counts for nobody. Widths 1024-512, batches of 128 users, coupled weight decay in ours and in the dense form
//! (`SparseAdam` has none).
//!
//! Floor of ours: Adam reads and writes weight and two moments of every touched row once a batch.
#![expect(clippy::print_stderr, reason = "a bench says what it leaves out")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use foldin_benches::{Bench, MemoryWatch, Shape, cpu_time, on_threads, ratings};
use foldin_core::registry::Settings;
use foldin_core::{Features, FitContext, Interactions, TrainingData};
use serde_json::{Value, json};

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
            match theirs(&ratings, widths, epochs, form) {
                Ok((seconds, bytes)) => {
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

/// The same for PyTorch: CPU seconds of one epoch, and memory above an interpreter that has imported it.
fn theirs(
    ratings: &Interactions,
    widths: [usize; 2],
    epochs: [usize; 2],
    form: &str,
) -> Result<(f64, f64), String> {
    let folder = std::env::temp_dir().join(format!("foldin-rival-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    write(&folder, ratings).map_err(|error| error.to_string())?;
    let python = std::env::var("FOLDIN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rivals/lfg_torch.py");
    let output = Command::new(python)
        .arg(script)
        .arg(&folder)
        .args(["--form", form, "--widths", &widths[0].to_string(), &widths[1].to_string()])
        .args(["--batch", &BATCH.to_string(), "--epochs", &epochs[0].to_string(), &epochs[1].to_string()])
        .output();
    fs::remove_dir_all(&folder).map_err(|error| error.to_string())?;
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(text.lines().last().unwrap_or("it failed without a word").to_owned());
    }
    let answer: Value = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let number = |key: &str| answer[key].as_f64().ok_or_else(|| format!("no {key} in its answer"));
    Ok((number("cpu_seconds_per_epoch")?, number("memory_bytes")?))
}

fn write(folder: &Path, ratings: &Interactions) -> std::io::Result<()> {
    let csr = ratings.by_user();
    let bytes = |values: Vec<[u8; 4]>| values.concat();
    fs::write(folder.join("shape.json"), json!({"users": csr.n_rows(), "items": csr.n_cols()}).to_string())?;
    let offsets: Vec<u8> = csr.offsets().iter().flat_map(|&offset| (offset as u64).to_le_bytes()).collect();
    fs::write(folder.join("offsets.u64"), offsets)?;
    fs::write(
        folder.join("columns.u32"),
        bytes(csr.columns().iter().map(|column| column.to_le_bytes()).collect()),
    )?;
    fs::write(
        folder.join("values.f32"),
        bytes(csr.values().iter().map(|value| value.to_le_bytes()).collect()),
    )
}
