//! Everything that is read, each within one read transaction: one moment, untouched by writers.

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, TableDefinition};

use super::layout::{
    EVENTS, ITEMS, LEDGER_KEY, Ledger, META, Row, SETTINGS, USER_KEYS, USERS, events_of, split_event_key,
    split_user_row,
};
use super::trouble::Trouble;
use crate::store::{Counts, Event, ItemRecord, JsonMap, Sequence, User};

/// A store as of one moment.
#[derive(Debug)]
pub(super) struct Reading(pub(super) ReadTransaction);

/// One user's events on their way out, in one buffer.
#[derive(Debug, Default)]
struct Gathered {
    items: String,
    /// Row, kind, and where the item's key lies.
    rows: Vec<(Row, u8, usize, usize)>,
}

impl Gathered {
    fn push(&mut self, row: Row, kind: u8, item: &str) {
        let start = self.items.len();
        self.items.push_str(item);
        self.rows.push((row, kind, start, self.items.len()));
    }

    /// The latest `limit`, in order of time and then of writing.
    fn latest(
        &mut self,
        user: &Arc<str>,
        ledger: &Ledger,
        limit: usize,
        each: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Trouble> {
        self.rows.sort_unstable_by_key(|(row, ..)| (row.time, row.sequence));
        let from = self.rows.len().saturating_sub(limit);
        for (row, kind, start, end) in &self.rows[from..] {
            let (kind, _) = ledger
                .kinds
                .get(usize::from(*kind))
                .ok_or_else(|| Trouble::Damaged(format!("no kind has number {kind}")))?;
            let event = Event {
                user: user.clone(),
                item: self.items[*start..*end].into(),
                kind: kind.clone(),
                value: row.value,
                time: row.time,
            };
            if each(event).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn clear(&mut self) {
        self.items.clear();
        self.rows.clear();
    }
}

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
        let number = match self.0.open_table(USERS)?.get(user)? {
            Some(row) => split_user_row(row.value())?.0,
            None => return Ok(Vec::new()),
        };
        let mut gathered = Gathered::default();
        let events = self.0.open_table(EVENTS)?;
        let (low, high) = events_of(number);
        for entry in events.range::<&[u8]>(low.as_slice()..high.as_slice())? {
            let (key, row) = entry?;
            let (_, kind, item) = split_event_key(key.value())?;
            gathered.push(Row::decode(&row.value()), kind, item);
        }
        let mut out = Vec::with_capacity(gathered.rows.len().min(limit));
        let _ = gathered.latest(&user.into(), &self.ledger()?, limit, &mut |event| {
            out.push(event);
            ControlFlow::Continue(())
        })?;
        Ok(out)
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
        let mut gathered = Gathered::default();
        for entry in events.iter()? {
            let (key, row) = entry?;
            let (number, kind, item) = split_event_key(key.value())?;
            if user.as_ref().is_none_or(|(current, _)| *current != number) {
                if let Some((_, key)) = &user
                    && gathered.latest(key, &ledger, usize::MAX, each)?.is_break()
                {
                    return Ok(last);
                }
                gathered.clear();
                user = loop {
                    let (of, key) = users
                        .next()
                        .ok_or_else(|| Trouble::Damaged(format!("no user has number {number}")))??;
                    if of.value() == number {
                        break Some((number, key.value().into()));
                    }
                };
            }
            let row = Row::decode(&row.value());
            if after.is_none_or(|after| row.sequence > after.0) {
                gathered.push(row, kind, item);
            }
        }
        if let Some((_, key)) = &user {
            let _ = gathered.latest(key, &ledger, usize::MAX, each)?;
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
        let features: JsonMap = serde_json::from_slice(features)
            .map_err(|error| Trouble::Damaged(format!("the features of a user: {error}")))?;
        let (low, high) = events_of(number);
        let mut events = 0;
        for entry in self.0.open_table(EVENTS)?.range::<&[u8]>(low.as_slice()..high.as_slice())? {
            entry?;
            events += 1;
        }
        Ok(User { key: key.into(), features, events })
    }

    pub(super) fn item(&self, key: &str) -> Result<Option<ItemRecord>, Trouble> {
        self.0.open_table(ITEMS)?.get(key)?.map(|row| record(row.value())).transpose()
    }

    pub(super) fn items(&self, after: Option<&str>, limit: usize) -> Result<Vec<ItemRecord>, Trouble> {
        self.page(ITEMS, after, limit, |_, row| record(row))
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

fn record(row: &[u8]) -> Result<ItemRecord, Trouble> {
    serde_json::from_slice(row).map_err(|error| Trouble::Damaged(format!("the record of an item: {error}")))
}
