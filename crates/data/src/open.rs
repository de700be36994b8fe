//! Reading a data set from a path, a name or memory.

use std::path::Path;

use foldin_core::{Dataset, Feedback};

use crate::error::ReadError;
use crate::interactions::read_any;
use crate::known::HALF_STARS;
use crate::layout::{Layout, SAVED_SCHEMA, SavedSchema, is_movies_csv};
use crate::locate::{Location, at_path, locate};
use crate::movielens;
use crate::netflix;
use crate::options::OpenOptions;
use crate::ratings::{Expect, RatingsBuilder};
use crate::report::ReadReport;
use crate::side::{SideTable, assemble};
use crate::source::Source;
use crate::tables::{Kind, read_table};

/// Reads a data set by path or name.
///
/// # Errors
/// [`ReadError`]: not found, not readable, or not usable as it stands; the message says what to do.
pub fn open(name_or_path: &str, options: &OpenOptions) -> Result<Dataset, ReadError> {
    open_with_report(name_or_path, options).map(|(dataset, _)| dataset)
}

/// As [`open`], with an account of what was read and left out.
///
/// # Errors
/// As [`open`].
pub fn open_with_report(
    name_or_path: &str,
    options: &OpenOptions,
) -> Result<(Dataset, ReadReport), ReadError> {
    open_location(locate(name_or_path, options)?, options)
}

/// Whether a data set can be found by path or name; says nothing about whether it can be read.
#[must_use]
pub fn is_present(name_or_path: &str, options: &OpenOptions) -> bool {
    locate(name_or_path, options).is_ok()
}

/// Reads a data set from files in memory, such as an upload; names decide what each file is, as they do in a folder.
///
/// # Errors
/// As [`open`].
///
/// # Example
/// ```
/// use foldin_data::{OpenOptions, open_files};
/// let csv = b"user,item,rating\nann,tea,5\nbob,tea,3\n".to_vec();
/// let (data, _) = open_files("drinks", vec![("ratings.csv".into(), csv)], &OpenOptions::default())?;
/// assert_eq!(data.users.keys().collect::<Vec<_>>(), ["ann", "bob"]);
/// # Ok::<(), foldin_data::ReadError>(())
/// ```
pub fn open_files(
    name: &str,
    files: Vec<(String, Vec<u8>)>,
    options: &OpenOptions,
) -> Result<(Dataset, ReadReport), ReadError> {
    let location = Location { source: Source::in_memory(name, files), file: None, name: name.to_owned() };
    open_location(location, options)
}

fn open_location(location: Location, options: &OpenOptions) -> Result<(Dataset, ReadReport), ReadError> {
    let source = &location.source;
    let mut name = location.name.clone();
    let (ratings, users, mut items) = match Layout::of(&location)? {
        Layout::MovieLens100k(file) => movielens::read_100k(source, &file, options)?,
        Layout::MovieLensDat(file) => movielens::read_dat(source, &file, options)?,
        Layout::Netflix(files) => netflix::read(source, &files, options)?,
        Layout::Files { interactions, users, items } => {
            let saved = saved_schema(source)?;
            if let Some(saved) = &saved {
                name.clone_from(&saved.name);
            }
            read_files(source, &interactions, users, items, saved.as_ref(), options)?
        }
    };
    Ok(assemble(name, ratings, &users, &mut items)?)
}

fn saved_schema(source: &Source) -> Result<Option<SavedSchema>, ReadError> {
    let Some(file) = source.find(SAVED_SCHEMA) else { return Ok(None) };
    let bytes = source.bytes(file)?;
    match serde_json::from_slice::<SavedSchema>(&bytes) {
        Ok(saved) if saved.format == 1 => Ok(Some(saved)),
        Ok(saved) => Err(ReadError::Unsupported {
            file: source.label(file),
            reason: format!(
                "format {} is newer than this program; update it, or remove the file",
                saved.format
            ),
        }),
        Err(error) => Err(ReadError::Unsupported {
            file: source.label(file),
            reason: format!("not a description of a data set ({error}); remove or rename the file"),
        }),
    }
}

fn read_files(
    source: &Source,
    interactions: &str,
    users: Option<String>,
    items: Option<String>,
    saved: Option<&SavedSchema>,
    options: &OpenOptions,
) -> Result<movielens::Parts, ReadError> {
    let mut notes = ReadReport::default();
    let half_stars = items.as_deref().is_some_and(is_movies_csv);
    let expect = match saved.map(|saved| saved.feedback) {
        Some(Feedback::Explicit(scale)) => Expect::Scale(scale),
        Some(Feedback::Implicit) => Expect::Implicit,
        None if half_stars => Expect::Scale(HALF_STARS),
        None => Expect::Unknown,
    };
    let mut table = |kind, given: Option<&Path>, beside: Option<String>| -> Result<SideTable, ReadError> {
        let schema =
            saved.map(|saved| if kind == Kind::Users { &saved.user_fields } else { &saved.item_fields });
        let mut read = |source: &Source, file: &str| {
            source.read(file, |input, label| read_table(input, label, kind, schema, &mut notes))
        };
        match (given, beside) {
            (Some(path), _) => {
                let (source, file) = given_table(path)?;
                read(&source, &file)
            }
            (None, Some(file)) => read(source, &file),
            (None, None) => Ok(SideTable::default()),
        }
    };
    let mut users = table(Kind::Users, options.users.as_deref(), users)?;
    let mut items = table(Kind::Items, options.items.as_deref(), items)?;
    let ratings = source.read(interactions, |input, label| {
        let mut builder =
            RatingsBuilder::new(label, "", users.take_keys(), items.take_keys(), expect, options);
        builder.report.notes = notes.notes;
        read_any(input, label, options, &mut builder)?;
        if half_stars {
            builder.report.format = "MovieLens CSV";
        }
        builder.finish()
    })?;
    Ok((ratings, users, items))
}

/// A table of users or items that was named by its path.
fn given_table(path: &Path) -> Result<(Source, String), ReadError> {
    let name = path.display().to_string();
    let location = at_path(path, &name)?;
    match location {
        Some(Location { source, file: Some(file), .. }) => Ok((source, file)),
        _ => Err(ReadError::Io { file: name, source: std::io::Error::from(std::io::ErrorKind::NotFound) }),
    }
}
