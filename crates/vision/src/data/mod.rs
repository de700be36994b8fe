//! Who bought what, and what it looks like.
//!
//! | file | holds |
//! | --- | --- |
//! | [`purchases`] | [`Purchases`]: what was read, and [`open`](purchases::open), which recognises a layout |
//! | [`hm`] | H&M transactions with a picture of every article |
//! | [`plain`] | `interactions.csv` beside `images/` |
//! | [`mod@amazon`] | Amazon reviews and metadata of 2014, 2018 and 2023 |
//! | [`literal`] | the Python literals that the metadata of 2014 are written in |
//! | `table` | tables of items |
//! | [`feature_file`] | features of items that were made elsewhere |
//! | [`fetch`] | downloading pictures by address |
//! | [`idx`], [`products`] | labelled pictures without purchases |
//! | [`mod@prepare`] | [`VisualDataset`]: pictures decoded, what cannot be used left out and counted |
//! | [`split`] | [`LeaveOneOut`]: one purchase of each user to choose by, one to test on |

pub mod amazon;
pub mod feature_file;
pub mod fetch;
pub mod hm;
pub mod idx;
pub mod literal;
pub mod plain;
pub mod prepare;
pub mod products;
pub mod purchases;
pub mod split;
mod table;

pub use prepare::{PrepareOptions, PrepareReport, Treatment, Unusable, VisualDataset, prepare};
pub use purchases::{ItemLabels, ItemPictures, Purchases};
pub use split::LeaveOneOut;
