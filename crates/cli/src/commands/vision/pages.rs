//! `foldin reproduce` of generators and designs.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use foldin_core::{FitError, Progress};
use foldin_vision::backend::device;
use foldin_vision::classifier::Accuracy;
use foldin_vision::design::{DesignReport, Group};
use foldin_vision::error::VisionError;
use foldin_vision::evaluate::Figure;
use foldin_vision::experiments::{LsganOutcome, Pictures, RECIPES, Recipe, Size, Watch, Work};
use foldin_vision::gan_report::GanReport;
use foldin_vision::study::html;

use super::find;
use super::generative::{find_pictures, measures, print_outcome, run};
use super::studies::{Ordered, markdown};
use crate::common::{Global, check_folder, print, seconds_in_words, table, usage, write_file};
use crate::progress::{FitBar, cancel_on_ctrl_c};

/// A line for each recipe: its name and what it is.
pub(crate) fn recipes() -> impl Iterator<Item = (String, String)> {
    RECIPES.iter().map(|recipe| {
        let data: Vec<&str> = std::iter::once(recipe.data).chain(recipe.purchases).collect();
        (recipe.name.to_owned(), format!("{} ({})", recipe.title, data.join(", ")))
    })
}

/// Runs a recipe in the folder `results/NAME` and writes its page beside it; false if there is none of that name. The same call goes on with
/// what was interrupted.
pub(crate) fn reproduce(name: &str, ordered: &Ordered<'_>, global: &Global) -> anyhow::Result<bool> {
    let Some(recipe) = Recipe::find(name) else { return Ok(false) };
    let &Ordered { size, device: device_name, notes: remarks, out: results } = ordered;
    if size == Size::Published && !recipe.was_published() {
        return Err(usage(format!("{name} is of no paper: it has no published size")));
    }
    // Before pictures are looked for.
    let device = device(device_name)?;
    let page = ordered.page(name);
    let out = page.with_extension("");
    check_folder(&out)?;
    print(format!("{}\n{}\n", recipe.title, recipe.about))?;
    let data = match find_pictures(recipe.data, global, &out)? {
        Pictures::Products { path, .. } | Pictures::Idx { path, .. } => path,
    };
    let purchases = recipe.purchases.map(|name| find(name, global)).transpose()?;
    let (mut tables, mut pictures) = (Vec::new(), Vec::new());
    for part in recipe.parts(&data, purchases.as_deref(), results, size) {
        let folder = part.folder;
        print(format!("{}:", part.name))?;
        match part.work {
            Work::Lsgan(experiment) => {
                let outcome = run(&experiment, &folder, device_name, global)?;
                print_outcome(&outcome, &folder)?;
                generator(
                    part.name,
                    experiment.start.as_deref(),
                    &outcome,
                    &folder,
                    &mut tables,
                    &mut pictures,
                )?;
            }
            Work::Design(experiment) => {
                let outcome = watched(&folder, |watch| experiment.run(&folder, &device, watch), global)?;
                designs(&PLANTED, &outcome.report, &folder, &mut tables, &mut pictures)?;
                add_notes(&mut tables, [of_categories(&outcome.classifiers)]);
                add_notes(&mut tables, outcome.pictures.lines());
            }
            Work::Customers(experiment) => {
                let outcome = watched(&folder, |watch| experiment.run(&folder, &device, watch), global)?;
                let [first, second] = outcome.scorers;
                print(format!("validation AUC of the scorers: {first:.4} and {second:.4}"))?;
                designs(&CUSTOMERS, &outcome.report, &folder, &mut tables, &mut pictures)?;
                let auc = format!(
                    "AUC of the scorers on the purchase of each of their customers by which epochs and λ were chosen: {first:.4} and {second:.4}."
                );
                add_notes(&mut tables, [auc, of_categories(&outcome.classifiers)]);
                add_notes(&mut tables, outcome.pictures.lines());
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

/// Adds to the notes of the last table.
fn add_notes(tables: &mut [html::Table], notes: impl IntoIterator<Item = String>) {
    if let Some(table) = tables.last_mut() {
        table.notes.extend(notes);
    }
}

/// What keeps designs in their category, and what says whether they are.
fn of_categories([guard, judge]: &[Accuracy; 2]) -> String {
    format!(
        "One classifier keeps designs in their category and another, trained apart on the other half of the pictures, says whether they are in it; each is right on {:.3} and {:.3} of the other's pictures.",
        guard.overall, judge.overall
    )
}

fn markdown_of(table: &html::Table) -> String {
    let cells = foldin_eval::markdown::table_of(&table.columns, &table.rows);
    format!("## {}\n\n{}\n\n{cells}\n", table.heading, table.notes.join("\n\n"))
}

/// The page of a generator alone, `report.html` in its folder.
pub(super) fn generator_page(
    start: Option<&Path>,
    outcome: &LsganOutcome,
    folder: &Path,
) -> anyhow::Result<()> {
    let (mut tables, mut pictures) = (Vec::new(), Vec::new());
    generator("Measures", start, outcome, folder, &mut tables, &mut pictures)?;
    let title = format!("A generator of {}", outcome.report.classes.join(", "));
    write_file(&folder.join("report.html"), &html::page(&title, &[], &tables, &pictures))
}

/// Adds tables and sheets of a generator in `folder`.
fn generator(
    name: &str,
    start: Option<&Path>,
    outcome: &LsganOutcome,
    folder: &Path,
    tables: &mut Vec<html::Table>,
    pictures: &mut Vec<html::Picture>,
) -> anyhow::Result<()> {
    tables.push(lsgan_table(name, start, outcome));
    if let Some((px, report)) = &outcome.shrunk {
        let note = format!(
            "Real and generated pictures are shrunk to {px} pixels, each the mean of a square, and measured by a classifier of that size."
        );
        tables.push(html::Table {
            heading: format!("{name} shrunk to {px} pixels"),
            notes: vec![note],
            ..measures_table(report)
        });
    }
    pictures.push(picture(
        &folder.join("sheet.png"),
        &format!("{name}: generated pictures"),
        &format!("A row for each of {}.", outcome.report.classes.join(", ")),
    )?);
    pictures.push(picture(
        &folder.join("neighbours.png"),
        &format!("{name}: generated pictures and the training pictures nearest to them"),
        "After each generated picture the nearest by pixels, with the mean difference of 255, and the nearest by the classifier's features.",
    )?);
    Ok(())
}

/// Measures of a generator, that began with another one if there is a folder of it.
fn lsgan_table(name: &str, start: Option<&Path>, outcome: &LsganOutcome) -> html::Table {
    let report = &outcome.report;
    let counts = report.classes.iter().zip(&report.pictures);
    let counts: Vec<String> =
        counts.map(|(class, [train, test])| format!("{class} {train} + {test}")).collect();
    let [generator, discriminator] = outcome.parameters;
    let start = start.and_then(Path::file_name).map_or(String::new(), |start| {
        format!(", begun with {}, whose training comes before", start.to_string_lossy())
    });
    html::Table {
        heading: name.to_owned(),
        notes: vec![
            format!("Pictures for training and for testing: {}.", counts.join(", ")),
            format!(
                "{generator} and {discriminator} trained numbers, {} pixels, {} epochs of batches of {}, seed {}{start}; trained in {}.",
                outcome.config.px,
                outcome.config.epochs,
                outcome.config.batch,
                outcome.seed,
                seconds_in_words(outcome.seconds)
            ),
        ]
        .into_iter()
        .chain(outcome.pictures.lines())
        .collect(),
        ..measures_table(report)
    }
}

/// Measures alone, without heading and notes.
fn measures_table(report: &GanReport) -> html::Table {
    html::Table {
        columns: ["", "generated", "real"].map(str::to_owned).to_vec(),
        rows: measures(report).into_iter().map(|row| row.to_vec()).collect(),
        ..html::Table::default()
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
const GROUPS: [&str; 8] = [
    "pictures",
    "above best real",
    "above best real, by the second",
    "percentile",
    "percentile, by the second",
    "realism",
    "in category",
    "diversity",
];

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
fn watched<T>(
    folder: &Path,
    run: impl FnOnce(&Watch<'_>) -> Result<T, VisionError>,
    global: &Global,
) -> anyhow::Result<T> {
    let bar = FitBar::new("design", global.shows_progress());
    let stage = |name: &str| bar.stage(name);
    let outcome = run(&Watch { stage: &stage, progress: &bar, cancel: cancel_on_ctrl_c()? });
    bar.finish();
    match outcome {
        Err(VisionError::Fit(FitError::Cancelled { .. })) => {
            bail!("stopped; what was trained is kept in {}: the same command goes on", folder.display())
        }
        outcome => Ok(outcome?),
    }
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
    let means = "Above best real: preference, in standard deviations of the category's real items, less that of the item which the climbed scorer \
                 likes best. Percentiles are among the category's real items. Means over persons ± half their 95 % interval.";
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
fn groups(report: &DesignReport) -> Vec<[String; 8]> {
    let maybe = |found: Option<Figure>| found.map(mean).unwrap_or_default();
    let row = |(name, group): &(String, Group)| {
        [
            name.clone(),
            mean(group.preference),
            mean(group.second),
            mean(group.percentile),
            mean(group.second_percentile),
            mean(group.realism),
            maybe(group.agreement),
            maybe(group.diversity),
        ]
    };
    report.groups.iter().map(row).collect()
}

fn mean(mean: Figure) -> String {
    mean.ci95.map_or_else(|| format!("{:.3}", mean.mean), |ci95| format!("{:.3} ± {ci95:.3}", mean.mean))
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
