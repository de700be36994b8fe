//! What is refused, how it is said, and the exit code that goes with it.

use crate::{foldin, refused, shown, write, write_ratings};

#[test]
fn wrong_usage_ends_with_two() {
    let folder = tempfile::tempdir().unwrap();
    write_ratings(folder.path());
    for (name, args) in [
        ("no_command", &["frobnicate"][..]),
        ("unknown_model", &["train", "--data", "ratings.csv", "--model", "bias-sdv", "--out", "m"]),
        ("no_data", &["train", "--model", "bias", "--out", "m"]),
        ("bad_set", &["train", "--data", "ratings.csv", "--model", "bias", "--out", "m", "--set", "damping"]),
        ("bad_protocol", &["evaluate", "--data", "ratings.csv", "--protocol", "guess", "--models", "bias"]),
        (
            "unknown_key",
            &["train", "--data", "ratings.csv", "--model", "bias-svd", "--out", "m", "--set", "factor=3"],
        ),
        (
            "bad_value",
            &["train", "--data", "ratings.csv", "--model", "bias-svd", "--out", "m", "--set", "epochs=abc"],
        ),
        (
            "out_of_range",
            &[
                "train",
                "--data",
                "ratings.csv",
                "--model",
                "bias-svd",
                "--out",
                "m",
                "--set",
                "factors=99999",
            ],
        ),
        ("no_fold_6", &["evaluate", "--data", "ratings.csv", "--models", "bias", "--only-folds", "6"]),
        ("one_fold", &["evaluate", "--data", "ratings.csv", "--models", "bias", "--folds", "1"]),
        ("same_label", &["evaluate", "--data", "ratings.csv", "--models", "bias,bias"]),
        (
            "split_and_protocol",
            &["evaluate", "--data", "d", "--models", "bias", "--split", "a,b", "--protocol", "new-users"],
        ),
        (
            "split_and_folds",
            &["evaluate", "--data", "d", "--models", "bias", "--split", "a,b", "--folds", "3"],
        ),
        ("unknown_split", &["evaluate", "--data", "ratings.csv", "--models", "bias", "--split", "u9"]),
        ("unknown_fetch", &["data", "fetch", "zzz"]),
        ("unknown_recipe", &["reproduce", "lfg-table9"]),
    ] {
        let text = shown(folder.path(), args);
        assert!(text.starts_with("exit code 2"), "{text}");
        insta::assert_snapshot!(format!("usage_{name}"), text);
    }
}

#[test]
fn what_cannot_be_done_ends_with_one() {
    let folder = tempfile::tempdir().unwrap();
    write_ratings(folder.path());
    let file = |name: &str, text: &str| write(folder.path(), name, text);
    file("empty.csv", "");
    file("nan.csv", "user,item,rating\na,b,3\na,c,NaN\n");
    file("twice.csv", "user,item,rating\na,b,3\nb,b,2\na,b,4\n");
    file("separator.csv", "user,item,rating\na;b;3\n");
    for (name, args) in [
        ("missing_data", &["data", "info", "--data", "nowhere.csv"][..]),
        ("unknown_name", &["data", "info", "--data", "ml-100k"]),
        ("empty", &["data", "info", "--data", "empty.csv"]),
        ("nan", &["data", "info", "--data", "nan.csv"]),
        ("twice", &["train", "--data", "twice.csv", "--model", "bias", "--out", "m"]),
        ("separator", &["data", "info", "--data", "separator.csv"]),
        ("scale", &["data", "info", "--data", "ratings.csv", "--scale", "1,5"]),
        ("missing_model", &["recommend", "--model", "nowhere", "--rate", "i1=5"]),
        ("absolute", &["data", "info", "--data", "/nowhere/ratings.csv"]),
        ("fetch_by_hand", &["data", "fetch", "netflix"]),
        ("device", &["data", "info", "--data", "/dev/null"]),
        ("duplicates", &["data", "info", "--data", "twice.csv", "--duplicates", "error"]),
        ("off_step", &["data", "info", "--data", "twice.csv", "--scale", "1,5,2", "--duplicates", "last"]),
    ] {
        let text = shown(folder.path(), args);
        assert!(text.starts_with("exit code 1"), "{text}");
        insta::assert_snapshot!(format!("error_{name}"), text);
    }
}

#[test]
fn results_that_cannot_be_written_are_refused_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    write(at, "file", "text");
    std::fs::create_dir(at.join("report.json")).unwrap();
    let evaluate = ["evaluate", "--data", "nowhere.csv", "--models", "bias"];
    for more in [["--json", "report.json"], ["--json", "file/report.json"], ["--html", "file/x/report.html"]]
    {
        // The data do not exist either: had they been looked at first, the message would be about them.
        let text = refused(at, 1, &[&evaluate[..], &more].concat());
        assert!(
            text.contains("cannot ") && text.contains(more[1].rsplit_once('/').map_or(more[1], |two| two.0)),
            "{text}"
        );
    }
    let text = refused(at, 1, &["train", "--data", "nowhere.csv", "--model", "bias", "--out", "file/m"]);
    assert!(text.contains("file"), "{text}");
    // What is there stays until there is something better.
    write(at, "kept.json", "earlier");
    refused(at, 1, &[&evaluate[..], &["--json", "kept.json"]].concat());
    assert_eq!(crate::read(at, "kept.json"), "earlier");
    assert!(!foldin(at, &[&evaluate[..], &["--json", "new.json"]].concat()).status.success());
    assert!(!at.join("new.json").exists());
}
