//! What an upstream says, judged by the head of its answer. Whatever it sends, nothing is believed that does not fit.

use std::fmt::Display;
use std::str::FromStr;
use std::time::SystemTime;

use anyhow::{bail, ensure};
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, LOCATION,
};
use axum::http::{StatusCode, response};

use crate::file::generation::Generation;
use crate::file::offset::{self, NEXT_OFFSET, UP_TO_DATE};
use crate::mirror::foreign::quoted;
use crate::mirror::reason::Reason;
use crate::names::{self, SERVED_BY};

/// What was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// The position that the `offset` parameter names, if there was one.
    pub offset: Option<u64>,
    /// The first byte that `Range` names, if there was one.
    pub range: Option<u64>,
}

/// A part of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The position of its first byte.
    pub start: u64,
    /// The position behind its last byte.
    pub end: u64,
    /// The length of the whole file.
    pub length: u64,
}

/// What the upstream offers.
#[derive(Debug, PartialEq)]
pub enum Answer {
    /// From an echo: what follows the offset.
    Lines {
        /// The generation of its file.
        generation: Generation,
        /// The position behind the last byte that comes.
        end: u64,
        /// Whether that is all it has.
        is_up_to_date: bool,
    },
    /// From any server: a part of its file.
    Part {
        /// Which part.
        part: Part,
        /// Its strong `ETag`, if there is one.
        etag: Option<HeaderValue>,
    },
    /// There is nothing new.
    Unchanged,
    /// What was asked for lies behind the end of its file.
    Shorter {
        /// The length of its file.
        length: u64,
    },
    /// The offset is of another file.
    Replaced,
}

/// Understands an answer.
///
/// # Errors
///
/// With the reason why it can't be used, for the operator.
pub fn understand(head: &response::Parts, asked: Asked) -> anyhow::Result<Answer> {
    let headers = &head.headers;
    match head.status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NO_CONTENT => {}
        StatusCode::NOT_MODIFIED => return Ok(Answer::Unchanged),
        StatusCode::GONE if asked.offset.is_some_and(|offset| offset > 0) => return Ok(Answer::Replaced),
        StatusCode::RANGE_NOT_SATISFIABLE => return shorter(headers, asked),
        status if status.is_redirection() => {
            let to = quoted(text(headers, &LOCATION));
            bail!(Reason::Redirect.because(format_args!("to {to}; give that as --upstream if it is right")))
        }
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            bail!(Reason::Status(status).because("see --upstream-token-file"))
        }
        status => bail!(Reason::Status(status)),
    }
    let encoding = text(headers, &CONTENT_ENCODING);
    ensure!(matches!(encoding, "" | "identity"), Reason::Encoded.because(quoted(encoding)));
    match asked.offset {
        Some(offset) if headers.contains_key(NEXT_OFFSET) => lines(head, offset),
        _ => part(head, asked),
    }
}

/// The answer of an echo.
fn lines(head: &response::Parts, offset: u64) -> anyhow::Result<Answer> {
    let headers = &head.headers;
    let next = text(headers, &NEXT_OFFSET);
    let malformed = || misfit(format_args!("its {NEXT_OFFSET} is malformed: {}", quoted(next)));
    let (generation, end) = offset::parse_token(next).ok_or_else(malformed)?;
    let sent = if head.status == StatusCode::NO_CONTENT { Some(0) } else { number(headers, &CONTENT_LENGTH)? };
    ensure!(head.status != StatusCode::PARTIAL_CONTENT, misfit("it answered an offset with a range"));
    ensure!(end >= offset, misfit(format_args!("it went back from {offset} to {end}")));
    ensure!(generation != Generation::NONE || end == 0, misfit("it has lines, and no generation"));
    let agree = sent.is_none_or(|sent| sent == end - offset);
    ensure!(agree, misfit(format_args!("its length and its {NEXT_OFFSET} don't agree")));
    Ok(Answer::Lines { generation, end, is_up_to_date: headers.contains_key(UP_TO_DATE) })
}

/// The answer of a server that knows nothing of offsets. The type of a part says nothing: servers take a log for a page
/// by its name, or all parts.
fn part(head: &response::Parts, asked: Asked) -> anyhow::Result<Answer> {
    let headers = &head.headers;
    let Some(from) = asked.range else { bail!(Reason::NoOffsets) };
    if head.status != StatusCode::PARTIAL_CONTENT {
        return whole(headers);
    }
    let range = text(headers, &CONTENT_RANGE);
    let malformed = || misfit(format_args!("its Content-Range is malformed: {}", quoted(range)));
    let (start, end, length) = content_range(range).ok_or_else(malformed)?;
    let is_asked_for = start == from;
    let other = format_args!("it sent bytes from {start} on where those from {from} on were asked for");
    ensure!(is_asked_for, misfit(other));
    let agree = number(headers, &CONTENT_LENGTH)?.is_none_or(|sent| sent == end - start);
    ensure!(agree, misfit("its Content-Length and Content-Range don't agree"));
    // A weak tag may stay the same for other bytes.
    let etag = headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\"")).cloned();
    Ok(Answer::Part { part: Part { start, end, length }, etag })
}

/// An answer with the whole file, which was not asked for; but an empty one has no range to send.
fn whole(headers: &HeaderMap) -> anyhow::Result<Answer> {
    if (number(headers, &CONTENT_LENGTH)?, text(headers, &ACCEPT_RANGES)) == (Some(0), "bytes") {
        return Ok(Answer::Shorter { length: 0 });
    }
    let kind = text(headers, &CONTENT_TYPE).to_ascii_lowercase();
    let is_page = ["text/html", "application/xhtml+xml"].iter().any(|page| kind.starts_with(page));
    ensure!(!is_page, Reason::WebPage);
    bail!(Reason::NoRanges)
}

fn shorter(headers: &HeaderMap, asked: Asked) -> anyhow::Result<Answer> {
    let length = text(headers, &CONTENT_RANGE).strip_prefix("bytes */").and_then(digits);
    match (length, asked.range) {
        (Some(length), Some(from)) if length <= from => Ok(Answer::Shorter { length }),
        (None, Some(_)) => bail!(misfit("it answered 416 without the length of its file")),
        _ => bail!(misfit("it answered 416 for a range that it has")),
    }
}

/// When the upstream's file was last written, as the answer says.
pub fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(text(headers, &LAST_MODIFIED)).ok()
}

/// The names of the servers that the answer passed.
pub fn names(headers: &HeaderMap) -> Vec<String> {
    let fields = headers.get_all(SERVED_BY).iter().filter_map(|field| field.to_str().ok());
    names::parse(&fields.collect::<Vec<_>>().join(","))
}

/// Takes `bytes 5-9/20` apart: the range, with its end not included, and the length of the whole.
fn content_range(text: &str) -> Option<(u64, u64, u64)> {
    let (range, length) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (start, last, length): (u64, u64, u64) = (digits(first)?, digits(last)?, digits(length)?);
    (start <= last && last < length).then_some((start, last + 1, length))
}

fn number(headers: &HeaderMap, name: &HeaderName) -> anyhow::Result<Option<u64>> {
    let malformed = |text| misfit(format_args!("its {name} is no number: {}", quoted(text)));
    match text(headers, name) {
        "" => Ok(None),
        text => digits(text).map(Some).ok_or_else(|| malformed(text)),
    }
}

/// A number as HTTP writes them: digits, and no sign.
fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The text of a header; empty if there is none, or none that is text.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().trim()
}

fn misfit(detail: impl Display) -> anyhow::Error {
    Reason::Misfit.because(detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Response;
    use proptest::prelude::*;

    const ECHO: Asked = Asked { offset: Some(6), range: None };
    const PLAIN: Asked = Asked { offset: None, range: Some(6) };
    const EITHER: Asked = Asked { offset: Some(6), range: Some(6) };

    fn head(status: u16, headers: &[(&str, &str)]) -> response::Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    fn refusal(status: u16, headers: &[(&str, &str)], asked: Asked) -> String {
        let refusal = format!("{:#}", understand(&head(status, headers), asked).unwrap_err());
        refusal.strip_prefix("its answer does not fit: ").map_or(refusal.clone(), str::to_owned)
    }

    #[test]
    fn an_echo_is_understood() {
        let generation: Generation = "00000000000000ab".parse().unwrap();
        let next = ("stream-next-offset", "00000000000000ab_00000000000000000009");
        let lines = |end, is_up_to_date| Answer::Lines { generation, end, is_up_to_date };
        let up_to_date = ("stream-up-to-date", "true");
        assert_eq!(understand(&head(200, &[next, ("content-length", "3")]), EITHER).unwrap(), lines(9, false));
        assert_eq!(understand(&head(200, &[next, up_to_date]), ECHO).unwrap(), lines(9, true));
        let same = ("stream-next-offset", "00000000000000ab_00000000000000000006");
        assert_eq!(understand(&head(204, &[same, up_to_date]), ECHO).unwrap(), lines(6, true));
        assert_eq!(understand(&head(410, &[]), ECHO).unwrap(), Answer::Replaced);
    }

    #[test]
    fn a_lying_echo_is_refused() {
        let next = ("stream-next-offset", "00000000000000ab_00000000000000000009");
        assert_eq!(
            refusal(200, &[next, ("content-length", "4")], ECHO),
            "its length and its stream-next-offset don't agree"
        );
        assert_eq!(refusal(204, &[next], ECHO), "its length and its stream-next-offset don't agree");
        let back = ("stream-next-offset", "00000000000000ab_00000000000000000005");
        assert_eq!(refusal(200, &[back], ECHO), "it went back from 6 to 5");
        assert_eq!(refusal(200, &[("stream-next-offset", "x")], ECHO), "its stream-next-offset is malformed: \"x\"");
        assert_eq!(refusal(200, &[], ECHO), "it does not know offsets any more");
        // The start is a place in every file.
        assert_eq!(refusal(410, &[], Asked { offset: Some(0), range: None }), "it answered 410 Gone");
    }

    #[test]
    fn a_plain_server_is_understood() {
        let part = [("content-range", "bytes 6-8/20"), ("content-length", "3"), ("etag", "\"a\"")];
        let etag = Some(HeaderValue::from_static("\"a\""));
        for asked in [PLAIN, EITHER] {
            let expected = Answer::Part { part: Part { start: 6, end: 9, length: 20 }, etag: etag.clone() };
            assert_eq!(understand(&head(206, &part), asked).unwrap(), expected);
        }
        let weak = [("content-range", "bytes 6-8/20"), ("etag", "W/\"a\"")];
        let expected = Answer::Part { part: Part { start: 6, end: 9, length: 20 }, etag: None };
        assert_eq!(understand(&head(206, &weak), PLAIN).unwrap(), expected);
        assert_eq!(understand(&head(304, &[]), PLAIN).unwrap(), Answer::Unchanged);
        let shorter = Answer::Shorter { length: 6 };
        assert_eq!(understand(&head(416, &[("content-range", "bytes */6")]), PLAIN).unwrap(), shorter);
        let empty = [("content-length", "0"), ("accept-ranges", "bytes")];
        assert_eq!(understand(&head(200, &empty), PLAIN).unwrap(), Answer::Shorter { length: 0 });
    }

    #[test]
    fn a_plain_server_that_does_not_fit_is_refused() {
        let range = "it does not honour Range, and without that a file can't be followed";
        assert_eq!(refusal(200, &[("content-length", "3")], PLAIN), range);
        for malformed in
            ["", "bytes 6-8", "bytes 6-8/*", "bytes 8-6/20", "bytes 6-20/20", "bytes +6-8/20", "lines 6-8/20"]
        {
            let expected = format!("its Content-Range is malformed: {malformed:?}");
            assert_eq!(refusal(206, &[("content-range", malformed)], PLAIN), expected);
        }
        let other = [("content-range", "bytes 5-8/20")];
        assert_eq!(refusal(206, &other, PLAIN), "it sent bytes from 5 on where those from 6 on were asked for");
        let lengths = [("content-range", "bytes 6-8/20"), ("content-length", "4")];
        assert_eq!(refusal(206, &lengths, PLAIN), "its Content-Length and Content-Range don't agree");
        assert_eq!(refusal(416, &[], PLAIN), "it answered 416 without the length of its file");
        assert_eq!(refusal(416, &[("content-range", "bytes */7")], PLAIN), "it answered 416 for a range that it has");
        assert_eq!(refusal(200, &[("content-length", "-1")], PLAIN), "its content-length is no number: \"-1\"");
    }

    /// busybox httpd labels every part so, and nginx `log.html`.
    #[test]
    fn a_part_is_taken_whatever_its_type() {
        let part = [("content-range", "bytes 6-8/20"), ("content-type", "text/html")];
        let expected = Answer::Part { part: Part { start: 6, end: 9, length: 20 }, etag: None };
        assert_eq!(understand(&head(206, &part), EITHER).unwrap(), expected);
        let empty = [("content-length", "0"), ("accept-ranges", "bytes"), ("content-type", "text/html")];
        assert_eq!(understand(&head(200, &empty), EITHER).unwrap(), Answer::Shorter { length: 0 });
    }

    #[test]
    fn what_is_foreign_is_cut_before_it_is_shown() {
        let long = "x".repeat(10_000);
        for (status, name) in [(302, "location"), (206, "content-range"), (200, "content-encoding")] {
            assert!(refusal(status, &[(name, &long)], EITHER).len() < 300, "{name}");
        }
    }

    #[test]
    fn the_names_of_all_field_lines_are_one_list() {
        let lines = [("x-served-by", "numbers-0, bad name"), ("x-served-by", "echo-1")];
        assert_eq!(names(&head(200, &lines).headers), ["numbers-0", "echo-1"]);
    }

    #[test]
    fn what_is_not_the_file_is_refused() {
        let page = "it sent a web page, maybe to log in, instead of a file";
        assert_eq!(refusal(200, &[("content-type", "Text/HTML; charset=utf-8")], EITHER), page);
        let gzip = [("content-encoding", "gzip"), ("content-range", "bytes 6-8/20")];
        assert_eq!(refusal(206, &gzip, PLAIN), "it sent the file encoded: \"gzip\"");
        let redirect = "it redirects: to \"/login\"; give that as --upstream if it is right";
        assert_eq!(refusal(302, &[("location", "/login")], EITHER), redirect);
        assert_eq!(refusal(401, &[], EITHER), "it answered 401 Unauthorized: see --upstream-token-file");
        assert_eq!(refusal(503, &[], EITHER), "it answered 503 Service Unavailable");
    }

    proptest! {
        /// Whatever comes, what is believed lies where it was asked for.
        #[test]
        fn no_answer_leads_astray(
            status in 200u16..600,
            next in "(0|[0-9a-f]{16})_[0-9]{20}|.{0,8}",
            range in "bytes ([0-9]{1,3}-[0-9]{1,3}|\\*)/[0-9]{1,3}",
            length in proptest::option::of("[0-9]{1,3}"),
            asked in prop_oneof![Just(ECHO), Just(PLAIN), Just(EITHER)],
        ) {
            let mut headers = HeaderMap::new();
            for (name, value) in [("stream-next-offset", Some(next)), ("content-range", Some(range)), ("content-length", length)] {
                if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                    headers.insert(name, value);
                }
            }
            let mut head = head(status, &[]);
            head.headers = headers;
            match understand(&head, asked) {
                Ok(Answer::Lines { end, .. }) => prop_assert!(end >= 6),
                Ok(Answer::Part { part: Part { start, end, length }, .. }) => prop_assert!(start == 6 && start < end && end <= length),
                Ok(Answer::Shorter { length }) => prop_assert!(length <= 6),
                Ok(Answer::Unchanged | Answer::Replaced) | Err(_) => {}
            }
        }
    }
}
