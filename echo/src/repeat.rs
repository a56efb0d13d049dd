//! Answering a request that was answered before: the same bytes about the same file within the same second.
//!
//! Probes, pollers and load tests send the same bytes again and again. What they get is decided by those bytes, the state
//! of the file, and the second that `Date` shows, so where all three are the same, so is the answer, and the request
//! need not be parsed to know it. The file system is asked all the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::{Method, StatusCode};
use bytes::Bytes;

use crate::snapshot::Snapshot;

/// How many answers are kept at most.
const MOST: usize = 16;
/// How long an answer may be, in bytes.
pub const LONGEST: usize = 64 * 1024;
/// How long a request may be that is looked for, in bytes.
pub const LONGEST_REQUEST: usize = 2048;

/// What an answer says of itself, that was made from a snapshot and this second alone.
#[derive(Clone)]
pub struct Repeatable {
    /// Not held, or the file of an old one would stay open and keep its place on the disk.
    snapshot: Weak<Snapshot>,
    /// In seconds since the epoch.
    second: u64,
}

impl Repeatable {
    /// Says that an answer was made from `snapshot` at the time `now`.
    pub fn new(snapshot: &Arc<Snapshot>, now: SystemTime) -> Self {
        Self { snapshot: Arc::downgrade(snapshot), second: second(now) }
    }
}

/// An answer, as it was sent.
#[derive(Clone)]
pub struct Answer {
    /// All of its bytes.
    pub bytes: Bytes,
    /// Where its content begins in them.
    pub content: usize,
    /// Whether the connection ends with it.
    pub closes: bool,
    /// What is counted of it, as it was counted before.
    pub method: Method,
    /// The same.
    pub status: StatusCode,
}

/// The answers of this second.
#[derive(Default)]
pub struct Repeats {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// What all of them were made from.
    of: Option<Repeatable>,
    answers: HashMap<Box<[u8]>, Answer>,
}

impl Repeats {
    /// The answer to `request`, if it was given within this second about a file that `is_current`.
    pub fn find(&self, request: &[u8], is_current: impl Fn(&Weak<Snapshot>) -> bool) -> Option<Answer> {
        let kept = self.kept();
        let of = kept.of.as_ref()?;
        let answer = kept.answers.get(request)?;
        (of.second == second(SystemTime::now()) && is_current(&of.snapshot)).then(|| answer.clone())
    }

    /// Keeps what `request` was answered with.
    pub fn keep(&self, request: &[u8], of: &Repeatable, answer: Answer) {
        let mut kept = self.kept();
        let is_same = |old: &Repeatable| old.second == of.second && old.snapshot.ptr_eq(&of.snapshot);
        if !kept.of.as_ref().is_some_and(is_same) {
            kept.answers.clear();
            kept.of = Some(of.clone());
        }
        if kept.answers.len() < MOST {
            kept.answers.insert(request.into(), answer);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn second(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
