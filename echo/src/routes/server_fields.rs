//! The fields that the server adds to all answers: who answers, and who may read it in a browser.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, HeaderName, VARY, X_CONTENT_TYPE_OPTIONS,
};

use crate::http::answer::{Answer, Body};
use crate::mirror::status::Progress;
use crate::names::{Names, SERVED_BY};

/// The verbs of every path.
pub const VERBS: &str = "GET, HEAD, OPTIONS";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// The fields that pages of another origin may read.
const EXPOSED: &str = "Accept-Ranges, Content-Range, Date, ETag, Last-Modified, Retry-After, Stream-Cursor, \
                       Stream-Next-Offset, Stream-Up-To-Date, X-Served-By";
/// The fields that pages of another origin may send.
const ASKED: &str = "Authorization, If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, \
                     Last-Event-ID, Range";

/// The fields that are added to all answers.
pub struct ServerFields {
    names: Names,
    /// What a mirror knows of its upstream.
    progress: Option<Arc<Progress>>,
    origin: Option<String>,
    /// Those that are the same in all answers.
    fixed: String,
}

impl ServerFields {
    /// The answers of a server with these names; `origin` is that of the pages that may read them beside our own, or `*`.
    pub fn new(names: Names, progress: Option<Arc<Progress>>, origin: Option<String>) -> Self {
        let mut answer = Answer::new(StatusCode::OK, Body::None).with(&X_CONTENT_TYPE_OPTIONS, "nosniff");
        match &origin {
            None => answer.add(&RESOURCE_POLICY, "same-origin"),
            Some(origin) => {
                answer.add(&RESOURCE_POLICY, "cross-origin");
                answer.add(&ACCESS_CONTROL_ALLOW_ORIGIN, origin);
                answer.add(&ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
                if origin != "*" {
                    answer.add(&VARY, "Origin");
                }
            }
        }
        if progress.is_none() {
            add_names(&mut answer, &names.chain(&[]));
        }
        Self { names, progress, origin, fixed: answer.fields }
    }

    /// Adds them to `answer`.
    pub fn add_to(&self, answer: &mut Answer) {
        answer.fields.push_str(&self.fixed);
        if self.progress.is_some() {
            add_names(answer, &self.served_by());
        }
    }

    /// The names of all who pass the file on, the writer's side first.
    pub fn served_by(&self) -> Vec<String> {
        let upstream = self.progress.as_deref().map(Progress::served_by).unwrap_or_default();
        self.names.chain(&upstream)
    }

    /// The name of this server.
    pub fn own_name(&self) -> Option<&str> {
        self.names.own()
    }

    /// The answer to `OPTIONS` of a path that is there; it is that to a preflight, too, which can't have a token.
    pub fn options(&self) -> Answer {
        let answer = Answer::new(StatusCode::NO_CONTENT, Body::None).with(&ALLOW, VERBS);
        match self.origin {
            None => answer,
            Some(_) => answer
                .with(&ACCESS_CONTROL_ALLOW_METHODS, VERBS)
                .with(&ACCESS_CONTROL_ALLOW_HEADERS, ASKED)
                .with(&ACCESS_CONTROL_MAX_AGE, 600),
        }
    }
}

fn add_names(answer: &mut Answer, names: &[String]) {
    if !names.is_empty() {
        answer.add(&SERVED_BY, names.join(", "));
    }
}
