//! The example that this program grew from: what it answers, byte for byte, and none of its faults.

use std::thread::ScopedJoinHandle;

use crate::client::{get, post, request, write};
use crate::postgres::database;
use crate::process::Web;

#[test]
fn answers_are_those_of_the_example() {
    let Some(database) = database() else { return };
    let mut server = Web::start(database.web().env("WEB_QUIT", "true"));
    server.program.logged("the database is there");
    let at = server.address;
    assert_eq!(get(at, "/read").text(), r#"{"success":"true","Lines":[]}"#);
    let answer = post(at, r#"{"data":"firstline"}"#);
    assert_eq!((answer.status, answer.text()), (200, r#"{"success": "true"}"#));
    assert!(answer.the("content-type").starts_with("text/plain"));
    for wrong in ["", "firstline", r#"{"data":7}"#, r#"["data"]"#, "{}", r#"{"data":null}"#] {
        let answer = post(at, wrong);
        assert_eq!((answer.status, answer.text().lines().count()), (400, 1), "{wrong:?}: {answer:?}");
    }
    assert_eq!(get(at, "/write").status, 405);
    let answer = get(at, "/read");
    assert_eq!((answer.status, answer.text()), (200, r#"{"success":"true","Lines":[{"id":1,"data":"firstline"}]}"#));
    for path in ["/ping", "/quit"] {
        let answer = get(at, path);
        assert_eq!((answer.status, answer.text()), (200, "<html>ok</html>"), "{path}");
        assert!(answer.the("content-type").starts_with("text/html"), "{path}");
    }
    assert_eq!(server.program.ended().code(), Some(0));
    // Started again, as the kubelet does it: the line is there.
    assert_eq!(get(database.serve().address, "/read").json()["Lines"][0]["data"], "firstline");
}

#[test]
fn quit_is_not_there_unless_it_is_asked_for() {
    let Some(database) = database() else { return };
    let server = database.serve();
    assert_eq!(get(server.address, "/quit").status, 404);
    let server = Web::start(database.web().arg("--quit"));
    for method in ["HEAD", "POST"] {
        let answer = request(server.address, method, "/quit", &["Content-Length: 0"], b"");
        assert_eq!((answer.status, answer.the("allow")), (405, "GET"), "{method}");
    }
    assert_eq!(get(server.address, "/ping").status, 200);
}

#[test]
fn a_line_is_any_text_and_its_id_is_the_databases() {
    let Some(database) = database() else { return };
    let server = database.serve();
    let lines = ["", " ", "a\nb\r\n", "é\u{1F600}\u{FEFF}", r#""\{}'; DROP TABLE lines; --"#, "\u{1}\u{7f}", "null"];
    for line in lines {
        assert_eq!(write(server.address, line).status, 200, "{line:?}");
    }
    assert_eq!(post(server.address, r#"{"id":1000,"data":"id"}"#).status, 200);
    let read = get(server.address, "/read").json();
    let found: Vec<_> = read["Lines"].as_array().unwrap().iter().map(|line| line["data"].as_str().unwrap()).collect();
    assert_eq!(found, [&lines[..], &["id"]].concat());
    let ids: Vec<_> = read["Lines"].as_array().unwrap().iter().map(|line| line["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (1..=8).collect::<Vec<_>>());
}

#[test]
fn ids_are_given_in_the_order_in_which_lines_can_be_seen() {
    let Some(database) = database() else { return };
    let servers = [database.serve(), database.serve()];
    let mut seen: Vec<u64> = Vec::new();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..6)
            .map(|number| {
                let at = servers[number % 2].address;
                scope.spawn(move || (0..40).for_each(|_| assert_eq!(write(at, "x").status, 200)))
            })
            .collect();
        // A reader that goes on behind the last id that it saw.
        let mut is_last = false;
        while !is_last {
            is_last = writers.iter().all(ScopedJoinHandle::is_finished);
            let after = seen.last().copied().unwrap_or(0);
            let lines = get(servers[0].address, &format!("/read?after={after}")).json();
            seen.extend(lines["Lines"].as_array().unwrap().iter().map(|line| line["id"].as_u64().unwrap()));
        }
    });
    assert_eq!(seen, (1..=240).collect::<Vec<_>>());
}
