//! From sockets to requests: accepting, serving and draining connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::connection::http1::converse;
use crate::connection::send_buffer;
use crate::connection::table::{Admitted, Connections};
use crate::routes::app::App;
use crate::stage::Stage;

/// How many connections may wait to be accepted: enough for thousands of clients that come in the same moment. The kernel
/// lowers it to net.core.somaxconn.
const BACKLOG: u32 = 4096;
/// How long the kernel sends the same bytes again to a client that says nothing. Left alone it does for a quarter of an hour.
const UNANSWERED: Duration = Duration::from_secs(50);
/// When a silent connection is probed, how often again, and how often in vain before it counts as dead. A client that
/// vanished without a word would else wait for new lines for ever, and keep its place.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

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
    for (setting, done) in settings(&socket, address) {
        if let Err(error) = done {
            warn!("cannot set {setting} of {address}, and serve without: {error}");
        }
    }
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sets what connections take over from the socket that they were accepted on. Nothing of it is needed for an answer.
fn settings(socket: &TcpSocket, address: SocketAddr) -> [(&'static str, io::Result<()>); 6] {
    let (idle, interval, count) = KEEPALIVE;
    let keepalive = sockopt::set_socket_keepalive(socket, true)
        .and_then(|()| sockopt::set_tcp_keepidle(socket, idle))
        .and_then(|()| sockopt::set_tcp_keepintvl(socket, interval))
        .and_then(|()| sockopt::set_tcp_keepcnt(socket, count));
    // `[::]` takes IPv4, too, whatever net.ipv6.bindv6only says.
    let both = if address.is_ipv6() { sockopt::set_ipv6_v6only(socket, false) } else { Ok(()) };
    [
        ("IPV6_V6ONLY", both.map_err(Into::into)),
        ("SO_REUSEADDR", socket.set_reuseaddr(true)), // or a restarted server waits for the connections of the last one
        ("SO_SNDBUF", socket.set_send_buffer_size(send_buffer::SMALLEST as u32)),
        ("TCP_NODELAY", socket.set_nodelay(true)), // an answer is written whole, and has nothing to wait for
        ("keepalive", keepalive.map_err(Into::into)),
        ("TCP_USER_TIMEOUT", sockopt::set_tcp_user_timeout(socket, UNANSWERED.as_millis() as u32).map_err(Into::into)),
    ]
}

/// Serves with `app` until the stage is [`Stage::Closing`] and the last answer is finished.
pub async fn serve(
    listener: TcpListener,
    app: Arc<App>,
    connections: Arc<Connections>,
    mut stage: watch::Receiver<Stage>,
) {
    tokio::select! {
        () = accept(listener, app, &connections) => {}
        () = connections.sweep() => {}
        _ = stage.wait_for(|stage| *stage == Stage::Closing) => {}
    }
    connections.end().await;
}

/// Accepts connections for ever.
async fn accept(listener: TcpListener, app: Arc<App>, connections: &Arc<Connections>) {
    let mut failing = false;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failing = false;
                let admitted = connections.admit();
                let app = Arc::clone(&app);
                tokio::spawn(async move {
                    if let Err(error) = serve_connection(stream, app, &admitted).await {
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

/// Serves one connection until it ends or is closed: for another, for taking too long, or because the server stops.
async fn serve_connection(stream: TcpStream, app: Arc<App>, admitted: &Admitted) -> io::Result<()> {
    let connection = &admitted.connection;
    tokio::select! {
        biased;
        ended = converse(stream, &app, connection) => ended,
        () = connection.closing() => Ok(()),
    }
}
