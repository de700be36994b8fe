//! The engine over HTTP.
//!
//! | module | holds |
//! | --- | --- |
//! | [`mod@config`] | [`ServerConfig`]: addresses, limits, kinds of events, retraining |
//! | [`mod@serve`] | [`serve::Server`]: binds, serves, drains and stops |
//! | [`mod@keys`] | API keys with roles, stored as hashes |
//! | [`mod@error`] | [`ApiError`]: the one shape of every refusal |
//! | `feed`, `work` | what is written, told to whoever watches; work off the threads that answer |
//! | [`mod@jobs`] | training in the background, with progress |
//! | [`mod@metrics`] | figures for Prometheus |
//! | [`mod@traces`] | spans of requests, for whoever collects traces |
//! | [`mod@routes`] | what is answered, by path; [`routes::api`] is its OpenAPI description |

pub mod config;
pub mod error;
mod extract;
mod feed;
pub mod jobs;
pub mod keys;
mod layers;
pub mod metrics;
pub mod routes;
pub mod serve;
mod state;
pub mod traces;
mod work;

pub use config::ServerConfig;
pub use error::ApiError;
pub use serve::{ServeError, Server};
