//! Every model of the registry through the conformance suite, each as a test of its own.

use std::collections::BTreeSet;

use foldin_core::registry::Settings;
use foldin_models::{find, registry};
use foldin_testkit::{Level, Subject, conformance};
use serde_json::{Value, json};

/// A test for each model, and the list of those that have one. `quick` are settings for a fit of milliseconds, `learning`
/// settings under which the planted blocks (150 users, 40 items) are learned.
macro_rules! models {
    ($($test:ident: $name:literal, $level:ident, quick $quick:tt, learning $learning:tt;)*) => {
        const TESTED: &[&str] = &[$($name),*];
        $(
            #[test]
            fn $test() {
                check($name, Level::$level, json!($quick), json!($learning));
            }
        )*
    };
}

models! {
    global_mean: "global-mean", Mean, quick {}, learning {};
}

fn check(name: &str, level: Level, quick: Value, learning: Value) {
    let settings = |value: Value| -> Settings {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is not a table of settings"),
        }
    };
    let entry = find(name).unwrap_or_else(|error| panic!("{error}"));
    conformance(&Subject { entry, quick: settings(quick), learning: settings(learning), level });
}

#[test]
fn no_model_goes_untested() {
    let registered: BTreeSet<&str> = registry().iter().map(|entry| entry.name).collect();
    let tested: BTreeSet<&str> = TESTED.iter().copied().collect();
    assert_eq!(registered, tested);
}
