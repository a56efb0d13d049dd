//! Offsets and live reads: reading on from a place, now, when something comes, or for ever.

use std::fs;

use crate::client::{Answer, Client, get, head, request};
use crate::process::{Server, eventually};

const FOREIGN: &str = "00000000000000aa_00000000000000000002";

/// The offset behind all that the file holds now.
pub fn end(server: &Server) -> String {
    get(server.address, "/data?offset=now").the("stream-next-offset").to_owned()
}

/// Begins a request whose answer is live, and receives its head.
pub fn begin(server: &Server, query: &str, headers: &[&str]) -> (Client, Answer) {
    let mut client = Client::connect(server.address);
    client.send(head("GET", &format!("/data?{query}"), headers));
    let answer = client.answer_head();
    (client, answer)
}

/// Begins a long-poll that has to wait, and lets it wait.
fn wait_for_more(server: &Server, offset: &str) -> Client {
    let mut client = Client::connect(server.address);
    client.send(head("GET", &format!("/data?offset={offset}&live=long-poll"), &[]));
    eventually("the long-poll waits", || live_clients(server) > 0);
    client
}

pub fn live_clients(server: &Server) -> u64 {
    figure(server, "echo_live_clients")
}

pub fn figure(server: &Server, name: &str) -> u64 {
    let metrics = get(server.address, "/metrics");
    let value = metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

#[test]
fn catching_up_gives_what_follows_an_offset() {
    let server = Server::serving("1\n22\n");
    let all = get(server.address, "/data?offset=-1");
    assert_eq!((all.status, all.text(), all.the("stream-up-to-date")), (200, "1\n22\n", "true"));
    let generation = end(&server).split('_').next().unwrap().to_owned();
    assert_eq!(all.the("etag"), format!("\"{generation}-0-5\""));
    server.append("333\n4");
    let path = format!("/data?offset={}", all.the("stream-next-offset"));
    let rest = get(server.address, &path);
    assert_eq!((rest.status, rest.text()), (200, "333\n"));
    let nothing = get(server.address, &format!("/data?offset={}", rest.the("stream-next-offset")));
    assert_eq!((nothing.status, nothing.text(), nothing.the("stream-up-to-date")), (200, "", "true"));
    assert_eq!(nothing.the("stream-next-offset"), rest.the("stream-next-offset"));
}

#[test]
fn now_is_the_end_and_not_to_be_stored() {
    let server = Server::serving("1\n");
    let now = get(server.address, "/data?offset=now");
    assert_eq!((now.status, now.text(), now.the("cache-control")), (200, "", "no-store"));
    assert_eq!(now.the("stream-next-offset"), get(server.address, "/data").the("stream-next-offset"));
}

#[test]
fn with_an_offset_ranges_and_conditions_are_ignored() {
    let server = Server::serving("1\n22\n");
    let etag = get(server.address, "/data").the("etag").to_owned();
    let headers = ["Range: bytes=0-0", &format!("If-None-Match: {etag}"), "If-Match: \"x\""];
    let answer = request(server.address, "GET", "/data?offset=-1", &headers);
    assert_eq!((answer.status, answer.text()), (200, "1\n22\n"));
}

#[test]
fn the_first_place_is_the_start_of_any_file() {
    let server = Server::serving("");
    let empty = end(&server);
    server.append("1\n");
    assert_eq!(get(server.address, &format!("/data?offset={empty}")).text(), "1\n");
}

#[test]
fn an_offset_that_leads_nowhere_is_told_apart() {
    let server = Server::serving("1\n22\n");
    let past = end(&server).replace("00005", "00009");
    for (query, status) in [
        ("offset=".to_owned(), 400),
        ("offset=5".to_owned(), 400),
        ("live=sse".to_owned(), 400),
        ("live=long-poll".to_owned(), 400),
        ("live=other&offset=-1".to_owned(), 400),
        ("follow&live=sse&offset=-1".to_owned(), 400),
        (format!("offset={FOREIGN}"), 410),
        (format!("offset={FOREIGN}&live=long-poll"), 410),
        (format!("offset={FOREIGN}&live=sse"), 410),
        (format!("offset={FOREIGN}&follow"), 410),
        (format!("offset={past}"), 503),
    ] {
        let answer = get(server.address, &format!("/data?{query}"));
        assert_eq!(answer.status, status, "{query}");
        assert_eq!(answer.header("retry-after").is_some(), status == 503, "{query}");
    }
}

#[test]
fn the_file_cannot_be_changed() {
    let server = Server::serving("1\n");
    for method in ["PUT", "POST", "DELETE"] {
        assert_eq!(request(server.address, method, "/data?offset=-1", &[]).status, 405);
    }
}

#[test]
fn a_long_poll_is_answered_at_once_when_there_is_more() {
    let server = Server::serving("1\n");
    let answer = get(server.address, "/data?offset=-1&live=long-poll");
    assert_eq!((answer.status, answer.text(), answer.the("stream-up-to-date")), (200, "1\n", "true"));
    let cursor: u64 = answer.the("stream-cursor").parse().unwrap();
    let again = get(server.address, &format!("/data?offset=-1&live=long-poll&cursor={}", cursor + 100));
    assert!(again.the("stream-cursor").parse::<u64>().unwrap() > cursor + 100);
}

#[test]
fn a_long_poll_waits_for_a_whole_line() {
    let server = Server::serving("1\n");
    let mut client = wait_for_more(&server, &end(&server));
    server.append("2");
    server.append("2\n");
    let answer = client.answer(false);
    assert_eq!((answer.status, answer.text()), (200, "22\n"));
    assert_eq!(answer.the("stream-next-offset"), end(&server));
}

#[test]
fn a_replica_that_lags_is_waited_for() {
    let server = Server::serving("1\n22\n");
    let past = end(&server).replace("00005", "00009");
    let mut client = wait_for_more(&server, &past);
    server.append("333\n4444\n");
    assert_eq!(client.answer(false).text(), "4444\n");
}

#[test]
fn a_long_poll_of_a_file_that_is_replaced_gets_its_rest_or_is_told() {
    let server = Server::serving("1\n");
    let mut client = wait_for_more(&server, &end(&server));
    server.replace("9\n");
    assert_eq!(client.answer(false).status, 410);
    // What comes in the last moment of the old file is not lost, though only its open descriptor leads there.
    let mut client = wait_for_more(&server, &end(&server));
    let old = server.folder.path().join("old");
    fs::hard_link(server.file(), &old).unwrap();
    server.replace("5\n");
    let mut late = fs::OpenOptions::new().append(true).open(&old).unwrap();
    std::io::Write::write_all(&mut late, b"10\n").unwrap();
    let answer = client.answer(false);
    assert!(answer.status == 410 || answer.text() == "10\n", "{answer:?}");
}

#[test]
fn a_long_poll_ends_after_its_wait() {
    let server = Server::serving("1\n");
    let answer = get(server.address, &format!("/data?offset={}&live=long-poll", end(&server)));
    assert_eq!((answer.status, answer.the("stream-up-to-date")), (204, "true"));
    assert_eq!(answer.the("stream-next-offset"), end(&server));
    assert!(answer.header("stream-cursor").is_some());
}

#[test]
fn events_bring_the_lines_and_say_where_the_reader_is() {
    let server = Server::serving("1\n22\n");
    let (mut client, answer) = begin(&server, "offset=-1&live=sse", &[]);
    assert_eq!((answer.status, answer.the("content-type")), (200, "text/event-stream"));
    assert_eq!((answer.the("cache-control"), answer.the("x-accel-buffering")), ("no-cache", "no"));
    let first = client.until("\"upToDate\":true");
    let here = end(&server);
    let data = format!("retry: 500\nevent: data\nid: {here}\ndata:1\ndata:22\ndata:\n\nevent: control\n");
    assert!(first.contains(&data), "{first}");
    server.append("333\n");
    let more = client.until("\"upToDate\":true");
    assert!(more.contains(&format!("event: data\nid: {}\ndata:333\ndata:\n\n", end(&server))), "{more}");
}

#[test]
fn the_last_event_id_wins_over_the_offset() {
    let server = Server::serving("1\n22\n");
    let here = end(&server);
    server.append("333\n");
    let (mut client, _) = begin(&server, "offset=-1&live=sse", &[&format!("Last-Event-ID: {here}")]);
    let events = client.until("\"upToDate\":true");
    assert!(events.contains("data:333\n") && !events.contains("data:22\n"), "{events}");
    let (_, answer) = begin(&server, "offset=-1&live=sse", &["Last-Event-ID: nonsense"]);
    assert_eq!(answer.status, 400);
}

#[test]
fn what_events_cannot_carry_is_replaced_and_long_poll_carries_it() {
    let server = Server::serving(b"a\rb\xff\n");
    let (mut client, _) = begin(&server, "offset=-1&live=sse", &[]);
    assert!(client.until("\"upToDate\":true").contains("data:a\u{fffd}b\u{fffd}\n"));
    assert_eq!(get(server.address, "/data?offset=-1&live=long-poll").body, b"a\rb\xff\n");
}

#[test]
fn a_character_in_a_long_line_is_not_cut() {
    for before in 0..4 {
        let content = [&b"\xff"[..], &vec![b'x'; (64 << 10) - 1 - before], "\u{1f600}yy\n".as_bytes()].concat();
        let server = Server::serving(content);
        let (mut client, _) = begin(&server, "offset=-1&live=sse", &[]);
        let events = client.until("\"upToDate\":true");
        assert!(events.contains("\u{1f600}"), "{before}");
        assert_eq!(events.matches('\u{fffd}').count(), 1, "{before}");
    }
}

#[test]
fn follow_prints_all_lines_and_then_each_new_one() {
    let server = Server::serving("1\n22\n");
    let (mut client, answer) = begin(&server, "follow", &[]);
    assert_eq!((answer.status, answer.the("content-type")), (200, "text/plain; charset=utf-8"));
    client.until("1\n22\n");
    server.append("33");
    server.append("3\n");
    client.until("333\n");
    let (mut client, _) = begin(&server, &format!("follow&offset={}", end(&server)), &[]);
    server.append("4444\n");
    assert!(!client.until("4444\n").contains("333"));
}

#[test]
fn a_live_client_that_goes_gives_its_place_back() {
    let folder = tempfile::TempDir::new().unwrap();
    fs::write(folder.path().join("data"), "1\n").unwrap();
    let server = Server::start_in(folder, &["--max-live", "1"]);
    let (client, answer) = begin(&server, "follow", &[]);
    assert_eq!(answer.status, 200);
    let (_, refused) = begin(&server, "follow", &[]);
    assert_eq!((refused.status, refused.the("retry-after")), (503, "1"));
    assert_eq!(get(server.address, "/data").status, 200);
    drop(client);
    eventually("the place is free", || begin(&server, "follow", &[]).1.status == 200);
}

#[test]
fn head_of_a_live_read_does_not_wait() {
    let server = Server::serving("1\n");
    let answer = request(server.address, "HEAD", "/data?offset=now&live=long-poll", &[]);
    assert_eq!((answer.status, answer.the("stream-next-offset").to_owned()), (200, end(&server)));
}

#[test]
fn head_of_an_answer_without_end_is_that_of_get() {
    let server = Server::serving("1\n");
    for query in ["follow", "follow&offset=now", "offset=-1&live=sse", "offset=now&live=sse"] {
        let (_, mut got) = begin(&server, query, &[]);
        let mut client = Client::connect(server.address);
        let mut headed = client.request("HEAD", &format!("/data?{query}"), &[]);
        for answer in [&mut got, &mut headed] {
            // The latter two say how the content comes, and what its end means: that is for the answer that has some.
            answer.headers.retain(|(name, _)| !["date", "transfer-encoding", "connection"].contains(&&**name));
        }
        assert_eq!(headed, got, "{query}");
        assert_eq!(client.get("/data").text(), "1\n", "no content came that was not asked for");
    }
    assert_eq!(request(server.address, "HEAD", &format!("/data?follow&offset={FOREIGN}"), &[]).status, 410);
}
