//! Titles, categories and attributes of items, and which of them may be shown.

use std::collections::{BTreeMap, HashMap};

use foldin_core::{FeatureValue, RawFeatures};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::EngineError;
use crate::serving::Serving;
use crate::store::{ItemRecord, JsonMap};
use crate::titles::{Title, normalise};

/// What is known of one item beside what people did with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Details {
    /// The title; the item's key where none is known.
    pub title: String,
    /// What it belongs to, such as genres.
    pub categories: Vec<String>,
    /// Anything else, by name.
    pub attributes: RawFeatures,
    /// Never recommended while true.
    pub hidden: bool,
}

/// Which items may be recommended. Empty lists forbid nothing; all conditions must hold.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Only items of at least one of these categories.
    pub categories: Vec<String>,
    /// No items of any of these categories.
    pub without_categories: Vec<String>,
    /// Conditions on attributes, by name: a word or number that it is, a list of which it is one, or bounds such as
    /// `{"min": 1990, "max": 1999}`, either of which may be left out.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, serde_json::Value>))]
    pub attributes: BTreeMap<String, Condition>,
}

/// A condition on an attribute. An item without the attribute does not meet it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Condition {
    /// A number between bounds.
    Between(Range),
    /// One of these words or numbers; of an attribute that is a list, any element.
    OneOf(Vec<FeatureValue>),
    /// This word or number.
    Is(FeatureValue),
}

/// Bounds of a number, both included; either may be left out.
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// The least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    /// The most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
}

impl Condition {
    fn holds(&self, value: &FeatureValue) -> bool {
        match self {
            Self::Between(Range { min, max }) => match value {
                FeatureValue::Number(number) => {
                    min.is_none_or(|min| *number >= min) && max.is_none_or(|max| *number <= max)
                }
                _ => false,
            },
            Self::OneOf(several) => several.iter().any(|wanted| same(wanted, value)),
            Self::Is(wanted) => same(wanted, value),
        }
    }
}

/// Equal, or among a list. Numbers and words that read the same are the same, since data sets mix them.
fn same(wanted: &FeatureValue, value: &FeatureValue) -> bool {
    let text = |value: &FeatureValue| match value {
        FeatureValue::Number(number) => number.to_string(),
        FeatureValue::Text(text) => text.clone(),
        FeatureValue::List(list) => list.join("\u{1f}"),
    };
    match value {
        FeatureValue::List(list) if !matches!(wanted, FeatureValue::List(_)) => list.contains(&text(wanted)),
        _ => text(wanted) == text(value),
    }
}

impl Filter {
    /// Whether nothing is filtered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.categories.is_empty() && self.without_categories.is_empty() && self.attributes.is_empty()
    }
}

/// Details of all items of one model, by number, and of items that the model does not know.
///
/// It goes with one [`Serving`]: numbers are those of its model.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    details: Vec<Details>,
    titles: Vec<Title>,
    /// Items of each category, ascending.
    by_category: HashMap<String, Vec<u32>>,
    /// Ascending.
    hidden: Vec<u32>,
    /// Items that the model does not know, by key.
    others: BTreeMap<String, Details>,
}

impl Catalogue {
    /// The catalogue as a model folder holds it: titles, and side information where the folder has it.
    #[must_use]
    pub fn new(serving: &Serving) -> Self {
        let mut out = Self::default();
        for item in 0..serving.n_items() {
            out.push(Self::own(serving, item));
        }
        out
    }

    fn push(&mut self, details: Details) {
        let item = self.details.len() as u32;
        self.titles.push(normalise(&details.title));
        for category in &details.categories {
            insert(self.by_category.entry(category.clone()).or_default(), item);
        }
        if details.hidden {
            insert(&mut self.hidden, item);
        }
        self.details.push(details);
    }

    /// What the model's folder says of an item.
    fn own(serving: &Serving, item: usize) -> Details {
        let loaded = serving.loaded();
        let attributes = loaded.features.get(item).cloned().unwrap_or_default();
        Details {
            title: loaded.titles[item].clone(),
            categories: categories_of(&attributes),
            attributes,
            hidden: false,
        }
    }

    /// Lays a record over what the model's folder says of an item, known to the model or not: what the record leaves out stays, and
    /// attributes are replaced one by one.
    pub fn put(&mut self, serving: &Serving, record: &ItemRecord) {
        let item = serving.loaded().items.get(&record.key);
        let mut details = item.map_or_else(
            || Details { title: (*record.key).to_owned(), ..Details::default() },
            |item| Self::own(serving, item as usize),
        );
        if let Some(title) = record.title.as_ref().filter(|title| !title.is_empty()) {
            title.clone_into(&mut details.title);
        }
        details.attributes.extend(features_of(&record.attributes));
        details.hidden = record.hidden;
        if !record.categories.is_empty() {
            details.categories.clone_from(&record.categories);
            details.categories.sort_unstable();
            details.categories.dedup();
        }
        match item {
            Some(item) => self.replace(item, details),
            None => {
                self.others.insert(record.key.to_string(), details);
            }
        }
    }

    fn replace(&mut self, item: u32, details: Details) {
        let at = item as usize;
        for category in std::mem::take(&mut self.details[at].categories) {
            if let Some(items) = self.by_category.get_mut(&category) {
                remove(items, item);
                if items.is_empty() {
                    self.by_category.remove(&category);
                }
            }
        }
        for category in &details.categories {
            insert(self.by_category.entry(category.clone()).or_default(), item);
        }
        if details.hidden {
            insert(&mut self.hidden, item);
        } else {
            remove(&mut self.hidden, item);
        }
        self.titles[at] = normalise(&details.title);
        self.details[at] = details;
    }

    /// Forgets what was laid over an item: one that the model knows is as its folder has it again, another is gone.
    pub fn remove(&mut self, serving: &Serving, key: &str) {
        if self.others.remove(key).is_none()
            && let Some(item) = serving.loaded().items.get(key)
        {
            self.replace(item, Self::own(serving, item as usize));
        }
    }

    /// Details of an item of the model.
    ///
    /// # Panics
    /// If `item` is out of range.
    #[must_use]
    pub fn details(&self, item: u32) -> &Details {
        &self.details[item as usize]
    }

    /// Details of an item that the model does not know.
    #[must_use]
    pub fn other(&self, key: &str) -> Option<&Details> {
        self.others.get(key)
    }

    /// Categories with the number of their items, in alphabetical order.
    #[must_use]
    pub fn categories(&self) -> BTreeMap<&str, usize> {
        self.by_category.iter().map(|(name, items)| (name.as_str(), items.len())).collect()
    }

    /// Whether an item meets a filter.
    ///
    /// # Panics
    /// If `item` is out of range.
    #[must_use]
    pub fn meets(&self, item: u32, filter: &Filter) -> bool {
        let details = self.details(item);
        let has = |category: &String| details.categories.contains(category);
        (filter.categories.is_empty() || filter.categories.iter().any(has))
            && !filter.without_categories.iter().any(has)
            && filter.attributes.iter().all(|(name, condition)| {
                details.attributes.get(name).is_some_and(|value| condition.holds(value))
            })
    }

    /// All items that may not be shown, ascending: hidden ones, those of `unwanted` (ascending), and those that do not meet the
    /// filter or are not in `allowed`.
    #[must_use]
    pub fn excluded(&self, unwanted: &[u32], filter: &Filter, allowed: Option<&[u32]>) -> Vec<u32> {
        if filter.is_empty() && allowed.is_none() {
            let mut out = Vec::with_capacity(unwanted.len() + self.hidden.len());
            out.extend_from_slice(unwanted);
            out.extend_from_slice(&self.hidden);
            out.sort_unstable();
            out.dedup();
            return out;
        }
        // What may be shown is often little: of a category, look at its items alone.
        let mut shown = vec![false; self.details.len()];
        match (allowed, &filter.categories[..]) {
            (Some(allowed), _) => allowed.iter().for_each(|&item| shown[item as usize] = true),
            (None, []) => shown.fill(true),
            (None, categories) => {
                for items in categories.iter().filter_map(|category| self.by_category.get(category)) {
                    items.iter().for_each(|&item| shown[item as usize] = true);
                }
            }
        }
        for &item in unwanted.iter().chain(&self.hidden) {
            shown[item as usize] = false;
        }
        let out = |&(item, shown): &(usize, &bool)| !shown || !self.meets(item as u32, filter);
        shown.iter().enumerate().filter(out).map(|(item, _)| item as u32).collect()
    }

    /// Items whose title or key fits what was typed, best first: titles that begin so, then titles with a word for each that was
    /// typed (a beginning of one is enough), each in order of popularity. An empty text fits everything.
    #[must_use]
    pub fn search(&self, serving: &Serving, text: &str, n: usize, offset: usize) -> (Vec<u32>, usize) {
        let wanted = normalise(text);
        let words: Vec<&str> = wanted.name.split(' ').filter(|word| !word.is_empty()).collect();
        let mut found: Vec<(u8, u32)> = Vec::new();
        for &item in serving.popular() {
            let title = &self.titles[item as usize];
            let year_fits = wanted.year.is_none() || wanted.year == title.year;
            let begins = |wanted: &&str| title.name.split(' ').any(|word| word.starts_with(*wanted));
            if serving.key(item) == text {
                found.push((0, item));
            } else if year_fits && title.name == wanted.name {
                found.push((1, item));
            } else if year_fits && title.name.starts_with(&wanted.name) {
                found.push((2, item));
            } else if year_fits && words.iter().all(begins) {
                found.push((3, item));
            }
        }
        // Stable, so that popularity decides within each.
        found.sort_by_key(|&(how_well, _)| how_well);
        let total = found.len();
        (found.into_iter().skip(offset).take(n).map(|(_, item)| item).collect(), total)
    }

    /// Numbers of keys, ascending, each once.
    ///
    /// # Errors
    /// [`EngineError::UnknownItem`].
    pub fn numbers(serving: &Serving, keys: &[String]) -> Result<Vec<u32>, EngineError> {
        let mut out: Vec<u32> = keys.iter().map(|key| serving.item(key)).collect::<Result<_, _>>()?;
        out.sort_unstable();
        out.dedup();
        Ok(out)
    }
}

/// Attributes as features: numbers, words and lists of words. Anything else has no meaning to a model or a filter.
#[must_use]
pub fn features_of(attributes: &JsonMap) -> RawFeatures {
    let word = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    };
    let feature = |value: &Value| match value {
        Value::Number(number) => number.as_f64().map(FeatureValue::Number),
        Value::Array(list) => list.iter().map(word).collect::<Option<_>>().map(FeatureValue::List),
        other => word(other).map(FeatureValue::Text),
    };
    attributes.iter().filter_map(|(name, value)| Some((name.clone(), feature(value)?))).collect()
}

/// Categories of an item by its side information: everything that can hold several values, as genres do.
#[must_use]
pub fn categories_of(attributes: &RawFeatures) -> Vec<String> {
    let lists = attributes.values().filter_map(|value| match value {
        FeatureValue::List(list) => Some(list),
        _ => None,
    });
    let mut out: Vec<String> = lists.flatten().cloned().collect();
    out.sort_unstable();
    out.dedup();
    out
}

fn insert(sorted: &mut Vec<u32>, item: u32) {
    if let Err(at) = sorted.binary_search(&item) {
        sorted.insert(at, item);
    }
}

fn remove(sorted: &mut Vec<u32>, item: u32) {
    if let Ok(at) = sorted.binary_search(&item) {
        sorted.remove(at);
    }
}
