use foldin_core::random::Random;
use foldin_core::{
    Auto, Csr, Features, Feedback, FitContext, Interactions, ItemId, ModelFamily, Recommender, TrainingData,
    UserView, top_k,
};
use foldin_testkit::planted::{Planted, with_side_information};

use super::{LfgRank, LfgRankConfig, LfgRankModel, ShortHistories, SideInformation};

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

/// Users of six groups, who click items of their group the rather the more popular these are, the first of 40 nearly always and the last
/// hardly ever, and half as often those of other groups.
fn with_favourites(n_users: usize, seed: u64) -> Vec<Vec<u32>> {
    let mut random = Random::new(seed);
    let of_user = |user: usize| -> Vec<u32> {
        let wanted = |item: &u32| {
            let own = *item as usize / 40 == user % 6;
            let popular = 0.95 / (1.0 + 0.1 * f64::from(item % 40));
            random.chance(popular * if own { 1.0 } else { 0.5 })
        };
        let mut items: Vec<u32> = (0..N_FAVOURITES as u32).filter(wanted).collect();
        random.shuffle(&mut items);
        items
    };
    (0..n_users).map(of_user).collect()
}

const N_FAVOURITES: usize = 240;

#[test]
fn few_clicks_foretell_the_rest() {
    let rows = with_favourites(600, 1);
    let triples = (0u32..).zip(&rows).flat_map(|(user, row)| row.iter().map(move |&item| (user, item, 1.0)));
    let csr = Csr::from_triples(rows.len(), N_FAVOURITES, &triples.collect::<Vec<_>>()).unwrap();
    let clicks = Interactions::new(csr, None, Feedback::Implicit).unwrap();
    let (user_features, item_features) = (&Features::none(rows.len()), &Features::none(N_FAVOURITES));
    let data = TrainingData { interactions: &clicks, user_features, item_features };
    let fit = |short_histories| {
        // Factors alone, so that nothing else makes up for them.
        let config = LfgRankConfig {
            short_histories,
            factors: Auto::Value(8),
            ease_share: Auto::Value(0.0),
            similarity_share: Auto::Value(0.0),
            ..config(SideInformation::Off)
        };
        LfgRank::fit(&config, &data, &FitContext::new(1)).unwrap()
    };
    let (auto, off) = (fit(ShortHistories::Auto), fit(ShortHistories::Off));
    let new = with_favourites(200, 2);
    let ones = [1.0; N_FAVOURITES];
    // Of the ten best, those that new users have beside what they gave.
    let found = |model: &LfgRankModel, given: usize| -> f64 {
        let hits = new.iter().map(|row| {
            let (history, rest) = row.split_at(given.min(row.len()));
            let mut seen = history.to_vec();
            seen.sort_unstable();
            let best = top_k(&scores(model, UserView::new(history, &ones[..history.len()])), 10, &seen);
            best.iter().filter(|scored| rest.contains(&scored.item.0)).count() as f64
        });
        hits.sum::<f64>() / new.len() as f64
    };
    for given in [1, 2, 4] {
        let (auto, off) = (found(&auto, given), found(&off, given));
        assert!(auto > off + 0.15, "{given} given: {auto} and {off}");
    }
    assert!(auto.notes().iter().any(|note| note.contains("foretells")), "{:?}", auto.notes());
    // What was saved serves as what was fitted does, one user at a time as all together.
    let saved = LfgRankModel::load(auto.to_parts()).unwrap();
    let views: Vec<UserView<'_>> =
        new.iter().map(|row| UserView::new(&row[..row.len().min(3)], &ones[..row.len().min(3)])).collect();
    let mut together = vec![0.0; views.len() * N_FAVOURITES];
    saved.score(&views, &mut together).unwrap();
    for (view, together) in views.iter().zip(together.chunks_exact(N_FAVOURITES)) {
        let pairs: Vec<(u32, ItemId)> = (0..N_FAVOURITES as u32).map(|item| (0, ItemId(item))).collect();
        let mut alone = vec![0.0; N_FAVOURITES];
        auto.predict(&[*view], &pairs, &mut alone).unwrap();
        let near = |(one, other): (&f32, &f32)| (one - other).abs() < 1e-5;
        assert!(alone.iter().zip(together).all(near), "{alone:?} and {together:?}");
    }
    // Long histories are served alike, and whoever wants no ways of their own has nothing for them.
    let long: Vec<u32> = (0..32).collect();
    let long = UserView::new(&long, &ones[..32]);
    assert_eq!(scores(&auto, long), scores(&off, long));
    assert!(!off.to_parts().tensors.keys().any(|name| name.starts_with("foretold")));
}

#[test]
fn items_of_which_nothing_is_known_say_nothing() {
    let planted = planted().without_features();
    let model =
        LfgRank::fit(&config(SideInformation::Off), &planted.training_data(), &FitContext::new(1)).unwrap();
    let ones = [1.0; 4];
    let of = |history: &[u32]| scores(&model, UserView::new(history, &ones[..history.len()]));
    // Nobody clicked the last.
    assert_eq!(of(&[3, 59, 20]), of(&[3, 20]));
    assert_eq!(of(&[59]), of(&[]));
    assert!(of(&[]).iter().any(|&score| score != 0.0));
}

#[test]
fn items_that_were_placed_weigh_in_a_history_as_others_do() {
    let planted = planted();
    let model =
        LfgRank::fit(&config(SideInformation::Auto), &planted.training_data(), &FitContext::new(1)).unwrap();
    let parts = model.to_parts();
    let (damping, factors) = (&parts.tensors["history_damping"].data, &parts.tensors["item_factors_0"]);
    let k = factors.shape[1];
    let size = |item: usize| {
        damping[item] * factors.data[item * k..(item + 1) * k].iter().map(|x| x * x).sum::<f32>().sqrt()
    };
    let largest = (0..59).map(size).fold(0.0, f32::max);
    assert!(size(59) > 0.0 && size(59) < 1.5 * largest, "{} and {largest}", size(59));
}
