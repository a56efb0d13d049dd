//! `echo -- COMMAND`: a small init that runs the server and another program, and ties their lives together.

use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::task::Poll;
use std::time::Duration;

use anyhow::Context;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getppid, kill_process, kill_process_group, set_child_subreaper,
    set_parent_process_death_signal, wait,
};
use tokio::signal::unix::{self, SignalKind};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info, warn};

use crate::log::Log;

/// The status for a COMMAND that is not there, and for one that can't be run; as a shell has them.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// The status after an end that needed SIGKILL.
const KILLED: u8 = 128 + 9;

/// Runs this program with `server` as its arguments, and `command`, until both have ended. When one ends, so does the
/// other, by SIGKILL if it has not after `patience`.
///
/// Returns the status to exit with: that of the child that ended first; or, after SIGTERM or SIGINT, 0, and 137 if a
/// child had to be killed.
///
/// # Errors
///
/// When a child can't be started or signals can't be caught.
pub async fn supervise(server: &[OsString], command: &[OsString], log: Log, patience: Duration) -> anyhow::Result<u8> {
    // Processes that lose their parent become our children even where we are not the first process.
    set_child_subreaper(Some(getpid())).context("cannot become a subreaper")?;
    let mut signals = Signals::listen().context("cannot catch signals")?;
    let this = env::current_exe().context("cannot find this program")?;
    let mut family = Family {
        command: Child::start(command, log, Stdio::inherit())?,
        server: Child::start(&[&[this.into_os_string()], server].concat(), log, Stdio::null())?,
        first: None,
        asked: false,
        killed: false,
        deadline: None,
    };
    while family.server.is_running || family.command.is_running {
        tokio::select! {
            signal = signals.next() => family.pass_on(signal, patience),
            () = sleep_until(family.deadline.unwrap_or_else(Instant::now)), if family.deadline.is_some() => family.kill(),
        }
        family.reap(patience)?;
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
    /// When the children that still run are killed.
    deadline: Option<Instant>,
}

impl Family {
    fn pass_on(&mut self, signal: Signal, patience: Duration) {
        match signal {
            Signal::CHILD => {}
            Signal::TERM | Signal::INT => {
                info!("passing {} on", if signal == Signal::INT { "SIGINT" } else { "SIGTERM" });
                self.asked |= self.first.is_none();
                self.end(signal, patience);
            }
            // The server has no use for the others.
            _ => self.command.send(signal),
        }
    }

    /// Asks the children that still run to end.
    fn end(&mut self, signal: Signal, patience: Duration) {
        self.server.send(signal);
        self.command.send(signal);
        self.deadline.get_or_insert_with(|| Instant::now() + patience);
    }

    fn kill(&mut self) {
        warn!("a program did not stop in time and is killed");
        self.deadline = None;
        self.killed = true;
        self.server.kill();
        self.command.kill();
    }

    /// Takes the status of every process that has ended, be it a child or an orphan that fell to us.
    fn reap(&mut self, patience: Duration) -> anyhow::Result<()> {
        loop {
            let (pid, status) = match wait(WaitOptions::NOHANG) {
                Ok(Some(ended)) => ended,
                Ok(None) | Err(Errno::CHILD) => return Ok(()),
                Err(error) => return Err(error).context("cannot wait for children"),
            };
            let Some(child) = [&mut self.server, &mut self.command].into_iter().find(|child| child.pid == pid) else {
                continue;
            };
            child.is_running = false;
            let status = ExitStatus::from_raw(status.as_raw());
            info!(pid = pid.as_raw_nonzero(), "{} ended: {status}", child.name.display());
            if self.first.is_none() {
                self.first = Some(status_of(status));
                // Asked a second time, the server would end at once.
                if !self.asked {
                    self.end(Signal::TERM, patience);
                }
            }
        }
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

struct Child {
    name: OsString,
    pid: Pid,
    is_running: bool,
}

impl Child {
    /// Starts a program, given with its arguments, by way of [`exec`]. It gets a process group of its own, so that
    /// Ctrl-C reaches it once: through us.
    fn start(program: &[OsString], log: Log, stdin: Stdio) -> anyhow::Result<Self> {
        let mut command = Command::new(env::current_exe().context("cannot find this program")?);
        command
            .arg("exec")
            .args(log.arguments())
            .arg(getpid().to_string())
            .arg("--")
            .args(program)
            .stdin(stdin)
            .process_group(0);
        let name = program.first().cloned().unwrap_or_default();
        let child = command.spawn().with_context(|| format!("cannot start {}", name.display()))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("a child without a process id")?;
        Ok(Self { name, pid, is_running: true })
    }

    /// Until it is reaped, even an ended child keeps its process id: no other process can be hit.
    fn send(&self, signal: Signal) {
        if self.is_running
            && let Err(error) = kill_process(self.pid, signal)
        {
            warn!("cannot signal {}: {error}", self.name.display());
        }
    }

    fn kill(&self) {
        if self.is_running
            && let Err(error) = kill_process_group(self.pid, Signal::KILL)
        {
            warn!("cannot kill {}: {error}", self.name.display());
        }
    }
}

/// Becomes `program`, and dies with the process `parent`. This runs in a child between its start and its real program,
/// where it can be done without `unsafe`. Returns, with the status to exit with, only when it fails.
pub fn exec(parent: i32, program: &OsStr, arguments: &[OsString]) -> u8 {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        error!("cannot tie {} to its parent: {error}", program.display());
        return NOT_EXECUTABLE;
    }
    // Had the parent died before, nobody would have told us.
    if Pid::as_raw(getppid()) != parent {
        return KILLED;
    }
    let error = Command::new(program).args(arguments).exec();
    error!("cannot run {}: {error}", program.display());
    if error.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// The signals that are passed on, and the one that says that a child has ended.
struct Signals {
    kinds: Vec<(Signal, unix::Signal)>,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let wanted = [Signal::CHILD, Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2];
        let listen = |signal: Signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        Ok(Self { kinds: wanted.into_iter().map(listen).collect::<std::io::Result<_>>()? })
    }

    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            for (signal, caught) in &mut self.kinds {
                if caught.poll_recv(cx).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }
}
