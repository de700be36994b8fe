//! A server for ten minutes at 70 % of what it can do, while versions are swapped every 20 seconds and trained one after the other: what fails, and how
//! memory grows.
//!
//! Model and store have the shape of MovieLens 1M; nine of ten requests ask for a list, one writes an event. Training runs on one thread of the two cores
//! that server and load share. `$FOLDIN_SOAK_SECONDS` makes it shorter. Memory is looked at each second: the median of the second tenth of the time is what
//! it settles at, and that of the last tenth is held against it.
#![expect(clippy::print_stderr, reason = "a bench says what failed")]

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use foldin_benches::service::{Load, Outcome, Place, Process, ask, load, prepare, resident, serve};
use foldin_benches::{Bench, Shape};
use serde_json::Value;

/// Time between two swaps.
const SWAP_EVERY: Duration = Duration::from_secs(20);

/// Share of what the server can do that it is asked for.
const SHARE: f64 = 0.7;

fn main() -> Outcome<()> {
    if let Some(folder) = std::env::args().skip_while(|argument| argument != "--serve").nth(1) {
        return serve(Path::new(&folder));
    }
    let mut bench = Bench::new("soak");
    let place = Place::new("soak");
    let measuring = bench.is_measuring();
    let data = prepare(&place.0, if measuring { Shape::ML_1M } else { Shape::SMALL })?;
    let asked = std::env::var("FOLDIN_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let seconds: f64 = asked.unwrap_or(if measuring { 600.0 } else { 1.0 });
    let server = Process::start(Command::new(std::env::current_exe()?).arg("--serve").arg(&place.0))?;
    let address = server.address;
    let n_users = data.users.len();
    let request = |n: usize| {
        if !n.is_multiple_of(10) {
            let user = n * 7919 % n_users;
            return format!("GET /v1/users/u{user}/recommendations?n=10 HTTP/1.1\r\nhost: localhost\r\n\r\n");
        }
        // The same pairs are rated anew again and again: a store that grows would be no leak.
        let user = n * 31 % n_users;
        let item = user * 17 % 1000;
        let body = format!("{{\"user\":\"u{user}\",\"item\":\"{item}\",\"value\":{}}}", 1 + n % 5);
        format!(
            "POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let most = load(address, if measuring { 10.0 } else { 0.2 }, None, &request).faultless()?;
    bench.line("answers and writes a second, as quick as can be").measured(most.rate, "/s");

    let over = AtomicBool::new(false);
    let (soaked, swapped, trained, memory) = std::thread::scope(|scope| {
        let swapping = scope.spawn(|| swap(address, &over));
        let training = scope.spawn(|| train(address, &over));
        let watching = scope.spawn(|| watch(server.child.id(), &over));
        let soaked = load(address, seconds, Some(SHARE * most.rate), &request);
        over.store(true, Ordering::Relaxed);
        (soaked, swapping.join(), training.join(), watching.join())
    });
    let failed = |_| "a thread of the bench ended early";
    let (swaps, trainings, memory) =
        (swapped.map_err(failed)?, trained.map_err(failed)?, memory.map_err(failed)?);
    let Load { rate, times, answers, mut failures } = soaked;
    bench.line("requests").measured(answers as f64, "");
    bench.line("a second").measured(rate, "/s");
    bench.line("p50").measured(times.p50 * 1e3, "ms");
    bench.line("p99").measured(times.p99 * 1e3, "ms");
    for (what, outcomes) in [("versions put into service", swaps), ("training runs", trainings)] {
        let went_well = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        bench.line(what).measured(went_well as f64, "");
        failures.extend(outcomes.into_iter().filter_map(Result::err));
    }
    failures.iter().take(20).for_each(|failure| eprintln!("{failure}"));
    bench.line("failed").measured(failures.len() as f64, "").goal(0.0);
    let part = memory.len() / 10;
    let median = |from: usize, to: usize| {
        let mut some = memory[from..to].to_vec();
        some.sort_unstable();
        some[some.len() / 2]
    };
    if part > 0 {
        let (settled, last) = (median(part, 2 * part), median(memory.len() - part, memory.len()));
        bench.line("resident memory, most, while it trains").bytes(memory.iter().copied().max().unwrap_or(0));
        bench.line("resident memory, median of the second tenth").bytes(settled);
        bench.line("resident memory, median of the last tenth").bytes(last);
        bench.line("the last over the second").measured(last as f64 / settled.max(1) as f64, "×").goal(1.05);
    }
    bench.finish();
    Ok(())
}

fn sleep(time: Duration, over: &AtomicBool) {
    let begin = Instant::now();
    while begin.elapsed() < time && !over.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Puts the versions that there are into service, one after the other.
fn swap(address: std::net::SocketAddr, over: &AtomicBool) -> Vec<Result<(), String>> {
    let mut outcomes = Vec::new();
    for turn in 0usize.. {
        sleep(SWAP_EVERY, over);
        if over.load(Ordering::Relaxed) {
            break;
        }
        let swapped = ask(address, "GET", "/v1/models", "").and_then(|versions| {
            let versions: Vec<Value> = serde_json::from_str(&versions)?;
            let name = versions[turn % versions.len()]["name"].as_str().unwrap_or_default().to_owned();
            ask(address, "POST", &format!("/v1/models/{name}/promote"), "")
        });
        outcomes.push(swapped.map(drop).map_err(|error| format!("swap: {error}")));
    }
    outcomes
}

/// Trains, and removes all versions but the newest two when it has.
fn train(address: std::net::SocketAddr, over: &AtomicBool) -> Vec<Result<(), String>> {
    let mut outcomes = Vec::new();
    let job = |path: &str, method: &str| -> std::io::Result<Value> {
        Ok(serde_json::from_str(&ask(address, method, path, if method == "POST" { "{}" } else { "" })?)?)
    };
    while !over.load(Ordering::Relaxed) {
        let ended = job("/v1/train", "POST").and_then(|begun| {
            let path = format!("/v1/jobs/{}", begun["id"]);
            loop {
                sleep(Duration::from_millis(500), over);
                let now = job(&path, "GET")?;
                if now["state"] != "running" || over.load(Ordering::Relaxed) {
                    return Ok(now);
                }
            }
        });
        if over.load(Ordering::Relaxed) {
            break;
        }
        outcomes.push(match ended {
            Ok(job) if job["state"] == "done" => Ok(()),
            Ok(job) => Err(format!("training: {} {}", job["state"], job["error"])),
            Err(error) => Err(format!("training: {error}")),
        });
        tidy(address);
        sleep(Duration::from_secs(5), over);
    }
    outcomes
}

/// Removes versions that neither serve nor are among the newest two. One that was put into service meanwhile stays.
fn tidy(address: std::net::SocketAddr) {
    let versions: Vec<Value> = ask(address, "GET", "/v1/models", "")
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    for version in versions.iter().rev().skip(2).filter(|version| version["serving"] != true) {
        let name = version["name"].as_str().unwrap_or_default();
        let _ = ask(address, "DELETE", &format!("/v1/models/{name}"), "");
    }
}

/// Resident memory, a second apart.
fn watch(process: u32, over: &AtomicBool) -> Vec<u64> {
    let mut memory = Vec::new();
    while !over.load(Ordering::Relaxed) {
        memory.extend(resident(process));
        sleep(Duration::from_secs(1), over);
    }
    memory
}
