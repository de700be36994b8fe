//! `foldin reproduce`: a table of the papers, rebuilt, with the published figures beside ours.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::{Context, bail};
use comfy_table::CellAlignment;
use foldin_core::Dataset;
use foldin_data::ReadError;
use foldin_data::known::find_split;
use foldin_eval::html::render_beside;
use foldin_eval::table::p_value;
use foldin_eval::{
    EvalError, EvalOptions, EvalReport, GivenSplit, Keep, ModelRequest, NewUserMode, Protocol,
};

use crate::commands::evaluate::{evaluate, given_split, open_with_splits, splits_of};
use crate::common::{
    Global, check_writable, command_line, print, seconds_in_words, table, usage, write_file,
};
use crate::data_args::DataArgs;
use crate::models::find;
use crate::recipe::{self, Column, HistoryRule, Recipe, Retrain};

const EXAMPLES: &str = "\
Examples:
  foldin reproduce --list
  foldin reproduce lfg-table1
  foldin reproduce lfg-table3 --quick --out results
  foldin reproduce my-models.toml                as those in the folder `recipes` of the sources
An interrupted recipe goes on with the same command: what it has found so far is kept in OUT beside the results.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The table to rebuild: a recipe of the list, or a file of one's own, RECIPE.toml
    #[arg(required_unless_present = "list", value_name = "RECIPE")]
    recipe: Option<String>,
    /// List the recipes
    #[arg(long)]
    list: bool,
    /// Only the first fold, one fit where the recipe has several, and fewer epochs where it says so
    #[arg(long)]
    quick: bool,
    /// Recipes of pictures: layers, pixels and epochs as published in place of those for two cores, for a GPU; as RECIPE-published.*
    #[cfg(feature = "vision")]
    #[arg(long, conflicts_with = "quick")]
    published: bool,
    /// Recipes of pictures: where networks run: cpu, or wgpu or cuda in a build that has them
    #[cfg(feature = "vision")]
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
    /// A remark to stand in the report, such as what else the machine was busy with. May be given often
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// Folder for RECIPE.html, RECIPE.md and RECIPE.json, of a quick look RECIPE-quick.*; recipes that make pictures keep them, their
    /// networks and reports in folders beside these
    #[arg(long, default_value = "runs", value_name = "DIR")]
    out: PathBuf,
}

/// Runs a recipe of pictures; false if it is none.
#[cfg(feature = "vision")]
fn of_pictures(name: &str, args: &Args, global: &Global) -> anyhow::Result<bool> {
    use crate::commands::vision::studies::{Ordered, reproduce};
    use foldin_vision::experiments::Size;

    let size = match (args.quick, args.published) {
        (true, _) => Size::Quick,
        (_, true) => Size::Published,
        _ => Size::Small,
    };
    let ordered = Ordered { size, device: &args.device, notes: &args.note, out: &args.out };
    let known = reproduce(name, &ordered, global)?;
    if !known && (args.published || args.device != "cpu") {
        return Err(usage(format!(
            "`{name}` is no recipe of pictures: `--published` and `--device` are for those"
        )));
    }
    Ok(known)
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let mut recipes = recipe::all()?;
    let Some(name) = args.recipe.as_deref().filter(|_| !args.list) else {
        let width = recipes.iter().map(|recipe| recipe.name.len()).max().unwrap_or_default();
        for Recipe { name, title, data, also, folds, .. } in &recipes {
            let cut = match find_split(data) {
                Some(_) => "a given split".to_owned(),
                None => format!("{folds} folds"),
            };
            let data = [std::slice::from_ref(data), also].concat().join(", ");
            print(format!("{name:width$} {title} ({data}, {cut})"))?;
        }
        #[cfg(feature = "vision")]
        for (name, about) in crate::commands::vision::studies::list()? {
            print(format!("{name:width$} {about}"))?;
        }
        return Ok(());
    };
    #[cfg(feature = "vision")]
    if of_pictures(name, args, global)? {
        return Ok(());
    }
    let file = Path::new(name);
    let of_ones_own = file.extension().is_some_and(|extension| extension == "toml");
    if of_ones_own {
        recipes = vec![recipe::read(file)?];
    }
    let Some(recipe) = recipes.iter().find(|recipe| of_ones_own || recipe.name == name) else {
        return Err(usage(format!("there is no recipe `{name}`; `foldin reproduce --list` lists them")));
    };
    // A look at a recipe does not take the place of the recipe.
    let quick = if args.quick { "-quick" } else { "" };
    let name = recipe.name.as_str();
    let file = format!("{name}{quick}");
    let mut report = run_on(recipe, &recipe.data, &file, args, global)?;
    let notes = report.notes.len();
    for data in &recipe.also {
        print("")?;
        let Err(error) = run_on(recipe, data, &format!("{name}-{data}{quick}"), args, global) else {
            continue;
        };
        let fetchable = match error.downcast::<ReadError>()? {
            ReadError::NotFound { fetchable, .. } => fetchable,
            error => return Err(error.into()),
        };
        let fetch =
            if fetchable { format!("; `foldin data fetch {data}` downloads it") } else { String::new() };
        print(format!("{data}: not run: data not found{fetch}"))?;
        report.notes.push(format!("{data}: not run: data not found"));
    }
    // What is missing stands on the page as well.
    if report.notes.len() > notes {
        write(recipe, &recipe.data, &file, &report, &args.out, global)
    } else {
        Ok(())
    }
}

/// Runs a recipe on one of its data sets and writes `file.json`, `file.html` and `file.md`.
fn run_on(
    recipe: &Recipe,
    data: &str,
    file: &str,
    args: &Args,
    global: &Global,
) -> anyhow::Result<EvalReport> {
    let args_of_data = DataArgs::named(data);
    let splits = splits_of(&args_of_data, &[]);
    let dataset = open_with_splits(&args_of_data, &splits, global)?;
    let given = splits
        .iter()
        .map(|(name, spec)| given_split(name, spec, &dataset, &args_of_data, global))
        .collect::<anyhow::Result<Vec<_>>>()?;
    check_writable(&args.out.join(format!("{file}.json")))?;
    let kept = args.out.join(format!("{file}.unfinished"));
    let place = Arc::new(KeptFits::new(kept.clone()));
    let goes_on = || match kept.exists() {
        true => format!("; finished fits are kept in {}: the same command goes on", kept.display()),
        false => String::new(),
    };
    match reproduce(recipe, &dataset, given, args.quick, place, global) {
        Ok(mut report) => {
            report.notes.extend(args.note.iter().cloned());
            print_table(recipe, data, &report)?;
            write(recipe, data, file, &report, &args.out, global)?;
            if kept.exists() {
                std::fs::remove_dir_all(&kept).with_context(|| kept.display().to_string())?;
            }
            Ok(report)
        }
        Err(error) => match error.downcast::<EvalError>()? {
            // A table that is complete stays beside it.
            EvalError::Partial { report } => {
                print_table(recipe, data, &report)?;
                write(recipe, data, &format!("{file}.partial"), &report, &args.out, global)?;
                let folds = report.folds.len();
                bail!("stopped; the table is partial: it holds {folds} of the folds{}", goes_on())
            }
            EvalError::Cancelled => bail!("stopped{}", goes_on()),
            error => Err(error.into()),
        },
    }
}

/// Runs a recipe.
fn reproduce(
    recipe: &Recipe,
    dataset: &Dataset,
    given: Vec<GivenSplit>,
    quick: bool,
    kept: Arc<dyn Keep>,
    global: &Global,
) -> anyhow::Result<EvalReport> {
    let request = |column| request(recipe, column, quick);
    let models = recipe.column.iter().map(request).collect::<anyhow::Result<Vec<_>>>()?;
    let defaults = EvalOptions::default();
    let options = EvalOptions {
        protocol: recipe.protocol.parse()?,
        folds: recipe.folds,
        given,
        cutoffs: if recipe.cutoffs.is_empty() { defaults.cutoffs } else { recipe.cutoffs.clone() },
        only_folds: if quick { vec![1] } else { Vec::new() },
        seed: recipe.seed,
        kept: Some(kept),
        ..EvalOptions::default()
    };
    evaluate(dataset, &models, options, global)
}

/// A folder of what finished fits found, a file each.
#[derive(Debug)]
struct KeptFits {
    folder: PathBuf,
    /// Tells this build from others, whose models may find something else.
    build: String,
}

impl KeptFits {
    fn new(folder: PathBuf) -> Self {
        let program = std::env::current_exe().and_then(std::fs::metadata);
        let build = program.map_or_else(
            |_| "unknown".to_owned(),
            |program| {
                let changed = program.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                format!("{:x}-{:x}", program.len(), changed.unwrap_or_default().as_millis())
            },
        );
        Self { folder, build }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{}-{name}.json", self.build))
    }
}

impl Keep for KeptFits {
    fn get(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.file(name)).ok()
    }

    fn put(&self, name: &str, found: &str) {
        // Half a file is none: it gets its name when it is whole. What cannot be kept is found again.
        let file = self.file(name);
        let half = file.with_extension("half");
        let _ = std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(&half, found))
            .and_then(|()| std::fs::rename(&half, &file));
    }
}

fn request(recipe: &Recipe, column: &Column, quick: bool) -> anyhow::Result<ModelRequest> {
    let mode = match (column.retrain, column.history) {
        (Some(Retrain::All), _) => NewUserMode::RetrainAll,
        (Some(Retrain::Each), _) => NewUserMode::RetrainEach,
        (None, HistoryRule::None) => NewUserMode::NoHistory,
        (None, HistoryRule::Given) => NewUserMode::History,
    };
    Ok(ModelRequest::new(*find(&column.model)?)
        .labelled(column.label.clone())
        .with(recipe.settings_of(column, quick)?)
        .fitted(if quick { 1 } else { column.fits })
        .meeting(mode))
}

fn print_table(recipe: &Recipe, data: &str, report: &EvalReport) -> anyhow::Result<()> {
    print(format!("{} ({data})\n{}\n", recipe.title, recipe.about.trim()))?;
    if recipe.protocol.parse() == Ok(Protocol::TopNNewUsers) {
        // Nothing published stands beside it, and one figure a line would not show what is given.
        return print(foldin_eval::text_table(report));
    }
    if recipe.metrics.is_empty() {
        print_lines(recipe, data, report)?;
    }
    let beside = foldin_eval::table::render_beside(report, &recipe.published(data));
    if !beside.is_empty() {
        print(beside)?;
    }
    let remark = if recipe.column.iter().any(|column| !column.paper.is_empty()) {
        "; the paper's folds are not published, so compare means"
    } else {
        ""
    };
    print(format!(
        "{} folds of {} run, seed {}, {} threads, {}{remark}",
        report.folds.len(),
        report.of_folds,
        report.seed,
        report.threads,
        report.machine.cpu
    ))
}

/// A line a model and figure, with the paper's beside it.
fn print_lines(recipe: &Recipe, data: &str, report: &EvalReport) -> anyhow::Result<()> {
    let first = recipe.column.first().map_or("", |column| column.label.as_str());
    let published = recipe.column.iter().any(|column| !column.paper.is_empty());
    let mut header: Vec<String> =
        ["model", "figure", "paper, mean", "ours, mean", "± 95 %"].map(str::to_owned).to_vec();
    let in_fold =
        |fold| if published { format!("fold {fold}: paper / ours") } else { format!("fold {fold}") };
    header.extend(report.folds.iter().map(in_fold));
    header.extend([format!("− {first}"), "p (Holm)".to_owned(), "fit".to_owned()]);
    let mut out = table([]);
    out.set_header(&header);
    for column in &recipe.column {
        let Some(model) = report.model(&column.label) else { continue };
        let mut row = vec![column.label.clone(), column.metric.clone(), figure(column.paper_mean(data))];
        match model.metrics.get(&column.metric) {
            Some(summary) => {
                row.push(format!("{:.4}", summary.mean));
                row.push(figure(summary.interval()));
                for (at, fold) in report.folds.iter().enumerate() {
                    let ours = figure(summary.folds.get(at).copied());
                    let number = fold.parse::<usize>().ok();
                    let paper = number.and_then(|number| column.paper.get(number - 1).copied());
                    row.push(if published { format!("{} / {ours}", figure(paper)) } else { ours });
                }
            }
            None => row.push(model.cannot.clone().unwrap_or_else(|| "not measured".to_owned())),
        }
        row.resize(header.len() - 3, String::new());
        let paired = model.paired.as_ref().and_then(|paired| paired.by_metric.get(&column.metric));
        row.push(paired.map_or_else(String::new, |test| format!("{:+.4}", test.mean_difference)));
        row.push(paired.map_or_else(String::new, p_value));
        let seconds = model.fit_seconds.iter().sum::<f64>() / model.fit_seconds.len().max(1) as f64;
        row.push(seconds_in_words(seconds));
        out.add_row(row);
    }
    for column in out.column_iter_mut().skip(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    print(out)
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.4}"))
}

/// Writes the report and the page, with the paper's figures in both.
fn write(
    recipe: &Recipe,
    data: &str,
    file: &str,
    report: &EvalReport,
    out: &Path,
    global: &Global,
) -> anyhow::Result<()> {
    let published = recipe.published(data);
    let mut value = serde_json::to_value(report)?;
    if let Some(map) = value.as_object_mut() {
        map.insert("recipe".to_owned(), serde_json::to_value(&published)?);
    }
    let json = out.join(format!("{file}.json"));
    write_file(&json, &(serde_json::to_string_pretty(&value)? + "\n"))?;
    let html = out.join(format!("{file}.html"));
    write_file(&html, &render_beside(report, &published)?)?;
    let markdown = out.join(format!("{file}.md"));
    write_file(&markdown, &foldin_eval::markdown::render(report, Some(&published), &command_line()))?;
    global.remark(format!("written: {}, and .html and .md beside it", json.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_by_the_same_build_alone() {
        let place = tempfile::tempdir().unwrap();
        let kept = KeptFits::new(place.path().join("unfinished"));
        assert_eq!(kept.get("one"), None);
        kept.put("one", "found");
        assert_eq!(kept.get("one").as_deref(), Some("found"));
        assert_eq!(kept.get("two"), None);
        let other = KeptFits { build: "other".to_owned(), ..KeptFits::new(kept.folder.clone()) };
        assert_eq!(other.get("one"), None);
        // A folder that cannot be written keeps nothing, and nothing breaks.
        let nowhere = KeptFits::new(kept.file("one").join("below"));
        nowhere.put("one", "found");
        assert_eq!(nowhere.get("one"), None);
    }
}
