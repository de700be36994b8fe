//! Proof that nothing of the test part reaches a fitted model.
//!
//! The test part is altered beyond recognition, the data are cut again, and the model is fitted again. Then it is taken away
//! altogether, and the model is fitted on all that is left. Each time training part, model, learning curve and predictions for
//! training users must be the same, bit for bit.

use std::sync::Mutex;

use foldin_core::registry::Settings;
use foldin_core::{
    Capabilities, Csr, Dataset, Epoch, Features, FitContext, FitError, Interactions, ItemId, ModelEntry,
    ModelParts, Progress, RatingScale, ScoreError, TrainingData, UserId,
};

use crate::error::EvalError;
use crate::fold::{Cutter, TestSet};
use crate::options::{EvalOptions, Protocol};

/// What [`leak_check`] found, or why it could not look.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeakError {
    /// The data cannot be cut.
    #[error(transparent)]
    Cut(#[from] EvalError),
    /// The scale has one value only, so that nothing can be planted.
    #[error("nothing can be planted: the scale has a single value")]
    NothingToPlant,
    /// The model could not be fitted.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// The model could not predict.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// What was planted in the test part appears in the training part.
    #[error("protocol {protocol}: the training part changed with the test part")]
    TrainingPart {
        /// The protocol.
        protocol: Protocol,
    },
    /// The fitted models differ.
    #[error("protocol {protocol}: {model} is not the same when the test part changes: {what} differ")]
    Model {
        /// The protocol.
        protocol: Protocol,
        /// The model.
        model: &'static str,
        /// What differs.
        what: String,
    },
}

/// Plants other values in the test ratings of a fold of `ratings` and of one of `ratings-random`, and other ratings in the place of
/// all ratings of the new users of a fold of `new-users`; and takes those ratings and users out of the data. Proves each time
/// that the fitted model is the same, bit for bit. Nine fits of a model of ratings; six more of a model of clicks, on ratings without their values.
///
/// # Errors
/// [`LeakError::TrainingPart`] or [`LeakError::Model`] if there is a leak (or a fit that does not repeat itself); otherwise
/// why the check could not be made. The data need a rating scale, and at least 5 ratings and users.
pub fn leak_check(
    entry: &ModelEntry,
    settings: &Settings,
    data: &Dataset,
    seed: u64,
) -> Result<(), LeakError> {
    let ratings =
        [Protocol::Ratings, Protocol::RatingsRandom, Protocol::NewUsers].map(|protocol| (protocol, false));
    // Lists are tested on the same cuts, without values.
    let clicks = [Protocol::Ratings, Protocol::NewUsers].map(|protocol| (protocol, true));
    let Capabilities { explicit, implicit, .. } = entry.capabilities;
    let cuts = ratings.into_iter().filter(|_| explicit).chain(clicks.into_iter().filter(|_| implicit));
    for (protocol, as_clicks) in cuts {
        let options = EvalOptions { protocol, seed, ..EvalOptions::default() };
        let fold = Cutter::new(data, &options)?.fold(0)?;
        let planted = plant(data, &fold.test, protocol)?;
        let other = Cutter::new(&planted, &options)?.fold(0)?;
        let (mut interactions, user_features) = without(data, &fold.test, protocol);
        let (fold, other) = if as_clicks {
            interactions = interactions.as_implicit();
            (fold.as_clicks(None), other.as_clicks(None))
        } else {
            (fold, other)
        };
        let rest = TrainingData {
            interactions: &interactions,
            user_features: &user_features,
            item_features: &data.item_features,
        };
        let training = fold.training_data();
        let trace = Trace::of(entry, settings, &training, seed)?;
        for same in [other.training_data(), rest] {
            if !same_training(&training, &same) {
                return Err(LeakError::TrainingPart { protocol });
            }
            if let Some(what) = trace.difference(&Trace::of(entry, settings, &same, seed)?) {
                return Err(LeakError::Model { protocol, model: entry.name, what });
            }
        }
    }
    Ok(())
}

/// The data set with another test part.
fn plant(data: &Dataset, test: &TestSet, protocol: Protocol) -> Result<Dataset, LeakError> {
    let interactions = &data.interactions;
    let scale = interactions.feedback().scale().ok_or(LeakError::NothingToPlant)?;
    if scale.min >= scale.max {
        return Err(LeakError::NothingToPlant);
    }
    let n_items = interactions.n_items() as u32;
    let triples: Vec<_> = interactions
        .by_user()
        .triples()
        .map(|(user, item, value)| {
            if protocol.tests_new_users() && test.users.binary_search(&UserId(user)).is_ok() {
                // The same number of ratings, of other items.
                (user, (item + 1) % n_items, flipped(scale, value))
            } else if !protocol.tests_new_users() && tested(test, UserId(user), ItemId(item)) {
                (user, item, flipped(scale, value))
            } else {
                (user, item, value)
            }
        })
        .collect();
    let by_user = Csr::from_triples(interactions.n_users(), interactions.n_items(), &triples)
        .map_err(EvalError::from)?;
    let times = interactions.times().map(<[i64]>::to_vec);
    let interactions = Interactions::new(by_user, times, interactions.feedback()).map_err(EvalError::from)?;
    Ok(Dataset { interactions, ..data.clone() })
}

/// Whether a rating belongs to the test part.
fn tested(test: &TestSet, user: UserId, item: ItemId) -> bool {
    test.users.binary_search(&user).is_ok_and(|place| {
        test.items[test.offsets[place]..test.offsets[place + 1]].binary_search(&item).is_ok()
    })
}

/// What there would be if nobody had given the test ratings, or if the new users did not exist. Made without the code that cuts
/// folds, but like it without users who never rated anything where users are dealt.
fn without(data: &Dataset, test: &TestSet, protocol: Protocol) -> (Interactions, Features) {
    let interactions = &data.interactions;
    let by_user = interactions.by_user();
    if protocol.tests_new_users() {
        let kept: Vec<u32> = (0..interactions.n_users() as u32)
            .filter(|&user| by_user.row_len(user as usize) > 0 && !test.users.contains(&UserId(user)))
            .collect();
        return (interactions.select_users(&kept), data.user_features.select_rows(&kept));
    }
    let keep: Vec<bool> =
        by_user.triples().map(|(user, item, _)| !tested(test, UserId(user), ItemId(item))).collect();
    (interactions.filter(&keep), data.user_features.clone())
}

fn flipped(scale: RatingScale, value: f32) -> f32 {
    if value > f32::midpoint(scale.min, scale.max) { scale.min } else { scale.max }
}

fn same_training(one: &TrainingData<'_>, other: &TrainingData<'_>) -> bool {
    one.interactions.fingerprint() == other.interactions.fingerprint()
        && one.user_features == other.user_features
        && one.item_features == other.item_features
}

/// Everything that can be seen of a fit.
struct Trace {
    parts: ModelParts,
    epochs: Vec<Epoch>,
    predictions: Option<Vec<f32>>,
}

#[derive(Default)]
struct Listener(Mutex<Vec<Epoch>>);

impl Progress for Listener {
    fn epoch(&self, epoch: Epoch) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(epoch);
    }
}

impl Trace {
    fn of(
        entry: &ModelEntry,
        settings: &Settings,
        training: &TrainingData<'_>,
        seed: u64,
    ) -> Result<Self, LeakError> {
        let listener = Listener::default();
        let ctx = FitContext { progress: &listener, ..FitContext::new(seed) };
        let model = entry.fit(settings, training, &ctx)?;
        let users = training.users();
        // Every training user with a few items spread over the catalogue.
        let step = model.n_items().div_ceil(16).max(1);
        let pairs: Vec<_> = (0..users.len() as u32)
            .flat_map(|user| (0..model.n_items() as u32).step_by(step).map(move |item| (user, ItemId(item))))
            .collect();
        let mut out = vec![0f32; pairs.len()];
        let predictions = match model.predict(&users, &pairs, &mut out) {
            Ok(()) => Some(out),
            Err(ScoreError::NewUser { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let epochs = listener.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(Self { parts: model.to_parts(), epochs, predictions })
    }

    /// What is not the same, bit for bit.
    fn difference(&self, other: &Self) -> Option<String> {
        if self.parts.tensors.len() != other.parts.tensors.len() {
            return Some("the lists of tensors".to_owned());
        }
        for (name, tensor) in &self.parts.tensors {
            let same = other
                .parts
                .tensors
                .get(name)
                .is_some_and(|other| tensor.shape == other.shape && same_bits(&tensor.data, &other.data));
            if !same {
                return Some(format!("the tensors `{name}`"));
            }
        }
        if self.parts.meta != other.parts.meta {
            return Some("the descriptions".to_owned());
        }
        // Formatted, so that a NaN equals itself; the shortest text that reads back is different for different bits.
        if format!("{:?}", self.epochs) != format!("{:?}", other.epochs) {
            return Some("the learning curves".to_owned());
        }
        let same = match (&self.predictions, &other.predictions) {
            (Some(one), Some(two)) => same_bits(one, two),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        (!same).then(|| "the predictions for training users".to_owned())
    }
}

fn same_bits(one: &[f32], two: &[f32]) -> bool {
    one.len() == two.len() && one.iter().zip(two).all(|(one, two)| one.to_bits() == two.to_bits())
}
