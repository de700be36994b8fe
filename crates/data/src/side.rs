//! Tables of users and items: keys, titles and side information, and how they become features.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use foldin_core::{
    Csr, DataError, Dataset, Dictionary, FeatureSchema, FeatureValue, Features, Field, FieldKind, RawFeatures,
};

use crate::keys::Keys;
use crate::ratings::Ratings;
use crate::report::ReadReport;

/// A field with more values than this identifies rather than describes (a post code, a name), and is left out.
const MAX_VALUES: usize = 200;

/// The bounds of age groups in MovieLens, used for every field called `age`.
const AGE_EDGES: [f32; 6] = [18.0, 25.0, 35.0, 45.0, 50.0, 56.0];

/// How a field with no schema of its own is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// A number.
    Number,
    /// One word of a few.
    Word,
    /// Several words of a few.
    Words,
    /// Several numbers, which no field can hold.
    Numbers,
}

/// Users or items as a file describes them, in its order.
#[derive(Debug, Default)]
pub(crate) struct SideTable {
    pub(crate) keys: Dictionary,
    /// Empty where the file has no title.
    pub(crate) titles: Vec<String>,
    pub(crate) rows: Vec<RawFeatures>,
    pub(crate) fields: Vec<Field>,
}

impl SideTable {
    /// Adds a row; false if the key is there already.
    pub(crate) fn push(&mut self, key: &str, title: String, row: RawFeatures) -> bool {
        if self.keys.intern(key) as usize != self.rows.len() {
            return false;
        }
        self.titles.push(title);
        self.rows.push(row);
        true
    }

    /// Finds an encoding for each of the named fields from the values there are.
    pub(crate) fn derive_fields(&mut self, hints: &[(String, Hint)], report: &mut ReadReport) {
        for (name, hint) in hints {
            let values = self.rows.iter().filter_map(|row| row.get(name));
            match derive_kind(name, *hint, values) {
                Ok(kind) => self.fields.push(Field { name: name.clone(), kind }),
                Err(reason) => {
                    report.note(format!("`{name}` is left out of the side information: {reason}"));
                    self.rows.iter_mut().for_each(|row| {
                        row.remove(name);
                    });
                }
            }
        }
    }

    /// The keys, to number the interactions by.
    pub(crate) fn take_keys(&mut self) -> Keys {
        Keys::from_dictionary(&std::mem::take(&mut self.keys))
    }

    /// Encodes all rows, and `n - rows` empty ones behind them.
    fn features(&self, n: usize) -> Result<Features, DataError> {
        let schema = Arc::new(FeatureSchema::new(self.fields.clone()));
        let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        for row in &self.rows {
            let encoded = schema.encode(row);
            columns.extend(encoded.columns);
            values.extend(encoded.values);
            offsets.push(columns.len());
        }
        offsets.resize(n + 1, columns.len());
        Features::new(schema.clone(), Csr::from_parts(schema.width(), offsets, columns, values)?)
    }
}

/// How fields known by name are encoded, whatever file they come from.
pub(crate) fn known_kind(name: &str) -> Option<FieldKind> {
    match name {
        "age" => Some(FieldKind::Numeric { center: 35.0, scale: 50.0, edges: AGE_EDGES.to_vec() }),
        "year" => Some(FieldKind::Numeric { center: 1985.0, scale: 15.0, edges: Vec::new() }),
        _ => None,
    }
}

fn derive_kind<'a>(
    name: &str,
    hint: Hint,
    values: impl Iterator<Item = &'a FeatureValue>,
) -> Result<FieldKind, String> {
    if let Some(kind) = known_kind(name) {
        return Ok(kind);
    }
    if hint == Hint::Numbers {
        return Err("it holds lists of numbers".to_owned());
    }
    if hint == Hint::Number {
        let (mut n, mut sum, mut squares) = (0.0f64, 0.0f64, 0.0f64);
        for value in values {
            if let FeatureValue::Number(value) = value {
                n += 1.0;
                sum += value;
                squares += value * value;
            }
        }
        let mean = sum / n;
        let deviation = (squares / n - mean * mean).max(0.0).sqrt();
        if !(deviation > 0.0 && deviation.is_finite()) {
            return Err("it has no two different numbers".to_owned());
        }
        return Ok(FieldKind::Numeric { center: mean as f32, scale: deviation as f32, edges: Vec::new() });
    }
    let mut words = BTreeSet::new();
    for value in values {
        match value {
            FeatureValue::Text(word) => {
                words.insert(word.as_str());
            }
            FeatureValue::List(list) => words.extend(list.iter().map(String::as_str)),
            FeatureValue::Number(_) => {}
        }
        if words.len() > MAX_VALUES {
            return Err(format!("it has more than {MAX_VALUES} values"));
        }
    }
    if words.len() < 2 && hint == Hint::Word {
        return Err("it has no two different values".to_owned());
    }
    let values = words.into_iter().map(str::to_owned).collect();
    Ok(if hint == Hint::Word { FieldKind::Category { values } } else { FieldKind::MultiCategory { values } })
}

/// Puts interactions and tables together. Users and items that no table describes come behind those it does.
pub(crate) fn assemble(
    name: String,
    ratings: Ratings,
    users: &SideTable,
    items: &mut SideTable,
) -> Result<(Dataset, ReadReport), DataError> {
    let Ratings { interactions, users: user_keys, items: item_keys, mut report } = ratings;
    let (n_users, n_items) = (interactions.n_users(), interactions.n_items());
    for (what, n, described) in [("users", n_users, users.rows.len()), ("items", n_items, items.rows.len())] {
        if described > 0 && n > described {
            report.note(format!("{} of {n} {what} are missing in the table of {what}", n - described));
        }
    }
    let mut titles = std::mem::take(&mut items.titles);
    titles.resize(n_items, String::new());
    for (title, key) in titles.iter_mut().zip(item_keys.keys()) {
        if title.is_empty() {
            key.clone_into(title);
        }
    }
    let dataset = Dataset {
        name,
        user_features: users.features(n_users)?,
        item_features: items.features(n_items)?,
        interactions,
        users: user_keys,
        items: item_keys,
        titles,
    };
    dataset.check()?;
    Ok((dataset, report))
}

/// Raw side information out of an encoded row: what [`FeatureSchema::encode`] would encode the same way again.
pub(crate) fn decode_row(features: &Features, row: usize) -> RawFeatures {
    let encoded = features.row(row);
    let cells: BTreeMap<u32, f32> =
        encoded.columns.iter().copied().zip(encoded.values.iter().copied()).collect();
    let mut out = RawFeatures::new();
    let mut first = 0u32;
    for Field { name, kind } in features.schema().fields() {
        let range = first..first + kind.width() as u32;
        first = range.end;
        match kind {
            FieldKind::Numeric { center, scale, .. } => {
                if let Some(value) = cells.get(&range.start) {
                    out.insert(name.clone(), FeatureValue::Number(undo(*value, *center, *scale)));
                }
            }
            FieldKind::Category { values } | FieldKind::MultiCategory { values } => {
                let mut words: Vec<String> = cells
                    .range(range.clone())
                    .map(|(column, _)| values[(column - range.start) as usize].clone())
                    .collect();
                if matches!(kind, FieldKind::MultiCategory { .. }) {
                    if !words.is_empty() {
                        out.insert(name.clone(), FeatureValue::List(words));
                    }
                } else if let Some(word) = words.pop() {
                    out.insert(name.clone(), FeatureValue::Text(word));
                }
            }
        }
    }
    out
}

/// The number with the fewest decimals that encodes to `value`; ages and years come back whole.
fn undo(value: f32, center: f32, scale: f32) -> f64 {
    let exact = f64::from(value) * f64::from(scale) + f64::from(center);
    for places in 0..8 {
        let unit = 10f64.powi(places);
        let rounded = (exact * unit).round() / unit;
        if ((rounded as f32 - center) / scale).to_bits() == value.to_bits() {
            return rounded;
        }
    }
    exact
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_derived_and_useless_ones_left_out() {
        let mut table = SideTable::default();
        for (key, colour, price) in [("a", "red", 1.0), ("b", "blue", 3.0), ("c", "red", 5.0)] {
            let row = [
                ("colour".to_owned(), FeatureValue::Text(colour.into())),
                ("price".to_owned(), FeatureValue::Number(price)),
                ("same".to_owned(), FeatureValue::Text("x".into())),
            ];
            assert!(table.push(key, String::new(), row.into()));
        }
        assert!(!table.push("a", String::new(), RawFeatures::new()));
        let mut report = ReadReport::default();
        let hints = [("colour", Hint::Word), ("price", Hint::Number), ("same", Hint::Word)]
            .map(|(name, hint)| (name.to_owned(), hint));
        table.derive_fields(&hints, &mut report);
        assert_eq!(table.fields.len(), 2);
        assert!(report.notes[0].contains("`same`"));
        let features = table.features(4).unwrap();
        assert_eq!((features.n_rows(), features.width()), (4, 3));
        for row in 0..3 {
            assert_eq!(decode_row(&features, row), table.rows[row]);
        }
        assert!(decode_row(&features, 3).is_empty());
    }

    proptest! {
        #[test]
        fn ages_and_years_come_back_whole(age in 1u8..110, year in 1880u16..2100) {
            let (age, year) = (f32::from(age), f32::from(year));
            prop_assert_eq!(undo((age - 35.0) / 50.0, 35.0, 50.0).to_bits(), f64::from(age).to_bits());
            prop_assert_eq!(undo((year - 1985.0) / 15.0, 1985.0, 15.0).to_bits(), f64::from(year).to_bits());
        }
    }
}
