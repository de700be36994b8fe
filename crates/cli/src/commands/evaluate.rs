//! `foldin evaluate`: models side by side under one protocol.

use std::path::PathBuf;

use anyhow::{Context, anyhow, bail};
use foldin_core::Dataset;
use foldin_core::registry::ModelEntry;
use foldin_data::known::find_split;
use foldin_eval::{EvalError, EvalOptions, EvalReport, GivenSplit, ModelRequest, Protocol};

use crate::common::{Global, check_writable, command_line, print, usage, write_file};
use crate::data_args::DataArgs;
use crate::models::find;
use crate::progress::{EvalBars, cancel_on_ctrl_c};
use crate::settings::{SettingsArgs, Target};

const EXAMPLES: &str = "\
Examples:
  foldin evaluate --data ml-100k --models bias-svd,lfg,lfg-bayes
  foldin evaluate --data ml-1m --protocol new-users --models bias-svd,lfg-bayes --only-folds 1
  foldin evaluate --data ml-100k --split u1 --models bias-svd,lfg-bayes --html u1.html
  foldin evaluate --data ratings.csv --models lfg --set epochs=20 --threads 1
  foldin evaluate --data ml-100k --protocol top-n --models popularity,item-knn --liked-from 4
  foldin evaluate --protocol top-n --split train.tsv,test.tsv --models popularity,item-knn --cutoffs 5,20
  foldin evaluate --data ratings.csv --models bias,small=bias-svd,large=bias-svd --set small.factors=8 --set large.factors=64

Protocols:
  ratings         each user's ratings are dealt to the folds
  ratings-random  a random tenth of all ratings is tested; each fold is another draw
  new-users       users are dealt to the folds; a fold's users are new, and give 0, 1,
                  5, 10, 20 or all of 80 % of their ratings; the rest is predicted
  top-n           folds as in ratings; all items that a user has not had are ranked
  top-n-new-users folds as in new-users, with 3 given too; all items but those that the
                  user could give are ranked
  --split stands in place of the folds of protocols ratings and top-n. Some data sets are
  splits: cfgan-ml-100k, cfgan-ml-1m, cfgan-ciao

Errors are RMSE, predictions clipped to the scale; lists are measured by nDCG and others at
each cutoff, for models of clicks and for models of ratings alike. Test ratings of items that
nobody has in the training part are left out and counted; a split without any other, or an
empty file, is an error. A user without training ratings is ranked for by an empty history. A
list is as long as there are items left, and places beyond its end count as misses. ± is a
95 % confidence interval, over folds, or with one fold and lists over users; sd over repeated
fits. The form of the JSON report is described in docs/report-schema.md.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// What is tested: ratings, ratings-random, new-users, top-n or top-n-new-users
    #[arg(long, default_value = "ratings", value_name = "PROTOCOL")]
    protocol: String,
    /// Models, separated by commas; each later one is tested against the first. LABEL=MODEL names one, to have a model twice
    #[arg(long, value_delimiter = ',', required = true, value_name = "A,B,…")]
    models: Vec<String>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Number of folds, or of draws for ratings-random [default: 5]
    #[arg(long, value_name = "N")]
    folds: Option<usize>,
    /// Run only these folds, numbered from 1
    #[arg(long, value_delimiter = ',', value_name = "1,2,…")]
    only_folds: Vec<usize>,
    /// A given split instead of folds: two files, TRAIN,TEST, or one that comes with the data (u1…u5, ua, ub). May be given often
    #[arg(long, value_name = "TRAIN,TEST|NAME")]
    split: Vec<String>,
    /// Lengths of the lists to measure, where items are ranked [default: 5,10,20]
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    cutoffs: Vec<usize>,
    /// Where items are ranked: the lowest rating that counts as liked [default: every rating counts]
    #[arg(long, value_name = "RATING", allow_negative_numbers = true)]
    liked_from: Option<f32>,
    /// Fit each model so many times in each fold, with another seed each time; figures are means
    #[arg(long, default_value_t = 1, value_name = "N")]
    fits: usize,
    /// Seed of the splits and of everything random in the models
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// A remark to stand in the report, such as what else the machine was busy with. May be given often
    #[arg(long, value_name = "TEXT")]
    note: Vec<String>,
    /// Write the report as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as one HTML page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the report as a page of Markdown
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let protocol = protocol_of(&args.protocol)?;
    let splits = splits_of(&args.data, &args.split);
    let folds = check_folds(args, protocol, splits.len())?;
    check_ranking(args, protocol)?;
    let models = requests(args, global)?;
    for path in args.json.iter().chain(&args.html).chain(&args.markdown) {
        check_writable(path)?;
    }
    let dataset = open_with_splits(&args.data, &splits, global)?;
    check_feedback(protocol, models.iter().map(|model| &model.entry), &dataset)?;
    let given = splits
        .iter()
        .map(|(name, spec)| given_split(name, spec, &dataset, &args.data, global))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let defaults = EvalOptions::default();
    let options = EvalOptions {
        protocol: if given.is_empty() || protocol.ranks() { protocol } else { Protocol::Given },
        cutoffs: if args.cutoffs.is_empty() { defaults.cutoffs } else { once(&args.cutoffs) },
        liked_from: args.liked_from,
        folds,
        only_folds: args.only_folds.clone(),
        seed: args.seed,
        given,
        ..EvalOptions::default()
    };
    let (mut report, stopped) = match evaluate(&dataset, &models, options, global) {
        Ok(report) => (report, None),
        Err(error) => match error.downcast::<EvalError>()? {
            EvalError::Partial { report } => {
                let stopped =
                    format!("stopped; the report is partial: it holds {} of the folds", report.folds.len());
                (*report, Some(stopped))
            }
            error => return Err(error.into()),
        },
    };
    report.notes.extend(args.note.iter().cloned());
    print(foldin_eval::table::render(&report))?;
    if let Some(path) = &args.json {
        write_file(path, &report.to_json())?;
        global.remark(format!("report written to {}", path.display()));
    }
    if let Some(path) = &args.html {
        write_file(path, &foldin_eval::html::render(&report)?)?;
        global.remark(format!("page written to {}", path.display()));
    }
    if let Some(path) = &args.markdown {
        write_file(path, &foldin_eval::markdown::render(&report, None, &command_line()))?;
        global.remark(format!("page written to {}", path.display()));
    }
    stopped.map_or(Ok(()), |stopped| Err(anyhow!(stopped)))
}

/// The protocol of a name, of those that can be asked for.
pub(crate) fn protocol_of(name: &str) -> anyhow::Result<Protocol> {
    match name.parse() {
        Ok(Protocol::Given) | Err(_) => {
            Err(usage(EvalError::UnknownProtocol { name: name.to_owned() }.to_string()))
        }
        Ok(protocol) => Ok(protocol),
    }
}

/// Reads the data; those of a single split of two files without `--data`, or by its name, are both files together.
pub(crate) fn open_with_splits(
    data: &DataArgs,
    splits: &[(String, String)],
    global: &Global,
) -> anyhow::Result<Dataset> {
    match (&data.data, splits) {
        (None, [(name, spec)]) => data.open_split(name, spec, global),
        (Some(name), [(split, spec)]) if name == split => data.open_split(name, spec, global),
        _ => data.open(global),
    }
}

/// The splits asked for, or that the data set is: what each is called, and what it is.
pub(crate) fn splits_of(data: &DataArgs, asked: &[String]) -> Vec<(String, String)> {
    let known = data.data.as_deref().and_then(find_split).filter(|_| asked.is_empty());
    let given = asked.iter().map(|spec| (spec.clone(), spec.clone()));
    known.map(|known| (known.name.to_owned(), known.files())).into_iter().chain(given).collect()
}

/// Numbers as given, each the first time alone.
fn once(numbers: &[usize]) -> Vec<usize> {
    let mut out = Vec::new();
    numbers.iter().for_each(|number| {
        if !out.contains(number) {
            out.push(*number);
        }
    });
    out
}

/// Refuses what only ranking understands, under other protocols.
fn check_ranking(args: &Args, protocol: Protocol) -> anyhow::Result<()> {
    let ranking = [("--cutoffs", !args.cutoffs.is_empty()), ("--liked-from", args.liked_from.is_some())];
    match ranking.into_iter().find(|&(_, given)| given && !protocol.ranks()) {
        Some((flag, _)) => Err(usage(format!(
            "{flag} is about ranked lists, which protocol {protocol} does not make; say --protocol top-n"
        ))),
        None if args.fits == 0 => Err(usage("--fits 0 would fit nothing; 1 is the least")),
        None => Ok(()),
    }
}

/// The number of folds; checks before anything is read that those asked for can be there.
fn check_folds(args: &Args, protocol: Protocol, splits: usize) -> anyhow::Result<usize> {
    let split = splits > 0;
    if split && !matches!(protocol, Protocol::Ratings | Protocol::TopN) {
        return Err(usage(format!(
            "a given split brings its own training and test ratings, which is not protocol {protocol}: leave out one of the two"
        )));
    }
    let folds = match args.folds {
        Some(folds) if split => {
            return Err(usage(format!(
                "--folds {folds} has no meaning with --split, where each split is one fold: leave out one of the two"
            )));
        }
        folds => folds.unwrap_or(5),
    };
    if protocol == Protocol::RatingsRandom && folds == 0 {
        return Err(usage("--folds 0 leaves nothing to test; ratings-random needs at least one draw"));
    }
    if protocol != Protocol::RatingsRandom && folds < 2 {
        return Err(EvalError::TooFewFolds { folds }.into());
    }
    let folds_here = if split { splits } else { folds };
    match args.only_folds.iter().find(|&&fold| fold == 0 || fold > folds_here) {
        Some(&fold) => Err(EvalError::UnknownFold { fold, folds: folds_here }.into()),
        None => Ok(folds),
    }
}

/// The models with their labels and settings.
fn requests(args: &Args, global: &Global) -> anyhow::Result<Vec<ModelRequest>> {
    let mut targets: Vec<Target<'_>> = Vec::new();
    for text in &args.models {
        let (label, name) = text.split_once('=').unwrap_or((text, text));
        let target = Target { label: label.trim(), entry: find(name.trim())? };
        if target.label.is_empty() {
            return Err(usage(format!("`{text}` has no label before the =")));
        }
        if targets.iter().any(|other| other.label == target.label) {
            return Err(usage(format!(
                "two models are called `{0}`: name one of them, such as --models {0},other={1} --set other.KEY=VALUE",
                target.label, target.entry.name
            )));
        }
        targets.push(target);
    }
    let settings = args.settings.of_each(&targets, global)?;
    let requests = targets.iter().zip(settings);
    Ok(requests
        .map(|(target, settings)| {
            ModelRequest::new(*target.entry).labelled(target.label).with(settings).fitted(args.fits)
        })
        .collect())
}

/// Refuses models of clicks where ratings are predicted, before anything is fitted.
pub(crate) fn check_feedback<'a>(
    protocol: Protocol,
    models: impl IntoIterator<Item = &'a ModelEntry>,
    dataset: &Dataset,
) -> anyhow::Result<()> {
    if protocol.ranks() || dataset.interactions.feedback().scale().is_none() {
        return Ok(());
    }
    match models.into_iter().find(|entry| !entry.capabilities.explicit) {
        Some(entry) => Err(usage(format!(
            "{} learns from clicks and predicts no ratings, which is what protocol {protocol} tests; --protocol top-n tests lists, and \
             takes ratings as clicks",
            entry.name
        ))),
        None => Ok(()),
    }
}

/// Runs an evaluation with progress bars; Ctrl-C stops it after the epoch.
pub(crate) fn evaluate(
    dataset: &Dataset,
    models: &[ModelRequest],
    options: EvalOptions,
    global: &Global,
) -> anyhow::Result<EvalReport> {
    let options = EvalOptions { cancel: cancel_on_ctrl_c()?, ..options };
    let bars = EvalBars::new(global.shows_progress());
    let report = foldin_eval::evaluate(dataset, models, &options, &bars);
    bars.finish();
    Ok(report?)
}

/// Reads a split of a data set.
pub(crate) fn given_split(
    name: &str,
    spec: &str,
    dataset: &Dataset,
    args: &DataArgs,
    global: &Global,
) -> anyhow::Result<GivenSplit> {
    let data = args.data.as_deref().unwrap_or_default();
    let (train, test) = foldin_data::read_split(data, dataset, spec, &args.options(global)?)
        .with_context(|| format!("--split {spec}"))?;
    if test.is_empty() {
        bail!("--split {spec}: the test part is empty");
    }
    Ok(GivenSplit { name: name.to_owned(), train, test })
}
