//! Every model of the registry through the conformance suite, the leak test (with and without early stopping), and every
//! instruction set.

mod instruction_sets;

use std::collections::BTreeSet;

use foldin_core::ModelEntry;
use foldin_core::registry::Settings;
use foldin_eval::leak_check;
use foldin_models::{find, registry};
use foldin_testkit::{Level, Subject, conformance, planted};
use serde_json::{Value, json};

/// Two tests for each model, and the list of those that have them. `quick` are settings for a fit of milliseconds, `learning`
/// settings under which the planted blocks (150 users, 40 items) are learned; `step` rounds all ratings for a model of levels,
/// `clicks` makes clicks of them for a model that learns from these.
macro_rules! models {
    ($($test:ident: $name:literal, $level:ident, $(step $step:literal,)? $(clicks $clicks:literal,)? quick $quick:tt, learning $learning:tt;)*) => {
        /// Every tested model.
        fn tested() -> Vec<Subject<'static>> {
            vec![$($test::subject()),*]
        }

        $(
            mod $test {
                use super::*;

                pub(super) fn subject() -> Subject<'static> {
                    let (quick, learning) = (settings(json!($quick)), settings(json!($learning)));
                    let step = [$($step)?].first().copied();
                    let clicks = [$($clicks)?].contains(&true);
                    Subject { entry: entry($name), quick, learning, level: Level::$level, step, clicks }
                }

                #[test]
                fn conforms() {
                    conformance(&subject());
                }

                #[test]
                fn sees_nothing_of_the_test_part() {
                    leak(&subject());
                }
            }
        )*
    };
}

models! {
    global_mean: "global-mean", Mean, quick {}, learning {};
    item_mean: "item-mean", Items, quick {}, learning {};
    bias: "bias", Items, quick {}, learning {};
    popularity: "popularity", Items, clicks true, quick {}, learning {};
    item_knn: "item-knn", Personal,
        quick { "neighbours": 3, "kept": 4, "shrinkage": 5.0 },
        learning { "shrinkage": 5.0 };
    user_knn: "user-knn", Personal,
        quick { "neighbours": 3, "kept": 9, "shrinkage": 5.0 },
        learning { "shrinkage": 5.0 };
    item_knn_clicks: "item-knn", Personal, clicks true,
        quick { "neighbours": 3, "kept": 4, "click_neighbours": 5, "click_shrinkage": 1.0, "click_power": 1.5 },
        learning { "click_neighbours": 12 };
    user_knn_clicks: "user-knn", Personal, clicks true,
        quick {
            "neighbours": 3, "kept": 9, "click_neighbours": 9, "click_similarity": "tversky",
            "click_own_exponent": 1.0, "click_other_exponent": 1.0,
        },
        learning { "click_neighbours": 20 };
    rp3beta: "rp3beta", Personal, clicks true,
        quick { "neighbours": 5 },
        learning {};
    pure_svd: "pure-svd", Personal, clicks true,
        quick { "factors": 4 },
        learning { "factors": 3 };
    slim: "slim", Personal, clicks true,
        quick { "passes": 3, "l1": 0.0, "l2": 2000.0, "neighbours": 3 },
        learning {};
    ease: "ease", Personal, clicks true,
        quick { "dropout": 0.2 },
        learning {};
    svd: "svd", Personal,
        quick { "factors": 4, "epochs": 10, "learning_rate": 0.1 },
        learning { "factors": 4, "epochs": 60, "regularization": 0.03 };
    funk_svd: "funk-svd", Personal,
        quick { "factors": 4, "epochs": 3 },
        learning { "factors": 4, "epochs": 60, "learning_rate": 0.05, "regularization": 0.03 };
    bias_svd: "bias-svd", Personal,
        quick { "factors": 4, "epochs": 3 },
        learning { "factors": 4, "epochs": 60, "regularization": 0.03 };
    i_autorec: "i-autorec", Personal,
        quick { "hidden": [9, 4, 9], "epochs": 3, "optimiser": "rprop", "dropout": 0.0, "pretrain_epochs": 2 },
        learning { "hidden": [20], "epochs": 80, "regularization": 2.0, "optimiser": "rprop", "dropout": 0.0 };
    u_autorec: "u-autorec", Personal,
        quick { "hidden": [9, 70], "epochs": 3, "hidden_activation": "mpelu", "optimiser": "adam", "batch_size": 16, "dropout": 0.2 },
        learning { "hidden": [20], "epochs": 150, "regularization": 5.0, "centred": true };
    u_cfgan: "u-cfgan", Personal, clicks true,
        quick {
            "hidden": [9], "discriminator_hidden": [5], "epochs": 3, "batch_size": 16, "passes": 2,
            "discriminator_passes": 1,
        },
        learning {
            "hidden": [20], "discriminator_hidden": [10], "epochs": 100, "learning_rate": 5e-3, "batch_size": 16,
            "discriminator_batch_size": 32, "discriminator_learning_rate": 5e-3, "zero_weight": 0.1,
        };
    u_autorec_dice: "u-autorec", Personal,
        quick { "hidden": [9, 70], "epochs": 3, "hidden_activation": "dice", "batch_size": 16 },
        learning { "hidden": [20], "epochs": 150, "hidden_activation": "dice", "regularization": 5.0, "centred": true };
    i_cfgan: "i-cfgan", Personal, clicks true,
        quick {
            "hidden": [9], "discriminator_hidden": [5], "epochs": 3, "batch_size": 8, "scheme": "zr",
            "hidden_activation": "relu",
        },
        learning {
            "hidden": [20], "discriminator_hidden": [10], "epochs": 60, "learning_rate": 5e-3, "batch_size": 8,
            "discriminator_batch_size": 32, "discriminator_learning_rate": 5e-3, "zero_weight": 0.3, "regularization": 0.01,
        };
    cfgan_aaf: "cfgan-aaf", Personal, clicks true,
        quick { "hidden": [9, 7], "discriminator_hidden": [5, 4], "epochs": 2, "batch_size": 16, "scheme": "pm" },
        learning {
            "hidden": [20, 20], "discriminator_hidden": [10], "epochs": 150, "learning_rate": 3e-3, "batch_size": 16,
            "discriminator_learning_rate": 3e-3, "zero_weight": 0.3, "regularization": 0.01,
        };
    mult_vae: "mult-vae", Personal, clicks true,
        quick { "hidden": 9, "latent": 4, "epochs": 3, "batch_size": 16, "annealing_epochs": 2, "dropout": 0.5 },
        learning {
            "hidden": 40, "latent": 10, "epochs": 60, "batch_size": 16, "dropout": 0.5, "beta": 0.2, "learning_rate": 0.001,
            "weight_decay": 0.0,
        };
    lfg_softmax: "lfg-softmax", Personal, clicks true,
        quick { "factors": 4, "widths": [9, 7], "epochs": 3, "batch_size": 16, "activation": "mpelu", "dropout": 0.5 },
        learning {
            "factors": 10, "widths": [40], "epochs": 60, "batch_size": 16, "dropout": 0.5, "learning_rate": 0.001,
            "weight_decay": 0.0,
        };
    lfg_softmax_dice: "lfg-softmax", Personal, clicks true,
        quick {
            "factors": 4, "widths": [9, 7], "epochs": 3, "batch_size": 16, "activation": "dice", "activation_sharing": "layer",
        },
        learning {
            "factors": 10, "widths": [40], "epochs": 60, "batch_size": 16, "dropout": 0.5, "learning_rate": 0.001,
            "weight_decay": 0.0, "activation": "dice",
        };
    llorma: "llorma", Personal,
        quick { "anchors": 10, "factors": 2, "iterations": 2, "global_factors": 4 },
        learning { "anchors": 10, "factors": 4, "regularization": 0.5, "global_factors": 4 };
    svd_plus_plus: "svd++", Personal,
        quick { "factors": 4, "epochs": 3, "batch_size": 4 },
        learning { "factors": 4, "epochs": 60, "regularization": 0.03 };
    als: "als", Personal,
        quick { "factors": 4, "iterations": 3 },
        learning { "factors": 4 };
    bpr: "bpr", Personal, clicks true,
        quick { "factors": 4, "epochs": 3 },
        learning {
            "factors": 4, "epochs": 60, "learning_rate": 0.05, "learning_rate_decay": 0.99, "regularization": 0.01,
        };
    implicit_als: "implicit-als", Personal, clicks true,
        quick { "factors": 4, "iterations": 3 },
        learning { "factors": 4 };
    lfg: "lfg", Personal,
        quick { "factors": 4, "widths": [70, 9], "epochs": 3, "batch_size": 16 },
        learning { "factors": 4, "widths": [64, 32], "epochs": 60, "batch_size": 16, "learning_rate": 3e-3 };
    lfg_row_wise: "lfg", Personal,
        quick { "factors": 4, "widths": [70, 9], "epochs": 3, "batch_size": 16, "input_learning": "row_wise" },
        learning {
            "factors": 4, "widths": [64, 32], "epochs": 60, "batch_size": 16, "learning_rate": 3e-3,
            "input_learning": "row_wise",
        };
    lfg_plus: "lfg-plus", Personal,
        quick { "factors": 4, "widths": [70, 9], "epochs": 3, "batch_size": 16, "cooccurrence_features": 3 },
        learning {
            "factors": 4, "widths": [64, 32], "epochs": 60, "batch_size": 16, "learning_rate": 3e-3,
            "cooccurrence_features": 4,
        };
    lfg_mpelu: "lfg", Personal,
        quick {
            "factors": 4, "widths": [70, 9], "epochs": 3, "batch_size": 64, "learning_rate": 3e-3, "hidden_activation": "mpelu",
        },
        learning {
            "factors": 4, "widths": [64, 32], "epochs": 60, "batch_size": 16, "learning_rate": 3e-3,
            "hidden_activation": "mpelu",
        };
    lfg_plus_dice: "lfg-plus", Personal,
        quick {
            "factors": 4, "widths": [70, 9], "epochs": 3, "batch_size": 64, "cooccurrence_features": 3,
            "hidden_activation": "dice", "activation_sharing": "layer", "validation_fraction": 0.2,
        },
        learning {
            "factors": 4, "widths": [64, 32], "epochs": 60, "batch_size": 16, "learning_rate": 3e-3,
            "cooccurrence_features": 4, "hidden_activation": "dice",
        };
    lfg_bayes: "lfg-bayes", Personal,
        quick { "factors": 4, "iterations": 3, "cooccurrence_features": 3, "user_implicit_features": 3 },
        learning { "factors": 4, "iterations": 30 };
    lfg_rank: "lfg-rank", Personal, clicks true,
        quick { "factors": 4, "iterations": 4, "members": 2, "ease_share": 0.2, "similarity_share": 0.2 },
        learning { "factors": 4 };
    u_rbm: "u-rbm", Personal, step 2.5,
        quick { "hidden_units": 9, "epochs": 3, "batch_size": 16, "chain": "sampled" },
        learning {
            "hidden_units": 20, "epochs": 60, "batch_size": 16, "learning_rate": 0.02, "learning_rate_decay": 0.97,
            "weight_decay": 0.01,
        };
    i_rbm: "i-rbm", Personal, step 2.5,
        quick { "hidden_units": 9, "epochs": 3, "batch_size": 8, "conditional": false, "prediction": "exact", "last_steps": 2 },
        learning {
            "hidden_units": 20, "epochs": 60, "batch_size": 8, "learning_rate": 0.02, "learning_rate_decay": 0.97,
            "weight_decay": 0.01,
        };
}

fn entry(name: &str) -> &'static ModelEntry {
    find(name).unwrap_or_else(|error| panic!("{error}"))
}

fn settings(value: Value) -> Settings {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is not a table of settings"),
    }
}

fn leak(subject: &Subject<'_>) {
    // Splits are cut from ratings; a model of clicks sees the parts without values.
    let subject = Subject { clicks: false, ..subject.clone() };
    let data = subject.data(planted::with_side_information(60, 30, 3, 1)).dataset();
    leak_check(subject.entry, &subject.quick, &data, 1).unwrap_or_else(|error| panic!("{error}"));
}

/// The slice that is watched to stop in time is cut from the training part, and from nothing else.
#[test]
fn early_stopping_sees_nothing_of_the_test_part() {
    let mut watched = Vec::new();
    for mut subject in tested() {
        if subject.entry.keys().iter().any(|key| key.key == "validation_fraction") {
            subject.quick.insert("validation_fraction".to_owned(), json!(0.25));
            subject.quick.insert("patience".to_owned(), json!(1));
            leak(&subject);
            watched.push(subject.entry.name);
        }
    }
    assert!(["lfg", "bias-svd", "svd++", "als"].iter().all(|name| watched.contains(name)), "{watched:?}");
}

#[test]
fn no_model_goes_untested() {
    let registered: BTreeSet<&str> = registry().iter().map(|entry| entry.name).collect();
    let tested: BTreeSet<&str> = tested().iter().map(|subject| subject.entry.name).collect();
    assert_eq!(registered, tested);
}
