//! What is written, told to whoever watches.

use std::sync::{Mutex, PoisonError};

use foldin_engine::store::Event;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use utoipa::ToSchema;

/// Writes that a watcher may be behind; one that is slower misses the oldest.
const BEHIND: usize = 256;

/// Events of one write that are told; a bulk is only counted beyond.
const TOLD: usize = 20;

/// Most watchers at the same time.
pub(crate) const WATCHERS: usize = 64;

/// An event as it is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Told {
    /// Key of the user.
    pub(crate) user: String,
    /// Key of the item.
    pub(crate) item: String,
    /// Title of the item; its key where none is known.
    pub(crate) title: String,
    /// What was done.
    pub(crate) kind: String,
    /// The number that went with it.
    pub(crate) value: Option<f32>,
    /// When, in milliseconds since 1970, by whoever wrote it.
    pub(crate) time: i64,
}

/// One write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Write {
    /// Its first events.
    pub(crate) events: Vec<Told>,
    /// How many more there were.
    pub(crate) more: usize,
}

/// Told what is written, as long as the server runs.
#[derive(Debug)]
pub(crate) struct Feed(Mutex<Option<broadcast::Sender<Write>>>);

impl Default for Feed {
    fn default() -> Self {
        Self(Mutex::new(Some(broadcast::Sender::new(BEHIND))))
    }
}

impl Feed {
    fn sender(&self) -> Option<broadcast::Sender<Write>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells of events. Costs next to nothing while nobody watches.
    pub(crate) fn tell(&self, events: &[Event]) {
        let Some(sender) = self.sender().filter(|sender| sender.receiver_count() > 0) else { return };
        if events.is_empty() {
            return;
        }
        let told = events.iter().take(TOLD).map(|event| Told {
            user: event.user.to_string(),
            item: event.item.to_string(),
            // Whoever reads knows the catalogue.
            title: event.item.to_string(),
            kind: event.kind.to_string(),
            value: event.value,
            time: event.time,
        });
        let more = events.len().saturating_sub(TOLD);
        // The last watcher may have gone meanwhile.
        let _ = sender.send(Write { events: told.collect(), more });
    }

    /// Watches; none when too many do, or the server stops.
    pub(crate) fn watch(&self) -> Option<broadcast::Receiver<Write>> {
        let sender = self.sender().filter(|sender| sender.receiver_count() < WATCHERS)?;
        Some(sender.subscribe())
    }

    /// Ends every watching.
    pub(crate) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}
