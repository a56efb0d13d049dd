//! Asking a thread to end that may be counting, waiting, or in the hands of a disk.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whether the end was asked for. It never becomes unasked.
#[derive(Default)]
pub struct Halt {
    asked: Mutex<bool>,
    changed: Condvar,
}

/// The work was left undone, because the end was asked for.
#[derive(Debug)]
pub struct Halted;

impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("asked to end")
    }
}

impl std::error::Error for Halted {}

impl Halt {
    /// Asks for the end.
    pub fn ask(&self) {
        *self.asked() = true;
        self.changed.notify_all();
    }

    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        *self.asked()
    }

    /// To be called between the steps of long work.
    ///
    /// # Errors
    ///
    /// When the end was asked for.
    pub fn check(&self) -> Result<(), Halted> {
        if self.is_asked() { Err(Halted) } else { Ok(()) }
    }

    /// Waits for `time`, or until the end is asked for. Returns whether it was.
    pub fn wait(&self, time: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.asked(), time, |asked| !*asked);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn asked(&self) -> MutexGuard<'_, bool> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
