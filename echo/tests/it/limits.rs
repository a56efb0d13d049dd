//! What clients can't do to a server, and to each other.

use std::fs::{read_dir, read_to_string, write};
use std::io::{ErrorKind, Read, Write};
use std::process::Command;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::client::{Answer, Client, get, head};
use crate::proc::field;
use crate::process::{BIG, Server, eventually};

/// A server with a limit of `limit` open files, as `ulimit` sets it.
fn with_ulimit(limit: &str, arguments: &[&str]) -> Server {
    let folder = TempDir::new().unwrap();
    let mut shell = Command::new("sh");
    shell.env_clear().current_dir(folder.path());
    shell.args(["-c", &format!(r#"ulimit {limit}; exec "$0" "$@""#), env!("CARGO_BIN_EXE_echo")]).args(arguments);
    Server::start_by(&mut shell, folder)
}

/// The soft and the hard limit of open files.
fn limits_of_open_files(pid: Pid) -> [String; 2] {
    let limits = field(pid, "limits", "Max open files");
    let mut limits = limits.split_whitespace().map(str::to_owned);
    [limits.next().unwrap(), limits.next().unwrap()]
}

/// Sends `request` and returns the answer.
fn answer_to(server: &Server, request: &str) -> Answer {
    let mut client = Client::connect(server.address);
    client.send(request);
    client.answer(false)
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let server = Server::serving("1\n");
    let with = |length| format!("GET /data HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(length));
    assert_eq!(answer_to(&server, &with(15_000)).status, 200);
    assert_eq!(answer_to(&server, &with(17_000)).status, 431);
    let url = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(17_000));
    assert_eq!(answer_to(&server, &url).status, 431);
}

#[test]
fn a_head_of_too_many_lines_is_refused() {
    let server = Server::serving("1\n");
    let with = |lines| format!("GET /data HTTP/1.1\r\nHost: test\r\n{}\r\n", "X: x\r\n".repeat(lines));
    assert_eq!(answer_to(&server, &with(99)).status, 200);
    assert_eq!(answer_to(&server, &with(100)).status, 431);
}

#[test]
fn a_request_needs_one_host() {
    let server = Server::serving("1\n");
    assert_eq!(answer_to(&server, "GET /data HTTP/1.1\r\n\r\n").status, 400);
    assert_eq!(answer_to(&server, "GET /data HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n").status, 400);
    assert_eq!(answer_to(&server, "GET /data HTTP/1.0\r\n\r\n").status, 200, "older than Host");
    assert_eq!(answer_to(&server, "GET /data HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n").status, 400);
}

#[test]
fn what_is_not_http_is_refused() {
    let server = Server::serving("1\n");
    assert_eq!(answer_to(&server, "\u{16}\u{3}\u{1} hello, here is TLS\r\n\r\n").status, 400);
}

/// Sends a byte of a request now and then until the connection is closed; returns after how long that was.
fn dawdle(mut client: Client) -> Duration {
    let begun = Instant::now();
    client.send("GET /data HTTP/1.1\r\nX: ");
    client.stream().set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    eventually("the connection is closed", || {
        let _ = client.stream().write_all(b"x");
        match client.stream().read(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Ok(1..) => panic!("an answer came"),
            Ok(0) | Err(_) => true,
        }
    });
    begun.elapsed()
}

#[test]
fn a_client_that_dawdles_over_a_request_is_dropped_after_ten_seconds() {
    let server = Server::serving("1\n");
    let fresh = Client::connect(server.address);
    let mut used = Client::connect(server.address);
    used.get("/healthz");
    let (fresh, used) = scope(|threads| {
        let fresh = threads.spawn(|| dawdle(fresh));
        let used = dawdle(used);
        (fresh.join().unwrap(), used)
    });
    for dropped_after in [fresh, used] {
        assert!(dropped_after >= Duration::from_secs(10), "after {dropped_after:?}");
    }
}

#[test]
fn one_connection_too_many_makes_the_longest_idle_one_go() {
    let server = Server::start(&["--max-connections", "5"]);
    let mut clients: Vec<_> = (0..5).map(|_| Client::connect(server.address)).collect();
    // The last to connect is the first to fall silent.
    for client in clients.iter_mut().rev() {
        client.get("/healthz");
    }
    assert_eq!(get(server.address, "/healthz").status, 200);
    assert_eq!(clients.pop().unwrap().receive(), 0);
    for client in &mut clients {
        assert_eq!(client.get("/healthz").status, 200);
    }
}

#[test]
fn incomplete_requests_do_not_keep_others_out() {
    let server = Server::start(&["--max-connections", "5"]);
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(server.address);
        client.send("GET /data HTTP/1.1\r\nHost:");
        clients.push(client);
        assert_eq!(get(server.address, "/healthz").status, 200);
    }
}

#[test]
fn answers_that_nobody_takes_do_not_keep_others_out() {
    let server = Server::of_a_big_file(&["--max-connections", "5"]);
    let _stalled: Vec<_> = (0..5).map(|_| Client::with_an_answer_under_way(server.address)).collect();
    let mut probe = Client::connect(server.address);
    for _ in 0..10 {
        assert_eq!(probe.get("/healthz").status, 200);
    }
}

#[test]
fn an_idle_connection_makes_room_before_an_answer_does() {
    let server = Server::of_a_big_file(&["--max-connections", "3"]);
    let (mut client, mut answer) = Client::with_an_answer_under_way(server.address);
    let mut idle: Vec<_> = (0..2).map(|_| Client::connect(server.address)).collect();
    sleep(Duration::from_millis(300)); // until they are no new connections any more
    assert_eq!(get(server.address, "/healthz").status, 200);
    assert_eq!(idle[0].receive(), 0);
    client.answer_body(&mut answer);
    assert_eq!(answer.body.len() as u64, BIG);
}

#[test]
fn an_answer_that_is_being_taken_is_spared_on_an_old_connection_too() {
    let server = Server::of_a_big_file(&["--max-connections", "3"]);
    let mut client = Client::connect(server.address);
    client.get("/healthz");
    sleep(Duration::from_millis(2500)); // until it is no new connection any more
    client.send(head("GET", "/data", &[]));
    let mut answer = client.answer_head();
    let _idle = [Client::connect(server.address), Client::connect(server.address)];
    // Bytes flow after the last sign of life of the idle two: more than the kernel's buffers hold.
    let mut taken = 0;
    while taken < BIG / 2 {
        taken += client.receive() as u64;
    }
    assert_eq!(get(server.address, "/healthz").status, 200);
    client.answer_body(&mut answer);
    assert_eq!(answer.body.len() as u64, BIG, "cut off while two connections were idle");
}

#[test]
fn a_live_client_is_spared_however_quiet_the_file_is() {
    let folder = TempDir::new().unwrap();
    write(folder.path().join("data"), "1\n").unwrap();
    let server = Server::start_in(folder, &["--max-connections", "3"]);
    let mut follower = Client::connect(server.address);
    follower.send(head("GET", "/data?follow", &[]));
    follower.until("1\n");
    sleep(Duration::from_millis(2200)); // as long as a number may take to come
    let mut silent: Vec<_> = (0..4).map(|_| Client::connect(server.address)).collect();
    assert_eq!(silent[0].receive(), 0, "made room");
    server.append("2\n");
    follower.until("2\n");
    // Where there is nothing else to spare, the one that is quiet longest makes room all the same.
    let mut followers = vec![follower];
    for _ in 0..3 {
        let mut follower = Client::connect(server.address);
        follower.send(head("GET", "/data?follow", &[]));
        follower.until("1\n");
        followers.push(follower);
    }
    assert_eq!(followers[0].receive(), 0);
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn clients_that_read_nothing_take_little_memory() {
    let server = Server::of_a_big_file(&[]);
    let _stalled: Vec<_> = (0..50).map(|_| Client::with_an_answer_under_way(server.address)).collect();
    // Meanwhile the server sends what it can: all its connections take turns.
    let mut client = Client::connect(server.address);
    for _ in 0..100 {
        client.get("/healthz");
    }
    let memory = field(server.program.pid(), "status", "VmRSS");
    let kilobytes: u64 = memory.trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 30_000, "{kilobytes} kB");
}

#[test]
#[ignore = "takes half a minute"]
fn a_client_that_reads_nothing_is_dropped_after_half_a_minute() {
    let server = Server::of_a_big_file(&[]);
    let begun = Instant::now();
    let (mut client, mut answer) = Client::with_an_answer_under_way(server.address);
    let sockets = || {
        let files = read_dir(format!("/proc/{}/fd", server.program.pid())).unwrap();
        let targets = files.filter_map(|file| file.unwrap().path().read_link().ok());
        targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
    };
    let before = sockets();
    while sockets() == before {
        assert!(begun.elapsed() < Duration::from_secs(90));
        sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() >= Duration::from_secs(30), "after {:?}", begun.elapsed());
    client.answer_body(&mut answer);
    assert!(answer.cut_short);
}

/// What makes the kernel look after a connection of the server, as `/proc` shows it: the kind of timer that runs, and its
/// ticks of 10 ms.
fn timer(server: &Server, client: &mut Client) -> (u32, u64) {
    let ends = [server.address.port(), client.stream().local_addr().unwrap().port()].map(|port| format!(":{port:04X}"));
    let sockets = read_to_string("/proc/net/tcp").unwrap();
    let is_it = |fields: &Vec<&str>| fields[1].ends_with(&ends[0]) && fields[2].ends_with(&ends[1]);
    let socket = sockets.lines().map(|line| line.split_whitespace().collect()).find(is_it).unwrap();
    let (kind, ticks) = socket[5].split_once(':').unwrap();
    (kind.parse().unwrap(), u64::from_str_radix(ticks, 16).unwrap())
}

#[test]
fn a_client_that_is_silent_is_probed() {
    let server = Server::serving("1\n");
    let mut client = Client::connect(server.address);
    client.send(head("GET", "/data?follow", &[]));
    client.until("1\n");
    let mut ticks = 0;
    eventually("a timer for the next probe runs, and none to send again", || {
        let (kind, left) = timer(&server, &mut client);
        ticks = left;
        kind == 2
    });
    assert!(ticks <= 3000, "{ticks}");
}

#[test]
fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let server = with_ulimit("-Sn 64", &[]);
    let [soft, hard] = limits_of_open_files(server.program.pid());
    assert_ne!(hard, "64");
    assert_eq!(soft, hard);
}

#[test]
fn command_keeps_its_limit_of_open_files() {
    // A program that uses select(2) could not cope with more than it was given.
    let family = with_ulimit("-Sn 64", &["--", "sh", "-c", "echo files: $(ulimit -Sn) >&2; exec sleep 1000"]);
    assert_eq!(family.program.logged("files:"), "files: 64");
}

#[test]
fn fewer_connections_are_allowed_where_files_are_few() {
    let server = with_ulimit("-n 100", &[]);
    server.program.logged("WARN the limit of open files allows 36 connections instead of 16384");
    // Were the limit not heeded, the server would run out of files and accept nothing more.
    let _clients: Vec<_> = (0..120).map(|_| Client::connect(server.address)).collect();
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn a_burst_of_connections_does_not_use_up_the_open_files() {
    let server = with_ulimit("-n 100", &[]);
    // Long enough for a hundred to wait for the server.
    server.program.signal(Signal::STOP);
    let _clients: Vec<_> = (0..100).map(|_| Client::connect(server.address)).collect();
    server.program.signal(Signal::CONT);
    assert_eq!(get(server.address, "/healthz").status, 200);
    let log = server.program.log();
    assert!(!log.contains("cannot accept connections"), "{log}");
}
