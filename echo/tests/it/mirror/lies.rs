//! What an upstream must not be believed.

use std::fs;

use tempfile::TempDir;

use crate::client::get;
use crate::mirror::{content, holds, mirror};
use crate::process::Server;
use crate::upstream::{Fault, Link, Scripted, answer, plain};

/// A body behind a refusal must not keep the connection from the next request.
#[test]
fn a_shorter_file_is_found_out_although_the_answer_says_more_than_it_must() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n".repeat(5000)).unwrap();
    let served = file.clone();
    let upstream = Scripted::start(move |head| {
        let answer = plain(head, fs::read(&served).ok());
        if !answer.starts_with(b"HTTP/1.1 416") {
            return answer;
        }
        let head = String::from_utf8(answer).unwrap().replace("Content-Length: 0", "Content-Length: 100000");
        (head + &"?".repeat(100_000)).into_bytes()
    });
    let mirror = mirror(&upstream.url());
    holds(&mirror, &"1\n".repeat(5000));
    fs::write(&file, "another\n").unwrap();
    holds(&mirror, "another\n");
}

#[test]
fn a_server_that_sends_too_little_at_a_time_is_told() {
    let content = "1\n".repeat(3000).into_bytes();
    let upstream = Scripted::start(move |head| {
        let answer = plain(head, Some(content.clone()));
        let body = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        if body + 1000 >= answer.len() {
            return answer;
        }
        let head = String::from_utf8(answer[..body].to_vec()).unwrap().replace("0-5999/", "0-999/");
        let head = head.replace(&format!("Content-Length: {}", answer.len() - body), "Content-Length: 1000");
        [head.as_bytes(), &answer[body..body + 1000]].concat()
    });
    let mirror = mirror(&upstream.url());
    mirror.program.logged("it sends too little at a time: only 1000 bytes");
}

/// The proxy has lost the query; what it sends is the whole file, and not what follows the offset.
#[test]
fn a_range_in_answer_to_an_offset_is_refused() {
    let upstream = Scripted::start(|head| {
        if !head.contains("offset=") {
            return plain(head, Some(b"1\n222\n".to_vec()));
        }
        let next = "Stream-Next-Offset: 00000000000000aa_00000000000000000006";
        let chunks = "2\r\n1\n\r\n4\r\n222\n\r\n0\r\n\r\n";
        let head = format!("HTTP/1.1 206 Partial Content\r\n{next}\r\nContent-Range: bytes 0-5/6\r\n");
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunks}").into_bytes()
    });
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("data"), "1\n").unwrap();
    fs::write(folder.path().join("data.generation"), "00000000000000aa\n").unwrap();
    let mirror = Server::start_in(folder, &["--upstream", &upstream.url()]);
    mirror.program.logged("it answered an offset with a range");
    assert_eq!(content(&mirror), b"1\n");
}

/// All that an upstream must not be believed, and the reason that the operator is given.
#[test]
fn an_upstream_that_does_not_fit_is_refused_and_nothing_is_lost() {
    let html = "HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 4\n\nhey\n";
    let lies = [
        (html, "it sent a web page"),
        ("HTTP/1.1 302 Found\nLocation: /login\nContent-Length: 0\n\n", "it redirects: to \"/login\""),
        ("HTTP/1.1 500 Oops\nContent-Length: 0\n\n", "it answered 500"),
        ("HTTP/1.1 404 Not Found\nContent-Length: 0\n\n", "it answered 404"),
        ("HTTP/1.1 401 Unauthorized\nContent-Length: 0\n\n", "see --upstream-token-file"),
        ("HTTP/1.1 200 OK\nContent-Length: 5\n\n1\n22\n", "it does not honour Range"),
        (
            "HTTP/1.1 206 Partial Content\nContent-Range: bytes 7-9/10\nContent-Length: 3\n\n22\n",
            "it sent bytes from 7 on",
        ),
        (
            "HTTP/1.1 206 Partial Content\nContent-Encoding: gzip\nContent-Range: bytes 0-9/10\n\n",
            "it sent the file encoded: \"gzip\"",
        ),
        (
            "HTTP/1.1 206 Partial Content\nContent-Range: bytes 0-3/4\nContent-Length: 4\n\nx\n\n",
            "not know offsets any more",
        ),
        ("HTTP/1.1 416 Range Not Satisfiable\nContent-Length: 0\n\n", "without the length"),
        ("220 mail.example.org ESMTP\n\n", "no whole answer came"),
        ("", "no whole answer came"),
    ];
    for (lie, reason) in lies {
        let upstream = Server::serving("1\n22\n");
        let link = Link::to(upstream.address);
        let mirror = mirror(&link.url());
        holds(&mirror, "1\n22\n");
        link.become_faulty(Fault::Impostor(lie.replace('\n', "\r\n").into_bytes()));
        mirror.program.logged(reason);
        upstream.append("333\n");
        assert_eq!(get(mirror.address, "/data").text(), "1\n22\n", "{lie}");
        link.become_faulty(Fault::None);
        holds(&mirror, "1\n22\n333\n");
    }
}

/// What one server says of itself must hold together.
#[test]
fn an_upstream_that_contradicts_itself_is_refused() {
    let lies = [
        ("Content-Length: 2\r\n\r\n1\n", "don't agree"),
        ("Transfer-Encoding: chunked\r\n\r\n9\r\n1\n22\n333\n\r\n0\r\n\r\n", "more than it announced"),
        ("Transfer-Encoding: chunked\r\n\r\n2\r\n1\n\r\n0\r\n\r\n", "ended 3 bytes early"),
    ];
    for (lie, reason) in lies {
        let next = "Stream-Next-Offset: 00000000000000ab_00000000000000000005";
        let lie = format!("HTTP/1.1 200 OK\r\n{next}\r\n{lie}");
        let upstream = Scripted::start(move |_| lie.clone().into_bytes());
        let mirror = mirror(&upstream.url());
        mirror.program.logged(reason);
        assert!(b"1\n".starts_with(&content(&mirror)), "{reason}");
    }
}

#[test]
fn another_generation_than_the_one_asked_for_is_refused() {
    let upstream = Scripted::start(|head| {
        let generation = if head.contains("offset=-1") { "00000000000000aa" } else { "00000000000000bb" };
        let end = if head.contains("offset=-1") { 2 } else { 4 };
        let headers = format!("Stream-Next-Offset: {generation}_{end:020}\n");
        answer("200 OK", &headers, b"1\n")
    });
    let mirror = mirror(&upstream.url());
    mirror.program.logged("it answered for another generation than the one asked for");
    assert_eq!(content(&mirror), b"1\n");
}
