//! The loop that follows: take the lock, read the place, ask, store.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::database::address::Address;
use crate::follow::batch::Batch;
use crate::follow::offset::{self, Offset};
use crate::follow::status::Status;
use crate::follow::store::{Place, Store};
use crate::follow::upstream::{Answer, Body, Upstream};
use crate::jitter;
use crate::url::Url;

/// How often a replica asks whether the one that follows has ended.
const STAND_BY: Duration = Duration::from_millis(500);
/// The wait after the first failure; it doubles with each one that follows.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest wait. Another replica, which may have better luck, takes the lock meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
/// How often an echo is asked that does not wait for news, though it should.
const POLL: Duration = Duration::from_millis(200);

/// What follows, or waits to.
pub struct Follower {
    address: Address,
    name: String,
    source: String,
    upstream: Upstream,
    status: Arc<Status>,
    /// The wait after the next failure.
    wait: Duration,
}

/// What to ask for next.
struct Next {
    /// What is stored.
    place: Place,
    /// Whether to ask for the start of whatever file is there, because that of the place is gone.
    from_start: bool,
    /// Whether all that was there is stored, so that the echo can wait for more.
    is_up_to_date: bool,
}

/// Which of the two ways has failed, in words that anybody may read.
#[derive(Debug)]
enum Trouble {
    Upstream(String),
    Database,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) => write!(f, "nothing comes from {name}"),
            Self::Database => f.write_str("nothing can be stored in the database"),
        }
    }
}

impl Follower {
    /// What follows the file at `url` for the replica `name`.
    pub fn new(address: Address, name: String, url: Url, status: Arc<Status>) -> Self {
        let source = url.text();
        Self { address, name, source, upstream: Upstream::new(url), status, wait: FIRST_WAIT }
    }

    /// Follows for ever, or stands by while another replica does.
    pub async fn run(mut self) -> Infallible {
        let mut known = None;
        loop {
            let Err(error) = self.session().await;
            self.upstream.forget();
            self.status.fail(error.to_string());
            // Once as long as it stays the same.
            let reason = format!("{error:#}");
            if known.as_ref() != Some(&reason) || self.wait == FIRST_WAIT {
                warn!("{reason}");
                known = Some(reason);
            }
            sleep(self.wait / 2 + jitter::up_to(self.wait / 2)).await;
            self.wait = (self.wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Follows until something fails; with the session ends the lock.
    async fn session(&mut self) -> anyhow::Result<Infallible> {
        let opened = Store::open(&self.address, &self.name, &self.source).await;
        let mut store = opened.context(Trouble::Database)?;
        while !store.acquire().await.context(Trouble::Database)? {
            self.status.stand_by();
            sleep(STAND_BY).await;
        }
        let place = store.place().await.context(Trouble::Database)?;
        self.status.follow();
        info!(generation = place.generation, bytes = place.bytes, "following {}", self.source);
        let mut next = Next { place, from_start: false, is_up_to_date: false };
        loop {
            next = self.round(&mut store, next).await?;
        }
    }

    /// Asks once, and stores what comes.
    async fn round(&mut self, store: &mut Store, asked: Next) -> anyhow::Result<Next> {
        let from_start = asked.from_start || asked.place.bytes == 0;
        let offset = match &asked.place.generation {
            Some(generation) if !from_start => offset::token(generation, asked.place.bytes),
            _ => offset::START.to_owned(),
        };
        let answer = store.alive_while(self.upstream.get(&offset, asked.is_up_to_date)).await;
        let answer = answer.context(Trouble::Database)?.with_context(|| self.trouble())?;
        match answer {
            Answer::Nothing => Ok(Next { from_start, ..asked }),
            Answer::Replaced => {
                self.pause(store).await?;
                Ok(Next { place: asked.place, from_start: true, is_up_to_date: false })
            }
            Answer::Lines { next: Offset { generation: None, .. }, .. } => {
                // An empty file; what comes into it may have any name.
                self.upstream.forget();
                if asked.is_up_to_date {
                    self.pause(store).await?;
                }
                Ok(Next { from_start: true, is_up_to_date: true, ..asked })
            }
            Answer::Lines { next: Offset { generation: Some(generation), bytes: end }, is_up_to_date, body } => {
                let start = if from_start { 0 } else { asked.place.bytes };
                if asked.is_up_to_date && end == start {
                    self.pause(store).await?;
                }
                let place = self.enter(store, asked.place, generation).await?;
                if start != place.bytes {
                    // A file that was there before: what is stored of it need not come again.
                    self.upstream.forget();
                    return Ok(Next { place, from_start: false, is_up_to_date: false });
                }
                let place = self.take(store, place, body, end).await?;
                Ok(Next { place, from_start: false, is_up_to_date })
            }
        }
    }

    /// Leaves an echo alone that would else be asked without end, because it does not wait or can't agree with others.
    async fn pause(&self, store: &mut Store) -> anyhow::Result<()> {
        store.alive_while(sleep(POLL)).await.context(Trouble::Database)
    }

    /// Goes on to the file `generation`, unless that is the one already.
    async fn enter(&self, store: &Store, place: Place, generation: String) -> anyhow::Result<Place> {
        if place.generation.as_ref() == Some(&generation) {
            return Ok(place);
        }
        let new = store.begin(&place, &generation).await.context(Trouble::Database)?;
        if let Some(old) = &place.generation {
            warn!(
                old,
                bytes = place.bytes,
                new = generation,
                "another file is there; what the old one had more is lost"
            );
            self.status.change();
        }
        Ok(new)
    }

    /// Stores all lines of `body`, which begin at `place` and end at `end`.
    async fn take(&mut self, store: &mut Store, mut place: Place, mut body: Body, end: u64) -> anyhow::Result<Place> {
        self.status.hear(end, place.bytes);
        let mut batch = Batch::at(place.bytes);
        loop {
            let piece = store.alive_while(body.next()).await.context(Trouble::Database)?;
            let piece = piece.with_context(|| self.trouble())?;
            batch.push(piece.as_deref().unwrap_or_default());
            while batch.is_full() || (piece.is_none() && !batch.is_empty()) {
                let lines = batch.lines().with_context(|| self.trouble())?;
                if lines.length == 0 {
                    break;
                }
                let (count, length) = (lines.start.len(), lines.length);
                place = store.store(place, &lines, end).await.context(Trouble::Database)?;
                batch.forget(length);
                self.status.store(count, place.bytes);
                self.wait = FIRST_WAIT;
            }
            if piece.is_none() {
                break;
            }
        }
        let is_whole = batch.is_empty() && place.bytes == end;
        ensure!(is_whole, anyhow::anyhow!("the answer had another length than it said").context(self.trouble()));
        Ok(place)
    }

    fn trouble(&self) -> Trouble {
        Trouble::Upstream(self.upstream.name().to_owned())
    }
}
