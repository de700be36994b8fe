//! `foldin tune`: a search for a model's settings, by a validation part of the training data alone.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use foldin_core::Dataset;
use foldin_core::registry::{ModelEntry, Settings};
use foldin_core::search::Space;
use foldin_eval::tune::{Search, Trial, attempt, greater_is_better, training_part, validation_options};
use foldin_eval::{EvalError, EvalOptions, GivenSplit, ModelRequest, Protocol};
use serde::{Deserialize, Serialize};

use crate::commands::evaluate::{check_feedback, given_split, open_with_splits, protocol_of, splits_of};
use crate::common::{Global, print, seconds_in_words, table, usage, write_file};
use crate::data_args::DataArgs;
use crate::models::find;
use crate::progress::{TuneBar, cancel_on_ctrl_c};
use crate::settings::{SettingsArgs, Target};

/// Trials kept in the folder, one a line, after a line on what is searched.
const TRIALS: &str = "trials.jsonl";
/// Version of that file.
const FORMAT: u32 = 1;
/// Trials shown at the end.
const SHOWN: usize = 8;

const EXAMPLES: &str = "\
Examples:
  foldin tune --data ml-100k --model bias-svd --trials 30
  foldin tune --data cfgan-ml-100k --protocol top-n --model ease --trials 20 --out tuning/ease
  foldin tune --data cfgan-ml-100k --protocol top-n --model ease --trials 60 --out tuning/ease --resume
  foldin tune --data ratings.csv --model lfg --set epochs=20 --space factors=choice:20:40:80 --only factors,learning_rate

The test part of the protocol is taken away first: that of fold 1, or of the split. Trials are
judged by a tenth of the rest, cut as the protocol cuts. The first trial has the defaults, some
are drawn at random, and the others where good ones were (a tree-structured Parzen estimator).
Spaces are those of `foldin models show`; a space is uniform:LOW:HIGH, log:LOW:HIGH,
integers:LOW:HIGH, log-integers:LOW:HIGH or choice:A:B:…";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Model, as `foldin models` lists them
    #[arg(long, value_name = "MODEL")]
    model: String,
    /// What the model is to be good at: ratings, ratings-random, new-users, top-n or top-n-new-users
    #[arg(long, default_value = "ratings", value_name = "PROTOCOL")]
    protocol: String,
    /// A given split, TRAIN,TEST, or one that comes with the data; only its training part is used
    #[arg(long, value_name = "TRAIN,TEST|NAME")]
    split: Option<String>,
    /// Use all of the data, for a model that goes into service and is not to be tested on them
    #[arg(long, conflicts_with = "split")]
    all_data: bool,
    /// How many settings to try, the default included
    #[arg(long, default_value_t = 30, value_name = "N")]
    trials: usize,
    /// Where to look for a setting, instead of the model's own space. May be given often
    #[arg(long, value_name = "KEY=SPACE")]
    space: Vec<String>,
    /// Search these settings alone
    #[arg(long, value_delimiter = ',', value_name = "KEY,…")]
    only: Vec<String>,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Where items are ranked: the lowest rating that counts as liked [default: every rating counts]
    #[arg(long, value_name = "RATING", allow_negative_numbers = true)]
    liked_from: Option<f32>,
    /// Tenths of the training part that judge each trial, one after the other: of little data, one is a poor judge
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=10))]
    folds: u8,
    /// Seed of the splits, of the search and of everything random in the model
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Folder for trials.jsonl, report.json and report.html [default: runs/tune-MODEL-DATA]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the search in the folder
    #[arg(long)]
    resume: bool,
}

/// What a search is about: with another one its trials cannot be compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    format: u32,
    model: String,
    data: String,
    fingerprint: String,
    protocol: String,
    metric: String,
    seed: u64,
    /// Tenths that judge a trial; headers of before there was a choice do not say.
    #[serde(default = "one")]
    folds: u8,
    fixed: serde_json::Map<String, serde_json::Value>,
    spaces: Vec<(String, String)>,
}

fn one() -> u8 {
    1
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let protocol = protocol_of(&args.protocol)?;
    if args.trials == 0 {
        return Err(usage("--trials 0 would try nothing; 1 tries the default"));
    }
    if args.liked_from.is_some() && !protocol.ranks() {
        return Err(usage(format!(
            "--liked-from is about ranked lists, which protocol {protocol} does not make"
        )));
    }
    let entry = find(&args.model)?;
    if protocol.tests_new_users() && !entry.capabilities.new_users {
        return Err(usage(format!(
            "{} cannot serve users who were not in the training, which protocol {protocol} asks for",
            entry.name
        )));
    }
    let fixed = args.settings.of_each(&[Target { label: entry.name, entry }], global)?.remove(0);
    let spaces = spaces(entry, args, &fixed)?;
    if let Some((key, _)) = spaces.iter().find(|(key, _)| fixed.contains_key(key)) {
        return Err(usage(format!(
            "`{key}` is fixed by --set and searched by --space: leave out one of the two"
        )));
    }
    let (training, options) = training(args, protocol, global)?;
    let header = Header {
        format: FORMAT,
        model: entry.name.to_owned(),
        data: training.name.clone(),
        fingerprint: training.interactions.fingerprint(),
        protocol: protocol.name().to_owned(),
        metric: options.main_metric(),
        seed: args.seed,
        folds: args.folds,
        fixed: fixed.clone(),
        spaces: spaces.iter().map(|(key, space)| (key.clone(), space.to_string())).collect(),
    };
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("runs/tune-{}-{}", entry.name, training.name)));
    let file = out.join(TRIALS);
    let mut search = Search::new(spaces, &header.metric, args.seed);
    begin(&file, &header, args.resume, &mut search)?;

    let request = ModelRequest::new(*entry).with(fixed);
    let options = EvalOptions { cancel: cancel_on_ctrl_c()?, ..options };
    let bar = TuneBar::new(args.trials, &header.metric, global.shows_progress());
    bar.at(search.trials().len(), search.best().and_then(|best| best.value));
    while search.trials().len() < args.trials {
        let next = search.next();
        bar.trying(&next);
        let trial = match attempt(&training, &request, &options, &bar, next) {
            Ok(trial) => trial,
            Err(EvalError::Cancelled | EvalError::Partial { .. }) => {
                bar.finish();
                bail!(
                    "stopped after {} trials, which are kept in {}: the same command with --resume goes on",
                    search.trials().len(),
                    out.display()
                )
            }
            Err(error) => return Err(error.into()),
        };
        append(&file, &serde_json::to_string(&trial)?)?;
        search.tell(trial);
        bar.at(search.trials().len(), search.best().and_then(|best| best.value));
    }
    bar.finish();
    report(&header, &search, entry, &out, global)
}

/// The settings to search and where.
fn spaces(entry: &ModelEntry, args: &Args, fixed: &Settings) -> anyhow::Result<Vec<(String, Space)>> {
    let keys = entry.keys();
    let known = |key: &str| {
        keys.iter().find(|known| known.key == key).ok_or_else(|| {
            usage(format!("{} has no setting `{key}`; `foldin models show {0}` lists them", entry.name))
        })
    };
    let mut given = Vec::new();
    for text in &args.space {
        let (key, space) = text.split_once('=').ok_or_else(|| {
            usage(format!("`--space {text}` is not KEY=SPACE, such as --space factors=choice:16:32"))
        })?;
        known(key)?;
        given.push((key.to_owned(), space.parse::<Space>().map_err(usage)?));
    }
    for key in &args.only {
        if known(key)?.search.is_empty() && !given.iter().any(|(other, _)| other == key) {
            return Err(usage(format!(
                "`{key}` has no space of its own; say where to look with --space {key}=…"
            )));
        }
    }
    let mut out = Vec::new();
    for key in &keys {
        let wanted = args.only.is_empty() || args.only.contains(&key.key);
        match given.iter().find(|(other, _)| *other == key.key) {
            Some(given) => out.push(given.clone()),
            None if wanted && !key.search.is_empty() && !fixed.contains_key(&key.key) => {
                let space =
                    key.search.parse().map_err(|reason| anyhow!("the space of `{}`: {reason}", key.key))?;
                out.push((key.key.clone(), space));
            }
            None => {}
        }
    }
    if out.is_empty() {
        return Err(usage(if keys.is_empty() {
            format!("{} has no settings, so there is nothing to search", entry.name)
        } else {
            format!("{} has nothing to search; say what with --space KEY=SPACE", entry.name)
        }));
    }
    Ok(out)
}

/// What may be used, and how trials are judged.
fn training(args: &Args, protocol: Protocol, global: &Global) -> anyhow::Result<(Dataset, EvalOptions)> {
    let splits = splits_of(&args.data, args.split.as_slice());
    let dataset = open_with_splits(&args.data, &splits, global)?;
    check_feedback(protocol, [find(&args.model)?], &dataset)?;
    let given = splits
        .iter()
        .map(|(name, spec)| given_split(name, spec, &dataset, &args.data, global))
        .collect::<anyhow::Result<Vec<GivenSplit>>>()?;
    if !given.is_empty() && !matches!(protocol, Protocol::Ratings | Protocol::TopN) {
        return Err(usage(format!("a given split is not protocol {protocol}: leave out one of the two")));
    }
    let protocol = if given.is_empty() || protocol.ranks() { protocol } else { Protocol::Given };
    let options = EvalOptions {
        protocol,
        seed: args.seed,
        given,
        liked_from: args.liked_from,
        cutoffs: vec![20],
        ..EvalOptions::default()
    };
    let training = if args.all_data { dataset } else { training_part(&dataset, &options, 0)? };
    let options = validation_options(&options);
    Ok((training, EvalOptions { only_folds: (1..=usize::from(args.folds)).collect(), ..options }))
}

/// Starts the file of trials, or takes in those that are there.
fn begin(file: &Path, header: &Header, resume: bool, search: &mut Search) -> anyhow::Result<()> {
    if !file.exists() {
        if resume {
            bail!("there is no search in {}: leave out --resume to begin one", file.display());
        }
        return write_file(file, &(serde_json::to_string(header)? + "\n"));
    }
    if !resume {
        bail!(
            "{} holds a search already: go on with --resume, or choose another --out",
            file.parent().unwrap_or(file).display()
        );
    }
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let mut lines = text.lines().enumerate();
    let first = lines.next().map_or("", |(_, line)| line);
    let found: Header = serde_json::from_str(first)
        .with_context(|| format!("{}, line 1: not the beginning of a search", file.display()))?;
    if found != *header {
        bail!(
            "{} is a search of {} on {} ({}) with other data, seed, settings or spaces than asked for now; choose another --out",
            file.display(),
            found.model,
            found.data,
            found.protocol
        );
    }
    let mut whole = first.len() + 1;
    for (at, line) in lines {
        match serde_json::from_str::<Trial>(line) {
            Ok(trial) if trial.number == search.trials().len() + 1 => search.tell(trial),
            Ok(_) => bail!("{}, line {}: trials are missing before this one", file.display(), at + 1),
            // A trial that was cut off while it was written is made again.
            Err(_) if !text.ends_with('\n') && at + 1 == text.lines().count() => {
                let kept = OpenOptions::new().write(true).open(file)?;
                kept.set_len(whole as u64)?;
                break;
            }
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{}, line {}: not a trial", file.display(), at + 1));
            }
        }
        whole += line.len() + 1;
    }
    Ok(())
}

fn append(file: &Path, line: &str) -> anyhow::Result<()> {
    let mut out = OpenOptions::new().append(true).open(file).with_context(|| file.display().to_string())?;
    writeln!(out, "{line}").with_context(|| file.display().to_string())
}

/// Prints the best trials and writes the report.
fn report(
    header: &Header,
    search: &Search,
    entry: &ModelEntry,
    out: &Path,
    global: &Global,
) -> anyhow::Result<()> {
    let Some(best) = search.best() else {
        let problem = search.trials().iter().find_map(|trial| trial.problem.clone()).unwrap_or_default();
        bail!("no trial gave a model; the first said: {problem}");
    };
    let mut ranked: Vec<&Trial> = search.trials().iter().filter(|trial| trial.value.is_some()).collect();
    let sign = if greater_is_better(&header.metric) { -1.0 } else { 1.0 };
    ranked.sort_by(|a, b| (sign * a.value.unwrap_or(0.0)).total_cmp(&(sign * b.value.unwrap_or(0.0))));
    let keys: Vec<&str> = header.spaces.iter().map(|(key, _)| key.as_str()).collect();
    let mut shown = table([]);
    shown.set_header(["trial", header.metric.as_str(), "fit"].into_iter().chain(keys.iter().copied()));
    let first = search
        .trials()
        .first()
        .filter(|first| !ranked.iter().take(SHOWN).any(|trial| trial.number == first.number));
    for trial in ranked.iter().take(SHOWN).copied().chain(first) {
        let mut row = vec![
            trial.number.to_string(),
            trial.value.map_or_else(|| "failed".to_owned(), |value| format!("{value:.4}")),
            seconds_in_words(trial.seconds),
        ];
        row.extend(keys.iter().map(|key| trial.settings.get(*key).map_or("default".to_owned(), in_short)));
        shown.add_row(row);
    }
    print(format!(
        "{} · {} · protocol {} · {} trials, judged by a validation part of the training data",
        header.model,
        header.data,
        header.protocol,
        search.trials().len()
    ))?;
    print(shown)?;
    let failed = search.trials().len() - ranked.len();
    if failed > 0 {
        print(format!("{failed} trials failed; {} says why", out.join(TRIALS).display()))?;
    }
    let words: Vec<String> =
        best.settings.iter().map(|(key, value)| format!("--set {key}={}", in_short(value))).collect();
    print(if words.is_empty() {
        "nothing tried is better than the default settings".to_owned()
    } else {
        format!("best: {}", words.join(" "))
    })?;
    let json = serde_json::json!({
        "format": FORMAT,
        "search": header,
        "best": best,
        "config": entry.resolve(&header.fixed.clone().into_iter().chain(best.settings.clone()).collect())?,
        "trials": search.trials(),
    });
    write_file(&out.join("report.json"), &(serde_json::to_string_pretty(&json)? + "\n"))?;
    let title = format!("{} on {}: {}", header.model, header.data, header.metric);
    let page = foldin_eval::html::render_search(&title, &header.metric, &header.spaces, search.trials())?;
    write_file(&out.join("report.html"), &page)?;
    global.remark(format!("written: {}, and report.html beside it", out.join("report.json").display()));
    Ok(())
}

fn in_short(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
