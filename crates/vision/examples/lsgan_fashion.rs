//! Trains and measures a generator of fashion: `lsgan_fashion products|fashion-mnist DATA OUT PRESET EPOCHS [KEY=VALUE …]`.
#![expect(clippy::print_stdout, reason = "an example speaks on the terminal")]

use std::path::PathBuf;

use foldin_core::CancelFlag;
use foldin_core::config::overlay;
use foldin_core::fit::{Epoch, Progress};
use foldin_vision::backend::device;
use foldin_vision::classifier::ClassifierConfig;
use foldin_vision::experiments::{LsganExperiment, Pictures, Watch};
use foldin_vision::gan_report::ReportOptions;
use foldin_vision::lsgan::LsganConfig;

/// Says how far it is.
struct Print(std::time::Instant);

impl Progress for Print {
    fn epoch(&self, epoch: Epoch) {
        let loss = epoch.train_loss.unwrap_or(f64::NAN);
        println!(
            "{:7.1} s: epoch {} of {}, loss {loss:.4}",
            self.0.elapsed().as_secs_f64(),
            epoch.number,
            epoch.of
        );
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, data, out, preset, epochs, changes @ ..] = &arguments[..] else {
        return Err("products|fashion-mnist DATA OUT PRESET EPOCHS [KEY=VALUE …]".into());
    };
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let mut config = LsganConfig::preset(preset).ok_or("no such preset")?;
    config.epochs = epochs.parse()?;
    let mut map = serde_json::Map::new();
    for change in changes {
        let (key, value) = change.split_once('=').ok_or("KEY=VALUE")?;
        let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
        map.insert(key.to_owned(), value);
    }
    let config = overlay("lsgan", &config, &map)?;
    let (path, out) = (PathBuf::from(data), PathBuf::from(out));
    let pictures = match kind.as_str() {
        "products" => Pictures::Products { path, cache: out.clone() },
        _ => Pictures::Idx { path, most: usize::MAX },
    };
    let experiment = LsganExperiment {
        pictures,
        config,
        classifier: ClassifierConfig::default(),
        report: ReportOptions {
            classification_accuracy_score: kind != "products",
            ..ReportOptions::default()
        },
        test_share: 0.2,
        seed: 1,
    };
    let progress = Print(std::time::Instant::now());
    let stage = |name: &str| println!("{:7.1} s: {name}", progress.0.elapsed().as_secs_f64());
    let watch = Watch { stage: &stage, progress: &progress, cancel: CancelFlag::default() };
    let outcome = experiment.run(&out, &device("cpu")?, &watch)?;
    println!("{:#}", serde_json::json!(outcome));
    Ok(())
}
