//! Which format a folder, archive or file is in, and which files belong together.

use foldin_core::{FeatureSchema, Feedback};
use serde::{Deserialize, Serialize};

use crate::error::ReadError;
use crate::locate::Location;
use crate::netflix;
use crate::source::Source;

/// The file that [`convert`](crate::convert) writes beside the data, so that reading them again gives the same numbers.
pub(crate) const SAVED_SCHEMA: &str = "foldin.json";

/// What [`SAVED_SCHEMA`] holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedSchema {
    /// Version of this file's format.
    pub(crate) format: u32,
    pub(crate) name: String,
    pub(crate) feedback: Feedback,
    pub(crate) user_fields: FeatureSchema,
    pub(crate) item_fields: FeatureSchema,
    /// Names of the files that were written with it, in the same folder.
    #[serde(default)]
    pub(crate) files: Vec<String>,
}

/// A format and the files in it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Layout {
    /// `u.data` of MovieLens 100K.
    MovieLens100k(String),
    /// `ratings.dat` of MovieLens 1M or 10M.
    MovieLensDat(String),
    /// The files of ratings of the Netflix Prize data.
    Netflix(Vec<String>),
    /// A file of interactions in any other format, and tables of users and items that lie beside it.
    Files { interactions: String, users: Option<String>, items: Option<String> },
}

/// Endings of files that may hold interactions.
const ENDINGS: &[&str] =
    &["csv", "tsv", "jsonl", "ndjson", "json", "inter", "dat", "data", "txt", "train", "base", "rating"];
/// Names that the main file of a folder goes by.
const MAIN: &[&str] = &["ratings", "interactions", "reviews", "events", "transactions"];
/// Names of files beside the interactions that hold something else.
const OTHER: &[&str] = &["links", "tags", "movies", "movie_titles", "items", "users", "provenance"];
/// What the names of such files may begin with.
const OTHER_BEGINNINGS: &[&str] = &[".", "readme", "license", "licence", "genome-"];

impl Layout {
    /// What a location holds.
    pub(crate) fn of(location: &Location) -> Result<Self, ReadError> {
        match &location.file {
            Some(file) => Ok(Self::of_file(&location.source, file)),
            None => Self::of_source(&location.source),
        }
    }

    /// What a folder or archive holds.
    pub(crate) fn of_source(source: &Source) -> Result<Self, ReadError> {
        for main in ["u.data", "ratings.dat"] {
            if let Some(file) = source.find(main) {
                return Ok(Self::of_file(source, file));
            }
        }
        let netflix = netflix::rating_files(source);
        if !netflix.is_empty() {
            return Ok(Self::Netflix(netflix));
        }
        if let Some(archive) = source.find(netflix::RATINGS_ARCHIVE) {
            let reason = "an archive within an archive; unpack the outer one".to_owned();
            return Err(ReadError::Unsupported { file: source.label(archive), reason });
        }
        let candidates: Vec<&str> =
            source.files().into_iter().filter(|file| may_hold_interactions(file)).collect();
        let unknown = |reason, example: &str| ReadError::UnknownLayout {
            path: source.path().display().to_string(),
            reason,
            example: example.to_owned(),
            found: source.files().into_iter().take(8).map(str::to_owned).collect(),
        };
        for main in MAIN {
            let mut named = candidates.iter().filter(|file| stem(file).eq_ignore_ascii_case(main));
            if let (Some(file), None) = (named.next(), named.next()) {
                return Ok(Self::of_file(source, file));
            }
        }
        let inter: Vec<&&str> = candidates.iter().filter(|file| ending(file) == "inter").collect();
        match (&inter[..], &candidates[..]) {
            ([file], _) => Ok(Self::of_file(source, file)),
            ([], [file]) => Ok(Self::of_file(source, file)),
            ([], []) => Err(unknown("there is no file of ratings", "ratings.csv")),
            _ => Err(unknown("there are several files that may hold the ratings", candidates[0])),
        }
    }

    fn of_file(source: &Source, file: &str) -> Self {
        match base(file) {
            "u.data" => return Self::MovieLens100k(file.to_owned()),
            "ratings.dat" => return Self::MovieLensDat(file.to_owned()),
            _ if netflix::is_ratings(file) => return Self::Netflix(vec![file.to_owned()]),
            _ => {}
        }
        let folder = &file[..file.len() - file.rsplit('/').next().unwrap_or(file).len()];
        let beside = |name: &str| source.find(&format!("{folder}{name}")).map(str::to_owned);
        let (stem, ending) = (stem(file), ending(file));
        let (users, items) = if ending == "inter" {
            (beside(&format!("{stem}.user")), beside(&format!("{stem}.item")))
        } else if MAIN.iter().any(|main| stem.eq_ignore_ascii_case(main)) {
            let table = |names: &[&str]| names.iter().find_map(|name| beside(&format!("{name}.{ending}")));
            (table(&["users"]), table(&["items", "movies"]))
        } else {
            (None, None)
        };
        Self::Files { interactions: file.to_owned(), users, items }
    }
}

/// A file's name without folder and `.gz`.
pub(crate) fn base(file: &str) -> &str {
    let name = file.rsplit('/').next().unwrap_or(file);
    name.strip_suffix(".gz").unwrap_or(name)
}

fn stem(file: &str) -> &str {
    base(file).rsplit_once('.').map_or(base(file), |(stem, _)| stem)
}

fn ending(file: &str) -> &str {
    base(file).rsplit_once('.').map_or("", |(_, ending)| ending)
}

fn may_hold_interactions(file: &str) -> bool {
    let stem = stem(file).to_ascii_lowercase();
    ENDINGS.contains(&&*ending(file).to_ascii_lowercase())
        && base(file) != SAVED_SCHEMA
        && !OTHER.contains(&&*stem)
        && !OTHER_BEGINNINGS.iter().any(|beginning| stem.starts_with(beginning))
}

/// Whether a file is the `movies.csv` of MovieLens' newer archives, whose ratings are half stars.
pub(crate) fn is_movies_csv(file: &str) -> bool {
    base(file) == "movies.csv"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(files: &[&str]) -> Result<Layout, ReadError> {
        Layout::of_source(&Source::in_memory(
            "test",
            files.iter().map(|file| ((*file).to_owned(), Vec::new())).collect(),
        ))
    }

    fn files(interactions: &str, users: Option<&str>, items: Option<&str>) -> Layout {
        let owned = |file: Option<&str>| file.map(str::to_owned);
        Layout::Files { interactions: interactions.to_owned(), users: owned(users), items: owned(items) }
    }

    #[test]
    fn known_layouts_are_recognised() {
        for (names, expected) in [
            (&["README", "u.data", "u.item", "u1.base"][..], Layout::MovieLens100k("u.data".into())),
            (
                &["mv_0000002.txt", "movie_titles.txt", "probe.txt", "mv_0000001.txt"],
                Layout::Netflix(vec!["mv_0000001.txt".into(), "mv_0000002.txt".into()]),
            ),
            (&["movies.dat", "ratings.dat.gz"], Layout::MovieLensDat("ratings.dat.gz".into())),
            (
                &["README.txt", "links.csv", "movies.csv", "ratings.csv", "tags.csv"],
                files("ratings.csv", None, Some("movies.csv")),
            ),
            (&["a.inter", "a.user.gz", "a.item"], files("a.inter", Some("a.user.gz"), Some("a.item"))),
            (&["x.jsonl.gz", "LICENSE.txt"], files("x.jsonl.gz", None, None)),
            (
                &["foldin.json", "items.tsv", "ratings.tsv", "users.tsv"],
                files("ratings.tsv", Some("users.tsv"), Some("items.tsv")),
            ),
        ] {
            assert_eq!(layout(names).unwrap(), expected, "{names:?}");
        }
    }

    #[test]
    fn a_choice_is_not_guessed() {
        let error = layout(&["a.csv", "b.csv"]).unwrap_err().to_string();
        assert!(
            error.contains("several") && error.contains("test/a.csv") && error.contains("b.csv"),
            "{error}"
        );
        let error = layout(&["picture.png"]).unwrap_err().to_string();
        assert!(error.contains("no file of ratings"), "{error}");
    }
}
