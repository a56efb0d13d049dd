//! The two signals that ask a process to stop.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught from the moment this is made: as the first process of a container, a program that does not
/// catch them never gets them.
pub struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

/// Lets a `write` that would exceed the limit of `ulimit -f` fail, as on a full disk, instead of ending the process.
///
/// # Errors
///
/// When the handler can't be installed.
pub fn survive_file_size_limit() -> io::Result<()> {
    // The handler stays when the stream is gone.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
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
}
