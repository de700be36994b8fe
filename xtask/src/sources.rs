//! What no compiler sees: unfinished marks, paths of somebody's machine, files that grew too long.

use std::path::Path;
use std::process::Command;

/// A file of Rust source is questioned above this many lines.
const LONG: usize = 600;

/// Text that must not be in a source file, and why. Each is written in two halves so that this file passes its own check.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("todo", "!(", "an unfinished mark"),
    ("TO", "DO", "an unfinished mark"),
    ("FIX", "ME", "an unfinished mark"),
    ("XX", "X:", "an unfinished mark"),
    ("unimpl", "emented!(", "an unfinished mark"),
    ("db", "g!(", "a debugging aid"),
    ("/ho", "me/", "a path of one machine"),
    ("/Us", "ers/", "a path of one machine"),
    ("/wo", "rk/", "a path of one machine"),
    ("/ro", "ot/", "a path of one machine"),
    ("/tm", "p/", "a path of one machine"),
    ("<<<", "<<<< ", "a conflict mark"),
];

/// Extensions that are read; everything else (assets, fixtures, the lock file) is not ours to word.
const TEXT: &[&str] = &["rs", "toml", "md", "py", "sh", "ts", "svelte", "yml", "yaml"];

/// Reads every file that is, or would be, under version control.
pub(crate) fn run() -> Result<String, String> {
    let listing = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .output()
        .map_err(|error| format!("git did not start: {error}"))?;
    if !listing.status.success() {
        return Err(format!("git ls-files failed:\n{}", String::from_utf8_lossy(&listing.stderr)));
    }
    let (mut complaints, mut long, mut files) = (Vec::new(), Vec::new(), 0);
    for path in String::from_utf8_lossy(&listing.stdout).lines() {
        let extension = Path::new(path).extension().and_then(|extension| extension.to_str());
        let script = path.starts_with(".ci/");
        if !script && !extension.is_some_and(|extension| TEXT.contains(&extension)) {
            continue;
        }
        // A file deleted but not yet committed is still listed.
        let Ok(text) = std::fs::read_to_string(path) else { continue };
        files += 1;
        complaints.extend(forbidden(&text).into_iter().map(|(line, why)| format!("  {path}:{line}: {why}")));
        let lines = text.lines().count();
        if extension == Some("rs") && lines > LONG {
            long.push(format!("  {path}: {lines} lines"));
        }
    }
    if !complaints.is_empty() {
        return Err(format!("sources:\n{}", complaints.join("\n")));
    }
    let mut summary = format!("sources: {files} files, nothing unfinished");
    if !long.is_empty() {
        summary = format!("{summary}; longer than {LONG} lines, consider splitting:\n{}", long.join("\n"));
    }
    Ok(summary)
}

/// Line numbers (from 1) and reasons.
fn forbidden(text: &str) -> Vec<(usize, String)> {
    let mut out = Vec::new();
    for (at, line) in text.lines().enumerate() {
        for (head, tail, why) in FORBIDDEN {
            let word = format!("{head}{tail}");
            if line.contains(&word) {
                out.push((at + 1, format!("`{}` is {why}", word.trim())));
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_marks_are_found() {
        let text = format!("fine\n    {}{}\"later\")\nlet p = \"{}{}me\";\n", "todo", "!(", "/ho", "me/");
        let found = forbidden(&text);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2, 3]);
        assert!(found[1].1.contains("a path of one machine"));
    }

    #[test]
    fn plain_words_pass() {
        assert_eq!(forbidden("A method todoist would like, at https://example.org/home.\n"), Vec::new());
    }
}
