//! What is answered, by path.

#![allow(unused_qualifications, reason = "the macros that describe routes write paths in full")]

mod dashboard;
mod design;
mod docs;
mod events;
mod feed;
mod health;
mod items;
mod keys;
mod models;
mod people;
mod recommend;
mod users;

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderValue, Method, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::routing::get;
use axum::{Json, Router, middleware};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::CorsLayer;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::{ApiError, CODES, Refusal};
use crate::keys::Role;
use crate::layers::{API_KEY, Gate, REQUEST_ID, broke_off, envelope, require};
use crate::runs::{JobState, Run};
use crate::state::App;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Foldin",
        description = "Recommendations that follow what somebody does as they do it. A user is a history: whatever is written here is in the next answer, for users never seen before as for anybody else.",
        license(name = "MIT OR Apache-2.0"),
    ),
    components(schemas(Refusal)),
    security(("key" = [])),
    tags(
        (name = "events", description = "What users do"),
        (name = "recommendations", description = "What they might like, and why"),
        (name = "users", description = "Who they are"),
        (name = "items", description = "What there is"),
        (name = "models", description = "Versions and training"),
        (name = "design", description = "New items for one person, where there is a generator"),
        (name = "server", description = "How it is doing"),
    ),
)]
struct Described;

/// Answers of a route that may be refused, as the documentation lists them.
fn with_refusals(mut document: Document) -> Document {
    use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
    let mut by_status: std::collections::BTreeMap<u16, Vec<String>> = std::collections::BTreeMap::new();
    for (code, status, meaning) in CODES {
        by_status.entry(*status).or_default().push(format!("`{code}`: {meaning}"));
    }
    let schema = || Ref::from_schema_name("Refusal");
    for path in document.paths.paths.values_mut() {
        let operations =
            [&mut path.get, &mut path.post, &mut path.put, &mut path.delete].into_iter().flatten();
        for operation in operations {
            // The standard wants a description of every answer; that of a success is what the operation does.
            let summary = operation.summary.clone().unwrap_or_default();
            for answer in operation.responses.responses.values_mut() {
                if let RefOr::T(answer) = answer
                    && answer.description.is_empty()
                {
                    answer.description.clone_from(&summary);
                }
            }
            for (status, meanings) in &by_status {
                let content = ContentBuilder::new().schema(Some(schema())).build();
                let response = ResponseBuilder::new()
                    .description(meanings.join(" "))
                    .content("application/json", content)
                    .build();
                operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(response));
            }
        }
    }
    if let Some(components) = &mut document.components {
        let mut scheme = Http::new(HttpAuthScheme::Bearer);
        scheme.description = Some("An API key; none is asked for while the server has no keys".to_owned());
        components.security_schemes.insert("key".to_owned(), RefOr::T(SecurityScheme::Http(scheme)));
    }
    document
}

/// Routes that need each role.
fn by_role() -> [(Role, OpenApiRouter<App>); 3] {
    let read = OpenApiRouter::new()
        .routes(routes!(recommend::for_user))
        .routes(routes!(recommend::recommend))
        .routes(routes!(recommend::predict))
        .routes(routes!(recommend::explain))
        .routes(routes!(recommend::ask_next))
        .routes(routes!(recommend::similar_users))
        .routes(routes!(recommend::map))
        .routes(routes!(users::get))
        .routes(routes!(users::list))
        .routes(routes!(items::list))
        .routes(routes!(items::get))
        .routes(routes!(items::similar))
        .routes(routes!(items::categories))
        .routes(routes!(models::list))
        .routes(routes!(models::jobs))
        .routes(routes!(models::job))
        .routes(routes!(models::job_events))
        .routes(routes!(feed::feed))
        .routes(routes!(design::begin))
        .routes(routes!(design::get, design::cancel))
        .routes(routes!(design::watch))
        .routes(routes!(recommend::reach))
        .routes(routes!(health::stats));
    let write = OpenApiRouter::new()
        .routes(routes!(events::append, events::delete))
        .routes(routes!(users::put, users::delete))
        .routes(routes!(items::put_many))
        .routes(routes!(items::put, items::delete));
    let admin = OpenApiRouter::new()
        .routes(routes!(health::backup))
        .routes(routes!(models::train))
        .routes(routes!(models::cancel))
        .routes(routes!(models::promote))
        .routes(routes!(models::roll_back))
        .routes(routes!(models::remove))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::revoke));
    [(Role::Read, read), (Role::Write, write), (Role::Admin, admin)]
}

fn open() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(health::metrics))
}

/// The OpenAPI 3.1 description of everything, generated from the code that answers.
#[must_use]
pub fn api() -> Document {
    let mut router = OpenApiRouter::with_openapi(Described::openapi()).merge(open());
    for (_, routes) in by_role() {
        router = router.merge(routes);
    }
    let mut document = router.into_openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    with_refusals(document)
}

/// Everything, ready to serve.
pub(crate) fn router(app: App, gate: &Gate) -> Router {
    let mut router: Router<App> = open().split_for_parts().0;
    for (role, routes) in by_role() {
        let asked = middleware::from_fn_with_state((gate.clone(), role), require);
        router = router.merge(routes.split_for_parts().0.route_layer(asked));
    }
    let document = Arc::new(api());
    let described = move || {
        let document = document.clone();
        async move { Json((*document).clone()) }
    };
    router
        .route("/openapi.json", get(described))
        .route("/docs", get(docs::page))
        .fallback(dashboard::file)
        .method_not_allowed_fallback(|| async {
            ApiError::new("method_not_allowed", "this address takes other methods; /docs says which")
        })
        .layer(DefaultBodyLimit::max(app.config.limits.body_bytes))
        .layer(CatchPanicLayer::custom(broke_off))
        .layer(cors(&app))
        .layer(middleware::from_fn_with_state(gate.clone(), envelope))
        .with_state(app)
}

/// Server-sent events of a run in the background: as it is now, and again whenever it changes, until it ends.
fn until_it_ends<R: Run + Serialize>(
    run: watch::Receiver<R>,
    name: &'static str,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // A run that has ended changes no more, so the stream ends with it.
    let events = WatchStream::new(run).flat_map(move |run| {
        let last = run.state() != JobState::Running;
        let event = Event::default().event(name).json_data(&run).unwrap_or_default();
        futures_util::stream::iter(std::iter::once(Some(event)).chain(last.then_some(None)))
    });
    let events = events.take_while(|event| std::future::ready(event.is_some()));
    Sse::new(events.filter_map(|event| std::future::ready(event.map(Ok)))).keep_alive(KeepAlive::default())
}

fn cors(app: &App) -> CorsLayer {
    let origins: Vec<HeaderValue> =
        app.config.cors_origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok()).collect();
    if origins.is_empty() {
        return CorsLayer::new();
    }
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, API_KEY, REQUEST_ID])
        .expose_headers([REQUEST_ID, header::RETRY_AFTER])
}
