//! The signals that the init passes on: all that can be caught, real-time ones included, and SIGCHLD.
//!
//! They are blocked and read, never handled: so those that were ignored at the start stay ignored, and COMMAND inherits
//! that.

use std::io;
use std::time::Instant;

use nix::sys::signal::{SigSet, Signal as Named};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use rustix_libc_wrappers::process::SignalExt;
use tokio::signal::unix::{self, SignalKind};

/// What the kernel means for the init itself: its own mistakes.
const OWN: [Named; 7] =
    [Named::SIGSEGV, Named::SIGFPE, Named::SIGILL, Named::SIGBUS, Named::SIGABRT, Named::SIGTRAP, Named::SIGSYS];
/// What the terminal stops a process by that is not in the foreground. The init must not be stopped, and COMMAND gets its
/// own.
const STOPPING: [Named; 2] = [Named::SIGTTIN, Named::SIGTTOU];

/// Blocks the signals that [`Signals`] reads, and no other. To be called before there is a second thread, which inherits it.
///
/// # Errors
///
/// When the kernel refuses.
pub fn block() -> io::Result<()> {
    Ok(all_but(&OWN).thread_set_mask()?)
}

fn all_but(signals: &[Named]) -> SigSet {
    let mut all = SigSet::all();
    for &signal in signals {
        all.remove(signal);
    }
    all
}

/// Where the blocked signals are read.
pub struct Signals {
    blocked: SignalFd,
    /// While SIGCHLD is ignored, as it may have been at the start, the kernel keeps no status of a child. With a handler, which
    /// is never called, it does.
    _child: unix::Signal,
}

impl Signals {
    /// To be called within a runtime of tokio.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn listen() -> io::Result<Self> {
        let sent = all_but(&[&OWN[..], &STOPPING].concat());
        let blocked = SignalFd::with_flags(&sent, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { blocked, _child: unix::signal(SignalKind::child())? })
    }

    /// Waits for the next signal, until `deadline`, and blocks the thread.
    ///
    /// # Errors
    ///
    /// When signals can't be read.
    pub fn next(&self, deadline: Option<Instant>) -> io::Result<Option<Signal>> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.blocked, PollFlags::IN)], left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let signal = self.blocked.read_signal()?;
        Ok(signal.and_then(|signal| Signal::from_raw(signal.ssi_signo.cast_signed())))
    }
}
