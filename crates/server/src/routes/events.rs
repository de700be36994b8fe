//! What users do.

use std::time::Duration;

use axum::Json;
use axum::body::{BodyDataStream, Bytes};
use axum::extract::{FromRequest, Request, State};
use axum::http::StatusCode;
use foldin_engine::EngineError;
use foldin_engine::store::{Event, StoreError};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::people::rating;
use crate::error::ApiError;
use crate::extract::{Query, content_type, parse, too_large};
use crate::layers::LINES;
use crate::state::{App, now};
use crate::work::blocking;

/// Bytes of lines that are written at a time.
const BULK: usize = 4 << 20;

/// Events that are written as a whole: no more than the store writes at once.
const WHOLE: usize = 10_000;

/// Longest line of a bulk.
const LINE: usize = 64 << 10;

/// A user did something with an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventIn {
    /// Key of the user: any text of at most 512 bytes.
    #[schema(min_length = 1, max_length = 512)]
    pub user: String,
    /// Key of the item, known to the model or not.
    #[schema(min_length = 1, max_length = 512)]
    pub item: String,
    /// What was done: a kind that the configuration names, such as `rating`, `purchase`, `like`, `cart`, `click` or `view`.
    #[serde(default = "rating")]
    pub kind: String,
    /// The number that goes with it, such as the rating.
    #[serde(default)]
    pub value: Option<f32>,
    /// When, in milliseconds since 1970 (UTC); now, unless given.
    #[serde(default)]
    pub time: Option<i64>,
}

impl EventIn {
    fn event(self, now: i64) -> Event {
        Event {
            user: self.user.into(),
            item: self.item.into(),
            kind: self.kind.into(),
            value: self.value,
            time: self.time.unwrap_or(now),
        }
    }
}

/// One event or several.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    reason = "it describes the body, which is read by its first letter so that errors name the place"
)]
pub(crate) enum OneOrManyEvents {
    /// One.
    One(EventIn),
    /// Several: all are written, or none.
    Many(Vec<EventIn>),
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Written {
    /// Number of events.
    pub written: u64,
    /// Number of the last of them in the order of writing.
    pub last: u64,
}

/// Write events
///
/// One event, or an array, of which all are written or none. When the answer comes they are on disk, and in every answer that begins
/// afterwards. The same user, item and kind again replaces the earlier event. As `application/x-ndjson`, an event a line, any number
/// can be sent at once: lines before a bad one are written then, and the error says how many.
#[utoipa::path(post, path = "/v1/events", tag = "events",
    request_body(content((OneOrManyEvents = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 201, body = Written)))]
pub(super) async fn append(
    State(app): State<App>,
    request: Request,
) -> Result<(StatusCode, Json<Written>), ApiError> {
    let content = content_type(request.headers());
    match content.as_str() {
        "" | "application/json" => {
            let bytes = Bytes::from_request(request, &app).await.map_err(too_large)?;
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            let several = first == Some(&b'[');
            let events: Vec<EventIn> = if several { parse(&bytes)? } else { vec![parse(&bytes)?] };
            write(&app, events, several).await.map(|written| (StatusCode::CREATED, Json(written)))
        }
        lines if LINES.contains(&lines) => {
            let written = bulk(&app, request.into_body().into_data_stream()).await?;
            Ok((StatusCode::CREATED, Json(written)))
        }
        other => Err(ApiError::new(
            "wrong_type",
            format!("the body is `{other}`, neither application/json nor application/x-ndjson"),
        )),
    }
}

async fn write(app: &App, events: Vec<EventIn>, several: bool) -> Result<Written, ApiError> {
    let now = now();
    let events: Vec<Event> = events.into_iter().map(|event| event.event(now)).collect();
    let (engine, n) = (app.engine.clone(), events.len() as u64);
    let (result, bad, events) = blocking::<_, ApiError>(move || {
        // One by one, so that the error can say which; the append itself is of all of them.
        let bad = events.iter().position(|event| engine.check(std::slice::from_ref(event)).is_err());
        Ok((engine.append(&events), bad, events))
    })
    .await?;
    let sequence = result.map_err(|error| {
        let at = match &error {
            EngineError::Store(StoreError::Invalid(invalid)) => invalid.index,
            _ => bad,
        };
        let mut refused = ApiError::from(error);
        if let (Some(at), true) = (at, several) {
            refused.field = Some(match refused.field {
                Some(field) => format!("[{at}].{field}"),
                None => format!("[{at}]"),
            });
        }
        refused
    })?;
    app.metrics.events.inc_by(n);
    app.feed.tell(&events);
    Ok(Written { written: n, last: sequence.0 })
}

async fn bulk(app: &App, mut body: BodyDataStream) -> Result<Written, ApiError> {
    let (mut rest, mut read, mut lines) = (Vec::new(), 0usize, 0usize);
    let mut total = Written { written: 0, last: 0 };
    loop {
        let silence = Duration::from_secs(app.config.limits.request_seconds);
        let Ok(chunk) = tokio::time::timeout(silence, body.next()).await else {
            return Err(so_far("timeout", "nothing came for longer than the limit", total));
        };
        let ended = chunk.is_none();
        if let Some(chunk) = chunk {
            let chunk = chunk.map_err(|_| so_far("bad_body", "the body ended early", total))?;
            read += chunk.len();
            if read > app.config.limits.bulk_bytes {
                return Err(so_far(
                    "too_large",
                    "the body is larger than the limit; send it in parts",
                    total,
                ));
            }
            rest.extend_from_slice(&chunk);
        }
        let whole = if ended {
            rest.len()
        } else {
            rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1)
        };
        if rest.len() - whole > LINE {
            return Err(so_far(
                "bad_body",
                &format!("line {} is longer than {LINE} bytes", lines + 1),
                total,
            ));
        }
        if whole > 0 && (ended || rest.len() >= BULK) {
            let part: Vec<u8> = rest.drain(..whole).collect();
            lines = write_lines(app, part, lines, &mut total).await?;
        }
        if ended {
            return Ok(total);
        }
    }
}

/// Writes whole lines; the number of lines read so far.
async fn write_lines(
    app: &App,
    part: Vec<u8>,
    before: usize,
    total: &mut Written,
) -> Result<usize, ApiError> {
    let (engine, now) = (app.engine.clone(), now());
    let work = move || {
        let mut events = Vec::new();
        let mut bad = None;
        let mut number = before;
        for line in part.split(|&byte| byte == b'\n') {
            number += 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let read = parse::<EventIn>(line).map(|event| event.event(now)).and_then(|event| {
                engine.check(std::slice::from_ref(&event))?;
                foldin_engine::store::check::events(std::slice::from_ref(&event))?;
                Ok(event)
            });
            match read {
                Ok(event) => events.push(event),
                Err(error) => {
                    bad = Some((number, error));
                    break;
                }
            }
        }
        // What follows the last line break is an empty line.
        let lines = number - usize::from(part.ends_with(b"\n"));
        // In pieces that are each written as a whole, so that what is written before one that fails is known.
        let mut imported = Vec::new();
        for some in events.chunks(WHOLE) {
            imported.push(engine.store().import(&mut some.iter().cloned()));
            if imported.last().is_some_and(Result::is_err) {
                break;
            }
        }
        Ok((imported, bad, lines, events))
    };
    let (imported, bad, lines, events) = blocking::<_, ApiError>(work).await?;
    for (some, imported) in events.chunks(WHOLE).zip(imported) {
        let imported = imported.map_err(|error| {
            let error = ApiError::from(error);
            so_far(error.code, &error.message, *total)
        })?;
        app.metrics.events.inc_by(imported.events);
        app.feed.tell(some);
        total.written += imported.events;
        total.last = total.last.max(imported.last.0);
    }
    match bad {
        None => Ok(lines),
        Some((number, error)) => {
            let code = if error.code == "bad_body" { "bad_event" } else { error.code };
            let mut refused = so_far(code, &format!("line {number}: {}", error.message), *total);
            refused.field = error.field;
            Err(refused)
        }
    }
}

fn so_far(code: &'static str, message: &str, total: Written) -> ApiError {
    let kept = match total.written {
        0 => "nothing was written".to_owned(),
        n => format!("the {n} events before it are written"),
    };
    ApiError::new(code, format!("{message}; {kept}"))
}

/// Which event.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichEvent {
    /// Key of the user.
    user: String,
    /// Key of the item.
    item: String,
    /// The kind.
    #[serde(default = "rating")]
    #[param(default = "rating")]
    kind: String,
}

/// Delete an event
///
/// As if it had never been.
#[utoipa::path(delete, path = "/v1/events", tag = "events", params(WhichEvent),
    responses((status = 204, description = "It is gone")))]
pub(super) async fn delete(
    State(app): State<App>,
    Query(which): Query<WhichEvent>,
) -> Result<StatusCode, ApiError> {
    let WhichEvent { user, item, kind } = which;
    let deleted =
        blocking::<_, EngineError>(move || Ok(app.engine.store().delete_event(&user, &item, &kind)?)).await?;
    if deleted {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::new("not_found", "there is no such event"))
    }
}
