//! What surrounds every request: its number, its limits, its log line, its figures, the shape of its refusal, and who may ask.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::Clock;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::error::ApiError;
use crate::extract::content_type;
use crate::keys::{KeyInfo, Role};
use crate::metrics::{Metrics, RequestLabels, RouteLabels};
use crate::state::App;
use crate::traces;
use crate::work::{DOING, Doing};

/// What a request may take that ends when its work does.
const LONG: Duration = Duration::from_secs(6 * 60 * 60);

/// Types of bodies with an event a line.
pub(crate) const LINES: [&str; 2] = ["application/x-ndjson", "application/jsonl"];

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Another place for an API key than `Authorization`.
pub(crate) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Sent with every answer: nothing here is to be framed, guessed at, or told to other sites; pages load from this host alone.
const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
];

/// What the layers share.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    app: App,
    places: Arc<Semaphore>,
    rates: Option<Arc<DefaultKeyedRateLimiter<Client>>>,
    /// Random at the start, so that numbers of two servers differ in one log.
    first: u32,
    number: Arc<AtomicU64>,
    /// Whether there were keys: when the last one is revoked the server stays closed.
    had_keys: Arc<AtomicBool>,
}

/// Whose requests are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Client {
    Key(String),
    Address(IpAddr),
}

impl Gate {
    pub(crate) fn new(app: App) -> Self {
        let limits = &app.config.limits;
        let rates = NonZeroU32::new(limits.rate_per_second).map(|rate| {
            let burst = NonZeroU32::new(limits.rate_burst).unwrap_or(rate.saturating_mul(
                // Not zero.
                NonZeroU32::MIN.saturating_add(1),
            ));
            Arc::new(RateLimiter::keyed(Quota::per_second(rate).allow_burst(burst)))
        });
        let mut first = [0u8; 4];
        // Without random numbers the numbers still count up.
        let _ = getrandom::fill(&mut first);
        Self {
            places: Arc::new(Semaphore::new(limits.concurrency)),
            rates,
            first: u32::from_le_bytes(first),
            number: Arc::new(AtomicU64::new(1)),
            had_keys: Arc::new(AtomicBool::new(app.keys.any())),
            app,
        }
    }

    /// Forgets clients that have not asked for a while.
    pub(crate) fn tidy(&self) {
        if let Some(rates) = &self.rates {
            rates.retain_recent();
        }
    }

    fn request_id(&self, headers: &HeaderMap) -> String {
        let sent = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        let usable = |id: &&str| {
            (1..=64).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        match sent.filter(usable) {
            Some(id) => id.to_owned(),
            None => format!("{:08x}-{:x}", self.first, self.number.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// A method by name; any other word is one more, so that nobody fills the figures with words of their own.
fn known_method(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}

/// Counts a request for as long as it is worked on, however that ends.
struct InFlight(Arc<Metrics>);

impl InFlight {
    fn new(metrics: Arc<Metrics>) -> Self {
        metrics.in_flight.inc();
        Self(metrics)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// How long a request may take. A bulk of events takes as long as its sender, who must only not fall silent, and a backup as long as the store is large.
fn time_limit(gate: &Gate, route: &str, headers: &HeaderMap) -> Duration {
    let is_bulk = route == "/v1/events" && LINES.contains(&content_type(headers).as_str());
    if is_bulk || route == "/v1/backup" {
        return LONG;
    }
    Duration::from_secs(gate.app.config.limits.request_seconds)
}

/// A panic of a handler, which should never be, as a refusal.
pub(crate) fn broke_off(_: Box<dyn std::any::Any + Send>) -> Response {
    ApiError::internal("a request broke off by a panic").into_response()
}

/// The outermost layer.
pub(crate) async fn envelope(State(gate): State<Gate>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let id = gate.request_id(request.headers());
    let method = known_method(request.method());
    let route = request.extensions().get::<MatchedPath>().map_or("other", MatchedPath::as_str).to_owned();
    let span = traces::of_request(method, &route, &id, request.headers());
    let metrics = gate.app.metrics.clone();
    // Whoever watches the server must get through when nobody else does.
    let watching = route.starts_with("/health") || route == "/metrics";
    let place = if watching { None } else { Some(gate.places.clone().try_acquire_owned()) };
    let flight = InFlight::new(metrics.clone());
    let mut response = match place {
        Some(Err(_)) => {
            ApiError::new("overloaded", "too many requests at once; try again shortly").into_response()
        }
        place => {
            let limit = time_limit(&gate, &route, request.headers());
            let place = place.and_then(Result::ok).map(Arc::new);
            let doing = Doing { id: id.as_str().into(), place };
            let answer = DOING.scope(doing, next.run(request).instrument(span.clone()));
            let answered = tokio::time::timeout(limit, answer).await;
            answered.unwrap_or_else(|_| {
                ApiError::new("timeout", "the request took longer than the limit").into_response()
            })
        }
    };
    drop(flight);
    let refused = response.extensions_mut().remove::<ApiError>();
    if let Some(error) = &refused {
        let kept = std::mem::take(response.headers_mut());
        response = error.respond(&id);
        for (name, value) in &kept {
            // The length was that of the body that is no longer sent.
            if name != header::CONTENT_LENGTH && !response.headers().contains_key(name) {
                response.headers_mut().insert(name.clone(), value.clone());
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64();
    let status = response.status().as_u16();
    traces::answered(&span, status);
    metrics.latency.get_or_create(&RouteLabels { route: route.clone() }).observe(seconds);
    let labels = RequestLabels { method: method.to_owned(), route: route.clone(), status };
    metrics.requests.get_or_create(&labels).inc();
    let code = refused.map_or("", |error| error.code);
    if status >= 500 {
        tracing::warn!(request_id = %id, method, route, status, code, seconds, "request");
    } else {
        tracing::debug!(request_id = %id, method, route, status, code, seconds, "request");
    }
    let headers = response.headers_mut();
    for (name, value) in SECURITY_HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// Lets a request through if its key has the role, and if its client has not asked too often.
pub(crate) async fn require(
    State((gate, role)): State<(Gate, Role)>,
    mut request: Request,
    next: Next,
) -> Response {
    let key = match identify(&gate, request.headers(), role) {
        Ok(key) => key,
        Err(error) => return error.into_response(),
    };
    if let Some(rates) = &gate.rates {
        let address = request.extensions().get::<ConnectInfo<SocketAddr>>();
        let client = match (&key, address) {
            (Some(key), _) => Client::Key(key.id.clone()),
            (None, Some(address)) => Client::Address(address.0.ip()),
            (None, None) => Client::Key(String::new()),
        };
        if let Err(until) = rates.check_key(&client) {
            let wait = until.wait_time_from(governor::clock::DefaultClock::default().now());
            let mut error = ApiError::new("rate_limited", "too many requests: slow down");
            error.retry_after = Some(wait.as_secs() as u32 + 1);
            return error.into_response();
        }
    }
    if let Some(key) = key {
        request.extensions_mut().insert(key);
    }
    next.run(request).await
}

/// Without keys anybody on this machine may do anything, and a page of another site in a browser here is not anybody on this machine: neither
/// a name that leads here (`Host`) nor the site of a page (`Origin`) may be a foreign one.
fn from_this_machine(gate: &Gate, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name: &HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let local_origin = |origin: &str| {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(is_local) || gate.app.config.cors_origins.iter().any(|known| known == origin)
    };
    if !text(&header::HOST).is_none_or(is_local) || !text(&header::ORIGIN).is_none_or(local_origin) {
        let message = "without API keys only this machine's own names and pages may ask: use localhost, or make keys with `foldin keys create`";
        return Err(ApiError::new("forbidden", message));
    }
    Ok(())
}

/// Whether a host, with or without a port, is this machine by name or loopback address.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The key of a request; none where there never were keys and nobody else can reach the server.
fn identify(gate: &Gate, headers: &HeaderMap, role: Role) -> Result<Option<KeyInfo>, ApiError> {
    if gate.app.keys.any() {
        gate.had_keys.store(true, Ordering::Relaxed);
    } else if gate.app.config.listen.ip().is_loopback() && !gate.had_keys.load(Ordering::Relaxed) {
        return from_this_machine(gate, headers).map(|()| None);
    } else {
        let message =
            "this server needs API keys and has none: `foldin keys create` makes one on the machine itself";
        return Err(ApiError::new("unauthorised", message));
    }
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, key)| key);
    let sent = bearer.or_else(|| headers.get(API_KEY).and_then(|value| value.to_str().ok()));
    let Some(sent) = sent else {
        let message =
            "an API key is needed: send `Authorization: Bearer KEY`; `foldin keys create` makes one";
        return Err(ApiError::new("unauthorised", message));
    };
    let Some(key) = gate.app.keys.check(sent.trim()) else {
        return Err(ApiError::new("unauthorised", "this API key is not known: it may have been revoked"));
    };
    if key.role < role {
        let message =
            format!("the key `{}` may {}, and this needs a key that may {role}", key.label, key.role);
        return Err(ApiError::new("forbidden", message));
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_few_names() {
        for host in
            ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.0.0.1:8080", "127.8.8.8", "[::1]", "[::1]:8080"]
        {
            assert!(is_local(host), "{host}");
        }
        for host in
            ["", "localhost.example.com", "evil.example:8080", "10.0.0.1", "[::2]:80", "[", "0x7f000001"]
        {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn words_that_are_no_methods_are_counted_together() {
        assert_eq!(known_method(&Method::PUT), "PUT");
        assert_eq!(known_method(&Method::from_bytes(b"AAA1").unwrap()), "other");
    }
}
