//! An evaluation that was interrupted goes on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use foldin_core::CancelFlag;
use foldin_eval::{
    EvalError, EvalObserver, EvalOptions, EvalReport, Job, Keep, NewUserMode, Protocol, evaluate,
};

use crate::toys::{History, ItemMean, generated, request};

#[derive(Debug, Default)]
struct Place(Mutex<BTreeMap<String, String>>);

impl Keep for Place {
    fn get(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap().get(name).cloned()
    }

    fn put(&self, name: &str, found: &str) {
        self.0.lock().unwrap().insert(name.to_owned(), found.to_owned());
    }
}

/// Counts fits, and stops the evaluation when so many are done.
struct Counting {
    fits: AtomicUsize,
    most: usize,
    cancel: CancelFlag,
}

impl EvalObserver for Counting {
    fn fit_done(&self, _: &Job, _: f64) {
        if self.fits.fetch_add(1, Ordering::Relaxed) + 1 == self.most {
            self.cancel.cancel();
        }
    }
}

/// The report, and how many fits it took; stopped after `most`.
fn run(
    place: Option<Arc<Place>>,
    seed: u64,
    cutoffs: &[usize],
    most: usize,
) -> (Result<EvalReport, EvalError>, usize) {
    let cancel = CancelFlag::default();
    let options = EvalOptions {
        protocol: Protocol::TopNNewUsers,
        folds: 2,
        only_folds: vec![1],
        seed,
        cutoffs: cutoffs.to_vec(),
        cancel: cancel.clone(),
        kept: place.map(|place| place as Arc<dyn Keep>),
        ..EvalOptions::default()
    };
    let requests = [
        request::<ItemMean>(),
        request::<History>().labelled("thrice").fitted(3),
        request::<ItemMean>().labelled("same"),
        request::<History>().labelled("refitted").meeting(NewUserMode::RetrainAll),
    ];
    let counting = Counting { fits: AtomicUsize::new(0), most, cancel };
    let report = evaluate(&generated(30), &requests, &options, &counting);
    (report, counting.fits.into_inner())
}

/// All figures, to the bit.
fn figures(report: &EvalReport) -> Vec<(String, u64)> {
    let models = report.models.iter();
    models
        .flat_map(|model| model.metrics.iter().map(|(name, of)| (name.to_owned(), of.mean.to_bits())))
        .collect()
}

#[test]
fn what_finished_fits_found_is_not_found_again() {
    // One model, three fits, none for the model that is the first again, one refit.
    let (whole, fits) = run(None, 1, &[3], usize::MAX);
    let whole = whole.unwrap();
    assert_eq!(fits, 5);
    assert!(whole.notes.is_empty());
    for most in 1..5 {
        let place = Arc::new(Place::default());
        let (stopped, first) = run(Some(place.clone()), 1, &[3], most);
        assert_eq!(stopped.unwrap_err(), EvalError::Cancelled);
        let kept = place.0.lock().unwrap().len();
        let (report, second) = run(Some(place), 1, &[3], usize::MAX);
        let report = report.unwrap();
        assert_eq!(figures(&report), figures(&whole), "stopped after {most}");
        // The fit that was being tested when it was stopped is done again; and so is one that a later model shares.
        assert!(first == most && kept < most && second <= 5 - kept + 1, "{first} {kept} {second}");
        if kept > 0 {
            assert!(
                report.notes[0].contains(&format!("{kept} of 6 fits are of an earlier run")),
                "{:?}",
                report.notes
            );
        }
    }
}

#[test]
fn what_was_found_otherwise_is_not_taken() {
    let place = Arc::new(Place::default());
    run(Some(place.clone()), 1, &[3], usize::MAX).0.unwrap();
    let count = || place.0.lock().unwrap().len();
    assert_eq!(count(), 6);
    let (again, fits) = run(Some(place.clone()), 1, &[3], usize::MAX);
    assert_eq!((again.unwrap().notes.len(), fits, count()), (1, 0, 6));
    // Another seed, another measure: all is found anew.
    assert_eq!((run(Some(place.clone()), 2, &[3], usize::MAX).1, count()), (5, 12));
    assert_eq!((run(Some(place.clone()), 1, &[4], usize::MAX).1, count()), (5, 18));
    // What cannot be read is found again.
    place.0.lock().unwrap().values_mut().for_each(|found| found.truncate(9));
    let (report, fits) = run(Some(place.clone()), 1, &[3], usize::MAX);
    assert_eq!((report.unwrap().notes.len(), fits), (0, 5));
}
