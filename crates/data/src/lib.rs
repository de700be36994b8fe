//! Reads rating data in the usual formats, with side information of users and items.
//!
//! ```no_run
//! use foldin_data::{OpenOptions, open};
//! let dataset = open("ml-100k", &OpenOptions::default())?;
//! println!("{} users, {} ratings", dataset.users.len(), dataset.interactions.len());
//! # Ok::<(), foldin_data::ReadError>(())
//! ```
//!
//! # What is read
//! A folder, a zip or tar archive or a single file, gzipped or not; a file in an archive is named as `archive.zip/ratings.csv`.
//!
//! | format | recognised by | side information |
//! | --- | --- | --- |
//! | MovieLens 100K | `u.data` | `u.user`, `u.item`, `u.genre`, `u.occupation` |
//! | MovieLens 1M, 10M | `ratings.dat` | `users.dat`, `movies.dat` |
//! | MovieLens CSV (20M, 25M, 32M, latest) | `ratings.csv` with `movies.csv` | `movies.csv` |
//! | Netflix Prize | `mv_0000001.txt` …, or `combined_data_1.txt` … | `movie_titles.txt` or `.csv` |
//! | separated columns, with or without a header | anything else | `users.*`, `items.*` or `movies.*` beside `ratings.*` |
//! | RecBole | a header such as `user_id:token` | `.user`, `.item` of the same name |
//! | JSON Lines | a line that begins with `{` | `users.jsonl`, `items.jsonl` beside `ratings.jsonl` |
//!
//! Separator, header and columns are found out, or given by [`OpenOptions`]. Text is UTF-8, and Latin-1 where it is not
//! valid UTF-8. Users and items are numbered in the order of their tables, then by first appearance.
//!
//! # Where names are looked up
//! `ml-100k` is looked up as a path, then in [`OpenOptions::data_dir`], `$FOLDIN_DATA_DIR` and [`cache_dir`]: as `NAME`,
//! `NAME.zip`, the same within `NAME/`, and then within every other folder there. [`fetch`] downloads what is published.
//!
//! # The rating scale
//! It is that of a known data set, or as given, or else what the ratings span, with the largest step that fits them all.
//! Data without ratings, or with only one value, are implicit feedback: every interaction has the value 1.
//!
//! # How a file is read
//! Once, from front to back, on one core: [`lines`] cuts it into records, [`fields`] into columns, [`keys`] numbers users
//! and items, and [`ratings`] keeps 20 bytes an interaction until all are sorted into rows.

mod convert;
mod error;
mod fetch;
mod fields;
mod header;
mod history;
mod info;
mod interactions;
mod jsonl;
mod keys;
pub mod known;
mod layout;
mod lines;
mod locate;
mod movielens;
mod netflix;
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
mod tarball;
mod text;

pub use convert::{ConvertError, Format, convert};
pub use error::{LineProblem, ReadError};
pub use fetch::{FetchError, FetchOptions, FetchProgress, fetch};
pub use history::{History, HistoryRating, read_history};
pub use info::{Bar, DatasetInfo, Spread};
pub use known::KnownDataset;
pub use known::KnownSplit;
pub use locate::{DATA_DIR_VARIABLE, cache_dir};
pub use open::{is_present, open, open_files, open_with_report};
pub use options::{Columns, Duplicates, OpenOptions, parse_scale};
pub use report::ReadReport;
pub use split::{TestRatings, open_split, read_split};
