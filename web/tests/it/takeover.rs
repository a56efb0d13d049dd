//! Of several replicas one follows, and another takes over within five seconds.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::client::get;
use crate::follow::has_file;
use crate::link::Link;
use crate::postgres::{Database, database};
use crate::process::{Web, eventually};
use crate::programs::Echo;

/// What all that follow have at most to be silent before another may take over.
const TAKEOVER: Duration = Duration::from_secs(5);

fn replica(database: &Database, port: u16, echo: &Echo, name: &str) -> Web {
    let mut command = database.web_through(port);
    Web::start(command.env("WEB_FOLLOW", echo.url()).env("WEB_NAME", name))
}

fn ready(server: &Web) -> Value {
    get(server.address, "/readyz").json()
}

/// Lets `end` happen to the replica that follows, and measures how long it takes until the other stores a new line. The
/// quickest of three counts: what a program waits for it waits for every time, a busy machine does not.
fn is_taken_over_when(end: impl Fn(&Web, &Link)) {
    let mut took = Vec::new();
    while took.len() < 3 && took.iter().all(|took| *took > TAKEOVER) {
        let Some(database) = database() else { return };
        let echo = Echo::serving("1\n");
        let link = Link::to(([127, 0, 0, 1], database.port).into());
        let first = replica(&database, link.port, &echo, "first");
        first.program.logged("following");
        let second = replica(&database, database.port, &echo, "second");
        eventually("the second knows who follows", || ready(&second)["follower"] == "first");
        assert_eq!((&ready(&first)["is_follower"], &ready(&second)["is_follower"]), (&true.into(), &false.into()));
        has_file(&second, &echo, "1\n");
        let began = Instant::now();
        end(&first, &link);
        second.program.logged("following");
        took.push(began.elapsed());
        echo.append("2\n");
        has_file(&second, &echo, "1\n2\n");
        eventually("the second follows", || ready(&second)["follower"] == "second");
    }
    assert!(took.iter().any(|took| *took <= TAKEOVER), "{took:?}");
}

#[test]
fn when_it_is_killed() {
    is_taken_over_when(|first, _| first.program.signal(Signal::KILL));
}

#[test]
fn when_it_is_asked_to_stop() {
    is_taken_over_when(|first, _| first.program.signal(Signal::TERM));
}

#[test]
fn when_it_hangs() {
    is_taken_over_when(|first, _| first.program.signal(Signal::STOP));
}

#[test]
fn when_its_link_to_the_database_is_silent() {
    is_taken_over_when(|_, link| link.silence(true));
}

#[test]
fn a_link_to_the_echo_that_is_cut_is_opened_again() {
    let Some(database) = database() else { return };
    let echo = Echo::serving("1\n");
    let link = Link::to(echo.address);
    let server = Web::start(database.web().env("WEB_FOLLOW", format!("http://{}/data", link.address())));
    has_file(&server, &echo, "1\n");
    link.cut();
    echo.append("2\n");
    has_file(&server, &echo, "1\n2\n");
    assert_eq!(database.count(), 2);
}

#[test]
fn one_that_wakes_up_does_no_harm() {
    let Some(database) = database() else { return };
    let echo = Echo::serving("1\n");
    let first = replica(&database, database.port, &echo, "first");
    has_file(&first, &echo, "1\n");
    let second = replica(&database, database.port, &echo, "second");
    second.program.logged("the database is there");
    first.program.signal(Signal::STOP);
    second.program.logged("following");
    echo.append("2\n");
    has_file(&second, &echo, "1\n2\n");
    first.program.signal(Signal::CONT);
    eventually("the first has noticed", || ready(&first)["is_follower"] == false);
    echo.append("3\n");
    has_file(&first, &echo, "1\n2\n3\n");
    assert_eq!(database.sql("SELECT data FROM lines ORDER BY id"), "1\n2\n3");
}
