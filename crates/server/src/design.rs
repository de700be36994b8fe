//! New items for one person: what a server asks of whatever can design them.
//!
//! This crate knows no networks. A [`Designer`] is handed to [`Server::with_designer`](crate::Server::with_designer); designs then run in
//! the background, one at a time, and are watched as training runs are.

use std::fmt::Debug;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use foldin_core::CancelFlag;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::{PartialSchema, ToSchema};

use crate::error::ApiError;
use crate::runs::{JobState, Run, Runs};
use crate::state::now;

/// A PNG file. In JSON it is a `data:` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture(pub Arc<[u8]>);

impl Serialize for Picture {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format!("data:image/png;base64,{}", STANDARD.encode(&self.0)))
    }
}

impl PartialSchema for Picture {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}

impl ToSchema for Picture {}

/// What can be designed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Workshop {
    /// Names of the categories.
    pub categories: Vec<String>,
    /// Width and height of a picture.
    pub pixels: usize,
}

/// A wish for new items: for a user of the store, or for somebody who bought these.
#[derive(Clone, Debug, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Brief {
    /// Key of a user of the store.
    #[serde(default)]
    pub user: Option<String>,
    /// Keys of items that somebody bought.
    #[serde(default)]
    pub bought: Vec<String>,
    /// Category, as `designs` of `/v1/stats` names them.
    pub category: String,
    /// A real item to begin with, as an earlier design names them; begins with noise otherwise.
    #[serde(default)]
    pub tailor: Option<String>,
    /// Starts that are moved side by side, 1 to 64.
    #[serde(default = "starts")]
    #[schema(default = 16, minimum = 1, maximum = 64)]
    pub starts: usize,
    /// Steps of each, 1 to 500.
    #[serde(default = "steps")]
    #[schema(default = 40, minimum = 1, maximum = 500)]
    pub steps: usize,
    /// Designs that are kept, 1 to 16, and no more than starts.
    #[serde(default = "keep")]
    #[schema(default = 4, minimum = 1, maximum = 16)]
    pub keep: usize,
    /// What a picture costs that does not look real, 0 to 100.
    #[serde(default = "realism")]
    #[schema(default = 1.0, minimum = 0, maximum = 100)]
    pub realism: f64,
    /// Seed of the starts: the same gives the same designs.
    #[serde(default = "seed")]
    #[schema(default = 1)]
    pub seed: u64,
}

fn starts() -> usize {
    16
}

fn steps() -> usize {
    40
}

fn keep() -> usize {
    4
}

fn realism() -> f64 {
    1.0
}

fn seed() -> u64 {
    1
}

impl Brief {
    /// Checks every number, and that there is one person.
    ///
    /// # Errors
    /// `bad_request` naming the field.
    pub fn check(&self) -> Result<(), ApiError> {
        let refuse =
            |field: &str, message: &str| Err(ApiError::new("bad_request", message).with_field(field));
        if !(1..=64).contains(&self.starts) {
            return refuse("starts", "1 to 64 starts can be moved");
        }
        if !(1..=500).contains(&self.steps) {
            return refuse("steps", "1 to 500 steps can be made");
        }
        if !(1..=16).contains(&self.keep) || self.keep > self.starts {
            return refuse("keep", "1 to 16 designs can be kept, and no more than there are starts");
        }
        if !(0.0..=100.0).contains(&self.realism) {
            return refuse("realism", "it is 0 to 100");
        }
        match (&self.user, self.bought.is_empty()) {
            (None, true) => refuse("user", "give a user of the store, or what somebody bought in `bought`"),
            (Some(_), false) => refuse("bought", "give a user of the store or what was bought, not both"),
            _ => Ok(()),
        }
    }
}

/// A picture as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Draft {
    /// What it looks like.
    pub picture: Picture,
    /// How much the person likes it, in the scores of the recommender.
    pub preference: f64,
    /// How real it looks to the network that learned to tell: about 1 is real.
    pub realism: f64,
}

/// A real item.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct RealItem {
    /// Its name, which `tailor` takes.
    pub item: String,
    /// What it looks like.
    pub picture: Picture,
}

/// A real item near a design.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NearItem {
    /// Its name, which `tailor` takes.
    pub item: String,
    /// Mean absolute difference of the pixels, of 255.
    pub difference: f64,
    /// What it looks like.
    pub picture: Picture,
}

/// A real item that the person likes.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LikedItem {
    /// Its name, which `tailor` takes.
    pub item: String,
    /// How much the person likes it.
    pub preference: f64,
    /// What it looks like.
    pub picture: Picture,
}

/// A new item.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NewItem {
    /// What it looked like at each of the steps that are shown.
    pub pictures: Vec<Picture>,
    /// How much the person likes it after each step, the start first.
    pub preference: Vec<f64>,
    /// How real it looks after each step.
    pub realism: Vec<f64>,
    /// Share of the category's real items that the person likes less, by the same scores; 0 to 1.
    pub percentile: f64,
    /// The real items that look most like it.
    pub nearest: Vec<NearItem>,
}

/// New items for one person beside real ones.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Design {
    /// Items of the person's history that said something about their taste.
    pub used: usize,
    /// Steps whose pictures are shown.
    pub shown_steps: Vec<usize>,
    /// New items, best first.
    pub designs: Vec<NewItem>,
    /// The person's best real items of the category, best first.
    pub best: Vec<LikedItem>,
    /// The item that was tailored.
    pub tailored: Option<RealItem>,
}

/// A design that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DesignError {
    /// Something that was asked for is not known.
    #[error("{message}")]
    Unknown {
        /// Field of the wish.
        field: &'static str,
        /// Which, and what is.
        message: String,
    },
    /// Somebody asked for it to stop.
    #[error("stopped")]
    Cancelled,
    /// A fault.
    #[error("{0}")]
    Failed(String),
}

/// Designs new items. Shared by threads, so one may look something up while it designs.
pub trait Designer: Debug + Send + Sync {
    /// What can be designed.
    fn workshop(&self) -> Workshop;

    /// Whether an item says something about the taste of who bought it.
    fn knows(&self, item: &str) -> bool;

    /// Checks what a wish names.
    ///
    /// # Errors
    /// [`DesignError::Unknown`].
    fn check(&self, brief: &Brief) -> Result<(), DesignError>;

    /// Designs for somebody who bought items that are [known](Designer::knows); `tell` hears of each step, with the best pictures so far. `cancel` is asked
    /// before each step.
    ///
    /// # Errors
    /// [`DesignError`].
    fn design(
        &self,
        brief: &Brief,
        bought: &[String],
        cancel: &CancelFlag,
        tell: &mut (dyn FnMut(usize, Vec<Draft>) + Send),
    ) -> Result<Design, DesignError>;
}

/// A design under way or ended.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct DesignRun {
    /// Its number, from 1 since the server started.
    pub id: u64,
    /// Where it is.
    pub state: JobState,
    /// For whom: a user's key, or `somebody`.
    pub person: String,
    /// What.
    pub category: String,
    /// The real item that it began with.
    pub tailor: Option<String>,
    /// Steps so far. None are made while the noise is sought that looks like the item to tailor.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// The best so far, best first.
    pub shown: Vec<Draft>,
    /// When it began, in milliseconds since 1970.
    pub started: i64,
    /// When it ended.
    pub ended: Option<i64>,
    /// What came of it, when it is done.
    pub design: Option<Design>,
    /// Why it failed.
    pub error: Option<String>,
}

impl Run for DesignRun {
    const NAME: &'static str = "design";
    // Each holds some hundred pictures.
    const REMEMBERED: usize = 10;

    fn id(&self) -> u64 {
        self.id
    }

    fn state(&self) -> JobState {
        self.state
    }

    fn broke_off(&mut self) {
        tracing::error!(design = self.id, "a design broke off");
        self.ended = Some(now());
        self.state = JobState::Failed;
        self.error = Some("the design broke off, which it should never do; the log says where".to_owned());
    }
}

/// All designs since the server started.
pub(crate) type Designs = Runs<DesignRun>;

impl Designs {
    /// Begins a design for somebody who bought these, on a thread of its own.
    ///
    /// # Errors
    /// `conflict` if one is under way.
    pub(crate) fn begin(
        &self,
        designer: Arc<dyn Designer>,
        brief: Brief,
        bought: Vec<String>,
    ) -> Result<DesignRun, ApiError> {
        let run = |id| DesignRun {
            id,
            state: JobState::Running,
            person: brief.user.clone().unwrap_or_else(|| "somebody".to_owned()),
            category: brief.category.clone(),
            tailor: brief.tailor.clone(),
            step: 0,
            steps: brief.steps,
            shown: Vec::new(),
            started: now(),
            ended: None,
            design: None,
            error: None,
        };
        let wish = brief.clone();
        self.start(run, move |run, cancel| {
            let result = designer.design(&wish, &bought, cancel, &mut |step, shown| {
                run.send_modify(|run| {
                    run.step = step;
                    run.shown = shown;
                });
            });
            run.send_modify(|run| {
                run.ended = Some(now());
                match result {
                    Ok(design) => {
                        run.state = JobState::Done;
                        run.design = Some(design);
                    }
                    Err(DesignError::Cancelled) => run.state = JobState::Cancelled,
                    Err(error) => {
                        tracing::warn!(design = run.id, %error, "a design failed");
                        run.state = JobState::Failed;
                        run.error = Some(error.to_string());
                    }
                }
            });
        })
    }
}

impl From<DesignError> for ApiError {
    fn from(error: DesignError) -> Self {
        match error {
            DesignError::Unknown { field, message } => Self::new("not_found", message).with_field(field),
            error => Self::internal(&error.to_string()),
        }
    }
}
