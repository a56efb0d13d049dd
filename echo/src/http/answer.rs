//! An answer as a value: what the routes make, and the connection sends.

use std::fmt::{Display, Write as _};
use std::ops::Range;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use bytes::Bytes;

use crate::counters::Served;
use crate::file::snapshot::Snapshot;
use crate::live::reader::Reader;

/// The media type of the file, and of sentences.
pub const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// A status, header fields and a body. What frames the body (`Content-Length`, `Transfer-Encoding`, `Connection`) is the
/// connection's to say.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The header fields, each as a line that ends in CR LF.
    pub fields: String,
    /// The content.
    pub body: Body,
    /// Whether it waited for the file to grow, so that the time it took says nothing of the server.
    pub has_waited: bool,
    /// Whether the connection ends with it, though its client may want to go on.
    pub ends_connection: bool,
}

/// The content of an answer.
pub enum Body {
    /// None, and no length of it: that of `204`, and that of `HEAD` for a stream.
    None,
    /// So many bytes that are announced and not sent: that of `HEAD`, and that of `304`.
    Announced(u64),
    /// Bytes in memory.
    Bytes(Bytes),
    /// A long part of the file, which is read as the client takes it.
    Part(Part),
    /// What comes as the file grows. The connection ends with it.
    Live(Box<Reader>),
}

/// A part of the file.
pub struct Part {
    /// The file.
    pub snapshot: Arc<Snapshot>,
    /// The positions of the first byte, and behind the last one.
    pub range: Range<u64>,
    /// Where what is sent of it is counted.
    pub served: Arc<Served>,
}

impl Body {
    /// Its length in bytes, where that is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::None | Self::Live(_) => None,
            Self::Announced(length) => Some(*length),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::Part(part) => Some(part.range.end - part.range.start),
        }
    }
}

impl Answer {
    /// An answer without fields.
    pub fn new(status: StatusCode, body: Body) -> Self {
        Self { status, fields: String::with_capacity(512), body, has_waited: false, ends_connection: false }
    }

    /// Adds a header field. The value is one that we have written ourselves, or checked.
    #[must_use]
    pub fn with(mut self, name: &HeaderName, value: impl Display) -> Self {
        self.add(name, value);
        self
    }

    /// The same for an answer that is kept where it is.
    pub fn add(&mut self, name: &HeaderName, value: impl Display) {
        let _ = write!(self.fields, "{name}: {value}\r\n");
    }

    /// Leaves the content out, as `HEAD` asks for, and still says how long it is.
    pub fn leave_out_content(&mut self) {
        self.body = self.body.length().map_or(Body::None, Body::Announced);
    }
}

/// One sentence, for people.
pub fn sentence(status: StatusCode, text: &str) -> Answer {
    Answer::new(status, Body::Bytes(format!("{text}\n").into())).with(&CONTENT_TYPE, PLAIN_TEXT)
}

/// One sentence in answer to a request that may well succeed in a moment.
pub fn try_again(text: &str) -> Answer {
    sentence(StatusCode::SERVICE_UNAVAILABLE, text).with(&RETRY_AFTER, 1)
}

/// Whether a cache may keep an answer with this status though nothing in it says so (RFC 9111 §4.2.2), which would be wrong of
/// all but those that carry a state of the file.
pub fn must_not_be_stored(status: StatusCode) -> bool {
    !matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED)
}
