//! Generated data with a known answer.
//!
//! All of it is on scales that no model may have been written for, and has the corners that real data have: a user without
//! ratings, one who rated everything that can be rated, an item that nobody rated.

use std::sync::Arc;

use foldin_core::random::{Random, child_seed};
use foldin_core::{
    Csr, Dataset, Dictionary, FeatureSchema, Features, Feedback, Field, FieldKind, Interactions, RatingScale,
    TrainingData, UserView,
};

/// Ratings to learn from, ratings held out of them, and users of whom nothing is in them.
#[derive(Clone, Debug)]
pub struct Planted {
    /// The training ratings.
    pub interactions: Interactions,
    /// Side information of the training users; of width 0 if there is none.
    pub user_features: Features,
    /// Side information of the items; of width 0 if there is none.
    pub item_features: Features,
    /// Ratings of training users that are not among the training ratings: user, item, rating.
    pub held_out: Vec<(u32, u32, f32)>,
    /// Users who are not among the training users.
    pub new_users: Vec<PlantedUser>,
}

/// A user who is not in training.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedUser {
    /// Items of the history, in random order.
    pub items: Vec<u32>,
    /// The rating of each.
    pub values: Vec<f32>,
    /// Encoded columns of side information.
    pub feature_columns: Vec<u32>,
    /// Their values.
    pub feature_values: Vec<f32>,
    /// Ratings to be predicted: item, rating.
    pub targets: Vec<(u32, f32)>,
}

impl PlantedUser {
    /// The user with the first `given` ratings of the history.
    #[must_use]
    pub fn view(&self, given: usize) -> UserView<'_> {
        let given = given.min(self.items.len());
        UserView {
            items: &self.items[..given],
            values: &self.values[..given],
            features: foldin_core::FeatureRow {
                columns: &self.feature_columns,
                values: &self.feature_values,
            },
            trained_as: None,
        }
    }
}

impl Planted {
    /// What a model may learn from.
    #[must_use]
    pub fn training_data(&self) -> TrainingData<'_> {
        TrainingData {
            interactions: &self.interactions,
            user_features: &self.user_features,
            item_features: &self.item_features,
        }
    }

    /// The training part as a data set, with generated keys and titles.
    ///
    /// # Panics
    /// Never: generated keys are distinct.
    #[must_use]
    pub fn dataset(&self) -> Dataset {
        let keys = |word: &str, n: usize| {
            Dictionary::from_keys((0..n).map(|at| format!("{word} {at}"))).expect("distinct by their numbers")
        };
        let (users, items) =
            (keys("user", self.interactions.n_users()), keys("item", self.interactions.n_items()));
        Dataset {
            name: "planted".to_owned(),
            interactions: self.interactions.clone(),
            titles: items.keys().map(str::to_owned).collect(),
            users,
            items,
            user_features: self.user_features.clone(),
            item_features: self.item_features.clone(),
        }
    }

    /// The scale of the ratings.
    ///
    /// # Panics
    /// If they are [clicks](Planted::clicks).
    #[must_use]
    pub fn scale(&self) -> RatingScale {
        self.interactions.feedback().scale().expect("explicit ratings")
    }

    /// The same data with every rating `r` turned into `stretch · r + shift`, and the scale with them.
    #[must_use]
    pub fn rescaled(&self, stretch: f32, shift: f32) -> Self {
        let map = |value: f32| value * stretch + shift;
        let scale = self.scale();
        let scale = RatingScale {
            min: map(scale.min),
            max: map(scale.max),
            step: scale.step.map(|step| step * stretch),
        };
        self.mapped(scale, |value| scale.clip(map(value)))
    }

    /// The same data with every rating rounded to the nearest level of the scale with this `step`, for models of levels.
    #[must_use]
    pub fn rounded(&self, step: f32) -> Self {
        let scale = RatingScale { step: Some(step), ..self.scale() };
        self.mapped(scale, |value| scale.round(value))
    }

    /// The same data with other ratings on another scale.
    fn mapped(&self, scale: RatingScale, map: impl Fn(f32) -> f32) -> Self {
        let csr = self.interactions.by_user();
        let values = csr.values().iter().map(|&value| map(value)).collect();
        let csr = Csr::from_parts(csr.n_cols(), csr.offsets().to_vec(), csr.columns().to_vec(), values)
            .expect("the structure stays");
        let mut out = self.clone();
        out.interactions =
            Interactions::new(csr, None, Feedback::Explicit(scale)).expect("the scale moves along");
        for (_, _, value) in &mut out.held_out {
            *value = map(*value);
        }
        for user in &mut out.new_users {
            user.values.iter_mut().for_each(|value| *value = map(*value));
            user.targets.iter_mut().for_each(|(_, value)| *value = map(*value));
        }
        out
    }

    /// What happened instead of what was said: only ratings above a quarter of the scale's upper half are left, as interactions
    /// without a scale. Of [`blocks`] these are, with few exceptions, the items of the own group.
    #[must_use]
    pub fn clicks(&self) -> Self {
        let scale = self.scale();
        let liked = (scale.min + scale.max) / 2.0 + (scale.max - scale.min) / 8.0;
        let csr = self.interactions.by_user();
        let keep: Vec<bool> = csr.values().iter().map(|&value| value > liked).collect();
        let mut out = self.clone();
        out.interactions = self.interactions.filter(&keep).as_implicit();
        out.held_out.retain(|&(_, _, value)| value > liked);
        out.held_out.iter_mut().for_each(|(_, _, value)| *value = 1.0);
        for user in &mut out.new_users {
            let (items, values) = (user.items.iter().copied(), user.values.iter().copied());
            user.items =
                items.zip(values).filter(|&(_, value)| value > liked).map(|(item, _)| item).collect();
            user.values = vec![1.0; user.items.len()];
            user.targets.retain(|&(_, value)| value > liked);
            user.targets.iter_mut().for_each(|(_, value)| *value = 1.0);
        }
        out
    }

    /// The same data without side information.
    #[must_use]
    pub fn without_features(&self) -> Self {
        let mut out = self.clone();
        out.user_features = Features::none(self.interactions.n_users());
        out.item_features = Features::none(self.interactions.n_items());
        for user in &mut out.new_users {
            user.feature_columns.clear();
            user.feature_values.clear();
        }
        out
    }
}

/// A scale that nobody would take for granted.
pub const ODD_SCALE: RatingScale = RatingScale { min: -10.0, max: 10.0, step: None };

/// Users and items fall into `groups`; a user likes the items of the own group much better than all others, on top of small
/// biases of users and items. On −10…10, noise of standard deviation 0.8. Means of items say little about a user, so only a
/// model that looks at the history can do well.
///
/// The last user has no rating, the one before rated every item that can be rated, and nobody rated the last item.
#[must_use]
pub fn blocks(n_users: usize, n_items: usize, groups: usize, seed: u64) -> Planted {
    let mut world = World::new(n_users, n_items, ODD_SCALE, seed);
    let groups = groups.max(2);
    world.user_group = (0..world.n_people()).map(|user| (user % groups) as u32).collect();
    world.item_group = (0..n_items).map(|item| (item * groups / n_items.max(1)) as u32).collect();
    // Centred: with equal groups the mean over all items of a user does not tell the group.
    let (same, other) = (4.0, -4.0 / (groups as f32 - 1.0));
    let (users, items) = (world.user_group.clone(), world.item_group.clone());
    let biases = world.biases(1.0, 1.5);
    let mut noise = Random::new(child_seed(seed, "planted noise"));
    world.rate(0.5, |user, item| {
        let block = if users[user] == items[item] { same } else { other };
        1.5 + biases.0[user] + biases.1[item] + block + 0.8 * noise.normal() as f32
    })
}

/// Ratings are `middle + b_u + b_i + u·q + noise` with `k` factors, about three quarters of the scale wide; `noise` is a share of
/// the scale's width.
#[must_use]
pub fn low_rank(
    n_users: usize,
    n_items: usize,
    k: usize,
    noise: f32,
    scale: RatingScale,
    seed: u64,
) -> Planted {
    let world = World::new(n_users, n_items, scale, seed);
    let width = scale.max - scale.min;
    let mut random = Random::new(child_seed(seed, "planted factors"));
    let mut normals = |n: usize| -> Vec<f32> { (0..n).map(|_| random.normal() as f32).collect() };
    let (u, q) = (normals(world.n_people() * k), normals(n_items * k));
    let strength = 0.15 * width / (k.max(1) as f32).sqrt();
    let biases = world.biases(0.05 * width, 0.08 * width);
    let mut draws = Random::new(child_seed(seed, "planted noise"));
    world.rate(0.4, |user, item| {
        let dot: f32 = (0..k).map(|at| u[user * k + at] * q[item * k + at]).sum();
        let middle = (scale.min + scale.max) / 2.0;
        middle + biases.0[user] + biases.1[item] + strength * dot + noise * width * draws.normal() as f32
    })
}

/// As [`blocks`], with side information that gives the groups away: users have a `job` (their group) and an `age` (noise), items
/// have `genres` (their group) and a `year` (noise). A user without any history can be served well from it.
#[must_use]
pub fn with_side_information(n_users: usize, n_items: usize, groups: usize, seed: u64) -> Planted {
    let mut out = blocks(n_users, n_items, groups, seed);
    let groups = groups.max(2);
    let names = |word: &str| (0..groups).map(|group| format!("{word} {group}")).collect::<Vec<_>>();
    let schema = |number: &str, category: &str, kind: FieldKind| {
        Arc::new(FeatureSchema::new(vec![
            Field {
                name: number.to_owned(),
                kind: FieldKind::Numeric { center: 0.0, scale: 1.0, edges: vec![] },
            },
            Field { name: category.to_owned(), kind },
        ]))
    };
    let mut random = Random::new(child_seed(seed, "planted side information"));
    let mut table = |schema: Arc<FeatureSchema>, group_of: &dyn Fn(usize) -> usize, n: usize| {
        let cells: Vec<(u32, u32, f32)> = (0..n)
            .flat_map(|row| {
                [(row as u32, 0, random.uniform() as f32 - 0.5), (row as u32, 1 + group_of(row) as u32, 1.0)]
            })
            .collect();
        let rows = Csr::from_triples(n, schema.width(), &cells).expect("one group a row");
        Features::new(schema, rows).expect("the schema's width")
    };
    let user_schema = schema("age", "job", FieldKind::Category { values: names("job") });
    let item_schema = schema("year", "genres", FieldKind::MultiCategory { values: names("genre") });
    let n_people = n_users + out.new_users.len();
    let people = table(user_schema, &|user| user % groups, n_people);
    out.item_features = table(item_schema, &|item| item * groups / n_items.max(1), n_items);
    let training: Vec<u32> = (0..n_users as u32).collect();
    out.user_features = people.select_rows(&training);
    for (at, user) in out.new_users.iter_mut().enumerate() {
        let row = people.row(n_users + at);
        (user.feature_columns, user.feature_values) = (row.columns.to_vec(), row.values.to_vec());
    }
    out
}

/// Who can rate what. People are the training users, followed by the new ones.
struct World {
    n_users: usize,
    n_items: usize,
    scale: RatingScale,
    seed: u64,
    user_group: Vec<u32>,
    item_group: Vec<u32>,
}

impl World {
    fn new(n_users: usize, n_items: usize, scale: RatingScale, seed: u64) -> Self {
        Self { n_users, n_items, scale, seed, user_group: Vec::new(), item_group: Vec::new() }
    }

    /// A third as many new users as training users.
    fn n_people(&self) -> usize {
        self.n_users + self.n_users.div_ceil(3)
    }

    fn biases(&self, of_users: f32, of_items: f32) -> (Vec<f32>, Vec<f32>) {
        let mut random = Random::new(child_seed(self.seed, "planted biases"));
        let mut draw =
            |n: usize, spread: f32| -> Vec<f32> { (0..n).map(|_| spread * random.normal() as f32).collect() };
        (draw(self.n_people(), of_users), draw(self.n_items, of_items))
    }

    /// Lets each person rate a `share` of the items and holds a fifth of that out.
    fn rate(&self, share: f64, mut rating: impl FnMut(usize, usize) -> f32) -> Planted {
        let mut random = Random::new(child_seed(self.seed, "planted choices"));
        let rateable: Vec<u32> = (0..self.n_items.saturating_sub(1).max(1) as u32).collect();
        let (mut train, mut held_out, mut new_users) = (Vec::new(), Vec::new(), Vec::new());
        for person in 0..self.n_people() {
            let everything = self.n_users >= 2 && person == self.n_users - 2;
            let nothing = self.n_users >= 2 && person == self.n_users - 1;
            let mut chosen: Vec<u32> =
                rateable.iter().copied().filter(|_| random.chance(share) || everything).collect();
            random.shuffle(&mut chosen);
            let rated: Vec<(u32, f32)> = chosen
                .into_iter()
                .map(|item| (item, self.scale.clip(rating(person, item as usize))))
                .collect();
            let n_train = if everything { rated.len() } else { rated.len() - rated.len() / 5 };
            let (given, rest) = rated.split_at(n_train);
            if person >= self.n_users {
                new_users.push(PlantedUser {
                    items: given.iter().map(|&(item, _)| item).collect(),
                    values: given.iter().map(|&(_, value)| value).collect(),
                    feature_columns: Vec::new(),
                    feature_values: Vec::new(),
                    targets: rest.to_vec(),
                });
            } else if !nothing {
                train.extend(given.iter().map(|&(item, value)| (person as u32, item, value)));
                held_out.extend(rest.iter().map(|&(item, value)| (person as u32, item, value)));
            }
        }
        let csr = Csr::from_triples(self.n_users, self.n_items, &train).expect("each pair once");
        Planted {
            interactions: Interactions::new(csr, None, Feedback::Explicit(self.scale))
                .expect("clipped to the scale"),
            user_features: Features::none(self.n_users),
            item_features: Features::none(self.n_items),
            held_out,
            new_users,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corners_are_there() {
        let planted = blocks(30, 12, 3, 1);
        let csr = planted.interactions.by_user();
        assert_eq!(csr.row_len(29), 0);
        assert_eq!(csr.row(28).0, (0..11).collect::<Vec<u32>>());
        assert_eq!(planted.interactions.by_item().row_len(11), 0);
        assert_eq!(planted.new_users.len(), 10);
    }

    #[test]
    fn held_out_ratings_are_not_in_training() {
        let planted = blocks(30, 12, 3, 1);
        assert!(!planted.held_out.is_empty());
        for &(user, item, _) in &planted.held_out {
            assert!(!planted.interactions.by_user().row(user as usize).0.contains(&item));
        }
        for user in &planted.new_users {
            assert!(user.targets.iter().all(|(item, _)| !user.items.contains(item)));
        }
    }

    #[test]
    fn side_information_names_the_group_of_old_and_new_users() {
        let planted = with_side_information(30, 12, 3, 1);
        assert_eq!(planted.user_features.row(4).columns, [0, 2]);
        assert_eq!(planted.new_users[0].feature_columns, [0, 1]);
        assert_eq!(planted.item_features.row(11).columns, [0, 3]);
        assert_eq!(planted.without_features().user_features.width(), 0);
    }

    #[test]
    fn clicks_are_mostly_on_the_own_group() {
        let clicks = blocks(60, 30, 3, 1).clicks();
        assert_eq!(clicks.interactions.feedback(), Feedback::Implicit);
        let triples = || clicks.interactions.by_user().triples();
        let own = triples().filter(|&(user, item, _)| user % 3 == item / 10).count();
        assert!(own * 10 > triples().count() * 8, "{own} of {}", triples().count());
        assert!(triples().all(|(_, _, value)| value.to_bits() == 1f32.to_bits()));
        assert!(!clicks.held_out.is_empty() && clicks.new_users.iter().any(|user| !user.targets.is_empty()));
    }

    #[test]
    fn rounding_leaves_levels_alone() {
        let planted = blocks(20, 10, 2, 1);
        let rounded = planted.rounded(2.5);
        assert_eq!(rounded.scale().levels(), Some(9));
        let (old, new) = (planted.interactions.by_user().values(), rounded.interactions.by_user().values());
        assert!(old.iter().zip(new).all(|(old, new)| (old - new).abs() <= 1.25 && new % 2.5 == 0.0));
    }

    #[test]
    fn rescaling_moves_ratings_and_scale_together() {
        let planted = low_rank(20, 10, 2, 0.05, RatingScale { min: 0.0, max: 1.0, step: None }, 3);
        let moved = planted.rescaled(99.0, 1.0);
        assert_eq!((moved.scale().min, moved.scale().max), (1.0, 100.0));
        let (old, new) = (planted.interactions.by_user().values(), moved.interactions.by_user().values());
        assert!(old.iter().zip(new).all(|(old, new)| (old * 99.0 + 1.0 - new).abs() < 1e-4));
    }
}
