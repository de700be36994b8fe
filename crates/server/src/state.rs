//! What all requests share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use foldin_engine::{Engine, Live, Versions};

use crate::config::ServerConfig;
use crate::design::{Designer, Designs};
use crate::error::ApiError;
use crate::feed::Feed;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::metrics::Metrics;

/// What all requests share; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) engine: Arc<Engine>,
    pub(crate) versions: Versions,
    pub(crate) keys: Arc<Keys>,
    pub(crate) jobs: Arc<Jobs>,
    /// What designs new items, if anything does.
    pub(crate) designer: Option<Arc<dyn Designer>>,
    pub(crate) designs: Arc<Designs>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) started: i64,
    pub(crate) beside: Arc<Mutex<Beside>>,
    /// Held while a backup is made.
    pub(crate) backing_up: Arc<tokio::sync::Mutex<()>>,
}

/// Versions that answered beside the one in service.
#[derive(Debug, Default)]
pub(crate) struct Beside {
    /// The latest last.
    versions: Vec<Arc<Live>>,
    /// How often they were forgotten.
    changes: u64,
}

/// Versions kept loaded beside the one in service.
const BESIDE: usize = 2;

impl App {
    /// A version by name: the one in service, one that is loaded already, or one that is loaded now.
    pub(crate) fn version(&self, name: &str) -> Result<Arc<Live>, ApiError> {
        let live = self.engine.live();
        if live.serving().version() == name {
            return Ok(live);
        }
        let loaded_before =
            self.beside().versions.iter().find(|known| known.serving().version() == name).cloned();
        if let Some(known) = loaded_before {
            return Ok(known);
        }
        // Without the lock: loading may take seconds. What changes meanwhile may be missing in what was loaded, and so it is not kept then.
        let as_of = self.beside().changes;
        let loaded = Arc::new(self.engine.beside(self.versions.load(name)?)?);
        let mut beside = self.beside();
        let kept = beside.versions.iter().any(|known| known.serving().version() == name);
        if beside.changes == as_of && !kept {
            if beside.versions.len() == BESIDE {
                beside.versions.remove(0);
            }
            beside.versions.push(loaded.clone());
        }
        Ok(loaded)
    }

    /// Forgets versions beside the one in service: items or versions changed.
    pub(crate) fn forget_beside(&self) {
        let mut beside = self.beside();
        beside.versions.clear();
        beside.changes += 1;
    }

    fn beside(&self) -> MutexGuard<'_, Beside> {
        self.beside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
