//! Titles, categories and attributes of items, and which of them may be shown.

use std::collections::{BTreeMap, HashMap};

use foldin_core::{FeatureValue, RawFeatures};
use serde::{Deserialize, Serialize};

use crate::error::EngineError;
use crate::serving::Serving;
use crate::titles::{Title, normalise};

/// What is known of one item beside what people did with it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Details {
    /// The title; the item's key if empty.
    pub title: String,
    /// What it belongs to, such as genres.
    pub categories: Vec<String>,
    /// Anything else, by name.
    pub attributes: RawFeatures,
    /// Never recommended while true.
    pub hidden: bool,
}

/// Which items may be recommended. Empty lists forbid nothing; all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Filter {
    /// Only items of at least one of these categories.
    pub categories: Vec<String>,
    /// No items of any of these categories.
    pub without_categories: Vec<String>,
    /// Conditions on attributes, by name.
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
        let loaded = serving.loaded();
        let mut out = Self::default();
        for (item, title) in loaded.titles.iter().enumerate() {
            let attributes = loaded.features.get(item).cloned().unwrap_or_default();
            out.push(Details {
                title: title.clone(),
                categories: categories_of(&attributes),
                attributes,
                hidden: false,
            });
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

    /// Lays other details over an item's, known to the model or not.
    pub fn put(&mut self, serving: &Serving, key: &str, mut details: Details) {
        if details.title.is_empty() {
            key.clone_into(&mut details.title);
        }
        let Some(item) = serving.loaded().items.get(key) else {
            self.others.insert(key.to_owned(), details);
            return;
        };
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
        if self.others.remove(key).is_some() {
            return;
        }
        if let Some(item) = serving.loaded().items.get(key) {
            let attributes = serving.loaded().features.get(item as usize).cloned().unwrap_or_default();
            let title = serving.loaded().titles[item as usize].clone();
            let categories = categories_of(&attributes);
            self.put(serving, key, Details { title, categories, attributes, hidden: false });
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
