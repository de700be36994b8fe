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
