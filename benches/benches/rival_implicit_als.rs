//! Training `implicit-als` against the package `implicit` on a CPU: CPU time of an iteration, same data, same run.
//!
//! The package runs `rivals/implicit_als.py` on two threads, with conjugate gradients, its default, and with exact solutions; ours on two
//! threads as it comes (three steps of conjugate gradients) and exact. It needs
//! `pip install -r benches/rivals/requirements.txt`; `$FOLDIN_PYTHON` names the interpreter. Without it the bench measures ours alone and says
//! so. An iteration's time is the difference of a longer and a shorter fit.
//!
//! Floor of ours, exact: `R k (k + 1) + (U + N) k³ / 6` multiplications.
#![expect(clippy::print_stderr, reason = "a bench says what it leaves out")]

use foldin_benches::{Bench, Rival, Shape, cpu_time, on_threads, ratings, run_rival};
use foldin_core::registry::Settings;
use foldin_core::{Features, FitContext, Interactions, TrainingData};
use serde_json::json;

fn main() {
    let mut bench = Bench::new("rival_implicit_als");
    let shape = if bench.is_measuring() { Shape::ML_1M } else { Shape { n_users: 256, ..Shape::SMALL } };
    let clicks = ratings(shape, 1).as_implicit();
    for factors in if bench.is_measuring() { [64, 128] } else { [8, 16] } {
        let as_it_comes = if factors >= 64 { 3 } else { 0 };
        let mut ours = f64::INFINITY;
        for (name, steps) in [("exact", 0), ("conjugate gradients", 3)] {
            let seconds = ours_on(&clicks, factors, steps);
            bench.line(format!("{factors} factors: ours, {name}, CPU an iteration")).seconds(seconds);
            if steps == as_it_comes {
                ours = seconds;
            }
        }
        if !bench.is_measuring() {
            continue;
        }
        let mut best = f64::INFINITY;
        for (name, exact) in [("exact", true), ("conjugate gradients", false)] {
            let count = factors.to_string();
            let mut arguments = vec!["--factors", &count, "--epochs", "1", "4"];
            if exact {
                arguments.push("--exact");
            }
            let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
            match run_rival("implicit_als.py", &clicks, &arguments) {
                Ok(Rival { seconds, .. }) => {
                    bench
                        .line(format!("{factors} factors: implicit, {name}, CPU an iteration"))
                        .seconds(seconds);
                    best = best.min(seconds);
                }
                Err(reason) => eprintln!("implicit, {name}, not measured: {reason}"),
            }
        }
        if best.is_finite() {
            bench
                .line(format!("{factors} factors: implicit's best over ours, CPU"))
                .measured(best / ours, "×")
                .goal_at_least(1.0);
        }
    }
    bench.finish();
}

/// CPU seconds of one iteration on two threads.
fn ours_on(clicks: &Interactions, factors: usize, steps: usize) -> f64 {
    let (users, items) = (Features::none(clicks.n_users()), Features::none(clicks.n_items()));
    let data = TrainingData { interactions: clicks, user_features: &users, item_features: &items };
    let entry = foldin_models::find("implicit-als").expect("the registry has it");
    let fit = |iterations: usize| {
        let settings: Settings =
            json!({"factors": factors, "iterations": iterations, "conjugate_steps": steps})
                .as_object()
                .cloned()
                .unwrap_or_default();
        on_threads(2, || {
            let (model, took) = cpu_time(|| entry.fit(&settings, &data, &FitContext::new(1)));
            model.expect("generated data can be learned");
            took.cpu
        })
    };
    let (short, long) = (fit(1), fit(5));
    (long - short) / 4.0
}
