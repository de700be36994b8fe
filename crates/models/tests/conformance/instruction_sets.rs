//! One binary for every CPU: models that were fitted and asked with each instruction set say the same, up to rounding.
//!
//! The level is decided once a process, so each one gets a process of its own: this test starts its own binary again.

use std::collections::BTreeMap;
use std::process::Command;

use foldin_core::{FitContext, ItemId};
use foldin_testkit::planted;

use super::tested;

/// Where the child writes to.
const OUT: &str = "FOLDIN_TEST_OUT";

/// On a scale of width 20. Fused sums differ in their last bits, and some dozen steps of descent carry that on.
const TOLERANCE: f32 = 1e-4;

/// A part of the other test, which starts it: fits every model with quick settings and writes what each predicts. Alone it does
/// nothing.
#[test]
fn child() {
    let Some(out) = std::env::var_os(OUT) else { return };
    let pairs_of = |n_users: usize| -> Vec<(u32, ItemId)> {
        (0..n_users as u32).flat_map(|user| (0..36).map(move |item| (user, ItemId(item)))).collect()
    };
    let said: BTreeMap<String, Vec<f32>> = tested()
        .into_iter()
        .enumerate()
        .map(|(number, subject)| {
            let data = subject.data(planted::with_side_information(90, 36, 3, 1));
            let entry = subject.entry;
            let model = entry.fit(&subject.quick, &data.training_data(), &FitContext::new(1)).unwrap();
            let users: Vec<_> = if entry.capabilities.new_users {
                data.new_users.iter().map(|user| user.view(usize::MAX)).collect()
            } else {
                data.training_data().users()
            };
            let pairs = pairs_of(users.len());
            let mut out = vec![0.0; pairs.len()];
            model.predict(&users, &pairs, &mut out).unwrap();
            (format!("{number} {}", entry.name), out)
        })
        .collect();
    std::fs::write(out, serde_json::to_vec(&said).unwrap()).unwrap();
}

#[test]
fn every_level_predicts_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let on = |level: &str| -> BTreeMap<String, Vec<f32>> {
        let out = folder.path().join(level);
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "instruction_sets::child", "--quiet"])
            .env("FOLDIN_SIMD", level)
            .env(OUT, &out)
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "the child of {level} failed");
        serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap()
    };
    let scalar = on("scalar");
    assert_eq!(scalar.len(), tested().len());
    for level in ["avx2", "avx512"] {
        // Never above what the CPU has: on a CPU without it this compares the same level twice.
        let said = on(level);
        for (name, values) in &scalar {
            let worst = values.iter().zip(&said[name]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{name}: {level} and scalar are at most {worst} apart");
            assert!(worst <= TOLERANCE, "{name}: {level} and scalar are {worst} apart");
        }
    }
}
