//! A URL of HTTP, taken apart into what a client needs.

use std::str::FromStr;

use axum::http::Uri;
use axum::http::uri::Scheme;

const EXPECTED: &str = "a URL that begins with http:// or https:// is expected";

/// Where to connect, and what to ask for there.
#[derive(Debug, Clone)]
pub struct Url {
    /// Whether the connection is to be encrypted.
    pub is_https: bool,
    /// A name or an address; that of IPv6 without brackets.
    pub host: String,
    /// The port, which is 80 or 443 if the URL has none.
    pub port: u16,
    /// Host and port as the `Host` header repeats them.
    pub authority: String,
    /// The path, and the query if there is one.
    pub target: String,
}

impl Url {
    /// Whether there is more than a path to ask for.
    pub fn has_query(&self) -> bool {
        self.target.contains('?')
    }
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Uri = text.parse().map_err(|_| EXPECTED)?;
        let is_https = match url.scheme() {
            Some(scheme) if *scheme == Scheme::HTTP => false,
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            _ => return Err(EXPECTED),
        };
        let authority = url.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("a user or password in the URL is not sent; it would show in the list of processes");
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") if is_https => 443,
            Some("") => 80,
            port => {
                port.and_then(|port| port.strip_prefix(':')?.parse().ok()).ok_or("the port is no number to 65535")?
            }
        };
        Ok(Self {
            is_https,
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            target: url.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_found() {
        let url: Url = "http://numbers:8000/data".parse().unwrap();
        assert_eq!((url.is_https, &*url.host, url.port), (false, "numbers", 8000));
        assert_eq!((&*url.authority, &*url.target, url.has_query()), ("numbers:8000", "/data", false));
        let url: Url = "https://[::1]/a/b?c=d".parse().unwrap();
        assert_eq!((url.is_https, &*url.host, url.port), (true, "::1", 443));
        assert_eq!((&*url.authority, &*url.target, url.has_query()), ("[::1]", "/a/b?c=d", true));
        assert_eq!("http://host".parse::<Url>().unwrap().target, "/");
        assert_eq!("http://host:80/".parse::<Url>().unwrap().port, 80);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "/data", "host", "host:80/data", "ftp://host/", "http://", "http:///x", "http://host:port/"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
        for text in ["http://host:65536/", "http://host:/", "http://me:secret@host/", "http://a b/", "http://[::1/"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}
