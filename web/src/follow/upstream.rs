//! The echo whose file is followed: one connection, and one request after another.

use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::http::header::{ACCEPT_ENCODING, HOST, HeaderMap, USER_AGENT};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::follow::offset::Offset;
use crate::url::Url;

/// How long it may take to find the address and to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the head of an answer may take: longer than a long-poll waits, which is 20 s.
const HEAD: Duration = Duration::from_secs(30);
/// How long nothing of a body may come.
const SILENCE: Duration = Duration::from_secs(30);
/// How much of an answer is held in memory, in bytes; its head has to fit.
const BUFFER: usize = 128 * 1024;
/// When a silent connection is probed, how often again, and how often in vain before it counts as dead. Behind a link that
/// was cut without a word, a long-poll would else wait to its end.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(2), Duration::from_secs(1), 3);
/// How long the echo may leave a request without acknowledgement, in milliseconds.
const UNACKNOWLEDGED: u32 = 5_000;

/// The echo whose file is followed.
pub struct Upstream {
    url: Url,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

/// What an echo answers.
pub enum Answer {
    /// Lines, perhaps none: what lies between the place that was asked for and `next`.
    Lines {
        /// The place behind them.
        next: Offset,
        /// Whether there is nothing behind that yet.
        is_up_to_date: bool,
        /// The lines.
        body: Body,
    },
    /// Nothing came while the echo waited.
    Nothing,
    /// The file of that place is there no more.
    Replaced,
}

impl Upstream {
    /// The echo at `url`, to which there is no connection yet.
    pub fn new(url: Url) -> Self {
        Self { url, connection: None }
    }

    /// Where that is, for people.
    pub fn name(&self) -> &str {
        &self.url.authority
    }

    /// Asks for what lies behind the place `offset`; with `wait`, as soon as there is any.
    ///
    /// # Errors
    ///
    /// When no answer comes that an echo would give.
    pub async fn get(&mut self, offset: &str, wait: bool) -> anyhow::Result<Answer> {
        let live = if wait { "&live=long-poll" } else { "" };
        let target = &self.url.target;
        let sign = if target.contains('?') { '&' } else { '?' };
        let request = Request::get(format!("{target}{sign}offset={offset}{live}"))
            .header(HOST, &self.url.authority)
            .header(USER_AGENT, concat!("appcoup-web/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT_ENCODING, "identity")
            .body(Empty::new())?;
        let mut connection = self.connection().await?;
        let answered = timeout(HEAD, connection.send_request(request)).await;
        let (head, body) =
            answered.map_err(|_| anyhow!("no answer within {HEAD:?}"))?.context("no answer")?.into_parts();
        // Used again only when the answer was read to its end, which the next request waits for.
        self.connection = Some(connection);
        match head.status {
            StatusCode::OK => {
                let next = header(&head.headers, "stream-next-offset").and_then(Offset::parse);
                Ok(Answer::Lines {
                    next: next.context("it is no echo: its answer has no Stream-Next-Offset")?,
                    is_up_to_date: header(&head.headers, "stream-up-to-date") == Some("true"),
                    body: Body(body),
                })
            }
            StatusCode::NO_CONTENT if wait => Ok(Answer::Nothing),
            StatusCode::GONE => {
                self.forget(); // with what there is to read of the answer
                Ok(Answer::Replaced)
            }
            StatusCode::SERVICE_UNAVAILABLE => bail!("it has no file yet, or lags behind what is stored (503)"),
            status => bail!("it answered {status}"),
        }
    }

    /// Closes the connection, with whatever is still to be read of an answer.
    pub fn forget(&mut self) {
        self.connection = None;
    }

    /// The connection, which is opened anew if the echo has closed it, as it may between two answers.
    async fn connection(&mut self) -> anyhow::Result<SendRequest<Empty<Bytes>>> {
        if let Some(mut connection) = self.connection.take()
            && timeout(HEAD, connection.ready()).await.is_ok_and(|ready| ready.is_ok())
        {
            return Ok(connection);
        }
        let stream =
            timeout(CONNECT, self.reach()).await.unwrap_or_else(|_| bail!("no connection within {CONNECT:?}"))?;
        let (sender, connection) = http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection); // ends with the sender; its errors are those of the requests
        Ok(sender)
    }

    /// A connection to the first address that takes one. An address that says nothing leaves time for the others.
    async fn reach(&self) -> anyhow::Result<TcpStream> {
        let addresses: Vec<_> = lookup_host((&*self.url.host, self.url.port)).await?.collect();
        let patience = CONNECT / (addresses.len() as u32 + 1);
        let mut trouble = anyhow!("its name has no address");
        for address in addresses {
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return prepared(stream),
                Ok(Err(error)) => trouble = error.into(),
                Err(_) => trouble = anyhow!("it does not answer"),
            }
        }
        Err(trouble)
    }
}

fn prepared(stream: TcpStream) -> anyhow::Result<TcpStream> {
    let (idle, interval, count) = KEEPALIVE;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, idle)?;
    sockopt::set_tcp_keepintvl(&stream, interval)?;
    sockopt::set_tcp_keepcnt(&stream, count)?;
    sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED)?;
    Ok(stream)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What an answer carries.
pub struct Body(Incoming);

impl Body {
    /// The next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// When none come in time, or the answer is cut.
    pub async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let frame = timeout(SILENCE, self.0.frame()).await;
            let Some(frame) = frame.map_err(|_| anyhow!("nothing more within {SILENCE:?}"))? else { return Ok(None) };
            if let Ok(bytes) = frame.context("the answer was cut")?.into_data() {
                return Ok(Some(bytes));
            }
        }
    }
}
