//! What must hold whatever comes. The fuzz targets make the bytes up; the test replays those that were kept.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};

use echo::file::identity::Announced;
use echo::file::offset::{Offset, token};
use echo::http::conditional::{Outcome, Validators};
use echo::http::range::{Resolved, resolve};
use echo::http::request::{MAX_HEAD, Request};
use echo::live::query::Query;
use echo::mirror::copy::LocalCopy;
use echo::mirror::response::{Answer, Asked, Part, understand};

/// What a client sends: its head ends in the same place however much has come, and what decides about the connection is found
/// by a plain reading of the lines, too.
pub fn head(data: &[u8]) {
    let Ok(Some((request, length))) = Request::parse(data) else { return };
    assert!(length <= MAX_HEAD && length <= data.len());
    let (head, before) = (&data[..length], &data[..length - 1]);
    assert!(head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n"), "a head ends in an empty line");
    assert!(matches!(Request::parse(before), Ok(None)), "no sooner");
    assert!(matches!(Request::parse(head), Ok(Some((_, at))) if at == length), "whatever follows");
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let values = |name: &str| -> Vec<String> {
        let fields = text.lines().skip_while(|line| line.is_empty()).skip(1).filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| *field == name).map(|(_, value)| value.trim().to_owned()).collect()
    };
    assert!(values("host").len() <= 1 && (request.minor_version == 0 || values("host").len() == 1));
    let has_body = !values("transfer-encoding").is_empty()
        || values("content-length").iter().any(|value| !value.trim_matches('0').is_empty());
    let closes = values("connection").iter().flat_map(|value| value.split(',')).any(|option| option.trim() == "close");
    assert!(!request.may_persist || (!has_body && !closes), "nothing behind a body is a request");
}

/// A length of eight bytes, and the value of a `Range` header.
pub fn range(data: &[u8]) {
    let Some((length, header)) = data.split_first_chunk() else { return };
    let length = u64::from_le_bytes(*length);
    let resolved = resolve(header, length);
    if let Resolved::Part(part) = &resolved {
        assert!(part.start < part.end && part.end <= length, "{part:?} of {length}");
    }
    if let Some(expected) = plain_range(header, length) {
        assert_eq!(resolved, expected);
    }
}

/// What a range in the form that everybody sends means, understood in another way.
fn plain_range(header: &[u8], length: u64) -> Option<Resolved> {
    let text = std::str::from_utf8(header).ok()?.strip_prefix("bytes=")?;
    let (first, last) = text.split_once('-')?;
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') || text.len() > 30 {
        return None;
    }
    let length = u128::from(length);
    let (first, end) = match (first.parse::<u128>(), last.parse::<u128>()) {
        (Ok(first), Ok(last)) if first > last => return Some(Resolved::Whole),
        (Ok(first), Ok(last)) => (first, length.min(last + 1)),
        (Ok(first), Err(_)) if last.is_empty() => (first, length),
        (Err(_), Ok(suffix)) if first.is_empty() => (length.saturating_sub(suffix), length),
        _ => return Some(Resolved::Whole),
    };
    Some(if first < end { Resolved::Part(first as u64..end as u64) } else { Resolved::Unsatisfiable })
}

/// A query string; the same bytes also as an offset.
pub fn query(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(Offset::At { generation, position }) = Offset::parse(text) {
        assert_eq!(token(generation, position), text, "two tokens for one place");
    }
    if let Ok(Some(query)) = Query::parse(text) {
        assert!(["offset", "live", "follow"].iter().any(|name| text.contains(name) || text.contains('%')));
        assert!(!matches!(query.offset, Offset::At { position: 0, .. }));
    }
}

/// Lines, each with a digit that chooses a header and the header's value.
pub fn conditional(data: &[u8]) {
    const NAMES: [&str; 5] = ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range"];
    let headers = headers(data, &NAMES);
    let written = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let validators = Validators { etag: b"\"4afc7b21f779eb6b-17\"", last_modified: written.into(), changed: written };
    let has = |names: [&str; 2]| names.iter().any(|name| headers.contains_key(*name));
    match validators.evaluate(&headers) {
        Outcome::Proceed => {}
        Outcome::NotModified => assert!(has(["if-none-match", "if-modified-since"])),
        Outcome::Failed => assert!(has(["if-match", "if-unmodified-since"])),
    }
    let allowed = validators.allow_range(&headers, written + Duration::from_mins(1));
    assert!(allowed || headers.contains_key("if-range"));
}

/// A status, the offset and the range that were asked for, and lines with the headers of an upstream.
pub fn answer(data: &[u8]) {
    const NAMES: [&str; 9] = [
        "stream-next-offset",
        "stream-up-to-date",
        "content-length",
        "content-range",
        "content-type",
        "content-encoding",
        "accept-ranges",
        "etag",
        "location",
    ];
    let Some(([low, high, offset, range], lines)) = data.split_first_chunk() else { return };
    let status = 200 + u16::from_le_bytes([*low, *high]) % 400;
    // An odd byte asks for nothing.
    let asked = |byte: u8| byte.is_multiple_of(2).then_some(u64::from(byte / 2));
    let asked = Asked { offset: asked(*offset), range: asked(*range) };
    let (mut head, ()) = Response::builder().status(status).body(()).expect("a status is a head").into_parts();
    head.headers = headers(lines, &NAMES);
    match understand(&head, asked) {
        Ok(Answer::Lines { end, .. }) => assert!(asked.offset.is_some_and(|offset| offset <= end)),
        Ok(Answer::Part { part: Part { start, end, length }, .. }) => {
            assert!(Some(start) == asked.range && start < end && end <= length);
        }
        Ok(Answer::Shorter { length }) => assert!(asked.range.is_some_and(|range| length <= range)),
        Ok(Answer::Replaced) => assert!(asked.offset.is_some_and(|offset| offset > 0)),
        Ok(Answer::Unchanged) | Err(_) => {}
    }
}

fn headers(lines: &[u8], names: &[&'static str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n') {
        if let Some((digit, value)) = line.split_first()
            && let Some(name) = names.get(usize::from(digit.wrapping_sub(b'0')))
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            headers.append(HeaderName::from_static(name), value);
        }
    }
    headers
}

/// What a mirror finds in its folder: five files, of which the first byte says which are there, with a zero between them.
pub fn copy(data: &[u8]) {
    const NAMES: [&str; 5] = ["data", "data.generation", "data.ready", "data.next.generation", "data.next"];
    let Some((which, contents)) = data.split_first() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name| folder.path().join(name);
    let mut contents = contents.split(|&byte| byte == 0);
    for (at, name) in NAMES.into_iter().enumerate() {
        let content = contents.next().unwrap_or_default();
        if which >> at & 1 == 1 {
            fs::write(path(name), content).expect("a file");
        }
    }
    let read = |name| fs::read(path(name)).unwrap_or_default();
    // A replacement that has begun is finished.
    let (before, ready) = (read("data"), path("data.ready").exists().then(|| read("data.ready")));
    let found = ready.as_ref().unwrap_or(&before);
    let whole = found.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
    for _ in 0..2 {
        if let Ok(copy) = LocalCopy::open(path("data"), Arc::new(Announced::default())) {
            assert_eq!(copy.length(), whole as u64);
            assert_eq!(read("data"), found[..whole], "what is not a line is cut off, and nothing else");
            assert!(!path("data.next").exists() && !path("data.ready").exists());
        } else {
            let left = read("data");
            assert!(left == before || left == *found, "what is refused is left as it is");
        }
    }
}
