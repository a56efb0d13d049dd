//! Mirroring: keeping a file a prefix of the upstream's.
//!
//! An echo is followed by offsets and long-polls; of any other server, the end of the file is asked for again and again
//! by Range. The first answer shows which of the two it is, because each understands its half of the request.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use axum::http::header::{HeaderMap, HeaderValue, IF_NONE_MATCH, RANGE};
use hyper::body::Incoming;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::answer::{Answer, Asked, understand};
use crate::copies::Copies;
use crate::copy::Meddled;
use crate::generation::{FIRST_LINE, Generation};
use crate::growth::Growth;
use crate::identity::{Announced, first_line};
use crate::jitter;
use crate::offset;
use crate::progress::Progress;
use crate::received::Received;
use crate::upstream::{Connection, Upstream};

/// How often a server that can't be waited for is asked.
const POLL: Duration = Duration::from_secs(1);
/// How much of what is here already is compared with the upstream's, in bytes.
const OVERLAP: u64 = 4096;
/// The wait after the first failure; it doubles with each one that follows.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A mirror of an upstream.
pub struct Mirror {
    upstream: Upstream,
    copies: Copies,
    progress: Arc<Progress>,
    /// Whether the upstream has shown to be an echo. Then nothing else will do: what answers without offsets is a proxy
    /// in trouble, or somebody else.
    is_echo: bool,
    /// The wait after the next failure.
    wait: Duration,
}

/// How the upstream lets itself be followed.
#[derive(Clone)]
enum Way {
    /// Only what a plain request brings is known: whether that is our file, as far as it was compared.
    Unknown {
        is_ours: bool,
    },
    Offsets {
        is_up_to_date: bool,
    },
    Ranges {
        etag: Option<HeaderValue>,
    },
}

impl Mirror {
    /// A mirror of `upstream` in the file at `path`.
    ///
    /// # Errors
    ///
    /// When that can never work.
    pub fn new(
        upstream: Upstream,
        path: PathBuf,
        announced: Arc<Announced>,
        growth: Arc<Growth>,
        progress: Arc<Progress>,
    ) -> anyhow::Result<Self> {
        upstream.verify()?;
        let copies = Copies::open(path, announced, growth, Arc::clone(&progress))?;
        Ok(Self { upstream, copies, progress, is_echo: false, wait: FIRST_WAIT })
    }

    /// Mirrors for ever, on a thread of its own: a disk that is slow to write must not keep clients waiting.
    ///
    /// # Errors
    ///
    /// When there can be no thread.
    pub fn spawn(self) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mirror = std::thread::Builder::new().name("mirror".to_owned());
        mirror.spawn(move || runtime.block_on(self.run())).context("cannot start the mirror's thread")?;
        Ok(())
    }

    async fn run(mut self) {
        loop {
            let began = Instant::now();
            let Err(error) = self.session().await else {
                // Closed between two answers, as a server does that stops.
                sleep(POLL.saturating_sub(began.elapsed())).await;
                continue;
            };
            self.tell(&error);
            sleep(self.wait / 2 + jitter::up_to(self.wait / 2)).await;
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Logs why nothing comes, once as long as it stays the same, and looks at the file again if somebody else did.
    fn tell(&mut self, error: &anyhow::Error) {
        let mut trouble = format!("{error:#}");
        if error.is::<Meddled>()
            && let Err(error) = self.copies.open_anew()
        {
            trouble = format!("{trouble}: {error:#}");
        }
        if self.progress.fail(trouble.clone()) {
            warn!(upstream = %self.upstream.url.authority, "nothing comes from the upstream: {trouble}");
        }
    }

    /// Gets what there is over one connection, until the upstream closes it.
    async fn session(&mut self) -> anyhow::Result<()> {
        let mut connection = self.upstream.connect().await?;
        let is_ours = self.prove(&mut connection).await?;
        if is_ours {
            self.copies.latest().vouch()?;
        }
        self.reopen(&mut connection).await?;
        let mut way = Way::Unknown { is_ours };
        loop {
            let (began, before) = (Instant::now(), self.copies.latest().length());
            let next = self.round(&mut connection, &way).await?;
            self.recover();
            // The beginning of a line is none: from a plain server it comes again and again, until its end does.
            let is_news = self.copies.latest().length() > before;
            // A server that answers the first question may still refuse the next one, again and again.
            if is_news || !matches!(way, Way::Unknown { .. }) {
                self.wait = FIRST_WAIT;
            }
            let is_long_poll_next = next.is_up_to_date() && !way.is_up_to_date();
            way = next;
            if !connection.is_open().await {
                return Ok(());
            }
            // An echo waits for news before it answers. If it does not, or can't, it must not be asked without end.
            if !is_news && !is_long_poll_next && began.elapsed() < POLL {
                sleep(POLL).await;
                self.reopen(&mut connection).await?;
            }
        }
    }

    /// Makes sure that another request can be sent: some servers close after every answer.
    async fn reopen(&self, connection: &mut Connection) -> anyhow::Result<()> {
        if !connection.is_open().await {
            *connection = self.upstream.connect().await?;
        }
        Ok(())
    }

    /// Asks once, and takes what comes.
    async fn round(&mut self, connection: &mut Connection, way: &Way) -> anyhow::Result<Way> {
        self.copies.check()?;
        let (query, headers, asked) = self.request(way);
        let answer = connection.get(&query, headers).await?;
        let (head, body) = answer.into_parts();
        let answer = understand(&head, asked)?;
        ensure!(
            !(self.is_echo && matches!(answer, Answer::Part { .. } | Answer::Shorter { .. })),
            "it does not know offsets any more"
        );
        if let (Way::Unknown { is_ours: false }, Answer::Lines { .. } | Answer::Part { .. }) = (way, &answer) {
            self.copies.start_anew("it has other lines where ours are")?;
            return Ok(Way::Unknown { is_ours: true });
        }
        self.copies.latest().drop_incomplete_line();
        match answer {
            Answer::Lines { generation, end, is_up_to_date } => {
                self.take_lines(body, generation, end).await?;
                self.is_echo = true;
                self.copies.settle(is_up_to_date)?;
                Ok(Way::Offsets { is_up_to_date })
            }
            Answer::Part { start, end, length, etag } => {
                let is_whole = end == length;
                if self.take_part(body, start, end, length).await? {
                    self.copies.settle(is_whole)?;
                    return Ok(Way::Ranges { etag: etag.filter(|_| is_whole) });
                }
                self.copies.start_anew("it has other lines where ours are")?;
                Ok(Way::Ranges { etag: None })
            }
            Answer::Unchanged => {
                ensure!(matches!(way, Way::Ranges { etag: Some(_) }), "it answered 304 to what was no condition");
                self.progress.arrive();
                Ok(way.clone())
            }
            Answer::Shorter { length: 0 } if self.copies.latest().length() == 0 => {
                self.copies.hear(0);
                self.copies.latest().begin(Generation::NONE)?;
                self.copies.settle(true)?;
                Ok(Way::Ranges { etag: None })
            }
            Answer::Shorter { .. } => {
                drop(body); // unread, it would keep the connection from the next request
                if self.prove(connection).await? {
                    bail!("it is shorter than what is here already, and may catch up");
                }
                self.copies.start_anew("it was truncated")?;
                Ok(Way::Ranges { etag: None })
            }
            Answer::Replaced => {
                self.copies.start_anew("it was replaced or emptied")?;
                Ok(Way::Offsets { is_up_to_date: false })
            }
        }
    }

    /// What to ask for, so that it begins where our copy ends.
    fn request(&mut self, way: &Way) -> (String, HeaderMap, Asked) {
        let copy = self.copies.latest();
        // Of a file that is not ours, it matters only that it can be had: our end may lie behind its own.
        let length = if matches!(way, Way::Unknown { is_ours: false }) { 0 } else { copy.length() };
        let generation = copy.generation();
        let mut asked = Asked { offset: None, range: None };
        let mut query = String::new();
        // A URL with a query of its own is no echo's, and may be signed.
        if !matches!(way, Way::Ranges { .. }) && !self.upstream.url.has_query() {
            asked.offset = Some(length);
            query = match length {
                0 => "?offset=-1".to_owned(),
                _ => format!("?offset={}", offset::token(generation, length)),
            };
        }
        let mut headers = HeaderMap::new();
        match way {
            Way::Offsets { is_up_to_date: true } => query += "&live=long-poll",
            Way::Offsets { is_up_to_date: false } => {}
            Way::Unknown { .. } | Way::Ranges { .. } => {
                let from = length.saturating_sub(OVERLAP);
                asked.range = Some(from);
                headers.insert(RANGE, range_header(from, None));
            }
        }
        if let Way::Ranges { etag: Some(etag) } = way {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        (query, headers, asked)
    }

    /// Takes up what an echo sends: what follows our end.
    async fn take_lines(&mut self, body: Incoming, generation: Generation, end: u64) -> anyhow::Result<()> {
        let (ours, length) = (self.copies.latest().generation(), self.copies.latest().length());
        ensure!(length == 0 || generation == ours, "it answered for another generation than the one asked for");
        self.copies.hear(end);
        self.copies.latest().begin(generation)?;
        let mut body = Received::new(body, end - length);
        while let Some(bytes) = body.next().await? {
            self.copies.append(&bytes)?;
        }
        Ok(())
    }

    /// Takes up what another server sends: our own end, and what follows. Returns whether it is our end.
    async fn take_part(&mut self, body: Incoming, start: u64, end: u64, length: u64) -> anyhow::Result<bool> {
        self.copies.hear(length);
        let mut body = Received::new(body, end - start);
        let ours = self.copies.latest().length();
        let known = start..ours.min(end);
        if !known.is_empty()
            && self.copies.latest().read(known.clone())? != body.exactly(known.end - known.start).await?
        {
            return Ok(false);
        }
        ensure!(end >= ours, "it is shorter than what is here already, and may catch up");
        ensure!(end > ours || end == length, "it sends too little at a time: only {} bytes", end - start);
        let mut beginning = Vec::new();
        while let Some(bytes) = body.next().await? {
            if self.copies.latest().length() > 0 || beginning.len() > FIRST_LINE {
                self.copies.append(&bytes)?;
                continue;
            }
            // The first line names the generation, which has to be known before anything is written.
            beginning.extend_from_slice(&bytes);
            let line = first_line(&beginning);
            if line.ends_with(b"\n") || beginning.len() > FIRST_LINE {
                let generation = self.copies.generation_of(line)?;
                self.copies.latest().begin(generation)?;
                self.copies.append(&beginning)?;
            }
        }
        if self.copies.latest().length() == 0 {
            self.copies.latest().begin(Generation::NONE)?;
        }
        Ok(true)
    }

    /// Compares beginning and end of what is here with the upstream's, as far as that has them.
    async fn prove(&mut self, connection: &mut Connection) -> anyhow::Result<bool> {
        let length = self.copies.latest().length();
        let (head, tail) = (0..length.min(OVERLAP), length.saturating_sub(OVERLAP)..length);
        for (range, is_needed) in [(head, length > OVERLAP), (tail, length > 0)] {
            if is_needed && !self.is_same(connection, range).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_same(&mut self, connection: &mut Connection, range: Range<u64>) -> anyhow::Result<bool> {
        let (mut start, mut end) = (range.start, range.end);
        for _ in 0..2 {
            let headers = HeaderMap::from_iter([(RANGE, range_header(start, Some(end)))]);
            self.reopen(connection).await?;
            let (head, body) = connection.get("", headers).await?.into_parts();
            match understand(&head, Asked { offset: None, range: Some(start) })? {
                Answer::Part { end: sent, .. } => {
                    ensure!(sent <= end, "it sent more than it was asked for");
                    let theirs = Received::new(body, sent - start).exactly(sent - start).await?;
                    return Ok(self.copies.latest().read(start..sent)? == theirs);
                }
                Answer::Shorter { length: 0 } => return Ok(false),
                Answer::Shorter { length } => (start, end) = (length.saturating_sub(OVERLAP), length),
                answer => bail!("it answered {answer:?} to a plain request"),
            }
        }
        bail!("it can't make up its mind how long its file is")
    }

    fn recover(&self) {
        if self.progress.recover() {
            info!(upstream = %self.upstream.url.authority, "the upstream is followed again");
        }
    }
}

impl Way {
    /// Whether an echo has nothing more to send, so that it can be waited for.
    fn is_up_to_date(&self) -> bool {
        matches!(self, Self::Offsets { is_up_to_date: true })
    }
}

fn range_header(start: u64, end: Option<u64>) -> HeaderValue {
    let range = match end {
        Some(end) => format!("bytes={start}-{}", end - 1),
        None => format!("bytes={start}-"),
    };
    HeaderValue::from_str(&range).expect("digits make a header")
}
