//! What a result was measured on, and how much memory the process took meanwhile.

use std::fs;

use serde::{Deserialize, Serialize};

/// The machine of a report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// Name of the processor; the architecture where the system does not tell.
    pub cpu: String,
    /// Processors this process may use.
    pub cores: usize,
}

impl Machine {
    /// This machine.
    #[must_use]
    pub fn this() -> Self {
        let named = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        Self {
            cpu: named.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// The memory of a piece of work, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peak {
    /// The most that the whole process held resident at any moment of the work: data set and reports included.
    pub absolute: u64,
    /// That, less what was resident before the work began. Too low where the allocator served the work from memory that it
    /// had kept after earlier work.
    pub increase: u64,
}

/// Watches the resident memory of this process. Linux only; elsewhere, or where the system forbids it, nothing is known.
#[derive(Debug)]
pub struct MemoryWatch {
    before: u64,
}

impl MemoryWatch {
    /// Forgets the process's earlier peak and begins to watch.
    #[must_use]
    pub fn start() -> Option<Self> {
        // "5" resets the peak (`VmHWM`) to what is resident now, and touches nothing else; see proc(5).
        fs::write("/proc/self/clear_refs", "5").ok()?;
        Some(Self { before: status("VmRSS:")? })
    }

    /// The peak since [`MemoryWatch::start`].
    #[must_use]
    pub fn peak(&self) -> Option<Peak> {
        let absolute = status("VmHWM:")?;
        Some(Peak { absolute, increase: absolute.saturating_sub(self.before) })
    }
}

fn status(name: &str) -> Option<u64> {
    parse_status(&fs::read_to_string("/proc/self/status").ok()?, name)
}

fn parse_status(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_lines() {
        let text = "Name:\tfoldin\nVmHWM:\t  2048 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(parse_status(text, "VmHWM:"), Some(2 * 1024 * 1024));
        assert_eq!(parse_status(text, "VmRSS:"), Some(12 * 1024));
        assert_eq!(parse_status(text, "VmSwap:"), None);
    }

    #[test]
    fn a_peak_is_seen_after_it_has_passed() {
        // Nothing to check where the system does not tell.
        let Some(watch) = MemoryWatch::start() else { return };
        let big = vec![1u8; 64 << 20];
        std::hint::black_box(&big);
        drop(big);
        let peak = watch.peak().unwrap();
        assert!(peak.increase >= 60 << 20, "{peak:?}");
        assert!(peak.absolute > peak.increase);
    }
}
