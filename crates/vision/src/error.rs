//! What can go wrong with pictures, and with models of them.

use std::path::PathBuf;

use foldin_core::{ConfigError, DataError, FitError, LoadError};
use foldin_models::folder::SaveError;

/// A command about pictures that could not be carried out.
///
/// A single bad picture is none of these: it is a [`Defect`](crate::images::Defect), counted and named.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisionError {
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file whose content is not what its place says.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What was found, and what was expected.
        problem: String,
    },
    /// A line of a table or of JSON Lines.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A data set in which nothing usable is left.
    #[error("{path}: {problem}")]
    NothingLeft {
        /// The data set.
        path: String,
        /// What was looked for, and what took the rest away.
        problem: String,
    },
    /// Too few pictures with labels to pretrain a network on.
    #[error(
        "{data}: {labelled} pictures have labels that are frequent enough to pretrain a network on, and {least} are needed; `--preset small` \
         learns from scratch"
    )]
    TooFewLabels {
        /// The data set.
        data: String,
        /// Pictures with such a label.
        labelled: usize,
        /// How many it takes.
        least: usize,
    },
    /// A device that this build or this machine does not have.
    #[error("no device `{name}`: {problem}")]
    Device {
        /// The name asked for.
        name: String,
        /// What there is.
        problem: String,
    },
    /// Tensors that do not fit together, or a picture or item number that does not exist.
    #[error("{what}: expected {expected}, got {got}")]
    Shape {
        /// What was counted.
        what: String,
        /// What fits.
        expected: String,
        /// What came.
        got: String,
    },
    /// A name that nothing is called by.
    #[error("there is no {what} `{name}`; there are {known}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// Training that left the finite numbers.
    #[error("{model}: the loss is no longer a finite number in epoch {epoch}; a smaller learning rate helps")]
    Diverged {
        /// The model.
        model: &'static str,
        /// The epoch, from 1.
        epoch: usize,
    },
    /// Interactions that cannot be what they claim to be.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Settings that cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A fit that was cancelled, or whose checkpoint cannot be used.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// A saved model that cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A model that was not saved.
    #[error(transparent)]
    Save(#[from] SaveError),
}

impl VisionError {
    /// Of a file that cannot be read or written.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// Of lengths that do not agree.
    pub(crate) fn shape(what: &str, expected: impl ToString, got: impl ToString) -> Self {
        Self::Shape { what: what.to_owned(), expected: expected.to_string(), got: got.to_string() }
    }
}
