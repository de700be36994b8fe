use std::sync::Mutex;

use foldin_core::registry::Settings;
use foldin_core::{
    Capabilities, Dataset, FitContext, FitError, LoadError, ModelEntry, ModelFamily, ModelParts, TrainingData,
};
use foldin_eval::{LeakError, Protocol, leak_check};

use crate::toys::{ByHeart, History, ItemMean, Means, Sure, ToyConfig, generated};

#[test]
fn honest_models_pass() {
    let data = generated(40);
    for entry in [
        ModelEntry::of::<ItemMean>(),
        ModelEntry::of::<Sure>(),
        ModelEntry::of::<History>(),
        ModelEntry::of::<ByHeart>(),
    ] {
        leak_check(&entry, &Settings::new(), &data, 1).unwrap();
    }
}

/// A model that counts its fits in a place of its own: what any channel past the training data looks like.
#[derive(Debug)]
struct Cheat;

static FITS: Mutex<f32> = Mutex::new(0.0);

impl ModelFamily for Cheat {
    const NAME: &'static str = "toy-cheat";
    const SUMMARY: &'static str = "A toy.";
    type Config = ToyConfig;
    type Model = Means;

    fn capabilities() -> Capabilities {
        ItemMean::capabilities()
    }

    fn fit(config: &ToyConfig, data: &TrainingData<'_>, ctx: &FitContext<'_>) -> Result<Means, FitError> {
        let mut fits = FITS.lock().unwrap();
        *fits += 1.0;
        let mut model = ItemMean::fit(config, data, ctx)?;
        model.by_item[3] += *fits;
        Ok(model)
    }

    fn load(parts: ModelParts) -> Result<Means, LoadError> {
        ItemMean::load(parts)
    }
}

#[test]
fn a_cheat_is_found() {
    let error = leak_check(&ModelEntry::of::<Cheat>(), &Settings::new(), &generated(40), 1).unwrap_err();
    assert_eq!(
        error,
        LeakError::Model {
            protocol: Protocol::Ratings,
            model: "toy-cheat",
            what: "the tensors `by_item`".into()
        }
    );
}

#[test]
fn too_little_to_look_at_is_said() {
    let data: Dataset = generated(3);
    let error = leak_check(&ModelEntry::of::<ItemMean>(), &Settings::new(), &data, 1).unwrap_err();
    assert!(matches!(error, LeakError::Cut(_)), "{error}");
}
