//! A generator learns the shapes of its categories; its training resumes, is watched and is stopped.

use std::collections::BTreeMap;
use std::sync::Mutex;

use burn::tensor::Device;
use foldin_core::fit::{CheckpointStore, TrainState};
use foldin_core::random::Random;
use foldin_core::{CancelFlag, FitContext, FitError};
use foldin_vision::classifier::{Classifier, ClassifierConfig};
use foldin_vision::error::VisionError;
use foldin_vision::experiments::{LsganExperiment, Pictures, Watch};
use foldin_vision::gan_report::{Parts, ReportOptions, gan_report};
use foldin_vision::images::{ImageSet, Labels};
use foldin_vision::lsgan::{Lsgan, LsganConfig, Observer, Smoothing};
use foldin_vision::sheet::Sheet;

const PX: usize = 16;

/// Squares and discs of any colour on white.
fn shapes(n: usize) -> ImageSet {
    shapes_of(PX, n)
}

/// The same of `px` pixels.
fn shapes_of(px: usize, n: usize) -> ImageSet {
    let scale = px as f64 / PX as f64;
    let mut random = Random::new(11);
    let (mut bytes, mut kinds) = (Vec::new(), Vec::new());
    for at in 0..n {
        let disc = at % 2 == 1;
        let colour = [0; 3].map(|_| random.below(200) as u8);
        let (x0, y0) = (7.5 + random.normal() * 0.7, 7.5 + random.normal() * 0.7);
        for value in colour {
            for y in 0..px {
                for x in 0..px {
                    let middle = |at: usize| (at as f64 + 0.5) / scale - 0.5;
                    let (dx, dy) = (middle(x) - x0, middle(y) - y0);
                    let inside = if disc { dx * dx + dy * dy < 30.0 } else { dx.abs().max(dy.abs()) < 6.5 };
                    bytes.push(if inside { value } else { 255 });
                }
            }
        }
        kinds.push(Some(if disc { "disc" } else { "square" }));
    }
    let names = (0..n).map(|at| format!("{at}.png")).collect();
    let labels = Labels::from_names("kind", &kinds);
    ImageSet::in_memory(px, names, bytes).unwrap().with_labels(labels).unwrap()
}

fn small(epochs: usize) -> LsganConfig {
    LsganConfig {
        px: PX,
        noise: 8,
        generator_channels: 32,
        discriminator_channels: 16,
        batch: 32,
        epochs,
        learning_rate: 1e-3,
        averaging: 0.99,
        ..LsganConfig::default()
    }
}

fn fit(config: &LsganConfig, pictures: &ImageSet, ctx: &FitContext<'_>) -> Result<Lsgan, VisionError> {
    let labels = pictures.labels("kind").unwrap().clone();
    Lsgan::fit(config, pictures, &labels, ctx, &Device::flex(), &mut ())
}

#[test]
fn a_generator_learns_its_categories() {
    let pictures = shapes(400);
    let parts = Parts::cut(&pictures, "kind", 0.25, 1).unwrap();
    let device = Device::flex();
    let classifier_config = ClassifierConfig { channels: 8, units: 16, epochs: 6, ..Default::default() };
    let ctx = FitContext::new(5);
    let classifier =
        Classifier::fit(&classifier_config, &parts.train, &parts.train_labels, &ctx, &device).unwrap();
    let config = small(60);
    let model = Lsgan::fit(&config, &parts.train, &parts.train_labels, &ctx, &device, &mut ()).unwrap();
    let untrained = Lsgan::fit(
        &LsganConfig { epochs: 1, ..config },
        &parts.train,
        &parts.train_labels,
        &ctx,
        &device,
        &mut (),
    )
    .unwrap();
    let options = ReportOptions { per_class: 100, classification_accuracy_score: false, pairs: 50, seed: 2 };
    let report = |model: &Lsgan| {
        gan_report(model, &classifier, &parts, options, &device, &CancelFlag::default()).unwrap()
    };
    let (before, after) = (report(&untrained), report(&model));
    assert!(after.classifier.mean_of_classes > 0.95, "{:?}", after.classifier);
    assert!(after.label_agreement.mean_of_classes > 0.9, "{:?}", after.label_agreement);
    let frechet = |report: &foldin_vision::gan_report::GanReport| report.frechet.unwrap().generated;
    assert!(frechet(&after) < 0.3 * frechet(&before), "{} {}", frechet(&before), frechet(&after));

    // Squares and discs of eight pixels can still be told apart.
    let small = parts.shrunk(8).unwrap();
    let of_small =
        Classifier::fit(&classifier_config, &small.train, &small.train_labels, &ctx, &device).unwrap();
    let report = |classifier: &Classifier, parts: &Parts| {
        gan_report(&model, classifier, parts, options, &device, &CancelFlag::default())
    };
    let shrunk = report(&of_small, &small).unwrap();
    assert!(shrunk.label_agreement.mean_of_classes > 0.9, "{:?}", shrunk.label_agreement);
    assert_eq!(shrunk.pictures, after.pictures);
    assert!(shrunk.pixel_memorisation != after.pixel_memorisation);
    for mixed in [report(&of_small, &parts), report(&classifier, &small)] {
        assert!(matches!(mixed, Err(VisionError::Shape { .. })), "{mixed:?}");
    }
}

#[test]
fn a_generator_is_grown_on_a_smaller_one() {
    let device = Device::flex();
    let large = shapes_of(2 * PX, 200);
    let pictures = large.shrunk(PX).unwrap();
    let labels = large.labels("kind").unwrap();
    let ctx = FitContext::new(5);
    let start = Lsgan::fit(&small(60), &pictures, labels, &ctx, &device, &mut ()).unwrap();

    let config = LsganConfig { px: 2 * PX, grown: 1, smoothing: Smoothing::None, ..small(2) };
    let grown = start.fit_on(&config, &large, labels, &ctx, &device, &mut ()).unwrap();
    let alone = Lsgan::fit(&config, &large, labels, &ctx, &device, &mut ()).unwrap();
    let right = |model: &Lsgan, pictures: &ImageSet| {
        let config = ClassifierConfig { channels: 8, units: 16, epochs: 6, ..Default::default() };
        let classifier = Classifier::fit(&config, pictures, labels, &ctx, &device).unwrap();
        let of = |class: usize| classifier.classify(&model.generate(class, 50, 1).unwrap());
        (0..2).map(|class| of(class).into_iter().filter(|&seen| seen == class).count()).sum::<usize>()
    };
    let (of_grown, of_alone) = (right(&grown, &large), right(&alone, &large));
    // Two epochs are enough where the shapes are known already.
    assert!(of_grown >= 90 && of_alone < 80, "{of_grown} {of_alone}");
    // It loads as what it is.
    let place = tempfile::tempdir().unwrap();
    grown.save(&place.path().join("model")).unwrap();
    let loaded = Lsgan::load(&place.path().join("model"), &device).unwrap();
    assert_eq!(loaded.generate(1, 2, 3).unwrap(), grown.generate(1, 2, 3).unwrap());
    assert_eq!(loaded.fingerprint(), grown.fingerprint());
    assert!(loaded.fingerprint() != start.fingerprint());

    // Without growing it goes on where it ended, on whatever pictures.
    let on = start.fit_on(&small(1), &pictures, labels, &ctx, &device, &mut ()).unwrap();
    assert!(right(&on, &pictures) >= 90);
    let refused = |config: &LsganConfig, labels: &Labels| {
        start.fit_on(config, &large, labels, &ctx, &device, &mut ()).unwrap_err().to_string()
    };
    let flat = LsganConfig { grown: 0, ..config.clone() };
    assert!(refused(&flat, labels).contains("`grown` = 1"), "{}", refused(&flat, labels));
    let wide = LsganConfig { noise: 9, ..config.clone() };
    assert!(refused(&wide, labels).contains("`noise` is 8"), "{}", refused(&wide, labels));
    let kinds: Vec<Option<&str>> = (0..200).map(|at| Some(["a", "b"][at % 2])).collect();
    let others = Labels::from_names("kind", &kinds);
    assert!(refused(&config, &others).contains("disc, square"), "{}", refused(&config, &others));
}

/// Keeps the last state in memory and cancels after some epoch.
#[derive(Debug, Default)]
struct Kept {
    state: Mutex<Option<TrainState>>,
}

impl CheckpointStore for Kept {
    fn load(&self) -> Result<Option<TrainState>, FitError> {
        Ok(self.state.lock().unwrap().clone())
    }

    fn due(&self, epochs: usize) -> bool {
        epochs == 2
    }

    fn save(&self, state: &TrainState) -> Result<(), FitError> {
        *self.state.lock().unwrap() = Some(state.clone());
        Ok(())
    }
}

fn all_tensors(model: &Lsgan) -> BTreeMap<String, Vec<u8>> {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    model.save(&folder).unwrap();
    let weights = std::fs::read(folder.join("weights.safetensors")).unwrap();
    BTreeMap::from([("weights".to_owned(), weights)])
}

#[test]
fn a_resumed_training_ends_with_the_same_bits_at_any_number_of_threads() {
    let pictures = shapes(64);
    let whole = fit(&small(4), &pictures, &FitContext::new(9)).unwrap();
    let store = Kept::default();
    let ctx = FitContext { checkpoints: Some(&store), ..FitContext::new(9) };
    fit(&small(4), &pictures, &ctx).unwrap();
    assert_eq!(store.load().unwrap().unwrap().epochs, 2);
    let resumed = fit(&small(4), &pictures, &ctx).unwrap();
    assert!(all_tensors(&whole) == all_tensors(&resumed), "a resumed training differs");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let threaded = pool.install(|| fit(&small(4), &pictures, &FitContext::new(9))).unwrap();
    assert!(all_tensors(&whole) == all_tensors(&threaded), "three threads differ");
    let other = fit(&small(4), &pictures, &FitContext::new(10)).unwrap();
    assert!(all_tensors(&whole) != all_tensors(&other), "the seed does nothing");

    // The flag is looked at before each of four steps of an epoch and after it: this stops before the third of the third epoch.
    let config = LsganConfig { batch: 16, cooling: 0.5, mismatch: 0.5, contrast: 0.5, ..small(4) };
    let whole = fit(&config, &pictures, &FitContext::new(9)).unwrap();
    let store = Kept::default();
    let cancel = CancelFlag::after(12);
    let ctx = FitContext { checkpoints: Some(&store), cancel, ..FitContext::new(9) };
    let stopped = fit(&config, &pictures, &ctx).unwrap_err();
    assert!(matches!(stopped, VisionError::Fit(FitError::Cancelled { epochs: 2 })), "{stopped}");
    let state = store.load().unwrap().unwrap();
    assert_eq!(state.epochs, 2);
    assert!((state.numbers["steps"] - 10.0).abs() < 1e-9, "stopped in the middle of an epoch");
    let ctx = FitContext { checkpoints: Some(&store), ..FitContext::new(9) };
    let resumed = fit(&config, &pictures, &ctx).unwrap();
    assert!(all_tensors(&whole) == all_tensors(&resumed), "one resumed in the middle of an epoch differs");
}

/// Looks after the second epoch, and cancels.
struct Cancels(CancelFlag, usize);

impl Observer for Cancels {
    fn wants(&self, epoch: usize) -> bool {
        epoch == 2
    }

    fn look(&mut self, _: usize, model: &Lsgan) -> Result<(), VisionError> {
        self.1 = model.generate(0, 3, 1)?.len();
        self.0.cancel();
        Ok(())
    }
}

#[test]
fn what_is_saved_makes_the_same_pictures_and_a_training_can_be_watched_and_stopped() {
    let pictures = shapes(40);
    let labels = pictures.labels("kind").unwrap().clone();
    let model = fit(&small(2), &pictures, &FitContext::new(1)).unwrap();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("lsgan");
    model.save(&folder).unwrap();
    let loaded = Lsgan::load(&folder, &Device::flex()).unwrap();
    assert_eq!(model.generate(1, 5, 7).unwrap(), loaded.generate(1, 5, 7).unwrap());
    assert_eq!(loaded.classes(), ["disc", "square"]);
    assert!(loaded.class("hat").unwrap_err().to_string().contains("disc, square"));
    assert!(loaded.generate(2, 1, 1).is_err());

    let mut cancels = Cancels(CancelFlag::default(), 0);
    let ctx = FitContext { cancel: cancels.0.clone(), ..FitContext::new(1) };
    let stopped = Lsgan::fit(&small(9), &pictures, &labels, &ctx, &Device::flex(), &mut cancels).unwrap_err();
    assert!(matches!(stopped, VisionError::Fit(FitError::Cancelled { epochs: 2 })), "{stopped}");
    assert_eq!(cancels.1, 3 * 3 * PX * PX);

    let wrong = Lsgan::fit(
        &LsganConfig { px: 32, ..small(1) },
        &pictures,
        &labels,
        &FitContext::new(1),
        &Device::flex(),
        &mut (),
    );
    assert!(wrong.unwrap_err().to_string().contains("32"));
    let bad = LsganConfig { learning_rate: -1.0, ..small(1) };
    assert!(matches!(fit(&bad, &pictures, &FitContext::new(1)), Err(VisionError::Config(_))));
}

#[test]
fn an_experiment_measures_its_pictures_shrunk_and_takes_up_an_interrupted_training() {
    let place = tempfile::tempdir().unwrap();
    let shop = place.path().join("shop");
    let pictures = shapes(48);
    for (at, kind) in pictures.labels("kind").unwrap().of().iter().enumerate() {
        let mut sheet = Sheet::new(PX);
        sheet.pictures(&pictures.bytes(&[at as u32]).unwrap(), 1).unwrap();
        let folder = shop.join(["disc", "square"][kind.unwrap() as usize]);
        std::fs::create_dir_all(&folder).unwrap();
        sheet.save(&folder.join(format!("{at}.png"))).unwrap();
    }
    let experiment = LsganExperiment {
        pictures: Pictures::Products { path: shop, cache: place.path().to_owned() },
        config: LsganConfig { batch: 8, ..small(2) },
        classifier: ClassifierConfig { channels: 8, units: 16, epochs: 1, ..Default::default() },
        report: ReportOptions { per_class: 4, classification_accuracy_score: false, pairs: 4, seed: 1 },
        shrunk: Some(8),
        ..LsganExperiment::default()
    };
    let run = |experiment: &LsganExperiment, name: &str, cancel| {
        let watch = Watch { stage: &|_| (), progress: &(), cancel };
        experiment.run(&place.path().join(name), &Device::flex(), &watch)
    };
    // Before anything is trained.
    let uneven = LsganExperiment { shrunk: Some(5), ..experiment.clone() };
    let refused = run(&uneven, "uneven", CancelFlag::default()).unwrap_err();
    assert!(
        matches!(refused, VisionError::Shape { .. }) && !place.path().join("uneven").exists(),
        "{refused}"
    );

    let whole = run(&experiment, "whole", CancelFlag::default()).unwrap();
    let (px, shrunk) = whole.shrunk.as_ref().unwrap();
    assert_eq!((*px, &shrunk.pictures), (8, &whole.report.pictures));
    assert!(shrunk.pixel_memorisation != whole.report.pixel_memorisation);
    let unshrunk = LsganExperiment { shrunk: None, ..experiment.clone() };
    assert_eq!(run(&unshrunk, "whole", CancelFlag::default()).unwrap().shrunk, None);
    for file in
        ["report.json", "sheet.png", "neighbours.png", "lsgan/weights.safetensors", "classifier-8.json"]
    {
        assert!(place.path().join("whole").join(file).is_file(), "{file}");
    }
    // Begun with another generator it is another training.
    let begun = LsganExperiment { start: Some(place.path().join("whole")), ..experiment.clone() };
    let further = run(&begun, "further", CancelFlag::default()).unwrap();
    assert!(further.report.pixel_memorisation != whole.report.pixel_memorisation);
    let note = std::fs::read_to_string(place.path().join("further/lsgan.json")).unwrap();
    assert!(note.contains(&Lsgan::load(&place.path().join("whole"), &Device::flex()).unwrap().fingerprint()));
    let unfit = LsganExperiment {
        start: begun.start.clone(),
        config: LsganConfig { px: 2 * PX, ..experiment.config.clone() },
        ..experiment.clone()
    };
    let refused = run(&unfit, "unfit", CancelFlag::default()).unwrap_err();
    assert!(refused.to_string().contains("`grown`") && !place.path().join("unfit").exists(), "{refused}");
    // What is stopped says so when it is loaded, and goes on.
    let mut looks = 1;
    let stopped = loop {
        match run(&experiment, "parts", CancelFlag::after(looks)) {
            Err(VisionError::Fit(FitError::Cancelled { .. }))
                if place.path().join("parts/lsgan.checkpoint").is_dir() =>
            {
                break true;
            }
            Err(VisionError::Fit(FitError::Cancelled { .. })) => looks += 1,
            _ => break false,
        }
    };
    assert!(stopped);
    let unfinished = Lsgan::load(&place.path().join("parts"), &Device::flex()).unwrap_err();
    assert!(unfinished.to_string().contains("interrupted"), "{unfinished}");
    let resumed = run(&experiment, "parts", CancelFlag::default()).unwrap();
    assert_eq!(resumed.report, whole.report);
}
