//! Whole experiments: from pictures on disk to a report and a sheet, resumed where they were interrupted.
//!
//! What a recipe of the command line runs. Each trains what its folder does not hold yet.

mod customers;
mod design;
mod lsgan;
mod recipes;

pub use customers::CustomersExperiment;
pub use design::{DesignExperiment, DesignOutcome};
pub use lsgan::{LsganExperiment, LsganOutcome, Pictures, Watch};
pub use recipes::{Part, RECIPES, Recipe, Size, Work};
