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
