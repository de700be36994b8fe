//! What goes wrong inside, before it is known to whom it will be told.

use std::io;
use std::path::Path;

use crate::store::StoreError;

/// An error on the way through the file.
#[derive(Debug)]
pub(super) enum Trouble {
    /// From the tree, the pages, or the system under them.
    Redb(redb::Error),
    /// The file can be read, but what it says makes no sense.
    Damaged(String),
    /// Already told apart.
    Known(StoreError),
    /// The file could not be opened again after an earlier error.
    Unopened(StoreError),
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl Trouble {
    /// Whether the database at hand is of no more use, while the file may well be: after one failed read or write redb
    /// answers nothing more until it is opened again.
    pub(super) fn spoils_the_handle(&self) -> bool {
        matches!(
            self,
            Self::Unopened(_)
                | Self::Redb(
                    redb::Error::Io(_)
                        | redb::Error::PreviousIo
                        | redb::Error::DatabaseClosed
                        | redb::Error::LockPoisoned(_)
                )
        )
    }

    /// Whether the call met what an earlier error of another call left behind.
    pub(super) fn is_anothers(&self) -> bool {
        matches!(self, Self::Redb(redb::Error::PreviousIo | redb::Error::DatabaseClosed))
    }

    /// The same for the caller.
    pub(super) fn into_error(self, path: &Path) -> StoreError {
        match self {
            Self::Known(error) | Self::Unopened(error) => error,
            Self::Damaged(reason) => StoreError::corrupt(path, reason),
            Self::Redb(redb::Error::Corrupted(reason)) => StoreError::corrupt(path, reason),
            Self::Redb(redb::Error::DatabaseAlreadyOpen) => StoreError::Locked { path: path.to_path_buf() },
            Self::Redb(redb::Error::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                StoreError::corrupt(path, error.to_string())
            }
            Self::Redb(redb::Error::Io(error)) => StoreError::system(path, &error),
            Self::Redb(
                error @ (redb::Error::TableTypeMismatch { .. }
                | redb::Error::TableIsMultimap(_)
                | redb::Error::TableDoesNotExist(_)
                | redb::Error::UpgradeRequired(_)
                | redb::Error::RepairAborted
                | redb::Error::TypeDefinitionChanged { .. }),
            ) => StoreError::corrupt(path, error.to_string()),
            Self::Redb(error) => StoreError::Io {
                path: path.to_path_buf(),
                kind: io::ErrorKind::Other,
                reason: error.to_string(),
            },
        }
    }
}

/// A panic's message.
pub(super) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic").to_owned()
}
