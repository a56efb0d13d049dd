//! From sockets to requests: accepting, serving and draining connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use anyhow::Context;
use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::connection::table::{Admitted, Answering, Connections};
use crate::routes::app::App;
use crate::stage::Stage;

/// How long a client may take to send the head of a request, counted from the end of the answer before.
const HEAD: Duration = Duration::from_secs(10);
/// The largest request line and header section that is read, in bytes; a larger one is answered 431.
const MAX_HEAD: usize = 16 * 1024;
/// How much of an answer waits in our memory for a slow client, in bytes, apart from the page that was last fetched.
const MAX_BUFFERED: usize = 64 * 1024;
/// How much the kernel holds of an answer that its client has not taken, in bytes. Left alone it takes up to 4 MB.
const SEND_BUFFER: u32 = 128 * 1024;
/// How many connections may wait to be accepted. The kernel lowers it to net.core.somaxconn.
const BACKLOG: u32 = 4096;
/// When a silent connection is probed, how often again, and how often in vain before it counts as dead.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);
/// How long a client may take nothing of an answer that waits for it, or acknowledge nothing, in milliseconds.
const UNACKNOWLEDGED: u32 = 60_000;
/// How long the end of an answer may be on its way to the kernel when the server ends.
const FLUSH: Duration = Duration::from_millis(200);

/// Opens the socket that the server listens on.
///
/// # Errors
///
/// When the address can't be used.
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    listen(address).with_context(|| format!("cannot listen on {address}"))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?; // or a restarted server would have to wait for the connections of the last one
    // Accepted sockets take these over.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_nodelay(true)?;
    let (idle, interval, count) = KEEPALIVE;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, idle)?;
    sockopt::set_tcp_keepintvl(&socket, interval)?;
    sockopt::set_tcp_keepcnt(&socket, count)?;
    sockopt::set_tcp_user_timeout(&socket, UNACKNOWLEDGED)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves with `app` until the stage is [`Stage::Closing`] and the last answer is finished.
pub async fn serve(listener: TcpListener, app: Arc<App>, connections: Arc<Connections>, stage: watch::Receiver<Stage>) {
    let mut closing = stage.clone();
    tokio::select! {
        () = accept(listener, app, &connections, &stage) => {}
        _ = closing.wait_for(|stage| *stage == Stage::Closing) => {}
    }
    connections.all_closed().await;
}

/// Accepts connections for ever.
async fn accept(listener: TcpListener, app: Arc<App>, connections: &Arc<Connections>, stage: &watch::Receiver<Stage>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                let Some(admitted) = connections.admit() else { continue };
                let (app, stage) = (Arc::clone(&app), stage.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve_connection(stream, app, &admitted, stage).await {
                        debug!(%peer, "connection failed: {error}");
                    }
                });
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

/// Serves one connection until it ends, is closed for another, or the server closes.
async fn serve_connection(
    stream: TcpStream,
    app: Arc<App>,
    admitted: &Admitted,
    mut stage: watch::Receiver<Stage>,
) -> Result<(), hyper::Error> {
    let connection = &admitted.connection;
    let service = service_fn(|request: Request<Incoming>| {
        let (app, answering) = (Arc::clone(&app), connection.answer());
        async move {
            let response = app.respond(request).await?;
            Ok::<_, Infallible>(response.map(|body| Tracked { body, _answering: answering }))
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_header_size(MAX_HEAD).max_buf_size(MAX_BUFFERED);
    let mut http = pin!(http.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = http.as_mut() => return ended,
        () = connection.closing() => return Ok(()),
        _ = stage.wait_for(|stage| *stage == Stage::Closing) => {}
    }
    http.as_mut().graceful_shutdown();
    tokio::select! {
        ended = http => ended,
        () = connection.quiet_for(FLUSH) => Ok(()),
    }
}

/// The body of an answer, which is under way as long as this lives.
struct Tracked {
    body: Body,
    _answering: Answering,
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
