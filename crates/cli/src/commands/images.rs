//! `foldin data images`: the pictures of a data set, by address.

use anyhow::bail;
use clap::Subcommand;
use foldin_vision::data::amazon::{Files, addresses};
use foldin_vision::data::fetch::{FetchOptions, fetch};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::commands::vision::find;
use crate::common::{Global, print, usage};
use crate::progress::cancel_on_ctrl_c;

const EXAMPLES: &str = "\
Examples:
  foldin data images fetch --data amazon-fashion                    a folder of reviews and meta_*; pictures go to images/ in it
  foldin data images fetch --data amazon-fashion --connections 2 --retry-broken";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Download the pictures that Amazon reviews and metadata name by address; goes on where an earlier attempt stopped
    #[command(after_help = EXAMPLES)]
    Fetch {
        /// Folder with reviews and metadata as JSON lines, gzipped or not, by path or by name in the folders of data sets
        #[arg(long, value_name = "DIR")]
        data: String,
        /// Only pictures of items that somebody with at least so many items reviewed
        #[arg(long, default_value_t = 5, value_name = "N")]
        min_user: usize,
        /// Connections at a time
        #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
        connections: u8,
        /// Ask addresses again that gave no picture before
        #[arg(long)]
        retry_broken: bool,
    },
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let Command::Fetch { data, min_user, connections, retry_broken } = &args.command;
    let files = Files::find(&find(data, global)?)?
        .ok_or_else(|| usage(format!("{data}: no reviews as JSON lines are there")))?;
    let addresses = addresses(&files, *min_user)?;
    let options = FetchOptions {
        connections: usize::from(*connections),
        retry_broken: *retry_broken,
        ..FetchOptions::default()
    };
    let target =
        if global.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(addresses.len() as u64), target);
    bar.set_style(
        ProgressStyle::with_template("pictures {wide_bar} {pos}/{len} (eta {eta})")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let cancel = cancel_on_ctrl_c()?;
    let report =
        fetch(&addresses, &files.images, &options, &cancel, &|done, _| bar.set_position(done as u64));
    bar.finish_and_clear();
    let report = report?;
    let mut unreachable = report.unreachable.iter();
    if let (0, Some((address, reason))) = (report.present + report.fetched, unreachable.next()) {
        bail!("nothing could be downloaded, such as {address}: {reason}");
    }
    print(format!(
        "{} pictures in {}: {} downloaded, {} there before, {} addresses without a picture (broken.tsv), {} that did not answer and are asked \
         again by the same command, {} left",
        report.present + report.fetched,
        files.images.display(),
        report.fetched,
        report.present,
        report.broken.len(),
        report.unreachable.len(),
        report.left
    ))
}
