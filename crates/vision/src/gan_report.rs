//! All measures of a generator against real pictures, with their floors beside them.
//!
//! Some real pictures never seen by the generator are the test part. Everything generated has as many pictures of each class as
//! what it is compared with; the floor of a distance is what real test pictures get in the place of generated ones.

use std::collections::HashMap;

use burn::tensor::Device;
use foldin_core::random::{Random, child_seed};
use foldin_core::{CancelFlag, FitContext};
use serde::{Deserialize, Serialize};

use crate::classifier::{Accuracy, Classifier, ClassifierConfig};
use crate::error::VisionError;
use crate::gan_metrics::{
    KernelDistance, Manifold, Memorisation, Rows, class_diversity, feature_memorisation, frechet_distance,
    kernel_distance, manifold, nearest_by_pixel, nearest_neighbour_test,
};
use crate::images::set::{CHANNELS, check_shrinking, shrink};
use crate::images::{ImageSet, Labels};
use crate::lsgan::Lsgan;

/// Pictures cut into those to train on and those to test on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// To train generator and classifier on.
    pub train: ImageSet,
    /// Labels of these.
    pub train_labels: Labels,
    /// Seen by neither.
    pub test: ImageSet,
    /// Labels of these.
    pub test_labels: Labels,
}

impl Parts {
    /// Cuts the labelled pictures of a set, `share` of each class to the test part, by seed. Equal pictures go to the same part, also
    /// where they are of different classes, so that no test picture was trained on.
    ///
    /// # Errors
    /// [`VisionError::Unknown`] for a label that the set does not have; as [`ImageSet::read`].
    pub fn cut(pictures: &ImageSet, label: &str, share: f64, seed: u64) -> Result<Self, VisionError> {
        let labels = pictures.labels(label).ok_or_else(|| VisionError::Unknown {
            what: "label",
            name: label.to_owned(),
            known: pictures.all_labels().iter().map(Labels::name).collect::<Vec<_>>().join(", "),
        })?;
        let (mut train, mut test) = (Vec::new(), Vec::new());
        // Where each distinct picture went, by the hash of its bytes.
        let mut part: HashMap<u64, bool> = HashMap::new();
        let mut bytes = vec![0; pictures.stride()];
        for class in 0..labels.classes().len() as u32 {
            let mut order = Vec::new();
            for picture in labels.members(class) {
                pictures.read(picture, &mut bytes)?;
                let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes, child_seed(seed, "test-part"));
                order.push((hash, picture));
            }
            order.sort_unstable();
            let wanted = (order.len() as f64 * share).round() as usize;
            // Copies of what an earlier class put into the test part count first.
            let mut to_test = order.iter().filter(|(hash, _)| part.get(hash) == Some(&true)).count();
            for copies in order.chunk_by(|one, other| one.0 == other.0) {
                let tests = *part.entry(copies[0].0).or_insert_with(|| {
                    let more = to_test < wanted;
                    to_test += if more { copies.len() } else { 0 };
                    more
                });
                let part = if tests { &mut test } else { &mut train };
                part.extend(copies.iter().map(|(_, picture)| *picture));
            }
        }
        train.sort_unstable();
        test.sort_unstable();
        Ok(Self {
            train: pictures.select(&train)?,
            train_labels: labels.select(&train),
            test: pictures.select(&test)?,
            test_labels: labels.select(&test),
        })
    }

    /// The same parts of pictures shrunk to `px` pixels.
    ///
    /// # Errors
    /// As [`ImageSet::shrunk`].
    pub fn shrunk(&self, px: usize) -> Result<Self, VisionError> {
        Ok(Self { train: self.train.shrunk(px)?, test: self.test.shrunk(px)?, ..self.clone() })
    }
}

/// A number for generated pictures beside the one that real pictures get.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Beside<T> {
    /// Of generated pictures.
    pub generated: T,
    /// Of real test pictures in their place.
    pub real: T,
}

/// All measures.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GanReport {
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Real pictures of each class in the training and in the test part.
    pub pictures: Vec<[usize; 2]>,
    /// The classifier on real test pictures: what label agreement is limited by.
    pub classifier: Accuracy,
    /// How often the classifier sees the class that a picture was generated for, equally many of each class.
    pub label_agreement: Accuracy,
    /// A classifier trained on generated pictures alone, and one trained on as many real ones, on real test pictures; none if not asked.
    pub classification_accuracy_score: Option<Beside<Accuracy>>,
    /// Fréchet distance on classifier features, to training pictures.
    pub frechet: Option<Beside<f64>>,
    /// Fréchet distance between the halves of the test part: a floor that owes nothing to the classifier having seen the training
    /// pictures, though of half as many.
    pub frechet_halves: Option<f64>,
    /// Generated over real.
    pub frechet_ratio: Option<f64>,
    /// Kernel distance on classifier features, to training pictures.
    pub kernel_distance: Option<Beside<KernelDistance>>,
    /// Precision, recall, density and coverage among training pictures.
    pub manifold: Option<Beside<Manifold>>,
    /// Accuracy of the nearest-neighbour test for real test and for generated pictures; ½ is best.
    pub nearest_neighbour_test: Option<(f64, f64)>,
    /// 1 − similarity of pairs within each class.
    pub diversity: Vec<Option<Beside<f64>>>,
    /// Distance to the nearest training picture by pixels, against that of real test pictures.
    pub pixel_memorisation: Option<Memorisation>,
    /// The same by classifier features.
    pub feature_memorisation: Option<Memorisation>,
}

/// How a report is made.
#[derive(Clone, Copy, Debug)]
pub struct ReportOptions {
    /// Pictures generated of each class for label agreement.
    pub per_class: usize,
    /// Whether to train classifiers on generated pictures, which takes as long as training the classifier.
    pub classification_accuracy_score: bool,
    /// Pairs of each class whose similarity is measured.
    pub pairs: usize,
    /// The seed of everything drawn.
    pub seed: u64,
}

impl Default for ReportOptions {
    fn default() -> Self {
        Self { per_class: 200, classification_accuracy_score: true, pairs: 200, seed: 1 }
    }
}

/// Neighbours of precision and recall, and of density and coverage.
const NEIGHBOURS: (usize, usize) = (3, 5);
/// Blocks of the kernel distance, and vectors of each: of 100, their spread hid a generator whose Fréchet distance was twice the floor.
const BLOCKS: (usize, usize) = (50, 1000);

/// Generates `counts[class]` pictures of each class, one class after the other, with their classes, and shrinks them to `px` pixels.
fn generated(
    model: &Lsgan,
    px: usize,
    counts: &[usize],
    seed: u64,
) -> Result<(Vec<u8>, Vec<usize>), VisionError> {
    let (mut bytes, mut classes) = (Vec::new(), Vec::new());
    for (class, &count) in counts.iter().enumerate() {
        let made = model.generate(class, count, child_seed(seed, &model.classes()[class]))?;
        bytes.extend(shrink(&made, model.config().px, px));
        classes.extend(std::iter::repeat_n(class, count));
    }
    Ok((bytes, classes))
}

/// All bytes of a set.
fn all(pictures: &ImageSet) -> Result<Vec<u8>, VisionError> {
    pictures.bytes(&(0..pictures.len() as u32).collect::<Vec<_>>())
}

/// Training pictures that are compared with at once.
const PIECE: usize = 4096;

/// For each picture the nearest of a set, as [`nearest_by_pixel`] finds it, without all of the set in memory.
pub(crate) fn nearest_in(pictures: &[u8], set: &ImageSet) -> Result<Vec<(usize, f64)>, VisionError> {
    let mut best: Vec<(usize, f64)> = Vec::new();
    for first in (0..set.len()).step_by(PIECE) {
        let piece: Vec<u32> = (first as u32..(first + PIECE).min(set.len()) as u32).collect();
        let mut found = nearest_by_pixel(pictures, &set.bytes(&piece)?, set.stride());
        found.iter_mut().for_each(|(at, _)| *at += first);
        if best.is_empty() {
            best = found;
        } else {
            for (best, found) in best.iter_mut().zip(found).filter(|(best, found)| found.1 < best.1) {
                *best = found;
            }
        }
    }
    Ok(best)
}

/// Measures a generator that was trained on `parts.train` with a classifier that was, too. Where both parts and the classifier's pictures are
/// smaller than the generator's, these are shrunk to their size.
///
/// # Errors
/// [`VisionError::Shape`] if classifier and pictures are not of one size that divides the generator's, and all of the same classes; as training
/// a classifier, which `cancel` stops.
pub fn gan_report(
    model: &Lsgan,
    classifier: &Classifier,
    parts: &Parts,
    options: ReportOptions,
    device: &Device,
    cancel: &CancelFlag,
) -> Result<GanReport, VisionError> {
    let px = classifier.px();
    for (what, got) in [("training part", parts.train.px()), ("test part", parts.test.px())] {
        if got != px {
            return Err(VisionError::shape(&format!("pixels of the {what}'s pictures"), px, got));
        }
    }
    check_shrinking(model.config().px, px)?;
    let classes = parts.train_labels.classes().to_vec();
    if model.classes() != classes || classifier.classes() != classes {
        let got = format!("{} and {}", model.classes().join(", "), classifier.classes().join(", "));
        return Err(VisionError::shape("categories of generator and classifier", classes.join(", "), got));
    }
    let (train_counts, test_counts) = (parts.train_labels.counts(), parts.test_labels.counts());
    let (even, truth) =
        generated(model, px, &vec![options.per_class; classes.len()], child_seed(options.seed, "agreement"))?;
    let label_agreement = Accuracy::of(&classifier.classify(&even), &truth, classes.len());

    let (made, _) = generated(model, px, &test_counts, child_seed(options.seed, "distance"))?;
    let test = all(&parts.test)?;
    let width = classifier.width();
    let features =
        [classifier.features_in(&parts.train)?, classifier.features_of(&test), classifier.features_of(&made)];
    let [train_rows, test_rows, made_rows] = [0, 1, 2].map(|at| Rows::new(&features[at], width));
    // Balls and blocks need sets of equal size: as many training pictures as test pictures, in the same mix of classes.
    let sample = sampled(&parts.train_labels, &test_counts, options.seed);
    let sample: Vec<f32> = sample.iter().flat_map(|&at| train_rows.row(at as usize).to_vec()).collect();
    let sample_rows = Rows::new(&sample, width);
    let beside =
        |generated: Option<f64>, real: Option<f64>| Some(Beside { generated: generated?, real: real? });
    let frechet = beside(frechet_distance(train_rows, made_rows), frechet_distance(train_rows, test_rows));
    let halves = [0, 1].map(|half| {
        let chosen = (0..classes.len()).flat_map(|class| {
            parts.test_labels.members(class as u32).into_iter().skip(half).step_by(2).collect::<Vec<_>>()
        });
        chosen.flat_map(|at| test_rows.row(at as usize).to_vec()).collect::<Vec<f32>>()
    });
    let frechet_halves = frechet_distance(Rows::new(&halves[0], width), Rows::new(&halves[1], width));
    let kernel =
        |rows| kernel_distance(train_rows, rows, BLOCKS.1, BLOCKS.0, child_seed(options.seed, "blocks"));
    let around = |rows| manifold(sample_rows, rows, NEIGHBOURS.0, NEIGHBOURS.1);
    let size = CHANNELS * px * px;
    let diversity = (0..classes.len()).map(|class| {
        let members = parts.test_labels.members(class as u32);
        let start = test_counts[..class].iter().sum::<usize>() * size;
        let own = &made[start..start + test_counts[class] * size];
        let of = |bytes: &[u8]| {
            let seed = child_seed(options.seed, "pairs");
            class_diversity(&interleaved(bytes, px), px, px, CHANNELS, options.pairs, seed)
        };
        Ok(beside(of(own), of(&parts.test.bytes(&members)?)))
    });
    let diversity = diversity.collect::<Result<Vec<_>, VisionError>>()?;
    let score = if options.classification_accuracy_score {
        Some(accuracy_score(model, parts, &train_counts, options.seed, device, cancel)?)
    } else {
        None
    };
    Ok(GanReport {
        pictures: train_counts.iter().zip(&test_counts).map(|(&train, &test)| [train, test]).collect(),
        classifier: classifier.accuracy(&parts.test, &parts.test_labels)?,
        label_agreement,
        classification_accuracy_score: score,
        frechet,
        frechet_halves,
        frechet_ratio: frechet.filter(|both| both.real > 0.0).map(|both| both.generated / both.real),
        kernel_distance: kernel(made_rows)
            .zip(kernel(test_rows))
            .map(|(generated, real)| Beside { generated, real }),
        manifold: around(made_rows)
            .zip(around(test_rows))
            .map(|(generated, real)| Beside { generated, real }),
        nearest_neighbour_test: nearest_neighbour_test(test_rows, made_rows),
        diversity,
        pixel_memorisation: Memorisation::of(
            &nearest_in(&made, &parts.train)?,
            &nearest_in(&test, &parts.train)?,
        ),
        feature_memorisation: feature_memorisation(made_rows, test_rows, train_rows),
        classes,
    })
}

/// Up to `counts[class]` pictures of each class, drawn without return.
fn sampled(labels: &Labels, counts: &[usize], seed: u64) -> Vec<u32> {
    let mut random = Random::new(child_seed(seed, "training-sample"));
    let mut out = Vec::new();
    for (class, &count) in counts.iter().enumerate() {
        let mut members = labels.members(class as u32);
        random.shuffle(&mut members);
        out.extend(members.into_iter().take(count));
    }
    out
}

/// Planes to interleaved channels.
fn interleaved(bytes: &[u8], px: usize) -> Vec<u8> {
    let plane = px * px;
    let mut out = Vec::with_capacity(bytes.len());
    for picture in bytes.chunks_exact(CHANNELS * plane) {
        for at in 0..plane {
            out.extend((0..CHANNELS).map(|channel| picture[channel * plane + at]));
        }
    }
    out
}

/// Classifiers trained on generated and on real pictures, the same settings and seed, on real test pictures.
fn accuracy_score(
    model: &Lsgan,
    parts: &Parts,
    counts: &[usize],
    seed: u64,
    device: &Device,
    cancel: &CancelFlag,
) -> Result<Beside<Accuracy>, VisionError> {
    let config = ClassifierConfig::default();
    let ctx = FitContext { cancel: cancel.clone(), ..FitContext::new(child_seed(seed, "accuracy-score")) };
    let px = parts.train.px();
    let (bytes, classes) = generated(model, px, counts, child_seed(seed, "accuracy-score-pictures"))?;
    let names = (0..classes.len()).map(|at| at.to_string()).collect();
    let made = ImageSet::in_memory(px, names, bytes)?;
    let of = classes.iter().map(|&class| Some(class as u32)).collect();
    let labels = Labels::new("category", model.classes().to_vec(), of)?;
    let on = |pictures: &ImageSet, labels: &Labels| {
        Classifier::fit(&config, pictures, labels, &ctx, device)?.accuracy(&parts.test, &parts.test_labels)
    };
    Ok(Beside { generated: on(&made, &labels)?, real: on(&parts.train, &parts.train_labels)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_pictures_go_to_one_part() {
        // Forty pictures, every second one a copy of the one before.
        let bytes: Vec<u8> = (0..40u8).flat_map(|at| vec![at / 2 * 2; 3]).collect();
        let names = (0..40).map(|at| at.to_string()).collect();
        // The copies of some are of another class.
        let kinds: Vec<Option<&str>> = (0..40).map(|at| Some(if at % 8 == 1 { "y" } else { "x" })).collect();
        let labels = Labels::from_names("kind", &kinds);
        let set = ImageSet::in_memory(1, names, bytes).unwrap().with_labels(labels).unwrap();
        for seed in 0..20 {
            let parts = Parts::cut(&set, "kind", 0.25, seed).unwrap();
            let (train, test) = (all(&parts.train).unwrap(), all(&parts.test).unwrap());
            assert!(test.chunks(3).all(|x| train.chunks(3).all(|y| x != y)));
            assert!((8..=13).contains(&parts.test.len()), "{}", parts.test.len());
            assert_eq!(parts.test_labels.of().len(), parts.test.len());
        }
        assert!(Parts::cut(&set, "colour", 0.25, 1).unwrap_err().to_string().contains("kind"));
    }
}
