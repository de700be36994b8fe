use foldin_core::random::Random;
use foldin_core::{
    Csr, Features, Feedback, FitContext, Interactions, ItemFactors, ItemId, ModelFamily, RatingScale,
    Recommender, TrainingData, UserView,
};
use foldin_nn::linalg::{cholesky, cholesky_solve};

use super::anchors::{Anchors, distance, kernel, to_directions, weight, weights};
use super::config::{Fallback, LlormaConfig};
use super::local::{Covered, Setting, Trainer};
use super::model::{Combination, LlormaModel, Locals};
use super::{Llorma, anchors};
use crate::bias::Bias;
use crate::bias_svd::BiasSvd;
use crate::fold_in::FoldIn;
use crate::linear::{BASELINE, Family, LinearFactors};
use crate::per_user::PerUser;

const SCALE: RatingScale = RatingScale { min: -8.0, max: 8.0, step: None };

fn interactions(n_users: usize, n_items: usize, triples: &[(u32, u32, f32)]) -> Interactions {
    let csr = Csr::from_triples(n_users, n_items, triples).unwrap();
    Interactions::new(csr, None, Feedback::Explicit(SCALE)).unwrap()
}

/// Half of all pairs, at random, with random ratings.
fn noise(n_users: usize, n_items: usize, seed: u64) -> Interactions {
    let mut random = Random::new(seed);
    let mut triples = Vec::new();
    for (user, item) in (0..n_users as u32).flat_map(|user| (0..n_items as u32).map(move |item| (user, item)))
    {
        if random.chance(0.5) {
            triples.push((user, item, (2.0 * random.normal()).clamp(-8.0, 8.0) as f32));
        }
    }
    interactions(n_users, n_items, &triples)
}

fn fit(config: &LlormaConfig, ratings: &Interactions) -> LlormaModel {
    let (users, items) = (Features::none(ratings.n_users()), Features::none(ratings.n_items()));
    let data = TrainingData { interactions: ratings, user_features: &users, item_features: &items };
    Llorma::fit(config, &data, &FitContext::new(1)).unwrap()
}

fn predict(model: &dyn Recommender, users: &[UserView<'_>], pairs: &[(u32, ItemId)]) -> Vec<f32> {
    let mut out = vec![f32::NAN; pairs.len()];
    model.predict(users, pairs, &mut out).unwrap();
    out
}

#[test]
fn distances_and_kernel_by_hand() {
    let half = 0.5f32.sqrt();
    for (other, expected) in
        [([1.0, 0.0], 0.0), ([half, half], 0.5), ([0.0, 1.0], 1.0), ([-half, half], 1.5), ([-1.0, 0.0], 2.0)]
    {
        // The arc-cosine of what is rounded to 1 − 6e-8 is 3.5e-4: near 0 and 2 the distance has so few digits.
        assert!((distance(&[1.0, 0.0], &other) - expected).abs() < 3e-4, "{other:?}");
    }
    // 1 − (1/2)², 1 − (1/4)²; nothing at the edge and beyond.
    assert_eq!([kernel(0.5, 1.0), kernel(0.5, 2.0), kernel(0.0, 0.3)], [0.75, 0.9375, 1.0]);
    assert_eq!([kernel(1.0, 1.0), kernel(1.5, 1.0)], [0.0, 0.0]);
    // Without a direction there is no distance, however wide the kernel.
    assert_eq!(weight(&[1.0, 0.0], &[0.0, 0.0], 100.0), 0.0);
    assert_eq!(weight(&[0.0, 0.0], &[1.0, 0.0], 100.0), 0.0);
    assert_eq!(weights(&[0.0, 1.0], &[1.0, 0.0, 0.0, 1.0], 2.0), [0.75, 1.0]);
    let mut rows = [3.0, 4.0, 0.0, 0.0];
    to_directions(&mut rows, 2);
    assert_eq!(rows, [0.6, 0.8, 0.0, 0.0]);
}

#[test]
fn an_anchor_is_nobody() {
    let (n_users, n_items, k) = (100, 20, 3);
    let ratings = noise(n_users, n_items, 1);
    let mut random = Random::new(2);
    let mut draw = |n: usize| -> Vec<f32> {
        let mut rows: Vec<f32> = (0..n * k).map(|_| random.normal() as f32).collect();
        to_directions(&mut rows, k);
        rows
    };
    let (users, items) = (draw(n_users), draw(n_items));
    let anchors = Anchors::draw(30, &ratings, &users, &items, k, 3);
    for anchor in anchors.users.chunks_exact(k) {
        assert!((anchor.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-6);
        let nearest = users.chunks_exact(k).map(|user| distance(anchor, user)).fold(f32::INFINITY, f32::min);
        // Twenty of a hundred directions on a sphere span some forty degrees: their mean is near somebody, and nobody's own.
        assert!(nearest > 1e-3 && nearest < 0.5, "{nearest}");
    }
    assert!(anchors.items.chunks_exact(k).all(|anchor| items.chunks_exact(k).any(|item| item == anchor)));
    assert_ne!(anchors, Anchors::draw(30, &ratings, &users, &items, k, 4));
}

/// A model of two items, two global and one local factor, and anchors at 0 and 60 degrees from whoever has no history.
fn by_hand(global_weight: f32, fallback: Fallback, user_bandwidth: f32) -> LlormaModel {
    let feedback = Feedback::Explicit(SCALE);
    let items = ItemFactors { k: 2, m: vec![0.5, 9.0, -1.0, 9.0], bias: vec![0.25, 0.5], mean: 1.0 };
    let fold_in = FoldIn::new(vec![1.0; 3], vec![2.0, 0.0, 0.125]);
    let family = Family { name: BiasSvd::NAME, capabilities: BiasSvd::capabilities() };
    let global = LinearFactors::new(family, items, feedback).with_users(fold_in, None);
    let items = ItemFactors { k: 0, m: vec![], bias: vec![-0.5, 1.0], mean: 2.0 };
    let fold_in = FoldIn::new(vec![4.0], vec![0.0]);
    let family = Family { name: Bias::NAME, capabilities: BASELINE };
    let biases = LinearFactors::new(family, items, feedback).with_users(fold_in, None);
    let mut locals = Locals::zeros(2, 2, 1);
    locals.set_weights(0, &[0.5, 0.0]);
    locals.set_weights(1, &[0.9, 0.0]);
    // [item × anchor × (factor, bias)].
    locals.rows = vec![3.0, 0.4, -3.0, -0.2, 0.0, 0.0, 0.0, 0.0];
    let combination =
        Combination { user_bandwidth, lambda: vec![1.0, 2.0], unit: 4.0, global_weight, fallback };
    let anchors = vec![1.0, 0.0, 0.5, 0.75f32.sqrt()];
    LlormaModel::new(global, biases, anchors, locals, combination, feedback)
}

#[test]
fn predictions_are_combined_as_by_hand() {
    let pairs = [(0, ItemId(0)), (0, ItemId(1))];
    let nobody = [UserView::default()];
    // Global: 1 + 0.125 + 0.25 + 2·0.5 and 1 + 0.125 + 0.5 − 2. Local, of item 0: 2 − 0.5 + 4·0.4 and 2 − 0.5 − 4·0.2. The second
    // anchor is 2/3 of a right angle away: with bandwidth 1 it weighs 5/9.
    let (one, two) = (0.5, 0.9 * 5.0 / 9.0);
    let expected = (0.3 * 2.375 + one * 3.1 + two * 0.7) / (0.3 + one + two);
    let got = predict(&by_hand(0.3, Fallback::Global, 1.0), &nobody, &pairs);
    // Distances near 0 are right to 3e-4, and their squares to 1e-7.
    assert!((got[0] - expected).abs() < 1e-5 && (got[1] + 0.375).abs() < 1e-6, "{got:?} {expected}");
    // The authors' way; the second anchor is out of reach, and no anchor reaches the second item.
    let got = predict(&by_hand(0.0, Fallback::Middle, 0.5), &nobody, &pairs);
    assert!((got[0] - 3.1).abs() < 1e-6 && got[1] == 0.0, "{got:?}");
    let got = predict(&by_hand(0.0, Fallback::Global, 0.5), &nobody, &pairs);
    assert!((got[1] + 0.375).abs() < 1e-6, "{got:?}");

    // Item 0 rated 5, which leaves (5 − 2 − b_u + 0.5) / 4 with b_u = 3.5 / 5; at the first anchor (weight 0.5, factor 3, bias 0.4)
    // that makes (p, β) = 0.5·(left − 0.4)·(3, 1/2) / (1 + 0.5·9 + 0.5/2).
    let model = by_hand(0.0, Fallback::Global, 1000.0);
    let user = PerUser::state(&model, &UserView::new(&[0], &[5.0])).unwrap();
    let left = (3.0 - 0.7 + 0.5) / 4.0;
    let at_anchor = 0.5 * (left - 0.4) / 5.75;
    let predicted = 2.7 - 0.5 + 4.0 * (3.0 * 3.0 * at_anchor + 0.5 * at_anchor + 0.4);
    let mut alone = model.clone();
    alone.forget_anchor(1);
    let got = PerUser::value(&alone, &user, 0);
    assert!((got - predicted).abs() < 1e-5, "{got} {predicted}");
}

const K: usize = 2;

/// A random setting with weights of users and items, some of them nought.
fn setting(ratings: &Interactions, seed: u64) -> (Setting<'_>, Vec<f32>, Vec<f32>) {
    let mut random = Random::new(seed);
    let mut draw = |n: usize, low: f64| -> Vec<f32> {
        (0..n).map(|_| (low + (1.0 - low) * random.uniform()).max(0.0) as f32).collect()
    };
    let (users, items) = (draw(ratings.n_users(), -0.5), draw(ratings.n_items(), -0.5));
    let setting = Setting {
        ratings,
        mean: 0.3,
        user_bias: draw(ratings.n_users(), -1.0),
        item_bias: draw(ratings.n_items(), -1.0),
        unit: 4.0,
        lambda: vec![0.2, 0.3, 0.5],
        iterations: 4,
        start_scale: 0.5,
    };
    (setting, users, items)
}

/// `[factors | bias]` of all users and of all items, in `f64`; noughts for those not covered.
struct Twin<'a> {
    setting: &'a Setting<'a>,
    user_weights: &'a [f32],
    item_weights: &'a [f32],
    users: Vec<[f64; K + 1]>,
    items: Vec<[f64; K + 1]>,
}

impl Twin<'_> {
    fn of<'a>(
        trainer: &Trainer<'_>,
        setting: &'a Setting<'a>,
        users: &'a [f32],
        items: &'a [f32],
    ) -> Twin<'a> {
        let spread = |covered: &Covered, rows: &[f32], n: usize| {
            let mut out = vec![[0.0; K + 1]; n];
            for (&member, row) in covered.members.iter().zip(rows.chunks_exact(K + 1)) {
                out[member as usize] = std::array::from_fn(|at| f64::from(row[at]));
            }
            out
        };
        Twin {
            setting,
            user_weights: users,
            item_weights: items,
            users: spread(&trainer.users, &trainer.user_rows, users.len()),
            items: spread(&trainer.items, &trainer.item_rows, items.len()),
        }
    }

    fn left(&self, user: u32, item: u32, value: f32) -> f64 {
        let Setting { mean, user_bias, item_bias, unit, .. } = self.setting;
        let base = mean + user_bias[user as usize] + item_bias[item as usize];
        f64::from(value - base) / f64::from(*unit)
    }

    /// The objective of the header, over all pairs.
    fn objective(&self) -> f64 {
        let lambda = &self.setting.lambda;
        let mut sum = 0.0;
        for (user, item, value) in self.setting.ratings.by_user().triples() {
            let (u, i) = (&self.users[user as usize], &self.items[item as usize]);
            let error = self.left(user, item, value) - u[0] * i[0] - u[1] * i[1] - u[K] - i[K];
            let weight =
                f64::from(self.user_weights[user as usize]) * f64::from(self.item_weights[item as usize]);
            sum += weight * error * error;
        }
        for (rows, weights) in [(&self.users, self.user_weights), (&self.items, self.item_weights)] {
            for (row, &weight) in rows.iter().zip(weights) {
                let squares: f64 = row.iter().zip(lambda).map(|(x, &l)| f64::from(l) * x * x).sum();
                sum += f64::from(weight) * squares;
            }
        }
        sum
    }

    /// The best `[factors | bias]` of a user, straight from the normal equations.
    fn solve_user(&self, user: u32) -> Vec<f64> {
        const C: usize = K + 1;
        let (mut matrix, mut right) = ([0.0; C * C], vec![0.0; C]);
        for (other, item, value) in self.setting.ratings.by_user().triples() {
            let weight = f64::from(self.item_weights[item as usize]);
            if other == user && weight > 0.0 {
                let i = &self.items[item as usize];
                let row = [i[0], i[1], 1.0];
                for a in 0..C {
                    right[a] += weight * row[a] * (self.left(user, item, value) - i[K]);
                    (0..C).for_each(|b| matrix[a * C + b] += weight * row[a] * row[b]);
                }
            }
        }
        (0..C).for_each(|at| matrix[at * C + at] += f64::from(self.setting.lambda[at]));
        cholesky(&mut matrix, C).unwrap();
        cholesky_solve(&matrix, C, &mut right);
        right
    }
}

#[test]
fn a_half_round_solves_the_weighted_normal_equations() {
    let ratings = noise(90, 30, 5);
    let (setting, user_weights, item_weights) = setting(&ratings, 6);
    let (users, items) = (Covered::new(&user_weights), Covered::new(&item_weights));
    assert!(users.members.len() < 80 && items.members.len() < 28, "some are not covered");
    let mut trainer = Trainer::start(&setting, users, items, 7);
    trainer.solve_users().unwrap();
    let twin = Twin::of(&trainer, &setting, &user_weights, &item_weights);
    for user in 0..90u32 {
        if user_weights[user as usize] > 0.0 {
            for (got, want) in twin.users[user as usize].iter().zip(twin.solve_user(user)) {
                // The condition is below a hundred: seven digits less two.
                assert!((got - want).abs() < 1e-5, "user {user}: {got} and {want}");
            }
        }
    }
}

#[test]
fn every_half_round_lowers_the_objective() {
    let ratings = noise(90, 30, 8);
    let (setting, users, items) = setting(&ratings, 9);
    let mut trainer = Trainer::start(&setting, Covered::new(&users), Covered::new(&items), 10);
    let objective = |trainer: &Trainer<'_>| Twin::of(trainer, &setting, &users, &items).objective();
    let mut before = objective(&trainer);
    let first = before;
    for _ in 0..6 {
        trainer.solve_users().unwrap();
        let after_users = objective(&trainer);
        let (squares, weights) = trainer.solve_items(true).unwrap();
        let after = objective(&trainer);
        // Rounding may lift a minimum that is reached by a millionth.
        assert!(after_users < before * (1.0 + 1e-6) && after < after_users * (1.0 + 1e-6));
        before = after;

        // What is measured is the first sum of the objective, and the weights in it.
        let mut bare = Twin::of(&trainer, &setting, &users, &items);
        let lambda = Setting { lambda: vec![0.0; K + 1], ..setting.clone() };
        bare.setting = &lambda;
        assert!((squares / bare.objective() - 1.0).abs() < 1e-5);
        let expected: f64 = ratings
            .by_user()
            .triples()
            .map(|(user, item, _)| f64::from(users[user as usize]) * f64::from(items[item as usize]))
            .sum();
        assert!((weights / expected - 1.0).abs() < 1e-6);
    }
    assert!(before < 0.7 * first, "from {first} to {before}");
}

fn quick() -> LlormaConfig {
    LlormaConfig { anchors: 6, factors: K, global_factors: 4, iterations: 4, ..LlormaConfig::default() }
}

/// What a user's half round of training gives is what the same history is given when it comes as a stranger's, so both are
/// predicted equally well.
#[test]
fn a_training_user_and_the_same_history_get_the_same_factors() {
    let ratings = noise(80, 30, 11);
    let model = fit(&quick(), &ratings);
    let views: Vec<UserView<'_>> = (0..80)
        .map(|user| ratings.by_user().row(user))
        .map(|(items, values)| UserView::new(items, values))
        .collect();
    let states: Vec<_> = views.iter().map(|view| PerUser::state(&model, view).unwrap()).collect();
    for anchor in 0..6u32 {
        let near: Vec<f32> = states.iter().map(|state| state.weight_at(anchor)).collect();
        let (setting, items, rows) = model.as_in_training(&ratings, &states, anchor as usize);
        let mut trainer = Trainer::start(&setting, Covered::new(&near), items, 1);
        trainer.item_rows = rows;
        trainer.solve_users().unwrap();
        for (&user, learned) in trainer.users.members.iter().zip(trainer.user_rows.chunks_exact(K + 1)) {
            let served = states[user as usize].row_at(anchor).unwrap();
            for (learned, served) in learned.iter().zip(served) {
                assert!((learned - served).abs() < 1e-5, "user {user} at {anchor}: {learned} {served}");
            }
        }
    }
}

/// Four groups of users see the items in four ways, each of rank one: near an anchor one factor is enough, and nowhere else.
#[test]
fn what_is_of_low_rank_near_every_point_is_learned_with_few_factors() {
    let (n_users, n_items, groups) = (240, 60, 4);
    let mut random = Random::new(12);
    let ways: Vec<f64> = (0..groups * n_items).map(|_| 2.0 * random.normal()).collect();
    let (mut train, mut test) = (Vec::new(), Vec::new());
    for user in 0..n_users {
        let strength = 1.0 + 0.4 * random.normal();
        for item in 0..n_items {
            if random.chance(0.5) {
                let value = strength * ways[user % groups * n_items + item] + 0.3 * random.normal();
                let rating = (user as u32, item as u32, value.clamp(-8.0, 8.0) as f32);
                if random.chance(0.8) { train.push(rating) } else { test.push(rating) }
            }
        }
    }
    let ratings = interactions(n_users, n_items, &train);
    let views: Vec<UserView<'_>> = (0..n_users)
        .map(|user| ratings.by_user().row(user))
        .map(|(items, values)| UserView::new(items, values))
        .collect();
    let pairs: Vec<(u32, ItemId)> = test.iter().map(|&(user, item, _)| (user, ItemId(item))).collect();
    let rmse = |config: &LlormaConfig| {
        let predicted = predict(&fit(config, &ratings), &views, &pairs);
        let squares: f64 = predicted.iter().zip(&test).map(|(p, (_, _, r))| f64::from(p - r).powi(2)).sum();
        (squares / test.len() as f64).sqrt()
    };
    // Distances need to tell the groups apart; the local models have one factor, and items are all near.
    let local = LlormaConfig {
        anchors: 20,
        factors: 1,
        global_factors: 6,
        global_weight: 0.0,
        regularization: 0.3,
        user_bandwidth: 0.7,
        item_bandwidth: 100.0,
        ..LlormaConfig::default()
    };
    let everywhere = LlormaConfig { user_bandwidth: 100.0, ..local };
    let (local, everywhere) = (rmse(&local), rmse(&everywhere));
    assert!(local < 0.5 * everywhere, "{local} with a kernel, {everywhere} without");
}

#[test]
fn the_mean_direction_is_of_the_nearest() {
    // Twenty-two directions on a quarter of a circle: of the first, the nearest twenty are the first twenty.
    let directions: Vec<f32> = (0..22)
        .flat_map(|at| {
            let angle = at as f32 / 21.0 * std::f32::consts::FRAC_PI_2;
            [angle.cos(), angle.sin()]
        })
        .collect();
    let centre = anchors::centre(&directions[..2], &directions);
    let angle = 9.5f32 / 21.0 * std::f32::consts::FRAC_PI_2;
    assert!((centre[0] - angle.cos()).abs() < 1e-6 && (centre[1] - angle.sin()).abs() < 1e-6, "{centre:?}");
}
