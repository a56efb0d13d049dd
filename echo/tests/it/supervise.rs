//! `echo -- COMMAND`: two programs that live and die together.

use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tempfile::TempDir;

use crate::client::{Client, get};
use crate::generator::generator;
use crate::proc::{child, children, has_ended, state_and_parent};
use crate::process::{BIG, PATIENCE, Program, Server, echo, eventually};

/// A COMMAND that does not end by itself, and dies of SIGTERM.
const SLEEP: &[&str] = &["sleep", "1000"];
/// A COMMAND that SIGTERM does not end, nor the program that it has started.
const STUBBORN: &[&str] = &["sh", "-c", "trap '' TERM; echo ready >&2; sleep 1000; true"];

/// A COMMAND that ends with status 3 when there is a file `end`, and not by SIGTERM.
const OBEDIENT: &[&str] = &["sh", "-c", "trap '' TERM; until [ -e end ]; do sleep 0.02; done; exit 3"];

/// A server with `command` beside it.
fn beside(options: &[&str], command: &[&str]) -> Server {
    Server::start(&[options, &["--"], command].concat())
}

/// Runs a family until it ends; returns its status and the log.
fn run(command: &[&str]) -> (Option<i32>, String) {
    let folder = TempDir::new().unwrap();
    let mut program = Program::start(echo(folder.path()).args(["--listen", "127.0.0.1:0", "--"]).args(command));
    (program.ended().code(), program.log_to_the_end())
}

/// Checks that a family ends with `status` and says `line`, apart from what is mere information.
#[track_caller]
fn fails(command: &str, status: i32, line: &str) {
    let (ended, log) = run(&[command]);
    let told: Vec<_> = log.lines().filter(|line| !line.contains(" INFO ")).collect();
    let told: Vec<_> = told.iter().filter_map(|line| line.split_once(' ')).map(|(_time, said)| said.trim()).collect();
    assert_eq!((ended, told), (Some(status), vec![line]));
}

/// The server and the other child of a running family.
fn server_and(command: &str, family: &Server) -> (Pid, Pid) {
    let init = family.program.pid();
    (child(init, env!("CARGO_BIN_EXE_echo")), child(init, command))
}

/// Waits until a program has left its process id in a file.
fn pid_in(file: &Path) -> Pid {
    let mut pid = None;
    eventually("a process id is left", || {
        let text = fs::read_to_string(file).unwrap_or_default();
        pid = text.strip_suffix('\n').and_then(|pid| Pid::from_raw(pid.parse().unwrap()));
        pid.is_some()
    });
    pid.unwrap()
}

#[test]
fn what_the_generator_writes_is_served() {
    let family = beside(&[], &[generator(), "--interval", "10ms"]);
    eventually("three numbers are served", || get(family.address, "/data").text().lines().count() >= 3);
}

#[test]
fn a_killed_server_ends_the_generator() {
    let mut family = beside(&[], &[generator()]);
    let (server, generator) = server_and(generator(), &family);
    kill_process(server, Signal::KILL).unwrap();
    assert_eq!(family.program.ended().code(), Some(137));
    assert!(has_ended(generator));
}

#[test]
fn a_killed_generator_ends_the_server() {
    let mut family = beside(&[], &[generator()]);
    let (server, generator) = server_and(generator(), &family);
    kill_process(generator, Signal::KILL).unwrap();
    assert_eq!(family.program.ended().code(), Some(137));
    assert!(has_ended(server));
}

#[test]
fn a_generator_that_is_done_ends_the_server() {
    let (status, log) = run(&[generator(), "--count", "1"]);
    assert_eq!(status, Some(0), "{log}");
}

#[test]
fn the_status_of_command_is_passed_on() {
    // SIGPIPE ends a program unless it is ignored, which must not be inherited.
    for (script, status) in [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 143), ("kill -PIPE $$", 141)] {
        let (ended, log) = run(&["sh", "-c", script]);
        assert_eq!(ended, Some(status), "{script}: {log}");
    }
}

#[test]
fn a_command_that_is_not_there_is_named_in_one_line() {
    fails("no-such-program", 127, "ERROR cannot run no-such-program: No such file or directory (os error 2)");
    fails("/no/such/program", 127, "ERROR cannot run /no/such/program: No such file or directory (os error 2)");
    fails("", 127, "ERROR cannot run : No such file or directory (os error 2)");
}

#[test]
fn a_command_that_is_not_executable_is_named_in_one_line() {
    fails("/etc/passwd", 126, "ERROR cannot run /etc/passwd: Permission denied (os error 13)");
    fails("/etc", 126, "ERROR cannot run /etc: Permission denied (os error 13)");
}

#[test]
fn a_command_that_begins_with_a_dash_is_just_not_there() {
    fails("--no-such-program", 127, "ERROR cannot run --no-such-program: No such file or directory (os error 2)");
}

#[test]
fn the_line_about_a_command_that_cannot_run_is_written_at_once() {
    // Written in pieces, it would be torn by what the server logs at the same time to the same place. Here each write
    // is a datagram of its own.
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let folder = TempDir::new().unwrap();
    let mut command = echo(folder.path());
    command.args(["--listen", "127.0.0.1:0", "--", "no-such-program"]).stderr(Stdio::from(OwnedFd::from(theirs)));
    let mut init = command.spawn().unwrap();
    drop(command); // and with it the other end of the socket
    let mut written = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = ours.recv(&mut buffer) {
        written.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        if written.last().unwrap().contains("no-such-program ended") {
            break;
        }
    }
    init.kill().unwrap(); // which ends the server, too
    init.wait().unwrap();
    let line = "ERROR cannot run no-such-program: No such file or directory (os error 2)\n";
    assert!(written.iter().any(|text| text.ends_with(line)), "{written:?}");
}

#[test]
fn arguments_of_command_that_look_like_options_are_its_own() {
    let ours =
        ["--log-level", "--log-format", "--file", "--help", "-h", "--version", "-V", "--no-such-option", "check", "--"];
    for argument in ours {
        // Ends with status 1 if it gets just these three arguments: they are not the same.
        let (ended, log) = run(&["test", argument, "=", "another"]);
        assert_eq!(ended, Some(1), "{argument}: {log}");
    }
}

#[test]
fn options_reach_the_server_in_any_order() {
    for first in [["--log-format", "json"], ["--file", "other"]] {
        let second = if first[0] == "--file" { ["--log-format", "json"] } else { ["--file", "other"] };
        let family = beside(&[first, second].concat(), SLEEP);
        assert_eq!(get(family.address, "/other").status, 503, "it is not there, but known");
        let line = family.program.logged("listening on");
        assert!(line.starts_with('{'), "the server did not get {first:?} {second:?}: {line}");
    }
}

#[test]
fn any_program_that_writes_a_file_can_be_served() {
    let folder = TempDir::new().unwrap();
    let mut command = echo(folder.path());
    command.env("ECHO_FILE", "app.log").env("GREETING", "hello");
    command.args(["--", "sh", "-c", r#"echo "$GREETING" >> "$ECHO_FILE"; exec sleep 1000"#]);
    let family = Server::start_by(&mut command, folder);
    eventually("the line is served", || get(family.address, "/app.log").body == b"hello\n");
}

#[test]
fn signals_reach_command_and_not_the_server() {
    let script = "
        for signal in HUP QUIT USR1 USR2; do trap \"echo got $signal >&2\" $signal; done
        echo ready >&2
        while :; do sleep 0.05; done";
    let family = beside(&[], &["sh", "-c", script]);
    family.program.logged("ready");
    for (signal, name) in [(Signal::HUP, "HUP"), (Signal::QUIT, "QUIT"), (Signal::USR1, "USR1"), (Signal::USR2, "USR2")]
    {
        family.program.signal(signal);
        family.program.logged(&format!("got {name}"));
        assert_eq!(get(family.address, "/healthz").status, 200, "after {name}");
    }
}

/// Asks a family with [`OBEDIENT`] to stop and lets COMMAND end, as soon as the server has taken notice.
fn stop_and_end_command(family: &Server) {
    family.program.signal(Signal::TERM);
    family.program.logged("stopping on SIGTERM");
    fs::write(family.folder.path().join("end"), "").unwrap();
    family.program.logged("sh ended");
}

#[test]
fn the_server_finishes_its_answers_after_sigterm_though_command_has_ended() {
    let mut family = Server::of_a_big_file(&[&["--"], OBEDIENT].concat());
    let (mut client, mut answer) = Client::with_an_answer_under_way(family.address);
    stop_and_end_command(&family);
    client.answer_body(&mut answer);
    assert_eq!(answer.body.len() as u64, BIG);
    assert_eq!(family.program.ended().code(), Some(0));
}

#[test]
fn the_server_keeps_its_drain_delay_after_sigterm_though_command_has_ended() {
    let mut family = beside(&["--drain-delay", "2s"], OBEDIENT);
    let asked = Instant::now();
    stop_and_end_command(&family);
    assert_eq!(family.program.ended().code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_secs(2), "ended after {:?}", asked.elapsed());
}

#[test]
fn ctrl_c_lets_the_server_finish_its_answers() {
    // A terminal sends the signal to every process of the group. Were the server in it, it would get a second one from
    // the init, and end at once.
    let big = Server::of_a_big_file(&[]);
    let mut command = echo(big.folder.path());
    command.arg("--").args(SLEEP).process_group(0);
    let mut family = Server::start_by(&mut command, TempDir::new().unwrap());
    let (mut client, mut answer) = Client::with_an_answer_under_way(family.address);
    kill_process_group(family.program.pid(), Signal::INT).unwrap();
    family.program.logged("stopping on SIGINT");
    client.answer_body(&mut answer);
    assert_eq!(answer.body.len() as u64, BIG);
    assert_eq!(family.program.ended().code(), Some(0));
}

#[test]
fn the_server_finishes_its_answers_when_command_ends() {
    let mut family = Server::of_a_big_file(&[&["--"], OBEDIENT].concat());
    let (mut client, mut answer) = Client::with_an_answer_under_way(family.address);
    fs::write(family.folder.path().join("end"), "").unwrap();
    family.program.logged("stopping on SIGTERM");
    client.answer_body(&mut answer);
    assert_eq!(answer.body.len() as u64, BIG);
    assert_eq!(family.program.ended().code(), Some(3));
}

#[test]
fn a_command_that_does_not_stop_is_killed_after_the_drain_and_a_second() {
    let mut family = beside(&["--drain-delay", "100ms", "--drain-timeout", "200ms"], STUBBORN);
    family.program.logged("ready");
    let asked = Instant::now();
    family.program.signal(Signal::TERM);
    assert_eq!(family.program.ended().code(), Some(137));
    assert!(asked.elapsed() >= Duration::from_millis(1300), "killed after {:?}", asked.elapsed());
    family.program.log_to_the_end();
}

#[test]
fn a_server_that_hangs_is_killed_and_the_status_is_that_of_command() {
    let mut family = beside(&["--drain-timeout", "1ms"], OBEDIENT);
    let (server, _) = server_and("sh", &family);
    kill_process(server, Signal::STOP).unwrap();
    fs::write(family.folder.path().join("end"), "").unwrap();
    assert_eq!(family.program.ended().code(), Some(3));
    assert!(has_ended(server));
}

#[test]
fn a_killed_init_leaves_no_child_behind() {
    let family = beside(&[], OBEDIENT);
    let (server, command) = server_and("sh", &family);
    family.program.signal(Signal::KILL);
    eventually("both children end", || has_ended(server) && has_ended(command));
}

#[test]
fn orphans_are_reaped() {
    let script = "sh -c 'sleep 1000 & echo $! > orphan'; exec sleep 1000";
    let family = beside(&[], &["sh", "-c", script]);
    let init = family.program.pid();
    let orphan = pid_in(&family.folder.path().join("orphan"));
    let adopted = || state_and_parent(orphan).is_some_and(|(_, parent)| parent == init.as_raw_nonzero().get());
    eventually("the init adopts the orphan", adopted);
    kill_process(orphan, Signal::KILL).unwrap();
    eventually("the orphan is gone, and no zombie", || state_and_parent(orphan).is_none());
    assert_eq!(children(init).len(), 2, "the server and COMMAND go on");
    assert_eq!(get(family.address, "/healthz").status, 200);
}

#[test]
fn a_port_in_use_ends_command_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = TempDir::new().unwrap();
    let mut program = Program::start(echo(folder.path()).args(["--listen", &address, "--"]).args(SLEEP));
    assert_eq!(program.ended().code(), Some(1));
    let log = program.log_to_the_end();
    let reason = format!("ERROR cannot listen on {address}: Address already in use (os error 98)");
    assert_eq!(log.matches(&reason).count(), 1, "{log}");
}
