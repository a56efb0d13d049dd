//! Upstreams that are no echo: any server that knows ranges.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;

use tempfile::TempDir;

use crate::client::get;
use crate::mirror::{crash, holds, mirror, readyz, sidecar, token_of, url};
use crate::process::{Server, eventually};
use crate::upstream::{Scripted, chunked, header, plain};

#[test]
fn any_server_that_knows_ranges_can_be_followed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n22\n3").unwrap();
    let upstream = Scripted::plain(file.clone());
    let ours = mirror(&upstream.url());
    holds(&ours, "1\n22\n");
    eventually("the mirror is ready", || readyz(&ours).0 == 200);
    // The torn line is finished by its writer, or cut off.
    fs::OpenOptions::new().write(true).open(&file).unwrap().write_all_at(b"4\n", 5).unwrap();
    holds(&ours, "1\n22\n4\n");
    eventually("nothing new is not sent", || {
        upstream.heads().iter().any(|head| header(head, "if-none-match").is_some())
    });
    let token = token_of(&get(ours.address, "/data"));
    // All mirrors of one file agree on its generation.
    let other = mirror(&upstream.url());
    holds(&other, "1\n22\n4\n");
    assert_eq!(token_of(&get(other.address, "/data")), token);
    let chained = mirror(&url(&ours));
    holds(&chained, "1\n22\n4\n");
    assert_eq!(token_of(&get(chained.address, "/data")), token);
    fs::write(&file, "5\n").unwrap();
    holds(&chained, "5\n");
}

#[test]
fn a_server_that_closes_after_every_answer_can_be_followed() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n".repeat(5000)).unwrap();
    let served = file.clone();
    let upstream = Scripted::start(move |head| {
        let answer = String::from_utf8(plain(head, fs::read(&served).ok())).unwrap();
        answer.replacen("HTTP/1.1", "HTTP/1.0", 1).into_bytes()
    });
    let mirror = mirror(&upstream.url());
    holds(&mirror, &"1\n".repeat(5000));
    fs::write(&file, "1\n".repeat(6000)).unwrap();
    holds(&mirror, &"1\n".repeat(6000));
}

#[test]
fn pieces_of_any_size_may_end_where_our_end_does_or_behind_it() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n22\n").unwrap();
    let served = file.clone();
    let upstream = Scripted::start(move |head| chunked(&plain(head, fs::read(&served).ok()), 3));
    let mirror = mirror(&upstream.url());
    holds(&mirror, "1\n22\n");
    let generation = sidecar(mirror.folder.path());
    let lines = "1\n22\n333\n4444\n".repeat(1000);
    let mut grown = fs::OpenOptions::new().append(true).open(&file).unwrap();
    let mut length = 5;
    for longer in [9, 14, 7000, 7005] {
        grown.write_all(&lines.as_bytes()[length..longer]).unwrap();
        holds(&mirror, &lines[..longer]);
        length = longer;
    }
    assert_eq!(sidecar(mirror.folder.path()), generation, "it was taken for another file");
    let metrics = get(mirror.address, "/metrics");
    assert!(metrics.text().contains("echo_upstream_failures_total 0"), "{}", mirror.program.log());
}

#[test]
fn a_plain_file_that_was_replaced_is_found_out_by_its_bytes() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    let old = "the same first line\nold\n".repeat(1000);
    fs::write(&file, &old).unwrap();
    let upstream = Scripted::plain(file.clone());
    let mirror = mirror(&upstream.url());
    holds(&mirror, &old);
    let generation = sidecar(mirror.folder.path());
    // Longer than the old one, with the same first line and at once.
    let new = "the same first line\nnew\n".repeat(1001);
    fs::write(file.with_extension("new"), &new).unwrap();
    fs::rename(file.with_extension("new"), &file).unwrap();
    holds(&mirror, &new);
    assert_ne!(sidecar(mirror.folder.path()), generation, "old offsets are good for the new file");
    // Shorter, and no prefix.
    fs::write(&file, "the same first line\nx\n").unwrap();
    holds(&mirror, "the same first line\nx\n");
    fs::write(&file, "").unwrap();
    holds(&mirror, "");
    fs::write(&file, "1\n").unwrap();
    holds(&mirror, "1\n");
    fs::remove_file(&file).unwrap();
    mirror.program.logged("it answered 404 Not Found");
    assert_eq!(get(mirror.address, "/data").text(), "1\n");
}

#[test]
fn a_file_replaced_while_the_mirror_was_down_is_found_out() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    // The end that the mirror has is the same in both; only the beginning tells.
    let end = "the end\n".repeat(1000);
    fs::write(&file, format!("old\n{end}")).unwrap();
    let upstream = Scripted::plain(file.clone());
    let before = mirror(&upstream.url());
    holds(&before, &format!("old\n{end}"));
    let folder = crash(before);
    fs::write(&file, format!("new\n{end}")).unwrap();
    let after = Server::start_in(folder, &["--upstream", &upstream.url()]);
    holds(&after, &format!("new\n{end}"));
}

#[test]
fn a_url_with_a_query_is_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("data");
    fs::write(&file, "1\n").unwrap();
    let upstream = Scripted::plain(file);
    let mirror = mirror(&format!("{}?signature=abc", upstream.url()));
    holds(&mirror, "1\n");
    assert!(upstream.heads().iter().all(|head| head.starts_with("GET /data?signature=abc HTTP/1.1\r\n")));
}
