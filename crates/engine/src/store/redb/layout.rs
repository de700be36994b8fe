//! How rows are laid out in the file.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | `meta` | `format`, `ledger` | JSON |
//! | `users` | external key | number (4 bytes), then the features as JSON |
//! | `user-keys` | number | external key |
//! | `events` | user's number (4 bytes, big-endian), kind's number (1), item's external key | value (4), time (8), sequence (6) |
//! | `items` | external key | JSON |
//! | `settings` | name | bytes |
//!
//! A user's history is one range of `events`; an event has 23 bytes and its item's key, and the tree adds 4. A replaced event is the
//! same row, so a duplicate needs no index. Item keys stand in the rows as they are: numbering them would save bytes with long keys alone, and
//! cost a look-up for each event read.

use std::sync::Arc;

use redb::{TableDefinition, TypeName, Value};
use serde::{Deserialize, Serialize};

use super::trouble::Trouble;
use crate::store::check::{MAX_KINDS, invalid};
use crate::store::{Counts, Event, InvalidReason, Sequence, StoreError};

pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const USERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("users");
pub(super) const USER_KEYS: TableDefinition<'_, u32, &str> = TableDefinition::new("user-keys");
pub(super) const EVENTS: TableDefinition<'_, &[u8], Row> = TableDefinition::new("events");
pub(super) const ITEMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("items");
pub(super) const SETTINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("settings");

/// Keys of [`META`].
pub(super) const FORMAT_KEY: &str = "format";
pub(super) const LEDGER_KEY: &str = "ledger";

/// The format written here, and the latest that is read.
pub(super) const FORMAT: u64 = 1;
/// What the format row of every store says it is.
pub(super) const APPLICATION: &str = "foldin store";

/// Bytes of a row of `events`.
const ROW: usize = 18;
/// Bytes of its key before the item.
const PREFIX: usize = 5;
/// Sequence numbers have 6 bytes: at a million events a second they last nine years.
const SEQUENCE_BYTES: usize = 6;

/// The row `format`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FormatRow {
    pub(super) application: String,
    pub(super) format: u64,
}

/// What is counted as events come and go, so that nobody has to count again. Written with every change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// Number of the next new user. Numbers are not used again.
    pub(crate) next_user: u32,
    /// Number of the last event.
    pub(crate) sequence: u64,
    pub(crate) users: u64,
    pub(crate) items: u64,
    pub(crate) events: u64,
    /// By number: the name, and how many events there are.
    pub(crate) kinds: Vec<(Arc<str>, u64)>,
}

impl Ledger {
    /// Refuses a batch that would need more users or kinds than can be numbered, before anything of it is written.
    pub(crate) fn has_room(&self, batch: &[Event]) -> Result<(), StoreError> {
        // Users that are known already count as well: nobody is within a batch of four thousand million.
        self.has_room_for_users(batch.len())?;
        let mut new: Vec<&str> = Vec::new();
        for (index, event) in batch.iter().enumerate() {
            if self.kind(&event.kind).is_none() && !new.contains(&&*event.kind) {
                if self.kinds.len() + new.len() == MAX_KINDS {
                    return Err(invalid(
                        "kind",
                        Some(index),
                        InvalidReason::TooMany { most: MAX_KINDS as u64 },
                    ));
                }
                new.push(&event.kind);
            }
        }
        Ok(())
    }

    pub(crate) fn has_room_for_users(&self, users: usize) -> Result<(), StoreError> {
        let most = u64::from(u32::MAX);
        if u64::from(self.next_user) + users as u64 >= most {
            return Err(invalid("user", None, InvalidReason::TooMany { most }));
        }
        Ok(())
    }

    /// The number of a kind. There are few, and most stores write one far more often than the others.
    pub(crate) fn kind(&self, name: &str) -> Option<u8> {
        self.kinds.iter().position(|(kind, _)| **kind == *name).and_then(|at| u8::try_from(at).ok())
    }

    /// The same, numbering a new one. [`has_room`](Self::has_room) was asked before.
    pub(crate) fn kind_or_new(&mut self, name: &Arc<str>) -> u8 {
        self.kind(name).unwrap_or_else(|| {
            self.kinds.push((name.clone(), 0));
            (self.kinds.len() - 1) as u8
        })
    }

    pub(crate) fn new_user(&mut self) -> u32 {
        let number = self.next_user;
        self.next_user += 1;
        self.users += 1;
        number
    }

    pub(crate) fn added(&mut self, kind: u8) {
        self.events += 1;
        self.kinds[usize::from(kind)].1 += 1;
    }

    pub(crate) fn removed(&mut self, kind: u8, events: u64) {
        self.events = self.events.saturating_sub(events);
        if let Some((_, count)) = self.kinds.get_mut(usize::from(kind)) {
            *count = count.saturating_sub(events);
        }
    }

    /// The names of the kinds, by number.
    pub(crate) fn kind_names(&self) -> Arc<[Arc<str>]> {
        self.kinds.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        let kinds = self.kinds.iter().filter(|(_, count)| *count > 0);
        Counts {
            users: self.users,
            items: self.items,
            events: self.events,
            by_kind: kinds.map(|(name, count)| (name.clone(), *count)).collect(),
            last: Sequence(self.sequence),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Trouble> {
        serde_json::from_slice(bytes).map_err(|error| Trouble::Damaged(format!("the ledger: {error}")))
    }
}

/// What stands beside an event's key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) value: Option<f32>,
    pub(crate) time: i64,
    pub(crate) sequence: u64,
}

impl Row {
    fn encode(self) -> [u8; ROW] {
        let mut out = [0; ROW];
        // Values are finite, so NaN is free to stand for none.
        out[..4].copy_from_slice(&self.value.unwrap_or(f32::NAN).to_le_bytes());
        out[4..12].copy_from_slice(&self.time.to_le_bytes());
        out[12..].copy_from_slice(&self.sequence.to_le_bytes()[..SEQUENCE_BYTES]);
        out
    }

    fn decode(row: &[u8; ROW]) -> Self {
        let value = f32::from_le_bytes([row[0], row[1], row[2], row[3]]);
        let mut time = [0; 8];
        time.copy_from_slice(&row[4..12]);
        let mut sequence = [0; 8];
        sequence[..SEQUENCE_BYTES].copy_from_slice(&row[12..]);
        Self {
            value: (!value.is_nan()).then_some(value),
            time: i64::from_le_bytes(time),
            sequence: u64::from_le_bytes(sequence),
        }
    }
}

/// Appends the key of an event to a buffer.
pub(super) fn event_key(out: &mut Vec<u8>, user: u32, kind: u8, item: &str) {
    out.extend_from_slice(&user.to_be_bytes());
    out.push(kind);
    out.extend_from_slice(item.as_bytes());
}

/// The parts of the key of an event: user, kind, item.
pub(super) fn split_event_key(key: &[u8]) -> Result<(u32, u8, &str), Trouble> {
    let short = || Trouble::Damaged("the key of an event is too short".into());
    let (prefix, item) = key.split_at_checked(PREFIX).ok_or_else(short)?;
    let item =
        std::str::from_utf8(item).map_err(|_| Trouble::Damaged("the key of an item is not UTF-8".into()))?;
    Ok((u32::from_be_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]), prefix[4], item))
}

/// The range of a user's events.
pub(super) fn events_of(user: u32) -> ([u8; 4], [u8; 4]) {
    (user.to_be_bytes(), user.saturating_add(1).to_be_bytes())
}

/// The row of a user.
pub(super) fn user_row(number: u32, features: &[u8]) -> Vec<u8> {
    [&number.to_le_bytes(), features].concat()
}

/// The number in the row of a user, and the features behind it.
pub(super) fn split_user_row(row: &[u8]) -> Result<(u32, &[u8]), Trouble> {
    let (number, features) =
        row.split_first_chunk().ok_or_else(|| Trouble::Damaged("the row of a user is too short".into()))?;
    Ok((u32::from_le_bytes(*number), features))
}

impl Value for Row {
    type SelfType<'a> = Self;
    type AsBytes<'a> = [u8; ROW];

    fn fixed_width() -> Option<usize> {
        Some(ROW)
    }

    fn from_bytes<'a>(data: &'a [u8]) -> Self
    where
        Self: 'a,
    {
        // The table says how wide a row is; were it not so, nothing of it could be believed.
        data.first_chunk().map_or(Self { value: None, time: 0, sequence: 0 }, Self::decode)
    }

    fn as_bytes<'a, 'b: 'a>(value: &'a Self) -> [u8; ROW]
    where
        Self: 'b,
    {
        value.encode()
    }

    fn type_name() -> TypeName {
        // That of the bytes, which is what the tables of existing files say.
        <[u8; ROW]>::type_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back() {
        for (value, time, sequence) in
            [(None, 0, 0), (Some(4.5), 1_700_000_000_000, 1), (Some(-0.0), i64::MIN, (1 << 48) - 1)]
        {
            let row = Row { value, time, sequence };
            assert_eq!(Row::decode(&row.encode()), row);
        }
    }

    #[test]
    fn keys_sort_by_user_then_kind_then_item() {
        let key = |user, kind, item: &str| {
            let mut out = Vec::new();
            event_key(&mut out, user, kind, item);
            out
        };
        let sorted = [key(1, 0, "z"), key(1, 1, "a"), key(255, 0, "a"), key(256, 0, "ab"), key(256, 0, "b")];
        assert!(sorted.is_sorted());
        let (low, high) = events_of(255);
        assert!(sorted[2].as_slice() >= low.as_slice() && sorted[2].as_slice() < high.as_slice());
        assert!(sorted[3].as_slice() >= high.as_slice() && sorted[1].as_slice() < low.as_slice());
        assert_eq!(split_event_key(&key(7, 3, "日本")).unwrap(), (7, 3, "日本"));
        assert!(split_event_key(b"abc").is_err());
        assert!(split_event_key(&[0, 0, 0, 0, 0, 0xff]).is_err());
    }

    #[test]
    fn the_257th_kind_is_refused_before_anything_is_written() {
        let mut ledger = Ledger::default();
        let batch: Vec<Event> =
            (0..=MAX_KINDS).map(|kind| Event::new("u", "i", &format!("kind-{kind}"), 0)).collect();
        assert!(ledger.has_room(&batch[..MAX_KINDS]).is_ok());
        for event in &batch[..MAX_KINDS] {
            ledger.kind_or_new(&event.kind);
        }
        assert_eq!(ledger.kind("kind-255"), Some(255));
        let error = ledger.has_room(&batch[MAX_KINDS - 1..]).unwrap_err();
        assert!(
            error.to_string().starts_with("number 1 of the batch: kind would be one too many"),
            "{error}"
        );
    }
}
