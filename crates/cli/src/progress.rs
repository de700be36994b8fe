//! Progress bars on standard error.

use std::sync::Mutex;
use std::time::Duration;

use foldin_core::{Epoch, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over the epochs of one fit.
#[derive(Debug)]
pub(crate) struct FitBar {
    bar: ProgressBar,
    last: Mutex<Option<Epoch>>,
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
        Self { bar, last: Mutex::new(None) }
    }

    /// Takes the bar away and returns the last epoch, if there was one.
    pub(crate) fn finish(&self) -> Option<Epoch> {
        self.bar.finish_and_clear();
        self.last.lock().ok().and_then(|last| *last)
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
        if let Ok(mut last) = self.last.lock() {
            *last = Some(epoch);
        }
    }
}

/// The errors of an epoch, such as `train 0.8123, validation 0.9012`.
pub(crate) fn errors_in_words(epoch: Epoch) -> String {
    [("train", epoch.train_rmse), ("validation", epoch.validation_rmse)]
        .iter()
        .filter_map(|(name, rmse)| rmse.map(|rmse| format!("{name} {rmse:.4}")))
        .collect::<Vec<_>>()
        .join(", ")
}
