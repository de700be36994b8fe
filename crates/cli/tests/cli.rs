//! The binary as a user runs it: help, errors, exit codes, and the whole path from data to a recommendation.

use std::path::Path;
use std::process::{Command, Output};

fn foldin(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foldin"))
        .args(args)
        .current_dir(folder)
        .env_remove("FOLDIN_DATA_DIR")
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env("HOME", folder)
        .env("COLUMNS", "100")
        .output()
        .expect("the binary starts")
}

/// Exit code, standard output and standard error of a run, with what differs from run to run taken out.
fn shown(folder: &Path, args: &[&str]) -> String {
    let output = foldin(folder, args);
    let text = |bytes: &[u8]| {
        String::from_utf8_lossy(bytes).replace(&folder.display().to_string(), "FOLDER").trim_end().to_owned()
    };
    format!(
        "exit code {}\n--- stdout\n{}\n--- stderr\n{}",
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr)
    )
}

/// 40 users × 30 items on a scale of −10 to 10: even users like even items, odd users odd ones.
fn write_ratings(folder: &Path) {
    let mut text = String::from("userId,movieId,rating,timestamp\n");
    for user in 0..40 {
        for item in 0..30 {
            if (user * 7 + item * 11) % 3 != 0 {
                let rating = if (user + item) % 2 == 0 { 8 + (user % 3) - 1 } else { -6 + (item % 3) };
                text.push_str(&format!("u{user},i{item},{rating},{}\n", 1_000_000 + user * 30 + item));
            }
        }
    }
    std::fs::write(folder.join("ratings.csv"), text).expect("the folder can be written to");
}

fn ok(folder: &Path, args: &[&str]) -> String {
    let output = foldin(folder, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

#[test]
fn help_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["--help"][..],
        &["quickstart", "--help"],
        &["data", "--help"],
        &["models", "--help"],
        &["train", "--help"],
        &["evaluate", "--help"],
        &["recommend", "--help"],
        &["predict", "--help"],
        &["inspect", "--help"],
        &["reproduce", "--help"],
    ] {
        let name = if command.len() == 1 { "foldin" } else { command[0] };
        insta::assert_snapshot!(format!("help_{name}"), shown(folder.path(), command));
    }
}

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
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
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
        (
            "bad_setting",
            &["train", "--data", "ratings.csv", "--model", "bias", "--out", "m", "--set", "dampin=3"],
        ),
    ] {
        let text = shown(folder.path(), args);
        assert!(text.starts_with("exit code 1"), "{text}");
        insta::assert_snapshot!(format!("error_{name}"), text);
    }
}

#[test]
fn from_data_to_a_recommendation() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    assert!(ok(at, &["data", "info", "--data", "ratings.csv"]).contains("40"));
    for model in ["bias-svd", "lfg", "lfg-bayes"] {
        let out = format!("model-{model}");
        ok(at, &["train", "--data", "ratings.csv", "--model", model, "--out", &out, "--quiet"]);
        let again = foldin(at, &["train", "--data", "ratings.csv", "--model", model, "--out", &out]);
        assert_eq!(again.status.code(), Some(1), "an existing folder is not replaced unasked");
        let json = ok(
            at,
            &[
                "recommend",
                "--model",
                &out,
                "--rate",
                "i0=9",
                "--rate",
                "i2=8",
                "--rate",
                "i1=-6",
                "--rate",
                "i3=-5",
                "-n",
                "5",
                "--json",
                "--explain",
            ],
        );
        let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(answer["model"], model);
        assert_eq!(answer["ratings_used"], 4);
        assert_eq!(answer["items"].as_array().unwrap().len(), 5);
        if model != "lfg" {
            // The network needs more than 40 users to learn parity; the linear models do not.
            for item in answer["items"].as_array().unwrap() {
                let number: u32 = item["key"].as_str().unwrap()[1..].parse().unwrap();
                assert_eq!(number % 2, 0, "{model} recommends {item}");
            }
        }
        assert!(answer["items"][0]["because"].as_array().is_some_and(|because| !because.is_empty()));
        let json = ok(
            at,
            &["predict", "--model", &out, "--user", "u4", "--data", "ratings.csv", "--item", "i6", "--json"],
        );
        let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
        let predicted = answer["items"][0]["predicted"].as_f64().unwrap();
        assert!((-10.0..=10.0).contains(&predicted));
        assert!(ok(at, &["inspect", &out]).contains(model));
    }
}

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

/// Ctrl-C keeps a checkpoint; going on from it gives the model that an undisturbed run gives, to the bit.
#[cfg(unix)]
#[test]
fn an_interrupted_run_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    let train = |out: &str| {
        let mut args = vec!["train", "--data", "ratings.csv", "--model", "bias-svd", "--set", "epochs=10000"];
        args.extend(["--set", "factors=4", "--quiet", "--out"]);
        args.push(out);
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_foldin"))
        .args(train("stopped"))
        .args(["--checkpoint-every", "50"])
        .current_dir(at)
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let checkpoint = at.join("stopped.checkpoint/run.json");
    while !checkpoint.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("--resume goes on"), "{text}");
    assert!(!at.join("stopped").exists(), "no half model");

    let again = train("stopped");
    let again: Vec<&str> = again.iter().map(String::as_str).collect();
    assert!(shown(at, &again).contains("--resume to go on"));
    ok(at, &[&again[..], &["--resume"]].concat());
    assert!(!at.join("stopped.checkpoint").exists());
    let whole = train("whole");
    ok(at, &whole.iter().map(String::as_str).collect::<Vec<_>>());
    let weights = |name: &str| std::fs::read(at.join(name).join("weights.safetensors")).unwrap();
    assert_eq!(weights("stopped"), weights("whole"));
}
