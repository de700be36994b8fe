//! `foldin vision`: recommenders that look at pictures, and pictures of new items.

mod design;
pub(crate) mod designer;
mod generative;
mod pages;
mod recommend;
pub(crate) mod settings;
pub(crate) mod studies;
mod train;

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Subcommand;
use foldin_core::{Epoch, Progress};
use foldin_data::{DATA_DIR_VARIABLE, cache_dir};
use foldin_vision::data::{PrepareOptions, Treatment, VisualDataset, prepare, purchases};

use crate::common::{Global, print, usage, write_file};
use crate::progress::{FitBar, cancel_on_ctrl_c};

const EXAMPLES: &str = "\
Examples:
  foldin vision data --data hm-sample                           what is left once pictures are decoded
  foldin vision train --data hm-sample --model dvbpr --out model
  foldin vision recommend --model model --bought 0108775015,0111565001 -n 10
  foldin vision evaluate --data hm-sample                       AUC of every recommender on the same splits
  foldin vision train-lsgan --data fashion-products --out runs/lsgan
  foldin vision generate --model runs/lsgan/lsgan --category women-tops -n 16 --out sheet.png
  foldin reproduce dvbpr-baselines --quick                      every recommender on the same splits

A folder of purchases is H&M's (transactions_train*.csv), a plain one (interactions.csv and images/), or one of Amazon reviews
(reviews and meta_*, JSON lines, and images/ as `foldin data images fetch` makes it).";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read purchases, decode their pictures, and tell what was left out
    Data {
        #[command(flatten)]
        data: PictureData,
        /// Width and height that pictures are decoded to
        #[arg(long, default_value_t = 32)]
        px: usize,
        /// Write the pictures that could not be used, and why, as CSV
        #[arg(long, value_name = "FILE")]
        defects: Option<PathBuf>,
    },
    /// Train dvbpr, vbpr or the sum of all, and keep what serves new users
    Train(train::Args),
    /// Recommend to somebody by what they bought
    Recommend(recommend::Args),
    /// Every recommender on the same splits of your purchases: AUC with intervals, as a page, JSON and Markdown
    Evaluate(studies::EvaluateArgs),
    /// Train a generator of pictures by category, and measure it
    TrainLsgan(generative::TrainLsganArgs),
    /// Make pictures with a trained generator
    Generate(generative::GenerateArgs),
    /// Design new items for one person
    Design(design::DesignArgs),
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    match &args.command {
        Command::Data { data, px, defects } => {
            let data = data.open(*px, global)?;
            print(format!(
                "{}: {} users, {} items, {} purchases, {} pictures of {px} × {px}",
                data.name,
                data.users.len(),
                data.items.len(),
                data.purchases.by_user().n_entries(),
                data.images.len()
            ))?;
            data.labels.iter().try_for_each(|labels| {
                print(format!("label {}: {} classes", labels.name(), labels.classes().len()))
            })?;
            data.report.lines().iter().try_for_each(print)?;
            let Some(file) = defects else { return Ok(()) };
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let line = |name: &str, why: &str| format!("{},{}\n", quoted(name), quoted(why));
            let found = data.report.images.defects.iter();
            let rows: String = found.map(|(name, defect)| line(name, &defect.to_string())).collect();
            write_file(file, &format!("picture,problem\n{rows}"))
        }
        Command::Train(args) => train::run(args, global),
        Command::Recommend(args) => recommend::run(args),
        Command::Evaluate(args) => studies::evaluate(args, global),
        Command::TrainLsgan(args) => generative::train(args, global),
        Command::Generate(args) => generative::generate(args),
        Command::Design(args) => design::design(args, global),
    }
}

/// Which purchases, and which of their pictures.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PictureData {
    /// Folder of purchases with pictures, by path or by name in the folders of data sets
    #[arg(long, value_name = "DIR")]
    data: String,
    /// Which pictures of an item: one-vendor, all-vendor or vendor-and-customer
    #[arg(long, default_value = "one-vendor", value_parser = treatment)]
    treatment: Treatment,
    /// Users have at least so many different items
    #[arg(long, default_value_t = 5, value_name = "N")]
    min_user: usize,
}

fn treatment(name: &str) -> Result<Treatment, String> {
    Treatment::ALL
        .into_iter()
        .find(|treatment| treatment.name() == name)
        .ok_or_else(|| format!("there are {}", Treatment::ALL.map(Treatment::name).join(", ")))
}

impl PictureData {
    /// Reads purchases and decodes their pictures, which are kept in the user's cache.
    pub(crate) fn open(&self, px: usize, global: &Global) -> anyhow::Result<VisualDataset> {
        let folder = find(&self.data, global)?;
        let options =
            PrepareOptions { treatment: self.treatment, min_user: self.min_user, ..PrepareOptions::new(px) };
        let read = purchases::open(&folder)?;
        let file =
            cache()?.join(format!("{}-{}-{}-{px}.fpix", read.name, self.treatment.name(), self.min_user));
        let bar = FitBar::new("pictures", global.shows_progress());
        let cancel = cancel_on_ctrl_c()?;
        let told = |done, of| {
            bar.epoch(Epoch { number: done, of, ..Epoch::default() });
            if cancel.is_cancelled() {
                return Err(foldin_core::FitError::Cancelled { epochs: 0 }.into());
            }
            Ok(())
        };
        let data = prepare(read, &options, &file, &told);
        bar.finish();
        Ok(data?)
    }
}

/// Where decoded pictures are kept.
pub(crate) fn cache() -> anyhow::Result<PathBuf> {
    Ok(cache_dir()
        .context("there is no folder to keep decoded pictures in: this user has no home; set HOME")?
        .join("pictures"))
}

/// A folder by path, or by name in the folders that data sets are looked up in.
pub(crate) fn find(name: &str, global: &Global) -> anyhow::Result<PathBuf> {
    let path = Path::new(name);
    if path.is_dir() {
        return Ok(path.to_owned());
    }
    let folders =
        [global.data_dir.clone(), std::env::var_os(DATA_DIR_VARIABLE).map(PathBuf::from), cache_dir()];
    folders.into_iter().flatten().map(|folder| folder.join(name)).find(|folder| folder.is_dir()).ok_or_else(
        || {
            usage(format!(
                "no folder `{name}`, neither here nor in --data-dir, {DATA_DIR_VARIABLE} or the cache"
            ))
        },
    )
}
