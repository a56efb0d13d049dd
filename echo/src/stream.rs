//! Sending an answer that has no end yet, piece by piece as the pieces come.
//!
//! hyper sends the head; then the socket is taken over, which saves hyper's buffers for each of 10,000 clients.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::response::Response;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::Stream;
use http_body::Frame;

use crate::watched::Watched;

type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// What has to follow the head of an answer.
#[derive(Clone)]
pub struct Endless(Arc<Mutex<Option<Pieces>>>);

/// Makes the answer to `HEAD` of one with pieces.
pub fn without_pieces(mut response: Response) -> Response {
    *response.body_mut() = Body::new(Unknown);
    response
}

/// Gives `response` the content that `pieces` will bring.
pub fn with_pieces(response: Response, pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Response {
    let mut response = without_pieces(response);
    response.extensions_mut().insert(Endless(Arc::new(Mutex::new(Some(Box::pin(pieces))))));
    response
}

/// A body of unknown length that never comes.
struct Unknown;

impl http_body::Body for Unknown {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Pending
    }
}

impl Endless {
    /// Sends the pieces until there are no more or the client has gone; as chunks (RFC 9112 §7.1) if the head has
    /// announced that.
    ///
    /// # Errors
    ///
    /// When the socket or the source of the pieces fails. The answer must not look complete then.
    pub async fn send(self, io: &mut Watched, is_chunked: bool) -> io::Result<()> {
        let _answering = io.connection.answer();
        let pieces = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut pieces = pieces.ok_or(io::ErrorKind::NotFound)?;
        while let Some(piece) = poll_fn(|cx| match io.poll_gone(cx) {
            Poll::Ready(gone) => Poll::Ready(gone.err().map(Err)),
            Poll::Pending => pieces.as_mut().poll_next(cx),
        })
        .await
        {
            let piece = piece?;
            io.send(if is_chunked { chunk(&piece) } else { piece }).await?;
        }
        if is_chunked {
            io.send(Bytes::from_static(b"0\r\n\r\n")).await?;
        }
        Ok(())
    }
}

fn chunk(piece: &[u8]) -> Bytes {
    let mut chunk = BytesMut::with_capacity(piece.len() + 16);
    chunk.put_slice(format!("{:x}\r\n", piece.len()).as_bytes());
    chunk.put_slice(piece);
    chunk.put_slice(b"\r\n");
    chunk.freeze()
}
