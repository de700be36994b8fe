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
    /// Folder of decoded pictures, and of the classifiers of categories.
    pub cache: PathBuf,
    /// Folder of the generator.
    pub lsgan: PathBuf,
    /// Settings of the scorers' networks, and of the classifiers of categories.
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
    /// How good the classifiers are that keep designs in their category, and say whether they are.
    pub classifiers: [Accuracy; 2],
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
    /// One that keeps designs in their category and one that says whether they are in it, each of one half of the pictures.
    classifiers: [Classifier; 2],
    /// How often each is right on the other's half.
    pub(super) accuracies: [Accuracy; 2],
    pub(super) pictures: ImageSet,
    pub(super) left_out: BuildReport,
}

impl Workshop {
    /// Loads a generator and the pictures of fashion products, and trains classifiers of their categories where `cache` does not hold them.
    pub(super) fn open(
        lsgan: &Path,
        products: &Path,
        cache: &Path,
        config: &ClassifierConfig,
        seed: u64,
        device: &Device,
        watch: &Watch<'_>,
    ) -> Result<Self, VisionError> {
        (watch.stage)("pictures");
        let model = Lsgan::load(lsgan, device)?;
        let products = products::read(products)?.labelled(products::CATEGORY)?;
        let (pictures, left_out) =
            products.images(&model.config().decoding(), cache, &|_, _| watch.go_on())?;
        let labels =
            pictures.labels(products::CATEGORY).cloned().ok_or_else(|| VisionError::NothingLeft {
                path: cache.display().to_string(),
                problem: "no picture has a category".to_owned(),
            })?;
        let [one, other] = halves(pictures.len(), child_seed(seed, "category-halves"));
        let fit = |number: usize, own: &[u32], others: &[u32]| {
            let name = format!("category-{number}");
            (watch.stage)(&format!("classifier {number} of categories"));
            halved(
                &name,
                &pictures,
                &labels,
                [own, others],
                config,
                child_seed(seed, &name),
                cache,
                device,
                watch,
            )
        };
        let (guard, guard_accuracy) = fit(1, &one, &other)?;
        let (judge, judge_accuracy) = fit(2, &other, &one)?;
        Ok(Self {
            model,
            classifiers: [guard, judge],
            accuracies: [guard_accuracy, judge_accuracy],
            pictures,
            left_out,
        })
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
                classifier: Some(&self.classifiers[0]),
                tailor: None,
                seed: child_seed(seed, &person.name),
            };
            let found = design(&self.model, first, &catalogue, order, config, &watch.cancel, |_| ())?;
            found.save(&folder.join("designs").join(&person.name))?;
        }
        let told = |done: usize| (watch.stage)(&format!("designs: {done} of {} persons", persons.len()));
        let [guard, judge] = &self.classifiers;
        evaluate(
            &self.model,
            first,
            second,
            [Some(guard), Some(judge)],
            &catalogue,
            persons,
            config,
            seed,
            &watch.cancel,
            told,
        )
    }
}

/// Numbers below `n` in two halves by seed, each in order.
fn halves(n: usize, seed: u64) -> [Vec<u32>; 2] {
    let mut order: Vec<u32> = (0..n as u32).collect();
    Random::new(seed).shuffle(&mut order);
    let mut other = order.split_off(n / 2);
    order.sort_unstable();
    other.sort_unstable();
    [order, other]
}

/// A classifier of one half of the pictures, out of `folder` if it holds it, and how often it is right on the other half.
fn halved(
    name: &str,
    pictures: &ImageSet,
    labels: &Labels,
    [own, others]: [&[u32]; 2],
    config: &ClassifierConfig,
    seed: u64,
    folder: &Path,
    device: &Device,
    watch: &Watch<'_>,
) -> Result<(Classifier, Accuracy), VisionError> {
    let (set, of) = (pictures.select(own)?, labels.select(own));
    let run = json!({"config": config, "seed": seed, "data": fingerprint(&set, &of)?});
    let (classifier, _) = trained(
        folder,
        name,
        run,
        |place| Classifier::load(place, device),
        |store| Classifier::fit(config, &set, &of, &watch.context(seed, store), device),
        Classifier::save,
    )?;
    let accuracy = classifier.accuracy(&pictures.select(others)?, &labels.select(others))?;
    Ok((classifier, accuracy))
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
        let workshop =
            Workshop::open(&self.lsgan, &self.products, &self.cache, &self.scorer, self.seed, device, watch)?;
        let set = &workshop.pictures;
        let categories = workshop.labels(products::CATEGORY)?;
        let tastes = workshop.labels(TASTE)?.frequent(self.least);
        std::fs::create_dir_all(folder).map_err(VisionError::io(folder))?;

        let [left, right] = halves(set.len(), child_seed(self.seed, "halves"));
        let scorer =
            |number: usize, own: &[u32], others: &[u32]| -> Result<(Scorer, Accuracy), VisionError> {
                let name = format!("scorer-{number}");
                (watch.stage)(&name.replace('-', " "));
                let seed = child_seed(self.seed, &name);
                let (network, accuracy) =
                    halved(&name, set, &tastes, [own, others], &self.scorer, seed, folder, device, watch)?;
                let features = network.features_of(&set.bytes(own)?);
                Ok((Scorer { network, features, items: own.to_vec() }, accuracy))
            };
        let (first, first_accuracy) = scorer(1, &left, &right)?;
        let (second, second_accuracy) = scorer(2, &right, &left)?;

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
            classifiers: workshop.accuracies.clone(),
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
            scorer: ClassifierConfig::default(),
            config: DesignConfig::default(),
            least: 20,
            most: 40,
            sheets: 6,
            seed: 1,
        }
    }
}
