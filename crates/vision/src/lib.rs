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
//! | [`data`] | purchases and labelled pictures: readers, filters, splits |
//! | [`features`] | what a picture looks like in numbers, without a network |
//! | [`layers`], [`parameters`] | layers of networks with gradients, their numbers and Adam |
//! | [`recommend`] | recommenders that look at pictures, and those they are compared with |
//! | [`mod@planted`] | purchases whose reason is known |
//! | [`mod@evaluate`] | how well a recommender ranks what was bought |
//! | [`study`] | recipes: all recommenders on the same splits, and the three treatments of pictures |
//! | [`watch`] | a fit by its validation AUC |
//! | [`classifier`] | what a picture shows: labels, and features of a network |
//! | [`lsgan`] | a generator of pictures by category |
//! | [`gan_metrics`], [`mod@gan_report`] | how good generated pictures are |
//! | [`mod@design`] | pictures of new items for one person |
//! | [`sheet`] | many pictures in one |
//! | [`saved`], [`checkpoints`] | networks and interrupted trainings on disk |
//! | [`experiments`] | whole experiments, resumed where they were interrupted |
//! | [`error`] | [`VisionError`] |
//!
//! # Words
//! A *picture* is what was decoded (`u8`, one size); Φ(X) is what a network makes of it; θ is what a user likes, in the same space.

#![cfg_attr(test, allow(clippy::float_cmp, reason = "tests compare what must be the same bits"))]

pub mod backend;
pub mod checkpoints;
pub mod classifier;
pub mod data;
pub mod design;
pub mod error;
pub mod evaluate;
pub mod experiments;
pub mod features;
pub mod gan_metrics;
pub mod gan_report;
pub mod images;
pub mod layers;
pub mod lsgan;
pub mod parameters;
pub mod planted;
pub mod recommend;
pub mod saved;
mod settings;
pub mod sheet;
pub mod study;
pub mod watch;

pub use error::VisionError;
