//! `lsgan-fashion` and `lsgan-fashion-mnist`: a generator of categories, and how good it is.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use foldin_core::config::to_map;
use foldin_core::random::child_seed;
use foldin_core::{CancelFlag, FitContext, FitError, fit::Progress};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::Xxh3;

use crate::checkpoints::{Checkpoints, holds_another, trained};
use crate::classifier::{Classifier, ClassifierConfig};
use crate::data::{idx, products};
use crate::error::VisionError;
use crate::gan_metrics::{Rows, nearest_by_feature};
use crate::gan_report::{GanReport, Parts, ReportOptions, gan_report, nearest_in};
use crate::images::set::check_shrinking;
use crate::images::{BuildReport, ImageSet, Labels};
use crate::lsgan::{Lsgan, LsganConfig, MODEL, Observer};
use crate::sheet::{Sheet, Tile};

/// What is learned from.
#[derive(Clone, Debug)]
pub enum Pictures {
    /// A folder or archive of products: the six categories of fashion products, or those that their folders are named after.
    Products {
        /// Where it is.
        path: PathBuf,
        /// Folder of decoded pictures.
        cache: PathBuf,
    },
    /// A folder of IDX files: their classes. The given test part is the test part.
    Idx {
        /// Where it is.
        path: PathBuf,
        /// How many of the training pictures are used; all if there are no more.
        most: usize,
    },
}

/// A generator to train and measure.
#[derive(Clone, Debug)]
pub struct LsganExperiment {
    /// What is learned from.
    pub pictures: Pictures,
    /// Settings of the generator.
    pub config: LsganConfig,
    /// Folder of a trained generator to begin with, if any: of the same size, or a smaller one that this one is grown on.
    pub start: Option<PathBuf>,
    /// Settings of the classifier that measures.
    pub classifier: ClassifierConfig,
    /// How the report is made.
    pub report: ReportOptions,
    /// Pixels, fewer than the generator's, to which pictures are shrunk to be measured once more, by a classifier of that size; if any.
    pub shrunk: Option<usize>,
    /// Share of each class that is the test part, where none is given.
    pub test_share: f64,
    /// Seed of everything.
    pub seed: u64,
    /// Whether a finished generator of another run gives way where it lies in the folder; an error otherwise.
    pub replaces: bool,
}

/// Who hears of an experiment.
pub struct Watch<'a> {
    /// Told of each step of the work, in words.
    pub stage: &'a dyn Fn(&str),
    /// Told of epochs.
    pub progress: &'a dyn Progress,
    /// Asks it to stop; what is done so far is kept and taken up again.
    pub cancel: CancelFlag,
}

impl Watch<'_> {
    /// An error once it was asked to stop.
    pub(super) fn go_on(&self) -> Result<(), VisionError> {
        if self.cancel.is_cancelled() { Err(FitError::Cancelled { epochs: 0 }.into()) } else { Ok(()) }
    }

    /// The context of a fit that this watches.
    pub(super) fn context<'a>(&'a self, seed: u64, store: &'a Checkpoints) -> FitContext<'a> {
        FitContext { seed, progress: self.progress, cancel: self.cancel.clone(), checkpoints: Some(store) }
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").finish_non_exhaustive()
    }
}

/// What came out; also written to `report.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LsganOutcome {
    /// Pictures that were left out, and why.
    pub pictures: BuildReport,
    /// Settings of the generator.
    pub config: LsganConfig,
    /// Trained numbers of generator and discriminator.
    pub parameters: [usize; 2],
    /// The seed.
    pub seed: u64,
    /// Seconds that training took, over all parts of an interrupted one.
    pub seconds: f64,
    /// All measures.
    pub report: GanReport,
    /// The same of pictures shrunk to so many pixels, if asked.
    pub shrunk: Option<(usize, GanReport)>,
}

/// Pictures of each category on a sheet.
const COLUMNS: usize = 12;
/// Sheets drawn during a training, about.
const SHEETS: usize = 20;

impl Default for LsganExperiment {
    fn default() -> Self {
        Self {
            pictures: Pictures::Products { path: PathBuf::new(), cache: PathBuf::new() },
            config: LsganConfig::default(),
            start: None,
            classifier: ClassifierConfig::default(),
            report: ReportOptions::default(),
            shrunk: None,
            test_share: 0.2,
            seed: 1,
            replaces: true,
        }
    }
}

impl LsganExperiment {
    /// Pictures and their parts, and which pictures were left out.
    ///
    /// # Errors
    /// As reading them; [`VisionError::Fit`] if cancelled.
    pub fn parts(&self, watch: &Watch<'_>) -> Result<(Parts, BuildReport), VisionError> {
        match &self.pictures {
            Pictures::Products { path, cache } => {
                let products = products::read(path)?.labelled(products::CATEGORY)?;
                let (set, report) = products.images(&self.config.decoding(), cache, &|_, _| watch.go_on())?;
                let seed = child_seed(self.seed, "parts");
                Ok((Parts::cut(&set, products::CATEGORY, self.test_share, seed)?, report))
            }
            Pictures::Idx { path, most } => {
                let train = idx::read(path, idx::Part::Train, self.config.px)?;
                let test = idx::read(path, idx::Part::Test, self.config.px)?;
                let chosen: Vec<u32> = (0..train.len().min(*most) as u32).collect();
                let train = train.select(&chosen)?;
                let labels = |set: &ImageSet| {
                    set.all_labels().first().cloned().ok_or_else(|| VisionError::Format {
                        path: path.clone(),
                        problem: "no classes".to_owned(),
                    })
                };
                let parts = Parts { train_labels: labels(&train)?, test_labels: labels(&test)?, train, test };
                Ok((parts, BuildReport::default()))
            }
        }
    }

    /// Trains what `folder` does not hold yet, measures, and writes `report.json`, `sheet.png` and `neighbours.png` beside the networks
    /// `classifier` and `lsgan` and the sheets of the training.
    ///
    /// # Errors
    /// [`VisionError`] of reading, training and writing; [`VisionError::Fit`] if cancelled, after which the same call goes on.
    pub fn run(
        &self,
        folder: &Path,
        device: &Device,
        watch: &Watch<'_>,
    ) -> Result<LsganOutcome, VisionError> {
        if let Some(px) = self.shrunk {
            // Not after hours of training.
            check_shrinking(self.config.px, px)?;
        }
        let start = self.start.as_ref().map(|start| Lsgan::load(start, device)).transpose()?;
        if let Some(start) = &start {
            start.check_growth(&self.config)?;
        }
        (watch.stage)("pictures");
        let (parts, pictures) = self.parts(watch)?;
        let data = fingerprint(&parts.train, &parts.train_labels)?;
        std::fs::create_dir_all(folder).map_err(VisionError::io(folder))?;
        let place = folder.join(MODEL);
        let mut run = json!({"config": self.trained_config(), "data": data, "seed": self.seed});
        if let Some(start) = &start {
            run["start"] = start.fingerprint().into();
        }
        if !self.replaces && holds_another(folder, MODEL, &run)? {
            return Err(VisionError::Format {
                path: place,
                problem: "is a generator of other pictures, settings or seed; --overwrite replaces it"
                    .to_owned(),
            });
        }

        (watch.stage)("classifier");
        let classifier = self.classifier("classifier", &parts, &data, folder, device, watch)?;

        (watch.stage)(MODEL);
        let (mut model, seconds) = trained(
            folder,
            MODEL,
            run,
            |place| Lsgan::load(place, device),
            |store| {
                let ctx = watch.context(child_seed(self.seed, "lsgan"), store);
                let mut sheets =
                    Sheets { folder: folder.join("training"), every: (self.config.epochs / SHEETS).max(1) };
                let (config, train, labels) = (&self.config, &parts.train, &parts.train_labels);
                match &start {
                    Some(start) => start.fit_on(config, train, labels, &ctx, device, &mut sheets),
                    None => Lsgan::fit(config, train, labels, &ctx, device, &mut sheets),
                }
            },
            Lsgan::save,
        )?;
        if model.config() != &self.config {
            model = model.with_smoothing(self.config.smoothing);
            model.save(&place)?;
        }

        (watch.stage)("sheet");
        sheet(&model, COLUMNS, self.report.seed)?.save(&folder.join("sheet.png"))?;
        neighbours(&model, &classifier, &parts, self.report.seed)?.save(&folder.join("neighbours.png"))?;
        (watch.stage)("measures");
        let measured = |classifier: &Classifier, parts: &Parts| {
            gan_report(&model, classifier, parts, self.report, device, &watch.cancel)
        };
        let report = measured(&classifier, &parts)?;
        let shrunk = match self.shrunk {
            Some(px) => {
                (watch.stage)("measures of shrunk pictures");
                let parts = parts.shrunk(px)?;
                let name = format!("classifier-{px}");
                let classifier = self.classifier(&name, &parts, &data, folder, device, watch)?;
                Some((px, measured(&classifier, &parts)?))
            }
            None => None,
        };
        let outcome = LsganOutcome {
            pictures,
            config: self.config.clone(),
            parameters: model.parameters(),
            seed: self.seed,
            seconds,
            report,
            shrunk,
        };
        let path = folder.join("report.json");
        std::fs::write(&path, format!("{:#}\n", json!(outcome))).map_err(VisionError::io(path))?;
        Ok(outcome)
    }

    /// The settings that a training depends on: all but what is taken out of the finished generator's pictures.
    fn trained_config(&self) -> Map<String, Value> {
        let mut config = to_map(&self.config);
        config.remove("smoothing");
        config
    }

    /// The classifier that measures these pictures, out of `folder` or newly trained.
    fn classifier(
        &self,
        name: &str,
        parts: &Parts,
        data: &str,
        folder: &Path,
        device: &Device,
        watch: &Watch<'_>,
    ) -> Result<Classifier, VisionError> {
        let run = json!({"config": self.classifier, "px": parts.train.px(), "data": data, "seed": self.seed});
        let (classifier, _) = trained(
            folder,
            name,
            run,
            |place| Classifier::load(place, device),
            |store| {
                let ctx = watch.context(child_seed(self.seed, "classifier"), store);
                Classifier::fit(&self.classifier, &parts.train, &parts.train_labels, &ctx, device)
            },
            Classifier::save,
        )?;
        Ok(classifier)
    }
}

/// A row of pictures of each category.
pub(crate) fn sheet(model: &Lsgan, columns: usize, seed: u64) -> Result<Sheet, VisionError> {
    let mut sheet = Sheet::new(model.config().px);
    for (class, name) in model.classes().iter().enumerate() {
        sheet.pictures(&model.generate(class, columns, child_seed(seed, name))?, columns)?;
    }
    Ok(sheet)
}

/// Generated pictures of a category that are shown beside their neighbours.
const SHOWN: usize = 4;

/// A row of each category: generated pictures, each followed by the training picture that is nearest by pixels and the one that is nearest
/// by features.
fn neighbours(
    model: &Lsgan,
    classifier: &Classifier,
    parts: &Parts,
    seed: u64,
) -> Result<Sheet, VisionError> {
    let (size, width) = (parts.train.stride(), classifier.width());
    let features = classifier.features_in(&parts.train)?;
    let mut sheet = Sheet::new(model.config().px);
    for (class, name) in model.classes().iter().enumerate() {
        // The first of those on the sheet of samples.
        let made = model.generate(class, COLUMNS, child_seed(seed, name))?;
        let made = &made[..SHOWN * size];
        let seen = classifier.features_of(made);
        let by_pixel = nearest_in(made, &parts.train)?;
        let by_feature = nearest_by_feature(Rows::new(&seen, width), Rows::new(&features, width));
        let of_train = |at: usize| parts.train.bytes(&[at as u32]);
        let mut row = Vec::new();
        for (picture, (pixel, feature)) in made.chunks_exact(size).zip(by_pixel.iter().zip(&by_feature)) {
            row.push(Some(Tile::new(picture.to_vec()).says("generated").says(name)));
            row.push(Some(Tile::new(of_train(pixel.0)?).says("by pixels").says(format!("{:.1}", pixel.1))));
            row.push(Some(
                Tile::new(of_train(feature.0)?).says("by features").says(format!("{:.2}", feature.1)),
            ));
            row.push(None);
        }
        row.pop();
        sheet.row(row)?;
    }
    Ok(sheet)
}

/// Draws sheets while a generator is trained.
struct Sheets {
    folder: PathBuf,
    every: usize,
}

impl Observer for Sheets {
    fn wants(&self, epoch: usize) -> bool {
        epoch.is_multiple_of(self.every)
    }

    fn look(&mut self, epoch: usize, model: &Lsgan) -> Result<(), VisionError> {
        sheet(model, COLUMNS, 1)?.save(&self.folder.join(format!("epoch-{epoch:04}.png")))
    }
}

/// What pictures and their labels are, in few letters.
pub(super) fn fingerprint(pictures: &ImageSet, labels: &Labels) -> Result<String, VisionError> {
    let mut hash = Xxh3::new();
    let mut bytes = vec![0; pictures.stride()];
    for (picture, label) in (0..pictures.len() as u32).zip(labels.of()) {
        pictures.read(picture, &mut bytes)?;
        hash.update(&bytes);
        hash.update(&label.map_or(u64::MAX, u64::from).to_le_bytes());
    }
    Ok(format!("{:032x}", hash.digest128()))
}
