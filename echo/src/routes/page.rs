//! `GET /`: a page for people. It shows the last lines as they are at the request, and links; in a browser with
//! JavaScript it goes on from there and follows the file (`page/page.js`).

use std::io;
use std::path::Path;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::os::unix::ffi::OsStrExt;

use crate::file::snapshot::Snapshot;

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

/// How many lines the page holds when it is sent, at most.
const LAST_LINES: usize = 24;
/// How many bytes of the file these lines are, at most.
const LAST_BYTES: u64 = 4096;

/// Scripts and styles come from files of the server's own, the page talks to nobody else, and nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Where the files that the page loads are. The path of the served file has one segment, so it can't be one of these.
const ASSETS: &str = "/-/";

/// The page about the file at a path: what stands before its last lines, and what stands behind them.
pub struct Page {
    before: String,
    after: String,
}

impl Page {
    /// Writes the page for the file at `path`.
    pub fn new(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default();
        // Relative, so that the page works below any path that a proxy gives it.
        let url = format!("./{}", percent_encode(name.as_bytes(), RESERVED));
        let name = escape(&name.to_string_lossy());
        let fill = |part: &str| part.replace("{path}", &url).replace("{name}", &name);
        let template = include_str!("page/index.html");
        let (before, after) = template.split_once("{lines}").unwrap_or((template, ""));
        Self { before: fill(before), after: fill(after) }
    }

    /// Answers with the page, and in it the last lines of `snapshot`, if there is one.
    pub async fn respond(&self, snapshot: Option<&Snapshot>) -> Response {
        let headers = [
            (CONTENT_TYPE, "text/html; charset=utf-8"),
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
        ];
        let lines = match snapshot {
            Some(snapshot) => last_lines(snapshot).await.unwrap_or_default(),
            None => Vec::new(),
        };
        (headers, self.html(&lines)).into_response()
    }

    fn html(&self, lines: &[u8]) -> String {
        let Self { before, after } = self;
        format!("{before}{}{after}", escape(&String::from_utf8_lossy(lines)))
    }
}

const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The files that the page loads: name, type, content. Each script is a module; `page.js` loads the others.
const FILES: [(&str, &str, &str); 22] = [
    ("icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
    ("page.js", SCRIPT, include_str!("page/page.js")),
    ("ansi.js", SCRIPT, include_str!("page/ansi.js")),
    ("diary.js", SCRIPT, include_str!("page/diary.js")),
    ("dom.js", SCRIPT, include_str!("page/dom.js")),
    ("events.js", SCRIPT, include_str!("page/events.js")),
    ("feed.js", SCRIPT, include_str!("page/feed.js")),
    ("filter.js", SCRIPT, include_str!("page/filter.js")),
    ("ledger.js", SCRIPT, include_str!("page/ledger.js")),
    ("line.js", SCRIPT, include_str!("page/line.js")),
    ("lines.js", SCRIPT, include_str!("page/lines.js")),
    ("log.js", SCRIPT, include_str!("page/log.js")),
    ("pace.js", SCRIPT, include_str!("page/pace.js")),
    ("plots.js", SCRIPT, include_str!("page/plots.js")),
    ("rows.js", SCRIPT, include_str!("page/rows.js")),
    ("server.js", SCRIPT, include_str!("page/server.js")),
    ("state.js", SCRIPT, include_str!("page/state.js")),
    ("tree.js", SCRIPT, include_str!("page/tree.js")),
    ("viewer.js", SCRIPT, include_str!("page/viewer.js")),
    ("way.js", SCRIPT, include_str!("page/way.js")),
    ("wording.js", SCRIPT, include_str!("page/wording.js")),
];

/// Whether one of the files that the page loads is at `path`.
pub fn is_asset(path: &str) -> bool {
    path.strip_prefix(ASSETS).is_some_and(|asset| FILES.iter().any(|(name, ..)| *name == asset))
}

/// The routes of the files that the page loads.
pub fn assets() -> Router {
    FILES.into_iter().fold(Router::new(), |router, (name, kind, content)| {
        let answer = async move || ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache")], content);
        router.route(&format!("{ASSETS}{name}"), get(answer))
    })
}

/// Reads the last lines, as far as they are within the last [`LAST_BYTES`].
async fn last_lines(snapshot: &Snapshot) -> io::Result<Vec<u8>> {
    let start = snapshot.length().saturating_sub(LAST_BYTES);
    let mut bytes = Vec::from(snapshot.read_within(start..snapshot.length()).await?);
    bytes.drain(..start_of_last_lines(&bytes, start == 0));
    Ok(bytes)
}

/// Where the last [`LAST_LINES`] begin in the end of a file; without a whole line there, the rest of one has to do.
fn start_of_last_lines(end: &[u8], is_whole_file: bool) -> usize {
    let Some((_, before_last_newline)) = end.split_last() else { return 0 };
    let line_starts = || memchr::memchr_iter(b'\n', before_last_newline).map(|newline| newline + 1);
    line_starts()
        .nth_back(LAST_LINES - 1)
        .or_else(|| if is_whole_file { None } else { line_starts().next() })
        .unwrap_or_default()
}

/// Makes `text` harmless within HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_lines_of(end: &str, is_whole_file: bool) -> &str {
        &end[start_of_last_lines(end.as_bytes(), is_whole_file)..]
    }

    #[test]
    fn a_name_can_hold_anything() {
        let page = Page::new(Path::new("/var/log/<b>\"{lines}\" & b?#%.log")).html(b"");
        assert!(page.contains("<h1>&lt;b&gt;&quot;{lines}&quot; &amp; b?#%.log</h1>"));
        assert!(page.contains(r#"href="./%3Cb%3E%22%7Blines%7D%22%20%26%20b%3F%23%25.log""#));
    }

    #[test]
    fn lines_can_hold_anything() {
        let page = Page::new(Path::new("data")).html(b"</pre><script>\"\xff&amp;{name}\n");
        assert!(page.contains("&lt;/pre&gt;&lt;script&gt;&quot;\u{fffd}&amp;amp;{name}\n</pre>"));
    }

    #[test]
    fn the_last_lines_are_few_and_whole() {
        let lines: Vec<_> = (1..=100).map(|line| format!("{line}\n")).collect();
        let last = lines[100 - LAST_LINES..].concat();
        assert_eq!(last_lines_of(&lines.concat(), true), last);
        assert_eq!(last_lines_of(&last, true), last);
        assert_eq!(last_lines_of("st of a line\n1\n2\n", false), "1\n2\n");
        assert_eq!(last_lines_of("a line\n1\n2\n", true), "a line\n1\n2\n");
    }

    #[test]
    fn a_line_too_long_to_show_is_shown_in_part() {
        assert_eq!(last_lines_of("rest of a long line\n", false), "rest of a long line\n");
        assert_eq!(last_lines_of("\n", true), "\n");
        assert_eq!(last_lines_of("", true), "");
    }
}
