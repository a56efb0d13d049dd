//! How often a mirror asks: at once where there is news, and never without end. Only what may not be quicker is timed.

use std::fs;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Server, eventually};
use crate::upstream::{Scripted, answer, plain};

/// The time from the next request to the last of so many. Each was noted before it was answered, so that however slow the
/// machine is, it is at most one second less than the mirror has waited: the first may be noted late.
fn time_of(requests: usize, upstream: &Scripted) -> Duration {
    let before = upstream.times().len();
    eventually("it is asked again and again", || upstream.times().len() >= before + requests);
    let times = upstream.times();
    times[before + requests - 1] - times[before]
}

/// A mirror of `upstream` that has got this content.
fn mirror_with(content: &[u8], upstream: &Scripted) -> Server {
    let mirror = Server::start(&["--upstream", &upstream.url()]);
    eventually("all of it is here", || fs::read(mirror.file()).is_ok_and(|ours| ours == content));
    mirror
}

/// The position that a request's offset names, 0 for the start.
fn position(head: &str) -> usize {
    let offset = head.split_once("offset=").unwrap().1.split(['&', ' ']).next().unwrap();
    offset.split_once('_').map_or(0, |(_, position)| position.parse().unwrap())
}

/// The answer of an echo that has so many lines, and waits for no more.
fn lines(head: &str, count: usize) -> Vec<u8> {
    let all = b"1\n".repeat(count);
    if !head.contains("offset=") {
        return plain(head, Some(all));
    }
    let headers = format!("Stream-Next-Offset: 00000000000000ab_{:020}\nStream-Up-To-Date: true\n", all.len());
    answer("200 OK", &headers, &all[position(head)..])
}

#[test]
fn an_upstream_that_fails_is_asked_less_and_less_often() {
    let upstream = Scripted::start(|_| Vec::new());
    let _mirror = Server::start(&["--upstream", &upstream.url()]);
    // At least half of 100, 200, 400, 800 and 1600 ms.
    let time = time_of(6, &upstream);
    assert!(time > Duration::from_millis(1500), "{time:?}");
}

#[test]
fn a_plain_server_is_asked_once_a_second() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n").unwrap();
    let upstream = Scripted::plain(file);
    let _mirror = mirror_with(b"1\n", &upstream);
    let time = time_of(4, &upstream);
    assert!(time > Duration::from_millis(1500), "{time:?}");
}

#[test]
fn an_echo_that_does_not_wait_is_asked_once_a_second() {
    let upstream = Scripted::start(|head| lines(head, 1));
    let _mirror = mirror_with(b"1\n", &upstream);
    time_of(1, &upstream); // the first question for news comes at once
    let time = time_of(4, &upstream);
    assert!(time > Duration::from_millis(1500), "{time:?}");
}

#[test]
fn an_echo_that_refuses_live_reads_is_asked_less_and_less_often() {
    let upstream = Scripted::start(|head| {
        if head.contains("live=long-poll") { answer("503 Service Unavailable", "", b"") } else { lines(head, 1) }
    });
    let _mirror = mirror_with(b"1\n", &upstream);
    // Three requests for every attempt: one to compare, one for what is new, and the refused one.
    let time = time_of(16, &upstream);
    assert!(time > Duration::from_millis(1500), "{time:?}");
}

/// At one line a second this would take longer than a test has patience.
#[test]
fn an_echo_with_news_is_asked_again_at_once() {
    let upstream = Scripted::start(|head| {
        if !head.contains("live=long-poll") {
            return lines(head, 1);
        }
        if position(head) == 2 * 70 {
            thread::sleep(Duration::from_mins(10));
        }
        lines(head, position(head) / 2 + 1)
    });
    mirror_with(&b"1\n".repeat(70), &upstream);
}
