//! A followed file: its lines, its generations, and what is not text.

use crate::client::get;
use crate::postgres::{Database, database};
use crate::process::{Web, eventually};
use crate::programs::Echo;

use std::fs;

/// A server that follows `echo`.
fn follow(database: &Database, echo: &Echo) -> Web {
    let server = Web::start(database.web().env("WEB_FOLLOW", echo.url()));
    server.program.logged("the database is there");
    server
}

/// Waits until `server` has stored `content` of the present file of `echo`, and nothing else of it.
#[track_caller]
pub fn has_file(server: &Web, echo: &Echo, content: impl AsRef<[u8]>) {
    let content = content.as_ref();
    eventually("the file is stored", || get(echo.address, "/readyz").json()["length"] == content.len());
    let file = format!("/read?generation={}", echo.generation());
    let mut answer = None;
    eventually("the file is stored", || {
        let now = get(server.address, &file);
        answer = (now.status == 200 && now.body.len() >= content.len()).then_some(now);
        answer.is_some()
    });
    let answer = answer.unwrap();
    assert!(answer.body == content, "{:?}", String::from_utf8_lossy(&answer.body));
    assert!(answer.the("content-type").starts_with("text/plain"));
    assert_eq!(answer.the("content-length"), content.len().to_string());
}

#[test]
fn lines_are_stored_as_they_come() {
    let Some(database) = database() else { return };
    let echo = Echo::start();
    let server = follow(&database, &echo);
    server.program.logged("it has no file yet");
    let mut content = String::new();
    for lines in ["1\n", "22\n333\n", "\n\n", "é\r\n", "no end"] {
        echo.append(lines);
        content += lines;
        has_file(&server, &echo, &content[..=content.rfind('\n').unwrap()]);
    }
    echo.append(" yet\n");
    has_file(&server, &echo, content + " yet\n");
    assert_eq!(
        database.sql("SELECT id, data, start FROM lines ORDER BY start"),
        "1|1|0\n2|22|2\n3|333|5\n4||9\n5||10\n6|é\r|11\n7|no end yet|15"
    );
    assert_eq!(database.sql("SELECT DISTINCT generation FROM lines"), echo.generation());
    // Those of clients have no place.
    crate::client::write(server.address, "mine");
    assert_eq!(database.sql("SELECT id, data, generation, start FROM lines WHERE start IS NULL"), "8|mine||");
}

#[test]
fn a_file_that_is_there_already_is_stored_from_its_start() {
    let Some(database) = database() else { return };
    let content = (0..20_000).map(|number| number.to_string()).collect::<Vec<_>>().join("\n") + "\n";
    let echo = Echo::serving(&content);
    has_file(&follow(&database, &echo), &echo, &content);
    echo.append("more\n");
    // By another that goes on where the first was.
    has_file(&follow(&database, &echo), &echo, content + "more\n");
    assert_eq!(database.count(), 20_001);
    let unordered =
        "SELECT count(*) FROM (SELECT start - lag(start) OVER (ORDER BY id) AS step FROM lines) AS s WHERE step < 1";
    assert_eq!(database.sql(unordered), "0", "ids are in the order of lines");
}

#[test]
fn what_is_not_text_is_kept_byte_for_byte() {
    let Some(database) = database() else { return };
    let content = b"a\0b\n\xff\xfe\n\xed\xa0\x80\nfine\n\0\n";
    let echo = Echo::serving(content);
    let server = follow(&database, &echo);
    has_file(&server, &echo, content);
    assert_eq!(
        database.sql("SELECT data, raw FROM lines ORDER BY start"),
        "|\\x610062\n|\\xfffe\n|\\xeda080\nfine|\n|\\x00"
    );
    let lines = get(server.address, "/read").json();
    assert_eq!(lines["Lines"][0], serde_json::json!({ "id": 1, "data": "a\0b", "raw": "610062" }));
    assert_eq!(lines["Lines"][3], serde_json::json!({ "id": 4, "data": "fine" }));
}

#[test]
fn long_lines_are_stored_up_to_a_limit() {
    let Some(database) = database() else { return };
    let longest = "x".repeat(1 << 20);
    let content = format!("1\n{longest}\n{}\n2\n", "y".repeat(70_000));
    let echo = Echo::serving(&content);
    let server = follow(&database, &echo);
    has_file(&server, &echo, &content);
    echo.append(format!("3\n{longest}x\n4\n"));
    let reason =
        format!("the line at byte {} is longer than 1048576 bytes, and nothing behind it is stored", content.len() + 2);
    server.program.logged(&reason);
    assert_eq!(get(server.address, &format!("/read?generation={}", echo.generation())).text(), content + "3\n");
    assert_eq!(get(server.address, "/readyz").status, 200);
}

#[test]
fn another_file_is_another_run_and_a_gap_is_recorded() {
    let Some(database) = database() else { return };
    let echo = Echo::serving("1\n2\n");
    let server = follow(&database, &echo);
    has_file(&server, &echo, "1\n2\n");
    let first = echo.generation();
    echo.replace("9\n");
    eventually("the echo has it", || echo.generation() != first);
    has_file(&server, &echo, "9\n");
    let second = echo.generation();
    let gaps = "SELECT source, generation, bytes, next_generation, found IS NOT NULL, extent FROM gaps";
    assert_eq!(database.sql(gaps), format!("{}|{first}|4|{second}|t|unknown", echo.url()));
    assert_eq!(get(server.address, &format!("/read?generation={first}")).text(), "1\n2\n");
    server.program.logged("another file is there");
    // Emptied, and gone.
    fs::write(echo.file(), "").unwrap();
    eventually("the echo has it", || get(echo.address, "/readyz").json()["length"] == 0);
    echo.append("5\n");
    has_file(&server, &echo, "5\n");
    fs::remove_file(echo.file()).unwrap();
    eventually("the echo has it", || get(echo.address, "/readyz").status == 503);
    echo.append("6\n7\n");
    has_file(&server, &echo, "6\n7\n");
    assert_eq!(database.sql("SELECT data FROM lines ORDER BY id"), "1\n2\n9\n5\n6\n7");
    assert_eq!(database.sql("SELECT count(*) FROM gaps"), "3");
}

#[test]
fn a_file_that_comes_back_is_gone_on_with() {
    let Some(database) = database() else { return };
    let mut echo = Echo::serving("1\n");
    let server = follow(&database, &echo);
    has_file(&server, &echo, "1\n");
    let (first, kept) = (echo.generation(), echo.folder.path().join("kept"));
    fs::hard_link(echo.file(), &kept).unwrap();
    echo.replace("9\n");
    eventually("the echo has it", || echo.generation() != first);
    has_file(&server, &echo, "9\n");
    echo.kill();
    fs::rename(&kept, echo.file()).unwrap();
    echo.append("2\n");
    echo.run();
    assert_eq!(echo.generation(), first);
    has_file(&server, &echo, "1\n2\n");
    assert_eq!(database.sql("SELECT data FROM lines ORDER BY id"), "1\n9\n2");
    assert_eq!(database.sql("SELECT bytes FROM gaps ORDER BY id"), "2\n2");
}

#[test]
fn the_same_file_at_another_address_is_gone_on_with() {
    let Some(database) = database() else { return };
    let echo = Echo::serving("1\n2\n");
    has_file(&follow(&database, &echo), &echo, "1\n2\n");
    echo.append("3\n");
    let other = echo.url().replace("127.0.0.1", "localhost");
    let server = Web::start(database.web().env("WEB_FOLLOW", other));
    server.program.logged("the database is there");
    has_file(&server, &echo, "1\n2\n3\n");
    assert_eq!(database.count(), 3);
}

#[test]
fn what_is_no_echo_is_said_to_be_none() {
    let Some(database) = database() else { return };
    let other = database.serve();
    for (path, reason) in [("ping", "it is no echo"), ("nothing", "it answered 404")] {
        let server = Web::start(database.web().env("WEB_FOLLOW", format!("http://{}/{path}", other.address)));
        server.program.logged(reason);
        server.program.logged("the database is there");
        let ready = get(server.address, "/readyz");
        assert_eq!(
            (ready.status, ready.json()["trouble"].as_str().unwrap()),
            (200, &*format!("nothing comes from {}", other.address))
        );
    }
}
