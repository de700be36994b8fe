//! From purchases to what is served: one visual recommender, or the sum of several.
//!
//! What is chosen here is chosen on the validation item of each user, in the form that is served: nothing of a user is kept, everybody is folded
//! in from their purchases. λ of a fold-in is the best of [`LAMBDAS`] unless it is given, and `dvbpr` is a part of the sum if the sum is better
//! with it.

use std::path::Path;

use burn::tensor::Device;
use foldin_core::random::child_seed;
use foldin_core::{Dictionary, FitContext};
use foldin_models::item_vectors::Way;
use serde_json::Value;

use crate::checkpoints::trained;
use crate::data::feature_file::{self, ItemTable};
use crate::data::{LeaveOneOut, VisualDataset};
use crate::error::VisionError;
use crate::evaluate::validation_auc;
use crate::features::{beside, hand_made, whitened};
use crate::images::Labels;
use crate::recommend::dvbpr::{PretrainConfig, Pretrained, mean_over_pictures, pretrain};
use crate::recommend::folder::{Recommender, member};
use crate::recommend::linear::LinearModel;
use crate::recommend::pairwise::Features;
use crate::recommend::vis_rank::directions;

/// What the sum is called.
pub const SUM: &str = "visual-sum";

/// What ranking by similarity is called.
pub const VIS_RANK: &str = "vis-rank";

/// λ of a fold-in that are tried.
pub const LAMBDAS: [f64; 5] = [0.03, 0.1, 0.3, 1.0, 3.0];

/// Hand-made features kept.
const HAND: usize = 128;
/// Features kept of a pretrained network.
const LEARNED: usize = 64;

/// Features of items: hand-made ones, and where there is a pretrained network its own beside them.
#[derive(Clone, Debug)]
pub struct ItemFeatures {
    /// Items that nothing is known of: zeros stand for them, which are similar to nothing and of no taste.
    pub missing: usize,
    hand: Vec<f32>,
    hand_width: usize,
    both: Vec<f32>,
    both_width: usize,
}

impl ItemFeatures {
    /// Hand-made features of the pictures of `large`, learned ones of those of `data`, which has the same items.
    ///
    /// # Errors
    /// Those of reading pictures, and of features; [`VisionError::Shape`] if the items differ.
    pub fn new(
        large: &VisualDataset,
        data: &VisualDataset,
        pretrained: Option<&Pretrained>,
        device: &Device,
    ) -> Result<Self, VisionError> {
        if !large.items.keys().eq(data.items.keys()) {
            let what = "items with pictures at both sizes";
            return Err(VisionError::shape(what, large.items.len(), data.items.len()));
        }
        let seed = child_seed(0, "features");
        let of_pictures = hand_made(&large.images, HAND, seed)?;
        let hand_width = of_pictures.len() / large.images.len().max(1);
        let hand = mean_over_pictures(&of_pictures, hand_width, &large.pictures);
        let Some(pretrained) = pretrained else {
            return Ok(Self { missing: 0, both: hand.clone(), both_width: hand_width, hand, hand_width });
        };
        let units = pretrained.network.units();
        let learned = whitened(&pretrained.describe(&data.images, device)?, units, LEARNED, seed)?;
        let width = learned.len() / data.images.len().max(1);
        let learned = mean_over_pictures(&learned, width, &data.pictures);
        let both = beside(&hand, hand_width, &learned, width);
        Ok(Self { missing: 0, hand, hand_width, both, both_width: hand_width + width })
    }

    /// Made elsewhere, brought to the components of most variance and whitened: raw features of a network are anything but of variance one.
    /// Components are those of the items that the table has; the others are zeros, as an average item would be.
    ///
    /// # Errors
    /// As [`whitened`].
    pub fn elsewhere(table: &ItemTable) -> Result<Self, VisionError> {
        let ItemTable { width, values, present } = table;
        let found = whitened(values, *width, HAND.min(*width), child_seed(0, "features"))?;
        let n_found = present.iter().filter(|present| **present).count();
        let hand_width = found.len() / n_found.max(1);
        let mut hand = vec![0.0; present.len() * hand_width];
        let places = hand.chunks_exact_mut(hand_width.max(1)).zip(present).filter(|(_, present)| **present);
        places
            .zip(found.chunks_exact(hand_width.max(1)))
            .for_each(|((place, _), row)| place.copy_from_slice(row));
        let missing = present.len() - n_found;
        Ok(Self { missing, both: hand.clone(), both_width: hand_width, hand, hand_width })
    }

    /// Those of a file, see [`elsewhere`](Self::elsewhere).
    ///
    /// # Errors
    /// As [`feature_file::read`] and [`whitened`].
    pub fn of_file(path: &Path, items: &Dictionary) -> Result<Self, VisionError> {
        Self::elsewhere(&feature_file::read(path, items)?)
    }

    /// The hand-made ones.
    #[must_use]
    pub fn hand(&self) -> Features<'_> {
        Features { width: self.hand_width, values: &self.hand }
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Features<'_> {
        Features { width: self.both_width, values: &self.both }
    }
}

/// Labels of items as labels of their pictures: what a network is pretrained on.
#[must_use]
pub fn picture_labels(data: &VisualDataset) -> Vec<Labels> {
    let of = |labels: &Labels| {
        let mut of = vec![None; data.images.len()];
        for (item, pictures) in data.pictures.iter().enumerate() {
            pictures.iter().for_each(|&picture| of[picture as usize] = labels.of()[item]);
        }
        let names: Vec<Option<&str>> = of
            .iter()
            .map(|class: &Option<u32>| class.map(|class| labels.classes()[class as usize].as_str()))
            .collect();
        Labels::from_names(labels.name(), &names)
    };
    data.labels.iter().map(of).collect()
}

/// A network pretrained on the labels of items: the one that `folder` keeps of the same `run`, or a new one, which is kept there; with the
/// seed of `ctx`.
///
/// # Errors
/// [`VisionError::TooFewLabels`], for which a training from scratch is the way on; others as [`pretrain()`] and [`trained`].
pub fn pretrained(
    config: &PretrainConfig,
    data: &VisualDataset,
    kept: Option<(&Path, &str, Value)>,
    device: &Device,
    ctx: &FitContext<'_>,
) -> Result<Pretrained, VisionError> {
    let labels = picture_labels(data);
    let fit = |ctx: &FitContext<'_>| {
        pretrain(config, &data.images, &labels, device, ctx).map_err(|error| match error {
            VisionError::TooFewLabels { labelled, least, .. } => {
                VisionError::TooFewLabels { data: data.name.clone(), labelled, least }
            }
            error => error,
        })
    };
    let Some((folder, name, run)) = kept else { return fit(ctx) };
    let (network, _) = trained(
        folder,
        name,
        run,
        |place| Pretrained::load(place, device),
        |store| fit(&FitContext { checkpoints: Some(store), ..ctx.clone() }),
        Pretrained::save,
    )?;
    Ok(network)
}

/// A recommender with the AUC on the validation items that it has when everybody is folded in.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The recommender.
    pub recommender: Recommender,
    /// Its AUC on the validation items.
    pub validation: f64,
}

impl Chosen {
    fn of(recommender: Recommender, split: &LeaveOneOut) -> Result<Self, VisionError> {
        let validation = validation_auc(&recommender.serving(split.train.by_user()), split)?;
        Ok(Self { recommender, validation })
    }
}

/// A fitted linear model as it is served; with the best λ of [`LAMBDAS`], if none is given.
///
/// # Errors
/// Those of fold-ins.
pub fn served(
    name: &str,
    items: &Dictionary,
    model: &LinearModel,
    lambda: Option<f64>,
    split: &LeaveOneOut,
    ctx: &FitContext<'_>,
) -> Result<Chosen, VisionError> {
    let mut best: Option<Chosen> = None;
    let given = lambda.map(|lambda| [lambda]);
    for &lambda in given.as_ref().map_or(&LAMBDAS[..], |given| given) {
        ctx.progress.stage(&format!("{name}: folded in with λ = {lambda}"));
        let member = member(name, Way::FoldIn { lambda }, model)?;
        let found = Chosen::of(Recommender::new(name, items.clone(), vec![member], None)?, split)?;
        if best.as_ref().is_none_or(|best| found.validation > best.validation) {
            best = Some(found);
        }
    }
    best.ok_or_else(|| VisionError::shape("λ to try", "one at least", 0))
}

/// `vis-rank` as it is served: by the mean or by the largest similarity, whichever is better on the validation items.
///
/// # Errors
/// Those of features that are not one row an item.
pub fn vis_rank(
    items: &Dictionary,
    features: Features<'_>,
    split: &LeaveOneOut,
    ctx: &FitContext<'_>,
) -> Result<Chosen, VisionError> {
    let similar = LinearModel::new(VIS_RANK, features.width, Vec::new(), directions(features))?;
    let with = |way: Way| {
        ctx.progress.stage(&format!("{VIS_RANK}: {way:?} similarity"));
        let members = vec![member(VIS_RANK, way, &similar)?];
        Chosen::of(Recommender::new(VIS_RANK, items.clone(), members, None)?, split)
    };
    let (mean, largest) = (with(Way::Mean)?, with(Way::Largest)?);
    Ok(if largest.validation > mean.validation { largest } else { mean })
}

/// The sum of `vbpr` and both forms of `vis-rank`, and of `dvbpr` where that makes it better. The parts are as [`served`] gives them.
///
/// # Errors
/// Those of the parts.
pub fn sum(
    vbpr: &Chosen,
    dvbpr: Option<&Chosen>,
    features: Features<'_>,
    split: &LeaveOneOut,
) -> Result<Chosen, VisionError> {
    let items = &vbpr.recommender.items;
    let similar = LinearModel::new(VIS_RANK, features.width, Vec::new(), directions(features))?;
    let mut members = vbpr.recommender.model.members().to_vec();
    members.push(member("vis-rank-mean", Way::Mean, &similar)?);
    members.push(member("vis-rank-max", Way::Largest, &similar)?);
    let without = Chosen::of(Recommender::new(SUM, items.clone(), members.clone(), None)?, split)?;
    let Some(dvbpr) = dvbpr else { return Ok(without) };
    members.extend(dvbpr.recommender.model.members().iter().cloned());
    let with = Chosen::of(Recommender::new(SUM, items.clone(), members, None)?, split)?;
    Ok(if with.validation > without.validation { with } else { without })
}

#[cfg(test)]
mod tests {
    use foldin_core::random::Random;
    use foldin_core::{Csr, Feedback, Interactions};

    use super::*;
    use crate::planted::{PlantedOptions, planted};
    use crate::recommend::Scorer;
    use crate::recommend::vis_rank::VisRankMax;

    #[test]
    fn items_without_features_are_similar_to_nothing() {
        let mut random = Random::new(1);
        // Far from zero, so that a row of zeros would lie far from all others once it is centred.
        let values: Vec<f32> = (0..40 * 3).map(|_| 5.0 + random.normal() as f32).collect();
        let mut present = vec![true; 42];
        (present[0], present[41]) = (false, false);
        let found =
            ItemFeatures::elsewhere(&ItemTable { width: 3, values: values.clone(), present }).unwrap();
        let all = ItemFeatures::elsewhere(&ItemTable { width: 3, values, present: vec![true; 40] }).unwrap();
        assert_eq!((found.missing, all.missing), (2, 0));
        // What is not there changes nothing for what is.
        let width = found.hand().width;
        assert_eq!(found.hand().values[width..41 * width], *all.hand().values);
        // Whoever bought one of them is told nothing, and the other is no better a match than chance.
        let matrix = Csr::from_triples(1, 42, &[(0, 0, 1.0)]).unwrap();
        let train = Interactions::new(matrix, None, Feedback::Implicit).unwrap();
        let split = LeaveOneOut { train, validation: vec![2], test: vec![41], seed: 1 };
        let mut scores = [1.0; 42];
        VisRankMax::new(found.hand(), &split).unwrap().scores(0, &mut scores).unwrap();
        assert_eq!(scores, [0.0; 42]);
    }

    #[test]
    fn too_few_labels_are_told_with_the_way_on() {
        let set = PlantedOptions { users: 2, items: 24, purchases: 5, ..PlantedOptions::default() };
        let data = planted(&set, 1).unwrap().data;
        let refused = |data: &VisualDataset| {
            pretrained(&PretrainConfig::default(), data, None, &Device::flex(), &FitContext::new(1))
                .unwrap_err()
        };
        // Ten pictures make a class frequent enough.
        let error = refused(&data);
        assert!(matches!(error, VisionError::TooFewLabels { labelled: 0, least: 64, .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("planted") && message.contains("--preset small"), "{message}");
        let error = refused(&VisualDataset { labels: Vec::new(), ..data });
        assert!(matches!(error, VisionError::TooFewLabels { labelled: 0, .. }), "{error}");
    }
}
