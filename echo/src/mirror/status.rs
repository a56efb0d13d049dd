//! How far a mirror is, for probes and figures.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::histogram::Histogram;
use crate::mirror::reason::Reason;

/// What the mirror tells, and others ask.
pub struct Progress {
    /// The upstream's host name: all of its URL that is for everybody.
    host: String,
    inner: Mutex<Inner>,
}

struct Inner {
    /// Why the mirror gets nothing at present, and the same with all that the log has of it.
    trouble: Option<(Reason, String)>,
    /// Since when there is more to get, or may be; none while all that the upstream has is here.
    behind_since: Option<Instant>,
    ever_whole: bool,
    /// What is here, and what the upstream was last known to have, in bytes.
    length: u64,
    upstream_length: u64,
    received: u64,
    failures: u64,
    served_by: Vec<String>,
    delays: Histogram,
}

/// What is to be known of a mirror.
#[derive(Debug, Clone)]
pub struct Lag {
    /// The upstream's host name.
    pub host: String,
    /// Time since the mirror had all that its upstream has; nothing while it has.
    pub time: Duration,
    /// Bytes that the upstream is known to have, and the mirror has not.
    pub bytes: u64,
    /// Whether the mirror has all that its upstream has, as far as it knows.
    pub is_caught_up: bool,
    /// Whether what is here was ever all there was, by this process or an earlier one.
    pub ever_whole: bool,
    /// Why the mirror gets nothing, if that is so.
    pub reason: Option<Reason>,
    /// Bytes received from the upstream.
    pub received: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// From the upstream's date of a line to its arrival here, for lines that came while the mirror waited for them.
    pub delays: Histogram,
}

impl Progress {
    /// The mirror of an upstream at `host`, in the beginning: nothing is here, and there may be more to get.
    pub fn new(host: &str) -> Self {
        let inner = Inner {
            trouble: None,
            behind_since: Some(Instant::now()),
            ever_whole: false,
            length: 0,
            upstream_length: 0,
            received: 0,
            failures: 0,
            served_by: Vec::new(),
            delays: Histogram::default(),
        };
        Self { host: host.to_owned(), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many bytes are here to begin with, which were all there was or were not.
    pub fn begin(&self, length: u64, ever_whole: bool) {
        let mut inner = self.lock();
        (inner.length, inner.ever_whole) = (length, ever_whole);
    }

    /// The upstream was heard to have `length` bytes.
    pub fn hear(&self, length: u64) {
        let mut inner = self.lock();
        inner.upstream_length = length;
        inner.behind_since.get_or_insert_with(Instant::now);
    }

    /// The upstream's answer came with these names.
    pub fn hear_names(&self, names: Vec<String>) {
        self.lock().served_by = names;
    }

    /// The names that the upstream's last answer came with.
    pub fn served_by(&self) -> Vec<String> {
        self.lock().served_by.clone()
    }

    /// Lines came that the upstream dates so.
    pub fn observe_delay(&self, date: SystemTime) {
        let delay = SystemTime::now().duration_since(date).unwrap_or_default();
        self.lock().delays.observe(delay);
    }

    /// So many bytes came from the upstream.
    pub fn receive(&self, bytes: usize) {
        self.lock().received += bytes as u64;
    }

    /// This many bytes are here now.
    pub fn have(&self, length: u64) {
        self.lock().length = length;
    }

    /// All that the upstream has is here now.
    pub fn arrive(&self) {
        let mut inner = self.lock();
        inner.behind_since = None;
        inner.ever_whole = true;
    }

    /// Nothing can be got now, because of `reason`, of which the log has `detail`. Returns whether that is news.
    pub fn fail(&self, reason: Reason, detail: String) -> bool {
        let mut inner = self.lock();
        let is_news = inner.trouble.as_ref().is_none_or(|(_, known)| *known != detail);
        inner.behind_since.get_or_insert_with(Instant::now);
        inner.failures += 1;
        inner.trouble = Some((reason, detail));
        is_news
    }

    /// The upstream answers as it should. Returns whether that is news.
    pub fn recover(&self) -> bool {
        self.lock().trouble.take().is_some()
    }

    /// How far the mirror is behind.
    pub fn lag(&self) -> Lag {
        let inner = self.lock();
        Lag {
            host: self.host.clone(),
            time: inner.behind_since.map_or(Duration::ZERO, |since| since.elapsed()),
            bytes: inner.upstream_length.saturating_sub(inner.length),
            is_caught_up: inner.behind_since.is_none(),
            ever_whole: inner.ever_whole,
            reason: inner.trouble.as_ref().map(|(reason, _)| *reason),
            received: inner.received,
            failures: inner.failures,
            delays: inner.delays.clone(),
        }
    }
}
