//! Reads rating data in the usual formats, with side information of users and items.
//!
//! ```no_run
//! use foldin_data::{OpenOptions, open};
//! let dataset = open("ml-100k", &OpenOptions::default())?;
//! println!("{} users, {} ratings", dataset.users.len(), dataset.interactions.len());
//! # Ok::<(), foldin_data::ReadError>(())
//! ```

mod convert;
mod error;
mod fetch;
mod fields;
mod header;
mod info;
mod interactions;
mod jsonl;
mod keys;
pub mod known;
mod layout;
mod lines;
mod locate;
mod movielens;
mod open;
mod options;
mod ratings;
mod recbole;
mod report;
mod scale;
mod side;
mod source;
mod split;
mod table;
mod tables;
mod text;

pub use convert::{ConvertError, Format, convert};
pub use error::{LineProblem, ReadError};
pub use fetch::{FetchError, FetchOptions, FetchProgress, fetch};
pub use info::{Bar, DatasetInfo, Spread};
pub use known::KnownDataset;
pub use locate::{DATA_DIR_VARIABLE, cache_dir};
pub use open::{is_present, open, open_files, open_with_report};
pub use options::{Columns, Duplicates, OpenOptions, parse_scale};
pub use report::ReadReport;
pub use split::{TestRatings, read_split};
