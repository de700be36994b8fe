//! The Netflix Prize data, in both forms that are about.
//!
//! The original has a file a movie, `training_set/mv_0000001.txt` …; Kaggle's has `combined_data_1.txt` …
//! `combined_data_4.txt` with many movies each. Either way a line `MOVIE:` stands before the lines `CUSTOMER,RATING,DATE` of
//! that movie. `movie_titles.txt` (Kaggle: `.csv`) has lines `MOVIE,YEAR,TITLE`, in Latin-1, with commas in titles that no
//! quotation marks enclose and `NULL` where the year is not known.
//!
//! Movies are numbered in the order of their titles, unrated ones included, customers by first appearance. Files that are
//! missing are not missed, so that a part of the data can be read as well.

use std::path::Path;

use foldin_core::{FeatureValue, Field, RawFeatures};

use crate::error::{LineProblem, ReadError};
use crate::fields::{Fields, Separator};
use crate::known::STARS;
use crate::layout::base;
use crate::lines::Lines;
use crate::movielens::Parts;
use crate::options::OpenOptions;
use crate::ratings::{Expect, RatingsBuilder};
use crate::side::{SideTable, known_kind};
use crate::source::Source;
use crate::table::parse_rating;
use crate::text::{decode, parse_date};

/// The folder that the original keeps its ratings in.
pub(crate) const RATINGS_FOLDER: &str = "training_set";
/// What the archive of that folder is called.
pub(crate) const RATINGS_ARCHIVE: &str = "training_set.tar";
/// The names of the table of movies.
const TITLES: [&str; 2] = ["movie_titles.txt", "movie_titles.csv"];

/// The number in a name such as `mv_0000001.txt`.
fn number(file: &str, beginning: &str) -> Option<u32> {
    let digits = base(file).strip_prefix(beginning)?.strip_suffix(".txt")?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

fn number_of_combined(file: &str) -> Option<u32> {
    number(file, "combined_data_")
}

/// The movie whose ratings a file of the original holds.
fn movie_of(file: &str) -> Option<u32> {
    number(file, "mv_")
}

/// Whether a file holds ratings in one of the two forms.
pub(crate) fn is_ratings(file: &str) -> bool {
    number_of_combined(file).or_else(|| movie_of(file)).is_some()
}

/// The files of ratings in the order of their numbers. Where both forms lie together, they say the same: one is taken.
pub(crate) fn rating_files(source: &Source) -> Vec<String> {
    let numbered = |number: fn(&str) -> Option<u32>| {
        let files = source.files().into_iter();
        let mut found: Vec<(u32, &str)> = files.filter_map(|file| Some((number(file)?, file))).collect();
        found.sort_unstable();
        found.into_iter().map(|(_, file)| file.to_owned()).collect::<Vec<_>>()
    };
    let combined = numbered(number_of_combined);
    if combined.is_empty() { numbered(movie_of) } else { combined }
}

/// Reads these files with the titles that lie beside them.
pub(crate) fn read(source: &Source, files: &[String], options: &OpenOptions) -> Result<Parts, ReadError> {
    let mut skipped = Vec::new();
    let mut movies = match titles_of(source)? {
        Some((source, file)) => read_titles(&source, &file, options, &mut skipped)?,
        None => SideTable::default(),
    };
    let label = match files {
        [file] => source.label(file),
        _ => source.path().display().to_string(),
    };
    let (users, expect) = (SideTable::default(), Expect::Scale(STARS));
    let mut builder =
        RatingsBuilder::new(&label, "Netflix Prize", Default::default(), movies.take_keys(), expect, options);
    skipped.into_iter().for_each(|message| builder.report.skip(message));
    read_ratings(source, files, &mut builder)?;
    Ok((builder.finish()?, users, movies))
}

/// Hands the ratings in these files to `builder`.
pub(crate) fn read_ratings(
    source: &Source,
    files: &[String],
    builder: &mut RatingsBuilder,
) -> Result<(), ReadError> {
    source.read_each(files, |file, input, label| {
        if files.len() > 1 {
            builder.begin_file(label);
        }
        read_blocks(&mut Lines::new(input, label), movie_of(file), builder)
    })
}

/// The table of movies: among the files, or beside the folder or archive that holds only ratings.
fn titles_of(source: &Source) -> Result<Option<(Source, String)>, ReadError> {
    let find = |source: &Source| {
        source.files().into_iter().find(|file| TITLES.contains(&base(file))).map(str::to_owned)
    };
    if let Some(file) = find(source) {
        return Ok(Some((source.clone(), file)));
    }
    let path = source.path();
    let ratings_alone =
        [RATINGS_FOLDER, RATINGS_ARCHIVE].map(Path::new).iter().any(|name| path.ends_with(name));
    let folder = match path.parent() {
        Some(parent) if ratings_alone && path.exists() => {
            if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            }
        }
        _ => return Ok(None),
    };
    let beside = Source::open(folder)?;
    Ok(find(&beside).map(|file| (beside, file)))
}

/// Reads `MOVIE,YEAR,TITLE`; a bad line is left out with its message in `skipped`, if `options` say so.
fn read_titles(
    source: &Source,
    file: &str,
    options: &OpenOptions,
    skipped: &mut Vec<String>,
) -> Result<SideTable, ReadError> {
    let mut movies = SideTable::default();
    source.read(file, |input, label| {
        let mut lines = Lines::new(input, label);
        while let Some((line, record)) = lines.next_line()? {
            match title(record) {
                Ok((key, year, title)) => {
                    let key = decode(key).into_owned();
                    let year = year.map(|year| ("year".to_owned(), FeatureValue::Number(f64::from(year))));
                    if !movies.push(&key, decode(title).into_owned(), RawFeatures::from_iter(year)) {
                        return Err(ReadError::RepeatedKey { file: label.to_owned(), line, key });
                    }
                }
                Err(_) if record.trim_ascii().is_empty() => {}
                Err(problem) if options.skip_bad_lines => {
                    skipped.push(format!("{}, line {line}: {problem}", base(file)));
                }
                Err(problem) => return Err(ReadError::Line { file: label.to_owned(), line, problem }),
            }
        }
        Ok(())
    })?;
    if movies.rows.iter().any(|row| row.contains_key("year")) {
        movies.fields.extend(known_kind("year").map(|kind| Field { name: "year".to_owned(), kind }));
    }
    Ok(movies)
}

/// Movie, year and title.
type Movie<'a> = (&'a [u8], Option<u16>, &'a [u8]);

/// Cuts a line of the table of movies. Whatever follows the second comma is the title.
fn title(record: &[u8]) -> Result<Movie<'_>, LineProblem> {
    let mut parts = record.splitn(3, |&byte| byte == b',').map(<[u8]>::trim_ascii);
    let (Some(movie), Some(year), Some(title)) = (parts.next(), parts.next(), parts.next()) else {
        let got = record.splitn(3, |&byte| byte == b',').count();
        return Err(LineProblem::TooFewColumns { expected: 3, got });
    };
    if movie.is_empty() {
        return Err(LineProblem::EmptyKey { what: "item" });
    }
    let year = match year {
        b"" | b"NULL" => None,
        year => {
            Some(std::str::from_utf8(year).ok().and_then(|year| year.parse().ok()).ok_or_else(|| {
                LineProblem::InvalidNumber { what: "year", text: decode(year).into_owned() }
            })?)
        }
    };
    Ok((movie, year, title))
}

/// Reads one file. `only` is the movie that it is named after.
fn read_blocks(
    lines: &mut Lines<'_>,
    only: Option<u32>,
    builder: &mut RatingsBuilder,
) -> Result<(), ReadError> {
    let mut fields = Fields::default();
    // Empty where ratings belong to no movie.
    let mut movie = Vec::new();
    while let Some((line, record)) = lines.next_line()? {
        if let Some(number) = block(record) {
            movie.clear();
            match only {
                Some(expected) if decode(number).parse() != Ok(expected) => {
                    let got = decode(number).into_owned();
                    builder.bad_line(line, LineProblem::WrongMovie { got, expected })?;
                }
                _ => movie.extend_from_slice(number),
            }
            continue;
        }
        match rating(record, &mut fields) {
            Ok(_) if movie.is_empty() => builder.bad_line(line, LineProblem::NoMovie)?,
            Ok((value, time)) => {
                builder.push(fields.raw(record, 0), &movie, value, Some(time), line)?;
            }
            Err(_) if record.trim_ascii().is_empty() => {}
            Err(problem) => builder.bad_line(line, problem)?,
        }
    }
    Ok(())
}

/// The movie of a line `MOVIE:`.
#[inline]
fn block(record: &[u8]) -> Option<&[u8]> {
    let number = record.trim_ascii_end().strip_suffix(b":")?.trim_ascii_start();
    (!number.is_empty() && number.iter().all(u8::is_ascii_digit)).then_some(number)
}

/// Rating and time of a line `CUSTOMER,RATING,DATE`, whose fields are left in `fields`.
#[inline]
fn rating(record: &[u8], fields: &mut Fields) -> Result<(f32, i64), LineProblem> {
    const COLUMNS: usize = 3;
    fields.split(record, Separator::Byte(b','), COLUMNS + 1);
    if fields.len() != COLUMNS {
        return Err(LineProblem::NotOfNetflix { text: decode(record).into_owned() });
    }
    let value = parse_rating(fields.raw(record, 1))?;
    let date = fields.raw(record, 2);
    let time = parse_date(date).ok_or_else(|| LineProblem::InvalidNumber {
        what: "date as in 2005-12-31",
        text: decode(date).into_owned(),
    })?;
    Ok((value, time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_names() {
        let names = [
            "training_set/mv_0000010.txt",
            "training_set/mv_0000002.txt.gz",
            "training_set/._mv_0000002.txt",
            "mv_.txt",
            "mv_12.csv",
            "movie_titles.txt",
            "probe.txt",
        ];
        let source = |names: &[&str]| {
            Source::in_memory("test", names.iter().map(|name| ((*name).to_owned(), Vec::new())).collect())
        };
        let found = rating_files(&source(&names));
        assert_eq!(found, ["training_set/mv_0000002.txt.gz", "training_set/mv_0000010.txt"]);
        let found = rating_files(&source(&["combined_data_10.txt", "mv_0000001.txt", "combined_data_2.txt"]));
        assert_eq!(found, ["combined_data_2.txt", "combined_data_10.txt"]);
    }

    #[test]
    fn titles_hold_commas_and_years_may_be_missing() {
        assert_eq!(
            title(b"72,1974,At Home, A Stranger").unwrap(),
            (&b"72"[..], Some(1974), &b"At Home, A Stranger"[..])
        );
        assert_eq!(title(b"4388,NULL,Ancient Civilizations").unwrap().1, None);
        assert!(matches!(title(b"1,2003"), Err(LineProblem::TooFewColumns { got: 2, .. })));
        assert!(matches!(title(b"1,soon,A"), Err(LineProblem::InvalidNumber { what: "year", .. })));
    }
}
