//! `Range` (RFC 9110 §14): bytes that the client names, never past the last complete line.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::ops::Range;
use std::thread;

use crate::client::{Answer, Client, get};
use crate::process::Server;

const CONTENT: &str = "0123\n5678\n";
const HUGE: &str = "99999999999999999999999999999999999999";

fn ask(client: &mut Client, ranges: &str) -> Answer {
    client.request("GET", "/data", &[&format!("Range: {ranges}")])
}

/// Checks that `answer` is `range` of `content`, and says so.
#[track_caller]
fn is_part(answer: &Answer, range: Range<usize>, content: &[u8]) {
    assert_eq!(answer.status, 206, "{range:?}");
    let announced = format!("bytes {}-{}/{}", range.start, range.end - 1, content.len());
    assert_eq!(answer.the("content-range"), announced);
    assert_eq!(answer.the("content-length"), range.len().to_string());
    assert!(answer.body == content[range], "{announced}: other bytes came");
}

/// Checks that `answer` is 416 as it has to be for a file of `length`.
#[track_caller]
fn is_unsatisfiable(answer: &Answer, length: usize) {
    assert_eq!((answer.status, answer.the("content-range")), (416, &*format!("bytes */{length}")));
    // What a client that resumes gets as a body, it appends to its file.
    assert_eq!((answer.the("content-length"), answer.text()), ("0", ""));
}

#[test]
fn a_range_is_answered_with_its_bytes() {
    let server = Server::serving(CONTENT);
    let mut client = Client::connect(server.address);
    for (ranges, part) in [
        ("bytes=0-0", 0..1),
        ("bytes=0-3", 0..4),
        ("bytes=3-6", 3..7),
        ("bytes=9-9", 9..10),
        ("bytes=0-9", 0..10),
        ("bytes=0-10", 0..10),
        ("bytes=4-4000", 4..10),
        (&format!("bytes=4-{HUGE}"), 4..10),
        ("bytes=4-18446744073709551614", 4..10),
        ("bytes=4-18446744073709551615", 4..10),
        ("bytes=4-18446744073709551616", 4..10),
        ("bytes=4-9223372036854775807", 4..10),
        ("bytes=000000000000000000000000000004-05", 4..6),
        ("bytes=0-", 0..10),
        ("bytes=9-", 9..10),
        ("bytes=-1", 9..10),
        ("bytes=-3", 7..10),
        ("bytes=-10", 0..10),
        ("bytes=-11", 0..10),
        ("bytes=-99999999999", 0..10),
        (&format!("bytes=-{HUGE}"), 0..10),
        ("BYTES=0-3", 0..4),
        ("Bytes=-3", 7..10),
        ("bytes=0-3,", 0..4),
        ("bytes=, ,0-3 ,\t,", 0..4),
    ] {
        let answer = ask(&mut client, ranges);
        is_part(&answer, part, CONTENT.as_bytes());
    }
}

#[test]
fn what_is_not_there_is_unsatisfiable_and_has_an_empty_body() {
    let server = Server::serving(CONTENT);
    let mut client = Client::connect(server.address);
    let huge = [&format!("bytes={HUGE}-"), &*format!("bytes={HUGE}-{HUGE}0")];
    let past_the_end =
        ["bytes=10-", "bytes=10-10", "bytes=11-20", "bytes=-0", "bytes=-000", "bytes=18446744073709551615-"];
    for ranges in past_the_end.into_iter().chain(huge) {
        is_unsatisfiable(&ask(&mut client, ranges), CONTENT.len());
    }
}

#[test]
fn every_range_of_an_empty_file_is_unsatisfiable() {
    for content in ["", "1", "123456789"] {
        let server = Server::serving(content);
        let mut client = Client::connect(server.address);
        for ranges in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=5-9", "bytes=-99999999999"] {
            is_unsatisfiable(&ask(&mut client, ranges), 0);
        }
        for ignored in ["bytes=-", "lines=0-", "bytes=0-,0-", "bytes=1-0"] {
            assert_eq!(ask(&mut client, ignored).status, 200, "{ignored}");
        }
    }
}

#[test]
fn what_can_not_be_understood_is_ignored() {
    let server = Server::serving(CONTENT);
    let mut client = Client::connect(server.address);
    for ranges in [
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=--1",
        "bytes=1",
        "bytes=,",
        "bytes=3-2",
        &format!("bytes={HUGE}1-{HUGE}0"),
        "bytes=a-b",
        "bytes=0-b",
        "bytes=0x0-3",
        "bytes=+0-3",
        "bytes=0-3-5",
        "bytes=0 -3",
        "bytes=0- 3",
        "bytes= 0-3",
        "bytes =0-3",
        "bytes:0-3",
        "bytes 0-3",
        "bytes 0-3/10",
        "bytes=0-3;",
        "bytes=0.5-3",
        "0-3",
        "=0-3",
        "lines=0-3",
        "byte=0-3",
        "bytes=0-3, x",
        "bytes=\u{ff11}-2",
    ] {
        let answer = ask(&mut client, ranges);
        assert_eq!((answer.status, answer.text()), (200, CONTENT), "{ranges:?}");
        assert_eq!(answer.header("content-range"), None, "{ranges:?}");
    }
}

#[test]
fn several_ranges_are_answered_with_the_whole() {
    let server = Server::serving(CONTENT);
    let mut client = Client::connect(server.address);
    let many = format!("bytes={}", "0-,".repeat(1000));
    for ranges in ["bytes=0-1,4-5", "bytes=0-1, -1", "bytes=0-0,0-0", "bytes=20-,30-", "bytes=0-1,20-30", &many] {
        let answer = ask(&mut client, ranges);
        assert_eq!((answer.status, answer.text()), (200, CONTENT), "{ranges:.20}");
        assert_eq!((answer.the("content-length"), answer.header("content-range")), ("10", None));
        assert_eq!(answer.the("content-type"), "text/plain; charset=utf-8");
    }
    let answer = client.request("GET", "/data", &["Range: bytes=0-1", "Range: bytes=4-5"]);
    assert_eq!((answer.status, answer.text()), (200, CONTENT), "in two header lines");
}

#[test]
fn a_part_is_described_as_the_whole_is() {
    let server = Server::serving(CONTENT);
    let mut client = Client::connect(server.address);
    let whole = client.get("/data");
    let part = ask(&mut client, "bytes=2-4");
    for name in ["etag", "last-modified", "content-type", "cache-control", "accept-ranges", "x-content-type-options"] {
        assert_eq!(part.the(name), whole.the(name), "{name}");
    }
    assert!(part.header("date").is_some());
}

#[test]
fn head_ignores_ranges() {
    let server = Server::serving(CONTENT);
    let mut client = Client::connect(server.address);
    for ranges in ["bytes=0-3", "bytes=-1", "bytes=99-", "nonsense"] {
        let answer = client.request("HEAD", "/data", &[&format!("Range: {ranges}")]);
        assert_eq!((answer.status, answer.the("content-length")), (200, "10"), "{ranges}");
        assert_eq!((answer.header("content-range"), answer.the("accept-ranges")), (None, "bytes"), "{ranges}");
    }
    assert_eq!(client.get("/data").text(), CONTENT);
}

#[test]
fn a_range_ends_with_the_last_complete_line() {
    let server = Server::serving(format!("{CONTENT}abc"));
    let mut client = Client::connect(server.address);
    for (ranges, part) in [
        ("bytes=0-", 0..10),
        ("bytes=8-11", 8..10),
        ("bytes=9-", 9..10),
        ("bytes=-1", 9..10),
        ("bytes=-4", 6..10),
        ("bytes=-13", 0..10),
        // A range may begin and end inside of a line.
        ("bytes=6-7", 6..8),
    ] {
        is_part(&ask(&mut client, ranges), part, CONTENT.as_bytes());
    }
    for ranges in ["bytes=10-", "bytes=10-12", "bytes=12-", "bytes=13-"] {
        is_unsatisfiable(&ask(&mut client, ranges), 10);
    }
    server.append("\n");
    is_part(&ask(&mut client, "bytes=10-"), 10..14, format!("{CONTENT}abc\n").as_bytes());
}

#[test]
fn a_range_of_a_file_that_is_not_there_is_waited_for() {
    let server = Server::start(&[]);
    for ranges in ["bytes=0-3", "bytes=99-", "bytes=-"] {
        let answer = ask(&mut Client::connect(server.address), ranges);
        assert_eq!((answer.status, answer.the("retry-after"), answer.header("content-range")), (503, "1", None));
    }
}

#[test]
fn parts_of_a_growing_file_join_to_the_whole() {
    let server = Server::serving("");
    let mut client = Client::connect(server.address);
    let (mut content, mut got) = (String::new(), String::new());
    for i in 0..200 {
        let line = format!("{i}\n");
        server.append(&line);
        content += &line;
        let answer = ask(&mut client, &format!("bytes={}-", got.len()));
        is_part(&answer, got.len()..content.len(), content.as_bytes());
        got += answer.text();
        is_unsatisfiable(&ask(&mut client, &format!("bytes={}-", got.len())), content.len());
    }
    assert_eq!(got, content);
}

#[test]
fn parts_begin_and_end_anywhere_in_a_large_file() {
    let piece = 64 * 1024;
    let mut content: Vec<u8> = (0..4 * piece + 99).map(|at| (at % 251) as u8).collect();
    *content.last_mut().unwrap() = b'\n';
    let server = Server::serving(&content);
    let places = [0, 1, piece - 1, piece, piece + 1, 2 * piece, 3 * piece + 17, content.len() - 1, content.len()];
    let mut client = Client::connect(server.address);
    for first in places {
        for end in places.into_iter().filter(|&end| end > first) {
            is_part(&ask(&mut client, &format!("bytes={first}-{}", end - 1)), first..end, &content);
        }
    }
    // The readers of one file must not move each other's place in it.
    thread::scope(|scope| {
        for first in places.into_iter().filter(|&first| first < content.len()) {
            let (address, content) = (server.address, &content);
            scope.spawn(move || {
                let mut client = Client::connect(address);
                for _ in 0..10 {
                    is_part(&ask(&mut client, &format!("bytes={first}-")), first..content.len(), content);
                }
            });
        }
    });
}

#[test]
fn positions_may_need_more_than_32_bits() {
    let server = Server::serving("first\n");
    let six_gib: usize = 6 << 30;
    // A hole takes no room on disk.
    let mut file = OpenOptions::new().write(true).open(server.file()).unwrap();
    file.seek(SeekFrom::Start(six_gib as u64)).unwrap();
    file.write_all(b"last\ntorn").unwrap();
    let length = six_gib + 5;

    let mut client = Client::connect(server.address);
    let head = client.request("HEAD", "/data", &[]);
    assert_eq!((head.status, head.the("content-length")), (200, &*length.to_string()));
    for (ranges, first, text) in [
        ("bytes=-5".to_owned(), six_gib, "last\n"),
        (format!("bytes={six_gib}-"), six_gib, "last\n"),
        (format!("bytes={}-99999999999", six_gib + 1), six_gib + 1, "ast\n"),
        ("bytes=4294967296-4294967297".to_owned(), 1 << 32, "\0\0"),
        ("bytes=0-5".to_owned(), 0, "first\n"),
    ] {
        let answer = ask(&mut client, &ranges);
        let content_range = format!("bytes {first}-{}/{length}", first + text.len() - 1);
        assert_eq!((answer.status, answer.the("content-range")), (206, &*content_range), "{ranges}");
        assert_eq!(answer.text(), text, "{ranges}");
    }
    is_unsatisfiable(&ask(&mut client, &format!("bytes={length}-")), length);
    // Too much to be taken: the server must not mind a client that leaves.
    let mut leaver = Client::connect(server.address);
    leaver.send(crate::client::head("GET", "/data", &[]));
    assert_eq!(leaver.answer_head().the("content-length"), length.to_string());
    drop(leaver);
    assert_eq!(get(server.address, "/healthz").status, 200);
}
