//! From sockets to requests: accepting, serving and draining connections.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::connections::{Admitted, Connections};
use crate::exchange::converse;
use crate::http::App;

/// How much the kernel holds of an answer that its client has not taken, in bytes. Left alone it takes up to 4 MB.
const SEND_BUFFER: u32 = 128 * 1024;
/// How many connections may wait to be accepted: enough for thousands of clients that come in the same moment. The kernel
/// lowers it to net.core.somaxconn.
const BACKLOG: u32 = 4096;
/// When a silent connection is probed, how often again, and how often in vain before it counts as dead. A client that
/// vanished without a word would else wait for new lines for ever, and keep its place.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

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
pub fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    listen(address).with_context(|| format!("cannot listen on {address}"))
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?; // or a restarted server would have to wait for the connections of the last one
    // Accepted sockets take these over. Answers are written whole, so there is nothing to wait for before sending the
    // last segment.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_nodelay(true)?;
    let (idle, interval, count) = KEEPALIVE;
    sockopt::set_socket_keepalive(&socket, true)?;
    sockopt::set_tcp_keepidle(&socket, idle)?;
    sockopt::set_tcp_keepintvl(&socket, interval)?;
    sockopt::set_tcp_keepcnt(&socket, count)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves with `app` until the stage is [`Stage::Closing`] and the last answer is finished.
pub async fn serve(listener: TcpListener, app: Arc<App>, connections: Arc<Connections>, stage: watch::Receiver<Stage>) {
    let mut closing = stage.clone();
    tokio::select! {
        () = accept(listener, app, &connections, &stage) => {}
        () = connections.sweep() => {}
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
                let admitted = connections.admit();
                let (app, stage) = (Arc::clone(&app), stage.clone());
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
    app: Arc<App>,
    admitted: &Admitted,
    mut stage: watch::Receiver<Stage>,
) -> anyhow::Result<()> {
    let connection = &admitted.connection;
    let mut conversation = pin!(converse(stream, app, connection));
    tokio::select! {
        ended = &mut conversation => return ended,
        () = connection.closing() => return Ok(()),
        _ = stage.wait_for(|stage| *stage == Stage::Closing) => {}
    }
    if !connection.is_answering() {
        return Ok(());
    }
    connection.end_after_this();
    tokio::select! {
        ended = conversation => ended,
        () = connection.closing() => Ok(()),
    }
}
