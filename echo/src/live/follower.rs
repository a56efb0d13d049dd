//! Reading on where the file ends: a snapshot that does not stop at its length.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::counters::Served;
use crate::file::offset::{self, Gone, Offset};
use crate::file::snapshot::Snapshot;
use crate::file::watcher::Growth;
use crate::stage::Stage;

/// How much is read at a time, in bytes. Nobody holds it for a client that does not take it: it is read again.
const PIECE: u64 = 16 * 1024;
/// The length of the longest character in UTF-8, in bytes.
const LONGEST_CHARACTER: usize = 4;

/// A reader at a place of a file, that waits for what follows.
pub struct Follower {
    snapshot: Arc<Snapshot>,
    /// Bytes of the file before the place.
    position: u64,
    /// Tells of the file and, by [`Growth::wake_all`], of the end of the server: two things to wait for would cost each of
    /// 10,000 clients a second place in a list, for each line.
    growth: watch::Receiver<Option<Arc<Snapshot>>>,
    stage: watch::Receiver<Stage>,
    /// What the watcher saw last, if that is still to be looked into.
    news: Option<Arc<Snapshot>>,
    /// Whether the name leads to something else now, so that this file ends where its snapshot does.
    is_replaced: bool,
    /// Whether something was read, and whole lines to the last.
    may_stop: bool,
    /// Whether to stop where the file ends now.
    is_finishing: bool,
    served: Arc<Served>,
}

/// What a follower comes upon.
#[derive(Debug)]
pub enum Next {
    /// The bytes that follow.
    Bytes(Bytes),
    /// All bytes have been read, and another file has taken the name; or the file has lost lines.
    Replaced,
    /// All that is wanted has been read: the server stops, or the client does not wait for more.
    Stopping,
}

impl Follower {
    /// A reader of `snapshot` from `offset` on. It has to be made in one step with the snapshot, lest it misses a change
    /// between the two.
    ///
    /// # Errors
    ///
    /// When the offset is of another file.
    pub fn new(
        snapshot: Arc<Snapshot>,
        offset: &Offset,
        growth: &Arc<Growth>,
        stage: watch::Receiver<Stage>,
        served: Arc<Served>,
    ) -> Result<Self, Gone> {
        let position = snapshot.position_of(offset)?;
        Ok(Self {
            snapshot,
            position,
            growth: growth.subscribe(),
            stage,
            news: None,
            is_replaced: false,
            may_stop: false,
            is_finishing: false,
            served,
        })
    }

    /// The offset of the place.
    pub fn offset(&self) -> String {
        self.offset_behind(0)
    }

    /// The offset `count` bytes behind the place.
    pub fn offset_behind(&self, count: usize) -> String {
        offset::token(self.snapshot.generation(), self.position + count as u64)
    }

    /// What is read from.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Whether all there is has been read.
    pub fn is_up_to_date(&self) -> bool {
        self.is_end(0)
    }

    /// Whether all there is has been read `count` bytes behind the place.
    pub fn is_end(&self, count: usize) -> bool {
        self.position + count as u64 >= self.snapshot.length()
    }

    /// Reads on only as far as the file goes now.
    pub fn finish(&mut self) {
        self.is_finishing = true;
    }

    /// Goes on behind `bytes`, the first of those that [`Self::next`] has returned.
    pub fn advance(&mut self, bytes: &[u8]) {
        self.may_stop = bytes.ends_with(b"\n");
        self.position += bytes.len() as u64;
        self.served.add(bytes.len());
    }

    /// Waits until there are bytes, and reads some of them: whole lines, save where a line is very long. The place stays
    /// where it is. The caller may give up waiting, and ask again.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub async fn next(&mut self) -> io::Result<Next> {
        if self.may_stop && self.is_closing() {
            return Ok(Next::Stopping);
        }
        while self.is_up_to_date() {
            if let Some(latest) = self.news.clone() {
                self.look_into(latest).await;
                self.news = None;
                continue;
            }
            if self.is_replaced {
                return Ok(Next::Replaced);
            }
            if self.is_finishing || self.is_closing() {
                return Ok(Next::Stopping);
            }
            self.growth.changed().await.map_err(io::Error::other)?;
            self.news.clone_from(&self.growth.borrow_and_update());
        }
        if self.is_truncated() {
            return Ok(Next::Replaced);
        }
        let end = self.snapshot.length().min(self.position + PIECE);
        let mut bytes = match self.snapshot.read_within(self.position..end).await {
            // Truncated: what was announced will never come.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Next::Replaced),
            read => read?,
        };
        bytes.truncate(whole(&bytes));
        Ok(Next::Bytes(bytes))
    }

    fn is_closing(&self) -> bool {
        *self.stage.borrow() == Stage::Closing
    }

    async fn look_into(&mut self, latest: Arc<Snapshot>) {
        if latest.epoch() == self.snapshot.epoch() {
            self.snapshot = latest;
        } else if let Some(rest) = self.rest(&latest).await {
            self.snapshot = Arc::new(rest);
            self.is_replaced = true;
        } else if self.position == 0 {
            self.snapshot = latest; // nothing of the old file was read, so the new one is no change
        } else {
            self.is_replaced = true;
        }
    }

    /// The file with what was added to it before its name went over to `latest`.
    async fn rest(&self, latest: &Snapshot) -> Option<Snapshot> {
        if latest.is_of_same_file(&self.snapshot) {
            return None; // it was truncated or written anew, and what it has now is not what followed
        }
        let rest = self.snapshot.again().await.ok()?;
        let is_ours = self.position == 0 || rest.generation() == self.snapshot.generation();
        (is_ours && rest.length() > self.position).then_some(rest)
    }

    /// Whether the file was seen to lose lines, since when what is read of it need not be what the snapshot is of.
    fn is_truncated(&self) -> bool {
        // The last look may be older than the snapshot.
        let latest = self.growth.borrow();
        latest
            .as_ref()
            .is_some_and(|latest| latest.epoch() > self.snapshot.epoch() && latest.is_of_same_file(&self.snapshot))
    }
}

/// How much of `bytes` is whole lines or, where not even one fits, whole characters.
fn whole(bytes: &[u8]) -> usize {
    if let Some(newline) = memchr::memrchr(b'\n', bytes) {
        return newline + 1;
    }
    // A character may end in the next piece. Only the end is looked at: what is no text may stand anywhere before.
    let begins_a_character =
        |end: &[u8]| str::from_utf8(end).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none());
    let earliest = bytes.len().saturating_sub(LONGEST_CHARACTER - 1).max(1);
    (earliest..bytes.len()).find(|&start| begins_a_character(&bytes[start..])).unwrap_or(bytes.len())
}
