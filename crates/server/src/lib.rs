//! The engine over HTTP.
//!
//! | module | holds |
//! | --- | --- |
//! | [`mod@config`] | [`ServerConfig`]: addresses, limits, kinds of events, retraining |
//! | [`mod@serve`] | [`serve::Server`]: binds, serves, drains and stops |
//! | [`mod@keys`] | API keys with roles, stored as hashes |
//! | [`mod@error`] | [`ApiError`]: the one shape of every refusal |
//! | `feed`, `work` | what is written, told to whoever watches; work off the threads that answer |
//! | [`mod@runs`] | long work in the background, one run of a kind at a time, watched by anybody |
//! | [`mod@jobs`], [`mod@design`] | such runs: training; new items for one person |
//! | [`mod@metrics`] | figures for Prometheus |
//! | [`mod@traces`] | spans of requests, for whoever collects traces |
//! | [`mod@routes`] | what is answered, by path; [`routes::api`] is its OpenAPI description |

pub mod config;
pub mod design;
pub mod error;
mod extract;
mod feed;
pub mod jobs;
pub mod keys;
mod layers;
pub mod metrics;
pub mod routes;
pub mod runs;
pub mod serve;
mod state;
pub mod traces;
mod work;

pub use config::ServerConfig;
pub use error::ApiError;
pub use serve::{ServeError, Server};
