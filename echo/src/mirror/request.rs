//! What to ask an upstream for, so that its answer begins where our copy ends.

use axum::http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH, RANGE};

use crate::file::generation::Generation;
use crate::file::offset;
use crate::mirror::response::Asked;

/// How much of what is here already is compared with the upstream's, in bytes.
pub const OVERLAP: u64 = 4096;

/// How the upstream lets itself be followed.
#[derive(Debug, Clone)]
pub enum Way {
    /// Its protocol is not known yet. The first request is made so that an echo understands one half of it, and any other
    /// server the other.
    Unknown {
        /// Whether its file is ours, as far as it was compared.
        is_ours: bool,
    },
    /// By offsets and long-polls, as an echo.
    Offsets {
        /// Whether it has nothing more to send, so that it can be waited for.
        is_up_to_date: bool,
    },
    /// By `Range`, again and again.
    Ranges {
        /// The tag of what is here, if that is all that it has.
        etag: Option<HeaderValue>,
    },
}

/// A request for what follows our end.
pub struct Request {
    /// What is added to the URL.
    pub query: String,
    /// What is added to the fields of every request.
    pub headers: HeaderMap,
    /// What the answer has to fit.
    pub asked: Asked,
}

impl Way {
    /// Whether the upstream can be waited for.
    pub fn is_up_to_date(&self) -> bool {
        matches!(self, Self::Offsets { is_up_to_date: true })
    }

    /// The request for what follows the first `length` bytes of a file of this generation. A URL that `has_query` is no
    /// echo's, and may be signed: it is left as it is.
    pub fn request(&self, generation: Generation, length: u64, has_query: bool) -> Request {
        // Of a file that is not ours, it matters only that it can be had: our end may lie behind its own.
        let length = if matches!(self, Self::Unknown { is_ours: false }) { 0 } else { length };
        let mut request =
            Request { query: String::new(), headers: HeaderMap::new(), asked: Asked { offset: None, range: None } };
        if !matches!(self, Self::Ranges { .. }) && !has_query {
            request.asked.offset = Some(length);
            request.query = match length {
                0 => "?offset=-1".to_owned(),
                _ => format!("?offset={}", offset::token(generation, length)),
            };
        }
        match self {
            Self::Offsets { is_up_to_date: true } => request.query += "&live=long-poll",
            Self::Offsets { is_up_to_date: false } => {}
            Self::Unknown { .. } | Self::Ranges { .. } => {
                let from = length.saturating_sub(OVERLAP);
                request.asked.range = Some(from);
                request.headers.insert(RANGE, range(from, None));
            }
        }
        if let Self::Ranges { etag: Some(etag) } = self {
            request.headers.insert(IF_NONE_MATCH, etag.clone());
        }
        request
    }
}

/// A `Range` from `start` on, to the end or before `end`.
#[expect(clippy::missing_panics_doc, reason = "digits make a header")]
pub fn range(start: u64, end: Option<u64>) -> HeaderValue {
    let range = match end {
        Some(end) => format!("bytes={start}-{}", end - 1),
        None => format!("bytes={start}-"),
    };
    HeaderValue::from_str(&range).expect("digits make a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_upstream_is_asked_in_its_own_way() {
        let generation: Generation = "00000000000000ab".parse().unwrap();
        let asked = |way: &Way, length, has_query| {
            let request = way.request(generation, length, has_query);
            let header = |name| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
            (request.query.clone(), header("range"), header("if-none-match"), request.asked.offset)
        };
        let text = |text: &str| Some(text.to_owned());
        let token = "?offset=00000000000000ab_00000000000000005000".to_owned();
        let (ours, foreign) = (Way::Unknown { is_ours: true }, Way::Unknown { is_ours: false });
        assert_eq!(asked(&ours, 5000, false), (token.clone(), text("bytes=904-"), None, Some(5000)));
        assert_eq!(asked(&ours, 5000, true), (String::new(), text("bytes=904-"), None, None));
        assert_eq!(asked(&foreign, 5000, false), ("?offset=-1".to_owned(), text("bytes=0-"), None, Some(0)));
        let echo = Way::Offsets { is_up_to_date: false };
        assert_eq!(asked(&echo, 5000, false), (token.clone(), None, None, Some(5000)));
        let waiting = Way::Offsets { is_up_to_date: true };
        assert_eq!(asked(&waiting, 5000, false), (token + "&live=long-poll", None, None, Some(5000)));
        let plain = Way::Ranges { etag: Some(HeaderValue::from_static("\"a\"")) };
        assert_eq!(asked(&plain, 10, false), (String::new(), text("bytes=0-"), text("\"a\""), None));
    }
}
