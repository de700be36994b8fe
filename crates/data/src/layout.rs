//! Which format a folder, archive or file is in.

use crate::error::ReadError;
use crate::locate::Location;
use crate::source::Source;

/// A format and the file the interactions are in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Layout {
    /// `u.data` of MovieLens 100K.
    MovieLens100k(String),
    /// `ratings.dat` of MovieLens 1M or 10M.
    MovieLensDat(String),
}

impl Layout {
    /// What a location holds.
    pub(crate) fn of(location: &Location) -> Result<Self, ReadError> {
        match &location.file {
            Some(file) => Self::of_file(&location.source, file),
            None => Self::of_source(&location.source),
        }
    }

    /// What a folder or archive holds.
    pub(crate) fn of_source(source: &Source) -> Result<Self, ReadError> {
        for main in ["u.data", "ratings.dat"] {
            if let Some(file) = source.find(main) {
                return Self::of_file(source, file);
            }
        }
        Err(ReadError::UnknownLayout {
            path: source.path().display().to_string(),
            reason: "no known file of ratings",
            example: "ratings.csv".to_owned(),
            found: source.files().into_iter().take(8).map(str::to_owned).collect(),
        })
    }

    fn of_file(_source: &Source, file: &str) -> Result<Self, ReadError> {
        let plain = file.strip_suffix(".gz").unwrap_or(file);
        let base = plain.rsplit('/').next().unwrap_or(plain);
        Ok(if base == "u.data" {
            Self::MovieLens100k(file.to_owned())
        } else {
            Self::MovieLensDat(file.to_owned())
        })
    }
}
