//! A URL of HTTP, taken apart into what a client needs.

use std::borrow::Cow;
use std::str::FromStr;

use axum::http::Uri;
use axum::http::uri::Scheme;
use percent_encoding::percent_decode_str;

const EXPECTED: &str = "a URL that begins with http:// or https:// is expected";

/// Where to connect, and what to ask for there.
#[derive(Debug, Clone)]
pub struct Url {
    /// Whether the connection is to be encrypted.
    pub is_https: bool,
    /// A name or an address; that of IPv6 without brackets, and with a zone where it has one, such as `fe80::1%eth0`.
    pub host: String,
    /// The port, which is 80 or 443 if the URL has none.
    pub port: u16,
    /// Host and port as the `Host` header repeats them: a zone means nothing to the other side.
    pub authority: String,
    /// The path, and the query if there is one.
    pub target: String,
}

impl Url {
    /// Whether there is more than a path to ask for.
    pub fn has_query(&self) -> bool {
        self.target.contains('?')
    }

    /// The host as a certificate names it: without a zone.
    pub fn name(&self) -> &str {
        self.host.split('%').next().unwrap_or_default()
    }
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (text, zone) = split_zone(text);
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
        if authority.host().contains('%') {
            return Err("the URL names a zone that is empty, or of a host that is no IPv6 address");
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") if is_https => 443,
            Some("") => 80,
            port => {
                port.and_then(|port| port.strip_prefix(':')?.parse().ok()).ok_or("the port is no number to 65535")?
            }
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            is_https,
            host: zone.map_or_else(|| host.to_owned(), |zone| format!("{host}%{zone}")),
            port,
            authority: authority.as_str().to_owned(),
            target: url.path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        })
    }
}

/// Takes the zone out of a URL such as `http://[fe80::1%25eth0]/` (RFC 6874), which [`Uri`] does not know.
fn split_zone(text: &str) -> (Cow<'_, str>, Option<String>) {
    let parts = || {
        let (scheme, rest) = text.split_once("://[")?;
        let (address, rest) = rest.split_once(']')?;
        let (address, zone) = address.split_once('%')?;
        // Many write the `%` as it is.
        let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
        let zone = percent_decode_str(zone).decode_utf8().ok().filter(|zone| !zone.is_empty())?;
        Some((format!("{scheme}://[{address}]{rest}").into(), Some(zone.into_owned())))
    };
    parts().unwrap_or((text.into(), None))
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
    fn a_zone_is_for_us_alone() {
        for (text, host) in [
            ("http://[fe80::1%25lo]/data", "fe80::1%lo"),
            ("http://[fe80::1%lo]/data", "fe80::1%lo"),
            ("http://[fe80::1%252]/data", "fe80::1%2"),
            ("http://[fe80::1%25]/data", "fe80::1%25"),
            ("http://[fe80::1%25a%2Db]/data", "fe80::1%a-b"),
        ] {
            let url: Url = text.parse().unwrap();
            assert_eq!((&*url.host, url.name()), (host, "fe80::1"), "{text}");
            assert_eq!((&*url.authority, &*url.target), ("[fe80::1]", "/data"), "{text}");
        }
        let url: Url = "https://[fe80::1%25eth0]:8443/a%20b".parse().unwrap();
        assert_eq!((&*url.host, url.port, &*url.authority), ("fe80::1%eth0", 8443, "[fe80::1]:8443"));
        assert_eq!(url.target, "/a%20b");
        for text in ["http://[fe80::1%]/", "http://fe80::1%25lo/", "http://a%25lo/", "http://me@[fe80::1%25lo]/"] {
            assert!(text.parse::<Url>().is_err(), "{text}");
        }
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
