//! Somebody, as requests describe them.

use foldin_core::RawFeatures;
use foldin_engine::{Action, Who};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing that somebody did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ActionIn {
    /// Key of the item.
    pub item: String,
    /// What was done.
    #[serde(default = "rating")]
    pub kind: String,
    /// The number that goes with it, such as the rating.
    #[serde(default)]
    pub value: Option<f32>,
}

/// The kind of an event that names none.
pub(crate) fn rating() -> String {
    "rating".to_owned()
}

/// Somebody: a user of the store, anybody with a history, or a user with a history on top (what if?).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WhoIn {
    /// Key of a user.
    pub user: Option<String>,
    /// What was done, in the order of time; on top of what the store has, for a user. Nothing of it is kept.
    pub history: Vec<ActionIn>,
    /// What is known of them, such as `{"age": 31, "occupation": "writer"}`.
    #[schema(value_type = Object)]
    pub features: RawFeatures,
}

impl WhoIn {
    /// The same as the engine takes it.
    pub(crate) fn who(&self) -> Who<'_> {
        Who {
            user: self.user.as_deref(),
            actions: self
                .history
                .iter()
                .map(|action| Action { item: &action.item, kind: &action.kind, value: action.value })
                .collect(),
            features: self.features.clone(),
        }
    }
}
