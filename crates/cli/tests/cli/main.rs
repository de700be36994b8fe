//! The binary as a user runs it: help, errors, exit codes, and the whole path from data to a recommendation.

mod clicks;
mod convert;
mod errors;
mod evaluate;
mod help;
mod person;
#[path = "../common/running.rs"]
mod running;
mod serve;
mod tables;
mod train;

use std::path::Path;
use std::process::{Command, Output};

/// Runs the binary in a folder, far from the data and the home of whoever runs the tests.
fn foldin(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foldin"))
        .args(args)
        .current_dir(folder)
        .env_remove("FOLDIN_DATA_DIR")
        .env_remove("FOLDIN_SIMD")
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("HOME", folder)
        .env("COLUMNS", "100")
        .output()
        .expect("the binary starts")
}

/// Exit code, standard output and standard error of a run, with what differs from run to run taken out.
fn shown(folder: &Path, args: &[&str]) -> String {
    let output = foldin(folder, args);
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes).replace(&folder.display().to_string(), "FOLDER").trim_end().to_owned()
    };
    format!(
        "exit code {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr)
    )
}

/// 40 users × 30 items on a scale of −10 to 10: even users like even items, odd users odd ones.
fn write_ratings(folder: &Path) {
    let mut text = String::from("userId,movieId,rating,timestamp\n");
    for user in 0..40 {
        for item in 0..30 {
            if (user * 7 + item * 11) % 3 != 0 {
                let rating = if (user + item) % 2 == 0 { 8 + (user % 3) - 1 } else { -6 + (item % 3) };
                text.push_str(&format!("u{user},i{item},{rating},{}\n", 1_000_000 + user * 30 + item));
            }
        }
    }
    std::fs::write(folder.join("ratings.csv"), text).expect("the folder can be written to");
}

fn ok(folder: &Path, args: &[&str]) -> String {
    let output = foldin(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// What a run that fails says on standard error; checks its exit code.
fn refused(folder: &Path, code: i32, args: &[&str]) -> String {
    let output = foldin(folder, args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
    text
}

/// As [`ok`], and what was said on standard error.
fn both(folder: &Path, args: &[&str]) -> (String, String) {
    let output = foldin(folder, args);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {error}");
    (String::from_utf8(output.stdout).expect("output is UTF-8"), error)
}

/// Writes a file into the folder of a test.
fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), text).expect("the folder can be written to");
}

/// The whole of a text file in the folder of a test.
fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect("the file was written")
}

/// A text as JSON.
fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("the output is JSON")
}
