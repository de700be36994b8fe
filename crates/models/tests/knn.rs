//! `item-knn` and `user-knn` on data small enough to work out by hand.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use foldin_core::registry::Settings;
use foldin_core::{
    Csr, Features, Feedback, FitContext, Interactions, ItemId, RatingScale, Recommender, TrainingData,
    UserId, UserView,
};
use foldin_models::find;
use serde_json::json;

/// Four users and three items; the mean is 0, and biases are damped to nothing, so that what they leave over is the rating.
///
/// | | 0 | 1 | 2 |
/// | - | - | - | - |
/// | 0 | 2 | 4 | |
/// | 1 | −2 | −4 | 0 |
/// | 2 | 1 | | −1 |
/// | 3 | | | |
fn fit(model: &str, settings: serde_json::Value) -> Box<dyn Recommender> {
    let cells =
        [(0, 0, 2.0), (0, 1, 4.0), (1, 0, -2.0), (1, 1, -4.0), (1, 2, 0.0), (2, 0, 1.0), (2, 2, -1.0)];
    let feedback = Feedback::Explicit(RatingScale { min: -10.0, max: 10.0, step: None });
    let ratings = Interactions::new(Csr::from_triples(4, 3, &cells).unwrap(), None, feedback).unwrap();
    let (user_features, item_features) = (Features::none(4), Features::none(3));
    let data =
        TrainingData { interactions: &ratings, user_features: &user_features, item_features: &item_features };
    let mut all = json!({
        "user_damping": 1e9, "item_damping": 1e9, "shrinkage": 2.0, "min_overlap": 1, "exponent": 1.0, "damping": 0.0,
    });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    let settings: Settings = all.as_object().unwrap().clone();
    find(model).unwrap().fit(&settings, &data, &FitContext::new(1)).unwrap()
}

#[track_caller]
fn predicts(model: &dyn Recommender, user: UserView<'_>, item: u32, want: f32) {
    let mut out = [0.0];
    model.predict(&[user], &[(0, ItemId(item))], &mut out).unwrap();
    // A bias is at most a few times 10⁻⁹.
    assert!((out[0] - want).abs() < 1e-6, "{} and {want}", out[0]);
}

#[test]
fn similar_items_are_averaged() {
    // Items 0 and 1 have users 0 and 1 in common, who agree: 2 / (2 + 2) of 1. Item 2 is like none.
    let visitor = UserView::new(&[0], &[3.0]);
    predicts(&*fit("item-knn", json!({})), visitor, 1, 3.0);
    predicts(&*fit("item-knn", json!({})), visitor, 2, 0.0);
    // 0.5 · 3 / (0.5 + 0.5), and with squares 0.25 · 3 / (0.25 + 0.5).
    predicts(&*fit("item-knn", json!({"damping": 0.5})), visitor, 1, 1.5);
    predicts(&*fit("item-knn", json!({"damping": 0.5, "exponent": 2.0})), visitor, 1, 1.0);
    predicts(&*fit("item-knn", json!({"min_overlap": 3})), visitor, 1, 0.0);
    // As they are, 0 where not rated: item 0 has √9, item 2 √1, and −1 between them; item 1 has √32, and 16 with item 0.
    let cosine = fit("item-knn", json!({"similarity": "cosine", "damping": 1.0, "shrinkage": 0.0}));
    let similarity = 16.0 / (3.0 * 32f32.sqrt());
    predicts(&*cosine, visitor, 1, 3.0 * similarity / (1.0 + similarity));
    // About their means over common users, items 0 and 1 still agree, and 0 and 2 (−2, 0 and 1, −1) do not.
    predicts(&*fit("item-knn", json!({"similarity": "pearson", "damping": 0.5})), visitor, 1, 1.5);
    // Less each user's mean, (−1, 1) and (0, −2): −1 / (√1 · √5) is negative, so they are no neighbours.
    predicts(&*fit("item-knn", json!({"similarity": "adjusted_cosine"})), visitor, 1, 0.0);
}

#[test]
fn similar_users_are_averaged() {
    // User 0 agrees on two items, 2 / 4; user 2 on one, 1 / 3; user 1 disagrees.
    let visitor = UserView::new(&[1, 0], &[6.0, 3.0]);
    predicts(&*fit("user-knn", json!({"damping": 0.5})), visitor, 2, -0.4);
    // (2 / 2 + 1 / 3) / (1 / 2 + 1 / 3), and the nearest alone.
    predicts(&*fit("user-knn", json!({})), visitor, 0, 1.6);
    predicts(&*fit("user-knn", json!({"neighbours": 1})), visitor, 0, 2.0);
    predicts(&*fit("user-knn", json!({"neighbours": 1, "kept": 1})), visitor, 2, 0.0);
    predicts(&*fit("user-knn", json!({"min_overlap": 2})), visitor, 2, 0.0);
}

#[test]
fn nobody_is_their_own_neighbour() {
    let model = fit("user-knn", json!({}));
    let stranger = UserView::new(&[0, 1], &[2.0, 4.0]);
    let known = UserView { trained_as: Some(UserId(0)), ..stranger };
    // A stranger who rated the same is very much like user 0; user 0 has user 2 alone.
    predicts(&*model, stranger, 0, 1.6);
    predicts(&*model, known, 0, 1.0);
    // A number without a user is nobody.
    predicts(&*model, UserView { trained_as: Some(UserId(99)), ..stranger }, 0, 1.6);
}

#[test]
fn fewer_kept_than_used_is_refused() {
    let entry = find("item-knn").unwrap();
    let settings = |value: serde_json::Value| value.as_object().unwrap().clone();
    assert!(entry.resolve(&settings(json!({"neighbours": 9, "kept": 9}))).is_ok());
    let error = entry.resolve(&settings(json!({"neighbours": 10, "kept": 9}))).unwrap_err();
    assert!(error.to_string().contains("no less than `neighbours`"), "{error}");
}

/// Of users who took items 0 and 1, all three, item 2, and none.
fn fit_clicks(model: &str, settings: &serde_json::Value) -> Box<dyn Recommender> {
    let cells = [(0, 0, 1.0), (0, 1, 1.0), (1, 0, 1.0), (1, 1, 1.0), (1, 2, 1.0), (2, 2, 1.0)];
    let csr = Csr::from_triples(4, 3, &cells).unwrap();
    let clicks = Interactions::new(csr, None, Feedback::Implicit).unwrap();
    let (users, items) = (Features::none(4), Features::none(3));
    let data = TrainingData { interactions: &clicks, user_features: &users, item_features: &items };
    let mut all = json!({
        "click_common_exponent": 0.0, "click_own_exponent": 0.5, "click_other_exponent": 0.5, "click_power": 1.0,
    });
    all.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
    find(model).unwrap().fit(all.as_object().unwrap(), &data, &FitContext::new(1)).unwrap()
}

#[track_caller]
fn scores(model: &dyn Recommender, user: UserView<'_>, want: [f64; 3]) {
    let mut out = [0.0; 3];
    model.score(&[user], &mut out).unwrap();
    assert!(
        out.iter().zip(want).all(|(&got, want)| (f64::from(got) - want).abs() < 1e-6),
        "{out:?} {want:?}"
    );
}

#[test]
fn similar_items_of_clicks_are_added_up() {
    let with = |settings: serde_json::Value| fit_clicks("item-knn", &settings);
    let (first, second) = (UserView::new(&[0], &[1.0]), UserView::new(&[1], &[1.0]));
    // Every item has two users: 2 of them in common with item 1, and 1 with item 2.
    scores(&*with(json!({})), first, [0.0, 1.0, 0.5]);
    scores(&*with(json!({})), UserView::new(&[1, 0], &[1.0, 1.0]), [1.0, 1.0, 1.0]);
    scores(&*with(json!({"click_shrinkage": 2.0, "click_power": 2.0})), first, [0.0, 0.25, 0.0625]);
    // Item 2 is as near to 0 as to 1, and keeps the first of them.
    scores(&*with(json!({"click_neighbours": 1})), first, [0.0, 1.0, 0.5]);
    scores(&*with(json!({"click_neighbours": 1})), second, [1.0, 0.0, 0.0]);
    // Users of two and three items.
    let common = 1.0 / 2.0 + 1.0 / 3.0;
    scores(&*with(json!({"click_common_exponent": 1.0})), first, [0.0, common / 2.0, 1.0 / 6.0]);
    let jaccard =
        json!({"click_similarity": "tversky", "click_own_exponent": 1.0, "click_other_exponent": 1.0});
    scores(&*with(jaccard), first, [0.0, 1.0, 1.0 / 3.0]);
}

#[test]
fn similar_users_of_clicks_are_added_up() {
    let with = |settings: serde_json::Value| fit_clicks("user-knn", &settings);
    let stranger = UserView::new(&[1, 0], &[1.0, 1.0]);
    let other = 2.0 / 6f64.sqrt();
    scores(&*with(json!({})), stranger, [1.0 + other, 1.0 + other, other]);
    scores(&*with(json!({"click_power": 2.0})), stranger, [1.0 + 2.0 / 3.0, 1.0 + 2.0 / 3.0, 2.0 / 3.0]);
    scores(&*with(json!({"click_neighbours": 1})), stranger, [1.0, 1.0, 0.0]);
    // Nobody is their own neighbour.
    let known = UserView { trained_as: Some(UserId(0)), ..stranger };
    scores(&*with(json!({})), known, [other, other, other]);
}
