//! `foldin train`: fits a model on all of a data set and writes it to a folder.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use foldin_core::{Dataset, FitContext, FitError, Recommender};
use foldin_models::folder::{SaveOptions, SavedContext};
use serde_json::json;

use crate::checkpoint::{FolderCheckpoint, Run};
use crate::common::{Global, check_folder, print, seconds_in_words};
use crate::data_args::DataArgs;
use crate::models::find;
use crate::progress::{FitBar, cancel_on_ctrl_c, errors_in_words};
use crate::settings::{SettingsArgs, Target, resolve};

const EXAMPLES: &str = "\
Examples:
  foldin train --data ml-100k --model lfg-bayes --out model
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
    let dataset = args.data.open(global)?;
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
    let ctx = FitContext { seed: args.seed, progress: &bar, cancel, checkpoints: Some(&checkpoint) };
    let begin = Instant::now();
    let fitted = entry.fit(&settings, &dataset.training_data(), &ctx);
    let last = bar.finish();
    let model = match fitted {
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
        }),
        args.overwrite,
    )?;
    checkpoint.discard()?;
    print(format!(
        "{} trained on {} ({} ratings of {} users) in {}{}; written to {}",
        entry.name,
        dataset.name,
        dataset.interactions.len(),
        dataset.interactions.n_users(),
        seconds_in_words(seconds),
        errors.map(|errors| format!(" (RMSE: {errors})")).unwrap_or_default(),
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
