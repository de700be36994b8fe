//! Settings of models: plain data, described once, checked once.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::ConfigError;

/// The settings of a model. The documentation comment of each field is what `foldin models show` prints, and its
/// `#[schemars(range(…))]` is what is checked.
pub trait ModelConfig: Clone + std::fmt::Debug + Default + Serialize + DeserializeOwned + JsonSchema {
    /// Checks what a range of a single field cannot say, such as two settings that exclude each other. The reason returned
    /// is shown to the user.
    ///
    /// # Errors
    /// The reason why these settings cannot be used together.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }
}

/// A setting that is chosen by the model from the size of the data unless a value is given; written `"auto"`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Auto<T> {
    /// Chosen by the model; the field's documentation says how.
    #[default]
    Auto,
    /// As given.
    Value(T),
}

impl<T: Copy> Auto<T> {
    /// The given value, or what `choose` says.
    pub fn or_else(self, choose: impl FnOnce() -> T) -> T {
        match self {
            Self::Auto => choose(),
            Self::Value(value) => value,
        }
    }
}

impl<T: Serialize> Serialize for Auto<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Value(value) => value.serialize(serializer),
        }
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Auto<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        if value == "auto" {
            return Ok(Self::Auto);
        }
        serde_json::from_value(value)
            .map(Self::Value)
            .map_err(|error| serde::de::Error::custom(format!("{error} (or \"auto\")")))
    }
}

impl<T: JsonSchema> JsonSchema for Auto<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Auto_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }

    fn inline_schema() -> bool {
        true
    }
}

/// One setting, as shown to people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigKey {
    /// Name.
    pub key: String,
    /// Type in words: `number`, `integer`, `boolean`, `text`, `list`, or the choices.
    pub kind: String,
    /// Value when nothing is said.
    pub default: Value,
    /// Range in words; empty if there is none.
    pub range: String,
    /// What it does.
    pub meaning: String,
    /// Where a [search](crate::search) over settings draws from, written as [`Space`](crate::search::Space); empty for a setting
    /// that is not searched unless asked.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub search: String,
}

/// Describes every setting of a configuration, in order of declaration.
#[must_use]
pub fn describe<C: ModelConfig>(default: &C) -> Vec<ConfigKey> {
    let schema = schema_of::<C>();
    let defaults = to_map(default);
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Vec::new() };
    defaults
        .iter()
        .filter_map(|(key, default)| {
            properties.get(key).map(|property| (key, default, resolve(&schema, property)))
        })
        .map(|(key, default, property)| ConfigKey {
            key: key.clone(),
            kind: kind_in_words(&property),
            default: default.clone(),
            range: range_in_words(&property),
            meaning: property
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .replace('\n', " "),
            search: property.get("search").and_then(Value::as_str).unwrap_or_default().to_owned(),
        })
        .collect()
}

/// Lays `changes` over `default`, then checks names, types, ranges and [`ModelConfig::check`].
///
/// # Errors
/// [`ConfigError`] naming the key, the value and what would be right.
pub fn overlay<C: ModelConfig>(
    model: &str,
    default: &C,
    changes: &Map<String, Value>,
) -> Result<C, ConfigError> {
    let schema = schema_of::<C>();
    let mut merged = to_map(default);
    for (key, value) in changes {
        if !merged.contains_key(key) {
            return Err(ConfigError::UnknownKey {
                model: model.to_owned(),
                key: key.clone(),
                nearest: nearest(key, merged.keys()),
            });
        }
        let mut alone = to_map(default);
        alone.insert(key.clone(), value.clone());
        if let Err(error) = serde_json::from_value::<C>(Value::Object(alone)) {
            return Err(ConfigError::WrongType {
                model: model.to_owned(),
                key: key.clone(),
                value: value.to_string(),
                reason: error.to_string(),
            });
        }
        merged.insert(key.clone(), value.clone());
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, value) in &merged {
        let Some(property) = properties.and_then(|properties| properties.get(key)) else { continue };
        let property = resolve(&schema, property);
        if !within(&property, value) {
            return Err(ConfigError::OutOfRange {
                model: model.to_owned(),
                key: key.clone(),
                value: value.to_string(),
                range: range_in_words(&property),
            });
        }
    }
    let config: C = serde_json::from_value(Value::Object(merged))
        .map_err(|error| ConfigError::Conflict { model: model.to_owned(), reason: error.to_string() })?;
    config.check().map_err(|reason| ConfigError::Conflict { model: model.to_owned(), reason })?;
    Ok(config)
}

/// A number that was an `f32` in as few digits as an `f32` needs: 0.1, not 0.10000000149011612.
fn shortest(value: Value) -> Value {
    let Some(wide) = value.as_f64().filter(|_| value.is_f64()) else { return value };
    let narrow = wide as f32;
    if f64::from(narrow).to_bits() != wide.to_bits() {
        return value;
    }
    narrow.to_string().parse().map_or(value, |short: f64| Value::from(short))
}

fn schema_of<C: ModelConfig>() -> Value {
    serde_json::to_value(schemars::schema_for!(C)).unwrap_or_default()
}

/// A configuration as a table of keys and values.
#[must_use]
pub fn to_map<C: ModelConfig>(config: &C) -> Map<String, Value> {
    match serde_json::to_value(config) {
        Ok(Value::Object(map)) => map.into_iter().map(|(key, value)| (key, shortest(value))).collect(),
        _ => Map::new(),
    }
}

/// Follows a `$ref` of a property into the schema's definitions, keeping the property's own description.
fn resolve(schema: &Value, property: &Value) -> Value {
    let target = property
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|path| schema.pointer(path.trim_start_matches('#')));
    match (target, property.as_object()) {
        (Some(Value::Object(target)), Some(own)) => {
            let mut merged = target.clone();
            merged.extend(own.iter().map(|(key, value)| (key.clone(), value.clone())));
            Value::Object(merged)
        }
        _ => property.clone(),
    }
}

fn kind_in_words(property: &Value) -> String {
    let choices: Vec<String> = match (property.get("enum"), property.get("oneOf")) {
        (Some(Value::Array(list)), _) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        (_, Some(Value::Array(list))) => list
            .iter()
            .filter_map(|choice| choice.get("const").and_then(Value::as_str))
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    if !choices.is_empty() {
        return choices.join(" | ");
    }
    let name = match property.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => names.first().and_then(Value::as_str).unwrap_or("value"),
        _ => "value",
    };
    match name {
        "string" => "text",
        "array" => "list",
        other => other,
    }
    .to_owned()
}

fn bounds(property: &Value) -> [(Option<f64>, &'static str); 4] {
    let bound = |name| property.get(name).and_then(Value::as_f64);
    [
        (bound("minimum"), "≥"),
        (bound("exclusiveMinimum"), ">"),
        (bound("maximum"), "≤"),
        (bound("exclusiveMaximum"), "<"),
    ]
}

fn range_in_words(property: &Value) -> String {
    // Unsigned integers are at least 0 by type; saying so would be noise.
    let unsigned =
        property.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint"));
    bounds(property)
        .iter()
        .filter(|(bound, sign)| !(unsigned && *sign == "≥" && *bound == Some(0.0)))
        .filter_map(|(bound, sign)| bound.map(|bound| format!("{sign} {bound}")))
        .collect::<Vec<_>>()
        .join(" and ")
}

fn within(property: &Value, value: &Value) -> bool {
    let Some(value) = value.as_f64() else { return true };
    let [minimum, above, maximum, below] = bounds(property).map(|(bound, _)| bound);
    minimum.is_none_or(|bound| value >= bound)
        && above.is_none_or(|bound| value > bound)
        && maximum.is_none_or(|bound| value <= bound)
        && below.is_none_or(|bound| value < bound)
}

/// The known name with the smallest edit distance, if it is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a String>) -> Option<String> {
    known
        .into_iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        .min()
        .filter(|(distance, _)| *distance <= name.len().max(4) / 3 + 1)
        .map(|(_, candidate)| candidate.clone())
}

/// How many letters must be put in, taken out, replaced or swapped with their neighbour to make `b` of `a` (optimal string
/// alignment). O(|a|·|b|) time.
#[must_use]
pub fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let replaced = above[j] + usize::from(a[i] != b[j]);
            let mut least = replaced.min(row[j] + 1).min(above[j + 1] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Example {
        /// Number of factors.
        #[schemars(range(min = 1, max = 1024))]
        factors: Auto<usize>,
        /// Step of the optimiser.
        #[schemars(extend("exclusiveMinimum" = 0.0))]
        learning_rate: f32,
        /// Where to begin.
        start: Start,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    #[serde(rename_all = "snake_case")]
    enum Start {
        Svd,
        Random,
    }

    impl Default for Example {
        fn default() -> Self {
            Self { factors: Auto::Auto, learning_rate: 0.01, start: Start::Svd }
        }
    }

    impl ModelConfig for Example {}

    fn with(key: &str, value: Value) -> Result<Example, ConfigError> {
        overlay("example", &Example::default(), &[(key.to_owned(), value)].into_iter().collect())
    }

    #[test]
    fn every_key_is_described() {
        let keys = describe(&Example::default());
        assert_eq!(
            keys.iter().map(|key| key.key.as_str()).collect::<Vec<_>>(),
            ["factors", "learning_rate", "start"]
        );
        assert_eq!(keys[0].range, "≥ 1 and ≤ 1024");
        assert_eq!(keys[0].default, "auto");
        assert_eq!(keys[1].range, "> 0");
        assert_eq!(keys[2].kind, "svd | random");
        assert_eq!(keys[2].meaning, "Where to begin.");
    }

    #[test]
    fn narrow_numbers_are_shown_in_few_digits() {
        assert_eq!(shortest(Value::from(f64::from(0.1f32))), Value::from(0.1));
        assert_eq!(shortest(Value::from(0.1f64)), Value::from(0.1));
        assert_eq!(shortest(Value::from(3)), Value::from(3));
    }

    #[test]
    fn changes_are_checked() {
        assert_eq!(with("factors", 7.into()).unwrap().factors, Auto::Value(7));
        assert_eq!(with("factors", "auto".into()).unwrap().factors, Auto::Auto);
        assert!(matches!(with("factors", 0.into()), Err(ConfigError::OutOfRange { .. })));
        assert!(matches!(with("factors", 1025.into()), Err(ConfigError::OutOfRange { .. })));
        assert!(matches!(with("learning_rate", 0.into()), Err(ConfigError::OutOfRange { .. })));
        assert!(matches!(with("learning_rate", "fast".into()), Err(ConfigError::WrongType { .. })));
        assert!(matches!(with("start", "zero".into()), Err(ConfigError::WrongType { .. })));
        let error = with("learning_rat", 1.into()).unwrap_err();
        assert!(error.to_string().contains("did you mean `learning_rate`"), "{error}");
    }

    #[test]
    fn letters_swapped_are_one_mistake() {
        assert_eq!(edit_distance("bais", "bias"), 1);
        assert_eq!(edit_distance("bais", "als"), 2);
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        let known = ["als".to_owned(), "bias".to_owned()];
        assert_eq!(nearest("bais", &known).as_deref(), Some("bias"));
    }
}
