//! A URL of HTTP, taken apart into what a client needs.

use std::str::FromStr;

use axum::http::Uri;
use axum::http::uri::Scheme;

const EXPECTED: &str = "a URL that begins with http:// is expected";

/// Where to connect, and what to ask for there.
#[derive(Debug, Clone)]
pub struct Url {
    /// A name or an address; that of IPv6 without brackets.
    pub host: String,
    /// The port, which is 80 if the URL has none.
    pub port: u16,
    /// Host and port as the `Host` header repeats them.
    pub authority: String,
    /// The path, and the query if there is one.
    pub target: String,
}

impl Url {
    /// The whole of it again, always in the same form.
    pub fn text(&self) -> String {
        format!("http://{}{}", self.authority, self.target)
    }
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Uri = text.parse().map_err(|_| EXPECTED)?;
        if url.scheme() != Some(&Scheme::HTTP) {
            return Err(EXPECTED);
        }
        let authority = url.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("a user or password in the URL is not sent; it would show in the list of processes");
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => 80,
            port => {
                port.and_then(|port| port.strip_prefix(':')?.parse().ok()).ok_or("the port is no number to 65535")?
            }
        };
        Ok(Self {
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
        assert_eq!((&*url.host, url.port, &*url.authority, &*url.target), ("numbers", 8000, "numbers:8000", "/data"));
        assert_eq!(url.text(), "http://numbers:8000/data");
        let url: Url = "http://[::1]/a?b=c".parse().unwrap();
        assert_eq!((&*url.host, url.port, &*url.authority, &*url.target), ("::1", 80, "[::1]", "/a?b=c"));
        assert_eq!("http://host".parse::<Url>().unwrap().target, "/");
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", "/data", "host", "host:80/data", "https://host/", "ftp://host/", "http://", "http:///x"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
        for text in
            ["http://host:port/", "http://host:65536/", "http://host:/", "http://me:secret@host/", "http://a b/"]
        {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
    }
}
