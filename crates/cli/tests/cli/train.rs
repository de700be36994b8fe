//! Training: from data to a recommendation, settings, and going on after Ctrl-C.

use std::process::Command;

use crate::{foldin, json, ok, refused, shown, write, write_ratings};

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
fn a_model_that_keeps_histories_is_saved_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    let said = |model: &str| {
        let output = foldin(at, &["train", "--data", "ratings.csv", "--model", model, "--out", model]);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let warning = said("user-knn");
    assert!(warning.contains("warning: user-knn holds the ratings of all 40 training users"), "{warning}");
    assert!(!said("item-knn").contains("warning"));
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

#[test]
fn settings_come_from_a_file_and_from_flags() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_ratings(at);
    write(at, "all.toml", "epochs = 3\nfactors = 5\n");
    write(at, "some.toml", "epochs = 3\n[bias-svd]\nfactors = 7\n");
    write(at, "bad.toml", "epochs: 3\n");
    let config = |name: &str, more: &[&str]| {
        let out = format!("model-{name}-{}", more.len());
        let args = ["train", "--data", "ratings.csv", "--model", "bias-svd", "--out", &out, "--config", name];
        ok(at, &[&args[..], more].concat());
        json(&ok(at, &["inspect", &out, "--json"]))["manifest"]["config"].clone()
    };
    let settings = config("all.toml", &["--set", "factors=6"]);
    assert_eq!((&settings["epochs"], &settings["factors"]), (&json("3"), &json("6")));
    let settings = config("some.toml", &["--set", "bias-svd.epochs=4"]);
    assert_eq!((&settings["epochs"], &settings["factors"]), (&json("4"), &json("7")));
    let args = ["train", "--data", "ratings.csv", "--model", "bias-svd", "--out", "m", "--config"];
    let text = refused(at, 2, &[&args[..], &["bad.toml"]].concat());
    assert!(text.contains("bad.toml is not TOML"), "{text}");
    let text = refused(at, 1, &[&args[..], &["missing.toml"]].concat());
    assert!(text.contains("missing.toml"), "{text}");
}
