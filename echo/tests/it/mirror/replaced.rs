//! An upstream whose file is another one now: the new copy is made aside, and takes the place of the old one.

use std::fs;
use std::time::SystemTime;

use tempfile::TempDir;

use crate::client::{Client, get, head};
use crate::mirror::{holds, mirror, readyz, sidecar, token_of, url};
use crate::process::{Server, eventually};
use crate::upstream::{Fault, Link};

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
