//! A disk that hangs: whoever asks for the file is told to try again, and nobody else is kept waiting.

use std::fs;
use std::thread;

use rustix::process::Signal;

use crate::client::{Client, get};
use crate::fuse::Shown;
use crate::proc::field;
use crate::process::eventually;

#[track_caller]
fn is_late(shown: &Shown) {
    let answer = get(shown.server.address, "/data");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
    assert_eq!(get(shown.server.address, "/healthz").status, 200);
}

#[test]
fn a_disk_that_hangs_is_waited_for_and_found_again() {
    for operation in ["getattr", "open", "read"] {
        let Some(shown) = Shown::serving("1\n", &[]) else { return };
        assert_eq!(get(shown.server.address, "/data").text(), "1\n");
        shown.hang(operation);
        shown.replace("22\n");
        is_late(&shown);
        is_late(&shown);
        shown.hang("");
        eventually("it is served again", || get(shown.server.address, "/data").body == b"22\n");
    }
}

#[test]
fn a_disk_that_hangs_holds_up_nobody_else_however_many_ask_for_it() {
    let Some(shown) = Shown::serving("1\n".repeat(100_000), &[]) else { return };
    let address = shown.server.address;
    assert_eq!(get(address, "/data").body.len(), 200_000);
    let pid = shown.server.program.pid();
    let threads = || field(pid, "status", "Threads").parse::<usize>().unwrap();
    for operation in ["getattr", "read"] {
        shown.hang(operation);
        thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| Client::connect(address).get("/data?offset=-1"));
            }
            let mut probe = Client::connect(address);
            for _ in 0..50 {
                assert_eq!(probe.get("/healthz").status, 200);
                assert!(threads() < 20, "{} threads", threads());
            }
        });
        shown.hang("");
        eventually("it is served again", || get(address, "/data").status == 200);
    }
}

#[test]
fn a_disk_that_hangs_does_not_hold_up_the_end() {
    let Some(mut shown) = Shown::serving("1\n", &[]) else { return };
    shown.hang("getattr");
    is_late(&shown);
    shown.server.program.signal(Signal::TERM);
    // A thread that waits for FUSE may stay until that answers, but the server has ended by then.
    eventually("it is gone", || get_is_refused(&shown));
    shown.hang("");
    assert!(shown.server.program.ended().success());
}

fn get_is_refused(shown: &Shown) -> bool {
    std::net::TcpStream::connect(shown.server.address).is_err()
}

/// Where inode numbers mean nothing, a replacement shows by its content alone.
#[test]
fn a_file_replaced_behind_a_mount_is_seen() {
    for options in [&[][..], &["use_ino"]] {
        let Some(shown) = Shown::serving("1\n22\n333\n", options) else { return };
        let mut client = Client::connect(shown.server.address);
        let mut tags = vec![client.get("/data").the("etag").to_owned()];
        for content in ["4\n", "5\n66\n777\n", "5\n66\n777\n8888\n", "9\n", "7\n"] {
            shown.replace(content);
            let answer = client.get("/data");
            assert_eq!(answer.text(), content, "{options:?}");
            assert!(!tags.contains(&answer.the("etag").to_owned()));
            tags.push(answer.the("etag").to_owned());
        }
        fs::remove_file(shown.real()).unwrap();
        assert_eq!(client.get("/data").status, 503);
    }
}

#[test]
fn each_mount_of_a_file_names_it_alike() {
    let Some(shown) = Shown::serving("1\n22\n", &[]) else { return };
    let first = get(shown.server.address, "/data").the("etag").to_owned();
    let Shown { server } = shown;
    let crate::process::Server { program, folder, .. } = server;
    drop(program);
    let Some(second) = Shown::start_in(folder, &["use_ino"]) else { return };
    assert_eq!(get(second.server.address, "/data").the("etag"), first);
}
