//! `/healthz` and `/readyz`.

use serde_json::{Value, json};

use crate::client::get;
use crate::follow::has_file;
use crate::postgres::database;
use crate::process::{Web, eventually};
use crate::programs::Echo;

fn ready(server: &Web) -> Value {
    let answer = get(server.address, "/readyz");
    assert_eq!((answer.status, answer.the("content-type")), (200, "application/json"), "{answer:?}");
    answer.json()
}

#[test]
fn readiness_without_a_file_is_that_of_the_database() {
    let Some(database) = database() else { return };
    let server = database.serve();
    assert_eq!(ready(&server), json!({ "ready": true, "reason": null }));
    assert_eq!(get(server.address, "/healthz").text(), "ok\n");
}

#[test]
fn readiness_tells_who_follows_and_how_far() {
    let Some(database) = database() else { return };
    let echo = Echo::serving("1\n22\n");
    let start = |name| Web::start(database.web().env("WEB_FOLLOW", echo.url()).env("WEB_NAME", name));
    let servers = ["one", "another"].map(start);
    for server in &servers {
        server.program.logged("the database is there");
    }
    has_file(&servers[0], &echo, "1\n22\n");
    let follower = ready(&servers[1])["follower"].as_str().unwrap().to_owned();
    for server in &servers {
        // Of two that start at the same time, one may have to try again, and says so until it has.
        eventually("it is in no trouble", || ready(server)["trouble"].is_null());
    }
    for (server, name) in servers.iter().zip(["one", "another"]) {
        let mut ready = ready(server);
        let age = ready["age_seconds"].take().as_f64().unwrap();
        assert!((0.0..60.0).contains(&age), "{age}");
        let expected = json!({
            "ready": true, "reason": null, "follower": follower, "is_follower": follower == name,
            "generation": echo.generation(), "length": 5, "lag_bytes": 0, "age_seconds": null, "trouble": null,
        });
        assert_eq!(ready, expected, "{}", server.program.log());
    }
}

#[test]
fn an_echo_that_is_away_is_told_and_no_reason_to_be_unready() {
    let Some(database) = database() else { return };
    let mut echo = Echo::serving("1\n");
    let server = Web::start(database.web().env("WEB_FOLLOW", echo.url()));
    has_file(&server, &echo, "1\n");
    echo.kill();
    let trouble = format!("nothing comes from {}", echo.address);
    eventually("the trouble is told", || ready(&server)["trouble"] == *trouble);
    assert_eq!(ready(&server)["length"], 2);
    echo.run();
    echo.append("2\n");
    has_file(&server, &echo, "1\n2\n");
    assert_eq!(ready(&server)["trouble"], Value::Null);
}
