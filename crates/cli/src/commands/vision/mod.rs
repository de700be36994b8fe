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
use foldin_vision::data::{PrepareOptions, Purchases, Treatment, VisualDataset, prepare, purchases};

use crate::common::{Global, print, usage, write_csv};
use crate::progress::{FitBar, cancel_on_ctrl_c};

const EXAMPLES: &str = "\
Examples:
  foldin vision data --data hm-sample                           what is left once pictures are decoded
  foldin vision train --data hm-sample --model dvbpr --out model
  foldin vision recommend --model model --bought 0108775015,0669361001 -n 10
  foldin vision evaluate --data hm-sample                       AUC of every recommender on the same splits
  foldin vision train-lsgan --data fashion-products --out runs/lsgan
  foldin vision generate --model runs/lsgan --category women-tops -n 16 --out sheet.png
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
        /// Write the pictures that could not be used, of which item, and why, and the items without any, as CSV
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
            let rows = data.report.unusable.iter().map(|one| {
                let address = one.address.as_deref().unwrap_or_default();
                [one.item.as_str(), &one.picture, address, &one.problem]
            });
            write_csv(file, ["item", "picture", "address", "problem"], rows)
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
    /// Folder of purchases with pictures, by path or by name in the folders of data sets; of several files of Amazon's reviews in it, the one
    /// to read
    #[arg(long, value_name = "DIR")]
    data: String,
    /// Which pictures of an item: one-vendor, all-vendor or vendor-and-customer
    #[arg(long, default_value = "one-vendor", value_parser = treatment)]
    treatment: Treatment,
    #[command(flatten)]
    thresholds: Thresholds,
}

/// Who and what is left out for too few purchases.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Thresholds {
    /// Users have at least so many different items
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) min_user: usize,
    /// Items have at least so many buyers; round after round with --min-user, until nobody and nothing falls under it
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) min_item: usize,
}

fn treatment(name: &str) -> Result<Treatment, String> {
    Treatment::ALL
        .into_iter()
        .find(|treatment| treatment.name() == name)
        .ok_or_else(|| format!("there are {}", Treatment::ALL.map(Treatment::name).join(", ")))
}

impl PictureData {
    /// Reads purchases.
    pub(crate) fn purchases(&self, global: &Global) -> anyhow::Result<Purchases> {
        Ok(purchases::open(&find(&self.data, global)?)?)
    }

    /// What is kept of them.
    pub(crate) fn options(&self, px: usize) -> PrepareOptions {
        let Thresholds { min_user, min_item } = self.thresholds;
        PrepareOptions { treatment: self.treatment, min_user, min_item, ..PrepareOptions::new(px) }
    }

    /// Reads purchases and decodes their pictures, which are kept in the user's cache.
    pub(crate) fn open(&self, px: usize, global: &Global) -> anyhow::Result<VisualDataset> {
        let read = self.purchases(global)?;
        let options = self.options(px);
        let file = cache()?.join(options.file_name(&read.name));
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

/// What finds a folder again: its name among data sets, or else its whole path.
pub(crate) fn place(name: &str) -> anyhow::Result<String> {
    let path = Path::new(name);
    Ok(if path.exists() { std::path::absolute(path)?.display().to_string() } else { name.to_owned() })
}

/// A folder (or a file in one) by path, or by name in the folders that data sets are looked up in.
pub(crate) fn find(name: &str, global: &Global) -> anyhow::Result<PathBuf> {
    let path = Path::new(name);
    if path.exists() {
        return Ok(path.to_owned());
    }
    let folders =
        [global.data_dir.clone(), std::env::var_os(DATA_DIR_VARIABLE).map(PathBuf::from), cache_dir()];
    folders.into_iter().flatten().map(|folder| folder.join(name)).find(|path| path.exists()).ok_or_else(
        || {
            usage(format!(
                "no folder `{name}`, neither here nor in --data-dir, {DATA_DIR_VARIABLE} or the cache"
            ))
        },
    )
}
