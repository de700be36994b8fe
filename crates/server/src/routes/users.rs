//! Who users are.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use foldin_engine::EngineError;
use foldin_engine::store::{Event, Forgotten, JsonMap, User};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::error::ApiError;
use crate::extract::{Body, Key, Query};
use crate::state::App;
use crate::work::blocking;

/// A user with what they did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UserOut {
    /// Key.
    pub id: String,
    /// What is known of them.
    #[schema(value_type = Object)]
    pub features: JsonMap,
    /// Number of events in the store.
    pub events: u64,
    /// The latest events, oldest first.
    pub history: Vec<EventOut>,
}

/// An event as the store has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct EventOut {
    /// Key of the item.
    pub item: String,
    /// Title of the item; its key where none is known.
    pub title: String,
    /// What was done.
    pub kind: String,
    /// The number that goes with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub value: Option<f32>,
    /// When, in milliseconds since 1970.
    pub time: i64,
    /// Whether the model knows the item.
    pub known: bool,
}

/// A user as they are listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct UserLine {
    /// Key.
    pub id: String,
    /// What is known of them.
    #[schema(value_type = Object)]
    pub features: JsonMap,
    /// Number of events in the store.
    pub events: u64,
}

impl From<User> for UserLine {
    fn from(user: User) -> Self {
        Self { id: user.key.to_string(), features: user.features, events: user.events }
    }
}

/// How much of the history.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// The latest events that are shown, at most.
    #[serde(default = "hundred")]
    #[param(default = 100, maximum = 10000)]
    limit: usize,
}

pub(crate) fn hundred() -> usize {
    100
}

/// Show a user
///
/// Features and the latest events.
#[utoipa::path(get, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "Key of the user"), HistoryQuery),
    responses((status = 200, body = UserOut)))]
pub(super) async fn get(
    State(app): State<App>,
    Key(id): Key,
    Query(query): Query<HistoryQuery>,
) -> Result<Json<UserOut>, ApiError> {
    let limit = query.limit.min(10_000);
    let (key, engine) = (id.clone(), app.engine.clone());
    let (user, history) = blocking::<_, EngineError>(move || {
        Ok((engine.store().user(&key)?, engine.store().history(&key, limit)?))
    })
    .await?;
    let Some(user) = user else {
        return Err(ApiError::new("unknown_user", format!("nothing is known of the user `{id}`")));
    };
    let (live, mut out) = (app.engine.live(), Vec::with_capacity(history.len()));
    let catalogue = live.catalogue();
    for Event { item, kind, value, time, .. } in history {
        let number = live.serving().loaded().items.get(&item);
        let title = match number {
            Some(number) => catalogue.details(number).title.clone(),
            None => catalogue.other(&item).map_or_else(|| item.to_string(), |other| other.title.clone()),
        };
        out.push(EventOut {
            item: item.to_string(),
            title,
            kind: kind.to_string(),
            value,
            time,
            known: number.is_some(),
        });
    }
    let UserLine { id, features, events } = user.into();
    Ok(Json(UserOut { id, features, events, history: out }))
}

/// What is known of a user.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserIn {
    /// Names and values, such as `{"age": 31, "occupation": "writer"}`; they replace those there were.
    #[schema(value_type = Object)]
    features: JsonMap,
}

/// Set what is known of a user
///
/// Known before or not. The next answer uses it if the model uses such features.
#[utoipa::path(put, path = "/v1/users/{id}", tag = "users", request_body = UserIn,
    params(("id" = String, Path, description = "Key of the user")),
    responses((status = 204, description = "It is written")))]
pub(super) async fn put(
    State(app): State<App>,
    Key(id): Key,
    Body(body): Body<UserIn>,
) -> Result<StatusCode, ApiError> {
    blocking::<_, EngineError>(move || Ok(app.engine.store().put_user(&id, &body.features)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forget a user
///
/// Erases their events, features and key. No served model holds anything of a user. In the file, freed pages keep
/// their old bytes until they are used again; a backup holds none of them, and ends that when it is put in the place of the file.
#[utoipa::path(delete, path = "/v1/users/{id}", tag = "users",
    params(("id" = String, Path, description = "Key of the user")),
    responses((status = 200, body = Forgotten)))]
pub(super) async fn delete(State(app): State<App>, Key(id): Key) -> Result<Json<Forgotten>, ApiError> {
    let key = id.clone();
    let forgotten = blocking::<_, EngineError>(move || app.engine.forget(&key)).await?;
    if !forgotten.known {
        return Err(ApiError::new("unknown_user", format!("nothing is known of the user `{id}`")));
    }
    Ok(Json(forgotten))
}

/// Which part of a long list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// Those after this key.
    after: Option<String>,
    /// How many, at most 1,000.
    #[serde(default = "hundred")]
    #[param(default = 100, maximum = 1000)]
    limit: usize,
}

/// List users
///
/// In the order of their keys; `after` the last key of a page comes the next.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(PageQuery),
    responses((status = 200, body = Vec<UserLine>)))]
pub(super) async fn list(
    State(app): State<App>,
    Query(page): Query<PageQuery>,
) -> Result<Json<Vec<UserLine>>, ApiError> {
    let users = blocking::<_, EngineError>(move || {
        Ok(app.engine.store().users(page.after.as_deref(), page.limit.min(1000))?)
    });
    Ok(Json(users.await?.into_iter().map(UserLine::from).collect()))
}
