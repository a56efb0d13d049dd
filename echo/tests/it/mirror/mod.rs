//! A mirror: its file is a prefix of the upstream's, whatever happens between the two.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Answer, Client, get, head};
use crate::process::{Server, eventually};
use crate::upstream::{Fault, Link, Scripted};

mod folder;
mod lies;
mod lines;
mod plain;
mod refused;
mod replaced;

pub fn url(server: &Server) -> String {
    format!("http://{}/data", server.address)
}

/// Starts a mirror that has no file yet.
pub fn mirror(url: &str) -> Server {
    Server::start(&["--upstream", url])
}

/// Stops a mirror as a crash does, and returns its folder.
pub fn crash(mut mirror: Server) -> TempDir {
    mirror.program.signal(Signal::KILL);
    mirror.program.ended();
    mirror.folder
}

pub fn content(server: &Server) -> Vec<u8> {
    fs::read(server.file()).unwrap_or_default()
}

/// The generation in the companion.
pub fn sidecar(folder: &Path) -> String {
    fs::read_to_string(folder.join("data.generation")).unwrap().lines().next().unwrap_or_default().to_owned()
}

/// Waits until the mirror has these lines in its file, and serves them.
pub fn holds(mirror: &Server, expected: &str) {
    let serves = || get(mirror.address, "/data").body == expected.as_bytes();
    eventually(&format!("the mirror holds {expected:?}"), || content(mirror) == expected.as_bytes() && serves());
}

pub fn readyz(server: &Server) -> (u16, Value) {
    let answer = get(server.address, "/readyz");
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

pub fn token_of(answer: &Answer) -> String {
    answer.the("stream-next-offset").to_owned()
}

#[test]
fn a_mirror_serves_what_its_upstream_does() {
    let upstream = Server::serving("1\n22\n");
    let mirror = mirror(&url(&upstream));
    holds(&mirror, "1\n22\n");
    let (ours, theirs) = (get(mirror.address, "/data"), get(upstream.address, "/data"));
    assert_eq!((ours.status, ours.text()), (200, "1\n22\n"));
    assert_eq!(ours.the("etag"), theirs.the("etag"));
    assert_eq!(token_of(&ours), token_of(&theirs));
    assert_eq!(sidecar(mirror.folder.path()), ours.the("etag").trim_matches('"').split('-').next().unwrap());
    upstream.append("333\n4");
    holds(&mirror, "1\n22\n333\n");
    upstream.append("4\n");
    holds(&mirror, "1\n22\n333\n44\n");
}

#[test]
fn offsets_are_good_at_every_hop() {
    let origin = Server::serving("1\n22\n");
    let first = mirror(&url(&origin));
    let second = mirror(&url(&first));
    let third = mirror(&url(&second));
    let token = token_of(&get(origin.address, "/data"));
    origin.append("333\n");
    holds(&third, "1\n22\n333\n");
    for hop in [&origin, &first, &second, &third] {
        assert_eq!(get(hop.address, &format!("/data?offset={token}")).text(), "333\n");
    }
}

#[test]
fn a_client_of_a_mirror_follows_live() {
    let upstream = Server::serving("1\n");
    let mirror = mirror(&url(&upstream));
    holds(&mirror, "1\n");
    let mut client = Client::connect(mirror.address);
    client.send(head("GET", "/data?follow", &[]));
    client.until("1\n");
    upstream.append("22\n");
    client.until("22\n");
}

#[test]
fn a_mirror_resumes_with_its_file_and_without() {
    let upstream = Server::serving("1\n22\n");
    let before = mirror(&url(&upstream));
    holds(&before, "1\n22\n");
    let token = token_of(&get(before.address, "/data"));
    let folder = crash(before);
    upstream.append("333\n");
    // The beginning of a line, as a crash leaves it, and longer than all that follows.
    let with_a_torn_line = [&fs::read(folder.path().join("data")).unwrap()[..], b"333333333"].concat();
    fs::write(folder.path().join("data"), with_a_torn_line).unwrap();
    let with = Server::start_in(folder, &["--upstream", &url(&upstream)]);
    holds(&with, "1\n22\n333\n");
    assert_eq!(get(with.address, &format!("/data?offset={token}")).text(), "333\n");
    let folder = crash(with);
    fs::remove_file(folder.path().join("data")).unwrap();
    let without = Server::start_in(folder, &["--upstream", &url(&upstream)]);
    holds(&without, "1\n22\n333\n");
    assert_eq!(get(without.address, &format!("/data?offset={token}")).text(), "333\n");
}

#[test]
fn only_what_is_missing_is_asked_for_after_a_restart() {
    let lines = "a line of some length\n".repeat(10_000);
    let upstream = Server::serving(&lines);
    let first = mirror(&url(&upstream));
    holds(&first, &lines);
    let folder = crash(first);
    upstream.append("one more\n");
    let again = Server::start_in(folder, &["--upstream", &url(&upstream)]);
    holds(&again, &format!("{lines}one more\n"));
    let metrics = get(again.address, "/metrics");
    assert!(metrics.text().contains("\necho_upstream_received_bytes_total 9\n"), "{}", metrics.text());
}

#[test]
fn what_is_here_is_served_on_while_the_upstream_is_away() {
    let upstream = Server::serving("1\n");
    let link = Link::to(upstream.address);
    let mirror = mirror(&link.url());
    holds(&mirror, "1\n");
    eventually("the mirror is ready", || readyz(&mirror).0 == 200);
    assert_eq!(readyz(&mirror).1["upstream_trouble"], Value::Null);
    link.become_faulty(Fault::Refuse);
    upstream.append("22\n");
    eventually("the trouble is told", || readyz(&mirror).1["upstream_trouble"].is_string());
    let (status, body) = readyz(&mirror);
    assert_eq!(status, 200, "{body}");
    assert!(body["upstream_lag_seconds"].as_f64().unwrap() > 0.0, "{body}");
    assert_eq!(get(mirror.address, "/data").text(), "1\n");
    assert!(get(mirror.address, "/metrics").text().contains("\necho_upstream_up 0\n"));
    link.become_faulty(Fault::None);
    holds(&mirror, "1\n22\n");
    eventually("the lag is gone", || readyz(&mirror).1["upstream_lag_seconds"] == 0.0);
    let (_, body) = readyz(&mirror);
    assert_eq!((&body["upstream_lag_bytes"], &body["upstream_trouble"]), (&Value::from(0), &Value::Null));
    assert!(get(mirror.address, "/metrics").text().contains("\necho_upstream_up 1\n"));
    // Many attempts may have failed, with the same result.
    assert_eq!(mirror.program.log().matches("WARN").count(), 1, "{}", mirror.program.log());
}

#[test]
fn a_mirror_without_a_file_is_ready_once_it_has_caught_up() {
    let upstream = Server::serving("1\n".repeat(100_000));
    let link = Link::to(upstream.address);
    link.become_faulty(Fault::CutAfter(100_000));
    let mirror = mirror(&link.url());
    mirror.program.logged("the answer was cut");
    eventually("a part is here", || !content(&mirror).is_empty());
    link.become_faulty(Fault::Refuse);
    assert_eq!(get(mirror.address, "/data").status, 200);
    let (status, body) = readyz(&mirror);
    assert_eq!((status, &body["reason"]), (503, &"the mirror never had the whole of its upstream's file".into()));
    link.become_faulty(Fault::None);
    eventually("the mirror is ready", || readyz(&mirror).0 == 200);
    assert_eq!(content(&mirror).len(), 200_000);
}

#[test]
fn a_mirror_of_an_empty_file_is_empty_and_ready() {
    let upstream = Server::serving("");
    let mirror = mirror(&url(&upstream));
    eventually("the mirror is ready", || readyz(&mirror).0 == 200);
    assert_eq!(get(mirror.address, "/data").text(), "");
    upstream.append("1\n");
    holds(&mirror, "1\n");
    // The first line gives the file its name, which is no reason to begin anew.
    upstream.append("22\n");
    holds(&mirror, "1\n22\n");
    let generation = token_of(&get(upstream.address, "/data")).split('_').next().unwrap().to_owned();
    assert_eq!(sidecar(mirror.folder.path()), generation);
    assert!(!mirror.program.log().contains("beginning anew"), "{}", mirror.program.log());
}

#[test]
fn an_upstream_without_a_file_is_waited_for() {
    let upstream = Server::start(&[]);
    let mirror = mirror(&url(&upstream));
    mirror.program.logged("it answered 503 Service Unavailable");
    assert_eq!((get(mirror.address, "/data").status, readyz(&mirror).0), (503, 503));
    upstream.append("1\n");
    holds(&mirror, "1\n");
}

#[test]
fn a_replica_that_lags_is_waited_for() {
    let upstream = Server::serving("1\n22\n333\n");
    let ahead = mirror(&url(&upstream));
    eventually("the mirror is ready", || readyz(&ahead).0 == 200);
    let folder = crash(ahead);
    // The same generation, and shorter: cut off in place, the file keeps inode, birth and first line.
    let file = fs::OpenOptions::new().write(true).open(upstream.file()).unwrap();
    file.set_len(5).unwrap();
    let waiting = Server::start_in(folder, &["--upstream", &url(&upstream)]);
    eventually("the lag is told", || readyz(&waiting).1["upstream_trouble"].is_string());
    assert_eq!((readyz(&waiting).0, get(waiting.address, "/data").text()), (200, "1\n22\n333\n"));
    upstream.append("333\n4\n");
    holds(&waiting, "1\n22\n333\n4\n");
}

#[test]
fn a_mirror_stops_at_once_whatever_its_upstream_does() {
    let silent = Scripted::start(|_| {
        std::thread::sleep(Duration::from_mins(10));
        Vec::new()
    });
    let mut mirror = mirror(&silent.url());
    eventually("the mirror asks", || std::net::TcpStream::connect(silent.address).is_ok());
    mirror.program.signal(Signal::TERM);
    assert_eq!(mirror.program.ended().code(), Some(0));
}
