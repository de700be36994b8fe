//! Seconds of a training step of `lsgan`: `lsgan_step PRESET BATCH STEPS THREADS`.
//!
//! Prints the best and the median of the steps after the first, by the wall and by the processor's time where the system tells it.
#![expect(clippy::print_stdout, reason = "an example speaks on the terminal")]

use std::cell::RefCell;
use std::time::Instant;

use burn::tensor::Device;
use foldin_core::{CancelFlag, FitContext};
use foldin_vision::error::VisionError;
use foldin_vision::images::{ImageSet, Labels};
use foldin_vision::lsgan::{Lsgan, LsganConfig, Observer};

/// Notes the time after each step and stops after enough.
struct Clock {
    times: RefCell<Vec<(Instant, f64)>>,
    steps: usize,
    cancel: CancelFlag,
}

/// Seconds of the processor that this process took so far; 0 where the system does not say.
fn processor() -> f64 {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else { return 0.0 };
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

impl Observer for Clock {
    fn wants(&self, epoch: usize) -> bool {
        self.times.borrow_mut().push((Instant::now(), processor()));
        if epoch > self.steps {
            self.cancel.cancel();
        }
        false
    }

    fn look(&mut self, _: usize, _: &Lsgan) -> Result<(), VisionError> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |at: usize, default: &str| arguments.get(at).map_or(default.to_owned(), Clone::clone);
    let batch: usize = text(1, "64").parse()?;
    let steps: usize = text(2, "3").parse()?;
    rayon::ThreadPoolBuilder::new().num_threads(text(3, "1").parse()?).build_global()?;
    let preset = text(0, "authors");
    let config = LsganConfig::preset(&preset).ok_or("no such preset")?;
    // One batch is one epoch.
    let config = LsganConfig { batch, epochs: 10_000, ..config };
    let size = 3 * config.px * config.px;
    let bytes = (0..batch * size).map(|at| ((at * 2_654_435_761) >> 7) as u8).collect();
    let names = (0..batch).map(|at| at.to_string()).collect();
    let labels = Labels::new(
        "category",
        (0..6).map(|class| class.to_string()).collect(),
        (0..batch as u32).map(|at| Some(at % 6)).collect(),
    )?;
    let pictures = ImageSet::in_memory(config.px, names, bytes)?;
    let mut clock = Clock { times: RefCell::default(), steps, cancel: CancelFlag::default() };
    let ctx = FitContext { cancel: clock.cancel.clone(), ..FitContext::new(1) };
    // It ends by being cancelled.
    let _ = Lsgan::fit(&config, &pictures, &labels, &ctx, &Device::flex(), &mut clock);
    let times = clock.times.into_inner();
    let sorted = |mut seconds: Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        (seconds[0], seconds[seconds.len() / 2])
    };
    let wall = sorted(times.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect());
    let used = sorted(times.windows(2).map(|pair| pair[1].1 - pair[0].1).collect());
    println!(
        "{preset}, batch {batch}: best {:.3} s, median {:.3} s a step; of the processor {:.3} s, {:.3} s",
        wall.0, wall.1, used.0, used.1
    );
    Ok(())
}
