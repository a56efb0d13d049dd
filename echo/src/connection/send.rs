//! Sending an answer: its head, and its content as the client takes it.
//!
//! A long part of the file passes through one buffer for all clients: what a socket does not take is read again when it
//! does. sendfile(2) would save that copy, but the kernel would then send what the file holds at the time of sending: a
//! file truncated after that would fill up the answer with zeros.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Write};
use std::ops::Range;
use std::task::{Context, Poll, ready};

use axum::http::StatusCode;
use tokio::task::consume_budget;

use crate::connection::socket::Socket;
use crate::http::answer::{Answer, Body, Part};
use crate::http::request::Request;
use crate::live::reader::{Piece, Reader};

/// How much of a long part is read at a time, in bytes: what a processor has at hand.
const PIECE: usize = 64 * 1024;
/// How much a client may send while it receives a stream, in bytes, before the stream stops looking at it.
const IGNORED: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; PIECE].into());
}

/// What a request has to do with how its answer is framed.
#[derive(Clone, Copy)]
pub struct Framing {
    /// Whether the client understands chunks: one of HTTP/1.1 does.
    chunks: bool,
    /// Whether the connection ends with the answer.
    pub ends: bool,
}

impl Framing {
    /// That of the answer to `request`, or to what is none.
    pub fn of(request: Option<&Request>) -> Self {
        match request {
            Some(request) => Self { chunks: request.minor_version == 1, ends: !request.may_persist },
            None => Self { chunks: true, ends: true },
        }
    }
}

/// Sends `answer`; returns whether the connection ends with it.
///
/// # Errors
///
/// When the connection is broken, or the content can't be read any more: then the connection must be closed as it is, so
/// that the answer does not look complete.
pub async fn send(socket: &mut Socket, answer: Answer, mut framing: Framing) -> io::Result<bool> {
    framing.ends |= matches!(answer.body, Body::Live(_));
    let head = head(&answer, framing);
    match answer.body {
        Body::None | Body::Announced(_) => socket.send(&[&head]).await?,
        Body::Bytes(bytes) => socket.send(&[&head, &bytes]).await?,
        Body::Part(part) => send_part(socket, &head, &part).await?,
        Body::Live(reader) => Box::pin(send_stream(socket, head, *reader, framing.chunks)).await?,
    }
    Ok(framing.ends)
}

/// The status line and all fields.
fn head(answer: &Answer, framing: Framing) -> Vec<u8> {
    let mut head = Vec::with_capacity(answer.fields.len() + 128);
    let reason = answer.status.canonical_reason().unwrap_or_default();
    head.extend_from_slice(b"HTTP/1.1 ");
    head.extend_from_slice(answer.status.as_str().as_bytes());
    head.push(b' ');
    head.extend_from_slice(reason.as_bytes());
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(answer.fields.as_bytes());
    match answer.body.length() {
        Some(length) => {
            let _ = write!(head, "content-length: {length}\r\n");
        }
        None if answer.status == StatusCode::NO_CONTENT || !framing.chunks => {}
        None => head.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    if framing.ends {
        head.extend_from_slice(b"connection: close\r\n");
    } else if !framing.chunks {
        head.extend_from_slice(b"connection: keep-alive\r\n"); // HTTP/1.0 closes unless it is told
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// Sends `head` and a part of the file. Where its bytes are not all there any more this fails, and the connection is closed
/// short of its `Content-Length`.
async fn send_part(socket: &mut Socket, mut head: &[u8], part: &Part) -> io::Result<()> {
    let result = send_pieces(socket, &mut head, part).await;
    if result.is_err() {
        let _ = socket.send(&[head]).await; // the client may know what it does not get
    }
    result
}

async fn send_pieces(socket: &mut Socket, head: &mut &[u8], part: &Part) -> io::Result<()> {
    let mut left = part.range.clone();
    while !left.is_empty() {
        if let Some(sent) = poll_fn(|cx| poll_send_piece(socket, cx, part, head, &left)).await? {
            let of_head = sent.min(head.len());
            *head = &head[of_head..];
            left.start += (sent - of_head) as u64;
        } else {
            let bytes = part.snapshot.read_within(piece(&left, socket.appetite())).await?;
            socket.send(&[head, &bytes]).await?;
            *head = &[];
            left.start += bytes.len() as u64;
            part.served.add(bytes.len());
        }
        consume_budget().await;
    }
    Ok(())
}

/// Sends what is left of `head`, and some of the bytes that are `left`, if they are in memory.
fn poll_send_piece(
    socket: &mut Socket,
    cx: &mut Context<'_>,
    part: &Part,
    head: &[u8],
    left: &Range<u64>,
) -> Poll<io::Result<Option<usize>>> {
    ready!(socket.poll_writable(cx))?; // or what is read now would be read again
    BUFFER.with_borrow_mut(|buffer| {
        let piece = piece(left, socket.appetite());
        let bytes = &mut buffer[..(piece.end - piece.start) as usize];
        let Some(count) = part.snapshot.read_at_once(bytes, piece.start)? else { return Poll::Ready(Ok(None)) };
        let bytes = &bytes[..count];
        let sent = ready!(socket.poll_send(cx, &[IoSlice::new(head), IoSlice::new(bytes)]))?;
        part.served.add(sent.saturating_sub(head.len()));
        Poll::Ready(Ok(Some(sent)))
    })
}

/// The first bytes of `range`, as many as the client may have at a time.
fn piece(range: &Range<u64>, appetite: usize) -> Range<u64> {
    range.start..range.end.min(range.start + appetite.min(PIECE) as u64)
}

/// Sends `head`, and the pieces of a stream as they come, until there are no more or the connection is broken. Only a
/// stream that was sent to its end gets one.
async fn send_stream(socket: &mut Socket, head: Vec<u8>, mut reader: Reader, chunks: bool) -> io::Result<()> {
    socket.send(&[&head]).await?;
    drop(head);
    while let Some(piece) = next_piece(socket, &mut reader).await? {
        let size = format!("{:x}\r\n", piece.content.len());
        // RFC 9112 §7.1
        let framed: &[&[u8]] = if chunks { &[size.as_bytes(), &piece.content, b"\r\n"] } else { &[&piece.content] };
        let Some(sent) = socket.send_at_once(framed)? else { continue }; // it is read again when there is room
        reader.sent(&piece);
        if let Some(rest) = left(framed, sent) {
            drop(piece);
            socket.send(&[&rest]).await?;
        }
        consume_budget().await;
    }
    if chunks {
        socket.send(&[b"0\r\n\r\n"]).await?;
    }
    Ok(())
}

/// The next piece of a stream, once its client can take one. A client that sends no more gets what is there, and the end.
async fn next_piece(socket: &mut Socket, reader: &mut Reader) -> io::Result<Option<Piece>> {
    poll_fn(|cx| socket.poll_writable(cx)).await?;
    let mut ignored = Vec::new();
    loop {
        tokio::select! {
            biased;
            piece = reader.next() => return piece,
            count = socket.receive(&mut ignored), if ignored.len() < IGNORED => if count? == 0 {
                reader.finish();
                return reader.next().await;
            },
        }
    }
}

/// What the kernel has not taken of a piece. It takes all or nothing, unless it lacks memory.
fn left(framed: &[&[u8]], sent: usize) -> Option<Vec<u8>> {
    let all = framed.concat();
    (sent < all.len()).then(|| all[sent..].to_vec())
}
