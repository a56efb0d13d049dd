//! `GET` and `HEAD` of the file: the whole of it, whole lines only, under headers that are right.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::client::{Answer, Client, get, head};
use crate::process::Server;

/// Names a file without a complete line.
const NO_LINE: &str = "0000000000000000";
const DAY: Duration = Duration::from_hours(24);

/// The generation that the `ETag` names, of which the form is checked, too.
#[track_caller]
fn generation(answer: &Answer) -> &str {
    let tag = answer.the("etag").strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    let (generation, length) = tag.and_then(|tag| tag.split_once('-')).expect("a strong tag of two parts");
    assert_eq!(length, answer.the("content-length"));
    generation
}

fn resize(server: &Server, length: usize) {
    OpenOptions::new().write(true).open(server.file()).unwrap().set_len(length as u64).unwrap();
}

#[test]
fn the_file_is_answered_with_all_its_headers() {
    let server = Server::serving("1\n22\n333\n");
    let answer = get(server.address, "/data");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text(), "1\n22\n333\n");
    for (name, value) in [
        ("content-type", "text/plain; charset=utf-8"),
        ("content-length", "9"),
        ("accept-ranges", "bytes"),
        ("cache-control", "no-cache"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(answer.the(name), value, "{name}");
    }
    assert!(answer.date("last-modified") <= answer.date("date"));
    let (of_offset, position) = answer.the("stream-next-offset").split_once('_').unwrap();
    assert_eq!((of_offset, position.parse()), (generation(&answer), Ok(9)));
    for absent in ["content-range", "transfer-encoding", "content-encoding", "vary", "retry-after", "stream-closed"] {
        assert_eq!(answer.header(absent), None, "{absent}");
    }
}

#[test]
fn head_is_answered_as_get_is_but_without_a_body() {
    let server = Server::serving("1\n22\n333\n4");
    let mut client = Client::connect(server.address);
    let mut got = client.get("/data");
    // Were there a body, it would be taken for the head of the next answer.
    for _ in 0..2 {
        let mut answer = client.request("HEAD", "/data", &[]);
        for answer in [&mut got, &mut answer] {
            answer.headers.retain(|(name, _)| name != "date");
        }
        assert_eq!(answer, Answer { body: Vec::new(), ..got.clone() });
    }
}

#[test]
fn any_bytes_are_served_as_they_are() {
    let every_byte: Vec<u8> = (0..=255).chain([b'\n']).collect();
    for content in [&b"\n"[..], b"\n\n\n", b"a\r\nb\r\n", b"\0\0\n\0\n", b"\xff\xfe\n", b"\xef\xbb\xbfa\n", &every_byte]
    {
        let server = Server::serving(content);
        assert_eq!(get(server.address, "/data").body, content);
    }
}

#[test]
fn an_incomplete_last_line_is_hidden() {
    let server = Server::start(&[]);
    let mut client = Client::connect(server.address);
    // Around the sizes in which files are commonly read.
    for torn in [1, 2, 4094, 4095, 4096, 4097, 8191, 8192, 8193, 65536, 300_000] {
        for visible in [0, 1, 2, 4095, 4096, 4097] {
            let lines = vec![b'\n'; visible];
            server.replace([lines.clone(), vec![b'x'; torn]].concat());
            let answer = client.get("/data");
            assert_eq!((answer.status, answer.body), (200, lines), "{visible} + {torn}");
        }
    }
}

#[test]
fn a_file_written_byte_by_byte_grows_by_whole_lines() {
    let server = Server::serving("");
    let mut client = Client::connect(server.address);
    let content = b"17\n4\n\n230\n\r\n5";
    let mut before = client.get("/data");
    for end in 1..=content.len() {
        server.append(&content[end - 1..end]);
        let answer = client.get("/data");
        let visible = content[..end].iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        assert_eq!(answer.body, &content[..visible], "after {end} bytes");
        let grew = answer.body != before.body;
        assert_eq!(answer.the("etag") != before.the("etag"), grew, "after {end} bytes");
        assert_eq!(answer.the("stream-next-offset") != before.the("stream-next-offset"), grew, "after {end} bytes");
        before = answer;
    }
}

#[test]
fn bodies_of_every_size_are_whole() {
    let server = Server::start(&[]);
    let mut client = Client::connect(server.address);
    let kib = 1024;
    for size in [1, 4095, 4096, 4097, 64 * kib - 1, 64 * kib, 64 * kib + 1, 128 * kib, 128 * kib + 1, 3000 * kib + 7] {
        // 251 is prime, so that no piece looks like another one.
        let mut content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        content[size - 1] = b'\n';
        server.replace(&content);
        let answer = client.get("/data");
        assert!(answer.body == content, "of {size} bytes, {} came", answer.body.len());
    }
}

#[test]
fn a_file_with_only_an_incomplete_line_is_answered_as_an_empty_one() {
    let empty = get(Server::serving("").address, "/data");
    assert_eq!((empty.status, empty.the("content-length"), empty.text()), (200, "0", ""));
    let torn = get(Server::serving("12").address, "/data");
    assert_eq!((torn.status, torn.the("content-length"), torn.text()), (200, "0", ""));
    for name in ["etag", "stream-next-offset", "content-type", "accept-ranges", "cache-control"] {
        assert_eq!(torn.the(name), empty.the(name));
    }
    assert_eq!(generation(&empty), NO_LINE);
    assert_eq!(empty.the("stream-next-offset").split_once('_').unwrap().1.parse(), Ok(0));
}

#[test]
fn a_missing_file_is_waited_for_and_served_once_it_is_there() {
    let server = Server::start(&[]);
    let mut client = Client::connect(server.address);
    for _ in 0..2 {
        let answer = client.get("/data");
        assert_eq!((answer.status, answer.the("retry-after")), (503, "1"));
        assert_eq!(answer.the("content-type"), "text/plain; charset=utf-8");
        let sentence = answer.text();
        assert!(sentence.ends_with(".\n") && sentence.lines().count() == 1, "{sentence:?}");
        for absent in ["etag", "last-modified", "accept-ranges", "stream-next-offset"] {
            assert_eq!(answer.header(absent), None, "{absent}");
        }
        let length = answer.the("content-length").to_owned();
        let answer = client.request("HEAD", "/data", &[]);
        assert_eq!((answer.status, answer.the("retry-after"), answer.the("content-length")), (503, "1", &*length));
    }
    server.append("1\n");
    let answer = client.get("/data");
    assert_eq!((answer.status, answer.text()), (200, "1\n"));
    assert_eq!(answer.header("retry-after"), None);
}

#[test]
fn the_etag_is_strong_and_changes_with_every_append() {
    let server = Server::serving("");
    let mut client = Client::connect(server.address);
    let mut tags = HashSet::from([client.get("/data").the("etag").to_owned()]);
    let mut first = None;
    for _ in 0..200 {
        server.append("7\n");
        let answer = client.get("/data");
        // It is the length that changes; the generation stays while a file grows.
        let generation = generation(&answer).to_owned();
        assert_eq!(*first.get_or_insert_with(|| generation.clone()), generation);
        let tag = answer.the("etag").to_owned();
        assert_eq!(client.get("/data").the("etag"), tag, "it is the same for the same state");
        assert!(tags.insert(tag));
    }
}

#[test]
fn offsets_sort_as_the_file_grows() {
    let server = Server::serving("1\n");
    let mut client = Client::connect(server.address);
    let mut before = String::new();
    for size in [2, 8, 99, 999, 999_999] {
        server.append("9".repeat(size - 1) + "\n");
        let offset = client.get("/data").the("stream-next-offset").to_owned();
        assert!(offset > before, "{before} {offset}");
        before = offset;
    }
}

#[test]
fn cutting_off_an_incomplete_line_changes_nothing() {
    for lines in ["", "1\n", "1\n22\n"] {
        let server = Server::serving(lines);
        let mut client = Client::connect(server.address);
        let clean = client.get("/data");
        server.append("333");
        let torn = client.get("/data");
        resize(&server, lines.len());
        let cut = client.get("/data");
        for answer in [torn, cut] {
            assert_eq!(answer.text(), lines);
            for name in ["etag", "content-length", "stream-next-offset"] {
                assert_eq!(answer.the(name), clean.the(name), "{name}");
            }
        }
    }
}

#[test]
fn another_file_has_another_generation_even_if_it_holds_the_same() {
    let server = Server::serving("1\n2\n");
    let mut client = Client::connect(server.address);
    // The first file is kept, or else its inode number could be given to the third.
    let first = File::open(server.file()).unwrap();
    let mut seen = HashSet::from([generation(&client.get("/data")).to_owned()]);

    server.replace("1\n2\n");
    assert!(seen.insert(generation(&client.get("/data")).to_owned()), "replaced");

    fs::rename(server.file(), server.folder.path().join("data.1")).unwrap();
    server.append("1\n2\n");
    assert!(seen.insert(generation(&client.get("/data")).to_owned()), "rotated");

    fs::write(server.file(), "3\n4\n").unwrap();
    assert!(seen.insert(generation(&client.get("/data")).to_owned()), "emptied, and begun anew");
    drop(first);
}

#[test]
fn a_truncated_file_has_another_etag_and_an_emptied_one_begins_anew() {
    let server = Server::serving("1\n22\n333\n");
    let mut client = Client::connect(server.address);
    let mut seen = HashSet::from([client.get("/data").the("etag").to_owned()]);
    for (length, visible) in [(8, "1\n22\n"), (2, "1\n"), (0, "")] {
        resize(&server, length);
        let answer = client.get("/data");
        assert_eq!(answer.text(), visible);
        assert!(seen.insert(answer.the("etag").to_owned()), "{visible:?}");
    }
    server.append("4\n55\n666\n");
    assert!(seen.insert(client.get("/data").the("etag").to_owned()));
}

/// A generation looks at no more than 4 KiB of a first line.
#[test]
fn a_first_line_may_be_longer_than_what_names_the_file() {
    for length in [4095, 4096, 4097, 10_000, 200_000] {
        let server = Server::serving(vec![b'x'; length - 1]);
        let mut client = Client::connect(server.address);
        assert_eq!(generation(&client.get("/data")), NO_LINE, "not complete yet");
        server.append("\n");
        let answer = client.get("/data");
        assert_eq!(answer.the("content-length"), length.to_string());
        let first = generation(&answer).to_owned();
        assert_ne!(first, NO_LINE);
        server.append("2\n3");
        let answer = client.get("/data");
        assert_eq!((generation(&answer), answer.body.len()), (&*first, length + 2), "it stays while the file grows");

        let file = OpenOptions::new().write(true).open(server.file()).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"y", 0).unwrap();
        assert_ne!(generation(&client.get("/data")), first, "rewritten in place");
    }
}

#[test]
fn a_restarted_server_and_a_second_one_name_the_file_alike() {
    for content in ["", "1\n", "1\n22\n3"] {
        let server = Server::serving(content);
        let first = get(server.address, "/data");
        let file = server.file();
        let second = Server::start(&["--file", file.to_str().unwrap()]);
        let Server { folder, program, .. } = server;
        drop(program);
        let restarted = Server::start_in(folder, &[]);
        for other in [get(second.address, "/data"), get(restarted.address, "/data")] {
            for name in ["etag", "last-modified", "stream-next-offset"] {
                assert_eq!(other.the(name), first.the(name), "{name}");
            }
        }
    }
}

#[test]
fn last_modified_is_when_the_file_was_written_but_never_later_than_date() {
    // This file system can hold any time.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
    fs::write(folder.path().join("data"), "1\n").unwrap();
    let server = Server::start_in(folder, &[]);
    let file = File::open(server.file()).unwrap();
    let mut client = Client::connect(server.address);

    let whole = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let now = SystemTime::now();
    for past in [whole(0), whole(1), whole(784_111_777), now - 365 * DAY, now - Duration::from_secs(10)] {
        file.set_modified(past).unwrap();
        let answer = client.get("/data");
        let shown = answer.date("last-modified");
        assert!(past.duration_since(shown).unwrap() < Duration::from_secs(1), "{past:?} {shown:?}");
    }
    for odd in [
        now + Duration::from_secs(2),
        now + DAY,
        now + 100_000 * DAY,
        whole(253_402_300_800), // the year 10000, past what HTTP can tell
        whole(i64::MAX as u64),
        UNIX_EPOCH - Duration::from_nanos(1),
        UNIX_EPOCH - 30 * 365 * DAY,
        UNIX_EPOCH - Duration::from_secs(i64::MAX as u64),
    ] {
        file.set_modified(odd).unwrap();
        let answer = client.get("/data");
        assert_eq!((answer.status, answer.text()), (200, "1\n"), "{odd:?}");
        assert!(answer.date("last-modified") <= answer.date("date"), "{odd:?}");
        assert_eq!(client.get("/readyz").status, 200, "{odd:?}");
    }
}

/// What is written just when a second begins must not seem to come from the future (RFC 9110 §8.8.2.1).
#[test]
fn last_modified_is_not_later_than_date_when_a_second_begins() {
    let server = Server::serving("1\n");
    // It takes a while to look through this for the last line, so that a batch of requests spans the turn of a second.
    server.append(vec![b'x'; 8 << 20]);
    let mut client = Client::connect(server.address);
    let batch = head("HEAD", "/data", &[]).repeat(16);
    let file = File::open(server.file()).unwrap();
    let mut dates = HashSet::new();
    while dates.len() < 3 {
        client.send(&batch);
        for _ in 0..16 {
            file.set_modified(SystemTime::now()).unwrap();
            let answer = client.answer(true);
            assert!(answer.date("last-modified") <= answer.date("date"), "{answer:?}");
            dates.insert(answer.the("date").to_owned());
        }
    }
}
