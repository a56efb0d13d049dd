//! The second that an answer is made in: what `Date` says, written once a second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

/// A second of the clock.
#[derive(Debug)]
pub struct Second {
    /// In seconds since the epoch.
    pub number: u64,
    /// A time within it.
    pub time: SystemTime,
    /// The same as HTTP writes it.
    pub text: String,
}

/// The clock, as far as answers show it.
#[derive(Default)]
pub struct Clock {
    latest: Mutex<Option<Arc<Second>>>,
}

impl Clock {
    /// The present second.
    pub fn now(&self) -> Arc<Second> {
        let time = SystemTime::now();
        let number = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some(second) if second.number == number => Arc::clone(second),
            _ => Arc::clone(latest.insert(Arc::new(Second { number, time, text: HttpDate::from(time).to_string() }))),
        }
    }
}
