//! `GET /data`: the file as it is now.

use std::borrow::Cow;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context, bail};
use axum::http::header::{ALLOW, HeaderMap};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode;

use crate::http::{ONLY_READ, sentence, try_again};
use crate::live::Live;
use crate::metrics::{Count, Served};
use crate::page;
use crate::query::Query;
use crate::representation::Representation;
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
    representation: Mutex<Option<Arc<Representation>>>,
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
        Ok(Self { source, live, served, path, label, representation: Mutex::default() })
    }

    fn snapshot(&self, method: &Method, headers: &HeaderMap) -> io::Result<Response> {
        let mut attempt = 1;
        loop {
            let snapshot = self.source.snapshot()?;
            match self.representation(&snapshot).answer(&snapshot, method, headers, &self.served) {
                // Truncated between snapshot and answer; the next snapshot tells by how much.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && attempt < ATTEMPTS => attempt += 1,
                answer => return answer,
            }
        }
    }

    /// What answers say of `snapshot`, which is the same for a second.
    fn representation(&self, snapshot: &Arc<Snapshot>) -> Arc<Representation> {
        let mut latest = self.representation.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some(known) if known.of.holds_for(snapshot) => Arc::clone(known),
            _ => Arc::clone(latest.insert(Arc::new(Representation::new(snapshot, SystemTime::now())))),
        }
    }

    /// Whether `path`, in whatever way it is encoded, is that of the file.
    pub fn is_at(&self, path: &str) -> bool {
        path.as_bytes() == self.path || Cow::from(percent_decode(path.as_bytes())) == self.path
    }

    /// The name under which requests for `path` are counted: one of few, whatever clients ask for.
    pub fn route(&self, path: &str) -> Arc<str> {
        match path {
            _ if self.is_at(path) => Arc::clone(&self.label),
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

    /// The file as it is now, by one look at it for all who ask at the same time.
    ///
    /// # Errors
    ///
    /// When there is no file, or none that can be read.
    pub async fn shared_snapshot(&self) -> io::Result<Arc<Snapshot>> {
        self.source.shared_snapshot().await
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
            None => self.snapshot(method, headers),
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
