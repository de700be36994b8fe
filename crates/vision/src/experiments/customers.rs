//! Designs for customers of a shop, judged by a recommender of other customers.
//!
//! Customers are dealt by seed: two groups train a `dvbpr` each, with seeds of their own, and those of the third are new to both. Either
//! recommender folds a new customer in from what they bought; designs climb the first one's taste, and the second says whether
//! it likes them too. Customers and purchases are real; that the items they are offered are another shop's is for both the same.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use foldin_core::FitContext;
use foldin_core::random::{Random, child_seed};
use serde_json::json;

use super::Watch;
use super::design::{DesignOutcome, Workshop};
use crate::checkpoints::trained;
use crate::classifier::ClassifierConfig;
use crate::data::{LeaveOneOut, PrepareOptions, VisualDataset, prepare, purchases};
use crate::design::{DesignConfig, Person, parts, taste_of};
use crate::error::VisionError;
use crate::recommend::dvbpr::{self, Dvbpr, DvbprConfig, PretrainConfig, mean_over_pictures};
use crate::recommend::linear::LinearModel;
use crate::recommend::training;

/// Designs for customers to make and measure.
#[derive(Clone, Debug)]
pub struct CustomersExperiment {
    /// Folder of purchases with pictures.
    pub purchases: PathBuf,
    /// Folder or archive of fashion products, whose categories the generator knows.
    pub products: PathBuf,
    /// Folder of decoded pictures, and of the classifiers of categories.
    pub cache: PathBuf,
    /// Folder of the generator.
    pub lsgan: PathBuf,
    /// Settings of the classifiers of categories.
    pub classifier: ClassifierConfig,
    /// Settings of both recommenders.
    pub dvbpr: DvbprConfig,
    /// Settings of what they start from, where items have labels.
    pub pretraining: PretrainConfig,
    /// Settings of the designs.
    pub config: DesignConfig,
    /// Customers to design for, each in one category; the categories take turns.
    pub most: usize,
    /// Designs drawn as sheets.
    pub sheets: usize,
    /// Seed of everything.
    pub seed: u64,
}

impl CustomersExperiment {
    /// Trains the recommenders that `folder` does not hold yet, designs, measures, and writes `report.json` and sheets. A scorer is as good as
    /// its AUC on the validation purchase of each of its customers, by which epochs and λ are chosen, when they are folded in.
    ///
    /// # Errors
    /// [`VisionError`] of reading, training and writing; [`VisionError::NothingLeft`] if there are too few customers;
    /// [`VisionError::Fit`] if cancelled.
    pub fn run(
        &self,
        folder: &Path,
        device: &Device,
        watch: &Watch<'_>,
    ) -> Result<DesignOutcome<f64>, VisionError> {
        let workshop = Workshop::open(
            &self.lsgan,
            &self.products,
            &self.cache,
            &self.classifier,
            self.seed,
            device,
            watch,
        )?;
        std::fs::create_dir_all(folder).map_err(VisionError::io(folder))?;
        let purchases = purchases::open(&self.purchases)?;
        let px = self.dvbpr.px;
        let file = self.cache.join(format!("{}-customers-{px}.fpix", purchases.name));
        let data = prepare(purchases, &PrepareOptions::new(px), &file, &|done, of| {
            (watch.stage)(&format!("pictures of what was bought: {done} of {of}"));
            watch.go_on()
        })?;

        let mut order: Vec<u32> = (0..data.users.len() as u32).collect();
        Random::new(child_seed(self.seed, "customers")).shuffle(&mut order);
        if order.len() < 3 * self.most.max(1) {
            return Err(VisionError::NothingLeft {
                path: self.purchases.display().to_string(),
                problem: format!(
                    "{} customers are too few to design for {} and to learn from two other groups",
                    order.len(),
                    self.most
                ),
            });
        }
        let (new, rest) = order.split_at(self.most);
        let (left, right) = rest.split_at(rest.len() / 2);
        let first = self.scorer(1, &data, left, folder, device, watch)?;
        let second = self.scorer(2, &data, right, folder, device, watch)?;
        let persons = new
            .iter()
            .enumerate()
            .map(|(number, &user)| {
                let bought = data.purchases.by_user().row(user as usize).0;
                Ok(Person {
                    name: format!("customer-{:02}", number + 1),
                    taste: taste_of(&first.recommender, bought)?,
                    second: taste_of(&second.recommender, bought)?,
                    class: number % workshop.model.classes().len(),
                })
            })
            .collect::<Result<Vec<Person>, VisionError>>()?;
        let report = workshop.judged(
            [parts(&first.recommender)?.0, parts(&second.recommender)?.0],
            &persons,
            (&self.config, self.sheets, self.seed),
            folder,
            device,
            watch,
        )?;
        let outcome = DesignOutcome {
            pictures: workshop.left_out.clone(),
            config: self.config.clone(),
            seed: self.seed,
            scorers: [first.validation, second.validation],
            classifiers: workshop.accuracies.clone(),
            report,
        };
        outcome.save(folder)?;
        Ok(outcome)
    }

    /// A recommender of some of the customers.
    fn scorer(
        &self,
        number: usize,
        data: &VisualDataset,
        users: &[u32],
        folder: &Path,
        device: &Device,
        watch: &Watch<'_>,
    ) -> Result<training::Chosen, VisionError> {
        let mut users = users.to_vec();
        users.sort_unstable();
        let data = data.of_users(&users)?;
        let seed = child_seed(self.seed, &format!("recommender-{number}"));
        let split = LeaveOneOut::new(&data, seed)?;
        let run = json!({
            "dvbpr": self.dvbpr, "pretraining": self.pretraining, "seed": seed, "users": data.users.checksum(),
            "items": data.items.checksum(), "pictures": data.images.len(),
        });
        (watch.stage)(&format!("pretraining of scorer {number}"));
        let ctx =
            FitContext { progress: watch.progress, cancel: watch.cancel.clone(), ..FitContext::new(seed) };
        let name = format!("pretrained-{number}");
        let kept = Some((folder, name.as_str(), run.clone()));
        let first = FitContext { seed: child_seed(seed, "pretraining"), ..ctx.clone() };
        let pretrained = match training::pretrained(&self.pretraining, &data, kept, device, &first) {
            Ok(network) => Some(network),
            // Without labels both recommenders learn from scratch.
            Err(VisionError::TooFewLabels { .. }) => None,
            Err(error) => return Err(error),
        };
        (watch.stage)(&format!("scorer {number}"));
        let (network, _) = trained(
            folder,
            &format!("scorer-{number}"),
            run,
            |place| Dvbpr::load(place, device),
            |store| {
                let ctx = watch.context(seed, store);
                Ok(dvbpr::fit(&self.dvbpr, &data, &split, pretrained.as_ref(), device, &ctx)?.dvbpr)
            },
            Dvbpr::save,
        )?;
        let k = network.network.k();
        let phi = mean_over_pictures(&network.phi_of(&data.images)?, k, &data.pictures);
        let model = LinearModel::new(dvbpr::NAME, k, Vec::new(), phi)?;
        let mut chosen = training::served(dvbpr::NAME, &data.items, &model, None, &split, &ctx)?;
        chosen.recommender.network = Some(network);
        Ok(chosen)
    }
}

impl Default for CustomersExperiment {
    fn default() -> Self {
        Self {
            purchases: PathBuf::new(),
            products: PathBuf::new(),
            cache: PathBuf::new(),
            lsgan: PathBuf::from("lsgan"),
            classifier: ClassifierConfig::default(),
            dvbpr: DvbprConfig::pretrained(),
            pretraining: PretrainConfig::default(),
            config: DesignConfig::default(),
            most: 60,
            sheets: 6,
            seed: 1,
        }
    }
}
