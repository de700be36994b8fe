//! `foldin vision design`: new items for one person.

use std::path::{Path, PathBuf};

use foldin_core::config::overlay;
use foldin_core::{Epoch, FitError, Progress};
use foldin_vision::backend::device;
use foldin_vision::data::purchases;
use foldin_vision::design::{DesignConfig, Judgement, Studio, Wish};
use foldin_vision::experiments::Pictures;
use foldin_vision::recommend::folder::Recommender;
use serde_json::Map;

use super::generative::find_pictures;
use super::{cache, find};
use crate::common::{Global, check_folder, print, usage};
use crate::progress::{FitBar, cancel_on_ctrl_c};
use crate::settings::parse_pair;

const DESIGN_EXAMPLES: &str = "\
Examples:
  foldin vision design --user U --category women-tops --out design       with the generator in lsgan/ and the recommender in model/
  foldin vision design --lsgan runs/lsgan --model runs/dvbpr --data shop --user U --category women-tops --out design
  foldin vision design … --bought 0108775015,0669361001 --category men-shoes --out design
  foldin vision design … --judge runs/other                 a second recommender says what it thinks of the designs
  foldin vision design … --tailor fashion-products/images/18964.jpg   from that item instead of from noise";

#[derive(Debug, clap::Args)]
#[command(after_help = DESIGN_EXAMPLES)]
pub(crate) struct DesignArgs {
    /// Folder of a trained generator
    #[arg(long, default_value = "lsgan", value_name = "DIR")]
    lsgan: PathBuf,
    /// Folder of a recommender with a dvbpr, as `foldin vision train` wrote it
    #[arg(long, default_value = "model", value_name = "DIR")]
    model: PathBuf,
    /// Items that the person bought, by key, separated by commas
    #[arg(
        long,
        value_name = "KEYS",
        value_delimiter = ',',
        conflicts_with = "user",
        required_unless_present = "user"
    )]
    bought: Vec<String>,
    /// The person, by their key in the purchases of --data
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Folder of purchases with pictures, by path or by name in the folders of data sets [default: what the recommender learned from,
    /// where that was]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// Category to design for
    #[arg(long, value_name = "NAME")]
    category: String,
    /// Real items with the generator's categories, by path or name, to compare with
    #[arg(long, default_value = "fashion-products", value_name = "DATA")]
    catalogue: String,
    /// A second recommender's folder, trained apart (other customers, another seed), to judge the designs and the real items as well
    #[arg(long, value_name = "DIR")]
    judge: Option<PathBuf>,
    /// Item of the catalogue to start from, by the name of its picture
    #[arg(long, value_name = "PICTURE")]
    tailor: Option<String>,
    /// A setting of the design, such as steps=100 or bound=none; may be given often
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Folder for design.png, design.json and a picture of each design
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Seed of the starts
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where networks run: cpu, or wgpu or cuda in a build that has them
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: String,
}

pub(crate) fn design(args: &DesignArgs, global: &Global) -> anyhow::Result<()> {
    let changes = args.set.iter().map(|pair| parse_pair(pair)).collect::<anyhow::Result<Map<_, _>>>()?;
    let config = overlay("design", &DesignConfig::default(), &changes)?;
    let folders = [
        ("generator", Some(&args.lsgan)),
        ("recommender", Some(&args.model)),
        ("judge", args.judge.as_ref()),
    ];
    for (what, path) in folders.into_iter().filter_map(|(what, path)| Some((what, path?))) {
        if !path.exists() {
            return Err(usage(format!("there is no {what} in {}", path.display())));
        }
    }
    check_folder(&args.out)?;
    let studio = open_studio(&args.lsgan, &args.model, &args.catalogue, &args.device, global)?;
    let judge = args
        .judge
        .as_ref()
        .map(|folder| anyhow::Ok(Recommender::load(folder, &device(&args.device)?)?))
        .transpose()?;
    let cancel = cancel_on_ctrl_c()?;
    let all = bought(args, &studio, global)?;
    let wish = Wish {
        user: args.user.clone().unwrap_or_else(|| "you".to_owned()),
        bought: known(&all, &studio, args)?,
        category: args.category.clone(),
        tailor: args.tailor.clone(),
        config,
        seed: args.seed,
    };
    let bar = FitBar::new("design", global.shows_progress());
    let found = studio.design(&wish, &cancel, |step| {
        bar.epoch(Epoch { number: step.number, of: wish.config.steps, ..Epoch::default() });
    });
    bar.finish();
    let mut found = found?;
    found.judged = judge.map(|judge| studio.judge(&judge, &all, &found)).transpose()?;
    found.save(&args.out)?;
    for (number, designed) in found.designs.iter().enumerate() {
        let (first, last) = (designed.preference.first(), designed.preference.last());
        print(format!(
            "design {}: preference {:.3} → {:.3}, above {:.0} % of the category's real items; nearest {}",
            number + 1,
            first.copied().unwrap_or_default(),
            last.copied().unwrap_or_default(),
            100.0 * designed.percentile,
            designed.nearest.first().map(|item| item.item.as_str()).unwrap_or_default()
        ))?;
    }
    if let Some(best) = found.retrieved.first() {
        print(format!("best real item: {} ({:.3})", best.item, best.preference))?;
    }
    if let Some(judged) = &found.judged {
        let shares = |judgements: &[Judgement]| {
            let shares = judgements.iter().map(|judgement| format!("{:.0} %", 100.0 * judgement.percentile));
            shares.collect::<Vec<_>>().join(", ")
        };
        print(format!(
            "by the judge, which knows {} of the purchases, above so many of the category's real items: designs {}; retrieved items {}",
            judged.purchases,
            shares(&judged.designs),
            shares(&judged.retrieved)
        ))?;
    }
    print(format!("sheet and JSON written to {}", args.out.display()))
}

/// Loads a generator, a recommender and the real items to compare with, decoding their pictures under a progress bar.
pub(super) fn open_studio(
    lsgan: &Path,
    model: &Path,
    catalogue: &str,
    device_name: &str,
    global: &Global,
) -> anyhow::Result<Studio> {
    let cache = cache()?;
    let Pictures::Products { path, .. } = find_pictures(catalogue, global, &cache)? else {
        return Err(usage(format!("`{catalogue}` is no set of pictures of products by category")));
    };
    let cancel = cancel_on_ctrl_c()?;
    let bar = FitBar::new("pictures", global.shows_progress());
    let told = |done, of| {
        bar.epoch(Epoch { number: done, of, ..Epoch::default() });
        if cancel.is_cancelled() { Err(FitError::Cancelled { epochs: 0 }.into()) } else { Ok(()) }
    };
    let studio = Studio::open(lsgan, model, &path, &cache, &device(device_name)?, &told);
    bar.finish();
    let studio = studio?;
    studio.left_out().lines().iter().for_each(|line| global.remark(line));
    Ok(studio)
}

/// Keys of what the person bought: as given, or those of the data set's user.
fn bought(args: &DesignArgs, studio: &Studio, global: &Global) -> anyhow::Result<Vec<String>> {
    let Some(user) = &args.user else { return Ok(args.bought.clone()) };
    let folder = match &args.data {
        Some(data) => find(data, global)?,
        None => {
            let learned = &studio.recommender().data;
            find(learned, global).map_err(|_| {
                usage(format!(
                    "purchases of {user} are looked for in what the recommender learned from, and no folder `{learned}` is found; \
                     --data says where it is, or --bought what they bought"
                ))
            })?
        }
    };
    let purchases = purchases::open(&folder)?;
    Ok(purchases.bought_by(user)?.into_iter().map(str::to_owned).collect())
}

/// Of a user's purchases those that the recommender knows; all that were given by key, so that a slip of the pen is told.
fn known(all: &[String], studio: &Studio, args: &DesignArgs) -> anyhow::Result<Vec<String>> {
    let Some(user) = &args.user else { return Ok(all.to_vec()) };
    let known: Vec<String> =
        all.iter().filter(|key| studio.recommender().items.get(key).is_some()).cloned().collect();
    if known.is_empty() {
        return Err(usage(format!("the recommender knows nothing of what `{user}` bought")));
    }
    Ok(known)
}
