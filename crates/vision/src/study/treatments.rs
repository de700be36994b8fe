//! `dvbpr-table3`: `dvbpr` with one picture of each item, with all of the vendor's, and with those of buyers as well.
//!
//! The study this repeats finds .650, .685 and .688 on its part of Amazon Fashion, each on other users and items, as items without pictures
//! differ. Here users and items are the same in all three treatments wherever the data allow it, so differences are taken user by user.
//!
//! Where a set has one picture an item, the treatments are the same and only the first is run. Beside it stands the same with the picture
//! moved and mirrored anew each time it is seen: what further pictures are worth that tell nothing new.

use std::path::PathBuf;
use std::time::Duration;

use burn::tensor::Device;
use foldin_core::FitContext;
use serde_json::json;

use super::baselines::Clock;
use super::{Study, Watcher};
use crate::checkpoints::Checkpoints;
use crate::data::{LeaveOneOut, PrepareOptions, Purchases, Treatment, VisualDataset};
use crate::error::VisionError;
use crate::evaluate::{Part, Slices, evaluate};
use crate::planted::{PlantedOptions, planted};
use crate::recommend::dvbpr::{self, DvbprConfig};

/// How the study is run.
#[derive(Clone, Debug)]
pub struct TreatmentsOptions {
    /// Seeds of the splits.
    pub seeds: Vec<u64>,
    /// Settings of `dvbpr`.
    pub dvbpr: DvbprConfig,
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
    for treatment in wanted {
        let prepare = PrepareOptions { treatment, ..PrepareOptions::new(options.dvbpr.px) };
        let data = watcher.prepare(purchases.clone(), &prepare, &options.cache)?;
        study.data.push(format!(
            "{}, {}: {} users, {} items, {} pictures",
            data.name,
            treatment.name(),
            data.users.len(),
            data.items.len(),
            data.images.len()
        ));
        study.data.extend(data.report.lines());
        arms(&mut study, &data, treatment, options, clock, watcher)?;
    }
    compare(&mut study);
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
    for treatment in Treatment::ALL {
        let set = PlantedOptions { treatment, px: options.dvbpr.px, ..*set };
        let data = planted(&set, 1)?.data;
        study.data.push(format!(
            "{}: {} users, {} items, {} pictures",
            data.name,
            data.users.len(),
            data.items.len(),
            data.images.len()
        ));
        arms(&mut study, &data, treatment, options, clock, watcher)?;
    }
    compare(&mut study);
    Ok(study)
}

/// A treatment, and the first one with augmented pictures as well.
fn arms(
    study: &mut Study,
    data: &VisualDataset,
    treatment: Treatment,
    options: &TreatmentsOptions,
    clock: Clock<'_>,
    watcher: Watcher<'_>,
) -> Result<(), VisionError> {
    run(study, data, treatment.name(), &options.dvbpr, options, clock, watcher)?;
    if treatment == Treatment::OneVendor && !options.dvbpr.augment {
        let augmented = DvbprConfig { augment: true, ..options.dvbpr.clone() };
        run(study, data, AUGMENTED, &augmented, options, clock, watcher)?;
    }
    Ok(())
}

/// The first treatment with pictures moved and mirrored.
const AUGMENTED: &str = "one-vendor-augmented";

fn new_study(seeds: &[u64]) -> Study {
    Study {
        title: "Several pictures of an item: AUC of dvbpr, leave one out".to_owned(),
        about: vec![
            "Mean over splits ± half the 95 % interval over users of a split. One review becomes one positive for each picture of its \
             item; an item is scored by the mean of its pictures."
                .to_owned(),
        ],
        seeds: seeds.to_vec(),
        ..Study::default()
    }
}

fn run(
    study: &mut Study,
    data: &VisualDataset,
    arm: &str,
    config: &DvbprConfig,
    options: &TreatmentsOptions,
    clock: Clock<'_>,
    watcher: Watcher<'_>,
) -> Result<(), VisionError> {
    for &seed in &options.seeds {
        let split = LeaveOneOut::new(data, seed)?;
        watcher.say(&format!("{arm}, split {seed}"));
        let start = clock();
        let run = json!({"config": config, "seed": seed, "items": data.items.checksum()});
        let name = format!("{}-{arm}-{seed}", data.name.replace(|sign: char| !sign.is_alphanumeric(), "-"));
        let store = options
            .checkpoints
            .as_ref()
            .map(|folder| Checkpoints::new(folder.join(name), run, Duration::ZERO));
        let ctx = watcher.context(seed);
        let ctx = FitContext { checkpoints: store.as_ref().map(|store| store as _), ..ctx };
        let fitted = dvbpr::fit(config, data, &split, None, &options.device, &ctx)?;
        let users = evaluate(&fitted.model, &split, Part::Test, None)?;
        let epochs = fitted.epochs.iter().filter_map(|epoch| epoch.auc).collect();
        let seconds = (clock() - start).as_secs_f64();
        study.add(arm, users, &Slices::new(data, &split), epochs, seconds);
    }
    Ok(())
}

/// Differences user by user, where the treatments left the same users.
fn compare(study: &mut Study) {
    let counts: Vec<usize> =
        study.models.iter().filter_map(|model| model.users.first().map(Vec::len)).collect();
    if counts.windows(2).all(|pair| pair[0] == pair[1]) {
        for (model, than) in [
            (AUGMENTED, "one-vendor"),
            ("all-vendor", "one-vendor"),
            ("vendor-and-customer", "one-vendor"),
            ("vendor-and-customer", "all-vendor"),
        ] {
            study.compare(model, than);
        }
    } else {
        study
            .findings
            .push("The treatments left different users, so they cannot be compared user by user.".to_owned());
    }
}
