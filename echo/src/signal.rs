//! The two signals that ask a process to stop, and what it was started with.

use std::io;
use std::sync::LazyLock;
use std::time::Duration;

use nix::sys::signal::SigSet;
use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind};
use tokio::time::Instant;

/// Signals that come closer together than this mean one thing: Ctrl-C reaches a process from the terminal, and once more
/// from whoever passes it on.
const ONE_INTENT: Duration = Duration::from_millis(500);

/// The signals that were ignored at the start, a bit each, the lowest for signal 1; none where there is no `/proc`.
static IGNORED: LazyLock<u64> = LazyLock::new(|| {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
});

/// Takes note of which signals are ignored, and unblocks all: who starts a program may leave it any mask. To be called
/// before there is a second thread, which inherits the mask, and before signals are caught.
///
/// # Errors
///
/// When the kernel refuses.
pub fn begin() -> io::Result<()> {
    LazyLock::force(&IGNORED);
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Whether `signal` was ignored at the start, as `nohup` has it. It stays so.
pub fn is_ignored(signal: Signal) -> bool {
    *IGNORED >> (signal.as_raw() - 1) & 1 == 1
}

/// SIGTERM and SIGINT, caught from the moment this is made, unless they are ignored: as the first process of a container, a
/// program that does not catch them never gets them.
pub struct Stop {
    terminate: Option<unix::Signal>,
    interrupt: Option<unix::Signal>,
    /// When the first came.
    first: Option<Instant>,
}

impl Stop {
    /// # Errors
    ///
    /// When the handlers can't be installed.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { terminate: catch(Signal::TERM)?, interrupt: catch(Signal::INT)?, first: None })
    }

    /// Waits for either signal and returns its name. One that follows the first within half a second is not another.
    pub async fn requested(&mut self) -> &'static str {
        loop {
            let name = tokio::select! {
                () = received(&mut self.terminate) => "SIGTERM",
                () = received(&mut self.interrupt) => "SIGINT",
            };
            let now = Instant::now();
            if self.first.is_none_or(|first| now - first > ONE_INTENT) {
                self.first.get_or_insert(now);
                return name;
            }
        }
    }
}

fn catch(signal: Signal) -> io::Result<Option<unix::Signal>> {
    if is_ignored(signal) {
        return Ok(None);
    }
    unix::signal(SignalKind::from_raw(signal.as_raw())).map(Some)
}

async fn received(signal: &mut Option<unix::Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}
