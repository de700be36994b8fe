//! `dvbpr-baselines`: every recommender on the same leave-one-out splits.

use std::path::PathBuf;
use std::time::Duration;

use burn::tensor::Device;
use foldin_core::FitContext;
use foldin_core::random::child_seed;
use serde_json::{Value, json};

use super::html::Picture;
use super::{CATEGORIES, Study, Watcher, category, described};
use crate::checkpoints::Checkpoints;
use crate::data::{LeaveOneOut, PrepareOptions, Purchases, VisualDataset};
use crate::error::VisionError;
use crate::evaluate::{Part, Slices, evaluate};
use crate::recommend::Scorer;
use crate::recommend::baselines::{Popularity, RandomScores};
use crate::recommend::dvbpr::{self, DvbprConfig, PretrainConfig, Pretrained};
use crate::recommend::folder::Recommender;
use crate::recommend::pairwise::{self, Features, PairwiseConfig};
use crate::recommend::training::{self, Chosen, ItemFeatures};
use crate::recommend::vis_rank::{VisRankMax, vis_rank_mean};
use crate::sheet::{Sheet, Tile};

/// How the study is run.
#[derive(Clone, Debug)]
pub struct BaselinesOptions {
    /// Seeds of the splits.
    pub seeds: Vec<u64>,
    /// Which pictures of an item count, and who is left out; pixels are those of the features and of `dvbpr`.
    pub prepare: PrepareOptions,
    /// Pixels that hand-made features are taken at.
    pub features_px: usize,
    /// A file of features in the place of hand-made ones.
    pub features: Option<PathBuf>,
    /// Settings of `bpr`.
    pub bpr: PairwiseConfig,
    /// Settings of `vbpr`.
    pub vbpr: PairwiseConfig,
    /// Settings of `dvbpr` from scratch; its size is that of pretraining too.
    pub scratch: DvbprConfig,
    /// Settings of `dvbpr` from a pretrained network.
    pub pretrained: DvbprConfig,
    /// Settings of pretraining.
    pub pretrain: PretrainConfig,
    /// The label of items that AUC within category is taken by, the first that is known.
    pub categories: Vec<String>,
    /// Folder of decoded pictures.
    pub cache: PathBuf,
    /// Folder in which fits that take long are kept, so that the same study goes on where it was interrupted; whoever runs it deletes it.
    pub checkpoints: Option<PathBuf>,
    /// Folder for the models of the last split as they are served, `visual-sum`, `vbpr` and `dvbpr`, to be used; none are kept otherwise.
    pub models: Option<PathBuf>,
    /// Where networks run.
    pub device: Device,
}

impl BaselinesOptions {
    /// As it is published: three splits.
    #[must_use]
    pub fn full(cache: PathBuf, device: Device) -> Self {
        Self {
            seeds: vec![0, 1, 2],
            prepare: PrepareOptions::new(DvbprConfig::small().px),
            features_px: 64,
            features: None,
            bpr: PairwiseConfig::bpr(),
            vbpr: PairwiseConfig::vbpr(),
            scratch: DvbprConfig::small(),
            pretrained: DvbprConfig::pretrained(),
            pretrain: PretrainConfig::default(),
            categories: CATEGORIES.map(str::to_owned).to_vec(),
            cache,
            checkpoints: None,
            models: None,
            device,
        }
    }
}

impl BaselinesOptions {
    /// All of the data that must be the same for a fit to be taken up.
    fn data(&self, data: &VisualDataset) -> Value {
        json!({
            "treatment": self.prepare.treatment, "px": data.images.px(), "pictures": data.images.len(),
            "users": data.users.checksum(), "items": data.items.checksum(), "purchases": data.purchases.by_user().n_entries(),
        })
    }

    /// The pretrained network; from the folder of checkpoints, if it was trained already. Or why there is none: a small shop has too few
    /// labels, and all else can be measured.
    fn network(
        &self,
        data: &VisualDataset,
        watcher: Watcher<'_>,
    ) -> Result<Result<Pretrained, String>, VisionError> {
        watcher.say("pretraining");
        let run = json!({"config": self.pretrain, "data": self.data(data)});
        let kept = self.checkpoints.as_deref().map(|folder| (folder, "pretrained", run));
        let ctx = watcher.context(child_seed(0, "pretraining"));
        match training::pretrained(&self.pretrain, data, kept, &self.device, &ctx) {
            Ok(network) => Ok(Ok(network)),
            Err(VisionError::TooFewLabels { labelled, least, .. }) => Ok(Err(format!(
                "No network was pretrained: {labelled} pictures have labels that are frequent enough, too few to learn from ({least} are \
                 needed)."
            ))),
            Err(error) => Err(error),
        }
    }
}

/// A clock, for seconds of fits: library code has none.
pub type Clock<'a> = &'a (dyn Fn() -> Duration + Sync);

/// Runs the study.
///
/// # Errors
/// Those of reading pictures and of fits; [`VisionError::NothingLeft`] if users have too few purchases.
pub fn baselines(
    purchases: &Purchases,
    options: &BaselinesOptions,
    clock: Clock<'_>,
    watcher: Watcher<'_>,
) -> Result<Study, VisionError> {
    let prepared = |px: usize| watcher.prepare(purchases.clone(), &options.prepare.at(px), &options.cache);
    let large = prepared(options.features_px)?;
    let data = prepared(options.scratch.px)?;
    let from_file =
        options.features.as_ref().map(|file| ItemFeatures::of_file(file, &data.items)).transpose()?;
    let (pretrained, unlabelled) = match options.network(&data, watcher)? {
        Ok(network) => (Some(network), None),
        Err(why) => (None, Some(why)),
    };
    let features = match from_file {
        Some(features) => features,
        None => ItemFeatures::new(&large, &data, pretrained.as_ref(), &options.device)?,
    };
    let mut study = Study {
        title: "Recommendation by pictures: AUC over all items, leave one out".to_owned(),
        about: vec![
            "Mean over splits ± half the 95 % interval over users of a split. Cold: fewer than 5 purchases of the test item in the \
             training part; new: none; no variant: the user bought no other colour of it. Served: as new users are served, folded in \
             from their purchases; visual-sum is served, too."
                .to_owned(),
        ],
        seeds: options.seeds.clone(),
        ..Study::default()
    };
    let called = format!("{}, {}", data.name, options.prepare.treatment.name());
    study.data.extend(described(&data, &called, &options.categories));
    study.data.extend(options.features.as_ref().map(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        format!("Features of items from {name}, which lacks {} of them", features.missing)
    }));
    study.findings.extend(unlabelled);
    if let Some(pretrained) = &pretrained {
        let words: Vec<String> = (pretrained.accuracy.iter())
            .map(|(name, right, most)| format!("{name} {right:.3} ({most:.3})"))
            .collect();
        let words = words.join(", ");
        study.data.push(format!("Pretraining, accuracy on held-out pictures (most frequent class): {words}"));
        let learned = if options.features.is_none() { " and the learned features of vbpr" } else { "" };
        study.about.push(format!(
            "dvbpr-pretrained{learned} come from a network trained on labels of articles: it saw pictures and labels of test items where \
             they have any, but no purchase."
        ));
    }
    for &seed in &options.seeds {
        let split = LeaveOneOut::new(&data, seed)?;
        let sum =
            one_split(&mut study, &data, &split, &features, pretrained.as_ref(), options, clock, watcher)?;
        if study.pictures.is_empty() {
            study.pictures.push(examples(&sum.recommender, &large, &split)?);
        }
    }
    for (model, than) in [
        ("vbpr", "bpr"),
        ("dvbpr", "bpr"),
        ("dvbpr-pretrained", "bpr"),
        ("vbpr", "vis-rank-max"),
        ("dvbpr", "vbpr"),
        ("dvbpr-pretrained", "vbpr"),
        ("dvbpr-pretrained", "dvbpr"),
        ("vbpr-served", "vbpr"),
        ("dvbpr-served", "dvbpr-pretrained"),
        ("visual-sum", "vbpr"),
        ("visual-sum", "vis-rank-max"),
    ] {
        study.compare(model, than);
    }
    Ok(study)
}

fn one_split(
    study: &mut Study,
    data: &VisualDataset,
    split: &LeaveOneOut,
    features: &ItemFeatures,
    pretrained: Option<&Pretrained>,
    options: &BaselinesOptions,
    clock: Clock<'_>,
    watcher: Watcher<'_>,
) -> Result<Chosen, VisionError> {
    let seed = split.seed;
    let slices = Slices::new(data, split);
    let category = category(data, &options.categories);
    let ctx = watcher.context(seed);
    let mut tell_as =
        |name: &str, model: &dyn Scorer, epochs: Vec<f64>, seconds: f64| -> Result<(), VisionError> {
            let users = evaluate(model, split, Part::Test, category)?;
            study.add(name, users, &slices, epochs, seconds);
            Ok(())
        };
    let mut tell = |model: &dyn Scorer, epochs, seconds| tell_as(model.name(), model, epochs, seconds);
    let (hand, both) = (features.hand(), features.all());
    tell(&RandomScores::new(split, seed), Vec::new(), 0.0)?;
    tell(&Popularity::new(split), Vec::new(), 0.0)?;
    let start = clock();
    let bpr = pairwise::fit("bpr", &options.bpr, Features::none(), split, &ctx)?;
    tell(&bpr, Vec::new(), (clock() - start).as_secs_f64())?;
    let mean = vis_rank_mean(hand, split)?;
    tell(&mean, Vec::new(), 0.0)?;
    let max = VisRankMax::new(hand, split)?;
    tell(&max, Vec::new(), 0.0)?;
    let start = clock();
    let vbpr = pairwise::fit("vbpr", &options.vbpr, both, split, &ctx)?;
    tell(&vbpr, Vec::new(), (clock() - start).as_secs_f64())?;
    let mut fit = |config: &DvbprConfig, from: Option<&Pretrained>, name: &str| {
        watcher.say(&format!("{name}, split {seed}"));
        let start = clock();
        let run =
            json!({"config": config, "seed": seed, "data": options.data(data), "from": options.pretrain});
        let folder = options.checkpoints.as_ref().map(|folder| folder.join(format!("{name}-{seed}")));
        // Kept until the study is done: a fit that ended is taken up at its end.
        let store = folder.map(|folder| Checkpoints::new(folder, run, Duration::ZERO));
        let ctx = FitContext { checkpoints: store.as_ref().map(|store| store as _), ..ctx.clone() };
        let fitted = dvbpr::fit(config, data, split, from, &options.device, &ctx)?;
        let model = fitted.model.named(name);
        let epochs = fitted.epochs.iter().filter_map(|epoch| epoch.auc).collect();
        tell(&model, epochs, (clock() - start).as_secs_f64())?;
        Ok::<_, VisionError>((model, fitted.dvbpr))
    };
    let scratch = fit(&options.scratch, None, "dvbpr")?;
    let (dvbpr, network) = match pretrained {
        Some(pretrained) => fit(&options.pretrained, Some(pretrained), "dvbpr-pretrained")?,
        None => scratch,
    };
    // The same models as they are served: nobody is known, everybody is folded in from their purchases.
    let train = split.train.by_user();
    let vbpr = training::served("vbpr", &data.items, &vbpr, None, split, &ctx)?;
    let mut dvbpr = training::served(dvbpr::NAME, &data.items, &dvbpr, None, split, &ctx)?;
    let mut sum = training::sum(&vbpr, Some(&dvbpr), hand, split)?;
    for (name, chosen) in [("vbpr-served", &vbpr), ("dvbpr-served", &dvbpr), ("visual-sum", &sum)] {
        tell_as(name, &chosen.recommender.serving(train), Vec::new(), 0.0)?;
    }
    if let Some(folder) = options.models.as_ref().filter(|_| options.seeds.last() == Some(&seed)) {
        let pretraining = pretrained.map(|_| &options.pretrain);
        let config = json!({"vbpr": options.vbpr, "dvbpr": network.config, "pretraining": pretraining});
        if sum.recommender.member(dvbpr::NAME).is_some() {
            sum.recommender.network = Some(network.clone());
        }
        dvbpr.recommender.network = Some(network);
        for (name, chosen) in [("vbpr", &vbpr), ("dvbpr", &dvbpr), ("visual-sum", &sum)] {
            let metrics = json!({"seed": seed, "validation_auc": chosen.validation});
            chosen.recommender.save(&folder.join(name), data, config.clone(), metrics)?;
        }
    }
    study.findings.push(format!(
        "Split {seed}: visual-sum is {}, which has the better validation AUC, {:.4}.",
        sum.recommender.member_names(),
        sum.validation
    ));
    Ok(sum)
}

/// Users whose recommendations are drawn, and pictures of each kind.
const EXAMPLES: (usize, usize) = (8, 6);

/// A row for each of a few users: purchases that were known, the test item, and what is recommended.
fn examples(
    recommender: &Recommender,
    data: &VisualDataset,
    split: &LeaveOneOut,
) -> Result<Picture, VisionError> {
    let (users, each) = EXAMPLES;
    let mut sheet = Sheet::new(data.images.px());
    for user in 0..users.min(split.test.len()) {
        let bought = split.train.by_user().row(user).0;
        let tile = |item: u32| {
            let picture = data.pictures[item as usize].first();
            picture.map(|&picture| Ok(Tile::new(data.images.bytes(&[picture])?))).transpose()
        };
        let known = bought.iter().take(each).map(|&item| tile(item));
        let mut row = known.collect::<Result<Vec<_>, VisionError>>()?;
        row.resize(each + 1, None);
        row.extend([tile(split.test[user])?, None]);
        for (item, _) in recommender.recommend(bought, each)? {
            row.push(tile(item.0)?);
        }
        sheet.row(row)?;
    }
    Ok(Picture {
        heading: "What is recommended".to_owned(),
        caption: format!(
            "A row for each of the first users of split {}: some of their known purchases, the purchase that was left out as test, and \
             the best of {}.",
            split.seed,
            recommender.name()
        ),
        png: sheet.png()?,
    })
}
