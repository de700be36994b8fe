//! `foldin vision train`.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use foldin_core::config::{ModelConfig, overlay, to_map};
use foldin_core::random::child_seed;
use foldin_core::{FitContext, FitError};
use foldin_models::item_vectors::check_lambda;
use foldin_vision::backend::{self, Device};
use foldin_vision::checkpoints::Checkpoints;
use foldin_vision::data::{LeaveOneOut, VisualDataset};
use foldin_vision::error::VisionError;
use foldin_vision::recommend::dvbpr::{self, DvbprConfig, Fitted, PretrainConfig, Pretrained};
use foldin_vision::recommend::folder::PLACE;
use foldin_vision::recommend::linear::LinearModel;
use foldin_vision::recommend::pairwise::{self, PairwiseConfig};
use foldin_vision::recommend::training::{self, Chosen, ItemFeatures};
use serde_json::{Map, Value, json};

use super::{PictureData, place};
use crate::checkpoint::FolderCheckpoint;
use crate::common::{Global, check_folder, print, usage};
use crate::progress::{FitBar, cancel_on_ctrl_c};
use crate::settings::parse_pair;

/// Pixels that hand-made features are taken at.
const FEATURES_PX: usize = 64;

/// Time between two checkpoints.
const EVERY: Duration = Duration::from_secs(60);

const EXAMPLES: &str = "\
Examples:
  foldin vision train --data hm-sample --model vbpr --out model
  foldin vision train --data hm-sample --model vis-rank --out model         nothing is learned; seconds
  foldin vision train --data hm-sample --model dvbpr --preset pretrained --set px=64 --set epochs=12 --out model
  foldin vision train --data hm-sample --model visual-sum --out model       the sum of all that look at pictures
  foldin vision train --data amazon-fashion --treatment vendor-and-customer --model dvbpr --preset study --out model
The same command goes on with a training of dvbpr that was interrupted.
`foldin serve`, `foldin recommend` and `foldin inspect` take the folder as that of any other model.";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    data: PictureData,
    /// dvbpr, vbpr, vis-rank (what looks like the purchases), or visual-sum: vbpr, vis-rank, and dvbpr where the sum is better with it
    #[arg(long, value_parser = ["dvbpr", "vbpr", training::VIS_RANK, training::SUM])]
    model: String,
    /// Settings of dvbpr to start from: small (a network for CPUs, from scratch), pretrained (the same, first trained on the labels of
    /// items), published or study (CNN-F at 224 pixels) [default: small; for visual-sum pretrained if enough items have labels]
    #[arg(long, value_name = "NAME", value_parser = ["small", "pretrained", "published", "study"])]
    preset: Option<String>,
    /// A setting of the model (of visual-sum: of its dvbpr), as KEY=VALUE; may be given often
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// A setting of pretraining (of --preset pretrained, vbpr and visual-sum), as KEY=VALUE; may be given often
    #[arg(long = "pretraining", value_name = "KEY=VALUE")]
    pretraining: Vec<String>,
    /// Features of items in the place of hand-made ones and of a pretrained network's: a CSV of item and numbers, or records as Amazon's image features
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// λ that users are folded in with [default: the best of a few by the validation items]
    #[arg(long, value_name = "LAMBDA")]
    fold_in: Option<f64>,
    /// Seed of everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where networks run: cpu, or wgpu or cuda in a build that has them
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace a model that is in that folder
    #[arg(long)]
    overwrite: bool,
}

/// What came of a training, and what it was made of.
struct Made {
    chosen: Chosen,
    data: VisualDataset,
    config: Value,
}

/// What a training needs throughout.
struct Run<'a> {
    args: &'a Args,
    global: &'a Global,
    device: Device,
    ctx: FitContext<'a>,
    /// Where what takes long is kept until the model is written.
    kept: PathBuf,
    /// Whether it was told what was left out of the data.
    told: Cell<bool>,
}

pub(crate) fn run(args: &Args, global: &Global) -> anyhow::Result<()> {
    if let Some(lambda) = args.fold_in {
        check_lambda(lambda)?;
    }
    check_folder(&args.out)?;
    if args.out.exists() && !args.out.join("manifest.json").is_file() {
        return Err(usage(format!("{} is there already and is no model", args.out.display())));
    }
    if args.out.exists() && !args.overwrite {
        return Err(usage(format!(
            "{} exists already: add --overwrite to replace it, or choose another --out",
            args.out.display()
        )));
    }
    let file = args.features.as_ref().filter(|_| args.model != dvbpr::NAME);
    if let Some(file) = file.filter(|file| !file.exists() || file.is_dir()) {
        return Err(usage(format!("there is no file {}", file.display())));
    }
    if args.model == training::VIS_RANK && !args.pretraining.is_empty() {
        return Err(usage("vis-rank learns nothing, so there is no --pretraining"));
    }
    let bar = FitBar::new(args.model.clone(), global.shows_progress());
    let ctx = FitContext { progress: &bar, cancel: cancel_on_ctrl_c()?, ..FitContext::new(args.seed) };
    let kept = FolderCheckpoint::folder_for(&args.out);
    let run = Run { args, global, device: backend::device(&args.device)?, ctx, kept, told: Cell::new(false) };
    let made = match args.model.as_str() {
        "dvbpr" => run.dvbpr(),
        "vbpr" => run.vbpr(),
        training::VIS_RANK => run.vis_rank(),
        _ => run.sum(),
    };
    bar.finish();
    let Made { chosen, data, mut config } = match made {
        Err(error) => match error.downcast_ref::<VisionError>() {
            Some(VisionError::Fit(FitError::Cancelled { epochs })) if run.kept.exists() => bail!(
                "stopped after {epochs} epochs; what is kept is in {}: the same command goes on from there",
                run.kept.display()
            ),
            _ => return Err(error),
        },
        Ok(made) => made,
    };
    let Chosen { recommender, validation } = chosen;
    print(format!("{}: validation AUC {validation:.4} of users folded in", recommender.member_names()))?;
    // Where purchases of people are found later on.
    config[PLACE] = place(&args.data.data)?.into();
    let metrics = json!({"seed": args.seed, "validation_auc": validation});
    recommender.save(&args.out, &data, config, metrics)?;
    run.tidy()?;
    print(format!("written: {}", args.out.display()))
}

impl Run<'_> {
    /// Deletes what this training kept. An interrupted one of `dvbpr` is not lost because another model is trained to the same place.
    fn tidy(&self) -> anyhow::Result<()> {
        let own = [dvbpr::NAME, training::SUM].contains(&self.args.model.as_str());
        if self.kept.exists() && (own || !self.kept.join(dvbpr::NAME).exists()) {
            std::fs::remove_dir_all(&self.kept)?;
        }
        Ok(())
    }

    /// Settings of `dvbpr`, and of pretraining if there is any.
    fn settings(&self, preset: &str) -> anyhow::Result<(DvbprConfig, Option<PretrainConfig>)> {
        let config = self.dvbpr_settings(preset)?;
        if preset == "pretrained" {
            let base = PretrainConfig { form: config.form, ..PretrainConfig::default() };
            return Ok((config, Some(changed("pretraining", &base, &self.args.pretraining)?)));
        }
        if !self.args.pretraining.is_empty() {
            return Err(usage("--pretraining is for --preset pretrained"));
        }
        Ok((config, None))
    }

    fn dvbpr_settings(&self, preset: &str) -> anyhow::Result<DvbprConfig> {
        let base = match preset {
            "published" => DvbprConfig::published(),
            "study" => DvbprConfig::study(),
            "pretrained" => DvbprConfig::pretrained(),
            _ => DvbprConfig::small(),
        };
        changed(dvbpr::NAME, &base, &self.args.set)
    }

    /// All that must be the same for a training to be taken up.
    fn description(&self, config: &Value, data: &VisualDataset) -> Value {
        json!({
            "config": config, "seed": self.args.seed, "treatment": self.args.data.treatment, "pictures": data.images.len(),
            "users": data.users.checksum(), "items": data.items.checksum(), "purchases": data.purchases.by_user().n_entries(),
        })
    }

    fn network(&self, config: &PretrainConfig, data: &VisualDataset) -> Result<Pretrained, VisionError> {
        let run = self.description(&json!([config, data.images.px()]), data);
        let ctx = FitContext { seed: child_seed(self.args.seed, "pretraining"), ..self.ctx.clone() };
        let kept = Some((self.kept.as_path(), "pretrained", run));
        training::pretrained(config, data, kept, &self.device, &ctx)
    }

    /// The same, or a remark where there are too few labels to learn from.
    fn network_of_labels(
        &self,
        config: &PretrainConfig,
        data: &VisualDataset,
        instead: &str,
    ) -> anyhow::Result<Option<Pretrained>> {
        match self.network(config, data) {
            Err(VisionError::TooFewLabels { labelled, least, .. }) => {
                self.global.remark(format!(
                    "note: {instead}: {labelled} pictures have labels that are frequent enough to pretrain a network on, and {least} are needed"
                ));
                Ok(None)
            }
            network => Ok(Some(network?)),
        }
    }

    fn print_accuracy(network: &Pretrained) -> anyhow::Result<()> {
        for (name, right, most) in &network.accuracy {
            print(format!(
                "pretraining: {name} is right for {right:.3} of held-out pictures (most frequent class: {most:.3})"
            ))?;
        }
        Ok(())
    }

    fn fit_dvbpr(
        &self,
        config: &DvbprConfig,
        data: &VisualDataset,
        split: &LeaveOneOut,
        start: Option<(&PretrainConfig, &Pretrained)>,
    ) -> anyhow::Result<Fitted> {
        let run = self.description(&json!([config, start.map(|(config, _)| config)]), data);
        let store = Checkpoints::new(self.kept.join(dvbpr::NAME), run, EVERY);
        let ctx = FitContext { checkpoints: Some(&store), ..self.ctx.clone() };
        let start = start.map(|(_, network)| network);
        let fitted =
            store.without_what_diverged(dvbpr::fit(config, data, split, start, &self.device, &ctx))?;
        if let Some(auc) = fitted.epochs.get(fitted.best_epoch.saturating_sub(1)).and_then(|epoch| epoch.auc)
        {
            print(format!(
                "dvbpr: epoch {} of {} is kept, validation AUC {auc:.4}",
                fitted.best_epoch,
                fitted.epochs.len()
            ))?;
        }
        Ok(fitted)
    }

    /// The data, and once what was left out of them.
    fn open(&self, px: usize) -> anyhow::Result<VisualDataset> {
        let data = self.args.data.open(px, self.global)?;
        if !self.told.replace(true) {
            data.report.lines().iter().for_each(|line| self.global.remark(format!("note: {line}")));
        }
        Ok(data)
    }

    fn dvbpr(&self) -> anyhow::Result<Made> {
        if self.args.features.is_some() {
            return Err(usage(
                "--features is of vbpr, vis-rank and visual-sum: dvbpr looks at pictures themselves",
            ));
        }
        let (config, pretraining) = self.settings(self.args.preset.as_deref().unwrap_or("small"))?;
        let data = self.open(config.px)?;
        let split = LeaveOneOut::new(&data, self.args.seed)?;
        let network = pretraining.as_ref().map(|config| self.network(config, &data)).transpose()?;
        network.iter().try_for_each(Self::print_accuracy)?;
        let start = pretraining.as_ref().zip(network.as_ref());
        let fitted = self.fit_dvbpr(&config, &data, &split, start)?;
        let mut chosen = self.served(dvbpr::NAME, &data, &fitted.model, &split)?;
        chosen.recommender.network = Some(fitted.dvbpr);
        Ok(Made {
            chosen,
            data,
            config: json!({"dvbpr": to_map(&config), "pretraining": pretraining.as_ref().map(to_map)}),
        })
    }

    fn served(
        &self,
        name: &str,
        data: &VisualDataset,
        model: &LinearModel,
        split: &LeaveOneOut,
    ) -> anyhow::Result<Chosen> {
        Ok(training::served(name, &data.items, model, self.args.fold_in, split, &self.ctx)?)
    }

    fn vbpr(&self) -> anyhow::Result<Made> {
        if self.args.preset.is_some() {
            return Err(usage("--preset is of dvbpr"));
        }
        let config = changed("vbpr", &PairwiseConfig::vbpr(), &self.args.set)?;
        let pretraining = changed("pretraining", &PretrainConfig::default(), &self.args.pretraining)?;
        if self.args.features.is_some() && !self.args.pretraining.is_empty() {
            return Err(usage("--features takes the place of the features of a pretrained network"));
        }
        let large = self.open(FEATURES_PX)?;
        let data = self.open(DvbprConfig::small().px)?;
        let network = match self.args.features {
            Some(_) => None,
            None => self.network_of_labels(&pretraining, &data, "features are hand-made alone")?,
        };
        network.iter().try_for_each(Self::print_accuracy)?;
        let split = LeaveOneOut::new(&data, self.args.seed)?;
        let features = self.features(&large, &data, network.as_ref())?;
        let chosen = self.fit_vbpr(&config, &data, &features, &split)?;
        let pretraining = network.map(|_| to_map(&pretraining));
        Ok(Made { chosen, data, config: json!({"vbpr": to_map(&config), "pretraining": pretraining}) })
    }

    fn vis_rank(&self) -> anyhow::Result<Made> {
        let Args { preset, set, fold_in, .. } = self.args;
        if preset.is_some() || !set.is_empty() || fold_in.is_some() {
            return Err(usage(
                "vis-rank learns nothing, so it has no settings, no --preset and no --fold-in",
            ));
        }
        let data = self.open(FEATURES_PX)?;
        let split = LeaveOneOut::new(&data, self.args.seed)?;
        let features = self.features(&data, &data, None)?;
        let chosen = training::vis_rank(&data.items, features.hand(), &split, &self.ctx)?;
        Ok(Made { chosen, data, config: json!({}) })
    }

    fn fit_vbpr(
        &self,
        config: &PairwiseConfig,
        data: &VisualDataset,
        features: &ItemFeatures,
        split: &LeaveOneOut,
    ) -> anyhow::Result<Chosen> {
        let model = pairwise::fit("vbpr", config, features.all(), split, &self.ctx)?;
        self.served("vbpr", data, &model, split)
    }

    fn features(
        &self,
        large: &VisualDataset,
        data: &VisualDataset,
        network: Option<&Pretrained>,
    ) -> anyhow::Result<ItemFeatures> {
        self.ctx.progress.stage("features of pictures");
        let Some(file) = &self.args.features else {
            return Ok(ItemFeatures::new(large, data, network, &self.device)?);
        };
        let features = ItemFeatures::of_file(file, &data.items)?;
        if features.missing > 0 {
            let (missing, items) = (features.missing, data.items.len());
            print(format!(
                "{missing} of {items} items have no features in {}: they are similar to nothing",
                file.display()
            ))?;
        }
        Ok(features)
    }

    fn sum(&self) -> anyhow::Result<Made> {
        let named = self.args.preset.as_deref();
        let (mut config, mut pretraining) = self.settings(named.unwrap_or("pretrained"))?;
        let large = self.open(FEATURES_PX)?;
        let mut data = self.open(config.px)?;
        let network = match &pretraining {
            // Nobody asked for labels that are not there.
            Some(settings) if named.is_none() => {
                self.network_of_labels(settings, &data, "dvbpr learns from scratch")?
            }
            settings => settings.as_ref().map(|settings| self.network(settings, &data)).transpose()?,
        };
        if network.is_none() && pretraining.is_some() {
            (config, pretraining) = (self.dvbpr_settings("small")?, None);
            data = self.open(config.px)?;
        }
        network.iter().try_for_each(Self::print_accuracy)?;
        let split = LeaveOneOut::new(&data, self.args.seed)?;
        let features = self.features(&large, &data, network.as_ref())?;
        let start = pretraining.as_ref().zip(network.as_ref());
        let fitted = self.fit_dvbpr(&config, &data, &split, start)?;
        let dvbpr = self.served(dvbpr::NAME, &data, &fitted.model, &split)?;
        let vbpr_config = PairwiseConfig::vbpr();
        let vbpr = self.fit_vbpr(&vbpr_config, &data, &features, &split)?;
        let mut sum = training::sum(&vbpr, Some(&dvbpr), features.hand(), &split)?;
        for part in [&vbpr, &dvbpr] {
            print(format!(
                "{}: validation AUC {:.4} of users folded in",
                part.recommender.name(),
                part.validation
            ))?;
        }
        let has_dvbpr = sum.recommender.member(dvbpr::NAME).is_some();
        sum.recommender.network = has_dvbpr.then_some(fitted.dvbpr);
        let config = json!({
            "dvbpr": to_map(&config), "pretraining": pretraining.as_ref().map(to_map), "vbpr": to_map(&vbpr_config),
        });
        Ok(Made { chosen: sum, data, config })
    }
}

/// Settings with some of them changed, checked as those of any model: unknown names, wrong types and values out of range are refused.
fn changed<C: ModelConfig>(model: &str, default: &C, changes: &[String]) -> anyhow::Result<C> {
    let changes = changes.iter().map(|pair| parse_pair(pair)).collect::<anyhow::Result<Map<_, _>>>()?;
    Ok(overlay(model, default, &changes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_refused() {
        let change = |pair: &str| changed(dvbpr::NAME, &DvbprConfig::small(), &[pair.to_owned()]);
        assert_eq!(change("px=64").unwrap().px, 64);
        assert_eq!(change("negatives=uniform").unwrap().negatives, dvbpr::Negatives::Uniform);
        for bad in ["patience=0", "batch=0", "px=8", "learning_rate=nan", "regularization=-1", "hats=1", "px"]
        {
            assert!(change(bad).is_err(), "{bad}");
        }
        let pretraining = |pair: &str| changed("pretraining", &PretrainConfig::default(), &[pair.to_owned()]);
        assert!(pretraining("epochs=0").is_err() && pretraining("least=3").is_ok());
    }
}
