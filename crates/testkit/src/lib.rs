//! For tests only: what every model must satisfy, and planted data to show it on.
//!
//! | module | holds |
//! | --- | --- |
//! | [`mod@conformance`] | [`conformance()`](conformance::conformance): every check a model of the registry must pass, each by name |
//! | [`planted`] | generated data with a known answer, on a scale nobody would guess |
//! | [`memory_store`] | a checkpoint store in memory, and progress sinks that cancel |
//!
//! A check is only worth something if it can fail: `tests/toy.rs` holds a small model that passes everything, and breaks it in
//! one way for each check.

pub mod conformance;
pub mod memory_store;
pub mod planted;

pub use conformance::{Failure, Level, Subject, conformance};
pub use planted::Planted;
