//! Everything that can be set.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use foldin_engine::{EngineOptions, TrainError, TrainOptions};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Settings of a server. Every one has a default; unknown names are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address and port. Any address but a loopback one needs API keys.
    pub listen: SocketAddr,
    /// Certificate and private key; plain HTTP without.
    pub tls: Option<Tls>,
    /// Origins of other sites whose pages may call the server from a browser, such as `https://shop.example`; none unless given.
    pub cors_origins: Vec<String>,
    /// What is refused so that everything else goes on.
    pub limits: Limits,
    /// What events mean, and how much of a history is looked at.
    pub engine: EngineOptions,
    /// Retraining.
    pub train: Training,
    /// Folder of backups; none can be asked for without. `foldin serve --store DIR` takes `DIR/backups` unless given.
    pub backups: Option<PathBuf>,
    /// Seconds that running requests are given when the server stops.
    pub drain_seconds: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            tls: None,
            cors_origins: Vec::new(),
            limits: Limits::default(),
            engine: EngineOptions::default(),
            train: Training::default(),
            backups: None,
            drain_seconds: 20,
        }
    }
}

/// Where the certificate is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file of the certificate chain.
    pub certificate: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// Limits on requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Most bytes of a request's body; more is 413.
    pub body_bytes: usize,
    /// Most bytes of a bulk of events as lines; more is 413.
    pub bulk_bytes: usize,
    /// Seconds until a request is given up with 503.
    pub request_seconds: u64,
    /// Requests worked on at the same time; more is 503 with `Retry-After`.
    pub concurrency: usize,
    /// Requests a second of one key, or of one address where there are no keys; more is 429. 0 is no limit.
    pub rate_per_second: u32,
    /// Requests that may come at once within [`Limits::rate_per_second`]; 0 is twice that rate.
    pub rate_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 2 << 20,
            bulk_bytes: 256 << 20,
            request_seconds: 30,
            concurrency: 512,
            rate_per_second: 0,
            rate_burst: 0,
        }
    }
}

/// When and how a new version is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Seconds between two runs; none unless given. A run is skipped when nothing was written since the last one of this process.
    pub every_seconds: Option<u64>,
    /// Trained versions that are kept; older ones go when a run ends, but for the one that serves and the one before it. 0 keeps all.
    pub keep_versions: usize,
    /// The runs.
    pub options: TrainOptions,
}

impl Default for Training {
    fn default() -> Self {
        Self { every_seconds: None, keep_versions: 20, options: TrainOptions::default() }
    }
}

/// A setting that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {got}, but {expected}")]
pub struct ConfigProblem {
    /// The setting.
    pub field: &'static str,
    /// What was given.
    pub got: String,
    /// What would fit.
    pub expected: &'static str,
}

impl ServerConfig {
    /// Checks every setting.
    ///
    /// # Errors
    /// [`ConfigProblem`] naming the first that cannot be.
    pub fn check(&self) -> Result<(), ConfigProblem> {
        let refuse = |field, got: String, expected| Err(ConfigProblem { field, got, expected });
        let Limits { body_bytes, bulk_bytes, request_seconds, concurrency, .. } = self.limits;
        for (field, value) in [
            ("limits.body_bytes", body_bytes),
            ("limits.bulk_bytes", bulk_bytes),
            ("limits.concurrency", concurrency),
            ("limits.request_seconds", request_seconds as usize),
            ("engine.history_limit", self.engine.history_limit),
        ] {
            if value == 0 {
                return refuse(field, "0".to_owned(), "it is 1 or more");
            }
        }
        let share = self.engine.approximate_share;
        if !(share > 0.0 && share <= 1.0) {
            return refuse(
                "engine.approximate_share",
                share.to_string(),
                "it is a share above 0 and at most 1",
            );
        }
        if self.train.every_seconds == Some(0) {
            return refuse("train.every_seconds", "0".to_owned(), "it is 1 or more");
        }
        if let Err(TrainError::Option { field, got, expected }) =
            foldin_engine::train::check(&self.train.options)
        {
            let field = match field {
                "held_out" => "train.options.held_out",
                "tolerance" => "train.options.tolerance",
                _ => "train.options.threads",
            };
            return refuse(field, got.to_string(), expected);
        }
        for origin in &self.cors_origins {
            let plain = origin.starts_with("http://") || origin.starts_with("https://");
            if !plain || origin.matches('/').count() != 2 {
                return refuse(
                    "cors_origins",
                    format!("`{origin}`"),
                    "an origin is a scheme and a host, such as https://shop.example",
                );
            }
        }
        Ok(())
    }
}
