//! `foldin import`: the histories of a data set, into a store.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::bail;
use foldin_core::Feedback;
use foldin_engine::Kinds;
use foldin_engine::store::Store;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::common::{Global, now, print, seconds_in_words};
use crate::data_args::DataArgs;
use crate::service::{StoreFolder, begin_import, end_import, import};

const EXAMPLES: &str = "\
Examples:
  foldin import --store store --data ml-1m
  foldin import --store store --data shop.csv --implicit --kind purchase

A server that is running has the store to itself: stop it first, or send events to its POST /v1/events.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Store folder; made if it is not there
    #[arg(long, value_name = "DIR", env = "FOLDIN_STORE")]
    store: PathBuf,
    /// What the interactions are [default: rating, or click for data without ratings]
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let dataset = args.data.open(global)?;
    let kind = match (&args.kind, dataset.interactions.feedback()) {
        (Some(kind), _) => kind.clone(),
        (None, Feedback::Explicit(_)) => "rating".to_owned(),
        (None, Feedback::Implicit) => "click".to_owned(),
    };
    if let Err(error) = Kinds::default().rule(&kind) {
        bail!("--kind {kind}: {error}; a server that is to use it names it in its configuration too");
    }
    let store = StoreFolder::open(&args.store)?.events()?;
    let begin = Instant::now();
    let bar = bar(dataset.interactions.len() as u64, global);
    let name = args.data.data.clone().unwrap_or_default();
    begin_import(&store, &name)?;
    let loaded = import(&store, &dataset, &kind, now(), |done| bar.set_position(done))?;
    end_import(&store)?;
    bar.finish_and_clear();
    store.close()?;
    let seconds = begin.elapsed().as_secs_f64();
    print(format!(
        "{}: {} events of {} users and {} items written to {} in {} ({:.0} events a second)",
        dataset.name,
        loaded.events,
        dataset.users.len(),
        loaded.items,
        args.store.display(),
        seconds_in_words(seconds),
        loaded.events as f64 / seconds
    ))
}

pub(crate) fn bar(n: u64, global: &Global) -> ProgressBar {
    let target =
        if global.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(n), target);
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {human_pos}/{human_len} events {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_prefix("import");
    bar
}
