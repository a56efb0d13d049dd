//! The file as a representation (RFC 9110 §3.2, §8): what the head of an answer says of it, and the answers themselves.

use std::fmt::Write;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Weak};

use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, LAST_MODIFIED, RANGE,
};
use axum::http::{Method, StatusCode};
use httpdate::HttpDate;

use crate::file::offset::{NEXT_OFFSET, UP_TO_DATE};
use crate::file::snapshot::Snapshot;
use crate::http::answer::{Answer, Body, PLAIN_TEXT, sentence};
use crate::http::conditional::{Outcome, Validators};
use crate::http::date::Second;
use crate::http::range::{self, Resolved};
use crate::http::request::Request;
use crate::routes::content::Contents;

/// What every answer says of a snapshot within one second. It is written once, and not anew for each answer.
pub struct Representation {
    /// Not held, or the file of an old one would stay open and keep its place on the disk.
    snapshot: Weak<Snapshot>,
    second: Arc<Second>,
    etag: String,
    last_modified: HttpDate,
    /// The fields of an answer that has the whole for its content.
    whole: String,
    /// Those of any answer.
    common: String,
}

impl Representation {
    /// Describes `snapshot` within `second`.
    pub fn new(snapshot: &Arc<Snapshot>, second: &Arc<Second>) -> Self {
        let etag = format!("\"{}-{}\"", snapshot.generation(), snapshot.length());
        let last_modified = HttpDate::from(snapshot.modified().min(second.time));
        let mut common = String::with_capacity(512);
        let _ = write!(common, "{CACHE_CONTROL}: no-cache\r\n{LAST_MODIFIED}: {last_modified}\r\n{ETAG}: {etag}\r\n");
        let next = snapshot.end();
        let whole = format!("{common}{}{NEXT_OFFSET}: {next}\r\n{UP_TO_DATE}: true\r\n", content_fields());
        Self { snapshot: Arc::downgrade(snapshot), second: Arc::clone(second), etag, last_modified, whole, common }
    }

    /// Whether it describes `snapshot` within `second`.
    pub fn is_of(&self, snapshot: &Arc<Snapshot>, second: &Second) -> bool {
        Weak::as_ptr(&self.snapshot) == Arc::as_ptr(snapshot) && self.second.number == second.number
    }

    /// Answers a `GET` or `HEAD` from `snapshot`, which is the one that is described.
    ///
    /// # Errors
    ///
    /// When the content can't be read.
    pub async fn answer(&self, snapshot: &Arc<Snapshot>, request: &Request, contents: &Contents) -> io::Result<Answer> {
        let length = snapshot.length();
        let headers = &request.headers;
        if headers.is_empty() {
            return self.whole(snapshot, request, contents).await;
        }
        let (last_modified, changed) = (self.last_modified, snapshot.changed());
        let validators = Validators { etag: self.etag.as_bytes(), last_modified, changed };
        match validators.evaluate(headers) {
            Outcome::Proceed => {}
            Outcome::NotModified => return Ok(self.common(StatusCode::NOT_MODIFIED, Body::Announced(length))),
            Outcome::Failed => {
                return Ok(sentence(
                    StatusCode::PRECONDITION_FAILED,
                    "The file is not in the state that the request asks for.",
                ));
            }
        }
        match requested_range(&request.method, headers, length) {
            Resolved::Part(range) if validators.allow_range(headers, self.second.time) => {
                self.part(snapshot, range, contents).await
            }
            Resolved::Unsatisfiable if validators.allow_range(headers, self.second.time) => {
                let answer = Answer::new(StatusCode::RANGE_NOT_SATISFIABLE, Body::Announced(0));
                Ok(answer.with(&CONTENT_RANGE, format_args!("bytes */{length}")))
            }
            _ => self.whole(snapshot, request, contents).await,
        }
    }

    async fn whole(&self, snapshot: &Arc<Snapshot>, request: &Request, contents: &Contents) -> io::Result<Answer> {
        let content = match request.method {
            Method::HEAD => Body::Announced(snapshot.length()),
            _ => contents.of(snapshot, 0..snapshot.length()).await?,
        };
        let mut answer = Answer::new(StatusCode::OK, content);
        answer.fields.push_str(&self.whole);
        Ok(answer)
    }

    async fn part(&self, snapshot: &Arc<Snapshot>, range: Range<u64>, contents: &Contents) -> io::Result<Answer> {
        let length = snapshot.length();
        let mut answer = self.common(StatusCode::PARTIAL_CONTENT, contents.of(snapshot, range.clone()).await?);
        answer.fields.push_str(&content_fields());
        answer.add(&CONTENT_RANGE, format_args!("bytes {}-{}/{length}", range.start, range.end - 1));
        if range.end == length {
            answer.add(&UP_TO_DATE, "true");
        }
        Ok(answer)
    }

    fn common(&self, status: StatusCode, body: Body) -> Answer {
        let mut answer = Answer::new(status, body);
        answer.fields.push_str(&self.common);
        answer
    }
}

/// What describes the content.
fn content_fields() -> String {
    format!("{CONTENT_TYPE}: {PLAIN_TEXT}\r\n{ACCEPT_RANGES}: bytes\r\n")
}

/// `Range` is defined for `GET` alone, and may stand once.
fn requested_range(method: &Method, headers: &HeaderMap, length: u64) -> Resolved {
    let mut fields = headers.get_all(RANGE).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) if method == Method::GET => range::resolve(field.as_bytes(), length),
        _ => Resolved::Whole,
    }
}
