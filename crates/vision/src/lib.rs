//! Recommendation from pictures, generation of new items, and design for one person.
//!
//! What somebody bought says what they like to look at: the models here score an item by its picture, so an item that nobody has bought
//! yet is ranked as well as any other, and a picture that does not exist yet can be scored too. Networks run on
//! [Burn](https://burn.dev), in plain Rust on the CPU by default ([`backend`]).
//!
//! | module | holds |
//! | --- | --- |
//! | [`images`] | pictures: decoding, defects, caches, batches as tensors, labels |
//! | [`backend`] | devices, and random tensors that are the same on all of them |
//! | [`error`] | [`VisionError`] |
//!
//! # Words
//! A *picture* is what was decoded (`u8`, one size); Φ(X) is what a network makes of it; θ is what a user likes, in the same space.

pub mod backend;
pub mod error;
pub mod images;

pub use error::VisionError;
