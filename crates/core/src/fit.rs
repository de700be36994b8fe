//! How a model is fitted: data in, model out, progress and cancellation on the way.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::config::ModelConfig;
use crate::error::{FitError, LoadError};
use crate::features::Features;
use crate::ids::UserId;
use crate::interactions::Interactions;
use crate::model::{Capabilities, ModelParts, Recommender, Tensor};
use crate::user::UserView;

/// What a model may learn from. Test ratings and test users are never in it.
#[derive(Clone, Copy, Debug)]
pub struct TrainingData<'a> {
    /// Who rated what.
    pub interactions: &'a Interactions,
    /// Side information of the users of `interactions`; of width 0 if there is none.
    pub user_features: &'a Features,
    /// Side information of all items; of width 0 if there is none.
    pub item_features: &'a Features,
}

impl<'a> TrainingData<'a> {
    /// A training user as models see them, with [`UserView::trained_as`] set.
    ///
    /// # Panics
    /// If `user` is out of range.
    #[must_use]
    pub fn user(&self, user: usize) -> UserView<'a> {
        let (items, values) = self.interactions.by_user().row(user);
        UserView {
            items,
            values,
            features: self.user_features.row(user),
            trained_as: Some(UserId(user as u32)),
        }
    }

    /// All training users.
    #[must_use]
    pub fn users(&self) -> Vec<UserView<'a>> {
        (0..self.interactions.n_users()).map(|user| self.user(user)).collect()
    }
}

/// A family of models: how to fit one, and how to load one that was saved.
pub trait ModelFamily {
    /// Name in the registry and on the command line.
    const NAME: &'static str;
    /// One line on what it is.
    const SUMMARY: &'static str;
    /// Settings.
    type Config: ModelConfig;
    /// The fitted model.
    type Model: Recommender + 'static;

    /// What its models offer.
    fn capabilities() -> Capabilities;

    /// The settings used when nothing is said. Several families may share a `Config` and differ here.
    #[must_use]
    fn default_config() -> Self::Config {
        Self::Config::default()
    }

    /// Fits a model. Runs on the current Rayon pool; the same seed, data and configuration give the same bits whatever
    /// the number of threads.
    ///
    /// # Errors
    /// [`FitError`]; a cancelled fit is [`FitError::Cancelled`], never half a model.
    fn fit(
        config: &Self::Config,
        data: &TrainingData<'_>,
        ctx: &FitContext<'_>,
    ) -> Result<Self::Model, FitError>;

    /// Rebuilds a model from what [`Recommender::to_parts`] gave.
    ///
    /// # Errors
    /// [`LoadError`] for missing or misshapen parts.
    fn load(parts: ModelParts) -> Result<Self::Model, LoadError>;
}

/// One finished epoch (or iteration). Models of ratings report errors, models of clicks the loss and how well they rank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Epoch {
    /// Which one, from 1.
    pub number: usize,
    /// How many there are to be, at most.
    pub of: usize,
    /// RMSE on the training ratings as seen during the epoch, where the model has it.
    pub train_rmse: Option<f64>,
    /// RMSE on the validation slice of the training part, where one is held out.
    pub validation_rmse: Option<f64>,
    /// Mean training loss of the epoch, in the model's own unit.
    pub train_loss: Option<f64>,
    /// nDCG@20 on the validation slice of the training part, where one is held out.
    pub validation_ndcg: Option<f64>,
}

/// Where a fit reports how far it is. Calls come from one thread.
pub trait Progress: Sync {
    /// A preparatory step begins, such as `truncated SVD`.
    fn stage(&self, name: &str) {
        let _ = name;
    }
    /// An epoch is done.
    fn epoch(&self, epoch: Epoch) {
        let _ = epoch;
    }
}

/// Nobody listens.
impl Progress for () {}

/// A flag that asks a running fit to stop. Clones share it.
#[derive(Clone, Debug)]
pub struct CancelFlag(Arc<Asked>);

#[derive(Debug)]
struct Asked {
    set: AtomicBool,
    /// How often it may still be looked at before it sets itself; [`FOREVER`] for as often as one likes.
    looks: AtomicUsize,
}

const FOREVER: usize = usize::MAX;

impl Default for CancelFlag {
    fn default() -> Self {
        Self::after(FOREVER)
    }
}

impl CancelFlag {
    /// A flag that sets itself once it was looked at so often: stops a fit at a known step, where a clock would stop it anywhere.
    #[must_use]
    pub fn after(looks: usize) -> Self {
        Self(Arc::new(Asked { set: AtomicBool::new(false), looks: AtomicUsize::new(looks) }))
    }

    /// Asks to stop.
    pub fn cancel(&self) {
        self.0.set.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let fewer = |looks: usize| if looks == FOREVER { None } else { looks.checked_sub(1) };
        if self.0.looks.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer) == Err(0) {
            self.cancel();
        }
        self.0.set.load(Ordering::SeqCst)
    }
}

/// A fit between two epochs, or two steps of one: all that is needed to go on as if it had never stopped.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainState {
    /// Whole epochs done.
    pub epochs: usize,
    /// Parameters, optimiser moments and whatever else the model needs.
    pub tensors: BTreeMap<String, Tensor>,
    /// Numbers that must keep their full precision.
    pub numbers: BTreeMap<String, f64>,
}

/// Keeps the state of a fit so that it can be resumed.
pub trait CheckpointStore: Sync + Debug {
    /// The state to go on from, once, at the start of a fit.
    ///
    /// # Errors
    /// [`FitError::Checkpoint`] if there is one that cannot be used.
    fn load(&self) -> Result<Option<TrainState>, FitError>;

    /// Whether a checkpoint is wanted after this many epochs, apart from the one on cancellation.
    fn due(&self, epochs: usize) -> bool;

    /// Whether a checkpoint is wanted in the middle of an epoch, apart from the one on cancellation. Never, unless a store of trainings
    /// whose epochs take long says otherwise.
    fn due_within_epoch(&self) -> bool {
        false
    }

    /// Keeps a state in the place of the one before.
    ///
    /// # Errors
    /// [`FitError::Checkpoint`] if it cannot be kept.
    fn save(&self, state: &TrainState) -> Result<(), FitError>;
}

/// Everything a fit needs besides configuration and data. Threads are those of the current Rayon pool.
#[derive(Clone)]
pub struct FitContext<'a> {
    /// The seed of everything random; derive children with [`crate::random::child_seed`].
    pub seed: u64,
    /// Told about each epoch.
    pub progress: &'a dyn Progress,
    /// Asked between epochs, and between the steps of long ones.
    pub cancel: CancelFlag,
    /// Where an interrupted fit is kept.
    pub checkpoints: Option<&'a dyn CheckpointStore>,
}

impl Debug for FitContext<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FitContext")
            .field("seed", &self.seed)
            .field("cancel", &self.cancel)
            .finish_non_exhaustive()
    }
}

impl FitContext<'_> {
    /// A context with a seed and nothing else: silent, never cancelled, without checkpoints.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, progress: &(), cancel: CancelFlag::default(), checkpoints: None }
    }

    /// The state to resume from, if the caller keeps one.
    ///
    /// # Errors
    /// [`FitError::Checkpoint`].
    pub fn resume(&self) -> Result<Option<TrainState>, FitError> {
        self.checkpoints.map_or(Ok(None), CheckpointStore::load)
    }

    /// To be called after each epoch: reports it, keeps a checkpoint when one is due, and turns a request to stop into
    /// [`FitError::Cancelled`] after keeping one.
    ///
    /// # Errors
    /// [`FitError::Cancelled`], or [`FitError::Checkpoint`] if the state cannot be kept.
    pub fn epoch_done(&self, epoch: Epoch, state: impl FnOnce() -> TrainState) -> Result<(), FitError> {
        self.progress.epoch(epoch);
        let cancelled = self.cancel.is_cancelled();
        if let Some(store) = self.checkpoints
            && (cancelled || store.due(epoch.number))
        {
            store.save(&state())?;
        }
        if cancelled { Err(FitError::Cancelled { epochs: epoch.number }) } else { Ok(()) }
    }

    /// To be called between the steps of an epoch that takes long: lets `keep` give the store the state in the middle of the epoch when that
    /// is due, and turns a request to stop into [`FitError::Cancelled`] after keeping one. `done` is the number of whole epochs.
    ///
    /// # Errors
    /// [`FitError::Cancelled`], or that of `keep`.
    pub fn step_done(
        &self,
        done: usize,
        keep: impl FnOnce(&dyn CheckpointStore) -> Result<(), FitError>,
    ) -> Result<(), FitError> {
        let cancelled = self.cancel.is_cancelled();
        if let Some(store) = self.checkpoints
            && (cancelled || store.due_within_epoch())
        {
            keep(store)?;
        }
        if cancelled { Err(FitError::Cancelled { epochs: done }) } else { Ok(()) }
    }
}
