//! Are designs better than what can be bought, by a judge that did not make them?
//!
//! For each person, pictures of one category in groups: random real items, the best real one and the best few by the first scorer, random
//! generated ones, designs, designs without the realism term, and designs without the category term, which the papers have not. All are scored by the
//! scorer that was climbed and by a second one that was trained apart. Scores of different persons and scorers are compared as standard deviations
//! of the category's real items above the best of them, and as percentiles among them.

use burn::tensor::Tensor;
use foldin_core::CancelFlag;
use foldin_core::random::{Random, child_seed};
use serde::{Deserialize, Serialize};

use super::config::DesignConfig;
use super::preference::{Features, Taste, preference_of};
use super::retrieval::{Catalogue, share_below};
use super::{Order, design};
use crate::backend;
use crate::classifier::Classifier;
use crate::error::VisionError;
use crate::evaluate::Figure;
use crate::gan_metrics::ms_ssim;
use crate::images::{set::CHANNELS, to_unit};
use crate::lsgan::Lsgan;

/// Somebody to design for.
#[derive(Clone, Debug)]
pub struct Person {
    /// What they are called.
    pub name: String,
    /// Their taste by the scorer that is climbed.
    pub taste: Taste,
    /// Their taste by the second scorer.
    pub second: Taste,
    /// The category's number in the generator.
    pub class: usize,
}

/// A group of pictures, as means over persons.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// θᵀΦ by the scorer that was climbed, less that of its best real item, in standard deviations of the category's real items.
    pub preference: Figure,
    /// The same of the same pictures by the second scorer.
    pub second: Figure,
    /// Share of the category's real items liked less, by the scorer that was climbed.
    pub percentile: Figure,
    /// The same by the second scorer.
    pub second_percentile: Figure,
    /// D.
    pub realism: Figure,
    /// Share that the second classifier takes for the category, where one is given.
    pub agreement: Option<Figure>,
    /// 1 − similarity of pairs within a person's group, where it has pairs.
    pub diversity: Option<Figure>,
}

/// Shares of persons for whom the best design, by what was climbed, beats the best real item of the scorer that was climbed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shares {
    /// By that scorer.
    pub first: f64,
    /// By the second one.
    pub second: f64,
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DesignReport {
    /// How many persons.
    pub persons: usize,
    /// Groups by name, in the order of the module's description.
    pub groups: Vec<(String, Group)>,
    /// Preference of the design that comes first, of the highest objective unless they are drawn, less that of the best real item, by the scorer that was climbed, in standard deviations of the preference
    /// for the category's real items.
    pub gain: Figure,
    /// The same two pictures by the second scorer.
    pub second_gain: Figure,
    /// How often it is a gain.
    pub better: Shares,
}

/// Sums of one group.
#[derive(Default)]
struct Collected {
    preference: Vec<f64>,
    second: Vec<f64>,
    percentile: Vec<f64>,
    second_percentile: Vec<f64>,
    realism: Vec<f64>,
    agreement: Vec<f64>,
    diversity: Vec<f64>,
}

/// What one scorer thinks of all groups of one person. Scorers and persons have scales of their own.
struct Scored {
    scores: Vec<Vec<f64>>,
    best_real: f64,
    scale: f64,
}

impl Scored {
    /// A preference less that of the best real item, in standard deviations.
    fn gain(&self, preference: f64) -> f64 {
        (preference - self.best_real) / self.scale
    }
}

/// Designs for all persons and measures. Of two classifiers that know the generator's categories in the same order and take its size the first
/// keeps designs in theirs, and the second, which should be trained apart, says whether they are.
///
/// # Errors
/// As [`design`].
pub fn evaluate(
    model: &Lsgan,
    first: &dyn Features,
    second: &dyn Features,
    [classifier, judge]: [Option<&Classifier>; 2],
    catalogue: &Catalogue,
    persons: &[Person],
    config: &DesignConfig,
    seed: u64,
    cancel: &CancelFlag,
    mut progress: impl FnMut(usize),
) -> Result<DesignReport, VisionError> {
    const NAMES: [&str; 7] = [
        "random real",
        "best real",
        "best few real",
        "random generated",
        "designed",
        "designed without realism",
        "designed without the category",
    ];
    const BEST_REAL: usize = 1;
    const DESIGNED: usize = 4;
    let mut groups: [Collected; NAMES.len()] = Default::default();
    let (mut gains, mut second_gains) = (Vec::new(), Vec::new());
    let plain = DesignConfig { realism: 0.0, ..config.clone() };
    let free = DesignConfig { category: 0.0, ..config.clone() };
    for (number, person) in persons.iter().enumerate() {
        let category = model.classes().get(person.class).ok_or_else(|| VisionError::Unknown {
            what: "category",
            name: person.class.to_string(),
            known: model.classes().join(", "),
        })?;
        let own_seed = child_seed(seed, &person.name);
        let real = catalogue.scores(first, &person.taste, category)?;
        let second_real = catalogue.scores(second, &person.second, category)?;
        let best: Vec<u32> = catalogue.best(&real, config.keep).iter().map(|item| item.picture).collect();
        let mut random = Random::new(child_seed(own_seed, "random-real"));
        let chance: Vec<u32> = (0..config.keep).map(|_| real[random.below(real.len())].0).collect();
        let order = |seed| Order {
            user: &person.name,
            taste: &person.taste,
            class: person.class,
            classifier,
            tailor: None,
            seed,
        };
        let designs = |config: &DesignConfig| -> Result<Vec<u8>, VisionError> {
            let found = design(model, first, catalogue, order(own_seed), config, cancel, |_| ())?;
            Ok(found.designs.iter().filter_map(|design| design.pictures.last()).flatten().copied().collect())
        };
        let pictures = [
            catalogue.pictures().bytes(&chance)?,
            catalogue.pictures().bytes(&best[..1])?,
            catalogue.pictures().bytes(&best)?,
            model.generate(person.class, config.keep, child_seed(own_seed, "random-generated"))?,
            designs(config)?,
            designs(&plain)?,
            designs(&free)?,
        ];
        let px = model.config().px;
        let scored = |features, taste, scale: f64| {
            let of = |bytes: &Vec<u8>| preference_of(features, taste, bytes, px, model.device());
            let scores: Vec<Vec<f64>> = pictures.iter().map(of).collect();
            Scored { best_real: scores[BEST_REAL][0], scale, scores }
        };
        let own = scored(first, &person.taste, deviation(&real));
        let other = scored(second, &person.second, deviation(&second_real));
        gains.push(own.gain(own.scores[DESIGNED][0]));
        second_gains.push(other.gain(other.scores[DESIGNED][0]));
        for ((group, bytes), (own_scores, other_scores)) in
            groups.iter_mut().zip(&pictures).zip(own.scores.iter().zip(&other.scores))
        {
            let size = CHANNELS * px * px;
            let n = bytes.len() / size;
            let values = bytes.iter().map(|&byte| to_unit(byte)).collect();
            let tensor = backend::tensor(values, [n, CHANNELS, px, px], model.device());
            let below = |scores: &[(u32, f64)], own: &[f64]| {
                mean(&own.iter().map(|&score| share_below(scores, score)).collect::<Vec<_>>())
            };
            group.percentile.push(below(&real, own_scores));
            group.second_percentile.push(below(&second_real, other_scores));
            group.preference.push(own.gain(mean(own_scores)));
            group.second.push(other.gain(mean(other_scores)));
            group.realism.push(mean(&wide(model.realism(tensor, person.class))));
            if let Some(judge) = judge {
                let right = judge.classify(bytes).iter().filter(|&&class| class == person.class).count();
                group.agreement.push(right as f64 / n as f64);
            }
            if n > 1 {
                group.diversity.push(pairwise(bytes, px));
            }
        }
        progress(number + 1);
    }
    let share =
        |gains: &[f64]| gains.iter().filter(|gain| **gain > 0.0).count() as f64 / gains.len().max(1) as f64;
    let group = |collected: Collected| Group {
        preference: Figure::of(&collected.preference).unwrap_or_default(),
        second: Figure::of(&collected.second).unwrap_or_default(),
        percentile: Figure::of(&collected.percentile).unwrap_or_default(),
        second_percentile: Figure::of(&collected.second_percentile).unwrap_or_default(),
        realism: Figure::of(&collected.realism).unwrap_or_default(),
        agreement: Figure::of(&collected.agreement),
        diversity: Figure::of(&collected.diversity),
    };
    Ok(DesignReport {
        persons: persons.len(),
        better: Shares { first: share(&gains), second: share(&second_gains) },
        gain: Figure::of(&gains).unwrap_or_default(),
        second_gain: Figure::of(&second_gains).unwrap_or_default(),
        groups: NAMES.iter().map(|name| (*name).to_owned()).zip(groups.map(group)).collect(),
    })
}

fn wide(values: Tensor<1>) -> Vec<f64> {
    backend::values(values).into_iter().map(f64::from).collect()
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The standard deviation of scores; 1 where all are the same, so that it may divide.
fn deviation(scores: &[(u32, f64)]) -> f64 {
    let values: Vec<f64> = scores.iter().map(|(_, score)| *score).collect();
    let centre = mean(&values);
    let found = mean(&values.iter().map(|x| (x - centre) * (x - centre)).collect::<Vec<_>>()).sqrt();
    if found > 0.0 { found } else { 1.0 }
}

/// Mean of 1 − similarity over all pairs.
fn pairwise(bytes: &[u8], px: usize) -> f64 {
    let size = CHANNELS * px * px;
    let pictures: Vec<&[u8]> = bytes.chunks_exact(size).collect();
    let mut found = Vec::new();
    for (at, first) in pictures.iter().enumerate() {
        for second in &pictures[..at] {
            // Planes one below the other are three pictures; the mean over them is that over channels.
            let planes = first.chunks_exact(px * px).zip(second.chunks_exact(px * px));
            found.push(1.0 - mean(&planes.map(|(x, y)| ms_ssim(x, y, px, px, 1)).collect::<Vec<_>>()));
        }
    }
    mean(&found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_divide() {
        assert!((deviation(&[(0, 1.0), (1, 5.0)]) - 2.0).abs() < 1e-12);
        assert!((deviation(&[(0, 3.0), (1, 3.0)]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn copies_have_no_diversity() {
        let picture: Vec<u8> = (0..3 * 256).map(|at| (at % 251) as u8).collect();
        assert!(pairwise(&picture.repeat(3), 16).abs() < 1e-12);
    }
}
