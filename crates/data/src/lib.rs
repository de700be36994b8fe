//! Reads rating data in the usual formats, with side information of users and items.
//!
//! ```no_run
//! use foldin_data::{OpenOptions, open};
//! let dataset = open("ml-100k", &OpenOptions::default())?;
//! println!("{} users, {} ratings", dataset.users.len(), dataset.interactions.len());
//! # Ok::<(), foldin_data::ReadError>(())
//! ```

mod error;
mod fields;
mod keys;
pub mod known;
mod layout;
mod lines;
mod locate;
mod movielens;
mod options;
mod ratings;
mod report;
mod scale;
mod side;
mod source;
mod table;
mod text;

use foldin_core::Dataset;

pub use error::{LineProblem, ReadError};
pub use known::KnownDataset;
pub use locate::{DATA_DIR_VARIABLE, cache_dir};
pub use options::{Columns, Duplicates, OpenOptions, parse_scale};
pub use report::ReadReport;

use layout::Layout;

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
    let location = locate::locate(name_or_path, options)?;
    let source = &location.source;
    let (ratings, users, mut items) = match Layout::of(&location)? {
        Layout::MovieLens100k(file) => movielens::read_100k(source, &file, options)?,
        Layout::MovieLensDat(file) => movielens::read_dat(source, &file, options)?,
    };
    Ok(side::assemble(location.name, ratings, &users, &mut items)?)
}
