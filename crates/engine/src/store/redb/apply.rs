//! Changes, and how each is made within a write transaction that others share.

use std::collections::HashMap;
use std::sync::Arc;

use redb::{ReadableTable, Table, WriteTransaction};

use super::backup::Snapshot;
use super::layout::{
    APPLICATION, EVENTS, FORMAT, FORMAT_KEY, FormatRow, ITEMS, LEDGER_KEY, Ledger, META, Row, SETTINGS,
    USER_KEYS, USERS, event_key, events_of, split_user_row, user_row,
};
use super::trouble::Trouble;
use crate::store::{Event, Forgotten, Sequence, StoreError};

/// One call that writes. Everything in it was checked.
#[derive(Debug)]
pub(super) enum Change {
    Append(Vec<Event>),
    DeleteEvent { user: Box<str>, item: Box<str>, kind: Box<str> },
    PutUser { key: Box<str>, features: Vec<u8> },
    Forget { key: Box<str> },
    PutItems(Vec<(Arc<str>, Vec<u8>)>),
    DeleteItem { key: Box<str> },
    PutSetting { name: Box<str>, value: Option<Vec<u8>> },
}

/// What came of it.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Written(Sequence),
    Existed(bool),
    Forgotten(Forgotten),
}

impl Change {
    /// About how many bytes it holds in memory, and as many it will write.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(events) => events.iter().map(|event| 128 + event.item.len()).sum(),
            Self::PutUser { key, features } => 128 + key.len() + features.len(),
            Self::PutItems(items) => items.iter().map(|(key, bytes)| 128 + key.len() + bytes.len()).sum(),
            Self::PutSetting { name, value } => 128 + name.len() + value.as_ref().map_or(0, Vec::len),
            Self::DeleteEvent { .. } | Self::Forget { .. } | Self::DeleteItem { .. } => 128,
        }
    }
}

/// The tables of a write transaction, and the ledger they add up to.
#[derive(Debug)]
pub(super) struct Writing<'t> {
    meta: Table<'t, &'static str, &'static [u8]>,
    users: Table<'t, &'static str, &'static [u8]>,
    user_keys: Table<'t, u32, &'static str>,
    events: Table<'t, &'static [u8], Row>,
    items: Table<'t, &'static str, &'static [u8]>,
    settings: Table<'t, &'static str, &'static [u8]>,
    ledger: Ledger,
}

impl<'t> Writing<'t> {
    /// Opens the tables, and makes them in an empty file.
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, Trouble> {
        let meta = transaction.open_table(META)?;
        let ledger = match meta.get(LEDGER_KEY)? {
            Some(row) => Ledger::decode(row.value())?,
            None => Ledger::default(),
        };
        Ok(Self {
            meta,
            users: transaction.open_table(USERS)?,
            user_keys: transaction.open_table(USER_KEYS)?,
            events: transaction.open_table(EVENTS)?,
            items: transaction.open_table(ITEMS)?,
            settings: transaction.open_table(SETTINGS)?,
            ledger,
        })
    }

    /// Says what the file is.
    pub(super) fn write_format(&mut self) -> Result<(), Trouble> {
        let row = FormatRow { application: APPLICATION.into(), format: FORMAT };
        self.meta.insert(FORMAT_KEY, json(&row)?.as_slice())?;
        Ok(())
    }

    /// Writes the ledger, as the last thing of a transaction.
    pub(super) fn finish(mut self) -> Result<(), Trouble> {
        self.meta.insert(LEDGER_KEY, json(&self.ledger)?.as_slice())?;
        Ok(())
    }

    /// Writes everything of another store into an empty file.
    pub(super) fn write_snapshot(&mut self, snapshot: &impl Snapshot) -> Result<(), Trouble> {
        self.ledger = snapshot.ledger().clone();
        for (number, key, features) in snapshot.users() {
            self.users.insert(key, user_row(number, &json(features)?).as_slice())?;
            self.user_keys.insert(number, key)?;
        }
        let mut event = Vec::new();
        for (number, kind, item, row) in snapshot.events() {
            event.clear();
            event_key(&mut event, number, kind, item);
            self.events.insert(event.as_slice(), row)?;
        }
        for item in snapshot.items() {
            self.items.insert(&*item.key, json(item)?.as_slice())?;
        }
        for (name, value) in snapshot.settings() {
            self.settings.insert(name, value)?;
        }
        Ok(())
    }

    /// Makes one change, or refuses it before it touched anything.
    pub(super) fn apply(&mut self, change: &Change) -> Result<Result<Outcome, StoreError>, Trouble> {
        let outcome = match change {
            Change::Append(events) => {
                if let Err(refused) = self.ledger.has_room(events) {
                    return Ok(Err(refused));
                }
                self.append(events)?
            }
            Change::PutUser { key, features } => {
                if let Err(refused) = self.ledger.has_room_for_users(1) {
                    return Ok(Err(refused));
                }
                let number = self.user_number(key)?;
                self.users.insert(&**key, user_row(number, features).as_slice())?;
                Outcome::Existed(true)
            }
            Change::DeleteEvent { user, item, kind } => self.delete_event(user, item, kind)?,
            Change::Forget { key } => self.forget(key)?,
            Change::PutItems(items) => {
                for (key, bytes) in items {
                    let new = self.items.insert(&**key, bytes.as_slice())?.is_none();
                    self.ledger.items += u64::from(new);
                }
                Outcome::Existed(true)
            }
            Change::DeleteItem { key } => {
                let existed = self.items.remove(&**key)?.is_some();
                self.ledger.items = self.ledger.items.saturating_sub(u64::from(existed));
                Outcome::Existed(existed)
            }
            Change::PutSetting { name, value: Some(value) } => {
                Outcome::Existed(self.settings.insert(&**name, value.as_slice())?.is_some())
            }
            Change::PutSetting { name, value: None } => {
                Outcome::Existed(self.settings.remove(&**name)?.is_some())
            }
        };
        Ok(Ok(outcome))
    }

    /// Rows are inserted in the order of their keys: neighbours share pages. A stable sort keeps repeats in the order of writing.
    fn append(&mut self, events: &[Event]) -> Result<Outcome, Trouble> {
        let mut numbers: HashMap<&str, u32> = HashMap::new();
        let mut last: Option<(&str, u32)> = None;
        let mut keys = Vec::with_capacity(events.len() * 16);
        let mut rows = Vec::with_capacity(events.len());
        for event in events {
            let number = match last {
                Some((user, number)) if *user == *event.user => number,
                _ => match numbers.get(&*event.user) {
                    Some(&number) => number,
                    None => {
                        let number = self.user_number(&event.user)?;
                        numbers.insert(&event.user, number);
                        number
                    }
                },
            };
            last = Some((&event.user, number));
            let kind = self.ledger.kind_or_new(&event.kind);
            self.ledger.sequence += 1;
            let row = Row { value: event.value, time: event.time, sequence: self.ledger.sequence };
            let start = keys.len();
            event_key(&mut keys, number, kind, &event.item);
            rows.push((start..keys.len(), kind, row));
        }
        rows.sort_by(|(one, ..), (other, ..)| keys[one.clone()].cmp(&keys[other.clone()]));
        for (key, kind, row) in rows {
            if self.events.insert(&keys[key], row)?.is_none() {
                self.ledger.added(kind);
            }
        }
        Ok(Outcome::Written(Sequence(self.ledger.sequence)))
    }

    /// The number of a user, who is made known if need be.
    fn user_number(&mut self, key: &str) -> Result<u32, Trouble> {
        if let Some(row) = self.users.get(key)? {
            return Ok(split_user_row(row.value())?.0);
        }
        let number = self.ledger.new_user();
        self.users.insert(key, user_row(number, b"{}").as_slice())?;
        self.user_keys.insert(number, key)?;
        Ok(number)
    }

    fn delete_event(&mut self, user: &str, item: &str, kind: &str) -> Result<Outcome, Trouble> {
        let Some(kind) = self.ledger.kind(kind) else { return Ok(Outcome::Existed(false)) };
        let number = match self.users.get(user)? {
            Some(row) => split_user_row(row.value())?.0,
            None => return Ok(Outcome::Existed(false)),
        };
        let mut key = Vec::new();
        event_key(&mut key, number, kind, item);
        let existed = self.events.remove(key.as_slice())?.is_some();
        if existed {
            self.ledger.removed(kind, 1);
        }
        Ok(Outcome::Existed(existed))
    }

    fn forget(&mut self, key: &str) -> Result<Outcome, Trouble> {
        let number = match self.users.remove(key)? {
            Some(row) => split_user_row(row.value())?.0,
            None => return Ok(Outcome::Forgotten(Forgotten::default())),
        };
        self.user_keys.remove(number)?;
        let (low, high) = events_of(number);
        let mut by_kind = [0u64; 256];
        self.events.retain_in::<&[u8], _>(low.as_slice()..high.as_slice(), |key, _| {
            by_kind[usize::from(key.get(4).copied().unwrap_or_default())] += 1;
            false
        })?;
        let mut events = 0;
        for (kind, count) in (0..=u8::MAX).zip(by_kind).filter(|(_, count)| *count > 0) {
            self.ledger.removed(kind, count);
            events += count;
        }
        self.ledger.users = self.ledger.users.saturating_sub(1);
        Ok(Outcome::Forgotten(Forgotten { events, known: true }))
    }
}

fn json(row: &impl serde::Serialize) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(row).map_err(|error| Trouble::Damaged(error.to_string()))
}
