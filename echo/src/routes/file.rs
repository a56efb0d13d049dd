//! `GET /data`: the file as it is now.

use std::borrow::Cow;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use axum::http::StatusCode;
use percent_encoding::percent_decode;

use crate::file::snapshot::Snapshot;
use crate::file::source::Source;
use crate::http::answer::{Answer, sentence, try_again};
use crate::http::date::Second;
use crate::http::request::Request;
use crate::live::clients::Live;
use crate::live::query::Query;
use crate::routes::client::Client;
use crate::routes::content::Contents;
use crate::routes::live;
use crate::routes::representation::Representation;

/// How often a file that is truncated between snapshot and answer is looked at again.
const ATTEMPTS: u32 = 10;

/// The served file and the path that it has in URLs.
pub struct Data {
    source: Arc<Source>,
    live: Arc<Live>,
    contents: Contents,
    path: Vec<u8>,
    representation: Mutex<Option<Arc<Representation>>>,
}

impl Data {
    /// Serves `source` under the name of its file, and its growth by way of `live`.
    ///
    /// # Errors
    ///
    /// When the name is missing, or that of another route.
    pub fn new(source: Arc<Source>, live: Arc<Live>, contents: Contents) -> anyhow::Result<Self> {
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
        Ok(Self { source, live, contents, path, representation: Mutex::default() })
    }

    /// Whether `path`, in whatever way it is encoded, is that of the file.
    pub fn is_at(&self, path: &str) -> bool {
        path.as_bytes() == self.path || Cow::from(percent_decode(path.as_bytes())) == self.path
    }

    /// Answers a `GET` or `HEAD` of the file that came in `second`.
    pub async fn answer(&self, request: &Request, second: &Arc<Second>, client: &Client) -> Answer {
        let answer = match request.uri.query().map(Query::parse) {
            None | Some(Ok(None)) => self.snapshot(request, second).await,
            Some(Ok(Some(query))) => Box::pin(self.read_on(request, query, client)).await,
            Some(Err(reason)) => return sentence(StatusCode::BAD_REQUEST, reason),
        };
        answer.unwrap_or_else(|error| unavailable(&error))
    }

    async fn snapshot(&self, request: &Request, second: &Arc<Second>) -> io::Result<Answer> {
        let mut attempt = 1;
        loop {
            let snapshot = self.source.snapshot().await?;
            let representation = self.representation(&snapshot, second);
            match representation.answer(&snapshot, request, &self.contents).await {
                // Truncated between snapshot and answer; the next snapshot tells by how much.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && attempt < ATTEMPTS => attempt += 1,
                answer => return answer,
            }
        }
    }

    async fn read_on(&self, request: &Request, query: Query, client: &Client) -> io::Result<Answer> {
        let snapshot = self.source.snapshot().await?;
        live::answer(&self.live, &self.contents, snapshot, request, query, client).await
    }

    /// What answers say of `snapshot`, which is the same for a second.
    fn representation(&self, snapshot: &Arc<Snapshot>, second: &Arc<Second>) -> Arc<Representation> {
        let mut latest = self.representation.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some(known) if known.is_of(snapshot, second) => Arc::clone(known),
            _ => Arc::clone(latest.insert(Arc::new(Representation::new(snapshot, second)))),
        }
    }
}

/// One sentence for the client; the operator has the reason in the log.
fn unavailable(error: &io::Error) -> Answer {
    try_again(match error.kind() {
        io::ErrorKind::NotFound => "There is no file yet; try again in a moment.",
        io::ErrorKind::TimedOut => "The disk does not answer; try again in a moment.",
        _ => "The file can't be read at the moment; try again.",
    })
}
