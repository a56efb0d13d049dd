//! Parsers of values.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::http::HeaderValue;
use axum::http::uri::Authority;
use rustix::process::Pid;

use crate::names;

/// Parses a duration of at most a year, which is what clocks can be added up to without a thought.
pub fn duration(text: &str) -> Result<Duration, String> {
    let year = Duration::from_hours(365 * 24);
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= year => Ok(duration),
        Ok(_) => Err("it is longer than a year".to_owned()),
        Err(_) => Err("a number and a unit are expected, such as 500ms, 2s or 1m".to_owned()),
    }
}

/// Parses what to listen on: an address and a port; or a port alone, which stands for all addresses of IPv4.
pub fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let expected = "a port, or an address and a port are expected, such as 8000, 127.0.0.1:8000 or [::]:8000";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let ip = match host {
        "" => Ipv4Addr::UNSPECIFIED,
        "localhost" => Ipv4Addr::LOCALHOST,
        _ => return Err(expected),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    port.parse().ok().filter(|_| is_number).map(|port| (ip, port).into()).ok_or(expected)
}

/// Parses a process id.
pub fn pid(text: &str) -> Result<Pid, &'static str> {
    text.parse().ok().and_then(Pid::from_raw).ok_or("a process id is expected")
}

/// Parses a name for `X-Served-By`.
pub fn name(text: &str) -> Result<String, &'static str> {
    let expected = "at most 64 letters, digits, dots, underscores and hyphens are expected";
    names::is_valid(text).then(|| text.to_owned()).ok_or(expected)
}

/// Parses an origin into the form that browsers compare with theirs: lower case, no default port.
pub fn origin(text: &str) -> Result<HeaderValue, &'static str> {
    let expected = "an origin is expected, such as https://a.example or http://localhost:3000, or *";
    if text == "*" {
        return Ok(HeaderValue::from_static("*"));
    }
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://").ok_or(expected)?;
    let parsed: Authority = authority.parse().map_err(|_| expected)?;
    let port = authority.strip_prefix(parsed.host()).filter(|port| port.is_empty() || parsed.port_u16().is_some());
    let (Some(port), "http" | "https") = (port, scheme) else { return Err(expected) };
    let is_default = (scheme, port) == ("http", ":80") || (scheme, port) == ("https", ":443");
    let port = if is_default { "" } else { port };
    HeaderValue::try_from(format!("{scheme}://{}{port}", parsed.host())).map_err(|_| expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_as_browsers_send_it() {
        for (text, sent) in [
            ("*", "*"),
            ("https://a.example", "https://a.example"),
            ("HTTPS://A.Example", "https://a.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://a.example:80", "http://a.example"),
            ("https://a.example:443", "https://a.example"),
            ("https://a.example:80", "https://a.example:80"),
            ("http://[::1]:8000", "http://[::1]:8000"),
        ] {
            assert_eq!(origin(text).unwrap(), sent, "{text}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        let bad =
            ["", "a.example", "null", "https://", "https://a.example/", "https://a.example/x", "https://me@a.example"];
        for text in bad.into_iter().chain([
            "https://a.example:",
            "https://a:99999",
            "file://a",
            "*.example",
            "http://a b",
            "http://a,http://b",
        ]) {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_may_be_a_port_alone() {
        for (text, expected) in [
            ("8080", "0.0.0.0:8080"),
            (":8080", "0.0.0.0:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::]:0", "[::]:0"),
            ("[fe80::1%2]:8080", "[fe80::1%2]:8080"),
        ] {
            assert_eq!(address(text).unwrap().to_string(), expected, "{text}");
        }
        for text in [
            "",
            ":",
            "nonsense",
            "127.0.0.1",
            "localhost",
            "::1:8000",
            "99999",
            "-1",
            "+80",
            ":+80",
            "host:80",
            "8080:",
        ] {
            assert!(address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_is_what_a_header_can_list() {
        assert_eq!(name("echo-7c8f74cd9d-flm5h").unwrap(), "echo-7c8f74cd9d-flm5h");
        for text in ["", "a b", "a,b", "\u{e9}", &"x".repeat(65)] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
