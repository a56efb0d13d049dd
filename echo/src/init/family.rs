//! The server and COMMAND, from the start of the first to the end of the last.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::unistd;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, getpid, set_child_subreaper, wait};
use tracing::{error, info, warn};

use crate::init::child::{Child, KILLED};
use crate::init::signals::Signals;
use crate::init::terminal;
use crate::log::Log;
use crate::signal::is_ignored;

/// How long a killed child may take to be gone. One that waits for a disk that hangs stays as long as the disk hangs.
const GONE: Duration = Duration::from_secs(1);

/// Runs this program with `server` as its arguments, and `command`, until both have ended, and blocks the thread. When one ends, so does the
/// other, by SIGKILL if it has not after `patience`. The signals must be [blocked](super::signals::block).
///
/// Returns the status to exit with: that of the child that ended first; or, after SIGTERM or SIGINT, 0, and 137 if a
/// child had to be killed. To be called within a runtime of tokio.
///
/// # Errors
///
/// When a child can't be started or signals can't be read.
pub fn supervise(server: &[OsString], command: &[OsString], log: Log, patience: Duration) -> anyhow::Result<u8> {
    // Processes that lose their parent become our children even where we are not the first process.
    if let Err(error) = set_child_subreaper(Some(getpid())) {
        warn!("orphans are not adopted: {error}");
    }
    let signals = Signals::listen().context("cannot catch signals")?;
    let this = env::current_exe().context("cannot find this program")?;
    let mut family = Family {
        command: Child::command(command, log)?,
        server: Child::server(&[&[this.into_os_string()], server].concat(), log)?,
        first: None,
        asked: false,
        killed: false,
        patience,
        deadline: None,
    };
    while family.server.is_running || family.command.is_running {
        if let Some(signal) = signals.next(family.deadline).context("cannot read signals")? {
            family.pass_on(signal);
        } else if family.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            family.kill();
        }
        family.reap()?;
    }
    Ok(family.status())
}

/// The two children and how far they are.
struct Family {
    server: Child,
    command: Child,
    /// The status of the child that ended first.
    first: Option<u8>,
    /// Whether somebody outside asked for the end before a child ended by itself.
    asked: bool,
    /// Whether a child had to be killed.
    killed: bool,
    /// How long both may take to end.
    patience: Duration,
    /// When what still runs is killed; when it was, until when its end is awaited.
    deadline: Option<Instant>,
}

impl Family {
    /// First the signal, then the log: that may have to wait.
    fn pass_on(&mut self, signal: Signal) {
        match signal {
            Signal::CHILD => {} // someone may have ended: see reap
            // COMMAND may not ignore what was ignored at our start; but it asks nobody to end.
            Signal::TERM | Signal::INT if !is_ignored(signal) => {
                self.asked |= self.first.is_none();
                self.end(signal);
                info!("passed {} on", if signal == Signal::INT { "SIGINT" } else { "SIGTERM" });
            }
            // The server has no use for the others.
            _ => self.command.send(signal),
        }
    }

    /// Asks the children that still run to end.
    fn end(&mut self, signal: Signal) {
        self.server.send(signal);
        self.command.send(signal);
        self.deadline.get_or_insert_with(|| Instant::now() + self.patience);
    }

    fn kill(&mut self) {
        if self.killed {
            error!("a program does not end though it was killed");
            (self.server.is_running, self.command.is_running) = (false, false);
            return;
        }
        self.killed = true;
        self.server.kill();
        self.command.kill();
        self.deadline = Some(Instant::now() + GONE);
        warn!("a program did not stop in time and is killed");
    }

    /// Takes the status of every process that has ended, be it a child or an orphan that fell to us.
    fn reap(&mut self) -> anyhow::Result<()> {
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) => self.ended(pid, status),
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(error) => return Err(error).context("cannot wait for children"),
            }
        }
    }

    fn ended(&mut self, pid: Pid, status: WaitStatus) {
        let Some(child) = [&mut self.server, &mut self.command].into_iter().find(|child| child.pid == pid) else {
            return;
        };
        child.is_running = false;
        let status = ExitStatus::from_raw(status.as_raw());
        let ended = format!("{} ended: {status}", child.name.display());
        if pid == self.command.pid {
            // For whoever started us, and so that Ctrl-C ends a server that is still busy.
            terminal::take_from(unistd::Pid::from_raw(pid.as_raw_nonzero().get()));
        }
        if self.first.is_none() {
            self.first = Some(status_of(status));
            // Asked a second time, the server would end at once.
            if !self.asked {
                self.end(Signal::TERM);
            }
        }
        info!(pid = pid.as_raw_nonzero(), "{ended}");
    }

    fn status(&self) -> u8 {
        match self.first {
            _ if self.asked && self.killed => KILLED,
            _ if self.asked => 0,
            first => first.unwrap_or(0),
        }
    }
}

/// A status as a shell reports it: the exit code, or 128 and the number of the signal.
fn status_of(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
