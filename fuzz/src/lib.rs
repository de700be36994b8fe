//! What the fuzzers run, and what they claim: bytes from outside lead to data that hold together, or to an error in words.
//! Never to a panic.
//!
//! The same functions run on stable, on mutated examples, in `crates/testkit/tests/fuzz_smoke.rs`. With nightly and cargo-fuzz:
//! `cargo +nightly fuzz run ratings`.

use std::fmt::Write as _;

use foldin_core::{Dataset, ItemId, RatingScale, UserView};
use foldin_data::{Duplicates, OpenOptions, ReadError, ReadReport};
use foldin_models::folder::load;
use sha2::{Digest as _, Sha256};

/// Names that decide which reader is used.
pub const NAMES: &[&str] = &[
    "ratings.csv",
    "ratings.tsv",
    "some.inter",
    "ratings.jsonl",
    "ratings.txt",
    "u.data",
    "ratings.dat",
    "combined_data_1.txt",
    "mv_0000001.txt",
];

/// Stands between the interactions and the tables of users and of items.
pub const NEXT_FILE: u8 = 0x1e;

/// One or more files in memory. The first byte picks the reader, the second the options. Says whether they were accepted.
pub fn ratings(bytes: &[u8]) -> bool {
    let [name, flags, content @ ..] = bytes else { return false };
    let name = NAMES[usize::from(*name) % NAMES.len()];
    let beside: [&str; 2] = match name {
        "some.inter" => ["some.user", "some.item"],
        "u.data" => ["u.user", "u.item"],
        "ratings.dat" => ["users.dat", "movies.dat"],
        "ratings.tsv" => ["users.tsv", "items.tsv"],
        "ratings.jsonl" => ["users.jsonl", "items.jsonl"],
        "combined_data_1.txt" => ["combined_data_2.txt", "movie_titles.csv"],
        "mv_0000001.txt" => ["mv_0000002.txt", "movie_titles.txt"],
        _ => ["users.csv", "movies.csv"],
    };
    let files = [name].into_iter().chain(beside).map(str::to_owned);
    let parts = content.splitn(3, |&byte| byte == NEXT_FILE).map(<[u8]>::to_vec);
    check(foldin_data::open_files("fuzzed", files.zip(parts).collect(), &options(*flags)))
}

/// A file on disk that claims to be a zip or tar archive, or is compressed. Says whether it was accepted.
///
/// # Panics
/// If the machine has no room for a temporary file.
pub fn archive(bytes: &[u8]) -> bool {
    let [flags, content @ ..] = bytes else { return false };
    let folder = tempfile::tempdir().expect("room for a temporary folder");
    let name = match flags >> 6 {
        0 | 1 if content.starts_with(b"PK") => "data.zip",
        0 | 1 => "ratings.csv.gz",
        2 => "data.tar",
        _ => "data.tar.gz",
    };
    let path = folder.path().join(name);
    std::fs::write(&path, content).expect("room for a temporary file");
    check(foldin_data::open_with_report(&path.display().to_string(), &options(*flags)))
}

fn options(flags: u8) -> OpenOptions {
    OpenOptions {
        duplicates: [Duplicates::Error, Duplicates::Last, Duplicates::Mean, Duplicates::Last]
            [usize::from(flags & 3)],
        skip_bad_lines: flags & 4 != 0,
        implicit: flags & 8 != 0,
        header: match flags >> 4 & 3 {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        },
        scale: (flags & 64 != 0).then_some(RatingScale { min: 1.0, max: 5.0, step: Some(1.0) }),
        ..OpenOptions::default()
    }
}

fn check(outcome: Result<(Dataset, ReadReport), ReadError>) -> bool {
    match outcome {
        Ok((data, report)) => {
            data.check().expect("parts that fit each other");
            let scale = data.interactions.feedback().scale();
            for (_, _, value) in data.interactions.by_user().triples() {
                assert!(value.is_finite() && scale.is_none_or(|scale| scale.contains(value)), "{value}");
            }
            assert!(!data.interactions.is_empty(), "no interaction is an error");
            drop(report.remarks());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// A model folder of which one file is replaced. The first byte picks the model and the file; checksums in the manifest are
/// put right, so that what comes behind them is reached. Says whether it was accepted.
///
/// # Panics
/// If the machine has no room for a temporary folder.
pub fn model(bytes: &[u8]) -> bool {
    let [which, content @ ..] = bytes else { return false };
    let (model, file) = (usize::from(*which) / 4 % SOUND_MODELS.len(), usize::from(*which) % 4);
    let mut files = SOUND_MODELS[model].map(<[u8]>::to_vec);
    if file != 0 {
        files[0] = put_right(&files[0], MODEL_FILES[file], content);
    }
    files[file] = content.to_vec();
    let folder = tempfile::tempdir().expect("room for a temporary folder");
    for (name, content) in MODEL_FILES.iter().zip(&files) {
        std::fs::write(folder.path().join(name), content).expect("room for a temporary file");
    }
    match load(folder.path()) {
        Ok(loaded) => {
            let model = &loaded.model;
            // Weights may be any numbers; what comes out is an answer or an error.
            for user in [UserView::default(), UserView::new(&[0, 3], &[8.0, 2.0])] {
                let mut scores = vec![0.0; model.n_items()];
                drop(model.score(&[user], &mut scores));
                drop(model.predict_with_variance(&[user], &[(0, ItemId(0))], &mut [0.0], &mut [0.0]));
                drop(model.as_generator().map(|generator| generator.generate(&[user])));
            }
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// The files of a model folder, the manifest first.
pub const MODEL_FILES: [&str; 4] = ["manifest.json", "weights.safetensors", "items.jsonl", "features.json"];

/// The golden folder of a model, in the order of [`MODEL_FILES`].
macro_rules! golden {
    ($($name:literal),*) => {
        [$([
            golden!(of $name, "manifest.json"),
            golden!(of $name, "weights.safetensors"),
            golden!(of $name, "items.jsonl"),
            golden!(of $name, "features.json"),
        ]),*]
    };
    (of $name:literal, $file:literal) => {
        include_bytes!(concat!("../../crates/models/tests/fixtures/v1/", $name, "/", $file)).as_slice()
    };
}

/// A small sound folder of every model.
pub const SOUND_MODELS: &[[&[u8]; 4]] = &golden!(
    "global-mean",
    "popularity",
    "item-mean",
    "bias",
    "item-knn",
    "user-knn",
    "rp3beta",
    "pure-svd",
    "slim",
    "ease",
    "svd",
    "funk-svd",
    "bias-svd",
    "svd++",
    "als",
    "bpr",
    "implicit-als",
    "llorma",
    "u-rbm",
    "i-rbm",
    "u-autorec",
    "i-autorec",
    "lfg",
    "lfg-plus",
    "lfg-bayes",
    "lfg-rank",
    "u-cfgan",
    "i-cfgan",
    "cfgan-aaf",
    "mult-vae",
    "lfg-softmax"
);

/// The manifest with the checksum that a file of this content has.
fn put_right(manifest: &[u8], name: &str, content: &[u8]) -> Vec<u8> {
    let mut value: serde_json::Value = serde_json::from_slice(manifest).expect("a manifest is JSON");
    let hash = Sha256::digest(content).iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    });
    value["files"][name] = hash.into();
    value.to_string().into_bytes()
}
