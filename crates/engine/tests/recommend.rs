//! Answers of real, small models: what is asked for is what comes, in the order a plain sort would give.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeMap;

use foldin_core::registry::Settings;
use foldin_core::{Csr, Dataset, FeatureValue, Feedback, FitContext, Interactions, ItemId};
use foldin_engine::ask::ask_next;
use foldin_engine::catalogue::{Condition, Range};
use foldin_engine::explain::{influences, scores_of};
use foldin_engine::recommend::recommend;
use foldin_engine::similar::similar;
use foldin_engine::store::ItemRecord;
use foldin_engine::{Action, Boost, Catalogue, EngineError, Filter, History, Kinds, Serving, Source, Wish};
use foldin_models::folder::{SaveOptions, SavedContext, save};
use foldin_testkit::planted;

mod common;
use common::{data, serving};

fn somebody(serving: &Serving, data: &Dataset) -> History {
    let (items, values) = data.interactions.by_user().row(0);
    let actions = items.iter().zip(values).map(|(&item, &value)| Action {
        item: data.items.key(item).unwrap(),
        kind: "rating",
        value: Some(value),
    });
    History::new(serving, &Kinds::default(), actions).unwrap()
}

/// Lists equal a plain sort of all scores, for generators of factors and for others, with every page.
#[test]
fn lists_are_the_best_of_all_scores() {
    let data = data();
    for model in ["lfg-bayes", "bias-svd", "item-knn", "ease", "lfg-rank"] {
        let serving = serving(model, &data);
        let catalogue = Catalogue::new(&serving);
        let history = somebody(&serving, &data);
        let all: Vec<ItemId> = (0..serving.n_items() as u32).map(ItemId).collect();
        let scores = scores_of(&serving, &[history.view()], &all).unwrap();
        let mut expected: Vec<u32> =
            (0..serving.n_items() as u32).filter(|item| !history.seen.contains(item)).collect();
        expected.sort_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]).then(a.cmp(&b)));
        let expected: Vec<&str> = expected.iter().map(|&item| serving.key(item)).collect();

        let mut got = Vec::new();
        for offset in [0, 4, 8] {
            let wish = Wish { n: 4, offset, ..Wish::default() };
            let answer = recommend(&serving, &catalogue, &history, &wish).unwrap();
            assert_eq!((answer.source, answer.used), (Source::Generated, history.items.len()), "{model}");
            got.extend(answer.items.into_iter().map(|item| item.item));
        }
        assert_eq!(got, expected[..got.len()], "{model}");
        assert_eq!(got.len(), 12.min(expected.len()), "{model}");
    }
}

#[test]
fn filters_lists_and_boosts_hold() {
    let data = data();
    let serving = serving("lfg-bayes", &data);
    let mut catalogue = Catalogue::new(&serving);
    let history = somebody(&serving, &data);
    let ask = |catalogue: &Catalogue, wish: Wish| -> Vec<String> {
        let answer = recommend(&serving, catalogue, &history, &wish).unwrap();
        answer.items.into_iter().map(|item| item.item).collect()
    };
    let everything = ask(&catalogue, Wish { n: 1000, ..Wish::default() });

    let categories = catalogue.categories();
    assert!(categories.len() > 1, "planted items have genres: {categories:?}");
    let genre = (*categories.keys().next().unwrap()).to_owned();
    let of_genre = |item: &String| catalogue.details(serving.item(item).unwrap()).categories.contains(&genre);
    let filter = Filter { categories: vec![genre.clone()], ..Filter::default() };
    let wanted: Vec<String> = everything.iter().filter(|item| of_genre(item)).cloned().collect();
    assert_eq!(ask(&catalogue, Wish { n: 1000, filter: filter.clone(), ..Wish::default() }), wanted);
    let without = Filter { without_categories: vec![genre.clone()], ..Filter::default() };
    let others: Vec<String> = everything.iter().filter(|item| !of_genre(item)).cloned().collect();
    assert_eq!(ask(&catalogue, Wish { n: 1000, filter: without, ..Wish::default() }), others);

    let year = |item: &String| match catalogue.details(serving.item(item).unwrap()).attributes.get("year") {
        Some(FeatureValue::Number(year)) => *year,
        other => panic!("planted items have a year: {other:?}"),
    };
    let middle = year(&everything[everything.len() / 2]);
    let recent = Condition::Between(Range { min: Some(middle), max: None });
    let filter_by_year =
        Filter { attributes: BTreeMap::from([("year".to_owned(), recent)]), ..Filter::default() };
    let wanted: Vec<String> = everything.iter().filter(|item| year(item) >= middle).cloned().collect();
    assert_eq!(ask(&catalogue, Wish { n: 1000, filter: filter_by_year, ..Wish::default() }), wanted);

    let last = everything.last().unwrap().clone();
    let allow = Some(vec![last.clone(), everything[1].clone(), "nothing known".to_owned()]);
    assert_eq!(ask(&catalogue, Wish { allow, ..Wish::default() }), [everything[1].clone(), last.clone()]);
    let deny = vec![everything[0].clone()];
    assert_eq!(ask(&catalogue, Wish { n: 2, deny, ..Wish::default() }), everything[1..3]);

    // A boost lifts its items by what it says, and the predicted rating stays what it was.
    let boosts = vec![Boost { filter, add: 100.0 }];
    let wish = Wish { n: 1000, boosts, ..Wish::default() };
    let boosted = recommend(&serving, &catalogue, &history, &wish).unwrap();
    let plain = recommend(&serving, &catalogue, &history, &Wish { n: 1000, ..Wish::default() }).unwrap();
    let n_of_genre = boosted.items.iter().take_while(|item| of_genre(&item.item)).count();
    assert!(n_of_genre > 0 && !boosted.items[n_of_genre..].iter().any(|item| of_genre(&item.item)));
    for item in &boosted.items {
        let before = plain.items.iter().find(|other| other.item == item.item).unwrap();
        let lifted = if of_genre(&item.item) { 100.0 } else { 0.0 };
        assert!((item.score - before.score - lifted).abs() < 1e-3, "{item:?} {before:?}");
        assert!((item.predicted.unwrap() - before.predicted.unwrap()).abs() < 1e-5);
    }

    // What the shop hides is not shown, until it is shown again.
    let top = everything[0].clone();
    let hidden = ItemRecord { key: top.as_str().into(), hidden: true, ..ItemRecord::default() };
    catalogue.put(&serving, &hidden);
    assert_eq!(ask(&catalogue, Wish { n: 2, ..Wish::default() }), everything[1..3]);
    catalogue.remove(&serving, &top);
    assert_eq!(ask(&catalogue, Wish { n: 2, ..Wish::default() }), everything[..2]);
}

#[test]
fn the_certain_come_first_where_certainty_is_asked_for() {
    let data = data();
    let serving = serving("lfg-bayes", &data);
    let catalogue = Catalogue::new(&serving);
    let history = somebody(&serving, &data);
    let all = recommend(&serving, &catalogue, &history, &Wish { n: 1000, ..Wish::default() }).unwrap();
    let confidences: Vec<f32> = all.items.iter().map(|item| item.confidence.unwrap()).collect();
    assert!(confidences.iter().all(|confidence| (0.0..=1.0).contains(confidence)));
    let least = confidences[confidences.len() / 3];
    let wish = Wish { n: 1000, min_confidence: Some(least), ..Wish::default() };
    let some = recommend(&serving, &catalogue, &history, &wish).unwrap();
    let expected: Vec<&str> = all
        .items
        .iter()
        .filter(|item| item.confidence.unwrap() >= least)
        .map(|item| item.item.as_str())
        .collect();
    assert_eq!(some.items.iter().map(|item| item.item.as_str()).collect::<Vec<_>>(), expected);

    let popular = self::serving("bias", &data);
    let error = recommend(&popular, &Catalogue::new(&popular), &somebody(&popular, &data), &wish);
    assert!(matches!(error, Err(EngineError::Unsupported { .. })), "{error:?}");
}

#[test]
fn diverse_lists_are_less_alike_and_begin_alike() {
    let data = data();
    for model in ["lfg-bayes", "item-knn"] {
        let serving = serving(model, &data);
        let catalogue = Catalogue::new(&serving);
        let history = somebody(&serving, &data);
        let likeness = |diversity: f32| {
            let wish = Wish { n: 6, diversity, ..Wish::default() };
            let answer = recommend(&serving, &catalogue, &history, &wish).unwrap();
            let items: Vec<u32> = answer.items.iter().map(|item| serving.item(&item.item).unwrap()).collect();
            let mut sum = 0.0;
            for (at, &a) in items.iter().enumerate() {
                for &b in &items[..at] {
                    sum += foldin_engine::similar::Neighbourhood::similarity(&serving, &catalogue, a, b);
                }
            }
            (items[0], sum)
        };
        let (plain, diverse) = (likeness(0.0), likeness(0.9));
        assert_eq!(plain.0, diverse.0, "{model}: the best item stays first");
        assert!(diverse.1 < plain.1, "{model}: {plain:?} {diverse:?}");
    }
}

/// An influence is the score with an interaction less the score without it.
#[test]
fn influences_are_what_leaving_out_changes() {
    let data = data();
    for model in ["lfg-bayes", "bias-svd", "item-knn"] {
        let serving = serving(model, &data);
        let history = somebody(&serving, &data);
        let target = ItemId((0..).find(|item| !history.seen.contains(item)).unwrap());
        let list =
            influences(&serving, &Catalogue::new(&serving), &history, &[target], 100).unwrap().remove(0);
        assert_eq!(list.len(), history.items.len());
        assert!(list.windows(2).all(|pair| pair[0].effect.abs() >= pair[1].effect.abs()));
        let whole = scores_of(&serving, &[history.view()], &[target]).unwrap()[0];
        for influence in &list {
            let out = serving.item(&influence.item).unwrap();
            let (items, values): (Vec<u32>, Vec<f32>) =
                history.items.iter().zip(&history.values).filter(|(item, _)| **item != out).unzip();
            let rest = History { items, values, ..history.clone() };
            let without = scores_of(&serving, &[rest.view()], &[target]).unwrap()[0];
            assert!((influence.effect - (whole - without)).abs() < 1e-4, "{model}: {influence:?}");
        }
    }
}

/// The item that is worth most lowers the variance of predictions more than the least of those offered, when it is answered.
#[test]
fn a_good_question_tells_more() {
    let data = data();
    let serving = serving("lfg-bayes", &data);
    let catalogue = Catalogue::new(&serving);
    let nobody = History::default();
    let questions = ask_next(&serving, &catalogue, &nobody, 1000).unwrap();
    assert!(questions.len() > 5 && questions.iter().all(|question| question.tells.is_some()));
    let variance_after = |item: &str| {
        let value = serving.feedback().scale().map_or(1.0, |scale| f32::midpoint(scale.min, scale.max));
        let action = Action { item, kind: "rating", value: Some(value) };
        let history = History::new(&serving, &Kinds::default(), [action]).unwrap();
        // What the person's own uncertainty adds to the variance of each prediction, by how many took the item.
        let (generator, _) = serving.generator().unwrap();
        let factors = generator.generate_with_covariance(&[history.view()]).unwrap();
        let (items, covariance) = (generator.items(), factors.covariance.unwrap());
        let order = items.k + 1;
        let mut sum = 0.0;
        for item in 0..serving.n_items() {
            let f = |at: usize| items.row(item).get(at).copied().unwrap_or(1.0);
            for (at, x) in covariance.iter().enumerate() {
                sum += serving.loaded().counts[item] as f32 * f(at / order) * x * f(at % order);
            }
        }
        sum
    };
    let by_tells = |a: &&foldin_engine::ask::Question, b: &&foldin_engine::ask::Question| {
        a.tells.unwrap().total_cmp(&b.tells.unwrap())
    };
    let most = questions.iter().max_by(by_tells).unwrap();
    // Of an item that hardly anybody rated, the model's own posterior counts what is not known of the item as if it told something.
    let least = questions.iter().filter(|question| question.known > 0.5).min_by(by_tells).unwrap();
    assert!(variance_after(&most.item) < variance_after(&least.item), "{most:?} {least:?}");

    let asked = ask_next(&serving, &catalogue, &somebody(&serving, &data), 1000).unwrap();
    let seen = somebody(&serving, &data).seen;
    assert!(asked.iter().all(|question| !seen.contains(&serving.item(&question.item).unwrap())));
    let popular = self::serving("bias", &data);
    let asked = ask_next(&popular, &Catalogue::new(&popular), &nobody, 3).unwrap();
    assert_eq!(asked.len(), 3);
}

#[test]
fn similar_items_share_what_was_planted() {
    let data = data();
    for model in ["lfg-bayes", "item-knn", "ease"] {
        let serving = serving(model, &data);
        let near = similar(&serving, ItemId(3), 5, &[]).unwrap();
        assert_eq!(near.len(), 5, "{model}");
        assert!(near.iter().all(|scored| scored.item != ItemId(3)), "{model}");
        assert!(near.windows(2).all(|pair| pair[0].score >= pair[1].score), "{model}");
        let without = similar(&serving, ItemId(3), 5, &[near[0].item.0]).unwrap();
        assert_eq!(without[0], near[1], "{model}");
    }
}

/// A network says much the same of all items to whoever has taken anything at all: what is like an item must not be that.
#[test]
fn similar_items_differ_from_item_to_item() {
    let planted = planted::blocks(120, 40, 4, 1);
    for (model, data) in [
        ("u-autorec", planted.dataset()),
        ("mult-vae", planted.clicks().dataset()),
        ("ease", planted.clicks().dataset()),
    ] {
        let serving = serving(model, &data);
        let mut alike = 0;
        for item in 0..40 {
            let near = similar(&serving, ItemId(item), 5, &[]).unwrap();
            alike += near.iter().filter(|scored| scored.item.0 / 10 == item / 10).count();
        }
        // A quarter of 200 by chance.
        assert!(alike > 120, "{model}: {alike} of 200 neighbours are of the item's own group");
    }
}

#[test]
fn nobody_gets_what_most_people_took() {
    let data = data();
    let serving = serving("lfg-bayes", &data);
    let catalogue = Catalogue::new(&serving);
    let answer = recommend(&serving, &catalogue, &History::default(), &Wish::default()).unwrap();
    assert_eq!((answer.source, answer.used), (Source::Popular, 0));
    let counts = &serving.loaded().counts;
    assert!(answer.items.windows(2).all(|pair| pair[0].score >= pair[1].score));
    assert_eq!(answer.items[0].score as u32, *counts.iter().max().unwrap());
    assert!(answer.items[0].predicted.is_none());
}

#[test]
fn what_came_with_a_request_is_taken_strictly() {
    let data = data();
    let serving = serving("lfg-bayes", &data);
    let kinds = Kinds::default();
    let key = serving.key(0).to_owned();
    let rated = |value| Action { item: &key, kind: "rating", value };
    let strict = |actions: &[Action<'_>]| History::strict(&serving, &kinds, actions.iter().copied());
    assert!(matches!(strict(&[rated(Some(1e6))]), Err(EngineError::OutOfScale { .. })));
    assert!(matches!(strict(&[rated(None)]), Err(EngineError::ValueMissing { .. })));
    assert!(matches!(strict(&[rated(Some(1.0)), rated(Some(2.0))]), Err(EngineError::Repeated { .. })));
    let unknown = Action { item: "nothing known", kind: "rating", value: Some(1.0) };
    assert!(matches!(strict(&[unknown]), Err(EngineError::UnknownItem { .. })));
    let odd = Action { kind: "sneeze", ..rated(Some(1.0)) };
    assert!(matches!(strict(&[odd]), Err(EngineError::UnknownKind { .. })));

    // Of what is in a store, the same things are counted; the last rating of an item holds.
    let view = Action { item: &key, kind: "view", value: None };
    let actions = [rated(Some(1.0)), unknown, view, rated(Some(1e6)), rated(Some(2.0))];
    let history = History::new(&serving, &kinds, actions).unwrap();
    assert_eq!((history.items.as_slice(), history.values.as_slice()), (&[0][..], &[2.0][..]));
    assert_eq!((history.unknown, history.unused), (1, 2));
}

#[test]
fn numbers_out_of_range_are_named() {
    let data = data();
    let serving = serving("lfg-bayes", &data);
    let catalogue = Catalogue::new(&serving);
    let history = somebody(&serving, &data);
    for (wish, field) in [
        (Wish { n: 0, ..Wish::default() }, "n"),
        (Wish { n: 10, offset: usize::MAX, ..Wish::default() }, "n"),
        (Wish { diversity: 1.5, ..Wish::default() }, "diversity"),
        (Wish { diversity: f32::NAN, ..Wish::default() }, "diversity"),
        (Wish { min_confidence: Some(-0.1), ..Wish::default() }, "min_confidence"),
        (Wish { liked_from: Some(1e9), ..Wish::default() }, "liked_from"),
    ] {
        let error = recommend(&serving, &catalogue, &history, &wish).unwrap_err();
        assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
    }
    let more_than_there_are = Wish { n: 10_000, ..Wish::default() };
    let answer = recommend(&serving, &catalogue, &history, &more_than_there_are).unwrap();
    assert_eq!(answer.items.len(), serving.n_items() - history.seen.len());
}

#[test]
fn a_model_of_training_users_alone_is_refused() {
    let data = data();
    let entry = foldin_models::find("i-autorec").unwrap();
    let settings: Settings = serde_json::from_value(serde_json::json!({"epochs": 2, "hidden": [8]})).unwrap();
    let fitted = entry.fit(&settings, &data.training_data(), &FitContext::new(1)).unwrap();
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("model");
    let context = SavedContext::of(&data, serde_json::json!({}), serde_json::json!({}));
    save(&folder, &*fitted, &context, SaveOptions::default()).unwrap();
    let error = Serving::open(&folder, "v1").unwrap_err();
    assert!(matches!(error, EngineError::CannotServe { .. }), "{error}");
}

#[test]
fn titles_are_found_as_they_are_typed() {
    let data = data();
    let serving = serving("bias", &data);
    let mut catalogue = Catalogue::new(&serving);
    let put = |catalogue: &mut Catalogue, item: u32, title: &str| {
        let (key, title) = (serving.key(item).into(), Some(title.to_owned()));
        catalogue.put(&serving, &ItemRecord { key, title, ..ItemRecord::default() });
    };
    put(&mut catalogue, 4, "Matrix, The (1999)");
    put(&mut catalogue, 5, "Matrix Reloaded, The (2003)");
    put(&mut catalogue, 6, "Léon: The Professional (1994)");
    let found = |text: &str| catalogue.search(&serving, text, 10, 0).0;
    assert_eq!(found("the matr").len(), 2);
    assert_eq!(found("matrix")[0], 4);
    assert_eq!(found("matrix (2003)"), [5]);
    assert_eq!(found("leon prof"), [6]);
    assert_eq!(catalogue.search(&serving, "", 3, 1).1, serving.n_items());
    catalogue.put(&serving, &ItemRecord { key: "new one".into(), ..ItemRecord::default() });
    assert_eq!(catalogue.other("new one").unwrap().title, "new one");
}

#[test]
fn who_took_nothing_but_what_nobody_else_took_gets_what_most_people_took() {
    let mut data = planted::blocks(60, 20, 2, 1).clicks().dataset();
    let item = 19;
    let all = data.interactions.by_user();
    let triples: Vec<(u32, u32, f32)> = all.triples().filter(|(_, other, _)| *other != item).collect();
    let csr = Csr::from_triples(all.n_rows(), all.n_cols(), &triples).unwrap();
    data.interactions = Interactions::new(csr, None, Feedback::Implicit).unwrap();
    for model in ["implicit-als", "ease", "item-knn", "user-knn"] {
        let serving = serving(model, &data);
        let catalogue = Catalogue::new(&serving);
        let history =
            History { items: vec![item], values: vec![1.0], seen: vec![item], ..History::default() };
        let answer = recommend(&serving, &catalogue, &history, &Wish::default()).unwrap();
        assert_eq!(answer.source, Source::Popular, "{model}");
        let nobody = recommend(&serving, &catalogue, &History::default(), &Wish::default()).unwrap();
        assert_eq!(answer.items, nobody.items, "{model}");
    }
}
