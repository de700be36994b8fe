//! Flags and small things that several commands share.

use std::fmt;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use comfy_table::{ContentArrangement, LineStyle, Table, TableStyle};
use foldin_core::ConfigError;
use foldin_data::{FetchError, ReadError};
use foldin_eval::EvalError;

/// Flags every command takes.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Global {
    /// Folder in which data sets are looked up by name first, before $FOLDIN_DATA_DIR and the download cache
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Threads to use; results are the same at any number [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// No progress bars and no remarks, only results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    /// Sets the size of the thread pool that all numeric work runs on.
    pub(crate) fn install_threads(&self) -> anyhow::Result<()> {
        if let Some(threads) = self.threads {
            rayon::ThreadPoolBuilder::new()
                .num_threads(usize::from(threads))
                .build_global()
                .context("cannot start the threads")?;
        }
        Ok(())
    }

    /// Flags of somebody who wants results and errors only.
    #[cfg(test)]
    pub(crate) fn quiet() -> Self {
        Self { data_dir: None, threads: None, quiet: true }
    }

    /// Whether progress bars make sense.
    pub(crate) fn shows_progress(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }

    /// Prints a remark, unless the user wants quiet.
    pub(crate) fn remark(&self, text: impl fmt::Display) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// The user asked for something that cannot be asked: exit code 2.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Usage {}

/// An error that ends with exit code 2.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    anyhow::Error::new(Usage(text.into()))
}

/// Whether an error is about what was asked rather than about what was found.
pub(crate) fn is_usage(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<Usage>()
            || cause.is::<ConfigError>()
            || matches!(cause.downcast_ref(), Some(FetchError::Unknown { .. }))
            || matches!(cause.downcast_ref(), Some(ReadError::UnknownSplit { .. }))
            || matches!(
                cause.downcast_ref(),
                Some(
                    EvalError::Config { .. }
                        | EvalError::DuplicateLabel { .. }
                        | EvalError::NoModels
                        | EvalError::TooFewFolds { .. }
                        | EvalError::UnknownFold { .. }
                )
            )
    })
}

/// Whether the reader of our output went away, as `head` does: not an error of ours.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<std::io::Error>())
        .any(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// An error with its causes, leaving out a cause that the message above it has said already.
pub(crate) fn in_one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if text.ends_with(&cause) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&cause);
    }
    text
}

/// Prints to standard output; a closed pipe becomes an error that ends the program quietly.
pub(crate) fn print(text: impl fmt::Display) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Prints a value as indented JSON.
pub(crate) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(serde_json::to_string_pretty(value)?)
}

/// An empty table in the style of every table here: a rule under the header, wrapped to the terminal's width.
pub(crate) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table
        .load_style(TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─')))
        .set_content_arrangement(ContentArrangement::Dynamic);
    if !header.is_empty() {
        table.set_header(header);
    }
    table
}

/// Makes sure that a file can be written before work begins whose result is to go there. An existing file stays as it is.
pub(crate) fn check_writable(path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}; nothing was begun", path.display());
    make_folder_of(path)?;
    let existed = path.exists();
    std::fs::OpenOptions::new().append(true).create(true).open(path).with_context(cannot)?;
    if !existed {
        std::fs::remove_file(path).with_context(cannot)?;
    }
    Ok(())
}

/// As [`check_writable`], for a folder that is to be made or replaced.
pub(crate) fn check_folder(path: &Path) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".probe-{}", std::process::id()));
    check_writable(&path.with_file_name(name)).with_context(|| format!("cannot write {}", path.display()))
}

fn make_folder_of(path: &Path) -> anyhow::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    Ok(())
}

/// Writes a file, making the folders above it.
pub(crate) fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    make_folder_of(path)?;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a table as CSV; all fields are quoted.
#[cfg(feature = "vision")]
pub(crate) fn write_csv<'a, const N: usize>(
    path: &Path,
    header: [&'a str; N],
    rows: impl Iterator<Item = [&'a str; N]>,
) -> anyhow::Result<()> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let line = |fields: [&str; N]| fields.map(quoted).join(",") + "\n";
    write_file(path, &(header.join(",") + "\n" + &rows.map(line).collect::<String>()))
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A time span as people say it: `3.2 µs`, `41 ms`, `2.5 s`, `3 min 20 s`.
pub(crate) fn seconds_in_words(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s => format!("{} min {:.0} s", (s / 60.0).floor(), s % 60.0),
    }
}

/// The command line of this run, as one would type it anywhere: the program by its name alone, and without where files are found
/// and written.
pub(crate) fn command_line() -> String {
    let mut out = "foldin".to_owned();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let name = argument.split('=').next().unwrap_or_default();
        if ["--data-dir", "--out", "--json", "--html", "--markdown", "--note"].contains(&name) {
            if !argument.contains('=') {
                arguments.next();
            }
            continue;
        }
        let plain = argument.chars().all(|c| c.is_ascii_alphanumeric() || "-_=.,/:+@".contains(c));
        out += " ";
        out += &if plain { argument } else { format!("'{}'", argument.replace('\'', "'\\''")) };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "vision")]
    #[test]
    fn fields_with_quotes_and_commas_are_one_field() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/table.csv");
        write_csv(&path, ["a", "b"], [["1, 2", "so \"called\""]].into_iter()).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "a,b\n\"1, 2\",\"so \"\"called\"\"\"\n");
    }

    #[test]
    fn spans_read_well() {
        for (seconds, words) in
            [(3.24e-6, "3.2 µs"), (0.041, "41.0 ms"), (2.5, "2.5 s"), (200.0, "3 min 20 s")]
        {
            assert_eq!(seconds_in_words(seconds), words);
        }
    }
}
