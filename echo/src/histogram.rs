//! A histogram of durations, as Prometheus counts them.

use std::fmt::Write;
use std::time::Duration;

/// The upper bounds of the buckets, in seconds.
const BOUNDS: [f64; 9] = [0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];

/// Durations that were observed.
#[derive(Debug, Default, Clone)]
pub struct Histogram {
    /// How many were at most as long as the bound at the same place, and longer than the one before it.
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum: Duration,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&mut self, duration: Duration) {
        self.count += 1;
        self.sum += duration;
        if let Some(bucket) = BOUNDS.iter().position(|bound| duration.as_secs_f64() <= *bound) {
            self.buckets[bucket] += 1;
        }
    }

    /// Writes it in the Prometheus text format, under this name.
    pub fn write(&self, text: &mut String, name: &str, help: &str) {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} histogram");
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(self.buckets) {
            below += count;
            let _ = writeln!(text, "{name}_bucket{{le=\"{bound}\"}} {below}");
        }
        let (sum, count) = (self.sum.as_secs_f64(), self.count);
        let _ = writeln!(text, "{name}_bucket{{le=\"+Inf\"}} {count}\n{name}_sum {sum}\n{name}_count {count}");
    }
}
