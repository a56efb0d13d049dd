//! What an operator reads.

use std::fs::{OpenOptions, remove_file};
use std::io::{BufRead, BufReader, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Instant;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{get, request};
use crate::process::{PATIENCE, Program, Server, echo, eventually};

/// Makes the file come, change in every way and go, with two requests after each change; then stops the server. Returns the log.
fn life_of_a_file(arguments: &[&str]) -> Vec<String> {
    let mut server = Server::start(arguments);
    let look = || (0..2).map(|_| get(server.address, "/data").status).collect::<Vec<_>>();
    look();
    server.append("1\n2\n3\n");
    look();
    server.append("4\n");
    look();
    OpenOptions::new().write(true).open(server.file()).unwrap().set_len(4).unwrap();
    look();
    server.replace("5\n");
    look();
    remove_file(server.file()).unwrap();
    look();
    server.append("6\n");
    look();
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.ended().code(), Some(0));
    server.program.log_to_the_end().lines().map(str::to_owned).collect()
}

/// Checks that there are as many lines as `expected`, each with the words of one.
#[track_caller]
fn assert_lines(lines: &[String], expected: &[&[&str]]) {
    let matches = |(line, words): (&String, &&[&str])| words.iter().all(|word| line.contains(word));
    let all = lines.len() == expected.len() && lines.iter().zip(expected).all(matches);
    assert!(all, "expected {expected:#?}, got {lines:#?}");
}

#[test]
fn the_life_of_a_file_is_told_once_for_each_change() {
    let lines = life_of_a_file(&[]);
    assert_lines(
        &lines,
        &[
            &["INFO", "listening on http://127.0.0.1:"],
            &["INFO", "waiting for the file: No such file or directory", "file=data"],
            &["INFO", "found the file", "file=data", "length=6"],
            &["WARN", "the file was truncated", "file=data", "length=4", "before=8"],
            &["INFO", "the file was replaced or emptied", "file=data", "length=2"],
            &["WARN", "lost the file: No such file or directory", "file=data"],
            &["INFO", "found the file", "file=data", "length=2"],
            &["INFO", "stopping on SIGTERM"],
        ],
    );
}

#[test]
fn each_line_of_a_json_log_is_an_object() {
    let lines = life_of_a_file(&["--log-format", "json", "--log-level", "debug"]);
    let objects: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    for object in &objects {
        assert!(["timestamp", "level", "message"].iter().all(|key| object[key].is_string()), "{object}");
    }
    let found = objects.iter().find(|object| object["message"] == "found the file").unwrap();
    assert_eq!((&found["level"], &found["file"], &found["length"]), (&"INFO".into(), &"data".into(), &6.into()));
}

#[test]
fn a_file_that_is_there_at_start_is_told() {
    let server = Server::serving("1\n2\n");
    server.program.wait_for_log("found the file");
}

#[test]
fn emptying_a_file_is_told_and_its_first_line_is_not() {
    let mut server = Server::serving("1\n2\n");
    server.program.wait_for_log("found the file");
    for content in ["", "3\n"] {
        std::fs::write(server.file(), content).unwrap();
        get(server.address, "/data");
    }
    server.program.signal(Signal::TERM);
    server.program.ended();
    let lines: Vec<_> = server.program.log_to_the_end().lines().map(str::to_owned).collect();
    assert_lines(&lines, &[&["listening"], &["found"], &["replaced or emptied", "length=0"], &["stopping"]]);
}

/// The lines about requests in the log of a server that answered four: two well, and two not.
fn requests_logged(arguments: &[&str]) -> Vec<String> {
    let mut server = Server::start(arguments);
    for path in ["/healthz", "/", "/data", "/nothing?q=1"] {
        get(server.address, path);
    }
    request(server.address, "HEAD", "/healthz", &[]);
    server.program.signal(Signal::TERM);
    server.program.ended();
    let log = server.program.log_to_the_end();
    let without = ["listening on", "waiting for", "stopping on"];
    log.lines().filter(|line| !without.iter().any(|text| line.contains(text))).map(str::to_owned).collect()
}

#[test]
fn a_request_is_not_logged() {
    assert_eq!(requests_logged(&[]), [""; 0]);
}

#[test]
fn a_request_is_one_line_at_debug_level() {
    assert_lines(
        &requests_logged(&["--log-level", "debug"]),
        &[
            &["DEBUG", "GET", "/healthz", "200"],
            &["DEBUG", "GET", "/", "200"],
            &["DEBUG", "GET", "/data", "503"],
            &["DEBUG", "GET", "/nothing?q=1", "404"],
            &["DEBUG", "HEAD", "/healthz", "200"],
        ],
    );
}

/// Runs a program that can't start, so that it has one error to tell.
fn failing(arguments: &[&str]) -> String {
    let folder = TempDir::new().unwrap();
    let mut program = Program::start(echo(folder.path()).args(["--file", "missing/data"]).args(arguments));
    assert_eq!(program.ended().code(), Some(1));
    program.log_to_the_end()
}

#[test]
fn an_error_at_start_has_the_form_of_the_log() {
    let log = failing(&["--log-format", "json"]);
    let object: Value = serde_json::from_str(&log).expect(&log);
    assert_eq!(object["level"], "ERROR");
    assert!(object["message"].as_str().unwrap().contains("missing: No such file"), "{log}");
}

#[test]
fn the_level_decides_what_is_logged() {
    assert_eq!(failing(&["--log-level", "off"]), "");
    assert_eq!(failing(&["--log-level", "error"]).lines().count(), 1);
    // Both programs start and stop, which is worth no more than info.
    let folder = TempDir::new().unwrap();
    let mut command = echo(folder.path());
    command.env("ECHO_LOG_LEVEL", "warn").args(["--listen", "127.0.0.1:0", "--", "true"]);
    let mut family = Program::start(&mut command);
    assert_eq!(family.ended().code(), Some(0));
    assert_eq!(family.log_to_the_end(), "");
}

#[test]
fn the_whole_family_logs_in_one_form() {
    let folder = TempDir::new().unwrap();
    let mut command = echo(folder.path());
    command.env("ECHO_LOG_FORMAT", "json").args(["--listen", "127.0.0.1:0", "--", "no-such-program"]);
    let mut family = Program::start(&mut command);
    assert_eq!(family.ended().code(), Some(127));
    for line in family.log_to_the_end().lines() {
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_an_answer_nor_the_end() {
    let folder = TempDir::new().unwrap();
    let (log, writer) = pipe().unwrap();
    // The same pipe, opened anew, so that nobody else's writes become non-blocking.
    let pipe = format!("/proc/self/fd/{}", writer.as_raw_fd());
    let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
    let mut filler = OpenOptions::new().write(true).custom_flags(nonblocking).open(pipe).unwrap();
    let mut command = echo(folder.path());
    let mut server = command.args(["--listen", "127.0.0.1:0", "--log-level", "debug"]).stderr(writer).spawn().unwrap();

    let first = BufReader::with_capacity(200, &log).lines().next().unwrap().unwrap();
    let address = first.rsplit_once("http://").unwrap().1.parse().unwrap();
    get(address, "/healthz"); // what is logged at start is behind us
    while filler.write(&[b'\n'; 4096]).is_ok() {}
    while filler.write(b"\n").is_ok() {}
    for _ in 0..10 {
        assert_eq!(get(address, "/healthz").status, 200);
    }
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    let (asked, mut status) = (Instant::now(), None);
    eventually("it ends, or takes too long", || {
        status = server.try_wait().unwrap();
        status.is_some() || asked.elapsed() > PATIENCE / 2
    });
    server.kill().unwrap();
    assert_eq!(status.and_then(|status| status.code()), Some(0));
}

/// Each program has its own copy.
#[test]
fn both_programs_write_their_log_in_the_same_way() {
    assert_eq!(include_str!("../../src/stderr.rs"), include_str!("../../../generator/src/stderr.rs"));
}
