//! What requests may look like, and what holds for all answers on a connection.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{Answer, Client, get, head};
use crate::process::{BIG, Server, eventually};

/// One request for each kind of answer.
const KINDS: [(&str, &str, &[&str], u16); 14] = [
    ("GET", "/data", &[], 200),
    ("HEAD", "/data", &[], 200),
    ("GET", "/data", &["Range: bytes=1-2"], 206),
    ("GET", "/data", &["If-None-Match: *"], 304),
    ("HEAD", "/data", &["If-None-Match: *"], 304),
    ("GET", "/data", &["If-Match: \"x\""], 412),
    ("HEAD", "/data", &["If-Match: \"x\""], 412),
    ("GET", "/data", &["Range: bytes=99-"], 416),
    ("GET", "/nothing", &[], 404),
    ("HEAD", "/nothing", &[], 404),
    ("POST", "/data", &["Content-Length: 0"], 405),
    ("GET", "/", &[], 200),
    ("GET", "/healthz", &[], 200),
    ("GET", "/readyz", &[], 200),
];

#[test]
fn a_connection_goes_on_after_each_kind_of_answer() {
    let server = Server::serving("1\n22\n333\n");
    let mut client = Client::connect(server.address);
    for (method, path, headers, status) in KINDS {
        // Twice, so that each also stands after each; a stray byte would be taken for the head of the next answer.
        for _ in 0..2 {
            let answer = client.request(method, path, headers);
            assert_eq!(answer.status, status, "{method} {path} {headers:?}");
            assert_eq!(answer.header("connection"), None);
            assert_eq!(client.get("/data").text(), "1\n22\n333\n", "after {method} {path} {headers:?}");
        }
    }
    fs::remove_file(server.file()).unwrap();
    for method in ["GET", "HEAD", "GET"] {
        assert_eq!(client.request(method, "/data", &[]).status, 503);
        assert_eq!(client.request(method, "/readyz", &[]).status, 503);
    }
    server.append("1\n");
    assert_eq!(client.get("/data").text(), "1\n");
}

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    let server = Server::serving("1\n22\n333\n");
    let mut client = Client::connect(server.address);
    let all: String = KINDS.iter().map(|(method, path, headers, _)| head(method, path, headers)).collect();
    client.send(all.repeat(3));
    for _ in 0..3 {
        for (method, path, headers, status) in KINDS {
            assert_eq!(client.answer(method == "HEAD").status, status, "{method} {path} {headers:?}");
        }
    }
}

/// `nosniff` is on all, and without being asked to, no site's script is let in.
#[test]
fn every_answer_has_the_headers_that_keep_browsers_safe() {
    let server = Server::serving("1\n22\n333\n");
    let mut client = Client::connect(server.address);
    let origin = ["Origin: http://elsewhere.example"];
    let mut check = |method, path, headers: &[&str], status| {
        let answer = client.request(method, path, &[headers, &origin].concat());
        assert_eq!(answer.status, status);
        assert_eq!(answer.the("x-content-type-options"), "nosniff", "{method} {path} {headers:?}");
        let cors = answer.headers.iter().find(|(name, _)| name.starts_with("access-control-"));
        assert_eq!(cors, None, "{method} {path} {headers:?}");
    };
    for (method, path, headers, status) in KINDS {
        check(method, path, headers, status);
    }
    check("OPTIONS", "/data", &["Access-Control-Request-Method: GET"], 204);
    fs::remove_file(server.file()).unwrap();
    check("GET", "/data", &[], 503);
    check("GET", "/readyz", &[], 503);
}

#[test]
fn the_absolute_form_means_the_same() {
    let server = Server::serving("1\n");
    let mut client = Client::connect(server.address);
    for (target, status) in [
        ("http://test/data", 200),
        ("http://elsewhere.example:81/data", 200),
        ("HTTP://test/data", 200),
        ("https://test/data", 200),
        ("http://test/%64ata", 200),
        ("http://test/healthz", 200),
        ("http://test/", 200),
        ("http://test", 200),
        ("http://test/nothing", 404),
        ("http://data/", 200),
        ("http://data/data/data", 404),
    ] {
        let answer = client.get(target);
        assert_eq!(answer.status, status, "{target}");
        assert_eq!(answer.text() == "1\n", target.ends_with("ata") && status == 200, "{target}");
    }
}

#[test]
fn http_1_0_is_answered_and_the_connection_closed() {
    let server = Server::serving("1\n22\n");
    for headers in ["", "Host: test\r\n", "Connection: close\r\n"] {
        let mut client = Client::connect(server.address);
        client.send(format!("GET /data HTTP/1.0\r\n{headers}\r\n"));
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.the("content-length"), answer.text()), (200, "5", "1\n22\n"));
        assert_eq!(answer.header("transfer-encoding"), None);
        assert_eq!(client.rest(), b"");
    }
    for (headers, status) in
        [("Range: bytes=2-3\r\n", 206), ("Range: bytes=9-\r\n", 416), ("If-None-Match: *\r\n", 304)]
    {
        let mut client = Client::connect(server.address);
        client.send(format!("GET /data HTTP/1.0\r\n{headers}\r\n"));
        assert_eq!(client.answer(false).status, status, "{headers:?}");
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn http_1_0_may_keep_its_connection() {
    let server = Server::serving("1\n22\n");
    let mut client = Client::connect(server.address);
    for method in ["GET", "HEAD", "GET"] {
        client.send(format!("{method} /data HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
        let answer = client.answer(method == "HEAD");
        assert_eq!((answer.status, answer.the("content-length")), (200, "5"));
        // Otherwise the client would take the connection for closed.
        assert_eq!(answer.the("connection").to_lowercase(), "keep-alive");
    }
}

#[test]
fn a_client_may_ask_for_the_connection_to_be_closed() {
    let server = Server::serving("1\n");
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/data").text(), "1\n");
    let answer = client.request("GET", "/data", &["Connection: close"]);
    assert_eq!((answer.text(), answer.the("connection")), ("1\n", "close"));
    assert_eq!(client.rest(), b"");
}

/// A short answer and a long one are sent in two ways.
#[test]
fn a_connection_goes_on_exactly_where_nothing_says_that_it_ends() {
    for server in [Server::serving("1\n"), Server::of_a_big_file(&[])] {
        for (version, headers, goes_on) in [
            ("1.1", "", true),
            ("1.1", "Connection: keep-alive\r\n", true),
            ("1.1", "Connection: TE\r\n", true),
            ("1.1", "Connection: TE, Close\r\n", false),
            ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
            ("1.0", "", false),
            ("1.0", "Connection: Keep-Alive\r\n", true),
            ("1.0", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ] {
            let request = format!("GET /data HTTP/{version}\r\nHost: test\r\n{headers}\r\n");
            let mut client = Client::connect(server.address);
            client.send(&request);
            let answer = client.answer(false);
            let announced = answer.header("connection").map(str::to_lowercase);
            if goes_on {
                assert_eq!(announced.as_deref(), (version == "1.0").then_some("keep-alive"), "{request}");
                client.send(&request);
                assert_eq!(client.answer(false).body, answer.body, "{request}");
            } else {
                // For HTTP/1.0 it goes without saying.
                assert!(announced.as_deref() == Some("close") || announced.is_none() && version == "1.0", "{request}");
                assert_eq!(client.rest(), b"", "{request}");
            }
        }
    }
}

#[test]
fn requests_behind_a_long_answer_are_answered_though_the_client_asks_to_keep_the_connection() {
    let server = Server::of_a_big_file(&[]);
    let mut client = Client::connect(server.address);
    client.send(head("GET", "/data", &["Connection: keep-alive"]).repeat(3));
    for _ in 0..3 {
        let answer = client.answer(false);
        assert_eq!((answer.body.len() as u64, answer.header("connection")), (BIG, None));
    }
}

#[test]
fn what_ends_the_connection_of_itself_says_so() {
    let server = Server::of_a_big_file(&[]);
    for (request, what) in [
        ("GET /data HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi", "a body"),
        ("GET /data?follow HTTP/1.1\r\nHost: test\r\n\r\n", "follow"),
        ("GET /data?offset=-1&live=sse HTTP/1.1\r\nHost: test\r\n\r\n", "events"),
        ("GET /data?follow HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "follow of HTTP/1.0"),
    ] {
        let mut client = Client::connect(server.address);
        client.send(request);
        assert_eq!(client.answer_head().the("connection"), "close", "{what}");
    }
}

/// Takes an answer of which only the head has been received, and checks that the connection ends behind it, and not by a
/// reset: that would throw away what is still on its way.
fn assert_whole_to_the_end(mut client: Client, mut answer: Answer, what: &str) {
    client.answer_body(&mut answer);
    assert_eq!(answer.body.len() as u64, BIG, "{what}");
    assert_eq!(client.stream().read(&mut [0]).map_err(|error| error.kind()), Ok(0), "{what}");
}

#[test]
fn an_answer_is_not_torn_by_what_the_client_sends_behind_its_request() {
    let server = Server::of_a_big_file(&[]);
    for (request, behind) in [
        (head("GET", "/data", &["Connection: close"]), "\r\n".to_owned()),
        (head("GET", "/data", &["Connection: close"]), head("GET", "/data", &[])),
        (head("GET", "/data", &["Content-Length: 50000", "Connection: close"]), "x".repeat(50_000)),
        ("GET /data HTTP/1.0\r\n\r\n".to_owned(), "\r\n".to_owned()),
    ] {
        let mut client = Client::connect(server.address);
        client.send(&request);
        let answer = client.answer_head();
        client.send(behind);
        assert_whole_to_the_end(client, answer, &request);
    }
}

#[test]
fn a_connection_that_has_ended_is_not_left_to_its_client_for_ever() {
    let server = Server::of_a_big_file(&[]);
    let ended = || {
        let mut client = Client::connect(server.address);
        client.send(head("GET", "/data", &["Connection: close"]));
        let mut answer = client.answer_head();
        client.answer_body(&mut answer);
        assert_eq!(client.receive(), 0);
        client
    };
    let mut chatty = ended();
    eventually("who goes on sending is cut off", || chatty.stream().write_all(&[0; 4096]).is_err());
    let _silent = ended();
    eventually("who does not close is cut off", || {
        get(server.address, "/metrics").text().contains("\necho_open_connections 1\n")
    });
}

/// As `printf ... | nc -N` does it.
#[test]
fn a_client_that_has_sent_its_last_byte_gets_all_answers() {
    for (server, length) in [(Server::serving("1\n"), 2), (Server::of_a_big_file(&[]), BIG)] {
        let mut client = Client::connect(server.address);
        client.get("/healthz"); // its socket is known, so that request and end are seen in one
        server.program.signal(Signal::STOP);
        client.send(head("GET", "/data", &[]).repeat(3));
        client.stream().shutdown(Shutdown::Write).unwrap();
        server.program.signal(Signal::CONT);
        for _ in 0..3 {
            assert_eq!(client.answer(false).body.len() as u64, length);
        }
        assert_eq!(client.rest(), b"");
    }
}

#[test]
fn a_client_that_goes_is_missed_though_it_waits_for_new_lines() {
    let server = Server::serving("1\n");
    let nobody_waits = || get(server.address, "/metrics").text().contains("\necho_live_clients 0\n");
    for path in ["/data?offset=now&live=long-poll", "/data?offset=now&live=sse", "/data?follow&offset=now"] {
        let mut client = Client::connect(server.address);
        client.send(head("GET", path, &[]));
        eventually("it waits", || !nobody_waits());
        let gone = Instant::now();
        drop(client);
        eventually("it is missed", nobody_waits);
        assert!(gone.elapsed() < Duration::from_secs(15), "{path}: after {:?}", gone.elapsed());
    }
}

/// The body is not read, so nothing behind it can be a request.
#[test]
fn a_request_with_a_body_is_told_that_the_connection_ends() {
    let server = Server::serving("1\n");
    for (method, framing, body) in [
        ("POST", "Content-Length: 3", "abc"),
        ("GET", "Content-Length: 3", "abc"),
        ("GET", "Transfer-Encoding: chunked", "0\r\n\r\n"),
        ("HEAD", "Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"),
    ] {
        let mut client = Client::connect(server.address);
        client.send(head(method, "/data", &[framing]) + body);
        assert_eq!(client.answer(method == "HEAD").the("connection"), "close", "{method} {framing}");
        assert_eq!(client.rest(), b"", "{method} {framing}");
        client = Client::connect(server.address);
        assert_eq!(client.request(method, "/data", &["Content-Length: 0"]).header("connection"), None, "{method}");
    }
}
