//! `GET /data`: the file as it is now.

use std::borrow::Cow;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, bail};
use axum::Extension;
use axum::http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderMap,
    LAST_MODIFIED, RANGE,
};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use httpdate::HttpDate;
use percent_encoding::percent_decode;

use crate::bulk;
use crate::conditional::{Outcome, Validators};
use crate::http::{ONLY_READ, sentence, try_again};
use crate::live::Live;
use crate::metrics::{Count, Served};
use crate::offset::{self, NEXT_OFFSET};
use crate::page;
use crate::query::Query;
use crate::range::{self, Resolved};
use crate::repeat::Repeatable;
use crate::snapshot::Snapshot;
use crate::source::Source;

/// How often a file that is truncated between snapshot and answer is looked at again.
const ATTEMPTS: u32 = 10;

/// The served file and the path that it has in URLs.
pub struct Data {
    source: Arc<Source>,
    live: Arc<Live>,
    served: Arc<Served>,
    path: Vec<u8>,
    /// The path as it is counted.
    label: Arc<str>,
}

impl Data {
    /// Serves `source` under the name of its file, and its growth by way of `live`.
    ///
    /// # Errors
    ///
    /// When the name is missing, or that of another route.
    pub fn new(source: Arc<Source>, live: Arc<Live>, served: Arc<Served>) -> anyhow::Result<Self> {
        let file = source.path();
        let name = file.file_name().with_context(|| format!("--file {} does not end in a name", file.display()))?;
        if !file.as_os_str().as_bytes().ends_with(name.as_bytes()) {
            bail!("--file {} can only be a folder", file.display());
        }
        if ["healthz", "readyz", "metrics"].iter().any(|taken| name == *taken) {
            bail!(
                "--file {}: the path /{} has another use; give the file another name",
                file.display(),
                name.display()
            );
        }
        let path = [b"/", name.as_bytes()].concat();
        let label = String::from_utf8_lossy(&path).into();
        Ok(Self { source, live, served, path, label })
    }

    async fn snapshot(&self, method: &Method, headers: &HeaderMap) -> io::Result<Response> {
        let mut attempt = 1;
        loop {
            let snapshot = self.source.shared_snapshot().await?;
            match answer(&snapshot, method, headers, &self.served) {
                // Truncated between snapshot and answer; the next snapshot tells by how much.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && attempt < ATTEMPTS => attempt += 1,
                answer => return answer,
            }
        }
    }

    /// Whether `path`, in whatever way it is encoded, is that of the file.
    pub fn is_at(&self, path: &str) -> bool {
        path.as_bytes() == self.path || Cow::from(percent_decode(path.as_bytes())) == self.path
    }

    /// The name under which requests for `path` are counted: one of few, whatever clients ask for.
    pub fn route(&self, path: &str) -> Arc<str> {
        match path {
            _ if path == &*self.label => Arc::clone(&self.label),
            "/" | "/healthz" | "/readyz" | "/metrics" => path.into(),
            _ if path.starts_with(page::ASSETS) => page::ASSETS.into(),
            _ => "other".into(),
        }
    }

    /// The name under which requests for the file are counted.
    pub fn label(&self) -> Arc<str> {
        Arc::clone(&self.label)
    }

    /// Counts a piece of the file as served.
    pub fn count(&self, piece: Count) {
        self.served.count(piece);
    }

    /// Whether an answer would be the same now.
    pub async fn is_current(&self, answer: &Repeatable) -> bool {
        self.source.shared_snapshot().await.is_ok_and(|now| answer.holds_for(&now))
    }

    /// Answers a request for the file.
    pub async fn respond(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return ([(ALLOW, "GET,HEAD")], sentence(StatusCode::METHOD_NOT_ALLOWED, ONLY_READ)).into_response();
        }
        let query = match Query::parse(uri.query().unwrap_or_default()) {
            Ok(query) => query,
            Err(reason) => return sentence(StatusCode::BAD_REQUEST, reason),
        };
        let answer = match query {
            None => self.snapshot(method, headers).await,
            Some(query) => match self.source.snapshot() {
                Ok(snapshot) => self.live.respond(snapshot, method, query, headers).await,
                Err(error) => Err(error),
            },
        };
        answer.unwrap_or_else(|error| unavailable(&error))
    }
}

/// One sentence for the client; the operator has the reason in the log.
fn unavailable(error: &io::Error) -> Response {
    try_again(match error.kind() {
        io::ErrorKind::NotFound => "There is no file yet; try again in a moment.",
        _ => "The file can't be read at the moment; try again.",
    })
}

/// Answers a `GET` or `HEAD` from `snapshot`.
fn answer(
    snapshot: &Arc<Snapshot>,
    method: &Method,
    headers: &HeaderMap,
    served: &Arc<Served>,
) -> io::Result<Response> {
    let now = SystemTime::now();
    let repeatable = Repeatable::new(snapshot, now);
    let length = snapshot.length;
    let etag = format!("\"{}-{length}\"", snapshot.generation);
    let validators = Validators { etag: etag.as_bytes(), last_modified: HttpDate::from(snapshot.modified().min(now)) };
    let common = [
        // From the same look at the clock as Last-Modified; hyper's own may be a little older.
        (DATE, HttpDate::from(now).to_string()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (LAST_MODIFIED, validators.last_modified.to_string()),
        (ETAG, etag.clone()),
    ];
    match validators.evaluate(headers) {
        Outcome::Proceed => {}
        Outcome::NotModified => {
            // Left to itself, axum would announce the length 0, which is not that of the file.
            let described = [(CONTENT_LENGTH, length.to_string())];
            return Ok((StatusCode::NOT_MODIFIED, common, described, Extension(repeatable)).into_response());
        }
        Outcome::Failed => {
            return Ok(sentence(
                StatusCode::PRECONDITION_FAILED,
                "The file is not in the state that the request asks for.",
            ));
        }
    }

    let (status, range) = match requested_range(method, headers, length) {
        Resolved::Part(range) if validators.allow_range(headers, now) => (StatusCode::PARTIAL_CONTENT, range),
        Resolved::Unsatisfiable if validators.allow_range(headers, now) => {
            let whole = [(CONTENT_RANGE, format!("bytes */{length}"))];
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, whole).into_response());
        }
        _ => (StatusCode::OK, 0..length),
    };
    let described = [
        (CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
        (CONTENT_LENGTH, (range.end - range.start).to_string()),
        (ACCEPT_RANGES, "bytes".to_owned()),
    ];
    let mut response = (status, common, described).into_response();
    let headers = response.headers_mut();
    if status == StatusCode::PARTIAL_CONTENT {
        let content_range = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        headers.insert(CONTENT_RANGE, content_range.try_into().map_err(io::Error::other)?);
    } else {
        let offset = offset::token(snapshot.generation, length);
        headers.insert(NEXT_OFFSET, offset.try_into().map_err(io::Error::other)?);
    }
    // What was not read with the snapshot may be other bytes by now, where the stamp is too young to tell.
    if snapshot.is_settled || snapshot.holds(range.start) || method == Method::HEAD {
        response.extensions_mut().insert(repeatable);
    }
    match *method {
        Method::HEAD => Ok(response),
        _ => bulk::with_content(response, snapshot, range, served),
    }
}

/// `Range` is defined for `GET` alone, and may stand once.
fn requested_range(method: &Method, headers: &HeaderMap, length: u64) -> Resolved {
    let mut fields = headers.get_all(RANGE).iter();
    match (fields.next(), fields.next()) {
        (Some(field), None) if method == Method::GET => range::resolve(field.as_bytes(), length),
        _ => Resolved::Whole,
    }
}
