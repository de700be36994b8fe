//! Pictures, purchases and recommenders together.

#![expect(clippy::unwrap_used, reason = "tests")]

mod chain;
mod fetch;
mod figures;
mod lsgan;
mod pictures;
mod preference;
mod purchases;
