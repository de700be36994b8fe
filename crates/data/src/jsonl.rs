//! JSON Lines: one object a line, as in Amazon's reviews.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::error::{LineProblem, ReadError};
use crate::header::named_columns;
use crate::lines::Lines;
use crate::options::OpenOptions;
use crate::ratings::RatingsBuilder;
use crate::table::{parse_rating, parse_time_field};

const WHAT: [&str; 4] = ["user", "item", "rating", "time"];

/// The keys of user, item, rating and time in each object.
struct Keys([Option<String>; 4]);

/// Reads all objects; which key is which is settled by the first.
pub(crate) fn read_interactions(
    lines: &mut Lines<'_>,
    options: &OpenOptions,
    builder: &mut RatingsBuilder,
) -> Result<(), ReadError> {
    let label = lines.file();
    let mut keys: Option<Keys> = None;
    while let Some((line, record)) = lines.next_line()? {
        if record.trim_ascii().is_empty() {
            continue;
        }
        let keys = match &mut keys {
            Some(keys) => &*keys,
            unknown => match serde_json::from_slice::<serde_json::Map<String, Value>>(record) {
                Ok(object) => {
                    let names: Vec<String> = object.keys().cloned().collect();
                    let columns = named_columns(label, &names, &options.columns)?;
                    if columns.rating.is_none() {
                        builder.set_implicit();
                    }
                    let found = [Some(columns.user), Some(columns.item), columns.rating, columns.time];
                    &*unknown.insert(Keys(found.map(|at| at.map(|at| names[at].clone()))))
                }
                Err(error) => {
                    builder.bad_line(line, json_problem(&error))?;
                    continue;
                }
            },
        };
        match keys.interaction(record) {
            Ok((user, item, value, time)) => {
                builder.push(user.as_bytes(), item.as_bytes(), value, time, line)?;
            }
            Err(problem) => builder.bad_line(line, problem)?,
        }
    }
    Ok(())
}

/// Why a line is no JSON object.
pub(crate) fn json_problem(error: &serde_json::Error) -> LineProblem {
    LineProblem::Json { reason: error.to_string() }
}

impl Keys {
    fn interaction(&self, record: &[u8]) -> Result<(String, String, f32, Option<i64>), LineProblem> {
        let mut reader = serde_json::Deserializer::from_slice(record);
        let [user, item, rating, time] = Object(self)
            .deserialize(&mut reader)
            .and_then(|values| reader.end().map(|()| values))
            .map_err(|error| json_problem(&error))?;
        let key = |value: Option<Value>, what: usize| {
            value.as_ref().and_then(text).ok_or_else(|| self.missing(what, record))
        };
        let value = match (&self.0[2], &rating) {
            (None, _) => 1.0,
            (Some(_), None) => return Err(self.missing(2, record)),
            (Some(_), Some(value)) => {
                parse_rating(text(value).unwrap_or_else(|| value.to_string()).as_bytes())?
            }
        };
        let time = match (&self.0[3], &time) {
            // An object may leave its time out.
            (None, _) | (Some(_), None | Some(Value::Null)) => None,
            (Some(_), Some(value)) => {
                Some(parse_time_field(text(value).unwrap_or_else(|| value.to_string()).as_bytes())?)
            }
        };
        Ok((key(user, 0)?, key(item, 1)?, value, time))
    }

    fn missing(&self, what: usize, record: &[u8]) -> LineProblem {
        let object: serde_json::Map<String, Value> = serde_json::from_slice(record).unwrap_or_default();
        let keys = object.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        LineProblem::MissingKey { what: WHAT[what], keys }
    }
}

/// A string or number as text; `None` for anything else.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Takes the four values out of an object without building the rest of it.
struct Object<'k>(&'k Keys);

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = [Option<Value>; 4];

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = [Option<Value>; 4];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut out = [const { None }; 4];
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match self.0.0.iter().position(|wanted| wanted.as_deref() == Some(&*key)) {
                Some(at) => out[at] = Some(map.next_value()?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(out)
    }
}
