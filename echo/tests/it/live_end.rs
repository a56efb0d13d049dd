//! How live reads end, or go on: when the file is truncated, replaced or deleted, and when the server stops.

use std::fs;

use rustix::process::Signal;

use crate::client::{Client, get, head};
use crate::live::{begin, end, figure, live_clients};
use crate::process::{BIG, Server, eventually};

/// Cuts the file off in place.
fn truncate(server: &Server, length: u64) {
    fs::OpenOptions::new().write(true).open(server.file()).unwrap().set_len(length).unwrap();
}

#[test]
fn events_of_a_file_that_is_replaced_end_with_a_reset() {
    let server = Server::serving("1\n");
    let (mut client, _) = begin(&server, "offset=-1&live=sse", &[]);
    client.until("\"upToDate\":true");
    server.replace("9\n");
    let events = client.until("0\r\n\r\n");
    assert!(events.contains("event: reset\n"), "{events}");
}

#[test]
fn an_empty_file_that_gets_its_first_line_is_no_other_file() {
    let server = Server::serving("");
    let (mut events, _) = begin(&server, "offset=-1&live=sse", &[]);
    let (mut plain, _) = begin(&server, "follow", &[]);
    events.until("\"upToDate\":true");
    server.append("1\n");
    assert!(!events.until("data:1\n").contains("reset"));
    plain.until("1\n");
}

#[test]
fn follow_ends_with_the_file_that_it_began_with() {
    let server = Server::serving("1\n");
    let (mut client, _) = begin(&server, "follow", &[]);
    client.until("1\n");
    server.replace("9\n");
    let rest = client.until("0\r\n\r\n");
    assert!(!rest.contains('9'), "{rest}");
}

#[test]
fn live_answers_end_when_the_file_is_truncated() {
    let server = Server::serving("1\n22\n333\n");
    let (mut events, _) = begin(&server, "offset=-1&live=sse", &[]);
    let (mut plain, _) = begin(&server, "follow", &[]);
    events.until("\"upToDate\":true");
    plain.until("333\n");
    let mut poll = Client::connect(server.address);
    poll.send(head("GET", "/data?offset=now&live=long-poll", &[]));
    eventually("all three wait", || live_clients(&server) == 3);
    truncate(&server, 2);
    server.program.wait_for_log("the file was truncated");
    server.append("zzzzzzzzzzzz\nyy\n");
    let (events, plain) = (events.until("0\r\n\r\n"), plain.until("0\r\n\r\n"));
    assert!(events.contains("event: reset\n") && !events.contains('z'), "{events}");
    assert!(!plain.contains('z') && !plain.contains('y'), "{plain}");
    assert_eq!(poll.answer(false).status, 410);
}

/// A client that is slow comes upon the truncation only when the file is long enough again.
#[test]
fn a_live_answer_that_lags_ends_when_the_file_is_truncated() {
    let folder = tempfile::TempDir::new().unwrap();
    let count = BIG as usize / 2;
    fs::write(folder.path().join("data"), "1\n".repeat(count)).unwrap();
    let server = Server::start_in(folder, &[]);
    let (plain, _) = begin(&server, "follow", &[]);
    let (mut witness, _) = begin(&server, "offset=now&live=sse", &[]);
    witness.until("\"upToDate\":true");
    eventually("nothing more is taken", || stops_sending(&server));
    truncate(&server, 2);
    witness.until("event: reset");
    server.append("zzzzzz\n".repeat(count));
    let rest = String::from_utf8(plain.rest()).unwrap();
    let end = &rest[rest.len().saturating_sub(100)..];
    assert!(rest.ends_with("\r\n0\r\n\r\n") && !rest.contains('z'), "{} bytes end in {end:?}", rest.len());
}

/// Whether all clients have all that they will take unless they read.
fn stops_sending(server: &Server) -> bool {
    let before = figure(server, "echo_served_bytes_total");
    std::thread::sleep(std::time::Duration::from_millis(100));
    before > 0 && figure(server, "echo_served_bytes_total") == before
}

#[test]
fn an_incomplete_line_that_is_cut_off_ends_no_live_answer() {
    let server = Server::serving("1\n22");
    let (mut events, _) = begin(&server, "offset=-1&live=sse", &[]);
    let (mut plain, _) = begin(&server, "follow", &[]);
    events.until("\"upToDate\":true");
    plain.until("1\n");
    truncate(&server, 2);
    server.append("333\n");
    plain.until("333\n");
    assert!(!events.until("data:333\n").contains("reset"));
}

#[test]
fn what_came_between_truncation_and_the_next_look_is_told() {
    let server = Server::serving("1\n22\n333\n");
    for _ in 0..5 {
        let (mut first, _) = begin(&server, "follow&offset=now", &[]);
        truncate(&server, 5);
        let mut poll = Client::connect(server.address);
        poll.send(head("GET", &format!("/data?offset={}&live=long-poll", end(&server)), &[]));
        get(server.address, "/healthz"); // one thread serves all, so the long-poll waits now
        server.append("444\n");
        assert_eq!(poll.answer(false).text(), "444\n");
        first.until("0\r\n\r\n");
        eventually("the place is free", || live_clients(&server) == 0);
    }
}

#[test]
fn what_an_empty_file_got_before_it_was_replaced_comes_first() {
    let server = Server::serving("");
    let (mut events, _) = begin(&server, "offset=-1&live=sse", &[]);
    let (mut plain, _) = begin(&server, "follow", &[]);
    events.until("\"upToDate\":true");
    server.append("x\n");
    server.replace("y\n");
    let (events, plain) = (events.until("0\r\n\r\n"), plain.until("0\r\n\r\n"));
    assert!(events.contains("data:x\n") && events.contains("event: reset\n"), "{events}");
    assert!(plain.contains("x\n") && !plain.contains('y'), "{plain}");
}

#[test]
fn an_empty_file_that_is_replaced_is_no_other_file() {
    let server = Server::serving("");
    let (mut events, _) = begin(&server, "offset=-1&live=sse", &[]);
    events.until("\"upToDate\":true");
    server.replace("");
    server.append("1\n");
    assert!(!events.until("data:1\n").contains("reset"));
}

#[test]
fn live_answers_end_properly_when_the_server_stops() {
    let mut server = Server::serving("1\n");
    let (mut events, _) = begin(&server, "offset=now&live=sse", &[]);
    let (mut plain, _) = begin(&server, "follow&offset=now", &[]);
    let mut poll = Client::connect(server.address);
    poll.send(head("GET", "/data?offset=now&live=long-poll", &[]));
    eventually("all three wait", || live_clients(&server) == 3);
    server.program.signal(Signal::TERM);
    events.until("0\r\n\r\n");
    plain.until("0\r\n\r\n");
    assert_eq!(poll.answer(false).status, 204);
    assert_eq!(server.program.ended().code(), Some(0));
}

#[test]
fn a_deleted_file_is_let_go_after_the_last_live_client() {
    let server = Server::serving("1\n");
    let (mut client, _) = begin(&server, "follow", &[]);
    client.until("1\n");
    server.append("22\n");
    client.until("22\n"); // somebody looks at the file for the client
    drop(client);
    eventually("the place is free", || live_clients(&server) == 0);
    // Nothing shows when the last look for the client is over. If it is not yet, the test proves nothing, and passes.
    std::thread::sleep(std::time::Duration::from_millis(200));
    server.replace("9\n");
    let folder = format!("/proc/{}/fd", server.program.pid());
    let is_open = |entry: std::io::Result<fs::DirEntry>| {
        fs::read_link(entry.unwrap().path()).is_ok_and(|file| file.to_string_lossy().ends_with(" (deleted)"))
    };
    eventually("the old file is closed", || {
        assert_eq!(get(server.address, "/data").text(), "9\n");
        !fs::read_dir(&folder).unwrap().any(is_open)
    });
}
