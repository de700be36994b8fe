//! A data set that is written in any format and read again is the same, bit for bit.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use foldin_core::{
    Csr, Dataset, Dictionary, FeatureSchema, FeatureValue, Features, Feedback, Field, FieldKind,
    Interactions, RatingScale,
};
use foldin_data::{ConvertError, Format, OpenOptions, convert, open};
use proptest::prelude::*;

const FORMATS: [Format; 4] = [Format::Csv, Format::Tsv, Format::RecBole, Format::JsonLines];

fn same(one: &Dataset, other: &Dataset) {
    assert_eq!(one.name, other.name);
    assert_eq!(one.users, other.users);
    assert_eq!(one.items, other.items);
    assert_eq!(one.titles, other.titles);
    assert_eq!(one.interactions.feedback(), other.interactions.feedback());
    assert_eq!(one.interactions.by_user(), other.interactions.by_user());
    assert_eq!(one.interactions.times(), other.interactions.times());
    assert_eq!(one.user_features, other.user_features);
    assert_eq!(one.item_features, other.item_features);
}

fn round_trip(data: &Dataset, format: Format) {
    let folder = tempfile::tempdir().unwrap();
    let files = convert(data, folder.path(), format).unwrap();
    assert_eq!(files.len(), 4);
    same(data, &open(folder.path().to_str().unwrap(), &OpenOptions::default()).unwrap());
}

fn features(rows: &[Vec<(&str, FeatureValue)>], fields: Vec<Field>) -> Features {
    let schema = FeatureSchema::new(fields);
    let (mut offsets, mut columns, mut values) = (vec![0], vec![], vec![]);
    for row in rows {
        let row =
            schema.encode(&row.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect());
        columns.extend(row.columns);
        values.extend(row.values);
        offsets.push(columns.len());
    }
    let rows = Csr::from_parts(schema.width(), offsets, columns, values).unwrap();
    Features::new(schema.into(), rows).unwrap()
}

fn field(name: &str, kind: FieldKind) -> Field {
    Field { name: name.into(), kind }
}

fn words(values: &[&str]) -> Vec<String> {
    values.iter().map(|word| (*word).to_owned()).collect()
}

/// Unrated items, users without ratings, awkward titles, missing values and keys that look like numbers.
fn awkward() -> Dataset {
    let csr =
        Csr::from_triples(4, 3, &[(0, 1, -9.75), (1, 0, 10.0), (1, 1, 0.1), (3, 1, 0.333_333_34)]).unwrap();
    let scale = RatingScale { min: -10.0, max: 10.0, step: None };
    let interactions =
        Interactions::new(csr, Some(vec![5, -1, 978_300_760, 0]), Feedback::Explicit(scale)).unwrap();
    let users = Dictionary::from_keys(words(&["007", "7", "ann lee", "x:y"])).unwrap();
    let items = Dictionary::from_keys(words(&["b", "a,\"1\"", "c"])).unwrap();
    let mut data = Dataset::new("awkward", interactions, users, items).unwrap();
    data.titles = words(&["Café, \"the\" (1995)", "a,\"1\"", "'; DROP TABLE"]);
    data.user_features = features(
        &[
            vec![
                ("age", FeatureValue::Number(31.0)),
                ("job", FeatureValue::Text("college/grad student".into())),
            ],
            vec![("age", FeatureValue::Number(17.5))],
            vec![],
            vec![("job", FeatureValue::Text("a|b".into()))],
        ],
        vec![
            field("age", FieldKind::Numeric { center: 35.0, scale: 50.0, edges: vec![18.0, 25.0] }),
            field("job", FieldKind::Category { values: words(&["college/grad student", "never", "a|b"]) }),
        ],
    );
    data.item_features = features(
        &[
            vec![("genres", FeatureValue::List(words(&["Sci-Fi", "Film Noir"])))],
            vec![],
            vec![("year", FeatureValue::Number(1995.0)), ("genres", FeatureValue::List(words(&["Sci-Fi"])))],
        ],
        vec![
            field("genres", FieldKind::MultiCategory { values: words(&["Sci-Fi", "Drama", "Film Noir"]) }),
            field("year", FieldKind::Numeric { center: 1985.0, scale: 15.0, edges: vec![] }),
        ],
    );
    data
}

#[test]
fn awkward_data_come_back() {
    for format in FORMATS {
        round_trip(&awkward(), format);
    }
}

#[test]
fn implicit_data_come_back() {
    let csr = Csr::from_triples(2, 2, &[(0, 1, 1.0), (1, 0, 1.0)]).unwrap();
    let keys = |names: &[&str]| Dictionary::from_keys(words(names)).unwrap();
    let interactions = Interactions::new(csr, None, Feedback::Implicit).unwrap();
    let data = Dataset::new("clicks", interactions, keys(&["u", "v"]), keys(&["x", "y"])).unwrap();
    for format in FORMATS {
        round_trip(&data, format);
    }
}

#[test]
fn what_a_format_cannot_hold_is_refused() {
    let mut data = awkward();
    data.users = Dictionary::from_keys(words(&["a\tb", " 7", "c", "d"])).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = convert(&data, folder.path(), Format::Tsv).unwrap_err();
    assert!(
        matches!(error, ConvertError::Unwritable { .. }) && error.to_string().contains("jsonl"),
        "{error}"
    );
    round_trip(&data, Format::Csv);
    round_trip(&data, Format::JsonLines);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_ratings_come_back(
        cells in proptest::collection::btree_map((0u32..6, 0u32..5), (-1e6f32..1e6, any::<i32>()), 1..30),
        titles in proptest::collection::vec("[a-z\",;é (0-9)]{0,12}", 5),
        format in 0usize..4,
    ) {
        let triples: Vec<_> = cells.iter().map(|(&(user, item), &(value, _))| (user, item, value)).collect();
        let times = cells.values().map(|&(_, time)| i64::from(time)).collect();
        let csr = Csr::from_triples(6, 5, &triples).unwrap();
        let scale = RatingScale { min: -1e6, max: 1e6, step: None };
        let interactions = Interactions::new(csr, Some(times), Feedback::Explicit(scale)).unwrap();
        let users = Dictionary::from_keys((0..6).map(|user| format!("u{user}"))).unwrap();
        let items = Dictionary::from_keys((0..5).map(|item| item.to_string())).unwrap();
        let mut data = Dataset::new("any", interactions, users, items).unwrap();
        for (own, title) in data.titles.iter_mut().zip(titles) {
            // A title has no spaces around it, and an empty one is the key.
            if !title.trim().is_empty() {
                *own = title.trim().to_owned();
            }
        }
        round_trip(&data, FORMATS[format]);
    }
}
