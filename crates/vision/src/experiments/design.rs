//! `design-fashion`: designs for people whose taste is known, judged by a scorer that they were not made with.
//!
//! The tastes are planted: in each category somebody likes each colour that has enough items. The pictures are real, the people are
//! not, so the figures say whether designing works, not what customers would buy. Half of the items train the first scorer's
//! network (a classifier of colours) and are what the person is known to like; the other half, and another seed, make the second.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use foldin_core::random::{Random, child_seed};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::Watch;
use super::lsgan::fingerprint;
use crate::checkpoints::trained;
use crate::classifier::{Accuracy, Classifier, ClassifierConfig};
use crate::data::products;
use crate::design::{
    Catalogue, DesignConfig, DesignReport, Features, Order, Person, Taste, design, evaluate,
};
use crate::error::VisionError;
use crate::gan_metrics::Rows;
use crate::images::{BuildReport, ImageSet, Labels};
use crate::lsgan::Lsgan;

/// The label that tastes are about.
const TASTE: &str = "colour";

/// Designs to make and measure.
#[derive(Clone, Debug)]
pub struct DesignExperiment {
    /// Folder or archive of fashion products.
    pub products: PathBuf,
    /// Folder of decoded pictures.
    pub cache: PathBuf,
    /// Folder of the generator.
    pub lsgan: PathBuf,
    /// Folder of a classifier of the generator's categories, to see whether designs stay in theirs.
    pub classifier: Option<PathBuf>,
    /// Settings of the scorers' networks.
    pub scorer: ClassifierConfig,
    /// Settings of the designs.
    pub config: DesignConfig,
    /// Items of a colour in a category from which on somebody likes it.
    pub least: usize,
    /// Persons at most, drawn by seed.
    pub most: usize,
    /// Designs drawn as sheets.
    pub sheets: usize,
    /// Seed of everything.
    pub seed: u64,
}

/// What came out; also written to `report.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DesignOutcome<S> {
    /// Pictures of the generator's data that were left out, and why.
    pub pictures: BuildReport,
    /// Settings of the designs.
    pub config: DesignConfig,
    /// The seed.
    pub seed: u64,
    /// How good each of the two scorers is.
    pub scorers: [S; 2],
    /// All measures.
    pub report: DesignReport,
}

impl<S: Serialize> DesignOutcome<S> {
    pub(super) fn save(&self, folder: &Path) -> Result<(), VisionError> {
        let path = folder.join("report.json");
        std::fs::write(&path, format!("{:#}\n", json!(self))).map_err(VisionError::io(path))
    }
}

/// The generator and the real items that designs are made of and compared with.
pub(super) struct Workshop {
    pub(super) model: Lsgan,
    classifier: Option<Classifier>,
    pub(super) pictures: ImageSet,
    pub(super) left_out: BuildReport,
}

impl Workshop {
    /// Loads a generator, a classifier of its categories if there is one, and the pictures of fashion products.
    pub(super) fn open(
        lsgan: &Path,
        classifier: Option<&Path>,
        products: &Path,
        cache: &Path,
        device: &Device,
        watch: &Watch<'_>,
    ) -> Result<Self, VisionError> {
        (watch.stage)("pictures");
        let model = Lsgan::load(lsgan, device)?;
        let classifier = classifier.map(|place| Classifier::load(place, device)).transpose()?;
        let products = products::read(products)?.labelled(products::CATEGORY)?;
        let (pictures, left_out) =
            products.images(&model.config().decoding(), cache, &|_, _| watch.go_on())?;
        Ok(Self { model, classifier, pictures, left_out })
    }

    /// A label of the pictures.
    pub(super) fn labels(&self, name: &str) -> Result<Labels, VisionError> {
        self.pictures.labels(name).cloned().ok_or_else(|| VisionError::Unknown {
            what: "label",
            name: name.to_owned(),
            known: self.pictures.all_labels().iter().map(Labels::name).collect::<Vec<_>>().join(", "),
        })
    }

    /// Designs for all persons by the first scorer, the first few of them drawn as sheets, and judges all by both.
    pub(super) fn judged(
        &self,
        scorers: [&dyn Features; 2],
        persons: &[Person],
        (config, sheets, seed): (&DesignConfig, usize, u64),
        folder: &Path,
        device: &Device,
        watch: &Watch<'_>,
    ) -> Result<DesignReport, VisionError> {
        let catalogue = Catalogue::new(self.pictures.clone(), self.labels(products::CATEGORY)?, device)?;
        (watch.stage)("designs");
        let [first, second] = scorers;
        for person in persons.iter().take(sheets) {
            let order = Order {
                user: &person.name,
                taste: &person.taste,
                class: person.class,
                tailor: None,
                seed: child_seed(seed, &person.name),
            };
            let found = design(&self.model, first, &catalogue, order, config, &watch.cancel, |_| ())?;
            found.save(&folder.join("designs").join(&person.name))?;
        }
        let told = |done: usize| (watch.stage)(&format!("designs: {done} of {} persons", persons.len()));
        let classifier = self.classifier.as_ref();
        evaluate(
            &self.model,
            first,
            second,
            classifier,
            &catalogue,
            persons,
            config,
            seed,
            &watch.cancel,
            told,
        )
    }
}

/// Share of the mean variance added to the covariance from which tastes are made.
const RIDGE: f64 = 0.1;

/// A network and what it was trained on.
struct Scorer {
    network: Classifier,
    features: Vec<f32>,
    items: Vec<u32>,
}

impl DesignExperiment {
    /// Trains the scorers that `folder` does not hold yet, designs, measures, and writes `report.json` and sheets. A scorer is as good as its
    /// network knows the label on the other's items.
    ///
    /// # Errors
    /// [`VisionError`] of reading, training and writing; [`VisionError::Fit`] if cancelled.
    pub fn run(
        &self,
        folder: &Path,
        device: &Device,
        watch: &Watch<'_>,
    ) -> Result<DesignOutcome<Accuracy>, VisionError> {
        let workshop = Workshop::open(
            &self.lsgan,
            self.classifier.as_deref(),
            &self.products,
            &self.cache,
            device,
            watch,
        )?;
        let set = &workshop.pictures;
        let px = set.px();
        let categories = workshop.labels(products::CATEGORY)?;
        let tastes = workshop.labels(TASTE)?.frequent(self.least);
        std::fs::create_dir_all(folder).map_err(VisionError::io(folder))?;

        let mut order: Vec<u32> = (0..set.len() as u32).collect();
        Random::new(child_seed(self.seed, "halves")).shuffle(&mut order);
        let (left, right) = order.split_at(order.len() / 2);
        let scorer = |number: usize,
                      items: &[u32],
                      others: &[u32]|
         -> Result<(Scorer, Accuracy), VisionError> {
            (watch.stage)(&format!("scorer {number}"));
            let mut items = items.to_vec();
            items.sort_unstable();
            let pictures = set.select(&items)?;
            let own = tastes.select(&items);
            let seed = child_seed(self.seed, &format!("scorer-{number}"));
            let data = fingerprint(&pictures, &own)?;
            let run = json!({"config": self.scorer, "px": px, "seed": seed, "data": data});
            let (network, _) = trained(
                folder,
                &format!("scorer-{number}"),
                run,
                |place| Classifier::load(place, device),
                |store| Classifier::fit(&self.scorer, &pictures, &own, &watch.context(seed, store), device),
                Classifier::save,
            )?;
            let accuracy = network.accuracy(&set.select(others)?, &tastes.select(others))?;
            let features =
                network.features_of(&pictures.bytes(&(0..items.len() as u32).collect::<Vec<_>>())?);
            Ok((Scorer { network, features, items }, accuracy))
        };
        let (first, first_accuracy) = scorer(1, left, right)?;
        let (second, second_accuracy) = scorer(2, right, left)?;

        let mut persons = self.persons(&workshop.model, &categories, &tastes, &first, &second);
        if persons.is_empty() {
            return Err(VisionError::NothingLeft {
                path: self.products.display().to_string(),
                problem: format!("no colour has {} items in a category of both halves", self.least),
            });
        }
        Random::new(child_seed(self.seed, "persons")).shuffle(&mut persons);
        persons.truncate(self.most);
        let settings = (&self.config, self.sheets, self.seed);
        let report =
            workshop.judged([&first.network, &second.network], &persons, settings, folder, device, watch)?;
        let outcome = DesignOutcome {
            pictures: workshop.left_out.clone(),
            config: self.config.clone(),
            seed: self.seed,
            scorers: [first_accuracy, second_accuracy],
            report,
        };
        outcome.save(folder)?;
        Ok(outcome)
    }

    /// Somebody for each colour that has enough items of a category in both halves.
    fn persons(
        &self,
        model: &Lsgan,
        categories: &Labels,
        tastes: &Labels,
        first: &Scorer,
        second: &Scorer,
    ) -> Vec<Person> {
        let mut out = Vec::new();
        for (class, category) in model.classes().iter().enumerate() {
            let Ok(number) = categories.class(category) else { continue };
            for (taste, colour) in tastes.classes().iter().enumerate() {
                let of = |scorer: &Scorer| {
                    let width = scorer.network.width();
                    let rows = Rows::new(&scorer.features, width);
                    let (mut liked, mut all, mut count) = (Vec::new(), Vec::new(), 0);
                    for (at, &item) in scorer.items.iter().enumerate() {
                        if categories.of()[item as usize] != Some(number) {
                            continue;
                        }
                        all.extend_from_slice(rows.row(at));
                        if tastes.of()[item as usize] == Some(taste as u32) {
                            liked.extend_from_slice(rows.row(at));
                            count += 1;
                        }
                    }
                    let enough = 2 * count >= self.least && count * width < all.len();
                    enough
                        .then(|| Taste::of_liked(Rows::new(&liked, width), Rows::new(&all, width), RIDGE))?
                };
                let name = format!("{category}-{}", colour.to_lowercase().replace(' ', "-"));
                if let Some((taste, second)) = of(first).zip(of(second)) {
                    out.push(Person { name, taste, second, class });
                }
            }
        }
        out
    }
}

impl Default for DesignExperiment {
    fn default() -> Self {
        Self {
            products: PathBuf::new(),
            cache: PathBuf::new(),
            lsgan: PathBuf::from("lsgan"),
            classifier: None,
            scorer: ClassifierConfig::default(),
            config: DesignConfig::default(),
            least: 20,
            most: 40,
            sheets: 6,
            seed: 1,
        }
    }
}
