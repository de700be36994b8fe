//! Everything that is read, each within one read transaction: one moment, untouched by writers.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, TableDefinition};

use super::layout::{
    EVENTS, ITEMS, LEDGER_KEY, Ledger, META, Row, SETTINGS, USER_KEYS, USERS, events_of, split_event_key,
    split_user_row,
};
use super::trouble::Trouble;
use crate::store::types::Gathered;
use crate::store::{Counts, Event, ItemRecord, JsonMap, Sequence, User, UserRecord};

/// A store as of one moment.
#[derive(Debug)]
pub(super) struct Reading(pub(super) ReadTransaction);

impl Reading {
    pub(super) fn ledger(&self) -> Result<Ledger, Trouble> {
        match self.0.open_table(META)?.get(LEDGER_KEY)? {
            Some(row) => Ledger::decode(row.value()),
            None => Err(Trouble::Damaged("there is no ledger".into())),
        }
    }

    pub(super) fn counts(&self) -> Result<Counts, Trouble> {
        Ok(self.ledger()?.counts())
    }

    pub(super) fn history(&self, user: &str, limit: usize) -> Result<Vec<Event>, Trouble> {
        Ok(self.record(user, limit)?.owned(&user.into()).collect())
    }

    pub(super) fn record(&self, user: &str, limit: usize) -> Result<UserRecord, Trouble> {
        let (number, features) = match self.0.open_table(USERS)?.get(user)? {
            Some(row) => {
                let (number, features) = split_user_row(row.value())?;
                (number, decode_features(features)?)
            }
            None => return Ok(UserRecord::default()),
        };
        let (mut gathered, kinds) = (Gathered::default(), self.ledger()?.kind_names());
        let events = self.0.open_table(EVENTS)?;
        let (low, high) = events_of(number);
        for entry in events.range::<&[u8]>(low.as_slice()..high.as_slice())? {
            let (key, row) = entry?;
            let (_, kind, item) = split_event_key(key.value())?;
            push(&mut gathered, &kinds, row.value(), kind, item)?;
        }
        Ok(gathered.take(features, &kinds, limit))
    }

    /// Both tables are in order of the users' numbers, so one pass over each is enough.
    pub(super) fn scan(
        &self,
        after: Option<Sequence>,
        each: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<Sequence, Trouble> {
        let ledger = self.ledger()?;
        let last = Sequence(ledger.sequence);
        if after.is_some_and(|after| after >= last) {
            return Ok(last);
        }
        let (keys, events) = (self.0.open_table(USER_KEYS)?, self.0.open_table(EVENTS)?);
        let mut users = keys.iter()?;
        let mut user: Option<(u32, Arc<str>)> = None;
        let (mut gathered, kinds) = (Gathered::default(), ledger.kind_names());
        let mut hand_over = |gathered: &mut Gathered, user: &Arc<str>| {
            gathered.take(JsonMap::new(), &kinds, usize::MAX).owned(user).try_for_each(&mut *each)
        };
        for entry in events.iter()? {
            let (key, row) = entry?;
            let (number, kind, item) = split_event_key(key.value())?;
            if user.as_ref().is_none_or(|(current, _)| *current != number) {
                if let Some((_, key)) = &user
                    && hand_over(&mut gathered, key).is_break()
                {
                    return Ok(last);
                }
                user = loop {
                    let (of, key) = users
                        .next()
                        .ok_or_else(|| Trouble::Damaged(format!("no user has number {number}")))??;
                    if of.value() == number {
                        break Some((number, key.value().into()));
                    }
                };
            }
            let row = row.value();
            if after.is_none_or(|after| row.sequence > after.0) {
                push(&mut gathered, &kinds, row, kind, item)?;
            }
        }
        if let Some((_, key)) = &user {
            let _ = hand_over(&mut gathered, key);
        }
        Ok(last)
    }

    pub(super) fn user(&self, key: &str) -> Result<Option<User>, Trouble> {
        match self.0.open_table(USERS)?.get(key)? {
            Some(row) => self.user_of(key, row.value()).map(Some),
            None => Ok(None),
        }
    }

    pub(super) fn users(&self, after: Option<&str>, limit: usize) -> Result<Vec<User>, Trouble> {
        self.page(USERS, after, limit, |key, row| self.user_of(key, row))
    }

    fn user_of(&self, key: &str, row: &[u8]) -> Result<User, Trouble> {
        let (number, features) = split_user_row(row)?;
        let features = decode_features(features)?;
        let (low, high) = events_of(number);
        let mut events = 0;
        for entry in self.0.open_table(EVENTS)?.range::<&[u8]>(low.as_slice()..high.as_slice())? {
            entry?;
            events += 1;
        }
        Ok(User { key: key.into(), features, events })
    }

    pub(super) fn item(&self, key: &str) -> Result<Option<ItemRecord>, Trouble> {
        self.0.open_table(ITEMS)?.get(key)?.map(|row| item_record(row.value())).transpose()
    }

    pub(super) fn items(&self, after: Option<&str>, limit: usize) -> Result<Vec<ItemRecord>, Trouble> {
        self.page(ITEMS, after, limit, |_, row| item_record(row))
    }

    pub(super) fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(self.0.open_table(SETTINGS)?.get(name)?.map(|row| row.value().to_vec()))
    }

    fn page<T>(
        &self,
        table: TableDefinition<'_, &'static str, &'static [u8]>,
        after: Option<&str>,
        limit: usize,
        make: impl Fn(&str, &[u8]) -> Result<T, Trouble>,
    ) -> Result<Vec<T>, Trouble> {
        let table = self.0.open_table(table)?;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rows = table.range::<&str>((from, Bound::Unbounded))?.take(limit);
        rows.map(|entry| {
            let (key, row) = entry?;
            make(key.value(), row.value())
        })
        .collect()
    }
}

fn push(gathered: &mut Gathered, kinds: &[Arc<str>], row: Row, kind: u8, item: &str) -> Result<(), Trouble> {
    if usize::from(kind) >= kinds.len() {
        return Err(Trouble::Damaged(format!("no kind has number {kind}")));
    }
    gathered.push(item, kind, row.value, row.time, row.sequence);
    Ok(())
}

fn decode_features(features: &[u8]) -> Result<JsonMap, Trouble> {
    serde_json::from_slice(features)
        .map_err(|error| Trouble::Damaged(format!("the features of a user: {error}")))
}

fn item_record(row: &[u8]) -> Result<ItemRecord, Trouble> {
    serde_json::from_slice(row).map_err(|error| Trouble::Damaged(format!("the record of an item: {error}")))
}
