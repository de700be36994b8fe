//! The server under load: recommendations a second over HTTP with keep-alive, latencies, durable writes, cold start and memory.
//!
//! Model and store have the shape of MovieLens 1M. The server is a process of its own (this program, started again); the load comes from 32
//! connections of this one, on the same two cores, so that what is measured is what both together can do. Beside it, where
//! `$FOLDIN_PYTHON` has `pip install -r benches/rivals/requirements.txt`, a FastAPI service around the fold-in of the package `implicit`, under
//! the same load. Floor of an answer in the engine: the factors of a user of 96 ratings (`generate` has the count), and one scan of
//! the items.
#![expect(clippy::print_stderr, reason = "a bench says what it leaves out")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use foldin_benches::service::{Load, Outcome, Place, Process, load, open, prepare, resident, serve};
use foldin_benches::{Bench, Shape, time_each};
use foldin_core::Dataset;
use foldin_engine::store::StoreOptions;
use foldin_engine::{EngineOptions, Who, Wish};

fn main() -> Outcome<()> {
    if let Some(folder) = std::env::args().skip_while(|argument| argument != "--serve").nth(1) {
        return serve(Path::new(&folder));
    }
    let mut bench = Bench::new("serve");
    let place = Place::new("serve");
    let shape = if bench.is_measuring() { Shape::ML_1M } else { Shape::SMALL };
    let data = prepare(&place.0, shape)?;
    let seconds = if bench.is_measuring() { 10.0 } else { 0.2 };

    engine_alone(&mut bench, &place.0, &data)?;

    let begin = Instant::now();
    let server = Process::start(Command::new(std::env::current_exe()?).arg("--serve").arg(&place.0))?;
    bench.line("cold start to ready").measured(begin.elapsed().as_secs_f64() * 1e3, "ms").goal(500.0);
    let n_users = data.users.len();
    let ask = |n: usize| {
        format!(
            "GET /v1/users/u{}/recommendations?n=10 HTTP/1.1\r\nhost: localhost\r\n\r\n",
            n * 7919 % n_users
        )
    };
    load(server.address, 0.2 * seconds, None, &ask).faultless()?;
    let Load { rate, times, .. } = load(server.address, seconds, None, &ask).faultless()?;
    bench.line("recommendations a second").measured(rate, "/s").goal_at_least(8000.0);
    bench.line("the same, p50").measured(times.p50 * 1e3, "ms");
    bench.line("the same, p99").measured(times.p99 * 1e3, "ms").goal(15.0);
    let event = |n: usize| {
        let body = format!("{{\"user\":\"w{}\",\"item\":\"{}\",\"value\":3}}", n % 5000, n % 1000);
        format!(
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let Load { rate: writes, times, .. } = load(server.address, 0.5 * seconds, None, &event).faultless()?;
    bench.line("durable events a second").measured(writes, "/s").goal_at_least(2000.0);
    bench.line("the same, p99").measured(times.p99 * 1e3, "ms");
    if let Some(bytes) = resident(server.child.id()) {
        bench.line("resident memory of the server").bytes(bytes).goal(200.0);
    }
    drop(server);

    if bench.is_measuring() {
        match rival(&place.0, &data, seconds) {
            Ok(Load { rate: theirs, times, .. }) => {
                bench.line("FastAPI around implicit, recommendations a second").measured(theirs, "/s");
                bench.line("the same, p99").measured(times.p99 * 1e3, "ms");
                bench.line("ours over theirs").measured(rate / theirs, "×").goal_at_least(10.0);
            }
            Err(error) => eprintln!("FastAPI around implicit is not measured: {error}"),
        }
    }
    bench.finish();
    Ok(())
}

fn engine_alone(bench: &mut Bench, place: &Path, data: &Dataset) -> Outcome<()> {
    // Everything read from the file and worked out for each answer; then as it is served, with what is kept of users of whom nothing new is known.
    for (kept, goal) in [(false, Some(80.0)), (true, None)] {
        let bytes = if kept { EngineOptions::default().prepared_bytes } else { 0 };
        let options = EngineOptions { prepared_bytes: bytes, ..EngineOptions::default() };
        let records = if kept { StoreOptions::default().record_bytes } else { 0 };
        let (engine, _) =
            open(place, options, StoreOptions { record_bytes: records, ..StoreOptions::default() })?;
        let mut user = 0;
        let mut ask = || {
            user = (user + 7919) % data.users.len();
            let who = Who { user: data.users.key(user as u32), ..Who::default() };
            engine.recommend(&who, &Wish::default())
        };
        for _ in 0..bench.rounds(data.users.len()) {
            let _ = ask();
        }
        let times = time_each(bench.rounds(20_000), ask);
        let what = if kept {
            "engine alone, asked again: top 10, p50"
        } else {
            "engine alone: history, factors, top 10, p50"
        };
        let line = bench.line(what).microseconds(times.p50);
        if let Some(goal) = goal {
            line.goal(goal);
        }
        bench.line("the same, p99").microseconds(times.p99);
        engine.store().close()?;
    }
    Ok(())
}

/// The same load on a FastAPI service.
fn rival(place: &Path, data: &Dataset, seconds: f64) -> Outcome<Load> {
    let lines: String = (0..data.users.len())
        .flat_map(|user| {
            let items = data.interactions.by_user().row(user).0;
            items.iter().map(move |item| format!("{user}\t{item}\n")).collect::<Vec<_>>()
        })
        .collect();
    std::fs::write(place.join("clicks.tsv"), lines)?;
    let python = std::env::var("FOLDIN_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rivals/fastapi_als.py");
    let service = Process::start(Command::new(python).arg(script).arg(place.join("clicks.tsv")))?;
    let n_users = data.users.len();
    let ask = |n: usize| {
        format!("GET /users/u{}/recommendations?n=10 HTTP/1.1\r\nhost: localhost\r\n\r\n", n * 7919 % n_users)
    };
    load(service.address, 0.2 * seconds, None, &ask).faultless()?;
    load(service.address, seconds, None, &ask).faultless()
}
