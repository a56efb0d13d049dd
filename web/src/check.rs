//! `web check`: a probe for an image that has neither a shell nor curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use axum::http::header::{CONNECTION, HOST};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::url::Url;

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
    let url: Url = url.parse().map_err(anyhow::Error::msg)?;
    let stream = TcpStream::connect((&*url.host, url.port)).await?;
    let (mut client, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);

    let request = Request::get(&url.target).header(HOST, &url.authority).header(CONNECTION, "close");
    let answer = client.send_request(request.body(Empty::<Bytes>::new())?).await?;
    let status = answer.status();
    let body = match Limited::new(answer.into_body(), LONGEST_REASON).collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(_) => String::new(), // too long for a reason, or cut off: the status says enough
    };
    Ok((status, body))
}
