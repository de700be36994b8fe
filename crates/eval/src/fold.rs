//! One fold made ready: what may be learned from, who is tested on what, and what a model sees of them.

use std::borrow::Cow;
use std::sync::Arc;

use foldin_core::{
    DataError, Dataset, Features, Feedback, Interactions, ItemId, TrainingData, UserId, UserView,
};

use crate::error::EvalError;
use crate::options::{EvalOptions, GivenRatings, GivenSplit, Protocol};
use crate::split::{NewUserFold, NewUserSplit, RatingFold, RatingSplit, random_rating_fold};

/// Test ratings by user.
#[derive(Debug, Default)]
pub(crate) struct TestSet {
    /// The users tested, numbered as in the data set.
    pub(crate) users: Vec<UserId>,
    /// Where each user's ratings begin, and where the last user's end.
    pub(crate) offsets: Vec<usize>,
    pub(crate) items: Vec<ItemId>,
    pub(crate) values: Vec<f32>,
}

impl TestSet {
    /// Groups ratings in which those of one user stand together.
    fn grouped(test: impl Iterator<Item = (UserId, ItemId, f32)>) -> Self {
        let mut out = Self::default();
        for (user, item, value) in test {
            if out.users.last() != Some(&user) {
                out.users.push(user);
                out.offsets.push(out.items.len());
            }
            out.items.push(item);
            out.values.push(value);
        }
        out.offsets.push(out.items.len());
        out
    }

    /// The user of the rating at a position.
    pub(crate) fn user_of(&self, rating: usize) -> UserId {
        self.users[self.offsets.partition_point(|&offset| offset <= rating) - 1]
    }
}

/// The ratings a new user gives, in the order of giving.
#[derive(Clone, Debug)]
pub(crate) struct Giving {
    items: Vec<u32>,
    values: Vec<f32>,
}

/// What may be learned from, who is tested, and on what.
#[derive(Clone, Debug)]
pub(crate) struct Fold<'a> {
    /// A number from 1, or the name of a given split.
    pub(crate) name: String,
    data: &'a Dataset,
    train: Interactions,
    user_features: Cow<'a, Features>,
    pub(crate) test: Arc<TestSet>,
    /// What the tested users give, if they are new.
    giving: Option<Vec<Giving>>,
    /// Users of the training part, numbered as in the data set, if they are not all of them.
    train_users: Vec<u32>,
    /// Items that must not be listed for each tested user, ascending, where items are ranked.
    pub(crate) seen: Arc<Vec<Vec<u32>>>,
    /// Whether values are left out, for models of clicks, and the rating from which on one counts as a click.
    clicks: Option<Option<f32>>,
    /// Remarks on what was tested.
    pub(crate) notes: Vec<String>,
}

impl<'a> Fold<'a> {
    fn known(name: String, data: &'a Dataset, train: Interactions, test: TestSet) -> Self {
        let user_features = Cow::Borrowed(&data.user_features);
        Self {
            name,
            data,
            train,
            user_features,
            test: Arc::new(test),
            giving: None,
            train_users: Vec::new(),
            seen: Arc::default(),
            clicks: None,
            notes: Vec::new(),
        }
    }

    fn new_users(name: String, data: &'a Dataset, fold: NewUserFold) -> Self {
        let test = TestSet::grouped(fold.new_users.iter().flat_map(|new| {
            let user = new.user;
            new.targets.iter().map(move |&(item, value)| (user, item, value))
        }));
        let giving = fold
            .new_users
            .iter()
            .map(|new| {
                let (items, values) = new.given.iter().copied().unzip();
                Giving { items, values }
            })
            .collect();
        Self {
            name,
            data,
            train: fold.train,
            user_features: Cow::Owned(fold.train_user_features),
            test: Arc::new(test),
            giving: Some(giving),
            train_users: fold.train_users,
            seen: Arc::default(),
            clicks: None,
            notes: Vec::new(),
        }
    }

    /// Makes lists the thing that is tested. What a user had in the training part, or could give, is not listed. Left out of the test
    /// part are ratings below `liked_from`, and items that nobody had in the training part, since no history can lead to them.
    fn ranked(mut self, liked_from: Option<f32>) -> Self {
        let by_item = self.train.by_item();
        let liked = |value: f32| liked_from.is_none_or(|least| value >= least);
        let (mut users, mut seen, mut left_out) = (Vec::new(), Vec::new(), 0usize);
        let mut test = Vec::new();
        for (at, &user) in self.test.users.iter().enumerate() {
            let before = test.len();
            for rating in self.test.offsets[at]..self.test.offsets[at + 1] {
                let (item, value) = (self.test.items[rating], self.test.values[rating]);
                if by_item.row_len(item.index()) == 0 {
                    left_out += 1;
                } else if liked(value) {
                    test.push((user, item, value));
                }
            }
            if test.len() > before {
                users.push(at);
                let mut items = match &self.giving {
                    Some(giving) => giving[at].items.clone(),
                    None => self.train.by_user().row(user.index()).0.to_vec(),
                };
                items.sort_unstable();
                seen.push(items);
            }
        }
        self.giving = self.giving.map(|giving| users.iter().map(|&at| giving[at].clone()).collect());
        if left_out > 0 {
            let (ratings, were) = if left_out == 1 { ("rating", "was") } else { ("ratings", "were") };
            self.notes.push(format!(
                "fold {}: {left_out} test {ratings} of items that nobody has in the training part {were} left out",
                self.name
            ));
        }
        self.test = Arc::new(TestSet::grouped(test.into_iter()));
        self.seen = Arc::new(seen);
        self
    }

    /// The same fold as a model of clicks sees it: without values, and without ratings below `liked_from`. The test part stays.
    pub(crate) fn as_clicks(&self, liked_from: Option<f32>) -> Self {
        let mut out = self.clone();
        out.train = clicks(&self.train, liked_from);
        for giving in out.giving.iter_mut().flatten() {
            let rated = giving.items.iter().copied().zip(giving.values.iter().copied());
            let liked = rated.filter(|&(_, value)| liked_from.is_none_or(|least| value >= least));
            giving.items = liked.map(|(item, _)| item).collect();
            giving.values = vec![1.0; giving.items.len()];
        }
        out.clicks = Some(liked_from);
        out
    }

    /// Users of the training part, numbered as in the data set; `None` if they are all of them.
    pub(crate) fn train_users(&self) -> Option<&[u32]> {
        self.giving.is_some().then_some(&self.train_users)
    }

    /// What may be learned from.
    pub(crate) fn training_data(&self) -> TrainingData<'_> {
        TrainingData {
            interactions: &self.train,
            user_features: &self.user_features,
            item_features: &self.data.item_features,
        }
    }

    /// The tested users as the model sees them: known users with their training ratings, new ones with what they give.
    pub(crate) fn views(&self, given: GivenRatings) -> Vec<UserView<'_>> {
        let tested = self.test.users.iter();
        let Some(giving) = &self.giving else {
            return tested.map(|user| self.training_data().user(user.index())).collect();
        };
        tested
            .zip(giving)
            .map(|(user, giving)| {
                let n = given.of(giving.items.len());
                UserView {
                    items: &giving.items[..n],
                    values: &giving.values[..n],
                    features: self.data.user_features.row(user.index()),
                    trained_as: None,
                }
            })
            .collect()
    }

    /// The training part with what the new users give added as rows after those of the training users.
    pub(crate) fn retraining(&self, given: GivenRatings) -> (Interactions, Features) {
        let by_user = self.data.interactions.by_user();
        let mut keep = vec![true; by_user.n_entries()];
        let mut users = self.train_users.clone();
        for (at, user) in self.test.users.iter().enumerate() {
            let range = by_user.range(user.index());
            keep[range.clone()].fill(false);
            for item in self.giving.iter().flat_map(|giving| {
                let Giving { items, .. } = &giving[at];
                &items[..given.of(items.len())]
            }) {
                if let Ok(place) = by_user.row(user.index()).0.binary_search(item) {
                    keep[range.start + place] = true;
                }
            }
            users.push(user.0);
        }
        let mut train = self.data.interactions.filter(&keep).select_users(&users);
        if let Some(liked_from) = self.clicks {
            train = clicks(&train, liked_from);
        }
        (train, self.data.user_features.select_rows(&users))
    }

    /// As [`Fold::views`], of users who were trained as [`Fold::retraining`] numbers them.
    pub(crate) fn retrained_views(&self, given: GivenRatings) -> Vec<UserView<'_>> {
        let mut views = self.views(given);
        for (view, number) in views.iter_mut().zip(self.train_users.len() as u32..) {
            view.trained_as = Some(UserId(number));
        }
        views
    }
}

/// Interactions without values, from those ratings on that say that an item was liked.
fn clicks(ratings: &Interactions, liked_from: Option<f32>) -> Interactions {
    match (ratings.feedback(), liked_from) {
        (Feedback::Explicit(_), Some(least)) => {
            let keep: Vec<bool> = ratings.by_user().values().iter().map(|&value| value >= least).collect();
            ratings.filter(&keep).as_implicit()
        }
        _ => ratings.as_implicit(),
    }
}

/// How the data are cut; makes one fold at a time, so that only one is in memory.
#[derive(Debug)]
pub(crate) struct Cutter<'a> {
    data: &'a Dataset,
    options: &'a EvalOptions,
    deal: Deal,
}

#[derive(Debug)]
enum Deal {
    Ratings(RatingSplit),
    Random,
    NewUsers(NewUserSplit),
    Given,
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(data: &'a Dataset, options: &'a EvalOptions) -> Result<Self, EvalError> {
        data.check()?;
        let scale = data.interactions.feedback().scale();
        if scale.is_none() && !options.protocol.ranks() {
            // Of given splits the protocol is asked for by the name that it has without.
            let protocol =
                if options.protocol == Protocol::Given { Protocol::Ratings } else { options.protocol };
            return Err(EvalError::NotRatings { protocol: protocol.name() });
        }
        if options.protocol.ranks() && (options.cutoffs.is_empty() || options.cutoffs.contains(&0)) {
            return Err(EvalError::NoPlaces);
        }
        if let Some(least) = options.liked_from
            && !scale.is_some_and(|scale| scale.contains(least))
        {
            return Err(EvalError::LikedFrom { least, scale });
        }
        let deal = match options.protocol {
            Protocol::TopN if !options.given.is_empty() => Deal::Given,
            Protocol::Ratings | Protocol::TopN => {
                Deal::Ratings(RatingSplit::deal(&data.interactions, options.folds, options.seed)?)
            }
            Protocol::RatingsRandom if options.folds == 0 => {
                return Err(EvalError::TooFewFolds { folds: 0 });
            }
            Protocol::RatingsRandom => Deal::Random,
            Protocol::NewUsers | Protocol::TopNNewUsers => {
                Deal::NewUsers(NewUserSplit::deal(&data.interactions, options.folds, options.seed)?)
            }
            Protocol::Given if options.given.is_empty() => return Err(EvalError::NoSplit),
            Protocol::Given => Deal::Given,
        };
        Ok(Self { data, options, deal })
    }

    /// Number of folds there are.
    pub(crate) fn folds(&self) -> usize {
        match self.deal {
            Deal::Given => self.options.given.len(),
            Deal::Ratings(_) | Deal::Random | Deal::NewUsers(_) => self.options.folds,
        }
    }

    /// The folds asked for, from 0, ascending, each once.
    pub(crate) fn chosen(&self) -> Result<Vec<usize>, EvalError> {
        let folds = self.folds();
        if self.options.only_folds.is_empty() {
            return Ok((0..folds).collect());
        }
        let mut chosen = self.options.only_folds.clone();
        chosen.sort_unstable();
        chosen.dedup();
        match chosen.iter().find(|&&fold| fold == 0 || fold > folds) {
            Some(&fold) => Err(EvalError::UnknownFold { fold, folds }),
            None => Ok(chosen.into_iter().map(|fold| fold - 1).collect()),
        }
    }

    /// The name of a fold, from 0.
    pub(crate) fn name(&self, fold: usize) -> String {
        match self.deal {
            Deal::Given => self.options.given[fold].name.clone(),
            Deal::Ratings(_) | Deal::Random | Deal::NewUsers(_) => (fold + 1).to_string(),
        }
    }

    /// One fold, from 0.
    pub(crate) fn fold(&self, fold: usize) -> Result<Fold<'a>, EvalError> {
        let (data, options) = (self.data, self.options);
        let name = self.name(fold);
        let of = |cut: RatingFold| {
            Fold::known(name.clone(), data, cut.train, TestSet::grouped(cut.test.into_iter()))
        };
        let made = match &self.deal {
            Deal::Ratings(split) => of(split.fold(&data.interactions, fold)),
            Deal::Random => {
                of(random_rating_fold(&data.interactions, options.test_share, options.seed, fold)?)
            }
            Deal::NewUsers(split) => {
                let cut = split.fold(&data.interactions, &data.user_features, fold);
                if cut.new_users.iter().all(|new| new.given.is_empty()) {
                    return Err(EvalError::NothingGiven { fold: name });
                }
                Fold::new_users(name, data, cut)
            }
            Deal::Given => given_fold(data, &options.given[fold])?,
        };
        let left_out = made.test.values.len();
        let made = if options.protocol.ranks() { made.ranked(options.liked_from) } else { made };
        if made.test.values.is_empty() {
            return Err(EvalError::EmptyFold { fold: made.name, left_out });
        }
        Ok(made)
    }
}

fn given_fold<'a>(data: &'a Dataset, split: &GivenSplit) -> Result<Fold<'a>, EvalError> {
    let (n_users, n_items) = (data.interactions.n_users(), data.interactions.n_items());
    let refused = |source| EvalError::Split { split: split.name.clone(), source };
    for (what, expected, got) in [
        ("users of the training part", n_users, split.train.n_users()),
        ("items of the training part", n_items, split.train.n_items()),
    ] {
        if expected != got {
            return Err(refused(DataError::Shape { what, expected, got }));
        }
    }
    let mut test = split.test.clone();
    test.sort_by_key(|&(user, item, _)| (user, item));
    for (at, &(user, item, value)) in test.iter().enumerate() {
        let (row, column) = (user.index(), item.0);
        if row >= n_users {
            return Err(refused(DataError::RowOutOfRange { row: user.0, n_rows: n_users }));
        }
        if item.index() >= n_items {
            return Err(refused(DataError::ColumnOutOfRange { row, column, n_cols: n_items }));
        }
        if !value.is_finite() {
            return Err(refused(DataError::NotFinite { row, column }));
        }
        if at > 0 && (test[at - 1].0, test[at - 1].1) == (user, item) {
            return Err(refused(DataError::Duplicate { row, column }));
        }
        if split.train.by_user().row(row).0.binary_search(&column).is_ok() {
            return Err(EvalError::Overlap {
                split: split.name.clone(),
                user: data.users.key(user.0).unwrap_or_default().to_owned(),
                item: data.items.key(column).unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(Fold::known(split.name.clone(), data, split.train.clone(), TestSet::grouped(test.into_iter())))
}
