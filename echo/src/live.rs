//! `GET /data` with an offset: reading on from a place, now, when something comes, or for ever. The read side of the
//! Durable Streams protocol 1.0, and plain text for `curl`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::bulk;
use crate::follow::{Follower, Next};
use crate::growth::Growth;
use crate::http::{sentence, try_again};
use crate::jitter;
use crate::metrics::Served;
use crate::offset::{self, NEXT_OFFSET, Offset, UP_TO_DATE};
use crate::query::{Mode, Query};
use crate::server::Stage;
use crate::snapshot::Snapshot;
use crate::sse;
use crate::stream::{with_pieces, without_pieces};

const CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
/// Keeps nginx, and what follows its example, from holding a stream back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const LAST_EVENT_ID: &str = "last-event-id";

const PLAIN_TEXT: &str = "text/plain; charset=utf-8";
/// How long a long-poll waits.
const LONG_POLL: Duration = Duration::from_secs(20);
/// How often an event stream without events shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When an event stream is closed at the earliest, for the client to come again, maybe to another replica.
const RECONNECT: Duration = Duration::from_secs(55);
/// How much later it is closed at most, so that clients which came together don't come again together.
const SPREAD: Duration = Duration::from_secs(10);

/// What the live reads of a server share.
pub struct Live {
    growth: Arc<Growth>,
    stage: watch::Receiver<Stage>,
    /// A permit for each client that may wait at the same time.
    room: Arc<Semaphore>,
    limit: usize,
    served: Arc<Served>,
}

impl Live {
    /// Room for `limit` clients that wait for the growth of a file.
    pub fn new(growth: Arc<Growth>, stage: watch::Receiver<Stage>, limit: usize, served: Arc<Served>) -> Self {
        Self { growth, stage, room: Arc::new(Semaphore::new(limit)), limit, served }
    }

    /// How many clients wait now.
    pub fn clients(&self) -> usize {
        self.limit - self.room.available_permits()
    }

    /// Answers a request that has an offset, a live mode or `follow`.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub async fn respond(
        &self,
        snapshot: Arc<Snapshot>,
        method: &Method,
        query: Query,
        headers: &HeaderMap,
    ) -> io::Result<Response> {
        let offset = match (query.mode, headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default())) {
            (Mode::EventStream, Some(id)) => match Offset::parse(id) {
                Some(offset) => offset,
                None => return Ok(sentence(StatusCode::BAD_REQUEST, "The Last-Event-ID is no offset.")),
            },
            _ => query.offset,
        };
        match (method, query.mode) {
            (_, Mode::CatchUp) | (&Method::HEAD, Mode::LongPoll) => return self.catch_up(&snapshot, method, &offset),
            (&Method::HEAD, mode) => return Ok(head_only(&snapshot, mode, &offset)),
            _ => {}
        }
        let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() else {
            return Ok(try_again("All places for live clients are taken; try again later."));
        };
        let Ok(follower) = Follower::new(snapshot, &offset, &self.growth, self.stage.clone(), Arc::clone(&self.served))
        else {
            return Ok(gone());
        };
        match query.mode {
            Mode::Follow => Ok(follow(follower, permit)),
            Mode::EventStream => Ok(event_stream(follower, permit, query.cursor)),
            Mode::CatchUp | Mode::LongPoll => {
                let answer = long_poll(follower, query.cursor).await;
                drop(permit);
                answer
            }
        }
    }

    /// All that is there behind `offset`, at once.
    fn catch_up(&self, snapshot: &Arc<Snapshot>, method: &Method, offset: &Offset) -> io::Result<Response> {
        let Ok(position) = offset.position_in(snapshot) else { return Ok(gone()) };
        if position > snapshot.length {
            return Ok(try_again("The offset lies past the end of what is here; it may be here soon."));
        }
        let headers = [
            (CONTENT_TYPE, PLAIN_TEXT.to_owned()),
            (CONTENT_LENGTH, (snapshot.length - position).to_string()),
            (CACHE_CONTROL, if *offset == Offset::Now { "no-store" } else { "no-cache" }.to_owned()),
            (NEXT_OFFSET, offset::token(snapshot.generation, snapshot.length)),
            (UP_TO_DATE, "true".to_owned()),
        ];
        match *method {
            Method::HEAD => Ok(headers.into_response()),
            _ => bulk::with_content(headers.into_response(), snapshot, position..snapshot.length, &self.served),
        }
    }
}

fn gone() -> Response {
    sentence(StatusCode::GONE, "The offset is of another file than the one that is here now; begin again at -1.")
}

/// The head of an answer that has no end.
fn head_only(snapshot: &Snapshot, mode: Mode, offset: &Offset) -> Response {
    let Ok(position) = offset.position_in(snapshot) else { return gone() };
    let next = offset::token(snapshot.generation, position);
    without_pieces(if mode == Mode::Follow { follow_head(next) } else { event_stream_head(next) })
}

/// What follows, as soon as there is any.
async fn long_poll(mut follower: Follower, asked: Option<u64>) -> io::Result<Response> {
    let next = match timeout(LONG_POLL, follower.next()).await {
        Ok(next) => next?,
        Err(_) => Next::Stopping,
    };
    let status = match &next {
        Next::Bytes(_) => StatusCode::OK,
        Next::Stopping => StatusCode::NO_CONTENT,
        Next::Replaced => return Ok(gone()),
    };
    let mut headers = HeaderMap::new();
    let mut set = |name: HeaderName, value: String| value.parse().map(|value| headers.insert(name, value));
    let _ = set(NEXT_OFFSET, follower.offset());
    let _ = set(CURSOR, cursor(asked).to_string());
    let _ = set(CACHE_CONTROL, "no-store".to_owned());
    if follower.is_up_to_date() {
        let _ = set(UP_TO_DATE, "true".to_owned());
    }
    match next {
        Next::Bytes(bytes) => Ok((status, headers, [(CONTENT_TYPE, PLAIN_TEXT)], bytes).into_response()),
        _ => Ok((status, headers).into_response()),
    }
}

fn follow_head(next: String) -> Response {
    let headers = [
        (CONTENT_TYPE, PLAIN_TEXT.to_owned()),
        (CACHE_CONTROL, "no-store".to_owned()),
        (NEXT_OFFSET, next),
        (ACCEL_BUFFERING, "no".to_owned()),
    ];
    headers.into_response()
}

/// All that is there and then each new line, as `tail -f` prints it.
fn follow(follower: Follower, permit: OwnedSemaphorePermit) -> Response {
    let head = follow_head(follower.offset());
    let pieces = stream::unfold((follower, permit), async |(mut follower, permit)| match follower.next().await {
        Ok(Next::Bytes(bytes)) => Some((Ok(bytes), (follower, permit))),
        Ok(Next::Replaced | Next::Stopping) => None,
        Err(error) => Some((Err(error), (follower, permit))),
    });
    with_pieces(head, pieces)
}

fn event_stream_head(next: String) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream".to_owned()),
        (CACHE_CONTROL, "no-cache".to_owned()),
        (NEXT_OFFSET, next),
        (ACCEL_BUFFERING, "no".to_owned()),
    ];
    headers.into_response()
}

/// The same as server-sent events.
fn event_stream(follower: Follower, permit: OwnedSemaphorePermit, cursor: Option<u64>) -> Response {
    let head = event_stream_head(follower.offset());
    let events = Events {
        follower,
        permit,
        cursor,
        close_at: Instant::now() + RECONNECT + jitter::up_to(SPREAD),
        state: State::Begin,
    };
    with_pieces(head, stream::unfold(events, Events::next))
}

/// A server-sent event stream under way.
struct Events {
    follower: Follower,
    #[expect(dead_code, reason = "it is given back when it is dropped")]
    permit: OwnedSemaphorePermit,
    cursor: Option<u64>,
    close_at: Instant,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Begin,
    Open,
    End,
}

impl Events {
    async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        let events = match self.state {
            State::Begin => {
                self.state = State::Open;
                format!("{}{}", sse::RETRY, self.control())
            }
            State::Open => self.follow().await?,
            State::End => return None,
        };
        Some((Ok(events.into()), self))
    }

    /// The next events, or none when it is time to end.
    async fn follow(&mut self) -> Option<String> {
        let heartbeat = Instant::now() + HEARTBEAT;
        let next = tokio::select! {
            next = self.follower.next() => next,
            () = sleep_until(heartbeat.min(self.close_at)) => {
                return (Instant::now() < self.close_at).then(|| sse::COMMENT.to_owned());
            }
        };
        match next {
            Ok(Next::Bytes(bytes)) => Some(sse::data(&bytes, &self.follower.offset()) + &self.control()),
            Ok(Next::Replaced) => {
                self.state = State::End;
                Some(sse::RESET.to_owned())
            }
            // The client comes again, and is told about an unreadable file by a status.
            Ok(Next::Stopping) | Err(_) => None,
        }
    }

    fn control(&self) -> String {
        sse::control(&self.follower.offset(), cursor(self.cursor), self.follower.is_up_to_date())
    }
}

/// The number of the present interval of 20 s, counted from 2024-10-09: a part of the cache key of live reads, so that
/// a cache never answers with the same nothing for ever. It is greater than the one that the client has `asked` with.
fn cursor(asked: Option<u64>) -> u64 {
    const EPOCH: Duration = Duration::from_hours(20_005 * 24);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + EPOCH).unwrap_or_default();
    let present = since.as_secs() / 20;
    asked.map_or(present, |asked| present.max(asked.saturating_add(1)))
}
