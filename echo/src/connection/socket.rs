//! A connection's socket: moves bytes, and tells the table about those that pass.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, sendmsg};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::connection::send_buffer::SendBuffer;
use crate::connection::table::Connection;

/// How much is read at a time, in bytes.
const PIECE: usize = 4096;
/// How many parts are sent together at most.
const MOST_PARTS: usize = 3;
/// How long a connection that ends is left to its client to close.
const LINGER: Duration = Duration::from_secs(2);
/// The same when the server stops, which must not take long.
const LINGER_IN_A_STOP: Duration = Duration::from_millis(500);
/// How much a client may send meanwhile, in bytes.
const LINGER_BYTES: usize = 1024 * 1024;

/// The socket of a connection.
pub struct Socket {
    stream: TcpStream,
    buffer: SendBuffer,
    /// What the table knows of the connection.
    pub connection: Arc<Connection>,
}

/// Fills `slices` with at most `limit` bytes of `parts` behind those that were `sent`; returns how many slices that are.
fn fill<'a>(slices: &mut [IoSlice<'a>], parts: &[&'a [u8]], mut sent: usize, mut limit: usize) -> usize {
    let mut count = 0;
    for part in parts {
        let rest = &part[sent.min(part.len())..];
        sent -= part.len() - rest.len();
        let rest = &rest[..rest.len().min(limit)];
        limit -= rest.len();
        if !rest.is_empty() {
            slices[count] = IoSlice::new(rest);
            count += 1;
        }
    }
    count
}

impl Socket {
    /// The socket of `connection`.
    pub fn new(stream: TcpStream, connection: Arc<Connection>) -> Self {
        Self { stream, buffer: SendBuffer::default(), connection }
    }

    /// Waits for bytes, and puts some of them behind those that `received` has; returns how many: none at the end of what the
    /// client sends. They pass through the stack, so that a connection that waits for a request holds no buffer.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub async fn receive(&mut self, received: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| {
            let mut buffer = [MaybeUninit::uninit(); PIECE];
            let mut buffer = ReadBuf::uninit(&mut buffer);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            received.extend_from_slice(buffer.filled());
            Poll::Ready(Ok(buffer.filled().len()))
        })
        .await
    }

    /// Waits until the client can take something.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = self.stream.poll_write_ready(cx);
        self.note(result.is_pending());
        result
    }

    /// Sends some of the bytes in `slices`, and returns how many.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_writable(cx))?;
            if let Some(sent) = self.try_send(slices)? {
                return Poll::Ready(Ok(sent));
            }
        }
    }

    /// Sends `parts`, as much as the client takes at once; `None` if that is nothing.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub fn send_at_once(&mut self, parts: &[&[u8]]) -> io::Result<Option<usize>> {
        let mut slices = [IoSlice::new(&[]); MOST_PARTS];
        slices.iter_mut().zip(parts).for_each(|(slice, part)| *slice = IoSlice::new(part));
        self.try_send(&slices[..parts.len()])
    }

    fn try_send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let flags = self.buffer.flags();
        let send = || sendmsg(&self.stream, slices, &mut SendAncillaryBuffer::default(), flags).map_err(Into::into);
        match self.stream.try_io(Interest::WRITABLE, send) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                self.note(false);
                self.buffer.took(count);
                Ok(Some(count))
            }
            Err(error) => Err(error),
        }
    }

    /// How many bytes the client may have at a time.
    pub fn appetite(&self) -> usize {
        self.buffer.appetite()
    }

    /// Sends all of `parts`, of which there are at most three.
    ///
    /// # Errors
    ///
    /// When the connection is broken.
    pub async fn send(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let (mut sent, all) = (0, parts.iter().map(|part| part.len()).sum());
        while sent < all {
            sent += poll_fn(|cx| {
                let mut slices = [IoSlice::new(&[]); MOST_PARTS];
                let count = fill(&mut slices, parts, sent, self.appetite());
                self.poll_send(cx, &slices[..count])
            })
            .await?;
        }
        Ok(())
    }

    /// Tells the table whether the client was waited for; once it took bytes after that, it may have more at a time.
    fn note(&mut self, is_blocked: bool) {
        if self.connection.sent(is_blocked) && !is_blocked {
            self.buffer.grow(&self.stream);
        }
    }

    /// Ends what is sent, and drops what still comes until the client closes the connection, for a while. To close it at
    /// once would be to tear the answer: with bytes that nobody has read, or that come later, the kernel resets the
    /// connection, and throws away what the client has yet to take (RFC 9112 §9.6).
    pub async fn linger(mut self) {
        if poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await.is_err() {
            return;
        }
        let patience = if self.connection.is_last() { LINGER_IN_A_STOP } else { LINGER };
        let end = async {
            let mut left = LINGER_BYTES;
            let mut dropped = Vec::new();
            while left > 0 && self.receive(&mut dropped).await.is_ok_and(|count| count > 0) {
                left = left.saturating_sub(dropped.len());
                dropped.clear();
            }
        };
        let _ = timeout(patience, end).await;
    }
}
