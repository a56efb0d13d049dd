//! Following an upstream: one connection after another, and one request after another.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::file::generation::Generation;
use crate::file::identity::Announced;
use crate::file::watcher::Growth;
use crate::jitter;
use crate::mirror::client::{Connection, Upstream};
use crate::mirror::compare::is_prefix;
use crate::mirror::reason::Reason;
use crate::mirror::request::Way;
use crate::mirror::response::{Answer, date, names, understand};
use crate::mirror::status::Progress;
use crate::mirror::swap::Copies;
use crate::mirror::take::{take_lines, take_part};

/// How often a server that can't be waited for is asked.
const POLL: Duration = Duration::from_secs(1);
/// The wait after the first failure; it doubles with each one that follows.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The wait after a line that did not end, of which all comes again: it costs link and disk, and hardly ever helps.
const ENDLESS_WAIT: Duration = Duration::from_mins(5);
/// How many threads look up names: a name server that hangs holds no more of them.
const MOST_LOOKUPS: usize = 4;

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
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().max_blocking_threads(MOST_LOOKUPS).build()?;
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
            let is_endless = Reason::in_error(&error) == Reason::EndlessLine;
            let wait = if is_endless { ENDLESS_WAIT } else { self.wait };
            sleep(wait / 2 + jitter::up_to(wait / 2)).await;
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Logs why nothing comes, once as long as it stays the same, and reopens the file if somebody else has changed it.
    fn tell(&mut self, error: &anyhow::Error) {
        let mut reason = Reason::in_error(error);
        let mut detail = format!("{error:#}");
        if reason == Reason::Meddled
            && let Err(error) = self.copies.open_anew()
        {
            reason = Reason::Local;
            detail = format!("{detail}: {error:#}");
        }
        if self.progress.fail(reason, detail.clone()) {
            warn!(upstream = %self.upstream.url.authority, "nothing comes from the upstream: {detail}");
        }
    }

    /// Gets what there is over one connection, until the upstream closes it.
    async fn session(&mut self) -> anyhow::Result<()> {
        let mut connection = self.upstream.connect().await?;
        let is_ours = is_prefix(self.copies.latest(), &self.upstream, &mut connection).await?;
        if is_ours {
            self.copies.latest().vouch()?;
        }
        self.upstream.reopen(&mut connection).await?;
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
                self.upstream.reopen(&mut connection).await?;
            }
        }
    }

    /// Asks once, and takes what comes.
    async fn round(&mut self, connection: &mut Connection, way: &Way) -> anyhow::Result<Way> {
        self.copies.check()?;
        let copy = self.copies.latest();
        let request = way.request(copy.generation(), copy.length(), self.upstream.url.has_query());
        let (head, body) = connection.get(&request.query, request.headers).await?.into_parts();
        let answer = understand(&head, request.asked)?;
        self.progress.hear_names(names(&head.headers));
        ensure!(!(self.is_echo && matches!(answer, Answer::Part { .. } | Answer::Shorter { .. })), Reason::NoOffsets);
        if let (Way::Unknown { is_ours: false }, Answer::Lines { .. } | Answer::Part { .. }) = (way, &answer) {
            self.copies.start_anew("it has other lines where ours are")?;
            return Ok(Way::Unknown { is_ours: true });
        }
        self.copies.latest().drop_incomplete_line();
        let date = date(&head.headers);
        match answer {
            Answer::Unchanged => {
                let is_conditional = matches!(way, Way::Ranges { etag: Some(_) });
                ensure!(is_conditional, Reason::Misfit.because("it answered 304 to what was no condition"));
                self.copies.settle(true, date)?;
                Ok(way.clone())
            }
            Answer::Shorter { length } => {
                drop(body); // unread, it would keep the connection from the next request
                self.meet_shorter(connection, length).await
            }
            Answer::Replaced => {
                self.copies.start_anew("it was replaced or emptied")?;
                Ok(Way::Offsets { is_up_to_date: false })
            }
            Answer::Lines { generation, end, is_up_to_date } => {
                let date = date.filter(|_| is_up_to_date);
                let before = self.copies.latest().length();
                take_lines(&mut self.copies, body, generation, end, date).await?;
                self.is_echo = true;
                if let Some(date) = date.filter(|_| way.is_up_to_date() && end > before) {
                    self.progress.observe_delay(date);
                }
                self.copies.settle(is_up_to_date, date)?;
                Ok(Way::Offsets { is_up_to_date })
            }
            Answer::Part { part, etag } => {
                if !take_part(&mut self.copies, body, part, date).await? {
                    self.copies.start_anew("it has other lines where ours are")?;
                    return Ok(Way::Ranges { etag: None });
                }
                let is_whole = part.end == part.length;
                self.copies.settle(is_whole, date)?;
                Ok(Way::Ranges { etag: etag.filter(|_| is_whole) })
            }
        }
    }

    /// The upstream's file ends where ours does, or before.
    async fn meet_shorter(&mut self, connection: &mut Connection, length: u64) -> anyhow::Result<Way> {
        if (length, self.copies.latest().length()) == (0, 0) {
            self.copies.hear(0);
            self.copies.latest().begin(Generation::NONE)?;
            self.copies.settle(true, None)?;
            return Ok(Way::Ranges { etag: None });
        }
        if is_prefix(self.copies.latest(), &self.upstream, connection).await? {
            bail!(Reason::Shorter);
        }
        self.copies.start_anew("it was truncated")?;
        Ok(Way::Ranges { etag: None })
    }

    fn recover(&self) {
        if self.progress.recover() {
            info!(upstream = %self.upstream.url.authority, "the upstream is followed again");
        }
    }
}
