//! Evaluation of toy models on data small enough to compute by hand.

#![expect(unreachable_pub, clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod by_hand;
mod kept;
mod leak;
mod ranking;
mod refusals;
mod report;
mod toys;
