//! Sending a long part of the file, without holding any of it for a client that is slow to take it.
//!
//! hyper sends the head of such an answer, with a body that never comes; then the socket is taken over for the body. The
//! bytes pass through one buffer for all clients: what a socket does not take is read again when it does. sendfile(2)
//! would save that copy, but the kernel would then send what the file holds at the time of sending: a file truncated
//! after that would fill up the answer with zeros.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::io::AsyncWrite;
use tokio::task::{consume_budget, spawn_blocking};

use crate::metrics::{Count, Served};
use crate::snapshot::Snapshot;
use crate::watched::Watched;

/// From this length on, in bytes, a part is sent in this way.
const LONG: u64 = 64 * 1024;
/// How much is read at a time, in bytes: what a processor has at hand.
const PIECE: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// What has to follow the head of an answer.
#[derive(Clone)]
pub struct Bulk {
    snapshot: Arc<Snapshot>,
    range: Range<u64>,
    served: Arc<Served>,
}

/// Gives `response` the bytes of `snapshot` within `range`, which must lie within its length.
///
/// # Errors
///
/// `UnexpectedEof` when the file has been truncated since; any error of reading it.
pub fn with_content(
    mut response: Response,
    snapshot: &Arc<Snapshot>,
    range: Range<u64>,
    served: &Arc<Served>,
) -> io::Result<Response> {
    let length = range.end - range.start;
    if length < LONG {
        let bytes = snapshot.read(range)?;
        let count = Count::of(&bytes);
        served.count(count);
        response.extensions_mut().insert(count);
        *response.body_mut() = Body::from(bytes);
    } else {
        snapshot.read(range.end - 1..range.end)?; // a file that is gone already can still be answered for
        *response.body_mut() = Body::new(Announced(length));
        response.extensions_mut().insert(Bulk { snapshot: Arc::clone(snapshot), range, served: Arc::clone(served) });
    }
    Ok(response)
}

/// A body of so many bytes that never come.
struct Announced(u64);

impl http_body::Body for Announced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

impl Bulk {
    /// Sends the bytes, as the client takes them. Where they are not all there any more, this fails, and the connection
    /// is to be closed short of its `Content-Length`.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` when the file has been truncated since; any error of reading it or of the socket.
    pub async fn send(self, io: &mut Watched) -> io::Result<()> {
        let _answering = io.connection.answer();
        let mut left = self.range.clone();
        while !left.is_empty() {
            if let Some(sent) = poll_fn(|cx| self.poll_send_piece(io, cx, &left)).await? {
                left.start += sent as u64;
            } else {
                // Waiting for a disk must harm no other client.
                let (snapshot, piece) = (Arc::clone(&self.snapshot), piece(&left));
                let bytes = spawn_blocking(move || snapshot.read(piece)).await.map_err(io::Error::other)??;
                left.start += bytes.len() as u64;
                self.served.count(Count::of(&bytes));
                io.send(bytes).await?;
            }
            consume_budget().await;
        }
        Ok(())
    }

    /// Sends some of the bytes that are `left`, if they are in memory.
    fn poll_send_piece(
        &self,
        io: &mut Watched,
        cx: &mut Context<'_>,
        left: &Range<u64>,
    ) -> Poll<io::Result<Option<usize>>> {
        ready!(io.poll_writable(cx))?; // or what is read now would be read again
        BUFFER.with_borrow_mut(|buffer| {
            let piece = piece(left);
            let bytes = &mut buffer[..(piece.end - piece.start) as usize];
            if !self.snapshot.read_from_memory(bytes, piece.start)? {
                return Poll::Ready(Ok(None));
            }
            let sent = ready!(Pin::new(io).poll_write(cx, bytes))?;
            self.served.count(Count::of(&bytes[..sent]));
            Poll::Ready(Ok(Some(sent)))
        })
    }
}

fn piece(range: &Range<u64>) -> Range<u64> {
    range.start..range.end.min(range.start + PIECE as u64)
}
