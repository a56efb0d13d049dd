//! The init as a citizen of Unix: signals, terminals, descriptors.

use std::fs::{File, OpenOptions};
use std::io::{Write, pipe};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix_libc_wrappers::process::SignalExt;
use tempfile::TempDir;

use crate::client::get;
use crate::proc::{child, children, field, state_and_parent};
use crate::process::{Program, Server, echo, eventually};

/// The family of a COMMAND, started by `env` with further `options`, such as signals to be ignored.
fn started_by_env(options: &[&str], command: &[&str]) -> Server {
    let folder = TempDir::new().unwrap();
    let mut env = Command::new("env");
    env.args(options).arg(env!("CARGO_BIN_EXE_echo")).args(command).current_dir(folder.path());
    Server::start_by(&mut env, folder)
}

/// Whether a process ignores `signal`.
fn ignores(pid: Pid, signal: Signal) -> bool {
    let ignored = u64::from_str_radix(&field(pid, "status", "SigIgn"), 16).unwrap();
    ignored >> (signal.as_raw() - 1) & 1 == 1
}

#[test]
fn an_ignored_signal_stays_ignored_by_all_three() {
    let family = started_by_env(&["--ignore-signal=HUP,INT,USR1,PIPE"], &["--", "sleep", "1000"]);
    let init = family.program.pid();
    let (server, command) = (child(init, env!("CARGO_BIN_EXE_echo")), child(init, "sleep"));
    for pid in [server, command] {
        for signal in [Signal::HUP, Signal::INT, Signal::USR1] {
            assert!(ignores(pid, signal), "{signal:?}");
        }
        assert!(!ignores(pid, Signal::TERM));
    }
    assert!(!ignores(command, Signal::PIPE), "which the language ignores, not who started us");
    for signal in [Signal::HUP, Signal::INT, Signal::USR1] {
        family.program.signal(signal);
        kill_process(server, signal).unwrap();
        assert_eq!(get(family.address, "/healthz").status, 200);
    }
    assert_eq!(children(init).len(), 2);
    let mut family = family;
    family.program.signal(Signal::TERM);
    assert_eq!(family.program.ended().code(), Some(0));
}

#[test]
fn a_blocked_signal_is_unblocked() {
    for command in [&[][..], &["--", "sleep", "1000"]] {
        let mut program = started_by_env(&["--block-signal=TERM,CHLD,USR1"], command);
        let init = program.program.pid();
        for pid in children(init).into_iter().chain(command.is_empty().then_some(init)) {
            eventually("nothing is blocked", || field(pid, "status", "SigBlk").trim_start_matches('0').is_empty());
        }
        program.program.signal(Signal::TERM);
        assert_eq!(program.program.ended().code(), Some(0));
    }
}

#[test]
fn the_status_of_command_is_passed_on_though_sigchld_was_ignored() {
    let folder = TempDir::new().unwrap();
    let mut env = Command::new("env");
    env.args([
        "--ignore-signal=CHLD",
        env!("CARGO_BIN_EXE_echo"),
        "--listen",
        "127.0.0.1:0",
        "--",
        "sh",
        "-c",
        "exit 3",
    ]);
    let mut family = Program::start(env.current_dir(folder.path()));
    assert_eq!(family.ended().code(), Some(3), "{}", family.log());
}

#[test]
fn all_signals_that_can_be_caught_reach_command() {
    let own = [
        (Signal::KILL, Signal::STOP),
        (Signal::SEGV, Signal::FPE),
        (Signal::ILL, Signal::BUS),
        (Signal::ABORT, Signal::TRAP),
        (Signal::SYS, Signal::CHILD),
        (Signal::TTIN, Signal::TTOU),
        (Signal::TERM, Signal::INT), // which end the server, too
    ];
    let all = (1..=64).filter_map(<Signal as SignalExt>::from_raw);
    let passed: Vec<_> = all.filter(|signal| !own.iter().any(|(a, b)| signal == a || signal == b)).collect();
    assert!(passed.len() >= 17 + 31, "the named ones, and the real-time ones");
    let numbers = passed.iter().map(|signal| signal.as_raw().to_string()).collect::<Vec<_>>().join(" ");
    let script = format!(
        "for n in {numbers}; do trap \"echo got $n. >&2\" $n; done; echo ready >&2; while :; do sleep 0.02; done"
    );
    let family = Server::start(&["--", "sh", "-c", &script]);
    family.program.logged("ready");
    for signal in passed {
        family.program.signal(signal);
        family.program.logged(&format!("got {}.", signal.as_raw()));
    }
    assert_eq!(get(family.address, "/healthz").status, 200);
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_end() {
    let (_unread, log) = pipe().unwrap();
    // The same pipe, opened anew, so that nobody else's writes become non-blocking.
    let path = format!("/proc/self/fd/{}", log.as_raw_fd());
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut filler = OpenOptions::new().write(true).custom_flags(nonblocking).open(path).unwrap();
    while filler.write(b"\n").is_ok() {}
    let folder = TempDir::new().unwrap();
    let mut command = echo(folder.path());
    let family = command.args(["--listen", "127.0.0.1:0", "--", "sleep", "1000"]).stderr(log).spawn().unwrap();
    let mut family = Reaped(family);
    child(Pid::from_child(&family.0), "sleep");
    kill_process(Pid::from_child(&family.0), Signal::TERM).unwrap();
    let mut status = None;
    eventually("the family ends", || {
        status = family.0.try_wait().unwrap();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

/// A child that does not outlive its test.
struct Reaped(std::process::Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is said by `sh -c script`, which gets a descriptor 3 and the program as `$0`.
fn said(script: &str) -> String {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("given"), "given\n").unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec 3<given; {script}"), env!("CARGO_BIN_EXE_echo")]).current_dir(folder.path());
    let mut program = Program::start(shell.env("ECHO_LISTEN", "127.0.0.1:0").env("ECHO_LOG_LEVEL", "off"));
    program.ended();
    program.log_to_the_end()
}

#[test]
fn command_gets_the_descriptors_that_the_init_was_given_and_no_other() {
    let list = "'for fd in 0 1 2 3 4 5 6 7 8 9 10 11 12; do [ -e /proc/$$/fd/$fd ] && echo $fd >&2; done; cat <&3 >&2'";
    let alone = said(&format!("exec sh -c {list}"));
    assert!(alone.contains("\n3\n") && alone.ends_with("given\n"), "{alone}");
    assert_eq!(said(&format!("exec \"$0\" -- sh -c {list}")), alone);
}

/// A terminal, and a program whose stdin it is, and which it controls.
struct Terminal {
    keyboard: File,
    program: Program,
}

impl Terminal {
    /// Runs `sh -c script` there, with the program as `$0`.
    fn start(folder: &TempDir, script: &str) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let terminal: OwnedFd = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut command = Command::new("setsid");
        command.args(["--ctty", "sh", "-c", script, env!("CARGO_BIN_EXE_echo")]).current_dir(folder.path());
        command.env("ECHO_LISTEN", "127.0.0.1:0");
        Self { keyboard: keyboard.into(), program: Program::start_on(&mut command, Stdio::from(terminal)) }
    }

    fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }
}

#[test]
fn command_reads_the_terminal() {
    let folder = TempDir::new().unwrap();
    let mut terminal = Terminal::start(&folder, r#"exec "$0" -- sh -c 'read line; echo "got $line" >&2'"#);
    terminal.types("hello\n");
    terminal.program.logged("got hello");
    assert_eq!(terminal.program.ended().code(), Some(0));
}

#[test]
fn ctrl_c_reaches_command_which_may_live_on() {
    let folder = TempDir::new().unwrap();
    let script = r#"exec "$0" -- sh -c 'trap "echo got it >&2" INT; echo ready >&2; while :; do sleep 0.02; done'"#;
    let mut terminal = Terminal::start(&folder, script);
    terminal.program.logged("ready");
    terminal.types("\x03");
    terminal.program.logged("got it");
    assert_eq!(children(terminal.program.pid()).len(), 2);
}

#[test]
fn the_terminal_is_given_back() {
    let folder = TempDir::new().unwrap();
    let mut terminal = Terminal::start(&folder, r#""$0" -- true; read line; echo "got $line" >&2"#);
    terminal.types("hello\n");
    terminal.program.logged("got hello");
    assert_eq!(terminal.program.ended().code(), Some(0));
}

#[test]
fn a_terminal_in_the_foreground_of_another_is_left_alone() {
    let folder = TempDir::new().unwrap();
    // With job control, what runs in the background has a group of its own.
    let script = r#"
        set -m
        "$0" -- sh -c ': >ready; exec sleep 1000' &
        until [ -e ready ]; do sleep 0.02; done
        read line; echo "got $line" >&2
        kill %1; wait"#;
    let mut terminal = Terminal::start(&folder, script);
    terminal.types("hello\n");
    terminal.program.logged("got hello");
    terminal.program.ended();
}

#[test]
fn the_terminal_stops_neither_server_nor_init() {
    let folder = TempDir::new().unwrap();
    // Whatever is not in the foreground may not even write.
    let script = r#"exec "$0" --log-level debug -- sh -c 'stty tostop <&0; echo ready; exec sleep 1000' 2>&0 >&0"#;
    let terminal = Terminal::start(&folder, script);
    let init = terminal.program.pid();
    let server = child(init, env!("CARGO_BIN_EXE_echo"));
    child(init, "sleep");
    for signal in [Signal::TTOU, Signal::TTIN, Signal::TSTP] {
        kill_process(server, signal).unwrap();
    }
    for signal in [Signal::TTOU, Signal::TTIN] {
        kill_process(init, signal).unwrap();
    }
    kill_process(init, Signal::USR1).unwrap(); // ends COMMAND, which the init and the server log
    let mut terminal = terminal;
    assert_eq!(terminal.program.ended().code(), Some(128 + 10));
    assert!(state_and_parent(server).is_none());
}
