//! Records of users who were asked for lately, so that another answer to them need not read the file.

use std::sync::Arc;

use super::apply::Change;
use crate::kept::{KeptByUser, Weigh};
use crate::store::UserRecord;

/// Bytes of a usual record.
const USUAL: usize = 4096;

/// Records by user. Whoever commits takes the changed users out before the writers hear of it, and a record that was read while somebody committed
/// is not kept.
#[derive(Debug)]
pub(super) struct Recent(KeptByUser<Read>);

/// A record with the limit it was read with.
#[derive(Clone, Debug)]
struct Read {
    record: Arc<UserRecord>,
    limit: usize,
}

impl Weigh for Read {
    fn bytes(&self) -> usize {
        self.record.bytes()
    }
}

impl Recent {
    pub(super) fn new(bytes: usize) -> Self {
        Self(KeptByUser::new(bytes, USUAL))
    }

    /// The record of a user, read if it is not at hand.
    pub(super) fn get<E>(
        &self,
        user: &str,
        limit: usize,
        read: impl FnOnce() -> Result<UserRecord, E>,
    ) -> Result<Arc<UserRecord>, E> {
        if let Some(kept) = self.0.get(user)
            && kept.limit == limit
        {
            return Ok(kept.record);
        }
        let as_of = self.0.as_of();
        let record = Arc::new(read()?);
        self.0.put(as_of, user, Read { record: record.clone(), limit });
        Ok(record)
    }

    /// Takes out whom the changes concern. Called after they are committed, before anybody is told.
    pub(super) fn changed(&self, changes: &[Change]) {
        self.0.change(|out| {
            for change in changes {
                match change {
                    Change::Append(events) => {
                        events.chunk_by(|a, b| a.user == b.user).for_each(|of_one| out(&of_one[0].user));
                    }
                    Change::DeleteEvent { user: key, .. }
                    | Change::PutUser { key, .. }
                    | Change::Forget { key } => out(key),
                    Change::PutItems(_) | Change::DeleteItem { .. } | Change::PutSetting { .. } => {}
                }
            }
        });
    }

    /// Takes out everybody.
    pub(super) fn clear(&self) {
        self.0.clear();
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
}
