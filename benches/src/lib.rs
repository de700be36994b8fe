//! What the benches share: clocks, generated data, and a table that sets each figure beside its floor and its goal.
//!
//! A bench is a program (`harness = false`). `cargo bench -p foldin-benches --bench NAME` measures; run in any other way, such
//! as by `cargo test --benches`, it goes through the same code once with small data, so that it cannot rot.
//!
//! ```
//! let mut bench = foldin_benches::Bench::new("example");
//! let times = foldin_benches::time_each(bench.rounds(1000), || std::hint::black_box((0..100u64).sum::<u64>()));
//! bench.line("sum of 100 numbers, p50").microseconds(times.p50).floor(0.01).goal(1e6);
//! bench.finish();
//! ```

mod clock;
mod generated;
mod report;
mod rival;
pub mod service;

pub use clock::{CpuTime, Percentiles, cpu_time, on_threads, time_each};
pub use foldin_eval::machine::{MemoryWatch, Peak};
pub use generated::{Shape, histories, ratings};
pub use report::{Bench, Line};
pub use rival::{Rival, run_rival, run_script};

/// The allocator of the binary `foldin`, so that benches measure what people run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
