//! Arbitrary times, so that clients which came together, or replicas that failed together, don't come again together.

use std::time::{Duration, SystemTime};

/// A time between nothing and `most`, as arbitrary as the nanosecond of the call.
pub fn up_to(most: Duration) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    most.mul_f64(f64::from(now.subsec_nanos() % 1_000_000) / 1e6)
}
