//! What is written, as it is written.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::{Stream, StreamExt};
use tokio_stream::wrappers::BroadcastStream;

use crate::error::ApiError;
use crate::feed::{WATCHERS, Write};
use crate::state::App;

/// Watch events
///
/// Server-sent events named `write`, one for each write from now on: its first events, and how many more there were. A watcher that cannot follow
/// misses some. Ends when the server stops.
#[utoipa::path(get, path = "/v1/events/feed", tag = "events",
    responses((status = 200, content_type = "text/event-stream", body = Write)))]
pub(super) async fn feed(
    State(app): State<App>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Some(writes) = app.feed.watch() else {
        let message = format!("{WATCHERS} watch already; try again when one has left");
        return Err(ApiError::new("overloaded", message));
    };
    let told = BroadcastStream::new(writes).filter_map(move |write| {
        let event = write.ok().map(|mut write| {
            let live = app.engine.live();
            let catalogue = live.catalogue();
            for event in &mut write.events {
                let known = live.serving().item(&event.item).ok().map(|item| catalogue.details(item));
                if let Some(details) = known.or_else(|| catalogue.other(&event.item)) {
                    event.title.clone_from(&details.title);
                }
            }
            Ok(Event::default().event("write").json_data(&write).unwrap_or_default())
        });
        std::future::ready(event)
    });
    Ok(Sse::new(told).keep_alive(KeepAlive::default()))
}
