//! `echo check`: a probe for an image that has neither a shell nor curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::header::{CONNECTION, HOST};
use axum::http::uri::Scheme;
use axum::http::{Request, StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// How long the answer may take: less than the five seconds that probes are commonly given, so that the reason is seen.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How much of an answer is shown as a reason, in bytes.
const LONGEST_REASON: usize = 1024;

/// The URL of the readiness endpoint of a server on this machine that listens on `listen`.
pub fn readyz_of(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}/readyz", SocketAddr::new(ip, listen.port()))
}

/// Gets `url`.
///
/// # Errors
///
/// When there is no answer in time, or another one than 200.
pub async fn check(url: &str) -> anyhow::Result<()> {
    let answered = tokio::time::timeout(TIMEOUT, get(url)).await;
    let (status, body) = answered
        .unwrap_or_else(|_| bail!("no answer within {TIMEOUT:?}"))
        .with_context(|| format!("cannot get {url}"))?;
    match status {
        StatusCode::OK => Ok(()),
        _ => bail!("{url} answered {status}: {}", body.trim_end()),
    }
}

async fn get(url: &str) -> anyhow::Result<(StatusCode, String)> {
    let url = url.parse().ok().filter(|url: &Uri| url.scheme() == Some(&Scheme::HTTP));
    let url = url.context("a URL that begins with http:// is expected")?;
    let authority = url.authority().context("the URL names no host")?;
    let host = authority.host();
    let port = match authority.as_str().split_once(host).map_or("", |(_, rest)| rest) {
        "" => 80,
        rest => rest.trim_start_matches(':').parse().with_context(|| format!("{rest} is no port"))?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((host, port)).await?;
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);

    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path).header(HOST, authority.as_str()).header(CONNECTION, "close");
    let answer = client.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = answer.status();
    let body = match Limited::new(answer.into_body(), LONGEST_REASON).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(_) => String::new(), // too long for a reason, or cut off: the status says enough
    };
    Ok((status, body))
}
