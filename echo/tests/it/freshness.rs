//! An answer is as fresh as the file: what was done before the request came is seen.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::client::Client;
use crate::process::{Server, eventually};

const TIMES: usize = 1000;

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).unwrap()
}

#[test]
fn every_append_is_seen_at_once() {
    let server = Server::serving("");
    let mut client = Client::connect(server.address);
    let mut content = String::new();
    for i in 0..TIMES {
        let line = format!("{i}\n");
        server.append(&line);
        content += &line;
        assert_eq!(client.get("/data").text(), content);
    }
}

#[test]
fn every_replacement_is_seen_at_once() {
    let server = Server::serving("");
    let mut client = Client::connect(server.address);
    for i in 0..TIMES {
        let content = format!("{i:04}\n");
        server.replace(&content);
        assert_eq!(client.get("/data").text(), content);
    }
}

#[test]
fn every_truncation_is_seen_at_once() {
    let server = Server::serving("1\n".repeat(TIMES));
    let mut client = Client::connect(server.address);
    let file = open(&server.file());
    for lines in (0..TIMES).rev() {
        file.set_len(2 * lines as u64).unwrap();
        assert_eq!(client.get("/data").body.len(), 2 * lines);
    }
}

/// Neither size nor inode tells, and many of the writes are within one tick of the clock that files are stamped with.
#[test]
fn every_rewrite_in_place_is_seen_at_once() {
    let server = Server::serving("0000\n0000\n");
    let mut client = Client::connect(server.address);
    let file = open(&server.file());
    for i in 0..TIMES {
        // The end of the last complete line moves, too.
        let content = if i % 2 == 0 { format!("{i:04}\n0000\n") } else { format!("{i:04}\n00000") };
        file.write_all_at(content.as_bytes(), 0).unwrap();
        let visible = &content[..=content.rfind('\n').unwrap()];
        assert_eq!(client.get("/data").text(), visible);
    }
}

#[test]
fn coming_and_going_is_seen_at_once() {
    let server = Server::start(&[]);
    let mut client = Client::connect(server.address);
    for i in 0..TIMES / 2 {
        let content = format!("{i}\n");
        fs::write(server.file(), &content).unwrap();
        assert_eq!(client.get("/data").text(), content);
        fs::remove_file(server.file()).unwrap();
        assert_eq!(client.get("/data").status, 503);
    }
}

/// A server may remember what it found while nothing changes; here it has had the time to.
#[test]
fn whatever_is_done_to_a_file_long_left_alone_is_seen_at_once() {
    let server = Server::start(&[]);
    let mut client = Client::connect(server.address);
    let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let in_place = |content: &str| {
        let file = open(&server.file());
        file.write_all_at(content.as_bytes(), 0).unwrap();
        file
    };
    let changes: [(&str, &dyn Fn(), &str); 8] = [
        ("appended", &|| server.append("3\n"), "1\n2\n3\n"),
        ("appended a torn line", &|| server.append("3"), "1\n2\n"),
        ("truncated", &|| open(&server.file()).set_len(2).unwrap(), "1\n"),
        ("rewritten", &|| drop(in_place("5\n6\n")), "5\n6\n"),
        ("rewritten and set back", &|| in_place("5\n6\n").set_modified(old).unwrap(), "5\n6\n"),
        ("torn in place and set back", &|| in_place("1\n22").set_modified(old).unwrap(), "1\n"),
        ("replaced", &|| server.replace("5\n6\n"), "5\n6\n"),
        (
            "replaced by a file of the same size and time",
            &|| {
                let new = server.folder.path().join("new");
                fs::write(&new, "5\n6\n").unwrap();
                open(&new).set_modified(old).unwrap();
                fs::rename(&new, server.file()).unwrap();
            },
            "5\n6\n",
        ),
    ];
    for (what, change, seen) in changes {
        server.replace("1\n2\n");
        open(&server.file()).set_modified(old).unwrap();
        eventually("the file was left alone for a while", || {
            let metadata = fs::metadata(server.file()).unwrap();
            let (seconds, nanoseconds) =
                (metadata.ctime().try_into().unwrap(), metadata.ctime_nsec().try_into().unwrap());
            let touched = UNIX_EPOCH + Duration::new(seconds, nanoseconds);
            SystemTime::now().duration_since(touched).is_ok_and(|age| age > Duration::from_millis(200))
        });
        for _ in 0..3 {
            assert_eq!(client.get("/data").text(), "1\n2\n");
        }
        change();
        assert_eq!(client.get("/data").text(), seen, "{what}");
    }
}

/// What is read of the end of the file is the same before and after.
#[test]
fn of_lines_that_are_all_alike_each_new_one_is_seen_at_once() {
    let mut length = 40_000;
    let server = Server::serving("1\n".repeat(length / 2));
    let mut client = Client::connect(server.address);
    for _ in 0..TIMES {
        assert_eq!(client.get("/data").body.len(), length);
        server.append("1\n");
        length += 2;
    }
}

/// Requests that come at the same time share one look at the file; it must come after all of them.
#[test]
fn every_append_is_seen_at_once_by_each_of_many_clients() {
    let server = Server::serving("");
    let appended = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = Client::connect(server.address);
                while appended.load(Ordering::SeqCst) < TIMES {
                    let before = appended.load(Ordering::SeqCst);
                    let seen = client.get("/data").body.len() / 2;
                    assert!(seen >= before, "{seen} lines of at least {before}");
                }
            });
        }
        for i in 0..TIMES {
            server.append("1\n");
            appended.store(i + 1, Ordering::SeqCst);
            thread::yield_now();
        }
    });
}

/// Once its last change lies a moment back, the answers about a file are kept, and given again to the same request.
#[test]
fn an_answer_given_again_is_as_fresh_and_is_counted() {
    let server = Server::serving("1\n");
    let mut client = Client::connect(server.address);
    let mut ask = |requests: usize| -> Vec<String> {
        thread::sleep(Duration::from_millis(100)); // until the change lies a moment back
        (0..requests).map(|_| client.get("/data").text().to_owned()).collect()
    };
    assert_eq!(ask(5), ["1\n"; 5]);
    server.append("2\n");
    assert_eq!(ask(5), ["1\n2\n"; 5]);
    server.replace("3\n");
    assert_eq!(ask(5), ["3\n"; 5]);
    fs::write(server.file(), "4\n").unwrap();
    assert_eq!(ask(5), ["4\n"; 5]);
    server.append("5\n");
    assert_eq!(client.get("/data").text(), "4\n5\n");
    let metrics = client.get("/metrics");
    for sample in ["echo_served_bytes_total 54", r#"code="200"} 21"#] {
        assert!(metrics.text().contains(sample), "{sample}: {}", metrics.text());
    }
}
