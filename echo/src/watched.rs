//! A connection's socket, which tells the connection about the bytes that pass, and keeps those of an answer that may be
//! repeated.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connections::Connection;
use crate::repeat;

/// How long a connection that ends is left to its client to close.
const LINGER: Duration = Duration::from_secs(2);
/// The same when the server stops, which must not take long.
const LINGER_IN_A_STOP: Duration = Duration::from_millis(500);
/// How much a client may send meanwhile, in bytes.
const LINGER_BYTES: usize = 1024 * 1024;

/// A socket that tells its connection about the bytes that pass.
pub struct Watched {
    /// The socket.
    pub stream: TcpStream,
    /// Who is told.
    pub connection: Arc<Connection>,
    /// What was read from the socket already.
    received: Bytes,
    /// What was written in answer to that; `None` if it is too long or more was read.
    sent: Option<Vec<u8>>,
    /// Whether the reader has been kept from seeing the end of what the client sends.
    has_withheld_end: bool,
}

impl Watched {
    /// Tells `connection` about `stream`.
    pub fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        Self { stream, connection, received: Bytes::new(), sent: None, has_withheld_end: false }
    }

    /// Gives `received` to the next reader. What is written in answer to it is kept if the connection is asked to.
    pub fn rewind(&mut self, received: Bytes) {
        self.connection.keep(false);
        self.received = received;
        self.sent = Some(Vec::new());
        self.has_withheld_end = false;
    }

    /// What comes next on the connection: the bytes that a reader had taken ahead, and those that were given back and that
    /// nobody has taken.
    pub fn unread(&mut self, ahead: Bytes) -> Bytes {
        match std::mem::take(&mut self.received) {
            rest if !rest.is_empty() => [ahead, rest].concat().into(),
            _ if ahead.is_empty() => Bytes::new(), // even so, the reader's buffer holds 8 kB
            _ => ahead,
        }
    }

    /// Waits until the client can take something.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = self.stream.poll_write_ready(cx);
        self.connection.block(result.is_pending());
        result
    }

    /// Waits until the client closes the connection or breaks it. What it sends meanwhile is dropped.
    pub fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while ready!(self.poll_drop_received(cx))? > 0 {}
        Poll::Ready(Ok(()))
    }

    /// Sends all of `bytes`.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub async fn send(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let sent = poll_fn(|cx| Pin::new(&mut *self).poll_write(cx, &bytes)).await?;
            bytes.advance(sent);
        }
        Ok(())
    }

    /// Ends what is sent, and drops what still comes until the client closes the connection, for a while. To close it at
    /// once would be to tear the answer: with bytes that nobody has read, or that come later, the kernel resets the
    /// connection, and throws away what the client has yet to take (RFC 9112 §9.6).
    pub async fn linger(mut self) {
        if poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await.is_err() {
            return;
        }
        let patience = if self.connection.is_last() { LINGER_IN_A_STOP } else { LINGER };
        let mut left = LINGER_BYTES;
        let end = poll_fn(|cx| {
            while left > 0 {
                match ready!(self.poll_drop_received(cx))? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            Poll::Ready(io::Result::Ok(()))
        });
        let _ = timeout(patience, end).await;
    }

    /// Drops some of what the client sends, and tells how much; nothing where it has closed the connection.
    fn poll_drop_received(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut buffer = ReadBuf::uninit(&mut buffer);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// What was written since, if it answers what was received and nothing else.
    pub fn recorded(&mut self) -> Option<Bytes> {
        self.sent.take().map(Bytes::from)
    }

    /// Whether the reader must not see yet that the client sends no more. hyper takes that for the end of all, and drops
    /// the answer, but one that is at hand is to come out first: to `printf ... | nc -N`, for instance. So hyper is told
    /// only when it comes again and the answer still waits for the file to grow.
    fn withholds_end(&mut self, cx: &Context<'_>) -> bool {
        if !self.connection.is_answering() {
            return false;
        }
        let is_first = !std::mem::replace(&mut self.has_withheld_end, true);
        if is_first {
            cx.waker().wake_by_ref();
        }
        is_first || self.connection.is_blocked()
    }

    fn wrote(&mut self, slices: &[io::IoSlice<'_>], result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = result {
            self.record(slices, count);
        }
        self.connection.sent(result.is_pending());
        result
    }

    /// Keeps the first `count` bytes of `slices`.
    fn record(&mut self, slices: &[io::IoSlice<'_>], count: usize) {
        let Some(sent) = &mut self.sent else { return };
        if !self.connection.is_kept() {
            return;
        }
        if sent.len() + count > repeat::LONGEST {
            self.sent = None;
            return;
        }
        sent.reserve(count);
        let mut left = count;
        for slice in slices {
            let part = &slice[..slice.len().min(left)];
            sent.extend_from_slice(part);
            left -= part.len();
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.received.is_empty() {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
            if buf.filled().len() > before {
                self.sent = None;
            } else if self.withholds_end(cx) {
                return Poll::Pending;
            }
        } else {
            let count = self.received.len().min(buf.remaining());
            buf.put_slice(&self.received.split_to(count));
        }
        self.connection.received();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(&[io::IoSlice::new(bytes)], result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(slices, result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
