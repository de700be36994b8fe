//! One person's history out of a file: rated items without a user, in the formats that interactions come in.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::{LineProblem, ReadError};
use crate::fields::{Fields, Separator};
use crate::header::{
    HistoryColumns, Sniffed, is_history_header, named_history_columns, sniff, unnamed_history_columns,
};
use crate::interactions::{FileFormat, START, format_of, skip_header};
use crate::jsonl::{json_problem, text};
use crate::lines::Lines;
use crate::locate::{Location, at_path};
use crate::options::OpenOptions;
use crate::recbole;
use crate::table::parse_rating;
use crate::text::{decode, parse_decimal, year_of_title};

/// Ratings of one person, as a file states them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The file, as errors name it.
    pub file: String,
    /// The ratings in the order of the file.
    pub ratings: Vec<HistoryRating>,
    /// Messages of lines that were left out (only with `skip_bad_lines`).
    pub skipped: Vec<String>,
}

/// One rating of a history. An item, a title or both are there.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryRating {
    /// The line, from 1.
    pub line: u64,
    /// What stands in the item's column: a key, or a title in a file without keys.
    pub item: Option<String>,
    /// What stands in the title's column, with the year if it has a column of its own.
    pub title: Option<String>,
    /// The rating.
    pub rating: f32,
}

/// Reads the history of one person: separated columns, RecBole or JSON Lines, gzipped or not. Columns are found by name
/// (`rating,title`; `userId,movieId,rating`); without names, `item,rating` or a layout that can be told by its looks.
///
/// # Errors
/// [`ReadError::SeveralUsers`] if there is a column of users with more than one in it; otherwise as
/// [`open`](crate::open).
pub fn read_history(path: &Path, options: &OpenOptions) -> Result<History, ReadError> {
    let given = path.display().to_string();
    let (source, file) = match at_path(path, &given)? {
        Some(Location { source, file: Some(file), .. }) => (source, file),
        Some(_) => {
            let reason = "a history is a single file; name the file".to_owned();
            return Err(ReadError::Unsupported { file: given, reason });
        }
        None => {
            return Err(match std::fs::metadata(path) {
                Err(source) => ReadError::Io { file: given, source },
                Ok(_) => {
                    let reason = "it is neither a file nor a folder; write what it gives to a file first";
                    ReadError::Unsupported { file: given, reason: reason.to_owned() }
                }
            });
        }
    };
    source.read(&file, |input, _| read_from(input, &given, options))
}

fn read_from(input: &mut dyn Read, label: &str, options: &OpenOptions) -> Result<History, ReadError> {
    let mut lines = Lines::new(input, label);
    let mut reader = Reader {
        options,
        columns: None,
        users: Vec::new(),
        out: History { file: label.to_owned(), ..History::default() },
    };
    let start = lines.peek(START)?;
    match format_of(label, &start)? {
        FileFormat::JsonLines => reader.read_objects(&mut lines)?,
        FileFormat::RecBole => reader.read_recbole(&mut lines)?,
        FileFormat::Separated => reader.read_separated(&mut lines, &start)?,
    }
    reader.finish()
}

struct Reader<'o> {
    options: &'o OpenOptions,
    columns: Option<HistoryColumns>,
    /// Distinct users, in order of appearance.
    users: Vec<String>,
    out: History,
}

impl Reader<'_> {
    fn read_separated(&mut self, lines: &mut Lines<'_>, start: &[u8]) -> Result<(), ReadError> {
        let label = lines.file();
        let Sniffed { separator, rows } = sniff_history(label, start, self.options.separator.as_deref())?;
        let asked = &self.options.columns;
        let named = self.options.header.unwrap_or_else(|| is_history_header(&rows[0], asked));
        self.columns = Some(if named {
            skip_header(lines)?;
            named_history_columns(label, &rows[0], asked)?
        } else {
            unnamed_history_columns(label, &rows, asked)?
        });
        let width = rows[0].len();
        let mut fields = Fields::default();
        while let Some((line, record)) = lines.next(separator.quotes())? {
            if record.trim_ascii().is_empty() {
                continue;
            }
            fields.split(record, separator, usize::MAX);
            if fields.open_quote(record) {
                self.bad_line(line, LineProblem::OpenQuote)?;
                continue;
            }
            let cells: Vec<String> =
                (0..fields.len()).map(|at| decode(&fields.value(record, at)).into_owned()).collect();
            if cells.len() > width {
                self.bad_line(line, LineProblem::TooManyColumns { expected: width, got: cells.len() })?;
                continue;
            }
            self.take(line, &cells, line == 1 && !named)?;
        }
        Ok(())
    }

    fn read_recbole(&mut self, lines: &mut Lines<'_>) -> Result<(), ReadError> {
        let (names, _) = recbole::read_header(lines)?;
        self.columns = Some(named_history_columns(lines.file(), &names, &self.options.columns)?);
        recbole::each_row(lines, |line, cells| self.take(line, &cells, false))
    }

    fn read_objects(&mut self, lines: &mut Lines<'_>) -> Result<(), ReadError> {
        let label = lines.file();
        let mut names: Vec<String> = Vec::new();
        while let Some((line, record)) = lines.next_line()? {
            if record.trim_ascii().is_empty() {
                continue;
            }
            let object: serde_json::Map<String, Value> = match serde_json::from_slice(record) {
                Ok(object) => object,
                Err(error) => {
                    self.bad_line(line, json_problem(&error))?;
                    continue;
                }
            };
            if self.columns.is_none() {
                names = object.keys().cloned().collect();
                self.columns = Some(named_history_columns(label, &names, &self.options.columns)?);
            }
            let cells: Vec<String> =
                names.iter().map(|name| object.get(name).and_then(text).unwrap_or_default()).collect();
            self.take(line, &cells, false)?;
        }
        Ok(())
    }

    /// Takes one rating; `unnamed_first` is the first line of a file in which no names were recognised.
    fn take(&mut self, line: u64, cells: &[String], unnamed_first: bool) -> Result<(), ReadError> {
        let Some(columns) = self.columns else { return Ok(()) };
        let cell =
            |at: Option<usize>| at.and_then(|at| cells.get(at)).filter(|cell| !cell.is_empty()).cloned();
        let needed = 1 + columns.rating.max(columns.item.or(columns.title).unwrap_or(0));
        if cells.len() < needed {
            return self.bad_line(line, LineProblem::TooFewColumns { expected: needed, got: cells.len() });
        }
        let rating = match parse_rating(cells[columns.rating].as_bytes()) {
            Ok(rating) => rating,
            Err(LineProblem::InvalidNumber { text, .. }) if unnamed_first => {
                return self.bad_line(line, LineProblem::NoHeader { text });
            }
            Err(problem) => return self.bad_line(line, problem),
        };
        let item = cell(columns.item);
        let title = cell(columns.title).map(|title| match cell(columns.year) {
            Some(year) if year_of_title(&title).is_none() => format!("{title} ({year})"),
            _ => title,
        });
        if item.is_none() && title.is_none() {
            return self.bad_line(line, LineProblem::EmptyKey { what: "item" });
        }
        if let Some(user) = cell(columns.user)
            && !self.users.contains(&user)
        {
            self.users.push(user);
        }
        self.out.ratings.push(HistoryRating { line, item, title, rating });
        Ok(())
    }

    fn bad_line(&mut self, line: u64, problem: LineProblem) -> Result<(), ReadError> {
        if self.options.skip_bad_lines {
            self.out.skipped.push(format!("{}, line {line}: {problem}", self.out.file));
            return Ok(());
        }
        Err(ReadError::Line { file: self.out.file.clone(), line, problem })
    }

    fn finish(self) -> Result<History, ReadError> {
        let file = self.out.file.clone();
        if self.users.len() > 1 {
            return Err(ReadError::SeveralUsers { file, users: self.users });
        }
        if self.out.ratings.is_empty() {
            return Err(match self.out.skipped.into_iter().next() {
                Some(example) => ReadError::Unsupported {
                    file,
                    reason: format!("none of its lines can be used; the first: {example}"),
                },
                None => ReadError::Empty { file },
            });
        }
        Ok(self.out)
    }
}

/// As [`sniff`], but spaces stand within titles: another separator that cuts the first line goes before them, and they
/// separate only what has a column of numbers.
fn sniff_history(file: &str, start: &[u8], given: Option<&str>) -> Result<Sniffed, ReadError> {
    let found = sniff(file, start, given)?;
    if given.is_some() || found.separator != Separator::Spaces {
        return Ok(found);
    }
    let mut others =
        ["tab", ",", ";", "|"].into_iter().filter_map(|other| sniff(file, start, Some(other)).ok());
    if let Some(other) = others.next() {
        return Ok(other);
    }
    let data = if found.rows.len() > 1 { &found.rows[1..] } else { &found.rows[..] };
    let numbers = |at: usize| data.iter().all(|row| row.get(at).is_some_and(|cell| is_number(cell)));
    if (0..found.rows[0].len()).any(numbers) {
        return Ok(found);
    }
    let separator = "any of , tab ; |".to_owned();
    Err(ReadError::WrongSeparator { file: file.to_owned(), line: 1, separator, suggestion: None })
}

fn is_number(text: &str) -> bool {
    parse_decimal(text.as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(mut text: &[u8], options: &OpenOptions) -> Result<History, String> {
        read_from(&mut text, "mine.csv", options).map_err(|error| error.to_string())
    }

    fn read(text: &str) -> Result<Vec<(String, f32)>, String> {
        let history = read_with(text.as_bytes(), &OpenOptions::default())?;
        let what = |rating: HistoryRating| (rating.title.or(rating.item).unwrap_or_default(), rating.rating);
        Ok(history.ratings.into_iter().map(what).collect())
    }

    fn columns(text: &str) -> OpenOptions {
        OpenOptions { columns: text.parse().unwrap(), ..OpenOptions::default() }
    }

    #[test]
    fn columns_are_found_by_name_in_any_order() {
        for text in [
            "rating,title\n5,Alien\n2,Fargo\n",
            "title;rating\nAlien;5\nFargo;2\n",
            "Title\tRating\nAlien\t5\nFargo\t2\n",
            "title|stars\nAlien|5\nFargo|2\n",
            "userId,movieId,rating,timestamp\n7,Alien,5,978300760\n7,Fargo,2,978300761\n",
            "id,rating\nAlien,5\nFargo,2\n",
            "{\"rating\": 5, \"title\": \"Alien\"}\n{\"title\": \"Fargo\", \"rating\": 2}\n",
            "item_id:token\trating:float\nAlien\t5\nFargo\t2\n",
        ] {
            let expected = [("Alien".to_owned(), 5.0), ("Fargo".to_owned(), 2.0)];
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        let letterboxd = "Date,Name,Year,Letterboxd URI,Rating\n2024-01-02,Alien,1979,https://x,4.5\n";
        assert_eq!(read(letterboxd).unwrap(), [("Alien (1979)".to_owned(), 4.5)]);
    }

    #[test]
    fn columns_without_names_are_told_by_their_looks() {
        for text in [
            "Alien,5\nFargo,2\n",
            "Alien,5,978300760\nFargo,2,978300761\n",
            "Alien,5,great\nFargo,2,not so\n",
            "ann,Alien,5\nann,Fargo,2\n",
        ] {
            let expected = [("Alien".to_owned(), 5.0), ("Fargo".to_owned(), 2.0)];
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
        assert_eq!(read("196\t242\t3\t881250949\n").unwrap(), [("242".to_owned(), 3.0)]);
        assert_eq!(read("7,242,3\n7,243,4\n").unwrap()[1], ("243".to_owned(), 4.0));
        let error = read("1,2,3\n2,2,4\n").unwrap_err();
        assert!(error.contains("--columns item=1,rating=2"), "{error}");
        let history = read_with(b"1,2,3\n2,2,4\n", &columns("item=1,rating=3")).unwrap();
        assert_eq!((history.ratings[1].item.as_deref(), history.ratings[1].rating), (Some("2"), 4.0));
    }

    #[test]
    fn files_are_opened_where_there_are_any() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.csv");
        let message = |path: &Path| read_history(path, &OpenOptions::default()).unwrap_err().to_string();
        assert!(message(&path).contains("mine.csv"));
        assert!(message(folder.path()).contains("name the file"));
        std::fs::write(&path, "Alien,5\n").unwrap();
        assert_eq!(read_history(&path, &OpenOptions::default()).unwrap().ratings.len(), 1);
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "([a-c0-9\"{}:;,|\t\n ]|title|rating|user|item|\\{\"item\": 1, \"rating\": 2\\}){0,40}") {
            let _ = read(&text);
        }
    }

    #[test]
    fn latin_1_is_understood() {
        let history = read_with(b"title,rating\nMis\xe9rables,4\n", &OpenOptions::default()).unwrap();
        assert_eq!(history.ratings[0].title.as_deref(), Some("Misérables"));
    }

    #[test]
    fn mistakes_are_named_with_their_line_and_a_way_on() {
        for (text, expected) in [
            ("Alien,five\nFargo,2\n", ["line 1: `five` is not a rating", "--header true"]),
            ("Alien,5\nFargo,two\n", ["line 2: `two` is not a rating", "--skip-bad-lines"]),
            ("title,rating\nAlien,5\nFargo\n", ["line 3: 1 column,", "--skip-bad-lines"]),
            ("Alien,5\nMatrix, The (1999),2\n", ["line 2: 3 columns", "quotation marks"]),
            ("title,rating\nAlien,nan\n", ["line 2", "not a finite number"]),
            ("title,rating\n,4\n", ["line 2", "the item is empty"]),
            ("title,liking\nAlien,4\n", ["no column for the rating", "--columns rating=NAME"]),
            ("what,rating\nAlien,4\n", ["no column for the item", "--columns item=NAME"]),
            ("user,item,rating\na,x,1\nb,x,2\n", ["2 users (a, b)", "--user a --data"]),
            ("", ["mine.csv is empty", "right file"]),
            ("title,rating\n", ["mine.csv is empty", "right file"]),
            ("Star Wars (1977)\nThe Last Signal\n", ["only one column", "--separator"]),
        ] {
            let error = read(text).unwrap_err();
            for part in expected {
                assert!(error.contains(part) && error.contains("mine.csv"), "{part:?} in {error:?}");
            }
        }
        let options = OpenOptions { skip_bad_lines: true, ..OpenOptions::default() };
        let history = read_with(b"Alien,5\nFargo,two\n", &options).unwrap();
        assert_eq!((history.ratings.len(), history.skipped.len()), (1, 1));
    }
}
