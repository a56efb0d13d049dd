//! `/read`: pages, streams, and the memory that they take.

use std::io::Read;

use crate::client::{connect, get, head, request};
use crate::postgres::{Database, database};
use crate::process::{Web, eventually};

use std::io::Write;

/// Puts so many lines into the database: their own number, as text.
fn fill(database: &Database, lines: u64) {
    database.sql(&format!("INSERT INTO lines (data) SELECT number FROM generate_series(1, {lines}) AS number"));
}

fn ids(server: &Web, query: &str) -> Vec<u64> {
    let lines = get(server.address, &format!("/read?{query}")).json();
    lines["Lines"].as_array().unwrap().iter().map(|line| line["id"].as_u64().unwrap()).collect()
}

#[test]
fn lines_are_read_in_order_from_anywhere() {
    let Some(database) = database() else { return };
    let server = database.serve();
    fill(&database, 5000);
    database.sql("DELETE FROM lines WHERE id % 10 = 0");
    let all: Vec<_> = (1..=5000).filter(|id| id % 10 != 0).collect();
    assert_eq!(ids(&server, ""), all);
    assert_eq!(ids(&server, "after=0"), all);
    assert_eq!(ids(&server, "after=10&limit=3"), [11, 12, 13]);
    assert_eq!(ids(&server, "limit=3000"), all[..3000]);
    assert_eq!(ids(&server, "after=4990"), (4991..=4999).collect::<Vec<_>>());
    assert!(ids(&server, "after=5000").is_empty());
    assert!(ids(&server, "after=9223372036854775807").is_empty());
    // Page by page, as a reader does that goes on where it was.
    let mut seen = Vec::new();
    loop {
        let page = ids(&server, &format!("after={}&limit=700", seen.last().copied().unwrap_or(0)));
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, all);
    assert_eq!(request(server.address, "HEAD", "/read", &[], b"").body, b"");
}

#[test]
fn lines_of_all_sizes_are_read_whole() {
    let Some(database) = database() else { return };
    let server = database.serve();
    let sizes = [0, 1, 65_535, 65_536, 1 << 20, 3, 200_000, 0];
    for size in sizes {
        database.sql(&format!("INSERT INTO lines (data) VALUES (repeat('x', {size}))"));
    }
    let lines = get(server.address, "/read").json();
    let found: Vec<_> =
        lines["Lines"].as_array().unwrap().iter().map(|line| line["data"].as_str().unwrap().len()).collect();
    assert_eq!(found, sizes);
}

#[test]
fn what_comes_later_is_not_part_of_an_answer() {
    let Some(database) = database() else { return };
    let server = database.serve();
    fill(&database, 100_000);
    let mut stream = connect(server.address);
    stream.write_all(head("GET", "/read", &[]).as_bytes()).unwrap();
    let mut begin = [0; 1000];
    stream.read_exact(&mut begin).unwrap();
    fill(&database, 1000);
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("\"id\":100000,"), "all that was there");
    assert!(!rest.contains("\"id\":100001,"), "and no more");
    assert!(rest.ends_with("]}\r\n0\r\n\r\n"));
}

#[test]
fn clients_that_read_nothing_hold_up_nobody() {
    let Some(database) = database() else { return };
    let server = database.serve();
    fill(&database, 100_000);
    let stalled: Vec<_> = (0..32)
        .map(|_| {
            let mut stream = connect(server.address);
            stream.write_all(head("GET", "/read", &[]).as_bytes()).unwrap();
            stream.read_exact(&mut [0; 100]).unwrap();
            stream
        })
        .collect();
    let answer = get(server.address, "/read?limit=1");
    assert_eq!((answer.status, answer.the("retry-after")), (503, "1"), "there are as many readers as there may be");
    assert_eq!(get(server.address, "/readyz").status, 200);
    assert_eq!(crate::client::write(server.address, "x").status, 200);
    drop(stalled);
    eventually("there is room again", || get(server.address, "/read?limit=1").status == 200);
}

#[test]
fn an_answer_that_the_database_does_not_finish_is_cut_short() {
    let Some(database) = database() else { return };
    let server = database.serve();
    fill(&database, 100_000);
    let mut stream = connect(server.address);
    stream.write_all(head("GET", "/read", &[]).as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1000]).unwrap();
    database.sql("ALTER TABLE lines RENAME TO elsewhere");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(!rest.ends_with(b"0\r\n\r\n"), "it must not look complete");
    assert_eq!(get(server.address, "/read").status, 503);
}

/// The most memory that the program ever had, in kibibytes.
pub fn peak_memory(server: &Web) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.program.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn reading_takes_no_more_memory_for_more_lines() {
    let Some(database) = database() else { return };
    let server = database.serve();
    fill(&database, 150_000);
    let answer = get(server.address, "/read");
    assert!(!answer.cut_short && answer.text().ends_with("\"id\":150000,\"data\":\"150000\"}]}"));
    assert!(peak_memory(&server) < 32 * 1024, "{} KiB", peak_memory(&server));
}

/// Takes about two minutes.
#[test]
#[ignore = "ten million lines"]
fn ten_million_lines_are_read_in_little_memory() {
    let Some(database) = database() else { return };
    let server = database.serve();
    fill(&database, 10_000_000);
    let mut stream = connect(server.address);
    stream.write_all(head("GET", "/read", &[]).as_bytes()).unwrap();
    let (mut piece, mut end, mut length) = (vec![0; 1 << 20], Vec::new(), 0);
    loop {
        let read = stream.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        length += read as u64;
        end.extend_from_slice(&piece[..read]);
        end.drain(..end.len().saturating_sub(100));
    }
    assert!(String::from_utf8(end).unwrap().ends_with("\"data\":\"10000000\"}]}\r\n0\r\n\r\n"));
    assert!(length > 250_000_000, "{length}");
    println!("{length} bytes in {} KiB", peak_memory(&server));
    assert!(peak_memory(&server) < 32 * 1024, "{} KiB", peak_memory(&server));
}
