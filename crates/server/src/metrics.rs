//! Figures for Prometheus, at `/metrics`.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Bounds of latencies, in seconds.
const LATENCIES: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
    30.0,
];

/// Bounds of the time to answer without the network, in seconds.
const GENERATIONS: [f64; 14] = [
    0.000_01, 0.000_02, 0.000_04, 0.000_06, 0.000_08, 0.000_1, 0.000_15, 0.000_25, 0.000_5, 0.001, 0.005,
    0.025, 0.1, 1.0,
];

/// A request as it is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RequestLabels {
    /// GET, POST and so on.
    pub method: String,
    /// The path as it is documented, never with a key in it.
    pub route: String,
    /// Status of the answer.
    pub status: u16,
}

/// A route as its latency is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RouteLabels {
    /// The path as it is documented.
    pub route: String,
}

/// Every figure.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests by route and status.
    pub requests: Family<RequestLabels, Counter>,
    /// Seconds from the head of a request to the head of its answer.
    pub latency: Family<RouteLabels, Histogram>,
    /// Requests worked on now.
    pub in_flight: Gauge,
    /// Seconds to read a history, generate factors and choose the best items.
    pub generation: Histogram,
    /// Events written.
    pub events: Counter,
    /// The version in service, as a number.
    pub model_version: Gauge,
    /// When the version in service was put there, in seconds since 1970.
    pub model_since: Gauge,
    /// Events, users and items in the store.
    pub stored_events: Gauge,
    /// Users in the store.
    pub stored_users: Gauge,
    /// Resident memory in bytes.
    pub memory: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("foldin");
        let requests = Family::default();
        registry.register("requests", "Requests answered", requests.clone());
        let latency = Family::new_with_constructor((|| Histogram::new(LATENCIES)) as fn() -> Histogram);
        let text = "From the head of a request to the head of its answer";
        registry.register_with_unit("request_duration", text, Unit::Seconds, latency.clone());
        let in_flight = Gauge::default();
        registry.register("requests_in_flight", "Requests worked on now", in_flight.clone());
        let generation = Histogram::new(GENERATIONS);
        let text = "Reading a history, generating factors and choosing the best items";
        registry.register_with_unit("recommendation", text, Unit::Seconds, generation.clone());
        let events = Counter::default();
        registry.register("events_written", "Events written", events.clone());
        let mut gauge = |name: &str, text: &str| {
            let gauge: Gauge = Gauge::default();
            registry.register(name, text, gauge.clone());
            gauge
        };
        let model_version = gauge("model_version", "Number of the version in service");
        let model_since = gauge("model_since_seconds", "When the version in service was put there");
        let stored_events = gauge("stored_events", "Events in the store");
        let stored_users = gauge("stored_users", "Users in the store");
        let memory = Gauge::<f64, AtomicU64>::default();
        registry.register("resident_memory_bytes", "Resident memory", memory.clone());
        Self {
            registry,
            requests,
            latency,
            in_flight,
            generation,
            events,
            model_version,
            model_since,
            stored_events,
            stored_users,
            memory,
        }
    }
}

impl Metrics {
    /// All figures in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        if let Some(bytes) = resident_memory() {
            self.memory.set(bytes as f64);
        }
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut out, &self.registry);
        out
    }
}

/// Resident memory of this process in bytes, where the system tells.
#[must_use]
pub fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}
