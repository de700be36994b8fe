//! `item-knn`: the ratings that a user gave to similar items.
//!
//! `r̂_ui = b_ui + Σ_{j ∈ S} s_ij (r_uj − b_uj) / (δ + Σ_{j ∈ S} s_ij)`, `S` the at most `k` items most similar to `i` among those that the user rated
//! (Koren 2010, equation 3; similarities of Sarwar et al. 2001 and Koren 2008, equation 4). We depart in keeping no more than
//! `kept` neighbours of each item, in leaving out those whose similarity is not positive, and in the damping δ.
//!
//! Fit: `Σ_u n_u²` steps and `kept` neighbours an item ([`foldin_nn::similarity`]). Nothing is kept of users; a user's residuals
//! are computed from the history, so new users and training users take the same path. A user costs O(items · kept) at most.
//! Deterministic without a seed.

use foldin_core::{
    Capabilities, Feedback, FitContext, FitError, LoadError, ModelFamily, ModelParts, ScoreError,
    TrainingData, UserView,
};
use foldin_nn::similarity::{Neighbours, Similarity};

use super::clicks::ItemClicks;
use super::{KnnConfig, Voices, Weighing, check_size, left_over};
use crate::bias::Baseline;
use crate::linear::{BASELINE, explicit_ratings};
use crate::lists;
use crate::per_user::{PerUser, recommender};

/// The family of `item-knn`.
#[derive(Clone, Copy, Debug)]
pub struct ItemKnn;

/// A fitted `item-knn`.
#[derive(Clone, Debug)]
pub enum ItemKnnModel {
    /// Of ratings.
    Ratings(ItemRatings),
    /// Of clicks.
    Clicks(ItemClicks),
}

/// An `item-knn` of ratings.
#[derive(Clone, Debug)]
pub struct ItemRatings {
    baseline: Baseline,
    neighbours: Neighbours,
    /// What each neighbour weighs, as [`Neighbours::similarities`] stand.
    weights: Vec<f32>,
    weighing: Weighing,
    feedback: Feedback,
}

impl ItemRatings {
    fn new(baseline: Baseline, neighbours: Neighbours, weighing: Weighing, feedback: Feedback) -> Self {
        let weights =
            neighbours.similarities().iter().map(|&similarity| weighing.weight(similarity)).collect();
        Self { baseline, neighbours, weights, weighing, feedback }
    }
}

impl ModelFamily for ItemKnn {
    const NAME: &'static str = "item-knn";
    const SUMMARY: &'static str = "the user's ratings of similar items";
    type Config = KnnConfig;
    type Model = ItemKnnModel;

    fn capabilities() -> Capabilities {
        Capabilities { implicit: true, ..BASELINE }
    }

    fn fit(
        config: &KnnConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<ItemKnnModel, FitError> {
        if data.interactions.feedback() == Feedback::Implicit {
            return ItemClicks::fit(config, data, ctx).map(ItemKnnModel::Clicks);
        }
        let ratings = explicit_ratings(Self::NAME, data)?;
        check_size(Self::NAME, ratings)?;
        ctx.progress.stage("biases");
        let baseline = config.baseline(ratings);
        ctx.progress.stage("similarities");
        let values =
            ratings.by_user().map_rows(|items, values| config.similarity.values(&baseline, items, values));
        let rows = values.transpose();
        let neighbours =
            Similarity::new(&rows, config.rules()).all_pairs(&rows, || ctx.cancel.is_cancelled());
        let neighbours = neighbours.ok_or(FitError::Cancelled { epochs: 0 })?;
        let model = ItemRatings::new(baseline, neighbours, config.weighing(), ratings.feedback());
        Ok(ItemKnnModel::Ratings(model))
    }

    fn load(mut parts: ModelParts) -> Result<ItemKnnModel, LoadError> {
        if parts.get::<Feedback>("feedback")? == Feedback::Implicit {
            return ItemClicks::load(parts).map(ItemKnnModel::Clicks);
        }
        let baseline = Baseline::from_parts(&mut parts)?;
        let lists = lists::from_parts("neighbour", Some(baseline.items.len()), &mut parts)?;
        let neighbours = Neighbours::new(lists.offsets, lists.numbers, lists.values)
            .map_err(|_| LoadError::Meta { key: "neighbour_numbers".to_owned() })?;
        let (weighing, feedback) = (parts.get("weighing")?, parts.get("feedback")?);
        Ok(ItemKnnModel::Ratings(ItemRatings::new(baseline, neighbours, weighing, feedback)))
    }
}

/// What is made of a user.
#[derive(Debug)]
pub enum State {
    /// Of their ratings.
    Rated(Rated),
    /// Of their clicks: the scores of all items.
    Scores(Vec<f32>),
}

/// What is made of a user who rated items.
#[derive(Debug)]
pub struct Rated {
    /// `μ + b_u`.
    base: f32,
    /// 1 for each item of the history, 0 for all others.
    rated: Vec<u8>,
    /// What the biases leave over of the rating of each item of the history.
    left_over: Vec<f32>,
}

impl ItemRatings {
    fn catalogue(&self) -> usize {
        self.baseline.items.len()
    }

    fn state(&self, user: &UserView<'_>) -> Rated {
        let base = self.baseline.of_user(user.items, user.values);
        let mut state =
            Rated { base, rated: vec![0; self.catalogue()], left_over: vec![0.0; self.catalogue()] };
        for (&item, left) in user.items.iter().zip(left_over(&self.baseline, user.items, user.values)) {
            state.rated[item as usize] = 1;
            state.left_over[item as usize] = left;
        }
        state
    }

    fn value(&self, state: &Rated, item: usize) -> f32 {
        let (near, _) = self.neighbours.of(item);
        let weights = &self.weights[self.neighbours.offsets()[item]..];
        let mut voices = Voices::default();
        // Whether a neighbour was rated cannot be foreseen, so many are looked at before the first branch.
        'heard: for (near, weights) in near.chunks(64).zip(weights.chunks(64)) {
            let mut rated = 0u64;
            for (at, &other) in near.iter().enumerate() {
                rated |= u64::from(state.rated[other as usize]) << at;
            }
            while rated != 0 {
                let at = rated.trailing_zeros() as usize;
                rated &= rated - 1;
                if !voices.hear(&self.weighing, weights[at], state.left_over[near[at] as usize]) {
                    break 'heard;
                }
            }
        }
        state.base + self.baseline.items[item] + voices.mean(&self.weighing)
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        self.baseline.to_parts(&mut parts);
        let near = &self.neighbours;
        lists::to_parts("neighbour", near.offsets(), near.rows(), near.similarities(), &mut parts);
        parts.set("weighing", self.weighing);
        parts.set("feedback", self.feedback);
        parts
    }
}

impl PerUser for ItemKnnModel {
    type Family = ItemKnn;
    type State = State;

    fn catalogue(&self) -> usize {
        match self {
            Self::Ratings(model) => model.catalogue(),
            Self::Clicks(model) => model.n_items(),
        }
    }

    fn feedback(&self) -> &Feedback {
        match self {
            Self::Ratings(model) => &model.feedback,
            Self::Clicks(_) => &Feedback::Implicit,
        }
    }

    fn state(&self, user: &UserView<'_>) -> Result<State, ScoreError> {
        Ok(match self {
            Self::Ratings(model) => State::Rated(model.state(user)),
            Self::Clicks(model) => State::Scores(model.scores(user)),
        })
    }

    fn value(&self, state: &State, item: usize) -> f32 {
        match (self, state) {
            (Self::Ratings(model), State::Rated(rated)) => model.value(rated, item),
            (_, State::Scores(scores)) => scores[item],
            // The state of another model; nothing makes one.
            (Self::Clicks(_), State::Rated(_)) => 0.0,
        }
    }

    fn to_parts(&self) -> ModelParts {
        match self {
            Self::Ratings(model) => model.to_parts(),
            Self::Clicks(model) => model.to_parts(),
        }
    }
}

recommender!(ItemKnnModel);
