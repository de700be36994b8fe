//! What is worked out about somebody before an answer, kept while nothing new is known of them.

use std::sync::{Arc, OnceLock};

use foldin_core::Factors;

use crate::error::EngineError;
use crate::history::History;
use crate::kept::{KeptByUser, Weigh};
use crate::serving::Serving;
use crate::store::UserRecord;

/// Bytes of what is usually kept of a user.
const USUAL: usize = 6144;

/// A history in the numbers of one model, and what the model generates from it, once it is asked to.
#[derive(Debug, Default)]
pub struct Prepared {
    history: History,
    factors: OnceLock<Option<Factors>>,
}

impl From<History> for Prepared {
    fn from(history: History) -> Self {
        Self { history, factors: OnceLock::new() }
    }
}

impl Prepared {
    /// The history.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// The factors with their covariance, generated at the first call; none by a model that generates none.
    ///
    /// # Errors
    /// [`EngineError::Score`] where the model refuses.
    pub fn factors(&self, serving: &Serving) -> Result<Option<&Factors>, EngineError> {
        if let Some(factors) = self.factors.get() {
            return Ok(factors.as_ref());
        }
        let made = match serving.generator() {
            Some((generator, _)) => Some(generator.generate_with_covariance(&[self.history.view()])?),
            None => None,
        };
        Ok(self.factors.get_or_init(|| made).as_ref())
    }

    /// About how much memory it takes, factors included that are still to come.
    fn bytes(&self, serving: &Serving) -> usize {
        let factors = serving.generator().map_or(0, |(generator, _)| {
            let k = generator.items().k;
            let covariance = if serving.model().capabilities().uncertainty { (k + 1) * (k + 1) } else { 0 };
            k + 1 + covariance
        });
        let History { items, values, seen, features, .. } = &self.history;
        let numbers =
            items.capacity() + values.capacity() + seen.capacity() + 2 * features.columns.capacity();
        size_of::<Self>() + (numbers + factors) * size_of::<f32>()
    }
}

/// The users asked for lately. What is kept of one holds as long as the store hands out the same record and the same model serves.
#[derive(Debug)]
pub(crate) struct PreparedUsers(KeptByUser<Kept>);

#[derive(Clone, Debug)]
struct Kept {
    record: Arc<UserRecord>,
    /// Number of the model in service.
    live: u64,
    prepared: Arc<Prepared>,
    bytes: usize,
}

impl Weigh for Kept {
    fn bytes(&self) -> usize {
        self.bytes
    }
}

impl PreparedUsers {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(KeptByUser::new(bytes, USUAL))
    }

    /// What is kept of a user by this model, if it was made of the record that `read` gives; otherwise what `make` makes of it. What is made of
    /// somebody who is forgotten meanwhile is not kept.
    pub(crate) fn get(
        &self,
        user: &str,
        (serving, live): (&Serving, u64),
        read: impl FnOnce() -> Result<Arc<UserRecord>, EngineError>,
        make: impl FnOnce(&UserRecord) -> Result<History, EngineError>,
    ) -> Result<Arc<Prepared>, EngineError> {
        let as_of = self.0.as_of();
        let record = read()?;
        if let Some(kept) = self.0.get(user)
            && kept.live == live
            && Arc::ptr_eq(&kept.record, &record)
        {
            return Ok(kept.prepared);
        }
        let prepared = Arc::new(Prepared::from(make(&record)?));
        // A store that keeps no records hands out another one each time, and nothing would be found again.
        if Arc::strong_count(&record) == 1 {
            return Ok(prepared);
        }
        let bytes = prepared.bytes(serving) + record.bytes();
        self.0.put(as_of, user, Kept { record, live, prepared: prepared.clone(), bytes });
        Ok(prepared)
    }

    /// Forgets everybody, as another model serves.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }

    /// Forgets a user.
    pub(crate) fn forget(&self, user: &str) {
        self.0.change(|out| out(user));
    }
}
