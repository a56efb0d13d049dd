//! `/metrics`: what the server says about itself.

use std::fs;
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::client::{get, request};
use crate::process::Server;

/// The value of one sample.
fn sample(server: &Server, name: &str) -> Option<f64> {
    let metrics = get(server.address, "/metrics");
    let line = metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?.to_owned();
    Some(line.parse().unwrap())
}

#[test]
fn the_file_is_measured() {
    let server = Server::serving("1\n22\n3");
    assert_eq!(sample(&server, "echo_file_length_bytes"), Some(5.0));
    assert!(sample(&server, "echo_newest_line_age_seconds").unwrap() < 60.0);
    server.replace("9\n");
    assert_eq!(sample(&server, "echo_file_length_bytes"), Some(2.0));
    assert_eq!(sample(&server, "echo_generation_changes_total"), Some(1.0));
    fs::remove_file(server.file()).unwrap();
    assert_eq!(sample(&server, "echo_file_length_bytes"), None);
    assert_eq!(sample(&server, "echo_newest_line_age_seconds"), None);
}

#[test]
fn the_process_is_measured() {
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let server = Server::serving("1\n");
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let figure = |name: &str| sample(&server, &format!("process_{name}")).unwrap();
    // The kernel tells when it was booted in whole seconds.
    assert!((before - 2.0..after + 2.0).contains(&figure("start_time_seconds")));
    assert!(figure("cpu_seconds_total") < 60.0);
    assert!(figure("resident_memory_bytes") > 100_000.0);
    assert!(figure("virtual_memory_bytes") >= figure("resident_memory_bytes"));
    let open = figure("open_fds");
    let _connections: Vec<_> = (0..5).map(|_| TcpStream::connect(server.address).unwrap()).collect();
    get(server.address, "/healthz"); // accepted after the others
    assert!(figure("open_fds") >= open + 5.0);
    assert!(figure("max_fds") >= figure("open_fds"));
}

#[test]
fn what_was_served_is_counted() {
    let server = Server::serving("1\n22\n");
    for (path, headers) in [("/data", &[][..]), ("/data", &["Range: bytes=2-4"]), ("/data?offset=-1", &[])] {
        request(server.address, "GET", path, headers);
    }
    request(server.address, "HEAD", "/data", &[]);
    assert_eq!(sample(&server, "echo_served_bytes_total"), Some(13.0));
}

#[test]
fn requests_are_counted_by_what_clients_cannot_invent() {
    let server = Server::serving("1\n");
    get(server.address, "/data");
    get(server.address, "/data?offset=-1");
    get(server.address, "/one");
    get(server.address, "/another");
    request(server.address, "BREW", "/data", &[]);
    let count = |labels: &str| sample(&server, &format!("echo_http_requests_total{{{labels}}}"));
    assert_eq!(count(r#"route="/data",method="GET",code="200""#), Some(2.0));
    assert_eq!(count(r#"route="other",method="GET",code="404""#), Some(2.0));
    assert_eq!(count(r#"route="/data",method="other",code="405""#), Some(1.0));
    let all = sample(&server, "echo_http_request_duration_seconds_count").unwrap();
    assert_eq!(sample(&server, "echo_http_request_duration_seconds_bucket{le=\"+Inf\"}"), Some(all + 1.0));
}

#[test]
fn requests_for_the_file_are_counted_as_such_however_it_is_named() {
    for (name, path, label) in [
        ("data", "/d%61ta", "/data"),
        ("my data", "/my%20data", "/my data"),
        ("größe", "/gr%C3%B6%C3%9Fe", "/größe"),
        ("a\nb\"c\\d", "/a%0Ab%22c%5Cd", r#"/a\nb\"c\\d"#),
    ] {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(name), "1\n").unwrap();
        let server = Server::start_in(folder, &["--file", name]);
        for _ in 0..3 {
            assert_eq!(get(server.address, path).status, 200);
        }
        let labels = format!(r#"route="{label}",method="GET",code="200""#);
        assert_eq!(sample(&server, &format!("echo_http_requests_total{{{labels}}}")), Some(3.0), "{name:?}");
    }
}

#[test]
fn every_family_has_a_help_and_a_type() {
    let server = Server::serving("1\n");
    get(server.address, "/data");
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
