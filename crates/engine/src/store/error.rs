//! Everything that can go wrong with a store, with the data to act on it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Why a store did not do what it was asked.
///
/// After [`Invalid`](Self::Invalid), [`Busy`](Self::Busy) and [`Closed`](Self::Closed) nothing of the call was written. After any other error of a
/// write it is not known whether the call was written, but it was as a whole or not at all; asking again is safe, since the same event
/// twice is one event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room on the disk. Reading goes on, and writing works again when there is room.
    #[error("{}: no room left on the disk: {reason}", path.display())]
    Full {
        /// The file of the store.
        path: PathBuf,
        /// What the system said, or how much room was missing.
        reason: String,
    },
    /// The system could not read or write.
    #[error("{}: {reason}", path.display())]
    Io {
        /// The file of the store, or of the backup.
        path: PathBuf,
        /// The kind of error the system reported.
        kind: io::ErrorKind,
        /// The same in words.
        reason: String,
    },
    /// The file is damaged.
    #[error("{}: the store is damaged: {reason}", path.display())]
    Corrupt {
        /// The file of the store.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file is something else, and was left alone.
    #[error("{}: not a store of Foldin: {reason}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file was written by a later version, and was left alone.
    #[error("{}: written in format {found}, but this version reads up to format {supported}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The latest format known here.
        supported: u64,
    },
    /// Another process, or another store in this one, holds the file.
    #[error("{}: in use by another process: a store has one at a time", path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// Too many calls are waiting to be written. Nothing was written; ask again later.
    #[error("{waiting} writes are waiting already")]
    Busy {
        /// Calls that were waiting.
        waiting: usize,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// What was asked cannot be kept. Nothing of the call was written.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// Which part of a call cannot be kept, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The field: `user`, `item`, `kind`, `value`, `features`, `categories`, …
    pub field: &'static str,
    /// Which of the batch, from 0; none where the call has one thing only.
    pub index: Option<usize>,
    /// What is wrong with it.
    pub reason: InvalidReason,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReason {
    /// A key or name without a character.
    #[error("is empty")]
    Empty,
    /// More bytes than are kept.
    #[error("has {bytes} bytes, and at most {most} are kept")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        most: usize,
    },
    /// A control character, such as a line break, in a key or name.
    #[error("holds the control character U+{:04X} at byte {at}", u32::from(*character))]
    Control {
        /// The character.
        character: char,
        /// Where it begins.
        at: usize,
    },
    /// A value that is not a finite number.
    #[error("is not a finite number")]
    NotFinite,
    /// More different names or users than the store can number.
    #[error("would be one too many: a store numbers at most {most}")]
    TooMany {
        /// The limit.
        most: u64,
    },
    /// A path that cannot be written to.
    #[error("is the file of the store itself")]
    OwnFile,
}

impl std::error::Error for Invalid {}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "number {index} of the batch: {} {}", self.field, self.reason),
            None => write!(f, "{} {}", self.field, self.reason),
        }
    }
}

impl StoreError {
    /// An error of the system, told apart by whether room is what is missing.
    #[must_use]
    pub fn system(path: &Path, error: &io::Error) -> Self {
        let (path, reason) = (path.to_path_buf(), error.to_string());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path, reason },
            kind => Self::Io { path, kind, reason },
        }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), reason: reason.into() }
    }
}
