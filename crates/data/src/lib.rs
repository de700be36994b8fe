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
mod header;
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
mod table;
mod tables;
mod text;

pub use error::{LineProblem, ReadError};
pub use known::KnownDataset;
pub use locate::{DATA_DIR_VARIABLE, cache_dir};
pub use open::{open, open_files, open_with_report};
pub use options::{Columns, Duplicates, OpenOptions, parse_scale};
pub use report::ReadReport;
