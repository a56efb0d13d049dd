//! How far following is, for probes and metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far following is, as this replica knows it.
#[derive(Default)]
pub struct Status {
    state: Mutex<State>,
}

/// What is known at one moment.
#[derive(Clone, Default)]
pub struct State {
    /// Whether this is the replica that follows.
    pub is_follower: bool,
    /// Bytes of the file that are stored.
    pub stored_bytes: u64,
    /// Bytes that the file had when last heard of.
    pub heard_bytes: u64,
    /// Why nothing is stored, in a few words of our own, while that is so.
    pub trouble: Option<String>,
    /// Lines that this replica stored.
    pub lines: u64,
    /// Transactions that stored them.
    pub batches: u64,
    /// Failures of whatever kind.
    pub failures: u64,
    /// How often another file took the place of one.
    pub gaps: u64,
}

impl Status {
    /// All of it.
    pub fn state(&self) -> State {
        self.lock().clone()
    }

    /// This is the replica that follows.
    pub fn follow(&self) {
        self.lock().is_follower = true;
    }

    /// The file has so many bytes, and so many are stored.
    pub fn hear(&self, heard: u64, stored: u64) {
        let mut state = self.lock();
        (state.heard_bytes, state.stored_bytes) = (heard, stored);
        state.trouble = None;
    }

    /// So many lines more are stored, and with them so many bytes of the file.
    pub fn store(&self, lines: usize, bytes: u64) {
        let mut state = self.lock();
        state.lines += lines as u64;
        state.batches += 1;
        state.stored_bytes = bytes;
        state.trouble = None;
    }

    /// Another file took the place of one.
    pub fn change(&self) {
        self.lock().gaps += 1;
    }

    /// Following has failed, and this replica gives it up for now.
    pub fn fail(&self, trouble: String) {
        let mut state = self.lock();
        state.is_follower = false;
        state.failures += 1;
        state.trouble = Some(trouble);
    }

    /// Another replica does it.
    pub fn stand_by(&self) {
        let mut state = self.lock();
        state.is_follower = false;
        state.trouble = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
