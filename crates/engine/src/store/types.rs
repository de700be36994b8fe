//! What a store keeps and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Anything known of a user or an item beside what was done: names and JSON values.
pub type JsonMap = serde_json::Map<String, serde_json::Value>;

/// One user did something with one item at a time.
///
/// Keys are external: any string within [`check`](super::check), known to a model or not. They are shared, so that the events of
/// one history hold its user and its kinds once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Who.
    pub user: Arc<str>,
    /// With what.
    pub item: Arc<str>,
    /// What: `rating`, `view`, `click`, `purchase`, or any other name.
    pub kind: Arc<str>,
    /// How much, if that says anything: the rating, the seconds watched. Finite.
    #[serde(default)]
    pub value: Option<f32>,
    /// When, in milliseconds since 1970-01-01 UTC. The caller says: a store has no clock.
    pub time: i64,
}

impl Event {
    /// An event of these keys at this time, without a value.
    #[must_use]
    pub fn new(user: &str, item: &str, kind: &str, time: i64) -> Self {
        Self { user: user.into(), item: item.into(), kind: kind.into(), value: None, time }
    }

    /// The same with a value.
    #[must_use]
    pub fn with_value(mut self, value: f32) -> Self {
        self.value = Some(value);
        self
    }
}

/// An event of a [`UserRecord`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EventRef<'a> {
    /// With what.
    pub item: &'a str,
    /// What.
    pub kind: &'a str,
    /// How much.
    pub value: Option<f32>,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: i64,
}

/// What an answer to a user needs: features and latest events, in a few pieces of memory however many events there are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserRecord {
    /// Side information; empty if none was put.
    pub features: JsonMap,
    kinds: Arc<[Arc<str>]>,
    /// The items' keys, one after the other.
    items: String,
    rows: Vec<EventRow>,
}

/// An event of a [`UserRecord`].
#[derive(Clone, Copy, Debug, PartialEq)]
struct EventRow {
    time: i64,
    value: Option<f32>,
    /// Where the item's key ends; it begins where the one before ends.
    item_end: u32,
    kind: u8,
}

impl UserRecord {
    /// The events, in order of time, then of writing.
    pub fn events(&self) -> impl ExactSizeIterator<Item = EventRef<'_>> {
        let mut start = 0;
        self.rows.iter().map(move |row| {
            let item = &self.items[start..row.item_end as usize];
            start = row.item_end as usize;
            EventRef { item, kind: &self.kinds[usize::from(row.kind)], value: row.value, time: row.time }
        })
    }

    /// The events one by one, as those of this user.
    pub(super) fn owned<'a>(&'a self, user: &'a Arc<str>) -> impl Iterator<Item = Event> + 'a {
        self.rows.iter().zip(self.events()).map(|(row, event)| Event {
            user: user.clone(),
            item: event.item.into(),
            kind: self.kinds[usize::from(row.kind)].clone(),
            value: event.value,
            time: event.time,
        })
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let features = self.features.iter().map(|(name, value)| 64 + name.len() + value.to_string().len());
        size_of::<Self>()
            + self.items.capacity()
            + self.rows.capacity() * size_of::<EventRow>()
            + self.kinds.len() * size_of::<Arc<str>>()
            + features.sum::<usize>()
    }
}

/// The events of a user as they are read, in any order.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    items: String,
    rows: Vec<GatheredRow>,
}

#[derive(Debug)]
struct GatheredRow {
    time: i64,
    sequence: u64,
    value: Option<f32>,
    kind: u8,
    /// Where the item's key begins and ends.
    item: (u32, u32),
}

impl Gathered {
    pub(super) fn push(&mut self, item: &str, kind: u8, value: Option<f32>, time: i64, sequence: u64) {
        let start = self.items.len() as u32;
        self.items.push_str(item);
        let item = (start, self.items.len() as u32);
        self.rows.push(GatheredRow { time, sequence, value, kind, item });
    }

    /// The latest `limit` of them, and ready for another user's.
    pub(super) fn take(&mut self, features: JsonMap, kinds: &Arc<[Arc<str>]>, limit: usize) -> UserRecord {
        self.rows.sort_unstable_by_key(|row| (row.time, row.sequence));
        let latest = &self.rows[self.rows.len().saturating_sub(limit)..];
        let mut items =
            String::with_capacity(latest.iter().map(|row| (row.item.1 - row.item.0) as usize).sum());
        let mut rows = Vec::with_capacity(latest.len());
        for &GatheredRow { time, value, kind, item: (start, end), .. } in latest {
            items.push_str(&self.items[start as usize..end as usize]);
            rows.push(EventRow { time, value, item_end: items.len() as u32, kind });
        }
        self.items.clear();
        self.rows.clear();
        UserRecord { features, kinds: kinds.clone(), items, rows }
    }
}

/// The number of an event in the order of writing. It grows by one with every event and is never used twice, also not after
/// events were deleted.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequence(pub u64);

/// A user as the store knows them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct User {
    /// External key.
    pub key: Arc<str>,
    /// Side information, as it was put; empty if none was.
    pub features: JsonMap,
    /// Events kept of them.
    pub events: u64,
}

/// An item of the catalogue as the store knows it. Events may name items without a record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ItemRecord {
    /// External key.
    pub key: Arc<str>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Side information.
    #[serde(default, skip_serializing_if = "JsonMap::is_empty")]
    pub attributes: JsonMap,
    /// Kept out of lists, without losing what is known of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// Names to filter lists by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
    /// When it appeared, in milliseconds since 1970-01-01 UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
}

/// What was erased of a user.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forgotten {
    /// Events that were kept of them.
    pub events: u64,
    /// Whether the store knew them at all.
    pub known: bool,
}

/// What a bulk import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// Events written, those that replaced an earlier one included.
    pub events: u64,
    /// The number of the last of them; of the last event before, if there were none.
    pub last: Sequence,
}

/// How much is kept.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Users known: by an event, or put.
    pub users: u64,
    /// Items with a record.
    pub items: u64,
    /// Events kept; one that was replaced counts once.
    pub events: u64,
    /// The same by kind. A kind of which nothing is left is not named.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, u64>))]
    pub by_kind: BTreeMap<Arc<str>, u64>,
    /// The number of the last event written.
    pub last: Sequence,
}
