//! Side information of users and items, encoded the same way in training and when a new user arrives.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::csr::Csr;
use crate::error::DataError;

/// How one field becomes columns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FieldKind {
    /// One column `(x − center) / scale`, then one column for each bucket between `edges` (one more than there are
    /// edges; none if `edges` is empty).
    Numeric {
        /// Taken from the value first.
        center: f32,
        /// Then divided by this; not 0.
        scale: f32,
        /// Ascending bucket bounds; a value equal to an edge lies in the bucket above it.
        edges: Vec<f32>,
    },
    /// One column for each known value. An unknown value is the all-zero block.
    Category {
        /// Known values, by column.
        values: Vec<String>,
    },
    /// As `Category`, for fields that hold several values at once.
    MultiCategory {
        /// Known values, by column.
        values: Vec<String>,
    },
}

impl FieldKind {
    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        match self {
            Self::Numeric { edges, .. } => 1 + if edges.is_empty() { 0 } else { edges.len() + 1 },
            Self::Category { values } | Self::MultiCategory { values } => values.len(),
        }
    }
}

/// One named field of side information.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Name, as in `{"age": 31}`.
    pub name: String,
    /// How it becomes columns.
    #[serde(flatten)]
    pub kind: FieldKind,
}

/// A value of side information as people write it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FeatureValue {
    /// A number.
    Number(f64),
    /// A word.
    Text(String),
    /// Several words.
    List(Vec<String>),
}

/// Side information by field name, as it comes in.
pub type RawFeatures = BTreeMap<String, FeatureValue>;

/// One encoded row: columns (ascending) and their values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FeatureRow<'a> {
    /// Columns of the schema.
    pub columns: &'a [u32],
    /// The value of each.
    pub values: &'a [f32],
}

/// An encoded row that owns its arrays, and what could not be encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedRow {
    /// Columns, ascending.
    pub columns: Vec<u32>,
    /// The value of each.
    pub values: Vec<f32>,
    /// Fields or values the schema does not know, in words. They count as absent.
    pub unknown: Vec<String>,
}

impl EncodedRow {
    /// The row as a model takes it.
    #[must_use]
    pub fn as_row(&self) -> FeatureRow<'_> {
        FeatureRow { columns: &self.columns, values: &self.values }
    }
}

/// The fields of a table of side information and how each is encoded. Saved with the model.
///
/// # Example
/// ```
/// use foldin_core::{FeatureSchema, FeatureValue, Field, FieldKind};
/// let schema = FeatureSchema::new(vec![
///     Field { name: "age".into(), kind: FieldKind::Numeric { center: 35.0, scale: 50.0, edges: vec![] } },
///     Field { name: "job".into(), kind: FieldKind::Category { values: vec!["artist".into(), "writer".into()] } },
/// ]);
/// let row = schema.encode(&[("age".into(), FeatureValue::Number(60.0)), ("job".into(), FeatureValue::Text("writer".into()))].into());
/// assert_eq!((row.columns, row.values), (vec![0, 2], vec![0.5, 1.0]));
/// let row = schema.encode(&[("job".into(), FeatureValue::Text("astronaut".into()))].into());
/// assert!(row.columns.is_empty() && row.unknown[0].contains("astronaut"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FeatureSchema {
    fields: Vec<Field>,
}

impl FeatureSchema {
    /// A schema of the given fields, in column order.
    #[must_use]
    pub fn new(fields: Vec<Field>) -> Self {
        Self { fields }
    }

    /// The fields.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Number of columns.
    #[must_use]
    pub fn width(&self) -> usize {
        self.fields.iter().map(|field| field.kind.width()).sum()
    }

    /// A name for each column, such as `genres=Drama`.
    #[must_use]
    pub fn column_names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.width());
        for Field { name, kind } in &self.fields {
            match kind {
                FieldKind::Numeric { edges, .. } => {
                    names.push(name.clone());
                    if let (Some(first), Some(last)) = (edges.first(), edges.last()) {
                        names.push(format!("{name}<{first}"));
                        names.extend(edges.windows(2).map(|pair| format!("{name}={}..{}", pair[0], pair[1])));
                        names.push(format!("{name}>={last}"));
                    }
                }
                FieldKind::Category { values } | FieldKind::MultiCategory { values } => {
                    names.extend(values.iter().map(|value| format!("{name}={value}")));
                }
            }
        }
        names
    }

    /// Side information by field name again, as far as the columns tell: numbers to six digits, lists in the order of the columns.
    /// Encoding it again gives the same row.
    #[must_use]
    pub fn decode(&self, row: FeatureRow<'_>) -> RawFeatures {
        let mut raw = RawFeatures::new();
        let mut first = 0u32;
        for Field { name, kind } in &self.fields {
            let end = first + kind.width() as u32;
            let here = row.columns.partition_point(|&column| column < first)
                ..row.columns.partition_point(|&column| column < end);
            let mut cells = row.columns[here.clone()].iter().zip(&row.values[here]).peekable();
            let value = match kind {
                FieldKind::Numeric { center, scale, .. } => cells
                    .peek()
                    .filter(|(column, _)| **column == first)
                    .map(|(_, value)| FeatureValue::Number(six_digits(**value * scale + center))),
                FieldKind::Category { values } => cells
                    .next()
                    .map(|(&column, _)| FeatureValue::Text(values[(column - first) as usize].clone())),
                FieldKind::MultiCategory { values } => cells.peek().is_some().then(|| {
                    FeatureValue::List(
                        cells.map(|(&column, _)| values[(column - first) as usize].clone()).collect(),
                    )
                }),
            };
            if let Some(value) = value {
                raw.insert(name.clone(), value);
            }
            first = end;
        }
        raw
    }

    /// Encodes one row. What the schema does not know is left out and named in [`EncodedRow::unknown`]; it is never an error.
    #[must_use]
    pub fn encode(&self, raw: &RawFeatures) -> EncodedRow {
        let mut row = EncodedRow::default();
        for name in raw.keys() {
            if !self.fields.iter().any(|field| &field.name == name) {
                row.unknown.push(format!("unknown field `{name}`"));
            }
        }
        let mut first = 0u32;
        for Field { name, kind } in &self.fields {
            if let Some(value) = raw.get(name) {
                encode_field(name, kind, value, first, &mut row);
            }
            first += kind.width() as u32;
        }
        row
    }
}

/// What a number was before it was scaled: an `f32` holds no more digits than these.
fn six_digits(value: f32) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(f64::from(value))
}

fn encode_field(name: &str, kind: &FieldKind, value: &FeatureValue, first: u32, row: &mut EncodedRow) {
    match kind {
        FieldKind::Numeric { center, scale, edges } => {
            let number = match value {
                FeatureValue::Number(number) => Some(*number as f32),
                FeatureValue::Text(text) => text.trim().parse::<f32>().ok(),
                FeatureValue::List(_) => None,
            };
            let Some(number) = number.filter(|number| number.is_finite()) else {
                row.unknown.push(format!("`{name}` is not a number: {value:?}"));
                return;
            };
            row.columns.push(first);
            row.values.push((number - center) / scale);
            if !edges.is_empty() {
                row.columns.push(first + 1 + edges.partition_point(|&edge| edge <= number) as u32);
                row.values.push(1.0);
            }
        }
        FieldKind::Category { values } | FieldKind::MultiCategory { values } => {
            let given: Vec<String> = match value {
                FeatureValue::Number(number) => vec![number.to_string()],
                FeatureValue::Text(text) => vec![text.clone()],
                FeatureValue::List(list) => list.clone(),
            };
            let mut columns = Vec::with_capacity(given.len());
            for word in given {
                match values.iter().position(|known| *known == word) {
                    Some(at) => columns.push(first + at as u32),
                    None => row.unknown.push(format!("`{name}` has no value `{word}`")),
                }
            }
            columns.sort_unstable();
            columns.dedup();
            row.values.extend(columns.iter().map(|_| 1.0));
            row.columns.extend(columns);
        }
    }
}

/// Encoded side information of many users or items.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    schema: Arc<FeatureSchema>,
    rows: Csr,
}

impl Features {
    /// No side information for `n` rows.
    #[must_use]
    pub fn none(n: usize) -> Self {
        Self { schema: Arc::default(), rows: Csr::empty(n, 0) }
    }

    /// Encoded rows with their schema.
    ///
    /// # Errors
    /// [`DataError::Shape`] if the matrix has not one column for each column of the schema.
    pub fn new(schema: Arc<FeatureSchema>, rows: Csr) -> Result<Self, DataError> {
        if rows.n_cols() != schema.width() {
            return Err(DataError::Shape {
                what: "feature columns",
                expected: schema.width(),
                got: rows.n_cols(),
            });
        }
        Ok(Self { schema, rows })
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<FeatureSchema> {
        &self.schema
    }

    /// The encoded rows, `[n × width]`.
    #[must_use]
    pub fn rows(&self) -> &Csr {
        &self.rows
    }

    /// Number of rows.
    #[must_use]
    pub fn n_rows(&self) -> usize {
        self.rows.n_rows()
    }

    /// Number of columns; 0 if there is no side information.
    #[must_use]
    pub fn width(&self) -> usize {
        self.rows.n_cols()
    }

    /// One encoded row.
    ///
    /// # Panics
    /// If `row` is out of range.
    #[must_use]
    pub fn row(&self, row: usize) -> FeatureRow<'_> {
        let (columns, values) = self.rows.row(row);
        FeatureRow { columns, values }
    }

    /// The given rows, in the given order.
    ///
    /// # Panics
    /// If a row is out of range.
    #[must_use]
    pub fn select_rows(&self, rows: &[u32]) -> Self {
        Self { schema: self.schema.clone(), rows: self.rows.select_rows(rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> FeatureSchema {
        FeatureSchema::new(vec![
            Field {
                name: "age".into(),
                kind: FieldKind::Numeric { center: 0.0, scale: 10.0, edges: vec![18.0, 25.0] },
            },
            Field {
                name: "genres".into(),
                kind: FieldKind::MultiCategory { values: vec!["A".into(), "B".into()] },
            },
        ])
    }

    #[test]
    fn buckets_include_their_lower_edge() {
        for (age, bucket) in [(17.0, 1), (18.0, 2), (24.9, 2), (25.0, 3), (80.0, 3)] {
            let row = schema().encode(&[("age".to_owned(), FeatureValue::Number(age))].into());
            assert_eq!(row.columns, vec![0, bucket], "age {age}");
        }
        assert_eq!(schema().width(), 6);
        assert_eq!(
            schema().column_names(),
            ["age", "age<18", "age=18..25", "age>=25", "genres=A", "genres=B"]
        );
    }

    #[test]
    fn lists_are_sorted_and_repeated_values_count_once() {
        let list = FeatureValue::List(vec!["B".into(), "A".into(), "B".into(), "C".into()]);
        let row = schema().encode(&[("genres".to_owned(), list)].into());
        assert_eq!(row.columns, vec![4, 5]);
        assert_eq!(row.unknown.len(), 1);
    }

    #[test]
    fn what_was_encoded_can_be_read_again() {
        let raw: RawFeatures = [
            ("age".to_owned(), FeatureValue::Number(31.0)),
            ("genres".to_owned(), FeatureValue::List(vec!["B".into()])),
        ]
        .into();
        let schema = FeatureSchema::new(
            [
                Field {
                    name: "year".into(),
                    kind: FieldKind::Numeric { center: 1986.3, scale: 17.1, edges: vec![] },
                },
                Field { name: "job".into(), kind: FieldKind::Category { values: vec!["writer".into()] } },
            ]
            .into_iter()
            .chain(schema().fields)
            .collect(),
        );
        assert_eq!(schema.decode(schema.encode(&raw).as_row()), raw);
        let more: RawFeatures = [
            ("year".to_owned(), FeatureValue::Number(1995.0)),
            ("job".to_owned(), FeatureValue::Text("writer".into())),
        ]
        .into();
        assert_eq!(schema.decode(schema.encode(&more).as_row()), more);
        assert!(schema.decode(FeatureRow::default()).is_empty());
    }

    #[test]
    fn a_schema_survives_json() {
        let json = serde_json::to_string(&schema()).unwrap();
        assert_eq!(serde_json::from_str::<FeatureSchema>(&json).unwrap(), schema());
    }
}
