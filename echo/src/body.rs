//! The body of an answer: a range of a snapshot, read piece by piece as the client takes it.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::metrics::Served;
use crate::snapshot::Snapshot;

/// How much is read, and so held in memory for a client, at a time, in bytes.
const PIECE: u64 = 64 * 1024;

/// The bytes of a snapshot within a range.
///
/// When they are not all there any more, the body fails, and the connection is closed short of its `Content-Length`.
pub struct FileBody {
    snapshot: Arc<Snapshot>,
    served: Arc<Served>,
    /// What has not been sent.
    left: Range<u64>,
    /// The piece that was read before the answer began.
    first: Option<Bytes>,
    /// A read under way.
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    /// The bytes of `snapshot` within `range`, which must lie within its length. The first piece is read at once, so
    /// that a file which is gone already can still be answered for.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the file has been truncated since; any error of reading it.
    pub fn new(snapshot: Arc<Snapshot>, range: Range<u64>, served: Arc<Served>) -> io::Result<Self> {
        let first = snapshot.read(piece(&range))?;
        Ok(Self { snapshot, served, left: range, first: Some(first), reading: None })
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        let bytes = match self.first.take() {
            Some(bytes) => bytes,
            None => ready!(self.poll_read(cx))?,
        };
        self.left.start += bytes.len() as u64;
        self.served.count(&bytes);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.end - self.left.start)
    }
}

impl FileBody {
    /// Reads the next piece where waiting for a disk harms no other client.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let (snapshot, left) = (&self.snapshot, &self.left);
        let reading = self.reading.get_or_insert_with(|| {
            let (snapshot, piece) = (Arc::clone(snapshot), piece(left));
            spawn_blocking(move || snapshot.read(piece))
        });
        let read = ready!(Pin::new(reading).poll(cx)).unwrap_or_else(|error| Err(io::Error::other(error)));
        self.reading = None;
        Poll::Ready(read)
    }
}

fn piece(range: &Range<u64>) -> Range<u64> {
    range.start..range.end.min(range.start + PIECE)
}
