//! The stores: the same suite for each, and what only a file can do.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod agree;
mod broken;
mod conformance;
mod faults;
mod files;
mod kill;
mod power;
mod torn;
