//! Tokens: who may read, and what a mirror shows to its upstream.

use std::fs;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use tempfile::TempDir;

use crate::client::{get, request};
use crate::process::{Server, eventually};

fn guarded(token: &str) -> Server {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("token"), token).unwrap();
    fs::write(folder.path().join("data"), "1\n").unwrap();
    Server::start_in(folder, &["--token-file", "token"])
}

fn status(server: &Server, path: &str, authorization: &str) -> u16 {
    request(server.address, "GET", path, &[&format!("Authorization: {authorization}")]).status
}

#[test]
fn everything_but_the_probes_asks_for_the_token() {
    let server = guarded("a-Token.1\n");
    for path in ["/data", "/data?offset=-1", "/data?follow", "/", "/metrics", "/nothing"] {
        let refused = get(server.address, path);
        assert_eq!((refused.status, refused.the("cache-control")), (401, "no-store"), "{path}");
        let offered: Vec<_> = refused.headers.iter().filter(|(name, _)| name == "www-authenticate").collect();
        assert!(offered[0].1 == "Bearer" && offered[1].1.starts_with("Basic realm="), "{offered:?}");
    }
    assert_eq!((get(server.address, "/healthz").status, get(server.address, "/readyz").status), (200, 200));
    for right in ["Bearer a-Token.1", "bearer a-Token.1", "BEARER  a-Token.1"] {
        assert_eq!(status(&server, "/data", right), 200, "{right}");
    }
    assert_eq!(status(&server, "/metrics", "Bearer a-Token.1"), 200);
    assert_eq!(status(&server, "/nothing", "Bearer a-Token.1"), 404);
    // A browser asks for a name and a password; the name may be any.
    for password in ["YW55Om EtVG9rZW4uMQ==", "YW55OmEtVG9rZW4uMQ==", "OmEtVG9rZW4uMQ=="] {
        let expected = if password.contains(' ') { 401 } else { 200 };
        assert_eq!(status(&server, "/data", &format!("Basic {password}")), expected, "{password}");
    }
    assert_eq!(request(server.address, "OPTIONS", "/data", &[]).status, 204, "a preflight can't have a token");
}

#[test]
fn what_is_not_the_token_is_refused() {
    let server = guarded("a-Token.1");
    for wrong in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a-Token.",
        "Bearer a-Token.11",
        "Bearer A-token.1",
        "a-Token.1",
        "Basic a-Token.1",
    ] {
        assert_eq!(status(&server, "/data", wrong), 401, "{wrong}");
    }
    for path in ["/healthz/", "//healthz", "/healthz/../data", "/%68ealthz"] {
        assert_eq!(get(server.address, path).status, 401, "{path}");
    }
}

#[test]
fn a_token_that_rotates_is_followed() {
    let server = guarded("old");
    assert_eq!(status(&server, "/data", "Bearer old"), 200);
    let file = server.folder.path().join("token");
    fs::write(&file, "new").unwrap();
    eventually("the new token holds", || status(&server, "/data", "Bearer new") == 200);
    assert_eq!(status(&server, "/data", "Bearer old"), 401);
    // A slip of whoever rotates it locks nobody out.
    fs::remove_file(&file).unwrap();
    eventually("the slip is logged", || {
        assert_eq!(status(&server, "/data", "Bearer new"), 200);
        server.program.log().contains("the last one is still valid")
    });
}

/// A FIFO that nobody writes to keeps its readers waiting, as a disk that hangs does.
#[test]
fn a_token_that_can_not_be_read_for_ever_holds_nobody_up() {
    let server = guarded("right");
    let file = server.folder.path().join("token");
    fs::remove_file(&file).unwrap();
    mknodat(CWD, &file, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut kept_open = None;
    eventually("somebody waits for the token", || {
        assert_eq!(status(&server, "/data", "Bearer right"), 200);
        kept_open = open(&file, OFlags::WRONLY | OFlags::NONBLOCK, Mode::empty()).ok();
        kept_open.is_some()
    });
    assert_eq!(status(&server, "/data", "Bearer right"), 200);
    assert_eq!(get(server.address, "/healthz").status, 200);
}

#[test]
fn a_mirror_shows_its_token() {
    let upstream = guarded("right");
    let url = format!("http://{}/data", upstream.address);
    let folder = TempDir::new().unwrap();
    let token = folder.path().join("token");
    fs::write(&token, "wrong").unwrap();
    let mirror = Server::start_in(folder, &["--upstream", &url, "--upstream-token-file", "token"]);
    mirror.program.logged("it answered 401 Unauthorized: see --upstream-token-file");
    fs::write(&token, "right").unwrap();
    eventually("the mirror holds the line", || fs::read(mirror.file()).is_ok_and(|content| content == b"1\n"));
    let log = mirror.program.log() + &upstream.program.log();
    assert!(!log.contains("right") && !log.contains("wrong"), "a token is in the log: {log}");
}
