//! From sockets to requests: accepting, serving and draining connections.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;
use tower::ServiceExt;
use tracing::{debug, warn};

use crate::connections::{Admitted, Answering, Connections, Watched};

/// The largest request line and header section that is read, in bytes; a larger one is answered 431, and so is one with
/// more than hyper's 100 header lines.
const MAX_HEAD: usize = 16 * 1024;
/// How much of an answer waits in our memory for a slow client, in bytes.
const MAX_BUFFERED: usize = 64 * 1024;
/// How much the kernel holds of an answer that its client has not taken, in bytes. Left alone it takes up to 4 MB.
const SEND_BUFFER: usize = 256 * 1024;

/// How far a server is on its way from start to end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// All is served.
    Serving,
    /// All is served, but clients are asked to go elsewhere.
    Draining,
    /// Only the answers under way are finished.
    Closing,
}

/// Opens the socket that the server listens on.
///
/// # Errors
///
/// When the address can't be used.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
    rustix::net::sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)
        .context("cannot limit the send buffer")?;
    Ok(listener)
}

/// Serves with `app` until the stage is [`Stage::Closing`] and the last answer is finished.
pub async fn serve(listener: TcpListener, app: Router, connections: Arc<Connections>, stage: watch::Receiver<Stage>) {
    let mut closing = stage.clone();
    tokio::select! {
        () = accept(listener, app, &connections, &stage) => {}
        () = connections.sweep() => {}
        _ = closing.wait_for(|stage| *stage == Stage::Closing) => {}
    }
    connections.all_closed().await;
}

/// Accepts connections for ever.
async fn accept(listener: TcpListener, app: Router, connections: &Arc<Connections>, stage: &watch::Receiver<Stage>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                let admitted = connections.admit();
                let (app, stage) = (app.clone(), stage.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve_connection(stream, app, &admitted, stage).await {
                        debug!(%peer, "connection failed: {error}");
                    }
                });
                if connections.is_full() {
                    yield_now().await; // lets the one that made room close its socket before the next is opened
                }
            }
            // Out of file descriptors or memory: every try fails until something is closed.
            Err(error) => {
                if !failing {
                    warn!("cannot accept connections: {error}");
                }
                failing = true;
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// Serves one connection until it ends, is closed for another or for taking too long, or the server closes.
async fn serve_connection(
    stream: TcpStream,
    app: Router,
    admitted: &Admitted,
    mut stage: watch::Receiver<Stage>,
) -> hyper::Result<()> {
    let connection = &admitted.connection;
    // Answers are written whole, so there is nothing to wait for before sending the last segment.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request: Request<Incoming>| {
        let answering = connection.answer();
        let response = app.clone().oneshot(request);
        async move { response.await.map(|response| response.map(|body| Tracked { body, answering })) }
    });
    let mut http1 = http1::Builder::new();
    http1.max_header_size(MAX_HEAD).max_buf_size(MAX_BUFFERED);
    let io = TokioIo::new(Watched { stream, connection: Arc::clone(connection) });
    let mut http = pin!(http1.serve_connection(io, service));

    tokio::select! {
        ended = &mut http => return ended,
        () = connection.closing() => return Ok(()),
        _ = stage.wait_for(|stage| *stage == Stage::Closing) => {}
    }
    if !connection.is_answering() {
        return Ok(());
    }
    http.as_mut().graceful_shutdown();
    tokio::select! {
        ended = http => ended,
        () = connection.closing() => Ok(()),
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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net;

    use axum::routing::get;
    use futures_util::stream;

    use super::*;

    fn ask(stream: &mut net::TcpStream, path: &str) -> String {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let length = stream.read(&mut answer).unwrap_or_default();
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    fn panic_between_others(address: SocketAddr) {
        let mut other = net::TcpStream::connect(address).unwrap();
        for path in ["/panic", "/body", "/panic"] {
            assert!(ask(&mut other, "/fine").ends_with("fine"));
            let mut stream = net::TcpStream::connect(address).unwrap();
            let mut answer = ask(&mut stream, path);
            let _ = stream.read_to_string(&mut answer);
            assert!(!answer.contains("fine") && !answer.ends_with("0\r\n\r\n"), "{path}: {answer:?}");
        }
        assert!(ask(&mut other, "/fine").ends_with("fine"));
    }

    /// No request is known that leads to a panic; were there one, its connection alone would end.
    #[tokio::test]
    async fn a_panic_in_one_request_harms_no_other() {
        let broken = || stream::poll_fn(|_| -> Poll<Option<Result<Bytes, String>>> { panic!("in a body") });
        let app = Router::new()
            .route("/panic", get(async || -> &'static str { panic!("in a handler") }))
            .route("/body", get(async move || Body::from_stream(broken())))
            .route("/fine", get(async || "fine"));
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Connections::new(10);
        let stage = watch::Sender::new(Stage::Serving);
        tokio::spawn(serve(listener, app, Arc::clone(&connections), stage.subscribe()));
        tokio::task::spawn_blocking(move || panic_between_others(address)).await.unwrap();
        while connections.count() > 0 {
            yield_now().await; // their places are given back, too
        }
    }
}
