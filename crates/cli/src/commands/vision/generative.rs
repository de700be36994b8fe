//! `foldin vision train-lsgan` and `generate`: pictures of new items.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use foldin_core::config::overlay;
use foldin_core::{FitError, Progress};
use foldin_vision::backend::device;
use foldin_vision::data::purchases;
use foldin_vision::error::VisionError;
use foldin_vision::experiments::{LsganExperiment, LsganOutcome, Pictures, Watch};
use foldin_vision::gan_metrics::KernelDistance;
use foldin_vision::gan_report::{GanReport, ReportOptions};
use foldin_vision::lsgan::{Lsgan, LsganConfig, PRESETS};
use foldin_vision::sheet::Sheet;
use serde_json::Map;

use super::{find, pages};
use crate::common::{Global, check_folder, check_writable, print, seconds_in_words, table, usage};
use crate::progress::{FitBar, cancel_on_ctrl_c};
use crate::settings::parse_pair;

const TRAIN_EXAMPLES: &str = "\
Examples:
  foldin vision train-lsgan --data fashion-products --out runs/lsgan
  foldin vision train-lsgan --data fashion-products --preset small-64 --set epochs=40 --out runs/lsgan-64
  foldin vision train-lsgan --data fashion-products --preset grown-64 --from runs/lsgan --out runs/lsgan-64
  foldin vision train-lsgan --data fashion-mnist --set smoothing=none --out runs/mnist
  foldin vision train-lsgan --data shop/pictures --out runs/own                 pictures/tops/1.jpg, pictures/shoes/2.jpg, …
The same command goes on with a training that was interrupted.";

#[derive(Debug, clap::Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(crate) struct TrainLsganArgs {
    /// Labelled pictures, by path or name: a folder or zip with a folder of pictures for each category (tops/1.jpg, shoes/2.jpg), fashion
    /// products (styles.csv and images), or a folder of IDX files
    #[arg(long, value_name = "DATA")]
    data: String,
    /// Settings to start from: authors, study, small-32, small-64, tiny-64, grown-64,
    /// authors-128
    #[arg(long, default_value = "small-32", value_name = "NAME")]
    preset: String,
    /// One setting, over those of the preset; may be given often
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder of a trained generator to begin with, --out of an earlier training: of as many pixels, or a smaller one that this one is
    /// grown on (grown-64 on small-32)
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Folder for the networks, sheets of the training, sheets of samples and of their neighbours, report.html and report.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace a generator of other settings that is in that folder
    #[arg(long)]
    overwrite: bool,
    /// Leave out the classification accuracy score, which trains two more classifiers
    #[arg(long)]
    no_score: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where networks run: cpu, or wgpu or cuda in a build that has them
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
}

/// Settings of a preset with changes.
fn settings(preset: &str, set: &[String]) -> anyhow::Result<LsganConfig> {
    let Some(config) = LsganConfig::preset(preset) else {
        let known: Vec<String> =
            PRESETS.iter().map(|preset| format!("{} ({})", preset.name, preset.summary)).collect();
        return Err(usage(format!("there is no preset `{preset}`; there are {}", known.join("; "))));
    };
    let changes = set.iter().map(|pair| parse_pair(pair)).collect::<anyhow::Result<Map<_, _>>>()?;
    Ok(overlay("lsgan", &config, &changes)?)
}

/// Labelled pictures by path or by name.
pub(super) fn find_pictures(name: &str, global: &Global, cache: &Path) -> anyhow::Result<Pictures> {
    // An archive by its path; folders by path or name.
    let path = PathBuf::from(name);
    let found = &if path.is_file() { path } else { find(name, global)? };
    if found.join("train-images-idx3-ubyte").exists() || found.join("train-images-idx3-ubyte.gz").exists() {
        return Ok(Pictures::Idx { path: found.clone(), most: usize::MAX });
    }
    let mut path = found.clone();
    if found.is_dir() && !found.join("styles.csv").exists() {
        if purchases::has_table(found) {
            return Err(usage(format!(
                "{} holds purchases with pictures; labelled pictures are a folder of pictures for each of two categories or more, or styles.csv \
                 with a folder images",
                found.display()
            )));
        }
        let entries = std::fs::read_dir(found).with_context(|| found.display().to_string())?;
        let mut zips: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "zip"))
            .collect();
        zips.sort();
        let folders = std::fs::read_dir(found)?.filter(|entry| {
            let folder = entry.as_ref().is_ok_and(|entry| entry.path().is_dir());
            folder && entry.as_ref().is_ok_and(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        });
        if let (Some(zip), 2..) = (zips.first(), folders.count()) {
            return Err(usage(format!(
                "{} holds folders and {} too: --data is to name the archive, or a folder of categories without one",
                found.display(),
                zip.display()
            )));
        }
        // An archive with everything, as the set is given out; a folder of categories otherwise.
        path = zips.into_iter().next().unwrap_or(path);
    }
    Ok(Pictures::Products { path, cache: cache.to_owned() })
}

pub(crate) fn train(args: &TrainLsganArgs, global: &Global) -> anyhow::Result<()> {
    let config = settings(&args.preset, &args.set)?;
    check_folder(&args.out)?;
    if config.grown > 0 && args.from.is_none() {
        return Err(usage(
            "these settings are of a generator that is grown on a smaller one: --from says in which folder that is",
        ));
    }
    let experiment = LsganExperiment {
        replaces: args.overwrite,
        pictures: find_pictures(&args.data, global, &args.out)?,
        report: ReportOptions {
            classification_accuracy_score: !args.no_score,
            seed: args.seed,
            ..ReportOptions::default()
        },
        config,
        start: args.from.clone(),
        seed: args.seed,
        ..LsganExperiment::default()
    };
    let outcome = run(&experiment, &args.out, &args.device, global)?;
    pages::generator_page(args.from.as_deref(), &outcome, &args.out)?;
    print_outcome(&outcome, &args.out)?;
    print(format!("all of it as a page: {}", args.out.join("report.html").display()))?;
    outcome.pictures.lines().iter().try_for_each(print)
}

/// Runs an experiment under a progress bar.
pub(super) fn run(
    experiment: &LsganExperiment,
    out: &Path,
    device_name: &str,
    global: &Global,
) -> anyhow::Result<LsganOutcome> {
    let device = device(device_name)?;
    let bar = FitBar::new("lsgan", global.shows_progress());
    let stage = |name: &str| bar.stage(name);
    let watch = Watch { stage: &stage, progress: &bar, cancel: cancel_on_ctrl_c()? };
    let outcome = experiment.run(out, &device, &watch);
    bar.finish();
    match outcome {
        Err(VisionError::Fit(FitError::Cancelled { epochs })) => bail!(
            "stopped after {epochs} epochs; the run is kept in {}: the same command goes on",
            out.display()
        ),
        outcome => Ok(outcome?),
    }
}

/// Measures of a generator: a name, the figure of generated pictures, and that of real ones in their place.
pub(super) fn measures(report: &GanReport) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    let number = |x: f64| if x.abs() < 10.0 { format!("{x:.3}") } else { format!("{x:.1}") };
    let row = |name: &str, generated: f64, real: Option<f64>| {
        [name.to_owned(), number(generated), real.map(number).unwrap_or_default()]
    };
    rows.push(row(
        "label agreement (mean of categories)",
        report.label_agreement.mean_of_classes,
        Some(report.classifier.mean_of_classes),
    ));
    if let Some(score) = &report.classification_accuracy_score {
        rows.push(row(
            "classification accuracy score",
            score.generated.mean_of_classes,
            Some(score.real.mean_of_classes),
        ));
    }
    if let Some(frechet) = report.frechet {
        rows.push(row(
            "Fréchet classifier distance to training pictures",
            frechet.generated,
            Some(frechet.real),
        ));
    }
    if let Some(ratio) = report.frechet_ratio {
        rows.push(row("the same, generated over real", ratio, Some(1.0)));
    }
    if let Some(kernel) = report.kernel_distance {
        let shown = |found: KernelDistance| match found.standard_error {
            Some(error) => format!("{:.4} ± {:.4}", found.mean, 1.96 * error),
            None => format!("{:.4}", found.mean),
        };
        rows.push([
            "kernel distance (± 1.96 standard errors of the blocks drawn)".to_owned(),
            shown(kernel.generated),
            shown(kernel.real),
        ]);
    }
    if let Some(both) = report.manifold {
        rows.push(row("precision", both.generated.precision, Some(both.real.precision)));
        rows.push(row("recall", both.generated.recall, Some(both.real.recall)));
        rows.push(row("density", both.generated.density, Some(both.real.density)));
        rows.push(row("coverage", both.generated.coverage, Some(both.real.coverage)));
    }
    for (name, found) in
        [("by pixels", report.pixel_memorisation), ("by features", report.feature_memorisation)]
    {
        if let Some(found) = found {
            rows.push(row(
                &format!("distance to training pictures {name}"),
                found.generated,
                Some(found.held_out),
            ));
            rows.push(row("the same, generated over real", found.ratio, Some(1.0)));
        }
    }
    if let Some((real, generated)) = report.nearest_neighbour_test {
        rows.push(row("nearest-neighbour test (one half is best)", generated, Some(real)));
    }
    for (class, found) in report.classes.iter().zip(&report.diversity) {
        if let Some(found) = found {
            rows.push(row(
                &format!("{class}: 1 − similarity (MS-SSIM) of pairs"),
                found.generated,
                Some(found.real),
            ));
        }
    }
    let shares = report.label_agreement.by_class.iter().zip(&report.classifier.by_class);
    for (class, (generated, real)) in report.classes.iter().zip(shares) {
        if let Some(generated) = generated {
            rows.push(row(&format!("{class}: label agreement"), *generated, *real));
        }
    }
    if let Some(halves) = report.frechet_halves {
        rows.push([
            "Fréchet classifier distance between the halves of the real test pictures".to_owned(),
            String::new(),
            number(halves),
        ]);
    }
    rows
}

pub(super) fn print_outcome(outcome: &LsganOutcome, out: &Path) -> anyhow::Result<()> {
    let mut lines = table(["", "generated", "real"]);
    measures(&outcome.report).into_iter().for_each(|row| {
        lines.add_row(row);
    });
    print(lines)?;
    print(format!(
        "trained in {}; networks, report.json, sheet.png and neighbours.png are in {}",
        seconds_in_words(outcome.seconds),
        out.display()
    ))
}

const GENERATE_EXAMPLES: &str = "\
Examples:
  foldin vision generate --model runs/lsgan --category women-tops -n 16 --out sheet.png
  foldin vision generate --model runs/lsgan --out all.png      a row for each category";

#[derive(Debug, clap::Args)]
#[command(after_help = GENERATE_EXAMPLES)]
pub(crate) struct GenerateArgs {
    /// Folder of a trained generator: --out of `foldin vision train-lsgan`
    #[arg(long, default_value = "lsgan", value_name = "DIR")]
    model: PathBuf,
    /// Category to make pictures of [default: all]
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// Pictures of each category
    #[arg(short, long = "number", default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    n: u32,
    /// Pictures in a row of the sheet
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    columns: u32,
    /// File to write, a PNG: its name ends in .png
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Seed of the noise
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where networks run: cpu, or wgpu or cuda in a build that has them
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
}

pub(crate) fn generate(args: &GenerateArgs) -> anyhow::Result<()> {
    if !args.model.exists() {
        return Err(usage(format!(
            "there is no generator in {}; `foldin vision train-lsgan` trains one, --model says where it is",
            args.model.display()
        )));
    }
    if args.out.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
        return Err(usage(format!(
            "pictures are written as PNG: --out is to end in .png, and {} does not",
            args.out.display()
        )));
    }
    check_writable(&args.out)?;
    let model = Lsgan::load(&args.model, &device(&args.device)?)?;
    let classes = match &args.category {
        Some(name) => vec![model.class(name)?],
        None => (0..model.classes().len()).collect(),
    };
    let mut sheet = Sheet::new(model.config().px);
    for &class in &classes {
        sheet.pictures(&model.generate(class, args.n as usize, args.seed)?, args.columns as usize)?;
    }
    sheet.save(&args.out)?;
    print(format!(
        "{} of {} written to {}",
        match args.n as usize * classes.len() {
            1 => "1 picture".to_owned(),
            n => format!("{n} pictures"),
        },
        classes.iter().map(|&class| model.classes()[class].as_str()).collect::<Vec<_>>().join(", "),
        args.out.display()
    ))
}
