//! Versions of the model, and training.

use std::convert::Infallible;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use foldin_engine::TrainOptions;
use foldin_engine::versions::Version;
use futures_util::Stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::until_it_ends;
use crate::error::ApiError;
use crate::extract::{Body, Key};
use crate::jobs::Job;
use crate::state::{App, now};
use crate::work::blocking;

/// List versions
///
/// Oldest first, with the settings and figures of each, and how it was judged.
#[utoipa::path(get, path = "/v1/models", tag = "models", responses((status = 200, body = Vec<Version>)))]
pub(super) async fn list(State(app): State<App>) -> Result<Json<Vec<Version>>, ApiError> {
    blocking(move || app.versions.list()).await.map(Json)
}

/// What serves now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Serves {
    /// Name of the version.
    serving: String,
}

/// Puts a version into service; the one that serves stays if it cannot be loaded.
async fn put_into_service(app: App, name: Option<String>) -> Result<Json<Serves>, ApiError> {
    let to = app.clone();
    let serving = blocking(move || match name {
        Some(name) => to.versions.put_into_service(&to.engine, &name).map(|()| name),
        None => to.versions.roll_back(&to.engine),
    })
    .await?;
    app.version_serves();
    tracing::info!(version = %serving, "put into service");
    Ok(Json(Serves { serving }))
}

/// Put a version into service
///
/// Requests that have begun end with the version they began with; none fails.
#[utoipa::path(post, path = "/v1/models/{version}/promote", tag = "models",
    params(("version" = String, Path, description = "Name of the version")),
    responses((status = 200, body = Serves)))]
pub(super) async fn promote(State(app): State<App>, Key(name): Key) -> Result<Json<Serves>, ApiError> {
    put_into_service(app, Some(name)).await
}

/// Go back to the version that served before
#[utoipa::path(post, path = "/v1/models/rollback", tag = "models", responses((status = 200, body = Serves)))]
pub(super) async fn roll_back(State(app): State<App>) -> Result<Json<Serves>, ApiError> {
    put_into_service(app, None).await
}

/// Remove a version
///
/// Not the one that serves.
#[utoipa::path(delete, path = "/v1/models/{version}", tag = "models",
    params(("version" = String, Path, description = "Name of the version")),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn remove(State(app): State<App>, Key(name): Key) -> Result<StatusCode, ApiError> {
    let versions = app.versions.clone();
    blocking(move || versions.remove(&name)).await?;
    app.forget_beside();
    Ok(StatusCode::NO_CONTENT)
}

/// Train a new version
///
/// From the store's events, in the background. It is judged against the version that serves on the latest events, and put into service
/// only if it is not worse.
#[utoipa::path(post, path = "/v1/train", tag = "models", request_body = TrainOptions,
    responses((status = 202, body = Job)))]
pub(super) async fn train(
    State(app): State<App>,
    Body(options): Body<TrainOptions>,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    foldin_engine::train::check(&options)?;
    foldin_engine::train::model(&app.engine.live(), &options)?;
    let noting = app.clone();
    let job = app.jobs.train(app.engine.clone(), app.versions.clone(), options, move || noting.trained())?;
    Ok((StatusCode::ACCEPTED, Json(job)))
}

/// List training runs
///
/// Since the server started, the latest first.
#[utoipa::path(get, path = "/v1/jobs", tag = "models", responses((status = 200, body = Vec<Job>)))]
pub(super) async fn jobs(State(app): State<App>) -> Json<Vec<Job>> {
    Json(app.jobs.list())
}

/// Show a training run
#[utoipa::path(get, path = "/v1/jobs/{id}", tag = "models",
    params(("id" = String, Path, description = "Number of the run")),
    responses((status = 200, body = Job)))]
pub(super) async fn job(State(app): State<App>, Key(id): Key) -> Result<Json<Job>, ApiError> {
    app.jobs.get(&id).map(Json)
}

/// Watch a training run
///
/// Server-sent events: the run as it is now, and again whenever it changes, until it ends.
#[utoipa::path(get, path = "/v1/jobs/{id}/events", tag = "models",
    params(("id" = String, Path, description = "Number of the run")),
    responses((status = 200, content_type = "text/event-stream", body = String)))]
pub(super) async fn job_events(
    State(app): State<App>,
    Key(id): Key,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    Ok(until_it_ends(app.jobs.watch(&id)?, "job"))
}

/// Cancel a training run
///
/// It ends after its epoch, and nothing of it stays.
#[utoipa::path(delete, path = "/v1/jobs/{id}", tag = "models",
    params(("id" = String, Path, description = "Number of the run")),
    responses((status = 202, body = Job)))]
pub(super) async fn cancel(
    State(app): State<App>,
    Key(id): Key,
) -> Result<(StatusCode, Json<Job>), ApiError> {
    Ok((StatusCode::ACCEPTED, Json(app.jobs.cancel(&id)?)))
}

impl App {
    /// What follows a training run, however it ended.
    pub(crate) fn trained(&self) {
        self.version_serves();
        let keep = self.config.train.keep_versions;
        if keep == 0 {
            return;
        }
        match self.versions.prune(keep) {
            Ok(gone) if gone.is_empty() => {}
            Ok(gone) => {
                self.forget_beside();
                tracing::info!(versions = %gone.join(", "), "removed old versions");
            }
            Err(error) => tracing::warn!(%error, "old versions could not be removed"),
        }
    }

    /// Takes note of a version that was put into service: in the figures, and by making ready in the background what it answers quicker with.
    pub(crate) fn version_serves(&self) {
        let live = self.engine.live();
        let version = live.serving().version().parse().unwrap_or(0);
        if self.metrics.model_version.set(version) != version || self.metrics.model_since.get() == 0 {
            self.metrics.model_since.set(now() / 1000);
        }
        if !self.engine.is_to_be_clustered(&live) {
            return;
        }
        let threads = self.config.train.options.threads;
        let work = move || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            match pool {
                Ok(pool) => pool.install(|| live.serving().cluster()),
                Err(error) => tracing::warn!(%error, "no threads to cluster items on: answers stay exact"),
            }
        };
        if let Err(error) = std::thread::Builder::new().name("clusters".to_owned()).spawn(work) {
            tracing::warn!(%error, "no thread to cluster items on: answers stay exact");
        }
    }
}
