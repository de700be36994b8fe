//! `foldin vision train-lsgan` and `generate`: pictures of new items.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use foldin_core::config::overlay;
use foldin_core::{Epoch, FitError, Progress};
use foldin_vision::backend::device;
use foldin_vision::data::purchases;
use foldin_vision::design::{DesignConfig, DesignReport, Group, Judgement, Mean, Studio, Wish};
use foldin_vision::error::VisionError;
use foldin_vision::experiments::{LsganExperiment, LsganOutcome, Pictures, RECIPES, Recipe, Watch, Work};
use foldin_vision::gan_report::ReportOptions;
use foldin_vision::lsgan::{Lsgan, LsganConfig, PRESETS};
use foldin_vision::recommend::folder::Recommender;
use foldin_vision::sheet::Sheet;
use foldin_vision::study::html;
use serde_json::Map;

use super::studies::markdown;
use super::{cache, find};
use crate::common::{
    Global, check_folder, check_writable, print, seconds_in_words, table, usage, write_file,
};
use crate::progress::{FitBar, cancel_on_ctrl_c};
use crate::settings::parse_pair;

const TRAIN_EXAMPLES: &str = "\
Examples:
  foldin vision train-lsgan --data fashion-products --out runs/lsgan
  foldin vision train-lsgan --data fashion-products --preset small-64 --set epochs=40 --out runs/lsgan-64
  foldin vision train-lsgan --data fashion-mnist --out runs/mnist
  foldin vision train-lsgan --data shop/pictures --out runs/own                 pictures/tops/1.jpg, pictures/shoes/2.jpg, …
The same command goes on with a training that was interrupted.";

#[derive(Debug, clap::Args)]
#[command(after_help = TRAIN_EXAMPLES)]
pub(crate) struct TrainLsganArgs {
    /// Labelled pictures, by path or name: a folder or zip with a folder of pictures for each category (tops/1.jpg, shoes/2.jpg), fashion
    /// products (styles.csv and images), or a folder of IDX files
    #[arg(long, value_name = "DATA")]
    data: String,
    /// Settings to start from: authors, study, small-32, small-64, tiny-64, authors-128
    #[arg(long, default_value = "small-32", value_name = "NAME")]
    preset: String,
    /// One setting, over those of the preset; may be given often
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder for the networks, sheets of the training and report.json
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Leave out the classification accuracy score, which trains two more classifiers
    #[arg(long)]
    no_score: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where to compute
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
fn find_pictures(name: &str, global: &Global, cache: &Path) -> anyhow::Result<Pictures> {
    // An archive by its path; folders by path or name.
    let path = PathBuf::from(name);
    let found = &if path.is_file() { path } else { find(name, global)? };
    if found.join("train-images-idx3-ubyte").exists() || found.join("train-images-idx3-ubyte.gz").exists() {
        return Ok(Pictures::Idx { path: found.clone(), most: usize::MAX });
    }
    let mut path = found.clone();
    if found.is_dir() && !found.join("styles.csv").exists() {
        let entries = std::fs::read_dir(found).with_context(|| found.display().to_string())?;
        let mut zips: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "zip"))
            .collect();
        zips.sort();
        // An archive with everything, as the set is given out; a folder of categories otherwise.
        path = zips.into_iter().next().unwrap_or(path);
    }
    Ok(Pictures::Products { path, cache: cache.to_owned() })
}

pub(crate) fn train(args: &TrainLsganArgs, global: &Global) -> anyhow::Result<()> {
    let config = settings(&args.preset, &args.set)?;
    check_folder(&args.out)?;
    let experiment = LsganExperiment {
        pictures: find_pictures(&args.data, global, &args.out)?,
        report: ReportOptions {
            classification_accuracy_score: !args.no_score,
            seed: args.seed,
            ..ReportOptions::default()
        },
        config,
        seed: args.seed,
        ..LsganExperiment::default()
    };
    let outcome = run(&experiment, &args.out, &args.device, global)?;
    print_outcome(&outcome, &args.out)
}

/// Runs an experiment under a progress bar.
fn run(
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
fn measures(outcome: &LsganOutcome) -> Vec<[String; 3]> {
    let report = &outcome.report;
    let mut rows = Vec::new();
    let number = |x: f64| if x.abs() < 10.0 { format!("{x:.3}") } else { format!("{x:.1}") };
    let mut add = |name: &str, generated: f64, real: Option<f64>| {
        rows.push([name.to_owned(), number(generated), real.map(number).unwrap_or_default()]);
    };
    add(
        "label agreement (mean of categories)",
        report.label_agreement.mean_of_classes,
        Some(report.classifier.mean_of_classes),
    );
    if let Some(score) = &report.classification_accuracy_score {
        add(
            "classification accuracy score",
            score.generated.mean_of_classes,
            Some(score.real.mean_of_classes),
        );
    }
    if let Some(frechet) = report.frechet {
        add("Fréchet classifier distance to training pictures", frechet.generated, Some(frechet.real));
    }
    if let Some(ratio) = report.frechet_ratio {
        add("the same, generated over real", ratio, Some(1.0));
    }
    if let Some(kernel) = report.kernel_distance {
        add("kernel distance", kernel.generated.mean, Some(kernel.real.mean));
    }
    if let Some(both) = report.manifold {
        add("precision", both.generated.precision, Some(both.real.precision));
        add("recall", both.generated.recall, Some(both.real.recall));
        add("density", both.generated.density, Some(both.real.density));
        add("coverage", both.generated.coverage, Some(both.real.coverage));
    }
    for (name, found) in
        [("by pixels", report.pixel_memorisation), ("by features", report.feature_memorisation)]
    {
        if let Some(found) = found {
            add(&format!("distance to training pictures {name}"), found.generated, Some(found.held_out));
        }
    }
    if let Some((real, generated)) = report.nearest_neighbour_test {
        add("nearest-neighbour test (one half is best)", generated, Some(real));
    }
    for (class, found) in report.classes.iter().zip(&report.diversity) {
        if let Some(found) = found {
            add(&format!("{class}: 1 − similarity (MS-SSIM) of pairs"), found.generated, Some(found.real));
        }
    }
    let shares = report.label_agreement.by_class.iter().zip(&report.classifier.by_class);
    for (class, (generated, real)) in report.classes.iter().zip(shares) {
        if let Some(generated) = generated {
            add(&format!("{class}: label agreement"), *generated, *real);
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

fn print_outcome(outcome: &LsganOutcome, out: &Path) -> anyhow::Result<()> {
    let mut lines = table(["", "generated", "real"]);
    measures(outcome).into_iter().for_each(|row| {
        lines.add_row(row);
    });
    print(lines)?;
    print(format!(
        "trained in {}; networks, report.json and sheet.png are in {}",
        seconds_in_words(outcome.seconds),
        out.display()
    ))
}

const GENERATE_EXAMPLES: &str = "\
Examples:
  foldin vision generate --model runs/lsgan/lsgan --category women-tops -n 16 --out sheet.png
  foldin vision generate --model runs/lsgan/lsgan --out all.png      a row for each category";

#[derive(Debug, clap::Args)]
#[command(after_help = GENERATE_EXAMPLES)]
pub(crate) struct GenerateArgs {
    /// Folder of a trained generator
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
    /// PNG file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Seed of the noise
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where to compute
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
        "{} pictures of {} written to {}",
        args.n as usize * classes.len(),
        classes.iter().map(|&class| model.classes()[class].as_str()).collect::<Vec<_>>().join(", "),
        args.out.display()
    ))
}

const DESIGN_EXAMPLES: &str = "\
Examples:
  foldin vision design --lsgan runs/lsgan/lsgan --model runs/dvbpr --data hm-sample --user U --category women-tops --out design
  foldin vision design … --bought 0108775015,0111565001 --category men-shoes --out design
  foldin vision design … --judge runs/other                 a second recommender says what it thinks of the designs
  foldin vision design … --tailor images/12345.jpg          from that item instead of from noise";

#[derive(Debug, clap::Args)]
#[command(after_help = DESIGN_EXAMPLES)]
pub(crate) struct DesignArgs {
    /// Folder of a trained generator
    #[arg(long, default_value = "lsgan", value_name = "DIR")]
    lsgan: PathBuf,
    /// Folder of a recommender with a dvbpr, as `foldin vision train` wrote it
    #[arg(long, default_value = "model", value_name = "DIR")]
    model: PathBuf,
    /// Items that the person bought, by key, separated by commas
    #[arg(
        long,
        value_name = "KEYS",
        value_delimiter = ',',
        conflicts_with = "user",
        required_unless_present = "user"
    )]
    bought: Vec<String>,
    /// The person, by their key in the purchases of --data
    #[arg(long, value_name = "USER", requires = "data")]
    user: Option<String>,
    /// Folder of purchases with pictures, by path or by name in the folders of data sets
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Category to design for
    #[arg(long, value_name = "NAME")]
    category: String,
    /// Real items with the generator's categories, by path or name, to compare with
    #[arg(long, default_value = "fashion-products", value_name = "DATA")]
    catalogue: String,
    /// A second recommender's folder, trained apart (other customers, another seed), to judge the designs and the real items as well
    #[arg(long, value_name = "DIR")]
    judge: Option<PathBuf>,
    /// Item of the catalogue to start from, by the name of its picture
    #[arg(long, value_name = "PICTURE")]
    tailor: Option<String>,
    /// A setting of the design, such as steps=100 or bound=none; may be given often
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder for design.png, design.json and a picture of each design
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed of the starts
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where to compute
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
}

pub(crate) fn design(args: &DesignArgs, global: &Global) -> anyhow::Result<()> {
    let changes = args.set.iter().map(|pair| parse_pair(pair)).collect::<anyhow::Result<Map<_, _>>>()?;
    let config = overlay("design", &DesignConfig::default(), &changes)?;
    let folders = [
        ("generator", Some(&args.lsgan)),
        ("recommender", Some(&args.model)),
        ("judge", args.judge.as_ref()),
    ];
    for (what, path) in folders.into_iter().filter_map(|(what, path)| Some((what, path?))) {
        if !path.exists() {
            return Err(usage(format!("there is no {what} in {}", path.display())));
        }
    }
    check_folder(&args.out)?;
    let studio = open_studio(&args.lsgan, &args.model, &args.catalogue, &args.device, global)?;
    let judge = args
        .judge
        .as_ref()
        .map(|folder| anyhow::Ok(Recommender::load(folder, &device(&args.device)?)?))
        .transpose()?;
    let cancel = cancel_on_ctrl_c()?;
    let wish = Wish {
        user: args.user.clone().unwrap_or_else(|| "you".to_owned()),
        bought: bought(args, &studio, global)?,
        category: args.category.clone(),
        tailor: args.tailor.clone(),
        config,
        seed: args.seed,
    };
    let bar = FitBar::new("design", global.shows_progress());
    let found = studio.design(&wish, &cancel, |step| {
        bar.epoch(Epoch { number: step.number, of: wish.config.steps, ..Epoch::default() });
    });
    bar.finish();
    let mut found = found?;
    found.judged = judge.map(|judge| studio.judge(&judge, &wish.bought, &found)).transpose()?;
    found.save(&args.out)?;
    for (number, designed) in found.designs.iter().enumerate() {
        let (first, last) = (designed.preference.first(), designed.preference.last());
        print(format!(
            "design {}: preference {:.3} → {:.3}, above {:.0} % of the category's real items; nearest {}",
            number + 1,
            first.copied().unwrap_or_default(),
            last.copied().unwrap_or_default(),
            100.0 * designed.percentile,
            designed.nearest.first().map(|item| item.item.as_str()).unwrap_or_default()
        ))?;
    }
    if let Some(best) = found.retrieved.first() {
        print(format!("best real item: {} ({:.3})", best.item, best.preference))?;
    }
    if let Some(judged) = &found.judged {
        let shares = |judgements: &[Judgement]| {
            let shares = judgements.iter().map(|judgement| format!("{:.0} %", 100.0 * judgement.percentile));
            shares.collect::<Vec<_>>().join(", ")
        };
        print(format!(
            "by the judge, above so many of the category's real items: designs {}; retrieved items {}",
            shares(&judged.designs),
            shares(&judged.retrieved)
        ))?;
    }
    print(format!("sheet and JSON written to {}", args.out.display()))
}

/// Loads a generator, a recommender and the real items to compare with, decoding their pictures under a progress bar.
pub(super) fn open_studio(
    lsgan: &Path,
    model: &Path,
    catalogue: &str,
    device_name: &str,
    global: &Global,
) -> anyhow::Result<Studio> {
    let cache = cache()?;
    let Pictures::Products { path, .. } = find_pictures(catalogue, global, &cache)? else {
        return Err(usage(format!("`{catalogue}` is no set of pictures of products by category")));
    };
    let cancel = cancel_on_ctrl_c()?;
    let bar = FitBar::new("pictures", global.shows_progress());
    let told = |done, of| {
        bar.epoch(Epoch { number: done, of, ..Epoch::default() });
        if cancel.is_cancelled() { Err(FitError::Cancelled { epochs: 0 }.into()) } else { Ok(()) }
    };
    let studio = Studio::open(lsgan, model, &path, &cache, &device(device_name)?, &told);
    bar.finish();
    Ok(studio?)
}

/// Keys of what the person bought: as given, or those of the data set's user that the recommender knows.
fn bought(args: &DesignArgs, studio: &Studio, global: &Global) -> anyhow::Result<Vec<String>> {
    let (Some(user), Some(data)) = (&args.user, &args.data) else { return Ok(args.bought.clone()) };
    let purchases = purchases::open(&find(data, global)?)?;
    let all = purchases.bought_by(user)?;
    let known = all.iter().filter(|key| studio.recommender().items.get(key).is_some());
    let known: Vec<String> = known.map(|key| (*key).to_owned()).collect();
    if known.is_empty() {
        return Err(usage(format!("the recommender knows nothing of what `{user}` bought")));
    }
    Ok(known)
}

/// A line for each recipe: its name and what it is.
pub(crate) fn recipes() -> impl Iterator<Item = (String, String)> {
    RECIPES.iter().map(|recipe| (recipe.name.to_owned(), format!("{} ({})", recipe.title, recipe.data)))
}

/// Runs a recipe in the folder `out/NAME` and writes its page beside it; false if there is none of that name. The same call goes on with
/// what was interrupted.
pub(crate) fn reproduce(
    name: &str,
    quick: bool,
    remarks: &[String],
    out: &Path,
    global: &Global,
) -> anyhow::Result<bool> {
    let Some(recipe) = Recipe::find(name) else { return Ok(false) };
    let page = out.join(if quick { format!("{name}-quick.html") } else { format!("{name}.html") });
    let out = page.with_extension("");
    check_folder(&out)?;
    print(format!("{}\n{}\n", recipe.title, recipe.about))?;
    let data = match find_pictures(recipe.data, global, &out)? {
        Pictures::Products { path, .. } | Pictures::Idx { path, .. } => path,
    };
    let purchases = recipe.purchases.map(|name| find(name, global)).transpose()?;
    let (mut tables, mut pictures) = (Vec::new(), Vec::new());
    for part in recipe.parts(&data, purchases.as_deref(), &out, quick) {
        let folder = out.join(part.name);
        print(format!("{}:", part.name))?;
        match part.work {
            Work::Lsgan(experiment) => {
                let outcome = run(&experiment, &folder, "cpu", global)?;
                print_outcome(&outcome, &folder)?;
                tables.push(lsgan_table(part.name, &outcome));
                pictures.push(picture(
                    &folder.join("sheet.png"),
                    &format!("{}: generated pictures", part.name),
                    &format!("A row for each of {}.", outcome.report.classes.join(", ")),
                )?);
            }
            Work::Design(experiment) => {
                let outcome = watched(|watch| experiment.run(&folder, &device("cpu")?, watch), global)?;
                designs(&PLANTED, &outcome.report, &folder, &mut tables, &mut pictures)?;
            }
            Work::Customers(experiment) => {
                let outcome = watched(|watch| experiment.run(&folder, &device("cpu")?, watch), global)?;
                let [first, second] = outcome.scorers;
                print(format!("validation AUC of the scorers: {first:.4} and {second:.4}"))?;
                designs(&CUSTOMERS, &outcome.report, &folder, &mut tables, &mut pictures)?;
                if let Some(table) = tables.last_mut() {
                    table.notes.push(format!(
                        "AUC of the scorers on the purchase of each of their customers by which epochs and λ were chosen: {first:.4} and {second:.4}."
                    ));
                }
            }
        }
    }
    let intro = html::Table {
        heading: recipe.data.to_owned(),
        notes: std::iter::once(recipe.about.to_owned()).chain(remarks.iter().cloned()).collect(),
        ..html::Table::default()
    };
    let text: String = tables.iter().map(markdown_of).collect();
    let about = [&[recipe.about.to_owned()], remarks].concat().join("\n\n");
    write_file(&page.with_extension("md"), &markdown(recipe.title, &about, &text))?;
    tables.insert(0, intro);
    write_file(&page, &html::page(recipe.title, &[], &tables, &pictures))?;
    global.remark(format!("written: {}, and .md beside it", page.display()));
    Ok(true)
}

fn markdown_of(table: &html::Table) -> String {
    let cells = foldin_eval::markdown::table_of(&table.columns, &table.rows);
    format!("## {}\n\n{}\n\n{cells}\n", table.heading, table.notes.join("\n\n"))
}

fn lsgan_table(name: &str, outcome: &LsganOutcome) -> html::Table {
    let report = &outcome.report;
    let counts = report.classes.iter().zip(&report.pictures);
    let counts: Vec<String> =
        counts.map(|(class, [train, test])| format!("{class} {train} + {test}")).collect();
    let [generator, discriminator] = outcome.parameters;
    html::Table {
        heading: name.to_owned(),
        notes: vec![
            format!("Pictures for training and for testing: {}.", counts.join(", ")),
            format!(
                "{generator} and {discriminator} trained numbers, {} pixels, {} epochs of batches of {}, seed {}; trained in {}.",
                outcome.config.px,
                outcome.config.epochs,
                outcome.config.batch,
                outcome.seed,
                seconds_in_words(outcome.seconds)
            ),
        ],
        columns: ["", "generated", "real"].map(str::to_owned).to_vec(),
        rows: measures(outcome).into_iter().map(|row| row.to_vec()).collect(),
    }
}

fn picture(path: &Path, heading: &str, caption: &str) -> anyhow::Result<html::Picture> {
    let png = std::fs::read(path).with_context(|| path.display().to_string())?;
    Ok(html::Picture { heading: heading.to_owned(), caption: caption.to_owned(), png })
}

/// The folders within one, by name.
fn folders(of: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(of).with_context(|| of.display().to_string())?;
    let mut out: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    out.sort();
    Ok(out)
}

/// Columns of [`groups`].
const GROUPS: [&str; 6] = ["pictures", "percentile", "second scorer", "realism", "in category", "diversity"];

/// What is told of designs for some kind of people.
struct People {
    heading: &'static str,
    note: &'static str,
    are: &'static str,
}

const PLANTED: People = People {
    heading: "Designs beside real items, planted tastes",
    note: "Tastes are planted: pictures are real, people are not. The second scorer was trained apart, on other pictures.",
    are: "planted persons",
};

const CUSTOMERS: People = People {
    heading: "Designs beside real items, customers",
    note: "Customers and what they bought are real, and new to both scorers. The second scorer was trained apart, on other customers. Real \
           items are those of the generator's data, not of the customers' shop.",
    are: "customers",
};

/// Runs an experiment under a progress bar, until Ctrl-C.
fn watched<T>(run: impl FnOnce(&Watch<'_>) -> Result<T, VisionError>, global: &Global) -> anyhow::Result<T> {
    let bar = FitBar::new("design", global.shows_progress());
    let stage = |name: &str| bar.stage(name);
    let outcome = run(&Watch { stage: &stage, progress: &bar, cancel: cancel_on_ctrl_c()? });
    bar.finish();
    Ok(outcome?)
}

/// Prints what came of designs, and adds a table and sheets for the page.
fn designs(
    people: &People,
    report: &DesignReport,
    folder: &Path,
    tables: &mut Vec<html::Table>,
    pictures: &mut Vec<html::Picture>,
) -> anyhow::Result<()> {
    let rows = groups(report);
    let gains = gains(people, report);
    let mut lines = table(GROUPS);
    rows.iter().for_each(|row| {
        lines.add_row(row);
    });
    print(lines)?;
    print(format!("{gains}; sheets and report.json are in {}", folder.display()))?;
    let means =
        "Percentiles are among the category's real items; means over persons ± half their 95 % interval.";
    tables.push(html::Table {
        heading: people.heading.to_owned(),
        notes: vec![people.note.to_owned(), means.to_owned(), gains],
        columns: GROUPS.map(str::to_owned).to_vec(),
        rows: rows.into_iter().map(|row| row.to_vec()).collect(),
    });
    for person in folders(&folder.join("designs"))? {
        let name = person.file_name().unwrap_or_default().to_string_lossy().into_owned();
        pictures.push(picture(
            &person.join("design.png"),
            &format!("Designs for {name}"),
            "A row for each design: from the start by steps to the result, a gap, the nearest real items; last the person's best real items.",
        )?);
    }
    Ok(())
}

/// A row for each group of pictures, as means over persons with half their 95 % interval.
fn groups(report: &DesignReport) -> Vec<[String; 6]> {
    let maybe = |found: Option<Mean>| found.map(mean).unwrap_or_default();
    let row = |(name, group): &(String, Group)| {
        [
            name.clone(),
            mean(group.percentile),
            mean(group.second_percentile),
            mean(group.realism),
            maybe(group.agreement),
            maybe(group.diversity),
        ]
    };
    report.groups.iter().map(row).collect()
}

fn mean(mean: Mean) -> String {
    format!("{:.3} ± {:.3}", mean.mean, 1.96 * mean.standard_error)
}

/// How much more the best design is liked than the best real item.
fn gains(people: &People, report: &DesignReport) -> String {
    format!(
        "best design less best real item, in standard deviations of the category's real items: {} by the scorer that was climbed (above 0 for \
         {:.0} % of {} {}), {} by the second ({:.0} %)",
        mean(report.gain),
        100.0 * report.better.first,
        report.persons,
        people.are,
        mean(report.second_gain),
        100.0 * report.better.second
    )
}
