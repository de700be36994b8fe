//! All checks in one go, cheapest first, with the time each took.

use std::process::Command;
use std::time::Instant;

use crate::{docs, layers, licences, sources};

/// A step: its name, and what it does.
type Step = (&'static str, fn() -> Result<(), String>);

const STEPS: &[Step] = &[
    ("format", || cargo(&["fmt", "--all", "--check"], &[])),
    ("layers", || said(layers::run())),
    ("sources", || said(sources::run())),
    ("licences", || said(licences::run())),
    ("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])
    }),
    ("docs", || cargo(&["doc", "--workspace", "--no-deps", "--locked"], &[("RUSTDOCFLAGS", "-D warnings")])),
    ("tests", || cargo(&["test", "--workspace", "--locked"], &[])),
    // Last, because the tests have built the binary that is asked.
    ("settings", || said(docs::run(true))),
];

const FULL: &[Step] = &[("quickstart", || cargo(&["run", "--release", "--locked", "--", "quickstart"], &[]))];

/// Runs every step up to the first that fails, then says how long each took.
pub(crate) fn run(full: bool) -> Result<String, String> {
    let steps: Vec<&Step> = STEPS.iter().chain(if full { FULL } else { &[] }).collect();
    let begin = Instant::now();
    let mut lines = Vec::new();
    for (name, step) in &steps {
        println!("--- {name}");
        let start = Instant::now();
        let outcome = step();
        let seconds = start.elapsed().as_secs_f64();
        lines
            .push(format!("  {name:<12}{seconds:>8.1} s  {}", if outcome.is_ok() { "ok" } else { "FAILED" }));
        if let Err(reason) = outcome {
            lines.extend(
                steps[lines.len()..].iter().map(|(name, _)| format!("  {name:<12}       -    not run")),
            );
            return Err(format!("{reason}\ncheck failed at `{name}`:\n{}", lines.join("\n")));
        }
    }
    Ok(format!("check passed in {:.1} s:\n{}", begin.elapsed().as_secs_f64(), lines.join("\n")))
}

fn said(outcome: Result<String, String>) -> Result<(), String> {
    outcome.map(|summary| println!("{summary}"))
}

fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let status = Command::new(crate::metadata::cargo())
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {}` failed ({status})", arguments.join(" "))) }
}
