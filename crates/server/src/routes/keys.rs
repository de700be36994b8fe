//! API keys.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::extract::{Body, Key};
use crate::keys::{KeyError, KeyInfo, Role};
use crate::state::{App, now};
use crate::work::blocking;

impl From<KeyError> for ApiError {
    fn from(error: KeyError) -> Self {
        let message = error.to_string();
        match error {
            KeyError::Unknown { .. } => Self::new("not_found", message),
            KeyError::Label => Self::new("bad_request", message).with_field("label"),
            _ => Self::internal(&message),
        }
    }
}

/// List keys
///
/// Without their secrets, which nobody has but their holders.
#[utoipa::path(get, path = "/v1/keys", tag = "server", responses((status = 200, body = Vec<KeyInfo>)))]
pub(super) async fn list(State(app): State<App>) -> Json<Vec<KeyInfo>> {
    Json(app.keys.list())
}

/// A key that is to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyIn {
    /// What it is for, in words.
    #[schema(min_length = 1, max_length = 100)]
    label: String,
    /// What it may do.
    role: Role,
}

/// A key that was made, shown this once.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct KeyOut {
    /// What is kept of it.
    #[serde(flatten)]
    info: KeyInfo,
    /// The key itself. Nobody can show it again.
    key: String,
}

/// Make a key
///
/// The first key has to be made by `foldin keys create`, so that nobody can lock others out of a server that has none.
#[utoipa::path(post, path = "/v1/keys", tag = "server", request_body = KeyIn,
    responses((status = 201, body = KeyOut)))]
pub(super) async fn create(
    State(app): State<App>,
    Body(body): Body<KeyIn>,
) -> Result<(StatusCode, Json<KeyOut>), ApiError> {
    if !app.keys.any() {
        let message = "the first key is made on the machine itself, by `foldin keys create`";
        return Err(ApiError::new("conflict", message));
    }
    let (info, key) = blocking(move || app.keys.create(&body.label, body.role, now())).await?;
    Ok((StatusCode::CREATED, Json(KeyOut { info, key })))
}

/// Revoke a key
#[utoipa::path(delete, path = "/v1/keys/{id}", tag = "server",
    params(("id" = String, Path, description = "Name of the key")),
    responses((status = 204, description = "It is no longer known")))]
pub(super) async fn revoke(State(app): State<App>, Key(id): Key) -> Result<StatusCode, ApiError> {
    blocking(move || app.keys.revoke(&id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
