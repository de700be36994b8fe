//! The real MovieLens files, where `FOLDIN_DATA_DIR` names a folder that has them.

use foldin_core::FeatureValue;
use foldin_data::{OpenOptions, open};

/// Whether the real data can be read. They may not be passed on with the code, so their absence only fails where the
/// whole suite is meant to run.
fn available() -> bool {
    if std::env::var_os("FOLDIN_DATA_DIR").is_some() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "FOLDIN_DATA_DIR must be set where CI is");
    eprintln!("SKIPPED: FOLDIN_DATA_DIR is not set, so the real MovieLens files were not read");
    false
}

#[test]
fn movielens_100k_has_its_counts() {
    if !available() {
        return;
    }
    let data = open("ml-100k", &OpenOptions::default()).unwrap();
    assert_eq!((data.users.len(), data.items.len(), data.interactions.len()), (943, 1682, 100_000));
    assert_eq!(data.name, "ml-100k");
    assert_eq!(data.titles[0], "Toy Story (1995)");
    assert_eq!((data.user_features.width(), data.item_features.width()), (8 + 2 + 21, 19 + 1));
    assert!((data.interactions.mean() - 3.529_86).abs() < 1e-9);
    assert!(data.titles.iter().any(|title| title.contains('é')), "Latin-1 titles are decoded");
    let age = ("age".to_owned(), FeatureValue::Number(24.0));
    let row = data.user_features.row(0);
    assert_eq!(row.columns[..2], data.user_features.schema().encode(&[age].into()).columns);
}

#[test]
fn movielens_1m_has_its_counts() {
    if !available() {
        return;
    }
    let data = open("ml-1m", &OpenOptions::default()).unwrap();
    assert_eq!((data.users.len(), data.items.len(), data.interactions.len()), (6040, 3883, 1_000_209));
    assert_eq!((data.user_features.width(), data.item_features.width()), (8 + 2 + 21, 18 + 1));
    assert!((data.interactions.mean() - 3.581_56).abs() < 1e-5);
}
