//! What somebody did, as a model sees it.

use std::collections::BTreeMap;

use foldin_core::features::EncodedRow;
use foldin_core::{RawFeatures, UserView};
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::serving::Serving;

/// One thing that somebody did with an item.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action<'a> {
    /// The item's key.
    pub item: &'a str,
    /// What was done, such as `rating` or `purchase`.
    pub kind: &'a str,
    /// The number that goes with it.
    pub value: Option<f32>,
}

/// What a kind of event means.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindRule {
    /// Weight, above 0, that a model of clicks and purchases gives to it. `None`: it comes with a value, which is a rating to a
    /// model of ratings, and to a model of clicks something that happened, of weight 1.
    pub weight: Option<f32>,
    /// Whether the item counts as seen, so that it is not recommended again.
    pub seen: bool,
}

/// Kinds of events by name.
///
/// The default knows `rating`, with a value, and of weight without one `purchase` (1), `like` (1), `cart` (0.7), `click` (0.5) and
/// `view` (0.2; a view alone does not make an item seen). Kinds that are read from settings are laid over these.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, KindRule>", into = "BTreeMap<String, KindRule>")]
pub struct Kinds(BTreeMap<String, KindRule>);

impl TryFrom<BTreeMap<String, KindRule>> for Kinds {
    type Error = EngineError;

    /// The defaults, with these over them: who adds a kind of their own goes on understanding the others.
    fn try_from(kinds: BTreeMap<String, KindRule>) -> Result<Self, EngineError> {
        let mut all = Self::default().0;
        all.extend(kinds);
        Self::new(all)
    }
}

impl From<Kinds> for BTreeMap<String, KindRule> {
    fn from(kinds: Kinds) -> Self {
        kinds.0
    }
}

impl Default for Kinds {
    fn default() -> Self {
        let kind = |name: &str, weight, seen| (name.to_owned(), KindRule { weight, seen });
        Self(BTreeMap::from([
            kind("rating", None, true),
            kind("purchase", Some(1.0), true),
            kind("like", Some(1.0), true),
            kind("cart", Some(0.7), true),
            kind("click", Some(0.5), true),
            kind("view", Some(0.2), false),
        ]))
    }
}

impl Kinds {
    /// Kinds by name.
    ///
    /// # Errors
    /// [`EngineError::OutOfRange`] for a weight that is not above 0.
    pub fn new(kinds: BTreeMap<String, KindRule>) -> Result<Self, EngineError> {
        let bad = |rule: &&KindRule| rule.weight.is_some_and(|weight| !(weight > 0.0 && weight.is_finite()));
        match kinds.values().find(bad) {
            Some(rule) => Err(EngineError::OutOfRange {
                field: "weight",
                got: format!("{}", rule.weight.unwrap_or_default()),
                expected: "a weight is above 0",
            }),
            None => Ok(Self(kinds)),
        }
    }

    /// What a kind means.
    ///
    /// # Errors
    /// [`EngineError::UnknownKind`].
    pub fn rule(&self, kind: &str) -> Result<KindRule, EngineError> {
        self.0.get(kind).copied().ok_or_else(|| EngineError::UnknownKind {
            kind: kind.to_owned(),
            known: self.0.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        })
    }

    /// All kinds by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, KindRule)> {
        self.0.iter().map(|(name, rule)| (name.as_str(), *rule))
    }
}

/// A history with side information, in the numbers of one model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// Items that the model learns from, each once, in the order in which they were first met.
    pub items: Vec<u32>,
    /// The value of each.
    pub values: Vec<f32>,
    /// Items that are not to be recommended again, ascending.
    pub seen: Vec<u32>,
    /// Encoded side information.
    pub features: EncodedRow,
    /// Actions on items that the model does not know.
    pub unknown: usize,
    /// Actions that say nothing to this model, such as views to a model of ratings, or ratings outside its scale.
    pub unused: usize,
}

impl History {
    /// Puts together what was done, in the order of time: of the same item, a later rating replaces an earlier one, and the
    /// strongest of other kinds counts. Items that the model does not know are counted and left out; so is what the model cannot use.
    ///
    /// # Errors
    /// [`EngineError::UnknownKind`] or [`EngineError::ValueMissing`].
    pub fn new<'a>(
        serving: &Serving,
        kinds: &Kinds,
        actions: impl IntoIterator<Item = Action<'a>>,
    ) -> Result<Self, EngineError> {
        Self::gather(serving, kinds, actions, std::iter::empty())
    }

    /// As [`History::new`] for what a store kept, each item once of a kind, with something on top. A stored kind that is no longer
    /// configured says nothing.
    ///
    /// # Errors
    /// As [`History::new`] for what is on top.
    pub fn stored<'a>(
        serving: &Serving,
        kinds: &Kinds,
        stored: impl IntoIterator<Item = Action<'a>>,
        on_top: impl IntoIterator<Item = Action<'a>>,
    ) -> Result<Self, EngineError> {
        Self::gather(serving, kinds, on_top, stored)
    }

    /// `stored` comes before the others, and may not repeat an item within a kind.
    fn gather<'a>(
        serving: &Serving,
        kinds: &Kinds,
        actions: impl IntoIterator<Item = Action<'a>>,
        stored: impl IntoIterator<Item = Action<'a>>,
    ) -> Result<Self, EngineError> {
        let scale = serving.feedback().scale();
        let dictionary = &serving.loaded().items;
        let (stored, actions) = (stored.into_iter(), actions.into_iter());
        let expected = stored.size_hint().0 + actions.size_hint().0;
        let mut out = Self {
            items: Vec::with_capacity(expected),
            values: Vec::with_capacity(expected),
            seen: Vec::with_capacity(expected),
            ..Self::default()
        };
        // Where each item is, once an item may come again: after the events of the first kind.
        let mut places: Option<HashMap<u32, usize>> = None;
        let mut latest: Option<(&str, KindRule)> = None;
        let from_store = stored.map(|action| (action, true));
        for (action, is_stored) in from_store.chain(actions.map(|action| (action, false))) {
            let rule = match latest {
                Some((kind, rule)) if kind == action.kind => rule,
                _ => match kinds.rule(action.kind) {
                    Ok(rule) => rule,
                    Err(_) if is_stored => continue,
                    Err(error) => return Err(error),
                },
            };
            if places.is_none() && (!is_stored || latest.is_some_and(|(kind, _)| kind != action.kind)) {
                places = Some(out.items.iter().enumerate().map(|(at, &item)| (item, at)).collect());
            }
            latest = Some((action.kind, rule));
            let Some(item) = dictionary.get(action.item) else {
                out.unknown += 1;
                continue;
            };
            if rule.seen {
                out.seen.push(item);
            }
            let value = match (scale, rule.weight) {
                (Some(scale), None) => match action.value {
                    Some(value) if scale.contains(value) => Some(value),
                    Some(_) => None,
                    // Written while a model of clicks served, or while the kind meant something else.
                    None if is_stored => None,
                    None => {
                        return Err(EngineError::ValueMissing {
                            kind: action.kind.to_owned(),
                            item: action.item.to_owned(),
                        });
                    }
                },
                (Some(_), Some(_)) => None,
                (None, weight) => Some(weight.unwrap_or(1.0)),
            };
            let Some(value) = value else {
                out.unused += 1;
                continue;
            };
            let next = out.items.len();
            let at = places.as_mut().map_or(next, |places| *places.entry(item).or_insert(next));
            if at == next {
                out.items.push(item);
                out.values.push(value);
            } else if scale.is_some() {
                out.values[at] = value;
            } else {
                out.values[at] = out.values[at].max(value);
            }
        }
        out.seen.sort_unstable();
        out.seen.dedup();
        Ok(out)
    }

    /// As [`History::new`] for what came with a request, where a slip is an error rather than something to count: an unknown item, a
    /// rating outside the scale, the same item twice.
    ///
    /// # Errors
    /// [`EngineError`] naming the item.
    pub fn strict<'a>(
        serving: &Serving,
        kinds: &Kinds,
        actions: impl IntoIterator<Item = Action<'a>>,
    ) -> Result<Self, EngineError> {
        let actions: Vec<Action<'a>> = actions.into_iter().collect();
        let mut met = std::collections::HashSet::new();
        for action in &actions {
            serving.item(action.item)?;
            if !met.insert((action.item, action.kind)) {
                return Err(EngineError::Repeated { item: action.item.to_owned() });
            }
            let rated = kinds.rule(action.kind)?.weight.is_none();
            if let (Some(scale), Some(value), true) = (serving.feedback().scale(), action.value, rated)
                && !scale.contains(value)
            {
                return Err(EngineError::OutOfScale { item: action.item.to_owned(), value, scale });
            }
        }
        Self::new(serving, kinds, actions)
    }

    /// The same history of somebody of whom this is known.
    #[must_use]
    pub fn with_features(mut self, serving: &Serving, features: &RawFeatures) -> Self {
        self.features = serving.loaded().user_schema.encode(features);
        self
    }

    /// What the model sees.
    #[must_use]
    pub fn view(&self) -> UserView<'_> {
        UserView {
            items: &self.items,
            values: &self.values,
            features: self.features.as_row(),
            trained_as: None,
        }
    }
}
