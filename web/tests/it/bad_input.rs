//! What clients may get wrong.

use crate::client::{connect, get, head, post, receive, request, write};
use crate::postgres::database;

use std::io::Write;

const LARGEST: usize = 1 << 20;

#[test]
fn what_the_database_cannot_hold_is_refused() {
    let Some(database) = database() else { return };
    let server = database.serve();
    for body in [&br#"{"data":"a\u0000b"}"#[..], br#"{"data":"\ud800"}"#, b"{\"data\":\"\xff\"}"] {
        let answer = post(server.address, body);
        assert_eq!((answer.status, answer.text().lines().count()), (400, 1), "{answer:?}");
    }
    assert_eq!(database.count(), 0);
}

#[test]
fn a_body_has_a_largest_size() {
    let Some(database) = database() else { return };
    let server = database.serve();
    let fits = "x".repeat(LARGEST - r#"{"data":""}"#.len());
    assert_eq!(write(server.address, &fits).status, 200);
    assert_eq!(get(server.address, "/read").json()["Lines"][0]["data"], fits);
    assert_eq!(write(server.address, &format!("{fits}x")).status, 413);
    // Announced only, and not announced.
    let answer = request(server.address, "POST", "/write", &["Content-Length: 99999999999"], b"");
    assert_eq!((answer.status, answer.the("connection")), (413, "close"));
    let mut stream = connect(server.address);
    stream.write_all(head("POST", "/write", &["Transfer-Encoding: chunked"]).as_bytes()).unwrap();
    let chunk = format!("{LARGEST:x}\r\n{}\r\n", "x".repeat(LARGEST));
    let _ = stream.write_all(format!("{chunk}{chunk}0\r\n\r\n").as_bytes());
    assert_eq!(receive(stream, false).status, 413);
    assert_eq!(database.count(), 1);
}

#[test]
fn a_query_that_is_not_understood_is_refused() {
    let Some(database) = database() else { return };
    let server = database.serve();
    for query in ["after=x", "after=-1", "limit=0", "limit=x", "after=1&after=1", "afer=1", "generation=x&after=1"] {
        let answer = get(server.address, &format!("/read?{query}"));
        assert_eq!((answer.status, answer.text().lines().count()), (400, 1), "{query}: {answer:?}");
    }
    assert_eq!(get(server.address, "/read?generation=0123456789abcdef").status, 404);
    assert_eq!(get(server.address, "/read?generation=%00").status, 404);
}

#[test]
fn other_paths_and_verbs_are_told_apart() {
    let Some(database) = database() else { return };
    let server = database.serve();
    for path in ["/", "/lines", "/read/", "/write/1"] {
        assert_eq!(get(server.address, path).status, 404, "{path}");
    }
    for (verb, path, allowed) in
        [("PUT", "/write", "POST"), ("POST", "/read", "GET,HEAD"), ("DELETE", "/ping", "GET,HEAD")]
    {
        let answer = request(server.address, verb, path, &["Content-Length: 0"], b"");
        assert_eq!((answer.status, answer.the("allow")), (405, allowed), "{path}");
    }
    for path in ["/ping", "/nowhere", "/read", "/metrics"] {
        let answer = get(server.address, path);
        assert_eq!((answer.the("x-content-type-options"), answer.the("cache-control")), ("nosniff", "no-store"));
    }
}
