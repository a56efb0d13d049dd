//! The end of a server: at once when there is nothing to do, and without a torn answer when there is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{connect, get, head};
use crate::postgres::{Database, database};
use crate::process::{Web, eventually};
use crate::programs::Echo;

/// A server with an answer under way that its client does not take, and the client.
fn with_an_answer_under_way(database: &Database, arguments: &[&str]) -> (Web, TcpStream) {
    let server = Web::start(database.web().args(arguments));
    server.program.logged("the database is there");
    database.sql("INSERT INTO lines (data) SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
    let mut stream = connect(server.address);
    stream.write_all(head("GET", "/read", &[]).as_bytes()).unwrap();
    stream.read_exact(&mut [0; 100]).unwrap();
    (server, stream)
}

#[test]
fn an_idle_server_ends_at_once() {
    let Some(database) = database() else { return };
    let echo = Echo::serving("1\n");
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Web::start(database.web().env("WEB_FOLLOW", echo.url()));
        server.program.logged("following");
        let _idle = connect(server.address);
        let mut begun = connect(server.address);
        begun.write_all(b"GET /read HTTP/1.1\r\n").unwrap();
        let asked = Instant::now();
        server.program.signal(signal);
        assert_eq!(server.program.ended().code(), Some(0), "{}", server.program.log());
        assert!(asked.elapsed() < Duration::from_secs(8), "the drain timeout is not waited for");
    }
}

#[test]
fn a_draining_server_serves_on_and_asks_clients_to_go() {
    let Some(database) = database() else { return };
    let server = Web::start(database.web().args(["--drain-delay", "1h"]));
    server.program.logged("the database is there");
    server.program.signal(Signal::TERM);
    eventually("the server is unready", || get(server.address, "/readyz").status == 503);
    assert_eq!(get(server.address, "/readyz").json()["reason"], "the server is stopping");
    assert_eq!(get(server.address, "/healthz").status, 200);
    let answer = get(server.address, "/read");
    assert_eq!((answer.status, answer.the("connection")), (200, "close"));
}

#[test]
fn an_answer_under_way_is_not_torn() {
    let Some(database) = database() else { return };
    let (mut server, mut stream) = with_an_answer_under_way(&database, &["--drain-timeout", "1h"]);
    server.program.signal(Signal::TERM);
    eventually("connections are refused", || TcpStream::connect(server.address).is_err());
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"]}\r\n0\r\n\r\n"));
    assert_eq!(server.program.ended().code(), Some(0));
}

#[test]
fn an_answer_that_nobody_takes_is_cut_off() {
    let Some(database) = database() else { return };
    let (mut server, mut stream) = with_an_answer_under_way(&database, &["--drain-timeout", "300ms"]);
    server.program.signal(Signal::TERM);
    assert_eq!(server.program.ended().code(), Some(0));
    server.program.logged("1 answers were not taken within 300ms");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}

#[test]
fn a_second_signal_ends_it_at_once_but_not_the_echo_of_the_first() {
    let Some(database) = database() else { return };
    let (mut server, _stream) = with_an_answer_under_way(&database, &["--drain-timeout", "1h"]);
    server.program.signal(Signal::TERM);
    server.program.logged("stopping on SIGTERM");
    server.program.signal(Signal::INT);
    eventually("connections are refused", || TcpStream::connect(server.address).is_err());
    std::thread::sleep(Duration::from_millis(600));
    assert!(server.program.is_running());
    server.program.signal(Signal::INT);
    assert_eq!(server.program.ended().code(), Some(1));
}
