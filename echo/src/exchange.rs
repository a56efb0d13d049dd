//! What happens on one connection: a request, its answer, and nothing held in memory until the next.
//!
//! HTTP is hyper's business, which is asked as soon as there are bytes, and let go when the last answer is out: an open
//! connection of its own holds 10 kB, and most connections of a server are idle.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll, ready};

use axum::body::Body;
use axum::http::header::{CONNECTION, HeaderValue};
use axum::http::{Request, Version};
use axum::response::Response;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use crate::bulk::Bulk;
use crate::connections::{Answering, Connection};
use crate::http::App;
use crate::repeat::{Answer, LONGEST_REQUEST, Repeatable};
use crate::stream::Endless;
use crate::watched::Watched;

/// The largest request line and header section that is read, in bytes; a larger one is answered 431, and so is one with
/// more than hyper's 100 header lines.
const MAX_HEAD: usize = 16 * 1024;
/// How much of an answer waits in our memory for a slow client, in bytes.
const MAX_BUFFERED: usize = 64 * 1024;

/// Serves the requests of one connection until it ends.
///
/// # Errors
///
/// When the client breaks the rules or the connection.
pub async fn converse(stream: TcpStream, app: Arc<App>, connection: &Arc<Connection>) -> anyhow::Result<()> {
    let mut io = Watched::new(stream, Arc::clone(connection));
    let mut received = Bytes::new();
    loop {
        if received.is_empty() {
            received = match poll_fn(|cx| poll_received(&mut io, &app, cx)).await? {
                Received::Nothing => return Ok(()),
                Received::Request(bytes) => bytes,
                Received::Known(request) => {
                    let _answering = connection.answer();
                    if let Some(answer) = app.again(&request).await {
                        io.send(answer.bytes).await?;
                        if answer.closes || connection.is_last() {
                            return Ok(());
                        }
                        continue;
                    }
                    request
                }
            };
        }
        io.rewind(received.clone());
        let next;
        (io, next) = exchange(io, &app, &received).await?;
        received = match next {
            Some(next) if !connection.is_last() => next,
            _ => {
                io.linger().await;
                return Ok(());
            }
        };
    }
}

/// What came from a client.
enum Received {
    /// The end.
    Nothing,
    /// A request that was answered before.
    Known(Bytes),
    /// Anything else.
    Request(Bytes),
}

/// Waits for bytes, and takes what is there.
fn poll_received(io: &mut Watched, app: &App, cx: &mut task::Context<'_>) -> Poll<io::Result<Received>> {
    let mut buffer = [MaybeUninit::uninit(); LONGEST_REQUEST];
    let mut buffer = ReadBuf::uninit(&mut buffer);
    ready!(Pin::new(&mut io.stream).poll_read(cx, &mut buffer))?;
    let bytes = buffer.filled();
    Poll::Ready(Ok(match app.known(bytes) {
        _ if bytes.is_empty() => Received::Nothing,
        Some(request) => Received::Known(request),
        None => Received::Request(Bytes::copy_from_slice(bytes)),
    }))
}

/// Lets hyper serve what begins with `received`, which `io` gives it first, until there is nothing to do. Returns the
/// socket and the beginning of the next request; or `None` for that if the connection ends here.
async fn exchange(io: Watched, app: &Arc<App>, received: &Bytes) -> anyhow::Result<(Watched, Option<Bytes>)> {
    let connection = Arc::clone(&io.connection);
    let asked = Arc::new(Mutex::new(Asked::default()));
    let service = service_fn(|request: Request<Incoming>| {
        let (app, asked, received) = (Arc::clone(app), Arc::clone(&asked), received.clone());
        let (connection, answering) = (Arc::clone(&connection), connection.answer());
        async move {
            let response = respond(request, &app, &asked, received).await?;
            connection.keep(asked.lock().unwrap_or_else(PoisonError::into_inner).answer.is_some());
            Ok::<_, Infallible>(response.map(|body| Tracked { body, answering }))
        }
    });
    let asked = || asked.lock().unwrap_or_else(PoisonError::into_inner);
    let mut builder = http1::Builder::new();
    builder.max_header_size(MAX_HEAD).max_buf_size(MAX_BUFFERED);
    let mut http = Box::new(builder.serve_connection(TokioIo::new(io), service));

    let has_ended = poll_fn(|cx| {
        if connection.is_last() {
            Pin::new(&mut *http).graceful_shutdown();
        }
        match Pin::new(&mut *http).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.map(|()| true)),
            // The head is out, and the body is ours.
            Poll::Pending if asked().rest.is_some() && !connection.is_blocked() => Poll::Ready(Ok(false)),
            // A body that was not read to its end must not be taken for the next request.
            Poll::Pending if connection.is_idle() && !asked().has_body => Poll::Ready(Ok(false)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await?;

    let parts = http.into_parts();
    let mut io = parts.io.into_inner();
    let unread = io.unread(parts.read_buf);
    let Asked { requests, answer, rest, closes, .. } = std::mem::take(&mut *asked());
    match rest {
        Some(Rest::Bulk(bulk)) => {
            bulk.send(&mut io).await?;
            return Ok((io, (!closes).then_some(unread)));
        }
        Some(Rest::Endless(endless, is_chunked)) => {
            endless.send(&mut io, is_chunked).await?;
            return Ok((io, None));
        }
        None => {}
    }
    if let (1, Some(answer), Some(bytes)) = (requests, answer, io.recorded())
        && unread.is_empty()
        && received.ends_with(b"\r\n\r\n")
    {
        // That the connection has ended may be the client's doing.
        app.keep(Answer { bytes, closes: has_ended && closes, ..answer });
    }
    Ok((io, (!has_ended).then_some(unread)))
}

/// The answer to `request`, which was `received` with others or alone, and what is to be known of it when hyper is done.
async fn respond(
    request: Request<Incoming>,
    app: &App,
    asked: &Mutex<Asked>,
    received: Bytes,
) -> Result<Response, Infallible> {
    let (method, version, has_body) = (request.method().clone(), request.version(), !request.body().is_end_stream());
    let may_stay = may_stay(&request) && !has_body;
    let mut response = app.respond(request).await?;
    let mut asked = asked.lock().unwrap_or_else(PoisonError::into_inner);
    asked.requests += 1;
    asked.has_body |= has_body;
    asked.rest = Rest::of(&response, version);
    let is_endless = matches!(asked.rest, Some(Rest::Endless(..)));
    asked.closes = !may_stay || is_endless || response.headers().contains_key(CONNECTION);
    if asked.closes && asked.rest.is_some() {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        *response.version_mut() = version; // or hyper would tell a client of HTTP/1.0 to keep it, too
    }
    let of = response.extensions().get().filter(|of| !has_body && app.would_keep(of));
    asked.answer = of.map(|of| Answer {
        request: received,
        of: Repeatable::clone(of),
        bytes: Bytes::new(),
        content: response.extensions().get().copied().unwrap_or_default(),
        closes: false,
        method,
        status: response.status(),
    });
    drop(asked);
    Ok(response)
}

/// Whether the connection may go on after the answer (RFC 9112 §9.3). hyper judges likewise, and tells nobody.
fn may_stay(request: &Request<Incoming>) -> bool {
    let values = request.headers().get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let options: Vec<_> = values.flat_map(|value| value.split(',').map(str::trim)).collect();
    let asks_to = |wish| options.iter().any(|option| option.eq_ignore_ascii_case(wish));
    !asks_to("close") && (request.version() == Version::HTTP_11 || asks_to("keep-alive"))
}

/// What was asked while hyper had the connection.
#[derive(Default)]
struct Asked {
    requests: u32,
    has_body: bool,
    /// Whether the connection must end with the last answer, for all that we know.
    closes: bool,
    /// What follows the last answer's head.
    rest: Option<Rest>,
    /// The last answer without its bytes, if it is worth keeping.
    answer: Option<Answer>,
}

/// What we send ourselves once hyper has sent the head.
enum Rest {
    Bulk(Bulk),
    /// With whether it is sent as chunks.
    Endless(Endless, bool),
}

impl Rest {
    fn of(response: &Response, version: Version) -> Option<Self> {
        match (response.extensions().get(), response.extensions().get()) {
            (Some(bulk), _) => Some(Self::Bulk(Bulk::clone(bulk))),
            (_, Some(endless)) => Some(Self::Endless(Endless::clone(endless), version == Version::HTTP_11)),
            _ => None,
        }
    }
}

/// The body of an answer, which is under way as long as this lives.
struct Tracked {
    body: Body,
    #[expect(dead_code, reason = "it acts when it is dropped")]
    answering: Answering,
}

impl http_body::Body for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
