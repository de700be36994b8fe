//! `dvbpr-table3`: `dvbpr` with one picture of each item, with all of the vendor's, and with those of buyers as well.
//!
//! The study this repeats finds .650, .685 and .688 on its part of Amazon Fashion, each on other users and items, as items without pictures
//! differ. Here users and items are the same in all three treatments, those with a readable picture of the vendor, so that differences are
//! taken user by user.
//!
//! An item with several pictures is drawn as often as it has them, so that an epoch of all pictures has several times the draws of one with a
//! picture each. Every treatment is given as many draws, those of the first in the given number of epochs: else further pictures would
//! stand for longer training.
//!
//! Where a set has one picture an item, the treatments are the same and only the first is run. Beside it stands the same with the picture
//! moved and mirrored anew each time it is seen: what further pictures are worth that tell nothing new.

use std::path::PathBuf;
use std::time::Duration;

use burn::tensor::Device;
use foldin_core::FitContext;
use serde_json::json;

use super::baselines::Clock;
use super::html::Picture;
use super::{Study, Watcher, category, described};
use crate::checkpoints::Checkpoints;
use crate::data::{LeaveOneOut, PrepareOptions, Purchases, Treatment, VisualDataset};
use crate::error::VisionError;
use crate::evaluate::{Part, Slices, evaluate};
use crate::planted::{PlantedOptions, planted};
use crate::recommend::dvbpr::{self, DvbprConfig};
use crate::sheet::{Sheet, Tile};

/// How the study is run.
#[derive(Clone, Debug)]
pub struct TreatmentsOptions {
    /// Seeds of the splits.
    pub seeds: Vec<u64>,
    /// Settings of `dvbpr`; epochs are those of the first treatment, and the others have as many draws.
    pub dvbpr: DvbprConfig,
    /// The label of items that AUC within category is taken by, the first that is known.
    pub categories: Vec<String>,
    /// Folder of decoded pictures.
    pub cache: PathBuf,
    /// Folder in which fits are kept, so that the same study goes on where it was interrupted; whoever runs it deletes it.
    pub checkpoints: Option<PathBuf>,
    /// Where networks run.
    pub device: Device,
}

/// Runs the study on real purchases.
///
/// # Errors
/// Those of reading pictures and of fits.
pub fn treatments(
    purchases: &Purchases,
    options: &TreatmentsOptions,
    clock: Clock<'_>,
    watcher: Watcher<'_>,
) -> Result<Study, VisionError> {
    let mut first = None;
    let several = |of: fn(&crate::data::ItemPictures) -> bool| purchases.pictures.iter().any(of);
    let mut wanted = vec![Treatment::OneVendor];
    wanted.extend(several(|item| item.vendor.len() > 1).then_some(Treatment::AllVendor));
    wanted.extend(several(|item| !item.customer.is_empty()).then_some(Treatment::VendorAndCustomer));
    let mut study = new_study(&options.seeds);
    if wanted.len() == 1 {
        study.findings.push(format!(
            "{} has one picture of each item: the treatments are the same, and the first was run.",
            purchases.name
        ));
    }
    let mut arms = Vec::new();
    for treatment in wanted {
        let prepare =
            PrepareOptions { treatment, needs_vendor: true, ..PrepareOptions::new(options.dvbpr.px) };
        let data = watcher.prepare(purchases.clone(), &prepare, &options.cache)?;
        let called = format!("{}, {}", data.name, treatment.name());
        study.data.extend(described(&data, &called, &options.categories));
        let options = &as_many_draws(options, &data, &mut first);
        arms.extend(run_treatment(&mut study, &data, treatment, options, clock, watcher)?);
        study.pictures = views(&data)?.into_iter().collect();
    }
    compare(&mut study, &arms);
    Ok(study)
}

/// Runs the study on planted purchases, whose items have real further views: synthetic, and said to be.
///
/// # Errors
/// Those of fits.
pub fn planted_treatments(
    set: &PlantedOptions,
    options: &TreatmentsOptions,
    clock: Clock<'_>,
    watcher: Watcher<'_>,
) -> Result<Study, VisionError> {
    let mut study = new_study(&options.seeds);
    study.title += ", planted (synthetic)";
    let (mut arms, mut first) = (Vec::new(), None);
    for treatment in Treatment::ALL {
        let set = PlantedOptions { treatment, px: options.dvbpr.px, ..*set };
        let data = planted(&set, 1)?.data;
        study.data.extend(described(&data, &data.name, &options.categories));
        let options = &as_many_draws(options, &data, &mut first);
        arms.extend(run_treatment(&mut study, &data, treatment, options, clock, watcher)?);
        study.pictures = views(&data)?.into_iter().collect();
    }
    compare(&mut study, &arms);
    Ok(study)
}

/// Items and pictures of each that are shown.
const SHOWN: (usize, usize) = (8, 8);

/// A row of pictures for each of the first items that have several; none if no item has.
fn views(data: &VisualDataset) -> Result<Option<Picture>, VisionError> {
    let (items, each) = SHOWN;
    let mut sheet = Sheet::new(data.images.px());
    let several: Vec<&Vec<u32>> =
        data.pictures.iter().filter(|pictures| pictures.len() > 1).take(items).collect();
    for pictures in &several {
        let tile = |&picture: &u32| Ok(Some(Tile::new(data.images.bytes(&[picture])?)));
        sheet.row(pictures.iter().take(each).map(tile).collect::<Result<_, VisionError>>()?)?;
    }
    if several.is_empty() {
        return Ok(None);
    }
    Ok(Some(Picture {
        heading: format!("Pictures of items: {}", data.name),
        caption: "A row for each of the first items with several pictures.".to_owned(),
        png: sheet.png()?,
    }))
}

/// The options with as many epochs as make the draws of the first treatment, whose draws of an epoch are kept in `first`.
fn as_many_draws(
    options: &TreatmentsOptions,
    data: &VisualDataset,
    first: &mut Option<usize>,
) -> TreatmentsOptions {
    let purchases = data.purchases.by_user().columns();
    let own: usize = purchases.iter().map(|&item| data.pictures[item as usize].len()).sum();
    let draws = options.dvbpr.epochs * *first.get_or_insert(own);
    let epochs = ((draws + own / 2) / own.max(1)).max(1);
    TreatmentsOptions { dvbpr: DvbprConfig { epochs, ..options.dvbpr.clone() }, ..options.clone() }
}

/// What was run, and what it was tested on.
struct Arm {
    name: &'static str,
    /// Keys of every user and of their test item, by split.
    tests: Vec<Vec<(String, String)>>,
}

/// A treatment, and the first one with augmented pictures as well.
fn run_treatment(
    study: &mut Study,
    data: &VisualDataset,
    treatment: Treatment,
    options: &TreatmentsOptions,
    clock: Clock<'_>,
    watcher: Watcher<'_>,
) -> Result<Vec<Arm>, VisionError> {
    let mut arms = vec![run(study, data, treatment.name(), &options.dvbpr, options, clock, watcher)?];
    if treatment == Treatment::OneVendor && !options.dvbpr.augment {
        let augmented = DvbprConfig { augment: true, ..options.dvbpr.clone() };
        arms.push(run(study, data, AUGMENTED, &augmented, options, clock, watcher)?);
    }
    Ok(arms)
}

/// The first treatment with pictures moved and mirrored.
const AUGMENTED: &str = "one-vendor-augmented";

fn new_study(seeds: &[u64]) -> Study {
    Study {
        title: "Several pictures of an item: AUC of dvbpr, leave one out".to_owned(),
        about: vec![
            "Mean over splits ± half the 95 % interval over users of a split. One review becomes one positive for each picture of its \
             item, and every treatment has as many draws; an item is scored by the mean of its pictures."
                .to_owned(),
        ],
        seeds: seeds.to_vec(),
        ..Study::default()
    }
}

fn run(
    study: &mut Study,
    data: &VisualDataset,
    arm: &'static str,
    config: &DvbprConfig,
    options: &TreatmentsOptions,
    clock: Clock<'_>,
    watcher: Watcher<'_>,
) -> Result<Arm, VisionError> {
    let mut tests = Vec::new();
    for &seed in &options.seeds {
        let split = LeaveOneOut::new(data, seed)?;
        watcher.say(&format!("{arm}, split {seed}"));
        let start = clock();
        let run = json!({
            "config": config, "seed": seed, "items": data.items.checksum(), "users": data.users.checksum(), "pictures": data.images.len(),
        });
        let name = format!("{}-{arm}-{seed}", data.name.replace(|sign: char| !sign.is_alphanumeric(), "-"));
        let store = options
            .checkpoints
            .as_ref()
            .map(|folder| Checkpoints::new(folder.join(name), run, Duration::ZERO));
        let ctx = watcher.context(seed);
        let ctx = FitContext { checkpoints: store.as_ref().map(|store| store as _), ..ctx };
        let fitted = dvbpr::fit(config, data, &split, None, &options.device, &ctx)?;
        let users = evaluate(&fitted.model, &split, Part::Test, category(data, &options.categories))?;
        let epochs = fitted.epochs.iter().filter_map(|epoch| epoch.auc).collect();
        let seconds = (clock() - start).as_secs_f64();
        study.add(arm, users, &Slices::new(data, &split), epochs, seconds);
        let keys = data.users.keys().zip(&split.test);
        tests.push(
            keys.map(|(user, &item)| (user.to_owned(), data.items.key(item).unwrap_or_default().to_owned()))
                .collect(),
        );
    }
    Ok(Arm { name: arm, tests })
}

/// Differences user by user, between what was tested on the same item of each user.
fn compare(study: &mut Study, arms: &[Arm]) {
    let arm = |name: &str| arms.iter().find(|arm| arm.name == name);
    for (model, than) in [
        (AUGMENTED, "one-vendor"),
        ("all-vendor", "one-vendor"),
        ("vendor-and-customer", "one-vendor"),
        ("vendor-and-customer", "all-vendor"),
    ] {
        let (Some(this), Some(other)) = (arm(model), arm(than)) else { continue };
        if this.tests == other.tests {
            study.compare(model, than);
        } else {
            study.findings.push(format!(
                "{model} and {than} were tested on other users or items, so they cannot be compared user by user."
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use foldin_core::CancelFlag;

    use super::*;
    use crate::data::purchases;
    use crate::sheet::Sheet;

    fn options(cache: &Path) -> TreatmentsOptions {
        let dvbpr =
            DvbprConfig { px: 16, factors: 4, epochs: 1, batch: 32, augment: false, ..DvbprConfig::small() };
        TreatmentsOptions {
            seeds: vec![1, 2],
            dvbpr,
            categories: vec!["kind".to_owned(), "colour".to_owned()],
            cache: cache.to_owned(),
            checkpoints: None,
            device: Device::flex(),
        }
    }

    fn names(study: &Study) -> Vec<&str> {
        study.models.iter().map(|model| model.name.as_str()).collect()
    }

    /// Runs with nobody to tell and no clock.
    fn quietly(run: impl FnOnce(Clock<'_>, Watcher<'_>) -> Result<Study, VisionError>) -> Study {
        let cancel = CancelFlag::default();
        run(&|| Duration::ZERO, Watcher { progress: &(), cancel: &cancel }).unwrap()
    }

    #[test]
    fn planted_treatments_are_compared_user_by_user() {
        let place = tempfile::tempdir().unwrap();
        let set =
            PlantedOptions { users: 10, items: 48, purchases: 5, views: (2, 1), ..PlantedOptions::default() };
        let study = |options: &TreatmentsOptions| {
            quietly(|clock, watcher| planted_treatments(&set, options, clock, watcher))
        };
        let plain = options(place.path());
        let found = study(&plain);
        assert_eq!(names(&found), ["one-vendor", AUGMENTED, "all-vendor", "vendor-and-customer"]);
        assert_eq!((found.differences.len(), found.findings.len()), (4, 0));
        for difference in &found.differences {
            assert_eq!(difference.splits.len(), 2);
            assert!(difference.splits.iter().all(|split| split.users == 10));
        }
        // Two views of the vendor and one of buyers: half and a third of the epochs have as many draws.
        let longer = TreatmentsOptions {
            seeds: vec![1],
            dvbpr: DvbprConfig { epochs: 6, patience: 6, ..plain.dvbpr.clone() },
            ..plain.clone()
        };
        let epochs: Vec<usize> = study(&longer).models.iter().map(|model| model.epochs[0].len()).collect();
        assert_eq!(epochs, [6, 6, 3, 2]);
        // Of the labels asked for only the second is there.
        assert!(found.data.iter().any(|line| line.contains("by the label colour")), "{:?}", found.data);
        assert!(found.models.iter().all(|model| model.splits.iter().all(|split| split.within.is_some())));
        // Moved pictures are another arm only where the others are not moved.
        let augmented = DvbprConfig { augment: true, ..plain.dvbpr.clone() };
        let found = study(&TreatmentsOptions { dvbpr: augmented, seeds: vec![1], ..plain });
        assert_eq!(names(&found), ["one-vendor", "all-vendor", "vendor-and-customer"]);
    }

    /// Twelve items: the first picture of i0 is broken, i1 has only a buyer's, all of the vendor's of i2 are broken.
    fn shop(folder: &Path) {
        let picture = |name: String, shade: usize| {
            let mut sheet = Sheet::new(16);
            sheet.pictures(&[(20 * shade) as u8; 3 * 16 * 16], 1).unwrap();
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            sheet.save(&path).unwrap();
        };
        for item in 0..12 {
            picture(format!("images/i{item}.png"), item);
            picture(format!("images/i{item}_2.png"), item);
            picture(format!("customer-images/i{item}.png"), item);
        }
        for broken in ["i0.png", "i2.png", "i2_2.png"] {
            std::fs::write(folder.join("images").join(broken), b"nothing").unwrap();
        }
        for missing in ["i1.png", "i1_2.png"] {
            std::fs::remove_file(folder.join("images").join(missing)).unwrap();
        }
        let mut table = String::from("user,item\n");
        for user in 0..6 {
            (0..8).for_each(|nth| table += &format!("u{user},i{}\n", (user + nth) % 12));
        }
        // With buyers' pictures somebody who bought i1 and i2 would have five items, and three without.
        (0..5).for_each(|item| table += &format!("few,i{item}\n"));
        std::fs::write(folder.join("interactions.csv"), table).unwrap();
    }

    #[test]
    fn treatments_of_a_shop_have_the_same_users_and_items() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("shop");
        std::fs::create_dir_all(&folder).unwrap();
        shop(&folder);
        let read = purchases::open(&folder).unwrap();
        let found = quietly(|clock, watcher| treatments(&read, &options(place.path()), clock, watcher));
        assert_eq!(names(&found), ["one-vendor", AUGMENTED, "all-vendor", "vendor-and-customer"]);
        assert_eq!((found.differences.len(), found.findings.len()), (4, 0), "{:?}", found.findings);
        let sizes: Vec<&String> = found.data.iter().filter(|line| line.contains(" users, ")).collect();
        assert!(
            sizes.len() == 3 && sizes.iter().all(|line| line.contains(": 6 users, 10 items, ")),
            "{sizes:?}"
        );
        // Buyers' pictures of the two items that are left out were decoded before it was known.
        let pictures: Vec<bool> = [10, 19, 31]
            .iter()
            .zip(&sizes)
            .map(|(n, line)| line.ends_with(&format!(", {n} pictures")))
            .collect();
        assert_eq!(pictures, [true; 3], "{sizes:?}");
    }

    #[test]
    fn what_was_tested_on_other_items_is_not_compared() {
        let arm = |name, item: &str| Arm { name, tests: vec![vec![("ann".to_owned(), item.to_owned())]] };
        let mut study = Study::default();
        for name in ["one-vendor", "all-vendor", "vendor-and-customer"] {
            study.add(name, vec![Default::default()], &Slices::default(), Vec::new(), 0.0);
        }
        compare(
            &mut study,
            &[arm("one-vendor", "a"), arm("all-vendor", "a"), arm("vendor-and-customer", "b")],
        );
        assert_eq!(study.differences.len(), 1);
        assert_eq!(study.findings.len(), 2);
        assert!(study.findings[0].contains("vendor-and-customer and one-vendor"), "{:?}", study.findings);
    }
}
