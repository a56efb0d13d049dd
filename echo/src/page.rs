//! `GET /`: a page for people.

use std::path::Path;

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::os::unix::ffi::OsStrExt;

/// What has a meaning of its own in a URL's path, or in an attribute's quotes.
const RESERVED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'\'')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// The page about the file at a path.
pub struct Page {
    html: String,
}

impl Page {
    /// Writes the page for the file at `path`.
    pub fn new(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default();
        let url = format!("/{}", percent_encode(name.as_bytes(), RESERVED));
        let html =
            include_str!("page/index.html").replace("{path}", &url).replace("{name}", &escape(&name.to_string_lossy()));
        Self { html }
    }

    /// Answers with the page.
    pub fn respond(&self) -> Response {
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-cache"),
            (
                CONTENT_SECURITY_POLICY,
                "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
            (REFERRER_POLICY, "no-referrer"),
        ];
        (headers, self.html.clone()).into_response()
    }
}

/// Makes `text` harmless within HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_hold_anything() {
        let page = Page::new(Path::new("/var/log/<b>\"a\" & b?#%.log"));
        assert!(page.html.contains("<h1>&lt;b&gt;&quot;a&quot; &amp; b?#%.log</h1>"));
        assert!(page.html.contains(r#"href="/%3Cb%3E%22a%22%20%26%20b%3F%23%25.log""#));
    }
}
