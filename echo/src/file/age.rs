//! How old the newest line is.

use std::time::{Duration, Instant, SystemTime};

/// When the newest line came, as far as can be told.
#[derive(Debug, Clone, Copy)]
pub struct Came {
    /// What the file system says, which may lie ahead of our clock.
    written: SystemTime,
    /// When it was first seen.
    seen: Instant,
}

impl Came {
    /// A line that is seen now for the first time, in a file that was last written at this time.
    pub fn now(written: SystemTime) -> Self {
        Self { written, seen: Instant::now() }
    }

    /// The time since. A line from the future is as old as it has been seen.
    pub fn age(&self) -> Duration {
        SystemTime::now().duration_since(self.written).unwrap_or_default().max(self.seen.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_line_is_as_old_as_its_file_says() {
        let came = Came::now(SystemTime::now() - HOUR);
        assert!(came.age() >= HOUR);
    }

    #[test]
    fn a_line_from_the_future_ages_from_when_it_was_seen() {
        let now = Instant::now();
        let Some(seen) = now.checked_sub(Duration::from_secs(5)) else { return };
        let came = Came { written: SystemTime::now() + HOUR, seen };
        assert!((Duration::from_secs(5)..HOUR).contains(&came.age()));
        // And it is not young again when its time has come.
        let came = Came { written: SystemTime::now(), seen };
        assert!(came.age() >= Duration::from_secs(5));
    }
}
