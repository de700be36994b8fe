//! What fits found, kept until the evaluation is whole, so that an interrupted one goes on instead of beginning anew.

use std::fmt::Debug;
use std::sync::atomic::{AtomicUsize, Ordering};

use foldin_core::Csr;
use serde_json::{Value, json};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::error::EvalError;
use crate::fold::Fold;
use crate::options::EvalOptions;
use crate::run::{Outcome, Runner};

/// A place for what fits found. What is kept under a name that is not asked for again does no harm.
///
/// Names are such that whatever changes what a fit finds changes the name: data, split, model, settings, seed, measures, threads. They do not
/// tell one build of a model from another: a place that outlives the program must.
pub trait Keep: Debug + Send + Sync {
    /// What was kept under this name; `None` if nothing was, or if it cannot be read.
    fn get(&self, name: &str) -> Option<String>;
    /// Keeps this under the name. A failure only means that it is found anew.
    fn put(&self, name: &str, found: &str);
}

/// Asks for, and leaves, what the fits of an evaluation found.
pub(crate) struct Kept<'a> {
    options: &'a EvalOptions,
    taken: AtomicUsize,
    all: AtomicUsize,
}

impl<'a> Kept<'a> {
    pub(crate) fn new(options: &'a EvalOptions) -> Self {
        Self { options, taken: AtomicUsize::new(0), all: AtomicUsize::new(0) }
    }

    /// What was kept of a fit, or what `find` finds now.
    pub(crate) fn or_find(
        &self,
        runner: &Runner<'_>,
        fold: &Fold<'_>,
        config: &Value,
        fit: usize,
        find: impl FnOnce() -> Result<Outcome, EvalError>,
    ) -> Result<Outcome, EvalError> {
        let Some(place) = &self.options.kept else { return find() };
        self.all.fetch_add(1, Ordering::Relaxed);
        let name = self.name(runner, fold, config, fit);
        let kept = place.get(&name).and_then(|found| serde_json::from_str(&found).ok());
        if let Some(outcome) = kept {
            self.taken.fetch_add(1, Ordering::Relaxed);
            return Ok(outcome);
        }
        let outcome = find()?;
        if let Ok(found) = serde_json::to_string(&outcome) {
            place.put(&name, &found);
        }
        Ok(outcome)
    }

    /// A name for a fit and all that what it finds depends on.
    fn name(&self, runner: &Runner<'_>, fold: &Fold<'_>, config: &Value, fit: usize) -> String {
        let Runner { data, options, request, .. } = *runner;
        let training = fold.training_data();
        let what = json!({
            "code": options.code_version,
            "data": data.interactions.fingerprint(),
            "user_features": digest(data.user_features.rows()),
            "item_features": digest(data.item_features.rows()),
            "train": training.interactions.fingerprint(),
            "protocol": options.protocol.name(),
            "folds": options.folds,
            "fold": fold.name,
            "seed": options.seed,
            "test_share": options.test_share,
            "cutoffs": options.cutoffs,
            "liked_from": options.liked_from,
            "label": request.label,
            "model": request.entry.name,
            "config": config,
            "new_users": request.new_users.name(),
            "fit": fit,
            "threads": rayon::current_num_threads(),
        });
        format!("{:032x}", xxh3_128(what.to_string().as_bytes()))
    }

    /// A remark for the report, if an earlier run has part in it.
    pub(crate) fn note(&self) -> Option<String> {
        let (taken, all) = (self.taken.load(Ordering::Relaxed), self.all.load(Ordering::Relaxed));
        (taken > 0).then(|| format!("{taken} of {all} fits are of an earlier run, which was interrupted"))
    }
}

fn digest(rows: &Csr) -> u64 {
    let mut hash = Xxh3::new();
    rows.offsets().iter().for_each(|&at| hash.update(&(at as u64).to_le_bytes()));
    rows.columns().iter().for_each(|column| hash.update(&column.to_le_bytes()));
    rows.values().iter().for_each(|value| hash.update(&value.to_le_bytes()));
    hash.digest()
}
