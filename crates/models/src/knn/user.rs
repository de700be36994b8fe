//! `user-knn`: the ratings that similar users gave to the item.
//!
//! `r̂_ui = b_ui + Σ_{v ∈ S} s_uv (r_vi − b_vi) / (δ + Σ_{v ∈ S} s_uv)`, `S` the at most `k` most similar users who rated `i`, of the `kept` most similar
//! training users (Herlocker et al. 1999 with the biases of Koren 2010, equation 3). We depart in leaving out users whose
//! similarity is not positive, and in the damping δ.
//!
//! Every user's neighbours are found when the user comes, new or not, by one pass over the ratings of the items of the history
//! ([`foldin_nn::similarity`]); a training user is not their own neighbour. That needs all training histories, so the model keeps
//! them, without keys, and says so ([`Capabilities::keeps_histories`]). Fit: O(ratings). A user costs `Σ_i n_i` over the history and
//! the ratings of `kept` users. Deterministic without a seed.

use foldin_core::{
    Capabilities, Csr, Feedback, FitContext, FitError, LoadError, ModelFamily, ModelParts, ScoreError,
    TrainingData, UserId, UserView,
};
use foldin_nn::similarity::{Rules, Similarity, Workspace};

use super::clicks::UserClicks;
use super::{KnnConfig, SimilarityOf, Voices, Weighing, check_size, left_over};
use crate::bias::Baseline;
use crate::linear::{BASELINE, explicit_ratings};
use crate::lists;
use crate::per_user::{PerUser, recommender};

/// The family of `user-knn`.
#[derive(Clone, Copy, Debug)]
pub struct UserKnn;

/// A fitted `user-knn`.
#[derive(Clone, Debug)]
pub enum UserKnnModel {
    /// Of ratings.
    Ratings(Box<UserRatings>),
    /// Of clicks.
    Clicks(Box<UserClicks>),
}

/// A `user-knn` of ratings.
#[derive(Clone, Debug)]
pub struct UserRatings {
    baseline: Baseline,
    /// The training users' ratings.
    histories: Csr,
    /// What the biases leave over of them.
    left_over: Csr,
    similarity: Similarity,
    settings: Settings,
    /// Whether this is the model as it was fitted, in which training users have numbers.
    fitted: bool,
}

/// What is needed of the settings, and saved.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Settings {
    similarity: SimilarityOf,
    rules: Rules,
    weighing: Weighing,
    feedback: Feedback,
}

impl UserRatings {
    fn new(baseline: Baseline, histories: Csr, settings: Settings, fitted: bool) -> Self {
        let left_over = histories.map_rows(|items, values| left_over(&baseline, items, values));
        let compared =
            histories.map_rows(|items, values| settings.similarity.values(&baseline, items, values));
        let similarity = Similarity::new(&compared, settings.rules);
        Self { baseline, histories, left_over, similarity, settings, fitted }
    }
}

impl ModelFamily for UserKnn {
    const NAME: &'static str = "user-knn";
    const SUMMARY: &'static str = "similar users' ratings of the item";
    type Config = KnnConfig;
    type Model = UserKnnModel;

    /// Chosen on parts of the training ratings, and clicks, of MovieLens 100K and 1M.
    fn default_config() -> KnnConfig {
        KnnConfig {
            neighbours: 60,
            kept: 1000,
            exponent: 1.0,
            damping: 0.1,
            click_neighbours: 100,
            click_power: 2.0,
            ..KnnConfig::default()
        }
    }

    fn capabilities() -> Capabilities {
        Capabilities { keeps_histories: true, implicit: true, ..BASELINE }
    }

    fn fit(
        config: &KnnConfig,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<UserKnnModel, FitError> {
        if data.interactions.feedback() == Feedback::Implicit {
            return UserClicks::fit(config, data).map(|model| UserKnnModel::Clicks(Box::new(model)));
        }
        let ratings = explicit_ratings(Self::NAME, data)?;
        check_size(Self::NAME, ratings)?;
        ctx.progress.stage("biases");
        let settings = Settings {
            similarity: config.similarity,
            rules: config.rules(),
            weighing: config.weighing(),
            feedback: ratings.feedback(),
        };
        let model = UserRatings::new(config.baseline(ratings), ratings.by_user().clone(), settings, true);
        Ok(UserKnnModel::Ratings(Box::new(model)))
    }

    fn load(mut parts: ModelParts) -> Result<UserKnnModel, LoadError> {
        if parts.get::<Feedback>("feedback")? == Feedback::Implicit {
            return UserClicks::load(parts).map(|model| UserKnnModel::Clicks(Box::new(model)));
        }
        let baseline = Baseline::from_parts(&mut parts)?;
        let unusable = || LoadError::Meta { key: "history_numbers".to_owned() };
        let lists = lists::from_parts("history", None, &mut parts)?;
        if !lists.values.iter().all(|value| value.is_finite()) {
            return Err(unusable());
        }
        let histories = Csr::from_parts(baseline.items.len(), lists.offsets, lists.numbers, lists.values)
            .map_err(|_| unusable())?;
        let similarity: SimilarityOf = parts.get("similarity")?;
        let rules = Rules {
            measure: similarity.measure(),
            shrinkage: parts.get("shrinkage")?,
            min_overlap: parts.get("min_overlap")?,
            keep: parts.get("kept")?,
        };
        let (weighing, feedback) = (parts.get("weighing")?, parts.get("feedback")?);
        let settings = Settings { similarity, rules, weighing, feedback };
        let model = UserRatings::new(baseline, histories, settings, false);
        Ok(UserKnnModel::Ratings(Box::new(model)))
    }
}

impl UserRatings {
    fn scores(&self, user: &UserView<'_>) -> Vec<f32> {
        let (baseline, weighing) = (&self.baseline, &self.settings.weighing);
        // In ascending order, so that the order in which a history comes decides nothing.
        let mut history: Vec<(u32, f32)> =
            user.items.iter().copied().zip(user.values.iter().copied()).collect();
        history.sort_unstable_by_key(|&(item, _)| item);
        let (items, values): (Vec<u32>, Vec<f32>) = history.into_iter().unzip();
        let compared = self.settings.similarity.values(baseline, &items, &values);
        let own = user.trained_as.map(UserId::index).filter(|_| self.fitted);
        let mut work = Workspace::new(self.similarity.n_rows());
        let mut voices = vec![Voices::default(); baseline.items.len()];
        for (other, similarity) in self.similarity.nearest(&items, &compared, own, &mut work) {
            let weight = weighing.weight(similarity);
            let (rated, says) = self.left_over.row(other as usize);
            for (&item, &says) in rated.iter().zip(says) {
                voices[item as usize].hear(weighing, weight, says);
            }
        }
        let base = baseline.of_user(&items, &values);
        voices.iter().zip(&baseline.items).map(|(voices, bias)| base + bias + voices.mean(weighing)).collect()
    }

    fn to_parts(&self) -> ModelParts {
        let mut parts = ModelParts::default();
        self.baseline.to_parts(&mut parts);
        let kept = &self.histories;
        lists::to_parts("history", kept.offsets(), kept.columns(), kept.values(), &mut parts);
        let Settings { similarity, rules, weighing, feedback } = self.settings;
        parts.set("similarity", similarity);
        parts.set("shrinkage", rules.shrinkage);
        parts.set("min_overlap", rules.min_overlap);
        parts.set("kept", rules.keep);
        parts.set("weighing", weighing);
        parts.set("feedback", feedback);
        parts
    }
}

impl PerUser for UserKnnModel {
    type Family = UserKnn;
    /// The scores of all items: neighbours are heard on all they rated or took at once.
    type State = Vec<f32>;

    fn catalogue(&self) -> usize {
        match self {
            Self::Ratings(model) => model.baseline.items.len(),
            Self::Clicks(model) => model.n_items(),
        }
    }

    fn feedback(&self) -> &Feedback {
        match self {
            Self::Ratings(model) => &model.settings.feedback,
            Self::Clicks(_) => &Feedback::Implicit,
        }
    }

    fn state(&self, user: &UserView<'_>) -> Result<Vec<f32>, ScoreError> {
        Ok(match self {
            Self::Ratings(model) => model.scores(user),
            Self::Clicks(model) => model.scores(user),
        })
    }

    fn value(&self, state: &Vec<f32>, item: usize) -> f32 {
        state[item]
    }

    fn values(&self, state: &Vec<f32>, out: &mut [f32]) {
        out.copy_from_slice(state);
    }

    fn to_parts(&self) -> ModelParts {
        match self {
            Self::Ratings(model) => model.to_parts(),
            Self::Clicks(model) => model.to_parts(),
        }
    }
}

recommender!(UserKnnModel);
