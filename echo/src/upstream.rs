//! The way to the upstream of a mirror: names, TLS, a token, and one connection at a time.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
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
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{
    AlertDescription, CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore, crypto,
};

use crate::bearer;
use crate::url::Url;

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
            bail!("--upstream names no file; for another echo it ends in /data");
        }
        if self.ca.is_some() && !self.url.is_https {
            bail!("--upstream-ca is for a URL that begins with https://");
        }
        self.token()?;
        self.trusted()?;
        Ok(())
    }

    /// A new connection. Names are looked up, and files read, anew every time: all of them may have changed.
    ///
    /// # Errors
    ///
    /// When that fails, or takes too long.
    pub async fn connect(&self) -> anyhow::Result<Connection> {
        let token = self.token()?;
        let stream = timeout(CONNECT, self.open()).await.unwrap_or_else(|_| bail!("no connection within {CONNECT:?}"));
        let stream = stream.with_context(|| format!("cannot connect to {}", self.url.authority))?;
        let (sender, connection) =
            http1::Builder::new().max_buf_size(BUFFER).handshake(TokioIo::new(stream)).await.context("cannot begin")?;
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
        let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.trusted()?)
            .with_no_client_auth();
        let name = ServerName::try_from(self.url.host.clone())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        Ok(Box::pin(stream.map_err(|error| self.explain(error))?))
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

    /// Says what of the upstream's TLS is wrong: always in the same words, because what changes is logged again.
    fn explain(&self, error: io::Error) -> anyhow::Error {
        match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(Error::InvalidCertificate(wrong)) => anyhow!("its certificate {}", self.explain_certificate(wrong)),
            Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                anyhow!("it does not speak TLS; is it http://{}?", self.url.authority)
            }
            Some(Error::AlertReceived(AlertDescription::ProtocolVersion)) => {
                anyhow!("it offers only versions of TLS before 1.2")
            }
            _ => anyhow::Error::new(error).context("it does not agree on TLS"),
        }
    }

    fn explain_certificate(&self, wrong: &CertificateError) -> String {
        match (wrong, &self.ca) {
            (CertificateError::UnknownIssuer, Some(ca)) => format!("is not by an authority in {}", ca.display()),
            (CertificateError::UnknownIssuer, None) => "is not by a public authority: see --upstream-ca".to_owned(),
            (CertificateError::Expired | CertificateError::ExpiredContext { .. }, _) => {
                "has expired, or the clock here is wrong".to_owned()
            }
            (CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }, _) => {
                "is not valid yet, or the clock here is wrong".to_owned()
            }
            (wrong, _) => format!("is wrong: {wrong}"),
        }
    }

    /// The authorities whose word counts. An image from scratch has none of its own, so the public ones are compiled in.
    fn trusted(&self) -> anyhow::Result<RootCertStore> {
        let Some(ca) = &self.ca else {
            return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
        };
        let mut roots = RootCertStore::empty();
        let cannot = || format!("cannot read the certificates in {}", ca.display());
        for certificate in CertificateDer::pem_file_iter(ca).with_context(cannot)? {
            roots.add(certificate.with_context(cannot)?).with_context(cannot)?;
        }
        if roots.is_empty() {
            bail!("{} holds no certificate", ca.display());
        }
        Ok(roots)
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
            Ok(answer) => answer.context("no answer came"),
            Err(_) => bail!("no answer came within {HEAD:?}"),
        }
    }
}
