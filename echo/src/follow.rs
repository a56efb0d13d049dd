//! Reading on where the file ends: a snapshot that does not stop at its length.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use crate::growth::Growth;
use crate::metrics::{Count, Served};
use crate::offset::{self, Gone, Offset};
use crate::server::Stage;
use crate::snapshot::Snapshot;

/// How much is read at a time, in bytes.
const PIECE: u64 = 64 * 1024;
/// The length of the longest character in UTF-8, in bytes.
const LONGEST_CHARACTER: usize = 4;

/// A reader at a place of a file, that waits for what follows.
pub struct Follower {
    snapshot: Arc<Snapshot>,
    /// Bytes of the file before the place.
    position: u64,
    growth: watch::Receiver<Option<Arc<Snapshot>>>,
    stage: watch::Receiver<Stage>,
    /// Whether the name leads to something else now, so that this file ends where its snapshot does.
    is_replaced: bool,
    /// Whether something was read, and whole lines to the last.
    may_stop: bool,
    served: Arc<Served>,
}

/// What a follower comes upon.
#[derive(Debug)]
pub enum Next {
    /// The bytes that follow.
    Bytes(Bytes),
    /// All bytes have been read, and another file has taken the name; or the file has lost lines.
    Replaced,
    /// The server stops.
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
        let position = offset.position_in(&snapshot)?;
        Ok(Self { snapshot, position, growth: growth.subscribe(), stage, is_replaced: false, may_stop: false, served })
    }

    /// The offset of the place.
    pub fn offset(&self) -> String {
        offset::token(self.snapshot.generation, self.position)
    }

    /// Whether all there is has been read.
    pub fn is_up_to_date(&self) -> bool {
        self.position >= self.snapshot.length
    }

    /// Waits until there are bytes, and reads some of them: whole lines, save where a line is very long.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub async fn next(&mut self) -> io::Result<Next> {
        if self.may_stop && *self.stage.borrow() == Stage::Closing {
            return Ok(Next::Stopping);
        }
        while self.is_up_to_date() {
            if self.is_replaced {
                return Ok(Next::Replaced);
            }
            tokio::select! {
                changed = self.growth.changed() => changed.map_err(io::Error::other)?,
                _ = self.stage.wait_for(|stage| *stage == Stage::Closing) => return Ok(Next::Stopping),
            }
            self.look_again();
        }
        if self.is_truncated() {
            return Ok(Next::Replaced);
        }
        let end = self.snapshot.length.min(self.position + PIECE);
        let mut bytes = match self.snapshot.read(self.position..end) {
            // Truncated: what was announced will never come.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Next::Replaced),
            read => read?,
        };
        bytes.truncate(whole(&bytes));
        self.may_stop = bytes.ends_with(b"\n");
        self.position += bytes.len() as u64;
        self.served.count(Count::of(&bytes));
        Ok(Next::Bytes(bytes))
    }

    fn look_again(&mut self) {
        let Some(latest) = self.growth.borrow_and_update().clone() else { return };
        if latest.edition == self.snapshot.edition {
            self.snapshot = latest;
        } else if let Some(rest) = self.rest(&latest) {
            self.snapshot = Arc::new(rest);
            self.is_replaced = true;
        } else if self.position == 0 {
            self.snapshot = latest; // nothing of the old file was read, so the new one is no change
        } else {
            self.is_replaced = true;
        }
    }

    /// The file with what was added to it before its name went over to `latest`.
    fn rest(&self, latest: &Snapshot) -> Option<Snapshot> {
        if latest.stamp.file() == self.snapshot.stamp.file() {
            return None; // it was truncated or written anew, and what it has now is not what followed
        }
        let rest = self.snapshot.refresh().ok()?;
        let is_ours = self.position == 0 || rest.generation == self.snapshot.generation;
        (is_ours && rest.length > self.position).then_some(rest)
    }

    /// Whether the file was seen to lose lines, since when what is read of it need not be what the snapshot is of.
    fn is_truncated(&self) -> bool {
        // The last look may be older than the snapshot.
        self.growth.borrow().as_ref().is_some_and(|latest| {
            latest.edition > self.snapshot.edition && latest.stamp.file() == self.snapshot.stamp.file()
        })
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
