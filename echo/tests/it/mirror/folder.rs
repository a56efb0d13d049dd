//! The mirror's own files, which anybody may change, remove or leave half written.

use std::fs;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use tempfile::TempDir;

use crate::client::{Client, get, head};
use crate::mirror::{content, crash, holds, mirror, readyz, sidecar, token_of, url};
use crate::process::{Server, eventually};
use crate::upstream::{Fault, Link, Scripted, answer};

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
