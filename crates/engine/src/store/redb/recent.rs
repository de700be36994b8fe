//! Records of users who were asked for lately, so that another answer to them need not read the file.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::apply::Change;
use crate::store::UserRecord;

/// Bytes of a usual record, by which the cache guesses how many there will be.
const USUAL: u64 = 4096;

/// Records by user, the least useful going first. What was written is never hidden: whoever commits takes the changed users out before
/// the writers hear of it, and a record that was read while somebody committed is not kept.
#[derive(Debug)]
pub(super) struct Recent {
    records: Cache<Arc<str>, Kept, Bytes>,
    commits: AtomicU64,
    /// Held while records are put in or taken out.
    changing: Mutex<()>,
}

/// A record with the limit it was read with.
#[derive(Clone, Debug)]
struct Kept {
    record: Arc<UserRecord>,
    limit: usize,
}

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Arc<str>, Kept> for Bytes {
    fn weight(&self, user: &Arc<str>, kept: &Kept) -> u64 {
        (user.len() + kept.record.bytes()) as u64
    }
}

impl Recent {
    pub(super) fn new(bytes: usize) -> Self {
        let bytes = bytes as u64;
        Self {
            records: Cache::with_weighter((bytes / USUAL) as usize, bytes, Bytes),
            commits: AtomicU64::new(0),
            changing: Mutex::new(()),
        }
    }

    /// The record of a user, read if it is not at hand.
    pub(super) fn get<E>(
        &self,
        user: &str,
        limit: usize,
        read: impl FnOnce() -> Result<UserRecord, E>,
    ) -> Result<Arc<UserRecord>, E> {
        if let Some(kept) = self.records.get(user)
            && kept.limit == limit
        {
            return Ok(kept.record);
        }
        let commits = self.commits.load(Ordering::Acquire);
        let record = Arc::new(read()?);
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.commits.load(Ordering::Acquire) == commits {
            self.records.insert(user.into(), Kept { record: record.clone(), limit });
        }
        Ok(record)
    }

    /// Takes out whom the changes concern. Called after they are committed, before anybody is told.
    pub(super) fn changed(&self, changes: &[Change]) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.commits.fetch_add(1, Ordering::AcqRel);
        let remove = |user: &str| drop(self.records.remove(user));
        for change in changes {
            match change {
                Change::Append(events) => {
                    events.chunk_by(|a, b| a.user == b.user).for_each(|of_one| remove(&of_one[0].user));
                }
                Change::DeleteEvent { user: key, .. }
                | Change::PutUser { key, .. }
                | Change::Forget { key } => remove(key),
                Change::PutItems(_) | Change::DeleteItem { .. } | Change::PutSetting { .. } => {}
            }
        }
    }

    /// Takes out everybody.
    pub(super) fn clear(&self) {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.commits.fetch_add(1, Ordering::AcqRel);
        self.records.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::types::Gathered;
    use crate::store::{Event, JsonMap};

    fn record(items: &[&str]) -> UserRecord {
        let mut gathered = Gathered::default();
        items.iter().for_each(|item| gathered.push(item, 0, None, 0, 0));
        gathered.take(JsonMap::new(), &Arc::from(["rating".into()]), usize::MAX)
    }

    fn get(recent: &Recent, user: &str, limit: usize, items: &[&str]) -> usize {
        recent.get(user, limit, || Ok::<_, ()>(record(items))).unwrap().events().len()
    }

    #[test]
    fn what_is_at_hand_is_not_read_until_it_changes() {
        let recent = Recent::new(1 << 20);
        assert_eq!(get(&recent, "u", 9, &["a"]), 1);
        assert_eq!(get(&recent, "u", 9, &["a", "b"]), 1, "at hand");
        assert_eq!(get(&recent, "u", 8, &["a", "b"]), 2, "another limit");
        recent.changed(&[Change::Append(vec![Event::new("v", "a", "rating", 0)])]);
        assert_eq!(get(&recent, "u", 8, &[]), 2, "somebody else's event");
        recent.changed(&[Change::Append(vec![Event::new("u", "a", "rating", 0)])]);
        assert_eq!(get(&recent, "u", 8, &["a", "b", "c"]), 3);
        for change in [
            Change::Forget { key: "u".into() },
            Change::PutUser { key: "u".into(), features: Vec::new() },
            Change::DeleteEvent { user: "u".into(), item: "a".into(), kind: "rating".into() },
        ] {
            get(&recent, "u", 8, &["a"]);
            recent.changed(&[change]);
            assert_eq!(get(&recent, "u", 8, &["a", "b"]), 2);
            recent.clear();
        }
    }

    #[test]
    fn a_record_read_while_somebody_commits_is_not_kept() {
        let recent = Recent::new(1 << 20);
        let read = || {
            recent.changed(&[Change::Append(vec![Event::new("u", "a", "rating", 0)])]);
            Ok::<_, ()>(record(&[]))
        };
        assert_eq!(recent.get("u", 9, read).unwrap().events().len(), 0);
        assert_eq!(get(&recent, "u", 9, &["a"]), 1);
    }

    #[test]
    fn it_holds_no_more_than_it_may() {
        let recent = Recent::new(10_000);
        for user in 0..1000 {
            get(&recent, &format!("u{user}"), 9, &["a", "b", "c"]);
        }
        assert!(recent.records.weight() <= 10_000 && recent.records.len() < 100);
        assert!(!recent.records.is_empty());
    }
}
