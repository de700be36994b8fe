//! A design from what a command or a server is asked: keys of what somebody bought and names, no numbers.
//!
//! A [`Studio`] holds the three things that designs are made of, loaded once: a generator, a recommender with its network, and the real items
//! of the generator's categories. [`Studio::design`] then takes seconds, tells of each step and can be stopped, so it may run as a
//! job in the background; a studio is only read and may be shared by threads.

use std::path::Path;

use burn::tensor::Device;
use foldin_core::CancelFlag;
use foldin_models::item_vectors::{Member, Way, fold_in};

use super::preference::preference_of;
use super::retrieval::share_below;
use super::{
    Catalogue, DesignConfig, DesignResult, Judged, Judgement, Order, Step, Taste, design, same_categories,
};
use crate::classifier::Classifier;
use crate::data::products;
use crate::error::VisionError;
use crate::images::BuildReport;
use crate::lsgan::{self, Lsgan};
use crate::recommend::dvbpr::{self, Dvbpr};
use crate::recommend::folder::{Recommender, distinct};
use crate::saved;

/// What designs are made of.
#[derive(Clone, Debug)]
pub struct Studio {
    generator: Lsgan,
    recommender: Recommender,
    catalogue: Catalogue,
    categories: Vec<String>,
    classifier: Option<Classifier>,
    left_out: BuildReport,
}

/// A design that somebody asks for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// How the person is called in the result.
    pub user: String,
    /// Keys of what they bought, of the recommender's items.
    pub bought: Vec<String>,
    /// Name of the category, as [`Studio::categories`] has them.
    pub category: String,
    /// Name of an item of the catalogue to start from; from noise otherwise.
    pub tailor: Option<String>,
    /// Settings.
    pub config: DesignConfig,
    /// The seed of the starts.
    pub seed: u64,
}

impl Studio {
    /// Of a generator, a recommender with a network, and real items of the generator's size.
    ///
    /// # Errors
    /// [`VisionError::Unknown`] if the recommender has no `dvbpr`, or the catalogue no picture of any of the generator's categories;
    /// [`VisionError::Shape`] if the catalogue's pictures are of another size.
    pub fn new(
        generator: Lsgan,
        recommender: Recommender,
        catalogue: Catalogue,
    ) -> Result<Self, VisionError> {
        let (px, theirs) = (generator.config().px, catalogue.pictures().px());
        if px != theirs {
            return Err(VisionError::shape("pixels of the catalogue's pictures", px, theirs));
        }
        parts(&recommender)?;
        let real = |name: &&String| catalogue.members(name).is_ok();
        let categories: Vec<String> = generator.classes().iter().filter(real).cloned().collect();
        if categories.is_empty() {
            return Err(VisionError::Unknown {
                what: "category of the generator in the catalogue",
                name: generator.classes().join(", "),
                known: catalogue.categories().join(", "),
            });
        }
        let left_out = BuildReport::default();
        Ok(Self { generator, recommender, catalogue, categories, classifier: None, left_out })
    }

    /// The same with a classifier of the generator's categories, which keeps designs in theirs.
    ///
    /// # Errors
    /// [`VisionError::Shape`] if its categories are not the generator's, in their order.
    pub fn with_classifier(self, classifier: Classifier) -> Result<Self, VisionError> {
        same_categories(&self.generator, &classifier)?;
        Ok(Self { classifier: Some(classifier), ..self })
    }

    /// Loads a generator's folder, the classifier in the folder `classifier` beside it if there is one, and a recommender's folder, and
    /// decodes the pictures of products (a folder or an archive), or finds them
    /// in the folder `cache`; `progress` hears how many of how many are decoded, and may stop it.
    ///
    /// # Errors
    /// Those of reading each, and of [`Studio::new`].
    pub fn open(
        generator: &Path,
        recommender: &Path,
        products: &Path,
        cache: &Path,
        device: &Device,
        progress: &dyn Fn(usize, usize) -> Result<(), VisionError>,
    ) -> Result<Self, VisionError> {
        let recommender = Recommender::load(recommender, device)?;
        parts(&recommender)?;
        // Where `train-lsgan` leaves it.
        let generator = &lsgan::folder_of(generator);
        let classifier = generator
            .parent()
            .map(|folder| folder.join("classifier"))
            .filter(|folder| saved::is_readable(folder));
        let generator = Lsgan::load(generator, device)?;
        let labelled = products::read(products)?.labelled(products::CATEGORY)?;
        let (pictures, left_out) = labelled.images(&generator.config().decoding(), cache, progress)?;
        let labels =
            pictures.labels(products::CATEGORY).cloned().ok_or_else(|| VisionError::NothingLeft {
                path: products.display().to_string(),
                problem: "no picture has a category".to_owned(),
            })?;
        let studio = Self::new(generator, recommender, Catalogue::new(pictures, labels, device)?)?;
        let studio = Self { left_out, ..studio };
        match classifier {
            Some(folder) => studio.with_classifier(Classifier::load(&folder, device)?),
            None => Ok(studio),
        }
    }

    /// Names of the categories that can be designed for: the generator's that the catalogue has pictures of.
    #[must_use]
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// Pictures of the catalogue that could not be read.
    #[must_use]
    pub fn left_out(&self) -> &BuildReport {
        &self.left_out
    }

    /// Width and height of a designed picture.
    #[must_use]
    pub fn px(&self) -> usize {
        self.generator.config().px
    }

    /// Numbers of a category and of an item of the catalogue, by name.
    ///
    /// # Errors
    /// [`VisionError::Unknown`].
    pub fn find(&self, category: &str, tailor: Option<&str>) -> Result<(usize, Option<u32>), VisionError> {
        if !self.categories.iter().any(|name| name.eq_ignore_ascii_case(category)) {
            return Err(VisionError::Unknown {
                what: "category",
                name: category.to_owned(),
                known: self.categories.join(", "),
            });
        }
        let class = self.generator.class(category)?;
        let names = self.catalogue.pictures().names();
        let number = |name: &str| {
            let found = names.iter().position(|other| other == name);
            found.map(|at| at as u32).ok_or_else(|| VisionError::Unknown {
                what: "picture in the catalogue",
                name: name.to_owned(),
                known: format!("{}, such as {}", names.len(), names.first().map_or("none", String::as_str)),
            })
        };
        Ok((class, tailor.map(number).transpose()?))
    }

    /// The recommender, whose items are what somebody may have bought.
    #[must_use]
    pub fn recommender(&self) -> &Recommender {
        &self.recommender
    }

    /// Designs for one person; `progress` hears of each step, with the pictures so far, and `cancel` is asked before each.
    ///
    /// # Errors
    /// [`VisionError::Unknown`] for a key, category or item that does not exist, [`VisionError::Config`] for settings out of range,
    /// [`VisionError::Fit`] if cancelled.
    ///
    /// # Examples
    /// ```no_run
    /// use std::path::Path;
    ///
    /// use foldin_core::CancelFlag;
    /// use foldin_vision::backend::device;
    /// use foldin_vision::design::{Studio, Wish};
    ///
    /// let (generator, recommender) = (Path::new("runs/lsgan"), Path::new("runs/dvbpr"));
    /// let products = Path::new("fashion-products");
    /// let studio =
    ///     Studio::open(generator, recommender, products, Path::new("runs"), &device("cpu")?, &|_, _| Ok(()))?;
    /// let wish = Wish {
    ///     user: "ada".into(),
    ///     bought: vec!["0108775015".into(), "0669361001".into()],
    ///     category: "women-tops".into(),
    ///     ..Wish::default()
    /// };
    /// let result = studio.design(&wish, &CancelFlag::default(), |step| {
    ///     println!("step {}: best preference {:.2}", step.number, step.preference.iter().fold(f64::MIN, |a, b| a.max(*b)));
    /// })?;
    /// result.save(Path::new("design"))?; // the sheet, and all of it as JSON
    /// # Ok::<(), foldin_vision::VisionError>(())
    /// ```
    pub fn design(
        &self,
        wish: &Wish,
        cancel: &CancelFlag,
        progress: impl FnMut(&Step),
    ) -> Result<DesignResult, VisionError> {
        let taste = taste_of_keys(&self.recommender, &wish.bought)?;
        let (class, tailor) = self.find(&wish.category, wish.tailor.as_deref())?;
        let classifier = self.classifier.as_ref();
        let order = Order { user: &wish.user, taste: &taste, class, classifier, tailor, seed: wish.seed };
        let (network, ..) = parts(&self.recommender)?;
        design(&self.generator, network, &self.catalogue, order, &wish.config, cancel, progress)
    }

    /// What another recommender says of a result's designs and retrieved items. The one they were made with is climbed, and may be fooled by
    /// it; one that was trained apart, on other customers and with another seed, cannot. It judges by those of the purchases that it knows.
    ///
    /// # Errors
    /// [`VisionError::Unknown`] if it has no `dvbpr`, [`VisionError::NothingLeft`] if it knows nothing that was bought; those of reading the
    /// catalogue.
    pub fn judge(
        &self,
        judge: &Recommender,
        bought: &[String],
        result: &DesignResult,
    ) -> Result<Judged, VisionError> {
        let known: Vec<String> =
            bought.iter().filter(|key| judge.items.get(key).is_some()).cloned().collect();
        if known.is_empty() {
            return Err(VisionError::NothingLeft {
                path: "judge".to_owned(),
                problem: "the judge knows nothing of what was bought, so it has no taste to judge by"
                    .to_owned(),
            });
        }
        let taste = taste_of_keys(judge, &known)?;
        let (network, ..) = parts(judge)?;
        let real = self.catalogue.scores(network, &taste, &result.category)?;
        let say = |pictures: Vec<&[u8]>| -> Vec<Judgement> {
            let device = self.generator.device();
            preference_of(network, &taste, &pictures.concat(), result.px(), device)
                .into_iter()
                .map(|preference| Judgement { preference, percentile: share_below(&real, preference) })
                .collect()
        };
        let finished = result.designs.iter().filter_map(|design| design.pictures.last());
        Ok(Judged {
            designs: say(finished.map(Vec::as_slice).collect()),
            retrieved: say(result.retrieved_pictures().iter().map(Vec::as_slice).collect()),
            purchases: known.len(),
        })
    }
}

/// The taste of somebody who bought these items, by key, folded in without training.
fn taste_of_keys(recommender: &Recommender, bought: &[String]) -> Result<Taste, VisionError> {
    if bought.is_empty() {
        return Err(VisionError::NothingLeft {
            path: "purchases".to_owned(),
            problem: "somebody who bought nothing has no taste to design for".to_owned(),
        });
    }
    let number = |key: &String| {
        recommender.items.get(key).ok_or_else(|| {
            let some: Vec<&str> = recommender.items.keys().take(3).collect();
            VisionError::Unknown {
                what: "item",
                name: key.clone(),
                known: format!("{}, such as {}", recommender.items.len(), some.join(", ")),
            }
        })
    };
    let bought = bought.iter().map(number).collect::<Result<Vec<u32>, _>>()?;
    taste_of(recommender, &bought)
}

/// The same by number.
pub(crate) fn taste_of(recommender: &Recommender, bought: &[u32]) -> Result<Taste, VisionError> {
    let (_, member, lambda) = parts(recommender)?;
    Ok(Taste { theta: fold_in(member.items(), member.k(), &distinct(bought), lambda) })
}

/// What scores pictures that are in no catalogue: the network, and its member with the λ of its fold-in.
pub(crate) fn parts(recommender: &Recommender) -> Result<(&Dvbpr, &Member, f64), VisionError> {
    let member = recommender.member(dvbpr::NAME);
    match (&recommender.network, member, member.map(|member| member.way)) {
        (Some(network), Some(member), Some(Way::FoldIn { lambda })) if network.network.k() == member.k() => {
            Ok((network, member, lambda))
        }
        _ => Err(VisionError::Unknown {
            what: "model",
            name: dvbpr::NAME.to_owned(),
            known: format!("{}, which see no new pictures", recommender.name()),
        }),
    }
}
