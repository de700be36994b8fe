//! Wall clocks for what takes microseconds, CPU clocks for what takes seconds.

use std::hint::black_box;
use std::time::{Duration, Instant};

/// What calls of one kind took, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// The fastest call: nearest to what the code needs when nothing else runs.
    pub min: f64,
    /// Half of the calls were at most as slow.
    pub p50: f64,
    /// As p50, for 90 %.
    pub p90: f64,
    /// As p50, for 99 %.
    pub p99: f64,
    /// Number of calls.
    pub calls: usize,
}

impl Percentiles {
    /// Of calls that took these seconds each.
    #[must_use]
    pub fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = seconds.len().saturating_sub(1);
            seconds.get((share * last as f64).round() as usize).copied().unwrap_or_default()
        };
        Self { min: at(0.0), p50: at(0.5), p90: at(0.9), p99: at(0.99), calls: seconds.len() }
    }
}

/// Times `calls` calls one by one, after a tenth as many to warm up.
pub fn time_each<T>(calls: usize, mut call: impl FnMut() -> T) -> Percentiles {
    for _ in 0..calls.div_ceil(10) {
        black_box(call());
    }
    Percentiles::of(
        (0..calls)
            .map(|_| {
                let start = Instant::now();
                black_box(call());
                start.elapsed().as_secs_f64()
            })
            .collect(),
    )
}

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// Seconds on the wall clock.
    pub wall: f64,
    /// Seconds of CPU time over all threads, the system's work for them included, in steps of 10 ms; NaN where the system does
    /// not tell.
    pub cpu: f64,
}

/// Does a piece of work and says what it took. CPU time is what to compare while other processes run.
pub fn cpu_time<T>(work: impl FnOnce() -> T) -> (T, CpuTime) {
    let (start, before) = (Instant::now(), cpu_seconds());
    let out = work();
    let cpu = match (before, cpu_seconds()) {
        (Some(before), Some(after)) => (after - before).as_secs_f64(),
        _ => f64::NAN,
    };
    (out, CpuTime { wall: start.elapsed().as_secs_f64(), cpu })
}

/// CPU time of this process so far; finished threads count.
fn cpu_seconds() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    parse_stat(&stat)
}

/// The name of a process may hold spaces and parentheses, so fields are counted from its end; `utime` and `stime` are the 14th and 15th of all, in
/// ticks of a hundredth of a second, which is fixed for programs on Linux.
fn parse_stat(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    Some(Duration::from_millis(10 * ticks))
}

/// Runs work on a pool of so many threads.
///
/// # Panics
/// If the system refuses the threads.
pub fn on_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .expect("the system gives threads")
        .install(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_hundred_and_one_calls() {
        let of = Percentiles::of((0..=100).rev().map(f64::from).collect());
        let expected = Percentiles { min: 0.0, p50: 50.0, p90: 90.0, p99: 99.0, calls: 101 };
        assert_eq!(of, expected);
        assert_eq!(Percentiles::of(Vec::new()).calls, 0);
    }

    #[test]
    fn fields_are_counted_after_the_name() {
        let stat = "42 (a (b) c) R 1 2 3 4 5 6 7 8 9 10 123 45 0";
        assert_eq!(parse_stat(stat), Some(Duration::from_millis(1680)));
    }
}
