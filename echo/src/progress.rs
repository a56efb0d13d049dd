//! How far a mirror is, for probes and figures.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What the mirror tells, and others ask.
pub struct Progress {
    inner: Mutex<Inner>,
}

struct Inner {
    /// Why the mirror gets nothing at present.
    trouble: Option<String>,
    /// Since when there is more to get, or may be; none while all that the upstream has is here.
    behind_since: Option<Instant>,
    /// Whether what is here was ever all there was, by this process or an earlier one.
    has_arrived: bool,
    /// What is here, and what the upstream was last known to have, in bytes.
    length: u64,
    upstream_length: u64,
    received: u64,
    failures: u64,
}

/// What is to be known of a mirror.
#[derive(Debug, Clone, PartialEq)]
pub struct Lag {
    /// Time since the mirror had all that its upstream has; nothing while it has.
    pub time: Duration,
    /// Bytes that the upstream is known to have, and the mirror has not.
    pub bytes: u64,
    /// Whether the mirror has ever had all.
    pub has_arrived: bool,
    /// Why the mirror gets nothing, if that is so.
    pub trouble: Option<String>,
    /// Bytes received from the upstream.
    pub received: u64,
    /// Attempts that failed.
    pub failures: u64,
}

impl Progress {
    /// The beginning.
    pub fn new() -> Self {
        let inner = Inner {
            trouble: None,
            behind_since: Some(Instant::now()),
            has_arrived: false,
            length: 0,
            upstream_length: 0,
            received: 0,
            failures: 0,
        };
        Self { inner: Mutex::new(inner) }
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// So many bytes are here to begin with. Those that another process has left were all there was, as far as it knew.
    pub fn begin(&self, length: u64, has_arrived: bool) {
        self.change(|inner| {
            inner.length = length;
            inner.has_arrived = has_arrived;
        });
    }

    /// The upstream was heard to have `length` bytes.
    pub fn hear(&self, length: u64) {
        self.change(|inner| {
            inner.upstream_length = length;
            inner.behind_since.get_or_insert_with(Instant::now);
        });
    }

    /// So many bytes came from the upstream.
    pub fn receive(&self, bytes: usize) {
        self.change(|inner| inner.received += bytes as u64);
    }

    /// This many bytes are here now.
    pub fn have(&self, length: u64) {
        self.change(|inner| inner.length = length);
    }

    /// All that the upstream has is here now.
    pub fn arrive(&self) {
        self.change(|inner| {
            inner.behind_since = None;
            inner.has_arrived = true;
        });
    }

    /// Nothing can be got now, because of `trouble`. Returns whether that is news.
    pub fn fail(&self, trouble: String) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = inner.trouble.as_ref() != Some(&trouble);
        inner.behind_since.get_or_insert_with(Instant::now);
        inner.failures += 1;
        inner.trouble = Some(trouble);
        is_news
    }

    /// The upstream answers as it should. Returns whether that is news.
    pub fn recover(&self) -> bool {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).trouble.take().is_some()
    }

    /// How far the mirror is behind.
    pub fn lag(&self) -> Lag {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        Lag {
            time: inner.behind_since.map_or(Duration::ZERO, |since| since.elapsed()),
            bytes: inner.upstream_length.saturating_sub(inner.length),
            has_arrived: inner.has_arrived,
            trouble: inner.trouble.clone(),
            received: inner.received,
            failures: inner.failures,
        }
    }
}
