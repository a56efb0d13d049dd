//! `GET /data` with an offset: reading on from a place, now, when something comes, or for ever. The read side of the
//! Durable Streams protocol 1.0, and plain text for `curl`.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED};
use axum::http::{Method, StatusCode};
use httpdate::HttpDate;
use tokio::time::sleep;

use crate::file::offset::{self, NEXT_OFFSET, Offset, UP_TO_DATE};
use crate::file::snapshot::Snapshot;
use crate::http::answer::{Answer, Body, PLAIN_TEXT, sentence, try_again};
use crate::http::conditional::is_named;
use crate::http::request::{LAST_EVENT_ID, Request};
use crate::live::clients::Live;
use crate::live::follower::{Follower, Next};
use crate::live::query::{Mode, Query};
use crate::live::reader::{Reader, cursor};
use crate::routes::client::Client;
use crate::routes::content::Contents;

const CURSOR: HeaderName = HeaderName::from_static("stream-cursor");
/// Keeps nginx, and what follows its example, from holding a stream back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How long a long-poll waits.
const LONG_POLL: Duration = Duration::from_secs(20);
/// The same for a client that sends no more: it may have gone.
const LONG_POLL_OF_A_HALF_CLOSED: Duration = Duration::from_secs(5);

/// Answers a request that has an offset, a live mode or `follow`.
///
/// # Errors
///
/// When the file can't be read.
pub async fn answer(
    live: &Live,
    contents: &Contents,
    snapshot: Arc<Snapshot>,
    request: &Request,
    query: Query,
    client: &Client,
) -> io::Result<Answer> {
    let Some(offset) = beginning(&request.headers, &query) else {
        return Ok(sentence(StatusCode::BAD_REQUEST, "The Last-Event-ID is no offset."));
    };
    let is_head = request.method == Method::HEAD;
    match query.mode {
        Mode::CatchUp => return catch_up(contents, &snapshot, request, &offset).await,
        Mode::LongPoll if is_head => return catch_up(contents, &snapshot, request, &offset).await,
        mode if is_head => return Ok(head_of_stream(&snapshot, mode, &offset)),
        _ => {}
    }
    let Some(permit) = live.admit() else {
        return Ok(try_again("All places for live clients are taken; try again later."));
    };
    let Ok(follower) = live.follow(snapshot, &offset) else { return Ok(gone()) };
    let (mode, next) = (query.mode, follower.offset());
    let reader = match mode {
        Mode::Follow => Reader::text(follower, permit),
        Mode::EventStream => Reader::events(follower, permit, query.cursor),
        Mode::CatchUp | Mode::LongPoll => return long_poll(follower, query.cursor, client).await,
    };
    Ok(stream(mode, &next, Body::Live(Box::new(reader))))
}

/// Where to begin: an event stream that comes again says it in a field. An empty one counts as none.
fn beginning(headers: &HeaderMap, query: &Query) -> Option<Offset> {
    match headers.get(LAST_EVENT_ID) {
        Some(id) if query.mode == Mode::EventStream && !id.is_empty() => Offset::parse(id.to_str().ok()?),
        _ => Some(query.offset.clone()),
    }
}

/// All that is there behind `offset`, at once.
async fn catch_up(
    contents: &Contents,
    snapshot: &Arc<Snapshot>,
    request: &Request,
    offset: &Offset,
) -> io::Result<Answer> {
    let Ok(start) = snapshot.position_of(offset) else { return Ok(gone()) };
    let end = snapshot.length();
    if start > end {
        return Ok(try_again("The offset lies past the end of what is here; it may be here soon."));
    }
    let describe = |answer: Answer, etag: &str| {
        let answer = answer
            .with(&NEXT_OFFSET, offset::token(snapshot.generation(), end))
            .with(&UP_TO_DATE, "true")
            .with(&LAST_MODIFIED, last_modified(snapshot))
            .with(&CACHE_CONTROL, if *offset == Offset::Now { "no-store" } else { "no-cache" });
        if *offset == Offset::Now { answer } else { answer.with(&ETAG, etag) }
    };
    let etag = format!("\"{}-{start}-{end}\"", snapshot.generation());
    if *offset != Offset::Now && is_named(etag.as_bytes(), &request.headers) == Some(true) {
        return Ok(describe(Answer::new(StatusCode::NOT_MODIFIED, Body::Announced(end - start)), &etag));
    }
    let content = match request.method {
        Method::HEAD => Body::Announced(end - start),
        _ => contents.of(snapshot, start..end).await?,
    };
    Ok(describe(Answer::new(StatusCode::OK, content).with(&CONTENT_TYPE, PLAIN_TEXT), &etag))
}

/// The date of all that is there, which a mirror goes by.
fn last_modified(snapshot: &Snapshot) -> HttpDate {
    snapshot.modified().min(SystemTime::now()).into()
}

fn gone() -> Answer {
    sentence(StatusCode::GONE, "The offset is of another file than the one that is here now; begin again at -1.")
}

/// What follows, as soon as there is any.
async fn long_poll(mut follower: Follower, asked: Option<u64>, client: &Client) -> io::Result<Answer> {
    let patience = async {
        tokio::select! {
            () = sleep(LONG_POLL) => {}
            () = async { client.has_sent_all().await; sleep(LONG_POLL_OF_A_HALF_CLOSED).await } => {}
        }
    };
    let has_waited = follower.is_up_to_date();
    let next = tokio::select! {
        biased;
        next = follower.next() => next?,
        () = patience => Next::Stopping,
    };
    let mut answer = match next {
        Next::Bytes(bytes) => {
            follower.advance(&bytes);
            Answer::new(StatusCode::OK, Body::Bytes(bytes)).with(&CONTENT_TYPE, PLAIN_TEXT)
        }
        Next::Stopping => Answer::new(StatusCode::NO_CONTENT, Body::None),
        Next::Replaced => gone(),
    };
    if answer.status != StatusCode::GONE {
        answer = answer.with(&NEXT_OFFSET, follower.offset()).with(&CURSOR, cursor(asked));
        if follower.is_up_to_date() {
            answer.add(&UP_TO_DATE, "true");
            answer.add(&LAST_MODIFIED, last_modified(follower.snapshot()));
        }
        if answer.status == StatusCode::OK {
            answer.add(&CACHE_CONTROL, "no-store");
        }
    }
    answer.has_waited = has_waited;
    Ok(answer)
}

/// The answer to `HEAD` of a stream.
fn head_of_stream(snapshot: &Snapshot, mode: Mode, offset: &Offset) -> Answer {
    match snapshot.position_of(offset) {
        Ok(position) => stream(mode, &offset::token(snapshot.generation(), position), Body::None),
        Err(_) => gone(),
    }
}

/// A stream that begins at the offset `next`.
fn stream(mode: Mode, next: &str, body: Body) -> Answer {
    let (kind, caching) = match mode {
        Mode::EventStream => ("text/event-stream", "no-cache"),
        _ => (PLAIN_TEXT, "no-store"),
    };
    Answer::new(StatusCode::OK, body)
        .with(&CONTENT_TYPE, kind)
        .with(&CACHE_CONTROL, caching)
        .with(&NEXT_OFFSET, next)
        .with(&ACCEL_BUFFERING, "no")
}
