//! `POST /write`: a line of a client's.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONNECTION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::Value;
use tokio::time::timeout;
use tracing::warn;

use crate::database::lines;
use crate::reply::{sentence, try_again};
use crate::routes::shared::Shared;

/// The largest body that is read, in bytes.
const LARGEST: usize = 1 << 20;
/// How long a client may take to send it.
const BODY: Duration = Duration::from_secs(30);

/// Stores the line in the body, which is `{"data":"…"}`. Whatever else the object has is not looked at, an id least of
/// all: those are the database's.
pub async fn write(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let line = match receive(body).await.and_then(|body| line_in(&body)) {
        Ok(line) => line,
        Err((status, text)) => return refuse(status, text),
    };
    let Some(sessions) = shared.link.sessions() else {
        return try_again("The database is away; the line is not stored.");
    };
    match lines::insert(&sessions.writing, &line).await {
        Ok(_) => {
            shared.counters.written_lines.add(1);
            ([(CONTENT_TYPE, "text/plain; charset=utf-8")], "{\"success\": \"true\"}").into_response()
        }
        Err(error) => {
            warn!("a line was not stored, as far as is known: {error:#}");
            try_again("The database failed; whether the line is stored is not known.")
        }
    }
}

/// Why a line is not stored.
type Refusal = (StatusCode, &'static str);

const TOO_LARGE: Refusal = (StatusCode::PAYLOAD_TOO_LARGE, "The body may have 1048576 bytes, and has more.");
const NO_LINE: Refusal =
    (StatusCode::BAD_REQUEST, "A JSON object with a string \"data\" is expected, such as {\"data\":\"a line\"}.");
const NUL: Refusal =
    (StatusCode::BAD_REQUEST, "The line holds a NUL (\\u0000), which the database can't keep in a text.");

/// The body, if it comes whole, in time, and is not too large.
async fn receive(body: Body) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > LARGEST as u64 {
        return Err(TOO_LARGE);
    }
    match timeout(BODY, Limited::new(body, LARGEST).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(TOO_LARGE),
        Ok(Err(_)) => Err((StatusCode::BAD_REQUEST, "The body can't be read to its end.")),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, "The body did not come within 30 seconds.")),
    }
}

fn line_in(body: &[u8]) -> Result<String, Refusal> {
    let Ok(Value::Object(mut object)) = serde_json::from_slice(body) else { return Err(NO_LINE) };
    match object.remove("data") {
        Some(Value::String(line)) if line.contains('\0') => Err(NUL),
        Some(Value::String(line)) => Ok(line),
        _ => Err(NO_LINE),
    }
}

fn refuse(status: StatusCode, text: &str) -> Response {
    let refusal = sentence(status, text);
    match status {
        StatusCode::BAD_REQUEST => refusal,
        // The rest of the body is not read.
        _ => ([(CONNECTION, "close")], refusal).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_data_says() {
        for (body, line) in [
            (r#"{"data":"firstline"}"#, "firstline"),
            (r#"{"data":""}"#, ""),
            (r#" {"id":7,"data":"é\n\"","more":[1]} "#, "é\n\""),
        ] {
            assert_eq!(line_in(body.as_bytes()).unwrap(), line);
        }
    }

    #[test]
    fn what_is_no_line_is_refused() {
        let bodies =
            ["", "x", "[]", "7", "{}", r#"{"data":7}"#, r#"{"data":null}"#, r#"{"Data":"x"}"#, r#"{"data":"x"}}"#];
        for body in bodies {
            assert_eq!(line_in(body.as_bytes()).unwrap_err().0, 400, "{body}");
        }
        for body in [&br#"{"data":"a\u0000b"}"#[..], br#"{"data":"\ud800"}"#, b"{\"data\":\"\xff\"}"] {
            assert_eq!(line_in(body).unwrap_err().0, 400);
        }
    }
}
