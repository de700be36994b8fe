//! Comparing models.

use crate::{both, json, ok, read, refused, write, write_ratings};

#[test]
fn evaluation_writes_its_json_and_html() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    for protocol in ["ratings", "ratings-random", "new-users"] {
        let table = ok(
            at,
            &[
                "evaluate",
                "--data",
                "ratings.csv",
                "--protocol",
                protocol,
                "--models",
                "item-mean,bias-svd",
                "--folds",
                "3",
                "--only-folds",
                "1,2",
                "--json",
                "r.json",
                "--html",
                "r.html",
                "--quiet",
            ],
        );
        assert!(table.contains("bias-svd"), "{table}");
        let report: serde_json::Value =
            serde_json::from_str(&std::fs::read_to_string(at.join("r.json")).unwrap()).unwrap();
        let metric = if protocol == "new-users" { "rmse@all" } else { "rmse" };
        let rmse = |model: usize| report["models"][model]["metrics"][metric]["mean"].as_f64().unwrap();
        assert_eq!(report["models"][1]["metrics"][metric]["folds"].as_array().unwrap().len(), 2);
        assert!(rmse(1) < 0.6 * rmse(0), "{protocol}: {} {}", rmse(1), rmse(0));
        let html = std::fs::read_to_string(at.join("r.html")).unwrap();
        assert!(html.contains("<svg"));
        for outside in ["src=\"http", "href=\"http", "url(http", "@import"] {
            assert!(!html.contains(outside), "the page stands alone, without {outside}");
        }
    }
}

/// A training and a test part of the ratings of [`write_ratings`], every fifth to the test.
fn write_split(folder: &std::path::Path) {
    let all = read(folder, "ratings.csv");
    let (header, lines) = all.split_once('\n').expect("there is a header");
    let part = |test: bool| -> String {
        let chosen = lines.lines().enumerate().filter(|(at, _)| (at % 5 == 0) == test);
        chosen.fold(header.to_owned() + "\n", |text, (_, line)| text + line + "\n")
    };
    write(folder, "train.csv", part(false));
    write(folder, "test.csv", part(true));
}

#[test]
fn a_given_split_stands_in_place_of_the_folds() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    write_split(at);
    let args =
        ["evaluate", "--data", "ratings.csv", "--models", "bias", "--split", "train.csv,test.csv", "--quiet"];
    ok(at, &[&args[..], &["--json", "r.json"]].concat());
    let report = json(&read(at, "r.json"));
    assert_eq!(
        (&report["protocol"], &report["folds"][0]),
        (&json("\"given\""), &json("\"train.csv,test.csv\""))
    );
    let named = ok(at, &[&args[..], &["--protocol", "ratings", "--json", "r.json"]].concat());
    assert!(named.contains("splits train.csv,test.csv"), "{named}");
    for protocol in ["new-users", "ratings-random"] {
        let text = refused(at, 2, &[&args[..], &["--protocol", protocol]].concat());
        assert!(text.contains(protocol) && text.contains("leave out one"), "{text}");
    }
    let text = refused(at, 2, &[&args[..], &["--folds", "3"]].concat());
    assert!(text.contains("--folds 3 has no meaning with --split"), "{text}");
    let overlapping =
        ["evaluate", "--data", "ratings.csv", "--models", "bias", "--split", "train.csv,train.csv"];
    let text = refused(at, 1, &overlapping);
    assert!(text.contains("in the training part and in the test part"), "{text}");
}

#[test]
fn one_model_may_be_there_twice_under_two_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    let args = ["evaluate", "--data", "ratings.csv", "--models", "bias,small=bias-svd,large=bias-svd"];
    let more = ["--set", "epochs=3", "--set", "factors=2", "--set", "large.factors=6", "--only-folds", "1"];
    let (_, said) = both(at, &[&args[..], &more, &["--json", "r.json"]].concat());
    assert!(said.contains("`epochs` is a setting of small, large alone"), "{said}");
    let report = json(&read(at, "r.json"));
    let of = |model: usize, key: &str| report["models"][model]["config"][key].clone();
    assert_eq!([of(1, "factors"), of(2, "factors"), of(2, "epochs")], [2, 6, 3]);
    assert_eq!(report["models"][2]["label"], "large");
}

/// Ctrl-C keeps the folds that are finished.
#[cfg(unix)]
#[test]
fn a_stopped_evaluation_reports_what_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    // How many folds are done when the signal comes is up to the machine: wait longer until it is at least one.
    for wait in [300, 1000, 3000, 9000] {
        let child = std::process::Command::new(env!("CARGO_BIN_EXE_foldin"))
            .args(["evaluate", "--data", "ratings.csv", "--models", "bias-svd", "--folds", "400"])
            .args(["--set", "epochs=200", "--json", "r.json", "--quiet"])
            .current_dir(at)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let kill =
            std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(kill.success());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        if !text.contains("the report is partial") {
            continue;
        }
        assert_eq!(output.status.code(), Some(1), "{text}");
        let report = json(&read(at, "r.json"));
        assert_eq!(report["partial"], true);
        let folds = report["folds"].as_array().unwrap().len();
        assert!((1..400).contains(&folds));
        assert_eq!(report["models"][0]["metrics"]["rmse"]["folds"].as_array().unwrap().len(), folds);
        assert!(String::from_utf8_lossy(&output.stdout).contains("PARTIAL"));
        return;
    }
    panic!("no fold was finished in 9 seconds");
}
