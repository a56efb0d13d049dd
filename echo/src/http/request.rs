//! The head of a request: read strictly, and reduced to what an answer can depend on.
//!
//! Whatever two servers could understand in two ways is refused, and the connection closed: a proxy and a server that
//! disagree about where a request ends, or whom it is for, can be played off against each other (RFC 9112 §11).

use axum::http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, HOST, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE, TRANSFER_ENCODING,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

/// The largest request line and header section that is read, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;
/// How many header lines are read.
const MAX_LINES: usize = 100;
/// Where an event stream goes on, as a browser's `EventSource` says it.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The header lines that an answer can depend on. All others are parsed and dropped.
const KEPT: [HeaderName; 8] =
    [RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE, IF_MATCH, IF_UNMODIFIED_SINCE, IF_RANGE, AUTHORIZATION, LAST_EVENT_ID];

/// What a client asks for.
#[derive(Debug)]
pub struct Request {
    /// The verb.
    pub method: Method,
    /// The target, in origin form or in absolute form.
    pub uri: Uri,
    /// The header lines that an answer can depend on.
    pub headers: HeaderMap,
    /// The minor version of HTTP/1: 0 or 1.
    pub minor_version: u8,
    /// Whether the connection may go on after the answer, as far as the client is concerned (RFC 9112 §9.3).
    pub may_persist: bool,
}

/// Why a head is not answered as a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told; nothing where it speaks another protocol.
    pub status: Option<StatusCode>,
    /// One sentence for people.
    pub reason: &'static str,
}

const TOO_LARGE: Refusal = Refusal {
    status: Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    reason: "The head of the request is too large: 16 KiB and 100 header lines are allowed.",
};

fn malformed(reason: &'static str) -> Refusal {
    Refusal { status: Some(StatusCode::BAD_REQUEST), reason }
}

impl Request {
    /// Parses the head that `bytes` begin with; returns its length, too, or `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// When the head is malformed, ambiguous or too large.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, Refusal> {
        let mut lines = [const { std::mem::MaybeUninit::uninit() }; MAX_LINES];
        let mut head = httparse::Request::new(&mut []);
        let within_limit = &bytes[..bytes.len().min(MAX_HEAD)];
        let length = match head.parse_with_uninit_headers(within_limit, &mut lines) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if within_limit.len() < MAX_HEAD => return Ok(None),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => return Err(TOO_LARGE),
            // A client of HTTP/2 that did not ask first understands no answer of HTTP/1.
            Err(_) if bytes.starts_with(b"PRI * HTTP/2") => return Err(Refusal { status: None, reason: "HTTP/2" }),
            Err(_) => return Err(malformed("This is no request of HTTP/1.")),
        };
        Self::understand(&head).map(|request| Some((request, length)))
    }

    fn understand(head: &httparse::Request) -> Result<Self, Refusal> {
        let method = head.method.and_then(|method| Method::from_bytes(method.as_bytes()).ok());
        let uri = head.path.and_then(|target| Uri::try_from(target).ok());
        let (Some(method), Some(uri), Some(minor_version)) = (method, uri, head.version) else {
            return Err(malformed("The request line is malformed."));
        };
        let mut headers = HeaderMap::new();
        let (mut hosts, mut framing, mut connection) = (0, Framing::default(), Connection::default());
        for line in head.headers.iter() {
            if is(line.name, &HOST) {
                hosts += 1;
                if !is_host(line.value) {
                    return Err(malformed("The Host is none."));
                }
            } else if is(line.name, &CONNECTION) {
                connection.add(line.value);
            } else if is(line.name, &CONTENT_LENGTH) {
                framing.add_length(line.value)?;
            } else if is(line.name, &TRANSFER_ENCODING) {
                framing.add_coding(line.value)?;
            } else if let Some(name) = KEPT.iter().find(|kept| is(line.name, kept)) {
                let value = HeaderValue::from_bytes(line.value);
                headers.append(name, value.map_err(|_| malformed("A header line is malformed."))?);
            }
        }
        if hosts > 1 || (hosts == 0 && minor_version == 1) {
            return Err(malformed("A request needs one Host header, with a host."));
        }
        // Also where the connection ends anyway: somebody on the way may have understood it otherwise.
        let has_body = framing.has_body(minor_version)?;
        let may_persist = !has_body && connection.may_persist(minor_version);
        Ok(Self { method, uri, headers, minor_version, may_persist })
    }
}

fn is(name: &str, header: &HeaderName) -> bool {
    name.eq_ignore_ascii_case(header.as_str())
}

/// What `Connection` says.
#[derive(Default)]
struct Connection {
    close: bool,
    keep_alive: bool,
}

impl Connection {
    fn add(&mut self, value: &[u8]) {
        for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    fn may_persist(&self, minor_version: u8) -> bool {
        !self.close && (minor_version == 1 || self.keep_alive)
    }
}

/// Where the body of a request ends (RFC 9112 §6). No body is ever read: the connection ends with the answer.
#[derive(Default)]
struct Framing {
    length: Option<u64>,
    /// Whether the last coding that was named is `chunked`; `None` if none was.
    is_chunked: Option<bool>,
}

impl Framing {
    fn add_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let length = std::str::from_utf8(value).ok().filter(|_| is_number).and_then(|text| text.parse().ok());
        match (self.length, length) {
            (_, None) => Err(malformed("The Content-Length is no length.")),
            (Some(before), Some(length)) if before != length => Err(malformed("There are two lengths.")),
            _ => {
                self.length = length;
                Ok(())
            }
        }
    }

    fn add_coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        for coding in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            if self.is_chunked == Some(true) {
                return Err(malformed("Something follows the coding that ends a body."));
            }
            self.is_chunked = Some(coding.eq_ignore_ascii_case(b"chunked"));
        }
        Ok(())
    }

    fn has_body(&self, minor_version: u8) -> Result<bool, Refusal> {
        match self.is_chunked {
            Some(true) if minor_version == 1 => Ok(true),
            Some(_) => Err(malformed("The end of the body can't be known.")),
            None => Ok(self.length.is_some_and(|length| length > 0)),
        }
    }
}

/// Whether `value` is a host, with a port or without (RFC 3986 §3.2.2); it may be empty.
fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value.iter().rposition(|&byte| byte == b':') {
        Some(colon) if !value.ends_with(b"]") => (&value[..colon], &value[colon + 1..]),
        _ => (value, &[][..]),
    };
    let literal = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    let is_host = match literal {
        Some(address) => !address.is_empty() && has_only(address, b":"),
        None => has_only(host, b""),
    };
    is_host && port.iter().all(u8::is_ascii_digit)
}

/// Whether `text` has only what may stand in a registered name, and the characters in `more`.
fn has_only(text: &[u8], more: &[u8]) -> bool {
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match after {
            [high, low, after @ ..] if byte == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => after,
            _ if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte) || more.contains(&byte) => after,
            _ => return false,
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(head: &str) -> Result<Request, Option<StatusCode>> {
        match Request::parse(head.as_bytes()) {
            Ok(Some((request, length))) => {
                assert_eq!(length, head.len());
                Ok(request)
            }
            Ok(None) => panic!("{head:?} is not complete"),
            Err(refusal) => Err(refusal.status),
        }
    }

    fn with(lines: &str) -> Result<Request, Option<StatusCode>> {
        parse(&format!("GET /data HTTP/1.1\r\nHost: a\r\n{lines}\r\n"))
    }

    #[test]
    fn what_an_answer_depends_on_is_kept_and_nothing_else() {
        let request = with("X-Request-Id: 7\r\nrAnGe: bytes=-5\r\nAccept: */*\r\nIf-None-Match: \"a\"\r\n").unwrap();
        assert_eq!((request.method, request.uri.path(), request.headers.len()), (Method::GET, "/data", 2));
        assert_eq!(request.headers[RANGE], "bytes=-5");
        assert!(request.may_persist);
    }

    #[test]
    fn hosts_are_told_from_what_is_none() {
        for host in ["", "a", "a:", "a:80", "a%20b", "127.0.0.1:8000", "[::1]", "[::1]:80", "a_b.c~d", "xn--a"] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in
            ["a b", "a/b", "a%2", "a%zz", "me@a", "a:b", "a:80:80", "[::1", "::1]", "[]", "[a b]", "a\tb", "\u{fc}"]
        {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn a_body_ends_the_connection_and_one_whose_end_is_unclear_is_refused() {
        for (lines, expected) in [
            ("Content-Length: 0\r\n", Ok(true)),
            ("Content-Length: 5\r\n", Ok(false)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Ok(false)),
            ("Transfer-Encoding: gzip, Chunked\r\nContent-Length: 5\r\n", Ok(false)),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", Err(())),
            ("Content-Length: 5, 5\r\n", Err(())),
            ("Content-Length: +5\r\n", Err(())),
            ("Content-Length:\r\n", Err(())),
            ("Content-Length: 99999999999999999999\r\n", Err(())),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(())),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", Err(())),
            ("Transfer-Encoding: xchunked\r\n", Err(())),
            ("Transfer-Encoding: xchunked\r\nConnection: close\r\n", Err(())),
            ("Transfer-Encoding:\r\n", Err(())),
        ] {
            assert_eq!(with(lines).map(|request| request.may_persist).map_err(|_| ()), expected, "{lines}");
        }
        assert!(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err(), "HTTP/1.0 has no chunks");
    }

    #[test]
    fn a_request_has_one_host_and_an_old_one_may_have_none() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", false),
        ] {
            assert_eq!(parse(head).is_ok(), expected, "{head}");
        }
    }

    #[test]
    fn the_connection_goes_on_unless_somebody_ends_it() {
        for (version, connection, expected) in [
            (1, "", true),
            (1, "Connection: close\r\n", false),
            (1, "Connection: Keep-Alive\r\n", true),
            (1, "Connection: x, CLOSE\r\n", false),
            (1, "Connection: close\r\nConnection: x\r\n", false),
            (0, "", false),
            (0, "Connection: x\r\n", false),
            (0, "Connection: x, Keep-Alive\r\n", true),
            (0, "Connection: keep-alive\r\nConnection: x\r\n", true),
            (0, "Connection: keep-alive, close\r\n", false),
        ] {
            let head = format!("GET / HTTP/1.{version}\r\nHost: a\r\n{connection}\r\n");
            assert_eq!(parse(&head).unwrap().may_persist, expected, "{head}");
        }
    }

    #[test]
    fn what_is_no_request_of_http_1_is_refused_and_http_2_without_a_word() {
        let status = |bytes: &[u8]| Request::parse(bytes).unwrap_err().status;
        assert_eq!(status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), None);
        assert_eq!(status(b"GET / HTTP/2.0\r\n\r\n"), Some(StatusCode::BAD_REQUEST));
    }

    #[test]
    fn an_incomplete_head_is_waited_for_up_to_the_limit() {
        assert!(Request::parse(b"GET /data HTTP/1.1\r\nHost: a\r\n").unwrap().is_none());
        assert_eq!(Request::parse(&[b'a'; MAX_HEAD]).unwrap_err(), TOO_LARGE);
        let lines = "X: y\r\n".repeat(MAX_LINES);
        assert_eq!(with(&lines).unwrap_err(), TOO_LARGE.status);
        let long = format!("X: {}\r\n", "y".repeat(MAX_HEAD));
        assert_eq!(with(&long).unwrap_err(), TOO_LARGE.status, "though it is complete");
        assert!(with(&format!("X: {}\r\n", "y".repeat(16_000))).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes: Vec<u8>) {
            let _ = Request::parse(&bytes);
        }

        /// Where a head ends does not depend on how much of what follows it is there.
        #[test]
        fn what_follows_a_head_is_no_part_of_it(rest: Vec<u8>) {
            let head = b"GET /data HTTP/1.1\r\nHost: a\r\n\r\n";
            let parsed = Request::parse(&[head, &*rest].concat()).unwrap().unwrap();
            prop_assert_eq!(parsed.1, head.len());
        }
    }
}
