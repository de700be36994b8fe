//! What each command says of itself.

use crate::{foldin, ok, shown};

#[test]
fn help_of_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &["--help"][..],
        &["quickstart", "--help"],
        &["data", "--help"],
        &["data", "info", "--help"],
        &["data", "fetch", "--help"],
        &["data", "convert", "--help"],
        &["models", "--help"],
        &["models", "list", "--help"],
        &["models", "show", "--help"],
        &["models", "activations", "--help"],
        &["train", "--help"],
        &["evaluate", "--help"],
        &["tune", "--help"],
        &["recommend", "--help"],
        &["predict", "--help"],
        &["serve", "--help"],
        &["import", "--help"],
        &["keys", "--help"],
        &["keys", "create", "--help"],
        &["inspect", "--help"],
        &["reproduce", "--help"],
    ] {
        let name = match command {
            ["--help"] => "foldin".to_owned(),
            [words @ .., _] => words.join("_"),
            [] => String::new(),
        };
        insta::assert_snapshot!(name, shown(folder.path(), command));
    }
}

#[test]
fn the_version_names_the_instruction_set() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(ok(folder.path(), &["-V"]).trim(), format!("foldin {}", env!("CARGO_PKG_VERSION")));
    assert!(ok(folder.path(), &["--version"]).contains("instruction set: "));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_foldin"))
        .args(["models", "list"])
        .env("FOLDIN_SIMD", "avx")
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("FOLDIN_SIMD=avx is none of scalar, avx2 and avx512"), "{text}");
    assert!(foldin(folder.path(), &["models", "list"]).stderr.is_empty());
}

#[test]
fn models_are_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let list = ok(at, &["models", "list"]);
    assert!(list.contains("lfg-bayes") && list == ok(at, &["models"]));
    assert!(list.contains("keeps histories: a saved model holds the ratings of its training users"));
    let names = ok(at, &["models", "list", "--json"]);
    assert_eq!(names, ok(at, &["models", "--json"]));
    insta::assert_snapshot!("models_show_bias_text", shown(at, &["models", "show", "bias"]));
    insta::assert_snapshot!("models_show_bias_toml", shown(at, &["models", "show", "bias", "--toml"]));
    let settings = crate::json(&ok(at, &["models", "show", "bias-svd", "--json"]));
    assert!(settings["settings"].as_array().unwrap().iter().any(|key| key["key"] == "factors"));
    insta::assert_snapshot!("models_show_unknown", shown(at, &["models", "show", "bais"]));
}

#[test]
fn activations_are_listed_and_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    insta::assert_snapshot!("models_activations_text", shown(at, &["models", "activations"]));
    let list = crate::json(&ok(at, &["models", "activations", "--json"]));
    let named = |name: &str| list.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    assert_eq!(named("mpelu")["parameters"][1]["min"].as_f64().map(|min| min as f32), Some(1e-3));
    assert_eq!(named("prelu")["sharing"], serde_json::json!(["unit", "layer"]));
    assert_eq!(named("relu")["parameters"], serde_json::json!([]));
    crate::write_ratings(at);
    let train = [
        "train",
        "--data",
        "ratings.csv",
        "--model",
        "u-autorec",
        "--set",
        "epochs=2",
        "--set",
        "hidden=[4]",
    ];
    for (name, folder) in [("prelu", "trained"), ("tanh", "fixed")] {
        let activation = format!("hidden_activation={name}");
        ok(at, &[&train[..], &["--set", &activation, "--out", folder, "--quiet"]].concat());
    }
    ok(at, &["models", "activations", "--svg", "start.svg"]);
    ok(at, &["models", "activations", "--svg", "both.svg", "--learned", "trained"]);
    let (start, both) = (crate::read(at, "start.svg"), crate::read(at, "both.svg"));
    assert!(start.contains("mpelu") && both.len() > start.len() && both.len() < 60_000, "{}", both.len());
    let said = crate::refused(at, 1, &["models", "activations", "--svg", "x.svg", "--learned", "fixed"]);
    assert!(said.contains("`tanh` has no trained parameters"), "{said}");
}
