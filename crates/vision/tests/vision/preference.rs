//! A preference that was planted is found; a fit resumes; a model comes back from its folder.

use std::sync::Mutex;

use burn::tensor::Device;
use foldin_core::{CancelFlag, CheckpointStore, Epoch, FitContext, FitError, Progress, TrainState};
use foldin_vision::data::LeaveOneOut;
use foldin_vision::evaluate::{AucReport, Part, Slices, evaluate, validation_auc};
use foldin_vision::features::hand_made;
use foldin_vision::planted::{Planted, PlantedOptions, planted};
use foldin_vision::recommend::Scorer;
use foldin_vision::recommend::baselines::{Popularity, RandomScores};
use foldin_vision::recommend::dvbpr::{self, Dvbpr, DvbprConfig, Negatives};
use foldin_vision::recommend::pairwise::{self, Features, PairwiseConfig};
use foldin_vision::recommend::vis_rank::{VisRankMax, vis_rank_mean};

fn set() -> (Planted, LeaveOneOut) {
    let planted =
        planted(&PlantedOptions { users: 120, items: 480, ..PlantedOptions::default() }, 3).unwrap();
    let split = LeaveOneOut::new(&planted.data, 1).unwrap();
    (planted, split)
}

fn auc(model: &dyn Scorer, planted: &Planted, split: &LeaveOneOut) -> f64 {
    let users = evaluate(model, split, Part::Test, None).unwrap();
    AucReport::of(&users, &Slices::new(&planted.data, split)).all.unwrap().mean
}

fn small() -> DvbprConfig {
    DvbprConfig { px: 16, factors: 16, epochs: 12, patience: 12, batch: 64, ..DvbprConfig::small() }
}

#[test]
fn dvbpr_finds_what_users_like() {
    let (planted, split) = set();
    let device = Device::flex();
    let fitted = dvbpr::fit(&small(), &planted.data, &split, None, &device, &FitContext::new(1)).unwrap();
    let found = auc(&fitted.model, &planted, &split);
    // Knowing all tastes gives about .85: a tenth of purchases are of anything, and a sixth or a quarter of all items are liked. Chance has a
    // deviation of .025 over these users.
    assert!(found > 0.70, "{found} {:?}", fitted.epochs);

    // What it says of people who were not in the training: folded in, they like the same.
    let folded = fitted.model.folded_in(&split.train, 0.1).unwrap();
    let new = auc(&folded, &planted, &split);
    assert!(new > found - 0.05, "{new} {found}");

    // Saved and loaded it sees the same in pictures.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dvbpr");
    fitted.dvbpr.save(&path).unwrap();
    let loaded = Dvbpr::load(&path, &device).unwrap();
    assert_eq!(
        loaded.phi_of(&planted.data.images).unwrap(),
        fitted.dvbpr.phi_of(&planted.data.images).unwrap()
    );
    std::fs::write(path.join("weights.safetensors"), b"broken").unwrap();
    assert!(Dvbpr::load(&path, &device).is_err());
}

#[test]
fn features_tell_it_too_and_popularity_does_not() {
    let (planted, split) = set();
    let values = hand_made(&planted.data.images, 48, 1).unwrap();
    let features = Features { width: values.len() / planted.data.images.len(), values: &values };
    let ctx = FitContext::new(2);
    let vbpr = pairwise::fit("vbpr", &PairwiseConfig::vbpr(), features, &split, &ctx).unwrap();
    let bpr = pairwise::fit("bpr", &PairwiseConfig::bpr(), Features::none(), &split, &ctx).unwrap();
    let figures = [
        ("vbpr", auc(&vbpr, &planted, &split)),
        ("mean", auc(&vis_rank_mean(features, &split).unwrap(), &planted, &split)),
        ("max", auc(&VisRankMax::new(features, &split).unwrap(), &planted, &split)),
        ("bpr", auc(&bpr, &planted, &split)),
        ("popularity", auc(&Popularity::new(&split), &planted, &split)),
        ("random", auc(&RandomScores::new(&split, 1), &planted, &split)),
    ];
    let figure = |name: &str| figures.iter().find(|figure| figure.0 == name).unwrap().1;
    assert!(figure("vbpr") > 0.75 && figure("mean") > 0.65 && figure("max") > 0.65, "{figures:?}");
    assert!(figure("popularity") < 0.6 && (figure("random") - 0.5).abs() < 0.1, "{figures:?}");
    assert!(figure("vbpr") > figure("bpr") + 0.05, "{figures:?}");
}

/// Keeps the latest state, and asks to stop after some epochs.
#[derive(Debug, Default)]
struct Kept(Mutex<Option<TrainState>>);

impl CheckpointStore for Kept {
    fn load(&self) -> Result<Option<TrainState>, FitError> {
        Ok(self.0.lock().unwrap().clone())
    }
    fn due(&self, _: usize) -> bool {
        true
    }
    fn save(&self, state: &TrainState) -> Result<(), FitError> {
        *self.0.lock().unwrap() = Some(state.clone());
        Ok(())
    }
}

/// Keeps the state between any two batches, until the program is killed.
#[derive(Debug)]
struct Killed {
    kept: Kept,
    saves: Mutex<usize>,
}

impl Killed {
    fn after(saves: usize) -> Self {
        Self { kept: Kept::default(), saves: Mutex::new(saves) }
    }
}

impl CheckpointStore for Killed {
    fn load(&self) -> Result<Option<TrainState>, FitError> {
        self.kept.load()
    }
    fn due(&self, epochs: usize) -> bool {
        self.kept.due(epochs)
    }
    fn due_within_epoch(&self) -> bool {
        true
    }
    fn save(&self, state: &TrainState) -> Result<(), FitError> {
        let mut saves = self.saves.lock().unwrap();
        *saves = saves.checked_sub(1).ok_or_else(|| FitError::Checkpoint { reason: "killed".into() })?;
        self.kept.save(state)
    }
}

#[test]
fn what_was_kept_in_the_middle_of_an_epoch_is_taken_up_after_a_kill() {
    let (planted, split) = set();
    let config = DvbprConfig { epochs: 2, ..small() };
    let fit = |store: Option<&dyn CheckpointStore>| {
        let ctx = FitContext { checkpoints: store, ..FitContext::new(5) };
        dvbpr::fit(&config, &planted.data, &split, None, &Device::flex(), &ctx)
    };
    let whole = fit(None).unwrap();
    // Keeping what a training has changes nothing in it.
    let often = fit(Some(&Killed::after(usize::MAX))).unwrap();
    assert_eq!((&whole.epochs, whole.model.items()), (&often.epochs, often.model.items()));
    let killed = Killed::after(4);
    assert!(fit(Some(&killed)).unwrap_err().to_string().contains("killed"));
    // The first is kept before the first batch.
    assert!((killed.load().unwrap().unwrap().numbers["batches"] - 3.0).abs() < 1e-12);
    let resumed = fit(Some(&killed.kept)).unwrap();
    assert_eq!((&whole.epochs, whole.model.items()), (&resumed.epochs, resumed.model.items()));
}

struct StopsAfterAnEpoch(CancelFlag);

impl Progress for StopsAfterAnEpoch {
    fn epoch(&self, _: Epoch) {
        self.0.cancel();
    }
}

#[test]
fn a_fit_that_was_interrupted_ends_with_the_same_bits() {
    let (planted, split) = set();
    let device = Device::flex();
    for negatives in [Negatives::Uniform, Negatives::InBatch] {
        let config = DvbprConfig { epochs: 3, negatives, ..small() };
        let fit = |config: &DvbprConfig, ctx: &FitContext<'_>| {
            dvbpr::fit(config, &planted.data, &split, None, &device, ctx).unwrap()
        };
        let whole = fit(&config, &FitContext::new(5));
        let kept = Kept::default();
        let ctx = FitContext { checkpoints: Some(&kept), ..FitContext::new(5) };
        // Two epochs as a fit of its own leave the state that three are resumed from.
        fit(&DvbprConfig { epochs: 2, ..config.clone() }, &ctx);
        let resumed = fit(&config, &ctx);
        assert_eq!(whole.epochs, resumed.epochs);
        assert_eq!(whole.model.items(), resumed.model.items());
        assert_eq!(whole.model.users(), resumed.model.users());
        *kept.0.lock().unwrap() = None;
        let cancel = CancelFlag::default();
        let stops = StopsAfterAnEpoch(cancel.clone());
        let stopped = FitContext { checkpoints: Some(&kept), progress: &stops, cancel, ..FitContext::new(6) };
        let stop = || dvbpr::fit(&config, &planted.data, &split, None, &device, &stopped).unwrap_err();
        assert!(stop().to_string().contains("cancel"));
        assert_eq!(kept.0.lock().unwrap().as_ref().unwrap().epochs, 1);
        // Within an epoch it stops at once, and what was kept stays.
        assert!(stop().to_string().contains("cancelled after 1 epochs"));
        assert_eq!(kept.0.lock().unwrap().as_ref().unwrap().epochs, 1);
        // What is stopped between two batches goes on between them.
        *kept.0.lock().unwrap() = None;
        let stopped =
            FitContext { checkpoints: Some(&kept), cancel: CancelFlag::after(2), ..FitContext::new(5) };
        let stopped = dvbpr::fit(&config, &planted.data, &split, None, &device, &stopped).unwrap_err();
        assert!(stopped.to_string().contains("cancelled after 0 epochs"), "{stopped}");
        assert!((kept.0.lock().unwrap().as_ref().unwrap().numbers["batches"] - 2.0).abs() < 1e-12);
        let resumed = fit(&config, &ctx);
        assert_eq!(whole.epochs, resumed.epochs);
        assert_eq!(whole.model.items(), resumed.model.items());
    }
}

#[test]
fn the_same_bits_at_any_number_of_threads() {
    let (planted, split) = set();
    let fit = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let config = DvbprConfig { epochs: 1, ..small() };
            let device = Device::flex();
            dvbpr::fit(&config, &planted.data, &split, None, &device, &FitContext::new(5)).unwrap()
        })
    };
    let (one, three) = (fit(1), fit(3));
    assert_eq!(one.model.items(), three.model.items());
    assert_eq!(one.epochs, three.epochs);
    assert!((validation_auc(&one.model, &split).unwrap() - one.epochs[0].auc.unwrap()).abs() < 1e-12);
}
