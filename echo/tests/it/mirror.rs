//! A mirror: its file is a prefix of the upstream's, whatever happens between the two.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Answer, Client, get, head};
use crate::process::{Program, Server, echo, eventually};
use crate::upstream::{Fault, Link, Scripted, answer, chunked, header, plain};

fn url(server: &Server) -> String {
    format!("http://{}/data", server.address)
}

/// Starts a mirror that has no file yet.
fn mirror(url: &str) -> Server {
    Server::start(&["--upstream", url])
}

/// Stops a mirror as a crash does, and returns its folder.
fn crash(mut mirror: Server) -> TempDir {
    mirror.program.signal(Signal::KILL);
    mirror.program.ended();
    mirror.folder
}

fn content(server: &Server) -> Vec<u8> {
    fs::read(server.file()).unwrap_or_default()
}

/// The generation in the companion.
fn sidecar(folder: &Path) -> String {
    fs::read_to_string(folder.join("data.generation")).unwrap().lines().next().unwrap_or_default().to_owned()
}

fn holds(mirror: &Server, expected: &str) {
    eventually(&format!("the mirror holds {expected:?}"), || content(mirror) == expected.as_bytes());
}

fn readyz(server: &Server) -> (u16, Value) {
    let answer = get(server.address, "/readyz");
    (answer.status, serde_json::from_slice(&answer.body).unwrap())
}

fn token_of(answer: &Answer) -> String {
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
fn another_file_is_built_aside_and_clients_are_told() {
    let upstream = Server::serving("1\n22\n");
    let mirror = mirror(&url(&upstream));
    holds(&mirror, "1\n22\n");
    let mut follower = Client::connect(mirror.address);
    follower.send(head("GET", "/data?follow", &[]));
    let mut events = Client::connect(mirror.address);
    events.send(head("GET", "/data?offset=-1&live=sse", &[]));
    follower.until("22\n");
    events.until("upToDate\":true");
    let token = token_of(&get(mirror.address, "/data"));
    upstream.replace("4\n55\n666\n");
    holds(&mirror, "4\n55\n666\n");
    follower.until("0\r\n\r\n"); // the last chunk
    events.until("event: reset");
    assert_eq!(get(mirror.address, &format!("/data?offset={token}")).status, 410);
    assert_eq!(token_of(&get(mirror.address, "/data")), token_of(&get(upstream.address, "/data")));
    let mut left: Vec<_> =
        fs::read_dir(mirror.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["data", "data.generation"]);
}

/// Both keep the generation, and the mirror's clients stand where other lines will be.
#[test]
fn an_upstream_that_is_truncated_is_mirrored_anew_and_clients_are_told() {
    let kept = "123\n".repeat(200);
    let upstream = Server::serving(format!("{kept}199\n"));
    let mirror = mirror(&url(&upstream));
    holds(&mirror, &format!("{kept}199\n"));
    let mut follower = Client::connect(mirror.address);
    follower.send(head("GET", "/data?follow", &[]));
    follower.until("199\n");
    eventually("the mirror waits", || get(upstream.address, "/metrics").text().contains("\necho_live_clients 1\n"));
    let file = fs::OpenOptions::new().write(true).open(upstream.file()).unwrap();
    file.set_len(kept.len() as u64).unwrap();
    upstream.program.wait_for_log("the file was truncated");
    upstream.append("77777\n88888\n9\n");
    holds(&mirror, &format!("{kept}77777\n88888\n9\n"));
    let rest = follower.until("0\r\n\r\n");
    assert!(!rest.contains("8888"), "{rest}");
}

#[test]
fn the_old_file_stays_until_the_new_one_is_complete() {
    let upstream = Server::serving("old\n");
    let link = Link::to(upstream.address);
    let mirror = mirror(&link.url());
    holds(&mirror, "old\n");
    link.become_faulty(Fault::CutAfter(200_000));
    let new = "new\n".repeat(100_000);
    upstream.replace(&new);
    let next = mirror.folder.path().join("data.next");
    eventually("a part of the new file is here", || fs::metadata(&next).is_ok_and(|next| next.len() > 0));
    assert_eq!(get(mirror.address, "/data").text(), "old\n");
    link.become_faulty(Fault::None);
    holds(&mirror, &new);
    assert!(!next.exists());
}

/// Of the new ones none is ever complete, so that the old one is all that there is to serve.
#[test]
fn the_old_file_stays_however_often_new_ones_are_begun() {
    let upstream = Server::serving("old\n");
    let link = Link::to(upstream.address);
    let mirror = mirror(&link.url());
    holds(&mirror, "old\n");
    link.become_faulty(Fault::CutAfter(200_000));
    let next = mirror.folder.path().join("data.next");
    let mut given_up = Vec::new(); // open, so that none has the inode of another
    for line in 0..6 {
        upstream.replace(format!("{line}\n").repeat(200_000));
        let is_begun = || fs::read(&next).is_ok_and(|next| next.starts_with(line.to_string().as_bytes()));
        eventually("the new file is begun", is_begun);
        given_up.push(fs::File::open(&next).unwrap());
        fs::File::open(mirror.file()).unwrap().set_modified(SystemTime::now()).unwrap(); // or an earlier look would do
        assert_eq!(get(mirror.address, "/data").text(), "old\n", "{line}");
    }
}

#[test]
fn an_emptied_upstream_empties_the_mirror() {
    let upstream = Server::serving("1\n22\n");
    let mirror = mirror(&url(&upstream));
    holds(&mirror, "1\n22\n");
    fs::write(upstream.file(), "").unwrap();
    holds(&mirror, "");
    let empty = get(mirror.address, "/data");
    assert_eq!((empty.status, empty.text()), (200, ""));
    upstream.append("3\n");
    holds(&mirror, "3\n");
    assert_eq!(get(mirror.address, "/data").the("etag"), get(upstream.address, "/data").the("etag"));
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

/// A body behind a refusal must not keep the connection from the next request.
#[test]
fn a_shorter_file_is_found_out_although_the_answer_says_more_than_it_must() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n".repeat(5000)).unwrap();
    let served = file.clone();
    let upstream = Scripted::start(move |head| {
        let answer = plain(head, fs::read(&served).ok());
        if !answer.starts_with(b"HTTP/1.1 416") {
            return answer;
        }
        let head = String::from_utf8(answer).unwrap().replace("Content-Length: 0", "Content-Length: 100000");
        (head + &"?".repeat(100_000)).into_bytes()
    });
    let mirror = mirror(&upstream.url());
    holds(&mirror, &"1\n".repeat(5000));
    fs::write(&file, "another\n").unwrap();
    holds(&mirror, "another\n");
}

#[test]
fn a_server_that_sends_too_little_at_a_time_is_told() {
    let content = "1\n".repeat(3000).into_bytes();
    let upstream = Scripted::start(move |head| {
        let answer = plain(head, Some(content.clone()));
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        if body + 1000 >= answer.len() {
            return answer;
        }
        let head = String::from_utf8(answer[..body].to_vec()).unwrap().replace("0-5999/", "0-999/");
        let head = head.replace(&format!("Content-Length: {}", answer.len() - body), "Content-Length: 1000");
        [head.as_bytes(), &answer[body..body + 1000]].concat()
    });
    let mirror = mirror(&upstream.url());
    mirror.program.logged("it sends too little at a time: only 1000 bytes");
}

/// The proxy has lost the query; what it sends is the whole file, and not what follows the offset.
#[test]
fn a_range_in_answer_to_an_offset_is_refused() {
    let upstream = Scripted::start(|head| {
        if !head.contains("offset=") {
            return plain(head, Some(b"1\n222\n".to_vec()));
        }
        let next = "Stream-Next-Offset: 00000000000000aa_00000000000000000006";
        let chunks = "2\r\n1\n\r\n4\r\n222\n\r\n0\r\n\r\n";
        let head = format!("HTTP/1.1 206 Partial Content\r\n{next}\r\nContent-Range: bytes 0-5/6\r\n");
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
    });
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data"), "1\n").unwrap();
    fs::write(folder.path().join("data.generation"), "00000000000000aa\n").unwrap();
    let mirror = Server::start_in(folder, &["--upstream", &upstream.url()]);
    mirror.program.logged("it answered an offset with a range");
    assert_eq!(content(&mirror), b"1\n");
}

/// What is served needs nothing from what is being built.
#[test]
fn the_file_is_served_on_when_somebody_removes_the_next_one() {
    let upstream = Server::serving("old\n");
    let link = Link::to(upstream.address);
    let mirror = mirror(&link.url());
    holds(&mirror, "old\n");
    link.become_faulty(Fault::CutAfter(200_000));
    upstream.replace("new\n".repeat(100_000));
    let next = mirror.folder.path().join("data.next");
    eventually("a part of the new file is here", || fs::metadata(&next).is_ok_and(|next| next.len() > 0));
    let (_, ready) = readyz(&mirror);
    assert!(ready["upstream_lag_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{ready}");
    for name in ["data.next", "data.next.generation"] {
        let _ = fs::remove_file(mirror.folder.path().join(name));
    }
    mirror.program.logged("data.next: it was changed by somebody else");
    fs::File::open(mirror.file()).unwrap().set_modified(SystemTime::now()).unwrap(); // or an earlier look would do
    assert_eq!(get(mirror.address, "/data").text(), "old\n");
    link.become_faulty(Fault::None);
    holds(&mirror, &"new\n".repeat(100_000));
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
fn a_line_of_any_length_is_copied() {
    let long = format!("1\n{}\n2\n", "x".repeat(3 << 20));
    let upstream = Server::serving(&long);
    let mirror = mirror(&url(&upstream));
    holds(&mirror, &long);
}

#[test]
fn a_first_line_of_any_length_names_the_same_generation_however_it_comes() {
    let content = format!("{}\n22\n", "1".repeat(10_000)).into_bytes();
    let sidecars = [100, 3000, 20_000].map(|size| {
        let served = content.clone();
        let upstream = Scripted::start(move |head| chunked(&plain(head, Some(served.clone())), size));
        let mirror = mirror(&upstream.url());
        holds(&mirror, str::from_utf8(&content).unwrap());
        sidecar(mirror.folder.path())
    });
    assert!(sidecars.iter().all(|sidecar| *sidecar == sidecars[0]), "{sidecars:?}");
}

#[test]
fn a_line_that_is_too_long_is_not_waited_for_in_memory() {
    let length = 3 << 20;
    let heads = [
        format!("200 OK\r\nStream-Next-Offset: 00000000000000aa_{length:020}"),
        format!("206 Partial Content\r\nContent-Range: bytes 0-{}/{length}", length - 1),
    ];
    for head in heads {
        let upstream = Scripted::start(move |_| {
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n");
            (head + &"x".repeat(2 << 20)).into_bytes() // of three; no more comes
        });
        let mirror = mirror(&upstream.url());
        eventually("more than a megabyte is written", || content(&mirror).len() > 1 << 20);
    }
}

#[test]
fn a_line_that_is_cut_is_not_begun() {
    let upstream = Server::serving(format!("1\n{}\n", "x".repeat(500_000)));
    let link = Link::to(upstream.address);
    link.become_faulty(Fault::CutAfter(100_000));
    let mirror = mirror(&link.url());
    mirror.program.logged("the answer was cut");
    assert_eq!(content(&mirror), b"1\n");
    link.become_faulty(Fault::None);
    eventually("the rest comes", || content(&mirror).len() == 500_003);
}

/// All that an upstream must not be believed, and the reason that the operator is given.
#[test]
fn an_upstream_that_does_not_fit_is_refused_and_nothing_is_lost() {
    let html = "HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 4\n\nhey\n";
    let lies = [
        (html, "it sent a web page"),
        ("HTTP/1.1 302 Found\nLocation: /login\nContent-Length: 0\n\n", "it redirects: to \"/login\""),
        ("HTTP/1.1 500 Oops\nContent-Length: 0\n\n", "it answered 500"),
        ("HTTP/1.1 404 Not Found\nContent-Length: 0\n\n", "it answered 404"),
        ("HTTP/1.1 401 Unauthorized\nContent-Length: 0\n\n", "see --upstream-token-file"),
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\n1\n22\n", "it does not honour Range"),
        (
            "HTTP/1.1 206 Partial Content\nContent-Range: bytes 7-9/10\nContent-Length: 3\n\n22\n",
            "it sent bytes from 7 on",
        ),
        (
            "HTTP/1.1 206 Partial Content\nContent-Encoding: gzip\nContent-Range: bytes 0-9/10\n\n",
            "it sent the file encoded: \"gzip\"",
        ),
        (
            "HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-3/4\nContent-Length: 4\n\nx\n\n",
            "not know offsets any more",
        ),
        ("HTTP/1.1 416 Range Not Satisfiable\nContent-Length: 0\n\n", "without the length"),
        ("220 mail.example.org ESMTP\n\n", "no whole answer came"),
        ("", "no whole answer came"),
    ];
    for (lie, reason) in lies {
        let upstream = Server::serving("1\n22\n");
        let link = Link::to(upstream.address);
        let mirror = mirror(&link.url());
        holds(&mirror, "1\n22\n");
        link.become_faulty(Fault::Impostor(lie.replace('\n', "\r\n").into_bytes()));
        mirror.program.logged(reason);
        upstream.append("333\n");
        assert_eq!(get(mirror.address, "/data").text(), "1\n22\n", "{lie}");
        link.become_faulty(Fault::None);
        holds(&mirror, "1\n22\n333\n");
    }
}

/// What one server says of itself must hold together.
#[test]
fn an_upstream_that_contradicts_itself_is_refused() {
    let lies = [
        ("Content-Length: 2\r\n\r\n1\n", "don't agree"),
        ("Transfer-Encoding: chunked\r\n\r\n9\r\n1\n22\n333\n\r\n0\r\n\r\n", "more than it announced"),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n0\r\n\r\n", "ended 3 bytes early"),
    ];
    for (lie, reason) in lies {
        let next = "Stream-Next-Offset: 00000000000000ab_00000000000000000005";
        let lie = format!("HTTP/1.1 200 OK\r\n{next}\r\n{lie}");
        let upstream = Scripted::start(move |_| lie.clone().into_bytes());
        let mirror = mirror(&upstream.url());
        mirror.program.logged(reason);
        assert!(b"1\n".starts_with(&content(&mirror)), "{reason}");
    }
}

#[test]
fn another_generation_than_the_one_asked_for_is_refused() {
    let upstream = Scripted::start(|head| {
        let generation = if head.contains("offset=-1") { "00000000000000aa" } else { "00000000000000bb" };
        let end = if head.contains("offset=-1") { 2 } else { 4 };
        let headers = format!("Stream-Next-Offset: {generation}_{end:020}\n");
        answer("200 OK", &headers, b"1\n")
    });
    let mirror = mirror(&upstream.url());
    mirror.program.logged("it answered for another generation than the one asked for");
    assert_eq!(content(&mirror), b"1\n");
}

#[test]
fn any_server_that_knows_ranges_can_be_followed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n22\n3").unwrap();
    let upstream = Scripted::plain(file.clone());
    let ours = mirror(&upstream.url());
    holds(&ours, "1\n22\n");
    eventually("the mirror is ready", || readyz(&ours).0 == 200);
    // The torn line is finished by its writer, or cut off.
    fs::OpenOptions::new().write(true).open(&file).unwrap().write_all_at(b"4\n", 5).unwrap();
    holds(&ours, "1\n22\n4\n");
    eventually("nothing new is not sent", || {
        upstream.heads().iter().any(|head| header(head, "if-none-match").is_some())
    });
    let token = token_of(&get(ours.address, "/data"));
    // All mirrors of one file agree on its generation.
    let other = mirror(&upstream.url());
    holds(&other, "1\n22\n4\n");
    assert_eq!(token_of(&get(other.address, "/data")), token);
    let chained = mirror(&url(&ours));
    holds(&chained, "1\n22\n4\n");
    assert_eq!(token_of(&get(chained.address, "/data")), token);
    fs::write(&file, "5\n").unwrap();
    holds(&chained, "5\n");
}

#[test]
fn a_server_that_closes_after_every_answer_can_be_followed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n".repeat(5000)).unwrap();
    let served = file.clone();
    let upstream = Scripted::start(move |head| {
        let answer = String::from_utf8(plain(head, fs::read(&served).ok())).unwrap();
        answer.replacen("HTTP/1.1", "HTTP/1.0", 1).into_bytes()
    });
    let mirror = mirror(&upstream.url());
    holds(&mirror, &"1\n".repeat(5000));
    fs::write(&file, "1\n".repeat(6000)).unwrap();
    holds(&mirror, &"1\n".repeat(6000));
}

#[test]
fn pieces_of_any_size_may_end_where_our_end_does_or_behind_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n22\n").unwrap();
    let served = file.clone();
    let upstream = Scripted::start(move |head| chunked(&plain(head, fs::read(&served).ok()), 3));
    let mirror = mirror(&upstream.url());
    holds(&mirror, "1\n22\n");
    let generation = sidecar(mirror.folder.path());
    let lines = "1\n22\n333\n4444\n".repeat(1000);
    let mut grown = fs::OpenOptions::new().append(true).open(&file).unwrap();
    let mut length = 5;
    for longer in [9, 14, 7000, 7005] {
        grown.write_all(&lines.as_bytes()[length..longer]).unwrap();
        holds(&mirror, &lines[..longer]);
        length = longer;
    }
    assert_eq!(sidecar(mirror.folder.path()), generation, "it was taken for another file");
    let metrics = get(mirror.address, "/metrics");
    assert!(metrics.text().contains("echo_upstream_failures_total 0"), "{}", mirror.program.log());
}

#[test]
fn a_plain_file_that_was_replaced_is_found_out_by_its_bytes() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    let old = "the same first line\nold\n".repeat(1000);
    fs::write(&file, &old).unwrap();
    let upstream = Scripted::plain(file.clone());
    let mirror = mirror(&upstream.url());
    holds(&mirror, &old);
    let generation = sidecar(mirror.folder.path());
    // Longer than the old one, with the same first line and at once.
    let new = "the same first line\nnew\n".repeat(1001);
    fs::write(file.with_extension("new"), &new).unwrap();
    fs::rename(file.with_extension("new"), &file).unwrap();
    holds(&mirror, &new);
    assert_ne!(sidecar(mirror.folder.path()), generation, "old offsets are good for the new file");
    // Shorter, and no prefix.
    fs::write(&file, "the same first line\nx\n").unwrap();
    holds(&mirror, "the same first line\nx\n");
    fs::write(&file, "").unwrap();
    holds(&mirror, "");
    fs::write(&file, "1\n").unwrap();
    holds(&mirror, "1\n");
    fs::remove_file(&file).unwrap();
    mirror.program.logged("it answered 404 Not Found");
    assert_eq!(get(mirror.address, "/data").text(), "1\n");
}

#[test]
fn a_file_replaced_while_the_mirror_was_down_is_found_out() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    // The end that the mirror has is the same in both; only the beginning tells.
    let end = "the end\n".repeat(1000);
    fs::write(&file, format!("old\n{end}")).unwrap();
    let upstream = Scripted::plain(file.clone());
    let before = mirror(&upstream.url());
    holds(&before, &format!("old\n{end}"));
    let folder = crash(before);
    fs::write(&file, format!("new\n{end}")).unwrap();
    let after = Server::start_in(folder, &["--upstream", &upstream.url()]);
    holds(&after, &format!("new\n{end}"));
}

#[test]
fn a_url_with_a_query_is_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n").unwrap();
    let upstream = Scripted::plain(file);
    let mirror = mirror(&format!("{}?signature=abc", upstream.url()));
    holds(&mirror, "1\n");
    assert!(upstream.heads().iter().all(|head| head.starts_with("GET /data?signature=abc HTTP/1.1\r\n")));
}

#[test]
fn a_mirror_whose_file_is_taken_away_begins_anew() {
    let upstream = Server::serving("1\n22\n");
    let mirror = mirror(&url(&upstream));
    holds(&mirror, "1\n22\n");
    let token = token_of(&get(mirror.address, "/data"));
    fs::remove_file(mirror.file()).unwrap();
    upstream.append("333\n");
    holds(&mirror, "1\n22\n333\n");
    assert_eq!(get(mirror.address, &format!("/data?offset={token}")).text(), "333\n");
    fs::OpenOptions::new().write(true).open(mirror.file()).unwrap().set_len(2).unwrap();
    upstream.append("4\n");
    holds(&mirror, "1\n22\n333\n4\n");
}

/// What the file will have where they stand is what it had.
#[test]
fn clients_of_a_mirror_go_on_when_it_has_lost_its_file() {
    let upstream = Server::serving("1\n22\n");
    let mirror = mirror(&url(&upstream));
    holds(&mirror, "1\n22\n");
    let mut follower = Client::connect(mirror.address);
    follower.send(head("GET", "/data?follow", &[]));
    follower.until("22\n");
    fs::remove_file(mirror.file()).unwrap();
    mirror.program.logged("data: it was changed by somebody else");
    holds(&mirror, "1\n22\n");
    upstream.append("333\n");
    follower.until("333\n");
    fs::write(mirror.folder.path().join("foreign"), "foreign\n").unwrap();
    fs::rename(mirror.folder.path().join("foreign"), mirror.file()).unwrap();
    upstream.append("4444\n"); // so that the mirror looks
    follower.until("4444\n");
}

/// Where it ends lies behind the end of the upstream's.
#[test]
fn a_longer_file_that_is_not_the_upstreams_is_replaced() {
    let upstream = Server::serving("1\n");
    let folder = TempDir::new().unwrap();
    let generation = token_of(&get(upstream.address, "/data")).split('_').next().unwrap().to_owned();
    fs::write(folder.path().join("data"), "foreign\nlines\n").unwrap();
    fs::write(folder.path().join("data.generation"), generation + "\n").unwrap();
    let mirror = Server::start_in(folder, &["--upstream", &url(&upstream)]);
    holds(&mirror, "1\n");
}

#[test]
fn a_mirror_that_has_lost_its_file_is_not_ready_before_it_has_caught_up_again() {
    let lines = "1\n".repeat(250_000);
    let upstream = Server::serving(&lines);
    let link = Link::to(upstream.address);
    let mirror = mirror(&link.url());
    holds(&mirror, &lines);
    eventually("it is ready", || readyz(&mirror).0 == 200);
    link.become_faulty(Fault::CutAfter(200_000));
    fs::remove_file(mirror.file()).unwrap();
    eventually("a part is here", || !content(&mirror).is_empty());
    let (status, ready) = readyz(&mirror);
    assert_eq!((status, content(&mirror).len() < lines.len()), (503, true), "{ready}");
    link.become_faulty(Fault::None);
    eventually("it is ready again", || readyz(&mirror).0 == 200);
    assert_eq!(content(&mirror), lines.as_bytes());
}

#[test]
fn the_name_of_the_generation_is_written_again_when_somebody_removes_it() {
    let upstream = Server::serving("1\n");
    let mirror = mirror(&url(&upstream));
    holds(&mirror, "1\n");
    let generation = sidecar(mirror.folder.path());
    fs::remove_file(mirror.folder.path().join("data.generation")).unwrap();
    upstream.append("2\n");
    holds(&mirror, "1\n2\n");
    upstream.append("3\n"); // it looks before it asks
    holds(&mirror, "1\n2\n3\n");
    assert_eq!(sidecar(mirror.folder.path()), generation);
}

#[test]
fn a_file_that_is_taken_away_is_missed_even_if_nothing_new_comes() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n22\n").unwrap();
    let upstream = Scripted::plain(file);
    let mirror = mirror(&upstream.url());
    holds(&mirror, "1\n22\n");
    fs::remove_file(mirror.file()).unwrap();
    holds(&mirror, "1\n22\n");
}

/// Not before it is compared with the upstream's, which here is away when it is noticed.
#[test]
fn what_somebody_else_has_written_is_not_served() {
    let (changed, wait) = channel();
    let wait = Mutex::new(wait);
    let upstream = Scripted::start(move |head| {
        let next = |end| format!("Stream-Next-Offset: 00000000000000aa_{end:020}\nStream-Up-To-Date: true\n");
        if head.contains("offset=-1") {
            return answer("200 OK", &next(5), b"1\n22\n");
        }
        let is_time = head.contains("long-poll") && wait.lock().unwrap().recv().is_ok();
        if is_time { answer("200 OK", &next(9), b"333\n") } else { Vec::new() }
    });
    let mirror = mirror(&upstream.url());
    holds(&mirror, "1\n22\n");
    fs::write(mirror.file(), "x\n").unwrap(); // into the same file
    changed.send(()).unwrap();
    mirror.program.logged("data: it was changed by somebody else");
    assert_eq!(get(mirror.address, "/data").status, 503);
}

#[test]
fn what_somebody_else_has_appended_is_not_served() {
    let upstream = Server::serving("1\n22\n");
    let link = Link::to(upstream.address);
    let mirror = mirror(&link.url());
    holds(&mirror, "1\n22\n");
    eventually("the mirror is ready", || readyz(&mirror).0 == 200);
    upstream.append("333\n"); // behind what is known to be whole
    holds(&mirror, "1\n22\n333\n");
    link.become_faulty(Fault::Refuse);
    mirror.append("FOREIGN\n");
    assert_eq!(get(mirror.address, "/data").text(), "1\n22\n333\n");
    let folder = crash(mirror);
    let again = Server::start_in(folder, &["--upstream", &link.url()]);
    assert_eq!((readyz(&again).0, get(again.address, "/data").text()), (200, "1\n22\n333\n"));
    upstream.append("4444\n");
    link.become_faulty(Fault::None);
    holds(&again, "1\n22\n333\n4444\n");
}

/// A crash in each step of putting a new file in place: the mirror goes on from there.
#[test]
fn an_interrupted_replacement_is_finished_or_given_up() {
    let upstream = Server::serving("new\n22\n");
    let generation = get(upstream.address, "/data").the("etag").trim_matches('"').split('-').next().unwrap().to_owned();
    let old = ("data", "old\n".to_owned());
    let (ours, theirs) = ("00000000000000aa\n".to_owned(), format!("{generation}\n"));
    let steps = [
        vec![old.clone(), ("data.generation", ours.clone()), ("data.next.generation", theirs.clone())],
        vec![
            old.clone(),
            ("data.generation", ours.clone()),
            ("data.next.generation", theirs.clone()),
            ("data.next", "new\n2".to_owned()),
        ],
        vec![
            old.clone(),
            ("data.generation", ours.clone()),
            ("data.next.generation", theirs.clone()),
            ("data.ready", "new\n".to_owned()),
        ],
        vec![old.clone(), ("data.generation", theirs.clone()), ("data.ready", "new\n".to_owned())],
        // Not a step: somebody has removed the name of what was being built.
        vec![old, ("data.generation", ours.clone()), ("data.next", "new\n".to_owned())],
        vec![("data", "new\n".to_owned()), ("data.generation", theirs)],
    ];
    for step in steps {
        let folder = TempDir::new().unwrap();
        for (name, content) in &step {
            fs::write(folder.path().join(name), content).unwrap();
        }
        let mirror = Server::start_in(folder, &["--upstream", &url(&upstream)]);
        let first = get(mirror.address, "/data");
        let is_new = first.the("etag").contains(&generation);
        assert_eq!(first.text().starts_with("new"), is_new, "lines under a foreign name: {step:?}");
        holds(&mirror, "new\n22\n");
        assert_eq!(sidecar(mirror.folder.path()), generation);
        eventually(&format!("nothing else is left: {step:?}"), || {
            fs::read_dir(mirror.folder.path()).unwrap().count() == 2 // a companion may just be written
        });
    }
}

/// Its lines have not come yet. Whoever heard that there are none would believe the upstream's file to be emptied.
#[test]
fn an_empty_file_that_a_crash_left_is_not_served() {
    let upstream = Server::serving("1\n");
    for sidecar in [None, Some("00000000000000aa\n")] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("data"), "").unwrap();
        if let Some(generation) = sidecar {
            fs::write(folder.path().join("data.generation"), generation).unwrap();
        }
        let link = Link::to(upstream.address);
        link.become_faulty(Fault::Refuse);
        let mirror = Server::start_in(folder, &["--upstream", &link.url()]);
        assert_eq!(get(mirror.address, "/data").status, 503, "{sidecar:?}");
        link.become_faulty(Fault::None);
        holds(&mirror, "1\n");
        eventually("it is served", || get(mirror.address, "/data").body == b"1\n");
    }
}

/// Runs what must end at once with status 1; returns what it logs.
fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let mut program = Program::start(echo(folder).args(arguments).env("ECHO_LISTEN", "127.0.0.1:0"));
    let status = program.ended();
    let log = program.log_to_the_end();
    assert_eq!(status.code(), Some(1), "{log}");
    log
}

#[test]
fn what_can_never_work_is_refused_at_once() {
    let folder = TempDir::new().unwrap();
    let path = folder.path();
    let log = refusal(path, &["--upstream", "http://localhost:1"]);
    assert!(log.contains("--upstream (ECHO_UPSTREAM) names no file"), "{log}");
    let log = refusal(path, &["--upstream", "http://localhost:1/data", "--upstream-token-file", "missing"]);
    assert!(log.contains("cannot read the token in missing: No such file"), "{log}");
    fs::write(path.join("empty"), "\n").unwrap();
    let log = refusal(path, &["--upstream", "http://localhost:1/data", "--upstream-token-file", "empty"]);
    assert!(log.contains("empty holds no token"), "{log}");
    let log = refusal(path, &["--upstream", "https://localhost:1/data", "--upstream-ca", "empty"]);
    assert!(log.contains("empty holds no certificate"), "{log}");
    let log = refusal(path, &["--upstream", "http://localhost:1/data", "--upstream-ca", "empty"]);
    assert!(log.contains("--upstream-ca (ECHO_UPSTREAM_CA) is for a URL that begins with https://"), "{log}");
    let log = refusal(path, &["--token-file", "missing"]);
    assert!(log.contains("cannot read the token in missing"), "{log}");
}

#[test]
fn a_file_that_is_no_mirrors_is_left_alone() {
    let upstream = Server::serving("1\n");
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data"), "precious\n").unwrap();
    fs::write(folder.path().join("data.ready"), "other\n").unwrap();
    let log = refusal(folder.path(), &["--upstream", &url(&upstream)]);
    assert!(log.contains("data has lines, and nothing tells whose they are"), "{log}");
    assert_eq!(fs::read_to_string(folder.path().join("data")).unwrap(), "precious\n");
}

#[test]
fn a_mirror_writes_through_no_link() {
    for target in ["data", "elsewhere", "/dev/null"] {
        let folder = TempDir::new().unwrap();
        symlink(target, folder.path().join("data")).unwrap();
        let log = refusal(folder.path(), &["--upstream", "http://localhost:1/data"]);
        assert!(log.contains("data is a link, and a mirror writes through none"), "{log}");
    }
}

#[test]
fn what_can_not_be_written_is_found_out_before_there_is_anything_to_lose() {
    let folder = TempDir::new().unwrap();
    // Not even root can make a file there.
    let log = refusal(folder.path(), &["--file", "/proc/self/data", "--upstream", "http://localhost:1/data"]);
    assert!(log.contains("cannot write to /proc/self/data"), "{log}");
    fs::create_dir(folder.path().join("data.next.generation")).unwrap();
    let log = refusal(folder.path(), &["--upstream", "http://localhost:1/data"]);
    assert!(log.contains("cannot write to data.next.generation"), "{log}");
}

#[test]
fn a_folder_that_can_not_be_written_to_is_explained() {
    if rustix::process::geteuid().is_root() {
        return; // root may write anywhere; the images run as others
    }
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let log = refusal(folder.path(), &["--upstream", "http://localhost:1/data"]);
    assert!(log.contains("mode 0555; this process is uid"), "{log}");
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
