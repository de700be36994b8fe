//! The studies: every recommender on the same splits, and the three treatments of pictures.
//!
//! | file | holds |
//! | --- | --- |
//! | [`mod@baselines`] | `dvbpr-baselines`: random, popularity, `bpr`, `vis-rank`, `vbpr`, `dvbpr` and their sum |
//! | [`mod@treatments`] | `dvbpr-table3`: one picture of the vendor, all of them, and those of buyers as well |
//! | [`report`] | what they found, by model and split |
//! | [`html`] | the same as a page with pictures |
//!
//! Settings and epochs are chosen on validation items; test items are asked once a fitted model.

pub mod baselines;
pub mod html;
pub mod report;
pub mod treatments;

use std::path::Path;

use foldin_core::{CancelFlag, FitContext, Progress};

pub use baselines::{BaselinesOptions, baselines};
pub use report::{Study, StudyModel};
pub use treatments::{TreatmentsOptions, treatments};

use crate::data::{PrepareOptions, Purchases, VisualDataset, prepare};
use crate::error::VisionError;
use crate::images::Labels;

/// Labels of items that AUC within category is taken by, unless another is asked for: the first that there is.
pub const CATEGORIES: [&str; 2] = ["product type", "category"];

/// The first of these labels that the items have.
fn category<'a>(data: &'a VisualDataset, names: &[String]) -> Option<&'a Labels> {
    names.iter().find_map(|name| data.labels(name))
}

/// What is said of a data set: what is left of it, what AUC within category is taken by, and what was left out.
fn described(data: &VisualDataset, called: &str, names: &[String]) -> Vec<String> {
    let mut out = vec![format!(
        "{called}: {} users, {} items, {} purchases, {} pictures",
        data.users.len(),
        data.items.len(),
        data.purchases.by_user().n_entries(),
        data.images.len()
    )];
    out.extend(
        category(data, names).map(|labels| format!("Within category: by the label {}.", labels.name())),
    );
    out.extend(data.report.lines());
    out
}

/// Who is told what is going on, and may stop it.
#[derive(Clone, Copy)]
pub struct Watcher<'a> {
    /// Told of epochs and stages.
    pub progress: &'a dyn Progress,
    /// Asked between epochs, and while pictures are decoded.
    pub cancel: &'a CancelFlag,
}

impl std::fmt::Debug for Watcher<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").field("cancel", self.cancel).finish_non_exhaustive()
    }
}

impl Watcher<'_> {
    pub(crate) fn say(&self, what: &str) {
        self.progress.stage(what);
    }

    pub(crate) fn context(&self, seed: u64) -> FitContext<'_> {
        FitContext { progress: self.progress, cancel: self.cancel.clone(), ..FitContext::new(seed) }
    }

    /// Decodes pictures at a size, into a file of the folder `cache`.
    pub(crate) fn prepare(
        &self,
        purchases: Purchases,
        options: &PrepareOptions,
        cache: &Path,
    ) -> Result<VisualDataset, VisionError> {
        let px = options.images.px;
        let file = cache.join(options.file_name(&purchases.name));
        prepare(purchases, options, &file, &|done, of| {
            self.say(&format!("pictures at {px} pixels: {done} of {of}"));
            if self.cancel.is_cancelled() {
                return Err(foldin_core::FitError::Cancelled { epochs: 0 }.into());
            }
            Ok(())
        })
    }
}
