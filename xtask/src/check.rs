//! All checks in one go, cheapest first, with the time each took.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{api, docs, layers, licences, sources, web};

/// A step: its name, and what it does.
type Step = (&'static str, fn() -> Result<(), String>);

/// Everything that is not built unless asked for.
const FEATURES: &[&str] = &["--features", "foldin/vision,foldin/otlp,foldin-benches/vision", "--locked"];

const STEPS: &[Step] = &[
    ("format", || cargo(&["fmt", "--all", "--check"], &[])),
    ("layers", || said(layers::run())),
    ("sources", || said(sources::run())),
    ("licences", || said(licences::run())),
    ("clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"], &[])
    }),
    // All packages once more, so that what they need is not built again: only the binary, the server and the benches differ.
    ("clippy, features", || {
        cargo(
            &[&["clippy", "--workspace", "--all-targets"], FEATURES, &["--", "-D", "warnings"]].concat(),
            &[],
        )
    }),
    ("docs", || cargo(&["doc", "--workspace", "--no-deps", "--locked"], &[("RUSTDOCFLAGS", "-D warnings")])),
    ("tests", tests),
    // Of what the tests without features leave out.
    ("tests, features", || {
        cargo(
            &[&["test", "--workspace"], FEATURES, &["--bin", "foldin", "--test", "pictures"]].concat(),
            &[("FOLDIN_KEEP_SHOP", &crate::server::shop()?.display().to_string())],
        )?;
        cargo(&[&["test", "--workspace"], FEATURES, &["--test", "cli", "traces"]].concat(), &[])
    }),
    // After the tests, because the tests have built the binary that is asked.
    ("settings", || said(docs::run(true))),
    ("api", || said(api::run())),
    ("dashboard", || said(web::run())),
];

const FULL: &[Step] = &[
    // Compiled, not run: machines that check have no GPU. What GPUs need takes minutes to compile.
    ("clippy, gpu", || {
        let packages = ["-p", "foldin-vision", "-p", "foldin", "--features", "foldin/vision-wgpu"];
        cargo(
            &[&["clippy", "--all-targets", "--locked"][..], &packages, &["--", "-D", "warnings"]].concat(),
            &[],
        )
    }),
    ("quickstart", || cargo(&["run", "--release", "--locked", "--", "quickstart", "--no-serve"], &[])),
];

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
            .push(format!("  {name:<20}{seconds:>8.1} s  {}", if outcome.is_ok() { "ok" } else { "FAILED" }));
        if let Err(reason) = outcome {
            lines.extend(
                steps[lines.len()..].iter().map(|(name, _)| format!("  {name:<20}       -    not run")),
            );
            return Err(format!("{reason}\ncheck failed at `{name}`:\n{}", lines.join("\n")));
        }
    }
    Ok(format!("check passed in {:.1} s:\n{}", begin.elapsed().as_secs_f64(), lines.join("\n")))
}

/// Runs every test, showing what cargo shows, and closes with one line over all test binaries.
fn tests() -> Result<(), String> {
    let mut child = Command::new(crate::metadata::cargo())
        .args(["test", "--workspace", "--locked"])
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    let mut total = [0u64; 3];
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            println!("{line}");
            for (sum, count) in total.iter_mut().zip(counts(&line)) {
                *sum += count;
            }
        }
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    let [passed, failed, skipped] = total;
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if status.success() { Ok(()) } else { Err(format!("`cargo test` failed ({status})")) }
}

/// Passed, failed and ignored tests of a closing line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
fn counts(line: &str) -> [u64; 3] {
    if !line.starts_with("test result:") {
        return [0; 3];
    }
    let words: Vec<&str> = line.split([' ', ';', '.']).filter(|word| !word.is_empty()).collect();
    ["passed", "failed", "ignored"].map(|kind| {
        let at = words.iter().position(|word| *word == kind).unwrap_or(0);
        at.checked_sub(1).and_then(|before| words[before].parse().ok()).unwrap_or(0)
    })
}

fn said(outcome: Result<String, String>) -> Result<(), String> {
    outcome.map(|summary| println!("{summary}"))
}

/// Runs cargo.
pub(crate) fn cargo(arguments: &[&str], environment: &[(&str, &str)]) -> Result<(), String> {
    let status = Command::new(crate::metadata::cargo())
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .map_err(|error| format!("cargo did not start: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("`cargo {}` failed ({status})", arguments.join(" "))) }
}

#[cfg(test)]
mod tests {
    use super::counts;

    #[test]
    fn closing_lines_are_counted() {
        let line =
            "test result: ok. 31 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.20s";
        assert_eq!(counts(line), [31, 2, 1]);
        assert_eq!(counts("31 passed; 2 failed"), [0, 0, 0]);
    }
}
