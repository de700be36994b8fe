//! How the server is doing.

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use foldin_core::{Field, FieldKind};
use foldin_engine::store::Counts;
use foldin_engine::{EngineError, VersionError};
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::Limits;
use crate::design::Workshop;
use crate::error::ApiError;
use crate::keys::KeyInfo;
use crate::metrics::resident_memory;
use crate::state::{App, now};
use crate::work::blocking;

/// Whether it is well.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// Always `ok`.
    status: &'static str,
}

/// Whether the process is alive
#[utoipa::path(get, path = "/health/live", tag = "server", security(()),
    responses((status = 200, body = Health)))]
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether requests can be answered
///
/// Reads from the store.
#[utoipa::path(get, path = "/health/ready", tag = "server", security(()),
    responses((status = 200, body = Health)))]
pub(super) async fn ready(State(app): State<App>) -> Result<Json<Health>, ApiError> {
    // Answered on the spot: it takes microseconds, and nobody can pile it up.
    app.engine.store().counts().map_err(EngineError::from)?;
    Ok(Json(Health { status: "ok" }))
}

/// Figures for Prometheus
///
/// In the OpenMetrics text format: requests and latencies by route, time of recommending, events, version, store, memory.
#[utoipa::path(get, path = "/metrics", tag = "server", security(()),
    responses((status = 200, content_type = "application/openmetrics-text", body = String)))]
pub(super) async fn metrics(State(app): State<App>) -> Result<impl IntoResponse, ApiError> {
    let counts = app.engine.store().counts().map_err(EngineError::from)?;
    app.metrics.stored_events.set(i64::try_from(counts.events).unwrap_or(i64::MAX));
    app.metrics.stored_users.set(i64::try_from(counts.users).unwrap_or(i64::MAX));
    let text = app.metrics.render();
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text))
}

/// What the server holds.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// Version of Foldin.
    version: &'static str,
    /// When the server started, in milliseconds since 1970.
    started: i64,
    /// The clock of the server, the same.
    now: i64,
    /// Name of the model in service.
    model: String,
    /// Its version.
    model_version: String,
    /// Items that the model knows.
    model_items: usize,
    /// Users, items and events in the store.
    store: Counts,
    /// Resident memory in bytes, where the system tells.
    memory: Option<u64>,
    /// Whether a training run is under way.
    training: bool,
    /// What new items can be designed, by a server that was started with a generator.
    designs: Option<Workshop>,
    /// The rating scale, of a model of ratings.
    #[schema(value_type = Object)]
    scale: Option<foldin_core::RatingScale>,
    /// Kinds of events and what they mean.
    kinds: foldin_engine::Kinds,
    /// What the model can use of what is known of a user; anything else is kept and said nothing by.
    user_fields: Vec<UserField>,
    /// What is refused so that everything else goes on.
    limits: Limits,
    /// The key that asks; none where none is needed.
    key: Option<KeyInfo>,
}

/// A field of side information of users.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct UserField {
    /// Its name.
    name: String,
    /// What it holds.
    kind: UserFieldKind,
    /// The values that the model knows; empty for a number.
    values: Vec<String>,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UserFieldKind {
    /// A number.
    Number,
    /// One of the values.
    Value,
    /// Any of the values, as an array.
    Values,
}

fn user_field(field: &Field) -> UserField {
    let (kind, values) = match &field.kind {
        FieldKind::Numeric { .. } => (UserFieldKind::Number, Vec::new()),
        FieldKind::Category { values } => (UserFieldKind::Value, values.clone()),
        FieldKind::MultiCategory { values } => (UserFieldKind::Values, values.clone()),
    };
    UserField { name: field.name.clone(), kind, values }
}

/// What the server holds
#[utoipa::path(get, path = "/v1/stats", tag = "server", responses((status = 200, body = Stats)))]
pub(super) async fn stats(
    State(app): State<App>,
    key: Option<Extension<KeyInfo>>,
) -> Result<Json<Stats>, ApiError> {
    let engine = app.engine.clone();
    let store = blocking::<_, EngineError>(move || Ok(engine.store().counts()?)).await?;
    let live = app.engine.live();
    let serving = live.serving();
    Ok(Json(Stats {
        version: env!("CARGO_PKG_VERSION"),
        started: app.started,
        now: now(),
        model: serving.model().name().to_owned(),
        model_version: serving.version().to_owned(),
        model_items: serving.n_items(),
        store,
        memory: resident_memory(),
        training: app.jobs.is_running(),
        designs: app.designer.as_ref().map(|designer| designer.workshop()),
        scale: serving.feedback().scale(),
        kinds: app.engine.options().kinds.clone(),
        user_fields: serving.loaded().user_schema.fields().iter().map(user_field).collect(),
        limits: app.config.limits.clone(),
        key: key.map(|Extension(key)| key),
    }))
}

/// A backup that was made.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Backup {
    /// Name of the file in the server's folder of backups.
    file: String,
    /// Its size.
    bytes: u64,
    /// Events, users and items in it, or a few less than are there by now.
    store: Counts,
}

/// Back the store up
///
/// Everything as of one moment, into a new file of the server's folder of backups, while reading and writing go on. A store folder with this file in
/// the place of `events.redb` is the store of that moment; nothing of forgotten users is in it.
#[utoipa::path(post, path = "/v1/backup", tag = "server", responses((status = 201, body = Backup)))]
pub(super) async fn backup(State(app): State<App>) -> Result<(StatusCode, Json<Backup>), ApiError> {
    let Some(folder) = app.config.backups.clone() else {
        let message = "this server has no folder of backups: start it with --store DIR, or set `backups` in its configuration";
        return Err(ApiError::new("unsupported", message));
    };
    let Ok(alone) = app.backing_up.clone().try_lock_owned() else {
        return Err(ApiError::new("conflict", "a backup is being made: wait for it"));
    };
    let made = blocking::<_, ApiError>(move || {
        let _alone = alone;
        let file = format!("events-{}.redb", now());
        let path = folder.join(&file);
        let failed = |source| ApiError::from(VersionError::Io { path: folder.clone(), source });
        std::fs::create_dir_all(&folder).map_err(failed)?;
        let store = app.engine.store();
        let counts = store.counts()?;
        store.backup(&path)?;
        let bytes = std::fs::metadata(&path).map_err(failed)?.len();
        tracing::info!(file, bytes, "backed up");
        Ok(Backup { file, bytes, store: counts })
    });
    Ok((StatusCode::CREATED, Json(made.await?)))
}
