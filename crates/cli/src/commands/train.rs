//! `foldin train`: fits a model on all of a data set and writes it to a folder.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use foldin_core::{Dataset, FitContext, FitError, Interactions, ModelEntry, Recommender};
use foldin_engine::train::{LEARNING_CURVE, Recorder};
use foldin_models::folder::{SaveOptions, SavedContext};
use serde_json::json;

use crate::checkpoint::{FolderCheckpoint, Run};
use crate::common::{Global, check_folder, print, seconds_in_words, usage};
use crate::data_args::DataArgs;
use crate::models::find;
use crate::progress::{FitBar, cancel_on_ctrl_c, errors_in_words};
use crate::settings::{SettingsArgs, Target, resolve};

const EXAMPLES: &str = "\
Examples:
  foldin train --data ml-100k --model lfg-bayes --out model
  foldin train --data ml-1m --model popularity --liked-from 4 --out model
  foldin train --data ratings.csv --model lfg --set epochs=20 --set widths=[256] --out model
  foldin train --data ml-1m --model lfg --out model --resume      go on after Ctrl-C";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    data: DataArgs,
    /// Model, as `foldin models` lists them
    #[arg(long, value_name = "MODEL")]
    model: String,
    #[command(flatten)]
    settings: SettingsArgs,
    /// Folder to write the model to
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// For a model that learns from clicks, on data with ratings: the lowest rating that counts as a click [default: every rating does]
    #[arg(long, value_name = "RATING", allow_negative_numbers = true)]
    liked_from: Option<f32>,
    /// Replace the model folder if it is there already
    #[arg(long)]
    overwrite: bool,
    /// Seed of everything random
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Keep a checkpoint every N epochs as well; one is always kept on Ctrl-C
    #[arg(long, default_value_t = 0, value_name = "N")]
    checkpoint_every: usize,
    /// Go on with the interrupted run in OUT.checkpoint
    #[arg(long, conflicts_with = "restart")]
    resume: bool,
    /// Throw the interrupted run in OUT.checkpoint away and begin anew
    #[arg(long)]
    restart: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let entry = find(&args.model)?;
    let target = Target { label: entry.name, entry };
    let settings = args.settings.of_each(&[target], global)?.remove(0);
    let config = resolve(entry, &settings)?;
    if args.out.exists() && !args.overwrite {
        bail!(
            "{} exists already: add --overwrite to replace it, or choose another --out",
            args.out.display()
        );
    }
    check_folder(&args.out)?;
    let mut dataset = args.data.open(global)?;
    dataset.interactions = as_learned(&dataset, entry, args.liked_from, global)?;
    let run = Run {
        model: entry.name.to_owned(),
        config: config.clone(),
        data_fingerprint: dataset.interactions.fingerprint(),
        seed: args.seed,
    };
    let checkpoint =
        FolderCheckpoint::open(&args.out, run, args.checkpoint_every, args.resume, args.restart)?;
    let cancel = cancel_on_ctrl_c()?;

    let bar = FitBar::new(entry.name, global.shows_progress());
    let recorder = Recorder::new(&bar);
    let ctx = FitContext { seed: args.seed, progress: &recorder, cancel, checkpoints: Some(&checkpoint) };
    let begin = Instant::now();
    let fitted = entry.fit(&settings, &dataset.training_data(), &ctx);
    let last = bar.finish();
    let model = match fitted {
        Err(FitError::Cancelled { .. }) if !FolderCheckpoint::folder_for(&args.out).exists() => {
            bail!("stopped before the end of an epoch, so there is nothing to go on from")
        }
        Err(FitError::Cancelled { epochs }) => bail!(
            "stopped after {epochs} epochs; the run is kept in {}: the same command with --resume goes on",
            FolderCheckpoint::folder_for(&args.out).display()
        ),
        fitted => fitted?,
    };
    let seconds = begin.elapsed().as_secs_f64();
    let errors = last.map(errors_in_words).filter(|words| !words.is_empty());
    save(
        &args.out,
        &*model,
        &dataset,
        config,
        json!({
            "fit_seconds": seconds,
            "seed": args.seed,
            "train_rmse": last.and_then(|epoch| epoch.train_rmse),
            "validation_rmse": last.and_then(|epoch| epoch.validation_rmse),
            "validation_ndcg": last.and_then(|epoch| epoch.validation_ndcg),
            "liked_from": args.liked_from,
            LEARNING_CURVE: recorder.points(),
        }),
        args.overwrite,
    )?;
    checkpoint.discard()?;
    print(format!(
        "{} trained on {} ({} {} of {} users) in {}{}; written to {}",
        entry.name,
        dataset.name,
        dataset.interactions.len(),
        if dataset.interactions.feedback().scale().is_some() { "ratings" } else { "interactions" },
        dataset.interactions.n_users(),
        seconds_in_words(seconds),
        errors.map(|errors| format!(" ({errors})")).unwrap_or_default(),
        args.out.display()
    ))?;
    if model.capabilities().keeps_histories {
        global.remark(format!(
            "warning: {} holds the ratings of all {} training users, without their names: who gets the folder can read them",
            args.out.display(),
            dataset.interactions.n_users()
        ));
    }
    for note in model.notes() {
        global.remark(format!("note: {note}"));
    }
    Ok(())
}

/// The interactions as the model learns from them: ratings lose their values for a model of clicks, and those below `liked_from` go.
fn as_learned(
    dataset: &Dataset,
    entry: &ModelEntry,
    liked_from: Option<f32>,
    global: &Global,
) -> anyhow::Result<Interactions> {
    let ratings = &dataset.interactions;
    let clicks = ratings.feedback().scale().is_some() && !entry.capabilities.explicit;
    match (liked_from, clicks) {
        (Some(least), false) => Err(usage(format!(
            "--liked-from {least} makes clicks of ratings, but {} learns from {}; leave it out",
            entry.name,
            if entry.capabilities.explicit { "ratings" } else { "the clicks that the data are" }
        ))),
        (None, false) => Ok(ratings.clone()),
        (Some(least), true) => {
            let keep: Vec<bool> = ratings.by_user().values().iter().map(|&value| value >= least).collect();
            Ok(ratings.filter(&keep).as_implicit())
        }
        (None, true) => {
            global.remark(format!(
                "note: {} learns from clicks: every rating counts as one, whatever it says; --liked-from leaves low ones out",
                entry.name
            ));
            Ok(ratings.as_implicit())
        }
    }
}

/// Writes a model trained on a data set to a folder.
pub(crate) fn save(
    out: &std::path::Path,
    model: &dyn Recommender,
    dataset: &Dataset,
    config: serde_json::Value,
    metrics: serde_json::Value,
    overwrite: bool,
) -> anyhow::Result<()> {
    let context = SavedContext::of(dataset, config, metrics);
    foldin_models::folder::save(out, model, &context, SaveOptions { overwrite })?;
    Ok(())
}
