//! `design`: pictures of new items for one person.
//!
//! For a person's θ, a category c, a generator G with its discriminator D, and a classifier p if there is one, noise z is moved to maximise
//! `θᵀΦ(G(z, c)) − η (D(G(z, c), c) − 1)² + γ ln p(c | G(z, c))` (Kang and others, 2017, with γ = 0) by Adam, from many starts; or, to
//! tailor an item, from the noise whose picture is nearest to the item's. Beside it stands retrieval: the person's best real items of that category.
//!
//! Where we depart: a classifier keeps designs in their category, as D, which never saw a real picture under another one, does not. θᵀΦ
//! is averaged over moved and mirrored views, for what one network makes of single pixels another one does not. Each start has its own
//! step (the authors average over starts, which Adam makes almost the same), noise is kept within what the generator was trained on
//! unless [`Bound::None`] is asked for, and scores are those of the pictures they stand by (the authors' lag one step behind).
//!
//! [`Studio`] does all of it from keys and names, for commands and for servers.
//!
//! The scorer that is climbed can be fooled by it, so [`evaluate`] has designs judged by a second one, trained apart.

mod ascent;
mod config;
mod evaluate;
mod preference;
mod retrieval;
mod studio;

use std::path::Path;

use foldin_core::CancelFlag;
use foldin_core::random::{Random, child_seed};
use serde::{Deserialize, Serialize};

pub use ascent::Step;
use ascent::{Hill, Start, ascend};
pub use config::{Bound, Choice, DesignConfig};
pub use evaluate::{DesignReport, Group, Person, Shares, evaluate};
pub use preference::{Features, Taste, resized};
use retrieval::share_below;
pub use retrieval::{Catalogue, Retrieved};
pub use studio::{Studio, Wish};
pub(crate) use studio::{parts, taste_of};

use crate::classifier::Classifier;
use crate::error::VisionError;
use crate::gan_metrics::nearest_by_pixel;
use crate::images::set::CHANNELS;
use crate::lsgan::Lsgan;
use crate::sheet::{Sheet, Tile};

/// A finished design.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Designed {
    /// Which of the starts it came from.
    pub start: usize,
    /// θᵀΦ after each step, the start first.
    pub preference: Vec<f64>,
    /// D after each step.
    pub realism: Vec<f64>,
    /// Probability of the category after each step, by the classifier that the design was kept in it with; empty without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub in_category: Vec<f64>,
    /// Share of the category's real items that the person likes less, by the same scorer.
    pub percentile: f64,
    /// The real items whose pictures are nearest, nearest first.
    pub nearest: Vec<NearestItem>,
    /// Pictures after the steps that are shown, the start first.
    #[serde(skip)]
    pub pictures: Vec<Vec<u8>>,
}

/// A real item near a design.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NearestItem {
    /// Its name.
    pub item: String,
    /// Mean absolute difference of pixels, of 255.
    pub difference: f64,
    /// Its number in the catalogue.
    #[serde(skip)]
    pub picture: u32,
}

/// What a recommender says of a picture that it did not help to make.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// θᵀΦ.
    pub preference: f64,
    /// Share of the category's real items that the person likes less.
    pub percentile: f64,
}

/// Judgements of a result's pictures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Of each design.
    pub designs: Vec<Judgement>,
    /// Of each retrieved item.
    pub retrieved: Vec<Judgement>,
    /// How many of the purchases it knows, by which it judges.
    pub purchases: usize,
}

/// Designs for one person in one category, beside retrieval.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DesignResult {
    /// The person, as given.
    pub user: String,
    /// The category.
    pub category: String,
    /// The item that was tailored, if any.
    pub tailored: Option<String>,
    /// All settings.
    pub config: DesignConfig,
    /// The seed.
    pub seed: u64,
    /// Steps whose pictures are shown.
    pub shown: Vec<usize>,
    /// Designs that were kept, best first.
    pub designs: Vec<Designed>,
    /// The person's best real items of the category, best first.
    pub retrieved: Vec<Retrieved>,
    /// What a second recommender says of both, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    #[serde(skip)]
    px: usize,
    #[serde(skip)]
    retrieved_pictures: Vec<Vec<u8>>,
    #[serde(skip)]
    nearest_pictures: Vec<Vec<Vec<u8>>>,
    #[serde(skip)]
    tailored_picture: Option<Vec<u8>>,
}

/// What to design.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// How the person is called.
    pub user: &'a str,
    /// Their taste.
    pub taste: &'a Taste,
    /// The category's number in the generator.
    pub class: usize,
    /// A classifier of the generator's categories in their order, which keeps designs in theirs.
    pub classifier: Option<&'a Classifier>,
    /// An item of the catalogue to start from, by number.
    pub tailor: Option<u32>,
    /// The seed of the starts.
    pub seed: u64,
}

/// Steps shown between start and result.
const SHOWN: usize = 5;
/// Nearest real items shown beside a design.
const NEAREST: usize = 3;

/// Designs for one person; `progress` hears of each step.
///
/// # Errors
/// [`VisionError`] for unusable settings, pictures of another size, an item or a category that does not exist, or if cancelled.
pub fn design(
    model: &Lsgan,
    features: &dyn Features,
    catalogue: &Catalogue,
    order: Order<'_>,
    config: &DesignConfig,
    cancel: &CancelFlag,
    mut progress: impl FnMut(&Step),
) -> Result<DesignResult, VisionError> {
    let settings = foldin_core::config::to_map(config);
    let config = foldin_core::config::overlay("design", config, &settings)?;
    let category = model.classes().get(order.class).ok_or_else(|| VisionError::Unknown {
        what: "category",
        name: order.class.to_string(),
        known: model.classes().join(", "),
    })?;
    let px = model.config().px;
    if catalogue.pictures().px() != px {
        return Err(VisionError::shape("pixels of the catalogue's pictures", px, catalogue.pictures().px()));
    }
    let tailored_picture = order.tailor.map(|item| catalogue.pictures().bytes(&[item])).transpose()?;
    let start = tailored_picture.as_deref().map_or(Start::Random, Start::Item);
    let every = config.steps.div_ceil(SHOWN).max(1);
    let shown: Vec<usize> =
        (0..=config.steps).filter(|step| step.is_multiple_of(every) || *step == config.steps).collect();
    if let Some(classifier) = order.classifier {
        same_categories(model, classifier)?;
    }
    let hill = Hill { model, features, taste: order.taste, class: order.class, classifier: order.classifier };
    let mut scores: Vec<[Vec<f64>; 3]> = Vec::new();
    let mut kept: Vec<Step> = Vec::new();
    ascend(hill, start, &config, order.seed, cancel, |step| {
        progress(&step);
        scores.push([step.preference.clone(), step.realism.clone(), step.category.clone()]);
        if shown.contains(&step.number) {
            kept.push(step);
        }
    })?;
    let Some(last) = kept.last() else {
        return Err(VisionError::shape("steps", "at least one", 0));
    };
    let objective: Vec<f64> = (0..config.starts).map(|start| last.objective(start, &config)).collect();
    let chosen = chosen(&objective, &config, order.seed);
    let real = catalogue.scores(features, order.taste, category)?;
    let (mut designs, mut nearest_pictures) = (Vec::new(), Vec::new());
    for start in chosen {
        let [preference, realism, in_category] =
            [0, 1, 2].map(|score| scores.iter().filter_map(|step| step[score].get(start).copied()).collect());
        let preference: Vec<f64> = preference;
        let final_score = preference.last().copied().unwrap_or_default();
        let nearest = nearest_items(catalogue, category, last.picture(start))?;
        let numbers: Vec<u32> = nearest.iter().map(|item| item.picture).collect();
        let bytes = catalogue.pictures().bytes(&numbers)?;
        nearest_pictures.push(bytes.chunks(CHANNELS * px * px).map(<[u8]>::to_vec).collect());
        designs.push(Designed {
            start,
            preference,
            realism,
            in_category,
            percentile: share_below(&real, final_score),
            nearest,
            pictures: kept.iter().map(|step| step.picture(start).to_vec()).collect(),
        });
    }
    let retrieved = catalogue.best(&real, config.keep.max(NEAREST));
    let numbers: Vec<u32> = retrieved.iter().map(|item| item.picture).collect();
    let retrieved_pictures =
        catalogue.pictures().bytes(&numbers)?.chunks(CHANNELS * px * px).map(<[u8]>::to_vec).collect();
    Ok(DesignResult {
        user: order.user.to_owned(),
        category: category.clone(),
        tailored: order.tailor.map(|item| catalogue.pictures().names()[item as usize].clone()),
        config,
        seed: order.seed,
        shown,
        designs,
        retrieved,
        judged: None,
        px,
        retrieved_pictures,
        nearest_pictures,
        tailored_picture,
    })
}

/// Whether a classifier knows the generator's categories, in their order.
fn same_categories(model: &Lsgan, classifier: &Classifier) -> Result<(), VisionError> {
    if classifier.classes() == model.classes() {
        return Ok(());
    }
    let (ours, theirs) = (model.classes().join(", "), classifier.classes().join(", "));
    Err(VisionError::shape("categories of the classifier", ours, theirs))
}

fn nearest_items(
    catalogue: &Catalogue,
    category: &str,
    picture: &[u8],
) -> Result<Vec<NearestItem>, VisionError> {
    let members = catalogue.members(category)?;
    let bytes = catalogue.pictures().bytes(&members)?;
    let mut found: Vec<(f64, u32)> = bytes
        .chunks_exact(picture.len())
        .zip(&members)
        .filter_map(|(other, &item)| Some((nearest_by_pixel(picture, other, picture.len()).first()?.1, item)))
        .collect();
    found.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.cmp(&y.1)));
    let name = |item: u32| catalogue.pictures().names()[item as usize].clone();
    Ok(found
        .into_iter()
        .take(NEAREST)
        .map(|(difference, picture)| NearestItem { item: name(picture), difference, picture })
        .collect())
}

/// Which starts are kept, best first or as drawn.
fn chosen(objective: &[f64], config: &DesignConfig, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..objective.len()).collect();
    match config.choice {
        Choice::Best => order.sort_by(|&x, &y| objective[y].total_cmp(&objective[x]).then(x.cmp(&y))),
        Choice::Drawn => {
            // The largest of objective + Gumbel noise are a draw without return by exp(objective).
            let mut random = Random::new(child_seed(seed, "design-choice"));
            let keys: Vec<f64> =
                objective.iter().map(|x| x - (-(1.0 - random.uniform()).ln()).ln()).collect();
            order.sort_by(|&x, &y| keys[y].total_cmp(&keys[x]).then(x.cmp(&y)));
        }
    }
    order.truncate(config.keep);
    order
}

impl DesignResult {
    /// Width and height of each picture.
    #[must_use]
    pub fn px(&self) -> usize {
        self.px
    }

    /// Pictures of [`DesignResult::retrieved`], `[3 × px × px]` bytes each, as all of these.
    #[must_use]
    pub fn retrieved_pictures(&self) -> &[Vec<u8>] {
        &self.retrieved_pictures
    }

    /// Pictures of the nearest real items of each design.
    #[must_use]
    pub fn nearest_pictures(&self) -> &[Vec<Vec<u8>>] {
        &self.nearest_pictures
    }

    /// The picture of the item that was tailored, if one was.
    #[must_use]
    pub fn tailored_picture(&self) -> Option<&[u8]> {
        self.tailored_picture.as_deref()
    }

    /// A sheet: a row for each design with the item it started from if any, the steps shown, a gap and the nearest real items; a last
    /// row with the best retrieved items. Under each its scores: θᵀΦ, D of designs, and how far a real item is, of 255.
    ///
    /// # Errors
    /// [`VisionError::Shape`] never happens for a result that [`design`] gave.
    pub fn sheet(&self) -> Result<Sheet, VisionError> {
        let mut sheet = Sheet::new(self.px);
        for (designed, nearest) in self.designs.iter().zip(&self.nearest_pictures) {
            let mut row: Vec<Option<Tile>> = Vec::new();
            row.extend(self.tailored_picture.clone().map(|picture| Some(Tile::new(picture).says("from"))));
            for (&step, picture) in self.shown.iter().zip(&designed.pictures) {
                let tile = Tile::new(picture.clone())
                    .says(format!("step {step}"))
                    .says(format!("likes {:.2}", designed.preference[step]))
                    .says(format!("real {:.2}", designed.realism[step]));
                row.push(Some(tile));
            }
            row.push(None);
            for (item, picture) in designed.nearest.iter().zip(nearest) {
                let tile =
                    Tile::new(picture.clone()).says("nearest").says(format!("{:.1} off", item.difference));
                row.push(Some(tile));
            }
            sheet.row(row)?;
        }
        let best = self.retrieved.iter().zip(&self.retrieved_pictures).map(|(item, picture)| {
            let likes = format!("likes {:.2}", item.preference);
            Some(Tile::new(picture.clone()).says("real item").says(likes))
        });
        sheet.row(best.collect())?;
        Ok(sheet)
    }

    /// Writes `design.png` and `design.json` into a folder, and each design by itself.
    ///
    /// # Errors
    /// [`VisionError::Io`] or [`VisionError::Format`] if something cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), VisionError> {
        std::fs::create_dir_all(folder).map_err(VisionError::io(folder))?;
        self.sheet()?.save(&folder.join("design.png"))?;
        for (number, designed) in self.designs.iter().enumerate() {
            if let Some(picture) = designed.pictures.last() {
                let mut one = Sheet::new(self.px);
                one.row(vec![Some(Tile::new(picture.clone()))])?;
                one.save(&folder.join(format!("design-{}.png", number + 1)))?;
            }
        }
        let path = folder.join("design.json");
        let text = format!("{:#}\n", serde_json::json!(self));
        std::fs::write(&path, text).map_err(VisionError::io(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        let config = DesignConfig { starts: 3, keep: 2, ..DesignConfig::default() };
        assert_eq!(chosen(&[0.0, 5.0, 1.0], &config, 1), [1, 2]);
        // Drawn by exp: of two with objectives ln 3 and 0 the first comes first three times of four.
        let drawn = DesignConfig { starts: 2, keep: 1, choice: Choice::Drawn, ..DesignConfig::default() };
        let first = (0..4000).filter(|&seed| chosen(&[3f64.ln(), 0.0], &drawn, seed) == [0]).count();
        assert!((first as f64 / 4000.0 - 0.75).abs() < 0.03, "{first}");
        assert!(
            foldin_core::ModelConfig::check(&DesignConfig { keep: 99, ..DesignConfig::default() }).is_err()
        );
    }
}
