//! The figures that are promised of the H&M sample. Slow, so only when asked: `cargo test --release -p foldin-vision -- --ignored`.
//!
//! `FOLDIN_STUDY_OUT` is a folder for the page.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use foldin_core::{CancelFlag, Epoch, Progress};
use foldin_vision::data::purchases;
use foldin_vision::study::{BaselinesOptions, Watcher, baselines, html};

struct Told;

#[expect(clippy::print_stderr, reason = "somebody waits an hour for it")]
impl Progress for Told {
    fn stage(&self, name: &str) {
        eprintln!("{name}");
    }
    fn epoch(&self, epoch: Epoch) {
        eprintln!("epoch {} of {}: loss {:.4}", epoch.number, epoch.of, epoch.train_loss.unwrap_or_default());
    }
}

#[test]
#[ignore = "an hour"]
fn figures_of_the_hm_sample() {
    let Some(folder) = std::env::var_os("FOLDIN_DATA_DIR").map(|folder| Path::new(&folder).join("hm-sample"))
    else {
        eprintln!("skipped: FOLDIN_DATA_DIR is not set");
        return;
    };
    let purchases = purchases::open(&folder).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let out = std::env::var_os("FOLDIN_STUDY_OUT").map_or(scratch.path().to_owned(), PathBuf::from);
    let options = BaselinesOptions::full(out.join("cache"), Device::flex());
    let start = Instant::now();
    let cancel = CancelFlag::default();
    let watcher = Watcher { progress: &Told, cancel: &cancel };
    let study = baselines(&purchases, &options, &|| start.elapsed(), watcher).unwrap();
    eprintln!("{}\n{:.0} s in all", study.text(), start.elapsed().as_secs_f64());
    std::fs::write(out.join("dvbpr-baselines.html"), html::page("dvbpr-baselines", &[&study], &[], &[]))
        .unwrap();
    std::fs::write(out.join("dvbpr-baselines.json"), serde_json::to_string_pretty(&study).unwrap()).unwrap();
    let all = |name: &str| study.model(name).unwrap().mean(|report| report.all).unwrap().0;
    assert!(
        (0.47..0.57).contains(&all("bpr")) && all("popularity") < 0.45 && (all("random") - 0.5).abs() < 0.03
    );
    assert!(all("vis-rank-max") > 0.65 && all("vbpr") > all("bpr") + 0.1);
    assert!(all("vbpr") >= 0.68 && all("vis-rank-max").max(all("vis-rank-mean")) >= 0.67);
    assert!(all("dvbpr") >= 0.64 && all("dvbpr-pretrained") >= 0.67);
    assert!(all("visual-sum") >= 0.71);
}
