//! The whole chain on purchases whose reason is known: `dvbpr` finds what users like, `lsgan` makes items, and designs move towards what
//! somebody likes, by the judgement of a recommender that was trained apart.

use burn::tensor::Device;
use foldin_core::{CancelFlag, FitContext, FitError};
use foldin_models::item_vectors::Way;
use foldin_vision::classifier::{Classifier, ClassifierConfig};
use foldin_vision::data::LeaveOneOut;
use foldin_vision::design::{Catalogue, DesignConfig, Group, Person, Studio, Taste, Wish, evaluate};
use foldin_vision::error::VisionError;
use foldin_vision::images::Labels;
use foldin_vision::lsgan::{Lsgan, LsganConfig};
use foldin_vision::planted::{COLOURS, Planted, PlantedOptions, SHAPES, planted};
use foldin_vision::recommend::dvbpr::{self, Dvbpr, DvbprConfig};
use foldin_vision::recommend::folder::{self, Recommender};
use foldin_vision::recommend::linear::LinearModel;

const PX: usize = 16;

/// A recommender of its own users, items and seed, with Φ of its items.
fn scorer(seed: u64) -> (Planted, Dvbpr, LinearModel) {
    let set = planted(&PlantedOptions { users: 120, items: 480, px: PX, ..PlantedOptions::default() }, seed)
        .unwrap();
    let split = LeaveOneOut::new(&set.data, seed).unwrap();
    let config =
        DvbprConfig { px: PX, factors: 16, epochs: 12, patience: 12, batch: 64, ..DvbprConfig::small() };
    let fitted =
        dvbpr::fit(&config, &set.data, &split, None, &Device::flex(), &FitContext::new(seed)).unwrap();
    (set, fitted.dvbpr, fitted.model)
}

/// The taste of somebody new, who bought twelve items of a colour in every shape, or of a shape in every colour.
fn taste((set, _, model): &(Planted, Dvbpr, LinearModel), label: &str, liked: &str) -> Taste {
    let labels = set.data.labels(label).unwrap();
    let bought: Vec<u32> =
        labels.members(labels.class(liked).unwrap()).into_iter().step_by(3).take(12).collect();
    Taste { theta: model.fold_in(&bought, 0.1).unwrap() }
}

/// Two people for each that may be liked of a label, who want different categories.
fn persons(scorers: [&(Planted, Dvbpr, LinearModel); 2], label: &str, liked: &[&str]) -> Vec<Person> {
    let both = liked.iter().flat_map(|liked| (0..2).map(move |class| (liked, class)));
    both.map(|(liked, class)| {
        let [taste, second] = scorers.map(|scorer| taste(scorer, label, liked));
        Person { name: format!("{liked}-{class}"), taste, second, class }
    })
    .collect()
}

/// A generator of a label's classes.
fn generator(set: &Planted, label: &str) -> Lsgan {
    let config = LsganConfig {
        px: PX,
        noise: 8,
        generator_channels: 32,
        discriminator_channels: 16,
        batch: 32,
        epochs: 60,
        learning_rate: 1e-3,
        averaging: 0.99,
        ..LsganConfig::default()
    };
    let (pictures, labels) = (&set.data.images, set.data.labels(label).unwrap());
    Lsgan::fit(&config, pictures, labels, &FitContext::new(5), &Device::flex(), &mut ()).unwrap()
}

/// Users who like a shape, in a category that is a colour.
#[test]
fn designs_follow_a_planted_shape() {
    let (first, second) = (scorer(3), scorer(4));
    let catalogue = Catalogue::new(
        first.0.data.images.clone(),
        first.0.data.labels("colour").unwrap().clone(),
        &Device::flex(),
    )
    .unwrap();
    let persons = persons([&first, &second], "shape", &SHAPES);
    let settings = DesignConfig { steps: 30, ..DesignConfig::default() };
    let model = generator(&first.0, "colour");
    let found = evaluate(
        &model,
        &first.1,
        &second.1,
        [None, None],
        &catalogue,
        &persons,
        &settings,
        3,
        &CancelFlag::default(),
        |_| (),
    )
    .unwrap();
    let group = |name: &str| found.groups.iter().find(|(other, _)| other == name).unwrap().1;
    let (chance, designed) = (group("random generated"), group("designed"));
    assert!(designed.percentile.mean > chance.percentile.mean + 0.1, "{designed:?} {chance:?}");
    assert!(designed.second_percentile.mean > chance.second_percentile.mean + 0.1, "{designed:?} {chance:?}");
}

#[test]
fn designs_follow_a_planted_taste_by_a_judge_that_was_trained_apart() {
    let device = Device::flex();
    let (first, second) = (scorer(3), scorer(4));
    let data = &first.0.data;
    // One picture an item here, so labels of items are those of pictures.
    let shapes = data.labels("shape").unwrap().clone();
    let generator = generator(&first.0, "shape");

    let colours = ["red", "green", "blue", "black"];
    assert!(colours.iter().all(|colour| COLOURS.iter().any(|(known, _)| known == colour)));
    let persons = persons([&first, &second], "colour", &colours);
    let catalogue = Catalogue::new(data.images.clone(), shapes, &device).unwrap();
    let settings = DesignConfig { steps: 30, ..DesignConfig::default() };
    let cancel = CancelFlag::default();
    let (a, b) = (&first.1, &second.1);
    let classifier = |set: &Planted, label: &str, seed| {
        let (pictures, labels) = (&set.data.images, set.data.labels(label).unwrap());
        let config = ClassifierConfig { epochs: 4, ..ClassifierConfig::default() };
        Classifier::fit(&config, pictures, labels, &FitContext::new(seed), &device).unwrap()
    };
    let (guard, judge) = (classifier(&first.0, "shape", 6), classifier(&second.0, "shape", 7));
    let both = [Some(&guard), Some(&judge)];
    let found =
        evaluate(&generator, a, b, both, &catalogue, &persons, &settings, 3, &cancel, |_| ()).unwrap();
    let group = |name: &str| found.groups.iter().find(|(other, _)| other == name).unwrap().1;
    let (chance, designed) = (group("random generated"), group("designed"));
    // The scorer that was climbed, and one that shares neither users, items nor seed with it.
    assert!(designed.percentile.mean > chance.percentile.mean + 0.2, "{designed:?} {chance:?}");
    assert!(designed.second_percentile.mean > chance.second_percentile.mean + 0.2, "{designed:?} {chance:?}");
    // Preferences are those above the best real item, by which that item has none, and further real ones less.
    let best = group("best real");
    assert!([best.preference, best.second].iter().all(|mean| mean.mean.abs() < 1e-9), "{best:?}");
    let (few, random) = (group("best few real"), group("random real"));
    assert!(few.preference.mean <= 0.0 && random.preference.mean < few.preference.mean, "{few:?} {random:?}");
    // The second scorer's own favourite is another item.
    assert!(few.second.mean > random.second.mean, "{few:?} {random:?}");
    assert!(designed.preference.mean > chance.preference.mean, "{designed:?} {chance:?}");
    // The first design of each is one of those that the group has.
    let one = DesignConfig { keep: 1, ..settings.clone() };
    let alone =
        evaluate(&generator, a, b, both, &catalogue, &persons[..2], &one, 3, &cancel, |_| ()).unwrap();
    let of_one = alone.groups.iter().find(|(other, _)| other == "designed").unwrap().1;
    for (group, gain) in [(of_one.preference, alone.gain), (of_one.second, alone.second_gain)] {
        assert!((group.mean - gain.mean).abs() < 1e-9, "{group:?} {gain:?}");
    }
    // A classifier keeps designs in their category, as one that was trained apart sees it.
    let agreement = |group: Group| group.agreement.unwrap().mean;
    let astray = agreement(group("designed without the category"));
    assert!(agreement(designed) >= astray, "{} {astray}", agreement(designed));

    // The same from keys and names, as a server would ask: a sheet and JSON, progress told, and it can be stopped.
    let (set, network, model) = &first;
    let member = folder::member(dvbpr::NAME, Way::FoldIn { lambda: 0.1 }, model).unwrap();
    let recommender = |network| {
        Recommender::new(dvbpr::NAME, set.data.items.clone(), vec![member.clone()], network).unwrap()
    };
    assert!(Studio::new(generator.clone(), recommender(None), catalogue.clone()).is_err());
    // Items of none of the generator's categories are told at once, not after a design.
    let hats = Labels::new("kind", vec!["hat".to_owned()], vec![Some(0); data.images.len()]).unwrap();
    let hats = Catalogue::new(data.images.clone(), hats, &device).unwrap();
    let refused = Studio::new(generator.clone(), recommender(Some(network.clone())), hats).unwrap_err();
    assert!(refused.to_string().contains("hat") && refused.to_string().contains("cross"), "{refused}");
    let studio = Studio::new(generator, recommender(Some(network.clone())), catalogue).unwrap();
    let wish = Wish {
        user: "ann".to_owned(),
        bought: vec!["item-0".to_owned(), "item-6".to_owned()],
        category: "cross".to_owned(),
        tailor: Some("item-0/0".to_owned()),
        config: DesignConfig { inversion_steps: 5, ..settings },
        seed: 4,
    };
    let mut steps = 0;
    let result = studio.design(&wish, &cancel, |_| steps += 1).unwrap();
    assert_eq!(steps, wish.config.steps + 1);
    assert!(result.designs[0].in_category.is_empty());
    let guarded = studio.clone().with_classifier(guard).unwrap();
    let in_category = |category| {
        let wish = Wish { config: DesignConfig { category, ..wish.config.clone() }, ..wish.clone() };
        let designs = guarded.design(&wish, &cancel, |_| ()).unwrap().designs;
        assert!(designs.iter().all(|design| design.in_category.len() == steps));
        designs.iter().map(|design| design.in_category[steps - 1]).sum::<f64>() / designs.len() as f64
    };
    let (free, kept) = (in_category(0.0), in_category(10.0));
    assert!(kept > free || kept > 0.99, "{kept} {free}");
    assert!(studio.clone().with_classifier(classifier(&first.0, "colour", 8)).is_err());
    assert!(result.designs[0].preference.last() > result.designs[0].preference.first());
    // Somebody else's recommender is asked by the same keys.
    let other_member = folder::member(dvbpr::NAME, Way::FoldIn { lambda: 0.1 }, &second.2).unwrap();
    let other = |network| {
        Recommender::new(dvbpr::NAME, second.0.data.items.clone(), vec![other_member.clone()], network)
            .unwrap()
    };
    let judged = studio.judge(&other(Some(second.1.clone())), &wish.bought, &result).unwrap();
    assert_eq!(
        (judged.designs.len(), judged.retrieved.len()),
        (result.designs.len(), result.retrieved.len())
    );
    assert!(judged.designs.iter().chain(&judged.retrieved).all(|one| (0.0..=1.0).contains(&one.percentile)));
    assert!(studio.judge(&other(None), &wish.bought, &result).is_err());
    // A judge goes by what it knows of the purchases.
    let judge = other(Some(second.1.clone()));
    let more = [wish.bought.clone(), vec!["hat".to_owned()]].concat();
    let with_more = studio.judge(&judge, &more, &result).unwrap();
    assert_eq!((judged.purchases, &with_more), (2, &judged));
    let unknown = studio.judge(&judge, &more[2..], &result).unwrap_err().to_string();
    assert!(unknown.contains("knows nothing"), "{unknown}");
    // The one it was made with says again what it said; bytes are pictures rounded.
    let same = studio.judge(studio.recommender(), &wish.bought, &result).unwrap();
    for (judgement, designed) in same.designs.iter().zip(&result.designs) {
        let said = *designed.preference.last().unwrap();
        assert!((judgement.preference - said).abs() < 0.02 * said.abs().max(1.0), "{judgement:?} {said}");
    }
    for (judgement, item) in same.retrieved.iter().zip(&result.retrieved) {
        assert!((judgement.preference - item.preference).abs() < 1e-4, "{judgement:?} {item:?}");
    }
    let place = tempfile::tempdir().unwrap();
    result.save(place.path()).unwrap();
    for file in ["design.png", "design-1.png", "design.json"] {
        assert!(place.path().join(file).is_file(), "{file}");
    }
    for (wrong, named) in [
        (Wish { bought: Vec::new(), ..wish.clone() }, "nothing"),
        (Wish { bought: vec!["hat".to_owned()], ..wish.clone() }, "hat"),
        (Wish { category: "hats".to_owned(), ..wish.clone() }, "hats"),
        (Wish { tailor: Some("hat.jpg".to_owned()), ..wish.clone() }, "hat.jpg"),
    ] {
        let refused = studio.design(&wrong, &cancel, |_| ()).unwrap_err().to_string();
        assert!(refused.contains(named), "{refused}");
    }
    let stopped = studio
        .design(&wish, &cancel, |step| {
            if step.number == 2 {
                cancel.cancel();
            }
        })
        .unwrap_err();
    assert!(matches!(stopped, VisionError::Fit(FitError::Cancelled { epochs: 2 })), "{stopped}");
}
