//! Store and model together: what is written is in the next answer, versions come and go, and training judges before it promotes.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use foldin_core::{CancelFlag, Dataset, FitError, RawFeatures};
use foldin_engine::engine::{Engine, EngineOptions, Who};
use foldin_engine::store::{Event, MemoryStore, RedbStore, Store, StoreOptions};
use foldin_engine::{
    Action, Answer, EngineError, Filter, Source, TrainError, TrainOptions, VersionError, Versions, Wish,
    train,
};
use foldin_models::folder::{SaveOptions, SavedContext, save};
use foldin_models::item_vectors::{ItemVectorsModel, Member, Way};
use serde_json::json;

mod common;
use common::{data, events, record, serving, write_model};

fn engine(model: &str, store: Box<dyn Store>) -> Engine {
    Engine::new(store, serving(model, &data()), EngineOptions::default()).unwrap()
}

fn user(key: &str) -> Who<'_> {
    Who { user: Some(key), ..Who::default() }
}

fn keys(engine: &Engine, who: &Who<'_>, n: usize) -> Vec<String> {
    let answer = engine.recommend(who, &Wish { n, ..Wish::default() }).unwrap();
    answer.items.into_iter().map(|item| item.item).collect()
}

#[test]
fn what_is_written_is_in_the_next_answer() {
    let place = tempfile::tempdir().unwrap();
    let file = RedbStore::open(&place.path().join("store"), StoreOptions::default()).unwrap();
    for store in [Box::new(MemoryStore::new()) as Box<dyn Store>, Box::new(file)] {
        let engine = engine("lfg-bayes", store);
        assert_eq!(engine.recommend(&user("ada"), &Wish::default()).unwrap().source, Source::Popular);
        let mut before = Vec::new();
        for step in 0..5 {
            let list = keys(&engine, &user("ada"), 10);
            assert_ne!(list, before, "step {step}");
            let scale = engine.live().serving().feedback().scale().unwrap();
            let value = if step % 2 == 0 { scale.max } else { scale.min };
            let event = Event::new("ada", &list[0], "rating", step).with_value(value);
            engine.append(&[event]).unwrap();
            let answer = engine.recommend(&user("ada"), &Wish::default()).unwrap();
            assert_eq!((answer.source, answer.used), (Source::Generated, step as usize + 1));
            assert!(!answer.items.iter().any(|item| item.item == list[0]), "seen items are left out");
            before = list;
        }
        engine.append(&[Event::new("ada", "an item of tomorrow", "rating", 9).with_value(0.0)]).unwrap();
        assert_eq!(engine.recommend(&user("ada"), &Wish::default()).unwrap().unknown, 1);
        assert_eq!(engine.forget("ada").unwrap().events, 6);
        assert_eq!(engine.recommend(&user("ada"), &Wish::default()).unwrap().source, Source::Popular);
    }
}

/// Somebody in the store and somebody with the same history in the request get the same list; what if? lies on top.
#[test]
fn a_history_in_the_request_is_worth_the_same() {
    let engine = engine("lfg-bayes", Box::new(MemoryStore::new()));
    let all = keys(&engine, &Who::default(), 40);
    let scale = engine.live().serving().feedback().scale().unwrap();
    let rated = [(&all[1], scale.max), (&all[7], scale.min), (&all[3], scale.max)];
    let action = |&(item, value): &(&'static str, f32)| Action { item, kind: "rating", value: Some(value) };
    let rated: Vec<(&'static str, f32)> =
        rated.iter().map(|&(item, value)| (&*String::leak(item.clone()), value)).collect();
    let events: Vec<Event> =
        rated.iter().map(|&(item, value)| Event::new("ada", item, "rating", 0).with_value(value)).collect();
    engine.append(&events[..2]).unwrap();
    let given = |n: usize| Who { actions: rated[..n].iter().map(action).collect(), ..Who::default() };
    assert_eq!(keys(&engine, &user("ada"), 20), keys(&engine, &given(2), 20));
    let what_if = Who { user: Some("ada"), actions: vec![action(&rated[2])], ..Who::default() };
    assert_eq!(keys(&engine, &what_if, 20), keys(&engine, &given(3), 20));
    assert_eq!(keys(&engine, &user("ada"), 20), keys(&engine, &given(2), 20), "nothing was written");

    let batch = [(given(3), Wish::default()), (user("ada"), Wish::default())];
    let answers = engine.recommend_batch(&batch).unwrap();
    for ((who, wish), answer) in batch.iter().zip(answers) {
        assert_eq!(answer, engine.recommend(who, wish).unwrap());
    }
    let predicted = engine.predict(&given(3), &all[10..12]).unwrap();
    assert!(predicted.iter().all(|one| scale.contains(one.predicted) && one.deviation.unwrap() > 0.0));
    let influences = engine.explain(&given(3), &all[10], 2).unwrap();
    assert_eq!(influences.len(), 2);
    assert_eq!(engine.ask_next(&given(3), 4).unwrap().len(), 4);
}

#[test]
fn side_information_of_the_store_is_used() {
    let engine = engine("lfg-bayes", Box::new(MemoryStore::new()));
    let job = |name: &str| serde_json::json!({"job": name}).as_object().unwrap().clone();
    engine.store().put_user("ada", &job("job 0")).unwrap();
    engine.store().put_user("bob", &job("job 3")).unwrap();
    let (ada, bob) = (keys(&engine, &user("ada"), 10), keys(&engine, &user("bob"), 10));
    assert_ne!(ada, bob);
    let features: RawFeatures = serde_json::from_value(serde_json::json!({"job": "job 3"})).unwrap();
    let anonymous = Who { features, ..Who::default() };
    assert_eq!(keys(&engine, &anonymous, 10), bob);
}

#[test]
fn bad_events_are_refused_and_nothing_is_written() {
    let engine = engine("lfg-bayes", Box::new(MemoryStore::new()));
    let good = Event::new("ada", "item 1", "rating", 0).with_value(0.0);
    for (bad, expected) in [
        (Event::new("ada", "item 1", "sneeze", 0), "`sneeze` is no kind"),
        (Event::new("ada", "item 1", "rating", 0), "needs a value"),
        (Event::new("ada", "item 1", "rating", 0).with_value(1e9), "outside the model's scale"),
        (Event::new("", "item 1", "view", 0), "user"),
    ] {
        let error = engine.append(&[good.clone(), bad]).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(engine.store().counts().unwrap().events, 0);
}

/// While writers write and models are swapped, every answer is whole, and every writer reads its own writes.
#[test]
fn writers_read_their_own_writes_while_models_are_swapped() {
    let place = tempfile::tempdir().unwrap();
    let file = RedbStore::open(&place.path().join("store"), StoreOptions::default()).unwrap();
    let engine = engine("lfg-bayes", Box::new(file));
    let all = keys(&engine, &Who::default(), 40);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|writer| {
                let (engine, all) = (&engine, &all);
                scope.spawn(move || {
                    let name = format!("writer {writer}");
                    for step in 0..20usize {
                        let item = &all[(writer * 3 + step) % all.len()];
                        let event = Event::new(&name, item, "rating", step as i64).with_value(0.0);
                        engine.append(&[event]).unwrap();
                        let wish = Wish { n: 40, ..Wish::default() };
                        let answer = engine.recommend(&user(&name), &wish).unwrap();
                        assert_eq!(answer.used, step + 1);
                        assert!(!answer.items.iter().any(|shown| &shown.item == item));
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            let data = data();
            let mut model = ["bias-svd", "lfg-bayes"].iter().cycle();
            while !done.load(Ordering::SeqCst) {
                engine.swap(serving(model.next().unwrap(), &data)).unwrap();
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn records_change_what_is_shown_and_outlive_a_swap() {
    let engine = engine("lfg-bayes", Box::new(MemoryStore::new()));
    let top = keys(&engine, &Who::default(), 3);
    let mut hidden = record(&top[0]);
    hidden.hidden = true;
    let mut named = record(&top[1]);
    named.title = Some("A name for it".into());
    named.categories = vec!["Special".into()];
    engine.put_items(&[hidden, named, record("an item of tomorrow")]).unwrap();
    for _ in 0..2 {
        assert_eq!(keys(&engine, &Who::default(), 2), top[1..3]);
        assert_eq!(engine.item(&top[1]).unwrap().title, "A name for it");
        assert!(engine.item("an item of tomorrow").is_some() && engine.item("nothing").is_none());
        let filter = Filter { categories: vec!["Special".into()], ..Filter::default() };
        let near = engine.similar_items(&top[2], 5, &filter).unwrap();
        assert_eq!(near.iter().map(|near| near.key.as_str()).collect::<Vec<_>>(), [top[1].as_str()]);
        engine.swap(serving("lfg-bayes", &data())).unwrap();
    }
    assert!(engine.delete_item(&top[0]).unwrap() && !engine.delete_item(&top[0]).unwrap());
    assert_eq!(keys(&engine, &Who::default(), 2), top[..2]);
}

#[test]
fn users_of_the_same_taste_are_near() {
    let data = data();
    let engine = engine("lfg-bayes", Box::new(MemoryStore::new()));
    engine.store().import(&mut events(&data, "rating").into_iter()).unwrap();
    let groups = 4;
    let mut same = 0;
    for number in 0..8u32 {
        let key = data.users.key(number).unwrap();
        let near = engine.similar_users(&user(key), 5).unwrap();
        assert!(near.len() == 5 && near.iter().all(|near| near.key != key));
        assert!(near.windows(2).all(|pair| pair[0].similarity >= pair[1].similarity));
        let group_of = |key: &str| data.users.get(key).unwrap() % groups;
        same += near.iter().filter(|near| group_of(&near.key) == number % groups).count();
    }
    assert!(same >= 30, "{same} of 40 neighbours are of the same group");
    let error = self::engine("item-knn", Box::new(MemoryStore::new())).similar_users(&user("ada"), 3);
    assert!(matches!(error, Err(EngineError::Unsupported { .. })), "{error:?}");
}

fn trained(model: &str, kind: &str) -> (Engine, Versions, tempfile::TempDir) {
    let data = data();
    let place = tempfile::tempdir().unwrap();
    // The model that serves was fitted on a part of the users.
    let some: Vec<u32> = (0..12).collect();
    let mut part = data.clone();
    part.interactions = part.interactions.select_users(&some);
    part.user_features = part.user_features.select_rows(&some);
    part.users = foldin_core::Dictionary::from_keys(data.users.keys().take(12)).unwrap();
    write_model(model, &part, &place.path().join("model"));
    let versions = Versions::open(&place.path().join("versions")).unwrap();
    let name = versions.adopt(&place.path().join("model")).unwrap();
    versions.promote(&name).unwrap();
    let engine =
        Engine::new(Box::new(MemoryStore::new()), versions.load(&name).unwrap(), EngineOptions::default())
            .unwrap();
    engine.store().import(&mut events(&data, kind).into_iter()).unwrap();
    (engine, versions, place)
}

/// A large catalogue is looked at in part once its clusters are made, by lists without filters, and says so.
#[test]
fn a_part_of_a_large_catalogue_is_said_to_be_one() {
    let options = EngineOptions { approximate_from: 40, approximate_share: 0.6, ..EngineOptions::default() };
    let serving = serving("lfg-bayes", &data());
    let n_items = serving.n_items();
    let engine = Engine::new(Box::new(MemoryStore::new()), serving, options).unwrap();
    engine.append(&[Event::new("ada", "item 1", "rating", 0).with_value(10.0)]).unwrap();
    let exact = engine.recommend(&user("ada"), &Wish::default()).unwrap();
    assert!(!exact.approximate && n_items >= 40);

    let live = engine.live();
    assert!(engine.is_to_be_clustered(&live));
    live.serving().cluster();
    assert!(!engine.is_to_be_clustered(&live));
    let near = engine.recommend(&user("ada"), &Wish::default()).unwrap();
    assert!(near.approximate && near.items.len() == exact.items.len(), "{near:?}");
    let both = near.items.iter().filter(|near| exact.items.iter().any(|exact| exact.item == near.item));
    assert!(both.count() >= 5, "{near:?} {exact:?}");
    let filter = Filter { categories: vec!["no such".to_owned()], ..Filter::default() };
    let filtered = engine.recommend(&user("ada"), &Wish { filter, ..Wish::default() }).unwrap();
    assert!(!filtered.approximate && filtered.items.is_empty());
    let long = engine.recommend(&user("ada"), &Wish { n: 200, ..Wish::default() }).unwrap();
    assert!(long.approximate && long.items.len() == n_items - 1, "each once: {long:?}");
    let keys = |answer: &Answer| answer.items.iter().map(|shown| shown.item.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&long)[..10], keys(&near), "a longer list begins with the shorter one");
    assert_eq!(keys(&long).into_iter().collect::<BTreeSet<_>>().len(), n_items - 1);
}

/// Does something when the last fit of a training run begins.
struct AtTheLastFit<F: Fn() + Sync>(F);

impl<F: Fn() + Sync> foldin_core::Progress for AtTheLastFit<F> {
    fn stage(&self, name: &str) {
        if name == "fitting on all events" {
            (self.0)();
        }
    }
}

/// What an operator does while a version is trained holds.
#[test]
fn who_promotes_or_cancels_meanwhile_has_the_last_word() {
    let (engine, versions, place) = trained("lfg-bayes", "rating");
    let options = TrainOptions { tolerance: 0.9, ..TrainOptions::default() };
    write_model("bias-svd", &data(), &place.path().join("other"));
    let other = versions.adopt(&place.path().join("other")).unwrap();
    let promotes = AtTheLastFit(|| versions.put_into_service(&engine, &other).unwrap());
    let report = train(&engine, &versions, &options, &promotes, &CancelFlag::default()).unwrap();
    assert!(!report.promoted && report.verdict.contains("meanwhile"), "{report:?}");
    assert_eq!(engine.live().serving().version(), other);
    assert!(report.version.is_some(), "it can be promoted by hand");

    let before = versions.names().unwrap();
    let cancel = CancelFlag::default();
    let cancels = AtTheLastFit(|| cancel.cancel());
    let options = TrainOptions { model: Some("item-mean".to_owned()), ..options };
    let error = train(&engine, &versions, &options, &cancels, &cancel).unwrap_err();
    assert!(matches!(error, TrainError::Fit(FitError::Cancelled { .. })), "{error:?}");
    assert_eq!(versions.names().unwrap(), before);
}

#[test]
fn old_versions_go_but_for_those_that_are_needed() {
    let (engine, versions, _place) = trained("item-mean", "rating");
    let options = TrainOptions { tolerance: 0.9, ..TrainOptions::default() };
    for _ in 0..4 {
        assert!(train(&engine, &versions, &options, &(), &CancelFlag::default()).unwrap().promoted);
    }
    assert_eq!(versions.names().unwrap().len(), 5);
    assert_eq!(versions.roll_back(&engine).unwrap(), "000004");
    assert_eq!(versions.prune(1).unwrap(), ["000002"], "000004 serves, 000003 served before");
    // The first was brought, not trained.
    assert_eq!(versions.names().unwrap(), ["000001", "000003", "000004", "000005"]);
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<(), VersionError> {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    Ok(())
}

#[test]
fn a_better_model_is_promoted_and_can_be_rolled_back() {
    for (model, kind, metric) in [("lfg-bayes", "rating", "rmse"), ("ease", "purchase", "ndcg@20")] {
        let (engine, versions, _place) = trained(model, kind);
        engine.append(&[Event::new("ada", "an item of tomorrow", kind, 0).with_value(0.0)]).unwrap();
        // So few clicks judge loosely.
        let options = TrainOptions { tolerance: 0.2, ..TrainOptions::default() };
        let report = train(&engine, &versions, &options, &(), &CancelFlag::default()).unwrap();
        assert_eq!((report.metric.as_str(), report.promoted), (metric, true), "{report:?}");
        assert_eq!(report.version.as_deref(), Some("000002"));
        assert_eq!(engine.live().serving().version(), "000002");
        assert_eq!(versions.serving().unwrap().as_deref(), Some("000002"));
        assert!(report.drift.scores > 0.0 && report.drift.top_10 < 1.0, "{report:?}");
        assert!(engine.live().serving().item("an item of tomorrow").is_ok(), "new items are known now");
        let listed = versions.list().unwrap();
        assert_eq!(listed.len(), 2, "{model}");
        assert!(listed[1].serving && listed[1].report.is_some() && listed[0].report.is_none());

        // It came from elsewhere: nobody knows what it has seen. The new one says so, and with new events it is judged itself.
        assert!(report.stood_in, "{report:?}");
        let late: Vec<Event> = (0..60)
            .map(|n| {
                let user = format!("user {}", n % 30);
                Event::new(&user, &format!("item {}", (n * 7) % 40), kind, 100_000_000 + n).with_value(0.0)
            })
            .collect();
        let options = TrainOptions { tolerance: 0.99, promote: false, ..options };
        // What is sent again, and what says nothing to the model, is nothing new, whenever it was written.
        let mut again: Vec<Event> = events(&data(), kind).into_iter().take(200).collect();
        if kind == "rating" {
            again.extend(late.iter().map(|event| Event {
                kind: "view".into(),
                value: None,
                ..event.clone()
            }));
        }
        engine.append(&again).unwrap();
        let report = train(&engine, &versions, &options, &(), &CancelFlag::default()).unwrap();
        assert!(report.stood_in, "{report:?}");
        // One clock that is years ahead does not hide what comes after.
        engine.append(&[Event::new("ada", "item 3", kind, 9_000_000_000_000).with_value(0.0)]).unwrap();
        engine.append(&late).unwrap();
        let again = train(&engine, &versions, &options, &(), &CancelFlag::default()).unwrap();
        assert!(!again.stood_in && again.against == "000002" && again.held_out <= 61, "{again:?}");

        let curve = listed[1].metrics["learning_curve"].as_array().unwrap();
        assert_eq!(curve.is_empty(), model == "ease", "{curve:?}");

        assert_eq!(versions.roll_back(&engine).unwrap(), "000001");
        assert_eq!(engine.live().serving().version(), "000001");
        assert_eq!(versions.serving().unwrap().as_deref(), Some("000001"));
        assert!(matches!(versions.roll_back(&engine), Err(VersionError::NothingBefore)));

        // A name is never given twice.
        let newest = versions.names().unwrap().pop().unwrap();
        versions.remove(&newest).unwrap();
        let adopted = versions.add(|folder| copy(&versions.folder("000001")?, folder), None).unwrap();
        assert!(adopted > newest, "{adopted} after {newest}");
    }
}

/// The candidate here is a poor model by its settings: it is judged, and what serves goes on.
#[test]
fn a_worse_model_is_not_promoted() {
    let (engine, versions, place) = trained("bias-svd", "rating");
    let data = data();
    write_model("bias-svd", &data, &place.path().join("good"));
    let good = versions.adopt(&place.path().join("good")).unwrap();
    versions.put_into_service(&engine, &good).unwrap();
    let poor = serde_json::json!({"factors": 1, "epochs": 1}).as_object().unwrap().clone();
    let options = TrainOptions { settings: poor, ..TrainOptions::default() };
    let report = train(&engine, &versions, &options, &(), &CancelFlag::default()).unwrap();
    assert!(!report.promoted && report.version.is_none() && report.candidate > report.serving, "{report:?}");
    assert_eq!(versions.names().unwrap().len(), 2);
    assert_eq!(engine.live().serving().version(), good);
    let lenient = TrainOptions { tolerance: 0.99, promote: false, ..options };
    let report = train(&engine, &versions, &lenient, &(), &CancelFlag::default()).unwrap();
    assert!(!report.promoted && report.version.is_some(), "{report:?}");
    assert_eq!(engine.live().serving().version(), good);
}

#[test]
fn training_that_cannot_be_says_why() {
    let (engine, versions, _place) = trained("lfg-bayes", "rating");
    let fails =
        |options: TrainOptions| train(&engine, &versions, &options, &(), &CancelFlag::default()).unwrap_err();
    let model = |name: &str| TrainOptions { model: Some(name.into()), ..TrainOptions::default() };
    assert!(matches!(fails(model("no such model")), TrainError::Model(_)));
    assert!(matches!(fails(model("i-autorec")), TrainError::CannotServe { .. }));
    assert!(matches!(fails(model("popularity")), TrainError::OtherFeedback { .. }));
    let held_out = TrainOptions { held_out: 0.9, ..TrainOptions::default() };
    assert!(matches!(fails(held_out), TrainError::Option { field: "held_out", .. }));
    let many = TrainOptions { least_held_out: 1_000_000, ..TrainOptions::default() };
    assert!(matches!(fails(many), TrainError::TooFew { .. }));
    let cancel = CancelFlag::default();
    cancel.cancel();
    let error = train(&engine, &versions, &TrainOptions::default(), &(), &cancel);
    assert!(matches!(error, Err(TrainError::Fit(FitError::Cancelled { .. }))), "{error:?}");
    assert_eq!(versions.names().unwrap(), ["000001"], "nothing was added");
}

/// Vectors of the items of [`data`], served by two ways that nothing but their description tells apart.
#[test]
fn models_that_differ_in_what_they_say_of_themselves_are_different_versions() {
    let (engine, versions, place) = trained("implicit-als", "click");
    let n = data().items.len();
    let vectors: Vec<f32> = (0..n * 2).map(|at| ((at * 7) % 13) as f32 - 6.0).collect();
    let adopted = |way: Way| {
        let member = Member::new("made", way, 2, vectors.clone()).unwrap();
        let model = ItemVectorsModel::new("made", vec![member]).unwrap();
        let folder = place.path().join("made");
        let clicks = Dataset { interactions: data().interactions.as_implicit(), ..data() };
        let context = SavedContext::of(&clicks, json!({}), json!({}));
        save(&folder, &model, &context, SaveOptions { overwrite: true }).unwrap();
        versions.adopt(&folder).unwrap()
    };
    let mean = adopted(Way::Mean);
    assert_eq!(adopted(Way::Mean), mean, "the same model is not kept twice");
    let largest = adopted(Way::Largest);
    assert_ne!(largest, mean);

    // What was made elsewhere is judged as it is, and another model may take over; it cannot be trained itself.
    versions.put_into_service(&engine, &mean).unwrap();
    let options = TrainOptions { tolerance: 0.99, model: Some("ease".to_owned()), ..TrainOptions::default() };
    let report = train(&engine, &versions, &options, &(), &CancelFlag::default()).unwrap();
    assert!(report.promoted && !report.stood_in && report.against == mean, "{report:?}");
    versions.put_into_service(&engine, &largest).unwrap();
    let itself = TrainOptions { model: None, ..options };
    let error = train(&engine, &versions, &itself, &(), &CancelFlag::default()).unwrap_err();
    assert!(error.to_string().contains("foldin vision train"), "{error}");
}

#[test]
fn damaged_versions_are_refused_and_others_stay() {
    let (engine, versions, place) = trained("lfg-bayes", "rating");
    let same = versions.adopt(&place.path().join("model")).unwrap();
    assert_eq!(same, "000001", "the same model is not kept twice");
    write_model("bias-svd", &data(), &place.path().join("other"));
    let other = versions.adopt(&place.path().join("other")).unwrap();
    let weights = versions.folder(&other).unwrap().join("weights.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &bytes[..bytes.len() / 2]).unwrap();
    let error = versions.load(&other).unwrap_err();
    assert!(error.to_string().contains("weights.safetensors"), "{error}");
    assert!(matches!(versions.load("000009"), Err(VersionError::Unknown { .. })));
    assert!(matches!(versions.remove("000001"), Err(VersionError::Serves { .. })));
    versions.remove(&other).unwrap();
    assert_eq!(versions.names().unwrap(), ["000001"]);
    assert_eq!(keys(&engine, &Who::default(), 3).len(), 3);
    std::fs::write(place.path().join("versions/current.json"), "{").unwrap();
    assert!(matches!(versions.serving(), Err(VersionError::Format { .. })));
}
