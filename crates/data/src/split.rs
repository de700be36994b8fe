//! A given split of a data set into training and test part.

use foldin_core::{Dataset, Feedback, Interactions, ItemId, UserId};

use crate::error::ReadError;
use crate::fields::Separator;
use crate::interactions::read_any;
use crate::keys::Keys;
use crate::layout::Layout;
use crate::lines::Lines;
use crate::locate::{Location, locate};
use crate::netflix;
use crate::options::OpenOptions;
use crate::ratings::{Expect, Ratings, RatingsBuilder};
use crate::report::ReadReport;
use crate::side::{SideTable, assemble};
use crate::source::Source;
use crate::table::{RatingColumns, read_interactions};

/// Test ratings as an evaluation takes them, by user, then by item.
pub type TestRatings = Vec<(UserId, ItemId, f32)>;

/// Reads a split of `dataset`, which was opened as `data`. `spec` is `TRAIN,TEST`, two files in any format that
/// [`open`](crate::open) reads, or the name of a split that comes with the data, such as `u1` … `u5`, `ua`, `ub` of
/// MovieLens 100K. Keys are matched with those of `dataset`; ratings are on its scale.
///
/// # Errors
/// [`ReadError::UnknownSplit`] if there is no split of that name, [`ReadError::Split`] if a pair is in both parts; a key
/// that `dataset` does not have is a bad line ([`LineProblem::UnknownKey`](crate::LineProblem::UnknownKey)); otherwise as [`open`](crate::open).
pub fn read_split(
    data: &str,
    dataset: &Dataset,
    spec: &str,
    options: &OpenOptions,
) -> Result<(Interactions, TestRatings), ReadError> {
    let mut options = options.clone();
    match dataset.interactions.feedback() {
        Feedback::Explicit(scale) => (options.scale, options.implicit) = (Some(scale), false),
        Feedback::Implicit => (options.scale, options.implicit) = (None, true),
    }
    let (train, test) = match spec.split_once(',') {
        Some((train, test)) => {
            (read_part(train.trim(), dataset, &options)?, read_part(test.trim(), dataset, &options)?)
        }
        None => {
            let source = locate(data, &options)?.source;
            let (base, test) = members(&source, spec, data)?;
            (read_member(&source, &base, dataset, &options)?, read_member(&source, &test, dataset, &options)?)
        }
    };
    for (user, item, _) in test.interactions.by_user().triples() {
        if train.interactions.by_user().row(user as usize).0.binary_search(&item).is_ok() {
            let [user, item] =
                [dataset.users.key(user), dataset.items.key(item)].map(|key| key.unwrap_or("").to_owned());
            let reason =
                format!("user `{user}` and item `{item}` are in the training part and in the test part");
            return Err(ReadError::Split { split: spec.to_owned(), reason });
        }
    }
    let test = test.interactions.by_user().triples();
    Ok((train.interactions, test.map(|(user, item, value)| (UserId(user), ItemId(item), value)).collect()))
}

/// Reads the interactions of the two files of a split as one data set, without side information; `name` is what it is called. What
/// [`read_split`] cuts apart again.
///
/// # Errors
/// As [`open`](crate::open) for either file; [`ReadError::Split`] for a pair that is in both, unless `options` say what to do with
/// duplicates: then [`read_split`] refuses it.
pub fn open_split(
    name: &str,
    train: &str,
    test: &str,
    options: &OpenOptions,
) -> Result<(Dataset, ReadReport), ReadError> {
    if train.is_empty() || test.is_empty() || train == test {
        let reason = "it takes two files, TRAIN,TEST".to_owned();
        return Err(ReadError::Split { split: format!("{train},{test}"), reason });
    }
    let mut builder =
        RatingsBuilder::new(train, "split", Keys::default(), Keys::default(), Expect::Unknown, options);
    for part in [train, test] {
        let location = locate(part, options)?;
        let file = match Layout::of(&location)? {
            Layout::MovieLens100k(file) | Layout::MovieLensDat(file) => file,
            Layout::Files { interactions, .. } => interactions,
            Layout::Netflix(_) => {
                let reason = "a part of a split is one file of interactions".to_owned();
                return Err(ReadError::Unsupported { file: part.to_owned(), reason });
            }
        };
        location.source.read(&file, |input, label| {
            builder.begin_file(label);
            read_any(input, label, options, &mut builder)
        })?;
    }
    let ratings = builder.finish().map_err(|error| match error {
        ReadError::Duplicate { file, line, first_file: Some(first_file), first_line, user, item, pairs } => {
            let reason = format!(
                "user `{user}` and item `{item}` are in the training part ({first_file}, line {first_line}) and in the test part ({file}, \
                 line {line}), {pairs} such lines in all: leave them out of one part"
            );
            ReadError::Split { split: format!("{train},{test}"), reason }
        }
        other => other,
    })?;
    Ok(assemble(name.to_owned(), ratings, &SideTable::default(), &mut SideTable::default())?)
}

/// The two files of a split that comes with the data.
fn members(source: &Source, spec: &str, data: &str) -> Result<(String, String), ReadError> {
    let part = |ending: &str| source.find(&format!("{spec}.{ending}")).map(str::to_owned);
    if let (Some(base), Some(test)) = (part("base"), part("test")) {
        return Ok((base, test));
    }
    let known: Vec<&str> = source
        .files()
        .into_iter()
        .filter_map(|file| file.strip_suffix(".base"))
        .filter(|name| source.find(&format!("{name}.test")).is_some())
        .collect();
    let reason = if known.is_empty() {
        format!("`{data}` comes with no splits; give two files as TRAIN,TEST")
    } else {
        format!("`{data}` comes with {}; or give two files as TRAIN,TEST", known.join(", "))
    };
    Err(ReadError::UnknownSplit { split: spec.to_owned(), reason })
}

fn builder(label: &str, dataset: &Dataset, options: &OpenOptions) -> RatingsBuilder {
    let [users, items] = [&dataset.users, &dataset.items].map(Keys::from_dictionary);
    RatingsBuilder::new(label, "split", users, items, Expect::Unknown, options).closed()
}

fn read_member(
    source: &Source,
    file: &str,
    dataset: &Dataset,
    options: &OpenOptions,
) -> Result<Ratings, ReadError> {
    source.read(file, |input, label| {
        let mut builder = builder(label, dataset, options);
        let mut lines = Lines::new(input, label);
        read_interactions(&mut lines, Separator::Byte(b'\t'), RatingColumns::USUAL, &mut builder)?;
        builder.finish()
    })
}

fn read_part(path: &str, dataset: &Dataset, options: &OpenOptions) -> Result<Ratings, ReadError> {
    let location: Location = locate(path, options)?;
    let file = match Layout::of(&location)? {
        Layout::MovieLens100k(file) | Layout::MovieLensDat(file) => file,
        Layout::Files { interactions, .. } => interactions,
        Layout::Netflix(files) => {
            let mut builder = builder(&location.source.path().display().to_string(), dataset, options);
            netflix::read_ratings(&location.source, &files, &mut builder)?;
            return builder.finish();
        }
    };
    location.source.read(&file, |input, label| {
        let mut builder = builder(label, dataset, options);
        read_any(input, label, options, &mut builder)?;
        builder.finish()
    })
}
