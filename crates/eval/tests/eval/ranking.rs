//! Ranked lists, computed by hand.

use std::collections::BTreeMap;

use foldin_core::{Dataset, Feedback, ItemId, UserId};
use foldin_eval::{
    Clock, EvalError, EvalOptions, EvalReport, GivenSplit, ModelRequest, NewUserMode, Protocol, evaluate,
    html_page, text_table,
};

use crate::toys::{ByHeart, History, ItemMean, dataset, generated, request};

fn near(got: f64, expected: f64) {
    assert!((got - expected).abs() < 1e-12, "{got} is not {expected}");
}

/// Item means of the training part are 5, 4, 3, 2, 1 for items 0 to 4, and nobody has item 5; so everybody is shown 0, 1, 2, 3, 4
/// but for what they have, item 5 in the middle at the mean of all.
fn by_hand(test: &[(u32, u32, f32)], change: impl FnOnce(&mut EvalOptions)) -> Result<EvalReport, EvalError> {
    let train: Vec<(u32, u32, f32)> = (0..5).map(|item| (3, item, 5.0 - item as f32)).collect();
    let train = [train, vec![(0, 0, 5.0), (1, 2, 3.0)]].concat();
    let data = dataset(5, 6, &[train.as_slice(), test].concat());
    let train = dataset(5, 6, &train).interactions;
    let test = test.iter().map(|&(user, item, value)| (UserId(user), ItemId(item), value)).collect();
    let given = vec![GivenSplit { name: "hand".into(), train, test }];
    let mut options =
        EvalOptions { protocol: Protocol::TopN, given, cutoffs: vec![2, 10], ..EvalOptions::default() };
    change(&mut options);
    evaluate(&data, &[request::<ItemMean>()], &options, &())
}

fn means(report: &EvalReport) -> BTreeMap<String, f64> {
    report.models[0].metrics.iter().map(|(name, summary)| (name.to_owned(), summary.mean)).collect()
}

#[test]
fn lists_of_known_users() {
    // User 0 has item 0 and is shown 1, 5 first: one of two targets is there, first. User 1 has item 2 and is shown 0, 1: both.
    // User 2 has nothing and is shown what is popular, as they would be served: 0 and 2, which two had: none.
    let test = [(0, 1, 1.0), (0, 4, 5.0), (1, 0, 1.0), (1, 1, 2.0), (2, 3, 4.0)];
    let report = by_hand(&test, |_| ()).unwrap();
    let means = means(&report);
    let ideal = 1.0 + 1.0 / 3f64.log2();
    near(means["precision@2"], (0.5 + 1.0 + 0.0) / 3.0);
    near(means["recall@2"], (0.5 + 1.0 + 0.0) / 3.0);
    near(means["f1@2"], (0.5 + 1.0 + 0.0) / 3.0);
    near(means["ndcg@2"], (1.0 / ideal + 1.0 + 0.0) / 3.0);
    near(means["mrr@2"], 2.0 / 3.0);
    near(means["map@2"], (0.5 + 1.0 + 0.0) / 3.0);
    near(means["hit@2"], 2.0 / 3.0);
    // Items 0, 1, 2, 5 of 6 are in lists: 2, 2, 1 and 1 times; sorted 0, 0, 1, 1, 2, 2.
    near(means["coverage@2"], 4.0 / 6.0);
    near(means["gini@2"], (-1.0 + 1.0 + 3.0 * 2.0 + 5.0 * 2.0) / (6.0 * 6.0));
    // 3 users have anything in training; items 0 and 2 were had by 2 of them, item 1 by 1, item 5 by none, which counts as 1.
    let [two, one] = [1.5f64.log2(), 3f64.log2()];
    near(means["novelty@2"], (one + (two + one) / 2.0 + two) / 3.0);
    // Ten places are more than there are items: empty ones are misses.
    near(means["precision@10"], (0.2 + 0.2 + 0.1) / 3.0);
    near(means["recall@10"], 1.0);
    let main = report.models[0].metrics.get("ndcg@10").unwrap();
    assert_eq!((report.main_metric.as_str(), main.ci95), ("ndcg@10", None));
    assert!(main.ci95_users.is_some(), "one fold has no interval, three users have one");
    assert_eq!((report.test_users, report.test_ratings), (vec![3], vec![5]));
    assert!(report.notes.is_empty());
}

#[test]
fn what_nobody_had_is_left_out_and_counted() {
    let test = [(0, 1, 1.0), (0, 5, 5.0), (2, 5, 5.0)];
    let report = by_hand(&test, |_| ()).unwrap();
    near(means(&report)["recall@2"], 1.0);
    assert_eq!((report.test_users.as_slice(), report.test_ratings.as_slice()), (&[1][..], &[1][..]));
    assert!(report.notes[0].contains("2 test ratings of items that nobody has"), "{:?}", report.notes);
    let nothing = by_hand(&[(2, 5, 5.0)], |_| ());
    assert_eq!(nothing.clone().unwrap_err(), EvalError::EmptyFold { fold: "hand".into(), left_out: 1 });
    assert!(nothing.unwrap_err().to_string().contains("nobody has in the training part"));
    assert_eq!(by_hand(&[], |_| ()).unwrap_err(), EvalError::EmptyFold { fold: "hand".into(), left_out: 0 });
}

#[test]
fn low_ratings_are_no_targets_and_still_not_listed() {
    let test = [(0, 1, 1.0), (0, 4, 5.0), (1, 0, 2.0)];
    let report = by_hand(&test, |options| options.liked_from = Some(4.0)).unwrap();
    assert_eq!((report.test_users.as_slice(), report.test_ratings.as_slice()), (&[1][..], &[1][..]));
    near(means(&report)["recall@2"], 0.0);
    // Item 0, which user 0 has, is not in the list, or there would be two before item 4 more.
    near(means(&report)["mrr@10"], 0.2);
}

#[test]
fn who_has_everything_gets_an_empty_list() {
    let report = by_hand(&[(3, 5, 5.0), (0, 1, 5.0)], |_| ()).unwrap();
    // Item 5 was nobody's, so that user 3 is not tested at all.
    assert_eq!(report.test_users, [1]);
}

#[test]
fn unusable_cutoffs_and_thresholds_are_refused() {
    let test = [(0, 1, 1.0)];
    for cutoffs in [vec![], vec![5, 0]] {
        assert_eq!(by_hand(&test, |options| options.cutoffs = cutoffs).unwrap_err(), EvalError::NoPlaces);
    }
    let beyond = by_hand(&test, |options| options.liked_from = Some(7.0)).unwrap_err();
    assert!(beyond.to_string().contains("the scale is 1 to 5"), "{beyond}");
    let clicks = clicks(&generated(12));
    let options = EvalOptions { protocol: Protocol::TopN, liked_from: Some(4.0), ..EvalOptions::default() };
    let refused = evaluate(&clicks, &[request::<ItemMean>()], &options, &()).unwrap_err();
    assert!(refused.to_string().contains("without a scale"), "{refused}");
}

fn clicks(data: &Dataset) -> Dataset {
    let interactions = data.interactions.as_implicit();
    assert_eq!(interactions.feedback(), Feedback::Implicit);
    Dataset { interactions, ..data.clone() }
}

#[test]
fn clicks_need_no_scale() {
    let options = EvalOptions { protocol: Protocol::TopN, folds: 2, ..EvalOptions::default() };
    // The toy does not care; a real model of ratings would refuse the data with its own words.
    let report = evaluate(&clicks(&generated(12)), &[request::<ItemMean>()], &options, &()).unwrap();
    assert_eq!(report.folds.len(), 2);
}

#[test]
fn new_users_are_never_shown_what_they_could_give() {
    let data = generated(30);
    let options =
        EvalOptions { protocol: Protocol::TopNNewUsers, folds: 3, seed: 3, ..EvalOptions::default() };
    let report = evaluate(&data, &[request::<ItemMean>(), request::<ByHeart>()], &options, &()).unwrap();
    assert_eq!(report.main_metric, "ndcg@20/all");
    let means = means(&report);
    for column in ["0", "1", "3", "5", "10", "20", "all"] {
        // 20 items, 8 of which could be given: the 2 targets are among the 12 that are listed.
        near(means[&format!("recall@20/{column}")], 1.0);
        near(means[&format!("precision@20/{column}")], 0.1);
    }
    assert!(report.models[1].cannot.is_some(), "a model of training users alone cannot");
}

#[test]
fn a_page_says_who_leads_among_new_users_and_how_long_a_list_takes() {
    let now = std::sync::Mutex::new(0.0);
    let clock = Clock::new(move || {
        let mut now = now.lock().unwrap();
        *now += 0.25;
        *now
    });
    let options = EvalOptions {
        protocol: Protocol::TopNNewUsers,
        folds: 3,
        seed: 3,
        cutoffs: vec![2],
        clock,
        ..EvalOptions::default()
    };
    let requests = [
        request::<ItemMean>(),
        request::<History>().labelled("other"),
        request::<ItemMean>().meeting(NewUserMode::RetrainEach).labelled("again"),
        // What a model is with other settings is no other model.
        request::<ItemMean>().labelled("same"),
    ];
    let report = evaluate(&generated(30), &requests, &options, &()).unwrap();
    for (model, timed) in report.models.iter().zip([true, true, false, true]) {
        let given: Vec<&str> = model.seconds_per_list.iter().map(|(given, _)| given).collect();
        let all = ["0", "1", "3", "5", "10", "20", "all"];
        assert_eq!(given, if timed { &all[..] } else { &[] }, "{}", model.label);
        assert!(model.seconds_per_list.iter().all(|(_, seconds)| seconds == &[0.25, 0.25, 0.25]));
        // Fitted again for each number of ratings, it has a figure for each.
        assert!(all.iter().all(|given| model.metrics.get(&format!("ndcg@2/{given}")).is_some()));
    }
    // The sentence follows from the figures.
    let text = text_table(&report);
    let sentence = text.lines().find(|line| line.contains("toy-item-mean ") && line.ends_with('.')).unwrap();
    let of = |model: usize, given: &str| {
        report.models[model].metrics.get(&format!("ndcg@2/{given}")).unwrap().mean
    };
    for given in ["0", "1", "3", "5", "10", "20", "all"] {
        let ahead = of(0, given) >= of(1, given);
        let behind = format!("with {given} given, where other has {:.4} more", of(1, given) - of(0, given));
        assert_eq!(sentence.contains(&behind), !ahead, "{given}: {sentence}");
    }
    let page = html_page(&report).unwrap();
    let markdown = foldin_eval::markdown::render(&report, None, "foldin");
    for shown in [&text, &page, &markdown] {
        assert!(shown.contains("best other") && shown.contains("0.25 s"), "{shown}");
        assert!(shown.contains(sentence));
    }
    assert!(page.contains("again (dashed)</li>"));
}

#[test]
fn several_fits_are_averaged() {
    let data = generated(30);
    let options = EvalOptions { protocol: Protocol::TopN, folds: 2, ..EvalOptions::default() };
    let requests: Vec<ModelRequest> =
        vec![request::<ItemMean>(), request::<ItemMean>().labelled("thrice").fitted(3)];
    let report = evaluate(&data, &requests, &options, &()).unwrap();
    let [once, thrice] =
        [0, 1].map(|model: usize| report.models[model].metrics.get("ndcg@20").unwrap().clone());
    // Without chance in it, a model says the same each time, up to the rounding of a mean of three.
    once.folds.iter().zip(&thrice.folds).for_each(|(once, thrice)| near(*once, *thrice));
    assert_eq!(once.sd_fits, None);
    near(thrice.sd_fits.unwrap(), 0.0);
    near(report.models[1].paired.as_ref().unwrap().test.mean_difference, 0.0);
}
