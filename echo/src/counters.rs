//! What the server counts while it serves. [`crate::metrics`] shows it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{Method, StatusCode};

use crate::histogram::Histogram;

/// How much of the file was read for clients. Lines are not counted: to look at each byte of a long answer for newlines is a
/// seventh of what it costs.
#[derive(Default)]
pub struct Served(AtomicU64);

impl Served {
    /// Counts so many bytes of the file as served.
    pub fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes served so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a request was for: one of few labels, whatever clients send.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Route {
    /// The served file.
    File,
    /// The page.
    Page,
    /// What the page loads.
    Assets,
    /// `/healthz`
    Healthz,
    /// `/readyz`
    Readyz,
    /// `/metrics`
    Metrics,
    /// Any other path.
    Other,
}

/// The requests that were answered.
#[derive(Default)]
pub struct Requests {
    counted: Mutex<Counted>,
}

/// What was counted of the requests.
#[derive(Default, Clone)]
pub struct Counted {
    /// Answers by route, method and status.
    pub answers: BTreeMap<(Route, &'static str, u16), u64>,
    /// How long they took.
    pub durations: Histogram,
}

impl Requests {
    /// Counts a request, and how long it took unless it waited for the file to grow: that says nothing of the server.
    pub fn count(&self, route: Route, method: &Method, status: StatusCode, took: Option<Duration>) {
        let method = match *method {
            Method::GET => "GET",
            Method::HEAD => "HEAD",
            _ => "other",
        };
        let mut counted = self.lock();
        *counted.answers.entry((route, method, status.as_u16())).or_default() += 1;
        if let Some(took) = took {
            counted.durations.observe(took);
        }
    }

    /// What was counted so far.
    pub fn counted(&self) -> Counted {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
