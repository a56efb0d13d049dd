//! Clients that have closed their side of the connection, as `printf ... | nc` does, and still want their answer.

use std::fs::OpenOptions;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use crate::client::{Client, head};
use crate::process::{Server, eventually};

/// More than sockets hold.
const LINES: usize = 700_000;

fn ask_and_close(server: &Server, path: &str) -> Client {
    let mut client = Client::connect(server.address);
    client.send(head("GET", path, &[]));
    client.stream().shutdown(Shutdown::Write).unwrap();
    client
}

fn lines() -> Vec<u8> {
    (0..LINES).flat_map(|number| format!("{number}\n").into_bytes()).collect()
}

#[test]
fn a_follower_gets_all_that_is_there_and_a_proper_end() {
    let content = lines();
    let server = Server::serving(&content);
    let mut client = ask_and_close(&server, "/data?follow");
    assert_eq!(client.answer_head().status, 200);
    let (body, is_whole) = unchunked(&client.rest());
    assert!(is_whole && body == content, "{} of {} bytes", body.len(), content.len());
}

#[test]
fn an_event_stream_has_all_that_is_there_and_a_proper_end() {
    let server = Server::serving(lines());
    let mut client = ask_and_close(&server, "/data?offset=-1&live=sse");
    assert_eq!(client.answer_head().status, 200);
    let (body, is_whole) = unchunked(&client.rest());
    let text = String::from_utf8(body).unwrap();
    assert!(is_whole && text.contains(&format!("data:{}\n", LINES - 1)), "{} bytes", text.len());
    let numbers = text.lines().filter_map(|line| line.strip_prefix("data:")?.parse::<usize>().ok());
    assert!(numbers.eq(0..LINES));
}

#[test]
fn a_long_poll_has_its_answer() {
    let server = Server::serving("1\n");
    let mut client = ask_and_close(&server, "/data?offset=-1&live=long-poll");
    assert_eq!(client.answer(false).text(), "1\n");
    let asked = Instant::now();
    let mut client = ask_and_close(&server, "/data?offset=now&live=long-poll");
    assert_eq!(client.answer(false).status, 204);
    assert!(asked.elapsed() < Duration::from_secs(18), "it waits less long for who may have gone");
    let mut client = ask_and_close(&server, "/data?offset=now&live=long-poll");
    eventually("it waits", || {
        crate::client::get(server.address, "/metrics").text().contains("\necho_live_clients 1\n")
    });
    server.append("2\n");
    assert_eq!(client.answer(false).text(), "2\n");
}

#[test]
fn a_stream_that_is_cut_does_not_look_complete() {
    let server = Server::serving(lines());
    let mut client = Client::connect(server.address);
    client.send(head("GET", "/data", &[]));
    let mut answer = client.answer_head();
    OpenOptions::new().write(true).open(server.file()).unwrap().set_len(10).unwrap();
    client.answer_body(&mut answer);
    assert!(answer.cut_short);
}

/// Takes chunks apart; tells whether the last one is there.
fn unchunked(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let length = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
        if length == 0 {
            return (body, bytes == b"0\r\n\r\n");
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
    (body, false)
}
