//! Gradients against finite differences.

use foldin_core::random::Random;
use foldin_core::{
    Csr, Epoch, Features, Feedback, FitContext, FitError, Interactions, ItemId, Progress, RatingScale,
    Recommender, TrainingData, UserView,
};
use foldin_nn::activation::{Activation, Sharing};
use foldin_nn::dropout::Dropout;
use foldin_nn::optimiser::Optimiser;
use foldin_nn::rprop::Rprop;

use super::backward::Batch;
use super::config::AutoRecConfig;
use super::forward::Drops;
use super::network::Network;

fn batch() -> Batch {
    let mut random = Random::new(3);
    let mut triples = Vec::new();
    for case in 0..6u32 {
        for place in 0..9u32 {
            if random.chance(0.5) {
                triples.push((case, place, 1.0 + 4.0 * random.uniform() as f32));
            }
        }
    }
    Batch::new(Csr::from_triples(6, 9, &triples).unwrap())
}

/// Compares the gradient of every parameter (of some of each array) with central differences of half the squared error.
fn check(config: &AutoRecConfig, drops: Drops) {
    // In `f32` the loss, some tens, is known to 1e-5: over a step of 0.02 that is 5e-4 of slope. A larger step would bend.
    // A power of two, so that weights stay numbers of half precision, as tables are read.
    const STEP: f32 = 1.0 / 128.0;
    let optimiser = Optimiser::Rprop(Rprop::default());
    let batch = batch();
    let mut network = Network::new(9, config, &optimiser, 3.0, 5);
    // Away from zero, where nothing would be seen; padding stays zero.
    let mut random = Random::new(8);
    for (name, _, weights) in network.parameters() {
        if !name.starts_with("hidden") && name != "output" {
            let mut draw = || (0.25 * 512.0 * random.normal()).round() as f32 / 512.0;
            weights.w.iter_mut().filter(|w| **w != 0.0).for_each(|w| *w = draw());
        }
    }
    let (_, gradients) = network.gradients(&batch, drops);
    let loss = |network: &Network| 0.5 * network.gradients(&batch, drops).0;
    let mut checked = 0;
    for (at, gradient) in gradients.iter().enumerate() {
        let (name, _, weights) = network.parameters().swap_remove(at);
        let used: Vec<usize> =
            (0..weights.w.len()).filter(|&at| weights.w[at] != 0.0 || name.starts_with("hidden")).collect();
        for &element in used.iter().step_by(used.len().div_ceil(12).max(1)) {
            let moved = |by: f32| {
                let mut moved = network.clone();
                moved.parameters().swap_remove(at).2.w[element] += by;
                loss(&moved)
            };
            let numeric = (moved(STEP) - moved(-STEP)) / f64::from(2.0 * STEP);
            let (got, size) = (f64::from(gradient[element]), 1.0 + numeric.abs());
            assert!((got - numeric).abs() < 0.01 * size, "{name}[{element}] of {config:?}: {got} {numeric}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn gradients_equal_finite_differences() {
    let smooth = [
        (Activation::Sigmoid, Activation::Identity, Sharing::Unit, vec![5]),
        (Activation::Sigmoid, Activation::Sigmoid, Sharing::Unit, vec![70]),
        (Activation::Tanh, Activation::Swish, Sharing::Unit, vec![5, 3, 5]),
        (Activation::Swish, Activation::Tanh, Sharing::Unit, vec![70, 3]),
        (Activation::Mpelu, Activation::Identity, Sharing::Layer, vec![66, 4]),
        (Activation::Elu, Activation::Slope, Sharing::Unit, vec![5]),
        (Activation::LeakyRelu, Activation::Identity, Sharing::Unit, vec![5]),
    ];
    for (hidden_activation, output_activation, activation_sharing, hidden) in smooth {
        let config = AutoRecConfig {
            hidden_activation,
            output_activation,
            activation_sharing,
            hidden,
            ..AutoRecConfig::default()
        };
        check(&config, Drops::default());
        check(&config, Drops { input: Some(Dropout::new(0.3, 7)), hidden: Some((0.4, 11)) });
    }
}

#[test]
fn a_scale_is_read_and_written_back() {
    let scale = RatingScale { min: -10.0, max: 10.0, step: None };
    let scaling = super::train::Scaling::of(scale);
    assert_eq!((scaling.read(-10.0), scaling.read(10.0), scaling.write(3.0)), (1.0, 5.0, 0.0));
}

#[test]
fn outputs_start_at_the_mean_whatever_the_activation() {
    let optimiser = Optimiser::Rprop(Rprop::default());
    let batch = batch();
    for output_activation in Activation::ALL {
        let config = AutoRecConfig { output_activation, hidden: vec![3], ..AutoRecConfig::default() };
        let network = Network::new(9, &config, &optimiser, 3.4, 1);
        let hidden = network.hidden_of(&batch.by_case);
        for output in network.outputs(&batch.by_case, hidden.view()) {
            // Weights are of a hundredth.
            assert!((output - 3.4).abs() < 0.2, "{output_activation:?}: {output}");
        }
    }
}

fn training_data() -> (Interactions, Features, Features) {
    let triples: Vec<_> =
        batch().by_case.triples().map(|(item, user, value)| (user, item, value.round())).collect();
    let scale = RatingScale { min: 1.0, max: 5.0, step: Some(1.0) };
    let csr = Csr::from_triples(9, 6, &triples).unwrap();
    (Interactions::new(csr, None, Feedback::Explicit(scale)).unwrap(), Features::none(9), Features::none(6))
}

fn fit_small(settings: serde_json::Value, ctx: &FitContext<'_>) -> Result<Box<dyn Recommender>, FitError> {
    let (interactions, users, items) = training_data();
    let data = TrainingData { interactions: &interactions, user_features: &users, item_features: &items };
    let serde_json::Value::Object(settings) = settings else { unreachable!("settings are a table") };
    crate::find("u-autorec").unwrap().fit(&settings, &data, ctx)
}

fn deep(pretrain_epochs: usize, hidden: &[usize]) -> serde_json::Value {
    serde_json::json!({
        "hidden": hidden, "optimiser": "rprop", "dropout": 0.0, "epochs": 1, "pretrain_epochs": pretrain_epochs,
        "regularization": 0.1, "dense_regularization": 0.0, "hidden_activation": "mpelu",
    })
}

#[test]
fn pre_training_starts_deep_networks_better() {
    #[derive(Default)]
    struct First(std::sync::Mutex<Option<f64>>);
    impl Progress for First {
        fn epoch(&self, epoch: Epoch) {
            self.0.lock().unwrap().get_or_insert(epoch.train_rmse.unwrap());
        }
    }
    let first = |settings| {
        let seen = First::default();
        fit_small(settings, &FitContext { progress: &seen, ..FitContext::new(1) }).unwrap();
        seen.0.into_inner().unwrap().unwrap()
    };
    for optimiser in ["rprop", "adam"] {
        for hidden in [&[6, 4, 6][..], &[6, 5, 4, 5, 6]] {
            let [without, with] = [0, 60].map(|pretrain_epochs| {
                let mut settings = deep(pretrain_epochs, hidden);
                settings["optimiser"] = optimiser.into();
                settings["learning_rate"] = 0.03.into();
                first(settings)
            });
            assert!(
                with < 0.8 * without,
                "{optimiser} {hidden:?}: {with} after pre-training, {without} without"
            );
        }
    }
}

#[test]
fn pre_training_can_be_cancelled() {
    let ctx = FitContext::new(1);
    ctx.cancel.cancel();
    let outcome = fit_small(deep(5, &[6, 4, 6]), &ctx);
    assert!(matches!(outcome, Err(FitError::Cancelled { epochs: 0 })), "{outcome:?}");
}

#[test]
fn unseen_items_get_what_was_asked_for() {
    let predict = |unseen: &str| {
        // Item 6 has no rating.
        let (interactions, users, _) = training_data();
        let csr = interactions.by_user();
        let triples: Vec<_> = csr.triples().collect();
        let wider = Csr::from_triples(9, 7, &triples).unwrap();
        let interactions = Interactions::new(wider, None, interactions.feedback()).unwrap();
        let items = Features::none(7);
        let data = TrainingData { interactions: &interactions, user_features: &users, item_features: &items };
        let settings = serde_json::json!({"hidden": [4], "unseen": unseen, "binary_hidden": true});
        let model = crate::find("u-autorec")
            .unwrap()
            .fit(settings.as_object().unwrap(), &data, &FitContext::new(1))
            .unwrap();
        let (mut out, user) = ([0.0; 2], [UserView::new(&[0, 1], &[5.0, 5.0])]);
        model.predict(&user, &[(0, ItemId(6)), (0, ItemId(0))], &mut out).unwrap();
        out
    };
    let ([middle, one], [bias, other]) = (predict("middle"), predict("bias"));
    assert_eq!(middle, 3.0);
    assert!(bias > 3.0 && one == other, "{bias} {one} {other}");
}
