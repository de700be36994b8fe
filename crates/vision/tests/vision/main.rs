//! Pictures, purchases and recommenders together.

#![expect(clippy::unwrap_used, reason = "tests")]

mod fetch;
mod figures;
mod pictures;
mod preference;
mod purchases;
