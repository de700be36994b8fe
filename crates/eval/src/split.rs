//! Splits of a data set into a part to learn from and a part to be tested on.
//!
//! Every split is a function of the seed and of *which* ratings there are; the values never matter. Where order is drawn
//! within a user it comes from the user's own child seed, so that what one user did moves no other user's ratings.

use foldin_core::random::{Random, child_seed, numbered_seed};
use foldin_core::{Dataset, Features, Interactions, ItemId, UserId};

use crate::error::EvalError;

/// Ratings to learn from, and ratings of the same users to be tested on.
#[derive(Clone, Debug)]
pub struct RatingFold {
    /// The training part; users and items numbered as in the data set.
    pub train: Interactions,
    /// The test part: by user, then by item.
    pub test: Vec<(UserId, ItemId, f32)>,
}

impl RatingFold {
    /// Cuts by position in [`Interactions::by_user`]: those marked are the test part.
    ///
    /// # Panics
    /// If `is_test` has not one element an interaction.
    #[must_use]
    pub fn cut(interactions: &Interactions, is_test: &[bool]) -> Self {
        let keep: Vec<bool> = is_test.iter().map(|is_test| !is_test).collect();
        let test = interactions
            .by_user()
            .triples()
            .zip(is_test)
            .filter(|(_, is_test)| **is_test)
            .map(|((user, item, value), _)| (UserId(user), ItemId(item), value))
            .collect();
        Self { train: interactions.filter(&keep), test }
    }
}

/// Protocol `ratings`: each user's ratings shuffled and dealt in turn to the folds, starting at a random fold, so that a
/// user's ratings are spread as evenly as can be and no fold gets more than its share.
#[derive(Clone, Debug)]
pub struct RatingSplit {
    folds: usize,
    fold_of: Vec<u32>,
}

impl RatingSplit {
    /// Deals the ratings. O(ratings) time, 4 bytes a rating.
    ///
    /// # Errors
    /// [`EvalError::TooFewFolds`] for less than 2 folds, [`EvalError::TooFew`] for more folds than ratings.
    pub fn deal(interactions: &Interactions, folds: usize, seed: u64) -> Result<Self, EvalError> {
        check_folds(folds, interactions.len(), "ratings")?;
        let mut fold_of = vec![0u32; interactions.len()];
        let mut order: Vec<usize> = Vec::new();
        for user in 0..interactions.n_users() {
            let mut random = Random::new(numbered_seed(seed, "ratings", user as u64));
            order.clear();
            order.extend(interactions.by_user().range(user));
            random.shuffle(&mut order);
            let start = random.below(folds);
            for (turn, &at) in order.iter().enumerate() {
                fold_of[at] = ((start + turn) % folds) as u32;
            }
        }
        Ok(Self { folds, fold_of })
    }

    /// Number of folds.
    #[must_use]
    pub fn folds(&self) -> usize {
        self.folds
    }

    /// The fold (from 0) in which each rating is tested, by position in [`Interactions::by_user`].
    #[must_use]
    pub fn fold_of(&self) -> &[u32] {
        &self.fold_of
    }

    /// One fold, from 0.
    ///
    /// # Panics
    /// If `interactions` are not those that were dealt.
    #[must_use]
    pub fn fold(&self, interactions: &Interactions, fold: usize) -> RatingFold {
        let is_test: Vec<bool> = self.fold_of.iter().map(|&of| of as usize == fold).collect();
        RatingFold::cut(interactions, &is_test)
    }
}

/// All folds of protocol `ratings` at once; none if the data set cannot be dealt to so many. [`RatingSplit`] gives one at a
/// time, and says why it cannot.
#[must_use]
pub fn rating_folds(data: &Dataset, folds: usize, seed: u64) -> Vec<RatingFold> {
    RatingSplit::deal(&data.interactions, folds, seed)
        .map(|split| (0..folds).map(|fold| split.fold(&data.interactions, fold)).collect())
        .unwrap_or_default()
}

/// Protocol `ratings-random`: a random share of all ratings is the test part; `repeat` numbers independent draws, from 0.
///
/// # Errors
/// [`EvalError::TestShare`] if either part would be empty.
pub fn random_rating_fold(
    interactions: &Interactions,
    test_share: f64,
    seed: u64,
    repeat: usize,
) -> Result<RatingFold, EvalError> {
    let n = interactions.len();
    let n_test = (n as f64 * test_share).round();
    if !(n_test >= 1.0 && n_test < n as f64) {
        return Err(EvalError::TestShare { share: test_share, ratings: n });
    }
    let mut order: Vec<usize> = (0..n).collect();
    Random::new(numbered_seed(seed, "ratings-random", repeat as u64)).shuffle(&mut order);
    let mut is_test = vec![false; n];
    for &at in &order[..n_test as usize] {
        is_test[at] = true;
    }
    Ok(RatingFold::cut(interactions, &is_test))
}

/// A user of whom nothing was used in training.
#[derive(Clone, Debug, PartialEq)]
pub struct NewUser {
    /// The user, numbered as in the data set.
    pub user: UserId,
    /// Items and values that may be given to the model, in the order in which they are given: the first 80 % of the
    /// user's ratings after shuffling, rounded down.
    pub given: Vec<(u32, f32)>,
    /// What is to be predicted: the rest, at least one.
    pub targets: Vec<(ItemId, f32)>,
}

/// Users to learn from, and users who are new.
#[derive(Clone, Debug)]
pub struct NewUserFold {
    /// The training users, ascending, numbered as in the data set; row `n` of `train` is `train_users[n]`.
    pub train_users: Vec<u32>,
    /// Ratings of the training users only, renumbered.
    pub train: Interactions,
    /// Side information of the training users, row for row with `train`.
    pub train_user_features: Features,
    /// The new users, ascending.
    pub new_users: Vec<NewUser>,
}

/// Protocol `new-users`: users who rated anything are shuffled and dealt in turn to the folds. Users without any rating
/// can neither teach nor test and are left out.
#[derive(Clone, Debug)]
pub struct NewUserSplit {
    folds: usize,
    seed: u64,
    fold_of: Vec<Option<u32>>,
}

impl NewUserSplit {
    /// Deals the users.
    ///
    /// # Errors
    /// [`EvalError::TooFewFolds`] for less than 2 folds, [`EvalError::TooFew`] for more folds than users with ratings.
    pub fn deal(interactions: &Interactions, folds: usize, seed: u64) -> Result<Self, EvalError> {
        let mut users: Vec<usize> =
            (0..interactions.n_users()).filter(|&user| interactions.by_user().row_len(user) > 0).collect();
        check_folds(folds, users.len(), "users with ratings")?;
        Random::new(child_seed(seed, "new-users")).shuffle(&mut users);
        let mut fold_of = vec![None; interactions.n_users()];
        for (turn, &user) in users.iter().enumerate() {
            fold_of[user] = Some((turn % folds) as u32);
        }
        Ok(Self { folds, seed, fold_of })
    }

    /// Number of folds.
    #[must_use]
    pub fn folds(&self) -> usize {
        self.folds
    }

    /// The fold (from 0) in which each user is new; `None` for users without ratings.
    #[must_use]
    pub fn fold_of(&self) -> &[Option<u32>] {
        &self.fold_of
    }

    /// One fold, from 0. Needs the interactions that were dealt, and the users' side information.
    ///
    /// # Panics
    /// If the data are not those that were dealt.
    #[must_use]
    pub fn fold(&self, interactions: &Interactions, user_features: &Features, fold: usize) -> NewUserFold {
        let users_where = |wanted: &dyn Fn(usize) -> bool| -> Vec<u32> {
            let numbered = self.fold_of.iter().zip(0u32..);
            numbered
                .filter(|(of, _)| of.is_some_and(|of| wanted(of as usize)))
                .map(|(_, user)| user)
                .collect()
        };
        let train_users = users_where(&|of| of != fold);
        NewUserFold {
            train: interactions.select_users(&train_users),
            train_user_features: user_features.select_rows(&train_users),
            train_users,
            new_users: users_where(&|of| of == fold)
                .into_iter()
                .map(|user| cut_new_user(interactions, user, self.seed))
                .collect(),
        }
    }
}

/// All folds of protocol `new-users` at once; none if the users cannot be dealt to so many. [`NewUserSplit`] gives one at a
/// time, and says why it cannot.
#[must_use]
pub fn new_user_folds(data: &Dataset, folds: usize, seed: u64) -> Vec<NewUserFold> {
    NewUserSplit::deal(&data.interactions, folds, seed)
        .map(|split| {
            (0..folds).map(|fold| split.fold(&data.interactions, &data.user_features, fold)).collect()
        })
        .unwrap_or_default()
}

fn cut_new_user(interactions: &Interactions, user: u32, seed: u64) -> NewUser {
    let (items, values) = interactions.by_user().row(user as usize);
    let mut ratings: Vec<(u32, f32)> = items.iter().copied().zip(values.iter().copied()).collect();
    Random::new(numbered_seed(seed, "new-users given", u64::from(user))).shuffle(&mut ratings);
    let targets = ratings.split_off(ratings.len() * 4 / 5);
    NewUser {
        user: UserId(user),
        given: ratings,
        targets: targets.into_iter().map(|(item, value)| (ItemId(item), value)).collect(),
    }
}

fn check_folds(folds: usize, have: usize, what: &'static str) -> Result<(), EvalError> {
    if folds < 2 {
        return Err(EvalError::TooFewFolds { folds });
    }
    if folds > have {
        return Err(EvalError::TooFew { what, folds, have });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
