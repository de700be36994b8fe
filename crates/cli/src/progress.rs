//! Progress bars on standard error.

use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use foldin_core::{CancelFlag, Epoch, Progress};
use foldin_eval::tune::Trial;
use foldin_eval::{EvalObserver, Job};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over the epochs of one fit.
#[derive(Debug)]
pub(crate) struct FitBar {
    bar: ProgressBar,
    /// The epoch whose weights a fit ends with.
    kept: Mutex<Option<Epoch>>,
}

impl FitBar {
    /// A bar with a label; invisible unless `visible`.
    pub(crate) fn new(label: impl Into<String>, visible: bool) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(1),
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        bar.set_style(
            ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} {msg} {elapsed} (eta {eta})")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.set_prefix(label.into());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, kept: Mutex::new(None) }
    }

    /// Takes the bar away and returns the epoch that the model is of, if there was one: the best by what was held out, or else the last.
    pub(crate) fn finish(&self) -> Option<Epoch> {
        self.bar.finish_and_clear();
        self.kept.lock().ok().and_then(|kept| *kept)
    }
}

impl Progress for FitBar {
    fn stage(&self, name: &str) {
        self.bar.set_message(name.to_owned());
    }

    fn epoch(&self, epoch: Epoch) {
        self.bar.set_length(epoch.of as u64);
        self.bar.set_position(epoch.number as u64);
        self.bar.set_message(errors_in_words(epoch));
        if let Ok(mut kept) = self.kept.lock()
            && kept.is_none_or(|kept| !is_better(kept, epoch))
        {
            *kept = Some(epoch);
        }
    }
}

/// Whether an epoch stays the best, by what was held out, beside a later one.
fn is_better(kept: Epoch, later: Epoch) -> bool {
    match (kept.validation_rmse, later.validation_rmse, kept.validation_ndcg, later.validation_ndcg) {
        (Some(kept), Some(later), ..) => kept <= later,
        (.., Some(kept), Some(later)) => kept >= later,
        _ => false,
    }
}

/// The figures of an epoch, such as `RMSE: train 0.8123, validation 0.9012`, or `loss 0.512, validation nDCG@20 0.2311`.
pub(crate) fn errors_in_words(epoch: Epoch) -> String {
    let errors = [
        ("RMSE: train", epoch.train_rmse),
        (if epoch.train_rmse.is_some() { "validation" } else { "RMSE: validation" }, epoch.validation_rmse),
        ("loss", epoch.train_loss),
        ("validation nDCG@20", epoch.validation_ndcg),
    ];
    let known = errors.iter().filter_map(|(name, value)| value.map(|value| format!("{name} {value:.4}")));
    known.collect::<Vec<_>>().join(", ")
}

/// Signals that come within this time are one Ctrl-C.
const ONE_CTRL_C: Duration = Duration::from_millis(200);

/// The flag that the first Ctrl-C sets, to stop as soon as what was learned can be kept; a second one ends the program at once.
pub(crate) fn cancel_on_ctrl_c() -> anyhow::Result<CancelFlag> {
    static FLAG: OnceLock<CancelFlag> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(flag.clone());
    }
    let flag = FLAG.get_or_init(CancelFlag::default).clone();
    let set = flag.clone();
    let first = OnceLock::new();
    ctrlc::set_handler(move || {
        // A program that passes signals on to its children may give one Ctrl-C twice.
        if set.is_cancelled() && first.get().is_none_or(|at: &Instant| at.elapsed() > ONE_CTRL_C) {
            std::process::exit(130);
        }
        first.get_or_init(Instant::now);
        set.cancel();
    })
    .context("cannot listen for Ctrl-C")?;
    Ok(flag)
}

/// A bar over the jobs of an evaluation, with the epochs of the current fit in its message.
#[derive(Debug)]
pub(crate) struct EvalBars {
    bar: ProgressBar,
}

impl EvalBars {
    /// A bar; invisible unless `visible`.
    pub(crate) fn new(visible: bool) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(1),
            if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() },
        );
        bar.set_style(
            ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg} {elapsed} (eta {eta})")
                .unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, job: &Job, what: &str) {
        self.bar.set_length(job.of as u64);
        self.bar.set_position(job.number as u64 - 1);
        self.bar.set_message(format!("{}, fold {}: {what}", job.label, job.fold));
    }
}

impl EvalObserver for EvalBars {
    fn fit_started(&self, job: &Job) {
        self.say(job, "fitting");
    }

    fn stage(&self, job: &Job, name: &str) {
        self.say(job, name);
    }

    fn epoch(&self, job: &Job, epoch: Epoch) {
        self.say(job, &format!("epoch {}/{} {}", epoch.number, epoch.of, errors_in_words(epoch)));
    }

    fn fit_done(&self, job: &Job, _seconds: f64) {
        self.say(job, "predicting");
    }

    fn job_done(&self, job: &Job, metrics: &[(String, f64)]) {
        let figures: Vec<String> =
            metrics.iter().take(1).map(|(name, value)| format!("{name} {value:.4}")).collect();
        if !figures.is_empty() {
            self.bar.println(format!("{}, fold {}: {}", job.label, job.fold, figures.join(", ")));
        }
        self.bar.set_position(job.number as u64);
    }
}

/// A bar over the trials of a search.
#[derive(Debug)]
pub(crate) struct TuneBar {
    bar: ProgressBar,
    metric: String,
    now: Mutex<String>,
}

impl TuneBar {
    /// A bar over so many trials; invisible unless `visible`.
    pub(crate) fn new(trials: usize, metric: &str, visible: bool) -> Self {
        let bars = EvalBars::new(visible);
        bars.bar.set_length(trials as u64);
        Self { bar: bars.bar, metric: metric.to_owned(), now: Mutex::default() }
    }

    /// So many trials are done, and this is the best figure.
    pub(crate) fn at(&self, done: usize, best: Option<f64>) {
        self.bar.set_position(done as u64);
        let best = best.map(|best| format!("best {} {best:.4}; ", self.metric)).unwrap_or_default();
        if let Ok(mut now) = self.now.lock() {
            *now = best;
        }
    }

    /// A trial begins.
    pub(crate) fn trying(&self, trial: &Trial) {
        let settings: Vec<String> =
            trial.settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let words = if settings.is_empty() { "the default".to_owned() } else { settings.join(" ") };
        self.say(&format!("trying {words}"));
    }

    fn say(&self, what: &str) {
        let best = self.now.lock().map(|now| now.clone()).unwrap_or_default();
        self.bar.set_message(format!("{best}{what}"));
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl EvalObserver for TuneBar {
    fn epoch(&self, _: &Job, epoch: Epoch) {
        self.say(&format!("epoch {}/{} {}", epoch.number, epoch.of, errors_in_words(epoch)));
    }
}
