//! The way to the upstream of a mirror: names, a token, and one connection at a time.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use axum::http::header::{ACCEPT_ENCODING, AUTHORIZATION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::http::bearer;
use crate::http::url::Url;
use crate::mirror::reason::Reason;
use crate::mirror::tls;

/// How long it may take to find the address, to connect and to agree on keys.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the head of an answer may take: longer than any long-poll waits.
const HEAD: Duration = Duration::from_secs(30);
/// How much of an answer is held in memory, in bytes; its head has to fit.
const BUFFER: usize = 128 * 1024;
/// When a silent connection is probed, how often again, and how often in vain before it counts as dead. Behind a link that
/// was cut without a word, a long-poll would else wait to its end.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(3), Duration::from_secs(3), 3);
/// How long the upstream may leave a request without acknowledgement, in milliseconds: as long as a probe.
const UNACKNOWLEDGED: u32 = 12_000;

/// Where the numbers come from.
pub struct Upstream {
    /// What to get.
    pub url: Url,
    /// The certificates to trust in place of the public ones, as PEM.
    pub ca: Option<PathBuf>,
    /// The token to send.
    pub token_file: Option<PathBuf>,
}

impl Upstream {
    /// Reads what will be needed, so that what can never work is found at once.
    ///
    /// # Errors
    ///
    /// When a file is not there, or does not hold what it should; when the URL can't name a file.
    pub fn verify(&self) -> anyhow::Result<()> {
        if self.url.target == "/" {
            bail!("--upstream (ECHO_UPSTREAM) names no file; for another echo it ends in /data");
        }
        if self.ca.is_some() && !self.url.is_https {
            bail!("--upstream-ca (ECHO_UPSTREAM_CA) is for a URL that begins with https://");
        }
        self.token().context("--upstream-token-file (ECHO_UPSTREAM_TOKEN_FILE)")?;
        tls::trusted(self.ca.as_deref()).context("--upstream-ca (ECHO_UPSTREAM_CA)")?;
        Ok(())
    }

    /// A new connection. Names are looked up, and files read, anew every time: all of them may have changed.
    ///
    /// # Errors
    ///
    /// When that fails, or takes too long.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let token = self.token()?;
        let stream = timeout(CONNECT, self.open()).await.unwrap_or_else(|_| bail!("it takes more than {CONNECT:?}"));
        let stream = stream.map_err(|error| Reason::Unreachable.of(error))?;
        let (sender, connection) = http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await?;
        // Ends with the sender; its errors are those of the requests.
        tokio::spawn(connection);
        let mut common = HeaderMap::new();
        common.insert(HOST, self.url.authority.parse()?);
        common.insert(USER_AGENT, HeaderValue::from_static(concat!("appcoup-echo/", env!("CARGO_PKG_VERSION"))));
        common.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))?;
            value.set_sensitive(true);
            common.insert(AUTHORIZATION, value);
        }
        Ok(Connection { sender, target: self.url.target.clone(), common })
    }

    /// Makes sure that another request can be sent: some servers close after every answer.
    ///
    /// # Errors
    ///
    /// As [`Upstream::connect`].
    pub async fn reopen(&self, connection: &mut Connection) -> anyhow::Result<()> {
        if !connection.is_open().await {
            *connection = self.connect().await?;
        }
        Ok(())
    }

    fn token(&self) -> anyhow::Result<Option<String>> {
        self.token_file.as_deref().map(bearer::read).transpose()
    }

    async fn open(&self) -> anyhow::Result<Pin<Box<dyn Stream>>> {
        let stream = self.reach().await?;
        stream.set_nodelay(true)?;
        let (idle, interval, count) = KEEPALIVE;
        sockopt::set_socket_keepalive(&stream, true)?;
        sockopt::set_tcp_keepidle(&stream, idle)?;
        sockopt::set_tcp_keepintvl(&stream, interval)?;
        sockopt::set_tcp_keepcnt(&stream, count)?;
        sockopt::set_tcp_user_timeout(&stream, UNACKNOWLEDGED)?;
        if !self.url.is_https {
            return Ok(Box::pin(stream));
        }
        Ok(Box::pin(tls::encrypt(stream, self.url.name(), self.ca.as_deref()).await?))
    }

    /// A connection to the first address that takes one. An address that says nothing leaves time for the others.
    async fn reach(&self) -> anyhow::Result<TcpStream> {
        let addresses: Vec<_> = lookup_host((&*self.url.host, self.url.port)).await?.collect();
        let patience = CONNECT / (addresses.len() as u32 + 1);
        let mut trouble = anyhow!("its name has no address");
        for address in addresses {
            match timeout(patience, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => trouble = error.into(),
                Err(_) => trouble = anyhow!("it does not answer"),
            }
        }
        Err(trouble)
    }
}

/// What bytes go through, encrypted or not.
trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

/// A connection, for one request after another.
pub struct Connection {
    sender: SendRequest<Empty<Bytes>>,
    target: String,
    common: HeaderMap,
}

impl Connection {
    /// Waits until another request can be sent; `false` if the upstream has closed the connection, as it may between
    /// two answers.
    pub async fn is_open(&mut self) -> bool {
        timeout(HEAD, self.sender.ready()).await.is_ok_and(|ready| ready.is_ok())
    }

    /// Gets the upstream's file with `query` and `headers`.
    ///
    /// # Errors
    ///
    /// When no head of an answer comes, or not in time.
    pub async fn get(&mut self, query: &str, headers: HeaderMap) -> anyhow::Result<Response<Incoming>> {
        let mut request = Request::get(format!("{}{query}", self.target)).body(Empty::new())?;
        request.headers_mut().extend(self.common.clone());
        request.headers_mut().extend(headers);
        match timeout(HEAD, self.sender.send_request(request)).await {
            Ok(answer) => answer.context(Reason::Silent),
            Err(_) => bail!(Reason::Silent.because(format_args!("none within {HEAD:?}"))),
        }
    }
}
