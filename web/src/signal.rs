//! The two signals that ask a process to stop.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, timeout_at};

/// How long a second signal counts as the same wish: a terminal and a supervisor may both deliver it.
const SAME_WISH: Duration = Duration::from_millis(500);

/// SIGTERM and SIGINT, caught from the moment this is made: as the first process of a container, a program that does not
/// catch them never gets them.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// # Errors
    ///
    /// When the handlers can't be installed.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for either signal and returns its name.
    pub async fn requested(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Waits for either signal as [`Stop::requested`] does, but not for one that comes together with the first.
    pub async fn requested_again(&mut self) -> &'static str {
        let later = Instant::now() + SAME_WISH;
        while timeout_at(later, self.requested()).await.is_ok() {}
        self.requested().await
    }
}
