//! New items for one person.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use futures_util::Stream;

use super::until_it_ends;
use crate::design::{Brief, DesignRun, Designer};
use crate::error::ApiError;
use crate::extract::{Body, Key};
use crate::state::App;
use crate::work::blocking;

fn designer(app: &App) -> Result<Arc<dyn Designer>, ApiError> {
    app.designer.clone().ok_or_else(|| {
        ApiError::new("unsupported", "this server has no generator of pictures: it is started with one")
    })
}

/// Design new items for somebody
///
/// In the background, one design at a time: pictures that a network makes, moved step by step towards what the person likes. They are of no articles that
/// exist.
#[utoipa::path(post, path = "/v1/design", tag = "design", request_body = Brief,
    responses((status = 202, body = DesignRun)))]
pub(super) async fn begin(
    State(app): State<App>,
    Body(brief): Body<Brief>,
) -> Result<(StatusCode, Json<DesignRun>), ApiError> {
    let designer = designer(&app)?;
    brief.check()?;
    let run = blocking(move || -> Result<DesignRun, ApiError> {
        designer.check(&brief)?;
        let bought = bought(&app, &*designer, &brief)?;
        app.designs.begin(designer, brief, bought)
    });
    Ok((StatusCode::ACCEPTED, Json(run.await?)))
}

/// Each item once, in order: what is bought twice says no more than once.
fn once(mut items: Vec<String>) -> Vec<String> {
    items.sort_unstable();
    items.dedup();
    items
}

/// What says something about somebody's taste: items of a user's history as far as they are known, or all that were given.
fn bought(app: &App, designer: &dyn Designer, brief: &Brief) -> Result<Vec<String>, ApiError> {
    let Some(user) = &brief.user else {
        if let Some(item) = brief.bought.iter().find(|item| !designer.knows(item)) {
            let message = format!("the recommender of pictures does not know the item `{item}`");
            return Err(ApiError::new("unknown_item", message).with_field("bought"));
        }
        return Ok(once(brief.bought.clone()));
    };
    let history = app.engine.store().history(user, app.config.engine.history_limit)?;
    if history.is_empty() {
        let message = format!("nothing is known of the user `{user}`");
        return Err(ApiError::new("unknown_user", message).with_field("user"));
    }
    let known =
        history.iter().map(|event| event.item.to_string()).filter(|item| designer.knows(item)).collect();
    let known = once(known);
    if known.is_empty() {
        let message = format!("the recommender of pictures knows none of the items of the user `{user}`");
        return Err(ApiError::new("conflict", message).with_field("user"));
    }
    Ok(known)
}

/// Show a design
#[utoipa::path(get, path = "/v1/design/{id}", tag = "design",
    params(("id" = String, Path, description = "Number of the design")),
    responses((status = 200, body = DesignRun)))]
pub(super) async fn get(State(app): State<App>, Key(id): Key) -> Result<Json<DesignRun>, ApiError> {
    app.designs.get(&id).map(Json)
}

/// Watch a design
///
/// Server-sent events named `design`: the design as it is now, and again after each step, until it ends.
#[utoipa::path(get, path = "/v1/design/{id}/events", tag = "design",
    params(("id" = String, Path, description = "Number of the design")),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn watch(
    State(app): State<App>,
    Key(id): Key,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    Ok(until_it_ends(app.designs.watch(&id)?, "design"))
}

/// Cancel a design
///
/// It ends after its step, and nothing of it stays.
#[utoipa::path(delete, path = "/v1/design/{id}", tag = "design",
    params(("id" = String, Path, description = "Number of the design")),
    responses((status = 202, body = DesignRun)))]
pub(super) async fn cancel(
    State(app): State<App>,
    Key(id): Key,
) -> Result<(StatusCode, Json<DesignRun>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(app.designs.cancel(&id)?)))
}
