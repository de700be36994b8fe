//! `foldin data images`: the pictures of a data set, by address.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use foldin_vision::data::amazon::{Addresses, Files, addresses};
use foldin_vision::data::fetch::{FetchOptions, fetch};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::commands::vision::{Thresholds, find};
use crate::common::{Global, print, usage, write_csv};
use crate::progress::cancel_on_ctrl_c;

const EXAMPLES: &str = "\
Examples:
  foldin data images fetch --data amazon-fashion                    a folder of reviews and meta_*; pictures go to images/ in it
  foldin data images fetch --data amazon-fashion --connections 2 --retry-broken --failures failures.csv
  foldin data images fetch --data amazon-fashion/AMAZON_FASHION_5.json.gz   one of several files of reviews in a folder";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Download the pictures that Amazon reviews and metadata name by address, of items that --min-user and --min-item leave; goes on where an
    /// earlier attempt stopped
    #[command(after_help = EXAMPLES)]
    Fetch {
        /// Folder with reviews and metadata as JSON lines, gzipped or not, by path or by name in the folders of data sets; of several files of
        /// reviews in it, the one to read
        #[arg(long, value_name = "DIR")]
        data: String,
        #[command(flatten)]
        thresholds: Thresholds,
        /// Connections at a time
        #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
        connections: u8,
        /// Ask addresses again that gave no picture before
        #[arg(long)]
        retry_broken: bool,
        /// Write the addresses that gave no picture, and why, as CSV
        #[arg(long, value_name = "FILE")]
        failures: Option<PathBuf>,
    },
}

/// Addresses that did not answer which are printed.
const NAMED: usize = 5;

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let Command::Fetch { data, thresholds, connections, retry_broken, failures } = &args.command;
    let files = Files::find(&find(data, global)?)?
        .ok_or_else(|| usage(format!("{data}: no reviews as JSON lines are there")))?;
    let Thresholds { min_user, min_item } = *thresholds;
    let Addresses { pictures, other } = addresses(&files, min_user, min_item)?;
    let options = FetchOptions {
        connections: usize::from(*connections),
        retry_broken: *retry_broken,
        ..FetchOptions::default()
    };
    let target =
        if global.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(pictures.len() as u64), target);
    bar.set_style(
        ProgressStyle::with_template("pictures {wide_bar} {pos}/{len} (eta {eta})")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let cancel = cancel_on_ctrl_c()?;
    let report = fetch(&pictures, &files.images, &options, &cancel, &|done, _| bar.set_position(done as u64));
    bar.finish_and_clear();
    let report = report?;
    if let Some(file) = failures {
        let other = other.iter().map(|address| [address.as_str(), "neither http nor https"]);
        let asked = report.broken.iter().chain(&report.unreachable);
        write_csv(
            file,
            ["address", "problem"],
            asked.map(|(address, why)| [address.as_str(), why]).chain(other),
        )?;
    }
    if !other.is_empty() {
        print(format!("{} addresses that are neither http nor https, such as {}", other.len(), other[0]))?;
    }
    if pictures.is_empty() {
        bail!(
            "{}: no pictures to download: no review or metadata of an item left by --min-user {min_user} and --min-item {min_item} names one by \
             http or https",
            files.reviews.display()
        );
    }
    let there = report.present + report.fetched;
    for (address, reason) in report.unreachable.iter().take(NAMED) {
        global.remark(format!("no answer: {address}: {reason}"));
    }
    if report.unreachable.len() > NAMED && failures.is_none() {
        global.remark(format!("and {} others; --failures FILE writes all", report.unreachable.len() - NAMED));
    }
    if cancel.is_cancelled() && report.left > 0 {
        bail!(
            "stopped; {there} pictures are in {}, {} addresses are left: the same command goes on",
            files.images.display(),
            report.left
        );
    }
    if let (0, Some((address, reason))) = (there, report.unreachable.iter().next()) {
        bail!("nothing could be downloaded, such as {address}: {reason}");
    }
    print(format!(
        "{there} pictures in {}: {} downloaded, {} there before, {} addresses without a picture (broken.tsv), {} that did not answer and are \
         asked again by the same command",
        files.images.display(),
        report.fetched,
        report.present,
        report.broken.len(),
        report.unreachable.len()
    ))
}
