//! `echo check`: a probe for an image that has neither a shell nor curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{anyhow, bail};
use axum::http::header::{CONNECTION, HOST};
use axum::http::{Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::http::url::Url;

/// How long the answer may take: less than the five seconds that probes are commonly given, so that the reason is seen.
const TIMEOUT: Duration = Duration::from_secs(4);
/// How much of an answer is shown as a reason, in bytes.
const LONGEST_REASON: usize = 1024;

/// The URLs of the readiness endpoint of a server on this machine that listens on `listen`. One that listens on all
/// addresses of IPv6 takes IPv4, too, and may take nothing else: a kernel may have the one and not the other.
pub fn readyz_of(listen: SocketAddr) -> Vec<String> {
    let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
    let at = |ip: IpAddr| SocketAddr::new(ip, listen.port());
    let addresses = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => vec![at(v4)],
        IpAddr::V6(ip) if ip.is_unspecified() => vec![at(v6), at(v4)],
        _ => vec![listen],
    };
    let url = |address: SocketAddr| format!("http://{}/readyz", address.to_string().replace('%', "%25"));
    addresses.into_iter().map(url).collect()
}

/// Gets one of `urls`, the first that can be reached, and returns it.
///
/// # Errors
///
/// When there is no answer in time, or another one than 200.
pub async fn check(urls: &[String]) -> anyhow::Result<&str> {
    let deadline = Instant::now() + TIMEOUT;
    let mut trouble = anyhow!("there is nothing to get");
    for url in urls {
        let answered = timeout_at(deadline, get(url)).await;
        match answered.unwrap_or_else(|_| bail!("no answer within {TIMEOUT:?}")) {
            Ok((StatusCode::OK, _)) => return Ok(url),
            Ok((status, body)) => bail!("{url} answered {status}: {}", body.trim_end()),
            Err(error) => trouble = error.context(format!("cannot get {url}")),
        }
    }
    Err(trouble)
}

async fn get(url: &str) -> anyhow::Result<(StatusCode, String)> {
    let url: Url = url.parse().map_err(anyhow::Error::msg)?;
    if url.is_https {
        bail!("a URL that begins with http:// is expected");
    }
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
