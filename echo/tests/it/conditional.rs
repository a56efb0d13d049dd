//! Conditional requests (RFC 9110 §13).

use std::fs::{File, OpenOptions};
use std::time::{Duration, SystemTime};

use httpdate::fmt_http_date;

use crate::client::{Answer, Client};
use crate::process::Server;

const CONTENT: &str = "0123\n5678\n";

/// A file that was written an hour ago, as its answers tell it.
struct Known {
    server: Server,
    client: Client,
    tag: String,
    written: SystemTime,
}

impl Known {
    fn new() -> Self {
        let server = Server::serving(CONTENT);
        File::open(server.file()).unwrap().set_modified(SystemTime::now() - Duration::from_hours(1)).unwrap();
        let mut client = Client::connect(server.address);
        let answer = client.get("/data");
        let (tag, written) = (answer.the("etag").to_owned(), answer.date("last-modified"));
        Self { server, client, tag, written }
    }

    /// Fills in what a test can't know beforehand: the current tag, and dates around that of the file.
    fn fill_in(&self, header: &str) -> String {
        let second = Duration::from_secs(1);
        header
            .replace("TAG", &self.tag)
            .replace("BEFORE", &fmt_http_date(self.written - second))
            .replace("WRITTEN", &fmt_http_date(self.written))
            .replace("AFTER", &fmt_http_date(self.written + second))
    }

    fn ask(&mut self, method: &str, headers: &[&str]) -> Answer {
        let headers: Vec<String> = headers.iter().map(|header| self.fill_in(header)).collect();
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        self.client.request(method, "/data", &headers)
    }

    /// Asks with each set of headers, by `GET` and `HEAD`, and expects the status.
    fn expect(&mut self, table: &[(&[&str], u16)]) {
        for (headers, status) in table {
            let answer = self.ask("GET", headers);
            assert_eq!(answer.status, *status, "{headers:?}");
            if *status == 200 {
                assert_eq!(answer.text(), CONTENT, "{headers:?}");
            }
            let without_body = match *status {
                // HEAD has no ranges.
                206 | 416 => 200,
                other => other,
            };
            assert_eq!(self.ask("HEAD", headers).status, without_body, "HEAD {headers:?}");
        }
    }
}

#[test]
fn not_modified_repeats_what_a_cache_needs_and_has_no_body() {
    let mut known = Known::new();
    let whole = known.ask("GET", &[]);
    for method in ["GET", "HEAD"] {
        for header in ["If-None-Match: TAG", "If-Modified-Since: WRITTEN"] {
            let answer = known.ask(method, &[header]);
            assert_eq!((answer.status, answer.text()), (304, ""));
            for name in ["etag", "last-modified", "cache-control"] {
                assert_eq!(answer.the(name), whole.the(name), "{name}");
            }
            assert!(answer.header("date").is_some());
            for absent in ["content-type", "content-range", "transfer-encoding"] {
                assert_eq!(answer.header(absent), None, "{absent}");
            }
            // A length may be told, but only that of the 200 (RFC 9110 §8.6).
            assert!(answer.header("content-length").is_none_or(|length| length == whole.the("content-length")));
        }
    }
}

#[test]
fn a_failed_precondition_is_told_in_one_sentence() {
    let mut known = Known::new();
    let answer = known.ask("GET", &["If-Match: \"x\""]);
    assert_eq!(answer.status, 412);
    assert!(answer.text().ends_with(".\n") && answer.text().lines().count() == 1, "{}", answer.text());
    assert_eq!(answer.header("content-range"), None);
}

#[test]
fn if_none_match_compares_weakly() {
    Known::new().expect(&[
        (&["If-None-Match: TAG"], 304),
        (&["If-None-Match: W/TAG"], 304),
        (&["If-None-Match: *"], 304),
        (&["If-None-Match: \"x\", TAG"], 304),
        (&["If-None-Match: \"x,y\" ,,W/TAG"], 304),
        (&["If-None-Match: \"x\"", "If-None-Match: TAG"], 304),
        (&["If-None-Match: \"x\""], 200),
        (&["If-None-Match: \"\""], 200),
        (&["If-None-Match:"], 200),
        (&["If-None-Match: nonsense"], 200),
        (&["If-None-Match: w/TAG"], 200),
    ]);
}

#[test]
fn if_match_compares_strongly() {
    Known::new().expect(&[
        (&["If-Match: TAG"], 200),
        (&["If-Match: *"], 200),
        (&["If-Match: \"x\", TAG"], 200),
        (&["If-Match: \"x\"", "If-Match: TAG"], 200),
        (&["If-Match: W/TAG"], 412),
        (&["If-Match: \"x\""], 412),
        (&["If-Match: \"x\", \"*\""], 412),
    ]);
}

#[test]
fn dates_are_compared_with_that_of_the_file() {
    Known::new().expect(&[
        (&["If-Modified-Since: BEFORE"], 200),
        (&["If-Modified-Since: WRITTEN"], 304),
        (&["If-Modified-Since: AFTER"], 304),
        (&["If-Unmodified-Since: BEFORE"], 412),
        (&["If-Unmodified-Since: WRITTEN"], 200),
        (&["If-Unmodified-Since: AFTER"], 200),
        (&["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"], 200),
        (&["If-Unmodified-Since: Sun Nov  6 08:49:37 1994"], 412),
        (&["If-Modified-Since: yesterday"], 200),
        (&["If-Modified-Since: 9999999999"], 200),
        (&["If-Unmodified-Since: yesterday"], 200),
        (&["If-Unmodified-Since: 0"], 200),
        (&["If-Unmodified-Since: TAG"], 200),
        (&["If-Modified-Since: AFTER", "If-Modified-Since: AFTER"], 200),
    ]);
}

/// RFC 9110 §13.2.2.
#[test]
fn conditions_have_an_order() {
    Known::new().expect(&[
        // A tag makes a date of no account.
        (&["If-Unmodified-Since: BEFORE", "If-Match: TAG"], 200),
        (&["If-Unmodified-Since: AFTER", "If-Match: \"x\""], 412),
        (&["If-Modified-Since: AFTER", "If-None-Match: \"x\""], 200),
        (&["If-Modified-Since: BEFORE", "If-None-Match: TAG"], 304),
        // What must hold comes before what need not be sent again.
        (&["If-None-Match: TAG", "If-Match: \"x\""], 412),
        (&["If-None-Match: TAG", "If-Match: TAG"], 304),
        (&["If-Modified-Since: AFTER", "If-Unmodified-Since: BEFORE"], 412),
        (&["If-Modified-Since: WRITTEN", "If-Unmodified-Since: WRITTEN"], 304),
        // All of that comes before ranges.
        (&["Range: bytes=0-3", "If-Match: \"x\""], 412),
        (&["Range: bytes=99-", "If-Match: \"x\""], 412),
        (&["Range: bytes=0-3", "If-Unmodified-Since: BEFORE"], 412),
        (&["Range: bytes=0-3", "If-None-Match: TAG"], 304),
        (&["Range: bytes=99-", "If-None-Match: TAG"], 304),
        (&["Range: bytes=0-3", "If-Modified-Since: WRITTEN"], 304),
        (&["Range: bytes=0-3", "If-Range: TAG", "If-None-Match: TAG"], 304),
        (&["Range: bytes=0-3", "If-Range: TAG", "If-Match: \"x\""], 412),
        (&["Range: bytes=0-3", "If-Match: TAG", "If-None-Match: \"x\""], 206),
        (&["Range: bytes=99-", "If-Match: TAG"], 416),
    ]);
}

#[test]
fn if_range_gives_a_part_of_the_same_state_only() {
    Known::new().expect(&[
        (&["Range: bytes=0-3", "If-Range: TAG"], 206),
        (&["Range: bytes=0-3", "If-Range: WRITTEN"], 206),
        (&["Range: bytes=99-", "If-Range: TAG"], 416),
        (&["Range: bytes=99-", "If-Range: WRITTEN"], 416),
        (&["Range: bytes=0-3", "If-Range: W/TAG"], 200),
        (&["Range: bytes=0-3", "If-Range: \"x\""], 200),
        (&["Range: bytes=0-3", "If-Range: bogus"], 200),
        (&["Range: bytes=0-3", "If-Range:"], 200),
        (&["Range: bytes=0-3", "If-Range: *"], 200),
        (&["Range: bytes=0-3", "If-Range: TAG, \"x\""], 200),
        (&["Range: bytes=0-3", "If-Range: BEFORE"], 200),
        // A date is compared exactly (§13.1.5).
        (&["Range: bytes=0-3", "If-Range: AFTER"], 200),
        (&["Range: bytes=0-3", "If-Range: TAG", "If-Range: TAG"], 200),
        (&["Range: bytes=99-", "If-Range: \"x\""], 200),
        (&["Range: bytes=99-", "If-Range: BEFORE"], 200),
        // Without a range it means nothing.
        (&["If-Range: TAG"], 200),
        (&["If-Range: \"x\""], 200),
        (&["Range: lines=0-3", "If-Range: TAG"], 200),
    ]);
}

/// Resuming needs more than a tag can tell; a file that grew is sent whole (RFC 9110 §8.8.1).
#[test]
fn if_range_does_not_resume_a_file_that_has_changed() {
    type Change<'a> = &'a dyn Fn(&Server);
    let range = "Range: bytes=5-";
    let changes: [(Change, &str); 4] = [
        (&|server| server.append("9\n"), "0123\n5678\n9\n"),
        (&|server| server.replace(CONTENT), CONTENT),
        (&|server| server.replace("abcd\nefgh\n"), "abcd\nefgh\n"),
        (&|server| OpenOptions::new().write(true).open(server.file()).unwrap().set_len(5).unwrap(), "0123\n"),
    ];
    for (change, content) in changes {
        let mut known = Known::new();
        assert_eq!(known.ask("GET", &[range, "If-Range: TAG"]).text(), "5678\n");
        change(&known.server);
        for condition in ["If-Range: TAG", "If-Range: WRITTEN"] {
            let answer = known.ask("GET", &[range, condition]);
            assert_eq!((answer.status, answer.text()), (200, content), "{condition}");
            assert_eq!(answer.header("content-range"), None);
        }
        assert_eq!(known.ask("GET", &["If-None-Match: TAG"]).text(), content);
        assert_eq!(known.ask("GET", &["If-Match: TAG"]).status, 412);
    }
}

/// It may be written again within the second that the date names (RFC 9110 §8.8.2.2).
#[test]
fn the_date_of_a_file_just_written_is_no_strong_validator() {
    let mut known = Known::new();
    let file = File::open(known.server.file()).unwrap();
    for age in [0, 1] {
        file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        known.written = known.ask("GET", &[]).date("last-modified");
        for range in ["Range: bytes=0-3", "Range: bytes=99-"] {
            assert_eq!(known.ask("GET", &[range, "If-Range: WRITTEN"]).status, 200, "{age} s old");
        }
    }
    // Nor is that of one that claims to be from the future, which is told as the present.
    file.set_modified(SystemTime::now() + Duration::from_hours(1)).unwrap();
    for _ in 0..2 {
        known.written = known.ask("GET", &[]).date("last-modified");
        assert_eq!(known.ask("GET", &["Range: bytes=0-3", "If-Range: WRITTEN"]).status, 200);
    }
}

#[test]
fn an_incomplete_line_changes_no_tag() {
    let mut known = Known::new();
    known.server.append("torn");
    known.expect(&[
        (&["If-None-Match: TAG"], 304),
        (&["If-Match: TAG"], 200),
        (&["Range: bytes=0-3", "If-Range: TAG"], 206),
    ]);
    known.server.append("\n");
    assert_eq!(known.ask("GET", &["If-None-Match: TAG"]).status, 200);
    assert_eq!(known.ask("GET", &["If-Match: TAG"]).status, 412);
}

#[test]
fn what_is_not_there_meets_no_condition() {
    let mut known = Known::new();
    std::fs::remove_file(known.server.file()).unwrap();
    known.expect(&[
        (&["If-None-Match: TAG"], 503),
        (&["If-None-Match: *"], 503),
        (&["If-Modified-Since: AFTER"], 503),
        (&["If-Match: TAG"], 503),
        (&["If-Match: *"], 503),
        (&["Range: bytes=0-3", "If-Range: TAG"], 503),
    ]);
}
