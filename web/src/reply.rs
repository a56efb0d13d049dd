//! Answers of one sentence, for people.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

/// An answer of one sentence.
pub fn sentence(status: StatusCode, text: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{text}\n")).into_response()
}

/// An answer of one sentence, to a request that may well succeed in a moment.
pub fn try_again(text: &str) -> Response {
    ([(RETRY_AFTER, "1")], sentence(StatusCode::SERVICE_UNAVAILABLE, text)).into_response()
}

/// An answer of one sentence, to a request that is wrong.
pub fn bad_request(text: &str) -> Response {
    sentence(StatusCode::BAD_REQUEST, text)
}
