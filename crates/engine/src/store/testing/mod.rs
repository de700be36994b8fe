//! For tests only: what every store must satisfy, a store that fails on purpose, and a disk that does.
//!
//! | item | holds |
//! | --- | --- |
//! | [`conformance`] | every check a store must pass, each by name |
//! | [`FailingStore`] | any store, with errors when they are asked for |
//! | [`SimulatedDisk`] | a disk for [`RedbStore`](super::RedbStore) that fills up, fails, and loses power |
//! | [`Contents`] | all that a store keeps, to compare |

mod concurrent;
mod conformance;
mod contents;
mod disk;
mod events;
mod failing;
mod records;
mod whole;

pub use conformance::{Failure, Subject, check, checks, conformance};
pub use contents::Contents;
pub use disk::SimulatedDisk;
pub use failing::{FailingStore, Fault, Switch};
