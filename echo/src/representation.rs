//! The file as a representation (RFC 9110 §3.2, §8): what the head of an answer says of it, and the answers themselves.

use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, DATE, ETAG, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, RANGE,
};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use httpdate::HttpDate;

use crate::bulk;
use crate::conditional::{Outcome, Validators};
use crate::http::sentence;
use crate::metrics::Served;
use crate::offset::{self, NEXT_OFFSET};
use crate::range::{self, Resolved};
use crate::repeat::Repeatable;
use crate::snapshot::Snapshot;

/// What every answer says of a snapshot within one second. It is written once, and not anew for each answer.
pub struct Representation {
    /// The snapshot and the second.
    pub of: Repeatable,
    now: SystemTime,
    etag: String,
    last_modified: HttpDate,
    /// The header of an answer that has the whole for its content.
    whole: HeaderMap,
    /// The same without what describes the content.
    common: HeaderMap,
}

impl Representation {
    /// Describes `snapshot` at the time `now`.
    pub fn new(snapshot: &Arc<Snapshot>, now: SystemTime) -> Self {
        let etag = format!("\"{}-{}\"", snapshot.generation, snapshot.length);
        let last_modified = HttpDate::from(snapshot.modified().min(now));
        let mut common = HeaderMap::new();
        // From the same look at the clock as Last-Modified; hyper's own may be a little older.
        set(&mut common, DATE, HttpDate::from(now).to_string());
        set(&mut common, CACHE_CONTROL, "no-cache".to_owned());
        set(&mut common, LAST_MODIFIED, last_modified.to_string());
        set(&mut common, ETAG, etag.clone());
        let mut whole = common.clone();
        describe_content(&mut whole, snapshot.length);
        set(&mut whole, NEXT_OFFSET, offset::token(snapshot.generation, snapshot.length));
        Self { of: Repeatable::new(snapshot, now), now, etag, last_modified, whole, common }
    }

    /// Answers a `GET` or `HEAD` from `snapshot`, which is the one that is described.
    ///
    /// # Errors
    ///
    /// When the content can't be read.
    pub fn answer(
        &self,
        snapshot: &Arc<Snapshot>,
        method: &Method,
        headers: &HeaderMap,
        served: &Arc<Served>,
    ) -> io::Result<Response> {
        let length = snapshot.length;
        let validators = Validators { etag: self.etag.as_bytes(), last_modified: self.last_modified };
        match validators.evaluate(headers) {
            Outcome::Proceed => {}
            Outcome::NotModified => {
                let mut response = self.head(StatusCode::NOT_MODIFIED, self.common.clone());
                // Left to itself, axum would announce the length 0, which is not that of the file.
                set(response.headers_mut(), CONTENT_LENGTH, length.to_string());
                return Ok(response);
            }
            Outcome::Failed => {
                return Ok(sentence(
                    StatusCode::PRECONDITION_FAILED,
                    "The file is not in the state that the request asks for.",
                ));
            }
        }

        let (mut response, range) = match requested_range(method, headers, length) {
            Resolved::Part(range) if validators.allow_range(headers, self.now) => {
                let mut response = self.head(StatusCode::PARTIAL_CONTENT, self.common.clone());
                describe_content(response.headers_mut(), range.end - range.start);
                let content_range = format!("bytes {}-{}/{length}", range.start, range.end - 1);
                set(response.headers_mut(), CONTENT_RANGE, content_range);
                (response, range)
            }
            Resolved::Unsatisfiable if validators.allow_range(headers, self.now) => {
                let mut response = self.head(StatusCode::RANGE_NOT_SATISFIABLE, HeaderMap::new());
                set(response.headers_mut(), CONTENT_RANGE, format!("bytes */{length}"));
                return Ok(response);
            }
            _ => (self.head(StatusCode::OK, self.whole.clone()), 0..length),
        };
        if method == Method::HEAD {
            return Ok(response);
        }
        // What was not read with the snapshot may be other bytes by now, where the stamp is too young to tell.
        if !snapshot.is_settled && !snapshot.holds(range.start) {
            response.extensions_mut().remove::<Repeatable>();
        }
        bulk::with_content(response, snapshot, range, served)
    }

    /// An answer without content that is the same for all who ask the same.
    fn head(&self, status: StatusCode, headers: HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response.extensions_mut().insert(self.of.clone());
        response
    }
}

fn describe_content(headers: &mut HeaderMap, length: u64) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
}

/// Sets a field to what we have written ourselves, which is always a field value.
fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::time::Duration;

    use axum::http::header::IF_NONE_MATCH;

    use super::*;
    use crate::identity::Identity;

    /// Whether the answer to a request with these fields may be given again, of a file that is as it was just now.
    fn may_be_repeated(file: &Path, method: &Method, fields: &[(HeaderName, &str)]) -> bool {
        let snapshot = Arc::new(Snapshot::take(file, &Identity::Own).unwrap());
        let headers =
            fields.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect();
        let representation = Representation::new(&snapshot, SystemTime::now());
        let response = representation.answer(&snapshot, method, &headers, &Arc::default()).unwrap();
        response.extensions().get::<Repeatable>().is_some()
    }

    #[test]
    fn bytes_of_a_young_file_are_not_repeated_unless_they_were_read_with_the_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data");
        fs::write(&file, "12345\n".repeat(10_000)).unwrap();
        // A time to come never lies back far enough.
        File::options()
            .write(true)
            .open(&file)
            .unwrap()
            .set_modified(SystemTime::now() + Duration::from_hours(1))
            .unwrap();
        let asked = |method: &Method, fields: &[_]| may_be_repeated(&file, method, fields);
        assert!(!asked(&Method::GET, &[]));
        assert!(!asked(&Method::GET, &[(RANGE, "bytes=0-9")]));
        assert!(!asked(&Method::GET, &[(RANGE, "bytes=-20000")]));
        assert!(asked(&Method::GET, &[(RANGE, "bytes=-100")]));
        assert!(asked(&Method::GET, &[(IF_NONE_MATCH, "*")]));
        assert!(asked(&Method::GET, &[(RANGE, "bytes=60000-")]));
        assert!(asked(&Method::HEAD, &[]));
    }
}
