//! The real MovieLens files, where `FOLDIN_DATA_DIR` names a folder that has them.

use std::io::Write;

use foldin_core::FeatureValue;
use foldin_data::{DatasetInfo, Format, OpenOptions, convert, open, open_with_report, read_split};

/// Whether the real data can be read. They may not be passed on with the code, so their absence only fails where the
/// whole suite is meant to run.
fn available() -> bool {
    if std::env::var_os("FOLDIN_DATA_DIR").is_some() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "FOLDIN_DATA_DIR must be set where CI is");
    // Written past the test harness, which would show nothing of a test that passes.
    let mut out = std::io::stderr();
    let _ = writeln!(out, "SKIPPED: FOLDIN_DATA_DIR is not set, so the real MovieLens files were not read");
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

#[test]
fn the_official_splits_partition_the_ratings() {
    if !available() {
        return;
    }
    let options = OpenOptions::default();
    let data = open("ml-100k", &options).unwrap();
    for (name, n_test) in [
        ("u1", 20_000),
        ("u2", 20_000),
        ("u3", 20_000),
        ("u4", 20_000),
        ("u5", 20_000),
        ("ua", 9430),
        ("ub", 9430),
    ] {
        let (train, test) = read_split("ml-100k", &data, name, &options).unwrap();
        assert_eq!((train.len(), test.len()), (100_000 - n_test, n_test), "{name}");
        assert_eq!((train.n_users(), train.n_items()), (943, 1682));
        for (user, item, value) in test {
            let (items, values) = data.interactions.by_user().row(user.index());
            let at = items.binary_search(&item.0).unwrap();
            assert!((values[at] - value).abs() < f32::EPSILON);
        }
    }
    let message = read_split("ml-100k", &data, "u9", &options).unwrap_err().to_string();
    assert!(message.contains("u1, u2") && message.contains("TRAIN,TEST"), "{message}");
}

#[test]
fn a_split_in_files_is_matched_by_key() {
    if !available() {
        return;
    }
    let options = OpenOptions::default();
    let data = open("ml-1m", &options).unwrap();
    let spec = "cfgan/ML1M.train.original-ids.tsv.gz,cfgan/ML1M.test.original-ids.tsv.gz";
    let (train, test) = read_split("ml-1m", &data, spec, &options).unwrap();
    assert_eq!((train.len(), test.len()), (800_199, 200_010));
    let spec = "cfgan/ML1M.train.original-ids.tsv.gz,cfgan/ML1M.train.original-ids.tsv.gz";
    let message = read_split("ml-1m", &data, spec, &options).unwrap_err().to_string();
    assert!(message.contains("are in the training part and in the test part"), "{message}");
}

#[test]
fn the_figures_of_movielens_100k_are_reported() {
    if !available() {
        return;
    }
    let (data, report) = open_with_report("ml-100k", &OpenOptions::default()).unwrap();
    let info = DatasetInfo::new(&data, &report);
    let text = info.to_string();
    for part in [
        "943",
        "1,682",
        "100,000",
        "6.3047 %",
        "1 to 5, in steps of 1",
        "1997-09-20",
        "1998-04-22",
        "21 values",
        "34,174",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    assert_eq!((info.per_user.least, info.per_user.most, info.per_item.most), (20, 737, 583));
}

#[test]
fn movielens_100k_comes_back_from_every_format() {
    if !available() {
        return;
    }
    let data = open("ml-100k", &OpenOptions::default()).unwrap();
    for format in [Format::Csv, Format::Tsv, Format::RecBole, Format::JsonLines] {
        let folder = tempfile::tempdir().unwrap();
        convert(&data, folder.path(), format).unwrap();
        let again = open(folder.path().to_str().unwrap(), &OpenOptions::default()).unwrap();
        assert_eq!(again.interactions.fingerprint(), data.interactions.fingerprint(), "{format:?}");
        assert_eq!(again.titles, data.titles);
        assert_eq!(again.user_features, data.user_features);
        assert_eq!(again.item_features, data.item_features);
    }
}

#[test]
fn other_real_files_are_read() {
    if !available() {
        return;
    }
    let last = OpenOptions { duplicates: foldin_data::Duplicates::Last, ..OpenOptions::default() };
    let fashion = open("amazon-fashion-5core", &OpenOptions::default());
    let message = fashion.unwrap_err().to_string();
    assert!(message.contains("134 such lines"), "{message}");
    let (fashion, report) = open_with_report("amazon-fashion-5core", &last).unwrap();
    assert_eq!((fashion.users.len(), fashion.items.len(), fashion.interactions.len()), (406, 31, 3042));
    assert_eq!(report.duplicates, 134);
    let (purchases, _) = open_with_report("hm-sample/transactions_train_sample.csv.gz", &last).unwrap();
    assert_eq!(
        (purchases.users.len(), purchases.items.len(), purchases.interactions.len()),
        (1364, 17_033, 27_443)
    );
    let ciao = open("cfgan/Ciao.train.gz", &OpenOptions::default()).unwrap();
    assert_eq!(ciao.interactions.len(), 13_464);
}
