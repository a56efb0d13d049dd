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

use crate::metrics::Count;
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

    /// Whether the answer that would be made now from `snapshot` is the same.
    pub fn holds_for(&self, snapshot: &Arc<Snapshot>) -> bool {
        Weak::as_ptr(&self.snapshot) == Arc::as_ptr(snapshot) && self.second == second(SystemTime::now())
    }

    fn is_like(&self, other: &Self) -> bool {
        self.second == other.second && self.snapshot.ptr_eq(&other.snapshot)
    }
}

/// An answer, as it was sent.
#[derive(Clone)]
pub struct Answer {
    /// The bytes that were answered.
    pub request: Bytes,
    /// What it was made from.
    pub of: Repeatable,
    /// All of its bytes.
    pub bytes: Bytes,
    /// How much of them is content.
    pub content: Count,
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
    /// All of them made from the same.
    answers: Mutex<HashMap<Bytes, Answer>>,
}

impl Repeats {
    /// The request that is kept along with its answer, if `request` is one. The answer may hold no longer.
    pub fn known(&self, request: &[u8]) -> Option<Bytes> {
        self.answers().get_key_value(request).map(|(request, _)| request.clone())
    }

    /// The answer that `request` would get now from `snapshot`.
    pub fn find(&self, request: &[u8], snapshot: &Arc<Snapshot>) -> Option<Answer> {
        self.answers().get(request).filter(|answer| answer.of.holds_for(snapshot)).cloned()
    }

    /// Whether an answer that was made from `of` would be kept.
    pub fn has_room(&self, of: &Repeatable) -> bool {
        let answers = self.answers();
        answers.len() < MOST || are_of_another(&answers, of)
    }

    /// Keeps an answer, if there is room.
    pub fn keep(&self, answer: Answer) {
        let mut answers = self.answers();
        if are_of_another(&answers, &answer.of) {
            answers.clear();
        }
        if answers.len() < MOST {
            answers.insert(answer.request.clone(), answer);
        }
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<Bytes, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the answers were made from something else than `of`. All of them are made from the same.
fn are_of_another(answers: &HashMap<Bytes, Answer>, of: &Repeatable) -> bool {
    answers.values().next().is_some_and(|kept| !kept.of.is_like(of))
}

fn second(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;
    use crate::identity::Identity;

    #[test]
    fn an_answer_holds_for_its_snapshot_and_its_second_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        fs::write(&file, "1\n").unwrap();
        let take = || Arc::new(Snapshot::take(&file, &Identity::Own).unwrap());
        let (snapshot, other) = (take(), take());
        let holds = |made: Duration, of: &Arc<Snapshot>| {
            // More than once, since a second may end in between.
            (0..3).any(|_| Repeatable::new(&snapshot, SystemTime::now() - made).holds_for(of))
        };
        assert!(holds(Duration::ZERO, &snapshot));
        assert!(!holds(Duration::ZERO, &other));
        assert!(!holds(Duration::from_secs(2), &snapshot));
    }

    #[test]
    fn answers_of_another_second_make_room() {
        let snapshot = Weak::new();
        let answer = |request: usize, second| Answer {
            request: request.to_string().into(),
            of: Repeatable { snapshot: snapshot.clone(), second },
            bytes: Bytes::new(),
            content: Count::default(),
            closes: false,
            method: Method::GET,
            status: StatusCode::OK,
        };
        let repeats = Repeats::default();
        for request in 0..MOST {
            assert!(repeats.has_room(&answer(request, 1).of));
            repeats.keep(answer(request, 1));
        }
        assert!(!repeats.has_room(&answer(MOST, 1).of));
        repeats.keep(answer(MOST, 1));
        assert!(repeats.known(b"0").is_some() && repeats.known(MOST.to_string().as_bytes()).is_none());
        assert!(repeats.has_room(&answer(MOST, 2).of));
        repeats.keep(answer(MOST, 2));
        assert!(repeats.known(b"0").is_none() && repeats.known(MOST.to_string().as_bytes()).is_some());
    }
}
