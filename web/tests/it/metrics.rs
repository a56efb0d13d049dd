//! `/metrics`.

use crate::client::{get, write};
use crate::follow::has_file;
use crate::postgres::database;
use crate::process::{Web, web};
use crate::programs::Echo;

/// The value of one sample.
fn sample(server: &Web, name: &str) -> Option<f64> {
    let metrics = get(server.address, "/metrics");
    let line = metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.to_owned();
    Some(line.parse().unwrap())
}

#[test]
fn lines_and_requests_are_counted() {
    let Some(database) = database() else { return };
    let server = database.serve();
    for line in ["1", "2", "\0"] {
        write(server.address, line);
    }
    get(server.address, "/read?limit=1");
    get(server.address, "/one");
    get(server.address, "/another");
    assert_eq!(sample(&server, "web_database_up"), Some(1.0));
    assert_eq!(sample(&server, "web_written_lines_total"), Some(2.0));
    assert_eq!(sample(&server, "web_read_lines_total"), Some(1.0));
    let count = |labels: &str| sample(&server, &format!("web_http_requests_total{{{labels}}}"));
    assert_eq!(count(r#"route="/write",method="POST",code="200""#), Some(2.0));
    assert_eq!(count(r#"route="/write",method="POST",code="400""#), Some(1.0));
    assert_eq!(count(r#"route="other",method="GET",code="404""#), Some(2.0));
    assert_eq!(sample(&server, "web_follow_is_follower"), None);
}

#[test]
fn following_is_measured() {
    let Some(database) = database() else { return };
    let echo = Echo::serving("1\n2\n");
    let server = Web::start(database.web().env("WEB_FOLLOW", echo.url()));
    has_file(&server, &echo, "1\n2\n");
    echo.replace("3\n");
    has_file(&server, &echo, "3\n");
    for (name, value) in [
        ("is_follower", 1.0),
        ("lag_bytes", 0.0),
        ("stored_bytes", 2.0),
        ("lines_total", 3.0),
        ("batches_total", 2.0),
        ("gaps_total", 1.0),
    ] {
        assert_eq!(sample(&server, &format!("web_follow_{name}")), Some(value), "{name}");
    }
}

#[test]
fn figures_do_not_need_the_database() {
    let server = Web::start(web().env("db_host", "127.0.0.1").env("db_port", "1").env("db_user", "me"));
    assert_eq!(sample(&server, "web_database_up"), Some(0.0));
}

#[test]
fn every_family_has_a_help_and_a_type() {
    let Some(database) = database() else { return };
    let server = Web::start(database.web().env("WEB_FOLLOW", "http://127.0.0.1:1/data"));
    get(server.address, "/read");
    let answer = get(server.address, "/metrics");
    assert_eq!(answer.the("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for line in answer.text().lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        for comment in ["HELP", "TYPE"] {
            assert!(answer.text().contains(&format!("# {comment} {family} ")), "{family} has no {comment}");
        }
    }
}
