//! A child of the init: how it is started, signalled and killed.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::Context;
use nix::unistd;
use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, kill_process_group, set_parent_process_death_signal, setsid,
};
use tracing::{error, warn};

use crate::init::terminal;
use crate::log::Log;

/// The status after an end that needed SIGKILL.
pub const KILLED: u8 = 128 + 9;
/// The status for a COMMAND that is not there, and for one that can't be run; as a shell has them.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// A process that the init has started.
pub struct Child {
    /// The program, as it was given.
    pub name: OsString,
    /// Its process id. Until it is reaped, even an ended child keeps it: no other process can be hit.
    pub pid: Pid,
    /// Whether it has not been reaped yet.
    pub is_running: bool,
}

impl Child {
    /// Starts COMMAND, given with its arguments, in a process group of its own: a signal to our group reaches it once,
    /// through us.
    ///
    /// # Errors
    ///
    /// When there can't be another process.
    pub fn command(program: &[OsString], log: Log) -> anyhow::Result<Self> {
        Self::start(program, log, Command::new(env::current_exe()?).arg("exec").process_group(0))
    }

    /// Starts the server in a session of its own: no terminal can stop it.
    ///
    /// # Errors
    ///
    /// When there can't be another process.
    pub fn server(program: &[OsString], log: Log) -> anyhow::Result<Self> {
        Self::start(program, log, Command::new(env::current_exe()?).args(["exec", "--session"]).stdin(Stdio::null()))
    }

    fn start(program: &[OsString], log: Log, exec: &mut Command) -> anyhow::Result<Self> {
        let name = program.first().cloned().unwrap_or_default();
        exec.args(log.arguments()).arg(getpid().to_string()).arg("--").args(program);
        let child = exec.spawn().with_context(|| format!("cannot start {}", name.display()))?;
        Ok(Self { name, pid: Pid::from_child(&child), is_running: true })
    }

    /// Sends a signal, unless the child was reaped.
    pub fn send(&self, signal: Signal) {
        if self.is_running
            && let Err(error) = kill_process(self.pid, signal)
        {
            warn!("cannot signal {}: {error}", self.name.display());
        }
    }

    /// Kills the child, and those that it started, unless it was reaped.
    pub fn kill(&self) {
        // The server has no group yet when it has just been started.
        let kill = || kill_process_group(self.pid, Signal::KILL).or_else(|_| kill_process(self.pid, Signal::KILL));
        if self.is_running
            && let Err(error) = kill()
        {
            warn!("cannot kill {}: {error}", self.name.display());
        }
    }
}

/// Becomes `program`, and dies with the process `parent`. This runs in a child between its start and its real program,
/// where it can be done without `unsafe`. Returns, with the status to exit with, only when it fails.
///
/// Signals that are ignored stay so, but for SIGPIPE; no signal stays blocked.
pub fn exec(parent: Pid, session: bool, program: &OsStr, arguments: &[OsString]) -> u8 {
    if let Err(error) = settle(parent, session) {
        error!("cannot prepare {}: {error}", program.display());
        return NOT_EXECUTABLE;
    }
    // Had the parent died before, nobody would have told us.
    if getppid() != Some(parent) {
        return KILLED;
    }
    let error = Command::new(program).args(arguments).exec();
    error!("cannot run {}: {error}", program.display());
    if error.kind() == io::ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// Ties this process to its parent; gives it a session of its own, or the terminal if that is the parent's.
fn settle(parent: Pid, session: bool) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if session {
        setsid()?;
    } else {
        let parent = unistd::Pid::from_raw(Pid::as_raw(Some(parent)));
        terminal::take_from(unistd::getpgid(Some(parent))?);
    }
    Ok(())
}
