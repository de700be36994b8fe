//! The suite's own test: a sound toy passes every check, and for each check there is a way to break the toy that it finds.

mod model;
mod ridge;
mod settings;

use std::sync::LazyLock;

use foldin_core::ModelEntry;
use foldin_core::registry::Settings;
use foldin_testkit::conformance::{check_names, failures};
use foldin_testkit::{Level, Subject, conformance};
use model::{Fault, Toy};
use settings::{Careless, Forgetful, Undocumented, With};

static ENTRY: LazyLock<ModelEntry> = LazyLock::new(ModelEntry::of::<Toy>);

fn subject(fault: Fault) -> Subject<'static> {
    let with = |epochs: usize, factors: usize| -> Settings {
        [
            ("epochs".to_owned(), epochs.into()),
            ("factors".to_owned(), factors.into()),
            ("fault".to_owned(), serde_json::json!(fault)),
        ]
        .into_iter()
        .collect()
    };
    Subject {
        entry: &ENTRY,
        quick: with(4, 3),
        learning: with(15, 3),
        level: Level::Personal,
        step: None,
        clicks: false,
    }
}

#[test]
fn a_sound_model_passes() {
    conformance(&subject(Fault::None));
}

/// A model of rating levels is asked the same questions on rounded ratings, and must refuse those that are not rounded.
#[test]
fn a_sound_model_of_levels_passes() {
    let levels = |fault| Subject { step: Some(4.0), ..subject(fault) };
    conformance(&levels(Fault::RefusesContinuousScales));
    let check = "a_continuous_scale_is_taken_or_refused";
    assert_eq!(failures(&levels(Fault::None), &[check]).len(), 1, "it takes what it should refuse");
}

/// A fault for each check.
const FAULTS: &[(Fault, &str)] = &[
    (Fault::LearnsNothing, "learns_what_was_planted"),
    (Fault::ForgetsNewUsers, "serves_new_users"),
    (Fault::LovesLittleHistory, "more_history_helps"),
    (Fault::AssumesOneToFive, "a_shifted_scale_is_learned_as_well"),
    (Fault::AssumesUnitSpread, "a_stretched_scale_is_learned_as_well"),
    (Fault::IgnoresUserFeatures, "user_features_are_used_as_declared"),
    (Fault::UsesItemFeatures, "item_features_are_used_as_declared"),
    (Fault::GrowsUnsure, "uncertainty_is_offered_as_declared"),
    (Fault::HidesABias, "factors_explain_the_scores"),
    (Fault::LiesAboutItsName, "says_who_it_is"),
    (Fault::AcceptsUnknownItems, "an_unknown_item_is_refused"),
    (Fault::AcceptsNan, "an_unusable_history_is_refused"),
    (Fault::ToleratesLengths, "wrong_lengths_are_refused"),
    (Fault::NanForEmptyHistory, "any_history_gives_finite_predictions"),
    (Fault::NoClipping, "predictions_stay_on_the_scale"),
    (Fault::ScoresDifferently, "scores_and_predictions_agree"),
    (Fault::PanicsOnManyFactors, "more_factors_than_items"),
    (Fault::PanicsOnTinyData, "tiny_data"),
    (Fault::DividesBySpread, "equal_ratings"),
    (Fault::AcceptsImplicit, "feedback_is_taken_as_declared"),
    (Fault::RefusesContinuousScales, "a_continuous_scale_is_taken_or_refused"),
    (Fault::Unrepeatable, "the_seed_decides"),
    (Fault::CountsThreads, "threads_do_not_matter"),
    (Fault::LooksAtTheBatch, "batches_do_not_matter"),
    (Fault::FirstItemCounts, "order_of_history_does_not_matter"),
    (Fault::LosesPrecision, "a_saved_model_comes_back"),
    (Fault::LoadsAnything, "a_broken_model_is_refused"),
    (Fault::KeepsUsers, "nothing_is_kept_per_training_user"),
    (Fault::SilentEpochs, "epochs_are_reported"),
    (Fault::IgnoresCancel, "a_cancelled_fit_is_no_model"),
    (Fault::ForgetsProgress, "an_interrupted_fit_is_resumed"),
    (Fault::ResumesAnything, "a_foreign_checkpoint_is_refused"),
    (Fault::ResumesWithOtherRatings, "a_checkpoint_of_other_ratings_is_refused"),
];

#[test]
fn every_check_finds_its_fault() {
    let missed: Vec<String> = FAULTS
        .iter()
        .filter(|(fault, check)| failures(&subject(*fault), &[check]).is_empty())
        .map(|(fault, check)| format!("{check} passes a toy with the fault {fault:?}"))
        .collect();
    assert!(missed.is_empty(), "{missed:#?}");
}

/// Settings that are wrong in themselves, for each check that looks at nothing else.
fn bad_settings() -> [(ModelEntry, &'static str); 3] {
    [
        (ModelEntry::of::<With<Undocumented>>(), "settings_are_documented"),
        (ModelEntry::of::<With<Careless>>(), "bad_settings_are_refused"),
        (ModelEntry::of::<With<Forgetful>>(), "settings_come_back"),
    ]
}

#[test]
fn bad_settings_are_found() {
    for (entry, check) in &bad_settings() {
        let subject = Subject {
            entry,
            quick: Settings::new(),
            learning: Settings::new(),
            level: Level::Personal,
            step: None,
            clicks: false,
        };
        assert_eq!(failures(&subject, &[check]).len(), 1, "{check}");
    }
}

#[test]
fn every_check_has_a_fault() {
    let settings = bad_settings();
    let found: Vec<&str> =
        FAULTS.iter().map(|(_, check)| *check).chain(settings.iter().map(|(_, check)| *check)).collect();
    for name in check_names() {
        assert!(found.contains(&name), "no fault for {name}");
    }
}
