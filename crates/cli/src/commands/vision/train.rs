//! `foldin vision train`.

use std::path::{Path, PathBuf};

use foldin_core::FitContext;
use foldin_core::random::child_seed;
use foldin_vision::backend;
use foldin_vision::data::{LeaveOneOut, VisualDataset, feature_file};
use foldin_vision::features::{hand_made, whitened};
use foldin_vision::recommend::dvbpr::{self, DvbprConfig, mean_over_pictures};
use foldin_vision::recommend::folder::Recommender;
use foldin_vision::recommend::linear::LinearModel;
use foldin_vision::recommend::pairwise::{self, Features, PairwiseConfig};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::PictureData;
use crate::common::{Global, print, usage};
use crate::progress::{FitBar, cancel_on_ctrl_c};

/// Pixels that hand-made features are taken at.
const FEATURES_PX: usize = 64;
/// Hand-made features kept.
const FEATURES: usize = 128;

const EXAMPLES: &str = "\
Examples:
  foldin vision train --data hm-sample --model vbpr --out model
  foldin vision train --data hm-sample --model dvbpr --set px=64 --set epochs=6 --out model
  foldin vision train --data amazon-fashion --treatment vendor-and-customer --model dvbpr --preset study --out model";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    data: PictureData,
    /// dvbpr or vbpr
    #[arg(long, value_parser = ["dvbpr", "vbpr"])]
    model: String,
    /// Settings of dvbpr to start from: small (a network for CPUs), published or study (CNN-F at 224 pixels)
    #[arg(long, default_value = "small", value_parser = ["small", "published", "study"])]
    preset: String,
    /// A setting, as KEY=VALUE; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Features of items for vbpr, made elsewhere: a CSV of item and numbers, or records as Amazon's image features; hand-made ones
    /// otherwise
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// λ that new users are folded in with
    #[arg(long, default_value_t = 0.1)]
    fold_in: f64,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where networks run: cpu
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    let device = backend::device(&args.device)?;
    let cancel = cancel_on_ctrl_c()?;
    let bar = FitBar::new(args.model.clone(), global.shows_progress());
    let ctx = FitContext { progress: &bar, cancel, ..FitContext::new(args.seed) };
    let recommender = if args.model == "dvbpr" {
        let preset = match args.preset.as_str() {
            "published" => DvbprConfig::published(),
            "study" => DvbprConfig::study(),
            _ => DvbprConfig::small(),
        };
        let config: DvbprConfig = changed(&preset, &args.set)?;
        let data = args.data.open(config.px, global)?;
        let split = LeaveOneOut::new(&data, args.seed)?;
        let fitted = dvbpr::fit(&config, &data, &split, None, &device, &ctx)?;
        let best = fitted.epochs.get(fitted.best_epoch.saturating_sub(1)).and_then(|epoch| epoch.auc);
        bar.finish();
        if let Some(auc) = best {
            print(format!("epoch {} is kept, validation AUC {auc:.4}", fitted.best_epoch))?;
        }
        Recommender::new("dvbpr", data.items, &fitted.model, args.fold_in, Some(fitted.dvbpr))?
    } else {
        let config: PairwiseConfig = changed(&PairwiseConfig::vbpr(), &args.set)?;
        let data = args.data.open(FEATURES_PX, global)?;
        let model = fit_vbpr(&config, &data, args.features.as_deref(), &ctx)?;
        bar.finish();
        Recommender::new("vbpr", data.items, &model, args.fold_in, None)?
    };
    recommender.save(&args.out)?;
    print(format!("written: {}", args.out.display()))
}

fn fit_vbpr(
    config: &PairwiseConfig,
    data: &VisualDataset,
    file: Option<&Path>,
    ctx: &FitContext<'_>,
) -> anyhow::Result<LinearModel> {
    ctx.progress.stage("features of pictures");
    let split = LeaveOneOut::new(data, ctx.seed)?;
    let (width, values) = match file {
        Some(file) => {
            let table = feature_file::read(file, &data.items)?;
            if table.missing > 0 {
                print(format!(
                    "{} of {} items have no features in {}",
                    table.missing,
                    data.items.len(),
                    file.display()
                ))?;
            }
            // Raw features of a network are anything but of variance one.
            let k = FEATURES.min(table.width);
            let values = whitened(&table.values, table.width, k, child_seed(0, "features"))?;
            (values.len() / data.items.len().max(1), values)
        }
        None => {
            let of_pictures = hand_made(&data.images, FEATURES, child_seed(0, "features"))?;
            let width = of_pictures.len() / data.images.len().max(1);
            (width, mean_over_pictures(&of_pictures, width, &data.pictures))
        }
    };
    Ok(pairwise::fit("vbpr", config, Features { width, values: &values }, &split, ctx)?)
}

/// Settings with some of them changed; an unknown name or a value of another type is refused.
pub(crate) fn changed<T: Serialize + DeserializeOwned>(default: &T, changes: &[String]) -> anyhow::Result<T> {
    let mut value = serde_json::to_value(default)?;
    for change in changes {
        let (key, new) = change
            .split_once('=')
            .ok_or_else(|| usage(format!("`{change}` is not of the form KEY=VALUE")))?;
        let known = value.as_object().map(|map| map.keys().cloned().collect::<Vec<_>>().join(", "));
        match value.get_mut(key.trim()) {
            // What is no JSON is a word.
            Some(old) => *old = serde_json::from_str(new).unwrap_or_else(|_| new.trim().into()),
            None => {
                return Err(usage(format!(
                    "there is no setting `{key}`; there are {}",
                    known.unwrap_or_default()
                )));
            }
        }
    }
    serde_json::from_value(value).map_err(|error| usage(format!("a setting cannot be used: {error}")))
}
