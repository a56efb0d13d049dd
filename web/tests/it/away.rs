//! A database that is not there yet, goes away, comes back, or says nothing.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::client::{get, write};
use crate::link::Link;
use crate::postgres::{Postgres, database};
use crate::process::{Web, eventually, web};

#[test]
fn nothing_is_lost_in_silence_while_the_database_is_away() {
    let Some(mut postgres) = Postgres::start() else { return };
    let database = postgres.database();
    let server = database.serve();
    assert_eq!(write(server.address, "1").status, 200);
    postgres.stop();
    eventually("the loss is noticed", || get(server.address, "/readyz").status == 503);
    for answer in [write(server.address, "2"), get(server.address, "/read")] {
        assert_eq!((answer.status, answer.the("retry-after"), answer.text().lines().count()), (503, "1", 1));
    }
    assert_eq!(get(server.address, "/healthz").status, 200);
    postgres.run();
    eventually("the database is used again", || write(server.address, "3").status == 200);
    assert_eq!(database.sql("SELECT data FROM lines"), "1\n3");
}

#[test]
fn a_server_starts_without_its_database() {
    let Some(mut postgres) = Postgres::start() else { return };
    let database = postgres.database();
    postgres.stop();
    let server = Web::start(&mut database.web());
    server.program.logged("waiting for the database");
    assert_eq!(get(server.address, "/readyz").json()["reason"], "the database does not answer");
    assert_eq!(get(server.address, "/ping").status, 200);
    postgres.run();
    server.program.logged("the database is there");
    assert_eq!(get(server.address, "/readyz").status, 200);
}

#[test]
fn trouble_is_logged_once_and_no_secret_ever() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = web();
    command.args(["--log-level", "trace"]).env("db_host", "127.0.0.1").env("db_port", nobody.to_string());
    let server = Web::start(command.env("db_user", "me").env("db_pass", "Geheimnis"));
    server.program.logged("waiting for the database");
    std::thread::sleep(Duration::from_millis(500)); // several attempts
    for _ in 0..3 {
        assert_eq!(write(server.address, "x").status, 503);
    }
    let log = server.program.log();
    assert_eq!(log.matches("waiting for the database").count(), 1, "{log}");
    assert!(!log.contains("Geheimnis"), "{log}");
}

#[test]
fn a_database_that_says_nothing_is_given_up() {
    let Some(database) = database() else { return };
    let link = Link::to(([127, 0, 0, 1], database.port).into());
    let server = Web::start(&mut database.web_through(link.port));
    server.program.logged("the database is there");
    link.silence(true);
    let asked = Instant::now();
    assert_eq!(get(server.address, "/readyz").status, 503);
    assert_eq!(get(server.address, "/healthz").status, 200);
    assert_eq!(write(server.address, "x").status, 503);
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    link.cut();
    link.silence(false);
    eventually("the database is used again", || write(server.address, "x").status == 200);
}

#[test]
fn a_session_that_the_database_ends_is_opened_again() {
    let Some(database) = database() else { return };
    let server = database.serve();
    for _ in 0..3 {
        database.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        eventually("the database is used again", || write(server.address, "x").status == 200);
    }
}

#[test]
fn a_statement_that_waits_for_a_lock_is_given_up() {
    let Some(database) = database() else { return };
    let server = database.serve();
    let mut psql = database.session();
    psql.run("BEGIN; LOCK TABLE lines IN ACCESS EXCLUSIVE MODE;");
    for answer in [write(server.address, "x"), get(server.address, "/read")] {
        assert_eq!(answer.status, 503);
    }
    psql.run("ROLLBACK;");
    assert_eq!(write(server.address, "x").status, 200);
    assert_eq!(database.count(), 1, "what was given up was not stored later");
}
