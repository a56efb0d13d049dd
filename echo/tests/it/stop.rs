//! The end of a server: at once when there is nothing to do, and without a torn answer when there is.

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Client, get, head};
use crate::generator::generator;
use crate::process::{BIG, Program, Server, eventually};

/// How long an idle program may take to end.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Checks that `signal` ends each program that `start` makes with status 0, and at once. The quickest of three counts: what
/// a program waits for it waits for every time, a busy machine does not.
fn ends_at_once(signal: Signal, start: impl Fn() -> Server) {
    let mut took = Vec::new();
    while took.len() < 3 && took.iter().all(|took| *took > AT_ONCE) {
        let mut server = start();
        let asked = Instant::now();
        server.program.signal(signal);
        let status = server.program.ended();
        took.push(asked.elapsed());
        assert_eq!(status.code(), Some(0), "{}", server.program.log());
        server.program.log_to_the_end();
    }
    assert!(took.iter().any(|took| *took <= AT_ONCE), "{took:?}");
}

fn with_generator() -> Server {
    let family = Server::start(&["--", generator()]);
    eventually("both programs work", || get(family.address, "/data").status == 200);
    family
}

#[test]
fn sigterm_ends_an_idle_server_at_once() {
    ends_at_once(Signal::TERM, || Server::start(&[]));
}

#[test]
fn sigint_ends_an_idle_server_at_once() {
    ends_at_once(Signal::INT, || Server::start(&[]));
}

#[test]
fn sigterm_ends_server_and_generator_at_once() {
    ends_at_once(Signal::TERM, with_generator);
}

#[test]
fn sigint_ends_server_and_generator_at_once() {
    ends_at_once(Signal::INT, with_generator);
}

/// Asks a program to stop, and waits until it has taken notice.
fn stop(program: &Program) {
    program.signal(Signal::TERM);
    program.wait_for_log("stopping on SIGTERM");
}

#[test]
fn a_draining_server_serves_on_and_asks_clients_to_go() {
    let server = Server::start(&["--drain-delay", "1h"]);
    server.append("1\n");
    let mut before = Client::connect(server.address);
    assert_eq!(before.get("/readyz").header("connection"), None);
    stop(&server.program);
    eventually("the server is unready", || get(server.address, "/readyz").status == 503);

    assert!(get(server.address, "/readyz").text().contains("the server is stopping"));
    assert_eq!(get(server.address, "/healthz").status, 200);
    let answer = get(server.address, "/data");
    assert_eq!((answer.status, answer.the("connection"), answer.text()), (200, "close", "1\n"));
    // A connection from before gets one more answer.
    assert_eq!(before.get("/data").the("connection"), "close");
    assert_eq!(before.receive(), 0, "and is closed then");
}

#[test]
fn after_the_drain_delay_no_connection_is_accepted() {
    let mut server = Server::of_a_big_file(&["--drain-delay", "100ms", "--drain-timeout", "1h"]);
    let (mut client, mut answer) = Client::with_an_answer_under_way(server.address);
    stop(&server.program);
    eventually("connections are refused", || TcpStream::connect(server.address).is_err());
    // The server lives on for the answer that had begun.
    client.answer_body(&mut answer);
    assert_eq!(answer.body.len() as u64, BIG);
    assert_eq!(client.receive(), 0, "closed after the answer");
    assert_eq!(server.program.ended().code(), Some(0));
}

#[test]
fn a_live_answer_that_lags_ends_with_a_whole_line() {
    let line = format!("{}\n", "x".repeat(1 << 20));
    let folder = tempfile::TempDir::new().unwrap();
    std::fs::write(folder.path().join("data"), line.repeat((BIG >> 20) as usize)).unwrap();
    let mut server = Server::start_in(folder, &["--drain-timeout", "1h"]);
    let [plain, events] = ["follow", "offset=-1&live=sse"].map(|query| {
        let mut client = Client::connect(server.address);
        client.send(head("GET", &format!("/data?{query}"), &[]));
        client.answer_head();
        client
    });
    stop(&server.program);
    eventually("connections are refused", || TcpStream::connect(server.address).is_err());
    for (client, end) in [(plain, "\n\r\n0\r\n\r\n"), (events, "\n\n\r\n0\r\n\r\n")] {
        let rest = String::from_utf8(client.rest()).unwrap();
        assert!(rest.ends_with(end), "{}", &rest[rest.len().saturating_sub(100)..]);
        assert!((rest.len() as u64) < BIG, "all that was there was sent");
        let last = rest.rfind("event: data\n").map(|last| &rest[last..]);
        assert!(last.is_none_or(|last| last.contains("\ndata:\n\n")), "{last:?}");
    }
    assert_eq!(server.program.ended().code(), Some(0));
}

#[test]
fn an_answer_under_way_is_not_torn_by_the_next_request() {
    let mut server = Server::of_a_big_file(&["--drain-timeout", "1h"]);
    let (mut client, mut answer) = Client::with_an_answer_under_way(server.address);
    client.send(head("GET", "/data", &[]));
    stop(&server.program);
    client.answer_body(&mut answer);
    assert_eq!(answer.body.len() as u64, BIG);
    // A reset would throw away what is still on its way.
    assert_eq!(client.stream().read(&mut [0]).map_err(|error| error.kind()), Ok(0));
    drop(client);
    assert_eq!(server.program.ended().code(), Some(0));
}

#[test]
fn idle_connections_are_closed_while_an_answer_is_under_way() {
    let server = Server::of_a_big_file(&["--drain-timeout", "1h"]);
    let _under_way = Client::with_an_answer_under_way(server.address);
    let mut fresh = Client::connect(server.address);
    let mut used = Client::connect(server.address);
    used.get("/healthz");
    stop(&server.program);
    assert_eq!((used.receive(), fresh.receive()), (0, 0));
}

#[test]
fn idle_connections_do_not_delay_the_end() {
    let mut server = Server::start(&["--drain-timeout", "1h"]);
    let _fresh = Client::connect(server.address);
    let mut used = Client::connect(server.address);
    used.get("/healthz");
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.ended().code(), Some(0));
}

#[test]
fn an_incomplete_request_does_not_delay_the_end() {
    let mut server = Server::start(&["--drain-timeout", "1h"]);
    let mut first = Client::connect(server.address);
    first.send("GET /data HTTP/1.1\r\nHost:");
    let mut second = Client::connect(server.address);
    second.get("/healthz");
    second.send("GET /data HTTP/1.1\r\n");
    // Once this is answered, the others have been read: one thread serves all.
    get(server.address, "/healthz");
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.ended().code(), Some(0));
}

#[test]
fn an_answer_that_nobody_takes_is_cut_off_after_the_drain_timeout() {
    let mut server = Server::of_a_big_file(&["--drain-timeout", "300ms"]);
    let (mut client, mut answer) = Client::with_an_answer_under_way(server.address);
    let asked = Instant::now();
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.ended().code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_millis(300), "cut off after {:?}", asked.elapsed());
    client.answer_body(&mut answer);
    assert!(answer.cut_short);
    let log = server.program.log_to_the_end();
    assert!(log.contains("1 answers were not taken within 300ms"), "{log}");
}

#[test]
fn the_drain_timeout_begins_after_the_drain_delay() {
    let mut server = Server::of_a_big_file(&["--drain-delay", "300ms", "--drain-timeout", "300ms"]);
    let _under_way = Client::with_an_answer_under_way(server.address);
    let asked = Instant::now();
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.ended().code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_millis(600), "ended after {:?}", asked.elapsed());
}

/// Sends `signal` until the program has ended, which may not be within half a second after the first that it got.
fn insist(program: &mut Program, signal: Signal) -> Option<i32> {
    let mut status = None;
    eventually("the second signal ends it", || {
        status = program.child.try_wait().unwrap();
        if status.is_none() {
            program.signal(signal);
        }
        status.is_some()
    });
    status.unwrap().code()
}

#[test]
fn a_second_signal_ends_a_server_that_drains() {
    for [first, second] in [[Signal::TERM, Signal::TERM], [Signal::TERM, Signal::INT], [Signal::INT, Signal::TERM]] {
        let mut server = Server::of_a_big_file(&["--drain-delay", "1h", "--drain-timeout", "1h"]);
        let _under_way = Client::with_an_answer_under_way(server.address);
        let asked = Instant::now();
        server.program.signal(first);
        server.program.wait_for_log("stopping on SIG");
        assert_eq!(insist(&mut server.program, second), Some(1));
        assert!(asked.elapsed() > Duration::from_millis(500), "after {:?}", asked.elapsed());
    }
}

#[test]
fn two_signals_at_once_are_one() {
    for command in [&[][..], &["--", "sleep", "1000"]] {
        let mut server = Server::of_a_big_file(&[&["--drain-timeout", "1h"], command].concat());
        let (mut client, mut answer) = Client::with_an_answer_under_way(server.address);
        server.program.signal(Signal::INT);
        server.program.signal(Signal::TERM);
        server.program.logged("stopping on SIG");
        client.answer_body(&mut answer);
        assert_eq!(answer.body.len() as u64, BIG);
        assert_eq!(server.program.ended().code(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_server_and_command() {
    let mut family = Server::of_a_big_file(&["--drain-timeout", "1h", "--", "sleep", "1000"]);
    let _under_way = Client::with_an_answer_under_way(family.address);
    family.program.signal(Signal::TERM);
    family.program.logged("stopping on SIGTERM");
    let status = insist(&mut family.program, Signal::TERM);
    assert_eq!(status, Some(0), "both ended by themselves, as somebody asked them to");
    family.program.log_to_the_end();
}
