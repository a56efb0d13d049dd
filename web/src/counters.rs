//! What the server counts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The upper bounds of the histogram of durations, in seconds.
pub const BOUNDS: [f64; 9] = [0.0001, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0, 30.0];

/// A number that only grows.
#[derive(Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it is now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What clients did.
#[derive(Default)]
pub struct Counters {
    /// Lines stored for clients.
    pub written_lines: Counter,
    /// Lines read from the database for clients.
    pub read_lines: Counter,
    requests: Mutex<Requests>,
}

/// The requests that were answered.
#[derive(Default)]
pub struct Requests {
    /// By route, method and status: each of few values, whatever clients send.
    pub answers: BTreeMap<(&'static str, &'static str, u16), u64>,
    /// How many took at most as long as each of [`BOUNDS`], and longer than the one before.
    pub buckets: [u64; BOUNDS.len()],
    /// How many there were.
    pub count: u64,
    /// How long they took, from a request to the head of its answer.
    pub sum: Duration,
}

impl Counters {
    /// Counts a request that took so long, by the route that it took.
    pub fn count(&self, route: &'static str, method: &'static str, status: u16, took: Duration) {
        let mut requests = self.requests();
        *requests.answers.entry((route, method, status)).or_default() += 1;
        requests.count += 1;
        requests.sum += took;
        if let Some(bucket) = BOUNDS.iter().position(|bound| took.as_secs_f64() <= *bound) {
            requests.buckets[bucket] += 1;
        }
    }

    /// The requests up to now. To be let go soon: each request waits for it.
    pub fn requests(&self) -> MutexGuard<'_, Requests> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
