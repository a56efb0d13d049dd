//! `/healthz` and `/readyz`.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, get};
use crate::process::{Server, eventually};

/// Asks whether the server is ready; returns the status and what else it says.
#[track_caller]
fn ready(client: &mut Client) -> (u16, Value) {
    let answer = client.get("/readyz");
    assert_eq!((answer.the("content-type"), answer.the("cache-control")), ("application/json", "no-store"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["ready"], answer.status == 200);
    assert_eq!(body["reason"].is_null(), answer.status == 200);
    assert_eq!(client.request("HEAD", "/readyz", &[]).status, answer.status);
    (answer.status, body)
}

fn age(server: &Server, age: Duration) {
    File::open(server.file()).unwrap().set_modified(SystemTime::now() - age).unwrap();
}

#[test]
fn health_does_not_depend_on_the_file() {
    let server = Server::start(&["--fresh-within", "1s"]);
    let mut client = Client::connect(server.address);
    let states: [&dyn Fn(); 6] = [
        &|| {},
        &|| server.append("1"),
        &|| server.append("\n"),
        &|| age(&server, Duration::from_hours(1)),
        &|| fs::remove_file(server.file()).unwrap(),
        &|| fs::create_dir(server.file()).unwrap(),
    ];
    for state in states {
        state();
        assert_eq!(client.get("/healthz").status, 200);
        assert_eq!(client.request("HEAD", "/healthz", &[]).status, 200);
    }
}

#[test]
fn the_server_is_ready_whenever_the_file_can_be_served() {
    let server = Server::start(&[]);
    let mut client = Client::connect(server.address);
    let states: [(&str, &dyn Fn()); 8] = [
        ("not there yet", &|| {}),
        ("empty", &|| server.append("")),
        ("an incomplete line", &|| server.append("1")),
        ("a line", &|| server.append("\n")),
        ("an old line", &|| age(&server, Duration::from_hours(1000))),
        ("deleted", &|| fs::remove_file(server.file()).unwrap()),
        ("there again", &|| server.append("2\n")),
        ("replaced", &|| server.replace("3\n")),
    ];
    for (what, happens) in states {
        happens();
        let data = client.get("/data").status;
        let (ready, body) = ready(&mut client);
        assert_eq!((ready, data), if server.file().exists() { (200, 200) } else { (503, 503) }, "{what}: {body}");
    }
}

#[test]
fn readiness_tells_length_age_and_generation() {
    let server = Server::start(&[]);
    let mut client = Client::connect(server.address);
    let (_, body) = ready(&mut client);
    for unknown in ["length", "age_seconds", "generation", "upstream_lag_seconds"] {
        assert_eq!(body.get(unknown), Some(&Value::Null), "{unknown}");
    }
    for content in ["", "1", "1\n", "1\n22\n3"] {
        server.replace(content);
        age(&server, Duration::from_secs(100));
        let (_, body) = ready(&mut client);
        let data = client.get("/data");
        let tag = format!("\"{}-{}\"", body["generation"].as_str().unwrap(), body["length"]);
        assert_eq!(tag, data.the("etag"), "{content:?}");
        assert_eq!(body["length"], data.body.len());
        match body["age_seconds"].as_f64() {
            // The clock goes on between the two, but hardly for an hour.
            Some(age) => assert!((100.0..3700.0).contains(&age), "{age}"),
            None => assert_eq!(data.body, b"", "without a line there is no age"),
        }
        assert_eq!(body["age_seconds"].is_null(), data.body.is_empty(), "{content:?}");
    }
    File::open(server.file()).unwrap().set_modified(SystemTime::now() + Duration::from_hours(1)).unwrap();
    let seen = ready(&mut client).1["age_seconds"].as_f64().unwrap();
    assert!(seen < 60.0, "what comes from the future is new when it is first seen: {seen}");
    eventually("it ages from then on", || ready(&mut client).1["age_seconds"].as_f64().unwrap() > seen);
}

#[test]
fn a_server_that_must_be_fresh_is_ready_only_while_it_is() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data"), "1\n").unwrap();
    let server = Server::start_in(folder, &["--fresh-within", "1h"]);
    let mut client = Client::connect(server.address);
    let states: [(&str, &dyn Fn(), u16); 8] = [
        ("just written", &|| {}, 200),
        ("half as old", &|| age(&server, Duration::from_mins(30)), 200),
        ("twice as old", &|| age(&server, Duration::from_hours(2)), 503),
        ("a new line", &|| server.append("2\n"), 200),
        ("old again", &|| age(&server, Duration::from_mins(61)), 503),
        ("another file", &|| server.replace("3\n"), 200),
        ("no line", &|| server.replace(""), 503),
        ("no file", &|| fs::remove_file(server.file()).unwrap(), 503),
    ];
    for (what, happens, expected) in states {
        happens();
        let (ready, body) = ready(&mut client);
        assert_eq!(ready, expected, "{what}: {body}");
        // However old it is, it can be had.
        assert_eq!(get(server.address, "/data").status, if server.file().exists() { 200 } else { 503 }, "{what}");
    }
}

/// A writer that hangs in the middle of a line is as late as one that hangs between two.
#[test]
fn an_incomplete_line_makes_nothing_fresh() {
    let server = Server::serving("1\n");
    let mut client = Client::connect(server.address);
    age(&server, Duration::from_secs(100));
    let mut age_of_newest_line = || ready(&mut client).1["age_seconds"].as_f64().unwrap();
    assert!(age_of_newest_line() > 99.0);
    server.append("2");
    assert!(age_of_newest_line() > 99.0, "begun");
    server.append("2");
    assert!(age_of_newest_line() > 99.0, "gone on with");
    server.append("\n");
    assert!(age_of_newest_line() < 60.0, "complete");
}
