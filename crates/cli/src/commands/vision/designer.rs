//! What lets a server design new items: a [`Studio`] behind the server's [`Designer`].

use std::collections::HashSet;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;

use foldin_core::{CancelFlag, FitError};
use foldin_server::design::{
    Brief, Design, DesignError, Designer, Draft, LikedItem, NearItem, NewItem, Picture, RealItem, Workshop,
};
use foldin_vision::design::{DesignConfig, DesignResult, Step, Studio, Wish};
use foldin_vision::error::VisionError;
use foldin_vision::sheet::png;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::design::open_studio;
use crate::common::{Global, usage};

/// What `foldin serve` designs with.
#[derive(Debug, clap::Args)]
pub(crate) struct DesignerArgs {
    /// Folder of a trained generator of pictures, to design new items: POST /v1/design and the dashboard's page Design
    #[arg(long, value_name = "DIR", requires = "design_model", env = "FOLDIN_LSGAN")]
    lsgan: Option<PathBuf>,
    /// Folder of a recommender with a dvbpr, as `foldin vision train` wrote it; its items are those of the store's events
    #[arg(long, value_name = "DIR", requires = "lsgan", env = "FOLDIN_DESIGN_MODEL")]
    design_model: Option<PathBuf>,
    /// Real items with the generator's categories, by path or name, to compare designs with
    #[arg(long, default_value = "fashion-products", value_name = "DATA", env = "FOLDIN_DESIGN_CATALOGUE")]
    design_catalogue: String,
    /// Where designs are computed: cpu, or wgpu or cuda in a build that has them
    #[arg(long, default_value = "cpu", value_name = "DEVICE", env = "FOLDIN_DESIGN_DEVICE")]
    design_device: String,
}

impl DesignerArgs {
    /// Loads what was asked for, if anything was.
    pub(crate) fn open(&self, global: &Global) -> anyhow::Result<Option<Arc<dyn Designer>>> {
        let (Some(lsgan), Some(model)) = (&self.lsgan, &self.design_model) else { return Ok(None) };
        for (what, path) in [("generator", lsgan), ("recommender", model)] {
            if !path.exists() {
                return Err(usage(format!("there is no {what} in {}", path.display())));
            }
        }
        let studio = open_studio(lsgan, model, &self.design_catalogue, &self.design_device, global)?;
        Ok(Some(Arc::new(StudioDesigner::new(studio)?)))
    }
}

#[derive(Debug)]
struct StudioDesigner {
    studio: Studio,
    known: HashSet<String>,
    /// Half of the cores, so that the others go on answering.
    pool: ThreadPool,
}

impl StudioDesigner {
    fn new(studio: Studio) -> anyhow::Result<Self> {
        let known = studio.recommender().items.keys().map(str::to_owned).collect();
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let pool = ThreadPoolBuilder::new().num_threads((cores / 2).max(1)).build()?;
        Ok(Self { studio, known, pool })
    }
}

fn picture(px: usize, bytes: &[u8]) -> Result<Picture, DesignError> {
    Ok(Picture(png(px, bytes).map_err(failed)?.into()))
}

fn failed(error: VisionError) -> DesignError {
    match error {
        VisionError::Fit(FitError::Cancelled { .. }) => DesignError::Cancelled,
        VisionError::Unknown { what, .. } => {
            let field = match what {
                "category" => "category",
                "picture in the catalogue" => "tailor",
                _ => "bought",
            };
            DesignError::Unknown { field, message: error.to_string() }
        }
        error => DesignError::Failed(error.to_string()),
    }
}

fn config(brief: &Brief) -> DesignConfig {
    DesignConfig {
        starts: brief.starts,
        steps: brief.steps,
        keep: brief.keep,
        realism: brief.realism,
        ..DesignConfig::default()
    }
}

/// The best starts of a step, best first.
fn best(step: &Step, brief: &Brief, px: usize) -> Result<Vec<Draft>, DesignError> {
    let config = config(brief);
    let objective = |start: usize| step.objective(start, &config);
    let mut order: Vec<usize> = (0..brief.starts).collect();
    order.sort_by(|&x, &y| objective(y).total_cmp(&objective(x)).then(x.cmp(&y)));
    let draft = |&start: &usize| {
        let (preference, realism) = (step.preference[start], step.realism[start]);
        Ok(Draft { picture: picture(px, step.picture(start))?, preference, realism })
    };
    order.iter().take(brief.keep).map(draft).collect()
}

/// A finished design as the server tells it.
fn told(result: &DesignResult, used: usize) -> Result<Design, DesignError> {
    let px = result.px();
    let mut designs = Vec::with_capacity(result.designs.len());
    for (designed, pictures) in result.designs.iter().zip(result.nearest_pictures()) {
        let near = designed.nearest.iter().zip(pictures).map(|(item, bytes)| {
            let (name, difference) = (item.item.clone(), item.difference);
            Ok(NearItem { item: name, difference, picture: picture(px, bytes)? })
        });
        designs.push(NewItem {
            pictures: designed.pictures.iter().map(|bytes| picture(px, bytes)).collect::<Result<_, _>>()?,
            preference: designed.preference.clone(),
            realism: designed.realism.clone(),
            percentile: designed.percentile,
            nearest: near.collect::<Result<_, DesignError>>()?,
        });
    }
    let best = result.retrieved.iter().zip(result.retrieved_pictures()).map(|(item, bytes)| {
        let (name, preference) = (item.item.clone(), item.preference);
        Ok(LikedItem { item: name, preference, picture: picture(px, bytes)? })
    });
    let tailored = result.tailored.clone().zip(result.tailored_picture());
    let tailored = tailored.map(|(item, bytes)| Ok(RealItem { item, picture: picture(px, bytes)? }));
    Ok(Design {
        used,
        shown_steps: result.shown.clone(),
        designs,
        best: best.collect::<Result<_, DesignError>>()?,
        tailored: tailored.transpose()?,
    })
}

impl Designer for StudioDesigner {
    fn workshop(&self) -> Workshop {
        Workshop { categories: self.studio.categories().to_vec(), pixels: self.studio.px() }
    }

    fn knows(&self, item: &str) -> bool {
        self.known.contains(item)
    }

    fn check(&self, brief: &Brief) -> Result<(), DesignError> {
        self.studio.find(&brief.category, brief.tailor.as_deref()).map(drop).map_err(failed)
    }

    fn design(
        &self,
        brief: &Brief,
        bought: &[String],
        cancel: &CancelFlag,
        tell: &mut (dyn FnMut(usize, Vec<Draft>) + Send),
    ) -> Result<Design, DesignError> {
        let wish = Wish {
            user: brief.user.clone().unwrap_or_default(),
            bought: bought.to_vec(),
            category: brief.category.clone(),
            tailor: brief.tailor.clone(),
            config: config(brief),
            seed: brief.seed,
        };
        let px = self.studio.px();
        let mut trouble = None;
        let progress = |step: &Step| match best(step, brief, px) {
            Ok(drafts) => tell(step.number, drafts),
            Err(error) => trouble = Some(error),
        };
        let result = self.pool.install(|| self.studio.design(&wish, cancel, progress));
        let result = result.map_err(failed)?;
        trouble.map_or_else(|| told(&result, bought.len()), Err)
    }
}
