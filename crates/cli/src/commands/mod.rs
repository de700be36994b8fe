//! One file a command: its flags, and what it does.

pub(crate) mod activations;
pub(crate) mod data;
pub(crate) mod evaluate;
#[cfg(feature = "vision")]
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod models;
pub(crate) mod predict;
pub(crate) mod quickstart;
pub(crate) mod recommend;
pub(crate) mod reproduce;
pub(crate) mod serve;
pub(crate) mod train;
pub(crate) mod tune;
#[cfg(feature = "vision")]
pub(crate) mod vision;
