//! Pictures as tensors: decoded once, kept as bytes.
//!
//! | file | holds |
//! | --- | --- |
//! | [`mod@decode`] | a picture's bytes to RGB of one size, or the [`Defect`] that it has |
//! | [`set`] | [`ImageSet`]: n pictures as `u8 [n × 3 × px × px]`, in memory or in a file, and batches of them as tensors |
//! | [`labels`] | [`Labels`]: what class each picture is of |
//! | [`cache`] | building such a file from folders and archives, and finding it again |
//! | [`store`] | folders and zip archives of pictures |
//!
//! # The range of pixels
//! A byte b is the number (b − 127.5)/127.5 in a tensor, from −1 (black) to 1: [`to_unit`] and [`to_byte`]. The same for networks that
//! look at pictures and those that make them, so what one makes the other can look at.

pub mod cache;
pub mod decode;
pub mod labels;
pub mod set;
pub mod store;

pub use cache::{BuildOptions, BuildReport, build, build_first};
pub use decode::{DecodeLimits, Defect, Fit, decode};
pub use labels::Labels;
pub use set::{ImageSet, to_byte, to_unit};
pub use store::PictureStore;
