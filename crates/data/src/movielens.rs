//! MovieLens 100K (`u.data`), and 1M and 10M (`ratings.dat`).
//!
//! Users and items are numbered in the order of their own files, unrated ones included. Users: age, gender, occupation;
//! items: genres, and the year in the title.

use std::collections::BTreeMap;

use foldin_core::{FeatureValue, Field, FieldKind, RawFeatures};

use crate::error::{LineProblem, ReadError};
use crate::fields::{Fields, Separator};
use crate::known::{HALF_STARS, STARS};
use crate::lines::Lines;
use crate::options::OpenOptions;
use crate::ratings::{Expect, Ratings, RatingsBuilder};
use crate::side::{SideTable, known_kind};
use crate::source::Source;
use crate::table::{RatingColumns, read_interactions};
use crate::text::{decode, parse_decimal, year_of_title};

const BAR: Separator = Separator::Byte(b'|');

/// The occupations of MovieLens 1M, by number, as its README names them.
const OCCUPATIONS_1M: [&str; 21] = [
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
];

/// Interactions with the tables of users and items.
pub(crate) type Parts = (Ratings, SideTable, SideTable);

/// Reads MovieLens 100K; `u.user`, `u.item`, `u.genre` and `u.occupation` may be missing.
pub(crate) fn read_100k(source: &Source, file: &str, options: &OpenOptions) -> Result<Parts, ReadError> {
    let genres = match source.find("u.genre") {
        Some(file) => first_columns(source, file)?,
        None => Vec::new(),
    };
    let mut items = SideTable::default();
    if let Some(file) = source.find("u.item") {
        each_line(source, file, BAR, |fields, record, line| {
            need(fields, 5, source, file, line)?;
            let title = decode(&fields.value(record, 1)).into_owned();
            let flags = (5..fields.len()).filter(|&at| fields.raw(record, at) == b"1");
            let marked =
                flags.map(|at| genres.get(at - 5).cloned().unwrap_or_else(|| format!("genre {}", at - 5)));
            let row = film(&title, marked.collect());
            add(&mut items, &decode(fields.raw(record, 0)), title, row, source, file, line)
        })?;
        items.fields = film_fields(&items, genres);
    }
    let mut users = SideTable::default();
    if let Some(file) = source.find("u.user") {
        each_line(source, file, BAR, |fields, record, line| {
            need(fields, 4, source, file, line)?;
            let row = person(fields.raw(record, 1), fields.raw(record, 2), &decode(fields.raw(record, 3)));
            add(&mut users, &decode(fields.raw(record, 0)), String::new(), row, source, file, line)
        })?;
        let occupations = match source.find("u.occupation") {
            Some(file) => first_columns(source, file)?,
            None => seen(&users, "occupation"),
        };
        users.fields = person_fields(occupations);
    }
    read_ratings(
        source,
        file,
        "MovieLens 100K",
        Separator::Byte(b'\t'),
        Expect::Scale(STARS),
        users,
        items,
        options,
    )
}

/// Reads MovieLens 1M, or 10M, which has half stars and no table of users.
pub(crate) fn read_dat(source: &Source, file: &str, options: &OpenOptions) -> Result<Parts, ReadError> {
    let mut items = SideTable::default();
    if let Some(file) = source.find("movies.dat") {
        each_line(source, file, Separator::Colons, |fields, record, line| {
            need(fields, 3, source, file, line)?;
            let title = decode(fields.raw(record, 1)).into_owned();
            let row = film(&title, split_genres(&decode(fields.raw(record, 2))));
            add(&mut items, &decode(fields.raw(record, 0)), title, row, source, file, line)
        })?;
        let genres = seen(&items, "genres");
        items.fields = film_fields(&items, genres);
    }
    let mut users = SideTable::default();
    let mut format = "MovieLens 10M";
    let mut scale = HALF_STARS;
    if let Some(file) = source.find("users.dat") {
        (format, scale) = ("MovieLens 1M", STARS);
        each_line(source, file, Separator::Colons, |fields, record, line| {
            need(fields, 4, source, file, line)?;
            let number = decode(fields.raw(record, 3)).into_owned();
            let occupation = number.parse().ok().and_then(|number: usize| OCCUPATIONS_1M.get(number));
            let row =
                person(fields.raw(record, 2), fields.raw(record, 1), occupation.unwrap_or(&number.as_str()));
            add(&mut users, &decode(fields.raw(record, 0)), String::new(), row, source, file, line)
        })?;
        users.fields = person_fields(OCCUPATIONS_1M.map(str::to_owned).to_vec());
    }
    read_ratings(source, file, format, Separator::Colons, Expect::Scale(scale), users, items, options)
}

fn read_ratings(
    source: &Source,
    file: &str,
    format: &'static str,
    separator: Separator,
    expect: Expect,
    mut users: SideTable,
    mut items: SideTable,
    options: &OpenOptions,
) -> Result<Parts, ReadError> {
    let ratings = source.read(file, |input, label| {
        let (user_keys, item_keys) = (users.take_keys(), items.take_keys());
        let mut builder = RatingsBuilder::new(label, format, user_keys, item_keys, expect, options);
        let mut lines = Lines::new(input, label);
        read_interactions(&mut lines, separator, RatingColumns::USUAL, &mut builder)?;
        builder.finish()
    })?;
    Ok((ratings, users, items))
}

/// Genres and year of a film.
pub(crate) fn film(title: &str, genres: Vec<String>) -> RawFeatures {
    let mut row = RawFeatures::from([("genres".to_owned(), FeatureValue::List(genres))]);
    if let Some(year) = year_of_title(title) {
        row.insert("year".to_owned(), FeatureValue::Number(f64::from(year)));
    }
    row
}

/// The fields of [`film`]; `year` only if some title has one.
pub(crate) fn film_fields(items: &SideTable, genres: Vec<String>) -> Vec<Field> {
    let mut fields =
        vec![Field { name: "genres".to_owned(), kind: FieldKind::MultiCategory { values: genres } }];
    if items.rows.iter().any(|row| row.contains_key("year")) {
        fields.extend(known_kind("year").map(|kind| Field { name: "year".to_owned(), kind }));
    }
    fields
}

/// `Action|Comedy` as a list; `(no genres listed)` is an empty one.
pub(crate) fn split_genres(text: &str) -> Vec<String> {
    text.split('|')
        .map(str::trim)
        .filter(|word| !word.is_empty() && !word.starts_with('('))
        .map(str::to_owned)
        .collect()
}

fn person(age: &[u8], gender: &[u8], occupation: &str) -> RawFeatures {
    let mut row = BTreeMap::new();
    if let Some(age) = parse_decimal(age) {
        row.insert("age".to_owned(), FeatureValue::Number(age));
    }
    for (name, word) in [("gender", &*decode(gender)), ("occupation", occupation)] {
        row.insert(name.to_owned(), FeatureValue::Text(word.to_owned()));
    }
    row
}

fn person_fields(occupations: Vec<String>) -> Vec<Field> {
    let category = |name: &str, values: Vec<String>| Field {
        name: name.to_owned(),
        kind: FieldKind::Category { values },
    };
    let mut fields: Vec<Field> =
        known_kind("age").map(|kind| Field { name: "age".to_owned(), kind }).into_iter().collect();
    fields.push(category("gender", vec!["F".to_owned(), "M".to_owned()]));
    fields.push(category("occupation", occupations));
    fields
}

/// The different words of a field, sorted.
pub(crate) fn seen(table: &SideTable, name: &str) -> Vec<String> {
    let mut words: Vec<String> = table
        .rows
        .iter()
        .filter_map(|row| row.get(name))
        .flat_map(|value| match value {
            FeatureValue::List(list) => list.clone(),
            FeatureValue::Text(word) => vec![word.clone()],
            FeatureValue::Number(_) => Vec::new(),
        })
        .collect();
    words.sort();
    words.dedup();
    words
}

/// The first column of every line, as in `u.genre` and `u.occupation`.
fn first_columns(source: &Source, file: &str) -> Result<Vec<String>, ReadError> {
    let mut out = Vec::new();
    each_line(source, file, BAR, |fields, record, _| {
        out.push(decode(fields.raw(record, 0)).into_owned());
        Ok(())
    })?;
    Ok(out)
}

fn each_line(
    source: &Source,
    file: &str,
    separator: Separator,
    mut take: impl FnMut(&Fields, &[u8], u64) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    source.read(file, |input, label| {
        let mut lines = Lines::new(input, label);
        let mut fields = Fields::default();
        while let Some((line, record)) = lines.next_line()? {
            if record.trim_ascii().is_empty() {
                continue;
            }
            fields.split(record, separator, usize::MAX);
            take(&fields, record, line)?;
        }
        Ok(())
    })
}

fn need(fields: &Fields, expected: usize, source: &Source, file: &str, line: u64) -> Result<(), ReadError> {
    if fields.len() >= expected {
        return Ok(());
    }
    let problem = LineProblem::TooFewColumns { expected, got: fields.len() };
    Err(ReadError::Line { file: source.label(file), line, problem })
}

fn add(
    table: &mut SideTable,
    key: &str,
    title: String,
    row: RawFeatures,
    source: &Source,
    file: &str,
    line: u64,
) -> Result<(), ReadError> {
    if table.push(key, title, row) {
        return Ok(());
    }
    Err(ReadError::RepeatedKey { file: source.label(file), line, key: key.to_owned() })
}
