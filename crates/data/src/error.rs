//! What can go wrong while reading, each with the file, the line and a way on.

use std::path::PathBuf;

use foldin_core::{DataError, RatingScale};

use crate::known::{KNOWN, KnownDataset, find};

/// Why data were not read. Every message names the file, the line where there is one, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Neither a path nor a name that could be found.
    #[error("no data set `{name}`: {}", not_found(name, looked, *fetchable))]
    NotFound {
        /// What was asked for.
        name: String,
        /// Every place that was tried, in order.
        looked: Vec<PathBuf>,
        /// Whether `foldin data fetch` knows the name.
        fetchable: bool,
    },
    /// The operating system refused.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// Why.
        source: std::io::Error,
    },
    /// A folder or archive in which nothing known was found, or several candidates.
    #[error("{path}: {reason}; name the ratings file itself, such as {path}/{example}{}", found_files(found))]
    UnknownLayout {
        /// The folder or archive.
        path: String,
        /// What was expected, or why there is no choice.
        reason: &'static str,
        /// A file that could be named.
        example: String,
        /// The files that are there (the first few).
        found: Vec<String>,
    },
    /// A file without a single usable line.
    #[error(
        "{file} is empty: no interaction was found in it; check that it is the right file and was copied whole"
    )]
    Empty {
        /// The file.
        file: String,
    },
    /// A line that does not fall apart into columns with the separator in use.
    #[error(
        "{file}, line {line}: separated by {separator} there is only one column here{}",
        separator_hint(suggestion.as_deref())
    )]
    WrongSeparator {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// The separator in use, in words.
        separator: String,
        /// A separator that would work, as it is given on the command line.
        suggestion: Option<String>,
    },
    /// A column that is needed and was not recognised.
    #[error(
        "{file}: no column for the {what} among: {}; name it with --columns {what}=NAME (or {what}=NUMBER, counted from 1)",
        columns.join(", ")
    )]
    MissingColumn {
        /// The file.
        file: String,
        /// `user`, `item`, `rating` or `time`.
        what: &'static str,
        /// The columns there are.
        columns: Vec<String>,
    },
    /// A line that cannot be used.
    #[error("{file}, line {line}: {problem}; correct the line{}, or leave such lines out with --skip-bad-lines", problem.remedy())]
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        problem: LineProblem,
    },
    /// One pair of user and item twice.
    #[error(
        "{file}, line {line}: user `{user}` and item `{item}` again (first in {}line {first_line}); \
         {} in all: keep one a pair with --duplicates last or --duplicates mean",
        first_file.as_ref().map(|file| format!("{file}, ")).unwrap_or_default(), counted(*pairs, "such line")
    )]
    Duplicate {
        /// The file.
        file: String,
        /// The line of the repetition.
        line: u64,
        /// The file where the pair came first, if it is another.
        first_file: Option<String>,
        /// The line where the pair came first.
        first_line: u64,
        /// Key of the user.
        user: String,
        /// Key of the item.
        item: String,
        /// How many lines repeat an earlier pair.
        pairs: u64,
    },
    /// A history with ratings of more than one user.
    #[error(
        "{file} holds ratings of {} users ({}), but a history is of one; take one of them with --user {} --data {file}",
        users.len(), few(users), users.first().map_or("KEY", String::as_str)
    )]
    SeveralUsers {
        /// The file.
        file: String,
        /// Keys of the users, in order of appearance.
        users: Vec<String>,
    },
    /// A key that appears twice in a table of users or items.
    #[error("{file}, line {line}: `{key}` is described twice; keep one line for each key")]
    RepeatedKey {
        /// The file.
        file: String,
        /// The line of the repetition.
        line: u64,
        /// The key.
        key: String,
    },
    /// A zip or gzip file that is cut short or damaged.
    #[error("{file} is damaged or was not copied whole ({reason}{}); {}", reached(*line), again(file))]
    Damaged {
        /// The archive.
        file: String,
        /// What failed.
        reason: String,
        /// The line that reading came to, from 1, if it began.
        line: Option<u64>,
    },
    /// A feature of the format that is not supported.
    #[error("{file}: {reason}")]
    Unsupported {
        /// The file.
        file: String,
        /// What, and what to do instead.
        reason: String,
    },
    /// The name of a split that the data do not come with.
    #[error("there is no split `{split}`: {reason}")]
    UnknownSplit {
        /// What was asked for.
        split: String,
        /// What there is.
        reason: String,
    },
    /// A given split that is not one.
    #[error("the split `{split}` cannot be used: {reason}")]
    Split {
        /// The split as it was given.
        split: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// The data contradict themselves in a way no line is to blame for.
    #[error(transparent)]
    Data(#[from] DataError),
}

impl ReadError {
    /// An error of the operating system, or of a decoder that met a damaged archive.
    pub(crate) fn io(file: impl Into<String>, source: std::io::Error) -> Self {
        Self::io_in_line(file, source, None)
    }

    /// As [`ReadError::io`], with the line that reading came to.
    pub(crate) fn io_in_line(file: impl Into<String>, source: std::io::Error, line: Option<u64>) -> Self {
        use std::io::ErrorKind;
        let file = file.into();
        match source.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                Self::Damaged { file, reason: source.to_string(), line }
            }
            _ => Self::Io { file, source },
        }
    }
}

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// Fewer columns than needed.
    #[error("{}, but at least {expected} are needed", counted(*got as u64, "column"))]
    TooFewColumns {
        /// Columns needed.
        expected: usize,
        /// Columns there.
        got: usize,
    },
    /// More columns than the first line has.
    #[error("{}, but the first line has {expected}", counted(*got as u64, "column"))]
    TooManyColumns {
        /// Columns of the first line.
        expected: usize,
        /// Columns there.
        got: usize,
    },
    /// A first line that is neither data nor names of columns.
    #[error("`{text}` is not a rating, and the line does not look like names of columns")]
    NoHeader {
        /// What stands where the rating should be.
        text: String,
    },
    /// A number that is none.
    #[error("`{text}` is not a {what}")]
    InvalidNumber {
        /// What it should have been: `rating` or `time`.
        what: &'static str,
        /// What is there.
        text: String,
    },
    /// NaN or infinity.
    #[error("the rating `{text}` is not a finite number")]
    NotFinite {
        /// What is there.
        text: String,
    },
    /// A rating outside the scale.
    #[error("the rating {value} is outside the scale {}..{}", scale.min, scale.max)]
    OutOfScale {
        /// The rating.
        value: f32,
        /// The scale in use.
        scale: RatingScale,
    },
    /// A rating between the steps of the scale.
    #[error("the rating {value} is not on the scale {}..{} in steps of {}", scale.min, scale.max, scale.step.unwrap_or_default())]
    OffStep {
        /// The rating.
        value: f32,
        /// The scale in use.
        scale: RatingScale,
    },
    /// A user or item without a key.
    #[error("the {what} is empty")]
    EmptyKey {
        /// `user` or `item`.
        what: &'static str,
    },
    /// A key that the data set does not have.
    #[error("the data set has no {what} `{key}`")]
    UnknownKey {
        /// `user` or `item`.
        what: &'static str,
        /// The key.
        key: String,
    },
    /// A quotation mark that is never closed.
    #[error("a quotation mark is opened and not closed")]
    OpenQuote,
    /// A line that is not JSON, or not an object.
    #[error("not a JSON object ({reason})")]
    Json {
        /// Why not.
        reason: String,
    },
    /// A JSON object without a key that is needed.
    #[error("the object has no {what} (keys: {keys})")]
    MissingKey {
        /// `user`, `item` or `rating`.
        what: &'static str,
        /// The keys there are.
        keys: String,
    },
    /// A rating of the Netflix Prize data that belongs to no movie.
    #[error("a rating, but no line `MOVIE:` comes before it")]
    NoMovie,
    /// A movie of the Netflix Prize data in the file of another.
    #[error("the ratings of movie {got} in the file of movie {expected}")]
    WrongMovie {
        /// The movie in the line.
        got: String,
        /// The movie in the file's name.
        expected: u32,
    },
    /// A line that is none of those the Netflix Prize data consist of.
    #[error("`{text}` is neither `MOVIE:` nor `CUSTOMER,RATING,DATE`")]
    NotOfNetflix {
        /// What is there.
        text: String,
    },
    /// A line too long to be one.
    #[error("the line is longer than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
}

impl LineProblem {
    fn remedy(&self) -> &'static str {
        match self {
            Self::OutOfScale { .. } => ", give the scale with --scale MIN,MAX,STEP",
            Self::TooManyColumns { .. } => ", put quotation marks around a text that holds the separator",
            Self::NoHeader { .. } => {
                ", add --header true --columns item=NAME,rating=NAME if it names the columns"
            }
            Self::OffStep { .. } => ", give another step or none with --scale MIN,MAX[,STEP]",
            Self::TooFewColumns { .. } => ", give the separator with --separator",
            Self::InvalidNumber { what: "time", .. } => ", ignore times with --columns time=-",
            Self::MissingKey { .. } => ", name the key with --columns",
            Self::NoMovie => ", put the number of the movie with a colon before its ratings",
            Self::WrongMovie { .. } => ", name the file after its movie",
            _ => "",
        }
    }
}

fn reached(line: Option<u64>) -> String {
    line.map(|line| format!(", in line {line}")).unwrap_or_default()
}

/// How to get a whole file: only archives that are published under a known name can be fetched.
fn again(file: &str) -> String {
    let parts = file.split(['/', '\\']);
    let fetched =
        |known: &&KnownDataset| known.by_hand.is_none() && parts.clone().any(|part| part == known.file);
    match KNOWN.iter().find(fetched) {
        Some(known) => format!("remove it and download it again with `foldin data fetch {}`", known.name),
        None => "copy it from its source again, or unpack what is left of it and read that".to_owned(),
    }
}

/// The first few of some keys.
fn few(keys: &[String]) -> String {
    const SHOWN: usize = 3;
    let first = keys.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if keys.len() > SHOWN { first + ", …" } else { first }
}

/// A number with its noun.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn not_found(name: &str, looked: &[PathBuf], fetchable: bool) -> String {
    if looked.is_empty() {
        return "there is no such file or folder; check the path".to_owned();
    }
    let list: String = looked.iter().map(|path| format!("  {}\n", path.display())).collect();
    format!("it is not a path, and it was not found as\n{list}{}", fetch_hint(name, fetchable))
}

fn fetch_hint(name: &str, fetchable: bool) -> String {
    if let Some(by_hand) = find(name).and_then(|known| known.by_hand) {
        by_hand.to_owned()
    } else if fetchable {
        format!("download it with `foldin data fetch {name}`")
    } else {
        "give a path, or a folder to look in with --data-dir or FOLDIN_DATA_DIR; `foldin data fetch` without a name lists what can be downloaded".to_owned()
    }
}

fn found_files(found: &[String]) -> String {
    if found.is_empty() { String::new() } else { format!(" (there are: {})", found.join(", ")) }
}

fn separator_hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(
        || "; give the right one with --separator".to_owned(),
        |separator| format!("; try --separator '{separator}'"),
    )
}
