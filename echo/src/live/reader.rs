//! What a client with a stream receives: pieces of plain text, or server-sent events.

use std::io;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use crate::jitter;
use crate::live::follower::{Follower, Next};
use crate::live::sse;

/// How often an event stream without events shows that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// When an event stream is closed at the earliest, for the client to come again, maybe to another replica.
const RECONNECT: Duration = Duration::from_secs(55);
/// How much later it is closed at most, so that clients which came together don't come again together.
const SPREAD: Duration = Duration::from_secs(10);

/// A stream under way. The client's place is given back with it.
pub struct Reader {
    follower: Follower,
    form: Form,
    _permit: OwnedSemaphorePermit,
}

enum Form {
    Text,
    Events(Events),
}

impl Reader {
    /// The bytes of the file, as `tail -f` prints them.
    pub fn text(follower: Follower, permit: OwnedSemaphorePermit) -> Self {
        Self { follower, form: Form::Text, _permit: permit }
    }

    /// The same as server-sent events; `cursor` is the one that the client came with.
    pub fn events(follower: Follower, permit: OwnedSemaphorePermit, cursor: Option<u64>) -> Self {
        let close_at = Instant::now() + RECONNECT + jitter::up_to(SPREAD);
        Self { follower, form: Form::Events(Events { cursor, close_at, state: State::Begin }), _permit: permit }
    }

    /// Waits for the next piece; `None` is the proper end. The caller may give up waiting, or drop the piece, and ask again:
    /// the stream stays where it is until the piece is [`sent`](Self::sent).
    ///
    /// # Errors
    ///
    /// When the file can't be read. What was sent must not look complete then.
    pub async fn next(&mut self) -> io::Result<Option<Piece>> {
        match &mut self.form {
            Form::Text => Ok(match self.follower.next().await? {
                Next::Bytes(bytes) => Some(Piece { content: bytes.clone(), of_file: bytes, then: State::Open }),
                Next::Replaced | Next::Stopping => None,
            }),
            Form::Events(events) => Ok(events.next(&mut self.follower).await),
        }
    }

    /// Goes on behind `piece`, which is the one that came last.
    pub fn sent(&mut self, piece: &Piece) {
        if !piece.of_file.is_empty() {
            self.follower.advance(&piece.of_file);
        }
        if let Form::Events(events) = &mut self.form {
            events.state = piece.then;
        }
    }

    /// Ends the stream with what is there: the client sends no more, and may not wait for ever.
    pub fn finish(&mut self) {
        self.follower.finish();
    }
}

/// A piece of a stream, of at most 16 KiB.
pub struct Piece {
    /// What the client gets.
    pub content: Bytes,
    /// The bytes of the file that are in it.
    of_file: Bytes,
    /// The state of an event stream that has sent it.
    then: State,
}

struct Events {
    cursor: Option<u64>,
    close_at: Instant,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Begin,
    Open,
    End,
}

impl Events {
    /// The next events, or none when it is time to end. An unreadable file is an end, too: the client comes again, and is told
    /// by a status.
    async fn next(&mut self, follower: &mut Follower) -> Option<Piece> {
        match self.state {
            State::End => return None,
            State::Begin if follower.is_up_to_date() => {
                return Some(self.piece(self.control(follower, 0), Bytes::new()));
            }
            State::Begin | State::Open => {}
        }
        let heartbeat = Instant::now() + HEARTBEAT;
        let next = tokio::select! {
            next = follower.next() => next,
            () = sleep_until(heartbeat.min(self.close_at)) => {
                let is_open = Instant::now() < self.close_at;
                return is_open.then(|| self.piece(sse::COMMENT.to_owned(), Bytes::new()));
            }
        };
        match next {
            Ok(Next::Bytes(bytes)) => Some(self.data(bytes, follower)),
            Ok(Next::Replaced) => Some(Piece { content: sse::RESET.into(), of_file: Bytes::new(), then: State::End }),
            Ok(Next::Stopping) | Err(_) => None,
        }
    }

    fn data(&self, mut bytes: Bytes, follower: &Follower) -> Piece {
        bytes.truncate(sse::fitting(&bytes));
        let count = bytes.len();
        let events = sse::data(&bytes, &follower.offset_behind(count)) + &self.control(follower, count);
        self.piece(events, bytes)
    }

    fn piece(&self, events: String, of_file: Bytes) -> Piece {
        let events = if self.state == State::Begin { sse::first(&events) } else { events };
        Piece { content: events.into(), of_file, then: State::Open }
    }

    /// The event that says where a reader is that has received `count` bytes more.
    fn control(&self, follower: &Follower, count: usize) -> String {
        sse::control(&follower.offset_behind(count), cursor(self.cursor), follower.is_end(count))
    }
}

/// The number of the present interval of 20 s, counted from 2024-10-09: a part of the cache key of live reads, so that
/// a cache never answers with the same nothing for ever. It is greater than the one that the client has `asked` with.
pub fn cursor(asked: Option<u64>) -> u64 {
    const EPOCH: Duration = Duration::from_hours(20_005 * 24);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH + EPOCH).unwrap_or_default();
    let present = since.as_secs() / 20;
    asked.map_or(present, |asked| present.max(asked.saturating_add(1)))
}
