//! Lines of any length, whole and cut.

use crate::mirror::{content, holds, mirror, sidecar, url};
use crate::process::{Server, eventually};
use crate::upstream::{Fault, Link, Scripted, chunked, plain};

#[test]
fn a_line_of_any_length_is_copied() {
    let long = format!("1\n{}\n2\n", "x".repeat(3 << 20));
    let upstream = Server::serving(&long);
    let mirror = mirror(&url(&upstream));
    holds(&mirror, &long);
}

#[test]
fn a_first_line_of_any_length_names_the_same_generation_however_it_comes() {
    let content = format!("{}\n22\n", "1".repeat(10_000)).into_bytes();
    let sidecars = [100, 3000, 20_000].map(|size| {
        let served = content.clone();
        let upstream = Scripted::start(move |head| chunked(&plain(head, Some(served.clone())), size));
        let mirror = mirror(&upstream.url());
        holds(&mirror, str::from_utf8(&content).unwrap());
        sidecar(mirror.folder.path())
    });
    assert!(sidecars.iter().all(|sidecar| *sidecar == sidecars[0]), "{sidecars:?}");
}

#[test]
fn a_line_that_is_too_long_is_not_waited_for_in_memory() {
    let length = 3 << 20;
    let heads = [
        format!("200 OK\r\nStream-Next-Offset: 00000000000000aa_{length:020}"),
        format!("206 Partial Content\r\nContent-Range: bytes 0-{}/{length}", length - 1),
    ];
    for head in heads {
        let upstream = Scripted::start(move |_| {
            let head = format!("HTTP/1.1 {head}\r\nContent-Length: {length}\r\n\r\n");
            (head + &"x".repeat(2 << 20)).into_bytes() // of three; no more comes
        });
        let mirror = mirror(&upstream.url());
        eventually("more than a megabyte is written", || content(&mirror).len() > 1 << 20);
    }
}

#[test]
fn a_line_that_is_cut_is_not_begun() {
    let upstream = Server::serving(format!("1\n{}\n", "x".repeat(500_000)));
    let link = Link::to(upstream.address);
    link.become_faulty(Fault::CutAfter(100_000));
    let mirror = mirror(&link.url());
    mirror.program.logged("the answer was cut");
    assert_eq!(content(&mirror), b"1\n");
    link.become_faulty(Fault::None);
    eventually("the rest comes", || content(&mirror).len() == 500_003);
}
