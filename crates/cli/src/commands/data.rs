//! `foldin data`: look at, download or convert data sets.

use std::path::PathBuf;

use anyhow::bail;
use clap::Subcommand;
use foldin_data::known::KNOWN;
use foldin_data::{DatasetInfo, Duplicates, FetchOptions, FetchProgress, Format, convert, open_with_report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::common::{Global, print, print_json};
use crate::data_args::DataArgs;

const EXAMPLES: &str = "\
Examples:
  foldin data info --data ml-100k
  foldin data info --data ratings.csv.gz --columns user=reader,item=book,rating=stars --duplicates last
  foldin data fetch ml-1m
  foldin data convert --data ml-100k --to recbole --out ml-100k-recbole";

const INFO_EXAMPLES: &str = "\
Examples:
  foldin data info --data ml-100k
  foldin data info --data reviews.jsonl.gz --duplicates mean --json
  foldin data info --data ratings.txt --separator tab --columns user=1,item=2,rating=3 --scale 1,10,1";

const FETCH_EXAMPLES: &str = "\
Examples:
  foldin data fetch           the names there are
  foldin data fetch ml-1m     download one, or go on with a download that broke off";

const CONVERT_EXAMPLES: &str = "\
Examples:
  foldin data convert --data ml-100k --to recbole --out ml-100k-recbole
  foldin data convert --data ratings.csv --duplicates last --to jsonl --out converted --overwrite";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What is in a data set: users, items, ratings, density, histogram, side information, times
    #[command(after_help = INFO_EXAMPLES)]
    Info {
        #[command(flatten)]
        data: DataArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Download a data set's official archive into the cache; goes on where an earlier attempt stopped
    #[command(after_help = FETCH_EXAMPLES)]
    Fetch {
        /// Name of the data set; without one, the names there are
        name: Option<String>,
    },
    /// Write a data set in another format, side information included
    #[command(after_help = CONVERT_EXAMPLES)]
    Convert {
        #[command(flatten)]
        data: DataArgs,
        /// Format to write: csv, tsv, recbole or jsonl
        #[arg(long, value_name = "FORMAT")]
        to: Format,
        /// Folder to write to
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Write into a folder that is not empty; files of an earlier conversion are replaced, all others stay
        #[arg(long)]
        overwrite: bool,
    },
    /// Download the pictures of a data set
    #[cfg(feature = "vision")]
    Images(crate::commands::images::Args),
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        #[cfg(feature = "vision")]
        Command::Images(args) => crate::commands::images::run(args, global),
        Command::Info { data, json } => {
            let mut options = data.options(global)?;
            // What repeats is counted here, and refused only if that is asked for.
            options.duplicates = data.duplicates.unwrap_or(Duplicates::Last);
            let (dataset, report) = open_with_report(data.name()?, &options)?;
            let info = DatasetInfo::new(&dataset, &report);
            if *json { print_json(&info) } else { print(info.to_string().trim_end()) }
        }
        Command::Fetch { name: None } => {
            for known in KNOWN {
                print(format!("{:16} {}", known.name, known.about))?;
            }
            Ok(())
        }
        Command::Fetch { name: Some(name) } => {
            let path = fetch(name, global)?;
            print(format!("{name} is in {}", path.display()))
        }
        Command::Convert { data, to, out, overwrite } => {
            let used = out.is_dir() && std::fs::read_dir(out)?.next().is_some();
            if used && !overwrite {
                bail!("{} is not empty: add --overwrite, or choose another --out", out.display());
            }
            for path in convert(&data.open(global)?, out, *to)? {
                print(path.display())?;
            }
            Ok(())
        }
    }
}

/// Downloads a data set into the cache with a progress bar; returns the archive.
pub(crate) fn fetch(name: &str, global: &Global) -> anyhow::Result<PathBuf> {
    let target =
        if global.shows_progress() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    bar.set_style(
        ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} (eta {eta})")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    bar.set_message(name.to_owned());
    let mut show = |progress: FetchProgress| {
        if let Some(total) = progress.total {
            bar.set_length(total);
        }
        bar.set_position(progress.done);
    };
    let fetched = foldin_data::fetch(name, &FetchOptions::default(), &mut show);
    bar.finish_and_clear();
    Ok(fetched?)
}
