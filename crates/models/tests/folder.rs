//! Model folders: what is written loads, and what is damaged is named.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::fs;
use std::path::{Path, PathBuf};

use foldin_core::registry::Settings;
use foldin_core::{
    Csr, Dataset, Dictionary, Feedback, FitContext, Interactions, ItemId, RatingScale, Recommender,
    ScoreError, UserView,
};
use foldin_models::folder::{SaveError, SaveOptions, SavedContext, load, save};
use foldin_models::{find, registry};
use proptest::prelude::*;
use sha2::Digest;

fn dataset() -> Dataset {
    let triples: Vec<(u32, u32, f32)> = (0..24u32)
        .flat_map(|user| (0..12u32).map(move |item| (user, item)))
        .filter(|(user, item)| (user * 5 + item * 3) % 4 != 0)
        .map(|(user, item)| (user, item, if (user + item) % 2 == 0 { 8.0 } else { 2.0 + (item % 3) as f32 }))
        .collect();
    let feedback = Feedback::Explicit(RatingScale { min: 0.0, max: 10.0, step: Some(1.0) });
    let interactions =
        Interactions::new(Csr::from_triples(24, 12, &triples).unwrap(), None, feedback).unwrap();
    let keys =
        |prefix: &str, n: usize| Dictionary::from_keys((0..n).map(|at| format!("{prefix}{at}"))).unwrap();
    Dataset::new("tiny", interactions, keys("u", 24), keys("i", 12)).unwrap()
}

/// What is set beside the defaults, so that a folder stays small.
fn settings(name: &str) -> Settings {
    let serde_json::Value::Object(settings) = (match name {
        "lfg" | "lfg-plus" => serde_json::json!({"widths": [8, 4], "factors": 3, "epochs": 3}),
        "llorma" => serde_json::json!({"anchors": 5, "factors": 2, "global_factors": 3}),
        "svd++" => serde_json::json!({"factors": 3, "epochs": 5}),
        "als" | "implicit-als" => serde_json::json!({"factors": 3, "iterations": 5}),
        "bpr" => serde_json::json!({"factors": 3, "epochs": 5}),
        "lfg-rank" => serde_json::json!({
            "factors": 3, "iterations": 5, "members": 2, "ease_share": 0.25, "similarity_share": 0.25
        }),
        "lfg-bayes" => serde_json::json!({"factors": 3, "iterations": 5}),
        "u-autorec" | "i-autorec" => serde_json::json!({"hidden": [3, 2], "epochs": 5}),
        "u-cfgan" | "i-cfgan" | "cfgan-aaf" => {
            serde_json::json!({"hidden": [3, 2], "discriminator_hidden": [2], "epochs": 5})
        }
        "mult-vae" => serde_json::json!({"hidden": 3, "latent": 2, "epochs": 5}),
        "lfg-softmax" => serde_json::json!({"widths": [4], "factors": 3, "epochs": 5}),
        "u-rbm" | "i-rbm" => serde_json::json!({"hidden_units": 3, "epochs": 3}),
        "pure-svd" => serde_json::json!({"factors": 3}),
        _ => serde_json::json!({}),
    }) else {
        unreachable!("each arm is an object")
    };
    settings
}

/// The data as a model takes them.
fn dataset_for(name: &str) -> Dataset {
    let mut dataset = dataset();
    dataset.interactions = dataset.interactions.for_model(find(name).unwrap().capabilities);
    dataset
}

fn write(folder: &Path, name: &str) -> PathBuf {
    let dataset = dataset_for(name);
    let model =
        find(name).unwrap().fit(&settings(name), &dataset.training_data(), &FitContext::new(1)).unwrap();
    let out = folder.join(name);
    let context = SavedContext::of(&dataset, serde_json::json!({}), serde_json::json!({}));
    save(&out, &*model, &context, SaveOptions::default()).unwrap();
    out
}

/// What a model says of somebody new; nothing, if it serves its training users alone.
fn predictions_of(model: &dyn Recommender) -> Vec<f32> {
    let pairs: Vec<(u32, ItemId)> = (0..12).map(|item| (0, ItemId(item))).collect();
    let mut out = vec![0.0; 12];
    let outcome = model.predict(&[UserView::new(&[0, 3, 4], &[8.0, 2.0, 9.0])], &pairs, &mut out);
    if model.capabilities().new_users {
        outcome.unwrap();
        return out;
    }
    assert!(matches!(outcome, Err(ScoreError::NewUser { .. })), "{}: {outcome:?}", model.name());
    Vec::new()
}

fn predictions(folder: &Path) -> Vec<f32> {
    predictions_of(&*load(folder).unwrap().model)
}

#[test]
fn every_model_comes_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    for entry in registry() {
        let dataset = dataset_for(entry.name);
        let out = write(folder.path(), entry.name);
        let model = entry.fit(&settings(entry.name), &dataset.training_data(), &FitContext::new(1)).unwrap();
        assert_eq!(predictions(&out), predictions_of(&*model), "{}", entry.name);
        let loaded = load(&out).unwrap();
        assert_eq!(loaded.items.checksum(), dataset.items.checksum());
        assert_eq!(loaded.counts.iter().sum::<u32>() as usize, dataset.interactions.len());
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(
            names.iter().all(|name| !name.to_string_lossy().starts_with('.')),
            "nothing is left over: {names:?}"
        );
    }
}

#[test]
fn nothing_is_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let out = write(folder.path(), "bias");
    let dataset = dataset();
    let model = find("item-mean")
        .unwrap()
        .fit(&Settings::new(), &dataset.training_data(), &FitContext::new(1))
        .unwrap();
    let context = SavedContext::of(&dataset, serde_json::json!({}), serde_json::json!({}));
    assert!(matches!(save(&out, &*model, &context, SaveOptions::default()), Err(SaveError::Exists { .. })));
    assert_eq!(load(&out).unwrap().model.name(), "bias");
    save(&out, &*model, &context, SaveOptions { overwrite: true }).unwrap();
    assert_eq!(load(&out).unwrap().model.name(), "item-mean");

    let precious = folder.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("thesis.tex"), "years of work").unwrap();
    let refused = save(&precious, &*model, &context, SaveOptions { overwrite: true });
    assert!(matches!(refused, Err(SaveError::NotAModel { .. })));
    assert!(precious.join("thesis.tex").exists());
}

#[test]
fn damage_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = write(folder.path(), "bias-svd");
    for file in ["weights.safetensors", "items.jsonl", "features.json", "manifest.json"] {
        let path = out.join(file);
        let whole = fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        for damaged in [flipped, whole[..whole.len() / 2].to_vec(), Vec::new()] {
            fs::write(&path, damaged).unwrap();
            let outcome = load(&out);
            if file == "manifest.json" && outcome.is_ok() {
                continue; // A changed letter in a note is still a manifest.
            }
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains(file) || file == "manifest.json", "{file}: {error}");
        }
        fs::remove_file(&path).unwrap();
        let error = load(&out).unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
        fs::write(&path, whole).unwrap();
        load(&out).unwrap();
    }
    let path = out.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"format\": 1", "\"format\": 99")).unwrap();
    let error = load(&out).unwrap_err().to_string();
    assert!(error.contains("newer"), "{error}");
    fs::write(&path, text.replace("\"bias-svd\"", "\"bias-sdv\"")).unwrap();
    let error = load(&out).unwrap_err().to_string();
    assert!(error.contains("manifest.json") && error.contains("bias-svd"), "{error}");
}

/// Puts other bytes in the place of a file and makes the manifest agree, as somebody who edits a model on purpose would.
fn forge(folder: &Path, file: &str, bytes: &[u8]) {
    let path = folder.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let sum: String = sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    manifest["files"][file] = sum.into();
    fs::write(folder.join(file), bytes).unwrap();
    fs::write(path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

#[test]
fn a_forged_catalogue_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let out = write(folder.path(), "bias-svd");
    let text = fs::read_to_string(out.join("items.jsonl")).unwrap();
    for (from, to, reason) in [
        ("\"key\":\"i1\"", "\"key\":\"i0\"", "the key `i0` appears twice"),
        ("\"key\":\"i1\"", "\"key\":\"j1\"", "not those the model was fitted with"),
        ("\"title\":\"i1\"", "\"title\":1", "line 2"),
    ] {
        assert!(text.contains(from), "{text}");
        forge(&out, "items.jsonl", text.replacen(from, to, 1).as_bytes());
        let error = load(&out).unwrap_err().to_string();
        assert!(error.contains("items.jsonl") && error.contains(reason), "{error}");
    }
}

/// A folder written by format 1 must load, and predict what it predicted, for ever.
#[test]
fn the_golden_folder_of_format_1_loads() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1");
    for name in registry().iter().map(|entry| entry.name) {
        if !fixture.join(name).exists() {
            assert!(
                std::env::var_os("FOLDIN_WRITE_GOLDEN").is_some(),
                "{name} has no golden folder: run this test once with FOLDIN_WRITE_GOLDEN=1, and commit what it writes"
            );
            write_golden(&fixture, name);
        }
        let text = fs::read_to_string(fixture.join(name).with_extension("json")).unwrap();
        let expected: Vec<f32> = serde_json::from_str(&text).unwrap();
        let got = predictions(&fixture.join(name));
        assert_eq!(got.len(), expected.len(), "{name}");
        for (got, expected) in got.iter().zip(&expected) {
            // Kernels of different instruction sets round differently; a format error would be far larger.
            assert!((got - expected).abs() < 1e-4, "{name}: {got} {expected}");
        }
    }
}

/// Writes a golden folder: once, and never again, which is what makes it golden.
fn write_golden(fixture: &Path, name: &str) {
    let out = write(fixture, name);
    let text = serde_json::to_string(&predictions(&out)).unwrap();
    fs::write(fixture.join(name).with_extension("json"), text).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn arbitrary_bytes_are_an_error_and_never_a_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        file in 0usize..4,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let out = write(folder.path(), "bias");
        let name = ["weights.safetensors", "items.jsonl", "features.json", "manifest.json"][file];
        fs::write(out.join(name), bytes).unwrap();
        prop_assert!(load(&out).is_err());
    }

    /// With checksums that agree, everything behind them sees the change: an error or another model, and never a panic.
    #[test]
    fn forged_files_never_panic(
        model in 0..registry().len(),
        file in 0usize..3,
        place in 0.0f64..1.0,
        byte in any::<u8>(),
        cut in proptest::bool::weighted(0.2),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1").join(registry()[model].name);
        for entry in fs::read_dir(golden).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), out.join(entry.file_name())).unwrap();
        }
        let name = ["weights.safetensors", "items.jsonl", "features.json"][file];
        let mut bytes = fs::read(out.join(name)).unwrap();
        let at = (place * bytes.len() as f64) as usize;
        if cut { bytes.truncate(at) } else { bytes[at] = byte }
        forge(out, name, &bytes);
        if let Ok(loaded) = load(out) {
            let mut scores = vec![0.0; 12];
            let _ = loaded.model.score(&[UserView::new(&[0, 3], &[8.0, 2.0])], &mut scores);
        }
    }
}
