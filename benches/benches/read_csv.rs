//! Reading 25 million ratings on one core: lines a second, and the most memory held meanwhile.
//!
//! Floor: the data are read once from the page cache (about 10 GB/s) and written once as rows: nothing else is needed by
//! the task itself. `--lines N` sets another number of lines; the files lie in a temporary folder while the bench runs.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use foldin_benches::{Bench, MemoryWatch, cpu_time};
use foldin_core::random::Random;
use foldin_data::{Format, OpenOptions, convert, open_with_report};

/// Lines of the real MovieLens 25M.
const LINES: usize = 25_000_095;
/// Ratings of a user on average there.
const PER_USER: usize = 154;
/// Items there.
const ITEMS: usize = 62_423;
const BYTES_A_SECOND: f64 = 1e10;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut bench = Bench::new("read_csv");
    let asked = std::env::args().skip_while(|argument| argument != "--lines").nth(1);
    let lines = match asked {
        Some(number) => number.replace('_', "").parse()?,
        None if bench.is_measuring() => LINES,
        None => 20_000,
    };
    let folder = TemporaryFolder::new()?;

    let path = folder.0.join("ratings.csv");
    write_ratings(&path, lines, "", "")?;
    read(&mut bench, "MovieLens CSV, whole numbers as keys", &path, lines, Some(3e6))?;
    std::fs::remove_file(&path)?;

    // A fifth of the lines is enough for a rate.
    let fewer = lines / 5;
    write_ratings(&path, fewer, "customer-", "B00")?;
    read(&mut bench, "CSV, words as keys", &path, fewer, None)?;
    let (small, _) = open_with_report(&path.display().to_string(), &OpenOptions::default())?;
    convert(&small, &folder.0.join("json"), Format::JsonLines)?;
    drop(small);
    let path = folder.0.join("json").join("ratings.jsonl");
    read(&mut bench, "JSON Lines, words as keys", &path, fewer, None)?;
    bench.finish();
    Ok(())
}

fn read(
    bench: &mut Bench,
    what: &str,
    path: &Path,
    lines: usize,
    goal: Option<f64>,
) -> Result<(), Box<dyn std::error::Error>> {
    let bytes = std::fs::metadata(path)?.len() as f64;
    let watch = MemoryWatch::start();
    let (opened, took) = cpu_time(|| open_with_report(&path.display().to_string(), &OpenOptions::default()));
    let (dataset, report) = opened?;
    let peak = watch.and_then(|watch| watch.peak());
    assert_eq!((dataset.interactions.len(), report.lines as usize), (lines, lines), "every line is read");
    let floor = lines as f64 / (bytes / BYTES_A_SECOND);
    let label = format!("{what}: {lines} lines");
    let line = bench.line(label.clone()).measured(lines as f64 / took.wall / 1e6, "M/s").floor(floor / 1e6);
    if let Some(goal) = goal {
        line.goal_at_least(goal / 1e6);
    }
    bench.line(format!("{label}, by CPU time")).measured(lines as f64 / took.cpu / 1e6, "M/s");
    if let Some(peak) = peak {
        bench
            .line(format!("{label}, peak memory"))
            .bytes(peak.absolute)
            .floor(lines as f64 * 16.0 / 1048576.0)
            .goal(2048.0);
    }
    Ok(())
}

/// Ratings in the order of MovieLens: by user, items ascending, half stars, a time each.
fn write_ratings(path: &Path, lines: usize, user_prefix: &str, item_prefix: &str) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(out, "userId,movieId,rating,timestamp")?;
    let mut random = Random::new(1);
    let (mut user, mut left, mut item) = (0, 0, 0);
    for line in 0..lines {
        if left == 0 {
            user += 1;
            left = 1 + random.below(2 * PER_USER - 1);
            item = 0;
        }
        // Gaps that leave room for the longest history within the catalogue.
        item += 1 + random.below(2 * ITEMS / (2 * PER_USER) / 2 - 1);
        left -= 1;
        let half_stars = 1 + random.below(10);
        let rating = (half_stars / 2, if half_stars.is_multiple_of(2) { 0 } else { 5 });
        let time = 1_147_868_000 + 37 * (line as u64 % 10_000_000);
        writeln!(out, "{user_prefix}{user},{item_prefix}{item},{}.{},{time}", rating.0, rating.1)?;
    }
    out.flush()
}

/// A folder that goes when the bench ends.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("foldin-bench-read-csv-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clear: there is nobody to tell.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
