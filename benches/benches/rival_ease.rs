//! Fitting `ease` against NumPy, same data, same run; and lists of all users, as evaluation makes them.
//!
//! NumPy runs `rivals/ease_numpy.py` on two threads, with LAPACK's Cholesky routines and with `numpy.linalg.inv`; the better one counts. It needs
//! `pip install -r benches/rivals/requirements.txt`; `$FOLDIN_PYTHON` names the interpreter. Without it the bench measures ours alone and
//! says so.
//!
//! Floor of a fit: `N³` multiplications and as many additions for the inverse of a symmetric matrix, those of the Gram matrix beside it.
//! Floor of lists: the sums of weight rows (`ease`, `R·N` additions) or of factors (`implicit-als`, `U·N·k` multiplications and
//! additions), and one look at each of `U·N` scores.
#![expect(clippy::print_stderr, reason = "a bench says what it leaves out")]

use foldin_benches::{Bench, Rival, Shape, cpu_time, on_threads, ratings, run_rival};
use foldin_core::parallel::chunked;
use foldin_core::registry::Settings;
use foldin_core::{Features, FitContext, Interactions, Recommender, TrainingData, UserView, top_k};
use serde_json::{Value, json};

const RIDGE: f64 = 500.0;

/// Places of a list, and users whose scores are made at once.
const PLACES: usize = 20;
const BATCH: usize = 256;

/// FLOPs of a core in a second, as in the other benches.
const PEAK: f64 = 192e9;

fn main() {
    let mut bench = Bench::new("rival_ease");
    let shape = if bench.is_measuring() { Shape::ML_1M } else { Shape::SMALL };
    let clicks = ratings(shape, 1).as_implicit();
    let n = clicks.n_items() as f64;
    let settings = json!({"regularization": RIDGE, "user_exponent": 0.0, "dropout": 0.0});
    let mut best = f64::INFINITY;
    for _ in 0..bench.rounds(3) {
        best = best.min(fit("ease", &settings, &clicks).1);
    }
    bench.line("ours, wall a fit").seconds(best).floor(2.0 * n.powi(3) / (2.0 * PEAK));
    if bench.is_measuring() {
        let mut rival = f64::INFINITY;
        for (name, more) in [("Cholesky", None), ("inv", Some("--inverse"))] {
            let ridge = RIDGE.to_string();
            let arguments =
                ["--ridge", &ridge].into_iter().chain(more).map(str::to_owned).collect::<Vec<_>>();
            match run_rival("ease_numpy.py", &clicks, &arguments) {
                Ok(Rival { wall: Some(wall), .. }) => {
                    bench.line(format!("NumPy, {name}, wall a fit")).seconds(wall);
                    rival = rival.min(wall);
                }
                Ok(_) => eprintln!("NumPy, {name}, tells no time"),
                Err(reason) => eprintln!("NumPy, {name}, not measured: {reason}"),
            }
        }
        if rival.is_finite() {
            bench.line("NumPy's best over ours").measured(rival / best, "×").goal_at_least(1.0);
        }
    }
    for (name, settings) in [("ease", settings), ("implicit-als", json!({})), ("lfg-rank", json!({}))] {
        let what = format!("{PLACES} best for all {} users, {name}, wall", clicks.n_users());
        if bench.wants(&what) {
            let model = fit(name, &settings, &clicks).0;
            let seconds = (0..bench.rounds(3)).map(|_| rank(&*model, &clicks)).fold(f64::INFINITY, f64::min);
            bench.line(what).seconds(seconds).goal(1.0);
        }
    }
    bench.finish();
}

/// A fitted model, and the seconds it took on two threads.
fn fit(name: &str, settings: &Value, clicks: &Interactions) -> (Box<dyn Recommender>, f64) {
    let (users, items) = (Features::none(clicks.n_users()), Features::none(clicks.n_items()));
    let data = TrainingData { interactions: clicks, user_features: &users, item_features: &items };
    let entry = foldin_models::find(name).expect("the registry has it");
    let settings: Settings = settings.as_object().cloned().unwrap_or_default();
    on_threads(2, || {
        let (model, took) = cpu_time(|| entry.fit(&settings, &data, &FitContext::new(1)));
        (model.expect("generated data can be learned"), took.wall)
    })
}

/// Seconds for the lists of all users, on two threads.
fn rank(model: &dyn Recommender, clicks: &Interactions) -> f64 {
    let (by_user, n_items) = (clicks.by_user(), clicks.n_items());
    let views: Vec<UserView<'_>> = (0..clicks.n_users())
        .map(|user| by_user.row(user))
        .map(|(items, values)| UserView::new(items, values))
        .collect();
    on_threads(2, || {
        let (lists, took) = cpu_time(|| {
            chunked(views.len(), BATCH, |range| {
                let mut scores = vec![0.0; range.len() * n_items];
                model.score(&views[range.clone()], &mut scores).expect("histories are the training's");
                let lists = scores.chunks_exact(n_items).zip(&views[range]);
                lists.map(|(scores, user)| top_k(scores, PLACES, user.items)).collect::<Vec<_>>()
            })
        });
        assert_eq!(lists.iter().map(Vec::len).sum::<usize>(), views.len());
        took.wall
    })
}
