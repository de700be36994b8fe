//! Steps of `dvbpr` (CNN-F at 224 pixels) and `lsgan` (64 pixels) as published against PyTorch, and scoring a catalogue for everybody.
//!
//! PyTorch runs `rivals/cnnf_torch.py` and `rivals/lsgan_torch.py`, each in three forms; the best counts. `$FOLDIN_PYTHON` names the
//! interpreter; without it ours is measured alone. A step is the difference of a longer and a shorter fit, in CPU time on two threads,
//! so that start-up counts for nobody. Both goals say: no more than 2.2 times PyTorch's best.
//!
//! Needs `--features vision`. Floors: 5.2 · 10⁹ products a picture for CNN-F forward and backward (three times 0.81 GMAC, and what dropout
//! and Adam pass over), 170 · 10⁹ a step of 64 for `lsgan`, at 192 GFLOP/s (benches/README.md).
#![expect(clippy::print_stderr, reason = "a bench says what it leaves out")]

use foldin_benches::{Bench, cpu_time, on_threads, run_script};
use foldin_core::FitContext;
use foldin_core::random::Random;
use foldin_vision::backend::device;
use foldin_vision::data::LeaveOneOut;
use foldin_vision::images::{ImageSet, Labels};
use foldin_vision::lsgan::{Lsgan, LsganConfig};
use foldin_vision::planted::{PlantedOptions, planted};
use foldin_vision::recommend::Scorer as _;
use foldin_vision::recommend::dvbpr::{self, DvbprConfig};
use foldin_vision::recommend::linear::LinearModel;
use rayon::prelude::*;

fn main() {
    let mut bench = Bench::new("rival_vision");
    let measuring = bench.is_measuring();
    if bench.wants("cnn-f") {
        let ours = cnn_f(measuring);
        bench.line("CNN-F at 224, 32 pictures: ours, CPU a step").seconds(ours).floor(32.0 * 5.2e9 / 192e9);
        rival(&mut bench, "cnnf_torch.py", ours);
    }
    if bench.wants("lsgan") {
        let ours = lsgan(measuring);
        bench.line("LSGAN at 64, batch 64: ours, CPU a step").seconds(ours).floor(2.0 * 170e9 / 192e9);
        rival(&mut bench, "lsgan_torch.py", ours);
    }
    if bench.wants("scoring") {
        let (users, items) = if measuring { (1000, 17_000) } else { (10, 200) };
        let (fold_in, score) = scoring(users, items);
        bench.line(format!("{users} users folded in, 28 purchases each, by the wall")).seconds(fold_in);
        let line = bench.line(format!("scores of {items} items for {users} users, by the wall"));
        line.seconds(score).floor(2.0 * 32.0 * users as f64 * items as f64 / 192e9).goal(2.0);
    }
    bench.finish();
}

/// CPU seconds of a step over 16 purchases and as many others: 32 pictures.
fn cnn_f(measuring: bool) -> f64 {
    let config = if measuring {
        DvbprConfig { batch: 16, epochs: 1, ..DvbprConfig::published() }
    } else {
        DvbprConfig {
            batch: 16,
            epochs: 1,
            negatives: dvbpr::Negatives::Uniform,
            px: 16,
            ..DvbprConfig::small()
        }
    };
    // Four purchases of each user are trained on: four users a step. The items, and all that is done with them but steps, stay the same.
    let fit = |steps: usize| {
        let options = PlantedOptions {
            users: 4 * steps,
            items: 24,
            purchases: 6,
            px: config.px,
            ..PlantedOptions::default()
        };
        let set = planted(&options, 1).expect("a planted set").data;
        let split = LeaveOneOut::new(&set, 1).expect("users have six purchases");
        let device = device("cpu").expect("there is always one");
        cpu_time(|| {
            on_threads(2, || dvbpr::fit(&config, &set, &split, None, &device, &FitContext::new(1)).map(drop))
        })
        .1
        .cpu
    };
    difference(fit, if measuring { [1, 5] } else { [1, 2] })
}

/// CPU seconds of both updates over 64 pictures.
fn lsgan(measuring: bool) -> f64 {
    let preset = LsganConfig::preset(if measuring { "authors" } else { "small-32" }).expect("a known preset");
    let batch = if measuring { 64 } else { 8 };
    let size = 3 * preset.px * preset.px;
    let mut random = Random::new(1);
    let bytes = (0..batch * size).map(|_| random.below(256) as u8).collect();
    let names = (0..batch).map(|at| at.to_string()).collect();
    let pictures = ImageSet::in_memory(preset.px, names, bytes).expect("as many bytes as pictures need");
    let kinds: Vec<Option<&str>> =
        (0..batch).map(|at| Some(["a", "b", "c", "d", "e", "f"][at % 6])).collect();
    let labels = Labels::from_names("category", &kinds);
    let device = device("cpu").expect("there is always one");
    // One batch is one epoch.
    let fit = |epochs: usize| {
        let config = LsganConfig { batch, epochs, ..preset.clone() };
        let fit = || Lsgan::fit(&config, &pictures, &labels, &FitContext::new(1), &device, &mut ()).map(drop);
        cpu_time(|| on_threads(2, fit)).1.cpu
    };
    difference(fit, if measuring { [1, 5] } else { [1, 2] })
}

/// Seconds a step, of what takes longer by some steps.
fn difference(fit: impl Fn(usize) -> f64, [few, many]: [usize; 2]) -> f64 {
    let short = fit(few);
    ((fit(many) - short) / (many - few) as f64).max(0.0)
}

/// Seconds of folding everybody in, and of scoring all items for everybody, on all threads.
fn scoring(users: usize, items: usize) -> (f64, f64) {
    let (k, bought) = (32, 28);
    let mut random = Random::new(1);
    let vectors = (0..items * k).map(|_| 0.3 * random.normal() as f32).collect();
    let model = LinearModel::new("bench", k, Vec::new(), vectors).expect("vectors of one length");
    let purchases: Vec<Vec<u32>> =
        (0..users).map(|_| (0..bought).map(|_| random.below(items) as u32).collect()).collect();
    let start = std::time::Instant::now();
    let thetas: Vec<Vec<f32>> =
        purchases.par_iter().map(|bought| model.fold_in(bought, 0.1).expect("items that exist")).collect();
    let fold_in = start.elapsed().as_secs_f64();
    let model = LinearModel::new("bench", k, thetas.concat(), model.items().to_vec()).expect("as before");
    let start = std::time::Instant::now();
    let best: f32 = (0..users as u32)
        .into_par_iter()
        .map_init(
            || vec![0.0; items],
            |out, user| {
                model.scores(user, out).expect("a user that exists");
                out.iter().copied().fold(f32::NEG_INFINITY, f32::max)
            },
        )
        .sum();
    std::hint::black_box(best);
    (fold_in, start.elapsed().as_secs_f64())
}

fn rival(bench: &mut Bench, script: &str, ours: f64) {
    if !bench.is_measuring() {
        return;
    }
    match run_script(script, &[]) {
        Ok(answer) => {
            let mut best = f64::INFINITY;
            for (form, seconds) in answer.as_object().into_iter().flatten() {
                if let Some(seconds) = seconds[0].as_f64() {
                    bench.line(format!("PyTorch {form}, CPU a step")).seconds(seconds);
                    best = best.min(seconds);
                }
            }
            if best.is_finite() {
                bench.line("ours over PyTorch's best, CPU").measured(ours / best, "×").goal(2.2);
            }
        }
        Err(reason) => eprintln!("{script} not measured: {reason}"),
    }
}
