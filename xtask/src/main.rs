//! The project's own checks: `cargo xtask check` is literally what CI runs, cheapest first.
//!
//! | command | does |
//! | --- | --- |
//! | `cargo xtask check [--full]` | everything below, clippy, docs and tests; `--full` adds clippy on the GPU build and the quickstart in release |
//! | `cargo xtask docs [--check]` | writes `docs/config.md` and `docs/activations.md`, or fails if one is out of date |
//! | `cargo xtask layers` | which crate may depend on which |
//! | `cargo xtask licences` | licences and native libraries of every dependency |
//! | `cargo xtask sources` | unfinished marks, machine paths, file lengths |
//! | `cargo xtask api` | requests generated from the API's description, against a real server |
//! | `cargo xtask web` | the dashboard: checked, built, compared with what is checked in, and driven in a browser |
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

use std::process::ExitCode;

mod api;
mod check;
mod docs;
mod layers;
mod licences;
mod metadata;
mod server;
mod sources;
mod web;

const USAGE: &str =
    "usage: cargo xtask check [--full] | api | docs [--check] | layers | licences | sources | web";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        ["check"] => check::run(false),
        ["check", "--full"] => check::run(true),
        ["docs"] => docs::run(false),
        ["docs", "--check"] => docs::run(true),
        ["layers"] => layers::run(),
        ["licences"] => licences::run(),
        ["sources"] => sources::run(),
        ["api"] => api::run(),
        ["web"] => web::run(),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
