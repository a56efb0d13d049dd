//! The log.

use std::process::Stdio;

use crate::client::get;
use crate::postgres::database;
use crate::process::{Web, eventually, web};

#[test]
fn a_log_in_json_is_an_object_a_line() {
    let Some(database) = database() else { return };
    let server = Web::start(database.web().env("WEB_LOG_FORMAT", "json"));
    let line = server.program.logged("the database is there");
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"the database is there".into()));
}

#[test]
fn a_request_logs_nothing_unless_asked() {
    let Some(database) = database() else { return };
    let server = database.serve();
    let before = server.program.log();
    for path in ["/read", "/nowhere", "/metrics"] {
        get(server.address, path);
    }
    assert_eq!(server.program.log(), before);
}

#[test]
fn a_log_that_nobody_reads_holds_nothing_up() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let mut command = web();
    command.env("db_host", "127.0.0.1").env("db_port", "1").env("db_user", "me").args(["--log-level", "debug"]);
    command.env("WEB_LISTEN", address.to_string()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    eventually("it listens", || std::net::TcpStream::connect(address).is_ok());
    for _ in 0..3000 {
        assert_eq!(get(address, "/ping").status, 200); // each logs a line, and together they fill the pipe
    }
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    eventually("it ends", || child.try_wait().unwrap().is_some());
}
