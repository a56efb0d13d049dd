//! Limits that hold whatever clients do.

use std::io::{Read, Write};

use crate::client::{connect, get, head, receive};
use crate::postgres::database;
use crate::process::{Web, eventually};

#[test]
fn the_connection_idle_longest_makes_room() {
    let Some(database) = database() else { return };
    let server = Web::start(database.web().args(["--max-connections", "4"]));
    server.program.logged("the database is there");
    let mut idle: Vec<_> = (0..4).map(|_| connect(server.address)).collect();
    eventually("a probe gets through", || {
        let mut stream = connect(server.address);
        stream.write_all(head("GET", "/healthz", &[]).as_bytes()).is_ok() && matches!(stream.read(&mut [0; 9]), Ok(9))
    });
    let mut first = idle.remove(0);
    assert_eq!(first.read(&mut [0]).unwrap_or(0), 0, "closed");
}

#[test]
fn a_head_that_does_not_end_ends_the_connection() {
    let Some(database) = database() else { return };
    let server = database.serve();
    let mut stream = connect(server.address);
    stream.write_all(b"GET /read HTTP/1.1\r\nHost:").unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"HTTP/1.1 200"));
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let Some(database) = database() else { return };
    let server = database.serve();
    let mut stream = connect(server.address);
    let long = format!("X-Long: {}", "x".repeat(20_000));
    stream.write_all(head("GET", "/read", &[&long]).as_bytes()).unwrap();
    assert_eq!(receive(stream, false).status, 431);
    assert_eq!(get(server.address, "/read").status, 200);
}
