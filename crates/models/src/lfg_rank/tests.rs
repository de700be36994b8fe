use foldin_core::{Auto, FitContext, ModelFamily, Recommender, UserView, top_k};
use foldin_testkit::planted::{Planted, with_side_information};

use super::{LfgRank, LfgRankConfig, SideInformation};

/// Groups of users who click groups of items, which side information gives away.
fn planted() -> Planted {
    with_side_information(240, 60, 3, 1).clicks()
}

fn config(side_information: SideInformation) -> LfgRankConfig {
    LfgRankConfig {
        members: 2,
        factors: Auto::Value(4),
        iterations: 6,
        side_information,
        ..LfgRankConfig::default()
    }
}

fn scores(model: &impl Recommender, user: UserView<'_>) -> Vec<f32> {
    let mut out = vec![0.0; model.n_items()];
    model.score(&[user], &mut out).unwrap();
    out
}

/// The mean share of items of the user's own group among the ten best, for new users who give so many clicks.
fn own_group(model: &impl Recommender, planted: &Planted, given: usize, known: bool) -> f64 {
    let shares = planted.new_users.iter().enumerate().map(|(at, user)| {
        // New users come after the 240 training users; groups of users are dealt in turns, of items in runs of 20.
        let group = (240 + at) % 3;
        let view = user.view(given);
        let view = if known { view } else { UserView { features: UserView::default().features, ..view } };
        let best = top_k(&scores(model, view), 10, &[]);
        best.iter().filter(|scored| scored.item.index() / 20 == group).count() as f64 / 10.0
    });
    shares.sum::<f64>() / planted.new_users.len() as f64
}

#[test]
fn features_serve_users_without_clicks() {
    let planted = planted();
    let fit = |config| LfgRank::fit(&config, &planted.training_data(), &FitContext::new(1)).unwrap();
    let (auto, off) = (fit(config(SideInformation::Auto)), fit(config(SideInformation::Off)));
    // A third is what chance gives; whoever knows the group has it nearly right.
    assert!(own_group(&off, &planted, 0, true) < 0.5);
    assert!(own_group(&auto, &planted, 0, true) > 0.9, "{}", own_group(&auto, &planted, 0, true));
    assert!(own_group(&auto, &planted, 1, true) >= own_group(&off, &planted, 1, true));
    assert!(auto.notes().iter().any(|note| note.contains("side information")), "{:?}", auto.notes());
    // Of whom nothing is known, nothing is expected.
    let nobody = UserView::default();
    assert!((own_group(&auto, &planted, 0, false) - own_group(&off, &planted, 0, false)).abs() < 0.2);
    assert!(scores(&auto, nobody).iter().all(|score| score.is_finite()));
}

#[test]
fn features_place_items_without_clicks() {
    let planted = planted();
    let fit = |config| LfgRank::fit(&config, &planted.training_data(), &FitContext::new(1)).unwrap();
    let (auto, off) = (fit(config(SideInformation::Auto)), fit(config(SideInformation::Off)));
    // Nobody clicked the last item. Its group likes it better than the others do, if the model can know its group.
    let mean_score = |model: &dyn Fn(UserView<'_>) -> Vec<f32>, own: bool| {
        let users = planted
            .new_users
            .iter()
            .enumerate()
            .filter(|(at, user)| ((240 + at) % 3 == 2) == own && !user.items.is_empty());
        let of: Vec<f32> = users.map(|(_, user)| model(user.view(usize::MAX))[59]).collect();
        of.iter().sum::<f32>() / of.len() as f32
    };
    let with = |view: UserView<'_>| scores(&auto, view);
    let without = |view: UserView<'_>| scores(&off, view);
    assert!(mean_score(&with, true) > mean_score(&with, false) + 0.5);
    assert!((mean_score(&without, true) - mean_score(&without, false)).abs() < 0.3);
}

#[test]
fn without_features_nothing_changes() {
    let (planted, bare) = (planted(), planted().without_features());
    let fit = |config, data: &Planted| {
        LfgRank::fit(&config, &data.training_data(), &FitContext::new(1)).unwrap().to_parts()
    };
    let plain = fit(config(SideInformation::Off), &bare);
    assert_eq!(fit(config(SideInformation::Auto), &bare), plain);
    assert_eq!(fit(config(SideInformation::Off), &planted), plain);
    assert_ne!(fit(config(SideInformation::Auto), &planted), plain);
}

#[test]
fn features_that_are_noise_are_left_alone() {
    let mut planted = planted();
    // Users of the groups 0, 1, 2, 0, 1, 2, … get the rows of users 0, 0, 0, 1, 1, 1, …, whose groups say nothing of theirs.
    let users: Vec<u32> = (0..240).map(|user| user / 3).collect();
    planted.user_features = planted.user_features.select_rows(&users);
    let model =
        LfgRank::fit(&config(SideInformation::Auto), &planted.training_data(), &FitContext::new(1)).unwrap();
    assert!(!model.notes().iter().any(|note| note.contains("of a user")), "{:?}", model.notes());
}
