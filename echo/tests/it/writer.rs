//! Readers beside a writer that does not wait for them.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::hint::spin_loop;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, head};
use crate::process::Server;

const REQUESTS: usize = 500;
/// The length of a numbered line.
const LINE: usize = 8;

/// The lines with these numbers; so a byte's position tells its value.
fn lines(numbers: std::ops::Range<usize>) -> Vec<u8> {
    numbers.flat_map(|number| format!("{number:07}\n").into_bytes()).collect()
}

/// Sets its flag when dropped, with the scope of a thread that a failed assertion must not leave running.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn each_answer_has_whole_lines_and_all_that_was_written_before() {
    let server = Server::serving("");
    let content = lines(0..100_000);
    let (written, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let mut file = OpenOptions::new().append(true).open(server.file()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for piece in content.chunks(3) {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                file.write_all(piece).unwrap();
                written.fetch_add(piece.len(), Ordering::Release);
            }
        });
        let _done = Done(&done);
        let mut client = Client::connect(server.address);
        for _ in 0..REQUESTS {
            let at_least = written.load(Ordering::Acquire) / LINE * LINE;
            let length: usize = client.request("HEAD", "/data", &[]).the("content-length").parse().unwrap();
            assert!(length >= at_least && length.is_multiple_of(LINE), "{length} of {at_least}");

            let answer = client.request("GET", "/data", &[&format!("Range: bytes={length}-")]);
            match answer.status {
                206 => assert_eq!(answer.body, &content[length..length + answer.body.len()]),
                status => assert_eq!((status, &*answer.body), (416, &b""[..])),
            }
            let end = length + answer.body.len();
            assert!(end.is_multiple_of(LINE), "{end}");
        }
        let answer = client.get("/data");
        assert!(content.starts_with(&answer.body), "{}", answer.text());
    });
}

/// The truncations fall before, between and into the server's looks at the file. It grows again only when the answer is
/// there, since what happens twice in between can't be told.
#[test]
fn a_file_truncated_at_any_moment_is_answered_with_its_own_bytes_or_cut_short() {
    let content = lines(0..40_000);
    let server = Server::serving(&content);
    let mut file = OpenOptions::new().append(true).open(server.file()).unwrap();
    let mut client = Client::connect(server.address);
    for i in 0..REQUESTS {
        client.send(head("GET", "/data", &[]));
        let sent = Instant::now();
        while sent.elapsed() < Duration::from_micros(i as u64) {
            spin_loop();
        }
        let kept = i * 997 % content.len();
        file.set_len(kept as u64).unwrap();

        let answer = client.answer(false);
        assert_eq!(answer.status, 200);
        let announced: usize = answer.the("content-length").parse().unwrap();
        assert!(announced.is_multiple_of(LINE), "{announced}");
        assert!(content.starts_with(&answer.body), "other bytes came");
        if answer.cut_short {
            client = Client::connect(server.address);
        }
        assert_eq!(client.get("/data").body, content[..kept / LINE * LINE]);
        file.write_all(&content[kept..]).unwrap();
    }
}

#[test]
fn an_etag_and_a_body_belong_together_while_files_are_replaced() {
    let server = Server::serving("first\n");
    let done = AtomicBool::new(false);
    let (file, new) = (server.file(), server.folder.path().join("new"));
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0.. {
                if done.load(Ordering::Relaxed) {
                    break;
                }
                // All of one length, and each with its number all over.
                fs::write(&new, format!("{i:09}\n").repeat(1000)).unwrap();
                fs::rename(&new, &file).unwrap();
            }
        });
        let _done = Done(&done);
        let mut client = Client::connect(server.address);
        let mut seen: HashMap<String, Vec<u8>> = HashMap::new();
        let mut requests = 0;
        while requests < REQUESTS || seen.len() < 10 {
            requests += 1;
            let answer = client.get("/data");
            assert_eq!((answer.status, answer.cut_short), (200, false));
            let line = answer.body.split_inclusive(|&byte| byte == b'\n').next().unwrap();
            assert_eq!(answer.body, line.repeat(answer.body.len() / line.len()), "of one file");
            let body = seen.entry(answer.the("etag").to_owned()).or_insert_with(|| answer.body.clone());
            assert_eq!(*body, answer.body, "{}", answer.the("etag"));
        }
    });
}
