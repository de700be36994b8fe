//! Spans of requests, for whoever collects traces. Nothing is made of them, and they cost nothing, unless a subscriber asks for [`TARGET`].

use axum::http::HeaderMap;
use tracing::Span;
use tracing::field::Empty;

/// The target of all spans, by which a subscriber takes them or leaves them.
pub const TARGET: &str = "foldin::trace";

/// The span of a request, which goes on with the trace that its headers name (W3C Trace Context).
pub(crate) fn of_request(method: &str, route: &str, id: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = Empty,
        request_id = id,
    );
    follow(&span, headers);
    span
}

/// Notes how a request was answered.
pub(crate) fn answered(span: &Span, status: u16) {
    span.record("http.response.status_code", status);
}

#[cfg(feature = "otlp")]
fn follow(span: &Span, headers: &HeaderMap) {
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    if span.is_disabled() {
        return;
    }
    let sent = opentelemetry_http::HeaderExtractor(headers);
    let context = opentelemetry::global::get_text_map_propagator(|propagator| propagator.extract(&sent));
    // Without a subscriber for traces there is none to follow.
    let _ = span.set_parent(context);
}

#[cfg(not(feature = "otlp"))]
fn follow(_: &Span, _: &HeaderMap) {}
